"""`fastnn train`: the same training as through Python, its output and files, and mistakes in its options."""

import errno
import gzip
import io
import os
import pathlib
import re
import struct
import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import fastnn
from fastnn.command import fitting
from fastnn.command import options as common
from fastnn.command.cli import main
from fastnn.kernels.compile import JIT_DISABLED
from tests.commands import AT_LEAST_0, Output, assert_error, printed_json, without_compiling

# Enough to see that a network was trained, and not much work for plain Python.
SHORT = ["train", "--epochs", "2", "--batch-size", "200", "--hidden", "0"]
needs_compiler = pytest.mark.skipif(JIT_DISABLED, reason="takes minutes with NUMBA_DISABLE_JIT=1")


# --- train ---------------------------------------------------------------------------------------------------------


def expected_training(**changes: Any) -> tuple[fastnn.Network, Any]:
    """The training of SHORT through the Python API: the trained network and the test samples."""
    rng = np.random.default_rng(changes.get("seed", 0))
    (x, t), test = fastnn.datasets.load_digits(dtype=changes.get("dtype", "float32"))
    (x, t), validation = fastnn.datasets.train_test_split(x, t, 0.1, rng)
    layers = changes.get("layers", [fastnn.Affine(64, 10)])
    net = fastnn.Network(layers, rng=rng, dtype=changes.get("dtype", "float32"))
    optimizer = changes.get("optimizer", fastnn.SGD(0.1))
    net.fit(x, t, epochs=2, batch_size=200, optimizer=optimizer, validation_data=validation, rng=rng, progress=False)
    return net, test


@pytest.mark.parametrize(
    ("options", "changes"),
    [
        ([], {}),
        (["--seed", "7"], {"seed": 7}),
        (["--dtype", "float64", "--lr", "0.5"], {"dtype": "float64", "optimizer": fastnn.SGD(0.5)}),
        (["--optimizer", "momentum"], {"optimizer": fastnn.Momentum(0.1, 0.9)}),
        (["--optimizer", "momentum", "--momentum", "0.5"], {"optimizer": fastnn.Momentum(0.1, 0.5)}),
        (
            ["--hidden", "8,5", "--activation", "leaky_relu"],
            {
                "layers": [
                    fastnn.Affine(64, 8),
                    fastnn.LeakyRelu(),
                    fastnn.Affine(8, 5),
                    fastnn.LeakyRelu(),
                    fastnn.Affine(5, 10),
                ]
            },
        ),
    ][: 1 if JIT_DISABLED else None],
)
def test_train_does_what_the_python_api_does(options: list[str], changes: dict[str, Any], capsys: Output) -> None:
    assert main([*SHORT, "--json", *options]) == 0
    found = printed_json(capsys)
    net, test = expected_training(**changes)
    assert net.history is not None
    assert found["layers"] == [str(layer) for layer in net.layers]
    assert found["test_accuracy"] == net.accuracy(*test)
    assert found["test_loss"] == net.loss(*test)
    for name in ("accuracy", "validation_loss", "validation_accuracy"):
        assert found["history"][name] == getattr(net.history, name)
    # the mean over an epoch depends in its last bit on how many batches were handed over at once
    assert found["history"]["loss"] == net.history.loss
    assert len(found["history"]["seconds"]) == 2
    assert (found["data"], found["seed"], found["saved"]) == ("digits", changes.get("seed", 0), None)


@pytest.mark.parametrize("activation", common.ACTIVATIONS)
def test_train_knows_every_activation(activation: str, capsys: Output) -> None:
    options = ["--hidden", "2", "--activation", activation, "--epochs", "0", "--json"]
    assert main(["train", *options]) == 0
    _, layer, _ = printed_json(capsys)["layers"]
    assert layer.partition("(")[0].lower() == activation.replace("_", "")


