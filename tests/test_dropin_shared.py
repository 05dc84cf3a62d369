"""Gradients by several arrays of one loss, evaluated together: whatever a user changes in between is noticed."""

import dis
import types
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest

from fastnn.dropin.common.functions import cross_entropy_error, sigmoid, softmax
from fastnn.dropin.common.gradient import numerical_gradient, plain_numerical_gradient
from fastnn.kernels.compile import JIT_DISABLED
from fastnn.observing import attempt, engine, shared
from fastnn.observing.state import State
from fastnn.observing.tape import NotUnderstoodError

pytestmark = pytest.mark.skipif(JIT_DISABLED, reason="the loop is not slower than the engine then")

activation = sigmoid  # a global of this module, which networks below use
SCALE = 1.0
config = types.ModuleType("settings_of_a_test")
config.SCALE = 1.0  # type: ignore[attr-defined]
N, D, H, K = 40, 30, 20, 10
EVERY = ["W1", "b1", "W2", "b2"]


def parameters() -> dict[str, Any]:
    generator = np.random.default_rng(0)
    found = {"W1": 0.3 * generator.normal(size=(D, H)), "b1": 0.1 * generator.normal(size=H)}
    return found | {"W2": 0.3 * generator.normal(size=(H, K)), "b2": 0.1 * generator.normal(size=K)}


class TwoLayerNet:
    """As in the book's chapter 4."""

    temperature = 1.0

    def __init__(self, params: dict[str, Any]) -> None:
        self.params = params
        self.options: list[float] = []
        self.chosen: set[int] = set()
        self.factor = 1.0

    def predict(self, x: Any, shift: float = 0.0) -> Any:
        p = self.params
        z = activation(np.dot(x, p["W1"]) + p["b1"])
        return softmax(np.dot(z, p["W2"]) + p["b2"] + shift * np.arange(K))

    def loss(self, x: Any, t: Any) -> Any:
        factor = (self.factor + sum(self.options) + len(self.chosen)) * self.temperature
        return factor * SCALE * config.SCALE * cross_entropy_error(self.predict(x), t)


class Colder(TwoLayerNet):
    """A subclass whose outputs are those of other inputs."""

    def predict(self, x: Any, shift: float = 0.0) -> Any:
        return TwoLayerNet.predict(self, 0.5 * x, shift)


def predict_otherwise(self: Any, x: Any, shift: float = 0.0) -> Any:
    """Another network: tanh in place of the sigmoid."""
    p = self.params
    return softmax(np.dot(np.tanh(np.dot(x, p["W1"]) + p["b1"]), p["W2"]) + p["b2"] + shift * np.arange(K))


class Run:
    """A network and its data, and the function of which gradients are asked for."""

    def __init__(self, net: Any = None) -> None:
        generator = np.random.default_rng(1)
        self.net = TwoLayerNet(parameters()) if net is None else net
        self.x, self.t = generator.normal(size=(N, D)), np.eye(K)[generator.integers(0, K, N)]
        self.power = 1.0
        net, factor = self.net, 1.0
        self.x_and_t = data = [self.x, self.t]

        def change(value: float) -> None:
            nonlocal factor
            factor = value

        self.change_cell = change
        self.f: Callable[[Any], Any] = lambda _: factor * net.loss(data[0], data[1])

    def gradient(self, between: Callable[[], Any] = lambda: None) -> dict[str, Any]:
        """The quotients by all arrays; `between` is called after the first."""
        found = {"W1": numerical_gradient(self.f, self.net.params["W1"])}
        between()
        return found | {name: numerical_gradient(self.f, self.net.params[name]) for name in EVERY[1:]}

    def plain(self, name: str) -> Any:
        """The quotients by the textbook's loop."""
        return plain_numerical_gradient(self.f, self.net.params[name])


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """Whether each gradient that was evaluated along with another was given out, or was seen to be out of date."""
    attempt.forget()
    found: list[bool] = []
    original = engine.again

    def again(*arguments: Any) -> Any:
        try:
            result = original(*arguments)
        except NotUnderstoodError:
            found.append(False)
            raise
        found.append(True)
        return result

    monkeypatch.setattr(engine, "again", again)
    yield found
    attempt.forget()


def check(found: dict[str, Any], run: Run, names: list[str]) -> None:
    for name in names:
        np.testing.assert_allclose(found[name], run.plain(name), rtol=1e-7, atol=1e-10)


def test_from_the_second_gradient_on_the_loss_is_observed_once(given: list[bool]) -> None:
    run = Run()
    check(run.gradient(), run, EVERY)
    assert given == []  # nobody knew which arrays would be asked for
    for count in (3, 6):
        for name in EVERY:  # a step of training, in place
            run.net.params[name] -= 0.01
        check(run.gradient(), run, EVERY)
        assert given == [True] * count


