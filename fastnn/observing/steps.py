"""The steps of a network on a tape: products with weights, and the drop-in's layers of images."""

from typing import Any, NamedTuple

import numpy as np

from fastnn.gate.arrays import Array
from fastnn.layers import Affine, Conv2d, Layer, MaxPool2d
from fastnn.observing.tape import CONVOLUTION, MAX_POOL, Node, NotUnderstoodError, ancestors, is_number

PRODUCTS = frozenset(["dot", "matmul"])
WITH_PARAMETERS = PRODUCTS | {CONVOLUTION}
IMAGES = 4  # dimensions (N, C, H, W)


class Step(NamedTuple):
    """A layer, its parameters, and the node of its outputs."""

    layer: Layer
    parameters: list[Array]
    outputs: Node


def first(leaf: Node, nodes: list[Node]) -> tuple[Step, Array, tuple[int, ...] | None]:
    """The step that uses the array as weights or bias, its inputs (N, D), and the shape of a sample if it is an image.

    nodes: all that the loss depends on, in order of evaluation.
    """
    uses = [node for node in nodes if leaf in node.inputs]
    if len(uses) != 1:
        raise NotUnderstoodError(f"{len(uses)} uses of the array in the loss")
    use = uses[0]
    if use.name == CONVOLUTION and use.inputs == [leaf] and use.arguments[0] is not leaf:
        images = use.arguments[0]
        if not (isinstance(images, np.ndarray) and is_number(images) and images.ndim == IMAGES and images.size):
            raise NotUnderstoodError(f"the array in {use.name} with a {type(images).__name__}")
        return _convolution(use), _rows(images.reshape(len(images), -1)), images.shape[1:]
    x, weights, bias, outputs = _first_product(leaf, use)
    return _affine(outputs, weights, bias, nodes, len(x)), x, None


def following(current: Node, nodes: list[Node]) -> tuple[Node, Node] | None:
    """The next product with constant weights, or layer of images, after a node; and what it takes."""
    for node in nodes:
        if (
            (node.name in WITH_PARAMETERS or node.name == MAX_POOL)
            and node is not current
            and current in ancestors(node)
        ):
            source, *others = node.arguments
            if not isinstance(source, Node) or any(isinstance(one, Node) for one in others):
                raise NotUnderstoodError("a product that is not one with constant weights")
            return node, source
    return None


def step_of(node: Node, nodes: list[Node], count: int) -> Step:
    """The step of a node that `following` found, for a number of samples."""
    if node.name == CONVOLUTION:
        return _convolution(node)
    if node.name == MAX_POOL:
        sizes = node.keywords
        return Step(MaxPool2d((sizes["pool_h"], sizes["pool_w"]), sizes["stride"]), [], node)
    arguments = node.arguments
    if not (len(arguments) == 2 and isinstance(arguments[1], np.ndarray) and arguments[1].ndim == 2) or node.keywords:
        raise NotUnderstoodError("a product that is not one with constant weights")
    return _affine(node, np.asarray(arguments[1], np.float64), None, nodes, count)


def _convolution(node: Node) -> Step:
    """A convolution, whose weights or bias may be the array."""
    W, b = (one.value if isinstance(one, Node) else one for one in node.arguments[1:])
    if not (isinstance(W, np.ndarray) and is_number(W) and is_number(b) and np.shape(b) in ((), (len(W),))):
        raise NotUnderstoodError(f"a {node.name} with a bias of shape {np.shape(b)}")
    filters, channels, *size = W.shape
    layer = Conv2d(channels, filters, (size[0], size[1]), node.keywords["stride"], node.keywords["pad"])
    bias = b if np.shape(b) else np.full(filters, b)
    return Step(layer, [np.asarray(W, np.float64), np.asarray(bias, np.float64)], node)


def _affine(product: Node, weights: Array, bias: Array | None, nodes: list[Node], count: int) -> Step:
    """The product with weights, and the bias added to it; bias: None where it is still to find."""
    if bias is None:
        bias, product = _bias(product, nodes, weights.shape[1])
    leading = () if product.value.ndim == 1 and count == 1 else (count,)  # (): a single sample in one dimension
    if product.value.shape != (*leading, weights.shape[1]):
        raise NotUnderstoodError("a product whose rows are not the samples")
    return Step(Affine(*weights.shape), [weights, bias], product)


def _first_product(leaf: Node, use: Node) -> tuple[Array, Array, Array | None, Node]:
    """Inputs, weights, bias (None: still to find) and the product, where the array is the weights or the bias."""
    if len(use.arguments) != 2 or use.keywords or any(isinstance(a, Node) and a is not leaf for a in use.arguments):
        raise NotUnderstoodError(f"the array in {use.name}")
    other = use.arguments[0] if use.arguments[1] is leaf else use.arguments[1]
    if not (isinstance(other, np.ndarray) and is_number(other) and other.size):
        raise NotUnderstoodError(f"the array in {use.name} with a {type(other).__name__}")
    if use.name in PRODUCTS and use.arguments[1] is leaf and leaf.value.ndim == 2 and other.ndim in (1, 2):
        return _rows(other), leaf.value, None, use
    if use.name == "add" and leaf.value.ndim == 1 and other.shape[-1:] == leaf.value.shape and other.ndim in (1, 2):
        # x + b is the identity's product with x, plus b.
        return _rows(other), np.eye(leaf.value.size), leaf.value, use
    raise NotUnderstoodError(f"the array in {use.name} with shape {other.shape}")


def _rows(array: Any) -> Array:
    """The array as (N, D), in float64."""
    return np.ascontiguousarray(np.atleast_2d(array), np.float64)


def _bias(product: Node, nodes: list[Node], width: int) -> tuple[Array, Node]:
    """The bias added to a product, and the sum; zeros and the product where there is none."""
    users = [other for other in nodes if product in other.inputs]
    if len(users) == 1 and users[0].name == "add" and not users[0].keywords:
        constants = users[0].constants
        if len(constants) == 1 and np.shape(constants[0]) in ((width,), (1, width)):
            return np.asarray(constants[0], np.float64).reshape(width), users[0]
    return np.zeros(width), product
