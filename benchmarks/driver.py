"""`fastnn bench`: run the table in one process for each library and number of threads, and write the results."""

import argparse
import contextlib
import json
import os
import pathlib
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks import machine, peers, plots, report, startup
from benchmarks.cases import BY_NAME, CASES, GROUPS, Case
from fastnn import datasets
from fastnn.datasets.mnist import CHECKSUMS
from fastnn.system import folders
from fastnn.system.progress import Progress

WORKER = [sys.executable, "-m", "benchmarks.worker"]
MEMORY_CASE = "epoch 60,000, batch 100, 784-50-10"
LONGEST_SECONDS = {"torch_compiled": 300.0}  # for one case, others:
USUAL_LONGEST_SECONDS = 120.0
QUICK_SECONDS = 80.0  # --quick then starts nothing new; the files are written in the rest of its 90 s
LATE_SECONDS = 15.0  # with less time left than this, measurements outside the table are left out

NO_TIME = "--quick had no time left"

Row = dict[str, Any]


@dataclass(frozen=True)
class Effort:
    """How long and how often each case is measured."""

    seconds: float  # least time of one case
    samples: int  # fewest samples of one case
    repeats: int  # of a start-up
    cold: bool  # whether kernels are compiled for a start-up
    deadline: float = np.inf  # of time.monotonic()

    @property
    def seconds_left(self) -> float:
        """The time until the deadline."""
        return self.deadline - time.monotonic()


def main(options: argparse.Namespace) -> int:
    """Run the benchmarks by the options of `fastnn bench`; return 1 if a row of fastnn has failed or differs."""
    started = time.monotonic()
    chosen = names("--peers", options.peers, peers.PEERS) if options.peers else list(peers.PEERS)
    groups = names("--groups", options.groups, GROUPS) if options.groups else list(GROUPS)
    counts = thread_counts(options.threads)
    effort = Effort(1.0, 10, 5, cold=True)
    if options.quick:
        counts = counts if options.threads else counts[:1]
        chosen = chosen if options.peers else [peer for peer in chosen if peer != "torch_compiled"]
        effort = Effort(0.1, 3, 1, cold=False, deadline=started + QUICK_SECONDS)
    cases = [case for case in CASES if case.group in groups and (case.quick or not options.quick)]
    folder = pathlib.Path(options.out) if options.out else report.RESULTS
    folder.mkdir(parents=True, exist_ok=True)  # before the work, not after it
    say: Callable[[str], None] = silent if options.json else say_line
    _warn_if_busy(say)
    result = measure(cases, {*chosen, *peers.ALWAYS}, counts, effort, say)
    result |= {"quick": options.quick, "minutes": (time.monotonic() - started) / 60}
    _write(result, folder, "quick" if options.quick else "latest", say)
    if options.json:
        print(json.dumps(result, indent=1))
    broken = [row for row in result["rows"] if row["implementation"].startswith("fastnn") and _is_wrong(row)]
    return 1 if broken else 0


def _warn_if_busy(say: Callable[[str], None]) -> None:
    """Say it before the work, not after it."""
    load, most = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0, report.BUSY * (os.cpu_count() or 1)
    if load > most:
        say(f"the machine is busy: a load average of {load:.1f}; above {most:.1f} figures are not reliable")


def _is_wrong(row: Row) -> bool:
    return row["status"] in {"differs", "failed"}


def names(option: str, given: str, known: tuple[str, ...]) -> list[str]:
    """The names that an option lists, in the order of the known ones."""
    asked = [name.strip() for name in given.split(",")]
    unknown = [name for name in asked if name not in known]
    if unknown:
        raise ValueError(f"{option}: expected names out of {', '.join(known)}, got {', '.join(unknown)}; see --help")
    return [name for name in known if name in asked]


