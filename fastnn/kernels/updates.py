"""Updates of the flat parameter vector: one pass over a range of it. Imports compile.

The in-place exception to the contract that outputs are overwritten unread: parameters and state are read and written.
To add one: its kernel, a row in UPDATES, a branch in `apply_update`, its description in fastnn/optimizers.py, and its
twin in reference/updates.py. All vectors are (P,), distinct.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from fastnn.kernels.compile import formula, kernel


class Update(NamedTuple):
    """What the rest of fastnn needs to know of an update: its number and how many vectors of state it keeps."""

    code: int
    state_vectors: int


NO_UPDATE, SGD, MOMENTUM, NESTEROV, ADAGRAD, RMSPROP, ADAM = range(7)

UPDATES = {
    "none": Update(NO_UPDATE, 0),
    "sgd": Update(SGD, 0),
    "momentum": Update(MOMENTUM, 1),
    "nesterov": Update(NESTEROV, 1),
    "adagrad": Update(ADAGRAD, 1),
    "rmsprop": Update(RMSPROP, 1),
    "adam": Update(ADAM, 2),
}

# An update's numbers, float64. The learning rate is followed by the update's own; each reads those that it has.
RATE, FIRST, SECOND, EPSILON, INSIDE, CORRECTED, DECAY = range(7)
CLIP_VALUE, CLIP_NORM = 8, 9  # what gradients are clipped to, infinity where they are not
STEP = 10  # the number of this update, from 1 on
NUMBERS = 11


@kernel
def sgd_update(params: Any, grads: Any, lr: Any) -> None:
    """params -= lr * grads, element by element."""
    for i in range(params.size):
        params[i] -= lr * grads[i]


@kernel
def sgd_update_of_one_sample(params: Any, x: Any, dy: Any, lr: Any) -> None:
    """params -= lr * (x^T dy), rounded as by the product and `sgd_update`. params (rows, H), x (rows,), dy (H,).

    A row whose x is 0 keeps its values, so dy must be finite. 784 x 50 take 4 us instead of the 9 of two passes.
    """
    for i in range(params.shape[0]):
        if x[i] != x.dtype.type(0.0):
            for j in range(params.shape[1]):
                params[i, j] -= lr * (x[i] * dy[j])


@kernel
def momentum_update(params: Any, grads: Any, velocity: Any, lr: Any, momentum: Any) -> None:
    """velocity = momentum * velocity - lr * grads; params += velocity (Polyak, 1964)."""
    for i in range(params.size):
        velocity[i] = momentum * velocity[i] - lr * grads[i]
        params[i] += velocity[i]


@kernel
def nesterov_update(params: Any, grads: Any, velocity: Any, lr: Any, momentum: Any) -> None:
    """velocity = momentum * velocity - lr * grads; params += momentum * velocity - lr * grads.

    The parameters are those from which Nesterov's method looks ahead (Sutskever et al., 2013; Bengio et al., 2013).
    """
    for i in range(params.size):
        step = lr * grads[i]
        velocity[i] = momentum * velocity[i] - step
        params[i] += momentum * velocity[i] - step


@formula
def _root(square: Any, epsilon: Any, inside: bool) -> Any:
    """sqrt(square + epsilon) where it stands inside the root, else sqrt(square) + epsilon."""
    return math.sqrt(square + epsilon) if inside else math.sqrt(square) + epsilon


@kernel
def adagrad_update(params: Any, grads: Any, squares: Any, lr: Any, epsilon: Any, inside: bool) -> None:
    """squares += grads^2; params -= lr * grads / root(squares) (Duchi, Hazan and Singer, 2011)."""
    for i in range(params.size):
        squares[i] += grads[i] * grads[i]
        params[i] -= lr * grads[i] / _root(squares[i], epsilon, inside)


@kernel
def rmsprop_update(
    params: Any, grads: Any, squares: Any, lr: Any, keep: Any, add: Any, epsilon: Any, inside: bool
) -> None:
    """squares = keep * squares + add * grads^2 with add = 1 - keep; params -= lr * grads / root(squares).

    Source: Tieleman and Hinton (2012).
    """
    for i in range(params.size):
        squares[i] = keep * squares[i] + add * (grads[i] * grads[i])
        params[i] -= lr * grads[i] / _root(squares[i], epsilon, inside)


@kernel
def adam_update(params: Any, grads: Any, means: Any, squares: Any, numbers: Any) -> None:
    """m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2; p -= lr m' / root(v') (Kingma and Ba, 2015).

    m' = m / (1 - b1^t) and v' = v / (1 - b2^t) at update t, or m and v where the bias is not corrected. Before that,
    p -= lr decay p: decoupled weight decay, which makes it AdamW (Loshchilov and Hutter, 2019).
    """
    dtype = params.dtype.type
    first, second, inside = dtype(numbers[FIRST]), dtype(numbers[SECOND]), numbers[INSIDE] != 0.0
    # 1 - b of float64, rounded once: that of a rounded b is off by a thousandth of itself in float32.
    add_first, add_second = dtype(1.0 - numbers[FIRST]), dtype(1.0 - numbers[SECOND])
    mean_scale, square_scale = 1.0, 1.0
    if numbers[CORRECTED] != 0.0:
        mean_scale = 1.0 / (1.0 - numbers[FIRST] ** numbers[STEP])
        square_scale = 1.0 / (1.0 - numbers[SECOND] ** numbers[STEP])
    rate, scale, epsilon = dtype(numbers[RATE] * mean_scale), dtype(square_scale), dtype(numbers[EPSILON])
    kept = dtype(1.0 - numbers[RATE] * numbers[DECAY])
    for i in range(params.size):
        means[i] = first * means[i] + add_first * grads[i]
        squares[i] = second * squares[i] + add_second * (grads[i] * grads[i])
        params[i] = kept * params[i] - rate * means[i] / _root(scale * squares[i], epsilon, inside)


@kernel
def clip_to_value(grads: Any, bound: float) -> None:
    """grads kept within [-bound, bound], in place; NaN stays NaN."""
    limit = grads.dtype.type(bound)
    for i in range(grads.size):
        value = grads[i]
        grads[i] = limit if value > limit else -limit if value < -limit else value


@kernel
def clip_to_norm(grads: Any, bound: float) -> bool:
    """grads scaled in place so that the square root of the sum of their squares, the norm, is at most bound.

    False, and nothing done, where the norm is not finite.
    """
    scale = 0.0
    for i in range(grads.size):
        magnitude = abs(np.float64(grads[i]))
        scale = magnitude if not magnitude <= scale else scale  # NaN counts as largest
    if not scale < np.inf:
        return False
    total = 0.0
    if scale > 0.0:  # so that no square overflows
        for i in range(grads.size):
            part = np.float64(grads[i]) / scale
            total += part * part
    norm = scale * math.sqrt(total)
    if norm > bound:
        factor = grads.dtype.type(bound / norm)
        for i in range(grads.size):
            grads[i] *= factor
    return True


@kernel
def update_range(code: int, numbers: Any, params: Any, grads: Any, state: Any) -> None:
    """As apply_update, of gradients that are clipped in place where that is asked for."""
    if code != NO_UPDATE and numbers[CLIP_VALUE] < np.inf:
        clip_to_value(grads, numbers[CLIP_VALUE])
    apply_update(code, numbers, params, grads, state)


@kernel
def apply_update(code: int, numbers: Any, params: Any, grads: Any, state: Any) -> None:
    """Apply an update to a range of the flat vectors. numbers (NUMBERS,): see above; state (vectors of state, P)."""
    dtype = params.dtype.type
    lr, first, epsilon, inside = (
        dtype(numbers[RATE]),
        dtype(numbers[FIRST]),
        dtype(numbers[EPSILON]),
        numbers[INSIDE] != 0,
    )
    if code == SGD:
        sgd_update(params, grads, lr)
    elif code == MOMENTUM:
        momentum_update(params, grads, state[0], lr, first)
    elif code == NESTEROV:
        nesterov_update(params, grads, state[0], lr, first)
    elif code == ADAGRAD:
        adagrad_update(params, grads, state[0], lr, epsilon, inside)
    elif code == RMSPROP:
        rmsprop_update(params, grads, state[0], lr, first, dtype(1.0 - numbers[FIRST]), epsilon, inside)
    elif code == ADAM:
        adam_update(params, grads, state[0], state[1], numbers)
