"""Layers that training leaves as they are, and factors of the learning rate, beside plain NumPy."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import (
    SGD,
    AdaGrad,
    Adam,
    AdamW,
    Affine,
    BatchNorm,
    Momentum,
    Nesterov,
    Network,
    PRelu,
    Regularization,
    Relu,
    RMSProp,
    Tanh,
    reference,
)
from fastnn.kernels.compile import JIT_DISABLED
from fastnn.optimizers import Optimizer
from tests import shapes
from tests.test_optimizers import twin

N, D, H, K = 12, 5, 4, 3
X, T = shapes.numbers(1, N, D), shapes.targets("labels", N, K, np.float64)
FACTORS = [0.5, 0.0, 2.0]  # of the three affine layers; 0 for the frozen one
LAYERS = [("affine", D, H), ("tanh",), ("affine", H, H), ("tanh",), ("affine", H, K)]
CLIPS = [{}, {"clip_norm": 0.05}, {"clip_value": 0.01}, {"clip_norm": 0.05, "clip_value": 0.01}]
KINDS = [SGD, Momentum, Nesterov, AdaGrad, RMSProp, Adam, AdamW]


def affine(inputs: int, outputs: int, factor: float) -> Affine:
    if factor == 0.0:
        return Affine(inputs, outputs, trainable=False)
    return Affine(inputs, outputs, learning_rate_factor=factor)


def network(factors: list[float] = FACTORS, dtype: str = "float64", **options: Any) -> Network:
    first, second, third = factors
    layers = [affine(D, H, first), Tanh(), affine(H, H, second), Tanh(), affine(H, K, third)]
    return Network(layers, rng=0, dtype=dtype, **options)


def of_layer(named: dict[str, Any], number: int) -> dict[str, Any]:
    return {name: value for name, value in named.items() if name[1:] == str(number)}


def clip(gradient: dict[str, Any], clip_norm: float = np.inf, clip_value: float = np.inf) -> dict[str, Any]:
    norm = np.sqrt(sum((g**2).sum() for g in gradient.values()))
    return {name: np.clip(g * min(1.0, clip_norm / norm), -clip_value, clip_value) for name, g in gradient.items()}


class Twin:
    """Training in plain NumPy, each layer's update by itself."""

    def __init__(self, net: Network, factors: list[float], optimizer: Optimizer, clips: dict[str, float]) -> None:
        self.params = {name: array.astype(np.float64) for name, array in net.params.items()}
        self.state = [{name: np.zeros_like(array) for name, array in self.params.items()} for _ in range(2)]
        self.factors, self.optimizer, self.clips, self.steps = factors, optimizer, clips, 0

    def step(self, x: Any, t: Any, l2: float = 0.0) -> None:
        gradient = reference.network_gradient(LAYERS, self.params, x, t)[1]
        gradient = {name: g + (l2 * self.params[name] if name[0] == "W" else 0.0) for name, g in gradient.items()}
        moved = {name: g for name, g in gradient.items() if self.factors[int(name[1:]) - 1] != 0.0}
        moved, self.steps = clip(moved, **self.clips), self.steps + 1
        for number, factor in enumerate(self.factors, start=1):
            if factor != 0.0:
                named: list[dict[str, Any]] = [self.params, moved, *self.state]
                own = [of_layer(one, number) for one in named]
                rated: Any = type(self.optimizer)(lr=self.optimizer.lr * factor)
                twin(rated, own[0], own[1], own[2:], self.steps)