def thread_counts(given: str | None) -> list[int]:
    """The numbers of threads, the largest first; all processors and one if none is given."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if given is None:
        return sorted({processors, 1}, reverse=True)
    try:
        counts = sorted({int(count) for count in given.split(",")}, reverse=True)
    except ValueError:
        counts = [0]
    if not all(1 <= count <= processors for count in counts):
        wanted = f"expected integers from 1 to {processors}, such as 2,1"
        raise ValueError(f"--threads: {wanted}, got {given}; this process may use {processors} processors")
    return counts


# --- measuring -----------------------------------------------------------------------------------------


def measure(
    cases: list[Case], chosen: set[str], counts: list[int], effort: Effort, say: Callable[[str], None]
) -> dict[str, Any]:
    """All results, except how long they took."""
    result: dict[str, Any] = {"format": report.FORMAT, "machine": machine.describe(), "libraries": [], "rows": []}
    names = [name for name, found in peers.IMPLEMENTATIONS.items() if found.peer in chosen]
    absent = {name: reason for name in names if (reason := peers.why_absent(name)) is not None}
    result["absent"], result["threads"] = absent, counts
    with tempfile.TemporaryDirectory() as folder:
        scratch = pathlib.Path(folder)
        uses_mnist = any(case.kind == "epoch" for case in cases)
        mnist, result["epoch_data"] = mnist_file(scratch) if uses_mnist else (None, None)
        result["limits"] = _limits(counts, effort)
        plan = [(name, count) for name in names for count in counts]
        total = sum(len(_suitable(cases, name, count)) for name, count in plan)
        with Progress(total, "cases", unit="cases", enabled=say is not silent) as bar:
            for name, count in plan:
                worker = Worker(name, count, effort, scratch, mnist)
                for row in _rows(worker, _suitable(cases, name, count), absent.get(name)):
                    result["rows"].append(row)
                    _tell(row, bar, say)
                if worker.library is not None:
                    result["libraries"].append({"implementation": name, "threads": count, **worker.library})
        # Again: the processor may have become slower meanwhile, and the larger value counts.
        result["limits"] += _limits(counts, effort) if effort.seconds_left > LATE_SECONDS else []
        present = [name for name in names if name not in absent]
        result["startup"] = _startup(present, counts[0], effort, say)
        result["memory"] = _memory(present, counts[0], effort, scratch, mnist) if uses_mnist else []
    return result


def _suitable(cases: list[Case], name: str, count: int) -> list[str]:
    return [case.name for case in cases if name in case.implementations and count >= case.least_threads]


def _rows(worker: "Worker", cases: list[str], reason: str | None) -> Iterator[Row]:
    """A row for each case, whatever happens."""
    if reason is not None:
        yield from (worker.row(case, {"status": "absent", "reason": reason}) for case in cases)
    else:
        yield from worker.run(cases)


def _tell(row: Row, bar: Progress, say: Callable[[str], None]) -> None:
    """Report a new row: on the progress line of a terminal, else in a line of its own."""
    bar.label = f"{peers.IMPLEMENTATIONS[row['implementation']].label} ({row['threads']}), {row['case']}"
    bar.update(1)
    if not sys.stdout.isatty():
        say(f"{bar.done}/{bar.total}  {bar.label}: {report.outcome(row)}")


class Worker:
    """The process of one implementation with one number of threads; started anew when a case ends or blocks it."""

    def __init__(
        self, name: str, threads: int, effort: Effort, scratch: pathlib.Path, mnist: pathlib.Path | None
    ) -> None:
        self.name, self.threads, self.effort, self.scratch = name, threads, effort, scratch
        self.library: dict[str, Any] | None = None
        self._options = ["--seconds", str(effort.seconds), "--samples", str(effort.samples)]
        if mnist is not None:
            self._options += ["--mnist", str(mnist)]

    def row(self, case: str, found: Row) -> Row:
        """A row of the result file."""
        return {"case": case, "implementation": self.name, "threads": self.threads, **found}

    def run(self, cases: list[str], *options: str) -> Iterator[Row]:
        """A row for each case, in order."""
        remaining = list(cases)
        while remaining:
            if self.effort.seconds_left < 0:
                yield from (self.row(case, {"status": "left out", "reason": NO_TIME}) for case in remaining)
                return
            for found in self._lines(list(remaining), options):
                case = found.pop("case")
                remaining.remove(case)
                yield self.row(case, found)

    def _lines(self, cases: list[str], options: tuple[str, ...]) -> Iterator[Row]:
        """The reports of one process; if it ends or blocks, its current case has failed."""
        # The cache of torch.compile is in there, too: compiling is part of its first call.
        variables = {**peers.child_environment(), "TORCHINDUCTOR_CACHE_DIR": str(self.scratch / "inductor")}
        errors = self.scratch / "errors.txt"
        with open(errors, "w", encoding="utf-8") as stream:
            process = subprocess.Popen(
                [*WORKER, self.name, str(self.threads), *self._options, *options, *cases],
                cwd=peers.ROOT,
                env=variables,
                stdout=subprocess.PIPE,
                stderr=stream,
                text=True,
            )
        try:
            yield from self._reports(process, cases, errors)
        finally:
            process.kill()
            process.communicate()

    def _reports(self, process: "subprocess.Popen[str]", cases: list[str], errors: pathlib.Path) -> Iterator[Row]:
        lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=_read_lines, args=(process, lines), daemon=True).start()
        longest = LONGEST_SECONDS.get(self.name, USUAL_LONGEST_SECONDS)
        for case in ["", *cases]:  # the line about the library comes first; without it there is no case
            limit = min(longest, max(self.effort.seconds_left, 0.1))
            try:
                line = lines.get(timeout=limit)
                reason = _last_words(errors) if line is None else ""
            except queue.Empty:
                line, reason = None, NO_TIME if limit < longest else f"no result within {limit:.0f} s"
            if line is None:
                status = "left out" if reason == NO_TIME else "failed"
                yield from ({"case": lost, "status": status, "reason": reason} for lost in ([case] if case else cases))
                return
            found = json.loads(line)
            if case:
                yield found
            else:
                self.library = found


def _read_lines(process: "subprocess.Popen[str]", lines: "queue.Queue[str | None]") -> None:
    """Hand on the lines of a process, and None at their end."""
    assert process.stdout is not None
    for line in process.stdout:
        lines.put(line)
    lines.put(None)


def _last_words(errors: pathlib.Path) -> str:
    """The last line that a process has written to its error output."""
    lines = errors.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return f"the process ended: {lines[-1][:200] if lines else 'without a word'}"


def _limits(counts: list[int], effort: Effort) -> list[dict[str, Any]]:
    """The machine's limits for each number of threads, if they can be measured."""
    found = []
    for count in counts:
        command = [sys.executable, "-m", "benchmarks.machine", str(count)]
        timeout = min(max(effort.seconds_left, 1.0), USUAL_LONGEST_SECONDS)
        with contextlib.suppress(subprocess.SubprocessError):
            done = subprocess.run(
                command,
                cwd=peers.ROOT,
                env=peers.child_environment(),
                capture_output=True,
                text=True,
                check=True,
                timeout=timeout,
            )
            found.append(json.loads(done.stdout))
    return found


