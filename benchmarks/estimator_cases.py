"""The data and parameters with which fastnn's estimators are compared with scikit-learn's, and one fit of each."""

import importlib
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

LIBRARIES = {"sklearn": "sklearn.neural_network", "fastnn": "fastnn.sklearn"}
LONGEST = 1.0  # seconds of the fits whose median counts, in a process
DTYPES = ("float64", "float32")
DOCUMENTS, WORDS, TOPICS = 2000, 10_000, 20

Data = tuple[Any, Any, Any, Any]  # x, y for training, x, y for the score
Row = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A data set, an estimator's name and its parameters."""

    name: str
    data: Callable[[str | None], Data]
    estimator: str
    parameters: dict[str, Any]


def _of_sklearn(loader: str) -> Callable[[str | None], Data]:
    """One of scikit-learn's data sets, standardized, of which a quarter is for the score."""

    def load(folder: str | None) -> Data:
        from sklearn import datasets, model_selection, preprocessing

        x, y = getattr(datasets, loader)(return_X_y=True)
        y = y / y.std() if loader == "load_diabetes" else y
        x, held_out, y, held_out_y = model_selection.train_test_split(x, y, test_size=0.25, random_state=0)
        scaler = preprocessing.StandardScaler().fit(x)
        return scaler.transform(x), y, scaler.transform(held_out), held_out_y

    return load


def _mnist(folder: str | None) -> Data:
    from fastnn import datasets

    (x, y), (held_out, held_out_y) = datasets.load_mnist(folder)
    return x, y, held_out, held_out_y


def documents(folder: str | None = None, count: int = DOCUMENTS, words: int = WORDS) -> Data:
    """TF-IDF of documents of some topics, half for the score; words are as frequent as Zipf's law says.

    A twelfth of a document's words come from its topic, which has a hundredth of all words as its own.
    """
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import TfidfTransformer

    rng = np.random.default_rng(0)
    frequencies = 1.0 / np.arange(1, words + 1)
    frequencies /= frequencies.sum()
    own = [rng.choice(words, max(1, words // 100), replace=False) for _ in range(TOPICS)]
    topics, lengths = rng.integers(0, TOPICS, 2 * count), rng.lognormal(4.7, 0.5, 2 * count).astype(int) + 1
    drawn = [
        np.where(rng.random(n) < 1.0 / 12.0, rng.choice(own[topic], n), rng.choice(words, n, p=frequencies))
        for topic, n in zip(topics, lengths, strict=True)
    ]
    rows = np.repeat(np.arange(2 * count), lengths)
    counts = csr_matrix((np.ones(len(rows)), (rows, np.concatenate(drawn))), shape=(2 * count, words))
    transformer = TfidfTransformer(sublinear_tf=True).fit(counts[:count])
    x, names = transformer.transform(counts), np.array([f"topic {topic}" for topic in topics])
    return x[:count], names[:count], x[count:], names[count:]


CASES = (
    Case("digits", _of_sklearn("load_digits"), "MLPClassifier", {}),
    Case("MNIST", _mnist, "MLPClassifier", {"max_iter": 10}),
    Case("breast cancer", _of_sklearn("load_breast_cancer"), "MLPClassifier", {}),
    Case("diabetes", _of_sklearn("load_diabetes"), "MLPRegressor", {"learning_rate_init": 0.01, "alpha": 30.0}),
    Case("documents, sparse", documents, "MLPClassifier", {"max_iter": 20}),
)
BY_NAME = {case.name: case for case in CASES}


def estimator_of(case: Case, library: str, **more: Any) -> Any:
    """The estimator of a library."""
    kind = getattr(importlib.import_module(LIBRARIES[library]), case.estimator)
    return kind(**{**case.parameters, "random_state": 0, **more})


def measure(case: Case, library: str, dtype: str, folder: str | None) -> Row:
    """Score and seconds of a fit; the first one, of one epoch, is not timed, as it may compile."""
    x, y, held_out, held_out_y = case.data(folder)
    x, held_out = x.astype(dtype), held_out.astype(dtype)
    model = estimator_of(case, library)
    seconds: list[float] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an end before the solver has converged
        estimator_of(case, library, max_iter=1).fit(x, y)
        while not seconds or sum(seconds) < LONGEST:
            start = time.perf_counter()
            model.fit(x, y)
            seconds.append(time.perf_counter() - start)
    found = {"score": float(model.score(held_out, held_out_y)), "epochs": int(model.n_iter_)}
    return {**found, "seconds": statistics.median(seconds), "samples": x.shape[0], "features": x.shape[1]}
