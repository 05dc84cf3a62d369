"""Layers of a user's own, with parameters for each unit: checked when made, then like fastnn's."""

import copy
import math
import pathlib
import pickle
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import SGD, Adam, Affine, Dropout, Network, Regularization, Relu
from fastnn.engine import threads
from fastnn.kernels.compile import JIT_DISABLED
from fastnn.operations import LAYERS
from tests import shapes
from tests.tolerances import assert_close

N, D, H, K = 40, 5, 6, 3


def swish(x: Any, beta: Any) -> Any:
    """Ramachandran, Zoph and Le, 2017."""
    return x / (1.0 + math.exp(-beta * x))


def swish_slopes(x: Any, beta: Any) -> Any:
    s = 1.0 / (1.0 + math.exp(-beta * x))
    return s + beta * x * s * (1.0 - s), x * x * s * (1.0 - s)


def bent(x: Any, left: Any, right: Any, shift: Any) -> Any:
    """Three parameters, and a kink."""
    return (left if x < 0.0 else right) * x + shift


MySwish: Any
Bent: Any


@pytest.fixture(scope="module", autouse=True)
def own_classes() -> Iterator[None]:
    """Classes for these tests alone, as other tests go through all layers that there are."""
    global MySwish, Bent
    before = dict(LAYERS)
    MySwish = fastnn.layer(swish, derivative=swish_slopes, parameters={"beta": 1.0}, name="my_swish")
    numbers = {"left": 0.25, "right": 1.5, "shift": 0.1}
    Bent = fastnn.layer(bent, derivative=bent_slopes_as_floats, parameters=numbers, name="bent", kinks=(0.0,))
    yield
    for name in set(LAYERS) - set(before):
        del LAYERS[name]


def bent_slopes_as_floats(x: Any, left: Any, right: Any, shift: Any) -> Any:
    return (left, x, 0.0, 1.0) if x < 0.0 else (right, 0.0, x, 1.0)


def data(dtype: str = "float32") -> tuple[Any, Any]:
    x = shapes.numbers(1, N, D, dtype=np.dtype(dtype).type)
    return x, shapes.numbers(2, N, K, dtype=np.dtype(dtype).type)


def network(dtype: str = "float64", **options: Any) -> Network:
    layers = [Affine(D, H), MySwish(0.8), Affine(H, H), Bent(), Affine(H, K)]
    net = Network(layers, "mean_squared_error", rng=0, dtype=dtype, **options)
    for name in ("beta1", "left1", "right1", "shift1"):  # each unit has its own
        net.params[name] += 0.1 * np.arange(H)
    return net


def bits(net: Network) -> list[bytes]:
    return [array.tobytes() for array in net.params.values()]


def test_a_class_whose_fields_are_where_its_parameters_begin() -> None:
    kinds: Any = LAYERS
    assert MySwish.__name__ == "MySwish" and kinds["MySwish"] is MySwish and str(MySwish()) == "MySwish(1.0)"
    net = Network([Affine(D, H), MySwish(beta=0.5), Affine(H, H), MySwish(), Affine(H, K), Bent(right=2.0)], rng=0)
    assert {name: net.params[name].shape for name in ("beta1", "beta2")} == {"beta1": (H,), "beta2": (H,)}
    assert (net.params["beta1"] == 0.5).all() and (net.params["beta2"] == 1.0).all()
    assert (net.params["right1"] == 2.0).all() and net.params["left1"].shape == (K,)
    rows = [re.split(r"\s{2,}", row) for row in net.summary().splitlines()]
    assert ["MySwish(0.5)", f"{H}", f"{H}"] in rows and ["Bent(0.25, 2.0, 0.1)", f"{K}", f"{3 * K}"] in rows


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_forward_and_backward_are_those_of_numpy(dtype: str) -> None:
    net, (x, t) = network(dtype), data(dtype)
    p = {name: array.astype(np.float64) for name, array in net.params.items()}
    h = x.astype(np.float64) @ p["W1"] + p["b1"]
    g = np.vectorize(swish)(h, p["beta1"]) @ p["W2"] + p["b2"]
    a = np.where(g < 0.0, p["left1"], p["right1"]) * g + p["shift1"]
    y = a @ p["W3"] + p["b3"]
    assert_close(net.predict(x), y, dtype)
    assert_close(net.outputs_of_layers(x)[3], a, dtype)
    dy = (y - t) / N
    da = dy @ p["W3"].T
    dg = da * np.where(g < 0.0, p["left1"], p["right1"])
    by_x, by_beta = np.vectorize(swish_slopes)(h, p["beta1"])
    dh = dg @ p["W2"].T * by_x
    expected = {
        "W1": x.astype(np.float64).T @ dh,
        "beta1": (dg @ p["W2"].T * by_beta).sum(axis=0),
        "left1": (da * np.where(g < 0.0, g, 0.0)).sum(axis=0),
        "right1": (da * np.where(g < 0.0, 0.0, g)).sum(axis=0),
        "shift1": da.sum(axis=0),
        "W3": a.T @ dy,
    }
    found, (gradient, dx) = net.gradient(x, t), net.backward(x, dy, need_dx=True)
    for name, array in expected.items():
        assert_close(found[name], array, dtype)
        assert_close(gradient[name], array, dtype)
    assert_close(dx, dh @ p["W1"].T, dtype)


