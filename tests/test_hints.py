"""The usual slips: a sentence that leads to the mended call, never a raw error of Python or NumPy."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse

import fastnn as package

fastnn: Any = package  # slips are of wrong types
datasets, information, plots = fastnn.datasets, fastnn.information, fastnn.plots

X = np.full((2, 3), 0.5)
CSR = scipy.sparse.csr_array(X)
LABELS, COLUMN = np.array([0, 1]), np.array([[0], [1]])
ONE_UNIT = (
    "of at least 2 classes, got shape (2, 1); for outputs of one unit pass predicted.ravel() > 0.5, or > 0 of logits"
)


def squares(x: Any) -> Any:
    return (x**2).sum()


def network(**options: Any) -> Any:
    return fastnn.Network([fastnn.Affine(3, 2)], **options)


def drawn(name: str, *arguments: Any) -> Any:
    """A picture of fastnn.plots, where there is matplotlib."""
    pytest.importorskip("matplotlib")
    return getattr(plots, name)(*arguments)


SLIPS: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (
        lambda: datasets.one_hot([0, 1], 10**13),
        ValueError,
        "classes: expected a number whose result of shape (2, 100000",
    ),
    (
        lambda: datasets.one_hot([0, 1], 10**30),
        ValueError,
        "classes: expected a number whose result of shape (2, 100000",
    ),
    (lambda: fastnn.confusion_matrix([0, 1], [0, 1], 10**12), ValueError, "classes: expected a number whose result of"),
    (lambda: fastnn.classification_scores([0], [0], 10**12), ValueError, "classes: expected a number whose result of"),
    (lambda: fastnn.confusion_matrix(LABELS, np.array([[0.2], [0.7]])), ValueError, ONE_UNIT),
    (
        lambda: fastnn.classification_scores(LABELS, COLUMN),
        ValueError,
        "got shape (2, 1); for labels pass predicted.ravel()",
    ),
    (
        lambda: fastnn.confusion_matrix(COLUMN, LABELS),
        ValueError,
        "t: expected labels of shape (2,), integers from 0 to",
    ),
    (
        lambda: fastnn.confusion_matrix(X, LABELS),
        ValueError,
        "from one-hot targets pass t.argmax(axis=1); outputs come",
    ),
    (
        lambda: drawn("descent_paths", squares, [-7.0, 2.0]),
        TypeError,
        "paths: expected an array (steps + 1, 2) or a list of",
    ),
    (
        lambda: drawn("descent_paths", squares, 3.0),
        TypeError,
        "paths: expected an array (steps + 1, 2) or a list of such",
    ),
    (lambda: drawn("activations", 3), TypeError, "names: expected names of activations, got 3; pass a list"),
    (
        lambda: fastnn.log_loss(0.6, [1]),
        TypeError,
        "y: expected a float32 or float64 array of shape (N, K), got 0.6; pass np.array([[y]])",
    ),
    (
        lambda: fastnn.affine_forward(X, np.ones((3, 2)), 1.0),
        TypeError,
        "b: expected a float64 array of shape (2,), got 1.0; pass an array of that shape",
    ),
    (lambda: fastnn.softmax_cross_entropy(X, 1), TypeError, "got 1; pass an array of that shape"),
    (lambda: fastnn.activation_forward("erelu", X), ValueError, "got 'erelu'; did you mean 'elu'?"),
    (lambda: fastnn.activation_forward("prelu", X), ValueError, "got 'prelu'; did you mean 'leaky_relu'?"),
    (
        lambda: information.entropy(0.5),
        TypeError,
        "p: expected a distribution of shape (K,) or (..., K), got 0.5; for two outcomes pass [p, 1 - p]",
    ),
    (
        lambda: datasets.k_fold(X, [0, None], 2),
        TypeError,
        "t: expected labels that sort, got different kinds; number the classes, or pass stratify=False",
    ),
    (
        lambda: network().predict(np.zeros((2, 2, 3))),
        ValueError,
        "got shape (2, 2, 3); x.reshape(len(x), -1) makes rows of 6 numbers, for as many inputs",
    ),
    (
        lambda: network().fit(X, LABELS, epochs=1.5),
        TypeError,
        "epochs: expected an integer of at least 0, got 1.5; pass 1 or 2",
    ),
    (
        lambda: network().fit(X, LABELS, epochs=2.0),
        TypeError,
        "epochs: expected an integer of at least 0, got 2.0; pass 2",
    ),
    (lambda: network(rng=-1), ValueError, "a seed of at least 0 or a np.random.Generator, got -1; pass one such as 0"),
    (
        lambda: setattr(network(), "n_thread", 1),
        AttributeError,
        "got n_thread, which nothing would read; did you mean 'n_threads'?; pass a learning rate as",
    ),
    (
        lambda: setattr(network(), "lerning_rate", 1),
        AttributeError,
        "a learning rate as optimizer=fastnn.SGD(lr=0.1), and",
    ),
    (lambda: fastnn.set_num_threads(np.ones(3)), TypeError, "n: expected an integer from 1 to"),
    (
        lambda: fastnn.cross_validate(lambda rng: None, X, LABELS, np.ones(2)),
        TypeError,
        "folds: expected a number or pairs",
    ),
    (
        lambda: fastnn.numerical_gradient(squares, np.ones(2), subset="a"),
        TypeError,
        "subset: expected an array, got 'a'",
    ),
    (
        lambda: fastnn.numerical_gradient(squares, [3.0, 4.0]),
        TypeError,
        "got an object of type list; f reads x while its entries are moved, so pass np.array(x, dtype=float)",
    ),
    (
        lambda: fastnn.numerical_gradient(squares, np.array([3, 4])),
        TypeError,
        "got dtype int64; pass np.array(x, dtype=float)",
    ),
    (
        lambda: fastnn.cross_validate(lambda rng: network(), CSR, LABELS, 2, standardize=True),
        TypeError,
        "standardize: expected False for a sparse matrix, whose zeros would not stay zeros, got True; leave it out",
    ),
    (lambda: fastnn.numerical_gradient(squares, CSR), TypeError, "got a sparse matrix; use x.toarray()"),
    (
        lambda: network().predict([CSR[:1], CSR[1:]]),
        TypeError,
        "got a list of sparse matrices; pass scipy.sparse.vstack(x)",
    ),
    (
        lambda: fastnn.BatchNorm(300),
        ValueError,
        "momentum: expected a finite number of at least 0.0 and below 1.0, got 300; BatchNorm finds its width itself",
    ),
    (lambda: fastnn.BatchNorm(epsilon=0), ValueError, "epsilon: expected a finite number above 0.0, got 0"),
    (lambda: fastnn.Relu(50), TypeError, "Relu: expected no arguments, got 50; leave it out"),
    (
        lambda: fastnn.Dropout(0.5, 3),
        TypeError,
        "Dropout: expected at most 1 argument without a name, rate, got 2; leave the others out",
    ),
    (
        lambda: fastnn.Affine(64, 10, 20),
        ValueError,
        "init: expected a name or a standard deviation, got 20; each layer has one width: Affine(64, 10), then one",
    ),
    (
        lambda: datasets.Standardize(X),
        TypeError,
        "Standardize: expected no arguments, got an object of type ndarray; pass it to fit: Standardize().fit(x)",
    ),
    (
        lambda: network().fit(X, LABELS, metrics=["accuracy"]),
        ValueError,
        "'top_5_accuracy', got 'accuracy'; leave it out, as fit measures it in any case",
    ),
    (
        lambda: network().fit(X, LABELS, class_weight="balanced"),
        TypeError,
        "one for each class, got 'balanced'; for labels t pass len(t) / (2 * np.bincount(t, minlength=2))",
    ),
    (
        lambda: network().fit(X, LABELS, class_weight={0: 1.0, 1: 2.5}),
        TypeError,
        "one for each class, got a dict; pass them in order of the labels, such as [1.0, 2.5]",
    ),
    (
        lambda: fastnn.numerical_gradient(squares, network().params),
        TypeError,
        "x: expected an array of floats, writable and not empty, got arrays by name; pass one of them, such as "
        "params['W1'], or call Network.numerical_gradient, which takes all",
    ),
    (lambda: fastnn.numerical_gradient(squares, np.ones(2) * 1j), TypeError, "got dtype complex128; pass np.real(x)"),
    (
        lambda: fastnn.cross_validate(lambda: network(), X, LABELS, 2),
        TypeError,
        "new network, got a function that takes no argument; pass one such as lambda rng: fastnn.Network",
    ),
    (
        lambda: fastnn.Network([fastnn.Affine(3, 2)], "softmax_cross_entropy", "float64"),
        TypeError,
        "Network: expected at most 2 arguments without a name, layers, loss, got 3; pass the others by name: rng=, ",
    ),
    (lambda: network(loss="float64"), ValueError, "got 'float64'; pass it as dtype='float64'"),
    (lambda: network(loss=np.float32), TypeError, "got <class 'numpy.float32'>; pass it as dtype='float32'"),
    (
        lambda: network().predict_proba(X),
        AttributeError,
        "Network: expected the name of an attribute, got predict_proba; pass the outputs of predict to fastnn.softmax",
    ),
    (lambda: network().parameters, AttributeError, "got parameters; take params, the arrays by name"),
    (
        lambda: network(loss="sigmoid_cross_entropy").predict_proba,
        AttributeError,
        "got predict_proba; call fastnn.activation_forward('sigmoid', y) for the outputs y of predict",
    ),
    (
        lambda: network(loss="mean_squared_error").predict_proba,
        AttributeError,
        "got predict_proba; the outputs for the loss mean_squared_error are no probabilities",
    ),
    (lambda: setattr(network(), "W1", 1), AttributeError, "name of an attribute, got W1; assign to params['W1']"),
    (lambda: network().W1, AttributeError, "got W1; it is params['W1']"),
    (lambda: network().check_gradients, AttributeError, "; call fastnn.check_gradients(network, x, t)"),
    (lambda: network().evaluate, AttributeError, "got evaluate; call loss(x, t) and accuracy(x, t)"),
    (lambda: network().train_on_batch, AttributeError, "got train_on_batch; call step(x, t, optimizer)"),
    (lambda: fastnn.Sequential, AttributeError, "has no attribute 'Sequential'; it is Network([...])"),
    (lambda: fastnn.Conv2D, AttributeError, "no attribute 'Conv2D'; it is Conv2d, for images (channels,"),
    (lambda: fastnn.BatchNorm2d, AttributeError, "no attribute 'BatchNorm2d'; it is BatchNorm(), also for images"),
    (lambda: fastnn.SpatialDropout2D, AttributeError, "no attribute 'SpatialDropout2D'; it is Dropout2d(0.5), for"),
    (lambda: fastnn.MaxPooling2D, AttributeError, "no attribute 'MaxPooling2D'; it is MaxPool2d(2), for images"),
    (lambda: fastnn.AvgPool2D, AttributeError, "no attribute 'AvgPool2D'; it is AvgPool2d(2), for images"),
    (lambda: fastnn.save, AttributeError, "no attribute 'save'; call network.save(path)"),
    (lambda: fastnn.find_lr, AttributeError, "no attribute 'find_lr'; it is find_learning_rate"),
    (lambda: network().summery, AttributeError, "got summery; did you mean 'summary'?"),
    (lambda: fastnn.random_restarts(lambda rng: network(), X, LABELS, restarts=3), TypeError, "got 'restarts'; pass n"),
    (lambda: fastnn.train_test_split, AttributeError, "no attribute 'train_test_split'; it is datasets.train_test_"),
    (lambda: fastnn.Perceptron, AttributeError, "no attribute 'Perceptron'; it is models.Perceptron"),
]


@pytest.mark.parametrize(("call", "error", "sentence"), SLIPS)
def test_slips(call: Callable[[], Any], error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=re.escape(sentence)):
        call()


def test_the_hints_lead_on() -> None:
    loss, _ = fastnn.log_loss(np.array([[0.6]]), [1])
    assert loss == pytest.approx(-np.log(0.6))
    outputs = np.array([[0.2], [0.7]])
    assert fastnn.confusion_matrix(LABELS, outputs.ravel() > 0.5).tolist() == [[1, 0], [0, 1]]
    assert fastnn.confusion_matrix(LABELS, LABELS, 3000).sum() == 2
    assert datasets.one_hot([0, 1], 3).tolist() == [[1, 0, 0], [0, 1, 0]]


NAMED = "it is chosen when a network is made: pass {}= to Network"


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        *((name, NAMED.format(name)) for name in ("loss", "layers", "dtype", "input_scale", "regularization")),
        *(
            (name, "it is a method: define your own in a subclass")
            for name in ("fit", "predict", "from_torch", "to_torch")
        ),
        ("params", "assign to params['W1'], ..., or call params.update"),
        ("optimizer", "pass it to fit or step"),
        ("outputs", "it follows from the layers and the loss: make a network"),
    ],
)
def test_attributes_that_stay(name: str, remedy: str) -> None:
    class Own(fastnn.Network):  # type: ignore[misc]
        pass

    sentence = f"Network: expected one of history, n_threads, notes to be assigned, got {name}; {remedy}"
    for kind in (fastnn.Network, Own):
        with pytest.raises(AttributeError, match=f"^{re.escape(sentence)}$"):
            setattr(kind([fastnn.Affine(3, 2)]), name, 3)


def test_what_may_be_assigned() -> None:
    class Own(fastnn.Network):  # type: ignore[misc]
        outputs = 7

    net = network()
    net.n_threads, net.notes, net.history = 1, {"a": 1}, None
    assert (net.n_threads, net.notes, net.history) == (1, {"a": 1}, None)
    own = Own([fastnn.Affine(3, 2)])
    own.outputs = own.mine = 3
    assert own.outputs == own.mine == 3


def test_a_copy_of_parameters() -> None:
    net = network(rng=0)
    before, first = net.params.copy(), net.params["W1"].copy()
    net.params["W1"][...] = 0.0
    assert isinstance(before, dict) and list(before) == ["W1", "b1"] and np.array_equal(before["W1"], first)
    net.params.update(before)
    assert np.array_equal(net.params["W1"], first)


def test_update_of_parameters() -> None:
    """As of a dictionary; nothing is written if one of the arrays does not fit."""
    net = network(rng=0)
    net.params.update({"W1": np.ones((3, 2)), "b1": [1.0, 2.0]})
    assert (net.params["W1"] == 1.0).all() and net.params["b1"].tolist() == [1.0, 2.0]
    net.params.update(b1=np.zeros(2))
    assert net.params["b1"].tolist() == [0.0, 0.0]
    with pytest.raises(ValueError, match=r"params\['W1'\]: expected a float32 array of shape \(3, 2\)"):
        net.params.update({"b1": np.ones(2), "W1": np.ones(3)})
    with pytest.raises(KeyError, match="params: expected one of W1, b1, got 'W2'"):
        net.params.update({"b1": np.ones(2), "W2": np.ones(3)})
    assert net.params["b1"].tolist() == [0.0, 0.0]
    square = fastnn.Network([fastnn.Affine(2, 2), fastnn.Affine(2, 2)], rng=0)
    first, second = square.params["W1"].copy(), square.params["W2"].copy()
    square.params.update(W1=square.params["W2"], W2=square.params["W1"])
    assert (square.params["W1"] == second).all() and (square.params["W2"] == first).all()


def test_a_list_of_points_is_a_path() -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot")
    ax = plots.descent_paths(squares, [[-7.0, 2.0], [1.0, 1.0]])
    assert list(ax.lines[0].get_xdata()) == [-7.0, 1.0]
    pyplot.close("all")


def test_a_list_that_holds_itself_twice() -> None:
    value: list[Any] = [1.0]
    value += [value, value]
    with pytest.raises(TypeError, match=r"^x: expected a float32 or float64 array, got a ragged list"):
        fastnn.softmax(value)


class Mine(fastnn.Network):  # type: ignore[misc, unused-ignore]
    """A network with attributes of its own."""

    my_values = 3

    @property
    def broken(self) -> Any:
        return self.data_that_is_missing  # type: ignore[attr-defined, unused-ignore]


def test_a_property_of_a_subclass_raises_its_own_error() -> None:
    net = Mine([fastnn.Affine(3, 2)])
    with pytest.raises(AttributeError, match="got data_that_is_missing"):
        getattr(net, "broken")  # noqa: B009
    with pytest.raises(AttributeError, match="got my_value; did you mean 'my_values'"):
        getattr(net, "my_value")  # noqa: B009
    with pytest.raises(AttributeError, match="got _engine"):
        getattr(fastnn.Network.__new__(fastnn.Network), "params")  # noqa: B009
