"""EarlyStopping: when it stops, the parameters that it restores, no carry-over between fits, and refusals."""

import copy
import math
import pickle
import re
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import SGD, Affine, EarlyStopping, History, Momentum, Network, Relu
from tests import shapes

NAN = math.nan
N = 40
X = shapes.numbers(1, N, 5, dtype=np.float32)
T = shapes.targets("labels", N, 3, np.float32)
VALIDATION = (shapes.numbers(2, N, 5, dtype=np.float32), shapes.targets("labels", N, 3, np.float32)[::-1].copy())
# Labels are noise: learning them does not help on others, and the validation loss rises after some epochs.
OVER_FIT: dict[str, Any] = {"batch_size": 8, "optimizer": Momentum(0.02), "validation_data": VALIDATION, "rng": 0}


def small_network() -> Network:
    return Network([Affine(5, 16), Relu(), Affine(16, 3)], rng=3)


def parameter_bits(net: Network) -> bytes:
    return b"".join(p.tobytes() for p in net.params.values())


def scripted(stopping: EarlyStopping, figures: list[float]) -> tuple[int, float]:
    """The epochs and the last parameter of a fit that measures these losses; the parameter is the epoch's number."""
    net, history = Network([Affine(1, 1)], "mean_squared_error", rng=0), History()
    bias = net.params["b1"]
    bias[:] = -1.0
    stopping.begin(net, ["loss", "accuracy", stopping.monitor])
    for epoch, figure in enumerate(figures):
        bias[:] = epoch
        history.loss.append(0.0)
        if stopping.monitor != "loss":
            getattr(history, stopping.monitor).append(figure)
        if stopping(net, history):
            break
    stopping.end(net, history)
    return history.epochs, float(bias[0])


# --- when it stops -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "figures", "epochs", "best", "stopped"),
    [
        ({"patience": 2}, [3, 2, 1, 1.5, 1.5, 0.5], 5, 2, 4),
        ({"patience": 1}, [3, 2, 1, 1.5, 1.5, 0.5], 4, 2, 3),
        ({"patience": 3}, [3, 2, 1, 1.5, 1.5, 0.5], 6, 5, None),
        ({}, [1, 2, 2, 2, 2, 2, 2], 6, 0, 5),  # five epochs
        ({"patience": 2}, [1, 1, 1, 1], 3, 0, 2),  # the first of equals
        ({"patience": 2, "min_delta": 0.5}, [3, 2.5, 2.0, 1.75, 1.5, 1.5], 5, 4, 4),  # the best, by however little
        ({"patience": 2, "min_delta": 0.5}, [3, 2.75, 2.25, 2, 1.5], 5, 4, None),  # counted from 3, then from 2.25
        ({"patience": 2}, [NAN, 3, NAN, 2, NAN, NAN], 6, 3, 5),
        ({"patience": 2}, [NAN, NAN, 1], 2, None, 1),
        ({"patience": 1}, [3, 2, 1], 3, 2, None),  # the epochs run out
        ({"patience": 9}, [1, 2, 3], 3, 0, None),
        ({"patience": 1}, [], 0, None, None),
        ({"patience": 2, "monitor": "validation_accuracy"}, [0.5, 0.75, 0.75, 0.25, 0.9], 4, 1, 3),
        ({"patience": 2, "monitor": "accuracy", "min_delta": 0.2}, [0.5, 0.6, 0.8, 0.9, 0.9], 5, 3, 4),
    ],
)
def test_stops_and_goes_back(
    options: dict[str, Any], figures: list[float], epochs: int, best: int | None, stopped: int | None
) -> None:
    stopping = EarlyStopping(**options)
    left = epochs - 1 if best is None else best
    for _ in range(2):  # nothing is carried over
        ended, parameter = scripted(stopping, figures)
        assert ended == epochs
        assert (stopping.best_epoch, stopping.stopped_epoch) == (best, stopped)
        assert parameter == left


