"""Writes text about the operations from the registry: run `python -m docs.generate` after adding or changing one.

The text is imports and names for type checkers and the command line, the functions of activations, losses and updates
of arrays, and rows of the table in docs/reference/overview.md, all from `fastnn.operations`. Each section stands
between two comments.
"""

import inspect
import pathlib
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import Any

from fastnn.operations import ACTIVATIONS, LAYERS, LOSSES, OPTIMIZERS, UPDATES
from fastnn.reference import images, losses, units, updates

ROOT = pathlib.Path(__file__).parents[1]
SECTION = re.compile(r"(?<=# <generated: python -m docs.generate>\n)(.*?)(?=# </generated>)", re.DOTALL)
ITEM = " " * 8 + "- "
LIST = re.compile(rf"(?<=The activation:\n\n)(?:{ITEM}.*\n(?: {{10}}.*\n)*)+")
WIDTH = 120
MOST_VECTORS = 4  # of an update: the parameters, their gradients, and the state
EXAMPLES = "Examples\n--------\n"
BY_HAND = ("mean_squared_error", "softmax")  # functions that say or take more than their class


def exported(names: Iterable[tuple[str, str]]) -> str:
    """Write import lines that also export the names, in the order of the formatter."""
    rows = sorted((module, not name.isupper(), name.islower(), name) for module, name in set(names))
    return "".join(f"from {module} import {name} as {name}\n" for module, *_, name in rows) + "\n"


def classes(kinds: Iterable[Any]) -> str:
    """Write the import lines of classes."""
    return exported((kind.__module__, kind.__name__) for kind in kinds)


def filled(text: str, indent: str = "") -> str:
    """A paragraph of a function's docstring, in lines that the docstring's own indent leaves short enough."""
    width = WIDTH - 4
    return textwrap.fill(text, width, initial_indent=indent, subsequent_indent=indent, break_long_words=False)


def section(title: str, entries: Iterable[tuple[str, str]]) -> str:
    """A section of a docstring: names, with their types, and what they mean."""
    rows = [f"{names}\n{filled(meaning, '    ')}" if meaning else names for names, meaning in entries]
    return "\n".join([title, "-" * len(title), *rows])


def function(name: str, arguments: list[str], keywords: list[str], result: str, parts: list[str], body: str) -> str:
    """The source of a function, as the formatter leaves it; parts: the paragraphs and sections of its docstring."""
    given = [*arguments, *(["*", *keywords] if keywords else [])]
    head = f"def {name}({', '.join(given)}) -> {result}:"
    if len(head) > WIDTH:
        inner = ", ".join(given)
        inner = f"    {inner}" if len(inner) + 4 <= WIDTH else "\n".join(f"    {one}," for one in given)
        head = f"def {name}(\n{inner}\n) -> {result}:"
    text = "\n\n".join([filled(f'"""{parts[0]}'), *(part for part in parts[1:] if part)])
    return f"{head}\n" + textwrap.indent(f'{text}\n"""\n{body}', "    ") + "\n"


def described(kind: Any) -> tuple[list[str], dict[str, tuple[str, str]], str]:
    """The paragraphs of a class's docstring, the type and meaning of each parameter, and the example of its function.

    That is the first part of the class's examples; after an empty line the class itself is used.
    """
    text, _, examples = inspect.cleandoc(kind.__doc__).partition(f"\n\n{EXAMPLES}")
    text, _, rest = text.partition("\n\nParameters\n----------\n")
    parameters: dict[str, tuple[str, str]] = {}
    for names, type_, meaning in re.findall(r"^(\w[\w, ]*?)(?: : (.*))?\n((?:    .*\n?)+)", rest, re.MULTILINE):
        parameters |= dict.fromkeys(names.split(", "), (type_, " ".join(meaning.split())))
    example = EXAMPLES + examples.partition("\n\n")[0] if examples else ""
    return [filled(part) for part in text.split("\n\n")], parameters, example


def options(kind: Any) -> dict[str, str]:
    """The fields of a class as arguments of a function, without the keyword-only ones."""
    kept: list[Any] = [one for one in fields(kind) if not one.kw_only]
    return {one.name: f"{one.name}: {one.type.__name__} = {one.default!r}" for one in kept}


def formulas() -> str:
    """The activations with their formulas, as the docstring of `activation_forward` lists them."""
    first = {name: str(kind.__doc__).partition("\n")[0].partition(". ")[0] for name, kind in ACTIVATIONS.items()}
    rows = [f"{name}: {formula.strip('.')}" for name, formula in first.items()]
    return "".join(f"{textwrap.fill(row, WIDTH, initial_indent=ITEM, subsequent_indent=' ' * 10)}\n" for row in rows)


