"""Predictions in ONNX Runtime and OpenVINO, from the case's network as an ONNX model of one batch size.

Both keep float32, use the row's threads, and read and write arrays that exist. What they may, they do once beforehand:
ONNX Runtime packs weights for its products, and OpenVINO compiles the model for the shapes.
"""

import importlib
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.cases import Case
from benchmarks.data import Data
from benchmarks.peers import Target

OPSET, IR_VERSION = 17, 8  # of ONNX 1.12 (2022), which every version that fastnn is tested with reads


def model(widths: tuple[int, ...], rows: int, params: dict[str, Any]) -> bytes:
    """Affine layers with ReLU between them as an ONNX model from x (rows, widths[0]) to y (rows, widths[-1])."""
    onnx: Any = importlib.import_module("onnx")
    helper, nodes, name = onnx.helper, [], "x"
    for number, _ in enumerate(itertools.pairwise(widths), start=1):
        last = number == len(widths) - 1
        output = "y" if last else f"z{number}"
        nodes.append(helper.make_node("Gemm", [name, f"W{number}", f"b{number}"], [output]))
        if not last:
            name = f"h{number}"
            nodes.append(helper.make_node("Relu", [output], [name]))
    ends = [
        [helper.make_tensor_value_info(end, onnx.TensorProto.FLOAT, [rows, width])]
        for end, width in (("x", widths[0]), ("y", widths[-1]))
    ]
    weights = [onnx.numpy_helper.from_array(value, name) for name, value in params.items()]
    graph = helper.make_graph(nodes, "network", *ends, weights)
    opsets = [helper.make_opsetid("", OPSET)]
    made: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION).SerializeToString()
    return made


def _arrays(case: Case, data: Data) -> tuple[bytes, Any, Any]:
    """The model, the input, and an array for the output."""
    rows, *widths = case.sizes
    return model(tuple(widths), rows, data["params"]), data["x"], np.empty((rows, widths[-1]), np.float32)


def _target(run: Callable[[], Any], x: Any, y: Any) -> Target:
    """A target that keeps x and y, of whose memory the library knows only the address."""

    def call() -> tuple[Any, Any]:
        run()
        return x, y

    return Target(call, lambda results: [results[0][1]])


def predict_onnxruntime(case: Case, data: Data, threads: int) -> Target:
    runtime: Any = importlib.import_module("onnxruntime")
    written, x, y = _arrays(case, data)
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = runtime.InferenceSession(written, options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    binding.bind_ortvalue_input("x", runtime.OrtValue.ortvalue_from_numpy(x))
    binding.bind_output("y", "cpu", 0, np.float32, y.shape, y.ctypes.data)
    return _target(lambda: session.run_with_iobinding(binding), x, y)


def predict_openvino(case: Case, data: Data, threads: int) -> Target:
    openvino: Any = importlib.import_module("openvino")
    written, x, y = _arrays(case, data)
    core = openvino.Core()
    settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(core.read_model(written), "CPU", settings)
    request = compiled.create_infer_request()
    request.set_input_tensor(openvino.Tensor(x, shared_memory=True))
    request.set_output_tensor(openvino.Tensor(y, shared_memory=True))
    # For one row of 784-50-10 start_async and wait take 1.7 to 5.4 times as long; the private binding below, 8 % less.
    return _target(lambda: request.infer(share_outputs=True), x, y)


FACTORIES = {"onnxruntime": {"predict": predict_onnxruntime}, "openvino": {"predict": predict_openvino}}
