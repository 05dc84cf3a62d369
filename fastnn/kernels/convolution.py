"""Convolution and max pooling: windows of images as rows, and back.

Images are (N, C, H, W). The window of output (i, j) begins at row i stride - pad, column j stride - pad; outside the
image everything is 0. Results are float64, whatever the images are, as in the course that these are for. Each part has
its own images, so the bits do not depend on the number of parts.
"""

from typing import Any

from fastnn.kernels.compile import kernel
from fastnn.kernels.doors import Images, IndexImages, RealImages, RealMatrix, RealWindows, Windows, door_of_parts
from fastnn.kernels.matmul import share
from fastnn.kernels.rows import first_largest


@kernel
def _columns_of_image(image: Any, height: int, width: int, stride: int, pad: int, out: Any) -> None:
    """The windows (height, width) of one image (C, H, W) as rows of out (oh, ow, C, height, width)."""
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            for c in range(image.shape[0]):
                for a in range(height):
                    row = i * stride - pad + a
                    for b in range(width):
                        column = j * stride - pad + b
                        inside = 0 <= row < image.shape[1] and 0 <= column < image.shape[2]
                        out[i, j, c, a, b] = image[c, row, column] if inside else 0.0


@door_of_parts
def im2col(part: int, parts: int, images: Images, stride: int, pad: int, out: RealWindows) -> None:
    """out (N, oh, ow, C, height, width) float64 = the windows of images (N, C, H, W)."""
    for n in range(share(images.shape[0], part, parts), share(images.shape[0], part + 1, parts)):
        _columns_of_image(images[n], out.shape[4], out.shape[5], stride, pad, out[n])


@door_of_parts
def col2im(part: int, parts: int, columns: Windows, stride: int, images: RealImages) -> None:
    """images (N, C, H, W) += the windows columns (N, oh, ow, C, height, width) in their places, without padding."""
    for n in range(share(images.shape[0], part, parts), share(images.shape[0], part + 1, parts)):
        some, image = columns[n], images[n]
        for i in range(some.shape[0]):
            for j in range(some.shape[1]):
                for c in range(some.shape[2]):
                    for a in range(some.shape[3]):
                        for b in range(some.shape[4]):
                            image[c, i * stride + a, j * stride + b] += some[i, j, c, a, b]


@door_of_parts
def max_pool(
    part: int,
    parts: int,
    images: Images,
    height: int,
    width: int,
    stride: int,
    windows: RealMatrix,
    out: RealImages,
    places: IndexImages,
) -> None:
    """out (N, C, oh, ow) float64 = the largest of each window of images (N, C, H, W), without padding.

    places (N, oh, ow, C) intp: its place in the window, the first of equals; NaN counts as largest. windows: scratch, a
    row of height * width float64 for each part.
    """
    for n in range(share(images.shape[0], part, parts), share(images.shape[0], part + 1, parts)):
        window = windows[part]
        for c in range(images.shape[1]):
            for i in range(out.shape[2]):
                for j in range(out.shape[3]):
                    for a in range(height):
                        for b in range(width):
                            window[a * width + b] = images[n, c, i * stride + a, j * stride + b]
                    best = first_largest(window)
                    places[n, i, j, c] = best
                    out[n, c, i, j] = window[best]


@door_of_parts
def max_pool_backward(
    part: int, parts: int, dout: Images, places: IndexImages, width: int, stride: int, images: RealImages
) -> None:
    """images (N, C, H, W) float64 += dout (N, C, oh, ow) at the largest of each window; see max_pool."""
    for n in range(share(images.shape[0], part, parts), share(images.shape[0], part + 1, parts)):
        for c in range(images.shape[1]):
            for i in range(dout.shape[2]):
                for j in range(dout.shape[3]):
                    a, b = places[n, i, j, c] // width, places[n, i, j, c] % width
                    images[n, c, i * stride + a, j * stride + b] += dout[n, c, i, j]