def _startup(names: list[str], threads: int, effort: Effort, say: Callable[[str], None]) -> list[Row]:
    if effort.seconds_left < LATE_SECONDS:
        return []
    say("start-up times")
    packages = list(dict.fromkeys(peers.IMPLEMENTATIONS[name].package for name in names))
    return startup.measure(packages, threads, effort.repeats, effort.cold)


def _memory(
    names: list[str], threads: int, effort: Effort, scratch: pathlib.Path, mnist: pathlib.Path | None
) -> list[Row]:
    """The peak memory of an epoch in each library."""
    if sys.platform == "win32" or effort.seconds_left < LATE_SECONDS:
        return []
    found: list[Row] = []
    for name in names:
        if name in BY_NAME[MEMORY_CASE].implementations:
            found += Worker(name, threads, effort, scratch, mnist).run([MEMORY_CASE], "--mode", "memory")
    return found


def mnist_file(folder: pathlib.Path) -> tuple[pathlib.Path | None, str]:
    """MNIST in a file that workers read without fastnn, if it is on this machine; and the name of the epochs' data."""
    given = os.environ.get("FASTNN_DATA")
    place = pathlib.Path(given) if given else folders.cache_folder("mnist")
    if place is None or not all((place / name).exists() or (place / f"{name}.gz").exists() for name in CHECKSUMS):
        return None, "synthetic samples, 81 % of whose inputs are 0 as in MNIST"
    (x, t), _ = datasets.load_mnist(place)
    file = folder / "mnist.npz"
    np.savez(file, x=x, t=t)
    return file, "MNIST"


# --- writing -------------------------------------------------------------------------------------------


def _write(result: dict[str, Any], folder: pathlib.Path, name: str, say: Callable[[str], None]) -> None:
    """The figures as JSON, the tables as Markdown, and the plots if matplotlib is there."""
    text = report.markdown(result)
    (folder / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    (folder / f"{name}.md").write_text(text, encoding="utf-8")
    say(f"\n{text}")
    written = [f"{name}.json", f"{name}.md", *plots.draw(result, folder, name)]
    say(f"written to {folder}: {', '.join(written)}")


def say_line(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


def silent(line: str) -> None:
    """Say nothing."""
