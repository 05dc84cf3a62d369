"""Weights of samples and classes in `Network.fit`."""

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import SGD, Affine, Dropout, Network, Tanh, reference
from tests import shapes

N, D, H, K = 11, 5, 6, 3
X, T = shapes.numbers(1, N, D), shapes.targets("labels", N, K, np.float64)
COUNTS = np.array([2, 1, 0, 3, 1, 1, 2, 0, 1, 4, 1])
PLAIN: dict[str, Any] = {"optimizer": SGD(0.5), "shuffle": False, "progress": False}


def network(loss: Any = "softmax_cross_entropy", dtype: str = "float64", **options: Any) -> Network:
    return Network([Affine(D, H), Tanh(), Affine(H, K)], loss, rng=0, dtype=dtype, **options)


@pytest.mark.parametrize("loss", ["softmax_cross_entropy", "mean_squared_error"])
def test_whole_weights_are_repeated_samples(loss: Any) -> None:
    t = T if loss.startswith("softmax") else shapes.numbers(2, N, K)
    weighted, repeated = network(loss), network(loss)
    found = weighted.fit(X, t, epochs=3, batch_size=None, sample_weight=COUNTS, **PLAIN)
    expected = repeated.fit(
        np.repeat(X, COUNTS, axis=0), np.repeat(t, COUNTS, axis=0), epochs=3, batch_size=None, **PLAIN
    )
    np.testing.assert_allclose(found.loss, expected.loss, rtol=1e-12)
    for name, array in weighted.params.items():
        np.testing.assert_allclose(array, repeated.params[name], rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("shuffle", [False, True])
def test_mini_batches_are_those_of_numpy(shuffle: bool) -> None:
    net = network()
    layers = [("affine", D, H), ("tanh",), ("affine", H, K)]
    params = {name: array.copy() for name, array in net.params.items()}
    weights = np.linspace(0.5, 3.0, N)
    history = net.fit(X, T, epochs=1, batch_size=4, rng=5, sample_weight=weights, **{**PLAIN, "shuffle": shuffle})
    order = np.arange(N)
    if shuffle:
        np.random.default_rng(5).shuffle(order)
    total, share = 0.0, weights / weights.mean()
    for first in range(0, N, 4):
        rows = order[first : first + 4]
        found = [reference.network_gradient(layers, params, X[[i]], T[[i]]) for i in rows]
        total += sum(share[i] * loss for i, (loss, _) in zip(rows, found, strict=True))
        for name, array in params.items():
            array -= 0.5 * sum(share[i] * one[name] for i, (_, one) in zip(rows, found, strict=True)) / len(rows)
    np.testing.assert_allclose(history.loss[0], total / N, rtol=1e-12)
    for name, array in net.params.items():
        np.testing.assert_allclose(array, params[name], rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("targets", ["labels", "one_hot"])
def test_weights_of_classes_are_those_of_their_samples(targets: str) -> None:
    t = T if targets == "labels" else np.eye(K)[T]
    by_class, by_sample = network(), network()
    of_class = np.array([1.0, 5.0, 0.5])
    by_class.fit(X, t, epochs=2, batch_size=4, class_weight=of_class, sample_weight=COUNTS + 1, **PLAIN)
    by_sample.fit(X, t, epochs=2, batch_size=4, sample_weight=of_class[T] * (COUNTS + 1), **PLAIN)
    assert by_class.engine.values.tobytes() == by_sample.engine.values.tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_same_bits_on_any_number_of_threads(dtype: str) -> None:
    found = set()
    for parts in (1, 2, 3):
        net = Network([Affine(D, 70), Tanh(), Dropout(0.2), Affine(70, K)], rng=0, dtype=dtype, n_threads=parts)
        net.fit(X, T, epochs=3, batch_size=4, sample_weight=COUNTS, rng=1, progress=False)
        found.add(net.engine.values.tobytes())
    assert len(found) == 1


def test_equal_weights_change_nothing() -> None:
    plain, weighted = network(), network()
    plain.fit(X, T, epochs=2, **PLAIN)
    weighted.fit(X, T, epochs=2, sample_weight=np.full(N, 0.25), **PLAIN)
    np.testing.assert_allclose(weighted.engine.values, plain.engine.values, rtol=1e-13)


def test_cross_validation_takes_weights_of_classes() -> None:
    scores = fastnn.cross_validate(
        lambda rng: Network([Affine(D, K)], rng=rng), X, T, 2, rng=0, epochs=2, class_weight=[1.0, 2.0, 3.0]
    )
    assert np.isfinite(scores.loss).all()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"sample_weight": np.ones(3)}, ValueError, "sample_weight: expected a float64 array of shape (11,)"),
        ({"sample_weight": -COUNTS}, ValueError, "sample_weight: expected numbers of at least 0, got -4"),
        ({"sample_weight": 0 * COUNTS}, ValueError, "sample_weight: expected weights whose sum is above 0"),
        ({"sample_weight": COUNTS * np.nan}, ValueError, "sample_weight: expected finite values, got nan"),
        (
            {"class_weight": {0: 1.0}},
            TypeError,
            "class_weight: expected 3 numbers, one for each class, got a dict; pass them in order of the labels",
        ),
        ({"class_weight": [1.0, 2.0]}, ValueError, "class_weight: expected a float64 array of shape (3,)"),
        (
            {"sample_weight": COUNTS, "gradient": "numerical"},
            ValueError,
            "gradient: expected 'analytic' with sample weights, got 'numerical', which takes none",
        ),
    ],
)
def test_refused_before_anything_is_changed(options: dict[str, Any], error: type[Exception], message: str) -> None:
    net = network()
    before = net.engine.values.tobytes()
    with pytest.raises(error) as caught:
        net.fit(X, T, **options, **PLAIN)
    assert str(caught.value).startswith(message)
    assert net.engine.values.tobytes() == before


