"""Checkpoints: when files are written, which stay, and which runs do not go on from them."""

import errno
import os
import pathlib
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import Affine, Checkpoint, EarlyStopping, History, Network, Relu, schedules
from fastnn.network import run_state
from fastnn.network.files import contents, training_state
from tests.checkpoints import OPTIONS, T, X, killed_after, network, outcome, uninterrupted
from tests.model_files import bits, whole

# --- when files are written, and which stay


def places(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> list[tuple[int, int]]:
    """The epochs and batches after which a run writes files."""
    found, write = [], contents.write

    def note(name: str, parts: Any) -> None:
        write(name, parts)
        with contents.opened(name) as reader:
            position = training_state.unpack(reader)["position"]
        found.append((position["epochs"], position["batches"]))

    with monkeypatch.context() as patch:
        patch.setattr(contents, "write", note)
        network().fit(X, T, callbacks=[Checkpoint(path, **options)], **OPTIONS)
    return found


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [(1, 0), (2, 0), (3, 0), (4, 0)]),
        ({"every": 3}, [(3, 0), (4, 0)]),
        ({"every": None}, [(4, 0)]),
        ({"every": None, "every_batches": 6}, [(1, 2), (3, 0), (4, 0)]),
        ({"every": 2, "every_batches": 3}, [(0, 3), (1, 2), (2, 0), (2, 1), (3, 0), (3, 3), (4, 0)]),
        ({"every": None, "every_seconds": 0}, [(e, b) for e in range(4) for b in range(1, 4)] + [(4, 0)]),
        ({"every": None, "every_seconds": 1e6}, [(4, 0)]),
    ],
)
def test_when_files_are_written(
    options: dict[str, Any], expected: list[tuple[int, int]], path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = places(path, monkeypatch, **options)
    if options.get("every_seconds") == 0:  # calls take as many batches as fit into 0.05 s
        assert found[-1] == (4, 0) and len(found) >= 4 and found == sorted(found)
    else:
        assert found == expected


@pytest.mark.parametrize(("keep", "left"), [(1, [4]), (2, [3, 4]), (None, [1, 2, 3, 4])])
def test_the_last_files_are_kept(
    keep: int | None, left: list[int], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill between two epochs does not leave more."""
    checkpoint = Checkpoint(tmp_path / "run-{epoch:02}.npz", keep=keep)
    (tmp_path / "run-old.npz").touch()
    with killed_after(2, monkeypatch):
        network().fit(X, T, callbacks=[checkpoint], **OPTIONS)
    net = network()
    history = net.fit(X, T, callbacks=[checkpoint], resume=tmp_path / "run-{epoch:02}.npz", **OPTIONS)
    assert outcome(net, history) == uninterrupted()
    assert sorted(os.listdir(tmp_path)) == [*(f"run-{epoch:02}.npz" for epoch in left), "run-old.npz"]


def test_the_best_epoch_is_kept(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, best, kept = tmp_path / "last.npz", tmp_path / "best.npz", {}
    options = {**OPTIONS, "epochs": 12, "optimizer": fastnn.SGD(1.0), "validation_data": (X, T[::-1].copy())}
    checkpoint = Checkpoint(path, every=5, best=best)
    with killed_after(5, monkeypatch):
        network().fit(X, T, callbacks=[checkpoint], **options)
    net = network()
    look: Any = lambda net, history: kept.update({history.epochs: bits(net)})  # noqa: E731
    history = net.fit(X, T, callbacks=[look, checkpoint], resume=path, **options)
    epoch = int(np.argmin(history.validation_loss)) + 1
    if epoch not in kept:  # before the file that was resumed
        network().fit(X, T, callbacks=[look], **options)
    assert bits(fastnn.load(best)) == kept[epoch]


def test_the_newest_file_is_taken(tmp_path: pathlib.Path) -> None:
    """It is the newest by its time: an older run may have got further."""
    pattern = tmp_path / "run-{epoch}.npz"
    network().fit(X, T, callbacks=[Checkpoint(pattern, keep=None)], **OPTIONS)
    for epoch, second in ((1, 5), (2, 9), (3, 7), (4, 1)):
        os.utime(tmp_path / f"run-{epoch}.npz", (second, second))
    (tmp_path / "run-x.npz").touch()
    (tmp_path / "run-09.npz").touch()  # would be run-9.npz
    net, seen = network(), []
    net.fit(X, T, resume=pattern, callbacks=[lambda net, history: seen.append(history.epochs)], **OPTIONS)
    assert seen == [3, 4]


def test_the_data_are_read_once(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their checksums take time, and a callback may change them, such as one that shifts images."""
    calls: list[Any] = []
    x, text = X.copy(), run_state._text_of_arrays

    def counted(values: Any) -> str:
        calls.append(values)
        return text(values)

    def change(net: Network, history: History) -> None:
        x[:] *= 1.5

    monkeypatch.setattr(run_state, "_text_of_arrays", counted)
    for resume in (None, path):
        x[:] = X
        callbacks: list[Any] = [change, Checkpoint(path, every_batches=2)]
        network().fit(x, T, callbacks=callbacks, resume=resume, **OPTIONS)
        assert len(calls) == 2  # x and t
        calls.clear()


def test_a_full_disk_leaves_the_earlier_file(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync, calls = os.fsync, []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) > 4:  # a file and its folder, twice
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    net = network()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=r"free some space, or choose another folder$") as caught:
            net.fit(X, T, callbacks=[Checkpoint(path)], **OPTIONS)
    assert caught.value.errno == errno.ENOSPC
    assert os.listdir(path.parent) == [path.name]
    net = network()
    assert outcome(net, net.fit(X, T, resume=path, **OPTIONS)) == uninterrupted()


def test_a_checkpoint_is_a_network_and_an_npz_file(path: pathlib.Path) -> None:
    net = network()
    history = net.fit(X, T, callbacks=[Checkpoint(path)], **OPTIONS)
    assert bits(fastnn.load(path)) == bits(net)
    with np.load(path, allow_pickle=False) as file:
        np.testing.assert_array_equal(file["W1"], net.params["W1"], strict=True)
        np.testing.assert_array_equal(file["training/history/loss"], history.loss)


# --- refusals


RUN = {**OPTIONS, "validation_data": (X[:9], T[:9])}
CHANGED = X.copy()
CHANGED[20, 2] += 1
OTHERS: list[tuple[str, dict[str, Any], str, str]] = [
    ("batch_size", {"batch_size": 7}, "8", "7"),
    ("optimizer", {"optimizer": fastnn.Adam(0.02)}, "Adam(lr=0.01, ", "Adam(lr=0.02, "),
    ("optimizer", {"optimizer": fastnn.SGD(0.01)}, "Adam(lr=0.01, ", "SGD(lr=0.01)"),
    ("schedule", {"schedule": schedules.StepDecay(2, 0.5)}, "none", "StepDecay(every=2, factor=0.5)"),
    ("shuffle", {"shuffle": False}, "True", "False"),
    ("rng", {"rng": 3}, "2", "3"),
    ("initial_epoch", {"initial_epoch": 1}, "0", "1"),
    ("x", {"x": CHANGED}, "an array (26, 5) with the checksum ", "an array (26, 5) with the checksum "),
    ("rng", {"x": CHANGED, "rng": 3}, "2", "3"),  # by which the data were drawn, perhaps
    ("rng", {"t": T[::-1].copy(), "rng": np.random.default_rng(3)}, "2", "3"),
    ("x", {"x": CHANGED, "rng": np.random.default_rng(2)}, "an array (26, 5) with", "an array (26, 5) with"),
    ("x", {"x": CHANGED, "rng": None}, "an array (26, 5) with", "an array (26, 5) with"),
    ("batch_size", {"batch_size": 7, "rng": np.random.default_rng(3)}, "8", "7"),
    ("x", {"x": X[:25], "t": T[:25]}, "an array (26, 5) with", "an array (25, 5) with"),
    ("t", {"t": T[::-1].copy()}, "an array (26,) with", "an array (26,) with"),
    ("validation_data", {"validation_data": None}, "an array (9, 5) with", "none"),
    ("sample_weight", {"class_weight": [1, 1, 2]}, "none", "an array (26,) with"),
]


@pytest.mark.parametrize(("name", "change", "there", "here"), OTHERS)
def test_another_argument_is_named(
    name: str, change: dict[str, Any], there: str, here: str, path: pathlib.Path
) -> None:
    """And nothing is changed."""
    network().fit(X, T, callbacks=[Checkpoint(path)], **RUN)
    net = network()
    before, history = bits(net), net.history
    sentence = f"^{name}: expected {re.escape(there)}.*, as in the run of {path}, got {re.escape(here)}"
    with pytest.raises(ValueError, match=sentence) as caught:
        net.fit(**{"x": X, "t": T, "resume": path, **RUN, **change})
    remedy = f"; pass the same, or train its weights anew: fastnn.load({str(path)!r}), and fit without resume"
    assert str(caught.value).endswith(remedy)
    assert bits(net) == before and net.history is history


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("layers", lambda: Network([Affine(5, 4), Relu(), Affine(4, 3)], rng=1)),
        ("loss", lambda: Network(network().layers, "mean_squared_error", rng=1)),
        ("dtype", lambda: network("float64")),
        ("regularization", lambda: network(regularization=fastnn.Regularization(l2=0.1))),
    ],
)
def test_another_network_is_named(name: str, other: Callable[[], Network], path: pathlib.Path) -> None:
    t = np.eye(3)[T]
    network().fit(X, t, callbacks=[Checkpoint(path)], **OPTIONS)
    with pytest.raises(ValueError, match=rf"^{name}: expected .*, as in the run of {path}, got .*; pass the same"):
        other().fit(X, t, resume=path, **OPTIONS)


