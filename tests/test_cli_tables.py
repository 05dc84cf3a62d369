"""`fastnn train`, `predict`, `evaluate` and `convert` on tables: the figures of programs that do it by hand."""

import csv
import io
import json
import os
import pathlib
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics
from sklearn.datasets import load_diabetes, load_iris
from sklearn.preprocessing import StandardScaler

import fastnn
from fastnn.command.cli import main
from fastnn.kernels.compile import JIT_DISABLED
from tests.commands import PYTHON_M, Output, assert_error, printed_json, variables

pytestmark = pytest.mark.skipif(JIT_DISABLED, reason="slow with NUMBA_DISABLE_JIT=1")


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def iris() -> pd.DataFrame:
    loaded = load_iris(as_frame=True)
    data: pd.DataFrame = loaded.frame.rename(columns=lambda name: name.replace(" (cm)", ""))
    data["species"] = loaded.target_names[data.pop("target")]
    data["place"] = np.random.default_rng(0).choice(["Rome", "Köln"], len(data))
    return data


@pytest.fixture
def diabetes() -> pd.DataFrame:
    data: pd.DataFrame = load_diabetes(as_frame=True, scaled=False).frame
    return data


def by_hand(data: pd.DataFrame, target: str, classes: list[str] | None, epochs: int) -> tuple[fastnn.Network, Any, Any]:
    """The usual training, prepared by scikit-learn and pandas; the inputs of all rows; the scaler of targets."""
    rng = np.random.default_rng(0)
    rows = np.arange(len(data))
    labels = np.array([classes.index(one) for one in data[target]]) if classes else np.zeros(len(data), int)
    (rows, _), _ = fastnn.datasets.train_test_split(rows, labels, 0.2, rng, stratify=classes is not None)
    (rows, _), (watched, _) = fastnn.datasets.train_test_split(
        rows, labels[rows], 0.1, rng, stratify=classes is not None
    )
    inputs = data.drop(columns=target)
    numbers = list(inputs.select_dtypes("number"))
    scaled = pd.DataFrame(StandardScaler().fit(inputs.loc[rows, numbers]).transform(inputs[numbers]), columns=numbers)
    columns = [scaled[[name]] if name in numbers else pd.get_dummies(inputs[[name]]) for name in inputs]
    x = pd.concat(columns, axis=1).to_numpy(np.float32)
    scaler = None if classes else StandardScaler().fit(data.loc[rows, [target]])
    t = labels if scaler is None else scaler.transform(data[[target]]).astype(np.float32)
    loss: Any = "softmax_cross_entropy" if classes else "mean_squared_error"
    layers = [fastnn.Affine(x.shape[1], 50), fastnn.Relu(), fastnn.Affine(50, len(classes) if classes else 1)]
    net = fastnn.Network(layers, loss, rng=rng)
    options: dict[str, Any] = {"validation_data": (x[watched], t[watched]), "rng": rng, "progress": False}
    net.fit(x[rows], t[rows], epochs=epochs, batch_size=32, optimizer=fastnn.Adam(), **options)
    return net, x, scaler


def predicted(capsys: Output) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(capsys.readouterr().out)))


SHORT = ["train", "--data", "iris.csv", "--epochs", "1", "--json", "--save", "net.npz"]


# --- the same as by hand -------------------------------------------------------------------------------------------


