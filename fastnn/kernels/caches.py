"""The caches of the machine that a process runs on, and the sizes of a product's blocks that follow from them.

They are read once, when this module is imported. Machine code may come from another machine, in a wheel, so it reads
the sizes from a table of this process, which lies at a name that the linker knows: a load, and nothing to pass on. All
blocks end where a chain does (matmul.py), so they change no bit of a result.

The model, for the share of a cache that one processor has of it:

    first-level    Rows that are a multiple of a way apart (its bytes by its ways) share its sets.
    second-level   Copied panels fill a quarter of it. Rows of the left operand for which panels are used in place fill
                   two fifths. A right operand that fits into it is never copied, nor is a transposed left one of up to
                   four times its size.
    last-level     Rows for which copied panels are used fill a half. A right operand that does not fit is copied from
                   24 rows on; of those that fit, smaller ones need more rows.

On two cores of Zen 5, which have 1 MB each, products took 0.98 to 1.10 of their time with blocks fitted to 512 KB, and
0.93 to 1.04 with ones fitted to 2 MB; but 96 x 96 x 96, which runs at one of two speeds, 1.15 and 1.17.
"""

import ctypes
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

from llvmlite import binding, ir
from numba import types

from fastnn.kernels.compile import JIT_DISABLED
from fastnn.kernels.processor import VECTOR_BYTES
from fastnn.kernels.simd import lowered

FOLDER = pathlib.Path("/sys/devices/system/cpu/cpu0/cache")
# A step in depth of a copied panel, which is as wide as a tile of two vectors (tiles.py); two are copied at once.
PANEL_BYTES = 2 * VECTOR_BYTES
LEAST_DEPTH, MOST_DEPTH = 400, 2048  # at least a chain
LEAST_TALL, MOST_TALL = 384, 1536  # 1024 x 1024 x 1024 takes 21.3 ms with 768 rows, and 20.3 with more
MOST_HELD = 16 << 20  # bytes that count as held by a last-level cache, as measured where its share is as large
LINE = 64  # bytes
NAME = "fastnn_blocks"  # of the table, for the linker
# What the table holds: steps in depth taken at once; bytes of an operand that the second-level cache and that the last
# one does not hold; bytes of a transposed left operand that is copied; bytes of the left operand for which panels are
# used in place; rows for which copied ones are; bytes between rows that share sets.
DEPTH, SPAN, HELD, LEFT_SPAN, LEFT_BLOCK, TALL, WAY = range(7)
COUNT = 7


class Caches(NamedTuple):
    """Bytes: of a way of the first-level cache, of shares of the second and last-level caches, and of the last one."""

    way: int = 4 << 10
    second: int = 1 << 20
    last_share: int = 8 << 20
    last: int = 16 << 20


def _number(text: str) -> int:
    """The number of a file of Linux, such as `32768K`."""
    return int(text.rstrip("KMG")) << {"K": 10, "M": 20, "G": 30}.get(text[-1:], 0)


def _processors(text: str) -> int:
    """How many processors a list such as `0-3,8` has."""
    ends = [[int(end) for end in one.split("-")] for one in text.split(",")]
    return sum(end[-1] - end[0] + 1 for end in ends)


def _read(place: pathlib.Path, name: str, meaning: Callable[[str], int], usual: int = 0) -> int:
    try:
        return max(0, meaning((place / name).read_text(encoding="ascii").strip()))
    except (OSError, ValueError):
        return usual


def read(folder: pathlib.Path) -> Caches:
    """The caches of a processor as Linux tells; usual ones where it does not.

    A way is a multiple of a line, as scratch is measured by it; a hypervisor may tell others.
    """
    usual, found = Caches(), {}
    for place in folder.glob("index*"):
        level, size = _read(place, "level", int), _read(place, "size", _number)
        kind = _read(place, "type", lambda text: int(text != "Instruction"), 1)
        if kind and level and size:
            ways = _read(place, "ways_of_associativity", int) or 8
            way = size // ways // LINE * LINE
            found[level] = size, way, size // (_read(place, "shared_cpu_list", _processors) or 1)
    way = max(usual.way, found.pop(1)[1]) if 1 in found else usual.way
    last, _, share = max(found.values(), default=(usual.last, 0, usual.last_share))
    return Caches(way, found[2][2] if 2 in found else usual.second, share, last)


def blocks(caches: Caches) -> list[int]:
    """The table for a machine; see the model above."""
    depth = min(MOST_DEPTH, max(LEAST_DEPTH, caches.second // 4 // (2 * PANEL_BYTES) // 16 * 16))
    tall = min(MOST_TALL, max(LEAST_TALL, caches.last_share // 2 // (4 * depth) // 24 * 24))
    held = min(MOST_HELD, max(caches.second, caches.last_share))
    return [depth, caches.second, held, 4 * caches.second, caches.second * 2 // 5, tall, caches.way]


CACHES = read(FOLDER)
TABLE = (ctypes.c_int64 * COUNT)(*blocks(CACHES))
if not JIT_DISABLED:
    binding.add_symbol(NAME, ctypes.addressof(TABLE))


def tell(library: ctypes.CDLL) -> None:
    """Copy the table into the one that a library of machine code has."""
    ctypes.memmove(ctypes.addressof((ctypes.c_int64 * COUNT).in_dll(library, NAME)), TABLE, ctypes.sizeof(TABLE))


def definition() -> str:
    """The library's table, in LLVM's words."""
    numbers = ", ".join(f"i64 {number}" for number in blocks(Caches()))
    return f"@{NAME} = global [{COUNT} x i64] [{numbers}]"


def _lower_fitted(context: Any, which: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        table = builder.module.globals.get(NAME)
        if table is None:
            table = ir.GlobalVariable(builder.module, ir.ArrayType(ir.IntType(64), COUNT), NAME)
        return builder.load(builder.gep(table, [ir.Constant(ir.IntType(64), 0), args[0]], inbounds=True))

    return types.intp(types.intp), codegen


@lowered(_lower_fitted)
def fitted(which: int) -> int:
    """A number of the table."""
    return int(TABLE[which])
