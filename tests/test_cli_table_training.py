"""`fastnn train` on tables: figures of each epoch in the units of the file, and options without an effect."""

import pathlib
import re

import numpy as np
import pandas as pd
import pytest

import fastnn
from fastnn.command import evaluate, fitting, training_data
from fastnn.command.cli import main
from fastnn.kernels.compile import JIT_DISABLED
from fastnn.losses import LOSSES
from tests.commands import Output, assert_error, printed_json
from tests.test_cli_predict import numbers
from tests.test_cli_tables import in_a_folder

__all__ = ["in_a_folder"]  # a fixture
pytestmark = pytest.mark.skipif(JIT_DISABLED, reason="slow with NUMBA_DISABLE_JIT=1")
TRAIN = ["train", "--data", "data.csv", "--epochs", "3", "--save", "net.npz"]


def counts(rows: int = 200) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    a = rng.uniform(-1, 1, rows).round(4)
    return pd.DataFrame({"a": a, "y": rng.poisson(np.exp(1 + a))})


# --- figures of each epoch -----------------------------------------------------------------------------------------

NAMES = ("r2_score", "root_mean_squared_error", "mean_absolute_error")


@pytest.mark.parametrize("loss", ["mean_squared_error", "poisson"])
def test_figures_of_the_last_epoch_are_those_of_evaluate(loss: str, capsys: Output) -> None:
    data = counts() if loss == "poisson" else numbers().assign(y=lambda data: 500 + 100 * data["a"])
    data.to_csv("data.csv", index=False)
    data.sample(30, random_state=0).to_csv("watched.csv", index=False)
    options = ["--target", "y", "--task", "regression", "--loss", loss, "--validation", "watched.csv", "--json"]
    assert main([*TRAIN, *options, "--metrics", ",".join(NAMES)]) == 0
    history = printed_json(capsys)["history"]
    assert main(["evaluate", "net.npz", "watched.csv", "--json"]) == 0
    figures = printed_json(capsys)
    for name in NAMES:
        assert history[f"validation_{name}"][-1] == pytest.approx(figures[name], rel=1e-6)


def test_the_best_epoch_is_that_of_the_rates(capsys: Output) -> None:
    """And not of their logarithms, whose distance to the counts says nothing."""
    counts().to_csv("data.csv", index=False)
    options = ["--target", "y", "--task", "regression", "--loss", "poisson", "--json", "--epochs", "30"]
    more = ["--metrics", "mean_absolute_error", "--checkpoint"]
    best = "all.npz,best=best.npz,monitor=validation_mean_absolute_error"
    assert main(["train", "--data", "data.csv", "--validation", "data.csv", *options, *more, best]) == 0
    history = printed_json(capsys)["history"]["validation_mean_absolute_error"]
    assert main(["evaluate", "best.npz", "data.csv", "--json"]) == 0
    assert printed_json(capsys)["mean_absolute_error"] == pytest.approx(min(history), rel=1e-6)


# --- losses and what they take -------------------------------------------------------------------------------------


def test_labels_of_rates_are_compared_with_a_half(capsys: Output) -> None:
    data = numbers()[["a", "b"]]
    data["u"], data["v"] = (data["a"] > 0).astype(int), (data["b"] > 0).astype(int)
    data.to_csv("data.csv", index=False)
    options = ["--target", "u,v", "--task", "multilabel", "--loss", "poisson", "--epochs", "60", "--json"]
    assert main([*TRAIN, *options]) == 0
    capsys.readouterr()
    assert main(["predict", "net.npz", "data.csv", "--json"]) == 0
    found = printed_json(capsys)["predictions"]
    net = fastnn.load("net.npz")
    learned = net.notes["table"]["inputs"]
    x = np.column_stack([(data[one["name"]] - one["mean"]) / one["deviation"] for one in learned])
    expected = np.exp(net.predict(x.astype(np.float32))) > 0.5
    assert found["u"] == expected[:, 0].astype(int).tolist() and found["v"] == expected[:, 1].astype(int).tolist()
    assert (np.array(found["u"]) == data["u"]).mean() > 0.85


def test_rates_are_not_negative(capsys: Output) -> None:
    data = counts()
    data.to_csv("data.csv", index=False)
    options = ["--target", "y", "--task", "regression", "--loss", "poisson", "--quiet"]
    assert main([*TRAIN, *options]) == 0
    capsys.readouterr()
    data.assign(y=data["y"] - 5).to_csv("data.csv", index=False)
    expected = "targets: expected numbers of at least 0 for the loss poisson, got -5"
    sentence = f"{expected}; correct it, or train with --loss mean_squared_error"
    assert_error([*TRAIN, *options], sentence, capsys)
    assert_error(["evaluate", "net.npz", "data.csv"], sentence, capsys)


