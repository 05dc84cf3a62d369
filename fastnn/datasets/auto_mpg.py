"""Fuel consumption of 392 cars, which ships inside the package: data for regression.

AUTO_MPG.md beside this file has their source, their license and how the file was built.
"""

import pathlib
from typing import Any

import numpy as np
import numpy.typing as npt

from fastnn.datasets import splits
from fastnn.gate import arrays
from fastnn.gate.slips import answers_slips

FILE = pathlib.Path(__file__).with_name("auto_mpg.csv")
USA, EUROPE, JAPAN = 1, 2, 3  # in the file's last column


@answers_slips
def load_auto_mpg(
    test_fraction: float = 0.2, rng: int | np.random.Generator | None = 0, dtype: npt.DTypeLike = "float32"
) -> splits.TwoParts:
    """Cars of 1970 to 1982, and how many miles they go on a US gallon; shuffled and split.

    The split gives both parts cars of all consumptions. The columns differ much in scale
    (`fastnn.datasets.Standardize`), and several say nearly the same: weight, displacement, cylinders and horsepower
    have correlations of 0.84 to 0.95, so that least squares has large weights of both signs, which a penalty reduces.

    Source: R. Quinlan, Auto MPG, UCI Machine Learning Repository, 1993, https://doi.org/10.24432/C5859H; license
    CC BY 4.0. Six cars whose horsepower is unknown are left out.

    Parameters
    ----------
    test_fraction : float
        The share of the 392 samples in the test part, 0 <= test_fraction < 1; 0 gives test arrays of no rows.
    rng : int, numpy.random.Generator or None
        Decides the shuffle; the same integer gives the same split. None splits differently at every call.
    dtype : "float32" or "float64"
        The dtype of x and t.

    Returns
    -------
    ((x_train, t_train), (x_test, t_test))
        x: (N, 8), with the columns cylinders, displacement (cubic inches), horsepower, weight (pounds), acceleration
        (seconds to 60 miles an hour), model year (70 to 82), 1 for a car from Europe, 1 for one from Japan (both 0
        for the USA). t: (N,), miles per gallon.

    Raises
    ------
    TypeError, ValueError
        An argument is of another type or out of range.

    Examples
    --------
    >>> (x_train, t_train), (x_test, t_test) = fastnn.datasets.load_auto_mpg(rng=0)
    >>> x_train.shape, t_train.shape, x_test.shape, x_train.dtype
    ((314, 8), (314,), (78, 8), dtype('float32'))
    >>> t_train.min().round(1), t_train.max().round(1)
    (np.float32(9.0), np.float32(46.6))
    """
    kind = arrays.float_dtype("dtype", dtype)
    cars: npt.NDArray[Any] = np.loadtxt(FILE, delimiter=",", skiprows=1)
    origin = cars[:, -1]
    x = np.column_stack((cars[:, 1:-1], origin == EUROPE, origin == JAPAN)).astype(kind)
    return splits.train_test_split(x, cars[:, 0].astype(kind), test_fraction, rng)
