"""Learning rates that change with the epochs: small frozen descriptions for `fit(schedule=...)`.

A schedule is called before each epoch as schedule(epoch, history), where epoch counts from 0 and history holds the
measurements of the `epoch` epochs before it, and returns a factor: the epoch's learning rate is factor times the
optimizer's. With a factor instead of a rate, one schedule suits every optimizer, whose rate remains the one number to
tune. `gradient_descent(schedule=...)` calls it before each step. Any function will do, such as
`lambda epoch, history: 0.9**epoch`. Schedules keep no state: one may serve several fits at once.

Examples
--------
>>> rate = fastnn.schedules.Warmup(2, then=fastnn.schedules.StepDecay(every=2, factor=0.5))
>>> [round(rate(epoch, fastnn.History()), 3) for epoch in range(6)]
[0.333, 0.667, 1.0, 1.0, 0.5, 0.5]
>>> net = fastnn.Network([fastnn.Affine(2, 2)], rng=0)
>>> history = net.fit(np.eye(2), [0, 1], epochs=6, optimizer=fastnn.SGD(lr=0.1), schedule=rate)
>>> np.round(history.learning_rate, 4)
array([0.0333, 0.0667, 0.1   , 0.1   , 0.05  , 0.05  ])
"""

import copy
import math
from dataclasses import dataclass

from fastnn.gate import arrays
from fastnn.gate.slips import answers_slips
from fastnn.network.history import History, improvements
from fastnn.network.requests import Schedule, check_schedule


@answers_slips
@dataclass(frozen=True)
class Constant:
    """The optimizer's learning rate in every epoch: factor 1.

    Examples
    --------
    >>> constant = fastnn.schedules.Constant()
    >>> [constant(epoch, fastnn.History()) for epoch in range(3)]
    [1.0, 1.0, 1.0]
    """

    def __call__(self, epoch: int, history: History) -> float:
        """The factor of this epoch."""
        return 1.0


@answers_slips
@dataclass(frozen=True)
class StepDecay:
    """The rate falls at once after every so many epochs: factor^floor(epoch / every) (He et al., 2016).

    Parameters
    ----------
    every : int
        Epochs at the same rate, at least 1.
    factor : float
        In (0, 1).

    Examples
    --------
    >>> halved = fastnn.schedules.StepDecay(every=2, factor=0.5)
    >>> [halved(epoch, fastnn.History()) for epoch in range(6)]
    [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
    """

    every: int
    factor: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "every", arrays.integer("every", self.every, minimum=1))
        object.__setattr__(self, "factor", arrays.real("factor", self.factor, above=0.0, below=1.0))

    def __call__(self, epoch: int, history: History) -> float:
        """The factor of this epoch."""
        return self.factor ** (epoch // self.every)


@answers_slips
@dataclass(frozen=True)
class ExponentialDecay:
    """The rate falls by the same fraction from epoch to epoch: exp(-rate epoch) (Senior et al., 2013).

    Parameters
    ----------
    rate : float
        At least 0; -log(0.95) takes 5 % off in each epoch.

    Examples
    --------
    >>> decay = fastnn.schedules.ExponentialDecay(rate=-np.log(0.95))
    >>> [round(decay(epoch, fastnn.History()), 4) for epoch in range(3)]
    [1.0, 0.95, 0.9025]
    """

    rate: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "rate", arrays.real("rate", self.rate, minimum=0.0))

    def __call__(self, epoch: int, history: History) -> float:
        """The factor of this epoch."""
        return math.exp(-self.rate * epoch)


@answers_slips
@dataclass(frozen=True)
class InverseTime:
    """The rate falls as one over time: 1 / (1 + decay epoch).

    The rates' sum grows without bound while the sum of their squares does not, the conditions under which stochastic
    approximation converges (Robbins and Monro, 1951).

    Parameters
    ----------
    decay : float
        At least 0; after 1 / decay epochs the rate is half the first.

    Examples
    --------
    >>> decay = fastnn.schedules.InverseTime(decay=0.25)
    >>> [decay(epoch, fastnn.History()) for epoch in (0, 4, 12)]
    [1.0, 0.5, 0.25]
    """

    decay: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "decay", arrays.real("decay", self.decay, minimum=0.0))

    def __call__(self, epoch: int, history: History) -> float:
        """The factor of this epoch."""
        return 1.0 / (1.0 + self.decay * epoch)


