"""The cases in JAX: one jitted function each, whose buffers are donated where it overwrites them; scans for runs."""

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import images
from benchmarks.cases import Case
from benchmarks.data import Data
from benchmarks.expected import COMPARED_STEPS, LEARNING_RATE, MOMENTUM, ORDER_SEED, epoch_order
from benchmarks.peers import MissingError, Target

jax: Any = importlib.import_module("jax")
jnp: Any = jax.numpy

# Steps of a scan that is timed as a run of steps.
RUN_FLOP, FEWEST_STEPS, MOST_STEPS = 2e9, 8, 4000


def _pure(function: Callable[..., Any], *arguments: Any) -> Target:
    """A function without state; its result, an array or several, is allocated by each call."""
    compiled, placed = jax.jit(function), jax.tree.map(jnp.array, arguments)
    return Target(
        lambda: jax.block_until_ready(compiled(*placed)), lambda results: list(map(np.array, _several(results[0])))
    )


def _several(result: Any) -> tuple[Any, ...]:
    return result if isinstance(result, tuple) else (result,)


def affine_forward(case: Case, data: Data, threads: int) -> Target:
    """Also used for the products, whose bias is zero and left out."""
    if case.kind == "product":
        return _pure(jnp.matmul, data["x"], data["W"])
    return _pure(lambda x, W, b: x @ W + b, data["x"], data["W"], data["b"])


def affine_backward(case: Case, data: Data, threads: int) -> Target:
    return _pure(lambda dy, x, W: (dy @ W.T, x.T @ dy, dy.sum(0)), data["dy"], data["x"], data["W"])


def activation(case: Case, data: Data, threads: int) -> Target:
    functions: dict[str, Callable[[Any], Any]] = {
        "identity": jnp.copy,
        "step": lambda x: jnp.where(x > 0, 1.0, 0.0),
        "gelu": lambda x: jax.nn.gelu(x, approximate=False),
    }
    function = functions.get(case.variant) or getattr(jax.nn, case.variant, None)
    if function is None:
        raise MissingError(f"jax.nn has no {case.variant}")
    return _pure(function, data["x"])


def _cross_entropy(x: Any, t: Any) -> Any:
    return -jnp.take_along_axis(jax.nn.log_softmax(x), t[:, None], axis=1).mean()


def softmax_cross_entropy(case: Case, data: Data, threads: int) -> Target:
    return _pure(jax.value_and_grad(_cross_entropy), data["x"], data["t"])


def sgd_update(case: Case, data: Data, threads: int) -> Target:
    return _stateful(lambda p, g: p - LEARNING_RATE * g, data["p"], data["g"])


def momentum_update(case: Case, data: Data, threads: int) -> Target:
    def update(state: Any, g: Any) -> Any:
        p, v = state
        v = MOMENTUM * v - LEARNING_RATE * g
        return p + v, v

    return _stateful(update, (data["p"], data["v"]), data["g"])


def _stateful(function: Callable[..., Any], state: Any, g: Any) -> Target:
    """A function (state, g) -> state, whose first argument is donated."""
    update = jax.jit(function, donate_argnums=0)
    kept, g = [jax.tree.map(jnp.array, state)], jnp.array(g)

    def call() -> None:
        kept[0] = jax.block_until_ready(update(kept[0], g))

    return Target(call, lambda results: list(map(np.array, _several(kept[0]))))


def _logits(params: list[Any], x: Any) -> Any:
    for i in range(0, len(params) - 2, 2):
        x = jax.nn.relu(x @ params[i] + params[i + 1])
    return x @ params[-2] + params[-1]


def _logits_of(case: Case) -> Callable[[list[Any], Any], Any]:
    """The function (params, x) -> logits of a case's network."""
    if case.group != "images":
        return _logits
    layers = images.case_layers(case)

    def logits(params: list[Any], x: Any) -> Any:
        place = 0
        for name, *sizes in layers:
            if name in {"conv2d", "affine"}:
                W, b = params[place : place + 2]
                x = x @ W + b if name == "affine" else _convolve(x, W, sizes[-1]) + b[:, None, None]
                place += 2
            elif name == "max_pool2d":
                window = (1, 1, *sizes, *sizes)
                x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, window, "VALID")
            else:
                x = x.reshape(len(x), -1) if name == "flatten" else jax.nn.relu(x)
        return x

    return logits


