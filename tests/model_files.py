"""Helpers for the tests of model files: a small network, the members of its file, and how a file is refused."""

import io
import json
import pathlib
import re
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.gate.arrays import Array
from fastnn.layers import Affine, LeakyRelu
from fastnn.network.network import Network
from fastnn.optimizers import Momentum
from tests import shapes

HEADER, STATE = "header.json", "optimizer_state.npy"
PARAMETERS = "W1.npy", "b1.npy", "W2.npy", "b2.npy"  # of a small network
MEMBERS = HEADER, *PARAMETERS, STATE
ONE_VECTOR = "parameters.npy"  # up to version 4
REPAIR = "use an intact copy, or save the network again"
REMEDY = "pass a file saved by Network.save"


def whole(sentence: str) -> str:
    return f"^{re.escape(sentence)}$"


def small_network(momentum: bool = True, dtype: str = "float32") -> Network:
    """Three inputs, two outputs, 26 parameters; with `momentum`, once trained, so that there is a state to keep."""
    network = Network([Affine(3, 4), LeakyRelu(0.1), Affine(4, 2)], "mean_squared_error", rng=0, dtype=dtype)
    if momentum:
        network.step(*batch("mean_squared_error"), Momentum(lr=0.1))
    return network


def batch(loss: Any) -> tuple[Array, Array]:
    rng = np.random.default_rng(5)
    x = rng.standard_normal((7, 3))
    if loss == "mean_squared_error":
        return x, rng.standard_normal((7, 2))
    return x, shapes.targets_of(loss, 7, 2, np.float64)


def bits(network: Network) -> tuple[Any, ...]:
    """Everything that training changes, in a form that can be compared."""
    values, state, *rest = network.engine.snapshot()
    return values.tobytes(), state.tobytes(), *rest


def members(path: pathlib.Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_members(path: pathlib.Path, contents: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)


def as_format_4(path: pathlib.Path) -> None:
    """Write a small network's file in the format before: all parameters in one vector."""
    contents = members(path)
    arrays = [np.load(io.BytesIO(contents[name])).ravel() for name in PARAMETERS]
    vector = io.BytesIO()
    np.save(vector, np.concatenate(arrays))
    write_members(path, {HEADER: contents[HEADER], ONE_VECTOR: vector.getvalue(), STATE: contents[STATE]})

    def edit(header: dict[str, Any]) -> None:
        header.update(format_version=4)
        del header["input_scale"]

    edit_header(path, edit)


def edit_header(path: pathlib.Path, edit: Callable[[dict[str, Any]], object]) -> None:
    contents = members(path)
    header = json.loads(contents[HEADER])
    edit(header)
    write_members(path, {**contents, HEADER: json.dumps(header).encode()})


def refused(path: pathlib.Path, sentence: str) -> None:
    """Assert that loading fails with this sentence after the file's name."""
    with pytest.raises(fastnn.ModelFileError, match=whole(f"{path}: {sentence}")):
        fastnn.load(path)
