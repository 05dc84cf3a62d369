"""Tables whose cells can be read in two ways: what is taken for a header, a number, a category, a class."""

import json
import pathlib
from typing import Any

import numpy as np
import pandas as pd
import pytest

import fastnn
from fastnn.command.cli import main
from fastnn.errors import DatasetError
from fastnn.kernels.compile import JIT_DISABLED
from fastnn.tables import encoding as encodings
from fastnn.tables import text_files
from fastnn.tables.table import Numbers, Table, Wishes
from fastnn.tables.targets import task_of
from fastnn.tables.text_files import Format
from tests.commands import Output, assert_error

slow = pytest.mark.skipif(JIT_DISABLED, reason="slow with NUMBA_DISABLE_JIT=1")


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def table_of(text: str, style: Format | None = None) -> Table:
    return text_files.read("f.csv", text.encode(), style or Format(), lambda _: Wishes())


def write(name: str, rows: list[Any], header: str = "") -> None:
    lines = [header] * bool(header) + [",".join(map(str, row)) for row in rows]
    pathlib.Path(name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def learn(text: str, target: str = "y", style: Format | None = None) -> encodings.Encoding:
    table = table_of(text, style)
    task, _ = task_of(table, [target])
    return encodings.learn(table, encodings.Choices((target,)), task, np.arange(table.rows))


# --- headers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "decimal", "has_header"),
    [
        (",-0.1,0.6\n1,2,3\n", ".", False),  # an empty cell is no name
        ("NA,-0.1\n1,2\n", ".", False),
        ("NA,\n1,2\n", ".", False),
        ("0,12573;-0,13210\n1,5;2,5\n", ",", False),
        ("a;b\n1,5;2,5\n", ",", True),
        ("a,2019\n1,2\n", ".", True),
    ],
)
def test_rows_of_data_are_no_header(text: str, decimal: str, has_header: bool) -> None:
    table = table_of(text, Format(decimal=decimal))
    assert table.has_header == has_header and table.is_header_guessed
    assert table.rows == 2 - has_header


def test_many_columns_take_linear_time() -> None:
    class Name(str):
        compared = 0

        def __eq__(self, other: object) -> bool:
            Name.compared += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

        def strip(self, chars: str | None = None) -> str:
            return self

    assert len(text_files.names_of("f.csv", [Name(f"c{i}") for i in range(2000)])) == 2000
    assert Name.compared <= 4000


# --- numbers written in another way --------------------------------------------------------------------------------


def test_a_point_in_a_file_of_decimal_commas_is_no_number() -> None:
    text = "a;y\n" + "7.211;0,758\n950;1,5\n" * 20
    with pytest.raises(DatasetError, match=r"column 'a', got 20 numbers and '7\.211' in row 1; write .* thousands"):
        learn(text, style=Format(decimal=","))


@pytest.mark.parametrize(
    ("cells", "decimal", "hint"),
    [
        (["1,234", "2,345,678"], ".", "write numbers without separators of thousands"),
        (["1,234.5", "-9,999"], ".", "write numbers without separators of thousands"),
        (["1,25", "2,5"], ".", "pass --decimal ,"),
        (["0,125", "0,250"], ".", "pass --decimal ,"),
        (["1.25", "2.5"], ",", "pass --decimal ."),
        (["1.234", "12.500,5"], ",", "write numbers without separators of thousands"),
    ],
)
def test_hints_about_numbers_written_another_way(cells: list[str], decimal: str, hint: str) -> None:
    text = "a;y\n" + "".join(f"{cell};{i % 7}\n" for i, cell in enumerate(cells * 30))
    with pytest.raises(DatasetError) as caught:
        learn(text, style=Format(";", decimal))
    assert f"got {cells[0]!r} in row 1; {hint}; if they are categories, pass --categorical a" in str(caught.value)
    with pytest.raises(DatasetError) as caught:
        encodings.learn(table_of(text, Format(";", decimal)), encodings.Choices(("a",)), "regression", np.arange(60))
    assert str(caught.value).endswith(f"got {cells[0]!r} in row 1; {hint}")


@pytest.mark.parametrize("cell", ["NA ", "n/a", " None", "-nan", "#N/A N/A", "-1.#IND"])
def test_missing_cells_may_have_spaces(cell: str) -> None:
    column = table_of(f'a,y\n1,2\n"{cell}",3\n').columns["a"]
    assert isinstance(column, Numbers) and column.missing.tolist() == [False, True]


@pytest.mark.parametrize("cell", ["NAN", "+nan", "?", "-", "12a"])
def test_an_odd_cell_among_numbers_is_refused(cell: str) -> None:
    rows = "".join(f"{i}.5,{i * i}.5\n" for i in range(40))
    pattern = rf"got 40 numbers and {cell!r} in row 41; correct the cell, or leave it empty".replace("?", "[?]")
    for odd, name in ((f"{cell},1.5\n", "a"), (f"1.5,{cell}\n", "y")):
        with pytest.raises(DatasetError, match=pattern.replace("+", "[+]")) as caught:
            learn("a,y\n" + rows + odd)
        assert str(caught.value).endswith(f"pass --categorical {name}")


