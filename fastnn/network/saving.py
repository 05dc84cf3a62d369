"""When checkpoints are written, which files stay, and how a run finds the one to go on from."""

import contextlib
import os
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from fastnn.engine.engine import Snapshot
from fastnn.errors import ModelFileError
from fastnn.network import run_state
from fastnn.network.checkpoint import EPOCH, Checkpoint, epoch_of, file_at, newest
from fastnn.network.files import contents, header, training_state
from fastnn.network.files.header import Description
from fastnn.network.files.training_state import REPAIR
from fastnn.network.history import best_epoch
from fastnn.network.layer_options import set_layers
from fastnn.system import messages

if TYPE_CHECKING:
    from fastnn.network.run import Run


class Saver:
    """Writes one Checkpoint's files during one run.

    Attributes
    ----------
    files : list of str
        The names of the files that it has written and not removed, in order.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint, self.files = checkpoint, list[str]()
        self._written_at = time.monotonic()

    def go_on_after(self, files: Sequence[str]) -> None:
        """Take over the files of the run before; only names that this Checkpoint gives, as old ones are removed."""
        own = str(self.checkpoint.path)
        self.files = [name for name in files if EPOCH in own and epoch_of(own, name) is not None]

    def check(self, run: "Run") -> None:
        """Refuse, before the training, states that no file can hold."""
        training_state.pack(run_state.tree_of(run))

    def batches_left(self, done: int) -> int | None:
        """How many batches may be trained on before the next file is due; None for any number."""
        every = self.checkpoint.every_batches
        return None if every is None else every - done % every

    def after_batches(self, run: "Run") -> None:
        """Write the file if it is due within an epoch."""
        every, seconds = self.checkpoint.every_batches, self.checkpoint.every_seconds
        is_due = every is not None and run.batches_done % every == 0
        if is_due or (seconds is not None and time.monotonic() - self._written_at >= seconds):
            self._write(run)

    def after_epoch(self, run: "Run") -> None:
        """Write the files that are due after an epoch and its callbacks."""
        checkpoint, epochs = self.checkpoint, run.history.epochs
        if checkpoint.best is not None and best_epoch(run.history, checkpoint.monitor) == epochs - 1:
            contents.write(str(checkpoint.best), _contents(run))
        every, every_batches = checkpoint.every, checkpoint.every_batches
        is_due = every is not None and epochs % every == 0
        is_due = is_due or (every_batches is not None and run.batches_done % every_batches == 0)
        seconds = checkpoint.every_seconds
        is_due = is_due or (seconds is not None and time.monotonic() - self._written_at >= seconds)
        if is_due or run.is_complete:
            self._write(run)

    def _write(self, run: "Run") -> None:
        name = file_at("path", str(self.checkpoint.path), run.position.epochs)
        self.files = [*(file for file in self.files if file != name), name]
        keep = self.checkpoint.keep
        old = [] if keep is None else self.files[:-keep]
        contents.write(name, _contents(run))  # which still names the old files: a kill may spare them
        for file in old:
            with contextlib.suppress(OSError):  # gone, or not to be removed: the training matters more
                os.unlink(file)
        self.files = [file for file in self.files if file not in old]
        self._written_at = time.monotonic()


def _contents(run: "Run") -> contents.Contents:
    """The contents of a checkpoint of a run as it stands."""
    return {**contents.of(run.network, run.network.engine.snapshot()), **training_state.pack(run_state.tree_of(run))}


class Found(NamedTuple):
    """A checkpoint that was read."""

    path: str
    described: Description
    snapshot: Snapshot
    tree: dict[str, Any]

    def check(self, run: "Run") -> None:
        """Refuse a run that is not the checkpoint's."""
        run_state.refuse_other_settings(self.path, self.tree, run)
        own = header.shapes_in(run.network), run.network.dtype
        if (self.described.shapes, self.described.dtype) != own:  # which no file of Checkpoint has
            raise ModelFileError(f"{self.path}: expected the layers of its settings, got others; {REPAIR}")

    def go_on(self, run: "Run") -> None:
        """Put the run into its state."""
        run_state.go_on(run, self.path, self.tree, self.snapshot)
        if tuple(self.described.layers) != run.network.engine.layers:  # which a callback has changed
            set_layers(run.network.engine, self.described.layers)
        if run.request.progress and messages.is_terminal(sys.stdout):
            done = f"{run.position.epochs} of {run.request.epochs} epochs"
            messages.tell(f"fastnn: {self.path} holds {done}; the training goes on from there")


def find(path: Any) -> Found | None:
    """The checkpoint to go on from; None where there is none yet."""
    name = newest("resume", path)
    if name is None:
        return None
    try:
        with contents.opened(name) as reader:
            return Found(name, *contents.read(reader), training_state.unpack(reader))
    except ModelFileError as error:  # perhaps of the parts that any network's file has
        said = str(error).replace("by Network.save", "by fastnn.Checkpoint").replace(header.REPAIR, REPAIR)
        raise ModelFileError(said) from error.__cause__
