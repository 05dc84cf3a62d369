"""The comparison of the estimators: equal scores, and the README's table."""

import json
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

from benchmarks import estimator_cases, estimators, pages
from benchmarks.estimator_cases import CASES, DTYPES, LIBRARIES, estimator_of

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.mark.parametrize("case", [case for case in CASES if case.name != "MNIST"], ids=lambda case: case.name)
def test_scores_are_equal(case: Any) -> None:
    """In float64, after a short training."""
    x, y, held_out, held_out_y = case.data(None)
    x, y, held_out, held_out_y = x[:400], y[:400], held_out[:200], held_out_y[:200]
    made = [estimator_of(case, library, max_iter=3).fit(x, y) for library in LIBRARIES]
    scores = [model.score(held_out, held_out_y) for model in made]
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-9)
    np.testing.assert_allclose(made[0].loss_curve_, made[1].loss_curve_, rtol=1e-9)


def test_a_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimator_cases, "LONGEST", 0.0)
    row = estimator_cases.measure(estimator_cases.BY_NAME["diabetes"], "fastnn", "float32", None)
    assert set(row) == {"score", "epochs", "seconds", "samples", "features"}
    assert (row["samples"], row["features"]) == (331, 10) and row["score"] > 0.3 and row["seconds"] > 0.0


def result() -> dict[str, Any]:
    keys = [(case.name, dtype, library) for case in CASES for dtype in DTYPES for library in LIBRARIES]
    rows = [
        {
            **dict(zip(("case", "dtype", "library"), key, strict=True)),
            "score": 0.9,
            "epochs": 7,
            "samples": 1000,
            "features": 64,
            "seconds": 4.0 if key[2] == "sklearn" else 0.5,
        }
        for key in keys
    ]
    machine = {"cpu": "a processor", "date": "2026-01-01", "load_average": [2.0, 0.0, 0.0]}
    made = {"format": 1, "machine": machine, "versions": {"fastnn": "1", "sklearn": "2"}}
    return {**made, "threads": 2, "rounds": 3, "rows": rows}


def test_the_table() -> None:
    text = estimators.section(result())
    assert text.startswith("Measured by `python -m benchmarks.estimators` on 2 threads of a processor")
    assert "fastnn 1, sklearn 2; 2026-01-01. The machine had other work: a load average of 2.0." in text
    assert "| digits 1,000 x 64, float64 | 7 | 0.9000 | 0.9000 | 4.00 s | 500 ms | 8 |" in text
    with pytest.raises(ValueError, match="format: expected 1, got 0; run the benchmark again"):
        estimators.section({**result(), "format": 0})


def test_readme_shows_the_figures() -> None:
    """If this fails: python -m benchmarks.estimators README"""
    section = pages.split(pages.README, "estimators")[1]
    if estimators.RESULT.exists():
        assert section == estimators.section(json.loads(estimators.RESULT.read_text(encoding="utf-8")))
    else:
        assert section == ""  # nothing is claimed that was not measured
