"""A table as data to train on: its parts, its encoding, and what to tell the user about them."""

import argparse
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.command import networks, outputs, table_options
from fastnn.command.training_data import VALIDATION, Data, share_of
from fastnn.errors import DatasetError

if TYPE_CHECKING:
    from fastnn.losses import Loss
    from fastnn.tables.encoding import Choices, Encoding
    from fastnn.tables.table import Table

TEST = "0.2"
FEWEST_NUMBERED = 20  # rows whose different integers look like their numbers


def prepare(options: argparse.Namespace, generator: Any) -> Data:
    """Read the table, choose the task, split the rows, and encode them."""
    from fastnn.tables import encoding as encodings
    from fastnn.tables import targets

    table, choices = table_and_choices(options)
    task, why = targets.task_of(table, choices.targets) if options.task is None else (options.task, "")
    loss = networks.loss_of(options.loss or outputs.USUAL_LOSSES[task])
    choices = replace(choices, scales_targets=outputs.scales_targets(loss))
    rows = table.rows
    table = encodings.complete_rows(table, choices)
    train, validation, test = _split(table, choices, task, options, generator)
    learned = encodings.learn(table, choices, task, train)
    x, t = learned.encode(table, options.dtype), learned.encode_targets(table, options.dtype)
    count = len(learned.targets[0].classes) or len(learned.targets)

    def part(where: Any) -> tuple[Any, Any]:
        """Inputs and encoded targets of rows, or of another file."""
        if not isinstance(where, str):
            return x[where], t[where]
        other = learned.complete(table_options.read_fitting(where, options, learned, needs_targets=True))
        return learned.encode(other, options.dtype), learned.encode_targets(other, options.dtype)

    def fitting(t: Any) -> Any:
        return fit_targets(t, learned, loss, options.dtype)

    (x_train, labels), watched, measured = part(train), part(validation), part(test)
    to_watch, to_measure = ((x, fitting(t)) if len(x) else None for x, t in (watched, measured))
    made = Data(x_train, fitting(labels), to_watch, to_measure, count, loss)
    made.encoding, made.classes, made.labels = learned, learned.targets[0].classes, labels
    made.test_targets = measured[1]
    if options.sample_weight is not None:
        made.sample_weight = _weights(table, options.sample_weight)[train]
    made.lines = [*_lines(table, learned, made, why, rows - table.rows), *_notes(table, learned, train)]
    return made


def fit_targets(t: Any, encoding: "Encoding", loss: "Loss", dtype: str) -> Any:
    """Encoded targets as the loss takes them."""
    if loss.predicts_logarithms and np.any(t < 0):
        came = f"{np.nanmin(t):g}; correct it, or train with --loss mean_squared_error"
        raise DatasetError(f"targets: expected numbers of at least 0 for the loss {loss.name}, got {came}")
    if encoding.targets[0].classes:
        return networks.targets_for(loss, t, len(encoding.targets[0].classes), dtype)
    return networks.flags_for(loss, t) if encoding.task == "multilabel" else t


def table_and_choices(options: argparse.Namespace) -> "tuple[Table, Choices]":
    """The table that --data names, and the user's choices about its columns."""
    from fastnn.tables.encoding import Choices
    from fastnn.tables.table import Wishes

    def named(table: "Table") -> list[str]:
        both = "t" in table.groups or ("t" in table.columns and "x" in table.groups)
        given = options.target or (["t"] if both else [])
        if not given:
            raise DatasetError(f"--target: expected {table.shown}, got none; name the one to predict")
        return table.find("--target", given)

    def wishes(head: "Table") -> Wishes:
        return Wishes(head.find("--categorical", options.categorical), named(head))

    table = table_options.read(options.data, options, wishes)
    chosen, ignored = named(table), table.find("--ignore", options.ignore)
    if options.sample_weight is not None:
        weights = table.find("--sample-weight", [options.sample_weight])
        if len(weights) > 1:
            raise DatasetError(f"--sample-weight: expected one column, got {', '.join(weights)}; name one")
        ignored += weights
    both = [name for name in chosen if name in ignored]
    if both:
        raise DatasetError(
            f"--target: expected a column that is not left out, got {both[0]}; remove it from the others"
        )
    from fastnn.gate import arrays

    most = arrays.integer("most_categories", options.most_categories, minimum=1)
    return table, Choices(tuple(chosen), tuple(ignored), options.missing, not options.no_scaling, most_categories=most)