@pytest.mark.parametrize("monitor", ["validation_loss", "validation_accuracy", "loss", "accuracy"])
def test_in_a_fit(monitor: str) -> None:
    net, bits, stopping = small_network(), [], EarlyStopping(patience=3, monitor=monitor)
    callbacks: list[Any] = [lambda net, history: bits.append(parameter_bits(net)), stopping]
    history = net.fit(X, T, epochs=60, callbacks=callbacks, **OVER_FIT)
    figures = np.array(getattr(history, monitor))
    best = int(figures.argmax() if monitor.endswith("accuracy") else figures.argmin())
    assert stopping.best_epoch == best
    assert parameter_bits(net) == bits[best]
    assert len(bits) == history.epochs
    assert stopping.stopped_epoch == (history.epochs - 1 if history.epochs < 60 else None)
    if monitor == "validation_loss":
        assert best + 3 == stopping.stopped_epoch
        assert net.loss(*VALIDATION) == min(history.validation_loss) < history.validation_loss[-1]


def test_epochs_run_out() -> None:
    net, stopping = small_network(), EarlyStopping(patience=1000)
    history = net.fit(X, T, epochs=20, callbacks=[stopping], **OVER_FIT)
    assert history.epochs == 20
    assert stopping.stopped_epoch is None
    assert stopping.best_epoch == np.argmin(history.validation_loss) < 19
    assert net.loss(*VALIDATION) == min(history.validation_loss)


def test_stopped_by_another_callback() -> None:
    net, stopping = small_network(), EarlyStopping(patience=1000)
    history = net.fit(X, T, epochs=40, callbacks=[stopping, lambda net, history: history.epochs == 20], **OVER_FIT)
    assert (history.epochs, stopping.stopped_epoch) == (20, None)
    assert net.loss(*VALIDATION) == min(history.validation_loss) < history.validation_loss[-1]


def test_the_optimizers_state_goes_back_too() -> None:
    net, twin, stopping = small_network(), small_network(), EarlyStopping(patience=3)
    net.fit(X, T, epochs=60, callbacks=[stopping], **OVER_FIT)
    assert stopping.best_epoch is not None
    twin.fit(X, T, epochs=stopping.best_epoch + 1, **OVER_FIT)
    assert parameter_bits(net) == parameter_bits(twin)
    for network in (net, twin):
        network.step(X, T, OVER_FIT["optimizer"])
    assert parameter_bits(net) == parameter_bits(twin)


# --- several fits ------------------------------------------------------------------------------------------


def test_nothing_is_carried_over() -> None:
    """The first network has another shape and reaches lower losses than the second can."""
    stopping, other = EarlyStopping(patience=3), Network([Affine(5, 8), Relu(), Affine(8, 3)], rng=0)
    other.fit(X, T, epochs=30, validation_data=(X, T), callbacks=[stopping])
    for callback in (stopping, EarlyStopping(patience=3)):
        net = small_network()
        history = net.fit(X, T, epochs=60, callbacks=[callback], **OVER_FIT)
        assert net.loss(*VALIDATION) == min(history.validation_loss)
        assert callback.best_epoch == np.argmin(history.validation_loss)
        assert history.epochs == np.argmin(history.validation_loss) + 4
    assert small_network().fit(X, T, epochs=0, callbacks=[stopping], validation_data=VALIDATION).epochs == 0
    assert (stopping.best_epoch, stopping.stopped_epoch) == (None, None)


def test_side_by_side() -> None:
    """One object serves the networks of all folds, on several threads."""

    def validated(n_jobs: int) -> tuple[list[float], list[int]]:
        options: dict[str, Any] = {"epochs": 15, "batch_size": 4, "optimizer": SGD(1.0)}
        options["callbacks"] = [EarlyStopping(patience=2, monitor="loss")]
        found = fastnn.cross_validate(
            lambda rng: Network([Affine(5, 8), Relu(), Affine(8, 3)], rng=rng), X, T, 6, rng=0, n_jobs=n_jobs, **options
        )
        return found.loss.tolist(), [history.epochs for history in found.histories]

    losses, epochs = validated(1)
    assert validated(4) == (losses, epochs)
    assert min(epochs) < 15
    assert len(set(epochs)) > 1


