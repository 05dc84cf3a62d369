"""Data of a distributed training that are refused, or left out, before compiled code reads them."""

import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fastnn
from tests.clusters import OPTIONS, K, T, X, network, parameter_bits

distributed = pytest.importorskip("distributed")

from fastnn.distributed import fit, on_workers  # noqa: E402 - they need Dask


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """A worker that is a thread of this process."""
    options = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": ":0", "processes": False}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as found:
        yield found


@pytest.mark.parametrize("shards", [1, 2])
@pytest.mark.parametrize("first", ["labels", "values"])
def test_pieces_with_another_kind_of_targets_are_refused(
    client: Any, tmp_path: pathlib.Path, shards: int, first: str
) -> None:
    """Compiled code would read the targets of all rows out of those of a few."""
    targets = {"labels": T[:100], "values": np.eye(K, dtype=np.float32)[T[100:]]}
    files = [tmp_path / f"{name}.npz" for name in sorted(targets, key=lambda name: name != first)]
    for file, x in zip(files, (X[:100], X[100:]), strict=True):
        np.savez(file, x=x, t=targets[file.stem])
    other = files[1].stem
    with pytest.raises(ValueError, match=rf"{other}\.npz: expected {first} as targets.*got {other}; write all"):
        fit(network(), files, client, **{**OPTIONS, "shards": shards})


@pytest.mark.parametrize("few", [0, 1, 99])
def test_shapes_are_checked_before_compiled_code(few: int) -> None:
    shapes = X[:100], T[:few], np.zeros((0, K), np.float32), np.empty(0, np.intp)
    with pytest.raises(ValueError, match=r"^data: expected 100 samples and their targets, got arrays of the shapes"):
        on_workers.check_shapes(shapes, 100)


def test_a_file_that_changes_is_refused(client: Any, tmp_path: pathlib.Path) -> None:
    files = [tmp_path / f"{number}.npz" for number in range(4)]
    for file in files:
        np.savez(file, x=X, t=T)

    def shorten(net: fastnn.Network, history: fastnn.History) -> None:
        for file in files:
            np.savez(file, x=X[:50], t=T[:50])

    with pytest.raises(ValueError, match=r"\.npz: expected 200 rows, as before, got 50; data must not change"):
        fit(network(), files, client, **{**OPTIONS, "shards": 2, "callbacks": [shorten]})


def test_files_and_chunks_without_rows_are_left_out(client: Any, tmp_path: pathlib.Path) -> None:
    for name, rows in (("none", slice(0)), ("all", slice(None))):
        np.savez(tmp_path / f"{name}.npz", x=X[rows], t=T[rows])
    results = []
    for names in (["all"], ["none", "all"], ["all", "none"]):
        trained = network()
        fit(trained, [tmp_path / f"{name}.npz" for name in names], client, **OPTIONS)
        results.append(parameter_bits(trained))
    assert results[0] == results[1] == results[2]
    with pytest.raises(ValueError, match=r"^data: expected samples, got no row"):
        fit(network(), [tmp_path / "none.npz"], client, **OPTIONS)


@pytest.mark.parametrize("name", ["array.npy", "cut.npz", "text.npz", "number.npz", "objects.npz", "lengths.npz"])
def test_bad_files_are_named(client: Any, tmp_path: pathlib.Path, name: str) -> None:
    np.savez(tmp_path / "good.npz", x=X, t=T)
    file = tmp_path / name
    if name == "array.npy":
        np.save(file, X)
    elif name == "cut.npz":
        file.write_bytes((tmp_path / "good.npz").read_bytes()[:500])
    elif name == "text.npz":
        file.write_text("x,t")
    elif name == "number.npz":
        np.savez(file, x=X, t=np.int64(3))
    elif name == "objects.npz":
        np.savez(file, x=X, t=T.astype(object))
    else:
        np.savez(file, x=X, t=T[:-1])
    with pytest.raises(ValueError, match="expected") as raised:
        fit(network(), [tmp_path / "good.npz", file], client, **OPTIONS)
    assert str(file) in str(raised.value)
    assert "pickle" not in str(raised.value) and "check_finite" not in str(raised.value)
