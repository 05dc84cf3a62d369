"""Continued training: two fits are one longer fit, bit for bit, even from a file, with the same optimizer."""

import copy
import pathlib
import pickle
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import (
    SGD,
    AdaGrad,
    Adam,
    AdamW,
    Affine,
    BatchNorm,
    Dropout,
    EarlyStopping,
    History,
    Momentum,
    Nesterov,
    Network,
    Relu,
    RMSProp,
    TrainingDivergedError,
)
from fastnn.optimizers import OPTIMIZER_CLASSES, Optimizer
from tests import shapes
from tests.model_files import bits
from tests.test_training import parameter_bits

ROWS = 26  # the last batch of 8 is short
X = shapes.numbers(3, ROWS, 5, dtype=np.float32)
T = shapes.targets("labels", ROWS, 3, np.float32)
LAYERS = (Affine(5, 6), BatchNorm(), Relu(), Dropout(0.25), Affine(6, 3))
OPTIMIZERS = (
    SGD(0.2, clip_norm=0.5),
    Momentum(0.05, momentum=0.8),
    Nesterov(0.05),
    AdaGrad(0.1, epsilon=1e-3, epsilon_inside=True),
    RMSProp(0.01, decay=0.8),
    Adam(0.01, beta1=0.7, bias_correction=False),
    AdamW(0.01, weight_decay=0.1, clip_value=0.25),
)
OPTIONS: dict[str, Any] = {"batch_size": 8, "progress": False}


def network(dtype: str = "float32") -> Network:
    return Network(LAYERS, rng=1, dtype=dtype)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
@pytest.mark.parametrize(("shuffle", "dtype"), [(True, "float32"), (False, "float64")])
def test_two_fits_are_one(shuffle: bool, optimizer: Optimizer, dtype: str) -> None:
    """Each epoch's order is drawn anew; the optimizer's state and the masks that Dropout draws go on."""
    whole, parts = network(dtype), network(dtype)
    options: dict[str, Any] = {**OPTIONS, "optimizer": optimizer, "shuffle": shuffle}
    history = whole.fit(X, T, epochs=6, rng=np.random.default_rng(2), **options)
    generator, losses = np.random.default_rng(2), []
    for epochs in (3, 0, 3):
        losses += parts.fit(X, T, epochs=epochs, rng=generator, **options).loss
    assert parameter_bits(parts) == parameter_bits(whole)
    assert parts.statistics["mean1"].tobytes() == whole.statistics["mean1"].tobytes()
    assert losses == history.loss


def test_every_optimizer_is_an_example() -> None:
    assert {type(optimizer) for optimizer in OPTIMIZERS} == set(OPTIMIZER_CLASSES.values())


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_fit_goes_on_with_the_last_optimizer(optimizer: Optimizer, path: pathlib.Path) -> None:
    """It does so in the same network, and in one from a file, a pickle or a copy."""
    whole, generator = network(), np.random.default_rng(2)
    whole.fit(X, T, epochs=4, optimizer=optimizer, rng=generator, **OPTIONS)
    same, generator = network(), np.random.default_rng(2)
    same.fit(X, T, epochs=2, optimizer=optimizer, rng=generator, **OPTIONS)
    same.save(path)
    for other in (fastnn.load(path), pickle.loads(pickle.dumps(same)), copy.deepcopy(same), same):
        assert other.optimizer == optimizer
        assert type(other.optimizer) is type(optimizer)
        history = other.fit(X, T, epochs=2, rng=copy.deepcopy(generator), **OPTIONS)
        assert history.learning_rate == [optimizer.lr] * 2
        assert bits(other) == bits(whole)


def test_fit_goes_on_with_the_optimizer_of_the_last_step() -> None:
    whole, net = network(), network()
    for _ in range(2):
        net.step(X, T, Adam(0.01))
        whole.fit(X, T, epochs=1, batch_size=None, shuffle=False, optimizer=Adam(0.01), progress=False)
    for given in (None, Adam(0.01)):
        (whole if given else net).fit(X, T, epochs=1, batch_size=None, shuffle=False, optimizer=given, progress=False)
    assert bits(net) == bits(whole)
    net.gradient(X, T)
    assert net.optimizer == Adam(0.01)


def test_the_optimizer_is_that_of_the_last_update() -> None:
    net = network()
    assert net.optimizer is None
    net.fit(X, T, epochs=0, optimizer=Adam(), **OPTIONS)
    assert net.optimizer is None
    net.fit(X, T, epochs=1, **OPTIONS)
    assert net.optimizer == SGD(0.1)
    with pytest.raises(TrainingDivergedError):
        net.fit(X * 1e38, T, optimizer=Momentum(0.1), check_finite=False, **OPTIONS)
    with pytest.raises(TrainingDivergedError):
        net.step(X * 1e38, T, Adam(0.01), check_finite=False)
    with pytest.raises(TypeError, match=r"^optimizer: "):
        net.fit(X, T, optimizer="adam", **OPTIONS)  # type: ignore[arg-type]
    assert net.optimizer == SGD(0.1)
    net.initialize(0)
    assert net.optimizer is None


@pytest.mark.parametrize("gradient", ["analytic", "numerical"])
def test_a_schedule_does_not_stick_to_the_optimizer(gradient: Any, path: pathlib.Path) -> None:
    """The next fit has the optimizer's own rate, and so has a file that is written meanwhile."""
    net, found = Network([Affine(5, 3)], rng=0), []

    def look(net: Network, history: History) -> None:
        net.save(path)
        found.append(fastnn.load(path).optimizer)

    options: dict[str, Any] = {"optimizer": Momentum(0.1), "schedule": lambda epoch, history: 0.5**epoch}
    history = net.fit(X, T, epochs=3, callbacks=[look], gradient=gradient, **options, **OPTIONS)
    assert history.learning_rate == [0.1, 0.05, 0.025]
    assert [*found, net.optimizer] == [Momentum(0.1)] * 4
    assert net.fit(X, T, epochs=1, **OPTIONS).learning_rate == [0.1]


def test_the_optimizer_of_the_best_epoch_comes_back_with_it() -> None:
    net = network()
    net.fit(X, T, epochs=1, optimizer=Momentum(0.05), **OPTIONS)

    def change(net: Network, history: History) -> None:
        if history.epochs == 3:
            net.step(X, T, SGD(100.0))  # no parameter survives this rate

    stopping = EarlyStopping(patience=2)
    net.fit(X, T, epochs=5, validation_data=(X, T), callbacks=[stopping, change], **OPTIONS)
    assert stopping.best_epoch is not None and stopping.best_epoch < 3
    assert net.optimizer == Momentum(0.05)


class Doubled(SGD):
    """A user's own optimizer: its numbers are in code, which no file holds."""

    @property
    def numbers(self) -> tuple[float, ...]:
        return (2.0 * self.lr, *super().numbers[1:])


def test_a_file_does_not_guess_at_an_optimizer_of_a_users_class(path: pathlib.Path) -> None:
    net = network()
    net.fit(X, T, epochs=1, optimizer=Doubled(0.1), **OPTIONS)
    net.save(path)
    loaded = fastnn.load(path)
    assert loaded.optimizer is None
    with pytest.raises(ValueError, match=r"^optimizer: expected the one to go on with, got None, for a network whose"):
        loaded.fit(X, T, epochs=1, **OPTIONS)
    for one in (net, loaded):
        one.fit(X, T, epochs=1, optimizer=None if one is net else Doubled(0.1), rng=0, **OPTIONS)
    assert parameter_bits(net) == parameter_bits(loaded)
