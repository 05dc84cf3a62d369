"""`fastnn demo gradients`: the numerical gradient, by the plain loop and by fastnn, beside back-propagation."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

import fastnn
from fastnn import reference
from fastnn.demos.tables import table
from fastnn.gate.arrays import Array

INPUTS, HIDDEN, CLASSES, DIGITS = 64, 20, 10, 50
LOOP_ENTRIES, REPETITIONS = 100, 5


def network_and_data(seed: int = 0) -> tuple[fastnn.Network, Array, Array]:
    """A network in float64 and some digits."""
    (x, t), _ = fastnn.datasets.load_digits(dtype="float64")
    layers = [fastnn.Affine(INPUTS, HIDDEN), fastnn.Sigmoid(), fastnn.Affine(HIDDEN, CLASSES)]
    return fastnn.Network(layers, rng=seed, dtype="float64"), x[:DIGITS], t[:DIGITS]


def plain_loop(network: fastnn.Network, x: Array, t: Array) -> tuple[float, Array]:
    """Seconds for one entry, and some entries of the numerical gradient by W1, the others NaN.

    Each entry takes two losses, each a whole forward pass in NumPy.
    """
    params = {name: array.copy() for name, array in network.params.items()}
    layers = [("affine", INPUTS, HIDDEN), ("sigmoid",), ("affine", HIDDEN, CLASSES)]

    def loss(_: Array) -> float:
        return reference.softmax_cross_entropy(reference.network_forward(layers, params, x), t)[0]

    start = time.perf_counter()
    gradient = fastnn.numerical_gradient(loss, params["W1"], max_entries=LOOP_ENTRIES, rng=0)
    return (time.perf_counter() - start) / LOOP_ENTRIES, gradient


def timed(call: Callable[[], Any]) -> tuple[float, dict[str, Array]]:
    """The shortest time of several calls, after one that loads the kernels, and the result."""
    result: dict[str, Array] = call()
    seconds = []
    for _ in range(REPETITIONS):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds), result


def largest_difference(a: dict[str, Array], b: dict[str, Array]) -> float:
    """The largest |a - b| of all entries; NaN if any is NaN."""
    return float(np.max([np.abs(a[name] - b[name]).max() for name in a]))


def run(say: Callable[[str], None], seed: int = 0) -> None:
    """Print the times, the differences and the report of check_gradients."""
    network, x, t = network_and_data(seed)
    count = sum(array.size for array in network.params.values())
    # The plain loop last: NumPy's threads keep the processors for a moment after a product.
    analytic_time, analytic = timed(lambda: network.gradient(x, t))
    numerical_time, numerical = timed(lambda: network.numerical_gradient(x, t))
    entry_time, loop = plain_loop(network, x, t)
    loop_time, checked = count * entry_time, ~np.isnan(loop)
    say(f"{INPUTS}-{HIDDEN}-{CLASSES}, sigmoid, float64, {DIGITS} digits: {count:,} parameters")
    rows = [
        ("numerical, plain loop in NumPy", f"{1e3 * loop_time:.2f} ms", "1.0", "extrapolated"),
        ("Network.numerical_gradient", f"{1e3 * numerical_time:.2f} ms", f"{loop_time / numerical_time:,.0f}", ""),
        ("Network.gradient", f"{1e3 * analytic_time:.2f} ms", f"{loop_time / analytic_time:,.0f}", ""),
    ]
    say(table(("gradient", "time", "times as fast", ""), rows, text_columns=1))
    say(f"extrapolated from {LOOP_ENTRIES} entries of W1; the others measured, the best of {REPETITIONS}")
    say("\nlargest absolute difference")
    say(f"  plain loop and Network.numerical_gradient  {np.abs(loop - numerical['W1'])[checked].max():.1e}")
    say(f"  both of the network, all entries           {largest_difference(analytic, numerical):.1e}")
    report = fastnn.check_gradients(network, x, t)
    say("\nfastnn.check_gradients, errors relative")
    rows_of_tensors = [
        (name, f"{tensor.entries:,}", f"{tensor.largest_error:.1e}", f"{tensor.median_error:.1e}", tensor.verdict)
        for name, tensor in report.tensors.items()
    ]
    say(table(("tensor", "entries", "largest error", "median", "verdict"), rows_of_tensors, text_columns=1))
    say(
        "\nBoth are the same gradient. Back-propagation needs one pass forward and one\n"
        "back; the difference quotient needs two losses for each parameter, but nothing\n"
        "else than the loss. So one of them trains, and the other one checks it."
    )


def pictures(seed: int = 0) -> dict[str, Any]:
    """The difference of both gradients by the size of an entry."""
    from fastnn.plots import panels

    network, x, t = network_and_data(seed)
    analytic, numerical = network.gradient(x, t), network.numerical_gradient(x, t)
    ax = panels.new(1, 1, (6.4, 4.8), managed=False)[0]
    for i, name in enumerate(analytic):
        sizes, differences = np.abs(analytic[name]).ravel(), np.abs(numerical[name] - analytic[name]).ravel()
        shown = (sizes > 0.0) & (differences > 0.0)
        style = {"color": panels.COLORS[i], "markersize": 3, "label": f"{name}, {sizes.size:,} entries"}
        ax.loglog(sizes[shown], differences[shown], panels.MARKERS[i], **style)
    ax.grid(**panels.GRID)
    ax.set(xlabel="analytic gradient, absolute", ylabel="distance of the numerical gradient")
    ax.set_title("Both gradients, entry by entry")
    ax.legend()
    return {"gradients": ax}
