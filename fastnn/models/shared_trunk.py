"""Passes through a network, the trunk, and the heads that take its outputs: losses, gradients and updates."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from fastnn.engine.engine import Engine
from fastnn.engine.plan import NO_LOSS_NUMBERS
from fastnn.engine.samples import Samples
from fastnn.engine.workspace import NO_ORDER
from fastnn.errors import TrainingDivergedError
from fastnn.gate import arrays, checks
from fastnn.gate.arrays import Array
from fastnn.layers import TrainedLayer
from fastnn.models.sparsity import ActivationPenalty
from fastnn.network.network import Network
from fastnn.network.passes import Pass
from fastnn.operations.losses.given import GIVEN
from fastnn.optimizers import Optimizer
from fastnn.system import interruption

TRUNK = "trunk"


class Targets(NamedTuple):
    """A head's targets, as `Engine.prepare_targets` returns them, and the numbers of the rows that have one."""

    labels: Array
    dense: Array
    known: Array | None  # rising; None if all have one

    def batch(self, rows: Array) -> "Targets":
        """The targets of some rows, chosen by their numbers."""
        if self.known is None:
            return self._some(rows, None)
        at = np.minimum(np.searchsorted(self.known, rows), len(self.known) - 1)
        has_one = self.known[at] == rows
        return self._some(at[has_one], np.flatnonzero(has_one))

    def _some(self, at: Array, known: Array | None) -> "Targets":
        labels, dense = (part[at] if len(part) else part for part in (self.labels, self.dense))
        return Targets(labels, dense, known)


class Figures(NamedTuple):
    """What a pass over a batch measures, by the head's name; heads of which no row has a target are left out."""

    losses: dict[str, float]  # means over the rows, without regularization
    regularized: dict[str, float]
    total: float  # with regularization
    gradients: dict[str, Array]  # of the total, (P,), by the part's name; overwritten by the next pass
    rows: dict[str, int]  # that have a target


