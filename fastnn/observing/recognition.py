"""Recognizes in a tape a network that fastnn/engine/perturbation.py can perturb.

A part of the tape is recognized by its values when it is evaluated again: an activation at numbers over the whole range
that matters, a loss at several random outputs. So it does not matter how it was written.
"""

import itertools
from typing import Any, NamedTuple

import numpy as np

from fastnn import reference
from fastnn.engine.engine import Engine
from fastnn.gate.arrays import Array
from fastnn.layers import LAYERS, Activation, Flatten, Identity, Layer
from fastnn.observing import steps
from fastnn.observing.losses import SEED, TOLERANCE, loss_of
from fastnn.observing.tape import Node, NotUnderstoodError, ancestors, depends_only_on, evaluate, is_number, leaves
from fastnn.operations import ACTIVATIONS, LOSSES
from fastnn.operations.columns import ColumnLayer
from fastnn.operations.losses.base import LossUnits
from fastnn.operations.losses.softmax_cross_entropy import OFFSET_UNITS, SoftmaxCrossEntropy

LARGEST_PROBE = 12.0
MOST_TRIED = 100  # choices of a layer's parameters among the constants of its formula and their negatives
_KNOWN = [kind for kind in ACTIVATIONS.values() if kind.takes_elements and kind.activation in reference.ACTIVATIONS]


class Chain(NamedTuple):
    """A network that ends in a loss, as far as it depends on one array.

    loss of f = scale * loss(network(x), targets) + decay * sum(array^2) + constant
    """

    layers: tuple[Layer, ...]
    parameters: tuple[Array, ...]  # of all layers, in the order of a network's
    name: str  # the array's name among the parameters: "W1" or "b1"
    x: Array  # (N, D)
    loss: LossUnits
    targets: tuple[Array, Array]  # labels and dense, one of them empty
    scale: float
    decay: float
    loss_parameter: float = 0.0
    input_shape: tuple[int, ...] | None = None  # of a sample that is an image

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
        if any(node.name in steps.WITH_PARAMETERS for node in ancestors(term)) or leaf.value.ndim < 2:
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
        numbers = [float(a) for a in arguments if not isinstance(a, Node) and np.size(a) == 1 and is_number(a)]
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
    step, x, input_shape = steps.first(leaf, nodes)
    # The bias of a product is an operation by itself.
    name = "W1" if leaf.value.ndim > 1 else "b1"
    layers, parameters = [step.layer], [*step.parameters]
    while (found := steps.following(step.outputs, nodes)) is not None:
        node, source = found
        between, own = _activation(step.outputs, source)
        step = steps.step_of(node, nodes, len(x))
        layers += [*between, step.layer]
        parameters += [*own, *step.parameters]
    if step.outputs.value.ndim == steps.IMAGES:
        raise NotUnderstoodError("a loss of images")
    kind, output, targets, parameter, scale = loss_of(step.outputs, term)
    if output is not None:
        layers.append(output)
    factor *= scale
    return Chain(tuple(layers), tuple(parameters), name, x, kind, targets, factor, decay, parameter, input_shape)


def _activation(source: Node, result: Node) -> tuple[list[Layer], list[Array]]:
    """The layers that turn `source` into `result`, whatever operations they are written with, and their parameters.

    They are an activation, and Flatten where images become rows.
    """
    if result is source:
        return [Identity()], []
    depends_only_on(result, source)
    observed = np.asarray(source.value, np.float64)
    rows = (len(observed), observed.size // len(observed)) if observed.ndim == steps.IMAGES else observed.shape
    if result.value.shape not in (observed.shape, rows):
        raise NotUnderstoodError("a layer that changes the shape")
    flatten = [] if result.value.shape == observed.shape else [Flatten()]
    width = observed.shape[-1] if observed.ndim < steps.IMAGES else 0
    found = _layer(observed.ravel(), np.asarray(result.value, np.float64).ravel(), result, source, width)
    if found is None:  # before anything is evaluated
        raise NotUnderstoodError("an activation that fastnn does not have")
    bound = LARGEST_PROBE + 2 * float(np.max(np.abs(observed)))
    probes = [_probe(observed.shape, bound, SEED + number) for number in range(max(1, min(8, 32 // observed.size)))]
    points, values = [observed.ravel()], [np.asarray(result.value, np.float64).ravel()]
    # So each element is seen on both sides of 0, and at 0, where only the value of a step may differ.
    for one in (np.zeros_like(observed), *probes, *(-probe for probe in probes)):
        points.append(one.ravel())
        values.append(np.asarray(evaluate(result, {source: one}), np.float64).ravel())
    found = _layer(np.concatenate(points), np.concatenate(values), result, source, width)
    if found is None:
        raise NotUnderstoodError("an activation that fastnn does not have")
    return [found[0], *flatten], found[1]


def _layer(x: Array, y: Array, result: Node, source: Node, width: int) -> tuple[Layer, list[Array]] | None:
    """An activation, or a layer with parameters for each column, that turns x into y; None if there is none.

    width: 0 for images, which have no columns.
    """
    activation = _formula(x, y)
    if activation is not None or not width:
        return None if activation is None else (activation, [])
    nodes = [node for node in ancestors(result, (source,)) if node is not source]
    constants = [one for one in leaves([node.constants for node in nodes]) if np.size(one) in (1, width)]
    each = [np.broadcast_to(np.asarray(one, np.float64).ravel(), width) for one in constants if is_number(one)]
    own = list({one.tobytes(): one for sign in (1.0, -1.0) for one in (sign * array for array in each)}.values())
    for kind in LAYERS.values():
        if issubclass(kind, ColumnLayer):
            alone = Engine([kind()], "mean_squared_error", "float64", None, width)
            for chosen in itertools.islice(itertools.permutations(own, len(alone.params)), MOST_TRIED):
                for view, array in zip(alone.params.values(), chosen, strict=True):
                    view[...] = array
                found = alone.predict(x.reshape(-1, width), check_finite=False).ravel()
                if np.allclose(y, found, TOLERANCE, 1e-15):
                    return kind(), list(chosen)
    return None


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
    """The option with which an activation turns x into y, if it is a factor of the activation's values below 0 or at 0.

    The usual one where no x tells it.
    """
    options: list[dict[str, Any]] = [{kind.option: 1.0}, {kind.option: 0.0}]
    for place in (-1.0, 0.0):
        at = int(np.argmin(np.abs(x - place)))
        one, none = (float(reference.activation_forward(kind.activation, x[at : at + 1], **p)[0]) for p in options)
        if one != none:
            return (float(y[at]) - none) / (one - none)
    return kind().parameter


def _probe(shape: tuple[int, ...], bound: float, seed: int) -> Array:
    """Numbers of both signs and of all magnitudes up to a bound."""
    generator = np.random.default_rng(seed)
    magnitude = bound ** generator.uniform(-2.0, 1.0, shape)
    probe: Array = magnitude * generator.choice([-1.0, 1.0], shape)
    return probe