def test_numerical_gradients_are_those_of_a_plain_loop() -> None:
    net, (x, t) = network(), data("float64")
    found = net.numerical_gradient(x[:5], t[:5])
    for name, j in (("b1", 2), ("beta1", 3), ("left1", 1), ("right1", 5), ("shift1", 0)):
        losses = []
        for step in (1e-4, -1e-4):
            before = net.params[name][j]
            net.params[name][j] = before + step
            losses.append(net.loss(x[:5], t[:5]))
            net.params[name][j] = before
        assert_close(found[name][j], (losses[0] - losses[1]) / 2e-4, rtol=1e-7)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradients_are_checked(dtype: str) -> None:
    net, (x, t) = network(dtype), data(dtype)
    report = fastnn.check_gradients(net, x[:7], t[:7])
    assert report.passed, report
    for name in ("W1", "beta1", "right1"):
        wrong = {one: array.copy() for one, array in net.gradient(x[:7], t[:7]).items()}
        wrong[name] *= 1.01
        report = fastnn.check_gradients(net, x[:7], t[:7], gradient=wrong)
        assert [one.name for one in report.tensors.values() if one.verdict != "agree"] == [name], report


def test_training_moves_them_and_regularization_leaves_them_alone() -> None:
    x, t = data("float64")
    net, plain = network(regularization=Regularization(l2=0.1)), network()
    for name, array in net.gradient(x, t).items():
        penalty = 0.1 * net.params[name] if name[0] == "W" else 0.0
        assert_close(array, plain.gradient(x, t)[name] + penalty, "float64")
    before = net.params["beta1"].copy()
    history = net.fit(x, t, epochs=3, batch_size=10, optimizer=Adam(0.01), rng=0, progress=False)
    assert (net.params["beta1"] != before).all()
    assert history.loss[-1] < history.loss[0]


@pytest.mark.skipif(JIT_DISABLED, reason="starts no threads without the compiler")
def test_same_bits_on_any_number_of_threads() -> None:
    found = []
    for n in (1, 2):
        layers = [Affine(100, 50), MySwish(), Dropout(0.1), Affine(50, 50), Bent(), Affine(50, K)]
        net = Network(layers, "mean_squared_error", rng=0, n_threads=min(n, threads.get_num_threads()))
        x, t = shapes.numbers(1, 300, 100, dtype=np.float32), shapes.numbers(2, 300, K, dtype=np.float32)
        net.fit(x, t, epochs=1, batch_size=100, optimizer=SGD(0.01), rng=0, progress=False)
        numerical = Network(layers[:2], "mean_squared_error", rng=0, n_threads=n).numerical_gradient(x[:3], x[:3, :50])
        found.append([*bits(net), net.predict(x).tobytes(), *(array.tobytes() for array in numerical.values())])
    assert found[0] == found[1]


