"""Other libraries' names for arguments, answered with the name to pass here.

The check costs 0.2 us a call, so operations on arrays and a network's methods for one batch go without it.
"""

import difflib
import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from fastnn.gate import checks

Callee = TypeVar("Callee", bound=Callable[..., Any])

RATE = "pass optimizer=fastnn.SGD(lr=0.1) or another optimizer"
FITTED = dict.fromkeys(("l2", "visible"), "fit takes it: fit(..., lr=0.1)")
NEXT = "add it as the next layer, such as fastnn.Relu()"
SHAPE = "pass it to Network, as in Network(layers, input_shape=(1, 28, 28))"
PART = "divide the samples by fastnn.datasets.train_test_split, and pass validation_data=(x, t)"
# For each foreign name: our arguments.
_OURS = {
    "T_max": "epochs", "X": "x", "alpha": "lr slope", "beta": "delta", "clipnorm": "clip_norm",
    "clipvalue": "clip_value", "cv": "folds", "decay_rate": "decay", "delta": "offset", "dropout_ratio": "rate",
    "dropout_ration": "rate", "every_n_epochs": "every", "lam": "l2", "every_n_train_steps": "every_batches",
    "filename": "path", "filepath": "path", "train_time_interval": "every_seconds",
    "eps": "epsilon h", "epsilon": "h", "gamma": "factor rate",
    "hidden_size": "outputs inputs", "in_features": "inputs", "input_size": "inputs", "iterations": "step_num epochs",
    "iters_num": "step_num epochs", "max_epoch": "epochs", "mini_batch_size": "batch_size", "output_size": "outputs",
    "t_train": "t", "weight_decay_lambda": "regularization", "weight_init_std": "init", "x_train": "x",
    "kernel_initializer": "init", "filters": "out_channels", "filter_num": "out_channels", "lamda": "l2",
    "num_filters": "out_channels", "filter_size": "kernel_size", "lambda_": "l2", "reg": "l2", "reg_lambda": "l2",
    "max_iter": "epochs step_num", "n_epochs": "epochs", "n_estimators": "n", "n_init": "n",
    "n_iter": "epochs step_num",
    "n_splits": "folds", "negative_slope": "slope", "num_classes": "classes", "num_epochs": "epochs",
    "num_steps": "step_num steps", "out_features": "outputs", "p": "rate", "random_state": "rng", "restarts": "n",
    "rho": "decay", "seed": "rng", "sigma": "deviation", "step": "every", "step_size": "every lr",
    "test_size": "test_fraction", "units": "outputs", "x0": "init_x", "y": "t", "y_pred": "predicted y",
    "y_true": "t",
}  # fmt: skip
# For each foreign name: our argument, and what to do where the callee has it.
SLIPS: dict[str, dict[str, str]] = {
    **{name: {one: f"pass {one}" for one in ours.split()} for name, ours in _OURS.items()},
    "C": {"l2": "pass l2 = 1 / (N C) for N samples"},
    **{key: {"inputs": NEXT, "in_channels": NEXT} for key in ("activation", "act")},
    "alpha": {
        **{one: f"pass {one}" for one in ("lr", "slope")},
        "l2": "pass l2; the alpha of scikit-learn's Ridge is N l2 for N samples",
    },
    **{key: {"in_channels": "leave it out: there is always a bias, which begins at 0"} for key in ("bias", "use_bias")},
    **{
        key: {"in_channels": "fastnn has none of it: filters have no gaps and no groups, and borders are 0"}
        for key in ("dilation", "dilation_rate", "groups", "padding_mode")
    },
    "base_lr": {"lr": "pass lr", "optimizer": RATE},
    "betas": {"beta1": "pass beta1 and beta2"},
    "ckpt_path": {"resume": "pass resume=path, and a fastnn.Checkpoint in callbacks"},
    "eta": {"lr": "pass lr", "optimizer": RATE, "rates": "pass rates"},
    "eta0": {"lr": "pass lr", "optimizer": RATE},
    **{key: {"trainable": "pass trainable=False to freeze"} for key in ("freeze", "frozen", "requires_grad")},
    "input_shape": {"inputs": SHAPE, "in_channels": SHAPE, "kernel_size": SHAPE},
    "learning_rate": {"lr": "pass lr", "optimizer": RATE, "rates": "pass rates", **FITTED},
    "learning_rate_init": {"lr": "pass lr", "optimizer": RATE},
    "lr": {"optimizer": RATE, **FITTED},
    "momentum": {"beta1": "pass beta1", "clip_norm": "take fastnn.Momentum(lr=0.1, momentum=0.9)"},
    "nesterov": {"clip_norm": "take fastnn.Nesterov(lr=0.1, momentum=0.9)"},
    "penalty": {"l2": "pass l2, the weight of the penalty sum W^2 / 2"},
    **{
        key: {"kernel_size": "pass kernel_size, a number or (height, width)"}
        for key in ("filter_h", "filter_w", "pool_h", "pool_w")
    },
    "restore_best_weights": {"patience": "leave it out, as the best epoch is put back in any case"},
    "save_best_only": {"best": "pass best, the name of a file for the best epoch, and every=None"},
    "save_freq": {"every_batches": "pass every for epochs, every_batches for batches"},
    "save_top_k": {"keep": "pass keep for the last files, and best, the name of one for the best epoch"},
    "validation_split": {"validation_data": PART},
    "weight_decay": {
        "beta1": "take fastnn.AdamW(weight_decay=0.01)",
        "clip_norm": "pass regularization=fastnn.Regularization(l2=1e-4) to Network",
        "regularization": "pass regularization=fastnn.Regularization(l2=1e-4)",
        "l2": "pass l2",
    },
    "verbose": {"progress": "pass progress=True or progress=False"},
}


