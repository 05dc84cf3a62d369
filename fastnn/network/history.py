"""The figures that `fit` measures, epoch by epoch."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field


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
    """

    loss: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_accuracy: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)

    @property
    def epochs(self) -> int:
        """Number of completed epochs."""
        return len(self.loss)

    def last(self) -> dict[str, float]:
        """The figures of the last completed epoch by name."""
        return {name: values[-1] for name, values in vars(self).items() if values}

    def __repr__(self) -> str:
        return f"<History of {self}>"

    def __str__(self) -> str:
        last = {name: value for name, value in self.last().items() if name != "seconds"}
        plain = {name: 1e-3 <= abs(value) < 1e6 and name != "learning_rate" for name, value in last.items()}
        texts = {name: format(value, ".4f" if plain[name] else ".4g") for name, value in last.items()}
        figures = ", ".join(f"{name.replace('_', ' ')} {text}" for name, text in texts.items())
        time = f" in {sum(self.seconds):.3g} s" if self.seconds else ""
        return f"{self.epochs} epoch{'s' * (self.epochs > 1)}{time}: {figures}" if figures else "no completed epoch"


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
