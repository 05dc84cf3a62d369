"""Recognizes in a tape a network that fastnn/engine/perturbation.py can perturb.

A part of the tape is recognized by its values when it is evaluated again: an activation at numbers over the whole range
that matters, a loss at several random outputs. So it does not matter how it was written.
"""

import contextlib
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fastnn import reference
from fastnn.gate.arrays import Array
from fastnn.layers import Activation, Affine, Identity, Layer, Sigmoid, Softmax
from fastnn.observing.tape import Node, NotUnderstoodError, ancestors, evaluate, leaves
from fastnn.operations import ACTIVATIONS, LOSSES
from fastnn.operations.losses.base import OTHERS, SHARES, SIGNS, VALUES, Loss, LossUnits
from fastnn.operations.losses.softmax_cross_entropy import OFFSET, OFFSET_UNITS, SoftmaxCrossEntropy

TOLERANCE = 1e-11  # relative: a few operations' rounding, far below the logarithm's offset, 1e-7
ROUNDING = 1e-13  # absolute, in units of a loss: the rounding of a logarithm of a probability near 1
PRODUCTS = frozenset(["dot", "matmul"])
LARGEST_PROBE = 12.0
SEED = 20161024  # for a generator of our own: the global one belongs to the script
_KNOWN = [kind for kind in ACTIVATIONS.values() if kind.takes_elements and kind.activation in reference.ACTIVATIONS]


class Chain(NamedTuple):
    """A network that ends in a loss, as far as it depends on one array.

    loss of f = scale * loss(network(x), targets) + decay * sum(array^2) + constant
    """

    layers: tuple[Layer, ...]
    parameters: tuple[tuple[Array, Array], ...]  # weights and bias of each affine layer
    name: str  # the array's name among the parameters: "W1" or "b1"
    x: Array  # (N, D)
    loss: LossUnits
    targets: tuple[Array, Array]  # labels and dense, one of them empty
    scale: float
    decay: float
    loss_parameter: float = 0.0

    def __str__(self) -> str:
        names = [type(layer).__name__ for layer in self.layers if not isinstance(layer, Identity)]
        losses = {kind.units: name.replace("_", " ") for name, kind in LOSSES.items()}
        losses |= dict.fromkeys((SoftmaxCrossEntropy.units, SoftmaxCrossEntropy.labels_units), "cross entropy")
        losses[OFFSET_UNITS] = "cross entropy with 1e-7"
        text = ", ".join([*names, losses[self.loss]])
        return text + (", weight decay" if self.decay else "")


def recognize(leaf: Node, root: Node) -> Chain:
    """The chain from the array to the value of f.

    Raises NotUnderstoodError if there is none.
    """
    decay, data = 0.0, []
    for term, factor in _terms(root):
        if any(node.name in PRODUCTS for node in ancestors(term)) or leaf.value.ndim < 2:
            data.append((term, factor))
        else:
            decay += factor * _square(leaf, term)
    if len(data) != 1:
        came = "no product of it leads to the value" if not data else f"{len(data)} losses are added"
        raise NotUnderstoodError(f"it is no network: {came}")
    return _chain(leaf, *data[0], decay)


def _terms(root: Node) -> list[tuple[Node, float]]:
    """f as a sum of numbers times nodes; terms that do not depend on the array are left out."""
    terms: list[tuple[Node, float]] = []
    pending = [(root, 1.0)]
    while pending:
        node, factor = pending.pop()
        arguments = node.arguments
        numbers = [float(a) for a in arguments if not isinstance(a, Node) and np.size(a) == 1 and _is_number(a)]
        simple = not node.keywords and np.size(node.value) == 1 and all(np.size(n.value) == 1 for n in node.inputs)
        if simple and node.name in ("add", "subtract") and len(numbers) + len(node.inputs) == 2:
            signs = (1.0, 1.0 if node.name == "add" else -1.0)
            pending += [(a, factor * sign) for a, sign in zip(arguments, signs, strict=True) if isinstance(a, Node)]
        elif simple and node.name == "negative":
            pending.append((arguments[0], -factor))
        elif simple and node.name == "multiply" and len(numbers) == 1:
            pending.append((node.inputs[0], factor * numbers[0]))
        elif simple and node.name == "divide" and isinstance(arguments[0], Node) and numbers:
            pending.append((arguments[0], factor / numbers[0]))
        else:
            terms.append((node, factor))
    return terms


