"""The report of the benchmarks and the README's table: nothing unknown, nothing left out, always in one order."""

import copy
import importlib.util
import pathlib
import random
import re
from typing import Any

import pytest

from benchmarks import pages, peers, plots, readme, reasons, report, startup
from benchmarks.cases import CASES
from benchmarks.reasons import Reason

POOL = {"user_api": "blas", "internal_api": "openblas", "version": "0.3", "architecture": "Zen"}
STEP = "step 100, 784-50-10"
JAX_ROWS = sum(2 * (name == "jax") for case in CASES for name in case.implementations)
OWN_ROWS = sum(2 if case.least_threads == 1 else 1 for case in CASES)
TIMES = {
    "numpy": 200e-6,
    "numpy_loop": 0.1,
    "scipy": 250e-6,
    "numdifftools": 2e-3,
    "fastnn": 40e-6,
    "fastnn_run": 20e-6,
    "both": 400e-6,
    "torch": 300e-6,
    "jax": 100e-6,
    "jax_run": 30e-6,
    "sklearn": 1e-3,
    "torch_compiled": 150e-6,
    "onnxruntime": 170e-6,
    "openvino": 180e-6,
}


def times(seconds: float, spread: float = 0.1) -> dict[str, float]:
    """A time, and quartiles as far apart as this share of it."""
    return {"seconds": seconds, "first_quartile": seconds, "third_quartile": seconds * (1 + spread)}


def row(case: str, name: str, threads: int, **found: Any) -> dict[str, Any]:
    timed = {"status": "timed", "first_call_seconds": 0.5, **times(TIMES[name])}
    return {"case": case, "implementation": name, "threads": threads, **(found or timed)}


def full_result() -> dict[str, Any]:
    """A result file with a row for everything."""
    rows = [
        row(case.name, name, threads)
        for case in CASES
        for name in case.implementations
        for threads in (2, 1)
        if threads >= case.least_threads
    ]
    limit = {"fma_flop_per_second": {"float32": 4e11}, "bytes_per_second": {"copy": 2e10, "triad": 3e10}}
    return {
        "format": 1,
        "threads": [2, 1],
        "machine": {
            "cpu": "A processor",
            "processor": {"name": "zen", "float32_lanes": 16},
            "caches": {"L1 data": "48K"},
            "versions": {"fastnn": "0.1.0"},
            "commit": "abc",
            "load_average": [0.1, 0.2, 0.3],
            "processors": 2,
            "date": "2026-01-02",
        },
        "libraries": [
            {"implementation": "numpy", "threads": 2, "version": "2.4", "pools": [POOL]},
            {"implementation": "numpy", "threads": 1, "version": "2.4", "pools": [POOL]},
            {"implementation": "torch", "threads": 2, "version": "2.13", "pools": [POOL]},
            {"implementation": "jax", "threads": 2, "version": "0.10", "pools": None},
        ],
        "absent": {},
        "limits": [{"threads": 2, **limit}, {"threads": 1, **limit}],
        "epoch_data": "MNIST",
        "rows": rows,
        "startup": [{"what": "import", "library": "fastnn", "seconds": 0.4, "repeats": 5}],
        "memory": [{**row(CASES[-1].name, "fastnn", 2), "bytes_before": 2**28, "bytes": 2**29}],
    }


def change(result: dict[str, Any], case: str, name: str, threads: int, **found: Any) -> None:
    for each in result["rows"]:
        if (each["case"], each["implementation"], each["threads"]) == (case, name, threads):
            each.update(found)


def line_of(text: str, start: str) -> list[str]:
    """The cells of the first table row that begins with `start`."""
    found = re.search(rf"^\| {re.escape(start)} \|.*$", text, re.MULTILINE)
    assert found is not None, text
    return [cell.strip() for cell in found.group().strip("|").split("|")]


def test_ratios() -> None:
    rows = report.rows_of(full_result())
    assert report.ratio(rows, STEP, "fastnn", 2) == pytest.approx(100 / 40)
    assert report.ratio(rows, STEP, "fastnn_run", 2) == pytest.approx(30 / 20)
    assert report.ratio(rows, "product 32x32x32", "fastnn_run", 2) is None


def test_a_line_of_the_report() -> None:
    text = report.markdown(full_result())
    assert line_of(text, "steps") == [
        *("steps", "NumPy", "PyTorch", "JAX", "JAX, in a run", "scikit-learn", "PyTorch, compiled"),
        *("fastnn", "fastnn, in a run", "best other / fastnn", "in a run", "fastnn's rate"),
    ]
    assert line_of(text, STEP) == [
        *(STEP, "200 us", "300 us", "100 us", "30.0 us", "1.00 ms", "150 us"),
        *("40.0 us", "20.0 us", "2.5", "1.5", "399 GFLOP/s, 100% of peak"),
    ]
    contention = CASES[-3].name
    assert line_of(text, contention) == [contention, "2", "200 us", "40.0 us", "400 us", "1.67"]
    assert line_of(text, "JAX") == ["JAX", str(JAX_ROWS), f"{0.5 * JAX_ROWS:.0f} s", "500 ms", "tanh 10,000"]
    assert f"In 0 of {OWN_ROWS} rows a peer is faster than fastnn." in text


