"""The table of all names in docs/reference/overview.md: its names exist, and none is missing."""

import pathlib
import re

import fastnn
from fastnn.command.cli import COMMANDS, main
from fastnn.operations import ACTIVATIONS, LOSSES
from tests.commands import Output

PAGE = pathlib.Path(__file__).parents[1] / "docs" / "reference" / "overview.md"


def _table() -> dict[str, str]:
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return {what.strip(): names for what, names in rows}


def test_table_names_exist_and_are_complete() -> None:
    table = _table()
    named = {name for cell in table.values() for name in re.findall(r"`([A-Za-z0-9_.]+)`", cell)}
    members = set(table["networks"].replace("`", "").replace(";", ",").split(", ")) if "networks" in table else set()
    named -= {"fastnn.dropin", "common", "dataset"}  # of the drop-in, imported where it is used
    named -= {"fastnn.distributed.fit"}  # which needs Dask
    named -= {"fastnn.sklearn", "MLPClassifier", "MLPRegressor"}  # which need scikit-learn
    for name in named:
        parts = name.split(".")
        found = fastnn
        for part in parts:
            found = getattr(found, part, None)  # type: ignore[assignment]
        assert found is not None or hasattr(fastnn.Network, name) or name == "params", name
    assert members
    listed = {name.split(".")[0] for name in named}
    errors_and_types = {
        "reference",
        "DatasetError",
        "History",
        "ModelFileError",
        "TrainingDivergedError",
        "__version__",
    }
    assert set(dir(fastnn)) - errors_and_types <= listed


def test_table_lists_every_activation_and_loss() -> None:
    table = _table()
    assert re.findall(r"[a-z_]+(?=,| \(|$)", table["activations"].strip()) == list(ACTIVATIONS)
    for loss in LOSSES:
        assert loss in table["losses of a network"]


def test_table_lists_every_command(capsys: Output) -> None:
    assert main([]) == 0
    commands = re.findall(r"^  ([a-z]+) +[A-Z]", capsys.readouterr().out, re.MULTILINE)
    assert re.findall(r"`fastnn ([a-z]+)`", _table()["command line"]) == commands
    assert len(commands) == len(COMMANDS)
