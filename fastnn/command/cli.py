"""The command line: `fastnn demo`, `fastnn train`, `fastnn gradcheck`, `fastnn info`.

A command is a function that declares its options and names the function that runs it; COMMANDS lists them. A function
that runs a command takes the options and returns the exit code. A function imports the modules that only its command
needs.

Exit codes: 0; 1 for a user's error or a failed check; 2 for options that cannot be understood; 130 after
Ctrl-C; 141 if the reader of the output has gone away.
"""

import argparse
import contextlib
import json
import os
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, get_args

from fastnn.command import bench
from fastnn.command.parser import Parser
from fastnn.demos import command as demo
from fastnn.dropin import script
from fastnn.errors import DatasetError
from fastnn.gate.names import ActivationName, GradientKind, LossName, OptimizerName
from fastnn.system import messages
from fastnn.version import __version__

if TYPE_CHECKING:
    import numpy as np

    from fastnn.datasets.splits import TwoParts
    from fastnn.network.history import History
    from fastnn.network.network import Network
    from fastnn.optimizers import Optimizer

ACTIVATIONS = tuple(name for name in get_args(ActivationName) if name != "softmax")  # which takes no single elements
LOSSES, OPTIMIZERS, GRADIENTS = (get_args(names) for names in (LossName, OptimizerName, GradientKind))
DTYPES = ("float32", "float64")
CROSS_ENTROPY: LossName = "softmax_cross_entropy"
CLASSES = 10  # of the digits, of MNIST and of files in its format
# The option for each argument whose name may begin one of fastnn's errors.
OPTIONS = {
    "batch_size": "--batch-size", "epochs": "--epochs", "folder": "--data", "lr": "--lr", "momentum": "--momentum",
    "n": "--threads", "path": "--save", "seed": "--seed", "test_fraction": "--validation",
}  # fmt: skip
INTERRUPTED, READER_GONE = 130, 141  # what shells report for a program ended by SIGINT or SIGPIPE
DESCRIPTION = "Neural networks on the CPU, trained by compiled kernels."
# What argparse calls the object to which commands are added; it has no public name.
Commands: TypeAlias = Any


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
        with contextlib.suppress(OSError):  # else Python complains when it flushes at its end
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_GONE
    except (ValueError, OSError, MemoryError, ImportError) as error:  # ImportError: an extra that is not installed
        messages.tell(f"fastnn: error: {_sentence(error)}")
        return 1
    raise ended  # outside all handlers, which would chain it to an error of ours


def _sentence(error: Exception) -> str:
    """An error in one line; an argument's name at its beginning, as in fastnn's own, becomes the option's."""
    name, colon, rest = " ".join(str(error).split()).partition(":")
    return f"{OPTIONS.get(name, name)}{colon}{rest}" or type(error).__name__


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
        lines.append(f"  {name:<11}{sentence}")
    parser.description = "\n".join(lines)
    return parser


def _help(options: argparse.Namespace) -> int:
    options.parser.print_help()
    return 0


def _command(commands: Commands, name: str, run: Callable[[argparse.Namespace], int], description: str) -> Parser:
    """A command with the common option; the first sentence of its description goes into the list of commands."""
    usage = f"fastnn {name} [options]"
    parser: Parser = commands.add_parser(name, usage=usage, description=description, allow_abbrev=False)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    parser.set_defaults(run=run, parser=parser)
    return parser


def _add_seed(parser: Parser) -> None:
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of all random numbers (0)")


def _print_json(result: dict[str, Any]) -> None:
    print(json.dumps(result, indent=2))


# --- fastnn info ---------------------------------------------------------------------------------------------------


def _add_info(commands: Commands) -> None:
    _command(commands, "info", _info, "Show versions, processor, threads and folders.")


def _info(options: argparse.Namespace) -> int:
    from fastnn import environment
    from fastnn.engine import threads

    threads.started_layer()  # Numba does not say on which layer its threads are before they are started
    if options.json:
        _print_json(environment.config())
    else:
        environment.show_config()
    return 0


# --- fastnn train --------------------------------------------------------------------------------------------------


def _add_train(commands: Commands) -> None:
    parser = _command(commands, "train", _train, "Train a network on digits, MNIST or your own files.")
    add = parser.add_argument
    add("--data", default="digits", metavar="DATA", help="digits, mnist or a folder of files like MNIST's (digits)")
    add("--hidden", type=_widths, default=[50], metavar="H,H", help="widths of hidden layers; 0 for none (50)")
    names = f"one of {', '.join(ACTIVATIONS)} (relu)"
    add("--activation", choices=ACTIVATIONS, default="relu", metavar="NAME", help=f"after each hidden layer: {names}")
    add("--epochs", type=int, default=20, metavar="N", help="passes over the training samples (20)")
    add("--batch-size", type=int, default=32, metavar="N", help="samples for one step (32)")
    add("--optimizer", choices=OPTIMIZERS, default="sgd", metavar="NAME", help=f"one of {', '.join(OPTIMIZERS)} (sgd)")
    add("--lr", type=float, metavar="X", help="learning rate (0.1; the optimizer's own, if it has an epsilon)")
    add("--momentum", type=float, metavar="X", help="share of the velocity kept, for momentum and nesterov (0.9)")
    add("--validation", type=float, default=0.1, metavar="X", help="share of the training samples set aside (0.1)")
    add("--dtype", choices=DTYPES, default="float32", metavar="NAME", help="float32 or float64 (float32)")
    add("--threads", type=int, metavar="N", help="number of threads, which changes no result (all processors)")
    add("--gradient", choices=GRADIENTS, default="analytic", metavar="NAME", help="analytic or numerical (analytic)")
    add("--save", metavar="FILE", help="write the network to a file that fastnn.load reads")
    add("--checkpoint", metavar="FILE", help="after each epoch write all that it takes to go on after a kill")
    add("--resume", action="store_true", help="go on from the file of --checkpoint, if there is one")
    add("--quiet", action="store_true", help="print the test accuracy alone")
    _add_seed(parser)