def test_copies() -> None:
    stopping = EarlyStopping(patience=2)
    scripted(stopping, [1.0, 2.0, 3.0])
    for twin in (copy.deepcopy(stopping), pickle.loads(pickle.dumps(stopping))):
        assert repr(twin) == repr(stopping)
        assert scripted(twin, [1.0, 2.0, 2.0, 0.5]) == (3, 0.0)


# --- errors ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_goes_back_after_an_interruption(error: type[BaseException]) -> None:
    net, stopping = small_network(), EarlyStopping(patience=1000)

    def interrupt(net: Network, history: History) -> None:
        if history.epochs == 20:
            raise error

    with pytest.raises(error):
        net.fit(X, T, epochs=40, callbacks=[stopping, interrupt], **OVER_FIT)
    assert net.history is not None
    assert net.history.epochs == 20
    assert net.loss(*VALIDATION) == min(net.history.validation_loss) < net.history.validation_loss[-1]


def test_goes_back_after_a_divergence() -> None:
    net, bits = small_network(), []
    with pytest.raises(fastnn.TrainingDivergedError):
        net.fit(
            X,
            T,
            epochs=5,
            schedule=lambda epoch, history: 1e38 if epoch == 2 else 1.0,
            callbacks=[lambda net, history: bits.append(parameter_bits(net)), EarlyStopping()],
            **OVER_FIT,
        )
    assert len(bits) == 2
    assert net.history is not None
    assert parameter_bits(net) == bits[int(np.argmin(net.history.validation_loss))]


def test_figures_that_are_never_numbers() -> None:
    net, bits, stopping = small_network(), [], EarlyStopping(patience=2)
    validation = (np.full((4, 5), NAN), np.zeros(4, int))
    callbacks: list[Any] = [lambda net, history: bits.append(parameter_bits(net)), stopping]
    net.fit(X, T, epochs=9, validation_data=validation, check_finite=False, callbacks=callbacks)
    assert (stopping.best_epoch, stopping.stopped_epoch, len(bits)) == (None, 1, 2)
    assert parameter_bits(net) == bits[-1]


@pytest.mark.parametrize(
    ("monitor", "targets", "validated", "sentence"),
    [
        ("validation_loss", T, False, "(loss, accuracy), got 'validation_loss'; pass validation_data=(x, t)"),
        ("validation_accuracy", T, False, "(loss, accuracy), got 'validation_accuracy'; pass validation_data=(x, t)"),
        (
            "validation_accuracy",
            np.full((N, 3), 1 / 3),
            False,
            "(loss), got 'validation_accuracy'; monitor a loss, as the targets are no classes",
        ),
        (
            "accuracy",
            np.full((N, 3), 1 / 3),
            False,
            "(loss), got 'accuracy'; monitor a loss, as the targets are no classes",
        ),
        (
            "validation_accuracy",
            np.full((N, 3), 1 / 3),
            True,
            "(validation_loss, loss), got 'validation_accuracy'; monitor a loss, as the targets are no classes",
        ),
    ],
)
def test_figures_that_are_not_measured(monitor: str, targets: Any, validated: bool, sentence: str) -> None:
    net = small_network()
    history, before = net.fit(X, T, epochs=1), parameter_bits(net)
    validation = VALIDATION if validated else None
    expected = f"monitor: expected a figure that this fit measures {sentence}"
    with pytest.raises(ValueError, match=f"^{re.escape(expected)}$"):
        net.fit(X, targets, validation_data=validation, callbacks=[EarlyStopping(monitor=monitor)])
    assert net.history is history
    assert parameter_bits(net) == before


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"patience": 0}, ValueError, "patience: expected an integer of at least 1, got 0"),
        ({"patience": 2.0}, TypeError, "patience: expected an integer of at least 1, got 2.0"),
        ({"min_delta": -0.1}, ValueError, "min_delta: expected a finite number of at least 0.0, got -0.1"),
        ({"min_delta": NAN}, ValueError, "min_delta: expected a finite number of at least 0.0, got nan"),
        ({"monitor": "val_loss"}, ValueError, "monitor: expected one of 'validation_loss', 'validation_accuracy', "),
    ],
)
def test_bad_arguments(options: dict[str, Any], error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=f"^{re.escape(sentence)}"):
        EarlyStopping(**options)
