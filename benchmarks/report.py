"""Markdown from the figures: a whole report, and the README's table.

`python -m benchmarks.report README [FILE]` writes the README's table and the reports in docs/benchmarks.md from the
published runs, benchmarks/results/published-*.json, one for each kind of processor. The result file FILE, if given,
first becomes the one of its kind; it must be a full run of the code that is here, on an idle machine.
"""

import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks import peers, reasons
from benchmarks.cases import BY_NAME, CASES, GROUPS, Case

RESULTS = peers.ROOT / "benchmarks" / "results"
SECTION = "benchmarks"
FORMAT = 1
STATUSES = ("timed", "differs", "failed", "left out", "absent")
BUSY = 0.3  # with a load average above this for each processor the figures are not reliable
OWN = ("fastnn", "fastnn_run")

Row = dict[str, Any]
Rows = dict[tuple[str, str, int], Row]

HOW = """Each library runs in a process of its own, with the threads that the table says, without OPENBLAS_CORETYPE and
OPENBLAS_L2_SIZE. All start from the same float32 data and parameters, and what they compute is compared with NumPy in
float64 before anything is timed. The first calls, which compile, are not part of the times. A time is the 10th
percentile of the samples; the JSON file has medians and quartiles. Outputs go into arrays that exist where the library
offers that (NumPy, PyTorch's products and activations, ONNX Runtime, OpenVINO, fastnn). "In a run" is a step as part
of many that one call makes. A ratio is the time of the fastest other library, divided by that of fastnn; runs count
only against runs. The plain loop of a numerical gradient is timed on 20 entries, from which its time for all is
calculated. A first step on a fresh machine is one from an installed wheel with an empty cache of kernels; libraries
that keep nothing from one process to the next take what they always take. MKL, and so PyTorch, keeps to AVX2 on AMD
processors. ONNX Runtime and OpenVINO have a model made for each batch size, in float32."""


# --- reading -------------------------------------------------------------------------------------------


def rows_of(result: dict[str, Any]) -> Rows:
    """The rows by case, implementation and threads.

    Raises
    ------
    ValueError
        If the table does not know a row, or a row occurs twice.
    """
    if result.get("format") != FORMAT:
        raise ValueError(f"format: expected {FORMAT}, got {result.get('format')!r}; run the benchmarks again")
    found: Rows = {}
    for row in result["rows"]:
        case, name, key = row["case"], row["implementation"], (row["case"], row["implementation"], row["threads"])
        if case not in BY_NAME or name not in BY_NAME[case].implementations:
            raise ValueError(f"rows: expected rows of the table, got {name!r} for {case!r}; run the benchmarks again")
        if row["status"] not in STATUSES:
            raise ValueError(f"rows: expected a status out of {', '.join(STATUSES)}, got {row['status']!r} for {key}")
        if key in found:
            raise ValueError(f"rows: expected one row for {key}, got two; run the benchmarks again")
        found[key] = row
    return found


def seconds(rows: Rows, case: str, name: str, threads: int) -> float | None:
    """The time of a row; None where there is none."""
    row = rows.get((case, name, threads), {})
    return float(row["seconds"]) if row.get("status") == "timed" else None


def limits(result: dict[str, Any], threads: int) -> tuple[float, float]:
    """The machine's FLOP and bytes a second; 0 where they were not measured."""
    found = [limit for limit in result["limits"] if limit["threads"] == threads]
    peak = max((limit["fma_flop_per_second"]["float32"] for limit in found), default=0.0)
    return peak, max((max(limit["bytes_per_second"].values()) for limit in found), default=0.0)


def fastest(rows: Rows, case: str, own: str, threads: int) -> tuple[float, str] | None:
    """The time of the fastest peer, and its name; runs of many steps in one call only against each other."""
    names = [name for name in peers.IMPLEMENTATIONS if name not in (*OWN, "both")]
    rivals = [name for name in names if own == "fastnn_run" or not name.endswith("_run")]
    times = [(time, name) for name in rivals if (time := seconds(rows, case, name, threads)) is not None]
    return min(times, default=None)


def ratio(rows: Rows, case: str, own: str, threads: int) -> float | None:
    """The time of the fastest peer divided by fastnn's."""
    mine, best = seconds(rows, case, own, threads), fastest(rows, case, own, threads)
    return best[0] / mine if best and mine else None


