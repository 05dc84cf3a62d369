"""Which tests run: exhaustive ones when they are asked for, or when a change concerns their file."""

import json
import pathlib
import subprocess
import sys

import pytest

from tests.concerned import concerned
from tests.crossings import crossed

ROOT = pathlib.Path(__file__).parents[1]


def test_crossings_choose_each_pair() -> None:
    mark = crossed(2, first="abc", second=[1, 2, 3, 4], third=[False, True])
    names, rows = mark.args
    chosen = [row.values for row in rows if not row.marks]
    assert (names, len(rows), len(chosen)) == (("first", "second", "third"), 24, 12)
    assert {(a, b) for a, b, _ in chosen} == {(a, b) for a in "abc" for b in (1, 2, 3, 4)}
    assert {(b, c) for _, b, c in chosen} == {(b, c) for b in (1, 2, 3, 4) for c in (False, True)}
    with pytest.raises(AssertionError, match="each value"):
        crossed(7, first="abc", second=[1, 2])


def test_files_that_a_change_concerns() -> None:
    assert concerned(["README.md", "docs/architecture.md"]) == []
    assert concerned(["tests/test_plots.py"]) == ["tests/test_plots.py"]
    assert "tests/test_arrays.py" in concerned(["fastnn/gate/rules.py"])  # imports from the folder
    assert "tests/test_smoke.py" in concerned(["fastnn/network/network.py"])  # names fastnn.Network
    assert {"tests/test_functional.py", "tests/test_matmul.py"} <= set(concerned(["tests/shapes.py"]))
    assert "tests/test_arrays.py" not in concerned(["fastnn/network/network.py", "tests/shapes.py"])


COUNTS = """
import contextlib, io, json, pytest, re
counts = []
for arguments in {}:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        pytest.main(["-q", "--collect-only", "-p", "no:cacheprovider", *arguments])
    counts.append(sum("::" in line for line in out.getvalue().splitlines()))
print(json.dumps(counts))
"""


def test_what_is_asked_for_runs() -> None:
    file, test = "tests/test_vector_math.py", "tests/test_vector_math.py::test_error_bound"
    exhaustive = f"{test}[exp-float32-{5 * 40_000}]"
    asked = [[file, "-k", "error_bound"], [file, "-m", "exhaustive"], [test], [exhaustive], [file, "-m", "smoke"]]
    command = [sys.executable, "-c", COUNTS.format(asked)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [20, 20, 40, 1, 0]
