"""Tables in files, compared with pandas, and their encoding, compared with pandas and scikit-learn."""

import bz2
import csv
import gzip
import io
import json
import lzma
import pathlib
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas._libs.parsers import STR_NA_VALUES
from sklearn.preprocessing import StandardScaler

from fastnn.errors import DatasetError, ModelFileError
from fastnn.tables import encoding as encodings
from fastnn.tables import reading, text_files
from fastnn.tables.table import MISSING, Numbers, Table, Texts, Wishes
from fastnn.tables.targets import task_of
from fastnn.tables.text_files import Format


def table_of(text: str | bytes, style: Format = reading.PLAIN, as_text: tuple[str, ...] = ()) -> Table:
    return text_files.read(
        "f.csv", text if isinstance(text, bytes) else text.encode(), style, lambda _: Wishes(as_text)
    )


def cells(table: Table) -> dict[str, list[Any]]:
    """The columns as lists, None where there is no value."""
    found: dict[str, list[Any]] = {}
    for name, column in table.columns.items():
        if isinstance(column, Texts):
            found[name] = [None if code < 0 else column.names[code] for code in column.codes]
        elif isinstance(column, Numbers):
            found[name] = [None if np.isnan(value) else float(value) for value in column.values]
    return found


def frame_of(data: pd.DataFrame) -> dict[str, list[Any]]:
    return {name: [None if pd.isna(one) else one for one in data[name].tolist()] for name in data}


# --- reading -------------------------------------------------------------------------------------------------------

NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=6)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r", exclude_categories=["Cs"]), max_size=8)


@given(
    st.lists(
        st.tuples(TEXTS, st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**53), 2**53)), min_size=2
    ),
    st.sampled_from(",;\t|"),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_any_texts_and_numbers_come_back(rows: list[Any], separator: str, end: str, encoding: str) -> None:
    """Cells begin without spaces, which are dropped after separators."""
    rows = [("x" + text, number, integer) for text, number, integer in rows]
    written = io.StringIO()
    writer = csv.writer(written, delimiter=separator, lineterminator=end, quoting=csv.QUOTE_NONNUMERIC)
    writer.writerows([("text", "number", "integer"), *rows])
    found = cells(table_of(written.getvalue().encode(encoding), Format(separator)))
    assert found["text"] == [row[0] for row in rows]
    assert found["number"] == [row[1] for row in rows]
    assert found["integer"] == [row[2] for row in rows]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_file_shows_its_separator(separator: str) -> None:
    data = pd.DataFrame({"größe": [1.5, -2e-7, 3e30], "a,b": ['x"y', "z;w", "u\nv"], "n": [1, 2, 3]})
    assert cells(table_of(data.to_csv(index=False, sep=separator))) == frame_of(data)


def test_missing_cells_are_those_of_pandas() -> None:
    assert {*STR_NA_VALUES, ""} - {" "} == MISSING  # spaces do not count
    text = "number,text\n" + "".join(f'{one},"{one}"\n' for one in sorted(MISSING)) + "1,x\n"
    found = cells(table_of(text))
    assert found == {"number": [None] * len(MISSING) + [1.0], "text": [None] * len(MISSING) + ["x"]}
    assert frame_of(pd.read_csv(io.StringIO(text))) == found


def test_a_text_after_many_numbers_makes_a_column_of_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_files, "BLOCK_CELLS", 8)
    monkeypatch.setattr(text_files, "FEWEST_ROWS", 1)
    data = pd.DataFrame({"a": [*(f"{i:03}" for i in range(50)), "x"], "b": range(51)})
    assert cells(table_of(data.to_csv(index=False))) == frame_of(data)


def test_decimal_commas_and_texts_of_numbers() -> None:
    found = cells(table_of("a;b\n1,5;007\n-2,25;012\n", Format(decimal=","), ("b",)))
    assert found == {"a": [1.5, -2.25], "b": ["007", "012"]}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a,b\n1,x\n", ["a", "b"]),
        ("1,x\n2,y\n", ["1", "2"]),
        ("name,2019\nx,1.5\n", ["1", "2"]),  # there is no telling
        ("x,2019\n7,1.5\n", ["x", "2019"]),  # a text stands above a number
        ("a,b\nx,y\n", ["a", "b"]),
        (" a , \n1,2\n", ["a", "2"]),
    ],
)
def test_headers(text: str, names: list[str]) -> None:
    assert list(table_of(text).columns) == names


