"""Pictures of training, classifiers, weights and gradient checks, against the arrays that they show."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import plots
from fastnn.gradients.check import GradientReport
from fastnn.layers import LAYERS, Layer
from fastnn.operations.base import Shape
from tests.pictures import HISTORY, LABELS, Array, X, network, of_filters, report

pyplot = pytest.importorskip("matplotlib.pyplot")
Figure = pytest.importorskip("matplotlib.figure").Figure

pytestmark = pytest.mark.usefixtures("closed_figures")


def test_history_by_epoch() -> None:
    ax = HISTORY.plot()  # calls plots.history
    twin = ax.figure.axes[-1]
    assert twin is not ax
    lines = [*ax.lines, *twin.lines]
    drawn = [(line.get_label(), line.get_linestyle(), list(line.get_ydata())) for line in lines]
    assert drawn == [
        ("loss, training", "-", HISTORY.loss),
        ("loss, validation", "--", HISTORY.validation_loss),
        ("accuracy, training", "-", HISTORY.accuracy),
        ("accuracy, validation", "--", HISTORY.validation_accuracy),
    ]
    assert all(list(line.get_xdata()) == [1, 2, 3] for line in lines)
    assert (ax.get_ylabel(), twin.get_ylabel(), ax.get_xlabel()) == ("loss", "accuracy", "epoch")
    assert len(ax.figure.legends[0].get_texts()) == 4 and twin.get_legend() is None
    assert all(float(tick).is_integer() for tick in ax.get_xticks())


def test_history_in_axes_of_others() -> None:
    """Where there is no room below, the legend is in the axes on top."""
    pyplot = pytest.importorskip("matplotlib.pyplot")
    figure = pyplot.figure()
    for place in (figure, figure.subfigures(1, 2)[0]):
        ax = plots.history(HISTORY, ax=place.add_subplot())
        assert len(figure.axes[-1].get_legend().get_texts()) == 4
        assert ax.get_legend() is None and figure.legends == []


def test_history_of_one_epoch_of_a_regression() -> None:
    ax = plots.history(fastnn.History([0.5], seconds=[1.0]))
    assert [line.get_label() for line in ax.lines] == ["loss, training"]
    assert ax.figure.axes == [ax]
    assert ax.get_title() == "Loss by epoch"
    assert [tick for tick in ax.get_xticks() if 0.5 <= tick <= 1.5] == [1.0]


def regions(ax: Any) -> Array:
    """The colors of the regions, numbered in the order of the samples' colors."""
    picture = ax.images[0].get_array()
    colors = [1.0 - 0.3 * (1.0 - points.get_facecolor()[0, :3]) for points in ax.collections]
    distance = np.abs(picture[:, :, None, :] - np.array(colors)).max(axis=-1)
    assert (distance.min(axis=-1) < 1e-12).all()
    found: Array = distance.argmin(axis=-1)
    return found


def grid_of(ax: Any, resolution: int) -> Array:
    left, right, bottom, top = ax.images[0].get_extent()
    at = (np.arange(resolution) + 0.5) / resolution  # centres of pixels
    first, second = left + at * (right - left), bottom + at * (top - bottom)
    return np.stack(np.meshgrid(first, second), axis=-1)


def test_regions_of_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network()
    calls, predict = [], net.predict

    def counted(_: fastnn.Network, points: Array) -> Array:
        calls.append(points)
        return predict(points)

    monkeypatch.setattr(fastnn.Network, "predict", counted)
    ax = plots.decision_regions(net, X, LABELS, resolution=30)
    (points,) = calls
    np.testing.assert_allclose(points.reshape(30, 30, 2), grid_of(ax, 30), rtol=0, atol=1e-14)
    assert ax.images[0].origin == "lower"
    expected = predict(points).argmax(axis=1).reshape(30, 30)
    assert len(np.unique(expected)) > 1
    np.testing.assert_array_equal(regions(ax), expected)
    for k, points in enumerate(ax.collections):
        np.testing.assert_array_equal(points.get_offsets(), X[k == LABELS])
        assert points.get_label() == f"class {k}"
    left, right, bottom, top = ax.images[0].get_extent()
    assert left < 0 < 2 < right
    assert bottom < 0 < 1 < top


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-1, 1), (2.0, 7.0)])
def test_regions_of_one_output(low: float, high: float) -> None:
    net = fastnn.Network([fastnn.Affine(2, 1)], "mean_squared_error", rng=0)
    net.params["W1"][:], net.params["b1"][:] = [[1.0], [0.0]], (low + high) / 2 - 1.0  # the middle at x[0] = 1
    ax = plots.decision_regions(net, X, np.array([low, low, low, high, high]), resolution=24)
    np.testing.assert_array_equal(regions(ax), grid_of(ax, 24)[..., 0] > 1.0)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [f"class {low}", f"class {high}"]


