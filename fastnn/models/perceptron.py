"""Rosenblatt's perceptron: one threshold neuron that learns from its mistakes."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn.engine.interpreters import rules
from fastnn.errors import TrainingDivergedError
from fastnn.gate import arrays, checks
from fastnn.gate.arrays import Array, LabelArray
from fastnn.gate.attributes import Answering
from fastnn.gate.slips import answers_slips
from fastnn.kernels.matmul import scratch_size
from fastnn.models.neuron import fires
from fastnn.operations.losses.base import signs as signs_of

# A compiled call cannot be interrupted: this takes about 0.05 s. A sample costs as much as 100 inputs more.
INPUTS_PER_CALL = 20_000_000
INPUTS_PER_SAMPLE = 100


@dataclass(frozen=True)
class PerceptronHistory:
    """The result of `Perceptron.fit`.

    Attributes
    ----------
    mistakes : list of int
        For each epoch, how many samples were wrong when their turn came.
    best_mistakes : int
        How many of all samples the kept weights get wrong.
    samples : int
        N.

    Examples
    --------
    >>> x, t = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])  # no line separates XOR
    >>> history = fastnn.models.Perceptron().fit(x, t, epochs=10)
    >>> history.converged, history.epochs, history.samples
    (False, 10, 4)
    >>> history.best_mistakes > 0
    True
    """

    mistakes: list[int]
    best_mistakes: int
    samples: int

    @property
    def epochs(self) -> int:
        """Number of epochs."""
        return len(self.mistakes)

    @property
    def converged(self) -> bool:
        """Whether there was an epoch without a mistake, which is then the last."""
        return self.mistakes[-1:] == [0]

    def __repr__(self) -> str:
        return f"<PerceptronHistory: {self}>"

    def __str__(self) -> str:
        outcome = "converged" if self.converged else "not converged"
        right = f"{self.samples - self.best_mistakes:,} of {self.samples:,} samples right"
        kept = "" if self.converged else " with the best weights"
        return f"{self.epochs:,} epoch{'s' * (self.epochs != 1)}: {outcome}, {right}{kept}"


@answers_slips
class Perceptron(Answering):
    """Two classes separated by a plane: y = 1 where x w + b > 0, else 0, learned sample by sample.

    The rule is w += lr (t - y) x and b += lr (t - y), so only samples that are wrong change anything. Where a plane
    separates the classes, the rule finds one after finitely many mistakes (Novikoff, Symposium on the Mathematical
    Theory of Automata (1962), 615-622); where none does, the weights never converge.

    Parameters
    ----------
    lr : float
        Learning rate, above 0. Where the weights begin at 0 it only scales them. With 1, sums of whole numbers are
        exact; with 0.1 they are rounded, which decides the class of a sample on the boundary itself.
    signs : bool
        The labels are -1 and 1 instead of 0 and 1, in `fit` as in `predict`: y = sign(x w + b), -1 on the boundary. A
        sample that is wrong then changes w by lr t x, and b by lr t, to the same weights.
    init : float
        The weights and the bias begin as normal random numbers of this deviation, drawn anew in each `fit`; 0 begins
        at 0.

    Notes
    -----
    Sources: Rosenblatt, Psychological Review 65 (1958), 386-408; for keeping the best weights, Gallant, IEEE
    Transactions on Neural Networks 1 (1990), 179-191, whose pocket algorithm counts mistakes whenever the weights have
    been right often enough in a row. Here they are counted after each epoch.

    Examples
    --------
    >>> x, t = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 0, 0, 1])
    >>> perceptron = fastnn.models.Perceptron()
    >>> history = perceptron.fit(x, t)
    >>> history.mistakes  # by epoch; the last one makes none
    [1, 3, 3, 2, 1, 0]
    >>> perceptron.weights, perceptron.bias
    (array([2., 1.]), -2.0)
    """

    def __init__(self, lr: float = 1.0, *, signs: bool = False, init: float = 0.0) -> None:
        self.lr = arrays.real("lr", lr, above=0.0)
        self.signs, self.init = arrays.flag("signs", signs), arrays.real("init", init, minimum=0.0)
        self._best: tuple[Array, float] | None = None

    @answers_slips
    def fit(
        self, x: Any, t: Any, *, epochs: int = 100, shuffle: bool = False, rng: int | np.random.Generator | None = None
    ) -> PerceptronHistory:
        """Train until an epoch makes no mistake, and keep the weights with the fewest on all samples.

        The weights compared are those at the beginning and at the end of each epoch; of equals the first are kept.

        Parameters
        ----------
        x : array (N, D)
        t : array (N,)
            Labels 0 and 1; with signs=True -1 and 1.
        epochs : int
            At most so many passes over the data.
        shuffle : bool
            Take the samples in a new random order in each epoch. In a fixed order, classes that no plane separates,
            such as XOR's, can make the weights go round in a circle that misses the best ones.
        rng : int or numpy Generator, optional
            For the weights at the beginning, if init is above 0, and for the order.

        Returns
        -------
        PerceptronHistory

        Raises
        ------
        TypeError, ValueError
            For bad arguments, before anything is changed.
        TrainingDivergedError
            If sums of the data overflow. The best weights until then are kept, as after Ctrl-C.

        Examples
        --------
        >>> x, t = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 1])
        >>> history = fastnn.models.Perceptron().fit(x, t)
        >>> history.converged, history.mistakes
        (True, [1, 2, 1, 0])
        >>> perceptron = fastnn.models.Perceptron(lr=0.1, signs=True, init=0.1)
        >>> history = perceptron.fit(x, 2 * t - 1, rng=0)
        >>> history.converged, perceptron.predict(x)
        (True, array([-1,  1,  1,  1]))
        """
        samples = arrays.floats("x", x, ("N", "D"), dtype="float64", rounding=True, finite=True)
        labels = self._labels(t, len(samples))
        epochs, shuffle = arrays.integer("epochs", epochs, minimum=0), arrays.flag("shuffle", shuffle)
        generator = arrays.generator("rng", rng)
        run = _Run(samples[:], labels[:], arrays.real("lr", self.lr, above=0.0))
        if arrays.real("init", self.init, minimum=0.0) > 0.0:
            run.begin(generator, self.init)
        self._best, best_mistakes = run.weights(), run.wrong()
        mistakes: list[int] = []
        while len(mistakes) < epochs and mistakes[-1:] != [0]:
            mistakes.append(run.epoch(generator if shuffle else None))
            wrong = run.wrong()
            if wrong < best_mistakes:
                self._best, best_mistakes = run.weights(), wrong
        return PerceptronHistory(mistakes, best_mistakes, len(samples))

    @property
    def weights(self) -> Array:
        """w, a float64 array (D,); RuntimeError before `fit`."""
        return self._fitted()[0]

    @property
    def bias(self) -> float:
        """b; RuntimeError before `fit`."""
        return self._fitted()[1]

    def predict(self, x: Any) -> LabelArray:
        """The labels (N,) of x (N, D): 0 and 1; with signs=True -1 and 1.

        Raises
        ------
        RuntimeError
            Before `fit`.
        TypeError, ValueError
            If x is not an (N, D) array of finite real numbers.

        Examples
        --------
        >>> perceptron = fastnn.models.Perceptron()
        >>> _ = perceptron.fit([[-1.0], [1.0], [2.0]], [0, 1, 1])
        >>> perceptron.predict([[-3.0], [0.5]])
        array([0, 1])
        """
        weights, bias = self._fitted()
        samples = arrays.floats("x", x, ("N", weights.size), dtype="float64", rounding=True, finite=True)
        y = fires(samples, weights, bias)
        return 2 * y - 1 if self.signs else y

    def accuracy(self, x: Any, t: Any) -> float:
        """The fraction of samples x (N, D) whose label in t (N,) is predicted; raises as `predict` and `fit`.

        Examples
        --------
        >>> perceptron = fastnn.models.Perceptron()
        >>> _ = perceptron.fit([[-1.0], [1.0], [2.0]], [0, 1, 1])
        >>> perceptron.accuracy([[-3.0], [0.5], [4.0], [5.0]], [0, 1, 1, 0])
        0.75
        """
        predicted = self.predict(x)
        return float(np.mean((predicted > 0) == self._labels(t, len(predicted))))

    def _labels(self, t: Any, rows: int) -> LabelArray:
        """The labels as 0 and 1."""
        if not self.signs:
            return arrays.labels("t", t, rows, 2)
        return (signs_of("t", t, rows, 1, "float64", True)[1][:, 0] > 0.0).astype(np.intp)

    def _fitted(self) -> tuple[Array, float]:
        if self._best is None:
            raise RuntimeError("Perceptron: not fitted; call fit(x, t) first")
        return self._best

    def __repr__(self) -> str:
        signs, init = ", signs=True" * self.signs, f", init={self.init}" * (self.init > 0.0)
        return f"Perceptron(lr={self.lr}{signs}{init})"


class _Run:
    """Epochs over prepared data, cut into compiled calls."""

    def __init__(self, x: Array, labels: LabelArray, lr: float) -> None:
        self.x, self.labels, self.lr = x, labels, lr
        self.t, self.order = labels.astype(np.float64), np.arange(len(x))
        self.W, self.b = np.zeros((x.shape[1], 1)), np.zeros(1)
        self.scratch, self.y = np.empty(scratch_size(x.shape[1], 1)), np.empty((1, 1))
        self.rows = max(1, INPUTS_PER_CALL // (x.shape[1] + INPUTS_PER_SAMPLE))

    def begin(self, generator: np.random.Generator, deviation: float) -> None:
        """Draw the weights and then the bias."""
        count = self.W.size + 1
        drawn = arrays.floats(f"rng.standard_normal({count})", generator.standard_normal(count), (count,))
        self.W[:, 0], self.b[0] = deviation * drawn[:-1], deviation * drawn[-1]

    def epoch(self, generator: np.random.Generator | None) -> int:
        """Learn from each sample once, with a generator in a new order; return how many were wrong."""
        if generator is not None:
            order = self.order.copy()
            generator.shuffle(order)
            self.order = checks.order_of(f"rng.shuffle(array of {len(order)})", order, len(order))
        mistakes = 0
        for first in range(0, len(self.x), self.rows):
            last = min(first + self.rows, len(self.x))
            samples = (self.x, self.t, self.order, first, last)
            mistakes += rules.perceptron_samples(*samples, self.lr, self.scratch, self.y, self.W, self.b)
        if not (np.isfinite(self.W).all() and np.isfinite(self.b).all()):
            raise TrainingDivergedError(
                "weights: expected finite numbers, got NaN or infinity, as sums of x overflow; the best weights until "
                "then are kept: scale the data"
            )
        return mistakes

    def wrong(self) -> int:
        """How many of all samples the present weights get wrong."""
        return int(np.count_nonzero(fires(self.x, *self.weights()) != self.labels))

    def weights(self) -> tuple[Array, float]:
        """A copy of the present weights (D,), and the bias."""
        return self.W[:, 0].copy(), float(self.b[0])
