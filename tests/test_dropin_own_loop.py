"""Numerical gradients that a script defines itself are recognized by their behavior, and nothing else is."""

import ast
import importlib.util
import pathlib
from typing import Any

import numpy as np
import pytest

from fastnn.dropin import own_loop, record
from fastnn.dropin.script import Loader
from tests.book_style import OwnFormulas, batch, observe_always, plain_loop, ways

NDITER = """
import numpy as np

def numerical_gradient(f, x):
    h = 1e-4
    grad = np.zeros_like(x)
    it = np.nditer(x, flags=['multi_index'], op_flags=['readwrite'])
    while not it.finished:
        idx = it.multi_index
        tmp_val = x[idx]
        x[idx] = float(tmp_val) + h
        fxh1 = f(x)
        x[idx] = tmp_val - h
        fxh2 = f(x)
        grad[idx] = (fxh1 - fxh2) / (2*h)
        x[idx] = tmp_val
        it.iternext()
    return grad
"""
FOR = """
import numpy as np
H = 1e-3

def gradient(func, params):
    out = np.zeros(params.shape)
    for place in np.ndindex(params.shape):
        old = params[place]
        params[place] = old + H
        above = func(params)
        params[place] = old - H
        below = func(params)
        params[place] = old
        out[place] = (above - below) / (2 * H)
    return out
"""
VECTOR = """
import numpy as np

def numerical_gradient(f, x):
    h = 1e-4
    grad = np.zeros_like(x)
    for idx in range(x.size):
        tmp_val = x[idx]
        x[idx] = float(tmp_val) + h
        fxh1 = f(x)
        x[idx] = tmp_val - h
        fxh2 = f(x)
        grad[idx] = (fxh1 - fxh2) / (2*h)
        x[idx] = tmp_val
    return grad
"""
OTHERS = {
    "forward": NDITER.replace("tmp_val - h", "tmp_val").replace("(2*h)", "h"),
    "divided by h": NDITER.replace("(2*h)", "h"),
    "not put back": NDITER.replace("        x[idx] = tmp_val\n", ""),
    "copies": NDITER.replace("f(x)", "f(x.copy())"),
    "prints": NDITER.replace("it.iternext()", "it.iternext(); print(idx)"),
    "counts": NDITER.replace("    h = 1e-4", "    global N\n    N += 1\n    h = 1e-4") + "N = 0\n",
    "draws": NDITER.replace("it.iternext()", "it.iternext(); np.random.rand()"),
    "rounds": NDITER.replace("return grad", "return grad.round(6)"),
    "float32": NDITER.replace("return grad", "return grad.astype('float32')"),
    "raises": NDITER.replace("h = 1e-4", "h = 1e-4 + x.weights"),
}


@pytest.fixture(autouse=True)
def fresh_record(monkeypatch: pytest.MonkeyPatch) -> None:
    record.reset()
    observe_always(monkeypatch)


def module(folder: pathlib.Path, code: str) -> Any:
    """A module whose source is read as a script's."""
    file = folder / "script.py"
    file.write_text(code)
    spec = importlib.util.spec_from_file_location("script", file, loader=Loader("script", str(file)))
    assert spec is not None
    made = importlib.util.module_from_spec(spec)
    Loader("script", str(file)).exec_module(made)
    return made


@pytest.mark.parametrize(("code", "name", "h"), [(NDITER, "numerical_gradient", 1e-4), (FOR, "gradient", 1e-3)])
def test_a_scripts_own_loop_is_evaluated_by_the_engine(tmp_path: pathlib.Path, code: str, name: str, h: float) -> None:
    own = getattr(module(tmp_path, code), name)
    assert own_loop.step_of(own.__wrapped__, 2) == h
    assert own.__code__ is not own.__wrapped__.__code__ and own.__name__ == name
    assert own.__wrapped__.__code__.co_firstlineno == code[: code.index("def ")].count("\n") + 1
    net, (x, t) = OwnFormulas((7, 9, 8)), batch()
    for array in net.params.values():
        found = own(lambda _: net.loss(x, t), array)
        np.testing.assert_allclose(found, own.__wrapped__(lambda _: net.loss(x, t), array), rtol=0, atol=1e-9)
    assert set(ways()) == {"engine"}


def test_of_vectors_alone(tmp_path: pathlib.Path) -> None:
    own = module(tmp_path, VECTOR).numerical_gradient
    assert own_loop.step_of(own.__wrapped__, 1) == 1e-4
    assert own_loop.step_of(own.__wrapped__, 2) is None


@pytest.mark.parametrize("kind", OTHERS)
def test_what_does_something_else_runs_as_it_is(
    tmp_path: pathlib.Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    made = module(tmp_path, OTHERS[kind])
    own = made.numerical_gradient
    assert own_loop.step_of(own.__wrapped__, 2) is None
    assert capsys.readouterr().out == ""
    assert getattr(made, "N", 0) == 0
    x = np.arange(120.0).reshape(10, 12)
    if kind == "raises":
        with pytest.raises(AttributeError):
            own(np.sum, x)
        return
    results = [f(lambda v: np.sum(v**2), x.copy()) for f in (own, own.__wrapped__)]
    np.testing.assert_array_equal(*results)
    assert ways() == []
    assert capsys.readouterr().err.count("`from common.gradient import numerical_gradient` has fastnn's") == 1


def test_a_step_that_changes(tmp_path: pathlib.Path) -> None:
    made = module(tmp_path, FOR)
    x = np.linspace(-1, 1, 30)
    f = lambda v: np.sum(v**4)  # noqa: E731
    for made.H in (1e-3, 0.5):
        np.testing.assert_allclose(made.gradient(f, x), made.gradient.__wrapped__(f, x), rtol=0, atol=1e-12)


def test_other_arguments_are_the_functions_own(tmp_path: pathlib.Path) -> None:
    made = module(tmp_path, NDITER.replace("(f, x)", "(f, x, h=1e-4)").replace("    h = 1e-4\n", ""))
    f, x = lambda v: np.sum(v**4), np.linspace(-1, 1, 30)
    np.testing.assert_array_equal(made.numerical_gradient(f, x, 0.5), made.numerical_gradient.__wrapped__(f, x, 0.5))
    np.testing.assert_array_equal(made.numerical_gradient(f, x, h=0.5), made.numerical_gradient.__wrapped__(f, x, 0.5))
    assert ways() == []
    np.testing.assert_allclose(made.numerical_gradient(f, x), plain_loop(f, x), rtol=0, atol=1e-11)
    assert ways() == ["plain loop"]


@pytest.mark.parametrize("code", ["def f(:", "x = 1\n", "def f(x, y):\n    for i in y:\n        g(i)\n", "\0"])
def test_sources_without_such_a_loop_are_left(code: str) -> None:
    assert own_loop.marked(code.encode()) == code.encode()


def test_sources_with_one_are_marked() -> None:
    tree = own_loop.marked(NDITER.encode())
    assert isinstance(tree, ast.Module) and "recognized" in ast.unparse(tree)
