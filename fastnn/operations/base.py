"""The base of a network's operations: the roles of their units, layers, activations, and units made of formulas."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, NamedTuple, TypeAlias

import numpy as np

from fastnn.gate import arrays
from fastnn.kernels import frames
from fastnn.kernels.addresses import zero_of
from fastnn.kernels.compile import formula
from fastnn.kernels.frames import flat
from fastnn.kernels.units import Unit
from fastnn.kernels.vector_math import constant
from fastnn.operations.links import Elements, Link, Passes
from fastnn.operations.moved_elements import changes_of_activation

# The work of an element forward and backward, which decides only whether threads pay (see `work_of`). A loop that only
# reads and writes takes 0.1 ns of a float32, one with exp 0.4 to 0.6.
MOVES, COMPUTES = 3.0, 10.0
Shape: TypeAlias = tuple[int, ...]  # of one sample: (features,), or (channels, height, width)


class Units(NamedTuple):
    """The units of an operation by their roles; None for a unit that it does not have.

    Each reads these entries of its frame and writes these results:

    forward
        TARGET from SOURCE, for ROWS rows.
    backward
        D_SOURCE from D_TARGET, SOURCE and TARGET. D_SOURCE may be D_TARGET if there are as many inputs as outputs.
    gradient
        OUT, the gradient by the rows [BEGIN, END) of PARAMETER, from the whole batch's D_TARGET and SOURCE.
    statistics, sums
        The statistics of the batch before the rows go forward, and sums over it before they go backward, for the units
        [BEGIN, END), from the whole batch into the flat vector of gradients. Only in training.
    check, learn
        RESULT, whether the statistics of the batch are finite; the learned statistics.
    sparse_forward, sparse_gradient
        As forward and gradient, for a SOURCE that is mostly zeros and finite parameters and D_TARGET.
    forward_columns, backward_columns
        As forward and backward, but only the columns [BEGIN, END) of TARGET or D_SOURCE, for all rows of the batch: for
        an operation whose parameters are too many to be read by each thread.
    indexed_forward, indexed_gradient
        As sparse_forward and sparse_gradient, from an index of the rows (frames.index); SOURCE holds nothing.
    prepare
        PREPARED, at the places of the parameters: anything about them that the units below need.
    reaches
        SAMPLES whose outputs move with row BEGIN of PARAMETER, and RESULT, their number. None: all.
    move
        CHANGES of outputs COLUMN to COLUMN + WIDTH of each sample when the entries of row BEGIN of PARAMETER change by
        STEPS; in columns, see moved_elements.py. Entry j of the row must move output j alone. None: by forward, of
        all outputs of all samples.
    change
        CHANGES, f(x + d) - f(x) from d, for an operation on single elements. None: by two calls of forward.
    spread
        OTHER, a block of the changes of all outputs, from CHANGES of single inputs in columns. None: by `follow`.
    follow
        OTHER, a block of the changes of the outputs, from the block CHANGES of the inputs. None: by forward.
    """

    forward: Unit
    backward: Unit
    gradient: Unit | None = None
    statistics: Unit | None = None
    sums: Unit | None = None
    check: Unit | None = None
    learn: Unit | None = None
    sparse_forward: Unit | None = None
    sparse_gradient: Unit | None = None
    prepare: Unit | None = None
    reaches: Unit | None = None
    move: Unit | None = None
    change: Unit | None = None
    spread: Unit | None = None
    follow: Unit | None = None
    forward_columns: Unit | None = None
    backward_columns: Unit | None = None
    indexed_forward: Unit | None = None
    indexed_gradient: Unit | None = None


NO_UNITS = Units(None, None)  # type: ignore[arg-type]  # for a layer that is a view


@dataclass(frozen=True)
class Layer:
    """The base class of layers."""

    units: ClassVar[Units]
    link: ClassVar[Link] = Passes()  # its part in a check of gradients
    is_view: ClassVar[bool] = False  # whether its outputs are its inputs in another shape; then it has no units
    takes_images: ClassVar[bool] = False  # whether it takes images (channels, height, width) alone
    takes_elements: ClassVar[bool] = False  # whether each output comes from one input alone
    spreads_by_prepared: ClassVar[bool] = False  # whether PREPARED is d outputs / d inputs, (outputs, inputs)
    is_homogeneous: ClassVar[bool] = False  # whether f(c x) = c f(x) for c > 0: linear on either side of 0
    kinks: ClassVar[tuple[float, ...]] = ()  # the inputs at which its derivative jumps
    has_ties: ClassVar[bool] = False  # whether its derivative jumps where inputs are equal
    penalized: ClassVar[tuple[str, ...]] = ()  # the parameters that regularization takes
    biases: ClassVar[tuple[str, ...]] = ()  # the ones that it takes with biases=True, too
    is_random: ClassVar[bool] = False  # whether it draws random numbers in training
    init_before: ClassVar[str] = "xavier"  # the initialization of weights before it; "": decided by the next layer
    outside_training: ClassVar[str] = ""  # the part of the input that it leaves out there, if any

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__repr__" not in vars(cls):
            cls.__repr__ = Layer.__repr__  # type: ignore[method-assign]  # dataclass would write one with all defaults

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        own = [(field, getattr(self, field.name)) for field in fields(self)]
        given = [repr(value) for field, value in own if not field.kw_only and value is not None]
        given += [f"{field.name}={value!r}" for field, value in own if field.kw_only and value != field.default]
        return f"{type(self).__name__}({', '.join(given)})"

    @property
    def update_factor(self) -> float:
        """The factor of the optimizer's learning rate; 0 if training leaves the layer as it is."""
        return 1.0

    @property
    def units_in_training(self) -> Units:
        """The units that training calls."""
        return self.units

    @property
    def differs_in_training(self) -> str:
        """What `gradient` leaves out and training does not, if anything."""
        return self.outside_training

    def own_input_shape(self) -> Shape | None:
        """The shape of its inputs if the layer itself has it; None if `Network` needs `input_shape`."""
        return None

    def shape_of_output(self, shape: Shape) -> Shape:
        """The shape of one sample's outputs for inputs of this shape.

        Raises
        ------
        ValueError
            If it does not take inputs of this shape. The message begins with "expected".
        """
        return shape

    def parameters(self, shape: Shape) -> dict[str, Shape]:
        """The names and shapes of its parameters for inputs of this shape."""
        return {}

    def statistics(self, shape: Shape) -> dict[str, Shape]:
        """The names and shapes of the statistics of its inputs that it learns."""
        return {}

    def beginnings(self, follows: str, generator: np.random.Generator) -> dict[str, Any]:
        """The initial values of all its parameters and statistics, by name.

        follows: the `init_before` of the next layer.
        """
        return {}

    def numbers(self) -> tuple[float, ...]:
        """The numbers that its units read by `number`."""
        return ()

    def check_in(self, name: str, dtype: Any) -> None:
        """Refuse numbers that the dtype rounds to 0, 1 or infinity; name: the layer's name in messages."""

    def scratch_size(self, rows: int, inputs: Shape, outputs: Shape) -> int:
        """Elements of scratch for its units and so many rows of training; 0: for its forward alone, of 128 rows."""
        return 0

    def follow_scratch_size(self, columns: int, inputs: Shape, outputs: Shape) -> int:
        """Elements of scratch that its `follow` needs for blocks of `columns` columns."""
        return 0


