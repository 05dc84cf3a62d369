"""Networks of images in NumPy, by products with the columns of all windows as in the book.

Images are kept as (C, N, H, W), so that a convolution is one product of all its windows. Each layer has its arrays
once, and writes into them in each call.
"""

from typing import Any

import numpy as np

from benchmarks.cases import Case
from benchmarks.data import Data
from benchmarks.expected import COMPARED_STEPS, LEARNING_RATE, reference
from benchmarks.images import WINDOW, case_layers
from benchmarks.peers import Target


class _Convolution:
    """y = W x + b over the columns of x, (C height width, N rows columns)."""

    def __init__(self, own: list[Any], N: int, side: int, padding: int) -> None:
        self.params, (filters, channels, size, _) = own, own[0].shape
        self.W = own[0].reshape(filters, -1)
        self.side = side + 2 * padding - size + 1
        padded = np.zeros((channels, N, side + 2 * padding, side + 2 * padding), np.float32)
        self.inside = padded[:, :, padding : padding + side, padding : padding + side]
        windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(2, 3))
        self.windows = windows.transpose(0, 4, 5, 1, 2, 3)
        self.columns = np.empty(self.windows.shape, np.float32)
        self.as_matrix = self.columns.reshape(self.W.shape[1], -1)
        self.y = np.empty((filters, N, self.side, self.side), np.float32)
        self.d_padded = np.empty_like(padded)
        self.dx = self.d_padded[:, :, padding : padding + side, padding : padding + side]

    def forward(self, x: Any) -> Any:
        np.copyto(self.inside, x)
        np.copyto(self.columns, self.windows)
        y = self.y.reshape(len(self.W), -1)
        np.matmul(self.W, self.as_matrix, out=y)
        y += self.params[1][:, None]
        return self.y

    def backward(self, dy: Any, is_first: bool) -> tuple[Any, list[Any]]:
        rows = dy.reshape(len(self.W), -1)
        gradients = [(rows @ self.as_matrix.T).reshape(self.params[0].shape), rows.sum(axis=1)]
        if is_first:
            return None, gradients
        shares = np.matmul(self.W.T, rows, out=self.as_matrix).reshape(self.columns.shape)
        self.d_padded.fill(0)
        for a, b in np.ndindex(shares.shape[1:3]):
            self.d_padded[:, :, a : a + self.side, b : b + self.side] += shares[:, a, b]
        return self.dx, gradients


class _MaxPool:
    """The largest elements of windows of 2 x 2."""

    def __init__(self, x: Any) -> None:
        self.x, self.dx = x, np.zeros_like(x)
        self.taller = np.empty_like(x[:, :, ::WINDOW])
        self.y = np.empty_like(x[:, :, ::WINDOW, ::WINDOW])

    def forward(self, x: Any) -> Any:
        np.maximum(x[:, :, ::WINDOW], x[:, :, 1::WINDOW], out=self.taller)
        return np.maximum(self.taller[..., ::WINDOW], self.taller[..., 1::WINDOW], out=self.y)

    def backward(self, dy: Any, is_first: bool) -> tuple[Any, list[Any]]:
        """The first of equal elements gets dy: what it got is subtracted before the next."""
        rest = dy.copy()
        for a, b in np.ndindex(WINDOW, WINDOW):
            place = self.dx[:, :, a::WINDOW, b::WINDOW]
            np.multiply(rest, self.x[:, :, a::WINDOW, b::WINDOW] == self.y, out=place)
            rest -= place
        return self.dx, []


class _Relu:
    """max(x, 0), in the array of x."""

    def forward(self, x: Any) -> Any:
        self.y = np.maximum(x, 0, out=x)
        return self.y

    def backward(self, dy: Any, is_first: bool) -> tuple[Any, list[Any]]:
        return np.multiply(dy, self.y > 0, out=dy), []


class _Flatten:
    """(C, N, H, W) to (N, C H W)."""

    def forward(self, x: Any) -> Any:
        self.shape = x.shape
        return x.transpose(1, 0, 2, 3).reshape(x.shape[1], -1)

    def backward(self, dy: Any, is_first: bool) -> tuple[Any, list[Any]]:
        channels, N, *image = self.shape
        return np.ascontiguousarray(dy.reshape(N, channels, *image).transpose(1, 0, 2, 3)), []


class _Affine:
    """y = x W + b."""

    def __init__(self, own: list[Any], N: int) -> None:
        self.params, self.y = own, np.empty((N, len(own[1])), np.float32)
        self.dW, self.db = np.empty_like(own[0]), np.empty_like(own[1])
        self.dx = np.empty((N, len(own[0])), np.float32)

    def forward(self, x: Any) -> Any:
        self.x = x
        return reference.affine_forward(x, *self.params, out=self.y)

    def backward(self, dy: Any, is_first: bool) -> tuple[Any, list[Any]]:
        reference.affine_backward(dy, self.x, self.params[0], out=(self.dx, self.dW, self.db))
        return self.dx, [self.dW, self.db]


class _Network:
    """The layers of a case, and copies of its parameters."""

    def __init__(self, case: Case, data: Data) -> None:
        self.params = [value.copy() for value in data["params"].values()]
        self.layers: list[Any] = []
        (N, side), given = case.sizes, iter(self.params)
        for name, *sizes in case_layers(case):
            if name == "conv2d":
                self.layers.append(_Convolution([next(given), next(given)], N, side, sizes[-1]))
                side = self.layers[-1].side
            elif name == "max_pool2d":
                self.layers.append(_MaxPool(self.layers[-2].y))
                side //= WINDOW
            elif name == "affine":
                self.layers.append(_Affine([next(given), next(given)], N))
            else:
                self.layers.append(_Flatten() if name == "flatten" else _Relu())

    def predict(self, x: Any) -> Any:
        x = x.transpose(1, 0, 2, 3)
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def step(self, x: Any, t: Any) -> float:
        loss, dy = reference.softmax_cross_entropy(self.predict(x), t)
        for place, layer in reversed(list(enumerate(self.layers))):
            dy, gradients = layer.backward(dy, place == 0)
            for gradient, parameter in zip(gradients, getattr(layer, "params", ()), strict=True):
                gradient *= LEARNING_RATE
                parameter -= gradient
        return float(loss)


def step(case: Case, data: Data, threads: int) -> Target:
    network, x, t = _Network(case, data), data["x"], data["t"]
    return Target(
        lambda: network.step(x, t), lambda losses: [np.array(losses), *network.params], compared=COMPARED_STEPS
    )


def predict(case: Case, data: Data, threads: int) -> Target:
    network, x = _Network(case, data), data["x"]
    return Target(lambda: network.predict(x), lambda results: results)
