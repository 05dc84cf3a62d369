"""MNIST and data sets of its format: the IDX reader, and where the files come from.

The files are looked for in the folder that is passed, else in $FASTNN_DATA, else in fastnn's own cache
folder; only files missing from the last are downloaded. A file is data from a stranger: the size that it claims is
checked before it is believed.
"""

import gzip
import hashlib
import io
import itertools
import math
import os
import pathlib
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.datasets import download, splits
from fastnn.errors import DatasetError
from fastnn.gate import arrays
from fastnn.gate.slips import answers_slips
from fastnn.system import files, folders

MIRRORS = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/")
# SHA-256 of the unpacked files, since mirrors may pack them differently; in the order of load_mnist's result
CHECKSUMS = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
IDX_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}

BRIGHTEST = 255
CLASSES = 10
CHUNK_BYTES = 2**16
LARGEST_ARRAY = 2**30  # bytes; the largest known set of this format, EMNIST, has 0.55e9
LARGEST_RANK = 8

REPAIR = "delete it and load again, or replace it if it is your own copy"
BY_HAND = "put the four files, plain or .gz, into a folder and pass folder= or set FASTNN_DATA"


@answers_slips
def load_mnist(
    folder: str | os.PathLike[str] | None = None, normalize: bool = True, flatten: bool = True, one_hot: bool = False
) -> splits.TwoParts:
    """MNIST: 60,000 training and 10,000 test images of handwritten digits, 28x28 pixels each.

    Source: Y. LeCun, C. Cortes and C. J. C. Burges, The MNIST database of handwritten digits, 1998.

    Parameters
    ----------
    folder : path or None
        Where the four files are, plain or .gz, under their own names: {train,t10k}-images-idx3-ubyte and
        {train,t10k}-labels-idx1-ubyte. Sets of the same format, such as Fashion-MNIST, load in the same way. None takes
        $FASTNN_DATA, else the user's cache folder, into which the files are downloaded once (11 MB).
    normalize : bool
        True gives float32 pixels in [0, 1], divided by 255; False the uint8 pixels of the file, a quarter of the
        memory, on which Network(..., input_scale=1/255) trains as they are.
    flatten : bool
        True gives images as rows (N, 784), False as (N, 1, 28, 28).
    one_hot : bool
        True gives float32 targets (N, 10) instead of int64 labels (N,).

    Returns
    -------
    ((x_train, t_train), (x_test, t_test))

    Raises
    ------
    TypeError
        `folder` is no path.
    DatasetError
        A file is absent, damaged or disagrees with its companion, or cannot be downloaded.

    Examples
    --------
    >>> (x_train, t_train), (x_test, t_test) = fastnn.datasets.load_mnist()
    >>> x_train.shape, t_train.shape, x_test.shape
    ((60000, 784), (60000,), (10000, 784))
    >>> fastnn.datasets.load_mnist(flatten=False)[0][0].shape  # images for Network(input_shape=(1, 28, 28))
    (60000, 1, 28, 28)
    """
    normalize, flatten = arrays.flag("normalize", normalize), arrays.flag("flatten", flatten)
    one_hot = arrays.flag("one_hot", one_hot)
    paths = _find_files(folder)
    train = _read_part(paths[0], paths[1], normalize, flatten, one_hot)
    return train, _read_part(paths[2], paths[3], normalize, flatten, one_hot)


def _read_part(
    images_path: pathlib.Path, labels_path: pathlib.Path, normalize: bool, flatten: bool, one_hot: bool
) -> splits.Part:
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.dtype != np.uint8 or images.shape[1:] != (28, 28):
        raise _damaged(images_path, "uint8 images (N, 28, 28)", f"{images.dtype} of shape {images.shape}")
    if labels.dtype != np.uint8 or labels.shape != images.shape[:1]:
        expected = f"{len(images)} uint8 labels, one for each image of {images_path.name}"
        raise _damaged(labels_path, expected, f"{labels.dtype} of shape {labels.shape}")
    if labels.max(initial=0) >= CLASSES:
        raise _damaged(labels_path, f"labels from 0 to {CLASSES - 1}", f"a label {labels.max()}")
    x = pixels(images, normalize, flatten)
    return x, splits.one_hot(labels, CLASSES) if one_hot else labels.astype(np.int64)


