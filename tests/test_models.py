"""The names of fastnn.models, and the two ways of back-propagation that its documentation tells apart."""

import inspect
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import models, reference
from tests.shapes import Array, numbers
from tests.tolerances import assert_close

LAYERS = [("affine", 4, 5), ("sigmoid",), ("affine", 5, 3)]
ROWS = 12


def network(loss: Any) -> fastnn.Network:
    layers = [fastnn.Affine(4, 5), fastnn.Sigmoid(), fastnn.Affine(5, 3)]
    return fastnn.Network(layers, loss=loss, rng=0, dtype="float64")


def problem(loss: Any) -> tuple[Array, Array]:
    x, labels = numbers(1, ROWS, 4), np.random.default_rng(2).integers(0, 3, ROWS)
    return x, labels if loss == "softmax_cross_entropy" else numbers(3, ROWS, 3)


def test_names() -> None:
    assert len(set(models.__all__)) == len(models.__all__)
    for name in models.__all__:
        assert inspect.getdoc(getattr(models, name)), name
    assert fastnn.models is models


@pytest.mark.parametrize("loss", ["softmax_cross_entropy", "mean_squared_error"])
@pytest.mark.parametrize("batch_size", [1, None])
def test_standard_and_accumulated_back_propagation(loss: Any, batch_size: int | None) -> None:
    """Standard: an update for each sample. Accumulated: one update for the mean gradient of all samples."""
    x, t = problem(loss)
    net = network(loss)
    params = {name: value.copy() for name, value in net.params.items()}
    net.fit(x, t, epochs=3, batch_size=batch_size, shuffle=False, optimizer=fastnn.SGD(lr=0.5), progress=False)
    for _ in range(3):
        batches = [slice(None)] if batch_size is None else [slice(n, n + 1) for n in range(ROWS)]
        for rows in batches:
            _, gradients = reference.network_gradient(LAYERS, params, x[rows], t[rows], loss)
            for name, gradient in gradients.items():
                params[name] -= 0.5 * gradient
    assert set(params) == set(net.params)
    for name, value in params.items():
        assert_close(net.params[name], value)


def test_accumulated_gradient_is_the_mean_of_those_of_the_samples() -> None:
    x, t = problem("mean_squared_error")
    net = network("mean_squared_error")
    alone = [net.gradient(x[n : n + 1], t[n : n + 1]) for n in range(ROWS)]
    for name, gradient in net.gradient(x, t).items():
        assert_close(gradient, np.mean([each[name] for each in alone], axis=0))
