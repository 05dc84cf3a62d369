"""`fastnn train`: trains a network on the digits, on MNIST or on files like MNIST's."""

import argparse
import os
from typing import TYPE_CHECKING, Any

from fastnn.command import options as common
from fastnn.command.networks import network_of
from fastnn.errors import DatasetError
from fastnn.system import messages

if TYPE_CHECKING:
    from fastnn.datasets.splits import TwoParts
    from fastnn.network.history import History
    from fastnn.network.network import Network
    from fastnn.optimizers import Optimizer


def add(commands: common.Commands) -> None:
    """Add the command to the subparsers of fastnn.command.cli."""
    parser = common.command(commands, "train", run, "Train a network on digits, MNIST or your own files.")
    add = parser.add_argument
    add("--data", default="digits", metavar="DATA", help="digits, mnist or a folder of files like MNIST's (digits)")
    add("--hidden", type=common.widths, default=[50], metavar="H,H", help="widths of hidden layers; 0 for none (50)")
    names = f"one of {', '.join(common.ACTIVATIONS)} (relu)"
    add(
        "--activation",
        choices=common.ACTIVATIONS,
        default="relu",
        metavar="NAME",
        help=f"after each hidden layer: {names}",
    )
    add("--epochs", type=int, default=20, metavar="N", help="passes over the training samples (20)")
    add("--batch-size", type=int, default=32, metavar="N", help="samples for one step (32)")
    add(
        "--optimizer",
        choices=common.OPTIMIZERS,
        default="sgd",
        metavar="NAME",
        help=f"one of {', '.join(common.OPTIMIZERS)} (sgd)",
    )
    add("--lr", type=float, metavar="X", help="learning rate (0.1; the optimizer's own, if it has an epsilon)")
    add("--momentum", type=float, metavar="X", help="share of the velocity kept, for momentum and nesterov (0.9)")
    add("--validation", type=float, default=0.1, metavar="X", help="share of the training samples set aside (0.1)")
    add("--dtype", choices=common.DTYPES, default="float32", metavar="NAME", help="float32 or float64 (float32)")
    add("--threads", type=int, metavar="N", help="number of threads, which changes no result (all processors)")
    add(
        "--gradient",
        choices=common.GRADIENTS,
        default="analytic",
        metavar="NAME",
        help="analytic or numerical (analytic)",
    )
    add("--save", metavar="FILE", help="write the network to a file that fastnn.load reads")
    add("--checkpoint", metavar="FILE", help="after each epoch write all that it takes to go on after a kill")
    add("--resume", action="store_true", help="go on from the file of --checkpoint, if there is one")
    add("--quiet", action="store_true", help="print the test accuracy alone")
    common.add_seed(parser)


def run(options: argparse.Namespace) -> int:
    """Train, and report the result on samples that training has not seen."""
    if options.momentum is not None:
        names = [name for name, kind in _optimizers().items() if hasattr(kind, "momentum")]
        if options.optimizer not in names:
            options.parser.error(f"argument --momentum: only together with --optimizer {' or '.join(names)}")
    if options.resume and options.checkpoint is None:
        options.parser.error("argument --resume: only together with --checkpoint FILE")
    for option, file in (("--save", options.save), ("--checkpoint", options.checkpoint)):
        if file is not None:
            common.check_place(option, file)
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
    network = network_of(x.shape[1], options, generator)
    talks = not (options.json or options.quiet)
    callbacks: list[Any] = [Table()] if talks else []
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


def _load(data: str, dtype: str) -> "TwoParts":
    from fastnn import datasets

    if data == "digits":
        return datasets.load_digits(dtype=dtype)
    if data != "mnist" and not os.path.isdir(data):
        raise DatasetError(f"--data: expected digits, mnist or a folder, got {data!r}; there is no such folder")
    return datasets.load_mnist(None if data == "mnist" else data)


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


class Table:
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
        common.print_json(
            {"data": options.data, "layers": layers, "seed": options.seed, **figures, "saved": options.save}
        )
        return
    if options.quiet:
        print(f"{accuracy:.4f}")
        return
    print(f"\ntest accuracy {accuracy:.4f} after {sum(history.seconds):.1f} s of training")
    if options.save is not None:
        print(f"saved; read it with fastnn.load({options.save!r})")
