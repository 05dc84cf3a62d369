"""Networks of images on the command line, beside the same training in Python."""

import pathlib
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.command.cli import main
from fastnn.kernels.compile import JIT_DISABLED
from tests.commands import Output, assert_error, printed_json


@pytest.mark.skipif(JIT_DISABLED, reason="slow with NUMBA_DISABLE_JIT=1")
def test_train_a_network_of_images(tmp_path: pathlib.Path, capsys: Output) -> None:
    file, text = (
        str(tmp_path / "images.npz"),
        "conv2d 8 3, relu, max_pool2d 2, dropout2d 0.1, conv2d 4 3 padding=1, relu",
    )
    options = ["--epochs", "2", "--batch-size", "200", "--layers", text, "--save", file]
    assert main(["train", *options, "--json"]) == 0
    trained = printed_json(capsys)
    first, second = fastnn.Conv2d(1, 8, 3), fastnn.Conv2d(8, 4, 3, padding=1)
    middle: list[Any] = [fastnn.Relu(), fastnn.MaxPool2d(2), fastnn.Dropout2d(0.1)]
    layers: list[Any] = [first, *middle, second, fastnn.Relu(), fastnn.Flatten(), fastnn.Affine(36, 10)]
    assert trained["layers"] == list(map(str, layers))
    rng = np.random.default_rng(0)
    (x, t), (x_test, t_test) = fastnn.datasets.load_digits(flatten=False)
    (x, t), validation = fastnn.datasets.train_test_split(x, t, 0.1, rng)
    net = fastnn.Network(layers, input_shape=(1, 8, 8), rng=rng)
    net.fit(
        x, t, epochs=2, batch_size=200, optimizer=fastnn.SGD(0.1), validation_data=validation, rng=rng, progress=False
    )
    assert trained["test_accuracy"] == net.accuracy(x_test, t_test)
    assert main(["evaluate", file, "digits", "--json"]) == 0
    assert printed_json(capsys)["accuracy"] == trained["test_accuracy"]
    sentence = "DATA: expected a table, got digits; fastnn evaluate measures a network on it, and"
    assert_error(["predict", file, "digits"], f"{sentence} fastnn.load(MODEL).predict(x) predicts images", capsys)
    rows = x_test[:5].reshape(5, 64)
    np.savetxt(tmp_path / "rows.csv", np.column_stack([rows, t_test[:5]]), delimiter=",")
    given = ["predict", file, str(tmp_path / "rows.csv"), "--header", "no", "--ignore", "65"]
    for options, expected in (
        ([], net.predict(x_test[:5])),
        (["--probabilities"], fastnn.softmax(net.predict(x_test[:5]))),
    ):
        assert main([*given, *options]) == 0
        written = np.loadtxt(capsys.readouterr().out.splitlines()[1:], delimiter=",")
        np.testing.assert_allclose(written, expected, rtol=1e-5)
