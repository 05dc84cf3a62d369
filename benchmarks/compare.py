"""`fastnn bench --compare OLD`: which of fastnn's rows are slower or faster than in an earlier run, beyond the noise.

Each of fastnn's rows is timed in two processes by turns; the ratio of the two is the noise of the row (A/A). A control,
NumPy and the libraries of --peers, tells how much slower or faster the machine itself is than it was.
"""

import argparse
import json
import math
import pathlib
import reprlib
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchmarks import driver, machine, peers, report
from benchmarks.cases import BY_NAME, CASES, GROUPS

LEAST = 0.03  # changes below this are never told apart from noise: clocks and the placement of memory vary by as much
PERCENTILE = 90  # of the noise of all rows
AT_A_TIME = 8  # cases that a process times before the other one has its turn

Keys = list[tuple[str, str, int]]  # case, implementation, threads


@dataclass(frozen=True)
class Change:
    """A row in OLD and now. Times are seconds; `control` is the change of NumPy's row of the same case, if any."""

    case: str
    implementation: str
    threads: int
    old: float
    first: float
    second: float
    control: float | None

    @property
    def ratio(self) -> float:
        """The time now, the geometric mean of both processes, divided by the one in OLD."""
        return math.sqrt(self.first * self.second) / self.old

    @property
    def noise(self) -> float:
        """The slower of both processes divided by the faster, less 1."""
        return max(self.first, self.second) / min(self.first, self.second) - 1


@dataclass(frozen=True)
class Comparison:
    """The changes of fastnn's rows, the rows that are no longer timed, and the changes of the controls."""

    changes: list[Change]
    lost: list[str]
    controls: list[float]

    @property
    def machine(self) -> float:
        """By which factor the machine is slower than in OLD; 1 where the controls changed by less than LEAST."""
        middle = float(np.median(self.controls)) if self.controls else 1.0
        return middle if abs(math.log(middle)) > math.log(1 + LEAST) else 1.0

    @property
    def usual_noise(self) -> float:
        """The noise that one row in ten exceeds."""
        return float(np.percentile([change.noise for change in self.changes], PERCENTILE)) if self.changes else 0.0

    def limit(self, change: Change) -> float:
        """By how much a row must change to count as slower or faster."""
        return max(LEAST, change.noise, self.usual_noise)

    def verdict(self, change: Change) -> str:
        """Slower or faster than the machine's own change explains, or neither."""
        relative, limit = change.ratio / self.machine, 1 + self.limit(change)
        return "slower" if relative > limit else "faster" if relative < 1 / limit else ""


