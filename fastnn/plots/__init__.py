"""Pictures of functions, descents, networks and gradient checks; they need matplotlib.

Each function draws on the matplotlib Axes that it is given (`ax`, or `axes` where there are several) and returns them.
Without them it makes a new figure by pyplot, as scikit-learn and seaborn do: a notebook shows it, a script shows it by
`matplotlib.pyplot.show()`, and `ax.figure.savefig(path)` saves it; if you make many, close each by
`matplotlib.pyplot.close(ax.figure)`. To keep out of pyplot, pass the Axes of a `matplotlib.figure.Figure`. matplotlib,
which `pip install "fastnn-kernels[plot]"` installs, is imported when a function is called, and all arguments are
checked before a figure is made.

Examples
--------
>>> net = fastnn.Network([fastnn.Affine(2, 2)], rng=0)
>>> history = net.fit(np.eye(2), [0, 1], epochs=5)
>>> ax = fastnn.plots.history(history)
>>> ax.figure.savefig("history.png")

In a figure of your own, beside another picture:

>>> from matplotlib import pyplot
>>> figure, axes = pyplot.subplots(1, 2)
>>> ax = fastnn.plots.history(history, ax=axes[0])
>>> ax = fastnn.plots.decision_regions(net, np.eye(2), np.array([0, 1]), ax=axes[1])
>>> pyplot.close("all")
"""

from fastnn.plots.depth import gradient_sizes, layer_outputs
from fastnn.plots.descents import descent_paths, learning_rates
from fastnn.plots.filters import filters
from fastnn.plots.functions import activations, log_loss
from fastnn.plots.line_fits import line_fit_slices, line_fit_surface
from fastnn.plots.networks import decision_regions, first_layer_weights, gradient_check, history, learning_rate_search
from fastnn.plots.searches import grid_search

__all__ = [
    "activations", "decision_regions", "descent_paths", "filters", "first_layer_weights", "gradient_check",
    "gradient_sizes", "grid_search", "history", "layer_outputs", "learning_rate_search", "learning_rates",
    "line_fit_slices", "line_fit_surface", "log_loss",
]  # fmt: skip
