"""Logistic regression, of two classes and more, by gradient descent."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn.engine.regularization import Regularization
from fastnn.functional import layers as functional
from fastnn.gate import arrays
from fastnn.gate.arrays import Array, LabelArray
from fastnn.gate.attributes import Answering
from fastnn.gate.slips import answers_slips
from fastnn.layers import Affine
from fastnn.network.callbacks import Callback
from fastnn.network.history import History
from fastnn.network.network import Network
from fastnn.optimizers import SGD

MOST_CLASSES = 2**20  # as the labels alone say how many there are, one wild label must not fill the memory


@answers_slips
class LogisticRegression(Answering):
    """Probabilities of classes: p = sigmoid(x W + b) of class 1 beside class 0, or softmax(x W + b) of K > 2 classes.

    It is a network of one affine layer in float64. `fit` minimizes the mean cross-entropy -ln p of the right classes,
    plus l2 / 2 sum W^2, a convex function, by gradient descent. Labels are 0 to K - 1, K the largest label plus 1.

    Parameters
    ----------
    l2 : float
        The weight of the penalty, at least 0; the bias has none. Libraries that minimize C sum(-ln p) + sum W^2 / 2
        call 1 / (N l2) C. Without a penalty, the weights of classes that a line separates grow for ever.

    Attributes
    ----------
    network : fastnn.Network or None
        The layer, with the loss sigmoid_cross_entropy or softmax_cross_entropy and the penalty; None before `fit`.

    Notes
    -----
    Source: Cox, Journal of the Royal Statistical Society B 20 (1958), 215-242.

    Examples
    --------
    >>> x, t = np.array([[-2.0], [-1.0], [1.0], [2.0]]), np.array([0, 0, 1, 1])
    >>> model = fastnn.models.LogisticRegression(l2=0.1)
    >>> history = model.fit(x, t, epochs=200, lr=0.5)
    >>> model.predict([[-3.0], [3.0]]), model.accuracy(x, t)
    (array([0, 1]), 1.0)
    >>> model.predict_proba([[0.0]]).round(3)  # halfway between the classes
    array([[0.5, 0.5]])
    """

    def __init__(self, *, l2: float = 0.0) -> None:
        self.l2 = arrays.real("l2", l2, minimum=0.0)
        self.network: Network | None = None

    @answers_slips
    def fit(
        self,
        x: Any,
        t: Any,
        *,
        epochs: int = 1000,
        batch_size: int | None = None,
        lr: float = 0.1,
        shuffle: bool = True,
        rng: int | np.random.Generator | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> History:
        """Gradient descent on the mean cross-entropy, and the penalty, from weights 0, by `Network.fit`.

        Parameters
        ----------
        x : array (N, D)
        t : array (N,)
            Labels from 0 to K - 1.
        epochs : int
            Passes over the data.
        batch_size : int or None
            Samples for one update. None takes all of them, 1 is stochastic gradient descent.
        lr : float
            Learning rate, at least 0. Batch descent converges if it is below 2 / (e / 4 + l2), for more than two
            classes below 2 / (e / 2 + l2), e the largest eigenvalue of x^T x / N, x with a column of ones; columns of
            mean 0 and deviation 1 (`fastnn.datasets.Standardize`) help.
        shuffle : bool
        rng : int or Generator, optional
        callbacks : list of Callback
            As for `LinearRegression.fit`.

        Returns
        -------
        History

        Raises
        ------
        TypeError, ValueError
            For bad arguments, before anything is changed.
        TrainingDivergedError
            When the loss or a weight is no longer finite. The last finite weights are kept.

        Examples
        --------
        >>> x, t = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([0, 1, 0, 1])  # no line separates them
        >>> model = fastnn.models.LogisticRegression()
        >>> history = model.fit(x, t, epochs=2000, lr=0.5)
        >>> model.weights.round(2), model.bias.round(2)
        (array([[0.91]]), array([-1.36]))
        """
        network, samples, labels = _prepare(x, t, self.l2)
        try:
            return network.fit(
                samples,
                labels,
                epochs=epochs,
                batch_size=batch_size,
                optimizer=SGD(lr),
                shuffle=shuffle,
                rng=rng,
                callbacks=callbacks,
                progress=False,
            )
        finally:
            if network.history is not None:  # training has begun: keep its weights, even after an error
                self.network = network

    @property
    def weights(self) -> Array:
        """W, a float64 array (D, 1) for two classes, (D, K) for K > 2; RuntimeError before `fit`."""
        return self._fitted().params["W1"]

    @property
    def bias(self) -> Array:
        """b, a float64 array (1,) for two classes, (K,) for K > 2; RuntimeError before `fit`."""
        return self._fitted().params["b1"]

    def predict_proba(self, x: Any) -> Array:
        """The probability of each class for x (N, D): (N, K), rows with the sum 1.

        Raises
        ------
        RuntimeError
            Before `fit`.
        TypeError, ValueError
            If x is not an (N, D) array of finite real numbers.

        Examples
        --------
        >>> model = fastnn.models.LogisticRegression()
        >>> history = model.fit([[0.0], [1.0], [2.0], [3.0]], [0, 1, 0, 1], epochs=2000, lr=0.5)
        >>> model.predict_proba([[1.5]]).round(3)
        array([[0.5, 0.5]])
        """
        logits = self._fitted().predict(x)
        if logits.shape[1] > 1:
            return functional.softmax(logits, out=logits)
        both = np.column_stack((-logits, logits))  # so that neither is lost in 1 - p
        return functional.activation_forward("sigmoid", both, out=both)

    def predict(self, x: Any) -> LabelArray:
        """The most probable class for x (N, D): labels (N,), the lower one of two as probable.

        It raises as `predict_proba`.

        Examples
        --------
        >>> x, t = [[-1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], [0, 1, 2]
        >>> model = fastnn.models.LogisticRegression(l2=0.01)
        >>> history = model.fit(x, t)
        >>> model.predict(x)
        array([0, 1, 2])
        """
        logits = self._fitted().predict(x)
        labels: LabelArray = logits.argmax(axis=1) if logits.shape[1] > 1 else (logits[:, 0] > 0.0).astype(np.intp)
        return labels

    def accuracy(self, x: Any, t: Any) -> float:
        """The share of x (N, D) whose class t (N,) is predicted.

        It raises as `predict_proba`, and for anything but labels.

        Examples
        --------
        >>> model = fastnn.models.LogisticRegression(l2=0.1)
        >>> history = model.fit([[-1.0], [1.0]], [0, 1])
        >>> model.accuracy([[-2.0], [-1.0], [1.0], [2.0]], [0, 0, 1, 0])
        0.75
        """
        predicted = self.predict(x)
        return float(np.mean(predicted == arrays.labels("t", t, len(predicted), self._classes())))

    def loss(self, x: Any, t: Any) -> float:
        """The mean of -ln p of the right classes t (N,), and the penalty l2 / 2 sum W^2.

        It raises as `accuracy`.

        Examples
        --------
        >>> model = fastnn.models.LogisticRegression(l2=0.1)
        >>> history = model.fit([[-1.0], [1.0]], [0, 1], epochs=1, lr=0.0)  # weights 0
        >>> round(model.loss([[3.0]], [1]), 4)  # -ln(1 / 2)
        0.6931
        """
        network = self._fitted()
        samples = arrays.floats("x", x, ("N", network.inputs), dtype="float64", rounding=True, finite=True)
        return network.loss(samples, arrays.labels("t", t, len(samples), self._classes()))

    def _classes(self) -> int:
        return max(2, self._fitted().outputs)

    def _fitted(self) -> Network:
        if self.network is None:
            raise RuntimeError("LogisticRegression: not fitted; call fit(x, t) first")
        return self.network

    def __repr__(self) -> str:
        return f"LogisticRegression(l2={self.l2})" if self.l2 else "LogisticRegression()"


def _prepare(x: Any, t: Any, l2: float) -> tuple[Network, Array, Any]:
    """A network with weights 0 for these data, x (N, D), and the targets as its loss takes them."""
    samples = arrays.floats("x", x, ("N", "D"), dtype="float64", rounding=True, finite=True)
    labels = arrays.labels("t", t, len(samples), MOST_CLASSES)
    classes = int(labels.max(initial=0)) + 1
    outputs = classes if classes > 2 else 1
    network = Network(
        [Affine(samples.shape[1], outputs, init="zeros")],
        loss="softmax_cross_entropy" if outputs > 1 else "sigmoid_cross_entropy",
        rng=0,
        dtype="float64",
        regularization=Regularization(l2=l2),
    )
    return network, samples, labels
