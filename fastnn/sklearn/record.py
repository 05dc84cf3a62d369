"""The course of a training as scikit-learn tells it, and when there was no improvement for too long."""

from dataclasses import dataclass, field

import numpy as np

from fastnn.sklearn.settings import Settings


@dataclass
class Record:
    """The figures that become an estimator's attributes: `loss` its `loss_`, and so on; see `BaseMLP`."""

    n_iter: int = 0
    t: int = 0
    loss: float = np.nan
    loss_curve: list[float] = field(default_factory=list)
    best_loss: float | None = np.inf
    validation_scores: list[float] | None = None
    best_validation_score: float | None = None
    no_improvement_count: int = 0

    def begin(self, settings: Settings, has_validation: bool) -> None:
        """Count epochs from 0; scores go on where there were some."""
        self.n_iter = 0
        if has_validation:
            self.validation_scores = [] if self.validation_scores is None else self.validation_scores
            best = self.best_validation_score
            self.best_validation_score = -np.inf if best is None else best
        if settings.early_stopping:
            self.best_loss = None

    def add(self, loss: float, samples: int, score: float | None, settings: Settings) -> bool:
        """Note an epoch's loss and its score on validation data; return whether the score is the best so far."""
        self.n_iter, self.t, self.loss = self.n_iter + 1, self.t + samples, loss
        self.loss_curve.append(loss)
        is_best = False
        if score is not None and self.validation_scores is not None and self.best_validation_score is not None:
            self.validation_scores.append(score)
            stalls = score < self.best_validation_score + settings.tol
            is_best = score > self.best_validation_score
            self.best_validation_score = score if is_best else self.best_validation_score
        if not settings.early_stopping:
            best = np.inf if self.best_loss is None else self.best_loss
            stalls = loss > best - settings.tol
            self.best_loss = min(best, loss)
        self.no_improvement_count = self.no_improvement_count + 1 if stalls else 0
        return is_best

    def sentence(self, settings: Settings) -> str:
        """The end of a training in scikit-learn's words."""
        what = "Validation score" if settings.early_stopping else "Training loss"
        epochs = f"for {settings.n_iter_no_change:.0f} consecutive epochs."
        return f"{what} did not improve more than tol={settings.tol:f} {epochs}"
