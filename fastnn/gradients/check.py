"""check_gradients: the analytic gradient against difference quotients, tensor by tensor, with a verdict.

There are two kinds of evidence for each entry, each with a noise below which it says nothing:

- Quotients of the loss. Six points, h, h/2 and h/4 to both sides, give a Richardson extrapolation and an estimate of
its error, to which the rounding of the differences is added. Where the loss has a kink between the points, such as
where a ReLU switches, the six one-sided slopes differ and do not settle as the step shrinks. Then the quotients say
nothing.
- Quotients of each operation, multiplied by the chain rule (chained_gradient.py). They reach through any depth and past
  kinks. They are believed only if they agree with the quotients of the loss in most entries where both say something.

An entry differs if evidence contradicts it and none confirms it; it agrees if evidence with little noise confirms it;
otherwise nobody can tell. The rounding of the gradient itself is part of the noise.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from fastnn.engine import observation
from fastnn.engine.perturbation import METHODS, quotient
from fastnn.gate import arrays, checks
from fastnn.gate.arrays import Array
from fastnn.gate.slips import answers_slips
from fastnn.gradients.chained_gradient import chained_gradient, smallest
from fastnn.system import html

AGREE, DIFFER, CANNOT_TELL = "agree", "differ", "cannot tell"
TOLERANCES = {"float32": 1e-3, "float64": 1e-6}  # how far an entry may be off, beyond the measured noise
SMOOTH = 0.05  # without a kink, half the step divides a difference by 8, to this tolerance
LEAST = 2.0**24  # times the dtype's smallest number: below it, underflow decides
LARGEST = 2.0**-4  # times the dtype's largest number: above it, overflow decides
QUOTIENT_ROUNDING = 8.0  # the extrapolation's factor for the rounding of a difference over h


@dataclass(frozen=True)
class Kink:
    """An entry whose perturbation crosses a kink of the loss: its index and the slopes to both sides, over h / 4."""

    index: tuple[int, ...]
    slope_below: float
    slope_above: float


@dataclass(frozen=True)
class TensorReport:
    """The result for one parameter array.

    Attributes
    ----------
    name : str
    verdict : str
        "agree", "differ", or "cannot tell": no entry contradicts the evidence, but some have none.
    entries, unknown : int
        The number of entries, and how many of them have too little evidence.
    largest_error, median_error : float
        Relative errors: |analytic - numerical| / the larger of both, but at least a tenth of rtol times the tensor's
        largest.
    worst : tuple of int
        Index of the entry that differs by most, relative to the allowed difference; else of the least certain one.
    analytic, numerical : float
        Both values there; `numerical` is the quotient of the loss where it says something, else the chained one.
    estimated_error : float
        The largest noise of the evidence, the rounding of the gradient included.
    kinks : tuple of Kink
        The entries whose quotients of the loss were ignored.
    """

    name: str
    verdict: str
    entries: int
    unknown: int
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
        The relative errors of all entries.
    h : float

    Examples
    --------
    >>> net = fastnn.Network([fastnn.Affine(4, 2)], rng=0, dtype="float64")
    >>> report = fastnn.check_gradients(net, np.eye(4), np.array([0, 1, 1, 0]))
    >>> report.verdict, list(report.tensors)
    ('agree', ['W1', 'b1'])
    >>> bool(report.errors["W1"].max() < 1e-6)
    True
    """

    def __init__(self, tensors: dict[str, TensorReport], errors: dict[str, Array], h: float) -> None:
        self.tensors, self.errors, self.h = tensors, errors, h

    @property
    def verdict(self) -> str:
        """The verdict of all tensors: "differ" if one does, else "cannot tell" if one says so, else "agree"."""
        verdicts = {tensor.verdict for tensor in self.tensors.values()}
        return next((verdict for verdict in (DIFFER, CANNOT_TELL) if verdict in verdicts), AGREE)

    @property
    def passed(self) -> bool:
        """Whether all tensors agree, also bool(report). "Cannot tell" has not passed: nothing was shown."""
        return self.verdict == AGREE

    def __bool__(self) -> bool:
        return self.passed

    def to_dict(self) -> dict[str, Any]:
        """The report in numbers, strings, lists and dicts that JSON takes.

        Examples
        --------
        >>> import json
        >>> net = fastnn.Network([fastnn.Affine(4, 2)], rng=0, dtype="float64")
        >>> report = fastnn.check_gradients(net, np.eye(4), np.array([0, 1, 1, 0]))
        >>> json.loads(json.dumps(report.to_dict()))["verdict"]
        'agree'
        """
        tensors = {}
        for name, tensor in self.tensors.items():
            kinks = [{**asdict(kink), "index": list(kink.index)} for kink in tensor.kinks]
            tensors[name] = {**asdict(tensor), "worst": list(tensor.worst), "kinks": kinks}
        return {"verdict": self.verdict, "h": self.h, "tensors": tensors}

    def assert_agree(self) -> None:
        """Raise an AssertionError with the table unless all tensors agree.

        Examples
        --------
        >>> net = fastnn.Network([fastnn.Affine(4, 2)], rng=0, dtype="float64")
        >>> fastnn.check_gradients(net, np.eye(4), np.array([0, 1, 1, 0])).assert_agree()  # in a test of yours
        """
        if not self.passed:
            raise AssertionError(f"gradients: expected the analytic and numerical ones to agree\n{self}")

    def plot(self, path: Any = None) -> Any:
        """Draw the relative errors of all entries as heat maps, see `fastnn.plots.gradient_check`; needs matplotlib.

        Parameters
        ----------
        path : str or path, optional
            Where to save the picture.

        Returns
        -------
        matplotlib.figure.Figure
            A figure outside pyplot: nothing is shown, and nothing has to be closed.

        Examples
        --------
        >>> net = fastnn.Network([fastnn.Affine(4, 2)], rng=0, dtype="float64")
        >>> figure = fastnn.check_gradients(net, np.eye(4), np.array([0, 1, 1, 0])).plot("errors.png")
        """
        from fastnn.plots import networks, panels

        axes = panels.new(len(self.errors), 1, networks.TENSOR_SIZE, managed=False)
        figure = networks.gradient_check(self, axes=axes)[0].figure
        if path is not None:
            figure.savefig(path)
        return figure

    def _rows(self) -> list[tuple[str, ...]]:
        """A heading, and a row for each tensor."""
        head: tuple[str, ...] = ("tensor", "entries", "largest error", "median", "analytic", "numerical", "at")
        rows = [(*head, "noise", "kinks", "unknown", "verdict")]
        for t in self.tensors.values():
            numbers = (f"{t.largest_error:.1e}", f"{t.median_error:.1e}", f"{t.analytic:.6g}", f"{t.numerical:.6g}")
            at = ", ".join(map(str, t.worst))
            counts = f"{t.estimated_error:.0e}", str(len(t.kinks)), str(t.unknown), t.verdict
            rows.append((t.name, f"{t.entries:,}", *numbers, at, *counts))
        return rows

    def _result(self) -> str:
        return f"{self.verdict} (h = {self.h:g}; errors are relative, values those of the worst entry)"

    def __str__(self) -> str:
        rows, lines = self._rows(), []
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = [
                f"{cell:<{w}}" if i in (0, len(row) - 1) else f"{cell:>{w}}"
                for i, (cell, w) in enumerate(zip(row, widths, strict=True))
            ]
            lines.append("  ".join(cells).rstrip())
        return "\n".join([*lines, self._result()])

    def _repr_html_(self) -> str:
        """A table for notebooks."""
        return html.table(self._rows()[0], self._rows()[1:], self._result())

    def __repr__(self) -> str:
        return f"<GradientReport: {self.verdict}, {len(self.tensors)} tensors>"