@needs_compiler
def test_train_prints_a_table(capsys: Output) -> None:
    assert main(SHORT) == 0
    out, err = capsys.readouterr()
    net, test = expected_training()
    assert net.history is not None
    summary, data, table, result = out.rstrip("\n").split("\n\n")
    assert without_compiling(err) == ""
    assert summary == net.summary()
    assert data == "digits: 1,294 samples to train, 144 to validate, 359 to test"
    header, *lines = table.splitlines()
    assert header == "epoch      loss  accuracy  validation loss  validation accuracy   seconds"
    for epoch, line in enumerate(lines):
        columns = [net.history.loss, net.history.accuracy, net.history.validation_loss, net.history.validation_accuracy]
        figures = [f"{column[epoch]:.4f}" for column in columns]
        assert line.split()[:-1] == [str(epoch + 1), *figures]
        assert len(line) == len(header)
    assert len(lines) == 2
    assert re.fullmatch(rf"test accuracy {net.accuracy(*test):.4f} after \d+\.\d s of training", result)


def test_train_prints_losses_of_any_size_in_their_columns(capsys: Output) -> None:
    history = fastnn.History(loss=[1.5e30], seconds=[0.25])
    fitting.Table(1)(fastnn.Network([fastnn.Affine(1, 2)], rng=0), history)
    assert capsys.readouterr().out == "epoch      loss   seconds\n    1   1.5e+30    0.2500\n"


def test_a_long_training_prints_some_of_its_epochs(capsys: Output) -> None:
    table, net = fitting.Table(100), fastnn.Network([fastnn.Affine(1, 2)], rng=0)
    for epochs in range(1, 101):
        table(net, fastnn.History(loss=[0.5] * epochs, seconds=[0.1] * epochs))
    rows = [int(line.split()[0]) for line in capsys.readouterr().out.splitlines()[1:]]
    assert rows == [1, *range(4, 101, 4)]


@needs_compiler
def test_train_without_validation(capsys: Output) -> None:
    assert main([*SHORT, "--validation", "0"]) == 0
    out = capsys.readouterr().out
    assert "digits: 1,438 samples to train, 0 to validate, 359 to test\n" in out
    assert "epoch      loss  accuracy   seconds\n" in out


@needs_compiler
def test_train_quietly(capsys: Output) -> None:
    assert main([*SHORT, "--quiet"]) == 0
    net, test = expected_training()
    assert capsys.readouterr().out == f"{net.accuracy(*test):.4f}\n"


@needs_compiler
def test_train_saves_the_network(tmp_path: pathlib.Path, capsys: Output) -> None:
    file = str(tmp_path / "net.npz")
    assert main([*SHORT, "--save", file]) == 0
    assert capsys.readouterr().out.endswith(f" s of training\nsaved; read it with fastnn.load({file!r})\n")
    net, _ = expected_training()
    loaded = fastnn.load(file)
    assert all(np.array_equal(loaded.params[name], net.params[name]) for name in net.params)
    assert main([*SHORT, "--json", "--save", file]) == 0  # over the old file
    assert printed_json(capsys)["saved"] == file


@needs_compiler
def test_train_sets_the_threads(chosen_threads: None, capsys: Output) -> None:
    losses = []
    for n in {1, fastnn.get_num_threads()}:
        assert main([*SHORT, "--threads", str(n), "--json"]) == 0
        assert fastnn.get_num_threads() == n
        losses.append(printed_json(capsys)["history"]["validation_loss"])
    assert losses[0] == losses[-1]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@needs_compiler
