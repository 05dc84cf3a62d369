"""Optimizers: each update beside its NumPy twin and PyTorch's, on any path, dtype and number of threads."""

import dataclasses
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import SGD, AdaGrad, Adam, AdamW, Affine, Momentum, Nesterov, Network, RMSProp, Tanh, reference
from fastnn.kernels.compile import JIT_DISABLED
from fastnn.optimizers import OPTIMIZER_CLASSES, Optimizer
from tests import shapes
from tests.tolerances import assert_close

N, D, H, K = 12, 5, 4, 3
X, T = shapes.numbers(1, N, D), shapes.targets("labels", N, K, np.float64)
LAYERS = [("affine", D, H), ("tanh",), ("affine", H, K)]
RATES = {"SGD": 0.1, "Momentum": 0.1, "Nesterov": 0.1, "AdaGrad": 0.1}
OPTIMIZERS: list[Optimizer] = [
    *(kind(lr=RATES.get(name, 0.01)) for name, kind in OPTIMIZER_CLASSES.items()),
    Momentum(0.1, 0.8),
    Nesterov(0.1, 0.8),
    AdaGrad(0.1, epsilon=1e-3, epsilon_inside=True),
    RMSProp(0.01, decay=0.9),
    RMSProp(0.01, epsilon=1e-3, epsilon_inside=True),
    Adam(0.01, beta1=0.7, beta2=0.9, epsilon=1e-3, epsilon_inside=True),
    Adam(0.01, bias_correction=False),
    Adam(0.01, epsilon=1e-3, epsilon_uncorrected=True),
    AdamW(0.01, weight_decay=0.3),
]


CLIPPED: list[Optimizer] = [Adam(0.01, clip_norm=0.1), Momentum(0.1, clip_value=0.01)]


def network(dtype: str = "float64") -> Network:
    return Network([Affine(D, H), Tanh(), Affine(H, K)], rng=0, dtype=dtype)


def twin(optimizer: Any, params: Any, grads: Any, state: list[Any], step: int) -> None:
    """One update by reference."""
    count = [step] if optimizer.counts else []
    own = {one.name: getattr(optimizer, one.name) for one in dataclasses.fields(optimizer) if not one.kw_only}
    update = getattr(reference, f"{optimizer.update}_update")
    update(params, grads, *state[: len(optimizer.keeps)], *count, **own)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_updates_are_those_of_numpy(optimizer: Optimizer, dtype: str) -> None:
    net = network(dtype)
    params = {name: array.astype(np.float64) for name, array in net.params.items()}
    state = [{name: np.zeros_like(array) for name, array in params.items()} for _ in range(2)]
    for step in range(1, 6):
        gradient = reference.network_gradient(LAYERS, params, X, T)[1]
        net.step(X, T, optimizer)
        twin(optimizer, params, gradient, state, step)
    for name, array in net.params.items():
        assert_close(
            array, params[name], dtype, atol=1e-4 if dtype == "float32" else None
        )  # Adam divides by its rounding


def in_torch(optimizer: Any, params: list[Any]) -> Any:
    torch = pytest.importorskip("torch")
    kinds: dict[type, Any] = {
        SGD: lambda o: torch.optim.SGD(params, lr=o.lr),
        Momentum: lambda o: torch.optim.SGD(params, lr=o.lr, momentum=o.momentum),
        Nesterov: lambda o: torch.optim.SGD(params, lr=o.lr, momentum=o.momentum, nesterov=True),
        AdaGrad: lambda o: torch.optim.Adagrad(params, lr=o.lr, eps=o.epsilon),
        RMSProp: lambda o: torch.optim.RMSprop(params, lr=o.lr, alpha=o.decay, eps=o.epsilon),
        Adam: lambda o: torch.optim.Adam(params, lr=o.lr, betas=(o.beta1, o.beta2), eps=o.epsilon),
        AdamW: lambda o: torch.optim.AdamW(
            params, lr=o.lr, betas=(o.beta1, o.beta2), eps=o.epsilon, weight_decay=o.weight_decay
        ),
    }
    made = kinds.get(type(optimizer))
    return made(optimizer) if made else pytest.skip(f"{optimizer} has no formula in PyTorch here")


