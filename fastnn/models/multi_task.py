"""Multi-task learning: several networks on the outputs of a common one."""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastnn.engine.samples import Samples
from fastnn.errors import TrainingDivergedError
from fastnn.gate import arrays, checks
from fastnn.gate.arrays import Array
from fastnn.gate.attributes import Answering
from fastnn.gate.slips import answers_slips
from fastnn.models.shared_trunk import TRUNK, Figures, SharedTrunk, Targets, diverged, refuse_differing
from fastnn.models.sparsity import ActivationPenalty
from fastnn.network.history import History
from fastnn.network.network import Network
from fastnn.optimizers import SGD, Optimizer, check_optimizer
from fastnn.system.progress import Progress

RESERVED = "validation"  # with which figures on validation data begin


@answers_slips
class MultiTask(Answering):
    """Networks that share a trunk: each head, with a loss of its own, takes the trunk's outputs h.

    The total is the sum over the heads of weight times loss(head(h), t), where each loss is a mean over the samples. A
    head may also be a penalty on h, such as `SparseKL`, which takes no targets.

    Parameters
    ----------
    trunk : Network
        Its own loss is not used. It may end in an activation.
    heads : dict of str to Network, SparseL1 or SparseKL
        A network's input shape is the trunk's output shape, and its dtype is the trunk's. At least one is a network.
    weights : dict of str to float, optional
        The factors of the heads' losses, at least 0; 1 where none is given.

    Attributes
    ----------
    trunk : Network
    heads : dict
    weights : dict of str to float
        For each head.
    params : dict of str to array
        Views into the parameters of all networks: "trunk.W1", then "digit.W1" of a head "digit", ...
    optimizer : Optimizer or None
        The optimizer of the last `step` or `fit`, with which `fit` goes on.

    Notes
    -----
    The regularization of a head belongs to its loss, that of the trunk to the total. Networks are trained in place, and
    each keeps its part of the optimizer's state; `trunk.save(path)` and a head's write them. Layers that do something
    else in training, Dropout and BatchNorm that is not frozen, are refused. Results have the same bits on any number of
    threads. With one head of weight 1 a step gives the bits of one network with all layers. Source: Caruana, Machine
    Learning 28 (1997), 41-75.

    Examples
    --------
    >>> (x, t), (x_test, t_test) = fastnn.datasets.load_digits()
    >>> trunk = fastnn.Network([fastnn.Affine(64, 32), fastnn.Relu()], rng=0)
    >>> digit, odd = fastnn.Network([fastnn.Affine(32, 10)], rng=1), fastnn.Network([fastnn.Affine(32, 2)], rng=2)
    >>> model = fastnn.models.MultiTask(trunk, {"digit": digit, "odd": odd}, weights={"odd": 0.5})
    >>> history = model.fit(x, {"digit": t, "odd": t % 2}, epochs=5, optimizer=fastnn.Adam(lr=0.01), rng=0)
    >>> y = model.predict(x_test)
    >>> y["digit"].shape, y["odd"].shape, model.accuracy(x_test, {"digit": t_test})["digit"] > 0.9
    ((359, 10), (359, 2), True)

    A sparse autoencoder, whose hidden units are on for 5 % of the samples:

    >>> encoder = fastnn.Network([fastnn.Affine(64, 30), fastnn.Sigmoid()], rng=0)
    >>> decoder = fastnn.Network([fastnn.Affine(30, 64)], loss="mean_squared_error", rng=1)
    >>> coder = fastnn.models.MultiTask(encoder, {"x": decoder, "sparse": fastnn.models.SparseKL(0.05, 0.3)})
    >>> history = coder.fit(x, {"x": x}, epochs=20, optimizer=fastnn.Adam(lr=0.01), rng=0)
    >>> bool(encoder.predict(x_test).mean() < 0.1)
    True
    """

    def __init__(self, trunk: Network, heads: Mapping[str, Any], weights: Mapping[str, float] | None = None) -> None:
        _check_network(TRUNK, trunk)
        if not isinstance(heads, Mapping):
            raise TypeError(f"heads: expected a dictionary of networks, got {checks.shown(heads)}; pass {{'y': head}}")
        seen: list[Network] = [trunk]
        for name, head in heads.items():
            _check_name(name)
            if isinstance(head, ActivationPenalty):
                continue
            _check_network(f"heads[{name!r}]", head)
            _check_fits(f"heads[{name!r}]", head, trunk)
            if any(head is other for other in seen):
                raise ValueError(f"heads[{name!r}]: expected a network of its own, got one that stands elsewhere, too")
            seen.append(head)
        if len(seen) == 1:
            came = f"{len(heads)} penalt{'ies' if len(heads) > 1 else 'y'}" if heads else "no head"
            raise ValueError(f"heads: expected at least one network, got {came}; add one, such as a decoder")
        self._shared = SharedTrunk(trunk, dict(heads), _checked_weights(weights, heads))
        self._optimizer: Optimizer | None = None

    @property
    def trunk(self) -> Network:
        """The network whose outputs all heads take."""
        return self._shared.trunk

    @property
    def heads(self) -> dict[str, Any]:
        """The heads by name; a copy of the dictionary."""
        return dict(self._shared.heads)

    @property
    def weights(self) -> dict[str, float]:
        """The factor of each head's loss; a copy."""
        return dict(self._shared.weights)

    @property
    def optimizer(self) -> Optimizer | None:
        """The optimizer of the last update."""
        return self._optimizer

    @property
    def params(self) -> dict[str, Array]:
        """The parameters of all networks by part and name, as writable views."""
        return {f"{part}.{name}": view for part, net in self._shared.networks() for name, view in net.params.items()}

    @answers_slips
    def predict(self, x: Any, *, check_finite: bool = True) -> dict[str, Array]:
        """The outputs of each head that is a network, for x (N, D); raises as `Network.predict`.

        Examples
        --------
        >>> trunk, head = fastnn.Network([fastnn.Affine(3, 2)]), fastnn.Network([fastnn.Affine(2, 4)])
        >>> fastnn.models.MultiTask(trunk, {"y": head}).predict(np.ones((5, 3)))["y"].shape
        (5, 4)
        """
        h = self.trunk.predict(x, check_finite=check_finite)
        return {name: net.predict(h, check_finite=False) for name, net in self._shared.networks() if name != TRUNK}

    @answers_slips
    def losses(self, x: Any, t: Mapping[str, Any], *, mask: Any = None, check_finite: bool = True) -> dict[str, float]:
        """Each head's loss, not multiplied by its weight, with its own regularization; for x, t and mask see `fit`.

        A head for which the mask leaves no target is left out.

        Examples
        --------
        >>> trunk = fastnn.Network([fastnn.Affine(2, 2), fastnn.Sigmoid()], rng=0)
        >>> heads = {"y": fastnn.Network([fastnn.Affine(2, 2, init="zeros")]), "sparse": fastnn.models.SparseL1(1.0)}
        >>> losses = fastnn.models.MultiTask(trunk, heads).losses(np.zeros((3, 2)), {"y": [0, 1, 1]})
        >>> round(losses["y"], 4), losses["sparse"]  # log 2, and two units of 0.5
        (0.6931, 1.0)
        """
        return self._measure(x, t, mask, check_finite).regularized

    @answers_slips
    def loss(self, x: Any, t: Mapping[str, Any], *, mask: Any = None, check_finite: bool = True) -> float:
        """The total: the sum of the heads' losses, each times its weight, and the trunk's regularization.

        Examples
        --------
        >>> trunk = fastnn.Network([fastnn.Affine(2, 2), fastnn.Sigmoid()], rng=0)
        >>> heads = {"y": fastnn.Network([fastnn.Affine(2, 2, init="zeros")])}
        >>> model = fastnn.models.MultiTask(trunk, heads, weights={"y": 10.0})
        >>> round(model.loss(np.zeros((3, 2)), {"y": [0, 1, 1]}), 3)  # 10 log 2
        6.931
        """
        return self._measure(x, t, mask, check_finite).total

    @answers_slips
    def accuracy(self, x: Any, t: Mapping[str, Any], *, check_finite: bool = True) -> dict[str, float]:
        """The accuracy of each head of which t has targets that are classes; see `Network.accuracy`.

        Examples
        --------
        >>> trunk = fastnn.Network([fastnn.Affine(2, 2)])
        >>> trunk.params["W1"][...] = np.eye(2)
        >>> head = fastnn.Network([fastnn.Affine(2, 2)])
        >>> head.params["W1"][...] = np.eye(2)
        >>> fastnn.models.MultiTask(trunk, {"y": head}).accuracy(np.eye(2), {"y": [0, 0]})
        {'y': 0.5}
        """
        rows = self.trunk.engine.prepare_rows("x", x, check_finite)
        targets = self._shared.prepare_targets(t, len(rows), None, check_finite, some=True)
        return self._shared.accuracies(rows, targets)

    @answers_slips
    def gradient(
        self, x: Any, t: Mapping[str, Any], *, mask: Any = None, check_finite: bool = True
    ) -> dict[str, Array]:
        """The gradient of the total by every parameter; new arrays keyed like `params`.

        Examples
        --------
        >>> trunk, head = fastnn.Network([fastnn.Affine(3, 2)]), fastnn.Network([fastnn.Affine(2, 4)])
        >>> gradient = fastnn.models.MultiTask(trunk, {"y": head}).gradient(np.ones((5, 3)), {"y": [0, 1, 2, 3, 0]})
        >>> {name: array.shape for name, array in gradient.items()}
        {'trunk.W1': (3, 2), 'trunk.b1': (2,), 'y.W1': (2, 4), 'y.b1': (4,)}
        """
        data = self._shared.prepare(x, t, mask, check_finite)
        with self.trunk.engine.lock:  # another thread's pass would overwrite the gradients
            found = self._shared.measure(*data).gradients
            return {
                f"{part}.{name}": array
                for part, net in self._shared.networks()
                for name, array in net.engine.by_name(found[part].copy()).items()
            }

    @answers_slips
    def step(
        self, x: Any, t: Mapping[str, Any], optimizer: Optimizer, *, mask: Any = None, check_finite: bool = True
    ) -> float:
        """Update all parameters once by the gradient of the total; return the total before the update.

        Raises
        ------
        TrainingDivergedError
            If the total or the gradient is not finite; the parameters are left as they were.

        Examples
        --------
        >>> trunk = fastnn.Network([fastnn.Affine(1, 2, init="zeros")])
        >>> head = fastnn.Network([fastnn.Affine(2, 1, init="zeros")], loss="mean_squared_error")
        >>> model = fastnn.models.MultiTask(trunk, {"y": head})
        >>> for _ in range(3):  # (2 - y)^2 / 2, where y = 0, then 1, then 1.5, by b1 alone
        ...     print(model.step([[1.0]], {"y": [[2.0]]}, fastnn.SGD(lr=0.5)))
        2.0
        0.5
        0.125
        """
        optimizer = check_optimizer(optimizer)
        found = self._shared.update(*self._shared.prepare(x, t, mask, check_finite), optimizer)
        self._optimizer = optimizer
        return found.total

    # Twelve parameters: all but the data are options with defaults.
    @answers_slips
    def fit(
        self,
        x: Any,
        t: Mapping[str, Any],
        *,
        epochs: int = 10,
        batch_size: int | None = 100,
        optimizer: Optimizer | None = None,
        validation_data: tuple[Any, Mapping[str, Any]] | None = None,
        shuffle: bool = True,
        rng: int | np.random.Generator | None = None,
        progress: bool = True,
        mask: Mapping[str, Any] | None = None,
        check_finite: bool = True,
    ) -> History:
        """Train all networks together on mini-batches.

        Parameters
        ----------
        x : array or sparse matrix (N, D)
            As the trunk takes it.
        t : dict of str to array
            For each head that is a network the targets, as its loss takes them.
        epochs : int
        batch_size : int or None
        shuffle, progress, check_finite : bool
        rng : int or Generator, optional
            As for `Network.fit`; the same rng gives the same order.
        optimizer : Optimizer, optional
            By default the one of the last update, or SGD(lr=0.1). `clip_norm` bounds the gradient by the parameters of
            all networks together.
        validation_data : (x, t), optional
            Data on which losses and accuracies are measured after each epoch; all targets are known.
        mask : dict of str to array (N,) of bool, optional
            For some heads, for which samples the target is known; others' are not looked at. The loss is then the mean
            over the samples of a batch whose target is known; a batch without any adds nothing for this head.

        Returns
        -------
        History
            loss: the total of each epoch, without regularization. For a head "digit", digit_loss: its own loss, not
            multiplied by its weight. On validation data validation_loss, validation_digit_loss and, if the targets are
            classes, validation_digit_accuracy.

        Raises
        ------
        TypeError, ValueError
            For bad arguments, before anything is changed.
        TrainingDivergedError
            When a loss, a gradient or a parameter is not finite. Parameters are put back to the end of the last
            epoch.

        Examples
        --------
        >>> (x, t), _ = fastnn.datasets.load_digits()
        >>> trunk = fastnn.Network([fastnn.Affine(64, 32), fastnn.Relu()], rng=0)
        >>> decoder = fastnn.Network([fastnn.Affine(32, 64)], loss="mean_squared_error", rng=1)
        >>> heads = {"digit": fastnn.Network([fastnn.Affine(32, 10)], rng=2), "x": decoder}
        >>> model = fastnn.models.MultiTask(trunk, heads, weights={"x": 0.1})
        >>> known = np.arange(len(x)) < 200  # the others have no label
        >>> history = model.fit(x, {"digit": t, "x": x}, epochs=3, mask={"digit": known}, rng=0)
        >>> history.epochs, history.x_loss[2] < history.x_loss[0]
        (3, True)
        """
        epochs = arrays.integer("epochs", epochs, minimum=0)
        optimizer = check_optimizer(self._optimizer or SGD(lr=0.1)) if optimizer is None else check_optimizer(optimizer)
        generator, shuffle = arrays.generator("rng", rng), arrays.flag("shuffle", shuffle)
        shared = self._shared
        rows, targets = shared.prepare(x, t, mask, check_finite)
        validation = self._validation(validation_data, check_finite)
        count = len(rows)
        size = count if batch_size is None else min(count, arrays.integer("batch_size", batch_size, minimum=1))
        history, order = History(), np.arange(count)
        with Progress(count, enabled=arrays.flag("progress", progress)) as bar:
            for epoch in range(1, epochs + 1):
                started, kept = time.perf_counter(), self._snapshots()
                bar.begin(f"epoch {epoch}/{epochs}")
                if shuffle:
                    order = checks.permutation("rng", generator, count)
                sums = _Sums()
                try:
                    for first in range(0, count, size):
                        some = order[first : first + size]
                        where = f" in epoch {epoch}, batch {first // size + 1}"
                        batch = {name: one.batch(some) for name, one in targets.items()}
                        sums.add(shared.update(rows[some], batch, optimizer, where), len(some), shared)
                        bar.update(len(some), loss=sums.loss)
                    if not all(net.engine.is_finite() for _, net in shared.networks()):
                        raise diverged(f" among the parameters after epoch {epoch}", {})
                except TrainingDivergedError:
                    self._restore(kept)
                    raise
                self._optimizer = optimizer
                row = sums.means() | self._validated(validation) | {"learning_rate": optimizer.lr}
                for name, value in {**row, "seconds": time.perf_counter() - started}.items():
                    vars(history).setdefault(name, []).append(value)
        return history

    def _measure(self, x: Any, t: Any, mask: Any, check_finite: bool) -> Figures:
        return self._shared.measure(*self._shared.prepare(x, t, mask, check_finite), backward=False)

    def _validation(self, data: Any, check_finite: bool) -> tuple[Samples, dict[str, Targets]] | None:
        if data is None:
            return None
        if not isinstance(data, tuple | list) or len(data) != 2:
            came = f"{type(data).__name__}; pass validation_data=(x, t)"
            raise TypeError(f"validation_data: expected a pair (x, t), got {came}")
        rows = self.trunk.engine.prepare_rows("validation_data[0]", data[0], check_finite)
        name = "validation_data[1]"
        return rows, self._shared.prepare_targets(data[1], len(rows), None, check_finite, name=name)

    def _validated(self, data: tuple[Samples, dict[str, Targets]] | None) -> dict[str, float]:
        """The figures on validation data."""
        if data is None:
            return {}
        losses, accuracies = self._shared.measure(*data, backward=False).losses, self._shared.accuracies(*data)
        return {
            f"{RESERVED}_loss": self._shared.weighted(losses),
            **{f"{RESERVED}_{name}_loss": loss for name, loss in losses.items()},
            **{f"{RESERVED}_{name}_accuracy": accuracy for name, accuracy in accuracies.items()},
        }

    def _snapshots(self) -> dict[str, Any]:
        return {name: net.engine.snapshot() for name, net in self._shared.networks()}

    def _restore(self, kept: dict[str, Any]) -> None:
        for name, net in self._shared.networks():
            net.engine.restore(kept[name])

    def __repr__(self) -> str:
        return f"MultiTask(trunk={self.trunk!r}, heads={self.heads!r}, weights={self.weights!r})"


