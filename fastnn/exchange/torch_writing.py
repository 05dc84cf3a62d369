"""A network as a torch.nn.Sequential."""

from typing import Any

from fastnn.exchange.parts import Part, Scaling, imported, parts_of, refuse_to_write
from fastnn.exchange.torch_images import module_of_images
from fastnn.exchange.torch_rows import ROWS
from fastnn.layers import Affine, BatchNorm, Dropout, Flatten, PRelu, Softplus, Step

SOFTPLUS_BORDER = 40.0  # above it PyTorch's is x itself, which is exact in float64; its default of 20 is not


def torch_module(network: Any) -> Any:
    """The network as a module; see Network.to_torch."""
    torch = imported("torch", "torch")
    modules, shape = [], network.input_shape
    for part in parts_of(network):
        module = _module(torch, part, network.dtype, len(shape))
        shape = shape if isinstance(part.layer, Scaling) else part.layer.shape_of_output(shape)
        modules.append(module.requires_grad_(False) if part.arrays and not part.layer.update_factor else module)
    return torch.nn.Sequential(*modules).eval()


def _module(torch: Any, part: Part, dtype: Any, axes: int) -> Any:
    """The module of a part. axes: of one sample that it takes, 3 for images."""
    layer, arrays = part.layer, part.arrays
    nn, skip = torch.nn, torch.nn.utils.skip_init  # it draws no initial values from the user's generator
    tensors = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
    if isinstance(layer, Affine):
        W, b = tensors["W"], tensors["b"]
        return _filled(skip(nn.Linear, *W.shape, dtype=W.dtype), weight=W.T, bias=b)
    if isinstance(layer, BatchNorm):
        mean = tensors["mean"]
        options = {"eps": layer.epsilon, "momentum": round(1.0 - layer.momentum, 15), "dtype": mean.dtype}
        named = {"weight": "gamma", "bias": "beta", "running_mean": "mean", "running_var": "variance"}
        made = (nn.BatchNorm1d if axes == 1 else nn.BatchNorm2d)(mean.numel(), **options)
        return _filled(made, **{theirs: tensors[ours] for theirs, ours in named.items()})
    made = module_of_images(torch, layer, tensors.get("W"))
    if made is not None:
        return _filled(made, **({"weight": tensors["W"], "bias": tensors["b"]} if tensors else {}))
    if isinstance(layer, PRelu):
        slope = tensors["slope"]
        return _filled(skip(nn.PReLU, slope.numel(), dtype=slope.dtype), weight=slope.reshape(-1))
    if isinstance(layer, Dropout):
        return nn.Dropout(layer.rate)
    if isinstance(layer, Flatten):
        return nn.Flatten()
    if isinstance(layer, Scaling):
        from fastnn.exchange import torch_scale

        return torch_scale.Scale(layer.factor, getattr(torch, dtype.name))
    if isinstance(layer, Step):
        from fastnn.exchange import torch_step

        return torch_step.Step(layer.at_zero)
    if isinstance(layer, Softplus):
        return nn.Softplus(threshold=SOFTPLUS_BORDER)
    for row in ROWS:
        if type(layer) is row.layer:
            options = {row.option[1]: getattr(layer, row.option[0])} if row.option else {}
            return getattr(nn, row.module)(**options, **{one.name: one.value for one in row.fixed})
    raise refuse_to_write(layer, "PyTorch")


def _filled(module: Any, **tensors: Any) -> Any:
    """The module with these values."""
    for name, tensor in tensors.items():
        getattr(module, name).data.copy_(tensor)
    return module
