"""The drawings of docs/explanations/perturbation.md."""

import math
from typing import NamedTuple

from docs.drawings.canvas import Drawing

N, D, H, K, POINTS = 100, 784, 50, 10, 2  # samples, inputs, hidden units, classes, and points of the quotient
NONZERO = 0.19  # of MNIST's inputs, as the benchmarks' samples have


class Counts(NamedTuple):
    """Multiply-adds of a numerical gradient of D-H-K for N samples."""

    plain: int
    changes: float
    changes_with_zeros: float


def counts() -> Counts:
    """Count them: the plain loop's, and the engine's without and with zeros among the inputs."""
    parameters = D * H + H + H * K + K
    by_hidden = 1 + K  # the step times the input, and the spread to all outputs
    others = H * by_hidden + H * K + K  # of b1, W2 and b2
    whole, part = (POINTS * N * (D * H * share * by_hidden + others) for share in (1.0, NONZERO))
    return Counts(POINTS * parameters * N * (D * H + H * K), whole, part)


def one_weight() -> Drawing:
    """What changes when one weight moves, matrix by matrix."""
    d = Drawing(
        318, "One moved weight changes one column of the next matrix, and all outputs of the samples it reaches"
    )
    reached = [1, 0, 1, 1, 0, 1]
    d.text(16, 24, "Moving one weight by h:", size=14)
    d.cells(24, 62, [".b..."] * 6, [f" {' ' if one else '0'}" for one in reached])
    d.text(61, 54, "x", anchor="middle")
    d.text(115, 110, "\N{MULTIPLICATION SIGN}")
    d.cells(140, 70, ["....", "..o.", "....", "....", "...."])
    d.text(170, 62, "W1", anchor="middle")
    d.text(216, 110, "=")
    d.cells(244, 62, [f"..{'o' if one else '.'}." for one in reached])
    d.text(274, 54, "one column", anchor="middle")
    d.text(316, 90, "a sample whose", color="dim", size=12)
    d.text(316, 106, "input is 0 does", color="dim", size=12)
    d.text(316, 122, "not change", color="dim", size=12)
    d.arrow((281, 155), (281, 164), (61, 164), (61, 198))
    d.text(69, 179, "activation, of these elements alone", color="dim", size=12)
    d.cells(24, 200, [f"..{'o' if one else '.'}." for one in reached])
    d.text(100, 248, "\N{MULTIPLICATION SIGN}")
    d.cells(140, 215, ["...", "...", "bbb", "..."])
    d.text(162, 207, "W2", anchor="middle")
    d.text(201, 248, "=")
    d.cells(244, 200, ["ooo" if one else "..." for one in reached])
    d.text(266, 195, "rank 1", anchor="middle")
    d.arrow((296, 245), (340, 245))
    d.cells(350, 200, ["o" if one else "." for one in reached])
    d.text(358, 195, "loss", anchor="middle")
    d.text(374, 242, "changes,", color="dim", size=12)
    d.text(374, 258, "summed", color="dim", size=12)
    d.text(16, 308, "orange changes, blue is read, grey stays as it was", color="dim", size=12)
    return d


def cost() -> Drawing:
    """The multiply-adds of the plain loop and of the engine, on a scale of powers of ten."""
    d = Drawing(212, "Multiply-adds of the numerical gradient of 784-50-10 for 100 samples")
    found = counts()
    d.text(16, 24, "Multiply-adds for one gradient of 784-50-10,", size=14)
    d.text(16, 42, "100 samples, 39,760 parameters", size=14)
    rows = (
        ("plain loop", found.plain, "red"),
        ("changes alone, all inputs", found.changes, "blue"),
        ("changes alone, 81 % of inputs are 0", found.changes_with_zeros, "green"),
    )
    low, high, left, right = 6.0, 12.0, 16, 424
    for i, (name, value, color) in enumerate(rows):
        y = 58 + 42 * i
        end = left + (math.log10(value) - low) / (high - low) * (right - left)
        d.box(left, y + 16, end - left, 16, color)
        d.text(left, y + 11, f"{name}: {_in_millions(value)}")
    for power in range(int(low), int(high) + 1, 2):
        x = left + (power - low) / (high - low) * (right - left)
        d.line((x, 184), (x, 190))
        anchor = "start" if power == low else "end" if power == high else "middle"
        d.text(x, 204, f"10^{power}", color="dim", size=11, anchor=anchor)
    d.line((left, 184), (right, 184))
    return d


def _in_millions(value: float) -> str:
    return f"{value / 1e6:,.0f} million"


DRAWINGS = {"one-weight": one_weight, "perturbation-cost": cost}
