"""The arguments of `Network.fit` that the options of `fastnn train` stand for."""

import argparse
import contextlib
import os
import re
import time
from collections.abc import Iterator
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from fastnn.command import models, specs
from fastnn.command import options as common

if TYPE_CHECKING:
    import numpy as np

    from fastnn.command.training_data import Data
    from fastnn.network.checkpoint import Checkpoint
    from fastnn.network.history import History
    from fastnn.network.network import Network
    from fastnn.optimizers import Optimizer

OPTIMIZER, OPTIMIZER_OF_TABLES = "sgd", "adam"
EPOCHS, EPOCHS_OF_TABLES = 20, 100
ROWS, SECONDS = 25, 1.0  # of the table of epochs; between two rows, at most
RATE = 0.1  # of an optimizer whose own is SGD's


def check_options(options: argparse.Namespace) -> None:
    """Refuse combinations that mean nothing, and files that could not be written after the training."""
    error = options.parser.error
    names = [name for name, kind in optimizers().items() if hasattr(kind, "momentum")]
    if options.momentum is not None and (options.optimizer or "").partition(":")[0] not in names:
        error(f"argument --momentum: only together with --optimizer {' or '.join(names)}")
    if options.resume and options.checkpoint is None:
        error("argument --resume: only together with --checkpoint FILE")
    for option, value in (
        ("hidden", options.hidden),
        ("activation", options.activation),
        ("dropout", options.dropout),
        ("batch-norm", options.batch_norm or None),
    ):
        if value is not None and options.layers is not None:
            error(f"argument --{option}: not together with --layers, which says it")
        if value is not None and options.hidden == [] and option != "hidden":
            error(f"argument --{option}: not together with --hidden 0, which leaves no layer for it")
    checkpoint = checkpoint_of(options)
    kept = (None, None) if checkpoint is None else (checkpoint.path, checkpoint.best)
    written = [("--save", options.save), ("--log", options.log), *(("--checkpoint", one) for one in kept)]
    common.check_different((options.data, options.test, options.validation), written)
    for option, file in written:
        if file is not None:
            common.check_place(option, str(file), is_network=option != "--log")


def checkpoint_of(options: argparse.Namespace) -> "Checkpoint | None":
    """The callback that --checkpoint asks for."""
    if options.checkpoint is None:
        return None
    from fastnn.network.checkpoint import Checkpoint

    text = options.checkpoint
    first = "".join(specs.parts_of(text)[:1])
    is_name = first.lower().endswith((".npz", ".safetensors"))
    if is_name and first.partition("=")[0].strip() not in {one.name for one in fields(Checkpoint)}:
        text = f"path={text}"  # also a name such as lr=0.1.npz
    with common.naming("--checkpoint"):
        made: Checkpoint = specs.of_kind("--checkpoint", Checkpoint, text)
    return made


def about_replaced(options: argparse.Namespace) -> str:
    """The line about a checkpoint that the training, which does not go on with it, will replace; empty without one."""
    checkpoint = checkpoint_of(options)
    if checkpoint is None or options.resume:
        return ""
    from fastnn.network.checkpoint import newest

    file = newest("path", checkpoint.path)
    if file is None:
        return ""
    remedy = "; --resume would go on with it" if models.is_checkpoint(file) else ""
    return f"fastnn: {file} is there from before and will be replaced{remedy}"


@contextlib.contextmanager
def naming_files(options: argparse.Namespace) -> Iterator[None]:
    """Let an error about a file that training writes name the option that named the file."""
    try:
        yield
    except OSError as error:
        is_log = options.log is not None and os.path.basename(options.log) in str(error)
        with common.naming("--log" if is_log else "--checkpoint"):
            raise


def optimizers() -> "dict[str, type[Optimizer]]":
    """The classes of optimizers by the names of the command line."""
    from fastnn.operations import OPTIMIZERS

    return {name.lower(): kind for name, kind in OPTIMIZERS.items()}


def optimizer_of(options: argparse.Namespace, usual: str) -> "Optimizer":
    """The optimizer that --optimizer, --lr and --momentum ask for."""
    from fastnn.optimizers import SGD

    text = options.optimizer or usual
    name, _, rest = text.partition(":")
    kind = optimizers()[name.strip()]
    given = {"lr": options.lr, "momentum": options.momentum}
    if options.lr is None and kind.lr == SGD.lr and not hasattr(kind, "epsilon"):
        given["lr"] = RATE
    given = {key: value for key, value in given.items() if value is not None}
    if not rest:
        return kind(**given)  # whose errors name the options
    for field in specs.values_in("--optimizer", kind, specs.parts_of(rest), {}):
        if field in ("lr", "momentum") and getattr(options, field) is not None:
            options.parser.error(f"argument --{field}: not together with the {field} of --optimizer; leave one out")
    made: Optimizer = specs.of_kind("--optimizer", kind, rest, **given)
    return made


