"""check_gradients: the analytic gradient against difference quotients, tensor by tensor, with a verdict.

Imports the gate, perturbation and numpy; plots where a report is drawn.

How it judges. Six points, h, h/2 and h/4 to both sides, give a Richardson extrapolation, an estimate of its error, and
six one-sided slopes. Where the loss has a kink between the points, such as where a ReLU switches, the slopes differ and
do not settle as the step shrinks; any value between them is accepted there. Elsewhere an entry agrees if it is as near
to the quotient as the analytic gradient's own rounding allows.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fastnn import arrays, checks, observation
from fastnn.arrays import Array
from fastnn.kernels.activations import ACTIVATIONS
from fastnn.layers import PRelu
from fastnn.perturbation import METHODS, quotient

AGREE, DIFFER, CANNOT_TELL = "agree", "differ", "cannot tell"
# How far the analytic gradient may be off by its own rounding: of the entry, and of the tensor's largest.
TOLERANCES = {"float32": (1e-3, 1e-4), "float64": (1e-6, 1e-7)}
KINK = 0.1  # times the tolerance: what is left of the difference of one-sided slopes where there is a kink
SMOOTH = 0.05  # how near to 8 that has to shrink at half the step where there is none
MOST_SAMPLES = 256  # whose own gradients are looked at


@dataclass(frozen=True)
class Kink:
    """An entry whose perturbation crosses a kink of the loss: its index and the slopes to both sides, over h / 4."""

    index: tuple[int, ...]
    slope_below: float
    slope_above: float


@dataclass(frozen=True)
class TensorReport:
    """What was found for one parameter array.

    Attributes
    ----------
    name : str
    verdict : str
        "agree", "differ", or "cannot tell": the difference is larger than allowed, but not than the quotient's noise.
    entries : int
    largest_error, median_error : float
        Relative: |analytic - numerical| / the larger of both, entries below the tolerance of the tensor taken as that.
    worst : tuple of int
        Index of the entry that is furthest beyond what is allowed.
    analytic, numerical : float
        Both values there.
    estimated_error : float
        Largest estimate of a quotient's own absolute error, kinks left aside.
    kinks : tuple of Kink
    """

    name: str
    verdict: str
    entries: int
    largest_error: float
    median_error: float
    worst: tuple[int, ...]
    analytic: float
    numerical: float
    estimated_error: float
    kinks: tuple[Kink, ...]


class GradientReport:
    """The result of `check_gradients`; printed, it is a table.

    Attributes
    ----------
    tensors : dict of str to TensorReport
    errors : dict of str to array
        Relative errors of all entries.
    h : float
    """

    def __init__(self, tensors: dict[str, TensorReport], errors: dict[str, Array], h: float) -> None:
        self.tensors, self.errors, self.h = tensors, errors, h

    @property
    def verdict(self) -> str:
        """That of the tensors together: "differ" if one does, else "cannot tell" if one says so, else "agree"."""
        verdicts = {tensor.verdict for tensor in self.tensors.values()}
        return next((verdict for verdict in (DIFFER, CANNOT_TELL) if verdict in verdicts), AGREE)

    @property
    def passed(self) -> bool:
        """Whether all tensors agree."""
        return self.verdict == AGREE

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, strings, lists and dicts, such as JSON takes."""
        tensors = {}
        for name, tensor in self.tensors.items():
            kinks = [{**asdict(kink), "index": list(kink.index)} for kink in tensor.kinks]
            tensors[name] = {**asdict(tensor), "worst": list(tensor.worst), "kinks": kinks}
        return {"verdict": self.verdict, "h": self.h, "tensors": tensors}

    def assert_agree(self) -> None:
        """Raise an AssertionError with the table unless all tensors agree."""
        if not self.passed:
            raise AssertionError(f"gradients: expected analytic and numerical ones to agree\n{self}")

    def plot(self, path: Any = None) -> Any:
        """Draw the relative errors of all entries as heat maps, see `fastnn.plots.gradient_check`; needs matplotlib.

        Parameters
        ----------
        path : str or path, optional
            Where to save the picture.

        Returns
        -------
        matplotlib.figure.Figure
            None of pyplot's: nothing is shown, and nothing has to be closed.
        """
        from fastnn.plots import networks, panels

        axes = panels.new(len(self.errors), 1, networks.TENSOR_SIZE, managed=False)
        figure = networks.gradient_check(self, axes=axes)[0].figure
        if path is not None:
            figure.savefig(path)
        return figure

    def __str__(self) -> str:
        head = (
            "tensor",
            "entries",
            "largest error",
            "median",
            "analytic",
            "numerical",
            "at",
            "noise",
            "kinks",
            "verdict",
        )
        rows = [head]
        for t in self.tensors.values():
            numbers = (f"{t.largest_error:.1e}", f"{t.median_error:.1e}", f"{t.analytic:.6g}", f"{t.numerical:.6g}")
            at = ", ".join(map(str, t.worst))
            rows.append(
                (t.name, f"{t.entries:,}", *numbers, at, f"{t.estimated_error:.0e}", str(len(t.kinks)), t.verdict)
            )
        widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
        lines = []
        for row in rows:
            cells = [
                f"{cell:<{w}}" if i in (0, len(head) - 1) else f"{cell:>{w}}"
                for i, (cell, w) in enumerate(zip(row, widths, strict=True))
            ]
            lines.append("  ".join(cells).rstrip())
        return "\n".join(
            [*lines, f"{self.verdict} (h = {self.h:g}; errors are relative, values those of the worst entry)"]
        )

    def __repr__(self) -> str:
        return f"<GradientReport: {self.verdict}, {len(self.tensors)} tensors>"


