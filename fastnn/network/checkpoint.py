"""Checkpoint: the whole state of a training, written while it runs, so that a killed run goes on to the same bits."""

import contextlib
import os
import re
import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from fastnn.gate import arrays, checks
from fastnn.gate.slips import answers_slips
from fastnn.network.history import check_monitor, refuse_unmeasured
from fastnn.system import paths

if TYPE_CHECKING:
    from fastnn.network.network import Network

EPOCH = "{epoch"  # begins the place of the number in a name


@answers_slips
@dataclass(frozen=True)
class Checkpoint:
    """Write the whole state of a training again and again: `fit(callbacks=[Checkpoint("run.npz")], resume="run.npz")`.

    The same program, run again after it was killed, goes on where the last file was written and ends with the bits of a
    run that was not: the file holds the parameters, the optimizer's state, epoch and batch, the generator of the order,
    dropout's counter, the history, and the state of callbacks and schedules. Each file is written whole or not at all:
    a full disk, or a kill while one is written, leaves the one before. Nothing in it is executed when it is read.
    `fastnn.load` reads the network from it, too.

    Parameters
    ----------
    path : str or os.PathLike
        The file's name, as for `Network.save`. It may hold {epoch}, such as "run-{epoch:03}.npz", the number of
        completed epochs.
    every : int or None
        Epochs between two files. One is also written after the last epoch, or when a callback ends the training.
    every_batches : int, optional
        Also write after so many batches, counted over all epochs.
    every_seconds : float, optional
        Also write after a batch when so many seconds have passed since the last file.
    keep : int or None
        How many of the last files to keep, if the name holds {epoch}; None for all of them.
    best : str or os.PathLike, optional
        Another name, for the best epoch so far, whatever `every` is; the first of equals.
    monitor : str
        The figure that says which epoch is best, as for `EarlyStopping`.

    Raises
    ------
    TypeError, ValueError
        For bad arguments; by `fit`, before it trains, if the network cannot be saved or the figure is not measured.
    OSError
        By `fit`: before it trains, if there is no such folder, or none that may be written to; later, if a file cannot
        be written.

    Examples
    --------
    >>> net = fastnn.Network([fastnn.Affine(2, 2)], rng=0)
    >>> x, t = np.eye(2, dtype=np.float32), np.array([0, 1])
    >>> keep = fastnn.Checkpoint("run.npz")
    >>> _ = net.fit(x, t, epochs=2, callbacks=[keep], resume="run.npz", rng=0)  # and the process is killed

    >>> again = fastnn.Network([fastnn.Affine(2, 2)], rng=0)  # the same program once more
    >>> history = again.fit(x, t, epochs=5, callbacks=[keep], resume="run.npz", rng=0)
    >>> history.epochs
    5
    """

    path: str | os.PathLike[str]
    every: int | None = 1
    every_batches: int | None = None
    every_seconds: float | None = None
    keep: int | None = 1
    best: str | os.PathLike[str] | None = None
    monitor: str = "validation_loss"
    for_one_network: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name in ("path", "best"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, paths.name_to_save(getattr(self, name)))
        for name in ("every", "every_batches", "keep"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, arrays.integer(name, getattr(self, name), minimum=1))
        if self.every_seconds is not None:
            object.__setattr__(self, "every_seconds", arrays.real("every_seconds", self.every_seconds, minimum=0.0))
        check_monitor(self.monitor)
        named = file_at("path", str(self.path), 0) != str(self.path)
        if self.keep != 1 and not named:
            stem, suffix = os.path.splitext(str(self.path))
            remedy = f"pass a name such as {stem + '-{epoch:03}' + suffix!r}"
            raise ValueError(f"path: expected a name with {{epoch}} for several files, got {self.path!r}; {remedy}")

    def begin(self, network: "Network", figures: Sequence[str]) -> None:
        """Refuse before the training what could not be written during it."""
        from fastnn.network.files import header  # here, as few need it

        header.describe(network, network.engine.snapshot())
        for name in (self.path, self.best):
            if name is not None:
                check_place(str(name))
        if self.best is not None:
            refuse_unmeasured(self.monitor, figures)


def file_at(argument: str, path: str, epochs: int) -> str:
    """The file's name after so many epochs; `path` itself if it does not hold {epoch}."""
    if EPOCH not in path:
        return path
    expected = f"{argument}: expected a name with no braces but those of {{epoch}}, such as 'run-{{epoch:03}}.npz'"
    try:
        named = [field for _, field, _, _ in string.Formatter().parse(path) if field is not None]
        if set(named) != {"epoch"}:
            raise ValueError(f"{expected}, got {checks.shown(path)}; rename it")
        return path.format(epoch=epochs)
    except (ValueError, IndexError, KeyError) as error:
        raise ValueError(f"{expected}, got {checks.shown(path)}; rename it") from error


def newest(argument: str, path: Any) -> str | None:
    """The name of the file to go on from, or None where there is none yet; the newest, if the name holds {epoch}."""
    name = paths.file_name(path)
    if EPOCH not in name:
        return name if os.path.exists(name) else None
    file_at(argument, name, 0)
    folder, last = os.path.split(name)
    found = []
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder or ".") as entries:
        for entry in entries:
            epoch = epoch_of(last, entry.name)
            if epoch is not None:
                found.append((entry.stat().st_mtime_ns, epoch, os.path.join(folder, entry.name)))
    return max(found)[2] if found else None


def epoch_of(pattern: str, name: str) -> int | None:
    """The number in a name that `file_at` makes of this pattern; None for other names."""
    parts = string.Formatter().parse(pattern)
    numbered = "".join(re.escape(text) + ("" if field is None else r"(\d+)") for text, field, _, _ in parts)
    match = re.fullmatch(numbered, name)
    return int(match[1]) if match and match.groups() and pattern.format(epoch=int(match[1])) == name else None


def check_place(path: str) -> None:
    """Refuse a name in a folder that is not there or may not be written to, and a format whose library is missing."""
    folder = os.path.dirname(os.path.realpath(path))
    if not os.path.isdir(folder):
        remedy = f"create the folder {folder} first"
        raise FileNotFoundError(f"path: expected a file in a folder that is there, got {path}; {remedy}")
    if not os.access(path if os.path.exists(path) else folder, os.W_OK):
        remedy = "choose a file and a folder that you may write to"
        raise PermissionError(f"path: expected a file that may be written, got {path}; {remedy}")
    paths.check_writable(path)
    if path.lower().endswith(paths.SAFETENSORS):
        from fastnn.network.files import safetensors

        safetensors.library()
