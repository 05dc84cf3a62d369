"""Losses of arrays and their gradients: each checks its arguments and calls one compiled kernel.

Everything said in functional/layers.py holds here; the formulas are the networks' losses, in operations/losses.
"""

import functools
from typing import Any, TypeAlias, get_args

import numpy as np

from fastnn import losses as _losses  # not to stand where fastnn.functional has this module
from fastnn.engine import threads
from fastnn.engine.losses import learn_hits, learn_loss, sum_of_losses
from fastnn.engine.short import DONE, LARGE, Way, Ways, on_threads
from fastnn.gate import arrays
from fastnn.gate.arrays import Array
from fastnn.gate.names import Reduction
from fastnn.kernels.units import Unit
from fastnn.losses import Loss, weights_of
from fastnn.operations.losses.base import PROBABILITIES, SIGNS, one_hot

MEAN = "mean"
REDUCTIONS = get_args(Reduction)
_ways = Ways()  # by class
_right = Way()  # how many rows are right
Value: TypeAlias = Any  # a float, or an array (N,) for the reduction "none"
Result: TypeAlias = Any  # the value and the gradient, or the value alone


def mean_squared_error(
    y: Any,
    t: Any,
    *,
    half: bool = True,
    reduction: Reduction = "mean",
    sample_weight: Any = None,
    gradient: bool = True,
    out: Any = None,
) -> Result:
    """loss = sum((y - t)^2) / (2 N), half the squared distance, averaged over the batch; dy = (y - t) / N.

    Parameters
    ----------
    y : array (N, K), or (K,) for one sample
        Outputs; for samples of one number pass y[:, None].
    t : array like y
        Targets. The losses of classes also take labels, integers (N,), or one integer for one sample.
    half : bool
        False doubles the loss and dy.
    reduction : "mean", "element_mean", "sum" or "none"
        The value returned for the losses l of N samples: sum(w l) / sum(w), the same over K, sum(w l), or the array w
        l.
    sample_weight : array (N,), optional
        w, at least 0; 1 if not given. Losses of classes also take class_weight, an array (K,): w is multiplied by the
        weight of the sample's label, or of its largest target.
    gradient : bool
        False leaves dy out: only the loss is returned.
    out : array like y, optional
        Receives dy; must not overlap an input.

    Returns
    -------
    loss : float, or float64 array (N,) for "none"
        In nats, by natural logarithms, where it is a loss of probabilities.
    dy : array like y
        The gradient of the loss; for "none", of the sum of the losses.

    Examples
    --------
    >>> y, t = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 1.0], [1.0, 1.0]])
    >>> loss, dy = fastnn.mean_squared_error(y, t)
    >>> loss  # (0 + 1 + 4 + 9) / (2 * 2)
    3.5
    >>> dy
    array([[0. , 0.5],
           [1. , 1.5]])
    >>> fastnn.mean_squared_error(y, t, reduction="none")[0]  # of each sample
    array([0.5, 6.5])
    >>> fastnn.mean_squared_error([1.0, 2.0, 4.0], [1.0, 1.0, 1.0], gradient=False)  # one sample: (0 + 1 + 9) / 2
    5.0
    """
    factor = 1.0 if arrays.flag("half", half) else 2.0
    return _evaluate(_losses.MeanSquaredError, (), "y", y, t, reduction, sample_weight, None, out, gradient, factor)


