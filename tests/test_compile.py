"""Compiling and keeping kernels, tried on a tiny package with kernels of its own, in fresh processes."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import time
from typing import Any

import numba
import numpy as np
import pytest

from fastnn.kernels import compile as compiling

FOLDERS_FILE = pathlib.Path(compiling.__file__).parents[1] / "folders.py"

CALLEE = """
import numpy as np
from fastnn.kernels.compile import by_dtype, formula, kernel

@kernel
def increased32(x):
    return x + np.float32(1)

@kernel
def increased64(x):
    return x + 2.0

@formula
def scaled32(x, factor):
    return factor * x

@formula
def scaled64(x, factor):
    return 10.0 * factor * x

increased = by_dtype(increased32, increased64)
scaled = by_dtype(scaled32, scaled64)
"""

CALLER = """
from fastnn.kernels.callee import increased, scaled
from fastnn.kernels.compile import entry, prange

@entry
def increase(n_threads, x, out):
    out[:] = 0  # must not become a parallel region of its own
    for i in prange(x.size):
        out[i] += scaled(increased(x[i]), x[i] * 0 + 3)

@entry
def total(n_threads, x):
    result = 0.0
    for i in range(x.size):
        result += x[i]
    return result
"""

# Prints what the entries return, and how many signatures were found in the cache or compiled.
MAIN = """
import json
import numpy as np
from fastnn.kernels import compile as compiling
from fastnn.kernels.caller import increase, total

results = []
for dtype in (np.float32, np.float64):
    for run in (increase.serial, increase.parallel):
        x = np.arange(3, dtype=dtype)
        out = np.full_like(x, np.nan)
        run(1, x, out)
        results.append(out.tolist())
results.append([total.serial(1, np.ones(3)), total.parallel(1, np.ones(3))])
report = {"results": results}
if not compiling.JIT_DISABLED:
    stats = [run.stats for entry in compiling.ENTRIES for run in {entry.serial, entry.parallel}]
    report["hits"] = sum(one.cache_hits.total() for one in stats)
    report["misses"] = sum(one.cache_misses.total() for one in stats)
print(json.dumps(report))
"""

# increased32 adds 1, increased64 adds 2, and scaled64 multiplies by 10; the last row is a sum of three ones.
RESULTS = [[3.0, 6.0, 9.0], [3.0, 6.0, 9.0], [60.0, 90.0, 120.0], [60.0, 90.0, 120.0], [3.0, 3.0]]
SIGNATURES = 5

IN_MEMORY = "fastnn: compiling kernels for this machine (this process only: no cache folder)\n"


class Package:
    """A copy of the compile module with the tiny kernels above, and the folder where it keeps them."""

    def __init__(self, root: pathlib.Path) -> None:
        self.root, self.cache = root, root / "cache"
        self.kernels = root / "package" / "fastnn" / "kernels"
        self.kernels.mkdir(parents=True)
        shutil.copy(FOLDERS_FILE, self.kernels.parent)
        shutil.copy(compiling.__file__, self.kernels)
        for file in (self.kernels.parent / "__init__.py", self.kernels / "__init__.py"):
            file.touch()
        (self.kernels / "callee.py").write_text(CALLEE)
        (self.kernels / "caller.py").write_text(CALLER)

    def start(self, script: str = MAIN, **environment: str | None) -> "subprocess.Popen[str]":
        """Start a fresh process in which every warning is an error; a variable of None is taken out."""
        changed: dict[str, str | None] = {
            "FASTNN_CACHE": str(self.cache),
            "FASTNN_VECTOR_WIDTH": None,
            "NUMBA_DISABLE_JIT": "0",
            "PYTHONPATH": str(self.root / "package"),
            "PYTHONDONTWRITEBYTECODE": "1",
            **environment,
        }
        merged = {**os.environ, **changed}
        return subprocess.Popen(
            [sys.executable, "-W", "error", "-c", script],
            env={name: value for name, value in merged.items() if value is not None},
            cwd=self.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, script: str = MAIN, **environment: str | None) -> tuple[Any, str]:
        """Return the report and the standard error of a process, which must succeed."""
        return finished(self.start(script, **environment))

    def files(self) -> list[pathlib.Path]:
        """Return the kept files in order."""
        return sorted(path for path in self.cache.rglob("*") if path.is_file())

    def first_message(self) -> str:
        """Return the line that announces compilation into this cache."""
        (folder,) = self.cache.iterdir()
        return f"fastnn: compiling kernels for this machine (once; kept in {folder})\n"


def finished(process: "subprocess.Popen[str]") -> tuple[Any, str]:
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return json.loads(output), errors


@pytest.fixture
def package(tmp_path: pathlib.Path) -> Package:
    return Package(tmp_path)


@pytest.fixture(scope="module")
def cold(tmp_path_factory: pytest.TempPathFactory) -> tuple[Package, Any, str]:
    """A package that was run once, with the report and the standard error of that first process."""
    package = Package(tmp_path_factory.mktemp("cold"))
    return package, *package.run()


@pytest.fixture
def warm_package(package: Package, cold: tuple[Package, Any, str]) -> Package:
    """A package with a copy of a warm cache."""
    shutil.copytree(cold[0].cache, package.cache)
    return package


@pytest.fixture
def fresh_settings(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Forget what the module has found out about the cache of this process, before and after the test."""
    remembered = (compiling.kernel_cache_folder, compiling.kernel_set_hash)
    for function in remembered:
        function.cache_clear()
    monkeypatch.setattr(compiling, "JIT_DISABLED", False)
    yield
    for function in remembered:
        function.cache_clear()


