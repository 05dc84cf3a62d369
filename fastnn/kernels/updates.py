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
