"""Network: a plan, flat vectors of parameters and gradients, and the scratch that kernels need.

Imports the gate, threads, the descriptions (layers, optimizers, initializers), plan, workspace and kernels.
`fit` and `save` hand over to fastnn.training and fastnn.persistence, which import this module.
"""

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from fastnn import arrays, initializers, observation, threads
from fastnn.arrays import Array
from fastnn.errors import TrainingDivergedError
from fastnn.kernels import job, operations
from fastnn.kernels import network as kernels
from fastnn.kernels.losses import LOSSES, SOFTMAX_CROSS_ENTROPY
from fastnn.kernels.updates import UPDATES
from fastnn.layers import RELU_FAMILY, Affine, Layer, Softmax
from fastnn.optimizers import Optimizer, check_optimizer
from fastnn.parameters import Parameters, vector
from fastnn.perturbation import METHODS, Model, Perturbation, step_size
from fastnn.plan import check_layers, compile_plan, table_of_layers
from fastnn.workspace import INDEX, Workspace, take_for_prediction

if TYPE_CHECKING:
    from fastnn.training import Callback, History

NO_ORDER = np.empty(0, INDEX)  # samples as they come
# A compiled call cannot be interrupted: predictions are cut into calls of at most this, 0.1 s at 20 GFLOP/s.
FLOP_PER_CALL = 2e9
FLOP_PER_LOSS = 20.0  # for each output; decides only whether threads pay
LARGEST_KEPT = 1 << 26  # bytes of activations of a batch; the workspace of a larger one is given back after it
Snapshot: TypeAlias = tuple[Array, Array, str | None]  # parameters (P,), state (vectors, P), whose update it is