class _Sums:
    """The sums of an epoch's figures."""

    def __init__(self) -> None:
        self._total, self._samples = 0.0, 0
        self._losses, self._rows = dict[str, float](), dict[str, int]()

    def add(self, found: Figures, samples: int, shared: SharedTrunk) -> None:
        self._total += shared.weighted(found.losses) * samples
        self._samples += samples
        for name, rows in found.rows.items():
            self._losses[name] = self._losses.get(name, 0.0) + found.losses[name] * rows
            self._rows[name] = self._rows.get(name, 0) + rows

    @property
    def loss(self) -> float:
        return self._total / self._samples

    def means(self) -> dict[str, float]:
        return {"loss": self.loss, **{f"{name}_loss": loss / self._rows[name] for name, loss in self._losses.items()}}


def _check_network(name: str, network: Any) -> None:
    """Refuse anything but a network that does the same in training and in predictions."""
    if not isinstance(network, Network):
        remedy = "make one of layers" if name == TRUNK else "make one of layers, or take a penalty such as SparseKL"
        raise TypeError(f"{name}: expected a fastnn.Network, got {checks.shown(network)}; {remedy}")
    refuse_differing(name, network)


def _check_name(name: Any) -> None:
    """Refuse what cannot be the name of a head, and of its figures in a history."""
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(f"heads: expected names like those of variables, got {name!r}; pass one such as 'digit'")
    if name == TRUNK or name.startswith(RESERVED):
        raise ValueError(f"heads: expected another name than {TRUNK} and {RESERVED}..., got {name!r}; rename it")


