"""Networks on a common trunk against numerical gradients, NumPy by hand, and one network with all layers."""

import copy
import pickle
import re
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import Affine, Network, Regularization, Relu, Sigmoid, Tanh
from fastnn.kernels.compile import JIT_DISABLED
from fastnn.models import MultiTask, SparseKL, SparseL1
from tests.shapes import Array
from tests.tolerances import assert_close

N, D, H = 12, 5, 4
OPTIMIZERS = [fastnn.SGD(lr=0.3), fastnn.Momentum(lr=0.1), fastnn.Adam(lr=0.02), fastnn.AdamW(lr=0.02, clip_value=0.1)]


def samples(dtype: str = "float64", rows: int = N) -> tuple[Array, dict[str, Any]]:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(rows, D)).astype(dtype)
    return x, {"kind": rng.integers(0, 3, rows), "value": rng.normal(size=(rows, 2)).astype(dtype)}


def model(dtype: str = "float64", penalized: bool = True, **options: Any) -> MultiTask:
    """A trunk with a penalty, a classifier, a deeper regression with a penalty, and both penalties on activations."""
    some = Regularization(l1=0.01, l2=0.02, data=0.7) if penalized else None
    trunk = Network([Affine(D, H), Sigmoid()], rng=0, dtype=dtype, regularization=some, **options)
    heads: dict[str, Any] = {
        "kind": Network([Affine(H, 3)], rng=1, dtype=dtype, **options),
        "rare": SparseKL(0.2, 0.3),
        "value": Network(
            [Affine(H, 3), Tanh(), Affine(3, 2)],
            "mean_squared_error",
            rng=2,
            dtype=dtype,
            regularization=Regularization(l2=0.1, data=1.5) if penalized else None,
            input_scale=2.0,
            **options,
        ),
        "small": SparseL1(0.05),
    }
    return MultiTask(trunk, heads, weights={"kind": 0.5, "value": 2.0, "rare": 0.6})


MASKS: list[Any] = [None, {"kind": np.arange(N) % 3 == 1}, {"kind": np.arange(N) < 2, "value": np.arange(N) > 5}]


@pytest.mark.parametrize("mask", MASKS, ids=["all", "some", "two"])
def test_gradients_equal_numerical_ones(mask: Any) -> None:
    both, (x, t) = model(), samples()
    found = both.gradient(x, t, mask=mask)
    assert list(found) == list(both.params)
    for name, view in both.params.items():
        numerical = fastnn.numerical_gradient(lambda _: both.loss(x, t, mask=mask), view)
        assert np.abs(numerical).max() > 1e-4
        np.testing.assert_allclose(found[name], numerical, rtol=1e-6, atol=1e-8, err_msg=name)


def test_one_head_is_no_constant_for_the_numerical_gradient() -> None:
    """The quick ways of numerical_gradient, which watch networks' losses, must not take h for data."""
    trunk, head = (
        Network([Affine(D, H), Tanh()], rng=0, dtype="float64"),
        Network([Affine(H, 3)], rng=1, dtype="float64"),
    )
    alone, (x, t) = MultiTask(trunk, {"y": head}), samples()
    found, t = alone.gradient(x, {"y": t["kind"]}), {"y": t["kind"]}
    for name in ("W1", "b1"):
        for part, net in (("trunk", trunk), ("y", head)):
            numerical = fastnn.numerical_gradient(lambda _: alone.loss(x, t), net.params[name])
            np.testing.assert_allclose(found[f"{part}.{name}"], numerical, rtol=1e-6, atol=1e-9)


