"""Operations on arrays: each checks its arguments, allocates or checks its output, and calls one compiled kernel.

Arrays are float32 or float64, all of one dtype, C-contiguous (others are converted where that is exact, see
fastnn.gate.arrays). NaN and infinities pass through as in NumPy. Results have the same bits on any number of threads.
Shape letters: N batch, D inputs and H outputs of a layer, K classes.
"""

import functools
import math
from typing import Any

import numpy as np
from numpy import ndarray

from fastnn.engine import spare, threads
from fastnn.engine.interpreters import jobs, on_arrays
from fastnn.engine.short import LARGE, SCRATCH, SMALL, SMALL_PRODUCT, Way, Ways, on_threads
from fastnn.gate import arrays
from fastnn.gate.arrays import Array
from fastnn.gate.slips import remedy
from fastnn.kernels.matmul import scratch_size
from fastnn.operations import ACTIVATIONS
from fastnn.operations.activations.softmax import Softmax
from fastnn.operations.affine import affine_products
from fastnn.operations.base import work_of

_forward, _backward, _backward_of_first = Way(), Way(), Way()  # the last without dx
_activations, _derivatives = Ways(), Ways()  # by class
_with_option, _derivatives_with_option = Ways(), Ways()  # which first take the activation's numbers


def _new_scratch(parts: int, dtype: Any) -> Array:
    return np.empty((parts, SCRATCH), dtype)


def _new_sums(parts: int) -> Array:
    return np.empty((parts, jobs.SUMS))


def affine_forward(x: Any, W: Any, b: Any, *, out: Any = None) -> Array:
    """y = x W + b.

    Parameters
    ----------
    x : array (N, D)
    W : array (D, H)
    b : array (H,)
    out : array (N, H), optional
        Receives y; must not overlap an input.

    Returns
    -------
    array (N, H)

    Raises
    ------
    TypeError, ValueError
        For a wrong type, dtype or shape; the message says what was expected.

    Examples
    --------
    >>> x = np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> W = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
    >>> b = np.array([0.0, 0.0, 10.0])
    >>> fastnn.affine_forward(x, W, b)
    array([[ 1.,  2., 13.],
           [ 3.,  4., 17.]])
    """
    found = _forward.call(x, W, b, out)
    if type(found) is ndarray:
        return found
    found = on_threads(found, _forward, x, W, b, out)
    if type(found) is ndarray:
        return found
    if found == LARGE:
        y = np.empty((x.shape[0], W.shape[1]), x.dtype) if out is None else out
    else:
        x = arrays.floats("x", x, ("N", "D"), dtype=arrays.shared_dtype(x, W))
        W = arrays.floats("W", W, (x.shape[1], "H"), dtype=x.dtype)
        b = arrays.floats("b", b, (W.shape[1],), dtype=x.dtype)
        y = arrays.output("out", out, (x.shape[0], W.shape[1]), x.dtype, (("x", x), ("W", W), ("b", b)))
    parts, door = threads.get_num_threads(), on_arrays.affine_forward
    memory = spare.take(parts, scratch_size(*W.shape), x.dtype)
    units = on_arrays.rows_part.address(x.dtype), affine_products.address(x.dtype)
    threads.run(door, 2.0 * x.size * W.shape[1], math.inf, *units, memory, x, W, b, y, n_threads=parts)
    spare.give_back(memory)
    if not _forward.knows(x.dtype):
        _forward.learn_up_to(SMALL_PRODUCT, door, x.dtype, *units, functools.partial(_new_scratch, dtype=x.dtype))
    return y


