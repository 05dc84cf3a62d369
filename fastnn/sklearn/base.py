"""The part that both estimators share: parameters, `fit`, `partial_fit` and the fitted attributes."""

import inspect
from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.model_selection import train_test_split
from sklearn.utils import check_array, check_random_state, column_or_1d
from sklearn.utils.validation import check_is_fitted, validate_data

from fastnn.gate import checks
from fastnn.gate.arrays import Array
from fastnn.network import Network
from fastnn.sklearn import lbfgs
from fastnn.sklearn.batches import outputs
from fastnn.sklearn.networks import adopt, is_like, keep_others, layers_of, make_network, parameters
from fastnn.sklearn.objective import BINARY, Objective
from fastnn.sklearn.rates import LearningRate
from fastnn.sklearn.record import Record
from fastnn.sklearn.settings import Settings, settings_of
from fastnn.sklearn.training import Examples, Training

STOCHASTIC = ("sgd", "adam")
# The attributes that tell the course of a training, by the fields of a record.
OF_RECORD = {
    "n_iter": "n_iter_",
    "t": "t_",
    "loss": "loss_",
    "loss_curve": "loss_curve_",
    "best_loss": "best_loss_",
    "validation_scores": "validation_scores_",
    "best_validation_score": "best_validation_score_",
    "no_improvement_count": "_no_improvement_count",
}


def with_shared_documentation(kind: type[Any]) -> type[Any]:
    """Add the parameters and attributes that BaseMLP describes to the documentation of an estimator."""
    shared = inspect.cleandoc(BaseMLP.__doc__ or "").partition("----------\n")[2]
    own, heading, examples = inspect.cleandoc(kind.__doc__ or "").partition("\n\nExamples\n")
    kind.__doc__ = f"{own}\n{shared}{heading}{examples}"
    return kind


def check_weights(name: str, weights: Array) -> None:
    """Refuse negative weights, and nothing but zeros."""
    if weights.min() < 0.0 or not weights.any():
        came = f"weights from {weights.min():g} to {weights.max():g}"
        raise ValueError(f"{name}: expected weights of at least 0, not all of them zero, got {came}; pass others")