def test_totals_are_sums() -> None:
    both, (x, t) = model(), samples()
    trunk, heads = both.trunk, both.heads
    h = trunk.predict(x)
    losses = both.losses(x, t)
    assert list(losses) == ["kind", "rare", "value", "small"]
    for name in ("kind", "value"):
        assert_close(losses[name], heads[name].loss(h, t[name]))
        np.testing.assert_array_equal(both.predict(x)[name], heads[name].predict(h))
    assert losses["rare"] == heads["rare"].loss(h) and losses["small"] == heads["small"].loss(h)
    weighted = 0.5 * losses["kind"] + 2.0 * losses["value"] + 0.6 * losses["rare"] + losses["small"]
    W = trunk.params["W1"]
    assert_close(both.loss(x, t), 0.7 * weighted + 0.01 * np.abs(W).sum() + 0.01 * (W**2).sum())
    known = np.arange(N) < 4
    masked = both.losses(x, t, mask={"kind": known})
    assert_close(masked["kind"], heads["kind"].loss(h[:4], t["kind"][:4]))
    assert masked["value"] == losses["value"]
    assert both.accuracy(x, t) == {"kind": heads["kind"].accuracy(h, t["kind"])}
    assert both.accuracy(x, {"kind": t["kind"]}) == both.accuracy(x, t)


def by_hand(params: dict[str, Array], x: Array, t: dict[str, Any]) -> tuple[float, dict[str, Array]]:
    """The total of `model(penalized=False)` and its gradient, in NumPy."""
    h = 1.0 / (1.0 + np.exp(-(x @ params["trunk.W1"] + params["trunk.b1"])))
    logits = h @ params["kind.W1"] + params["kind.b1"]
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    kind = -np.log(p[np.arange(N), t["kind"]]).mean()
    hidden = np.tanh(2.0 * h @ params["value.W1"] + params["value.b1"])
    error = hidden @ params["value.W2"] + params["value.b2"] - t["value"]
    value = 0.5 * (error**2).sum() / N
    m = h.mean(axis=0)
    rare = 0.3 * (0.2 * np.log(0.2 / m) + 0.8 * np.log(0.8 / (1 - m))).sum()
    d_logits = 0.5 * (p - np.eye(3)[t["kind"]]) / N
    d_error = 2.0 * error / N
    d_sum = d_error @ params["value.W2"].T * (1 - hidden**2)
    dh = d_logits @ params["kind.W1"].T + 2.0 * d_sum @ params["value.W1"].T
    dh = dh + 0.6 * 0.3 / N * (0.8 / (1 - m) - 0.2 / m) + 0.05 / N * np.sign(h)
    dz = dh * h * (1 - h)
    gradient = {
        "trunk.W1": x.T @ dz,
        "trunk.b1": dz.sum(axis=0),
        "kind.W1": h.T @ d_logits,
        "kind.b1": d_logits.sum(axis=0),
        "value.W1": 2.0 * h.T @ d_sum,
        "value.b1": d_sum.sum(axis=0),
        "value.W2": hidden.T @ d_error,
        "value.b2": d_error.sum(axis=0),
    }
    return 0.5 * kind + 2.0 * value + 0.6 * rare + 0.05 * np.abs(h).sum() / N, gradient


@pytest.mark.parametrize("clip_norm", [None, 0.05])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_steps_equal_numpy(dtype: str, clip_norm: float | None) -> None:
    both, (x, t) = model(dtype, penalized=False), samples(dtype)
    params = {name: view.astype(np.float64) for name, view in both.params.items()}
    change = {name: np.zeros_like(value) for name, value in params.items()}
    optimizer = fastnn.Momentum(lr=0.2, momentum=0.9, clip_norm=clip_norm)
    for _ in range(3):
        total, gradient = by_hand(params, x, t)
        norm = np.sqrt(sum((one**2).sum() for one in gradient.values()))
        scale = 1.0 if clip_norm is None else min(1.0, clip_norm / norm)
        assert (scale < 1.0) == (clip_norm is not None)
        for name, one in gradient.items():
            change[name] = 0.9 * change[name] - 0.2 * scale * one
            params[name] = params[name] + change[name]
        assert_close(both.step(x, t, optimizer), total, dtype)
        for name, view in both.params.items():
            assert_close(view, params[name], dtype)
    assert both.optimizer == optimizer == both.trunk.optimizer