# --- words ---------------------------------------------------------------------------------------------


def duration(value: float) -> str:
    """Seconds with three digits: 1.23 us, 45.6 ms, 1.50 s."""
    factor, unit = next(((f, u) for f, u in ((1e6, "us"), (1e3, "ms")) if value * f < 999.5), (1.0, "s"))
    number = value * factor
    return f"{number:.{2 if number < 9.995 else 1 if number < 99.95 else 0}f} {unit}"


def outcome(row: Row) -> str:
    """The text for a row: a time, or why there is none."""
    return duration(row["seconds"]) if row["status"] == "timed" else f"{row['status']} ({row['reason']})"


def _cell(rows: Rows, case: Case, name: str, threads: int) -> str:
    if name not in case.implementations:
        return "-"
    row = rows.get((case.name, name, threads))
    if row is None:
        return ""
    return duration(row["seconds"]) if row["status"] == "timed" else str(row["status"])


def threads_text(count: int) -> str:
    return f"{count} thread{'s' * (count != 1)}"


def ratio_text(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}" if value < 100 else f"{value:.0f}"


def _rate(result: dict[str, Any], rows: Rows, case: Case, threads: int) -> str:
    """fastnn's rate, and its fraction of the processor's peak."""
    time = seconds(rows, case.name, "fastnn", threads)
    if time is None:
        return ""
    if not case.flop:
        return f"{case.bytes / time * 1e-9:.3g} GB/s" if case.bytes else ""
    peak, _ = limits(result, threads)
    return f"{case.flop / time * 1e-9:.3g} GFLOP/s" + (f", {case.flop / time / peak:.0%} of peak" if peak else "")


def table(header: Sequence[str], lines: Iterable[Sequence[str]], words: int = 0) -> str:
    """A table whose first column and last `words` columns are text, and the others numbers."""
    rule = ["---", *["---:"] * (len(header) - 1 - words), *["---"] * words]
    return "\n".join("| " + " | ".join(line) + " |" for line in (header, rule, *lines))


# --- tables --------------------------------------------------------------------------------------------


def _group_table(result: dict[str, Any], rows: Rows, group: str, threads: int, with_rate: bool = True) -> str:
    cases = [case for case in CASES if case.group == group and any(key[0] == case.name for key in rows)]
    names = [name for name in peers.IMPLEMENTATIONS if any((case.name, name, threads) in rows for case in cases)]
    names.sort(key=lambda name: name in OWN)  # fastnn last, beside its ratios
    header = [group, *(peers.IMPLEMENTATIONS[name].label for name in names)]
    has_runs = "fastnn_run" in names
    header += ["best other / fastnn", *(["in a run"] if has_runs else []), *(["fastnn's rate"] if with_rate else [])]
    lines = []
    for case in cases:
        line = [case.name, *(_cell(rows, case, name, threads) for name in names)]
        line += [ratio_text(ratio(rows, case.name, own, threads)) for own in OWN[: 1 + has_runs]]
        lines.append([*line, *([_rate(result, rows, case, threads)] if with_rate else [])])
    return table(header, lines)


def _contention_table(rows: Rows) -> str:
    """The time that two libraries in turn take beyond the two alone."""
    lines = []
    for case in (case for case in CASES if case.group == "contention"):
        for threads in sorted({key[2] for key in rows if key[0] == case.name}, reverse=True):
            cells = [_cell(rows, case, name, threads) for name in ("numpy", "fastnn", "both")]
            times = [seconds(rows, case.name, name, threads) for name in ("numpy", "fastnn", "both")]
            known = [time for time in times if time is not None]
            factor = known[2] / (known[0] + known[1]) if len(known) == 3 else None
            lines.append([case.name, str(threads), *cells, ratio_text(factor)])
    header = ["contention", "threads", "NumPy alone", "fastnn alone", "in turn", "in turn / sum of both"]
    return table(header, lines)


def _first_calls(rows: Rows) -> str:
    """The time of the first call of a case, which compiles or reads compiled code."""
    lines = []
    for name, implementation in peers.IMPLEMENTATIONS.items():
        found = [row for key, row in rows.items() if key[1] == name and "first_call_seconds" in row]
        if found:
            slowest = max(found, key=lambda row: (row["first_call_seconds"], row["case"]))
            total = math.fsum(row["first_call_seconds"] for row in found)
            cells = [duration(total), duration(slowest["first_call_seconds"]), slowest["case"]]
            lines.append([implementation.label, str(len(found)), *cells])
    return table(["first calls", "rows", "all together", "the longest", "of the case"], lines)


