"""Linear regression, by gradient descent and in closed form."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn.engine.regularization import Regularization
from fastnn.errors import TrainingDivergedError
from fastnn.gate import arrays
from fastnn.gate.arrays import Array
from fastnn.gate.attributes import Answering
from fastnn.gate.slips import answers_slips
from fastnn.layers import Affine
from fastnn.network.callbacks import Callback
from fastnn.network.history import History
from fastnn.network.network import Network
from fastnn.optimizers import SGD

GROWTH = 1e6  # of the loss: training has then diverged, long before its numbers overflow


@answers_slips
class LinearRegression(Answering):
    """y = x W + b with the least squared error, in float64: a network of one affine layer.

    `fit` finds W and b by gradient descent, `closed_form` by solving for them. Targets are (N, K), or (N,) for one
    value per sample; predictions have the form of the targets. Both make E = sum((y - t)^2) / (2 N) + l2 / 2 sum W^2
    small: ridge regression, where l2 is above 0.

    Parameters
    ----------
    l2 : float
        The weight of the penalty, at least 0; the bias has none. Libraries that add alpha sum W^2 to the sum of squares
        call N l2 alpha.

    Attributes
    ----------
    network : fastnn.Network or None
        The layer, with mean_squared_error as its loss and the penalty; None before `fit` or `closed_form`.

    Notes
    -----
    Sources: Bishop, Pattern Recognition and Machine Learning (2006), section 3.1; for the penalty, Hoerl and Kennard,
    Technometrics 12 (1970), 55-67.

    Examples
    --------
    >>> x = np.array([[0.0], [1.0], [2.0]])
    >>> model = fastnn.models.LinearRegression().closed_form(x, t=[1.0, 3.0, 5.0])  # t = 2 x + 1
    >>> model.weights.round(6), model.bias.round(6)
    (array([[2.]]), array([1.]))
    >>> model.predict([[10.0]]).round(6)
    array([21.])
    >>> ridge = fastnn.models.LinearRegression(l2=2 / 3).closed_form(x, t=[1.0, 3.0, 5.0])
    >>> ridge.weights.round(6), ridge.bias.round(6)  # 4 / (2 + 3 * 2 / 3), about the means 1 and 3
    (array([[1.]]), array([2.]))
    """

    def __init__(self, *, l2: float = 0.0) -> None:
        self.l2 = arrays.real("l2", l2, minimum=0.0)
        self.network: Network | None = None
        self._one_value = False

    @answers_slips
    def fit(
        self,
        x: Any,
        t: Any,
        *,
        epochs: int = 100,
        batch_size: int | None = None,
        lr: float = 0.1,
        shuffle: bool = True,
        rng: int | np.random.Generator | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> History:
        """Gradient descent on the mean squared error, and the penalty, from weights 0, by `Network.fit`.

        Parameters
        ----------
        x : array (N, D)
        t : array (N,) or (N, K)
        epochs : int
            Passes over the data.
        batch_size : int or None
            Samples for one update. None takes all of them (batch gradient descent), 1 is stochastic gradient descent.
        lr : float
            Learning rate, at least 0. Batch descent converges if it is below 2 / (e + l2), e the largest eigenvalue of
            x^T x / N, x with a column of ones; columns of mean 0 and deviation 1 (`fastnn.datasets.Standardize`) help.
        shuffle : bool
            Take the samples in a new random order in each epoch.
        rng : int or numpy Generator, optional
            For the order.
        callbacks : sequence of callables
            Each is called as callback(network, history) after every epoch, with the path's next point in
            `network.params["W1"]` and `network.params["b1"]`; a true result stops the training.

        Returns
        -------
        History

        Raises
        ------
        TypeError, ValueError
            For bad arguments, before anything is changed.
        TrainingDivergedError
            When the loss or a weight is no longer finite, or the loss has grown a million-fold. The last finite
            weights are kept.

        Examples
        --------
        >>> x, t = np.array([[-1.0], [0.0], [1.0]]), np.array([-1.0, 1.0, 3.0])  # t = 2 x + 1
        >>> model = fastnn.models.LinearRegression()
        >>> history = model.fit(x, t, epochs=200, lr=0.5)
        >>> history.loss[0], history.loss[-1] < 1e-9
        (1.8333333333333333, True)
        >>> model.weights.round(3), model.bias.round(3)
        (array([[2.]]), array([1.]))
        """
        network, x, t, one_value = _prepare(x, t, self.l2)
        try:
            history = network.fit(
                x,
                t,
                epochs=epochs,
                batch_size=batch_size,
                optimizer=SGD(lr),
                shuffle=shuffle,
                rng=rng,
                callbacks=callbacks,
                progress=False,
            )
        except TrainingDivergedError:
            if network.history is None:
                raise
            came = f"NaN or infinity in epoch {network.history.epochs + 1}; the model keeps its last finite weights"
            remedy = f"lower lr, now {lr:.3g}, or standardize x"
            raise TrainingDivergedError(f"loss: expected finite numbers, got {came}: {remedy}") from None
        else:
            if history.epochs > 1 and history.loss[-1] > GROWTH * history.loss[0] > 0.0:
                came = f"{history.loss[-1]:.3g} after {history.loss[0]:.3g} in the first epoch"
                raise TrainingDivergedError(f"loss: expected it to fall, got {came}; lower lr, or standardize x")
            return history
        finally:
            if network.history is not None:  # training has begun: keep its weights, even after an error
                self.network, self._one_value = network, one_value

    @answers_slips
    def closed_form(self, x: Any, t: Any) -> "LinearRegression":
        """The W and b of the least squared error, by `numpy.linalg.lstsq` on centered data; returns itself.

        W solves (x - mean x) W = t - mean t, and b = mean t - mean x W. Where several W do, as with more columns than
        samples, the one of the smallest norm is taken. A penalty adds a row sqrt(N l2) to x for each weight, with the
        target 0: W = (x^T x + N l2 I)^-1 x^T t of centered x and t.

        Parameters
        ----------
        x : array (N, D)
        t : array (N,) or (N, K)

        Raises
        ------
        TypeError, ValueError
            For bad arguments, and for data whose sums overflow; before anything is changed.

        Examples
        --------
        >>> model = fastnn.models.LinearRegression().closed_form([[0.0], [1.0], [2.0]], [0.0, 0.0, 3.0])
        >>> model.weights.round(3), model.bias.round(3)  # 1.5 x - 0.5, the line of least squares
        (array([[1.5]]), array([-0.5]))
        """
        network, x, t, one_value = _prepare(x, t, self.l2)
        with np.errstate(all="ignore"):  # overflow is refused below
            x_mean, t_mean = x.mean(axis=0), t.mean(axis=0)
            x, t = x - x_mean, t - t_mean
            if not (np.isfinite(x).all() and np.isfinite(t).all()):
                raise ValueError("x, t: expected numbers whose sums are finite, got some that overflow; scale the data")
            if penalty := self.l2:
                x = np.vstack((x, np.sqrt(len(x) * penalty) * np.eye(x.shape[1])))
                t = np.vstack((t, np.zeros((x.shape[1], t.shape[1]))))
            W = np.linalg.lstsq(x, t, rcond=None)[0]
            b = t_mean - x_mean @ W
        if not (np.isfinite(W).all() and np.isfinite(b).all()):
            raise ValueError("x, t: expected data whose weights are finite, got infinity or NaN; scale the data")
        network.params["W1"][...], network.params["b1"][...] = W, b
        self.network, self._one_value = network, one_value
        return self

    @property
    def weights(self) -> Array:
        """W, a float64 array (D, K), K = 1 for targets (N,); RuntimeError before `fit` or `closed_form`."""
        return self._fitted().params["W1"]

    @property
    def bias(self) -> Array:
        """b, a float64 array (K,); RuntimeError before `fit` or `closed_form`."""
        return self._fitted().params["b1"]

    def predict(self, x: Any) -> Array:
        """x W + b for x (N, D): (N, K), or (N,) where the targets were (N,).

        Raises
        ------
        RuntimeError
            Before `fit` or `closed_form`.
        TypeError, ValueError
            If x is not an (N, D) array of finite real numbers.

        Examples
        --------
        >>> model = fastnn.models.LinearRegression().closed_form([[0.0], [1.0]], [[1.0, 0.0], [3.0, -1.0]])
        >>> model.predict([[2.0], [3.0]]).round(6)  # 2 x + 1 and -x
        array([[ 5., -2.],
               [ 7., -3.]])
        """
        y = self._fitted().predict(x)
        return y.reshape(-1) if self._one_value else y

    def loss(self, x: Any, t: Any) -> float:
        """sum((y - t)^2) / (2 N) + l2 / 2 sum W^2, half the squared error, averaged over the batch, and the penalty.

        It raises as `predict`.

        Examples
        --------
        >>> model = fastnn.models.LinearRegression().closed_form([[0.0], [1.0]], [1.0, 3.0])  # y = 2 x + 1
        >>> round(model.loss([[2.0], [3.0]], [5.0, 9.0]), 6)  # errors 0 and -2: (0 + 4) / (2 * 2)
        1.0
        """
        return self._fitted().loss(x, t)

    def _fitted(self) -> Network:
        if self.network is None:
            raise RuntimeError("LinearRegression: not fitted; call fit(x, t) or closed_form(x, t) first")
        return self.network

    def __repr__(self) -> str:
        return f"LinearRegression(l2={self.l2})" if self.l2 else "LinearRegression()"


def _prepare(x: Any, t: Any, l2: float) -> tuple[Network, Array, Array, bool]:
    """A network with weights 0 for these data, x (N, D), t (N, K), and whether t came as (N,)."""
    samples = arrays.floats("x", x, ("N", "D"), dtype="float64", rounding=True, finite=True)
    targets = arrays.floats("t", t, dtype="float64", rounding=True)
    values = targets.shape[1] if targets.ndim == 2 else 1
    dense = arrays.regression_targets("t", targets, len(samples), values, "float64")
    network = Network(
        [Affine(samples.shape[1], values, init="zeros")],
        loss="mean_squared_error",
        rng=0,
        dtype="float64",
        regularization=Regularization(l2=l2),
    )
    return network, samples, dense, targets.ndim == 1
