"""CSVLogger: a callback that writes a training's figures to a file, a line for each epoch."""

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from fastnn.gate.slips import answers_slips
from fastnn.network.checkpoint import check_place
from fastnn.network.history import History
from fastnn.network.network import Network
from fastnn.system import paths


@answers_slips
@dataclass(eq=False)
class CSVLogger:
    """Write the history to a file of comma-separated values: `fit(callbacks=[CSVLogger("log.csv")])`.

    The first line names the columns: epoch, counted from 1, and the figures of `History` that are measured. Numbers
    have all their digits. An old file is replaced after the first epoch. Where `fit` goes on from a checkpoint, the
    lines of the epochs before it stand in the file, too, and none of an epoch that was trained twice.

    Parameters
    ----------
    path : str or os.PathLike

    Raises
    ------
    TypeError, ValueError
        For anything but the name of a file.
    OSError
        By `fit`: if the file may not be written, before it trains; if it cannot be written, later.

    Examples
    --------
    >>> net = fastnn.Network([fastnn.Affine(2, 2)], rng=0)
    >>> history = net.fit(np.eye(2), [0, 1], epochs=2, callbacks=[fastnn.CSVLogger("log.csv")])
    >>> with open("log.csv") as file:
    ...     lines = file.read().splitlines()
    >>> lines[0], len(lines)
    ('epoch,loss,accuracy,seconds,learning_rate', 3)
    """

    path: str | os.PathLike[str]
    has_begun: bool = field(default=False, init=False, repr=False)
    for_one_network = True

    def __post_init__(self) -> None:
        self.path = paths.file_name(self.path)

    def begin(self, network: Network, figures: Sequence[str]) -> None:
        """Refuse a file that could not be written."""
        check_place(str(self.path))
        self.has_begun = False

    def __call__(self, network: Network, history: History) -> None:
        """Write the lines that are not in the file yet."""
        columns = {"epoch": list(range(1, history.epochs + 1)), **history.to_dict()}
        rows = list(zip(*columns.values(), strict=True))
        if not self.has_begun:
            with paths.writing(str(self.path)) as file:
                file.write(_lines([tuple(columns), *rows]))
        else:
            with paths.appending(str(self.path)) as file:
                file.write(_lines(rows[-1:]))
        self.has_begun = True


def _lines(rows: Sequence[Sequence[object]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()
