"""Tables and notes that are damaged, too large or contradictory; rows without a value; columns without a say."""

import gzip
import json
import os
import pathlib
import threading
import zipfile
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import StandardScaler

import fastnn
from fastnn.command.cli import main
from fastnn.errors import DatasetError, ModelFileError
from fastnn.kernels.compile import JIT_DISABLED
from fastnn.tables import encoding as encodings
from fastnn.tables import reading, text_files
from fastnn.tables.encoding import Choices, Encoding
from fastnn.tables.table import Table, Wishes
from fastnn.tables.text_files import Format
from tests.commands import Output, assert_error

slow = pytest.mark.skipif(JIT_DISABLED, reason="slow with NUMBA_DISABLE_JIT=1")


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def table_of(text: str) -> Table:
    return text_files.read("f.csv", text.encode(), Format(), lambda _: Wishes())


# --- files ---------------------------------------------------------------------------------------------------------


def damaged(cut: slice | None = None, flipped: tuple[int, ...] = (), packs: bool = False) -> bytes:
    rng = np.random.default_rng(0)
    (np.savez_compressed if packs else np.savez)("f.npz", x=rng.standard_normal((50, 2)), t=rng.integers(0, 2, 50))
    content = bytearray(pathlib.Path("f.npz").read_bytes())
    for place in flipped:
        content[place] ^= 0x55
    return bytes(content[cut] if cut else content)


@pytest.mark.parametrize(
    "damage",
    [
        {"cut": slice(300)},
        {"cut": slice(4)},
        {"flipped": (300,)},
        {"flipped": (100, 101, 140), "packs": True},
        {"flipped": (1,)},
    ],
)
def test_damaged_arrays_are_refused(damage: Any) -> None:
    pathlib.Path("f.npz").write_bytes(damaged(**damage))
    with pytest.raises(DatasetError, match=r"^f\.npz: expected arrays that are read without pickle, got others or dam"):
        reading.read("f.npz")


def test_no_advice_to_read_any_file_as_a_pickle() -> None:
    pathlib.Path("f.npz").write_bytes(np.random.default_rng(0).bytes(300))
    with pytest.raises(DatasetError, match=r"got others or damaged ones; save arrays of numbers or texts"):
        reading.read("f.npz")


def test_no_byte_of_a_file_of_arrays_raises_anything_else() -> None:
    whole = damaged(packs=True)
    rng = np.random.default_rng(1)
    refused = 0
    for _ in range(300):
        content = bytearray(whole)
        for place in rng.integers(0, len(whole), rng.integers(1, 4)):
            content[place] = rng.integers(256)
        pathlib.Path("f.npz").write_bytes(content)
        try:
            reading.read("f.npz")
        except DatasetError as error:
            refused += 1
            assert str(error).startswith("f.npz: expected ")
    assert refused > 100


def test_damaged_parquet_is_refused() -> None:
    pytest.importorskip("pyarrow")
    reference().to_parquet("f.parquet")
    whole = pathlib.Path("f.parquet").read_bytes()
    pathlib.Path("f.parquet").write_bytes(whole[:4] + bytes(100) + whole[104:])
    with pytest.raises(DatasetError, match=r"^f\.parquet: expected a Parquet file, got another or a damaged one"):
        reading.read("f.parquet")


