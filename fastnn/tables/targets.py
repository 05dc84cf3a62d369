"""How columns of a table become targets, and a network's outputs values or names of classes again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn.datasets.standardize import Standardize
from fastnn.errors import DatasetError
from fastnn.gate import arrays
from fastnn.gate.arrays import Array
from fastnn.tables.inputs import categories_of, numbers_in, places, shown, text, texts, texts_in
from fastnn.tables.table import Numbers, Table, Texts, listed

REGRESSION, CLASSIFICATION, MULTILABEL = TASKS = "regression", "classification", "multilabel"
MOST_INTEGERS = 20  # more different integers are values, not classes
ROWS_OF_CLASS = 3  # likewise, if there are fewer rows for each, on average


@dataclass(frozen=True)
class Target:
    """A column to predict: its classes, or the mean and the deviation of its values, 0 and 1 if they are not scaled."""

    name: str
    classes: tuple[str, ...] = ()
    mean: float = 0.0
    deviation: float = 1.0

    def to_note(self) -> dict[str, Any]:
        """A description in JSON."""
        if self.classes:
            return {"name": self.name, "classes": list(self.classes)}
        return {"name": self.name, "mean": self.mean, "deviation": self.deviation}

    @classmethod
    def of_note(cls, note: Mapping[str, Any]) -> "Target":
        """The target that a description describes; KeyError, TypeError, ValueError if it does not."""
        name = text("name", note["name"])
        if "classes" in note:
            return cls(name, texts("classes", note["classes"]))
        mean, deviation = arrays.real("mean", note["mean"]), arrays.real("deviation", note["deviation"], above=0.0)
        return cls(name, (), mean, deviation)


def task_of(table: Table, names: Sequence[str]) -> tuple[str, str]:
    """The task that columns suggest, and why."""
    columns = [table.columns[name] for name in names]
    if len(columns) > 1:
        are_flags = all(isinstance(one, Numbers) and set(np.unique(known(one.values))) <= {0, 1} for one in columns)
        return (MULTILABEL, "all targets are 0 or 1") if are_flags else (REGRESSION, "several targets")
    column = columns[0]
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
    """Learn from some rows how columns become targets; classes are those of all rows."""
    if task == CLASSIFICATION:
        if len(names) > 1:
            came = f"{len(names)} ({listed(names)})"
            remedy = "name one, or pass --task multilabel for several of 0 and 1"
            raise DatasetError(f"--target: expected one column of classes, got {came}; {remedy}")
        column = texts_in(table, names[0])
        classes = categories_of(table.source, names[0], column, max(most, MOST_INTEGERS))
        if len(classes) < 2:
            came = f"{len(classes)}, {shown(classes[0])}" if classes else "no values"
            expected = f"{table.source}: expected at least 2 classes in the target {names[0]!r}"
            raise DatasetError(f"{expected}, got {came}; name another column by --target")
        return (Target(names[0], classes),)
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


def encode(table: Table, targets: Sequence[Target], dtype: Any) -> Any:
    """Labels (N,), or values (N, K) as the network learns them; NaN and -1 where there are none."""
    if targets[0].classes:
        column = texts_in(table, targets[0].name)
        labels = places(column, targets[0].classes)
        unknown = (labels < 0) & ~column.missing
        if unknown.any():
            row = int(unknown.argmax())
            expected = f"{table.source}: expected classes of the training in column {targets[0].name!r}"
            came = f"{shown(column.names[column.codes[row]])} in row {row + 1:,}"
            raise DatasetError(
                f"{expected} ({listed(targets[0].classes)}), got {came}; correct the cell or leave it out"
            )
        return labels
    columns = [(numbers_in(table, one.name) - one.mean) / one.deviation for one in targets]
    return np.column_stack(columns).astype(dtype)


def decode(y: Array, targets: Sequence[Target]) -> Array:
    """The values (N, K), in float64 and the units of the file, that outputs stand for."""
    scale, shift = (np.array([getattr(one, name) for one in targets]) for name in ("deviation", "mean"))
    values: Array = y.astype(np.float64) * scale + shift
    return values
