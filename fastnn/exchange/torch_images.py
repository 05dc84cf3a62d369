"""Layers of images in PyTorch: convolutions, pools, and dropout of channels."""

from typing import Any

from fastnn.exchange.parts import Part, conv2d, one_of, plain, refuse
from fastnn.layers import AvgPool2d, Conv2d, Dropout2d, MaxPool2d

# Arguments after the tensor, by position, with the defaults of the functions.
POOLS: dict[str, tuple[Any, dict[str, Any]]] = {
    "max_pool2d": (MaxPool2d, {"kernel_size": None, "stride": None, "padding": 0, "dilation": 1, "ceil_mode": False}),
    "avg_pool2d": (
        AvgPool2d,
        {"kernel_size": None, "stride": None, "padding": 0, "ceil_mode": False, "count_include_pad": True},
    ),
}
# For these values the formulas are the same.
ALLOWED = {"ceil_mode": False, "return_indices": False, "divisor_override": None, "dilation": 1}
MODULES = {"MaxPool2d": "max_pool2d", "AvgPool2d": "avg_pool2d"}


def part_of_images(torch: Any, module: Any, weight: Any, bias: Any) -> Part | None:
    """The part of a convolution, whose arrays come as arrays, of a pool, ...; None for other modules."""
    kind, name = type(module), type(module).__name__
    if kind is torch.nn.Conv2d:
        padding = module.padding
        if padding == "same" and one_of(module.stride) == 1 and all(size % 2 for size in module.kernel_size):
            padding = tuple(size // 2 for size in module.kernel_size)
        numbers = [one_of(one) for one in (module.stride, 0 if padding == "valid" else padding)]
        is_plain = module.groups == 1 and one_of(module.dilation) == 1 and module.padding_mode == "zeros"
        if None in numbers or (isinstance(padding, str) and padding != "valid") or not is_plain:
            remedy = "use one stride and one padding of zeros for both axes, groups=1 and dilation=1"
            raise refuse("module", str(module), "PyTorch", remedy)
        return conv2d(weight, bias, *numbers)
    if name in MODULES and kind is getattr(torch.nn, name):
        given = {key: getattr(module, key) for key in (*POOLS[MODULES[name]][1], *ALLOWED) if hasattr(module, key)}
        return pool(MODULES[name], given, str(module))
    return plain(Dropout2d(module.p)) if kind is torch.nn.Dropout2d else None


def pool(name: str, given: dict[str, Any], came: str) -> Part:
    """The part of a pool with these arguments."""
    kind, usual = POOLS[name]
    options = usual | {key: one for key, one in given.items() if one is not None}
    size, steps = (tuple(one) if isinstance(one, list) else one for one in (options["kernel_size"], options["stride"]))
    padding, stride = one_of(options["padding"]), None if steps in (None, (), size) else one_of(steps)
    has_steps = stride is not None or steps in (None, (), size)
    is_usual = all(one_of(options.get(key, value)) == value for key, value in ALLOWED.items())
    is_mean_of_all = options.get("count_include_pad", True) or padding == 0
    if not (has_steps and is_usual and is_mean_of_all) or padding is None or options.keys() - {*usual, *ALLOWED}:
        remedy = "use one stride and one padding for both axes, and leave the other arguments at their defaults"
        raise refuse("module", came, "PyTorch", remedy)
    return plain(kind(size, stride, padding))


def module_of_images(torch: Any, layer: Any, weight: Any) -> Any:
    """The module of a convolution, without its values, of a pool, ...; None for other layers."""
    nn = torch.nn
    if isinstance(layer, Conv2d):
        options = {"stride": layer.stride, "padding": layer.padding, "dtype": weight.dtype}
        sizes = layer.in_channels, layer.out_channels, layer.window.size
        return nn.utils.skip_init(nn.Conv2d, *sizes, **options)
    if isinstance(layer, MaxPool2d | AvgPool2d):
        return getattr(nn, type(layer).__name__)(layer.kernel_size, layer.stride, layer.padding)
    return nn.Dropout2d(layer.rate) if isinstance(layer, Dropout2d) else None
