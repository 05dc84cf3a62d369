"""The numerical gradient of a network of the book's layers, all parameters at once."""

import itertools
import time
from typing import Any

import numpy as np

from fastnn.dropin import record
from fastnn.dropin.common import layers as book
from fastnn.gate.arrays import Array
from fastnn.layers import Activation, Affine, Layer, Relu, Sigmoid
from fastnn.observing import engine, turns
from fastnn.observing.attempt import last_in_memory
from fastnn.observing.recognition import Chain
from fastnn.observing.tape import NotUnderstoodError
from fastnn.operations.losses.softmax_cross_entropy import OFFSET_UNITS

ACTIVATIONS: dict[type, type[Activation]] = {book.Sigmoid: Sigmoid, book.Relu: Relu}


def of_network(net: Any, x: Any, t: Any) -> dict[str, Array] | None:
    """The difference quotients of net.loss(x, t) by all parameters, by name; None where numerical_gradient has to do
    it.

    That is so if the network, a layer or an array is not as MultiLayerNet makes it: a derived class, a replaced method
    or layer, arrays that share memory. As in numerical_gradient, two entries of each array are compared with the plain
    quotient; the last one leaves the layers as the loop does.
    """
    with turns.engine() as free:
        chain = _chain(net, x, t) if free else None
        return None if chain is None else _gradients(net, x, t, chain)


def _gradients(net: Any, x: Any, t: Any, chain: Chain) -> dict[str, Array] | None:
    start = time.perf_counter()
    decay = net.weight_decay_lambda
    try:
        result, _ = engine.gradients(chain, engine.BOOK, None)
        base = float(net.loss(x, t))
        for name, array in net.params.items():
            result[name] += decay * array if name[0] == "W" else 0.0
            engine.compare(lambda _: net.loss(x, t), array, engine.BOOK, result[name], base, last=last_in_memory(array))
    except NotUnderstoodError:
        return None
    size = sum(array.size for array in result.values())
    record.note((size,), "engine", f"{chain}; all parameters at once", time.perf_counter() - start)
    return {name: result[name] for name in net.params}


def _chain(net: Any, x: Any, t: Any) -> Chain | None:
    """The network as the engine takes it; None if it is not as MultiLayerNet makes it."""
    parts = [*net.layers.values(), net.last_layer]
    arrays: list[Any] = list(net.params.values())
    if {"loss", "predict"} & vars(net).keys() or any({"forward"} & vars(part).keys() for part in parts):
        return None
    if type(net.last_layer) is not book.SoftmaxWithLoss or any(type(array) is not np.ndarray for array in arrays):
        return None
    if any(np.may_share_memory(a, b) for a, b in itertools.combinations(arrays, 2)):
        return None
    if any(array.dtype != np.float64 or not array.flags.writeable for array in arrays):
        return None
    layers: list[Layer] = []
    pairs: list[tuple[Array, Array]] = []
    for layer in net.layers.values():
        if type(layer) is book.Affine:
            pair = (net.params.get(f"W{len(pairs) + 1}"), net.params.get(f"b{len(pairs) + 1}"))
            if layer.W is not pair[0] or layer.b is not pair[1]:
                return None
            pairs.append(pair)
            layers.append(Affine(*layer.W.shape))
        elif type(layer) in ACTIVATIONS:
            layers.append(ACTIVATIONS[type(layer)]())
        else:
            return None
    x, t = np.asarray(x), np.asarray(t)
    rows = np.ascontiguousarray(x.reshape(len(x), -1), np.float64) if x.ndim > 1 and x.size else np.empty((0, 0))
    classes = len(pairs[-1][1])
    one_hot = t.ndim == 2 and t.shape == (len(x), classes) and np.isin(t, (0, 1)).all() and (t.sum(axis=1) == 1).all()
    labels = t.argmax(axis=1) if one_hot else t
    if labels.shape != rows.shape[:1] or labels.dtype.kind not in "iu" or len(arrays) != 2 * len(pairs):
        return None
    if rows.shape[1] != pairs[0][0].shape[0] or not 0 <= labels.min() <= labels.max() < classes:
        return None
    targets = (labels.astype(np.intp), np.empty((0, 0)))
    decay = float(net.weight_decay_lambda) / 2
    own = tuple(itertools.chain.from_iterable(pairs))
    return Chain(tuple(layers), own, "", rows, OFFSET_UNITS, targets, 1.0, decay)
