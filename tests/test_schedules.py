"""fastnn.schedules: their formulas, PyTorch's schedulers, and their use in `fit`."""

import dataclasses
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastnn import SGD, Affine, History, Momentum, Network, Sigmoid
from fastnn.network.history import improvements
from fastnn.optimizers import Optimizer
from fastnn.schedules import Constant, Cosine, ExponentialDecay, InverseTime, ReduceOnPlateau, StepDecay, Warmup
from tests import shapes

INF, NAN = math.inf, math.nan
N = 30
X = shapes.numbers(1, N, 5, dtype=np.float32)
T = shapes.targets("labels", N, 3, np.float32)
EPOCHS = 30
LOSSES = [round(float(v), 2) for v in 2.0 + shapes.numbers(3, EPOCHS).cumsum() / 10]  # up and down


def small_network(dtype: str = "float32") -> Network:
    return Network([Affine(5, 4), Sigmoid(), Affine(4, 3)], rng=0, dtype=dtype)


def parameter_bits(net: Network) -> bytes:
    return b"".join(p.tobytes() for p in net.params.values())


def factors(schedule: Any, losses: list[float] | None = None, epochs: int = EPOCHS) -> list[float]:
    """The factors that a fit would see; the history grows by an epoch for each."""
    losses = [1.0] * epochs if losses is None else losses
    return [schedule(epoch, History(loss=losses[:epoch])) for epoch in range(epochs)]


# --- formulas --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (Constant(), [1, 1, 1, 1, 1, 1]),
        (StepDecay(every=2, factor=0.5), [1, 1, 0.5, 0.5, 0.25, 0.25]),
        (ExponentialDecay(rate=0.5), [math.exp(-k / 2) for k in range(6)]),
        (InverseTime(decay=0.5), [1, 1 / 1.5, 1 / 2, 1 / 2.5, 1 / 3, 1 / 3.5]),
        (Cosine(epochs=4), [1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2, 0, 0]),
        (Cosine(epochs=2, lowest=0.2), [1, 0.6, 0.2, 0.2, 0.2, 0.2]),
        (Warmup(epochs=3), [0.25, 0.5, 0.75, 1, 1, 1]),
        (Warmup(epochs=1, then=StepDecay(2, 0.1)), [0.5, 1, 1, 0.1, 0.1, 0.01]),
        (Warmup(epochs=2, then=lambda epoch, history: 0.6), [0.2, 0.4, 0.6, 0.6, 0.6, 0.6]),
        (ReduceOnPlateau(factor=0.5, patience=2), [1, 1, 1, 0.5, 0.5, 0.25]),  # for a constant loss
    ],
    ids=lambda value: type(value).__name__ if dataclasses.is_dataclass(value) else "",
)
def test_factors(schedule: Any, expected: list[float]) -> None:
    assert factors(schedule, epochs=6) == pytest.approx(expected, rel=1e-14, abs=1e-16)


@pytest.mark.parametrize(
    "schedule", [StepDecay(1, 0.1), ExponentialDecay(2.0), InverseTime(3.0), Cosine(7), Warmup(3)], ids=str
)
def test_far_epochs(schedule: Any) -> None:
    assert 0.0 <= schedule(1_000_000, History()) <= 1.0


@pytest.mark.parametrize(
    ("losses", "min_delta", "expected"),
    [
        ([3.0, 2.0, 2.0, 2.5, 1.9], 0.0, [True, True, False, False, True]),
        ([3.0, 2.9, 2.8, 2.4], 0.5, [True, False, False, True]),  # counted from 3.0, not from the least
        ([3.0, 2.5], 0.5, [True, False]),
        ([NAN, 3.0, NAN, 2.0], 0.0, [False, True, False, True]),
        ([INF, -1.0, -2.0], 0.0, [False, True, True]),
        ([], 0.0, []),
    ],
)
def test_improvements(losses: list[float], min_delta: float, expected: list[bool]) -> None:
    assert list(improvements(losses, min_delta)) == expected


def test_reduce_on_plateau_looks_at_the_validation_loss_where_there_is_one() -> None:
    schedule, falling = ReduceOnPlateau(0.1, 1), [3.0, 2.0, 1.0]
    assert schedule(3, History(loss=falling)) == 1.0
    assert schedule(3, History(loss=falling, validation_loss=[1.0, 1.0, 2.0])) == pytest.approx(0.01)
    assert schedule(3, History(loss=[1.0, 1.0, 1.0], validation_loss=falling)) == 1.0


@pytest.mark.parametrize("patience", [1, 3])
def test_warm_up_is_hidden_from_what_follows(patience: int) -> None:
    plateau = ReduceOnPlateau(0.5, patience)
    history = History(loss=LOSSES, validation_loss=LOSSES[::-1], seconds=[1.0] * EPOCHS)
    before = dataclasses.asdict(history)
    found = Warmup(4, then=plateau)(EPOCHS, history)
    assert found == plateau(EPOCHS - 4, History(validation_loss=LOSSES[::-1][4:]))
    assert found < 1.0
    assert dataclasses.asdict(history) == before


