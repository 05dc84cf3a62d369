"""Layers, initializers and optimizers: small frozen descriptions, what they refuse, and how weights begin."""

import dataclasses
import math
import pickle
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import (
    SGD,
    AdamW,
    Affine,
    AvgPool2d,
    Conv2d,
    Elu,
    LeakyRelu,
    MaxPool2d,
    Momentum,
    Network,
    Relu,
    Sigmoid,
    Softmax,
    Tanh,
)
from fastnn.layers import LAYERS, Activation, Layer
from fastnn.losses import LOSSES
from fastnn.operations import ACTIVATIONS, UPDATES, initializers
from fastnn.optimizers import OPTIMIZERS, Optimizer
from tests.shapes import LAYERS_OF_ROWS, OTHER_OPTIONS
from tests.tolerances import assert_close

DESCRIPTIONS: list[Layer | Optimizer] = [
    Affine(4, 3),
    Affine(4, 3, "he"),
    Affine(4, 3, 0.01),
    *(cls() for cls in LAYERS_OF_ROWS if cls is not Affine),
    Conv2d(3, 4, 5),
    Conv2d(3, 4, (5, 3), stride=2, padding=1, init=0.1),
    MaxPool2d(2),
    AvgPool2d((5, 3), stride=2, padding=1),
    LeakyRelu(0.5),
    Elu(alpha=2.0),
    fastnn.Step(1.0),
    *(cls() for cls in OPTIMIZERS.values()),
    Momentum(0.1, momentum=0.5),
    AdamW(weight_decay=0.1, clip_norm=1.0),
    SGD(clip_value=0.5),
]


def test_layers_say_what_was_given_and_options_of_training_last() -> None:
    layers: dict[str, Layer] = {
        "Conv2d(1, 6, 3)": fastnn.Conv2d(1, 6, 3),
        "Conv2d(1, 6, (3, 2), stride=2, padding=1, init=0.5, trainable=False)": fastnn.Conv2d(
            1, 6, (3, 2), trainable=False, padding=1, stride=2, init=0.5
        ),
        "Affine(3, 4)": Affine(3, 4),
        "Affine(3, 4, 'he', trainable=False, learning_rate_factor=0.5)": Affine(
            3, 4, "he", learning_rate_factor=0.5, trainable=False
        ),
        "PRelu(0.25, trainable=False)": fastnn.PRelu(trainable=False),
        "MaxPool2d(2, padding=1)": MaxPool2d(2, padding=1),
        "Relu()": Relu(),
    }
    for text, layer in layers.items():
        assert str(layer) == repr(layer) == text
    assert repr(list(layers.values())) == f"[{', '.join(layers)}]"


@pytest.mark.parametrize("description", DESCRIPTIONS, ids=repr)
def test_descriptions_are_plain_values(description: Layer | Optimizer) -> None:
    names = {name: getattr(fastnn, name) for name in dir(fastnn)}
    assert eval(repr(description), names) == description
    assert eval(str(description), names) == description
    assert pickle.loads(pickle.dumps(description)) == description
    assert len({description, dataclasses.replace(description)}) == 1
    for field in dataclasses.fields(description):
        with pytest.raises(dataclasses.FrozenInstanceError, match=f"^cannot assign to field '{field.name}'$"):
            setattr(description, field.name, 1)


def test_a_layer_that_derives_from_none_of_those_that_compute() -> None:
    class Odd(Layer):
        units = Relu.units

    with pytest.raises(TypeError, match=r"^layers\[1\]: expected a layer such as .*, got .*Odd\(\);"):
        fastnn.Network([Affine(2, 3), Odd()])


def test_text_of_layers() -> None:
    layers = [Affine(4, 3), Affine(4, 3, "he"), Relu(), LeakyRelu(), Elu(2)]
    assert list(map(str, layers)) == ["Affine(4, 3)", "Affine(4, 3, 'he')", "Relu()", "LeakyRelu(0.01)", "Elu(2.0)"]


def test_every_activation_has_a_layer() -> None:
    """An activation or update added to the kernels' tables needs one."""
    layers = [cls for cls in LAYERS.values() if issubclass(cls, Activation)]
    assert {cls.activation for cls in layers} == set(ACTIVATIONS)
    assert len(layers) == len(ACTIVATIONS)
    assert all(LAYERS[name].__name__ == name and getattr(fastnn, name) is LAYERS[name] for name in LAYERS)
    assert set(OPTIMIZERS) == set(UPDATES)


@pytest.mark.parametrize("cls", [cls for cls in LAYERS.values() if issubclass(cls, Activation)])
def test_parameter_of_an_activation(cls: type[Activation]) -> None:
    """It has the name and default of its only field, and is kept as a Python float."""
    row = ACTIVATIONS[cls.activation]
    assert row is cls
    assert [field.name for field in dataclasses.fields(cls)] == ([cls.option] if cls.option else [])
    if cls.option:
        value = OTHER_OPTIONS[cls.option]
        layer = cls(**{cls.option: np.float32(value)})
        assert layer.parameter == value
        assert type(getattr(layer, cls.option)) is float


