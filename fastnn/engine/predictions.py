"""Predictions for rows as kernels take them, cut into calls and, if they are yet to be scaled, into pieces."""

from typing import TYPE_CHECKING

import numpy as np

from fastnn.engine import threads
from fastnn.engine.interpreters import forward, jobs
from fastnn.engine.short import Way
from fastnn.engine.workspace import Workspace, take_for_prediction
from fastnn.gate import arrays
from fastnn.gate.arrays import Array

if TYPE_CHECKING:
    from fastnn.engine.engine import Engine

LARGEST_KEPT = 1 << 26  # bytes of a batch's activations; a larger workspace is given back after the batch
NUMBERS_AT_ONCE = 1 << 19  # that are scaled before they are read: 2 MiB of float32


def predict_in_pieces(engine: "Engine", x: Array, result: Array) -> None:
    """result = the outputs for rows x that are yet to be scaled, which takes memory of fixed size."""
    rows = max(1, NUMBERS_AT_ONCE // engine.inputs)
    memory = np.empty((min(rows, len(x)), *engine.input_shape), engine.dtype)
    for n in range(0, len(x), rows):
        some = x[n : n + rows]
        predict(engine, engine.input_scale.of(some, memory[: len(some)]), result[n : n + rows], False)


def predict(engine: "Engine", x: Array, result: Array, check_finite: bool) -> None:
    """result = the outputs for x, whose numbers are scaled."""
    count = x.shape[0]
    parts = forward.parts_of(count, threads.at_most(engine.n_threads))
    flop = engine.plan.flop
    vectors = (engine.values, engine.no_targets, engine.no_targets)  # neither gradients nor state
    description = (engine.plan, engine.columns, engine.trained)
    workspace = take_for_prediction(engine.prediction_workspaces, description, vectors, parts)
    rows = engine.rows_of_call
    check = check_finite and count <= rows  # by the kernel, before it writes anything
    if check_finite and not check:
        arrays.check_finite("x", x, arrays.CHECK_FINITE)
    for n in range(0, count, rows):
        some, y = x, result
        if count > rows or not engine.takes_rows:
            some = x[n : n + rows].reshape(-1, engine.inputs)
            y = result[n : n + rows].reshape(-1, engine.outputs)
        work = flop * some.shape[0]
        first = forward.predict, work, 0, engine.outputs, workspace.job, some
        outcome = threads.run(*first, check, y, n_threads=parts)
        if outcome == jobs.REFUSED:
            arrays.check_finite("x", x, arrays.CHECK_FINITE)  # raises, unless another thread has changed x
            outcome = threads.run(*first, False, y, n_threads=parts)
        if outcome == jobs.NEEDS_UNIT:
            workspace.compile_wanted()
            _learn(engine, anew=True)
            threads.run(*first, False, y, n_threads=parts)
    _learn(engine)
    if workspace.nbytes <= LARGEST_KEPT:
        engine.prediction_workspaces.append(workspace)


def _learn(engine: "Engine", anew: bool = False) -> None:
    """Let plain rows of little work be predicted at once; anew: as there are more units to be called."""
    rows = int(threads.SMALL_WORK / engine.plan.flop)
    if engine.takes_plain_rows and (anew or engine.workspace_at_once is None):
        vectors = (engine.values, engine.no_targets, engine.no_targets)
        way = Way()
        workspace = Workspace(engine.plan, engine.columns, engine.trained, vectors, 0, 1, training=False)
        first = (rows or -1, engine.outputs, workspace.job)  # 0 is for rows at which the gate has looked
        # Several threads may come here at once: each way keeps the memory that it uses.
        way.learn(forward.predict, engine.dtype, *first, keeps=workspace.memory)
        engine.prediction, engine.workspace_at_once = way, workspace