def alone_and_joined(dtype: str, **options: Any) -> tuple[MultiTask, Network]:
    joined = Network([Affine(D, H), Relu(), Affine(H, 6), Tanh(), Affine(6, 3)], rng=0, dtype=dtype, **options)
    trunk, head = Network(joined.layers[:2], dtype=dtype, **options), Network(joined.layers[2:], dtype=dtype, **options)
    alone = MultiTask(trunk, {"y": head})
    for view, value in zip(alone.params.values(), joined.params.values(), strict=True):
        view[...] = value
    return alone, joined


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_head_gives_the_bits_of_one_network(dtype: str, optimizer: Any) -> None:
    alone, joined = alone_and_joined(dtype, regularization=Regularization(l2=0.01))
    x, t = samples(dtype, 50)
    for _ in range(3):
        np.testing.assert_allclose(
            alone.step(x, {"y": t["kind"]}, optimizer), joined.step(x, t["kind"], optimizer), rtol=1e-12
        )
    options: Any = {"epochs": 3, "batch_size": 8, "progress": False}
    found = alone.fit(x, {"y": t["kind"]}, rng=5, validation_data=(x, {"y": t["kind"]}), **options)
    expected = joined.fit(x, t["kind"], rng=5, validation_data=(x, t["kind"]), **options)
    for view, value in zip(alone.params.values(), joined.params.values(), strict=True):
        assert view.tobytes() == value.tobytes()
    np.testing.assert_allclose(found.loss, expected.loss, rtol=1e-12)
    assert found.loss == found.y_loss and found.validation_loss == found.validation_y_loss
    np.testing.assert_allclose(found.validation_loss, expected.validation_loss, rtol=1e-12)
    assert found.validation_y_accuracy == expected.validation_accuracy
    assert found.learning_rate == [optimizer.lr] * 3 and found.epochs == 3


def test_frozen_layers_and_factors() -> None:
    """Also where the gradient is clipped to a norm, which leaves frozen layers out."""
    layers = [Affine(D, H, trainable=False), Relu(), Affine(H, 6, learning_rate_factor=0.1), Tanh(), Affine(6, 3)]
    some = Regularization(l2={"W1": 0.1, "W2": 0.2, "b3": 0.3})
    joined = Network(layers, rng=0, dtype="float64", regularization=some)
    trunk = Network(layers[:4], dtype="float64", regularization=Regularization(l2={"W1": 0.1, "W2": 0.2}))
    head = Network(layers[4:], dtype="float64", regularization=Regularization(l2={"b1": 0.3}))
    alone, (x, t) = MultiTask(trunk, {"y": head}), samples()
    for view, value in zip(alone.params.values(), joined.params.values(), strict=True):
        view[...] = value
    before = trunk.params["W1"].copy()
    for optimizer in (fastnn.SGD(lr=0.3), fastnn.Adam(), fastnn.Momentum(lr=0.5, clip_norm=0.1)):
        for _ in range(3):
            found, expected = alone.step(x, {"y": t["kind"]}, optimizer), joined.step(x, t["kind"], optimizer)
            assert_close(found, expected)
        for view, value in zip(alone.params.values(), joined.params.values(), strict=True):
            assert_close(view, value)
    np.testing.assert_array_equal(trunk.params["W1"], before)
    assert alone.gradient(x, {"y": t["kind"]})["trunk.W1"].any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bits_on_threads(dtype: str) -> None:
    rng = np.random.default_rng(0)
    x, t = rng.random((300, 60)).astype(dtype), rng.integers(0, 10, 300)
    found = []
    for n in (1, 2, 3):
        trunk = Network([Affine(60, 70), Sigmoid()], rng=0, dtype=dtype, n_threads=n)
        heads: dict[str, Any] = {
            "y": Network([Affine(70, 10)], rng=1, dtype=dtype, n_threads=n),
            "x": Network([Affine(70, 60)], "mean_squared_error", rng=1, dtype=dtype, n_threads=n),
            "sparse": SparseKL(),
        }
        both = MultiTask(trunk, heads)
        both.fit(x, {"y": t, "x": x}, epochs=2, mask={"y": t > 3}, optimizer=fastnn.Adam(), rng=0, progress=False)
        found.append(b"".join(view.tobytes() for view in both.params.values()))
    assert found[0] == found[1] == found[2]


