"""Curves, shuffling and windows of images of the first volume (Saito, 2016, chapters 6 and 7)."""

from typing import Any

import numpy as np

from fastnn.dropin import windows

__all__ = ["col2im", "conv_output_size", "im2col", "np", "shuffle_dataset", "smooth_curve"]

WINDOW = 11  # of smooth_curve


def smooth_curve(x: Any) -> Any:
    """x smoothed by a Kaiser window of 11 points with beta 2, of the same length; its ends are reflected."""
    padded = np.r_[x[WINDOW - 1 : 0 : -1], x, x[-1:-WINDOW:-1]]
    weights = np.kaiser(WINDOW, 2)
    smooth = np.convolve(weights / weights.sum(), padded, mode="valid")
    return smooth[WINDOW // 2 : len(smooth) - WINDOW // 2]


def shuffle_dataset(x: Any, t: Any) -> tuple[Any, Any]:
    """Samples x (N, D) or (N, C, H, W) and targets t in one new random order, from NumPy's global generator."""
    order = np.random.permutation(x.shape[0])  # noqa: NPY002 - the generator the books seed
    return (x[order, :] if x.ndim == 2 else x[order, :, :, :]), t[order]


def conv_output_size(input_size: Any, filter_size: Any, stride: Any = 1, pad: Any = 0) -> Any:
    """The length of a convolution's output, as a float."""
    return (input_size + 2 * pad - filter_size) / stride + 1


def im2col(input_data: Any, filter_h: int, filter_w: int, stride: int = 1, pad: int = 0) -> Any:
    """The windows of images (N, C, H, W) as rows (N oh ow, C filter_h filter_w) of float64."""
    found = windows.windows(input_data, filter_h, filter_w, stride, pad)
    return found.reshape(found.shape[0] * found.shape[1] * found.shape[2], -1)


def col2im(col: Any, input_shape: Any, filter_h: int, filter_w: int, stride: int = 1, pad: int = 0) -> Any:
    """Images of input_shape (N, C, H, W) that add up the windows in their places: a view into larger ones."""
    images = windows.add_windows(col, input_shape, filter_h, filter_w, stride, pad)
    return images[:, :, pad : input_shape[2] + pad, pad : input_shape[3] + pad]