class SharedTrunk:
    """A trunk, its heads and their weights, checked, and memory for passes. See `MultiTask`."""

    def __init__(self, trunk: Network, heads: dict[str, Any], weights: dict[str, float]) -> None:
        self.trunk, self.heads, self.weights = trunk, heads, weights
        self._passes: dict[str, Pass] = {}

    def networks(self) -> Iterator[tuple[str, Network]]:
        """The trunk, and the heads that are networks."""
        yield TRUNK, self.trunk
        yield from ((name, head) for name, head in self.heads.items() if isinstance(head, Network))

    def prepare(self, x: Any, t: Any, mask: Any, check_finite: bool) -> tuple[Samples, dict[str, Targets]]:
        """Data as the other methods take them."""
        rows = self.trunk.engine.prepare_rows("x", x, check_finite)
        return rows, self.prepare_targets(t, len(rows), mask, check_finite)

    def prepare_targets(
        self, t: Any, rows: int, mask: Any, check_finite: bool, *, some: bool = False, name: str = "t"
    ) -> dict[str, Targets]:
        """The targets of each head, or of some; refuses other names than those of heads that take some."""
        wanted = [head for head, _ in self.networks() if head != TRUNK]
        masks = {} if mask is None else dict(_named("mask", mask, wanted, self.heads))
        given = _named(name, t, wanted, self.heads)
        missing = [head for head in wanted if head not in given]
        if missing and (not some or not given):
            expected = f"{name}: expected targets of each head, {', '.join(wanted)}"
            remedy = "add them, and mask those that are not known" if not some else "pass those of one at least"
            raise ValueError(f"{expected}, got none of {missing[0]}; {remedy}")
        return {
            head: _targets(
                f"{name}[{head!r}]", self.heads[head].engine, given[head], rows, masks.get(head), check_finite
            )
            for head in wanted
            if head in given
        }

    def measure(self, x: Samples, targets: dict[str, Targets], backward: bool = True) -> Figures:
        """The losses for prepared data and, with `backward`, the gradients."""
        h = self.trunk.engine.outputs_of(x)
        dh = np.zeros_like(h)
        losses, rows, gradients = dict[str, float](), dict[str, int](), dict[str, Array]()
        share = self.trunk.regularization.data
        for name, head in self.heads.items():
            weight = h.dtype.type(self.weights[name] * share)
            if isinstance(head, ActivationPenalty):
                losses[name], rows[name] = head.loss(h, check_finite=False), len(h)
                if backward:
                    dh += weight * head.gradient(h, check_finite=False)
                continue
            labels, dense, known = targets[name]
            some = h if known is None else h[known]
            if not len(some):
                gradients[name] = np.zeros_like(head.engine.values)
                continue
            rows[name] = len(some)
            if not backward:
                losses[name] = _loss(head.engine, some, labels, dense)
                continue
            total, gradient, by_inputs = self._pass(name, head.engine).run(_inputs(head.engine, some), labels, dense)
            dx = np.asarray(by_inputs).reshape(some.shape)
            losses[name], gradients[name] = total / len(some), weight * gradient
            dh[slice(None) if known is None else known] += weight * dx
        regularized = {
            name: loss
            if isinstance(self.heads[name], ActivationPenalty)
            else self.heads[name].engine.with_penalty(loss)
            for name, loss in losses.items()
        }
        if backward:
            flat = dh.reshape(len(dh), self.trunk.outputs)
            gradients[TRUNK] = self._pass(TRUNK, self.trunk.engine).run(x, NO_ORDER, flat)[1]
        total = self.trunk.engine.with_penalty(self.weighted(regularized))
        return Figures(losses, regularized, total, gradients, rows)

    def weighted(self, losses: Mapping[str, float]) -> float:
        """The sum of the heads' losses times their weights."""
        return math.fsum(self.weights[name] * loss for name, loss in losses.items())

    def update(self, x: Samples, targets: dict[str, Targets], optimizer: Optimizer, where: str = "") -> Figures:
        """Update all networks once; return the figures before it. Nothing is changed where the total is not finite."""
        with self.trunk.engine.lock:  # one update at a time, also of several threads
            for name, net in self.networks():  # change_layers may have thawed one
                refuse_differing(TRUNK if name == TRUNK else f"heads[{name!r}]", net)
            found = self.measure(x, targets)
            for name, net in self.networks():
                for one in net.engine.plan.frozen:  # which no norm counts
                    found.gradients[name][one] = 0.0
            by, gradients = _clipped(optimizer, found.gradients)
            if not (math.isfinite(found.total) and all(np.isfinite(one).all() for one in gradients.values())):
                raise diverged(where, found.losses)
            with interruption.held_back():  # which would leave some networks without their update
                for name, net in self.networks():
                    net.engine.update(gradients[name], by)
                    net.engine.optimizer = optimizer
        return found

    def accuracies(self, x: Samples, targets: dict[str, Targets]) -> dict[str, float]:
        """The accuracy of each head whose targets, all known, are classes."""
        h, found = self.trunk.engine.outputs_of(x), dict[str, float]()
        for name, (labels, dense, _) in targets.items():
            engine = self.heads[name].engine
            if engine.counts_hits(labels, dense):
                y = engine.outputs_of(_inputs(engine, h)).reshape(len(h), engine.outputs)
                found[name] = engine.measure(y, labels, dense)[1]
        return found

    def _pass(self, name: str, engine: Engine) -> Pass:
        """The pass of a network: the trunk's from its outputs' gradient, a head's from its loss to its inputs."""
        known = self._passes.get(name)
        if known is None or not known.suits(engine):
            is_trunk = name == TRUNK
            first = NO_LOSS_NUMBERS[:3] if is_trunk else engine.formula.numbers()
            loss = GIVEN if is_trunk else engine.formula
            known = self._passes[name] = Pass(engine, not is_trunk, loss, (*first, engine.regularization.data), True)
        return known

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_passes": {}}  # they hold addresses


