"""Networks from scikit-learn and Keras, whose own predictions are the reference."""

import os
from typing import Any

import numpy as np
import pytest

import fastnn
from tests.exchanged import INPUTS, assert_predicts, rows


@pytest.fixture(scope="module")
def neural_network() -> Any:
    return pytest.importorskip("sklearn.neural_network")


def fitted(kind: Any, targets: Any, x: Any, **options: Any) -> Any:
    estimator = kind(hidden_layer_sizes=(7, 5), max_iter=5, random_state=0, **options)
    with pytest.warns(UserWarning, match="Maximum iterations"):
        return estimator.fit(x, targets)


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_scikit_learn(neural_network: Any, activation: str, dtype: Any) -> None:
    x = rows(dtype)
    classes = np.arange(len(x)) % 3
    estimator = fitted(neural_network.MLPClassifier, classes, x, activation=activation)
    network = fastnn.Network.from_sklearn(estimator)
    np.testing.assert_allclose(fastnn.softmax(network.predict(x)), estimator.predict_proba(x), rtol=2e-5, atol=1e-6)
    assert network.loss_name == "softmax_cross_entropy"
    assert network.accuracy(x, classes) == estimator.score(x, classes)

    estimator = fitted(neural_network.MLPClassifier, classes > 0, x, activation=activation)
    network = fastnn.Network.from_sklearn(estimator)
    probabilities = fastnn.activation_forward("sigmoid", network.predict(x))
    np.testing.assert_allclose(probabilities[:, 0], estimator.predict_proba(x)[:, 1], rtol=2e-5, atol=1e-6)
    assert network.loss_name == "sigmoid_cross_entropy"

    estimator = fitted(neural_network.MLPRegressor, x[:, :2] ** 2, x, activation=activation)
    assert_predicts(fastnn.Network.from_sklearn(estimator), x, estimator.predict(x))


def test_scikit_learn_of_several_labels_and_of_one_number(neural_network: Any) -> None:
    x = rows("float64")
    estimator = fitted(neural_network.MLPClassifier, (x[:, :3] > 0).astype(int), x)
    probabilities = fastnn.activation_forward("sigmoid", fastnn.Network.from_sklearn(estimator).predict(x))
    np.testing.assert_allclose(probabilities, estimator.predict_proba(x), rtol=1e-9)
    estimator = fitted(neural_network.MLPRegressor, x[:, 0], x)
    assert_predicts(fastnn.Network.from_sklearn(estimator), x, estimator.predict(x)[:, None])


def test_scikit_learn_refused(neural_network: Any) -> None:
    with pytest.raises(ValueError, match=r"^estimator: .* call estimator.fit\(X, y\) first$"):
        fastnn.Network.from_sklearn(neural_network.MLPClassifier())

    class Alike:
        hidden_layer_sizes, activation, coefs_ = (3,), "relu", (np.ones((2, 3)),)

    for wrong in (3, None, neural_network.BernoulliRBM(), neural_network.MLPRegressor, Alike()):
        with pytest.raises(TypeError, match=r"^estimator: expected .*pass a fitted one$"):
            fastnn.Network.from_sklearn(wrong)


def test_scikit_learns_estimators_that_predict_otherwise_are_refused(neural_network: Any) -> None:
    class Doubled(neural_network.MLPRegressor):  # type: ignore[misc]
        def predict(self, X: Any) -> Any:
            return 2.0 * super().predict(X)

    x = rows("float64")
    with pytest.raises(ValueError, match=r"^estimator: expected something that computes what its layers tell, got"):
        fastnn.Network.from_sklearn(fitted(Doubled, x[:, 0], x))
    estimator = fitted(neural_network.MLPRegressor, x[:, 0], x)
    estimator.activation = "softsign"
    with pytest.raises(ValueError, match="got the activation 'softsign'"):
        fastnn.Network.from_sklearn(estimator)
    estimator = fitted(neural_network.MLPRegressor, x[:, 0], x)
    estimator.out_activation_, estimator.loss = "exp", "poisson"  # as scikit-learn 1.7 fits it
    with pytest.raises(ValueError, match="'exp' of the loss 'poisson'; fit one with loss='squared_error'"):
        fastnn.Network.from_sklearn(estimator)


