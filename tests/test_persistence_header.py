"""Model files: everything in a header is checked."""

import json
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.layers import LAYERS
from fastnn.network.files.header import OWN
from fastnn.operations import LOSSES
from fastnn.optimizers import OPTIMIZER_CLASSES, OPTIMIZERS
from tests.model_files import (
    HEADER,
    REMEDY,
    REPAIR,
    bits,
    edit_header,
    members,
    refused,
    small_network,
    whole,
    write_members,
)


def change(**values: Any) -> Callable[[dict[str, Any]], object]:
    return lambda header: header.update(values)


def in_layer(number: int, **values: Any) -> Callable[[dict[str, Any]], object]:
    return lambda header: header["layers"][number].update(values)


def in_optimizer(**values: Any) -> Callable[[dict[str, Any]], object]:
    return lambda header: header["optimizer_options"].update(values)


VERSION_EXPECTED = "expected the format version 1 to 7"
UPDATE_FASTNN = f"update fastnn, which is {fastnn.__version__} here"
HERE = repr(fastnn.__version__)
KNOWN_LOSSES, KNOWN_OPTIMIZERS, CLASSES = (", ".join(map(repr, table)) for table in (LOSSES, OPTIMIZERS, LAYERS))
OPTIMIZER_NAMES, MOMENTUM = ", ".join(map(repr, OPTIMIZER_CLASSES)), "Momentum(lr=0.1, momentum=0.9)"
LARGEST, AN_OBJECT = float(np.finfo(np.float32).max), "an object with the field class"
W2 = '{"name": "W2", "shape": [4, 2]}'


