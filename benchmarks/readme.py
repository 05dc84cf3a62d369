"""The README's section on speed: rows that show gains and losses, and why other libraries are ahead where they are."""

from typing import Any

from benchmarks import peers, report, startup

# Gains, and losses.
CASES = (
    *("numerical gradient 100, 784-50-10, sigmoid", "affine_forward of 16x16x16", "step 10, 20-16-4"),
    *("step 100, 784-50-10", "step 128, 784-256-10", "step 512, 2048-2048-2048-100"),
    *("epoch 60,000, batch 100, 784-50-10", "predict 1, 784-50-10", "predict 1,000, 784-50-10"),
    "product 1024x1024x1024",
)
NAMED = 4  # rows that stand beside a reason, the furthest behind first; the others are counted


def section(result: dict[str, Any]) -> str:
    """The section's text."""
    rows, threads = report.rows_of(result), max(result["threads"])
    lost, lines = report.behind(result, rows), []
    for name in CASES:
        mine, best = report.seconds(rows, name, "fastnn", threads), report.fastest(rows, name, "fastnn", threads)
        if mine and best:
            other = f"{peers.IMPLEMENTATIONS[best[1]].label} {report.duration(best[0])}"
            lines.append([name, other, report.duration(mine), report.ratio_text(best[0] / mine)])
    lines += _startup_line(result)
    header = [f"work, {report.threads_text(threads)}", "the fastest other", "fastnn", "ratio"]
    found = result["machine"]
    place = f"{found['cpu']} ({found['processor']['name']}), {found['date']}."
    where = " ".join(filter(None, [place, report.busy_sentence(result)]))
    return "\n\n".join(
        [f"Measured by `fastnn bench` on {where}", report.table(header, lines), _count(rows, lost), _reasons(lost)]
    )


def _startup_line(result: dict[str, Any]) -> list[list[str]]:
    """The first step in a new process, beside the fastest other."""
    times = {row["library"]: row["seconds"] for row in result["startup"] if row["what"] == startup.FROM_WHEEL}
    if not {"numpy", "fastnn"} <= set(times):
        return []
    seconds, library = min((seconds, name) for name, seconds in times.items() if name != "fastnn")
    label = peers.IMPLEMENTATIONS[library].label if library in peers.IMPLEMENTATIONS else library
    ratio = report.ratio_text(seconds / times["fastnn"])
    cells = [f"{label} {report.duration(seconds)}", report.duration(times["fastnn"]), ratio]
    return [[f"start of Python and {startup.FROM_WHEEL}", *cells]]


def _count(rows: report.Rows, lost: list[report.Behind]) -> str:
    """In how many rows another library is faster; a list follows."""
    slower = len(report.slower_rows(rows))
    count = f"In {slower} of {sum(key[1] == 'fastnn' for key in rows)} rows another library is faster"
    more = f", in {len(lost)} by more than repeated measurements vary" if slower else ""
    return f"{count}{more} (`docs/benchmarks.md` shows all):"


def _reasons(lost: list[report.Behind]) -> str:
    """The rows in which another library is ahead, by the reason."""
    found: dict[str, list[report.Behind]] = {}
    for row in lost:
        found.setdefault(report.why(row), []).append(row)
    lines = []
    for why, behind in found.items():
        cases = list(dict.fromkeys(row.case for row in behind))
        more = f"; {len(cases) - NAMED} more" if len(cases) > NAMED else ""
        names = list(dict.fromkeys(peers.IMPLEMENTATIONS[row.peer].label for row in behind))
        labels = " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
        span = " to ".join(dict.fromkeys(report.ratio_text(row.ratio) for row in (behind[0], behind[-1])))
        lines.append(f"- {'; '.join(cases[:NAMED])}{more}: {labels} takes {span} of fastnn's time; {why}.")
    return "\n".join(lines) or "- none."