# --- options -------------------------------------------------------------------------------------------------------


def test_an_ignored_column_need_not_be_in_the_other_files(capsys: Output) -> None:
    data = numbers()
    data.assign(id=range(len(data))).to_csv("data.csv", index=False)
    data.head(20).to_csv("other.csv", index=False)
    options = ["--target", "y", "--ignore", "id", "--test", "other.csv", "--validation", "other.csv", "--json"]
    assert main([*TRAIN, *options]) == 0
    assert printed_json(capsys)["rows"] == {"train": 120, "validation": 20, "test": 20}


NO_LAYER = "not together with --hidden 0, which leaves no layer for it"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--optimizer", "adam:0.01", "--lr", "5"], "--lr: not together with the lr of --optimizer; leave one out"),
        (
            ["--optimizer", "momentum:momentum=0.1", "--momentum", "0.9"],
            "--momentum: not together with the momentum of --optimizer; leave one out",
        ),
        (["--hidden", "0", "--dropout", "0.9"], f"--dropout: {NO_LAYER}"),
        (["--hidden", "0", "--batch-norm"], f"--batch-norm: {NO_LAYER}"),
        (["--hidden", "0", "--activation", "tanh"], f"--activation: {NO_LAYER}"),
    ],
)
def test_options_without_an_effect_are_refused(options: list[str], sentence: str, capsys: Output) -> None:
    numbers().to_csv("data.csv", index=False)
    assert main([*TRAIN, "--target", "y", *options]) == 2
    assert f"error: argument {sentence}\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--sample-weight", "a,b"], "--sample-weight: expected one column, got a, b; name one"),
        (["--test", ""], "--test: expected a share such as 0.1, or a file, got ''; there is no such file"),
        (["--validation", ""], "--validation: expected a share such as 0.1, or a file, got ''; there is no such file"),
        (["--test", "no.csv"], "--test: expected a share such as 0.1, or a file, got 'no.csv'; there is no such file"),
    ],
)
def test_mistakes_in_options(options: list[str], sentence: str, capsys: Output) -> None:
    numbers().to_csv("data.csv", index=False)
    assert_error([*TRAIN, "--target", "y", *options], sentence, capsys)
    assert not pathlib.Path("net.npz").exists()


CLASSES = ("a, b", "b", "x=1,b")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("b=2", [1, 2, 1]), ("a, b=2,b=3", [2, 3, 1]), ("x=1,b=0.5, b = 4", [1, 4, 0.5]), ("x=1,b=5,a, b=6", [6, 1, 5])],
)
def test_weights_of_classes_with_commas(text: str, expected: list[float]) -> None:
    assert fitting.class_weights(text, data_of(CLASSES)).tolist() == expected


@pytest.mark.parametrize("text", ["b=2,b=3", "b=true", "b=", "c=1", "b=1,", "b=1 a, b=2", "b", ""])
def test_weights_that_mean_nothing(text: str) -> None:
    with pytest.raises(
        ValueError, match=r"^--class-weight: expected balanced, or NAME=X for classes among a, b, b, x=1"
    ):
        fitting.class_weights(text, data_of(CLASSES))


def data_of(classes: tuple[str, ...]) -> training_data.Data:
    labels = np.arange(len(classes))
    x = np.zeros((len(classes), 1))
    return training_data.Data(x, labels, None, None, len(classes), LOSSES["hinge"](), classes, labels)


