"""The way from a table to a network's inputs and targets, as learned in training and kept in the network's notes."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastnn.errors import DatasetError, ModelFileError
from fastnn.gate import arrays
from fastnn.gate.arrays import Array
from fastnn.tables import inputs, targets
from fastnn.tables.inputs import Input, NumberInput, TextInput
from fastnn.tables.table import Table, Wishes, listed
from fastnn.tables.targets import CLASSIFICATION, TASKS, Target

NOTE, VERSION = "table", 1  # the key in a network's notes; the version of what stands there
NEEDS_NONE = "a network that is trained with --missing mean needs none"
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
        The fate of rows without a value: they are refused or left out, or the mean takes the value's place.
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
        return [*named, *(one.name for one in self.targets if one.classes)]

    def wishes(self, table: Table, ignored: Collection[str], needs_targets: bool = False) -> Wishes:
        """The columns of a file, by its own names, whose cells are texts."""
        if self.has_header or table.has_header:
            return Wishes(self.text_columns)
        found = self._by_position(table, ignored, needs_targets) or {}
        return Wishes([found[name] for name in self.text_columns if name in found])

    def fitting(
        self, table: Table, ignored: Collection[str] = (), needs_targets: bool = False, more: Collection[str] = ()
    ) -> Table:
        """The table, if it has the columns that are needed and no unknown ones; DatasetError otherwise.

        ignored: columns of the file that are not looked at; more: others that may be there, if columns have names.
        """
        wanted, own = [one.name for one in self.inputs], [one.name for one in self.targets]
        if not self.has_header and not table.has_header:
            found = self._by_position(table, ignored, needs_targets)
            if found is None:
                raise self._other_count(table, needs_targets)
            return replace(table, columns={name: table.columns[place] for name, place in found.items()})
        lacking = [name for name in [*wanted, *(own if needs_targets else ())] if name not in table.columns]
        if lacking:
            header = (
                "" if table.has_header or not self.has_header else "; pass --header yes if its first line has names"
            )
            expected = f"{table.source}: expected the columns of the training"
            came = f"none called {listed(lacking)} among {listed(table.columns)}"
            raise DatasetError(f"{expected}, got {came}; add or rename them{header}")
        known = {*wanted, *own, *self.ignored, *ignored, *more}
        unknown = [name for name in table.columns if name not in known]
        if unknown:
            remedy = f"remove them, or pass --ignore {','.join(unknown[:3])}"
            came = f"also {listed(unknown)}"
            raise DatasetError(f"{table.source}: expected only the columns of the training, got {came}; {remedy}")
        return table

    def _by_position(self, table: Table, ignored: Collection[str], needs_targets: bool) -> dict[str, str] | None:
        """The columns of a file without names, by the names of the training, which are positions; None if none suit.

        The file has all columns of the training, all but its targets, or those that are needed alone.
        """
        own = {one.name for one in self.targets}
        needed = {one.name for one in self.inputs} | (own if needs_targets else set())
        whole = sorted((*self.ignored, *own, *(one.name for one in self.inputs)), key=int)
        without, alone = [name for name in whole if name not in own], [name for name in whole if name in needed]
        there = list(table.columns)
        for names in (whole, alone) if needs_targets else (whole, without, alone):
            found = dict(zip(names, there, strict=False))
            if len(names) == len(there) and not any(found[name] in ignored for name in needed):
                return found
        rest = [name for name in there if name not in ignored]
        return dict(zip(alone, rest, strict=True)) if len(alone) == len(rest) else None

    def _other_count(self, table: Table, needs_targets: bool) -> DatasetError:
        """The error about a file without names that has another number of columns."""
        own = len(self.targets)
        count, alone = len(self.inputs) + own + len(self.ignored), len(self.inputs)
        kinds = {alone: "inputs alone", count - own: "all but the target", count: "all of the training"}
        if needs_targets:
            kinds = {alone + own: "inputs and target", count: "all of the training"}
        shown = " or ".join(f"{size} columns ({kind})" for size, kind in kinds.items())
        came = f"{len(table.columns)} without names"
        return DatasetError(f"{table.source}: expected {shown}, got {came}; pass the columns in the training's order")

    def complete(self, table: Table) -> Table:
        """The rows to measure the network on, as `missing` says; DatasetError where values are missing."""
        names = [one.name for one in self.inputs], [one.name for one in self.targets]
        remedy = "fill it in"
        return complete(table, *names, self.missing, remedy, f"{remedy}; {NEEDS_NONE}")

    def encode(self, table: Table, dtype: Any) -> Array:
        """The inputs (N, D) of a table that fits; a row without a value is refused, unless `missing` is the mean."""
        if self.missing != MEAN:
            complete(table, [one.name for one in self.inputs], (), REFUSE, "", f"fill it in; {NEEDS_NONE}")
        x = arrays.zeros("inputs", self.width, (table.rows, self.width), np.dtype(dtype))
        place = 0
        for one in self.inputs:
            own = x[:, place : place + one.width]
            with np.errstate(over="ignore", under="ignore"):
                one.encode(table, own)
            if isinstance(one, NumberInput) and not np.isfinite(own).all():
                near = f"near the training's, {one.mean:.3g} +- {one.deviation:.3g}"
                row = int((~np.isfinite(own[:, 0])).argmax())
                raise inputs.too_far(table, one.name, row, near if one.is_scaled else f"that {x.dtype} holds")
            place += one.width
        return x

    def encode_targets(self, table: Table, dtype: Any) -> Any:
        """Labels (N,) or values (N, K) of a table that fits; DatasetError for a row without one."""
        names = [one.name for one in self.targets]
        complete(table, (), names, REFUSE, "fill it in, or leave the row out", "")
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


def no_value(table: Table, name: str, missing: Any) -> str:
    """The beginning of an error about the first cell without a value."""
    row, count = table.number(int(missing.argmax())), int(missing.sum())
    more = f", the first of {count:,} rows without one" if count > 1 else ""
    return f"{table.source}: expected a value in each cell, got none in row {row:,}, column {name!r}{more}"


def encoding_in(notes: Mapping[str, Any], inputs_of_network: int, outputs: int) -> Encoding | None:
    """The encoding in a network's notes; None where there is none, ModelFileError for one that does not fit."""
    if NOTE not in notes:
        return None
    note = notes[NOTE]
    try:
        if arrays.integer("version", note["version"], minimum=1) > VERSION:
            raise ModelFileError(f"notes: expected a table of version {VERSION}, got {note['version']}; update fastnn")
        made = Encoding(
            arrays.choice("task", note["task"], TASKS),
            tuple(inputs.input_of(one) for one in inputs.listing("inputs", note["inputs"])),
            tuple(Target.of_note(one) for one in inputs.listing("targets", note["targets"])),
            tuple(inputs.text("ignored", one) for one in inputs.listing("ignored", note["ignored"])),
            arrays.choice("missing", note["missing"], MISSING_POLICIES),
            arrays.flag("header", note["header"]),
        )
        _check(made, inputs_of_network, outputs)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        if isinstance(error, ModelFileError):
            raise
        came = f"another ({error})"
        raise ModelFileError(f"notes: expected the description of a table, got {came}; train again") from error
    return made


