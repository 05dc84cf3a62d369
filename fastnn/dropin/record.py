"""A record of the drop-in's work, for its report."""

from dataclasses import dataclass


@dataclass
class Entry:
    """Numerical gradients of one kind: by arrays of one shape, evaluated in one way."""

    shape: tuple[int, ...]
    way: str
    reason: str
    first: float  # seconds of the first one, which may have compiled kernels
    count: int = 0
    seconds: float = 0.0  # of all the others


_entries: dict[tuple[object, ...], Entry] = {}


def note(shape: tuple[int, ...], way: str, reason: str, seconds: float) -> None:
    """Record a numerical gradient: its array's shape, how it was evaluated and why, and how long it took."""
    entry = _entries.setdefault((shape, way, reason), Entry(shape, way, reason, seconds))
    entry.count += 1
    entry.seconds += seconds if entry.count > 1 else 0.0


def entries() -> list[Entry]:
    """All entries, in the order of their first appearance."""
    return list(_entries.values())


def reset() -> None:
    """Forget everything."""
    _entries.clear()


def table() -> str:
    """The report: one line for each kind of numerical gradient.

    Examples
    --------
    >>> print(fastnn.dropin.report())  # after a script has run
    fastnn: ...
    """
    if not _entries:
        return "fastnn: no numerical gradient was asked for"
    rows = [("array", "times", "first", "others, each", "evaluated by", "as, or because")]
    for entry in _entries.values():
        shape = " x ".join(map(str, entry.shape)) or "a number"
        others = f"{1e3 * entry.seconds / (entry.count - 1):,.3f} ms" if entry.count > 1 else "-"
        rows.append((shape, f"{entry.count:,}", f"{1e3 * entry.first:,.3f} ms", others, entry.way, entry.reason))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    aligned = ("<", ">", ">", ">", "<", "<")
    lines = [
        "  ".join(f"{text:{side}{width}}" for text, side, width in zip(row, aligned, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join(["fastnn: numerical gradients", lines[0], "-" * max(map(len, lines)), *lines[1:]])
