"""Hopfield's network: an associative memory that stores patterns and recalls them from parts."""

from typing import Any

import numpy as np

from fastnn.functional import layers as functional
from fastnn.gate import arrays, checks
from fastnn.gate.arrays import Array
from fastnn.gate.attributes import Answering
from fastnn.gate.slips import answers_slips
from fastnn.models.rules import hebbian_update


@answers_slips
class HopfieldNetwork(Answering):
    """Units of -1 and 1, each connected with all others, that settle in a stored pattern.

    Hebb's rule stores patterns: w[i, j] is the sum over the patterns of p[i] p[j] / size, and w[i, i] is 0. One unit
    after the other takes the sign of its field, the sum over j of w[i, j] s[j], and stays as it is where that is 0. No
    such change raises the energy E(s) = -1/2 s^T W s, so the network comes to rest, in a stored pattern if it began
    near one and not too many are stored: up to about 0.138 size random ones, for which a few units are then wrong.

    Parameters
    ----------
    size : int
        Number of units, at least 2.

    Notes
    -----
    A pattern and its negative have the same energy; both are stored. Sources: Hopfield, Proceedings of the National
    Academy of Sciences 79 (1982), 2554-2558; for the capacity, Amit, Gutfreund and Sompolinsky, Physical Review Letters
    55 (1985), 1530-1533. The fields are sums of whole numbers, so nothing is rounded.

    Examples
    --------
    >>> memory = fastnn.models.HopfieldNetwork(6).store([[1, 1, 1, -1, -1, -1], [1, -1, 1, -1, 1, -1]])
    >>> memory.recall([[-1, 1, 1, -1, -1, -1]])  # the first pattern with a wrong unit
    array([[ 1.,  1.,  1., -1., -1., -1.]])
    """

    def __init__(self, size: int) -> None:
        self._size = arrays.integer("size", size, minimum=2)
        self._sums = np.zeros((self._size, self._size))

    @property
    def size(self) -> int:
        """Number of units."""
        return self._size

    @property
    def weights(self) -> Array:
        """W, a new float64 array (size, size): symmetric, with zeros on its diagonal."""
        return self._sums / self._size

    @answers_slips
    def store(self, patterns: Any) -> "HopfieldNetwork":
        """Add patterns (P, size) of -1 and 1 to those that are stored; returns itself.

        Raises
        ------
        TypeError, ValueError
            For anything else, before anything is changed.

        Examples
        --------
        >>> fastnn.models.HopfieldNetwork(2).store([[1, -1]]).weights
        array([[ 0. , -0.5],
               [-0.5,  0. ]])
        """
        given = self._states("patterns", patterns)
        hebbian_update(self._sums, given, given, 1.0)
        np.fill_diagonal(self._sums, 0.0)
        return self

    @answers_slips
    def recall(self, x: Any, *, shuffle: bool = False, rng: int | np.random.Generator | None = None) -> Array:
        """The states in which the network comes to rest from states x (N, size) of -1 and 1; a new float64 array.

        Parameters
        ----------
        x : array (N, size)
        shuffle : bool
            Let the units change in a new random order in each round, the same one for all rows, instead of from the
            first to the last.
        rng : int or numpy Generator, optional
            For the order.

        Raises
        ------
        TypeError, ValueError
            If x is no such array.

        Examples
        --------
        >>> memory = fastnn.models.HopfieldNetwork(4).store([[1, 1, -1, -1]])
        >>> memory.recall([[1, 1, -1, 1], [-1, 1, 1, 1]])  # what is nearer to the negative ends there
        array([[ 1.,  1., -1., -1.],
               [-1., -1.,  1.,  1.]])
        """
        states = self._states("x", x).copy()
        shuffle, generator = arrays.flag("shuffle", shuffle), arrays.generator("rng", rng)
        fields, order, changes = self._fields(states), np.arange(self._size), True
        while changes:
            changes = False
            if shuffle:
                order = checks.permutation("rng", generator, self._size)
            for unit in order:
                wrong = np.flatnonzero(fields[:, unit] * states[:, unit] < 0.0)
                if wrong.size:
                    states[wrong, unit] *= -1.0
                    fields[wrong] += 2.0 * states[wrong, unit, None] * self._sums[unit]
                    changes = True
        return states

    @answers_slips
    def energy(self, x: Any) -> Array:
        """-1/2 s^T W s of each row s of x (N, size), states of -1 and 1: float64 (N,); raises as `recall`.

        Examples
        --------
        >>> memory = fastnn.models.HopfieldNetwork(4).store([[1, 1, -1, -1]])
        >>> memory.energy([[1, 1, -1, -1], [1, 1, 1, 1]])  # the pattern is a minimum
        array([-1.5,  0.5])
        """
        states = self._states("x", x)
        sums: Array = np.sum(states * self._fields(states), axis=1)
        return sums / (-2.0 * self._size)

    def _fields(self, states: Array) -> Array:
        """The sums over the other units, (N, size), before they are divided by size."""
        return functional.affine_forward(states, self._sums, np.zeros(self._size))

    def _states(self, name: str, value: Any) -> Array:
        given = arrays.floats(name, value, ("N", self._size), dtype="float64", rounding=True)
        remedy = f"from 0 and 1 pass 2 * {name} - 1, from others np.where({name} > limit, 1, -1)"
        arrays.check_values(name, given, np.abs(given) == 1.0, "values -1 and 1", remedy)
        return given

    def __repr__(self) -> str:
        return f"HopfieldNetwork(size={self._size})"
