"""Which operations a batch is taken through by columns: a model of cost.

By *rows*, each thread takes its share of the rows through all operations, BLOCK_ROWS at once. So each thread reads,
and copies for its tiles, all weights of each layer once for each block. By *columns*, it computes its share of the
columns of one operation for all rows: it reads its share of the weights, once, but all rows, and all threads wait for
each other before and behind the operation, which takes 2 us each time.

For N rows, a layer of D inputs and H outputs, and P threads, a thread moves

    by rows      D H ceil(N / P / BLOCK_ROWS) + N (D + H) / P
    by columns   D H / P + N D + N H / P, and H / P N once more where what follows finds them no longer in its cache

elements. Weights that the second-level cache holds are not copied, and cost nothing to read again. So columns pay for
weights beyond it, unless the rows are so many that they go through the memory between two operations, or one thread
takes them at once.

Measured on two threads (Zen 4, second-level cache 1 MB, third 32 MB), us of a step by rows and by columns in turn:

    128, 784-512-512-10            2,173     2,063
    256, 1024-1024-1024-10        14,742    14,560
    512, 2048-2048-2048-100      121,671   116,517
    1, 1024-1024-1024-10             517       378
    16, 1024-1024-1024-10          1,696     1,183

Predictions likewise (two threads of Granite Rapids, 2 MB): of 1 row of 784-512-512-10 117 us by rows and 40 to 87 by
columns, of 784-544-544-10 130 and 25 to 38; of 32 rows of 784-512-512-10 344 to 387 and 210 to 276.
"""

import numpy as np

from fastnn.engine.interpreters import jobs
from fastnn.engine.interpreters.forward import BLOCK_ROWS
from fastnn.engine.plan import Plan
from fastnn.gate.arrays import Array
from fastnn.kernels import caches

# Bytes of weights from which on columns pay: ones that the second-level cache does not hold or, where it is larger than
# 1 MB, holds beside little else (Granite Rapids with 2 MB: the measurements above, of 1.6 MB).
LARGE = min(caches.CACHES.second, 1 << 20)


def taken_by_columns(plan: Plan, rows: int, parts: int, item: int) -> Array:
    """Whether batches of so many rows, of elements of `item` bytes, are taken by columns: for each operation."""
    if parts == 1 and rows <= BLOCK_ROWS:
        return np.zeros(len(plan.layers), bool)
    return np.array([_pays(plan, i, rows, item) for i in range(len(plan.layers))])


def _pays(plan: Plan, i: int, rows: int, item: int) -> bool:
    if rows == 0 or plan.layers[i].units.forward_columns is None:
        return False
    inputs, outputs = (int(plan.operations[i, column]) for column in (jobs.WIDTH_IN, jobs.WIDTH_OUT))
    activations = rows * (inputs + outputs) * item
    return inputs * outputs * item >= LARGE and activations <= caches.CACHES.last // 2


def shares_columns(plan: Plan, item: int) -> bool:
    """Whether a prediction by several parts takes an operation by columns, however few rows there are."""
    return bool(taken_by_columns(plan, 2 * BLOCK_ROWS, 2, item).any())


def has_cuts(plan: Plan, rows: int, parts: int, item: int) -> bool:
    """Whether an operation cuts a batch into stages: it is taken by columns, or uses statistics of the batch."""
    return plan.uses_statistics or bool(taken_by_columns(plan, rows, parts, item).any())
