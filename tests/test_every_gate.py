"""Every public function, method and class refuses masked arrays, matrices and sparse matrices, in every argument.

They are found by the package's public names: a new one without the gate fails here. NumPy's functions take such arrays
as plain ones, without their masks, or compute something else with them.
"""

import functools
import inspect
import re
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import datasets, information, losses, models, plots, schedules
from fastnn.operations import ACTIVATIONS, LOSSES, UPDATES
from tests import pictures, shapes

pytestmark = pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")

NAMESPACES = {"fastnn": fastnn, "datasets": datasets, "information": information, "losses": losses, "models": models}
NAMESPACES |= {"plots": plots, "schedules": schedules}
# Public names that are not walked, and why. Exceptions and warnings are not, either.
EXEMPT = {
    "fastnn.reference": "formulas in NumPy for comparison, which load without the package",
    "fastnn.activation": "takes functions",
    "fastnn.layer": "takes functions",
    "fastnn.loss": "takes functions",
    "fastnn.optimizer": "takes functions",
    "fastnn.History": "a record that fit makes",
    "models.PerceptronHistory": "a record that fit makes",
    "losses.check_outputs": "for networks: it sees layers",
    "losses.own_loss": "for networks: it sees a loss",
    "losses.weights_of": "for networks and functional_losses: it sees targets from the gate",
    "schedules.check_schedule": "for fit: it sees a schedule",
    "schedules.improvements": "for callbacks: it sees a history",
}
# Modules with classes whose methods only networks call, with checked arguments.
DESCRIPTIONS = (
    "fastnn.layers",
    "fastnn.losses",
    "fastnn.network.checkpoint",
    "fastnn.network.csv_logger",
    "fastnn.network.early_stopping",
    "fastnn.operations",
    "fastnn.schedules",
)
X, LABELS = np.arange(12.0, dtype=np.float32).reshape(4, 3) / 12, np.array([0, 1, 1, 0])
ROWS, ONE_HOT = np.ones((4, 2), np.float32), np.eye(2, dtype=np.float32)[LABELS]
PROBABILITIES, SIGNS = np.full((4, 2), 0.5, np.float32), 2 * ONE_HOT - 1
STATE = {"params": np.ones(3), "grads": np.ones(3), "lr": 0.1}


def squares(x: Any) -> Any:
    return (x**2).sum()


def network(rng: Any = 0) -> fastnn.Network:
    return fastnn.Network([fastnn.Affine(3, 2)], rng=rng)


def of_two_layers() -> fastnn.Network:
    return fastnn.Network([fastnn.Affine(3, 2), fastnn.Sigmoid(), fastnn.Affine(2, 2)], rng=0)


def of_two_inputs() -> fastnn.Network:
    return fastnn.Network([fastnn.Affine(2, 2)], rng=0)