@dataclass(frozen=True)
class TrainedLayer(Layer):
    """The base class of layers with parameters: whether training moves them, and how far."""

    trainable: bool = field(default=True, kw_only=True)
    learning_rate_factor: float = field(default=1.0, kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "trainable", arrays.flag("trainable", self.trainable))
        factor = self.learning_rate_factor
        if isinstance(factor, int | float) and factor == 0:
            expected = "learning_rate_factor: expected a number above 0"
            raise ValueError(f"{expected}, got {factor}; pass trainable=False for a layer that stays as it is")
        object.__setattr__(self, "learning_rate_factor", arrays.real("learning_rate_factor", factor, above=0.0))

    def check_in(self, name: str, dtype: Any) -> None:
        arrays.real(f"{name}.learning_rate_factor", self.learning_rate_factor, maximum=float(np.finfo(dtype).max))

    @property
    def update_factor(self) -> float:
        return self.learning_rate_factor if self.trainable else 0.0

    @property
    def units_in_training(self) -> Units:
        if self.trainable:
            return self.units
        return self.units._replace(statistics=None, sums=None, check=None, learn=None)

    @property
    def differs_in_training(self) -> str:
        return self.outside_training if self.trainable else ""


def one_dimension(layer: Layer, shape: Shape, remedy: str = "add Flatten() before it") -> Shape:
    """The shape; refused unless it has one dimension, for layers that have no meaning for images yet."""
    if len(shape) > 1:
        expected = f"expected inputs in one dimension for {layer}"
        raise ValueError(f"{expected}, got the shape {shape}; {remedy}")
    return shape