WIDTH = "expected an integer of at least 1 and of at most 2147483647"
WRONG_HEADERS: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (change(format="other"), f"expected the format 'fastnn network', got 'other'; {REMEDY}"),
    (change(format=None), f"expected the format 'fastnn network', got None; {REMEDY}"),
    (change(format_version=8), f"{VERSION_EXPECTED}, got 8, written by fastnn {HERE}; {UPDATE_FASTNN}"),
    (
        change(format_version=8, fastnn_version="9.1", layers={}, weights=[]),
        f"{VERSION_EXPECTED}, got 8, written by fastnn '9.1'; {UPDATE_FASTNN}",
    ),
    (change(format_version=0), f"{VERSION_EXPECTED}, got 0, written by fastnn {HERE}; {UPDATE_FASTNN}"),
    (change(format_version=True), f"{VERSION_EXPECTED}, got True, written by fastnn {HERE}; {UPDATE_FASTNN}"),
    (change(format_version=1.0), f"{VERSION_EXPECTED}, got 1.0, written by fastnn {HERE}; {UPDATE_FASTNN}"),
    (change(format_version="1"), f"{VERSION_EXPECTED}, got '1', written by fastnn {HERE}; {UPDATE_FASTNN}"),
    (change(fastnn_version=1), f"fastnn_version: expected a text, got 1; {REPAIR}"),
    (change(layers={}), f"layers: expected a list, got an object of type dict; {REPAIR}"),
    (
        change(layers=[]),
        "layers: expected an Affine layer first, got an empty list; it says how many inputs there are; " + REPAIR,
    ),
    (change(layers=["Relu"]), f"layers[0]: expected an object with the field class, got 'Relu'; {REPAIR}"),
    (change(layers=[{}]), f"layers[0].class: expected one of {CLASSES}, got None; {REPAIR}"),
    (in_layer(1, **{"class": "eval"}), f"layers[1].class: expected one of {CLASSES}, got 'eval'; {OWN}; {REPAIR}"),
    (
        in_layer(1, **{"class": ["Relu"]}),
        f"layers[1].class: expected one of {CLASSES}, got an object of type list; {REPAIR}",
    ),
    (in_layer(0, outputs=0), f"layers[0].outputs: {WIDTH}, got 0; {REPAIR}"),
    (in_layer(0, inputs=3.0), f"layers[0].inputs: {WIDTH}, got 3.0; {REPAIR}"),
    (in_layer(0, inputs=True), f"layers[0].inputs: {WIDTH}, got True; {REPAIR}"),
    (
        in_layer(0, init="he2"),
        f"layers[0].init: expected one of 'he', 'xavier', 'zeros', got 'he2'; did you mean 'he'?; {REPAIR}",
    ),
    (in_layer(0, init=-1), f"layers[0].init: expected a finite number of at least 0.0, got -1; {REPAIR}"),
    (in_layer(1, slope=None), f"layers[1].slope: expected a finite number, got None; {REPAIR}"),
    (in_layer(1, slope=float("nan")), f"layers[1].slope: expected a finite number, got nan; {REPAIR}"),
    (in_layer(1, slope=float("inf")), f"layers[1].slope: expected a finite number, got inf; {REPAIR}"),
    (in_layer(1, alpha=1.0), f"layers[1]: expected the fields class, slope, got 'class, slope, alpha'; {REPAIR}"),
    (
        lambda header: header["layers"][1].pop("slope"),
        f"layers[1]: expected the fields class, slope, got 'class'; {REPAIR}",
    ),
    (
        in_layer(2, inputs=5),
        "layers[2]: expected Affine(4, 2), as the layer before has 4 outputs, got Affine(5, 2); make the widths agree; "
        + REPAIR,
    ),
    (
        in_layer(2, outputs=3),
        'parameters[2]: expected {"name": "W2", "shape": [4, 3]}, as the layers say, got ' + f"'{W2}'; {REPAIR}",
    ),
    (change(parameters={}), f"parameters: expected a list, got an object of type dict; {REPAIR}"),
    (
        lambda header: header["parameters"].pop(),
        'parameters[3]: expected {"name": "b2", "shape": [2]}, as the layers say, got ' + f"'null'; {REPAIR}",
    ),
    (
        lambda header: header["parameters"].append("b3"),
        f"parameters[4]: expected null, as the layers say, got '\"b3\"'; {REPAIR}",
    ),
    (
        lambda header: header["parameters"][2].update(shape=[4, True]),
        f"parameters[2]: expected {W2}, as the layers say, got " + "'" + W2.replace("2]", "true]") + f"'; {REPAIR}",
    ),
    (
        lambda header: header["parameters"][2].update(name="W3"),
        f"parameters[2]: expected {W2}, as the layers say, got " + "'" + W2.replace("W2", "W3") + f"'; {REPAIR}",
    ),
    (change(loss="zzz"), f"loss: expected one of {KNOWN_LOSSES}, got 'zzz'; {OWN}; {REPAIR}"),
    (change(loss=0), f"loss: expected one of {KNOWN_LOSSES}, got 0; {REPAIR}"),
    (change(dtype="float16"), f"dtype: expected 'float32' or 'float64', got 'float16'; {REPAIR}"),
    (change(dtype="O"), f"dtype: expected 'float32' or 'float64', got 'O'; {REPAIR}"),
    (change(dtype=None), f"dtype: expected 'float32' or 'float64', got None; {REPAIR}"),
    (change(optimizer="lbfgs"), f"optimizer: expected one of {KNOWN_OPTIMIZERS}, got 'lbfgs'; {REPAIR}"),
    (change(optimizer="none"), f"optimizer: expected one of {KNOWN_OPTIMIZERS}, got 'none'; {REPAIR}"),
    (change(optimizer=[]), f"optimizer: expected one of {KNOWN_OPTIMIZERS}, got an object of type list; {REPAIR}"),
]
WRONG_HEADERS += [
    (change(optimizer_options=[]), f"optimizer_options: expected {AN_OBJECT}, got an object of type list; {REPAIR}"),
    (
        in_optimizer(**{"class": "Optimizer"}),
        f"optimizer_options.class: expected one of {OPTIMIZER_NAMES}, got 'Optimizer'; {OWN}; {REPAIR}",
    ),
    (
        change(optimizer_options={"class": "SGD", "lr": 1.0, "clip_value": None, "clip_norm": None}),
        f"optimizer_options: expected what makes the update of optimizer, momentum, got SGD(lr=1.0); {REPAIR}",
    ),
    (
        change(optimizer=None),
        f"optimizer_options: expected what makes the update of optimizer, None, got {MOMENTUM}; {REPAIR}",
    ),
    (in_optimizer(lr=-1), f"optimizer_options.lr: expected a finite number of at least 0.0, got -1; {REPAIR}"),
    (in_optimizer(lr=1e39), f"optimizer: expected a finite number of at most {LARGEST}, got 1e+39; {REPAIR}"),
    (
        in_optimizer(lr=float("inf")),
        f"optimizer_options.lr: expected a finite number of at least 0.0, got inf; {REPAIR}",
    ),
    (
        in_optimizer(momentum=1.0),
        f"optimizer_options.momentum: expected a finite number of at least 0.0 and below 1.0, got 1.0; {REPAIR}",
    ),
    (
        in_optimizer(nesterov=True),
        "optimizer_options: expected the fields class, lr, clip_value, clip_norm, momentum, "
        f"got 'class, lr, clip_value, clip_norm, momentum, nesterov'; {REPAIR}",
    ),
]


