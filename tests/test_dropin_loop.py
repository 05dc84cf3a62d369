"""The plain loop's contract where the engine does not step in, and the networks that the book's scripts import."""

import collections
import re
import time
from typing import Any

import numpy as np
import pytest

from fastnn import PrecisionWarning
from fastnn.dropin import record
from fastnn.dropin.common.gradient import numerical_gradient, numerical_gradient_2d, plain_numerical_gradient
from fastnn.dropin.common.multi_layer_net import MultiLayerNet
from fastnn.dropin.common.multi_layer_net_extend import MultiLayerNetExtend
from tests.book_style import assert_same, batch, observe_always, plain_loop, reasons, ways


@pytest.fixture(autouse=True)
def fresh_record(monkeypatch: pytest.MonkeyPatch) -> None:
    record.reset()
    observe_always(monkeypatch)


# --- the plain loop's contract --------------------------------------------------------------------


def test_order_and_object_of_the_calls() -> None:
    x = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    moved: list[tuple[int, ...]] = []

    def f(array: Any) -> float:
        assert array is x
        moved.append(tuple(np.argwhere(array != np.arange(6.0).reshape(2, 3))[0]))
        return float(array.sum())

    numerical_gradient(f, x)
    columns_first = [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2), (1, 2)]
    assert moved == [place for place in columns_first for _ in range(2)]


@pytest.mark.filterwarnings("ignore::fastnn.PrecisionWarning")
@pytest.mark.parametrize(
    ("x", "expected"),
    [(np.array([3, 4]), [25000, 35000]), (np.array([3.0, 4.0], np.float16), [0, 0]), (np.array(3.0), 6.0)],
)
def test_what_the_book_gives_for_other_arrays(x: Any, expected: Any) -> None:
    found = numerical_gradient(lambda v: np.sum(v**2), x)
    assert found.dtype == x.dtype and found.shape == x.shape
    np.testing.assert_allclose(found, expected, rtol=1e-7)


def test_float32_is_left_to_the_plain_loop() -> None:
    found = numerical_gradient(lambda v: np.sum(v**2), np.array([3.0, 4.0], np.float32))
    assert found.dtype == np.float32
    assert abs(found - [5.989, 8.001]).max() < 0.02


def test_integers_warn() -> None:
    with pytest.warns(PrecisionWarning, match=r"^x: expected floats, got int64, which cannot hold x \+ 0.0001"):
        numerical_gradient(lambda v: np.sum(v**2), np.array([3, 4], np.int64))


def test_what_is_no_array_of_entries() -> None:
    with pytest.raises(TypeError, match=r"^x: expected an array, got list; pass np.array\(x, float\)$"):
        numerical_gradient(np.sum, [3.0, 4.0])
    with pytest.raises(ValueError, match="size"):
        numerical_gradient(np.sum, np.empty(0))
    locked = np.ones(30)
    locked.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        numerical_gradient(np.sum, locked)


def test_rows_one_at_a_time() -> None:
    X = np.arange(6.0).reshape(2, 3)
    shapes: collections.Counter[Any] = collections.Counter()

    def f(row: Any) -> Any:
        shapes[row.shape] += 1
        return np.sum(row**2)

    np.testing.assert_allclose(numerical_gradient_2d(f, X), 2 * X, atol=1e-9)
    assert shapes == {(3,): 12}
    np.testing.assert_allclose(numerical_gradient_2d(f, X[0]), 2 * X[0], atol=1e-9)
    assert numerical_gradient_2d(f, np.empty(0)).shape == (0,)
    with pytest.raises(TypeError, match=re.escape("X: expected one or two dimensions, got 3")):
        numerical_gradient_2d(f, np.ones((2, 2, 2)))


# --- the networks that the book's scripts import --------------------------------------------------


@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
@pytest.mark.parametrize("decay", [0, 0.1])
def test_multi_layer_net(activation: str, decay: float) -> None:
    np.random.seed(1)  # noqa: NPY002
    net: Any = MultiLayerNet(7, [6, 5], 8, activation=activation, weight_decay_lambda=decay)
    x, t = batch()
    plain = {k: plain_loop(lambda _: net.loss(x, t), net.params[k]) for k in net.params}
    assert_same(net.numerical_gradient(x, np.eye(8)[t]), plain)
    assert_same(net.numerical_gradient(x, t), plain)
    assert set(ways()) == {"engine"}
    for name, array in net.gradient(x, t).items():
        np.testing.assert_allclose(array, plain[name], atol=1e-5)


@pytest.mark.parametrize("settings", [{}, {"use_batchnorm": True}, {"use_dropout": True, "dropout_ration": 0.2}])
def test_multi_layer_net_extend(settings: dict[str, Any]) -> None:
    x, t = batch()
    nets: list[Any] = []
    for _ in range(2):
        np.random.seed(1)  # noqa: NPY002
        nets.append(MultiLayerNetExtend(7, [6, 5], 8, weight_decay_lambda=0.1, **settings))
    state_of_the_generator = np.random.get_state()  # noqa: NPY002
    found = nets[0].numerical_gradient(x, t)
    np.random.set_state(state_of_the_generator)  # noqa: NPY002
    plain = {k: plain_loop(lambda _: nets[1].loss(x, t, train_flg=True), nets[1].params[k]) for k in found}
    assert set(ways()) == ({"plain loop"} if settings else {"engine"}), reasons()
    assert set(found) == set(nets[0].params)
    assert_same(found, plain)
    if "use_dropout" not in settings:
        for name, array in nets[0].gradient(x, t).items():
            np.testing.assert_allclose(array, plain[name], atol=1e-5)


def test_the_loop_around_the_calls_is_as_quick_as_the_books() -> None:
    x = np.ones(400)
    seconds: dict[Any, float] = {}
    for _ in range(15):
        for loop in (plain_loop, plain_numerical_gradient):
            start = time.process_time()
            loop(lambda _: 1.0, x)
            seconds[loop] = min(seconds.get(loop, np.inf), time.process_time() - start)
    assert seconds[plain_numerical_gradient] < 1.6 * seconds[plain_loop], seconds
