"""A network from a fitted multi-layer perceptron of scikit-learn, which is not imported."""

from typing import Any

from fastnn.exchange.parts import Part, affine, plain, refuse
from fastnn.layers import Identity, Relu, Sigmoid, Tanh

ACTIVATIONS: dict[Any, Any] = {"identity": Identity, "logistic": Sigmoid, "relu": Relu, "tanh": Tanh}
LOSSES = {"softmax": "softmax_cross_entropy", "logistic": "sigmoid_cross_entropy", "identity": "mean_squared_error"}


def sklearn_parts(estimator: Any) -> tuple[list[Part], str]:
    """The parts of an estimator, and the name of its loss; see Network.from_sklearn."""
    if not all(hasattr(estimator, name) for name in ("hidden_layer_sizes", "activation")):
        raise TypeError(str(refuse("estimator", estimator, "an MLPClassifier or MLPRegressor", "pass a fitted one")))
    if not hasattr(estimator, "coefs_"):
        raise ValueError(f"estimator: expected fitted coefficients, got {estimator}; call estimator.fit(X, y) first")
    if estimator.activation not in ACTIVATIONS:
        raise refuse("estimator", f"the activation {estimator.activation!r}", "scikit-learn")
    parts = []
    for W, b in zip(estimator.coefs_, estimator.intercepts_, strict=True):
        parts += [affine(W, b), plain(ACTIVATIONS[estimator.activation]())]
    return parts[:-1], LOSSES[estimator.out_activation_]
