"""Layers compiled into a plan: the tables that the interpreters in fastnn/engine run."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fastnn.engine.interpreters import jobs
from fastnn.engine.shapes import check_input_shape, shapes_of, sizes_of
from fastnn.gate.arrays import Array
from fastnn.kernels import caches
from fastnn.kernels.addresses import LATER
from fastnn.kernels.frames import EACH_PLACE, FROZEN, MOST_PARAMETERS, MOST_STATISTICS
from fastnn.kernels.units import Unit
from fastnn.layers import LAYERS, Activation, Layer, own_layer
from fastnn.operations import refuse_replaced
from fastnn.operations.base import Shape, Units
from fastnn.operations.losses.base import NO_LABELS, Loss, LossUnits

# The loss's parameter and borders, and the factor of the data's loss.
NO_LOSS_NUMBERS = (0.0, 0.0, 0.0, 1.0)
MOST_PARAMETERS_OF_A_PLAN = 2**60  # so that a table of int64 can count them
# Elements of images between operations that are taken through them at once: half of the second-level cache, in float32.
SHARE_OF_IMAGES = caches.CACHES.second // 8
Places = dict[str, tuple[int, Shape]]
# The roles whose units are compiled, for predictions, for training and for numerical gradients.
PREDICTING = ("forward", "forward_columns")
TRAINING = (
    "forward", "backward", "gradient", "statistics", "sums", "check", "learn", "forward_columns", "backward_columns",
)  # fmt: skip
PERTURBING = ("forward", "prepare", "reaches", "move", "change", "spread", "follow")
PERTURBING_LOSS = ("change", "change_of_one", "prepare", "change_along", "prepare_along")
SPARSE = ("sparse_forward", "sparse_gradient")
INDEXED = ("indexed_forward", "indexed_gradient")


# A batch's training counts for a tenth of its operations, three times those forward, when it is asked whether threads
# pay, as products are that much faster than other work: 0.46 MFLOP gain nothing.
TRAINING_WORK = 0.3


class Tensor(NamedTuple):
    """A parameter: its name, its part of the flat vector, and what concerns training."""

    name: str
    place: slice
    penalty: int  # the place of its l1, which l2 follows, among the plan's numbers
    is_weight: bool  # whether a penalty on all weights takes it
    is_bias: bool
    factor: float  # of the learning rate; 0 if it is frozen


class Plan(NamedTuple):
    """A network as tables, for either dtype.

    Attributes
    ----------
    operations : array (operations, jobs.PLAN_COLUMNS)
        The operations without the addresses of units; see `table`.
    numbers : array
        See interpreters/jobs.py.
    layers : tuple
        The layers of the operations: all but layers that compute nothing, such as Flatten.
    shapes : tuple of (Shape, Shape)
        The shapes of their inputs and outputs.
    loss, loss_of_labels : LossUnits
    accepts : int
        The dense targets that the loss takes; see operations/losses/base.py.
    flop : float
        About how many operations a sample takes forward; decides only whether threads pay.
    """

    operations: Array
    numbers: Array
    layers: tuple[Layer, ...]
    shapes: tuple[tuple[Shape, Shape], ...]
    loss: LossUnits
    loss_of_labels: LossUnits
    accepts: int
    flop: float
    tensors: tuple[Tensor, ...]
    factors: tuple[float, ...]  # of the learning rate, by frames.RULE
    tables: dict[Any, Array]  # the tables made so far, by dtype and roles

    @property
    def penalties(self) -> list[tuple[slice, float, float]]:
        """The parts of the flat vector on which there is a penalty, with its l1 and l2."""
        found = []
        for one in self.tensors:
            l1, l2 = self.numbers[one.penalty : one.penalty + jobs.EACH_PENALTY].tolist()
            if l1 != 0.0 or l2 != 0.0:
                found.append((one.place, l1, l2))
        return found

    @property
    def frozen(self) -> list[slice]:
        """The parts of the flat vector that training leaves as they are."""
        return [one.place for one in self.tensors if one.factor == 0.0]

    @property
    def uses_statistics(self) -> bool:
        """Whether training takes statistics of batches."""
        return any(layer.units_in_training.statistics is not None for layer in self.layers)

    @property
    def needs_rows(self) -> bool:
        """Whether a batch of one row has no statistics: an operation that takes them has one number of each unit."""
        pairs = zip(self.layers, self.shapes, strict=True)
        return any(layer.units_in_training.statistics and math.prod(before[1:]) == 1 for layer, (before, _) in pairs)

    def units(self, roles: tuple[str, ...]) -> list[Unit | None]:
        """The units of the operations for these roles."""
        return [self.unit(i, role) for i in range(len(self.layers)) for role in roles]

    def unit(self, i: int, role: str) -> Unit | None:
        """The unit of operation i for a role. A parameter of images moves many outputs, which `move` cannot tell."""
        is_single = role != "move" or len(self.shapes[i][1]) == 1
        found: Unit | None = getattr(self.layers[i].units, role) if is_single else None
        return found

    def table(self, dtype: Any, roles: tuple[str, ...]) -> Array:
        """The operations with the addresses of their units of these roles, compiled if necessary."""
        if (dtype, roles) not in self.tables:
            self.tables[dtype, roles] = self._made_table(dtype, roles)
        return self.tables[dtype, roles].copy()

    def _made_table(self, dtype: Any, roles: tuple[str, ...]) -> Array:
        table = self.operations.copy()
        for i, layer in enumerate(self.layers):
            for role in roles:
                unit = getattr(layer.units_in_training, role) if roles is TRAINING else self.unit(i, role)
                set_address(table, i, unit, role, dtype)
            if i == 0 and "forward" in roles and "move" not in roles:
                for role in (*SPARSE, *INDEXED):  # only for the first operation, if its inputs turn out to be sparse
                    table[0, column_of(role)] = 0 if getattr(layer.units, role) is None else LATER
        return table

    def add_sparse(self, table: Array, roles: tuple[str, ...], dtype: Any) -> None:
        """Compile the units of a table's first operation for inputs that are mostly zeros: SPARSE or INDEXED."""
        for role in roles:
            set_address(table, 0, self.unit(0, role), role, dtype)


