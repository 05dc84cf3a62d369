"""Trains 784-200-200-10 on batches of 200 by layers of `common`."""

import sys
import time

import numpy as np
from common.functions import softmax
from common.layers import Affine, Sigmoid
from common.optimizer import SGD


def main(steps: int) -> None:
    generator = np.random.default_rng(0)
    widths = (784, 200, 200, 10)
    layers: list[Affine | Sigmoid] = []
    for inputs, outputs in zip(widths, widths[1:], strict=False):  # noqa: RUF007
        layers += [Affine(generator.normal(size=(inputs, outputs)) / inputs**0.5, np.zeros(outputs)), Sigmoid()]
    del layers[-1]
    params, grads = [p for layer in layers for p in layer.params], [g for layer in layers for g in layer.grads]
    x, t, optimizer, losses = generator.random((200, 784)), generator.integers(0, 10, 200), SGD(0.1), 0.0
    start = time.perf_counter()
    for _ in range(steps):
        y = x
        for layer in layers:
            y = layer.forward(y)
        y = softmax(y)
        losses -= np.log(y[np.arange(200), t]).mean()
        y[np.arange(200), t] -= 1
        dout = y / 200
        for layer in reversed(layers):
            dout = layer.backward(dout)
        optimizer.update(params, grads)
    print(f"{losses / steps:.6f} {time.perf_counter() - start:.4f}")


if __name__ == "__main__":
    main(int(sys.argv[1]))