def loss_functions() -> Iterator[str]:
    """The losses of arrays."""
    for name, kind in LOSSES.items():
        if name in BY_HAND:
            continue
        first, own = "x" if kind.applies else "y", options(kind)
        weight = ["class_weight: Any = None"] if kind().takes_classes else []
        keywords = [
            *own.values(),
            'reduction: Reduction = "mean"',
            "sample_weight: Any = None",
            *weight,
            "gradient: bool = True",
            "out: Any = None",
        ]
        (summary, *texts), meanings, example = described(kind)
        outputs = "y above: outputs before the activation that the loss applies." if first == "x" else "Outputs."
        parameters = [
            (f"{first} : array (N, K), or (K,) for one sample", outputs),
            ("t : array, or integer", "Targets as above; for one sample without the axis of the batch."),
            *((f"{one} : {meanings[one][0]}", meanings[one][1]) for one in own),
            ('reduction : "mean", "element_mean", "sum" or "none"', "As for `mean_squared_error`."),
            (
                f"{', '.join(['sample_weight', *['class_weight'] * bool(weight), 'out'])} : array, optional",
                "As for `mean_squared_error`.",
            ),
            ("gradient : bool", f"False leaves d{first} out: only the loss is returned."),
        ]
        results = [
            ('loss : float, or float64 array (N,) for "none"', ""),
            (f"d{first} : array like {first}", f"The gradient of the loss by {first}."),
        ]
        sections = [section("Parameters", parameters), section("Returns", results)]
        parts = [f"The mean over the batch of {summary}", *texts, *sections, example]
        values = f"({', '.join(own)}{',' * (len(own) == 1)})"
        given = f'"{first}", {first}, t, reduction, sample_weight, {"class_weight" if weight else None}, out, gradient'
        body = f"kind = _losses.{kind.__name__}\nreturn _evaluate(kind, {values}, {given})"
        yield function(name, [f"{first}: Any", "t: Any"], keywords, "Result", parts, body)


def activation_functions() -> Iterator[str]:
    """The activations of arrays, each by its name."""
    for name, kind in ACTIVATIONS.items():
        if name in BY_HAND:
            continue
        own, (texts, meanings, example) = options(kind), described(kind)
        parameters = [
            ("x : array of any shape", ""),
            *((f"{one} : {meanings[one][0]}", meanings[one][1]) for one in own),
            ("out : array like x, optional", "Receives y; may be x itself."),
        ]
        sections = [section("Parameters", parameters), section("Returns", [("array like x", "")])]
        wrong = [("TypeError, ValueError", "For a wrong type, dtype or shape.")]
        example = example.replace(f'fastnn.activation_forward("{name}", ', f"fastnn.{name}(")
        parts = [*texts, *sections, section("Raises", wrong), example]
        given = ", ".join([f'"{name}"', "x", "out=out", *(f"{one}={one}" for one in own)])
        keywords = [*own.values(), "out: Any = None"]
        yield function(name, ["x: Any"], keywords, "Array", parts, f"return activation_forward({given})")


def update_functions() -> Iterator[str]:
    """The updates of arrays. The last class with an update counts; its additional options are 0 by default."""
    for name, usual in UPDATES.items():
        kind = [kind for kind in OPTIMIZERS.values() if kind.update == name][-1]
        own = {key: text for key, text in options(kind).items() if key != "lr"}
        for key in set(own) - set(options(usual)):
            own[key] = re.sub(r"= .*", "= 0.0", own[key])
        arrays = ["params", "grads", *kind.keeps]
        step = ["step: int"] if kind.counts else []
        arguments = [*(f"{one}: Any" for one in arrays), *step, "lr: float", *own.values()]
        texts, meanings, example = described(usual)
        meanings = described(kind)[1] | meanings
        entries = [
            (
                f"{', '.join(arrays)} : arrays, or mappings or sequences of arrays",
                "With the same keys, or as many. All but grads are overwritten.",
            ),
            *[("step : int", "The number of this update, from 1 on.")] * len(step),
            *((f"{one} : {meanings[one][0]}", meanings[one][1]) for one in ("lr", *own)),
        ]
        wrong = [("TypeError, ValueError", "For a wrong type, dtype or shape, before anything is changed.")]
        parts = [*texts, section("Parameters", entries), section("Raises", wrong), example]
        vectors = ", ".join([*arrays, *["None"] * (MOST_VECTORS - len(arrays))])
        rates = f"rates = {', '.join(['lr', *own]) if own else '(lr,)'}"
        body = f"{rates}\n_update(_optimizers.{kind.__name__}, rates, {'step' if step else None}, {vectors})"
        yield function(f"{name}_update", arguments, [], "None", parts, body)


