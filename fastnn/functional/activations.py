"""Activations of arrays, each by its name; everything said in functional/layers.py holds here."""

from typing import Any

from fastnn.functional.layers import activation_forward
from fastnn.gate.arrays import Array


# <generated: python -m docs.generate>
def identity(x: Any, *, out: Any = None) -> Array:
    """y = x.

    Parameters
    ----------
    x : array of any shape
    out : array like x, optional
        Receives y; may be x itself.

    Returns
    -------
    array like x

    Raises
    ------
    TypeError, ValueError
        For a wrong type, dtype or shape.

    Examples
    --------
    >>> x = np.array([-1.0, 0.0, 2.0])
    >>> fastnn.identity(x)
    array([-1.,  0.,  2.])
    """
    return activation_forward("identity", x, out=out)


def step(x: Any, *, at_zero: float = 0.0, out: Any = None) -> Array:
    """y = 1 where x > 0, at_zero where x = 0, else 0, also for NaN.

    Its derivative is 0, so layers before it learn nothing by gradients.

    Parameters
    ----------
    x : array of any shape
    at_zero : float
        The value at 0: 0, or 1 as in texts that write y = 1 where x >= 0.
    out : array like x, optional
        Receives y; may be x itself.

    Returns
    -------
    array like x

    Raises
    ------
    TypeError, ValueError
        For a wrong type, dtype or shape.

    Examples
    --------
    >>> x = np.array([-1.0, 0.0, 2.0])
    >>> fastnn.step(x, at_zero=1)
    array([0., 1., 1.])
    """
    return activation_forward("step", x, out=out, at_zero=at_zero)


def sigmoid(x: Any, *, out: Any = None) -> Array:
    """y = 1 / (1 + exp(-x)).

    Parameters
    ----------
    x : array of any shape
    out : array like x, optional
        Receives y; may be x itself.

    Returns
    -------
    array like x

    Raises
    ------
    TypeError, ValueError
        For a wrong type, dtype or shape.

    Examples
    --------
    >>> x = np.array([-1.0, 0.0, 2.0])
    >>> fastnn.sigmoid(x).round(3)
    array([0.269, 0.5  , 0.881])
    """
    return activation_forward("sigmoid", x, out=out)


def tanh(x: Any, *, out: Any = None) -> Array:
    """y = tanh(x).

    Parameters
    ----------
    x : array of any shape
    out : array like x, optional
        Receives y; may be x itself.

    Returns
    -------
    array like x

    Raises
    ------
    TypeError, ValueError
        For a wrong type, dtype or shape.

    Examples
    --------
    >>> x = np.array([-1.0, 0.0, 2.0])
    >>> fastnn.tanh(x).round(3)
    array([-0.762,  0.   ,  0.964])
    """
    return activation_forward("tanh", x, out=out)


def relu(x: Any, *, out: Any = None) -> Array:
    """y = max(0, x) (Nair and Hinton, 2010).

    Parameters
    ----------
    x : array of any shape
    out : array like x, optional
        Receives y; may be x itself.

    Returns
    -------
    array like x

    Raises
    ------
    TypeError, ValueError
        For a wrong type, dtype or shape.

    Examples
    --------
    >>> x = np.array([-1.0, 0.0, 2.0])
    >>> fastnn.relu(x)
    array([0., 0., 2.])
    """
    return activation_forward("relu", x, out=out)


def leaky_relu(x: Any, *, slope: float = 0.01, out: Any = None) -> Array:
    """y = x where x > 0, else slope x (Maas, Hannun and Ng, 2013).

    Parameters
    ----------
    x : array of any shape
    slope : float
        The derivative below 0.
    out : array like x, optional
        Receives y; may be x itself.

    Returns
    -------
    array like x

    Raises
    ------
    TypeError, ValueError
        For a wrong type, dtype or shape.

    Examples
    --------
    >>> x = np.array([-1.0, 0.0, 2.0])
    >>> fastnn.leaky_relu(x, slope=0.1)
    array([-0.1,  0. ,  2. ])
    """
    return activation_forward("leaky_relu", x, out=out, slope=slope)


def elu(x: Any, *, alpha: float = 1.0, out: Any = None) -> Array:
    """y = x where x > 0, else alpha (exp(x) - 1) (Clevert, Unterthiner and Hochreiter, 2016).

    Parameters
    ----------
    x : array of any shape
    alpha : float
        The limit at -inf is -alpha.
    out : array like x, optional
        Receives y; may be x itself.

    Returns
    -------
    array like x

    Raises
    ------
    TypeError, ValueError
        For a wrong type, dtype or shape.

    Examples
    --------
    >>> x = np.array([-1.0, 0.0, 2.0])
    >>> fastnn.elu(x).round(3)
    array([-0.632,  0.   ,  2.   ])
    """
    return activation_forward("elu", x, out=out, alpha=alpha)


def gelu(x: Any, *, out: Any = None) -> Array:
    """y = x Phi(x) with the standard normal distribution Phi, (1 + erf(x / sqrt(2))) / 2.

    Source: Hendrycks and Gimpel, Gaussian error linear units (2016).

    Parameters
    ----------
    x : array of any shape
    out : array like x, optional
        Receives y; may be x itself.

    Returns
    -------
    array like x

    Raises
    ------
    TypeError, ValueError
        For a wrong type, dtype or shape.

    Examples
    --------
    >>> x = np.array([-1.0, 0.0, 2.0])
    >>> fastnn.gelu(x).round(3)
    array([-0.159,  0.   ,  1.954])
    """
    return activation_forward("gelu", x, out=out)


def silu(x: Any, *, out: Any = None) -> Array:
    """y = x / (1 + exp(-x)), also called swish (Elfwing, Uchibe and Doya, 2018).

    Parameters
    ----------
    x : array of any shape
    out : array like x, optional
        Receives y; may be x itself.

    Returns
    -------
    array like x

    Raises
    ------
    TypeError, ValueError
        For a wrong type, dtype or shape.

    Examples
    --------
    >>> x = np.array([-1.0, 0.0, 2.0])
    >>> fastnn.silu(x).round(3)
    array([-0.269,  0.   ,  1.762])
    """
    return activation_forward("silu", x, out=out)


def softplus(x: Any, *, out: Any = None) -> Array:
    """y = log(1 + exp(x)) (Dugas et al., 2001).

    Parameters
    ----------
    x : array of any shape
    out : array like x, optional
        Receives y; may be x itself.

    Returns
    -------
    array like x

    Raises
    ------
    TypeError, ValueError
        For a wrong type, dtype or shape.

    Examples
    --------
    >>> x = np.array([-1.0, 0.0, 2.0])
    >>> fastnn.softplus(x).round(3)
    array([0.313, 0.693, 2.127])
    """
    return activation_forward("softplus", x, out=out)


# </generated>
