"""Objects written on the command line: NAME:VALUE,KEY=VALUE for any class of fastnn's tables, and lists of layers."""

import argparse
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any

WORDS = {"true": True, "false": False, "none": None}
NESTED = "then"  # the field whose value is an object itself, to the end of the text


def named(names: Sequence[str]) -> Callable[[str], str]:
    """A type for argparse: a text that begins with one of the names."""

    def check(text: str) -> str:
        name = text.partition(":")[0].strip()
        if name not in names:
            from fastnn.gate.checks import did_you_mean

            came = f"invalid choice: {name!r} (choose from {', '.join(names)})"
            raise argparse.ArgumentTypeError(came + did_you_mean(name, names))
        return text

    return check


def made(option: str, kinds: Mapping[str, Any], text: str, nests: bool = False, **given: Any) -> Any:
    """The object that NAME:VALUE,KEY=VALUE describes; given: values of fields that the text leaves out.

    nests: whether a field `then` takes the rest of the text, as another object of these kinds.
    """
    from fastnn.gate.checks import choice

    name, _, rest = text.partition(":")
    kind = kinds[choice(option, name.strip(), kinds)]
    own, then, inner = rest.partition(f"{NESTED}=") if nests else (rest, "", "")
    values = {NESTED: made(option, kinds, inner, nests, **given)} if then else {}
    return _construct(option, kind, parts_of(own), values, given)


def of_kind(option: str, kind: Any, text: str, **given: Any) -> Any:
    """The object of this class that VALUE,KEY=VALUE describes; VALUE is that of its first field."""
    return _construct(option, kind, parts_of(text), {}, given)


def parts_of(text: str) -> list[str]:
    """VALUE and each KEY=VALUE; a comma that no KEY= follows belongs to the value."""
    return [part for part in re.split(r",(?=\s*\w+\s*=)", text.rstrip(", ")) if part.strip()]


def values_in(option: str, kind: Any, parts: Sequence[str], values: Mapping[str, Any]) -> dict[str, Any]:
    """These values of fields, and more from texts, which are VALUE, in the order of fields, or KEY=VALUE."""
    from fastnn.gate.checks import did_you_mean, shown

    given = sorted((one for one in fields(kind) if one.init), key=lambda one: bool(one.kw_only))
    names, values = [one.name for one in given], dict(values)
    in_order = iter([one.name for one in given if not one.kw_only and one.name not in values])
    for part in parts:
        key, equals, value = part.partition("=")
        name = key.strip() if equals else next(in_order, "")
        if name not in names or name in values:
            expected = f"{option}: expected {', '.join(names) or 'no value'} of {kind.__name__}"
            raise ValueError(f"{expected}, got {shown(part.strip())}{did_you_mean(name, names)}")
        values[name] = value_of(value if equals else key)
    return values


def _construct(option: str, kind: Any, parts: Sequence[str], values: dict[str, Any], given: Mapping[str, Any]) -> Any:
    """An object of the class, with its fields from texts, else as given."""
    names = [one.name for one in fields(kind) if one.init]
    values = {name: value for name, value in given.items() if name in names} | values_in(option, kind, parts, values)
    lacking = [one.name for one in fields(kind) if one.init and _is_required(one) and one.name not in values]
    if lacking:
        expected = f"{option}: expected {' and '.join(lacking)} of {kind.__name__}"
        raise ValueError(f"{expected}, got none; write {', '.join(f'{name}=VALUE' for name in lacking)}")
    try:
        return kind(**values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{option}: {str(error).removeprefix('path: ')}") from error


def _is_required(field: Any) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def value_of(text: str) -> Any:
    """A number, True, False, None, or the text itself."""
    text = text.strip()
    if text.lower() in WORDS:
        return WORDS[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def schedules() -> dict[str, Any]:
    """fastnn's schedules by name."""
    import fastnn.schedules

    found = [value for value in vars(fastnn.schedules).values() if isinstance(value, type)]
    own = [value for value in found if value.__module__ == fastnn.schedules.__name__]
    return {re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower(): kind for kind in own}


def schedule(option: str, text: str, epochs: int) -> Any:
    """A schedule; one that counts the epochs of the training takes their number unless the text says another."""
    return made(option, schedules(), text, nests=True, epochs=max(1, epochs))


def layers(option: str, text: str, inputs: int) -> list[Any]:
    """Layers between commas, such as "affine 100, batch_norm, relu, dropout 0.2"; widths of inputs are filled in."""
    from fastnn.gate.checks import choice
    from fastnn.operations import LAYERS, name_of

    of_rows = [kind for kind in LAYERS.values() if not kind.takes_images]
    kinds: dict[str, Any] = {getattr(kind, "activation", "") or name_of(kind): kind for kind in of_rows}
    found: list[Any] = []
    shape: tuple[int, ...] = (inputs,)
    for part in text.split(","):
        name, *parts = part.split() or [""]
        kind = kinds[choice(option, name, kinds)]
        given = {"inputs": shape[0]} if any(one.name == "inputs" for one in fields(kind)) else {}
        _refuse_slips(option, part.strip(), parts, kinds, bool(given))
        layer = _construct(f"{option}: {name}", kind, parts, given, {})
        found.append(layer)
        shape = layer.shape_of_output(shape)
    return found


def _refuse_slips(option: str, text: str, values: Sequence[str], kinds: Mapping[str, Any], finds_inputs: bool) -> None:
    """Refuse a layer without a comma before it, and a layer's inputs where those follow from the layers before."""
    for i, value in enumerate(values):
        if value in kinds:
            name, *before = text.split()
            parts = " ".join([name, *before[:i]]), " ".join(before[i:])
            raise ValueError(f"{option}: expected a comma between layers, got {text!r}; write {', '.join(parts)!r}")
    if finds_inputs and len(values) > 1 and all(value.isdigit() for value in values[:2]):
        name, remedy = text.split()[0], "its inputs are the outputs of the layer before"
        raise ValueError(
            f"{option}: expected the number of outputs after {name}, got {text!r}; {remedy}: write '{name} {values[1]}'"
        )
