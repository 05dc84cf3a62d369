"""Convolution of images by filters: forward, backward, and the gradient of the filters.

The *places* of an output are its pixels in the layout of the image, one row every `line` elements; the last
`line - columns` of each row are computed and thrown away, or their gradients are 0. Weight k = (c, a, b) of a filter
meets at place p the element p + offset[k] of the image. So the windows of an image are never written out:

- forward, y[f, p] = the sum of W[f, k] x[p + offset[k]] over k: a tile's columns are places, its depth the weights;
- backward, dx is the convolution of dy, with a border, by the filters of each channel, turned by 180 degrees; if dx has
  more than WORTH times the pixels of dy, or there is a stride, dx[c, p + offset[k]] += the sum of W[f, k] dy[f, p] over
  f, for the weights (a, b) one after the other;
- gradient, dW[f, k] = the sum of dy[f, p] x[p + offset[k]] over p and the images: correlations.py.

An image with padding, or for a stride s above 1, is first copied into planes: for each channel and each pair of
remainders of row and column by s that filters read one, in which the windows of neighbours lie one element apart.

Each element of a result is computed from one sample, or in the order of the samples, in steps that do not depend on the
number of threads: the same bits. Images (N, C, H, W) are matrices (N, C H W) here, filters (F, C, height, width)
matrices (F, C height width).
"""

from typing import Any, NamedTuple

import numpy as np

from fastnn.kernels import simd
from fastnn.kernels.channels import sum_of_channel
from fastnn.kernels.compile import apart, kernel
from fastnn.kernels.copies import fill, integers_in, rest_of
from fastnn.kernels.correlations import BYTES, TAPS, correlate, height_of, sum_of_lanes
from fastnn.kernels.matmul import CHAIN, chain_of
from fastnn.kernels.processor import VECTOR_BYTES
from fastnn.kernels.tiles import FEW_ROWS, MAX_VECTORS, ROW_VECTORS, panel_by_table
from fastnn.kernels.views import elements, part, vector_at

# Places of all images that the filters' gradient takes together: those of the gradients that a tile of 6 filters reads
# stay in the first-level cache.
AT_ONCE = 680
# So many times the pixels of dy may dx have for the faster of the two ways to it, whose weights are read in order.
WORTH = 1.25


class Convolution(NamedTuple):
    """The sizes of a convolution: of images, filters, outputs, and of the layout of places."""

    channels: Any
    height: Any
    width: Any
    filters: Any
    tall: Any  # rows and columns of a filter
    wide: Any
    stride: Any
    padding: Any
    rows: Any  # of an output
    columns: Any
    line: Any  # elements from one row of places to the next
    plane: Any  # elements of a plane
    planes: Any  # of each channel
    across: Any  # of them, for the remainders of columns
    places: Any
    depth: Any  # weights of a filter
    is_copied: Any  # whether images are copied into planes; else they are planes


