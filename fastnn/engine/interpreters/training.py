"""One interpreter for every network: forward, loss, backward, update.

A step has two parallel regions. In the first each part takes a share of the *rows of the batch* through all operations
forward, through the loss and backward (batch.py); in the second each part takes a share of the *rows of each
parameter*, sums its gradient over the batch and updates it (updating.py). An operation that uses statistics of the
batch, or has so many parameters that each part takes some of its columns, cuts the first region into stages, with a
region for it between any two; gradients that are clipped to a norm take another region for the update. Every element is
computed by one part in an order that does not depend on the parts: the same bits on any number of threads.
"""

import math
from typing import Any

from fastnn.engine.interpreters import jobs
from fastnn.engine.interpreters.batch import first_gradient_is_finite
from fastnn.engine.interpreters.forward import is_sparse, lacks_sparse, skips_zeros
from fastnn.engine.interpreters.updating import (
    add_penalty,
    clip_gradients,
    forget_gradients,
    may_multiply_following,
    update_by_rules,
)
from fastnn.kernels import frames
from fastnn.kernels.addresses import call, call_part, get, new_frame, put, zero_of
from fastnn.kernels.compile import kernel
from fastnn.kernels.doors import Dense, Indices, Labels, Matrix, Reals, Vector, door
from fastnn.kernels.frames import BATCH_STATISTICS, CHECK, FROZEN, HEIGHT, LEARN, OFF, RULE, SLOTS
from fastnn.kernels.reductions import sum_in_order
from fastnn.kernels.rows import all_finite, are_apart, sum_of
from fastnn.kernels.units import part_unit, run_parts, unit
from fastnn.kernels.views import elements
from fastnn.kernels.views import part as part_of
from fastnn.operations.losses.base import PROBABILITIES, SIGNS, VALUES
from fastnn.operations.updates.base import RATES, STEP

NEAR_ONE_32, NEAR_ONE_64 = 5e-4, 5e-7  # half of the gate's tolerance for sums of probabilities


