"""A user's own operations: plain Python functions of numbers, compiled and then used like fastnn's.

Each function here makes a class and registers it under its name, where networks, gradient checks and files find it.
The user's functions are tried when the class is made.
"""

import contextlib
import copyreg
import importlib
import inspect
import math
import pickle
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field, make_dataclass
from typing import Any

import numpy as np

from fastnn import operations
from fastnn.gate import arrays, checks, trials
from fastnn.gate.slips import answers_slips
from fastnn.kernels.compile import own_formula, what_prevents_compiling
from fastnn.losses import WITHOUT_GRADIENT
from fastnn.operations import base, columns
from fastnn.operations.base import Activation, Layer, TrainedLayer
from fastnn.operations.links import Elements
from fastnn.operations.losses import elementwise
from fastnn.operations.losses.base import Loss
from fastnn.operations.updates import base as updates
from fastnn.operations.updates.base import Optimizer

DTYPES = (np.float32, np.float64)
# What a layer's parameters and an optimizer's rates cannot be called: attributes, and parameters of fastnn's layers.
TAKEN_BY_LAYERS = {
    *dir(columns.ColumnLayer),
    *Layer.__annotations__,
    *TrainedLayer.__annotations__,
    "b",
    "mean",
    "variance",
}
TAKEN_BY_OPTIMIZERS = {*dir(Optimizer), *Optimizer.__annotations__}


@answers_slips
def activation(
    f: Callable[[Any], Any],
    *,
    derivative: Callable[[Any, Any], Any],
    name: str,
    kinks: Iterable[float] = (),
    at: Iterable[float] = trials.TRIED,
) -> type[Activation]:
    """The class of an activation layer of your own.

    Parameters
    ----------
    f : function of x
        A plain function of one number, which Numba compiles: arithmetic, `math`, conditions.
    derivative : function of x and y
        f'(x), where y = f(x).
    name : str
        A lower-case identifier such as "mish". The class is called by it, Mish; files and errors use both.
    kinks : numbers
        The x at which the derivative jumps, such as (0,); there it is the slope below.
    at : numbers
        The values of x at which both functions are tried.

    Returns
    -------
    type
        `Mish = fastnn.activation(...)`, then `fastnn.Network([Affine(4, 3), Mish(), Affine(3, 2)])`.

    Raises
    ------
    TypeError, ValueError
        If Numba does not compile a function, it raises an exception, a value is not finite, or the derivative is not
        that of f.

    Examples
    --------
    >>> def cube(x):
    ...     return x * x * x
    >>> def by_x(x, y):
    ...     return 3.0 * x * x
    >>> Cube = fastnn.activation(cube, derivative=by_x, name="cube")
    >>> fastnn.activation_forward("cube", np.array([-1.0, 2.0]))
    array([-1.,  8.])
    >>> net = fastnn.Network([fastnn.Affine(4, 3), Cube(), fastnn.Affine(3, 2)])
    """
    bends = trials.numbers_of("kinks", kinks, 0)
    name, title = _name(name, "activation")
    f, value = _formula("f", f, "x")
    derivative, slope = _formula("derivative", derivative, "x, y")
    points = [(x,) for x in trials.numbers_of("at", at)]
    for point in points:
        y = trials.finite("f", f, "x", point)
        trials.compare("derivative", trials.finite("derivative", derivative, "x, y", (*point, y)), f, "x", point, 0)

    @own_formula
    def of_x(x: Any, p: Any) -> Any:
        return value(x)

    @own_formula
    def of_x_and_y(x: Any, y: Any, p: Any) -> Any:
        return slope(x, y)

    body = {
        "__doc__": f"y = {f.__name__}, an activation of your own.",
        "activation": name,
        "tried": (f, points),
        "source": (trials.source_of(f), trials.source_of(derivative), bends),
        "kinks": bends,
        "units": base.units_of(of_x, of_x_and_y),
        "link": Elements(sums=True),
    }
    made = make_dataclass(title, [], bases=(Activation,), namespace=body, frozen=True)
    found: type[Activation] = _register(
        made, f, "activation", (operations.ACTIVATIONS, name), (operations.LAYERS, title)
    )
    return found