def with_startup() -> dict[str, Any]:
    result = full_result()
    whats = ["first step", startup.FROM_WHEEL, startup.FROM_CHECKOUT]
    fastnn = zip(whats, (0.3, 0.6, None), strict=True)
    result["startup"] = [{"what": what, "library": "numpy", "seconds": 0.2, "repeats": 5} for what in whats]
    result["startup"] += [{"what": what, "library": "fastnn", "seconds": time, "repeats": 1} for what, time in fastnn]
    return result


def test_small_calls_and_startups_stand_in_the_report() -> None:
    text = report.body(with_startup())
    assert line_of(text, "small")[:-1] == ["small", "NumPy", "PyTorch", "JAX", "fastnn", "best other / fastnn"]
    for n in (1, 4, 16, 64):
        case = f"affine_forward of {n}x{n}x{n}"
        assert line_of(text, case)[:-1] == [case, "200 us", "300 us", "100 us", "40.0 us", "2.5"]
    whats = ["first step", startup.FROM_WHEEL, startup.FROM_CHECKOUT]
    assert line_of(text, "from the start of Python") == ["from the start of Python", *whats]
    text = text[text.index("| from the start of Python |") :]
    assert line_of(text, "numpy") == ["numpy", "0.20 s", "0.20 s", "0.20 s"]
    assert line_of(text, "fastnn") == ["fastnn", "0.30 s", "0.60 s", ""]


def test_the_table_of_the_readme() -> None:
    result = with_startup()
    change(result, STEP, "torch", 2, **times(20e-6))
    text = readme.section(result)
    assert line_of(text, "work, 2 threads") == ["work, 2 threads", "the fastest other", "fastnn", "ratio"]
    for case in readme.CASES:
        assert line_of(text, case)[0] == case
    assert line_of(text, STEP) == [STEP, "PyTorch 20.0 us", "40.0 us", "0.5"]
    assert line_of(text, "predict 1, 784-50-10") == ["predict 1, 784-50-10", "JAX 100 us", "40.0 us", "2.5"]
    first = f"start of Python and {startup.FROM_WHEEL}"
    assert line_of(text, first) == [first, "NumPy 200 ms", "600 ms", "0.333"]
    count = f"In 1 of {OWN_ROWS} rows another library is faster, in 1 by more than repeated measurements vary"
    assert f"{count} (`docs/benchmarks.md` shows all):" in text
    result["startup"] = []
    assert "start of Python" not in readme.section(result)