def check_finite_in(name: str, number: float, dtype: Any) -> None:
    """Refuse a number that the dtype rounds to infinity."""
    arrays.real(name, number, maximum=float(np.finfo(dtype).max), minimum=float(np.finfo(dtype).min))


@dataclass(frozen=True)
class Activation(Layer):
    """The base class of activation layers; `activation` is the formula's name in fastnn.activation_forward."""

    link: ClassVar[Link] = Elements()
    activation: ClassVar[str] = ""
    work: ClassVar[tuple[float, float]] = (COMPUTES, COMPUTES)  # of an element forward and backward
    option: ClassVar[str] = ""  # the name of its one parameter, if any

    takes_elements = True

    @property
    def parameter(self) -> float:
        """The value of the activation's one parameter; 0 if it has none."""
        return float(getattr(self, self.option)) if self.option else 0.0

    def __post_init__(self) -> None:
        if not self.activation:
            raise TypeError(f"layer: expected one such as Relu(), got {type(self).__name__}(); use a subclass")
        if self.option:
            object.__setattr__(self, self.option, arrays.real(self.option, getattr(self, self.option)))

    def numbers(self) -> tuple[float, ...]:
        return (self.parameter,)

    def check_in(self, name: str, dtype: Any) -> None:
        check_finite_in(name, self.parameter, dtype)


def work_of(each: float, array: Any) -> float:
    """The work on an array's elements, in units of `threads.run`; each: that of a float32, half of a float64's."""
    return each * float(array.nbytes) / 4.0


@formula
def _each(function: Any, p: Any, x: Any, y: Any) -> None:
    """y = function(x, p), element by element. Vectors of one length."""
    for i in range(x.size):
        y[i] = function(x[i], p)


@formula
def _each_backward(derivative: Any, p: Any, dy: Any, x: Any, y: Any, dx: Any) -> None:
    """dx = dy derivative(x, y, p), element by element. Vectors of one length."""
    for i in range(x.size):
        dx[i] = dy[i] * derivative(x[i], y[i], p)


def units_of(
    function: Callable[..., Any], derivative: Callable[..., Any], change: Callable[..., Any] | None = None
) -> Units:
    """The units of an activation f(x, p), element by element, with the derivative f'(x, y, p), where y = f(x, p).

    p is its one parameter, which most ignore. change(x, y, d, p): f(x + d) - y in float64 for |d| <= 1 / 64, from a
    formula that does not subtract two values of f; pass it if there is one. It is as exact as its inputs: if it needs
    1 - y, a saturated unit has few digits left. All are formulas, compiled into these loops.
    """

    def forward(frame: Any) -> None:
        p = constant(zero_of(frame), frames.number(frame, 0))
        _each(function, p, flat(frame, frames.SOURCE), flat(frame, frames.TARGET))

    def backward(frame: Any) -> None:
        p = constant(zero_of(frame), frames.number(frame, 0))
        dy, x = flat(frame, frames.D_TARGET), flat(frame, frames.SOURCE)
        y, dx = flat(frame, frames.TARGET), flat(frame, frames.D_SOURCE)
        _each_backward(derivative, p, dy, x, y, dx)

    def changes(frame: Any) -> None:
        changes_of_activation(function, change, frame)

    return Units(
        Unit(forward, made_of=(function,)),
        Unit(backward, made_of=(derivative,)),
        change=None if change is None else Unit(changes, made_of=(function, change)),
    )