def column_of(role: str) -> int:
    """The place in a plan's row for the address of a unit of this role."""
    return jobs.UNITS_AT + Units._fields.index(role)


def set_address(table: Array, i: int, unit: Unit | None, role: str, dtype: Any) -> None:
    """Put the address of a unit of operation i into a table, compiling it if necessary; 0 for none."""
    table[i, column_of(role)] = 0 if unit is None else unit.address(dtype)


class Compiled(NamedTuple):
    """The result of compiling layers.

    Attributes
    ----------
    plan : Plan
    places : dict
        Each parameter's start in the flat vector and its shape, by name.
    statistics : dict
        The same for statistics, which follow all parameters.
    shapes : list
        The shapes of one sample, before the first layer and after each, including layers that compute nothing.
    columns : int
        The plan's columns: the elements of all tensors of one sample together.
    trained, size : int
        The number of parameters, without and with the statistics.
    """

    plan: Plan
    places: Places
    statistics: Places
    shapes: list[Shape]
    columns: int
    trained: int
    size: int


def parameter_shapes(layers: Sequence[Layer], input_shape: Shape | None) -> dict[str, Shape]:
    """The shapes of all parameters and statistics of these layers by name, in the order of the flat vector."""
    compiled = compile_plan(*check_layers(layers, input_shape), None)
    return {name: shape for name, (_, shape) in (compiled.places | compiled.statistics).items()}


def check_layers(layers: Sequence[Layer], input_shape: Any = None) -> tuple[tuple[Layer, ...], Shape]:
    """The layers as fastnn's own classes describe them, and the shape of one sample of their inputs.

    Refuses other objects, and layers that do not fit together.
    """
    if isinstance(layers, Layer) or not isinstance(layers, Sequence):
        raise TypeError(f"layers: expected a list of layers, got {type(layers).__name__}; pass [Affine(4, 3), ...]")
    own: list[Layer] = []
    for i, layer in enumerate(layers):
        refuse_replaced(f"layers[{i}]", layer)
        if not isinstance(layer, (Activation, *LAYERS.values())):
            expected = f"layers[{i}]: expected a layer such as Affine(4, 3) or Relu()"
            if isinstance(layer, type):
                raise TypeError(f"{expected}, got the class {layer.__name__}; create it with ()")
            raise TypeError(f"{expected}, got {layer!r}; pass layers, the weights between two widths as Affine")
        own.append(own_layer(layer))
    if not own:
        came = "an empty list; it says how many inputs there are"
        raise ValueError(f"layers: expected an Affine layer first, got {came}")
    shape = check_input_shape(own, input_shape)
    shapes_of(own, shape)
    if all(layer.is_view for layer in own):
        raise ValueError(f"layers: expected one that computes, such as Affine(4, 3), got {own[0]} alone; add one")
    return tuple(own), shape


