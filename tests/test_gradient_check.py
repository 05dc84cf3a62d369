"""check_gradients: its verdicts on right and wrong gradients, how often it errs, and how it prints."""

import json
import pathlib
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.command import cli
from fastnn.kernels.compile import JIT_DISABLED
from fastnn.layers import Activation
from tests.shapes import Array

HEADINGS = [
    "tensor",
    "entries",
    "largest",
    "error",
    "median",
    "analytic",
    "numerical",
    "at",
    "noise",
    "kinks",
    "unknown",
    "verdict",
]
SEEDS = 1 if JIT_DISABLED else 20
DTYPES = ["float32"] if JIT_DISABLED else ["float32", "float64"]


def problem(
    activation: Activation, seed: int, dtype: str = "float32", widths: tuple[int, int, int] = (6, 8, 4)
) -> tuple[fastnn.Network, Array, Array]:
    inputs, hidden, outputs = widths
    layers = [fastnn.Affine(inputs, hidden), activation, fastnn.Affine(hidden, hidden), activation]
    net = fastnn.Network([*layers, fastnn.Affine(hidden, outputs)], rng=seed, dtype=dtype)
    generator = np.random.default_rng(seed)
    return net, generator.standard_normal((20, inputs)), generator.integers(0, outputs, 20)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", [fastnn.Relu(), fastnn.Tanh(), fastnn.Sigmoid(), fastnn.LeakyRelu()], ids=str)
def test_no_false_alarm(activation: Activation, dtype: str) -> None:
    for seed in range(SEEDS):
        net, x, t = problem(activation, seed, dtype)
        report = fastnn.check_gradients(net, x, t)
        assert report.passed, f"seed {seed}\n{report}"
        report.assert_agree()


