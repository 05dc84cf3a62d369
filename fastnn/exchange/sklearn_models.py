"""A network from a fitted multi-layer perceptron of scikit-learn, which is not imported."""

import warnings
from collections.abc import Callable
from typing import Any

from fastnn.exchange.parts import Part, affine, imported, plain, refuse
from fastnn.gate.arrays import Array
from fastnn.layers import Identity, Relu, Sigmoid, Tanh

ACTIVATIONS: dict[Any, Any] = {"identity": Identity, "logistic": Sigmoid, "relu": Relu, "tanh": Tanh}
LOSSES = {"softmax": "softmax_cross_entropy", "logistic": "sigmoid_cross_entropy", "identity": "mean_squared_error"}


def sklearn_parts(estimator: Any) -> tuple[list[Part], str]:
    """The parts of an estimator, and the name of its loss; see Network.from_sklearn."""
    if not any(kind.__module__.startswith("sklearn.neural_network.") for kind in type(estimator).__mro__) or not all(
        hasattr(estimator, name) for name in ("hidden_layer_sizes", "activation")
    ):
        raise TypeError(str(refuse("estimator", estimator, "an MLPClassifier or MLPRegressor", "pass a fitted one")))
    if not hasattr(estimator, "coefs_"):
        raise ValueError(f"estimator: expected fitted coefficients, got {estimator}; call estimator.fit(X, y) first")
    if estimator.activation not in ACTIVATIONS:
        raise refuse("estimator", f"the activation {estimator.activation!r}", "scikit-learn")
    if estimator.out_activation_ not in LOSSES:
        came = f"the output activation {estimator.out_activation_!r} of the loss {estimator.loss!r}"
        raise refuse("estimator", came, "scikit-learn", "fit one with loss='squared_error'")
    parts = []
    for W, b in zip(estimator.coefs_, estimator.intercepts_, strict=True):
        parts += [affine(W, b), plain(ACTIVATIONS[estimator.activation]())]
    return parts[:-1], LOSSES[estimator.out_activation_]


def sklearn_outputs(estimator: Any) -> tuple[Callable[[Array], Any], Callable[[Array], Any]]:
    """An estimator as a function of an array, and the function that makes such outputs of a network's."""
    kind = estimator.out_activation_

    def outputs(x: Array) -> Any:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "X does not have valid feature names")
            if kind == "identity":
                return estimator.predict(x).reshape(len(x), -1)
            probabilities = estimator.predict_proba(x)
            is_binary = kind == "logistic" and estimator.n_outputs_ == 1
            return probabilities[:, 1:] if is_binary else probabilities

    def last(y: Array) -> Any:
        if kind == "identity":
            return y
        special = imported("scipy.special", "scikit-learn")
        return special.expit(y) if kind == "logistic" else special.softmax(y, axis=1)

    return outputs, last
