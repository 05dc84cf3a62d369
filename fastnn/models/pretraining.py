"""Pre-training: the layers of a network learn one after the other, without labels, before all learn together."""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from fastnn.engine.parameters import by_layer
from fastnn.gate import arrays, checks
from fastnn.gate.arrays import Array
from fastnn.gate.slips import answers_slips
from fastnn.layers import Affine, BatchNorm, Dropout, Flatten, Sigmoid
from fastnn.models.boltzmann import RestrictedBoltzmannMachine
from fastnn.network.network import Network
from fastnn.optimizers import Momentum

METHODS = ("rbm", "autoencoder")


@answers_slips
def pretrain(
    net: Network,
    x: Any,
    *,
    method: str = "rbm",
    epochs: int = 10,
    batch_size: int = 10,
    lr: float = 0.1,
    momentum: float = 0.5,
    k: int = 1,
    rng: int | np.random.Generator | None = None,
) -> list[list[float]]:
    """Let each Affine layer but the last learn to describe its inputs, first to last; then `net.fit` trains all.

    No labels are needed, so x may hold many more samples than those that have one. A network of Sigmoid layers that was
    pre-trained by "rbm" is known as a deep belief network.

    Parameters
    ----------
    net : fastnn.Network
        Of Affine layers, each but the last followed by an activation; Dropout and Flatten may stand between. Its
        weights are overwritten layer by layer, but for the last one's and those of layers with trainable=False.
    x : array (N, D)
        Samples as for `net.fit`; with "rbm", values from 0 to 1.
    method : "rbm" or "autoencoder"
        "rbm" trains a `RestrictedBoltzmannMachine` for each layer, whose activation must be Sigmoid. "autoencoder"
        trains each layer, from the network's own weights, with another Affine layer behind it that has to bring back
        the inputs, by their mean squared error; Dropout before a layer then hides inputs from it, which makes it a
        denoising autoencoder. BatchNorm and layers such as PRelu behind a layer are trained with it.
    epochs : int
        Passes over the data, for each layer.
    batch_size : int
    lr : float
        Learning rate, at least 0.
    momentum : float
        In [0, 1).
    k : int
        Steps of contrastive divergence; only for "rbm".
    rng : int or numpy Generator, optional
        Draws what is random; the same number gives the same weights.

    Returns
    -------
    list of list of float
        For each pre-trained layer the mean squared error of the reconstructed inputs in each epoch.

    Raises
    ------
    TypeError, ValueError
        For bad arguments, and networks of other layers, before anything is changed.
    TrainingDivergedError
        If weights or losses are no longer finite; layers that were finished before stay pre-trained.

    Notes
    -----
    Sources: Hinton, Osindero and Teh, Neural Computation 18 (2006), 1527-1554; Bengio, Lamblin, Popovici and
    Larochelle, Advances in Neural Information Processing Systems 19 (2007), 153-160; for denoising, Vincent,
    Larochelle, Bengio and Manzagol, International Conference on Machine Learning (2008), 1096-1103.

    Examples
    --------
    >>> (x, t), _ = fastnn.datasets.load_digits()
    >>> hidden = [fastnn.Affine(64, 50), fastnn.Sigmoid(), fastnn.Affine(50, 20), fastnn.Sigmoid()]
    >>> net = fastnn.Network([*hidden, fastnn.Affine(20, 10)], rng=0)
    >>> errors = fastnn.models.pretrain(net, x, epochs=3, rng=0)
    >>> [len(of_layer) for of_layer in errors], errors[0][2] < errors[0][0]
    ([3, 3], True)
    >>> history = net.fit(x[:50], t[:50], epochs=20, optimizer=fastnn.Momentum(lr=0.1), rng=0)  # few labels
    """
    if not isinstance(net, Network):
        raise TypeError(f"net: expected a fastnn.Network, got {checks.shown(net)}; make one of Affine layers first")
    method, generator = arrays.choice("method", method, METHODS), arrays.generator("rng", rng)
    k = arrays.integer("k", k, minimum=1)
    if method == "autoencoder" and k != 1:
        raise ValueError(f"k: expected it to be left out with method='autoencoder', got {k}; pass method='rbm'")
    coders, errors = list(_coders(net, method)), list[list[float]]()
    arrays_of = by_layer(net.layers, net.input_shape, {**net.params, **net.statistics})
    given = arrays.floats("x", x, ("N", *net.input_shape), dtype=net.dtype, rounding=True, finite=True)
    options: dict[str, Any] = {"epochs": epochs, "batch_size": batch_size}
    for position, coder in coders:
        inputs = net.outputs_of_layers(given)[position - 1] if position else given * net.dtype.type(net.input_scale)
        W, b = arrays_of[position]["W"], arrays_of[position]["b"]
        if method == "rbm":
            machine = RestrictedBoltzmannMachine(*W.shape, rng=generator, dtype=net.dtype)
            errors.append(machine.fit(inputs, lr=lr, momentum=momentum, k=k, **options))
            W[...], b[...] = machine.weights, machine.hidden_bias
        else:
            both = _autoencoder(net, coder, generator)
            own = by_layer(both.layers, both.input_shape, {**both.params, **both.statistics})
            pairs = [(arrays_of[place], own[i]) for i, place in enumerate(coder)]
            _copy(pairs)
            history = both.fit(
                inputs, inputs, optimizer=Momentum(lr, momentum), rng=generator, progress=False, **options
            )
            _copy([(new, old) for old, new in pairs])
            errors.append([2.0 * loss / len(W) for loss in history.loss])
    return errors


