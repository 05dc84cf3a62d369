"""The cases in PyTorch, eager and compiled.

It uses the lowest calls of the public interface: no optimizer object, gradients by torch.autograd.grad, weights as
torch.nn.Linear keeps them, (outputs, inputs). Compiled: one graph for the whole step, update included.
"""

import importlib
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from benchmarks import images
from benchmarks.cases import Case
from benchmarks.data import Data
from benchmarks.expected import (
    ADAM_RATE,
    COMPARED_STEPS,
    LEARNING_RATE,
    MOMENTUM,
    ORDER_SEED,
    WEIGHT_DECAY,
    compared,
    epoch_order,
)
from benchmarks.peers import MissingError, Target

torch: Any = importlib.import_module("torch")
functional: Any = torch.nn.functional

# From the loss of a network, (params, x, t), and its parameters to the function (x, t) -> loss that updates them.
Make: TypeAlias = Callable[[Callable[..., Any], list[Any]], Callable[[Any, Any], Any]]


def _tensor(array: Any) -> Any:
    return torch.from_numpy(array.copy())


def _without_gradients(data: Data, threads: int) -> list[Any]:
    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    return [_tensor(value) for value in data.values()]


def affine_forward(case: Case, data: Data, threads: int) -> Target:
    """Also used for the products, whose bias is zero and left out."""
    x, W, b, dy = _without_gradients(data, threads)
    y = torch.empty_like(dy)
    if case.kind == "product":
        return Target(lambda: torch.mm(x, W, out=y), lambda results: [y.numpy()])
    return Target(lambda: torch.addmm(b, x, W, out=y), lambda results: [y.numpy()])


def affine_backward(case: Case, data: Data, threads: int) -> Target:
    x, W, b, dy = _without_gradients(data, threads)
    dx, dW, db = torch.empty_like(x), torch.empty_like(W), torch.empty_like(b)

    def call() -> None:
        torch.mm(dy, W.T, out=dx)
        torch.mm(x.T, dy, out=dW)
        torch.sum(dy, 0, out=db)

    return Target(call, lambda results: [dx.numpy(), dW.numpy(), db.numpy()])


def _known(table: dict[str, Callable[..., Any]], name: str) -> Callable[..., Any]:
    if name not in table:
        raise MissingError(f"{name} is not written for PyTorch here")
    return table[name]


def activation(case: Case, data: Data, threads: int) -> Target:
    (x,) = _without_gradients(data, threads)
    y, zero = torch.empty_like(x), torch.zeros(())
    calls: dict[str, Callable[[], Any]] = {
        "sigmoid": lambda: torch.sigmoid(x, out=y),
        "tanh": lambda: torch.tanh(x, out=y),
        "relu": lambda: torch.clamp_min(x, 0.0, out=y),
        "elu": lambda: functional.elu(x),
        "identity": lambda: y.copy_(x),
        "step": lambda: torch.heaviside(x, zero, out=y),
        "leaky_relu": lambda: functional.leaky_relu(x),
        "gelu": lambda: functional.gelu(x),
        "silu": lambda: functional.silu(x),
        "softplus": lambda: functional.softplus(x),
        "softmax": lambda: torch.softmax(x, 1, out=y),
    }
    return Target(_known(calls, case.variant), lambda results: [results[0].numpy()])


_LOSSES: dict[str, Callable[[Any, Any], Any]] = {
    "softmax_cross_entropy": functional.cross_entropy,
    "mean_squared_error": lambda x, t: functional.mse_loss(x, t, reduction="sum") / (2 * len(x)),
    "sigmoid_cross_entropy": lambda x, t: functional.binary_cross_entropy_with_logits(x, t, reduction="sum") / len(x),
    "absolute_error": lambda x, t: functional.l1_loss(x, t, reduction="sum") / len(x),
    "huber": lambda x, t: functional.huber_loss(x, t, reduction="sum") / len(x),
    "hinge": lambda x, t: torch.relu(1 - t * x).sum() / len(x),
    "exponential": lambda x, t: torch.exp(-t * x).sum() / len(x),
    "kl_divergence": lambda x, t: functional.kl_div(torch.log_softmax(x, 1), t, reduction="batchmean"),
    "cross_entropy": lambda x, t: -(t * torch.log(x)).sum() / len(x),
    "log_loss": lambda x, t: functional.binary_cross_entropy(x, t, reduction="sum") / len(x),
}


