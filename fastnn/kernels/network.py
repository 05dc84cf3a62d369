"""One interpreter for every network: forward, loss, backward, update. Imports the other kernels.

A step has two parallel regions. In the first each part takes some *rows of the batch* through all operations forward,
through the loss and backward (batch_part.py); in the second each part takes some *rows of each weight matrix*, sums its
gradient over the batch and updates it (parameter_part.py). Batch normalisation cuts the first into stages, with a
region for its units between any two; gradients that are clipped to a norm take a region of their own for the update.
Every element is computed by one part in an order that does not depend on the parts: the same bits on any number of
threads.
"""

import math
from typing import Any

import numpy as np

from fastnn.kernels.batch_part import batch_part, between_stages, first_gradient_is_finite, norms_in_training
from fastnn.kernels.compile import entry, kernel, prange
from fastnn.kernels.forward import DONE, NOT_FINITE, REFUSED, skips_zeros
from fastnn.kernels.job import (
    AT_COUNTERS,
    AT_HITS,
    AT_LOSSES,
    AT_VALUES,
    BATCH_NORM,
    DRAWS,
    KIND,
    OUTPUTS,
    STEPS,
    TRAINED,
    UPDATE,
    Plan,
    Vectors,
    get_plan,
    get_vector,
    get_vectors,
    momentum_of,
)
from fastnn.kernels.losses import are_targets
from fastnn.kernels.operations import sum_in_order
from fastnn.kernels.parameter_part import clipped_part, parameter_part
from fastnn.kernels.rows import all_finite
from fastnn.kernels.units import learn_statistics, statistics_are_finite
from fastnn.kernels.updates import CLIP_NORM, NO_UPDATE, STEP, clip_to_norm, update_range


@kernel
def _count(job: Any, vectors: Vectors) -> None:
    """Count an update that is about to be made, and the masks of its batch."""
    counters = get_vector(job, AT_COUNTERS, np.intp(0))
    counters[DRAWS] += 1
    counters[STEPS] += 1
    vectors.rates[STEP] = counters[STEPS]


@kernel
def _acceptable(plan: Plan, x: Any, labels: Any, dense: Any, check_finite: bool) -> bool:
    """Whether x is finite, if that is asked, and the targets are surely such as the loss takes."""
    classes = plan.operations[-1, OUTPUTS]
    for n in range(labels.size):
        if labels[n] < 0 or labels[n] >= classes:
            return False
    if labels.size == 0 and not are_targets(plan.loss, dense.reshape(dense.size)):
        return False
    return not check_finite or all_finite(x.reshape(x.size))


@kernel
def _hits(job: Any, count: int) -> int:
    """How many of the first rows of a batch were right."""
    hits, total = get_vector(job, AT_HITS, np.intp(0)), 0
    for n in range(count):
        total += hits[n]
    return total


@kernel
def _statistics_are_finite(job: Any, plan: Plan, vectors: Vectors) -> bool:
    """Whether those that batch normalisation goes by in training are."""
    finite = True
    if norms_in_training(plan, job[UPDATE]) > 0:
        for i in range(plan.operations.shape[0]):
            if plan.operations[i, KIND] == BATCH_NORM:
                finite = finite and statistics_are_finite(plan.operations[i], vectors.gradients)
    return finite


@kernel
def _learn_statistics(job: Any, plan: Plan, vectors: Vectors, rows: int) -> None:
    """What batch normalisation learns of the statistics of a batch."""
    if norms_in_training(plan, job[UPDATE]) > 0:
        for i in range(plan.operations.shape[0]):
            if plan.operations[i, KIND] == BATCH_NORM:
                momentum = momentum_of(plan, i)
                learn_statistics(plan.operations[i], momentum, rows, vectors.values, vectors.gradients)