# --- PyTorch ---------------------------------------------------------------------------------------------


def rates_of_torch(make: Callable[[Any, Any], Any], losses: list[float]) -> list[float]:
    """The learning rates of a scheduler, from 0.3."""
    torch: Any = pytest.importorskip("torch", reason="PyTorch, whose schedulers are compared, is not installed")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    scheduler = make(torch.optim.lr_scheduler, optimizer)
    rates = []
    for loss in losses:
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step(*[loss] * isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau))
    return rates


@pytest.mark.parametrize(
    ("schedule", "make", "epochs"),
    [
        (StepDecay(4, 0.3), lambda module, optimizer: module.StepLR(optimizer, 4, 0.3), EPOCHS),
        (ExponentialDecay(-math.log(0.9)), lambda module, optimizer: module.ExponentialLR(optimizer, 0.9), EPOCHS),
        # after T_max epochs PyTorch's rises again
        (Cosine(20), lambda module, optimizer: module.CosineAnnealingLR(optimizer, 20), 21),
        (Cosine(20, 0.25), lambda module, optimizer: module.CosineAnnealingLR(optimizer, 20, 0.25 * 0.3), 21),
        (Warmup(5), lambda module, optimizer: module.LinearLR(optimizer, 1 / 6, total_iters=5), EPOCHS),
        (InverseTime(0.5), lambda module, optimizer: module.LambdaLR(optimizer, lambda k: 1 / (1 + 0.5 * k)), EPOCHS),
    ],
    ids=lambda value: str(value) if dataclasses.is_dataclass(value) else "",
)
def test_as_torch(schedule: Any, make: Callable[[Any, Any], Any], epochs: int) -> None:
    expected = rates_of_torch(make, [1.0] * epochs)
    found = [0.3 * factor for factor in factors(schedule, epochs=epochs)]
    assert found == pytest.approx(expected, rel=1e-12, abs=1e-16)


@pytest.mark.parametrize("min_delta", [0.0, 0.05])
@pytest.mark.parametrize("patience", [1, 2, 5])
def test_plateaus_as_torch(patience: int, min_delta: float) -> None:
    def make(module: Any, optimizer: Any) -> Any:
        options = {"threshold_mode": "abs", "threshold": min_delta, "eps": 0.0}
        return module.ReduceLROnPlateau(optimizer, factor=0.5, patience=patience - 1, **options)

    expected = rates_of_torch(make, LOSSES)
    found = [0.3 * factor for factor in factors(ReduceOnPlateau(0.5, patience, min_delta), LOSSES)]
    assert found == pytest.approx(expected, rel=1e-12)
    assert len(set(found)) > 2


# --- fit -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gradient", ["analytic", "numerical"])
@pytest.mark.parametrize("optimizer", [SGD(0.5), Momentum(0.1)], ids=str)
def test_same_bits_as_fits_of_one_epoch(optimizer: Any, gradient: str) -> None:
    """The optimizer's state goes on from one rate to the next."""
    net, other, schedule = small_network(), small_network(), InverseTime(1.0)
    options: dict[str, Any] = {"batch_size": 8, "shuffle": False, "gradient": gradient}
    history = net.fit(X, T, epochs=3, optimizer=optimizer, schedule=schedule, **options)
    for epoch in range(3):
        changed = dataclasses.replace(optimizer, lr=optimizer.lr / (1 + epoch))
        other.fit(X, T, epochs=1, optimizer=changed, **options)
    assert parameter_bits(net) == parameter_bits(other)
    assert history.learning_rate == pytest.approx([optimizer.lr / (1 + epoch) for epoch in range(3)], rel=1e-15)
    assert all(type(rate) is float for rate in history.learning_rate)


def test_fit_asks_before_each_epoch() -> None:
    net, asked = small_network(), []

    def schedule(epoch: int, history: History) -> float:
        asked.append((epoch, history.epochs, history is net.history))
        return 0.0 if epoch == 1 else 2

    bits = [parameter_bits(net)]
    history = net.fit(X, T, epochs=3, schedule=schedule, callbacks=[lambda n, h: bits.append(parameter_bits(n))])
    assert asked == [(0, 0, True), (1, 1, True), (2, 2, True)]
    assert history.learning_rate == [0.2, 0.0, 0.2]
    assert bits[0] != bits[1] == bits[2] != bits[3]


@pytest.mark.parametrize("optimizer", [SGD(0.25), Momentum(0.25)], ids=str)
def test_fit_without_a_schedule_records_the_rate(optimizer: Optimizer) -> None:
    plain, constant = small_network(), small_network()
    assert plain.fit(X, T, epochs=2, optimizer=optimizer, rng=0).learning_rate == [0.25, 0.25]
    constant.fit(X, T, epochs=2, optimizer=optimizer, schedule=Constant(), rng=0)
    assert parameter_bits(plain) == parameter_bits(constant)


