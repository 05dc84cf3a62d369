"""The documentation's pages: every block of Python in them runs, page by page."""

import importlib.util
import pathlib
import re
import subprocess
import sys

import pytest

DOCS = pathlib.Path(__file__).parents[1] / "docs"
PAGES = sorted(page for page in DOCS.rglob("*.md") if "```python" in page.read_text(encoding="utf-8"))
# Pages that need more than the tests do, which skip them without it.
NEEDS = {
    "exchange": ["torch", "onnx", "sklearn"],
    "many-networks": ["joblib"],
    "cluster": ["distributed"],
    "scikit-learn": ["sklearn"],
    "gallery": ["matplotlib"],
}


@pytest.mark.exhaustive  # `.ci/run` runs it each time
@pytest.mark.parametrize("page", [page for page in PAGES if page.stem != "contributing"], ids=lambda page: page.stem)
def test_blocks_run_as_printed(page: pathlib.Path, tmp_path: pathlib.Path) -> None:
    for library in NEEDS.get(page.stem, []):
        if importlib.util.find_spec(library) is None:
            pytest.skip(f"without {library}")
    code = "\n".join(re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL))
    command = [sys.executable, "-W", "error", "-c", code]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_links_lead_somewhere() -> None:
    for page in DOCS.rglob("*.md"):
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_operations_of_ones_own_are_short() -> None:
    """They are an activation, two losses, an optimizer and a layer, and their use."""
    text = (DOCS / "how-to" / "own-operations.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    for kind in ("activation", "loss", "optimizer", "layer"):
        assert f"fastnn.{kind}(" in code
    assert len([line for line in code.splitlines() if line]) < 50