@kernel
def are_targets(kind: int, dense: Any, width: int) -> bool:
    """Tell whether rows of `width` elements are surely targets of a kind; see operations/losses/base.py.

    If not, the gate says what is wrong; it accepts sums that are twice as far from 1.
    """
    zero, one, wrong = dense.dtype.type(0.0), dense.dtype.type(1.0), 0
    if kind == VALUES:
        return all_finite(dense)
    if kind == SIGNS:
        for i in range(dense.size):
            wrong |= abs(dense[i]) != one
        return wrong == 0
    for i in range(dense.size):
        wrong |= not (dense[i] >= zero) & (dense[i] <= one)
    if kind == PROBABILITIES:
        tolerance = NEAR_ONE_32 if dense.itemsize == 4 else NEAR_ONE_64
        for n in range(dense.size // width):
            wrong |= not abs(sum_of(part_of(dense, n * width, width), width) - 1.0) <= tolerance
    return wrong == 0


@unit
def check_targets(frame: Any) -> None:
    """Set RESULT to 1 if DENSE holds rows of OUTPUTS targets of the kind NUMBER, else to 0."""
    dense = frames.vector_of(frame, frames.DENSE, get(frame, frames.DENSE_SIZE))
    right = are_targets(get(frame, frames.NUMBER), dense, get(frame, frames.OUTPUTS))
    put(frame, frames.RESULT, 1 if right else 0)


@kernel
def _acceptable(job: Any, classes: int, x: Any, labels: Any, check_finite: bool, frame: Any) -> bool:
    """Tell whether the loss takes the targets and, if `check_finite`, x is finite; False where the gate must look."""
    for n in range(labels.size):
        if labels[n] < 0 or labels[n] >= classes:
            return False
    if labels.size == 0:
        put(frame, frames.DENSE, get(job, jobs.AT_DENSE))
        put(frame, frames.DENSE_SIZE, get(job, jobs.AT_DENSE + 1))
        put(frame, frames.NUMBER, get(job, jobs.ACCEPTS))
        put(frame, frames.OUTPUTS, classes)
        call(get(job, jobs.CHECK_TARGETS), frame)
        if get(frame, frames.RESULT) == 0:
            return False
    return not check_finite or all_finite(elements(x))


@kernel
def _is_plain(job: Any, x: Any, labels: Any, dense: Any, takes_labels: bool) -> bool:
    """Whether the gate would find nothing to convert, but perhaps to refuse, in one batch."""
    values = jobs.numbers(job, jobs.AT_VALUES)
    if x.shape[1] != get(job, jobs.DATA_INPUTS) or x.shape[0] == 0 or not are_apart(values, x):
        return False
    if labels.size > 0:
        return takes_labels and labels.size == x.shape[0]
    if dense.shape[0] != x.shape[0] or dense.shape[1] != get(job, jobs.DATA_OUTPUTS):
        return False
    return bool(are_apart(values, dense))


@kernel
def _lacks_units(job: Any, operations: Any, size: int, sparse: bool, checks_targets: bool, counts_hits: bool) -> bool:
    """Tell whether the call needs a unit that is not compiled yet; see jobs.NEEDS_UNIT."""
    has_labels = get(job, jobs.AT_LABELS + 1) > 0
    if jobs.lacks(job, jobs.LOSS_OF_LABELS, has_labels) or jobs.lacks(job, jobs.LOSS, not has_labels):
        return True
    if jobs.lacks(job, jobs.CHECK_TARGETS, checks_targets and not has_labels):
        return True
    if jobs.lacks(job, jobs.COUNT_HITS, counts_hits) or jobs.lacks(job, jobs.OUTER, size == 1):
        return True
    if jobs.lacks(job, jobs.WEIGH, get(job, jobs.AT_WEIGHTS + 1) > 0):
        return True
    if jobs.lacks(job, jobs.UNPACK, jobs.are_packed(job)):
        return True
    if jobs.lacks(job, jobs.MEASURE_PENALTY, get(job, jobs.MEASURES_PENALTY) != 0):
        return True
    return lacks_sparse(job, operations, sparse)


@kernel
def _count(job: Any) -> None:
    """Count an update that is about to be made, and the draws of its batch."""
    counters = jobs.integers(job, jobs.AT_COUNTERS)
    counters[jobs.DRAWS] += 1
    counters[jobs.STEPS] += 1
    rates = jobs.reals(job, jobs.AT_RATES)
    for row in range(0, rates.size, RATES):
        rates[row + STEP] = counters[jobs.STEPS]


@kernel
def _hits(job: Any, count: int) -> int:
    """Count the hits among the first rows of a batch."""
    hits, total = jobs.integers(job, jobs.AT_HITS), 0
    for n in range(count):
        total += hits[n]
    return total


@part_unit
def statistics_part(job: Any, role: int, parts: int) -> None:
    """Call the units that check, or learn, the statistics of the batch; FINE becomes 1 if all are well, else 0."""
    operations, frame, count = jobs.operations_of(job), new_frame(SLOTS, zero_of(job)), get(job, jobs.COUNT)
    put(job, jobs.FINE, 1)
    for i in range(operations.shape[0]):
        if jobs.has_unit(operations, i, BATCH_STATISTICS) and jobs.has_unit(operations, i, role):
            jobs.begin_frame(job, 0, OFF, count, frame)
            jobs.choose_operation(job, operations, i, frame)
            jobs.choose_rows(operations, i, 0, count, frame)
            put(frame, frames.RESULT, 1)
            jobs.call_unit(operations, i, role, frame)
            if get(frame, frames.RESULT) == 0:
                put(job, jobs.FINE, 0)


@kernel
def _statistics(job: Any, role: int) -> bool:
    """Check, or learn, the statistics of the batch that operations use; return whether all are well."""
    if get(job, jobs.STATISTICS_PART) == 0 or get(job, jobs.UPDATE) == 0:
        return True
    call_part(get(job, jobs.STATISTICS_PART), job, role, 1)
    return get(job, jobs.FINE) != 0


@kernel
def _set_data(job: Any, x: Any, labels: Any, dense: Any, order: Any, weights: Any) -> None:
    """Point a job to the data of a call."""
    jobs.set_array(job, jobs.AT_X, x)
    jobs.set_array(job, jobs.AT_LABELS, labels)
    jobs.set_array(job, jobs.AT_DENSE, dense)
    jobs.set_array(job, jobs.AT_ORDER, order)
    jobs.set_array(job, jobs.AT_WEIGHTS, weights)
    put(job, jobs.GATHERED, 1 if order.size > 0 or jobs.are_packed(job) else 0)


@kernel
def _next_row(job: Any, after: int, last: int, size: int, parts: int) -> int:
    """Return the row of x of the batch after row number `after`, or -1; see jobs.NEXT. last: the end of all batches.

    Only one part has all rows of a matrix, which the next sample's product takes in order. There may be no x but an
    index, or bytes.
    """
    if size != 1 or parts != 1 or after + 1 >= last or jobs.are_packed(job):
        return -1
    order = jobs.integers(job, jobs.AT_ORDER)
    return order[after + 1] if order.size > 0 else after + 1


@kernel
def _look_ahead(job: Any, start: int, last: int, size: int, parts: int, samples: int) -> None:
    """Tell the update what is known of the next batch; samples: all, or 0 if it must not go ahead to several rows."""
    put(job, jobs.NEXT, _next_row(job, start, last, size, parts))
    put(job, jobs.AHEAD, 0)
    put(job, jobs.FOLLOWING, max(0, min(size, samples - start - size)) if start + size < last * size else 0)


@kernel
def _decide_for_gradient(job: Any, operations: Any, count: int, skip_zeros: bool) -> None:
    """Let the gradient skip zeros where the rows did and its factors are finite: 0 times NaN is NaN."""
    skips = skip_zeros and first_gradient_is_finite(job, operations, count)
    put(job, jobs.SKIPS_ZEROS, 1 if skips else 0)
    if skip_zeros and not skips and jobs.has_index(job) and not jobs.are_filled(job):
        call_part(get(job, jobs.UNPACK), job, 0, count)


@kernel
def _unit_of_region(job: Any, region: int, last_stage: int) -> int:
    """Return the unit that a region runs."""
    if region > last_stage + 1:
        return get(job, jobs.CLIPPED_PART)
    if region > last_stage:
        return get(job, jobs.PARAMETER_PART)
    return get(job, jobs.BETWEEN_STAGES if region % 2 == 1 else jobs.BATCH_PART)


# Seventeen parameters: compiled code takes arrays one by one; whatever stays the same between calls is in the job.
@door
def train(
    n_threads: int, launcher: int, most: int, takes_labels: bool, table: Indices, order: Indices, weights: Reals,
    first: int, last: int, size: int, losses: float, check: bool, check_finite: bool, counts_hits: bool,
    x: Matrix, labels: Labels, dense: Dense,
) -> Any:  # fmt: skip
    """Take mini-batches, each followed by an update; returns (samples, loss sum, hits, outcome).

    The mini-batches number first, first + 1, ..., last - 1 of `size` rows each; for x and the rest see jobs.ARRAYS.
    most: 0, or the most rows of arrays at which the gate has not looked, which are one batch; takes_labels: whether
    they may have labels.
    losses: the sum so far, so that its bits do not depend on how an epoch is cut into calls. check: refuse bad labels,
    targets that may be bad and, if check_finite, NaN and infinity in x, before anything is changed. The hits are 0
    without counts_hits. Stops after the first batch whose loss is not finite. Overwrites the workspace and, where
    nothing is updated, the gradients; updates values and state. MANY, NEEDS_UNIT: as of `predict`.
    """
    job = jobs.job_at(table, x.dtype.type(0.0))
    if most != 0 and not _is_plain(job, x, labels, dense, takes_labels):
        return 0, losses, 0, jobs.REFUSED
    if most != 0:
        size = x.shape[0]
        if size > most:
            return 0, losses, 0, jobs.MANY if size <= get(job, jobs.CAPACITY) else jobs.REFUSED
    operations, updates = jobs.operations_of(job), get(job, jobs.UPDATE) != 0
    frame, rows = new_frame(SLOTS, zero_of(job)), x.shape[0]
    _set_data(job, x, labels, dense, order, weights)
    sparse = is_sparse(job, operations, x, size)
    if _lacks_units(job, operations, size, sparse, check, counts_hits):
        return 0, losses, 0, jobs.NEEDS_UNIT
    if check and not _acceptable(job, operations[-1, jobs.WIDTH_OUT], x, labels, check_finite, frame):
        return 0, losses, 0, jobs.REFUSED
    skip_zeros = skips_zeros(job, operations, sparse)
    put(job, jobs.COUNTS_HITS, 1 if counts_hits else 0)
    by_norm = updates and get(job, jobs.CLIP_TO_NORM) != 0
    # A batch takes the stages at even numbers, the cuts between them at odd ones, the parameters, the clipped update.
    cuts = jobs.cuts(job, operations)
    last_stage = 4 * cuts
    regions = last_stage + (3 if by_norm else 2)
    samples, hits, total = 0, 0, 0.0
    put(job, jobs.SKIPS_ZEROS, 1 if skip_zeros else 0)
    put(job, jobs.AHEAD, 0)
    put(job, jobs.FOLLOWING, 0)
    goes_ahead = may_multiply_following(job, n_threads) and skip_zeros and updates and cuts == 0 and not by_norm
    for number in range(regions * first, regions * last):
        start, region = number // regions * size, number % regions
        count = min(size, rows - start)
        put(job, jobs.START, start)
        put(job, jobs.COUNT, count)
        put(job, jobs.STAGE, region // 2)
        if region == last_stage + 1:
            _look_ahead(job, start, last, size, n_threads, x.shape[0] if goes_ahead else 0)
        run_parts(launcher, _unit_of_region(job, region, last_stage), job, n_threads)
        if region == 2 * cuts:  # the loss
            total = sum_in_order(part_of(jobs.reals(job, jobs.AT_LOSSES), 0, count))
            # A gradient without an update passes NaN on, as in NumPy.
            if updates and not (math.isfinite(total) and _statistics(job, CHECK)):
                return samples, losses, hits, jobs.NOT_FINITE
        if region == last_stage:
            if updates:
                _count(job)
            if get(job, jobs.MEASURES_PENALTY) != 0:
                add_penalty(job, count, frame)
            _decide_for_gradient(job, operations, count, skip_zeros)
        if region == last_stage + 1:
            put(job, jobs.SKIPS_ZEROS, 1 if skip_zeros else 0)
            if by_norm and not clip_gradients(job, frame):
                return samples, losses, hits, jobs.NOT_FINITE
        if region == regions - 1:
            _statistics(job, LEARN)
            samples += count
            losses += total
            hits += _hits(job, count if counts_hits else 0)
    return samples, losses, hits, jobs.DONE if math.isfinite(losses) else jobs.NOT_FINITE


@door
def apply_update(n_threads: int, launcher: int, table: Indices, values: Vector) -> None:
    """Update the parameters `values` of a job by its gradients. Serial."""
    job = jobs.job_at(table, values.dtype.type(0.0))
    size, frame, operations = get(job, jobs.TRAINED), new_frame(SLOTS, zero_of(job)), jobs.operations_of(job)
    _count(job)
    if get(job, jobs.CLIP_TO_NORM) != 0:
        for i in range(operations.shape[0]):
            for p in range(operations[i, jobs.PARAMETERS]):
                if jobs.place_of(operations, i, p, RULE) == FROZEN:
                    forget_gradients(job, operations, i, p, 0, jobs.place_of(operations, i, p, HEIGHT))
        clip_gradients(job, frame)
    jobs.begin_frame(job, 0, OFF, 0, frame)
    update_by_rules(job, 0, size, frame)
