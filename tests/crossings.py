"""Tests of everything with everything: some of the combinations run always, the others are `exhaustive`."""

import itertools
from collections.abc import Collection
from typing import Any

import pytest


def crossed(one_in: int, **axes: Collection[Any]) -> pytest.MarkDecorator:
    """Parametrize a test by all combinations of values, of which one in so many is not `exhaustive`.

    The chosen ones lie on diagonals of the table: the sum of their places on the axes is a multiple of `one_in`. So a
    value meets all values of another axis if the places on the remaining axes add up to at least one_in - 1.
    """
    rows, met = [], set[tuple[int, int]]()
    for row in itertools.product(*(enumerate(axis) for axis in axes.values())):
        places, values = zip(*row, strict=True)
        always = sum(places) % one_in == 0
        if always:
            met.update(enumerate(places))
        name = "-".join(getattr(value, "__name__", str(value)) for value in values)
        rows.append(pytest.param(*values, id=name, marks=() if always else pytest.mark.exhaustive))
    assert len(met) == sum(map(len, axes.values())), "each value is chosen at least once"
    return pytest.mark.parametrize(tuple(axes), rows)