def test_headers_as_the_user_says() -> None:
    assert list(table_of("a,b\nx,y\n", Format(header=False)).columns) == ["1", "2"]
    assert cells(table_of("1,2\n3,4\n", Format(header=True))) == {"1": [3.0], "2": [4.0]}


@pytest.mark.parametrize("underscored", ["1_000", "_", "1_"])
def test_what_python_alone_takes_for_a_number_is_a_text(underscored: str) -> None:
    assert cells(table_of(f"a\n{underscored}\n2\n")) == {"a": [underscored, "2"]}


@pytest.mark.parametrize("suffix", ["", ".gz", ".bz2", ".xz"])
def test_packed_files(suffix: str, tmp_path: pathlib.Path) -> None:
    content = b"a\tb\n1\tx,y\n"
    pack: dict[str, Any] = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
    packed = pack[suffix](content)
    path = tmp_path / f"f.tsv{suffix}"
    path.write_bytes(packed)
    assert cells(reading.read(str(path))) == {"a": [1.0], "b": ["x,y"]}
    if suffix:
        path.write_bytes(packed[:-6])
        with pytest.raises(DatasetError, match=rf"f\.tsv\{suffix}: expected a whole \{suffix} file, got a damaged one"):
            reading.read(str(path))


def test_arrays_of_numpy(tmp_path: pathlib.Path) -> None:
    x, t = np.arange(6, dtype=np.float32).reshape(3, 2), np.array(["a", "NA", "b"])
    np.savez(tmp_path / "f.npz", x=x, t=t, flag=np.array([True, False, True]))
    table = reading.read(str(tmp_path / "f.npz"))
    assert cells(table) == {"x1": [0, 2, 4], "x2": [1, 3, 5], "t": ["a", None, "b"], "flag": ["True", "False", "True"]}
    assert table.find("--target", ["x"]) == ["x1", "x2"]
    np.save(tmp_path / "f.npy", x)
    table = reading.read(str(tmp_path / "f.npy"))
    assert cells(table) == {"1": [0, 2, 4], "2": [1, 3, 5]} and not table.has_header
    np.save(tmp_path / "f.npy", np.array([(1, "u")], [("a", "i4"), ("b", "U1")]))
    assert cells(reading.read(str(tmp_path / "f.npy"))) == {"a": [1], "b": ["u"]}


@pytest.mark.parametrize(
    "arrays",
    [
        {"x": np.zeros((2, 3)), "t": np.zeros(3)},
        {"x": np.zeros((2, 1, 1))},
        {"x": np.zeros(())},
        {"x": np.array([None])},
    ],
)
def test_arrays_that_are_no_table_are_refused(arrays: dict[str, Any], tmp_path: pathlib.Path) -> None:
    np.savez(tmp_path / "f.npz", **arrays)
    with pytest.raises(DatasetError, match=r"f\.npz: expected arrays .*; save "):
        reading.read(str(tmp_path / "f.npz"))


def test_parquet(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("pyarrow")
    data = pd.DataFrame(
        {
            "i": pd.array([1, None, 3], "Int64"),
            "f": [0.5, np.nan, -1e300],
            "b": pd.array([True, None, False], "boolean"),
            "s": ["x", None, "Köln"],
            "c": pd.Categorical(["u", "v", "u"]),
        }
    )
    data.to_parquet(tmp_path / "f.parquet")
    found = cells(reading.read(str(tmp_path / "f.parquet")))
    assert found == {**frame_of(data), "b": ["True", None, "False"]}
    data["when"] = pd.Timestamp("2020-01-01")
    data.to_parquet(tmp_path / "f.parquet")
    table = reading.read(str(tmp_path / "f.parquet"))
    with pytest.raises(DatasetError, match=r"column 'when', got timestamp.*leave it out by --ignore when"):
        encodings.learn(table, encodings.Choices(("s",)), "classification", np.arange(3))
    (tmp_path / "f.parquet").write_bytes(b"PAR1 damaged")
    with pytest.raises(DatasetError, match=r"f\.parquet: expected a Parquet file"):
        reading.read(str(tmp_path / "f.parquet"))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"", "expected a table, got an empty file"),
        (b"a,b\n", "expected rows below the header, got none"),
        (b"a,a\n1,2\n", "got 'a' for the columns 1 and 2; rename one"),
        (b"a,b\n1,2\n\n1,2,3\n", "expected 2 cells, as in the first line, got 3 in row 2"),
        (b'a,b\n1,"x\n', "(unexpected end of data)"),
        (b"a,b\n1,\xe9\n", "expected text in utf-8, got bytes that are not, b'\\xe9\\n' at 6"),
    ],
)
def test_files_that_are_no_table_are_refused(text: bytes, sentence: str) -> None:
    with pytest.raises(DatasetError) as caught:
        table_of(text)
    assert str(caught.value).startswith("f.csv: expected ") and sentence in str(caught.value)


