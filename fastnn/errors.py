"""The errors that fastnn raises beside TypeError and ValueError, and its warning."""

import pathlib
import sys
import warnings

_PACKAGE = str(pathlib.Path(__file__).parent)


class TrainingDivergedError(ValueError):
    """The loss, or in `fit` a parameter, stopped being finite.

    `fit` goes back to the last finite parameters; `step` leaves them as they were before it.

    Examples
    --------
    >>> net = fastnn.Network([fastnn.Affine(1, 1)], loss="mean_squared_error", rng=0)
    >>> x, t = np.array([[1.0], [2.0]]), np.array([[1.0], [2.0]])
    >>> try:
    ...     net.fit(x, t, optimizer=fastnn.SGD(lr=1e30))
    ... except fastnn.TrainingDivergedError:
    ...     print("finite all the same:", np.isfinite(net.params["W1"]).all())
    finite all the same: True
    """


class ModelFileError(ValueError):
    """A saved network cannot be read: it is not one of ours, is damaged, or has an unknown format version.

    Examples
    --------
    >>> with open("notes.npz", "w") as file:
    ...     _ = file.write("no network")
    >>> fastnn.load("notes.npz")
    Traceback (most recent call last):
        ...
    fastnn.errors.ModelFileError: notes.npz: expected a file written by Network.save, ...
    """


class DatasetError(ValueError):
    """A data set cannot be read or fetched: it is absent, truncated or corrupt, or there is no network.

    Examples
    --------
    >>> fastnn.datasets.load_mnist("no-such-folder")
    Traceback (most recent call last):
        ...
    fastnn.errors.DatasetError: folder: expected four files, plain or .gz, in no-such-folder, got no ...
    """


class PrecisionWarning(UserWarning):
    """A result is mostly rounding.

    Examples
    --------
    >>> import warnings
    >>> x = np.array([3000.0], np.float16)  # its neighbors are 2998 and 3002
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     _ = fastnn.numerical_gradient(lambda x: float((x**2).sum()), x)
    >>> caught[0].category.__name__
    'PrecisionWarning'
    """


def warn_of_precision(message: str) -> None:
    """Give a PrecisionWarning at the line outside fastnn that is being run."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, PrecisionWarning, stacklevel=level)
