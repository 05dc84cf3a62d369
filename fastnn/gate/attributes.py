"""Names that a network or the package does not have, and those of a network that stay: what to write instead."""

import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any

from fastnn.gate import checks

PARAMETER = re.compile(r"(W|b|slope|gamma|beta)\d+")
MEASURE = "call loss(x, t) and accuracy(x, t)"
# What to do instead of asking a network for an attribute of other libraries' models.
ATTRIBUTES = {
    "call": "call predict(x)",
    "check_gradients": "call fastnn.check_gradients(network, x, t)",
    "compile": "pass loss= to Network, and optimizer= and metrics= to fit",
    "copy": "call copy.deepcopy(network)",
    "eval": "predict needs no other mode",
    "evaluate": MEASURE,
    "forward": "call predict(x)",
    **dict.fromkeys(("freeze", "requires_grad_", "trainable"), "call change_layers(0, trainable=False)"),
    "unfreeze": "call change_layers(trainable=True)",
    "load": "call fastnn.load(path)",
    "load_state_dict": "assign to params['W1'], ..., or call params.update",
    "parameters": "did you mean 'params'?",
    "partial_fit": "call fit again, which goes on, or step for one batch",
    "score": MEASURE,
    "state_dict": "take params, or call save(path)",
    "train": "call fit, or step for one batch",
    "train_on_batch": "call step(x, t, optimizer)",
}
ASSIGNABLE = ("history", "n_threads", "notes")
# What to do instead of assigning to another attribute.
ASSIGNED = {
    "engine": "make another network",
    "optimizer": "pass it to fit or step",
    "params": "assign to params['W1'], ..., or call params.update",
    "statistics": "assign to statistics['mean1'], ..., or call statistics.update",
    **dict.fromkeys(
        ("dtype", "input_scale", "input_shape", "layers", "loss", "regularization"),
        "it is chosen when a network is made: pass {name}= to Network",
    ),
    **dict.fromkeys(
        ("inputs", "loss_name", "output_shape", "outputs"), "it follows from the layers and the loss: make a network"
    ),
}
# Names of courses and of their code for what has another name or form here: what to write.
OF_COURSES = {
    **dict.fromkeys(("cross_entropy_error", "cross_entropy_loss"), "cross_entropy(y, t, offset=1e-7, gradient=False)"),
    **dict.fromkeys(("eta", "learning_rate", "lr"), "SGD(lr=0.1)"),
    **dict.fromkeys(("function_1", "function_2"), "numerical_gradient(lambda x: (x**2).sum(), np.array([3.0, 4.0]))"),
    **dict.fromkeys(("init_network", "simpleNet", "SimpleNet"), "Network([fastnn.Affine(2, 3)])"),
    **dict.fromkeys(
        ("MultiLayerNet", "TwoLayerNet"), "Network([fastnn.Affine(784, 50), fastnn.Sigmoid(), fastnn.Affine(50, 10)])"
    ),
    **dict.fromkeys(("SoftmaxWithLoss", "softmax_loss", "softmax_with_loss"), "softmax_cross_entropy(x, t)"),
    **dict.fromkeys(("CostFunction", "MSE"), "mean_squared_error(y, t, gradient=False)"),
    "SigmoidWithLoss": "sigmoid_cross_entropy(x, t)",
    "Trainer": "Network.fit",
    "gradient_ascent": "gradient_descent(f, x, maximize=True)",
    "gradient_check": "check_gradients(net, x, t)",
    "identity_function": "identity(x)",
    "numerical_gradient_2d": "numerical_gradient(f, x)",
    "relu_grad": 'activation_backward("relu", np.ones_like(x), x, fastnn.relu(x))',
    "sigmoid_grad": 'activation_backward("sigmoid", np.ones_like(x), x, fastnn.sigmoid(x))',
    "step_function": "step(x)",
    "sum_squared_error": 'mean_squared_error(y, t, reduction="sum", gradient=False)',
    "tangent_line": "numerical_diff(f, x)",
}
REGRESSION = "fastnn.datasets.load_auto_mpg() has data for regression"
# What to do instead of asking datasets or models for a name of other libraries.
OF_DATASETS = {
    "load_boston": f"one of its columns is made of the share of Black residents, so libraries dropped it; {REGRESSION}",
    **dict.fromkeys(
        ("fetch_california_housing", "load_california_housing", "load_diabetes", "load_housing", "make_regression"),
        REGRESSION,
    ),
    **dict.fromkeys(("RandomRotation", "rotate"), "it is fastnn.datasets.rotate_images"),
    **dict.fromkeys(("RandomAffine", "RandomZoom", "scale_images", "zoom"), "it is fastnn.datasets.stretch_images"),
    "make_blobs": "it is fastnn.datasets.make_gaussians",
    "make_moons": "fastnn.datasets.make_spiral and make_circles draw classes that no line separates",
}
OF_MODELS = {
    **dict.fromkeys(("Ridge", "RidgeRegression"), "it is fastnn.models.LinearRegression(l2=...)"),
    **dict.fromkeys(("MCP", "McCullochPitts", "MPNeuron", "Neuron"), "it is fastnn.models.McCullochPittsNeuron"),
    **dict.fromkeys(("BernoulliRBM", "BoltzmannMachine", "RBM"), "it is fastnn.models.RestrictedBoltzmannMachine"),
    **dict.fromkeys(("DBN", "DeepBeliefNetwork"), "call fastnn.models.pretrain(net, x), and then net.fit(x, t)"),
    **dict.fromkeys(("AutoEncoder", "Autoencoder"), 'call fastnn.models.pretrain(net, x, method="autoencoder")'),
    **dict.fromkeys(("MTL", "MultiTaskLearning", "MultiTaskNet", "multi_task"), "it is fastnn.models.MultiTask"),
    "SparseAutoencoder": 'it is fastnn.models.MultiTask(encoder, {"x": decoder, "sparse": fastnn.models.SparseKL()})',
    **dict.fromkeys(
        ("ActivityRegularization", "activity_regularizer"),
        "penalties on activations, such as fastnn.models.SparseKL, are heads of fastnn.models.MultiTask",
    ),
    **dict.fromkeys(("Hebb", "hebb", "hebb_rule"), "it is fastnn.models.hebbian_update"),
    **dict.fromkeys(("DeltaRule", "delta_rule", "LMS"), "it is fastnn.models.delta_update"),
    **dict.fromkeys(("CNN", "MLP", "NeuralNetwork"), "it is fastnn.Network([...])"),
    "Perception": "it is fastnn.models.Perceptron",
    "Hopfield": "it is fastnn.models.HopfieldNetwork",
}
# What to do instead of asking the package for a name of other libraries.
OF_PACKAGE = {
    **OF_DATASETS,
    **OF_MODELS,
    **{name: f"write fastnn.{instead}" for name, instead in OF_COURSES.items()},
    **dict.fromkeys(("Sequential", "Model", "Module"), "it is Network([...])"),
    **dict.fromkeys(("Conv2D", "Convolution", "Convolution2D"), "it is Conv2d, for images (channels, height, width)"),
    **dict.fromkeys(("conv2d", "convolve", "im2col"), "call conv2d_forward(x, W, b), which needs no im2col"),
    "col2im": "call conv2d_backward(dy, x, W), which needs no col2im",
    **dict.fromkeys(("Conv1D", "Conv1d"), "it is Conv2d with kernel_size=(1, n), for images of one row"),
    **dict.fromkeys(
        ("AveragePooling2D", "AvgPool2D", "MeanPool2d"), "it is AvgPool2d(2), for images (channels, height, width)"
    ),
    **dict.fromkeys(
        ("MaxPool2D", "MaxPooling2D", "Pooling"), "it is MaxPool2d(2), for images (channels, height, width)"
    ),
    **dict.fromkeys(
        ("BatchNorm1d", "BatchNorm2D", "BatchNorm2d", "BatchNormalization"), "it is BatchNorm(), also for images"
    ),
    **dict.fromkeys(("Dropout2D", "SpatialDropout2D"), "it is Dropout2d(0.5), for images (channels, height, width)"),
    "save": "call save(path) of a network",
    **dict.fromkeys(("GridSearchCV", "RidgeCV", "validation_curve"), "it is fastnn.grid_search"),
    **dict.fromkeys(("KFold", "cross_val_score"), "it is fastnn.cross_validate, of folds by datasets.k_fold"),
    "load_model": "it is load(path)",
    "train": "call fit of a network",
    "find_lr": "it is find_learning_rate",
    "lr_find": "it is find_learning_rate",
    **dict.fromkeys(("BGD", "MBGD"), "pass batch_size= to fit of a network, None for all samples"),
    "EReLU": "it is Elu",
    "PReLU": "it is PRelu",
}


