"""Networks from scikit-learn and Keras, whose own predictions are the reference."""

import os
from typing import Any

import numpy as np
import pytest

import fastnn
from tests.exchanged import INPUTS, assert_predicts, rows

neural_network = pytest.importorskip("sklearn.neural_network")


def fitted(kind: str, targets: Any, x: Any, **options: Any) -> Any:
    estimator = getattr(neural_network, kind)(hidden_layer_sizes=(7, 5), max_iter=5, random_state=0, **options)
    with pytest.warns(UserWarning, match="Maximum iterations"):
        return estimator.fit(x, targets)


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_scikit_learn(activation: str, dtype: Any) -> None:
    x = rows(dtype)
    classes = np.arange(len(x)) % 3
    estimator = fitted("MLPClassifier", classes, x, activation=activation)
    network = fastnn.Network.from_sklearn(estimator)
    np.testing.assert_allclose(fastnn.softmax(network.predict(x)), estimator.predict_proba(x), rtol=2e-5, atol=1e-6)
    assert network.loss_name == "softmax_cross_entropy"
    assert network.accuracy(x, classes) == estimator.score(x, classes)

    estimator = fitted("MLPClassifier", classes > 0, x, activation=activation)
    network = fastnn.Network.from_sklearn(estimator)
    probabilities = fastnn.activation_forward("sigmoid", network.predict(x))
    np.testing.assert_allclose(probabilities[:, 0], estimator.predict_proba(x)[:, 1], rtol=2e-5, atol=1e-6)
    assert network.loss_name == "sigmoid_cross_entropy"

    estimator = fitted("MLPRegressor", x[:, :2] ** 2, x, activation=activation)
    assert_predicts(fastnn.Network.from_sklearn(estimator), x, estimator.predict(x))


def test_scikit_learn_refused() -> None:
    with pytest.raises(ValueError, match=r"^estimator: .* call estimator.fit\(X, y\) first$"):
        fastnn.Network.from_sklearn(neural_network.MLPClassifier())
    for wrong in (3, None, neural_network.BernoulliRBM()):
        with pytest.raises(TypeError, match=r"^estimator: expected .*pass a fitted one$"):
            fastnn.Network.from_sklearn(wrong)


OLD_PROTOCOL = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of Keras' variables


@pytest.fixture(scope="module")
def keras() -> Any:
    pytest.importorskip("jax")
    os.environ["KERAS_BACKEND"] = "jax"
    return pytest.importorskip("keras")


@OLD_PROTOCOL
def test_keras(keras: Any) -> None:
    layers, x = keras.layers, rows("float32")
    for activation in (
        "relu",
        "elu",
        "gelu",
        "leaky_relu",
        "sigmoid",
        "silu",
        "softplus",
        "swish",
        "tanh",
        "linear",
        None,
    ):
        model = keras.Sequential([
            layers.Input((INPUTS,)), layers.Dense(8, activation=activation), layers.BatchNormalization(scale=False),
            layers.Dropout(0.3), layers.Dense(4, use_bias=False), layers.LeakyReLU(negative_slope=0.1),
            layers.Dense(4), layers.ELU(alpha=0.5), layers.PReLU(), layers.Dense(3, activation="softmax"),
        ])  # fmt: skip
        for variable in model.weights:
            variable.assign(np.abs(np.random.default_rng(1).standard_normal(variable.shape)))
        network = fastnn.Network.from_keras(model)
        assert_predicts(network, x, model.predict(x, verbose=0))
        assert network.loss_name == "cross_entropy"


@OLD_PROTOCOL
def test_keras_images_and_chains(keras: Any) -> None:
    layers = keras.layers
    entry = layers.Input((4, 3))
    z = layers.ReLU()(layers.Dense(5)(layers.Flatten()(entry)))
    model = keras.Model(entry, layers.Activation("tanh")(layers.Dense(1)(z)))
    x = np.random.default_rng(0).standard_normal((5, 4, 3)).astype(np.float32)
    network = fastnn.Network.from_keras(model, loss="huber")
    assert_predicts(network, x, model.predict(x, verbose=0))
    assert network.loss_name == "huber"


@OLD_PROTOCOL
def test_keras_refused(keras: Any) -> None:
    layers = keras.layers
    entry = layers.Input((4,))
    branch = keras.Model(entry, layers.Add()([layers.Dense(4)(entry), entry]))
    shape, relu = layers.Input((4,)), layers.ReLU(max_value=6.0)
    cases = {
        "call model.build": keras.Sequential([layers.Dense(3)]),
        "does not follow|got Add": branch,
        "got ReLU": keras.Sequential([shape, layers.Dense(3), relu]),
        "got the activation selu": keras.Sequential([shape, layers.Dense(3, activation="selu")]),
        "a built Keras model": 3,
    }
    for sentence, model in cases.items():
        with pytest.raises(ValueError, match=sentence):
            fastnn.Network.from_keras(model)
