"""The functions, layers, optimizers and helpers of the first volume, against its documented semantics."""

import math
from typing import Any

import numpy as np
import pytest

from fastnn.dropin.common import functions, layers, optimizer, util
from fastnn.dropin.common.multi_layer_net import MultiLayerNet
from fastnn.dropin.common.multi_layer_net_extend import MultiLayerNetExtend
from fastnn.dropin.common.trainer import Trainer
from tests.shapes import numbers

SIZES = [(3, 4), (40, 50)]  # for NumPy, and for kernels
every_size = pytest.mark.parametrize("size", SIZES, ids=str)
every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])


def tolerance(dtype: Any) -> float:
    return 1e-5 if dtype == np.float32 else 1e-12


# --- functions ------------------------------------------------------------------------------------


@every_size
@every_dtype
def test_activations(size: tuple[int, int], dtype: Any) -> None:
    x = 4 * numbers(1, *size, dtype=dtype)
    exact = x.astype(np.float64)
    s = 1 / (1 + np.exp(-exact))
    e = np.exp(exact - exact.max(axis=1, keepdims=True))
    expected = {
        "identity_function": exact,
        "step_function": exact > 0,
        "sigmoid": s,
        "sigmoid_grad": s * (1 - s),
        "relu": np.maximum(exact, 0),
        "relu_grad": exact >= 0,
        "softmax": e / e.sum(axis=1, keepdims=True),
    }
    for name, result in expected.items():
        found = getattr(functions, name)(x)
        assert found.dtype == (np.int64 if name == "step_function" else dtype), name
        np.testing.assert_allclose(found, result, rtol=tolerance(dtype), atol=tolerance(dtype), err_msg=name)


def test_activations_of_special_arrays() -> None:
    x = np.array([-1.0, 0.0, 2.0])
    assert functions.identity_function(x) is x
    assert functions.step_function(x).tolist() == [0, 0, 1]
    assert functions.step_function(0.5).shape == ()
    assert functions.relu_grad(x).tolist() == [0, 1, 1]
    assert functions.relu(np.array([-3, 4])).dtype == np.int64
    assert np.signbit(functions.relu(np.array([-0.0]))).all()
    assert np.isnan(functions.relu(np.array([np.nan])))
    assert functions.sigmoid(0.0) == 0.5
    assert functions.sigmoid(np.array([1, 2])).dtype == np.float64
    assert functions.sigmoid(np.ones(1, np.float16)).dtype == np.float16
    with pytest.raises(TypeError):
        functions.sigmoid([1.0])
    with pytest.warns(RuntimeWarning):
        assert functions.sigmoid(np.array([-1000.0])) == 0
    np.testing.assert_allclose(functions.softmax([1.0, 1.0]), [0.5, 0.5])
    three = numbers(1, 2, 3, 200)
    np.testing.assert_allclose(functions.softmax(three).sum(axis=-1), np.ones((2, 3)), rtol=1e-6)
    kept = three.copy()
    functions.softmax(three)
    assert np.array_equal(three, kept)
    order = np.asfortranarray(numbers(1, 40, 50))
    assert functions.sigmoid(order).flags.f_contiguous


def test_sum_squared_error() -> None:
    y, t = np.array([[0.5, 2.0], [1.0, 1.0]]), np.array([[1.0, 0.0], [0.0, 1.0]])
    assert functions.sum_squared_error(y, t) == pytest.approx(0.5 * (0.25 + 4 + 1))