def test_texts_with_a_few_numbers_are_categories() -> None:
    made = learn("a,y\n" + "x,1.5\ny,2.5\n3,3.5\n" * 5)
    assert made.inputs[0].to_note()["categories"] == ["3", "x", "y"]


# --- columns without names -----------------------------------------------------------------------------------------


@slow
def test_files_without_names_are_read_by_position(capsys: Output) -> None:
    """The target stands first and a number of the rows last, so that positions move as either is absent."""
    rng = np.random.default_rng(0)
    u, v, kind = rng.standard_normal(200), rng.standard_normal(200), rng.choice(["01", "02"], 200)
    y = 3 * u + (kind == "02")
    write("train.csv", list(zip(y, u, kind, v, range(200), strict=True)))
    options = ["--target", "1", "--categorical", "3", "--ignore", "5", "--epochs", "60", "--quiet"]
    assert main(["train", "--data", "train.csv", *options, "--save", "net.npz"]) == 0
    found = []
    for columns in ((y, u, kind, v, range(200)), (u, kind, v, range(200)), (u, kind, v)):
        write("new.csv", list(zip(*columns, strict=True)))
        capsys.readouterr()
        assert main(["predict", "net.npz", "new.csv"]) == 0
        found.append([float(line) for line in capsys.readouterr().out.splitlines()[1:]])
    assert found[1] == found[2] == found[0]
    assert np.corrcoef(found[0], y)[0, 1] > 0.9
    write("new.csv", list(zip(u, kind, v, v, range(200), u, strict=True)))
    assert main(["predict", "net.npz", "new.csv", "--ignore", "4,5,6"]) == 0
    assert [float(line) for line in capsys.readouterr().out.splitlines()[1:]] == found[0]
    for command, expected in (
        ("predict", "3 columns (inputs alone) or 4 columns (all but the target) or 5 columns (all of the training)"),
        ("evaluate", "4 columns (inputs and target) or 5 columns (all of the training)"),
    ):
        sentence = f"new.csv: expected {expected}, got 6 without names; pass the columns in the training's order"
        assert_error([command, "net.npz", "new.csv"], sentence, capsys)


# --- classes and categories ----------------------------------------------------------------------------------------

LARGE = [2**53, 2**53 + 1, 2**53 + 4]


@slow
@pytest.mark.parametrize("suffix", ["csv", "npz", "parquet"])
@pytest.mark.parametrize("options", [["--task", "classification"], ["--categorical", "k"]])
def test_large_integers_stay_different_classes(suffix: str, options: list[str], capsys: Output) -> None:
    data = pd.DataFrame({"a": np.random.default_rng(0).standard_normal(90), "k": LARGE * 30})
    save(data, suffix)
    assert main(["train", "--data", f"f.{suffix}", "--target", "k", *options, "--epochs", "1", "--save", "n.npz"]) == 0
    note = fastnn.load("n.npz").notes["table"]["targets"][0]
    assert note["classes"] == [str(one) for one in LARGE] and note["texts"]
    capsys.readouterr()
    assert main(["evaluate", "n.npz", f"f.{suffix}", "--json"]) == 0
    assert [one["rows"] for one in json.loads(capsys.readouterr().out)["classes"]] == [30, 30, 30]


def save(data: pd.DataFrame, suffix: str) -> None:
    if suffix == "npz":
        np.savez("f.npz", **{name: data[name].to_numpy() for name in data})
    elif suffix == "parquet":
        pytest.importorskip("pyarrow")
        data.to_parquet("f.parquet")
    else:
        data.to_csv("f.csv", index=False)


@slow
@pytest.mark.parametrize("options", [[], ["--categorical", "k"]])
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_classes_with_leading_zeros(suffix: str, options: list[str], capsys: Output) -> None:
    data = pd.DataFrame({"a": np.random.default_rng(0).standard_normal(60), "k": ["007", "042"] * 30})
    save(data, suffix)
    assert main(["train", "--data", f"f.{suffix}", "--target", "k", *options, "--epochs", "1", "--save", "n.npz"]) == 0
    data.to_csv("f.csv", index=False)
    capsys.readouterr()
    for file in (f"f.{suffix}", "f.csv"):
        assert main(["evaluate", "n.npz", file, "--json"]) == 0
        assert [one["class"] for one in json.loads(capsys.readouterr().out)["classes"]] == ["007", "042"]
    assert main(["predict", "n.npz", "f.csv"]) == 0
    assert set(capsys.readouterr().out.split()[1:]) <= {"007", "042"}


@slow
def test_one_class_may_be_written_in_several_ways(capsys: Output) -> None:
    a = np.random.default_rng(0).standard_normal(60)
    write("f.csv", list(zip(a, ["0", "1", "1.0", "0.0"] * 15, strict=True)), "a,k")
    options = ["--task", "classification", "--epochs", "1", "--save", "n.npz"]
    assert main(["train", "--data", "f.csv", "--target", "k", *options]) == 0
    assert fastnn.load("n.npz").notes["table"]["targets"][0]["classes"] == ["0", "1"]
    capsys.readouterr()
    assert main(["evaluate", "n.npz", "f.csv", "--json"]) == 0
    assert [one["rows"] for one in json.loads(capsys.readouterr().out)["classes"]] == [30, 30]
