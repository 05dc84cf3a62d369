"""What `fastnn predict` and `convert` write: every digit that counts, kept cells as they stand, files whole."""

import csv
import errno
import os
import pathlib
import re
import stat
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import r2_score

import fastnn
from fastnn.command.cli import main
from fastnn.kernels.compile import JIT_DISABLED
from tests.commands import Output, assert_error, printed_json
from tests.test_cli_tables import in_a_folder, predicted

__all__ = ["in_a_folder"]  # a fixture
pytestmark = pytest.mark.skipif(JIT_DISABLED, reason="slow with NUMBA_DISABLE_JIT=1")


def numbers(rows: int = 120) -> pd.DataFrame:
    a, b = np.random.default_rng(0).standard_normal((2, rows)).round(4)
    return pd.DataFrame({"a": a, "b": b, "y": (2 * a - b).round(4)})


def train(data: pd.DataFrame, capsys: Output, *options: str) -> None:
    data.to_csv("data.csv", index=False)
    assert main(["train", "--data", "data.csv", "--target", "y", "--save", "net.npz", "--quiet", *options]) == 0
    capsys.readouterr()


# --- digits --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("middle", "spread"), [(1.6e9, 1000.0), (0.0, 1e-9), (-3e4, 1e-3)])
def test_predictions_keep_the_digits_of_the_spread(middle: float, spread: float, capsys: Output) -> None:
    """Such as times in seconds: seven digits of 1.6e9 would be steps of 1000."""
    data = numbers()
    data["y"] = middle + spread * data["a"]
    train(data, capsys, "--epochs", "60", "--task", "regression")
    assert main(["evaluate", "net.npz", "data.csv", "--json"]) == 0
    figures = printed_json(capsys)
    assert main(["predict", "net.npz", "data.csv", "--output", "out.csv"]) == 0
    found = pd.read_csv("out.csv")["y"]
    assert r2_score(data["y"], found) == pytest.approx(figures["r2_score"], abs=1e-6)
    assert figures["r2_score"] > 0.8
    capsys.readouterr()


def test_predictions_have_no_more_digits_than_the_network_computes(capsys: Output) -> None:
    train(numbers(), capsys, "--epochs", "2", "--no-scaling")
    assert main(["predict", "net.npz", "data.csv"]) == 0
    assert max(len(row["y"].lstrip("-0.").replace(".", "")) for row in predicted(capsys)) <= 7


# --- kept columns --------------------------------------------------------------------------------------------------


def test_kept_cells_stand_as_in_the_file(capsys: Output) -> None:
    data = numbers()
    train(data, capsys, "--epochs", "1")
    new = data.head(3).astype({"a": object})
    new["a"] = ["1.10", "+2", "1e-3"]  # an input, too
    new["id"] = ["1234567890123456700", "1234567890123456701", "1234567890123456702"]
    new["code"] = ["00234", "7", ""]
    new.to_csv("new.csv", index=False)
    assert main(["predict", "net.npz", "new.csv", "--ignore", "code", "--keep", "id,a", "--keep", "code"]) == 0
    rows = predicted(capsys)
    assert [row["id"] for row in rows] == list(new["id"])
    assert [row["a"] for row in rows] == list(new["a"])
    assert [row["code"] for row in rows] == list(new["code"])
    kept = [row["y"] for row in rows]
    assert main(["predict", "net.npz", "new.csv", "--ignore", "id,code"]) == 0
    assert [row["y"] for row in predicted(capsys)] == kept


def test_decimal_commas_are_kept(capsys: Output) -> None:
    numbers().to_csv("data.csv", index=False, sep=";", decimal=",")
    assert main(["train", "--data", "data.csv", "--decimal", ",", "--target", "y", "--save", "net.npz", "--quiet"]) == 0
    pathlib.Path("new.csv").write_text("a;b\n1,50;2,0\n")
    capsys.readouterr()
    assert main(["predict", "net.npz", "new.csv", "--decimal", ",", "--keep", "a"]) == 0
    assert predicted(capsys)[0]["a"] == "1,50"


def test_no_kept_column_is_lost(capsys: Output) -> None:
    """Even if the file already has a name that a kept column would get."""
    train(numbers(), capsys, "--epochs", "1")
    data = numbers(3).assign(**{"y in new.csv": [1, 2, 3]})
    data.to_csv("new.csv", index=False)
    assert main(["predict", "net.npz", "new.csv", "--keep", "all"]) == 0
    rows = list(csv.reader(capsys.readouterr().out.splitlines()))
    assert len(set(rows[0])) == 5 and [len(row) for row in rows] == [5] * 4
    assert rows[0][-1] == "y" and rows[1][3] == "1"
    assert [float(cell) for cell in rows[1][:4]] == data.iloc[0].tolist()


