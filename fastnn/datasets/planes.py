"""Two classes of points in a plane, drawn at random: discs and rings, quadrants, spirals, clouds."""

import math

import numpy as np

from fastnn.datasets.splits import Part
from fastnn.gate import arrays
from fastnn.gate.arrays import Array
from fastnn.gate.slips import answers_slips

MOST_POINTS = 2**24
DISC, RING = 0.5, (0.7, 1.0)  # radii
GAP = 0.05  # between the axes and the points of the quadrants
TURNS = 1.75
CENTER = 0.5  # both coordinates of a cloud's


@answers_slips
def make_circles(n: int = 200, noise: float = 0.0, rng: int | np.random.Generator | None = None) -> Part:
    """A disc of class 1 in a ring of class 0: x = r (cos a, sin a) + noise e, with uniform a and standard normal e.

    r is uniform in [0, 0.5] in the disc and in [0.7, 1] in the ring.

    Parameters
    ----------
    n : int
        The number of points; half of each class, and one more of class 0 if it is odd.
    noise : float
        Standard deviation of what is added to both coordinates, at least 0.
    rng : int, numpy.random.Generator or None
        The same integer gives the same points.

    Returns
    -------
    x, t
        x: float32 (n, 2); t: int64 labels (n,), 0 or 1. The points are in random order.

    Raises
    ------
    TypeError, ValueError
        An argument is of another type or out of range.

    Examples
    --------
    >>> x, t = fastnn.datasets.make_circles(100, rng=0)
    >>> x.shape, x.dtype, np.bincount(t)
    ((100, 2), dtype('float32'), array([50, 50]))
    >>> bool(np.all((np.hypot(x[:, 0], x[:, 1]) < 0.6) == t))
    True
    """
    generator, t = _begin(n, rng)
    low, high = np.where(t == 1, 0.0, RING[0]), np.where(t == 1, DISC, RING[1])
    radius = low + (high - low) * generator.random(len(t))
    return _points(radius, 2.0 * math.pi * generator.random(len(t)), t, noise, generator)


@answers_slips
def make_xor(n: int = 200, noise: float = 0.0, rng: int | np.random.Generator | None = None) -> Part:
    """Four quadrants: t = 1 where one coordinate alone is above 0. No straight line separates the classes.

    Each coordinate is s (0.05 + 0.95 u) + noise e, with uniform u in [0, 1], a random sign s and standard normal e; the
    labels are those of the signs. Source: Minsky and Papert, Perceptrons (1969).

    Parameters
    ----------
    n : int
        The number of points; half of each class, and one more of class 0 if it is odd.
    noise : float
        Standard deviation of what is added to both coordinates, at least 0.
    rng : int, numpy.random.Generator or None
        The same integer gives the same points.

    Returns
    -------
    x, t
        As for `make_circles`.

    Examples
    --------
    >>> x, t = fastnn.datasets.make_xor(100, rng=0)
    >>> np.bincount(t), bool(np.all(((x[:, 0] > 0) ^ (x[:, 1] > 0)) == t))
    (array([50, 50]), True)
    """
    generator, t = _begin(n, rng)
    first = generator.integers(0, 2, len(t))
    signs = 2 * np.stack([first, first ^ t], axis=1) - 1
    x = signs * (GAP + (1.0 - GAP) * generator.random((len(t), 2)))
    return _noisy(x, noise, generator), t


@answers_slips
def make_spiral(n: int = 200, noise: float = 0.0, rng: int | np.random.Generator | None = None) -> Part:
    """Two spirals, one for each class: x = r (cos a, sin a) + noise e, with a = 3.5 pi r + pi t, standard normal e.

    r is uniform in [0, 1], so that a spiral makes 1.75 turns. Source: Lang and Witbrock, Learning to tell two spirals
    apart, Proceedings of the 1988 Connectionist Models Summer School.

    Parameters
    ----------
    n : int
        The number of points; half of each class, and one more of class 0 if it is odd.
    noise : float
        Standard deviation of what is added to both coordinates, at least 0.
    rng : int, numpy.random.Generator or None
        The same integer gives the same points.

    Returns
    -------
    x, t
        As for `make_circles`.

    Examples
    --------
    >>> x, t = fastnn.datasets.make_spiral(100, rng=0)
    >>> np.bincount(t), float(np.hypot(x[:, 0], x[:, 1]).max()) <= 1.0
    (array([50, 50]), True)
    """
    generator, t = _begin(n, rng)
    radius = generator.random(len(t))
    return _points(radius, 2.0 * math.pi * TURNS * radius + math.pi * t, t, noise, generator)


@answers_slips
def make_gaussians(n: int = 200, noise: float = 0.2, rng: int | np.random.Generator | None = None) -> Part:
    """Two round clouds: x = c + noise e, with standard normal e; c is (-0.5, -0.5) for class 0, (0.5, 0.5) for class 1.

    The best border is x1 + x2 = 0; it errs on the share Phi(-sqrt(1/2) / noise), Phi the normal distribution function.

    Parameters
    ----------
    n : int
        The number of points; half of each class, and one more of class 0 if it is odd.
    noise : float
        Standard deviation of both coordinates, at least 0.
    rng : int, numpy.random.Generator or None
        The same integer gives the same points.

    Returns
    -------
    x, t
        As for `make_circles`.

    Examples
    --------
    >>> x, t = fastnn.datasets.make_gaussians(1000, noise=0.1, rng=0)
    >>> x[t == 1].mean(axis=0).round(1), x[t == 0].std(axis=0).round(1)
    (array([0.5, 0.5], dtype=float32), array([0.1, 0.1], dtype=float32))
    """
    generator, t = _begin(n, rng)
    center = CENTER * (2 * t - 1)
    return _noisy(np.stack([center, center], axis=1), noise, generator), t


def _begin(n: int, rng: int | np.random.Generator | None) -> tuple[np.random.Generator, Array]:
    """The generator, and the labels in random order."""
    generator = arrays.generator("rng", rng)
    labels = np.arange(arrays.integer("n", n, minimum=1, maximum=MOST_POINTS), dtype=np.int64) % 2
    generator.shuffle(labels)
    return generator, labels


def _points(radius: Array, angle: Array, t: Array, noise: float, generator: np.random.Generator) -> Part:
    """Points at polar coordinates."""
    return _noisy(np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1), noise, generator), t


def _noisy(x: Array, noise: float, generator: np.random.Generator) -> Array:
    deviation = arrays.real("noise", noise, minimum=0.0, maximum=float(np.finfo(np.float32).max) / 16)
    noisy: Array = (x + deviation * generator.standard_normal(x.shape)).astype(np.float32)
    return noisy
