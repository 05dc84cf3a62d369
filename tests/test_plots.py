"""Pictures without a screen: on whose Axes they are drawn, no figures left open, and refusals."""

import pathlib
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import plots
from fastnn.command import cli
from tests.pictures import HISTORY, LABELS, PATH, X, bowl, network, of_filters, report, square

pyplot = pytest.importorskip("matplotlib.pyplot")
Figure = pytest.importorskip("matplotlib.figure").Figure
Axes = pytest.importorskip("matplotlib.axes").Axes

pytestmark = pytest.mark.usefixtures("closed_figures")

# name: (draws on the Axes that it is given, how many these are)
PICTURES: dict[str, tuple[Callable[..., Any], int]] = {
    "activations": (lambda axes: plots.activations(["relu", "tanh"], axes=axes), 2),
    "descent_paths": (lambda axes: plots.descent_paths(bowl, PATH, ax=axes), 1),
    "learning_rates": (lambda axes: plots.learning_rates(square, 10.0, (0.9, 0.1), step_num=5, axes=axes), 2),
    "learning_rates of two": (lambda axes: plots.learning_rates(bowl, [1, 2], (0.9,), step_num=5, axes=axes), 1),
    "line_fit_surface": (lambda axes: plots.line_fit_surface([0.0, 1.0], [1.0, 3.0], ax=axes), 1),
    "descent_paths in 3-D": (lambda axes: plots.descent_paths(bowl, PATH, kind="3d", ax=axes), 1),
    "line_fit_slices": (lambda axes: plots.line_fit_slices([0.0, 1.0], [1.0, 3.0], axes=axes), 2),
    "log_loss": (lambda axes: plots.log_loss([0.6], ax=axes), 1),
    "layer_outputs": (lambda axes: plots.layer_outputs(network(), X, axes=axes), 1),
    "gradient_sizes": (lambda axes: plots.gradient_sizes(network(), X, LABELS, ax=axes), 1),
    "history": (lambda axes: plots.history(HISTORY, ax=axes), 1),
    "decision_regions": (lambda axes: plots.decision_regions(network(), X, LABELS, ax=axes, resolution=20), 1),
    "filters": (lambda axes: plots.filters(of_filters(), count=4, axes=axes), 4),
    "first_layer_weights": (lambda axes: plots.first_layer_weights(network(4), count=3, axes=axes), 3),
    "gradient_check": (lambda axes: plots.gradient_check(report(), axes=axes), 4),
}
every_picture = pytest.mark.parametrize("name", PICTURES)


# --- all pictures ------------------------------------------------------------------------------------------


@every_picture
def test_makes_one_figure_of_pyplot(name: str, tmp_path: pathlib.Path) -> None:
    draw, count = PICTURES[name]
    drawn = draw(None)
    axes = [drawn] if isinstance(drawn, Axes) else list(drawn)
    assert isinstance(drawn, Axes) or drawn.shape == (count,)
    figures = [pyplot.figure(number) for number in pyplot.get_fignums()]
    assert figures == [axes[0].figure]
    for ax in axes:
        assert ax.figure is figures[0]
        assert ax.get_title() or figures[0].get_suptitle() or ax is not axes[0]
        assert ax.get_ylabel() or name in ("filters", "first_layer_weights")
        assert ax.get_xlabel() or name in ("filters", "first_layer_weights")
    figures[0].savefig(tmp_path / "picture.png")
    picture = pyplot.imread(tmp_path / "picture.png")[..., :3]
    assert (picture.min(axis=2) < 0.95).mean() > 0.01  # not white
    pyplot.close(axes[0].figure)
    assert pyplot.get_fignums() == []


@every_picture
def test_draws_on_given_axes_without_pyplot(name: str, tmp_path: pathlib.Path) -> None:
    draw, count = PICTURES[name]
    figure = Figure()
    projection = "3d" if name.endswith("3-D") else None
    axes = figure.subplots(1, count, squeeze=False, subplot_kw={"projection": projection})
    drawn = draw(axes[0, 0] if count == 1 else axes)
    assert list(np.ravel(np.array(drawn, dtype=object))) == list(axes[0])
    assert all(ax.has_data() for ax in axes[0])
    figure.savefig(tmp_path / "picture.png")
    assert pyplot.get_fignums() == []


@every_picture
def test_refuses_what_are_no_axes(name: str) -> None:
    draw, count = PICTURES[name]
    with pytest.raises(TypeError, match=r"^(ax|axes): expected .*Axes of matplotlib, got 3; pass what pyplot.subplots"):
        draw(3)
    with pytest.raises(TypeError, match=r"^(ax|axes): expected .*Axes of matplotlib, got an object of type Figure"):
        draw([Figure()])
    projection = "3d" if name.endswith("3-D") else None
    with pytest.raises(ValueError, match=rf"^(ax|axes): expected .*Axes, got {count + 1}; pass what pyplot.subplots"):
        draw(Figure().subplots(1, count + 1, subplot_kw={"projection": projection}))
    assert pyplot.get_fignums() == []