def _startup_table(result: dict[str, Any]) -> str:
    whats = list(dict.fromkeys(row["what"] for row in result["startup"]))
    names = list(dict.fromkeys(row["library"] for row in result["startup"]))
    found = {(row["what"], row["library"]): row["seconds"] for row in result["startup"]}
    lines = [[name, *(_seconds_or_blank(found.get((what, name))) for what in whats)] for name in names]
    return table(["from the start of Python", *whats], lines)


def _seconds_or_blank(value: float | None) -> str:
    return "" if value is None else f"{value:.2f} s"


def _memory_table(result: dict[str, Any]) -> str:
    lines = []
    for row in result["memory"]:
        label, case = peers.IMPLEMENTATIONS[row["implementation"]].label, row["case"]
        if row["status"] == "timed":
            lines.append([label, *(f"{row[key] / 2**20:,.0f} MiB" for key in ("bytes_before", "bytes")), case])
        else:
            lines.append([label, "", str(row["status"]), case])
    return table(["peak memory", "with the data loaded", "after an epoch", "of the case"], lines)


def _remarks(result: dict[str, Any], rows: Rows) -> list[str]:
    """Absent libraries, failures, and cases where a peer is faster, by name."""
    remarks = [f"Absent: {peers.IMPLEMENTATIONS[name].label}: {why}." for name, why in sorted(result["absent"].items())]
    others = [found.label for name, found in peers.IMPLEMENTATIONS.items() if all(key[1] != name for key in rows)]
    remarks += [f"Not part of this run: {', '.join(others)}."] if others else []
    troubles: dict[tuple[str, int, str], list[str]] = {}
    for case, name, threads in sorted(rows, key=_place):
        row = rows[case, name, threads]
        if row["status"] not in {"timed", "absent"}:
            troubles.setdefault((peers.IMPLEMENTATIONS[name].label, threads, outcome(row)), []).append(case)
    for (label, threads, trouble), found in troubles.items():
        remarks.append(f"{label}, {threads_text(threads)}: {trouble}: {'; '.join(found)}.")
    slower, lost = slower_rows(rows), behind(result, rows)
    count = f"In {len(slower)} of {sum(key[1] == 'fastnn' for key in rows)} rows a peer is faster than fastnn"
    return [*remarks, f"{count}, in {len(lost)} by more than repeated measurements vary." if slower else f"{count}."]


@dataclass(frozen=True)
class Behind:
    """A row in which a peer is ahead by more than both vary: its upper quartile, too, lies below fastnn's lower one."""

    case: str
    threads: int
    peer: str
    ratio: float
    processor: str


def behind(result: dict[str, Any], rows: Rows) -> list[Behind]:
    """The rows in which a peer is ahead by more than both vary, the furthest first."""
    processor = result["machine"]["processor"]["name"]
    found = []
    for case, name, threads in sorted(rows, key=_place):
        best = fastest(rows, case, name, threads) if name == "fastnn" else None
        mine = rows[case, name, threads]
        if best is None or mine["status"] != "timed" or best[0] >= mine["seconds"]:
            continue
        if rows[case, best[1], threads]["third_quartile"] < mine["first_quartile"]:
            found.append(Behind(case, threads, best[1], best[0] / mine["seconds"], processor))
    return sorted(found, key=lambda row: row.ratio)


def why(row: Behind) -> str:
    """The reasons that are known for a row."""
    asked = row.case, row.peer, row.threads, row.processor
    known = [reason.text for reason in reasons.REASONS if reason.explains(*asked)]
    return "; ".join(known) or "not explained"


def _behind_table(lost: Sequence[Behind]) -> str:
    """The rows in which a peer is ahead, and why, as far as it is known."""
    lines = []
    for row in lost:
        who = peers.IMPLEMENTATIONS[row.peer].label
        lines.append([row.case, str(row.threads), ratio_text(row.ratio), who, why(row)])
    return table(["rows in which a peer is ahead", "threads", "ratio", "who", "why"], lines, words=2)


