"""The first volume's MNIST (Saito, 2016, chapter 3).

It reads the mnist.pkl that the book's own load_mnist left in a folder `dataset` on sys.path, else the four files there,
else the files of fastnn.datasets.load_mnist, from $FASTNN_DATA or the user's cache folder, into which they are
downloaded once. No pickle is written, and nothing in one is run.
"""

import os
import sys
import warnings
from typing import Any

import numpy as np

from fastnn import datasets
from fastnn.datasets.mnist import MIRRORS, pixels
from fastnn.dropin.dataset import pickled

__all__ = [
    "dataset_dir",
    "download_mnist",
    "img_dim",
    "img_size",
    "init_mnist",
    "key_file",
    "load_mnist",
    "np",
    "os",
    "save_file",
    "test_num",
    "train_num",
    "url_base",
]

url_base = MIRRORS[0]
key_file = {
    "train_img": "train-images-idx3-ubyte.gz",
    "train_label": "train-labels-idx1-ubyte.gz",
    "test_img": "t10k-images-idx3-ubyte.gz",
    "test_label": "t10k-labels-idx1-ubyte.gz",
}
dataset_dir = os.path.dirname(os.path.abspath(__file__))
save_file = os.path.join(dataset_dir, "mnist.pkl")
train_num, test_num = 60000, 10000
img_dim, img_size = (1, 28, 28), 784


def load_mnist(normalize: bool = True, flatten: bool = True, one_hot_label: bool = False) -> Any:
    """((x_train, t_train), (x_test, t_test)).

    Parameters
    ----------
    normalize : bool
        Pixels as float32 from 0 to 1; otherwise uint8.
    flatten : bool
        Images as rows (N, 784); otherwise (N, 1, 28, 28).
    one_hot_label : bool
        Targets as float64 rows (N, 10); otherwise uint8 labels (N,).
    """
    arrays = _pickled()
    if arrays is None:
        parts: Any = datasets.load_mnist(_folder(), normalize=normalize, flatten=flatten)
    else:
        parts = ((pixels(x, normalize, flatten), t) for x, t in (arrays[:2], arrays[2:]))
    return tuple((x, np.eye(10)[t] if one_hot_label else t.astype(np.uint8)) for x, t in parts)


def download_mnist() -> None:
    """Download the files if load_mnist would not find them."""
    if _pickled() is None:
        datasets.load_mnist(_folder())


def init_mnist() -> None:
    """As download_mnist."""
    download_mnist()


def _pickled() -> Any:
    """The four arrays of a mnist.pkl in a folder `dataset` on sys.path; None if there is none to trust."""
    for place in sys.path:
        file = os.path.join(place or ".", "dataset", "mnist.pkl")
        if os.path.isfile(file):
            try:
                return pickled.read(file)
            except (ValueError, OSError) as error:
                warnings.warn(f"{file}: {error}; it is left alone, and the files of MNIST are read", stacklevel=3)
    return None


def _folder() -> str | None:
    """A folder `dataset` on sys.path with all four files, plain or packed."""
    for place in sys.path:
        folder = os.path.join(place or ".", "dataset")
        files = [os.path.join(folder, name) for name in key_file.values()]
        if all(os.path.isfile(file) or os.path.isfile(file.removesuffix(".gz")) for file in files):
            return folder
    return None
