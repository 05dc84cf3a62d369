"""The examples in the docstrings of public names: every name has one, and prints as it says."""

import doctest
import importlib
import importlib.util
import inspect
import os
import pathlib
import re
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.losses import LOSSES

# Modules whose names are public, beside fastnn's own, and the library without which a module cannot be imported.
MODULES = {
    "fastnn.datasets": None,
    "fastnn.distributed": "distributed",
    "fastnn.dropin": None,
    "fastnn.information": None,
    "fastnn.losses": None,
    "fastnn.models": None,
    "fastnn.plots": None,
    "fastnn.reference": None,
    "fastnn.schedules": None,
    "fastnn.sklearn": "sklearn",
}
# The classes of results, and what else is described beside the names in `fastnn`.
RESULTS = (
    "fastnn.environment.config",
    "fastnn.gradients.check.GradientReport",
    "fastnn.gradients.numerical.NumericalGradient",
    "fastnn.models.searches.Search",
    "fastnn.network.learning_rate_search.LearningRateSearch",
    "fastnn.validation.cross_validation.CrossValidation",
    "fastnn.validation.grid_search.GridSearch",
    "fastnn.validation.metrics.Scores",
)
# What examples need beside fastnn, by the first part of their names; Keras has JAX beneath it in all tests.
NEEDS = {
    "fastnn.History.plot": "matplotlib",
    "fastnn.gradients.check.GradientReport.plot": "matplotlib",
    "fastnn.network.learning_rate_search.LearningRateSearch.plot": "matplotlib",
    "fastnn.validation.grid_search.GridSearch.plot": "matplotlib",
    "fastnn.plots": "matplotlib",
    "fastnn.Network.from_keras": "keras jax",
    "fastnn.Network.from_onnx": "onnx",
    "fastnn.Network.from_sklearn": "sklearn",
    "fastnn.Network.from_torch": "torch",
    "fastnn.Network.to_onnx": "onnx",
    "fastnn.Network.to_torch": "torch",
}
# Methods that fastnn calls, not users; the docstring of `fit` describes the first ones.
CALLED_BY_FIT = ("begin", "end", "state", "restore")
FOR_FASTNN = ("fastnn.Network.of",)


def names_in(module: Any) -> list[str]:
    """The public names of a module: the listed ones, or what it defines; of losses the classes, of twins none."""
    if module.__name__ == "fastnn.losses":
        return [kind.__name__ for kind in LOSSES.values()]
    if module.__name__ == "fastnn.reference":  # its names are those of fastnn
        return []
    defined = [name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
    return list(getattr(module, "__all__", [name for name in defined if not name.startswith("_")]))


def members(name: str, kind: type) -> Iterator[tuple[str, Any]]:
    """The methods of a class that users call; those that other libraries define are theirs."""
    if kind.__module__.startswith("fastnn.operations."):
        return
    for key in dir(kind):
        method = getattr(kind, key)
        is_own = inspect.isroutine(method) and str(getattr(method, "__module__", "")).startswith("fastnn.")
        if is_own and not key.startswith("_") and key not in CALLED_BY_FIT and f"{name}.{key}" not in FOR_FASTNN:
            yield f"{name}.{key}", method


def public() -> Iterator[tuple[str, Any]]:
    """Every public module, function, class and method with its full name."""
    there = [name for name, library in MODULES.items() if library is None or importlib.util.find_spec(library)]
    for place in ["fastnn", *there]:
        module = importlib.import_module(place)
        if place != "fastnn":
            yield place, module
        for name in dir(fastnn) if place == "fastnn" else names_in(module):
            value = getattr(module, name)
            if not inspect.isroutine(value) and not inspect.isclass(value):  # numbers, types and modules
                continue
            yield f"{place}.{name}", value
            if inspect.isclass(value):
                yield from members(f"{place}.{name}", value)
    for full_name in RESULTS:
        place, _, name = full_name.rpartition(".")
        value = getattr(importlib.import_module(place), name)
        yield full_name, value
        yield from members(full_name, value) if inspect.isclass(value) else ()


PUBLIC = dict(public())


def examples(name: str) -> doctest.DocTest:
    """The examples of a name, as a user pastes them: with fastnn and NumPy, and nothing of the module they stand in."""
    text = inspect.getdoc(PUBLIC[name]) or ""
    return doctest.DocTestParser().get_doctest(text, {"fastnn": fastnn, "np": np}, name, None, None)


def test_public_names_are_found() -> None:
    assert {"fastnn.Network.fit", "fastnn.Network.from_torch", "fastnn.datasets.one_hot", "fastnn.Relu"} <= set(PUBLIC)
    values = [getattr(fastnn, name) for name in dir(fastnn)]
    assert {value.__name__ for value in values if inspect.ismodule(value)} <= set(MODULES)
    assert len(PUBLIC) > 150 and "fastnn.EarlyStopping.begin" not in PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_examples_print_what_they_say(
    name: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, chosen_threads: None
) -> None:
    found = examples(name)
    assert found.examples, f"{name}: expected an example in its docstring; add one under Examples, its last section"
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setenv("MPLBACKEND", "Agg")
    for beginning, libraries in NEEDS.items():
        for library in libraries.split() if name.startswith(beginning) else []:
            pytest.importorskip(library)
    if name == "fastnn.datasets.load_mnist" and "FASTNN_DATA" not in os.environ:
        pytest.skip("without MNIST")
    monkeypatch.chdir(tmp_path)
    printed: list[str] = []
    run = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(found, out=printed.append)
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
    assert run.failed == 0, "".join(printed)


def test_documented_parameters_are_there() -> None:
    """Names that share an entry have one default, as the pages of the documentation show the first one's for all."""
    wrong = []
    for name, value in PUBLIC.items():
        text = (inspect.getdoc(value) or "").partition("\nParameters\n----------\n")[2]
        text = re.split(r"\n\n\w+\n-{3,}\n", text)[0]
        taken = inspect.signature(value).parameters if text else {}
        for entry in re.findall(r"^(\*{0,2}\w+(?:, \w+)*)(?: : .*)?$", text, re.MULTILINE):
            names = [one.strip("*") for one in entry.split(", ")]
            same = len({repr(taken[one].default) for one in names if one in taken}) == 1
            wrong += [f"{name}: {entry}"] if not (same and set(names) <= set(taken)) else []
    assert wrong == []
