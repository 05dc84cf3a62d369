"""fastnn: neural-network kernels on the CPU, at the speed the hardware allows and as simple as NumPy."""

import importlib
import pkgutil
from typing import TYPE_CHECKING, Any

from fastnn.version import __version__

if TYPE_CHECKING:
    from fastnn.public import *

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
MODULES = ("datasets", "information", "losses", "models", "plots", "reference", "schedules")


def __getattr__(name: str) -> Any:
    """A public name or a submodule, when it is first asked for: importing the compiler takes 0.3 s.

    Not every program needs the compiler.
    """
    if name in __all__ and name not in MODULES:
        public = importlib.import_module(f"{__name__}.public")
        globals().update({each: getattr(public, each) for each in __all__})
        return globals()[name]
    if name in MODULES or name in _submodules():  # of which some need no compiler
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Public names alone, also those that nobody has asked for yet."""
    return sorted(__all__)


def _submodules() -> set[str]:
    return {module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")}
