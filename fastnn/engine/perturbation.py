"""The numerical gradient of a network: the memory of interpreters/perturbing.py, and the quotients of its changes."""

import itertools
import math
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fastnn.engine import threads
from fastnn.engine.interpreters import jobs, perturbing
from fastnn.engine.interpreters.along import MORE_ROWS
from fastnn.engine.losses import sum_of_losses
from fastnn.engine.pace import SECONDS_PER_CALL
from fastnn.engine.plan import PERTURBING, Plan, place_tensors
from fastnn.engine.samples import Prepared
from fastnn.errors import warn_of_precision
from fastnn.gate import arrays
from fastnn.gate.arrays import Array
from fastnn.kernels.doors import make_all
from fastnn.kernels.frames import BREADTH, EACH_PLACE, HEIGHT, IS_MATRIX
from fastnn.operations.base import Layer

# The most elements and columns of a block of changes, which should stay in the cache.
BLOCK_SIZE, MOST_COLUMNS = 1 << 16, 2048
TENSOR_BYTES = 1 << 26  # of the inputs and the unperturbed tensors; more samples are taken in turn
FIRST_FLOP = 2e8  # in the first call, which sets the pace of the next
DOUBLE = np.dtype(np.float64)
NO_HITS = np.empty(0, np.intp)
MOST_FLOP = 1e9  # for one parameter, the shortest possible call; more samples are taken in turn


class Method(NamedTuple):
    """A difference quotient: the points at which the loss is evaluated, in steps, and its order."""

    points: tuple[float, ...]
    order: int  # of the truncation error; the step that balances it with rounding is eps ** (1 / (order + 1))


METHODS = {
    "forward": Method((1.0,), 1),
    "central": Method((1.0, -1.0), 2),
    "five_point": Method((1.0, -1.0, 2.0, -2.0), 4),
    "richardson": Method((1.0, -1.0, 0.5, -0.5, 0.25, -0.25), 6),
}


def step_size(h: float | str, rule: Method, dtype: Any = np.float64) -> tuple[float, bool]:
    """The step as a number, and whether it is relative to max(1, |x|).

    "auto" balances the quotient's truncation with the rounding of f: eps^(1 / (order + 1)).
    """
    if isinstance(h, str):
        if h != "auto":
            raise ValueError(f'h: expected a number above 0 or "auto", got {h!r}')
        return float(np.finfo(dtype).eps ** (1 / (rule.order + 1))), True
    return arrays.real("h", h, above=0.0), False


def quotient(method: str, changes: Array, steps: Array) -> tuple[Array, Array | None]:
    """The difference quotient, and for "richardson" an estimate of its error.

    changes, steps: (points, ...), the changes of f and the steps really taken, at each of the method's points.
    """
    if method == "forward":
        return changes[0] / steps[0], None
    pairs = [(changes[i] - changes[i + 1]) / (steps[i] - steps[i + 1]) for i in range(0, len(changes), 2)]
    if method == "central":
        return pairs[0], None
    if method == "five_point":
        return (4 * pairs[0] - pairs[1]) / 3, None
    better = [(4 * pairs[i + 1] - pairs[i]) / 3 for i in range(2)]
    best = (16 * better[1] - better[0]) / 15
    return best, np.abs(best - better[1])


def settled_error(changes: Array, steps: Array, best: Array, estimate: Array) -> Array:
    """The estimate of a "richardson" quotient's error, or a larger one if it is unfounded.

    It assumes that the differences of the quotients at h, h/2 and h/4 shrink by 4, as they do if f varies over much
    more than h. If they do not, such as across a pole or a kink, or in rounding, the estimate is how far apart they
    are.
    """
    pairs = [(changes[i] - changes[i + 1]) / (steps[i] - steps[i + 1]) for i in (0, 2, 4)]
    has_settled = np.abs(pairs[0] - pairs[1]) >= 3 * np.abs(pairs[1] - pairs[2])
    spread = np.max([np.abs(best - pair) for pair in pairs], axis=0)
    return np.where(has_settled, estimate, np.maximum(estimate, spread))


def divisors(steps: Array, points: Sequence[float], h: float) -> Array:
    """The steps taken (points, ...); the ones asked for, and a warning, where rounding merges the points of a pair.

    There the quotient is 0, which is wrong, but the formula's. For "forward" the pair is the point and x.
    """
    pair = steps if len(points) == 1 else steps[0::2] - steps[1::2]
    if pair.all():
        return steps
    lost = np.stack([pair] if len(points) == 1 else [pair] * 2, axis=1).reshape(steps.shape) == 0.0
    count = np.count_nonzero(lost.any(axis=0))
    entries = "1 entry, whose quotient is wrong" if count == 1 else f"{count} entries, whose quotients are wrong"
    warn_of_precision(f"h: a step of {h:g} is lost in the rounding of {entries}; pass a larger one")
    return np.where(lost, np.array(points).reshape(-1, *[1] * (steps.ndim - 1)) * h, steps)


