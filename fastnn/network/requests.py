"""A request to `fit`: its arguments, checked before anything is changed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from fastnn.engine import finite
from fastnn.engine.engine import lone_row
from fastnn.engine.indexing import FirstLook
from fastnn.engine.samples import Prepared
from fastnn.engine.workspace import NO_WEIGHTS
from fastnn.gate import arrays, checks, sparse
from fastnn.gate.arrays import Array
from fastnn.gate.names import GradientKind
from fastnn.losses import weights_of
from fastnn.network.callbacks import Callback
from fastnn.network.history import History
from fastnn.network.metrics import Metric, metrics_of
from fastnn.network.sources import Batches, Rows, RowsOfFile, Source, is_in_file, rows_in_file
from fastnn.optimizers import OPTIMIZERS, SGD, Optimizer, check_optimizer

if TYPE_CHECKING:
    from fastnn.network.network import Network

GRADIENTS = get_args(GradientKind)

Schedule = Callable[[int, History], float]


@dataclass(frozen=True)
class Request:
    """The arguments of `fit` as they are used.

    Attributes
    ----------
    source : Source
        The data, their weights and the rows of a batch.
    figures : tuple of str
        The names of the figures that the history will hold.
    seed : int or None
        The number that made the generator; None for a user's own generator, and for an unpredictable one.
    """

    epochs: int
    optimizer: Optimizer
    schedule: Schedule | None
    source: Source
    validation: Prepared | None
    shuffle: bool
    generator: np.random.Generator
    progress: bool
    callbacks: Sequence[Callback]
    numerical: bool
    figures: tuple[str, ...]
    metrics: tuple[Metric, ...]
    initial_epoch: int
    seed: int | None


def last_optimizer(network: "Network") -> Optimizer:
    """The optimizer with which training goes on."""
    if network.optimizer is None and network.engine.state_owner is not None:
        came = f"None, for a network whose file or pickle names {network.engine.state_owner} without its numbers"
        remedy = f"pass it, such as optimizer=fastnn.{OPTIMIZERS[network.engine.state_owner].__name__}(lr=0.1)"
        raise ValueError(f"optimizer: expected the one to go on with, got {came}; {remedy}")
    return SGD(lr=0.1) if network.optimizer is None else network.optimizer


def check_schedule(name: str, schedule: Any) -> Schedule:
    """`schedule` itself, if it can be called with an epoch and a history."""
    if isinstance(schedule, type) or not checks.can_be_called(schedule, 2):
        came = f"the class {schedule.__name__}" if isinstance(schedule, type) else checks.headed(schedule)
        remedy = "pass one such as fastnn.schedules.Cosine(epochs=10)"
        raise TypeError(f"{name}: expected a function of (epoch, history), got {came}; {remedy}")
    made: Schedule = schedule
    return made


def epochs_done(initial_epoch: Any, epochs: int) -> int:
    """The epochs that are counted as done, at most `epochs`: the number of all, these included."""
    done = arrays.integer("initial_epoch", initial_epoch, minimum=0)
    if done > epochs:
        remedy = f"epochs counts the epochs that are done, too, so for {epochs} more pass epochs={done + epochs}"
        raise ValueError(f"initial_epoch: expected an integer of at most epochs, {epochs}, got {done}; {remedy}")
    return done


# As many parameters as arguments of fit that concern the data.
def source_of(
    network: "Network",
    x: Any,
    t: Any,
    batch_size: int | None,
    shuffle: bool,
    check_finite: bool,
    sample_weight: Any,
    class_weight: Any,
) -> Source:
    """Where the batches come from: arrays, or an iterable of batches if there are no targets."""
    if t is None and not hasattr(x, "__array__") and not sparse.is_sparse(x):
        for name, weight in (("sample_weight", sample_weight), ("class_weight", class_weight)):
            if weight is not None:
                raise ValueError(f"{name}: expected none with an iterable of batches, got one; pass arrays x and t")
        return Batches(network, x, check_finite)
    engine, in_file, look = network.engine, is_in_file(network, x), None
    if in_file:
        data = rows_in_file(network, x, t, check_finite)
    else:
        if engine.is_own_loss and engine.input_scale.is_one:
            look = FirstLook(engine.plan, batch_size)
        data = engine.prepare(x, t, check_finite, look=look or finite.check_finite)
    size = rows_of_batch(network, len(data[0]), batch_size)
    weights = weights_over_mean(network, data, sample_weight, class_weight)
    given = network, data, weights, size, arrays.flag("shuffle", shuffle)
    return RowsOfFile(*given) if in_file else Rows(*given, look)


def rows_of_batch(network: "Network", rows: int, batch_size: int | None) -> int:
    """The rows of a whole batch; refused if it is a single one and there is batch normalization."""
    size = rows if batch_size is None else min(rows, arrays.integer("batch_size", batch_size, minimum=1))
    if size == 1 and network.engine.plan.needs_rows:
        raise lone_row("x", "pass more samples") if rows == 1 else lone_row("batch_size", "pass a larger one")
    return size


def weights_over_mean(network: "Network", data: Prepared, sample_weight: Any, class_weight: Any) -> Array:
    """The samples' weights over their mean; empty if all are 1."""
    x, labels, dense = data
    if class_weight is not None and not network.engine.counts_hits(labels, dense):
        came = "values or probabilities; pass sample_weight"
        raise ValueError(f"class_weight: expected targets that are classes, got {came}")
    weights = weights_of(sample_weight, class_weight, labels, dense, (len(x), network.outputs))
    if weights is None:
        return NO_WEIGHTS
    weights = weights / weights.max()  # so that their mean does not underflow
    shares: Array = weights / weights.mean()
    return shares