def test_weights_of_classes_where_there_are_none() -> None:
    with pytest.raises(ValueError, match=r"^class_weight: expected targets that are classes, got"):
        network("mean_squared_error").fit(X, shapes.numbers(2, N, K), class_weight=[1.0, 2.0, 3.0], progress=False)
    with pytest.raises(TypeError, match=r"^cross_validate: expected options of Network.fit .*, got 'sample_weight'"):
        fastnn.cross_validate(lambda rng: network(), X, T, sample_weight=COUNTS)


@pytest.mark.parametrize("name", ["sigmoid_cross_entropy", "hinge", "exponential", "log_loss"])
def test_weights_of_two_classes_by_one_output(name: Any) -> None:
    layers = [Affine(D, 1), *([fastnn.Sigmoid()] if name == "log_loss" else [])]
    classes = np.arange(N) % 2
    t = 2.0 * classes - 1 if name in ("hinge", "exponential") else classes.astype(float)
    found = []
    for weights in ({"class_weight": [1.0, 5.0]}, {"sample_weight": np.where(classes == 1, 5.0, 1.0)}, {}):
        net = Network(layers, name, rng=0)
        net.fit(X, t, epochs=2, batch_size=4, **weights, **PLAIN)
        found.append(net.params["W1"].tobytes())
    assert found[0] == found[1] != found[2]


def test_a_sample_of_weight_0_counts_for_nothing_whatever_its_loss() -> None:
    y, t, weights = [[1.0], [0.5]], [[0.0], [1.0]], [0.0, 2.0]  # the first loss is infinite
    loss, dy = fastnn.log_loss(y, t, sample_weight=weights)
    assert loss == pytest.approx(np.log(2)) and dy.tolist() == [[0.0], [-2.0]]
    net = Network([Affine(D, 1), fastnn.Sigmoid()], "log_loss", rng=0)
    x, targets = X.copy(), np.ones(N)
    x[3] *= 1e6
    targets[3] = float(net.predict(x)[3, 0] < 0.5)
    assert net.loss(x, targets) == np.inf
    history = net.fit(x, targets, epochs=1, batch_size=4, sample_weight=np.arange(N) != 3, **PLAIN)
    assert np.isfinite(history.loss[0]) and all(np.isfinite(array).all() for array in net.params.values())


def test_weights_of_any_size() -> None:
    """Their mean may be below the smallest number."""
    found = []
    for scale in (5e-324, 1.0, 1e300):
        net = network("softmax_cross_entropy")
        net.fit(X, T, epochs=2, batch_size=4, sample_weight=scale * (np.arange(N) == 2), **PLAIN)
        found.append(net.params["W1"].tobytes())
    assert found[1:] == found[:1] * 2