def test_arrays_that_promise_too_much_memory_are_refused() -> None:
    with zipfile.ZipFile("f.npz", "w") as file:
        header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({10**17},)}}".encode()
        file.writestr("t.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    with pytest.raises(DatasetError, match=r"^f\.npz: expected arrays"):
        reading.read("f.npz")


def test_texts_of_another_encoding_in_arrays_are_refused() -> None:
    np.save("f.npy", np.array([b"\xe9", b"a"]))
    with pytest.raises(
        DatasetError, match=r"^f\.npy: expected texts in UTF-8 in column '1', got others .*array of str"
    ):
        reading.read("f.npy")


def test_packed_tables_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert reading.LARGEST_UNPACKED == 2**30
    monkeypatch.setattr(reading, "LARGEST_UNPACKED", 10_000)
    for size, is_refused in ((2_500, False), (2_501, True)):
        pathlib.Path("f.csv.gz").write_bytes(gzip.compress(b"1,2\n" * size))
        np.savez_compressed("f.npz", t=np.zeros(size // 2 - 16 + 16 * is_refused))
        np.savez("g.npz", t=np.zeros(size))
        for name in ("f.csv.gz", "f.npz"):
            if is_refused:
                with pytest.raises(
                    DatasetError, match=rf"^{name}: expected at most 10,000 bytes when unpacked, got mo"
                ):
                    reading.read(name)
            else:
                assert reading.read(name).rows
        assert reading.read("g.npz").rows == size  # it takes as much as it has


@pytest.mark.parametrize("encoding", ["utf-9", "base64", "a\0", "rot13"])
def test_encodings_that_are_none_are_refused(encoding: str) -> None:
    with pytest.raises(DatasetError, match=r"^--encoding: expected one that Python knows, got .*; pass utf-8"):
        text_files.read("f.csv", b"a,b\n1,2\n", Format(encoding=encoding), lambda _: Wishes())


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "undefined", "ascii"])
def test_texts_of_another_encoding_are_refused(encoding: str) -> None:
    with pytest.raises(DatasetError, match=rf"^f\.csv: expected text in {encoding}, got bytes that are not, .*latin-1"):
        text_files.read("f.csv", "ä,b\n1,2\n".encode(), Format(encoding=encoding), lambda _: Wishes())


def test_the_place_of_a_wrong_byte_in_a_long_file() -> None:
    content = b"a,b\n" + b"1,2\n" * 50_000 + b"1,\xe9\n"
    with pytest.raises(DatasetError, match=r"got bytes that are not, b'\\xe9\\n' at 200,006;"):
        text_files.read("f.csv", content, Format(), lambda _: Wishes())


@slow
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
def test_a_pipe_is_read_once() -> None:
    os.mkfifo("pipe")
    text = "a,k\n" + "".join(f"{i}.5,00{i % 3}\n" for i in range(60))
    writer = threading.Thread(target=pathlib.Path("pipe").write_text, args=(text,), daemon=True)
    writer.start()
    options = ["--target", "a", "--categorical", "k", "--epochs", "1", "--quiet", "--save", "n.npz"]
    assert main(["train", "--data", "pipe", *options]) == 0
    writer.join(60)
    assert fastnn.load("n.npz").notes["table"]["inputs"][0]["categories"] == ["000", "001", "002"]


# --- notes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda note: note["targets"][0]["classes"].append("c"),
        lambda note: note["targets"][0].update(classes=["a"]),
        lambda note: note["targets"][0].update(classes="ab"),
        lambda note: note.update(task="regression"),
        lambda note: note.update(task="multilabel"),
        lambda note: note.update(ignored="cd"),
        lambda note: note.update(ignored=["x"]),
        lambda note: note.update(targets=[{"name": "y", "mean": 0.0, "deviation": 1.0}]),
        lambda note: note["targets"].append(note["targets"][0]),
        lambda note: note["targets"][0].update(texts=1),
        lambda note: note["inputs"][0].update(mean=10**400),
        lambda note: note.update(header=False),
    ],
)
def test_notes_that_do_not_fit_the_network_are_refused(change: Any) -> None:
    table = table_of("x,y\n1.5,a\n2.5,b\n")
    note = encodings.learn(table, Choices(("y",)), "classification", np.arange(2)).to_note()
    again = encodings.encoding_in({"table": json.loads(json.dumps(note))}, 1, 2)
    assert again is not None and again.to_note() == note
    change(note)
    with pytest.raises(ModelFileError, match=r"^notes: expected "):
        encodings.encoding_in({"table": note}, 1, 2)


# --- rows without a value ------------------------------------------------------------------------------------------


def reference() -> pd.DataFrame:
    rng = np.random.default_rng(2)
    data = pd.DataFrame(rng.standard_normal((80, 3)), columns=["a", "b", "y"])
    return data.assign(c=rng.choice(["u", "v"], 80), w=1.0)


