"""The activations of fastnn.reference in plain NumPy.

Each is a pair: forward(x, y, p) writes y, and backward(dy, x, y, dx, p) writes dx, with p its one option,
taking the derivative from x or y, whichever is cheaper. At x = 0 it is the negative side's. Masks are multiplied in,
because np.where takes about ten times as long.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.floating[Any]]
Out: TypeAlias = Array | None
Forward: TypeAlias = Callable[[Array, Array, float], None]
Backward: TypeAlias = Callable[[Array, Array, Array, Array, float], None]

# An exp that overflows gives sigmoid its 0, inf - inf gives the documented NaN: both are intended.
quiet = np.errstate(over="ignore", under="ignore", invalid="ignore")


def _identity_forward(x: Array, y: Array, p: float) -> None:
    """y = x."""
    np.positive(x, out=y)


def _identity_backward(dy: Array, x: Array, y: Array, dx: Array, p: float) -> None:
    """dx = dy."""
    np.positive(dy, out=dx)


def _step_forward(x: Array, y: Array, p: float) -> None:
    """y = 1 where x > 0, p where x = 0, else 0; p is 0 or 1."""
    (np.greater_equal if p else np.greater)(x, 0, out=y)


def _step_backward(dy: Array, x: Array, y: Array, dx: Array, p: float) -> None:
    """dx = 0 dy."""
    np.multiply(dy, 0, out=dx)


def _sigmoid_forward(x: Array, y: Array, p: float) -> None:
    """y = 1 / (1 + exp(-x))."""
    np.negative(x, out=y)
    np.exp(y, out=y)  # infinite for a very negative x, and 1 / inf is the right 0
    y += 1
    np.reciprocal(y, out=y)


def _sigmoid_backward(dy: Array, x: Array, y: Array, dx: Array, p: float) -> None:
    """dx = dy y (1 - y)."""
    np.multiply(dy, (1 - y) * y, out=dx)


def _tanh_forward(x: Array, y: Array, p: float) -> None:
    """y = tanh(x)."""
    np.tanh(x, out=y)


def _tanh_backward(dy: Array, x: Array, y: Array, dx: Array, p: float) -> None:
    """dx = dy (1 - y^2)."""
    np.multiply(dy, 1 - y * y, out=dx)


def _relu_forward(x: Array, y: Array, p: float) -> None:
    """y = max(x, 0)."""
    np.maximum(x, 0, out=y)


def _relu_backward(dy: Array, x: Array, y: Array, dx: Array, p: float) -> None:
    """dx = dy where x > 0, else 0 dy."""
    np.multiply(dy, x > 0, out=dx)


def _leaky_relu_forward(x: Array, y: Array, p: float) -> None:
    """y = x where x > 0, else p x.  Source: Maas et al., ICML workshops (2013)."""
    negative_part = p * np.minimum(x, 0)
    np.maximum(x, 0, out=y)
    y += negative_part


def _leaky_relu_backward(dy: Array, x: Array, y: Array, dx: Array, p: float) -> None:
    """dx = dy where x > 0, else p dy."""
    positive = x > 0
    derivative = np.multiply(~positive, p, dtype=x.dtype) + positive
    np.multiply(dy, derivative, out=dx)


def _elu_forward(x: Array, y: Array, p: float) -> None:
    """y = x where x > 0, else p (exp(x) - 1).  Source: Clevert et al., ICLR (2016)."""
    negative_part = p * np.expm1(np.minimum(x, 0))
    np.maximum(x, 0, out=y)
    y += negative_part


def _elu_backward(dy: Array, x: Array, y: Array, dx: Array, p: float) -> None:
    """dx = dy where x > 0, else p exp(x) dy."""
    positive = x > 0
    # exp(x) again, though y + p is cheaper: that difference cancels where x is very negative.
    derivative = ~positive * (p * np.exp(np.minimum(x, 0))) + positive
    np.multiply(dy, derivative, out=dx)


_SQRT_HALF, _SQRT_TWO_PI = math.sqrt(0.5), math.sqrt(2 * math.pi)


def _normal_distribution(x: Array) -> Array:
    """(1 + erf(x / sqrt(2))) / 2 by the standard library, one number at a time: NumPy has no erf."""
    values = [0.5 * math.erfc(-v * _SQRT_HALF) for v in x.ravel().tolist()]
    return np.array(values, x.dtype).reshape(x.shape)


def _gelu_forward(x: Array, y: Array, p: float) -> None:
    """y = x times the normal distribution at x; 0 at -inf.  Source: Hendrycks and Gimpel, arXiv:1606.08415 (2016)."""
    np.multiply(np.maximum(x, -50), _normal_distribution(x), out=y)


def _gelu_backward(dy: Array, x: Array, y: Array, dx: Array, p: float) -> None:
    """dx = dy times the normal distribution at x plus x times its density."""
    some = np.clip(x, -50, 50)
    np.multiply(dy, _normal_distribution(x) + some * (np.exp(-0.5 * some * some) / _SQRT_TWO_PI), out=dx)


def _silu_forward(x: Array, y: Array, p: float) -> None:
    """y = x / (1 + exp(-x)); 0 at -inf.  Source: Elfwing, Uchibe and Doya, Neural Networks 107 (2018), 3-11."""
    np.multiply(np.maximum(x, -1000), 1 / (1 + np.exp(-x)), out=y)


def _silu_backward(dy: Array, x: Array, y: Array, dx: Array, p: float) -> None:
    """dx = dy s (1 + x (1 - s)) with s = 1 / (1 + exp(-x))."""
    s = 1 / (1 + np.exp(-x))
    np.multiply(dy, s * (1 + np.clip(x, -1000, 1000) * (1 - s)), out=dx)


def _softplus_forward(x: Array, y: Array, p: float) -> None:
    """y = log(1 + exp(x)).  Source: Dugas et al., NIPS 13 (2001)."""
    np.logaddexp(x, x.dtype.type(0), out=y)


def _softplus_backward(dy: Array, x: Array, y: Array, dx: Array, p: float) -> None:
    """dx = dy / (1 + exp(-x))."""
    np.multiply(dy, 1 / (1 + np.exp(-x)), out=dx)


def _softmax_forward(x: Array, y: Array, p: float) -> None:
    """y = exp(x - m) / sum(exp(x - m)), m = max(x), over the last axis."""
    np.subtract(x, x.max(axis=-1, keepdims=True), out=y)
    np.exp(y, out=y)
    y /= y.sum(axis=-1, keepdims=True)


def _softmax_backward(dy: Array, x: Array, y: Array, dx: Array, p: float) -> None:
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
    "gelu": (_gelu_forward, _gelu_backward),
    "silu": (_silu_forward, _silu_backward),
    "softplus": (_softplus_forward, _softplus_backward),
    "softmax": (_softmax_forward, _softmax_backward),
}
# The name and the default of p, for activations that have it.
OPTIONS = {"step": ("at_zero", 0.0), "leaky_relu": ("slope", 0.01), "elu": ("alpha", 1.0)}


def activation(name: str) -> tuple[Forward, Backward]:
    """The pair of a name; ValueError if there is none."""
    try:
        return ACTIVATIONS[name]
    except KeyError:
        names = ", ".join(ACTIVATIONS)
        raise ValueError(f"name: expected one of {names}, got {name!r}; pass a name from that list") from None


def parameter(name: str, option: Mapping[str, float]) -> float:
    """p of an activation, from {"slope": 0.1} or the like; its default from {}, or 0 if it has none."""
    key, usual = OPTIONS.get(name, ("", 0.0))
    unknown = set(option) - {key}
    if unknown:
        raise TypeError(f"{name}: expected {key or 'no option'}, got {', '.join(unknown)}; leave it out")
    return float(option.get(key, usual))


@quiet
def activation_forward(name: str, x: Array, *, out: Out = None, **option: float) -> Array:
    """y = f(x) for the activation `name` of ACTIVATIONS; x and y have the same shape.

    option: at_zero of step, slope of leaky_relu, alpha of elu. softmax takes the last axis for the classes, the others
    work entry by entry. f(NaN) is NaN, but step(NaN) is 0. ValueError for an unknown name.
    """
    forward, _ = activation(name)
    y = np.empty_like(x) if out is None else out
    forward(x, y, parameter(name, option))
    return y


@quiet
def activation_backward(name: str, dy: Array, x: Array, y: Array, *, out: Out = None, **option: float) -> Array:
    """dx = dy f'(x), where y = activation_forward(name, x); all four have the same shape.

    A NaN or infinity in dy gives NaN where f'(x) = 0. Where x is NaN, relu and leaky_relu take the derivative
    of the negative side. ValueError for an unknown name.
    """
    _, backward = activation(name)
    dx = np.empty_like(dy) if out is None else out
    backward(dy, x, y, dx, parameter(name, option))
    return dx


def softmax(x: Array, *, out: Out = None) -> Array:
    """y = exp(x - m) / sum(exp(x - m)), m = max(x), over the last axis; x of any rank from 1.

    It is right for finite logits of any size; a logit -inf beside a finite one gives 0. A row with +inf or NaN, or of
    -inf alone, becomes NaN throughout, because inf - inf is NaN. Source: Goodfellow, Bengio and Courville, Deep
    Learning (2016), section 4.1.
    """
    return activation_forward("softmax", x, out=out)
