"""Predictions in ONNX Runtime and OpenVINO, from the case's network as an ONNX model of one batch size.

Both keep float32, use the row's threads, and read and write arrays that exist. What they may, they do once beforehand:
ONNX Runtime packs weights for its products, and OpenVINO compiles the model for the shapes.
"""

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import images
from benchmarks.cases import Case
from benchmarks.data import Data
from benchmarks.expected import network_layers
from benchmarks.peers import Target

OPSET, IR_VERSION = 17, 8  # of ONNX 1.12 (2022), which every version that fastnn is tested with reads


def model(layers: list[tuple[Any, ...]], x: Any, outputs: int, params: dict[str, Any]) -> bytes:
    """The layers as an ONNX model from arrays of the shape of x to y (len(x), outputs)."""
    onnx: Any = importlib.import_module("onnx")
    helper, nodes, names, name = onnx.helper, [], iter(params), "x"
    for place, (kind, *sizes) in enumerate(layers):
        output = "y" if place == len(layers) - 1 else f"y{place}"
        operator, options = _operator(kind, sizes)
        own = [next(names), next(names)] if operator in {"Gemm", "Conv"} else []
        nodes.append(helper.make_node(operator, [name, *own], [output], **options))
        name = output
    ends = [
        [helper.make_tensor_value_info(end, onnx.TensorProto.FLOAT, shape)]
        for end, shape in (("x", x.shape), ("y", (len(x), outputs)))
    ]
    weights = [onnx.numpy_helper.from_array(value, name) for name, value in params.items()]
    graph = helper.make_graph(nodes, "network", *ends, weights)
    opsets = [helper.make_opsetid("", OPSET)]
    made: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION).SerializeToString()
    return made


def _operator(kind: str, sizes: list[int]) -> tuple[str, dict[str, Any]]:
    """ONNX's operator for a layer, and its attributes."""
    if kind == "conv2d":
        return "Conv", {"pads": 4 * sizes[-1:]}
    if kind == "max_pool2d":
        return "MaxPool", {"kernel_shape": 2 * sizes, "strides": 2 * sizes}
    return {"affine": "Gemm", "flatten": "Flatten", "relu": "Relu"}[kind], {}


def _arrays(case: Case, data: Data) -> tuple[bytes, Any, Any]:
    """The model, the input, and an array for the output."""
    layers = images.case_layers(case) if case.group == "images" else network_layers(case.sizes[1:])
    x, outputs = data["x"], layers[-1][-1]
    return model(layers, x, outputs, data["params"]), x, np.empty((len(x), outputs), np.float32)


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


FACTORIES = {
    "onnxruntime": dict.fromkeys(("predict", "image_predict"), predict_onnxruntime),
    "openvino": dict.fromkeys(("predict", "image_predict"), predict_openvino),
}
