"""What networks on a common trunk refuse, and in which words."""

import re
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import Affine, Network, Tanh
from fastnn.models import MultiTask, SparseKL, SparseL1

N, D, H = 12, 5, 4
Multi: Any = MultiTask  # for what type checkers refuse, too
TRUNK, HEAD = Network([Affine(D, H), Tanh()], rng=0), Network([Affine(H, 3)], rng=0)
REFUSED: list[tuple[Any, str]] = [
    (lambda: Multi([], {"y": HEAD}), "trunk: expected a fastnn.Network, got an object of type list; make one of"),
    (lambda: Multi(TRUNK, [HEAD]), "heads: expected a dictionary of networks, got an object of type list; pass {"),
    (lambda: Multi(TRUNK, {}), "heads: expected at least one network, got no head; add one, such as a decoder"),
    (lambda: Multi(TRUNK, {"a": SparseL1()}), "heads: expected at least one network, got 1 penalty; add one"),
    (lambda: Multi(TRUNK, {"a": 3}), "heads['a']: expected a fastnn.Network, got 3; make one of layers, or take a"),
    (lambda: Multi(TRUNK, {"trunk": HEAD}), "heads: expected another name than trunk and validation..."),
    (lambda: Multi(TRUNK, {"a.b": HEAD}), "heads: expected names like those of variables, got 'a.b'"),
    (lambda: Multi(TRUNK, {"a": HEAD, "b": HEAD}), "heads['b']: expected a network of its own"),
    (
        lambda: Multi(TRUNK, {"a": Network([Affine(5, 3)])}),
        "heads['a']: expected inputs of the shape of the trunk's outputs, (4,), got (5,); change its first layer",
    ),
    (
        lambda: Multi(TRUNK, {"a": Network([Affine(H, 3)], dtype="float64")}),
        "heads['a']: expected the trunk's dtype, float32, got float64; make it with dtype=\"float32\"",
    ),
    (
        lambda: Multi(Network([Affine(D, H), fastnn.Dropout(0.5)]), {"a": HEAD}),
        "trunk: expected layers that do the same in training and predictions, got Dropout(0.5), which drops nothing",
    ),
    (lambda: Multi(TRUNK, {"a": HEAD}, weights=[1.0]), "weights: expected a dictionary by heads, got an object of"),
    (lambda: Multi(TRUNK, {"digit": HEAD}, weights={"digits": 1.0}), "weights: expected heads out of digit, got"),
    (lambda: Multi(TRUNK, {"a": HEAD}, weights={"a": -1.0}), "weights['a']: expected a finite number of at least"),
    (lambda: Multi(TRUNK, {"a": HEAD}, heads_=1), "MultiTask: expected arguments out of trunk, heads, weights"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "sentence"), REFUSED, ids=[sentence for _, sentence in REFUSED])
def test_what_is_refused(call: Any, sentence: str) -> None:
    with pytest.raises((TypeError, ValueError), match="^" + re.escape(sentence)):
        call()


X = np.ones((N, D), np.float32)
OF_DATA: list[tuple[Any, Any, str]] = [
    (np.zeros(N), None, "t: expected a dictionary by heads, y, z, got an object of type ndarray; pass t={'y': ...}"),
    ({"y": [0] * N}, None, "t: expected targets of each head, y, z, got none of z; add them, and mask those that"),
    ({"y": [0] * N, "zz": 1}, None, "t: expected heads out of y, z, got 'zz'; did you mean 'z'?"),
    ({"y": [0] * N, "s": 1}, None, "t: expected heads out of y, z, got 's'; a penalty takes no targets, leave it out"),
    ({"y": [3] * N, "z": [0] * N}, None, f"t['y']: expected labels of shape ({N},), integers from 0 to 2, got 3"),
    ({"y": [0], "z": [0] * N}, None, f"t['y']: expected labels of shape ({N},) or probabilities of shape ({N}, 3)"),
    ({"y": [0] * N, "z": [0] * N}, {"y": [1] * N}, f"mask['y']: expected booleans of shape ({N},)"),
    ({"y": [0] * N, "z": [0] * N}, {"s": [True] * N}, "mask: expected heads out of y, z, got 's'; a penalty takes no"),
    ({"y": [0], "z": [0] * N}, {"y": [True] * N}, f"t['y']: expected {N} rows, as x has, got shape (1,); fill up what"),
]  # fmt: skip


