"""The pictures of the worked examples, `fastnn demo NAME --folder DIR`, and the errors where none can be drawn."""

import importlib.util
import pathlib
import sys

import numpy as np
import pytest

from fastnn import demos
from fastnn.command.cli import main
from fastnn.demos import descent, learning_rates, line_fit
from tests.commands import Output, assert_error
from tests.test_demos import SLOW, needs_compiler

needs_matplotlib = pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is None, reason="matplotlib is not installed"
)
FILES = {
    **{name: [f"{name}.png"] for name in ("bagging", "gates", "gradients", "k-fold", "saturated-sigmoid")},
    "three-descents": ["three-descents.png"],
    "guess-number": ["guess-number.png"],
    "stationary-points": ["stationary-points.png"],
    "vanishing-gradients": ["vanishing-gradients-outputs.png", "vanishing-gradients.png"],
    "width-and-depth": ["width-and-depth.png"],
    "multi-task": ["multi-task.png"],
    "sparse": ["sparse-features.png", "sparse-activations.png"],
    "polynomials": ["polynomials.png"],
    "dying-relu": ["dying-relu.png"],
    "descent": ["descent.png", "descent-3d.png"],
    "learning-rates": ["learning-rates.png"],
    "line-fit": ["line-fit-contour.png", "line-fit-3d.png", "line-fit-slices.png"],
    "over-fitting": ["over-fitting-none.png", "over-fitting-L2.png"],
}


@needs_matplotlib
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[needs_compiler] if name in SLOW else []) for name in demos.DEMOS]
)
def test_pictures_are_saved(name: str, tmp_path: pathlib.Path, capsys: Output) -> None:
    folder = tmp_path / "new" / "pictures"
    assert main(["demo", name, "--folder", str(folder)]) == 0
    out = capsys.readouterr().out
    assert out.endswith("\n\n" + "".join(f"drawn in {folder / file}\n" for file in FILES[name]))
    assert sorted(file.name for file in folder.iterdir()) == sorted(FILES[name])
    assert all(file.read_bytes().startswith(b"\x89PNG") and file.stat().st_size > 10_000 for file in folder.iterdir())
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []


@needs_matplotlib
def test_pictures_show_the_paths() -> None:
    x, t = line_fit.points()
    path = line_fit.descend(x, t)
    for ax in list(line_fit.pictures().values())[:2]:
        (line,) = (line for line in ax.lines if line.get_label() == "descent")
        assert np.array_equal(np.array(line.get_data()), path.T) or np.array_equal(line.get_data_3d()[:2], path.T)
    first, second = descent.pictures()["descent"].figure.axes
    for ax, expected in zip((first, second), descent.paths()[1:], strict=True):
        assert any(np.array_equal(line.get_xydata(), expected) for line in ax.lines)
    titles = [ax.get_title() for ax in learning_rates.pictures()["learning-rates"].figure.axes]
    assert [title.splitlines()[0] for title in titles] == [f"learning rate {lr:g}" for lr in learning_rates.RATES]


@pytest.mark.parametrize("arguments", [["--list"], [], ["descent", "--list"]])
def test_folder_is_refused_where_nothing_is_drawn(arguments: list[str], tmp_path: pathlib.Path, capsys: Output) -> None:
    assert main(["demo", *arguments, "--folder", str(tmp_path / "new")]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[1] == (
        "fastnn demo: error: argument --folder: only with the name of a worked example, and not with --list"
    )
    assert not (tmp_path / "new").exists()


@needs_matplotlib
def test_folder_that_is_a_file(tmp_path: pathlib.Path, capsys: Output) -> None:
    file = tmp_path / "taken"
    file.write_text("kept")
    sentence = f"--folder: expected a folder, got the file {file}; choose another name"
    assert_error(["demo", "descent", "--folder", str(file)], sentence, capsys)
    assert file.read_text() == "kept"


def test_folder_without_matplotlib(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    remedy = 'run pip install "fastnn-kernels[plot]", or pip install "matplotlib>=3.9"'
    sentence = f"matplotlib: expected it for pictures, got none; {remedy}"
    assert_error(["demo", "descent", "--folder", str(tmp_path / "new")], sentence, capsys)
    assert not (tmp_path / "new").exists()