# <generated: python -m docs.generate>
def softmax_cross_entropy(
    x: Any,
    t: Any,
    *,
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
    sample_weight: Any = None,
    class_weight: Any = None,
    gradient: bool = True,
    out: Any = None,
) -> Result:
    """The mean over the batch of -sum(t log(softmax(y))) of logits y; targets labels (N,), one-hot rows or
    probabilities (N, K), which sum to 1.

    It is computed by log-sum-exp, unclipped; the gradient is softmax(y) - t. Source: Bishop, Pattern Recognition and
    Machine Learning (2006), equations 4.108 and 4.109.

    Parameters
    ----------
    x : array (N, K), or (K,) for one sample
        y above: outputs before the activation that the loss applies.
    t : array, or integer
        Targets as above; for one sample without the axis of the batch.
    label_smoothing : float
        s in [0, 1): targets t become (1 - s) t + s / K (Szegedy et al., 2016).
    reduction : "mean", "element_mean", "sum" or "none"
        As for `mean_squared_error`.
    sample_weight, class_weight, out : array, optional
        As for `mean_squared_error`.
    gradient : bool
        False leaves dx out: only the loss is returned.

    Returns
    -------
    loss : float, or float64 array (N,) for "none"
    dx : array like x
        The gradient of the loss by x.

    Examples
    --------
    >>> x = np.log([[0.2, 0.5, 0.3], [0.2, 0.2, 0.6]])  # logits; softmax(x) gives these probabilities
    >>> loss, dx = fastnn.softmax_cross_entropy(x, np.array([2, 2]), reduction="none")
    >>> loss.round(2)  # -log 0.3, -log 0.6
    array([1.2 , 0.51])
    >>> dx.round(2)
    array([[ 0.2,  0.5, -0.7],
           [ 0.2,  0.2, -0.4]])
    """
    kind = _losses.SoftmaxCrossEntropy
    return _evaluate(kind, (label_smoothing,), "x", x, t, reduction, sample_weight, class_weight, out, gradient)


def sigmoid_cross_entropy(
    x: Any, t: Any, *, reduction: Reduction = "mean", sample_weight: Any = None, gradient: bool = True, out: Any = None
) -> Result:
    """The mean over the batch of -sum(t log s + (1 - t) log(1 - s)) with s = sigmoid(y), of logits y; targets (N, K) in
    [0, 1].

    For one output, targets may be (N,): the log loss of two classes 0 and 1. Nothing is clipped; the gradient is s - t.
    Source: Bishop, Pattern Recognition and Machine Learning (2006), equations 4.90 and 4.91.

    Parameters
    ----------
    x : array (N, K), or (K,) for one sample
        y above: outputs before the activation that the loss applies.
    t : array, or integer
        Targets as above; for one sample without the axis of the batch.
    reduction : "mean", "element_mean", "sum" or "none"
        As for `mean_squared_error`.
    sample_weight, out : array, optional
        As for `mean_squared_error`.
    gradient : bool
        False leaves dx out: only the loss is returned.

    Returns
    -------
    loss : float, or float64 array (N,) for "none"
    dx : array like x
        The gradient of the loss by x.

    Examples
    --------
    >>> x, t = np.array([[0.0], [100.0]]), np.array([1.0, 0.0])
    >>> loss, dx = fastnn.sigmoid_cross_entropy(x, t, reduction="none")
    >>> loss.round(4), dx.ravel()  # log 2, and 100, as nothing is clipped
    (array([  0.6931, 100.    ]), array([-0.5,  1. ]))
    """
    kind = _losses.SigmoidCrossEntropy
    return _evaluate(kind, (), "x", x, t, reduction, sample_weight, None, out, gradient)


def absolute_error(
    y: Any, t: Any, *, reduction: Reduction = "mean", sample_weight: Any = None, gradient: bool = True, out: Any = None
) -> Result:
    """The mean over the batch of sum(|y - t|); targets (N, K). The gradient is sign(y - t), 0 where they are equal.

    Parameters
    ----------
    y : array (N, K), or (K,) for one sample
        Outputs.
    t : array, or integer
        Targets as above; for one sample without the axis of the batch.
    reduction : "mean", "element_mean", "sum" or "none"
        As for `mean_squared_error`.
    sample_weight, out : array, optional
        As for `mean_squared_error`.
    gradient : bool
        False leaves dy out: only the loss is returned.

    Returns
    -------
    loss : float, or float64 array (N,) for "none"
    dy : array like y
        The gradient of the loss by y.

    Examples
    --------
    >>> loss, dy = fastnn.absolute_error(np.array([[1.0, 3.0, 3.0]]), np.array([[1.0, 1.0, 1.0]]))
    >>> loss, dy
    (4.0, array([[0., 1., 1.]]))
    """
    kind = _losses.AbsoluteError
    return _evaluate(kind, (), "y", y, t, reduction, sample_weight, None, out, gradient)