@answers_slips
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
        The gradient to check, keyed like `net.params`; `net.gradient(x, t)` if not given.
    h : float
        The largest of the three steps.
    rtol, atol : float, optional
        How far an entry may be off beyond the measured rounding: rtol times the entry plus (atol + the dtype's eps)
        times the largest of its tensor. By default rtol is 1e-3 in float32 and 1e-6 in float64, and atol is 0.

    Returns
    -------
    GradientReport
        Its verdict is "agree", "differ", or "cannot tell" where the noise of all quotients, or of the gradient itself
        in the network's dtype, is more than rtol times the largest entry of a tensor, or h is lost in rounding.

    Notes
    -----
    Where the network stands on a kink, such as a ReLU at exactly 0, the slope below, the slope above or the mean of
    both is right, the same for all elements. The check takes about twice the memory of `Network.numerical_gradient`.

    Source: Karpathy, CS231n course notes (2016), "Gradient checks"; the rules that it gives by hand are applied here.

    Examples
    --------
    >>> net = fastnn.Network([fastnn.Affine(4, 3), fastnn.Tanh(), fastnn.Affine(3, 2)], rng=0)
    >>> x, t = np.random.default_rng(0).normal(size=(5, 4)), np.array([0, 1, 1, 0, 1])
    >>> fastnn.check_gradients(net, x, t).verdict
    'agree'
    >>> wrong = net.gradient(x, t)
    >>> wrong["b2"] *= 5  # as if it were a sum instead of a mean
    >>> fastnn.check_gradients(net, x, t, gradient=wrong).verdict
    'differ'
    """
    if not observation.is_network(net):
        came = f"{checks.shown(net)}; for a function call fastnn.numerical_gradient"
        raise TypeError(f"net: expected a fastnn.Network, got {came}")
    h = arrays.real("h", h, above=0.0)
    rtol = TOLERANCES[net.dtype.name] if rtol is None else arrays.real("rtol", rtol, minimum=0.0)
    atol = 0.0 if atol is None else arrays.real("atol", atol, minimum=0.0)
    data = net.engine.prepare(x, t, True)
    given = net.engine.gradient_of(data) if gradient is None else gradient
    if not isinstance(given, Mapping):
        came = f"{checks.shown(given)}; name the arrays"
        raise TypeError(f"gradient: expected a dictionary like net.params, got {came}")
    if set(given) != set(net.params):
        raise ValueError(f"gradient: expected the keys {list(net.params)}, got {list(given)}; pass one array for each")
    analytic = {
        name: arrays.floats(f"gradient[{name!r}]", given[name], array.shape, dtype="float64", rounding=True)
        for name, array in net.params.items()
    }
    tensors, errors = {}, {}
    with np.errstate(all="ignore"):  # overflow leads to "cannot tell"
        evidence = _evidence(net, data, h, (rtol, atol))
        believed = _is_believed(evidence)
        for name, found in evidence.items():
            tensors[name], errors[name] = _judge(name, analytic[name], found, believed)
    return GradientReport(tensors, errors, h)


class _Evidence(NamedTuple):
    """Both kinds of evidence on one tensor; arrays like it.

    quotients, noise: of the loss; chained, own: by the chain rule, including the noise of the gradient to check;
    choices (4, ...): all right values of chained; sides: one-sided slopes over h, -h, h/2, -h/2, h/4, -h/4; has_kink:
    where they show one; enough: the noise above which evidence says nothing; rtol, least: the tolerance.
    """

    quotients: Array
    noise: Array
    chained: Array
    own: Array
    choices: Array
    sides: Array
    has_kink: Array
    enough: Array
    rtol: float
    least: float

    def allowed(self, analytic: Array, expected: Array) -> Array:
        """How far the two may be apart, beyond the noise."""
        allowed: Array = self.rtol * np.maximum(np.abs(analytic), np.abs(expected)) + self.least
        return allowed


def _evidence(
    net: Any, data: tuple[Array, Array, Array], h: float, tolerances: tuple[float, float]
) -> dict[str, _Evidence]:
    """All evidence, keyed by the parameters' names."""
    perturbation, limits = net.engine.perturbation(data), np.finfo(net.dtype)
    changes, steps = perturbation.changes(METHODS["richardson"].points, h, False)
    values, estimate = quotient("richardson", changes, steps)
    assert estimate is not None
    chained = chained_gradient(perturbation, net.dtype)
    noise = 4 * estimate + QUOTIENT_ROUNDING * chained.rounding / h
    fits = chained.peak < LARGEST * float(limits.max)
    lost = (perturbation.values + steps == perturbation.values).any(axis=0)  # no step, no evidence
    own = np.where(lost, np.inf, chained.noise) if fits else np.full_like(noise, np.inf)
    rows = [values, noise, chained.values, own, chained.values, *chained.choices, chained.terms, *(changes / steps)]
    parts = [perturbation.by_name(row) for row in rows]
    rtol, atol = tolerances
    evidence = {}
    for name in net.params:
        array = np.stack([part[name] for part in parts])
        largest = float(np.abs(array[2]).max())
        least = (atol + float(limits.eps)) * largest  # smaller entries are nothing but rounding
        enough = rtol * (np.abs(array[2]) + float(array[8].max())) + least + LEAST * smallest(net.dtype)
        kinks = _find_kinks(array[9:], 0.1 * enough) & _has_kinks(net)
        four = array[0], array[1], array[2], array[3]
        evidence[name] = _Evidence(*four, array[4:8], array[9:], kinks, enough, rtol, least)
    return evidence


def _has_kinks(net: Any) -> bool:
    """Whether the loss can have kinks."""
    if net.engine.formula.has_kink or any(l1 > 0.0 for _, l1, _ in net.engine.plan.penalties):
        return True
    return any(layer.kinks or layer.has_ties for layer in net.engine.layers)


def _find_kinks(sides: Array, allowed: Array) -> Array:
    """Where one-sided slopes show a kink that moves the quotient by more than is allowed.

    A smooth loss's slopes to both sides differ by h times its curvature, half as much at half the step. Any further
    difference shows a kink, unless it shrinks by 8 as the next term of a smooth loss does.
    """
    jumps = np.abs(sides[0::2] - sides[1::2])  # at h, h/2, h/4
    first, second = np.abs(2 * jumps[1] - jumps[0]), np.abs(2 * jumps[2] - jumps[1])
    is_smooth = np.abs(8 * second - first) <= SMOOTH * first
    found: Array = (np.maximum(first, second) > allowed) & ~is_smooth
    return found


def _is_believed(evidence: dict[str, _Evidence]) -> bool:
    """Whether the chained quotients agree with those of the loss in most entries where both say something."""
    both = wrong = 0
    for found in evidence.values():
        noise = found.noise + found.own
        speak = (noise <= found.enough) & ~found.has_kink
        apart = np.abs(found.quotients - found.chained) - found.allowed(found.quotients, found.chained)
        both, wrong = both + int(speak.sum()), wrong + int((speak & ~(apart <= noise)).sum())
    return 2 * wrong <= both


def _judge(name: str, analytic: Array, found: _Evidence, believed: bool) -> tuple[TensorReport, Array]:
    """One tensor's report and relative errors; believed: whether the chained quotients count."""
    offs = np.abs(analytic - found.choices)
    best = np.argmin(np.where(np.isnan(offs), np.inf, offs), axis=0)[None]
    chained = np.take_along_axis(found.choices, best, 0)[0]
    of_both, usual = found.noise + found.own, ~found.has_kink & np.isfinite(found.quotients)
    limits = [found.allowed(analytic, chained) + found.own, found.allowed(analytic, found.quotients) + of_both]
    excess = [np.abs(analytic - chained) / limits[0], np.abs(analytic - found.quotients) / limits[1]]
    says = [np.isfinite(found.chained) & np.isfinite(found.own) & believed, usual & np.isfinite(of_both)]
    denies = [one & ~(off <= 1.0) for one, off in zip(says, excess, strict=True)]
    sure = [found.own <= found.enough, of_both <= found.enough]
    off_chain, off_loss = np.abs(analytic - chained), np.abs(analytic - found.quotients)
    same = off_chain <= found.allowed(analytic, chained)  # whatever the noise
    same_loss = (off_loss <= found.allowed(analytic, found.quotients)) & (found.noise <= found.enough)
    confirms = [says[0] & (same | (~denies[0] & sure[0])), says[1] & (same_loss | (~denies[1] & sure[1]))]
    overruled = confirms[1] & (found.noise + off_loss <= 0.5 * off_chain)  # by the loss's quotients, which are nearer
    differs = (denies[0] & ~overruled) | (denies[1] & ~confirms[0] & ~denies[0])
    unknown = ~differs & ~(confirms[0] | (confirms[1] & (~denies[0] | overruled)))
    verdict = DIFFER if differs.any() else CANNOT_TELL if unknown.any() else AGREE
    by_loss = says[1] & sure[1]  # else by the chain, or by the only evidence
    numerical = np.where(by_loss | ~says[0], found.quotients, chained)
    noise = np.where(by_loss | ~says[0], of_both, found.own)
    error = np.abs(analytic - numerical)
    largest = np.maximum(np.abs(analytic), np.abs(numerical))
    floor = 0.1 * found.rtol * float(np.abs(numerical).max()) + found.least + 1e-300
    relative = error / np.maximum(largest, floor)
    doubt = np.where(by_loss, excess[1], excess[0])
    doubt = np.where(np.isnan(doubt), np.inf, doubt) + np.where(differs, 1e9, np.where(unknown, 1e6, 0.0))
    worst = np.unravel_index(int(doubt.argmax()), doubt.shape)
    kinks = tuple(
        Kink(tuple(map(int, index)), float(found.sides[5][tuple(index)]), float(found.sides[4][tuple(index)]))
        for index in np.argwhere(found.has_kink)
    )
    numbers = float(relative.max()), float(np.median(relative)), tuple(map(int, worst))
    values = float(analytic[worst]), float(numerical[worst]), float(noise.max())
    return TensorReport(name, verdict, analytic.size, int(unknown.sum()), *numbers, *values, kinks), relative