def test_regions_of_a_function_and_of_names() -> None:
    names = np.array(["left", "right"])

    def predict(points: Array) -> Any:
        return names[(points[:, 0] > 0.7).astype(int)]

    ax = plots.decision_regions(predict, X, names[[0, 0, 1, 1, 1]], resolution=10)
    np.testing.assert_array_equal(regions(ax), grid_of(ax, 10)[..., 0] > 0.7)
    many = plots.decision_regions(lambda points: np.arange(len(points)) % 12, X, LABELS, resolution=5)
    assert len(many.collections) == 12
    assert (
        len({tuple(np.ravel(points.get_facecolor())) for points in many.collections if points.get_offsets().size}) == 3
    )


def test_first_layer_weights_are_columns() -> None:
    net = network(6)
    axes = plots.first_layer_weights(net, (2, 3))
    assert len(axes) == 6
    largest = np.abs(net.params["W1"]).max()
    for unit, ax in enumerate(axes):
        assert ax.get_title() == f"unit {unit}"
        np.testing.assert_array_equal(ax.images[0].get_array(), net.params["W1"][:, unit].reshape(2, 3))
        np.testing.assert_allclose(ax.images[0].get_clim(), (-largest, largest))
    kept = axes[0].images[0].get_array().copy()
    net.params["W1"] += 1.0  # training goes on, the picture stays
    np.testing.assert_array_equal(axes[0].images[0].get_array(), kept)


def test_filters() -> None:
    """A filter's channels stand side by side, with a blank column between them."""
    net = of_filters(2)
    W, largest = net.params["W1"].copy(), np.abs(net.params["W1"]).max()
    for axes in (plots.filters(net), plots.filters(net, 0, count=4)):
        assert [ax.get_title() for ax in axes] == [f"filter {number}" for number in range(4)]
        for weights, ax in zip(W, axes, strict=True):
            shown = np.ma.filled(ax.images[0].get_array(), np.nan)
            wanted = np.concatenate([weights[0], np.full((2, 1), np.nan), weights[1]], axis=1)
            np.testing.assert_array_equal(shown, wanted)
            np.testing.assert_allclose(ax.images[0].get_clim(), (-largest, largest))
    second = plots.filters(net, 2, axes=Figure().subplots(1, 3))
    assert len(second) == 3 and second[0].images[0].get_array().shape == (2, 4 * 3 - 1)
    np.testing.assert_array_equal(second[1].images[0].get_array()[:, 3:5], net.params["W2"][1, 1])


def test_first_layer_weights_by_default() -> None:
    wide = fastnn.Network([fastnn.Affine(9, 70)], "mean_squared_error", rng=0)
    axes = plots.first_layer_weights(wide)
    assert len(axes) == 64
    assert axes[0].images[0].get_array().shape == (3, 3)
    assert axes[0].figure.axes[-1].get_ylabel() == "weight in W1"
    assert len(plots.first_layer_weights(wide, count=70)) == 70
    given = Figure().subplots(1, 2)
    assert list(plots.first_layer_weights(wide, axes=given)) == list(given)


@dataclass(frozen=True)
class Product(Layer):
    """An affine layer whose parameters have other names."""

    units = fastnn.Affine.units

    def parameters(self, shape: Shape) -> dict[str, Shape]:
        return {"kernel": (*shape, *shape), "offset": shape}

    def beginnings(self, follows: str, generator: np.random.Generator) -> dict[str, Any]:
        return {"kernel": 0.0, "offset": 0.0}


def test_first_layer_weights_are_found_by_the_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LAYERS, "Product", Product)
    before = [fastnn.BatchNorm(), fastnn.PRelu()]
    for layers, name in (([Product(), fastnn.Affine(4, 2)], "kernel1"), ([fastnn.Affine(4, 2), Product()], "W1")):
        net = fastnn.Network([*before, *layers], "mean_squared_error", rng=0, input_shape=4)
        net.params[name][...] = np.arange(net.params[name].size).reshape(4, -1)
        axes = plots.first_layer_weights(net)
        assert axes[0].figure.axes[-1].get_ylabel() == f"weight in {name}"
        np.testing.assert_array_equal(axes[1].images[0].get_array(), net.params[name][:, 1].reshape(2, 2))
    with pytest.raises(
        ValueError, match=r"^net: expected a layer with weights .*, got BatchNorm\(.*, PRelu\(.*; add one"
    ):
        plots.first_layer_weights(fastnn.Network(before, "mean_squared_error", input_shape=4))


