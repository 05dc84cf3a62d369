"""Operations on a user's arrays: one call of a unit, in which each thread takes a share of the rows.

Parts write disjoint rows; sums over the batch run in index order. So the bits do not depend on n_threads.
"""

from typing import Any

from fastnn.engine.interpreters import jobs
from fastnn.engine.interpreters.batch import count_hits
from fastnn.kernels import frames
from fastnn.kernels.addresses import address_of, call, frame_at, get, new_frame, put, zero_of
from fastnn.kernels.compile import kernel
from fastnn.kernels.doors import Indices, Matrix, RealMatrix, Reals, Vector, door
from fastnn.kernels.frames import PLACES_SIZE, SLOTS
from fastnn.kernels.matmul import share
from fastnn.kernels.reductions import sum_in_order
from fastnn.kernels.units import part_unit, run_parts

# Slots of a request that no unit reads hold the unit, another one, and the places of gradients.
UNIT, OTHER_UNIT, GRADIENT_PLACES = frames.X, frames.Y, frames.CAPACITY
BORDER, TARGET_BORDER, HITS, HITS_SIZE = frames.TENSORS, frames.TENSOR_GRADIENTS, frames.LAYOUT, frames.STEPS


@kernel
def _begin(request: Any, unit: int, x: Any) -> None:
    """Clear a request, for numbers of the dtype of x; set the unit that it calls."""
    for slot in range(frames.SLOTS):
        put(request, slot, 0)
    put(request, frames.ITEM, x.itemsize)
    put(request, frames.KEY, frames.OFF)
    put(request, UNIT, unit)


@kernel
def _begin_rows(request: Any, unit: int, x: Any, outputs: int) -> None:
    """Begin a request for the rows of the inputs x (N, D)."""
    _begin(request, unit, x)
    put(request, frames.ROWS, x.shape[0])
    put(request, frames.INPUTS, x.shape[1])
    put(request, frames.OUTPUTS, outputs)
    put(request, frames.SOURCE, x.ctypes.data)


@kernel
def _copy_for_part(request: Any, part: int, frame: Any) -> None:
    """A frame like the request, with the scratch of one part."""
    for slot in range(frames.SLOTS):
        put(frame, slot, get(request, slot))
    item = get(request, frames.ITEM)
    put(frame, frames.SCRATCH, get(request, frames.SCRATCH) + item * part * get(request, frames.SCRATCH_SIZE))
    put(frame, frames.SUMS, get(request, frames.SUMS) + jobs.REAL * part * get(request, frames.SUMS_SIZE))


@kernel
def _move(frame: Any, slot: int, offset: int) -> None:
    """Add to an address."""
    put(frame, slot, get(frame, slot) + offset)


@kernel
def _choose_rows(first: int, last: int, frame: Any) -> None:
    """Cut a frame for all rows to [first, last)."""
    before, after = get(frame, frames.ITEM) * first * get(frame, frames.INPUTS), first * get(frame, frames.OUTPUTS)
    after *= get(frame, frames.ITEM)
    _move(frame, frames.SOURCE, before)
    _move(frame, frames.D_SOURCE, before)
    _move(frame, frames.TARGET, after)
    _move(frame, frames.D_TARGET, after)
    _move(frame, frames.LOSSES, jobs.REAL * first)
    _move(frame, frames.LOSS_SUMS, jobs.REAL * first)
    _move(frame, frames.ROW_NUMBERS, jobs.INTEGER * first)
    put(frame, frames.FIRST_ROW, first)
    put(frame, frames.ROWS, last - first)


@part_unit
def rows_part(request: Any, part: int, parts: int) -> None:
    """Call the unit of a request for one part of its rows."""
    frame, rows = new_frame(SLOTS, zero_of(request)), get(request, frames.ROWS)
    _copy_for_part(request, part, frame)
    first, last = share(rows, part, parts), share(rows, part + 1, parts)
    _choose_rows(first, last, frame)
    if get(request, HITS_SIZE) > 0:
        hits = frames.integers_of(request, HITS, rows)[first:last]
        count_hits(frame, frames.get_real(request, BORDER), frames.get_real(request, TARGET_BORDER), hits)
    call(get(request, UNIT), frame)


@door
def rows(n_threads: int, launcher: int, part: int, request: Indices, like: Vector) -> None:
    """Call a unit for all rows of a request that Python has filled, for numbers of the dtype of `like`."""
    run_parts(launcher, part, frame_at(request.ctypes.data, frames.SLOTS, like.dtype.type(0.0)), n_threads)