def test_classes_as_by_hand(iris: pd.DataFrame, capsys: Output) -> None:
    iris.to_csv("iris.csv", index=False)
    assert (
        main(["train", "--data", "iris.csv", "--target", "species", "--epochs", "20", "--save", "net.npz", "--json"])
        == 0
    )
    found = printed_json(capsys)
    assert (found["task"], found["rows"]) == ("classification", {"train": 108, "validation": 12, "test": 30})
    assert found["inputs"][-2:] == ["place=Köln", "place=Rome"]
    classes = sorted(set(iris["species"]))
    net, x, _ = by_hand(iris, "species", classes, epochs=20)
    loaded = fastnn.load("net.npz")
    for name, value in net.params.items():
        np.testing.assert_allclose(loaded.params[name], value, rtol=1e-3, atol=1e-5)
    # Columns in another order, without the target, with one to keep.
    columns = ["place", "petal width", "petal length", "sepal width", "sepal length"]
    iris[columns].assign(id=range(150)).to_csv("new.csv", index=False)
    assert main(["predict", "net.npz", "new.csv", "--probabilities", "--keep", "id"]) == 0
    rows = predicted(capsys)
    y = fastnn.softmax(net.predict(x))
    assert [row["species"] for row in rows] == [classes[k] for k in y.argmax(axis=1)]
    assert [row["id"] for row in rows] == [str(i) for i in range(150)]
    shares = [[float(row[f"p({name})"]) for name in classes] for row in rows]
    np.testing.assert_allclose(shares, y, rtol=1e-3, atol=1e-5)
    assert main(["evaluate", "net.npz", "iris.csv", "--json"]) == 0
    figures = printed_json(capsys)
    names = [row["species"] for row in rows]
    assert figures["accuracy"] == pytest.approx(metrics.accuracy_score(iris["species"], names))
    assert figures["confusion"] == metrics.confusion_matrix(iris["species"], names, labels=classes).tolist()
    report = metrics.classification_report(iris["species"], names, output_dict=True)
    for one in figures["classes"]:
        own = report[one["class"]]
        assert (one["precision"], one["recall"], one["f1"], one["rows"]) == pytest.approx(
            (own["precision"], own["recall"], own["f1-score"], own["support"])
        )
    assert figures["loss"] == pytest.approx(metrics.log_loss(iris["species"], y, labels=classes), rel=1e-4)


def test_numbers_as_by_hand(diabetes: pd.DataFrame, capsys: Output) -> None:
    diabetes.to_csv("data.csv", index=False)
    assert main(["train", "--data", "data.csv", "--target", "-1", "--epochs", "10", "--save", "net.npz", "--json"]) == 0
    assert printed_json(capsys)["task"] == "regression"
    net, x, scaler = by_hand(diabetes, "target", None, epochs=10)
    expected = scaler.inverse_transform(net.predict(x))[:, 0]
    assert main(["predict", "net.npz", "data.csv", "--output", "out.csv"]) == 0
    assert capsys.readouterr().out == "442 rows of predictions in out.csv\n"
    found = pd.read_csv("out.csv")["target"]
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert main(["evaluate", "net.npz", "data.csv", "--json"]) == 0
    figures = printed_json(capsys)
    t = diabetes["target"]
    assert figures["r2_score"] == pytest.approx(metrics.r2_score(t, found), rel=1e-4)
    assert figures["root_mean_squared_error"] == pytest.approx(metrics.root_mean_squared_error(t, found), rel=1e-4)
    assert figures["mean_absolute_error"] == pytest.approx(metrics.mean_absolute_error(t, found), rel=1e-4)


def test_the_result_of_training_is_that_of_evaluate(iris: pd.DataFrame, capsys: Output) -> None:
    iris[::2].assign(id=range(75)).to_csv("a.csv", index=False)  # which the other file lacks
    iris[1::2].to_csv("b.csv", index=False)
    options = [
        "--target",
        "species",
        "--ignore",
        "id",
        "--test",
        "b.csv",
        "--validation",
        "b.csv",
        "--epochs",
        "5",
        "--save",
        "net.npz",
    ]
    assert main(["train", "--data", "a.csv", *options, "--json"]) == 0
    found = printed_json(capsys)
    assert found["rows"] == {"train": 75, "validation": 75, "test": 75}
    assert main(["evaluate", "net.npz", "b.csv", "--json"]) == 0
    figures = printed_json(capsys)
    for name in ("accuracy", "loss", "confusion", "classes"):
        assert found[f"test_{name}"] == figures[name]
    assert found["history"]["validation_accuracy"][-1] == figures["accuracy"]