def affine_backward(
    dy: Any, x: Any, W: Any, *, need_dx: bool = True, out: tuple[Any, Any, Any] | None = None
) -> tuple[Array | None, Array, Array]:
    """dx = dy W^T, dW = x^T dy, db = the sum of dy over the batch: the gradients of y = x W + b, summed over the batch.

    Parameters
    ----------
    dy : array (N, H)
        Gradient of the loss by y.
    x : array (N, D)
    W : array (D, H)
    need_dx : bool
        False leaves dx out (None is returned): a first layer has no use for it.
    out : (dx, dW, db), optional
        Receive the results; each may be None, and may overlap neither an input nor another one.

    Returns
    -------
    dx (N, D) or None, dW (D, H), db (H,)

    Notes
    -----
    Source: Rumelhart, Hinton and Williams, Nature 323 (1986), 533-536.

    Examples
    --------
    >>> x = np.array([[1.0, 2.0]])
    >>> W = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
    >>> dy = np.array([[1.0, 2.0, 3.0]])  # the gradient of a loss by y = x W + b
    >>> dx, dW, db = fastnn.affine_backward(dy, x, W)
    >>> dx, db
    (array([[4., 5.]]), array([1., 2., 3.]))
    >>> dW
    array([[1., 2., 3.],
           [2., 4., 6.]])
    """
    given = (None, None, None) if out is None else out
    found = None
    if type(given) is tuple:
        if need_dx is True:
            arguments = (dy, x, W, *given)
            found = on_threads(_backward.call(*arguments), _backward, *arguments)
        elif need_dx is False:
            arguments = (dy, x, W, x, *given[1:])
            found = on_threads(_backward_of_first.call(*arguments), _backward_of_first, *arguments)
    if type(found) is tuple:
        return found if need_dx else (None, *found[1:])
    need_dx = arrays.flag("need_dx", need_dx)
    dx, dW, db = (None, None, None) if out is None else arrays.three("out", out)
    if found == LARGE:
        dx = x if not need_dx else np.empty_like(x) if dx is None else dx
        dW = np.empty_like(W) if dW is None else dW
        db = np.empty(W.shape[1], x.dtype) if db is None else db
    else:
        x = arrays.floats("x", x, ("N", "D"), dtype=arrays.shared_dtype(x, W))
        W = arrays.floats("W", W, (x.shape[1], "H"), dtype=x.dtype)
        dy = arrays.floats("dy", dy, (x.shape[0], W.shape[1]), dtype=x.dtype)
        taken = [("dy", dy), ("x", x), ("W", W)]
        dx = arrays.output("out[0]", dx, x.shape, x.dtype, taken) if need_dx else x  # which is not written then
        taken += [("out[0]", dx)] * need_dx
        dW = arrays.output("out[1]", dW, W.shape, x.dtype, taken)
        db = arrays.output("out[2]", db, W.shape[1:], x.dtype, [*taken, ("out[1]", dW)])
    parts = threads.get_num_threads()
    sizes = (
        scratch_size(W.shape[1], W.shape[0], "right") if need_dx else 0,
        scratch_size(dy.shape[0], dy.shape[1], "left"),
    )
    memory = spare.take(parts, max(sizes), x.dtype)
    work = (4.0 if need_dx else 2.0) * x.size * W.shape[1]
    sums = np.empty((parts, jobs.SUMS))
    units = (
        on_arrays.backward_part.address(x.dtype),
        affine_products.address(x.dtype) if need_dx else 0,
        affine_products.address(x.dtype),
    )
    door = on_arrays.affine_backward
    threads.run(door, work, math.inf, *units, memory, sums, dy, x, W, dx, dW, db, n_threads=parts)
    spare.give_back(memory)
    way = _backward if need_dx else _backward_of_first
    if not way.knows(x.dtype):
        way.learn_up_to(SMALL_PRODUCT, door, x.dtype, *units, functools.partial(_new_scratch, dtype=x.dtype), _new_sums)
    return dx if need_dx else None, dW, db


