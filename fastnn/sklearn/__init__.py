"""Estimators for scikit-learn, drop-in for its own: `from fastnn.sklearn import MLPClassifier, MLPRegressor`.

With equal parameters and `random_state` they begin with the weights of scikit-learn's, see the batches in its order and
minimize its objective, so in float64 their results agree to rounding. scikit-learn is imported by this package alone.

Examples
--------
>>> from sklearn.pipeline import make_pipeline
>>> from sklearn.preprocessing import StandardScaler
>>> from fastnn.sklearn import MLPClassifier
>>> (x, t), (x_test, t_test) = fastnn.datasets.load_digits()
>>> classifier = MLPClassifier((50,), early_stopping=True, random_state=0)
>>> pipeline = make_pipeline(StandardScaler(), classifier)
>>> pipeline.fit(x, t).score(x_test, t_test) > 0.9
True
"""

from fastnn.sklearn.classifier import MLPClassifier
from fastnn.sklearn.regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