def test_reasons_in_the_readme(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows with one reason share a line, which names the furthest behind first and counts what it leaves out."""
    result = with_startup()
    assert "(`docs/benchmarks.md` shows all):\n\n- none." in readme.section(result)
    lost = [case.name for case in CASES if case.group == "steps" and "torch" in case.implementations]
    lost = lost[: readme.NAMED + 2]
    for number, case in enumerate(lost):
        change(result, case, "torch", 2, **times(20e-6 + number * 1e-6))
    monkeypatch.setattr(reasons, "REASONS", (Reason(lost[1], "it was measured"),))
    text = readme.section(result)
    named = "; ".join([lost[0], *lost[2 : readme.NAMED + 1]]) + "; 1 more"
    assert f"\n- {named}: PyTorch takes 0.5 to 0.625 of fastnn's time; not explained.\n" in text
    assert f"\n- {lost[1]}: PyTorch takes 0.525 of fastnn's time; it was measured." in text


def test_libraries_and_limits() -> None:
    lines = report.markdown(full_result()).splitlines()
    assert "- numpy 2.4 (openblas 0.3, Zen kernels)" in lines
    assert "- torch 2.13" in lines  # NumPy's BLAS is in its process only for what is expected
    assert "- jax 0.10" in lines
    limits = "400 GFLOP/s of multiply-adds in registers, 30.0 GB/s of memory"
    assert f"- Limits with 2 threads: {limits}." in lines and f"- Limits with 1 thread: {limits}." in lines


def test_every_row_is_in_the_report() -> None:
    text = report.markdown(full_result())
    for case in CASES:
        assert text.count(f"\n| {case.name} |") == (2 if case.least_threads == 1 else 1), case.name


def test_rows_that_fastnn_loses_stay() -> None:
    result = full_result()
    change(result, STEP, "numpy", 2, **times(10e-6))
    text = report.markdown(result)
    assert line_of(text[text.index("## steps") :], STEP)[9] == "0.25"
    assert (
        f"In 1 of {OWN_ROWS} rows a peer is faster than fastnn, in 1 by more than repeated measurements vary." in text
    )
    assert line_of(text, f"{STEP} | 2") == [STEP, "2", "0.25", "NumPy", "not explained"]


def test_what_went_wrong_is_said() -> None:
    result = full_result()
    change(result, STEP, "torch", 2, status="failed", reason="a crash")
    change(result, "step 1, 784-50-10", "torch", 2, status="failed", reason="a crash")
    for case in CASES:
        for threads in (1, 2):
            change(result, case.name, "sklearn", threads, status="absent", reason="sklearn is not installed")
    result["absent"] = {"sklearn": "sklearn is not installed"}
    result["rows"] = [each for each in result["rows"] if each["implementation"] != "jax_run"]
    result["machine"]["load_average"] = [2.0, 0.1, 0.1]
    text = report.markdown(result)
    assert "- The machine had other work at the start: a load average of 2.0." in text
    assert line_of(text, STEP)[2] == "failed" and line_of(text, STEP)[4] == "absent"
    assert "- Absent: scikit-learn: sklearn is not installed." in text
    assert "- Not part of this run: JAX, in a run." in text
    assert f"- PyTorch, 2 threads: failed (a crash): step 1, 784-50-10; {STEP}." in text


def test_the_order_of_the_rows_does_not_matter() -> None:
    result = full_result()
    change(result, STEP, "torch", 2, status="failed", reason="a crash")
    shuffled = copy.deepcopy(result)
    random.Random(0).shuffle(shuffled["rows"])
    assert report.markdown(shuffled) == report.markdown(result)
    assert readme.section(shuffled) == readme.section(result)


AGAIN = "run the benchmarks again"


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (
            row("product of nothing", "numpy", 1),
            f"rows: expected rows of the table, got 'numpy' for 'product of nothing'; {AGAIN}",
        ),
        (row(STEP, "numpy", 2), f"rows: expected one row for ('{STEP}', 'numpy', 2), got two; {AGAIN}"),
        (row(STEP, "both", 1), f"rows: expected rows of the table, got 'both' for '{STEP}'; {AGAIN}"),
        (
            {**row(STEP, "numpy", 9), "status": "good"},
            "rows: expected a status out of timed, differs, failed, left out, absent, got 'good' for "
            f"('{STEP}', 'numpy', 9)",
        ),
    ],
)
def test_unknown_rows_are_refused(wrong: dict[str, Any], sentence: str) -> None:
    result = full_result()
    result["rows"].append(wrong)
    for page in (report.markdown, readme.section):
        with pytest.raises(ValueError, match=re.escape(sentence)):
            page(result)


def test_another_format_is_refused() -> None:
    with pytest.raises(ValueError, match=re.escape(f"format: expected 1, got 0; {AGAIN}")):
        report.markdown({**full_result(), "format": 0})


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1.234e-6, "1.23 us"), (99.96e-6, "100 us"), (0.9996e-3, "1.00 ms"), (0.0456, "45.6 ms"), (1.5, "1.50 s")],
)
def test_durations(seconds: float, text: str) -> None:
    assert report.duration(seconds) == text


# --- the pages -----------------------------------------------------------------------------------------


def test_a_page_without_comments_is_refused(tmp_path: pathlib.Path) -> None:
    begin, end = "<!-- tables -->", "<!-- /tables -->"
    sentence = f"page.md: expected one {begin} and one {end}, got others; put them where the text goes"
    for text in ("", begin, f"{begin}{end}{end}"):
        (tmp_path / "page.md").write_text(text)
        with pytest.raises(ValueError, match=re.escape(sentence)):
            pages.write(tmp_path / "page.md", "tables", "new")
        assert (tmp_path / "page.md").read_text() == text


def test_every_implementation_has_a_color() -> None:
    assert len(plots.COLORS) == len(set(plots.COLORS)) == len(peers.IMPLEMENTATIONS)


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="matplotlib is not installed")
def test_plots_are_always_the_same(tmp_path: pathlib.Path) -> None:
    files = plots.draw(full_result(), tmp_path, "one")
    assert files == ["one-time.svg", "one-peak.svg"]
    again = plots.draw(full_result(), tmp_path, "two")
    for one, two in zip(files, again, strict=True):
        text = (tmp_path / one).read_text()
        assert text == (tmp_path / two).read_text()
        assert "fastnn" in text


def test_no_plots_without_matplotlib(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert plots.draw(full_result(), tmp_path, "one") == []
    assert list(tmp_path.iterdir()) == []
