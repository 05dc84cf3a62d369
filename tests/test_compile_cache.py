"""Keeping compiled kernels, tried on a tiny package with kernels of its own, in fresh processes."""

import os
import pathlib
import re
import shutil
import sys
import time
from typing import Any

import numba
import numpy as np
import pytest
from numba.core.registry import cpu_target

from fastnn.kernels import cache
from fastnn.kernels.compile import JIT_DISABLED
from tests.compiled_package import CALLEE, IN_MEMORY, MAIN, RESULTS, SIGNATURES, Package, finished

pytestmark = pytest.mark.skipif(JIT_DISABLED, reason="its processes compile, with and without the compiler here")


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
    """Forget the module's findings about the cache of this process, before and after the test."""
    remembered = (cache._folder_or_reason, cache.kernel_set_hash)
    for function in remembered:
        function.cache_clear()
    monkeypatch.setattr(cache, "JIT_DISABLED", False)
    yield
    for function in remembered:
        function.cache_clear()


# --- kept kernels ---------------------------------------------------------------------------------


def test_cold_process_compiles_and_says_so_once(cold: tuple[Package, Any, str]) -> None:
    package, report, errors = cold
    assert report == {"results": RESULTS, "hits": 0, "misses": SIGNATURES}
    assert errors == package.first_message()
    variants = [file.name.split(".")[:2] for file in package.files()]
    assert variants == 2 * [["increase", "entry"]] + 2 * [["total", "entry"]]


def test_warm_process_compiles_nothing_and_says_nothing(warm_package: Package) -> None:
    report, errors = finished(warm_package.start())
    assert report == {"results": RESULTS, "hits": SIGNATURES, "misses": 0}
    assert errors == ""


def test_warm_process_loads_nothing_that_only_compiles(warm_package: Package) -> None:
    """Numba's registries take 0.3 s and load SciPy; a user's own functions have them when they are compiled."""
    script = """
import sys, numba
print(json.dumps([[name in sys.modules for name in ("scipy.linalg", "numba.np.linalg")], report["hits"]]))
print(numba.njit(lambda x: np.dot(x, x) + len(str(len(x))))(np.ones(4)), file=sys.stderr)
"""
    report, errors = finished(warm_package.start(MAIN.replace("print(json.dumps(report))", "") + script))
    assert report == [[False, False], SIGNATURES]
    assert errors == "5.0\n"


def test_code_whose_names_are_not_there_without_the_registries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Linking it would end the process: everything is then loaded, as for code that does not list its names."""
    called: list[str] = []
    context = cpu_target.target_context
    monkeypatch.setattr(context, "refresh", lambda: called.append("refresh"))
    cache._provide(([lambda: called.append("register")], ["PyTuple_New"]), context)
    assert called == ["register"]
    cache._provide(([], ["PyTuple_New", "fastnn_no_such_name"]), context)
    cache._provide(None, context)
    assert called == ["register", "refresh", "refresh"]


def test_edited_callee_in_another_file_is_noticed(warm_package: Package) -> None:
    callee = warm_package.kernels / "callee.py"
    times = callee.stat()
    callee.write_text(CALLEE.replace("x + 2.0", "x + 4.0"))
    os.utime(callee, ns=(times.st_atime_ns, times.st_mtime_ns))  # neither size nor time tells of the edit
    report, _ = warm_package.run()
    assert report["results"][1][:3] == [120.0, 150.0, 180.0]
    assert report["misses"] == SIGNATURES


def test_code_of_an_edited_file_is_not_kept_as_that_of_the_edit(package: Package) -> None:
    script = """
import json, os, time
import numpy as np
from fastnn.kernels import callee
from fastnn.kernels.caller import total

os.utime(callee.__file__, (time.time() + 10, time.time() + 10))
print(json.dumps(total(np.ones(2))))
"""
    report, errors = package.run(script)
    assert report == 2.0
    edited = f"{package.kernels / 'callee.py'} was edited after it was imported"
    assert errors == IN_MEMORY.format(edited)
    assert not package.cache.exists()


def test_damaged_files_are_compiled_again(warm_package: Package) -> None:
    truncated, flipped, garbage, empty = warm_package.files()
    truncated.write_bytes(truncated.read_bytes()[:-1])
    content = bytearray(flipped.read_bytes())
    content[len(content) // 2] ^= 1
    flipped.write_bytes(content)
    garbage.write_bytes(bytes(range(256)))
    empty.write_bytes(b"")
    report, errors = warm_package.run()
    assert report == {"results": RESULTS, "hits": 0, "misses": SIGNATURES}
    assert errors == warm_package.first_message()
    report, errors = warm_package.run()
    assert report == {"results": RESULTS, "hits": SIGNATURES, "misses": 0}


def test_processes_that_start_cold_at_once_agree(package: Package) -> None:
    processes = [package.start() for _ in range(2)]
    assert [finished(process)[0]["results"] for process in processes] == [RESULTS] * 2
    assert len(package.files()) == SIGNATURES  # and no unfinished file


def test_closures_are_not_kept(package: Package) -> None:
    (package.kernels / "made.py").write_text("""