def main(options: argparse.Namespace) -> int:
    """Compare by the options of `fastnn bench`; return 1 if a row of fastnn's is slower, or is no longer timed."""
    old, here = read(pathlib.Path(options.compare)), machine.describe()
    refuse_another_machine(old, here)
    groups = driver.names("--groups", options.groups, GROUPS) if options.groups else list(GROUPS)
    controls = driver.names("--peers", options.peers, peers.PEERS) if options.peers else []
    keys = common_rows(old, groups, driver.thread_counts(options.threads), options.quick)
    effort = driver.Effort(0.1, 3, 1, cold=False) if options.quick else driver.Effort(1.0, 10, 1, cold=False)
    folder = pathlib.Path(options.out) if options.out else report.RESULTS
    folder.mkdir(parents=True, exist_ok=True)
    say: Callable[[str], None] = driver.silent if options.json else driver.say_line
    say(f"{len(keys)} rows of fastnn, each in two processes, and a control")
    compared = judged(old, measure(keys, {"numpy", *controls} - {"fastnn"}, effort, say))
    if not compared.changes and not compared.lost:
        raise ValueError(f"--compare: expected times of {len(keys)} rows of fastnn, got none; run it again")
    text, found = markdown(compared, old, here), described(compared, old, here)
    (folder / "compared.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    (folder / "compared.md").write_text(text + "\n", encoding="utf-8")
    say(f"\n{text}\n\nwritten to {folder}: compared.json, compared.md")
    if options.json:
        print(json.dumps(found, indent=1))
    return 1 if compared.lost or any(compared.verdict(change) == "slower" for change in compared.changes) else 0


# --- the earlier run -----------------------------------------------------------------------------------


def read(file: pathlib.Path) -> dict[str, Any]:
    """The earlier run, without rows that the table no longer has."""
    wanted = "--compare: expected a file that `fastnn bench --out FOLDER` has written, such as FOLDER/latest.json"
    try:
        old = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise FileNotFoundError(f"{wanted}, got {file}: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"{wanted}, got {file}, which is not JSON: {error}") from error
    if not isinstance(old, dict) or old.get("format") != report.FORMAT:
        came = old.get("format") if isinstance(old, dict) else type(old).__name__
        raise ValueError(
            f"{wanted}, of format {report.FORMAT}, got {file} of format {came!r}; run the benchmarks again"
        )
    got = f"{wanted}, got {file}, in which"
    try:
        for place, came, is_right, expected in _parts(old):
            if not is_right:
                raise ValueError(
                    f"{got} {place} is {reprlib.repr(came)} instead of {expected}; run the benchmarks again"
                )
        old["rows"] = [row for row in old["rows"] if row["implementation"] in _implementations(row["case"])]
        if doubled := [key for key, count in Counter(map(_key, old["rows"])).items() if count > 1]:
            raise ValueError(f"{got} the row {doubled[0]} occurs twice; run the benchmarks again")
    except KeyError as error:
        raise ValueError(f"{got} parts are missing: {error}; run the benchmarks again") from error
    return old


def _parts(old: dict[str, Any]) -> Iterator[tuple[str, Any, bool, str]]:
    """The parts of a run that are read: where they stand, what came, whether it is right, and what was expected."""
    kinds: dict[type, str] = {str: "a string", list: "a list", dict: "an object"}

    def entry(kind: type, place: str, came: Any) -> tuple[str, Any, bool, str]:
        return place, came, isinstance(came, kind), kinds[kind]

    def number(place: str, came: Any, kind: type | tuple[type, ...], expected: str) -> tuple[str, Any, bool, str]:
        is_number = isinstance(came, kind) and not isinstance(came, bool)
        return place, came, is_number and 0 < came < math.inf, expected

    yield entry(dict, "machine", machine := old["machine"])
    for name in ("cpu", "date"):
        yield entry(str, f"machine.{name}", machine[name])
    yield entry(dict, "machine.versions", machine.get("versions", {}))
    yield entry(dict, "machine.processor", processor := machine["processor"])
    yield entry(str, "machine.processor.name", processor["name"])
    yield number("machine.processor.float32_lanes", processor["float32_lanes"], int, "a number of at least 1")
    yield entry(list, "rows", rows := old["rows"])
    for place, row in ((f"rows[{n}]", row) for n, row in enumerate(rows)):
        yield entry(dict, place, row)
        for name in ("case", "implementation", "status"):
            yield entry(str, f"{place}.{name}", row[name])
        yield number(f"{place}.threads", row["threads"], int, "a number of at least 1")
        if row["status"] == "timed":
            yield number(f"{place}.seconds", row["seconds"], (int, float), "a time above 0")


def _key(row: dict[str, Any]) -> tuple[str, str, int]:
    return row["case"], row["implementation"], row["threads"]


def _implementations(case: str) -> tuple[str, ...]:
    return BY_NAME[case].implementations if case in BY_NAME else ()


def refuse_another_machine(old: dict[str, Any], here: dict[str, Any]) -> None:
    """Times of two kinds of processors, or of two widths of vectors, say nothing about a change of fastnn."""
    there, now = (
        f"{found['cpu']} ({found['processor']['name']}, {found['processor']['float32_lanes']} float32 in a vector)"
        for found in (old["machine"], here)
    )
    if there != now:
        raise ValueError(f"--compare: expected a run on this processor, {now}, got one on {there}; make one here")


def common_rows(old: dict[str, Any], groups: list[str], counts: list[int], quick: bool) -> Keys:
    """The rows of fastnn's that OLD has and this run can time."""
    timed = {key for key, row in report.rows_of(old).items() if row["status"] == "timed" and key[1] in report.OWN}
    cases = [case for case in CASES if case.group in groups and (case.quick or not quick)]
    keys = [(case.name, name, n) for n in counts for case in cases for name in report.OWN]
    found = [key for key in keys if key in timed]
    if not found:
        has = f"{len(timed)} rows with {', '.join(map(str, sorted({key[2] for key in timed}))) or 'no'} threads"
        asked = f"threads {', '.join(map(str, counts))} and groups {', '.join(groups)}"
        raise ValueError(f"--compare: expected rows in common, got {has} there, and here {asked}; see --help")
    return found


# --- measuring -----------------------------------------------------------------------------------------

Times = dict[tuple[str, str, int, str], driver.Row]  # with "first", "second" or "control"


def measure(keys: Keys, controls: set[str], effort: driver.Effort, say: Callable[[str], None]) -> Times:
    """Time each of fastnn's rows twice, by turns, and each row of the controls once."""
    found: Times = {}
    with tempfile.TemporaryDirectory() as folder:
        scratch = pathlib.Path(folder)
        epochs = any(BY_NAME[case].kind == "epoch" for case, _, _ in keys)
        mnist, _ = driver.mnist_file(scratch) if epochs else (None, "")
        turns: Counter[str] = Counter()
        for name, threads, cases in _portions(keys, controls):
            roles = ("first", "second") if name in report.OWN else ("control",)
            turns[name] += 1
            for role in roles if turns[name] % 2 else reversed(roles):
                for row in driver.Worker(name, threads, effort, scratch, mnist).run(cases):
                    found[row["case"], name, threads, role] = row
                    say(f"{peers.IMPLEMENTATIONS[name].label} ({threads}), {row['case']}: {report.outcome(row)}")
    return found


def _portions(keys: Keys, controls: set[str]) -> Iterator[tuple[str, int, list[str]]]:
    """What one process times: an implementation, its threads, and some cases; the controls stand in between."""
    names = [name for name, found in peers.IMPLEMENTATIONS.items() if found.peer in controls]
    names = [name for name in names if peers.why_absent(name) is None and name != "numpy_loop"]
    for threads in dict.fromkeys(key[2] for key in keys):
        cases = list(dict.fromkeys(case for case, _, n in keys if n == threads))
        for start in range(0, len(cases), AT_A_TIME):
            portion = cases[start : start + AT_A_TIME]
            for name in (*report.OWN, *names):
                own = [case for case in portion if (case, name, threads) in keys]
                known = [case for case in portion if name in BY_NAME[case].implementations]
                if chosen := own if name in report.OWN else known:
                    yield name, threads, chosen


def judged(old: dict[str, Any], times: Times) -> Comparison:
    """The changes of all rows that both runs have."""
    before, changes, lost, controls = report.rows_of(old), [], [], {}
    for (case, name, threads, role), row in times.items():
        was = report.seconds(before, case, name, threads)
        if role == "control" and row["status"] == "timed" and was:
            controls[case, name, threads] = row["seconds"] / was
    for (case, name, threads, role), row in times.items():
        was = report.seconds(before, case, name, threads)
        if role == "control" or not was:
            continue
        if row["status"] != "timed":
            lost.append(f"{peers.IMPLEMENTATIONS[name].label} ({threads}), {case}: {report.outcome(row)}")
        elif role == "first" and times[case, name, threads, "second"]["status"] == "timed":
            second = times[case, name, threads, "second"]["seconds"]
            control = controls.get((case, "numpy", threads))
            changes.append(Change(case, name, threads, was, row["seconds"], second, control))
    return Comparison(changes, lost, list(controls.values()))


# --- words ---------------------------------------------------------------------------------------------


def markdown(found: Comparison, old: dict[str, Any], here: dict[str, Any]) -> str:
    """The comparison in words, and a table of the rows that changed."""
    there, versions = old["machine"], ("numba", "numpy")
    lines = [
        f"# {here['commit'] or 'unknown'} of today against {there.get('commit') or 'unknown'} of {there['date']}",
        "",
    ]
    for name in versions:
        then, now = there.get("versions", {}).get(name), here["versions"].get(name)
        lines += [f"- {name} is {now}, in OLD {then}."] if then != now else []
    lines.append(f"- {_machine_sentence(found)}")
    noise = f"the median {np.median([change.noise for change in found.changes]):.1%}, " if found.changes else ""
    lines.append(
        f"- Noise, by which two processes of one row differ now: {noise}{found.usual_noise:.1%} in one of ten."
    )
    changed = [change for change in found.changes if found.verdict(change)]
    counts = [sum(found.verdict(change) == verdict for change in found.changes) for verdict in ("slower", "faster", "")]
    lines.append(f"- {counts[0]} rows are slower, {counts[1]} faster, {counts[2]} the same within the noise.")
    lines += [f"- No longer timed: {row}." for row in found.lost]
    if changed:
        lines += ["", _table(found, changed)]
    return "\n".join(lines)


def _machine_sentence(found: Comparison) -> str:
    if not found.controls:
        return "No control was timed: whether the machine is slower than in OLD is unknown."
    low, middle, high = np.percentile(found.controls, [25, 50, 75])
    of_rows = f"{len(found.controls)} rows of other libraries take {middle:.2f} times as long"
    rows = f"{of_rows} (quartiles {low:.2f}, {high:.2f})"
    if found.machine == 1.0:
        return f"The machine is as fast as in OLD: {rows}."
    word, factor = ("slower", middle) if middle > 1 else ("faster", 1 / middle)
    return f"The machine is {factor:.2f} times {word} than in OLD, and fastnn's rows are judged by that: {rows}."


def _table(found: Comparison, changes: list[Change]) -> str:
    lines = []
    for change in sorted(changes, key=lambda change: -change.ratio):
        label = peers.IMPLEMENTATIONS[change.implementation].label
        times = [report.duration(seconds) for seconds in (change.old, change.first, change.second)]
        control = "" if change.control is None else f"{change.control:.2f}"
        cells = [f"{change.ratio:.3f}", f"{found.limit(change):.1%}", control, found.verdict(change)]
        lines.append([f"{change.case}, {label}", str(change.threads), *times, *cells])
    header = ["row", "threads", "OLD", "now", "again", "now / OLD", "beyond which it counts", "NumPy's now / OLD", ""]
    return report.table(header, lines)


def described(found: Comparison, old: dict[str, Any], here: dict[str, Any]) -> dict[str, Any]:
    """Everything as one JSON object."""
    rows = [
        {**asdict(change), "ratio": change.ratio, "noise": change.noise, "limit": found.limit(change),
         "verdict": found.verdict(change) or "same"}
        for change in found.changes
    ]  # fmt: skip
    return {
        "format": report.FORMAT,
        "machine": here,
        "old_machine": old["machine"],
        "machine_slower_by": found.machine,
        "noise": found.usual_noise,
        "rows": rows,
        "lost": found.lost,
        "time": time.strftime("%Y-%m-%dT%H:%M:%S"),
    }
