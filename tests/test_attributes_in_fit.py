"""Generators and callbacks of a user's own while a network is made or trained."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import SGD, Adam, Affine, BatchNorm, Dropout, Momentum, Network
from tests.reshaping import reshape_in_place
from tests.small_networks import T, X, alike, bits, network


class Loaded(np.random.Generator):
    """A generator that gives the answers that it was told."""

    answers: Any = None

    def permutation(self, x: Any, axis: int = 0) -> Any:
        return self.answers(np.random.Generator(self.bit_generator).permutation(x))  # NumPy's own calls shuffle

    def shuffle(self, x: Any, axis: int = 0) -> None:
        super().shuffle(x)
        x[...] = np.resize(self.answers(x.copy()), x.shape)


def loaded(answers: Any) -> Loaded:
    generator = Loaded(np.random.PCG64(0))
    generator.answers = answers
    return generator


ORDERS: dict[str, Callable[[Any], Any]] = {
    "too far": lambda order: order + 1,
    "far away": lambda order: order * 2**50,
    "negative": lambda order: -order,
    "one twice": lambda order: np.maximum(order, 1),
    "none": lambda order: np.zeros_like(order),
}
SHAPES: dict[str, Callable[[Any], Any]] = {
    "short": lambda order: order[:3],
    "a matrix": lambda order: order.reshape(-1, 1),
    "floats": lambda order: order.astype(np.float64),
    "a list": lambda order: order.tolist(),
    "nothing": lambda order: None,
}


@pytest.mark.parametrize("answer", ORDERS | SHAPES)
def test_a_generator_that_draws_no_permutation(answer: str) -> None:
    answers = (ORDERS | SHAPES)[answer]
    net = network()
    before = bits(net)
    uses: list[Callable[[Any], Any]] = [
        lambda rng: net.fit(X, T, epochs=2, batch_size=5, rng=rng),
        lambda rng: fastnn.datasets.train_test_split(X, T, rng=rng, stratify=False),
        lambda rng: fastnn.datasets.k_fold(X, T, 2, rng=rng, stratify=False),
        lambda rng: fastnn.datasets.minibatches(X, T, 5, rng=rng),
    ]
    if answer in ORDERS:  # a shuffle in place keeps its array
        uses.append(lambda rng: fastnn.models.Perceptron().fit(X, T % 2, shuffle=True, rng=rng))
    for use in uses:
        with pytest.raises(ValueError, match=r"^rng\.\w+\(.*12\): expected each number from 0 to 11 once, got "):
            use(loaded(answers))
    assert bits(net) == before


def test_an_order_that_its_generator_changes_later() -> None:
    kept: list[Any] = []

    def keep(order: Any) -> Any:
        kept.append(order)
        return order

    def change(*_: Any) -> None:
        for order in kept:
            order[:] = 2**50

    net, expected = network(), network()
    net.fit(X, T, epochs=3, batch_size=5, rng=loaded(keep), callbacks=[change])
    expected.fit(X, T, epochs=3, batch_size=5, rng=0)
    assert bits(net) == bits(expected)


def test_a_generator_whose_other_numbers_are_none() -> None:
    class Odd(np.random.Generator):
        answer: Any = None

        def standard_normal(self, *_: Any, **__: Any) -> Any:
            return self.answer

        def integers(self, *_: Any, **__: Any) -> Any:
            return self.answer

    generator = Odd(np.random.PCG64(0))
    for answer in (0.5, None, np.ones(3), np.ones((2, 2)), "no"):
        generator.answer = answer
        with pytest.raises((TypeError, ValueError), match=r"^rng\.standard_normal\(\(20, 16\)\): expected a float64"):
            Network([Affine(20, 16)], rng=generator)
    for answer in (0.5, None, -1, 2**40, np.ones(3)):
        generator.answer = answer
        with pytest.raises((TypeError, ValueError), match=r"^rng\.integers\(2\*\*31\): expected an integer"):
            Network([Affine(20, 16, "zeros"), Dropout()], rng=Zeros(generator))


class Zeros(np.random.Generator):
    """Draws zeros, and integers by another one."""

    def __init__(self, other: np.random.Generator) -> None:
        super().__init__(np.random.PCG64(0))
        self.other = other

    def standard_normal(self, size: Any = None, *_: Any, **__: Any) -> Any:
        return np.zeros(size)

    def integers(self, *args: Any, **options: Any) -> Any:
        return self.other.integers(*args, **options)


def test_arrays_that_a_callback_reshapes_or_resizes() -> None:
    """Kernels have their own views, and the memory stays."""
    x, t, x_test, t_test = X.copy(), T.copy(), X.copy(), T.copy()
    refused: list[str] = []

    def change(*_: Any) -> None:
        for array in (x, t, x_test, t_test):
            reshape_in_place(array, (-1, 2))
            try:
                array.resize((2, 2), refcheck=False)
            except ValueError as error:
                refused.append(str(error))

    net, expected = network(), network()
    for shuffle in (False, True):
        options: Any = {"epochs": 3, "batch_size": 5, "shuffle": shuffle, "rng": 0}
        for array, like in ((x, X), (t, T), (x_test, X), (t_test, T)):
            reshape_in_place(array, like.shape)
        history = net.fit(x, t, validation_data=(x_test, t_test), callbacks=[change], **options)
        assert history.loss == expected.fit(X, T, **options).loss
    assert bits(net) == bits(expected)
    assert len(refused) == 24
    x.resize((2, 2), refcheck=False)  # now it may


def test_callbacks_that_train_the_network_meanwhile() -> None:
    net = network(Affine(20, 16), BatchNorm(), Dropout(0.2), Affine(16, 5))

    def meddle(given: Network, history: fastnn.History) -> None:
        given.initialize(1)
        given.step(X[:7], T[:7], Adam(0.01))
        if history.epochs < 3:
            given.fit(X, T, epochs=1, batch_size=3, optimizer=Momentum(0.01), callbacks=[lambda *_: None])
        given.n_threads = 1 + history.epochs % 3
        given.gradient(X, T)
        given.params["W1"] = np.zeros((20, 16))
        given.statistics["variance1"][...] = 0.5

    history = net.fit(X, T, epochs=5, batch_size=4, optimizer=SGD(0.01), callbacks=[meddle], schedule=None)
    assert np.isfinite(history.loss).all()
    assert np.isfinite(net.predict(X)).all()
    expected = network(Affine(20, 16), BatchNorm(), Dropout(0.2), Affine(16, 5))
    net.initialize(3)
    expected.initialize(3)
    assert alike(net, expected)


def test_labels_that_a_callback_changes_to_none() -> None:
    """The error is about the labels, not about a learning rate."""
    net, t = network(), T.copy()
    kept: list[bytes] = []

    def change(*_: Any) -> None:
        kept.append(bits(net))
        t[3] = 99

    sentence = r"^t: expected labels of shape \(12,\), integers from 0 to 4, got 99 at t\[3\]"
    with pytest.raises(ValueError, match=sentence):
        net.fit(X, t, epochs=3, batch_size=5, callbacks=[change])
    assert kept == [bits(net)]
