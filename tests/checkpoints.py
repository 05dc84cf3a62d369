"""Helpers for the tests of checkpoints: a training, a stand-in for a kill, and what a training leaves."""

import contextlib
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import Affine, BatchNorm, Checkpoint, Dropout, History, Network, Relu
from fastnn.network.files import contents
from tests import shapes
from tests.model_files import bits

ROWS = 26  # the last batch of 8 is short
X = shapes.numbers(3, ROWS, 5, dtype=np.float32)
T = shapes.targets("labels", ROWS, 3, np.float32)
OPTIONS: dict[str, Any] = {"epochs": 4, "batch_size": 8, "optimizer": fastnn.Adam(0.01), "rng": 2, "progress": False}


def network(dtype: str = "float32", **options: Any) -> Network:
    return Network([Affine(5, 6), BatchNorm(), Relu(), Dropout(0.25), Affine(6, 3)], rng=1, dtype=dtype, **options)


def outcome(net: Network, history: History) -> tuple[Any, ...]:
    """All that a training leaves, in a form that can be compared."""
    figures = {name: values for name, values in vars(history).items() if name != "seconds"}
    return *bits(net), repr(figures), len(history.seconds)


class KilledError(Exception):
    """Stands for a kill."""


@contextlib.contextmanager
def killed_after(files: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the training end right after so many files were written."""
    written, write = [], contents.write

    def counted(path: str, parts: Any) -> None:
        write(path, parts)
        written.append(path)
        if len(written) == files:
            raise KilledError

    with contextlib.suppress(KilledError), monkeypatch.context() as patch:
        patch.setattr(contents, "write", counted)
        yield


def resumed(
    files: int, path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, checkpoint: Any = None, **options: Any
) -> tuple[Any, ...]:
    """What a training leaves that was interrupted after so many files, and resumed in a new network."""
    callbacks: Callable[[], list[Any]] = options.pop("callbacks", list)
    generator: Callable[[], Any] = options.pop("generator", lambda: 2)
    dtype = options.pop("dtype", "float32")
    options = {**OPTIONS, **options, "resume": path}
    own = checkpoint or Checkpoint(path, every_batches=3)
    with killed_after(files, monkeypatch):
        network(dtype).fit(X, T, callbacks=[own, *callbacks()], **{**options, "rng": generator()})
        raise AssertionError("the training wrote fewer files")
    other = network(dtype, n_threads=1)
    other.initialize(99)
    return outcome(other, other.fit(X, T, callbacks=[*callbacks(), own], **{**options, "rng": generator()}))


def uninterrupted(**options: Any) -> tuple[Any, ...]:
    callbacks: Callable[[], list[Any]] = options.pop("callbacks", list)
    generator: Callable[[], Any] = options.pop("generator", lambda: 2)
    net = network(options.pop("dtype", "float32"))
    return outcome(net, net.fit(X, T, callbacks=callbacks(), **{**OPTIONS, **options, "rng": generator()}))
