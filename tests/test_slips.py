"""Arguments named as in scikit-learn, PyTorch and Keras raise errors that say what to pass here."""

import copy
import inspect
import pickle
import re
from collections.abc import Callable
from typing import Any

import pytest

import fastnn
from fastnn import SGD, Adam, AdamW, Network, datasets
from fastnn.gate import slips
from fastnn.layers import LAYERS
from tests.test_every_gate import EXAMPLES, INSTANCES, WALK, arguments_of
from tests.test_training import T, X, small_network

CONV2D = LAYERS["Conv2d"]
ARGUMENTS: list[tuple[Callable[..., Any], tuple[Any, ...], str, str]] = [
    (SGD, (), "learning_rate", "pass lr"),
    (Adam, (), "betas", "pass beta1 and beta2"),
    (AdamW, (), "eps", "pass epsilon"),
    (small_network().fit, (X, T), "learning_rate", slips.RATE),
    (small_network().fit, (X, T), "lr", slips.RATE),
    (small_network().fit, (X, T), "verbose", "pass progress=True or progress=False"),
    (small_network().fit, (X, T), "validation_split", slips.PART),
    (small_network().fit, (X, T), "batchsize", "pass batch_size"),
    (small_network().fit, (X, T), "zzz", "leave it out"),
    (small_network().fit, (X, T), "ckpt_path", "pass resume=path, and a fastnn.Checkpoint in callbacks"),
    (fastnn.Checkpoint, (), "filepath", "pass path"),
    (fastnn.Checkpoint, (), "every_n_train_steps", "pass every_batches"),
    (fastnn.Checkpoint, (), "save_freq", "pass every for epochs, every_batches for batches"),
    (Network, ([fastnn.Affine(2, 2)],), "random_state", "pass rng"),
    (datasets.train_test_split, (X, T), "test_size", "pass test_fraction"),
    (datasets.k_fold, (X, T), "n_splits", "pass folds"),
    (datasets.minibatches, (X, T), "batchsize", "pass batch_size"),
    (datasets.one_hot, (T,), "num_classes", "pass classes"),
    (fastnn.Affine, (), "in_features", "pass inputs"),
    (fastnn.BatchNorm, (), "eps", "pass epsilon"),
    (fastnn.Dropout, (), "p", "pass rate"),
    (fastnn.EarlyStopping, (), "restore_best_weights", "leave it out, as the best epoch is put back in any case"),
    (fastnn.LeakyRelu, (), "negative_slope", "pass slope"),
    (fastnn.models.LogisticRegression, (), "C", "pass l2 = 1 / (N C) for N samples"),
    (fastnn.models.LogisticRegression, (), "penalty", "pass l2, the weight of the penalty sum W^2 / 2"),
    (fastnn.models.LogisticRegression, (), "lr", "fit takes it: fit(..., lr=0.1)"),
    (fastnn.models.LinearRegression, (), "lambda_", "pass l2"),
    (fastnn.models.LinearRegression, (), "alpha", "pass l2; the alpha of scikit-learn's Ridge is N l2 for N samples"),
    (fastnn.models.RestrictedBoltzmannMachine, (64, 10), "learning_rate", "fit takes it: fit(..., lr=0.1)"),
    (CONV2D, (1,), "filters", "pass out_channels"),
    (CONV2D, (1,), "filter_num", "pass out_channels"),
    (CONV2D, (1, 6), "filter_size", "pass kernel_size"),
    (CONV2D, (1, 6, 3), "pad", "pass padding"),
    (CONV2D, (1, 6, 3), "input_shape", slips.SHAPE),
    (CONV2D, (1, 6, 3), "activation", slips.NEXT),
    (CONV2D, (1, 6, 3), "requires_grad", "pass trainable=False to freeze"),
    (LAYERS["MaxPool2d"], (), "pool_h", "pass kernel_size, a number or (height, width)"),
    (LAYERS["MaxPool2d"], (), "pool_size", "pass kernel_size"),
    (fastnn.Affine, (3, 4), "activation", slips.NEXT),
    (fastnn.Affine, (3, 4), "requires_grad", "pass trainable=False to freeze"),
    (small_network().change_layers, (0,), "freeze", "pass trainable=False to freeze"),
    (SGD, (0.1,), "momentum", "take fastnn.Momentum(lr=0.1, momentum=0.9)"),
    (SGD, (0.1,), "nesterov", "take fastnn.Nesterov(lr=0.1, momentum=0.9)"),
    (SGD, (0.1,), "weight_decay", "pass regularization=fastnn.Regularization(l2=1e-4) to Network"),
    (Adam, (0.1,), "weight_decay", "take fastnn.AdamW(weight_decay=0.01)"),
    (Adam, (0.1,), "momentum", "pass beta1"),
    (fastnn.models.Perceptron, (), "eta0", "pass lr"),
    (fastnn.check_gradients, (), "eps", "pass h"),
    (fastnn.confusion_matrix, (T,), "y_pred", "pass predicted"),
    (fastnn.gradient_descent, (), "learning_rate", "pass lr"),
    (fastnn.losses.Huber, (), "beta", "pass delta"),
    (fastnn.numerical_gradient, (), "eps", "pass h"),
    (fastnn.schedules.StepDecay, (), "gamma", "pass factor"),
]
# Functions called for each batch, or on arrays of any size, raise Python's own error, with both names.
PLAIN = {
    "fastnn.functional.activations",
    "fastnn.functional.images",
    "fastnn.functional.layers",
    "fastnn.functional.losses",
    "fastnn.functional.updates",
    "fastnn.information",
}
PLAIN |= {"fastnn.models.rules", "fastnn.functional.surfaces", "fastnn.engine.threads", "fastnn.datasets.standardize"}
PLAIN_METHODS = ("predict", "predict_proba", "loss", "accuracy", "gradient", "step", "xor", "numerical_diff")
BASES = ("losses.Loss", "losses.check_loss")  # not for users to call


