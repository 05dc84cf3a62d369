"""What stands in a file of a network: its texts and arrays by name, written to a container and read from it.

Format version 6 holds, in a .npz or a .safetensors file:

    header.json        the network's description: see header.py
    notes.json         if there are any: `Network.notes`, a JSON object
    own_operations.json  if there are any: what a user's own operations gave at some points, see own.py
    W1, b1, ...        the parameters, then the statistics, each by its name in `Network.params`, little-endian
    optimizer_state    the optimizer's state, (vectors, P), in the order of the header's parameters
    training.json      in a checkpoint: where its training stands, see training_state.py
    training/...       in a checkpoint: the arrays that belong to it

Versions 1 to 4 have all parameters in one vector, `parameters` (P,). tests/data holds files of them. What the format
cannot express, such as a new field of a layer, takes a new version number; earlier versions stay readable.
"""

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from fastnn.engine.engine import Snapshot
from fastnn.engine.parameters import Views
from fastnn.errors import ModelFileError
from fastnn.gate import notes
from fastnn.gate.arrays import Array
from fastnn.network.files import header, npz, own, safetensors
from fastnn.network.files.header import LARGEST_HEADER, REMEDY, REPAIR, Description
from fastnn.optimizers import OPTIMIZERS
from fastnn.system import files, paths

if TYPE_CHECKING:
    from fastnn.network.network import Network

Contents: TypeAlias = dict[str, bytes | Array]
Reader: TypeAlias = npz.Reader | safetensors.Reader

HEADER, STATE, ONE_VECTOR = header.NAME, "optimizer_state", "parameters"
NOTES = "notes.json"
TRAINING, TRAINING_ARRAYS = "training.json", "training/"  # the latter begins the names of arrays
FIRST_WITH_NAMES = 5  # format version


def of(network: "Network", snapshot: Snapshot) -> Contents:
    """The contents of the file of a network as it was in a snapshot."""
    text = header.describe(network, snapshot)
    state = snapshot.state if snapshot.update else snapshot.state[:0]
    named = Views(network.engine.places | network.engine.statistics_places)(snapshot.parameters)
    noted: Contents = {NOTES: notes.to_text(network.notes)} if network.notes else {}
    tried = own.to_text([*network.engine.layers, network.engine.loss, snapshot.optimizer])
    noted |= {own.NAME: tried} if tried else {}
    return {HEADER: text, **noted, **named, STATE: state}


def write(path: str, contents: Mapping[str, bytes | Array]) -> None:
    """Write a file whole or not at all, in the format of its suffix: see `paths.writing`."""
    as_tensors = path.lower().endswith(paths.SAFETENSORS)
    if as_tensors:
        safetensors.library()  # before anything is written
    with paths.writing(path) as file:
        (safetensors if as_tensors else npz).write(file, contents)


@contextlib.contextmanager
def opened(path: str) -> Iterator[Reader]:
    """The file at `path`, in the format that its first bytes show; ModelFileError with its name for a damaged one."""
    with files.reading(path) as file:
        try:
            start = file.read(9)
            file.seek(0)
            yield safetensors.Reader(path) if start[8:] == b"{" and start[:2] != b"PK" else npz.Reader(file)
        except ModelFileError as error:
            raise ModelFileError(f"{path}: {error}") from error.__cause__
        except npz.DAMAGE as error:
            came = f"one that is not, or is cut short or damaged ({error})"
            raise ModelFileError(f"{path}: expected a file written by Network.save, got {came}; {REPAIR}") from error


def read(reader: Reader) -> tuple[Description, Snapshot]:
    """The description of a file's network, and all that training changes."""
    if HEADER not in reader.texts:
        raise ModelFileError(f"expected {HEADER}, got {reader.shown}; {REMEDY}")
    described = header.parse(reader.text(HEADER, LARGEST_HEADER))
    shapes = described.shapes if described.version >= FIRST_WITH_NAMES else {ONE_VECTOR: (described.size,)}
    _check_names(reader, [*shapes, STATE], described.version >= FIRST_WITH_NAMES)
    if own.NAME in reader.texts:
        used = (*described.layers, described.loss, described.optimizer)
        own.check(reader.text(own.NAME, own.LARGEST), used)
    # Each is checked before memory is taken for it.
    parts = [reader.array(name, described.dtype, shape).reshape(-1) for name, shape in shapes.items()]
    values = np.concatenate([np.empty(0, described.dtype), *parts], dtype=described.dtype)
    vectors = len(OPTIMIZERS[described.update].keeps) if described.update else 0
    state = reader.array(STATE, described.dtype, (vectors, described.size)).astype(described.dtype)
    counts = (described.steps, described.draws, described.seed)
    return described, Snapshot(values, state, described.update, *counts, described.optimizer)


def read_notes(reader: Reader) -> dict[str, Any]:
    """The network's notes; empty without any."""
    if NOTES not in reader.texts:
        return {}
    try:
        return notes.of_text(reader.text(NOTES, notes.LARGEST))
    except ModelFileError:
        raise
    except ValueError as error:
        raise ModelFileError(f"{NOTES}: {error}; {REPAIR}") from error


def _check_names(reader: Reader, arrays: list[str], may_train: bool) -> None:
    """Refuse a file with fewer members than the header says, or with others, unless they are a checkpoint's."""
    is_checkpoint = may_train and TRAINING in reader.texts
    found = [name for name in reader.arrays if not (is_checkpoint and name.startswith(TRAINING_ARRAYS))]
    texts = {HEADER, TRAINING} if is_checkpoint else {HEADER}
    texts |= {NOTES, own.NAME} & set(reader.texts) if may_train else set()
    if set(found) != set(arrays) or set(reader.texts) != texts:
        wanted = ", ".join([HEADER, *arrays])
        raise ModelFileError(f"expected {wanted}, as {HEADER} says, got {reader.shown}; {REMEDY}")