def test_other_callbacks_and_generators_are_named(path: pathlib.Path) -> None:
    stopping = EarlyStopping(monitor="loss")
    network().fit(X, T, callbacks=[stopping, Checkpoint(path)], **OPTIONS)
    net = network()
    before = bits(net)
    refusals: list[tuple[dict[str, Any], str]] = [
        ({}, "callbacks: expected EarlyStopping 1 with a state, as in the run of .*, got none; pass the same"),
        (
            {"callbacks": [stopping, EarlyStopping(monitor="accuracy")]},
            "callbacks: expected EarlyStopping 1 with a state, .*, got EarlyStopping 1, EarlyStopping 2; pass the same",
        ),
        (
            {"callbacks": [EarlyStopping(7, monitor="loss")]},
            "patience: expected 5, as in the run of the checkpoint, got 7; pass the same",
        ),
        (
            {"callbacks": [stopping], "rng": np.random.Generator(np.random.MT19937(2))},
            "rng: expected a Generator with PCG64, as in the run of .*, got MT19937; pass a generator of the same kind",
        ),
    ]
    for options, sentence in refusals:
        with pytest.raises(ValueError, match=f"^{sentence}$"):
            net.fit(X, T, resume=path, **{**OPTIONS, **options})
        assert bits(net) == before


