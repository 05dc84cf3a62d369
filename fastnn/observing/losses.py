"""Recognizes the loss at the end of a tape: see recognition.py."""

import contextlib
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn import reference
from fastnn.gate.arrays import Array
from fastnn.layers import Activation, Sigmoid, Softmax
from fastnn.observing.tape import Node, NotUnderstoodError, ancestors, depends_only_on, evaluate, is_number, leaves
from fastnn.operations import LOSSES
from fastnn.operations.losses.base import PROBABILITIES, SHARES, SIGNS, VALUES, Loss, LossUnits
from fastnn.operations.losses.softmax_changes import OFFSET
from fastnn.operations.losses.softmax_cross_entropy import OFFSET_UNITS, SoftmaxCrossEntropy

TOLERANCE = 1e-11  # relative: a few operations' rounding, far below the logarithm's offset, 1e-7
ROUNDING = 1e-13  # absolute, in units of a loss: the rounding of a logarithm of a probability near 1
SEED = 20161024  # for a generator of our own: the global one belongs to the script


def loss_of(outputs: Node, term: Node) -> tuple[LossUnits, Activation | None, tuple[Array, Array], float, float]:
    """Which loss `term` is of `outputs`: its units, an activation before it, its targets, parameter and factor."""
    depends_only_on(term, outputs)
    shape = outputs.value.shape
    rows, columns = shape if len(shape) == 2 else (1, shape[0])
    generator = np.random.default_rng(SEED)
    # The observed outputs come first, then moderate ones and ones so large that probabilities round to 0 and 1.
    observed = np.asarray(outputs.value, np.float64)
    probes = [observed, 30.0 * observed, *(scale * generator.normal(size=shape) for scale in (2.0, 40.0))]
    candidates = _candidates(_targets(outputs, term, rows, columns), _numbers(outputs, term))
    values: list[float] = []
    wanted: list[list[float]] = [[] for _ in candidates]
    for probe in probes:  # one by one, as most other losses differ at the second
        if not candidates:
            break
        try:
            values.append(float(evaluate(term, {outputs: probe})))
        except (TypeError, ValueError) as error:
            raise NotUnderstoodError(f"a loss that is no number ({error})") from error
        for candidate, numbers in zip(candidates, wanted, strict=True):
            numbers.append(float(candidate[-1](probe.reshape(rows, columns))))
        left = [i for i, numbers in enumerate(wanted) if _factor(values, numbers) is not None]
        candidates, wanted = [candidates[i] for i in left], [wanted[i] for i in left]
    for (*found, _), numbers in zip(candidates, wanted, strict=True):
        factor = _factor(values, numbers)
        if factor and np.isfinite(values[0]) and np.count_nonzero(np.isfinite(values)) >= 2:
            return *found, factor  # type: ignore[return-value]
    raise NotUnderstoodError(f"a loss ({term.name}) that is not one of fastnn's")


def _factor(values: list[float], wanted: list[float]) -> float | None:
    """The factor from all wanted numbers to the values; None if there is no common one."""
    # Values at which the script's own formula overflows say nothing.
    pairs = [(v, w) for v, w in zip(values, wanted, strict=True) if np.isfinite(v)]
    factor = next((v / w for v, w in pairs if w), 0.0)
    same = all(abs(v - factor * w) <= TOLERANCE * abs(v) + ROUNDING * abs(factor) for v, w in pairs)
    return factor if same else None


def _targets(outputs: Node, term: Node, rows: int, columns: int) -> list[Array]:
    """Constants in the loss that can be labels (N,) or dense targets (N, K)."""
    found: list[Array] = []
    for node in ancestors(term, (outputs,)):
        if node is outputs:
            continue
        for constant in leaves(node.constants):
            if not isinstance(constant, np.ndarray) or constant.dtype.kind not in "fiub":
                continue
            if constant.size == rows * columns:
                found.append(np.asarray(constant, np.float64).reshape(rows, columns))
            if constant.size == rows and constant.dtype.kind in "iu":
                labels = constant.reshape(rows).astype(np.intp)
                if labels.min() >= -columns and labels.max() < columns:
                    found.append(labels % columns)
    return found


