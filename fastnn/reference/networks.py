"""Affine layers, plain networks of layers and their gradients in plain NumPy: part of fastnn.reference."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .activations import Array, Out, activation, parameter, quiet
from .losses import LOSSES, mean_squared_error
from .units import UNITS

Targets: TypeAlias = npt.NDArray[Any]
Params: TypeAlias = Mapping[str, Array]
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
    leaves out[0] alone. The three arrays of `out` must not overlap the inputs.
    Source: Rumelhart, Hinton and Williams, Nature 323 (1986), 533-536.
    """
    dx_out, dW_out, db_out = out if out is not None else (None, None, None)
    dx = np.matmul(dy, W.T, out=dx_out) if need_dx else None
    return dx, np.matmul(x.T, dy, out=dW_out), dy.sum(axis=0, out=db_out)


@quiet
def line_fit_losses(x: Array, t: Array, w: Array, b: Array, *, out: Out = None) -> Array:
    """losses[i, j] = the mean squared error of the line y = w[i] x + b[j]: x, t (N,), w (I,), b (J,) -> (I, J)."""
    losses: Array = np.empty((len(w), len(b))) if out is None else out
    for i, j in np.ndindex(losses.shape):
        losses[i, j] = mean_squared_error(w[i] * x + b[j], t)[0]
    return losses


# --- a plain network ------------------------------------------------------------------------------
# layers: in order, ("affine", D, H), one of UNITS such as ("batch_norm",) or ("batch_norm", {"epsilon": 0.001}), or an
# activation such as ("sigmoid",) or ("leaky_relu", {"slope": 0.1}). params: W1, b1, W2, ..., slope1, gamma1, beta1 and
# so on, numbered by the layers of each kind. Batches are normalized by their own statistics, as in training. A step
# calls NumPy directly where it can: a small network spends much of its time in calls.


def _numbers(layers: Layers) -> list[int]:
    """The number of each layer among the layers of its kind, from 1."""
    kinds = [kind for kind, *_ in layers]
    return [kinds[:i].count(kind) + 1 for i, kind in enumerate(kinds)]


def _layer_values(layers: Layers, params: Params, x: Array) -> list[Array]:
    """The input of every layer in order and, last, the output of the network."""
    values = [x]
    for (name, *options), number in zip(layers, _numbers(layers), strict=True):
        if name == "affine":
            y: Any = values[-1] @ params[f"W{number}"]
            y += params[f"b{number}"]
        elif name in UNITS:
            own = [params[f"{key}{number}"] for key in UNITS[name].parameters]
            y = UNITS[name].forward(values[-1], *own, **dict(*options))
        else:
            forward, _ = activation(name)
            y = np.empty_like(values[-1])
            forward(values[-1], y, parameter(name, dict(*options)))
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
    grads: dict[str, Array] = {}
    for (name, *options), number, x, y in reversed(
        list(zip(layers, _numbers(layers), values[:-1], values[1:], strict=True))
    ):
        if name == "affine":
            grads[f"b{number}"], grads[f"W{number}"] = dy.sum(axis=0), x.T @ dy
            if number == 1:  # nothing before the first affine layer has parameters
                break
            dy = dy @ params[f"W{number}"].T
        elif name in UNITS:
            keys = [f"{key}{number}" for key in UNITS[name].parameters]
            dy, *own = UNITS[name].backward(dy, x, *(params[key] for key in keys), **dict(*options))
            grads |= zip(keys, own, strict=True)
        else:
            _, backward = activation(name)
            backward(dy, x, y, dy, parameter(name, dict(*options)))
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
def zero_one_loss(
    y: Array, t: Targets, *, reduction: str = "mean", sample_weight: Array | None = None
) -> float | Array:
    """1 for each row of y (N, K) whose largest entry is not at the label, else 0; t labels (N,) or one-hot (N, K)."""
    labels = t if t.ndim == 1 else np.argmax(t, axis=1)
    weights = np.ones(len(y)) if sample_weight is None else sample_weight
    losses: Array = weights * (np.argmax(y, axis=1) != labels)
    if reduction == "none":
        return losses
    return float(losses.sum() / (weights.sum() if reduction == "mean" else 1))


@quiet
def accuracy(y: Array, t: Targets) -> float:
    """The fraction of the rows of y (N, K) with the largest entry at the label; t labels (N,) or one-hot (N, K).

    Of equal entries the first counts, a NaN counts as the largest. NaN where N = 0.
    """
    labels = t if t.ndim == 1 else np.argmax(t, axis=1)
    return float(np.divide(np.count_nonzero(np.argmax(y, axis=1) == labels), len(labels)))


def numerical_gradient(f: Callable[[Any], float], x: npt.NDArray[np.float64], h: float = 1e-4) -> Array:
    """g[i] = (f(x + h e_i) - f(x - h e_i)) / (2 h), the central difference, entry by entry.

    x: float64 of any shape. Its entries are changed in place, one at a time, and restored, even if f raises; so f may
    read x through its argument or from anywhere else. Source: Nocedal and Wright, Numerical Optimization (2006),
    section 8.1.
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
