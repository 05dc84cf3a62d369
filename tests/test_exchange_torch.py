"""Networks to and from PyTorch, whose own forward pass is the reference."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn
from tests.exchanged import (
    ACTIVATIONS,
    FLOATS,
    INPUTS,
    OUTPUTS,
    assert_predicts,
    assert_same,
    rows,
    trained,
    with_activation,
)

torch = pytest.importorskip("torch")
nn = torch.nn


def forward(module: Any, x: Any) -> Any:
    with torch.no_grad():
        return copy.deepcopy(module).eval()(torch.from_numpy(x)).numpy()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("layer", ACTIVATIONS, ids=str)
def test_there_and_back(layer: Any, dtype: Any) -> None:
    network, x = with_activation(layer, dtype), rows(dtype)
    state = torch.random.get_rng_state()
    module = network.to_torch()
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not module.training
    assert_predicts(network, x, forward(module, x))
    back = fastnn.Network.from_torch(module)
    if not isinstance(layer, fastnn.PRelu):  # whose initial slope is not in the module
        assert_same(network, back)
    np.testing.assert_array_equal(back.predict(x), network.predict(x))


def test_a_copy_shares_nothing() -> None:
    network = with_activation(fastnn.Relu(), "float32")
    module, before = network.to_torch(), network.params["W1"].copy()
    module[0].weight.data[:] = 0
    np.testing.assert_array_equal(network.params["W1"], before)


@pytest.mark.parametrize("dtype", FLOATS)
def test_training_goes_on_as_here(dtype: Any) -> None:
    network, x = trained([fastnn.Affine(INPUTS, 8), fastnn.Tanh(), fastnn.Affine(8, OUTPUTS)], dtype), rows(dtype)
    module, t = network.to_torch().train(), np.random.default_rng(0).integers(0, OUTPUTS, len(x))
    optimizer = torch.optim.SGD(module.parameters(), lr=0.5)
    for _ in range(5):
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(torch.from_numpy(x)), torch.from_numpy(t)).backward()
        optimizer.step()
        network.step(x, t, fastnn.SGD(lr=0.5))
    assert_predicts(network, x, forward(module, x))


class Images(nn.Module):  # type: ignore[misc, name-defined]
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.drop = nn.Linear(12, 8), nn.Linear(8, 3, bias=False), nn.Dropout(0.2)

    def forward(self, x: Any) -> Any:
        x = torch.flatten(x, 1)
        x = nn.functional.leaky_relu(self.first(x), 0.2)
        return self.second(self.drop(x).tanh())


class Viewed(Images):
    def forward(self, x: Any) -> Any:
        x = nn.functional.elu(self.first(x.view(x.size(0), -1)), alpha=0.5)
        return torch.softmax(self.second(x), dim=1)


class Reshaped(Images):
    def forward(self, x: Any) -> Any:
        x = nn.functional.gelu(self.first(x.reshape(x.shape[0], -1)))
        return nn.functional.dropout(self.second(x), 0.1, self.training).sigmoid()


class Branching(Images):
    def forward(self, x: Any) -> Any:
        x = self.first(torch.flatten(x, 1))
        return self.second(x + torch.relu(x))


class Deciding(Images):
    def forward(self, x: Any) -> Any:
        return x if x.sum() > 0 else -x


@pytest.mark.parametrize(
    ("kind", "loss"), [(Images, "softmax_cross_entropy"), (Viewed, "cross_entropy"), (Reshaped, "log_loss")]
)
def test_modules_of_ones_own(kind: Any, loss: Any) -> None:
    module, x = kind(), np.random.default_rng(0).standard_normal((5, 3, 2, 2)).astype(np.float32)
    network = fastnn.Network.from_torch(module, input_shape=(3, 2, 2))
    assert_predicts(network, x, forward(module, x))
    assert network.loss_name == loss
    assert_predicts(fastnn.Network.from_torch(network.to_torch(), input_shape=(3, 2, 2)), x, forward(module, x))


def test_what_begins_otherwise() -> None:
    x = rows("float32")
    for first in (nn.BatchNorm1d(INPUTS), nn.Dropout(0.1), nn.ReLU()):
        module = nn.Sequential(first, nn.Sequential(nn.Linear(INPUTS, 1), nn.PReLU()))
        network = fastnn.Network.from_torch(module)
        assert network.loss_name == "mean_squared_error"
        assert_predicts(network, x, forward(module, x))
    assert fastnn.Network.from_torch(nn.Linear(4, 2), loss="hinge").loss_name == "hinge"


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: nn.Sequential(nn.Conv1d(1, 1, 3)), "got Conv1d"),
        (
            lambda: nn.Sequential(nn.Linear(2, 2), nn.GELU(approximate="tanh")),
            "approximate='tanh'.*use approximate='none'",
        ),
        (lambda: nn.Sequential(nn.Linear(2, 2), nn.LogSoftmax(dim=1)), "leave it out"),
        (lambda: nn.Sequential(nn.Linear(2, 2), nn.Softplus(beta=2)), "use beta=1.0"),
        (lambda: nn.Sequential(nn.ReLU()), "at least one layer with parameters"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), "input_shape: .*pass input_shape"),
        (lambda: nn.Sequential(nn.BatchNorm1d(3, track_running_stats=False), nn.Linear(3, 2)), "track the statistics"),
        (lambda: nn.Linear(2, 2).half(), r"call .float\(\) first"),
        (lambda: nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2).double()), "of one dtype"),
        (Branching, "which has 2 inputs"),
        (Deciding, "cannot be traced"),
        (lambda: nn.Linear, "pass the module itself"),
        (lambda: {"weight": 1}, "pass the module itself"),
    ],
)
def test_refused(make: Callable[[], Any], sentence: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"(?s){sentence}"):
        fastnn.Network.from_torch(make())


def test_operations_of_ones_own_are_refused() -> None:
    own = fastnn.activation(lambda x: 2.0 * x, derivative=lambda x, y: 2.0, name="twice_for_torch")
    network = fastnn.Network([fastnn.Affine(2, 2), own()], loss="mean_squared_error")
    with pytest.raises(ValueError, match="expected layers that PyTorch has"):
        network.to_torch()


@pytest.mark.parametrize("dtype", FLOATS)
def test_tensors_are_arrays_and_arrays_are_tensors(dtype: Any) -> None:
    network, x = with_activation(fastnn.Tanh(), dtype), rows(dtype)
    tensor = torch.from_numpy(x.copy())
    np.testing.assert_array_equal(network.predict(tensor), network.predict(x))
    shared = torch.from_dlpack(network.params["W1"])
    shared[:] = 0.0
    assert not network.params["W1"].any()
    out = torch.from_dlpack(network.predict(x))
    assert out.shape == (len(x), OUTPUTS)
    with pytest.raises(TypeError, match="detach"):
        network.predict(tensor.requires_grad_())


class OnlyDLPack:
    """An array of another library that knows no protocol of NumPy's."""

    def __init__(self, tensor: Any) -> None:
        self.tensor = tensor

    def __dlpack__(self, **options: Any) -> Any:
        return self.tensor.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self.tensor.__dlpack_device__()


def test_arrays_that_know_dlpack_alone_are_taken_without_a_copy() -> None:
    from fastnn.gate import arrays

    tensor = torch.ones((3, 2))
    taken = arrays.floats("x", OnlyDLPack(tensor))
    tensor[0, 0] = 5.0
    assert taken[0, 0] == 5.0
    with pytest.raises(TypeError, match="NumPy cannot read"):
        arrays.floats("x", OnlyDLPack(torch.ones(2, dtype=torch.bfloat16)))


def test_arrays_of_jax_are_taken_without_a_copy() -> None:
    from fastnn.gate import arrays

    jax = pytest.importorskip("jax")
    given = jax.numpy.arange(6.0, dtype=jax.numpy.float32).reshape(2, 3)
    taken = arrays.floats("x", given)
    assert taken.ctypes.data == given.unsafe_buffer_pointer()
    network = fastnn.Network([fastnn.Affine(3, 2)], rng=0)
    np.testing.assert_array_equal(network.predict(given), network.predict(np.asarray(given)))
    assert float(jax.numpy.from_dlpack(network.params["b1"]).sum()) == 0.0
