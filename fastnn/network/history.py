"""The figures that `fit` measures, epoch by epoch."""

import difflib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastnn.gate import arrays, checks
from fastnn.network.metrics import METRICS, TOP
from fastnn.system import html

SHOWN = 5  # epochs at either end of a long table
MONITORS = ("validation_loss", "validation_accuracy", "loss", "accuracy")
RISING = ("accuracy", "r2_score", "roc_auc")  # ends of the names of figures of which more is better
NO_MONITORS = ("seconds", "learning_rate")


@dataclass(repr=False)
class History:
    """The figures of `fit`, one entry for each epoch.

    Attributes
    ----------
    loss : list of float
        Mean training loss, each batch before its update, weighted where `fit` has weights. Like the validation loss it
        leaves out the penalty of regularization, so that the two compare.
    accuracy : list of float
        Fraction of training samples whose largest output was the target's, measured likewise; empty if the targets are
        no classes.
    validation_loss, validation_accuracy : list of float
        The same on validation_data after the epoch; empty without it.
    seconds : list of float
        Duration of the epoch, validation included.
    learning_rate : list of float
        The optimizer's rate in the epoch.

    Each metric of `fit(metrics=[...])` is a further list, such as `validation_r2_score`.

    Examples
    --------
    >>> net = fastnn.Network([fastnn.Affine(2, 2)], rng=0)
    >>> history = net.fit(np.eye(2), [0, 1], epochs=3)
    >>> history.epochs, len(history.loss), history.loss[2] < history.loss[0]
    (3, 3, True)
    >>> list(history.to_dict())
    ['loss', 'accuracy', 'seconds', 'learning_rate']
    """

    loss: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_accuracy: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)

    def __getattr__(self, name: str) -> list[float]:
        if name.startswith("_"):
            raise AttributeError(name)
        known = ", ".join(vars(self))
        raise AttributeError(f"History: expected a figure that was measured ({known}), got {name!r}", name=name)

    @property
    def epochs(self) -> int:
        """Number of completed epochs."""
        return len(self.loss)

    def last(self) -> dict[str, float]:
        """The figures of the last completed epoch by name.

        Examples
        --------
        >>> fastnn.History(loss=[0.5, 0.25], accuracy=[0.75, 1.0]).last()
        {'loss': 0.25, 'accuracy': 1.0}
        """
        return {name: values[-1] for name, values in vars(self).items() if values}

    def to_dict(self) -> dict[str, list[float]]:
        """Copies of the lists that hold figures, by name; `pandas.DataFrame(history.to_dict())` is a table of them.

        Examples
        --------
        >>> fastnn.History(loss=[0.5, 0.25], accuracy=[0.75, 1.0]).to_dict()
        {'loss': [0.5, 0.25], 'accuracy': [0.75, 1.0]}
        """
        return {name: list(values) for name, values in vars(self).items() if values}

    def plot(self, ax: Any = None) -> Any:
        """Draw loss and accuracy by epoch, see `fastnn.plots.history`; needs matplotlib.

        Examples
        --------
        >>> history = fastnn.History(loss=[0.9, 0.5, 0.4], validation_loss=[0.8, 0.6, 0.6])
        >>> ax = history.plot()
        >>> ax.figure.savefig("history.png")
        """
        from fastnn.plots.networks import history

        return history(self, ax=ax)

    def _repr_html_(self) -> str:
        """A table for notebooks: the first epochs and the last ones, if there are many."""
        figures = self.to_dict()
        shown = [i for i in range(self.epochs) if self.epochs <= 2 * SHOWN or i < SHOWN or i >= self.epochs - SHOWN]
        rows = [[f"{i + 1}", *(_text(name, values[i]) for name, values in figures.items())] for i in shown]
        if len(shown) < self.epochs:
            rows.insert(SHOWN, ["..."] * (1 + len(figures)))
        return html.table(["epoch", *(name.replace("_", " ") for name in figures)], rows, str(self))

    def __repr__(self) -> str:
        return f"<History of {self}>"

    def __str__(self) -> str:
        last = {name: value for name, value in self.last().items() if name != "seconds"}
        figures = ", ".join(f"{name.replace('_', ' ')} {_text(name, value)}" for name, value in last.items())
        time = f" in {sum(self.seconds):.3g} s" if self.seconds else ""
        return f"{self.epochs} epoch{'s' * (self.epochs > 1)}{time}: {figures}" if figures else "no completed epoch"


def _text(name: str, value: float) -> str:
    """A figure with four places, so that epochs compare; with four digits outside the common range."""
    is_plain = 1e-3 <= abs(value) < 1e6 and name not in NO_MONITORS
    return format(value, ".4f" if is_plain else ".3g" if name == "seconds" else ".4g")


def improvements(figures: Sequence[float], min_delta: float) -> Iterator[bool]:
    """Whether each figure improves on the last improvement by more than min_delta; NaN never does.

    The first is an improvement if it is finite.
    """
    best = math.inf
    for figure in figures:
        improved = figure < best - min_delta
        if improved:
            best = figure
        yield improved


def as_losses(history: History, monitor: str) -> list[float]:
    """A figure of each epoch, such that less is better."""
    figures: list[float] = getattr(history, monitor)
    return [-figure for figure in figures] if monitor.endswith(RISING) else figures


def best_epoch(history: History, monitor: str) -> int | None:
    """The index of the epoch with the best figure, the first of equals; None if none is a number."""
    numbered = [(loss, epoch) for epoch, loss in enumerate(as_losses(history, monitor)) if loss == loss]  # skips NaN
    return min(numbered)[1] if numbered else None


def check_monitor(monitor: Any) -> str:
    """The name of a figure: one that `fit` always knows, or a metric's; what looks like a slip is refused."""
    if isinstance(monitor, str) and monitor.isidentifier():
        metric = monitor.removeprefix("validation_")
        is_near = monitor.lower() in checks.SYNONYMS or difflib.get_close_matches(monitor.lower(), MONITORS, 1, 0.8)
        if metric in METRICS or TOP.fullmatch(metric) or not is_near:
            return monitor
    return arrays.choice("monitor", monitor, MONITORS)


def refuse_unmeasured(monitor: str, figures: Sequence[str]) -> None:
    """Refuse a figure that is not measured."""
    if monitor not in figures:
        if monitor.endswith("accuracy") and "accuracy" not in figures:
            remedy = "monitor a loss, as the targets are no classes"
        elif monitor.startswith("validation_") and "validation_loss" not in figures:
            remedy = "pass validation_data=(x, t)"
        else:
            remedy = "name one of these, or measure it by metrics"
        others = [name for name in figures if name not in (*MONITORS, *NO_MONITORS)]
        measured = ", ".join([*(name for name in MONITORS if name in figures), *others])
        raise ValueError(f"monitor: expected a figure that this fit measures ({measured}), got {monitor!r}; {remedy}")
