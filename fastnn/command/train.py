"""`fastnn train`: trains a network on the digits, on MNIST, on files like MNIST's, or on a table."""

import argparse
from typing import TYPE_CHECKING, Any

from fastnn.command import fitting, models, train_options
from fastnn.command import options as common
from fastnn.system import messages

if TYPE_CHECKING:
    from fastnn.command.training_data import Data
    from fastnn.network.network import Network


def add(commands: common.Commands) -> None:
    """Add the command to the subparsers of fastnn.command.cli."""
    parser = common.command(commands, "train", run, "Train a network on digits, MNIST or your own files.")
    train_options.add(parser)


def run(options: argparse.Namespace) -> int:
    """Train, and report the result on samples that training has not seen."""
    fitting.check_options(options)
    from fastnn.command import training_data
    from fastnn.command.networks import network_of
    from fastnn.engine import threads
    from fastnn.gate import arrays

    generator = arrays.generator("seed", arrays.integer("seed", options.seed, minimum=0))
    if options.threads is not None:
        threads.set_num_threads(options.threads)
    data = training_data.prepare(options, generator)
    network = network_of(data.x.shape[1:], data.outputs, options, generator, data.loss)
    if data.encoding is not None:
        network.notes["table"] = data.encoding.to_note()
    arguments, callbacks = fitting.arguments(options, data, generator), fitting.callbacks(options, data)
    talks = not (options.json or options.quiet)
    table = fitting.Table(arguments["epochs"])
    if talks:
        lines = "\n".join(data.lines)
        print(f"{network.summary()}\n\n{lines}\n", flush=True)
        callbacks.insert(0, table)
    if line := fitting.about_replaced(options):
        messages.tell(line)
    try:
        with fitting.naming_files(options):
            network.fit(data.x, data.t, progress=talks, callbacks=callbacks, **arguments)
    except KeyboardInterrupt:
        if options.save is not None:  # so that the training is not lost
            _save(network, options.save)
            messages.tell(f"fastnn: saved the network so far to {options.save}")
        raise
    if talks and not table.begun and network.history:
        done = f"epoch {network.history.epochs} of {arguments['epochs']}"
        print(f"{arguments['resume']} is already at {done}; nothing to train")
    if options.save is not None:
        _save(network, options.save)
    _report(network, data, callbacks, options)
    return 0


def _save(network: "Network", file: str) -> None:
    with common.naming("--save"):
        network.save(file)


def _report(network: "Network", data: "Data", callbacks: list[Any], options: argparse.Namespace) -> None:
    """Print the result on the test samples, which training has not seen."""
    figures = {} if data.test is None else _measured(network, data)
    history = network.history
    assert history is not None
    if options.json:
        layers = [str(layer) for layer in network.layers]
        table = {} if data.encoding is None else _about(data)
        test = {f"test_{name}": value for name, value in figures.items()}
        own = {"data": options.data, "layers": layers, "seed": options.seed, **table, **test, "history": vars(history)}
        common.print_json({**own, "saved": options.save})
        return
    main = figures.get("accuracy", figures.get("r2_score"))
    if options.quiet:
        print("no test samples" if main is None else f"{main:.4f}")
        return
    for callback in callbacks:
        if getattr(callback, "best_epoch", None) is not None:
            print(f"the network is that of epoch {callback.best_epoch + 1}, the best one")
    names = [
        name for name in figures if name not in ("loss", "classes", "confusion", "labels", "targets", "all_labels")
    ]
    shown = ", ".join(f"{name.replace('_', ' ')} {figures[name]:.4f}" for name in names)
    result = f"test {shown}" if shown else "no samples to test,"
    print(f"\n{result} after {sum(history.seconds):.1f} s of training")
    if options.save is not None:
        if data.encoding is None:
            print(f"saved; read it with fastnn.load({options.save!r})")
        else:
            print(f"saved; use it by fastnn predict {options.save} FILE, which takes the table's columns as they are")
            print(f"(fastnn.load({options.save!r}) is the network alone: {models.ENCODED})")


def _measured(network: "Network", data: "Data") -> dict[str, Any]:
    """Figures on the test samples."""
    x, t = data.test
    if data.encoding is None:
        return {"accuracy": network.accuracy(x, data.test_targets), "loss": network.loss(x, t)}
    from fastnn.command import outputs

    return {**outputs.scores(network, data.encoding, network.predict(x), data.test_targets), "loss": network.loss(x, t)}


def _about(data: "Data") -> dict[str, Any]:
    """The task, the rows and the columns, for JSON."""
    encoding = data.encoding
    assert encoding is not None
    parts = {"train": data.x, "validation": (data.validation or [()])[0], "test": (data.test or [()])[0]}
    return {
        "task": encoding.task,
        "targets": [one.name for one in encoding.targets],
        "inputs": encoding.input_names,
        "rows": {name: len(part) for name, part in parts.items()},
    }