def activation_forward(name: str, x: Any, *, out: Any = None, **option: float) -> Array:
    """y = f(x), element by element; for softmax along the last axis.

    Parameters
    ----------
    name : str
        The activation:

        - identity: y = x
        - step: y = 1 where x > 0, at_zero where x = 0, else 0, also for NaN
        - sigmoid: y = 1 / (1 + exp(-x))
        - tanh: y = tanh(x)
        - relu: y = max(0, x) (Nair and Hinton, 2010)
        - leaky_relu: y = x where x > 0, else slope x (Maas, Hannun and Ng, 2013)
        - elu: y = x where x > 0, else alpha (exp(x) - 1) (Clevert, Unterthiner and Hochreiter, 2016)
        - gelu: y = x Phi(x) with the standard normal distribution Phi, (1 + erf(x / sqrt(2))) / 2
        - silu: y = x / (1 + exp(-x)), also called swish (Elfwing, Uchibe and Doya, 2018)
        - softplus: y = log(1 + exp(x)) (Dugas et al., 2001)
        - softmax: y = exp(x) / sum(exp(x)) over each row
    x : array of any shape
    out : array like x, optional
        Receives y; may be x itself.
    **option : float
        at_zero of step, slope of leaky_relu, alpha of elu: the activation's one parameter, if it has one.

    Returns
    -------
    array like x

    Examples
    --------
    >>> x = np.array([-2.0, 0.0, 3.0])
    >>> fastnn.activation_forward("relu", x)
    array([0., 0., 3.])
    >>> fastnn.activation_forward("leaky_relu", x, slope=0.1)
    array([-0.2,  0. ,  3. ])
    >>> fastnn.activation_forward("sigmoid", x).round(3)
    array([0.119, 0.5  , 0.953])
    """
    try:
        kind = ACTIVATIONS[name]
        given: tuple[Any, ...]
        if option:
            way, given = _with_option[kind], (_numbers("activation_forward", name, option), x, out)
        else:
            way, given = _activations[kind], (x, out)
        found = way.call(*given)
        if type(found) is ndarray:
            return found
        found = on_threads(found, way, *given)
        if type(found) is ndarray:
            return found
    except (KeyError, TypeError):  # no name, or a wrong option
        found = None
    name = arrays.choice("name", name, ACTIVATIONS)
    numbers = _numbers("activation_forward", name, option)
    if found == LARGE:
        y: Array = np.empty_like(x) if out is None else out
    else:
        x = arrays.floats("x", x)
        y = arrays.output("out", out, x.shape, x.dtype, (("x", x),), in_place=("x",))
    each, door = ACTIVATIONS[name].work[0], on_arrays.activation_forward
    chosen = ACTIVATIONS[name]
    units = on_arrays.rows_part.address(x.dtype), chosen.units.forward.address(x.dtype), chosen.takes_elements
    threads.run(door, work_of(each, x), math.inf, *units, numbers, *_rows(name, x, y))
    if found == LARGE:
        return y
    ways, first = (_with_option, units) if option else (_activations, (*units, numbers))
    ways[ACTIVATIONS[name]].learn_up_to(SMALL / work_of(each, np.empty(1, x.dtype)), door, x.dtype, *first)
    return y


