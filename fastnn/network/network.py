"""Network, which users build, train and ask for predictions."""

import copy
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from fastnn.engine import at_once, observation
from fastnn.engine.engine import Batches, Engine
from fastnn.engine.interpreters import jobs
from fastnn.engine.interpreters.jobs import DONE, REFUSED
from fastnn.engine.parameters import Parameters
from fastnn.engine.perturbation import METHODS, step_size
from fastnn.engine.plan import rows_of_layers, table_of_layers
from fastnn.engine.regularization import Regularization
from fastnn.engine.samples import Prepared
from fastnn.engine.workspace import NO_ORDER
from fastnn.errors import TrainingDivergedError
from fastnn.exchange.exchangeable import Exchangeable
from fastnn.gate import arrays, attributes, notes
from fastnn.gate.arrays import Array
from fastnn.gate.names import DifferenceMethod, LossName, Step
from fastnn.gate.slips import answers_slips
from fastnn.layers import Layer
from fastnn.losses import Loss, check_outputs
from fastnn.network import layer_options, passes, requests, training
from fastnn.network.history import History
from fastnn.operations.base import Shape
from fastnn.optimizers import Optimizer
from fastnn.system import html


@answers_slips
class Network(Exchangeable):
    """A feed-forward network of layers with a loss.

    Parameters
    ----------
    layers : sequence of Layer
        Each takes the outputs of the one before it: an Affine layer as many inputs as there are outputs before it, in
        one dimension, which Flatten makes of images.
    loss : str or fastnn.losses.Loss
        One of `fastnn.losses`, or its name, such as "softmax_cross_entropy" (the network's outputs are logits; targets
        are labels, one-hot rows or probabilities) or "mean_squared_error" (half the squared distance; targets are
        values (N, K)). All are averaged over the batch.
    rng : int or numpy Generator, optional
        Draws the initial weights; the same number gives the same weights.
    dtype : "float32" or "float64"
        The dtype of parameters, gradients and outputs; data are converted to it.
    n_threads : int, optional
        The most threads for this network, in place of `fastnn.set_num_threads`. Results do not depend on it.
    regularization : Regularization, optional
        A penalty added to the mean loss, so that weights stay small.
    input_shape : tuple of int, optional
        The shape of one sample, such as (1, 28, 28), if the first layer is no Affine, which has its own. Data are
        then (N, *input_shape).
    input_scale : float
        All methods multiply x by it, whatever its dtype: the first layer gets dtype(x) * dtype(input_scale). It is
        above 0. So 1/255 takes images in uint8 as they are: training, predictions and figures convert no more than
        some rows at a time.

    Attributes
    ----------
    params : mapping of str to array
        Views into the parameters: W1 (inputs, outputs), b1 (outputs,), W2, ...; slope1 of PRelu, gamma1 and beta1 of
        BatchNorm.
    statistics : mapping of str to array
        Views into the statistics of its inputs that BatchNorm has learned: mean1 (outputs,), variance1, ...
    optimizer : Optimizer or None
        The optimizer of the last `step` or `fit`, with which `fit` goes on by default; None before.
    history : History or None
        The history of the last `fit`.
    notes : dict
        Yours, such as the names of classes: texts, numbers, lists and dictionaries, which files keep.

    One network may be used by several Python threads: predictions run side by side, training one batch after another.
    Methods that take data accept NaN and infinity only with check_finite=False, and x as an array or as a sparse matrix
    of SciPy's, to the same bits; see `fit`.

    Examples
    --------
    >>> layers = [fastnn.Affine(2, 8), fastnn.Tanh(), fastnn.Affine(8, 2)]
    >>> net = fastnn.Network(layers, loss="softmax_cross_entropy", rng=0)
    >>> {name: value.shape for name, value in net.params.items()}
    {'W1': (2, 8), 'b1': (8,), 'W2': (8, 2), 'b2': (2,)}
    >>> x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    >>> t = np.array([0, 1, 1, 0])
    >>> history = net.fit(x, t, epochs=500, optimizer=fastnn.SGD(lr=0.5))
    >>> net.predict(x).argmax(axis=1), net.accuracy(x, t)
    (array([0, 1, 1, 0]), 1.0)
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        loss: LossName | Loss = "softmax_cross_entropy",
        *,
        rng: int | np.random.Generator | None = None,
        dtype: Any = "float32",
        n_threads: int | None = None,
        regularization: Regularization | None = None,
        input_shape: Sequence[int] | int | None = None,
        input_scale: float = 1.0,
    ) -> None:
        for name in ("forward", "loss", "gradient", "backward"):
            if getattr(type(self), name, None) is not getattr(Network, name, None):
                advice = "define a loss by fastnn.loss, a layer by fastnn.layer, or train by Network.backward"
                warnings.warn(f"fit and step do not call {type(self).__name__}.{name}; {advice}", stacklevel=3)
        self._engine = Engine(layers, loss, dtype, regularization, input_shape, input_scale)
        self.n_threads = n_threads
        check_outputs(self._engine.formula, self._engine.plan.layers[-1], self.output_shape)
        self.history: History | None = None
        self.initialize(rng)

    @classmethod
    def of(cls, engine: Engine) -> Self:
        """A network that takes over an engine with its parameters, drawing none; for fastnn's own modules."""
        check_outputs(engine.formula, engine.plan.layers[-1], engine.output_shape)
        made = cls.__new__(cls)
        vars(made).update(_engine=engine, history=None)
        return made

    def __setattr__(self, name: str, value: Any) -> None:
        attributes.check_assigned(Network, type(self), name)
        super().__setattr__(name, value)

    if not TYPE_CHECKING:  # or checkers would take any name

        def __getattr__(self, name: str) -> Any:
            if any(name in vars(kind) for kind in type(self).__mro__):
                return object.__getattribute__(self, name)  # raises what its property has raised
            raise attributes.lacking(type(self), self, name)

    @property
    def engine(self) -> Engine:
        """The plan, the memory and the compiled calls of this network; for fastnn's own modules."""
        return self._engine

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers; chosen when the network is made. `change_layers` freezes some, or changes their rates."""
        return self._engine.given_layers

    @property
    def n_threads(self) -> int | None:
        """The most threads for this network; None for `fastnn.get_num_threads`. It may be assigned."""
        return self._engine.n_threads

    @n_threads.setter
    def n_threads(self, n: int | None) -> None:
        self._engine.n_threads = None if n is None else arrays.integer("n_threads", n, minimum=1)

    @property
    def loss_name(self) -> str:
        """The name of the loss."""
        return self._engine.formula.name

    @property
    def regularization(self) -> Regularization:
        """A copy of the regularization, which is chosen when the network is made."""
        return replace(self._engine.regularization)

    @property
    def optimizer(self) -> Optimizer | None:
        """The optimizer of the last update, with which `fit` goes on; a schedule's rates aside."""
        return self._engine.optimizer

    @property
    def notes(self) -> dict[str, Any]:
        """The dictionary of notes about the network, which may be changed or replaced."""
        found: dict[str, Any] = vars(self).setdefault("_notes", {})
        return found

    @notes.setter
    def notes(self, given: dict[str, Any]) -> None:
        vars(self)["_notes"] = notes.dictionary(given)

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 or float64: the dtype of the parameters, gradients and outputs."""
        return self._engine.dtype

    @property
    def params(self) -> Parameters:
        """The parameters by name, as writable views."""
        return self._engine.params

    @property
    def statistics(self) -> Parameters:
        """The statistics that BatchNorm has learned by name, as writable views."""
        return self._engine.statistics

    @property
    def input_shape(self) -> Shape:
        """The shape of one sample: (D,), or (C, H, W) of images."""
        return self._engine.input_shape

    @property
    def input_scale(self) -> float:
        """The factor of all inputs; chosen when the network is made."""
        return self._engine.input_scale.factor

    @property
    def output_shape(self) -> Shape:
        """The shape of the outputs of one sample."""
        return self._engine.output_shape

    @property
    def inputs(self) -> int:
        """Number of inputs D."""
        return self._engine.inputs

    @property
    def outputs(self) -> int:
        """Number of outputs K."""
        return self._engine.outputs

    @answers_slips
    def initialize(self, rng: int | np.random.Generator | None = None) -> None:
        """Draw the weights and dropout's seed anew and reset the other parameters and statistics.

        The optimizer and its state are forgotten.

        Examples
        --------
        >>> net = fastnn.Network([fastnn.Affine(3, 2)], rng=0)
        >>> first = net.params["W1"].copy()
        >>> _ = net.fit(np.eye(3), [0, 1, 1], epochs=2)
        >>> net.initialize(rng=0)  # as if it had never been trained
        >>> np.array_equal(net.params["W1"], first)
        True
        """
        generator, engine = arrays.generator("rng", rng), self._engine
        named, counts = {**self.params, **self.statistics}, Counter[str]()
        for i, layer in enumerate(engine.layers):
            follows = next((later.init_before for later in engine.layers[i + 1 :] if later.init_before), "xavier")
            for name, value in layer.beginnings(follows, generator).items():
                counts[name] += 1
                named[f"{name}{counts[name]}"][...] = value
        engine.state_owner, engine.optimizer, engine.counters[:] = None, None, 0
        if any(layer.is_random for layer in engine.layers):
            drawn = generator.integers(2**31)
            engine.counters[jobs.SEED] = arrays.integer("rng.integers(2**31)", drawn, 0, 2**31 - 1)

    def predict(self, x: Any, *, out: Any = None, check_finite: bool = True) -> Array:
        """The outputs of the last layer; for a classifier logits, which `fastnn.softmax` turns into probabilities.

        Parameters
        ----------
        x : array or sparse matrix (N, D)
            (N, *input_shape) if the network takes images.
        out : array (N, K), optional
            Receives the outputs; must not overlap x.

        Returns
        -------
        array (N, K)
            (N, *output_shape) if the last layer gives images.

        Examples
        --------
        >>> net = fastnn.Network([fastnn.Affine(3, 2, init="zeros")])
        >>> net.params["b1"][...] = [0.0, np.log(3.0)]
        >>> logits = net.predict(np.ones((5, 3)))
        >>> logits.shape, logits.dtype
        ((5, 2), dtype('float32'))
        >>> fastnn.softmax(logits)[0].round(3)
        array([0.25, 0.75], dtype=float32)
        """
        y = at_once.predict(self._engine, x, out) if check_finite is True else None
        return self._engine.predict(x, out, check_finite) if y is None else y

    def loss(self, x: Any, t: Any, *, check_finite: bool = True) -> float:
        """The mean loss over the batch x (N, D) with targets t (see `Network`).

        Examples
        --------
        >>> net = fastnn.Network([fastnn.Affine(3, 2, init="zeros")])  # both classes are equally probable
        >>> round(net.loss(np.ones((5, 3)), np.array([0, 0, 1, 1, 1])), 4)  # log 2
        0.6931
        """
        y = None
        if check_finite is True and not observation.is_watching():
            y = at_once.predict(self._engine, x, None)
            short = None if y is None else at_once.loss(self._engine, y, t)
            if short is not None:
                return short
        data = self._engine.prepare(x, t, check_finite)
        loss = self._engine.evaluate(*data, y)[0]
        observation.note_loss(self._engine, data, loss)
        return loss

    def accuracy(self, x: Any, t: Any, *, check_finite: bool = True) -> float:
        """The fraction of samples whose largest output is the target's; t: labels (N,) or one-hot rows (N, K).

        With one output and a loss of two classes, the fraction on the target's side of the border: 0 for logits and
        margins, 1/2 for the probabilities of log_loss.

        Examples
        --------
        >>> net = fastnn.Network([fastnn.Affine(2, 2)])
        >>> net.params["W1"][...], net.params["b1"][...] = np.eye(2), 0.0  # the outputs are the inputs
        >>> net.accuracy([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7], [0.0, 1.0]], np.array([1, 0, 0, 1]))
        0.75
        """
        y = at_once.predict(self._engine, x, None) if check_finite is True else None
        short = None if y is None else at_once.accuracy(self._engine, y, t)
        return passes.accuracy(self._engine, x, t, check_finite, y) if short is None else short

    def gradient(self, x: Any, t: Any, *, check_finite: bool = True) -> dict[str, Array]:
        """The gradient of the mean loss by every parameter, by back-propagation; new arrays keyed like `params`.

        As in `loss`, Dropout drops nothing and BatchNorm uses its running statistics.

        Examples
        --------
        >>> net = fastnn.Network([fastnn.Affine(2, 1, init="zeros")], loss="mean_squared_error")
        >>> gradient = net.gradient(np.array([[1.0, 2.0]]), np.array([[3.0]]))
        >>> gradient["W1"], gradient["b1"]  # x^T (y - t) and y - t with y = 0
        (array([[-3.],
               [-6.]], dtype=float32), array([-3.], dtype=float32))
        """
        found = at_once.gradient(self._engine, x, t) if check_finite is True else None
        return self._engine.by_name(self._train_batch(x, t, None, check_finite)[1]) if found is None else found

    @answers_slips
    def outputs_of_layers(self, x: Any, *, check_finite: bool = True) -> list[Array]:
        """Each layer's outputs for x (N, D), new arrays (N, outputs), first to last; the last is `predict(x)`.

        Examples
        --------
        >>> net = fastnn.Network([fastnn.Affine(4, 3), fastnn.Relu(), fastnn.Affine(3, 2)], rng=0)
        >>> [y.shape for y in net.outputs_of_layers(np.ones((5, 4)))]
        [(5, 3), (5, 3), (5, 2)]
        """
        return passes.outputs(self._engine, x, check_finite)

    @answers_slips
    def backward(self, x: Any, dy: Any, *, need_dx: bool = False, check_finite: bool = True) -> Any:
        """Back-propagate your own gradient by the outputs, such as that of a loss that fastnn does not have.

        Regularization adds nothing; as in `gradient`, Dropout drops nothing and BatchNorm uses its learned statistics.

        Parameters
        ----------
        x : array (N, D)
            Or (N, *input_shape); dy likewise (N, *output_shape).
        dy : array (N, K)
            The gradient of your loss by `predict(x)`; divide it by N if the loss is a mean.
        need_dx : bool
            Also return the gradient by x, as it is before `input_scale` multiplies it.

        Returns
        -------
        dict, or (dict, array (N, D)) with need_dx
            The gradient by every parameter, new arrays keyed like `params`.

        Examples
        --------
        >>> net = fastnn.Network([fastnn.Affine(2, 1, init="zeros")], loss="mean_squared_error")
        >>> x, t = np.array([[1.0, 2.0], [0.0, 1.0]]), np.array([[3.0], [1.0]])
        >>> dy = np.sign(net.predict(x) - t) / len(x)  # of the mean absolute error
        >>> net.backward(x, dy)["W1"]
        array([[-0.5],
               [-1.5]], dtype=float32)
        >>> gradient, dx = net.backward(x, dy, need_dx=True)
        >>> dx.shape
        (2, 2)
        """
        return passes.backward(self._engine, x, dy, need_dx, check_finite)

    @answers_slips
    def numerical_gradient(
        self, x: Any, t: Any, h: float | Step = 1e-4, method: DifferenceMethod = "central", *, check_finite: bool = True
    ) -> dict[str, Array]:
        """The difference quotient of the mean loss by every parameter; new float64 arrays keyed like `params`.

        Each is (L(p + h) - L(p - h)) / (2 h), or another method's quotient, with the parameter p alone moved. It is
        evaluated in float64 from the changes: one column of a tensor, then the tensors after it. It shares nothing with
        `gradient` but the forward pass. Parameters keep their bits.

        Parameters
        ----------
        x, t : arrays
            As for `loss`.
        h : float or "auto"
            Step, above 0, as for `fastnn.numerical_diff`.
        method : str
            As for `fastnn.numerical_diff`.

        Examples
        --------
        >>> net = fastnn.Network([fastnn.Affine(4, 3), fastnn.Tanh(), fastnn.Affine(3, 2)], rng=0, dtype="float64")
        >>> x, t = np.eye(4), np.array([0, 1, 1, 0])
        >>> numerical, analytic = net.numerical_gradient(x, t), net.gradient(x, t)
        >>> bool(max(np.abs(numerical[name] - analytic[name]).max() for name in analytic) < 1e-8)
        True
        """
        arrays.choice("method", method, METHODS)
        size, relative = step_size(h, METHODS[method])
        return self._engine.perturbation(self._engine.prepare(x, t, check_finite)).gradient(method, size, relative)[0]

    def step(self, x: Any, t: Any, optimizer: Optimizer, *, check_finite: bool = True) -> float:
        """Update the parameters once by the batch x, t; return the mean loss in training, before the update.

        With Dropout this is the loss of the thinned network, with BatchNorm the loss by the batch's statistics.

        Raises
        ------
        ValueError
            Also for a batch of one row with BatchNorm, which would turn it into 0, and if all layers are frozen.
        TrainingDivergedError
            If the loss is not finite; the parameters are left as they were.

        Examples
        --------
        >>> net = fastnn.Network([fastnn.Affine(1, 1, init="zeros")], loss="mean_squared_error")
        >>> optimizer = fastnn.SGD(lr=0.5)
        >>> for _ in range(3):
        ...     print(net.step([[1.0]], [[2.0]], optimizer))  # (2 - y)^2 / 2, where y = 0, 2, 2
        2.0
        0.0
        0.0
        """
        loss = at_once.step(self._engine, x, t, optimizer) if check_finite is True else None
        return self._train_batch(x, t, requests.checked(self, optimizer), check_finite)[0] if loss is None else loss

    fit = answers_slips(training.fit)
    change_layers = layer_options.change_layers

    @answers_slips
    def save(self, path: Any) -> None:
        """Write the network to a file that `fastnn.load` reads; see `fastnn.network.persistence.save`.

        Examples
        --------
        >>> net = fastnn.Network([fastnn.Affine(2, 2)], rng=0)
        >>> net.save("net.npz")
        >>> np.array_equal(fastnn.load("net.npz").params["W1"], net.params["W1"])
        True
        """
        from fastnn.network.persistence import save

        save(self, path)

    def summary(self) -> str:
        """A table of the layers: outputs, parameters, and the activation's number if it has one.

        Examples
        --------
        >>> net = fastnn.Network([fastnn.Affine(784, 50), fastnn.Relu(), fastnn.Affine(50, 10)])
        >>> print(net.summary())
        layer                                outputs  parameters
        --------------------------------------------------------
        Affine(784, 50)                           50      39,250
        Relu()                                    50           -
        Affine(50, 10)                            10         510
        --------------------------------------------------------
        loss softmax_cross_entropy, float32               39,760
        """
        return table_of_layers(self._rows())

    def _rows(self) -> list[tuple[str, str, str]]:
        scale = "" if self._engine.input_scale.is_one else f", input_scale {self.input_scale:.6g}"
        title = f"loss {self.loss_name}, {self.dtype}{scale}"
        return rows_of_layers(self._engine.layers, self._engine.shapes, title)

    def _repr_html_(self) -> str:
        """The summary as a table for notebooks."""
        return html.table(self._rows()[0], self._rows()[1:])

    def __repr__(self) -> str:
        layers = ", ".join(str(layer) for layer in self.layers)
        loss = f'"{self.loss_name}"' if self._engine.loss == type(self._engine.formula)() else repr(self._engine.loss)
        penalty = "" if self.regularization.is_none else f", regularization={self.regularization!r}"
        tells = self._engine.layers[0].own_input_shape() is not None
        shape = "" if tells else f", input_shape={self.input_shape}"
        scale = "" if self._engine.input_scale.is_one else f", input_scale={self.input_scale}"
        return f'Network([{layers}], loss={loss}, dtype="{self.dtype}"{penalty}{shape}{scale})'

    def _train_batch(self, x: Any, t: Any, optimizer: Optimizer | None, check_finite: bool) -> tuple[float, Array]:
        """Run one batch: return its mean loss and, without an optimizer, the gradient.

        The kernel checks plain arrays, in a tenth of the gate's time for few samples.
        """
        result: Batches = (0, 0.0, 0, REFUSED)
        if check_finite is not True:
            check_finite = arrays.flag("check_finite", check_finite)
        if targets := at_once.plain_targets(self._engine, x, t):
            rows = x if self._engine.takes_rows else x.reshape(len(x), self.inputs)
            result, penalty, gradient = self._run_batch((rows, *targets), optimizer, (True, check_finite))
        if result[3] == REFUSED:  # the gate says why, outside the lock: it may call a user's code
            data = x, _, _ = self._engine.prepare(x, t, check_finite)
            result, penalty, gradient = self._run_batch(data, optimizer, (False, False))
        if result[3] != DONE and optimizer is not None:
            came = f"NaN or infinity on a batch of {len(x)}; the parameters were left as they were"
            remedy = "lower the learning rate, scale the data, or initialize() again"
            raise TrainingDivergedError(f"loss: expected a finite number, got {came}: {remedy}")
        return self._engine.regularization.data * result[1] / len(x) + penalty, gradient

    def _run_batch(
        self, data: Prepared, optimizer: Optimizer | None, check: tuple[bool, bool]
    ) -> tuple[Batches, float, Array]:
        """The result of `Engine.run_batches`, the penalty before it, and the gradient: a copy without an optimizer."""
        engine, rule = self._engine, self._engine.rule(optimizer)
        with engine.lock:
            penalty = engine.penalty()
            result = engine.run_batches((*data, NO_ORDER), optimizer, (0, 1, len(data[0])), check=check, rule=rule)
            return result, penalty, engine.gradients.copy() if optimizer is None else engine.gradients

    def __copy__(self) -> "Network":
        """A copy with its own parameters, like a deep copy."""
        made = type(self).__new__(type(self))
        vars(made).update(vars(self), _engine=copy.copy(self._engine), _notes=copy.deepcopy(self.notes))
        return made