def _is_number(value: Any) -> bool:
    return np.asarray(value).dtype.kind in "fiu"


def _square(leaf: Node, term: Node) -> float:
    """The factor of a term that is a multiple of sum(array^2)."""
    generator = np.random.default_rng(SEED)
    probes = [scale * (generator.random(leaf.value.shape) - 0.5) for scale in (2.0, 60.0)]
    factors = [float(evaluate(term, {leaf: probe})) / float(np.sum(probe**2)) for probe in probes]
    here = factors[0] * float(np.sum(leaf.value**2))
    if not (
        np.isclose(factors[0], factors[1], rtol=TOLERANCE, atol=0)
        and np.isclose(here, term.value, rtol=TOLERANCE, atol=1e-300)
    ):
        raise NotUnderstoodError(f"a term ({term.name}) that is no weight decay")
    return factors[0]


def _chain(leaf: Node, term: Node, factor: float, decay: float) -> Chain:
    nodes = ancestors(term)
    uses = [node for node in nodes if leaf in node.inputs]
    if len(uses) != 1:
        raise NotUnderstoodError(f"{len(uses)} uses of the array in the loss")
    x, weights, bias, current = _first(leaf, uses[0])
    layers: list[Layer] = []
    parameters: list[tuple[Array, Array]] = []
    name = "b1" if uses[0].name == "add" else "W1"
    while True:
        if bias is None:
            bias, current = _bias(current, nodes, weights.shape[1])
        if current.value.shape != (*_leading(x, current), weights.shape[1]):
            raise NotUnderstoodError("a product whose rows are not the samples")
        layers.append(Affine(*weights.shape))
        parameters.append((weights, bias))
        product = _next_product(current, nodes)
        if product is None:
            break
        source = product.arguments[0]
        layers.append(_activation(current, source))
        if source.value.shape != current.value.shape:
            raise NotUnderstoodError("a layer that changes the shape")
        weights, bias, current = np.asarray(product.arguments[1], np.float64), None, product
    kind, output, targets, parameter, scale = _loss(current, term)
    if output is not None:
        layers.append(output)
    return Chain(tuple(layers), tuple(parameters), name, x, kind, targets, factor * scale, decay, parameter)


def _first(leaf: Node, use: Node) -> tuple[Array, Array, Array | None, Node]:
    """Inputs, weights, bias (None: still to find) and the product, where the array is the weights or the bias."""
    if len(use.arguments) != 2 or use.keywords or any(isinstance(a, Node) and a is not leaf for a in use.arguments):
        raise NotUnderstoodError(f"the array in {use.name}")
    other = use.arguments[0] if use.arguments[1] is leaf else use.arguments[1]
    if not (isinstance(other, np.ndarray) and _is_number(other) and other.size):
        raise NotUnderstoodError(f"the array in {use.name} with a {type(other).__name__}")
    if use.name in PRODUCTS and use.arguments[1] is leaf and leaf.value.ndim == 2 and other.ndim in (1, 2):
        return _rows(other), leaf.value, None, use
    if use.name == "add" and leaf.value.ndim == 1 and other.shape[-1:] == leaf.value.shape and other.ndim in (1, 2):
        # x + b is the identity's product with x, plus b.
        return _rows(other), np.eye(leaf.value.size), leaf.value, use
    raise NotUnderstoodError(f"the array in {use.name} with shape {other.shape}")


def _leading(x: Array, outputs: Node) -> tuple[int, ...]:
    """The shape of a layer's outputs without the last axis: () for a single sample in one dimension."""
    return () if outputs.value.ndim == 1 and len(x) == 1 else (len(x),)


def _rows(array: Any) -> Array:
    """The array as (N, D), in float64."""
    return np.ascontiguousarray(np.atleast_2d(array), np.float64)


def _users(node: Node, nodes: list[Node]) -> list[Node]:
    return [other for other in nodes if node in other.inputs]