def pixels(images: NDArray[np.uint8], normalize: bool, flatten: bool) -> NDArray[Any]:
    """Images of 28x28 uint8 as `load_mnist` gives them."""
    x = images.reshape((-1, 784) if flatten else (-1, 1, 28, 28))
    return np.divide(x, BRIGHTEST, dtype=np.float32) if normalize else x


@answers_slips
def read_idx(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Read one array from an IDX file, unpacking it on the way if its name ends in .gz.

    The format: two zero bytes, a byte for the type (0x08 uint8, 0x09 int8, 0x0B int16, 0x0C int32, 0x0D float32, 0x0E
    float64), a byte for the rank, each dimension as a big-endian uint32, and the values in C order, big-endian. At most
    1 GiB of values is accepted. At most one byte more than the header promises is unpacked, so that a file made to
    unpack without end costs no memory. Source: the format as described with the MNIST database, see `load_mnist`.

    Parameters
    ----------
    path : str or os.PathLike

    Returns
    -------
    array
        C-contiguous, in the machine's own byte order.

    Raises
    ------
    DatasetError
        The file is absent or unreadable, no IDX file, too short, too long, or a damaged gzip file.

    Examples
    --------
    >>> header = bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3])  # uint8 of rank 2: 2 rows, 3 columns
    >>> with open("small-idx2-ubyte", "wb") as file:
    ...     _ = file.write(header + bytes([1, 2, 3, 4, 5, 6]))
    >>> fastnn.datasets.read_idx("small-idx2-ubyte")
    array([[1, 2, 3],
           [4, 5, 6]], dtype=uint8)
    """
    if not isinstance(path, str | os.PathLike):
        kind = type(path).__name__
        raise TypeError(f"path: expected the path of a file, got {kind}; pass a string or a pathlib.Path")
    path = pathlib.Path(path)
    try:
        open_file = gzip.open if path.suffix == ".gz" else open
        with open_file(path, "rb") as file:
            return _read_array(file, path)
    except (gzip.BadGzipFile, zlib.error) as error:
        raise _damaged(path, "an intact gzip file", f"one that does not unpack ({error})") from error
    except EOFError as error:
        raise _damaged(path, "an intact gzip file", "one that is cut short") from error
    except OSError as error:
        raise DatasetError(f"{path}: expected a readable file, got {error}; check the path") from error


def _read_array(file: io.BufferedIOBase, path: pathlib.Path) -> NDArray[Any]:
    magic = file.read(4)
    known = len(magic) == 4 and magic[:2] == b"\0\0" and magic[2] in IDX_TYPES
    if not known or not 1 <= magic[3] <= LARGEST_RANK:
        got = f"the bytes {magic.hex(' ')!r} at its beginning"
        raise _damaged(path, "an IDX file, which begins with 00 00, its type and its rank", got)
    header = file.read(4 * magic[3])
    if len(header) < 4 * magic[3]:
        raise _damaged(path, f"{magic[3]} dimensions in the header", "the end of the file")
    shape = tuple(int(size) for size in np.frombuffer(header, ">u4"))
    dtype = np.dtype(IDX_TYPES[magic[2]])
    # a zero among the dimensions must not hide the others from the check
    if dtype.itemsize * math.prod(max(size, 1) for size in shape) > LARGEST_ARRAY:
        raise _damaged(path, f"at most {LARGEST_ARRAY} bytes of values", f"a header with the shape {shape}")
    values = np.empty(dtype.itemsize * math.prod(shape), dtype=np.uint8)
    filled = _fill(values, file)
    if filled < values.size:
        raise _damaged(path, f"{values.size} bytes of values for the shape {shape}", f"only {filled}")
    if file.read(1):
        raise _damaged(path, f"{values.size} bytes of values for the shape {shape}", "more")
    return values.view(dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def _fill(values: NDArray[np.uint8], file: io.BufferedIOBase) -> int:
    """Read into `values` until they are full or the file ends; in chunks, so that no second copy is held."""
    filled = 0
    while chunk := file.read(min(CHUNK_BYTES, values.size - filled)):
        values[filled : filled + len(chunk)] = np.frombuffer(chunk, np.uint8)
        filled += len(chunk)
    return filled


def _damaged(path: pathlib.Path, expected: str, got: str) -> DatasetError:
    return DatasetError(f"{path}: expected {expected}, got {got}; {REPAIR}")


def _find_files(folder: str | os.PathLike[str] | None) -> list[pathlib.Path]:
    """The four files, in the order of CHECKSUMS."""
    if folder is not None and not isinstance(folder, str | os.PathLike):
        kind = type(folder).__name__
        raise TypeError(f"folder: expected a path or None, got {kind}; pass a string or a pathlib.Path")
    given = folder if folder is not None else os.environ.get("FASTNN_DATA") or None
    if given is None:
        return _cached_files()
    place = pathlib.Path(os.path.expanduser(given))
    found = [_find(place, name) for name in CHECKSUMS]
    missing = [name for name, path in zip(CHECKSUMS, found, strict=True) if path is None]
    if missing:
        argument = "FASTNN_DATA" if folder is None else "folder"
        raise DatasetError(
            f"{argument}: expected four files, plain or .gz, in {place}, got no {', '.join(missing)}; "
            "add the missing files, or name no folder to have MNIST downloaded"
        )
    return [path for path in found if path is not None]


def _find(place: pathlib.Path, name: str) -> pathlib.Path | None:
    return next((path for path in (place / name, place / f"{name}.gz") if os.path.isfile(path)), None)


def _cached_files() -> list[pathlib.Path]:
    place = folders.cache_folder("mnist")
    if place is None:
        raise DatasetError(f"folder: expected a home folder to download MNIST into, got none; {BY_HAND}")
    return [_find(place, name) or _download(name, place) for name in CHECKSUMS]


def _download(name: str, place: pathlib.Path) -> pathlib.Path:
    """Fetch one file from the first mirror that delivers it; `place` then holds it whole or not at all."""
    target = place / f"{name}.gz"
    content = _from_a_mirror(name, place)
    try:
        place.mkdir(parents=True, exist_ok=True)
        with files.replacing(target) as file:
            file.write(content)
    except OSError as error:
        reason = f"{error.strerror}; {files.remedy(error, target)}, or {BY_HAND}"
        raise DatasetError(f"{target}: expected to be able to write it, got {reason}") from error
    return target


def _from_a_mirror(name: str, place: pathlib.Path) -> bytes:
    import http.client  # slow to import, and needed once
    import urllib.error

    failures = []
    for mirror in MIRRORS:
        url = f"{mirror}{name}.gz"
        try:
            content = download.fetch(url, f"{name}.gz")
            received = _checksum(content)
            if received != CHECKSUMS[name]:
                raise DatasetError(f"expected the SHA-256 {CHECKSUMS[name]} once unpacked, got {received}")
        except (OSError, EOFError, zlib.error, http.client.HTTPException, DatasetError) as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()  # it holds the connection
            failures.append(f"{url} ({error})")
        else:
            return content
    raise DatasetError(
        f"{name}.gz: expected to download it into {place}, got no good copy from "
        f"{', nor from '.join(failures)}; check the network and load again, or {BY_HAND}"
    )


def _checksum(packed: bytes) -> str:
    """The SHA-256 of a gzip file's content, of at most LARGEST_ARRAY bytes of it."""
    digest = hashlib.sha256()
    with gzip.open(io.BytesIO(packed)) as file:
        chunks = iter(lambda: file.read(CHUNK_BYTES), b"")
        for chunk in itertools.islice(chunks, LARGEST_ARRAY // CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
