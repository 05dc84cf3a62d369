"""PReLU and batch normalization: beside NumPy and PyTorch, in training and out of it."""

import pickle
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import (
    SGD,
    AdamW,
    Affine,
    BatchNorm,
    Dropout,
    EarlyStopping,
    Momentum,
    Network,
    PRelu,
    Relu,
    Tanh,
    reference,
)
from tests import shapes

N, D, K = 23, 5, 3
EPSILON = 1e-3


def parts_of(width: int) -> tuple[list[fastnn.layers.Layer], list[tuple[Any, ...]]]:
    """A network's layers, and the same layers as fastnn.reference describes them."""
    layers = [
        Affine(D, width, 1.0), BatchNorm(), PRelu(), Affine(width, 7, 0.3), PRelu(-0.5), Tanh(),
        BatchNorm(0.7, EPSILON), Affine(7, K, 1.0), BatchNorm(0.0),
    ]  # fmt: skip
    words = [
        ("affine", D, width), ("batch_norm",), ("prelu",), ("affine", width, 7), ("prelu",), ("tanh",),
        ("batch_norm", {"epsilon": EPSILON}), ("affine", 7, K), ("batch_norm",),
    ]  # fmt: skip
    return layers, words


def data(dtype: Any = np.float64, rows: int = N) -> tuple[Any, Any]:
    return shapes.numbers(1, rows, D, dtype=dtype), shapes.targets("labels", rows, K, np.float64)


def network(width: int = 6, dtype: str = "float64", **options: Any) -> Network:
    return Network(parts_of(width)[0], rng=0, dtype=dtype, **options)


def trained(**options: Any) -> Network:
    """A network that has seen some batches, so that no value is still the initial one."""
    net = network(**options)
    net.fit(*data(net.dtype), epochs=3, batch_size=10, optimizer=Momentum(0.2), rng=0, progress=False)
    return net


@pytest.mark.parametrize("parts", [1, 2, 3])
@pytest.mark.parametrize("width", [1, 6, 70, 150])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_training_is_that_of_numpy(dtype: str, width: int, parts: int) -> None:
    x, t = data(np.dtype(dtype).type)
    net, words = network(width, dtype, n_threads=parts), parts_of(width)[1]
    params = {name: array.astype(np.float64) for name, array in net.params.items()}
    batches = [slice(0, 10), slice(10, 20), slice(20, N)]
    total = 0.0
    for _ in range(2):
        total = 0.0
        for some in batches:
            exact = x[some].astype(np.float64)
            total += len(exact) * reference.network_step(words, params, exact, t[some], 0.1)
    options: Any = {"optimizer": SGD(0.1), "shuffle": False, "progress": False}
    history = net.fit(x, t, epochs=2, batch_size=10, **options)
    tolerance: Any = {"rtol": 2e-3, "atol": 2e-4} if dtype == "float32" else {"rtol": 1e-9, "atol": 1e-11}
    np.testing.assert_allclose(history.loss[-1], total / N, **tolerance)
    for name, array in net.params.items():
        np.testing.assert_allclose(array, params[name], **tolerance, err_msg=name)


