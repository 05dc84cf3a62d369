"""Trains a recurrent language model by truncated back-propagation, with its own layers beside `common`'s."""

import sys
import time
from typing import Any

import numpy as np
from common.functions import softmax
from common.optimizer import SGD

WORDS, WIDTH, ROWS, STEPS = 418, 100, 10, 5


class Recurrent:
    """h = tanh(h Wh + x Wx + b), one step after another."""

    def __init__(self, Wx: Any, Wh: Any, b: Any) -> None:
        self.params, self.grads = [Wx, Wh, b], [np.zeros_like(a) for a in (Wx, Wh, b)]
        self.h: Any = None
        self.kept: list[Any] = []

    def forward(self, xs: Any) -> Any:
        Wx, Wh, b = self.params
        self.h = np.zeros((len(xs), len(Wh))) if self.h is None else self.h
        self.kept, hs = [], np.empty((*xs.shape[:2], len(Wh)))
        for t in range(xs.shape[1]):
            before = self.h
            self.h = np.tanh(np.dot(before, Wh) + np.dot(xs[:, t], Wx) + b)
            self.kept.append((xs[:, t], before, self.h))
            hs[:, t] = self.h
        return hs

    def backward(self, dhs: Any) -> Any:
        (Wx, Wh, _), dxs, dh = self.params, np.empty_like(dhs), 0.0
        for grad in self.grads:
            grad[...] = 0.0
        for t, (x, before, h) in reversed(list(enumerate(self.kept))):
            dz = (dhs[:, t] + dh) * (1 - h**2)
            self.grads[0] += np.dot(x.T, dz)
            self.grads[1] += np.dot(before.T, dz)
            self.grads[2] += dz.sum(axis=0)
            dxs[:, t], dh = np.dot(dz, Wx.T), np.dot(dz, Wh.T)
        return dxs


def main(iterations: int) -> None:
    generator = np.random.default_rng(0)
    text = generator.integers(0, WORDS, 1000)
    words = 0.01 * generator.normal(size=(WORDS, WIDTH))
    W, b = generator.normal(size=(WIDTH, WORDS)) / 10, np.zeros(WORDS)
    weights = [generator.normal(size=(WIDTH, WIDTH)) / 10 for _ in range(2)]
    recurrent = Recurrent(*weights, np.zeros(WIDTH))
    dwords, dW, db = np.zeros_like(words), np.zeros_like(W), np.zeros_like(b)
    params, grads = [words, W, b, *recurrent.params], [dwords, dW, db, *recurrent.grads]
    optimizer, offsets, losses = SGD(0.1), np.arange(ROWS) * 99, 0.0
    start = time.perf_counter()
    for i in range(iterations):
        places = (offsets[:, None] + i * STEPS + np.arange(STEPS)) % 999
        xs, ts = text[places], text[places + 1].ravel()
        hs = recurrent.forward(words[xs])
        flat = hs.reshape(-1, WIDTH)
        ys = softmax(np.dot(flat, W) + b)
        losses -= np.log(ys[np.arange(len(ts)), ts]).mean()
        dout = ys
        dout[np.arange(len(ts)), ts] -= 1
        dout /= len(ts)
        dW[...], db[...] = np.dot(flat.T, dout), dout.sum(axis=0)
        dwords[...] = 0.0
        np.add.at(dwords, xs, recurrent.backward(np.dot(dout, W.T).reshape(hs.shape)))
        optimizer.update(params, grads)
    print(f"{losses / iterations:.6f} {time.perf_counter() - start:.4f}")


if __name__ == "__main__":
    main(int(sys.argv[1]))