def refuse_differing(name: str, network: Network) -> None:
    """Refuse a network with a layer that does something else in training than in predictions."""
    for layer in network.layers:
        if layer.differs_in_training:
            remedy = "leave it out, or pass trainable=False" if isinstance(layer, TrainedLayer) else "leave it out"
            came = f"{layer}, which {layer.differs_in_training} here; {remedy}"
            raise ValueError(f"{name}: expected layers that do the same in training and predictions, got {came}")


def diverged(where: str, losses: Mapping[str, float]) -> TrainingDivergedError:
    """The error for losses, gradients or parameters that are not finite."""
    worst = next((name for name, loss in losses.items() if not math.isfinite(loss)), None)
    came = "NaN or infinity" if worst is None else f"{losses[worst]} of the head {worst}"
    remedy = "lower the learning rate, scale the data, or initialize() the networks again"
    kept = "the networks keep their last finite parameters"
    return TrainingDivergedError(f"loss: expected finite numbers, got {came}{where}; {kept}: {remedy}")


def _named(name: str, given: Any, wanted: list[str], heads: Mapping[str, Any]) -> Mapping[str, Any]:
    """A dictionary by heads; refuses anything else, and other names."""
    if not isinstance(given, Mapping):
        came = f"{checks.shown(given)}; pass {name}={{{wanted[0]!r}: ...}}"
        raise TypeError(f"{name}: expected a dictionary by heads, {', '.join(wanted)}, got {came}")
    for key in given:
        if key not in wanted:
            is_penalty = isinstance(key, str) and key in heads
            remedy = (
                "; a penalty takes no targets, leave it out" if is_penalty else checks.did_you_mean(str(key), wanted)
            )
            raise ValueError(f"{name}: expected heads out of {', '.join(wanted)}, got {key!r}{remedy}")
    return given


def _targets(name: str, engine: Engine, t: Any, rows: int, mask: Any, check_finite: bool) -> Targets:
    """A head's targets; those that the mask leaves out are not looked at."""
    known = None
    if mask is not None:
        of = f"mask{name[name.index('[') :]}"
        found, t = arrays.anything(of, mask), arrays.anything(name, t)
        if found.dtype != bool or found.shape != (rows,):
            came = f"dtype {found.dtype} and shape {found.shape}"
            remedy = "pass True for each sample whose target is known"
            raise ValueError(f"{of}: expected booleans of shape ({rows},), got {came}; {remedy}")
        if t.shape[:1] != (rows,):
            raise ValueError(f"{name}: expected {rows} rows, as x has, got shape {t.shape}; fill up what is masked")
        known = np.flatnonzero(found)
        if not len(known):
            raise ValueError(f"{of}: expected at least one target that is known, got none; leave out the head")
        t, name = t[known], f"{name}[known]"
    return Targets(*engine.prepare_targets(name, t, rows if known is None else len(known), check_finite), known)


def _inputs(engine: Engine, h: Array) -> Array:
    """A trunk's outputs as a head's prepared rows."""
    return engine.input_scale.of(h).reshape(len(h), engine.inputs)


def _loss(engine: Engine, h: Array, labels: Array, dense: Array) -> float:
    """A head's mean loss, without regularization."""
    return engine.measure_on(_inputs(engine, h), labels, dense)[0]


def _clipped(optimizer: Optimizer, gradients: dict[str, Array]) -> tuple[Optimizer, dict[str, Array]]:
    """The gradients, scaled to the optimizer's norm of all of them together, and an optimizer that clips no norm."""
    if optimizer.clip_norm is None:
        return optimizer, gradients
    norm = math.sqrt(math.fsum(float(np.square(one, dtype=np.float64).sum()) for one in gradients.values()))
    without = replace(optimizer, clip_norm=None)
    if norm <= optimizer.clip_norm:
        return without, gradients
    return without, {name: one * one.dtype.type(optimizer.clip_norm / norm) for name, one in gradients.items()}
