"""What a page may ask for: a data set, a network and a way to train it, all small."""

import dataclasses
from typing import Any

from fastnn import datasets, operations
from fastnn.gate import arrays, checks

DATA = {
    "circle": datasets.make_circles,
    "xor": datasets.make_xor,
    "gaussian": datasets.make_gaussians,
    "spiral": datasets.make_spiral,
}
PENALTIES = ("none", "l1", "l2")
CHOICES = {
    "data": tuple(DATA),
    "activation": tuple(name for name, kind in operations.ACTIVATIONS.items() if kind.takes_elements),
    "optimizer": tuple(name.lower() for name in operations.OPTIMIZERS),
    "penalty": PENALTIES,
}
WHOLE = {"n": (10, 1000), "batch": (1, 1000), "seed": (0, 2**31 - 1), "speed": (0, 10_000)}  # smallest and largest
NUMBERS = {"noise": (0.0, 1.0), "lr": (1e-6, 10.0), "strength": (0.0, 1.0)}
MOST_LAYERS, MOST_NEURONS = 4, 8
BEGIN_ANEW = ("data", "n", "noise", "hidden", "activation", "seed")  # others change a training that goes on


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings of a page; `speed` is a number of steps in a second, 0 for as many as there is time for."""

    data: str = "spiral"
    n: int = 400
    noise: float = 0.02
    batch: int = 10
    hidden: tuple[int, ...] = (8, 8)
    activation: str = "relu"
    optimizer: str = "momentum"
    lr: float = 0.03
    penalty: str = "none"
    strength: float = 0.001
    seed: int = 0
    speed: int = 0

    @classmethod
    def of(cls, given: Any) -> "Settings":
        """Settings from what a page sent; names that it left out have their defaults.

        Raises TypeError, ValueError for anything else than the names, kinds and ranges above.
        """
        if not isinstance(given, dict):
            raise TypeError(f"settings: expected an object, got {checks.shown(given)}")
        known = [field.name for field in dataclasses.fields(cls)]
        for name in given:
            if name not in known:
                expected = f"settings: expected names out of {', '.join(known)}"
                raise ValueError(f"{expected}, got {checks.shown(name)}{checks.did_you_mean(name, known)}")
        return cls(**{name: _checked(name, value) for name, value in given.items()})

    def is_same_problem(self, other: "Settings") -> bool:
        """Whether a training by these settings can go on by the others."""
        return all(getattr(self, name) == getattr(other, name) for name in BEGIN_ANEW)


def _checked(name: str, value: Any) -> Any:
    if name in CHOICES:
        return arrays.choice(name, value, CHOICES[name])
    if name in WHOLE:
        return arrays.integer(name, value, *WHOLE[name])
    if name in NUMBERS:
        return arrays.real(name, value, *NUMBERS[name])
    if not isinstance(value, list | tuple) or len(value) > MOST_LAYERS:
        raise ValueError(f"{name}: expected a list of at most {MOST_LAYERS} widths, got {checks.shown(value)}")
    return tuple(arrays.integer(f"{name}[{i}]", width, 1, MOST_NEURONS) for i, width in enumerate(value))


def described() -> dict[str, Any]:
    """The choices, ranges and defaults, for a page that begins."""
    return {
        "choices": CHOICES,
        "ranges": {**WHOLE, **NUMBERS},
        "most_layers": MOST_LAYERS,
        "most_neurons": MOST_NEURONS,
        "defaults": dataclasses.asdict(Settings()),
    }