def _check_fits(name: str, head: Network, trunk: Network) -> None:
    """Refuse a head that does not take the trunk's outputs."""
    if head.input_shape != trunk.output_shape:
        expected = f"{name}: expected inputs of the shape of the trunk's outputs, {trunk.output_shape}"
        raise ValueError(f"{expected}, got {head.input_shape}; change its first layer")
    if head.dtype != trunk.dtype:
        came = f'{head.dtype}; make it with dtype="{trunk.dtype}"'
        raise ValueError(f"{name}: expected the trunk's dtype, {trunk.dtype}, got {came}")


def _checked_weights(weights: Any, heads: Mapping[str, Any]) -> dict[str, float]:
    """The factor of each head."""
    if weights is not None and not isinstance(weights, Mapping):
        came = f"{checks.shown(weights)}; pass weights={{{next(iter(heads))!r}: 1.0}}"
        raise TypeError(f"weights: expected a dictionary by heads, got {came}")
    given = {} if weights is None else weights
    for name in given:
        if name not in heads:
            advice = checks.did_you_mean(str(name), list(heads))
            raise ValueError(f"weights: expected heads out of {', '.join(heads)}, got {name!r}{advice}")
    return {name: arrays.real(f"weights[{name!r}]", given.get(name, 1.0), minimum=0.0) for name in heads}
