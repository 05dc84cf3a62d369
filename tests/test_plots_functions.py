"""Pictures of functions: the curves, contours and paths that they show, against what fastnn and NumPy compute."""

import pathlib
from collections.abc import Callable

import numpy as np
import pytest

import fastnn
from fastnn import plots
from fastnn.operations import ACTIVATIONS
from tests.formulas import FORMULAS
from tests.pictures import PATH, Array, bowl, square

Figure = pytest.importorskip("matplotlib.figure").Figure

pytestmark = pytest.mark.usefixtures("closed_figures")


def test_all_activations_and_their_derivatives() -> None:
    axes = plots.activations()
    names = [name for name, kind in ACTIVATIONS.items() if kind.takes_elements]
    assert [ax.get_title().split(" ")[0] for ax in axes] == names
    assert [ax.get_title() for ax in axes[5:7]] == ["leaky_relu (slope 0.01)", "elu (alpha 1)"]
    for ax, (name, formulas) in zip(axes, FORMULAS.items(), strict=False):
        parameter = {"leaky_relu": 0.01, "elu": 1.0}.get(name, 0.0)
        assert len(ax.lines) == 2
        for line, formula in zip(ax.lines, formulas, strict=True):
            x, y = line.get_data()
            assert (x[0], x[-1]) == (-5.0, 5.0)
            np.testing.assert_allclose(y, [formula(float(v), parameter) for v in x], rtol=1e-12, atol=1e-15)
        assert [line.get_linestyle() for line in ax.lines] == ["-", "--"]


def test_chosen_activations() -> None:
    assert [ax.get_title() for ax in plots.activations("tanh")] == ["tanh"]
    with pytest.raises(ValueError, match=r"^names\[1\]: expected one of 'identity', .*, got 'softmax'"):
        plots.activations(["tanh", "softmax"])
    with pytest.raises(ValueError, match=r"^names: expected at least one activation, got none; leave it out"):
        plots.activations([])


def test_descent_paths_and_contours() -> None:
    other = fastnn.gradient_descent(bowl, [-5.0, -2.0], 0.1, 150)[1]
    ax = plots.descent_paths(bowl, [PATH, other], bounds=((-8, 2), (-3, 3)), labels=["fast", "slow"])
    lines = {line.get_label(): line for line in ax.lines}
    for label, path in (("fast", PATH), ("slow", other)):
        np.testing.assert_array_equal(lines[label].get_xydata(), path)
    assert lines["fast"].get_marker() == "o"
    assert lines["slow"].get_marker() == ""  # too many to be told apart
    np.testing.assert_array_equal(lines["start"].get_xydata(), other[:1])
    np.testing.assert_array_equal(lines["end"].get_xydata(), other[-1:])
    assert (ax.get_xlim(), ax.get_ylim()) == ((-8, 2), (-3, 3))
    (contours,) = (item for item in ax.collections if hasattr(item, "levels"))
    assert len(contours.levels) == 16
    np.testing.assert_allclose(contours.levels[[0, -1]], [0.0, 64 / 20 + 9], atol=1e-2)
    drawn = 0
    for level, segments in zip(contours.levels, contours.allsegs, strict=True):
        for points in segments:
            drawn += len(points)
            np.testing.assert_allclose([bowl(point) for point in points], level, atol=5e-3)
    assert drawn > 500
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["fast", "slow", "start", "end"]


def test_bounds_of_paths() -> None:
    ax = plots.descent_paths(bowl, np.array([[0.0, 1.0], [4.0, 1.0]]), ax=Figure().subplots())
    np.testing.assert_allclose([*ax.get_xlim(), *ax.get_ylim()], [-0.6, 4.6, -0.2, 2.2])  # 0.6 of the other's
    ax = plots.descent_paths(lambda x: 1.0, [PATH[:1]], ax=Figure().subplots())  # neither moves nor has contours
    assert ax.get_xlim()[0] < -7.0 < ax.get_xlim()[1]
    assert not ax.collections


