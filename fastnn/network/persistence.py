"""Saving and loading networks: files without pickle, written whole or not at all, and checked before use.

The formats are described in files/contents.py.
"""

import os

from fastnn.engine.engine import Engine
from fastnn.gate import checks
from fastnn.gate.slips import answers_slips
from fastnn.network.files import contents
from fastnn.network.network import Network
from fastnn.system import paths


def save(network: Network, path: str | os.PathLike[str]) -> None:
    """Write a network to a file that `load` reads: layers, loss, dtype, parameters, notes, the optimizer and its state.

    The file does not hold the history, the number of threads, or how data were prepared, unless `notes` say it; if the
    optimizer's class is not fastnn's, it holds the optimizer's state but not its numbers. While another thread trains
    the network, the file holds the network as it was at one moment between two updates. The new file is written beside
    the old one, brought to the disk and then put in its place: at any moment, power failure included, `path` is the old
    file or the new one, whole. Equal networks give equal files. `numpy.load` opens a .npz file, too:
    np.load("digits.npz")["W1"].

    Parameters
    ----------
    network : Network
        A network of fastnn's own layers.
    path : str or os.PathLike
        The file's name, used as it is; nothing is appended. A name that ends in .safetensors gets a file of that
        format, by the library safetensors. Others get a .npz file; they may end in anything but the suffix of another
        format, such as .onnx or .pt. An existing file is replaced, keeping its permissions; a symbolic link is
        followed.

    Raises
    ------
    TypeError
        For anything but a network and a path, for layers defined outside fastnn, as a model file holds no code, and for
        notes that are no JSON.
    ValueError
        For an empty path, one that names a device or a pipe, and one with the suffix of another format.
    ImportError
        For a name that ends in .safetensors, where that library is not installed.
    OSError
        FileNotFoundError for a missing folder, IsADirectoryError for a folder, PermissionError where writing is not
        allowed, and others. The old file, if any, is left as it was.

    Examples
    --------
    >>> net = fastnn.Network([fastnn.Affine(2, 2)], rng=0)
    >>> net.save("net.npz")
    >>> np.load("net.npz")["W1"].shape
    (2, 2)
    """
    if not isinstance(network, Network):
        raise TypeError(f"network: expected a fastnn.Network, got {checks.shown(network)}; pass the network to save")
    name = paths.name_to_save(path)
    contents.write(name, contents.of(network, network.engine.snapshot()))


@answers_slips
def load(path: str | os.PathLike[str]) -> Network:
    """Read a network from a file of `save` or `Checkpoint`. It predicts, and `fit` goes on with the same optimizer.

    Files of earlier format versions than 3 name the optimizer without its numbers; `fit` then asks for it.

    The file may come from a stranger: nothing in it is executed, everything in it is checked, and it takes no more
    memory than its true size. Parameters may be NaN or infinite, as they may have been in the network.

    Parameters
    ----------
    path : str or os.PathLike
        Its content says whether the file is of the format .npz or .safetensors.

    Returns
    -------
    Network

    Raises
    ------
    TypeError, ValueError
        For anything but a path, and for an empty one.
    ModelFileError
        For a file that `save` did not write, that is damaged, or of a format version that this fastnn does not know.
    OSError
        FileNotFoundError for a missing file, IsADirectoryError for a folder, PermissionError, and others.

    Examples
    --------
    >>> net = fastnn.Network([fastnn.Affine(2, 2)], rng=0)
    >>> net.save("net.npz")
    >>> x = np.eye(2, dtype=np.float32)
    >>> np.array_equal(fastnn.load("net.npz").predict(x), net.predict(x))
    True
    """
    with contents.opened(paths.file_name(path)) as reader:
        described, snapshot = contents.read(reader)
        options = described.dtype, described.regularization, described.input_shape, described.input_scale
        network = Network.of(Engine(described.layers, described.loss, *options))
        network.notes.update(contents.read_notes(reader))
    network.engine.restore(snapshot)
    return network
