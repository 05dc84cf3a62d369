"""What notebooks show: tables in HTML of networks, histories, reports and scores."""

import html.parser
import importlib.util
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import Affine, History, Network, Relu
from fastnn.system.html import table


class Reader(html.parser.HTMLParser):
    """Reads the cells of a table, and notes whether each tag is closed where it should be."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.caption, self.open = "", list[str]()
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: Any) -> None:
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1] == "caption":
            self.caption += data
        else:
            self.rows[-1][-1] += data


def shown(thing: Any) -> Reader:
    return Reader(thing._repr_html_())


def test_a_table_escapes_its_texts() -> None:
    read = Reader(table(["<a>", "b & c"], [["<script>", "1"]], "x < y"))
    assert (read.rows, read.caption) == ([["<a>", "b & c"], ["<script>", "1"]], "x < y")


def test_a_network() -> None:
    net = Network([Affine(784, 50), Relu(), Affine(50, 10)], rng=0)
    cells = [line.split() for line in net.summary().splitlines() if not line.startswith("-")]
    assert [" ".join(row).split() for row in shown(net).rows] == cells


@pytest.mark.parametrize(("epochs", "rows"), [(0, []), (3, [1, 2, 3]), (10, list(range(1, 11)))])
def test_a_history(epochs: int, rows: list[int]) -> None:
    history = History(loss=[1 / (1 + i) for i in range(epochs)], seconds=[0.5] * epochs)
    read = shown(history)
    assert read.rows[0] == (["epoch", "loss", "seconds"] if epochs else ["epoch"])
    assert [row[0] for row in read.rows[1:]] == list(map(str, rows))
    assert [row[1:] for row in read.rows[1:]] == [[f"{1 / i:.4f}", "0.5"] for i in rows]
    assert read.caption == str(history)


def test_a_long_history_shows_both_ends() -> None:
    read = shown(History(loss=list(range(100)), seconds=[1.0] * 100))
    assert [row[0] for row in read.rows[1:]] == [*"12345", "...", *map(str, range(96, 101))]


def test_reports_and_scores() -> None:
    net, x, t = Network([Affine(4, 3)], rng=0), np.eye(4), np.array([0, 1, 2, 0])
    report = fastnn.check_gradients(net, x, t)
    read = shown(report)
    assert [row[0] for row in read.rows] == ["tensor", "W1", "b1"] and read.rows[1][-1] == "agree"
    assert read.caption == str(report).splitlines()[-1]
    scores = fastnn.classification_scores(t, net.predict(x))
    assert [row[-1] for row in shown(scores).rows] == ["samples", "2", "1", "1"]
    results = fastnn.cross_validate(lambda rng: Network([Affine(4, 3)], rng=rng), x, t, 2, epochs=1, rng=0)
    rows = shown(results).rows
    assert [row[0] for row in rows] == ["fold", "1", "2", "mean"]
    assert rows[1][1:] == [f"{results.loss[0]:.4f}", f"{results.accuracy[0]:.4f}"]


def test_a_search_for_a_learning_rate_is_short() -> None:
    net, x, t = Network([Affine(4, 3)], rng=0), np.eye(4), np.array([0, 1, 2, 0])
    search = fastnn.find_learning_rate(net, x, t, steps=20, rng=0)
    assert repr(search) == f"<LearningRateSearch of {search}>"


TRAINING = """
import importlib.util, sys
from fastnn.system import progress

progress.NOTEBOOK_SECONDS = progress.REDRAW_SECONDS = 0.0
if not {widgets}:
    importlib.util.find_spec = lambda name: None
bars, make = [], progress._NotebookBar._make
progress._NotebookBar._make = lambda self: bool(make(self) and (bars.append(self._bar) or True))

import numpy as np
import fastnn

net = fastnn.Network([fastnn.Affine(4, 3)], rng=0)
history = net.fit(np.eye(4, dtype="float32"), np.array([0, 1, 2, 0]), epochs=3, batch_size=2, rng=0)
print([(type(bar).__module__, bar.desc) for bar in bars])
"""


@pytest.mark.exhaustive
@pytest.mark.parametrize("widgets", [True, False])
def test_progress_in_a_kernel(widgets: bool, tmp_path: Any) -> None:
    """One bar for all epochs, which leaves neither a warning nor a widget that a saved notebook could not show."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    for library in ("ipykernel", "tqdm", "ipywidgets"):
        if importlib.util.find_spec(library) is None:
            pytest.skip(f"without {library}")
    cell = nbformat.v4.new_code_cell(TRAINING.format(widgets=widgets))
    notebook = nbformat.v4.new_notebook(cells=[cell])
    settings = {"timeout": 300, "kernel_name": "python3", "resources": {"metadata": {"path": str(tmp_path)}}}
    nbclient.NotebookClient(notebook, **settings).execute()
    shown = notebook.cells[0].outputs
    assert [one.text for one in shown if one.get("name") == "stderr" and "compiling" not in one.text] == []
    assert all(one.get("data", {}) == {} for one in shown)
    text = "".join(one.text for one in shown if one.get("name") == "stdout")
    kind = "tqdm.notebook" if widgets else "tqdm.std"
    assert f"[('{kind}', 'epoch 3/3: ')]" in text
    assert ("epoch 2/3" in text) != widgets
