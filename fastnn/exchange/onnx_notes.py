"""The loss, the regularization and the notes that Network.to_onnx has noted in a model's metadata."""

import json
import warnings
from typing import Any

from fastnn.engine.regularization import Regularization
from fastnn.exchange.onnx_writing import LOSS, LOSS_OPTIONS, NOTES, REGULARIZATION
from fastnn.gate import notes
from fastnn.losses import LOSSES


def noted(metadata: dict[str, str], loss: Any) -> dict[str, Any]:
    """The loss, which is the one given unless that is None, and the regularization, as arguments of Network.

    What cannot be read is left out, with a warning: another program may have changed it.
    """
    options: dict[str, Any] = {"loss": loss}
    if loss is None and LOSS in metadata:
        options["loss"] = _made(LOSSES.get(metadata[LOSS]), LOSS, metadata[LOSS], metadata.get(LOSS_OPTIONS, "{}"))
    if REGULARIZATION in metadata:
        options["regularization"] = _made(Regularization, REGULARIZATION, "", metadata[REGULARIZATION])
    return options


def notes_in(metadata: dict[str, str]) -> dict[str, Any]:
    """The network's notes; none, with a warning, where another program has changed them into no JSON."""
    try:
        return notes.of_text(metadata.get(NOTES, "{}"))
    except ValueError as error:
        warnings.warn(f"model: {error}; the network gets none", stacklevel=4)
        return {}


def _made(kind: Any, key: str, name: str, text: str) -> Any:
    """An object of this kind with the options of a JSON text; None, with a warning, if that cannot be."""
    try:
        return kind(**json.loads(text))
    except (TypeError, ValueError, RecursionError):
        remedy = "make it first by fastnn.loss if it is your own, or pass loss=" if key == LOSS else "set it anew"
        came = f"model: expected {key} to be known here, got {name} {text}; the usual one is taken: {remedy}"
        warnings.warn(came, stacklevel=4)
        return None