def _convolve(x: Any, W: Any, padding: int) -> Any:
    """The convolution of images as the others keep them; (N, H, W, C) took as long, to 4 %."""
    around = ((padding, padding), (padding, padding))
    return jax.lax.conv_general_dilated(x, W, (1, 1), around, dimension_numbers=("NCHW", "OIHW", "NCHW"))


def _step_of(logits: Callable[[list[Any], Any], Any]) -> Callable[..., tuple[list[Any], Any]]:
    """The function (params, x, t) -> params, loss of a network."""

    def step(params: list[Any], x: Any, t: Any) -> tuple[list[Any], Any]:
        loss, gradients = jax.value_and_grad(lambda params: _cross_entropy(logits(params, x), t))(params)
        return [param - LEARNING_RATE * gradient for param, gradient in zip(params, gradients, strict=True)], loss

    return step


class _Training:
    """Parameters, and the calls that update them."""

    def __init__(self, case: Case, data: Data) -> None:
        self.params = [jnp.array(value) for value in data["params"].values()]
        self._one = _step_of(_logits_of(case))
        self._step = jax.jit(self._one, donate_argnums=0)
        self._run = jax.jit(self._scan, donate_argnums=0)

    def _scan(self, params: list[Any], x: Any, t: Any, order: Any) -> tuple[list[Any], Any]:
        return jax.lax.scan(lambda params, rows: self._one(params, x[rows], t[rows]), params, order)  # type: ignore[no-any-return]

    def step(self, x: Any, t: Any) -> float:
        self.params, loss = jax.block_until_ready(self._step(self.params, x, t))
        return float(loss)

    def run(self, x: Any, t: Any, order: Any) -> Any:
        """Steps on the batches whose row numbers are the rows of `order`; the loss of each."""
        self.params, losses = jax.block_until_ready(self._run(self.params, x, t, order))
        return np.array(losses)

    def outputs(self, losses: Any) -> list[Any]:
        return [np.array(losses), *map(np.array, self.params)]


def step(case: Case, data: Data, threads: int) -> Target:
    training, x, t = _Training(case, data), jnp.array(data["x"]), jnp.array(data["t"])
    return Target(lambda: training.step(x, t), training.outputs, compared=COMPARED_STEPS)


def run_of_steps(case: Case, data: Data, threads: int) -> Target:
    """The same batch again and again, gathered anew for each step."""
    steps = int(min(max(RUN_FLOP / case.flop, FEWEST_STEPS), MOST_STEPS))
    training, x, t = _Training(case, data), jnp.array(data["x"]), jnp.array(data["t"])
    few, many = (np.tile(np.arange(case.sizes[0]), (count, 1)) for count in (COMPARED_STEPS, steps))
    return Target(
        lambda: training.run(x, t, few),
        lambda results: training.outputs(results[0]),
        timed=lambda: training.run(x, t, many),
        divisor=steps,
    )


def epoch(case: Case, data: Data, threads: int) -> Target:
    training, rng = _Training(case, data), np.random.default_rng(ORDER_SEED)
    x, t = jnp.array(data["x"]), jnp.array(data["t"])

    def call() -> float:
        return float(training.run(x, t, epoch_order(rng, len(x)).reshape(-1, case.sizes[1])).mean())

    return Target(call, lambda losses: training.outputs(losses[0]))


def predict(case: Case, data: Data, threads: int) -> Target:
    return _pure(_logits_of(case), list(data["params"].values()), data["x"])


FACTORIES = {
    "jax": {
        "affine_forward": affine_forward,
        "affine_backward": affine_backward,
        "product": affine_forward,
        "activation": activation,
        "softmax_of_rows": activation,
        "softmax_cross_entropy": softmax_cross_entropy,
        "sgd_update": sgd_update,
        "momentum_update": momentum_update,
        "step": step,
        "image_step": step,
        "epoch": epoch,
        "predict": predict,
        "image_predict": predict,
    },
    "jax_run": {"step": run_of_steps},
}
