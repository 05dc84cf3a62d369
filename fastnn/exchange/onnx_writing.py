"""A network as an ONNX model, for prediction by other programs."""

import json
from typing import Any

import numpy as np

from fastnn.exchange.parts import Part, Scaling, imported, parts_of, refuse_to_write
from fastnn.gate import notes
from fastnn.layers import (
    Affine,
    AvgPool2d,
    BatchNorm,
    Conv2d,
    Dropout,
    Dropout2d,
    Elu,
    Flatten,
    Gelu,
    Identity,
    LeakyRelu,
    MaxPool2d,
    PRelu,
    Relu,
    Sigmoid,
    Silu,
    Softmax,
    Softplus,
    Step,
    Tanh,
)
from fastnn.version import __version__

# Layers that are one node without arrays; by the name of the operator.
OPERATORS: dict[Any, str] = {
    Elu: "Elu", Gelu: "Gelu", Identity: "Identity", LeakyRelu: "LeakyRelu", Relu: "Relu", Sigmoid: "Sigmoid",
    Softmax: "Softmax", Softplus: "Softplus", Tanh: "Tanh",
}  # fmt: skip
WINDOWS: dict[Any, str] = {AvgPool2d: "AveragePool", Conv2d: "Conv", MaxPool2d: "MaxPool"}
OPSET, OPSET_OF_GELU = 15, 20  # the earliest with these operators, so that old runtimes read the file
VERSIONS = {OPSET: 8, OPSET_OF_GELU: 9}  # of the format, which came with the opsets (onnx, docs/Versioning.md)
# Keys of the metadata; all but the first hold JSON.
LOSS, LOSS_OPTIONS, REGULARIZATION = "fastnn.loss", "fastnn.loss_options", "fastnn.regularization"
NOTES = "fastnn.notes"
WHOLE_CHANNELS = "drops whole channels"  # the description of a Dropout node that was a Dropout2d: ONNX has only one


def onnx_model(network: Any) -> Any:
    """The network as a model; see Network.to_onnx."""
    onnx = imported("onnx", "onnx")
    parts, writer = parts_of(network), _Writer(onnx, network.dtype)
    for part in parts:
        writer.add(part)
    opset = OPSET_OF_GELU if any(isinstance(part.layer, Gelu) for part in parts) else OPSET
    helper, kind = onnx.helper, onnx.helper.np_dtype_to_tensor_dtype(network.dtype)
    x, y = (
        helper.make_tensor_value_info(name, kind, ["N", *shape])
        for name, shape in (("x", network.input_shape), ("y", network.output_shape))
    )
    writer.nodes[-1].output[0] = "y"
    graph = helper.make_graph(writer.nodes, "fastnn", [x], [y], writer.tensors)
    origin = {"producer_name": "fastnn", "producer_version": __version__, "ir_version": VERSIONS[opset]}
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], **origin)
    options = {LOSS_OPTIONS: network.engine.formula.options(), REGULARIZATION: vars(network.regularization)}
    noted = {key: json.dumps(values, allow_nan=False) for key, values in options.items()}
    if network.notes:
        noted[NOTES] = notes.to_text(network.notes).decode()
    helper.set_model_props(model, {LOSS: network.loss_name, **noted})
    onnx.checker.check_model(model, full_check=True)
    return model


def rounding(number: float) -> float:
    """What a number loses as an attribute, which is a float32."""
    return number - float(np.float32(number))


class _Writer:
    """The nodes of a graph, each taking what the one before it gives, and its constants."""

    def __init__(self, onnx: Any, dtype: Any) -> None:
        self.onnx, self.dtype = onnx, dtype
        self.nodes, self.tensors, self.last = list[Any](), list[Any](), "x"

    def constant(self, name: str, value: Any) -> str:
        """The name of a constant of the network's dtype."""
        name = f"{name}{len(self.nodes) + 1}"
        self.tensors.append(self.onnx.numpy_helper.from_array(np.array(value, self.dtype), name))
        return name

    def node(self, operator: str, *more: str, follows: str = "", **attributes: Any) -> str:
        """Add a node of the last value, or another one, and of constants; return the name of what it gives."""
        name, source = f"{operator}{len(self.nodes) + 1}", follows or self.last
        self.nodes.append(self.onnx.helper.make_node(operator, [source, *more], [name], name, **attributes))
        self.last = name
        return name

    def add(self, part: Part) -> None:
        """Add a layer."""
        layer, arrays = part.layer, part.arrays
        if isinstance(layer, BatchNorm):
            # The attribute is a float32: the variance takes the rest of it.
            arrays = arrays | {"variance": arrays["variance"] + rounding(layer.epsilon)}
        constants = [self.constant(name, value) for name, value in arrays.items()]
        if isinstance(layer, Scaling):
            self.node("Mul", self.constant("scale", layer.factor))
        elif isinstance(layer, Affine):
            self.node("Gemm", *constants)
        elif isinstance(layer, BatchNorm):
            self.node("BatchNormalization", *constants, epsilon=layer.epsilon, momentum=layer.momentum)
        elif type(layer) in WINDOWS:
            self.node(WINDOWS[type(layer)], *constants, **_window(layer))
        elif isinstance(layer, PRelu):
            self.node("PRelu", *constants)
        elif isinstance(layer, Flatten):
            self.node("Flatten", axis=1)
        elif isinstance(layer, Dropout):
            self.node("Dropout", self.constant("rate", layer.rate))
        elif isinstance(layer, Dropout2d):
            self.node("Dropout", self.constant("rate", layer.rate), doc_string=WHOLE_CHANNELS)
        elif isinstance(layer, Silu):
            x = self.last
            self.node("Mul", self.node("Sigmoid"), follows=x)
        elif isinstance(layer, Step):
            self.node("GreaterOrEqual" if layer.at_zero else "Greater", self.constant("border", 0.0))
            self.node("Cast", to=self.onnx.helper.np_dtype_to_tensor_dtype(self.dtype))
        elif type(layer) in OPERATORS:
            self.node(OPERATORS[type(layer)], **_attributes(layer))
        else:
            raise refuse_to_write(layer, "ONNX")


def _window(layer: Any) -> dict[str, Any]:
    """The attributes of a convolution's or a pool's node."""
    window = layer.window
    attributes = {"kernel_shape": window.size, "strides": window.steps, "pads": [window.padding] * 4}
    return attributes | ({"count_include_pad": 1} if isinstance(layer, AvgPool2d) else {})


def _attributes(layer: Any) -> dict[str, Any]:
    """The attributes of an activation's node."""
    if isinstance(layer, LeakyRelu):
        return {"alpha": layer.slope}
    if isinstance(layer, Elu):
        return {"alpha": layer.alpha}
    return {"axis": -1} if isinstance(layer, Softmax) else {}
