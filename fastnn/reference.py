"""Every public operation in plain NumPy: the oracle of the tests and the baseline of the benchmarks.

Imports numpy alone, nothing of fastnn. Names, parameters and defaults are those of `fastnn.functional`. Any
float dtype goes in and comes out: in float64 the operations are the oracle, in float32 they are what a
competent NumPy user writes (BLAS products, `out=`, no loop over samples). Nothing is validated here: shapes
that do not fit fail as NumPy fails. NaN and infinities are what arithmetic gives, without warnings.

Shape letters: N batch, D inputs and H outputs of a layer, K classes. `out` receives the result and is
returned; it may be any of the inputs of an activation, and the first input of softmax and the losses.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.floating[Any]]
Out: TypeAlias = Array | None
Targets: TypeAlias = npt.NDArray[Any]
Params: TypeAlias = Mapping[str, Array]
Arrays: TypeAlias = Array | Params | Sequence[Array]
Layers: TypeAlias = Sequence[tuple[Any, ...]]
Forward: TypeAlias = Callable[[Array, Array, float, float], None]
Backward: TypeAlias = Callable[[Array, Array, Array, Array, float, float], None]

# An exp that overflows gives sigmoid its 0, inf - inf gives the NaN we document: results, not accidents.
quiet = np.errstate(over="ignore", under="ignore", invalid="ignore")


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


# --- activations ----------------------------------------------------------------------------------
# Each is a pair: forward(x, y, slope, alpha) writes y, and backward(dy, x, y, dx, slope, alpha) writes dx,
# taking the derivative from x or y, whichever is cheaper. At x = 0 it is that of the negative side. Masks are
# multiplied in, because np.where takes about ten times as long.


def _identity_forward(x: Array, y: Array, slope: float, alpha: float) -> None:
    """y = x."""
    np.positive(x, out=y)


def _identity_backward(dy: Array, x: Array, y: Array, dx: Array, slope: float, alpha: float) -> None:
    """dx = dy."""
    np.positive(dy, out=dx)


def _step_forward(x: Array, y: Array, slope: float, alpha: float) -> None:
    """y = 1 where x > 0, else 0."""
    np.greater(x, 0, out=y)


def _step_backward(dy: Array, x: Array, y: Array, dx: Array, slope: float, alpha: float) -> None:
    """dx = 0 dy."""
    np.multiply(dy, 0, out=dx)


def _sigmoid_forward(x: Array, y: Array, slope: float, alpha: float) -> None:
    """y = 1 / (1 + exp(-x))."""
    np.negative(x, out=y)
    np.exp(y, out=y)  # infinite for a very negative x, and 1 / inf is the right 0
    y += 1
    np.reciprocal(y, out=y)


def _sigmoid_backward(dy: Array, x: Array, y: Array, dx: Array, slope: float, alpha: float) -> None:
    """dx = dy y (1 - y)."""
    np.multiply(dy, (1 - y) * y, out=dx)


def _tanh_forward(x: Array, y: Array, slope: float, alpha: float) -> None:
    """y = tanh(x)."""
    np.tanh(x, out=y)


def _tanh_backward(dy: Array, x: Array, y: Array, dx: Array, slope: float, alpha: float) -> None:
    """dx = dy (1 - y^2)."""
    np.multiply(dy, 1 - y * y, out=dx)


def _relu_forward(x: Array, y: Array, slope: float, alpha: float) -> None:
    """y = max(x, 0)."""
    np.maximum(x, 0, out=y)


def _relu_backward(dy: Array, x: Array, y: Array, dx: Array, slope: float, alpha: float) -> None:
    """dx = dy where x > 0, else 0 dy."""
    np.multiply(dy, x > 0, out=dx)


def _leaky_relu_forward(x: Array, y: Array, slope: float, alpha: float) -> None:
    """y = x where x > 0, else slope x.  Source: Maas et al., ICML workshops (2013)."""
    negative_part = slope * np.minimum(x, 0)
    np.maximum(x, 0, out=y)
    y += negative_part


def _leaky_relu_backward(dy: Array, x: Array, y: Array, dx: Array, slope: float, alpha: float) -> None:
    """dx = dy where x > 0, else slope dy."""
    positive = x > 0
    derivative = np.multiply(~positive, slope, dtype=x.dtype) + positive
    np.multiply(dy, derivative, out=dx)


def _elu_forward(x: Array, y: Array, slope: float, alpha: float) -> None:
    """y = x where x > 0, else alpha (exp(x) - 1).  Source: Clevert et al., ICLR (2016)."""
    negative_part = alpha * np.expm1(np.minimum(x, 0))
    np.maximum(x, 0, out=y)
    y += negative_part


def _elu_backward(dy: Array, x: Array, y: Array, dx: Array, slope: float, alpha: float) -> None:
    """dx = dy where x > 0, else alpha exp(x) dy."""
    positive = x > 0
    # exp(x) again, though y + alpha is cheaper: that difference cancels where x is very negative.
    derivative = ~positive * (alpha * np.exp(np.minimum(x, 0))) + positive
    np.multiply(dy, derivative, out=dx)


def _softmax_forward(x: Array, y: Array, slope: float, alpha: float) -> None:
    """y = exp(x - m) / sum(exp(x - m)), m = max(x), over the last axis."""
    np.subtract(x, x.max(axis=-1, keepdims=True), out=y)
    np.exp(y, out=y)
    y /= y.sum(axis=-1, keepdims=True)


def _softmax_backward(dy: Array, x: Array, y: Array, dx: Array, slope: float, alpha: float) -> None:
    """dx = y (dy - sum(dy y)) over the last axis."""
    np.multiply(y, dy - (dy * y).sum(axis=-1, keepdims=True), out=dx)


# To add an activation, write its pair above and enter it here: tests and benchmarks go through this table.
ACTIVATIONS: dict[str, tuple[Forward, Backward]] = {
    "identity": (_identity_forward, _identity_backward),
    "step": (_step_forward, _step_backward),
    "sigmoid": (_sigmoid_forward, _sigmoid_backward),
    "tanh": (_tanh_forward, _tanh_backward),
    "relu": (_relu_forward, _relu_backward),
    "leaky_relu": (_leaky_relu_forward, _leaky_relu_backward),
    "elu": (_elu_forward, _elu_backward),
    "softmax": (_softmax_forward, _softmax_backward),
}


def _activation(name: str) -> tuple[Forward, Backward]:
    try:
        return ACTIVATIONS[name]
    except KeyError:
        names = ", ".join(ACTIVATIONS)
        raise ValueError(f"name: expected one of {names}, got {name!r}; pass a name from that list") from None


@quiet
def activation_forward(name: str, x: Array, *, slope: float = 0.01, alpha: float = 1.0, out: Out = None) -> Array:
    """y = f(x) for the activation `name` of ACTIVATIONS; x and y are of one shape.

    slope is for leaky_relu, alpha for elu. softmax takes the last axis for the classes, the others work entry
    by entry. f(NaN) is NaN, but step(NaN) is 0. ValueError for an unknown name.
    """
    forward, _ = _activation(name)
    y = np.empty_like(x) if out is None else out
    forward(x, y, float(slope), float(alpha))
    return y


@quiet
def activation_backward(
    name: str, dy: Array, x: Array, y: Array, *, slope: float = 0.01, alpha: float = 1.0, out: Out = None
) -> Array:
    """dx = dy f'(x), where y = activation_forward(name, x); all four are of one shape.

    A NaN or infinity in dy gives NaN where f'(x) = 0. Where x is NaN, relu and leaky_relu take the derivative
    of the negative side. ValueError for an unknown name.
    """
    _, backward = _activation(name)
    dx = np.empty_like(dy) if out is None else out
    backward(dy, x, y, dx, float(slope), float(alpha))
    return dx


def softmax(x: Array, *, out: Out = None) -> Array:
    """y = exp(x - m) / sum(exp(x - m)), m = max(x), over the last axis; x of any rank from 1.

    Right for finite logits of any size; a logit -inf beside a finite one gives 0. A row with a +inf, with a
    NaN or of -inf alone becomes NaN throughout, because inf - inf is NaN.
    Source: Goodfellow, Bengio and Courville, Deep Learning (2016), section 4.1.
    """
    return activation_forward("softmax", x, out=out)


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
            forward, _ = _activation(name)
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
            _, backward = _activation(name)
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
