"""Estimators for scikit-learn, drop-in for its own: `from fastnn.sklearn import MLPClassifier, MLPRegressor`.

With equal parameters and `random_state` they begin with the weights of scikit-learn's, see the batches in its order and
minimize its objective, so in float64 their results agree to rounding. scikit-learn is imported by this package alone.
"""

from fastnn.sklearn.classifier import MLPClassifier
from fastnn.sklearn.regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