def check_gradients(
    net: Any,
    x: Any,
    t: Any,
    *,
    gradient: Mapping[str, Any] | None = None,
    h: float = 1e-4,
    rtol: float | None = None,
    atol: float | None = None,
) -> GradientReport:
    """Compare a network's analytic gradient with its numerical one, entry by entry.

    Parameters
    ----------
    net : Network
    x, t : arrays
        Samples and targets, as for `Network.gradient`; a few samples are enough.
    gradient : mapping of str to array, optional
        The gradient to check, keyed like `net.params`; that of `net.gradient(x, t)` if not given.
    h : float
        The largest of the three steps.
    rtol, atol : float, optional
        How far an entry may be off: by rtol times itself plus atol times the largest of its tensor. By default what
        the rounding of the network's dtype explains: 1e-3 and 1e-4 in float32, 1e-6 and 1e-7 in float64.

    Returns
    -------
    GradientReport

    Notes
    -----
    Source: Karpathy, CS231n course notes (2016), "Gradient checks"; the rules that it gives by hand are applied here.
    """
    if not observation.is_network(net):
        came = f"{checks.shown(net)}; for a function call fastnn.numerical_gradient"
        raise TypeError(f"net: expected a fastnn.Network, got {came}")
    h = arrays.real("h", h, above=0.0)
    defaults = TOLERANCES[net.dtype.name]
    rtol = defaults[0] if rtol is None else arrays.real("rtol", rtol, minimum=0.0)
    atol = defaults[1] if atol is None else arrays.real("atol", atol, minimum=0.0)
    data = net._prepare(x, t, True)
    given = net._gradient_of(data) if gradient is None else gradient
    if not isinstance(given, Mapping):
        came = f"{checks.shown(given)}; name the arrays"
        raise TypeError(f"gradient: expected a dictionary like net.params, got {came}")
    if set(given) != set(net.params):
        raise ValueError(f"gradient: expected the keys {list(net.params)}, got {list(given)}; pass one array for each")
    perturbation = net._perturbation(data)
    changes, steps = perturbation.changes(METHODS["richardson"].points, h, False)
    best, estimate = quotient("richardson", changes, steps)
    assert estimate is not None
    slopes = changes / steps
    parts = {name: [perturbation.by_name(rows)[name] for rows in (best, estimate, *slopes)] for name in net.params}
    unsure, cancelled = _unresolved(net, data), _cancelled(net, data)
    has_kinks = net._formula.has_kink or net.regularization.l1 > 0.0
    has_kinks |= any(isinstance(layer, PRelu) for layer in net._layers)
    has_kinks |= any(ACTIVATIONS[getattr(layer, "activation", "identity")].has_kink for layer in net._layers)
    tensors, errors = {}, {}
    for name, (numerical, noise, *sides) in parts.items():
        analytic = arrays.floats(f"gradient[{name!r}]", given[name], numerical.shape, dtype="float64", rounding=True)
        unknown = 4 * noise + unsure * float(np.abs(numerical).max()) + cancelled[name]
        judged = _judge(name, analytic, numerical, noise, unknown, np.stack(sides), (rtol, atol), has_kinks)
        tensors[name], errors[name] = judged
    return GradientReport(tensors, errors, h)


