"""Frames, by which an interpreter tells a unit what to work on, and the functions by which a unit reads them.

A frame is a table of integers: addresses of arrays, and sizes. The caller of a unit fills the slots that its role reads
(see fastnn/operations/base.py for the roles) and keeps the arrays alive.
"""

from typing import Any

import numpy as np

from fastnn.kernels.addresses import get, put, zero_of
from fastnn.kernels.compile import kernel
from fastnn.kernels.simd import bits, from_bits
from fastnn.kernels.views import matrix, vector_at

# The slots of a frame: addresses, except the sizes and numbers that say so.
(SOURCE, TARGET, D_SOURCE, D_TARGET,  # rows of inputs and outputs, and of their gradients
 ROWS, INPUTS, OUTPUTS,  # how many rows, and their elements
 FIRST_ROW, BATCH_ROWS,  # the first row's place in the batch; rows whose statistics count, or 0
 VALUES, GRADIENTS, STATISTICS,  # the flat vectors, and the one to read statistics from
 PLACES, NUMBERS,  # the operation's places, see PLACE, and its float64 numbers
 NUMBER, KEY,  # the operation's number, and the key of this batch's random numbers or OFF
 SCRATCH, SCRATCH_SIZE, SUMS, SUMS_SIZE,  # scratch in the frame's dtype, and in float64
 PARAMETER, BEGIN, END, OUT,  # a parameter, a range of its rows, and the place for its gradient
 RESULT,  # a unit's answer
 LABELS, LABELS_SIZE, DENSE, DENSE_SIZE, ROW_NUMBERS,  # targets of a loss, and the numbers of its rows
 DIVISOR, LOSSES, LOSS_SUMS,  # bits of a float64; one float64 a row
 PARAMS, GRADS, STATE, STRIDE, COUNT,  # of an update: vectors of COUNT elements, the state's STRIDE bytes apart
 CHANGES, OTHER, SAMPLES, SAMPLE_COUNT, RUN, COLUMN, WIDTH, LAYOUT, STEPS, PREPARED,  # of a perturbation
 SLOPES, ALONG,  # of its last operation and loss
 ROLE,  # the role in which a unit is called, see below
 LISTS, LISTS_SIZE, LIST_STARTS, LIST_STARTS_SIZE,  # an index of the rows of inputs, see `index`; LISTS_SIZE 0 for none
 CHAIN_SUMS,  # sums of the chains of a product with an index, see affine_indexed_products; 0 for none
 X, Y, TENSORS, TENSOR_GRADIENTS, CAPACITY, ITEM, PART,  # for the interpreters alone
) = range(63)  # fmt: skip
SLOTS = 63

# For each parameter of an operation, then for each of its statistics: its start in the flat vectors, its rows and
# columns, whether it is a matrix, and how training updates it: by which row of the job's "rates", or FROZEN for not at
# all. Each thread takes a share of the rows of a parameter's gradient; a vector has rows of one element.
PLACE, HEIGHT, BREADTH, IS_MATRIX, RULE = range(5)
FROZEN = -1
EACH_PLACE = 5
MOST_PARAMETERS, MOST_STATISTICS = 4, 2
PLACES_SIZE = EACH_PLACE * (MOST_PARAMETERS + MOST_STATISTICS)
# After them: the shape of one sample's inputs, then of its outputs, filled up with 1.
MOST_DIMENSIONS = 3
SHAPES_SIZE = 2 * MOST_DIMENSIONS
# Roles, in the order of operations.base.Units.
(FORWARD, BACKWARD, GRADIENT, BATCH_STATISTICS, BATCH_SUMS, CHECK, LEARN, SPARSE_FORWARD, SPARSE_GRADIENT, PREPARE,
 REACHES, MOVE, CHANGE, SPREAD, FOLLOW, FORWARD_COLUMNS, BACKWARD_COLUMNS, INDEXED_FORWARD,
 INDEXED_GRADIENT) = range(19)  # fmt: skip
OFF = -1  # the key if nothing is random


@kernel
def vector_of(frame: Any, slot: int, size: int) -> Any:
    """The vector of the frame's dtype at the address in a slot."""
    return vector_at(get(frame, slot), size, zero_of(frame))


@kernel
def matrix_of(frame: Any, slot: int, rows: int, columns: int) -> Any:
    """The matrix of the frame's dtype at the address in a slot."""
    return matrix(vector_at(get(frame, slot), rows * columns, zero_of(frame)), 0, rows, columns)


@kernel
def reals_of(frame: Any, slot: int, size: int) -> Any:
    """The float64 vector at the address in a slot."""
    return vector_at(get(frame, slot), size, np.float64(0.0))


@kernel
def integers_of(frame: Any, slot: int, size: int) -> Any:
    """The vector of integers at the address in a slot."""
    return vector_at(get(frame, slot), size, np.intp(0))


@kernel
def get_real(frame: Any, slot: int) -> float:
    """The float64 whose bits are in a slot."""
    return from_bits(np.int64(get(frame, slot)))


@kernel
def put_real(frame: Any, slot: int, value: float) -> None:
    """Set a slot to the bits of a float64."""
    put(frame, slot, bits(np.float64(value)))


@kernel
def source(frame: Any) -> Any:
    """x (ROWS, INPUTS)."""
    return matrix_of(frame, SOURCE, get(frame, ROWS), get(frame, INPUTS))