@pytest.mark.parametrize(("t", "mask", "sentence"), OF_DATA, ids=[sentence for *_, sentence in OF_DATA])
def test_data_that_are_refused(t: Any, mask: Any, sentence: str) -> None:
    heads: dict[str, Any] = {"y": HEAD, "z": Network([Affine(H, 2)], rng=0), "s": SparseL1()}
    both: Any = MultiTask(TRUNK, heads)
    before = TRUNK.params["W1"].copy()
    for call in (both.loss, both.losses, both.gradient, both.fit):
        with pytest.raises((TypeError, ValueError), match="^" + re.escape(sentence)):
            call(X, t, mask=mask)
    with pytest.raises((TypeError, ValueError), match="^" + re.escape(sentence)):
        both.step(X, t, fastnn.SGD(), mask=mask)
    np.testing.assert_array_equal(TRUNK.params["W1"], before)


def test_more_that_is_refused() -> None:
    both, t = Multi(TRUNK, {"y": HEAD}), {"y": np.zeros(N, int)}
    calls: list[tuple[Any, str]] = [
        (lambda: both.fit(X, t, validation_data=X), "validation_data: expected a pair (x, t), got ndarray; pass"),
        (
            lambda: both.fit(X, t, validation_data=(X, {})),
            "validation_data[1]: expected targets of each head, y, got none",
        ),
        (lambda: both.fit(X, t, optimizer="sgd"), "optimizer: expected an optimizer such as fastnn.SGD(lr=0.1), got"),
        (lambda: both.fit(X, t, batch_size=0), "batch_size: expected an integer of at least 1, got 0"),
        (lambda: both.fit(X * np.nan, t), "x: expected finite values, got nan at x[0, 0]"),
        (lambda: both.fit(X, t, lr=0.1), "fit: expected arguments out of x, t, epochs, batch_size, optimizer,"),
        (lambda: both.accuracy(X, {}), "t: expected targets of each head, y, got none of y; pass those of one"),
        (lambda: both.predict(np.ones((2, 3))), "x: expected a float32 array of shape (N, 5), got shape (2, 3)"),
        (
            lambda: Multi(TRUNK, {"y": HEAD, "s": SparseKL()}).loss(-9 * X, t),
            "h: expected activations from 0 to 1, got -",
        ),
    ]
    for call, sentence in calls:
        with pytest.raises((TypeError, ValueError), match="^" + re.escape(sentence)):
            call()


def test_a_layer_that_is_thawed_later_is_refused() -> None:
    """Batch normalization would go on with the statistics that it has learned, as if it were frozen."""
    trunk = Network([Affine(D, H), fastnn.BatchNorm(trainable=False), Tanh()], rng=0)
    model = MultiTask(trunk, {"y": Network([Affine(H, 3)], rng=1)})
    model.step(X, {"y": [0] * N}, fastnn.SGD())
    trunk.change_layers(1, trainable=True)
    before = {name: array.copy() for name, array in model.params.items()}
    calls: list[Any] = [
        lambda: model.step(X, {"y": [0] * N}, fastnn.SGD()),
        lambda: model.fit(X, {"y": [0] * N}, epochs=1, progress=False),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"^trunk: .* which takes .* here; leave it out, or pass trainable=False"):
            call()
    assert all((array == before[name]).all() for name, array in model.params.items())
    assert np.isfinite(model.loss(X, {"y": [0] * N}))