DATA = {"x": X, "t": LABELS}
OF_HEADS = {"x": X, "t": {"y": LABELS}}
IMAGES, FILTERS = np.ones((2, 1, 3, 3), np.float32), np.ones((1, 1, 1, 1), np.float32)
OF_THE_MACHINE = ("fit", "free_energy", "reconstruct", "transform")
# Right values for arguments without a default.
EXAMPLES: dict[str, Callable[[], dict[str, Any]]] = {
    "fastnn.Affine": lambda: {"inputs": 3, "outputs": 2},
    "fastnn.Bagging": lambda: {"network_factory": network},
    "fastnn.Bagging.fit": lambda: DATA,
    "fastnn.Bagging.predict": lambda: {"x": X},
    "fastnn.Bagging.accuracy": lambda: DATA,
    "fastnn.CSVLogger": lambda: {"path": "log.csv"},
    "fastnn.AvgPool2d": lambda: {"kernel_size": 2},
    "fastnn.MaxPool2d": lambda: {"kernel_size": 2},
    "fastnn.Conv2d": lambda: {"in_channels": 1, "out_channels": 2, "kernel_size": 3},
    "fastnn.Checkpoint": lambda: {"path": "run.npz"},
    "fastnn.Network": lambda: {"layers": [fastnn.Affine(3, 2)]},
    "fastnn.Network.accuracy": lambda: DATA,
    "fastnn.Network.backward": lambda: {"x": X, "dy": ROWS},
    "fastnn.Network.fit": lambda: DATA,
    "fastnn.Network.gradient": lambda: DATA,
    "fastnn.Network.loss": lambda: DATA,
    "fastnn.Network.numerical_gradient": lambda: DATA,
    "fastnn.Network.outputs_of_layers": lambda: {"x": X},
    "fastnn.Network.predict": lambda: {"x": X},
    "fastnn.Network.step": lambda: {**DATA, "optimizer": fastnn.SGD(0.1)},
    "fastnn.activation_backward": lambda: {"name": "relu", "dy": X, "x": X, "y": X},
    "fastnn.activation_forward": lambda: {"name": "relu", "x": X},
    "fastnn.affine_backward": lambda: {"dy": ROWS, "x": X, "W": np.ones((3, 2), np.float32)},
    "fastnn.affine_forward": lambda: {"x": X, "W": np.ones((3, 2), np.float32), "b": np.ones(2, np.float32)},
    "fastnn.check_gradients": lambda: {"net": network(), **DATA},
    "fastnn.classification_scores": lambda: {"t": LABELS, "predicted": LABELS},
    "fastnn.confusion_matrix": lambda: {"t": LABELS, "predicted": LABELS},
    "fastnn.conv2d_backward": lambda: {"dy": IMAGES, "x": IMAGES, "W": FILTERS},
    "fastnn.conv2d_forward": lambda: {"x": IMAGES, "W": FILTERS, "b": np.ones(1, np.float32)},
    "fastnn.cross_validate": lambda: {"network_factory": network, **DATA, "folds": 2},
    "fastnn.grid_search": lambda: {"make_network": lambda value, rng: network(rng), "values": [1], **DATA, "folds": 2},
    "fastnn.directional_derivative": lambda: {"f": squares, "x": np.ones(3), "v": np.ones(3)},
    "fastnn.find_learning_rate": lambda: {"network": network(), **DATA, "steps": 2},
    "fastnn.gradient_descent": lambda: {"f": squares, "init_x": np.ones(2), "step_num": 1},
    "fastnn.line_fit_losses": lambda: {"x": np.ones(3), "t": np.ones(3), "w": np.ones(2), "b": np.ones(2)},
    "fastnn.balanced_accuracy": lambda: {"t": LABELS, "y": ROWS},
    "fastnn.mean_absolute_error": lambda: {"t": ROWS, "y": ROWS},
    "fastnn.r2_score": lambda: {"t": ROWS, "y": ROWS},
    "fastnn.roc_auc": lambda: {"t": LABELS, "y": ROWS},
    "fastnn.root_mean_squared_error": lambda: {"t": ROWS, "y": ROWS},
    "fastnn.top_k_accuracy": lambda: {"t": LABELS, "y": ROWS},
    "fastnn.numerical_diff": lambda: {"f": np.sin, "x": 1.0},
    "fastnn.numerical_gradient": lambda: {"f": squares, "x": np.ones(3)},
    "fastnn.random_restarts": lambda: {"network_factory": network, **DATA, "n": 1, "epochs": 1},
    "fastnn.simulated_annealing": lambda: {"network_factory": network, **DATA, "steps": 1},
    **{f"fastnn.{name}": lambda: {"x": X} for name in ACTIVATIONS},
    "fastnn.zero_one_loss": lambda: {"y": ROWS, "t": LABELS},
    "datasets.Standardize.fit": lambda: {"x": X},
    "datasets.Standardize.transform": lambda: {"x": X},
    "datasets.add_noise": lambda: {"x": X, "deviation": 1.0},
    "datasets.k_fold": lambda: {**DATA, "folds": 2},
    "datasets.leave_one_out": lambda: DATA,
    "datasets.minibatches": lambda: {**DATA, "batch_size": 2},
    "datasets.one_hot": lambda: {"t": LABELS},
    "datasets.rotate_images": lambda: {"x": np.ones((2, 9)), "degrees": 10.0},
    "datasets.shift_images": lambda: {"x": np.ones((2, 9)), "pixels": 1},
    "datasets.stretch_images": lambda: {"x": np.ones((2, 9)), "factor": 1.5},
    "datasets.train_test_split": lambda: {**DATA, "test_fraction": 0.5},
    "information.cross_entropy": lambda: {"p": PROBABILITIES, "q": PROBABILITIES},
    "information.entropy": lambda: {"p": PROBABILITIES},
    "information.information": lambda: {"p": PROBABILITIES},
    "information.kl_divergence": lambda: {"p": PROBABILITIES, "q": PROBABILITIES},
    "models.HopfieldNetwork": lambda: {"size": 3},
    "models.HopfieldNetwork.energy": lambda: {"x": np.ones((2, 3))},
    "models.HopfieldNetwork.recall": lambda: {"x": np.ones((2, 3))},
    "models.HopfieldNetwork.store": lambda: {"patterns": np.ones((2, 3))},
    "models.LinearRegression.closed_form": lambda: {"x": X, "t": np.ones(4)},
    "models.LinearRegression.fit": lambda: {"x": X, "t": np.ones(4)},
    "models.LinearRegression.loss": lambda: {"x": X, "t": np.ones(4)},
    "models.LinearRegression.predict": lambda: {"x": X},
    "models.LogisticRegression.accuracy": lambda: {"x": X, "t": LABELS},
    "models.LogisticRegression.fit": lambda: {"x": X, "t": LABELS},
    "models.LogisticRegression.loss": lambda: {"x": X, "t": LABELS},
    "models.LogisticRegression.predict": lambda: {"x": X},
    "models.LogisticRegression.predict_proba": lambda: {"x": X},
    "models.McCullochPittsNeuron": lambda: {"weights": [1.0, 1.0], "threshold": 0.5},
    "models.McCullochPittsNeuron.predict": lambda: {"x": ROWS},
    "models.Perceptron.accuracy": lambda: DATA,
    "models.Perceptron.fit": lambda: DATA,
    "models.Perceptron.predict": lambda: {"x": X},
    "models.MultiTask": lambda: {"trunk": network(), "heads": {"y": of_two_inputs()}},
    **{f"models.MultiTask.{name}": lambda: OF_HEADS for name in ("accuracy", "fit", "gradient", "loss", "losses")},
    "models.MultiTask.predict": lambda: {"x": X},
    "models.MultiTask.step": lambda: {**OF_HEADS, "optimizer": fastnn.SGD()},
    **{f"models.Sparse{kind}.{name}": lambda: {"h": X} for kind in ("KL", "L1") for name in ("gradient", "loss")},
    "models.RestrictedBoltzmannMachine": lambda: {"visible": 3, "hidden": 2},
    **{f"models.RestrictedBoltzmannMachine.{name}": lambda: {"x": X} for name in OF_THE_MACHINE},
    "models.delta_update": lambda: {
        "W": np.ones((3, 2)),
        "b": np.ones(2),
        "x": np.ones((4, 3)),
        "t": np.ones((4, 2)),
        "lr": 0.1,
    },
    "models.hebbian_update": lambda: {"W": np.ones((3, 2)), "x": np.ones((4, 3)), "y": np.ones((4, 2)), "lr": 0.1},
    "models.XOR": lambda: {"x1": 0, "x2": 1},
    "models.pretrain": lambda: {"net": of_two_layers(), "x": X, "epochs": 1},
    "models.xor": lambda: {"x": ROWS},
    "schedules.StepDecay": lambda: {"factor": 0.5, "every": 2},
    "schedules.Cosine": lambda: {"epochs": 3},
    "schedules.Warmup": lambda: {"epochs": 3},
    "schedules.ReduceOnPlateau": lambda: {"patience": 3, "factor": 0.5},
    "plots.decision_regions": lambda: {"predict": of_two_inputs(), "x": ROWS, "t": LABELS, "resolution": 2},
    "plots.descent_paths": lambda: {"f": squares, "paths": np.ones((2, 2))},
    "plots.filters": lambda: {"net": pictures.of_filters()},
    "plots.first_layer_weights": lambda: {"net": network(), "shape": (3, 1)},
    "plots.gradient_check": lambda: {"report": None},
    "plots.history": lambda: {"history": None},
    "plots.learning_rate_search": lambda: {"search": None},
    "plots.grid_search": lambda: {"search": None},
    "plots.learning_rates": lambda: {"f": squares, "init_x": 1.0, "rates": [0.1], "step_num": 1},
    "plots.gradient_sizes": lambda: {"net": of_two_inputs(), "x": ROWS, "t": LABELS},
    "plots.layer_outputs": lambda: {"net": fastnn.Network([fastnn.Affine(2, 2), fastnn.Relu()]), "x": ROWS},
    "plots.line_fit_slices": lambda: {"x": np.arange(3.0), "t": np.ones(3)},
    "plots.line_fit_surface": lambda: {"x": np.arange(3.0), "t": np.ones(3)},
}