def test_files_and_copies(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net, (x, t) = network("float32"), data()
    net.step(x, t, SGD(0.01))
    net.save(tmp_path / "own.npz")
    for one in (fastnn.load(tmp_path / "own.npz"), copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert one.predict(x).tobytes() == net.predict(x).tobytes()
        assert [str(layer) for layer in one.layers] == [str(layer) for layer in net.layers]
        one.step(x, t, SGD(0.01))
        assert bits(one) != bits(net)
    monkeypatch.delitem(LAYERS, "MySwish")
    remedy = "if it is your own, make it first, by fastnn.activation, layer, loss or optimizer"
    with pytest.raises(
        fastnn.ModelFileError, match=rf"layers\[1\]\.class: expected one of .* got 'MySwish'.*; {remedy}"
    ):
        fastnn.load(tmp_path / "own.npz")


def test_a_file_tells_where_they_began_and_what_they_are() -> None:
    net = network()
    net.initialize(1)
    assert (net.params["beta1"] == 0.8).all() and (net.params["shift1"] == 0.1).all()
    layers = [Affine(D, H), Relu(), MySwish(math.pi), Affine(H, K)]
    assert (Network(layers, rng=0, dtype="float64").params["beta1"] == math.pi).all()


def made(
    f: Callable[..., Any] = swish,
    slopes: Callable[..., Any] = swish_slopes,
    parameters: Any = (("beta", 1.0),),
    name: str = "wrong",
) -> Callable[[], Any]:
    given = dict(parameters) if isinstance(parameters, tuple) else parameters
    return lambda: fastnn.layer(f, derivative=slopes, parameters=given, name=name)


@pytest.mark.parametrize(
    ("make", "error", "sentence"),
    [
        (
            made(f=lambda x, beta: beta * x, slopes=lambda x, beta: (1.0, x)),  # right where beta begins
            ValueError,
            "derivative by x: expected the derivative, 1.4 at x = -20, beta = 1.4 by a difference quotient, got 1; ",
        ),
        (
            made(f=lambda x, beta: beta + x, slopes=lambda x, beta: (1.0, x)),
            ValueError,
            "derivative by beta: expected the derivative, 1 at x = -20, beta = 1 by a difference quotient, got -20; "
            "mend the derivative or the function",
        ),
        (
            made(slopes=lambda x, beta: beta),
            ValueError,
            "derivative: expected a tuple of 2 numbers, by x, beta, got 1.0; return one number for each",
        ),
        (
            made(f=lambda x, beta: beta / x if x > 0 else math.inf),
            ValueError,
            "f: expected a finite number at x = -20, beta = 1, got inf; mend the function",
        ),
        (
            made(slopes=lambda x, beta: (math.nan, 0.0)),
            ValueError,
            "derivative by x: expected a finite number at x = -20, beta = 1, got nan; mend the function",
        ),
        (made(name="batch_norm"), ValueError, "name: expected one that fastnn does not use itself, got 'batch_norm'"),
        (made(name="relu"), ValueError, "name: expected one that fastnn does not use itself, got 'relu'"),
        (made(parameters={}), TypeError, "parameters: expected a mapping of 1 to 3 names to numbers, got one of 0; "),
        (made(parameters="beta"), TypeError, "parameters: expected a mapping of 1 to 3 names to numbers, got 'beta'"),
        (
            made(parameters=(("a b", 1.0),)),
            ValueError,
            "parameters: expected lower-case identifiers, got 'a b'; pass another",
        ),
        (
            made(parameters=(("units", 1.0),)),
            ValueError,
            "parameters: expected names that are not taken, got 'units', which fastnn ",
        ),
        (
            made(parameters=(("if", 1.0),)),
            ValueError,
            "parameters: expected names that are not taken, got 'if', which Python ",
        ),
        (made(parameters=(("beta2", 1.0),)), ValueError, "parameters: expected names without a digit at the end, got "),
        (made(parameters=(("beta", math.nan),)), ValueError, "parameters['beta']: expected a finite number, got nan"),
        (lambda: MySwish(math.inf), ValueError, "beta: expected a finite number, got inf"),
        (lambda: Network([Affine(2, 2), MySwish(1e39)]), ValueError, "layers[1]: expected a finite number"),
    ],
)
def test_refused(make: Callable[[], Any], error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=f"^{re.escape(sentence)}"):
        make()
    assert "Wrong" not in LAYERS


@pytest.mark.skipif(JIT_DISABLED, reason="plain Python runs it")
def test_what_numba_does_not_compile() -> None:
    expected = (
        "^f: expected a function of x, beta that Numba compiles for float32 and that raises nothing, got uncompiled; "
    )
    with pytest.raises(TypeError, match=expected):
        fastnn.layer(uncompiled, derivative=swish_slopes, parameters={"beta": 1.0}, name="wrong")


def uncompiled(x: Any, beta: Any) -> Any:
    return globals()["math"].sin(beta * x)