def test_gradient_check_shows_the_errors() -> None:
    found = report()
    axes = plots.gradient_check(found)
    assert len(axes) == 4
    for ax, (name, error) in zip(axes, found.errors.items(), strict=True):
        np.testing.assert_array_equal(ax.images[0].get_array(), np.maximum(np.atleast_2d(error), 1e-10))
        assert ax.get_ylabel() == {"W1": "W1\n2 rows", "W2": "W2\n6 rows"}.get(name, name)
        assert ax.get_xlabel() == {"W1": "6 columns", "W2": "3 columns"}.get(name, f"{error.size} entries")
    same = found.plot()
    assert isinstance(same, Figure)
    assert [ax.get_ylabel() for ax in same.axes] == [ax.get_ylabel() for ax in axes[0].figure.axes]
    assert len(pyplot.get_fignums()) == 1  # the report's own figure is not one of pyplot's


def test_gradient_check_shows_entries_where_the_label_says_and_loses_none() -> None:
    errors = {"W1": np.full((1000, 7), 1e-9), "W2": np.full((3, 2000), 1e-9)}
    errors["W1"][771, 2] = errors["W2"][1, 1501] = 1.0
    for (name, error), ax in zip(errors.items(), plots.gradient_check(GradientReport({}, errors, 1e-4)), strict=True):
        picture = ax.images[0].get_array()
        assert np.count_nonzero(picture == 1.0) == 1, name
        place = np.unravel_index(picture.argmax(), picture.shape)
        wanted = np.unravel_index(error.argmax(), error.shape)
        for at, size, pixel, pixels in zip(wanted, error.shape, place, picture.shape, strict=True):
            assert abs((at + 0.5) / size - (pixel + 0.5) / pixels) <= 1 / pixels


def test_outputs_of_the_activations() -> None:
    layers = [fastnn.Affine(2, 40), fastnn.Tanh(), fastnn.Dropout(0.5), fastnn.Affine(40, 30), fastnn.PRelu()]
    net = fastnn.Network([*layers, fastnn.Affine(30, 3)], rng=0)
    x = np.random.default_rng(0).standard_normal((70, 2))
    axes = plots.layer_outputs(net, x)
    assert [ax.get_title().splitlines()[0] for ax in axes] == ["layer 2: Tanh", "layer 5: PRelu"]
    hidden = np.tanh(x @ net.params["W1"] + net.params["b1"])
    heights = [bar.get_height() for bar in axes[0].patches]
    np.testing.assert_allclose(heights, np.histogram(hidden, 30)[0] * 100 / hidden.size, atol=0.2)
    assert sum(heights) == pytest.approx(100)
    assert f"mean {hidden.mean():.2g}, deviation {hidden.std():.2g}" in axes[0].get_title()


def test_gradients_by_depth() -> None:
    net = network()
    ax = plots.gradient_sizes(net, X, LABELS)
    found = net.gradient(X, LABELS)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["W1", "W2"]
    np.testing.assert_allclose(
        ax.lines[0].get_ydata(), [np.sqrt((found[n].astype(float) ** 2).mean()) for n in ("W1", "W2")]
    )
    assert ax.get_yscale() == "log"
    net.params["W2"][...] = 0.0
    ax = plots.gradient_sizes(net, X, LABELS)
    assert ax.get_title().endswith("\n0: W1")
    assert np.isnan(ax.lines[0].get_ydata()[0])
    with pytest.raises(ValueError, match=r"^net: expected a layer with weights, got Tanh\(\); add one"):
        plots.gradient_sizes(fastnn.Network([fastnn.Tanh()], "mean_squared_error", input_shape=2), X, X)


def test_gradient_check_shows_each_filter_as_a_column() -> None:
    layers = [fastnn.Conv2d(2, 3, (2, 4)), fastnn.Flatten(), fastnn.Affine(24, 2)]
    net = fastnn.Network(layers, input_shape=(2, 5, 5), rng=0)
    x = np.random.default_rng(0).normal(size=(4, 2, 5, 5))
    found = fastnn.check_gradients(net, x, np.array([0, 1, 1, 0]))
    axes = plots.gradient_check(found)
    assert axes[0].get_ylabel() == "W1\n16 rows"
    assert axes[0].get_xlabel() == "3 columns"
    shown, error = axes[0].images[0].get_array(), found.errors["W1"]
    for f in range(3):
        expected = [max(error[f, c, p, q], 1e-10) for c in range(2) for p in range(2) for q in range(4)]
        np.testing.assert_array_equal(shown[:, f], expected)


def test_gradient_check_tells_no_error_from_a_tiny_one() -> None:
    error = np.array([[0.0, 1e-12], [1e-3, 0.0]])
    (ax,) = plots.gradient_check(GradientReport({}, {"W1": error}, 1e-4))
    picture = ax.images[0].get_array()
    np.testing.assert_array_equal(np.ma.getmaskarray(picture), error == 0.0)
    np.testing.assert_array_equal(picture.compressed(), [1e-10, 1e-3])
    assert ax.figure.axes[-1].get_ylabel() == "relative error (gray: 0)"
    assert ax.images[0].get_cmap()(picture[0, 0])[3] == 0.0  # the gray behind is seen
    assert ax.get_facecolor() == (0.8, 0.8, 0.8, 1.0)
