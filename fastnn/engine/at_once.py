"""The short way of a network on plain arrays: one compiled call checks a batch and computes.

Each function answers None where the gate should look, or where the call before was of another kind; then the long way
does all. Both compute the same bits.
"""

from typing import Any

import numpy as np
from numpy import ndarray

from fastnn.engine import contention, threads
from fastnn.engine.engine import Engine
from fastnn.engine.interpreters import forward, jobs
from fastnn.engine.plan import TRAINING_WORK
from fastnn.engine.short import DONE, LONGER, SMALL_PRODUCT
from fastnn.engine.workspace import INDEX, Workspace
from fastnn.gate import arrays
from fastnn.gate.arrays import Array
from fastnn.optimizers import NO_RULE, Optimizer

NO_LABELS = np.empty(0, INDEX)


def predict(engine: Engine, x: Any, out: Any) -> Array | None:
    """The outputs of plain rows, on plain memory if it is given."""
    y = engine.prediction.call(x, True, out)
    if type(y) is ndarray:
        return y
    if out is None and engine.scaling is not None:
        scaled = engine.scaling.call(x, None)
        y = engine.prediction_of_scaled.call(scaled, False, None) if type(scaled) is ndarray else None
        return y if type(y) is ndarray else None
    return _predict_many(engine, x, out) if y == jobs.MANY else None


def _predict_many(engine: Engine, x: Array, out: Any) -> Array | None:
    """The outputs of plain rows that threads may share, as many as one call takes."""
    try:
        workspace = engine.prediction_workspaces.pop()
    except IndexError:
        return None
    try:
        parts = forward.parts_of(len(x), threads.at_most(engine.n_threads), engine.shares_columns, engine.takes_images)
        work = engine.plan.flop * len(x)
        if workspace.vectors[0] is not engine.values or parts > workspace.parts:
            return None
        workspace.job[jobs.IS_FRESH] = out is None
        n = 0
        if work < parts * LONGER * SMALL_PRODUCT:
            n = threads.free_threads() if parts > 1 else 1
        if n > 0:
            return _on_threads(workspace.on(min(n, parts), engine.rows_of_call, engine.outputs), x, out)
        y: Array = np.empty((len(x), engine.outputs), x.dtype) if out is None else out
        arguments = engine.rows_of_call, engine.outputs, workspace.job, x, True, y
        return y if threads.run(workspace.door, work, *arguments, n_threads=parts) == jobs.DONE else None
    finally:
        engine.prediction_workspaces.append(workspace)


def _on_threads(call: Any, x: Array, out: Any) -> Array | None:
    """The outputs by a short call, whose end is noted."""
    try:
        y = call(x, True, out)
        return y if type(y) is ndarray else None
    finally:
        contention.note_end()


def loss(engine: Engine, y: Any, t: Any) -> float | None:
    """The mean loss, penalty included, of outputs that were predicted at once."""
    found = engine.way_of_loss.call(y, t, t, None)
    return engine.with_penalty(found[0]) if type(found) is tuple else None


def accuracy(engine: Engine, y: Any, t: Any) -> float | None:
    """The fraction of outputs, which were predicted at once, that are right."""
    found = engine.way_of_hits.call(y, t, t)
    return found[1] / len(y) if type(found) is tuple and found[0] == DONE else None


def step(engine: Engine, x: Any, t: Any, optimizer: Optimizer) -> float | None:
    """The mean loss of a step by plain rows and targets, if the last one was of the same optimizer."""
    workspace = engine.workspace
    if workspace is None or not engine.trains_at_once or workspace.optimizer_at_once is not optimizer:
        return None
    with engine.lock:
        vectors = workspace.vectors
        if engine.workspace is not workspace or vectors[0] is not engine.values or vectors[2] is not engine.state:
            return None
        if workspace.optimizer_at_once is not optimizer or engine.optimizer is not optimizer:
            return None  # another thread has trained since
        penalty = engine.penalty() if engine.is_penalized else 0.0
        found = _train(engine, workspace, x, t)
    if type(found) is not tuple or found[3] != jobs.DONE:
        return None
    samples, total, _, _ = found
    return float(engine.regularization.data * total / samples + penalty if engine.is_penalized else total / samples)


def gradient(engine: Engine, x: Any, t: Any) -> dict[str, Array] | None:
    """The gradient of the mean loss by every parameter, if the last batch was of a gradient, too."""
    workspace = engine.workspace
    if (
        workspace is None
        or not engine.has_plain_targets
        or not engine.takes_plain_rows
        or workspace.rule is not NO_RULE
    ):
        return None
    with engine.lock:
        if engine.workspace is not workspace or workspace.vectors[0] is not engine.values:
            return None
        if workspace.rule is not NO_RULE:
            return None  # another thread has trained since
        found = _train(engine, workspace, x, t)
        if type(found) is not tuple or found[3] not in (jobs.DONE, jobs.NOT_FINITE):
            return None
        return engine.by_name(engine.gradients.copy())


def plain_targets(engine: Engine, x: Any, t: Any) -> tuple[Array, Array] | None:
    """The labels and the dense targets, if the kernel alone can check x and t; else None."""
    dtype, values = engine.values.dtype, engine.memory
    if not (arrays.is_plain(x, dtype) and x.shape[1:] == engine.input_shape and x.base is not values):
        return None
    if not (
        engine.has_plain_targets and engine.input_scale.is_one
    ):  # a user's loss may take anything; others are images
        return None
    if arrays.is_plain(t, dtype):
        t = t.reshape(-1, 1) if t.ndim == 1 else t
        return (NO_LABELS, t) if t.shape == (len(x), engine.outputs) and t.base is not values else None
    plain = engine.formula.takes_labels and engine.outputs > 1 and arrays.is_plain(t, INDEX) and t.shape == x.shape[:1]
    return (t, engine.no_targets) if plain else None


def _train(engine: Engine, workspace: Workspace, x: Any, t: Any) -> Any:
    """The result of training.train on one batch; something else if there are more threads than there is memory for."""
    found = workspace.at_once(x, t, t)
    if type(found) is not tuple or found[3] != jobs.MANY:
        return found
    parts = threads.at_most(engine.n_threads)
    if parts > workspace.parts:
        return None
    work = TRAINING_WORK * len(x) * engine.plan.flop
    targets = (t, engine.no_targets) if t.dtype is INDEX else (NO_LABELS, t)
    return threads.run(workspace.door, work, *workspace.first_of_batch(workspace.rows), x, *targets, n_threads=parts)