def _unresolved(net: Any, data: tuple[Array, Array, Array]) -> float:
    """The relative rounding of the loss's gradient by the outputs, in the network's dtype.

    Where the network is sure of every sample that gradient is itself a rounding, and so is all that follows.
    """
    outputs = net.predict(data[0]).astype(np.float64)
    targets, scale = data[2].astype(np.float64), 1.0
    if data[1].size:
        targets = np.zeros_like(outputs)
        targets[np.arange(len(outputs)), data[1]] = 1.0
    if net.loss_name == "softmax_cross_entropy":
        outputs = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        outputs /= outputs.sum(axis=1, keepdims=True)
    else:
        scale = float(np.abs(outputs).max())
    largest = float(np.abs(outputs - targets).max())
    return 8 * float(np.finfo(net.dtype).eps) * scale / max(largest, 1e-300)


def _cancelled(net: Any, data: tuple[Array, Array, Array]) -> dict[str, Array]:
    """The rounding of the sum over the samples: 8 eps times the mean magnitude of their own gradients.

    At a minimum they cancel, and of the analytic gradient nothing else is left.
    """
    chosen = np.linspace(0, len(data[0]) - 1, min(len(data[0]), MOST_SAMPLES)).astype(np.intp)
    magnitudes = {name: np.zeros(array.shape) for name, array in net.params.items()}
    for n in chosen:
        one = tuple(part[n : n + 1] if len(part) else part for part in data)
        for name, array in net._gradient_of((one[0], one[1], one[2])).items():
            magnitudes[name] += np.abs(array)
    factor = 8 * float(np.finfo(net.dtype).eps) / len(chosen)
    return {name: factor * magnitude for name, magnitude in magnitudes.items()}


def _judge(
    name: str,
    analytic: Array,
    numerical: Array,
    noise: Array,
    unknown: Array,
    sides: Array,
    tolerances: tuple[float, float],
    has_kinks: bool,
) -> tuple[TensorReport, Array]:
    """One tensor's report and relative errors.

    noise: of the quotients; unknown: below which an error says nothing; sides: one-sided slopes over h, -h, h/2, -h/2,
    h/4, -h/4; has_kinks: whether the network can have any.
    """
    rtol, atol = tolerances
    magnitude = np.maximum(np.abs(analytic), np.abs(numerical))
    floor = atol * float(np.abs(numerical).max()) + 1e-300
    allowed = rtol * magnitude + floor
    # A smooth loss's slopes to both sides differ by h times its curvature: half as much at half the step. What then
    # remains beyond that is a kink's, unless it shrinks by 8 as the next term of a smooth loss does. (at h, h/2, h/4)
    jumps = np.abs(sides[0::2] - sides[1::2])
    first, second = np.abs(2 * jumps[1] - jumps[0]), np.abs(2 * jumps[2] - jumps[1])
    is_smooth = np.abs(8 * second - first) <= SMOOTH * first
    kink = (np.maximum(first, second) > KINK * allowed) & ~is_smooth & has_kinks
    # Between the points, and at the kink itself, to which both sides are continued in a straight line.
    bounds = np.concatenate([sides, 2 * sides[2:] - sides[:-2]])
    lowest, highest = bounds.min(axis=0), bounds.max(axis=0)
    error = np.abs(analytic - numerical)
    outside = np.maximum(np.maximum(lowest - analytic, analytic - highest), 0.0)
    error = np.where(kink, np.minimum(error, outside), error)
    bad = ~(error <= allowed)  # NaN is
    doubtful = bad & (error <= unknown)
    verdict = AGREE if not bad.any() else CANNOT_TELL if (doubtful | ~bad).all() else DIFFER
    relative = error / np.maximum(magnitude, floor)
    excess = np.where(np.isnan(error), np.inf, error / allowed)
    worst = np.unravel_index(int(excess.argmax()), excess.shape)
    found = tuple(
        Kink(tuple(map(int, index)), float(sides[5][tuple(index)]), float(sides[4][tuple(index)]))
        for index in np.argwhere(kink)
    )
    smooth = noise[~kink]
    return (
        TensorReport(
            name,
            verdict,
            analytic.size,
            float(relative.max()),
            float(np.median(relative)),
            tuple(map(int, worst)),
            float(analytic[worst]),
            float(numerical[worst]),
            float(smooth.max()) if smooth.size else 0.0,
            found,
        ),
        relative,
    )
