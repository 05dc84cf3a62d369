"""`fastnn bench`: hands over to the benchmarks, which lie beside the package in a checkout and are not in the wheel."""

import argparse
import importlib
import pathlib
import sys
from typing import Any

ROOT = pathlib.Path(__file__).parents[2]
GROUPS = (
    "gradients, small, operations, activations, losses, products, steps, optimizers, layers, models, epochs, "
    "inference, images, contention"
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
        help="time again what is in OLD, the JSON file of an earlier run on this machine, and say which rows of fastnn "
        "are now slower or faster. Each row is timed in two processes. A change counts if it exceeds 3 %%, the "
        "difference between these two processes, and that of nine rows in ten. NumPy and the --peers (none) are timed "
        "as well: they show whether the machine itself has changed. The exit code is 1 if a row is slower.",
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
