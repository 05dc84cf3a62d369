"""ONNX models as the exporters of PyTorch, Keras and scikit-learn write them."""

import importlib.util
import os
import pathlib
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import fastnn
from tests.exchanged import INPUTS, assert_predicts, rows
from tests.onnx_models import onnx, run

# Warnings of the exporters about themselves.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


def modules(torch: Any) -> dict[str, Any]:
    nn = torch.nn

    class Viewed(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(INPUTS, 4)

        def forward(self, x: Any) -> Any:
            return nn.functional.softplus(self.first(x.view(x.size(0), -1)))

    normed = nn.Sequential(
        nn.Flatten(), nn.Linear(INPUTS, 8), nn.BatchNorm1d(8), nn.SiLU(), nn.Dropout(), nn.Linear(8, 8), nn.GELU(),
        nn.PReLU(8), nn.Linear(8, 8, bias=False), nn.PReLU(), nn.LeakyReLU(0.2), nn.Linear(8, 3), nn.ELU(0.7),
        nn.Softmax(dim=1),
    )  # fmt: skip
    return {"a view": Viewed(), "a chain": normed}


@pytest.mark.parametrize("is_new", [False, True])
@pytest.mark.parametrize("any_batch", [False, True])
@pytest.mark.parametrize("name", ["a view", "a chain"])
def test_pytorch(tmp_path: pathlib.Path, name: str, is_new: bool, any_batch: bool) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    module, x = modules(torch)[name].eval(), rows("float32", 5).reshape(5, 2, -1)
    path, options = tmp_path / "module.onnx", dict[str, Any]()
    if any_batch:
        axes = {0: torch.export.Dim("N")} if is_new else {0: "N"}
        options = {"dynamic_shapes": (axes,)} if is_new else {"dynamic_axes": {"x": axes}}
    torch.onnx.export(module, (torch.from_numpy(x),), str(path), dynamo=is_new, input_names=["x"], **options)
    with torch.no_grad():
        assert_predicts(fastnn.Network.from_onnx(path), x, module(torch.from_numpy(x)).numpy())


KERAS = """
import sys, numpy as np, keras
from keras import layers
model = keras.Sequential([
    layers.Input((2, 3)), layers.Flatten(), layers.Dense(5, activation="relu"), layers.Dense(5, activation="silu"),
    layers.LeakyReLU(), layers.Dropout(0.3), layers.Dense(5, activation="gelu"), layers.Dense(3, activation="softmax"),
])
model(np.zeros((1, 2, 3), "float32"))
model.export(sys.argv[1], format="onnx", verbose=False)
"""


@pytest.mark.exhaustive
def test_keras(tmp_path: pathlib.Path) -> None:
    for name in ("torch", "onnxscript"):
        pytest.importorskip(name)
    if importlib.util.find_spec("keras") is None:  # whose import here would choose its backend for all tests
        pytest.skip("needs Keras")
    path = tmp_path / "model.onnx"
    command, environment = [sys.executable, "-c", KERAS, str(path)], {"KERAS_BACKEND": "torch"}
    subprocess.run(command, env=os.environ | environment, check=True, capture_output=True)
    x = rows("float32").reshape(-1, 2, 3)
    assert_predicts(fastnn.Network.from_onnx(path), x, run(onnx.load(path), x))


def test_scikit_learn() -> None:
    to_onnx = pytest.importorskip("skl2onnx").to_onnx
    neural_network, x = pytest.importorskip("sklearn.neural_network"), rows("float32")
    options = {"hidden_layer_sizes": (4,), "max_iter": 2, "random_state": 0}
    classes = np.arange(len(x)) % 3
    classifier, labels = (
        neural_network.MLPClassifier(**options).fit(x, targets) for targets in (classes, x[:, :3] > 0.0)
    )
    for estimator, loss in ((classifier, "cross_entropy"), (labels, "log_loss")):
        network = fastnn.Network.from_onnx(to_onnx(estimator, x[:1], options={"zipmap": False}))
        assert_predicts(network, x, estimator.predict_proba(x))
        assert network.loss_name == loss
    regressor = neural_network.MLPRegressor(**options).fit(x, x[:, 0])
    network = fastnn.Network.from_onnx(to_onnx(regressor, x[:1]))
    assert_predicts(network, x, regressor.predict(x)[:, None])
    with pytest.raises(ValueError, match=r"zipmap': False}, or pass the estimator to Network.from_sklearn"):
        fastnn.Network.from_onnx(to_onnx(classifier, x[:1]))
    two = neural_network.MLPClassifier(**options).fit(x, classes > 0)
    with pytest.raises(ValueError, match=r"got Concat.*Network.from_sklearn"):
        fastnn.Network.from_onnx(to_onnx(two, x[:1], options={"zipmap": False}))
