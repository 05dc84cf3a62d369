"""Data to train on: digits and cars in the package, MNIST, points in a plane; splits, folds, scaling, variation.

The modules of this folder import no kernels.

Examples
--------
>>> (x_train, t_train), (x_test, t_test) = fastnn.datasets.load_digits()
>>> x_train.shape, t_train.shape, x_test.shape
((1438, 64), (1438,), (359, 64))
>>> list(fastnn.datasets.k_fold(x_train, t_train, folds=3, rng=0))[0][0][0].shape
(958, 64)
"""

from typing import TYPE_CHECKING, Any

from fastnn.datasets.augmentation import add_noise, minibatches, rotate_images, shift_images, stretch_images
from fastnn.datasets.auto_mpg import load_auto_mpg
from fastnn.datasets.digits import load_digits
from fastnn.datasets.folds import k_fold, leave_one_out
from fastnn.datasets.mnist import load_mnist, read_idx
from fastnn.datasets.planes import make_circles, make_gaussians, make_spiral, make_xor
from fastnn.datasets.splits import one_hot, train_test_split
from fastnn.datasets.standardize import Standardize
from fastnn.gate import attributes, foreign_names

__all__ = [
    "Standardize", "add_noise", "k_fold", "leave_one_out", "load_auto_mpg", "load_digits", "load_mnist", "make_circles",
    "make_gaussians", "make_spiral", "make_xor", "minibatches", "one_hot", "read_idx",
    "rotate_images", "shift_images", "stretch_images", "train_test_split",
]  # fmt: skip

if not TYPE_CHECKING:  # to type checkers it would make every name one of this module

    def __getattr__(name: str) -> Any:
        raise attributes.of_module(__name__, name, __all__, foreign_names.OF_PACKAGE)
