"""`fastnn train` and its sisters on tables: every loss, optimizer, layer and schedule, and mistakes in options."""

import os
import pathlib
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.utils.class_weight import compute_class_weight

import fastnn
from fastnn.command import fitting, outputs, specs, training_data
from fastnn.command.cli import main
from fastnn.kernels.compile import JIT_DISABLED
from fastnn.losses import LOSSES
from fastnn.optimizers import OPTIMIZER_CLASSES
from tests.commands import Output, assert_error, printed_json
from tests.shapes import LAYERS_OF_ROWS
from tests.test_cli_tables import SHORT, in_a_folder, iris, predicted

__all__ = ["in_a_folder", "iris"]  # fixtures
pytestmark = pytest.mark.skipif(JIT_DISABLED, reason="slow with NUMBA_DISABLE_JIT=1")


# --- options -------------------------------------------------------------------------------------------------------

COLUMN = "expected a column of iris.csv (sepal length, sepal width, petal length, petal width, species, place)"
ALL_CLASSES = "setosa, versicolor, virginica"
NO_FILE = "(No such file or directory); check the name and the folder {here}"
REGRESSIONS = ("mean_squared_error", "absolute_error", "huber", "poisson")


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss(loss: str, iris: pd.DataFrame, capsys: Output) -> None:
    iris.to_csv("iris.csv", index=False)
    target = ["--target", "sepal width", "--task", "regression"] if loss in REGRESSIONS else ["--target", "species"]
    assert main([*SHORT, *target, "--loss", loss]) == 0
    assert fastnn.load("net.npz").loss_name == loss
    capsys.readouterr()
    has_probabilities = outputs.has_probabilities(fastnn.load("net.npz")) and loss not in REGRESSIONS
    assert main(["predict", "net.npz", "iris.csv", *(["--probabilities"] if has_probabilities else [])]) == 0
    assert len(predicted(capsys)) == 150
    assert main(["evaluate", "net.npz", "iris.csv"]) == 0


def test_every_optimizer_with_its_numbers(iris: pd.DataFrame) -> None:
    iris.to_csv("iris.csv", index=False)
    for name in OPTIMIZER_CLASSES:
        assert main([*SHORT, "--target", "species", "--optimizer", f"{name.lower()}:lr=0.01,clip_norm=2"]) == 0
        optimizer: Any = fastnn.load("net.npz").optimizer
        assert (type(optimizer).__name__, optimizer.lr, optimizer.clip_norm) == (name, 0.01, 2.0)
    assert main([*SHORT, "--target", "species", "--optimizer", "adam:beta1=0.5", "--lr", "0.5"]) == 0
    assert fastnn.load("net.npz").optimizer == fastnn.Adam(lr=0.5, beta1=0.5)


def test_every_layer_is_known() -> None:
    text = ", ".join(
        f"{getattr(kind, 'activation', '') or module(kind)}{' 7' if kind.__name__ == 'Affine' else ''}"
        for kind in LAYERS_OF_ROWS
    )
    found = specs.layers("--layers", text, (5,))
    assert {type(layer).__name__ for layer in found} == {kind.__name__ for kind in LAYERS_OF_ROWS}
    made = specs.layers("--layers", "affine 100, batch_norm, relu, dropout 0.2, affine 50 init=he, tanh", (5,))
    expected = [fastnn.Affine(5, 100), fastnn.BatchNorm(), fastnn.Relu(), fastnn.Dropout(0.2)]
    assert made == [*expected, fastnn.Affine(100, 50, "he"), fastnn.Tanh()]


def module(kind: Any) -> str:
    return str(kind.__module__.rpartition(".")[2])


def test_every_schedule_is_known() -> None:
    own = {
        name for name, kind in vars(fastnn.schedules).items() if getattr(kind, "__module__", "") == "fastnn.schedules"
    }
    assert {kind.__name__ for kind in specs.schedules().values()} == own
    for text, expected in {
        "cosine": fastnn.schedules.Cosine(30),
        "cosine:10,lowest=0.1": fastnn.schedules.Cosine(10, 0.1),
        "step_decay:every=5,factor=0.5": fastnn.schedules.StepDecay(5, 0.5),
        "warmup:3,then=cosine:lowest=0.5": fastnn.schedules.Warmup(3, fastnn.schedules.Cosine(30, 0.5)),
        "reduce_on_plateau:0.5,patience=2": fastnn.schedules.ReduceOnPlateau(0.5, 2),
    }.items():
        assert specs.schedule("--schedule", text, 30) == expected