def names() -> str:
    """The names of operations as types."""
    rows = {
        "ActivationName": list(ACTIVATIONS),
        "LossName": list(LOSSES),
        "OptimizerName": [name.lower() for name in OPTIMIZERS],
    }
    text = ""
    for key, row in rows.items():
        quoted = [f'"{name}"' for name in row]
        inner = ", ".join(quoted)
        one, lines = f"{key}: TypeAlias = Literal[{inner}]\n", "".join(f"    {name},\n" for name in quoted)
        lines = f"    {inner}\n" if len(inner) + 4 <= WIDTH else lines
        text += one if len(one) <= WIDTH + 1 else f"{key}: TypeAlias = Literal[\n{lines}]\n"
    return text


def code(names: Iterable[str]) -> str:
    """Names as code, in one line."""
    return ", ".join(f"`{name}`" for name in names)


def with_options(kinds: dict[str, Any]) -> str:
    """Names, each with its options."""
    rows = {name: ", ".join(options(kind)) for name, kind in kinds.items()}
    return ", ".join(f"{name} ({own})" if own else name for name, own in rows.items())


def table_rows() -> dict[str, str]:
    """Rows of the table of all names by their heads."""
    others = "`losses`, their descriptions; `Regularization` (L1, L2, blend)"
    updates = code(f"{name}_update" for name in UPDATES)
    images = "`conv2d_forward`, `conv2d_backward`"
    arrays = f"`affine_forward`, `affine_backward`, {images}, `activation_forward`, `activation_backward`"
    return {
        "operations on arrays, with `out=`": f"{arrays}, {code(ACTIVATIONS)}, {updates}",
        "losses of arrays, with gradient, weights, reduction": f"{code(LOSSES)}; `zero_one_loss`, value only",
        "activations": with_options(ACTIVATIONS),
        "layers": f"{code(LAYERS)}; `Flatten` is for images, whose shape `Network(input_shape=(1, 28, 28))` takes",
        "losses of a network": f"{with_options(LOSSES)}; {others}",
        "optimizers": f"{code(OPTIMIZERS)}, each with clipping by value and by norm",
    }


def oracles() -> str:
    """The functions of fastnn.reference that an operation adds."""
    ends_of_layers = ("_forward", "_backward")
    endings = {losses: tuple(losses.LOSSES), units: ends_of_layers, images: ends_of_layers, updates: ("_update",)}
    return exported(
        (f".{module.__name__.rpartition('.')[2]}", name)
        for module, ends in endings.items()
        for name, value in vars(module).items()
        if name.endswith(ends) and not name.startswith("_") and value.__module__ == module.__name__
    )


def functions_of_arrays() -> list[tuple[str, str]]:
    """The modules and names of the activations, losses and updates of arrays."""
    made = [("fastnn.functional.activations", name) for name in ACTIVATIONS if name not in BY_HAND]
    made += [("fastnn.functional.losses", name) for name in LOSSES]
    return made + [("fastnn.functional.updates", f"{name}_update") for name in UPDATES]


def public_names() -> str:
    """The names of operations that type checkers and `dir(fastnn)` find in fastnn itself."""
    places: dict[str, Iterable[str]] = {"fastnn.layers": LAYERS, "fastnn.optimizers": OPTIMIZERS}
    described = [(place, name) for place, kinds in places.items() for name in kinds]
    return exported([*functions_of_arrays(), *described])


SECTIONS = {
    "fastnn/__init__.pyi": public_names,
    "fastnn/layers.py": lambda: classes(LAYERS.values()),
    "fastnn/losses.py": lambda: classes(LOSSES.values()),
    "fastnn/optimizers.py": lambda: classes(OPTIMIZERS.values()),
    "fastnn/functional/__init__.py": lambda: exported(functions_of_arrays()),
    "fastnn/functional/activations.py": lambda: "\n\n".join([*activation_functions(), ""]),
    "fastnn/functional/losses.py": lambda: "\n\n".join([*loss_functions(), ""]),
    "fastnn/functional/updates.py": lambda: "\n\n".join([*update_functions(), ""]),
    "fastnn/gate/names.py": names,
    "fastnn/reference/__init__.py": oracles,
}


def texts() -> dict[pathlib.Path, str]:
    """Each file with its right text."""
    found = {}
    for name, section in SECTIONS.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        begin, _, end = SECTION.split(text)
        found[ROOT / name] = begin + section() + end
    file = ROOT / "fastnn" / "functional" / "layers.py"
    found[file] = LIST.sub(lambda _: formulas(), file.read_text(encoding="utf-8"))
    page = ROOT / "docs" / "reference" / "overview.md"
    table = page.read_text(encoding="utf-8")
    for head, row in table_rows().items():
        begin, _, end = re.split(rf"(?m)^(\| {re.escape(head)} \| .*)$", table)
        table = f"{begin}| {head} | {row} |{end}"
    return {**found, page: table}


def main() -> int:
    """Write the files that differ."""
    for file, text in texts().items():
        if file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")
            print(f"wrote {file.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
