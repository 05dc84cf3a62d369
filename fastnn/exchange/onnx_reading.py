"""A network from an ONNX model: its graph is followed from the output to the input."""

import math
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn.errors import ModelFileError
from fastnn.exchange.onnx_writing import LOSS, OPERATORS, rounding
from fastnn.exchange.parts import Part, affine, batch_norm, imported, plain, refuse
from fastnn.layers import Dropout, Elu, Flatten, Gelu, LeakyRelu, PRelu, Silu, Softmax, Step

LAYERS = {operator: layer for layer, operator in OPERATORS.items()}
# Formulas of which exporters make several nodes, which are told apart by their values at these points.
POINTS = np.linspace(-4.0, 4.0, 33)


def _erf(x: Any) -> Any:
    return np.array([math.erf(one) for one in np.ravel(x)])


ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "Add": np.add, "Div": np.divide, "Erf": _erf, "Mul": np.multiply,
    "Sigmoid": lambda x: 1.0 / (1.0 + np.exp(-x)), "Sub": np.subtract,
}  # fmt: skip
FORMULAS = {Silu: POINTS / (1.0 + np.exp(-POINTS)), Gelu: POINTS * (1.0 + _erf(POINTS / math.sqrt(2.0))) / 2.0}


def onnx_parts(model: Any) -> tuple[list[Part], str | None, tuple[int, ...] | None]:
    """The parts of a model, the loss that it notes and the shape of one sample; see Network.from_onnx."""
    onnx = imported("onnx", "onnx")
    proto = _loaded(onnx, model)
    reader = _Reader(onnx, proto.graph)
    noted = {one.key: one.value for one in proto.metadata_props}.get(LOSS)
    return reader.parts(), noted, reader.input_shape()


def _loaded(onnx: Any, model: Any) -> Any:
    """The checked model of a file, of its content or itself."""
    try:
        if isinstance(model, bytes):
            model = onnx.load_model_from_string(model)
        elif isinstance(model, str | os.PathLike):
            model = onnx.load(os.fspath(model))
        if not isinstance(model, onnx.ModelProto):
            raise TypeError(f"model: expected an ONNX file or model, got {type(model).__name__}; pass its name")
        onnx.checker.check_model(model)
    except (TypeError, OSError):
        raise
    except Exception as error:  # of protobuf and of the checker, which have no common base
        raise ModelFileError(
            f"model: expected an ONNX model, got one that is not ({error}); export it again"
        ) from error
    return model


