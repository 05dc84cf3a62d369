"""Activations: each formula and its derivative once, as scalar functions. Imports compile, rows and vector_math.

To add one: its formula, its derivative, a row in ACTIVATIONS, a branch in `activation_forward` and
`activation_backward`, its twin in reference.py and its layer in layers.py. The interpreter, the tests and the
benchmarks find it in these tables.

A formula is f(x, p), a derivative f'(x, y, p) with y = f(x, p); p is the activation's one parameter (unused by most).
"""

from typing import Any, NamedTuple

import numpy as np

from fastnn.kernels.compile import formula, kernel
from fastnn.kernels.rows import softmax_rows
from fastnn.kernels.vector_math import (
    constant,
    expm1,
    normal_density,
    normal_distribution,
    sigmoid,
    softplus,
    tanh,
)


class Row(NamedTuple):
    """What the rest of fastnn needs to know of an activation: a row of ACTIVATIONS."""

    code: int
    parameter: str = ""  # the keyword of its parameter, if any
    default: float = 0.0
    has_kink: bool = False  # whether its derivative jumps


IDENTITY, STEP, SIGMOID, TANH, RELU, LEAKY_RELU, ELU, SOFTMAX, GELU, SILU, SOFTPLUS = range(11)

ACTIVATIONS = {
    "identity": Row(IDENTITY),
    "step": Row(STEP, has_kink=True),
    "sigmoid": Row(SIGMOID),
    "tanh": Row(TANH),
    "relu": Row(RELU, has_kink=True),
    "leaky_relu": Row(LEAKY_RELU, "slope", 0.01, True),
    "elu": Row(ELU, "alpha", 1.0, True),
    "gelu": Row(GELU),
    "silu": Row(SILU),
    "softplus": Row(SOFTPLUS),
    "softmax": Row(SOFTMAX),
}


@formula
def _identity(x: Any, p: Any) -> Any:
    return x


@formula
def _identity_derivative(x: Any, y: Any, p: Any) -> Any:
    return constant(x, 1.0)


@formula
def _step(x: Any, p: Any) -> Any:
    """1 where x > 0, else 0: the M-P neuron's threshold (McCulloch and Pitts, 1943)."""
    return constant(x, 1.0) if x > constant(x, 0.0) else constant(x, 0.0)


@formula
def _step_derivative(x: Any, y: Any, p: Any) -> Any:
    return constant(x, 0.0)


@formula
def _sigmoid(x: Any, p: Any) -> Any:
    return sigmoid(x)


@formula
def _sigmoid_derivative(x: Any, y: Any, p: Any) -> Any:
    return y * (constant(y, 1.0) - y)


@formula
def _tanh(x: Any, p: Any) -> Any:
    return tanh(x)


@formula
def _tanh_derivative(x: Any, y: Any, p: Any) -> Any:
    return constant(y, 1.0) - y * y


@formula
def _relu(x: Any, p: Any) -> Any:
    """max(0, x), written so that NaN passes: it is not below 0."""
    return constant(x, 0.0) if x < constant(x, 0.0) else x


@formula
def _relu_derivative(x: Any, y: Any, p: Any) -> Any:
    """1 where x > 0, else 0; 0 at the kink."""
    return constant(x, 1.0) if x > constant(x, 0.0) else constant(x, 0.0)


@formula
def _leaky_relu(x: Any, p: Any) -> Any:
    """x where x > 0, else slope x (Maas, Hannun and Ng, 2013)."""
    return x if x > constant(x, 0.0) else p * x


@formula
def _leaky_relu_derivative(x: Any, y: Any, p: Any) -> Any:
    """1 where x > 0, else slope; slope at the kink."""
    return constant(x, 1.0) if x > constant(x, 0.0) else p


@formula
def _elu(x: Any, p: Any) -> Any:
    """x where x > 0, else alpha (exp(x) - 1) (Clevert, Unterthiner and Hochreiter, 2016)."""
    return x if x > constant(x, 0.0) else p * expm1(x)


@formula
def _elu_derivative(x: Any, y: Any, p: Any) -> Any:
    """1 where x > 0, else alpha exp(x) = y + alpha; alpha at 0.

    The sum is off by a rounding of alpha, which is nothing beside the derivative 1 of the other side.
    """
    return constant(x, 1.0) if x > constant(x, 0.0) else y + p


@formula
def _within(x: Any, bound: Any) -> Any:
    """x within [-bound, bound], so that no infinity is multiplied by 0; NaN stays NaN."""
    limit = constant(x, bound)
    x = limit if x > limit else x
    return -limit if x < -limit else x


@formula
def _gelu(x: Any, p: Any) -> Any:
    """x times the normal distribution at x; 0 at -infinity (Hendrycks and Gimpel, 2016)."""
    lowest = constant(x, -50.0)
    return (lowest if x < lowest else x) * normal_distribution(x)


@formula
def _gelu_derivative(x: Any, y: Any, p: Any) -> Any:
    return normal_distribution(x) + _within(x, 50.0) * normal_density(x)