def test_what_training_does_as_told(iris: pd.DataFrame, capsys: Output) -> None:
    iris.to_csv("iris.csv", index=False)
    options = [
        "--layers",
        "affine 8, batch_norm, leaky_relu 0.2",
        "--loss",
        "softmax_cross_entropy:label_smoothing=0.1",
    ]
    options += ["--l2", "0.01", "--metrics", "balanced_accuracy,top_2_accuracy", "--early-stopping", "2,min_delta=0.5"]
    options += ["--log", "log.csv", "--schedule", "step_decay:every=1,factor=0.5", "--class-weight", "balanced"]
    options += [
        "--sample-weight",
        "sepal width",
        "--dtype",
        "float64",
        "--no-shuffle",
        "--ignore",
        "place",
        "--epochs",
        "9",
    ]
    assert main([*SHORT, "--target", "species", *options]) == 0
    found = printed_json(capsys)
    assert found["layers"] == ["Affine(3, 8)", "BatchNorm(0.9, 1e-05)", "LeakyRelu(0.2)", "Affine(8, 3)"]
    assert found["history"]["learning_rate"] == [0.001, 0.0005, 0.00025]  # then no epoch was better by 0.5
    log = pd.read_csv("log.csv")
    assert log["validation_balanced_accuracy"].tolist() == found["history"]["validation_balanced_accuracy"]
    assert "validation_top_2_accuracy" in log
    network = fastnn.load("net.npz")
    assert network.regularization.l2 == 0.01 and network.dtype == "float64"
    assert "label_smoothing=0.1" in repr(network)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], f"--target: {COLUMN}, got none; name the one to predict"),
        (["--target", "specis"], f"--target: {COLUMN}, got 'specis'; did you mean 'species'?"),
        (
            ["--target", "species", "--ignore", "species"],
            "--target: expected a column that is not left out, got species; remove it from the others",
        ),
        (
            ["--target", "species", "--loss", "huber:dleta=1"],
            "--loss: expected delta of Huber, got 'dleta=1'; did you mean 'delta'?",
        ),
        (
            ["--target", "species", "--layers", "affine"],
            "--layers: affine: expected outputs of Affine, got none; write outputs=VALUE",
        ),
        (
            ["--target", "species", "--schedule", "step_decay:every=2"],
            "--schedule: expected factor of StepDecay, got none; write factor=VALUE",
        ),
        (
            ["--target", "species", "--dropout", "1"],
            "--dropout: expected a finite number of at least 0.0 and below 1.0, got 1.0",
        ),
        (
            ["--target", "species", "--test", "no.csv"],
            "--test: expected a share such as 0.1, or a file, got 'no.csv'; there is no such file",
        ),
        (["--target", "species", "--test", "1"], "--test: expected a finite number of at least 0 and below 1, got 1.0"),
        (
            ["--target", "species", "--class-weight", "rose=2"],
            "--class-weight: expected balanced, or NAME=X for classes among "
            f"{ALL_CLASSES}, got 'rose=2'; write setosa=2.5",
        ),
        (
            ["--target", "place", "--task", "regression"],
            "iris.csv: expected a number in each row of column 'place', got 'Köln' in row 1; correct the cell",
        ),
        (
            ["--target", "species", "--most-categories", "1"],
            "iris.csv: expected at most 1 categories in the column of texts 'place', got 2 in "
            "150 rows, such as 'Köln'; leave it out by --ignore place, or pass --most-categories 2",
        ),
        (
            ["--target", "species", "--validation", "0", "--early-stopping", "3"],
            "--early-stopping: expected samples for validation_loss, got no validation samples; pass --validation 0.1, "
            "or monitor=loss after a comma",
        ),
        (
            ["--target", "species", "--metrics", "roc_auk"],
            "--metrics: expected one of 'r2_score', 'mean_absolute_error', 'root_mean_squared_error', "
            "'balanced_accuracy', 'roc_auc', 'top_5_accuracy', got 'roc_auk'; did you mean 'roc_auc'?",
        ),
        (
            ["--target", "species", "--separator", ".."],
            "--separator: expected a character other than the decimal point, got '..'; pass one such as ';' or tab",
        ),
        (
            ["--target", "species", "--encoding", "utf-9"],
            "--encoding: expected one that Python knows, got 'utf-9'; pass utf-8",
        ),
    ],
)
def test_mistakes(options: list[str], sentence: str, iris: pd.DataFrame, capsys: Output) -> None:
    iris.assign(place=["Köln"] + ["Rome"] * 149).to_csv("iris.csv", index=False)
    assert_error([*SHORT, *options], sentence, capsys)
    assert not os.path.exists("net.npz")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            ["--target", "flower"],
            "iris.csv: expected at most 100 classes in the target 'flower', got 150 in 150 rows, such as 'n0'; "
            "name another column by --target, or pass --most-categories 150",
        ),
        (
            ["--target", "petal length", "--ignore", "flower", "--task", "classification", "--most-categories", "30"],
            "iris.csv: expected at most 30 classes in the target 'petal length', got 43 in 150 rows, such as '1.4'; "
            "pass --task regression, or pass --most-categories 43",
        ),
    ],
)
def test_a_target_with_too_many_classes(options: list[str], sentence: str, iris: pd.DataFrame, capsys: Output) -> None:
    """It cannot be ignored as a column of inputs can."""
    iris.assign(flower=[f"n{i}" for i in range(150)]).to_csv("iris.csv", index=False)
    assert_error([*SHORT, *options], sentence, capsys)