def test_circles_are_round() -> None:
    figure = Figure(figsize=(6, 3))
    (ax,) = plots.learning_rates(lambda x: float(x @ x), [3.0, 1.0], (0.1,), axes=[figure.add_subplot(1, 2, 1)])
    for one in (ax, plots.descent_paths(bowl, PATH, ax=figure.add_subplot(1, 2, 2))):
        figure.draw_without_rendering()
        width, height = one.get_window_extent().size
        assert width / np.ptp(one.get_xlim()) == pytest.approx(height / np.ptp(one.get_ylim()))
    long = plots.descent_paths(bowl, PATH, bounds=((-100, 100), (-3, 3)))
    assert long.get_aspect() == "auto"  # on one scale it would be a line


@pytest.mark.parametrize("f", [bowl, lambda x: 1e-7 * bowl(x), lambda x: bowl(x) - 3.21, lambda x: 4e5 * x[0]])
def test_levels_are_round_numbers(f: Callable[[Array], float]) -> None:
    ax = plots.descent_paths(f, PATH, bounds=((-8, 2), (-3, 3)))
    (contours,) = (item for item in ax.collections if hasattr(item, "levels"))
    assert len(contours.levels) == 16 and (np.diff(contours.levels) > 0).all()
    step = np.ptp(contours.levels) / 15**2  # of the parabola, the first one
    for i in range(1, 15):
        spacing = (2 * i + 1) * step
        assert any(contours.levels[i] / unit == pytest.approx(round(contours.levels[i] / unit), abs=1e-6)
                   for unit in _units(spacing / 5, spacing / 2))  # fmt: skip
        assert abs(contours.levels[i] - contours.levels[0] - i**2 * step) <= spacing / 4 + 1e-9 * abs(
            contours.levels[i]
        )


@pytest.mark.parametrize("f", [lambda x: 1e-320 * x[0], lambda x: 1e13 + x[0], lambda x: 1e300 * x[0]])
def test_levels_increase_where_rounding_would_merge_them(f: Callable[[Array], float]) -> None:
    ax = plots.descent_paths(f, PATH, bounds=((-8, 2), (-3, 3)))
    (drawn,) = (item for item in ax.collections if hasattr(item, "levels"))
    assert len(drawn.levels) == 16 and (np.diff(drawn.levels) > 0).all()