def _widths(text: str) -> list[int]:
    try:
        numbers = [int(part) for part in text.split(",")] if text.strip() not in {"", "0"} else []
    except ValueError:
        numbers = [0]
    if any(number < 1 for number in numbers):
        raise argparse.ArgumentTypeError(f"expected widths such as 50 or 100,50, or 0 for none, got {text!r}")
    return numbers


def _train(options: argparse.Namespace) -> int:
    if options.momentum is not None:
        names = [name for name, kind in _optimizers().items() if hasattr(kind, "momentum")]
        if options.optimizer not in names:
            options.parser.error(f"argument --momentum: only together with --optimizer {' or '.join(names)}")
    if options.resume and options.checkpoint is None:
        options.parser.error("argument --resume: only together with --checkpoint FILE")
    for option, file in (("--save", options.save), ("--checkpoint", options.checkpoint)):
        if file is not None:
            _check_place(option, file)
    from fastnn.datasets import train_test_split
    from fastnn.engine import threads
    from fastnn.gate import arrays

    optimizer = _optimizer(options)
    generator = arrays.generator("seed", arrays.integer("seed", options.seed, minimum=0))
    epochs = arrays.integer("epochs", options.epochs, minimum=0)
    batch_size = arrays.integer("batch_size", options.batch_size, minimum=1)
    if options.threads is not None:
        threads.set_num_threads(options.threads)
    (x, t), test = _load(options.data, options.dtype)
    (x, t), validation = train_test_split(x, t, options.validation, generator)
    network = _network(x.shape[1], options, generator)
    talks = not (options.json or options.quiet)
    callbacks: list[Any] = [_Table()] if talks else []
    if options.checkpoint is not None:
        from fastnn.network.checkpoint import Checkpoint

        callbacks.append(Checkpoint(options.checkpoint))
    if talks:
        parts = f"{len(x):,} samples to train, {len(validation[0]):,} to validate, {len(test[0]):,} to test"
        print(f"{network.summary()}\n\n{options.data}: {parts}\n", flush=True)
    try:
        network.fit(
            x,
            t,
            epochs=epochs,
            batch_size=batch_size,
            optimizer=optimizer,
            validation_data=validation if len(validation[0]) else None,
            rng=generator,
            gradient=options.gradient,
            progress=talks,
            callbacks=callbacks,
            resume=options.checkpoint if options.resume else None,
        )
    except KeyboardInterrupt:
        if options.save is not None:  # so that the training is not lost
            network.save(options.save)
            messages.tell(f"fastnn: saved the network so far to {options.save}")
        raise
    if options.save is not None:
        network.save(options.save)
    _report(network, test, options)
    return 0


def _check_place(option: str, file: str) -> None:
    """Refuse before the training what could not be saved after it."""
    from fastnn.network.files.paths import name_to_save

    path = pathlib.Path(file)
    if path.is_dir():
        raise IsADirectoryError(f"{option}: expected a file name, got the folder {file}; add a name to it")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{option}: expected an existing folder, got {path.parent}; create it first")
    try:
        name_to_save(file)
    except ValueError as error:
        raise ValueError(str(error).replace("path", option, 1)) from error
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise PermissionError(f"{option}: expected a file that you may write, got {file}; choose another")


def _load(data: str, dtype: str) -> "TwoParts":
    from fastnn import datasets

    if data == "digits":
        return datasets.load_digits(dtype=dtype)
    if data != "mnist" and not os.path.isdir(data):
        raise DatasetError(f"--data: expected digits, mnist or a folder, got {data!r}; there is no such folder")
    return datasets.load_mnist(None if data == "mnist" else data)


def _network(
    inputs: int, options: argparse.Namespace, generator: "np.random.Generator", loss: LossName = CROSS_ENTROPY
) -> "Network":
    """The network that --hidden, --activation, --loss and --dtype ask for."""
    from fastnn import operations
    from fastnn.layers import Affine, Layer
    from fastnn.network.network import Network

    layers: list[Layer] = []
    for width in options.hidden:
        layers += [Affine(inputs, width), operations.ACTIVATIONS[options.activation]()]
        inputs = width
    layers.append(Affine(inputs, CLASSES))
    layers += [operations.ACTIVATIONS[name]() for name in operations.LOSSES[loss].follows[:1]]
    return Network(layers, loss, rng=generator, dtype=options.dtype)


