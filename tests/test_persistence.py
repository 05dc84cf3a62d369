"""Model files: the same bits after loading, the file's contents, and files of earlier versions."""

import json
import os
import pathlib
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.layers import Affine, Elu, Layer, LeakyRelu
from fastnn.network.network import Network
from fastnn.operations import LOSSES
from fastnn.optimizers import OPTIMIZERS, Momentum, Optimizer
from tests import shapes
from tests.crossings import crossed
from tests.model_files import HEADER, PARAMETERS, STATE, batch, bits, members, small_network, whole
from tests.tolerances import assert_close

DATA = pathlib.Path(__file__).parent / "data"
LOSSES_OF_FORMAT_3 = [1.864656480430381, 1.9262265160125733]
LOSSES_OF_FORMAT_4 = [1.7458606256358813, 1.463713378620381]
LOSSES_OF_FORMAT_2 = [1.1583188981515788, 1.2065149598204388]

# ---- the same network comes back

EXAMPLES = [
    {LeakyRelu: LeakyRelu(0.3), Elu: Elu(0.7), Affine: Affine(4, 4, "zeros")}.get(k) or k()
    for k in shapes.LAYERS_OF_ROWS
]


@crossed(5, layer=EXAMPLES, loss=LOSSES, dtype=["float32", "float64"])
def test_round_trip_keeps_every_bit(layer: Layer, loss: Any, dtype: str, path: pathlib.Path) -> None:
    x, t = batch(loss)
    last: dict[str, Layer] = {"cross_entropy": fastnn.Softmax(), "log_loss": fastnn.Sigmoid()}
    end = [last[loss]] if loss in last else []
    network = Network([Affine(3, 4, init=0.5), layer, Affine(4, 2), *end], loss, rng=1, dtype=dtype)
    for _ in range(3):
        network.step(x, t, Momentum(lr=0.05))
    network.save(path)
    loaded = fastnn.load(path)
    assert (loaded.layers, loaded.loss_name, loaded.dtype) == (network.layers, loss, np.dtype(dtype))
    assert bits(loaded) == bits(network)
    assert loaded.predict(x).tobytes() == network.predict(x).tobytes()
    for _ in range(3):
        assert loaded.step(x, t, Momentum(lr=0.05)) == network.step(x, t, Momentum(lr=0.05))
    assert bits(loaded) == bits(network)


def test_every_layer_is_an_example() -> None:
    assert {type(layer) for layer in EXAMPLES} == set(shapes.LAYERS_OF_ROWS)


@pytest.mark.parametrize("optimizer", [None, *(kind() for kind in OPTIMIZERS.values())], ids=str)
def test_fit_goes_on_as_if_it_had_not_been_interrupted(optimizer: Optimizer | None, path: pathlib.Path) -> None:
    x, t = batch("mean_squared_error")
    settings: dict[str, Any] = {"epochs": 2, "batch_size": 3, "optimizer": optimizer, "progress": False}
    network = small_network(momentum=False)
    network.fit(x, t, rng=1, **settings)
    network.save(path)
    loaded = fastnn.load(path)
    assert loaded.fit(x, t, rng=2, **settings).loss == network.fit(x, t, rng=2, **settings).loss
    assert bits(loaded) == bits(network)


def test_momentum_is_what_continued_training_needs(saved: pathlib.Path) -> None:
    """The tests above would pass without the state if it made no difference."""
    x, t = batch("mean_squared_error")
    loaded, forgetful = fastnn.load(saved), fastnn.load(saved)
    saved_state = forgetful.engine.snapshot()
    assert saved_state.update == "momentum"
    assert np.abs(saved_state.state).max() > 0
    forgetful.engine.restore(saved_state._replace(state=0 * saved_state.state))
    loaded.step(x, t, Momentum(lr=0.1))
    forgetful.step(x, t, Momentum(lr=0.1))
    assert bits(loaded) != bits(forgetful)


def test_an_untrained_network_and_one_initialized_again_have_no_state(path: pathlib.Path) -> None:
    network = small_network(momentum=True)
    network.initialize(3)
    network.save(path)
    loaded = fastnn.load(path)
    values, state, update, *_ = loaded.engine.snapshot()
    assert (values.tobytes(), state.shape, update) == (bits(network)[0], (0, 26), None)
    assert loaded.optimizer is network.optimizer is None


