"""How columns of a table become targets, and a network's outputs values or names of classes again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastnn.datasets.standardize import Standardize
from fastnn.errors import DatasetError
from fastnn.gate import arrays
from fastnn.gate.arrays import Array
from fastnn.tables.inputs import categories_of, numbers_in, places, refuse_mixed, shown, text, texts, texts_in, too_far
from fastnn.tables.table import LARGEST_EXACT, Numbers, Table, Texts, listed, number_of

REGRESSION, CLASSIFICATION, MULTILABEL = TASKS = "regression", "classification", "multilabel"
MOST_INTEGERS = 20  # more different integers are values, not classes
ROWS_OF_CLASS = 3  # likewise, if there are fewer rows for each, on average


@dataclass(frozen=True)
class Target:
    """A column to predict: its classes, or the mean and the deviation of its values, 0 and 1 if they are not scaled.

    are_texts: whether 7 and 007 are different classes; else classes are numbers, which a file may write in any way.
    """

    name: str
    classes: tuple[str, ...] = ()
    mean: float = 0.0
    deviation: float = 1.0
    are_texts: bool = False

    def to_note(self) -> dict[str, Any]:
        """A description in JSON."""
        if self.classes:
            return {"name": self.name, "classes": list(self.classes), "texts": self.are_texts}
        return {"name": self.name, "mean": self.mean, "deviation": self.deviation}

    @classmethod
    def of_note(cls, note: Mapping[str, Any]) -> "Target":
        """The target that a description describes; KeyError, TypeError, ValueError if it does not."""
        name = text("name", note["name"])
        if "classes" in note:
            classes = texts("classes", note["classes"])
            are_texts = arrays.flag("texts", note["texts"]) if "texts" in note else _are_texts(classes)
            return cls(name, classes, are_texts=are_texts)
        mean, deviation = arrays.real("mean", note["mean"]), arrays.real("deviation", note["deviation"], above=0.0)
        return cls(name, (), mean, deviation)


def task_of(table: Table, names: Sequence[str]) -> tuple[str, str]:
    """The task that columns suggest, and why."""
    columns = [table.columns[name] for name in names]
    if len(columns) > 1:
        are_flags = all(isinstance(one, Numbers) and set(np.unique(known(one.values))) <= {0, 1} for one in columns)
        return (MULTILABEL, "all targets are 0 or 1") if are_flags else (REGRESSION, "several targets")
    column = columns[0]
    refuse_mixed(table, names[0])
    if not isinstance(column, Numbers):
        return CLASSIFICATION, "the target holds texts"
    values = known(column.values)
    different = len(np.unique(values))
    if not np.array_equal(values, np.round(values)):
        return REGRESSION, "the target holds decimals"
    if different <= MOST_INTEGERS and (different <= 2 or different * ROWS_OF_CLASS <= len(values)):
        return CLASSIFICATION, f"the target holds {different} different integers"
    return REGRESSION, f"the target holds {different:,} different integers"


def known(values: Array) -> Array:
    """The values that there are."""
    found: Array = values[~np.isnan(values)]
    return found


def learn(table: Table, names: Sequence[str], task: str, rows: Any, is_scaled: bool, most: int) -> tuple[Target, ...]:
    """Learn from these rows how columns become targets, but classes from all rows, as they are mere names."""
    if task == CLASSIFICATION:
        if len(names) > 1:
            came = f"{len(names)} ({listed(names)})"
            remedy = "name one, or pass --task multilabel for several of 0 and 1"
            raise DatasetError(f"--target: expected one column of classes, got {came}; {remedy}")
        column = labels_in(table, names[0])
        is_text = isinstance(table.columns[names[0]], Texts)
        wanted = f"classes in the target {names[0]!r}"
        remedy = "name another column by --target" if is_text else "pass --task regression"
        classes = categories_of(table.source, wanted, column, max(most, MOST_INTEGERS), remedy)
        if len(classes) < 2:
            came = f"{len(classes)}, {shown(classes[0])}" if classes else "no values"
            expected = f"{table.source}: expected at least 2 classes in the target {names[0]!r}"
            raise DatasetError(f"{expected}, got {came}; name another column by --target")
        are_texts = is_text or _are_texts(classes)
        return (Target(names[0], classes, are_texts=are_texts),)
    made = []
    for name in names:
        if len(names) > 1 and isinstance(table.columns[name], Texts):
            remedy = "name one column of texts, or several of numbers"
            raise DatasetError(f"--target: expected numbers in several columns, got texts in {name!r}; {remedy}")
        values = known(numbers_in(table, name)[rows])
        if task == MULTILABEL and not set(np.unique(values)) <= {0, 1}:
            wrong = next(value for value in values if value not in (0, 1))
            expected = f"{table.source}: expected 0 and 1 in the target {name!r} of --task multilabel"
            raise DatasetError(f"{expected}, got {wrong:g}; pass --task regression for numbers")
        if task == REGRESSION and is_scaled and len(values):
            learned = Standardize().fit(values[:, None])
            made.append(Target(name, (), float(learned.mean[0]), float(learned.deviation[0])))
        else:
            made.append(Target(name))
    return tuple(made)


def labels_in(table: Table, name: str) -> Texts:
    """The classes of a column as its file writes them; as plain numbers if it writes one in several ways."""
    column = table.columns[name]
    if not isinstance(column, Numbers) or column.cells is None:
        return texts_in(table, name)
    cells = replace(column.cells, names=[one.strip() for one in column.cells.names])
    used = np.unique(cells.codes[cells.codes >= 0])
    values = [number_of(cells.names[code], table.decimal) or 0.0 for code in used]
    is_exact = all(abs(value) < LARGEST_EXACT for value in values)
    return texts_in(table, name) if is_exact and len({*values}) < len(values) else cells


def _are_texts(names: Sequence[str]) -> bool:
    """Whether names are texts, or integers that are different only as texts."""
    values = [number_of(one) for one in names]
    return any(value is None or abs(value) >= LARGEST_EXACT for value in values) or len({*values}) < len(values)


def encode(table: Table, targets: Sequence[Target], dtype: Any) -> Any:
    """Labels (N,), or values (N, K) as the network learns them, of a table with a value in each row."""
    if targets[0].classes:
        name, classes = targets[0].name, targets[0].classes
        column = labels_in(table, name)
        labels = places(column, classes, by_value=not targets[0].are_texts)
        unknown = labels < 0
        if unknown.any():
            row = int(unknown.argmax())
            expected = f"{table.source}: expected classes of the training in column {name!r}"
            came = f"{shown(column.names[column.codes[row]])} in row {table.number(row):,}"
            raise DatasetError(f"{expected} ({listed(classes)}), got {came}; correct the cell or leave it out")
        return labels
    t = np.empty((table.rows, len(targets)), dtype)
    for k, one in enumerate(targets):
        with np.errstate(over="ignore"):
            t[:, k] = (numbers_in(table, one.name) - one.mean) / one.deviation
        if not np.isfinite(t[:, k]).all():
            raise too_far(table, one.name, int((~np.isfinite(t[:, k])).argmax()), f"that {t.dtype} holds")
    return t


def decode(y: Array, targets: Sequence[Target]) -> Array:
    """The values (N, K), in float64 and the units of the file, that outputs stand for."""
    scale, shift = (np.array([getattr(one, name) for one in targets]) for name in ("deviation", "mean"))
    values: Array = y.astype(np.float64) * scale + shift
    return values
