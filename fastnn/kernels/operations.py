"""The kernels behind fastnn.functional: one entry for each operation, its rows shared among threads.

Imports the other kernels.

Parts write disjoint rows; sums over the batch run in index order. So the bits do not depend on n_threads.
"""

from typing import Any

import numpy as np

from fastnn.kernels import updates
from fastnn.kernels.activations import SOFTMAX
from fastnn.kernels.activations import activation_backward as _activation_backward
from fastnn.kernels.activations import activation_forward as _activation_forward
from fastnn.kernels.compile import entry, kernel, prange
from fastnn.kernels.losses import loss_rows
from fastnn.kernels.matmul import multiply, multiply_transposed_left, multiply_transposed_right, share
from fastnn.kernels.views import matrix

SUMS = 512  # numbers of scratch in float64 of each part: columns or losses that are taken at once
NO_HITS = np.empty(0, np.intp)  # where only the loss is asked for


@kernel
def bias_gradient(dy: Any, sums: Any, db: Any, first: int, last: int) -> None:
    """db[first:last] = the sum of dy over the batch: eight rows pairwise, eights in float64, so that little is lost.

    dy (N, H), db (H,); sums: any number of float64, scratch. A few columns at once, row after row: down one column at a
    time took ten times as long, every row in float64 four times.
    """
    whole = dy.shape[0] // 8 * 8
    for begin in range(first, last, sums.size):
        count = min(sums.size, last - begin)
        for j in range(count):
            sums[j] = 0.0
        for n in range(0, whole, 8):
            for j in range(begin, begin + count):
                low = (dy[n, j] + dy[n + 1, j]) + (dy[n + 2, j] + dy[n + 3, j])
                high = (dy[n + 4, j] + dy[n + 5, j]) + (dy[n + 6, j] + dy[n + 7, j])
                sums[j - begin] += low + high
        for n in range(whole, dy.shape[0]):
            for j in range(begin, begin + count):
                sums[j - begin] += dy[n, j]
        for j in range(count):
            db[begin + j] = sums[j]


@kernel
def sum_in_order(values: Any) -> float:
    """The sum of a float64 vector, first element first."""
    total = 0.0
    for i in range(values.size):
        total += values[i]
    return total


@kernel
def _as_row(flat: Any, first: int, last: int) -> Any:
    """The elements [first, last) of a vector as a matrix of one row."""
    return flat[first:last].reshape((1, last - first))


@entry
def affine_forward(n_threads: int, x: Any, W: Any, b: Any, scratch: Any, y: Any) -> None:
    """y = x W + b. x (N, D), W (D, H), b (H,), y (N, H) overwritten, distinct from the others."""
    for part in prange(n_threads):
        first, last = share(x.shape[0], part, n_threads), share(x.shape[0], part + 1, n_threads)
        multiply(x[first:last], W, b, scratch[part], y[first:last])


@entry
def affine_backward(
    n_threads: int, dy: Any, x: Any, W: Any, scratch: Any, sums: Any, dx: Any, dW: Any, db: Any
) -> None:
    """dx = dy W^T (left out when dx has no rows), dW = x^T dy, db = the sum of dy over the batch.

    dy (N, H), x (N, D), W (D, H); dx (N, D), dW (D, H), db (H,) overwritten; scratch: one row for
    each part, see matmul.scratch_size.
    """
    for part in prange(n_threads):
        first, last = share(dx.shape[0], part, n_threads), share(dx.shape[0], part + 1, n_threads)
        multiply_transposed_right(dy[first:last], W, scratch[part, :0], scratch[part], dx[first:last])
        first, last = share(x.shape[1], part, n_threads), share(x.shape[1], part + 1, n_threads)
        multiply_transposed_left(x, dy, scratch[part, :0], scratch[part], dW[first:last], first)
        first, last = share(db.size, part, n_threads), share(db.size, part + 1, n_threads)
        bias_gradient(dy, sums[part], db, first, last)