def test_cross_entropy_error() -> None:
    y = np.array([[0.1, 0.9], [0.7, 0.3]])
    expected = -(math.log(0.9 + 1e-7) + math.log(0.7 + 1e-7)) / 2
    labels = np.array([1, 0], np.uint8)
    assert functions.cross_entropy_error(y, labels) == pytest.approx(expected, rel=1e-14)
    assert functions.cross_entropy_error(y, np.eye(2)[labels]) == pytest.approx(expected, rel=1e-14)
    assert functions.cross_entropy_error(y, np.array([[0.4, 0.6], [0.9, 0.1]])) == pytest.approx(expected, rel=1e-14)
    assert functions.cross_entropy_error(y[0], np.array([0, 1])) == pytest.approx(-math.log(0.9 + 1e-7), rel=1e-14)
    assert functions.cross_entropy_error(y[0], np.int64(1)) == pytest.approx(-math.log(0.9 + 1e-7), rel=1e-14)
    with pytest.raises(AttributeError):
        functions.cross_entropy_error(y[0], 1)
    assert functions.cross_entropy_error(np.array([0.0, 1.0]), np.array([1, 0])) == pytest.approx(16.118, abs=1e-3)
    assert functions.cross_entropy_error(np.array([0.0, 1.0]), np.array([0, 1])) == pytest.approx(-1e-7, rel=1e-6)
    assert functions.cross_entropy_error(y.astype(np.float32), labels).dtype == np.float32
    assert functions.cross_entropy_error(y[:1], np.array([[1]])) == pytest.approx(-math.log(0.9 + 1e-7))
    pairs = functions.cross_entropy_error(y, labels.reshape(2, 1))
    assert pairs == pytest.approx(-np.sum(np.log(y[[[0, 1]], [[1], [0]]] + 1e-7)) / 2)
    for bad in (np.array([0, 2]), np.array([0.0, 1.0])):
        with pytest.raises(IndexError):
            functions.cross_entropy_error(y, bad)
    assert functions.softmax_loss(np.log(y), labels) == pytest.approx(expected)


# --- layers ---------------------------------------------------------------------------------------


@every_size
@every_dtype
@pytest.mark.parametrize("order", ["C", "F"])
def test_affine(size: tuple[int, int], dtype: Any, order: Any) -> None:
    x, W, b = numbers(1, *size, dtype=dtype), numbers(2, size[1], 200, dtype=dtype), numbers(3, 200, dtype=dtype)
    W = np.asarray(W, order=order)
    layer = layers.Affine(W, b)
    assert layer.W is W and layer.b is b and layer.dW is None
    y = layer.forward(x)
    dout = numbers(4, *y.shape, dtype=dtype)
    dx = layer.backward(dout)
    exact = [array.astype(np.float64) for array in (x, W, b, dout)]
    results: Any = (
        (y, exact[0] @ exact[1] + exact[2]),
        (dx, exact[3] @ exact[1].T),
        (layer.dW, exact[0].T @ exact[3]),
        (layer.db, exact[3].sum(axis=0)),
    )
    for found, expected in results:
        assert found.dtype == dtype
        np.testing.assert_allclose(found, expected, rtol=1e-3 if dtype == np.float32 else 1e-11, atol=1e-4)
    first = layer.dW
    layer.backward(dout)
    assert layer.dW is not first


def test_affine_of_images_and_other_kinds() -> None:
    layer = layers.Affine(numbers(1, 12, 5, dtype=np.float64), np.zeros(5))
    images = numbers(2, 6, 3, 2, 2, dtype=np.float32)
    y = layer.forward(images)
    assert y.dtype == np.float64 and layer.x.shape == (6, 12) and layer.original_x_shape == images.shape
    assert layer.backward(np.ones_like(y)).shape == images.shape
    with pytest.raises(ValueError, match="align"):
        layer.forward(np.ones(12))


def test_relu_overwrites_its_gradient() -> None:
    layer, x = layers.Relu(), np.array([[-1.0, 0.0, 2.0]])
    assert layer.forward(x).tolist() == [[0, 0, 2]] and x[0, 0] == -1
    dout = np.ones((1, 3))
    assert layer.backward(dout) is dout and dout.tolist() == [[0, 0, 1]]


@every_dtype
def test_relu_clears_as_the_assignment_does(dtype: Any) -> None:
    """Large arrays of any order, with NaN, infinities and -0.0, whose sign goes."""
    x = numbers(1, 40, 50, dtype=dtype)
    x.reshape(-1)[:5] = [np.nan, np.inf, -np.inf, -0.0, 0.0]
    for given in (x, np.asfortranarray(x), x[:, ::2]):
        layer, expected, dout = layers.Relu(), given.copy(), numbers(2, *given.shape, dtype=dtype)
        expected[given <= 0] = 0
        assert layer.forward(given).tobytes() == expected.tobytes()
        slopes = np.where(given <= 0, 0, dout)
        assert layer.backward(dout) is dout and dout.tobytes() == slopes.tobytes()


