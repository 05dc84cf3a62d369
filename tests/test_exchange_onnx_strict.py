"""ONNX graphs that look like a chain of layers and are none: each is read right, or refused."""

from typing import Any

import numpy as np
import pytest

import fastnn
from tests.exchanged import INPUTS, assert_predicts, assert_same, rows
from tests.onnx_models import made, node, onnx, run

rng = np.random.default_rng(5)
W, COLUMN = rng.standard_normal((INPUTS, 4)).astype(np.float32), rng.standard_normal((4, 1)).astype(np.float32)
B, S, M, V = (rng.random(4).astype(np.float32) + 0.5 for _ in range(4))
HALF = np.array(0.5, np.float32)
TRUE, FALSE, ZERO = np.array(True), np.array(False), np.zeros((), np.float32)
PRODUCT = node("MatMul", "x W", "p")
IN_FLOATS = "of which 0 in floats; export a model of one input and one output in floats"


def sizes(*numbers: int) -> Any:
    return np.array(numbers, np.int64)


# Nodes after the product p = x W, or all nodes where one of them takes x; constants; what the refusal says.
REFUSED: dict[str, tuple[list[Any], dict[str, Any], str]] = {
    "column as bias": ([node("Add", "p c", "y")], {"c": COLUMN}, r"got Add\(p, c\)"),
    "wide bias": ([node("Add", "p c", "y")], {"c": np.ones(3, np.float32)}, r"got Add\(p, c\)"),
    "bias of several rows": ([node("Add", "p c", "y")], {"c": np.ones((2, 4), np.float32)}, r"got Add\(p, c\)"),
    "column as bias of Gemm": ([node("Gemm", "x W c", "y")], {"c": COLUMN}, r"got Gemm\(x, W, c\)"),
    "matrix first": ([node("Gemm", "W x", "y")], {"W": W.T.copy()}, r"got Gemm\(W, x\)"),
    "matrix first, and bias": ([node("Gemm", "W x b", "y")], {"W": W.T.copy()}, r"got Gemm\(W, x, b\)"),
    "x as bias": ([node("Gemm", "W V x", "y")], {"V": W.T.copy()}, r"got Gemm\(W, V, x\)"),
    "matrix first, bias later": (
        [node("MatMul", "W x", "p"), node("Add", "p b", "y")], {"W": W.T.copy()}, r"got Add\(p, b\)",
    ),
    "vector": ([node("MatMul", "x b", "y")], {"b": np.ones(INPUTS, np.float32)}, r"got MatMul\(x, b\)"),
    "stack of matrices": ([node("MatMul", "x W", "y")], {"W": W[None]}, r"got MatMul\(x, W\)"),
    "slopes in a column": ([node("PRelu", "p c", "y")], {"c": COLUMN}, r"got PRelu\(p, c\)"),
    "data as slopes": ([node("PRelu", "b p", "y")], {}, r"got PRelu\(b, p\)"),
    "3 slopes": ([node("PRelu", "p c", "y")], {"c": np.ones(3, np.float32)}, r"slope of the shape \(4,\) for PRelu"),
    "Flatten from axis 0": ([node("Flatten", "p", "y", axis=0)], {}, r"got Flatten\(p\) {'axis': 0}"),
    "halves": ([node("Reshape", "p s", "y")], {"s": sizes(-1, 2)}, "flattening to rows of 4, .* got rows of 2"),
    "two rows": ([node("Reshape", "p s", "y")], {"s": sizes(2, -1)}, r"got Reshape\(p, s\)"),
    "one row": ([node("Reshape", "p s", "y")], {"s": sizes(1, -1)}, r"got Reshape\(p, s\)"),
    "a vector": ([node("Reshape", "p s", "y")], {"s": sizes(-1)}, r"got Reshape\(p, s\)"),
    "no rows": ([node("Reshape", "p s", "y", allowzero=1)], {"s": sizes(0, 4)}, r"got Reshape\(p, s\)"),
    "rows of the other axis": (
        [node("Shape", "p", "h"), node("Gather", "h i", "g"), node("Concat", "g m", "s", axis=0),
         node("Reshape", "p s", "y")],
        {"i": sizes(1), "m": sizes(-1)}, r"got Reshape\(p, s\)",
    ),
    "Softmax of columns": ([node("Softmax", "p", "y", axis=0)], {}, "got Softmax {'axis': 0}"),
    "Gelu by tanh": ([node("Gelu", "p", "y", approximate="tanh")], {}, "got Gelu {'approximate': b'tanh'}"),
    "Dropout in training": ([node("Dropout", "p r t", "y")], {"r": HALF, "t": TRUE}, r"got Dropout\(p, r, t\)"),
    "statistics of the batch": (
        [onnx.helper.make_node("BatchNormalization", ["p", "b", "b", "b", "b"], ["y", "m", "v"], training_mode=1)],
        {}, "got BatchNormalization.*'training_mode': 1",
    ),
    "mask": ([onnx.helper.make_node("Dropout", ["p"], ["q", "k"]), node("Cast", "k", "y", to=1)], {}, r"got Cast\(k\)"),
    "other border": (
        [node("Greater", "p c", "k"), node("Cast", "k", "y", to=1)], {"c": HALF}, r"got Cast\(k\)",
    ),
    "border on the left": (
        [node("Greater", "c p", "k"), node("Cast", "k", "y", to=1)], {"c": ZERO}, r"got Cast\(k\)",
    ),
    "rounded to integers": ([node("Cast", "p", "k", to=7), node("Cast", "k", "y", to=1)], {}, r"got Cast\(k\)"),
    "x s(1.7 x)": (
        [node("Mul", "p c", "m"), node("Sigmoid", "m", "s"), node("Mul", "p s", "y")], {"c": 3 * HALF}, r"got Mul\(p",
    ),
    "an axis more": (
        [node("Sigmoid", "p", "s"), node("Mul", "p s", "t"), node("Mul", "t c", "y")],
        {"c": np.ones((1, 1, 1), np.float32)}, r"got Mul\(t, c",
    ),
    "Softplus cut off at 5": (
        [node("Softplus", "p", "s"), node("Greater", "p c", "k"), node("Where", "k p s", "y")], {"c": 10 * HALF},
        r"got Where\(k, p, s\)",
    ),
    "operator of another domain": ([node("Relu", "p", "y", domain="mine")], {}, "got Relu of the domain mine"),
    "two classes": ([node("Concat", "p p", "y", axis=1)], {}, "got Concat.*Network.from_sklearn"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    nodes, constants, sentence = REFUSED[name]
    before = [] if any("x" in one.input for one in nodes) else [PRODUCT]
    model = made([*before, *nodes], {"W": W, "b": B, **constants}, opset=20)
    with pytest.raises(ValueError, match=sentence):
        fastnn.Network.from_onnx(model)


READ: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "one number as bias": ([node("Add", "c p", "y")], {"c": HALF}),
    "row as bias": ([node("Gemm", "x W c", "y")], {"c": B[None]}),
    "no bias": ([onnx.helper.make_node("Gemm", ["x", "W", ""], ["y"])], {}),
    "row of slopes": ([node("PRelu", "p c", "y")], {"c": S[None]}),
    "one slope": ([node("PRelu", "p c", "y")], {"c": S[:1]}),
    "rows that stay": ([node("Reshape", "p s", "y")], {"s": sizes(0, 4)}),
    "all rows": ([node("Reshape", "p s", "y")], {"s": sizes(-1, 4)}),
    "Dropout, not in training": ([node("Dropout", "p r t", "y")], {"r": HALF, "t": FALSE}),
    "cast to the same": ([node("Cast", "p", "c", to=1), node("Add", "c b", "y")], {}),
    "Gelu": ([node("Gelu", "p", "y", approximate="none")], {}),
    "Step": ([node("Greater", "p c", "k"), node("Cast", "k", "y", to=1)], {"c": ZERO.reshape(1)}),
    "Step that is 1 at 0": (
        [node("GreaterOrEqual", "p c", "k"), node("Cast", "k", "y", to=1)], {"c": ZERO.reshape(1)},
    ),
    "Silu of Silu": (
        [node("Sigmoid", "p", "s"), node("Mul", "s p", "q"), node("Sigmoid", "q", "t"), node("Mul", "q t", "y")], {},
    ),
    "Softplus of PyTorch": (
        [node("Softplus", "p", "s"), node("Greater", "p c", "k"), node("Where", "k p s", "y")], {"c": 40 * HALF},
    ),
    "a float": ([node("Constant", "", "c", value_float=1.5), node("Add", "p c", "y")], {}),
    "floats": ([node("Constant", "", "c", value_floats=[1.0, 2.0, 3.0, 4.0]), node("Add", "p c", "y")], {}),
    "turned": ([node("Transpose", "T", "U"), node("MatMul", "x U", "y")], {"T": W.T.copy()}),
    "statistics": ([node("BatchNormalization", "p b s m v", "y", momentum=0.8)], {"s": S, "m": M, "v": V}),
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_read(name: str) -> None:
    nodes, constants = READ[name]
    before = [] if any("x" in one.input for one in nodes) else [PRODUCT]
    model, x = made([*before, *nodes], {"W": W, "b": B, **constants}, opset=20), rows("float32")
    assert_predicts(fastnn.Network.from_onnx(model), x, run(model, x))


def test_a_fixed_batch_may_be_named() -> None:
    nodes = [node("Reshape", "x s", "q"), node("MatMul", "q W", "y")]
    for first, refused in ((5, False), (4, True)):
        model = made(nodes, {"W": W, "s": sizes(first, -1)}, shape=(5, 2, INPUTS // 2))
        if refused:
            with pytest.raises(ValueError, match=r"got Reshape\(x, s\)"):
                fastnn.Network.from_onnx(model)
            continue
        x = rows("float32")[:5].reshape(5, 2, -1)
        assert_predicts(fastnn.Network.from_onnx(model), x, run(model, x))


def test_a_function_of_the_model_is_written_out() -> None:
    opsets = [onnx.helper.make_opsetid("", 13)]
    for operator, refused in (("Tanh", False), ("Neg", True)):
        function = onnx.helper.make_function("mine", "Relu", ["a"], ["q"], [node(operator, "a", "q")], opsets)
        model = made([PRODUCT, node("Relu", "p", "y", domain="mine")], {"W": W}, functions=[function])
        if refused:
            with pytest.raises(ValueError, match=r"got Neg\(p\)"):
                fastnn.Network.from_onnx(model)
            continue
        x = rows("float32")
        assert_predicts(fastnn.Network.from_onnx(model), x, run(model, x))


def test_the_output_in_floats_is_followed() -> None:
    labels = [node("ArgMax", "y", "i", axis=1)]
    model, x = made([node("MatMul", "x W", "y"), *labels], {"W": W}, outputs="i y"), rows("float32")
    np.testing.assert_allclose(fastnn.Network.from_onnx(model).predict(x), x @ W, rtol=1e-5, atol=1e-5)
    both = [node("MatMul", "x W", "y"), node("Relu", "y", "z")]
    for nodes, outputs, sentence in (
        (both, "y z", "1 inputs and 2 outputs, of which 2 in"),
        (both[:1] + labels, "i", IN_FLOATS),
    ):
        with pytest.raises(ValueError, match=sentence):
            fastnn.Network.from_onnx(made(nodes, {"W": W}, outputs=outputs))
    two = made([node("MatMul", "x W", "y")], {})
    two.graph.input.append(onnx.helper.make_tensor_value_info("W", onnx.TensorProto.FLOAT, (INPUTS, 4)))
    with pytest.raises(ValueError, match="got 2 inputs and 1 outputs"):
        fastnn.Network.from_onnx(two)


def test_opsets_that_train_by_default_are_refused() -> None:
    with pytest.raises(ValueError, match=r"got the opset \[6\]; export it for opset 7 or later"):
        fastnn.Network.from_onnx(made([PRODUCT, node("Relu", "p", "y")], {"W": W}, opset=6))


def test_long_formulas_take_no_time() -> None:
    squares = [node("Mul", f"s{i} s{i}", f"s{i + 1}") for i in range(2000)]
    model = made([node("MatMul", "x W", "s0"), *squares, node("Mul", "s2000 s2000", "y")], {"W": W})
    with pytest.raises(ValueError, match=r"got Mul\(s2000, s2000\)"):
        fastnn.Network.from_onnx(model)


def test_options_of_the_loss_and_the_penalty_come_back() -> None:
    loss, penalty = fastnn.losses.Huber(delta=0.25), fastnn.Regularization(l2=0.125)
    network = fastnn.Network([fastnn.Affine(INPUTS, 2)], loss, regularization=penalty, rng=0)
    model = network.to_onnx()
    back = fastnn.Network.from_onnx(model)
    assert_same(back, network)
    assert (back.engine.loss, back.regularization) == (loss, penalty)
    assert fastnn.Network.from_onnx(model, loss="mean_squared_error").loss_name == "mean_squared_error"


@pytest.mark.parametrize(("key", "value"), [
    ("fastnn.loss", "mine_elsewhere"), ("fastnn.loss_options", "{"), ("fastnn.loss_options", '{"gamma": 1}'),
    ("fastnn.regularization", "[]"), ("fastnn.regularization", '{"l2": -1}'),
])  # fmt: skip
def test_notes_that_are_unknown_here(key: str, value: str) -> None:
    model = fastnn.Network([fastnn.Affine(INPUTS, 2)], "huber", rng=0).to_onnx()
    next(one for one in model.metadata_props if one.key == key).value = value
    with pytest.warns(UserWarning, match=r"^model: expected fastnn\..* the usual one is taken"):
        network = fastnn.Network.from_onnx(model)
    assert network.loss_name == ("huber" if "regular" in key else "softmax_cross_entropy")
    assert network.regularization == fastnn.Regularization()
