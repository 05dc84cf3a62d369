"""Convolutions of a user's images, in which each thread takes a share of the images or of the filters.

Parts write disjoint images and filters, each of which is computed in steps of its own. So the bits do not depend on the
number of parts.
"""

from typing import Any

from fastnn.kernels.compile import kernel
from fastnn.kernels.doors import Images, Matrix, Vector, door_of_parts
from fastnn.kernels.filters import (
    Convolution,
    bias_gradient,
    convolution_of,
    convolve,
    convolve_backward,
    filters_gradient,
)
from fastnn.kernels.matmul import share
from fastnn.kernels.views import elements, matrix, part


@kernel
def _sizes(x: Any, W: Any, stride: int, padding: int) -> Convolution:
    """The sizes of the convolution of x by W."""
    image, size = (x.shape[1], x.shape[2], x.shape[3]), (W.shape[2], W.shape[3])
    return convolution_of(image, W.shape[0], size, stride, padding)


@kernel
def _rows(images: Any, first: int, last: int) -> Any:
    """Some images, or filters, as the rows of a matrix."""
    breadth = images.shape[1] * images.shape[2] * images.shape[3]
    return matrix(elements(images), first * breadth, last - first, breadth)


@door_of_parts
def conv2d_forward(
    number: int, parts: int, scratch: Matrix, x: Images, W: Images, b: Vector, stride: int, padding: int, y: Images
) -> None:
    """y = x * W + b for one part of the images. scratch: a row for each part, see filters.scratch_size."""
    c, first, last = (
        _sizes(x, W, stride, padding),
        share(x.shape[0], number, parts),
        share(x.shape[0], number + 1, parts),
    )
    convolve(_rows(x, first, last), _rows(W, 0, W.shape[0]), b, c, scratch[number], _rows(y, first, last))


# Compiled code takes arrays one by one.
@door_of_parts
def conv2d_backward(
    number: int, parts: int, scratch: Matrix, dy: Images, x: Images, W: Images, stride: int, padding: int,
    need_dx: bool, dx: Images, dW: Images, db: Vector,
) -> None:  # fmt: skip
    """dx for one part of the images if it is needed, dW and db for one part of the filters."""
    c, memory = _sizes(x, W, stride, padding), scratch[number]
    first, last = share(x.shape[0], number, parts), share(x.shape[0], number + 1, parts)
    if need_dx and first < last:
        convolve_backward(_rows(dy, first, last), _rows(W, 0, c.filters), c, memory, _rows(dx, first, last))
    first, last = share(c.filters, number, parts), share(c.filters, number + 1, parts)
    if first < last:
        gradients = _rows(dy, 0, x.shape[0])
        filters_gradient(_rows(x, 0, x.shape[0]), gradients, c, first, memory, _rows(dW, first, last))
        bias_gradient(gradients, c, first, part(db, first, last - first))