@pytest.mark.parametrize(("options", "shown"), [([], True), (["--quiet"], False), (["--json"], False)])
def test_train_shows_progress_on_a_terminal(options: list[str], shown: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    assert main([*SHORT, *options]) == 0
    assert ("\repoch 1/2" in terminal.getvalue()) == shown


# --- train on files ------------------------------------------------------------------------------------------------


def idx(array: npt.NDArray[np.uint8]) -> bytes:
    """A file in the format of MNIST's."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return header + array.tobytes()


@pytest.fixture
def images(tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder with 40 and 20 images, each with a bright row that tells the class."""
    for part, count in (("train", 40), ("t10k", 20)):
        labels = (np.arange(count) % 10).astype(np.uint8)
        pixels = np.zeros((count, 28, 28), np.uint8)
        pixels[np.arange(count), 2 * labels] = 255
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(idx(pixels))
        with gzip.open(tmp_path / f"{part}-labels-idx1-ubyte.gz", "wb") as file:
            file.write(idx(labels))
    return tmp_path


@needs_compiler
@pytest.mark.parametrize("named", [True, False])
def test_train_on_files_in_the_format_of_mnist(
    named: bool, images: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.setenv("FASTNN_DATA", "" if named else str(images))
    data = str(images) if named else "mnist"
    options = ["--data", data, "--hidden", "0", "--epochs", "3", "--batch-size", "10", "--validation", "0.25", "--json"]
    assert main(["train", *options]) == 0
    found = printed_json(capsys)
    assert found["layers"] == ["Affine(784, 10)"]
    assert found["test_accuracy"] == 1.0
    assert found["data"] == data


def test_train_names_a_missing_file(images: pathlib.Path, capsys: Output) -> None:
    (images / "t10k-images-idx3-ubyte").unlink()
    sentence = (
        f"--data: expected four files, plain or .gz, in {images}, got no t10k-images-idx3-ubyte; add the "
        "missing files, or name no folder to have MNIST downloaded"
    )
    assert_error(["train", "--data", str(images)], sentence, capsys)


# --- a user's mistakes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            ["--data", "mnits"],
            "--data: expected digits, mnist, a folder or a file with a table, got 'mnits'; there is no such folder",
        ),
        (["--lr", "-1"], "--lr: expected a finite number of at least 0.0, got -1.0"),
        (["--lr", "nan"], "--lr: expected a finite number of at least 0.0, got nan"),
        (
            ["--optimizer", "momentum", "--momentum", "1"],
            "--momentum: expected a finite number of at least 0.0 and below 1.0, got 1.0",
        ),
        (["--epochs", "-1"], f"--epochs: {AT_LEAST_0}"),
        (["--batch-size", "0"], "--batch-size: expected an integer of at least 1, got 0"),
        (["--validation", "1"], "--validation: expected a finite number of at least 0 and below 1, got 1.0"),
        (["--seed", "-1"], f"--seed: {AT_LEAST_0}"),
        (["--save", "."], "--save: expected the name of a file, got the folder .; add a name such as 'digits.npz'"),
        (
            ["--save", "f.onnx"],
            "--save: expected the name of a file in a format that is written, .npz or .safetensors, got 'f.onnx', "
            "a name of another format; pass 'f.npz'",
        ),
        (["--save", "no/f.npz"], "--save: expected an existing folder, got no; create it first"),
        (["--checkpoint", "no/f.npz"], "--checkpoint: expected an existing folder, got no; create it first"),
    ],
)
def test_mistakes_end_in_one_line(options: list[str], sentence: str, capsys: Output) -> None:
    assert_error([*SHORT, *options], sentence, capsys)
    assert capsys.readouterr().out == ""


