"""Activations, losses and optimizers of a user's own: checked when made, then like fastnn's."""

import dataclasses
import json
import math
import pathlib
import re
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import SGD, Affine, Network
from fastnn.kernels.compile import JIT_DISABLED
from fastnn.operations import ACTIVATIONS, LAYERS, LOSSES, OPTIMIZERS, UPDATES
from tests import shapes
from tests.tolerances import assert_close

N, D, H, K = 40, 5, 6, 3


def mish(x: Any) -> Any:
    return x * math.tanh(math.log1p(math.exp(-abs(x))) + max(x, 0.0))


def mish_derivative(x: Any, y: Any) -> Any:
    t = math.tanh(math.log1p(math.exp(-abs(x))) + max(x, 0.0))
    return t + x * (1.0 - t * t) / (1.0 + math.exp(-x))


def focal(y: Any, t: Any) -> Any:
    """Lin et al., 2017, with gamma 2, from a logit."""
    z = y if t == 1.0 else -y
    missing = 1.0 / (1.0 + math.exp(z))
    return missing * missing * math.log1p(math.exp(-z))


def focal_derivative(y: Any, t: Any) -> Any:
    z = y if t == 1.0 else -y
    missing = 1.0 / (1.0 + math.exp(z))
    slope = -2.0 * missing * missing * (1.0 - missing) * math.log1p(math.exp(-z)) - missing * missing * missing
    return slope if t == 1.0 else -slope


def lion(p: Any, g: Any, m: Any, rates: Any) -> Any:
    """Chen et al., 2023."""
    lr, beta1, beta2 = rates
    move = beta1 * m + (1.0 - beta1) * g
    sign = 1.0 if move > 0.0 else -1.0 if move < 0.0 else 0.0
    return p - lr * sign, beta2 * m + (1.0 - beta2) * g


def two_means(p: Any, g: Any, s: Any, rates: Any) -> Any:
    """Adam without the correction of its bias."""
    lr, beta = rates
    m, v = beta * s[0] + (1.0 - beta) * g, beta * s[1] + (1.0 - beta) * g * g
    return p - lr * m / (math.sqrt(v) + 1e-8), (m, v)


def plain(p: Any, g: Any, s: Any, rates: Any) -> Any:
    return p - rates[0] * g, s


MyMish: Any
MyFocal: Any
MyLion: Any
Means: Any
Plain: Any


@pytest.fixture(scope="module", autouse=True)
def own_classes() -> Iterator[None]:
    """Classes for these tests alone, as other tests go through all operations that there are."""
    global MyMish, MyFocal, MyLion, Means, Plain
    tables: list[dict[str, Any]] = [ACTIVATIONS, LAYERS, LOSSES, OPTIMIZERS, UPDATES]
    before = [dict(table) for table in tables]
    MyMish = fastnn.activation(mish, derivative=mish_derivative, name="my_mish")
    MyFocal = fastnn.loss(focal, derivative=focal_derivative, name="my_focal")
    MyLion = fastnn.optimizer(lion, state=1, rates={"beta1": 0.9, "beta2": 0.99}, name="my_lion")
    Means = fastnn.optimizer(two_means, state=2, rates={"beta": 0.9}, name="two_means")
    Plain = fastnn.optimizer(plain, state=0, rates={}, name="plain")
    yield
    for table, kept in zip(tables, before, strict=True):
        for name in set(table) - set(kept):
            del table[name]


def data(dtype: str = "float32") -> tuple[Any, Any]:
    x = shapes.numbers(1, N, D, dtype=np.dtype(dtype).type)
    return x, (shapes.numbers(2, N, K) > 0.0).astype(dtype)


def network(dtype: str = "float32", loss: Any = "my_focal") -> Network:
    return Network([Affine(D, H), MyMish(), Affine(H, K)], loss, rng=0, dtype=dtype)


def bits(net: Network) -> list[bytes]:
    return [array.tobytes() for array in net.params.values()]


