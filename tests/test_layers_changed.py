"""Layers that are frozen, thawed or slowed down in networks that are there."""

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import SGD, Adam, Affine, BatchNorm, Momentum, Network, PRelu, Tanh
from tests.test_frozen_layers import FACTORS, D, H, K, T, X, affine, network


def test_layers_are_changed_between_steps() -> None:
    """Beside networks that were made so; the optimizer's state goes on."""
    net, made = network([1.0] * 3), [network(factors) for factors in ([1.0] * 3, FACTORS, [1.0, 1.0, 2.0])]
    changes: list[Any] = [
        lambda: None,
        lambda: (net.change_layers(0, learning_rate_factor=0.5), net.change_layers(-3, trainable=False),
                 net.change_layers(4, learning_rate_factor=2)),
        lambda: net.change_layers(0, 2, trainable=True, learning_rate_factor=1.0),
    ]  # fmt: skip
    for one, change in zip(made, changes, strict=True):
        change()
        assert list(net.layers) == list(one.layers) and repr(net) == repr(one)
        if one is not made[0]:
            one.engine.restore(net.engine.snapshot())
        for _ in range(2):
            assert net.step(X, T, Adam(0.01)) == one.step(X, T, Adam(0.01))
        for name, array in net.params.items():
            np.testing.assert_array_equal(array, one.params[name])
    net.change_layers(trainable=False)
    assert not any(layer.trainable for layer in net.layers if isinstance(layer, Affine))


def thaws(net: Network, history: Any) -> None:
    """A callback that lets one more layer move after each epoch."""
    net.change_layers(-1 - 2 * history.epochs, trainable=True)


def thawing() -> Network:
    return Network([affine(D, H, 0.0), Tanh(), affine(H, H, 0.0), Tanh(), Affine(H, K)], rng=0, dtype="float64")


def test_a_callback_thaws_layers_and_a_checkpoint_keeps_them(tmp_path: Any) -> None:
    options: dict[str, Any] = {"batch_size": 4, "optimizer": Momentum(0.1), "rng": 0, "progress": False}
    whole, parts = thawing(), thawing()
    before = whole.params.copy()

    def thaw(net: Network, history: Any) -> None:
        if history.epochs < 3:
            thaws(net, history)
        if history.epochs == 1:
            assert np.array_equal(net.params["W2"], before["W2"]) and not np.array_equal(net.params["W3"], before["W3"])

    whole.fit(X, T, epochs=4, callbacks=[thaw], **options)
    assert not np.array_equal(whole.params["W1"], before["W1"])
    checkpoint = fastnn.Checkpoint(tmp_path / "run.npz")
    parts.fit(X, T, epochs=2, callbacks=[thaw, checkpoint], **options)
    again = thawing()
    again.fit(X, T, epochs=4, callbacks=[thaw, checkpoint], resume=tmp_path / "run.npz", **options)
    for name, array in whole.params.items():
        np.testing.assert_array_equal(array, again.params[name])
    assert list(again.layers) == list(whole.layers)


@pytest.mark.parametrize(
    ("places", "options", "error", "message"),
    [
        ((1,), {"trainable": False}, ValueError, r"places: expected layers with parameters, got 1, Tanh\(\); pass"),
        ((5,), {"trainable": False}, ValueError, "places: expected an integer of at least -5 and of at most 4, got 5"),
        (("W1",), {"trainable": False}, TypeError, "places: expected an integer"),
        ((0,), {}, ValueError, "change_layers: expected trainable or learning_rate_factor, got neither"),
        ((0,), {"trainable": 0}, TypeError, "trainable: expected True or False"),
        ((0, 2), {"learning_rate_factor": 1e300}, ValueError, r"layers\[0\].learning_rate_factor"),
        ((0,), {"lr": 0.1}, TypeError, "change_layers: expected arguments out of"),
    ],
)
def test_bad_changes_change_nothing(places: Any, options: Any, error: type[Exception], message: str) -> None:
    net = network(dtype="float32")
    with pytest.raises(error, match=message):
        net.change_layers(*places, **options)
    assert list(net.layers) == list(network().layers) == list(net.engine.layers)
    net.step(X, T, SGD(0.1))


def test_a_network_without_a_layer_to_train_is_refused() -> None:
    net = network([0.0] * 3)
    with pytest.raises(ValueError, match="network: expected a layer that is trained, got trainable=False of all; call"):
        net.fit(X, T, epochs=1)
    with pytest.raises(AttributeError, match="call change_layers"):
        net.freeze()  # type: ignore[attr-defined]


def test_pytorch_and_back() -> None:
    torch = pytest.importorskip("torch")
    layers = [affine(D, H, 0.0), BatchNorm(trainable=False), PRelu(trainable=False), affine(H, K, 1.0)]
    net = Network(layers, rng=0)
    module = net.to_torch()
    assert [one.requires_grad for one in module.parameters()] == [False] * 5 + [True] * 2
    assert list(Network.from_torch(module).layers) == layers
    assert all(one.requires_grad for one in network([1.0] * 3).to_torch().parameters())
    partly = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU())
    partly[0].bias.requires_grad_(False)
    assert Network.from_torch(partly).layers[0] == Affine(2, 3)


@pytest.mark.parametrize("first", [0, 2])
def test_a_step_of_a_network_that_is_wholly_frozen_is_refused(first: int) -> None:
    """At once, and after steps that have prepared the next one."""
    net, optimizer = fastnn.Network([Affine(4, 3), Tanh(), Affine(3, 2)], rng=0), fastnn.SGD(0.1)
    x, t = np.ones((2, 4), np.float32), np.array([0, 1])
    for _ in range(first):
        net.step(x, t, optimizer)
    net.change_layers(trainable=False)
    for _ in range(2):
        with pytest.raises(
            ValueError, match=r"^network: expected a layer that is trained, got trainable=False of all; "
        ):
            net.step(x, t, optimizer)
    net.change_layers(-1, trainable=True)
    before = net.params["W2"].copy()
    net.step(x, t, optimizer)
    assert not np.array_equal(before, net.params["W2"])