# --- what is compiled -----------------------------------------------------------------------------


def test_fastmath_keeps_nan_and_infinity() -> None:
    assert not compiling.FASTMATH & {"nnan", "ninf", "fast"}


def test_every_dispatcher_has_the_same_options(package: Package) -> None:
    script = """
import json
from fastnn.kernels import callee, caller, compile as compiling

parallel = caller.increase.parallel
dispatchers = [callee.increased32, callee.scaled32, caller.increase.serial, parallel, caller.total.serial]
assert ["parallel" in one.targetoptions for one in dispatchers] == [False, False, False, True, False]
assert callee.scaled32.targetoptions["forceinline"]
assert caller.total.parallel is caller.total.serial
assert [entry.name for entry in compiling.ENTRIES] == ["increase", "total"]
names = ("nogil", "error_model", "fastmath", "boundscheck", "nopython")
print(json.dumps([[one.targetoptions[name] for name in names] for one in dispatchers]))
"""
    options, errors = package.run(script)
    fastmath = sorted(compiling.FASTMATH) or False
    assert options == [[True, "numpy", fastmath, None, True]] * 5
    assert errors == ""
    assert not package.cache.exists()  # importing an entry leaves the disk alone


def test_only_prange_becomes_a_parallel_region(package: Package) -> None:
    script = """
import json, re
import numpy as np
from fastnn.kernels.caller import increase

for dtype in (np.float32, np.float64):
    increase.parallel(2, np.ones(3, dtype), np.ones(3, dtype))
    increase.serial(1, np.ones(3, dtype), np.ones(3, dtype))
def regions(run):
    return [len(re.findall("call .*@numba_parallel_for", code)) for code in run.inspect_llvm().values()]

print(json.dumps([regions(increase.parallel), regions(increase.serial)]))
"""
    regions, errors = package.run(script, FASTNN_CACHE="0")
    assert regions == [[1, 1], [0, 0]]
    assert errors == IN_MEMORY


def test_by_dtype_in_plain_python_looks_at_the_first_argument() -> None:
    def first(x: Any, y: Any) -> tuple[str, Any, Any]:
        return "float32", x, y

    def second(x: Any, y: Any) -> tuple[str, Any, Any]:
        return "float64", x, y

    chosen = compiling.by_dtype(first, second)
    assert chosen(np.float32(1), 2.0) == ("float32", 1, 2)
    assert chosen(np.float64(1), np.float32(2)) == ("float64", 1, 2)
    assert chosen(1.5, 0.0) == ("float64", 1.5, 0)


def test_without_the_compiler_entries_are_plain_python(package: Package) -> None:
    report, errors = package.run(NUMBA_DISABLE_JIT="1")
    assert report == {"results": RESULTS}
    assert errors == ""
    assert not package.cache.exists()