def activation_backward(name: str, dy: Any, x: Any, y: Any, *, out: Any = None, **option: float) -> Array:
    """dx = dy f'(x), with y = activation_forward(name, x); for softmax dy times its Jacobian.

    At x = 0 the derivative is the negative side's: 0 for relu and step, slope for leaky_relu, alpha for elu.

    Parameters
    ----------
    name, option
        As for `activation_forward`.
    dy, x, y : arrays of one shape
    out : array like x, optional
        Receives dx; may be dy itself.

    Returns
    -------
    array like x

    Examples
    --------
    >>> x, dy = np.array([-2.0, 0.0, 3.0]), np.array([1.0, 1.0, 10.0])
    >>> y = fastnn.activation_forward("relu", x)
    >>> fastnn.activation_backward("relu", dy, x, y)  # nothing passes where x <= 0
    array([ 0.,  0., 10.])
    """
    try:
        kind = ACTIVATIONS[name]
        given: tuple[Any, ...]
        if option:
            way, given = _derivatives_with_option[kind], (_numbers("activation_backward", name, option), dy, x, y, out)
        else:
            way, given = _derivatives[kind], (dy, x, y, out)
        found = way.call(*given)
        if type(found) is ndarray:
            return found
        found = on_threads(found, way, *given)
        if type(found) is ndarray:
            return found
    except (KeyError, TypeError):  # no name, or a wrong option
        found = None
    name = arrays.choice("name", name, ACTIVATIONS)
    numbers = _numbers("activation_backward", name, option)
    if found == LARGE:
        dx: Array = np.empty_like(x) if out is None else out
    else:
        x = arrays.floats("x", x, dtype=arrays.shared_dtype(x, dy, y))
        dy = arrays.floats("dy", dy, x.shape, dtype=x.dtype)
        y = arrays.floats("y", y, x.shape, dtype=x.dtype)
        dx = arrays.output("out", out, x.shape, x.dtype, (("dy", dy), ("x", x), ("y", y)), in_place=("dy",))
    each, door = ACTIVATIONS[name].work[1], on_arrays.activation_backward
    chosen = ACTIVATIONS[name]
    units = on_arrays.rows_part.address(x.dtype), chosen.units.backward.address(x.dtype), chosen.takes_elements
    threads.run(door, work_of(each, x), math.inf, *units, numbers, *_rows(name, dy, x, y, dx))
    if found == LARGE:
        return dx
    ways, first = (_derivatives_with_option, units) if option else (_derivatives, (*units, numbers))
    ways[ACTIVATIONS[name]].learn_up_to(SMALL / work_of(each, np.empty(1, x.dtype)), door, x.dtype, *first)
    return dx


def _rows(name: str, *given: Array) -> list[Array]:
    """The arrays as matrices of the rows that an activation takes; single elements can be shared evenly."""
    width = 1 if ACTIVATIONS[name].takes_elements else given[0].shape[-1]
    return [array.reshape(-1, width) for array in given]


def _numbers(function: str, name: str, option: dict[str, float]) -> Array:
    """The numbers that an activation's units read, with the given option; refuses an option of another one."""
    kind: Any = ACTIVATIONS[name]
    if not option:
        return _usual_numbers(kind)
    for given, value in option.items():
        if given not in [each.option for each in ACTIVATIONS.values()]:
            known = ["name", *(["dy", "x", "y"] if function.endswith("backward") else ["x"]), "out"]
            known += [kind.option] if kind.option else []
            expected = f"{function}: expected arguments out of {', '.join(known)}"
            raise TypeError(f"{expected}, got {given}; {remedy(given, known)}")
        if given != kind.option:
            takes = f"the parameter of {name} is {kind.option}" if kind.option else f"{name} has no parameter"
            instead = f"pass {kind.option}={value!r}" if kind.option else "pass the name of an activation that has one"
            raise TypeError(f"{given}: expected it to be left out, as {takes}, got {value!r}; {instead}")
    return np.array(kind(**option).numbers())


@functools.cache
def _usual_numbers(kind: Any) -> Array:
    return np.array(kind().numbers())


def softmax(x: Any, *, out: Any = None) -> Array:
    """y = exp(x - max x) / sum(exp(x - max x)) along the last axis.

    It is right for finite x of any size. A row that holds +inf or NaN, or only -inf, becomes NaN.

    Parameters
    ----------
    x : array of any shape
    out : array like x, optional
        Receives y; may be x itself.

    Returns
    -------
    array like x

    Examples
    --------
    >>> p = fastnn.softmax(np.array([[1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 1000.0]]))
    >>> p
    array([[0.25, 0.25, 0.25, 0.25],
           [0.  , 0.  , 0.  , 1.  ]])
    >>> p.sum(axis=1)
    array([1., 1.])
    """
    y = _activations[Softmax].call(x, out)
    return y if type(y) is ndarray else activation_forward("softmax", x, out=out)