def test_plateaus_lower_the_rate_of_a_fit() -> None:
    """With targets of noise the validation loss soon rises, and each epoch after that is a plateau."""
    history = small_network().fit(
        X, T, epochs=8, optimizer=SGD(2.0), schedule=ReduceOnPlateau(0.5, 1), validation_data=(-X, T), rng=0
    )
    improved = list(improvements(history.validation_loss, 0.0))
    assert history.learning_rate == [2.0 * 0.5 ** improved[:epoch].count(False) for epoch in range(8)]
    assert history.learning_rate[-1] < 2.0


@pytest.mark.parametrize(
    ("factor", "error", "sentence"),
    [
        (-0.1, ValueError, "expected a finite number of at least 0.0, got -0.1"),
        (NAN, ValueError, "expected a finite number of at least 0.0, got nan"),
        (INF, ValueError, "expected a finite number of at least 0.0, got inf"),
        (None, TypeError, "expected a finite number of at least 0.0, got None"),
        ("0.1", TypeError, "expected a finite number of at least 0.0, got '0.1'"),
        (True, TypeError, "expected a finite number of at least 0.0, got True"),
    ],
)
def test_bad_factors_are_refused_before_the_epoch(factor: Any, error: type[Exception], sentence: str) -> None:
    net, bits = small_network(), []
    with pytest.raises(error, match=rf"^schedule\(epoch=2, history\): {re.escape(sentence)}$"):
        net.fit(
            X,
            T,
            epochs=5,
            schedule=lambda epoch, history: factor if epoch == 2 else 1.0,
            callbacks=[lambda n, h: bits.append(parameter_bits(n))],
        )
    assert net.history is not None
    assert [len(row) for row in (net.history.loss, net.history.learning_rate)] == [2, 2]
    assert parameter_bits(net) == bits[-1]


@pytest.mark.parametrize(("dtype", "factor", "name"), [("float32", 1e300, "optimizer"), ("float64", 1e308, "lr")])
def test_rates_that_overflow_are_refused(dtype: str, factor: float, name: str) -> None:
    net = small_network(dtype)
    before = parameter_bits(net)
    with pytest.raises(ValueError, match=f"^{name}: expected a finite number .*, got"):
        net.fit(X, T, optimizer=SGD(10.0), schedule=lambda epoch, history: factor)
    assert parameter_bits(net) == before


@pytest.mark.parametrize(
    ("schedule", "came"),
    [
        (0.5, "0.5"),
        ("cosine", "'cosine'"),
        (Cosine, "the class Cosine"),
        ([], "an object of "),
        (lambda epoch: 0.1, "the function <lambda>(epoch)"),
    ],
)
def test_what_is_no_schedule(schedule: Any, came: str) -> None:
    net = small_network()
    history, before = net.fit(X, T, epochs=1), parameter_bits(net)
    sentence = f"schedule: expected a function of (epoch, history), got {came}"
    with pytest.raises(TypeError, match=f"^{re.escape(sentence)}.*; pass one such as fastnn.schedules.Cosine"):
        net.fit(X, T, schedule=schedule)
    assert net.history is history
    assert parameter_bits(net) == before


@pytest.mark.parametrize(
    ("make", "error", "sentence"),
    [
        (lambda: StepDecay(0, 0.1), ValueError, "every: expected an integer of at least 1, got 0"),
        (lambda: StepDecay(2.0, 0.1), TypeError, "every: expected an integer of at least 1, got 2.0"),  # type: ignore[arg-type]
        (lambda: StepDecay(1, 1.0), ValueError, "factor: expected a finite number above 0.0 and below 1.0, got 1.0"),
        (lambda: ExponentialDecay(-1.0), ValueError, "rate: expected a finite number of at least 0.0, got -1.0"),
        (lambda: InverseTime(NAN), ValueError, "decay: expected a finite number of at least 0.0, got nan"),
        (lambda: Cosine(0), ValueError, "epochs: expected an integer of at least 1, got 0"),
        (lambda: Cosine(5, 1.5), ValueError, "lowest: expected a finite number of at least 0.0 and of at most 1.0, "),
        (lambda: Warmup(0), ValueError, "epochs: expected an integer of at least 1, got 0"),
        (lambda: Warmup(3, Cosine), TypeError, "then: expected a function of (epoch, history), got the class Cosine"),  # type: ignore[arg-type]
        (lambda: ReduceOnPlateau(0.0, 3), ValueError, "factor: expected a finite number above 0.0 and below 1.0, got "),
        (lambda: ReduceOnPlateau(0.5, 0), ValueError, "patience: expected an integer of at least 1, got 0"),
        (lambda: ReduceOnPlateau(0.5, 1, -1e-3), ValueError, "min_delta: expected a finite number of at least 0.0, "),
    ],
)
def test_bad_descriptions(make: Callable[[], Any], error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=f"^{re.escape(sentence)}"):
        make()
