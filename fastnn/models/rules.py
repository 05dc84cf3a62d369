"""Two learning rules for a layer of linear outputs: Hebb's, and the delta rule."""

from typing import Any

from fastnn.functional import layers as functional
from fastnn.functional import losses as functional_losses
from fastnn.functional import updates as functional_updates
from fastnn.gate import arrays

REDUCTIONS = ("mean", "sum")


def hebbian_update(W: Any, x: Any, y: Any, lr: float) -> None:
    """W += lr x^T y, in place: w[i, j] grows by lr x[i] y[j], summed over the batch.

    Parameters
    ----------
    W : array (D, H)
        Overwritten.
    x : array (N, D)
        Activities before the connections.
    y : array (N, H)
        Activities behind them; x W where the layer learns from its own outputs.
    lr : float
        Learning rate, at least 0.

    Raises
    ------
    TypeError, ValueError
        For a wrong type, dtype or shape, before anything is changed.

    Notes
    -----
    There is no target: the rule is unsupervised. Repeated without normalizing W, it makes the weights grow without
    bound. Source: Hebb, The Organization of Behavior (1949), chapter 4.

    Examples
    --------
    >>> W = np.zeros((3, 2))
    >>> x, y = np.array([[1.0, 0.0, 1.0]]), np.array([[1.0, -1.0]])
    >>> fastnn.models.hebbian_update(W, x, y, lr=0.5)
    >>> W  # units that are active together are connected
    array([[ 0.5, -0.5],
           [ 0. ,  0. ],
           [ 0.5, -0.5]])
    """
    W = arrays.writable("W", W, ("D", "H"))
    x = arrays.floats("x", x, ("N", W.shape[0]), dtype=W.dtype)
    y = arrays.floats("y", y, (len(x), W.shape[1]), dtype=W.dtype)
    _, dW, _ = functional.affine_backward(-y, x, W, need_dx=False)
    functional_updates.sgd_update(W, dW, lr)


def delta_update(W: Any, b: Any, x: Any, t: Any, lr: float, *, reduction: str = "mean") -> float:
    """W += lr x^T (t - y) / N and b += lr sum(t - y) / N with y = x W + b, in place; returns the loss before it.

    One step of gradient descent on `fastnn.mean_squared_error`; with one sample, the rule of Widrow and Hoff, also
    called LMS: w[i, j] grows by lr (t[j] - y[j]) x[i].

    Parameters
    ----------
    W : array (D, H)
        Overwritten.
    b : array (H,)
        Overwritten.
    x : array (N, D)
    t : array (N, H)
        Targets.
    lr : float
        Learning rate, at least 0.
    reduction : "mean" or "sum"
        Over the batch; "sum" leaves out the division by N.

    Returns
    -------
    float
        sum((y - t)^2) / (2 N), whatever the reduction.

    Raises
    ------
    TypeError, ValueError
        For a wrong type, dtype or shape, before anything is changed.

    Notes
    -----
    Some texts write the factor as y - t; with += that climbs the error instead of descending it. Source: Widrow and
    Hoff, IRE WESCON Convention Record 4 (1960), 96-104.

    Examples
    --------
    >>> W, b = np.zeros((2, 1)), np.zeros(1)
    >>> x, t = np.array([[1.0, 2.0]]), np.array([[1.0]])
    >>> fastnn.models.delta_update(W, b, x, t, lr=0.1)  # the loss before: 1 / 2
    0.5
    >>> W.ravel(), b
    (array([0.1, 0.2]), array([0.1]))
    """
    W = arrays.writable("W", W, ("D", "H"))
    b = arrays.writable("b", b, W.shape[1:], W.dtype)
    x = arrays.floats("x", x, ("N", W.shape[0]), dtype=W.dtype)
    t = arrays.floats("t", t, (len(x), W.shape[1]), dtype=W.dtype)
    lr, reduction = arrays.real("lr", lr, minimum=0.0), arrays.choice("reduction", reduction, REDUCTIONS)
    loss, dy = functional_losses.mean_squared_error(functional.affine_forward(x, W, b), t)
    _, dW, db = functional.affine_backward(dy, x, W, need_dx=False)
    functional_updates.sgd_update([W, b], [dW, db], lr if reduction == "mean" else lr * len(x))
    return float(loss)