@pytest.mark.parametrize(("edit", "sentence"), WRONG_HEADERS, ids=[sentence[:60] for _, sentence in WRONG_HEADERS])
def test_a_header_with_a_wrong_field(
    edit: Callable[[dict[str, Any]], object], sentence: str, saved: pathlib.Path
) -> None:
    edit_header(saved, edit)
    refused(saved, f"{HEADER}: {sentence}")


FIELDS = (
    "format, format_version, fastnn_version, layers, loss, dtype, parameters, optimizer, loss_options, "
    "regularization, steps, seed, draws, optimizer_options, input_shape, input_scale"
)


@pytest.mark.parametrize("field", FIELDS.split(", ")[1:])
def test_a_header_without_a_field(field: str, saved: pathlib.Path) -> None:
    edit_header(saved, lambda header: header.pop(field))
    if field == "format_version":
        refused(saved, f"{HEADER}: {VERSION_EXPECTED}, got None, written by fastnn {HERE}; {UPDATE_FASTNN}")
    else:
        refused(saved, f"{HEADER}: expected the fields {FIELDS}, got too few or too many: '{field}'; {REPAIR}")


def test_a_header_with_another_field(saved: pathlib.Path) -> None:
    edit_header(saved, change(hook="os.system"))
    refused(saved, f"{HEADER}: expected the fields {FIELDS}, got too few or too many: 'hook'; {REPAIR}")


@pytest.mark.parametrize(
    ("text", "came"),
    [
        (b"[1, 2]", "an object of type list"),
        (b"null", "None"),
        (b"{}", "None"),
        (b'"fastnn network"', "'fastnn network'"),
    ],
)
def test_a_header_of_another_format(text: bytes, came: str, saved: pathlib.Path) -> None:
    write_members(saved, {**members(saved), HEADER: text})
    refused(saved, f"{HEADER}: expected the format 'fastnn network', got {came}; {REMEDY}")


@pytest.mark.parametrize(
    "text", [b"", b"{", b"{'format': 1}", b"\xff\xfe{}", b"[" * 100_000, b'{"format": ' + b"9" * 10_000 + b"}"]
)
def test_a_header_that_is_no_json(text: bytes, saved: pathlib.Path) -> None:
    write_members(saved, {**members(saved), HEADER: text})
    with pytest.raises(
        fastnn.ModelFileError, match=whole(f"{saved}: {HEADER}: expected JSON, got text that is not (")[:-1]
    ):
        fastnn.load(saved)


def test_the_reason_is_chained(saved: pathlib.Path) -> None:
    write_members(saved, {**members(saved), HEADER: b"{"})
    with pytest.raises(fastnn.ModelFileError) as caught:
        fastnn.load(saved)
    assert isinstance(caught.value.__cause__, json.JSONDecodeError)


def test_the_order_of_fields_and_members_is_free(saved: pathlib.Path) -> None:
    contents = members(saved)
    header = json.loads(contents[HEADER], object_pairs_hook=lambda pairs: dict(reversed(pairs)))
    write_members(saved, {**dict(reversed(contents.items())), HEADER: json.dumps(header, indent=2).encode()})
    assert bits(fastnn.load(saved)) == bits(small_network())


def test_a_combination_that_network_refuses(saved: pathlib.Path) -> None:
    """Field by field this header is right."""
    edit_header(
        saved,
        lambda header: header.update(loss="softmax_cross_entropy", layers=[*header["layers"], {"class": "Softmax"}]),
    )
    with pytest.raises(fastnn.ModelFileError, match="leave the Softmax layer out"):
        fastnn.load(saved)
