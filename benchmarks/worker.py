"""`python -m benchmarks.worker IMPLEMENTATION THREADS CASE...`: the cases of one library, in a process of its own.

It prints one JSON object a line: first the library, then a row for each case, in the given order. Only the standard
library is imported before the environment is set.
"""

import argparse
import json
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks import peers


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the cases that the command line names."""
    options = _parser().parse_args(arguments)
    peers.set_environment(options.implementation, options.threads)
    from benchmarks import cases  # NumPy starts its threads here

    unknown = [name for name in options.cases if name not in cases.BY_NAME]
    if unknown:
        raise SystemExit(f"cases: expected names of the table, got {', '.join(unknown)}")
    factories = peers.factories(options.implementation)
    _print(peers.describe(options.implementation))
    for name in options.cases:
        case = cases.BY_NAME[name]
        _print({"case": name, **_row(case.reduced() if options.reduced else case, factories, options)})
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.worker", description="Time cases in one library.")
    parser.add_argument("implementation", choices=peers.IMPLEMENTATIONS)
    parser.add_argument("threads", type=int)
    parser.add_argument("cases", nargs="+", metavar="CASE")
    parser.add_argument("--mode", choices=("time", "check", "memory"), default="time", help="what to do (time)")
    parser.add_argument("--reduced", action="store_true", help="take the cases at the sizes of the tests")
    parser.add_argument("--seconds", type=float, default=1.0, help="least time for a case (1)")
    parser.add_argument("--samples", type=int, default=10, help="fewest samples of a case (10)")
    parser.add_argument("--mnist", type=pathlib.Path, help="an .npz file with x and t, in place of synthetic data")
    return parser


def _row(case: Any, factories: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    try:
        data = case.data(options.mnist)
        target = factories[case.kind](case, data, options.threads)
        if options.mode == "memory":
            return _memory(target)
        return _timed(case, data, target, options)
    except peers.MissingError as missing:
        return {"status": "absent", "reason": str(missing)}
    except Exception as error:  # a case that fails leaves the others alone
        reason = " ".join(str(error).split())[:200]
        return {"status": "failed", "reason": f"{type(error).__name__}: {reason}"}


def _timed(case: Any, data: Any, target: Any, options: argparse.Namespace) -> dict[str, Any]:
    from benchmarks import timing

    row = timing.first_calls(case, data, target)
    if options.mode == "check" or row["status"] != "agrees":
        return row
    limits = timing.Limits(options.seconds, options.samples)
    return {**row, "status": "timed", **timing.time_target(target, limits)}


def _memory(target: Any) -> dict[str, Any]:
    """The largest size of this process, in bytes, before and after a call."""
    before = peak_memory()
    (target.timed or target.call)()
    return {"status": "timed", "bytes_before": before, "bytes": peak_memory()}


def peak_memory() -> int:
    """The largest resident size that this process has had, in bytes."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _print(row: dict[str, Any]) -> None:
    print(json.dumps(row), flush=True)


if __name__ == "__main__":
    sys.exit(main())