def _bias(product: Node, nodes: list[Node], width: int) -> tuple[Array, Node]:
    """The bias added to a product, and the sum; zeros and the product where there is none."""
    users = _users(product, nodes)
    if len(users) == 1 and users[0].name == "add" and not users[0].keywords:
        constants = users[0].constants
        if len(constants) == 1 and np.shape(constants[0]) in ((width,), (1, width)):
            return np.asarray(constants[0], np.float64).reshape(width), users[0]
    return np.zeros(width), product


def _next_product(current: Node, nodes: list[Node]) -> Node | None:
    """The first product with constant weights after a node."""
    for node in nodes:
        if node.name in PRODUCTS and node is not current and current in ancestors(node):
            arguments = node.arguments
            good = len(arguments) == 2 and isinstance(arguments[0], Node) and not node.keywords
            if not (good and isinstance(arguments[1], np.ndarray) and arguments[1].ndim == 2):
                raise NotUnderstoodError("a product that is not one with constant weights")
            return node
    return None


def _depends_only_on(node: Node, source: Node) -> None:
    """Refuse a node that depends on the array other than through `source`."""
    if any(one.function is None for one in ancestors(node, (source,)) if one is not source):
        raise NotUnderstoodError("a way from the array past a layer")


def _activation(source: Node, result: Node) -> Activation:
    """The activation that turns `source` into `result`, whatever operations it is written with."""
    if result is source:
        return Identity()
    _depends_only_on(result, source)
    observed = np.asarray(source.value, np.float64)
    if _formula(observed.ravel(), np.asarray(result.value, np.float64).ravel()) is None:  # before anything is evaluated
        raise NotUnderstoodError("an activation that fastnn does not have")
    bound = LARGEST_PROBE + 2 * float(np.max(np.abs(observed)))
    points, values = [observed.ravel()], [np.asarray(result.value, np.float64).ravel()]
    for number in range(max(1, min(8, 32 // observed.size))):
        probe = _probe(observed.shape, bound, SEED + number)
        for one in (probe, -probe):  # so that each element is seen on both sides of 0
            points.append(one.ravel())
            values.append(np.asarray(evaluate(result, {source: one}), np.float64).ravel())
    activation = _formula(np.concatenate(points), np.concatenate(values))
    if activation is None:
        raise NotUnderstoodError("an activation that fastnn does not have")
    return activation


def _formula(x: Array, y: Array) -> Activation | None:
    """The activation that turns x into y; one of several if all x have the same sign."""
    if x.shape != y.shape:
        raise NotUnderstoodError("an activation that changes the shape")
    for kind in sorted(_KNOWN, key=lambda kind: bool(kind.option)):  # of several that fit, one without an option
        values: dict[str, Any] = {kind.option: _option(kind, x, y)} if kind.option else {}
        if not np.isfinite([*values.values()]).all():
            continue
        # A few numbers first, as most formulas differ there.
        if all(
            np.allclose(y[some], reference.activation_forward(kind.activation, x[some], **values), TOLERANCE, 1e-15)
            for some in (slice(64), slice(None))
        ):
            return kind(**values)
    return None


def _option(kind: type[Activation], x: Array, y: Array) -> float:
    """The option with which an activation turns x into y, if it is a factor of the activation's values below 0."""
    at = int(np.argmin(np.abs(x + 1.0)))
    options: list[dict[str, Any]] = [{kind.option: 1.0}, {kind.option: 0.0}]
    one, none = (float(reference.activation_forward(kind.activation, x[at : at + 1], **p)[0]) for p in options)
    return (float(y[at]) - none) / (one - none) if one != none else np.nan


def _probe(shape: tuple[int, ...], bound: float, seed: int) -> Array:
    """Numbers of both signs and of all magnitudes up to a bound."""
    generator = np.random.default_rng(seed)
    magnitude = bound ** generator.uniform(-2.0, 1.0, shape)
    probe: Array = magnitude * generator.choice([-1.0, 1.0], shape)
    return probe


def _loss(outputs: Node, term: Node) -> tuple[LossUnits, Activation | None, tuple[Array, Array], float, float]:
    """Which loss `term` is of `outputs`: its units, an activation before it, its targets, parameter and factor."""
    _depends_only_on(term, outputs)
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
    found = [one for node in nodes for one in leaves(node.constants) if np.size(one) == 1 and _is_number(one)]
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
    known = kind.name in reference.LOSSES and kind.accepts != OTHERS
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