@pytest.fixture(scope="module")
def keras() -> Any:
    pytest.importorskip("jax")
    os.environ["KERAS_BACKEND"] = "jax"
    return pytest.importorskip("keras")


def randomized(model: Any) -> Any:
    """The model with other weights, all positive as variances are."""
    rng = np.random.default_rng(1)
    for variable in model.weights:
        if variable.dtype == "float32":
            variable.assign(0.2 + rng.random(variable.shape))
    return model


def test_keras_layers_of_images_are_refused(keras: Any) -> None:
    layers = keras.layers
    for first in (layers.Conv2D(3, 2), layers.MaxPooling2D(2), layers.AveragePooling2D(2)):
        model = keras.Sequential([layers.Input((6, 6, 1)), first, layers.Flatten(), layers.Dense(2)])
        with pytest.raises(ValueError, match=rf"^model: .* got {type(first).__name__}.*; make the Network yourself"):
            fastnn.Network.from_keras(model)


@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("center", [True, False])
def test_keras(keras: Any, scale: bool, center: bool) -> None:
    layers, x = keras.layers, rows("float32")
    model = randomized(keras.Sequential([
        layers.Input((INPUTS,)), layers.Dense(8, activation="tanh"),
        layers.BatchNormalization(momentum=0.75, epsilon=0.01, scale=scale, center=center),
        layers.Dropout(0.3), layers.Dense(4, use_bias=False), layers.LeakyReLU(negative_slope=0.1),
        layers.Dense(4), layers.ELU(alpha=0.5), layers.PReLU(), layers.ReLU(negative_slope=0.2),
        layers.Dense(3, activation="softmax"),
    ]))  # fmt: skip
    network = fastnn.Network.from_keras(model)
    assert_predicts(network, x, model.predict(x, verbose=0))
    assert network.loss_name == "cross_entropy"
    expected = [
        fastnn.Affine(INPUTS, 8), fastnn.Tanh(), fastnn.BatchNorm(0.75, 0.01), fastnn.Dropout(0.3), fastnn.Affine(8, 4),
        fastnn.LeakyRelu(0.1), fastnn.Affine(4, 4), fastnn.Elu(0.5), fastnn.PRelu(), fastnn.LeakyRelu(0.2),
        fastnn.Affine(4, 3), fastnn.Softmax(),
    ]  # fmt: skip
    assert list(map(str, network.layers)) == list(map(str, expected))
    norm = model.layers[1]
    given = {"mean1": norm.moving_mean, "variance1": norm.moving_variance}
    given |= {"gamma1": norm.gamma} if scale else {}
    given |= {"beta1": norm.beta} if center else {}
    for name, variable in given.items():
        np.testing.assert_array_equal({**network.params, **network.statistics}[name], variable.value)


def test_keras_activations(keras: Any) -> None:
    x = rows("float32")
    names = ["relu", "elu", "gelu", "leaky_relu", "sigmoid", "silu", "softplus", "swish", "tanh", "linear", None]
    for activation in (*names, keras.activations.gelu, keras.layers.LeakyReLU(negative_slope=0.4)):
        dense = keras.layers.Dense(3, activation=activation)
        model = randomized(keras.Sequential([keras.layers.Input((INPUTS,)), dense]))
        assert_predicts(fastnn.Network.from_keras(model), x, np.asarray(model(x)))


def test_keras_images_and_chains(keras: Any) -> None:
    layers = keras.layers
    entry = layers.Input((4, 3))
    z = layers.ReLU()(layers.Dense(5)(layers.Flatten()(entry)))
    model = keras.Model(entry, layers.Activation("tanh")(layers.Dense(1)(z)))
    x = np.random.default_rng(0).standard_normal((5, 4, 3)).astype(np.float32)
    network = fastnn.Network.from_keras(model, loss="huber")
    assert_predicts(network, x, model.predict(x, verbose=0))
    assert network.loss_name == "huber"


def test_keras_names_of_inputs_and_outputs(keras: Any) -> None:
    x, entry = rows("float32"), keras.layers.Input((INPUTS,), name="entry")
    y = keras.layers.Dense(3)(entry)
    for inputs, outputs in (({"entry": entry}, y), ([entry], [y]), (entry, {"out": y})):
        model = keras.Model(inputs, outputs)
        expected = x @ np.asarray(model.layers[-1].kernel.value) + np.asarray(model.layers[-1].bias.value)
        assert_predicts(fastnn.Network.from_keras(model), x, expected)