@every_dtype
def test_softmax_with_loss(dtype: Any) -> None:
    scores, labels = numbers(1, 30, 20, dtype=dtype), np.arange(30) % 20
    layer = layers.SoftmaxWithLoss()
    loss = layer.forward(scores, labels)
    assert layer.loss == loss and layer.t is labels
    shares = np.exp(scores.astype(np.float64))
    shares /= shares.sum(axis=1, keepdims=True)
    expected = (shares - np.eye(20)[labels]) / 30
    np.testing.assert_allclose(layer.backward(), expected, rtol=1e-4, atol=1e-7)
    assert layer.backward(3.0).dtype == dtype
    np.testing.assert_array_equal(layer.backward(3.0), layer.backward())
    layer.forward(scores, np.eye(20)[labels])
    assert layer.backward().dtype == np.float64
    np.testing.assert_allclose(layer.backward(), expected, rtol=1e-4, atol=1e-7)


def test_sigmoid_layer() -> None:
    layer, x = layers.Sigmoid(), numbers(1, 40, 50, dtype=np.float64)
    y = layer.forward(x)
    assert layer.out is y
    np.testing.assert_allclose(layer.backward(np.ones_like(x)), y * (1 - y))


def test_dropout_draws_from_the_global_generator() -> None:
    layer, x = layers.Dropout(0.3), np.ones((20, 30))
    np.random.seed(5)  # noqa: NPY002
    expected = np.random.rand(20, 30) > 0.3  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    np.testing.assert_array_equal(layer.forward(x), expected)
    np.testing.assert_array_equal(layer.backward(2 * x), 2 * expected)
    np.testing.assert_allclose(layer.forward(x, train_flg=False), 0.7)


def test_batch_normalization() -> None:
    x, gamma, beta = numbers(1, 50, 6, dtype=np.float64), np.full(6, 2.0), np.full(6, 3.0)
    layer = layers.BatchNormalization(gamma, beta)
    assert not hasattr(layer, "xn")
    y = layer.forward(x)
    mean, variance = x.mean(axis=0), x.var(axis=0)
    np.testing.assert_allclose(y, 2 * (x - mean) / np.sqrt(variance + 1e-6) + 3, rtol=1e-10)
    np.testing.assert_allclose(layer.running_mean, 0.1 * mean)
    np.testing.assert_allclose(layer.running_var, 0.1 * variance)
    dout = numbers(2, 50, 6, dtype=np.float64)
    dx = layer.backward(dout)
    for place in ((0, 0), (17, 3)):
        differences = []
        for step in (1e-5, -1e-5):
            moved = x.copy()
            moved[place] += step
            differences.append(np.sum(layers.BatchNormalization(gamma, beta).forward(moved) * dout))
        assert dx[place] == pytest.approx((differences[0] - differences[1]) / 2e-5, abs=1e-6)
    np.testing.assert_allclose(layer.dbeta, dout.sum(axis=0))
    running = layer.running_mean.copy()
    layer.forward(x, train_flg=False)
    np.testing.assert_array_equal(layer.running_mean, running)
    images = layers.BatchNormalization(np.ones(12), np.zeros(12))
    assert images.forward(numbers(1, 5, 3, 2, 2)).shape == (5, 3, 2, 2)
    assert images.backward(numbers(1, 5, 3, 2, 2)).shape == (5, 3, 2, 2)
    with pytest.raises(ValueError, match="unpack"):
        layer.forward(np.ones((2, 3, 4)))


# --- optimizers -----------------------------------------------------------------------------------

RULES: dict[str, Any] = {
    "SGD": lambda p, g, s, k: (p - 0.1 * g, s),
    "Momentum": lambda p, g, s, k: (p + 0.9 * s - 0.1 * g, 0.9 * s - 0.1 * g),
    "Nesterov": lambda p, g, s, k: (p + 0.81 * s - 1.9 * 0.1 * g, 0.9 * s - 0.1 * g),
    "AdaGrad": lambda p, g, s, k: (p - 0.1 * g / (np.sqrt(s + g * g) + 1e-7), s + g * g),
    "RMSprop": lambda p, g, s, k: (p - 0.1 * g / (np.sqrt(0.99 * s + 0.01 * g * g) + 1e-7), 0.99 * s + 0.01 * g * g),
}


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rules(name: str, dtype: Any) -> None:
    made = getattr(optimizer, name)(lr=0.1)
    params: dict[str, Any] = {"W": numbers(1, 30, 40, dtype=dtype), "b": numbers(2, 5, dtype=dtype), "f": 3.0}
    same = dict(params)
    state = {key: (np.array(value, np.float64), np.zeros(np.shape(value))) for key, value in params.items()}
    for step in range(1, 4):
        grads = {key: (value * 0 + step) * np.ones(np.shape(value)) * 0.3 for key, value in params.items()}
        made.update(params, {**grads, "another": 1})
        state = {key: RULES[name](*state[key][:1], grads[key], state[key][1], step) for key in params}
    for key, (expected, _) in state.items():
        few = 1e-5 if dtype == np.float32 else 1e-12
        np.testing.assert_allclose(params[key], expected, rtol=few, atol=few, err_msg=key)
    assert params["W"] is same["W"] and params["b"] is same["b"] and params["W"].dtype == dtype
    with pytest.raises(KeyError):
        made.update(params, {})