def loss(case: Case, data: Data, threads: int) -> Target:
    x, t = _without_gradients(data, threads)
    function = _known(_LOSSES, case.variant or case.kind)
    torch.set_grad_enabled(True)
    x.requires_grad_()

    def call() -> Any:
        loss = function(x, t)
        (dx,) = torch.autograd.grad(loss, x)
        return loss, dx

    return Target(call, lambda results: [results[0][0].detach().numpy(), results[0][1].numpy()])


def sgd_update(case: Case, data: Data, threads: int) -> Target:
    p, g, _ = _without_gradients(data, threads)
    return Target(lambda: p.add_(g, alpha=-LEARNING_RATE), lambda results: [p.numpy()])


def momentum_update(case: Case, data: Data, threads: int) -> Target:
    p, g, v = _without_gradients(data, threads)
    call: Callable[[], Any] = lambda: p.add_(v.mul_(MOMENTUM).add_(g, alpha=-LEARNING_RATE))  # noqa: E731
    return Target(call, lambda results: [p.numpy(), v.numpy()])


def _parameters(data: Data, threads: int) -> list[Any]:
    torch.set_num_threads(threads)
    return [_tensor(np.ascontiguousarray(_turned(value))) for value in data["params"].values()]


def _as_in_table(params: list[Any]) -> list[Any]:
    return [_turned(param.detach().numpy()) for param in params]


def _turned(value: Any) -> Any:
    """The transpose of a matrix; filters are kept alike everywhere."""
    return value.T if value.ndim == 2 else value


def _logits(params: list[Any], x: Any) -> Any:
    for i in range(0, len(params) - 2, 2):
        x = torch.relu(functional.linear(x, params[i], params[i + 1]))
    return functional.linear(x, params[-2], params[-1])


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
                x = functional.linear(x, W, b) if name == "affine" else functional.conv2d(x, W, b, padding=sizes[-1])
                place += 2
            else:
                x = functional.max_pool2d(x, *sizes) if sizes else x.flatten(1) if name == "flatten" else torch.relu(x)
        return x

    return logits


def _loss_of(case: Case) -> Callable[[list[Any], Any, Any], Any]:
    """The function (params, x, t) -> loss of a case's network."""
    logits = _logits_of(case)
    return lambda params, x, t: functional.cross_entropy(logits(params, x), t)


def _eager_step(loss_of: Callable[..., Any], params: list[Any]) -> Callable[[Any, Any], Any]:
    """The function (x, t) -> loss that updates the parameters."""
    torch.set_grad_enabled(True)
    for param in params:
        param.requires_grad_()

    def step(x: Any, t: Any) -> Any:
        loss = loss_of(params, x, t)
        gradients = torch.autograd.grad(loss, params)
        with torch.no_grad():
            torch._foreach_add_(params, gradients, alpha=-LEARNING_RATE)
        return loss.detach()

    return step


def _optimizer(name: str, params: list[Any]) -> Any:
    some: dict[str, Callable[[], Any]] = {
        "nesterov": lambda: torch.optim.SGD(params, LEARNING_RATE, MOMENTUM, nesterov=True, foreach=True),
        "adagrad": lambda: torch.optim.Adagrad(params, LEARNING_RATE, foreach=True),
        "rmsprop": lambda: torch.optim.RMSprop(params, LEARNING_RATE, foreach=True),
        "adam": lambda: torch.optim.Adam(params, ADAM_RATE, foreach=True),
        "adamw": lambda: torch.optim.AdamW(params, ADAM_RATE, weight_decay=WEIGHT_DECAY, foreach=True),
        "sgd": lambda: torch.optim.SGD(params, LEARNING_RATE, foreach=True),
    }
    return _known(some, name)()


def _logits_with_layers(layer: str, params: list[Any], x: Any) -> Any:
    """A layer on units after each affine layer but the last; params: W, b, then the layer's."""
    width = 3 if layer == "prelu" else 4
    for i in range(0, len(params) - 2, width):
        x = functional.linear(x, params[i], params[i + 1])
        if layer == "prelu":
            x = functional.prelu(x, params[i + 2])
        elif layer != "batch_norm":
            raise MissingError(f"{layer} is not written for PyTorch here")
        else:
            x = torch.relu(functional.batch_norm(x, None, None, params[i + 2], params[i + 3], training=True))
    return functional.linear(x, params[-2], params[-1])