def huber(
    y: Any,
    t: Any,
    *,
    delta: float = 1.0,
    reduction: Reduction = "mean",
    sample_weight: Any = None,
    gradient: bool = True,
    out: Any = None,
) -> Result:
    """The mean over the batch of sum((y - t)^2 / 2 where |y - t| <= delta, else delta (|y - t| - delta / 2)); targets
    (N, K).

    The gradient is y - t, kept within [-delta, delta]. Source: Huber, Annals of Mathematical Statistics 35 (1964),
    73-101.

    Parameters
    ----------
    y : array (N, K), or (K,) for one sample
        Outputs.
    t : array, or integer
        Targets as above; for one sample without the axis of the batch.
    delta : float
        Above 0.
    reduction : "mean", "element_mean", "sum" or "none"
        As for `mean_squared_error`.
    sample_weight, out : array, optional
        As for `mean_squared_error`.
    gradient : bool
        False leaves dy out: only the loss is returned.

    Returns
    -------
    loss : float, or float64 array (N,) for "none"
    dy : array like y
        The gradient of the loss by y.

    Examples
    --------
    >>> loss, dy = fastnn.huber(np.array([[0.5, 3.0]]), np.array([[0.0, 0.0]]))
    >>> loss, dy  # 0.5^2 / 2 and 3 - 1 / 2
    (2.625, array([[0.5, 1. ]]))
    """
    kind = _losses.Huber
    return _evaluate(kind, (delta,), "y", y, t, reduction, sample_weight, None, out, gradient)


def hinge(
    y: Any,
    t: Any,
    *,
    reduction: Reduction = "mean",
    sample_weight: Any = None,
    class_weight: Any = None,
    gradient: bool = True,
    out: Any = None,
) -> Result:
    """The mean over the batch of sum(max(0, 1 - t y)) for targets t (N, K) of -1 and 1. The gradient is 0 at the kink.

    For labels (N,) and several outputs it is the sum of max(0, 1 + y[k] - y[t]) over the other classes k. Sources:
    Cortes and Vapnik (1995); Weston and Watkins (1999).

    Parameters
    ----------
    y : array (N, K), or (K,) for one sample
        Outputs.
    t : array, or integer
        Targets as above; for one sample without the axis of the batch.
    reduction : "mean", "element_mean", "sum" or "none"
        As for `mean_squared_error`.
    sample_weight, class_weight, out : array, optional
        As for `mean_squared_error`.
    gradient : bool
        False leaves dy out: only the loss is returned.

    Returns
    -------
    loss : float, or float64 array (N,) for "none"
    dy : array like y
        The gradient of the loss by y.

    Examples
    --------
    >>> loss, dy = fastnn.hinge(np.array([[2.0], [0.5], [-1.0]]), np.array([[1.0], [1.0], [1.0]]))
    >>> round(loss, 4)  # (0 + 0.5 + 2) / 3
    0.8333
    >>> fastnn.hinge(np.array([[1.0, 0.5, 3.0]]), np.array([0]))[0]  # label 0: 1 + 0.5 - 1 and 1 + 3 - 1
    3.5
    """
    kind = _losses.Hinge
    return _evaluate(kind, (), "y", y, t, reduction, sample_weight, class_weight, out, gradient)


