"""`fastnn dropin SCRIPT`: runs a script of the books as it is, on the replaced modules. Imports install and record."""

import argparse
import pathlib
import runpy
import sys
from typing import Any, TypeAlias

from fastnn.dropin import record
from fastnn.dropin.install import install

# What argparse calls the object to which commands are added; it has no public name.
Commands: TypeAlias = Any
INTERRUPTED = 130


def add(commands: Commands) -> None:
    """Add the command to those of fastnn.cli."""
    what = 'Run a script of "Deep Learning from Scratch" on fastnn.'
    more = "Its packages common and dataset are replaced. Options come before SCRIPT, the script's own after it."
    usage = "fastnn dropin [options] SCRIPT [arguments of the script]"
    parser = commands.add_parser("dropin", usage=usage, description=f"{what} {more}", allow_abbrev=False)
    option = parser.add_argument
    option("--volume", type=int, choices=(1, 2), default=1, help="1 or 2, the volume that the script is from (1)")
    option("--report", action="store_true", help="print at the end how numerical gradients were evaluated, and why so")
    option("script", metavar="SCRIPT", help="a file of Python")
    option("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS).required = False
    parser.set_defaults(run=run, parser=parser)


def run(options: argparse.Namespace) -> int:
    """Run the script as `python SCRIPT` would, and return its exit code."""
    file = pathlib.Path(options.script)
    if not file.is_file():
        came = "a folder" if file.is_dir() else "no such file"
        raise FileNotFoundError(f"SCRIPT: expected a file of Python, got {options.script} ({came}); check its name")
    install(options.volume)
    sys.argv = [options.script, *options.arguments]
    sys.path[0] = str(file.resolve().parent)
    try:
        code = _run(options.script)
    finally:
        if options.report:
            print(f"\n{record.table()}", flush=True)
    return code


def _run(name: str) -> int:
    try:
        runpy.run_path(name, run_name="__main__")
    except SystemExit as stop:
        if stop.code is None or isinstance(stop.code, int):
            return stop.code or 0
        print(stop.code, file=sys.stderr)
        return 1
    except BaseException as error:  # as Python shows it, without the frames that are not the script's
        frames = error.__traceback__
        while frames is not None and frames.tb_frame.f_code.co_filename != name:
            frames = frames.tb_next
        sys.excepthook(type(error), error.with_traceback(frames), frames)
        return INTERRUPTED if isinstance(error, KeyboardInterrupt) else 1
    return 0
