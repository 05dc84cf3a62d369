"""find_learning_rate: a few steps at rates from the lowest to the highest, to see where the loss falls fastest."""

import copy
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastnn.engine.interpreters.jobs import DONE
from fastnn.gate import arrays, checks
from fastnn.gate.arrays import Array
from fastnn.gate.slips import answers_slips
from fastnn.network.network import Network
from fastnn.network.requests import last_optimizer, rows_of_batch
from fastnn.optimizers import Optimizer, check_optimizer

SMOOTHING = 0.9  # of the running mean of the losses
FAR = 4.0  # times the least loss: the search has diverged
NOISE = 0.25  # of a fall: as much may be the first batches', whose running mean is one of few losses


@dataclass(frozen=True, eq=False)
class LearningRateSearch:
    """The result of `find_learning_rate`.

    Attributes
    ----------
    rates : array (M,)
        The learning rates that were tried, each a constant factor above the one before.
    losses : array (M,)
        The mean loss of each step's batch, before its update.
    smoothed : array (M,)
        Their running mean, in which each step weighs 0.9 times as much as the next one.
    suggestion : float or None
        The rate at which the running mean falls most steeply over the logarithm of the rate, up to its least value and
        after a quarter of its fall, as the first batches are noisy; None where it does not fall.

    Examples
    --------
    >>> (x, t), _ = fastnn.datasets.load_digits()
    >>> net = fastnn.Network([fastnn.Affine(64, 32), fastnn.Relu(), fastnn.Affine(32, 10)], rng=0)
    >>> search = fastnn.find_learning_rate(net, x, t, steps=50, rng=0)
    >>> len(search.rates) == len(search.losses) == len(search.smoothed) <= 50
    True
    """

    rates: Array
    losses: Array
    smoothed: Array
    suggestion: float | None

    def plot(self, ax: Any = None) -> Any:
        """Draw the losses over the rates, see `fastnn.plots.learning_rate_search`; needs matplotlib.

        Examples
        --------
        >>> (x, t), _ = fastnn.datasets.load_digits()
        >>> net = fastnn.Network([fastnn.Affine(64, 32), fastnn.Relu(), fastnn.Affine(32, 10)], rng=0)
        >>> ax = fastnn.find_learning_rate(net, x, t, steps=50, rng=0).plot()
        >>> ax.figure.savefig("rates.png")
        """
        from fastnn.plots.networks import learning_rate_search

        return learning_rate_search(self, ax=ax)

    def __repr__(self) -> str:
        return f"<LearningRateSearch of {self}>"

    def __str__(self) -> str:
        tried = f"{len(self.rates)} rates from {self.rates[0]:.3g} to {self.rates[-1]:.3g}"
        if self.suggestion is None:
            return f"{tried}: the loss does not fall"
        return f"{tried}: the loss falls most steeply at {self.suggestion:.3g}"


# Eleven parameters: all but the data are options with defaults.
@answers_slips
def find_learning_rate(
    network: Network,
    x: Any,
    t: Any,
    *,
    optimizer: Optimizer | None = None,
    lowest: float = 1e-6,
    highest: float = 10.0,
    steps: int = 100,
    batch_size: int | None = 100,
    rng: int | np.random.Generator | None = None,
    check_finite: bool = True,
) -> LearningRateSearch:
    """Train a copy of a network, at a higher rate in each step, and watch its loss; the network itself stays as it is.

    The rates rise by a constant factor. The search ends early where the running mean of the losses is four times its
    least value, or a loss is not finite. Source: Smith, Cyclical Learning Rates for Training Neural Networks (2017),
    section 3.3.

    Parameters
    ----------
    network : Network
    x : array (N, D)
    t : array (N,) or (N, K)
    optimizer : Optimizer, optional
        As for `Network.fit`; its learning rate does not matter.
    lowest : float
        The first rate, above 0.
    highest : float
        The last rate, above `lowest`.
    steps : int
        At least 2. Batches are drawn anew whenever all samples have been taken.
    batch_size : int or None
        As for `Network.fit`.
    rng : int or numpy Generator, optional
        For the order of the samples.
    check_finite : bool
        Refuse NaN and infinity in the data.

    Returns
    -------
    LearningRateSearch
        Its `suggestion` is a good start, its `plot` a picture.

    Raises
    ------
    TypeError, ValueError
        For bad arguments.

    Examples
    --------
    >>> (x, t), _ = fastnn.datasets.load_digits()
    >>> net = fastnn.Network([fastnn.Affine(64, 32), fastnn.Relu(), fastnn.Affine(32, 10)], rng=0)
    >>> search = fastnn.find_learning_rate(net, x, t, rng=0)
    >>> 0.001 < search.suggestion < 10
    True
    >>> history = net.fit(x, t, epochs=1, optimizer=fastnn.SGD(lr=search.suggestion))
    """
    if not isinstance(network, Network):
        raise TypeError(f"network: expected a fastnn.Network, got {checks.shown(network)}; pass the one to train")
    optimizer = last_optimizer(network) if optimizer is None else check_optimizer(optimizer)
    lowest = arrays.real("lowest", lowest, above=0.0)
    highest = arrays.real("highest", highest, above=lowest)
    steps = arrays.integer("steps", steps, minimum=2)
    generator, engine = arrays.generator("rng", rng), copy.copy(network).engine
    data = engine.prepare(x, t, check_finite)
    rows = len(data[0])
    size = rows_of_batch(network, rows, batch_size)
    rates, losses = np.geomspace(lowest, highest, steps), np.empty(steps)
    smoothed, mean, least, done = np.empty(steps), 0.0, math.inf, 0
    order, batch = np.arange(rows, dtype=np.intp), rows
    for i, rate in enumerate(rates):
        if batch + size > rows:  # whole batches alone: their losses compare
            order[:], batch = checks.permutation("rng", generator, rows), 0
        samples, loss, _, outcome = engine.run_batches(
            (*data, order[batch : batch + size]), replace(optimizer, lr=float(rate)), (0, 1, size)
        )
        if outcome != DONE or not math.isfinite(loss):
            break
        losses[i], batch, done = loss / samples, batch + size, i + 1
        mean = SMOOTHING * mean + (1.0 - SMOOTHING) * losses[i]
        smoothed[i] = mean / (1.0 - SMOOTHING ** (i + 1))
        least = min(least, smoothed[i])
        if smoothed[i] > FAR * least:
            break
    tried = rates[:done], losses[:done], smoothed[:done]
    return LearningRateSearch(*tried, _steepest(tried[0], tried[2]))


def _steepest(rates: Array, smoothed: Array) -> float | None:
    """The rate at which the loss falls most steeply before its least value, and after the noise."""
    falling = int(smoothed.argmin()) + 1 if len(smoothed) else 0
    if falling < 2:
        return None
    slopes = np.gradient(smoothed[:falling], np.log(rates[:falling]))
    top, least = smoothed[:falling].max(), smoothed[falling - 1]
    begin = int(np.flatnonzero(smoothed[:falling] >= top - NOISE * (top - least))[-1])
    return float(rates[begin + int(slopes[begin:].argmin())])