# --- files ---------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="pipes with names are not of Windows")
@pytest.mark.parametrize("name", ["pipe.onnx", "link.onnx"])
def test_pipes_are_never_replaced(name: str, capsys: Output) -> None:
    pytest.importorskip("onnx")
    train(numbers(), capsys, "--epochs", "1")
    os.mkfifo("pipe.onnx")
    os.symlink("pipe.onnx", "link.onnx")
    came = f"expected the name of a file, got {name}, a device or a pipe; pass another name"
    assert_error(["predict", "net.npz", "data.csv", "--output", name], f"--output: {came}", capsys)
    assert_error(["convert", "net.npz", name], f"FILE: {came}", capsys)
    with pytest.raises(ValueError, match="a device or a pipe"):
        fastnn.load("net.npz").to_onnx(name)
    assert stat.S_ISFIFO(os.stat("pipe.onnx").st_mode)


def test_a_full_disk_leaves_the_old_predictions(capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    train(numbers(), capsys, "--epochs", "1")
    pathlib.Path("out.csv").write_text("old\n")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    assert main(["predict", "net.npz", "data.csv", "--output", "out.csv"]) == 1
    assert "--output: expected to be able to write" in capsys.readouterr().err
    assert pathlib.Path("out.csv").read_text() == "old\n"
    assert not [name for name in os.listdir() if name.endswith(".tmp")]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["predict", "net.npz", "table.csv", "--output", "./table.csv"], "--output: .* the file that is read"),
        (["predict", "net.npz", "table.csv", "--output", "net.npz"], "--output: .* the file that is read"),
        (["convert", "net.npz", "./net.npz"], "FILE: .* the file that is read"),
        (["train", "--data", "table.csv", "--target", "y", "--log", "table.csv"], "--log: .* the file that is read"),
        (["train", "--save", "a.npz", "--checkpoint", "a.npz"], "--checkpoint: .* got a.npz, that of --save"),
    ],
)
def test_no_file_is_written_over_another(arguments: list[str], problem: str, capsys: Output) -> None:
    pathlib.Path("table.csv").write_text("a,y\n" + "".join(f"{k},{2 * k}.5\n" for k in range(40)))
    assert main(["train", "--data", "table.csv", "--target", "y", "--epochs", "1", "--save", "net.npz", "--quiet"]) == 0
    before = {file: file.read_bytes() for file in map(pathlib.Path, ("table.csv", "net.npz"))}
    capsys.readouterr()
    assert main(arguments) == 1
    assert re.search(f"{problem}; pass another name$", capsys.readouterr().err.strip())
    assert {file: file.read_bytes() for file in before} == before


def test_where_a_network_of_a_table_goes_it_is_told_what_it_takes(capsys: Output) -> None:
    pathlib.Path("table.csv").write_text("a,city,y\n" + "".join(f"{k},{'AB'[k % 2]},{2 * k}.5\n" for k in range(40)))
    assert main(["train", "--data", "table.csv", "--target", "y", "--epochs", "1", "--save", "net.npz"]) == 0
    assert 'notes["table"] says which' in capsys.readouterr().out
    assert main(["convert", "net.npz", "net.safetensors"]) == 0
    assert "its inputs are a, city=A, city=B" in capsys.readouterr().out


def test_convert_tells_what_the_file_of_a_checkpoint_loses(capsys: Output) -> None:
    assert main(["train", "--epochs", "1", "--checkpoint", "run.npz", "--save", "net.npz", "--quiet"]) == 0
    capsys.readouterr()
    assert main(["convert", "run.npz", "a.npz"]) == 0
    assert capsys.readouterr().out.endswith("written to a.npz, without the training's state, which --resume needs\n")
    assert main(["convert", "run.npz", "a.npz", "--json"]) == 0
    assert printed_json(capsys)["lost"] == ["the training's state, which --resume needs"]
    assert fastnn.load("a.npz").engine.state_owner == "sgd"
    assert main(["convert", "net.npz", "a.npz"]) == 0
    assert capsys.readouterr().out.endswith("written to a.npz\n")
