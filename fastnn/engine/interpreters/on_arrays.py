"""Operations on a user's arrays: one call of a unit, in which each thread takes a share of the rows.

Parts write disjoint rows; sums over the batch run in index order. So the bits do not depend on n_threads.
"""

import math
from typing import Annotated, Any

from fastnn.engine.interpreters import jobs
from fastnn.engine.interpreters.batch import count_hits
from fastnn.kernels import frames
from fastnn.kernels.addresses import address_of, call, frame_at, get, new_frame, put, zero_of
from fastnn.kernels.compile import kernel
from fastnn.kernels.doors import Flat, Indices, Matrix, RealMatrix, Reals, Rows, Vector, door
from fastnn.kernels.frames import PLACES_SIZE, SLOTS
from fastnn.kernels.ground import DONE, FLAT, OWN, ROWS, Kind
from fastnn.kernels.matmul import most_scratch, share
from fastnn.kernels.rows import are_apart
from fastnn.kernels.units import part_unit, run_parts
from fastnn.operations.updates.base import RATES, STEP

# Slots of a request that no unit reads hold the unit, another one, and the places of gradients.
UNIT, OTHER_UNIT, GRADIENT_PLACES = frames.X, frames.Y, frames.CAPACITY
# What an operation answers to a user's arrays, if there is a limit: the gate should convert or refuse them; it is done;
# or they are plain, but the call takes `limit` operations or more, which threads may share, or more scratch than there
# is; or they take so many, and nobody has looked at their numbers. Without a limit (infinity) the gate has looked at
# them, and all scratch suffices.
ASK, LARGE, UNSEEN = 1, 2, 3
BORDER, TARGET_BORDER, HITS, HITS_SIZE = frames.TENSORS, frames.TENSOR_GRADIENTS, frames.LAYOUT, frames.STEPS
WRITTEN = frames.SLOPES  # where the results of rows of one element each begin; else 0
# Vectors that are written across two of the cache's lines take longer: relu of 10,000 and 100,000 float32 whose memory
# is aligned to 16 bytes, as NumPy's is, 1.2 times. Fewer elements gain less than a call of the unit for the first ones.
LINE, ALIGNED_FROM = 64, 4096


@kernel
def begin(request: Any, unit: int, x: Any) -> None:
    """Clear a request, for numbers of the dtype of x; set the unit that it calls."""
    for slot in range(frames.SLOTS):
        put(request, slot, 0)
    put(request, frames.ITEM, x.itemsize)
    put(request, frames.KEY, frames.OFF)
    put(request, UNIT, unit)


@kernel
def begin_rows(request: Any, unit: int, x: Any, outputs: int) -> None:
    """Begin a request for the rows of the inputs x (N, D)."""
    begin(request, unit, x)
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


@kernel
def _begin_elements(request: Any, written: Any) -> None:
    """Let a request take single elements, which parts share evenly."""
    put(request, frames.ROWS, written.size)
    put(request, frames.INPUTS, 1)
    put(request, frames.OUTPUTS, 1)
    put(request, WRITTEN, written.ctypes.data)


@kernel
def _line_from(request: Any, place: int) -> int:
    """The first place from this one on whose result begins a line."""
    item = get(request, frames.ITEM)
    return place + -(get(request, WRITTEN) + item * place) % LINE // item


@kernel
def _first_row(request: Any, part: int, parts: int) -> int:
    """The first row of a part; those of many elements begin with a line, but the first one."""
    rows = get(request, frames.ROWS)
    first = share(rows, part, parts)
    is_inside = get(request, WRITTEN) != 0 and 0 < first < rows and rows >= ALIGNED_FROM
    return min(_line_from(request, first), rows) if is_inside else first


@part_unit
def rows_part(request: Any, part: int, parts: int) -> None:
    """Call the unit of a request for one part of its rows; of many elements, first for those before a whole line."""
    frame, rows = new_frame(SLOTS, zero_of(request)), get(request, frames.ROWS)
    first, last = _first_row(request, part, parts), _first_row(request, part + 1, parts)
    _copy_for_part(request, part, frame)
    if get(request, WRITTEN) != 0 and first == 0 and rows >= ALIGNED_FROM and _line_from(request, 0) > 0:
        first = _line_from(request, 0)
        _choose_rows(0, first, frame)
        call(get(request, UNIT), frame)
        _copy_for_part(request, part, frame)
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


@kernel
def _may_be(written: Any, read: Any) -> bool:
    """Whether two arrays of one shape share no memory, or all of it."""
    return written.ctypes.data == read.ctypes.data or are_apart(written, read)