def test_what_is_learned_of_the_inputs() -> None:
    x, t = data()
    net = network()
    mean, variance = np.zeros(6), np.ones(6)
    for rows in (10, 5, 3):
        hidden = x[:rows] @ net.params["W1"] + net.params["b1"]
        mean = 0.9 * mean + 0.1 * hidden.mean(axis=0)
        variance = 0.9 * variance + 0.1 * hidden.var(axis=0, ddof=1)
        net.step(x[:rows], t[:rows], SGD(0.1))
    np.testing.assert_allclose(net.statistics["mean1"], mean, rtol=1e-13)
    np.testing.assert_allclose(net.statistics["variance1"], variance, rtol=1e-13)
    hidden = x @ net.params["W1"] + net.params["b1"]
    expected = reference.batch_norm_forward(
        hidden, net.params["gamma1"], net.params["beta1"], statistics=(mean, variance)
    )
    head = Network([Affine(D, 6), BatchNorm()], "mean_squared_error", rng=0, dtype="float64")
    for name in head.params:
        head.params[name] = net.params[name]
    for name in head.statistics:
        head.statistics[name] = net.statistics[name]
    np.testing.assert_allclose(head.predict(x), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("rows", [11, 12])
def test_a_last_batch_of_one_row_is_left_out(rows: int) -> None:
    x, t = data(rows=rows)
    net, other = network(), network()
    options: Any = {"epochs": 2, "optimizer": SGD(0.1), "shuffle": False, "progress": False}
    history, expected = net.fit(x, t, batch_size=10, **options), other.fit(x[:10], t[:10], batch_size=10, **options)
    assert np.array_equal(net.engine.values, other.engine.values) == (rows == 11)
    assert (history.loss == expected.loss) == (rows == 11)


def test_a_large_mean_costs_no_digits() -> None:
    x = shapes.numbers(3, 200, 4, dtype=np.float32) + np.float32(1000.0)
    net = Network([Affine(4, 4), BatchNorm(0.0)], "mean_squared_error", rng=0)
    net.params["W1"] = np.eye(4)
    net.step(x, x, SGD(0.0))
    exact = x.astype(np.float64)
    np.testing.assert_allclose(net.statistics["mean1"], exact.mean(axis=0), rtol=1e-7)
    np.testing.assert_allclose(net.statistics["variance1"], exact.var(axis=0, ddof=1), rtol=1e-4)


@pytest.mark.parametrize("loss", ["softmax_cross_entropy", "mean_squared_error"])
def test_gradients_go_by_what_was_learned(loss: Any) -> None:
    net = trained()
    other = Network(net.layers, loss, dtype="float64")
    for mine, yours in ((other.params, net.params), (other.statistics, net.statistics)):
        for name in mine:
            mine[name] = yours[name]
    x, t = data()
    report = fastnn.check_gradients(other, x, t if loss.startswith("soft") else np.eye(K)[t])
    assert report.passed, str(report)
    assert list(report.tensors) == list(net.params)


@pytest.mark.parametrize("method", ["central", "forward"])
def test_the_numerical_gradient_is_that_of_the_loop(method: Any) -> None:
    net, (x, t) = trained(), data()
    found = net.numerical_gradient(x, t, method=method)
    for name, array in net.params.items():
        copy = array.copy()

        def loss(p: Any, name: str = name) -> float:
            net.params[name] = p
            return net.loss(x, t)

        expected = fastnn.numerical_gradient(loss, copy.copy(), method=method)
        net.params[name] = copy
        np.testing.assert_allclose(found[name], expected, rtol=1e-7, atol=1e-10, err_msg=name)
        np.testing.assert_array_equal(
            fastnn.numerical_gradient(lambda _: net.loss(x, t), net.params[name], method=method), found[name]
        )


@pytest.mark.parametrize("optimizer", [SGD(0.1), AdamW(0.01)], ids=str)
def test_steps_are_those_of_torch(optimizer: Any) -> None:
    torch = pytest.importorskip("torch")
    net, nn = network(), torch.nn
    options: Any = {"dtype": torch.float64}
    model = nn.Sequential(
        nn.Linear(D, 6, **options), nn.BatchNorm1d(6, 1e-5, 0.1, **options), nn.PReLU(6, 0.25, **options),
        nn.Linear(6, 7, **options), nn.PReLU(7, -0.5, **options), nn.Tanh(),
        nn.BatchNorm1d(7, EPSILON, 0.3, **options), nn.Linear(7, K, **options), nn.BatchNorm1d(K, 1e-5, 1.0, **options),
    )  # fmt: skip
    theirs = dict(zip(net.params, model.parameters(), strict=True))
    with torch.no_grad():
        for name, parameter in theirs.items():
            parameter.copy_(torch.tensor(net.params[name].T))
    other = (torch.optim.SGD if isinstance(optimizer, SGD) else torch.optim.AdamW)(model.parameters(), optimizer.lr)
    x, t = data()
    for first in range(5):
        some = slice(first, first + 12)
        other.zero_grad()
        loss = nn.functional.cross_entropy(model(torch.tensor(x[some])), torch.tensor(t[some]))
        loss.backward()
        other.step()
        np.testing.assert_allclose(net.step(x[some], t[some], optimizer), loss.item(), rtol=1e-8)
    for name, parameter in theirs.items():
        np.testing.assert_allclose(net.params[name], parameter.detach().numpy().T, rtol=1e-6, atol=1e-8)
    norms = [layer for layer in model if isinstance(layer, nn.BatchNorm1d)]
    for number, norm in enumerate(norms, start=1):
        np.testing.assert_allclose(net.statistics[f"mean{number}"], norm.running_mean.numpy(), rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(net.statistics[f"variance{number}"], norm.running_var.numpy(), rtol=1e-6)
    model.eval()
    np.testing.assert_allclose(net.predict(x), model(torch.tensor(x)).detach().numpy(), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("optimizer", [SGD(0.1), AdamW(0.01), Momentum(0.1, clip_norm=0.3)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_same_bits_on_any_number_of_threads_and_after_loading(dtype: str, optimizer: Any, tmp_path: Any) -> None:
    x, t = data(np.dtype(dtype).type, rows=60)
    found = []
    for parts in (1, 2, 3):
        layers = [Affine(D, 70), BatchNorm(), PRelu(), Dropout(0.2), Affine(70, 9), BatchNorm(), Relu(), Affine(9, K)]
        net = Network(layers, rng=0, dtype=dtype, n_threads=parts)
        for epoch in range(2):
            net.fit(x, t, epochs=1, batch_size=25, optimizer=optimizer, rng=epoch, progress=False)
            if parts == 2:
                net.save(tmp_path / "net.npz")
                net = fastnn.load(tmp_path / "net.npz")
            if parts == 3:
                net = pickle.loads(pickle.dumps(net))
        found.append(net.engine.values.tobytes() + net.predict(x).tobytes())
    assert len(set(found)) == 1


def test_the_optimizer_leaves_the_statistics_alone() -> None:
    net = network()
    for name in net.statistics:
        net.statistics[name] = np.full(net.statistics[name].shape, 0.5)
    before = {name: array.copy() for name, array in net.statistics.items()}
    net.engine.update(np.ones(net.engine.values.size), AdamW(0.1, weight_decay=0.5, clip_norm=1.0))
    for name, array in net.statistics.items():
        np.testing.assert_array_equal(array, before[name])
    moved = np.ones(net.engine.trained) / np.sqrt(net.engine.trained)
    np.testing.assert_allclose(net.engine.gradients[: net.engine.trained], moved, rtol=1e-12)


def test_early_stopping_takes_the_statistics_back() -> None:
    x, t = data()
    net = network()
    found: list[Any] = []
    stopping = EarlyStopping(patience=2)
    net.fit(
        x, t, epochs=60, optimizer=SGD(2.0), validation_data=(x, t), rng=0, progress=False,
        callbacks=[lambda net, history: found.append(net.engine.values.copy()), stopping],
    )  # fmt: skip
    assert net.history is not None and net.history.validation_loss is not None
    best = int(np.argmin(net.history.validation_loss))
    np.testing.assert_array_equal(net.engine.values, found[best])


def test_a_batch_of_infinite_variance_is_refused() -> None:
    """Once learned, it would make all later predictions alike, though the loss is finite."""
    net = Network([Affine(3, 4), BatchNorm(), Affine(4, 2)], rng=0)
    before = net.engine.values.copy()
    with pytest.raises(fastnn.TrainingDivergedError):
        net.step(np.array([[1e20] * 3, [-1e20] * 3], np.float32), [0, 1], SGD(0.1))
    np.testing.assert_array_equal(net.engine.values, before)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_large_mean_costs_the_variance_no_digits(dtype: Any) -> None:
    x = (1e5 + 0.01 * np.random.default_rng(0).standard_normal((200, 3))).astype(dtype)
    net = Network([Affine(3, 3), BatchNorm(0.0)], "mean_squared_error", rng=0, dtype=dtype)
    net.params["W1"][...], net.params["b1"][...] = np.eye(3), 0.0
    net.step(x, np.zeros((200, 3)), SGD(0.0))
    exact = x.astype(np.float64).var(axis=0, ddof=1)
    np.testing.assert_allclose(net.statistics["variance1"], exact, rtol=1e-5)


def test_where_they_begin() -> None:
    net = trained()
    net.initialize(0)
    np.testing.assert_array_equal(net.engine.values, network().engine.values)
    assert (net.params["slope1"] == 0.25).all() and (net.params["slope2"] == -0.5).all()
    assert (net.params["gamma1"] == 1).all() and (net.params["beta3"] == 0).all()
    assert (net.statistics["mean2"] == 0).all() and (net.statistics["variance3"] == 1).all()


def test_regularization_is_of_weights_only() -> None:
    x, t = data()
    plain = trained()
    decayed = Network(plain.layers, regularization=fastnn.Regularization(l1=0.1, l2=0.2), dtype="float64")
    decayed.engine.values[:] = plain.engine.values
    found, expected = decayed.gradient(x, t), plain.gradient(x, t)
    for name in expected:
        assert np.array_equal(found[name], expected[name]) == (name[0] != "W")


def test_what_they_look_like() -> None:
    net = Network([Affine(2, 3), BatchNorm()], "mean_squared_error", rng=0)
    assert repr(net.params) == "<15 float32 numbers: W1 (2, 3), b1 (3,), gamma1 (3,), beta1 (3,)>"
    assert repr(net.statistics) == "<6 float32 numbers: mean1 (3,), variance1 (3,)>"


def test_summary_counts_them() -> None:
    summary = network().summary()
    rows = [line.split() for line in summary.splitlines()]
    assert ["BatchNorm(0.9,", "1e-05)", "6", "12"] in rows
    assert ["PRelu(0.25)", "6", "6"] in rows
    assert f"{sum(array.size for array in network().params.values())}" in summary.splitlines()[-1]


def test_refused() -> None:
    x, t = data()
    net = network()
    before = net.engine.values.copy()
    with pytest.raises(ValueError, match=r"^batch: expected at least 2 rows, as BatchNorm goes by their mean"):
        net.step(x[:1], t[:1], SGD(0.1))
    history = net.history
    for batch, some, name in ((1, slice(None), "batch_size"), (None, slice(1), "x")):
        with pytest.raises(ValueError, match=rf"^{name}: expected at least 2 rows, as BatchNorm goes by their mean"):
            net.fit(x[some], t[some], batch_size=batch, progress=False)
    assert net.history is history  # refused before anything is changed
    with pytest.raises(
        ValueError, match=r"^layers\[1\]: expected an epsilon above 0, got 1e-46, which is 0 in float32"
    ):
        Network([Affine(2, 2), BatchNorm(epsilon=1e-46)])
    with pytest.raises(
        ValueError, match=r"^layers\[1\]: expected a momentum below 1, got 0.999999999, which is 1 in fl"
    ):
        Network([Affine(2, 2), BatchNorm(1 - 1e-9)])
    for layer in (PRelu(1e39), fastnn.LeakyRelu(-1e39), fastnn.Elu(1e39)):
        with pytest.raises(ValueError, match=r"^layers\[1\]: expected a finite number"):
            Network([Affine(2, 2), layer])
        Network([Affine(2, 2), layer], dtype="float64")
    with pytest.raises(KeyError, match=r"statistics: expected one of mean1, variance1"):
        Network([Affine(2, 2), BatchNorm()]).statistics["mean2"]
    with pytest.raises(KeyError, match=r"statistics: expected no name, as there are none in this network"):
        Network([Affine(2, 2)]).statistics["mean1"]
    with pytest.raises(ValueError, match=r"^gradient: expected 'analytic' for a network with BatchNorm, got 'num"):
        net.fit(x, t, gradient="numerical", progress=False)
    assert net.loss(x[:1], t[:1]) > 0
    np.testing.assert_array_equal(net.engine.values, before)
    with pytest.raises(ValueError, match=r"^momentum: expected a finite number of at least 0.0 and below 1.0, got 1.0"):
        BatchNorm(1.0)
    with pytest.raises(ValueError, match=r"^epsilon: expected a finite number above 0.0, got 0.0"):
        BatchNorm(epsilon=0.0)
    with pytest.raises(ValueError, match=r"^slope: expected a finite number, got nan"):
        PRelu(np.nan)
    with pytest.raises(KeyError, match=r"params: expected one of .*gamma1.*, got 'mean1'"):
        net.params["mean1"]


def test_a_diverging_batch_leaves_everything_as_it_was() -> None:
    x, t = data()
    net = trained()
    net.params["W2"] = np.full((6, 7), np.nan)
    before = net.engine.values.copy()
    with pytest.raises(fastnn.TrainingDivergedError):
        net.step(x, t, SGD(0.1))
    np.testing.assert_array_equal(net.engine.values, before)
