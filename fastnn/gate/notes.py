"""A network's notes: plain values that files keep as JSON."""

import json
from collections.abc import Mapping
from typing import Any

from fastnn.gate import checks

LARGEST = 2**24  # bytes of the text
PLAIN = "dictionaries with texts as keys, lists, texts, finite numbers, True, False and None"


def dictionary(given: Any) -> dict[str, Any]:
    """`given` itself; TypeError for anything but a dictionary."""
    if not isinstance(given, dict):
        came = f"{checks.shown(given)}; pass one such as {{'classes': ['no', 'yes']}}"
        raise TypeError(f"notes: expected a dictionary, got {came}")
    return given


def to_text(notes: Mapping[str, Any]) -> bytes:
    """The notes as JSON.

    Raises TypeError for values that come back as others, ValueError for infinite numbers and for too many.
    """
    try:
        text = json.dumps(notes, allow_nan=False).encode()
        same = json.loads(text) == notes
    except (TypeError, ValueError, RecursionError) as error:
        raise type(error)(f"notes: expected {PLAIN}, got others ({error}); write them as texts or lists") from error
    if not same:
        raise TypeError(f"notes: expected {PLAIN}, got others, such as tuples; write them as texts or lists")
    if len(text) > LARGEST:
        raise ValueError(f"notes: expected at most {LARGEST} bytes of JSON, got {len(text)}; keep them elsewhere")
    return text


def _refuse(number: str) -> None:
    raise ValueError(f"{number} is not of JSON")


def of_text(text: bytes | str) -> dict[str, Any]:
    """The notes in a JSON text; ValueError for any other."""
    try:
        notes = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"notes: expected JSON, got text that is not ({error})") from error
    if not isinstance(notes, dict):
        raise ValueError(f"notes: expected a JSON object, got {type(notes).__name__}")
    return notes