@kernel
def target(frame: Any) -> Any:
    """y (ROWS, OUTPUTS)."""
    return matrix_of(frame, TARGET, get(frame, ROWS), get(frame, OUTPUTS))


@kernel
def d_source(frame: Any) -> Any:
    """dx (ROWS, INPUTS)."""
    return matrix_of(frame, D_SOURCE, get(frame, ROWS), get(frame, INPUTS))


@kernel
def d_target(frame: Any) -> Any:
    """dy (ROWS, OUTPUTS)."""
    return matrix_of(frame, D_TARGET, get(frame, ROWS), get(frame, OUTPUTS))


@kernel
def index(frame: Any) -> Any:
    """The index of the rows: pairs, the starts of all rows in them, and the numbers of these rows.

    See kernels/indexed.py.
    """
    pairs, numbers = vector_of(frame, LISTS, get(frame, LISTS_SIZE)), integers_of(frame, ROW_NUMBERS, get(frame, ROWS))
    return pairs, integers_of(frame, LIST_STARTS, get(frame, LIST_STARTS_SIZE)), numbers


@kernel
def samples_of(frame: Any) -> Any:
    """The numbers of the samples that a perturbation moves."""
    return integers_of(frame, SAMPLES, get(frame, SAMPLE_COUNT))


@kernel
def flat(frame: Any, slot: int) -> Any:
    """All elements of the rows at a slot as a vector, for an operation with as many outputs as inputs."""
    return vector_of(frame, slot, get(frame, ROWS) * get(frame, INPUTS))


@kernel
def size_in(frame: Any, which: int) -> int:
    """One of the sizes of a sample's inputs: 0 for the channels, 1 for the height, 2 for the width of an image."""
    return integers_of(frame, PLACES, PLACES_SIZE + SHAPES_SIZE)[PLACES_SIZE + which]


@kernel
def size_out(frame: Any, which: int) -> int:
    """Like size_in, for the outputs."""
    return integers_of(frame, PLACES, PLACES_SIZE + SHAPES_SIZE)[PLACES_SIZE + MOST_DIMENSIONS + which]


@kernel
def number(frame: Any, which: int) -> float:
    """One of the operation's numbers, such as a slope or a rate."""
    return reals_of(frame, NUMBERS, which + 1)[which]


@kernel
def scratch(frame: Any) -> Any:
    """Scratch in the frame's dtype for this thread alone."""
    return vector_of(frame, SCRATCH, get(frame, SCRATCH_SIZE))


@kernel
def sums(frame: Any) -> Any:
    """Scratch of at least 512 float64 numbers for this thread alone."""
    return reals_of(frame, SUMS, get(frame, SUMS_SIZE))


@kernel
def _array_of(frame: Any, slot: int, which: int) -> Any:
    """A parameter or statistic in the flat vector at a slot."""
    places = integers_of(frame, PLACES, PLACES_SIZE)
    address = get(frame, slot) + get(frame, ITEM) * places[EACH_PLACE * which + PLACE]
    size = places[EACH_PLACE * which + HEIGHT] * places[EACH_PLACE * which + BREADTH]
    return vector_at(address, size, zero_of(frame))


@kernel
def parameter(frame: Any, which: int) -> Any:
    """A parameter of the operation, as a vector."""
    return _array_of(frame, VALUES, which)


@kernel
def gradient(frame: Any, which: int) -> Any:
    """The gradient of a parameter, as a vector."""
    return _array_of(frame, GRADIENTS, which)


@kernel
def weights(frame: Any, which: int) -> Any:
    """A parameter of the operation, as a matrix (HEIGHT, BREADTH)."""
    places = integers_of(frame, PLACES, PLACES_SIZE)
    rows, columns = places[EACH_PLACE * which + HEIGHT], places[EACH_PLACE * which + BREADTH]
    return matrix(_array_of(frame, VALUES, which), 0, rows, columns)


@kernel
def batch_rows(frame: Any) -> int:
    """The rows of the batch whose statistics the operation uses; 0 if it uses the learned ones."""
    is_frozen = integers_of(frame, PLACES, PLACES_SIZE)[EACH_PLACE * MOST_PARAMETERS + RULE] == FROZEN
    return 0 if is_frozen else get(frame, BATCH_ROWS)


@kernel
def statistic(frame: Any, which: int) -> Any:
    """A statistic that the operation uses: the learned one or, in training unless it is frozen, the batch's."""
    is_frozen = get(frame, BATCH_ROWS) != batch_rows(frame)  # outside training STATISTICS has the learned ones
    return _array_of(frame, VALUES if is_frozen else STATISTICS, MOST_PARAMETERS + which)


@kernel
def learned_statistic(frame: Any, which: int) -> Any:
    """A statistic that the operation has learned."""
    return _array_of(frame, VALUES, MOST_PARAMETERS + which)


@kernel
def batch_statistic(frame: Any, which: int) -> Any:
    """A statistic of the batch."""
    return _array_of(frame, GRADIENTS, MOST_PARAMETERS + which)


@kernel
def out(frame: Any) -> Any:
    """The place for the gradient of rows [BEGIN, END) of a parameter, as a vector."""
    breadth = integers_of(frame, PLACES, PLACES_SIZE)[EACH_PLACE * get(frame, PARAMETER) + BREADTH]
    return vector_of(frame, OUT, (get(frame, END) - get(frame, BEGIN)) * breadth)
