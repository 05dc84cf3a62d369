"""The line that counts kernels while they are compiled: rewritten on a terminal, written once elsewhere."""

import contextlib
import io
import os
import re
import subprocess
import sys

import pytest

from fastnn.kernels.compile import JIT_DISABLED
from fastnn.system.waiting import TITLE, Waiting


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lines(text: str) -> list[str]:
    """The states of the line, without the spaces that overwrite the state before."""
    return [one.rstrip(" ") for one in text.split("\r")[1:]]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which the test sets."""
    now = [100.0]
    monkeypatch.setattr("fastnn.system.waiting.time.monotonic", lambda: now[0])
    return now


def compile_one(counted: Waiting, is_kept: bool = True) -> None:
    """What compiling a kernel tells."""
    with counted.kernel():
        counted.tell("kept in a folder", is_kept)


def test_a_terminal_sees_one_line_that_counts(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    stream, counted = Terminal(), Waiting()
    monkeypatch.setattr(sys, "stderr", stream)
    with counted.group(3):
        compile_one(counted)
        clock[0] += 1.2
        with counted.kernel():
            pass  # loaded from the disk
        clock[0] += 0.4
        compile_one(counted)
    clock[0] += 10.0  # something else
    compile_one(counted)
    first = [f"{TITLE}: 0 of 3, 0 s", f"{TITLE}: 2 of 3, 2 s", "", ""]
    assert lines(stream.getvalue()) == [*first, f"{TITLE}: 3 of 4, 2 s", "", ""]


def test_a_longer_line_is_overwritten_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, counted = Terminal(), Waiting()
    monkeypatch.setattr(sys, "stderr", stream)
    compile_one(counted)
    _, drawn, cleared, end = stream.getvalue().split("\r")
    assert cleared == " " * len(drawn) and end == ""


def test_more_kernels_than_were_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, counted = Terminal(), Waiting()
    monkeypatch.setattr(sys, "stderr", stream)
    with counted.group(1):
        compile_one(counted)
        compile_one(counted)
    assert lines(stream.getvalue())[:2] == [f"{TITLE}: 0 of 1, 0 s", f"{TITLE}: 1 of 2, 0 s"]


def test_a_log_has_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, counted = io.StringIO(), Waiting()
    monkeypatch.setattr(sys, "stderr", stream)
    with counted.group(2):
        compile_one(counted)
        compile_one(counted)
    compile_one(counted)
    assert stream.getvalue() == f"{TITLE} (kept in a folder)\n"


def test_a_terminal_is_told_why_kernels_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, counted = Terminal(), Waiting()
    monkeypatch.setattr(sys, "stderr", stream)
    compile_one(counted, is_kept=False)
    compile_one(counted, is_kept=False)
    text = stream.getvalue()
    assert text.startswith(f"{TITLE} (kept in a folder)\n\r{TITLE}: 0 of 1, 0 s\r")
    assert text.count("\n") == 1


def test_kernels_that_are_loaded_are_no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, counted = Terminal(), Waiting()
    monkeypatch.setattr(sys, "stderr", stream)
    with counted.group(1), counted.kernel():
        pass
    assert stream.getvalue() == ""


def test_an_interrupted_wait_leaves_a_clean_line(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, counted = Terminal(), Waiting()
    monkeypatch.setattr(sys, "stderr", stream)
    with pytest.raises(KeyboardInterrupt), counted.group(2), counted.kernel():
        counted.tell("kept in a folder")
        raise KeyboardInterrupt
    assert lines(stream.getvalue())[1:] == ["", ""]
    compile_one(counted)
    assert lines(stream.getvalue())[3] == f"{TITLE}: 0 of 1, 0 s"


STEP = """
import numpy as np, fastnn
print(fastnn.activation_forward("relu", np.ones((1, 2), np.float32)).shape)
"""


def read_all(terminal: int) -> str:
    """All that was written to a terminal whose other end is closed, which Linux says by an error."""
    seen = b""
    with contextlib.suppress(OSError):
        while read := os.read(terminal, 1 << 16):
            seen += read
    os.close(terminal)
    return seen.decode()


@pytest.mark.skipif(JIT_DISABLED or sys.platform == "win32", reason="nothing is compiled, or there is no terminal")
def test_a_first_call_on_a_real_terminal() -> None:
    import pty

    mine, theirs = pty.openpty()
    variables = {**os.environ, "FASTNN_CACHE": "0", "FASTNN_PREBUILT": "0"}
    command = [sys.executable, "-c", STEP]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=theirs, env=variables, text=True, check=True)
    os.close(theirs)
    seen = read_all(mine)
    assert done.stdout == "(1, 2)\n"
    counts = [tuple(map(int, found)) for found in re.findall(r": (\d+) of (\d+), \d+ s", seen)]
    assert counts[0][0] == 0 and len(counts) >= 3
    assert [made for made, _ in counts] == list(range(len(counts))), "one after the other"
    assert all(made < needed for made, needed in counts)
    assert seen.splitlines()[0] == f"{TITLE} (for this process only: FASTNN_CACHE=0)"
    assert seen.endswith("\r")


def test_a_narrow_terminal_keeps_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, counted = Terminal(), Waiting()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("COLUMNS", "30")
    compile_one(counted)
    assert lines(stream.getvalue()) == [TITLE[:29], "", ""]


def test_a_kernel_outside_of_groups_is_announced_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numba compiles entries when they are called, and nobody knows when they are done."""
    stream, counted = Terminal(), Waiting()
    monkeypatch.setattr(sys, "stderr", stream)
    counted.tell("kept in a folder")
    assert stream.getvalue() == f"{TITLE} (kept in a folder)\n"
