"""MLPRegressor, drop-in for scikit-learn's."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils.metaestimators import available_if

from fastnn.gate.arrays import Array
from fastnn.gate.slips import answers_slips
from fastnn.losses import Loss
from fastnn.sklearn.base import BaseMLP, with_shared_documentation
from fastnn.sklearn.objective import Objective, of_values


@answers_slips
@with_shared_documentation
class MLPRegressor(RegressorMixin, BaseMLP):
    """A regressor with scikit-learn's parameters and attributes, trained by fastnn; for several outputs, too.

    Parameters
    ----------
    loss : "squared_error", "poisson", "absolute_error", "huber" or a loss of fastnn
        "squared_error" is half the squares' sum over the outputs; `loss_` has their mean over the outputs, as in
        scikit-learn. "poisson" is half the deviance of the rate exp(output), which is predicted; its targets are at
        least 0.

    Examples
    --------
    >>> from fastnn.sklearn import MLPRegressor
    >>> X = np.linspace(-3.0, 3.0, 100).reshape(-1, 1)
    >>> regressor = MLPRegressor(hidden_layer_sizes=(20,), activation="tanh", solver="lbfgs", random_state=0)
    >>> regressor.fit(X, np.sin(X).ravel()).score(X, np.sin(X).ravel()) > 0.99
    True
    """

    # Thirty-one parameters: scikit-learn finds them in the signature.
    def __init__(
        self,
        loss: str | Loss = "squared_error",
        hidden_layer_sizes: int | Sequence[int] = (100,),
        activation: Any = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool | int = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        dropout: float | Sequence[float] = 0.0,
        batch_norm: bool = False,
        callbacks: Sequence[Any] = (),
        dtype: Any = None,
        n_threads: int | None = None,
    ) -> None:
        self._take(locals())

    _takes_values = True

    @available_if(BaseMLP._is_stochastic)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Go on for one epoch over these samples; arguments as for `fit`.

        Examples
        --------
        >>> from fastnn.sklearn import MLPRegressor
        >>> X, y = np.linspace(-1.0, 1.0, 100).reshape(-1, 1), np.linspace(-1.0, 3.0, 100)
        >>> regressor = MLPRegressor(hidden_layer_sizes=(8,), learning_rate_init=0.01, random_state=0)
        >>> for _ in range(3):
        ...     _ = regressor.partial_fit(X, y)
        >>> regressor.n_iter_, len(regressor.loss_curve_)
        (1, 3)
        """
        return self._fit(X, y, sample_weight, None, incremental=True)

    def predict(self, X: Any) -> Array:
        """The value for each sample (N,), or the values (N, K).

        Examples
        --------
        >>> from fastnn.sklearn import MLPRegressor
        >>> X, y = np.array([[-1.0], [0.0], [1.0]]), np.array([[-1.0, 0.0], [1.0, 1.0], [3.0, 2.0]])
        >>> regressor = MLPRegressor(hidden_layer_sizes=(), solver="lbfgs", alpha=0.0, random_state=0)
        >>> regressor.fit(X, y).predict([[2.0]]).round(3)  # 2 x + 1 and x + 1
        array([[5., 3.]])
        """
        y = self._outputs(X)
        values = self._objective.values(y)
        return values[:, 0] if values.shape[1] == 1 else values

    def _encode(self, y: Any, renews: bool) -> Array:
        """Values in columns, as floats: integers that float32 cannot hold are rounded."""
        values = np.asarray(y) if np.asarray(y).dtype in (np.float32, np.float64) else np.asarray(y, np.float64)
        return values[:, np.newaxis] if values.ndim == 1 else values

    def _objective_of(self, encoded: Array) -> Objective:
        objective = of_values(self.loss, encoded.shape[1])
        if objective.loss.predicts_logarithms and encoded.min() < 0:
            came = f"{encoded.min():g}; take another loss"
            raise ValueError(f"y: expected numbers of at least 0 for the loss 'poisson', got {came}")
        return objective

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