def test_masked_targets_are_not_looked_at() -> None:
    x, t = samples()
    known = np.arange(N) % 4 == 0
    spoilt = {"kind": np.where(known, t["kind"], -1), "value": np.where(known[:, None], t["value"], np.nan)}
    mask, options = {"kind": known, "value": known}, {"epochs": 2, "batch_size": 3, "rng": 0, "progress": False}
    first, second = model(), model()
    one, other = first.fit(x, t, mask=mask, **options), second.fit(x, spoilt, mask=mask, **options)  # type: ignore[arg-type]
    assert all(view.tobytes() == second.params[name].tobytes() for name, view in first.params.items())
    assert one.kind_loss == other.kind_loss and one.loss == other.loss
    # A batch without any target of a head leaves the head alone.
    third, before = model(penalized=False), model(penalized=False).params["kind.W1"]
    rows = ~known
    kept = {"kind": np.zeros(N, bool)[rows], "value": known[rows]}
    with pytest.raises(ValueError, match=re.escape("mask['kind']: expected at least one target that is known")):
        third.step(x[rows], {name: value[rows] for name, value in t.items()}, fastnn.SGD(), mask=kept)
    only = {"kind": np.arange(N) == 0}
    third.fit(x, t, epochs=1, batch_size=1, shuffle=False, mask=only, optimizer=fastnn.SGD(lr=0.0), progress=False)
    np.testing.assert_array_equal(third.params["kind.W1"], before)


def test_fit_measures_each_head() -> None:
    (x, t), both = samples(), model()
    history = both.fit(x, t, epochs=1, batch_size=None, shuffle=False, validation_data=(x, t), progress=False)
    start = model(penalized=False)
    start_losses = start.losses(x, t)
    assert_close(history.kind_loss[0], start_losses["kind"])
    assert_close(history.value_loss[0], start_losses["value"])  # without regularization
    assert_close(history.rare_loss[0], start_losses["rare"])
    total = sum(both.weights[name] * loss for name, loss in start_losses.items())
    assert_close(history.loss[0], total)
    assert both.optimizer == fastnn.SGD(lr=0.1)
    assert history.validation_kind_accuracy == [both.accuracy(x, t)["kind"]]
    assert set(history.to_dict()) == {
        "loss", "kind_loss", "value_loss", "rare_loss", "small_loss", "validation_loss", "validation_kind_loss",
        "validation_value_loss", "validation_rare_loss", "validation_small_loss", "validation_kind_accuracy", "seconds",
        "learning_rate",
    }  # fmt: skip
    assert "kind loss" in str(history)
    before = {name: view.copy() for name, view in both.params.items()}
    assert both.fit(x, t, epochs=0).epochs == 0
    assert all(np.array_equal(view, before[name]) for name, view in both.params.items())


def test_sparse_and_byte_inputs() -> None:
    scipy_sparse = pytest.importorskip("scipy.sparse")
    rng = np.random.default_rng(0)
    pixels = (rng.integers(0, 256, (40, D)) * (rng.random((40, D)) < 0.2)).astype(np.uint8)
    t = {"y": rng.integers(0, 3, 40)}

    def trained(x: Any, scale: float) -> list[Array]:
        trunk = Network([Affine(D, H), Relu()], rng=0, dtype="float64", input_scale=scale)
        both = MultiTask(trunk, {"y": Network([Affine(H, 3)], rng=1, dtype="float64")})
        both.step(x, t, fastnn.SGD(lr=0.1))
        both.fit(x, t, epochs=2, batch_size=7, rng=0, progress=False)
        return list(both.params.values())

    expected = trained(pixels.astype(np.float64) / 256, 1.0)
    for found in (trained(pixels, 1 / 256), trained(scipy_sparse.csr_matrix(pixels.astype(np.float64)), 1 / 256)):
        for one, other in zip(found, expected, strict=True):
            assert_close(one, other)