def test_options_of_tables_are_for_tables(capsys: Output) -> None:
    assert main(["train", "--target", "y"]) == 2
    assert "argument --target: only for a table, such as --data my.csv" in capsys.readouterr().err


def test_missing_values(iris: pd.DataFrame, capsys: Output) -> None:
    iris.loc[3, "sepal width"] = np.nan
    iris.to_csv("iris.csv", index=False)
    expected = "iris.csv: expected a value in each cell, got none in row 4, column 'sepal width'"
    options = [*SHORT, "--target", "species"]
    drop, mean = "--missing drop to leave such rows out", "--missing mean to put the column's mean there"
    assert_error(options, f"{expected}; fill it in, or pass {drop}, or {mean}", capsys)
    assert main([*options, "--missing", "drop"]) == 0
    assert sum(printed_json(capsys)["rows"].values()) == 149
    assert main(["evaluate", "net.npz", "iris.csv", "--json"]) == 0
    figures = printed_json(capsys)
    assert (figures["rows"], figures["left_out"]) == (149, 1)
    sentence = f"{expected}; fill it in; a network that is trained with --missing mean needs none"
    assert_error(["predict", "net.npz", "iris.csv"], sentence, capsys)
    assert main([*options, "--missing", "mean"]) == 0
    assert main(["predict", "net.npz", "iris.csv", "--output", "out.csv"]) == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["predict", "no.npz", "x.csv"], "MODEL: expected a readable file, got no.npz " + NO_FILE),
        (
            ["predict", "x.csv", "x.csv"],
            "x.csv: expected a network in a file .npz or .safetensors or .onnx, got .csv; convert it",
        ),
        (["predict", "net.npz", "no.csv"], "no.csv: expected a readable file, got no.csv " + NO_FILE),
        (
            ["predict", "net.npz", "x.csv", "--output", "no/x.csv"],
            "--output: expected an existing folder, got no; create it first",
        ),
        (
            ["evaluate", "net.npz", "x.csv"],
            "DATA: expected digits, mnist or a folder for a network of images, got x.csv; train "
            "on a table, whose columns the network then knows",
        ),
        (
            ["convert", "net.npz", "net.pt"],
            "FILE: expected a name that ends in .npz, .safetensors or .onnx, got 'net.pt'; in "
            "Python, torch.save(fastnn.load(MODEL).to_torch(), FILE)",
        ),
        (
            ["predict", "net.npz", "x.csv", "--output", os.devnull],
            f"--output: expected the name of a file, got {os.devnull}, a device or a pipe; pass another name",
        ),
        (
            ["convert", "net.npz", "."],
            "FILE: expected a name that ends in .npz, .safetensors or .onnx, got '.'; rename it",
        ),
    ],
)
def test_mistakes_with_files(arguments: list[str], sentence: str, capsys: Output) -> None:
    fastnn.Network([fastnn.Affine(2, 1)], "mean_squared_error", rng=0).save("net.npz")
    pathlib.Path("x.csv").write_text("a,b\n1,2\n")
    assert_error(arguments, sentence.format(here=os.getcwd()), capsys)


def test_class_weights_are_those_of_scikit_learn() -> None:
    labels = np.array([0, 0, 0, 1, 2, 2])
    data = training_data.Data(np.zeros((6, 1)), labels, None, None, 3, LOSSES["hinge"](), ("a", "b", "c"), labels)
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    np.testing.assert_allclose(fitting.class_weights("balanced", data), expected)
    assert fitting.class_weights("c=3,a=0.5", data).tolist() == [0.5, 1, 3]


# --- what is said --------------------------------------------------------------------------------------------------