@entry
def train(
    n_threads: int,
    job: Any,
    x: Any,
    labels: Any,
    dense: Any,
    order: Any,
    weights: Any,
    first: int,
    last: int,
    size: int,
    losses: float,
    check: bool,
    check_finite: bool,
    counts_hits: bool,
) -> Any:
    """Take mini-batches, each followed by an update; returns (samples, loss sum, hits, DONE or what went wrong).

    The mini-batches number first, first + 1, ..., last - 1 of `size` rows each; x and the rest are as in Data.
    losses: the sum so far, so that its bits do not depend on how an epoch is cut into calls. check: refuse bad labels,
    targets that may be bad and, if check_finite, NaN and infinity in x, before anything is changed. The hits are 0
    without counts_hits. Stops after the first batch whose loss is not finite. Overwrites the workspace and, where
    nothing is updated, the gradients; updates values and state.
    """
    plan = get_plan(job)
    if check and not _acceptable(plan, x, labels, dense, check_finite):
        return 0, losses, 0, REFUSED
    losses_of_rows = get_vector(job, AT_LOSSES, np.float64(0.0))
    skip_zeros = skips_zeros(plan, get_vector(job, AT_VALUES, x.dtype.type(0.0)), x, size)
    vectors = get_vectors(job, x.dtype.type(0.0))
    by_norm = vectors.update != NO_UPDATE and vectors.rates[CLIP_NORM] < np.inf
    # Of one batch: the stages at even numbers, what is between them at odd ones, the parameters, the clipped update.
    norms = norms_in_training(plan, job[UPDATE])
    last_stage = 4 * norms
    regions = last_stage + (3 if by_norm else 2)
    samples, hits, skip, total = 0, 0, skip_zeros, 0.0
    for number in range(regions * first, regions * last):
        start, region = number // regions * size, number % regions
        count = min(size, x.shape[0] - start)
        # One parallel loop for all regions: Numba compiles each loop by itself, with all that it calls.
        for part in prange(n_threads):
            if region > last_stage + 1:
                clipped_part(job, x.dtype.type(0.0), part, n_threads)
            elif region > last_stage:
                parameter_part(job, x, order.size > 0, start, count, skip, part, n_threads)
            elif region % 2 == 1:
                between_stages(job, x.dtype.type(0.0), count, region // 2, part, n_threads)
            else:
                stage = region // 2
                batch_part(
                    job, x, labels, dense, order, weights, start, count, skip, counts_hits, stage, part, n_threads
                )
        if region == 2 * norms:  # the loss
            total = sum_in_order(losses_of_rows[:count])
            # A gradient by itself passes NaN on, as in NumPy.
            if job[UPDATE] != NO_UPDATE and not (math.isfinite(total) and _statistics_are_finite(job, plan, vectors)):
                return samples, losses, hits, NOT_FINITE
        if region == last_stage:
            if job[UPDATE] != NO_UPDATE:
                _count(job, vectors)
            skip = skip_zeros and first_gradient_is_finite(job, x, count)  # 0 times NaN is NaN
        if region == last_stage + 1:
            skip = skip_zeros
            if by_norm and not clip_to_norm(vectors.gradients[: job[TRAINED]], vectors.rates[CLIP_NORM]):
                return samples, losses, hits, NOT_FINITE
        if region == regions - 1:
            _learn_statistics(job, plan, vectors, count)
            samples += count
            losses += total
            hits += _hits(job, count if counts_hits else 0)
    return samples, losses, hits, DONE if math.isfinite(losses) else NOT_FINITE


@entry
def update(n_threads: int, job: Any, values: Any) -> None:
    """Update the parameters `values` of a job by its gradients. Serial."""
    vectors, size = get_vectors(job, values.dtype.type(0.0)), job[TRAINED]
    gradients = vectors.gradients[:size]
    _count(job, vectors)
    if vectors.rates[CLIP_NORM] < np.inf:
        clip_to_norm(gradients, vectors.rates[CLIP_NORM])
    update_range(vectors.update, vectors.rates, values[:size], gradients, vectors.state[:, :size])
