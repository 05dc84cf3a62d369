"""The worked examples of `fastnn demo NAME`: they run, and everything that they print is true."""

import contextlib
import functools
import importlib.resources
import io
import itertools
import re
import time

import numpy as np
import pytest

import fastnn
from fastnn import demos
from fastnn.command.cli import main
from fastnn.demos import (
    bagging,
    descent,
    gates,
    gradients,
    k_fold,
    learning_rates,
    line_fit,
    over_fitting,
    saturated_sigmoid,
    tables,
    three_descents,
)
from fastnn.kernels.compile import JIT_DISABLED
from tests.commands import Output, assert_error, without_compiling

LONGEST_SECONDS = 30
needs_compiler = pytest.mark.skipif(JIT_DISABLED, reason="takes minutes with NUMBA_DISABLE_JIT=1")
SLOW = {
    "bagging",
    "dying-relu",
    "gates",
    "gradients",
    "k-fold",
    "multi-task",
    "over-fitting",
    "sparse",
    "vanishing-gradients",
    "width-and-depth",
}


@functools.cache
def ran(name: str) -> tuple[str, float]:
    """The output of an example, and its seconds; it must end well, with no other output."""
    start, out, err = time.perf_counter(), io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        assert main(["demo", name]) == 0
    assert without_compiling(err.getvalue()) == ""
    return out.getvalue(), time.perf_counter() - start


def printed(name: str) -> str:
    """The output of an example. It is the same each time, so it runs once for all tests."""
    return ran(name)[0]


def rows(out: str, first: str) -> list[list[str]]:
    """The cells of the rows below the head that begins with `first`, up to a line of another width."""
    lines = out.splitlines()
    start = next(i for i, line in enumerate(lines) if line.strip().startswith(first))
    found = []
    for line in lines[start + 1 :]:
        cells = re.split(r"  +", line.strip())
        if len(cells) < 2:
            break
        found.append(cells)
    return found


# --- the command ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[needs_compiler] if name in SLOW else []) for name in demos.DEMOS]
)
def test_example_runs(name: str) -> None:
    out, seconds = ran(name)
    if seconds >= LONGEST_SECONDS:  # it may have compiled what it needs
        seconds = ran.__wrapped__(name)[1]
    assert seconds < LONGEST_SECONDS
    assert out.startswith(f"{name}: {demos.DEMOS[name]}\n\n")
    assert out.count("\n") > 10
    assert [line for line in out.splitlines() if len(line) > 80 or line != line.rstrip()] == []
    assert not re.search(r"\bnan\b", out.lower())
    assert out.endswith(".\n") and not out.endswith("\n\n")  # a whole sentence


def test_list_names_every_example(capsys: Output) -> None:
    assert main(["demo", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0]: line.split(maxsplit=1)[1] for line in lines} == demos.DEMOS
    assert max(map(len, lines)) <= 80


def test_every_module_is_an_example() -> None:
    folder = importlib.resources.files(demos)
    modules = {file.name.removesuffix(".py") for file in folder.iterdir() if file.name.endswith(".py")}
    assert modules - {"__init__", "command", "tables"} == {name.replace("-", "_") for name in demos.DEMOS}