def _check(made: Encoding, inputs_of_network: int, outputs: int) -> None:
    """ValueError for an encoding that contradicts itself or the network."""
    if made.width != inputs_of_network or not made.targets:
        came = f"{made.width} inputs and {len(made.targets)} targets"
        raise ValueError(f"expected {inputs_of_network} inputs and a target, got {came}")
    classes = [one.classes for one in made.targets]
    if made.task == CLASSIFICATION:
        if len(classes) > 1 or len(classes[0]) < 2:
            raise ValueError(f"expected one target of at least 2 classes, got {[len(one) for one in classes]} classes")
    elif any(classes):
        raise ValueError(
            f"expected a target without classes for {made.task}, got {listed(next(filter(None, classes)))}"
        )
    count = len(classes[0]) or len(classes)
    if count != outputs:
        raise ValueError(f"expected {outputs} outputs, got {count} classes or targets")
    names = [one.name for one in (*made.inputs, *made.targets)] + list(made.ignored)
    if len({*names}) < len(names):
        raise ValueError(f"expected columns of different names, got {listed(names)}")
    if not made.has_header and {*names} != {str(i + 1) for i in range(len(names))}:
        raise ValueError(f"expected columns called by their numbers, got {listed(names)}")


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
    """Learn an encoding: statistics from the rows to train on, names of categories and classes from all."""
    others = {*choices.targets, *choices.ignored}
    names = [name for name in table.columns if name not in others]
    if not names:
        raise DatasetError(f"{table.source}: expected columns beside the target, got none; pass a table with inputs")
    most = choices.most_categories
    made = tuple(inputs.learn(table, name, rows, choices.is_scaled, most) for name in names)
    scales = choices.is_scaled and choices.scales_targets
    to_predict = targets.learn(table, choices.targets, task, rows, scales, most)
    return Encoding(task, made, to_predict, choices.ignored, choices.missing, table.has_header)


def complete_rows(table: Table, choices: Choices) -> Table:
    """The rows to train on; DatasetError where values are missing that must not be."""
    others = {*choices.targets, *choices.ignored}
    names = [name for name in table.columns if name not in others]
    remedy = "fill it in, or pass --missing drop to leave such rows out"
    mean = f"{remedy}, or --missing mean to put the column's mean there"
    return complete(table, names, choices.targets, choices.missing, remedy, mean)


def complete(
    table: Table, names: Sequence[str], own: Sequence[str], missing: str, remedy: str, remedy_of_inputs: str
) -> Table:
    """The rows with a value in each input, unless the mean takes its place, and in each of the targets (own)."""
    keep = np.ones(table.rows, bool)
    for name in (*(names if missing != MEAN else ()), *own):
        gone: Any = getattr(table.columns[name], "missing", np.zeros(0, bool))
        if gone.any() and missing != DROP:
            raise DatasetError(f"{no_value(table, name, gone)}; {remedy if name in own else remedy_of_inputs}")
        if gone.any():
            keep &= ~gone
    if not keep.any():
        came = "none that has a value in each cell"
        remedy = "fill cells in, or train with --missing mean or --ignore"
        raise DatasetError(f"{table.source}: expected rows, got {came}; {remedy}")
    return table if keep.all() else table.take(np.flatnonzero(keep))
