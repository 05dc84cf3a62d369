"""The published runs, one file for each kind of processor, and the pages that show them.

Called by `python -m benchmarks.report README [FILE]`.
"""

import json
import pathlib
import re
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks import pages, peers, readme, reasons, report

LEVELS = {16: "AVX-512", 8: "AVX2", 4: "vectors of 128 bits"}  # by the float32 in a vector

Result = dict[str, Any]


def level(result: Result) -> str:
    """The width of the processor's vectors in the words of its makers."""
    lanes = int(result["machine"]["processor"]["float32_lanes"])
    return LEVELS.get(lanes, f"vectors of {32 * lanes} bits")


def stem(result: Result) -> str:
    """The name of the file of a kind of processor: published-znver4-avx512."""
    kind = f"{result['machine']['processor']['name']} {level(result)}".lower().replace("avx-512", "avx512")
    return f"published-{re.sub(r'[^a-z0-9]+', '-', kind).strip('-')}"


def runs() -> list[Result]:
    """The published runs, the ones with the widest vectors first, of these the latest first."""
    found = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(report.RESULTS.glob("published-*.json"))]
    found.sort(key=lambda result: str(result["machine"]["date"]), reverse=True)
    return sorted(found, key=lambda result: -int(result["machine"]["processor"]["float32_lanes"]))


def title(result: Result) -> str:
    """The kind of processor: AVX-512: AMD EPYC (znver4)."""
    found = result["machine"]
    return f"{level(result)}: {found['cpu']} ({found['processor']['name']})"


def page(results: Sequence[Result]) -> str:
    """The section of docs/benchmarks.md: each run with its pictures below a heading of its own."""
    parts = []
    for result in results:
        name = stem(result)
        parts += [
            f"## {title(result)}",
            f"The figures behind the pictures and tables are in `benchmarks/results/{name}.json`.",
            f"![Seconds of a training step against its size](pictures/{name}-time.svg)",
            f"![Fraction of the processor's peak against the size of a product](pictures/{name}-peak.svg)",
            re.sub(r"^## ", "### ", report.body(result), flags=re.MULTILINE),
        ]
    return "\n\n".join(parts)


def summary(results: Sequence[Result]) -> str:
    """The README's section, from the first run, and a sentence for each other one."""
    first, *others = results
    said = [f"The same on {title(result)}: `docs/benchmarks.md`." for result in others]
    return "\n\n".join([readme.section(first), *said])


def refusals(result: Result) -> list[str]:
    """Why a run may not be published: of changed files, of another commit, in a hurry, or on a busy machine."""
    found, commit = [], result["machine"].get("commit")
    if result.get("quick"):
        found.append("expected a full run, got a quick one")
    if not commit or commit.endswith("+"):
        found.append(f"expected the files of a commit, got {commit or 'an unknown one'}; commit, then run again")
    elif _has_changed_since(commit):
        found.append(f"expected a run of the code that is here, got one of {commit}; run again")
    if report.is_busy(result):
        load = result["machine"]["load_average"][0]
        most = report.load_limit(result)
        found.append(
            f"expected an idle machine, with a load average of at most {most:.1f} at the start, got {load:.1f}"
        )
    return found


# What only shows results, and may change after a run.
_NAMES = ("compare", "pages", "plots", "published", "readme", "reasons", "report")
_SHOWING = [f":!benchmarks/{name}.py" for name in _NAMES]


def _has_changed_since(commit: str) -> bool:
    """Whether what is measured, or how, differs from that commit; also if git does not know it."""
    command = ["git", "-C", str(peers.ROOT), "diff", "--quiet", commit, "--", "fastnn", "benchmarks/*.py", *_SHOWING]
    return subprocess.run(command, capture_output=True).returncode != 0


def publish(file: pathlib.Path) -> None:
    """Make a result file the published one of its kind of processor.

    Raises
    ------
    ValueError
        If the run may not be published.
    """
    from benchmarks import plots

    result = json.loads(file.read_text(encoding="utf-8"))
    report.body(result)  # refuses what it does not know, before anything is written
    if found := refusals(result):
        raise ValueError(f"{file}: {'; '.join(found)}")
    if not plots.draw(result, pages.PICTURES, stem(result)):
        raise ModuleNotFoundError("matplotlib: expected it for the plots, got none; pip install matplotlib")
    (report.RESULTS / f"{stem(result)}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def without_rows(given: Sequence[reasons.Reason], results: Sequence[dict[str, Any]]) -> list[reasons.Reason]:
    """The reasons for which no row of these runs is behind."""
    behind = [row for result in results for row in report.behind(result, report.rows_of(result))]
    asked = [(row.case, row.peer, row.threads, row.processor) for row in behind]
    return [reason for reason in given if not any(reason.explains(*one) for one in asked)]


def main(arguments: Sequence[str]) -> int:
    """`README [FILE]`: see the top of report.py."""
    if not 1 <= len(arguments) <= 2 or arguments[0] != "README":
        print("usage: python -m benchmarks.report README [FILE]", file=sys.stderr)
        return 2
    if len(arguments) == 2:
        publish(pathlib.Path(arguments[1]))
    results = runs()
    pages.write(pages.PAGE, report.SECTION, page(results))
    pages.write(pages.README, report.SECTION, summary(results))
    warnings = [f"{stem(result)}.json: {refusal}" for result in results for refusal in refusals(result)]
    for reason in without_rows(reasons.REASONS, results):
        warnings.append(f"reasons.py: no row is behind for {reason.cases!r}: {reason.text}")
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return 0