# --- errors and figures --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--l1", "-1"], "--l1: expected a finite number of at least 0.0, got -1.0"),
        (["--l2", "nan"], "--l2: expected a finite number of at least 0.0, got nan"),
        (["--sample-weight", "a"], "--sample-weight: expected numbers of at least 0, got -1; pass weights"),
        (
            ["--validation", "0", "--checkpoint", "run.npz,best=best.npz"],
            "--checkpoint: expected samples for validation_loss, got no validation samples; pass --validation 0.1, "
            "or monitor=loss after a comma",
        ),
        (
            ["--early-stopping", "3,monitor=r2_score"],
            "monitor= of --early-stopping or --checkpoint: expected a figure that this fit measures (validation_loss, "
            "loss), got 'r2_score'; name one of these, or measure it by metrics",
        ),
        (["--log", ""], "--log: expected the name of a file, got ''; pass one such as 'digits.npz'"),
        (
            ["--checkpoint", "run.npz,keep=3"],
            "--checkpoint: expected a name with {epoch} for several files, got 'run.npz'; pass a name such as "
            "'run-{epoch:03}.npz'",
        ),
        (
            ["--checkpoint", "run.npz,best=x.csv"],
            "--checkpoint: expected the name of a file in a format that is written, .npz or .safetensors, got 'x.csv', "
            "a name of another format; pass 'x.npz'",
        ),
        (
            ["--checkpoint", "evry=3"],
            "--checkpoint: expected path, every, every_batches, every_seconds, keep, best, monitor of Checkpoint, got "
            "'evry=3'; did you mean 'every'?",
        ),
    ],
)
def test_errors_name_the_option(options: list[str], sentence: str, capsys: Output) -> None:
    numbers().assign(a=-1).to_csv("data.csv", index=False)
    assert_error([*TRAIN, "--target", "y", *options], sentence, capsys)


def test_networks_of_images_are_evaluated(capsys: Output) -> None:
    (x, t), (x_test, t_test) = fastnn.datasets.load_digits()
    layers = [fastnn.Flatten(), fastnn.Affine(64, 10)]
    net = fastnn.Network(layers, rng=0, input_shape=(1, 8, 8))
    net.fit(x.reshape(-1, 1, 8, 8), t, epochs=2, progress=False)
    net.save("net.npz")
    assert main(["evaluate", "net.npz", "digits", "--json"]) == 0
    assert printed_json(capsys)["accuracy"] == net.accuracy(x_test.reshape(-1, 1, 8, 8), t_test)


@pytest.mark.parametrize("name", ["net.npz", "net.onnx"])
def test_a_network_that_scales_its_inputs_is_evaluated_on_pixels_as_they_are(name: str, capsys: Output) -> None:
    (x, t), (x_test, t_test) = fastnn.datasets.load_digits(normalize=False)
    net = fastnn.Network([fastnn.Affine(64, 10), fastnn.Sigmoid(), fastnn.Affine(10, 10)], rng=0, input_scale=1 / 16)
    net.fit(x, t, epochs=5, optimizer=fastnn.Adam(), progress=False, rng=0)
    if name.endswith(".onnx"):
        pytest.importorskip("onnx")
        net.to_onnx(name)
    else:
        net.save(name)
    assert main(["evaluate", name, "digits", "--json"]) == 0
    figures = printed_json(capsys)
    assert figures["accuracy"] == net.accuracy(x_test, t_test)
    assert figures["loss"] == pytest.approx(net.loss(x_test, t_test), rel=1e-6)


def test_files_like_those_of_mnist_are_scaled_once(capsys: Output) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (30, 28, 28), dtype=np.uint8)
    labels = rng.integers(0, 10, 30, dtype=np.uint8)
    pathlib.Path("files").mkdir()
    for part in ("train", "t10k"):
        for kind, values in (("images-idx3", images), ("labels-idx1", labels)):
            header = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">i4").tobytes()
            pathlib.Path("files", f"{part}-{kind}-ubyte").write_bytes(header + values.tobytes())
    net = fastnn.Network(
        [fastnn.Flatten(), fastnn.Affine(784, 10)], rng=0, input_shape=(1, 28, 28), input_scale=1 / 255
    )
    net.save("net.npz")
    assert main(["evaluate", "net.npz", "files", "--json"]) == 0
    assert printed_json(capsys)["loss"] == pytest.approx(net.loss(images[:, None], labels.astype(np.int64)), rel=1e-6)


def test_the_table_of_epochs_keeps_digits_of_large_figures(capsys: Output) -> None:
    numbers().assign(y=lambda data: 5e4 * data["a"]).to_csv("data.csv", index=False)
    options = ["--target", "y", "--epochs", "1", "--metrics", "mean_absolute_error"]
    assert main(["train", "--data", "data.csv", *options]) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("    1 "))
    assert re.fullmatch(r"\d{5}\.\d", row.split()[-1])


def test_large_figures_have_their_names(capsys: Output) -> None:
    evaluate.show({"root_mean_squared_error": 12345678.0, "mean_absolute_error": 1.5})
    assert capsys.readouterr().out == "root mean squared error 1.23457e+07\nmean absolute error     1.5000\n"