@every_picture
def test_says_that_matplotlib_is_missing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    remedy = re.escape('run pip install "fastnn-kernels[plot]", or pip install "matplotlib>=3.9"')
    with pytest.raises(ImportError, match=f"^matplotlib: expected it for pictures, got none; {remedy}$"):
        PICTURES[name][0](None)


def test_a_report_and_the_command_say_it_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"^matplotlib: expected it for pictures, got none"):
        report().plot(tmp_path / "errors.png")
    some = ["gradcheck", "--hidden", "2", "--samples", "2", "--plot", str(tmp_path / "errors.png")]
    assert cli.main(some) == 1
    assert "fastnn: error: matplotlib: expected it for pictures, got none; run pip" in capsys.readouterr().err
    assert not (tmp_path / "errors.png").exists()


def test_what_matplotlib_misses_is_its_own_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise ModuleNotFoundError("No module named 'kiwisolver'", name="kiwisolver")

    monkeypatch.setattr("fastnn.plots.panels.importlib.import_module", broken)
    with pytest.raises(ModuleNotFoundError, match=r"^No module named 'kiwisolver'$"):
        plots.history(HISTORY)


def test_matplotlib_is_imported_late() -> None:
    script = "import sys, fastnn.plots; assert not {'matplotlib'} & set(sys.modules)"
    root = pathlib.Path(fastnn.__file__).parents[1]
    subprocess.run([sys.executable, "-c", script], cwd=root, check=True, timeout=120)


# --- refusals ---------------------------------------------------------------------------------------------------------