class _Reader:
    """A graph: the node that gives each value, and its constants."""

    def __init__(self, onnx: Any, graph: Any) -> None:
        self.onnx, self.graph = onnx, graph
        self.producers = {name: node for node in graph.node for name in node.output}
        self.constants = {one.name: onnx.numpy_helper.to_array(one) for one in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant":
                self.constants[node.output[0]] = np.asarray(self._attributes(node)["value"])
            elif node.op_type == "Identity" and node.input[0] in self.constants:
                self.constants[node.output[0]] = self.constants[node.input[0]]
        self.inputs = [one for one in graph.input if one.name not in self.constants]
        if len(self.inputs) != 1 or len(graph.output) != 1:
            came = f"{len(self.inputs)} inputs and {len(graph.output)} outputs"
            raise refuse("model", came, "ONNX", "export a model of one input and one output")

    def input_shape(self) -> tuple[int, ...] | None:
        """The shape of one sample, if the graph tells it."""
        sizes = tuple(axis.dim_value for axis in self.inputs[0].type.tensor_type.shape.dim[1:])
        return sizes if sizes and all(sizes) else None

    def parts(self) -> list[Part]:
        """The parts, from the input to the output."""
        name, parts = self.graph.output[0].name, list[Part]()
        while name != self.inputs[0].name:
            part, name = self._part(self.producers[name])
            parts.append(part)
        return parts[::-1]

    def _attributes(self, node: Any) -> dict[str, Any]:
        found = {one.name: self.onnx.helper.get_attribute_value(one) for one in node.attribute}
        to_array = self.onnx.numpy_helper.to_array
        return {key: to_array(one) if hasattr(one, "raw_data") else one for key, one in found.items()}

    def _part(self, node: Any) -> tuple[Part, str]:
        """The part of a node, with the ones before it that belong to it, and the value that it takes."""
        operator, names, options = node.op_type, list(node.input), self._attributes(node)
        known = [self.constants.get(name) for name in names]
        arrays, source = [one for one in known if one is not None], names[0]
        if operator == "Gemm" and not options.get("transA") and len(arrays) == len(names) - 1:
            W = arrays[0].T if options.get("transB") else arrays[0]
            b = arrays[1] * W.dtype.type(options.get("beta", 1.0)) if len(arrays) > 1 else None
            b = b if b is None else np.broadcast_to(b.reshape(-1), W.shape[1:])
            return affine(W * W.dtype.type(options.get("alpha", 1.0)), b), source
        if operator == "MatMul" and known[1] is not None:
            return affine(known[1], None), source
        if operator == "Add" and len(arrays) == 1:
            product = self.producers.get(names[0] if known[0] is None else names[1])
            if product is not None and product.op_type == "MatMul" and product.input[1] in self.constants:
                W = self.constants[product.input[1]]
                return affine(W, np.broadcast_to(arrays[0].reshape(-1), W.shape[1:])), product.input[0]
        if operator == "BatchNormalization" and len(arrays) == 4 and not options.get("training_mode"):
            epsilon, momentum = (_short(options.get(*one)) for one in (("epsilon", 1e-5), ("momentum", 0.9)))
            arrays[3] = arrays[3] - arrays[3].dtype.type(rounding(epsilon))
            return batch_norm(epsilon, momentum, *arrays), source
        if operator == "PRelu" and len(arrays) == 1:
            return Part(PRelu(), {"slope": arrays[0].reshape(-1)}), source
        if operator == "Flatten" and options.get("axis", 1) == 1:
            return plain(Flatten()), source
        if operator == "Reshape" and arrays and arrays[0].size == 2 and (arrays[0][1] == -1 or arrays[0][0] in (0, -1)):
            return plain(Flatten()), source
        if operator == "Dropout":
            return plain(Dropout(_short(arrays[0]) if arrays else 0.5)), source
        if operator == "Cast":
            compared = self.producers.get(source)
            if compared is not None and compared.op_type == "Greater" and not self.constants.get(compared.input[1], 1):
                return plain(Step()), compared.input[0]
        if operator in LAYERS:
            return plain(self._activation(operator, options)), source
        return self._formula(node)

    def _activation(self, operator: str, options: dict[str, Any]) -> Any:
        """The layer of one operator."""
        layer = LAYERS[operator]
        if layer is LeakyRelu:
            return layer(_short(options.get("alpha", 0.01)))
        if layer is Elu:
            return layer(_short(options.get("alpha", 1.0)))
        if (layer is Softmax and options.get("axis", -1) not in (-1, 1)) or options.get("approximate") == b"tanh":
            raise refuse("model", f"{operator} {options}", "ONNX")
        return layer()

    def _formula(self, node: Any) -> tuple[Part, str]:
        """The activation that several nodes compute from one value, told by its values at some points."""
        leaves = set[str]()
        with np.errstate(all="ignore"):
            values = self._values(node, leaves)
        for layer, expected in FORMULAS.items():
            if values is not None and len(leaves) == 1 and np.allclose(values, expected, rtol=1e-5, atol=1e-6):
                return plain(layer()), leaves.pop()
        remedy = "leave it out, as the loss takes logits" if node.op_type == "LogSoftmax" else ""
        raise refuse("model", node.op_type, "ONNX", remedy)

    def _values(self, node: Any, leaves: set[str]) -> Any:
        """What a node gives where the one value that is no formula is POINTS; notes that value."""
        if node.op_type not in ELEMENTWISE:
            return None
        values = list[Any]()
        for name in node.input:
            before = self.producers.get(name)
            if name in self.constants:
                values.append(float(self.constants[name]) if self.constants[name].size == 1 else math.nan)
            elif before is not None and before.op_type in ELEMENTWISE and not self._is_sum_of_product(before):
                values.append(self._values(before, leaves))
            else:
                leaves.add(name)
                values.append(POINTS)
        return ELEMENTWISE[node.op_type](*values)

    def _is_sum_of_product(self, node: Any) -> bool:
        """Whether a node adds the bias to a product: that is where an activation begins."""
        products = (self.producers.get(name) for name in node.input)
        return node.op_type == "Add" and any(one is not None and one.op_type in ("MatMul", "Gemm") for one in products)


def _short(number: Any) -> float:
    """A number as the shortest decimal that rounds to the same float32: 0.1, not 0.10000000149011612."""
    return float(str(np.float32(number)))
