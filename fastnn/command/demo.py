"""fastnn's main job in one command, on the data that ship with it: training, its gradient, its speed."""

import contextlib
import functools
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn import environment, reference
from fastnn.datasets import load_digits
from fastnn.gate import arrays
from fastnn.gate.arrays import Array
from fastnn.gradients.numerical import numerical_gradient
from fastnn.layers import Affine, Relu, Sigmoid
from fastnn.network.history import History
from fastnn.network.network import Network
from fastnn.optimizers import SGD

PIXELS, CLASSES = 64, 10
HIDDEN, EPOCHS, EPOCHS_PER_LINE, BATCH_SIZE, LEARNING_RATE = 100, 40, 8, 32, 0.2
EXPECTED_ACCURACY = 0.95

CHECKED_DIGITS, CHECKED_HIDDEN = 10, 20
# Smaller gradients are compared as if they were this large: a central difference, rounded to about 1e-10, could not
# tell their relative error.
SMALL_GRADIENT = 1e-4
LARGEST_ERROR = 1e-5

STEP_WIDTHS, STEP_BATCH, STEP_RATE = (784, 50, 10), 100, 0.1
TIMED_STEPS = 500
COMPARED_STEPS = 10  # later, the steps' rounding adds up
LARGEST_LOSS_DIFFERENCE = 1e-4  # relative

NEXT = """Next:
  fastnn train --help    train a network of your choice, on these digits, on MNIST or on your own files
  fastnn info            what fastnn runs on
  help(fastnn.Network)   in Python, after "import fastnn": build, fit, predict, save"""


def run(seed: int = 0, quiet: bool = False) -> dict[str, Any]:
    """Train, check and time, and print the figures unless `quiet`; the result says whether every part has `passed`."""
    start = time.perf_counter()
    seed = arrays.integer("seed", seed, minimum=0)
    found = environment.config()
    say = _silent if quiet else _print
    processor = found["processor"]
    lanes = f"{processor['float32_lanes']} float32 in a vector"
    say(f"fastnn {found['versions']['fastnn']}: {processor['name']}, {lanes}, {found['threads']['threads']} threads")
    if found["compiled"]:
        _load_kernels()
    say(f"kernels ready after {time.perf_counter() - start:.1f} s\n")
    parts = {"training": train(seed, say), "gradient": check_gradient(seed, say), "step": time_step(seed, say)}
    say(NEXT)
    passed = all(part["passed"] for part in parts.values())
    found = environment.config()  # again, now that there is a threading layer
    return {"passed": passed, "seed": seed, "seconds": time.perf_counter() - start, **parts, "environment": found}


def _load_kernels() -> None:
    """Compile the kernels, or load them from disk, before anything is timed.

    With an empty cache a second process compiles what the gradient in float64 needs: 11 s instead of 20 (Zen 4).
    """
    beside = None
    if environment.compiles_all_on_disk() and (os.cpu_count() or 1) > 1:
        command = [sys.executable, "-c", f"from {__name__} import check_gradient; check_gradient(0, str)"]
        with contextlib.suppress(OSError):  # no process can be started
            beside = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        (x, t), test = load_digits()
        network = Network([Affine(PIXELS, CLASSES), Relu(), Affine(CLASSES, CLASSES)])
        network.fit(x, t, epochs=1, progress=False)
        network.step(x, t, SGD(0.0))
        network.accuracy(*test)
    finally:
        if beside is not None:
            beside.wait()
    check_gradient(0, _silent)


