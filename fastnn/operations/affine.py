"""The affine layer, y = x W + b."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn.gate import arrays, checks
from fastnn.kernels import frames
from fastnn.kernels.addresses import get, put
from fastnn.kernels.copies import AS_IT_IS, TRANSPOSED
from fastnn.kernels.frames import d_target, integers_of, matrix_of, parameter, scratch, source, target, vector_of
from fastnn.kernels.indexed import (
    add_chains,
    chains_of,
    indexed_scratch_size,
    multiply_chains,
    multiply_rows,
    multiply_rows_transposed,
)
from fastnn.kernels.matmul import product, product_of_columns, scratch_size
from fastnn.kernels.reductions import sums_of_columns
from fastnn.kernels.sparse import sparse_multiply, sparse_multiply_transposed_left, sparse_scratch_size
from fastnn.kernels.units import unit
from fastnn.kernels.views import part
from fastnn.operations import initializers
from fastnn.operations.base import Shape, TrainedLayer, Units
from fastnn.operations.links import Back, Gradient, Link, Operation, Taken

MOST_INIT = 10  # as an integer
WIDEST = 2**31 - 1  # so that the size of a layer's weights is an int64
W, B = 0, 1


@unit
def affine_products(frame: Any) -> None:
    """y = x W + b; dx = dy W^T; dW = x^T dy and db; d y = W^T d x. One unit, as they share the products' tiles.

    The gradient is that of Rumelhart, Hinton and Williams, 1986. d y has a column for each change.
    """
    role, memory = get(frame, frames.ROLE), scratch(frame)
    first, end = get(frame, frames.BEGIN), get(frame, frames.END)
    none, values = part(memory, 0, 0), frames.weights(frame, W)
    if role == frames.FORWARD:
        product(source(frame), AS_IT_IS, values, AS_IT_IS, parameter(frame, B), memory, target(frame), 0)
    elif role == frames.BACKWARD:
        product(d_target(frame), AS_IT_IS, values, TRANSPOSED, none, memory, frames.d_source(frame), 0)
    elif role == frames.FORWARD_COLUMNS:
        bias = parameter(frame, B)
        product_of_columns(source(frame), values, AS_IT_IS, bias, memory, target(frame), first, end)
    elif role == frames.BACKWARD_COLUMNS:
        product_of_columns(d_target(frame), values, TRANSPOSED, none, memory, frames.d_source(frame), first, end)
    elif role == frames.GRADIENT and get(frame, frames.PARAMETER) == B:
        sums_of_columns(d_target(frame), first, frames.out(frame))
    elif role == frames.GRADIENT:
        dW = matrix_of(frame, frames.OUT, end - first, get(frame, frames.OUTPUTS))
        product(source(frame), TRANSPOSED, d_target(frame), AS_IT_IS, none, memory, dW, first)
    else:
        columns = get(frame, frames.SAMPLE_COUNT) * get(frame, frames.RUN)
        before = matrix_of(frame, frames.CHANGES, get(frame, frames.INPUTS), columns)
        after = matrix_of(frame, frames.OTHER, get(frame, frames.OUTPUTS), columns)
        product(values, TRANSPOSED, before, AS_IT_IS, none, memory, after, 0)


@unit
def affine_sparse_products(frame: Any) -> None:
    """y = x W + b and dW = x^T dy, for an x that is mostly zeros."""
    x, memory, first = source(frame), scratch(frame), get(frame, frames.BEGIN)
    if get(frame, frames.ROLE) == frames.SPARSE_FORWARD:
        sparse_multiply(x, frames.weights(frame, W), parameter(frame, B), memory, target(frame))
    else:
        dW = matrix_of(frame, frames.OUT, get(frame, frames.END) - first, get(frame, frames.OUTPUTS))
        sparse_multiply_transposed_left(x, d_target(frame), memory[:0], memory, dW, first)


@unit
def affine_indexed_products(frame: Any) -> None:
    """As affine_sparse_products, from an index of the rows of x.

    With CHAIN_SUMS (chains, CAPACITY, outputs): the chains [BEGIN, END) of y alone or, for END 0, y from all of them.
    """
    index, memory, first = frames.index(frame), scratch(frame), get(frame, frames.BEGIN)
    chains = get(frame, frames.CAPACITY) * chains_of(get(frame, frames.INPUTS)) * get(frame, frames.OUTPUTS)
    sums = vector_of(frame, frames.CHAIN_SUMS, chains if get(frame, frames.CHAIN_SUMS) != 0 else 0)
    if get(frame, frames.ROLE) == frames.INDEXED_FORWARD and sums.size > 0 and get(frame, frames.END) > 0:
        some = first, get(frame, frames.END), get(frame, frames.CAPACITY)
        multiply_chains(index, frames.weights(frame, W), parameter(frame, B), memory, sums, some)
    elif get(frame, frames.ROLE) == frames.INDEXED_FORWARD and sums.size > 0:
        add_chains(sums, get(frame, frames.CAPACITY), get(frame, frames.FIRST_ROW), target(frame))
    elif get(frame, frames.ROLE) == frames.INDEXED_FORWARD:
        multiply_rows(index, frames.weights(frame, W), parameter(frame, B), memory, target(frame))
    else:
        dW = matrix_of(frame, frames.OUT, get(frame, frames.END) - first, get(frame, frames.OUTPUTS))
        multiply_rows_transposed(index, get(frame, frames.INPUTS), d_target(frame), memory, dW, first)


@unit
def affine_prepare(frame: Any) -> None:
    """W (inputs, outputs) as (outputs, inputs)."""
    values = frames.weights(frame, W)
    transposed = matrix_of(frame, frames.PREPARED, values.shape[1], values.shape[0])
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            transposed[j, i] = values[i, j]


@unit
def affine_reaches(frame: Any) -> None:
    """The samples whose input BEGIN is not 0; for a bias, all."""
    samples, count, x = integers_of(frame, frames.SAMPLES, get(frame, frames.ROWS)), 0, source(frame)
    is_bias = get(frame, frames.PARAMETER) == B
    i = 0 if is_bias else get(frame, frames.BEGIN)
    for n in range(x.shape[0]):
        samples[count] = n
        count += 1 if is_bias or x[n, i] != 0.0 else 0
    put(frame, frames.RESULT, count)


@unit
def affine_move(frame: Any) -> None:
    """d y[n, j] = x[n, i] dW[i, j], or db[j]."""
    samples, run = frames.samples_of(frame), get(frame, frames.RUN)
    steps = vector_of(frame, frames.STEPS, run)
    d, x = vector_of(frame, frames.CHANGES, samples.size * run), source(frame)
    is_bias = get(frame, frames.PARAMETER) == B
    i = 0 if is_bias else get(frame, frames.BEGIN)
    for s in range(samples.size):
        some, factor = part(d, s * run, run), 1.0 if is_bias else x[samples[s], i]
        for c in range(run):
            some[c] = steps[c] * factor


@unit
def affine_spread(frame: Any) -> None:
    """d y[k] = W[j, k] d x[j], if only input j changes."""
    columns = get(frame, frames.SAMPLE_COUNT) * get(frame, frames.RUN)
    j, width = get(frame, frames.COLUMN), get(frame, frames.WIDTH)
    changes = matrix_of(frame, frames.CHANGES, columns // width, width)
    transposed = matrix_of(frame, frames.PREPARED, get(frame, frames.OUTPUTS), get(frame, frames.INPUTS))
    block = vector_of(frame, frames.OTHER, get(frame, frames.OUTPUTS) * columns)
    for k in range(transposed.shape[0]):
        row = part(transposed[k], j, width)
        for r in range(changes.shape[0]):
            some, result = changes[r], part(block, k * columns + r * width, width)
            for c in range(width):
                result[c] = row[c] * some[c]


class _Products(Link):
    """Sums of products."""

    def forward(self, at: Operation, x: Any) -> Taken:
        weights, bias = at.parameters
        noise = at.noise(at.unit * (np.abs(x[0]) @ np.abs(weights) + np.abs(bias)))
        return Taken(x, np.matmul(x, weights) + bias + noise)

    def backward(self, at: Operation, taken: Taken, dy: Any, need_dx: bool) -> Back:
        x, weights, runs = taken.x, at.parameters[W], len(dy)
        terms = np.abs(x[0]).T @ np.abs(dy[0])
        by_weights = Gradient(np.matmul(x.transpose(0, 2, 1), dy).reshape(runs, -1), terms.ravel())
        gradients = [by_weights, Gradient(dy.sum(axis=1), np.abs(dy[0]).sum(axis=0))]
        if not need_dx:
            return Back(dy, gradients)
        noise = at.noise(at.unit * (np.abs(dy[0]) @ np.abs(weights.T)))
        return Back(np.matmul(dy, weights.T) + noise, gradients)


@dataclass(frozen=True)
class Affine(TrainedLayer):
    """y = x W + b, with W (inputs, outputs) and b (outputs,).

    Parameters
    ----------
    inputs, outputs : int
        Widths D and H, from 1 to 2^31 - 1.
    init : str or float
        The initialization of W: "he", "xavier", "zeros" or a standard deviation. None: "he" before an activation of the
        ReLU family, else "xavier". b begins at 0.
    trainable : bool
        False: training leaves W and b as they are, and the optimizer's state of them. Gradients still have them.
    learning_rate_factor : float
        Training multiplies the optimizer's learning rate by it for W and b; above 0.

    Examples
    --------
    >>> net = fastnn.Network([fastnn.Affine(3, 2, init="zeros")])
    >>> net.params["W1"].shape, net.params["b1"].shape
    ((3, 2), (2,))
    >>> net.params["b1"][...] = [1.0, 2.0]
    >>> net.predict(np.ones((1, 3)))
    array([[1., 2.]], dtype=float32)
    """

    inputs: int
    outputs: int
    init: str | float | None = None

    penalized = ("W",)
    biases = ("b",)
    spreads_by_prepared = True
    units = Units(
        affine_products,
        affine_products,
        affine_products,
        sparse_forward=affine_sparse_products,
        sparse_gradient=affine_sparse_products,
        indexed_forward=affine_indexed_products,
        indexed_gradient=affine_indexed_products,
        prepare=affine_prepare,
        reaches=affine_reaches,
        move=affine_move,
        spread=affine_spread,
        follow=affine_products,
        forward_columns=affine_products,
        backward_columns=affine_products,
    )
    link = _Products()

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "inputs", arrays.integer("inputs", self.inputs, 1, WIDEST))
        object.__setattr__(self, "outputs", arrays.integer("outputs", self.outputs, 1, WIDEST))
        if isinstance(self.init, int) and self.init > MOST_INIT:  # rather the width of another layer
            remedy = (
                f"each layer has one width: Affine({self.inputs}, {self.outputs}), then one with {self.outputs} inputs"
            )
            raise ValueError(f"init: expected a name or a standard deviation, got {checks.shown(self.init)}; {remedy}")
        if self.init is not None:
            object.__setattr__(self, "init", initializers.check("init", self.init))

    def own_input_shape(self) -> Shape:
        return (self.inputs,)

    def shape_of_output(self, shape: Shape) -> Shape:
        if len(shape) > 1:
            remedy = "add Flatten() before it"
            if math.prod(shape) != self.inputs:
                remedy += f", and take Affine({math.prod(shape)}, {self.outputs})"
            raise ValueError(f"expected inputs of the shape ({self.inputs},) for {self}, got {shape}; {remedy}")
        if shape != (self.inputs,):
            expected = f"expected Affine({shape[0]}, {self.outputs}), as the layer before has {shape[0]} outputs"
            raise ValueError(f"{expected}, got {self}; make the widths agree")
        return (self.outputs,)

    def parameters(self, shape: Shape) -> dict[str, Shape]:
        """W (inputs, outputs) and b (outputs,)."""
        return {"W": (self.inputs, self.outputs), "b": (self.outputs,)}

    def beginnings(self, follows: str, generator: np.random.Generator) -> dict[str, Any]:
        init = follows if self.init is None else self.init
        return {"W": initializers.weights(init, self.inputs, self.outputs, generator), "b": 0.0}

    def scratch_size(self, rows: int, inputs: Shape, outputs: Shape) -> int:
        D, H = self.inputs, self.outputs
        sizes = [scratch_size(D, H), sparse_scratch_size(D, H), indexed_scratch_size(H, rows)]
        if rows:
            sizes += [sparse_scratch_size(rows, H)]
            sizes += [scratch_size(H, D, "right"), scratch_size(rows, H, "left")]
        return max(sizes)

    def follow_scratch_size(self, columns: int, inputs: Shape, outputs: Shape) -> int:
        return scratch_size(self.inputs, columns, "left")
