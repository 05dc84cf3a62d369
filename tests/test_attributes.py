"""No value that a user assigns, or that a user's class returns, reaches a kernel unchecked."""

import contextlib
import copy
import dataclasses
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastnn import SGD, Adam, Affine, BatchNorm, Momentum, Network, Regularization, Relu, Sigmoid, losses
from fastnn.operations import UPDATES
from fastnn.optimizers import Optimizer, numbers_in
from tests.reshaping import reshape_in_place, retype_in_place
from tests.small_networks import VALUES, T, X, alike, bits, network

# --- assignments ---------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [0, -1, 2.0, True, "2", np.array([1, 2]), np.array(2)], ids=repr)
def test_the_number_of_threads_is_checked_when_it_is_assigned(bad: Any) -> None:
    net = network()
    with pytest.raises((TypeError, ValueError), match=r"^n_threads: expected an integer"):
        net.n_threads = bad
    assert net.n_threads is None
    net.n_threads = 1
    assert net.n_threads == 1
    assert alike(net, network())


@pytest.mark.parametrize("name", ["layers", "regularization", "loss_name", "inputs", "outputs", "statistics"])
def test_what_a_network_was_made_of_stays(name: str) -> None:
    net = network()
    with pytest.raises(AttributeError):
        setattr(net, name, [Affine(20, 300), Affine(300, 5)])
    assert alike(net, network())


def test_descriptions_changed_behind_their_backs() -> None:
    """`object.__setattr__` changes frozen objects: the network keeps to their first values."""
    layers, loss, penalty = [Affine(20, 16), BatchNorm(), Affine(16, 5)], losses.Huber(0.5), Regularization(l2=0.1)
    net = network(*layers, loss=loss, regularization=penalty)
    expected = network(*copy.deepcopy(layers), loss=losses.Huber(0.5), regularization=Regularization(l2=0.1))
    for layer in [*layers, *net.layers]:
        for name in vars(layer):
            object.__setattr__(layer, name, 10**6)
    for number in (loss, penalty):
        for name in vars(number):
            object.__setattr__(number, name, "many")
    for name in ("l1", "l2", "data"):
        object.__setattr__(net.regularization, name, "many")
    duplicate = pickle.loads(pickle.dumps(net))
    assert alike(net, expected, VALUES)
    assert net.loss(X, VALUES) == expected.loss(X, VALUES)
    assert net.regularization == expected.regularization
    assert bits(duplicate) == bits(network(*[Affine(20, 16), BatchNorm(), Affine(16, 5)], loss="huber"))
    assert np.isfinite(duplicate.step(X, VALUES, SGD(0.1)))
    net.initialize(0)
    assert net.summary() == expected.summary()


def test_the_memory_of_the_parameters_stays_where_it_is() -> None:
    net, expected = network(), network()
    base: Any = net.params["W1"].base
    assert base is not net.engine.values
    with pytest.raises(ValueError, match="resize"):
        base.resize((3,), refcheck=False)
    reshape_in_place(base, (-1, 1))
    memory: Any = base.base.obj  # of which it takes a part
    with pytest.raises(ValueError, match="resize"):
        memory.resize((3,), refcheck=False)
    base.setflags(write=False)
    retype_in_place(base, np.int32)
    assert alike(net, expected)
    duplicate = pickle.loads(pickle.dumps(net))
    base = duplicate.params["W1"].base
    with pytest.raises(ValueError, match="resize"):
        base.resize((3,), refcheck=False)


# --- classes of a user's own --------------------------------------------------------------------------