def test_numbers_are_plain() -> None:
    four: Any = np.int64(4)
    half: Any = np.float32(0.5)
    layer, optimizer = Affine(four, four, half), Momentum(half, 0)
    assert [type(value) for value in (layer.inputs, layer.outputs, layer.init)] == [int, int, float]
    assert [type(value) for value in (optimizer.lr, optimizer.momentum)] == [float, float]
    assert SGD(0.1).numbers[:2] == (0.1, 0.0)
    assert Momentum(0.1, 0.5).numbers[:2] == (0.1, 0.5)
    assert all(type(number) is float for number in Momentum(0.1, 0.5, clip_norm=half).numbers)


# --- how weights begin -------------------------------------------------------------------------------


def test_initial_weights() -> None:
    """The same seed gives the same weights in both dtypes; biases are 0."""
    layers = [Affine(200, 100), Relu(), Affine(100, 300), Tanh(), Affine(300, 5, "zeros"), Affine(5, 400, 0.25)]
    net, double = Network(layers, rng=3), Network(layers, rng=np.random.default_rng(3), dtype="float64")
    for name in net.params:
        assert net.params[name].tobytes() == double.params[name].astype(np.float32).tobytes()
    deviations = [math.sqrt(2 / 200), math.sqrt(2 / 400), 0.0, 0.25]
    for number, expected in enumerate(deviations, start=1):
        assert_close(float(net.params[f"W{number}"].std()), expected, rtol=0.05)  # of at least 2000 draws
        assert not net.params[f"b{number}"].any()
    before = net.params["W1"].copy()
    net.initialize(4)
    assert (net.params["W1"] != before).all()
    net.initialize(3)
    assert (net.params["W1"] == before).all()


@pytest.mark.parametrize("follows", [cls() for cls in LAYERS_OF_ROWS if cls is not Affine], ids=str)
def test_default_initializer(follows: Layer) -> None:
    """It is He's before an activation of the ReLU family, else, and for the last layer, Xavier's."""
    family = ("Relu", "LeakyRelu", "PRelu", "Elu", "Gelu", "Silu", "Softplus")
    assert {name for name, kind in LAYERS.items() if kind.init_before == "he"} >= set(family)
    chosen = follows.init_before or "xavier"
    default = Network([Affine(3, 5), follows, Affine(5, 2)], rng=0)
    explicit = Network([Affine(3, 5, chosen), follows, Affine(5, 2, "xavier")], rng=0)
    for name, p in default.params.items():
        assert p.tobytes() == explicit.params[name].tobytes()


@pytest.mark.parametrize("kind", LAYERS_OF_ROWS, ids=lambda kind: kind.__name__)
def test_every_parameter_and_statistic_begins(kind: Any) -> None:
    layer = Affine(5, 4) if kind is Affine else kind()
    begins = layer.beginnings("he", np.random.default_rng(0))
    assert list(begins) == [*layer.parameters((4,)), *layer.statistics((4,))]


def test_weights_are_scaled_draws() -> None:
    draws = np.random.default_rng(0).standard_normal((6, 2))
    for initializer, scale in (("he", math.sqrt(2 / 6)), ("xavier", math.sqrt(2 / 8)), ("zeros", 0.0), (0.01, 0.01)):
        found = initializers.weights(initializer, 6, 2, np.random.default_rng(0))
        assert_close(found, scale * draws, "float64")


# --- networks of layers ------------------------------------------------------------------------------


def test_text_of_a_network() -> None:
    net = Network([Affine(64, 50), LeakyRelu(0.1), Affine(50, 1000)], rng=0)
    assert repr(net) == (
        'Network([Affine(64, 50), LeakyRelu(0.1), Affine(50, 1000)], loss="softmax_cross_entropy", dtype="float32")'
    )
    assert eval(repr(net), {name: getattr(fastnn, name) for name in dir(fastnn)}).layers == net.layers
    assert (net.inputs, net.outputs) == (64, 1000)
    assert net.summary().splitlines() == [
        "layer                                outputs  parameters",
        "--------------------------------------------------------",
        "Affine(64, 50)                            50       3,250",
        "LeakyRelu(0.1)                            50           -",
        "Affine(50, 1000)                       1,000      51,000",
        "--------------------------------------------------------",
        "loss softmax_cross_entropy, float32               54,250",
    ]


def refuses(call: Callable[[], Any], error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=f"^{re.escape(sentence)}$"):
        call()


@pytest.mark.parametrize(
    ("layers", "error", "sentence"),
    [
        (Affine(2, 3), TypeError, "expected a list of layers, got Affine; pass [Affine(4, 3), ...]"),
        (iter([Affine(2, 3)]), TypeError, "expected a list of layers, got list_iterator; pass [Affine(4, 3), ...]"),
        ([], ValueError, "expected an Affine layer first, got an empty list; it says how many inputs there are"),
        (
            [Relu()],
            ValueError,
            "expected an Affine layer first, got Relu(); it says how many inputs there are; "
            "pass input_shape=(784,), or (1, 28, 28) for images",
        ),
        (
            [Affine(2, 3), Softmax()],
            ValueError,
            "expected logits from the last layer, got Softmax(), which the loss softmax_cross_entropy applies itself; "
            "leave the Softmax layer out",
        ),
    ],
)
def test_refused_lists_of_layers(layers: Any, error: type[Exception], sentence: str) -> None:
    refuses(lambda: Network(layers), error, f"layers: {sentence}")


