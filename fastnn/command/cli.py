"""The command line: `fastnn demo`, `fastnn train`, `fastnn gradcheck`, `fastnn info` and others.

Each command has a module with `add`, which declares its options, and `run`, which takes them and returns the exit
code; COMMANDS lists them. A function imports the modules that only its command needs.

Exit codes: 0; 1 for a user's error or a failed check; 2 for options that cannot be understood; 130 after
Ctrl-C; 141 if the reader of the output has gone away.
"""

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence

from fastnn.command import bench, convert, evaluate, gradcheck, info, playground, predict, train
from fastnn.command.parser import Parser
from fastnn.demos import command as demo
from fastnn.dropin import script
from fastnn.system import messages
from fastnn.version import __version__

COMMANDS = (
    *(demo.add, train.add, predict.add, evaluate.add, convert.add, gradcheck.add, script.add),
    *(playground.add, info.add, bench.add),
)
# The option for each argument whose name may begin one of fastnn's errors.
OPTIONS = {
    "batch_size": "--batch-size", "class_weight": "--class-weight", "epochs": "--epochs", "folder": "--data",
    "l1": "--l1", "l2": "--l2", "lr": "--lr", "metrics": "--metrics", "momentum": "--momentum",
    "monitor": "monitor= of --early-stopping or --checkpoint", "most_categories": "--most-categories",
    "n": "--threads", "port": "--port", "rate": "--dropout", "rng": "--seed", "sample_weight": "--sample-weight",
    "seed": "--seed", "test_fraction": "--validation",
}  # fmt: skip
INTERRUPTED, READER_GONE = 130, 141  # what shells report for a program ended by SIGINT or SIGPIPE
DESCRIPTION = "Neural networks on the CPU, trained by compiled kernels."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code; `arguments` are by default the process's."""
    try:
        code = _run(arguments)
        print(end="", flush=True)  # here, where a closed pipe is caught
        return code
    except script.Ended as end:
        ended = end.error
    except KeyboardInterrupt:
        messages.tell("fastnn: interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        _forget_output()
        return READER_GONE
    except (ValueError, OSError, MemoryError, ImportError) as error:  # ImportError: an extra that is not installed
        messages.tell(f"fastnn: error: {_sentence(error)}")
        try:
            print(end="", flush=True)
        except OSError:  # a full disk, perhaps the error itself
            _forget_output()
        return 1
    raise ended  # outside all handlers, which would chain it to an error of ours


def _forget_output() -> None:
    """Drop what could not be written, as Python would try again, and complain, at its end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _sentence(error: Exception) -> str:
    """An error in one line; an argument's name at its beginning, as in fastnn's own, becomes the option's."""
    name, colon, rest = " ".join(str(error).split()).partition(":")
    argument = name.partition("[")[0]  # such as metrics[0]
    return f"{OPTIONS.get(argument, name)}{colon}{rest}" or type(error).__name__


def _run(arguments: Sequence[str] | None) -> int:
    parser = _parser()
    try:
        options, unknown = parser.parse_known_args(arguments)
        if unknown:
            options.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
        code: int = options.run(options)
        return code
    except SystemExit as stop:  # argparse has printed help, the version or an error
        return int(stop.code or 0)


def _parser() -> Parser:
    parser = Parser(
        prog="fastnn",
        usage="fastnn COMMAND [options]",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="'fastnn COMMAND --help' shows the options of a command.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"fastnn {__version__}", help="show the version")
    parser.set_defaults(run=_help, parser=parser)
    commands = parser.add_subparsers(prog="fastnn", metavar="COMMAND", help=argparse.SUPPRESS)
    for add in COMMANDS:
        add(commands)
    lines = [DESCRIPTION, "", "commands:"]  # argparse's own list would begin with an empty header
    for name, command in commands.choices.items():
        sentence = str(command.description).partition(".")[0]
        lines.append(f"  {name:<12}{sentence}")
    parser.description = "\n".join(lines)
    return parser


def _help(options: argparse.Namespace) -> int:
    options.parser.print_help()
    return 0
