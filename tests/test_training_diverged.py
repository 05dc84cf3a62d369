"""What fit says of a training that diverges: the epoch, the batch, the first place, and what to try."""

import re
import signal
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import SGD, Adam, Affine, BatchNorm, Network, Relu
from fastnn.engine import pace
from fastnn.kernels.compile import JIT_DISABLED
from fastnn.network import run
from tests import shapes
from tests.test_training import parameter_bits

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning" if JIT_DISABLED else "error")
X, T = shapes.numbers(1, 70, 5, dtype=np.float32), shapes.numbers(2, 70, 3, dtype=np.float32)
CLIP = ", clip gradients by the optimizer's clip_norm=1.0"


def deep() -> Network:
    return Network([Affine(5, 6), BatchNorm(), Relu(), Affine(6, 6), Affine(6, 3)], "mean_squared_error", rng=0)


def large_in_the_middle() -> Network:
    net = deep()
    net.params["W2"] *= 1e37
    net.params["W3"] *= 1e10
    return net


def fit(net: Network, x: Any, t: Any, as_batches: bool = False, **options: Any) -> str:
    """What fit says; the network keeps finite parameters."""
    pairs = [(x[i : i + 20], t[i : i + 20]) for i in range(0, len(x), 20)]
    data = (pairs,) if as_batches else (x, t)
    with pytest.raises(fastnn.TrainingDivergedError) as caught:
        net.fit(*data, batch_size=20, shuffle=False, progress=False, check_finite=False, **options)
    assert all(np.isfinite(value).all() for value in net.params.values())
    return str(caught.value)


def sentence(place: str, remedy: str) -> str:
    kept = "the network keeps its last finite parameters"
    return f"loss: expected finite numbers, got NaN or infinity in epoch 1, batch {place}; {kept}: {remedy}"


def test_an_update_that_overflows() -> None:
    net = Network([Relu(), Affine(1, 1, "zeros")], "mean_squared_error", input_shape=(1,))
    said = fit(net, np.ones((1, 1)), np.full((1, 1), 10.0), optimizer=SGD(1e38))
    remedy = f"lower the learning rate, now 1e+38{CLIP}, or begin at other weights"
    assert said == sentence("1 of 1, first in W1 of layers[1], Affine(1, 1, 'zeros')", remedy)


@pytest.mark.parametrize("as_batches", [True, False])
def test_outputs_that_overflow(as_batches: bool) -> None:
    """The data are too large from the third batch on."""
    net, x = large_in_the_middle(), X.copy()
    net.params["W2"] /= 1e33
    x[40:] *= 1e30
    net.params["W1"] *= 1e7
    said = fit(net, x, T, as_batches, optimizer=SGD(0.0))
    pattern = (
        r"3( of 4)?, first in .*: lower the learning rate, now 0, clip .*, or scale x, which has numbers up to .*e\+30"
    )
    assert re.search(f"batch {pattern}$", said), said
    assert ("of 4" in said) != as_batches


def test_the_layer_is_the_first_one() -> None:
    net, before = large_in_the_middle(), parameter_bits(large_in_the_middle())
    said = fit(net, X, T, optimizer=Adam(0.1, clip_value=1.0))
    remedy = "lower the learning rate, now 0.1, or begin at other weights"
    assert said == sentence("1 of 4, first in the outputs of layers[4], Affine(6, 3)", remedy)
    assert parameter_bits(net) == before


def test_targets_that_are_not_finite() -> None:
    t, net = T.copy(), Network([Affine(5, 3)], "mean_squared_error", rng=0)
    t[25, 1] = np.inf
    remedy = f"lower the learning rate, now 0.01{CLIP}, or begin at other weights"
    assert fit(net, X, t, optimizer=SGD(0.01)) == sentence("2 of 4, first in the loss or its gradient", remedy)


def test_variances_that_overflow() -> None:
    said = fit(deep(), 1e25 * X, T, optimizer=SGD(0.0))
    assert "batch 1 of 4, first in the loss or its gradient, or in the batch's variances that BatchNorm takes; " in said


def test_the_rate_is_that_of_the_schedule() -> None:
    net = Network([Affine(1, 1, "zeros")], "mean_squared_error")
    said = fit(net, np.ones((1, 1)), np.full((1, 1), 10.0), optimizer=SGD(2e38), schedule=lambda epoch, history: 0.5)
    assert "now 1e+38" in said