def of_update(kind: Any) -> dict[str, Any]:
    return {**STATE, **{name: np.ones(3) for name in kind.keeps}, **({"step": 1} if kind.counts else {})}


def of_loss(name: str) -> dict[str, Any]:
    first, y = shapes.outputs_of(name, 4, 2, np.float32)
    return {first: y, "t": shapes.targets_of(name, 4, 2, np.float32)}


EXAMPLES |= {f"fastnn.{name}_update": functools.partial(of_update, kind) for name, kind in UPDATES.items()}
EXAMPLES |= {f"fastnn.{name}": functools.partial(of_loss, name) for name in LOSSES}


class Sparse:
    """A sparse matrix of scipy.sparse, as far as the gate can tell."""

    nnz, shape, ndim, dtype = 1, (4, 3), 2, np.dtype(np.float64)

    def toarray(self) -> Any:
        return np.ones((4, 3))

    def __array__(self, *_: Any, **__: Any) -> Any:
        return np.ones((4, 3))


def fitted_bagging() -> fastnn.Bagging:
    return fastnn.Bagging(network, n=1).fit(X, LABELS, epochs=1)


def fitted_perceptron() -> models.Perceptron:
    found = models.Perceptron()
    found.fit(X, LABELS, epochs=1)
    return found


def fitted_logistic() -> Any:
    found = models.LogisticRegression()
    found.fit(X, LABELS, epochs=1)
    return found