@formula
def _silu(x: Any, p: Any) -> Any:
    """x sigmoid(x); 0 at -infinity (Elfwing, Uchibe and Doya, 2018)."""
    lowest = constant(x, -1000.0)
    return (lowest if x < lowest else x) * sigmoid(x)


@formula
def _silu_derivative(x: Any, y: Any, p: Any) -> Any:
    """s (1 + x (1 - s)) with s = sigmoid(x)."""
    s = sigmoid(x)
    one = constant(x, 1.0)
    return s * (one + _within(x, 1000.0) * (one - s))


@formula
def _softplus(x: Any, p: Any) -> Any:
    """log(1 + exp(x)) (Dugas et al., 2001)."""
    return softplus(x)


@formula
def _softplus_derivative(x: Any, y: Any, p: Any) -> Any:
    return sigmoid(x)


@kernel
def _softmax_row_backward(dy: Any, y: Any, dx: Any) -> None:
    """dx = y (dy - sum(dy y)) of one row, the product of dy with the Jacobian diag(y) - y y^T."""
    total = np.float64(0.0)
    for k in range(y.size):
        total += dy[k] * y[k]
    shift = y.dtype.type(total)
    for k in range(y.size):
        dx[k] = y[k] * (dy[k] - shift)


@formula
def _each(function: Any, p: Any, x: Any, y: Any) -> None:
    """y = function(x, p), element by element. Vectors of one length."""
    for i in range(x.size):
        y[i] = function(x[i], p)


@formula
def _each_backward(derivative: Any, p: Any, dy: Any, x: Any, y: Any, dx: Any) -> None:
    """dx = dy derivative(x, y, p), element by element. Vectors of one length."""
    for i in range(x.size):
        dx[i] = dy[i] * derivative(x[i], y[i], p)


@kernel
def activation_forward(code: int, parameter: float, x: Any, y: Any) -> None:
    """y = f(x). x, y (N, D), C-contiguous; y overwritten, and may be x. code: one of the numbers above."""
    p = x.dtype.type(parameter)
    x_flat, y_flat = x.reshape(x.size), y.reshape(y.size)
    if code == IDENTITY:
        _each(_identity, p, x_flat, y_flat)
    elif code == STEP:
        _each(_step, p, x_flat, y_flat)
    elif code == SIGMOID:
        _each(_sigmoid, p, x_flat, y_flat)
    elif code == TANH:
        _each(_tanh, p, x_flat, y_flat)
    elif code == RELU:
        _each(_relu, p, x_flat, y_flat)
    elif code == LEAKY_RELU:
        _each(_leaky_relu, p, x_flat, y_flat)
    elif code == ELU:
        _each(_elu, p, x_flat, y_flat)
    elif code == GELU:
        _each(_gelu, p, x_flat, y_flat)
    elif code == SILU:
        _each(_silu, p, x_flat, y_flat)
    elif code == SOFTPLUS:
        _each(_softplus, p, x_flat, y_flat)
    elif code == SOFTMAX:
        softmax_rows(x, y)


@kernel
def activation_backward(code: int, parameter: float, dy: Any, x: Any, y: Any, dx: Any) -> None:
    """dx = dy f'(x), for softmax dy times its Jacobian.

    All (N, D), C-contiguous; y = f(x); dx overwritten, and may be dy.
    """
    p = x.dtype.type(parameter)
    dy_flat, x_flat, y_flat, dx_flat = dy.reshape(x.size), x.reshape(x.size), y.reshape(x.size), dx.reshape(x.size)
    if code == IDENTITY:
        _each_backward(_identity_derivative, p, dy_flat, x_flat, y_flat, dx_flat)
    elif code == STEP:
        _each_backward(_step_derivative, p, dy_flat, x_flat, y_flat, dx_flat)
    elif code == SIGMOID:
        _each_backward(_sigmoid_derivative, p, dy_flat, x_flat, y_flat, dx_flat)
    elif code == TANH:
        _each_backward(_tanh_derivative, p, dy_flat, x_flat, y_flat, dx_flat)
    elif code == RELU:
        _each_backward(_relu_derivative, p, dy_flat, x_flat, y_flat, dx_flat)
    elif code == LEAKY_RELU:
        _each_backward(_leaky_relu_derivative, p, dy_flat, x_flat, y_flat, dx_flat)
    elif code == ELU:
        _each_backward(_elu_derivative, p, dy_flat, x_flat, y_flat, dx_flat)
    elif code == GELU:
        _each_backward(_gelu_derivative, p, dy_flat, x_flat, y_flat, dx_flat)
    elif code == SILU:
        _each_backward(_silu_derivative, p, dy_flat, x_flat, y_flat, dx_flat)
    elif code == SOFTPLUS:
        _each_backward(_softplus_derivative, p, dy_flat, x_flat, y_flat, dx_flat)
    elif code == SOFTMAX:
        for n in range(x.shape[0]):
            _softmax_row_backward(dy[n], y[n], dx[n])
