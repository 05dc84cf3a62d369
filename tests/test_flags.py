"""Every boolean argument of every public function is True or False: "no" would count as true, None break a kernel."""

import dataclasses
import functools
import inspect
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import Affine, Network, datasets, environment, models
from fastnn.operations import LOSSES, OPTIMIZERS, UPDATES
from tests.shapes import numbers, targets

X, T = numbers(1, 12, 4, dtype=np.float32), targets("labels", 12, 3, np.float32)
NET = Network([Affine(4, 3)], rng=0)
MODULES = (fastnn, datasets, fastnn.losses, models, fastnn.plots, fastnn.information, fastnn.schedules)


def takes_flags(function: Any) -> list[str]:
    """The names of the boolean parameters of a function, by annotation or by default."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    return [one.name for one in parameters if one.annotation in (bool, "bool") or isinstance(one.default, bool)]


def public() -> Iterator[tuple[str, Any]]:
    """The functions, classes and public methods for users, by name."""
    for module in MODULES:
        names = getattr(module, "__all__", [name for name in vars(module) if not name.startswith("_")])
        for name in names:
            thing = getattr(module, name)
            if isinstance(thing, types.ModuleType) or not getattr(thing, "__module__", "").startswith("fastnn"):
                continue
            yield name, thing
            for method in dir(thing) if isinstance(thing, type) else ():  # its bases' methods, too
                # A loss's targets() is called by networks, which have checked the flag.
                if not method.startswith("_") and method != "targets" and callable(getattr(thing, method)):
                    yield f"{name}.{method}", getattr(thing, method)


def _loss(name: str, **flag: Any) -> Any:
    y, t = (np.full((2, 1), value, np.float32) for value in (0.5, 1.0))
    return getattr(fastnn, name)(y, t, **flag)


OF_TASKS = ("accuracy", "fit", "gradient", "loss", "losses", "predict", "step")


def _of_tasks(name: str, **flag: Any) -> Any:
    both = models.MultiTask(Network([Affine(4, 3)], rng=0), {"y": Network([Affine(3, 3)], rng=0)})
    targets = [] if name == "predict" else [{"y": T}]
    return getattr(both, name)(X, *targets, *([fastnn.SGD()] if name == "step" else []), **flag)


def _squares(x: Any) -> float:
    return float(x @ x)


ZEROS, IMAGES = np.zeros(3), np.ones((2, 1, 3, 3))
CALLS: dict[str, Callable[..., Any]] = {
    "Network.predict": lambda **flag: NET.predict(X, **flag),
    "Network.loss": lambda **flag: NET.loss(X, T, **flag),
    "Network.accuracy": lambda **flag: NET.accuracy(X, T, **flag),
    "Network.gradient": lambda **flag: NET.gradient(X, T, **flag),
    "Network.numerical_gradient": lambda **flag: NET.numerical_gradient(X, T, **flag),
    "Network.step": lambda **flag: NET.step(X, T, fastnn.SGD(0.1), **flag),
    "Network.fit": lambda **flag: NET.fit(X, T, epochs=1, **flag),
    "Network.backward": lambda **flag: NET.backward(X, NET.predict(X), **flag),
    "Network.outputs_of_layers": lambda **flag: NET.outputs_of_layers(X, **flag),
    "Affine": lambda **flag: Affine(4, 3, **flag),
    "BatchNorm": lambda **flag: fastnn.BatchNorm(**flag),
    "Conv2d": lambda **flag: fastnn.Conv2d(1, 2, 3, **flag),
    "PRelu": lambda **flag: fastnn.PRelu(**flag),
    "Regularization": lambda **flag: fastnn.Regularization(l2=0.1, **flag),
    "Regularization.blend": lambda **flag: fastnn.Regularization.blend(0.5, **flag),
    "loss": lambda **flag: fastnn.loss(lambda y, t: y * y, derivative=lambda y, t: 2.0 * y, name="squares", **flag),
    "directional_derivative": lambda **flag: fastnn.directional_derivative(_squares, np.ones(2), np.ones(2), **flag),
    "gradient_descent": lambda **flag: fastnn.gradient_descent(_squares, np.ones(2), step_num=1, **flag),
    "affine_backward": lambda **flag: fastnn.affine_backward(X, X, np.ones((4, 4), np.float32), **flag),
    "conv2d_backward": lambda **flag: fastnn.conv2d_backward(IMAGES, IMAGES, np.ones((1, 1, 1, 1)), **flag),
    **{name: functools.partial(_loss, name) for name in LOSSES},
    "numerical_gradient": lambda **flag: fastnn.numerical_gradient(np.sum, ZEROS, **flag),
    "cross_validate": lambda **flag: fastnn.cross_validate(lambda rng: NET, X, T, **flag),
    "grid_search": lambda **flag: fastnn.grid_search(lambda value, rng: NET, [1], X, T, **flag),
    "find_learning_rate": lambda **flag: fastnn.find_learning_rate(NET, X, T, **flag),
    "HopfieldNetwork.recall": lambda **flag: models.HopfieldNetwork(3).store([[1, -1, 1]]).recall([[1, -1, 1]], **flag),
    **{f"MultiTask.{name}": functools.partial(_of_tasks, name) for name in OF_TASKS},
    **{
        f"{kind.__name__}.{name}": functools.partial(getattr(kind(), name), np.full((2, 3), 0.5))
        for kind in (models.SparseKL, models.SparseL1)
        for name in ("loss", "gradient")
    },
    "warmup": environment.warmup,
    "load_digits": datasets.load_digits,
    "load_mnist": lambda **flag: datasets.load_mnist("/nowhere", **flag),
    "k_fold": lambda **flag: datasets.k_fold(X, T, **flag),
    "train_test_split": lambda **flag: datasets.train_test_split(X, T, **flag),
    "minibatches": lambda **flag: datasets.minibatches(X, T, 3, **flag),
    "Perceptron": lambda **flag: models.Perceptron(**flag),
    "Perceptron.fit": lambda **flag: models.Perceptron().fit(X, T % 2, **flag),
    "LinearRegression.fit": lambda **flag: models.LinearRegression().fit(X, X, **flag),
    "LogisticRegression.fit": lambda **flag: models.LogisticRegression().fit(X, T, **flag),
}
CALLS |= {name: kind for name, kind in OPTIMIZERS.items() if takes_flags(kind)}
for _name, _kind in UPDATES.items():
    _update, _state = getattr(fastnn, f"{_name}_update"), [np.zeros(3) for _ in ("params", "grads", *_kind.keeps)]
    if takes_flags(_update):
        CALLS[f"{_name}_update"] = functools.partial(_update, *_state, *([1] if _kind.counts else []), 0.1)
FLAGS = [(name, flag, thing) for name, thing in public() for flag in takes_flags(thing)]


@pytest.mark.parametrize("bad", [None, 1, 0, "no", 1.0, np.array(True)], ids=repr)
@pytest.mark.parametrize(("name", "flag"), [(name, flag) for name, flag, _ in FLAGS])
def test_a_flag_is_true_or_false(name: str, flag: str, bad: Any) -> None:
    assert name in CALLS, f"add a call of {name}, which has a boolean argument"
    before = NET.params["W1"].tobytes()
    with pytest.raises(TypeError, match=f"^{flag}: expected True or False, got "):
        CALLS[name](**{flag: bad})
    assert NET.params["W1"].tobytes() == before


def test_the_walk_finds_them() -> None:
    found = {name for name, _, _ in FLAGS}
    assert found == set(CALLS)
    fields = [one.name for one in dataclasses.fields(fastnn.Adam) if isinstance(one.default, bool)]
    assert takes_flags(fastnn.Adam) == fields == ["epsilon_inside", "bias_correction", "epsilon_uncorrected"]


def test_numpys_bools_are_bools() -> None:
    assert NET.predict(X, check_finite=np.True_).tobytes() == NET.predict(X).tobytes()  # type: ignore[arg-type]
    x = X.copy()
    x[0, 0] = np.nan
    for none in (False, np.False_):
        assert np.isnan(NET.predict(x, check_finite=none)).any()  # type: ignore[arg-type]
