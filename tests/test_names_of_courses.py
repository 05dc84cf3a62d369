"""The names that the notes and the book use and fastnn does not: the answer is code, and the code does the same."""

import copy
import math
import operator
import pickle
import re
from typing import Any

import numpy as np
import pytest

import fastnn as package
from fastnn.gate.foreign_names import IMAGES, LOSSES, OF_COURSES
from tests.tolerances import assert_close

fastnn: Any = package  # arguments of other libraries
X, Y = np.array([-1.0, 0.5, 2.0]), np.array([0.1, 0.3, 0.6])
T, BATCH = np.array([0.0, 1.0, 0.0]), np.full((4, 784), 0.5, np.float32)


def square(x: Any) -> Any:
    return np.sum(x**2)


def written(name: str) -> Any:
    """What the answer's code gives."""
    with pytest.raises(AttributeError) as found:
        getattr(fastnn, name)
    start = f"module 'fastnn' has no attribute {name!r}; write "
    assert str(found.value).startswith(start)
    net = fastnn.Network([fastnn.Affine(3, 3)], rng=0, dtype="float64")
    known = {"fastnn": fastnn, "np": np, "x": X, "y": Y, "t": T, "f": square, "net": net}
    if name in ("gradient_check", "softmax_loss", "softmax_with_loss", "SoftmaxWithLoss", "SigmoidWithLoss"):
        known |= {"x": X[None], "t": T[None]}
    if name == "tangent_line":
        known["x"] = 3.0
    if name == "gradient_ascent":
        known["f"] = lambda x: -square(x)
    return eval(str(found.value).removeprefix(start), known)


@pytest.mark.parametrize("name", OF_COURSES)
def test_the_answers_run(name: str) -> None:
    assert written(name) is not None
    assert name not in dir(fastnn)


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("BGD", "pass batch_size= to network.fit; None takes all samples at once"),
        ("DBN", "call fastnn.models.pretrain(net, x), and then net.fit(x, t)"),
        ("EReLU", "it is Elu"),
        ("PReLU", "it is PRelu"),
        ("MultiTaskLearning", "it is fastnn.models.MultiTask"),
        (
            "SparseAutoencoder",
            'it is fastnn.models.MultiTask(encoder, {"x": decoder, "sparse": fastnn.models.SparseKL()})',
        ),
        (
            "activity_regularizer",
            "penalties on activations, such as fastnn.models.SparseKL, are heads of fastnn.models.MultiTask",
        ),
        ("im2col", "call conv2d_forward(x, W, b), which needs no im2col"),
        ("conv2d", "call conv2d_forward(x, W, b), which needs no im2col"),
        ("MLP", "it is fastnn.Network([...])"),
        ("McCullochPitts", "it is fastnn.models.McCullochPittsNeuron"),
        ("Perception", "it is fastnn.models.Perceptron"),
        ("delta_rule", "it is fastnn.models.delta_update"),
        ("hebb", "it is fastnn.models.hebbian_update"),
    ],
)
def test_words_of_the_notes(name: str, answer: str) -> None:
    """In the package; and those of models in `fastnn.models`, too."""
    for module in (fastnn, fastnn.models)[: 1 if name in ("BGD", "EReLU", "PReLU", "conv2d", "im2col") else 2]:
        with pytest.raises(AttributeError) as found:
            getattr(module, name)
        assert str(found.value).endswith(f"'{name}'; {answer}")
    for written in re.findall(r"fastnn\.([A-Za-z_.]+[A-Za-z_])", answer):
        assert operator.attrgetter(written)(fastnn) is not None


@pytest.mark.parametrize(
    ("module", "name", "answer"),
    [
        (
            "losses",
            "MSELoss",
            'pass loss="mean_squared_error" to Network; it sums over the outputs of a sample and halves them',
        ),
        ("losses", "Hubert", "did you mean 'Huber'?"),
        ("optimizers", "RMSprop", "did you mean 'RMSProp'?"),
        ("layers", "Conv2D", "it is Conv2d, for images (channels, height, width)"),
        ("datasets", "load_cifar10", IMAGES),
    ],
)
def test_words_of_other_libraries_in_modules(module: str, name: str, answer: str) -> None:
    with pytest.raises(AttributeError) as found:
        getattr(getattr(fastnn, module), name)
    assert str(found.value) == f"module 'fastnn.{module}' has no attribute {name!r}; {answer}"


def multi_task() -> Any:
    trunk = fastnn.Network([fastnn.Affine(3, 4), fastnn.Relu()], loss="mean_squared_error")
    return fastnn.models.MultiTask(trunk, {"y": fastnn.Network([fastnn.Affine(4, 2)])})


@pytest.mark.parametrize(
    ("made", "name", "answer"),
    [
        (lambda: fastnn.models.LogisticRegression(), "coef_", "it is weights"),
        (lambda: fastnn.models.LinearRegression(), "intercept_", "it is bias"),
        (lambda: fastnn.models.LinearRegression(), "score", "call loss(x, t)"),
        (lambda: fastnn.models.Perceptron(), "weigths", "did you mean 'weights'?"),
        (lambda: fastnn.models.RestrictedBoltzmannMachine(4, 2), "components_", "it is weights"),
        (lambda: fastnn.models.HopfieldNetwork(4), "fit", "call store(patterns)"),
        (multi_task, "save", "save the trunk and each network in heads: trunk.save(path), ..."),
        (multi_task, "coef_", ""),
        (lambda: fastnn.models.LogisticRegression(), "decision_function", "call predict_proba(x)"),
        (lambda: fastnn.models.Perceptron(), "predict_proba", "it has no probabilities; call predict(x)"),
    ],
)
def test_attributes_of_other_libraries_models(made: Any, name: str, answer: str) -> None:
    model = made()
    with pytest.raises(AttributeError) as found:
        getattr(model, name)
    expected = f"{type(model).__name__}: expected the name of an attribute, got {name}" + f"; {answer}" * bool(answer)
    assert str(found.value) == expected
    assert not hasattr(model, "_private")
    again = copy.deepcopy(pickle.loads(pickle.dumps(model)))
    assert type(again) is type(model) and vars(again).keys() == vars(model).keys()