def exponential(
    y: Any, t: Any, *, reduction: Reduction = "mean", sample_weight: Any = None, gradient: bool = True, out: Any = None
) -> Result:
    """The mean over the batch of sum(exp(-t y)) for targets t (N, K) of -1 and 1, as in AdaBoost.

    Source: Friedman, Hastie and Tibshirani, Annals of Statistics 28 (2000), 337-407.

    Parameters
    ----------
    y : array (N, K), or (K,) for one sample
        Outputs.
    t : array, or integer
        Targets as above; for one sample without the axis of the batch.
    reduction : "mean", "element_mean", "sum" or "none"
        As for `mean_squared_error`.
    sample_weight, out : array, optional
        As for `mean_squared_error`.
    gradient : bool
        False leaves dy out: only the loss is returned.

    Returns
    -------
    loss : float, or float64 array (N,) for "none"
    dy : array like y
        The gradient of the loss by y.

    Examples
    --------
    >>> loss, dy = fastnn.exponential(np.array([[0.0], [2.0]]), np.array([[1.0], [1.0]]))
    >>> round(loss, 4)  # (exp(0) + exp(-2)) / 2
    0.5677
    >>> dy.round(4)
    array([[-0.5   ],
           [-0.0677]])
    """
    kind = _losses.Exponential
    return _evaluate(kind, (), "y", y, t, reduction, sample_weight, None, out, gradient)


def kl_divergence(
    x: Any,
    t: Any,
    *,
    reduction: Reduction = "mean",
    sample_weight: Any = None,
    class_weight: Any = None,
    gradient: bool = True,
    out: Any = None,
) -> Result:
    """The mean over the batch of sum(t log(t / softmax(y))) of logits y; targets probabilities (N, K) or labels (N,).

    It is the cross entropy less the entropy of the targets: at least 0, and 0 where both agree. The gradient is
    softmax(y) - t. Source: Kullback and Leibler, Annals of Mathematical Statistics 22 (1951), 79-86.

    Parameters
    ----------
    x : array (N, K), or (K,) for one sample
        y above: outputs before the activation that the loss applies.
    t : array, or integer
        Targets as above; for one sample without the axis of the batch.
    reduction : "mean", "element_mean", "sum" or "none"
        As for `mean_squared_error`.
    sample_weight, class_weight, out : array, optional
        As for `mean_squared_error`.
    gradient : bool
        False leaves dx out: only the loss is returned.

    Returns
    -------
    loss : float, or float64 array (N,) for "none"
    dx : array like x
        The gradient of the loss by x.

    Examples
    --------
    >>> x, t = np.log([[0.25, 0.75]]), np.array([[0.5, 0.5]])  # softmax(x) is (1 / 4, 3 / 4)
    >>> loss, dx = fastnn.kl_divergence(x, t)
    >>> round(loss, 4), dx.round(4)
    (0.1438, array([[-0.25,  0.25]]))
    """
    kind = _losses.KLDivergence
    return _evaluate(kind, (), "x", x, t, reduction, sample_weight, class_weight, out, gradient)


def cross_entropy(
    y: Any,
    t: Any,
    *,
    offset: float = 0.0,
    reduction: Reduction = "mean",
    sample_weight: Any = None,
    class_weight: Any = None,
    gradient: bool = True,
    out: Any = None,
) -> Result:
    """The mean over the batch of -sum(t log(y + offset)) of probabilities y, such as a last Softmax() gives; targets as
    for SoftmaxCrossEntropy.

    It is infinite where y + offset = 0 at a target above 0. From logits, `SoftmaxCrossEntropy` is exact where a
    probability rounds to 0, and faster.

    Parameters
    ----------
    y : array (N, K), or (K,) for one sample
        Outputs.
    t : array, or integer
        Targets as above; for one sample without the axis of the batch.
    offset : float
        At least 0. Courses write 1e-7, to avoid log(0) (Saito, Deep Learning from Scratch, 2016, chapter 4).
    reduction : "mean", "element_mean", "sum" or "none"
        As for `mean_squared_error`.
    sample_weight, class_weight, out : array, optional
        As for `mean_squared_error`.
    gradient : bool
        False leaves dy out: only the loss is returned.

    Returns
    -------
    loss : float, or float64 array (N,) for "none"
    dy : array like y
        The gradient of the loss by y.

    Examples
    --------
    >>> y = np.array([[0.2, 0.5, 0.3], [0.2, 0.2, 0.6]])  # probabilities
    >>> fastnn.cross_entropy(y, np.array([2, 2]), reduction="none")[0].round(2)  # -log 0.3, -log 0.6
    array([1.2 , 0.51])
    """
    kind = _losses.CrossEntropy
    return _evaluate(kind, (offset,), "y", y, t, reduction, sample_weight, class_weight, out, gradient)


