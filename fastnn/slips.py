"""Arguments as other libraries name them, answered by what to pass here. Imports nothing of fastnn.

Calls with arguments that are there pay about a microsecond, so operations on arrays and `Network.step` go without.
"""

import difflib
import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

Callee = TypeVar("Callee", bound=Callable[..., Any])

RATE = "pass optimizer=fastnn.SGD(lr=0.1) or another optimizer"
PART = "divide the samples by fastnn.datasets.train_test_split, and pass validation_data=(x, t)"
# By the name that came: an argument of ours, and what to do where it is one of the callee's.
SLIPS: dict[str, dict[str, str]] = {
    "alpha": {"lr": "pass lr"},
    "betas": {"beta1": "pass beta1 and beta2"},
    "clipnorm": {"clip_norm": "pass clip_norm"},
    "clipvalue": {"clip_value": "pass clip_value"},
    "eps": {"epsilon": "pass epsilon"},
    "eta0": {"lr": "pass lr", "optimizer": RATE},
    "learning_rate": {"lr": "pass lr", "optimizer": RATE},
    "learning_rate_init": {"lr": "pass lr", "optimizer": RATE},
    "lr": {"optimizer": RATE},
    "max_iter": {"epochs": "pass epochs"},
    "metrics": {"callbacks": "leave it out, as the history has loss and accuracy"},
    "n_epochs": {"epochs": "pass epochs"},
    "n_splits": {"folds": "pass folds"},
    "num_epochs": {"epochs": "pass epochs"},
    "random_state": {"rng": "pass rng"},
    "rho": {"decay": "pass decay"},
    "seed": {"rng": "pass rng"},
    "test_size": {"test_fraction": "pass test_fraction"},
    "validation_split": {"validation_data": PART},
    "verbose": {"progress": "pass progress=True or progress=False"},
}


def answers_slips(callee: Callee) -> Callee:
    """A function or a class whose TypeError for an argument that it does not have says which one to pass."""
    if isinstance(callee, type):
        kind: Any = callee
        kind.__init__ = _answering(kind.__init__, callee.__name__)
        return callee
    return _answering(callee, callee.__name__)  # type: ignore[return-value]


def _answering(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    names = list(inspect.signature(function).parameters)

    @functools.wraps(function)
    def answering(*arguments: Any, **options: Any) -> Any:
        for option in options:
            if option not in names:
                raise TypeError(_sentence(name, option, [name for name in names if name != "self"]))
        return function(*arguments, **options)

    return answering


def _sentence(name: str, came: str, names: list[str]) -> str:
    """Which of its arguments to pass instead of the one that came."""
    remedies = [remedy for ours, remedy in SLIPS.get(came, {}).items() if ours in names]
    remedies += [f"pass {close}" for close in difflib.get_close_matches(came, names, 1)]
    remedy = remedies[0] if remedies else "leave it out"
    return f"{name}: expected arguments out of {', '.join(names)}, got {came}; {remedy}"
