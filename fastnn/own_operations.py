"""A user's own operations: plain Python functions of numbers, compiled and then used like fastnn's.

Each function here makes a class and registers it under its name, where networks, gradient checks and files find it.
The user's functions are tried when the class is made.
"""

import keyword
import math
from collections.abc import Callable, Mapping
from dataclasses import field, make_dataclass
from typing import Any

import numpy as np

from fastnn import operations
from fastnn.gate import arrays, checks
from fastnn.gate.slips import answers_slips
from fastnn.kernels.compile import own_formula, what_prevents_compiling
from fastnn.operations import base, columns
from fastnn.operations.base import Activation, Layer
from fastnn.operations.links import Elements
from fastnn.operations.losses import base as losses
from fastnn.operations.losses.base import Loss
from fastnn.operations.updates import base as updates
from fastnn.operations.updates.base import Optimizer

# Where a user's functions are tried: both sides of 0, small, usual and large; no likely kink is among them.
TRIED = (-20.0, -2.9, -1.1, -0.43, -0.013, 0.017, 0.31, 0.87, 2.7, 15.0)
TARGETS = (0.0, 1.0, -1.3)
STEP = 1e-5
TOLERANCE = 1e-4  # of a derivative to its difference quotient, relative to the largest of both and 1
NOT_FREE = {*dir(Layer), *Layer.__annotations__}  # names that a layer's parameters cannot take
_made: set[type] = set()


@answers_slips
def activation(
    f: Callable[[Any], Any], *, derivative: Callable[[Any, Any], Any], name: str, has_kink: bool = False
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
    has_kink : bool
        Whether the derivative jumps at 0.

    Returns
    -------
    type
        `Mish = fastnn.activation(...)`, then `fastnn.Network([Affine(4, 3), Mish(), Affine(3, 2)])`.

    Raises
    ------
    TypeError, ValueError
        If Numba does not compile a function, a value is not finite, or the derivative is not that of f.
    """
    has_kink = arrays.flag("has_kink", has_kink)
    name, title = _name(name, operations.ACTIVATIONS)
    value, slope = own_formula(f), own_formula(derivative)
    _compiles("f", f, value, 1)
    _compiles("derivative", derivative, slope, 2)
    for x in TRIED:
        y = _finite("f", f, x)
        _compare("derivative", _finite("derivative", derivative, x, y), f, x)

    @own_formula
    def of_x(x: Any, p: Any) -> Any:
        return value(x)

    @own_formula
    def of_x_and_y(x: Any, y: Any, p: Any) -> Any:
        return slope(x, y)

    body = {
        "__doc__": f"y = {_text(f)}, an activation of your own.",
        "activation": name,
        "has_kink": has_kink,
        "units": base.units_of(of_x, of_x_and_y),
        "link": Elements(sums=True),
    }
    made = make_dataclass(title, [], bases=(Activation,), namespace=body, frozen=True)
    found: type[Activation] = _register(made, f, (operations.ACTIVATIONS, name), (operations.LAYERS, title))
    return found


@answers_slips
def layer(
    f: Callable[..., Any],
    *,
    derivative: Callable[..., Any],
    parameters: Mapping[str, float],
    name: str,
    has_kink: bool = False,
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
        One to three names with their initial values, the same for all units, such as {"beta": 1.0}.
    name : str
        A lower-case identifier such as "swish". The class is called by it, Swish; files and errors use that.
    has_kink : bool
        Whether the derivative jumps at x = 0.

    Returns
    -------
    type
        `Swish = fastnn.layer(...)`, then `fastnn.Network([Affine(4, 3), Swish(), Affine(3, 2)])`; `Swish(beta=0.5)`
        begins at another value. `net.params["beta1"]` (outputs,) holds the first layer's parameters. Regularization
        leaves them alone.

    Raises
    ------
    TypeError, ValueError
        If Numba does not compile a function, a value is not finite, or a derivative is not f's. They are tried at the
        parameters' initial values, and at others near them.
    """
    has_kink = arrays.flag("has_kink", has_kink)
    name, title = _name(name, operations.ACTIVATIONS)
    starts = _beginnings(parameters)
    count = len(starts)
    value, slopes = own_formula(f), own_formula(derivative)
    _compiles("f", f, value, 1 + count)
    _compiles("derivative", derivative, slopes, 1 + count)
    for x in TRIED:
        for others in (starts.values(), [p + math.copysign(0.3 * abs(p) + 0.1, p) for p in starts.values()]):
            _try_slopes(f, derivative, ("x", *starts), (x, *others))
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
        "__doc__": f"y = {_text(f)}(x, {', '.join(starts)}), a layer of your own.",
        "has_kink": has_kink,
        "units": columns.units_of_columns(own_formula(of_columns[count]), own_formula(by_all[count])),
    }
    made_of = [(one, float, field(default=start)) for one, start in starts.items()]
    made = make_dataclass(title, made_of, bases=(columns.ColumnLayer,), namespace=body, frozen=True)
    found: type[Any] = _register(made, f, (operations.LAYERS, title))
    return found


