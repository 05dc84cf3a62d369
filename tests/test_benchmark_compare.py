"""`fastnn bench --compare`: what counts as slower, what the machine explains, and which files are refused."""

import argparse
import copy
import json
import pathlib
import re
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks import compare, driver, machine
from benchmarks.cases import CASES
from fastnn.command import bench

PRODUCTS = [case.name for case in CASES if case.group == "products"][:10]
HERE = {
    "cpu": "A processor",
    "processor": {"name": "zen", "float32_lanes": 16},
    "versions": {"numba": "0.68", "numpy": "2.4"},
    "commit": "new",
    "date": "2026-01-02",
}


def old_run() -> dict[str, Any]:
    """Ten products of 1 ms in fastnn and 2 ms in NumPy, on one thread."""
    rows = [
        {"case": case, "implementation": name, "threads": 1, "status": "timed", "seconds": seconds}
        for case in PRODUCTS
        for name, seconds in (("fastnn", 1e-3), ("numpy", 2e-3))
    ]
    return {"format": 1, "machine": {**HERE, "commit": "old"}, "rows": rows}


def times(
    first: float = 1.0, second: float = 1.0, machine: float = 1.0, **others: tuple[float, float]
) -> compare.Times:
    """The times of all rows as multiples of the old ones; others: p0=(first, second) is the first product."""
    found: compare.Times = {}
    for number, case in enumerate(PRODUCTS):
        factors = others.get(f"p{number}", (first, second))
        for role, factor in zip(("second", "first"), factors[::-1], strict=True):
            found[case, "fastnn", 1, role] = {"status": "timed", "seconds": 1e-3 * factor * machine}
        found[case, "numpy", 1, "control"] = {"status": "timed", "seconds": 2e-3 * machine}
    return found


def verdicts(found: compare.Comparison) -> dict[str, str]:
    return {change.case: verdict for change in found.changes if (verdict := found.verdict(change))}


def test_a_change_beyond_the_noise_counts() -> None:
    found = compare.judged(old_run(), times(p0=(1.05, 1.04), p1=(0.9, 0.91), p2=(1.02, 1.02)))
    assert verdicts(found) == {PRODUCTS[0]: "slower", PRODUCTS[1]: "faster"}
    assert found.changes[0].ratio == pytest.approx((1.05 * 1.04) ** 0.5)


def test_a_row_that_differs_from_itself_is_noise() -> None:
    found = compare.judged(old_run(), times(p0=(1.2, 1.0), p1=(1.05, 1.05)))
    assert verdicts(found) == {PRODUCTS[1]: "slower"}  # the first row's noise is its own
    found = compare.judged(old_run(), times(first=1.1, p1=(1.05, 1.05)))
    assert found.usual_noise == pytest.approx(0.1)
    assert verdicts(found) == {}  # all of this run is noisy


def test_what_the_machine_explains_is_not_slower() -> None:
    found = compare.judged(old_run(), times(machine=1.3, p0=(1.1, 1.1)))
    assert found.machine == pytest.approx(1.3)
    assert verdicts(found) == {PRODUCTS[0]: "slower"}
    text = compare.markdown(found, old_run(), HERE)
    said = (
        "The machine is 1.30 times slower than in OLD, and fastnn's rows are judged by that: 10 rows of other libraries"
    )
    assert said in text
    assert f"| {PRODUCTS[0]}, fastnn | 1 | 1.00 ms | 1.43 ms | 1.43 ms | 1.430 | 3.0% | 1.30 | slower |" in text
    found = compare.judged(old_run(), times(machine=0.5))
    assert verdicts(found) == {}
    assert "The machine is 2.00 times faster than in OLD" in compare.markdown(found, old_run(), HERE)


def test_no_control_is_said() -> None:
    here = {key: row for key, row in times().items() if key[3] != "control"}
    found = compare.judged(old_run(), here)
    assert found.machine == 1.0 and found.changes[0].control is None
    assert "whether the machine is slower than in OLD is unknown" in compare.markdown(found, old_run(), HERE)


def test_rows_that_fail_are_told() -> None:
    here = times()
    here[PRODUCTS[0], "fastnn", 1, "second"] = {"status": "failed", "reason": "a crash"}
    found = compare.judged(old_run(), here)
    assert found.lost == [f"fastnn (1), {PRODUCTS[0]}: failed (a crash)"] and len(found.changes) == len(PRODUCTS) - 1