INSTANCES: dict[str, Callable[[], Any]] = {
    "fastnn.Bagging": fitted_bagging,
    "fastnn.Network": network,
    "datasets.Standardize": lambda: datasets.Standardize().fit(X),
    "models.HopfieldNetwork": lambda: models.HopfieldNetwork(3),
    "models.LinearRegression": lambda: models.LinearRegression().closed_form(X, np.ones(4)),
    "models.LogisticRegression": fitted_logistic,
    "models.McCullochPittsNeuron": lambda: models.OR,
    "models.MultiTask": lambda: models.MultiTask(network(), {"y": of_two_inputs()}),
    "models.Perceptron": fitted_perceptron,
    "models.SparseKL": models.SparseKL,
    "models.SparseL1": models.SparseL1,
    "models.RestrictedBoltzmannMachine": lambda: models.RestrictedBoltzmannMachine(3, 2),
}


def foreign(like: Any) -> Iterator[tuple[str, Any]]:
    """Objects other than plain arrays, with the values and shape of the right array."""
    values = np.array(like) if isinstance(like, np.ndarray | list | float | int) and not isinstance(like, bool) else X
    values = values if values.dtype.kind in "iuf" else X
    mask = np.zeros(values.shape, bool)
    mask.reshape(-1)[:1] = True
    yield "masked", np.ma.array(values, mask=mask)
    yield "matrix", np.matrix(values if values.ndim < 3 else values[0])
    yield "sparse", Sparse()
    yield "rows with masks", [np.ma.array(row, mask=True) for row in np.atleast_1d(values)]


