"""The 1,797 handwritten 8x8 digits that ship inside the package.

DIGITS.md beside this file has their source, their license and how the file was built.
"""

import pathlib

import numpy as np
import numpy.typing as npt

from fastnn.datasets import splits
from fastnn.gate import arrays
from fastnn.gate.slips import answers_slips

FILE = pathlib.Path(__file__).with_name("digits.npz")
BRIGHTEST = 16
CLASSES = 10


@answers_slips
def load_digits(
    test_fraction: float = 0.2,
    rng: int | np.random.Generator | None = 0,
    normalize: bool = True,
    one_hot: bool = False,
    dtype: npt.DTypeLike = "float32",
    flatten: bool = True,
) -> splits.TwoParts:
    """The handwritten digits, shuffled and split so that both parts hold the classes in equal shares.

    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, the test set, UCI Machine Learning
    Repository, 1998, https://doi.org/10.24432/C50P49; license CC BY 4.0.

    Parameters
    ----------
    test_fraction : float
        The share of the 1,797 samples in the test part, 0 <= test_fraction < 1; 0 gives test arrays of no rows.
    rng : int, numpy.random.Generator or None
        Decides the shuffle; the same integer gives the same split. None splits differently at every call.
    normalize : bool
        True divides the pixels, 0 to 16, by 16.
    one_hot : bool
        True gives targets (N, 10) of `dtype` instead of labels.
    dtype : "float32" or "float64"
        The dtype of x, and of t where one_hot is True.
    flatten : bool
        True gives images as rows (N, 64), False as (N, 1, 8, 8).

    Returns
    -------
    ((x_train, t_train), (x_test, t_test))
        x: (N, 64), row after row of pixels, or (N, 1, 8, 8); t: int64 labels (N,) from 0 to 9, or one-hot.

    Raises
    ------
    TypeError, ValueError
        An argument is of another type or out of range.

    Examples
    --------
    >>> (x_train, t_train), (x_test, t_test) = fastnn.datasets.load_digits()
    >>> x_train.shape, x_test.shape, x_train.dtype, t_train.dtype
    ((1438, 64), (359, 64), dtype('float32'), dtype('int64'))
    >>> float(x_train.min()), float(x_train.max())
    (0.0, 1.0)
    >>> fastnn.datasets.load_digits(one_hot=True)[0][1].shape
    (1438, 10)
    >>> fastnn.datasets.load_digits(flatten=False)[0][0].shape  # images for Network(input_shape=(1, 8, 8))
    (1438, 1, 8, 8)
    """
    kind = arrays.float_dtype("dtype", dtype)
    normalize, one_hot = arrays.flag("normalize", normalize), arrays.flag("one_hot", one_hot)
    flatten = arrays.flag("flatten", flatten)
    with np.load(FILE, allow_pickle=False) as file:
        images, labels = file["images"], file["labels"]
    x = images.reshape((-1, 64) if flatten else (-1, 1, 8, 8)).astype(kind)
    if normalize:
        x /= BRIGHTEST
    train, test = splits.train_test_split(x, labels.astype(np.int64), test_fraction, rng)
    if one_hot:
        train = train[0], splits.one_hot(train[1], CLASSES, dtype)
        test = test[0], splits.one_hot(test[1], CLASSES, dtype)
    return train, test
