"""Convolutions, pools and batch normalization of channels to and from PyTorch and ONNX."""

import copy
from typing import Any

import numpy as np
import pytest

import fastnn
from tests.exchanged import FLOATS, OUTPUTS, assert_predicts, assert_same, trained

SHAPE = (2, 12, 13)
CHAINS: dict[str, list[Any]] = {
    "largest": [
        fastnn.Conv2d(2, 5, 3, padding=1), fastnn.Relu(), fastnn.MaxPool2d(2), fastnn.Conv2d(5, 4, (2, 3), stride=2),
        fastnn.Tanh(), fastnn.Flatten(), fastnn.Affine(24, OUTPUTS),
    ],
    "mean": [
        fastnn.Conv2d(2, 3, 5), fastnn.BatchNorm(0.8, 1e-3), fastnn.Sigmoid(), fastnn.AvgPool2d(3, 2, padding=1),
        fastnn.Dropout(0.2), fastnn.MaxPool2d((2, 3)), fastnn.Flatten(), fastnn.Affine(6, OUTPUTS),
    ],
    "dropped": [
        fastnn.Conv2d(2, 3, 5), fastnn.Relu(), fastnn.Dropout2d(0.25), fastnn.AvgPool2d(4), fastnn.Flatten(),
        fastnn.Dropout(0.5), fastnn.Affine(12, OUTPUTS),
    ],
    "scaled": [fastnn.MaxPool2d(3, 2, padding=1), fastnn.Flatten(), fastnn.Affine(84, OUTPUTS)],
}  # fmt: skip


def network_of(name: str, dtype: Any) -> tuple[fastnn.Network, Any]:
    options = {"input_scale": 0.5} if name == "scaled" else {}
    network = trained(CHAINS[name], dtype, input_shape=SHAPE, **options)
    return network, np.random.default_rng(4).standard_normal((5, *SHAPE)).astype(dtype)


# --- PyTorch ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def torch() -> Any:
    return pytest.importorskip("torch")


def forward(torch: Any, module: Any, x: Any) -> Any:
    with torch.no_grad():
        return copy.deepcopy(module).eval()(torch.from_numpy(x)).numpy()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", CHAINS)
def test_there_and_back_by_torch(torch: Any, name: str, dtype: Any) -> None:
    network, x = network_of(name, dtype)
    module = network.to_torch()
    assert_predicts(network, x, forward(torch, module, x))
    assert_same(fastnn.Network.from_torch(module, input_shape=SHAPE), network)


def test_training_in_torch_goes_on_as_here(torch: Any) -> None:
    network, x = network_of("largest", "float64")
    module, t = network.to_torch().train(), np.arange(len(x)) % OUTPUTS
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(module(torch.from_numpy(x)), torch.from_numpy(t)).backward()
        optimizer.step()
        network.step(x, t, fastnn.SGD(lr=0.1))
    assert_predicts(network, x, forward(torch, module, x))


