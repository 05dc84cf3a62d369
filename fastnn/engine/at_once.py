"""The short way of a network on plain arrays: one compiled call checks a batch and computes.

Each function answers None where the gate should look, or where the call before was of another kind; then the long way
does all. Both compute the same bits.
"""

from typing import Any

import numpy as np

from fastnn.engine import threads
from fastnn.engine.engine import NO_ORDER, NO_WEIGHTS, Engine
from fastnn.engine.interpreters import jobs
from fastnn.engine.interpreters.on_outputs import FEW_ROWS, FLOP_PER_LOSS
from fastnn.engine.losses import learn_loss
from fastnn.engine.plan import TRAINING_WORK
from fastnn.engine.workspace import INDEX, Workspace
from fastnn.gate.arrays import Array
from fastnn.optimizers import Optimizer

# What objects that are not plain arrays raise when they are asked for their shape and dtype, or looked up.
NOT_PLAIN = (
    AttributeError, IndexError, KeyError, TypeError, ValueError, MemoryError, OverflowError, RuntimeError,
)  # fmt: skip


def predict(engine: Engine, x: Any, out: Any) -> Array | None:
    """The outputs of plain rows, as many as one call takes, on plain memory if it is given."""
    if not engine.takes_rows:
        return None
    try:
        y: Array = np.empty((len(x), engine.outputs), x.dtype) if out is None else out
        workspace = engine.prediction_workspaces.pop()
        try:
            if workspace.door is None or workspace.vectors[0] is not engine.values:
                return None
            arguments = engine.rows_of_call, workspace.job, x, True, y
            outcome = _run(engine, workspace, engine.plan.flop * len(x), arguments)
        finally:
            engine.prediction_workspaces.append(workspace)
    except NOT_PLAIN:
        return None
    return y if outcome == jobs.DONE else None


def step(engine: Engine, x: Any, t: Any, optimizer: Optimizer) -> float | None:
    """The mean loss of a step by plain rows and targets, if the last one was of the same optimizer."""
    workspace = engine.workspace
    if workspace is None or workspace.optimizer_at_once is not optimizer or engine.optimizer is not optimizer:
        return None
    try:
        is_labels, rows = t.dtype is INDEX, len(x)
        if not engine.trains_at_once or (is_labels and not engine.takes_labels):
            return None
        labels, dense = (t, engine.no_targets) if is_labels else (NO_ORDER, t)
        batch = (x, labels, dense, NO_ORDER, NO_WEIGHTS, 0, 1, rows, 0.0, True, True, False)
        work = TRAINING_WORK * rows * engine.plan.flop
        with engine.lock:
            vectors = workspace.vectors
            if engine.workspace is not workspace or vectors[0] is not engine.values or vectors[2] is not engine.state:
                return None
            if workspace.optimizer_at_once is not optimizer or engine.optimizer is not optimizer:
                return None  # another thread has trained since
            _, total, _, outcome = _run(engine, workspace, work, (workspace.rows, workspace.job, *batch))
        return float(total / rows) if outcome == jobs.DONE else None
    except NOT_PLAIN:
        return None


def loss(engine: Engine, x: Any, t: Any) -> float | None:
    """The mean loss of plain rows and targets, few enough for one thread."""
    try:
        of_labels, rows = t.dtype is INDEX, len(x)
        is_large = rows > FEW_ROWS or FLOP_PER_LOSS * rows * engine.outputs >= threads.SMALL_WORK
        if not engine.trains_at_once or is_large:
            return None  # before the outputs are computed
        y = predict(engine, x, None)
        if y is None:
            return None
        learn_loss(engine.way_of_loss, engine.formula, y.dtype, of_labels, True)
        found = engine.way_of_loss.call(y, t, t, None)
    except NOT_PLAIN:
        return None
    return found[0] if type(found) is tuple else None


def _run(engine: Engine, workspace: Workspace, work: float, arguments: tuple[Any, ...]) -> Any:
    """The result of a workspace's door; NotImplemented if there are more threads than it has memory for."""
    if work < threads.SMALL_WORK:  # `threads.run` would ask the same
        return workspace.door(1, 0, *arguments)
    parts = threads.at_most(engine.n_threads)
    if parts > workspace.parts:
        return NotImplemented
    return threads.run(workspace.door, work, *arguments, n_threads=parts)