def test_a_new_lambda_of_the_same_code_is_the_same_function(given: list[bool]) -> None:
    run = Run()

    def gradient(net: Any, x: Any, t: Any) -> dict[str, Any]:
        return {name: numerical_gradient(lambda _: net.loss(x, t), array) for name, array in net.params.items()}

    for _ in range(2):
        check(gradient(run.net, run.x, run.t), run, EVERY)
    assert given == [True] * 3


def replaced_code(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TwoLayerNet.predict, "__code__", predict_otherwise.__code__)


def replaced_dot(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    original = np.dot
    monkeypatch.setattr(np, "dot", lambda a, b: 0.5 * original(a, b))


def other_class(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.net.__class__ = Colder


def own_loss(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    vars(run.net)["loss"] = types.MethodType(lambda self, x, t: 3.0 * TwoLayerNet.loss(self, x, t), run.net)


def in_place(name: str) -> Callable[..., None]:
    def change(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        run.net.params[name][...] *= 1.5

    return change


def one_pixel(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.x[3, 4] += 5.0


def one_target(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.t[3] = np.roll(run.t[3], 1)


def other_batch(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.x_and_t[:] = [run.x[::-1].copy(), run.t]


def smaller_batch(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.x_and_t[:] = [run.x[:17], run.t[:17]]


CHANGES: dict[str, Callable[[Run, pytest.MonkeyPatch], Any]] = {
    "another loss on the object": own_loss,
    "another method of the class": lambda run, patch: patch.setattr(TwoLayerNet, "predict", predict_otherwise),
    "another code of a method": replaced_code,
    "another default of a method": lambda run, patch: patch.setattr(TwoLayerNet.predict, "__defaults__", (0.3,)),
    "another class of the object": other_class,
    "another activation in the module": lambda run, patch: patch.setitem(globals(), "activation", np.tanh),
    "another number in the module": lambda run, patch: patch.setitem(globals(), "SCALE", 3.0),
    "a name that hides a builtin": lambda run, patch: patch.setitem(globals(), "sum", lambda _: 2.0),
    "another function of NumPy": replaced_dot,
    "another attribute": lambda run, patch: setattr(run.net, "factor", 2.0),
    "another number in another module": lambda run, patch: patch.setattr(config, "SCALE", 3.0),
    "another number in the class": lambda run, patch: patch.setattr(TwoLayerNet, "temperature", 3.0),
    "a dictionary of attributes replaced": lambda run, patch: setattr(
        run.net, "__dict__", vars(run.net) | {"factor": 2.0}
    ),
    "a set that grows": lambda run, patch: run.net.chosen.add(1),
    "a list that grows": lambda run, patch: run.net.options.append(2.0),
    "a variable of the closure": lambda run, patch: run.change_cell(2.0),
    "another array": lambda run, patch: run.net.params.update(W2=2.0 * run.net.params["W2"]),
    "the first array in place": in_place("W1"),
    "the array itself in place": in_place("b1"),
    "another array in place": in_place("W2"),
    "inputs in place": one_pixel,
    "targets in place": one_target,
    "another batch": other_batch,
    "a smaller batch": smaller_batch,
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_changes_between_two_arrays_is_noticed(
    what: str, given: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, compared = Run(), []
    run.gradient()
    before, original = run.plain("b1"), State.equals

    def equals(self: Any, other: Any) -> bool:
        compared.append(original(self, other))
        return compared[-1]

    monkeypatch.setattr(State, "equals", equals)
    found = run.gradient(lambda: CHANGES[what](run, monkeypatch))
    assert np.abs(run.plain("b1") - before).max() > 1e-5  # so the former quotients would be wrong
    check(found, run, EVERY[1:])
    # The calls of f change nothing; and it was not a plain quotient that showed the change.
    assert compared[:2] == [True, False]
    assert given[0] is False


def test_an_array_that_is_used_twice_is_observed_by_itself(given: list[bool]) -> None:
    """Seen from W1, b1 is one bias; but it also moves the inputs."""

    class Shifted(TwoLayerNet):
        def predict(self, x: Any, shift: float = 0.0) -> Any:
            return TwoLayerNet.predict(self, x + self.params["b1"][:1], shift)

    run = Run(Shifted(parameters()))
    for _ in range(3):
        check(run.gradient(), run, EVERY)
    assert given == [True] * 4  # W2 and b2


def test_weight_decay_of_another_array_is_not_lost(given: list[bool]) -> None:
    class Decaying(TwoLayerNet):
        def loss(self, x: Any, t: Any) -> Any:
            return TwoLayerNet.loss(self, x, t) + 0.1 * np.sum(self.params["W2"] ** 2)

    run = Run(Decaying(parameters()))
    for _ in range(3):
        check(run.gradient(), run, EVERY)
    assert given == [True] * 4  # b1 and b2


def test_a_function_of_its_argument_is_another_one_for_each_array(given: list[bool]) -> None:
    run = Run()
    net, x, t = run.net, run.x, run.t
    arrays = net.params

    def f(moved: Any) -> Any:
        z = sigmoid(np.dot(x, arrays["W1"]) + arrays["b1"])
        return cross_entropy_error(softmax(np.dot(z, arrays["W2"]) + moved[:1]), t)

    for _ in range(2):
        for name in ("W2", "b2", "b1"):
            found = numerical_gradient(f, arrays[name])
            np.testing.assert_allclose(found, plain_numerical_gradient(f, arrays[name]), rtol=1e-7, atol=1e-10)
    assert given == []


def test_which_functions_may_be_the_same_for_all_arrays() -> None:
    number = 1.0
    assert shared.may_share(lambda _: number)
    assert not shared.may_share(lambda moved: moved)
    assert not shared.may_share(lambda moved: [moved for _ in range(2)])
    assert not shared.may_share(lambda _: locals())
    assert not shared.may_share(lambda *_: number)
    assert not shared.may_share(lambda _, **options: number)
    assert not shared.may_share(np.sum)
    assert not shared.may_share(Run().net.loss)


class Instruction(NamedTuple):
    opname: str
    argval: Any


@pytest.mark.parametrize(
    "instruction",
    [
        Instruction("LOAD_FAST_LOAD_FAST", ("moved", "moved")),  # as of Python 3.13
        Instruction("STORE_FAST_LOAD_FAST", ("other", "moved")),
        Instruction("LOAD_FAST_OF_THE_FUTURE", "moved"),
        Instruction("LOAD_FAST_OF_THE_FUTURE", 16),
        Instruction("LOAD_FAST_OF_THE_FUTURE", None),
    ],
)
def test_joined_and_unknown_instructions_may_read_the_argument(
    instruction: Instruction, monkeypatch: pytest.MonkeyPatch
) -> None:
    instructions = [Instruction("RESUME", 0), instruction, Instruction("RETURN_VALUE", None)]
    monkeypatch.setattr(dis, "get_instructions", lambda _: instructions)
    assert not shared.may_share(lambda moved: moved * moved)


def test_a_product_of_the_argument_with_itself_reads_it() -> None:
    assert not shared.may_share(lambda moved: moved * moved)


def test_an_array_along_with_a_compared_one_is_compared_at_its_last_entry(
    given: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, compared = Run(), []
    run.net.params["W2"][-1] = 0.0  # so the last quotients by W1 and b1 are 0, where a difference need not show
    run.gradient()
    original = engine._plain_quotient

    def plain_quotient(f: Any, x: Any, place: Any, rule: Any) -> float:
        compared.append((x.shape, tuple(map(int, place))))
        return original(f, x, place, rule)

    monkeypatch.setattr(engine, "_plain_quotient", plain_quotient)
    check(run.gradient(), run, EVERY)
    assert given == [True] * 3
    places = {
        name: [place for shape, place in compared if shape == array.shape] for name, array in parameters().items()
    }
    assert len(places["W1"]) == 2 and places["W1"][1] == (D - 1, H - 1)
    assert len(places["b1"]) == 2 and places["b1"][1] == (H - 1,) != places["b1"][0]
    assert places["W2"] == [(H - 1, K - 1)] and places["b2"] == [(K - 1,)]


def test_quotients_of_another_parameter_are_not_given_out(given: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    """One entry is enough to see it."""
    run = Run()
    run.gradient()
    original = engine._of_chain

    def of_chain(*arguments: Any) -> Any:
        found: Any = original(*arguments)
        for values in found.others.values:
            values += 0.01
        return found

    monkeypatch.setattr(engine, "_of_chain", of_chain)
    check({"b2": run.gradient()["b2"]}, run, ["b2"])
    assert given[0] is False


def test_code_that_was_recognized_is_not_timed_until_it_is_refused(given: list[bool]) -> None:
    run = Run()
    W1 = run.net.params["W1"]
    assert attempt.known_call(run.f, W1) is None
    run.gradient()
    call = attempt.known_call(run.f, W1)
    assert call is not None and 0.0 < call < 1.0
    assert attempt.known_call(run.f, W1[:2]) is None  # of another shape
    run.net.predict = types.MethodType(predict_with_a_power, run.net)  # type: ignore[method-assign]
    assert numerical_gradient(run.f, W1).tobytes() == run.plain("W1").tobytes()
    assert attempt.known_call(run.f, W1) is None


def predict_with_a_power(self: Any, x: Any, shift: float = 0.0) -> Any:
    """An activation that fastnn does not have."""
    p = self.params
    z = np.abs(np.dot(x, p["W1"]) + p["b1"]) ** 1.3
    return softmax(np.dot(z, p["W2"]) + p["b2"])
