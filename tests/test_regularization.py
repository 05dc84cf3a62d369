"""The penalty on weights, and the figures measured with it."""

import pickle
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import Affine, Network, Regularization, Relu, reference
from tests.loss_cases import D, H, K, N, X, network, targets
from tests.model_files import edit_header


def test_the_penalty_is_on_weights_alone() -> None:
    plain, t = network("mean_squared_error"), targets("mean_squared_error")
    net = network("mean_squared_error", regularization=Regularization(l1=0.2, l2=0.5))
    weights = [net.params["W1"], net.params["W2"]]
    penalty = sum(0.2 * np.abs(W).sum() + 0.25 * (W**2).sum() for W in weights)
    np.testing.assert_allclose(net.loss(X, t), plain.loss(X, t) + penalty, rtol=1e-13)
    extra = {name: 0.2 * np.sign(W) + 0.5 * W for name, W in net.params.items() if name[0] == "W"}
    for name, array in net.gradient(X, t).items():
        np.testing.assert_allclose(array, plain.gradient(X, t)[name] + extra.get(name, 0.0), rtol=1e-12, atol=1e-15)


def test_the_blend_of_the_courses() -> None:
    plain, t = network("softmax_cross_entropy"), targets("softmax_cross_entropy")
    net = network("softmax_cross_entropy", regularization=Regularization.blend(0.9))
    squares = sum((W**2).sum() for name, W in net.params.items() if name[0] == "W")
    np.testing.assert_allclose(net.loss(X, t), 0.9 * plain.loss(X, t) + 0.1 * squares, rtol=1e-13)


