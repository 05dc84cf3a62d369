"""An activation, a loss, an optimizer and a layer, added as docs/contributing.md says, are found everywhere."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

from fastnn.kernels.compile import JIT_DISABLED

pytestmark = pytest.mark.skipif(JIT_DISABLED, reason="the copy runs without the compiler in any case")
ROOT = pathlib.Path(__file__).parents[1]
GUIDE = (ROOT / "docs" / "contributing.md").read_text(encoding="utf-8")
# Run in the copy, without the compiler. No other file names the operations that it checks.
FOUND_EVERYWHERE = """
import contextlib, doctest, io, json, sys
import numpy as np
import fastnn
from fastnn import Affine, Network, environment, layers, losses, optimizers, reference
from fastnn.command import cli, options, specs
from fastnn.observing import engine, recognition

# Public names, and functions of arrays that show their formulas.
new = {"Mish", "Gain", "Lion", "log_cosh", "lion_update"}
assert new <= set(dir(fastnn)), new - set(dir(fastnn))
assert fastnn.Mish is layers.Mish and fastnn.Gain is layers.Gain and fastnn.Lion is optimizers.Lion
assert "log(cosh(y - t))" in fastnn.log_cosh.__doc__ and "sign(b1 m" in fastnn.lion_update.__doc__
assert "mish: y = x tanh" in fastnn.activation_forward.__doc__
for kind in (fastnn.Mish, fastnn.Gain, losses.LogCosh, fastnn.Lion, fastnn.log_cosh, fastnn.lion_update):
    example = doctest.DocTestParser().get_doctest(kind.__doc__, {"fastnn": fastnn, "np": np}, "", None, None)
    assert example.examples and doctest.DocTestRunner().run(example).failed == 0
assert "optimizer = " not in fastnn.lion_update.__doc__ and "Parameters" in fastnn.lion_update.__doc__
x, t = np.linspace(-3, 3, 12).reshape(4, 3), np.ones((4, 3))
y = fastnn.activation_forward("mish", x)
np.testing.assert_allclose(y, x * np.tanh(np.log1p(np.exp(x))), rtol=1e-14)
np.testing.assert_allclose(fastnn.log_cosh(x, t)[0], np.log(np.cosh(x - t)).sum() / 4, rtol=1e-13)
p, m = np.ones(2), np.zeros(2)
fastnn.lion_update(p, np.array([0.5, -2.0]), m, 0.125)
assert p.tolist() == [0.875, 1.125] and np.allclose(m, [0.005, -0.02])

# The command line's choices and suggestions.
assert "mish" in options.ACTIVATIONS and "log_cosh" in options.LOSSES and "lion" in options.OPTIMIZERS
assert specs.layers("--layers", "gain 2, mish", (3,)) == [fastnn.Gain(2), fastnn.Mish()]
with contextlib.redirect_stdout(io.StringIO()) as out:
    chosen = ["--layers", "affine 2, gain, mish", "--optimizer", "lion:beta1=0.8", "--epochs", "1", "--quiet"]
    assert cli.main(["train", *chosen, "--loss", "log_cosh"]) == 0
    assert cli.main(["train", "--help"]) == 0
assert "mish" in out.getvalue() and "lion" in out.getvalue()
for make, meant in [
    (lambda: Network([Affine(2, 2)], "log_cos"), "'log_cosh'"),
    (lambda: fastnn.activation_forward("mich", x), "'mish'"),
    (lambda: fastnn.Lion(betas=(0.5, 0.9)), "pass beta1 and beta2"),
    (lambda: fastnn.Gain(factr=2.0), "pass factor"),
]:
    try:
        make()
    except (TypeError, ValueError) as error:
        assert meant in str(error), error
    else:
        raise AssertionError(meant)

# A network: steps, a gradient check, a file.
net = Network([Affine(3, 4), fastnn.Gain(0.5), fastnn.Mish(), Affine(4, 3)], "log_cosh", rng=0, dtype="float64")
assert list(net.params) == ["W1", "b1", "factor1", "W2", "b2"] and (net.params["factor1"] == 0.5).all()
assert fastnn.check_gradients(net, x, t).passed
net.fit(x, t, epochs=2, optimizer=fastnn.Lion(lr=0.01), progress=False)
net.save("new.npz")
loaded = fastnn.load("new.npz")
assert [str(layer) for layer in loaded.layers] == [str(layer) for layer in net.layers]
assert loaded.loss_name == "log_cosh" and loaded.optimizer == net.optimizer == fastnn.Lion(lr=0.01)
assert loaded.step(x, t, fastnn.Lion()) == net.step(x, t, fastnn.Lion())

# Compiling ahead of time.
asked = set()
environment.make_all = lambda units, dtype: asked.update(units)
environment._compile_units(np.dtype("float32"), ("forward", "backward", "gradient"), ("rows",))
assert {fastnn.Mish.units.forward, fastnn.Gain.units.gradient, losses.LogCosh.units.rows, fastnn.Lion.unit} <= asked