def sizes_of(image: Any, filters: int, size: Any, stride: int, padding: int) -> Any:
    """The sizes for images (channels, height, width) and filters of `size` rows and columns, at least one window."""
    (channels, height, width), (tall, wide) = image, size
    rows, columns = (height + 2 * padding - tall) // stride + 1, (width + 2 * padding - wide) // stride + 1
    is_copied = stride != 1 or padding != 0
    # The zeros behind a row are the ones before the next row, where they fit: 7 x 7 pixels have 55 places, not 61.
    shared = padding if stride == 1 and padding < wide else 0
    line = columns + (wide - 1) // stride - shared if is_copied else width
    plane = line * (rows + (tall - 1) // stride) + shared if is_copied else height * width
    given = channels, height, width, filters, tall, wide, stride, padding, rows, columns
    places, depth = (rows - 1) * line + columns, channels * tall * wide
    across = min(stride, wide)  # what lies between two windows is not needed
    return Convolution(*given, line, plane, min(stride, tall) * across, across, places, depth, is_copied)


convolution_of = kernel(sizes_of)


def _whole(count: int) -> int:
    """So many elements in whole lines of the cache, so that whatever follows them is aligned, too."""
    return -(-count // 16) * 16


def _of_turned(c: Convolution) -> Any:
    """What sizes_of takes for the convolution of dy that is dx; see _is_turned."""
    return (c.filters, c.rows, c.columns), c.channels, (c.tall, c.wide), 1, c.tall - 1 - c.padding


def _is_turned(c: Convolution) -> bool:
    """Whether dx is computed as a convolution of dy, which has a product for each pixel of dx instead of dy."""
    fits = c.stride == 1 and c.tall == c.wide and c.padding < c.tall
    return fits and c.height * c.width <= WORTH * c.rows * c.columns


def scratch_size(c: Convolution, backward: bool) -> int:
    """Elements of scratch, of either dtype; backward: also for the passes backward."""
    forward = _scratch_forward(c)
    if not backward:
        return _whole(forward)
    image, gradients = _image_size(c), c.filters * c.places
    by_images = _scratch_forward(sizes_of(*_of_turned(c))) if _is_turned(c) else 4 * c.filters + image + gradients
    taps = -(-c.depth // TAPS) * TAPS
    of_filters = 2 * taps + 2 * c.filters * c.depth + c.filters * taps * BYTES // 4
    return _whole(max(forward, by_images, of_filters + _images_at_once(c) * (image + gradients)))


def _image_size(c: Convolution) -> int:
    """The elements of an image's planes, if it is copied."""
    return int(c.channels * c.planes * c.plane if c.is_copied else 0)


def _scratch_forward(c: Convolution) -> int:
    lanes = VECTOR_BYTES // 4
    return int(4 * c.depth + c.filters * ROW_VECTORS * lanes + _image_size(c) + c.filters * c.places)


def _images_at_once(c: Convolution) -> int:
    """How many images the gradient of the filters takes together."""
    return max(1, AT_ONCE // c.places)


_images, _turned, _turns = kernel(_images_at_once), kernel(_of_turned), kernel(_is_turned)


@kernel
def _offset(c: Convolution, k: int) -> int:
    """The distance of the element that weight k meets at place 0 from the image's start."""
    channel, a, b = k // (c.tall * c.wide), k // c.wide % c.tall, k % c.wide
    plane = channel * c.planes + a % c.stride * c.across + b % c.stride
    return plane * c.plane + a // c.stride * c.line + b // c.stride


@kernel
def _copy_rows(source: Any, step: int, target: Any, target_step: int, rows: int, columns: int) -> None:
    """Copy `columns` elements of rows that are `step` apart to rows that are `target_step` apart, and nothing else."""
    one, lanes = simd.zero_tile(source, 1, 1), simd.lanes(source)
    for i in range(rows):
        for j in range(0, columns, lanes):
            count = min(lanes, columns - j)
            simd.store_tile(simd.load_tile(one, source, i * step + j, 0, count), target, i * target_step + j, 0, count)


@kernel
def _copy_planes(image: Any, c: Convolution, planes: Any, back: bool) -> None:
    """Copy the elements of an image to its planes, in which there is 0 elsewhere; back: planes to the image."""
    s, lines = c.stride, c.plane // c.line
    for number in range(c.channels * c.planes):
        channel, within = number // c.planes, number % c.planes
        a, b = within // c.across - c.padding, within % c.across - c.padding
        first = max(0, (s - 1 - b) // s)
        count = min(c.line, (c.width - 1 - b) // s + 1) - first
        for i in range(lines):
            row = i * s + a
            if row < 0 or row >= c.height:
                continue
            start = (channel * c.height + row) * c.width + first * s + b
            place = number * c.plane + i * c.line + first
            if s == 1 and back:
                _copy_rows(rest_of(planes, place), 0, rest_of(image, start), 0, 1, count)
            elif s == 1:
                _copy_rows(rest_of(image, start), 0, rest_of(planes, place), 0, 1, count)
            elif back:
                for j in range(count):
                    image[start + j * s] = planes[place + j]
            else:
                for j in range(count):
                    planes[place + j] = image[start + j * s]


@kernel
def _vectors(left: int, rows: int) -> int:
    """How many vectors of places the next panel takes: few rows, with few chains of sums, take more."""
    return ROW_VECTORS if left >= ROW_VECTORS and rows < FEW_ROWS else min(left, MAX_VECTORS)


@apart
def _multiply(left: Any, right: Any, offsets: Any, initial: Any, out: Any, size: Any) -> None:
    """out[i, p] = initial[i] + the sum of left[i, k] right[p, k] over k, for all places p, in panels.

    left: (array, start, step between rows); right: (array, start); offsets: of both for each k, see panel_by_table;
    initial: (array, step between rows, whether there is any); out: (array, start, step between rows, whether to add);
    size: (rows, places, depth).
    """
    weights, begin, left_row = left
    array, first = right
    numbers, row, has_initial = initial
    target, start, step, adds = out
    rows, places, depth = size
    lanes, j, zero, unit, chain = simd.lanes(array), np.intp(0), np.intp(0), np.intp(1), chain_of(depth)
    while j < places:
        vectors = _vectors((places - j + lanes - 1) // lanes, rows)
        width = min(vectors * lanes, places - j)
        place = (target, start + j, step, width - (vectors - 1) * lanes, adds)
        beginning = (numbers, zero, row, has_initial)
        operand, source = (weights, begin, left_row, zero), (array, first + j, unit, chain)
        panel_by_table(vectors, depth, operand, source, beginning, place, rows, offsets)
        j += width


@apart
def _convolve(images: Any, left: Any, offsets: Any, beginnings: Any, c: Convolution, memory: Any, y: Any) -> None:
    """y[n] = left * images[n] for each image; left, offsets: see _multiply, beginnings: its `initial`."""
    zero, plane = np.intp(0), c.rows * c.columns
    planes = part(memory, 0, c.channels * c.planes * c.plane if c.is_copied else 0)
    sums, size = part(memory, planes.size, c.filters * c.places), (c.filters, c.places, c.depth)
    fill(planes, y.dtype.type(0.0))
    for n in range(images.shape[0]):
        if c.is_copied:
            _copy_planes(images[n], c, planes, False)
        image = planes if c.is_copied else images[n]
        is_direct = c.line == c.columns
        target = y[n] if is_direct else sums
        _multiply(left, (image, zero), offsets, beginnings, (target, zero, c.places, False), size)
        for f in range(0 if is_direct else c.filters):
            _copy_rows(
                part(sums, f * c.places, c.places), c.line, rest_of(y[n], f * plane), c.columns, c.rows, c.columns
            )


@kernel
def convolve(images: Any, filters: Any, bias: Any, c: Convolution, scratch: Any, y: Any) -> None:
    """y[n, f] = filters[f] * images[n] + bias[f]; y is overwritten. scratch: see scratch_size."""
    offsets, step = integers_in(scratch, 0, 2 * c.depth), ROW_VECTORS * simd.lanes(y)
    beginnings = part(scratch, 4 * c.depth, c.filters * step)
    memory = rest_of(scratch, 4 * c.depth + c.filters * step)
    for k in range(c.depth):
        offsets[2 * k], offsets[2 * k + 1] = k, _offset(c, k)
    for f in range(c.filters):
        fill(part(beginnings, f * step, step), bias[f])
    _convolve(images, (elements(filters), np.intp(0), c.depth), offsets, (beginnings, step, True), c, memory, y)


@kernel
def _spread_rows(dy: Any, c: Convolution, filters: int, target: Any) -> None:
    """The gradients by some filters' outputs, row after row, at their places; the elements between are left alone."""
    plane = c.rows * c.columns
    for f in range(filters):
        source, place = part(dy, f * plane, plane), part(target, f * c.places, c.places)
        _copy_rows(source, c.columns, place, c.line, c.rows, c.columns)


@kernel
def convolve_backward(dy: Any, filters: Any, c: Convolution, scratch: Any, dx: Any) -> None:
    """dx = the gradient by the images; overwritten, distinct from dy. scratch: see scratch_size."""
    if _turns(c):
        image, channels, size, stride, padding = _turned(c)
        turned = convolution_of(image, channels, size, stride, padding)
        _convolve_turned(dy, elements(filters), c, turned, scratch, dx)
    else:
        _add_by_weights(dy, elements(filters), c, scratch, dx)


@kernel
def _convolve_turned(dy: Any, weights: Any, c: Convolution, turned: Convolution, scratch: Any, dx: Any) -> None:
    """dx = dy, with a border, convolved by the filters of each channel, turned by 180 degrees."""
    size, zero = c.tall * c.wide, np.intp(0)
    offsets, memory = integers_in(scratch, 0, 2 * turned.depth), rest_of(scratch, 4 * turned.depth)
    for k in range(turned.depth):
        offsets[2 * k], offsets[2 * k + 1] = k // size * c.depth + size - 1 - k % size, _offset(turned, k)
    _convolve(dy, (weights, zero, size), offsets, (memory, zero, False), turned, memory, dx)


@kernel
def _add_by_weights(dy: Any, weights: Any, c: Convolution, scratch: Any, dx: Any) -> None:
    """dx = the sum of what each weight (a, b) of the filters adds, places further, in the order of the weights."""
    zero, nothing, size = np.intp(0), dx.dtype.type(0.0), c.channels * c.planes * c.plane
    offsets, memory = integers_in(scratch, 0, 2 * c.filters), rest_of(scratch, 4 * c.filters)
    planes = part(memory, 0, size if c.is_copied else 0)
    gradients = part(memory, planes.size, c.filters * c.places)
    for f in range(c.filters):
        offsets[2 * f], offsets[2 * f + 1] = f * c.depth, f * c.places
    fill(gradients, nothing)
    step = c.tall * c.wide
    for n in range(dy.shape[0]):
        fill(dx[n], nothing)
        fill(planes, nothing)
        _spread_rows(dy[n], c, c.filters, gradients)
        target = planes if c.is_copied else dx[n]
        for k in range(step):
            out, beginning = (target, _offset(c, k), c.planes * c.plane, True), (gradients, zero, False)
            _multiply((weights, k, step), (gradients, zero), offsets, beginning, out, (c.channels, c.places, c.filters))
        if c.is_copied:
            _copy_planes(dx[n], c, planes, True)


@kernel
def _add_sums(sums: Any, height: int, c: Convolution, k: int, totals: Any) -> None:
    """Add the sums of one tile to the totals of `height` filters from weight k on."""
    lanes = BYTES // sums.itemsize
    for r in range(height):
        for t in range(min(TAPS, c.depth - k)):
            totals[r * c.depth + k + t] += sum_of_lanes(sums, (r * TAPS + t) * lanes)


@apart
def _correlate_all(images: Any, gradients: Any, c: Convolution, offsets: Any, count: int, sums: Any) -> None:
    """Add to the sums of all tiles the products over the places of `count` images."""
    x, image = images
    dy, filters = gradients
    lanes, f, at = BYTES // sums.itemsize, 0, 0
    while f < filters:
        height = height_of(filters - f)
        for k in range(0, offsets.size, TAPS):
            some = (dy, f * c.places, c.places, filters * c.places)
            correlate(height, some, (x, np.intp(0), image), (offsets, k), (count, c.places), sums, at)
            at += height * TAPS * lanes
        f += height


@kernel
def _settle(c: Convolution, filters: int, taps: int, sums: Any, totals: Any) -> None:
    """Add the sums of all tiles to the totals, and begin them anew."""
    lanes, f, at = BYTES // sums.itemsize, 0, 0
    while f < filters:
        height = height_of(filters - f)
        for k in range(0, taps, TAPS):
            _add_sums(rest_of(sums, at), height, c, k, part(totals, f * c.depth, height * c.depth))
            at += height * TAPS * lanes
        f += height
    fill(sums, sums.dtype.type(0.0))


@kernel
def filters_gradient(images: Any, dy: Any, c: Convolution, first: int, scratch: Any, out: Any) -> None:
    """out (filters, depth) = the gradient by the filters from `first` on, over all images. scratch: see scratch_size.

    An element of a tile's vector is one chain over at most CHAIN steps; the chains are added in float64.
    """
    filters, taps, group, lanes = out.shape[0], (c.depth + TAPS - 1) // TAPS * TAPS, _images(c), BYTES // out.itemsize
    size = c.channels * c.planes * c.plane
    offsets = integers_in(scratch, 0, taps)
    totals = vector_at(scratch.ctypes.data + 2 * taps * scratch.itemsize, filters * c.depth, 0.0)
    memory = rest_of(scratch, 2 * taps + 2 * filters * c.depth)
    sums = part(memory, 0, filters * taps * lanes)
    gradients = part(memory, sums.size, group * filters * c.places)
    planes = part(memory, sums.size + gradients.size, group * size if c.is_copied else 0)
    for k in range(taps):
        offsets[k] = _offset(c, min(k, c.depth - 1))
    fill(totals, 0.0)
    fill(part(memory, 0, sums.size + gradients.size + planes.size), out.dtype.type(0.0))
    steps, plane = 0, c.rows * c.columns
    for n in range(0, images.shape[0], group):
        count = min(group, images.shape[0] - n)
        for i in range(count):
            some = rest_of(dy[n + i], first * plane)
            _spread_rows(some, c, filters, rest_of(gradients, i * filters * c.places))
            if c.is_copied:
                _copy_planes(images[n + i], c, part(planes, i * size, size), False)
        source = planes if c.is_copied else rest_of(elements(images), n * size)
        _correlate_all((source, size), (gradients, filters), c, offsets, count, sums)
        steps += group * ((c.places + lanes - 1) // lanes)
        if steps >= CHAIN or n + group >= images.shape[0]:
            _settle(c, filters, taps, sums, totals)
            steps = 0
    result = elements(out)
    for i in range(result.size):
        result[i] = totals[i]


@kernel
def bias_gradient(dy: Any, c: Convolution, first: int, out: Any) -> None:
    """out = the sums of dy over the images and the pixels, in float64, for the filters from `first` on."""
    for f in range(out.size):
        out[f] = sum_of_channel(dy, first + f, c.rows * c.columns)
