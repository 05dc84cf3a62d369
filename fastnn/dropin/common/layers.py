"""Layers of the first volume (Saito, 2016, chapters 5 to 7).

They keep the very arrays that they are given. Products, activations and windows of images go to kernels where these
take the arrays.
"""

from typing import Any

import numpy as np

from fastnn.dropin import backend, observed, windows
from fastnn.dropin.base import Layer
from fastnn.dropin.common.functions import (
    cross_entropy_error,
    identity_function,
    mean_squared_error,
    relu,
    relu_grad,
    sigmoid,
    sigmoid_grad,
    softmax,
    softmax_loss,
    step_function,
    sum_squared_error,
)
from fastnn.dropin.common.util import col2im, im2col
from fastnn.observing.tape import CONVOLUTION, MAX_POOL, are_observed

__all__ = [
    "Affine",
    "BatchNormalization",
    "Convolution",
    "Dropout",
    "Pooling",
    "Relu",
    "Sigmoid",
    "SoftmaxWithLoss",
    "col2im",
    "cross_entropy_error",
    "identity_function",
    "im2col",
    "mean_squared_error",
    "np",
    "relu",
    "relu_grad",
    "sigmoid",
    "sigmoid_grad",
    "softmax",
    "softmax_loss",
    "step_function",
    "sum_squared_error",
]

EPSILON = 1e-6  # added to the variance of a batch


class Relu(Layer):
    """x where x > 0, else 0."""

    def __init__(self) -> None:
        self.mask: Any = None

    def forward(self, x: Any) -> Any:
        self.mask = x <= 0
        out = x.copy()
        backend.clear(out, self.mask)
        return out

    def backward(self, dout: Any) -> Any:
        """dout itself, which is overwritten."""
        backend.clear(dout, self.mask)
        return dout


class Sigmoid(Layer):
    """1 / (1 + exp(-x))."""

    def __init__(self) -> None:
        self.out: Any = None

    def forward(self, x: Any) -> Any:
        self.out = sigmoid(x)
        return self.out

    def backward(self, dout: Any) -> Any:
        return dout * (1.0 - self.out) * self.out


class Affine(Layer):
    """x W + b, with the rows of x (N, ...) flattened."""

    def __init__(self, W: Any, b: Any) -> None:
        self.W, self.b = W, b
        self.x: Any = None
        self.original_x_shape: Any = None
        self.dW: Any = None
        self.db: Any = None

    def forward(self, x: Any) -> Any:
        self.original_x_shape = x.shape
        self.x = x.reshape(x.shape[0], -1)
        out = backend.affine(self.x, self.W, self.b)
        return np.dot(self.x, self.W) + self.b if out is None else out

    def backward(self, dout: Any) -> Any:
        results = backend.affine_backward(dout, self.x, self.W)
        if results is None:
            results = np.dot(dout, self.W.T), np.dot(self.x.T, dout), np.sum(dout, axis=0)
        dx, self.dW, self.db = results
        return dx.reshape(*self.original_x_shape)


class SoftmaxWithLoss(Layer):
    """The cross entropy of the softmax, for labels or one-hot rows."""

    def __init__(self) -> None:
        self.loss: Any = None
        self.y: Any = None
        self.t: Any = None

    def forward(self, x: Any, t: Any) -> Any:
        self.t, self.y = t, softmax(x)
        self.loss = cross_entropy_error(self.y, self.t)
        return self.loss

    def backward(self, dout: Any = 1) -> Any:
        """(y - t) / N, whatever dout is."""
        count = self.t.shape[0]
        if self.t.size == self.y.size:
            return (self.y - self.t) / count
        dx = self.y.copy()
        dx[np.arange(count), self.t] -= 1
        return dx / count


class Dropout(Layer):
    """x where a random number is above the ratio, else 0; not rescaled. Without training, x times 1 - ratio."""

    def __init__(self, dropout_ratio: float = 0.5) -> None:
        self.dropout_ratio = dropout_ratio
        self.mask: Any = None

    def forward(self, x: Any, train_flg: bool = True) -> Any:
        if not train_flg:
            return x * (1.0 - self.dropout_ratio)
        self.mask = np.random.rand(*x.shape) > self.dropout_ratio  # noqa: NPY002 - the generator the books seed
        return x * self.mask

    def backward(self, dout: Any) -> Any:
        return dout * self.mask