def test_a_module_of_ones_own(torch: Any) -> None:
    """As in tutorials: functions for pools, a view before the linear layer, no bias, "same" padding."""
    nn = torch.nn

    class Net(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(2, 4, 3, padding="same", bias=False)
            self.second = nn.Conv2d(4, 3, (3, 1), padding="valid")
            self.norm = nn.BatchNorm2d(3)
            self.last = nn.Linear(3 * 2 * 3, 3)

        def forward(self, x: Any) -> Any:
            x = nn.functional.max_pool2d(torch.relu(self.first(x)), 2)
            x = nn.functional.avg_pool2d(self.norm(self.second(x)), (2, 2), stride=(2, 2))
            return self.last(x.view(x.size(0), -1))

    module, x = Net().eval(), np.random.default_rng(1).standard_normal((4, *SHAPE)).astype(np.float32)
    network = fastnn.Network.from_torch(module, input_shape=SHAPE)
    assert list(map(str, network.layers)) == [
        "Conv2d(2, 4, 3, padding=1)", "Relu()", "MaxPool2d(2)", "Conv2d(4, 3, (3, 1))", "BatchNorm(0.9, 1e-05)",
        "AvgPool2d(2)", "Flatten()", "Affine(18, 3)",
    ]  # fmt: skip
    assert_predicts(network, x, forward(torch, module, x))
    with pytest.raises(ValueError, match=r"^input_shape: expected the shape of one sample"):
        fastnn.Network.from_torch(module)


def test_torch_refused(torch: Any) -> None:
    nn = torch.nn
    wrong = [
        nn.Conv2d(2, 4, 3, groups=2), nn.Conv2d(2, 4, 3, dilation=2), nn.Conv2d(2, 4, 3, stride=(1, 2)),
        nn.Conv2d(2, 4, 3, padding=(0, 1)), nn.Conv2d(2, 4, 2, padding="same"),
        nn.Conv2d(2, 4, 3, padding=1, padding_mode="circular"), nn.MaxPool2d(3, ceil_mode=True),
        nn.MaxPool2d(3, dilation=2), nn.MaxPool2d(2, stride=(1, 2)), nn.AvgPool2d(3, padding=(1, 0)),
        nn.AvgPool2d(3, padding=1, count_include_pad=False), nn.AvgPool2d(2, divisor_override=3),
        nn.AdaptiveAvgPool2d(1), nn.ConvTranspose2d(2, 4, 3), nn.Dropout3d(),
    ]  # fmt: skip
    for one in wrong:
        module = nn.Sequential(one, nn.Flatten(), nn.Linear(9, 3))
        with pytest.raises(ValueError, match=r"^module: expected a chain of .* in PyTorch, got .*; (use|replace)"):
            fastnn.Network.from_torch(module, input_shape=SHAPE)


# --- ONNX -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def models() -> Any:
    pytest.importorskip("onnx")
    from tests import onnx_models

    return onnx_models


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", CHAINS)
def test_there_and_back_by_onnx(models: Any, name: str, dtype: Any) -> None:
    network, x = network_of(name, dtype)
    model = network.to_onnx()
    assert_predicts(network, x, models.evaluated(model, x))
    if dtype == "float32":  # onnxruntime has no Conv in float64
        assert_predicts(network, x, models.run(model, x))
    assert_same(fastnn.Network.from_onnx(model), network)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_what_torch_exports(torch: Any, models: Any, tmp_path: Any) -> None:
    """By both of PyTorch's exporters, in names and forms of their own."""
    network, x = network_of("largest", "float32")
    for is_new in (False, True):
        if is_new:
            pytest.importorskip("onnxscript")
        path = tmp_path / f"{is_new}.onnx"
        torch.onnx.export(network.to_torch(), (torch.from_numpy(x),), path, dynamo=is_new)
        assert_predicts(fastnn.Network.from_onnx(path), x, network.predict(x))


W = np.random.default_rng(5).standard_normal((4, 2, 3, 3)).astype(np.float32)
THREES = {"kernel_shape": [3, 3]}
WRONG: list[tuple[str, dict[str, Any]]] = [
    ("Conv", {"dilations": [2, 2]}), ("Conv", {"strides": [1, 2]}), ("Conv", {"pads": [0, 0, 1, 1]}),
    ("Conv", {"auto_pad": "SAME_UPPER"}), ("Conv", {"group": 2}), ("MaxPool", {"ceil_mode": 1, **THREES}),
    ("MaxPool", {"pads": [0, 1, 0, 1], **THREES}), ("MaxPool", {"strides": [1, 2], **THREES}),
    ("AveragePool", {"pads": [1, 1, 1, 1], **THREES}), ("GlobalAveragePool", {}),
]  # fmt: skip


@pytest.mark.parametrize(("operator", "attributes"), WRONG)
def test_onnx_refused(models: Any, operator: str, attributes: dict[str, Any]) -> None:
    nodes = [models.node(operator, "x W" if operator == "Conv" else "x", "c", **attributes)]
    nodes += [models.node("Flatten", "c", "f"), models.node("MatMul", "f D", "y")]
    constants = {"W": W[:, :1] if "group" in attributes else W, "D": np.ones((4, 3), np.float32)}
    with pytest.raises(ValueError, match=f"^model: expected a chain of .*pools.* in ONNX, got {operator}"):
        fastnn.Network.from_onnx(models.made(nodes, constants, ("N", *SHAPE)))
