"""Names that scripts' own `common` defines unlike the book: they stay, one line says so, --force replaces them."""

import importlib
import pathlib
import textwrap
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest

from fastnn import dropin
from fastnn.dropin.install import HERE, uninstall

X = np.array([[-2.0, 0.5, 1.0], [3.0, -0.25, 0.125]])
PROBABILITIES = np.array([[0.0, 0.25, 0.75], [0.125, 0.5, 0.375]])


class Edition(NamedTuple):
    """A module of a script's own, one of its names, how it is used, and the reason that is given for keeping it."""

    module: str
    name: str
    source: str
    use: Callable[[Any], Any]
    reason: str  # "" where fastnn has no such name, so that there is nothing to keep it from


RELU = """
    class ReLU:
        def __init__(self):
            self.mask = None
        def forward(self, x):
            self.mask = x > 0
            return x * self.mask
    """
MATMUL = """
    class Matmul:
        def __init__(self, W):
            self.params, self.grads = [W], [np.zeros_like(W)]
        def forward(self, x):
            return np.dot(x, self.params[0])
    """
UPDATE = """
        def update(self, params, grads):
            for key in params:
                params[key] -= self.lr * grads[key]
    """
RMS_PROP = f"""
    class RMSProp:
        def __init__(self, lr=0.01, rho=0.9):
            self.lr, self.rho = lr, rho
    {UPDATE}"""
RMS_PROP_OF_RHO = RMS_PROP.replace("RMSProp", "RMSprop")
DROPOUT = """
    class Dropout:
        def __init__(self, ratio=0.5):
            self.ratio = ratio
        def forward(self, x, train_flg=True):
            return x * (1.0 - self.ratio)
        def backward(self, dout):
            return dout
    """
EXTENDED = """
    class MultiLayerNetExtend:
        def __init__(self, input_size, hidden_size_list, output_size, use_dropout=False, dropout_ratio=0.5):
            self.ratio = dropout_ratio
    """
TRUE_LABEL = """
    def cross_entropy_error(y, true_label):
        return -np.sum(true_label * np.log(y + 1e-7)) / len(y)
    """
BATCH_NORMALIZATION = """
    class BatchNormalization:
        def __init__(self, gamma, beta, momentum=0.9, running_mean=None, running_var=None):
            self.gamma, self.beta, self.momentum = gamma, beta, momentum
            self.running_mean, self.running_var = running_mean, running_var
        def forward(self, x, train_flg=True):
            return self.gamma * (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-2) + self.beta
        def backward(self, dout):
            return dout
    """
UNPROTECTED = """
    def cross_entropy_error(y, t):
        if y.ndim == 1:
            y, t = y.reshape(1, -1), t.reshape(1, -1)
        labels = t.argmax(axis=1) if t.size == y.size else t
        return -np.sum(np.log(y[np.arange(len(y)), labels])) / len(y)
    """


def updated(kind: Any) -> Any:
    params = {"W": X.copy()}
    kind(lr=0.5, rho=0.8).update(params, {"W": X})
    return params["W"]


EDITIONS = {
    "ReLU": Edition("layers", "ReLU", RELU, lambda kind: kind().forward(X), ""),
    "Matmul": Edition("layers", "Matmul", MATMUL, lambda kind: kind(X.T).forward(X), ""),
    "RMSProp": Edition("optimizer", "RMSProp", RMS_PROP, updated, ""),
    "RMSprop of rho": Edition("optimizer", "RMSprop", RMS_PROP_OF_RHO, updated, "other arguments"),
    "Dropout of ratio": Edition(
        "layers", "Dropout", DROPOUT, lambda kind: kind(ratio=0.1).forward(X), "other arguments"
    ),
    "dropout_ratio=": Edition(
        "multi_layer_net_extend",
        "MultiLayerNetExtend",
        EXTENDED,
        lambda kind: kind(3, [2], 2, use_dropout=True, dropout_ratio=0.25).ratio,
        "made of other parts",
    ),
    "true_label=": Edition(
        "functions",
        "cross_entropy_error",
        TRUE_LABEL,
        lambda f: f(PROBABILITIES, true_label=np.eye(3)[[2, 1]]),
        "other arguments",
    ),
    "another epsilon": Edition(
        "layers", "BatchNormalization", BATCH_NORMALIZATION, lambda kind: kind(1.0, 0.0).forward(X), "other results"
    ),
    "no 1e-7": Edition(
        "functions", "cross_entropy_error", UNPROTECTED, lambda f: f(PROBABILITIES, np.array([2, 1])), "other results"
    ),
}


@pytest.fixture
def common(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """A function that writes a module of the script's own package `common`."""
    (tmp_path / "common").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(module: str, source: str) -> None:
        text = "import numpy as np\n" + textwrap.dedent(source)
        (tmp_path / "common" / f"{module}.py").write_text(text)

    yield write
    uninstall()


def imported(module: str) -> ModuleType:
    return importlib.import_module(f"common.{module}")


def kept(module: str, name: str, reason: str) -> str:
    """The line that says so."""
    what = f"fastnn: common.{module} keeps the script's own {name} ({reason})"
    return f"{what}; --force or install(force=True) replaces them\n"


@pytest.mark.parametrize("case", EDITIONS)
def test_what_an_edition_has_in_another_way_stays(
    case: str, common: Callable[[str, str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    module, name, source, use, reason = EDITIONS[case]
    common(module, source)
    natively: dict[str, Any] = {"np": np}
    exec(textwrap.dedent(source), natively)  # as in a script without fastnn
    dropin.install()
    own = getattr(imported(module), name)
    assert own.__module__ == f"common.{module}"
    np.testing.assert_array_equal(use(own), use(natively[name]))
    assert capsys.readouterr().err == (kept(module, name, reason) if reason else "")


@pytest.mark.parametrize("case", EDITIONS)
def test_force_replaces_it(case: str, common: Callable[[str, str], None], capsys: pytest.CaptureFixture[str]) -> None:
    module, name, source, _, reason = EDITIONS[case]
    common(module, source)
    dropin.install(force=True)
    ours = imported(module)
    assert ours.__name__ == f"{HERE}.common.{module}"
    assert hasattr(ours, name) == bool(reason)
    assert capsys.readouterr().err == ""


def test_the_base_of_a_class_that_stays_stays(
    common: Callable[[str, str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Otherwise `issubclass` would no longer hold for the two, and `super(Sigmoid, self)` would fail."""
    sigmoid = """
    class Sigmoid:
        def __init__(self):
            self.out = None
        def forward(self, x):
            self.out = 1 / (1 + np.exp(-x))
            return self.out
        def backward(self, dout):
            return dout * (1.0 - self.out) * self.out
    """
    derived = """
    class Scaled(Sigmoid):
        def forward(self, x):
            return 2 * super().forward(x)
    class Twice(Scaled):
        pass
    """
    common("layers", sigmoid + derived)
    dropin.install()
    layers = imported("layers")
    assert layers.Sigmoid.__module__ == "common.layers"
    assert issubclass(layers.Twice, layers.Sigmoid) and isinstance(layers.Scaled(), layers.Sigmoid)
    assert capsys.readouterr().err == kept("layers", "Sigmoid", "base of Scaled")
    uninstall()
    common("layers", sigmoid)
    dropin.install()
    assert imported("layers").Sigmoid.__module__ == f"{HERE}.common.layers"