def _optimizers() -> dict[str, type["Optimizer"]]:
    from fastnn.operations import OPTIMIZERS

    return {name.lower(): kind for name, kind in OPTIMIZERS.items()}


def _optimizer(options: argparse.Namespace) -> "Optimizer":
    from fastnn.optimizers import SGD

    kind = _optimizers()[options.optimizer]
    given = {"lr": options.lr, "momentum": options.momentum}
    if options.lr is None and kind.lr == SGD.lr and not hasattr(kind, "epsilon"):
        given["lr"] = 0.1
    return kind(**{name: value for name, value in given.items() if value is not None})


class _Table:
    """Prints a row after each epoch, in columns as wide as their names; the constant learning rate is left out."""

    begun = False

    def __call__(self, network: "Network", history: "History") -> None:
        figures = {name.replace("_", " "): value for name, value in history.last().items() if name != "learning_rate"}
        if not self.begun:
            print("epoch  " + "  ".join(f"{name:>8}" for name in figures))
        texts = {name: f"{value:.4f}" if abs(value) < 1000 else f"{value:.3g}" for name, value in figures.items()}
        line = "  ".join(f"{text:>{max(8, len(name))}}" for name, text in texts.items())
        print(f"{history.epochs:>5}  {line}", flush=True)
        self.begun = True


def _report(network: "Network", test: Any, options: argparse.Namespace) -> None:
    """Print the result on the test samples, which training has not seen."""
    accuracy, history = network.accuracy(*test), network.history
    assert history is not None
    if options.json:
        layers = [str(layer) for layer in network.layers]
        figures = {"test_accuracy": accuracy, "test_loss": network.loss(*test), "history": vars(history)}
        _print_json({"data": options.data, "layers": layers, "seed": options.seed, **figures, "saved": options.save})
        return
    if options.quiet:
        print(f"{accuracy:.4f}")
        return
    print(f"\ntest accuracy {accuracy:.4f} after {sum(history.seconds):.1f} s of training")
    if options.save is not None:
        print(f"saved; read it with fastnn.load({options.save!r})")


# --- fastnn gradcheck -----------------------------------------------------------------------------------------------


EXIT_CODES = "The exit code is 0 where they agree, 1 where they differ, 3 where nobody can tell."


def _add_gradcheck(commands: Commands) -> None:
    description = "Compare a network's gradient with difference quotients. The data are some of the digits."
    parser = _command(commands, "gradcheck", _gradcheck, f"{description} {EXIT_CODES}")
    add = parser.add_argument
    add("--hidden", type=_widths, default=[20], metavar="H,H", help="widths of hidden layers; 0 for none (20)")
    names = f"one of {', '.join(ACTIVATIONS)} (sigmoid)"
    add("--activation", choices=ACTIVATIONS, default="sigmoid", metavar="NAME", help=names)
    names = f"one of {', '.join(LOSSES)} ({CROSS_ENTROPY})"
    add("--loss", choices=LOSSES, default=CROSS_ENTROPY, metavar="NAME", help=names)
    add("--samples", type=int, default=50, metavar="N", help="how many digits (50)")
    add("--h", type=float, default=1e-4, metavar="X", help="the largest of three steps (1e-4)")
    add("--dtype", choices=DTYPES, default="float32", metavar="NAME", help="float32 or float64 (float32)")
    add("--plot", metavar="FILE", help="draw the errors of all entries as a heat map (needs matplotlib)")
    _add_seed(parser)


def _gradcheck(options: argparse.Namespace) -> int:
    from fastnn import datasets
    from fastnn.gate import arrays
    from fastnn.gradients.check import AGREE, CANNOT_TELL, DIFFER, check_gradients
    from fastnn.operations import LOSSES as KINDS
    from fastnn.operations.losses.base import SIGNS

    samples = arrays.integer("samples", options.samples, minimum=1)
    generator = arrays.generator("seed", arrays.integer("seed", options.seed, minimum=0))
    (x, t), _ = datasets.load_digits(dtype=options.dtype)
    some = generator.permutation(len(x))[:samples]
    network = _network(x.shape[1], options, generator, loss=options.loss)
    targets, kind = t[some], KINDS[options.loss]
    if not kind().takes_classes:
        shares = datasets.one_hot(targets, network.outputs)
        targets = 2 * shares - 1 if kind.accepts == SIGNS else shares
    report = check_gradients(network, x[some], targets, h=options.h)
    if options.plot is not None:
        report.plot(options.plot)
    if options.json:
        _print_json(report.to_dict())
    else:
        print(f"{network.summary()}\n\n{report}")
        if options.plot is not None:
            print(f"drawn in {options.plot}")
    return {AGREE: 0, DIFFER: 1, CANNOT_TELL: 3}[report.verdict]


COMMANDS = (demo.add, _add_train, _add_gradcheck, script.add, _add_info, bench.add)
