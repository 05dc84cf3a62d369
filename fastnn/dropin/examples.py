"""Small examples on which a script's own modules are compared with ours.

An example takes a function or a class, calls it and returns results; the script's must equal ours. Arrays are so small
that ours needs no kernel; where it would take longer, the results stand here (EXPECTED).
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

Example: TypeAlias = Callable[[Any], Any]

# A row with equal numbers, one so spread out that its softmax contains 0, and one of small numbers.
X = np.array([[-2.0, -0.5, 0.0, 0.0], [900.0, 0.25, -1.0, 3.0], [1e-3, 2e-3, -1e-3, 5e-4]])
W, B = np.arange(12.0).reshape(4, 3) / 7 - 0.8, np.array([0.5, -0.25, 0.125])
DOUT = np.array([[0.5, -1.0, 2.0, 0.25], [1.5, 0.75, -0.5, 3.0], [-1.0, 0.5, 0.25, 2.0]])
LABELS = np.array([2, 0, 1])
IMAGES = (np.arange(96.0) * 37 % 23).reshape(2, 2, 4, 6)
H = 1e-4


def state(thing: Any) -> dict[str, Any]:
    """The public attributes of an object."""
    return {name: value for name, value in vars(thing).items() if not name.startswith("_")}


# --- functions and gradients -----------------------------------------------------------------------


def _function(f: Any) -> Any:
    return [f(X.copy()), f(X[0].copy())]


def _softmax(f: Any) -> Any:
    return [f(X.copy()), f(X[1].copy()), f(X.astype(np.float32))]


def _cross_entropy(f: Any) -> Any:
    y = np.array([[0.0, 0.25, 0.75], [1.0, 0.0, 0.0], [0.125, 0.5, 0.375]])
    return [f(y, LABELS), f(y, np.eye(3)[LABELS]), f(y, np.array([0, 1, 0])), f(y[0], np.array([0, 0, 1]))]


def _squared_error(f: Any) -> Any:
    return [f(X, DOUT), f(X[0], DOUT[0])]


def _softmax_loss(f: Any) -> Any:
    return [f(X.copy(), LABELS), f(X.copy(), np.eye(4)[LABELS])]


def _gradient_points() -> list[Any]:
    return [np.array([1.0, -2.0, 0.5]), np.array([[1.0, 2.0], [-1.0, 0.5], [3.0, -0.25]])]


def _numerical_gradient(f: Any) -> Any:
    points = _gradient_points()
    return [f(lambda x: np.sum(x**3) * len(x), point) for point in points], points


# --- layers ----------------------------------------------------------------------------------------


def _layer(*arguments: Any) -> Example:
    def run(kind: Any) -> Any:
        layer = kind(*(argument.copy() for argument in arguments))
        out = layer.forward(X.copy())
        kept = np.array(out)
        dx = layer.backward(DOUT[:, : out.shape[1]].copy())
        return [kept, dx, state(layer)]

    return run


def _loss_layer(kind: Any) -> Any:
    results = []
    for targets in (LABELS, np.eye(4)[LABELS]):
        layer = kind()
        results += [layer.forward(X.copy(), targets), layer.backward(), layer.backward(2.0), state(layer)]
    return results


def _sigmoid_loss(kind: Any) -> Any:
    layer = kind()
    return [layer.forward(X[:, 1].copy(), np.array([1, 0, 1])), layer.backward(), layer.backward(2.0), state(layer)]


def _switched(*arguments: Any) -> Example:
    """A layer that behaves differently without training."""

    def run(kind: Any) -> Any:
        layer = kind(*(argument.copy() for argument in arguments))
        x = X * np.array([1e-3, 1.0, 1.0, 1e-3])  # in columns of small variance, an epsilon shows
        outs = [layer.forward(x), layer.backward(DOUT.copy()), layer.forward(x, True), layer.forward(x, False)]
        return [*outs, state(layer)]

    return run


def _embedding(kind: Any) -> Any:
    layer = kind(W.copy())
    rows = np.array([1, 3, 1])
    return [layer.forward(rows), layer.backward(DOUT[:, :3].copy()), state(layer)]


# --- windows of images -----------------------------------------------------------------------------


def _im2col(f: Any) -> Any:
    return [f(IMAGES, 2, 3), f(IMAGES.astype(np.float32), 2, 3, 2, 1)]


def _col2im(f: Any) -> Any:
    rows = np.arange(2.0 * 3 * 3 * 12).reshape(18, 12) % 11
    return [f(rows, IMAGES.shape, 2, 3, 2, 1)]


def _convolution(kind: Any) -> Any:
    results = []
    for arguments in ((), (2, 1)):
        layer = kind(np.arange(36.0).reshape(3, 2, 2, 3) / 9 - 2, B.copy(), *arguments)
        results += [layer.forward(IMAGES), layer.backward(_dout(layer.forward(IMAGES).shape)), state(layer)]
    return results


def _dout(shape: Any) -> Any:
    return np.arange(float(np.prod(shape))).reshape(shape) % 7 - 3


def _pooling(kind: Any) -> Any:
    layer = kind(2, 3, 2)
    out = layer.forward(IMAGES)
    return [out, layer.backward(_dout(out.shape)), state(layer)]


# --- optimizers, helpers and networks ----------------------------------------------------------------


def _updates(listed: bool) -> Example:
    """Three updates of parameters, by name as in the first volume or in a list as in the second."""

    def run(kind: Any) -> Any:
        made, results = kind(), []
        params: Any = [W.copy(), B.copy()] if listed else {"W": W.copy(), "b": B.copy()}
        for step in range(1, 4):
            grads = [step * W[::-1], B - step]
            made.update(params, grads if listed else {"W": grads[0], "b": grads[1]})
            results.append([value.copy() for value in (params if listed else params.values())])
        return [results, state(made)]

    return run


def _smooth_curve(f: Any) -> Any:
    return [f(np.arange(30.0) % 7), f(list(range(15)))]


def _shuffle(f: Any) -> Any:
    return list(f(X.copy(), LABELS.copy()))


def _output_size(f: Any) -> Any:
    return [f(7, 3), f(28, 5, 2, 1), f(8, 3, stride=2, pad=1)]


def _network(*cases: dict[str, Any]) -> Example:
    def run(kind: Any) -> Any:
        results: list[Any] = []
        for case in cases:
            net = kind(4, [3, 2], 4, **case)
            params = {name: value.copy() for name, value in net.params.items()}
            x = X / 100
            values = [net.loss(x, LABELS), net.loss(x, np.eye(4)[LABELS]), net.accuracy(x, LABELS)]
            results += [params, net.predict(x), *values, net.gradient(x, LABELS), list(net.layers)]
            results.append(dict.fromkeys(state(net), 0))
        return results

    return run


PLAIN = [{}, {"activation": "sigmoid", "weight_init_std": 0.1, "weight_decay_lambda": 0.3}]
EXTENDED = [{"use_batchnorm": True}, {"use_dropout": True}]

OPTIMIZERS = ["SGD", "Momentum", "Nesterov", "AdaGrad", "RMSprop", "Adam"]

EXAMPLES: dict[str, Example] = {
    **dict.fromkeys(["identity_function", "step_function", "sigmoid", "sigmoid_grad", "relu", "relu_grad"], _function),
    **dict.fromkeys(["sum_squared_error", "mean_squared_error"], _squared_error),
    "softmax": _softmax,
    "cross_entropy_error": _cross_entropy,
    "softmax_loss": _softmax_loss,
    "numerical_gradient": _numerical_gradient,
    **dict.fromkeys(["Relu", "Sigmoid", "Softmax"], _layer()),
    "Affine": _layer(W, B),
    "MatMul": _layer(W),
    "SoftmaxWithLoss": _loss_layer,
    "SigmoidWithLoss": _sigmoid_loss,
    "Dropout": _switched(),
    "BatchNormalization": _switched(np.array([1.0, 2.0, 0.5, 1.5]), DOUT[0]),
    "Embedding": _embedding,
    "Convolution": _convolution,
    "Pooling": _pooling,
    **dict.fromkeys(OPTIMIZERS, _updates(listed=False)),
    "smooth_curve": _smooth_curve,
    "shuffle_dataset": _shuffle,
    "conv_output_size": _output_size,
    "im2col": _im2col,
    "col2im": _col2im,
    "MultiLayerNet": _network(*PLAIN),
    "MultiLayerNetExtend": _network(*PLAIN, *EXTENDED),
}
SECOND_VOLUME: dict[str, Example] = {**EXAMPLES, **dict.fromkeys(OPTIMIZERS, _updates(listed=True))}
EXPECTED: dict[str, Callable[[], Any]] = {
    "numerical_gradient": lambda: ([(3 * x**2 + H * H) * len(x) for x in _gradient_points()], _gradient_points())
}
