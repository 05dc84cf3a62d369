"""Every public operation in plain NumPy: the oracle of the tests and the baseline of the benchmarks.

Imports numpy and reference_activations, nothing else of fastnn. Names, parameters and defaults are those of
`fastnn.functional`. Any float dtype goes in and comes out: in float64 the operations are the oracle, in float32
they are what a competent NumPy user writes (BLAS products, `out=`, no loop over samples). Nothing is validated
here: shapes that do not fit fail as NumPy fails. NaN and infinities are what arithmetic gives, without warnings.

Shape letters: N batch, D inputs and H outputs of a layer, K classes. `out` receives the result and is
returned; it may be any of the inputs of an activation, and the first input of softmax and the losses.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from fastnn.reference_activations import ACTIVATIONS as ACTIVATIONS
from fastnn.reference_activations import Array, Out, activation, quiet
from fastnn.reference_activations import activation_backward as activation_backward
from fastnn.reference_activations import activation_forward as activation_forward
from fastnn.reference_activations import softmax as softmax

Targets: TypeAlias = npt.NDArray[Any]
Params: TypeAlias = Mapping[str, Array]
Arrays: TypeAlias = Array | Params | Sequence[Array]
Layers: TypeAlias = Sequence[tuple[Any, ...]]


# --- affine ---------------------------------------------------------------------------------------
@quiet
def affine_forward(x: Array, W: Array, b: Array, *, out: Out = None) -> Array:
    """y = x W + b: x (N, D), W (D, H), b (H,) -> y (N, H). `out` must not overlap x or W."""
    y: Array = np.matmul(x, W, out=out)
    y += b
    return y


@quiet
def affine_backward(
    dy: Array, x: Array, W: Array, *, need_dx: bool = True, out: tuple[Out, Out, Out] | None = None
) -> tuple[Out, Array, Array]:
    """dx = dy W^T, dW = x^T dy, db = sum of dy over the batch, divided by nothing.

    dy (N, H), x (N, D), W (D, H) -> dx (N, D), dW (D, H), db (H,). need_dx=False returns None for dx and
    leaves out[0] alone. The three of `out` must not overlap the inputs.
    Source: Rumelhart, Hinton and Williams, Nature 323 (1986), 533-536.
    """
    dx_out, dW_out, db_out = out if out is not None else (None, None, None)
    dx = np.matmul(dy, W.T, out=dx_out) if need_dx else None
    return dx, np.matmul(x.T, dy, out=dW_out), dy.sum(axis=0, out=db_out)


# --- losses ---------------------------------------------------------------------------------------
@quiet
def softmax_cross_entropy(x: Array, t: Targets, *, out: Out = None) -> tuple[float, Array]:
    """loss = -1/N sum over i and k of t[i, k] log(softmax(x)[i, k]), dx = (softmax(x) - t) / N.

    x: logits (N, K). t: labels (N,), one-hot or probabilities (N, K) whose rows sum to 1. The logarithm is a
    log-sum-exp, nothing is clipped. A class with t = 0 adds nothing, also where its logit is -inf; rows that
    softmax makes NaN make the loss NaN. `out` receives dx.
    Source: Blanchard, Higham and Higham, IMA Journal of Numerical Analysis 41 (2021), 2311-2330.
    """
    dx: Array = np.subtract(x, x.max(axis=1, keepdims=True), out=out)
    if t.ndim == 1:
        at_labels = np.arange(len(x)), t
        expected_logits = dx[at_labels]
    else:
        t = t.astype(dx.dtype, copy=False)
        expected_logits = (dx * t).sum(axis=1, where=t != 0)  # where=, because 0 * -inf is NaN
    np.exp(dx, out=dx)
    sums = dx.sum(axis=1, keepdims=True)
    losses = np.log(sums[:, 0])
    dx /= sums
    if t.ndim == 1:
        dx[at_labels] -= 1
    else:
        dx -= t
        losses *= t.sum(axis=1)
    dx /= len(x)
    losses -= expected_logits
    return float(losses.sum() / len(x)), dx


@quiet
def mean_squared_error(y: Array, t: Targets, *, out: Out = None) -> tuple[float, Array]:
    """loss = sum((y - t)^2) / (2 N), dy = (y - t) / N.

    y and t (N, ...), N the length of the first axis. `out` receives dy.
    """
    dy: Array = np.subtract(y, t, out=out, dtype=y.dtype)
    loss = np.vdot(dy, dy) / (2 * len(y))
    dy /= len(y)
    return float(loss), dy


# To add a loss, write it above and enter it here.
LOSSES: dict[str, Callable[[Array, Targets], tuple[float, Array]]] = {
    "softmax_cross_entropy": softmax_cross_entropy,
    "mean_squared_error": mean_squared_error,
}


# --- updates --------------------------------------------------------------------------------------
def _matched(*groups: Arrays) -> list[tuple[Array, ...]]:
    """The arrays that belong together, [(p, g), ...]; the first group gives the keys or the length."""
    first: Any = groups[0]
    if isinstance(first, np.ndarray):
        return [groups]  # type: ignore[list-item]
    keys: Any = first if isinstance(first, Mapping) else range(len(first))
    return [tuple(group[key] for group in groups) for key in keys]


@quiet
def sgd_update(params: Arrays, grads: Arrays, lr: float) -> None:
    """p -= lr g in place, for one array or a mapping or sequence of arrays."""
    lr = float(lr)  # a NumPy scalar would promote float32
    for p, g in _matched(params, grads):
        p -= lr * g


@quiet
def momentum_update(params: Arrays, grads: Arrays, velocity: Arrays, lr: float, momentum: float = 0.9) -> None:
    """v = momentum v - lr g, then p += v, both in place, for arrays or mappings or sequences of arrays.
    Source: Polyak, USSR Computational Mathematics and Mathematical Physics 4 (1964), 1-17.
    """
    lr, momentum = float(lr), float(momentum)
    for p, g, v in _matched(params, grads, velocity):
        v *= momentum
        v -= lr * g
        p += v


# --- a plain network ------------------------------------------------------------------------------
# layers: in order, ("affine", D, H) or an activation such as ("sigmoid",) or ("leaky_relu", {"slope": 0.1}).
# params: W1, b1, W2, b2, ... numbered by affine layer. A step calls NumPy directly where it can: a small
# network spends much of its time in calls.


def _constants(slope: float = 0.01, alpha: float = 1.0) -> tuple[float, float]:
    """What the options of a layer, {"slope": 0.1} or none, say to its activation."""
    return slope, alpha


def _layer_values(layers: Layers, params: Params, x: Array) -> list[Array]:
    """The input of every layer in order and, last, the output of the network."""
    values = [x]
    number = 0
    for name, *options in layers:
        if name == "affine":
            number += 1
            y = values[-1] @ params[f"W{number}"]
            y += params[f"b{number}"]
        else:
            forward, _ = activation(name)
            y = np.empty_like(values[-1])
            forward(values[-1], y, *_constants(**dict(*options)))
        values.append(y)
    return values


@quiet
def network_forward(layers: Layers, params: Params, x: Array) -> Array:
    """The output for a batch x (N, D): the logits, if the loss is softmax_cross_entropy."""
    return _layer_values(layers, params, x)[-1]


@quiet
def network_gradient(
    layers: Layers, params: Params, x: Array, t: Targets, loss: str = "softmax_cross_entropy"
) -> tuple[float, dict[str, Array]]:
    """The loss and its gradient, keyed W1, b1, ...; ValueError for an unknown loss or activation."""
    if loss not in LOSSES:
        names = ", ".join(LOSSES)
        raise ValueError(f"loss: expected one of {names}, got {loss!r}; pass a name from that list")
    values = _layer_values(layers, params, x)
    value, dy = LOSSES[loss](values[-1], t)
    number = sum(layer[0] == "affine" for layer in layers)
    grads: dict[str, Array] = {}
    for index in reversed(range(len(layers))):
        name, *options = layers[index]
        if name != "affine":
            _, backward = activation(name)
            backward(dy, values[index], values[index + 1], dy, *_constants(**dict(*options)))
            continue
        grads[f"b{number}"], grads[f"W{number}"] = dy.sum(axis=0), values[index].T @ dy
        if number == 1:  # nothing before the first affine layer has parameters
            break
        dy = dy @ params[f"W{number}"].T
        number -= 1
    return value, dict(reversed(grads.items()))


@quiet
def network_step(
    layers: Layers, params: Params, x: Array, t: Targets, lr: float, loss: str = "softmax_cross_entropy"
) -> float:
    """One step of gradient descent, p -= lr g in place; returns the loss before it."""
    value, grads = network_gradient(layers, params, x, t, loss)
    lr = float(lr)
    for key, gradient in grads.items():
        gradient *= lr  # ours to overwrite, which saves a temporary the size of the weights
        np.subtract(params[key], gradient, out=params[key])
    return value


# --- checks ---------------------------------------------------------------------------------------
@quiet
def accuracy(y: Array, t: Targets) -> float:
    """The share of rows of y (N, K) with the largest entry at the label; t labels (N,) or one-hot (N, K).

    Of equal entries the first counts, a NaN counts as the largest. NaN where N = 0.
    """
    labels = t if t.ndim == 1 else np.argmax(t, axis=1)
    return float(np.divide(np.count_nonzero(np.argmax(y, axis=1) == labels), len(labels)))


def numerical_gradient(f: Callable[[Any], float], x: npt.NDArray[np.float64], h: float = 1e-4) -> Array:
    """g[i] = (f(x + h e_i) - f(x - h e_i)) / (2 h), the central difference, entry by entry.

    x: float64 of any shape. Its entries are changed in place, one at a time, and restored, also if f raises;
    so f may read x through its argument or from wherever it lives.
    Source: Nocedal and Wright, Numerical Optimization (2006), section 8.1.
    """
    gradient = np.empty(x.shape)
    for index in np.ndindex(x.shape):
        original = x[index]
        try:
            x[index] = original + h
            above = f(x)
            x[index] = original - h
            below = f(x)
        finally:
            x[index] = original
        gradient[index] = (above - below) / (2 * h)
    return gradient