@kernel
def _is_alone(written: Any, a: Any, b: Any, c: Any) -> bool:
    """Whether an array shares no memory with three others."""
    return bool(are_apart(written, a) and are_apart(written, b) and are_apart(written, c))


@kernel
def _finds_scratch(request: Any, scratch: Any, needed: int, limit: float) -> bool:
    """Set the scratch of a request; whether it suffices, which is known without a limit."""
    jobs.set_array(request, frames.SCRATCH, scratch[0])
    return limit == math.inf or needed <= scratch.shape[1]


# Compiled code takes arrays one by one.
@door
def affine_forward(
    n_threads: int, launcher: int, limit: float, part: int, unit: int, scratch: Matrix,
    x: Matrix, W: Matrix, b: Vector, y: Annotated[Any, Kind(OWN, 2, "x.0 W.1", True)],
) -> int:  # fmt: skip
    """y = x W + b. x (N, D), W (D, H), b (H,), y (N, H) overwritten, distinct from the others."""
    like, depth, columns = x.dtype.type(0.0), W.shape[0], W.shape[1]
    request, places = new_frame(SLOTS, like), new_frame(PLACES_SIZE, like)
    begin_rows(request, unit, x, columns)
    has_scratch = _finds_scratch(request, scratch, most_scratch(depth, columns, x.itemsize, False, False), limit)
    if limit < math.inf:
        if x.shape[1] != depth or b.size != columns or x.size * columns == 0:
            return ASK
        if not _is_alone(y, x, W, b):
            return ASK
        if 2.0 * x.size * columns >= limit or not has_scratch:
            return LARGE
    _set_place(places, 0, W, W, depth, columns)
    _set_place(places, 1, W, b, columns, 1)
    put(request, frames.TARGET, y.ctypes.data)
    put(request, frames.VALUES, W.ctypes.data)
    put(request, frames.PLACES, address_of(places))
    run_parts(launcher, part, request, n_threads)
    return DONE


# More than ten parameters, as in affine_forward.
@door
def affine_backward(
    n_threads: int, launcher: int, limit: float, part: int, backward: int, gradient: int,
    scratch: Matrix, sums: RealMatrix, dy: Matrix, x: Matrix, W: Matrix,
    dx: Annotated[Any, Kind(OWN, 2, "x", True)], dW: Annotated[Any, Kind(OWN, 2, "W", True)],
    db: Annotated[Any, Kind(OWN, 1, "W.1", True)],
) -> int:  # fmt: skip
    """dx = dy W^T (not written if `backward` is 0), dW = x^T dy, db = the sum of dy over the batch.

    dy (N, H), x (N, D), W (D, H); dx (N, D), dW (D, H), db (H,) overwritten; scratch, sums: one row for each part.
    """
    like, depth, columns = x.dtype.type(0.0), W.shape[0], W.shape[1]
    request, places = new_frame(SLOTS, like), new_frame(PLACES_SIZE, like)
    gradient_places = new_frame(PLACES_SIZE, like)
    begin_rows(request, backward, x, columns)
    most = most_scratch(x.shape[0], columns, x.itemsize, True, False)
    most = max(most, most_scratch(columns, depth, x.itemsize, False, True) if backward != 0 else 0)
    has_scratch = _finds_scratch(request, scratch, most, limit)
    jobs.set_array(request, frames.SUMS, sums[0])
    if limit < math.inf:
        if x.shape[1] != depth or dy.shape[0] != x.shape[0] or dy.shape[1] != columns or x.size * columns == 0:
            return ASK
        if backward != 0 and not (_is_alone(dx, dy, x, W) and are_apart(dx, dW) and are_apart(dx, db)):
            return ASK
        if not (_is_alone(dW, dy, x, W) and _is_alone(db, dy, x, W) and are_apart(dW, db)):
            return ASK
        if 4.0 * x.size * columns >= limit or not has_scratch:
            return LARGE
    _set_place(places, 0, W, W, depth, columns)
    _set_place(places, 1, W, W, columns, 1)
    _set_place(gradient_places, 0, dW, dW, depth, columns)
    _set_place(gradient_places, 1, dW, db, columns, 1)
    put(request, OTHER_UNIT, gradient)
    put(request, frames.D_SOURCE, dx.ctypes.data)
    put(request, frames.D_TARGET, dy.ctypes.data)
    put(request, frames.VALUES, W.ctypes.data)
    put(request, frames.GRADIENTS, dW.ctypes.data)
    put(request, frames.PLACES, address_of(places))
    put(request, GRADIENT_PLACES, address_of(gradient_places))
    put(request, frames.COUNT, 2)
    run_parts(launcher, part, request, n_threads)
    return DONE


