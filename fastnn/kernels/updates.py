"""Updates of the flat parameter vector: one pass over a range of it. Imports compile.

The in-place exception to the contract that outputs are overwritten unread: parameters and state are read and written.
To add one: its kernel, a row in UPDATES, a branch in `update_range`, and its twin in reference.py.
"""

from typing import Any, NamedTuple

from fastnn.kernels.compile import kernel


class Update(NamedTuple):
    """What the rest of fastnn needs to know of an update: its number and how many vectors of state it keeps."""

    code: int
    state_vectors: int


NO_UPDATE, SGD, MOMENTUM = range(3)

UPDATES = {"none": Update(NO_UPDATE, 0), "sgd": Update(SGD, 0), "momentum": Update(MOMENTUM, 1)}


@kernel
def sgd_update(params: Any, grads: Any, lr: Any) -> None:
    """params -= lr * grads, element by element. params and grads (P,), distinct."""
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
    """velocity = momentum * velocity - lr * grads; params += velocity (Polyak, 1964). All (P,), distinct."""
    for i in range(params.size):
        velocity[i] = momentum * velocity[i] - lr * grads[i]
        params[i] += velocity[i]


@kernel
def update_range(code: int, numbers: Any, params: Any, grads: Any, state: Any) -> None:
    """Apply an update to a range of the flat vectors. numbers: lr, then the update's own (float64).

    params and grads (P,), state (vectors of state, P).
    """
    lr = params.dtype.type(numbers[0])
    if code == SGD:
        sgd_update(params, grads, lr)
    elif code == MOMENTUM:
        momentum_update(params, grads, state[0], lr, params.dtype.type(numbers[1]))