ONE_OUTPUT = fastnn.Network([fastnn.Affine(2, 1)], "mean_squared_error", rng=0)
REFUSALS: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: plots.descent_paths(3, PATH), TypeError, "f: expected a function of x, got 3"),  # type: ignore[arg-type]
    (lambda: plots.descent_paths(bowl, 3), TypeError, "paths: expected an array (steps + 1, 2) or a list of such"),
    (lambda: plots.descent_paths(bowl, []), TypeError, "paths: expected an array (steps + 1, 2) or a list of such"),
    (lambda: plots.descent_paths(bowl, [PATH, PATH[0]]), ValueError, "paths[1]: expected a float64 array of shape (st"),
    (lambda: plots.descent_paths(bowl, PATH * np.nan), ValueError, "paths: expected finite values, got nan at paths[0"),
    (lambda: plots.descent_paths(bowl, PATH, labels=["a", "b"]), ValueError, "labels: expected one for each of the 1"),
    (lambda: plots.descent_paths(bowl, PATH, labels="a"), ValueError, "labels: expected one for each of the 1 paths, "),
    (lambda: plots.descent_paths(bowl, PATH, bounds=((1, 0), (0, 1))), ValueError, "bounds: expected ((low, high), ("),
    (lambda: plots.descent_paths(lambda x: x, PATH), TypeError, "f: expected a function that returns one number, got"),
    (lambda: plots.learning_rates(square, [1, 2, 3]), ValueError, "init_x: expected one or two variables, got 3; onl"),
    (lambda: plots.learning_rates(square, "a"), TypeError, "init_x: expected a float64 array"),
    (lambda: plots.learning_rates(square, 1.0, (0.1, -1)), ValueError, "rates[1]: expected a finite number above 0.0"),
    (lambda: plots.learning_rates(square, 1.0, 0.1), TypeError, "rates: expected a float64 array of shape (R,), got"),  # type: ignore[arg-type]
    (lambda: plots.learning_rates(square, 1.0, step_num=0), ValueError, "step_num: expected an integer of at least 1"),
    (lambda: plots.learning_rates(lambda x: np.nan, 1.0), ValueError, "init_x: expected a start where f is finite, g"),
    (lambda: plots.line_fit_surface([1, 1], [1, 2]), ValueError, "x: expected at least two different values, got one"),
    (lambda: plots.line_fit_surface([1, 2], [1]), ValueError, "t: expected a float64 array of shape (2,), got shape "),
    (lambda: plots.line_fit_surface([1, 2], [1, 2], w=[1, 0]), ValueError, "w: expected at least two increasing numb"),
    (lambda: plots.line_fit_surface([1, 2], [1, 2], b=[0]), ValueError, "b: expected at least two increasing numbers"),
    (lambda: plots.line_fit_surface([1, 2], [1, 2], kind="3D"), ValueError, "kind: expected one of 'contour', '3d', "),
    (lambda: plots.line_fit_surface([1, 2], [1, 1e200], w=[0, 1], b=[0, 1]), ValueError, "t: expected losses that fl"),
    (
        lambda: plots.line_fit_surface([1, 2], [1, 2], kind="3d", ax=Figure().subplots()),
        ValueError,
        "ax: expected 3d Axes, got rectilinear ones; make them by add_subplot(projection='3d')",
    ),
    (lambda: plots.descent_paths(bowl, PATH, kind="3D"), ValueError, "kind: expected one of 'contour', '3d', got '3D'"),
    (
        lambda: plots.descent_paths(bowl, PATH, kind="3d", ax=Figure().subplots()),
        ValueError,
        "ax: expected 3d Axes, got rectilinear ones; make them by add_subplot(projection='3d')",
    ),
    (lambda: plots.line_fit_slices([1, 1], [1, 2]), ValueError, "x: expected at least two different values, got one"),
    (lambda: plots.line_fit_slices([1, 2], [1, 2], at=2.0), TypeError, "at: expected a float64 array of shape (2,), g"),
    (lambda: plots.line_fit_slices([1, 2], [1, 1e200], at=(0, 0), w=[0, 1], b=[0, 1]), ValueError, "t: expected losse"),
    (lambda: plots.log_loss([0.5, 0.0]), ValueError, "outputs: expected probabilities above 0 and at most 1, got 0; l"),
    (lambda: plots.log_loss([1.5]), ValueError, "outputs: expected probabilities above 0 and at most 1, got 1.5; leav"),
    (lambda: plots.layer_outputs(3, X), TypeError, "net: expected a fastnn.Network, got 3; pass one"),
    (
        lambda: plots.layer_outputs(ONE_OUTPUT, X),
        ValueError,
        "net: expected a network with activations, got Affine(2, ",
    ),
    (lambda: plots.layer_outputs(network(), X[:0]), ValueError, "x: expected "),
    (lambda: plots.gradient_sizes(3, X, LABELS), TypeError, "net: expected a fastnn.Network, got 3; pass one"),
    (lambda: plots.history([1.0]), TypeError, "history: expected a fastnn.History, got an object of type list; pass "),  # type: ignore[arg-type]
    (lambda: plots.history(fastnn.History()), ValueError, "history: expected at least one completed epoch, got none"),
    (lambda: plots.decision_regions(3, X, LABELS), TypeError, "predict: expected a Network or a function from (M, 2)"),
    (lambda: plots.decision_regions(network(4), X, LABELS), ValueError, "predict: expected a network of 2 inputs, go"),
    (lambda: plots.decision_regions(network(), X, LABELS + 1), ValueError, "t: expected labels of shape (5,), intege"),
    (lambda: plots.decision_regions(network(), X, LABELS[:2]), ValueError, "t: expected labels of shape (5,), got sh"),
    (lambda: plots.decision_regions(ONE_OUTPUT, X, LABELS), ValueError, "t: expected two different numbers for a netw"),
    (lambda: plots.decision_regions(network(), X[:, :1], LABELS), ValueError, "x: expected a float32 or float64 arra"),
    (lambda: plots.decision_regions(lambda p: p, X, LABELS), ValueError, "predict: expected a function that returns l"),
    (lambda: plots.decision_regions(network(), X, LABELS, resolution=1), ValueError, "resolution: expected an integer"),
    (lambda: plots.first_layer_weights(3), TypeError, "net: expected a fastnn.Network, got 3; pass one"),
    (lambda: plots.first_layer_weights(network(6)), ValueError, "shape: expected (rows, columns) as 6 is not a squar"),
    (lambda: plots.first_layer_weights(network(6), (2, 2)), ValueError, "shape: expected rows * columns = 6, the inpu"),
    (lambda: plots.first_layer_weights(network(6), 6), TypeError, "shape: expected (rows, columns), got 6; pass two "),  # type: ignore[arg-type]
    (lambda: plots.first_layer_weights(network(4), count=7), ValueError, "count: expected an integer of at least 1 a"),
    (
        lambda: plots.first_layer_weights(network(4), axes=Figure().subplots(1, 7)),
        ValueError,
        "axes: expected at most one for each of the 6 units, got 7; pass fewer",
    ),
    (lambda: plots.filters(3), TypeError, "net: expected a fastnn.Network, got 3; pass one"),
    (lambda: plots.filters(network(4)), ValueError, "net: expected a network with a Conv2d, got Affine(4, 6), "),
    (lambda: plots.filters(of_filters(), 1), ValueError, "layer: expected the place of a Conv2d, got 1, which "),
    (lambda: plots.filters(of_filters(), count=5), ValueError, "count: expected an integer of at least 1 and of at mo"),
    (lambda: plots.gradient_check(3), TypeError, "report: expected a GradientReport, got 3; pass what check_gradients"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("call", "error", "message"), REFUSALS, ids=[message[:30] for _, _, message in REFUSALS])
def test_refusals(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{re.escape(message)}"):
        call()
    assert pyplot.get_fignums() == []
