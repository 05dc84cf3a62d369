"""Layers compiled into a plan: the tables that kernels/network.py runs. Imports the gate, layers and kernels."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fastnn import arrays
from fastnn.kernels import job as kernels
from fastnn.kernels.activations import ACTIVATIONS, IDENTITY
from fastnn.layers import Activation, Affine, BatchNorm, Dropout, Elu, Layer, LeakyRelu, PRelu, own_layer

# The loss's parameter, the share of the data in the loss, l1 and l2.
NO_LOSS_NUMBERS = (0.0, 1.0, 0.0, 0.0)
MOST_PARAMETERS = 2**60  # in a table of int64
PARAMETER_COLUMNS = (kernels.WEIGHT, kernels.BIAS)  # where a row says what stands at which place
Places = dict[str, tuple[int, tuple[int, ...]]]


class Compiled(NamedTuple):
    """What layers become.

    Attributes
    ----------
    plan : kernels.Plan
    places : dict
        Of each parameter by name: where it begins in the flat vector, and its shape.
    statistics : dict
        Likewise of what BatchNorm learns of its inputs, which stands behind all parameters.
    columns : int
        Of the plan: the width of all tensors together.
    trained, size : int
        The number of parameters, and that with the statistics.
    """

    plan: kernels.Plan
    places: Places
    statistics: Places
    columns: int
    trained: int
    size: int


def parameter_shapes(layers: Sequence[Layer]) -> dict[str, tuple[int, ...]]:
    """What stands in the flat vector of a network of these layers, by name in its order, without making one."""
    compiled = compile_plan(check_layers(layers), 0)
    return {name: shape for name, (_, shape) in (compiled.places | compiled.statistics).items()}


def check_numbers(layers: Sequence[Layer], dtype: np.dtype[Any]) -> None:
    """Refuse numbers of layers that the dtype rounds to 0, 1 or infinity."""
    for i, layer in enumerate(layers):
        name = f"layers[{i}]"
        if isinstance(layer, BatchNorm):
            arrays.survives(name, "an epsilon above 0", layer.epsilon, 0.0, dtype, "pass a larger one")
            arrays.survives(name, "a momentum below 1", layer.momentum, 1.0, dtype, "pass a smaller one")
        if isinstance(layer, LeakyRelu | PRelu | Elu):
            number = layer.alpha if isinstance(layer, Elu) else layer.slope
            arrays.real(name, number, maximum=float(np.finfo(dtype).max), minimum=float(np.finfo(dtype).min))


def check_layers(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """The layers as fastnn's own classes describe them; refused if they are none, or do not fit one another."""
    if isinstance(layers, Layer) or not isinstance(layers, Sequence):
        raise TypeError(f"layers: expected a list of layers, got {type(layers).__name__}; pass [Affine(4, 3), ...]")
    own: list[Layer] = []
    for i, layer in enumerate(layers):
        if not isinstance(layer, Affine | Activation | PRelu | BatchNorm | Dropout):
            expected = f"layers[{i}]: expected a layer such as Affine(4, 3) or Relu()"
            if isinstance(layer, type):
                raise TypeError(f"{expected}, got the class {layer.__name__}; create it with ()")
            raise TypeError(f"{expected}, got {layer!r}; pass layers, the weights between two widths as Affine")
        own.append(own_layer(layer))
    if not own or not isinstance(own[0], Affine):
        came = str(own[0]) if own else "an empty list"
        raise ValueError(f"layers: expected an Affine layer first, got {came}; it says how many inputs there are")
    width = own[0].inputs
    for i, layer in enumerate(own):
        if isinstance(layer, Affine):
            if layer.inputs != width:
                raise ValueError(
                    f"layers[{i}]: expected Affine({width}, {layer.outputs}), as the layer before has {width} outputs, "
                    f"got {layer}; make the widths agree"
                )
            width = layer.outputs
    return tuple(own)


def compile_plan(layers: Sequence[Layer], loss: int, loss_numbers: Sequence[float] = NO_LOSS_NUMBERS) -> Compiled:
    """The plan of layers, and where their parameters stand.

    layers: as `check_layers` returns them; loss_numbers: the plan's own, see kernels/job.py.
    """
    table: list[list[int]] = []
    numbers: tuple[list[float], list[float]] = ([], [])
    places: Places = {}
    counts: dict[str, int] = {}
    source, columns, size, width = kernels.INPUT, 0, 0, 0
    for layer in layers:
        row = [0] * kernels.PLAN_COLUMNS
        row[kernels.KIND], row[kernels.ACTIVATION] = _kind(layer)
        row[kernels.INPUTS] = layer.inputs if isinstance(layer, Affine) else width
        width = layer.outputs if isinstance(layer, Affine) else width
        row[kernels.SOURCE], row[kernels.TARGET], row[kernels.OUTPUTS] = source, columns, width
        for column, (name, shape) in zip(PARAMETER_COLUMNS, layer.parameters(width).items(), strict=False):
            row[column], counts[name] = size, counts.get(name, 0) + 1
            places[f"{name}{counts[name]}"] = (size, shape)
            size += math.prod(shape)
        source, columns = columns, columns + width
        table.append(row)
        for kept, number in zip(numbers, _numbers(layer), strict=True):
            kept.append(number)
    trained = size
    statistics: Places = {}
    for number, row in enumerate((row for row in table if row[kernels.KIND] == kernels.BATCH_NORM), start=1):
        row[kernels.STATISTICS], width = size, row[kernels.OUTPUTS]
        statistics |= {f"mean{number}": (size, (width,)), f"variance{number}": (size + width, (width,))}
        size += 2 * width
    if size > MOST_PARAMETERS:
        came = f"{size:,} of them; use narrower layers"
        raise MemoryError(f"layers: expected parameters that fit into memory, got {came}")
    all_numbers = np.array([*numbers[0], *numbers[1], *loss_numbers], np.float64)
    return Compiled(
        kernels.Plan(np.array(table, np.intp), all_numbers, loss), places, statistics, columns, trained, size
    )


def _kind(layer: Layer) -> tuple[int, int]:
    """A layer's kind of operation, and its activation."""
    if isinstance(layer, Activation):
        return kernels.ACTIVATE, ACTIVATIONS[layer.activation].code
    kinds = {Affine: kernels.AFFINE, PRelu: kernels.PRELU, BatchNorm: kernels.BATCH_NORM, Dropout: kernels.DROPOUT}
    return next(kind for cls, kind in kinds.items() if isinstance(layer, cls)), IDENTITY


def _numbers(layer: Layer) -> tuple[float, float]:
    """The two numbers of a layer's operation."""
    if isinstance(layer, BatchNorm):
        return layer.epsilon, layer.momentum
    return layer.rate if isinstance(layer, Dropout) else getattr(layer, "parameter", 0.0), 0.0


def table_of_layers(layers: Sequence[Layer], title: str) -> str:
    """A table of layers, their outputs and parameters; the title stands in its last line."""
    rows = [("layer", "outputs", "parameters")]
    width, total = 0, 0
    for layer in layers:
        width = layer.outputs if isinstance(layer, Affine) else width
        size = sum(math.prod(shape) for shape in layer.parameters(width).values())
        total += size
        rows.append((str(layer), f"{width:,}", f"{size:,}" if size else "-"))
    rows.append((title, "", f"{total:,}"))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    lines = [f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}" for a, b, c in rows]
    rule = "-" * len(lines[0])
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])
