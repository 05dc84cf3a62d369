"""The README: its scripts run as printed, its files and commands exist, and it is short."""

import json
import os
import pathlib
import re
import subprocess
import sys

from benchmarks import numerical_training, pages

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
INSTALL = "python3 -m venv .venv && .venv/bin/python -m pip install -e"


def test_it_is_one_page_for_every_place() -> None:
    """Short, and without links into the checkout, which lead nowhere on PyPI."""
    assert README.count("\n") <= 150
    for target in re.findall(r"\]\(([^)]+)\)|(?:src|href)=", README):
        assert target.startswith("https://"), target


def test_the_files_that_it_names_exist() -> None:
    named = re.findall(r"`((?:docs|fastnn|benchmarks)/[^`]*|LICENSE|[.]ci/[^`]*)`", README)
    assert len(named) > 8
    for name in named:
        assert (ROOT / name).exists(), name


def test_scripts_run_as_printed(tmp_path: pathlib.Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) == 2  # the second goes on where the first ends
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "0"}
    command = [sys.executable, "-W", "error", "-c", "\n".join(blocks)]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    accuracy = re.search(r"test accuracy: ([\d.]+)", run.stdout)
    assert accuracy is not None
    assert float(accuracy.group(1)) >= 0.95
    assert (tmp_path / "digits.npz").exists()
    assert "\nagree (h = 0.0001;" in run.stdout


def test_numerical_training_is_as_measured() -> None:
    file = numerical_training.RESULTS / f"{numerical_training.NAME}.json"
    assert numerical_training.sentence(json.loads(file.read_text(encoding="utf-8"))) in README
    assert (pages.PICTURES / f"{numerical_training.NAME}.svg").exists()


def test_script_fits_one_screen() -> None:
    block = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert block is not None
    assert block.group(1).count("\n") <= 40


def test_commands() -> None:
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    assert blocks[:2] == [
        f"{INSTALL} . && .venv/bin/fastnn demo\n",
        f'{INSTALL} ".[test]" && .venv/bin/python -m pytest -n 2\n',
    ]
    assert blocks[2:] == [
        '.venv/bin/python -m pip install -e ".[plot]" && .venv/bin/python -m benchmarks.numerical_training\n'
    ]
