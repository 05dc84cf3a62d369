"""EarlyStopping: a callback that ends `fit` and puts the best epoch back.

It decides by the history alone, and keeps a copy of the best epoch's parameters for each network in training.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from fastnn.engine.engine import Snapshot
from fastnn.gate import arrays
from fastnn.gate.slips import answers_slips
from fastnn.network.history import History, improvements
from fastnn.network.network import Network

MONITORS = ("validation_loss", "validation_accuracy", "loss", "accuracy")


@answers_slips
@dataclass(eq=False)
class EarlyStopping:
    """Stop when a figure no longer improves, and go back to the best epoch: `fit(callbacks=[EarlyStopping()])`.

    However the training ends, even by an error or Ctrl-C after the first epoch, the network gets back its parameters
    and the optimizer's state from after the best epoch, so that another `fit` goes on from there. The history keeps all
    epochs. Source: Prechelt, Early Stopping - But When? (1998).

    Parameters
    ----------
    patience : int
        The number of epochs in a row without an improvement after which training stops; at least 1.
    min_delta : float
        An epoch is an improvement if its figure is better by more than this than at the last improvement; at least 0.
        The best epoch is simply the one with the best figure, the first of equals.
    monitor : str
        "validation_loss", "validation_accuracy", "loss" or "accuracy"; a figure of `History`, which must be measured.
        Note that "loss" and "accuracy" are measured during the epoch, before its last update.

    Attributes
    ----------
    best_epoch : int or None
        Index of the best epoch in the history's lists, counted from 0; None before the first `fit`, and if no epoch was
        completed or the figure was always NaN.
    stopped_epoch : int or None
        Index of the epoch after which it stopped the training; None if it did not.

    One object may serve several fits, even at once as in `fastnn.cross_validate`; nothing is carried over. The
    attributes describe the fit that ended last.

    Raises
    ------
    TypeError, ValueError
        For bad arguments; by `fit`, before it changes anything, if the figure will not be measured.
    """

    patience: int = 5
    min_delta: float = 0.0
    monitor: str = "validation_loss"
    best_epoch: int | None = field(default=None, init=False)
    stopped_epoch: int | None = field(default=None, init=False)
    _best: dict[Network, tuple[int, Snapshot]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        self.patience = arrays.integer("patience", self.patience, minimum=1)
        self.min_delta = arrays.real("min_delta", self.min_delta, minimum=0.0)
        self.monitor = arrays.choice("monitor", self.monitor, MONITORS)

    def begin(self, network: Network, figures: Sequence[str]) -> None:
        """Refuse a figure that this fit does not measure; forget the leftovers of an interrupted fit."""
        self._best.pop(network, None)
        if self.monitor not in figures:
            has_classes = "accuracy" in figures or not self.monitor.endswith("accuracy")
            remedy = "pass validation_data=(x, t)" if has_classes else "monitor a loss, as the targets are no classes"
            measured = ", ".join(name for name in MONITORS if name in figures)
            raise ValueError(
                f"monitor: expected a figure that this fit measures ({measured}), got {self.monitor!r}; {remedy}"
            )

    def __call__(self, network: Network, history: History) -> bool:
        """Keep the parameters of the best epoch; return whether to stop."""
        if self._best_of(history) == history.epochs - 1:
            self._best[network] = history.epochs - 1, network.engine.snapshot()
        return self._has_stalled(history)

    def end(self, network: Network, history: History) -> None:
        """Put back the best epoch."""
        self.best_epoch, saved = self._best.pop(network, (None, None))
        self.stopped_epoch = history.epochs - 1 if self._has_stalled(history) else None
        if saved is not None:
            network.engine.restore(saved)

    def _losses(self, history: History) -> list[float]:
        """The figures, such that less is better."""
        figures: list[float] = getattr(history, self.monitor)
        return [-figure for figure in figures] if self.monitor.endswith("accuracy") else figures

    def _best_of(self, history: History) -> int | None:
        numbered = [(loss, epoch) for epoch, loss in enumerate(self._losses(history)) if loss == loss]  # skips NaN
        return min(numbered)[1] if numbered else None

    def _has_stalled(self, history: History) -> bool:
        recent = list(improvements(self._losses(history), self.min_delta))[-self.patience :]
        return len(recent) == self.patience and not any(recent)
