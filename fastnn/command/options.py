"""The parts that several commands share: names to choose from, options, and their checks."""

import argparse
import contextlib
import json
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias, get_args

from fastnn.command.parser import Parser
from fastnn.gate.names import ActivationName, GradientKind, LossName, OptimizerName

ACTIVATIONS = tuple(name for name in get_args(ActivationName) if name != "softmax")  # which takes no single elements
LOSSES, OPTIMIZERS, GRADIENTS = (get_args(names) for names in (LossName, OptimizerName, GradientKind))
DTYPES = ("float32", "float64")
CROSS_ENTROPY: LossName = "softmax_cross_entropy"
# What argparse calls the object to which commands are added; it has no public name.
Commands: TypeAlias = Any


def command(commands: Commands, name: str, run: Callable[[argparse.Namespace], int], description: str) -> Parser:
    """A command with the common option; the first sentence of its description goes into the list of commands."""
    usage = f"fastnn {name} [options]"
    parser: Parser = commands.add_parser(name, usage=usage, description=description, allow_abbrev=False)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    parser.set_defaults(run=run, parser=parser)
    return parser


def add_seed(parser: Any) -> None:
    """Add the option of the seed to a parser, or to a group of its options."""
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of all random numbers (0)")


def print_json(result: dict[str, Any]) -> None:
    """Print a result as one JSON object."""
    print(json.dumps(result, indent=2))


def widths(text: str) -> list[int]:
    """The widths of hidden layers, as numbers between commas."""
    try:
        numbers = [int(part) for part in text.split(",")] if text.strip() not in {"", "0"} else []
    except ValueError:
        numbers = [0]
    if any(number < 1 for number in numbers):
        raise argparse.ArgumentTypeError(f"expected widths such as 50 or 100,50, or 0 for none, got {text!r}")
    return numbers


@contextlib.contextmanager
def naming(option: str) -> Iterator[None]:
    """Let an error about a file name the option that named the file."""
    try:
        yield
    except (ValueError, OSError) as error:
        if not str(error).startswith("path:"):
            raise
        raise type(error)(str(error).replace("path", option, 1)) from error


def check_place(option: str, file: str, is_network: bool = True) -> None:
    """Refuse before the training what could not be saved after it."""
    from fastnn.system.paths import check_writable, file_name, name_to_save

    path = pathlib.Path(file)
    with naming(option):
        (name_to_save if is_network else file_name)(file)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{option}: expected an existing folder, got {path.parent}; create it first")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise PermissionError(f"{option}: expected a file that you may write, got {file}; choose another")
    with naming(option):
        check_writable(file)


def check_different(read: Iterable[str | None], written: Iterable[tuple[str, str | None]]) -> None:
    """Refuse to write a file, named by an option, over one that is read, or over another one that is written."""
    taken = {os.path.realpath(file): "the file that is read" for file in read if file is not None}
    for option, file in written:
        if file is None:
            continue
        place = os.path.realpath(file)
        if place in taken:
            raise ValueError(f"{option}: expected a file of its own, got {file}, {taken[place]}; pass another name")
        taken[place] = f"that of {option}"