def log_loss(
    y: Any,
    t: Any,
    *,
    offset: float = 0.0,
    reduction: Reduction = "mean",
    sample_weight: Any = None,
    gradient: bool = True,
    out: Any = None,
) -> Result:
    """The mean over the batch of -sum(t log(y + offset) + (1 - t) log(1 - y + offset)) of probabilities y, such as a
    last Sigmoid() gives.

    Targets are (N, K) in [0, 1], or (N,) for one output. From logits, `SigmoidCrossEntropy` is exact where a
    probability rounds to 0 or 1.

    Parameters
    ----------
    y : array (N, K), or (K,) for one sample
        Outputs.
    t : array, or integer
        Targets as above; for one sample without the axis of the batch.
    offset : float
        At least 0.
    reduction : "mean", "element_mean", "sum" or "none"
        As for `mean_squared_error`.
    sample_weight, out : array, optional
        As for `mean_squared_error`.
    gradient : bool
        False leaves dy out: only the loss is returned.

    Returns
    -------
    loss : float, or float64 array (N,) for "none"
    dy : array like y
        The gradient of the loss by y.

    Examples
    --------
    >>> loss, dy = fastnn.log_loss(np.array([[0.6], [0.7]]), np.array([[1.0], [1.0]]), reduction="none")
    >>> loss.round(2)  # -log 0.6, -log 0.7
    array([0.51, 0.36])
    """
    kind = _losses.LogLoss
    return _evaluate(kind, (offset,), "y", y, t, reduction, sample_weight, None, out, gradient)


def poisson(
    y: Any, t: Any, *, reduction: Reduction = "mean", sample_weight: Any = None, gradient: bool = True, out: Any = None
) -> Result:
    """The mean over the batch of sum(exp(y) - t y + t log t - t), half the Poisson deviance of the rate exp(y); targets
    (N, K), counts or rates.

    The gradient is exp(y) - t. A target of at most 0 adds exp(y) - t y; below 0 that has no minimum. Source: McCullagh
    and Nelder, Generalized Linear Models (1989), section 6.2.

    Parameters
    ----------
    y : array (N, K), or (K,) for one sample
        Outputs.
    t : array, or integer
        Targets as above; for one sample without the axis of the batch.
    reduction : "mean", "element_mean", "sum" or "none"
        As for `mean_squared_error`.
    sample_weight, out : array, optional
        As for `mean_squared_error`.
    gradient : bool
        False leaves dy out: only the loss is returned.

    Returns
    -------
    loss : float, or float64 array (N,) for "none"
    dy : array like y
        The gradient of the loss by y.

    Examples
    --------
    >>> x, t = np.log([[1.0], [4.0]]), np.array([[1.0], [2.0]])  # rates 1 and 4, counts 1 and 2
    >>> loss, dy = fastnn.poisson(x, t, reduction="none")
    >>> loss.round(4), dy.round(4).ravel()  # 0, and 4 - 2 log 4 + 2 log 2 - 2; the rates less the counts
    (array([0.    , 0.6137]), array([0., 2.]))
    """
    kind = _losses.Poisson
    return _evaluate(kind, (), "y", y, t, reduction, sample_weight, None, out, gradient)


# </generated>


