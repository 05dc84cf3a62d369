"""Searches for the best network: by several starts, or by random changes of the parameters."""

import copy
import math
from collections.abc import Iterable
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from fastnn.errors import TrainingDivergedError
from fastnn.gate import arrays
from fastnn.gate.arrays import Array
from fastnn.gate.slips import answers_slips
from fastnn.network.factories import Factory, NetworkFactory, check_fit_options, check_parallel, in_order
from fastnn.network.network import Network

_Trained: TypeAlias = tuple[int, Network, float]


class Search(NamedTuple):
    """The best network that `random_restarts` or `simulated_annealing` found, and the losses on the way.

    Attributes
    ----------
    network : Network
    losses : array of float64
        The loss of each run, infinite where it diverged; or the loss before the first step of annealing and after each.
        The network's own is the lowest, `loss`.

    Examples
    --------
    >>> def network(rng):
    ...     return fastnn.Network([fastnn.Affine(2, 2)], rng=rng)
    >>> x, t = np.array([[-1.0, 0.0], [1.0, 0.0]]), np.array([0, 1])
    >>> search = fastnn.random_restarts(network, x, t, n=3, rng=0, epochs=100)
    >>> len(search.losses), search.network.accuracy(x, t)
    (3, 1.0)
    """

    network: Network
    losses: Array

    @property
    def loss(self) -> float:
        """The loss of the network, the lowest of all."""
        return float(self.losses.min())

    def __str__(self) -> str:
        return f"lowest loss {self.loss:.4g} at {self.losses.argmin() + 1} of {len(self.losses)}"


def random_restarts(
    network_factory: NetworkFactory,
    x: Any,
    t: Any,
    n: int = 10,
    *,
    rng: int | np.random.Generator | None = None,
    target_loss: float | None = None,
    parallel: Any = None,
    **fit_options: Any,
) -> Search:
    """Train up to n new networks, each from other initial weights, and keep the one with the lowest loss.

    Gradient descent ends in a local minimum; from several starts it finds several.

    Parameters
    ----------
    network_factory : function
        As for `fastnn.cross_validate`.
    x : array (N, D)
    t : array (N,) or (N, K)
    n : int
        At least 1.
    rng : int, numpy.random.Generator or None
        Each run has a generator of its own, `rng.spawn(1)[0]`, for `network_factory` and then for `fit`.
    target_loss : float, optional
        Once a run ends with at most this loss, no other begins; with `parallel` all run, and later ones do not count.
    parallel : joblib.Parallel, optional
        As for `fastnn.cross_validate`.
    **fit_options
        Options of `Network.fit`; not rng and progress. Runs are compared by their loss after the training: on
        validation_data if given, else `network.loss(x, t)`, unweighted in both cases.

    Returns
    -------
    Search
        (network, losses of the runs); a run that diverged has an infinite loss.

    Raises
    ------
    TypeError, ValueError
        For bad arguments, and as `fastnn.cross_validate` for the networks.
    TrainingDivergedError
        When every run diverges.

    Examples
    --------
    >>> def network(rng):
    ...     return fastnn.Network([fastnn.Affine(2, 4), fastnn.Tanh(), fastnn.Affine(4, 2)], rng=rng)
    >>> x, t = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32), np.array([0, 1, 1, 0])
    >>> best, losses = fastnn.random_restarts(network, x, t, n=3, rng=0, epochs=100)
    >>> len(losses), bool(np.isclose(best.loss(x, t), min(losses)))
    (3, True)
    """
    options = check_fit_options(random_restarts, fit_options)
    count = arrays.integer("n", n, minimum=1)
    target = -math.inf if target_loss is None else arrays.real("target_loss", target_loss)
    generator, new_network = arrays.generator("rng", rng), Factory(network_factory)
    best: Network | None = None
    losses: list[float] = []
    children = (generator.spawn(1)[0] for _ in range(count))
    runs: Any = (
        (_trained, (i, new_network(child), x, t, {**options, "rng": child, "progress": False}), {})
        for i, child in enumerate(children)
    )
    if check_parallel(parallel, None) is None:
        trained: Iterable[_Trained] = (run(*given) for run, given, _ in runs)
    else:
        trained = in_order(parallel, runs)
    for _, network, loss in trained:
        if loss < min(losses, default=math.inf):
            best = network
        losses.append(loss)
        if loss <= target:
            break
    if best is None:
        expected = f"loss: expected a finite number from one of {count} runs, got none"
        raise TrainingDivergedError(f"{expected}: lower the learning rate or scale the data")
    return Search(best, np.array(losses))