class BaseMLP(BaseEstimator, ABC):
    """A multi-layer perceptron with scikit-learn's parameters and attributes, trained by fastnn.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int
        The widths of the hidden layers; () for none.
    activation : str, layer, or a list of them for each hidden layer
        "identity", "logistic", "tanh", "relu" or another activation of fastnn, such as "gelu" or fastnn.LeakyRelu(0.1).
    solver : "lbfgs", "sgd" or "adam"
        "lbfgs" minimizes the loss of all samples in float64, by SciPy.
    alpha : float
        The penalty alpha / (2 s) sum w^2 is added to the loss of each batch; s is the number of its samples, or the sum
        of their weights.
    batch_size : int or "auto"
        "auto" is 200, or all samples if there are fewer. With batch_norm a last batch of one row is left out.
    learning_rate : "constant", "invscaling" or "adaptive"
        For "sgd": as it is; learning_rate_init / (samples seen + 1)^power_t from one epoch to the next; divided by 5
        when n_iter_no_change epochs brought no improvement.
    learning_rate_init : float
        The first learning rate, for "sgd" and "adam".
    power_t : float
        The exponent, for "invscaling".
    momentum : float
        For "sgd", in [0, 1); see fastnn.Momentum.
    nesterovs_momentum : bool
        Whether "sgd" takes the update of fastnn.Nesterov.
    beta_1 : float
        For "adam", in [0, 1); see fastnn.Adam.
    beta_2 : float
        For "adam", in [0, 1).
    epsilon : float
        For "adam", above 0.
    max_iter : int
        The most epochs, or iterations of "lbfgs".
    shuffle : bool
        Take the samples in a new random order in each epoch.
    random_state : int, RandomState or None
        Draws the initial weights, the order and the validation set as scikit-learn does, and dropout's seed.
    tol : float
        Training ends when more than n_iter_no_change epochs in a row did not improve the loss, or with early_stopping
        the score, by tol. For "lbfgs", tol is that of the gradient.
    n_iter_no_change : int
        See tol.
    verbose : bool or int
        Print the loss of each epoch.
    warm_start : bool
        Let `fit` go on from the weights that there are.
    early_stopping : bool
        Judge by the score on validation data, `validation_data` of `fit` or validation_fraction of the samples, and put
        the best epoch back.
    validation_fraction : float
        In [0, 1).
    max_fun : int
        The most evaluations of "lbfgs".
    dropout : float, or a list of them for each hidden layer
        The fraction of a layer's outputs that training sets to 0, see fastnn.Dropout.
    batch_norm : bool
        Put fastnn.BatchNorm() before each activation.
    callbacks : sequence of callables
        Called as callback(network, history) after each epoch, as by fastnn.Network.fit; one that returns True ends the
        training. An example is fastnn.EarlyStopping(), with `validation_data`.
    dtype : "float32", "float64" or None
        The dtype of the network, to which data are converted; None: float32 for float32 data, else float64.
    n_threads : int or None
        The most threads; results do not depend on it. None: as `fastnn.set_num_threads` says.

    Attributes
    ----------
    network_ : fastnn.Network
        The trained network, whose outputs are logits in a classifier.
    coefs_, intercepts_ : list of arrays
        Its weights and biases: views, so that writing to them changes the network. Arrays put into the lists are copied
        when they are needed.
    loss_, loss_curve_, best_loss_, validation_scores_, best_validation_score_, n_iter_, t_
        As in scikit-learn; validation_scores_ also without early_stopping, if there is validation data.
    n_layers_, n_outputs_, out_activation_, n_features_in_, feature_names_in_
        As in scikit-learn.
    """

    coefs_: list[Any]
    intercepts_: list[Any]
    _takes_values: bool  # whether targets are numbers

    @abstractmethod
    def _encode(self, y: Any, renews: bool) -> Array:
        """Targets as an Objective wants them; renews: learn the classes anew."""

    @abstractmethod
    def _objective_of(self, encoded: Array) -> Objective:
        """The objective for these targets."""

    def _take(self, arguments: dict[str, Any]) -> None:
        """Keep the constructor's arguments as they are, as scikit-learn wants."""
        for name, value in arguments.items():
            if name != "self":
                setattr(self, name, value)

    def fit(self, X: Any, y: Any, sample_weight: Any = None, validation_data: Any = None) -> Self:
        """Train on samples X and targets y.

        Parameters
        ----------
        X : array or sparse matrix (N, D)
            A sparse matrix is never made dense: see `fastnn.Network.fit`.
        y : array (N,) or (N, K)
        sample_weight : array (N,), optional
            The factors of the samples' losses, at least 0.
        validation_data : (X, y) or (X, y, sample_weight), optional
            Samples whose score is measured after each epoch; early_stopping judges by it. "lbfgs" has no epochs.

        Returns
        -------
        self

        Examples
        --------
        >>> from fastnn.sklearn import MLPRegressor
        >>> X, y = np.array([[-1.0], [0.0], [1.0], [100.0]]), np.array([-1.0, 1.0, 3.0, 0.0])
        >>> regressor = MLPRegressor(hidden_layer_sizes=(), solver="lbfgs", alpha=0.0, random_state=0)
        >>> _ = regressor.fit(X, y, sample_weight=[1.0, 1.0, 1.0, 0.0])  # the last one does not count
        >>> regressor.predict([[2.0]]).round(3)  # 2 x + 1
        array([5.])
        """
        return self._fit(X, y, sample_weight, validation_data, incremental=False)

    def _fit(self, X: Any, y: Any, sample_weight: Any, validation_data: Any, incremental: bool) -> Self:
        settings = settings_of(self.get_params(deep=False))
        if incremental and settings.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        is_first = not hasattr(self, "coefs_") or not (self.warm_start or incremental)
        X, y = self._validated(X, y, reset=is_first)
        encoded = self._encode(y, renews=not (self.warm_start or incremental))
        weights, factors = self._weights(X.shape[0], sample_weight), self._factors(y)
        if factors is not None:
            weights = factors if weights is None else weights * factors
            check_weights("class_weight", weights)
        data = Examples(X, encoded, weights)
        validation = self._validation(validation_data)
        random_state = check_random_state(self.random_state)
        self._make_ready(settings, data, is_first, random_state)
        if settings.solver == "lbfgs":
            self._minimize(settings, data)
        else:
            self._train(settings, data, validation, random_state, incremental)
        return self

    def _validated(self, X: Any, y: Any, reset: bool) -> tuple[Any, Any]:
        options: Any = {"accept_sparse": "csr", "dtype": (np.float64, np.float32), "reset": reset}
        X, y = validate_data(self, X, y, multi_output=True, y_numeric=self._takes_values, **options)
        return X, column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y

    def _weights(self, rows: int, sample_weight: Any) -> Array | None:
        """The samples' weights in float64; None for 1."""
        if sample_weight is None:
            return None
        if isinstance(sample_weight, int | float | np.number):
            sample_weight = np.full(rows, sample_weight)
        weights: Array = check_array(sample_weight, ensure_2d=False, dtype=np.float64, input_name="sample_weight")
        if weights.shape != (rows,):
            raise ValueError(f"sample_weight: expected the shape ({rows},), got {weights.shape}; pass one for each row")
        check_weights("sample_weight", weights)
        return weights

    def _factors(self, y: Any) -> Array | None:
        """The factors of the weights by classes; None for 1."""
        return None

    def _validation(self, given: Any) -> Examples | None:
        """Validation data of a user's."""
        if given is None:
            return None
        if not isinstance(given, tuple | list) or len(given) not in (2, 3):
            came = f"{checks.shown(given)}; pass validation_data=(X, y)"
            raise TypeError(f"validation_data: expected (X, y) or (X, y, sample_weight), got {came}")
        X, y = self._validated(given[0], given[1], reset=False)
        weights = self._weights(X.shape[0], given[2] if len(given) == 3 else None)
        return Examples(X, self._encode(y, renews=False), weights)

    def _make_ready(self, settings: Settings, data: Examples, is_first: bool, random_state: Any) -> None:
        """Make the network, or go on with the one that there is, and with arrays that a user has put into the lists."""
        objective = self._objective_of(data.encoded)
        before = None if is_first else getattr(self, "network_", None)
        dtype = settings.dtype or (data.x.dtype if before is None else before.dtype)
        layers = layers_of(settings, data.x.shape[1], objective.outputs)
        if before is not None and is_like(before, layers, objective) and before.dtype == dtype:
            network = before
        else:
            draws = random_state if is_first else np.random.RandomState(0)
            network = make_network(settings, data.x.shape[1], objective, dtype, draws)
        if not is_first:
            keep_others(network, before)
            adopt(network, self.coefs_, self.intercepts_)
        network.n_threads = settings.n_threads
        self.network_, self._objective = network, objective
        self._show_parameters()
        self.n_layers_ = len(self.coefs_) + 1
        self.n_outputs_ = objective.outputs
        self.out_activation_ = objective.out_activation
        if is_first:
            self._note(Record(), *(() if settings.solver in STOCHASTIC else ("n_iter", "t")))

    def _train(
        self, settings: Settings, data: Examples, validation: Examples | None, random_state: Any, incremental: bool
    ) -> None:
        if settings.early_stopping and validation is None:
            data, validation = self._split(settings, data, random_state)
        if not incremental or not hasattr(self, "_optimizer"):
            self._optimizer = LearningRate(settings.learning_rate_init)
            self.network_.engine.state_owner = None  # the update begins anew
        known = {name: attribute for name, attribute in OF_RECORD.items() if hasattr(self, attribute)}
        record = Record(**{name: getattr(self, attribute) for name, attribute in known.items()})
        record.begin(settings, validation is not None)
        progress = record, self._optimizer
        training = Training(self.network_, self._objective, settings, progress, data, validation, random_state)
        try:
            training.run(1 if incremental else settings.max_iter, warns=not incremental)
        finally:
            self._note(record)

    def _split(self, settings: Settings, data: Examples, random_state: Any) -> tuple[Examples, Examples]:
        """The samples for training and for validation, as scikit-learn draws them."""
        parts = train_test_split(
            *(part for part in data if part is not None),
            random_state=random_state,
            test_size=settings.validation_fraction,
            stratify=data.encoded if self._objective.kind == BINARY else None,
        )
        if parts[1].shape[0] < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of your dataset."
            )
        return Examples(*parts[0::2]), Examples(*parts[1::2])

    def _minimize(self, settings: Settings, data: Examples) -> None:
        """L-BFGS in float64, as its line search needs more digits than float32 has."""
        network, wide = self.network_, self.network_
        if network.dtype != np.float64:
            wide = Network(network.layers, self._objective.loss, rng=0, dtype="float64", n_threads=network.n_threads)
            wide.engine.values[:] = network.engine.values
        self.n_iter_, self.loss_ = lbfgs.run(wide, self._objective, settings, data)
        network.engine.values[:] = wide.engine.values

    def _note(self, record: Record, *names: str) -> None:
        """Set the attributes that tell the course of the training."""
        for name in names or OF_RECORD:
            setattr(self, OF_RECORD[name], getattr(record, name))

    def _show_parameters(self) -> None:
        self.coefs_, self.intercepts_ = parameters(self.network_)

    def _outputs(self, X: Any) -> Array:
        """The network's outputs for samples of a user's."""
        check_is_fitted(self, "network_")
        options: Any = {"accept_sparse": "csr", "dtype": (np.float64, np.float32), "reset": False}
        X = validate_data(self, X, **options)
        adopt(self.network_, self.coefs_, self.intercepts_)
        return outputs(self.network_, X)

    def _is_stochastic(self) -> bool:
        """Whether there is `partial_fit`."""
        if self.solver not in STOCHASTIC:
            raise AttributeError(f"partial_fit is only available for stochastic optimizers. {self.solver} is not one.")
        return True

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        if "network_" not in state:
            return state
        adopt(self.network_, self.coefs_, self.intercepts_)
        return {name: value for name, value in state.items() if name not in ("coefs_", "intercepts_")}  # views

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "network_" in state:
            self._show_parameters()

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