def compile_plan(
    layers: Sequence[Layer],
    input_shape: Shape,
    loss: Loss | LossUnits | None,
    loss_numbers: Sequence[float] = NO_LOSS_NUMBERS,
) -> Compiled:
    """The plan of layers, and the places of their parameters.

    layers, input_shape: as `check_layers` returns them; loss: None where none is asked for; loss_numbers: see
    engine/interpreters/jobs.py.
    """
    shapes = shapes_of(layers, input_shape)
    computing = [i for i, layer in enumerate(layers) if not layer.is_view]  # the others leave tensors where they are
    pairs, layers = tuple((shapes[i], shapes[i + 1]) for i in computing), tuple(layers[i] for i in computing)
    table = np.zeros((len(layers), jobs.PLAN_COLUMNS), np.intp)
    numbers = np.zeros(jobs.NUMBERS_EACH * len(layers) + jobs.PLAN_NUMBERS)
    numbers[jobs.NUMBERS_EACH * len(layers) :] = loss_numbers
    places, statistics = _Places(0), _Places(0)
    columns, flop = 0, 0.0
    tensors, factors = list[Tensor](), [1.0]
    for i, (layer, (before, after)) in enumerate(zip(layers, pairs, strict=True)):
        row = table[i]
        row[jobs.WIDTH_IN], row[jobs.WIDTH_OUT] = math.prod(before), math.prod(after)
        row[jobs.SHAPES_AT :] = sizes_of(before, after)
        row[jobs.TAKES_ELEMENTS] = layer.takes_elements
        columns += math.prod(after)
        own = layer.numbers()
        _check_room(layer, "numbers", len(own), jobs.OWN_NUMBERS)
        _check_room(layer, "parameters", len(layer.parameters(before)), MOST_PARAMETERS)
        _check_room(layer, "statistics", len(layer.statistics(before)), MOST_STATISTICS)
        numbers[jobs.NUMBERS_EACH * i : jobs.NUMBERS_EACH * i + len(own)] = own
        size = sum(map(math.prod, layer.parameters(before).values()))
        # Each parameter meets every place of an image.
        flop += 2.0 * max(size * math.prod(after[1:]), math.prod(before), math.prod(after))
        row[jobs.PARAMETERS] = places.add(row, 0, layer.parameters(before), rule_of(layer, factors))
        tensors += _tensors(places.found, i, layer, list(layer.parameters(before)))
    table[:, jobs.AT_ONCE] = images_at_once(pairs)
    statistics.size = places.size
    for row, layer, (before, _) in zip(table, layers, pairs, strict=True):
        row[jobs.STATISTICS] = statistics.add(row, MOST_PARAMETERS, layer.statistics(before), rule_of(layer, factors))
    units = loss.units if isinstance(loss, Loss) else loss
    of_labels = (loss.labels_units or NO_LABELS) if isinstance(loss, Loss) else units
    accepts = loss.accepts if isinstance(loss, Loss) else 0
    plan = Plan(table, numbers, layers, pairs, units, of_labels, accepts, flop, tuple(tensors), tuple(factors), {})  # type: ignore[arg-type]
    return Compiled(plan, places.found, statistics.found, shapes, columns, places.size, statistics.size)


def place_tensors(table: Array, rows: int, parts: int = 0) -> int:
    """Place the outputs of a table's operations, for so many rows, one after the other; return their elements.

    parts: 0, or those of a prediction, which does not go backward: of images that only the next operation reads, each
    part then has memory for as many as are taken at once, which stays in the cache. With 128 rows of each, 16 images of
    3 x 32 x 32 through 4 convolutions of 32 and 64 filters took 13.4 ms instead of 4.8.
    """
    place, reads, read = 0, jobs.INPUT, 0
    for row, following in zip(table, [*table[1:, jobs.AT_ONCE], 0], strict=True):
        few = row[jobs.AT_ONCE] if parts and following else 0
        row[jobs.READS], row[jobs.FEW_IN], row[jobs.WRITES], row[jobs.FEW_OUT] = reads, read, place, few
        reads, read = place, few
        place += int(row[jobs.WIDTH_OUT]) * (parts * int(few) if few else rows)
    return place


