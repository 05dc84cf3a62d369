"""What training does with the layers of a network that is there: whether it moves them, and how far."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fastnn.engine.engine import Engine
from fastnn.engine.plan import check_layers
from fastnn.gate import arrays
from fastnn.gate.slips import answers_slips
from fastnn.layers import Layer, TrainedLayer

if TYPE_CHECKING:
    from fastnn.network.network import Network


@answers_slips
def change_layers(
    self: "Network", *places: int, trainable: bool | None = None, learning_rate_factor: float | None = None
) -> None:
    """Freeze layers, let training move them again, or change the factors of their learning rates.

    Parameters, statistics and the optimizer's state stay as they are. A callback may call it between two epochs.

    Parameters
    ----------
    places : int
        Places in `layers`, from the end if below 0; without any, all layers that have parameters.
    trainable : bool, optional
        False: training leaves the layers as they are.
    learning_rate_factor : float, optional
        Training multiplies the optimizer's learning rate by it for these layers; above 0.

    Raises
    ------
    TypeError, ValueError, IndexError
        For a place without a layer, a layer without parameters, and bad options; then no layer is changed.

    Examples
    --------
    >>> net = fastnn.Network([fastnn.Affine(3, 4), fastnn.Relu(), fastnn.Affine(4, 2)], rng=0)
    >>> net.change_layers(0, trainable=False)
    >>> net
    Network([Affine(3, 4, trainable=False), Relu(), Affine(4, 2)], loss="softmax_cross_entropy", dtype="float32")
    >>> before = net.params.copy()
    >>> _ = net.step(np.eye(3), [0, 1, 1], fastnn.SGD(lr=0.1))
    >>> [bool((net.params[name] == before[name]).all()) for name in ("W1", "W2")]
    [True, False]
    >>> net.change_layers(0, trainable=True, learning_rate_factor=0.1)
    """
    given: dict[str, Any] = {"trainable": trainable, "learning_rate_factor": learning_rate_factor}
    options = {name: value for name, value in given.items() if value is not None}
    if not options:
        expected = "change_layers: expected trainable or learning_rate_factor"
        raise ValueError(f"{expected}, got neither; pass trainable=False, say")
    layers = list(self.layers)
    for place in _checked(places, layers):
        layers[place] = replace(layers[place], **options)
    set_layers(self.engine, layers)


def _checked(places: Sequence[int], layers: list[Layer]) -> list[int]:
    """Places of layers with parameters: these or, without any, all."""
    if not places:
        return [place for place, layer in enumerate(layers) if isinstance(layer, TrainedLayer)]
    for given in places:
        place = arrays.integer("places", given, -len(layers), len(layers) - 1)
        if not isinstance(layers[place], TrainedLayer):
            having = ", ".join(str(i) for i, layer in enumerate(layers) if isinstance(layer, TrainedLayer))
            came = f"{given}, {layers[place]}; pass places out of {having}" if having else f"{given}, {layers[place]}"
            raise ValueError(f"places: expected layers with parameters, got {came}")
    return [int(place) for place in places]


def set_layers(engine: Engine, layers: Sequence[Layer]) -> None:
    """Give a network other descriptions of the same layers, from the next batch on."""
    own, _ = check_layers(layers, engine.input_shape)
    for place, layer in enumerate(own):
        layer.check_in(f"layers[{place}]", engine.dtype)
    with engine.lock:  # between two updates of another thread
        engine.layers, engine.given_layers = own, tuple(layers)
        engine.plan, engine.workspace = engine.compiled().plan, None