def slower_rows(rows: Rows) -> list[str]:
    """The rows of fastnn's in which a peer is faster at all."""
    return [
        case
        for case, name, threads in rows
        if name == "fastnn" and (value := ratio(rows, case, name, threads)) is not None and value < 1
    ]


def _place(key: tuple[str, str, int]) -> tuple[int, int, int]:
    """The order of the rows: as in the table, then by implementation, then the most threads first."""
    case, name, threads = key
    return list(BY_NAME).index(case), list(peers.IMPLEMENTATIONS).index(name), -threads


# --- pages ---------------------------------------------------------------------------------------------


def _where(result: dict[str, Any]) -> str:
    """The machine in a sentence or two."""
    found = result["machine"]
    caches = ", ".join(f"{name} {size}" for name, size in found["caches"].items())
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    lanes = f"{found['processor']['float32_lanes']} float32 in a vector"
    place = f"{found['cpu']} ({found['processor']['name']}, {lanes}; {caches or 'caches unknown'})"
    return f"{place}; {versions}; commit {found['commit'] or 'unknown'}; {found['date']}."


def _limits_lines(result: dict[str, Any]) -> list[str]:
    lines = []
    for threads in result["threads"]:
        peak, bandwidth = limits(result, threads)
        if peak:
            rates = f"{peak * 1e-9:.0f} GFLOP/s of multiply-adds in registers, {bandwidth * 1e-9:.1f} GB/s of memory"
            lines.append(f"- Limits with {threads_text(threads)}: {rates}.")
    return lines


def _library_lines(result: dict[str, Any]) -> list[str]:
    """Versions, and for libraries that use NumPy's BLAS the kernels that it has chosen."""
    lines: dict[str, str] = {}
    for row in result["libraries"]:
        implementation = peers.IMPLEMENTATIONS[row["implementation"]]
        pools = [pool for pool in row["pools"] or [] if pool["user_api"] == "blas" and implementation.blas]
        blas = "; ".join(sorted(f"{p['internal_api']} {p['version']}, {p['architecture']} kernels" for p in pools))
        # one line for each package, from its first implementation
        lines.setdefault(implementation.package, f"- {implementation.package} {row['version']}{blas and f' ({blas})'}")
    return list(lines.values())


def markdown(result: dict[str, Any]) -> str:
    """The whole report."""
    kind = "quick " if result.get("quick") else ""
    return f"# Results of a {kind}run of fastnn's benchmarks\n\n{body(result)}\n"


def body(result: dict[str, Any]) -> str:
    """The report without its title."""
    rows = rows_of(result)
    parts = [_where(result)]
    data = [f"- Epochs on {result['epoch_data']}."] if result["epoch_data"] else []
    busy = [f"- {busy_sentence(result)}"] if busy_sentence(result) else []
    parts += ["\n".join([*_limits_lines(result), *data, *busy, *_library_lines(result)]), HOW]
    parts.append("\n".join(f"- {remark}" for remark in _remarks(result, rows)))
    lost = behind(result, rows)
    parts += [_behind_table(lost)] if lost else []
    for group in (group for group in GROUPS if any(BY_NAME[key[0]].group == group for key in rows)):
        if group == "contention":
            parts += ["## contention", _contention_table(rows)]
            continue
        for threads in result["threads"]:
            parts += [f"## {group}, {threads_text(threads)}", _group_table(result, rows, group, threads)]
    parts += ["## Beside the times", _first_calls(rows)]
    parts += [_startup_table(result)] if result["startup"] else []
    parts += [_memory_table(result)] if result["memory"] else []
    return "\n\n".join(parts)


def load_limit(result: dict[str, Any]) -> float:
    """The largest load average of an idle machine; files from before the number of processors was kept lack it."""
    processors: int = result["machine"].get("processors") or max(result["threads"])
    return BUSY * processors


def is_busy(result: dict[str, Any]) -> bool:
    """Whether the machine had other work at the start."""
    load = result["machine"]["load_average"]
    return bool(load) and load[0] > load_limit(result)


def busy_sentence(result: dict[str, Any]) -> str:
    """A sentence where the machine had other work; else nothing."""
    load = result["machine"]["load_average"]
    return f"The machine had other work at the start: a load average of {load[0]:.1f}." if is_busy(result) else ""


if __name__ == "__main__":
    from benchmarks import published

    sys.exit(published.main(sys.argv[1:]))
