"""The mean of each window of an image."""

from dataclasses import dataclass
from typing import Any

from fastnn.kernels.frames import d_source, d_target, source, target
from fastnn.kernels.pooling import (
    are_squares,
    mean_of_squares,
    mean_of_squares_backward,
    mean_of_windows,
    mean_of_windows_backward,
    pooling_of,
)
from fastnn.kernels.units import unit
from fastnn.operations.base import Units
from fastnn.operations.pools import PoolLayer


@unit
def avg_pool2d_forward(frame: Any) -> None:
    """y = the mean of each window."""
    xs, ys, sizes = source(frame), target(frame), pooling_of(frame)
    for n in range(xs.shape[0]):
        if are_squares(sizes):
            mean_of_squares(xs[n], sizes, ys[n])
        else:
            mean_of_windows(xs[n], sizes, ys[n])


@unit
def avg_pool2d_backward(frame: Any) -> None:
    """dx = the sums of dy over the windows of an element, divided by their size; distinct from dy."""
    dxs, dys, sizes = d_source(frame), d_target(frame), pooling_of(frame)
    for n in range(dxs.shape[0]):
        if are_squares(sizes):
            mean_of_squares_backward(dys[n], sizes, dxs[n])
        else:
            mean_of_windows_backward(dys[n], sizes, dxs[n])


@dataclass(frozen=True)
class AvgPool2d(PoolLayer):
    """y[c, i, j] = the mean of x[c] in window (i, j), for images (C, H, W).

    The window has the rows i stride - padding to i stride - padding + height - 1, and columns likewise; beyond the
    image there are zeros, which count. The outputs have (H + 2 padding - height) // stride + 1 rows. Pixels behind the
    last window are left out (LeCun et al., Proceedings of the IEEE 86, 1998).

    Parameters
    ----------
    kernel_size : int or (int, int)
        The height and width of a window.
    stride : int, optional
        The step from one window to the next; by default they meet without a gap.
    padding : int
        Rows and columns of 0 around the image, at most half of `kernel_size`.

    Examples
    --------
    >>> net = fastnn.Network([fastnn.AvgPool2d(2)], "mean_squared_error", input_shape=(1, 2, 4))
    >>> net.predict(np.array([[[[1.0, 2.0, 5.0, 5.0], [3.0, 4.0, 5.0, 7.0]]]]))
    array([[[[2.5, 5.5]]]], dtype=float32)
    """

    units = Units(avg_pool2d_forward, avg_pool2d_backward)