@door
def activation_forward(
    n_threads: int, launcher: int, limit: float, part: int, unit: int, of_elements: bool, numbers: Reals, x: Rows,
    y: Annotated[Any, Kind(OWN, ROWS, "x", True)],
) -> int:  # fmt: skip
    """y = f(x), row by row. x, y (N, D); y overwritten, and may be x. numbers: the activation's, float64.

    limit: of elements; of_elements: each is a row.
    """
    if limit < math.inf:
        if x.size == 0 or not _may_be(y, x):
            return ASK
        if x.size >= limit:
            return LARGE
    request = new_frame(SLOTS, x.dtype.type(0.0))
    begin_rows(request, unit, x, x.shape[1])
    if of_elements:
        _begin_elements(request, y)
    put(request, frames.TARGET, y.ctypes.data)
    put(request, frames.NUMBERS, numbers.ctypes.data)
    run_parts(launcher, part, request, n_threads)
    return DONE


# More than ten parameters, as in affine_forward.
@door
def activation_backward(
    n_threads: int, launcher: int, limit: float, part: int, unit: int, of_elements: bool, numbers: Reals,
    dy: Annotated[Any, Kind(OWN, ROWS, "x")], x: Rows, y: Annotated[Any, Kind(OWN, ROWS, "x")],
    dx: Annotated[Any, Kind(OWN, ROWS, "x", True)],
) -> int:  # fmt: skip
    """dx = dy f'(x) with y = f(x). All (N, D); dx overwritten, and may be dy.

    limit: of elements; of_elements: each is a row.
    """
    if limit < math.inf:
        if x.size == 0 or not (_may_be(dx, dy) and are_apart(dx, x) and are_apart(dx, y)):
            return ASK
        if x.size >= limit:
            return LARGE
    request = new_frame(SLOTS, x.dtype.type(0.0))
    begin_rows(request, unit, x, x.shape[1])
    if of_elements:
        _begin_elements(request, dx)
    put(request, frames.ROLE, frames.BACKWARD)
    put(request, frames.TARGET, y.ctypes.data)
    put(request, frames.D_TARGET, dy.ctypes.data)
    put(request, frames.D_SOURCE, dx.ctypes.data)
    put(request, frames.NUMBERS, numbers.ctypes.data)
    run_parts(launcher, part, request, n_threads)
    return DONE


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


# More than ten parameters, as in affine_forward.
@door
def update(
    n_threads: int, launcher: int, limit: float, part: int, unit: int, work: float, read: int, numbers: Reals,
    step: float, params: Flat, grads: Annotated[Any, Kind(OWN, FLAT, "params")],
    first: Annotated[Any, Kind(OWN, FLAT, "params", is_optional=True)],
    second: Annotated[Any, Kind(OWN, FLAT, "params", is_optional=True)],
) -> int:  # fmt: skip
    """Update params by `read` vectors out of grads, first and second; the two others are its state.

    All are of one size, and distinct. numbers: see operations/updates/base.py; step: the one of them that counts
    updates, or 0; work: of each element.
    """
    if limit < math.inf:
        if params.size == 0 or (read > 1 and first.size == 0) or (read > 2 and second.size == 0):
            return ASK
        if not (are_apart(params, grads) and are_apart(params, first) and are_apart(params, second)):
            return ASK
        if read > 1 and not are_apart(first, grads):
            return ASK
        if read > 2 and not (are_apart(second, first) and are_apart(second, grads)):
            return ASK
        if work * params.size >= limit:
            return LARGE
    request, own = new_frame(SLOTS, params.dtype.type(0.0)), new_frame(RATES, params.dtype.type(0.0))
    begin(request, unit, params)
    put(request, frames.PARAMS, params.ctypes.data)
    put(request, frames.GRADS, grads.ctypes.data)
    put(request, frames.STATE, first.ctypes.data)
    put(request, frames.STRIDE, second.ctypes.data - first.ctypes.data)
    put(request, frames.COUNT, params.size)
    put(request, frames.NUMBERS, numbers.ctypes.data)
    if step > 0.0:
        for i in range(RATES):
            frames.put_real(own, i, step if i == STEP else numbers[i])
        put(request, frames.NUMBERS, address_of(own))
    run_parts(launcher, part, request, n_threads)
    return DONE
