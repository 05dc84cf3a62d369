"""The base of losses: their roles, their description, and what their units read."""

from dataclasses import dataclass, fields
from typing import Any, ClassVar, NamedTuple

import numpy as np

from fastnn.gate import arrays
from fastnn.gate.arrays import Array, LabelArray
from fastnn.kernels import frames
from fastnn.kernels.addresses import get
from fastnn.kernels.compile import formula, kernel
from fastnn.kernels.frames import d_target, integers_of, matrix_of, reals_of, samples_of, target
from fastnn.kernels.units import Unit, unit
from fastnn.kernels.views import part

Targets = tuple[LabelArray, Array]  # labels (N,) or empty, dense (N, K) or empty
# Dense targets that are surely right, by `accepts`: finite; from 0 to 1; -1 or 1; rows of shares whose sum is 1.
VALUES, SHARES, SIGNS, PROBABILITIES = range(4)


class LossUnits(NamedTuple):
    """The units of a loss by their roles.

    rows
        LOSSES, one float64 for each row, and D_TARGET, the gradient of their sum over DIVISOR, from the outputs TARGET
        and the targets: row n has LABELS[ROW_NUMBERS[n]] or DENSE[ROW_NUMBERS[n]]; the other one is empty. Scratch:
        LOSS_SUMS, one float64 for each row, and `sums`.
    change
        LOSSES, the changes of each sample's loss, a float64 for each column, from the block CHANGES (outputs, samples *
        RUN) of all samples' outputs TARGET; DENSE holds their targets.
    change_of_one
        The same if only output COLUMN + c changes, by CHANGES (samples, points, WIDTH) at c.
    prepare
        PREPARED (ROWS, OUTPUTS), anything about the outputs TARGET that the others need.
    change_along
        As change, if all outputs change by a multiple of the same numbers: by CHANGES (samples, points, WIDTH) at c
        times SLOPES (OUTPUTS, INPUTS) in column COLUMN + c; OTHER: scratch of OUTPUTS + WIDTH elements. If SLOPES is 0,
        the losses for d with |d ALONG[row, -1, COLUMN + c]| > SMALL mean nothing, and the caller puts them right.
    prepare_along
        ALONG (ROWS, numbers_along, INPUTS), anything that change_along needs to know about each row of outputs TARGET,
        with the targets DENSE, and each column of SLOPES; last a factor by which a change is no more than
        small_changes.SMALL where this knowledge is enough.

    All but the first are called in float64 only.
    """

    rows: Unit
    change: Unit
    change_of_one: Unit
    prepare: Unit | None = None
    change_along: Unit | None = None
    prepare_along: Unit | None = None
    numbers_along: int = 0

    def all(self) -> list[Unit]:
        """All units that there are."""
        return [unit for unit in self if isinstance(unit, Unit)]


@dataclass(frozen=True)
class Loss:
    """The base class of losses; `Network(loss=name)` takes one with its default parameter."""

    name: ClassVar[str] = ""
    units: ClassVar[LossUnits]
    labels_units: ClassVar[LossUnits | None] = None  # for labels; None if it takes none
    option: ClassVar[str] = ""  # the name of its one parameter, if any
    has_kink: ClassVar[bool] = False  # whether its derivative jumps
    accepts: ClassVar[int] = VALUES
    applies: ClassVar[str] = ""  # the name of the activation that the loss applies to the outputs itself
    predicts_logarithms: ClassVar[bool] = False  # so that exp(output) is the value that it predicts
    border: ClassVar[float | None] = None  # between two classes, if one output stands for both
    target_border: ClassVar[float] = 0.0  # likewise for its target
    follows: ClassVar[tuple[str, ...]] = ()  # the activations whose probabilities it takes
    compares_classes: ClassVar[bool] = False  # so that a single output would always be right

    def __post_init__(self) -> None:
        if not self.name:
            raise TypeError(f"loss: expected one such as losses.Huber(), got {type(self).__name__}(); use a subclass")

    @property
    def parameter(self) -> float:
        """The value of its one parameter; 0 if it has none."""
        return float(getattr(self, self.option)) if self.option else 0.0

    def numbers(self) -> tuple[float, float, float]:
        """The number that its units read, and the borders of outputs and targets between two classes."""
        return self.parameter, 0.0 if self.border is None else self.border, self.target_border

    @property
    def takes_labels(self) -> bool:
        """Whether the kernel takes labels (N,)."""
        return False

    @property
    def takes_classes(self) -> bool:
        """Whether targets may be labels or probabilities of classes."""
        return self.takes_labels

    @property
    def smooths_labels(self) -> bool:
        """Whether `targets` turns classes into probabilities."""
        return False

    def targets(self, name: str, t: Any, rows: int, outputs: int, dtype: Any, finite: bool) -> Targets:
        """Targets as kernels take them; TypeError or ValueError if this loss does not take them."""
        return np.empty(0, np.intp), arrays.regression_targets(name, t, rows, outputs, dtype, finite=finite)

    def options(self) -> dict[str, float]:
        """Its parameters by name."""
        return {field.name: float(getattr(self, field.name)) for field in fields(self)}