def train(seed: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Train a network on the digits and measure it on unseen ones."""
    (x, t), test = load_digits()
    rng = np.random.default_rng(seed)
    network = Network([Affine(PIXELS, HIDDEN), Relu(), Affine(HIDDEN, CLASSES)], rng=rng)
    say(f"Training {PIXELS}-{HIDDEN}-{CLASSES} on {len(x):,} handwritten digits of 8x8 pixels")

    def report(network: Network, history: History) -> None:
        if history.epochs % EPOCHS_PER_LINE == 0:
            figures = f"loss {history.loss[-1]:.4f}   accuracy {history.accuracy[-1]:.4f}"
            say(f"  epoch {history.epochs:>2} of {EPOCHS}   {figures}")

    history = network.fit(
        x,
        t,
        epochs=EPOCHS,
        batch_size=BATCH_SIZE,
        optimizer=SGD(LEARNING_RATE),
        rng=rng,
        progress=say is _print,
        callbacks=[report],
    )
    accuracy, seconds = network.accuracy(*test), sum(history.seconds)
    passed = accuracy >= EXPECTED_ACCURACY
    expected = f"at least {EXPECTED_ACCURACY} expected"
    say(f"  trained in {seconds:.2f} s")
    say(f"  accuracy {accuracy:.4f} on {len(test[0])} other digits ({expected}): {_verdict(passed)}\n")
    return {"test_accuracy": accuracy, "loss": history.loss[-1], "epochs": EPOCHS, "seconds": seconds, "passed": passed}


def check_gradient(seed: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Compare every entry of the gradient with a central difference of the loss, in float64."""
    (x, t), _ = load_digits(dtype="float64")
    x, t = x[:CHECKED_DIGITS], t[:CHECKED_DIGITS]
    layers = [Affine(PIXELS, CHECKED_HIDDEN), Sigmoid(), Affine(CHECKED_HIDDEN, CLASSES)]
    network = Network(layers, rng=seed, dtype="float64", n_threads=1)
    errors = []
    for name, gradient in network.gradient(x, t).items():
        # the network reads its parameter in place, where the difference quotient moves it
        numerical = numerical_gradient(lambda _: network.loss(x, t), network.params[name])
        errors.append(_relative_error(gradient, numerical).ravel())
    largest, count = float(np.max(np.concatenate(errors))), sum(map(len, errors))
    passed = largest <= LARGEST_ERROR
    say(f"Checking the gradient of {PIXELS}-{CHECKED_HIDDEN}-{CLASSES} in float64, all {count:,} entries")
    say(f"  largest |a - n| / max(|a|, |n|, {SMALL_GRADIENT:g}) = {largest:.1e}: {_verdict(passed)}")
    say("  a: the gradient by back-propagation; n: the central difference of the loss, h = 1e-4\n")
    return {
        "largest_relative_error": largest,
        "definition": f"|a - n| / max(|a|, |n|, {SMALL_GRADIENT:g}), a gradient, n central difference with h = 1e-4",
        "parameters": count,
        "passed": passed,
    }


def _relative_error(a: Array, n: Array) -> Array:
    size = np.maximum(np.maximum(np.abs(a), np.abs(n)), SMALL_GRADIENT)
    error: Array = np.abs(a - n) / size
    return error


def time_step(seed: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Time one step of the same network by fastnn and by NumPy, from the same parameters on the same batch."""
    inputs, hidden, outputs = STEP_WIDTHS
    rng = np.random.default_rng(seed)
    x = rng.random((STEP_BATCH, inputs), dtype=np.float32)
    t = rng.integers(0, outputs, STEP_BATCH)
    network = Network([Affine(inputs, hidden), Relu(), Affine(hidden, outputs)], rng=rng)
    params = {name: value.copy() for name, value in network.params.items()}
    layers = [("affine", inputs, hidden), ("relu",), ("affine", hidden, outputs)]
    # All of fastnn first, then all of NumPy. After a product on several threads NumPy's OpenBLAS keeps its threads
    # spinning for some 20 ms, and a parallel region of fastnn that begins meanwhile has to share the processors.
    fastnn_time, fastnn_losses = _timed(functools.partial(network.step, x, t, SGD(STEP_RATE)))
    numpy_time, numpy_losses = _timed(functools.partial(reference.network_step, layers, params, x, t, STEP_RATE))
    difference = float(np.max(np.abs(fastnn_losses / numpy_losses - 1.0)[:COMPARED_STEPS]))
    passed = difference <= LARGEST_LOSS_DIFFERENCE
    widths = "-".join(map(str, STEP_WIDTHS))
    say(f"Timing a training step, {widths} on a batch of {STEP_BATCH} in float32, random data")
    say(f"  the losses of {COMPARED_STEPS} steps agree with NumPy's to {difference:.0e}: {_verdict(passed)}")
    say(f"  NumPy   {1e6 * numpy_time:5.0f} us   10th percentile of {TIMED_STEPS:,} steps{_handicap()}")
    say(f"  fastnn  {1e6 * fastnn_time:5.0f} us   {numpy_time / fastnn_time:.1f} times as fast")
    if fastnn_time > numpy_time:
        network.n_threads = 1
        alone, _ = _timed(functools.partial(network.step, x, t, SGD(STEP_RATE)))
        if 2 * alone < fastnn_time:
            say(f"  The machine is busy. On one thread: {1e6 * alone:.0f} us; fastnn.set_num_threads(1) chooses it")
    say("")
    return {
        "fastnn_seconds": fastnn_time,
        "numpy_seconds": numpy_time,
        "ratio": numpy_time / fastnn_time,
        "largest_loss_difference": difference,
        "passed": passed,
    }


def _timed(step: Callable[[], float]) -> tuple[float, Array]:
    """The 10th percentile of the seconds that a step takes, and the losses of all steps."""
    seconds, losses = np.empty(TIMED_STEPS), np.empty(TIMED_STEPS)
    for i in range(TIMED_STEPS):
        start = time.perf_counter()
        losses[i] = step()
        seconds[i] = time.perf_counter() - start
    return float(np.percentile(seconds, 10)), losses


def _handicap() -> str:
    """A note if the environment makes NumPy use other kernels than it would choose, usually slower ones."""
    chosen = [name for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE") if name in os.environ]
    return f", slowed perhaps by {' and '.join(chosen)}" if chosen else ""


def _verdict(passed: bool) -> str:
    return "ok" if passed else "FAILED"


def _print(line: str) -> None:
    print(line, flush=True)


def _silent(line: str) -> None:
    """Say nothing."""
