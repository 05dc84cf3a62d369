"""`python -m benchmarks.numerical_training`: the book's network trained by its numerical gradient alone.

784-50-10 with sigmoid, batches of 100 of MNIST, learning rate 0.1, 10,000 steps, every gradient 79,520 losses by the
textbook's definition. It writes loss and test accuracy against time, and how long the plain loop takes for the same
steps, calculated from some of its entries, as JSON and as a picture.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

import fastnn
from benchmarks import pages, peers

RESULTS = pathlib.Path(__file__).parent / "results"
NAME = "numerical-training"
BATCH, LEARNING_RATE = 100, 0.1
CASE = "numerical gradient 100, 784-50-10, sigmoid"
REPORTS = 200  # points of the curve


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, time the plain loop, write both files."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.numerical_training", description=__doc__)
    parser.add_argument("--data", metavar="FOLDER", help="of the MNIST files (fastnn's own folder)")
    parser.add_argument("--steps", type=int, default=10_000, metavar="N", help="updates of the parameters (10,000)")
    parser.add_argument("--folder", type=pathlib.Path, help="where to write (benchmarks/results and docs/pictures)")
    options = parser.parse_args(arguments)
    (x, t), test = fastnn.datasets.load_mnist(options.data)
    result = train(x, t, test, options.steps)
    result["plain_seconds_per_step"] = plain_step()
    print(sentence(result))
    figures, picture = (options.folder or folder for folder in (RESULTS, pages.PICTURES))
    for folder in (figures, picture):
        folder.mkdir(exist_ok=True)
    (figures / f"{NAME}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    draw(result, picture / f"{NAME}.svg")
    print(f"written: {figures / NAME}.json and {picture / NAME}.svg")
    return 0


def train(x: Any, t: Any, test: Any, steps: int) -> dict[str, Any]:
    """The curve: step, seconds, loss; and the test accuracy at its end."""
    net = fastnn.Network([fastnn.Affine(784, 50, init=0.01), fastnn.Sigmoid(), fastnn.Affine(50, 10, init=0.01)], rng=0)
    rng = np.random.default_rng(0)
    net.numerical_gradient(x[:BATCH], t[:BATCH])  # compiles
    seconds, curve = 0.0, []
    for step in range(1, steps + 1):
        rows = rng.choice(len(x), BATCH)
        some, targets = x[rows], t[rows]
        start = time.perf_counter()
        gradient = net.numerical_gradient(some, targets)
        for name, parameter in net.params.items():
            parameter -= LEARNING_RATE * gradient[name]
        seconds += time.perf_counter() - start
        if step == 1 or step % max(1, steps // REPORTS) == 0:
            curve.append((step, seconds, net.loss(some, targets)))
            if step % max(1, steps // 10) == 0:
                print(f"{step:>6} steps, {seconds:6.1f} s, loss {curve[-1][2]:.3f}", flush=True)
    accuracy = net.accuracy(*test)
    print(f"test accuracy {accuracy:.4f} after {seconds:.0f} s")
    return {
        "steps": steps,
        "seconds": seconds,
        "accuracy": accuracy,
        "threads": fastnn.get_num_threads(),
        "curve": curve,
    }


def plain_step() -> float:
    """Seconds of one gradient by the textbook's loop in NumPy, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.worker", "numpy_loop", str(fastnn.get_num_threads()), CASE]
    done = subprocess.run(command, env=peers.child_environment(), capture_output=True, text=True, check=True)
    row = json.loads(done.stdout.splitlines()[-1])
    return float(row["seconds"])


def sentence(result: dict[str, Any]) -> str:
    """The result in the words of the README."""
    steps, plain = result["steps"], result["plain_seconds_per_step"]
    how = f"{result['seconds']:.0f} s on {result['threads']} threads"
    days = f"{steps * plain / 86_400:.1f} days for all"
    return (
        f"{steps:,} steps of the book's network (784-50-10, batches of 100 of MNIST) by numerical gradients alone "
        f"take {how}\nand end with a test accuracy of {result['accuracy']:.4f}. The textbook evaluates the loss 79,520 "
        f"times for each step, twice for each parameter.\nIts plain loop in NumPy takes {plain:.1f} s for one step, "
        f"{days}."
    )


def draw(result: dict[str, Any], path: pathlib.Path) -> None:
    """Draw loss against time for both ways; the losses are the same, as the gradients are the same."""
    from matplotlib.figure import Figure

    steps, seconds, losses = map(np.array, zip(*result["curve"], strict=True))
    figure = Figure(figsize=(8.0, 4.0), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(seconds, losses, color="#0072b2", label="fastnn")
    plain = steps * result["plain_seconds_per_step"]
    axes.plot(plain, losses, color="#d55e00", label="plain loop in NumPy, calculated")
    axes.set_xscale("log")
    axes.set_xlabel("time")
    axes.set_ylabel("loss of the batch")
    marks = {0.01: "10 ms", 1: "1 s", 60: "1 min", 3600: "1 h", 86_400: "1 day"}
    axes.set_xticks(list(marks), list(marks.values()))
    axes.minorticks_off()
    axes.legend(frameon=False)
    axes.set_title(f"{result['steps']:,} steps of the book's network by numerical gradients alone")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    sys.exit(main())
