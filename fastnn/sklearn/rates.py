"""The updates of the solvers, and scikit-learn's learning rates, which change after an epoch."""

from dataclasses import dataclass

from fastnn.optimizers import SGD, Adam, Momentum, Nesterov, Optimizer
from fastnn.sklearn.settings import Settings

SMALLEST_RATE = 1e-6  # "adaptive" ends the training at it
ADAPTIVE_DIVISOR = 5.0


@dataclass
class LearningRate:
    """The learning rate that the next epoch takes; it goes on in `partial_fit`."""

    learning_rate: float

    def epoch_ends(self, settings: Settings, samples: int) -> None:
        """Lower it by the number of samples seen so far, if it is "invscaling"."""
        if settings.solver == "sgd" and settings.learning_rate == "invscaling":
            self.learning_rate = settings.learning_rate_init / (samples + 1) ** settings.power_t

    def ends(self, settings: Settings) -> str:
        """What follows when there was no improvement: the training ends ("Stopping."), or "adaptive" goes on lower."""
        if settings.solver != "sgd" or settings.learning_rate != "adaptive":
            return STOPPING
        if self.learning_rate <= SMALLEST_RATE:
            return f"Learning rate too small. {STOPPING}"
        self.learning_rate /= ADAPTIVE_DIVISOR
        return f"Setting learning rate to {self.learning_rate:f}"


STOPPING = "Stopping."


def optimizer_of(settings: Settings, rate: float) -> Optimizer:
    """The optimizer of a stochastic solver."""
    if settings.solver == "adam":
        return Adam(rate, settings.beta_1, settings.beta_2, settings.epsilon, epsilon_uncorrected=True)
    if settings.momentum == 0.0:
        return SGD(rate)
    return (Nesterov if settings.nesterovs_momentum else Momentum)(rate, settings.momentum)