def test_they_are_classes_with_names() -> None:
    assert [kind.__name__ for kind in (MyMish, MyFocal, MyLion, Means)] == ["MyMish", "MyFocal", "MyLion", "TwoMeans"]
    assert str(MyMish()) == "MyMish()"
    assert LAYERS["MyMish"] is ACTIVATIONS["my_mish"] is MyMish and LOSSES["my_focal"] is MyFocal
    assert OPTIMIZERS["MyLion"] is UPDATES["my_lion"] is MyLion
    kind: Any = OPTIMIZERS["MyLion"]
    assert repr(kind(0.1, beta2=0.5)) == "MyLion(lr=0.1, beta1=0.9, beta2=0.5)"
    assert [one.name for one in dataclasses.fields(MyLion)] == ["lr", "clip_value", "clip_norm", "beta1", "beta2"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_network_of_them_is_that_of_numpy(dtype: str) -> None:
    net, (x, t) = network(dtype), data(dtype)
    p = {name: array.astype(np.float64) for name, array in net.params.items()}
    h = x.astype(np.float64) @ p["W1"] + p["b1"]
    y = np.vectorize(mish)(h) @ p["W2"] + p["b2"]
    assert_close(net.predict(x), y, dtype)
    assert_close(net.loss(x, t), np.vectorize(focal)(y, t).sum() / N, dtype)
    dy = np.vectorize(focal_derivative)(y, t) / N
    dh = np.vectorize(lambda x: mish_derivative(x, mish(x)))(h) * (dy @ p["W2"].T)
    gradient = net.gradient(x, t)
    assert_close(gradient["W1"], x.astype(np.float64).T @ dh, dtype)
    assert_close(gradient["b2"], dy.sum(axis=0), dtype)


@pytest.mark.parametrize("loss", ["my_focal", "mean_squared_error"])
def test_gradients_are_checked(loss: Any) -> None:
    net, (x, t) = network("float64", loss), data("float64")
    assert fastnn.check_gradients(net, x[:7], t[:7]).passed
    wrong = {name: array.copy() for name, array in net.gradient(x[:7], t[:7]).items()}
    wrong["W1"] *= 1.01
    assert not fastnn.check_gradients(net, x[:7], t[:7], gradient=wrong).passed


def test_numerical_gradient_is_that_of_a_plain_loop() -> None:
    net, (x, t) = network("float64"), data("float64")
    found = net.numerical_gradient(x[:5], t[:5])["W1"]
    for i, j in ((0, 0), (4, 5)):
        losses = []
        for step in (1e-4, -1e-4):
            before = net.params["W1"][i, j]
            net.params["W1"][i, j] = before + step
            losses.append(net.loss(x[:5], t[:5]))
            net.params["W1"][i, j] = before
        assert_close(found[i, j], (losses[0] - losses[1]) / 2e-4, rtol=1e-7)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_updates_are_those_of_numpy(dtype: Any) -> None:
    net, (x, t) = network(np.dtype(dtype).name), data(np.dtype(dtype).name)
    for optimizer, update, kept in (
        (MyLion(0.01), lion, 0.0),
        (Means(0.01), two_means, (0.0, 0.0)),
        (Plain(0.1), plain, 0.0),
    ):
        rates = (optimizer.lr, *(getattr(optimizer, one.name) for one in dataclasses.fields(optimizer)[3:]))
        state: Any = kept
        for _ in range(3):
            g, p = (float(array["W2"][1, 1]) for array in (net.gradient(x, t), net.params))
            expected, state = update(p, g, state, rates)
            net.step(x, t, optimizer)
            assert_close(net.params["W2"][1, 1], expected, np.dtype(dtype).name)


@pytest.mark.skipif(JIT_DISABLED, reason="starts no threads without the compiler")
def test_same_bits_on_any_number_of_threads(chosen_threads: None) -> None:
    found = []
    for n in (1, 2):
        fastnn.set_num_threads(min(n, fastnn.engine.threads._LIMIT) if hasattr(fastnn, "threads") else n)
        net = Network([Affine(100, 50), MyMish(), Affine(50, K)], "my_focal", rng=0)  # type: ignore[arg-type]
        x = shapes.numbers(1, 300, 100, dtype=np.float32)
        t = (shapes.numbers(2, 300, K) > 0.0).astype(np.float32)
        net.fit(x, t, epochs=2, batch_size=100, optimizer=MyLion(0.01), rng=0, progress=False)
        found.append(bits(net))
    assert found[0] == found[1]


def test_files(path: pathlib.Path) -> None:
    net, (x, t) = network(), data()
    for _ in range(3):
        net.step(x, t, MyLion(0.01))
    net.save(path)
    loaded = fastnn.load(path)
    assert loaded.predict(x).tobytes() == net.predict(x).tobytes()
    assert loaded.optimizer == MyLion(0.01)
    for one in (net, loaded):
        one.fit(x, t, epochs=1, rng=0, progress=False)
    assert bits(loaded) == bits(net)


@pytest.mark.parametrize(
    ("table", "key", "place"),
    [(LAYERS, "MyMish", "layers[1].class"), (LOSSES, "my_focal", "loss")],
    ids=["layer", "loss"],
)
def test_a_file_of_one_that_is_not_made(
    table: dict[str, Any], key: str, place: str, path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network().save(path)
    monkeypatch.delitem(table, key)
    remedy = "if it is your own, make it first, by fastnn.activation, layer, loss or optimizer"
    with pytest.raises(fastnn.ModelFileError, match=f"{re.escape(place)}: expected one of .* got '{key}'.*; {remedy}"):
        fastnn.load(path)


def tripled(x: Any) -> Any:
    return 3.0 * x


def tripled_slope(x: Any, y: Any) -> Any:
    return 3.0


def distance(y: Any, t: Any) -> Any:
    return (y - t) ** 2


def distance_slope(y: Any, t: Any) -> Any:
    return 2.0 * (y - t)


def plain_descent(p: Any, g: Any, s: Any, rates: Any) -> Any:
    return p - rates[0] * g, s


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: fastnn.activation(tripled, derivative=tripled_slope, name="my_mish"), "MyMish"),
        (lambda: fastnn.loss(distance, derivative=distance_slope, name="my_focal"), "MyFocal"),
        (
            lambda: fastnn.optimizer(plain_descent, state=1, rates={"beta1": 0.9, "beta2": 0.99}, name="my_lion"),
            "MyLion",
        ),
    ],
    ids=["activation", "loss", "optimizer"],
)
def test_a_file_refuses_another_function_of_the_same_name(
    make: Callable[[], Any], name: str, path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, (x, t) = network(), data()
    net.step(x, t, MyLion(0.01))
    net.save(path)
    for table in (LAYERS, ACTIVATIONS, LOSSES, OPTIMIZERS, UPDATES):
        for key, kind in table.items():
            monkeypatch.setitem(table, key, kind)  # puts the first definition back
    make()
    problem = f"own_operations.json: expected your own {name} to have .* as when the file was written, got "
    with pytest.raises(fastnn.ModelFileError, match=f"{problem}.*; define it as it was then, or use the file's"):
        fastnn.load(path)


def test_a_small_difference_of_functions_shows_in_the_error(path: pathlib.Path) -> None:
    path = path.with_suffix(".npz")
    network().save(path)
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    noted = json.loads(members["own_operations.json"])
    largest = max(noted["MyMish"], key=lambda row: abs(row[1][0]))
    largest[1] = [number * (1.0 + 1e-8) for number in largest[1]]
    members["own_operations.json"] = json.dumps(noted).encode()
    with zipfile.ZipFile(path, "w") as file:
        for name, text in members.items():
            file.writestr(name, text)
    with pytest.raises(fastnn.ModelFileError) as caught:
        fastnn.load(path)
    was, now = re.search(r" = (.*), as when the file was written, got (.*);", str(caught.value)).groups()  # type: ignore[union-attr]
    assert was != now


@pytest.mark.parametrize("content", [b"", b"[]", b'{"MyMish": 3}', b'{"MyMish": [[[0.5], "a"]]}', b"[" * 10_000])
def test_a_file_with_damaged_results(content: bytes, path: pathlib.Path) -> None:
    path = path.with_suffix(".npz")
    network().save(path)
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    members["own_operations.json"] = content
    with zipfile.ZipFile(path, "w") as file:
        for name, member in members.items():
            file.writestr(name, member)
    with pytest.raises(fastnn.ModelFileError, match=r"own_operations\.json: expected points and results by name"):
        fastnn.load(path)


def test_a_cell_may_run_again(path: pathlib.Path) -> None:
    """Functions that compute the same, made anew, are the operation that there is: its networks can still be saved."""
    net = network()
    cell = "def scaled(x):\n    return factor * x\n\n\ndef slope(x, y):\n    return factor\n"
    classes = []
    for factor in (2.0, 2.0, 3.0):
        names: dict[str, Any] = {"factor": factor}
        exec(compile(cell, "a cell", "exec"), names)
        classes.append(fastnn.activation(names["scaled"], derivative=names["slope"], name="cell_scaled"))
    assert classes[0] is classes[1] is not classes[2]
    assert fastnn.activation(mish, derivative=mish_derivative, name="my_mish") is MyMish
    assert fastnn.loss(focal, derivative=focal_derivative, name="my_focal") is MyFocal
    assert fastnn.optimizer(lion, state=1, rates={"beta1": 0.9, "beta2": 0.99}, name="my_lion") is MyLion
    net.save(path)


def test_an_operation_that_is_defined_differently() -> None:
    again = fastnn.activation(tripled, derivative=tripled_slope, name="my_mish")
    assert LAYERS["MyMish"] is again is not MyMish
    net = Network([Affine(D, H), again(), Affine(H, K)], rng=0)
    net.step(data()[0], np.zeros(N, int), SGD(0.1))
    with pytest.raises(
        ValueError, match=r"layers\[1\]: .* got MyMish\(\), made before MyMish was defined again; create it"
    ):
        network()
    LAYERS["MyMish"] = ACTIVATIONS["my_mish"] = MyMish


@pytest.mark.parametrize(
    ("make", "error", "sentence"),
    [
        (
            lambda: fastnn.activation(mish, derivative=lambda x, y: y, name="wrong"),
            ValueError,
            "derivative: expected the derivative, -0.0973006 at x = -2.9 by a difference quotient, got -0.155184; ",
        ),
        (
            lambda: fastnn.activation(lambda x: 1.0 / (x - x), derivative=lambda x, y: x, name="wrong"),
            ValueError,
            "f: expected a finite number at x = -20, got ZeroDivisionError: float division by zero; mend the function, "
            "or pass at=(...), where it is to be tried",
        ),
        (
            lambda: fastnn.activation(lambda x: math.inf, derivative=lambda x, y: 0.0, name="wrong"),
            ValueError,
            "f: expected a finite number at x = -20, got inf; mend the function",
        ),
        (
            lambda: fastnn.activation(mish, derivative=mish_derivative, name="relu"),
            ValueError,
            "name: expected one that fastnn does not use itself, got 'relu'; pass another",
        ),
        (
            lambda: fastnn.activation(mish, derivative=mish_derivative, name="My Mish"),
            ValueError,
            "name: expected a lower-case identifier such as \"mish\", got 'My Mish'; pass another",
        ),
        (
            lambda: fastnn.loss(focal, derivative=lambda y, t: 0.0, name="wrong"),
            ValueError,
            "derivative: expected the derivative, ",
        ),
        (
            lambda: fastnn.optimizer(lambda p, g, s, rates: p, state=0, rates={}, name="wrong"),
            ValueError,
            "update: expected (p, s), finite, where s is a number (0.0 if state=0), got -20.0 for p=-20.0, g=-0.7; ",
        ),
        (
            lambda: fastnn.optimizer(lion, state=1, rates={"beta1": 1.5}, name="wrong"),
            ValueError,
            "rates['beta1']: expected ",
        ),
    ],
)
def test_refused(make: Callable[[], Any], error: Any, sentence: str) -> None:
    with pytest.raises(error, match=f"^{re.escape(sentence)}"):
        make()
    assert "wrong" not in ACTIVATIONS and "wrong" not in LOSSES and "wrong" not in UPDATES


@pytest.mark.skipif(JIT_DISABLED, reason="plain Python runs it")
def test_what_numba_does_not_compile() -> None:
    expected = "^f: expected a function of x that Numba compiles for float32 and that raises nothing, got uncompiled; "
    with pytest.raises(TypeError, match=expected):
        fastnn.activation(uncompiled, derivative=lambda x, y: 1.0, name="wrong")


def uncompiled(x: Any) -> Any:
    return globals()["math"].sin(x)
