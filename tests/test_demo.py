"""`fastnn demo`: its output, its failure when a part of it fails, and its accuracy."""

import json
import re
import subprocess

import numpy as np
import pytest

from fastnn import environment, reference
from fastnn.command import demo
from fastnn.command.cli import main
from fastnn.engine import threads
from fastnn.kernels.compile import JIT_DISABLED
from tests.commands import AT_LEAST_0, PYTHON_M, Output, assert_error, printed_json, variables, without_compiling

needs_compiler = pytest.mark.skipif(JIT_DISABLED, reason="takes minutes with NUMBA_DISABLE_JIT=1")


@pytest.fixture
def small_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo with so little work that plain Python does it in seconds, and an accuracy that it then reaches."""
    small = {
        "HIDDEN": 10,
        "EPOCHS": 2,
        "EPOCHS_PER_LINE": 1,
        "CHECKED_HIDDEN": 2,
        "CHECKED_DIGITS": 3,
        "STEP_BATCH": 10,
    }
    for name, value in {**small, "TIMED_STEPS": 4, "COMPARED_STEPS": 3, "EXPECTED_ACCURACY": 0.5}.items():
        monkeypatch.setattr(demo, name, value)


@needs_compiler
@pytest.mark.usefixtures("small_demo")
def test_demo_says_what_it_does(capsys: Output) -> None:
    assert main(["demo"]) == 0
    out, err = capsys.readouterr()
    assert without_compiling(err) == ""
    assert re.fullmatch(
        r"""fastnn \S+: \S+, \d+ float32 in a vector, \d+ threads
kernels ready after \d+\.\d s

Training 64-10-10 on 1,438 handwritten digits of 8x8 pixels
  epoch  1 of 2   loss \d\.\d{4}   accuracy 0\.\d{4}
  epoch  2 of 2   loss \d\.\d{4}   accuracy 0\.\d{4}
  trained in \d+\.\d\d s
  accuracy 0\.\d{4} on 359 other digits \(at least 0\.5 expected\): ok

Checking the gradient of 64-2-10 in float64, all 160 entries
  largest \|a - n\| / max\(\|a\|, \|n\|, 0\.0001\) = \d\.\de-\d\d: ok
  a: the gradient by back-propagation; n: the central difference of the loss, h = 1e-4

Timing a training step, 784-50-10 on a batch of 10 in float32, random data
  the losses of 3 steps agree with NumPy's to \de[-+]\d\d: ok
  NumPy   +\d+ us   10th percentile of 4 steps.*
  fastnn  +\d+ us   \d+\.\d times as fast
(  The machine is busy\..*
)?
Next:
  fastnn train --help    train a network of your choice, on these digits, on MNIST or on your own files
  fastnn info            what fastnn runs on
  help\(fastnn\.Network\)   in Python, after "import fastnn": build, fit, predict, save
""",
        out,
    )


@needs_compiler
@pytest.mark.usefixtures("small_demo")
def test_demo_as_json_prints_nothing_else(capsys: Output) -> None:
    assert main(["demo", "--json", "--seed", "3"]) == 0
    found = printed_json(capsys)
    assert found["seed"] == 3
    assert found["environment"] == environment.config()
    assert (
        found["passed"] is found["training"]["passed"] is found["gradient"]["passed"] is found["step"]["passed"] is True
    )
    assert found["step"]["ratio"] == found["step"]["numpy_seconds"] / found["step"]["fastnn_seconds"]
    assert found["gradient"]["parameters"] == 64 * 2 + 2 + 2 * 10 + 10
    assert main(["demo", "--json", "--seed", "3"]) == 0
    again = printed_json(capsys)
    for part, name in (
        ("training", "loss"),
        ("gradient", "largest_relative_error"),
        ("step", "largest_loss_difference"),
    ):
        assert again[part][name] == found[part][name]


@needs_compiler
@pytest.mark.usefixtures("small_demo")
def test_demo_fails_below_the_expected_accuracy(monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    monkeypatch.setattr(demo, "EXPECTED_ACCURACY", 1.01)
    assert main(["demo"]) == 1
    assert " on 359 other digits (at least 1.01 expected): FAILED\n" in capsys.readouterr().out


@needs_compiler
@pytest.mark.usefixtures("small_demo")
@pytest.mark.parametrize("wrong", [0.0, 1e-3, np.nan])
def test_demo_fails_where_the_gradient_is_wrong(wrong: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "numerical_gradient", lambda f, x: reference.numerical_gradient(f, x) + wrong)
    assert demo.check_gradient(0, demo._silent)["passed"] is (wrong == 0.0)


@needs_compiler
@pytest.mark.usefixtures("small_demo")
@pytest.mark.parametrize("wrong", [0.0, 1e-2, np.nan])
def test_demo_fails_where_the_losses_differ(wrong: float, monkeypatch: pytest.MonkeyPatch) -> None:
    step = reference.network_step
    monkeypatch.setattr(reference, "network_step", lambda *arguments: step(*arguments) + wrong)
    assert demo.time_step(0, demo._silent)["passed"] is (wrong == 0.0)


def test_demo_says_what_may_slow_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    monkeypatch.delenv("OPENBLAS_L2_SIZE", raising=False)
    assert demo._handicap() == ""
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    assert demo._handicap() == ", slowed perhaps by OPENBLAS_CORETYPE"


@needs_compiler
@pytest.mark.usefixtures("small_demo")
@pytest.mark.parametrize(("alone", "busy"), [(1e-4, True), (8e-4, False)])
def test_demo_says_where_one_thread_is_faster(alone: float, busy: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    timed, seconds, lines = demo._timed, iter((1e-3, 1e-4, alone)), list[str]()
    monkeypatch.setattr(demo, "_timed", lambda step: (next(seconds), timed(step)[1]))
    demo.time_step(0, lines.append)
    assert [line for line in lines if "busy" in line] == [
        "  The machine is busy. On one thread: 100 us; fastnn.set_num_threads(1) chooses it"
    ] * busy


def test_demo_refuses_a_negative_seed(capsys: Output) -> None:
    assert_error(["demo", "--seed", "-1"], f"--seed: {AT_LEAST_0}", capsys)


@needs_compiler
def test_demo_in_a_process_of_its_own_reaches_the_accuracy() -> None:
    done = subprocess.run([*PYTHON_M, "demo", "--json"], capture_output=True, text=True, env=variables(), check=False)
    assert (done.returncode, without_compiling(done.stderr)) == (0, "")
    found = json.loads(done.stdout)
    assert found["training"]["test_accuracy"] >= 0.95
    assert found["gradient"]["largest_relative_error"] <= 1e-5
    assert found["environment"]["threads"]["threading_layer"] != "not started" or threads.default_num_threads() == 1
    assert 0 < found["step"]["fastnn_seconds"] < 1
