"""The data that `fastnn train` trains on: digits, MNIST, or a table with its encoding."""

import argparse
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fastnn.command import networks, specs, table_options
from fastnn.errors import DatasetError
from fastnn.gate.arrays import Array

if TYPE_CHECKING:
    from fastnn.datasets.splits import TwoParts
    from fastnn.losses import Loss
    from fastnn.tables.encoding import Encoding


VALIDATION = "0.1"  # the usual share


@dataclass
class Data:
    """Samples and targets as the loss takes them; validation and test are pairs, None without any rows.

    Attributes: outputs, the number of the network's; encoding, of a table; lines, what to tell the user.
    """

    x: Array
    t: Any
    validation: Any
    test: Any
    outputs: int
    loss: "Loss"
    classes: tuple[str, ...] = ()
    labels: Any = None  # of the training, if there are classes
    test_targets: Any = None  # as they are, whatever the loss takes
    encoding: "Encoding | None" = None
    sample_weight: Any = None
    lines: list[str] = field(default_factory=list)


def prepare(options: argparse.Namespace, generator: Any) -> Data:
    """Read the data that the options name."""
    name = options.data
    if name not in networks.IMAGES and not os.path.isdir(name):
        if not os.path.exists(name) and not os.path.splitext(name)[1]:
            came = f"got {name!r}; there is no such folder"
            raise DatasetError(f"--data: expected digits, mnist, a folder or a file with a table, {came}")
        from fastnn.command import training_tables

        return training_tables.prepare(options, generator)
    for option, usual in table_options.OF_TABLES.items():
        if getattr(options, option) != usual:
            options.parser.error(f"argument --{option.replace('_', '-')}: only for a table, such as --data my.csv")
    return _of_images(options, generator)


def load_images(name: str, dtype: str, normalize: bool = True, flatten: bool = True) -> "TwoParts":
    """The training and the test part of digits, MNIST, or a folder of files in its format.

    normalize: whether to divide the pixels by the brightest one; a network with an input_scale multiplies them itself.
    flatten: whether each image becomes a row.
    """
    from fastnn import datasets

    if name == "digits":
        return datasets.load_digits(normalize=normalize, dtype=dtype, flatten=flatten)
    return datasets.load_mnist(None if name == "mnist" else name, normalize=normalize, flatten=flatten)


def _of_images(options: argparse.Namespace, generator: Any) -> Data:
    from fastnn.datasets import train_test_split

    loss = networks.loss_of(options.loss or "softmax_cross_entropy")
    (x, t), (x_test, t_test) = load_images(options.data, options.dtype, flatten=not specs.takes_images(options.layers))
    share = share_of("--validation", VALIDATION if options.validation is None else options.validation)
    (x, t), (x_validation, t_validation) = train_test_split(x, t, share, generator)
    count = networks.CLASSES

    def fitting(t: Any) -> Any:
        return networks.targets_for(loss, t, count, options.dtype)

    parts = f"{len(x):,} samples to train, {len(x_validation):,} to validate, {len(x_test):,} to test"
    validation = (x_validation, fitting(t_validation)) if len(x_validation) else None
    made = Data(x, fitting(t), validation, (x_test, fitting(t_test)), count, loss, test_targets=t_test)
    made.classes, made.labels, made.lines = tuple(map(str, range(count))), t, [f"{options.data}: {parts}"]
    return made


def share_of(option: str, text: str, or_file: bool = False) -> float:
    """The share that an option says; or_file: whether a file that is there may take its place."""
    from fastnn.gate import arrays

    try:
        number = float(text)
    except ValueError as error:
        expected = f"{option}: expected a share such as 0.1{', or a file' if or_file else ''}, got {text!r}"
        remedy = "there is no such file" if or_file else "a file is for a table, such as --data my.csv"
        raise ValueError(f"{expected}; {remedy}") from error
    return arrays.real(option, number, minimum=0, below=1)
