"""An ONNX model's graph: the node that gives each value, the constants, and the sizes that its Reshapes name."""

import os
from typing import Any

import numpy as np

from fastnn.errors import ModelFileError
from fastnn.exchange.parts import imported, refuse
from fastnn.system import files

STANDARD = "", "ai.onnx"  # names of the domain of ONNX's own operators
# Operators that give the dtype that they take.
KEEPS_DTYPE = {
    "Add", "AveragePool", "BatchNormalization", "Conv", "Div", "Dropout", "Elu", "Erf", "Flatten", "Gelu", "Gemm",
    "Identity", "LeakyRelu",
    "MatMul", "MaxPool", "Mul", "PRelu", "Relu", "Reshape", "Sigmoid", "Softmax", "Softplus", "Sub", "Tanh",
}  # fmt: skip
EARLIEST = 7  # before this opset BatchNormalization and Dropout train by default
BATCH, SHAPE = "the number of rows", "the sizes of all axes"
# Operators around the network of an estimator of scikit-learn, and how to have it without them.
OF_ESTIMATORS = {
    "Concat": "pass an estimator of scikit-learn to Network.from_sklearn",  # of both probabilities of two classes
    "ZipMap": "export with options={'zipmap': False}, or pass the estimator to Network.from_sklearn",
}


def load(model: Any) -> Any:
    """The checked model of a file, of its content or itself, with its functions written out."""
    onnx = imported("onnx", "onnx")
    try:
        if isinstance(model, bytes):
            model = onnx.load_model_from_string(model)
        elif isinstance(model, str | os.PathLike):
            with files.reading(os.fspath(model), "model"):
                model = onnx.load(os.fspath(model))  # by its name, as its data may lie beside it
        if not isinstance(model, onnx.ModelProto):
            raise TypeError(f"model: expected an ONNX file or model, got {type(model).__name__}; pass its name")
        onnx.checker.check_model(model)
        return imported("onnx.inliner", "onnx").inline_local_functions(model) if model.functions else model
    except (TypeError, OSError):
        raise
    except Exception as error:  # of protobuf and of the checker, which have no common base
        raise ModelFileError(
            f"model: expected an ONNX model, got one that is not ({error}); export it again"
        ) from error