def test_several_targets(capsys: Output) -> None:
    rng = np.random.default_rng(0)
    data = pd.DataFrame(rng.standard_normal((80, 3)), columns=["a", "b", "c"])
    data["u"], data["v"] = (data.a > 0).astype(int), (data.b > data.c).astype(int)
    data["w"] = 100 + 10 * data.a
    data.to_csv("data.csv", index=False)
    assert (
        main(["train", "--data", "data.csv", "--target", "u,v", "--ignore", "w", "--save", "net.npz", "--quiet"]) == 0
    )
    assert float(capsys.readouterr().out) > 0.8
    assert main(["predict", "net.npz", "data.csv", "--probabilities"]) == 0
    rows = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert list(rows) == ["u", "v", "p(u)", "p(v)"]
    assert ((rows["p(u)"] > 0.5) == rows["u"]).all() and (rows["u"] == data["u"]).mean() > 0.9
    assert main(["evaluate", "net.npz", "data.csv", "--json"]) == 0
    assert printed_json(capsys)["labels"]["v"] == pytest.approx((rows["v"] == data["v"]).mean())
    assert (
        main(
            [
                "train",
                "--data",
                "data.csv",
                "--target",
                "u",
                "--target",
                "w",
                "--task",
                "regression",
                "--save",
                "net.npz",
                "--quiet",
            ]
        )
        == 0
    )
    assert float(capsys.readouterr().out) > 0.7
    assert main(["predict", "net.npz", "data.csv"]) == 0
    rows = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert list(rows) == ["u", "w"] and abs(rows["w"].mean() - 100) < 3


def test_rates_are_predicted_as_rates(capsys: Output) -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, 400)
    pd.DataFrame({"x": x, "n": rng.poisson(np.exp(1 + x))}).to_csv("data.csv", index=False)
    options = ["--target", "n", "--task", "regression", "--loss", "poisson", "--save", "net.npz", "--quiet"]
    assert main(["train", "--data", "data.csv", *options]) == 0
    capsys.readouterr()
    assert main(["predict", "net.npz", "data.csv"]) == 0
    found = pd.read_csv(io.StringIO(capsys.readouterr().out))["n"]
    np.testing.assert_allclose(np.log(found), 1 + x, atol=0.35)


# --- files ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["f.tsv.gz", "f.npz", "f.parquet"])
def test_every_kind_of_table_trains_the_same_network(name: str, iris: pd.DataFrame) -> None:
    iris.to_csv("f.csv", index=False)
    if name == "f.parquet":
        pytest.importorskip("pyarrow")
        iris.to_parquet(name)
    elif name == "f.npz":
        numbers = pd.api.types.is_numeric_dtype
        np.savez(name, **{one: iris[one].to_numpy(float if numbers(iris[one]) else str) for one in iris})
    else:
        iris.to_csv(name, index=False, sep="\t")
    found = []
    for file in ("f.csv", name):
        arguments = ["train", "--data", file, "--target", "species", "--epochs", "2", "--save", "net.npz", "--quiet"]
        assert main(arguments) == 0
        found.append(pathlib.Path("net.npz").read_bytes())
    assert found[0] == found[1]


def test_arrays_x_and_t(capsys: Output) -> None:
    (x, t), (x_test, t_test) = fastnn.datasets.load_digits()
    np.savez("train.npz", x=x, t=t)
    np.savez("test.npz", x=x_test, t=t_test)
    np.savez("new.npz", x=x_test)
    assert (
        main(["train", "--data", "train.npz", "--save", "net.npz", "--test", "test.npz", "--quiet", "--epochs", "10"])
        == 0
    )
    accuracy = float(capsys.readouterr().out)
    assert accuracy > 0.9
    assert main(["predict", "net.npz", "new.npz"]) == 0
    found = pd.read_csv(io.StringIO(capsys.readouterr().out))["t"]
    assert (found == t_test).mean() == pytest.approx(accuracy, abs=1e-4)


def test_networks_convert_with_what_they_know(iris: pd.DataFrame, capsys: Output) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("safetensors")
    iris.to_csv("iris.csv", index=False)
    assert (
        main(["train", "--data", "iris.csv", "--target", "species", "--epochs", "5", "--save", "a.npz", "--quiet"]) == 0
    )
    for source, made in (
        ("a.npz", "b.onnx"),
        ("b.onnx", "c.safetensors"),
        ("c.safetensors", "d.npz"),
        ("d.npz", "e.npz"),
    ):
        assert main(["convert", source, made, "--json"]) == 0
    capsys.readouterr()
    shown = set()
    for model in ("a.npz", "b.onnx", "c.safetensors", "d.npz"):
        assert main(["predict", model, "iris.csv", "--probabilities"]) == 0
        shown.add(capsys.readouterr().out)
    assert len(shown) == 1
    assert main(["convert", "a.npz", "a.onnx"]) == 0
    assert "\n\nwritten to a.onnx, without the optimizer's state\n" in capsys.readouterr().out


