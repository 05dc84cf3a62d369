"""`fastnn dropin SCRIPT`: runs a script of the books as it is, on the replaced modules."""

import argparse
import builtins
import contextlib
import importlib.machinery
import os
import sys
import types
from typing import Any, NoReturn

from fastnn.dropin import own_loop, record
from fastnn.dropin.install import install


class Ended(BaseException):
    """The script has ended with the error within, which Python must treat as for `python SCRIPT`."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error


class Loader(importlib.machinery.SourceFileLoader):
    """Reads the script's source, and keeps no compiled file beside it."""

    def path_stats(self, path: Any) -> NoReturn:
        """Raise an OSError, by which a loader says that it keeps none."""
        raise OSError

    def source_to_code(self, data: Any, path: Any, **options: Any) -> Any:  # type: ignore[override]
        """Compile as always, with the script's own numerical gradients decorated."""
        return super().source_to_code(own_loop.marked(data), path, **options)


def add(commands: Any) -> None:
    """Add the command to the subparsers of fastnn.command.cli."""
    what = 'Run a script of "Deep Learning from Scratch" on fastnn.'
    more = "Its packages common and dataset are replaced. Options come before SCRIPT, the script's own after it."
    usage = "fastnn dropin [options] SCRIPT [arguments of the script]"
    parser = commands.add_parser("dropin", usage=usage, description=f"{what} {more}", allow_abbrev=False)
    option = parser.add_argument
    option("--volume", type=int, choices=(1, 2), default=1, help="1 or 2, the volume that the script is from (1)")
    option("--force", action="store_true", help="also replace names of the script's own common that differ")
    option("--report", action="store_true", help="print at the end how numerical gradients were evaluated, and why")
    # One option with all arguments: between two, argparse would take a "--" for its own.
    option("script", nargs=argparse.PARSER, metavar="SCRIPT", help="a Python file and its arguments")
    parser.set_defaults(run=run, parser=parser)


def run(options: argparse.Namespace) -> NoReturn:
    """Run the script as `python SCRIPT` would.

    Raises
    ------
    Ended
        Always, with the script's error, or SystemExit at its regular end.
    """
    arguments = options.script[options.script[0] == "--" :]
    name = arguments[0] if arguments else "nothing"
    if not os.path.isfile(name):
        came = "a folder" if os.path.isdir(name) else "no such file"
        raise FileNotFoundError(f"SCRIPT: expected a Python file, got {name} ({came}); check its name")
    file = os.path.join(os.getcwd(), name)  # as Python makes it absolute
    with open(file, "rb"):  # a refusal here is not the script's error
        pass
    if not sys.flags.safe_path:
        sys.path[0] = os.path.dirname(os.path.realpath(file))
    install(options.volume, force=options.force)
    sys.argv = arguments
    try:
        _run(file)
    except BaseException as error:
        _show_frames_of(file, error)
        raise Ended(error) from error
    finally:
        if options.report:
            with contextlib.suppress(OSError, ValueError):  # the script has closed stdout, or its reader has gone
                print(f"\n{record.table()}", flush=True)
    raise Ended(SystemExit(0))


def _run(file: str) -> None:
    """Run the file as the module __main__, which stays in place for pickling, forks and exit handlers."""
    started = sys.modules["__main__"]
    main: Any = types.ModuleType("__main__")
    main.__file__, main.__cached__, main.__builtins__ = file, None, builtins
    main.__loader__ = importlib.machinery.SourceFileLoader("__main__", file)
    if "__annotations__" in vars(started):  # not from Python 3.14 on
        main.__annotations__ = {}
    sys.modules["__main__"] = main
    Loader("__main__", file).exec_module(main)


def _show_frames_of(file: str, error: BaseException) -> None:
    """Let the traceback that Python will print begin at the script's own frames."""
    frames, hook = error.__traceback__, sys.excepthook
    while frames is not None and frames.tb_frame.f_code.co_filename != file:
        frames = frames.tb_next
    sys.excepthook = lambda kind, error, _: hook(kind, error.with_traceback(frames), frames)