def check(net: Network, wanted: Twin) -> None:
    for name, array in net.params.items():
        np.testing.assert_allclose(array, wanted.params[name], rtol=1e-9, atol=1e-11)
    places = net.engine.places
    for vector, named in zip(net.engine.state, wanted.state, strict=False):
        for name, (start, shape) in places.items():
            kept = vector[start : start + int(np.prod(shape))].reshape(shape)
            np.testing.assert_allclose(kept, named[name], rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("factors", [FACTORS, [0.0, 0.0, 1.0], [0.0, 3.0, 0.0], [1.0, 0.25, 1.0]], ids=str)
@pytest.mark.parametrize("clips", CLIPS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_every_optimizer_beside_numpy(kind: Any, clips: dict[str, float], factors: list[float]) -> None:
    """By steps on one and on several samples; the frozen layers keep their bits and have no state."""
    net, optimizer = network(factors), kind(lr=0.1, **clips)
    before, wanted = net.params.copy(), Twin(net, factors, kind(lr=0.1), clips)
    for rows in (1, 1, N, N, 1, 5):
        net.step(X[:rows], T[:rows], optimizer)
        wanted.step(X[:rows], T[:rows])
    check(net, wanted)
    for number, factor in enumerate(factors, start=1):
        if factor == 0.0:
            for name, array in of_layer(dict(net.params), number).items():
                np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize("batch_size", [1, 5, None])
@pytest.mark.parametrize("clips", CLIPS[:2], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_fit_with_a_penalty(dtype: str, clips: dict[str, float], batch_size: int | None) -> None:
    net = network(dtype=dtype, regularization=Regularization(l2=0.1))
    wanted = Twin(net, FACTORS, Momentum(0.1), clips)
    net.fit(X, T, epochs=2, batch_size=batch_size, optimizer=Momentum(0.1, **clips), shuffle=False, progress=False)
    size = batch_size or N
    for _ in range(2):
        for first in range(0, N, size):
            wanted.step(X[first : first + size], T[first : first + size], 0.1)
    rounding = 1e-4 if dtype == "float32" else 1e-10
    for name, array in net.params.items():
        np.testing.assert_allclose(array, wanted.params[name], rtol=rounding, atol=0.1 * rounding)


@pytest.mark.parametrize("clips", CLIPS[:2], ids=str)
def test_numerical_gradients_train_alike(clips: Any) -> None:
    nets = [network() for _ in range(2)]
    for net, gradient in zip(nets, ("analytic", "numerical"), strict=True):
        options: Any = {"gradient": gradient}
        net.fit(X, T, epochs=3, batch_size=5, optimizer=Adam(0.01, **clips), rng=0, progress=False, **options)
    for name, array in nets[0].params.items():
        np.testing.assert_allclose(array, nets[1].params[name], rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(nets[1].params["W2"], network().params["W2"])


@pytest.mark.skipif(JIT_DISABLED, reason="takes long with NUMBA_DISABLE_JIT=1")
@pytest.mark.parametrize("factors", [[0.0, 1.0, 1.0], [0.5, 0.0, 1.0]], ids=str)
@pytest.mark.parametrize("batch_size", [1, 40, 100])
def test_sparse_rows_on_any_number_of_threads(batch_size: int, factors: list[float]) -> None:
    """Rows by an index, the next batch's product as weights leave the update, and outer products of one sample."""
    rng, found = np.random.default_rng(0), []
    x = (rng.random((300, 400)) * (rng.random((300, 400)) < 0.1)).astype(np.float32)
    t = rng.integers(K, size=300)
    for n_threads in (1, 2):
        layers = [affine(400, 30, factors[0]), Relu(), affine(30, 20, factors[1]), Relu(), affine(20, K, factors[2])]
        net = Network(layers, rng=0, n_threads=n_threads)
        net.fit(x, t, epochs=2, batch_size=batch_size, optimizer=SGD(0.1), rng=0, progress=False)
        found.append(net)
    by_steps = Network(found[0].layers, rng=0)
    generator = np.random.default_rng(0)
    for _ in range(2):
        order = generator.permutation(300)
        for first in range(0, 300, batch_size):
            some = order[first : first + batch_size]
            by_steps.step(x[some], t[some], SGD(0.1))
    for name, array in found[0].params.items():
        np.testing.assert_array_equal(array, found[1].params[name])
        np.testing.assert_allclose(array, by_steps.params[name], rtol=1e-4, atol=1e-6)
    frozen = f"W{1 + factors.index(0.0)}"
    np.testing.assert_array_equal(found[0].params[frozen], Network(found[0].layers, rng=0).params[frozen])


def test_gradients_and_checks_have_all_tensors() -> None:
    net, plain = network(), network([1.0] * 3)
    analytic, numerical = net.gradient(X, T), net.numerical_gradient(X, T)
    for name, array in plain.gradient(X, T).items():
        np.testing.assert_array_equal(analytic[name], array)
        np.testing.assert_allclose(numerical[name], array, rtol=1e-6, atol=1e-9)
    assert fastnn.check_gradients(net, X, T).passed
    assert net.loss(X, T) == plain.loss(X, T)


# --- batch normalization ----------------------------------------------------------------------------------------------


def normalized(*trainable: bool) -> Network:
    first, second = (BatchNorm(trainable=one) for one in trainable)
    return Network([Affine(D, H), first, Relu(), Affine(H, H), second, PRelu(), Affine(H, K)], rng=0, dtype="float64")


@pytest.mark.parametrize("trainable", [(False, True), (True, False), (False, False)], ids=str)
def test_frozen_batch_normalization_uses_what_it_has_learned(trainable: tuple[bool, bool]) -> None:
    """Beside networks in which the frozen one is two layers of fixed numbers, y = x W + b with a diagonal W."""
    net = normalized(*trainable)
    for number in (1, 2):
        net.statistics[f"mean{number}"][...] = shapes.numbers(number, H)
        net.statistics[f"variance{number}"][...] = 0.5 + np.abs(shapes.numbers(number + 5, H))
        net.params[f"gamma{number}"][...] = 1.0 + 0.1 * shapes.numbers(number + 7, H)
    before = {**net.params.copy(), **net.statistics.copy()}
    layers: list[Any] = [Affine(D, H), BatchNorm(), Relu(), Affine(H, H), BatchNorm(), PRelu(), Affine(H, K)]
    for place, is_trained in zip((1, 4), trainable, strict=True):
        if not is_trained:
            layers[place] = Affine(H, H, trainable=False)
    beside = Network(layers, rng=0, dtype="float64")
    own, norms = iter(n for n in ("W1", "b1", "W2", "b2", "W3", "b3")), 0
    affine_number = 0
    for layer, is_norm in zip(layers, (0, 1, 0, 0, 1, 0, 0), strict=True):
        norms += is_norm
        if isinstance(layer, Affine):
            affine_number += 1
            W, b = beside.params[f"W{affine_number}"], beside.params[f"b{affine_number}"]
            if is_norm:
                factor = before[f"gamma{norms}"] / np.sqrt(before[f"variance{norms}"] + 1e-5)
                W[...], b[...] = np.diag(factor), before[f"beta{norms}"] - before[f"mean{norms}"] * factor
            else:
                W[...], b[...] = before[next(own)], before[next(own)]
        elif is_norm:
            kept = sum(isinstance(one, BatchNorm) for one in layers[: layers.index(layer) + 1])
            for key in ("mean", "variance"):
                beside.statistics[f"{key}{kept}"][...] = before[f"{key}{norms}"]
            beside.params[f"gamma{kept}"][...] = before[f"gamma{norms}"]
    for _ in range(3):
        losses = [one.step(X, T, Momentum(0.1)) for one in (net, beside)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-12)
    np.testing.assert_allclose(net.predict(X), beside.predict(X), rtol=1e-11)
    for number, is_trained in enumerate(trainable, start=1):
        for name in (f"gamma{number}", f"beta{number}", f"mean{number}", f"variance{number}"):
            after = {**net.params, **net.statistics}[name]
            assert np.array_equal(after, before[name]) == (not is_trained)


def test_without_statistics_of_batches_a_batch_of_one_row_is_taken() -> None:
    net = normalized(False, False)
    loss = net.loss(X[:1], T[:1])
    assert net.step(X[:1], T[:1], SGD(0.1)) == pytest.approx(loss, rel=1e-12)
    assert net.fit(X[:9], T[:9], epochs=1, batch_size=4, gradient="numerical", progress=False).epochs == 1
    with pytest.raises(ValueError, match="at least 2 rows"):
        normalized(False, True).step(X[:1], T[:1], SGD(0.1))


# --- what is kept of it -----------------------------------------------------------------------------------------------


def test_files_copies_and_texts_say_it(tmp_path: Any) -> None:
    net = Network([affine(D, H, 0.5), PRelu(trainable=False), Affine(H, K)], rng=0)
    assert "PRelu(0.25, trainable=False)" in repr(net) and "learning_rate_factor=0.5" in net.summary()
    assert "float32, 39 are trained" in net.summary()
    net.step(X, T, Adam(0.01))
    net.save(tmp_path / "net.npz")
    nets = [net, fastnn.load(tmp_path / "net.npz"), copy.deepcopy(net), copy.copy(net), pickle.loads(pickle.dumps(net))]
    for one in nets:
        assert list(one.layers) == list(net.layers)
        one.step(X, T, Adam(0.01))
        for name, array in one.params.items():
            np.testing.assert_array_equal(array, net.params[name])
    assert (net.params["slope1"] == 0.25).all() and net.params["W1"].any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trainable": 1}, "trainable: expected True or False"),
        ({"learning_rate_factor": 0}, "above 0, got 0; pass trainable=False"),
        ({"learning_rate_factor": -1.0}, "learning_rate_factor: expected a finite number"),
        ({"learning_rate_factor": np.nan}, "learning_rate_factor: expected a finite number"),
        ({"learning_rate_factor": "0.1"}, "learning_rate_factor: expected a"),
    ],
)
def test_bad_options_are_refused(options: Any, message: str) -> None:
    for make in (lambda: Affine(2, 3, **options), lambda: BatchNorm(**options), lambda: PRelu(**options)):
        with pytest.raises((TypeError, ValueError), match=message):
            make()
    with pytest.raises(ValueError, match=r"layers\[0\].learning_rate_factor"):
        Network([Affine(2, 3, learning_rate_factor=1e300)])


@pytest.mark.parametrize("optimizer", [SGD(0.1), Momentum(0.1, clip_norm=0.05)], ids=repr)
def test_convolutions(optimizer: Optimizer) -> None:
    """A frozen first one, and a factor of the second, beside one of an ordinary one at that rate."""
    x, t = shapes.numbers(3, 6, 1, 6, 6), np.arange(6) % K
    made = []
    for factor in (0.5, 1.0):
        second = fastnn.Conv2d(2, 3, 2, learning_rate_factor=factor)
        layers = [fastnn.Conv2d(1, 2, 3, trainable=False), Relu(), second, fastnn.Flatten(), Affine(27, K)]
        made.append(Network(layers, rng=0, dtype="float64", input_shape=(1, 6, 6)))
    before = made[0].params.copy()
    assert "Conv2d(1, 2, 3, trainable=False)" in repr(made[0])
    for net in made:
        net.step(x, t, optimizer)
    for name, array in made[0].params.items():
        share = 0.0 if name[1] == "1" else 0.5 if name[1] == "2" else 1.0
        np.testing.assert_allclose(
            array - before[name], share * (made[1].params[name] - before[name]), rtol=1e-9, atol=1e-15
        )
        assert np.array_equal(array, before[name]) == (share == 0.0)


@pytest.mark.parametrize("optimizer", [SGD(0.1), Adam(0.01, clip_norm=0.05)], ids=repr)
def test_several_tasks(optimizer: Optimizer) -> None:
    """A trunk that is partly frozen and one head, beside one network of all layers."""
    layers = [affine(D, H, 0.0), Tanh(), affine(H, H, 0.5), Tanh(), affine(H, K, 2.0)]
    joined = Network(layers, rng=0, dtype="float64")
    trunk = Network(layers[:4], "mean_squared_error", dtype="float64")
    head = Network(layers[4:], dtype="float64")
    trunk.params.update({name: joined.params[name] for name in trunk.params})
    head.params.update({"W1": joined.params["W3"], "b1": joined.params["b3"]})
    before, tasks = joined.params.copy(), fastnn.models.MultiTask(trunk, {"digit": head})
    for _ in range(3):
        joined.step(X, T, optimizer)
        tasks.step(X, {"digit": T}, optimizer)
    for name, array in trunk.params.items():
        np.testing.assert_allclose(array, joined.params[name], rtol=1e-9, atol=1e-12)
        assert np.array_equal(array, before[name]) == (name[1] == "1")
    np.testing.assert_allclose(head.params["W1"], joined.params["W3"], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("width", [6, 700])  # the wide ones are taken by columns
@pytest.mark.parametrize("optimizer", [SGD(0.1), Momentum(0.1, clip_norm=0.05)], ids=repr)
def test_nothing_below_the_first_trained_layer_goes_backward(optimizer: Optimizer, width: int, n_threads: int) -> None:
    layers = [Affine(D, width, trainable=False), Relu(), Affine(width, width, trainable=False), Relu()]
    net = Network([*layers, Affine(width, K)], rng=0, dtype="float64", n_threads=n_threads)
    before, wanted = net.params.copy(), net.gradient(X, T)["b3"]
    net.initialize(0)
    net.engine.workspace = None  # with new memory
    net.step(X, T, optimizer)
    workspace: Any = net.engine.workspace
    slopes = workspace.arrays["tensor_gradients"]
    assert not slopes[: 4 * workspace.rows * width].any() and slopes[4 * workspace.rows * width :].any()
    moved = before["b3"] - net.params["b3"]
    np.testing.assert_allclose(moved / np.abs(moved).max(), wanted / np.abs(wanted).max(), rtol=1e-9)
