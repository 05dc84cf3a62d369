"""Options about tables in files, and the reading of one as they say."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastnn.tables.encoding import Encoding
    from fastnn.tables.table import Chooser, Table, Wishes

HEADER = {"yes": True, "no": False, "auto": None}
# Options that speak of a table, with their values where they are not given.
OF_TABLES: dict[str, Any] = {
    "target": None, "task": None, "ignore": [], "categorical": [], "sample_weight": None, "missing": "refuse",
    "no_scaling": False, "most_categories": 100, "test": None, "separator": None, "decimal": ".", "header": "auto",
    "encoding": None,
}  # fmt: skip


def add_data(group: Any) -> None:
    """Add the options of the data to train on."""
    add = group.add_argument
    files = "a table (.csv, .tsv, also .gz; .npz, .npy, .parquet), digits, mnist, or a folder of files like MNIST's"
    add("--data", default="digits", metavar="DATA", help=f"{files}, of 28 x 28 pixels (digits)")
    add("--target", action="append", metavar="COLUMN,..", help="columns to predict, by name or number from 1")
    add("--task", choices=("regression", "classification", "multilabel"), metavar="NAME", help=TASK)
    add("--ignore", action="append", default=[], metavar="COLUMN,..", help="columns to leave out, such as an id")
    add("--categorical", action="append", default=[], metavar="COLUMN,..", help="columns whose numbers are categories")
    add("--sample-weight", metavar="COLUMN", help="the column with the factors of the rows' losses")
    missing = "rows with an empty cell or NA: refuse, drop, or mean to put the column's mean there (refuse)"
    add("--missing", choices=("refuse", "drop", "mean"), default="refuse", metavar="NAME", help=missing)
    add("--no-scaling", action="store_true", help="leave numbers as they are; else mean 0, deviation 1")
    most = "refuse columns of texts with more categories (100)"
    add("--most-categories", type=int, default=100, metavar="N", help=most)
    add("--test", metavar="X", help="share of a table's rows to measure the result on, or a file (0.2)")
    add("--validation", metavar="X", help="share of the other samples to watch, or a file (0.1)")
    add_format(group)


TASK = "regression, classification or multilabel (by the target: texts and few integers are classes)"


def add_format(group: Any) -> None:
    """Add the options of how a file is written."""
    add = group.add_argument
    add("--separator", metavar="C", help="the character between cells (as the file shows)")
    add("--decimal", choices=(".", ","), default=".", metavar="C", help="the decimal point, . or , (.)")
    add(
        "--header",
        choices=tuple(HEADER),
        default="auto",
        metavar="NAME",
        help="whether the first line has names: yes, no",
    )
    add("--encoding", metavar="NAME", help="encoding of the file (utf-8, or as its byte-order mark says)")


def style_of(options: argparse.Namespace) -> Any:
    """The format that the options say."""
    from fastnn.tables.text_files import Format

    separator = options.separator
    if separator is not None:
        separator = {"\\t": "\t", "tab": "\t"}.get(separator, separator)
        if len(separator) != 1 or separator in '"\r\n' or separator == options.decimal:
            came = f"{options.separator!r}; pass one such as ';' or tab"
            raise ValueError(f"--separator: expected a character other than the decimal point, got {came}")
    return Format(separator, options.decimal, HEADER[options.header], options.encoding)


def read(path: str, options: argparse.Namespace, wishes: "Chooser | None" = None) -> "Table":
    """The table in a file; wishes: which of its columns are texts."""
    from fastnn.tables import reading

    return reading.read(path, style_of(options), *(() if wishes is None else (wishes,)))


def read_fitting(
    path: str,
    options: argparse.Namespace,
    encoding: "Encoding",
    ignored: Sequence[str] = (),
    needs_targets: bool = False,
) -> "Table":
    """The table in a file that a network's encoding suits; ignored: columns that the training did not have."""

    def wishes(head: "Table") -> "Wishes":
        return encoding.wishes(head, head.find("--ignore", ignored), needs_targets)

    table = read(path, options, wishes)
    return encoding.fitting(table, table.find("--ignore", ignored), needs_targets)
