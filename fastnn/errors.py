"""The errors that fastnn raises beside TypeError and ValueError, and its warning."""


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
