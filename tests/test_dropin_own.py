"""A script's own modules `common`: which of their names are replaced or kept, and the line that says so."""

import functools
import importlib
import os
import pathlib
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from fastnn import dropin
from fastnn.dropin import agreement, examples
from fastnn.dropin.install import HERE, VOLUMES, uninstall
from fastnn.kernels.compile import JIT_DISABLED

ROOT = pathlib.Path(__file__).parents[1]
TABLES = {1: examples.EXAMPLES, 2: examples.SECOND_VOLUME}

FUNCTIONS = """
    import numpy as np

    with open("imported.txt", "a") as file:
        file.write("once ")

    def sigmoid(x):
        return np.exp(-np.logaddexp(0, -x))

    def softmax(x):
        x = np.exp(x - np.max(x, axis=-1, keepdims=True))
        return x / np.sum(x, axis=-1, keepdims=True)

    def relu(z):
        return np.maximum(z, 0)

    def cross_entropy_error(y, t):
        if y.ndim == 1:
            y, t = y[None], t[None]
        if t.size == y.size:
            t = np.argmax(t, axis=1)
        return -np.mean(np.log(y[np.arange(len(y)), t]))
    """
LAYERS = """
    from common.functions import *

    class Affine:
        def __init__(self, W, b):
            self.W, self.b = W, b
        def forward(self, x):
            self.original_x_shape = x.shape
            self.x = x.reshape(len(x), -1)
            return self.x @ self.W + self.b
        def backward(self, dout):
            self.dW, self.db = self.x.T @ dout, dout.sum(axis=0)
            return (dout @ self.W.T).reshape(self.original_x_shape)

    class ReLU:
        def forward(self, x):
            return relu(x)

    class Sigmoid:
        def __init__(self):
            self.out = None
        def forward(self, x):
            self.out = sigmoid(x)
            return self.out
        def backward(self, dout):
            return dout * self.out * (1 - self.out)
        def describe(self):
            return "sigmoid"

    class Dropout:
        def __init__(self, ratio=0.5):
            self.ratio = ratio
        def forward(self, x, train_flg=True):
            return x
        def backward(self, dout):
            return dout

    class BatchNormalization:
        def __init__(self, gamma, beta, momentum=0.9, running_mean=None, running_var=None):
            self.gamma, self.beta, self.momentum = gamma, beta, momentum
            self.running_mean, self.running_var = running_mean, running_var
        def forward(self, x, train_flg=True):
            return self.gamma * (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-7) + self.beta
        def backward(self, dout):
            return dout
    """
SCRIPT = """
    import sys, os, random
    sys.path.append(os.pardir)
    import numpy as np
    np.random.seed(3); random.seed(3); np.seterr(divide="ignore")
    from common.layers import *
    x = np.linspace(-1, 1, 12).reshape(4, 3) * [1e-3, 1, 1]
    layers = [Affine(np.ones((3, 3)), np.zeros(3)), BatchNormalization(1.0, 0.0), ReLU(), Dropout(ratio=0.1)]
    layers += [Affine(np.eye(3) * 90, np.zeros(3))]
    for layer in layers:
        x = layer.forward(x)
    print(np.round(x, 6), cross_entropy_error(softmax(x * [1, 0, 30]), np.array([0, 1, 0, 0])), Sigmoid().describe())
    print(np.random.rand(), random.random(), relu(z=-1), open("imported.txt").read())
    if "fastnn" in sys.modules:
        print([kind.__module__ for kind in (Affine, BatchNormalization, Dropout, ReLU, Sigmoid, sigmoid, softmax)])
    """
KEPT = (
    "fastnn: common.functions keeps the script's own cross_entropy_error (other results), relu (other arguments); "
    "--force or install(force=True) replaces them\n"
    "fastnn: common.layers keeps the script's own BatchNormalization (other results), Dropout (other arguments), "
    "Sigmoid (more in it); --force or install(force=True) replaces them\n"
)


def things() -> list[Any]:
    """All our functions and classes that have an example: volume, name, object."""
    found = {}
    for volume, names in VOLUMES.items():
        for module in map(importlib.import_module, names.values()):
            for name in getattr(module, "__all__", ()):
                if name in TABLES[volume]:
                    found[volume, name] = getattr(module, name)
    return [pytest.param(*key, thing, id=f"{key[0]} {key[1]}") for key, thing in found.items()]