@answers_slips
def layer(
    f: Callable[..., Any],
    *,
    derivative: Callable[..., Any],
    parameters: Mapping[str, float],
    name: str,
    kinks: Iterable[float] = (),
    at: Iterable[float] = trials.TRIED,
) -> type[Any]:
    """The class of a layer of your own with parameters for each unit, which are trained like weights.

    Parameters
    ----------
    f : function of x and the parameters
        A plain function of numbers, such as `def swish(x, beta)`, which Numba compiles: y of an element x and the
        parameters of its unit.
    derivative : function of x and the parameters
        The tuple of f's derivatives: by x, then by each parameter.
    parameters : mapping
        One to three names with their initial values, the same for all units, such as {"beta": 1.0}. Both functions take
        them in this order, by names of their own.
    name : str
        A lower-case identifier such as "swish". The class is called by it, Swish; files and errors use that.
    kinks : numbers
        The x at which the derivative jumps, such as (0,), whatever the parameters; there it is the slope below.
    at : numbers
        The values of x at which both functions are tried.

    Returns
    -------
    type
        `Swish = fastnn.layer(...)`, then `fastnn.Network([Affine(4, 3), Swish(), Affine(3, 2)])`; `Swish(beta=0.5)`
        begins at another value. `net.params["beta1"]` (outputs,) holds the first layer's parameters. Regularization
        leaves them alone.

    Raises
    ------
    TypeError, ValueError
        If Numba does not compile a function, it raises an exception, a value is not finite, or a derivative is not f's.
        They are tried at the parameters' initial values, and at others near them.

    Examples
    --------
    >>> def gain(x, factor):
    ...     return factor * x
    >>> def slopes(x, factor):  # by x, and by the factor
    ...     return factor, x
    >>> Gain = fastnn.layer(gain, derivative=slopes, parameters={"factor": 1.0}, name="gain")
    >>> net = fastnn.Network([fastnn.Affine(4, 3), Gain(factor=0.5), fastnn.Affine(3, 2)])
    >>> net.params["factor1"]
    array([0.5, 0.5, 0.5], dtype=float32)
    """
    bends = trials.numbers_of("kinks", kinks, 0)
    name, title = _name(name, "layer")
    starts = trials.named("parameters", parameters, 1, columns.MOST, TAKEN_BY_LAYERS)
    for one in starts:
        if one[-1].isdigit():
            expected = "parameters: expected names without a digit at the end"
            raise ValueError(f"{expected}, got {one!r}; networks add one")
    count, of = len(starts), ", ".join(["x", *starts])
    f, value = _formula("f", f, of)
    derivative, slopes = _formula("derivative", derivative, of)
    near = [p + math.copysign(0.3 * abs(p) + 0.1, p) for p in starts.values()]
    points = [(x, *others) for x in trials.numbers_of("at", at) for others in (starts.values(), near)]
    for point in points:
        trials.try_slopes(f, derivative, of, point)
    rest = (0.0,) * (columns.MOST - count)
    of_columns = {
        1: lambda x, a, b, c: value(x, a),
        2: lambda x, a, b, c: value(x, a, b),
        3: lambda x, a, b, c: value(x, a, b, c),
    }
    by_all = {
        1: lambda x, a, b, c: slopes(x, a) + rest,
        2: lambda x, a, b, c: slopes(x, a, b) + rest,
        3: lambda x, a, b, c: slopes(x, a, b, c),
    }
    body = {
        "__doc__": f"y = {f.__name__}(x, {', '.join(starts)}), a layer of your own.",
        "tried": (f, points),
        "source": (trials.source_of(f), trials.source_of(derivative), bends, tuple(starts.items())),
        "kinks": bends,
        "units": columns.units_of_columns(own_formula(of_columns[count]), own_formula(by_all[count])),
    }
    made_of = [(one, float, field(default=start)) for one, start in starts.items()]
    made = make_dataclass(title, made_of, bases=(columns.ColumnLayer,), namespace=body, frozen=True)
    found: type[Any] = _register(made, f, "layer", (operations.LAYERS, title))
    return found


