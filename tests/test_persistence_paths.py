"""Model files: where they may be, networks that cannot be saved, and old or new at every moment of a save."""

import concurrent.futures
import errno
import json
import os
import pathlib
import stat
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.layers import LAYERS, Affine
from fastnn.network import persistence
from fastnn.network.files import header, npz
from fastnn.network.network import Network
from tests.model_files import HEADER, bits, members, small_network, whole

on_posix = pytest.mark.skipif(os.name != "posix", reason="permissions, pipes and fork are POSIX's")


# ---- paths


@pytest.mark.parametrize("call", [small_network().save, fastnn.load])
def test_what_is_no_path(call: Callable[[Any], Any], tmp_path: pathlib.Path) -> None:
    message = "path: expected a string or an os.PathLike, got 5; pass a name such as 'digits.npz'"
    with pytest.raises(TypeError, match=whole(message)):
        call(5)
    message = "path: expected a string or an os.PathLike, got an object of type bytes; pass a name such as 'digits.npz'"
    with pytest.raises(TypeError, match=whole(message)):
        call(b"model.npz")
    for name in ("", "model\0.npz"):
        message = f"path: expected the name of a file, got {name!r}; pass one such as 'digits.npz'"
        with pytest.raises(ValueError, match=whole(message)):
            call(name)
    for folder in (tmp_path, f"{tmp_path}/model/"):
        message = f"path: expected the name of a file, got the folder {folder}; add a name such as 'digits.npz'"
        with pytest.raises(IsADirectoryError, match=whole(message)):
            call(folder)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", ["onnx", "pt", "pth", "h5", "keras", "npy", "pkl", "json", "PT", "bak.csv"])
@pytest.mark.parametrize("kind", [str, pathlib.Path])
def test_a_name_that_promises_another_format(suffix: str, kind: Callable[[Any], Any], path: pathlib.Path) -> None:
    """A program that goes by the name would be misled; `load` looks at the content and takes any name."""
    name = f"{path.with_suffix('')}.{suffix}"
    came = f"{name!r}, a name of another format; pass {os.path.splitext(name)[0] + '.npz'!r}"
    message = f"path: expected the name of a file in a format that is written, .npz or .safetensors, got {came}"
    with pytest.raises(ValueError, match=whole(message)):
        small_network().save(kind(name))
    assert list(path.parent.iterdir()) == []
    small_network().save(path)
    assert bits(fastnn.load(kind(path.rename(name)))) == bits(small_network())


@on_posix
@pytest.mark.parametrize("call", [small_network().save, fastnn.load])
def test_a_pipe_is_neither_replaced_nor_waited_for(call: Callable[[Any], Any], path: pathlib.Path) -> None:
    os.mkfifo(path)
    message = f"path: expected the name of a file, got {path}, a device or a pipe; pass another name"
    with pytest.raises(ValueError, match=whole(message)):
        call(path)
    assert path.is_fifo()


def test_load_a_missing_file(path: pathlib.Path) -> None:
    reason = f"{path} ({os.strerror(errno.ENOENT)}); check the name and the folder {path.parent}"
    with pytest.raises(FileNotFoundError, match=whole(f"path: expected a readable file, got {reason}")) as caught:
        fastnn.load(path)
    assert caught.value.errno == errno.ENOENT


def save_refused(error: type[OSError], number: int, path: pathlib.Path, remedy: str, network: Network) -> None:
    message = f"path: expected to be able to write {path}, got {os.strerror(number)}; {remedy}"
    with pytest.raises(error, match=whole(message)) as caught:
        network.save(path)
    assert caught.value.errno == number


def test_save_into_a_folder_that_is_not_there(tmp_path: pathlib.Path) -> None:
    remedy = f"create the folder {tmp_path / 'models'} first"
    save_refused(FileNotFoundError, errno.ENOENT, tmp_path / "models" / "model.npz", remedy, small_network())
    assert list(tmp_path.iterdir()) == []


def test_save_into_what_is_no_folder(saved: pathlib.Path) -> None:
    remedy = f"choose another folder, as {saved} is not one"
    save_refused(NotADirectoryError, errno.ENOTDIR, saved / "model.npz", remedy, small_network())