@entry
def activation_forward(n_threads: int, code: int, parameter: float, x: Any, y: Any) -> None:
    """y = f(x). x, y (N, D); y overwritten, and may be x; only softmax sees the rows, the others see N D elements."""
    x_flat, y_flat = x.reshape(x.size), y.reshape(x.size)
    for part in prange(n_threads):
        if code == SOFTMAX:
            first, last = share(x.shape[0], part, n_threads), share(x.shape[0], part + 1, n_threads)
            _activation_forward(code, parameter, x[first:last], y[first:last])
        else:
            first, last = share(x.size, part, n_threads), share(x.size, part + 1, n_threads)
            _activation_forward(code, parameter, _as_row(x_flat, first, last), _as_row(y_flat, first, last))


@entry
def activation_backward(n_threads: int, code: int, parameter: float, dy: Any, x: Any, y: Any, dx: Any) -> None:
    """dx = dy f'(x) with y = f(x). All (N, D); dx overwritten, and may be dy."""
    dy_flat, x_flat, y_flat, dx_flat = dy.reshape(x.size), x.reshape(x.size), y.reshape(x.size), dx.reshape(x.size)
    for part in prange(n_threads):
        if code == SOFTMAX:
            first, last = share(x.shape[0], part, n_threads), share(x.shape[0], part + 1, n_threads)
            _activation_backward(code, parameter, dy[first:last], x[first:last], y[first:last], dx[first:last])
        else:
            first, last = share(x.size, part, n_threads), share(x.size, part + 1, n_threads)
            dy_part, x_part = _as_row(dy_flat, first, last), _as_row(x_flat, first, last)
            y_part, dx_part = _as_row(y_flat, first, last), _as_row(dx_flat, first, last)
            _activation_backward(code, parameter, dy_part, x_part, y_part, dx_part)


@entry
def loss(
    n_threads: int,
    code: int,
    parameter: float,
    y: Any,
    labels: Any,
    dense: Any,
    rows: Any,
    divisor: float,
    dy: Any,
    losses: Any,
    sums: Any,
    hits: Any,
    values: Any,
) -> float:
    """The sum of the losses of outputs y (N, K), whose gradient over `divisor` is dy.

    Scratch: sums (N,) and values (parts, SUMS), float64.
    """
    for part in prange(n_threads):
        first, last = share(y.shape[0], part, n_threads), share(y.shape[0], part + 1, n_threads)
        out = (losses[first:last], sums[first:last], hits[first:last], values[part])
        some_y = matrix(y.reshape(y.size), first * y.shape[1], last - first, y.shape[1])  # no reference is counted
        some_dy = matrix(dy.reshape(y.size), first * y.shape[1], last - first, y.shape[1])
        loss_rows(code, parameter, some_y, labels, dense, rows[first:last], divisor, some_dy, out)
    return sum_in_order(losses)


@entry
def update(n_threads: int, code: int, numbers: Any, params: Any, grads: Any, first: Any, second: Any) -> None:
    """The update of number `code` of params by grads; first, second: its state, twice the same where it has one vector.

    (P,) each, distinct but for that; numbers: see updates.
    """
    for part in prange(n_threads):
        begin, end = share(params.size, part, n_threads), share(params.size, part + 1, n_threads)
        state = (first[begin:end], second[begin:end])
        updates.apply_update(code, numbers, params[begin:end], grads[begin:end], state)


@entry
def sgd_update(n_threads: int, params: Any, grads: Any, lr: float) -> None:
    """params -= lr * grads. (P,) each, distinct."""
    rate = params.dtype.type(lr)
    for part in prange(n_threads):
        first, last = share(params.size, part, n_threads), share(params.size, part + 1, n_threads)
        updates.sgd_update(params[first:last], grads[first:last], rate)


@entry
def momentum_update(n_threads: int, params: Any, grads: Any, velocity: Any, lr: float, momentum: float) -> None:
    """velocity = momentum * velocity - lr * grads; params += velocity. (P,) each, distinct."""
    rate, keep = params.dtype.type(lr), params.dtype.type(momentum)
    for part in prange(n_threads):
        first, last = share(params.size, part, n_threads), share(params.size, part + 1, n_threads)
        updates.momentum_update(params[first:last], grads[first:last], velocity[first:last], rate, keep)