def images_at_once(shapes: Sequence[tuple[Shape, Shape]]) -> list[int]:
    """How many images to take through each operation at once; 0 for operations on rows of numbers.

    Operations on images that follow each other take as many as a part of the second-level cache holds, with all that
    they read and write: the weights of later operations are read once for all rows.
    """
    found = [0] * len(shapes)
    run: list[int] = []
    for i in range(len(shapes) + 1):
        if i < len(shapes) and max(map(len, shapes[i])) > 1:
            run.append(i)
        else:
            sizes = [math.prod(shapes[k][0]) + math.prod(shapes[k][1]) for k in run]
            for k in run:
                found[k] = max(1, SHARE_OF_IMAGES // sum(sizes))
            run = []
    return found


def _check_room(layer: Layer, what: str, count: int, most: int) -> None:
    """Refuse what a plan's row has no room for, which would lie in its neighbour's."""
    if count > most:
        raise ValueError(f"{type(layer).__name__}.{what}: expected at most {most}, got {count}; divide the layer")


def rule_of(layer: Layer, factors: list[float]) -> int:
    """The row of "rates" by which training updates a layer, whose factor is added to the others; FROZEN for none."""
    factor = layer.update_factor
    if factor == 0.0:
        return FROZEN
    if factor not in factors:
        factors.append(factor)
    return factors.index(factor)


def _tensors(places: Places, i: int, layer: Layer, names: Sequence[str]) -> list[Tensor]:
    """The parameters of operation i, whose places were added last."""
    found, last = [], list(places.items())[len(places) - len(names) :]
    for which, (own, (name, (start, shape))) in enumerate(zip(names, last, strict=True)):
        place, takes = slice(start, start + math.prod(shape)), (own in layer.penalized, own in layer.biases)
        found.append(Tensor(name, place, jobs.place_of_penalty(i, which), *takes, layer.update_factor))
    return found


class _Places:
    """The starts of arrays in the flat vectors, by name, from `size` elements on."""

    def __init__(self, size: int) -> None:
        self.size, self.found = size, Places()
        self._counts: dict[str, int] = {}

    def add(self, row: Array, first: int, shapes: dict[str, tuple[int, ...]], rule: int) -> int:
        """Add the arrays of one operation, and note them in its row; return how many."""
        for which, (name, shape) in enumerate(shapes.items(), start=first):
            if self.size + math.prod(shape) > MOST_PARAMETERS_OF_A_PLAN:
                came = f"{self.size + math.prod(shape):,} of them; use narrower layers"
                raise MemoryError(f"layers: expected parameters that fit into memory, got {came}")
            self._counts[name] = self._counts.get(name, 0) + 1
            self.found[f"{name}{self._counts[name]}"] = (self.size, shape)
            at = jobs.PLACES_AT + EACH_PLACE * which
            breadth = math.prod(shape[1:])
            row[at : at + EACH_PLACE] = self.size, shape[0], breadth, len(shape) > 1, rule
            self.size += math.prod(shape)
        return len(shapes)


def rows_of_layers(layers: Sequence[Layer], shapes: Sequence[Shape], title: str) -> list[tuple[str, str, str]]:
    """A heading, a row for each layer with the shape of its outputs and its parameters, and a row with the title."""
    rows, total, frozen = [("layer", "outputs", "parameters")], 0, 0
    for layer, before, after in zip(layers, shapes, shapes[1:], strict=False):
        size = sum(math.prod(shape) for shape in layer.parameters(before).values())
        total, frozen = total + size, frozen + (0 if layer.update_factor else size)
        outputs = f"{after[0]:,}" if len(after) == 1 else " x ".join(map(str, after))
        rows.append((str(layer), outputs, f"{size:,}" if size else "-"))
    title = f"{title}, {total - frozen:,} are trained" if frozen else title
    return [*rows, (title, "", f"{total:,}")]


def table_of_layers(rows: Sequence[tuple[str, str, str]]) -> str:
    """The rows of layers as a text."""
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    lines = [f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}" for a, b, c in rows]
    rule = "-" * len(lines[0])
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])
