"""Predictions, cut into calls and, if rows are yet to be scaled, into pieces."""

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.engine import threads
from fastnn.engine.indexing import Index
from fastnn.engine.interpreters import forward, jobs
from fastnn.engine.interpreters.scaling import multiply
from fastnn.engine.samples import ByteRows, RowsOnDemand, Samples, SparseRows, byte_rows, parts_of
from fastnn.engine.short import Way
from fastnn.engine.workspace import Workspace, take_for_prediction
from fastnn.gate import arrays, sparse
from fastnn.gate.arrays import Array

if TYPE_CHECKING:
    from fastnn.engine.engine import Engine

LARGEST_KEPT = 1 << 26  # bytes of activations, and of rows that were listed; larger memory is given back
# A prediction of so many times SMALL_WORK is still taken at once, on one thread, where no layer is taken by columns:
# the way through Python to two threads takes 3 us. 16 rows of 64-64-64 take 1.9 us instead of 4.8, 8 of 784-50-10 4.1
# and 6.6, 1 of 784-256-10 7.0 and 8.7; 64 of 64-64-64, just above, 6.6 either way (two cores of Zen 5).
SHORT = 5.0
NUMBERS_AT_ONCE = 1 << 19  # that are scaled before they are read: 2 MiB of float32


def predict(engine: "Engine", x: Any, out: Any, check_finite: bool) -> Array:
    """See `Network.predict`."""
    dtype = engine.values.dtype
    if sparse.is_sparse(x):
        x, check_finite = engine.prepare_rows("x", x, check_finite, allow_empty=True), False
    elif not (arrays.is_plain(x, dtype) and x.shape[1:] == engine.input_shape):
        found = byte_rows(x, engine.input_shape, engine.input_scale)
        wanted: Any = ("N", *engine.input_shape)
        options: Any = {"dtype": dtype, "rounding": True, "allow_empty": True}
        x = arrays.floats("x", x, wanted, **options) if found is None else found
    result = _result(engine, x, out)
    if engine.input_scale.is_one or isinstance(x, RowsOnDemand):
        predict_rows(engine, x, result, check_finite)
        return result
    if check_finite and out is not None and len(x) > _rows_at_once(engine):
        _check_scaled(engine, x)  # before anything is written
    _predict_in_pieces(engine, x, result, check_finite)
    return result


def _check_scaled(engine: "Engine", x: Array) -> None:
    """Refuse rows that are not finite, or not when they are scaled."""
    arrays.check_finite("x", x, arrays.CHECK_FINITE)
    engine.input_scale.check_finite("x", x)


def _rows_at_once(engine: "Engine") -> int:
    """How many rows are scaled before they are read."""
    return max(1, NUMBERS_AT_ONCE // engine.inputs)


def _predict_in_pieces(engine: "Engine", x: Array | ByteRows, result: Array, check_finite: bool) -> None:
    """result = the outputs for x, whose numbers are yet to be scaled, and looked at if they are floats."""
    rows = _rows_at_once(engine)
    memory = np.empty((min(rows, len(x)), *x.shape[1:]), engine.dtype)
    for n in range(0, len(x), rows):
        piece = memory[: len(x) - n]
        if isinstance(x, ByteRows):
            x.fill(n, piece, engine.n_threads)
        elif not engine.input_scale.multiply(x[n : n + rows], piece, engine.n_threads) and check_finite:
            _check_scaled(engine, x)
        predict_rows(engine, piece, result[n : n + rows], False)


def predict_rows(engine: "Engine", x: Samples, result: Array, check_finite: bool) -> None:
    """result = the outputs for x, whose numbers are scaled, or are bytes; check_finite is for arrays alone."""
    if isinstance(x, ByteRows):
        _predict_in_pieces(engine, x, result, False)
        return
    x, index = (x.array, x.index) if isinstance(x, SparseRows) else (x, None)
    count = len(x)
    parts = forward.parts_of(count, threads.at_most(engine.n_threads), engine.shares_columns, engine.takes_images)
    vectors = (engine.values, engine.no_targets, engine.no_targets)  # neither gradients nor state
    description = (engine.plan, engine.columns, engine.trained)
    workspace = take_for_prediction(engine.prediction_workspaces, description, vectors, parts)
    workspace.job[jobs.IS_FRESH] = 0  # the result may be the user's
    rows = engine.rows_of_call
    check = check_finite and count <= rows  # by the kernel, before it writes anything
    if check_finite and not check:
        arrays.check_finite("x", x, arrays.CHECK_FINITE)
    try:
        for n in range(0, count, rows):
            y = result if count <= rows and engine.takes_rows else result[n : n + rows].reshape(-1, engine.outputs)
            some = x if count <= rows and engine.takes_rows else x[n : n + rows].reshape(len(y), -1)
            if index is not None:
                workspace.set_index(Index(index.pairs, index.starts[n : n + rows + 1]))
            work = engine.plan.flop * len(some)
            first = forward.predict, work, 0, engine.outputs, workspace.job, some
            while (outcome := threads.run(*first, check, y, n_threads=parts)) != jobs.DONE:
                if outcome == jobs.NEEDS_UNIT:
                    workspace.compile_wanted()
                    _learn(engine, anew=True)
                else:
                    arrays.check_finite("x", x, arrays.CHECK_FINITE)  # raises, unless another thread has changed x
                    check = False
    finally:  # a refusal does not cost the units that were compiled
        workspace.set_index(None)
        if workspace.nbytes <= LARGEST_KEPT:
            engine.prediction_workspaces.append(workspace)
    _learn(engine)


def _result(engine: "Engine", x: Samples, out: Any) -> Array:
    """Memory for the outputs: `out` if it is given, and right."""
    dtype, count = engine.values.dtype, len(x)
    shape = (count, engine.outputs) if engine.takes_rows else (count, *engine.output_shape)  # unpacking takes longer
    parameters = ("the parameters", engine.values)
    if isinstance(x, RowsOnDemand):
        inputs = [("x", held) for held in parts_of(x)]
        return arrays.output("out", out, shape, dtype, (*inputs, parameters))
    # Two arrays that own their memory do not share it.
    if arrays.is_plain(out, dtype) and out.flags.owndata and x.flags.owndata and out is not x and out.shape == shape:
        return out
    return arrays.output("out", out, shape, dtype, (("x", x), parameters))


def _learn(engine: "Engine", anew: bool = False) -> None:
    """Let plain rows of little work be predicted at once; anew: as there are more units to be called."""
    most = threads.SMALL_WORK * (1.0 if engine.shares_columns else SHORT)
    rows = int(most / engine.plan.flop)
    if engine.takes_rows and (anew or engine.workspace_at_once is None):
        vectors = (engine.values, engine.no_targets, engine.no_targets)
        way, workspace = Way(), Workspace(engine.plan, engine.columns, engine.trained, vectors, 0, 1, training=False)
        first = (rows or -1, engine.outputs, workspace.job)  # 0 is for rows at which the gate has looked
        # Several threads may come here at once: each way keeps the memory that it uses.
        way.learn(forward.predict, engine.dtype, *first, keeps=workspace.memory)
        if engine.input_scale.is_one:
            engine.prediction = way
        else:
            scaling = Way()
            scaling.learn(multiply, engine.dtype, rows, engine.inputs, engine.input_scale.factor)
            engine.prediction_of_scaled, engine.scaling = way, scaling
        engine.workspace_at_once = workspace