LIKE_TORCH = [
    o
    for o in OPTIMIZERS
    if not (getattr(o, "epsilon_inside", False) or getattr(o, "epsilon_uncorrected", False))
    and getattr(o, "bias_correction", True)
]


@pytest.mark.parametrize("optimizer", LIKE_TORCH, ids=repr)
def test_updates_are_those_of_torch(optimizer: Optimizer) -> None:
    torch = pytest.importorskip("torch")
    net = network()
    params = {name: torch.tensor(array, requires_grad=True) for name, array in net.params.items()}
    other = in_torch(optimizer, list(params.values()))
    x, t = torch.tensor(X), torch.tensor(T)
    for _ in range(20):
        net.step(X, T, optimizer)
        other.zero_grad()
        hidden = torch.tanh(x @ params["W1"] + params["b1"])
        torch.nn.functional.cross_entropy(hidden @ params["W2"] + params["b2"], t).backward()
        other.step()
    for name, array in net.params.items():
        np.testing.assert_allclose(array, params[name].detach().numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "optimizer", [*OPTIMIZERS, Adam(0.01, clip_norm=0.1), Momentum(0.1, clip_value=0.01)], ids=repr
)
def test_fit_step_and_numerical_gradients_agree(optimizer: Optimizer) -> None:
    by_fit, by_steps, numerical = network(), network(), network()
    options: dict[str, Any] = {"epochs": 2, "batch_size": 5, "optimizer": optimizer, "shuffle": False}
    by_fit.fit(X, T, progress=False, **options)
    numerical.fit(X, T, progress=False, gradient="numerical", **options)
    for _ in range(2):
        for first in range(0, N, 5):
            by_steps.step(X[first : first + 5], T[first : first + 5], optimizer)
    for name, array in by_fit.params.items():
        np.testing.assert_array_equal(array, by_steps.params[name])
        np.testing.assert_allclose(array, numerical.params[name], rtol=1e-5, atol=1e-7)


@pytest.mark.skipif(JIT_DISABLED, reason="starts no threads without the compiler")
@pytest.mark.parametrize("optimizer", [Adam(0.01), AdamW(0.01, clip_norm=0.5), Nesterov(0.1), RMSProp()], ids=repr)
def test_the_same_bits_on_any_number_of_threads(optimizer: Optimizer) -> None:
    x, t = shapes.numbers(3, 200, 40, dtype=np.float32), shapes.targets("labels", 200, 30, np.float32)
    found = []
    for parts in (1, 2, 3):
        net = Network([Affine(40, 64), Tanh(), Affine(64, 30)], rng=0, n_threads=parts)
        net.fit(x, t, epochs=1, batch_size=100, optimizer=optimizer, rng=0, progress=False)
        found.append(b"".join(array.tobytes() for array in net.params.values()))
    assert len(set(found)) == 1


