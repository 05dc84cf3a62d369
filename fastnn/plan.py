"""Layers compiled into a plan: the tables of integers that kernels/network.py runs. Imports layers and kernels."""

from collections.abc import Sequence

import numpy as np

from fastnn.kernels import job as kernels
from fastnn.kernels.activations import ACTIVATIONS, IDENTITY
from fastnn.layers import Activation, Affine, Dropout, Layer

# The loss's parameter, the share of the data in the loss, l1 and l2.
NO_LOSS_NUMBERS = (0.0, 1.0, 0.0, 0.0)
MOST_PARAMETERS = 2**60  # in a table of int64
Places = dict[str, tuple[int, tuple[int, ...]]]


def parameter_shapes(layers: Sequence[Layer]) -> dict[str, tuple[int, ...]]:
    """The parameters of a network of these layers, by name in the order of its flat vector, without making one."""
    places = compile_plan(check_layers(layers), 0)[1]
    return {name: shape for name, (_, shape) in places.items()}


def check_layers(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """The layers as a tuple; refused if they are none, or do not fit one another."""
    if isinstance(layers, Layer) or not isinstance(layers, Sequence):
        raise TypeError(f"layers: expected a list of layers, got {type(layers).__name__}; pass [Affine(4, 3), ...]")
    for i, layer in enumerate(layers):
        if not isinstance(layer, Affine | Activation | Dropout):
            came = f"the class {layer.__name__}" if isinstance(layer, type) else repr(layer)
            raise TypeError(
                f"layers[{i}]: expected a layer such as Affine(4, 3) or Relu(), got {came}; create it with ()"
            )
    if not layers or not isinstance(layers[0], Affine):
        came = str(layers[0]) if layers else "an empty list"
        raise ValueError(f"layers: expected an Affine layer first, got {came}; it says how many inputs there are")
    width = layers[0].inputs
    for i, layer in enumerate(layers):
        if isinstance(layer, Affine):
            if layer.inputs != width:
                raise ValueError(
                    f"layers[{i}]: expected Affine({width}, {layer.outputs}), as the layer before has {width} outputs, "
                    f"got {layer}; make the widths agree"
                )
            width = layer.outputs
    return tuple(layers)


def compile_plan(
    layers: Sequence[Layer], loss: int, loss_numbers: Sequence[float] = NO_LOSS_NUMBERS
) -> tuple[kernels.Plan, Places, int, int]:
    """The plan, the place of each parameter (start, shape), the plan's columns, and the number of parameters.

    loss_numbers: the plan's own, see kernels/job.py.
    """
    operations: list[list[int]] = []
    numbers: list[float] = []
    places: Places = {}
    source, columns, size, width = kernels.INPUT, 0, 0, 0
    for layer in layers:
        row = [0] * kernels.PLAN_COLUMNS
        if isinstance(layer, Affine):
            row[kernels.KIND], width = kernels.AFFINE, layer.outputs
            row[kernels.INPUTS], row[kernels.WEIGHT] = layer.inputs, size
            row[kernels.BIAS] = size + layer.inputs * layer.outputs
            number = len(places) // 2 + 1
            places[f"W{number}"] = (size, (layer.inputs, layer.outputs))
            places[f"b{number}"] = (row[kernels.BIAS], (layer.outputs,))
            size = row[kernels.BIAS] + layer.outputs
            numbers.append(0.0)
        elif isinstance(layer, Activation):
            row[kernels.KIND], row[kernels.INPUTS] = kernels.ACTIVATE, width
            row[kernels.ACTIVATION] = ACTIVATIONS[layer.activation].code
            numbers.append(layer.parameter)
        elif isinstance(layer, Dropout):
            row[kernels.KIND], row[kernels.INPUTS], row[kernels.ACTIVATION] = kernels.DROPOUT, width, IDENTITY
            numbers.append(layer.rate)
        row[kernels.SOURCE], row[kernels.TARGET], row[kernels.OUTPUTS] = source, columns, width
        source, columns = columns, columns + width
        operations.append(row)
    if size > MOST_PARAMETERS:
        came = f"{size:,} of them; use narrower layers"
        raise MemoryError(f"layers: expected parameters that fit into memory, got {came}")
    plan = kernels.Plan(np.array(operations, np.intp), np.array([*numbers, *loss_numbers], np.float64), loss)
    return plan, places, columns, size


def table_of_layers(layers: Sequence[Layer], title: str) -> str:
    """A table of layers, their outputs and parameters; the title stands in its last line."""
    rows = [("layer", "outputs", "parameters")]
    width, total = 0, 0
    for layer in layers:
        size = 0
        if isinstance(layer, Affine):
            width, size = layer.outputs, (layer.inputs + 1) * layer.outputs
        total += size
        rows.append((str(layer), f"{width:,}", f"{size:,}" if size else "-"))
    rows.append((title, "", f"{total:,}"))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    lines = [f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}" for a, b, c in rows]
    rule = "-" * len(lines[0])
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])