@answers_slips
def loss(
    value: Callable[[Any, Any], Any],
    *,
    derivative: Callable[[Any, Any], Any],
    name: str,
    has_kink: bool = False,
    at: Iterable[Any] | None = None,
) -> type[Loss]:
    """The class of a loss of your own: the sum over the outputs of value(y, t), averaged over the batch.

    Parameters
    ----------
    value, derivative : functions of y and t
        Plain functions of one output and its target; the derivative is by y.
    name : str
        A lower-case identifier such as "focal"; `Network(loss="focal")` takes it, and the class is called by it.
    has_kink : bool
        Whether the derivative jumps somewhere.
    at : numbers or pairs, optional
        The outputs y at which both functions are tried, each with the targets 0 and 1, or pairs (y, t). A loss of
        probabilities passes at=(0.1, 0.5, 0.9).

    Returns
    -------
    type
        Targets are values (N, K) of the outputs' dtype. Both functions are evaluated in float64.

    Raises
    ------
    TypeError, ValueError
        As by `fastnn.activation`.

    Examples
    --------
    >>> def quartic(y, t):
    ...     return (y - t) ** 4
    >>> def by_y(y, t):
    ...     return 4.0 * (y - t) ** 3
    >>> Quartic = fastnn.loss(quartic, derivative=by_y, name="quartic")
    >>> net = fastnn.Network([fastnn.Affine(1, 1, init="zeros")], loss="quartic")
    >>> net.loss(np.array([[1.0], [1.0]]), np.array([[2.0], [1.0]]))  # (2^4 + 1^4) / 2
    8.5
    """
    has_kink = arrays.flag("has_kink", has_kink)
    name, title = _name(name, "loss")
    value, of_pair = _formula("value", value, "y, t", (np.float64,))
    derivative, slope = _formula("derivative", derivative, "y, t", (np.float64,))
    pairs = trials.pairs_of(at)
    for pair in pairs:
        trials.finite("value", value, "y, t", pair)
        trials.compare("derivative", trials.finite("derivative", derivative, "y, t", pair), value, "y, t", pair, 0)

    @own_formula
    def of_output(y: Any, t: Any, p: Any) -> Any:
        return of_pair(y, t)

    @own_formula
    def by_output(y: Any, t: Any, p: Any, value: Any) -> Any:
        return slope(y, t)

    @own_formula
    def change(d: Any, y: Any, t: Any, p: Any) -> Any:
        return of_pair(y + d, t) - of_pair(y, t)

    body = {
        "__doc__": f"sum({value.__name__}), a loss of your own; targets (N, K).",
        "name": name,
        "tried": (value, pairs),
        "source": (trials.source_of(value), trials.source_of(derivative), has_kink),
        "has_kink": has_kink,
        "units": elementwise.units_of(of_output, by_output, change, elementwise.in_float64),
    }
    made = make_dataclass(title, [], bases=(Loss,), namespace=body, frozen=True)
    found: type[Loss] = _register(made, value, "loss", (operations.LOSSES, name))
    return found


@answers_slips
def optimizer(update: Callable[..., Any], *, state: int, rates: Mapping[str, float], name: str) -> type[Optimizer]:
    """The class of an optimizer of your own.

    Parameters
    ----------
    update : function of p, g, s and rates
        p is a parameter, g its gradient, s its state (a number, a tuple of two, or 0.0 for none), rates a tuple of the
        learning rate and then your own rates. It returns the new (p, s).
    state : int
        The number of state values that each parameter has, 0, 1 or 2; they begin at 0.
    rates : mapping
        Your own rates with their usual values, such as {"beta1": 0.9}; at most three, each in [0, 1).
    name : str
        A lower-case identifier such as "lion"; the class is called by it.

    Returns
    -------
    type
        `Lion = fastnn.optimizer(...)`, then `net.fit(x, t, optimizer=Lion(lr=1e-4, beta1=0.95))`.

    Raises
    ------
    TypeError, ValueError
        If Numba does not compile the update, it raises an exception, or it does not return finite numbers (p, s).

    Examples
    --------
    >>> def signed(p, g, s, rates):  # steps of one size
    ...     return p - rates[0] * (1.0 if g > 0.0 else -1.0 if g < 0.0 else 0.0), s
    >>> Signed = fastnn.optimizer(signed, state=0, rates={}, name="signed")
    >>> net = fastnn.Network([fastnn.Affine(1, 1, init="zeros")], loss="mean_squared_error")
    >>> loss = net.step([[1.0]], [[5.0]], Signed(lr=0.25))
    >>> net.params["W1"], net.params["b1"]
    (array([[0.25]], dtype=float32), array([0.25], dtype=float32))
    """
    name, title = _name(name, "optimizer")
    state = arrays.integer("state", state, 0, 2)
    usual = trials.named("rates", rates, 0, len(updates.OWN_RATES), TAKEN_BY_OPTIMIZERS, minimum=0.0, below=1.0)

    def like(dtype: Any) -> tuple[Any, ...]:
        one = dtype(0.0)
        return one, one, (0.0, one, (one, one))[state], (one,) * (1 + len(usual))

    update, compiled = _formula("update", update, "p, g, s, rates", like=like)
    begin, numbers = (0.0, 0.0, (0.0, 0.0))[state], (0.01, *usual.values())
    points = [(p, g, begin, numbers) for p in trials.TRIED for g in (-0.7, 0.0, 1.9)]
    for point in points:
        trials.try_update(update, *point)
    places = dict(zip(usual, updates.OWN_RATES, strict=False))

    def own(self: Any) -> dict[int, float]:
        return {place: getattr(self, one) for one, place in places.items()}

    body = {
        "__doc__": f"{update.__name__}, an optimizer of your own.",
        "update": name,
        "tried": (update, points),
        "source": (trials.source_of(update), state, tuple(usual.items())),
        "unit": updates.unit_of(compiled, state, len(usual)),
        "keeps": ("state", "other_state")[:state],
        "in_unit_interval": tuple(usual),
        "_own": own,
    }
    columns = [(one, float, field(default=start)) for one, start in usual.items()]
    made = make_dataclass(title, columns, bases=(Optimizer,), namespace=body, frozen=True, repr=False)
    result: type[Optimizer] = _register(
        made, update, "optimizer", (operations.OPTIMIZERS, title), (operations.UPDATES, name)
    )
    return result