@pytest.mark.parametrize("calls", [[(0, 3)], [(0, 1), (1, 3)]], ids=str)
def test_batches_measure_the_penalty_before_their_update(calls: list[tuple[int, int]]) -> None:
    t, regularization = targets("softmax_cross_entropy"), Regularization(l1=0.01, l2=0.1)
    net, by_hand = (network("softmax_cross_entropy", regularization=regularization) for _ in range(2))
    size, wanted, found, optimizer = -(-N // 3), 0.0, np.zeros(1), fastnn.SGD(0.5)
    for first in range(0, N, size):
        rows = slice(first, first + size)
        weights = [by_hand.params["W1"], by_hand.params["W2"]]
        wanted += len(X[rows]) * sum(0.01 * np.abs(W).sum() + 0.05 * (W**2).sum() for W in weights)
        by_hand.step(X[rows], t[rows], optimizer)
    data = (*net.engine.prepare(X, t, True), np.empty(0, np.intp))
    for first, last in calls:
        net.engine.run_batches(data, optimizer, (first, last, size), penalties=found)
    np.testing.assert_allclose(found, wanted, rtol=1e-13)
    net.engine.run_batches(data, optimizer, (0, 1, size))  # adds nothing any more
    np.testing.assert_allclose(found, wanted, rtol=1e-13)


@pytest.mark.parametrize("batch_size", [1, 4, None])
@pytest.mark.parametrize("clip", [{}, {"clip_value": 0.01}, {"clip_norm": 0.05}], ids=str)
def test_training_with_a_penalty_and_clipping(batch_size: int | None, clip: dict[str, float]) -> None:
    """A plain loop gives the same, whatever path the kernels take."""
    t, regularization = targets("softmax_cross_entropy"), Regularization(l1=0.01, l2=0.1, data=0.8)
    net = network("softmax_cross_entropy", regularization=regularization)
    params = {name: array.copy() for name, array in net.params.items()}
    history = net.fit(
        X, t, epochs=2, batch_size=batch_size, optimizer=fastnn.SGD(0.5, **clip), shuffle=False, progress=False
    )
    layers = [("affine", D, H), ("tanh",), ("affine", H, K)]
    total = 0.0
    for _ in range(2):
        total = 0.0
        for first in range(0, N, batch_size or N):
            some = slice(first, first + (batch_size or N))
            value, gradient = reference.network_gradient(layers, params, X[some], t[some])
            total += len(X[some]) * value  # without the penalty
            for name, W in params.items():
                gradient[name] = 0.8 * gradient[name]
                if name[0] == "W":
                    gradient[name] += 0.01 * np.sign(W) + 0.1 * W
            norm = np.sqrt(sum((g**2).sum() for g in gradient.values()))
            for name, W in params.items():
                g = gradient[name] * min(1.0, clip.get("clip_norm", np.inf) / norm)
                W -= 0.5 * np.clip(g, -clip.get("clip_value", np.inf), clip.get("clip_value", np.inf))
    for name, array in net.params.items():
        np.testing.assert_allclose(array, params[name], rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(history.loss[-1], total / N, rtol=1e-12)


def test_what_fit_measures_is_of_the_data_alone() -> None:
    """Training and validation losses leave the penalty out, so that they compare; a step returns its whole loss."""
    t = targets("softmax_cross_entropy")
    plain = network("softmax_cross_entropy")
    net = network("softmax_cross_entropy", regularization=Regularization(l1=0.1, l2=0.5, data=0.7))
    for gradient in ("analytic", "numerical"):
        history = net.fit(
            X, t, epochs=1, batch_size=None, optimizer=fastnn.SGD(0.0), validation_data=(X, t), gradient=gradient,
            progress=False,
        )  # fmt: skip
        assert history.validation_loss == [plain.loss(X, t)]
        assert history.loss == [pytest.approx(plain.loss(X, t), rel=1e-13)]
    before = net.loss(X, t)
    assert before > plain.loss(X, t) and net.step(X, t, fastnn.SGD(0.1)) == pytest.approx(before, rel=1e-13)
    with pytest.raises(AttributeError, match="regularization"):  # it is compiled into the network
        net.regularization = Regularization()  # type: ignore[misc]


def test_a_large_gradient_does_not_overflow_when_it_is_clipped() -> None:
    net = Network([Affine(D, K)], "mean_squared_error", rng=0)
    x, t = 1e15 * X.astype(np.float32), np.zeros((N, K), np.float32)
    before = net.params["W1"].copy()
    net.step(x, t, fastnn.SGD(1.0, clip_norm=1.0))
    moved = float(np.sqrt(sum(((a - b) ** 2).sum() for a, b in zip([net.params["W1"]], [before], strict=True))))
    assert moved == pytest.approx(1.0, rel=1e-3)


def test_relu_and_l1_have_kinks() -> None:
    net = Network([Affine(D, H), Relu(), Affine(H, K)], "absolute_error", rng=0, regularization=Regularization(l1=0.1))
    assert fastnn.check_gradients(net, X, targets("absolute_error")).passed


@pytest.mark.parametrize("first", [0.0, 0.5])
def test_the_strength_may_change_between_batches(first: float) -> None:
    """From and to none, too; training and pickles see it at once."""
    changed, t = network("mean_squared_error", regularization=Regularization(l2=first)), targets("mean_squared_error")
    for l2 in (0.3, 0.0, 0.0, 0.7, 0.2):
        changed.engine.penalize(l2)
        other = network("mean_squared_error", regularization=Regularization(l2=l2))
        for name, array in other.params.items():
            array[...] = changed.params[name]
        assert changed.regularization == other.regularization
        copied = pickle.loads(pickle.dumps(changed))
        losses = [net.step(X, t, fastnn.SGD(0.1)) for net in (changed, other, copied)]
        assert losses[0] == losses[1] == losses[2]
        for name, array in other.params.items():
            np.testing.assert_array_equal(changed.params[name], array)
            np.testing.assert_array_equal(copied.params[name], array)


# --- penalties by name, and on biases ---------------------------------------------------------------------------------

BY_NAME = [
    Regularization(l2={"W1": 0.1, "b1": 0.2}),
    Regularization(l1={"b2": 0.05}, l2=0.3),
    Regularization(l1=0.02, l2={"W2": 0.4, "b2": 0.1}, data=0.7),
    Regularization(l1=0.02, l2=0.3, data=0.7, biases=True),
    Regularization.blend(0.8, biases=True),
    Regularization(l2={"W1": 0.0}),
]


def strengths(penalty: Regularization, name: str) -> tuple[float, float]:
    """l1 and l2 of one parameter, as the docstring says."""
    found = []
    for strength in (penalty.l1, penalty.l2):
        if isinstance(strength, float):
            found.append(strength if name[0] == "W" or penalty.biases else 0.0)
        else:
            found.append(strength.get(name, 0.0))
    return found[0], found[1]


@pytest.mark.parametrize("penalty", BY_NAME, ids=repr)
def test_penalties_by_name_beside_numpy(penalty: Regularization) -> None:
    """The loss, both gradients and the checks."""
    plain, t = network("softmax_cross_entropy"), targets("softmax_cross_entropy")
    net = network("softmax_cross_entropy", regularization=penalty)
    for one in (plain, net):
        one.params["b1"][...], one.params["b2"][...] = [0.3, -0.2, 0.1, 0.5], [-0.4, 0.2, 0.7]
    value, wanted = penalty.data * plain.loss(X, t), {}
    for name, p in net.params.items():
        l1, l2 = strengths(penalty, name)
        value += l1 * np.abs(p).sum() + 0.5 * l2 * (p**2).sum()
        wanted[name] = penalty.data * plain.gradient(X, t)[name] + l1 * np.sign(p) + l2 * p
    assert net.loss(X, t) == pytest.approx(value, rel=1e-13)
    analytic, numerical = net.gradient(X, t), net.numerical_gradient(X, t)
    for name, array in wanted.items():
        np.testing.assert_allclose(analytic[name], array, rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(numerical[name], array, rtol=1e-6, atol=1e-8)
    assert fastnn.check_gradients(net, X, t).passed


@pytest.mark.parametrize("penalty", BY_NAME, ids=repr)
@pytest.mark.parametrize("batch_size", [1, 4, None])
@pytest.mark.parametrize("clip", [{}, {"clip_norm": 0.05}], ids=str)
def test_training_with_penalties_by_name(clip: dict[str, float], batch_size: int | None, penalty: Any) -> None:
    t = targets("softmax_cross_entropy")
    net = network("softmax_cross_entropy", regularization=penalty)
    params = {name: array.copy() for name, array in net.params.items()}
    net.fit(X, t, epochs=2, batch_size=batch_size, optimizer=fastnn.SGD(0.5, **clip), shuffle=False, progress=False)
    for _ in range(2):
        for first in range(0, N, batch_size or N):
            some = slice(first, first + (batch_size or N))
            gradient = reference.network_gradient(
                [("affine", D, H), ("tanh",), ("affine", H, K)], params, X[some], t[some]
            )[1]
            for name, p in params.items():
                l1, l2 = strengths(penalty, name)
                gradient[name] = penalty.data * gradient[name] + l1 * np.sign(p) + l2 * p
            norm = np.sqrt(sum((g**2).sum() for g in gradient.values()))
            for name, p in params.items():
                p -= 0.5 * gradient[name] * min(1.0, clip.get("clip_norm", np.inf) / norm)
    for name, array in net.params.items():
        np.testing.assert_allclose(array, params[name], rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("penalty", BY_NAME, ids=repr)
def test_penalties_by_name_are_kept(tmp_path: Any, penalty: Regularization) -> None:
    net = network("softmax_cross_entropy", regularization=penalty)
    net.save(tmp_path / "net.npz")
    for one in (fastnn.load(tmp_path / "net.npz"), pickle.loads(pickle.dumps(net))):
        assert one.regularization == penalty == eval(repr(penalty), {"Regularization": Regularization})
        assert hash(one.regularization) == hash(penalty)
        assert one.loss(X, targets("softmax_cross_entropy")) == net.loss(X, targets("softmax_cross_entropy"))
    kept = net.regularization
    if isinstance(kept.l2, dict):
        kept.l2["W1"] = 100.0  # of the copy alone
    assert net.regularization == penalty


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"l2": {"W3": 0.1}}, r"regularization.l2: expected names out of W1, b1, W2, b2, got 'W3'; pass one"),
        ({"l1": {"weights": 0.1}}, r"regularization.l1: expected names out of W1, b1, W2, b2, got 'weights'"),
        ({"l2": {"W1": -0.1}}, r"l2\['W1'\]: expected a finite number of at least 0"),
        ({"l2": {"W1": np.nan}}, r"l2\['W1'\]: expected a finite number of at least 0"),
        ({"l2": {1: 0.1}}, r'l2: expected the names of parameters, such as "W1", got 1'),
        ({"l2": {"W1": 1e300}}, r"regularization.l2: expected a finite number"),
        ({"l2": 0.1, "biases": 1}, "biases: expected True or False"),
        ({"l2": [0.1]}, "l2: expected a"),
    ],
)
def test_bad_penalties_are_refused(options: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        network("softmax_cross_entropy", dtype="float32", regularization=Regularization(**options))


def test_a_file_with_a_penalty_on_what_is_not_there(tmp_path: Any) -> None:
    net = network("softmax_cross_entropy", regularization=Regularization(l2={"W1": 0.1}))
    net.save(tmp_path / "net.npz")
    edit_header(tmp_path / "net.npz", lambda header: header["regularization"].update(l2={"W9": 0.1}))
    with pytest.raises(fastnn.ModelFileError, match=r"regularization\.l2: expected names out of W1"):
        fastnn.load(tmp_path / "net.npz")