@pytest.mark.parametrize(("function", "arguments", "name", "remedy"), ARGUMENTS)
def test_a_slip_says_what_to_pass(
    function: Callable[..., Any], arguments: tuple[Any, ...], name: str, remedy: str
) -> None:
    with pytest.raises(
        TypeError, match=f"^{function.__name__}: expected arguments out of .*, got {name}; {re.escape(remedy)}$"
    ):
        function(*arguments, **{name: 1})


def test_signatures_stay_as_they_are() -> None:
    assert list(inspect.signature(SGD).parameters) == ["lr", "clip_value", "clip_norm"]
    assert str(inspect.signature(AdamW)).startswith("(lr: float = 0.001, beta1: float = 0.9")
    assert "options" not in inspect.signature(Network.fit).parameters
    assert Network.fit.__name__ == "fit" and Network.fit.__doc__
    assert pickle.loads(pickle.dumps(datasets.train_test_split)) is datasets.train_test_split
    assert copy.deepcopy(Adam(0.5)) == Adam(lr=0.5)


@pytest.mark.parametrize("label", [label for label in WALK if label not in BASES])
def test_an_unknown_argument_of_all_that_is_public(label: str) -> None:
    """The error names what was called, the argument, and one like it."""
    if label.startswith("plots."):
        pytest.importorskip("matplotlib")
    thing, (owner, _, method) = WALK[label], label.rpartition(".")
    function = getattr(INSTANCES[owner](), method) if owner in WALK else thing
    plain = thing.__module__ in PLAIN or method in PLAIN_METHODS
    for known in arguments_of(thing):
        name = f"{known}_"
        with pytest.raises(TypeError) as found:
            function(**{**EXAMPLES.get(label, dict)(), name: 1})
        sentence = str(found.value)
        assert method in sentence and name in sentence, sentence
        if not plain:
            assert re.match(rf"{method}: expected .*, got '?{name}'?; pass {known}$", sentence), sentence


def test_options_of_another_function() -> None:
    """The error lists the options of `Network.fit`, and the function's own."""
    for option, remedy in [("learning_rate", slips.RATE), ("cv", "pass folds"), ("batchsize", "pass batch_size")]:
        options: Any = {option: 1}
        with pytest.raises(TypeError, match=rf"^cross_validate: .*, got '{option}'; {re.escape(remedy)}$"):
            fastnn.cross_validate(lambda rng: small_network(), X, T, **options)
    with pytest.raises(TypeError, match=r"^fit: .*, got 'verbose'; leave it out$"):
        fastnn.Bagging(lambda rng: small_network()).fit(X, T, verbose=1)