@pytest.mark.parametrize("pays", [0.0, np.inf])
@pytest.mark.parametrize("optimizer", [SGD(0.1), Adam(0.01)])
@pytest.mark.parametrize("schedule", [None, lambda epoch, history: 0.5])
def test_it_goes_back_to_the_call_before(
    pays: float, optimizer: Any, schedule: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However seldom parameters are saved, batch normalization's statistics and a dropout's numbers included."""
    monkeypatch.setattr(run, "SAVING_PAYS", pays)
    monkeypatch.setattr(pace.Pace, "took", lambda *_: None)  # each batch is a call
    made = [*deep().layers, fastnn.Dropout(0.5)]
    net, twin = (Network(made, "mean_squared_error", rng=0) for _ in range(2))
    x = X.copy()
    x[45:] = np.nan
    assert "epoch 1, batch 3 of 4" in fit(net, x, T, optimizer=optimizer, schedule=schedule)
    taken = optimizer if schedule is None else replace(optimizer, lr=0.5 * optimizer.lr)
    for first in (0, 20):
        twin.step(X[first : first + 20], T[first : first + 20], taken)
    assert parameter_bits(net) == parameter_bits(twin)
    assert net.engine.counters.tolist() == twin.engine.counters.tolist()
    assert (net.engine.state == twin.engine.state).all()


@pytest.mark.parametrize("as_batches", [False, True])
def test_what_a_callback_changes_is_no_longer_there(as_batches: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither data nor parameters that a callback has changed are taken once more."""
    monkeypatch.setattr(run, "SAVING_PAYS", np.inf)
    net, twin = deep(), deep()
    x = X.copy()

    def spoil(net: Network, history: fastnn.History) -> None:
        if history.epochs == 2:
            x[:] = np.nan

    assert "epoch 3, batch 1" in fit(net, x, T, as_batches, epochs=5, callbacks=[spoil], optimizer=SGD(0.01))
    twin.fit(X, T, epochs=2, batch_size=20, shuffle=False, progress=False, optimizer=SGD(0.01))
    assert parameter_bits(net) == parameter_bits(twin)


@pytest.mark.parametrize("by_schedule", [False, True])
def test_what_was_written_between_two_epochs_is_kept(by_schedule: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches that are taken once more begin with it."""
    monkeypatch.setattr(run, "SAVING_PAYS", np.inf)
    monkeypatch.setattr(pace.Pace, "took", lambda *_: None)  # each batch is a call
    nets = deep(), deep()
    x = X.copy()

    def write(net: Network) -> None:
        net.params["W3"][...] = 0.0
        net.params["b3"][...] = 7.0

    def callback(net: Network, history: fastnn.History) -> None:
        if history.epochs == 2:
            x[45:] = np.nan
            if not by_schedule:
                write(net)

    def schedule(epoch: int, history: fastnn.History) -> float:
        if epoch == 2 and by_schedule:
            write(nets[0])
        return 1.0

    options: Any = {"batch_size": 20, "shuffle": False, "progress": False, "optimizer": SGD(0.01)}
    said = fit(nets[0], x, T, epochs=5, callbacks=[callback], schedule=schedule, optimizer=SGD(0.01))
    assert "epoch 3, batch 3 of 4" in said
    nets[1].fit(X, T, epochs=2, **options)
    write(nets[1])
    nets[1].fit(X[:40], T[:40], epochs=1, **options)
    assert parameter_bits(nets[0]) == parameter_bits(nets[1])


@pytest.mark.parametrize("call", range(12))
def test_ctrl_c_while_batches_are_taken_once_more(call: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes, and the batches that were taken before the divergence stay."""
    monkeypatch.setattr(run, "SAVING_PAYS", np.inf)
    monkeypatch.setattr(pace.Pace, "took", lambda *_: None)  # each batch is a call
    net, twin, x, calls = deep(), deep(), X.copy(), list[None]()
    x[65:] = np.nan
    engine = net.engine
    original = engine.run_batches

    def pressed(*args: Any, **options: Any) -> Any:
        calls.append(None)
        if len(calls) == call + 1:
            signal.raise_signal(signal.SIGINT)
        return original(*args, **options)

    monkeypatch.setattr(engine, "run_batches", pressed)
    optimizer = SGD(0.01)
    with pytest.raises((KeyboardInterrupt, fastnn.TrainingDivergedError)) as caught:
        net.fit(x, T, epochs=1, batch_size=20, shuffle=False, progress=False, optimizer=optimizer, check_finite=False)
    assert caught.type is (KeyboardInterrupt if len(calls) > call else fastnn.TrainingDivergedError)
    done = min(max(call - 1, 0), 3)  # the first call takes no batch
    if done:
        twin.fit(
            X[: 20 * done], T[: 20 * done], epochs=1, batch_size=20, shuffle=False, progress=False, optimizer=optimizer
        )
    assert parameter_bits(net) == parameter_bits(twin)
