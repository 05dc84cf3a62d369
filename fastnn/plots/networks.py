"""Pictures of training, of classifiers, of weights and of gradient checks."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn.engine import observation
from fastnn.gate import arrays
from fastnn.gate.arrays import Array
from fastnn.gate.checks import shown
from fastnn.gate.slips import answers_slips
from fastnn.gradients.check import GradientReport
from fastnn.network.history import History
from fastnn.network.learning_rate_search import LearningRateSearch
from fastnn.plots import panels
from fastnn.plots.panels import COLORS, GRID, MARKERS, Axes

MARKED = 30  # epochs at most for which points are marked
MOST_PICTURES = 64  # of weights, unless asked for
TENSOR_SIZE = (8.0, 1.6)  # of the picture of one tensor's errors, in inches
LEAST_ERROR, NO_ERROR = 1e-10, "0.8"  # the darkest color, and the one of errors of 0
TENSOR_PIXELS = (128, 640)  # its rows and columns at 100 dots per inch


@answers_slips
def history(history: History, *, ax: Any = None) -> Axes:
    """Loss and accuracy on training and validation data by epoch.

    Parameters
    ----------
    history : History
        As `Network.fit` returns it.
    ax : Axes, optional

    Returns
    -------
    Axes
        The Axes of the loss. The accuracy, if there is one, has its own in the same place: `ax.figure.axes[-1]`.

    Raises
    ------
    TypeError, ValueError
        For anything but a history with at least one epoch and Axes.

    Examples
    --------
    >>> net = fastnn.Network([fastnn.Affine(2, 2)], rng=0)
    >>> ax = fastnn.plots.history(net.fit(np.eye(2), [0, 1], epochs=5))
    >>> [other.get_ylabel() for other in ax.figure.axes]
    ['loss', 'accuracy']
    """
    if not isinstance(history, History):
        raise TypeError(f"history: expected a fastnn.History, got {shown(history)}; pass what fit returns")
    if not history.epochs:
        raise ValueError("history: expected at least one completed epoch, got none; train first")
    given = panels.given("ax", ax)
    ax = (given or panels.new(1, 1, (6.4, 4.8)))[0]
    figures = {"loss": (ax, history.loss, history.validation_loss)}
    if history.accuracy:
        figures["accuracy"] = (ax.twinx(), history.accuracy, history.validation_accuracy)
    lines = []
    for (name, (place, train, validation)), color in zip(figures.items(), COLORS, strict=False):
        for values, style, data in ((train, "-", "training"), (validation, "--", "validation")):
            if values:
                epochs, marker = range(1, len(values) + 1), "o" if len(values) <= MARKED else ""
                label = f"{name}, {data}"
                lines += place.plot(epochs, values, style, marker=marker, markersize=4, color=color, label=label)
        place.set_ylabel(name, color=color)
        place.tick_params(axis="y", labelcolor=color)
    ax.grid(**GRID)
    ax.set(xlim=(0.5, history.epochs + 0.5), ylim=(0.0, None))
    ax.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    ax.set(xlabel="epoch", title=f"{' and '.join(figures).capitalize()} by epoch")
    if len(ax.figure.axes) == len(figures) and getattr(ax.figure, "get_constrained_layout", bool)():
        ax.figure.legend(handles=lines, loc="outside lower center", ncols=2)  # outside, where no line crosses it
    else:
        next(reversed(figures.values()))[0].legend(handles=lines, loc="center right")  # in the axes on top
    return ax


@answers_slips
def learning_rate_search(search: LearningRateSearch, *, ax: Any = None) -> Axes:
    """The losses of a search for a learning rate, over the logarithm of the rate.

    Parameters
    ----------
    search : LearningRateSearch
        As `fastnn.find_learning_rate` returns it.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    TypeError, ValueError
        For anything but a search with at least one loss and Axes.

    Examples
    --------
    >>> (x, t), _ = fastnn.datasets.load_digits()
    >>> net = fastnn.Network([fastnn.Affine(64, 32), fastnn.Relu(), fastnn.Affine(32, 10)], rng=0)
    >>> ax = fastnn.plots.learning_rate_search(fastnn.find_learning_rate(net, x, t, rng=0))
    >>> ax.get_xscale()
    'log'
    """
    if not isinstance(search, LearningRateSearch):
        came = f"{shown(search)}; pass what fastnn.find_learning_rate returns"
        raise TypeError(f"search: expected a LearningRateSearch, got {came}")
    if not len(search.rates):
        raise ValueError("search: expected at least one loss, got none, as the first was not finite; scale the data")
    ax = (panels.given("ax", ax) or panels.new(1, 1, (6.4, 4.8)))[0]
    ax.grid(**GRID)
    ax.plot(search.rates, search.losses, color=COLORS[0], alpha=0.3, label="of each batch")
    ax.plot(search.rates, search.smoothed, color=COLORS[0], linewidth=2, label="running mean")
    if search.suggestion is not None:
        label = f"steepest at {search.suggestion:.2g}"
        ax.axvline(search.suggestion, linestyle="--", color=COLORS[1], label=label)
    largest, least = search.smoothed.max(), search.smoothed.min()
    ax.set(xscale="log", xlabel="learning rate", ylabel="loss", title="Loss by learning rate")
    ax.set_ylim(least - 0.1 * (largest - least or 1.0), largest + 0.1 * (largest - least or 1.0))
    ax.legend()
    return ax


@answers_slips
def decision_regions(predict: Any, x: Any, t: Any, *, ax: Any = None, resolution: int = 200) -> Axes:
    """The regions in which a classifier of two inputs predicts each class, and samples over them.

    Parameters
    ----------
    predict : Network or callable
        A network of 2 inputs, whose largest output counts; with one output, its side of the loss's border: 0 for logits
        and margins, 1/2 for the probabilities of log_loss, else halfway between the two numbers in t. Or a function
        from samples (M, 2) to labels (M,), such as a model's `predict`, which is called once.
    x : array (N, 2)
        Samples.
    t : array (N,)
        Their labels: from 0 to K - 1 for a network of K > 1 outputs, otherwise any that can be sorted.
    ax : Axes, optional
    resolution : int
        The number of grid points in each direction.

    Returns
    -------
    Axes

    Raises
    ------
    TypeError, ValueError
        For anything but such a classifier, samples, labels and Axes.

    Examples
    --------
    >>> x, t = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 0, 0, 1])
    >>> perceptron = fastnn.models.Perceptron()
    >>> history = perceptron.fit(x, t)
    >>> ax = fastnn.plots.decision_regions(perceptron.predict, x, t)
    >>> ax.figure.savefig("regions.png")
    """
    x = arrays.floats("x", x, ("N", 2), finite=True)
    resolution = arrays.integer("resolution", resolution, minimum=2)
    given, t = panels.given("ax", ax), arrays.anything("t", t)
    if t.shape != (len(x),):
        raise ValueError(f"t: expected labels of shape ({len(x)},), got shape {t.shape}; pass one for each row of x")
    classify = _network_labels(predict, t) if observation.is_network(predict) else _called_labels(predict)
    lows, highs = x.min(axis=0).astype(np.float64), x.max(axis=0).astype(np.float64)
    room = np.where(highs > lows, 0.08 * (highs - lows), 1.0)
    first, second = (np.linspace(low, high, resolution) for low, high in zip(lows - room, highs + room, strict=True))
    points = np.stack(np.meshgrid(first, second), axis=-1).reshape(-1, 2)
    predicted = classify(points)
    classes = np.union1d(t, predicted)
    colors = _class_colors(len(classes))
    ax = (given or panels.new(1, 1, (6.4, 4.8)))[0]
    regions = np.searchsorted(classes, predicted).reshape(resolution, resolution)
    picture = np.array(colors)[regions]
    picture = 1.0 - 0.3 * (1.0 - picture)  # pale
    half = [(axis[1] - axis[0]) / 2 for axis in (first, second)]
    extent = (first[0] - half[0], first[-1] + half[0], second[0] - half[1], second[-1] + half[1])
    ax.imshow(picture, extent=extent, origin="lower", aspect="auto", interpolation="nearest")
    for k, label in enumerate(classes):
        style = {"marker": MARKERS[k % len(MARKERS)], "edgecolors": "black", "linewidths": 0.6, "s": 28}
        ax.scatter(*x[t == label].T, color=colors[k], **style, label=f"class {label}")
    ax.legend()
    ax.set(xlabel="$x_0$", ylabel="$x_1$", title="Regions of the predicted classes")
    return ax


@answers_slips
def first_layer_weights(
    net: Any, shape: tuple[int, int] | None = None, *, count: int | None = None, axes: Any = None
) -> Array:
    """The columns of the first weights (inputs, outputs), W1, as pictures, one for each unit of their layer.

    All share one color scale, white at 0.

    Parameters
    ----------
    net : Network
    shape : (rows, columns), optional
        The shape of a picture; by default it is square.
    count : int, optional
        How many, from the first unit on; by default one for each of axes, or at most 64.
    axes : sequence of Axes, optional

    Returns
    -------
    array of Axes

    Raises
    ------
    TypeError, ValueError
        For anything but a network with such weights and Axes, and if the inputs do not fill a picture of that shape.

    Examples
    --------
    >>> net = fastnn.Network([fastnn.Affine(64, 10)], rng=0)  # of images of 8 x 8
    >>> axes = fastnn.plots.first_layer_weights(net, count=6)
    >>> axes.shape, axes.flat[0].get_images()[0].get_array().shape
    ((6,), (8, 8))
    """
    if not observation.is_network(net):
        raise TypeError(f"net: expected a fastnn.Network, got {shown(net)}; pass one")
    name = _first_weights(net.engine)
    W = np.array(net.params[name])
    rows, columns = _picture_shape(shape, len(W))
    if count is not None:
        count = arrays.integer("count", count, minimum=1, maximum=W.shape[1])
    given = panels.given("axes", axes, count)
    if len(given) > W.shape[1]:
        raise ValueError(f"axes: expected at most one for each of the {W.shape[1]} units, got {len(given)}; pass fewer")
    count = count or len(given) or min(W.shape[1], MOST_PICTURES)
    pictures = W[:, :count].T.reshape(count, rows, columns)
    return panels.of_weights(pictures, given, "unit", name, f"Columns of {name} as {rows} x {columns} inputs")


@answers_slips
def gradient_check(report: GradientReport, *, axes: Any = None) -> Array:
    """The relative errors of all entries as heat maps, a panel for each tensor, its rows from top to bottom.

    The rows of W are its inputs, the columns its outputs; for Conv2d, the elements (C, height, width) of a window and
    the filters. If a tensor has more rows or columns than a panel has pixels, each pixel shows the largest of its
    entries. Entries without any error are gray, apart from tiny ones.

    Parameters
    ----------
    report : GradientReport
        The result of `fastnn.check_gradients`. Its `plot` makes the same picture and saves it.
    axes : sequence of Axes, optional
        One for each tensor.

    Returns
    -------
    array of Axes

    Raises
    ------
    TypeError, ValueError
        For anything but a report and one Axes for each tensor.

    Examples
    --------
    >>> net = fastnn.Network([fastnn.Affine(4, 3), fastnn.Tanh(), fastnn.Affine(3, 2)], rng=0)
    >>> report = fastnn.check_gradients(net, np.eye(4), np.array([0, 1, 1, 0]))
    >>> axes = fastnn.plots.gradient_check(report)
    >>> len(axes)  # W1, b1, W2 and b2
    4
    """
    if not isinstance(report, GradientReport):
        raise TypeError(f"report: expected a GradientReport, got {shown(report)}; pass what check_gradients returns")
    given = panels.given("axes", axes, len(report.errors))
    from matplotlib.colors import LogNorm

    drawn = given or panels.new(len(report.errors), 1, TENSOR_SIZE)
    norm = LogNorm(LEAST_ERROR, 1.0, clip=True)
    for ax, (name, error) in zip(drawn, map(_as_matrix, report.errors.items()), strict=True):
        largest = _largest_of_blocks(np.atleast_2d(error))
        picture = np.ma.masked_array(np.maximum(largest, LEAST_ERROR), largest == 0.0)
        ax.set_facecolor(NO_ERROR)
        image = ax.imshow(picture, norm=norm, aspect="auto", interpolation="nearest")
        rows = "" if error.ndim < 2 else f"\n{error.shape[0]:,} rows"
        ax.set_ylabel(f"{name}{rows}", rotation=0, ha="right", va="center")
        ax.set_xlabel(f"{error.shape[1]:,} columns" if rows else f"{error.size:,} entries", fontsize="small")
        ax.set_xticks([])
        ax.set_yticks([])
    drawn[0].set_title("Relative error of the analytic gradient")
    drawn[0].figure.colorbar(image, ax=drawn, shrink=0.8, label="relative error (gray: 0)")
    return panels.as_array(drawn)


# --- helpers --------------------------------------------------------------------------------------------


def _as_matrix(named: tuple[str, Array]) -> tuple[str, Array]:
    """A name with its tensor; filters (F, C, height, width) become columns."""
    name, values = named
    return name, values.reshape(len(values), -1).T if values.ndim > 2 else values


def _largest_of_blocks(values: Array) -> Array:
    """A matrix of at most TENSOR_PIXELS rows and columns: a picture would drop some entries, this keeps the largest."""
    for axis, most in enumerate(TENSOR_PIXELS):
        size = values.shape[axis]
        if size > most:
            values = np.maximum.reduceat(values, np.arange(most) * size // most, axis=axis)
    return values


def _network_labels(net: Any, t: Array) -> Callable[[Array], Array]:
    """A function that classifies by the network; checks that t holds its labels."""
    if net.inputs != 2:
        raise ValueError(f"predict: expected a network of 2 inputs, got {net.inputs}; pass a function for another")
    if net.outputs > 1:
        arrays.labels("t", t, len(t), net.outputs)
        return lambda points: net.predict(points).argmax(axis=1)
    classes = np.unique(t)
    if len(classes) != 2 or classes.dtype.kind not in "biuf":
        came = f"{len(classes)} different labels"
        raise ValueError(f"t: expected two different numbers for a network of one output, got {came}; pass 0 and 1")
    middle = net.engine.loss.border
    if middle is None:
        middle = (float(classes[0]) + float(classes[1])) / 2
    return lambda points: classes[(net.predict(points)[:, 0] > middle).astype(np.intp)]


def _called_labels(predict: Any) -> Callable[[Array], Array]:
    """A function that classifies by `predict` and checks its result."""
    if not callable(predict):
        remedy = "; pass its predict" if callable(getattr(predict, "predict", None)) else ""
        expected = "predict: expected a Network or a function from (M, 2) to labels (M,)"
        raise TypeError(f"{expected}, got {shown(predict)}{remedy}")

    def classify(points: Array) -> Array:
        labels = arrays.anything("predict", predict(points))
        if labels.shape != (len(points),):
            columns = labels.shape[1] if labels.ndim == 2 else 0
            remedy = "pass the network itself" if columns == 1 else "for outputs return outputs.argmax(axis=1)"
            came = f"shape {labels.shape}; {remedy}"
            raise ValueError(f"predict: expected a function that returns labels ({len(points)},), got {came}")
        return labels

    return classify


def _class_colors(count: int) -> list[tuple[float, ...]]:
    """Colors as (red, green, blue): ones that everybody can tell apart, or, for more classes, along viridis."""
    from matplotlib import colormaps
    from matplotlib.colors import to_rgb

    if count <= len(COLORS):
        return [to_rgb(color) for color in COLORS[:count]]
    return [colormaps["viridis"](k / (count - 1))[:3] for k in range(count)]


def _first_weights(engine: Any) -> str:
    """The name of the first parameter with a row for each input of its layer and a column for each output."""
    names = iter(engine.params)
    for layer, before, after in zip(engine.layers, engine.shapes, engine.shapes[1:], strict=False):
        for shape, name in zip(layer.parameters(before).values(), names, strict=False):
            if len(shape) == 2 and shape == (*before, *after):
                return str(name)
    came = ", ".join(map(str, engine.given_layers))
    raise ValueError(f"net: expected a layer with weights (inputs, outputs), got {came}; add one such as Affine(4, 3)")


def _picture_shape(shape: Any, inputs: int) -> tuple[int, int]:
    if shape is None:
        side = math.isqrt(inputs)
        if side * side != inputs:
            raise ValueError(f"shape: expected (rows, columns) as {inputs} is not a square, got None; pass shape")
        return side, side
    if not isinstance(shape, tuple | list) or len(shape) != 2:
        raise TypeError(f"shape: expected (rows, columns), got {shape!r}; pass two integers")
    rows, columns = (arrays.integer(f"shape[{i}]", size, minimum=1) for i, size in enumerate(shape))
    if rows * columns != inputs:
        raise ValueError(f"shape: expected rows * columns = {inputs}, the inputs, got {rows} * {columns}; pass others")
    return rows, columns
