"""The command line: help, usage, exit codes; a mistake, Ctrl-C or a closed pipe ends it in one line."""

import ast
import importlib.util
import os
import pathlib
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import IO, Any, get_args

import pytest

import fastnn
from fastnn import environment
from fastnn.command import cli, info, options
from fastnn.command.cli import main
from fastnn.engine.perturbation import METHODS
from fastnn.gate import names
from fastnn.kernels.compile import JIT_DISABLED
from fastnn.operations import ACTIVATIONS, LOSSES
from fastnn.optimizers import OPTIMIZER_CLASSES
from tests.commands import PYTHON_M, Output, assert_error, printed_json, variables, without_compiling

COMMANDS = ("demo", "train", "predict", "evaluate", "convert", "gradcheck", "dropin", "playground", "info", "bench")

needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="needs SIGINT and SIGPIPE")
needs_compiler = pytest.mark.skipif(JIT_DISABLED, reason="slow with NUMBA_DISABLE_JIT=1")


@pytest.fixture(autouse=True)
def eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


# --- help, version and usage ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [[], ["--help"], *[[command, "--help"] for command in COMMANDS]])
def test_help_is_short_and_in_our_words(arguments: list[str], capsys: Output) -> None:
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith("usage: fastnn ")
    assert all(len(line) <= 80 and line == line.rstrip() for line in out.splitlines())
    words = re.sub(r"--[\w-]+", "", out)  # without names of options
    assert not re.search(r"\b(dense|linear|fc|iterations?|minibatch|weights?)\b", words)


def test_help_names_every_command(capsys: Output) -> None:
    assert main([]) == 0
    assert capsys.readouterr().out == (
        "usage: fastnn COMMAND [options]\n"
        "\n"
        "Neural networks on the CPU, trained by compiled kernels.\n"
        "\n"
        "commands:\n"
        "  demo        Train on handwritten digits, check the gradient, time a step\n"
        "  train       Train a network on digits, MNIST or your own files\n"
        "  predict     Predict the rows of a table with a trained network\n"
        "  evaluate    Measure a trained network on the rows of a table\n"
        "  convert     Write a network to a file of another kind\n"
        "  gradcheck   Compare a network's gradient with difference quotients\n"
        '  dropin      Run a script of "Deep Learning from Scratch" on fastnn\n'
        "  playground  Watch small networks learn, on a page in the browser\n"
        "  info        Show versions, processor, threads and folders\n"
        "  bench       Time fastnn beside NumPy, PyTorch, JAX and other libraries\n"
        "\n"
        "options:\n"
        "  -h, --help  show this help message and exit\n"
        "  --version   show the version\n"
        "\n"
        "'fastnn COMMAND --help' shows the options of a command.\n"
    )


def test_version(capsys: Output) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"fastnn {fastnn.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "command", "message"),
    [
        (["--foo"], "", "unrecognized arguments: --foo"),
        (["info", "--foo", "x"], " info", "unrecognized arguments: --foo x"),
        (["train", "--epoch", "3"], " train", "unrecognized arguments: --epoch 3"),
        (["train", "--epochs"], " train", "argument --epochs: expected one argument"),
        (["train", "--epochs", "many"], " train", "argument --epochs: invalid int value: 'many'"),
        (["train", "--lr", "x"], " train", "argument --lr: invalid float value: 'x'"),
        (["train", "--resume"], " train", "argument --resume: only together with --checkpoint FILE"),
        (
            ["train", "--momentum", "0.5"],
            " train",
            "argument --momentum: only together with --optimizer momentum or nesterov",
        ),
        *[
            (
                ["train", "--hidden", text],
                " train",
                f"argument --hidden: expected widths such as 50 or 100,50, or 0 for none, got '{text}'",
            )
            for text in ("50,x", "50,0", "1.5", "50;20", ",")
        ],
    ],
)
def test_usage_errors(arguments: list[str], command: str, message: str, capsys: Output) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    usage = f"fastnn{command} [options]" if command else "fastnn COMMAND [options]"
    assert out == ""
    assert err == f"usage: {usage}\nfastnn{command}: error: {message}\nTry 'fastnn{command} --help'.\n"


@pytest.mark.parametrize(
    ("arguments", "argument", "choices", "meant"),
    [
        (["trian"], "COMMAND", COMMANDS, "; did you mean 'train'?"),
        (["train", "--activation", "rely"], "--activation", options.ACTIVATIONS, "; did you mean 'relu'?"),
        (["train", "--activation", "hardswish"], "--activation", options.ACTIVATIONS, "; did you mean 'silu'?"),
        (["train", "--optimizer", "lbfgs"], "--optimizer", options.OPTIMIZERS, ""),
        (["train", "--dtype", "float16"], "--dtype", options.DTYPES, "; did you mean 'float64'?"),
        (["dropin", "--volume", "3"], "--volume", ("1", "2"), ""),
    ],
)
def test_usage_errors_list_the_choices(
    arguments: list[str], argument: str, choices: tuple[str, ...], meant: str, capsys: Output
) -> None:
    assert main(arguments) == 2
    message = capsys.readouterr().err.splitlines()[1]
    shown = arguments[-1] if arguments[-1].isdigit() else repr(arguments[-1])
    assert f": error: argument {argument}: invalid choice: {shown} (choose from " in message
    listed, _, hint = message.partition("choose from")[2].partition(")")
    assert re.findall(r"\w+", listed) == list(choices) and hint == meant


