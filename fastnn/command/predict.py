"""`fastnn predict`: predictions for the rows of a table, by a network in a file."""

import argparse
import csv
import io
from typing import TYPE_CHECKING, Any

from fastnn.command import models, table_options
from fastnn.command import options as common

if TYPE_CHECKING:
    from fastnn.gate.arrays import Array
    from fastnn.network.network import Network
    from fastnn.tables.encoding import Encoding
    from fastnn.tables.table import Table, Wishes

DIGITS = 7  # significant ones of float32
EXAMPLES = """examples:
  fastnn predict houses.npz new.csv
  fastnn predict flowers.npz new.csv --probabilities --keep id --output out.csv
Columns may stand in any order. The target need not be there. An existing file
is replaced."""


def add(commands: common.Commands) -> None:
    """Add the command to the subparsers of fastnn.command.cli."""
    parser = common.command(commands, "predict", run, "Predict the rows of a table with a trained network.")
    parser.usage, parser.epilog = "fastnn predict MODEL DATA [options]", EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    models.add_model_and_data(parser)
    option = parser.add_argument
    option("--output", metavar="FILE", help="write comma-separated values there, not to the terminal")
    option("--probabilities", action="store_true", help="also a column for each class or label")
    option(
        "--keep",
        action="append",
        default=[],
        metavar="COLUMN,..",
        help="columns of DATA to write in front; all for all",
    )
    option("--threads", type=int, metavar="N", help="number of threads, which changes no result (all processors)")


def run(options: argparse.Namespace) -> int:
    """Write a row of predictions for each row of the table."""
    if options.output is not None:
        common.check_place("--output", options.output, is_network=False)
    network = models.load(options.model)
    models.set_threads(options)
    encoding = models.encoding_of(network, options.model)

    def wishes(head: "Table") -> "Wishes":
        from fastnn.tables.table import Wishes

        return Wishes() if encoding is None else encoding.wishes(head, head.find("--ignore", options.ignore))

    table = table_options.read(options.data, options, wishes)
    kept: dict[str, Any] = {}
    if options.keep:
        names = list(table.columns) if options.keep == ["all"] else table.find("--keep", options.keep)
        kept = {name: cells_of(table.columns[name]) for name in names}
    if encoding is None:
        y = network.predict(models.raw_inputs(network, table, network.dtype))
        columns: dict[str, Any] = {f"y{k + 1}": column for k, column in enumerate(y.reshape(len(y), -1).T)}
    else:
        table = encoding.fitting(table, table.find("--ignore", options.ignore), more=kept)
        y = network.predict(encoding.encode(table, network.dtype))
        columns = predictions(network, encoding, y, options.probabilities)
    columns = {name: _plain(values, network.dtype) for name, values in columns.items()}
    taken = {name: (name if name not in columns else f"{name} in {options.data}") for name in kept}
    _write({**{taken[name]: values for name, values in kept.items()}, **columns}, options)
    return 0


def predictions(network: "Network", encoding: "Encoding", y: "Array", probabilities: bool) -> dict[str, Any]:
    """Columns by name: the targets in the words and units of the training's file, and probabilities."""
    import numpy as np

    from fastnn.command import outputs

    names = [one.name for one in encoding.targets]
    if encoding.task == "regression":
        if probabilities:
            raise ValueError(
                "--probabilities: expected a network of classes or labels, got one of numbers; leave it out"
            )
        values = outputs.values_of(network, encoding, y)
        return {name: values[:, k] for k, name in enumerate(names)}
    if probabilities and not outputs.has_probabilities(network):
        came = f"{network.loss_name}, whose outputs are none"
        raise ValueError(f"--probabilities: expected a loss with probabilities, got {came}; train with another --loss")
    shares = outputs.activated(network, y) if probabilities else y
    if encoding.task == "multilabel":
        flags = outputs.flags_of(network, y)
        columns: dict[str, Any] = {name: flags[:, k] for k, name in enumerate(names)}
        return columns | ({f"p({name})": shares[:, k] for k, name in enumerate(names)} if probabilities else {})
    classes = encoding.targets[0].classes
    columns = {names[0]: np.array(classes, object)[y.argmax(axis=1)]}
    return columns | ({f"p({name})": shares[:, k] for k, name in enumerate(classes)} if probabilities else {})


def _plain(values: Any, dtype: Any) -> list[Any]:
    """A column of predictions as Python's values: floats with the digits that float32 or float64 has."""
    if values.dtype.kind != "f" or dtype == "float64":
        plain: list[Any] = values.tolist()
        return plain
    return [float(f"{value:.{DIGITS}g}") for value in values.tolist()]


def cells_of(column: Any) -> list[Any]:
    """A column's cells: texts, numbers without needless decimals, None where there is none."""
    from fastnn.tables.table import Numbers, Texts, number_text

    if isinstance(column, Texts):
        names = [*column.names, None]
        return [names[code] for code in column.codes]
    if isinstance(column, Numbers):
        return [None if value != value else number_text(float(value)) for value in column.values]
    raise ValueError(f"--keep: expected a column of numbers or texts, got {column.kind}; leave it out")


def _write(columns: dict[str, list[Any]], options: argparse.Namespace) -> None:
    """Write the columns as comma-separated values or as JSON."""
    if options.json and options.output is None:
        common.print_json({"model": options.model, "data": options.data, "predictions": columns})
        return
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    if options.output is None:
        print(lines.getvalue(), end="")
        return
    from fastnn.network.files import paths

    with common.naming("--output"), paths.writing(options.output) as file:
        file.write(lines.getvalue().encode())
    rows = len(next(iter(columns.values())))
    if options.json:
        common.print_json({"model": options.model, "data": options.data, "rows": rows, "output": options.output})
    else:
        print(f"{rows:,} rows of predictions in {options.output}")