def _trained(number: int, network: Network, x: Any, t: Any, options: dict[str, Any]) -> _Trained:
    """The number of a run, the network, and the loss that counts: infinite where the training diverges."""
    try:
        network.fit(x, t, **options)
    except TrainingDivergedError:
        return number, network, math.inf
    check_finite, validation = options.get("check_finite", True), options.get("validation_data")
    if validation is None:
        loss = network.loss(x, t, check_finite=check_finite)
    else:
        loss, _ = network.engine.measure_on(*network.engine.prepare(validation[0], validation[1], check_finite))
    return number, network, loss if math.isfinite(loss) else math.inf


@answers_slips
def simulated_annealing(
    network_factory: Network | NetworkFactory,
    x: Any,
    t: Any,
    *,
    steps: int = 10_000,
    temperature: float = 0.01,
    cooling: float = 0.9995,
    scale: float = 0.1,
    rng: int | np.random.Generator | None = None,
) -> Search:
    """Change all parameters at random; keep changes that lower the loss and, at times, others.

    Step k = 0, 1, ... adds normal noise of deviation `scale` to every parameter. With d the change of the mean loss on
    all samples, the change is kept if d <= 0, otherwise with probability exp(-d / T), T = temperature cooling^k. This
    needs no gradient, but with more than a few dozen parameters far more steps than training by gradients. Source:
    Kirkpatrick, Gelatt and Vecchi, Optimization by simulated annealing, Science 220 (1983).

    Parameters
    ----------
    network_factory : function or Network
        Where to begin: a function as for `fastnn.cross_validate`, or a network, which is left as it is.
    x : array (N, D)
    t : array (N,) or (N, K)
    steps : int
        At least 0.
    temperature : float
        The temperature of the first step, above 0, in units of the loss.
    cooling : float
        Above 0 and at most 1.
    scale : float
        Standard deviation of the noise, above 0.
    rng : int, numpy.random.Generator or None
        For the function's network, the noise and the decisions.

    Returns
    -------
    Search
        (network with the best parameters found, the steps + 1 losses of the parameters kept).

    Raises
    ------
    TypeError, ValueError
        For bad arguments.
    TrainingDivergedError
        When the first loss is not finite.

    Examples
    --------
    >>> def network(rng):
    ...     return fastnn.Network([fastnn.Affine(2, 2), fastnn.Tanh(), fastnn.Affine(2, 2)], rng=rng)
    >>> x, t = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32), np.array([0, 1, 1, 0])
    >>> best, losses = fastnn.simulated_annealing(network, x, t, steps=2000, rng=0)
    >>> len(losses), bool(best.loss(x, t) < losses[0])
    (2001, True)
    """
    count = arrays.integer("steps", steps, minimum=0)
    first = arrays.real("temperature", temperature, above=0.0)
    factor = arrays.real("cooling", cooling, above=0.0, maximum=1.0)
    deviation = arrays.real("scale", scale, above=0.0)
    generator = arrays.generator("rng", rng)
    if isinstance(network_factory, Network):
        found = copy.deepcopy(network_factory)
    else:
        found = Factory(network_factory)(generator)
    losses = np.empty(count + 1)
    losses[0] = found.loss(x, t)
    if not math.isfinite(losses[0]):
        came = f"loss: expected a finite number to begin with, got {losses[0]}"
        raise TrainingDivergedError(f"{came}; initialize() the network or scale the data")
    params = found.params
    kept = {name: values.copy() for name, values in params.items()}
    best, lowest = kept, losses[0]
    for k in range(count):
        for name, values in kept.items():
            params[name][...] = values + deviation * generator.standard_normal(values.shape)
        loss = found.loss(x, t, check_finite=False)
        if _is_accepted(loss - losses[k], first * factor**k, generator):
            kept, losses[k + 1] = {name: values.copy() for name, values in params.items()}, loss
            if loss < lowest:
                best, lowest = kept, loss
        else:
            losses[k + 1] = losses[k]
    for name, values in best.items():
        params[name] = values
    return Search(found, losses)


def _is_accepted(change: float, temperature: float, generator: np.random.Generator) -> bool:
    """Metropolis's rule; a loss that is not finite is never accepted. Source: Metropolis and others (1953)."""
    if change <= 0.0 or temperature == 0.0:  # the latter once cooling has left no number above 0
        return change <= 0.0
    return bool(generator.random() < math.exp(-change / temperature))
