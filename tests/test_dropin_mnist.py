"""The book's mnist.pkl is read as in the book, and nothing in a pickle is run."""

import os
import pathlib
import pickle
import pickletools
import sys
from typing import Any

import numpy as np
import pytest

from fastnn.dropin.dataset import mnist, pickled


def content() -> dict[str, Any]:
    generator = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for name, rows in (("train", 7), ("test", 4)):
        arrays[f"{name}_img"] = generator.integers(0, 256, (rows, 784)).astype(np.uint8)
        arrays[f"{name}_label"] = generator.integers(0, 10, rows).astype(np.uint8)
    return arrays


@pytest.fixture
def file(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    (tmp_path / "dataset").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("FASTNN_DATA", str(tmp_path / "nowhere"))
    return tmp_path / "dataset" / "mnist.pkl"


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_what_the_book_leaves_is_read(file: pathlib.Path, protocol: int, old: bool) -> None:
    arrays = content()
    data = pickle.dumps(arrays, protocol)
    if old:  # as NumPy 1 named it
        data = data.replace(b"\x16numpy._core.multiarray", b"\x15numpy.core.multiarray")
        data = data.replace(b"numpy._core.multiarray\n", b"numpy.core.multiarray\n")
        data = data.replace(b"\x13numpy._core.numeric", b"\x12numpy.core.numeric")
        data = data[:2] + data[11:] if protocol >= 4 else data  # without the frame, whose length differs
    file.write_bytes(data)
    assert (b"_core" in data) == (not old)
    (x, t), (x_test, t_test) = mnist.load_mnist()
    np.testing.assert_array_equal(x, (arrays["train_img"].astype(np.float32) / 255.0))
    assert x.dtype == np.float32 and t.dtype == np.uint8 and x_test.shape == (4, 784)
    np.testing.assert_array_equal(t, arrays["train_label"])
    np.testing.assert_array_equal(t_test, arrays["test_label"])
    (x, t), _ = mnist.load_mnist(normalize=False, flatten=False, one_hot_label=True)
    np.testing.assert_array_equal(x, arrays["train_img"].reshape(-1, 1, 28, 28))
    np.testing.assert_array_equal(t, np.eye(10)[arrays["train_label"]])
    assert x.flags.writeable and t.dtype == np.float64
    mnist.init_mnist()


class Calls:
    """An object that is pickled as a call of a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def harmful() -> dict[str, bytes]:
    arrays = content()
    tuple_in_place = {**arrays, "train_img": (1, 2)}
    return {
        "a call": pickle.dumps({**arrays, "more": Calls(os.mkdir, "made")}),
        "a call, old": pickle.dumps(Calls(os.mkdir, "made"), 0),
        "a call of eval": pickle.dumps({**arrays, "test_img": Calls(eval, "__import__('os').mkdir('made')")}),
        "a name of a name": b"\x80\x04\x8c\x05numpy\x8c\x0ecore.os.system\x93.",
        "builtins by getattr": pickle.dumps(Calls(getattr, np.ndarray, "tofile")),
        "objects": pickle.dumps({**arrays, "train_label": np.array([Calls(os.mkdir, "made")], object)}),
        "another dtype": pickle.dumps({**arrays, "train_img": arrays["train_img"].astype(np.float64)}),
        "columns first": pickle.dumps({**arrays, "train_img": np.asfortranarray(arrays["train_img"])}),
        "other keys": pickle.dumps({"train_img": arrays["train_img"]}),
        "another shape": pickle.dumps({**arrays, "train_img": arrays["train_img"][:3]}),
        "a label of 200": pickle.dumps({**arrays, "test_label": np.full(4, 200, np.uint8)}),
        "a tuple": pickle.dumps(tuple_in_place),
        "cut short": pickle.dumps(arrays)[:-2000],
        "empty": b"",
        "memory": b"\x80\x04}r\xff\xff\xff\xff.",
        "without end": b"\x80\x04" + 2000 * b"}0" + b"}.",
        "a key by DUP": b"})" + 60 * b"2\x86" + b"Nu.",
        "a key without end": b"\x80\x04})\x94" + b"".join(b"h%ch%c\x86\x94" % (n, n) for n in range(60)) + b"Ns.",
        "keys without end": b"\x80\x04}(K\x01\x85\x94"
        + b"".join(b"h%ch%c\x86\x94" % (n, n) for n in range(60))
        + b"u.",
        "attributes of what is found": b"\x80\x04\x8c\x05numpy\x8c\x05dtype\x93}\x8c\x01xK\x01sb.",
    }


@pytest.mark.parametrize("kind", harmful())
def test_nothing_else_is_read_or_run(file: pathlib.Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    file.write_bytes(harmful()[kind])
    before = {each: dict(vars(each)) for each in pickled.ADMITTED.values()}
    with pytest.raises(ValueError, match=r"^expected "):
        pickled.read(str(file))
    assert not (file.parent / "made").exists()
    assert {each: dict(vars(each)) for each in pickled.ADMITTED.values()} == before
    with pytest.warns(UserWarning, match=r"mnist\.pkl: expected .*; it is left alone"), pytest.raises(ValueError):  # noqa: PT011
        mnist.load_mnist()


def test_a_damaged_file_never_does_more_than_be_refused(file: pathlib.Path) -> None:
    data = pickle.dumps({key: value[:1] for key, value in content().items()})
    generator = np.random.default_rng(0)
    positions = [position for _, _, position in pickletools.genops(data) if position is not None]
    modules = set(sys.modules)
    for position in positions * 3:
        changed = bytearray(data)
        changed[position] = generator.integers(256)
        file.write_bytes(changed)
        try:
            pickled.read(str(file))
        except ValueError:
            continue
    assert {name for name in set(sys.modules) - modules if not name.startswith("encodings.")} == set()


def test_a_file_too_large(file: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_bytes(pickle.dumps(content()))
    monkeypatch.setattr(pickled, "LARGEST", 1000)
    with pytest.raises(ValueError, match=r"^expected at most 1,000 bytes, got"):
        pickled.read(str(file))
