"""Shapes that arrays must have, and what to write for images that came in another form."""

import math
from typing import TypeAlias

Shape: TypeAlias = tuple[int | str, ...]  # a number is required; a letter is free, and printed in messages


def fits(actual: tuple[int, ...], shape: Shape) -> bool:
    """Whether an array has the shape required; a letter fits any size."""
    if len(actual) != len(shape):
        return False
    for axis, wanted in enumerate(shape):  # noqa: SIM110 - all() takes twice as long, on every call of the gate
        if type(wanted) is not str and wanted != actual[axis]:
            return False
    return True


def image_remedy(expression: str, actual: tuple[int, ...], shape: Shape) -> str:
    """How to turn `actual` into images or filters of `shape`; empty where there is no obvious way."""
    if len(shape) != 4:
        return ""
    one = {"N": "for a single image ", "F": "for a single filter "}.get(str(shape[0]), "")
    if len(actual) == 4:
        rows, height, width, channels = actual
        moved = f"{expression}.transpose(0, 3, 1, 2)"
        if not fits((rows, channels, height, width), shape):
            return ""
        is_sure = channels < min(height, width)
        return f"; channels come first: pass {moved}" if is_sure else f"; if its channels come last, pass {moved}"
    if len(actual) == 3:
        return _of_three(expression, actual, shape, one)
    if len(actual) == 2 and fits((1, 1, *actual), shape):
        return f"; {one}pass {expression}[None, None]"
    sizes = [size for size in shape[1:] if not isinstance(size, str)]
    if len(actual) == 1 and len(sizes) == 3 and fits((1, *sizes), shape) and actual[0] == math.prod(sizes):
        return f"; {one}pass {expression}.reshape(1, {', '.join(map(str, sizes))})"
    return ""


def _of_three(expression: str, actual: tuple[int, ...], shape: Shape, one: str) -> str:
    """As `image_remedy`, for three dimensions, which may be a single image, or several without their channel."""
    many, single = f"pass {expression}[:, None]", f"pass {expression}[None]"
    lacks_channel = fits((actual[0], 1, *actual[1:]), shape)
    if fits((1, *actual), shape):
        kind = "filters" if shape[0] == "F" else "images"
        return f"; {one}{single}" + (f", for {kind} of one channel {many}" if lacks_channel and actual[0] > 1 else "")
    if lacks_channel:
        return f"; {many}"
    if fits((1, actual[2], *actual[:2]), shape):
        return f"; channels come first: {one}pass {expression}.transpose(2, 0, 1)[None]"
    return ""