@pytest.fixture
def chapter(tmp_path: pathlib.Path) -> pathlib.Path:
    """The folder of a chapter, beside a `common` of the script's own."""
    folder = tmp_path / "ch06"
    folder.mkdir()
    (tmp_path / "common").mkdir()
    for name, text in (("functions", FUNCTIONS), ("layers", LAYERS)):
        (tmp_path / "common" / f"{name}.py").write_text(textwrap.dedent(text))
    (folder / "script.py").write_text(textwrap.dedent(SCRIPT))
    return folder


@pytest.fixture
def installed() -> Iterator[None]:
    yield
    uninstall()


def run(folder: pathlib.Path, *how: str) -> Any:
    (folder / "imported.txt").unlink(missing_ok=True)
    settings = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *how, "script.py"]
    done = subprocess.run(command, cwd=folder, env=settings, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout, done.stderr


def test_what_differs_stays_and_what_agrees_is_replaced(chapter: pathlib.Path) -> None:
    native = run(chapter)
    assert native[0] == 0 and "inf" in native[1] and "once \n" in native[1], native[2]
    code, out, errors = run(chapter, "-m", "fastnn", "dropin")
    assert (code, errors) == (0, KEPT)
    common, ours = ("common.layers",) * 4, f"{HERE}.common."
    modules = [f"{ours}layers", *common, f"{ours}functions", f"{ours}functions"]
    assert out == f"{native[1]}{modules}\n"


def test_force_replaces(chapter: pathlib.Path) -> None:
    code, _, errors = run(chapter, "-m", "fastnn", "dropin", "--force")
    assert code == 1 and errors.endswith("NameError: name 'ReLU' is not defined. Did you mean: 'Relu'?\n")
    assert "keeps" not in errors and not (chapter / "imported.txt").exists()


def modules_like_ours(folder: pathlib.Path, volume: int) -> None:
    """A `common` of the same code, which agrees as the books' own would, but without fastnn's modules above it."""
    package = importlib.import_module(VOLUMES[volume]["common"])
    (folder / "common").mkdir()
    for file in pathlib.Path(str(package.__file__)).parent.glob("*.py"):
        text = file.read_text().replace(f"from {package.__name__}.", "from common.")
        text = text.replace("(Layer):", ":").replace("(Optimizer):", ":").replace("(_Listed, first.", "(first.")
        (folder / "common" / file.name).write_text(text)


LIKE_OURS = {
    1: ["functions", "gradient", "layers", "optimizer", "util", "multi_layer_net"],
    2: ["config", "np", "functions", "layers", "base_model", "trainer", "util"],
}


@pytest.mark.parametrize("volume", LIKE_OURS)
def test_modules_like_the_books_are_replaced(
    tmp_path: pathlib.Path,
    installed: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    volume: int,
) -> None:
    modules_like_ours(tmp_path, volume)
    monkeypatch.syspath_prepend(str(tmp_path))
    compare = agreement.unlike
    seconds: list[float] = []

    def timed(*pair: Any) -> dict[str, str]:
        start = time.process_time()
        reasons = compare(*pair)
        seconds[-1] += time.process_time() - start
        return reasons

    monkeypatch.setattr(agreement, "unlike", timed)
    for _ in range(3):
        dropin.install(volume)
        seconds.append(0.0)
        modules = [importlib.import_module(f"common.{name}") for name in LIKE_OURS[volume]]
        for module in modules:
            assert str(module.__file__).startswith(str(tmp_path))
            replaced = {name for name in vars(module) if name in examples.EXAMPLES}
            assert all(vars(module)[name].__module__.startswith(HERE) for name in replaced)
            assert replaced or module.__name__.partition(".")[2] in ("config", "np", "base_model", "trainer", "util")
        uninstall()
    assert capsys.readouterr().err == ""
    assert min(seconds) < 0.05 or JIT_DISABLED, seconds


def test_what_old_editions_cannot_do_any_more(
    tmp_path: pathlib.Path, installed: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "common").mkdir()
    text = "import numpy as np\ndef step_function(x):\n    return np.array(x > 0, dtype=np.int)\n"
    (tmp_path / "common" / "functions.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    dropin.install()
    assert importlib.import_module("common.functions").step_function(np.array([-1.0, 2.0])).tolist() == [0, 1]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("volume", "name", "thing"), things())
def test_examples(volume: int, name: str, thing: Any) -> None:
    """A copy of ours agrees with it, and a change of any number in its results is noticed."""
    if isinstance(thing, type):
        members: dict[str, Any] = {}
        for kind in reversed(thing.__mro__[:-1]):
            members |= {key: value for key, value in vars(kind).items() if key not in ("__dict__", "__weakref__")}
        copy: Any = type(name, (), members) if thing.__mro__[1] is object or "super" not in str(members) else None
    else:
        copy = functools.wraps(thing)(lambda *arguments, **keywords: thing(*arguments, **keywords))
    example = TABLES[volume][name]
    if copy is not None and thing.__module__.rpartition(".")[2] not in ("optimizer", "multi_layer_net_extend"):
        with agreement._undisturbed():
            assert agreement._unlike(name, copy, thing, example) == ""
    with agreement._undisturbed():
        results = agreement._result(example, thing)
    assert agreement.same(results, results)
    several = list(changes(results))
    assert several
    for changed in several:
        assert not agreement.same(changed, results), changed


def changes(results: Any) -> Iterator[Any]:
    """The results with one number changed, once in each part."""
    if isinstance(results, dict):
        for name, part in results.items():
            yield from ({**results, name: changed} for changed in changes(part))
    elif isinstance(results, list | tuple):
        for i, part in enumerate(results):
            yield from ([*results[:i], changed, *results[i + 1 :]] for changed in changes(part))
    elif isinstance(results, float | int | np.ndarray | np.generic) and np.size(results):
        array = np.array(results)
        last = array.flat[-1]
        if array.dtype.kind == "b":
            array.flat[-1] = not last
        elif np.isfinite(last):
            array.flat[-1] = last + (1 if array.dtype.kind in "iu" else 1e-4 * (1 + abs(last)))
        yield array


def test_a_module_that_cannot_be_imported(
    tmp_path: pathlib.Path, installed: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "common").mkdir()
    (tmp_path / "common" / "__init__.py").write_text("VERSION = 3\n")
    (tmp_path / "common" / "functions.py").write_text("import cupy_that_is_not_there\n")
    (tmp_path / "common" / "optimizer.py").write_text("class SGD:\n    def __init__(self, lr=0.01):\n        1 / 0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    dropin.install()
    from common import functions, optimizer  # type: ignore[import-not-found]

    assert functions.__name__ == f"{HERE}.common.functions"
    assert importlib.import_module("common").VERSION == 3
    assert optimizer.SGD.__module__ == "common.optimizer"
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("fastnn: common.functions cannot be imported (ModuleNotFoundError: No module named 'cupy_")
    assert second.startswith("fastnn: common.optimizer keeps the script's own SGD (raises ZeroDivisionError); --force")
    own = sys.modules["common.functions"]
    dropin.install(force=True)
    assert importlib.import_module("common.optimizer").SGD.__module__ == f"{HERE}.common.optimizer"
    assert importlib.import_module("common.functions") is own


def test_nobody_to_tell(tmp_path: pathlib.Path, installed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "common").mkdir()
    (tmp_path / "common" / "functions.py").write_text("def relu(z):\n    return z\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with open(os.devnull, "w") as closed:
        pass
    for stream in (None, closed):
        monkeypatch.setattr(sys, "stderr", stream)
        dropin.install()
        assert importlib.import_module("common.functions").relu(3) == 3
        uninstall()


def test_old_names() -> None:
    from fastnn.dropin.common import functions, layers
    from fastnn.dropin.common.gradient import _numerical_gradient_1d

    x = np.array([1.0, -2.0])
    np.testing.assert_allclose(_numerical_gradient_1d(lambda x: np.sum(x**2), x), 2 * x, atol=1e-9)
    y, t = np.array([[0.25, 0.75]]), np.array([[0.0, 1.0]])
    assert layers.mean_squared_error(y, t) == functions.mean_squared_error(y, t) == 0.0625