from fastnn.kernels.compile import entry

def make(increment):
    def increase(x):
        return x + increment
    return entry(increase)
""")
    script = """
import json
from fastnn.kernels.made import make
print(json.dumps([make(increment)(1) for increment in (1, 2)]))
"""
    assert package.run(script)[0] == [2, 3]
    assert package.files() == []


# --- where it is kept, or not ---------------------------------------------------------------------


def test_cache_0_keeps_nothing(package: Package) -> None:
    report, errors = package.run(FASTNN_CACHE="0", HOME=str(package.root), XDG_CACHE_HOME=None)
    assert report == {"results": RESULTS, "hits": 0, "misses": SIGNATURES}
    assert errors == IN_MEMORY.format("FASTNN_CACHE=0")
    assert os.listdir(package.root) == ["package"]


def test_works_read_only_and_without_home(package: Package) -> None:
    before = sorted(package.root.rglob("*"))
    for folder in (package.kernels, package.kernels.parent):
        folder.chmod(0o500)
    a_file = str(package.kernels / "callee.py")  # nobody, not even root, can make a folder within a file
    report, errors = package.run(FASTNN_CACHE=None, XDG_CACHE_HOME=a_file, LOCALAPPDATA=a_file, HOME=None)
    assert report == {"results": RESULTS, "hits": 0, "misses": SIGNATURES}
    assert re.fullmatch(re.escape(IN_MEMORY).replace(r"\{\}", f".*{re.escape(a_file)}.*"), errors)
    assert sorted(package.root.rglob("*")) == before


def test_full_disk_is_no_error(package: Package) -> None:
    script = "import errno, os\ndef replace(*paths): raise OSError(errno.ENOSPC, 'full')\nos.replace = replace\n"
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


def test_folder_is_the_users_own(fresh_settings: None, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "cache_folder", lambda name: tmp_path / "user" / name)
    monkeypatch.setenv("FASTNN_CACHE", "1")
    folder = cache.kernel_cache_folder()
    assert folder == tmp_path / "user" / "kernels" / cache.kernel_set_hash()
    if os.name == "posix":
        assert folder.stat().st_mode & 0o777 == folder.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("chosen", ["0", "1"])
def test_no_folder_without_home_or_by_choice(
    fresh_settings: None, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "cache_folder", lambda name: None)
    monkeypatch.setenv("FASTNN_CACHE", chosen)
    assert cache.kernel_cache_folder() is None


@pytest.mark.skipif(os.name != "posix", reason="folders have no such mode")
def test_folder_that_others_may_write_to_is_not_trusted(
    fresh_settings: None, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTNN_CACHE", str(tmp_path))
    folder = tmp_path / cache.kernel_set_hash()
    folder.mkdir()
    folder.chmod(0o777)
    assert cache.kernel_cache_folder() is None
    cache._folder_or_reason.cache_clear()
    folder.chmod(0o755)
    assert cache.kernel_cache_folder() == folder


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
    folder = cache.kernel_cache_folder()
    assert folder is not None
    assert sorted(os.listdir(tmp_path)) == sorted([folder.name, "1" * 32, "2" * 32, "photographs"])
    assert (tmp_path / ("2" * 32) / "a letter.txt").exists()


def test_use_of_a_folder_is_marked(
    fresh_settings: None, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / cache.kernel_set_hash()
    folder.mkdir(mode=0o700)
    os.utime(folder, (0, 0))
    monkeypatch.setenv("FASTNN_CACHE", str(tmp_path))
    assert cache.kernel_cache_folder() == folder
    assert folder.stat().st_mtime > time.time() - 3600


def test_hash_knows_what_changes_the_code(fresh_settings: None, monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = {cache.kernel_set_hash()}
    monkeypatch.setenv("FASTNN_VECTOR_WIDTH", "other")
    cache.kernel_set_hash.cache_clear()
    hashes.add(cache.kernel_set_hash())
    changes = ((numba.config, "BOUNDSCHECK"), (numba, "__version__"), (np, "__version__"), (sys, "version"))
    for holder, name in changes:
        monkeypatch.setattr(holder, name, "changed")
        cache.kernel_set_hash.cache_clear()
        hashes.add(cache.kernel_set_hash())
    assert len(hashes) == 6
