"""What a first step compiles: what its network needs, however many operations there are to choose from."""

import math
import types
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import SGD, Affine, Network, Sigmoid
from fastnn.engine import threads
from fastnn.kernels.compile import JIT_DISABLED, Entry
from fastnn.kernels.units import Unit
from fastnn.operations import ACTIVATIONS, LOSSES
from tests.shapes import numbers

pytestmark = pytest.mark.skipif(JIT_DISABLED, reason="about compiled code")


def plain(value: Any) -> Any:
    """The Python function of a unit, an entry or a compiled function."""
    value = getattr(value, "function", getattr(value, "serial", value))
    return getattr(value, "__wrapped__", getattr(value, "py_func", value))


def functions_in(value: Any) -> Iterator[types.FunctionType]:
    """The functions that a name in compiled code stands for: itself, or those of a table of them."""
    if isinstance(value, dict | list | tuple | set):
        for one in value.values() if isinstance(value, dict) else value:
            yield from functions_in(one)
    elif isinstance(plain(value), types.FunctionType):
        yield plain(value)


def named_in(function: types.FunctionType) -> Iterator[types.FunctionType]:
    """The functions of fastnn that a function names, as a global, in a module, or from around it."""
    names = [*function.__code__.co_names]
    spaces = [function.__globals__]
    spaces += [vars(one) for one in map(function.__globals__.get, names) if isinstance(one, types.ModuleType)]
    held = [cell.cell_contents for cell in function.__closure__ or ()]
    for value in [*(space[name] for space in spaces for name in names if name in space), *held]:
        for one in functions_in(value):
            if one.__module__.startswith("fastnn"):
                yield one


def all_of(asked_for: Iterable[Any]) -> set[str]:
    """The functions that are compiled for these units and entries, by their full names."""
    found: set[Any] = set()
    waiting = [plain(one) for one in asked_for]
    while waiting:
        function = waiting.pop()
        if function not in found:
            found.add(function)
            waiting += named_in(function)
    return {f"{one.__module__}.{one.__qualname__}" for one in found}


def compiled_by_a_first_step(monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], set[str]]:
    """The units that the first step of a new network asks for, and all functions that they are made of."""
    asked_for: list[Any] = []

    def address(unit: Unit, dtype: Any) -> int:
        asked_for.append(unit)
        return original(unit, dtype)

    def run(entry: Entry, work: float, *arguments: Any, **options: Any) -> Any:
        asked_for.append(entry)
        return original_run(entry, work, *arguments, **options)

    original, original_run = Unit.address, threads.run
    with monkeypatch.context() as patched:
        patched.setattr(Unit, "address", address)
        patched.setattr(threads, "run", run)
        network = Network([Affine(7, 5), Sigmoid(), Affine(5, 3)], rng=0)
        network.step(np.ones((4, 7), np.float32), np.array([0, 1, 2, 0]), SGD(0.1))
    return sorted({one.name for one in asked_for}), all_of(asked_for)


def test_registering_more_operations_changes_nothing_that_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    before = compiled_by_a_first_step(monkeypatch)
    for i in range(10):
        fastnn.activation(lambda x: x + math.tanh(x), derivative=lambda x, y: 2.0 - (y - x) ** 2, name=f"bent{i}")
        fastnn.loss(lambda y, t: (y - t) ** 2, derivative=lambda y, t: 2.0 * (y - t), name=f"squares{i}")
    assert "bent9" in ACTIVATIONS and "squares9" in LOSSES
    assert compiled_by_a_first_step(monkeypatch) == before
    units, functions = before
    assert {"affine_products", "forward.sigmoid", "sgd_update", "train"} <= set(units)
    assert "fastnn.kernels.matmul._product" in functions and 50 < len(functions) < 200


def test_a_first_step_compiles_what_it_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing for weights, hits, penalties, clipping, dense targets, inputs of zeros, or a batch of one."""
    units, functions = compiled_by_a_first_step(monkeypatch)
    assert set(units) == {
        "affine_products",
        "backward._derivative",
        "batch_part",
        "cross_entropy_rows_of_labels",
        "forward.sigmoid",
        "parameter_part",
        "sgd_update",
        "train",
    }
    seldom = ("weigh", "count_hits", "add_penalty_gradient", "_loss_of_shares", "are_targets", "descend_by_one_sample")
    assert not [name for name in functions if name.rpartition(".")[2] in seldom]


def test_ctrl_c_while_an_update_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the network has ready is then still the update that it had."""
    nets = [Network([Affine(2, 1)], "mean_squared_error", rng=0, dtype="float64") for _ in range(2)]
    x, t = numbers(1, 4, 2), numbers(2, 4, 1)
    for net in nets:
        net.step(x, t, SGD(0.1))

    def interrupted(*_: Any) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("fastnn.kernels.units.Unit.address", interrupted)
        with pytest.raises(KeyboardInterrupt):
            nets[0].step(x, t, SGD(0.2, clip_norm=1.0))
    for net in nets:
        net.step(x, t, SGD(0.1))
    assert nets[0].engine.values.tobytes() == nets[1].engine.values.tobytes()