# --- what is kept ---------------------------------------------------------------------------------


def test_cold_process_compiles_and_says_so_once(cold: tuple[Package, Any, str]) -> None:
    package, report, errors = cold
    assert report == {"results": RESULTS, "hits": 0, "misses": SIGNATURES}
    assert errors == package.first_message()
    variants = [file.name.split(".")[:2] for file in package.files()]
    assert variants == 2 * [["increase", "parallel"]] + 2 * [["increase", "serial"]] + [["total", "serial"]]


def test_warm_process_compiles_nothing_and_says_nothing(warm_package: Package) -> None:
    report, errors = warm_package.run()
    assert report == {"results": RESULTS, "hits": SIGNATURES, "misses": 0}
    assert errors == ""


def test_edited_callee_in_another_file_is_noticed(warm_package: Package) -> None:
    callee = warm_package.kernels / "callee.py"
    times = callee.stat()
    callee.write_text(CALLEE.replace("x + 2.0", "x + 4.0"))
    os.utime(callee, ns=(times.st_atime_ns, times.st_mtime_ns))  # neither size nor time tells of the edit
    report, _ = warm_package.run()
    assert report["results"][2] == [120.0, 150.0, 180.0]
    assert report["misses"] == SIGNATURES


def test_code_of_an_edited_file_is_not_kept_as_that_of_the_edit(package: Package) -> None:
    script = """
import json, os, time
import numpy as np
from fastnn.kernels import callee
from fastnn.kernels.caller import total

os.utime(callee.__file__, (time.time() + 10, time.time() + 10))
print(json.dumps(total.serial(1, np.ones(2))))
"""
    report, errors = package.run(script)
    assert report == 2.0
    assert errors == IN_MEMORY
    assert not package.cache.exists()