@pytest.mark.parametrize(("layer", "came"), [(Relu, "the class Relu"), ("relu", "'relu'"), (Layer(), "Layer()")])
def test_refused_layers(layer: Any, came: str) -> None:
    """The base class is refused, too, as a plan could not use it."""
    remedy = "create it with ()" if isinstance(layer, type) else "pass layers, the weights between two widths as Affine"
    sentence = f"layers[1]: expected a layer such as Affine(4, 3) or Relu(), got {came}; {remedy}"
    refuses(lambda: Network([Affine(2, 3), layer]), TypeError, sentence)


def test_widths_must_agree() -> None:
    sentence = (
        "layers[2]: expected Affine(3, 4), as the layer before has 3 outputs, got Affine(2, 4); make the widths agree"
    )
    refuses(lambda: Network([Affine(2, 3), Sigmoid(), Affine(2, 4)]), ValueError, sentence)


WIDTH = "expected an integer of at least 1 and of at most 2147483647"
REFUSED: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: Affine(0, 3), ValueError, f"inputs: {WIDTH}, got 0"),
    (lambda: Affine(2, 3.0), TypeError, f"outputs: {WIDTH}, got 3.0; pass 3"),  # type: ignore[arg-type]
    (
        lambda: Affine(2, 3, "hee"),
        ValueError,
        "init: expected one of 'he', 'xavier', 'zeros', got 'hee'; did you mean 'he'?",
    ),
    (lambda: Affine(2, 3, -1), ValueError, "init: expected a finite number of at least 0.0, got -1"),
    (lambda: LeakyRelu("a"), TypeError, "slope: expected a finite number, got 'a'"),  # type: ignore[arg-type]
    (lambda: Elu(math.nan), ValueError, "alpha: expected a finite number, got nan"),
    (lambda: SGD(-1), ValueError, "lr: expected a finite number of at least 0.0, got -1"),
    (lambda: SGD(math.inf), ValueError, "lr: expected a finite number of at least 0.0, got inf"),
    (lambda: Momentum("a"), TypeError, "lr: expected a finite number of at least 0.0, got 'a'"),  # type: ignore[arg-type]
    (lambda: Momentum(0.1, 1), ValueError, "momentum: expected a finite number of at least 0.0 and below 1.0, got 1"),
    (
        lambda: Optimizer(),
        TypeError,
        "optimizer: expected one such as SGD, got the base class Optimizer; use a subclass",
    ),
    (
        lambda: Network([Affine(2, 3)], loss="hubert"),  # type: ignore[arg-type]
        ValueError,
        f"loss: expected one of {', '.join(map(repr, LOSSES))}, got 'hubert'; did you mean 'huber'?",
    ),
    (
        lambda: Network([Affine(2, 3)], dtype="float16"),
        TypeError,
        "dtype: expected 'float32' or 'float64', got 'float16'",
    ),
    (lambda: Network([Affine(2, 3)], n_threads=0), ValueError, "n_threads: expected an integer of at least 1, got 0"),
    (
        lambda: Network([Affine(2, 3)], rng=-1),
        ValueError,
        "rng: expected None, a seed of at least 0 or a np.random.Generator, got -1; pass one such as 0",
    ),
]


@pytest.mark.parametrize(("call", "error", "sentence"), REFUSED, ids=[row[2] for row in REFUSED])
def test_refused_arguments(call: Callable[[], Any], error: type[Exception], sentence: str) -> None:
    refuses(call, error, sentence)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "leaky_relu",
            {"alpha": 0.3},
            "alpha: expected it to be left out, as the parameter of leaky_relu is slope, got",
        ),
        ("elu", {"slope": 0.3}, "slope: expected it to be left out, as the parameter of elu is alpha, got 0.3"),
        ("relu", {"slope": 0.3}, "slope: expected it to be left out, as relu has no parameter, got 0.3"),
    ],
)
def test_the_parameter_of_another_activation_is_refused(name: str, options: dict[str, float], message: str) -> None:
    x = np.ones(3)
    for call in (partial(fastnn.activation_forward, name, x), partial(fastnn.activation_backward, name, x, x, x)):
        with pytest.raises(TypeError, match=f"^{re.escape(message)}"):
            call(**options)


@pytest.mark.parametrize(
    ("name", "value", "most"),
    [("numbers", lambda self: (0.5,) * 9, 4), ("parameters", lambda self, shape: dict.fromkeys("abcde", (3,)), 4)],
)
def test_a_layer_that_asks_for_more_than_a_plan_has_room_for(
    name: str, value: Any, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fastnn.PRelu, name, value)
    with pytest.raises(ValueError, match=f"^PRelu.{name}: expected at most {most}, got "):
        Network([Affine(4, 3), fastnn.PRelu()])