class BatchNormalization(Layer):
    """gamma (x - mean) / sqrt(variance + 1e-6) + beta, over the batch; without training by running values."""

    def __init__(
        self, gamma: Any, beta: Any, momentum: float = 0.9, running_mean: Any = None, running_var: Any = None
    ) -> None:
        self.gamma, self.beta, self.momentum = gamma, beta, momentum
        self.running_mean, self.running_var = running_mean, running_var
        self.input_shape: Any = None
        self.batch_size: Any = None
        self.xc: Any = None
        self.std: Any = None
        self.dgamma: Any = None
        self.dbeta: Any = None

    def forward(self, x: Any, train_flg: bool = True) -> Any:
        self.input_shape = x.shape
        if x.ndim != 2:
            N, _, _, _ = x.shape
            x = x.reshape(N, -1)
        return self._forward(x, train_flg).reshape(*self.input_shape)

    def _forward(self, x: Any, train_flg: bool) -> Any:
        if self.running_mean is None:
            self.running_mean, self.running_var = np.zeros(x.shape[1]), np.zeros(x.shape[1])
        if not train_flg:
            return self.gamma * ((x - self.running_mean) / np.sqrt(self.running_var + EPSILON)) + self.beta
        mean = x.mean(axis=0)
        xc = x - mean
        variance = np.mean(xc**2, axis=0)
        self.std = np.sqrt(variance + EPSILON)
        self.batch_size, self.xc, self.xn = x.shape[0], xc, xc / self.std
        self.running_mean = self.momentum * self.running_mean + (1 - self.momentum) * mean
        self.running_var = self.momentum * self.running_var + (1 - self.momentum) * variance
        return self.gamma * self.xn + self.beta

    def backward(self, dout: Any) -> Any:
        flat = dout
        if dout.ndim != 2:
            flat = dout.reshape(dout.shape[0], -1)
        self.dbeta, self.dgamma = flat.sum(axis=0), np.sum(self.xn * flat, axis=0)
        dxn = self.gamma * flat
        dstd = -np.sum(dxn * self.xc / (self.std * self.std), axis=0)
        dxc = dxn / self.std + self.xc * (dstd / self.std) / self.batch_size
        return (dxc - np.sum(dxc, axis=0) / self.batch_size).reshape(*self.input_shape)


class Convolution(Layer):
    """The scalar products of filters W (FN, C, FH, FW) with the windows of images (N, C, H, W), plus b (FN,)."""

    def __init__(self, W: Any, b: Any, stride: int = 1, pad: int = 0) -> None:
        self.W, self.b, self.stride, self.pad = W, b, stride, pad
        self.x: Any = None
        self.col: Any = None
        self.col_W: Any = None
        self.dW: Any = None
        self.db: Any = None

    def __getattr__(self, name: str) -> Any:
        """The windows of the last images, `col`, made when they are asked for, where a kernel did without them."""
        if name != "col" or self.__dict__.get("x") is None:
            raise AttributeError(f"{type(self).__name__} has no attribute {name}")
        _, _, FH, FW = self.W.shape
        self.col = im2col(self.x, FH, FW, self.stride, self.pad)
        return self.col

    def forward(self, x: Any) -> Any:
        if are_observed(x, self.W, self.b):
            return observed.forward(self, Convolution, CONVOLUTION, x, ("W", "b"), ("stride", "pad"))
        FN, _, FH, FW = self.W.shape
        N, _, H, W = x.shape
        rows, columns = 1 + (H + 2 * self.pad - FH) // self.stride, 1 + (W + 2 * self.pad - FW) // self.stride
        self.x, self.col_W = x, self.W.reshape(FN, -1).T
        self.__dict__.pop("col", None)  # of other images
        out = backend.convolution(x, self.W, self.b, self.stride, self.pad)
        if out is None:
            self.col = im2col(x, FH, FW, self.stride, self.pad)
            out = np.dot(self.col, self.col_W) + self.b
            out = out.reshape(N, rows, columns, -1).transpose(0, 3, 1, 2)
        return out

    def backward(self, dout: Any) -> Any:
        FN, C, FH, FW = self.W.shape
        results = backend.convolution_backward(dout, self.x, self.W, self.stride, self.pad)
        if results is not None:
            dx, self.dW, self.db = results
            return dx
        rows = dout.transpose(0, 2, 3, 1).reshape(-1, FN)
        self.db, dW = np.sum(rows, axis=0), np.dot(self.col.T, rows)
        self.dW = dW.transpose(1, 0).reshape(FN, C, FH, FW)
        return col2im(np.dot(rows, self.col_W.T), self.x.shape, FH, FW, self.stride, self.pad)


class Pooling(Layer):
    """The largest element of each window, the first of equal ones."""

    def __init__(self, pool_h: int, pool_w: int, stride: int = 2, pad: int = 0) -> None:
        self.pool_h, self.pool_w, self.stride, self.pad = pool_h, pool_w, stride, pad
        self.x: Any = None
        self.arg_max: Any = None

    def forward(self, x: Any) -> Any:
        if self.pad:
            raise ValueError(f"pad: expected 0, as the book's pooling does not work with padding, got {self.pad}")
        if are_observed(x):
            return observed.forward(self, Pooling, MAX_POOL, x, (), ("pool_h", "pool_w", "stride"))
        out, places = windows.max_pool(x, self.pool_h, self.pool_w, self.stride)
        self.x, self.arg_max = x, places.reshape(-1)
        return out

    def backward(self, dout: Any) -> Any:
        """The gradient as a view into a larger float64 array, which the layer before may overwrite."""
        shape = self.x.shape
        images = windows.max_pool_backward(dout, self.arg_max, shape, self.pool_h, self.pool_w, self.stride)
        return images[:, :, : shape[2], : shape[3]]
