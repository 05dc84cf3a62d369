"""The compiler is loaded when it is first needed, and not for short work."""

import os
import pathlib
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.dropin import backend
from fastnn.system import loading

ROOT = pathlib.Path(fastnn.__file__).parents[1]

SCRIPT = """
import sys
import numpy as np
from common.functions import *
from common.gradient import numerical_gradient
from common.layers import *
from common.multi_layer_net import MultiLayerNet
from common.multi_layer_net_extend import MultiLayerNetExtend
from common.optimizer import *
from common.trainer import Trainer
from common.util import smooth_curve
from dataset.mnist import load_mnist

x, t = np.random.randn(100, 784), np.arange(100) % 10
net = MultiLayerNet(784, [50], 10)
SGD().update(net.params, net.gradient(x, t))
print(numerical_gradient(lambda x: np.sum(x**2), np.array([3.0, 4.0])), net.accuracy(x, t) <= 1)
print("numba" in sys.modules)
"""


def output(arguments: list[str], folder: pathlib.Path) -> str:
    settings = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=folder, env=settings, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("volume", [1, 2])
def test_a_script_that_needs_no_kernel_loads_no_compiler(tmp_path: pathlib.Path, volume: int) -> None:
    script = SCRIPT
    if volume == 2:
        script = (
            "import sys\nfrom common.layers import *\nfrom common.trainer import Trainer\nprint('numba' in sys.modules)"
        )
    (tmp_path / "script.py").write_text(script)
    printed = output(["-m", "fastnn", "dropin", f"--volume={volume}", "script.py"], tmp_path).splitlines()
    assert printed == ["[6. 8.] True", "False"][-len(printed) :]


def test_names_are_there_before_the_compiler(tmp_path: pathlib.Path) -> None:
    code = """
import sys, fastnn, fastnn.dropin
assert "Network" in dir(fastnn) and not hasattr(fastnn, "nothing")
fastnn.datasets.load_digits()
fastnn.reference
print("numba" in sys.modules)
namespace = {}
exec("from fastnn import *", namespace)
print(namespace.keys() >= set(fastnn.__all__), "numba" in sys.modules)
"""
    assert output(["-c", code], tmp_path).split() == ["False", "True", "True"]


def test_submodules_are_there_in_any_order(tmp_path: pathlib.Path) -> None:
    code = """
import sys, fastnn
names = "layers optimizers functional validation errors network gradients schedules datasets".split()
assert set(dir(fastnn)) == set(fastnn.__all__)
assert fastnn.errors.__name__ == "fastnn.errors" and not hasattr(fastnn, "trainings")
print("numba" in sys.modules)
print(all(getattr(fastnn, name) is sys.modules["fastnn." + name] for name in reversed(names)))
print(fastnn.network.Network.__name__, hasattr(fastnn, "__main__") or "fastnn.__main__" in sys.modules)
"""
    assert output(["-c", code], tmp_path).split() == ["False", "True", "Network", "False"]


def test_names_from_several_threads(tmp_path: pathlib.Path) -> None:
    code = """
import threading, fastnn
found = []
threads = [threading.Thread(target=lambda: found.append(fastnn.Network)) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(len(found), len(set(found)))
"""
    assert output(["-c", code], tmp_path).split() == ["8", "1"]


@pytest.fixture
def unloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "_COMPILER", "fastnn.no.such.module")
    monkeypatch.setattr(loading, "_lost", 0.0)


def test_work_adds_up_until_loading_pays(unloaded: None) -> None:
    assert not loading.pays(0.4 * loading.SECONDS)
    assert not loading.pays(0.4 * loading.SECONDS)
    assert loading.pays(0.4 * loading.SECONDS)
    assert loading.pays(0.0)


def test_work_that_kernels_do_no_faster_never_loads(unloaded: None) -> None:
    x, W, b = np.ones((100, 784)), np.ones((784, 50)), np.ones(50)
    for _ in range(10):
        assert backend.affine(x, W, b) is None
        assert backend.affine_backward(np.ones((100, 50)), x, W) is None
        assert not backend.sgd(W.copy(), W, 0.1)
    assert loading._lost == 0.0
    assert backend.activation("sigmoid", x) is None
    assert 1e-5 < loading._lost < 1e-3


def test_numpy_until_then(unloaded: None, monkeypatch: pytest.MonkeyPatch) -> None:
    x, W, b = np.ones((100, 784)), np.ones((784, 50)), np.ones(50)
    calls: list[Any] = [
        lambda: backend.activation("sigmoid", x),
        lambda: backend.affine(x, W, b),
        lambda: backend.affine_backward(np.ones((100, 50)), x, W),
        lambda: backend.sgd(W.copy(), W, 0.1) or None,
        lambda: backend.momentum(W.copy(), W, W.copy(), 0.1, 0.9) or None,
    ]
    assert [call() for call in calls] == [None] * len(calls)
    monkeypatch.setattr(loading, "_lost", np.inf)
    assert all(call() is not None for call in calls)
