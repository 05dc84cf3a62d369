"""Settings for every test: how hypothesis searches, and fixtures that several files share."""

import atexit
import gc
import os
import pathlib
import shutil
import signal
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings

from fastnn import operations
from fastnn.engine import threads
from fastnn.environment import warmup
from fastnn.kernels.compile import JIT_DISABLED
from fastnn.kernels.launches import PAUSED_UNTIL
from fastnn.kernels.units import launch_state
from tests.compiled_package import Package
from tests.forked import Forks
from tests.model_files import small_network

# The same examples in every run, without a time limit, which the first call of a kernel would break: it compiles.
settings.register_profile(
    "fastnn", deadline=None, derandomize=True, database=None, max_examples=10 if JIT_DISABLED else 60
)
settings.load_profile("fastnn")

# Files that show the same without the compiler. They run no kernel, only processes with the compiler, or kernels that
# others run, too, and look at the Python around them. The run without it is for indices out of bounds, and formulas.
SAME_EITHER_WAY = [
    "architecture",
    "arrays",
    "augmentation",
    "benchmark_estimators",
    "benchmark_report",
    "benchmark_timing",
    "benchmarks",
    "checkpoint",
    "checkpoint_files",
    "checkpoint_kills",
    "checkpoint_refused",
    "checks",
    "cli_table_options",
    "cli_tables",
    "cli_train",
    "compile_cache",
    "compile_cache_trust",
    "concerned",
    "contention",
    "csv_logger",
    "datasets",
    "demo_pictures",
    "demos",
    "docstrings",
    "drawings",
    "dropin_main",
    "dropin_own",
    "dropin_script",
    "early_stopping",
    "ensembles",
    "environment",
    "every_gate",
    "files",
    "flags",
    "fuzz_attributes",
    "gallery",
    "gradient_check",
    "gradient_check_random",
    "hints",
    "launches",
    "loading",
    "locks",
    "map_of_notes",
    "memory",
    "messages",
    "mnist",
    "mnist_download",
    "notebooks",
    "notes",
    "persistence",
    "persistence_beside",
    "persistence_header",
    "persistence_names",
    "persistence_paths",
    "persistence_refused",
    "persistence_safetensors",
    "plots",
    "plots_functions",
    "plots_networks",
    "private",
    "progress",
    "published_figures",
    "readme",
    "safety",
    "schedules",
    "sklearn_checks",
    "sklearn_estimators",
    "sklearn_objective",
    "sklearn_swapped",
    "slips",
    "step_choice",
    "tables",
    "threads",
    "training_batches",
    "training_callbacks",
    "training_continued",
    "validation_cross",
]
collect_ignore = [f"test_{name}.py" for name in SAME_EITHER_WAY] if JIT_DISABLED else []

# Hypothesis also keeps what it learns from reading the sources, and would do so in the checkout.
if "HYPOTHESIS_STORAGE_DIRECTORY" not in os.environ:
    os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = tempfile.mkdtemp(prefix="hypothesis-")
    atexit.register(shutil.rmtree, os.environ["HYPOTHESIS_STORAGE_DIRECTORY"], ignore_errors=True)

# A shell's background jobs ignore Ctrl-C, and so would the processes that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def chosen_threads() -> Iterator[None]:
    """Put the number of threads back to what it was."""
    chosen = threads._chosen
    yield
    threads._chosen = chosen


@pytest.fixture(autouse=True)
def threads_are_tried() -> None:
    """Begin no test in a pause, in which all regions would have one part; a busy machine begins one within any test."""
    launch_state()[PAUSED_UNTIL] = 0.0


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    """The name of a model file that is not there yet, alone in its folder."""
    return tmp_path / "model.npz"


@pytest.fixture
def saved(path: pathlib.Path) -> pathlib.Path:
    """The file of a small network, at `path`."""
    small_network().save(path)
    return path


@pytest.fixture(scope="session")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    """Runs scripts in forks of a process that has Numba loaded."""
    found = Forks(tmp_path_factory.mktemp("forks"))
    yield found
    found.close()


@pytest.fixture
def package(tmp_path: pathlib.Path, forks: Forks) -> Package:
    """The tiny package, with an empty cache."""
    return Package(tmp_path, forks)


@pytest.fixture
def closed_figures() -> Iterator[None]:
    """Draw without a screen; no pyplot figure is open before or after."""
    pytest.importorskip("matplotlib").use("Agg")
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.close("all")
    yield
    pyplot.close("all")


@pytest.fixture(autouse=True)
def operations_as_before() -> Iterator[None]:
    """Operations that a test makes are its own: other tests go through all that there are."""
    names = ("ACTIVATIONS", "LAYERS", "LOSSES", "OPTIMIZERS", "UPDATES", "MADE")
    tables: list[dict[Any, Any]] = [getattr(operations, name) for name in names]
    before = [dict(table) for table in tables]
    yield
    for table, kept in zip(tables, before, strict=True):
        table.clear()
        table.update(kept)


def pytest_collection(session: pytest.Session) -> None:
    """The second of two processes of xdist compiles the kernels of float64 before it collects.

    The first compiles the others when it has collected: otherwise both find the same kernels missing at the same time,
    and compile them twice, as they would rewrite the assertions of each file twice.
    """
    if _compiles(session.config, "gw1"):
        warmup("float64", numerical_gradients=True)


def pytest_collection_finish(session: pytest.Session) -> None:
    if _compiles(session.config, "gw0"):
        warmup("float32")
    gc.collect()
    gc.freeze()  # all tests stay until the end: the collector need not look at them again and again


def _compiles(config: pytest.Config, worker: str) -> bool:
    """Whether this is the worker of that name, and all files run, which use most kernels."""
    all_files = [os.path.basename(name) for name in config.args] == config.getini("testpaths")
    is_worker = getattr(config, "workerinput", {}).get("workerid") == worker
    return is_worker and all_files and not config.getoption("keyword") and not JIT_DISABLED


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make no tests that -m would only sort out again. Rows without ids stay, as they are named by their number."""
    config, marks = metafunc.config, metafunc.definition.own_markers
    if config.getoption("markexpr") != "not exhaustive" or any("::" in name for name in config.args):
        return
    for place, mark in enumerate(marks):
        rows = mark.args[1] if mark.name == "parametrize" else None
        if isinstance(rows, list) and all(getattr(row, "id", None) for row in rows):
            kept = [row for row in rows if all(one.name != "exhaustive" for one in row.marks)]
            marks[place] = pytest.mark.parametrize(mark.args[0], kept, **mark.kwargs).mark


def pytest_ignore_collect(collection_path: pathlib.Path, config: pytest.Config) -> bool | None:
    """`pytest -m smoke` reads one file: collecting the others would take longer than its tests."""
    if config.getoption("markexpr") == "smoke" and collection_path.suffix == ".py":
        return collection_path.name != "test_smoke.py"
    return None


def pytest_itemcollected(item: pytest.Item) -> None:
    """A test that is named runs, and so do all combinations of a test function that is."""
    named = [name for name in item.config.args if "::" in name]
    if item.config.getoption("markexpr") == "not exhaustive" and any(_names(name, item.nodeid) for name in named):
        item.own_markers = [mark for mark in item.own_markers if mark.name != "exhaustive"]


def _names(name: str, nodeid: str) -> bool:
    """Whether an argument such as tests/test_x.py::test_y names a test; where the folder is makes no difference."""
    (file, _, test), (its_file, _, its_test) = name.partition("::"), nodeid.partition("::")
    same_file = pathlib.PurePath(file).name == pathlib.PurePath(its_file).name
    return same_file and (its_test == test or its_test.startswith(f"{test}["))