def _split(
    table: "Table", choices: "Choices", task: str, options: argparse.Namespace, generator: Any
) -> tuple[Any, Any, Any]:
    """The rows to train on, to validate and to test; a file's name in their place where one is given."""
    from fastnn.datasets import train_test_split
    from fastnn.tables.targets import labels_in

    rows = np.arange(table.rows)
    labels = labels_in(table, choices.targets[0]).codes if task == "classification" else np.zeros(table.rows, int)
    parts: list[Any] = []
    for option, given, usual in (("--test", options.test, TEST), ("--validation", options.validation, VALIDATION)):
        if given is not None and os.path.exists(given):
            parts.append(given)
            continue
        share = share_of(option, usual if given is None else given, or_file=True)
        if given is None and round(share * len(rows)) in (0, len(rows)):  # a few rows are all to train on
            share = 0.0
        (rows, _), (own, _) = _parts(option, train_test_split, rows, labels[rows], share, generator)
        parts.append(own)
    return rows, parts[1], parts[0]


def _parts(option: str, split: Any, rows: Any, *more: Any) -> Any:
    """Two parts of the rows; errors name the option."""
    try:
        return split(rows, *more)
    except ValueError as error:
        came = f"{more[1]} of {len(rows)} rows"
        expected = f"{option}: expected a share that leaves both parts a row"
        raise ValueError(f"{expected}, got {came}; pass more rows, or 0 for no such part") from error


def _weights(table: "Table", name: str) -> Any:
    from fastnn.tables.inputs import numbers_in

    values = numbers_in(table, table.find("--sample-weight", [name])[0])
    if np.isnan(values).any():
        row = table.number(int(np.isnan(values).argmax()))
        raise DatasetError(f"{table.source}: expected a factor in each row, got none in row {row:,}; fill it in")
    return values


def _lines(table: "Table", learned: "Encoding", data: Data, why: str, dropped: int) -> list[str]:
    """Lines about the file and its parts."""
    counts = [len(part[0]) if part is not None else 0 for part in (data.validation, data.test)]
    parts = f"{len(data.x):,} to train, {counts[0]:,} to validate, {counts[1]:,} to test"
    lines = [f"{table.source}: {table.rows + dropped:,} rows, {parts}"]
    if dropped:
        lines.append(f"  left out: {_count(dropped, 'row')} without a value in each cell")
    if not table.has_header and len(table.columns) > 1:
        lines.append("  no header: columns are called 1, 2, ...; --header yes takes names from the first line")
    elif table.has_header and table.is_header_guessed:
        lines.append("  header: the first line names the columns; --header no takes it for a row")
    texts = sum(one.kind == "text" for one in learned.inputs)
    left = f", {len(learned.ignored)} left out" if learned.ignored else ""
    numbers = _count(len(learned.inputs) - texts, "column")
    lines.append(f"  {_count(learned.width, 'input')} from {numbers} of numbers and {texts:,} of texts{left}")
    names = ", ".join(one.name for one in learned.targets[:6]) + (", ..." if len(learned.targets) > 6 else "")
    if data.classes:
        shown = ", ".join(" ".join(one.split()) for one in data.classes[:6]) + (
            ", ..." if len(data.classes) > 6 else ""
        )
        names += f" ({len(data.classes)} classes: {shown})"
    reason = f", as {why}; --task chooses another" if why else ""
    lines.append(f"  {learned.task} of {names}{reason}")
    return lines


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _notes(table: "Table", learned: "Encoding", train: Any) -> list[str]:
    """Columns that may be no inputs at all."""
    from fastnn.tables.inputs import NumberInput
    from fastnn.tables.table import Numbers

    notes = []
    for one in learned.inputs:
        column = table.columns[one.name]
        values = column.values if isinstance(column, Numbers) else column.codes  # type: ignore[union-attr]
        own = values[train]
        if len(own) and (own == own[0]).all():
            fate = ", so it becomes 0" if isinstance(one, NumberInput) and one.is_scaled else ""
            notes.append(f"  note: column {one.name!r} is the same in all rows to train on{fate}")
        is_new = isinstance(column, Numbers) and table.rows >= FEWEST_NUMBERED
        if is_new and (values == np.round(values)).all() and len(np.unique(values)) == table.rows:
            notes.append(
                f"  note: column {one.name!r} has another integer in each row; pass --ignore if it numbers them"
            )
    return notes