def known(kind: type[Any]) -> frozenset[str]:
    """The public attributes of a class of networks."""
    return frozenset(name for name in dir(kind) if not name.startswith("_")) | {"history"}


def lacking(kind: type[Any], network: Any, name: str) -> AttributeError:
    """The error for an attribute that a network of the class `kind` does not have."""
    engine = vars(network).get("_engine")
    sentence = _unknown(name, kind, None if engine is None else engine.formula)
    return AttributeError(sentence, name=name, obj=network)


def check_assigned(kind: type[Any], own: type[Any], name: str) -> None:
    """Refuse to assign an attribute that nothing would read, or that stays, to a network of the class `own`."""
    if name.startswith("_") or name in ASSIGNABLE:
        return
    if name in known(kind):
        if inspect.getattr_static(own, name) is inspect.getattr_static(kind, name):
            remedy = ASSIGNED.get(name, "it is a method: define your own in a subclass").format(name=name)
            expected = f"Network: expected one of {', '.join(ASSIGNABLE)} to be assigned"
            raise AttributeError(f"{expected}, got {name}; {remedy}")
    elif own is kind:
        if PARAMETER.fullmatch(name):
            raise AttributeError(f"Network: expected the name of an attribute, got {name}; assign to params[{name!r}]")
        remedy = "pass a learning rate as optimizer=fastnn.SGD(lr=0.1), and keep values of your own in a subclass"
        raise AttributeError(f"{_unknown(name, kind, why=', which nothing would read')}; {remedy}")