def test_the_count_of_updates_goes_on_and_begins_anew(tmp_path: Any) -> None:
    once, twice = network(), network()
    for _ in range(4):
        once.step(X, T, Adam(0.01))
    for _ in range(2):
        twice.step(X, T, Adam(0.01))
    twice.gradient(X, T)  # this is no update
    twice.save(tmp_path / "net.npz")
    twice = fastnn.load(tmp_path / "net.npz")
    saved = twice.engine.snapshot()
    twice.step(X, T, Adam(0.01))
    twice.engine.restore(saved)
    for _ in range(2):
        twice.step(X, T, AdamW(0.01, weight_decay=0.0))  # has Adam's state
    for name, array in once.params.items():
        np.testing.assert_array_equal(array, twice.params[name])
    once.step(X, T, SGD(0.0))
    assert once.engine.snapshot()[3] == 1
    once.initialize(0)
    once.step(X, T, SGD(0.0))
    assert once.engine.snapshot()[3] == 1


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Adam(beta1=1.0), "beta1: expected a finite number of at least 0.0 and below 1.0, got 1.0"),
        (lambda: RMSProp(epsilon=0), "epsilon: expected a finite number above 0.0, got 0"),
        (lambda: SGD(clip_norm=0), "clip_norm: expected a finite number above 0.0, got 0"),
        (lambda: SGD(clip_value=-1), "clip_value: expected a finite number above 0.0, got -1"),
        (lambda: AdamW(weight_decay=-1), "weight_decay: expected a finite number of at least 0.0, got -1"),
    ],
)
def test_refused_numbers(make: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        make()
    with pytest.raises(TypeError, match="without a name"):
        SGD(0.1, 1.0)  # type: ignore[call-arg]


def test_what_is_refused_leaves_the_state_of_the_optimizer() -> None:
    """Adam goes on as if no other optimizer had been asked for."""
    once, twice = network("float32"), network("float32")
    for net in (once, twice):
        for _ in range(5):
            net.step(X, T, Adam(0.01))
    with pytest.raises(ValueError, match=r"^optimizer: expected"):
        twice.step(X, T, SGD(1e300))
    with pytest.raises(fastnn.TrainingDivergedError):
        twice.step(np.full((N, D), np.nan), T, SGD(0.1), check_finite=False)
    twice.fit(X, T, epochs=0, optimizer=SGD(0.1), progress=False)
    with pytest.raises(ZeroDivisionError):
        twice.fit(X, T, epochs=1, optimizer=SGD(0.1), schedule=lambda *_: 1 / 0, progress=False)
    a, b = once.engine.snapshot(), twice.engine.snapshot()
    assert a.parameters.tobytes() == b.parameters.tobytes() and a.state.tobytes() == b.state.tobytes()
    assert a[2:] == b[2:]
    once.step(X, T, Adam(0.01))
    twice.step(X, T, Adam(0.01))
    assert once.engine.snapshot().parameters.tobytes() == twice.engine.snapshot().parameters.tobytes()


@pytest.mark.parametrize(
    ("optimizer", "sentence"),
    [
        (Adam(epsilon=1e-50), "optimizer: expected an epsilon above 0, got 1e-50, which is 0 in float32; pass"),
        (RMSProp(decay=1 - 1e-9), "optimizer: expected a share below 1, got"),
        (Momentum(momentum=1 - 1e-9), "optimizer: expected a share below 1, got"),
    ],
    ids=repr,
)
def test_numbers_that_float32_does_not_tell_from_others(optimizer: Optimizer, sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{sentence}"):
        network("float32").step(X, T, optimizer)
    network().step(X, T, optimizer)


def test_the_first_step_of_rmsprop_is_that_of_float64() -> None:
    """1 - decay is rounded once, not computed from a rounded decay."""
    for decay in (0.9999, 0.99999):
        nets = [network("float32"), network()]
        before = [net.params["W1"].astype(np.float64) for net in nets]
        for net in nets:
            net.step(X, T, RMSProp(0.01, decay=decay))
        moved = [net.params["W1"] - start for net, start in zip(nets, before, strict=True)]
        np.testing.assert_allclose(moved[0], moved[1], rtol=2e-5)


def test_a_gradient_that_is_not_finite_is_not_clipped_to_a_norm() -> None:
    net = network("float32")
    before = net.engine.snapshot()
    x = np.full((N, D), 1e30, np.float32)
    net.params["W1"][...] = 0.0
    net.params["b1"][...] = 0.1
    net.params["W2"][...] *= 1e10
    start = net.engine.snapshot()
    with pytest.raises(fastnn.TrainingDivergedError, match="left as they were"):
        net.step(x, T, SGD(0.1, clip_norm=1.0))
    assert net.engine.snapshot().parameters.tobytes() == start.parameters.tobytes() != before.parameters.tobytes()
