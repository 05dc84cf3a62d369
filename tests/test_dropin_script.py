"""The ways in: the command, install() and imports; the report, the script's own errors and its own modules."""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from fastnn import dropin
from fastnn.dropin import record
from fastnn.dropin.install import VOLUMES, uninstall

NETWORK = """
import sys, os
sys.path.append(os.pardir)
import numpy as np
from common.functions import *
from common.gradient import numerical_gradient

class Net:
    def __init__(self):
        self.params = {"W1": 0.1 * np.random.randn(50, 400), "b1": np.zeros(400)}
    def loss(self, x, t):
        return cross_entropy_error(softmax(np.dot(x, self.params["W1"]) + self.params["b1"]), t)

np.random.seed(0)
net = Net()
x, t = np.random.randn(5, 50), np.arange(5)
gradient = numerical_gradient(lambda W: net.loss(x, t), net.params["W1"])
"""


@pytest.fixture
def chapter(tmp_path: pathlib.Path) -> pathlib.Path:
    """The folder of a chapter, beside a `common` with modules that fastnn does not replace."""
    folder = tmp_path / "ch04"
    folder.mkdir()
    (tmp_path / "common").mkdir()
    (tmp_path / "common" / "time_layers.py").write_text("from common.np import *\nSQUARE = np.ones((2, 2)).sum()\n")
    (tmp_path / "common" / "functions.py").write_text("raise ImportError('the script\\'s own')\n")
    return folder


def run(folder: pathlib.Path, code: str, *options: str, arguments: tuple[str, ...] = ()) -> Any:
    (folder / "script.py").write_text(code)
    command = [sys.executable, "-m", "fastnn", "dropin", *options, "script.py", *arguments]
    root = str(pathlib.Path(dropin.__file__).parents[2])
    settings = {**os.environ, "PYTHONPATH": root}
    return subprocess.run(command, cwd=folder, env=settings, capture_output=True, text=True, timeout=300, check=False)


def test_an_unmodified_script_with_a_report(chapter: pathlib.Path) -> None:
    code = NETWORK + "print(__name__, sys.argv, gradient.shape)\n"
    done = run(chapter, code, "--report", arguments=("--report", "3"))
    assert done.returncode == 0, done.stderr
    first, *report = done.stdout.splitlines()
    assert first == "__main__ ['script.py', '--report', '3'] (50, 400)"
    assert report[1] == "fastnn: numerical gradients"
    assert "50 x 400" in report[4] and "engine" in report[4] and "cross entropy with 1e-7" in report[4]


def test_modules_that_are_not_replaced_are_the_scripts_own(chapter: pathlib.Path) -> None:
    code = "import sys, os\nsys.path.append(os.pardir)\nfrom common.time_layers import *\nprint(SQUARE, GPU)\n"
    code += "from common.optimizer import SGD\nprint(SGD.__module__)\n"
    done = run(chapter, code, "--volume", "2")
    assert done.stdout == "4.0 False\nfastnn.dropin.volume2.common.optimizer\n", done.stderr


def test_no_script(chapter: pathlib.Path) -> None:
    command = [sys.executable, "-m", "fastnn", "dropin", "none.py"]
    done = subprocess.run(command, cwd=chapter, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        "fastnn: error: SCRIPT: expected a Python file, got none.py (no such file); check its name\n"
    )


@pytest.fixture
def installed() -> Any:
    with contextlib.ExitStack() as stack:
        stack.callback(uninstall)
        yield


@pytest.mark.parametrize("volume", [1, 2])
def test_install(installed: None, volume: int) -> None:
    dropin.install(volume)
    for name in VOLUMES[volume]:
        exec(f"import {name}")
        assert sys.modules[name].__name__.startswith("fastnn.dropin.") or "." not in name
    namespace: dict[str, Any] = {}
    exec("from common.layers import *\nfrom common.optimizer import *", namespace)
    assert namespace["np"] is np and "Affine" in namespace and "SGD" in namespace
    assert "Any" not in namespace and "backend" not in namespace
    dropin.install(volume)  # once more changes nothing
    dropin.uninstall()
    assert "common" not in sys.modules


def test_one_volume_at_a_time(installed: None) -> None:
    dropin.install()
    with pytest.raises(RuntimeError, match=r"^install: expected one volume, got volume 2 after another one; call"):
        dropin.install(2)
    dropin.uninstall()
    dropin.install(2)


def test_star_imports_of_the_first_volume(installed: None) -> None:
    dropin.install()
    namespace: dict[str, Any] = {}
    exec("from common.layers import *", namespace)
    wanted = (
        "np sigmoid softmax cross_entropy_error sum_squared_error relu identity_function step_function im2col col2im"
    )
    assert set(wanted.split()) <= namespace.keys()


def test_install_comes_first(installed: None, chapter: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"^volume: expected 1 or 2, got 3; pass the number of the book$"):
        dropin.install(3)
    monkeypatch.syspath_prepend(str(chapter.parent))
    exec("import common")
    try:
        with pytest.raises(RuntimeError, match=r"^install: expected to come before common is imported, got it from"):
            dropin.install()
    finally:
        sys.modules.pop("common", None)


def test_mnist(installed: None, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fastnn.dropin.dataset import mnist

    generator = np.random.default_rng(0)
    (tmp_path / "dataset").mkdir()
    for name, rows in (("train", 5), ("t10k", 3)):
        pixels, labels = generator.integers(0, 256, (rows, 28, 28)), np.arange(rows)
        for kind, values in (("images-idx3", pixels), ("labels-idx1", labels)):
            header = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">u4").tobytes()
            (tmp_path / "dataset" / f"{name}-{kind}-ubyte").write_bytes(header + values.astype(np.uint8).tobytes())
    monkeypatch.syspath_prepend(str(tmp_path))
    (x, t), (x_test, t_test) = mnist.load_mnist()
    assert x.shape == (5, 784) and x.dtype == np.float32 and x.min() >= 0 and x.max() <= 1
    assert t.dtype == np.uint8 and t.tolist() == [0, 1, 2, 3, 4] and len(x_test) == len(t_test) == 3
    (x, t), _ = mnist.load_mnist(normalize=False, flatten=False, one_hot_label=True)
    assert x.shape == (5, 1, 28, 28) and x.dtype == np.uint8
    assert t.dtype == np.float64 and t.shape == (5, 10) and t[1, 1] == 1
    mnist.init_mnist()


def test_report_of_everything() -> None:
    record.reset()
    assert dropin.report() == "fastnn: no numerical gradient was asked for"
    record.note((3, 4), "engine", "Affine", 2.0)
    record.note((3, 4), "engine", "Affine", 0.5)
    record.note((), "plain loop", "it draws random numbers", 0.001)
    lines = dropin.report().splitlines()
    assert lines[3].split() == ["3", "x", "4", "2", "2,000.000", "ms", "500.000", "ms", "engine", "Affine"]
    assert "a number" in lines[4] and lines[4].endswith("it draws random numbers")
    assert json.dumps([entry.reason for entry in record.entries()]) == '["Affine", "it draws random numbers"]'
    record.reset()