def test_wrong_name_lists_the_names(capsys: Output) -> None:
    assert main(["demo", "descents"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    usage, message, hint = err.splitlines()
    assert usage == "usage: fastnn demo [NAME] [options]"
    assert message.startswith("fastnn demo: error: argument NAME: invalid choice: 'descents' (choose from ")
    listed, _, meant = message.partition("choose from")[2].partition(")")
    assert re.findall(r"[\w-]+", listed) == list(demos.DEMOS) and meant == "; did you mean 'descent'?"
    assert hint == "Try 'fastnn demo --help'."


@pytest.mark.parametrize("arguments", [["descent", "--json"], ["--list", "--seed", "1"], ["--list", "--json"]])
def test_options_of_the_main_demo_are_refused(arguments: list[str], capsys: Output) -> None:
    assert main(["demo", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    name, option = sorted(arguments[:2], key=lambda word: word in ("--json", "--seed"))
    assert err.splitlines()[1] == f"fastnn demo: error: argument {option}: not with {name}"


def test_a_seed_draws_other_numbers(capsys: Output) -> None:
    printed_by = []
    for seed in ("0", "1", "1"):
        assert main(["demo", "line-fit", "--seed", seed]) == 0
        printed_by.append(capsys.readouterr().out)
    assert printed_by[0] == printed("line-fit") != printed_by[1] == printed_by[2]
    assert_error(["demo", "descent", "--seed", "-1"], "--seed: expected an integer of at least 0, got -1", capsys)


def test_table() -> None:
    found = tables.table(("name", "x", ""), [("a", "-1.5", "ok"), ("long name", "2", "")], text_columns=1)
    assert found == "name          x\na          -1.5  ok\nlong name     2"


# --- the descents --------------------------------------------------------------------------------------------------


def test_descent_prints_the_worked_numbers() -> None:
    out = printed("descent")
    first = rows(out, "updates       ")
    assert [row[1] for row in first] == ["1.2", "0.48", "0.192", "0.0768", "0.03072"]
    assert [row[3:] for row in first] == [[], ["0.48"], ["0.192"], ["0.0768"], ["0.03072"]]
    assert "\nJ < 0.01 after 3 updates;" in out
    second = rows(out, "updates         x         y")
    assert [row[0] for row in second] == [str(n) for n in range(17)]
    for n, row in ((1, (2.4, 0.909070, 6.382415)), (15, (0.105553, 0.063481, 0.015166))):
        assert second[n][1:4] == [f"{value:.6f}" for value in row]
    assert second[16] == ["16", "0.084442", "0.050819", "0.009711", "(0.084442, 0.050819, 0.009711)"]
    assert second[1][4] == "(2.4, 0.909070, 6.382415)"
    assert second[15][4] == "(0.105553, 0.063481, 0.015166)"
    third = rows(out, "updates         x0")
    assert third[-1][:3] == ["100", "-6.11e-10", "8.15e-10"]
    assert third[-1][4] == "(-6.11e-10, 8.15e-10)"


def test_descents_are_those_of_the_formulas() -> None:
    first, second, third = descent.paths()
    assert first[:, 0] == pytest.approx(1.2 * 0.4 ** np.arange(5), rel=1e-9)
    assert third == pytest.approx(np.outer(0.8 ** np.arange(101), [-3.0, 4.0]), rel=1e-6, abs=1e-12)
    x, y = second[:-1].T
    assert second[1:, 0] == pytest.approx(0.8 * x, rel=1e-9)
    assert second[1:, 1] == pytest.approx(y - 0.1 * np.sin(2 * y), rel=1e-7)
    assert [descent.valley(v) < 0.01 for v in second] == [False] * 16 + [True]


def test_learning_rates_do_what_is_said() -> None:
    paths = learning_rates.paths()
    assert list(paths) == [1.0, 0.8, 0.4, 0.1]
    for lr, path in paths.items():
        assert path == pytest.approx(1.2 * (1 - 2 * lr) ** np.arange(len(path)), rel=1e-6, abs=1e-9)
    assert [learning_rates.updates_needed(path) for path in paths.values()] == [None, 5, 2, 12]
    summary = rows(printed("learning-rates"), "lr ")
    assert [row[-1] for row in summary] == ["not in 50", "5", "2", "12"]


# --- the line ------------------------------------------------------------------------------------------------------


def test_line_fit_ends_at_the_least_squares() -> None:
    x, t = line_fit.points()
    w, b = line_fit.closed_form(x, t)
    assert np.polyfit(x[:, 0], t[:, 0], 1) == pytest.approx([w, b], rel=1e-10)
    assert [w, b] == pytest.approx([line_fit.SLOPE, line_fit.INTERCEPT], abs=0.15)
    path = line_fit.descend(x, t)
    assert path[-1] == pytest.approx([w, b], abs=0.01)
    losses = [line_fit.loss(x, t, *p) for p in path]
    assert all(after < before for before, after in itertools.pairwise(losses))
    assert losses[-1] >= line_fit.loss(x, t, w, b)
    assert line_fit.loss(x, t, 1.0, 2.0) == pytest.approx(np.mean((x + 2.0 - t) ** 2) / 2, rel=1e-12)


def test_line_fit_marks_the_path_on_the_surface() -> None:
    surface = rows(printed("line-fit"), "w \\ b")[: len(line_fit.SLOPES)]
    cells = {(row[0], b): cell for row in surface for b, cell in zip(line_fit.INTERCEPTS, row[1:], strict=True)}
    assert cells["-1.0", 0.0] == "6.79*"  # where it begins
    losses = {place: float(cell.rstrip("*")) for place, cell in cells.items()}
    lowest = min(losses, key=losses.__getitem__)
    assert lowest == ("2.0", 3.0)
    assert cells[lowest].endswith("*")
    assert not cells["4.0", 4.0].endswith("*")


def test_three_descents_end_as_said() -> None:
    x, t = line_fit.points()
    ends = {name: three_descents.descend(x, t, size) for name, size in three_descents.BATCH_SIZES.items()}
    assert [end.updates for end in ends.values()] == [20, 4000, 200]
    best = line_fit.loss(x, t, *line_fit.closed_form(x, t))
    for end in ends.values():
        assert end.loss == pytest.approx(line_fit.loss(x, t, end.w, end.b), rel=1e-12)
        assert end.loss > best
        assert end.path[0].tolist() == [0.0, 0.0] and end.path[-1].tolist() == [end.w, end.b]
    assert ends["mini-batch"].loss < ends["stochastic"].loss < ends["batch"].loss
    assert ends["mini-batch"].loss == pytest.approx(best, rel=0.01)


# --- the sigmoid ---------------------------------------------------------------------------------------------------


def test_saturated_sigmoid_learns_as_by_the_formulas() -> None:
    outputs: dict[str, list[float]] = {"squared": [], "entropy": []}
    for name, found in outputs.items():
        w = b = 2.0
        for _ in range(301):
            y = 1.0 / (1.0 + np.exp(-(w + b)))
            found.append(y)
            slope = y * y * (1.0 - y) if name == "squared" else y
            w, b = w - 0.15 * slope, b - 0.15 * slope
    squared, entropy = saturated_sigmoid.by_squared_error(), saturated_sigmoid.by_cross_entropy()
    assert squared == pytest.approx(outputs["squared"], rel=1e-10)
    assert entropy == pytest.approx(outputs["entropy"], rel=1e-10)
    assert (round(squared[0], 2), round(squared[300], 2)) == (0.98, 0.20)  # as in Nielsen's chapter 3
    assert saturated_sigmoid.epochs_needed(squared) == "more than 300"
    assert int(saturated_sigmoid.epochs_needed(entropy)) < 50


def test_saturated_sigmoid_has_the_loss_of_its_logits() -> None:
    """The slope of the loss of a logit z and target 0, log(1 + e^z), is the sigmoid of z: of y, exactly."""
    entropy = saturated_sigmoid.by_cross_entropy()
    logits = np.log(entropy / (1.0 - entropy))
    assert np.diff(logits) == pytest.approx(-2.0 * 0.15 * entropy[:-1], rel=1e-9)  # w and b each


# --- gates ---------------------------------------------------------------------------------------------------------


def test_gates_have_their_truth_tables() -> None:
    cells = [[int(cell) for cell in row] for row in rows(gates.truth_table(), "x1")]
    assert [row[:2] for row in cells] == [[0, 0], [0, 1], [1, 0], [1, 1]]
    for a, b, *outputs in cells:
        assert outputs == [1 - a, a & b, a | b, 1 - (a & b), a ^ b]


def test_perceptron_learns_the_gates_by_the_rule_and_not_xor() -> None:
    targets = {name: gate.predict(gates.X) for name, gate in gates.GATES.items()}
    for t in targets.values():
        w, b = np.zeros(2), 0.0
        mistakes: list[int] = []
        while mistakes[-1:] != [0]:
            mistakes.append(0)
            for sample, target in zip(gates.X, t, strict=True):
                error = target - (1 if sample @ w + b > 0 else 0)
                w, b, mistakes[-1] = w + error * sample, b + error, mistakes[-1] + abs(error)
        perceptron, history = gates.learned(t)
        assert history.mistakes == mistakes
        assert (perceptron.weights.tolist(), perceptron.bias) == (w.tolist(), b)
    for shuffle, right in ((False, 2), (True, 3)):
        _, history = gates.learned(np.array([0, 1, 1, 0]), shuffle)
        assert not history.converged
        assert history.samples - history.best_mistakes == right


@needs_compiler
def test_network_learns_xor_from_another_start() -> None:
    found = gates.search()
    assert found.losses[0] == pytest.approx(np.log(2) / 2, abs=0.01)
    assert len(found.losses) == 2
    assert found.loss < gates.ENOUGH
    out = printed("gates")
    last = rows(out, "x1  x2  hidden")
    for row in last:
        x1, x2, _, _, logit, y = map(float, row)
        assert y == pytest.approx(1.0 / (1.0 + np.exp(-logit)), abs=1e-3)
        assert y == pytest.approx(float(x1 != x2), abs=0.02)
    W, b = found.network.params["W1"], found.network.params["b1"]
    hidden = np.tanh(gates.X @ W + b)
    assert [[float(cell) for cell in row[2:4]] for row in last] == pytest.approx(hidden, abs=1e-3)
    assert "shuffled\n  100 epochs: not converged, 2 of 4 samples right with the best weights\n" in out


# --- on the digits -------------------------------------------------------------------------------------------------


@needs_compiler
def test_gradients_agree_and_are_as_fast_as_said() -> None:
    out = printed("gradients")
    times = [row[2] for row in rows(out, "gradient ")[:3]]
    assert [float(ratio.replace(",", "")) > 5 for ratio in times] == [False, True, True]
    assert "extrapolated from 100 entries" in out
    differences = re.findall(r"^  \S.* (\d\.\de-\d\d)$", out, re.MULTILINE)
    assert len(differences) == 2
    assert all(float(value) < 1e-8 for value in differences)
    assert [row[0] for row in rows(out, "tensor")[:4]] == ["W1", "b1", "W2", "b2"]
    assert out.count("  agree\n") == 4


def test_gradients_difference_is_nan_where_one_is() -> None:
    a = {"W1": np.array([1.0, 2.0]), "b1": np.array([3.0])}
    assert gradients.largest_difference(a, {"W1": np.array([1.0, 2.5]), "b1": np.array([3.25])}) == 0.5
    assert np.isnan(gradients.largest_difference(a, {"W1": np.array([1.0, np.nan]), "b1": np.array([3.0])}))


@needs_compiler
def test_k_fold_prints_mean_and_deviation_of_its_folds() -> None:
    found = {row[0]: row[1:] for row in rows(printed("k-fold"), "part")}
    folds = [found[f"fold {k}"] for k in range(1, k_fold.FOLDS + 1)]
    assert sum(int(tested) for _, tested, _ in folds) == 1797
    accuracies = [float(accuracy) for *_, accuracy in folds]
    assert min(accuracies) > 0.93
    assert float(found["mean of the folds"][0]) == pytest.approx(np.mean(accuracies), abs=1e-4)
    assert float(found["standard deviation"][0]) == pytest.approx(np.std(accuracies, ddof=1), abs=1e-4)
    assert float(found["hold-out"][2]) > 0.93


@needs_compiler
def test_over_fitting_is_less_with_each_cure() -> None:
    assert [name.partition(",")[0] for name in over_fitting.CURES] == ["none", "early stopping", "L1", "L2", "dropout"]
    names = ["epochs", "training", "test", "gap", "test loss", "wrong learned"]
    table = rows(printed("over-fitting"), "cure")
    assert [name for name, *_ in table] == list(over_fitting.CURES)
    plain, *cured = [dict(zip(names, map(float, cells), strict=True)) for _, *cells in table]
    assert plain["epochs"] == over_fitting.EPOCHS
    assert plain["training"] == 1.0
    assert plain["wrong learned"] == over_fitting.MISLABELLED
    assert plain["gap"] > 0.15
    for outcome in cured:
        assert outcome["gap"] < plain["gap"] - 0.05
        assert outcome["test"] > plain["test"]
        assert outcome["test loss"] < plain["test loss"]
        assert outcome["wrong learned"] < plain["wrong learned"]


@needs_compiler
def test_over_fitting_stops_early() -> None:
    losses = over_fitting.train(**over_fitting.CURES["early stopping"]).history.validation_loss
    assert len(losses) == np.argmin(losses) + 1 + over_fitting.PATIENCE


def test_over_fitting_trains_on_what_it_says() -> None:
    (x, t), validation, test = over_fitting.parts()
    (all_x, all_t), _ = fastnn.datasets.load_digits()
    assert np.array_equal(x, all_x[: over_fitting.SAMPLES])
    wrong = np.flatnonzero(t != all_t[: over_fitting.SAMPLES])
    assert np.array_equal(wrong, np.arange(over_fitting.MISLABELLED))
    assert (len(validation[0]), len(test[0])) == (over_fitting.VALIDATION, 359)
    assert t.min() >= 0 and t.max() <= 9


def test_mislabeled_are_the_first_and_all_wrong() -> None:
    t = np.arange(10).repeat(3)
    labels = over_fitting.mislabeled(t, 12)
    assert np.array_equal(np.flatnonzero(labels != t), np.arange(12))
    assert labels.min() >= 0 and labels.max() <= 9
    assert np.array_equal(t, np.arange(10).repeat(3))


@needs_compiler
def test_bag_is_better_than_its_members_and_than_single_networks() -> None:
    found = {row[0]: [float(cell) for cell in row[1:]] for row in rows(printed("bagging"), "accuracy of")}
    single, members = found["single networks, mean"], found["members, mean"]
    for vote in ("average", "majority"):
        test, noisy, out_of_bag = found[f"bag, by {vote}"]
        assert test > max(single[0], members[0]) + 0.05
        assert noisy > max(single[1], members[1]) + 0.03
        assert out_of_bag == pytest.approx(noisy, abs=0.09)  # its standard error is 0.03
        assert out_of_bag < test


@needs_compiler
def test_bag_votes_as_its_members_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bagging, "OPTIONS", {**bagging.OPTIONS, "epochs": 10})
    train, (x, t), (_, noisy) = bagging.parts()
    assert round(float(np.mean(noisy != t)), 2) == over_fitting.MISLABELLED / over_fitting.SAMPLES
    bags = {vote: bagging.bag(train, vote) for vote in ("average", "majority")}
    logits = np.array([network.predict(x) for network in bags["average"].members], np.float64)
    powers = np.exp(logits - logits.max(axis=2, keepdims=True))
    probabilities = (powers / powers.sum(axis=2, keepdims=True)).mean(axis=0)
    counts = np.eye(10)[logits.argmax(axis=2)].sum(axis=0)
    assert bags["average"].accuracy(x, t) == pytest.approx(np.mean(probabilities.argmax(axis=1) == t), abs=0.003)
    assert bags["majority"].accuracy(x, t) == pytest.approx(np.mean(counts.argmax(axis=1) == t), abs=1e-12)