def _name(name: Any, role: str) -> tuple[str, str]:
    """A name and its class's name: "my_mish" and MyMish. fastnn's own are refused; a user's own may be made anew."""
    if not isinstance(name, str) or not trials.NAME.fullmatch(name):
        came = checks.shown(name)
        raise ValueError(f'name: expected a lower-case identifier such as "mish", got {came}; pass another')
    title, plain = "".join(part.capitalize() for part in name.split("_")), name.replace("_", "")
    tables: Any = (operations.LAYERS, operations.ACTIVATIONS, operations.LOSSES, operations.OPTIMIZERS)
    for table in (*tables, operations.UPDATES, WITHOUT_GRADIENT):
        for key, kind in table.items():
            if plain == key.replace("_", "").lower():
                theirs = operations.MADE.get(kind, ("",))[0]
                if not theirs:
                    raise ValueError(f"name: expected one that fastnn does not use itself, got {name!r}; pass another")
                if theirs != role or kind.__name__ != title:
                    came = f"{name!r}, the name of your own {theirs} {kind.__name__}"
                    raise ValueError(f"name: expected one that nothing else has, got {came}; pass another")
    return name, title


def _register(made: type, function: Any, role: str, *places: tuple[dict[str, Any], str]) -> Any:
    """Register a class where the rest of fastnn looks for it; by the first of the places it is pickled.

    Returns the class that is there if it was made of the same functions, as when a cell of a notebook runs again.
    """
    kind: Any = made
    table, key = places[0]
    if getattr(table.get(key), "source", None) == kind.source:
        return table[key]
    kind.__module__ = getattr(function, "__module__", made.__module__)
    kind.__reduce__, kind.__deepcopy__ = _reduced, lambda self, memo: self
    operations.MADE[made] = role, *places[0]
    for table, key in places:
        table[key] = made
    return answers_slips(made)


def _reduced(described: Any) -> tuple[Any, ...]:
    """How pickle writes a user's operation down: by its name, as files do."""
    kind = type(described)
    if kind not in operations.MADE:  # a subclass
        return copyreg.__newobj__, (kind,), vars(described)  # type: ignore[attr-defined]
    role, _, key = operations.MADE[kind]
    if operations.is_replaced(kind):
        raise pickle.PicklingError(f"expected the {role} {key} as it is defined now, got one made before; make it anew")
    return _made_again, (role, key, vars(described), kind.__module__)


def _made_again(role: str, key: str, values: dict[str, Any], module: str = "__main__") -> Any:
    """What was pickled; its module defines it where nobody has yet, as another process."""
    tables: Any = {"activation": operations.ACTIVATIONS, "layer": operations.LAYERS, "loss": operations.LOSSES}
    table: Any = tables.get(role, operations.OPTIMIZERS)
    if key not in table and module != "__main__":
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    if key not in table:
        remedy = f"define it first, by fastnn.{role}; other processes import a module that does, but not a main script"
        raise ValueError(f"pickle: expected your own {role} {key!r}, got none; {remedy}")
    return table[key](**values)


def _formula(
    name: str, given: Any, of: str, dtypes: tuple[Any, ...] = DTYPES, like: Any = None
) -> tuple[Callable[..., Any], Any]:
    """A user's function in Python and for kernels; refused unless it takes these arguments, and compiles for them."""
    function, arguments = getattr(given, "py_func", given), of.split(", ")
    remedy = f"write one: def {name}({of}): return ..."
    if like is not None:
        remedy += ", where with state=2 s is a tuple of both"
    if not isinstance(function, types.FunctionType):
        came = getattr(function, "__name__", checks.shown(function))
        raise TypeError(f"{name}: expected a Python function of {of}, got {came}; {remedy}")
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError:
        came = f"{function.__name__}{inspect.signature(function)}"
        raise TypeError(f"{name}: expected a Python function of {of}, got {came}; {remedy}") from None
    for dtype in dtypes:
        problem = what_prevents_compiling(function, *(like(dtype) if like else [dtype(0.0) for _ in arguments]))
        if problem:
            expected = f"{name}: expected a function of {of} that Numba compiles for {dtype.__name__}"
            raise TypeError(f"{expected} and that raises nothing, got {function.__name__}; {problem}")
    return function, own_formula(function)
