"""The documentation's pages and notebooks: every block of Python in them runs, page by page; of one, the commands."""

import importlib.util
import inspect
import json
import os
import pathlib
import pkgutil
import re
import subprocess
import sys

import pytest

import fastnn

DOCS = pathlib.Path(__file__).parents[1] / "docs"
NOTEBOOKS = sorted(DOCS.rglob("*.ipynb"))
PAGES = sorted(page for page in DOCS.rglob("*.md") if "```python" in page.read_text(encoding="utf-8"))
COMMANDS = DOCS / "how-to" / "command-line.md"
# Pages that need more than the tests do, which skip them without it.
NEEDS = {
    "exchange": ["torch", "onnx", "sklearn"],
    "many-networks": ["joblib", "sklearn"],
    "cluster": ["distributed"],
    "scikit-learn": ["sklearn"],
    "gallery": ["matplotlib"],
    "deployment": ["onnx", "onnxruntime"],
    "pytorch": ["torch"],
}


@pytest.mark.exhaustive  # `.ci/run` runs it each time
@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.stem not in ("contributing", COMMANDS.stem)], ids=lambda page: page.stem
)
def test_blocks_run_as_printed(page: pathlib.Path, tmp_path: pathlib.Path) -> None:
    for library in NEEDS.get(page.stem, []):
        if importlib.util.find_spec(library) is None:
            pytest.skip(f"without {library}")
    code = "\n".join(re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL))
    command = [sys.executable, "-W", "error", "-c", code]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


@pytest.mark.exhaustive
@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_notebooks_run(file: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """In a kernel of Jupyter's, without a warning or a picture of progress that stays."""
    for library in ("nbclient", "nbformat", "ipykernel", "matplotlib", "sklearn", "pandas"):
        pytest.importorskip(library)
    command = [sys.executable, "-c", RUN_NOTEBOOK, str(file)]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    shown = json.loads(run.stdout)
    noise = [one["text"] for one in shown if one.get("name") == "stderr" and "compiling kernels" not in one["text"]]
    assert noise == []
    assert sum("image/png" in one.get("data", {}) for one in shown) >= 2
    assert sum("text/html" in one.get("data", {}) for one in shown) >= 1
    assert not [one for one in shown if "application/vnd.jupyter.widget-view+json" in one.get("data", {})]


RUN_NOTEBOOK = """
import json, sys, nbclient, nbformat
notebook = nbformat.read(sys.argv[1], as_version=4)
nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
print(json.dumps([one for cell in notebook.cells for one in cell.get("outputs", [])]))
"""


def test_notebooks_are_kept_without_outputs() -> None:
    """They would be large, and old; the pages of the documentation show fresh ones."""
    assert len(NOTEBOOKS) >= 5
    for file in NOTEBOOKS:
        cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
        code = [cell for cell in cells if cell["cell_type"] == "code"]
        assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code), file.name


@pytest.mark.exhaustive
@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell")
def test_commands_run_as_printed(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("onnx")
    command = tmp_path / "fastnn"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m fastnn "$@"\n')
    command.chmod(0o755)
    paths = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(DOCS.parent)}
    blocks = re.findall(r"```(python|sh|text)\n(.*?)```", COMMANDS.read_text(encoding="utf-8"), re.DOTALL)
    assert {kind for kind, _ in blocks} == {"python", "sh", "text"}
    printed = ""
    for kind, code in blocks:
        if kind == "text":
            assert code in printed
            continue
        runner = [sys.executable, "-W", "error", "-c", code] if kind == "python" else ["sh", "-e", "-c", code]
        options = {"capture_output": True, "text": True, "check": False, "env": {**os.environ, **paths}}
        run = subprocess.run(runner, cwd=tmp_path, **options)  # type: ignore[call-overload]
        assert run.returncode == 0, run.stderr
        printed = run.stdout


def test_links_lead_somewhere() -> None:
    for page in DOCS.rglob("*.md"):
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def _described() -> set[int]:
    """The objects whose docstrings the pages of the reference show."""
    found: list[object] = []
    for page in (DOCS / "reference").glob("*.md"):
        for name, options in re.findall(r"^::: (\S+)\n(?: +options: (.*)\n)?", page.read_text("utf-8") + "\n", re.M):
            thing = pkgutil.resolve_name(name)
            found.append(thing)
            if inspect.ismodule(thing) and "members: []" not in options:
                own = [key for key, value in vars(thing).items() if getattr(value, "__module__", "") == name]
                found += [getattr(thing, key) for key in getattr(thing, "__all__", own) if not key.startswith("_")]
    return {id(thing) for thing in found}


def test_the_reference_describes_every_name() -> None:
    """But types for annotations, and the version."""
    described = _described()
    missing = {name for name in dir(fastnn) if id(getattr(fastnn, name)) not in described}
    assert missing <= {"DifferenceMethod", "LossName", "Reduction", "__version__"}


def test_operations_of_ones_own_are_short() -> None:
    """They are an activation, two losses, an optimizer and a layer, and their use."""
    text = (DOCS / "how-to" / "own-operations.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    for kind in ("activation", "loss", "optimizer", "layer"):
        assert f"fastnn.{kind}(" in code
    assert len([line for line in code.splitlines() if line]) < 50
