"""ONNX models of a few nodes, and what runtimes give for them."""

from typing import Any

import numpy as np
import pytest

from tests.exchanged import INPUTS

onnx = pytest.importorskip("onnx")  # which skips a test file that imports this one
evaluation = pytest.importorskip("onnx.reference")


def evaluated(model: Any, x: Any) -> Any:
    return evaluation.ReferenceEvaluator(model).run(None, {model.graph.input[0].name: x})[0]


def run(model: Any, x: Any) -> Any:
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {model.graph.input[0].name: x})[0]


def made(
    nodes: list[Any],
    constants: dict[str, Any],
    shape: tuple[Any, ...] = ("N", INPUTS),
    opset: int = 13,
    outputs: str = "y",
    **options: Any,
) -> Any:
    """A model of nodes from x to y, or to several outputs; "i" is one of integers. options: of the model."""
    helper, kinds = onnx.helper, {"i": onnx.TensorProto.INT64}
    ends = [("x", shape), *((name, ("N", None)) for name in outputs.split())]
    values = [helper.make_tensor_value_info(name, kinds.get(name, onnx.TensorProto.FLOAT), axes) for name, axes in ends]
    tensors = [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], tensors)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("mine", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9, **options)


def node(operator: str, inputs: str, output: str, **attributes: Any) -> Any:
    return onnx.helper.make_node(operator, inputs.split(), [output], **attributes)
