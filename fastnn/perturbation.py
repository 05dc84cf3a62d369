"""The numerical gradient of a network: what kernels/perturbation.py needs, and the quotients of what it gives.

Imports the gate, errors, threads, kernels and numpy.
"""

import itertools
import math
import time
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fastnn import arrays, threads
from fastnn.arrays import Array
from fastnn.errors import PrecisionWarning
from fastnn.kernels import job, operations
from fastnn.kernels import perturbation as kernels
from fastnn.kernels.losses import HINGE, MULTICLASS_HINGE
from fastnn.kernels.matmul import scratch_size
from fastnn.kernels.units import SCRATCH_VECTORS

# A block of changes should stay in the cache: this many elements, and no more columns than that.
BLOCK_SIZE, MOST_COLUMNS = 1 << 16, 2048
TENSOR_BYTES = 1 << 26  # of the unperturbed tensors; more samples are taken in turn
SECONDS_PER_CALL = 0.05  # so that Ctrl-C answers within 0.1 s
FIRST_FLOP = 2e8  # of the first call, which sets the pace of the next
MOST_FLOP = 1e9  # of one parameter, for which a call cannot be shorter; more samples are taken in turn


class Method(NamedTuple):
    """A difference quotient: the points at which the loss is evaluated, in steps, and the step by itself."""

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

    "auto": what balances the quotient's truncation with the rounding of f, eps^(1 / (order + 1)).
    """
    if isinstance(h, str):
        if h != "auto":
            raise ValueError(f'h: expected a number above 0 or "auto", got {h!r}')
        return float(np.finfo(dtype).eps ** (1 / (rule.order + 1))), True
    return arrays.real("h", h, above=0.0), False


def quotient(method: str, changes: Array, steps: Array) -> tuple[Array, Array | None]:
    """The difference quotient, and for "richardson" an estimate of its error.

    changes, steps: (points, ...), what f changes by, and the steps really taken, at each of the method's points.
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
    """The estimate of a "richardson" quotient's error, or a larger one where it has no ground.

    It takes the quotients at h, h/2 and h/4 to come nearer to each other by 4, as they do where h is small to what f
    varies over. Where they do not, such as across a pole or a kink, or in rounding, it is how far apart they are.
    """
    pairs = [(changes[i] - changes[i + 1]) / (steps[i] - steps[i + 1]) for i in (0, 2, 4)]
    has_settled = np.abs(pairs[0] - pairs[1]) >= 3 * np.abs(pairs[1] - pairs[2])
    spread = np.max([np.abs(best - pair) for pair in pairs], axis=0)
    return np.where(has_settled, estimate, np.maximum(estimate, spread))


def divisors(steps: Array, points: Sequence[float], h: float, stacklevel: int = 3) -> Array:
    """The steps taken (points, ...); where rounding makes the points of a pair one, those asked for, and a warning.

    There the quotient is 0: wrong, and what the formula gives. Of "forward" the pair is the point and x.
    """
    pair = steps if len(points) == 1 else steps[0::2] - steps[1::2]
    if pair.all():
        return steps
    lost = np.stack([pair] if len(points) == 1 else [pair] * 2, axis=1).reshape(steps.shape) == 0.0
    count = np.count_nonzero(lost.any(axis=0))
    warnings.warn(
        f"h: a step of {h:g} is lost in the rounding of {count} entries, whose quotients are wrong; pass a larger one",
        PrecisionWarning,
        stacklevel=stacklevel + 1,
    )
    return np.where(lost, np.array(points).reshape(-1, *[1] * (steps.ndim - 1)) * h, steps)


class Model(NamedTuple):
    """A network as far as its gradients go: what `compile_plan` gives, and the parameters (P,)."""

    plan: job.Plan
    places: dict[str, tuple[int, tuple[int, ...]]]
    columns: int
    values: Array