def test_training_tells_what_the_file_holds(iris: pd.DataFrame, capsys: Output) -> None:
    iris["place"] = ["", *iris["place"][1:]]
    iris.assign(same=7, number=range(150)).to_csv("iris.csv", index=False)
    options = ["--target", "species", "--ignore", "sepal width", "--missing", "drop", "--epochs", "1"]
    assert main(["train", "--data", "iris.csv", *options]) == 0
    _, about, _, result = capsys.readouterr().out.split("\n\n")
    assert about.splitlines() == [
        "iris.csv: 150 rows, 107 to train, 12 to validate, 30 to test",
        "  left out: 1 row without a value in each cell",
        "  header: the first line names the columns; --header no takes it for a row",
        "  7 inputs from 5 columns of numbers and 1 of texts, 1 left out",
        f"  classification of species (3 classes: {ALL_CLASSES}), as the target holds texts; --task chooses another",
        "  note: column 'same' is the same in all rows to train on, so it becomes 0",
        "  note: column 'number' has another integer in each row; pass --ignore if it numbers them",
    ]
    assert re.fullmatch(r"test accuracy \d\.\d{4} after \d+\.\d s of training\n", result)


def test_a_target_of_one_class_is_refused(iris: pd.DataFrame, capsys: Output) -> None:
    iris.assign(species="rose").to_csv("iris.csv", index=False)
    expected = (
        "iris.csv: expected at least 2 classes in the target 'species', got 1, 'rose'; name another column by --target"
    )
    assert_error([*SHORT, "--target", "species"], expected, capsys)


def test_weights_of_samples_are_those_of_fit(iris: pd.DataFrame, capsys: Output) -> None:
    iris["factor"] = np.random.default_rng(1).uniform(0, 2, 150)
    iris.to_csv("iris.csv", index=False)
    options = [
        "--target",
        "species",
        "--sample-weight",
        "factor",
        "--test",
        "0",
        "--validation",
        "0",
        "--ignore",
        "place",
    ]
    options += ["--dtype", "float64", "--no-scaling", "--hidden", "0", "--optimizer", "sgd", "--lr", "0.01"]
    assert main(["train", "--data", "iris.csv", *options, "--epochs", "3", "--save", "net.npz", "--quiet"]) == 0
    rng, (t, _) = np.random.default_rng(0), pd.factorize(iris["species"])
    rows = np.arange(150)
    for _ in range(2):
        (rows, _), _ = fastnn.datasets.train_test_split(rows, t[rows], 0.0, rng)
    net = fastnn.Network([fastnn.Affine(4, 3)], rng=rng, dtype="float64")
    x, weight = iris.iloc[rows, :4].to_numpy(), iris["factor"].to_numpy()[rows]
    fitted: dict[str, Any] = {"optimizer": fastnn.SGD(0.01), "rng": rng, "progress": False, "sample_weight": weight}
    net.fit(x, t[rows], epochs=3, batch_size=32, **fitted)
    for name, value in fastnn.load("net.npz").params.items():
        np.testing.assert_allclose(value, net.params[name], rtol=1e-10)


@pytest.mark.parametrize(
    ("layers", "problem"),
    [
        ("affine 10 relu", "expected a comma between layers, got 'affine 10 relu'; write 'affine 10, relu'"),
        (
            "relu affine 10 tanh",
            "expected a comma between layers, got 'relu affine 10 tanh'; write 'relu, affine 10 tanh'",
        ),
        (
            "affine 64 20, relu",
            "expected the number of outputs after affine, got 'affine 64 20'; its inputs are the outputs of the layer "
            "before: write 'affine 20'",
        ),
        (
            "conv2d 1 8 3",
            "expected out_channels and kernel_size after conv2d, got 'conv2d 1 8 3'; write 'conv2d 1 8 stride=3', or, "
            "as its in_channels follow from the layer before, 'conv2d 8 3'",
        ),
        (
            "conv2d 8 3, affine 10",
            "expected inputs of the shape (288,) for Affine(288, 10), got (8, 6, 6); write flatten before it",
        ),
        (
            "affine 10, conv2d 8 3",
            "expected inputs of the shape (64,) for Affine(64, 10), got (1, 8, 8); write flatten before it",
        ),
        (
            "flatten, conv2d 8 3",
            "expected images for 'conv2d 8 3', got rows of numbers; take digits or mnist as --data, and write it "
            "before flatten and affine",
        ),
        (
            "conv2d in_channels=1 8 3",
            "conv2d: expected in_channels at most once, got 'in_channels=1'; it follows from the layer before: "
            "leave it out",
        ),
        (
            "affine 8 init=he init=he",
            "affine: expected init at most once, got 'init=he'; it is given twice: leave it out",
        ),
    ],
)
def test_slips_in_layers(layers: str, problem: str, capsys: Output) -> None:
    assert_error(["train", "--layers", layers], f"--layers: {problem}", capsys)