def test_what_is_not_fitted_stays_an_error_of_its_own() -> None:
    with pytest.raises(RuntimeError, match=r"not fitted; call fit\(x, t\) first"):
        fastnn.models.Perceptron().weights  # noqa: B018


def test_the_answers_are_right() -> None:
    e = np.exp(X - X.max())
    logits = math.log(e.sum()) - (X - X.max())
    assert_close(written("cross_entropy_error"), -np.sum(T * np.log(Y + 1e-7)))
    assert_close(written("sum_squared_error"), 0.5 * np.sum((Y - T) ** 2))
    assert_close(written("MSE"), 0.5 * np.sum((Y - T) ** 2))
    for name in ("softmax_with_loss", "softmax_loss", "SoftmaxWithLoss"):
        assert_close(written(name)[0], np.sum(T * logits))
        assert_close(written(name)[1], (e / e.sum() - T)[None])
    s = 1 / (1 + np.exp(-X))
    assert_close(written("SigmoidWithLoss")[0], -np.sum(T * np.log(s) + (1 - T) * np.log(1 - s)))
    assert_close(written("sigmoid_grad"), s * (1 - s))
    assert_close(written("relu_grad"), np.where(X > 0, 1.0, 0.0))
    assert_close(written("step_function"), np.where(X > 0, 1.0, 0.0))
    assert_close(written("identity_function"), X)
    assert_close(written("function_2"), np.array([6.0, 8.0]), atol=1e-6)  # difference quotients
    assert_close(written("numerical_gradient_2d"), 2 * X, atol=1e-6)  # difference quotients
    assert_close(written("tangent_line"), 6.0, atol=1e-6)  # a difference quotient
    assert np.abs(written("gradient_ascent")[0]).max() < np.abs(X).max()
    assert written("gradient_check").passed
    assert written("TwoLayerNet").predict(BATCH).shape == (4, 10)
    assert written("SimpleConvNet").predict(BATCH.reshape(4, 1, 28, 28)).shape == (4, 10)
    assert written("LeNet").predict(BATCH.reshape(4, 1, 28, 28)).shape == (4, 10)
    assert written("simpleNet").predict(BATCH[:, :2]).shape == (4, 3)
    assert written("eta") == fastnn.SGD(lr=0.1) and written("Trainer") is fastnn.Network.fit


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: fastnn.SGD(eta=0.1), "SGD: expected arguments out of lr, clip_value, clip_norm, got eta; pass lr"),
        (lambda: fastnn.SGD(learning_rate=0.1), "got learning_rate; pass lr"),
        (lambda: fastnn.gradient_descent(square, X, eta=0.1), "got eta; pass lr"),
        (lambda: fastnn.gradient_descent(square, X, iters_num=3), "got iters_num; pass step_num"),
        (lambda: fastnn.models.Perceptron(eta=0.1), "got eta; pass lr"),
        (lambda: fastnn.Affine(input_size=3, output_size=2), "got input_size; pass inputs"),
        (lambda: fastnn.Affine(3, hidden_size=2), "got hidden_size; pass outputs"),
        (lambda: fastnn.Affine(3, output_size=2), "got output_size; pass outputs"),
        (lambda: fastnn.Affine(3, 2, weight_init_std=0.01), "got weight_init_std; pass init"),
        (lambda: fastnn.Dropout(dropout_ratio=0.5), "got dropout_ratio; pass rate"),
        (lambda: fastnn.RMSProp(decay_rate=0.9), "got decay_rate; pass decay"),
        (
            lambda: fastnn.Network([fastnn.Affine(3, 2)], weight_decay_lambda=0.1),
            "got weight_decay_lambda; pass regularization",
        ),
        (
            lambda: fastnn.Network([fastnn.Affine(3, 2)]).fit(BATCH, T, eta=0.1),
            "got eta; pass optimizer=fastnn.SGD(lr=0.1) or another optimizer",
        ),
        (
            lambda: fastnn.Network([fastnn.Affine(3, 2)]).fit(BATCH, T, mini_batch_size=100),
            "got mini_batch_size; pass batch_size",
        ),
        (lambda: fastnn.losses.CrossEntropy(delta=1e-7), "got delta; pass offset"),
    ],
)
def test_arguments(call: Any, sentence: str) -> None:
    with pytest.raises(TypeError) as found:
        call()
    assert str(found.value).endswith(sentence)


@pytest.mark.parametrize(("names", "loss", "note"), LOSSES)
def test_losses_of_other_libraries_are_ours(names: Any, loss: str, note: str) -> None:
    assert loss in fastnn.losses.LOSSES
    for name in names:
        with pytest.raises(AttributeError, match=re.escape(f'pass loss="{loss}" to Network{note}')):
            getattr(fastnn, name)


@pytest.mark.parametrize(("name", "place"), [("Huber", "losses.Huber"), ("StepDecay", "schedules.StepDecay")])
def test_names_of_modules_are_told_by_the_package(name: str, place: str) -> None:
    with pytest.raises(AttributeError, match=f"it is {re.escape(place)}$"):
        getattr(fastnn, name)