class Perturbation:
    """A network in float64 on some data, ready to be perturbed.

    Parameters
    ----------
    model : Model
    data : (x, labels, dense)
        Samples and targets of the kinds that `Network._prepare` returns.
    n_threads : int or None
        At most so many threads.

    Notes
    -----
    Memory: TENSOR_BYTES for the tensors, or one sample's; (points + 5) P; a few blocks of BLOCK_SIZE for each thread.
    """

    def __init__(self, model: Model, data: tuple[Array, Array, Array], n_threads: int | None = None) -> None:
        self.plan, self.places, self.plan_columns, values = model
        self.parts = threads.at_most(n_threads)
        self.values = values.astype(np.float64)
        self.x, self.labels, self.dense = data
        plan = self.plan
        kinds = plan.operations[:, job.KIND]
        self.affine = [o for o in range(len(kinds)) if kinds[o] == job.AFFINE]
        # Of every operation with parameters: its inputs, or rather the vectors of its parameters but a last one.
        units = {job.PRELU: 0, job.BATCH_NORM: 1}
        self.inputs = {
            o: units.get(kinds[o], int(plan.operations[o, job.INPUTS]))
            for o in range(len(kinds))
            if kinds[o] in (job.AFFINE, *units)
        }
        self.prepared = np.zeros_like(self.values)
        for o in self.affine:
            inputs, outputs, start = (int(plan.operations[o, c]) for c in (job.INPUTS, job.OUTPUTS, job.WEIGHT))
            weights = self.values[start : start + inputs * outputs].reshape(inputs, outputs)
            self.prepared[start : start + inputs * outputs] = weights.T.ravel()

    def gradient(
        self, method: str = "central", h: float = 1e-4, relative: bool = False, only: str | None = None
    ) -> tuple[dict[str, Array], dict[str, Array] | None]:
        """The difference quotients of the mean loss, and estimates of their errors or None; by parameters' names.

        only: the name of a parameter, for that alone.
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
        most = MOST_FLOP / max(self._work(o, 1, len(points)) for o in self.inputs)
        rows = max(1, min(len(self.x), TENSOR_BYTES // (8 * self.plan_columns), int(most)))
        for first in range(0, len(self.x), rows):
            self._add(multiples, step, slice(first, first + rows), only, changes)
        changes *= self.plan.numbers[-job.PLAN_NUMBERS + job.DATA_SHARE] / len(self.x)
        self._add_penalty(steps, only, changes)
        return changes, divisors(steps, points, h, stacklevel=5)

    def _add_penalty(self, steps: Array, only: str | None, changes: Array) -> None:
        """Add what the penalty on weights changes by: l1 (|w + s| - |w|) + l2 s (w + s / 2)."""
        l1, l2 = (float(self.plan.numbers[-job.PLAN_NUMBERS + which]) for which in (job.L1, job.L2))
        if l1 == l2 == 0.0:
            return
        for name, (start, shape) in self.places.items():
            if name[0] == "W" and only in (None, name):
                some = slice(start, start + math.prod(shape))
                w, s = self.values[some], steps[:, some]
                changes[:, some] += l1 * (np.abs(w + s) - np.abs(w)) + l2 * s * (w + 0.5 * s)

    def _loss(self, y: Array, some: slice) -> float:
        """The sum of the losses of some samples, whose outputs are y."""
        labels = self.labels[some]
        dense = np.ascontiguousarray(self.dense[some], np.float64)
        losses, rows = np.empty((2, len(y))), np.arange(len(y))
        parameter = float(self.plan.numbers[-job.PLAN_NUMBERS + job.LOSS_PARAMETER])
        arguments = (self.plan.loss, parameter, y, labels, dense, rows, float(len(y)), np.empty_like(y), *losses)
        return float(operations.loss.serial(1, *arguments, operations.NO_HITS, np.empty((1, operations.SUMS))))

    def by_name(self, values: Array, only: str | None = None) -> dict[str, Array]:
        """A vector like the parameters, cut into arrays."""
        names = self.places if only is None else {only: self.places[only]}
        return {name: values[start : start + math.prod(shape)].reshape(shape) for name, (start, shape) in names.items()}

    def _add(self, points: Array, step: Array, some: slice, only: str | None, changes: Array) -> None:
        """The changes of the losses of some samples, added to `changes`."""
        x = np.ascontiguousarray(self.x[some], np.float64)
        table, outputs = self.plan.operations, int(self.plan.operations[-1, job.OUTPUTS])
        targets = self._targets(some, outputs)
        tensors, softmax = np.empty(len(x) * self.plan_columns), np.empty((len(x), outputs))
        widest = int(table[:, job.OUTPUTS].max())
        columns = max(len(points), min(MOST_COLUMNS, BLOCK_SIZE // widest))
        products = self._products(columns)
        memory = np.empty((self.parts, kernels.space_size(widest, columns, products)))
        loss = MULTICLASS_HINGE if self.plan.loss == HINGE and self.labels.size else self.plan.loss
        network = (table, self.plan.numbers, loss, self.values)
        flop = 2.0 * self.values.size * len(x)
        arguments = (x, memory, tensors, softmax, self.prepared)
        threads.run(kernels.prepare, flop, *network, *arguments, n_threads=self.parts)
        if not np.isfinite(self._loss(tensors[-targets.size :].reshape(targets.shape), some)):
            changes += np.nan  # the mean of the losses is not finite, whatever is moved
            return
        data = (*network, self.prepared, x, tensors, softmax, targets, points, step)
        samples = np.empty((self.parts, len(x)), np.intp)
        for o, first, end in self._inputs(only):
            outputs = int(table[o, job.OUTPUTS])
            one = self._work(o, len(x), len(points))  # of one input and one output
            pace = FIRST_FLOP  # operations in one call
            while first < end:
                # Whole inputs where they are short enough; else some outputs of as many as there are threads.
                count = max(self.parts, int(pace / (one * outputs)))
                width = max(1, min(outputs, int(pace / (one * min(count, end - first)))))
                last = min(end, first + count)
                for begin in range(0, outputs, width):
                    rest = (o, first, last, begin, min(begin + width, outputs), columns, memory, samples, changes)
                    work, start = one * width * (last - first), time.perf_counter()
                    threads.run(kernels.perturb, work, *data, *rest, n_threads=self.parts)
                    rate = work / max(1e-9, time.perf_counter() - start)
                    pace = min(2 * pace, rate * SECONDS_PER_CALL)
                first = last

    def _inputs(self, only: str | None) -> list[tuple[int, int, int]]:
        """(operation, first input, end) of all parameters or of one; the last input of an operation is its bias's.

        For operations on units, gamma's and beta's, or the slope's.
        """
        if only is None:
            return [(o, 0, count + 1) for o, count in self.inputs.items()]
        start = self.places[only][0]
        for o, count in self.inputs.items():
            if start == self.plan.operations[o, job.BIAS] and count:
                return [(o, count, count + 1)]
            if start == self.plan.operations[o, job.WEIGHT]:
                return [(o, 0, max(1, count))]
        raise AssertionError(only)

    def _targets(self, some: slice, outputs: int) -> Array:
        """Dense targets in float64."""
        if not self.labels.size:
            return np.ascontiguousarray(self.dense[some], np.float64)
        labels = self.labels[some]
        targets = np.zeros((len(labels), outputs))
        targets[np.arange(len(labels)), labels] = 1.0
        return targets

    def _products(self, columns: int) -> int:
        """Scratch for the matrix products: those of a forward pass, and those of blocks."""
        shapes = [
            (int(self.plan.operations[o, job.INPUTS]), int(self.plan.operations[o, job.OUTPUTS])) for o in self.affine
        ]
        forward = [scratch_size(inputs, outputs) for inputs, outputs in shapes]
        units = SCRATCH_VECTORS * int(self.plan.operations[:, job.OUTPUTS].max())
        return max(forward + [scratch_size(inputs, columns, "left") for inputs, _ in shapes] + [units])

    def _work(self, o: int, rows: int, points: int) -> float:
        """About how many operations one parameter of operation o takes."""
        after = [int(self.plan.operations[later, job.OUTPUTS]) for later in self.affine if later > o]
        changed = sum(20.0 * width for width in after) + sum(2.0 * a * b for a, b in itertools.pairwise(after))
        return rows * points * (60.0 + changed)
