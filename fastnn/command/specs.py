"""Objects written on the command line: NAME:VALUE,KEY=VALUE for any class of fastnn's tables, and lists of layers."""

import argparse
import math
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
    names, given_before, values = [one.name for one in given], set(values), dict(values)
    in_order = iter([one.name for one in given if not one.kw_only and one.name not in values])
    for part in parts:
        key, equals, value = part.partition("=")
        name = key.strip() if equals else next(in_order, "")
        if equals and name in values:
            why = "it follows from the layer before" if name in given_before else "it is given twice"
            raise ValueError(f"{option}: expected {name} at most once, got {part.strip()!r}; {why}: leave it out")
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


def kinds_of_layers() -> dict[str, Any]:
    """The classes of layers by the names that a text of layers calls them."""
    from fastnn.operations import LAYERS, name_of

    return {getattr(kind, "activation", "") or name_of(kind): kind for kind in LAYERS.values()}


def takes_images(text: str | None) -> bool:
    """Whether a text of layers names one of images (channels, height, width)."""
    kinds = kinds_of_layers() if text else {}
    return any(kinds[word].takes_images for word in re.findall(r"\w+", text or "") if word in kinds)


def layers(option: str, text: str, shape: tuple[int, ...]) -> list[Any]:
    """Layers between commas, such as "affine 100, batch_norm, relu, dropout 0.2", for samples of this shape.

    The numbers of inputs and of channels that come in are filled in.
    """
    from fastnn.gate.checks import choice

    kinds = kinds_of_layers()
    found: list[Any] = []
    for part in text.rstrip(", ").split(","):
        name, *parts = part.split() or [""]
        remedy = "" if name else "; write a layer between two commas"
        if ":" in name or "=" in name:
            remedy = "; a layer's values follow after spaces, as in 'affine 100 init=he'"
        kind = kinds[choice(option, name, kinds, remedy)]
        if kind.takes_images and len(shape) != 3:
            came = "rows of numbers; take digits or mnist as --data, and write it before flatten and affine"
            raise ValueError(f"{option}: expected images for {part.strip()!r}, got {came}")
        known = {"inputs": math.prod(shape), "in_channels": shape[0]}
        given = {one.name: known[one.name] for one in fields(kind) if one.name in known}
        _refuse_slips(option, part.strip(), parts, kinds, given)
        found.append(_construct(f"{option}: {name}", kind, parts, given, {}))
        try:
            shape = found[-1].shape_of_output(shape)
        except ValueError as error:
            said = str(error).replace("add Flatten() before it", "write flatten before it")
            raise ValueError(f"{option}: {said}") from error
    return found


def _refuse_slips(option: str, text: str, values: Sequence[str], kinds: Mapping[str, Any], given: Any) -> None:
    """Refuse a missing comma, and a number of inputs or of channels that come in, which the layer before gives."""
    for i, value in enumerate(values):
        if value in kinds:
            name, *before = text.split()
            parts = " ".join([name, *before[:i]]), " ".join(before[i:])
            raise ValueError(f"{option}: expected a comma between layers, got {text!r}; write {', '.join(parts)!r}")
    name = text.split()[0] if values else ""
    if "inputs" in given and len(values) > 1 and all(value.isdigit() for value in values[:2]):
        expected, remedy = f"the number of outputs after {name}", "its inputs are the outputs of the layer before"
        raise ValueError(f"{option}: expected {expected}, got {text!r}; {remedy}: write '{name} {values[1]}'")
    if "in_channels" in given and len(values) > 2 and all(value.isdigit() for value in values[:3]):
        named = dict(zip(("stride", "padding"), values[2:], strict=False))
        instead = " ".join([name, *values[:2], *(f"{key}={value}" for key, value in named.items())])
        other = f"{name} {' '.join(values[1:3])}"
        raise ValueError(
            f"{option}: expected out_channels and kernel_size after {name}, got {text!r}; write {instead!r}, or, as its"
            f" in_channels follow from the layer before, {other!r}"
        )