def test_keras_layers_with_low_rank_changes(keras: Any) -> None:
    model, x = keras.Sequential([keras.layers.Input((INPUTS,)), keras.layers.Dense(4)]), rows("float32")
    model.layers[0].enable_lora(2)
    randomized(model)
    assert_predicts(fastnn.Network.from_keras(model), x, model.predict(x, verbose=0))


def relu(x: Any) -> Any:
    return 5.0 * x


def own_classes(keras: Any) -> tuple[Any, Any, Any]:
    """A layer and two models that are called like Keras' own and compute something else."""

    class Dense(keras.layers.Dense):  # type: ignore[misc]
        def call(self, x: Any, training: Any = None) -> Any:
            return 2.0 * super().call(x)

    class Sequential(keras.Sequential):  # type: ignore[misc]
        def call(self, x: Any, training: Any = None, mask: Any = None) -> Any:
            return 2.0 * super().call(x)

    class Functional(keras.Model):  # type: ignore[misc]
        def call(self, x: Any, training: Any = None, mask: Any = None) -> Any:
            return 2.0 * super().call(x)

    return Dense, Sequential, Functional


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # while Keras quantizes
def test_keras_refused(keras: Any) -> None:
    layers, (Dense, Sequential, Functional) = keras.layers, own_classes(keras)
    entry, image = layers.Input((4,)), layers.Input((2, 3))
    shared, dense = layers.Dense(4), layers.Dense(4)(entry)
    replaced, quantized = (keras.Sequential([layers.Input((4,)), layers.Dense(3)]) for _ in range(2))
    replaced.layers[0].call = lambda x, training=None: x[:, :3]
    quantized.layers[0].quantize("int8")
    after = {
        r"got ReLU {'max_value': 6": layers.ReLU(max_value=6.0),
        "got ReLU .*'threshold': 0.5": layers.ReLU(threshold=0.5),
        "got the activation selu": layers.Dense(3, activation="selu"),
        "got the activation relu of your own": layers.Dense(3, activation=relu),
        "got the activation ReLU": layers.Dense(3, activation=layers.ReLU(max_value=1.0)),
        "got Dense, a class of the module tests": Dense(3),
        "got Softmax {'axis': 0": layers.Softmax(axis=0),
        "got Dropout .*noise_shape": layers.Dropout(0.3, noise_shape=(None, 1)),
        "computes in float16; make the model with dtype": layers.Dense(3, dtype="mixed_float16"),
    }
    cases = {
        "call model.build": keras.Sequential([layers.Dense(3)]),
        "got add, which does not follow": keras.Model(entry, layers.Add()([dense, entry])),
        "as the last layer, whose output is not the model's; make one layer": keras.Model(
            entry, shared(layers.ReLU()(shared(entry)))
        ),
        "got dense.* as the last layer": keras.Model(entry, keras.ops.relu(dense)),
        "1 inputs and 2 outputs; pass a model of one": keras.Model(entry, [dense, layers.ReLU()(dense)]),
        "BatchNormalization of inputs": keras.Model(image, layers.BatchNormalization()(image)),
        "got Flatten {'data_format': 'channels_first'}": keras.Model(
            image, layers.Dense(3)(layers.Flatten(data_format="channels_first")(image))
        ),
        "got Sequential with a call of its own": Sequential([layers.Input((4,)), layers.Dense(3)]),
        "got Functional with a call of its own": Functional(entry, dense),
        "computes what its layers tell": replaced,
        "computes in int8": quantized,
        r"inputs of the shape \(None, 4\); make it with sizes": keras.Sequential(
            [layers.Input((None, 4)), layers.Dense(3)]
        ),
        "a built Keras model": 3,
        **{one: keras.Sequential([layers.Input((4,)), layers.Dense(3), last]) for one, last in after.items()},
    }
    for sentence, model in cases.items():
        with pytest.raises(ValueError, match=sentence):
            fastnn.Network.from_keras(model)