def _numbers(outputs: Node, term: Node) -> list[float]:
    """Numbers in the loss that can be its option."""
    nodes = [node for node in ancestors(term, (outputs,)) if node is not outputs]
    found = [one for node in nodes for one in leaves(node.constants) if np.size(one) == 1 and is_number(one)]
    return sorted({float(np.ravel(one)[0]) for one in found})


def _softmax(y: Array) -> Array:
    shares: Array = np.exp(y - y.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    return shares


def _candidates(
    found: list[Array], options: list[float]
) -> list[tuple[LossUnits, Activation | None, tuple[Array, Array], float, Callable[[Array], Any]]]:
    """The losses, as means over the batch, with each of the targets and options found."""
    candidates: list[Any] = []
    no_labels = np.empty(0, np.intp)
    for target, offset in itertools.product(found, (OFFSET, 0.0)):
        of_labels = OFFSET_UNITS if offset else SoftmaxCrossEntropy.labels_units
        if target.ndim == 1:
            some = (target, np.empty((0, 0)))
            candidates.append((of_labels, None, some, 0.0, _cross_entropy(target, offset)))
        elif np.isin(target, (0.0, 1.0)).all() and (target.sum(axis=1) == 1).all():
            labels = target.argmax(axis=1)
            some = (labels, np.empty((0, 0)))
            candidates.append((of_labels, None, some, 0.0, _cross_entropy(labels, offset)))
        elif not offset and (target >= 0).all():
            of_shares = SoftmaxCrossEntropy.units, None, (no_labels, target), 0.0, _cross_entropy_of_shares(target)
            candidates.append(of_shares)
    outputs: list[tuple[Activation | None, Callable[[Array], Array]]] = [
        (None, lambda y: y),
        (Softmax(), _softmax),
        (Sigmoid(), lambda y: 1.0 / (1.0 + np.exp(-y))),
    ]
    for target, (output, formula) in itertools.product(found, outputs):
        for kind in LOSSES.values():
            if target.ndim == 2 and _takes(kind, target) and _may_follow(kind, output):
                for loss in _with_options(kind, options):
                    value = _loss_of(loss, target, formula)
                    candidates.append((loss.units, output, (no_labels, target), loss.parameter, value))
    return candidates


def _with_options(kind: type[Loss], options: list[float]) -> list[Loss]:
    """The loss with its usual option and with each of these that it takes."""
    made = [kind()]
    for option in options if kind.option else ():
        with contextlib.suppress(ValueError):
            made.append(kind(**{kind.option: option}))
    return made


def _may_follow(kind: type[Loss], output: Activation | None) -> bool:
    """Whether a loss takes the outputs of this activation."""
    if kind.follows:
        return output is not None and output.activation in kind.follows
    return output is None or (kind.accepts == VALUES and not kind.applies)


def _takes(kind: type[Loss], target: Array) -> bool:
    """Whether a loss takes dense targets, and these."""
    known = kind.name in reference.LOSSES and kind.accepts != PROBABILITIES
    if kind.accepts == SHARES:
        return known and bool(((target >= 0.0) & (target <= 1.0)).all())
    return known and (kind.accepts != SIGNS or bool((np.abs(target) == 1.0).all()))


def _loss_of(loss: Loss, target: Array, output: Callable[[Array], Array]) -> Callable[[Array], Any]:
    value: Any = reference.LOSSES[loss.name]
    return lambda y: value(output(y), target, **loss.options())[0]


def _cross_entropy(labels: Array, offset: float) -> Callable[[Array], Any]:
    return lambda y: -np.mean(np.log(_softmax(y)[np.arange(len(labels)), labels] + offset))


def _cross_entropy_of_shares(target: Array) -> Callable[[Array], Any]:
    return lambda y: -np.sum(target * np.log(_softmax(y))) / len(target)