@on_posix
def test_save_where_a_name_cannot_be_followed(path: pathlib.Path) -> None:
    path.symlink_to(path)
    remedy = "remove the loop of symbolic links, or choose another name"
    save_refused(OSError, errno.ELOOP, path, remedy, small_network())
    save_refused(OSError, errno.ELOOP, path / "model.npz", remedy, small_network())
    assert os.listdir(path.parent) == [path.name] and path.is_symlink()
    save_refused(OSError, errno.ENAMETOOLONG, path.with_name(300 * "a"), "choose a shorter name", small_network())


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EROFS, "choose a folder on a disk that may be written to"),
        (errno.EDQUOT, "free some space, or choose another folder"),
        (errno.EFBIG, "choose another folder, on a disk that takes files of this size"),
        (errno.EIO, "choose another folder, and have the disk of this one examined"),
        (errno.EBUSY, "choose another folder"),
    ],
)
def test_every_reason_has_its_own_remedy(
    number: int, remedy: str, path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **settings: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    save_refused(OSError, number, path, remedy, small_network())


@pytest.fixture
def locked() -> Iterator[pathlib.Path]:
    """A folder that this process may not write to, with a file that it may not write to, either."""
    with tempfile.TemporaryDirectory() as name:
        folder, user = pathlib.Path(name), os.geteuid()
        small_network().save(folder / "model.npz")
        (folder / "model.npz").chmod(0o444)
        folder.chmod(0o555)
        if user == 0:  # to whom nothing is forbidden
            os.seteuid(65534)
        yield folder
        os.seteuid(user)
        folder.chmod(0o700)


@on_posix
def test_save_into_a_folder_that_is_not_writable(locked: pathlib.Path) -> None:
    remedy = "choose a file and a folder that you may write to"
    save_refused(PermissionError, errno.EACCES, locked / "new.npz", remedy, small_network())


@on_posix
def test_save_over_a_file_that_is_write_protected(locked: pathlib.Path) -> None:
    remedy = "choose a file and a folder that you may write to"
    os.seteuid(os.getuid())
    locked.chmod(0o777)
    "".encode("cp437")  # the encoding of zip files, which nobody could not load
    if os.geteuid() == 0:
        os.seteuid(65534)
    save_refused(PermissionError, errno.EACCES, locked / "model.npz", remedy, small_network(momentum=False))
    assert bits(fastnn.load(locked / "model.npz")) == bits(small_network())


@on_posix
def test_load_a_file_that_is_not_readable(locked: pathlib.Path) -> None:
    path = locked / "model.npz"
    os.seteuid(os.getuid())
    path.chmod(0)
    if os.geteuid() == 0:
        os.seteuid(65534)
    reason = f"{path} ({os.strerror(errno.EACCES)}); check the name and the folder {locked}"
    with pytest.raises(PermissionError, match=whole(f"path: expected a readable file, got {reason}")):
        fastnn.load(path)


# ---- networks that cannot be saved


@dataclass(frozen=True)
class Relu(fastnn.Relu):  # the name of fastnn's own class
    """A layer defined outside fastnn."""


def test_a_layer_from_elsewhere_is_refused(path: pathlib.Path) -> None:
    network = Network([Affine(3, 2), Relu()], "mean_squared_error", rng=0)
    came = f"Relu of the module {__name__}"
    remedy = "a model file holds no code: use one of fastnn's layers"
    message = f"network.layers[1]: expected one of {', '.join(LAYERS)}, got {came}; {remedy}"
    with pytest.raises(TypeError, match=whole(message)):
        network.save(path)
    assert not path.exists()


def test_what_is_no_network_is_refused(path: pathlib.Path) -> None:
    not_a_network: Any = {"W1": np.zeros(3)}
    message = "network: expected a fastnn.Network, got an object of type dict; pass the network to save"
    with pytest.raises(TypeError, match=whole(message)):
        persistence.save(not_a_network, path)


def test_a_description_that_load_would_refuse_is_not_saved(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = small_network()
    network.save(path)
    size = len(members(path)[HEADER])
    path.unlink()
    monkeypatch.setattr(header, "LARGEST_HEADER", size - 1)
    came = f"3 layers that take {size}; use fewer layers"
    with pytest.raises(
        ValueError, match=whole(f"network: expected a description of at most {size - 1} bytes, got {came}")
    ):
        network.save(path)
    assert not path.exists()


# ---- whole or not at all


def no_space(*args: Any, **settings: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def half_written(file: Any, contents: Any) -> None:
    file.write(b"PK\x03\x04 and not much more")
    no_space()


def interrupted(*args: Any, **settings: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("existing", [True, False])
@pytest.mark.parametrize(
    ("owner", "name", "failing"),
    [(npz, "write", half_written), (os, "fsync", no_space), (os, "replace", no_space), (os, "fsync", interrupted)],
)
def test_a_failing_save_leaves_everything_as_it_was(
    existing: bool, owner: Any, name: str, failing: Any, path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = small_network(), small_network(momentum=False)
    if existing:
        old.save(path)
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, failing)
        if failing is interrupted:
            with pytest.raises(KeyboardInterrupt):
                new.save(path)
        else:
            remedy = "free some space, or choose another folder"
            save_refused(OSError, errno.ENOSPC, path, remedy, new)
    assert os.listdir(path.parent) == ([path.name] if existing else [])
    if existing:
        assert bits(fastnn.load(path)) == bits(old)
    new.save(path)
    assert bits(fastnn.load(path)) == bits(new)


@pytest.mark.parametrize("failing", range(12))
def test_a_disk_that_is_full_after_some_writes(
    failing: int, saved: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As above, but zipfile fails inside, and then tries to close its archive."""
    writes = iter(range(failing))

    def write(self: Any, data: Any) -> Any:
        if next(writes, None) is None:
            no_space()
        return original(self, data)

    original = zipfile._ZipWriteFile.write  # type: ignore[attr-defined]
    monkeypatch.setattr(zipfile._ZipWriteFile, "write", write)  # type: ignore[attr-defined]
    new = small_network(momentum=False)
    if failing < 11:
        save_refused(OSError, errno.ENOSPC, saved, "free some space, or choose another folder", new)
        assert bits(fastnn.load(saved)) == bits(small_network())
    else:  # a text, and two pieces of each array
        new.save(saved)
        assert bits(fastnn.load(saved)) == bits(new)
    assert os.listdir(saved.parent) == [saved.name]


def test_the_file_is_on_the_disk_before_it_takes_the_name(saved: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = []
    fsync, replace = os.fsync, os.replace

    def record_fsync(descriptor: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        events.append(("fsync", "folder" if is_folder else os.fstat(descriptor).st_size))
        fsync(descriptor)

    def record_replace(source: Any, target: Any, **folders: Any) -> None:
        events.append(("replace", os.path.basename(target)))
        replace(source, target, **folders)

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(os, "replace", record_replace)
    small_network().save(saved)
    expected: list[Any] = [("fsync", saved.stat().st_size), ("replace", saved.name)]
    assert events[:2] == expected
    assert os.name != "posix" or events[2:] == [("fsync", "folder")]


# Kills a child at random moments of its first saves; prints what the file was after each kill, and how many files there
# were at most.
KILLS = """
import collections, json, os, random, signal, sys, time
import fastnn

path, folder = sys.argv[1], os.path.dirname(sys.argv[1])
networks = {name: fastnn.Network([fastnn.Affine(300, 300)], rng=seed) for seed, name in enumerate(("one", "two"))}
vectors = {network.engine.snapshot()[0].tobytes(): name for name, network in networks.items()}
networks["one"].save(path)
found, moments, most = collections.Counter(), random.Random(0), 0
for _ in range(40):
    ready, begun = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            while True:
                for name in ("two", "one"):
                    os.write(begun, b"!")
                    networks[name].save(path)
        finally:
            os._exit(1)
    for _ in range(moments.randint(1, 3)):
        os.read(ready, 1)
    time.sleep(moments.uniform(0.0, 0.02))
    os.kill(child, signal.SIGKILL)
    if os.waitpid(child, 0)[1] != signal.SIGKILL:
        raise SystemExit("the child did not save")
    os.close(ready)
    os.close(begun)
    found[vectors[fastnn.load(path).engine.snapshot()[0].tobytes()]] += 1
    most = max(most, len(os.listdir(folder)))
print(json.dumps([found, most]))
"""


@on_posix
def test_a_killed_process_leaves_the_old_file_or_the_new(path: pathlib.Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(pathlib.Path(fastnn.__file__).parents[1])}
    run = [sys.executable, "-c", KILLS, str(path)]
    child = subprocess.run(run, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert child.returncode == 0, child.stderr
    found, most = json.loads(child.stdout)
    assert sum(found.values()) == 40
    assert set(found) == {"one", "two"}
    assert most == 2  # beside the model what one kill left, for some hit a save at work; the next save removes it
    small_network().save(path)
    assert os.listdir(path.parent) == [path.name]


def test_saves_at_the_same_time_do_not_disturb_one_another(path: pathlib.Path) -> None:
    networks = [small_network(), small_network(momentum=False)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for save in [pool.submit(network.save, path) for network in 20 * networks]:
            save.result()
            assert bits(fastnn.load(path)) in map(bits, networks)
    assert os.listdir(path.parent) == [path.name]


@on_posix
def test_new_files_get_the_usual_permissions_and_old_ones_keep_theirs(path: pathlib.Path) -> None:
    before = os.umask(0o027)
    try:
        small_network().save(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        path.chmod(0o604)
        small_network().save(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o604
    finally:
        os.umask(before)


@on_posix
def test_a_symbolic_link_stays_one(path: pathlib.Path) -> None:
    target = path.parent / "models" / "latest.npz"
    target.parent.mkdir()
    path.symlink_to(target)  # of a file that is not there yet
    for network in (small_network(), small_network(momentum=False)):
        network.save(path)
        assert path.is_symlink()
        assert bits(fastnn.load(target)) == bits(network)
    assert os.listdir(target.parent) == [target.name]