def public(name: str, module: Any) -> Iterator[tuple[str, Any]]:
    """All functions, classes and public methods of a module, by name."""
    for key in getattr(module, "__all__", None) or [key for key in vars(module) if not key.startswith("_")]:
        thing, label = getattr(module, key), f"{name}.{key}"
        home = getattr(thing, "__module__", "")
        if not hasattr(module, "__all__") and home != module.__name__ and not home.startswith("fastnn.operations."):
            continue  # its imports
        if label in EXEMPT or not callable(thing) or not getattr(thing, "__module__", "").startswith("fastnn"):
            continue
        if not inspect.isclass(thing):
            yield label, thing
        elif not issubclass(thing, BaseException):
            yield label, thing
            if thing.__module__.startswith(DESCRIPTIONS):
                continue
            methods = inspect.getmembers(thing, inspect.isfunction)
            yield from ((f"{label}.{method}", function) for method, function in methods if method[0] != "_")


WALK = {label: thing for name, module in NAMESPACES.items() for label, thing in public(name, module)}


def arguments_of(thing: Any) -> list[str]:
    try:
        parameters = inspect.signature(thing).parameters.values()
    except ValueError:
        return []
    return [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and p.name != "self"]


# Arguments that do take anything, and why.
ANYTHING: dict[tuple[str, str], str] = {}


@pytest.mark.parametrize("label", WALK)
def test_every_argument_refuses_foreign_arrays(label: str) -> None:
    thing = WALK[label]
    if label.startswith("plots."):
        pytest.importorskip("matplotlib")
    owner, _, method = label.rpartition(".")
    names = arguments_of(thing)
    if not names:
        return
    example = EXAMPLES.get(label, dict)
    if owner in WALK:
        assert owner in INSTANCES, f"{owner}: say in INSTANCES how one is made"
    accepted = []
    for name in names:
        if (label, name) in ANYTHING:
            continue
        for kind, value in foreign(example().get(name)):
            function = getattr(INSTANCES[owner](), method) if owner in WALK else thing
            given = {**example(), name: value}
            missing = set(required(function)) - set(given)
            assert not missing, f"{label}: say in EXAMPLES what is right for {missing}"
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", PendingDeprecationWarning)
                try:
                    function(**given)
                except (TypeError, ValueError) as error:
                    if not re.match(r"([\w., ]+(\[.*?\])*: )?expected ", str(error)):
                        accepted.append(f"{name} as {kind}: a raw {type(error).__name__}: {error}")
                else:
                    accepted.append(f"{name} as {kind}: accepted")
    assert not accepted, "\n".join(accepted)


def required(function: Any) -> Iterator[str]:
    for parameter in inspect.signature(function).parameters.values():
        if parameter.default is parameter.empty and parameter.kind in (0, 1, 3) and parameter.name != "self":
            yield parameter.name


def test_examples_are_right() -> None:
    """Otherwise a call could be refused for another reason."""
    assert set(EXAMPLES) <= set(WALK) and set(INSTANCES) <= set(WALK)
    for label, example in EXAMPLES.items():
        owner, _, method = label.rpartition(".")
        results = ("plots.history", "plots.gradient_check", "plots.grid_search", "plots.learning_rate_search")
        if label in results or method == "step":
            continue
        if label.startswith("plots"):
            pytest.importorskip("matplotlib").use("Agg")
        function = getattr(INSTANCES[owner](), method) if owner in WALK else WALK[label]
        function(**example())
    if "matplotlib" in __import__("sys").modules:
        __import__("matplotlib.pyplot").pyplot.close("all")