class Model(NamedTuple):
    """A network for its gradients: parts of the result of `compile_plan`, and the parameters (P,)."""

    plan: Plan
    places: dict[str, tuple[int, tuple[int, ...]]]
    columns: int
    values: Array


class Perturbation:
    """A network in float64 on some data, ready to be perturbed.

    data: samples and targets as from `Engine.prepare`.
    n_threads: the most threads.

    Memory: TENSOR_BYTES for inputs and tensors, or one sample's; (points + 5) P; a few blocks of BLOCK_SIZE for each
    thread.
    """

    def __init__(self, model: Model, data: Prepared, n_threads: int | None = None) -> None:
        self.plan, self.places, self.plan_columns, values = model
        self.parts = threads.at_most(n_threads)
        self.values = values.astype(np.float64)
        self.x, self.labels, self.dense = data
        self.loss = self.plan.loss_of_labels if self.labels.size else self.plan.loss
        parts = perturbing.perturb_part, perturbing.prepare_part, perturbing.prepare, perturbing.perturb
        layers = self.plan.layers
        along = [] if self.loss.change_along is None else _operations_along(layers)
        inputs = [math.prod(self.plan.shapes[i][0]) for i in along]
        self.numbers_along, self.most_along = self.loss.numbers_along * sum(inputs), max(inputs, default=0)
        # Whether changes come to the loss in other ways than along the last operation's slopes, or by one output.
        mixes = not all(layer.takes_elements for layer in layers[1:-1])
        movable = np.flatnonzero(self.plan.operations[:, jobs.PARAMETERS]).tolist()
        self.follows = not along or mixes or any(map(self._moves_by_forward, movable))
        loss = [self.loss.change_of_one, self.loss.prepare, *self.loss[4 : 6 if along else 4]]
        make_all([*self.plan.units(PERTURBING), *parts, *loss, *([self.loss.change] if self.follows else [])], DOUBLE)
        self.table = self.plan.table(DOUBLE, PERTURBING)
        self.table[:, jobs.ALONG] = -1
        self.table[along, jobs.ALONG] = np.cumsum([0, *inputs])[: len(along)]
        outputs = int(self.table[-1, jobs.WIDTH_OUT])
        products = self.table[along][:, [jobs.WIDTH_IN, jobs.WIDTH_OUT]].astype(np.float64).prod(axis=1)
        self.work_along = 2.0 * outputs * float(products.sum())
        self.prepared = np.zeros_like(self.values)
        self._costs: dict[int, float] = {}
        self.parameters = [
            _entries(row, o, which) for o, row in enumerate(self.table) for which in range(row[jobs.PARAMETERS])
        ]

    def gradient(
        self, method: str = "central", h: float = 1e-4, relative: bool = False, only: str | None = None
    ) -> tuple[dict[str, Array], dict[str, Array] | None]:
        """The difference quotients of the mean loss, and estimates of their errors or None; keyed by the parameters'
        names.

        only: the name of a single parameter to evaluate.
        """
        changes, steps = self.changes(METHODS[method].points, h, relative, only)
        values, error = quotient(method, changes, steps)
        error = None if error is None else settled_error(changes, steps, values, error)
        return self.by_name(values, only), None if error is None else self.by_name(error, only)

    def changes(
        self, points: Sequence[float], h: float, relative: bool, only: str | None = None
    ) -> tuple[Array, Array]:
        """The changes of the mean loss at each point of every parameter (points, P), and the steps taken."""
        multiples, step = np.array(points, np.float64), np.array([h, float(relative)])
        scale = h * np.maximum(1.0, np.abs(self.values)) if relative else h
        steps = np.stack([(self.values + multiple * scale) - self.values for multiple in points])
        changes = np.zeros((len(points), self.values.size))
        work = [self._work(entries.operation, 1, len(points)) for entries in self.parameters]
        most = MOST_FLOP / max([*work, self.work_along, 1.0])
        numbers = self.x.shape[1] + self.plan_columns + self.numbers_along  # of one sample
        rows = max(1, min(len(self.x), TENSOR_BYTES // (8 * numbers), int(most)))
        for first in range(0, len(self.x), rows):
            self._add(multiples, step, slice(first, first + rows), only, changes)
        changes *= self.plan.numbers[-jobs.PLAN_NUMBERS + jobs.DATA_SHARE] / len(self.x)
        self._add_penalty(steps, only, changes)
        return changes, divisors(steps, points, h)

    def _add_penalty(self, steps: Array, only: str | None, changes: Array) -> None:
        """Add the change of the penalty: l1 (|w + s| - |w|) + l2 s (w + s / 2)."""
        for some, l1, l2 in self.plan.penalties:
            if only is None or some.start == self.places[only][0]:
                w, s = self.values[some], steps[:, some]
                changes[:, some] += l1 * (np.abs(w + s) - np.abs(w)) + l2 * s * (w + 0.5 * s)

    def _loss(self, y: Array, some: slice) -> float:
        """The sum of the losses of some samples with outputs y."""
        labels = self.labels[some]
        dense = np.ascontiguousarray(self.dense[some], np.float64)
        numbers = self.plan.numbers[-jobs.PLAN_NUMBERS :]
        return sum_of_losses(self.loss.rows, numbers, y, labels, dense, np.empty_like(y))[0]

    def by_name(self, values: Array, only: str | None = None) -> dict[str, Array]:
        """A vector like the parameters, cut into arrays."""
        names = self.places if only is None else {only: self.places[only]}
        return {name: values[start : start + math.prod(shape)].reshape(shape) for name, (start, shape) in names.items()}

    def _add(self, points: Array, step: Array, some: slice, only: str | None, changes: Array) -> None:
        """Add the changes of some samples' losses to `changes`."""
        x = np.ascontiguousarray(self.x[some], np.float64)
        memory = self._memory(x, self._targets(some), points, step, changes)
        threads.run(perturbing.prepare, (self.plan.flop + self.work_along) * len(x), memory.job, n_threads=self.parts)
        if not np.isfinite(self._loss(memory.outputs, some)):
            changes += np.nan  # the mean loss is not finite, whatever moves
            return
        for entries in self._chosen(only):
            first, end, outputs = 0, entries.rows, entries.columns
            one = self._work(entries.operation, len(x), len(points))  # for one input and one output
            pace = FIRST_FLOP  # operations in one call
            while first < end:
                # Whole rows if they are short enough; else some columns of as many rows as there are threads.
                count = max(self.parts, int(pace / (one * outputs)))
                width = max(1, min(outputs, int(pace / (one * min(count, end - first)))))
                last = min(end, first + count)
                for begin in range(0, outputs, width):
                    rest = (entries.operation, entries.which, first, last, begin, min(begin + width, outputs))
                    work, start = one * width * (last - first), time.perf_counter()
                    threads.run(perturbing.perturb, work, memory.job, *rest, n_threads=self.parts)
                    rate = work / max(1e-9, time.perf_counter() - start)
                    pace = min(2 * pace, rate * SECONDS_PER_CALL)
                first = last

    def _memory(self, x: Array, targets: Array, points: Array, step: Array, changes: Array) -> "_Memory":
        """The job for some samples, and its arrays."""
        samples, outputs = targets.shape
        table = self.table.copy()
        widest = int(self.table[:, jobs.WIDTH_OUT].max())
        used = samples * len(points) * max((entries.columns for entries in self.parameters), default=1)
        columns = max(len(points), min(MOST_COLUMNS, BLOCK_SIZE // widest, used))
        scratch = [
            max(layer.scratch_size(0, *shapes), layer.follow_scratch_size(columns, *shapes))
            for layer, shapes in zip(self.plan.layers, self.plan.shapes, strict=True)
        ]
        own = max([0, *(self._own_size(o) for o in range(len(self.table)) if self._moves_by_forward(o))])
        size = perturbing.space_size(widest, columns, own, max(scratch))
        arrays_by_name = {
            "operations": table,
            "numbers": self.plan.numbers,
            "values": self.values,
            "prepared": self.prepared,
            "x": x,
            "dense": targets,
            "tensors": np.empty(place_tensors(table, samples)),
            "prepared_outputs": np.empty((samples, outputs)),
            "along": np.empty(samples * self.numbers_along),
            "slopes": np.empty(self.parts * 2 * (outputs + MORE_ROWS) * self.most_along),
            "points": points,
            "step": step,
            "changes": changes,
            "memory": np.empty((self.parts, size)),
            "samples": np.empty((self.parts, samples), np.intp),
            "sums": np.empty((self.parts, jobs.SUMS)),
        }
        numbers = self._units() | {
            jobs.OPERATION_COUNT: len(self.table),
            jobs.CAPACITY: samples,
            jobs.PARTS: self.parts,
            jobs.ITEM: DOUBLE.itemsize,
            jobs.SAMPLES: samples,
            jobs.DATA_INPUTS: x.shape[1],
            jobs.DATA_OUTPUTS: outputs,
            jobs.COLUMNS: columns,
            jobs.WIDEST: widest,
            jobs.OWN: own,
            jobs.NUMBERS_ALONG: self.loss.numbers_along,
        }
        job = [0] * jobs.JOB_SIZE
        for slot, number in numbers.items():
            job[slot] = number
        for name, array in arrays_by_name.items():
            job[jobs.PLACES[name]], job[jobs.PLACES[name] + 1] = array.ctypes.data, array.size
        last = arrays_by_name["tensors"][int(table[-1, jobs.WRITES]) :]
        return _Memory(
            np.array(job, np.intp), last[: targets.size].reshape(targets.shape), list(arrays_by_name.values())
        )

    def _units(self) -> dict[int, int]:
        """The addresses in a job; 0 for units that there are not, or that are not used."""
        along = self.loss[4:6] if self.numbers_along else (None, None)
        return {
            jobs.LOSS_CHANGE_ALONG: 0 if along[0] is None else along[0].address(DOUBLE),
            jobs.LOSS_PREPARE_ALONG: 0 if along[1] is None else along[1].address(DOUBLE),
            jobs.PERTURB_PART: perturbing.perturb_part.address(DOUBLE),
            jobs.PREPARE_PART: perturbing.prepare_part.address(DOUBLE),
            jobs.LOSS_PREPARE: 0 if self.loss.prepare is None else self.loss.prepare.address(DOUBLE),
            jobs.LOSS_CHANGE: self.loss.change.address(DOUBLE) if self.follows else 0,
            jobs.LOSS_CHANGE_OF_ONE: self.loss.change_of_one.address(DOUBLE),
        }

    def _chosen(self, only: str | None) -> list["_Entries"]:
        """All parameters, or one by name."""
        if only is None:
            return self.parameters
        return [entries for entries in self.parameters if entries.place == self.places[only][0]]

    def _targets(self, some: slice) -> Array:
        """Dense targets in float64."""
        outputs = int(self.table[-1, jobs.WIDTH_OUT])
        if not self.labels.size:
            return np.ascontiguousarray(self.dense[some], np.float64)
        labels = self.labels[some]
        targets = np.zeros((len(labels), outputs))
        targets[np.arange(len(labels)), labels] = 1.0
        return targets

    def _moves_by_forward(self, o: int) -> bool:
        """True if a moved parameter of operation o takes the operation forward."""
        return self.plan.unit(o, "move") is None

    def _own_size(self, o: int) -> int:
        """The number of parameters of operation o."""
        return sum(entries.rows * entries.columns for entries in self.parameters if entries.operation == o)

    def _work(self, o: int, rows: int, points: int) -> float:
        """Roughly how many operations one parameter of operation o takes."""
        if o not in self._costs:
            first = o if self._moves_by_forward(o) else o + 1
            mixing = [row for row in self.table[first:] if first == o or not row[jobs.TAKES_ELEMENTS]]
            mixing = mixing[-1:] if mixing and mixing[0][jobs.ALONG] >= 0 else mixing
            after = [int(row[jobs.WIDTH_OUT]) for row in mixing]
            changed = sum(20.0 * width for width in after) + sum(2.0 * a * b for a, b in itertools.pairwise(after))
            self._costs[o] = 60.0 + changed
        return rows * points * self._costs[o]


def _operations_along(layers: Sequence[Layer]) -> list[int]:
    """The operations that get a place in "along": affine ones, behind which all are affine or homogeneous."""
    found: list[int] = []
    for i in range(len(layers) - 1, 0, -1):
        if layers[i].spreads_by_prepared:
            found = [i, *found]
        elif not found or not layers[i].is_homogeneous:
            break
    return found


class _Entries(NamedTuple):
    """A parameter as it is perturbed: row after row, some columns at once."""

    operation: int
    which: int
    place: int
    rows: int
    columns: int


def _entries(row: Array, o: int, which: int) -> _Entries:
    place = row[jobs.PLACES_AT + EACH_PLACE * which :][:EACH_PLACE]
    height, breadth = int(place[HEIGHT]), int(place[BREADTH])
    if not place[IS_MATRIX]:
        height, breadth = 1, height
    return _Entries(o, which, int(place[0]), height, breadth)


class _Memory(NamedTuple):
    """A job, the outputs of the network's last operation, and the job's arrays, to keep them alive."""

    job: Array
    outputs: Array
    arrays: list[Array]