@part_unit
def backward_part(request: Any, part: int, parts: int) -> None:
    """Take one part of the rows backward, if there is a unit for it, and of the gradients of COUNT parameters."""
    frame, rows, item = new_frame(SLOTS, zero_of(request)), get(request, frames.ROWS), get(request, frames.ITEM)
    _copy_for_part(request, part, frame)
    if get(request, UNIT) != 0:
        _choose_rows(share(rows, part, parts), share(rows, part + 1, parts), frame)
        put(frame, frames.ROLE, frames.BACKWARD)
        call(get(request, UNIT), frame)
        _copy_for_part(request, part, frame)
    put(frame, frames.ROLE, frames.GRADIENT)
    places = frames.integers_of(request, GRADIENT_PLACES, frames.PLACES_SIZE)
    for p in range(get(request, frames.COUNT)):
        at = frames.EACH_PLACE * p
        first, last = share(places[at + frames.HEIGHT], part, parts), share(places[at + frames.HEIGHT], part + 1, parts)
        put(frame, frames.PARAMETER, p)
        put(frame, frames.BEGIN, first)
        put(frame, frames.END, last)
        place = places[at + frames.PLACE] + first * places[at + frames.BREADTH]
        put(frame, frames.OUT, get(request, frames.GRADIENTS) + item * place)
        call(get(request, OTHER_UNIT), frame)


