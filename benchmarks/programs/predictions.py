"""Predicts batches by NumPy's products and functions of `common`: 784-50-100-10, 100 rows at a time."""

import sys
import time

import numpy as np
from common.functions import sigmoid, softmax


def main(batches: int) -> None:
    generator = np.random.default_rng(0)
    widths = (784, 50, 100, 10)
    weights = [generator.normal(size=shape) / 10 for shape in zip(widths, widths[1:], strict=False)]  # noqa: RUF007
    x, total = generator.random((100, 784)), 0
    start = time.perf_counter()
    for _ in range(batches):
        z = sigmoid(np.dot(x, weights[0]))
        z = sigmoid(np.dot(z, weights[1]))
        total += int(softmax(np.dot(z, weights[2])).argmax(axis=1).sum())
    print(f"{total} {time.perf_counter() - start:.4f}")


if __name__ == "__main__":
    main(int(sys.argv[1]))