def test_choices_are_those_of_fastnn() -> None:
    assert tuple(name for name, kind in ACTIVATIONS.items() if kind.takes_elements) == options.ACTIVATIONS
    assert tuple(LOSSES) == options.LOSSES
    assert tuple(name.lower() for name in OPTIMIZER_CLASSES) == options.OPTIMIZERS
    assert (get_args(names.DifferenceMethod), get_args(names.ActivationName)) == (tuple(METHODS), tuple(ACTIVATIONS))


def imported_at_once(name: str) -> set[str]:
    """The modules other than the standard library's that a module imports when it is imported."""
    source = pathlib.Path(str(cli.__file__)).parents[2].joinpath(*name.split(".")).with_suffix(".py")
    body = ast.parse(source.read_text(encoding="utf-8")).body
    found: set[str] = set()
    for node in body:
        if isinstance(node, ast.ImportFrom):
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = {one for one in inside if importlib.util.find_spec(one.rpartition(".")[0]) and is_module(one)}
            found |= modules or {str(node.module)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {one for one in found if one.partition(".")[0] not in sys.stdlib_module_names}


def is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # its parent is no package
        return False


def test_modules_import_nothing_that_loads_numba() -> None:
    found, waiting = set[str](), {"fastnn.command.cli"}
    while waiting:
        name = waiting.pop()
        found.add(name)
        if name.startswith("fastnn.command."):
            waiting |= imported_at_once(name) - found
    light = {"demos.command", "dropin.script", "errors", "gate.names", "system.files", "system.messages", "version"}
    assert {name for name in found if not name.startswith("fastnn.command.")} == {f"fastnn.{name}" for name in light}
    assert {"fastnn.command.train", "fastnn.command.fitting"} <= found


# --- info ----------------------------------------------------------------------------------------------------------


def test_info_is_the_configuration(capsys: Output) -> None:
    assert main(["info", "--json"]) == 0
    found = printed_json(capsys)
    assert found == environment.config()
    assert found["threads"]["threading_layer"] != "not started"
    assert main(["info"]) == 0
    table = capsys.readouterr().out
    fastnn.show_config()
    assert table == capsys.readouterr().out


# --- errors, Ctrl-C and closed pipes --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (MemoryError("Unable to allocate 2.33 TiB"), "Unable to allocate 2.33 TiB"),
        (MemoryError(), "MemoryError"),
        (OSError(28, "No space left on device"), "[Errno 28] No space left on device"),
        (ValueError("x: two\n  lines"), "x: two lines"),
    ],
)
def test_errors_are_shown_in_one_line(
    error: Exception, line: str, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    def fail(options: Any) -> int:
        raise error

    monkeypatch.setattr(info, "run", fail)
    assert_error(["info"], line, capsys)


def test_interrupt(monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    def interrupt(options: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(info, "run", interrupt)
    assert main(["info"]) == 130
    assert capsys.readouterr() == ("", "fastnn: interrupted\n")


@pytest.fixture
def endless() -> Iterator[subprocess.Popen[str]]:
    """A training that does not end by itself, after its first epoch."""
    command = [*PYTHON_M, "train", "--hidden", "0", "--epochs", "100000000", "--batch-size", "500"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=variables())
    with process:
        assert process.stdout is not None
        while not process.stdout.readline().startswith("epoch"):
            assert process.poll() is None
        yield process
        process.kill()


def error_output(process: subprocess.Popen[str]) -> str:
    stream: IO[str] | None = process.stderr
    assert stream is not None
    return without_compiling(stream.read())


@needs_compiler
@needs_signals
def test_interrupt_of_a_training(endless: subprocess.Popen[str]) -> None:
    endless.send_signal(signal.SIGINT)
    _, err = endless.communicate(timeout=60)
    assert (endless.returncode, without_compiling(err)) == (130, "fastnn: interrupted\n")


@needs_compiler
@needs_signals
def test_closed_pipe_during_a_training(endless: subprocess.Popen[str]) -> None:
    assert endless.stdout is not None
    endless.stdout.close()
    assert error_output(endless) == ""
    assert endless.wait(60) == 141


@needs_signals
@pytest.mark.parametrize("arguments", [["--help"], ["info"], ["info", "--json"]])
def test_closed_pipe_before_the_first_line(arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with subprocess.Popen(
        [*PYTHON_M, *arguments], stdout=writing, stderr=subprocess.PIPE, text=True, env=variables()
    ) as process:
        os.close(writing)
        assert error_output(process) == ""
    assert process.returncode == 141


# --- as a module ---------------------------------------------------------------------------------------------------


def test_module_form() -> None:
    for arguments, code, out in ((["--version"], 0, f"fastnn {fastnn.__version__}\n"), (["trian"], 2, "")):
        done = subprocess.run([*PYTHON_M, *arguments], capture_output=True, text=True, env=variables(), check=False)
        assert (done.returncode, done.stdout) == (code, out)
