"""Data to train on: the digits that ship inside the package, MNIST, splitting and encoding. No logic here.

The modules of this folder import the gate, the errors, the progress line and the cache folder; no kernels.
"""

from fastnn.datasets.digits import load_digits
from fastnn.datasets.mnist import load_mnist, read_idx
from fastnn.datasets.splits import one_hot, train_test_split

__all__ = ["load_digits", "load_mnist", "one_hot", "read_idx", "train_test_split"]
