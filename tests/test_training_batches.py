"""Training on iterables of batches, and on arrays in files: the bits of the same training on arrays in memory."""

import pathlib
import re
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import Affine, BatchNorm, Checkpoint, Dropout, Flatten, Network, Relu
from fastnn.gate.arrays import Array
from tests import shapes
from tests.checkpoints import killed_after, outcome

ROWS, SIZE = 27, 8  # the last batch has 3 rows
X = (shapes.numbers(3, ROWS, 6) * 20).astype(np.int16).astype(np.float32)
T = shapes.targets("labels", ROWS, 3, np.float32)
OPTIONS: dict[str, Any] = {"epochs": 3, "optimizer": fastnn.Momentum(0.01), "progress": False}


def network(dtype: str = "float32") -> Network:
    return Network([Affine(6, 5), BatchNorm(), Relu(), Dropout(0.25), Affine(5, 3)], rng=1, dtype=dtype)


def pairs(x: Any = X, t: Any = T) -> list[tuple[Any, Any]]:
    return [(x[i : i + SIZE], t[i : i + SIZE]) for i in range(0, ROWS, SIZE)]


def on_arrays(t: Any = T, **options: Any) -> tuple[Any, ...]:
    net = network()
    return outcome(net, net.fit(X, t, batch_size=SIZE, shuffle=False, **{**OPTIONS, **options}))


class Loader:
    """An iterable without a length, which can be taken several times."""

    def __init__(self) -> None:
        self.taken = 0

    def __iter__(self) -> Iterator[tuple[Array, Array]]:
        self.taken += 1
        yield from pairs()


# --- iterables


@pytest.mark.parametrize(
    "given", [pairs, Loader, lambda: Loader().__iter__, lambda: pairs(X.astype(np.int16)), lambda: pairs(X.tolist())]
)
def test_the_bits_of_the_same_batches(given: Callable[[], Any]) -> None:
    net = network()
    assert outcome(net, net.fit(given(), **OPTIONS)) == on_arrays()


def test_dense_targets_and_validation() -> None:
    dense, net = np.eye(3)[T], network()
    history = net.fit(pairs(t=dense), validation_data=(X, dense), **OPTIONS)
    assert outcome(net, history) == on_arrays(dense, validation_data=(X, dense))
    assert history.accuracy


def test_a_generator_is_one_epoch() -> None:
    net = network()
    history = net.fit((pair for pair in pairs()), **{**OPTIONS, "epochs": 1})
    assert outcome(net, history) == on_arrays(epochs=1)
    came = "none, as an iterator gives its batches once; pass a list, a DataLoader or a function"
    with pytest.raises(ValueError, match=f"^x: expected batches for each epoch, got {came}$"):
        net.fit((pair for pair in pairs()), **OPTIONS)
    assert net.history is not None and net.history.epochs == 1


def test_each_epoch_takes_the_iterable_once() -> None:
    loader = Loader()
    network().fit(loader, **OPTIONS)
    assert loader.taken == 3


def test_a_data_loader_of_torch() -> None:
    torch = pytest.importorskip("torch")
    samples = torch.utils.data.TensorDataset(torch.from_numpy(X), torch.from_numpy(T))
    net, other = network(), network()
    history = net.fit(torch.utils.data.DataLoader(samples, batch_size=SIZE), **OPTIONS)
    assert outcome(net, history) == on_arrays()
    orders = [torch.randperm(ROWS, generator=generator) for generator in [torch.Generator().manual_seed(4)]]
    shuffled = torch.utils.data.DataLoader(samples, SIZE, sampler=orders[0].tolist())
    net, order = network(), orders[0].numpy()
    expected = outcome(other, other.fit(X[order], T[order], batch_size=SIZE, shuffle=False, **OPTIONS))
    assert outcome(net, net.fit(shuffled, **OPTIONS)) == expected


def test_a_batch_of_one_row_is_left_out_with_batch_norm() -> None:
    net, other = network(), network()
    history = net.fit([*pairs(), (X[:1], T[:1])], **OPTIONS)
    assert outcome(net, history) == outcome(other, other.fit(pairs(), **OPTIONS))


def test_numerical_gradients_of_batches() -> None:
    nets = [Network([Affine(6, 3)], rng=1) for _ in range(2)]
    options = {**OPTIONS, "gradient": "numerical", "epochs": 2}
    histories = nets[0].fit(pairs(), **options), nets[1].fit(X, T, batch_size=SIZE, shuffle=False, **options)
    assert outcome(nets[0], histories[0]) == outcome(nets[1], histories[1])


