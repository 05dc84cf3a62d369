"""Arguments as scikit-learn, PyTorch and Keras name them are answered by what to pass here."""

import copy
import inspect
import pickle
import re
from collections.abc import Callable
from typing import Any

import pytest

import fastnn
from fastnn import SGD, Adam, AdamW, Network, datasets, slips
from tests.test_training import T, X, small_network

ARGUMENTS: list[tuple[Callable[..., Any], tuple[Any, ...], str, str]] = [
    (SGD, (), "learning_rate", "pass lr"),
    (Adam, (), "betas", "pass beta1 and beta2"),
    (AdamW, (), "eps", "pass epsilon"),
    (small_network().fit, (X, T), "learning_rate", slips.RATE),
    (small_network().fit, (X, T), "lr", slips.RATE),
    (small_network().fit, (X, T), "verbose", "pass progress=True or progress=False"),
    (small_network().fit, (X, T), "validation_split", slips.PART),
    (small_network().fit, (X, T), "batchsize", "pass batch_size"),
    (small_network().fit, (X, T), "zzz", "leave it out"),
    (Network, ([fastnn.Affine(2, 2)],), "random_state", "pass rng"),
    (datasets.train_test_split, (X, T), "test_size", "pass test_fraction"),
    (datasets.k_fold, (X, T), "n_splits", "pass folds"),
]


@pytest.mark.parametrize(("function", "arguments", "name", "remedy"), ARGUMENTS)
def test_a_slip_says_what_to_pass(
    function: Callable[..., Any], arguments: tuple[Any, ...], name: str, remedy: str
) -> None:
    with pytest.raises(
        TypeError, match=f"^{function.__name__}: expected arguments out of .*, got {name}; {re.escape(remedy)}$"
    ):
        function(*arguments, **{name: 1})


def test_signatures_stay_as_they_are() -> None:
    assert list(inspect.signature(SGD).parameters) == ["lr", "clip_value", "clip_norm"]
    assert str(inspect.signature(AdamW)).startswith("(lr: float = 0.001, beta1: float = 0.9")
    assert "options" not in inspect.signature(Network.fit).parameters
    assert Network.fit.__name__ == "fit" and Network.fit.__doc__
    assert pickle.loads(pickle.dumps(datasets.train_test_split)) is datasets.train_test_split
    assert copy.deepcopy(Adam(0.5)) == Adam(lr=0.5)
