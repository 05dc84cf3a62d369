"""Two pictures of the figures as SVG: time against size, and fraction of the peak against size. Needs matplotlib."""

import importlib
import importlib.util
import pathlib
from typing import Any

from benchmarks import peers, report
from benchmarks.cases import CASES

# Colors that people who do not tell red from green can distinguish (Wong, Nature Methods 8, 441, 2011).
COLORS = (
    *("#000000", "#666666", "#d55e00", "#e69f00", "#999999", "#0072b2"),
    *("#009e73", "#56b4e9", "#cc79a7", "#882255", "#44aa99", "#f0e442"),
    *("#332288", "#999933"),
)


def draw(result: dict[str, Any], folder: pathlib.Path, name: str) -> list[str]:
    """Write the pictures and return the names of the files; none where matplotlib is not installed."""
    if importlib.util.find_spec("matplotlib") is None:
        return []
    matplotlib: Any = importlib.import_module("matplotlib")
    matplotlib.use("Agg")
    # The same figures give the same file.
    with matplotlib.rc_context({"svg.hashsalt": "fastnn", "svg.fonttype": "none", "font.size": 9}):
        pictures = {"time": _times(result), "peak": _fractions(result)}
        for what, figure in pictures.items():
            figure.savefig(folder / f"{name}-{what}.svg", metadata={"Date": None, "Creator": None})
    return [f"{name}-{what}.svg" for what in pictures]


def _axes(x: str, y: str, title: str) -> tuple[Any, Any]:
    figure = importlib.import_module("matplotlib.figure").Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel=x, ylabel=y, title=title, xscale="log")
    axes.grid(alpha=0.3)
    return figure, axes


def _lines(axes: Any, points: dict[str, list[tuple[float, float]]]) -> None:
    """A line for each implementation that has points; fastnn's are thicker."""
    for color, (name, implementation) in zip(COLORS, peers.IMPLEMENTATIONS.items(), strict=True):
        if points.get(name):
            own = name in report.OWN
            xs, ys = zip(*sorted(points[name]), strict=True)
            axes.plot(xs, ys, "o-", color=color, label=implementation.label, lw=2 if own else 1, ms=4, zorder=2 + own)
    if any(points.values()):
        axes.legend(fontsize=8)


def _times(result: dict[str, Any]) -> Any:
    rows, threads = report.rows_of(result), max(result["threads"])
    title = f"Training steps on {threads} threads (lower is better)"
    figure, axes = _axes("floating-point operations of a step", "seconds", title)
    axes.set_yscale("log")
    points: dict[str, list[tuple[float, float]]] = {}
    for case in (case for case in CASES if case.group == "steps"):
        for name in peers.IMPLEMENTATIONS:
            time = report.seconds(rows, case.name, name, threads)
            if time is not None:
                points.setdefault(name, []).append((case.flop, time))
    _lines(axes, points)
    return figure


def _fractions(result: dict[str, Any]) -> Any:
    rows, threads = report.rows_of(result), min(result["threads"])
    peak, _ = report.limits(result, threads)
    title = f"Square matrix products on {threads} thread{'s' * (threads > 1)} (higher is better)"
    figure, axes = _axes("rows and columns", "fraction of the processor's peak", title)
    axes.set_ylim(0, 1.05)
    points: dict[str, list[tuple[float, float]]] = {}
    for case in (case for case in CASES if case.kind == "product" and len(set(case.sizes)) == 1):
        for name in peers.IMPLEMENTATIONS:
            time = report.seconds(rows, case.name, name, threads)
            if time is not None and peak:
                points.setdefault(name, []).append((case.sizes[0], case.flop / time / peak))
    _lines(axes, points)
    return figure