def test_adam() -> None:
    made, params = optimizer.Adam(), {"W": np.ones(600)}
    m = v = 0.0
    expected = np.ones(600)
    for step in range(1, 5):
        g = 0.3 * step
        m, v = m + 0.1 * (g - m), v + 0.001 * (g * g - v)
        expected -= 0.001 * math.sqrt(1 - 0.999**step) / (1 - 0.9**step) * m / (math.sqrt(v) + 1e-7)
        made.update(params, {"W": np.full(600, g)})
    np.testing.assert_allclose(params["W"], expected, rtol=1e-13)
    assert made.iter == 4


def test_integers_cannot_be_updated() -> None:
    with pytest.raises(TypeError):
        optimizer.SGD().update({"W": np.ones(3, int)}, {"W": np.ones(3)})


# --- helpers and training -------------------------------------------------------------------------


def test_smooth_curve() -> None:
    x = np.sin(np.arange(40.0))
    smooth = util.smooth_curve(list(x))
    weights = np.kaiser(11, 2)
    assert len(smooth) == 40
    assert smooth[20] == pytest.approx(np.dot(x[15:26], weights) / weights.sum())
    assert util.smooth_curve(np.ones(20)) == pytest.approx(np.ones(20))


def test_shuffle_dataset() -> None:
    x, t = np.arange(20).reshape(10, 2), np.arange(10)
    np.random.seed(3)  # noqa: NPY002
    order = np.random.permutation(10)  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    a, b = util.shuffle_dataset(x, t)
    np.testing.assert_array_equal(a, x[order])
    np.testing.assert_array_equal(b, order)


@pytest.mark.parametrize("kind", [MultiLayerNet, MultiLayerNetExtend])
def test_initial_weights_and_names(kind: Any) -> None:
    np.random.seed(2)  # noqa: NPY002
    net = kind(6, [5, 4], 3, activation="sigmoid", weight_init_std="xavier")
    np.random.seed(2)  # noqa: NPY002
    assert list(net.params) == ["W1", "b1", "W2", "b2", "W3", "b3"]
    assert list(net.layers) == ["Affine1", "Activation_function1", "Affine2", "Activation_function2", "Affine3"]
    for name, sizes in (("W1", (6, 5)), ("W2", (5, 4)), ("W3", (4, 3))):
        expected = np.sqrt(1 / sizes[0]) * np.random.randn(*sizes)  # noqa: NPY002
        np.testing.assert_array_equal(net.params[name], expected)
    assert net.layers["Affine1"].W is net.params["W1"]


@pytest.mark.parametrize("name", ["SGD", "Momentum", "Nesterov", "AdaGrad", "RMSprop", "rmsprpo", "Adam"])
def test_trainer(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    np.random.seed(2)  # noqa: NPY002
    x = np.random.rand(60, 6)  # noqa: NPY002
    t = (x.sum(axis=1) > 3).astype(int)
    net = MultiLayerNet(6, [10], 2)
    arguments: dict[str, Any] = {"epochs": 3, "mini_batch_size": 20, "optimizer": name, "optimizer_param": {"lr": 0.01}}
    trainer = Trainer(net, x, t, x[:20], t[:20], evaluate_sample_num_per_epoch=15, **arguments)
    trainer.train()
    assert len(trainer.train_loss_list) == 9
    assert len(trainer.train_acc_list) == len(trainer.test_acc_list) == 3
    assert "test acc" in capsys.readouterr().out
    Trainer(net, x, t, x, t, verbose=False, epochs=1).train()
    assert capsys.readouterr().out == ""
