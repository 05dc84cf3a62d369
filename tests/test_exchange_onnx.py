"""Networks to and from ONNX, run by onnxruntime and by onnx's own evaluator."""

import pathlib
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.errors import ModelFileError
from tests.exchanged import (
    ACTIVATIONS,
    FLOATS,
    INPUTS,
    OUTPUTS,
    assert_predicts,
    assert_same,
    rows,
    trained,
    with_activation,
)
from tests.onnx_models import evaluated, made, node, run

ONLY_FLOAT32 = ("LeakyRelu", "Elu", "Gelu", "PRelu", "Softplus")  # operators that onnxruntime lacks in float64
ROUNDED = fastnn.LeakyRelu, fastnn.Elu, fastnn.Gelu


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("layer", ACTIVATIONS, ids=str)
def test_there_and_back(layer: Any, dtype: Any) -> None:
    network, x = with_activation(layer, dtype), rows(dtype)
    model = network.to_onnx()
    # ONNX has the numbers of these two, and onnx evaluates Gelu, in float32.
    assert_predicts(network, x, evaluated(model, x), 1e-6 if isinstance(layer, ROUNDED) else 1e-12)
    if dtype == "float32" or type(layer).__name__ not in ONLY_FLOAT32:
        assert_predicts(network, x, run(model, x))
        assert_predicts(network, x[:1], run(model, x[:1]))
    back = fastnn.Network.from_onnx(model)
    if not isinstance(layer, fastnn.PRelu):  # whose initial slope is not in the file
        assert_same(network, back)
    np.testing.assert_array_equal(back.predict(x), network.predict(x))


@pytest.mark.parametrize("loss", ["cross_entropy", "mean_squared_error", "hinge"])
def test_files(tmp_path: pathlib.Path, loss: Any) -> None:
    last = [fastnn.Softmax()] if loss == "cross_entropy" else []
    layers = [fastnn.Flatten(), fastnn.Affine(12, 5), fastnn.Relu(), fastnn.Affine(5, OUTPUTS), *last]
    network = fastnn.Network(layers, loss=loss, input_shape=(3, 2, 2), rng=0)
    path = tmp_path / "network.onnx"
    model = network.to_onnx(path)
    assert path.read_bytes() == model.SerializeToString()
    assert [file.name for file in tmp_path.iterdir()] == ["network.onnx"]
    for source in (path, str(path), path.read_bytes(), model):
        assert_same(fastnn.Network.from_onnx(source), network)
    x = np.random.default_rng(0).standard_normal((4, 3, 2, 2)).astype(np.float32)
    assert_predicts(network, x, run(model, x))


def test_an_old_opset_where_no_operator_needs_a_new_one() -> None:
    opsets = [
        with_activation(layer, "float32").to_onnx().opset_import[0].version for layer in (fastnn.Relu(), fastnn.Gelu())
    ]
    assert opsets == [15, 20]


W = np.random.default_rng(5).standard_normal((INPUTS, 4)).astype(np.float32)
B = np.arange(4, dtype=np.float32)
HALF, ONE, ROOT = (np.array(value, np.float32) for value in (0.5, 1.0, np.sqrt(2.0)))
PRODUCT = [node("MatMul", "x W", "p"), node("Add", "b p", "z")]
FORMS: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "product and sum": ([*PRODUCT[:1], node("Add", "p b", "y")], {"W": W, "b": B}),
    "product": ([node("MatMul", "x W", "y")], {"W": W}),
    "Gemm, transposed and scaled": (
        [node("Gemm", "x W b", "y", transB=1, alpha=0.5, beta=2.0)], {"W": W.T.copy(), "b": B[None]},
    ),
    "Gemm without bias": ([node("Gemm", "x W", "y")], {"W": W}),
    "silu": ([*PRODUCT, node("Sigmoid", "z", "s"), node("Mul", "s z", "y")], {"W": W, "b": B}),
    "gelu": (
        [*PRODUCT, node("Div", "z root", "d"), node("Erf", "d", "e"), node("Add", "e one", "a"),
         node("Mul", "z a", "m"), node("Mul", "m half", "y")],
        {"W": W, "b": B, "half": HALF, "one": ONE, "root": ROOT},
    ),
    "reshape": ([node("Reshape", "x s", "r"), node("MatMul", "r W", "y")], {"W": W, "s": np.array([0, -1])}),
    "identity and dropout": (
        [node("Identity", "x", "i"), node("Dropout", "i", "d"), node("MatMul", "d W", "y")], {"W": W},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_what_exporters_write(name: str) -> None:
    model, x = made(*FORMS[name]), rows("float32")
    network = fastnn.Network.from_onnx(model)
    assert_predicts(network, x, evaluated(model, x))
    assert network.loss_name == "softmax_cross_entropy"
    again = fastnn.Network.from_onnx(network.to_onnx())
    assert_same(again, network)


@pytest.mark.parametrize(
    ("nodes", "constants", "sentence"),
    [
        ([node("LogSoftmax", "x", "y")], {}, r"got LogSoftmax\(x\); leave it out"),
        ([node("Conv", "x W", "y")], {"W": W[None]}, "got Conv"),
        ([node("Mul", "x x", "y")], {}, "got Mul"),
        ([node("Relu", "x", "y")], {}, "at least one layer with parameters"),
        ([node("MatMul", "W x", "y")], {"W": W}, "got MatMul"),
        ([node("Gemm", "x W", "y", transA=1)], {"W": W}, "got Gemm"),
        ([node("MatMul", "x W", "p"), node("Softmax", "p", "y", axis=0)], {"W": W}, "got Softmax"),
        ([node("MatMul", "x W", "y")], {"W": W.astype(np.float16)}, "got float16; convert it"),
    ],
)
def test_refused(nodes: list[Any], constants: dict[str, Any], sentence: str) -> None:
    with pytest.raises((TypeError, ValueError), match=sentence):
        fastnn.Network.from_onnx(made(nodes, constants))


def test_files_that_are_none(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "bad.onnx"
    for content in (b"", b"not a model", bytes(1000)):
        path.write_bytes(content)
        for source in (path, content):
            with pytest.raises(
                ModelFileError, match=r"^model: expected an ONNX model, got one that is not .*export it again"
            ):
                fastnn.Network.from_onnx(source)
    with pytest.raises(FileNotFoundError, match=r"^model: expected a readable file, got .*missing\.onnx .*; check"):
        fastnn.Network.from_onnx(tmp_path / "missing.onnx")
    with pytest.raises(TypeError, match=r"^model: expected an ONNX file or model, got int; pass its name"):
        fastnn.Network.from_onnx(3)


def test_own_operations_are_refused() -> None:
    own = fastnn.activation(lambda x: 2.0 * x, derivative=lambda x, y: 2.0, name="twice_for_onnx")
    with pytest.raises(ValueError, match="expected layers that ONNX has"):
        trained([fastnn.Affine(2, 3), own()], "float32").to_onnx()
