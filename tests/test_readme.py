"""The README: its script runs as printed, its names exist, and so do its commands."""

import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys

import fastnn
from benchmarks import numerical_training
from fastnn.operations import ACTIVATIONS, LOSSES

README = (pathlib.Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
INSTALL = "python3 -m venv .venv && .venv/bin/python -m pip install -e"


def _table() -> dict[str, str]:
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", README, re.MULTILINE)
    return {what.strip(): names for what, names in rows}


def test_scripts_run_as_printed(tmp_path: pathlib.Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) == 5  # each goes on where the one before it ends
    has_sklearn = importlib.util.find_spec("sklearn") is not None
    blocks = [block for block in blocks if has_sklearn or "sklearn" not in block]
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "0"}
    command = [sys.executable, "-W", "error", "-c", "\n".join(blocks)]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    accuracy = re.search(r"test accuracy: ([\d.]+)", run.stdout)
    assert accuracy is not None
    assert float(accuracy.group(1)) >= 0.95
    assert (tmp_path / "digits.npz").exists()
    assert "\nagree (h = 0.0001;" in run.stdout
    accuracy = re.search(r"\naccuracy: ([\d.]+)", run.stdout)
    assert not has_sklearn or (accuracy is not None and float(accuracy.group(1)) >= 0.95)


def test_numerical_training_is_as_measured() -> None:
    file = pathlib.Path(numerical_training.__file__).parent / "results" / f"{numerical_training.NAME}.json"
    assert numerical_training.sentence(json.loads(file.read_text(encoding="utf-8"))) in README
    assert file.with_suffix(".svg").exists()


def test_script_fits_one_screen() -> None:
    block = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert block is not None
    assert block.group(1).count("\n") <= 40


def test_operations_of_ones_own_are_short() -> None:
    """They are an activation, a loss, an optimizer and a layer, and their use."""
    block = next(block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "fastnn.layer(" in block)
    for kind in ("activation", "loss", "optimizer", "layer"):
        assert f"fastnn.{kind}(" in block
    assert len([line for line in block.splitlines() if line]) < 30


def test_two_commands() -> None:
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    assert blocks[:2] == [
        f"{INSTALL} . && .venv/bin/fastnn demo\n",
        f'{INSTALL} ".[test]" && .venv/bin/python -m pytest -n 2\n',
    ]


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
