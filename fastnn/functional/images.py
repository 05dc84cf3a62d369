"""Convolutions of arrays of images (N, C, H, W): forward and backward, as the layer `Conv2d` computes them.

C channels and F filters; the outputs have (H + 2 padding - height) // stride + 1 rows, and columns likewise.
"""

from typing import Any, NamedTuple

import numpy as np

from fastnn.engine import spare, threads
from fastnn.engine.interpreters import on_images
from fastnn.gate import arrays
from fastnn.gate.arrays import Array
from fastnn.kernels.filters import Convolution, scratch_size, sizes_of
from fastnn.operations.windows import check_padding, check_stride


class _Operands(NamedTuple):
    """Images, filters and sizes that have come through the gate."""

    x: Array
    W: Array
    stride: int
    padding: int
    sizes: Convolution

    @property
    def outputs(self) -> tuple[int, int, int, int]:
        """The shape of y."""
        return (self.x.shape[0], self.sizes.filters, self.sizes.rows, self.sizes.columns)

    @property
    def work(self) -> float:
        """The floating-point operations of one pass."""
        c = self.sizes
        return float(2 * len(self.x) * c.filters * c.places * c.depth)


def _checked(x: Any, W: Any, stride: Any, padding: Any) -> _Operands:
    """The operands; refuses what no window fits into."""
    stride, padding = check_stride(stride), check_padding(padding)
    x = arrays.floats("x", x, ("N", "C", "H", "W"), dtype=arrays.shared_dtype(x, W))
    if isinstance(W, np.ndarray) and W.shape[1:2] == x.shape[3:] != x.shape[1:2]:
        expected = f"x: expected images of {W.shape[1]} channels for filters {W.shape}, got shape {x.shape}"
        raise ValueError(f"{expected}; if its channels come last, pass x.transpose(0, 3, 1, 2)")
    W = arrays.floats("W", W, ("F", x.shape[1], "height", "width"), dtype=x.dtype)
    least = [size - 2 * padding for size in W.shape[2:]]
    if x.shape[2] < least[0] or x.shape[3] < least[1]:
        expected = f"x: expected images of at least {least[0]} x {least[1]} pixels for filters {W.shape[2:]}"
        came = f"{x.shape[2]} x {x.shape[3]} with padding={padding}"
        raise ValueError(f"{expected}, got {came}; pass larger images, smaller filters or more padding")
    return _Operands(x, W, stride, padding, sizes_of(x.shape[1:], len(W), W.shape[2:], stride, padding))


def conv2d_forward(x: Any, W: Any, b: Any, *, stride: int = 1, padding: int = 0, out: Any = None) -> Array:
    """y[n, f] = b[f] + the sum over the channels c of the correlations of x[n, c] with W[f, c].

    With h = i stride + p - padding and w = j stride + q - padding, and with x = 0 outside the image:
    y[n, f, i, j] = b[f] + the sum of W[f, c, p, q] x[n, c, h, w] over c, p and q.

    Parameters
    ----------
    x : array (N, C, H, W)
    W : array (F, C, height, width)
        The filters.
    b : array (F,)
    stride : int
        The step from one window to the next.
    padding : int
        Rows and columns of 0 around each image.
    out : array like y, optional
        Receives y; must not overlap an input.

    Returns
    -------
    array (N, F, (H + 2 padding - height) // stride + 1, (W + 2 padding - width) // stride + 1)

    Raises
    ------
    TypeError, ValueError
        For a wrong type, dtype or shape, and for images without a window; the message says what was expected.

    Notes
    -----
    Source: LeCun, Bottou, Bengio and Haffner, Proceedings of the IEEE 86 (1998), 2278-2324.

    Examples
    --------
    >>> x = np.arange(9.0).reshape(1, 1, 3, 3)
    >>> W = np.array([[[[1.0, 0.0], [0.0, 1.0]]]])  # adds up the pixels of a diagonal
    >>> fastnn.conv2d_forward(x, W, np.zeros(1))
    array([[[[ 4.,  6.],
             [10., 12.]]]])
    >>> fastnn.conv2d_forward(x, W, np.zeros(1), stride=2, padding=1).shape
    (1, 1, 2, 2)
    """
    o = _checked(x, W, stride, padding)
    b = arrays.floats("b", b, (o.sizes.filters,), dtype=o.x.dtype)
    y = arrays.output("out", out, o.outputs, o.x.dtype, (("x", o.x), ("W", o.W), ("b", b)))
    parts = threads.get_num_threads()
    memory = spare.take(parts, scratch_size(o.sizes, False), o.x.dtype)
    arguments = memory, o.x, o.W, b, o.stride, o.padding, y
    threads.run(on_images.conv2d_forward, o.work, *arguments, n_threads=parts)
    spare.give_back(memory)
    return y


