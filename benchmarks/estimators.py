"""`python -m benchmarks.estimators`: fastnn's estimators beside scikit-learn's, with equal parameters.

Each fit runs in a process of its own, the libraries in turn. It writes benchmarks/results/estimators.json and the
README's table. `README` as the only argument writes the table from that file.
"""

import argparse
import importlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks import machine, pages, peers
from benchmarks.estimator_cases import CASES, DTYPES, LIBRARIES, Case, Row
from benchmarks.report import duration, table

RESULT = peers.ROOT / "benchmarks" / "results" / "estimators.json"
FORMAT = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure all and write both files; with README, only the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.estimators", description=__doc__)
    parser.add_argument("task", nargs="?", choices=["README"], help="write the table from the file")
    parser.add_argument("--data", metavar="FOLDER", help="of the MNIST files (fastnn's own folder)")
    parser.add_argument("--rounds", type=int, default=3, help="processes of each library for a row (3)")
    options = parser.parse_args(arguments)
    if options.task is None:
        result = run(options.rounds, options.data)
        RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    pages.write(pages.README, "estimators", section(json.loads(RESULT.read_text(encoding="utf-8"))))
    return 0


def run(rounds: int, folder: str | None) -> dict[str, Any]:
    """All rows: for each data set and dtype one of each library, measured in turn."""
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    rows, load = [], os.getloadavg() if hasattr(os, "getloadavg") else None  # before it has made its own
    for case in CASES:
        for dtype in DTYPES:
            found: dict[str, list[Row]] = {library: [] for library in LIBRARIES}
            for _ in range(rounds):
                for library, several in found.items():
                    several.append(_in_process(library, case, dtype, threads, folder))
            for library, several in found.items():
                seconds = statistics.median(row["seconds"] for row in several)
                row = {"case": case.name, "dtype": dtype, "library": library, **several[0], "seconds": seconds}
                rows.append(row)
                print(f"{case.name}, {dtype}, {library}: {row['score']:.4f} in {duration(seconds)}", flush=True)
    described, versions = machine.describe(), {name: _version(name) for name in ("fastnn", "sklearn", "numpy")}
    made = {"format": FORMAT, "machine": {**described, "load_average": load}, "versions": versions}
    return {**made, "threads": threads, "rounds": rounds, "rows": rows}


def _version(package: str) -> str:
    return str(importlib.import_module(package).__version__)


def _in_process(library: str, case: Case, dtype: str, threads: int, folder: str | None) -> Row:
    command = [sys.executable, "-m", "benchmarks.estimator_worker", library, case.name, dtype, str(threads)]
    command += [folder] if folder else []
    variables = peers.child_environment()
    done = subprocess.run(command, cwd=peers.ROOT, env=variables, stdout=subprocess.PIPE, text=True, check=True)
    row: Row = json.loads(done.stdout.splitlines()[-1])
    return row


# --- the README ----------------------------------------------------------------------------------------


def section(result: dict[str, Any]) -> str:
    """The sentence and the table."""
    if result.get("format") != FORMAT:
        raise ValueError(f"format: expected {FORMAT}, got {result.get('format')!r}; run the benchmark again")
    found = {(row["case"], row["dtype"], row["library"]): row for row in result["rows"]}
    lines = []
    for case in CASES:
        for dtype in DTYPES:
            theirs, ours = (found[case.name, dtype, library] for library in ("sklearn", "fastnn"))
            what = f"{case.name} {ours['samples']:,} x {ours['features']:,}, {dtype}"
            scores = [f"{row['score']:.4f}" for row in (theirs, ours)]
            times = [duration(row["seconds"]) for row in (theirs, ours)]
            ratio = f"{theirs['seconds'] / ours['seconds']:.2g}"
            lines.append([what, str(ours["epochs"]), *scores, *times, ratio])
    header = ["data", "epochs", "scikit-learn's score", "fastnn's", "scikit-learn's time", "fastnn's", "ratio"]
    load = result["machine"]["load_average"]
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    busy = f" The machine had other work: a load average of {load[0]:.1f}." if load and load[0] > 0.5 else ""
    where = f"{result['threads']} threads of {result['machine']['cpu']}; {versions}; {result['machine']['date']}."
    return f"Measured by `python -m benchmarks.estimators` on {where}{busy}\n\n{table(header, lines)}"


if __name__ == "__main__":
    sys.exit(main())
