"""`fastnn bench`: hands over to the benchmarks, which lie beside the package in a checkout and are not in the wheel."""

import argparse
import importlib
import pathlib
import sys
from typing import Any

ROOT = pathlib.Path(__file__).parents[2]
GROUPS = (
    "gradients, small, operations, activations, losses, products, steps, optimizers, layers, models, epochs, "
    "inference, contention"
)
PEERS = "torch, torch_compiled, jax, sklearn, scipy, numdifftools, onnxruntime, openvino"


def add(commands: Any) -> None:
    """Add the command to the subparsers of fastnn.command.cli."""
    what = "Time fastnn beside NumPy, PyTorch, JAX and other libraries."
    more = "The report names the ones that are not installed. The exit code is 1 if fastnn disagrees with NumPy."
    usage = "fastnn bench [options]"
    parser = commands.add_parser("bench", usage=usage, description=f"{what} {more}", allow_abbrev=False)
    option = parser.add_argument
    option("--json", action="store_true", help="print one JSON object instead of text")
    option("--quick", action="store_true", help="fewer cases on all processors, in less than 90 s")
    option("--peers", metavar="NAME,..", help=f"beside fastnn and NumPy, out of {PEERS} (all)")
    option("--threads", metavar="N,N", help="numbers of threads (all processors, and 1)")
    option("--groups", metavar="NAME,..", help=f"out of {GROUPS} (all)")
    option("--out", metavar="FOLDER", help="where the figures, tables and plots go (benchmarks/results)")
    option(
        "--compare",
        metavar="OLD",
        help="say which rows of fastnn are slower or faster than in OLD, the JSON file of an earlier run on this "
        "machine: each is timed in two processes, and counts only beyond 3 %%, what the two differ by, and what they "
        "differ by in one row of ten; NumPy and --peers (none) are a control of the machine; the exit code is 1 if a "
        "row is slower",
    )
    parser.set_defaults(run=run, parser=parser)


def run(options: argparse.Namespace) -> int:
    """Run the benchmarks of the checkout that fastnn was imported from."""
    if not (ROOT / "benchmarks" / "driver.py").is_file():
        raise FileNotFoundError(
            f"bench: expected the folder benchmarks in {ROOT}, got none; it comes with fastnn's repository and source "
            "distribution, not with the wheel: unpack one and run `pip install -e .` there"
        )
    sys.path.insert(0, str(ROOT))
    module: Any = importlib.import_module("benchmarks.compare" if options.compare else "benchmarks.driver")
    code: int = module.main(options)
    return code
