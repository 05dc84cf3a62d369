"""`fastnn evaluate`: how good a network in a file is on the rows of a table."""

import argparse
from typing import Any

from fastnn.command import models, networks, table_options
from fastnn.command import options as common
from fastnn.errors import DatasetError

EXAMPLES = """examples:
  fastnn evaluate flowers.npz others.csv
  fastnn evaluate digits.npz digits
A network with an input_scale gets the pixels of images as they are, 0 to 255
(digits: 0 to 16), others get them divided by the brightest one."""
MOST_IN_MATRIX = 12  # classes whose confusion matrix fits a terminal


def add(commands: common.Commands) -> None:
    """Add the command to the subparsers of fastnn.command.cli."""
    parser = common.command(commands, "evaluate", run, "Measure a trained network on the rows of a table.")
    parser.usage, parser.epilog = "fastnn evaluate MODEL DATA [options]", EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    models.add_model_and_data(parser, "; or digits, mnist, or a folder of files like MNIST's, for a network of images")
    parser.add_argument("--threads", type=int, metavar="N", help="number of threads (all processors)")


def run(options: argparse.Namespace) -> int:
    """Print the loss and figures of the task."""
    network = models.load(options.model)
    models.set_threads(options)
    encoding = models.encoding_of(network, options.model)
    if encoding is None:
        return _on_images(network, options)
    from fastnn.command import outputs
    from fastnn.command.training_tables import fit_targets

    table = table_options.read_fitting(options.data, options, encoding, options.ignore, needs_targets=True)
    rows = table.rows
    table = encoding.complete(table)
    dropped = rows - table.rows
    x, t = encoding.encode(table, network.dtype), encoding.encode_targets(table, network.dtype)
    y = network.predict(x)
    loss = network.loss(x, fit_targets(t, encoding, network.engine.loss, network.dtype.name))
    figures = {"loss": loss, **outputs.scores(network, encoding, y, t)}
    if options.json:
        about = {"model": options.model, "data": options.data, "rows": len(x), "left_out": dropped}
        common.print_json({**about, "task": encoding.task, **figures})
        return 0
    left = f", {dropped:,} rows without a value in each cell left out" if dropped else ""
    print(f"{options.model} on {options.data}: {len(x):,} rows{left}\n")
    show(figures)
    return 0


def _on_images(network: Any, options: argparse.Namespace) -> int:
    """Measure a network that was not trained on a table on the test part of digits, MNIST or files like MNIST's."""
    import os

    from fastnn.command.training_data import load_images

    if options.data not in networks.IMAGES and not os.path.isdir(options.data):
        came = f"{options.data}; train on a table, whose columns the network then knows"
        raise DatasetError(f"DATA: expected digits, mnist or a folder for a network of images, got {came}")
    _, (x, t) = load_images(options.data, network.dtype.name, normalize=network.input_scale == 1.0)
    if x.shape[1] != network.inputs:
        raise DatasetError(f"DATA: expected samples of {network.inputs} inputs, got {x.shape[1]}; pass other data")
    x = x.reshape(len(x), *network.input_shape)
    targets = networks.targets_for(network.engine.loss, t, network.outputs, network.dtype.name)
    figures = {"loss": network.loss(x, targets), "accuracy": network.accuracy(x, t)}
    if options.json:
        common.print_json({"model": options.model, "data": options.data, "rows": len(x), **figures})
        return 0
    print(f"{options.model} on {options.data}: {len(x):,} samples\n")
    show(figures)
    return 0


def show(figures: dict[str, Any]) -> None:
    """Print figures: numbers first, then tables by class, label or target."""
    for name, value in figures.items():
        if isinstance(value, float):
            print(f"{name.replace('_', ' '):<24}{value:{'.4f' if abs(value) < 1e6 else '.6g'}}")
    if "classes" in figures:
        _show_classes(figures["classes"], figures["confusion"])
    for label, value in figures.get("labels", {}).items():
        print(f"  accuracy of {label:<12}{value:.4f}")
    for target, values in figures.get("targets", {}).items():
        shown = ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in values.items())
        print(f"  {target}: {shown}")


def _show_classes(classes: list[dict[str, Any]], confusion: list[list[int]]) -> None:
    """Print precision, recall and F1 of each class, and how many rows of each were predicted to be of each."""
    width = max(7, *(len(one["class"]) for one in classes))
    print(f"\n{'class':<{width}}  precision  recall      f1     rows")
    for one in classes:
        p, r, f = (f"{one[name]:.4f}" if one[name] is not None else "-" for name in ("precision", "recall", "f1"))
        print(f"{one['class']:<{width}}  {p:>9}  {r:>6}  {f:>6}  {one['rows']:>7,}")
    if len(classes) <= MOST_IN_MATRIX:
        widths = [max(6, len(one["class"])) for one in classes]
        print(f"\n{'rows of':<{width}}  predicted to be")
        print(f"{'':<{width}}  " + "  ".join(f"{one['class']:>{w}}" for one, w in zip(classes, widths, strict=True)))
        for one, row in zip(classes, confusion, strict=True):
            counts = "  ".join(f"{count:>{w},}" for count, w in zip(row, widths, strict=True))
            print(f"{one['class']:<{width}}  {counts}")
