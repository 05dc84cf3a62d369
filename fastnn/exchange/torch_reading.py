"""A network from a module of PyTorch: a Sequential, or any whose forward is a chain."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from fastnn.exchange import torch_images
from fastnn.exchange.parts import Part, affine, batch_norm, imported, plain, refuse, scaling
from fastnn.exchange.torch_rows import ROWS, Row
from fastnn.exchange.torch_tracing import chain_of, evaluating, is_batch_size, is_size
from fastnn.gate.arrays import Array
from fastnn.layers import Dropout, Flatten, PRelu, Step, TrainedLayer

LOGITS = "leave it out, as the loss softmax_cross_entropy takes logits"
NO_OPTIONS = "input", "_stacklevel"  # the tensor, and where a warning points
FLATTEN = "pass torch.flatten(x, 1)"


def torch_parts(module: Any) -> list[Part]:
    """The parts of a module; see Network.from_torch."""
    torch = imported("torch", "torch")
    if not isinstance(module, torch.nn.Module):
        came = refuse("module", module, "a torch.nn.Module", "pass the module itself")
        raise TypeError(str(came))
    root, nodes = chain_of(torch, module)
    return [_part(torch, root, node) for node in nodes]


def _trained_as(module: Any, part: Part) -> Part:
    """The part, frozen if its module has parameters of which none requires a gradient."""
    own = list(module.parameters())
    if not isinstance(part.layer, TrainedLayer) or not own or any(one.requires_grad for one in own):
        return part
    return part._replace(layer=replace(part.layer, trainable=False))


def torch_outputs(module: Any) -> Callable[[Array], Any]:
    """A module in evaluation mode as a function of an array; it leaves mode and random state as they were."""
    torch = imported("torch", "torch")
    device = next(module.parameters()).device

    def outputs(x: Array) -> Any:
        with evaluating(module), torch.no_grad(), torch.random.fork_rng(devices=[]):
            return module(torch.from_numpy(x).to(device)).numpy(force=True)

    return outputs


def _part(torch: Any, root: Any, node: Any) -> Part:
    """The part of one call."""
    if node.op == "call_module":
        module = root.get_submodule(node.target)
        return _trained_as(module, _part_of_module(torch, module))
    target = node.target if node.op == "call_method" else getattr(node.target, "__name__", str(node.target))
    name = target if node.op == "call_method" or _is_of_torch(torch, node.target, target) else f"the function {target}"
    if name in ("view", "reshape"):
        return _reshaped(node, name)
    if name == "flatten":
        options = _options(node, name, ("start_dim", "end_dim"))
        if (options.get("start_dim", 0), options.get("end_dim", -1)) == (1, -1):
            return plain(Flatten())
        raise refuse("module", _call(name, options), "PyTorch", FLATTEN)
    if name in torch_images.POOLS:
        options = _options(node, name, tuple(torch_images.POOLS[name][1]))
        return torch_images.pool(name, options, _call(name, options))
    if name == "dropout":
        options = _options(node, name, ("p", "training", "inplace"))
        if options.get("training", options.get("train", True)):
            came = f"{_call(name, options)}, which drops in evaluation mode, too"
            raise refuse("module", came, "PyTorch", "pass training=self.training")
        return plain(Dropout(options.get("p", 0.5)))
    for row in ROWS:
        if name in row.functions:
            options = _options(node, name, row.names)
            known = {row.option[1] if row.option else "", "inplace", *(one.name for one in row.fixed)}
            if options.keys() - known:
                raise refuse("module", _call(name, options), "PyTorch")
            return _activation(row, options.get)
    raise refuse("module", name, "PyTorch", LOGITS if name == "log_softmax" else "")


def _is_of_torch(torch: Any, function: Any, name: str) -> bool:
    """Whether a function is PyTorch's of this name, not one of the user's."""
    return any(function is getattr(one, name, None) for one in (torch, torch.nn.functional))


def _options(node: Any, name: str, names: tuple[str, ...]) -> dict[str, Any]:
    """The arguments of a call after the tensor, without what is None."""
    given = node.args[1:] if node.args else ()
    options = dict(zip(names, given, strict=False)) | {
        key: one for key, one in node.kwargs.items() if key not in NO_OPTIONS
    }
    if len(given) > len(names) or any(hasattr(one, "all_input_nodes") for one in options.values()):
        raise refuse("module", f"{name}{given}", "PyTorch", "pass the numbers themselves")
    return {key: one for key, one in options.items() if one is not None}


def _call(name: str, options: dict[str, Any]) -> str:
    return f"{name}({', '.join(f'{key}={value!r}' for key, value in options.items())})"


def _reshaped(node: Any, name: str) -> Part:
    """The part of a reshape that keeps the rows, to (batch, anything) or to (-1, the numbers of one sample)."""
    named = [node.kwargs[key] for key in ("shape", "size") if key in node.kwargs]
    given = tuple(node.args[1 if node.args and "input" not in node.kwargs else 0 :]) + tuple(named)
    sizes = tuple(given[0]) if len(given) == 1 and isinstance(given[0], tuple | list) else given
    if len(sizes) == 2:
        is_number = type(sizes[1]) is int
        if is_batch_size(sizes[0]) and (is_number or is_size(sizes[1])):
            return plain(Flatten())
        if sizes[0] == -1 and is_number and sizes[1] > 0:
            return Part(Flatten(), {}, sizes[1])
    raise refuse("module", f"{name}{sizes}", "PyTorch", FLATTEN)


def _activation(row: Row, option: Callable[[str, Any], Any]) -> Part:
    """The part of an activation. option: a function of an argument's name and its default."""
    for one in row.fixed:
        value = option(one.name, one.value)
        if not one.allows(value):
            came = f"{row.module}({one.name}={value!r})"
            raise refuse("module", came, "PyTorch", f"use {one.name}={one.value!r}")
    return plain(row.layer(**({row.option[0]: option(*row.option[1:])} if row.option else {})))