def options(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    bench.add(parser.add_subparsers())
    return parser.parse_args(["bench", *arguments])


@pytest.mark.parametrize(("factor", "code"), [(1.0, 0), (1.2, 1), (0.8, 0)])
def test_files_and_exit_code(
    factor: float,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "old.json").write_text(json.dumps(old_run()))
    monkeypatch.setattr(machine, "describe", lambda: HERE)
    monkeypatch.setattr(compare, "measure", lambda keys, controls, effort, say: times(factor, factor))
    chosen = ["--compare", str(tmp_path / "old.json"), "--threads", "1", "--out", str(tmp_path / "new")]
    assert bench.run(options(*chosen)) == code
    text = capsys.readouterr().out
    assert "10 rows of fastnn, each in two processes" in text and (tmp_path / "new" / "compared.md").read_text() in text
    found = json.loads((tmp_path / "new" / "compared.json").read_text())
    assert {row["verdict"] for row in found["rows"]} == {{1.0: "same", 1.2: "slower", 0.8: "faster"}[factor]}


def test_rows_are_timed_twice_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """By two processes each, and the control once; a case that OLD lacks is not timed."""
    ran: list[tuple[str, int, list[str]]] = []

    def run(self: driver.Worker, cases: list[str]) -> Any:
        ran.append((self.name, self.threads, cases))
        yield from (self.row(case, {"status": "timed", "seconds": 1e-3}) for case in cases)

    monkeypatch.setattr(driver.Worker, "run", run)
    keys = compare.common_rows(old_run(), ["products", "steps"], [2, 1], quick=False)
    assert keys == [(case, "fastnn", 1) for case in PRODUCTS]
    found = compare.measure(keys, {"numpy"}, driver.Effort(0.1, 3, 1, cold=False), driver.silent)
    portions = [PRODUCTS[:8], PRODUCTS[8:]]
    assert ran == [(name, 1, cases) for cases in portions for name in ("fastnn", "fastnn", "numpy")]
    assert len(found) == 3 * len(PRODUCTS)
    roles = {case: [role for at, name, _, role in found if (at, name) == (case, "fastnn")] for case in PRODUCTS}
    assert roles[PRODUCTS[0]] == ["first", "second"] and roles[PRODUCTS[8]] == ["second", "first"]


def broken(change: Callable[[dict[str, Any]], Any]) -> str:
    made = copy.deepcopy(old_run())
    change(made)
    return json.dumps(made)


def row_with(**values: Any) -> str:
    return broken(lambda made: made["rows"][0].update(values))


def machine_with(**values: Any) -> str:
    return broken(lambda made: made["machine"].update(values))


WANTED = "--compare: expected a file that `fastnn bench --out FOLDER` has written, such as FOLDER/latest.json"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, f"{WANTED}, got OLD: No such file or directory"),
        ("no json", f"{WANTED}, got OLD, which is not JSON: Expecting value"),
        ("[]", f"{WANTED}, of format 1, got OLD of format 'list'; run the benchmarks again"),
        (broken(lambda made: made.update(format=0)), f"{WANTED}, of format 1, got OLD of format 0; run the"),
        (broken(lambda made: made.pop("rows")), f"{WANTED}, got OLD, in which parts are missing: 'rows'; run the"),
        (broken(lambda made: made["rows"][0].pop("seconds")), "in which parts are missing: 'seconds'; run the"),
        (row_with(seconds="abc"), "got OLD, in which rows[0].seconds is 'abc' instead of a time above 0; run the"),
        (row_with(seconds=-1), "got OLD, in which rows[0].seconds is -1 instead of a time above 0; run the"),
        (row_with(seconds=0), "got OLD, in which rows[0].seconds is 0 instead of a time above 0; run the"),
        (row_with(seconds=True), "got OLD, in which rows[0].seconds is True instead of a time above 0; run the"),
        (row_with(seconds=float("nan")), "got OLD, in which rows[0].seconds is nan instead of a time above 0; run"),
        (row_with(seconds=float("inf")), "got OLD, in which rows[0].seconds is inf instead of a time above 0; run"),
        (row_with(seconds=None), "got OLD, in which rows[0].seconds is None instead of a time above 0; run the"),
        (row_with(threads="1"), "got OLD, in which rows[0].threads is '1' instead of a number of at least 1; run"),
        (row_with(case=["a"]), "got OLD, in which rows[0].case is ['a'] instead of a string; run the benchmarks again"),
        (row_with(case=PRODUCTS[1]), f"got OLD, in which the row ('{PRODUCTS[1]}', 'fastnn', 1) occurs twice; run"),
        (broken(lambda made: made.update(rows={})), "got OLD, in which rows is {} instead of a list; run the"),
        (broken(lambda made: made.update(rows=[3])), "got OLD, in which rows[0] is 3 instead of an object; run the"),
        (machine_with(versions=None), "got OLD, in which machine.versions is None instead of an object; run the"),
        (machine_with(processor={"float32_lanes": 16}), "got OLD, in which parts are missing: 'name'; run the"),
        (machine_with(processor="zen"), "got OLD, in which machine.processor is 'zen' instead of an object; run"),
        (broken(lambda made: made["machine"].pop("cpu")), "in which parts are missing: 'cpu'; run the"),
        (
            broken(lambda made: made["machine"].update(cpu="Another")),
            "--compare: expected a run on this processor, A processor (zen, 16 float32 in a vector), got one on "
            "Another (zen, 16 float32 in a vector); make one here",
        ),
        (
            broken(lambda made: made["rows"].clear()),
            "--compare: expected rows in common, got 0 rows with no threads there, and here threads 1 and "
            "groups gradients",
        ),
    ],
)
def test_bad_files(text: str | None, sentence: str, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    monkeypatch.setattr(machine, "describe", lambda: HERE)
    monkeypatch.setattr(compare, "measure", lambda *arguments: pytest.fail("it measured"))
    file = tmp_path / "old.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises((ValueError, FileNotFoundError), match=re.escape(sentence.replace("got OLD", f"got {file}"))):
        bench.run(options("--compare", str(file), "--threads", "1", "--out", str(tmp_path)))
    assert not (tmp_path / "compared.json").exists()


def test_rows_that_the_table_has_no_more_are_left_out(tmp_path: pathlib.Path) -> None:
    made = old_run()
    made["rows"].append({**made["rows"][0], "case": "product of nothing"})
    (tmp_path / "old.json").write_text(json.dumps(made))
    assert {row["case"] for row in compare.read(tmp_path / "old.json")["rows"]} == set(PRODUCTS)


def test_a_comparison_of_nothing_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    (tmp_path / "old.json").write_text(json.dumps(old_run()))
    monkeypatch.setattr(machine, "describe", lambda: HERE)
    monkeypatch.setattr(compare, "measure", lambda *arguments: {})
    with pytest.raises(ValueError, match=r"^--compare: expected times of 10 rows of fastnn, got none; run it again$"):
        bench.run(options("--compare", str(tmp_path / "old.json"), "--threads", "1", "--out", str(tmp_path)))
    assert not (tmp_path / "compared.json").exists()