def arguments(options: argparse.Namespace, data: "Data", generator: "np.random.Generator") -> dict[str, Any]:
    """The arguments, but for x, t, progress and callbacks."""
    from fastnn.gate import arrays

    is_table, checkpoint = data.encoding is not None, checkpoint_of(options)
    usual = EPOCHS_OF_TABLES if is_table else EPOCHS
    epochs = arrays.integer("epochs", usual if options.epochs is None else options.epochs, minimum=0)
    schedule = None if options.schedule is None else specs.schedule("--schedule", options.schedule, epochs)
    return {
        "epochs": epochs,
        "batch_size": arrays.integer("batch_size", options.batch_size, minimum=1),
        "optimizer": optimizer_of(options, OPTIMIZER_OF_TABLES if is_table else OPTIMIZER),
        "schedule": schedule,
        "validation_data": data.validation,
        "shuffle": not options.no_shuffle,
        "rng": generator,
        "gradient": options.gradient,
        "sample_weight": data.sample_weight,
        "class_weight": None if options.class_weight is None else class_weights(options.class_weight, data),
        "metrics": metrics(options, data),
        "resume": checkpoint.path if checkpoint is not None and options.resume else None,
    }


def metrics(options: argparse.Namespace, data: "Data") -> list[Any]:
    """The metrics that --metrics names."""
    names = [] if options.metrics is None else [name.strip() for name in options.metrics.split(",")]
    if data.encoding is None:
        return names
    from fastnn.command import outputs

    return [outputs.metric_of(name, data.loss, data.encoding) for name in names]


def class_weights(text: str, data: "Data") -> Any:
    """The factor of each class: N / (K times its rows) if balanced, else as the option says, 1 by default.

    Source of the balanced ones: King and Zeng, Political Analysis 9 (2001).
    """
    import numpy as np

    names, expected = data.classes, "--class-weight: expected balanced, or NAME=X for classes"
    if not names:
        raise ValueError(f"{expected}, got {text!r} for numbers; leave it out, or pass --task classification")
    if text == "balanced":
        counts = np.bincount(data.labels, minlength=len(names))
        return len(data.labels) / (len(names) * np.maximum(counts, 1))
    found: dict[str, float] = {}
    known = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))  # names may have commas
    rest = f",{text}"
    while rest:
        part = re.match(rf",\s*({known})\s*=([^,=]*)(?=,|$)", rest)
        value: Any = None if part is None else specs.value_of(part[2])
        if part is None or type(value) not in (int, float) or part[1] in found:
            came = f"{part[1]!r} twice" if part is not None and part[1] in found else repr(rest[1:])
            raise ValueError(f"{expected} among {', '.join(names[:12])}, got {came}; write {names[0]}=2.5")
        found[part[1]] = float(value)
        rest = rest[part.end() :]
    return np.array([found.get(name, 1.0) for name in names])


def callbacks(options: argparse.Namespace, data: "Data") -> list[Any]:
    """Early stopping, a log and checkpoints."""
    found: list[Any] = []
    if options.early_stopping is not None:
        from fastnn.network.early_stopping import EarlyStopping

        stopping: EarlyStopping = specs.of_kind("--early-stopping", EarlyStopping, options.early_stopping)
        _check_samples("--early-stopping", stopping.monitor, data)
        found.append(stopping)
    if options.log is not None:
        from fastnn.network.csv_logger import CSVLogger

        found.append(CSVLogger(options.log))
    checkpoint = checkpoint_of(options)
    if checkpoint is not None and checkpoint.best is not None:
        _check_samples("--checkpoint", checkpoint.monitor, data)
    return found if checkpoint is None else [*found, checkpoint]


def _check_samples(option: str, monitor: str, data: "Data") -> None:
    """Refuse to watch a figure of validation samples where there are none."""
    if data.validation is None and monitor.startswith("validation_"):
        came = "no validation samples; pass --validation 0.1, or monitor=loss after a comma"
        raise ValueError(f"{option}: expected samples for {monitor}, got {came}")


class Table:
    """Prints a row after some epochs, in columns as wide as their names; the constant learning rate is left out.

    The rows are those of the first epoch, the last one, about ROWS between them, and one for each second.
    """

    def __init__(self, epochs: int) -> None:
        self.epochs, self.every, self.begun = epochs, max(1, epochs // ROWS), False
        self.printed_at = 0.0

    def __call__(self, network: "Network", history: "History") -> None:
        """Print a row for the history's last epoch."""
        now = time.monotonic()
        is_due = history.epochs % self.every == 0 or history.epochs >= self.epochs or now - self.printed_at > SECONDS
        if self.begun and not is_due:
            return
        self.printed_at = now
        figures = {name.replace("_", " "): value for name, value in history.last().items() if name != "learning_rate"}
        if not self.begun:
            print("epoch  " + "  ".join(f"{name:>8}" for name in figures))
        line = "  ".join(f"{_in_8_characters(value):>{max(8, len(name))}}" for name, value in figures.items())
        print(f"{history.epochs:>5}  {line}", flush=True)
        self.begun = True


def _in_8_characters(value: float) -> str:
    size = abs(value)
    return f"{value:{'.4f' if size < 1e3 else '.1f' if size < 1e6 else '.3g'}}"
