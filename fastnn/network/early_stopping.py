"""EarlyStopping: a callback that ends `fit` and puts the best epoch back.

It decides by the history alone, and keeps a copy of the best epoch's parameters for each network in training.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastnn.engine.engine import Snapshot
from fastnn.gate import arrays
from fastnn.gate.slips import answers_slips
from fastnn.network import snapshots
from fastnn.network.history import History, as_losses, best_epoch, check_monitor, improvements, refuse_unmeasured
from fastnn.network.network import Network


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
        "validation_loss", "validation_accuracy", "loss", "accuracy" or a metric, such as "validation_roc_auc"; a figure
        of `History`, which must be measured. More is better where the name ends in accuracy, r2_score or roc_auc.
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

    Examples
    --------
    >>> x, t = np.random.default_rng(0).normal(size=(60, 2)), np.arange(60) % 2  # nothing to learn
    >>> net = fastnn.Network([fastnn.Affine(2, 8), fastnn.Tanh(), fastnn.Affine(8, 2)], rng=0)
    >>> stop = fastnn.EarlyStopping(patience=3)
    >>> held_out = x[40:], t[40:]
    >>> history = net.fit(x[:40], t[:40], epochs=1000, validation_data=held_out, callbacks=[stop], rng=0)
    >>> history.epochs < 1000, stop.stopped_epoch - stop.best_epoch >= 3
    (True, True)
    >>> bool(np.isclose(net.loss(*held_out), min(history.validation_loss)))  # the best epoch is back
    True
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
        self.monitor = check_monitor(self.monitor)

    def begin(self, network: Network, figures: Sequence[str]) -> None:
        """Refuse a figure that this fit does not measure; forget the leftovers of an interrupted fit."""
        self._best.pop(network, None)
        refuse_unmeasured(self.monitor, figures)

    def __call__(self, network: Network, history: History) -> bool:
        """Keep the parameters of the best epoch; return whether to stop."""
        if best_epoch(history, self.monitor) == history.epochs - 1:
            self._best[network] = history.epochs - 1, network.engine.snapshot()
        return self._has_stalled(history)

    def end(self, network: Network, history: History) -> None:
        """Put back the best epoch, if there was any epoch."""
        self.best_epoch, saved = self._best.pop(network, (None, None))
        self.stopped_epoch = history.epochs - 1 if self._has_stalled(history) else None
        if saved is not None and history.epochs:
            network.engine.restore(saved)

    def state(self, network: Network) -> dict[str, Any]:
        """What a checkpoint keeps: the arguments, and the best epoch so far with its parameters."""
        epoch, saved = self._best.get(network, (None, None))
        best = None if saved is None else snapshots.tree_of(saved)
        return {**self._arguments(), "epoch": epoch, "best": best}

    def restore(self, network: Network, state: Mapping[str, Any]) -> None:
        """Take the state of a checkpoint; ValueError for one that was kept with other arguments."""
        for name, value in self._arguments().items():
            if state[name] != value:
                came = f"{value!r}; pass the same"
                raise ValueError(f"{name}: expected {state[name]!r}, as in the run of the checkpoint, got {came}")
        if state["best"] is not None:
            epoch = arrays.integer("epoch", state["epoch"], minimum=0)
            self._best[network] = epoch, snapshots.snapshot_of(network, state["best"])

    def _arguments(self) -> dict[str, Any]:
        return {"patience": self.patience, "min_delta": self.min_delta, "monitor": self.monitor}

    def _has_stalled(self, history: History) -> bool:
        recent = list(improvements(as_losses(history, self.monitor), self.min_delta))[-self.patience :]
        return len(recent) == self.patience and not any(recent)