def zero_one_loss(y: Any, t: Any, *, reduction: Reduction = "mean", sample_weight: Any = None) -> Value:
    """1 for each sample whose largest output is not the target's, else 0; only the value, as the gradient is 0.

    Parameters
    ----------
    y : array (N, K), or (K,) for one sample
        Outputs, K at least 2; of equal ones the first counts, and NaN is wrong.
    t : array (N,) or (N, K), integer or array (K,)
        Labels, or one-hot rows.
    reduction : "mean", "sum" or "none"
    sample_weight : array (N,), optional

    Returns
    -------
    float, or float64 array (N,) for "none"

    Examples
    --------
    >>> y = np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]])
    >>> fastnn.zero_one_loss(y, np.array([1, 0, 0]), reduction="none")
    array([0., 0., 1.])
    >>> round(fastnn.zero_one_loss(y, np.array([1, 0, 0])), 4)  # 1 - accuracy
    0.3333
    """
    is_usual = reduction is MEAN and sample_weight is None
    found = _right.call(y, t, t) if is_usual else None
    if type(found) is tuple and found[0] == DONE:
        return (len(y) - found[1]) / len(y)
    if _is_one_sample(y):
        y, t = _one_row("y", y, t, True)
        return float(np.sum(zero_one_loss(y, t, reduction=reduction, sample_weight=sample_weight)))
    y = arrays.floats("y", y, ("N", "K"))
    if y.shape[1] == 1:
        raise ValueError("y: expected outputs of at least 2 classes, got 1 column; compare its sign with the targets")
    arrays.choice("reduction", reduction, ("mean", "sum", "none"))
    labels, dense = arrays.targets("t", t, len(y), y.shape[1], y.dtype)
    expected = labels if labels.size else dense.argmax(axis=1)
    values = ((y.argmax(axis=1) != expected) | np.isnan(y).any(axis=1)).astype(np.float64)
    weights = weights_of(sample_weight, None, labels, dense, y.shape)
    learn_hits(_right, y.dtype, PROBABILITIES, 0.0, 0.0, True)
    return _reduced(values, weights, reduction, _divisor(weights, reduction, y.shape))


# One for each argument of the functions above, and what tells them apart.
def _evaluate(
    kind: Any,
    options: tuple[float, ...],
    name: str,
    y: Any,
    t: Any,
    reduction: str,
    sample_weight: Any,
    class_weight: Any,
    out: Any,
    gradient: bool,
    factor: float = 1.0,
) -> Result:
    """The reduced loss of a kind and its gradient by the outputs y, which errors call `name`; or the loss alone."""
    if gradient is not True and not arrays.flag("gradient", gradient):
        if out is not None:
            raise ValueError("out: expected None where gradient=False leaves nothing to write, got one; leave it out")
        return _evaluate(kind, options, name, y, t, reduction, sample_weight, class_weight, None, True, factor)[0]
    is_usual = reduction is MEAN and sample_weight is None and class_weight is None and factor == 1.0
    found = numbers = None
    if is_usual:
        try:
            numbers = _numbers(kind, *options)
        except TypeError:  # options without a hash, or wrong ones, which the class refuses
            numbers = None
        if numbers is not None:
            found = _ways[kind].call(numbers, y, t, t, out)
            found = found if type(found) is tuple else on_threads(found, _ways[kind], numbers, y, t, t, out)
    if type(found) is tuple:
        return found
    loss = kind(*options)
    arrays.choice("reduction", reduction, REDUCTIONS)
    if found == LARGE:
        return _of_plain(loss, y, t, out)
    if _is_one_sample(y):
        row, t = _one_row(name, y, t, loss.takes_classes)
        dy = arrays.output("out", out, row.shape[1:], row.dtype, ((name, row), ("t", t)))
        given = name, row, t, reduction, sample_weight, class_weight, dy.reshape(1, -1), True, factor
        return float(np.sum(_evaluate(kind, options, *given)[0])), dy
    y = arrays.floats(name, y, ("N", "K"), dtype=arrays.shared_dtype(y, t))
    if not loss.takes_classes and getattr(t, "dtype", None) in (np.float32, np.float64):
        # Targets of the other float dtype are nearly always a slip.
        t = arrays.floats("t", t, y.shape if np.ndim(t) != 1 else (len(y),), dtype=y.dtype)
    labels, dense = loss.targets("t", t, y.shape[0], y.shape[1], y.dtype, False)
    if loss.follows:
        _check_probabilities(name, y)
    if class_weight is not None and loss.accepts == SIGNS and not labels.size:
        raise ValueError("class_weight: expected labels (N,) for t, got signs; pass sample_weight")
    weights = weights_of(sample_weight, class_weight, labels, dense, y.shape)
    dy = arrays.output("out", out, y.shape, y.dtype, ((name, y), ("t", np.asarray(t)), ("t", dense)))
    divisor = _divisor(weights, reduction, y.shape) / factor
    options_of_sum: Any = {"divisor": 1.0 if weights is not None else divisor, "parts": threads.get_num_threads()}
    unit = _unit(loss, labels.size > 0)
    total, values = sum_of_losses(unit, loss.numbers(), y, labels, dense, dy, **options_of_sum)
    if numbers is not None:
        learn_loss(_ways[kind], loss, y.dtype, np.ndim(t) == 1 and loss.takes_classes and y.shape[1] > 1, False)
    if weights is None and reduction != "none":
        return total / divisor, dy
    if weights is not None:
        dy[weights == 0.0] = 0.0  # these samples count for nothing, whatever their loss
        np.multiply(dy, (weights / divisor).reshape(-1, 1), out=dy, casting="same_kind")
    return _reduced(values, weights, reduction, divisor), dy