class Network:
    """A feed-forward network of layers with a loss.

    Parameters
    ----------
    layers : sequence of Layer
        The first is an Affine layer; each Affine takes as many inputs as the one before it has outputs.
    loss : str
        "softmax_cross_entropy" (the network's outputs are logits; targets are labels, one-hot rows or probabilities) or
        "mean_squared_error" (half the squared distance, averaged over the batch; targets are values (N, K)).
    rng : int or numpy Generator, optional
        For the initial weights. The same number gives the same weights.
    dtype : "float32" or "float64"
        Of parameters, gradients and outputs; data are converted to it.
    n_threads : int, optional
        At most so many for this network, in place of `fastnn.set_num_threads`. Results do not depend on it.

    Attributes
    ----------
    params : mapping of str to array
        Views into the parameters: W1 (inputs, outputs), b1 (outputs,), W2, ...
    history : History or None
        Of the last `fit`.

    One network may be used by several Python threads: predictions run side by side, training one batch after another.
    Methods that take data accept NaN and infinity only with check_finite=False.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        loss: str = "softmax_cross_entropy",
        *,
        rng: int | np.random.Generator | None = None,
        dtype: Any = "float32",
        n_threads: int | None = None,
    ) -> None:
        self.layers = check_layers(layers)
        self.loss_name = arrays.choice("loss", loss, LOSSES)
        if LOSSES[self.loss_name] == SOFTMAX_CROSS_ENTROPY and isinstance(self.layers[-1], Softmax):
            raise ValueError(
                "layers: expected logits from the last layer, got Softmax(), which the loss softmax_cross_entropy "
                "applies itself; leave the Softmax layer out"
            )
        dtype = arrays.float_dtype("dtype", dtype)
        self.n_threads = None if n_threads is None else arrays.integer("n_threads", n_threads, minimum=1)
        self._plan, self._places, self._columns, size = compile_plan(self.layers, LOSSES[self.loss_name])
        self._values, self._gradients = vector(size, dtype), vector(size, dtype)
        self._no_targets = np.empty((0, self.outputs), dtype)
        self._state = np.zeros((0, size), dtype)
        self._state_owner: str | None = None
        self._workspace: Workspace | None = None
        self._prediction_workspaces: list[Workspace] = []  # those that no thread is using
        self._inputs, self._outputs = self.inputs, self.outputs
        self._lock = threading.RLock()
        self.history: History | None = None
        observation.register(self)
        self.initialize(rng)

    def initialize(self, rng: int | np.random.Generator | None = None) -> None:
        """Draw the weights anew, set the biases to 0 and forget the optimizer's state."""
        generator = arrays.generator("rng", rng)
        affine = [(i, layer) for i, layer in enumerate(self.layers) if isinstance(layer, Affine)]
        for number, (i, layer) in enumerate(affine, start=1):
            follows = self.layers[i + 1] if i + 1 < len(self.layers) else None
            init = layer.init if layer.init is not None else "he" if isinstance(follows, RELU_FAMILY) else "xavier"
            self.params[f"W{number}"][...] = initializers.weights(init, layer.inputs, layer.outputs, generator)
            self.params[f"b{number}"][...] = 0.0
        self._state_owner = None

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 or float64: that of the parameters, gradients and outputs."""
        dtype: np.dtype[Any] = self._values.dtype
        return dtype

    @property
    def params(self) -> Parameters:
        """The parameters by name, views to read and to write to."""
        return Parameters(self._values, self._places)

    @property
    def inputs(self) -> int:
        """Number of inputs D."""
        return int(self._plan.operations[0, job.INPUTS])

    @property
    def outputs(self) -> int:
        """Number of outputs K."""
        return int(self._plan.operations[-1, job.OUTPUTS])

    def predict(self, x: Any, *, out: Any = None, check_finite: bool = True) -> Array:
        """The outputs of the last layer; for a classifier logits, of which `fastnn.softmax` makes probabilities.

        Parameters
        ----------
        x : array (N, D)
        out : array (N, K), optional
            Receives the outputs; must not overlap x.

        Returns
        -------
        array (N, K)
        """
        dtype = self._values.dtype
        if not (arrays.is_plain(x, dtype) and x.ndim == 2 and x.shape[1] == self._inputs):
            x = arrays.floats("x", x, ("N", self._inputs), dtype=dtype, rounding=True, allow_empty=True)
        count = x.shape[0]
        result: Array = out
        # Two arrays that own their memory do not share it.
        apart = arrays.is_plain(out, dtype) and out.flags.owndata and x.flags.owndata and out is not x
        if not (apart and out.shape == (count, self._outputs)):
            inputs = (("x", x), ("the parameters", self._values))
            result = arrays.output("out", out, (count, self._outputs), dtype, inputs)
        parts = threads.at_most(self.n_threads)
        flop = 2.0 * self._values.size  # of one sample
        vectors = (self._values, self._no_targets, self._no_targets)  # neither gradients nor state
        description = (self.layers, self._plan, self._columns)
        workspace = take_for_prediction(self._prediction_workspaces, description, vectors, parts)
        rows = max(kernels.BLOCK_ROWS, int(FLOP_PER_CALL / flop))
        check = check_finite and count <= rows  # by the kernel, before it writes anything
        if check_finite and not check:
            arrays.check_finite("x", x)
        for n in range(0, count, rows):
            some, y = (x, result) if count <= rows else (x[n : n + rows], result[n : n + rows])
            work = flop * some.shape[0]
            if threads.run(kernels.predict, work, workspace.job, some, check, y, n_threads=parts):
                arrays.check_finite("x", x)  # says where, unless another thread has mended x
                threads.run(kernels.predict, work, workspace.job, some, False, y, n_threads=parts)
        if workspace.nbytes <= LARGEST_KEPT:
            self._prediction_workspaces.append(workspace)
        return result

    def loss(self, x: Any, t: Any, *, check_finite: bool = True) -> float:
        """The mean loss over the batch x (N, D) with targets t (see `Network`)."""
        data = self._prepare(x, t, check_finite)
        loss = self._evaluate(*data)[0]
        observation.note_loss(self, data, loss)
        return loss

    def accuracy(self, x: Any, t: Any, *, check_finite: bool = True) -> float:
        """The fraction of samples whose largest output is that of the target: labels (N,) or one-hot rows (N, K)."""
        if self.outputs == 1:
            expected = "accuracy: expected a network of at least 2 outputs, one for each class"
            raise ValueError(f"{expected}, got 1; compare the outputs")
        x = arrays.floats("x", x, ("N", self.inputs), dtype=self.dtype, rounding=True, finite=check_finite)
        labels, dense = arrays.targets("t", t, len(x), self.outputs, self.dtype)
        return self._evaluate(x, labels, dense)[1]

    def gradient(self, x: Any, t: Any, *, check_finite: bool = True) -> dict[str, Array]:
        """The gradient of the mean loss by every parameter, by back-propagation; new arrays keyed like `params`."""
        with self._lock:
            self._train_batch(x, t, None, check_finite)
            return dict(Parameters(self._gradients.copy(), self._places))

    def numerical_gradient(
        self, x: Any, t: Any, h: float | str = 1e-4, method: str = "central", *, check_finite: bool = True
    ) -> dict[str, Array]:
        """The difference quotient of the mean loss by every parameter; new float64 arrays keyed like `params`.

        Each is (L(p + h) - L(p - h)) / (2 h), or another method's, at the parameter p alone moved, all evaluated in
        float64 from what the move changes: the inputs that it reaches, one column, then what follows. It shares nothing
        with `gradient` but the forward pass. Parameters keep their bits.

        Parameters
        ----------
        h, method
            As for `fastnn.numerical_gradient`.
        """
        method = arrays.choice("method", method, METHODS)
        size, relative = step_size(h, METHODS[method])
        return self._perturbation(self._prepare(x, t, check_finite)).gradient(method, size, relative)[0]

    def step(self, x: Any, t: Any, optimizer: Optimizer, *, check_finite: bool = True) -> float:
        """One update of the parameters from the batch x, t; returns the mean loss before it.

        Raises
        ------
        TrainingDivergedError
            If the loss is not finite; the parameters are left as they were.
        """
        return self._train_batch(x, t, check_optimizer(optimizer), check_finite)

    def fit(
        self,
        x: Any,
        t: Any,
        *,
        epochs: int = 10,
        batch_size: int | None = 100,
        optimizer: Optimizer | None = None,
        validation_data: tuple[Any, Any] | None = None,
        shuffle: bool = True,
        rng: int | np.random.Generator | None = None,
        progress: bool = True,
        callbacks: "Sequence[Callback]" = (),
        check_finite: bool = True,
        gradient: str = "analytic",
    ) -> "History":
        """Train on mini-batches; see `fastnn.training.fit`, whose arguments these are."""
        from fastnn.training import fit

        return fit(
            self,
            x,
            t,
            epochs=epochs,
            batch_size=batch_size,
            optimizer=optimizer,
            validation_data=validation_data,
            shuffle=shuffle,
            rng=rng,
            progress=progress,
            callbacks=callbacks,
            check_finite=check_finite,
            gradient=gradient,
        )

    def save(self, path: Any) -> None:
        """Write the network to a file that `fastnn.load` reads; see `fastnn.persistence.save`."""
        from fastnn.persistence import save

        save(self, path)

    def summary(self) -> str:
        """A table of the layers: outputs, parameters, and the activation's number if it has one."""
        return table_of_layers(self.layers, f"loss {self.loss_name}, {self.dtype}")

    def __repr__(self) -> str:
        layers = ", ".join(str(layer) for layer in self.layers)
        return f'Network([{layers}], loss="{self.loss_name}", dtype="{self.dtype}")'

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_workspace": None, "_prediction_workspaces": [], "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Arrays may arrive in read-only memory, such as joblib's: kernels write to them, and know no other type.
        vars(self).update(state)
        dtype = arrays.float_dtype("dtype", self._values.dtype)  # NumPy's own object, which the gate looks for
        self._plan = compile_plan(self.layers, LOSSES[self.loss_name])[0]
        for name in ("_values", "_state"):
            came = getattr(self, name)
            setattr(self, name, np.empty(came.shape, dtype))
            getattr(self, name)[...] = came
        self._gradients = np.zeros_like(self._values)
        self._no_targets = np.empty((0, self.outputs), dtype)
        self._lock = threading.RLock()
        observation.register(self)

    # --- for fastnn.training and fastnn.persistence ---

    def _prepare(
        self, x: Any, t: Any, check_finite: bool, names: tuple[str, str] = ("x", "t")
    ) -> tuple[Array, Array, Array]:
        """Data and targets as kernels take them: x (N, D), labels (N,) or empty, dense (N, K) or empty."""
        x = arrays.floats(names[0], x, ("N", self.inputs), dtype=self.dtype, rounding=True, finite=check_finite)
        if np.may_share_memory(x, self._values):  # parameters as data: they move while they are read
            x = x.copy()
        rows, columns = x.shape[0], self.outputs
        if self._plan.loss == SOFTMAX_CROSS_ENTROPY:
            return (x, *arrays.targets(names[1], t, rows, columns, self.dtype))
        dense = arrays.regression_targets(names[1], t, rows, columns, self.dtype, finite=check_finite)
        return x, np.empty(0, INDEX), dense.copy() if np.may_share_memory(dense, self._values) else dense

    def _evaluate(self, x: Array, labels: Array, dense: Array) -> tuple[float, float]:
        """Mean loss and accuracy on prepared data."""
        y = self.predict(x, check_finite=False)
        losses, hits = np.empty((2, len(y))), np.empty(len(y), INDEX)
        rows = np.arange(len(y), dtype=INDEX)
        arguments = (self._plan.loss, y, labels, dense, rows, np.empty_like(y), losses[0], losses[1], hits)
        work, parts = FLOP_PER_LOSS * y.size, threads.at_most(self.n_threads)
        total = threads.run(operations.loss, work, *arguments, n_threads=parts)
        return float(total) / len(y), float(hits.mean())

    def _perturbation(self, data: tuple[Array, Array, Array]) -> Perturbation:
        """The network on prepared data, for numerical gradients."""
        return Perturbation(Model(self._plan, self._places, self._columns, self._values), data, self.n_threads)

    def _snapshot(self, into: Snapshot | None = None) -> Snapshot:
        """A copy of the parameters and the optimizer's state, in the arrays of `into` where they fit."""
        if into is None or into[1].shape != self._state.shape:
            return self._values.copy(), self._state.copy(), self._state_owner
        into[0][:], into[1][:] = self._values, self._state
        return into[0], into[1], self._state_owner

    def _restore(self, saved: Snapshot) -> None:
        """Go back to a snapshot."""
        self._values[:], self._state, self._state_owner = saved[0], saved[1].copy(), saved[2]

    def _update(self, gradients: Array, optimizer: Optimizer) -> None:
        """One update of the parameters by these gradients (P,)."""
        with self._lock:
            self._state, self._state_owner, workspace = self._ready_for(optimizer, 1, 1, False)
            self._gradients[:] = gradients
            kernels.update.serial(1, workspace.job, self._values)

    def _run_batches(
        self,
        data: tuple[Array, Array, Array, Array],
        optimizer: Optimizer | None,
        batches: tuple[int, int, int],
        losses: float = 0.0,
        check: tuple[bool, bool] = (False, False),
    ) -> tuple[int, float, int, int]:
        """Train on mini-batches, (first, last, rows of one), of (x, labels, dense, order); see kernels.network.train.

        The sum of losses goes on from `losses`. check: (labels, finite inputs).
        """
        parts, rows = threads.at_most(self.n_threads), batches[2]
        # A tenth of a batch's operations, as products are that much faster than other work: 0.46 MFLOP gain nothing.
        work = 0.6 * rows * self._values.size
        with self._lock:  # one batch at a time goes through the workspace
            state, owner, workspace = self._ready_for(optimizer, rows, parts, data[3].size > 0)
            arguments = (workspace.job, *data, *batches, losses, *check)
            samples, total, hits, outcome = threads.run(kernels.train, work, *arguments, n_threads=parts)
            if outcome != kernels.REFUSED:  # which must leave everything as it was
                self._state, self._state_owner = state, owner
            if workspace.nbytes > LARGEST_KEPT:
                self._workspace = None
        return int(samples), float(total), int(hits), int(outcome)  # NumPy's own without the compiler

    # --- inside ---

    def _train_batch(self, x: Any, t: Any, optimizer: Optimizer | None, check_finite: bool) -> float:
        """One batch. What is plain is checked by the kernel, which takes a tenth of the gate's time for few samples."""
        plain = (
            self._plan.loss == SOFTMAX_CROSS_ENTROPY
            and arrays.is_plain(x, self.dtype)
            and x.ndim == 2
            and x.shape[1] == self._inputs
            and arrays.is_plain(t, INDEX)
            and t.shape == x.shape[:1]
        )
        result: tuple[int, float, int, int] = (0, 0.0, 0, kernels.REFUSED)
        if plain and x.base is not self._values:
            data = (x, t, self._no_targets, NO_ORDER)
            result = self._run_batches(data, optimizer, (0, 1, len(x)), check=(True, check_finite))
        if result[3] == kernels.REFUSED:  # here the gate says why
            x, labels, dense = self._prepare(x, t, check_finite)
            result = self._run_batches((x, labels, dense, NO_ORDER), optimizer, (0, 1, len(x)))
        if result[3] != kernels.DONE and optimizer is not None:
            came = f"NaN or infinity on a batch of {len(x)}; the parameters were left as they were"
            remedy = "lower the learning rate, scale the data, or initialize() again"
            raise TrainingDivergedError(f"loss: expected a finite number, got {came}: {remedy}")
        return result[1] / len(x)

    def _ready_for(
        self, optimizer: Optimizer | None, rows: int, parts: int, shuffled: bool
    ) -> tuple[Array, str | None, Workspace]:
        """The optimizer's state, whose it is, and a workspace that makes its update of that state."""
        update = UPDATES["none" if optimizer is None else optimizer.update]
        state, owner = self._state, self._state_owner
        if optimizer is not None and (owner != optimizer.update or len(state) != update.state_vectors):
            # Another kind of optimizer starts afresh; the same kind, with whatever learning rate, goes on.
            state, owner = np.zeros((update.state_vectors, self._values.size), self.dtype), optimizer.update
        vectors, workspace = (self._values, self._gradients, state), self._workspace
        if workspace is None or not workspace.suits(vectors, rows, parts, shuffled):
            made = Workspace(self.layers, self._plan, self._columns, vectors, rows, parts, shuffled=shuffled)
            workspace = self._workspace = made
        numbers = () if optimizer is None else optimizer.numbers
        if workspace.update != (update.code, numbers):
            workspace.set_update(update.code, numbers)
        return state, owner, workspace
