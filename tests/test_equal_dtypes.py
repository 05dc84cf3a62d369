"""Arrays whose dtype equals NumPy's own without being it, as pickles bring them, are computed with as any others."""

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.kernels.compile import JIT_DISABLED
from tests import shapes

N, D, K = 12, 4, 3


def copied(some: Any) -> Any:
    return pickle.loads(pickle.dumps(some, protocol=5))


FORMS: dict[str, Callable[[Any], Any]] = {
    "protocol 2": lambda array: pickle.loads(pickle.dumps(array, protocol=2)),
    "protocol 5": copied,
    "metadata": lambda array: array.astype(np.dtype(array.dtype, metadata={"unit": "m"})),
    "read-only": lambda array: np.frombuffer(array.tobytes(), copied(array.dtype)).reshape(array.shape),
}
LAYERS = [fastnn.Affine(D, 5), fastnn.Sigmoid(), fastnn.Affine(5, K)]


def everything(x: Any, t: Any, kind: str) -> list[bytes]:
    """The bits of all that takes an input and targets, each twice: by the way of the gate, then by the short one."""
    found: list[Any] = []
    for _ in range(2):
        loss: Any = "mean_squared_error" if kind == "values" else "softmax_cross_entropy"
        network = fastnn.Network(LAYERS, loss, rng=0, dtype=x.dtype)
        for _ in range(2):
            found += [network.predict(x), network.loss(x, t), *network.gradient(x, t).values()]
            found += [network.step(x, t, fastnn.SGD(0.1)), *network.numerical_gradient(x[:2], t[:2]).values()]
            y = network.predict(x)
            if kind == "values":
                found += [*fastnn.mean_squared_error(y, t), *fastnn.huber(y, t)]
            else:
                found += [network.accuracy(x, t), *fastnn.softmax_cross_entropy(y, t), fastnn.zero_one_loss(y, t)]
            history = network.fit(x, t, epochs=2, batch_size=5, rng=0, validation_data=(x, t), progress=False)
            found += [*network.params.values(), history.loss, history.validation_loss]
    return shapes.bits(tuple(np.asarray(one) for one in found))


@pytest.mark.parametrize("kind", ["labels", "one-hot", "values"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("form", FORMS)
def test_networks_and_losses(form: str, dtype: Any, kind: str) -> None:
    x, t = shapes.numbers(1, N, D, dtype=dtype), shapes.targets("labels", N, K, dtype)
    if kind != "labels":
        t = np.eye(K, dtype=dtype)[t] if kind == "one-hot" else shapes.numbers(2, N, K, dtype=dtype)
    others = FORMS[form](x), FORMS[form](t)
    assert others[0].dtype == dtype and others[0].dtype is not x.dtype
    assert everything(*others, kind) == everything(x, t, kind)


@pytest.mark.skipif(JIT_DISABLED, reason="starts no threads without the compiler")
@pytest.mark.parametrize("form", FORMS)
def test_batches_that_threads_share(form: str) -> None:
    x, t = shapes.numbers(1, 1000, 200, dtype=np.float32), shapes.targets("labels", 1000, K, np.float32)
    for targets in (t, np.eye(K, dtype=np.float32)[t]):
        layers = [fastnn.Affine(200, 100), fastnn.Relu(), fastnn.Affine(100, K)]
        networks = [fastnn.Network(layers, rng=0) for _ in range(2)]
        for _ in range(3):
            given = [(x, targets), (FORMS[form](x), FORMS[form](targets))]
            losses = [network.step(*data, fastnn.SGD(0.1)) for network, data in zip(networks, given, strict=True)]
            assert losses[0] == losses[1]


@pytest.mark.skipif(JIT_DISABLED, reason="without the compiler there are no doors")
def test_a_door_leaves_out_nothing_that_it_was_given() -> None:
    from fastnn.engine.interpreters import on_outputs

    t = FORMS["protocol 5"](np.zeros(2, np.intp))
    y, empty = np.zeros((2, K), np.float32), np.empty((0, K), np.float32)
    assert on_outputs.hits(1, 0, np.inf, 0, 0.0, 0.0, False, y, t, empty) == (0, 2)
    door = on_outputs.hits.made_for(np.dtype(np.float32))  # type: ignore[attr-defined]
    assert door(1, 0, np.inf, 0, 0.0, 0.0, False, y, t, empty) is NotImplemented
    assert door(1, 0, np.inf, 0, 0.0, 0.0, False, y, None, empty) is NotImplemented
