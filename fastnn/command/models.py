"""The parts that predict, evaluate and convert share: networks in files, and tables as inputs to them."""

import argparse
import os
from typing import TYPE_CHECKING, Any

from fastnn.command import options as common
from fastnn.command import table_options
from fastnn.errors import DatasetError, ModelFileError
from fastnn.system import files

if TYPE_CHECKING:
    from fastnn.network.network import Network
    from fastnn.tables.encoding import Encoding
    from fastnn.tables.table import Table

ONNX = ".onnx"
READ = (".npz", ".safetensors", ONNX)
# What a network is told of that was trained on a table, where it goes on without the command line.
ENCODED = 'it takes scaled numbers and a 0 or 1 for each category, and notes["table"] says which'


def load(path: str) -> "Network":
    """The network in a file of fastnn's, or in an ONNX model."""
    from fastnn.network import persistence
    from fastnn.network.network import Network
    from fastnn.system import paths

    with common.naming("MODEL"):
        name = paths.file_name(path)
        suffix = os.path.splitext(name)[1].lower()
        if suffix in paths.OTHER_FORMATS - {ONNX}:
            own = (
                "Network.from_torch reads a module of PyTorch in Python" if suffix in (".pt", ".pth") else "convert it"
            )
            raise ModelFileError(f"{path}: expected a network in a file {' or '.join(READ)}, got {suffix}; {own}")
        if suffix != ONNX:
            return persistence.load(name)
        with files.reading(name):  # for its sentence about a missing file
            pass
        return Network.from_onnx(name)


def is_checkpoint(path: str) -> bool:
    """Whether a file also holds the state of a network's training."""
    from fastnn.network.files import contents

    if os.path.splitext(path)[1].lower() == ONNX:
        return False
    try:
        with contents.opened(path) as reader:
            return contents.TRAINING in reader.texts
    except ModelFileError:
        return False


def encoding_of(network: "Network", path: str) -> "Encoding | None":
    """The encoding of the table that a network was trained on; None where there was none."""
    from fastnn.tables.encoding import encoding_in

    try:
        return encoding_in(network.notes, network.inputs, network.outputs)
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error}") from error


def raw_inputs(network: "Network", table: "Table", ignore: list[str]) -> Any:
    """The columns of a table as they are, without the ones to ignore, for a network that was not trained on one."""
    import numpy as np

    from fastnn.tables.inputs import numbers_in

    left_out = table.find("--ignore", ignore)
    names = [name for name in table.groups.get("x", list(table.columns)) if name not in left_out]
    if len(names) != network.inputs:
        remedy = "leave the others out by --ignore" if len(names) > network.inputs else "pass these alone"
        came = f"{len(names)}, and the network does not say how it was trained; {remedy}"
        raise DatasetError(f"{table.source}: expected {network.inputs} columns of inputs, got {came}")
    x = np.column_stack([numbers_in(table, name) for name in names]).astype(network.dtype)
    return x.reshape(len(x), *network.input_shape)


def add_model_and_data(parser: Any, more: str = "") -> None:
    """Add the arguments MODEL and DATA, and how a table is written; more: other data than a table."""
    parser.add_argument("model", metavar="MODEL", help="a file of fastnn train --save, or an ONNX model")
    parser.add_argument("data", metavar="DATA", help=f"a table: .csv, .tsv, also .gz; .npz, .npy or .parquet{more}")
    group = parser.add_argument_group("data")
    ignore = "columns that are not the training's, to leave out"
    group.add_argument("--ignore", action="append", default=[], metavar="COLUMN,..", help=ignore)
    table_options.add_format(group)


def set_threads(options: argparse.Namespace) -> None:
    """Choose the number of threads, if there is such an option."""
    if options.threads is not None:
        from fastnn.engine import threads

        threads.set_num_threads(options.threads)
