"""Updates of several arrays in one call: by key or place, all checked before the first is changed."""

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import reference
from fastnn.functional import updates as functional_updates
from fastnn.operations import UPDATES
from tests.shapes import Array, numbers
from tests.test_checks import refused
from tests.tolerances import assert_close


def mapping_of(seed: int) -> dict[str, Array]:
    return {"W1": numbers(seed, 3, 2), "b1": numbers(seed + 1, 2), "none": np.empty((0, 2))}


@pytest.mark.parametrize(
    "group", [dict, lambda mapping: list(mapping.values()), lambda mapping: tuple(mapping.values())]
)
def test_updates_of_mappings_and_sequences(group: Any) -> None:
    for name, count, options in (
        ("sgd_update", 2, {"lr": 0.1}),
        ("momentum_update", 3, {"lr": 0.1, "momentum": 0.5}),
        ("adam_update", 4, {"step": 1, "lr": 0.1, "epsilon": 10.0}),
    ):
        groups = [[group(mapping_of(10 * i)) for i in range(count)] for _ in range(2)]
        if count == 4:  # squares
            groups = [[*some[:3], group({key: a * a for key, a in mapping_of(30).items()})] for some in groups]
        for module, arguments in zip((fastnn, reference), groups, strict=True):
            getattr(module, name)(*arguments, **options)
        for got, wanted in zip(*groups, strict=True):
            for key in got if isinstance(got, dict) else range(len(got)):
                assert_close(got[key], wanted[key])


def test_updates_of_groups_that_do_not_match() -> None:
    params = mapping_of(1)
    before = {key: array.copy() for key, array in params.items()}
    kind = "grads: expected a dict like params, got list; pass both alike"
    with refused(TypeError, kind):
        functional_updates.sgd_update(params, list(params.values()), 0.1)
    keys = "grads: expected the keys of params, ['W1', 'b1', 'none'], got ['W1']; pass one array for each"
    with refused(ValueError, keys):
        functional_updates.sgd_update(params, {"W1": params["W1"].copy()}, 0.1)
    length = "velocity: expected the keys of params, [0, 1], got [0]; pass one array for each"
    with refused(ValueError, length):
        functional_updates.momentum_update([np.ones(1)] * 2, [np.ones(1)] * 2, [np.ones(1)], 0.1)
    overlap = "grads['b1']: expected memory of its own, got an array that overlaps params['b1']; pass a copy"
    with refused(ValueError, overlap):  # found before the first array is changed
        functional_updates.sgd_update(params, mapping_of(2) | {"b1": params["b1"]}, 0.1)
    x = np.ones(3)
    with refused(ValueError, "velocity: expected memory of its own, got an array that overlaps grads; pass a copy"):
        functional_updates.momentum_update(np.ones(2), x[:2], x[1:], 0.1)
    assert all(np.array_equal(params[key], before[key]) for key in params)


UPDATES_AND_STATES: list[tuple[str, int, dict[str, Any]]] = [
    (f"{name}_update", len(kind.keeps), {"step": 1} if kind.counts else {}) for name, kind in UPDATES.items()
]


@pytest.mark.parametrize(("name", "states", "options"), UPDATES_AND_STATES)
def test_an_update_of_arrays_that_overlap_between_keys(name: str, states: int, options: dict[str, Any]) -> None:
    """Parameters and states are written while arrays of other keys are still to be read."""
    flat = numbers(1, 12)
    update = getattr(fastnn, name)
    for kind in ("own", "views", "overlapping"):
        for written in [0, *range(2, 2 + states)]:
            for other in range(2 + states):
                groups = [{key: np.abs(numbers(7 * i + n, 4)) for n, key in enumerate("ab")} for i in range(2 + states)]
                if kind == "own":
                    groups[other]["b"] = groups[written]["a"]
                else:
                    groups[written]["a"] = flat[:4]
                    groups[other]["b"] = flat[:4] if kind == "views" else flat[3:7]
                before = [{key: array.tobytes() for key, array in group.items()} for group in groups]
                with pytest.raises(ValueError, match=r"^\w+\['[ab]'\]: expected memory of its own, got an array that"):
                    update(*groups, lr=1.0, **options)
                assert [{key: array.tobytes() for key, array in group.items()} for group in groups] == before


def test_an_update_of_neighboring_views_and_of_gradients_that_are_one_array() -> None:
    flat, gradient = np.ones(6), np.full(3, 0.5)
    functional_updates.sgd_update({"a": flat[:3], "b": flat[3:]}, {"a": gradient, "b": gradient}, 1.0)
    assert (flat == 0.5).all()
    a, b = np.ones(2), np.zeros(2)
    with pytest.raises(ValueError, match=r"^grads\['[ab]'\]: expected memory of its own, got an array that overlaps"):
        functional_updates.sgd_update({"a": a, "b": b}, {"a": b, "b": a}, 1.0)