def _check_probabilities(name: str, y: Array) -> None:
    wrong = (y < 0.0) | (y > 1.0 + 1e-6)
    if wrong.any():
        came = f"{float(y[wrong][0]):g}; pass probabilities, or take the loss of logits"
        raise ValueError(f"{name}: expected probabilities from 0 to 1, got {came}")


def _of_plain(loss: Loss, y: Array, t: Array, out: Any) -> tuple[Value, Array]:
    """The mean loss and its gradient for plain arrays of many elements."""
    of_labels, dy = t.dtype == np.intp, np.empty_like(y) if out is None else out
    labels, dense = (t, np.empty((0, y.shape[1]), y.dtype)) if of_labels else (np.empty(0, np.intp), t)
    if of_labels and loss.labels_units is None:
        labels, dense = np.empty(0, np.intp), one_hot(t, y.shape[0], y.shape[1], y.dtype)
    given = loss.numbers(), y, labels, dense, dy
    return sum_of_losses(_unit(loss, labels.size > 0), *given, parts=threads.get_num_threads())[0] / len(y), dy


def _is_one_sample(y: Any) -> bool:
    """Whether these outputs have one axis."""
    if isinstance(y, list | tuple):
        return len(y) > 0 and all(isinstance(one, float | int | np.number) for one in y)
    return getattr(y, "ndim", None) == 1


def _one_row(name: str, y: Any, t: Any, of_classes: bool) -> tuple[Array, Array]:
    """The outputs (1, K) of one sample, and its targets (1, K) or its label (1,)."""
    y = arrays.floats(name, y, ("K",), dtype=arrays.shared_dtype(y, t))
    if of_classes and len(y) > 1 and (isinstance(t, int | np.integer) or np.shape(t) in ((), (1,))):
        return y[None], arrays.labels("t", [t] if isinstance(t, int | np.integer) else np.reshape(t, 1), 1, len(y))
    return y[None], arrays.floats("t", t, y.shape, dtype=y.dtype, rounding=of_classes)[None]


def _unit(loss: Loss, of_labels: bool) -> Unit:
    """The unit of the rows of a loss."""
    return (loss.labels_units if of_labels and loss.labels_units is not None else loss.units).rows


@functools.lru_cache(maxsize=64, typed=True)
def _numbers(kind: Any, *options: float) -> Array | None:
    """The numbers that a loss's units read; None if it smooths labels, for which there is no short way."""
    loss = kind(*options)
    return None if loss.smooths_labels else np.array(loss.numbers())


def _divisor(weights: Array | None, reduction: str, shape: tuple[int, ...]) -> float:
    """The divisor of the weighted sum of the losses."""
    if reduction not in ("mean", "element_mean"):
        return 1.0
    total = float(shape[0] if weights is None else weights.sum())
    return total * shape[1] if reduction == "element_mean" else total


def _reduced(values: Array, weights: Array | None, reduction: str, divisor: float) -> Value:
    """The losses of the samples, reduced."""
    values = values if weights is None else np.where(weights == 0.0, 0.0, values) * weights
    return values / divisor if reduction == "none" else float(np.sum(values)) / divisor