def test_too_many_threads(capsys: Output) -> None:
    assert main([*SHORT, "--threads", "100000"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"fastnn: error: --threads: expected an integer from 1 to \d+, got 100000; .*\n", err)


def test_a_file_that_may_not_be_written(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    file = tmp_path / "net.npz"
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # the superuser may write anywhere
    assert_error(
        [*SHORT, "--save", str(file)], f"--save: expected a file that you may write, got {file}; choose another", capsys
    )
    assert not file.exists()


def test_diverged_training(tmp_path: pathlib.Path, capsys: Output) -> None:
    file = tmp_path / "net.npz"
    assert main([*SHORT, "--hidden", "5", "--lr", "1e30", "--save", str(file)]) == 1
    sentence = (
        r"fastnn: error: loss: expected finite numbers, got NaN or infinity in epoch 1, batch \d of 7, first in "
        r".*; the network keeps its last finite parameters: lower the learning rate, now 1e\+30, clip gradients by .*\n"
    )
    assert re.fullmatch(sentence, without_compiling(capsys.readouterr().err))
    assert not file.exists()


def test_no_epochs_measure_the_untrained_network(capsys: Output) -> None:
    """`fit` allows it, too."""
    assert main([*SHORT, "--epochs", "0", "--json"]) == 0
    found = printed_json(capsys)
    assert found["history"]["loss"] == []
    assert 0 <= found["test_accuracy"] < 0.5
    assert main([*SHORT, "--epochs", "0"]) == 0
    assert capsys.readouterr().out.endswith(" after 0.0 s of training\n")


# --- checkpoints ---------------------------------------------------------------------------------------------------


def test_train_goes_on_from_a_checkpoint(tmp_path: pathlib.Path, capsys: Output) -> None:
    """The same figures as of one run, and a table with its heading."""
    more = ["--checkpoint", str(tmp_path / "run.npz"), "--resume"]
    longer = [*SHORT[:2], "4", *SHORT[3:]]
    assert main([*longer, "--json"]) == 0
    expected = printed_json(capsys)
    assert main([*SHORT, *more, "--quiet"]) == 0
    capsys.readouterr()
    assert main([*longer, *more]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[0] for row in rows if row and row[0] in {"epoch", *"1234"}] == ["epoch", "3", "4"]
    assert main([*longer, *more, "--json"]) == 0
    found = printed_json(capsys)
    for history in (found["history"], expected["history"]):
        del history["seconds"]
    assert found == expected


def test_resume_with_another_seed_names_it(tmp_path: pathlib.Path, capsys: Output) -> None:
    """Not the checksum of the data, which the seed splits."""
    path = str(tmp_path / "run.npz")
    more = [*SHORT, "--checkpoint", path, "--resume", "--quiet"]
    assert main([*more, "--seed", "5"]) == 0
    capsys.readouterr()
    assert main([*more, "--seed", "6"]) == 1
    said = f"fastnn: error: --seed: expected 5, as in the run of {path}, got 6; pass the same, or train its weights "
    assert capsys.readouterr().err.startswith(said)


def test_a_checkpoint_that_is_replaced_is_named_before_the_training(tmp_path: pathlib.Path, capsys: Output) -> None:
    path = tmp_path / "run.npz"
    more = [*SHORT, "--checkpoint", str(path), "--quiet"]
    assert main(more) == 0
    assert without_compiling(capsys.readouterr().err) == ""
    assert main(more) == 0
    said = f"fastnn: {path} is there from before and will be replaced"
    assert without_compiling(capsys.readouterr().err) == f"{said}; --resume would go on with it\n"
    path.write_text("no network")
    assert main(more) == 0
    assert without_compiling(capsys.readouterr().err) == f"{said}\n"
    assert main([*more, "--resume"]) == 0
    assert without_compiling(capsys.readouterr().err) == ""


def test_a_training_that_is_complete_says_so(tmp_path: pathlib.Path, capsys: Output) -> None:
    path = tmp_path / "run.npz"
    more = [*SHORT, "--checkpoint", str(path), "--resume"]
    assert main(more) == 0
    assert "nothing to train" not in capsys.readouterr().out
    assert main([*more, "--epochs", "1"]) == 0
    assert f"{path} is already at epoch 2 of 1; nothing to train\n" in capsys.readouterr().out


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs a folder in which nobody can create a file")
@pytest.mark.parametrize("option", ["--save", "--checkpoint", "--log"])
def test_a_folder_that_takes_no_files_is_noticed_before_the_training(option: str, capsys: Output) -> None:
    """The superuser, too, may write there as far as permissions go."""
    assert main([*SHORT, option, "/proc/a.npz"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert re.search(rf"^fastnn: error: {option}: expected .*/proc.*; choose (another|a) ", without_compiling(err))
    with pytest.raises(OSError, match=r"expected to be able to write /proc/a.npz, got .*; choose (another|a) "):
        fastnn.Network([fastnn.Affine(2, 2)]).save("/proc/a.npz")


@pytest.mark.parametrize("option", ["--checkpoint", "--log"])
def test_a_disk_that_fills_names_the_option(
    option: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    assert main([*SHORT, option, str(tmp_path / "run.npz")]) == 1
    assert f"fastnn: error: {option}: expected to be able to write" in capsys.readouterr().err
