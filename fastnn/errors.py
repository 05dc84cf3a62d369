"""The errors that fastnn raises beside TypeError and ValueError. Imports nothing."""


class TrainingDivergedError(ValueError):
    """The loss or a parameter stopped being finite; the network keeps its last finite parameters."""


class ModelFileError(ValueError):
    """A saved network cannot be read: not one of ours, damaged, or of an unknown format version."""


class DatasetError(ValueError):
    """A data set cannot be read or fetched: absent, truncated, corrupt, or no network."""