def test_divergence_puts_parameters_back() -> None:
    both, (x, t) = model(), samples()
    both.fit(x, t, epochs=1, optimizer=fastnn.Adam(lr=0.01), rng=0, progress=False)
    before = {name: view.copy() for name, view in both.params.items()}
    with pytest.raises(
        fastnn.TrainingDivergedError, match=r"^loss: expected finite numbers, got .* in epoch \d, batch"
    ):
        both.fit(x * 1e3, t, epochs=9, batch_size=4, optimizer=fastnn.SGD(lr=1e200), rng=0, progress=False)
    assert all(np.isfinite(view).all() for view in both.params.values())
    assert all(np.array_equal(view, before[name]) for name, view in both.params.items())
    bad = {**t, "value": np.full((N, 2), 1e200)}
    with pytest.raises(
        fastnn.TrainingDivergedError, match=r"^loss: expected finite numbers, got inf of the head value"
    ):
        both.step(x, bad, fastnn.SGD())
    assert all(np.array_equal(view, before[name]) for name, view in both.params.items())


def test_copies_go_on_alike() -> None:
    both, (x, t) = model(), samples()
    both.step(x, t, fastnn.Adam())
    others = copy.deepcopy(both), pickle.loads(pickle.dumps(both))
    expected = both.step(x, t, fastnn.Adam())
    for other in others:
        assert other.step(x, t, fastnn.Adam()) == expected
        assert all(view.tobytes() == other.params[name].tobytes() for name, view in both.params.items())
        assert not np.may_share_memory(other.params["trunk.W1"], both.params["trunk.W1"])


def test_files_of_the_parts(tmp_path: Any) -> None:
    both, (x, t) = model(), samples()
    both.fit(x, t, epochs=2, optimizer=fastnn.Adam(), rng=0, progress=False)
    nets = {"trunk": both.trunk, **{name: both.heads[name] for name in ("kind", "value")}}
    for name, net in nets.items():
        net.save(tmp_path / f"{name}.npz")
    read = {name: fastnn.load(tmp_path / f"{name}.npz") for name in nets}
    heads = {name: read.get(name, head) for name, head in both.heads.items()}
    again = MultiTask(read["trunk"], heads, weights=both.weights)
    assert again.step(x, t, fastnn.Adam()) == both.step(x, t, fastnn.Adam())
    assert all(view.tobytes() == again.params[name].tobytes() for name, view in both.params.items())


@pytest.mark.skipif(JIT_DISABLED, reason="takes long with NUMBA_DISABLE_JIT=1")
def test_a_sparse_autoencoder_learns() -> None:
    (x, _), (x_test, _) = fastnn.datasets.load_digits()
    x = x[:300]
    means = {}
    for weight in (0.0, 0.3):
        encoder = Network([Affine(64, 30), Sigmoid()], rng=0)
        decoder = Network([Affine(30, 64)], "mean_squared_error", rng=1)
        coder = MultiTask(encoder, {"x": decoder, "sparse": SparseKL(0.05, weight)})
        history = coder.fit(
            x, {"x": x}, epochs=15, batch_size=50, optimizer=fastnn.Adam(lr=0.02), rng=0, progress=False
        )
        assert history.x_loss[-1] < 0.6 * history.x_loss[0]
        means[weight] = float(encoder.predict(x_test).mean())
    assert means[0.3] < 0.1 < 0.25 < means[0.0]
    assert repr(coder).startswith("MultiTask(trunk=Network([Affine(64, 30), Sigmoid()]")
