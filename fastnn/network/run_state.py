"""All that decides how a run goes on, as a tree of plain values; and the run put back into it, after every check."""

import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.engine.engine import Snapshot
from fastnn.engine.samples import ByteRows, Samples, SparseRows, parts_of
from fastnn.errors import ModelFileError
from fastnn.gate import arrays, checks
from fastnn.gate.arrays import Array
from fastnn.network.files.training_state import REPAIR
from fastnn.network.requests import Request

if TYPE_CHECKING:
    from fastnn.network.network import Network
    from fastnn.network.run import Run

# The bounds of the places that generators keep: NumPy does not check them, and would read beside their arrays.
PLACES = {"pos": 624, "buffer_pos": 4}
MOST = 2**53
MOST_SEED = 2**64
ROWS_AT_ONCE = 4096  # of bytes, whose checksum is taken
DATA = "x", "t", "sample_weight", "validation_data"  # which a program may draw by its seed
NEW_SETTINGS = {"input_scale": "1.0"}  # which came later, with their values before


def tree_of(run: "Run") -> dict[str, Any]:
    """The state of a run between two batches."""
    request, generator = run.request, run.request.generator
    history = {name: np.array(getattr(run.history, name), np.float64) for name in request.figures}
    return {
        "settings": settings_of(run),
        "position": vars(run.position),
        "history": history,
        "generator": {
            "now": generator.bit_generator.state,
            "before_order": run.before_order,
            "seed": seed_of(generator),
        },
        **{
            argument: {name: one.state(run.network) for name, one in found.items()}
            for argument, found in stateful_parts(request).items()
        },
        "files": [saver.files for saver in run.savers],
    }


def seed_of(generator: np.random.Generator) -> int | None:
    """The seed that a user gave a generator; None for one that the system drew, whose 128 bits tell nobody anything."""
    seed = getattr(getattr(generator.bit_generator, "seed_seq", None), "entropy", None)
    return int(seed) if isinstance(seed, int | np.integer) and seed < MOST_SEED else None


def stateful_parts(request: Request) -> dict[str, dict[str, Any]]:
    """The callbacks and the schedule with a state."""
    return {"callbacks": stateful(request.callbacks), "schedule": stateful([request.schedule])}


def stateful(callbacks: Sequence[Any]) -> dict[str, Any]:
    """The callbacks, or schedules, that have a state, by the name of their class and their number."""
    found: dict[str, Any] = {}
    for one in callbacks:
        if callable(getattr(one, "state", None)) and callable(getattr(one, "restore", None)):
            name = type(one).__name__
            found[f"{name} {1 + sum(other.startswith(name + ' ') for other in found)}"] = one
    return found


# --- the settings of a run, as texts ---


def settings_of(run: "Run") -> dict[str, str]:
    """What must be the same where a run goes on, by the names of `fit` and `Network`.

    It is read once: it takes the checksums of all data, which callbacks may change later.
    """
    if run.settings is None:
        run.settings = _settings(run.network, run.request)
    return run.settings


def _settings(network: "Network", request: Request) -> dict[str, str]:
    source, validation = request.source, request.validation
    return {
        "layers": f"[{', '.join(map(str, network.layers))}]",
        "input_shape": str(network.input_shape),
        "input_scale": str(network.input_scale),
        "loss": repr(network.engine.loss),
        "dtype": network.dtype.name,
        "regularization": repr(network.regularization),
        "x": _text_of_arrays(source.data[:1]) if source.rows else "batches",
        "t": _text_of_arrays(source.data[1:]) if source.rows else "none",
        "sample_weight": _text_of_arrays([source.weights]) if source.weights.size else "none",
        "validation_data": "none" if validation is None else _text_of_arrays(validation),
        "batch_size": str(source.batch_size),
        "optimizer": repr(request.optimizer),
        "schedule": "none" if request.schedule is None else text_of(request.schedule),
        "shuffle": str(request.shuffle),
        "rng": "any" if request.seed is None else str(request.seed),
        "gradient": "numerical" if request.numerical else "analytic",
        "metrics": ", ".join(metric.name for metric in request.metrics) or "none",
        "initial_epoch": str(request.initial_epoch),
        **source.described,
    }


