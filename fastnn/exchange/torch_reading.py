"""A network from a module of PyTorch: a Sequential, or any whose forward is a chain, as torch.fx traces it."""

from typing import Any

from fastnn.exchange.parts import Part, affine, batch_norm, imported, plain, refuse
from fastnn.exchange.torch_rows import ROWS, Row
from fastnn.layers import Dropout, Flatten, PRelu, Step

LOGITS = "leave it out, as the loss softmax_cross_entropy takes logits"


def torch_parts(module: Any) -> list[Part]:
    """The parts of a module; see Network.from_torch."""
    torch = imported("torch", "torch")
    if not isinstance(module, torch.nn.Module):
        came = refuse("module", module, "a torch.nn.Module", "pass the module itself")
        raise TypeError(str(came))
    return [_part(torch, root, node) for root, node in _chain(torch, module)]


def _chain(torch: Any, module: Any) -> list[tuple[Any, Any]]:
    """The calls of a module's forward, first to last, each with the module in which it names others."""

    class Tracer(torch.fx.Tracer):  # type: ignore[misc]
        def is_leaf_module(self, module: Any, name: str) -> bool:
            return type(module).__name__ == "Step" or bool(super().is_leaf_module(module, name))

    tracer = Tracer()
    if tracer.is_leaf_module(module, ""):
        module = torch.nn.Sequential(module)
    try:
        graph = tracer.trace(module)
    except Exception as error:  # whatever a user's forward raises for a traced tensor
        remedy = "pass a torch.nn.Sequential of its layers"
        raise refuse(
            "module", f"{type(module).__name__} whose forward cannot be traced ({error})", "PyTorch", remedy
        ) from error
    node, chain = next(one for one in graph.nodes if one.op == "output").args[0], []
    while getattr(node, "op", "") != "placeholder":
        sources = [one for one in getattr(node, "args", ()) if hasattr(one, "op") and _carries_data(one)]
        if len(sources) != 1:
            raise refuse("module", f"{node}, which has {len(sources)} inputs", "PyTorch")
        chain.append(node)
        node = sources[0]
    return [(module, node) for node in chain[::-1]]


def _carries_data(node: Any) -> bool:
    """Whether a value of a traced forward is a tensor, not a size."""
    is_size = (node.op == "call_method" and node.target in ("size", "dim")) or node.name.startswith("getattr")
    return not is_size and not (
        node.op == "call_function" and any(not _carries_data(one) for one in node.all_input_nodes)
    )


def _part(torch: Any, module: Any, node: Any) -> Part:
    """The part of one call."""
    if node.op == "call_module":
        return _part_of_module(torch, module.get_submodule(node.target))
    name = node.target if node.op == "call_method" else getattr(node.target, "__name__", str(node.target))
    options = dict(node.kwargs)
    if name in ("view", "reshape", "flatten"):
        sizes = node.args[1] if len(node.args) == 2 and isinstance(node.args[1], tuple | list) else node.args[1:]
        keeps_rows = (*sizes, *options.values()) == (1,) if name == "flatten" else len(sizes) == 2 and sizes[1] == -1
        if keeps_rows:
            return plain(Flatten())
        raise refuse("module", f"{name}{tuple(sizes)}", "PyTorch", "pass torch.flatten(x, 1)")
    if name == "dropout":
        return plain(Dropout(options.get("p", node.args[1] if len(node.args) > 1 else 0.5)))
    for row in ROWS:
        if name in row.functions:
            return _activation(row, lambda there, default: options.get(there, default), node.args)
    raise refuse("module", name, "PyTorch", LOGITS if name == "log_softmax" else "")


def _activation(row: Row, option: Any, args: Any = ()) -> Part:
    """The part of an activation. option: a function of a name and a default; args: those of a call, x first."""
    there, default = row.option[1:] if row.option else (row.fixed[0], row.fixed[1][0]) if row.fixed else ("", None)
    value = args[row.position] if there and len(args) > row.position else option(there, default)
    if row.fixed and value not in row.fixed[1]:
        raise refuse("module", f"{row.module}({there}={value!r})", "PyTorch", f"use {there}={row.fixed[1][0]!r}")
    return plain(row.layer(**({row.option[0]: value} if row.option else {})))


def _part_of_module(torch: Any, module: Any) -> Part:
    """The part of one of torch.nn's modules."""
    nn, values = torch.nn, {name: one.detach().cpu() for name, one in module.state_dict().items()}
    arrays = {name: tensor.numpy() for name, tensor in values.items() if tensor.dtype in (torch.float32, torch.float64)}
    for name, tensor in values.items():
        if name not in arrays and tensor.is_floating_point():
            came = f"{tensor.dtype} in {type(module).__name__}; call .float() first"
            raise TypeError(f"module: expected parameters of float32 or float64, got {came}")
    if type(module) is nn.Linear:
        return affine(arrays["weight"].T, arrays.get("bias"))
    if type(module) is nn.BatchNorm1d:
        if "running_mean" not in arrays:
            raise refuse("module", "BatchNorm1d(track_running_stats=False)", "PyTorch", "track the statistics")
        momentum = 0.9 if module.momentum is None else 1.0 - module.momentum
        named = (arrays.get(name) for name in ("weight", "bias", "running_mean", "running_var"))
        return batch_norm(module.eps, momentum, *named)
    if type(module) is nn.PReLU:
        return Part(PRelu(), {"slope": arrays["weight"]})
    if type(module) is nn.Dropout:
        return plain(Dropout(module.p))
    if type(module) is nn.Flatten and (module.start_dim, module.end_dim) == (1, -1):
        return plain(Flatten())
    if type(module).__name__ == "Step" and not arrays:
        return plain(Step())
    for row in ROWS:
        if type(module) is getattr(nn, row.module):
            return _activation(row, lambda there, default: getattr(module, there, default))
    raise refuse("module", str(module), "PyTorch", LOGITS if type(module) is nn.LogSoftmax else "")
