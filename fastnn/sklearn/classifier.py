"""MLPClassifier, drop-in for scikit-learn's."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import type_of_target, unique_labels

from fastnn.gate import checks
from fastnn.gate.arrays import Array
from fastnn.gate.slips import answers_slips
from fastnn.losses import Loss
from fastnn.sklearn.base import BaseMLP, with_shared_documentation
from fastnn.sklearn.objective import BINARY, MULTICLASS, MULTILABEL, Objective, of_classes

KINDS = {"binary": BINARY, "multiclass": MULTICLASS, "multilabel-indicator": MULTILABEL}


@answers_slips
@with_shared_documentation
class MLPClassifier(ClassifierMixin, BaseMLP):
    """A classifier with scikit-learn's parameters and attributes, trained by fastnn; for several labels at once, too.

    Parameters
    ----------
    loss : "log_loss", "hinge" or a loss of fastnn
        One of logits, such as fastnn.losses.SoftmaxCrossEntropy(label_smoothing=0.1). Without probabilities, as with
        "hinge", there is `decision_function` instead of `predict_proba`.
    class_weight : dict, "balanced" or None
        Factors of the samples' weights by their class: {class: factor}, or N / (classes x samples of the class). For
        several labels at once as in `sklearn.utils.class_weight.compute_sample_weight`.

    Examples
    --------
    >>> from fastnn.sklearn import MLPClassifier
    >>> (X, y), (X_test, y_test) = fastnn.datasets.load_digits()
    >>> classifier = MLPClassifier((50,), activation="gelu", dropout=0.1, early_stopping=True, random_state=0)
    >>> classifier.fit(X, y).score(X_test, y_test) > 0.9
    True
    >>> str(classifier.network_.layers[0]), [W.shape for W in classifier.coefs_]
    ('Affine(64, 50)', [(64, 50), (50, 10)])
    """

    # Thirty-two parameters: scikit-learn finds them in the signature.
    def __init__(
        self,
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
        loss: str | Loss = "log_loss",
        class_weight: Any = None,
        dropout: float | Sequence[float] = 0.0,
        batch_norm: bool = False,
        callbacks: Sequence[Any] = (),
        dtype: Any = None,
        n_threads: int | None = None,
    ) -> None:
        self._take(locals())

    _takes_values = False

    @available_if(BaseMLP._is_stochastic)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Self:
        """Go on for one epoch over these samples.

        Parameters
        ----------
        X, y
            As for `fit`.
        sample_weight : array (N,), optional
            As for `fit`.
        classes : array (K,), optional
            All classes that will come; needed in the first call.

        Examples
        --------
        >>> from fastnn.sklearn import MLPClassifier
        >>> (X, y), (X_test, y_test) = fastnn.datasets.load_digits()
        >>> classifier = MLPClassifier((50,), learning_rate_init=0.01, random_state=0)
        >>> for start in range(0, 1400, 200):  # as the samples come
        ...     some = slice(start, start + 200)
        ...     _ = classifier.partial_fit(X[some], y[some], classes=range(10))
        >>> classifier.t_  # samples seen
        1400
        """
        if getattr(self, "classes_", None) is None and classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        if classes is not None and not hasattr(self, "classes_"):
            self.classes_ = unique_labels(classes)
            several = type_of_target(y).startswith("multilabel")
            self._label_binarizer = LabelBinarizer().fit(y if several else classes)
        elif classes is not None and not np.array_equal(self.classes_, unique_labels(classes)):
            other = f"`classes={classes!r}` is not the same as on last call to partial_fit"
            raise ValueError(f"{other}, was: {self.classes_}")
        if isinstance(self.class_weight, str):
            came = f"{self.class_weight!r}, as a part of the samples does not tell how many there are of each"
            remedy = "pass a dict, such as from sklearn.utils.class_weight.compute_class_weight"
            raise ValueError(f"class_weight: expected a dict or None for partial_fit, got {came}; {remedy}")
        return self._fit(X, y, sample_weight, None, incremental=True)

    def predict(self, X: Any) -> Array:
        """The class of each sample (N,), or 0 and 1 for each label (N, K).

        Examples
        --------
        >>> from fastnn.sklearn import MLPClassifier
        >>> X, y = np.array([[-2.0], [-1.0], [1.0], [2.0]]), np.array(["no", "no", "yes", "yes"])
        >>> classifier = MLPClassifier((4,), solver="lbfgs", random_state=0).fit(X, y)
        >>> classifier.predict([[-3.0], [3.0]])
        array(['no', 'yes'], dtype='<U3')
        """
        y = self._outputs(X)
        labels: Array = self._label_binarizer.inverse_transform(self._objective.scores(y), threshold=0.0)
        return labels

    def _has_probabilities(self) -> bool:
        if hasattr(self, "_objective"):
            return self._objective.has_probabilities
        return self.loss == "log_loss" or getattr(self.loss, "applies", "") != ""

    def _lacks_probabilities(self) -> bool:
        return not self._has_probabilities()

    @available_if(_has_probabilities)
    def predict_proba(self, X: Any) -> Array:
        """The probability of each class (N, K), in the order of `classes_`.

        Examples
        --------
        >>> from fastnn.sklearn import MLPClassifier
        >>> X, y = np.array([[-2.0], [-1.0], [1.0], [2.0]]), np.array(["no", "no", "yes", "yes"])
        >>> classifier = MLPClassifier((4,), solver="lbfgs", random_state=0).fit(X, y)
        >>> classifier.classes_
        array(['no', 'yes'], dtype='<U3')
        >>> classifier.predict_proba([[-3.0], [3.0]]).round(1) + 0.0
        array([[1., 0.],
               [0., 1.]])
        """
        y = self._outputs(X)
        return self._objective.probabilities(y)

    @available_if(_has_probabilities)
    def predict_log_proba(self, X: Any) -> Array:
        """The logarithm of each probability (N, K), minus infinity where it rounds to 0.

        Examples
        --------
        >>> from fastnn.sklearn import MLPClassifier
        >>> X, y = np.array([[-2.0], [-1.0], [1.0], [2.0]]), np.array(["no", "no", "yes", "yes"])
        >>> classifier = MLPClassifier((4,), solver="lbfgs", random_state=0).fit(X, y)
        >>> np.allclose(np.exp(classifier.predict_log_proba(X)), classifier.predict_proba(X))
        True
        """
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    @available_if(_lacks_probabilities)
    def decision_function(self, X: Any) -> Array:
        """The outputs (N, K), or (N,) for two classes, above 0 for the second.

        Examples
        --------
        >>> from fastnn.sklearn import MLPClassifier
        >>> X, y = np.array([[-2.0], [-1.0], [1.0], [2.0]]), np.array(["no", "no", "yes", "yes"])
        >>> classifier = MLPClassifier((4,), loss="hinge", solver="lbfgs", random_state=0).fit(X, y)
        >>> classifier.decision_function([[-3.0], [3.0]]) > 0
        array([False,  True])
        """
        y = self._outputs(X)
        scores: Array = self._objective.scores(y)
        return scores[:, 0] if self._objective.kind == BINARY else scores

    def _encode(self, y: Any, renews: bool) -> Array:
        """Classes as numbers; one column for two classes, bools for several labels at once."""
        if renews or not hasattr(self, "classes_"):
            self._label_binarizer = LabelBinarizer().fit(y)
            self.classes_ = self._label_binarizer.classes_
        else:
            self._check_classes(unique_labels(y))
        kind = KINDS[self._label_binarizer.y_type_]
        if kind == MULTILABEL:
            return np.asarray(self._label_binarizer.transform(y)).astype(bool)
        if kind == MULTICLASS:
            return np.searchsorted(self.classes_, y).astype(np.intp)
        return np.asarray(y == self.classes_[-1])[:, np.newaxis] & (len(self.classes_) > 1)

    def _check_classes(self, found: Array) -> None:
        """Refuse other classes than there were."""
        if self.warm_start and set(found) != set(self.classes_):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous call to fit. "
                f"Previously got {self.classes_}, `y` has {found}"
            )
        if len(np.setdiff1d(found, self.classes_, assume_unique=True)):
            came = f"`self.classes_` has {self.classes_}. 'y' has {found}."
            raise ValueError(f"`y` has classes not in `self.classes_`. {came}")

    def _objective_of(self, encoded: Array) -> Objective:
        kind = KINDS[self._label_binarizer.y_type_]
        return of_classes(self.loss, kind, len(self.classes_) if kind == MULTICLASS else encoded.shape[1])

    def _factors(self, y: Any) -> Array | None:
        if self.class_weight is None:
            return None
        if not isinstance(self.class_weight, dict | list | str):
            came = checks.shown(self.class_weight)
            raise TypeError(f"class_weight: expected a dict, 'balanced' or None, got {came}; pass {{class: factor}}")
        factors: Array = compute_sample_weight(self.class_weight, y)
        return factors

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