@kernel
def _set_place(places: Any, which: int, first: Any, array: Any, height: int, breadth: int) -> None:
    """Set an array's distance from the first one, in elements, and its shape."""
    put(places, frames.EACH_PLACE * which + frames.PLACE, (array.ctypes.data - first.ctypes.data) // first.itemsize)
    put(places, frames.EACH_PLACE * which + frames.HEIGHT, height)
    put(places, frames.EACH_PLACE * which + frames.BREADTH, breadth)


@door
def affine_forward(
    n_threads: int, launcher: int, part: int, unit: int, x: Matrix, W: Matrix, b: Vector, scratch: Matrix, y: Matrix
) -> None:
    """y = x W + b. x (N, D), W (D, H), b (H,), y (N, H) overwritten, distinct from the others."""
    like = x.dtype.type(0.0)
    request, places = new_frame(SLOTS, like), new_frame(PLACES_SIZE, like)
    _begin_rows(request, unit, x, y.shape[1])
    _set_place(places, 0, W, W, W.shape[0], W.shape[1])
    _set_place(places, 1, W, b, b.size, 1)
    put(request, frames.TARGET, y.ctypes.data)
    put(request, frames.VALUES, W.ctypes.data)
    put(request, frames.PLACES, address_of(places))
    jobs.set_array(request, frames.SCRATCH, scratch[0])
    run_parts(launcher, part, request, n_threads)


# Thirteen parameters: compiled code takes arrays one by one.
@door
def affine_backward(
    n_threads: int,
    launcher: int,
    part: int,
    backward: int,
    gradient: int,
    dy: Matrix,
    x: Matrix,
    W: Matrix,
    scratch: Matrix,
    sums: RealMatrix,
    dx: Matrix,
    dW: Matrix,
    db: Vector,
) -> None:
    """dx = dy W^T (left out if `backward` is 0), dW = x^T dy, db = the sum of dy over the batch.

    dy (N, H), x (N, D), W (D, H); dx (N, D), dW (D, H), db (H,) overwritten; scratch, sums: one row for each part.
    """
    like = x.dtype.type(0.0)
    request, places = new_frame(SLOTS, like), new_frame(PLACES_SIZE, like)
    gradient_places = new_frame(PLACES_SIZE, like)
    _begin_rows(request, backward, x, dy.shape[1])
    _set_place(places, 0, W, W, W.shape[0], W.shape[1])
    _set_place(places, 1, W, W, W.shape[1], 1)
    _set_place(gradient_places, 0, dW, dW, W.shape[0], W.shape[1])
    _set_place(gradient_places, 1, dW, db, db.size, 1)
    put(request, OTHER_UNIT, gradient)
    put(request, frames.D_SOURCE, dx.ctypes.data)
    put(request, frames.D_TARGET, dy.ctypes.data)
    put(request, frames.VALUES, W.ctypes.data)
    put(request, frames.GRADIENTS, dW.ctypes.data)
    put(request, frames.PLACES, address_of(places))
    put(request, GRADIENT_PLACES, address_of(gradient_places))
    put(request, frames.COUNT, 2)
    jobs.set_array(request, frames.SCRATCH, scratch[0])
    jobs.set_array(request, frames.SUMS, sums[0])
    run_parts(launcher, part, request, n_threads)


@door
def activation_forward(
    n_threads: int, launcher: int, part: int, unit: int, numbers: Reals, x: Matrix, y: Matrix
) -> None:
    """y = f(x), row by row. x, y (N, D); y overwritten, and may be x. numbers: the activation's, float64."""
    request = new_frame(SLOTS, x.dtype.type(0.0))
    _begin_rows(request, unit, x, x.shape[1])
    put(request, frames.TARGET, y.ctypes.data)
    put(request, frames.NUMBERS, numbers.ctypes.data)
    run_parts(launcher, part, request, n_threads)


@door
def activation_backward(
    n_threads: int, launcher: int, part: int, unit: int, numbers: Reals, dy: Matrix, x: Matrix, y: Matrix, dx: Matrix
) -> None:
    """dx = dy f'(x) with y = f(x). All (N, D); dx overwritten, and may be dy."""
    request = new_frame(SLOTS, x.dtype.type(0.0))
    _begin_rows(request, unit, x, x.shape[1])
    put(request, frames.ROLE, frames.BACKWARD)
    put(request, frames.TARGET, y.ctypes.data)
    put(request, frames.D_TARGET, dy.ctypes.data)
    put(request, frames.D_SOURCE, dx.ctypes.data)
    put(request, frames.NUMBERS, numbers.ctypes.data)
    run_parts(launcher, part, request, n_threads)


# Fifteen parameters: arrays one by one, as in affine_backward.
@door
def loss(
    n_threads: int,
    launcher: int,
    part: int,
    unit: int,
    numbers: Reals,
    y: Matrix,
    labels: Indices,
    dense: Matrix,
    rows: Indices,
    divisor: float,
    dy: Matrix,
    losses: Reals,
    log_sums: Reals,
    hits: Indices,
    sums: RealMatrix,
) -> float:
    """The sum of the losses of outputs y (N, K); dy is its gradient over `divisor`.

    Row n has the target labels[rows[n]] or dense[rows[n]]; the other one is empty. numbers: the loss's, and the borders
    of its hits; hits (N,) intp, or empty. Scratch: log_sums (N,) and sums (parts, any), float64.
    """
    request = new_frame(SLOTS, y.dtype.type(0.0))
    _begin_rows(request, unit, y, y.shape[1])
    put(request, frames.TARGET, y.ctypes.data)
    put(request, frames.D_TARGET, dy.ctypes.data)
    jobs.set_array(request, frames.LABELS, labels)
    jobs.set_array(request, frames.DENSE, dense)
    put(request, frames.ROW_NUMBERS, rows.ctypes.data)
    frames.put_real(request, frames.DIVISOR, divisor)
    put(request, frames.LOSSES, losses.ctypes.data)
    put(request, frames.LOSS_SUMS, log_sums.ctypes.data)
    put(request, frames.NUMBERS, numbers.ctypes.data)
    frames.put_real(request, BORDER, numbers[1])
    frames.put_real(request, TARGET_BORDER, numbers[2])
    jobs.set_array(request, HITS, hits)
    jobs.set_array(request, frames.SUMS, sums[0])
    run_parts(launcher, part, request, n_threads)
    return sum_in_order(losses)


@part_unit
def update_part(request: Any, part: int, parts: int) -> None:
    """Update one part of the parameters."""
    frame = new_frame(SLOTS, zero_of(request))
    count, item = get(request, frames.COUNT), get(request, frames.ITEM)
    _copy_for_part(request, part, frame)
    first, last = share(count, part, parts), share(count, part + 1, parts)
    _move(frame, frames.PARAMS, item * first)
    _move(frame, frames.GRADS, item * first)
    _move(frame, frames.STATE, item * first)
    put(frame, frames.COUNT, last - first)
    call(get(request, UNIT), frame)


@door
def update(
    n_threads: int,
    launcher: int,
    part: int,
    unit: int,
    numbers: Reals,
    params: Vector,
    grads: Vector,
    first: Vector,
    second: Vector,
) -> None:
    """Update params by grads; first, second: the state, or params if there is no such vector.

    All are (P,), and otherwise distinct; numbers: see operations/updates/base.py.
    """
    request = new_frame(SLOTS, params.dtype.type(0.0))
    _begin(request, unit, params)
    put(request, frames.PARAMS, params.ctypes.data)
    put(request, frames.GRADS, grads.ctypes.data)
    put(request, frames.STATE, first.ctypes.data)
    put(request, frames.STRIDE, second.ctypes.data - first.ctypes.data)
    put(request, frames.COUNT, params.size)
    put(request, frames.NUMBERS, numbers.ctypes.data)
    run_parts(launcher, part, request, n_threads)