def conv2d_backward(
    dy: Any,
    x: Any,
    W: Any,
    *,
    stride: int = 1,
    padding: int = 0,
    need_dx: bool = True,
    out: tuple[Any, Any, Any] | None = None,
) -> tuple[Array | None, Array, Array]:
    """dx, dW and db: the gradients of y = conv2d_forward(x, W, b, ...), summed over the batch and the pixels.

    With the pixel (h, w) that W[f, c, p, q] meets for the output (i, j), see `conv2d_forward`:
    dx[n, c, h, w] = the sum of W[f, c, p, q] dy[n, f, i, j], dW[f, c, p, q] = the sum of dy[n, f, i, j] x[n, c, h, w],
    db[f] = the sum of dy[n, f, i, j], over all indices that are not on the left.

    Parameters
    ----------
    dy : array like y
        Gradient of the loss by y.
    x : array (N, C, H, W)
    W : array (F, C, height, width)
    stride : int
    padding : int
        As for `conv2d_forward`.
    need_dx : bool
        False leaves dx out (None is returned): a first layer has no use for it.
    out : (dx, dW, db), optional
        Receive the results; each may be None, and may overlap neither an input nor another one.

    Returns
    -------
    dx like x or None, dW like W, db (F,)

    Notes
    -----
    A NaN or an infinity in dy passes through as in NumPy. One in x may make all elements of dW for its channel NaN, and
    one in W further pixels of dx for its channel, as the kernels multiply borders and pixels between the windows by 0.

    Source: LeCun, Bottou, Bengio and Haffner, Proceedings of the IEEE 86 (1998), 2278-2324.

    Examples
    --------
    >>> x, W = np.arange(9.0).reshape(1, 1, 3, 3), np.array([[[[1.0, 0.0], [0.0, 1.0]]]])
    >>> dx, dW, db = fastnn.conv2d_backward(np.ones((1, 1, 2, 2)), x, W)
    >>> dx[0, 0]
    array([[1., 1., 0.],
           [1., 2., 1.],
           [0., 1., 1.]])
    >>> dW[0, 0], db
    (array([[ 8., 12.],
           [20., 24.]]), array([4.]))
    """
    need_dx = arrays.flag("need_dx", need_dx)
    o = _checked(x, W, stride, padding)
    dtype = o.x.dtype
    dy = arrays.floats("dy", dy, o.outputs, dtype=dtype)
    dx, dW, db = (None, None, None) if out is None else arrays.three("out", out)
    taken = [("dy", dy), ("x", o.x), ("W", o.W)]
    dx = arrays.output("out[0]", dx, o.x.shape, dtype, taken) if need_dx else o.x  # which is not written then
    taken += [("out[0]", dx)] * need_dx
    dW = arrays.output("out[1]", dW, o.W.shape, dtype, taken)
    db = arrays.output("out[2]", db, (o.sizes.filters,), dtype, [*taken, ("out[1]", dW)])
    parts = threads.get_num_threads()
    memory = spare.take(parts, scratch_size(o.sizes, True), dtype)
    arguments = memory, dy, o.x, o.W, o.stride, o.padding, need_dx, dx, dW, db
    threads.run(on_images.conv2d_backward, (2.0 if need_dx else 1.0) * o.work, *arguments, n_threads=parts)
    spare.give_back(memory)
    return dx if need_dx else None, dW, db
