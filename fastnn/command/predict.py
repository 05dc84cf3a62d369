"""`fastnn predict`: predictions for the rows of a table, by a network in a file."""

import argparse
import csv
import io
import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fastnn.command import models, networks, table_options
from fastnn.command import options as common
from fastnn.errors import DatasetError

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
        help="columns of DATA to write before the predictions, as they stand there, or all",
    )
    option("--threads", type=int, metavar="N", help="number of threads, which changes no result (all processors)")


def run(options: argparse.Namespace) -> int:
    """Write a row of predictions for each row of the table."""
    if options.output is not None:
        common.check_different((options.model, options.data), [("--output", options.output)])
        common.check_place("--output", options.output, is_network=False)
    if options.data in networks.IMAGES and not os.path.exists(options.data):
        raise DatasetError(
            f"DATA: expected a table, got {options.data}; fastnn evaluate measures a network on it, and"
            " fastnn.load(MODEL).predict(x) predicts images"
        )
    network = models.load(options.model)
    models.set_threads(options)
    encoding = models.encoding_of(network, options.model)
    from fastnn.command import outputs

    def wishes(head: "Table") -> "Wishes":
        from fastnn.tables.table import Wishes

        own = () if encoding is None else encoding.wishes(head, head.find("--ignore", options.ignore)).texts
        return Wishes(own, names_to_keep(head, options.keep))

    table = table_options.read(options.data, options, wishes)
    kept = {name: cells_of(table.columns[name]) for name in names_to_keep(table, options.keep)}
    if encoding is None:
        y = network.predict(models.raw_inputs(network, table, options.ignore))
        y = outputs.probabilities_of(network, y) if options.probabilities else y
        columns: dict[str, Any] = {f"y{k + 1}": column for k, column in enumerate(y.reshape(len(y), -1).T)}
    else:
        table = encoding.fitting(table, table.find("--ignore", options.ignore), more=kept)
        y = network.predict(encoding.encode(table, network.dtype))
        columns = predictions(network, encoding, y, options.probabilities)
    centers = {} if encoding is None else {one.name: one.mean for one in encoding.targets}
    columns = {name: _plain(values, network.dtype, centers.get(name, 0.0)) for name, values in columns.items()}
    _write({**_renamed(kept, list(columns), options.data), **columns}, options)
    return 0


def predictions(network: "Network", encoding: "Encoding", y: "Array", probabilities: bool) -> dict[str, Any]:
    """Columns by name: the targets in the words and units of the training's file, and probabilities."""
    import numpy as np

    from fastnn.command import outputs

    names, loss = [one.name for one in encoding.targets], network.engine.formula
    if encoding.task == "regression":
        if probabilities:
            raise ValueError(
                "--probabilities: expected a network of classes or labels, got one of numbers; leave it out"
            )
        values = outputs.values_of(loss, encoding, y)
        return {name: values[:, k] for k, name in enumerate(names)}
    if probabilities and not outputs.has_probabilities(network):
        came = f"{network.loss_name}, whose outputs are none"
        raise ValueError(f"--probabilities: expected a loss with probabilities, got {came}; train with another --loss")
    shares = outputs.activated(loss, y) if probabilities else y
    if encoding.task == "multilabel":
        flags = outputs.flags_of(loss, y)
        columns: dict[str, Any] = {name: flags[:, k] for k, name in enumerate(names)}
        return columns | ({f"p({name})": shares[:, k] for k, name in enumerate(names)} if probabilities else {})
    classes = encoding.targets[0].classes
    columns = {names[0]: np.array(classes, object)[y.argmax(axis=1)]}
    return columns | ({f"p({name})": shares[:, k] for k, name in enumerate(classes)} if probabilities else {})


def _plain(values: Any, dtype: Any, center: float) -> list[Any]:
    """A column of predictions as Python's values: floats with seven digits, also of their distance to `center`.

    Seven are those of float32. A standardized target has its mean at `center`, so the network computed the distance.
    """
    import numpy as np

    plain: list[Any] = values.tolist()
    if values.dtype.kind != "f" or dtype == "float64":
        return plain
    with np.errstate(divide="ignore"):
        exact = values.astype(np.float64)
        sizes = np.floor(np.log10(np.minimum(np.abs(exact), np.abs(exact - center)))).tolist()
    return [
        round(one, DIGITS - 1 - int(size)) if math.isfinite(size) else one
        for one, size in zip(plain, sizes, strict=True)
    ]


def _renamed(kept: dict[str, Any], taken: Sequence[str], source: str) -> dict[str, Any]:
    """The kept columns, those with the name of a prediction by a name of their own."""
    found: dict[str, Any] = {}
    for name, values in kept.items():
        free = name
        while free in taken or free in found or (free != name and free in kept):
            free += f" in {source}"
        found[free] = values
    return found


def names_to_keep(table: "Table", given: list[str]) -> list[str]:
    """The columns that --keep names."""
    return list(table.columns) if given == ["all"] else table.find("--keep", given)


def cells_of(column: Any) -> list[Any]:
    """A column's cells as they stand in the file; None where there is no value."""
    from fastnn.tables.table import Numbers, Texts

    texts = column.cells if isinstance(column, Numbers) else column
    if isinstance(texts, Texts):
        names = [*texts.names, None]
        return [names[code] for code in texts.codes]
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
    from fastnn.system import paths

    with common.naming("--output"), paths.writing(options.output) as file:
        file.write(lines.getvalue().encode())
    rows = len(next(iter(columns.values())))
    if options.json:
        common.print_json({"model": options.model, "data": options.data, "rows": rows, "output": options.output})
    else:
        print(f"{rows:,} rows of predictions in {options.output}")
