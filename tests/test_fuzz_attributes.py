"""Whatever is assigned, returned or changed in place: no crash, no raw error, and nothing left behind."""

import os
import pathlib
import subprocess
import sys

import pytest


# Without the compiler an index out of bounds is an IndexError, which the program takes for a failure.
@pytest.mark.parametrize("seeds", [30, pytest.param(100, marks=pytest.mark.exhaustive)])
@pytest.mark.parametrize("without_compiler", ["0", "1"], ids=["compiled", "plain Python"])
def test_random_misuse_of_what_is_public(without_compiler: str, seeds: int) -> None:
    """In a process of its own: the seed printed last is the one that ended it."""
    command = [sys.executable, "-m", "tests.fuzz_attributes", "0", str(seeds)]
    # What is not initialized is no zero by chance.
    settings = {**os.environ, "NUMBA_DISABLE_JIT": without_compiler, "MALLOC_PERTURB_": "165"}
    done = subprocess.run(
        command,
        env=settings,
        cwd=pathlib.Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    last = done.stdout.splitlines()[-1:]
    assert done.returncode == 0, f"{last}\n{done.stderr[-4000:]}"
    assert last == [f"done: 0 of {seeds} seeds found something"]