def _units(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten within bounds."""
    units = [factor * 10.0**power for power in range(-20, 20) for factor in (1, 2, 5)]
    return [unit for unit in units if low <= unit <= high * (1 + 1e-9)]


@pytest.mark.parametrize("start", [(-3.0, 4.0), (3.0, 4.0), (-3.0, -4.0), (3.0, -4.0)])
def test_the_legend_leaves_the_path_free(start: tuple[float, float]) -> None:
    path = fastnn.gradient_descent(lambda x: float(x @ x), start, 0.1, 30)[1]
    (rates,) = plots.learning_rates(lambda x: float(x @ x), start, (0.1,), axes=[Figure().subplots()])
    for ax in (plots.descent_paths(lambda x: float(x @ x), path), rates):
        ax.figure.draw_without_rendering()
        box = ax.get_legend().get_window_extent()
        assert not any(box.contains(*point) for point in ax.transData.transform(path))


def test_contours_where_f_is_finite() -> None:
    ax = plots.descent_paths(lambda x: np.log(x[0]) + x[1], [PATH + 8.0], bounds=((-1, 1), (0, 1)))
    (contours,) = (item for item in ax.collections if hasattr(item, "levels"))
    assert all((points[:, 0] > 0).all() for segments in contours.allsegs for points in segments)
    assert sum(len(points) for segments in contours.allsegs for points in segments) > 50


def test_learning_rates_are_descents() -> None:
    rates = (1.0, 0.8, 0.4, 0.1)
    axes = plots.learning_rates(square, 10.0)
    assert len(axes) == 4
    for ax, rate in zip(axes, rates, strict=True):
        path = fastnn.gradient_descent(square, [10.0], rate, 20)[1][:, 0]
        lines = {line.get_label(): line for line in ax.lines}
        np.testing.assert_allclose(lines["descent"].get_xdata(), path, rtol=1e-12)
        np.testing.assert_allclose(lines["descent"].get_ydata(), path**2, rtol=1e-12)
        x, y = lines["f"].get_data()
        np.testing.assert_allclose(y, x**2, rtol=1e-12)
        assert ax.get_title() == f"learning rate {rate:g}\nf = {path[-1] ** 2:.3g} after 20 steps"
        assert ax.get_xlim() == axes[0].get_xlim()
    assert axes[0].get_xlim()[0] < -10.0 < 10.0 < axes[0].get_xlim()[1] < 15.0


@pytest.mark.parametrize("rates", [(1.5,), (3.0, 0.4), (1e3, 0.1, 1.01)])
@pytest.mark.parametrize("f", [square, bowl, lambda x: float((x**4).sum())])
def test_rates_that_diverge(f: Callable[[Array], float], rates: tuple[float, ...], tmp_path: pathlib.Path) -> None:
    start = 2.0 if f is square else [2.0, 1.0]
    axes = plots.learning_rates(f, start, rates)
    assert "\ndiverges: f = " in axes[0].get_title()
    axes[0].figure.savefig(tmp_path / "picture.png")
    for ax in axes:
        assert np.isfinite([*ax.get_xlim(), *ax.get_ylim()]).all()
        (line,) = (line for line in ax.lines if line.get_label() == "descent")
        assert line.get_xdata()[0] == 2.0
        assert np.isfinite(line.get_xydata()).all() or f is not square
    if len(rates) > 1 and f is square:
        assert "diverges" not in axes[1].get_title()
        assert -6.0 < axes[0].get_xlim()[0] < 0.0 < 2.0 < axes[0].get_xlim()[1] < 6.0


def test_one_rate_that_keeps_its_height() -> None:
    (ax,) = plots.learning_rates(square, 10.0, (1.0,), step_num=7)
    assert ax.get_title() == "learning rate 1\nf = 100 after 7 steps"
    assert ax.get_xlim()[0] < -10.0 < 10.0 < ax.get_xlim()[1]


def test_learning_rates_in_two_variables() -> None:
    axes = plots.learning_rates(bowl, [-7.0, 2.0], [0.9, 0.1], step_num=8)
    (line,) = (line for line in axes[0].lines if line.get_label() == "descent")
    np.testing.assert_allclose(line.get_xydata(), PATH, rtol=1e-12)
    assert axes[0].get_xlabel() == "$x_0$"
    assert any(hasattr(item, "levels") for item in axes[1].collections)


@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_surface_of_a_line(scale: float) -> None:
    x, t = scale * np.array([0.0, 1.0, 2.0, 3.0]), np.array([1.0, 2.9, 5.1, 7.0])
    ax = plots.line_fit_surface(x, t)
    slope, intercept = np.polyfit(x, t, 1)
    (star,) = ax.lines
    np.testing.assert_allclose(star.get_xydata(), [[slope, intercept]], rtol=1e-9)
    assert ax.get_xlim()[0] < 0.0 < ax.get_xlim()[1]
    assert ax.get_ylim()[0] < 0.0 < ax.get_ylim()[1]
    (contours,) = (item for item in ax.collections if hasattr(item, "levels"))
    corners = fastnn.line_fit_losses(x, t, ax.get_xlim(), ax.get_ylim())
    np.testing.assert_allclose(contours.levels[-1], corners.max(), rtol=1e-12)
    least = fastnn.line_fit_losses(x, t, [slope], [intercept])[0, 0]
    np.testing.assert_allclose(contours.levels[0], least, atol=1e-3 * corners.max())
    assert [other.get_ylabel() for other in ax.figure.axes if other is not ax] == ["loss"]
    # The contour through w = b = 0 touches the picture's inner five sixths on all sides.
    angle = np.linspace(0, 2 * np.pi, 2001)
    reach = (np.array([ax.get_xlim()[1] - slope, ax.get_ylim()[1] - intercept])) / 1.2
    design = np.column_stack([x, np.ones_like(x)])
    factor = np.linalg.cholesky(design.T @ design / x.size).T
    level = fastnn.line_fit_losses(x, t, [0.0], [0.0])[0, 0] - least
    ellipse = np.linalg.solve(factor, np.sqrt(2 * level) * np.stack([np.cos(angle), np.sin(angle)]))
    np.testing.assert_allclose(np.abs(ellipse).max(axis=1), reach, rtol=1e-5)


def test_surface_on_a_grid_and_in_space(tmp_path: pathlib.Path) -> None:
    w, b = np.linspace(1, 3, 5), np.linspace(-4, 0, 7)
    ax = plots.line_fit_surface([1, 2], [1, 3], w=w, b=b, kind="3d")
    assert (ax.name, ax.get_zlabel()) == ("3d", "loss")
    ax.figure.savefig(tmp_path / "picture.png")
    given = Figure().add_subplot(projection="3d")
    assert plots.line_fit_surface([1, 2], [1, 3], kind="3d", ax=given) is given
    flat = plots.line_fit_surface([1, 2], [1, 3], w=w, b=b)
    assert (flat.get_xlim(), flat.get_ylim()) == ((1, 3), (-4, 0))
    assert not plots.line_fit_surface([1, 2], [1, 3], w=w + 9, b=b).lines  # the minimum is elsewhere
    assert not plots.line_fit_surface([1, 1], [1, 3], w=w, b=b).lines  # there is no single one


def test_descent_on_a_surface(tmp_path: pathlib.Path) -> None:
    ax = plots.descent_paths(bowl, [PATH, PATH[:3]], bounds=((-8, 2), (-3, 3)), kind="3d", labels=["long", "short"])
    assert (ax.name, ax.get_zlabel(), ax.get_aspect()) == ("3d", "f", "auto")
    lines = {line.get_label(): line for line in ax.lines}
    expected = np.column_stack([PATH, [bowl(x) for x in PATH]])
    np.testing.assert_allclose(np.column_stack(lines["long"].get_data_3d()), expected)
    np.testing.assert_allclose(np.column_stack(lines["end"].get_data_3d()), expected[2:3])
    assert len(ax.collections) == 1
    ax.figure.savefig(tmp_path / "picture.png")
    partly = plots.descent_paths(lambda x: np.log(x[0]), PATH + 8.0, bounds=((-1, 1), (0, 1)), kind="3d")
    partly.figure.savefig(tmp_path / "partly.png")
    flat = plots.descent_paths(lambda x: 1.0, PATH, kind="3d")
    flat.figure.savefig(tmp_path / "flat.png")


def test_slices_of_the_loss_of_a_line() -> None:
    x, t = np.array([0.0, 1.0, 2.0, 3.0]), np.array([3.1, 4.9, 7.0, 9.2])
    w, b = np.linspace(1, 3, 21), np.linspace(2, 4, 11)
    over_b, over_w = plots.line_fit_slices(x, t, at=(2, 3), w=w, b=b)
    assert (over_b.get_title(), over_w.get_title()) == ("w = 2", "b = 3")
    assert (over_b.get_xlabel(), over_w.get_xlabel()) == ("b", "w")
    np.testing.assert_allclose(over_b.lines[0].get_ydata(), [np.mean((2 * x + c - t) ** 2) / 2 for c in b])
    np.testing.assert_allclose(over_w.lines[0].get_ydata(), [np.mean((c * x + 3 - t) ** 2) / 2 for c in w])
    here = np.mean((2 * x + 3 - t) ** 2) / 2
    np.testing.assert_allclose(
        [over_b.lines[1].get_xydata()[0], over_w.lines[1].get_xydata()[0]], [[3, here], [2, here]]
    )
    slope, intercept = np.polyfit(x, t, 1)
    by_default = plots.line_fit_slices(x, t)
    assert by_default[0].get_title() == f"w = {slope:.3g}"
    assert by_default[0].lines[1].get_xdata()[0] == pytest.approx(intercept)
    assert len(plots.line_fit_slices([1, 1], [1, 3], at=(1, 1), w=w, b=b)) == 2


def test_log_loss_of_one_probability() -> None:
    ax = plots.log_loss([0.6, 0.7])
    first, second, marks = ax.lines
    np.testing.assert_allclose(first.get_ydata(), -np.log(first.get_xdata()), rtol=1e-12)
    np.testing.assert_allclose(second.get_ydata(), -np.log(1 - second.get_xdata()), rtol=1e-12)
    np.testing.assert_allclose(marks.get_xydata(), [[0.6, -np.log(0.6)], [0.7, -np.log(0.7)]])
    assert [text.get_text() for text in ax.texts] == ["0.51", "0.36"]
    assert plots.log_loss([1e-5]).get_ylim()[1] > -np.log(1e-5)
    assert not plots.log_loss().texts


@pytest.mark.parametrize(("steps", "marker"), [(100, "o"), (101, "")])
def test_points_of_a_hundred_steps_are_marked(steps: int, marker: str) -> None:
    ax = plots.descent_paths(bowl, fastnn.gradient_descent(bowl, [-5.0, -2.0], 0.1, steps)[1])
    assert ax.lines[0].get_marker() == marker
