"""The errors that fastnn raises beside TypeError and ValueError, and its warning."""

import pathlib
import sys
import warnings

_PACKAGE = str(pathlib.Path(__file__).parent)


class TrainingDivergedError(ValueError):
    """The loss, or in `fit` a parameter, stopped being finite.

    `fit` goes back to the last finite parameters; `step` leaves them as they were before it.
    """


class ModelFileError(ValueError):
    """A saved network cannot be read: it is not one of ours, is damaged, or has an unknown format version."""


class DatasetError(ValueError):
    """A data set cannot be read or fetched: it is absent, truncated or corrupt, or there is no network."""


class PrecisionWarning(UserWarning):
    """A result is mostly rounding."""


def warn_of_precision(message: str) -> None:
    """Give a PrecisionWarning at the line outside fastnn that is being run."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, PrecisionWarning, stacklevel=level)
