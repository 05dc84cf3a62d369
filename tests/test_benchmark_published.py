"""The published runs: one for each kind of processor, of a commit, on an idle machine, with reasons for lost rows."""

import copy
import importlib.util
import json
import pathlib
import re
import shutil
import subprocess
import sys
from typing import Any

import pytest

from benchmarks import pages, peers, plots, published, reasons, report
from benchmarks.reasons import Reason

RUN = published.runs()[0]
STEP = "step 100, 784-50-10"
FIGURES = re.compile(r"^\|.*$", re.MULTILINE)


def test_pages_show_the_published_figures() -> None:
    """If this fails: python -m benchmarks.report README"""
    runs = published.runs()
    assert pages.split(pages.README, report.SECTION)[1] == published.summary(runs)
    assert pages.split(pages.PAGE, report.SECTION)[1] == published.page(runs)


def test_every_published_run_has_its_name_and_pictures() -> None:
    files = sorted(report.RESULTS.glob("published*.json"))
    assert files
    for file in files:
        assert published.stem(json.loads(file.read_text(encoding="utf-8"))) == file.stem
        for what in ("time", "peak"):
            assert (pages.PICTURES / f"{file.stem}-{what}.svg").exists()


def avx2_run() -> dict[str, Any]:
    """A made-up run on another processor, on which everything takes twice as long."""
    made = copy.deepcopy(RUN)
    made["machine"] |= {"cpu": "Old processor", "processor": {"name": "haswell", "float32_lanes": 8}}
    for row in made["rows"]:
        for key in ("seconds", "first_quartile", "median", "third_quartile"):
            if key in row:
                row[key] *= 2
    return made


