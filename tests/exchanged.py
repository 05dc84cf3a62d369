"""Networks to exchange: with every layer that others have, trained a little, so that nothing is at its start."""

from typing import Any

import numpy as np

import fastnn

INPUTS, OUTPUTS = 6, 3
ACTIVATIONS = [
    fastnn.Identity(), fastnn.Relu(), fastnn.LeakyRelu(0.1), fastnn.Elu(0.7), fastnn.Sigmoid(), fastnn.Tanh(),
    fastnn.Gelu(), fastnn.Silu(), fastnn.Softplus(), fastnn.Step(), fastnn.Step(1.0), fastnn.PRelu(0.3),
]  # fmt: skip
FLOATS = ["float32", "float64"]


def rows(dtype: Any, count: int = 40) -> Any:
    return (3.0 * np.random.default_rng(2).standard_normal((count, INPUTS))).astype(dtype)


def trained(layers: list[Any], dtype: Any, **options: Any) -> fastnn.Network:
    """A network of these layers after some steps on random targets."""
    network = fastnn.Network(layers, dtype=dtype, rng=1, **options)
    rng = np.random.default_rng(3)
    x = rng.standard_normal((60, *network.input_shape)).astype(dtype)
    t = rng.integers(0, network.outputs, 60)
    if network.loss_name not in ("softmax_cross_entropy", "cross_entropy"):
        t = rng.random((60, network.outputs)).astype(dtype)
    network.fit(x, t, epochs=3, batch_size=20, optimizer=fastnn.SGD(lr=0.1), rng=0)
    return network


def with_activation(layer: Any, dtype: Any) -> fastnn.Network:
    """A network with an activation, dropout and batch normalization."""
    layers = [
        fastnn.Affine(INPUTS, 8),
        fastnn.BatchNorm(0.8, 1e-3),
        layer,
        fastnn.Dropout(0.25),
        fastnn.Affine(8, OUTPUTS),
    ]
    return trained(layers, dtype)


def assert_predicts(network: fastnn.Network, x: Any, expected: Any, tolerance: float = 1e-12) -> None:
    """Compare predictions up to the dtype's rounding or a larger tolerance."""
    tolerance = 1e-5 if network.dtype == np.float32 else tolerance
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(network.predict(x), expected, rtol=tolerance, atol=tolerance)


def assert_same(a: fastnn.Network, b: fastnn.Network) -> None:
    """Compare layers, loss, parameters and statistics."""
    assert str(a) == str(b)
    for one, other in ((a.params, b.params), (a.statistics, b.statistics)):
        assert list(one) == list(other)
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])