def _unknown(name: str, kind: type[Any], loss: Any = None, why: str = "") -> str:
    """The sentence about an attribute that networks do not have; loss: the network's."""
    problem = f"Network: expected the name of an attribute, got {name}{why}"
    if name.startswith("_"):
        return problem
    if name in ("predict_proba", "predict_log_proba") and loss is not None:
        return f"{problem}; {_probabilities(loss)}"
    if PARAMETER.fullmatch(name):
        return f"{problem}; it is params[{name!r}]"
    if name in ATTRIBUTES:
        return f"{problem}; {ATTRIBUTES[name]}"
    return problem + checks.did_you_mean(name, sorted(known(kind)))


def _probabilities(loss: Any) -> str:
    """Where the probabilities are that a network with this loss predicts."""
    if loss.applies == "softmax":
        return "pass the outputs of predict to fastnn.softmax"
    if loss.applies:
        return f"call fastnn.activation_forward({loss.applies!r}, y) for the outputs y of predict"
    if loss.follows:
        return "call predict, whose outputs are probabilities"
    return f"the outputs for the loss {loss.name} are no probabilities"


def of_package(name: str) -> str:
    """The end of a sentence about a name of other libraries; empty for any other."""
    return f"; {OF_PACKAGE[name]}" if name in OF_PACKAGE else ""


def of_module(module: str, name: str, names: Sequence[str], instead: Mapping[str, str]) -> AttributeError:
    """The error for a name that a module does not have; names: those it has, instead: what to write for others."""
    end = f"; {instead[name]}" if name in instead else "" if name.startswith("_") else checks.did_you_mean(name, names)
    return AttributeError(f"module {module!r} has no attribute {name!r}{end}", name=name)
