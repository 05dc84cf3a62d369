"""The errors that fastnn raises beside TypeError and ValueError, and its warning."""


class TrainingDivergedError(ValueError):
    """The loss, or in `fit` a parameter, stopped being finite.

    `fit` goes back to the last finite parameters; `step` leaves them as they were before it.
    """


class ModelFileError(ValueError):
    """A saved network cannot be read: not one of ours, damaged, or of an unknown format version."""


class DatasetError(ValueError):
    """A data set cannot be read or fetched: absent, truncated, corrupt, or no network."""


class PrecisionWarning(UserWarning):
    """A result is mostly rounding."""
