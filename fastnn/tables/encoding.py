"""The way from a table to a network's inputs and targets, as learned in training and kept in the network's notes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastnn.errors import DatasetError, ModelFileError
from fastnn.gate import arrays
from fastnn.gate.arrays import Array
from fastnn.tables import inputs, targets
from fastnn.tables.inputs import Input, NumberInput, TextInput, numbers_in
from fastnn.tables.table import Table, is_number, listed
from fastnn.tables.targets import TASKS, Target

NOTE, VERSION = "table", 1  # the key in a network's notes; the version of what stands there
REFUSE, DROP, MEAN = MISSING_POLICIES = "refuse", "drop", "mean"


@dataclass(frozen=True)
class Encoding:
    """How a table's columns become inputs and targets.

    Attributes
    ----------
    task : str
        "regression", "classification" or "multilabel".
    inputs : tuple of Input
        In the order of the network's inputs.
    targets : tuple of Target
    ignored : tuple of str
        Columns that may be in a file and are not looked at.
    missing : str
        What becomes of rows without a value: refused, left out of training, or the mean takes its place.
    has_header : bool
        Whether the columns have names of their own, not numbers.
    """

    task: str
    inputs: tuple[Input, ...]
    targets: tuple[Target, ...]
    ignored: tuple[str, ...] = ()
    missing: str = REFUSE
    has_header: bool = True

    @property
    def width(self) -> int:
        """The number of inputs."""
        return sum(one.width for one in self.inputs)

    @property
    def input_names(self) -> list[str]:
        """A name for each input, such as city=Rome."""
        return [
            f"{one.name}={category}" if category is not None else one.name
            for one in self.inputs
            for category in (one.categories if isinstance(one, TextInput) else (None,))
        ]

    @property
    def text_columns(self) -> list[str]:
        """The columns whose cells are texts, whatever they look like."""
        named = [one.name for one in self.inputs if isinstance(one, TextInput)]
        return [*named, *(one.name for one in self.targets if one.classes and not _are_numbers(one.classes))]

    def fitting(self, table: Table, ignored: Sequence[str] = (), needs_targets: bool = False) -> Table:
        """The table itself, if it has the columns that are needed and no unknown ones; DatasetError otherwise."""
        wanted = [one.name for one in self.inputs]
        if not self.has_header and not table.has_header and len(table.columns) == len(wanted) and not needs_targets:
            return replace(table, columns=dict(zip(wanted, table.columns.values(), strict=True)))  # without the target
        own = [one.name for one in self.targets]
        lacking = [name for name in [*wanted, *(own if needs_targets else ())] if name not in table.columns]
        if lacking:
            header = (
                "" if table.has_header or not self.has_header else "; pass --header yes if its first line has names"
            )
            expected = f"{table.source}: expected the columns of the training"
            came = f"none called {listed(lacking)} among {listed(table.columns)}"
            raise DatasetError(f"{expected}, got {came}; add or rename them{header}")
        known = {*wanted, *own, *self.ignored, *ignored}
        unknown = [name for name in table.columns if name not in known]
        if unknown:
            remedy = f"remove them, or pass --ignore {','.join(unknown[:3])}"
            came = f"also {listed(unknown)}"
            raise DatasetError(f"{table.source}: expected only the columns of the training, got {came}; {remedy}")
        return table

    def encode(self, table: Table, dtype: Any, fills: bool = False) -> Array:
        """The inputs (N, D) of a table that fits; fills: also of rows without a value, whatever `missing` says."""
        if not fills:
            self._refuse_missing(table)
        x = arrays.zeros("inputs", self.width, (table.rows, self.width), np.dtype(dtype))
        place = 0
        with np.errstate(over="ignore"):
            for one in self.inputs:
                own = x[:, place : place + one.width]
                one.encode(table, own)
                if isinstance(one, NumberInput) and not np.isfinite(own).all():
                    raise _too_far(table, one, int((~np.isfinite(own[:, 0])).argmax()), x.dtype)
                place += one.width
        return x

    def _refuse_missing(self, table: Table) -> None:
        if self.missing == MEAN:
            return
        for one in self.inputs:
            missing: Any = getattr(table.columns[one.name], "missing", np.zeros(0, bool))
            if missing.any():
                remedy = "fill it in; a network that is trained with --missing mean needs none"
                raise DatasetError(f"{no_value(table, one.name, missing)}; {remedy}")

    def encode_targets(self, table: Table, dtype: Any, fills: bool = False) -> Any:
        """Labels (N,) or values (N, K) of a table that fits; -1 or NaN where there are none, if `fills`."""
        for one in () if fills else self.targets:
            missing: Any = getattr(table.columns[one.name], "missing", np.zeros(0, bool))
            if missing.any():
                raise DatasetError(f"{no_value(table, one.name, missing)}; fill it in, or leave the row out")
        return targets.encode(table, self.targets, dtype)

    def to_note(self) -> dict[str, Any]:
        """A description in JSON, for a network's notes."""
        return {
            "version": VERSION,
            "task": self.task,
            "inputs": [one.to_note() for one in self.inputs],
            "targets": [one.to_note() for one in self.targets],
            "ignored": list(self.ignored),
            "missing": self.missing,
            "header": self.has_header,
        }