def test_parameters_that_are_not_finite_are_kept(path: pathlib.Path) -> None:
    network = small_network(momentum=False)
    network.params["b1"] = [np.nan, np.inf, -np.inf, -0.0]
    network.params["W2"].view(np.uint32)[0, 0] = 0x7FC12345  # a NaN with a payload
    network.save(path)
    assert bits(fastnn.load(path)) == bits(network)


def test_history_and_threads_are_not_stored(path: pathlib.Path) -> None:
    network = Network([Affine(3, 2)], "mean_squared_error", rng=0, n_threads=2)
    network.fit(*batch("mean_squared_error"), epochs=1, progress=False)
    assert network.history is not None
    network.save(path)
    loaded = fastnn.load(path)
    assert loaded.history is None
    assert loaded.n_threads is None


def test_a_loaded_network_is_a_network_like_any_other(saved: pathlib.Path) -> None:
    loaded = fastnn.load(saved)
    loaded.params["W1"][0, 0] = 3.0
    assert loaded.params["W1"][0, 0] == 3.0
    assert loaded.params["b2"].flags.writeable
    assert loaded.summary() == small_network().summary()


# ---- the file


@pytest.mark.parametrize(("dtype", "stored"), [("float32", "<f4"), ("float64", "<f8")])
def test_the_file_is_read_by_numpy_and_little_endian(dtype: str, stored: str, path: pathlib.Path) -> None:
    network = small_network(dtype=dtype)
    network.save(path)
    with np.load(path, allow_pickle=False) as file:
        assert file.files == [HEADER, "W1", "b1", "W2", "b2", "optimizer_state"]
        for name, array in network.params.items():
            np.testing.assert_array_equal(file[name], array, strict=True)
        np.testing.assert_array_equal(file["optimizer_state"], network.engine.snapshot()[1], strict=True)
    for name in (*PARAMETERS, STATE):
        assert f"'descr': '{stored}'".encode() in members(path)[name]


def test_the_header_says_what_the_network_is(saved: pathlib.Path) -> None:
    of_training = {"trainable": True, "learning_rate_factor": 1.0}
    assert json.loads(members(saved)[HEADER]) == {
        "format": "fastnn network",
        "format_version": 7,
        "fastnn_version": fastnn.__version__,
        "layers": [
            {"class": "Affine", "inputs": 3, "outputs": 4, "init": None, **of_training},
            {"class": "LeakyRelu", "slope": 0.1},
            {"class": "Affine", "inputs": 4, "outputs": 2, "init": None, **of_training},
        ],
        "loss": "mean_squared_error",
        "dtype": "float32",
        "parameters": [
            {"name": "W1", "shape": [3, 4]},
            {"name": "b1", "shape": [4]},
            {"name": "W2", "shape": [4, 2]},
            {"name": "b2", "shape": [2]},
        ],
        "optimizer": "momentum",
        "loss_options": {},
        "regularization": {"l1": 0.0, "l2": 0.0, "data": 1.0, "biases": False},
        "steps": 1,
        "seed": 0,
        "draws": 1,
        "optimizer_options": {"class": "Momentum", "lr": 0.1, "clip_value": None, "clip_norm": None, "momentum": 0.9},
        "input_shape": [3],
        "input_scale": 1.0,
    }