def answers_slips(callee: Callee) -> Callee:
    """Let a function's or a class's TypeError for an unknown argument say which one to pass.

    A function that passes options on to another one checks them itself, by `remedy`.
    """
    if isinstance(callee, type):
        kind: Any = callee
        is_fitted = hasattr(kind, "fit") and hasattr(kind, "transform")
        advice = f"pass it to fit: {callee.__name__}().fit(x)" if is_fitted else "leave it out"
        kind.__init__ = _answering(kind.__init__, callee.__name__, advice)
        return callee
    return _answering(callee, callee.__name__)  # type: ignore[return-value]


def _answering(function: Callable[..., Any], name: str, advice: str = "leave it out") -> Callable[..., Any]:
    parameters = inspect.signature(function).parameters
    takes_all = any(one.kind is one.VAR_KEYWORD for one in parameters.values())
    names = [one for one in parameters if one != "self"]
    unnamed = [one.name for one in parameters.values() if one.kind is one.POSITIONAL_OR_KEYWORD and one.name != "self"]
    takes_any = any(one.kind is one.VAR_POSITIONAL for one in parameters.values())
    is_method = "self" in parameters

    @functools.wraps(function)
    def answering(*arguments: Any, **options: Any) -> Any:
        try:
            return function(*arguments, **options)
        except TypeError:
            unknown = [] if takes_all else [option for option in options if option not in parameters]
            given = arguments[is_method:]
            if not unknown and (takes_any or len(given) <= len(unnamed)):
                raise
        # Outside the handler: Python's own message is of no use.
        if not unknown:
            raise TypeError(f"{name}: {_too_many(given, unnamed, names, advice)}")
        expected = f"expected arguments out of {', '.join(names)}" if names else "expected no arguments"
        raise TypeError(f"{name}: {expected}, got {unknown[0]}; {remedy(unknown[0], names)}")

    return answering


def _too_many(given: tuple[Any, ...], unnamed: Sequence[str], names: Sequence[str], advice: str) -> str:
    """The sentence about more arguments without a name than there are; advice: where there are none."""
    if not names:
        return f"expected no arguments, got {checks.shown(given[0])}; {advice}"
    count = f"{len(unnamed)} argument{'s' * (len(unnamed) != 1)}"
    others = [f"{name}=" for name in names if name not in unnamed]
    remedy = f"pass the others by name: {', '.join(others)}" if others else "leave the others out"
    return f"expected at most {count} without a name, {', '.join(unnamed)}, got {len(given)}; {remedy}"


def remedy(came: str, names: Sequence[str]) -> str:
    """Which of these arguments to pass instead of the one that came."""
    remedies = [remedy for ours, remedy in SLIPS.get(came, {}).items() if ours in names]
    remedies += [f"pass {close}" for close in difflib.get_close_matches(came, names, 1)]
    return remedies[0] if remedies else "leave it out"
