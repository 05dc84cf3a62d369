"""Helpers for the tests of the commands: how to call them, and how to read their output."""

import json
import os
import pathlib
import sys
from typing import Any

import pytest

import fastnn
from fastnn.command.cli import main

PYTHON_M = [sys.executable, "-m", "fastnn"]
PACKAGE_PARENT = str(pathlib.Path(fastnn.__file__).parents[1])
AT_LEAST_0 = "expected an integer of at least 0, got -1"

Output = pytest.CaptureFixture[str]


def variables() -> dict[str, str]:
    """The environment of a new process; its output goes through a buffer, as usual."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return {**kept, "PYTHONPATH": PACKAGE_PARENT}


def without_compiling(stderr: str) -> str:
    """The error output without the line that says that kernels are being compiled, as in a first run."""
    return "".join(line for line in stderr.splitlines(True) if not line.startswith("fastnn: compiling kernels"))


def printed_json(capsys: Output) -> dict[str, Any]:
    out: dict[str, Any] = json.loads(capsys.readouterr().out)
    return out


def assert_error(arguments: list[str], sentence: str, capsys: Output) -> None:
    """A user's mistake: exit code 1 and one line."""
    assert main(arguments) == 1
    out, err = capsys.readouterr()
    assert without_compiling(err) == f"fastnn: error: {sentence}\n"
    assert "Traceback" not in out