def text_of(value: Any) -> str:
    """A description that is the same in each process: no addresses."""
    if is_dataclass(value) and not isinstance(value, type):
        own = [f"{one.name}={text_of(getattr(value, one.name))}" for one in fields(value) if one.init]
        return f"{type(value).__name__}({', '.join(own)})"
    if value is None or isinstance(value, bool | int | float | str):
        return repr(value)
    name = getattr(value, "__qualname__", None)
    return f"the function {name}" if name else f"an object of type {type(value).__name__}"


def _text_of_arrays(values: Sequence[Samples]) -> str:
    """The shape of the first array that is not empty, and the checksum of all: of bytes, the floats' that they are."""
    checksum = 0
    for value in values:
        for part in _pieces(value):
            checksum = zlib.crc32(np.ascontiguousarray(part).data, checksum)
    first = next((value for value in values if len(value)), np.empty(0))
    kind = "a sparse matrix" if isinstance(first, SparseRows) else "an array"
    return f"{kind} {first.shape} with the checksum {checksum:08x}"


def _pieces(x: Samples) -> Iterable[Array]:
    """The arrays that hold samples, or the floats that bytes are."""
    if isinstance(x, ByteRows):
        return (x[n : n + ROWS_AT_ONCE] for n in range(0, len(x), ROWS_AT_ONCE))
    return parts_of(x)


# --- going on ---


def refuse_other_settings(path: str, tree: Mapping[str, Any], run: "Run") -> None:
    """Refuse to go on with other arguments than a checkpoint's: the bits would be no longer the run's.

    Where data differ and their seeds do, the latter are named: they say more than the checksums of data.
    """
    there, here = tree.get("settings"), settings_of(run)
    there = NEW_SETTINGS | there if isinstance(there, dict) else there
    if not isinstance(there, dict) or there.keys() != here.keys():
        raise ModelFileError(f"{path}: settings: expected {', '.join(here)}, got others; {REPAIR}")
    for name, wanted in there.items():
        came = here[name]
        if wanted != came and not (name == "rng" and "any" in (wanted, came)):
            generator, seed = tree.get("generator"), seed_of(run.request.generator)
            before = generator.get("seed") if isinstance(generator, dict) else None  # none in earlier files
            if name in DATA and isinstance(before, int) and seed not in (None, before):
                name, wanted, came = "rng", checks.shown(before), str(seed)
            remedy = f"pass the same, or train its weights anew: fastnn.load({path!r}), and fit without resume"
            if name in ("x", "validation_data"):
                wanted, came = (_of_samples(text, run.network.input_shape) for text in (wanted, came))
            raise ValueError(f"{name}: expected {wanted}, as in the run of {path}, got {came}; {remedy}")


def _of_samples(text: str, shape: tuple[int, ...]) -> str:
    """The description of rows, with the shape in which images came."""
    rows, images = (f", {', '.join(map(str, sizes))}) with" for sizes in ((math.prod(shape),), shape))
    return text.replace(rows, images)


def go_on(run: "Run", path: str, tree: Mapping[str, Any], snapshot: Snapshot) -> None:
    """Put a run, and all that it uses, into the state of a checkpoint; ModelFileError for a state that is none."""
    generator, parts = run.request.generator, stateful_parts(run.request)
    try:
        _check_kinds(path, tree, generator, parts)
        position, history = _position(run, tree["position"]), _history(run, tree)
        now, before_order = tree["generator"]["now"], tree["generator"]["before_order"]
        has_order = position["learning_rate"] is not None and run.request.shuffle
        for state in (now, before_order) if has_order else (now,):
            _try_state(generator.bit_generator, state)
        files = [[str(name) for name in names] for names in tree["files"]]
    except OtherRunError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ModelFileError(f"{path}: training.json: {error}; {REPAIR}") from error
    for argument, given in parts.items():
        for name, one in given.items():
            one.restore(run.network, tree[argument][name])
    for name, values in history.items():
        getattr(run.history, name)[:] = values
    run.go_on_at(position, snapshot)
    if has_order:
        run.before_order = generator.bit_generator.state = before_order
        run.source.draw(generator)
    generator.bit_generator.state = now
    for saver, names in zip(run.savers, files, strict=False):
        saver.go_on_after(names)