def test_columns_are_found_by_name_and_number() -> None:
    table = table_of('a,b,"c,d",2\n1,2,3,4\n')
    for given_names, found in [
        (["a"], ["a"]),
        (["1,3"], ["a", "c,d"]),
        (["c,d"], ["c,d"]),
        (["2"], ["2"]),  # a name comes first
        (["-1", "b, a"], ["2", "b", "a"]),
    ]:
        assert table.find("--target", given_names) == found
    for wrong in ("5", "0", "-5", "A b", ""):
        with pytest.raises(DatasetError, match=r"^--target: expected a column of f\.csv \(a, b, c,d, 2\), got "):
            table.find("--target", [wrong])


# --- encoding ------------------------------------------------------------------------------------------------------


def mixed(rows: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "age": rng.integers(18, 80, rows),
            "city": rng.choice(["Rome", "Köln", "São Paulo"], rows),
            "income": 1e4 * rng.lognormal(size=rows),
            "flag": rng.choice([True, False], rows),
            "y": rng.standard_normal(rows),
        }
    )


def learned(
    data: pd.DataFrame, rows: Any, task: str = "regression", **choices: Any
) -> tuple[Table, encodings.Encoding]:
    table = table_of(data.to_csv(index=False))
    return table, encodings.learn(table, encodings.Choices(("y",), **choices), task, rows)


def expected_inputs(data: pd.DataFrame, rows: Any, scaled: bool = True) -> Any:
    inputs = data.drop(columns="y")
    numbers = ["age", "income"]
    if scaled:
        inputs[numbers] = StandardScaler().fit(inputs.iloc[rows][numbers]).transform(inputs[numbers])
    return pd.get_dummies(inputs, columns=["city", "flag"])


@pytest.mark.parametrize("scaled", [True, False])
def test_inputs_are_those_of_pandas_and_scikit_learn(scaled: bool) -> None:
    data, rows = mixed(), np.arange(10, 50)
    table, made = learned(data, rows, is_scaled=scaled)
    expected = expected_inputs(data, rows, scaled)
    names = [name.replace("=", "_") for name in made.input_names]
    assert sorted(names) == sorted(expected.columns)
    x = made.encode(table, "float64")
    np.testing.assert_allclose(x, expected[names].to_numpy(float), rtol=1e-12, atol=1e-12)
    scaler = StandardScaler().fit(data[["y"]].iloc[rows])
    t = made.encode_targets(table, "float64")
    expected_t = scaler.transform(data[["y"]]) if scaled else data[["y"]]
    np.testing.assert_allclose(t, expected_t, rtol=1e-12, atol=1e-12)


def test_a_description_is_json_and_gives_the_same_encoding() -> None:
    data = mixed()
    table, made = learned(data, np.arange(60), missing="mean", ignored=("flag",))
    note = json.loads(json.dumps(made.to_note()))
    again = encodings.encoding_in({"table": note}, made.width, 1)
    assert again == made
    shuffled = table_of(data[["y", "income", "flag", "city", "age"]].to_csv(index=False))
    assert np.array_equal(made.encode(made.fitting(shuffled), "float32"), made.encode(table, "float32"))


def test_missing_values_take_the_mean_of_the_encoded_columns() -> None:
    data, rows = mixed(), np.arange(40)
    table, made = learned(data, rows, missing="mean")
    means = made.encode(table, "float64")[rows].mean(axis=0)
    data = data.astype(object)
    data.iloc[[3, 50], :4] = None
    found = made.encode(table_of(data.to_csv(index=False)), "float64")
    np.testing.assert_allclose(found[[3, 50]], [means, means], rtol=1e-12, atol=1e-12)


