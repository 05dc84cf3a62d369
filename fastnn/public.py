"""All public names of fastnn. With them comes the compiler, so `fastnn`"""

from fastnn import datasets, information, losses, models, plots, reference, schedules
from fastnn.engine.regularization import Regularization
from fastnn.engine.threads import get_num_threads, set_num_threads
from fastnn.environment import show_config, warmup
from fastnn.errors import DatasetError, ModelFileError, PrecisionWarning, TrainingDivergedError
from fastnn.functional.layers import (
    activation_backward,
    activation_forward,
    affine_backward,
    affine_forward,
    softmax,
)
from fastnn.functional.losses import (
    absolute_error,
    cross_entropy,
    exponential,
    hinge,
    huber,
    kl_divergence,
    log_loss,
    mean_squared_error,
    sigmoid_cross_entropy,
    softmax_cross_entropy,
    zero_one_loss,
)
from fastnn.functional.surfaces import line_fit_losses
from fastnn.functional.updates import (
    adagrad_update,
    adam_update,
    momentum_update,
    nesterov_update,
    rmsprop_update,
    sgd_update,
)
from fastnn.gradients.check import check_gradients
from fastnn.gradients.descent import gradient_descent
from fastnn.gradients.numerical import directional_derivative, numerical_diff, numerical_gradient
from fastnn.layers import (
    Affine,
    BatchNorm,
    Dropout,
    Elu,
    Gelu,
    Identity,
    LeakyRelu,
    PRelu,
    Relu,
    Sigmoid,
    Silu,
    Softmax,
    Softplus,
    Step,
    Tanh,
)
from fastnn.models.ensembles import Bagging, random_restarts, simulated_annealing
from fastnn.network.early_stopping import EarlyStopping
from fastnn.network.history import History
from fastnn.network.network import Network
from fastnn.network.persistence import load
from fastnn.optimizers import SGD, AdaGrad, Adam, AdamW, Momentum, Nesterov, RMSProp
from fastnn.own_operations import activation, layer, loss, optimizer
from fastnn.validation.cross_validation import cross_validate
from fastnn.validation.metrics import classification_scores, confusion_matrix
from fastnn.version import __version__

__all__ = [
    "SGD",
    "AdaGrad",
    "Adam",
    "AdamW",
    "Affine",
    "Bagging",
    "BatchNorm",
    "DatasetError",
    "Dropout",
    "EarlyStopping",
    "Elu",
    "Gelu",
    "History",
    "Identity",
    "LeakyRelu",
    "ModelFileError",
    "Momentum",
    "Nesterov",
    "Network",
    "PRelu",
    "PrecisionWarning",
    "RMSProp",
    "Regularization",
    "Relu",
    "Sigmoid",
    "Silu",
    "Softmax",
    "Softplus",
    "Step",
    "Tanh",
    "TrainingDivergedError",
    "__version__",
    "absolute_error",
    "activation",
    "activation_backward",
    "activation_forward",
    "adagrad_update",
    "adam_update",
    "affine_backward",
    "affine_forward",
    "check_gradients",
    "classification_scores",
    "confusion_matrix",
    "cross_entropy",
    "cross_validate",
    "datasets",
    "directional_derivative",
    "exponential",
    "get_num_threads",
    "gradient_descent",
    "hinge",
    "huber",
    "information",
    "kl_divergence",
    "layer",
    "line_fit_losses",
    "load",
    "log_loss",
    "loss",
    "losses",
    "mean_squared_error",
    "models",
    "momentum_update",
    "nesterov_update",
    "numerical_diff",
    "numerical_gradient",
    "optimizer",
    "plots",
    "random_restarts",
    "reference",
    "rmsprop_update",
    "schedules",
    "set_num_threads",
    "sgd_update",
    "show_config",
    "sigmoid_cross_entropy",
    "simulated_annealing",
    "softmax",
    "softmax_cross_entropy",
    "warmup",
    "zero_one_loss",
]