def test_a_file_of_a_network_alone(path: pathlib.Path) -> None:
    network().save(path)
    came = "one of a network alone; go on from its weights: network = fastnn.load(path), then fit without resume"
    message = f"{path}: expected a file written by fastnn.Checkpoint, got {came}"
    with pytest.raises(fastnn.ModelFileError, match=whole(message)):
        network().fit(X, T, resume=path, **OPTIONS)


@pytest.mark.parametrize(
    ("state", "came"),
    [
        ({"f": print}, "an object of type builtin_function_or_method in callbacks/Odd 1/f"),
        ({"a": [np.array([None])]}, "an object of type ndarray in callbacks/Odd 1/a/0"),
        ({3: 1}, "3 in callbacks/Odd 1"),
        ({"a/b": 1}, "'a/b' in callbacks/Odd 1"),
        ({"$array": 1}, "'$array' in callbacks/Odd 1"),
    ],
)
def test_a_state_that_needs_pickle_is_refused_at_once(state: Any, came: str, path: pathlib.Path) -> None:
    class Odd:
        """A callback with this state."""

        def __call__(self, net: Network, history: History) -> None:
            """Do nothing."""

        def state(self, net: Network) -> Any:
            return state

        restore = __call__

    net = network()
    before = bits(net)
    with pytest.raises(TypeError, match=rf"^state: expected .*, got {re.escape(came)}; "):
        net.fit(X, T, callbacks=[Odd(), Checkpoint(path)], **OPTIONS)
    assert bits(net) == before and not path.exists()


BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"every": 0}, ValueError, "every: expected an integer of at least 1, got 0"),
    ({"every_batches": 1.5}, TypeError, "every_batches: expected an integer of at least 1, got 1.5; pass 1 or 2"),
    ({"every_seconds": -1}, ValueError, "every_seconds: expected a finite number of at least 0.0, got -1"),
    ({"keep": 0}, ValueError, "keep: expected an integer of at least 1, got 0"),
    (
        {"keep": 2},
        ValueError,
        "path: expected a name with {epoch} for several files, got 'run.npz'; pass a name such as 'run-{epoch:03}.npz'",
    ),
    ({"path": "run.pt"}, ValueError, "path: expected the name of a file in a format that is written, .npz or "),
    ({"path": "{epoch}{0}.npz"}, ValueError, "path: expected a name with no braces but those of {epoch}, such as "),
    ({"path": "{epoch.real}.npz"}, ValueError, "path: expected a name with no braces but those of {epoch}, such as "),
    ({"path": "{epoch:z}.npz"}, ValueError, "path: expected a name with no braces but those of {epoch}, such as "),
    ({"path": 5}, TypeError, "path: expected a string or an os.PathLike, got 5; pass a name such as 'digits.npz'"),
    ({"monitor": "val_loss"}, ValueError, "monitor: expected one of 'validation_loss', "),
    ({"save_freq": 5}, TypeError, "Checkpoint: expected arguments out of path, every, "),
]


@pytest.mark.parametrize(("options", "error", "sentence"), BAD, ids=[row[2] for row in BAD])
def test_bad_arguments(options: dict[str, Any], error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=f"^{re.escape(sentence)}"):
        Checkpoint(**{"path": "run.npz", **options})


def test_what_could_not_be_written_is_refused_before_the_training(tmp_path: pathlib.Path) -> None:
    net = network()
    before, folder = bits(net), tmp_path / "runs"
    message = f"path: expected a file in a folder that is there, got {folder}/run.npz; create the folder {folder} first"
    with pytest.raises(FileNotFoundError, match=whole(message)):
        net.fit(X, T, callbacks=[Checkpoint(folder / "run.npz")], **OPTIONS)
    with pytest.raises(ValueError, match=r"^monitor: expected a figure that this fit measures \(loss, accuracy\), got"):
        net.fit(X, T, callbacks=[Checkpoint(tmp_path / "run.npz", best=tmp_path / "best.npz")], **OPTIONS)
    of_wrong_type: Any = [Checkpoint]
    with pytest.raises(TypeError, match=r"^callbacks: .*; create one, Checkpoint\(\)$"):
        net.fit(X, T, callbacks=of_wrong_type, **OPTIONS)
    with pytest.raises(ValueError, match=r"^callbacks: expected callbacks that several networks can share, got a Chec"):
        fastnn.cross_validate(lambda rng: network(), X, T, callbacks=[Checkpoint(tmp_path / "run.npz")])
    assert bits(net) == before and os.listdir(tmp_path) == []