# A script's own network is recognized, however it is written.
assert recognition._formula(x.ravel(), y.ravel()) == fastnn.Mish()
W, V, data, wanted = np.full((3, 2), 0.25), np.eye(2), np.linspace(-1, 1, 12).reshape(4, 3), np.ones((4, 2))


def f(W):
    z = data @ W
    z = (z * np.tanh(np.log1p(np.exp(z)))) @ V
    return np.sum(np.log(np.cosh(z - wanted))) / 4


found, plain = fastnn.numerical_gradient(f, W), np.zeros_like(W)
assert str(engine._observe(f, W, 100)[0]) == "Affine, Mish, Affine, log cosh"
for i in np.ndindex(W.shape):
    up, down = W.copy(), W.copy()
    up[i] += 1e-4
    down[i] -= 1e-4
    plain[i] = (f(up) - f(down)) / 2e-4
np.testing.assert_allclose(found, plain, rtol=1e-6)

# Rows of the benchmarks, at the sizes of the tests.
from benchmarks import cases, worker
rows = ["mish 1,000,000", "mish backward 1,000,000", "log_cosh 1000x100", "lion step 100, 784-50-10"]
rows += ["gain step 100, 784-100-10"]
assert set(rows) <= set(cases.BY_NAME), set(rows) - set(cases.BY_NAME)
with contextlib.redirect_stdout(io.StringIO()) as out:
    worker.main(["fastnn", "1", *rows, "--mode", "check", "--reduced"])
for line in out.getvalue().splitlines()[1:]:
    assert json.loads(line)["status"] == "agrees", line

# Parameter lists of the tests.
from tests import loss_cases, shapes, test_every_gate, test_layers, test_optimizers
assert {"mish forward", "mish backward", "log_cosh", "lion_update"} <= set(shapes.PROBLEMS)
assert "log_cosh" in loss_cases.CASES and fastnn.Lion(0.01) in test_optimizers.OPTIMIZERS
assert {fastnn.Mish(), fastnn.Gain()} <= set(test_layers.DESCRIPTIONS)
assert {"fastnn.log_cosh", "fastnn.lion_update"} <= set(test_every_gate.EXAMPLES)
"""


def add(copy: pathlib.Path) -> list[str]:
    """Write the guide's files, and return them all."""
    pieces = re.findall(
        r"`(fastnn/[\w/]+\.py)`(?:, with `([^`]+)` in `(\w+)`)?:\n\n```python\n(.*?)```", GUIDE, re.DOTALL
    )
    for name, entry, table, code in pieces:
        file = copy / name
        if not file.exists():
            file.write_text(code, encoding="utf-8")
            continue
        text = file.read_text(encoding="utf-8")
        if table:
            before, head, rows = re.split(rf"(?m)^((?:# To add .*\n)?{table}\b.*\{{\n)", text)
            text = f"{before}{code}\n\n{head}{rows.replace(chr(10) + '}', f'{chr(10)}    {entry}{chr(10)}}}', 1)}"
        else:
            text += f"\n\n{code}"
        file.write_text(text, encoding="utf-8")
    return [name for name, *_ in pieces]


def run(copy: pathlib.Path, *arguments: str) -> str:
    settings = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(copy)}
    command = [sys.executable, "-B", *arguments]
    done = subprocess.run(command, cwd=copy, env=settings, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The checkout with the four operations of the guide in it."""
    place = tmp_path_factory.mktemp("copy")
    for name in ("fastnn", "tests", "benchmarks", "docs"):
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__", "results"))
    for name in ("README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, place)
    assert len(add(place)) == 8  # an operation and its twin, four times
    return place


def test_two_files_make_an_operation(copy: pathlib.Path) -> None:
    page = copy / "docs" / "reference" / "overview.md"
    assert "Mish`" not in page.read_text(encoding="utf-8")
    wrote = run(copy, "-m", "docs.generate")
    assert "wrote docs/reference/overview.md" in wrote.replace("\\", "/")
    assert run(copy, "-m", "docs.generate") == ""  # the text is up to date
    table = page.read_text(encoding="utf-8")
    for name in ("mish", "`Mish`", "`Gain`", "`log_cosh`", "log_cosh", "`Lion`", "`lion_update`"):
        assert re.search(rf"^\| .*{name}.* \|$", table, re.MULTILINE), name
    run(copy, "-c", FOUND_EVERYWHERE)


@pytest.mark.exhaustive  # the test above looks into the lists of parameters
def test_the_suite_goes_through_them(copy: pathlib.Path) -> None:
    """Some test files, unchanged, test the new operations, too."""
    run(copy, "-m", "docs.generate")
    files = ["functional", "functional_losses", "losses", "optimizers", "layers", "reference", "generate"]
    chosen = ["-k", "mish or log_cosh or lion or gain or Mish or LogCosh or Lion or Gain or registry"]
    out = run(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(f"tests/test_{f}.py" for f in files), *chosen)
    passed = re.search(r"(\d+) passed", out)
    assert passed is not None and int(passed[1]) > 40, out[-500:]