def _part_of_module(torch: Any, module: Any) -> Part:
    """The part of one of torch.nn's modules."""
    from fastnn.exchange import torch_scale, torch_step

    nn, kind = torch.nn, type(module)
    if kind is nn.Linear:
        return affine(_array(torch, module, "weight").T, _array(torch, module, "bias"))
    if kind in (nn.BatchNorm1d, nn.BatchNorm2d):
        if module.running_mean is None:
            raise refuse("module", f"{kind.__name__}(track_running_stats=False)", "PyTorch", "track the statistics")
        momentum = 0.9 if module.momentum is None else round(1.0 - module.momentum, 15)
        named = (_array(torch, module, name) for name in ("weight", "bias", "running_mean", "running_var"))
        return batch_norm(module.eps, momentum, *named)
    arrays = [_array(torch, module, one) for one in ("weight", "bias")] if kind is nn.Conv2d else (None, None)
    found = torch_images.part_of_images(torch, module, *arrays)
    if found is not None:
        return found
    if kind is nn.PReLU:
        return Part(PRelu(), {"slope": _array(torch, module, "weight")})
    if kind is nn.Dropout:
        return plain(Dropout(module.p))
    if kind is nn.Flatten and (module.start_dim, module.end_dim) == (1, -1):
        return plain(Flatten())
    if kind is torch_step.Step:
        return plain(Step(module.at_zero))
    if kind is torch_scale.Scale:
        return scaling(module.factor.item(), str(module.factor.dtype).removeprefix("torch."))
    for row in ROWS:
        if kind is getattr(nn, row.module):
            return _activation(row, lambda name, default: getattr(module, name, default))
    remedy = LOGITS if kind is nn.LogSoftmax else ""
    if hasattr(module, "parametrizations"):
        remedy = "call torch.nn.utils.parametrize.remove_parametrizations first"
    raise refuse("module", str(module).partition("\n")[0].removesuffix("("), "PyTorch", remedy)


def _array(torch: Any, module: Any, name: str) -> Any:
    """A parameter or statistic as an array; None where the module has none."""
    tensor = getattr(module, name)
    if tensor is None:
        return None
    if tensor.dtype not in (torch.float32, torch.float64):
        came = f"{tensor.dtype} in {type(module).__name__}; call .float() first"
        raise TypeError(f"module: expected parameters of float32 or float64, got {came}")
    if tensor.is_meta or tensor.layout is not torch.strided:
        came = f"{type(module).__name__} whose {name} has no numbers in memory, or sparse ones"
        raise refuse("module", came, "PyTorch", "load the parameters, and call .to_dense() on sparse ones")
    return tensor.numpy(force=True)
