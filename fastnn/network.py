"""Network: a plan, flat vectors of parameters and gradients, and the scratch that kernels need.

Imports the gate, threads, the descriptions (layers, optimizers, initializers), plan and the interpreter in kernels.
`fit` and `save` hand over to fastnn.training and fastnn.persistence, which import this module.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from fastnn import arrays, initializers, threads
from fastnn.arrays import Array
from fastnn.errors import TrainingDivergedError
from fastnn.kernels import network as kernels
from fastnn.kernels import operations
from fastnn.kernels.losses import LOSSES, SOFTMAX_CROSS_ENTROPY
from fastnn.kernels.matmul import ROW_BLOCK, scratch_size
from fastnn.kernels.updates import UPDATES
from fastnn.layers import RELU_FAMILY, Affine, Layer, Softmax
from fastnn.optimizers import Optimizer
from fastnn.plan import check_layers, compile_plan

if TYPE_CHECKING:
    from fastnn.training import History

INDEX = np.dtype(np.intp)
# A compiled call cannot be interrupted: predictions are cut into calls of at most this, 0.1 s at 20 GFLOP/s.
FLOP_PER_CALL = 2e9
Snapshot: TypeAlias = tuple[Array, Array, str | None]  # parameters (P,), state (vectors, P), whose update it is


class Parameters(Mapping[str, Array]):
    """The parameters (or gradients) of a network by name: W1, b1, W2, ... Each is a view into one flat vector.

    Writing into a view, or assigning `params["W1"] = array` (copied, same shape), changes the network.
    """

    def __init__(self, vector: Array, places: dict[str, tuple[int, tuple[int, ...]]]) -> None:
        self._vector, self._places = vector, places

    def __getitem__(self, name: str) -> Array:
        start, shape = self._place(name)
        return self._vector[start : start + int(np.prod(shape))].reshape(shape)

    def __setitem__(self, name: str, value: Any) -> None:
        view = self[name]
        view[...] = arrays.floats(f"params[{name!r}]", value, view.shape, dtype=view.dtype, rounding=True)

    def _place(self, name: str) -> tuple[int, tuple[int, ...]]:
        if name not in self._places:
            raise KeyError(f"params: expected one of {', '.join(self._places)}, got {name!r}; pass one of these names")
        return self._places[name]

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {shape}" for name, (_, shape) in self._places.items())
        return f"<{self._vector.size:,} {self._vector.dtype} parameters: {shapes}>"


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
        self.dtype = arrays.float_dtype("dtype", dtype)
        self.n_threads = None if n_threads is None else arrays.integer("n_threads", n_threads, minimum=1)
        self._plan, self._places, self._columns, size = compile_plan(self.layers, LOSSES[self.loss_name])
        self._values = np.zeros(size, self.dtype)
        self._gradients = np.zeros(size, self.dtype)
        self._state = np.zeros((0, size), self.dtype)
        self._state_owner: str | None = None
        self._workspace: kernels.Workspace | None = None
        self.params = Parameters(self._values, self._places)
        self.history: History | None = None
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
    def inputs(self) -> int:
        """Number of inputs D."""
        return int(self._plan.operations[0, kernels.INPUTS])

    @property
    def outputs(self) -> int:
        """Number of outputs K."""
        return int(self._plan.operations[-1, kernels.OUTPUTS])

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
        shape = ("N", self.inputs)
        x = arrays.floats("x", x, shape, dtype=self.dtype, rounding=True, finite=check_finite, allow_empty=True)
        y = arrays.output("out", out, (x.shape[0], self.outputs), self.dtype, (("x", x),))
        parts = threads.at_most(self.n_threads)
        tensors = np.empty((parts, kernels.BLOCK_ROWS * self._columns), self.dtype)
        scratch = np.empty((parts, self._scratch_size(0)), self.dtype)
        flop = 2.0 * self._values.size  # of one sample
        rows = max(kernels.BLOCK_ROWS, int(FLOP_PER_CALL / flop))
        for n in range(0, x.shape[0], rows):
            some, out_rows = x[n : n + rows], y[n : n + rows]
            arguments = (self._plan, self._values, some, tensors, scratch, out_rows)
            threads.run(kernels.predict, flop * len(some), *arguments, n_threads=parts)
        return y

    def loss(self, x: Any, t: Any, *, check_finite: bool = True) -> float:
        """The mean loss over the batch x (N, D) with targets t (see `Network`)."""
        return self.evaluate(*self.prepare(x, t, check_finite))[0]

    def accuracy(self, x: Any, t: Any, *, check_finite: bool = True) -> float:
        """The fraction of samples whose largest output is that of the target: labels (N,) or one-hot rows (N, K)."""
        if self.outputs == 1:
            raise ValueError(
                "accuracy: expected a network of at least 2 outputs, one for each class, got 1; compare the outputs"
            )
        x = arrays.floats("x", x, ("N", self.inputs), dtype=self.dtype, rounding=True, finite=check_finite)
        labels, dense = arrays.targets("t", t, len(x), self.outputs, self.dtype)
        return self.evaluate(x, labels, dense)[1]

    def gradient(self, x: Any, t: Any, *, check_finite: bool = True) -> dict[str, Array]:
        """The gradient of the mean loss by every parameter, by back-propagation; new arrays keyed like `params`."""
        self._train_batch(x, t, None, check_finite)
        return dict(Parameters(self._gradients.copy(), self._places))

    def step(self, x: Any, t: Any, optimizer: Optimizer, *, check_finite: bool = True) -> float:
        """One update of the parameters from the batch x, t; returns the mean loss before it.

        Raises
        ------
        TrainingDivergedError
            If the loss is not finite; the parameters are left as they were.
        """
        return self._train_batch(x, t, check_optimizer(optimizer), check_finite)

    def fit(self, x: Any, t: Any, **settings: Any) -> "History":
        """Train on mini-batches; see `fastnn.training.fit`, which takes the same arguments after the network."""
        from fastnn.training import fit

        return fit(self, x, t, **settings)

    def save(self, path: Any) -> None:
        """Write the network to a file that `fastnn.load` reads; see `fastnn.persistence.save`."""
        from fastnn.persistence import save

        save(self, path)

    def summary(self) -> str:
        """A table of the layers: outputs, parameters, and the activation's number if it has one."""
        rows = [("layer", "outputs", "parameters")]
        width = self.inputs
        for layer in self.layers:
            size = 0
            if isinstance(layer, Affine):
                width, size = layer.outputs, (layer.inputs + 1) * layer.outputs
            rows.append((str(layer), f"{width:,}", f"{size:,}" if size else "-"))
        rows.append((f"loss {self.loss_name}, {self.dtype}", "", f"{self._values.size:,}"))
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        lines = [f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}" for a, b, c in rows]
        rule = "-" * len(lines[0])
        return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])

    def __repr__(self) -> str:
        layers = ", ".join(str(layer) for layer in self.layers)
        return f'Network([{layers}], loss="{self.loss_name}", dtype="{self.dtype}")'

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_workspace": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Arrays may arrive in read-only memory, such as joblib's: kernels write to them, and know no other type.
        vars(self).update(state, dtype=arrays.float_dtype("dtype", state["dtype"]))
        self._plan = compile_plan(self.layers, LOSSES[self.loss_name])[0]
        self._values, self._state = np.array(self._values, self.dtype), np.array(self._state, self.dtype)
        self._gradients = np.zeros_like(self._values)
        self.params = Parameters(self._values, self._places)

    # --- for fastnn.training and fastnn.persistence ---

    def prepare(
        self, x: Any, t: Any, check_finite: bool, names: tuple[str, str] = ("x", "t")
    ) -> tuple[Array, Array, Array]:
        """Data and targets as kernels take them: x (N, D), labels (N,) or empty, dense (N, K) or empty."""
        shape = ("N", self.inputs)
        x = arrays.floats(names[0], x, shape, dtype=self.dtype, rounding=True, finite=check_finite)
        rows, columns = x.shape[0], self.outputs
        if self._plan.loss == SOFTMAX_CROSS_ENTROPY:
            return (x, *arrays.targets(names[1], t, rows, columns, self.dtype))
        dense = arrays.regression_targets(names[1], t, rows, columns, self.dtype, finite=check_finite)
        return x, np.empty(0, INDEX), dense

    def evaluate(self, x: Array, labels: Array, dense: Array) -> tuple[float, float]:
        """Mean loss and accuracy on prepared data."""
        y = self.predict(x, check_finite=False)
        losses, hits = np.empty(len(y)), np.empty(len(y), INDEX)
        rows = np.arange(len(y), dtype=INDEX)
        total = operations.loss.serial(1, self._plan.loss, y, labels, dense, rows, np.empty_like(y), losses, hits)
        return float(total) / len(y), float(hits.mean())

    def snapshot(self, into: Snapshot | None = None) -> Snapshot:
        """A copy of the parameters and the optimizer's state, in the arrays of `into` where they fit."""
        if into is None or into[1].shape != self._state.shape:
            return self._values.copy(), self._state.copy(), self._state_owner
        into[0][:], into[1][:] = self._values, self._state
        return into[0], into[1], self._state_owner

    def restore(self, saved: Snapshot) -> None:
        """Go back to a snapshot."""
        self._values[:], self._state, self._state_owner = saved[0], saved[1].copy(), saved[2]

    def is_finite(self) -> bool:
        """Whether all parameters are finite."""
        return bool(np.isfinite(self._values).all())

    def run_batches(
        self,
        data: kernels.Data,
        optimizer: Optimizer | None,
        batches: tuple[int, int, int],
        losses: float = 0.0,
    ) -> tuple[int, float, int, bool]:
        """Train on mini-batches of data.order, (first, last, rows of one): (samples, sum of losses, hits, all finite).

        The sum goes on from `losses`.
        """
        batch_size = batches[2]
        parts = threads.at_most(self.n_threads)
        workspace = self._workspace_for(batch_size, parts)
        if optimizer is None:
            update = (UPDATES["none"].code, np.zeros(1))
        else:
            update = (UPDATES[optimizer.update].code, np.array(optimizer.numbers, np.float64))
            self._state_for(optimizer)
        parameters = kernels.Parameters(self._values, self._gradients, self._state)
        arguments = (self._plan, parameters, update, data, workspace, batches, losses)
        work = 6.0 * batch_size * self._values.size  # of one batch: a parallel region is about as long as that
        samples, total, hits, finite = threads.run(kernels.train, work, *arguments, n_threads=parts)
        return int(samples), float(total), int(hits), bool(finite)

    # --- inside ---

    def _train_batch(self, x: Any, t: Any, optimizer: Optimizer | None, check_finite: bool) -> float:
        x, labels, dense = self.prepare(x, t, check_finite)
        data = kernels.Data(x, labels, dense, np.arange(len(x), dtype=INDEX), False)
        _, total, _, finite = self.run_batches(data, optimizer, (0, 1, len(x)))
        if not finite and optimizer is not None:
            raise TrainingDivergedError(
                f"loss: expected a finite number, got NaN or infinity on a batch of {len(x)}; the parameters were left "
                "as they were: lower the learning rate, scale the data, or initialize() again"
            )
        return total / len(x)

    def _workspace_for(self, rows: int, parts: int) -> kernels.Workspace:
        workspace = self._workspace
        if workspace is None or len(workspace.losses) < rows or len(workspace.scratch) < parts:
            weights = [layer for layer in self.layers if isinstance(layer, Affine)]
            largest = max(min(ROW_BLOCK, layer.inputs) * layer.outputs for layer in weights)
            workspace = self._workspace = kernels.Workspace(
                inputs=np.zeros((rows, self.inputs), self.dtype),
                tensors=np.zeros(rows * self._columns, self.dtype),
                gradients=np.zeros(rows * self._columns, self.dtype),
                losses=np.zeros(rows),
                hits=np.zeros(rows, INDEX),
                scratch=np.zeros((parts, self._scratch_size(rows)), self.dtype),
                updates=np.zeros((parts, largest), self.dtype),
            )
        return workspace

    def _scratch_size(self, rows: int) -> int:
        """Scratch of the matrix products for a training batch of so many rows; for predictions alone with 0."""
        sizes = []
        for i, layer in enumerate(self.layers):
            if isinstance(layer, Affine):
                sizes.append(scratch_size(layer.inputs, layer.outputs))
                sizes.append(scratch_size(rows, layer.outputs, "left"))
                sizes.append(scratch_size(layer.outputs, layer.inputs, "right") if i and rows else 0)
        return max(sizes)

    def _state_for(self, optimizer: Optimizer) -> None:
        """A fresh state for another kind of optimizer; the same kind, with whatever learning rate, goes on."""
        if self._state_owner != optimizer.update:
            self._state = np.zeros((UPDATES[optimizer.update].state_vectors, self._values.size), self.dtype)
            self._state_owner = optimizer.update


def check_optimizer(optimizer: Any) -> Optimizer:
    """`optimizer` itself, refused if it is none, or one whose update the kernels do not know."""
    if not isinstance(optimizer, Optimizer) or optimizer.update not in UPDATES:
        raise TypeError(f"optimizer: expected an optimizer such as fastnn.SGD(lr=0.1), got {optimizer!r}; create one")
    return optimizer