@pytest.mark.skipif(JIT_DISABLED, reason="takes minutes with NUMBA_DISABLE_JIT=1")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", [fastnn.Relu(), fastnn.Tanh(), fastnn.Sigmoid()], ids=str)
def test_one_per_cent_in_any_tensor_is_found(activation: Activation, dtype: str) -> None:
    for seed in range(SEEDS // 5):
        net, x, t = problem(activation, seed, dtype)
        for name, right in net.gradient(x, t).items():
            wrong = {**net.gradient(x, t), name: right * 1.01}
            report = fastnn.check_gradients(net, x, t, gradient=wrong)
            assert report.verdict == "differ"
            assert {tensor.name: tensor.verdict for tensor in report.tensors.values() if tensor.verdict != "agree"} == {
                name: "differ"
            }, f"seed {seed}\n{report}"


def test_one_wrong_entry_is_named() -> None:
    net, x, t = problem(fastnn.Tanh(), 0)
    wrong = net.gradient(x, t)
    wrong["W2"][3, 2] += 0.1
    report = fastnn.check_gradients(net, x, t, gradient=wrong)
    found = report.tensors["W2"]
    assert found.worst == (3, 2)
    assert found.analytic - found.numerical == pytest.approx(0.1, rel=1e-4)
    assert report.errors["W2"].argmax() == 3 * 8 + 2
    with pytest.raises(
        AssertionError, match=r"^gradients: expected the analytic and numerical ones to agree\ntensor  entries"
    ):
        report.assert_agree()


@pytest.mark.parametrize("slope", [0.0, 3.0, 6.0])
def test_both_slopes_and_their_mean_are_right_at_a_kink(slope: float) -> None:
    """Other numbers between them are not: errors of 1 % in the bias behind a unit that is off would be among them."""
    net = fastnn.Network(
        [fastnn.Affine(1, 1), fastnn.Relu(), fastnn.Affine(1, 1)], "mean_squared_error", dtype="float64"
    )
    for name, value in {"W1": [[0.0]], "b1": [0.0], "W2": [[3.0]], "b2": [1.0]}.items():
        net.params[name] = np.array(value)
    x, t = np.array([[2.0]]), np.zeros((1, 1))
    gradient = net.gradient(x, t)
    assert gradient["W1"][0, 0] == 0
    gradient["W1"][0, 0] = slope
    report = fastnn.check_gradients(net, x, t, gradient=gradient)
    assert report.passed
    (kink,) = report.tensors["W1"].kinks
    assert kink.index == (0, 0)
    assert (kink.slope_below, kink.slope_above) == pytest.approx((0, 6), abs=1e-2)
    for wrong in (-0.2, 0.06, 4.4, 6.2):
        gradient["W1"][0, 0] = wrong
        assert fastnn.check_gradients(net, x, t, gradient=gradient).verdict == "differ"


def test_nan_differs() -> None:
    net, x, t = problem(fastnn.Tanh(), 0)
    wrong = net.gradient(x, t)
    wrong["b1"][2] = np.nan
    report = fastnn.check_gradients(net, x, t, gradient=wrong)
    assert report.tensors["b1"].verdict == "differ"
    assert report.tensors["b1"].worst == (2,)


def test_a_network_that_is_sure_cannot_be_told() -> None:
    """In float32 the gradient of a sample given a probability of 1 - 1e-7 is a rounding."""
    net = fastnn.Network([fastnn.Affine(1, 2)], rng=0)
    net.params["W1"] = np.array([[16.0, 0.0]])
    x = np.linspace(0.9, 1.0, 5)[:, None]
    report = fastnn.check_gradients(net, x, np.zeros(5, np.intp), rtol=1e-9, atol=1e-9)
    assert report.verdict == "cannot tell", report
    assert not report.passed
    assert not report, "nothing was shown"
    with pytest.raises(AssertionError, match="cannot tell"):
        report.assert_agree()


def test_the_gradient_of_dead_units_agrees() -> None:
    net, x, t = problem(fastnn.Relu(), 0)
    net.params["b1"] = np.full(8, -1000.0)
    report = fastnn.check_gradients(net, x, t)
    assert report.passed
    assert report.tensors["W1"].largest_error == 0


def test_as_a_table_and_as_a_dict() -> None:
    net, x, t = problem(fastnn.Relu(), 1)
    report = fastnn.check_gradients(net, x, t, h=0.1)
    lines = str(report).splitlines()
    assert lines[0].split() == HEADINGS
    assert [line.split()[0] for line in lines[1:-1]] == ["W1", "b1", "W2", "b2", "W3", "b3"]
    assert lines[-1].startswith("agree (h = 0.1;")
    assert repr(report) == "<GradientReport: agree, 6 tensors>"
    found = json.loads(json.dumps(report.to_dict()))
    assert found["verdict"] == "agree"
    assert found["tensors"]["W1"]["entries"] == 48
    assert sum(len(tensor["kinks"]) for tensor in found["tensors"].values()) > 0, "h = 0.1 crosses some"


def test_as_a_picture(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("matplotlib")
    net, x, t = problem(fastnn.Relu(), 1)
    fastnn.check_gradients(net, x, t).plot(tmp_path / "errors.png")
    assert (tmp_path / "errors.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"gradient": {}}, r"gradient: expected the keys \['W1', 'b1', .*\], got \[\]; pass one array for each"),
        ({"h": 0}, r"h: expected a finite number above 0.0, got 0"),
        ({"rtol": -1}, r"rtol: expected a finite number of at least 0.0, got -1"),
    ],
)
def test_refusals(arguments: dict[str, Any], sentence: str) -> None:
    net, x, t = problem(fastnn.Relu(), 1)
    with pytest.raises(ValueError, match=f"^{sentence}"):
        fastnn.check_gradients(net, x, t, **arguments)
    with pytest.raises(TypeError, match=r"^net: expected a fastnn\.Network, got 3; for a function call"):
        fastnn.check_gradients(3, x, t)
    wrong = {**net.gradient(x, t), "b1": np.zeros(3)}
    with pytest.raises(
        ValueError, match=r"^gradient\['b1'\]: expected a float64 array of shape \(8,\), got shape \(3,\)"
    ):
        fastnn.check_gradients(net, x, t, gradient=wrong)


def test_the_command(
    capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = ["--hidden", "5", "--samples", "8"]
    for loss in ("softmax_cross_entropy", "mean_squared_error"):
        assert cli.main(["gradcheck", *some, "--loss", loss]) == 0
        assert "\nagree (h = 0.0001;" in capsys.readouterr().out
    for verdict, code in (("differ", 1), ("cannot tell", 3)):
        monkeypatch.setattr(fastnn.gradients.check.GradientReport, "verdict", verdict)
        assert cli.main(["gradcheck", *some]) == code
        assert f"\n{verdict} (h = 0.0001;" in capsys.readouterr().out
    monkeypatch.undo()
    assert cli.main(["gradcheck", *some, "--json", "--activation", "relu", "--dtype", "float64"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "agree"
    pytest.importorskip("matplotlib")
    picture = tmp_path / "errors.png"
    assert cli.main(["gradcheck", *some, "--plot", str(picture)]) == 0
    assert f"drawn in {picture}" in capsys.readouterr().out
    assert picture.exists()


@pytest.mark.parametrize("factor", [1.0001, 1.001, 1.01])
def test_inputs_that_are_not_scaled(factor: float) -> None:
    """Large inputs bend the loss within a step; this is no kink, and it hides nothing."""
    generator = np.random.default_rng(0)
    net = fastnn.Network([fastnn.Affine(16, 8), fastnn.Sigmoid(), fastnn.Affine(8, 3)], rng=0, dtype="float64")
    x, t = generator.uniform(0, 255, (10, 16)), generator.integers(0, 3, 10)
    net.params["W1"] *= 0.05
    assert fastnn.check_gradients(net, x, t).verdict == "agree"
    gradient = net.gradient(x, t)
    place = np.unravel_index(np.abs(gradient["W1"]).argmax(), (16, 8))
    gradient["W1"][place] *= factor
    report = fastnn.check_gradients(net, x, t, gradient=gradient)
    assert report.verdict == "differ"
    assert not report.tensors["W1"].kinks


def test_at_a_minimum_nothing_is_claimed() -> None:
    """The float32 gradient is only the rounding of terms that cancel there."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(40, 5)).astype(np.float32)
    t = generator.normal(size=(40, 1)).astype(np.float32)
    net = fastnn.Network([fastnn.Affine(5, 1)], "mean_squared_error", rng=0)
    solution = np.linalg.lstsq(np.c_[x, np.ones(40)].astype(np.float64), t.astype(np.float64), rcond=None)[0]
    net.params["W1"], net.params["b1"] = solution[:5].astype(np.float32), solution[5].astype(np.float32)
    assert fastnn.check_gradients(net, x, t).verdict in ("agree", "cannot tell")


@pytest.mark.parametrize("net", [fastnn.Network, fastnn, 3, None])
def test_what_is_no_network(net: Any) -> None:
    with pytest.raises(TypeError, match=r"^net: expected a fastnn.Network, got "):
        fastnn.check_gradients(net, np.ones((1, 1)), [0])


@pytest.mark.parametrize("gradient", [[np.ones(2)], 3, "W1"])
def test_what_is_no_gradient(gradient: Any) -> None:
    net, x, t = problem(fastnn.Tanh(), 0)
    with pytest.raises(TypeError, match=r"^gradient: expected a dictionary like net.params, got "):
        fastnn.check_gradients(net, x, t, gradient=gradient)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_step_lost_in_rounding_shows_nothing(dtype: str) -> None:
    net, x, t = problem(fastnn.Sigmoid(), 0, dtype)
    with pytest.warns(fastnn.PrecisionWarning, match="^h: a step of 1e-30 is lost"):
        report = fastnn.check_gradients(net, x, t, h=1e-30)
    assert report.verdict == "cannot tell" and report.tensors["W1"].unknown == net.params["W1"].size
