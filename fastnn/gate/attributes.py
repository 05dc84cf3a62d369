"""Names that a network or the package does not have, and those of a network that stay: what to write instead."""

import inspect
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fastnn.gate import checks
from fastnn.gate.foreign_names import ATTRIBUTES, OF_MODEL, OF_PACKAGE

PARAMETER = re.compile(r"(W|b|slope|gamma|beta)\d+")
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


class Answering:
    """A base of classes of models: AttributeError says what to write instead of an attribute of other libraries."""

    if not TYPE_CHECKING:  # or checkers would take any name

        def __getattr__(self, name: str) -> Any:
            if any(name in vars(kind) for kind in type(self).__mro__):
                return object.__getattribute__(self, name)  # raises what its property has raised
            problem = f"{type(self).__name__}: expected the name of an attribute, got {name}"
            raise AttributeError(problem + _of_model(name, _public(self)), name=name, obj=self)


def _of_model(name: str, names: frozenset[str]) -> str:
    """The end of a sentence about an attribute that a model with these names does not have."""
    if name.startswith("_"):
        return ""
    if name in OF_MODEL:
        remedies = [remedy for ours, remedy in OF_MODEL[name].items() if ours in names]
        return f"; {remedies[0]}" if remedies else ""
    return checks.did_you_mean(name, sorted(names))


def known(kind: type[Any]) -> frozenset[str]:
    """The public attributes of a class of networks."""
    return _public(kind) | {"history"}


def _public(thing: Any) -> frozenset[str]:
    return frozenset(name for name in dir(thing) if not name.startswith("_"))


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
