"""The container .npz: texts and arrays in a zip archive that `numpy.load` opens, too, written and checked.

Nothing is compressed, so that no file takes more memory than it has bytes. An array `W1` is the member `W1.npy`, in
the one form of a .npy file that is written and accepted here; a text is a member with its own name.
"""

import math
import os
import struct
import zipfile
from collections.abc import Mapping
from typing import IO

import numpy as np

from fastnn.errors import ModelFileError
from fastnn.gate import checks
from fastnn.gate.arrays import Array, DType
from fastnn.network.files.header import REMEDY, REPAIR

# Errors of reading a damaged zip archive. RuntimeError: encryption, methods unknown to zipfile, deep nesting.
DAMAGE = (zipfile.BadZipFile, EOFError, OSError, RuntimeError, ValueError, OverflowError, struct.error)
SUFFIX = ".npy"


def write(file: IO[bytes], contents: Mapping[str, bytes | Array]) -> None:
    """Write texts and arrays by name."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, content in contents.items():
            is_text = isinstance(content, bytes)
            member = zipfile.ZipInfo(name if is_text else name + SUFFIX)  # dated 1980: equal networks give equal files
            member.create_system, member.external_attr = 3, 0o644 << 16  # as on Unix, wherever it is written
            with archive.open(member, "w", force_zip64=True) as stream:
                if isinstance(content, bytes):
                    stream.write(content)
                else:
                    dtype = content.dtype.newbyteorder("<")
                    stream.write(npy_header(dtype, content.shape))
                    stream.write(np.ascontiguousarray(content, dtype).data)


def npy_header(dtype: DType, shape: tuple[int, ...]) -> bytes:
    """The header of an array in a .npy file of version 1.0, in the one form that is written and accepted here.

    Source: numpy.lib.format, "Format Version 1.0".
    """
    text = f"{{'descr': '{dtype.str}', 'fortran_order': False, 'shape': {shape}, }}"
    length = len(text) + 1 + -(len(text) + 11) % 64  # a newline, and spaces up to a multiple of 64 in all
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", length) + text.ljust(length - 1).encode() + b"\n"


class Reader:
    """An archive that is open: members with different names, uncompressed, of no more bytes than the file has."""

    def __init__(self, file: IO[bytes]) -> None:
        self._archive = zipfile.ZipFile(file)
        found, size = self._archive.infolist(), os.fstat(file.fileno()).st_size
        self._members = {member.filename: member for member in found}
        self.shown = checks.shown(", ".join(member.filename for member in found))  # for messages
        if len(self._members) < len(found):
            came = f"{self.shown}; {REMEDY}"
            raise ModelFileError(f"expected an archive with one member of each name, got {came}")
        for member in found:
            _check_size(member, size)
        claimed = sum(member.file_size for member in found)
        if claimed > size:  # members that share bytes would be copied once for each
            expected = f"expected members of at most {size} bytes together, as the file has no more"
            raise ModelFileError(f"{expected}, got {claimed}; {REPAIR}")

    @property
    def texts(self) -> list[str]:
        """The names of the texts."""
        return [name for name in self._members if not name.endswith(SUFFIX)]

    @property
    def arrays(self) -> list[str]:
        """The names of the arrays."""
        return [name.removesuffix(SUFFIX) for name in self._members if name.endswith(SUFFIX)]

    def text(self, name: str, largest: int) -> bytes:
        """A text of at most `largest` bytes."""
        _check_size(self._members[name], largest)
        return self._archive.read(self._members[name])

    def array(self, name: str, dtype: DType, shape: tuple[int, ...]) -> Array:
        """An array of just this dtype and shape; little-endian, and read-only."""
        member, kind = self._members[name + SUFFIX], dtype.newbyteorder("<")
        expected = npy_header(kind, shape)
        size = len(expected) + math.prod(shape) * dtype.itemsize
        with self._archive.open(member) as stream:
            found = stream.read(len(expected))
            if found != expected or member.file_size != size:
                wanted = f"{size} bytes that begin with {checks.shown(_text(expected))}"
                came = f"{member.file_size} that begin with {checks.shown(_text(found))}"
                raise ModelFileError(f"{member.filename}: expected {wanted}, got {came}; {REPAIR}")
            # At the end zipfile compares the checksum.
            return np.frombuffer(stream.read(), kind).reshape(shape)


def _check_size(member: zipfile.ZipInfo, most: int) -> None:
    """Refuse a member that is compressed or larger than this."""
    if member.compress_type != zipfile.ZIP_STORED or member.file_size > most:
        expected = f"at most {most} bytes without compression (method 0)"
        came = f"{member.file_size} bytes by method {member.compress_type}"
        raise ModelFileError(f"{member.filename}: expected {expected}, got {came}; {REPAIR}")


def _text(header: bytes) -> str:
    """The text in a header of a .npy file."""
    return header[10:].decode("latin-1").rstrip()