def test_equal_networks_give_equal_files(tmp_path: pathlib.Path) -> None:
    small_network().save(tmp_path / "one")
    small_network().save(tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    with zipfile.ZipFile(tmp_path / "one") as archive:
        for member in archive.infolist():
            assert (member.date_time, member.create_system) == ((1980, 1, 1, 0, 0, 0), 3)  # on every system
            assert member.external_attr >> 16 == 0o644


@pytest.mark.parametrize(
    "name", ["model", "model.npz", "M.NPZ", "model.npz.1", "lr0.05", "m.", ".npz", "größe 模型.npz", "x" * 255]
)
@pytest.mark.parametrize("kind", [str, pathlib.Path])
def test_the_file_has_just_the_name_that_was_given(
    name: str, kind: Callable[[Any], Any], tmp_path: pathlib.Path
) -> None:
    small_network().save(kind(tmp_path / name))
    assert [entry.name for entry in tmp_path.iterdir()] == [name]
    assert bits(fastnn.load(kind(tmp_path / name))) == bits(small_network())


def test_a_relative_name(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small_network().save("model.npz")
    assert bits(fastnn.load("model.npz")) == bits(small_network())
    assert os.listdir(tmp_path) == ["model.npz"]


@pytest.mark.parametrize(
    ("name", "layers", "loss", "dtype"),
    [
        (
            "network_format_1.npz",
            (
                Affine(3, 4, "he"),
                fastnn.Identity(),
                LeakyRelu(0.25),
                Affine(4, 3, 0.5),
                Elu(0.5),
                fastnn.Tanh(),
                Affine(3, 2),
                fastnn.Sigmoid(),
                fastnn.Relu(),
                fastnn.Softmax(),
            ),
            "mean_squared_error",
            "float32",
        ),
        ("network_format_1_gates.npz", (Affine(2, 2), fastnn.Step(), Affine(2, 2)), "softmax_cross_entropy", "float64"),
    ],
)
def test_files_of_format_version_1_load_for_ever(name: str, layers: tuple[Layer, ...], loss: Any, dtype: str) -> None:
    """These files were written by fastnn 0.1.0 and must never be rewritten: a fastnn that cannot read them is wrong."""
    network = fastnn.load(DATA / name)
    assert (network.layers, network.loss_name, network.dtype) == (layers, loss, np.dtype(dtype))
    assert (DATA / name).stat().st_size < 3000


def test_format_version_1_predicts_as_it_did() -> None:
    network = fastnn.load(DATA / "network_format_1.npz")
    values, state, update, *_ = network.engine.snapshot()
    k = np.arange(39)
    np.testing.assert_array_equal(values, (k * 7 % 39 - 19) / 16)
    np.testing.assert_array_equal(state, (k[None] - 19) / 32)
    assert update == "momentum"
    # by NumPy in float64
    expected = [[0.40781013508352193, 0.5921898649164781], [0.43670736370855806, 0.5632926362914419]]
    assert_close(network.predict(np.array([[0.5, -1.0, 2.0], [-0.25, 0.125, 1.0]])), expected, np.float32)

    gates = fastnn.load(DATA / "network_format_1_gates.npz")
    exclusive_or = [[0.25, -0.25], [-0.75, 0.75], [-0.75, 0.75], [0.75, -0.75]]
    np.testing.assert_array_equal(gates.predict([[0, 0], [0, 1], [1, 0], [1, 1]]), exclusive_or)
    assert (gates.engine.snapshot()[1].shape, gates.engine.snapshot()[2]) == ((0, 12), None)


def test_files_of_format_version_2_load_for_ever() -> None:
    """As above. The loss, dropout's masks and Adam's rates come from fastnn 0.1.0 with this file."""
    network = fastnn.load(DATA / "network_format_2.npz")
    hidden = (fastnn.BatchNorm(), LeakyRelu(0.25), fastnn.Dropout(0.5), fastnn.PRelu(0.125))
    assert network.layers == (Affine(3, 4), *hidden, Affine(4, 2))
    assert network.engine.loss == fastnn.losses.SoftmaxCrossEntropy(label_smoothing=0.125)
    assert network.regularization == fastnn.Regularization(l2=0.0625)
    k, (values, state, *rest) = np.arange(46), network.engine.snapshot()
    np.testing.assert_array_equal(values, (k * 7 % 46 - 23) / 16)
    np.testing.assert_array_equal(state, [(k - 19) / 32, k / 64])
    assert rest == ["adam", 3, 3, 1001222388, None]
    x, t = np.arange(18).reshape(6, 3) % 5 - 2.0, np.arange(6) % 2
    adam = fastnn.Adam(0.01, beta1=0.75)
    assert_close([network.step(x, t, adam) for _ in range(2)], LOSSES_OF_FORMAT_2, rtol=1e-6)


def test_files_of_format_version_3_load_for_ever() -> None:
    """As above; fit goes on with the optimizer of the file."""
    network = fastnn.load(DATA / "network_format_3.npz")
    assert network.layers == (Affine(3, 4), fastnn.Gelu(), Affine(4, 2)) and network.input_shape == (3,)
    assert (network.engine.loss, network.regularization) == (fastnn.losses.Huber(0.5), fastnn.Regularization(l1=0.125))
    k, (values, state, *rest) = np.arange(26), network.engine.snapshot()
    np.testing.assert_array_equal(values, (k * 7 % 26 - 13) / 16)
    np.testing.assert_array_equal(state, [(k - 19) / 32])
    momentum = fastnn.Momentum(0.25, momentum=0.75)
    assert rest == ["momentum", 5, 0, 0, momentum]
    x, t = np.arange(18).reshape(6, 3) % 5 - 2.0, np.arange(12).reshape(6, 2) % 4 - 1.0
    assert_close([network.step(x, t, momentum) for _ in range(2)], LOSSES_OF_FORMAT_3, rtol=1e-9)


@pytest.mark.parametrize("version", [4, 5, 6])
def test_files_of_format_versions_4_to_6_load_for_ever(version: int) -> None:
    """As above, with images, statistics and dropout's masks."""
    network = fastnn.load(DATA / f"network_format_{version}.npz")
    assert network.input_scale == 1.0
    hidden = (Affine(4, 3), fastnn.BatchNorm(), fastnn.Tanh(), fastnn.Dropout(0.25))
    assert network.layers == (fastnn.Flatten(), *hidden, Affine(3, 2)) and network.input_shape == (1, 2, 2)
    assert network.regularization == fastnn.Regularization(l2=0.25)
    k, (values, state, *rest) = np.arange(35), network.engine.snapshot()
    expected = (k * 7 % 35 - 17) / 16
    expected[-3:] = [0.5, 1.0, 1.5]  # the variances
    np.testing.assert_array_equal(values, expected)
    np.testing.assert_array_equal(state, [(k - 10) / 32, k / 64])
    adamw = fastnn.AdamW(0.125, weight_decay=0.25, clip_norm=2.0)
    assert rest == ["adam", 4, 4, 1503827931, adamw]
    x, t = np.arange(24).reshape(6, 1, 2, 2) % 5 - 2.0, np.arange(6) % 2
    assert_close([network.step(x, t, adamw) for _ in range(2)], LOSSES_OF_FORMAT_4, rtol=1e-6)


@pytest.mark.parametrize(("name", "kind"), [("network_format_1", "Momentum"), ("network_format_2", "Adam")])
def test_a_file_that_does_not_say_the_numbers_of_its_optimizer(name: str, kind: str) -> None:
    """The rate that it had cannot be guessed; with the optimizer given, the state goes on."""
    network = fastnn.load(DATA / f"{name}.npz")
    x, t = np.arange(18).reshape(6, 3) % 5 - 2.0, np.eye(2)[np.arange(6) % 2]
    before = bits(network)
    came = f"None, for a network whose file or pickle names {kind.lower()} without its numbers"
    remedy = f"pass it, such as optimizer=fastnn.{kind}(lr=0.1)"
    with pytest.raises(ValueError, match=whole(f"optimizer: expected the one to go on with, got {came}; {remedy}")):
        network.fit(x, t, epochs=1)
    assert bits(network) == before
    steps = network.engine.snapshot().steps
    network.fit(x, t, epochs=1, batch_size=3, optimizer=getattr(fastnn, kind)(lr=0.1))
    assert network.engine.snapshot().steps == steps + 2


@pytest.mark.parametrize("name", [f"network_format_{end}.npz" for end in ("1_gates", 2, 3, 4, 5, 6)])
def test_an_old_file_becomes_a_new_one(name: str, path: pathlib.Path) -> None:
    network = fastnn.load(DATA / name)
    network.save(path)
    assert json.loads(members(path)[HEADER])["format_version"] == 7
    assert bits(fastnn.load(path)) == bits(network)