def test_damaged_files_are_compiled_again(warm_package: Package) -> None:
    truncated, flipped, garbage, empty, absent = warm_package.files()
    truncated.write_bytes(truncated.read_bytes()[:-1])
    content = bytearray(flipped.read_bytes())
    content[len(content) // 2] ^= 1
    flipped.write_bytes(content)
    garbage.write_bytes(bytes(range(256)))
    empty.write_bytes(b"")
    absent.unlink()
    report, errors = warm_package.run()
    assert report == {"results": RESULTS, "hits": 0, "misses": SIGNATURES}
    assert errors == warm_package.first_message()
    report, errors = warm_package.run()
    assert report == {"results": RESULTS, "hits": SIGNATURES, "misses": 0}


def test_processes_that_start_cold_at_once_agree(package: Package) -> None:
    processes = [package.start() for _ in range(4)]
    assert [finished(process)[0]["results"] for process in processes] == [RESULTS] * 4
    assert len(package.files()) == SIGNATURES  # and no unfinished file


def test_closures_are_not_kept(package: Package) -> None:
    (package.kernels / "made.py").write_text("""
from fastnn.kernels.compile import entry

def make(increment):
    def increase(n_threads, x):
        return x + increment
    return entry(increase)
""")
    script = """
import json
from fastnn.kernels.made import make
print(json.dumps([make(increment).serial(1, 1) for increment in (1, 2)]))
"""
    assert package.run(script)[0] == [2, 3]
    assert package.files() == []


# --- where it is kept, or not ---------------------------------------------------------------------


def test_cache_0_keeps_nothing(package: Package) -> None:
    report, errors = package.run(FASTNN_CACHE="0", HOME=str(package.root), XDG_CACHE_HOME=None)
    assert report == {"results": RESULTS, "hits": 0, "misses": SIGNATURES}
    assert errors == IN_MEMORY
    assert os.listdir(package.root) == ["package"]


def test_works_read_only_and_without_home(package: Package) -> None:
    before = sorted(package.root.rglob("*"))
    for folder in (package.kernels, package.kernels.parent):
        folder.chmod(0o500)
    a_file = str(package.kernels / "callee.py")  # nobody, not even root, can make a folder within a file
    report, errors = package.run(FASTNN_CACHE=None, XDG_CACHE_HOME=a_file, LOCALAPPDATA=a_file, HOME=None)
    assert report == {"results": RESULTS, "hits": 0, "misses": SIGNATURES}
    assert errors == IN_MEMORY
    assert sorted(package.root.rglob("*")) == before


def test_full_disk_is_no_error(package: Package) -> None:
    script = (
        "import errno, os\ndef replace(*paths): raise OSError(errno.ENOSPC, 'full')\nos.replace = replace\n"
    )
    report, _ = package.run(script + MAIN)
    assert report == {"results": RESULTS, "hits": 0, "misses": SIGNATURES}
    assert package.files() == []


def test_changed_internals_of_numba_mean_no_cache(package: Package) -> None:
    script = """
from numba.core import caching, ccallback, compiler
del caching.NullCache, compiler.CompileResult._reduce, compiler.CompileResult._rebuild
"""
    report, _ = package.run(script + MAIN)
    assert report == {"results": RESULTS, "hits": 0, "misses": SIGNATURES}
    assert package.files() == []


def test_folder_is_the_users_own(
    fresh_settings: None, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiling, "cache_folder", lambda name: tmp_path / "user" / name)
    monkeypatch.setenv("FASTNN_CACHE", "1")
    folder = compiling.kernel_cache_folder()
    assert folder == tmp_path / "user" / "kernels" / compiling.kernel_set_hash()
    if os.name == "posix":
        assert folder.stat().st_mode & 0o777 == folder.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("chosen", ["0", "1"])
def test_no_folder_without_home_or_by_choice(
    fresh_settings: None, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiling, "cache_folder", lambda name: None)
    monkeypatch.setenv("FASTNN_CACHE", chosen)
    assert compiling.kernel_cache_folder() is None


@pytest.mark.skipif(os.name != "posix", reason="folders have no such mode")
def test_folder_that_others_may_write_to_is_not_trusted(
    fresh_settings: None, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTNN_CACHE", str(tmp_path))
    folder = tmp_path / compiling.kernel_set_hash()
    folder.mkdir()
    folder.chmod(0o777)
    assert compiling.kernel_cache_folder() is None
    compiling.kernel_cache_folder.cache_clear()
    folder.chmod(0o755)
    assert compiling.kernel_cache_folder() == folder


def test_folders_of_old_versions_are_removed(
    fresh_settings: None, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long_ago = time.time() - 31 * 24 * 3600
    for name, file, unused in (
        ("0" * 32, "old.serial.0.nbc", True),
        ("1" * 32, "recent.serial.0.nbc", False),
        ("2" * 32, "a letter.txt", True),
        ("photographs", "cat.nbc", True),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).touch()
        if unused:
            os.utime(tmp_path / name, (long_ago, long_ago))
    monkeypatch.setenv("FASTNN_CACHE", str(tmp_path))
    folder = compiling.kernel_cache_folder()
    assert folder is not None
    assert sorted(os.listdir(tmp_path)) == sorted([folder.name, "1" * 32, "2" * 32, "photographs"])
    assert (tmp_path / ("2" * 32) / "a letter.txt").exists()


def test_use_of_a_folder_is_marked(
    fresh_settings: None, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / compiling.kernel_set_hash()
    folder.mkdir(mode=0o700)
    os.utime(folder, (0, 0))
    monkeypatch.setenv("FASTNN_CACHE", str(tmp_path))
    assert compiling.kernel_cache_folder() == folder
    assert folder.stat().st_mtime > time.time() - 3600


def test_hash_knows_what_changes_the_code(fresh_settings: None, monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = {compiling.kernel_set_hash()}
    monkeypatch.setenv("FASTNN_VECTOR_WIDTH", "other")
    compiling.kernel_set_hash.cache_clear()
    hashes.add(compiling.kernel_set_hash())
    changes = ((numba.config, "BOUNDSCHECK"), (numba, "__version__"), (np, "__version__"), (sys, "version"))
    for holder, name in changes:
        monkeypatch.setattr(holder, name, "changed")
        compiling.kernel_set_hash.cache_clear()
        hashes.add(compiling.kernel_set_hash())
    assert len(hashes) == 6
