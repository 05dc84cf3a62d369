"""A small problem for every loss of a network."""

from typing import Any

import numpy as np

from fastnn import Affine, Network, Tanh
from fastnn.operations import ACTIVATIONS
from fastnn.operations import LOSSES as KERNELS
from tests import shapes

N, D, H, K = 9, 5, 4, 3
X = shapes.numbers(1, N, D)
CASES = [*KERNELS, "hinge of signs"]


# What makes a network's outputs the probabilities that a loss takes.
PROBABILITIES = {name: ACTIVATIONS[kind.follows[0]] for name, kind in KERNELS.items() if kind.follows}


def layers_of(case: str) -> list[Any]:
    last = [PROBABILITIES[case]()] if case in PROBABILITIES else []
    return [Affine(D, H), Tanh(), Affine(H, K), *last]


def targets(case: str, dtype: Any = np.float64) -> Any:
    if case == "hinge of signs":
        return np.sign(shapes.numbers(6, N, K)).astype(dtype)
    return shapes.targets_of(case, N, K, dtype)


def network(case: str, dtype: Any = "float64", **options: Any) -> Network:
    return Network(layers_of(case), case.split()[0], rng=0, dtype=dtype, **options)  # type: ignore[arg-type]