def _coders(net: Network, method: str) -> Iterator[tuple[int, list[int]]]:
    """The place of each Affine layer to be pre-trained, and of the layers that it learns with.

    These are Dropout before it, itself, and what follows it but Dropout and Flatten.
    """
    affine = [i for i, layer in enumerate(net.layers) if isinstance(layer, Affine)]
    others = [layer for layer in net.layers if layer.takes_images]
    if others or len(affine) < 2:
        came = str(others[0]) if others else f"{len(affine)} Affine layer{'s' * (len(affine) != 1)}"
        expected = "net: expected two or more Affine layers, and none that takes images"
        example = f"fastnn.Affine({net.inputs}, 50), fastnn.Sigmoid(), fastnn.Affine(50, {net.outputs})"
        without = "pre-train a network without such layers, and copy its params"
        remedy = without if others else f"add a hidden one: fastnn.Network([{example}])"
        raise ValueError(f"{expected}, got {came}; {remedy}")
    begin = 0
    for i, end in itertools.pairwise(affine):
        following = [place for place in range(i + 1, end) if not isinstance(net.layers[place], Dropout | Flatten)]
        hidden = [net.layers[place] for place in following]
        lacks = all(isinstance(layer, BatchNorm) for layer in hidden)
        if lacks or (method == "rbm" and not (len(hidden) == 1 and isinstance(hidden[0], Sigmoid))):
            came = " and ".join(map(str, hidden)) or "none; add it"
            expected = "Sigmoid()" if method == "rbm" else "an activation"
            remedy = "; pass method='autoencoder', which takes any activation" if method == "rbm" and hidden else ""
            raise ValueError(f"net: expected {expected} after {net.layers[i]}, got {came}{remedy}")
        hiding = [place for place in range(begin, i) if isinstance(net.layers[place], Dropout)]
        if net.layers[i].update_factor != 0.0:
            yield i, [*hiding, i, *following]
        begin = i + 1


def _autoencoder(net: Network, coder: list[int], generator: np.random.Generator) -> Network:
    """The layers at these places, and an Affine layer behind them that brings back their inputs."""
    layers = [net.layers[place] for place in coder]
    D, H = next((layer.inputs, layer.outputs) for layer in layers if isinstance(layer, Affine))
    options: dict[str, Any] = {"rng": generator, "dtype": net.dtype, "input_shape": (D,)}
    return Network([*layers, Affine(H, D)], loss="mean_squared_error", **options)


def _copy(pairs: list[tuple[dict[str, Array], dict[str, Array]]]) -> None:
    """Copy the first arrays of each pair into the second ones."""
    for source, target in pairs:
        for name, array in target.items():
            array[...] = source[name]