@answers_slips
def loss(
    value: Callable[[Any, Any], Any], *, derivative: Callable[[Any, Any], Any], name: str, has_kink: bool = False
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

    Returns
    -------
    type
        Targets are values (N, K) of the outputs' dtype.
    """
    has_kink = arrays.flag("has_kink", has_kink)
    name, title = _name(name, operations.LOSSES)
    of_pair, slope = own_formula(value), own_formula(derivative)
    _compiles("value", value, of_pair, 2)
    _compiles("derivative", derivative, slope, 2)
    for t in TARGETS:
        for y in TRIED:
            _finite("value", value, y, t)
            _compare("derivative", _finite("derivative", derivative, y, t), _along(value, (y, t), 0), y)

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
        "__doc__": f"sum({_text(value)}), a loss of your own; targets (N, K).",
        "name": name,
        "has_kink": has_kink,
        "units": losses.units_of(of_output, by_output, change),
    }
    made = make_dataclass(title, [], bases=(Loss,), namespace=body, frozen=True)
    found: type[Loss] = _register(made, value, (operations.LOSSES, name))
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
    """
    name, title = _name(name, operations.UPDATES)
    state = arrays.integer("state", state, 0, 2)
    usual = _starts("rates", rates, len(updates.OWN_RATES))
    numbers = (0.01, *usual.values())
    kept = (0.0, 0.0, (0.0, 0.0))[state]
    for p in TRIED:
        for g in (-0.7, 0.0, 1.9):
            found = update(p, g, kept, numbers)
            shape_fits = isinstance(found, tuple) and len(found) == 2 and np.shape(found[1]) == np.shape(kept)
            if not shape_fits or not np.isfinite([found[0], *np.ravel(found[1])]).all():
                what = ("0.0", "a number", "a tuple of 2 numbers")[state]
                came = f"{checks.shown(found)} for p={p}, g={g}"
                raise ValueError(f"update: expected (p, s), finite, where s is {what}, got {came}; return both")
    places = dict(zip(usual, updates.OWN_RATES, strict=False))

    def own(self: Any) -> dict[int, float]:
        return {place: getattr(self, one) for one, place in places.items()}

    body = {
        "__doc__": f"{_text(update)}, an optimizer of your own.",
        "update": name,
        "unit": updates.unit_of(own_formula(update), state, len(usual)),
        "keeps": ("state", "other_state")[:state],
        "in_unit_interval": tuple(usual),
        "_own": own,
    }
    columns = [(one, float, field(default=start)) for one, start in usual.items()]
    made = make_dataclass(title, columns, bases=(Optimizer,), namespace=body, frozen=True, repr=False)
    result: type[Optimizer] = _register(made, update, (operations.UPDATES, name), (operations.OPTIMIZERS, title))
    return result


def _name(name: Any, taken: Mapping[str, type]) -> tuple[str, str]:
    """A name and its class's name: "my_mish" and MyMish. fastnn's own are refused; a user's own may be made anew."""
    if not isinstance(name, str) or not name.isidentifier() or name != name.lower():
        came = checks.shown(name)
        raise ValueError(f'name: expected a lower-case identifier such as "mish", got {came}; pass another')
    title = "".join(part.capitalize() for part in name.split("_"))
    for kind in (taken.get(name), operations.LAYERS.get(title), operations.OPTIMIZERS.get(title)):
        if kind is not None and kind not in _made:
            raise ValueError(f"name: expected one that fastnn does not use itself, got {name!r}; pass another")
    return name, title


def _register(made: type, function: Any, *places: tuple[dict[str, Any], str]) -> Any:
    """Register a class where the rest of fastnn looks for it."""
    made.__module__ = getattr(function, "__module__", made.__module__)
    _made.add(made)
    for table, key in places:
        table[key] = made
    return made


def _starts(name: str, numbers: Any, most: int) -> dict[str, float]:
    """The names with their usual numbers."""
    if not isinstance(numbers, Mapping) or len(numbers) > most:
        expected = f"{name}: expected a mapping of at most {most} names to numbers"
        raise TypeError(f'{expected}, got {checks.shown(numbers)}; pass one such as {{"beta1": 0.9}}')
    for key in numbers:
        if not isinstance(key, str) or not key.isidentifier() or key in ("lr", "clip_value", "clip_norm"):
            raise ValueError(f"{name}: expected identifiers, got {checks.shown(key)}; pass another name")
    return {key: arrays.real(f"{name}[{key!r}]", number, minimum=0.0, below=1.0) for key, number in numbers.items()}


def _beginnings(numbers: Any) -> dict[str, float]:
    """The names of a layer's parameters with their initial values."""
    if not isinstance(numbers, Mapping) or not 1 <= len(numbers) <= columns.MOST:
        expected = f"parameters: expected a mapping of 1 to {columns.MOST} names to numbers"
        raise TypeError(f'{expected}, got {checks.shown(numbers)}; pass one such as {{"beta": 1.0}}')
    for key in numbers:
        if not isinstance(key, str) or not key.isidentifier() or keyword.iskeyword(key) or key in NOT_FREE:
            raise ValueError(f"parameters: expected identifiers, got {checks.shown(key)}; pass another name")
        if key[-1].isdigit():
            raise ValueError(f"parameters: expected names without a digit at the end, got {key!r}; networks add one")
    return {key: arrays.real(f"parameters[{key!r}]", number) for key, number in numbers.items()}


def _try_slopes(f: Any, derivative: Any, names: tuple[str, ...], at: tuple[float, ...]) -> None:
    """Refuse derivatives by x and by parameters that are not the difference quotients of f."""
    _finite("f", f, *at)
    found = derivative(*at)
    if not isinstance(found, tuple) or len(found) != len(at):
        expected = f"derivative: expected a tuple of {len(at)} numbers, by {', '.join(names)}"
        raise ValueError(f"{expected}, got {checks.shown(found)}; return one number for each")
    for i, one in enumerate(names):
        slope = _finite(f"derivative by {one}", lambda *_, i=i: found[i], *at)
        others = ", ".join(f"{name} = {number:g}" for name, number in zip(names, at, strict=True) if name != one)
        _compare(f"derivative by {one}", slope, _along(f, at, i), at[i], f" and {others}")


def _text(function: Any) -> str:
    return str(getattr(function, "__name__", "a function"))


def _finite(name: str, function: Callable[..., Any], *at: Any) -> float:
    """A function's value at some numbers; refused if it is not a finite number."""
    found = function(*at)
    if not isinstance(found, float | int | np.floating | np.integer) or not math.isfinite(found):
        places = ", ".join(f"{number:g}" if isinstance(number, float) else str(number) for number in at)
        raise ValueError(f"{name}: expected a finite number at {places}, got {checks.shown(found)}; mend the function")
    return float(found)


def _along(f: Any, at: tuple[float, ...], i: int) -> Callable[[float], Any]:
    """f as a function of one of its arguments."""
    return lambda number: f(*at[:i], number, *at[i + 1 :])


def _compare(name: str, slope: Any, f: Callable[[float], Any], at: float, where: str = "") -> None:
    """Refuse a derivative that is not the difference quotient."""
    step = STEP * max(1.0, abs(at))
    quotient = float(f(at + step) - f(at - step)) / (2 * step)
    if not abs(slope - quotient) <= TOLERANCE * max(1.0, abs(quotient), abs(slope)):
        expected = f"{name}: expected the derivative, {quotient:.6g} at {at:g}{where} by a difference quotient"
        raise ValueError(f"{expected}, got {slope:.6g}; mend the derivative or the function")


def _compiles(name: str, function: Any, compiled: Any, count: int) -> None:
    """Refuse a function that Numba does not compile for float64."""
    problem = what_prevents_compiling(compiled, count)
    if problem:
        expected = f"{name}: expected a function of {count} numbers that Numba compiles"
        raise TypeError(f"{expected}, got {_text(function)}; Numba says: {problem}")
