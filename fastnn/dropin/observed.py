"""Layers of images that meet a stand-in (fastnn/observing/tape.py): each is written down as one operation."""

import copy
from typing import Any

import numpy as np

from fastnn.observing.tape import record


def forward(layer: Any, kind: type, operation: str, x: Any, parameters: tuple[str, ...], sizes: tuple[str, ...]) -> Any:
    """layer.forward(x) as `kind` defines it, recorded as one operation of x and of the layer's parameters.

    Its sizes are keywords of the operation. Arrays that the layer keeps of the call, such as its windows, become
    stand-ins, too: they depend on x and the parameters, so a loss that reads them is not taken for another one.
    """
    plain: Any = copy.copy(layer)

    def run(x: Any, *values: Any, **_: Any) -> Any:
        vars(plain).update(zip(parameters, values, strict=True))
        return kind.forward(plain, x)  # type: ignore[attr-defined]

    given = (x, *(getattr(layer, name) for name in parameters))
    keywords = {name: getattr(layer, name) for name in sizes}
    out = record(operation, run, given, keywords)
    kept, before = dict(vars(plain)), dict(vars(layer))
    for name in before.keys() - kept.keys():
        delattr(layer, name)
    for name, value in kept.items():
        if name in parameters or (name in before and value is before[name]):
            continue
        if name == "x":
            layer.x = x
        elif isinstance(value, np.ndarray):

            def attribute(*arguments: Any, _name: str = name, **_: Any) -> Any:
                run(*arguments)
                return vars(plain)[_name]

            setattr(layer, name, record(f"{kind.__name__}.{name}", attribute, given, keywords))
        else:
            setattr(layer, name, value)
    return out