class OtherShapes(Affine):
    def parameters(self, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        return {"W": (1, 1), "b": (1,)}


class OtherWidths(Affine):
    """It has 16 outputs at the first look, then more and more."""

    def __getattribute__(self, name: str) -> Any:
        values = object.__getattribute__(self, "__dict__")
        if name == "outputs" and "outputs" in values:
            values["outputs"] *= 16
        return object.__getattribute__(self, name)


class OtherActivation(Relu):
    @property
    def parameter(self) -> float:
        return float("nan")

    def parameters(self, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        return {"slope": (10**6,)}


class WithForward(Relu):
    def forward(self, x: Any) -> Any:
        return 2.0 * x


class DerivedFromIt(WithForward):
    pass


class WithUnits(Affine):
    units = Relu.units


class WithValue(losses.Huber):
    def value(self, y: Any, t: Any) -> Any:
        return abs(y - t)


@pytest.mark.parametrize(
    ("layer", "came"),
    [
        (WithForward(), "Relu does, got WithForward with forward"),
        (DerivedFromIt(), "Relu does, got WithForward with forward"),
        (WithUnits(16, 16), "Affine does, got WithUnits with units"),
    ],
)
def test_layers_that_would_run_as_others_are_refused(layer: Any, came: str) -> None:
    with pytest.raises(TypeError, match=rf"^layers: .* {came} of its own, which .*; make it by fastnn\.activation or"):
        network(Affine(20, 16), layer, Affine(16, 5))


def test_a_loss_that_would_run_as_another_is_refused() -> None:
    with pytest.raises(TypeError, match=r"^loss: .* Huber does, got WithValue with value of .* by fastnn\.loss"):
        network(loss=WithValue(1.0))


def test_a_network_with_a_loss_that_fit_does_not_call_warns() -> None:
    class Own(Network):
        remark: str

        def loss(self, x: Any, t: Any, *, check_finite: bool = True) -> float:
            return 0.0

    with pytest.warns(UserWarning, match=r"^fit and step do not call Own\.loss; define a loss by fastnn\.loss, "):
        net = Own([Affine(2, 1)], "mean_squared_error")
    net.remark = "kept"
    assert copy.copy(net).remark == "kept"


class OtherNorm(BatchNorm):
    def parameters(self, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        return {}


@pytest.mark.parametrize(
    ("layer", "own"),
    [(OtherShapes(16, 16), Affine(16, 16)), (OtherActivation(), Relu()), (OtherNorm(), BatchNorm())],
    ids=lambda layer: type(layer).__name__,
)
def test_layers_of_a_users_class_are_taken_for_the_class_that_they_derive_from(layer: Any, own: Any) -> None:
    net = network(Affine(20, 16), layer, Affine(16, 5))
    assert net.layers[1] is layer
    assert alike(net, network(Affine(20, 16), own, Affine(16, 5)))


def test_a_layer_whose_width_is_another_at_each_look() -> None:
    layer = OtherWidths(20, 1)
    object.__setattr__(layer, "outputs", 1)
    assert alike(network(layer, Sigmoid(), Affine(16, 5)), network())


class OtherPenalty(Regularization):
    @property
    def numbers(self) -> Any:
        return (1.0,)


def test_a_regularization_of_a_users_class() -> None:
    net = network(regularization=OtherPenalty(l2=0.1))
    assert alike(net, network(regularization=Regularization(l2=0.1)))


class OtherLoss(losses.MeanSquaredError):
    """It returns what the test asks for."""

    answer: Any = None
    code = -7
    parameter = float("nan")
    takes_labels = True

    def targets(self, name: str, t: Any, rows: int, outputs: int, dtype: Any, finite: bool) -> Any:
        return type(self).answer(super().targets(name, t, rows, outputs, dtype, finite))


NO_LABELS = np.empty(0, np.intp)
ANSWERS: dict[str, Callable[[Any], Any]] = {
    "nothing": lambda found: None,
    "one": lambda found: (found[1],),
    "labels": lambda found: (np.zeros(12, np.intp), np.empty((0, 5), np.float32)),
    "short": lambda found: (NO_LABELS, found[1][:3]),
    "narrow": lambda found: (NO_LABELS, found[1][:, :2].copy()),
    "flat": lambda found: (NO_LABELS, found[1].ravel()),
    "no axes": lambda found: (NO_LABELS, np.array(1.0, np.float32)),
    "labels of no axes": lambda found: (np.array(0), found[1]),
    "other dtype": lambda found: (NO_LABELS, found[1].astype(np.float64)),
    "not contiguous": lambda found: (NO_LABELS, np.asfortranarray(found[1])),
    "both": lambda found: (np.zeros(12, np.intp), found[1]),
    "no labels": lambda found: (None, found[1]),
    "a list": lambda found: (NO_LABELS, found[1].tolist()),
}


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("use", ["step", "loss", "fit", "gradient", "numerical_gradient", "accuracy"])
def test_targets_of_a_users_loss_are_checked(answer: str, use: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OtherLoss, "answer", ANSWERS[answer])
    net = network(loss=OtherLoss())
    before = bits(net)
    if use == "accuracy":  # which takes classes, whatever the loss
        assert 0.0 <= net.accuracy(X, T) <= 1.0
        return
    more: Any = {"step": (SGD(0.1),)}.get(use, ())
    with pytest.raises((TypeError, ValueError), match=r"^t: expected the loss's targets\(\) to return an empty"):
        getattr(net, use)(X, VALUES, *more)
    assert bits(net) == before


def test_a_users_loss_is_the_one_that_it_is_named_after(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its targets are used even where the kernel alone could check them."""
    monkeypatch.setattr(OtherLoss, "answer", lambda found: (found[0], 2 * found[1]))
    net, expected = network(loss=OtherLoss()), network(loss="mean_squared_error")
    assert net.step(X, VALUES, SGD(0.1)) == expected.step(X, 2 * VALUES, SGD(0.1))
    assert net.loss(X, VALUES) == expected.loss(X, 2 * VALUES)
    assert bits(net) == bits(expected)
    assert "OtherLoss" in repr(net)


def test_targets_reshaped_by_the_loss_that_keeps_them() -> None:
    kept: list[Any] = []

    class Keeping(losses.MeanSquaredError):
        def targets(self, *args: Any) -> Any:
            kept[:] = super().targets(*args)
            return tuple(kept)

    def reshape(*_: Any) -> None:
        reshape_in_place(kept[1], (5, 12))

    net, expected = network(loss=Keeping()), network(loss="mean_squared_error")
    net.fit(X, VALUES.copy(), epochs=3, batch_size=5, shuffle=False, callbacks=[reshape])
    expected.fit(X, VALUES, epochs=3, batch_size=5, shuffle=False)
    assert bits(net) == bits(expected)


def test_what_a_users_loss_does_to_the_data_and_the_network() -> None:
    x = X.copy()

    class Busy(losses.MeanSquaredError):
        def targets(self, *args: Any) -> Any:
            if x.shape == X.shape:
                reshape_in_place(x, (20, 12))
                net.step(X, VALUES, Adam(0.1))
                net.initialize(0)
            return super().targets(*args)

    net, expected = network(loss=Busy()), network(loss="mean_squared_error")
    assert net.step(x, VALUES, Momentum(0.1)) == expected.step(X, VALUES, Momentum(0.1))
    assert bits(net) == bits(expected)


@dataclasses.dataclass(frozen=True)
class OtherOptimizer(Optimizer):
    answer: Any = None
    names: Any = ("sgd",)

    def __post_init__(self) -> None:
        """Refuse nothing."""

    @property
    def update(self) -> str:  # type: ignore[override]
        first, *rest = self.names
        object.__setattr__(self, "names", (*rest, first))
        return str(first)

    @property
    def numbers(self) -> Any:
        return self.answer


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    "answer",
    [None, "0.1", 0.1, [0.1], ("0.1",), (NAN,), (INF,), (0.1,) * 11, (0.1, None), (np.ones(2),), (0.1,) * 8 + (NAN,)],
    ids=repr,
)
def test_numbers_of_a_users_optimizer_are_checked(answer: Any) -> None:
    net = network()
    before = bits(net)
    for train in (lambda optimizer: net.step(X, T, optimizer), lambda optimizer: net.fit(X, T, optimizer=optimizer)):
        with pytest.raises((TypeError, ValueError), match=r"^optimizer[a-z.]*: expected"):
            train(OtherOptimizer(answer=answer))
    assert bits(net) == before
    assert alike(net, network())


def test_numbers_of_a_users_optimizer_are_checked_where_they_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[Any] = []

    def noted(dtype: Any, numbers: Any) -> Any:
        checked.append(numbers)
        return numbers_in(dtype, numbers)

    monkeypatch.setattr("fastnn.optimizers.numbers_in", noted)
    net, expected = network(), network()
    for rate in (0.1, 0.1, 0.1, 0.2, 0.2, 0.1, 0.1):
        net.step(X, T, OtherOptimizer(answer=SGD(rate).numbers))
        expected.step(X, T, SGD(rate))
    assert bits(net) == bits(expected)
    assert [numbers[0] for numbers in checked[0::2]] == [0.1, 0.2, 0.1]  # each beside that of `expected`
    for answer in ((np.float64(0.1),), (True,), (NAN,)):
        before = len(checked)
        with contextlib.suppress(TypeError, ValueError):
            net.step(X, T, OtherOptimizer(answer=answer))
        assert len(checked) == before + 1


def test_an_optimizer_that_is_another_at_each_look() -> None:
    """Its name is read once for each update: sgd has no state that adam could update."""
    net, expected = network(), network()
    optimizer = OtherOptimizer(answer=Adam(0.1).numbers, names=("sgd", "adam"))
    for own in (SGD(0.1), Adam(0.1), SGD(0.1)):
        net.step(X, T, optimizer)
        expected.step(X, T, own)
    assert bits(net) == bits(expected)
    known = ", ".join(map(repr, UPDATES))
    with pytest.raises(ValueError, match=f"^optimizer.update: expected one of {known}, got 'none'"):
        net.step(X, T, OtherOptimizer(answer=(0.1,), names=("none",)))


def test_an_optimizer_that_trains_the_network_itself() -> None:
    @dataclasses.dataclass(frozen=True)
    class Busy(Momentum):
        @property
        def numbers(self) -> tuple[float, ...]:
            net.step(X, T, Adam(0.1))
            net.fit(X, T, epochs=1, batch_size=5)
            net.initialize(0)
            return super().numbers

    net, expected = network(), network()
    assert np.isfinite(net.step(X, T, Busy(0.1)))
    expected.step(X, T, Momentum(0.1))
    assert bits(net) == bits(expected)


def test_a_copy_keeps_an_optimizer_of_a_local_class() -> None:
    """Pickle could not name the class, so that `fit` asks for the optimizer there."""

    @dataclasses.dataclass(frozen=True)
    class Local(Momentum):
        """Of this function alone."""

    net, expected = network(), network()
    for one, optimizer in ((net, Local(0.1)), (expected, Momentum(0.1))):
        one.step(X, T, optimizer)
    duplicate = copy.deepcopy(net)
    assert duplicate.optimizer == net.optimizer and duplicate.optimizer is not net.optimizer
    duplicate.fit(X, T, epochs=2, batch_size=5, rng=0)
    expected.fit(X, T, epochs=2, batch_size=5, rng=0)
    assert bits(duplicate) == bits(expected)
    with pytest.raises(ValueError, match=r"^optimizer: expected the one to go on with, got None"):
        pickle.loads(pickle.dumps(net)).fit(X, T)