@pytest.mark.parametrize("files", [1, 2, 4, 5])
def test_batches_go_on_from_a_checkpoint(files: int, path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that is left out does not count."""
    given = [(X[:1], T[:1]), *pairs()]
    with killed_after(files, monkeypatch):
        network().fit(given, callbacks=[Checkpoint(path, every_batches=3)], **OPTIONS)
    net, other = network(), network()
    assert outcome(net, net.fit(given, resume=path, **OPTIONS)) == outcome(other, other.fit(pairs(), **OPTIONS))


REFUSED: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
    ([], {}, ValueError, "x: expected batches (x, t), got none; pass a list of pairs (x, t), a DataLoader, "),
    (5, {}, TypeError, "x: expected batches, as t is None, got 5; pass a list of pairs (x, t), a DataLoader, "),
    ([X], {}, TypeError, "x: expected batches that are pairs (x, t), as t is None, got an object of type ndarray; "),
    ([(X, T, T)], {}, TypeError, "x: expected batches that are pairs (x, t), as t is None, got 3 parts; "),
    ([(X[:, 1:], T)], {}, ValueError, "x: expected a float32 array of shape (N, 6), got shape (27, 5)"),
    ([(X * np.nan, T)], {}, ValueError, "x: expected finite values, got nan at x[0, 0]; "),
    (pairs(), {"sample_weight": T}, ValueError, "sample_weight: expected none with an iterable of batches, got one; "),
    (pairs(), {"class_weight": T}, ValueError, "class_weight: expected none with an iterable of batches, got one; "),
    (X, {}, TypeError, "t: expected labels"),
    ([(X[:1], T[:1])] * 2, {}, ValueError, "x: expected at least 2 rows, as BatchNorm goes by their mean and variance"),
]


@pytest.mark.parametrize(("given", "options", "error", "sentence"), REFUSED, ids=[row[3] for row in REFUSED])
def test_what_is_refused(given: Any, options: dict[str, Any], error: type[Exception], sentence: str) -> None:
    net = network()
    before = outcome(net, fastnn.History())
    with pytest.raises(error, match=f"^{re.escape(sentence)}"):
        net.fit(given, **OPTIONS, **options)
    assert outcome(net, fastnn.History()) == before and net.history is None


def test_a_bad_batch_within_an_epoch_keeps_the_training_so_far() -> None:
    net, other = network(), network()
    with pytest.raises(ValueError, match=r"^x: expected finite values, got inf"):
        net.fit([*pairs()[:2], (X[:4] + np.inf, T[:4])], **OPTIONS)
    for x, t in pairs()[:2]:
        other.step(x, t, OPTIONS["optimizer"])
    assert outcome(net, fastnn.History()) == outcome(other, fastnn.History())


# --- arrays in files


@pytest.mark.parametrize("dtype", ["uint8", "int16", ">f4", "float16", "float64", "float32"])
@pytest.mark.parametrize("shuffle", [True, False])
def test_the_bits_of_the_same_array_in_memory(dtype: str, shuffle: bool, path: pathlib.Path) -> None:
    values = np.abs(X) if dtype == "uint8" else X
    file: Any = np.memmap(path, dtype, "w+", shape=(ROWS, 6), order="F" if dtype == "float32" else "C")
    file[...] = values
    options = {**OPTIONS, "batch_size": SIZE, "shuffle": shuffle, "rng": 2, "sample_weight": np.arange(1.0, ROWS + 1)}
    net, other = network(), network()
    assert outcome(net, net.fit(file, T, **options)) == outcome(other, other.fit(values, T, **options))
    net, other, dense = network(), network(), np.eye(3)[T]
    assert outcome(net, net.fit(file, dense, **options)) == outcome(other, other.fit(values, dense, **options))


def test_images_in_a_file(path: pathlib.Path) -> None:
    images: Any = np.memmap(path, np.uint8, "w+", shape=(ROWS, 2, 3))
    images[...] = np.abs(X).reshape(ROWS, 2, 3)
    nets = [Network([Flatten(), Affine(6, 3)], rng=1, input_shape=(2, 3)) for _ in range(2)]
    histories = [net.fit(x, T, rng=1, **OPTIONS) for net, x in zip(nets, (images, np.array(images)), strict=True)]
    assert outcome(nets[0], histories[0]) == outcome(nets[1], histories[1])


def test_an_array_in_a_file_is_not_copied_as_a_whole(path: pathlib.Path) -> None:
    rows = 40_000
    file: Any = np.memmap(path, np.uint8, "w+", shape=(rows, 100))  # 4 MB, 16 in float32
    t = np.arange(rows) % 3
    net = Network([Affine(100, 3)], rng=1)
    net.fit(file[:200], t[:200], epochs=1, progress=False)
    tracemalloc.start()
    try:
        net.fit(file, t, epochs=1, batch_size=100, progress=False)
        assert tracemalloc.get_traced_memory()[1] < 12_000_000
    finally:
        tracemalloc.stop()


def test_an_array_in_a_file_goes_on_from_a_checkpoint(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file: Any = np.memmap(path.with_name("data"), np.int16, "w+", shape=(ROWS, 6))
    file[...] = X
    options = {**OPTIONS, "batch_size": SIZE, "rng": 2}
    net, other = network(), network()
    expected = outcome(other, other.fit(X, T, **options))
    with killed_after(2, monkeypatch):
        network().fit(file, T, callbacks=[Checkpoint(path, every_batches=3)], **options)
    assert outcome(net, net.fit(file, T, resume=path, **options)) == expected


def test_nan_in_a_file_is_refused_before_the_training(path: pathlib.Path) -> None:
    file: Any = np.memmap(path, np.float64, "w+", shape=(ROWS, 6))
    file[20, 1] = np.nan
    net = network()
    before = outcome(net, fastnn.History())
    with pytest.raises(
        ValueError, match=r"^x: expected finite values, got nan at x\[20, 1\]; correct the data, or pass"
    ):
        net.fit(file, T, **OPTIONS)
    assert outcome(net, fastnn.History()) == before