class OtherRunError(ValueError):
    """A checkpoint is of a run with other arguments."""


def _check_kinds(
    path: str, tree: Mapping[str, Any], generator: np.random.Generator, parts: dict[str, dict[str, Any]]
) -> None:
    """Refuse another kind of generator, and other callbacks with a state, than the run's."""
    wanted, came = tree["generator"]["now"]["bit_generator"], generator.bit_generator.state["bit_generator"]
    if wanted != came:
        came = f"{came}; pass a generator of the same kind"
        raise OtherRunError(f"rng: expected a Generator with {wanted}, as in the run of {path}, got {came}")
    for argument, given in parts.items():
        if set(given) != set(tree[argument]):
            wanted, came = (", ".join(sorted(names)) or "none" for names in (tree[argument], given))
            expected = f"{argument}: expected {wanted} with a state, as in the run of {path}"
            raise OtherRunError(f"{expected}, got {came}; pass the same")


def _position(run: "Run", entry: Any) -> dict[str, Any]:
    """The fields of a position, checked: compiled code takes the batches as they are."""
    own = vars(run.position)
    if entry.keys() != own.keys():
        raise ValueError(f"position: expected {', '.join(own)}, got {checks.shown(', '.join(entry))}")
    batches = MOST if run.source.batches is None else run.source.batches - 1
    most = {"epochs": MOST, "batches_before": MOST, "batches": batches, "samples": MOST, "hits": MOST}
    made: dict[str, Any] = {name: arrays.integer(name, entry[name], 0, bound) for name, bound in most.items()}
    for name in ("losses", "seconds"):
        made[name] = arrays.real(name, entry[name])
    made["learning_rate"] = entry["learning_rate"]
    if made["learning_rate"] is not None:
        made["learning_rate"] = arrays.real("learning_rate", entry["learning_rate"], minimum=0.0)
    made["has_ended"] = arrays.flag("has_ended", entry["has_ended"])
    return made


def _history(run: "Run", tree: Mapping[str, Any]) -> dict[str, list[float]]:
    """The lists of the history."""
    epochs = tree["position"]["epochs"] - run.request.initial_epoch
    found: dict[str, Any] = tree["history"]
    if set(found) != set(run.request.figures):
        raise ValueError(f"history: expected {', '.join(run.request.figures)}, got {', '.join(found)}")
    for name, values in found.items():
        if not (isinstance(values, np.ndarray) and values.shape == (epochs,) and values.dtype == np.float64):
            raise ValueError(f"history: expected {epochs} numbers of {name}, got {checks.shown(values)}")
    return {name: values.tolist() for name, values in found.items()}


def _try_state(generator: np.random.BitGenerator, state: Any) -> None:
    """Refuse a state that this generator could not have; its own stays."""
    own = generator.state
    _compare("generator", own, state)
    try:
        generator.state = state
    finally:
        generator.state = own


def _compare(name: str, own: Any, came: Any) -> None:
    """Refuse a state of another structure than the generator's own."""
    if isinstance(own, dict):
        if not isinstance(came, dict) or own.keys() != came.keys():
            raise ValueError(f"{name}: expected {', '.join(own)}, got {checks.shown(came)}")
        for key in own:
            _compare(key, own[key], came[key])
    elif isinstance(own, np.ndarray):
        if not isinstance(came, np.ndarray) or (own.dtype, own.shape) != (came.dtype, came.shape):
            raise ValueError(f"{name}: expected {own.shape} of {own.dtype}, got {checks.shown(came)}")
    elif isinstance(own, str):
        if own != came:
            raise ValueError(f"{name}: expected {own}, as rng has, got {checks.shown(came)}")
    else:
        arrays.integer(name, came, 0, PLACES.get(name, 2**128 - 1))
