"""A module of PyTorch as a chain of calls, first to last: its forward as torch.fx traces it in evaluation mode."""

import contextlib
import operator
from collections.abc import Iterator
from typing import Any

from fastnn.exchange.parts import refuse

SIZES = ("size", "dim", "numel")  # methods of a tensor that give no tensor
FACTS = ("shape", "ndim", "dtype", "device")


@contextlib.contextmanager
def evaluating(module: Any) -> Iterator[None]:
    """Evaluation mode for as long as the block runs; then each submodule has its own mode again.

    The attribute is set, as a user's `train` may do more than that.
    """
    modes = [(one, one.training) for one in module.modules()]
    try:
        for one, _ in modes:
            one.training = False
        yield
    finally:
        for one, mode in modes:
            one.training = mode


def chain_of(torch: Any, module: Any) -> tuple[Any, list[Any]]:
    """The module in which the calls name others, and the nodes of the calls."""
    from fastnn.exchange.torch_scale import Scale
    from fastnn.exchange.torch_step import Step

    class Tracer(torch.fx.Tracer):  # type: ignore[misc]
        def is_leaf_module(self, module: Any, name: str) -> bool:
            return type(module) in (Scale, Step) or bool(super().is_leaf_module(module, name))

    _refuse_hooks(module)
    tracer = Tracer()
    root = torch.nn.Sequential(module) if tracer.is_leaf_module(module, "") else module
    try:
        with evaluating(module):
            graph = tracer.trace(root)
    except Exception as error:  # whatever a user's forward raises for a traced tensor
        remedy = "pass a torch.nn.Sequential of its layers"
        came = f"{type(module).__name__} whose forward cannot be traced ({error})"
        raise refuse("module", came, "PyTorch", remedy) from error
    return root, _chain(torch, list(graph.nodes))


def _refuse_hooks(module: Any) -> None:
    """Refuse a module of which something else than its class's forward computes the outputs."""
    for one in module.modules():
        for hook in (*one._forward_hooks.values(), *one._forward_pre_hooks.values()):
            came = f"{type(one).__name__} with the hook {getattr(hook, '__name__', type(hook).__name__)}"
            remedy = "remove the hook, as the remove() of its handle or torch.nn.utils.remove_weight_norm does"
            raise refuse("module", came, "PyTorch", remedy)
        if "forward" in vars(one):
            came = f"{type(one).__name__} whose forward is replaced"
            raise refuse(
                "module", came, "PyTorch", "pass the module that it was made of, or write the forward in a class"
            )


def _chain(torch: Any, nodes: list[Any]) -> list[Any]:
    """The nodes from the input to the output; others that compute with tensors are refused."""
    node, chain = nodes[-1].args[0], list[Any]()
    while getattr(node, "op", "") != "placeholder":
        if not isinstance(node, torch.fx.Node):
            raise refuse("module", f"the output {node}", "PyTorch", "return one tensor")
        sources = [one for one in node.all_input_nodes if not is_size(one)]
        if len(sources) != 1:
            raise refuse("module", f"{node}, which has {len(sources)} inputs", "PyTorch")
        chain.append(node)
        node = sources[0]
    first = next(one for one in nodes if one.op == "placeholder")
    if node is not first:
        came = f"a forward whose outputs depend on {node}, not on {first}"
        raise refuse("module", came, "PyTorch", "pass a module of one tensor")
    for one in nodes:
        if one.op not in ("placeholder", "output") and one not in chain and not is_size(one):
            came = f"{one}, whose result no further layer takes"
            raise refuse("module", came, "PyTorch", "leave it out, or assign its result, as in x = torch.relu(x)")
    return chain[::-1]


def is_size(node: Any) -> bool:
    """Whether a value of a traced forward is a size, not a tensor."""
    if node.op == "call_method":
        return node.target in SIZES
    if node.op != "call_function":
        return False
    if node.target is getattr:
        return node.args[1] in FACTS
    return bool(node.all_input_nodes) and all(is_size(one) for one in node.all_input_nodes)


def is_batch_size(value: Any) -> bool:
    """Whether an argument is the number of rows, which is the same for all tensors of a chain."""
    target, args = getattr(value, "target", None), tuple[Any, ...](getattr(value, "args", ()))
    if target == "size":
        return (*args[1:], *value.kwargs.values()) == (0,)
    if target is not operator.getitem or args[1] != 0:
        return False
    whole = args[0]
    return whole.args[1:] == (("shape",) if whole.target is getattr else ()) and is_size(whole)