def test_a_column_of_numbers_may_be_categories() -> None:
    data = mixed().assign(age=[1, 10, 2] * 20)
    table = table_of(data.to_csv(index=False), as_text=("age",))
    made = encodings.learn(table, encodings.Choices(("y",)), "regression", np.arange(60))
    assert made.inputs[0].to_note()["categories"] == ["1", "2", "10"]
    assert made.text_columns == ["age", "city", "flag"]


@pytest.mark.parametrize(
    ("values", "task"),
    [
        ([0.5, 1.0, 2.0] * 10, "regression"),
        ([0, 1] * 15, "classification"),
        ([1.0, 2.0, 3.0] * 10, "classification"),
        (["a", "b", "c"] * 10, "classification"),
        (list(range(30)), "regression"),
        ([1, 2, 3, 4, 5, 6], "regression"),  # too few rows of each
        (list(range(20)) * 3, "classification"),
        (list(range(21)) * 3, "regression"),
        ([-1, 1], "classification"),
    ],
)
def test_the_task_follows_from_the_target(values: list[Any], task: str) -> None:
    table = table_of(pd.DataFrame({"y": values}).to_csv(index=False))
    assert task_of(table, ["y"])[0] == task


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda data: data.drop(columns="age"), "expected the columns of the training, got none called age among "),
        (lambda data: data.assign(more=1), "got also more; remove them, or pass --ignore more"),
        (lambda data: data.replace("Rome", "Roma"), "(Köln, Rome, São Paulo), got 'Roma' in row "),
        (lambda data: data.assign(age=["x"] + [5] * 59), "column 'age', got 'x' in row 1; correct the cell"),
        (lambda data: data.assign(age=["1,5"] + [5] * 59), "column 'age', got '1,5' in row 1; pass --decimal ,"),
        (lambda data: data.assign(age=[np.inf] + [5] * 59), "column 'age', got inf in row 1"),
        (lambda data: data.assign(age=[1e200] + [5] * 59), "in column 'age', got 1e+200 in row 1; correct the cell"),
        (lambda data: data.assign(age=[5, np.nan] + [5] * 58), "got none in row 2, column 'age'; fill it in"),
    ],
)
def test_other_columns_and_cells_are_refused(change: Any, sentence: str) -> None:
    _, made = learned(mixed(), np.arange(60))
    with pytest.raises(DatasetError) as caught:
        made.encode(made.fitting(table_of(change(mixed()).to_csv(index=False))), "float32")
    assert sentence in str(caught.value)


def test_a_file_without_header_and_target_is_taken_in_order() -> None:
    data = mixed()
    table = table_of(data[["y", "age", "city"]].to_csv(index=False, header=False), Format(header=False))
    made = encodings.learn(table, encodings.Choices(("1",)), "regression", np.arange(60))
    later = table_of(data[["age", "city"]].to_csv(index=False, header=False), Format(header=False))
    assert np.array_equal(made.encode(made.fitting(later), "float32"), made.encode(table, "float32"))


@pytest.mark.parametrize(
    "change",
    [
        lambda note: note.pop("inputs"),
        lambda note: note.update(version=0),
        lambda note: note.update(version=2),
        lambda note: note.update(task="else"),
        lambda note: note.update(inputs=[]),
        lambda note: note.update(inputs=3),
        lambda note: note.update(targets=[]),
        lambda note: note["inputs"][0].update(deviation=0.0),
        lambda note: note["inputs"][0].update(mean="1"),
        lambda note: note["inputs"][1].update(categories=["a", "a", "b"]),
        lambda note: note["inputs"][1].update(shares=[1.0]),
        lambda note: note["targets"][0].pop("name"),
        lambda note: note.update(ignored=[3]),
    ],
)
def test_descriptions_that_are_none_are_refused(change: Any) -> None:
    _, made = learned(mixed(), np.arange(60))
    note = made.to_note()
    assert encodings.encoding_in({"table": note}, made.width, 1) == made
    change(note)
    with pytest.raises(ModelFileError, match=r"^notes: expected "):
        encodings.encoding_in({"table": note}, made.width, 1)