def refuse_frozen(network: "Network") -> None:
    """Refuse a network whose layers with parameters are all frozen."""
    tensors = network.engine.plan.tensors
    if tensors and all(one.factor == 0.0 for one in tensors):
        expected = "network: expected a layer that is trained, got trainable=False of all"
        raise ValueError(f"{expected}; call network.change_layers(-1, trainable=True), or without a place for all")


def checked(network: "Network", optimizer: Any) -> Optimizer:
    """The optimizer of a step, checked; refused for a network in which nothing moves."""
    refuse_frozen(network)
    return check_optimizer(optimizer)


def is_numerical(gradient: str, network: "Network", weights: Array) -> bool:
    """Whether the gradient is numerical; if so, refuse weights, and layers that behave differently in training."""
    if arrays.choice("gradient", gradient, GRADIENTS) != "numerical":
        return False
    if weights.size:
        raise ValueError("gradient: expected 'analytic' with sample weights, got 'numerical', which takes none")
    for layer in network.engine.layers:
        if layer.differs_in_training:
            expected = f"gradient: expected 'analytic' for a network with {type(layer).__name__}"
            raise ValueError(f"{expected}, got 'numerical', which {layer.differs_in_training}")
    return True


def prepared_validation(network: "Network", data: Any, check_finite: bool) -> Prepared | None:
    """Validation data as kernels take them; None without any."""
    if data is None:
        return None
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise TypeError(
            f"validation_data: expected a pair (x, t), got {type(data).__name__}; pass validation_data=(x, t)"
        )
    return network.engine.prepare(data[0], data[1], check_finite, names=("validation_data[0]", "validation_data[1]"))


def metrics_in(network: "Network", metrics: Any, source: Source, validation: Prepared | None) -> tuple[Metric, ...]:
    """The metrics, which are measured on validation data or, without any, on the training data in memory."""
    found = metrics_of(network, metrics, "" if validation is None else "validation_")
    if found and validation is None and (not isinstance(source, Rows) or isinstance(source, RowsOfFile)):
        came = "none, with batches or an array in a file; pass validation_data=(x, t)"
        raise ValueError(f"metrics: expected validation data on which to measure, got {came}")
    return found


def names_of_figures(classes: bool, validated: bool, metrics: Sequence[Metric]) -> tuple[str, ...]:
    """The names of the figures that the history will hold."""
    kinds = ("loss", "accuracy") if classes else ("loss",)
    measured = (*(f"validation_{kind}" for kind in kinds if validated), *(metric.name for metric in metrics))
    return (*kinds, *measured, "seconds", "learning_rate")