def test_networks_that_know_no_table(capsys: Output) -> None:
    assert main(["train", "--epochs", "3", "--save", "net.npz", "--json"]) == 0
    trained = printed_json(capsys)
    assert main(["evaluate", "net.npz", "digits", "--json"]) == 0
    assert printed_json(capsys)["accuracy"] == trained["test_accuracy"]
    (x, _), _ = fastnn.datasets.load_digits()
    np.save("x.npy", x[:3])
    assert main(["predict", "net.npz", "x.npy"]) == 0
    found = pd.read_csv(io.StringIO(capsys.readouterr().out))
    np.testing.assert_allclose(found, fastnn.load("net.npz").predict(x[:3]), rtol=1e-5)
    np.save("x.npy", x[:3, :5])
    sentence = (
        "x.npy: expected 64 columns of inputs, got 5, and the network does not say how it was trained; pass these alone"
    )
    assert_error(["predict", "net.npz", "x.npy"], sentence, capsys)


@pytest.mark.parametrize("checkpoint", ["run.npz,every=2", "my,runs/a,b.npz", "my,runs/lr=0.1.npz", "path=run.npz"])
def test_interrupted_runs_go_on_to_the_same_bits(checkpoint: str, iris: pd.DataFrame, capsys: Output) -> None:
    os.mkdir("my,runs")
    iris.to_csv("iris.csv", index=False)
    own = ["train", "--data", "iris.csv", "--target", "species", "--json", "--dropout", "0.1", "--save"]
    assert main([*own, "whole.npz", "--epochs", "6"]) == 0
    capsys.readouterr()
    more = ["--checkpoint", checkpoint, "--resume"]
    assert main([*own, "half.npz", "--epochs", "3", *more]) == 0
    seconds = printed_json(capsys)["history"]["seconds"]
    assert main([*own, "again.npz", "--epochs", "6", *more]) == 0
    assert printed_json(capsys)["history"]["seconds"][:3] == seconds  # so it did go on
    assert pathlib.Path("again.npz").read_bytes() == pathlib.Path("whole.npz").read_bytes()
    file = checkpoint.removeprefix("path=").removesuffix(",every=2")
    assert main(["evaluate", file, "iris.csv", "--json"]) == 0  # a checkpoint is a network, too


def test_a_full_terminal_is_an_error_in_one_line(iris: pd.DataFrame) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("without /dev/full")
    iris.to_csv("iris.csv", index=False)
    assert main([*SHORT, "--target", "species"]) == 0
    with open("/dev/full", "w") as full:
        command = [*PYTHON_M, "predict", "net.npz", "iris.csv"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=variables(), check=False)
    assert done.returncode == 1 and re.search(r"fastnn: error: .*No space left on device", done.stderr)
    assert "Traceback" not in done.stderr


def test_base_install_needs_no_other_library(iris: pd.DataFrame) -> None:
    """Neither pandas nor pyarrow is imported for a CSV file."""
    iris.to_csv("iris.csv", index=False)
    code = (
        "import sys\nfrom fastnn.command.cli import main\n"
        "main(['train', '--data', 'iris.csv', '--target', 'species', '--epochs', '1', '--save', 'n.npz', '--quiet'])\n"
        "main(['predict', 'n.npz', 'iris.csv', '--output', 'o.csv'])\n"
        "assert not {'pandas', 'pyarrow', 'sklearn', 'onnx'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=variables(), check=False)
    assert done.returncode == 0, done.stderr


def test_output_as_json(iris: pd.DataFrame, capsys: Output) -> None:
    iris.to_csv("iris.csv", index=False)
    assert main([*SHORT, "--target", "species"]) == 0
    capsys.readouterr()
    assert main(["predict", "net.npz", "iris.csv", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["model"] == "net.npz" and len(found["predictions"]["species"]) == 150