def _step_by(case: Case, params: list[Any]) -> Callable[[Any, Any], Any]:
    """The function (x, t) -> loss that updates the parameters by an optimizer's object."""
    torch.set_grad_enabled(True)
    for param in params:
        param.requires_grad_()
    optimizer = _optimizer("sgd" if case.kind == "layer_step" else case.variant, params)

    def step(x: Any, t: Any) -> Any:
        optimizer.zero_grad(set_to_none=True)
        y = _logits_with_layers(case.variant, params, x) if case.kind == "layer_step" else _logits(params, x)
        loss = functional.cross_entropy(y, t)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def _compiled_step(loss_of: Callable[..., Any], params: list[Any]) -> Callable[[Any, Any], Any]:
    torch.set_grad_enabled(False)
    torch._dynamo.reset()

    @torch.compile(fullgraph=True, dynamic=False)  # type: ignore[untyped-decorator, unused-ignore]
    def step(params: list[Any], x: Any, t: Any) -> Any:
        gradients, loss = torch.func.grad_and_value(loss_of)(params, x, t)
        for param, gradient in zip(params, gradients, strict=True):
            param.sub_(gradient, alpha=LEARNING_RATE)
        return loss

    return lambda x, t: step(params, x, t)


def _step(make: Make, case: Case, data: Data, threads: int) -> Target:
    params, x, t = _parameters(data, threads), _tensor(data["x"]), _tensor(data["t"])
    step = make(_loss_of(case), params)
    return Target(
        lambda: step(x, t).item(),
        lambda losses: [np.array(losses), *compared(case, _as_in_table(params))],
        compared=COMPARED_STEPS,
    )


def _optimizer_step(case: Case, data: Data, threads: int) -> Target:
    return _step(lambda loss_of, params: _step_by(case, params), case, data, threads)


def _epoch(make: Make, case: Case, data: Data, threads: int) -> Target:
    params, x, t = _parameters(data, threads), torch.from_numpy(data["x"]), torch.from_numpy(data["t"])
    step, rng = make(_loss_of(case), params), np.random.default_rng(ORDER_SEED)

    def call() -> float:
        order = torch.from_numpy(epoch_order(rng, len(x)))
        losses = [step(x.index_select(0, rows), t.index_select(0, rows)) for rows in order.split(case.sizes[1])]
        return float(torch.stack(losses).mean())

    return Target(call, lambda losses: [losses[0], *_as_in_table(params)])


def _predict(compile_it: bool, case: Case, data: Data, threads: int) -> Target:
    params, x = _parameters(data, threads), _tensor(data["x"])
    torch.set_grad_enabled(False)
    logits = _logits_of(case)
    if compile_it:
        torch._dynamo.reset()
        logits = torch.compile(logits, fullgraph=True, dynamic=False)
    return Target(lambda: logits(params, x), lambda results: [results[0].numpy()])


FACTORIES: dict[str, dict[str, Callable[[Case, Data, int], Target]]] = {
    "torch": {
        "affine_forward": affine_forward,
        "affine_backward": affine_backward,
        "product": affine_forward,
        "activation": activation,
        "softmax_of_rows": activation,
        "softmax_cross_entropy": loss,
        "loss": loss,
        "sgd_update": sgd_update,
        "momentum_update": momentum_update,
        "step": lambda case, data, threads: _step(_eager_step, case, data, threads),
        "image_step": lambda case, data, threads: _step(_eager_step, case, data, threads),
        "optimizer_step": _optimizer_step,
        "layer_step": _optimizer_step,
        "epoch": lambda case, data, threads: _epoch(_eager_step, case, data, threads),
        "predict": lambda case, data, threads: _predict(False, case, data, threads),
        "image_predict": lambda case, data, threads: _predict(False, case, data, threads),
    },
    "torch_compiled": {
        "step": lambda case, data, threads: _step(_compiled_step, case, data, threads),
        "image_step": lambda case, data, threads: _step(_compiled_step, case, data, threads),
        "epoch": lambda case, data, threads: _epoch(_compiled_step, case, data, threads),
        "predict": lambda case, data, threads: _predict(True, case, data, threads),
        "image_predict": lambda case, data, threads: _predict(True, case, data, threads),
    },
}
