"""`fastnn demo`: the options of the command, and the worked examples or the main demo."""

import argparse
import json
import pathlib
from typing import Any

from fastnn import demos
from fastnn.gate import arrays


def add(commands: Any) -> None:
    """Add the command to the subparsers of fastnn.command.cli."""
    what = "Train on handwritten digits, check the gradient, time a step."
    more = "The step is compared with NumPy's. The exit code is 1 if a check fails. With NAME, run a worked example."
    usage = "fastnn demo [NAME] [options]"
    parser = commands.add_parser("demo", usage=usage, description=f"{what} {more}", allow_abbrev=False)
    option = parser.add_argument
    option("name", nargs="?", choices=demos.DEMOS, metavar="NAME", help="a worked example")
    option("--list", action="store_true", help="show the worked examples")
    option("--folder", metavar="DIR", help="save the pictures of NAME there (needs matplotlib)")
    option("--json", action="store_true", help="print one JSON object instead of text")
    option("--seed", type=int, default=0, metavar="N", help="seed of all random numbers, if there are any (0)")
    parser.set_defaults(run=run, parser=parser)


def run(options: argparse.Namespace) -> int:
    """Run the demo or example, and return the exit code."""
    if options.json and (options.list or options.name):
        options.parser.error(f"argument --json: not with {'--list' if options.list else options.name}")
    if options.seed and options.list:
        options.parser.error("argument --seed: not with --list")
    if options.folder is not None and (options.list or not options.name):
        options.parser.error("argument --folder: only with the name of a worked example, and not with --list")
    if options.list:
        print(demos.listed())
        return 0
    if options.name:
        arrays.integer("--seed", options.seed, minimum=0)
        demos.run(options.name, None if options.folder is None else _new_folder(options.folder), options.seed)
        return 0
    from fastnn.command import demo

    result = demo.run(options.seed, quiet=options.json)
    if options.json:
        print(json.dumps(result, indent=2))
    return 0 if result["passed"] else 1


def _new_folder(name: str) -> pathlib.Path:
    """The folder, created if absent; refuses before the example runs what could not be saved after it."""
    from fastnn.plots import panels

    panels.require_matplotlib()
    folder = pathlib.Path(name)
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"--folder: expected a folder, got the file {folder}; choose another name")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
