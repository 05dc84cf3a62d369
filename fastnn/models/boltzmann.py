"""The restricted Boltzmann machine: units that learn the distribution of data without labels."""

from typing import Any

import numpy as np

from fastnn.errors import TrainingDivergedError
from fastnn.functional import layers as functional
from fastnn.functional import updates as functional_updates
from fastnn.gate import arrays, checks
from fastnn.gate.arrays import Array
from fastnn.gate.attributes import Answering
from fastnn.gate.slips import answers_slips

DEVIATION = 0.01  # of the first weights, as in Hinton's guide


@answers_slips
class RestrictedBoltzmannMachine(Answering):
    """Visible and hidden units of 0 and 1, each connected with all of the other kind; it learns without labels.

    The energy is E(v, h) = -v W h - c v - b h, with weights W (D, H), the visible units' bias c and the hidden ones' b;
    a state's probability is proportional to exp(-E). Given the ones, the others are independent: P(h = 1 | v) =
    sigmoid(v W + b) and P(v = 1 | h) = sigmoid(h W^T + c). Data from 0 to 1 are taken as such probabilities.

    Parameters
    ----------
    visible : int
        D, the number of values of a sample.
    hidden : int
        H.
    rng : int or numpy Generator, optional
        Draws the first weights, and in `fit` the samples' order and the hidden units' states.
    dtype : "float32" or "float64"

    Notes
    -----
    Sources: Smolensky, in Parallel Distributed Processing, volume 1 (1986), chapter 6; Hinton, Neural Computation 14
    (2002), 1771-1800, for contrastive divergence; Hinton and Salakhutdinov, Science 313 (2006), 504-507, for real
    values. Results have the same bits on any number of threads.

    Examples
    --------
    >>> x = np.repeat([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]], 50, axis=0)
    >>> machine = fastnn.models.RestrictedBoltzmannMachine(4, 2, rng=0)
    >>> errors = machine.fit(x, epochs=200)
    >>> errors[-1] < 0.01 < 0.2 < errors[0]
    True
    >>> machine.reconstruct([[1.0, 0.8, 0.0, 0.1]]).round()  # what it has learned from is near
    array([[1., 1., 0., 0.]], dtype=float32)
    """

    def __init__(
        self, visible: int, hidden: int, *, rng: int | np.random.Generator | None = None, dtype: Any = "float32"
    ) -> None:
        shape = arrays.integer("visible", visible, minimum=1), arrays.integer("hidden", hidden, minimum=1)
        self._generator, kind = arrays.generator("rng", rng), arrays.float_dtype("dtype", dtype)
        self._weights = (DEVIATION * self._generator.standard_normal(shape)).astype(kind)
        self._hidden_bias, self._visible_bias = np.zeros(shape[1], kind), np.zeros(shape[0], kind)

    @property
    def weights(self) -> Array:
        """W (D, H), which may be written to."""
        return self._weights

    @property
    def hidden_bias(self) -> Array:
        """b (H,), which may be written to."""
        return self._hidden_bias

    @property
    def visible_bias(self) -> Array:
        """c (D,), which may be written to."""
        return self._visible_bias

    @answers_slips
    def fit(
        self, x: Any, *, epochs: int = 10, batch_size: int = 10, lr: float = 0.1, momentum: float = 0.5, k: int = 1
    ) -> list[float]:
        """Train by contrastive divergence, CD-k; return the mean squared error of the reconstructions in each epoch.

        For each batch, hidden states are drawn, the visible units take their probabilities, and so on k times. W grows
        by lr (v0^T p0 - vk^T pk) / N, where p are the hidden units' probabilities; the biases grow likewise, and
        momentum times the last change is added. Another call goes on where the last one ended.

        Parameters
        ----------
        x : array (N, D)
            Values from 0 to 1.
        epochs : int
            Passes over the data, each in a new random order.
        batch_size : int
        lr : float
            Learning rate, at least 0.
        momentum : float
            In [0, 1).
        k : int
            Steps of the chain from each sample, at least 1. More follow the likelihood's gradient more closely.

        Returns
        -------
        list of float
            One for each epoch: the mean of (x - vk)^2 over samples and units. It should fall, but is not what is
            minimized.

        Raises
        ------
        TypeError, ValueError
            For bad arguments, before anything is changed.
        TrainingDivergedError
            If a weight is no longer finite; those before the epoch are kept.

        Examples
        --------
        >>> (x, _), _ = fastnn.datasets.load_digits()
        >>> errors = fastnn.models.RestrictedBoltzmannMachine(64, 30, rng=0).fit(x, epochs=3)
        >>> len(errors), errors[2] < errors[1] < errors[0]
        (3, True)
        """
        samples = self._samples(x)
        epochs, k = arrays.integer("epochs", epochs, minimum=0), arrays.integer("k", k, minimum=1)
        size = min(arrays.integer("batch_size", batch_size, minimum=1), len(samples))
        lr = arrays.real("lr", lr, minimum=0.0)
        momentum = arrays.real("momentum", momentum, minimum=0.0, below=1.0)
        velocity, errors = [np.zeros_like(one) for one in self._params()], list[float]()
        for _ in range(epochs):
            before = [one.copy() for one in self._params()]
            order, error = checks.permutation("rng", self._generator, len(samples)), 0.0
            for first in range(0, len(samples), size):
                batch = samples[order[first : first + size]]
                gradients, reconstructed = self._gradients(batch, k)
                error += float(np.sum((batch - reconstructed) ** 2, dtype=np.float64))
                functional_updates.momentum_update(self._params(), gradients, velocity, lr / len(batch), momentum)
            if not all(np.isfinite(one).all() for one in self._params()):
                for now, kept in zip(self._params(), before, strict=True):
                    now[...] = kept
                raise TrainingDivergedError("weights: expected finite numbers, got NaN or infinity; lower lr")
            errors.append(error / samples.size)
        return errors

    @answers_slips
    def transform(self, x: Any) -> Array:
        """P(h = 1 | v), the hidden units' probabilities (N, H) for x (N, D), values from 0 to 1.

        Raises
        ------
        TypeError, ValueError
            If x is no such array.

        Examples
        --------
        >>> machine = fastnn.models.RestrictedBoltzmannMachine(2, 1)
        >>> machine.weights[...] = [[2.0], [-2.0]]
        >>> machine.transform([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]).round(3)
        array([[0.5  ],
               [0.881],
               [0.119]], dtype=float32)
        """
        return self._up(self._samples(x))

    @answers_slips
    def reconstruct(self, x: Any) -> Array:
        """The visible units' probabilities (N, D), given those of the hidden ones for x; raises as `transform`.

        Examples
        --------
        >>> machine = fastnn.models.RestrictedBoltzmannMachine(2, 1)
        >>> machine.weights[...] = [[9.0], [9.0]]
        >>> machine.reconstruct([[1.0, 1.0], [1.0, 0.0]]).round(2)
        array([[1., 1.],
               [1., 1.]], dtype=float32)
        """
        return self._down(self.transform(x))

    @answers_slips
    def free_energy(self, x: Any) -> Array:
        """F(v) = -c v - the sum of log(1 + exp(v W + b)) for x (N, D): (N,); raises as `transform`.

        exp(-F(v)) is proportional to P(v), for v of 0 and 1. A machine that has learned x by heart gives it a lower
        free energy than other samples of its kind.

        Examples
        --------
        >>> machine = fastnn.models.RestrictedBoltzmannMachine(2, 3, dtype="float64")
        >>> machine.weights[...] = 0.0
        >>> machine.free_energy([[1.0, 0.0]]).round(4)  # -3 log 2
        array([-2.0794])
        """
        samples = self._samples(x)
        fields = functional.affine_forward(samples, self._weights, self._hidden_bias)
        at_bias = functional.affine_forward(samples, self._visible_bias[:, None], np.zeros(1, samples.dtype))[:, 0]
        hidden: Array = functional.activation_forward("softplus", fields, out=fields).sum(axis=1)
        return -at_bias - hidden

    def _params(self) -> list[Array]:
        return [self._weights, self._hidden_bias, self._visible_bias]

    def _samples(self, x: Any) -> Array:
        given = arrays.floats("x", x, ("N", len(self._weights)), dtype=self._weights.dtype, rounding=True)
        remedy = "scale them, as by (x - x.min()) / (x.max() - x.min())"
        arrays.check_values("x", given, (given >= 0.0) & (given <= 1.0), "values from 0 to 1", remedy)
        return given

    def _up(self, visible: Array) -> Array:
        fields = functional.affine_forward(visible, self._weights, self._hidden_bias)
        return functional.activation_forward("sigmoid", fields, out=fields)

    def _down(self, hidden: Array) -> Array:
        fields = functional.affine_forward(hidden, np.ascontiguousarray(self._weights.T), self._visible_bias)
        return functional.activation_forward("sigmoid", fields, out=fields)

    def _gradients(self, batch: Array, k: int) -> tuple[list[Array], Array]:
        """The sums over the batch that CD-k descends, by W, b and c, and the visible units at the chain's end."""
        at_first = at_last = self._up(batch)
        for _ in range(k):
            drawn = self._generator.random(at_last.shape, at_last.dtype)
            visible = self._down((drawn < at_last).astype(at_last.dtype))
            at_last = self._up(visible)
        # One product for both: vk^T pk - v0^T p0.
        pairs, signed = np.concatenate((visible, batch)), np.concatenate((at_last, -at_first))
        _, by_weights, by_hidden = functional.affine_backward(signed, pairs, self._weights, need_dx=False)
        return [by_weights, by_hidden, np.sum(visible - batch, axis=0)], visible

    def __repr__(self) -> str:
        visible, hidden = self._weights.shape
        return f"RestrictedBoltzmannMachine({visible}, {hidden})"