@pytest.fixture
def results(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder with the published runs and pages of its own."""
    for name in ("README", "PAGE"):
        monkeypatch.setattr(pages, name, tmp_path / f"{name}.md")
        (tmp_path / f"{name}.md").write_text("before\n\n<!-- benchmarks -->\nold\n<!-- /benchmarks -->\n\nafter\n")
    monkeypatch.setattr(pages, "PICTURES", tmp_path)
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    shutil.copy(peers.ROOT / "benchmarks" / "results" / f"{published.stem(RUN)}.json", tmp_path)
    monkeypatch.setattr(plots, "draw", lambda result, folder, name: [f"{name}-time.svg"])
    monkeypatch.setattr(published, "_has_changed_since", lambda commit: False)
    return tmp_path


def idle(run: dict[str, Any]) -> dict[str, Any]:
    return {**run, "machine": {**run["machine"], "load_average": [0.1, 0.1, 0.1], "commit": "abcdef", "processors": 2}}


def test_two_processors_have_two_sections(results: pathlib.Path) -> None:
    (results / "latest.json").write_text(json.dumps(idle(avx2_run())))
    assert published.main(["README", str(results / "latest.json")]) == 0
    assert json.loads((results / "published-haswell-avx2.json").read_text()) == idle(avx2_run())
    before, page, after = pages.split(pages.PAGE, report.SECTION)
    assert (before, after) == ("before\n\n<!-- benchmarks -->", "<!-- /benchmarks -->\n\nafter\n")
    _, first, second = re.split(r"(?m)^(?=## )", page)
    assert first.startswith(f"## {published.title(RUN)}\n") and f"pictures/{published.stem(RUN)}-time.svg" in first
    assert second.startswith("## AVX2: Old processor (haswell)\n")
    assert "pictures/published-haswell-avx2-peak.svg" in second
    one, two = ([line for line in FIGURES.findall(text) if line.startswith(f"| {STEP} |")] for text in (first, second))
    assert one and len(one) == len(two) and one != two
    readme = pages.split(pages.README, report.SECTION)[1]
    assert f"on {RUN['machine']['cpu']} ({RUN['machine']['processor']['name']})" in readme
    assert readme.endswith("The same on AVX2: Old processor (haswell): `docs/benchmarks.md`.")
    assert published.main(["README"]) == 0
    assert pages.split(pages.PAGE, report.SECTION)[1] == page


@pytest.mark.parametrize(
    ("machine", "others", "sentence"),
    [
        ({}, {"quick": True}, "expected a full run, got a quick one"),
        ({"commit": "abc+"}, {}, "expected the files of a commit, got abc+; commit, then run again"),
        ({"commit": None}, {}, "expected the files of a commit, got an unknown one; commit, then run again"),
        (
            {"load_average": [0.7, 0.0, 0.0]},
            {},
            "expected an idle machine, with a load average of at most 0.6 at the start, got 0.7",
        ),
    ],
)
def test_what_may_not_be_published(
    machine: dict[str, Any], others: dict[str, Any], sentence: str, results: pathlib.Path
) -> None:
    made = {**idle(avx2_run()), **others}
    made["machine"] |= machine
    (results / "latest.json").write_text(json.dumps(made))
    with pytest.raises(ValueError, match=re.escape(f"{results / 'latest.json'}: {sentence}")):
        published.main(["README", str(results / "latest.json")])
    assert not (results / "published-haswell-avx2.json").exists()
    assert "old" in pages.PAGE.read_text()


def test_a_run_of_other_code_is_not_published() -> None:
    made = idle(RUN)
    made["machine"]["commit"] = "0" * 12
    assert published.refusals(made) == [f"expected a run of the code that is here, got one of {'0' * 12}; run again"]


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
@pytest.mark.parametrize(
    ("file", "changes"),
    [
        ("fastnn/network.py", True),
        ("benchmarks/cases.py", True),
        ("benchmarks/compare.py", False),
        ("README.md", False),
    ],
)
def test_the_code_that_is_here_is_published(
    file: str, changes: bool, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a checkout of its own: only what is measured, or how, may not change after a run."""

    def git(*arguments: str) -> str:
        who = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org"]
        done = subprocess.run(
            ["git", "-C", str(tmp_path), *who, *arguments], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    monkeypatch.setattr(peers, "ROOT", tmp_path)
    git("init", "--quiet")
    for name in ("fastnn/network.py", "benchmarks/cases.py", "benchmarks/compare.py", "README.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("before")
    git("add", ".")
    git("commit", "--quiet", "--message", "Begin")
    commit = git("rev-parse", "HEAD")
    assert not published._has_changed_since(commit)
    (tmp_path / file).write_text("after")
    assert published._has_changed_since(commit) == changes
    assert published._has_changed_since("0" * 12)


def test_reasons(results: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A reason stands beside the rows that it matches, and one without a row is named."""
    lost = report.behind(RUN, report.rows_of(RUN))[0]
    known = Reason(lost.case, "it is measured", peer=lost.peer)
    gone = Reason("nothing *", "it was so once")
    elsewhere = Reason(lost.case, "on other threads", threads=99)
    monkeypatch.setattr(reasons, "REASONS", (known, gone, elsewhere))
    assert published.main(["README"]) == 0
    page, errors = pages.PAGE.read_text(), capsys.readouterr().err
    label = peers.IMPLEMENTATIONS[lost.peer].label
    assert re.search(
        rf"^\| {re.escape(lost.case)} \| {lost.threads} \| \S+ \| {label} \| it is measured \|$", page, re.M
    )
    assert "| not explained |" in page and "on other threads" not in page
    assert "warning: reasons.py: no row is behind for 'nothing *': it was so once\n" in errors
    assert "on other threads" in errors and "it is measured" not in errors


def test_every_reason_has_a_row() -> None:
    """Those that are kept, and made ones, which differ from a row by one part each."""
    lost = report.behind(RUN, report.rows_of(RUN))[0]
    known = [Reason(lost.case, ""), Reason(lost.case[:3] + "*", "", lost.threads, lost.peer, lost.processor)]
    gone = [Reason("nothing *", ""), Reason(lost.case, "", threads=99), Reason(lost.case, "", peer="nobody")]
    gone += [Reason(lost.case, "", processor="abacus")]
    assert published.without_rows((*known, *gone), [RUN]) == gone
    assert published.without_rows(reasons.REASONS, published.runs()) == []


def test_a_peer_is_ahead_only_beyond_the_quartiles() -> None:
    rows = report.rows_of(copy.deepcopy(RUN))
    mine = rows[STEP, "fastnn", 2]
    mine |= {"seconds": 1.0, "first_quartile": 1.1, "third_quartile": 1.2}
    other = rows[STEP, "numpy", 2]
    for name in peers.IMPLEMENTATIONS:
        if name not in ("numpy", *report.OWN):
            rows.pop((STEP, name, 2), None)
    for upper, ahead in ((1.05, True), (1.15, False)):
        other |= {"seconds": 0.9, "third_quartile": upper}
        found = [row for row in report.behind(RUN, rows) if row.case == STEP]
        assert [row.peer for row in found] == ["numpy"] * ahead
        assert not found or found[0].ratio == pytest.approx(0.9)


def test_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert published.main([]) == published.main(["READ"]) == 2
    assert capsys.readouterr().err == 2 * "usage: python -m benchmarks.report README [FILE]\n"


def test_the_command_is_the_report(tmp_path: pathlib.Path) -> None:
    command = [sys.executable, "-m", "benchmarks.report", "README", "one", "two"]
    done = subprocess.run(command, cwd=peers.ROOT, env=peers.child_environment(), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, "usage: python -m benchmarks.report README [FILE]\n")


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="matplotlib is not installed")
def test_pictures_are_those_of_the_run(tmp_path: pathlib.Path) -> None:
    for name in plots.draw(RUN, tmp_path, published.stem(RUN)):
        assert (tmp_path / name).stat().st_size > 1000