class Graph:
    """A graph of one input and one output in floats.

    Attributes: producers, the node whose first output is a value, by its name; constants, arrays by their names; x and
    y, the names of the input and the output; kind, the ONNX number of their dtype; rows, the size of a fixed batch, or
    None; input_shape, the shape of one sample, or None.
    """

    def __init__(self, proto: Any) -> None:
        self.onnx = imported("onnx", "onnx")
        graph, self.constants = proto.graph, dict[str, Any]()
        self.producers = {node.output[0]: node for node in graph.node if node.output}
        opsets = [one.version for one in proto.opset_import if one.domain in STANDARD]
        if not opsets or opsets[0] < EARLIEST:
            raise refuse("model", f"the opset {opsets}", "ONNX", f"export it for opset {EARLIEST} or later")
        for one in graph.initializer:
            if self.onnx.external_data_helper.uses_external_data(one):
                raise refuse("model", f"{one.name} in another file", "ONNX", "pass the name of the model's file")
            self.constants[one.name] = self.onnx.numpy_helper.to_array(one)
        for node in graph.node:
            self._fold(node)
        inputs = [one for one in graph.input if one.name not in self.constants]
        kinds = self.onnx.TensorProto.FLOAT, self.onnx.TensorProto.DOUBLE
        outputs = [one for one in graph.output if one.type.tensor_type.elem_type in kinds]
        if len(inputs) != 1 or len(outputs) != 1 or inputs[0].type.tensor_type.elem_type not in kinds:
            came = f"{len(inputs)} inputs and {len(graph.output)} outputs, of which {len(outputs)} in floats"
            is_zipped = any(node.op_type == "ZipMap" for node in graph.node)
            remedy = OF_ESTIMATORS["ZipMap"] if is_zipped else "export a model of one input and one output in floats"
            raise refuse("model", came, "ONNX", remedy)
        self.x, self.y, self.kind = inputs[0].name, outputs[0].name, inputs[0].type.tensor_type.elem_type
        axes: list[Any] = [axis.dim_value or None for axis in inputs[0].type.tensor_type.shape.dim]
        self.same = self._casts_to_the_same(graph)
        self.y = self.same.get(self.y, self.y)
        self.rows: int | None = axes[0] if axes else None
        self.input_shape: tuple[int, ...] | None = tuple(axes[1:]) if axes[1:] and all(axes[1:]) else None

    def inputs(self, node: Any) -> list[str]:
        """The values that a node takes, without those left out at its end; a cast to the same dtype is no value."""
        names = [self.same.get(name, name) for name in node.input]
        while names and not names[-1]:
            names.pop()
        return names

    def attributes(self, node: Any) -> dict[str, Any]:
        """The attributes of a node by name, tensors as arrays."""
        found = {one.name: self.onnx.helper.get_attribute_value(one) for one in node.attribute}
        to_array = self.onnx.numpy_helper.to_array
        return {key: to_array(one) if hasattr(one, "raw_data") else one for key, one in found.items()}

    def producer(self, name: str) -> Any:
        """The node of ONNX's own domain that gives a value as its first output; others are refused."""
        node = self.producers.get(name)
        if node is None:
            came = f"{name}, which is no first output of a node, or does not depend on the input"
            raise refuse("model", came, "ONNX")
        if node.domain not in STANDARD:
            raise refuse("model", f"{node.op_type} of the domain {node.domain}", "ONNX")
        return node

    def number(self, name: str) -> Any:
        """A constant of one element as a number; None for anything else."""
        array = self.constants.get(name)
        return array.item() if array is not None and array.size == 1 and array.ndim <= 2 else None

    def sizes(self, name: str, data: str) -> Any:
        """The sizes that a value holds, ints or BATCH or None for others; data: a value with the batch's rows."""
        if name in self.constants:
            return [int(one) for one in self.constants[name].reshape(-1)]
        node = self.producer(name)
        options, names = self.attributes(node), self.inputs(node)
        if node.op_type == "Shape" and names[0] in (data, self.x) and not options.get("start"):
            return {None: SHAPE, 1: [BATCH]}.get(options.get("end"))
        if node.op_type == "Concat":
            parts = [self.sizes(one, data) for one in names]
            return [size for one in parts for size in one] if all(isinstance(one, list) for one in parts) else None
        if node.op_type == "Gather" and names[1] in self.constants and self.sizes(names[0], data) == SHAPE:
            return [BATCH if place == 0 else None for place in self.constants[names[1]].reshape(-1)]
        return self.sizes(names[0], data) if node.op_type in ("Unsqueeze", "Squeeze", "Cast", "Identity") else None

    def _casts_to_the_same(self, graph: Any) -> dict[str, str]:
        """The results of casts that change nothing, with what they take."""
        same, floats = dict[str, str](), {self.x}
        for node in graph.node:
            takes_floats = any(name in floats for name in node.input)
            if node.op_type == "Cast" and self.attributes(node)["to"] == self.kind:
                floats.add(node.output[0])
                if takes_floats:
                    same[node.output[0]] = same.get(node.input[0], node.input[0])
            elif node.op_type in KEEPS_DTYPE and takes_floats and node.domain in STANDARD:
                floats.add(node.output[0])
        return same

    def _fold(self, node: Any) -> None:
        """Note the constant that a node gives, if it does."""
        if node.domain not in STANDARD:
            return
        options = self.attributes(node)
        if node.op_type == "Constant":
            key, value = next(iter(options.items()))
            if key in ("value", "value_float", "value_floats", "value_int", "value_ints"):
                dtype = {"f": np.float32, "i": np.int64}.get(key[6:7])
                self.constants[node.output[0]] = np.asarray(value, dtype)
        elif node.op_type in ("Identity", "Transpose") and node.input[0] in self.constants:
            array = self.constants[node.input[0]]
            is_turned = node.op_type == "Transpose"
            self.constants[node.output[0]] = array.transpose(options.get("perm")) if is_turned else array