def _too_far(table: Table, one: NumberInput, row: int, dtype: Any) -> DatasetError:
    """The error about a number that is infinite as an input."""
    came = f"{numbers_in(table, one.name)[row]:g} in row {row + 1:,}"
    near = f"near the training's, {one.mean:.3g} +- {one.deviation:.3g}" if one.is_scaled else f"that {dtype} holds"
    return DatasetError(
        f"{table.source}: expected numbers {near}, in column {one.name!r}, got {came}; correct the cell"
    )


def no_value(table: Table, name: str, missing: Any) -> str:
    """The beginning of an error about the first cell without a value."""
    row, count = int(missing.argmax()) + 1, int(missing.sum())
    more = f", the first of {count:,} rows without one" if count > 1 else ""
    return f"{table.source}: expected a value in each cell, got none in row {row:,}, column {name!r}{more}"


def encoding_in(notes: Mapping[str, Any], inputs_of_network: int) -> Encoding | None:
    """The encoding in a network's notes; None where there is none, ModelFileError for one that is none."""
    if NOTE not in notes:
        return None
    note = notes[NOTE]
    try:
        if arrays.integer("version", note["version"], minimum=1) > VERSION:
            raise ModelFileError(f"notes: expected a table of version {VERSION}, got {note['version']}; update fastnn")
        made = Encoding(
            arrays.choice("task", note["task"], TASKS),
            tuple(inputs.input_of(one) for one in note["inputs"]),
            tuple(Target.of_note(one) for one in note["targets"]),
            tuple(inputs.text("ignored", one) for one in note["ignored"]),
            arrays.choice("missing", note["missing"], MISSING_POLICIES),
            arrays.flag("header", note["header"]),
        )
        if made.width != inputs_of_network or not made.targets:
            came = f"{made.width} inputs and {len(made.targets)} targets"
            raise ValueError(f"expected {inputs_of_network} inputs and a target, got {came}")
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, ModelFileError):
            raise
        came = f"another ({error})"
        raise ModelFileError(f"notes: expected the description of a table, got {came}; train again") from error
    return made


@dataclass(frozen=True)
class Choices:
    """A user's choices for the training on a table."""

    targets: tuple[str, ...]
    ignored: tuple[str, ...] = ()
    missing: str = REFUSE
    is_scaled: bool = True
    scales_targets: bool = True
    most_categories: int = 100


def learn(table: Table, choices: Choices, task: str, rows: Any) -> Encoding:
    """Learn an encoding: statistics from some rows, those of the training, names from all."""
    names = [name for name in table.columns if name not in {*choices.targets, *choices.ignored}]
    if not names:
        raise DatasetError(f"{table.source}: expected columns beside the target, got none; pass a table with inputs")
    most = choices.most_categories
    made = tuple(inputs.learn(table, name, rows, choices.is_scaled, most) for name in names)
    scales = choices.is_scaled and choices.scales_targets
    to_predict = targets.learn(table, choices.targets, task, rows, scales, most)
    return Encoding(task, made, to_predict, choices.ignored, choices.missing, table.has_header)


def rows_with_values(table: Table, names: Sequence[str]) -> Any:
    """The indices of the rows with a value in each of these columns."""
    keep = np.ones(table.rows, bool)
    for name in names:
        keep &= ~getattr(table.columns[name], "missing", np.zeros(table.rows, bool))
    return np.flatnonzero(keep)


def complete_rows(table: Table, choices: Choices) -> Any:
    """The indices of the rows to train on; DatasetError where values are missing that must not be."""
    incomplete = []
    for name, column in table.columns.items():
        missing: Any = getattr(column, "missing", None)
        is_target = name in choices.targets
        if missing is None or name in choices.ignored or not missing.any():
            continue
        if choices.missing == MEAN and not is_target:
            continue
        if choices.missing != DROP:
            other = "" if is_target else ", or --missing mean to put the column's mean there"
            remedy = f"fill it in, or pass --missing drop to leave such rows out{other}"
            raise DatasetError(f"{no_value(table, name, missing)}; {remedy}")
        incomplete.append(name)
    rows = rows_with_values(table, incomplete)
    if not len(rows):
        came = "none that has a value in each cell"
        raise DatasetError(f"{table.source}: expected rows to train on, got {came}; pass --missing mean, or --ignore")
    return rows


def _are_numbers(names: Sequence[str]) -> bool:
    return all(map(is_number, names))
