"""What a first step compiles: what its network needs, however many operations there are to choose from."""

import ast
import gc
import importlib
import math
import pathlib
import pkgutil
import types
from collections.abc import Iterable, Iterator
from typing import Any

import numba
import numpy as np
import pytest
from numba.core.dispatcher import Dispatcher

import benchmarks
import fastnn
from fastnn import SGD, Affine, Network, Sigmoid
from fastnn.engine import threads
from fastnn.kernels import convolution, differences, surfaces
from fastnn.kernels.cache import is_told_by_files
from fastnn.kernels.compile import ENTRIES, JIT_DISABLED
from fastnn.kernels.units import UNITS, Unit, launcher
from fastnn.operations import ACTIVATIONS, LOSSES
from tests.shapes import numbers

pytestmark = pytest.mark.skipif(JIT_DISABLED, reason="about compiled code")


def plain(value: Any) -> Any:
    """The Python function of a unit, an entry or a compiled function."""
    value = getattr(value, "function", value)
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

    def run(entry: Any, work: float, *arguments: Any, **options: Any) -> Any:
        asked_for.append(entry)
        return original_run(entry, work, *arguments, **options)

    original, original_run = Unit.address, threads.run
    with monkeypatch.context() as patched:
        patched.setattr(Unit, "address", address)
        patched.setattr(threads, "run", run)
        network = Network([Affine(7, 5), Sigmoid(), Affine(5, 3)], rng=0)
        network.step(np.ones((4, 7), np.float32), np.array([0, 1, 2, 0]), SGD(0.1))
    return sorted({one.name if isinstance(one, Unit) else one.__name__ for one in asked_for}), all_of(asked_for)


def test_registering_more_operations_changes_nothing_that_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    before = compiled_by_a_first_step(monkeypatch)
    for i in range(3):
        fastnn.activation(lambda x: x + math.tanh(x), derivative=lambda x, y: 2.0 - (y - x) ** 2, name=f"bent{i}")
        fastnn.loss(lambda y, t: (y - t) ** 2, derivative=lambda y, t: 2.0 * (y - t), name=f"squares{i}")
    assert "bent2" in ACTIVATIONS and "squares2" in LOSSES
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


# --- threads ----------------------------------------------------------------------------------------------------------


def speaks_of_threads(node: ast.AST) -> bool:
    """Whether it is a `prange`, or the option `parallel` by keyword or in a dict."""
    if isinstance(node, ast.Dict):
        return any(isinstance(key, ast.Constant) and key.value == "parallel" for key in node.keys)
    words = getattr(node, "id", ""), getattr(node, "attr", ""), getattr(node, "arg", "")
    return "prange" in words[:2] or (isinstance(node, ast.keyword) and words[2] == "parallel")


def test_only_the_launcher_is_written_with_threads() -> None:
    found = set()
    for package in (fastnn, benchmarks):
        for file in pathlib.Path(package.__path__[0]).rglob("*.py"):
            for statement in ast.parse(file.read_text()).body:
                if any(map(speaks_of_threads, ast.walk(statement))):
                    found.add(f"{file.stem}.{getattr(statement, 'name', statement.lineno)}")
    of_joblib = {"grid_search.grid_search"}  # which passes a joblib.Parallel on
    assert found == {"compile.compile_unit", "units._launch_by_numba", "units.launcher"} | of_joblib


def test_only_the_launcher_is_compiled_with_threads() -> None:
    """Looks at all that Numba has made for fastnn in this process."""
    for one in pkgutil.walk_packages(fastnn.__path__, "fastnn."):
        if ".kernels" in one.name or ".operations" in one.name or ".engine" in one.name:
            importlib.import_module(one.name)
    assert launcher()
    gc.unfreeze()  # what was frozen after the collection of tests is not listed
    made = [one for one in gc.get_objects() if issubclass(type(one), Dispatcher)]
    ours = [one for one in made if str(one.py_func.__module__).startswith("fastnn.")]  # it may be None
    entries = [one for one in ENTRIES if one.py_func.__module__.startswith("fastnn.")]
    assert len(ours) > 200 and {getattr(one, "compiled", one) for one in entries} <= set(ours)
    assert {one.__name__ for one in ours if one.targetoptions.get("parallel")} <= {"_launch_by_numba"}


def squared_length(x: Any) -> float:
    total = 0.0
    for value in x:
        total += value * value
    return total


def with_parts() -> dict[str, tuple[Any, list[Any], list[tuple[int, ...]]]]:
    """Entries that take arrays and run in parts: the entry, its inputs, and the shapes of what it writes."""
    images, columns, image = numbers(1, 5, 2, 7, 6), numbers(2, 5, 6, 5, 2, 2, 2), (5, 2, 7, 6)
    places = np.arange(5 * 3 * 3 * 2).reshape(5, 3, 3, 2) % 4
    moved, entries = np.stack([numbers(3, 9)] * 3), np.arange(9)
    return {
        "line_fit_losses": (surfaces.line_fit_losses, [numbers(seed, 8) for seed in range(4)], [(8, 8)]),
        "im2col": (convolution.im2col, [images, 1, 0], [(5, 6, 5, 2, 2, 2)]),
        "col2im": (convolution.col2im, [columns, 1], [image]),
        "max_pool": (convolution.max_pool, [images, 2, 2, 2, np.zeros((3, 4))], [(5, 2, 3, 3), (5, 3, 3, 2)]),
        "max_pool_backward": (convolution.max_pool_backward, [numbers(4, 5, 2, 3, 3), places, 2, 2], [image]),
        "evaluate": (
            differences.evaluate,
            [numba.njit(squared_length), moved, entries, 0, 9, np.array([-1.0, 1.0]), 1e-4, False],
            [(2, 9), (2, 9)],
        ),
    }


@pytest.mark.parametrize("name", with_parts())
def test_threads_change_neither_bits_nor_what_is_compiled(name: str) -> None:
    entry, inputs, shapes = with_parts()[name]
    results, compiled = [], set()
    for parts, address in ((1, 0), (3, 0), (2, launcher()), (3, launcher())):
        written = [
            np.zeros(shape, np.intp if name == "max_pool" and i else np.float64) for i, shape in enumerate(shapes)
        ]
        entry(parts, address, *inputs, *written)
        results.append(b"".join(array.tobytes() for array in written))
        compiled.add(len(entry.signatures))
        assert any(array.any() for array in written)
    assert set(results) == {results[0]}
    assert len(compiled) == 1


def test_units_name_all_that_they_hold() -> None:
    """Code whose unit holds anything else is not kept on disk, and each process compiles it again."""
    units = [one for one in UNITS if str(one.function.__module__).startswith("fastnn.")]
    folders = "fastnn.kernels.", "fastnn.operations."  # others are of users' functions
    made_here = [one for one in units if all(str(plain(part).__module__).startswith(folders) for part in one.made_of)]
    assert len(made_here) > 3 * len(LOSSES)
    for unit in made_here:
        held = [cell.cell_contents for cell in unit.function.__closure__ or ()]
        assert sorted(map(id, held)) == sorted(map(id, unit.made_of)), unit.name
        assert all(map(is_told_by_files, unit.made_of)), unit.name
