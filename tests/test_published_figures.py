"""The figures of the documentation that stand in the published run of the benchmarks are those of that run."""

import json
import pathlib
import re

import pytest

from benchmarks import pages

ROOT = pathlib.Path(__file__).parents[1]
# The first section of processors, of which the pages speak.
PUBLISHED = "".join(re.split(r"(?m)^(?=## )", pages.split(pages.PAGE, "benchmarks")[1])[:2])
STEP_1, STEP_10 = "step 1, 784-50-10", "step 10, 20-16-4"
GRADIENT = "numerical gradient 100, 784-50-10, sigmoid"
START = "first step, fresh machine, from the wheel"
# What a page says in its text, with its row and its column.
SAID = [
    ("comparison.md", "5.01 us each for 10, 20-16-4", STEP_10, "JAX, in a run"),
    ("comparison.md", "fastnn 1.92", STEP_10, "fastnn, in a run"),
    ("comparison.md", "6.87 against", STEP_1, "JAX, in a run"),
    ("comparison.md", "against 4.9", STEP_1, "fastnn, in a run"),
    ("comparison.md", "NumPy 0.09 s", "numpy", START),
    ("comparison.md", "fastnn 0.40 s", "fastnn", START),
    ("comparison.md", "8.39 s from a fresh\ncheckout", "fastnn", "first step, fresh checkout"),
    ("comparison.md", "scikit-learn 1.14 s", "sklearn", START),
    ("comparison.md", "JAX 0.72 s", "jax", START),
    ("comparison.md", "PyTorch 2.13 s", "torch", START),
    ("explanations/perturbation.md", "needs 12.7 s", GRADIENT, "NumPy, plain loop"),
    ("explanations/perturbation.md", "needs 3.1 ms", GRADIENT, "fastnn"),
    ("explanations/perturbation.md", "takes 0.10 ms", "step 100, 784-50-10", "fastnn"),
    ("explanations/small-calls.md", "2.4 us for", "affine_forward of 1x1x1", "NumPy"),
    ("explanations/small-calls.md", "PyTorch 1.8,", "affine_forward of 1x1x1", "PyTorch"),
    ("explanations/small-calls.md", "JAX 6.8,", "affine_forward of 1x1x1", "JAX"),
    ("explanations/small-calls.md", "fastnn 0.32", "affine_forward of 1x1x1", "fastnn"),
    ("explanations/small-calls.md", "takes 0.58 us", "predict 1, 1-1-3", "fastnn"),
    ("explanations/small-calls.md", "takes 2.0 us", "step 1, 1-1-3", "fastnn"),
    ("explanations/small-calls.md", "6.9 us against", STEP_1, "JAX, in a run"),
    ("explanations/small-calls.md", "against 4.9", STEP_1, "fastnn, in a run"),
    ("explanations/units.md", "came 0.40 s", "fastnn", START),
    ("explanations/units.md", "8.39 s from a checkout", "fastnn", "first step, fresh checkout"),
]


def tables(text: str) -> dict[str, dict[str, str]]:
    """Each row of a page's tables by its first cell, as a mapping from the heads of columns."""
    rows: dict[str, dict[str, str]] = {}
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        head, _, *others = ([cell.strip() for cell in line.strip()[1:-1].split("|")] for line in table.splitlines())
        for row in others:
            rows.setdefault(row[0], {}).update(zip(head[1:], row[1:], strict=False))
    return rows


def in_seconds(figure: str) -> float:
    """A time such as "2.54 us"."""
    number, unit = re.fullmatch(r"([\d.,]+) (us|ms|s)", figure).groups()  # type: ignore[union-attr]
    return float(number.replace(",", "")) * {"us": 1e-6, "ms": 1e-3, "s": 1.0}[unit]


def test_tables_of_the_comparison() -> None:
    published, found = tables(PUBLISHED), tables((ROOT / "docs" / "comparison.md").read_text(encoding="utf-8"))
    timed = {name: row for name, row in found.items() if name in published}
    assert len(timed) == 22
    for name, row in timed.items():
        shown = {head: cell for head, cell in row.items() if cell}
        assert shown == {head: published[name][head] for head in shown}, name


@pytest.mark.parametrize(("page", "said", "row", "column"), SAID)
def test_figures_in_the_text(page: str, said: str, row: str, column: str) -> None:
    """A text may have fewer digits and no unit."""
    text = " ".join((ROOT / "docs" / page).read_text(encoding="utf-8").split())
    assert " ".join(said.split()) in text
    right = in_seconds(tables(PUBLISHED)[row][column])
    number = re.search(r"[\d.]*\d", said)
    assert number is not None
    unit = re.search(r"\d (us|ms|s)\b", said)
    value = float(number[0]) * {"us": 1e-6, "ms": 1e-3, "s": 1.0}[unit[1] if unit else "us"]
    digits = len(number[0].partition(".")[2])
    assert abs(value - right) <= 0.5001 * 10**-digits * {"us": 1e-6, "ms": 1e-3, "s": 1.0}[unit[1] if unit else "us"]


def test_rows_that_are_lost() -> None:
    (counts,) = re.findall(r"In (\d+ of \d+) rows", PUBLISHED)
    assert f"In {counts} rows of that run another library is faster" in (ROOT / "docs" / "comparison.md").read_text()


def test_numerical_training_in_the_readme() -> None:
    run = json.loads((ROOT / "benchmarks" / "results" / "numerical-training.json").read_text(encoding="utf-8"))
    plain = run["plain_seconds_per_step"]
    said = f"{run['steps']:,} steps of the book's network (784-50-10, batches of 100 of MNIST)"
    said += f" by numerical gradients alone take {run['seconds']:.0f} s on {run['threads']} threads"
    said += f" and end with a test accuracy of {run['accuracy']:.4f}."
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert said in readme
    assert f"takes {plain:.1f} s for one step, {plain * run['steps'] / 86400:.1f} days for all." in readme