@slow
def test_one_rule_for_rows_without_a_value(capsys: Output) -> None:
    """A row that is left out may hold anything else, in training, in files to test on, and in evaluate."""
    data = reference()
    data.dropna().to_csv("whole.csv", index=False)
    data = data.astype({"c": object})
    data.loc[[5, 40], "a"] = None
    data.loc[60, "y"] = None
    expected = len(data[["a", "b", "c", "y"]].dropna())
    data.loc[5, "b"], data.loc[40, "c"], data.loc[40, "w"], data.loc[60, "b"] = 1e200, "unheard", None, np.inf
    data.to_csv("f.csv", index=False)
    options = ["--target", "y", "--sample-weight", "w", "--missing", "drop", "--epochs", "1", "--json"]
    train = ["train", "--data", "f.csv", *options, "--save", "n.npz"]
    assert main(train) == 0
    assert sum(json.loads(capsys.readouterr().out)["rows"].values()) == expected
    assert main(["evaluate", "n.npz", "f.csv", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["rows"], found["left_out"]) == (expected, 3)
    train[2] = "whole.csv"
    assert main([*train, "--test", "f.csv"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"]["test"] == expected
    assert_error(
        ["predict", "n.npz", "f.csv"],
        "f.csv: expected a value in each cell, got none in row 6, column 'a', the first of 2 rows without one; "
        "fill it in; a network that is trained with --missing mean needs none",
        capsys,
    )


def test_rows_without_any_whole_one_are_refused() -> None:
    table = table_of("a,y\n,1.5\n1.5,\n")
    with pytest.raises(
        DatasetError, match=r"^f\.csv: expected rows, got none that has a value in each cell; fill cells"
    ):
        encodings.complete_rows(table, Choices(("y",), missing="drop"))


def test_rows_that_are_left_out_still_count_in_messages() -> None:
    table = table_of("a,y\n,1.5\n1.5,2.5\ninf,3.5\n")
    kept = encodings.complete_rows(table, Choices(("y",), missing="drop"))
    assert kept.rows == 2
    with pytest.raises(DatasetError, match=r"column 'a', got inf in row 3;"):
        encodings.learn(kept, Choices(("y",)), "regression", np.arange(2))


@pytest.mark.parametrize("is_categorical", [False, True])
def test_a_column_without_any_value_is_refused(is_categorical: bool) -> None:
    wished = Wishes(("e",) if is_categorical else ())
    content = b"e,a,y\n" + b",1.5,2.5\n,3.5,4.5\n" * 3 + b"1,1.5,2.5\n"
    for size in (len(content), len(content) - 10):  # the only value is in a row to test on, or nowhere
        table = text_files.read("f.csv", content[:size], Format(), lambda _: wished)
        with pytest.raises(
            DatasetError, match=r"^f\.csv: expected values in column 'e', got none in the rows to train"
        ):
            encodings.learn(table, Choices(("y",), missing="mean"), "regression", np.arange(6))


# --- numbers that are too large, columns without a say -------------------------------------------------------------


@pytest.mark.filterwarnings("error")
def test_targets_too_large_for_the_dtype_are_refused_by_name() -> None:
    table = table_of("a,y\n1.5,1e200\n2.5,1.5\n")
    made = encodings.learn(table, Choices(("y",), is_scaled=False), "regression", np.arange(2))
    assert made.encode_targets(table, "float64").tolist() == [[1e200], [1.5]]
    with pytest.raises(DatasetError, match=r"numbers that float32 holds, in column 'y', got 1e\+200 in row 1; correct"):
        made.encode_targets(table, "float32")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_column_that_is_constant_in_training_has_no_say(dtype: str) -> None:
    data = pd.DataFrame({"a": [1.5, 2.5, 4.0], "same": [1e6] * 3, "y": [1.5, 2.0, 3.5]})
    made = encodings.learn(table_of(data.to_csv(index=False)), Choices(("y",)), "regression", np.arange(3))
    note = encodings.encoding_in({"table": json.loads(json.dumps(made.to_note()))}, 2, 1)
    later = table_of("a,same\n1.5,1e6\n2.5,2e6\n4,-1e12\n")
    assert isinstance(note, Encoding)
    x = note.encode(note.fitting(later), dtype)
    np.testing.assert_allclose(x[:, 0], StandardScaler().fit_transform(data[["a"]])[:, 0], rtol=1e-6)
    assert float(np.abs(x[:, 1]).max()) < 1e-290
    unscaled = encodings.learn(table_of(data.to_csv(index=False)), Choices(("y",), is_scaled=False), "regression", [0])
    assert unscaled.encode(later, dtype)[:, 1].tolist() == np.array([1e6, 2e6, -1e12], dtype).tolist()
