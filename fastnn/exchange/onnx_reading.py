"""A network from an ONNX model: its graph is followed from the output to the input."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn.exchange.onnx_graph import BATCH, OF_ESTIMATORS, Graph, load
from fastnn.exchange.onnx_writing import OPERATORS, WHOLE_CHANNELS, rounding
from fastnn.exchange.parts import Part, affine, batch_norm, conv2d, plain, refuse, scaling
from fastnn.layers import (
    AvgPool2d,
    Dropout,
    Dropout2d,
    Elu,
    Flatten,
    Gelu,
    LeakyRelu,
    MaxPool2d,
    PRelu,
    Silu,
    Softmax,
    Softplus,
    Step,
)

LAYERS = {operator: layer for layer, operator in OPERATORS.items()}
# Formulas of which exporters make several nodes, which are told apart by their values at these points.
POINTS = np.concatenate([np.linspace(-60.0, -5.0, 56), np.linspace(-4.0, 4.0, 33), np.linspace(5.0, 60.0, 56)])
REMEDIES = {"LogSoftmax": "leave it out, as the loss takes logits", **OF_ESTIMATORS}
FARTHEST = 16  # values looked at for the one that a formula is of; Gelu has 6


def _erf(x: Any) -> Any:
    return np.array([math.erf(one) for one in np.ravel(x)])


ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "Add": np.add, "Div": np.divide, "Erf": _erf, "Greater": np.greater, "Mul": np.multiply,
    "Sigmoid": lambda x: 1.0 / (1.0 + np.exp(-x)), "Softplus": lambda x: np.logaddexp(0.0, x), "Sub": np.subtract,
    "Where": np.where,
}  # fmt: skip
FORMULAS = {
    Silu: POINTS / (1.0 + np.exp(-POINTS)),
    Gelu: POINTS * (1.0 + _erf(POINTS / math.sqrt(2.0))) / 2.0,
    Softplus: np.logaddexp(0.0, POINTS),
}


def onnx_parts(model: Any) -> tuple[list[Part], dict[str, str], tuple[int, ...] | None]:
    """The parts of a model, its metadata and the shape of one sample; see Network.from_onnx."""
    proto = load(model)
    graph = Graph(proto)
    reader, name, parts = _Reader(graph), graph.y, list[Part]()
    while name != graph.x:
        part, name = reader.part(graph.producer(name))
        parts.append(part)
    return parts[::-1], {one.key: one.value for one in proto.metadata_props}, graph.input_shape


class _Reader:
    """The parts of a graph's nodes. Each method gives the part and the value that it takes, or None."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def part(self, node: Any) -> tuple[Part, str]:
        """The part of a node, with the ones before it that belong to it, and the value that it takes."""
        read: dict[str, Callable[..., tuple[Part, str] | None]] = {
            "Add": self._sum, "BatchNormalization": self._batch_norm, "Cast": self._step,
            "AveragePool": self._mean, "Conv": self._convolution, "MaxPool": self._largest,
            "Flatten": self._flatten, "Gemm": self._gemm, "MatMul": self._product, "Mul": self._scaling,
            "PRelu": self._prelu, "Reshape": self._reshape,
        }  # fmt: skip
        names, options = self.graph.inputs(node), self.graph.attributes(node)
        found: tuple[Part, str] | None = None
        if node.op_type == "Dropout":
            found = self._dropout(names, options, Dropout2d if node.doc_string == WHOLE_CHANNELS else Dropout)
        elif node.op_type in LAYERS:
            found = plain(self._activation(node.op_type, options)), names[0]
        elif node.op_type in read:
            found = read[node.op_type](names, options)
        found = found or self._formula(node)
        if found is None:
            remedy = REMEDIES.get(node.op_type, "")
            raise refuse("model", f"{node.op_type}({', '.join(names)}) {options or ''}".rstrip(), "ONNX", remedy)
        return found

    def _constants(self, names: list[str]) -> list[Any]:
        """The arrays of these names; empty if one is no constant, or the data follow none."""
        arrays = [self.graph.constants.get(name) for name in names[1:]]
        is_known = names[0] not in self.graph.constants and all(one is not None for one in arrays)
        return arrays if is_known else []

    def _row(self, array: Any, size: int) -> Any:
        """A constant that is one number for each output, (size,), or one for all; None for other shapes."""
        fits = array.shape in ((), (1,), (1, 1), (size,), (1, size))
        return np.broadcast_to(array.reshape(-1), (size,)) if fits else None

    def _affine(self, W: Any, b: Any, source: str) -> tuple[Part, str] | None:
        if W.ndim != 2:
            return None
        b = None if b is None else self._row(b, W.shape[1])
        return None if b is None else (affine(W, b), source)

    def _gemm(self, names: list[str], options: dict[str, Any]) -> tuple[Part, str] | None:
        arrays = self._constants(names)
        if not arrays or options.get("transA"):
            return None
        W = arrays[0].T if options.get("transB") else arrays[0]
        b = arrays[1] if len(arrays) > 1 else np.zeros((), W.dtype)
        alpha, beta = (W.dtype.type(options.get(name, 1.0)) for name in ("alpha", "beta"))
        return self._affine(W * alpha, b * beta, names[0])

    def _product(self, names: list[str], _: dict[str, Any]) -> tuple[Part, str] | None:
        arrays = self._constants(names)
        return self._affine(arrays[0], np.zeros((), arrays[0].dtype), names[0]) if arrays else None

    def _sum(self, names: list[str], _: dict[str, Any]) -> tuple[Part, str] | None:
        known = [name in self.graph.constants for name in names]
        if sum(known) != 1:
            return None
        before = self.graph.producers.get(names[known.index(False)])
        if before is None or before.op_type != "MatMul":
            return None
        taken, bias = self.graph.inputs(before), self.graph.constants[names[known.index(True)]]
        arrays = self._constants(taken)
        return self._affine(arrays[0], bias, taken[0]) if arrays else None

    def _scaling(self, names: list[str], _: dict[str, Any]) -> tuple[Part, str] | None:
        """The product of the input and a number above 0."""
        if self.graph.x not in names:
            return None
        (other,) = [name for name in names if name != self.graph.x] or [self.graph.x]
        factor = self.graph.number(other)
        if factor is None or not factor > 0:
            return None
        return scaling(factor, self.graph.constants[other].dtype), self.graph.x

    def _batch_norm(self, names: list[str], options: dict[str, Any]) -> tuple[Part, str] | None:
        arrays = self._constants(names)
        if len(arrays) != 4 or options.get("training_mode"):
            return None
        epsilon, momentum = (_short(options.get(*one)) for one in (("epsilon", 1e-5), ("momentum", 0.9)))
        arrays[3] = arrays[3] - arrays[3].dtype.type(rounding(epsilon))
        return batch_norm(epsilon, momentum, *arrays), names[0]

    def _convolution(self, names: list[str], options: dict[str, Any]) -> tuple[Part, str] | None:
        arrays, steps = self._constants(names), _steps(options)
        if not arrays or arrays[0].ndim != 4 or steps is None or options.get("group", 1) != 1:
            return None
        (stride, other), padding = steps
        size = list(arrays[0].shape[2:])
        if stride != other or list(options.get("kernel_shape", size)) != size:
            return None
        return conv2d(arrays[0], arrays[1] if len(arrays) > 1 else None, stride, padding), names[0]

    def _largest(self, names: list[str], options: dict[str, Any]) -> tuple[Part, str] | None:
        made = _pool(MaxPool2d, options)
        return None if made is None else (plain(made), names[0])

    def _mean(self, names: list[str], options: dict[str, Any]) -> tuple[Part, str] | None:
        counts_all = options.get("count_include_pad", 0) or not any(options.get("pads", ()))
        made = _pool(AvgPool2d, options) if counts_all else None
        return None if made is None else (plain(made), names[0])

    def _prelu(self, names: list[str], _: dict[str, Any]) -> tuple[Part, str] | None:
        arrays = self._constants(names)
        slope = self._row(arrays[0], arrays[0].size) if arrays else None
        return None if slope is None else (Part(PRelu(), {"slope": slope}), names[0])

    def _flatten(self, names: list[str], options: dict[str, Any]) -> tuple[Part, str] | None:
        return (plain(Flatten()), names[0]) if options.get("axis", 1) == 1 else None

    def _reshape(self, names: list[str], options: dict[str, Any]) -> tuple[Part, str] | None:
        """Only to (rows, anything), or to (-1, the numbers of one sample), which network_of compares."""
        sizes = self.graph.sizes(names[1], names[0])
        if not isinstance(sizes, list) or len(sizes) != 2 or sizes[0] is None or sizes[1] == 0:
            return None
        copies = 0 if not options.get("allowzero") else BATCH  # a 0 stands for the size that the data have
        if sizes[0] in (BATCH, copies, self.graph.rows):
            return plain(Flatten()), names[0]
        tells_size = sizes[0] == -1 and isinstance(sizes[1], int) and sizes[1] > 0
        return (Part(Flatten(), {}, sizes[1]), names[0]) if tells_size else None

    def _dropout(self, names: list[str], options: dict[str, Any], kind: Any) -> tuple[Part, str] | None:
        names = [*names, "", ""]
        training = names[2] and self.graph.number(names[2]) is not False and self.graph.number(names[2]) != 0
        rate = self.graph.number(names[1]) if names[1] else options.get("ratio", 0.5)
        return None if training or rate is None else (plain(kind(_short(rate))), names[0])

    def _step(self, names: list[str], options: dict[str, Any]) -> tuple[Part, str] | None:
        """A comparison with 0 as numbers."""
        compared = self.graph.producers.get(names[0])
        at_zero = {"Greater": 0.0, "GreaterOrEqual": 1.0}.get(compared.op_type if compared else "")
        if options["to"] != self.graph.kind or at_zero is None:
            return None
        x, border = self.graph.inputs(compared)
        is_step = x not in self.graph.constants and self.graph.number(border) == 0.0
        return (plain(Step(at_zero)), x) if is_step else None

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

    def _formula(self, node: Any) -> tuple[Part, str] | None:
        """The activation that several nodes compute from one value, told by its values at some points."""
        before = self.graph.inputs(node)
        for source in before:  # which grows: the nearest come first
            if source in self.graph.constants or len(before) > FARTHEST:
                continue
            values = self._values(node, {source: POINTS})
            for layer, expected in FORMULAS.items():
                if values is not None and np.allclose(values, expected, rtol=1e-6, atol=1e-7):
                    return plain(layer()), source
            further = self.graph.producers.get(source)
            if further is not None and further.op_type in ELEMENTWISE:
                before += [name for name in self.graph.inputs(further) if name not in before]
        return None

    def _values(self, node: Any, known: dict[str, Any]) -> Any:
        """What a node gives for values that are known; None if it takes others. It adds what it finds to them."""
        if node is None or node.op_type not in ELEMENTWISE or node.domain or len(known) > 2 * FARTHEST:
            return None
        names = self.graph.inputs(node)
        for name in names:
            if name not in known:
                known[name] = self.graph.number(name)
                if name not in self.graph.constants:
                    known[name] = self._values(self.graph.producers.get(name), known)
        values = [known[name] for name in names]
        with np.errstate(all="ignore"):
            return None if any(one is None for one in values) else ELEMENTWISE[node.op_type](*values)


def _steps(options: dict[str, Any]) -> tuple[tuple[int, int], int] | None:
    """The steps of windows down and to the right, and their padding; None where fastnn's have no such."""
    pads, steps = options.get("pads", [0, 0, 0, 0]), options.get("strides", [1, 1])
    is_known = options.get("auto_pad", b"NOTSET") in (b"NOTSET", b"VALID") and set(options.get("dilations", [1])) == {1}
    if not is_known or len(steps) != 2 or len(pads) != 4 or len(set(pads)) != 1 or options.get("ceil_mode"):
        return None
    return (steps[0], steps[1]), pads[0]


def _pool(kind: Any, options: dict[str, Any]) -> Any:
    """A pool with these attributes; None where fastnn's pools have no such."""
    size, steps = tuple(options["kernel_shape"]), _steps(options)
    if steps is None or not (steps[0] == size or steps[0][0] == steps[0][1]):
        return None
    return kind(size, None if steps[0] == size else steps[0][0], steps[1])


def _short(number: Any) -> float:
    """A number as the shortest decimal that rounds to the same float32: 0.1, not 0.10000000149011612."""
    return float(str(np.float32(number)))