def one_hot(labels: LabelArray, rows: int, outputs: int, dtype: Any) -> Array:
    """Labels (N,) as one-hot rows."""
    dense = np.zeros((rows, outputs), dtype)
    dense[np.arange(rows), labels] = 1.0
    return dense


def refuse_targets(name: str, values: Array, good: Any, expected: str, remedy: str) -> None:
    """Refuse targets that are not all good; NaN is left to the check for finite numbers."""
    bad = ~(good | np.isnan(values))
    if bad.any():
        place = tuple(int(i) for i in np.argwhere(bad)[0])
        came = f"{float(values[place]):g} at {name}[{', '.join(map(str, place))}]"
        raise ValueError(f"{name}: expected {expected}, got {came}; {remedy}")


def shares(name: str, t: Any, rows: int, outputs: int, dtype: Any, finite: bool) -> Targets:
    """Targets from 0 to 1."""
    dense = arrays.regression_targets(name, t, rows, outputs, dtype, finite=finite)
    good = (dense >= 0.0) & (dense <= 1.0)
    refuse_targets(name, dense, good, "shares from 0 to 1", "scale them, or label classes 0, 1")
    return np.empty(0, np.intp), dense


def signs(name: str, t: Any, rows: int, outputs: int, dtype: Any, finite: bool) -> Targets:
    """Targets of -1 and 1."""
    dense = arrays.regression_targets(name, t, rows, outputs, dtype, finite=finite)
    refuse_targets(name, dense, np.abs(dense) == 1.0, "-1 or 1", f"from classes 0 and 1 pass 2 * {name} - 1")
    return np.empty(0, np.intp), dense


@formula
def labels_of(frame: Any) -> Any:
    """The labels; empty without any."""
    return integers_of(frame, frames.LABELS, get(frame, frames.LABELS_SIZE))


@formula
def dense_of(frame: Any) -> Any:
    """All elements of the dense targets as a vector; empty without any."""
    return part(matrix_of(frame, frames.DENSE, 1, get(frame, frames.DENSE_SIZE))[0], 0, get(frame, frames.DENSE_SIZE))


@formula
def row_numbers_of(frame: Any) -> Any:
    """The number of each row's target."""
    return integers_of(frame, frames.ROW_NUMBERS, get(frame, frames.ROWS))


@formula
def losses_of(frame: Any) -> Any:
    """The place for the loss of each row."""
    return reals_of(frame, frames.LOSSES, get(frame, frames.ROWS))


@formula
def loss_sums_of(frame: Any) -> Any:
    """A float64 of scratch for each row."""
    return reals_of(frame, frames.LOSS_SUMS, get(frame, frames.ROWS))


@kernel
def changes_of(frame: Any, outputs: int) -> Any:
    """What a change of the loss reads: the samples, RUN, all outputs, their targets, the changes (outputs, columns).

    The last one is the place for the changes of the loss (columns,).
    """
    samples, run = samples_of(frame), get(frame, frames.RUN)
    targets = matrix_of(frame, frames.DENSE, get(frame, frames.ROWS), get(frame, frames.OUTPUTS))
    d = matrix_of(frame, frames.CHANGES, outputs, samples.size * run)
    return samples, run, target(frame), targets, d, reals_of(frame, frames.LOSSES, samples.size * run)


@kernel
def changed(d: Any, k: int, column: int, only: int) -> float:
    """The change of output k in a column, if all change (only < 0), or just one by d[0, column]."""
    if only < 0:
        return d[k, column]
    return d[0, column] if k == only else 0.0


@unit
def no_labels_rows(frame: Any) -> None:
    """NaN, as a loss of values takes no labels; an accuracy by labels needs only the hits."""
    losses, dy = losses_of(frame), d_target(frame)
    for n in range(dy.shape[0]):
        losses[n] = np.nan
        dy[n, :] = np.nan


NO_LABELS = LossUnits(no_labels_rows, no_labels_rows, no_labels_rows)