@answers_slips
@dataclass(frozen=True)
class Cosine:
    """Half a period of a cosine from 1 to `lowest`, and `lowest` from then on (Loshchilov and Hutter, 2017).

    lowest + (1 - lowest) (1 + cos(pi epoch / epochs)) / 2, without the restarts of the source.

    Parameters
    ----------
    epochs : int
        At least 1. In fit(epochs=epochs) the last epoch is one short of the lowest rate, which may be 0.
    lowest : float
        In [0, 1].

    Examples
    --------
    >>> cosine = fastnn.schedules.Cosine(epochs=4)
    >>> [round(cosine(epoch, fastnn.History()), 4) for epoch in range(6)]
    [1.0, 0.8536, 0.5, 0.1464, 0.0, 0.0]
    """

    epochs: int
    lowest: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "epochs", arrays.integer("epochs", self.epochs, minimum=1))
        object.__setattr__(self, "lowest", arrays.real("lowest", self.lowest, minimum=0.0, maximum=1.0))

    def __call__(self, epoch: int, history: History) -> float:
        """The factor of this epoch."""
        done = min(1.0, epoch / self.epochs)
        return self.lowest + (1.0 - self.lowest) * (1.0 + math.cos(math.pi * done)) / 2.0


@answers_slips
@dataclass(frozen=True)
class Warmup:
    """The rate rises in equal steps, and then follows another schedule (Goyal et al., 2017).

    In the first `epochs` epochs the factor is (epoch + 1) / (epochs + 1) times the first one of `then`. After them
    `then` decides, with epochs counted and a history recorded from the end of the warm-up on.

    Parameters
    ----------
    epochs : int
        At least 1.
    then : schedule
        Constant() if not given.

    Examples
    --------
    >>> warmup = fastnn.schedules.Warmup(3)
    >>> [warmup(epoch, fastnn.History()) for epoch in range(5)]
    [0.25, 0.5, 0.75, 1.0, 1.0]
    """

    epochs: int
    then: Schedule = Constant()

    def __post_init__(self) -> None:
        object.__setattr__(self, "epochs", arrays.integer("epochs", self.epochs, minimum=1))
        check_schedule("then", self.then)

    def __call__(self, epoch: int, history: History) -> float:
        """The factor of this epoch."""
        warming = max(0, self.epochs - (epoch - history.epochs))  # epochs of the history; fit may begin at a later one
        later = copy.copy(history)
        vars(later).update({name: values[warming:] for name, values in vars(history).items()})
        factor = self.then(max(0, epoch - self.epochs), later)
        return factor if epoch >= self.epochs else factor * (epoch + 1) / (self.epochs + 1)


@answers_slips
@dataclass(frozen=True)
class ReduceOnPlateau:
    """The rate falls whenever the loss has not: factor^k after k plateaus, computed anew from the history.

    The loss is history.validation_loss where there is one, else history.loss. It improves in an epoch where it is below
    the least loss so far by more than min_delta; a plateau is `patience` epochs in a row without that. (PyTorch's
    schedule of this name allows one epoch more.)

    Parameters
    ----------
    factor : float
        In (0, 1).
    patience : int
        At least 1.
    min_delta : float
        At least 0.

    Examples
    --------
    >>> plateaus = fastnn.schedules.ReduceOnPlateau(factor=0.1, patience=2)
    >>> plateaus(3, fastnn.History(loss=[0.9, 0.5, 0.4]))
    1.0
    >>> plateaus(5, fastnn.History(loss=[0.9, 0.5, 0.4, 0.4, 0.6]))  # two epochs without an improvement
    0.1
    """

    factor: float
    patience: int
    min_delta: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "factor", arrays.real("factor", self.factor, above=0.0, below=1.0))
        object.__setattr__(self, "patience", arrays.integer("patience", self.patience, minimum=1))
        object.__setattr__(self, "min_delta", arrays.real("min_delta", self.min_delta, minimum=0.0))

    def __call__(self, epoch: int, history: History) -> float:
        """The factor of this epoch."""
        plateaus, waited = 0, 0
        for improved in improvements(history.validation_loss or history.loss, self.min_delta):
            waited = 0 if improved else waited + 1
            if waited == self.patience:
                plateaus, waited = plateaus + 1, 0
        return self.factor**plateaus
