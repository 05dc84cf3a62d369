"""Machine code that comes with the package: a library of a few kernels is loaded, or refused with its reason."""

import ctypes
import json
import os
import pathlib
import shutil
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import numba
import pytest
from llvmlite import binding

import fastnn
from fastnn import prebuild
from fastnn.kernels import caches, prebuilt
from fastnn.kernels.cache import is_told_by_files
from fastnn.kernels.compile import ENTRIES, JIT_DISABLED
from fastnn.kernels.doors import Door
from fastnn.kernels.prebuilt import Prebuilt
from fastnn.kernels.units import UNITS
from fastnn.operations import ACTIVATIONS
from tests.fitted import fitted_to


def has_linker() -> bool:
    try:
        return bool(prebuild.linker())
    except FileNotFoundError:
        return False


PARENT = str(pathlib.Path(fastnn.__file__).parents[1])
pytestmark = [
    pytest.mark.skipif(JIT_DISABLED, reason="about compiled code"),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="wheels with machine code are for Linux"),
    pytest.mark.skipif(not has_linker(), reason="there is no C compiler, which links"),
]

BUILD = """
import pathlib, sys
import numpy as np
import fastnn
from fastnn import prebuild
from fastnn.engine.interpreters import on_arrays
from fastnn.kernels import caches, prebuilt
from fastnn.operations import ACTIVATIONS
from tests.fitted import fitted_to

folder, float32 = pathlib.Path(sys.argv[1]), np.dtype(np.float32)
units = [on_arrays.rows_part, ACTIVATIONS["sigmoid"].units.forward]
code = {}
for unit in units:
    unit.address(float32)
    code[prebuilt.name_of("float32", unit.function, unit.made_of)] = unit.libraries["float32"]
door = on_arrays.activation_forward
door.made_for(float32)
code[prebuilt.name_of("float32", door.around, door.made_of)] = door.libraries["float32"]
prebuild.write_index(folder, {"here": prebuild.link(code, folder / "here.so")})
"""
USE = """
import hashlib, json, pathlib, sys
import numpy as np
from fastnn.kernels import caches, prebuilt
folder = pathlib.Path(sys.argv[1])
prebuilt.FOLDER, prebuilt._INDEX = folder, prebuilt.index_in(folder)
import fastnn
from fastnn.engine.interpreters import on_arrays
from fastnn.kernels.compile import ENTRIES
from fastnn.kernels.units import UNITS
x = np.random.default_rng(0).standard_normal((37, 23)).astype(np.float32)
y = fastnn.activation_forward("sigmoid", x)
made = [one for one in [*ENTRIES, *UNITS] if getattr(one, "libraries", None)]
compiled = [getattr(one, "function", one).__name__ for one in made]
print(json.dumps([hashlib.sha256(y).hexdigest(), sorted(compiled), prebuilt.prebuilt().level]))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A library of the three functions that sigmoid of a float32 array needs, and its index."""
    made = tmp_path_factory.mktemp("machine_code")
    run(BUILD, made, FASTNN_CACHE="0")
    return made


@pytest.fixture
def copy(folder: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    """A copy of it."""
    return shutil.copytree(folder, tmp_path / "copy")


@pytest.fixture
def loaded(copy: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Prebuilt:
    """The library of the copy, in the place of this process's."""
    found = load(copy)
    assert found.library is not None, found.reason
    monkeypatch.setattr(prebuilt, "prebuilt", lambda: found)
    return found


def run(code: str, folder: pathlib.Path, **variables: str) -> str:
    """The output of a new process that runs the code."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("NUMBA_", "FASTNN_VECTOR_WIDTH"))}
    environment = {**own, "PYTHONPATH": PARENT, "FASTNN_PREBUILT": "1", **variables}
    command = [sys.executable, "-c", code, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def load(folder: pathlib.Path) -> Prebuilt:
    index = prebuilt.index_in(folder)
    assert index is not None
    return prebuilt.load(folder, index)


def change_index(folder: pathlib.Path, **changes: Any) -> None:
    """Change entries of the index, or of its only level."""
    file = folder / prebuilt.INDEX
    index = json.loads(file.read_text())
    for name, value in changes.items():
        (index if name in index else index["levels"]["here"])[name] = value
    file.write_text(json.dumps(index))


def reason(folder: pathlib.Path) -> str:
    """Why no library is loaded from the folder."""
    found = load(folder)
    assert found.library is None and not found.level
    return found.reason


def test_same_bits_and_nothing_compiled(folder: pathlib.Path) -> None:
    with_library, compiled_then, level = json.loads(run(USE, folder))
    without, compiled, none = json.loads(run(USE, folder, FASTNN_PREBUILT="0"))
    assert (compiled_then, level, none) == ([], "here", "")
    assert compiled == ["activation_forward", "forward", "rows_part"]
    assert with_library == without


def test_a_kernel_that_is_not_there_is_compiled(loaded: Prebuilt) -> None:
    forward = ACTIVATIONS["sigmoid"].units.forward
    assert prebuilt.address("float32", forward.function, forward.made_of)
    assert not prebuilt.address("float64", forward.function, forward.made_of)


def test_a_function_of_a_user_is_compiled(loaded: Prebuilt) -> None:
    """Even one that is called what a formula of fastnn is called, as its closure may hold anything."""
    unit = ACTIVATIONS["sigmoid"].units.forward
    formula = unit.made_of[0].py_func
    held = formula

    def own(x: Any) -> Any:
        return held(x)

    own.__module__, own.__qualname__ = formula.__module__, formula.__qualname__
    assert prebuilt.name_of("float32", unit.function, (own,)) == prebuilt.name_of("float32", unit.function, (formula,))
    assert prebuilt.address("float32", unit.function, (formula,))
    assert not prebuilt.address("float32", unit.function, (own,))
    own.__module__ = None  # type: ignore[assignment]
    assert not prebuilt.address("float32", unit.function, (own,))


def test_sources_that_differ_are_compiled(copy: pathlib.Path) -> None:
    change_index(copy, sources="0" * 32)
    assert reason(copy) == "the kernels' sources are not the ones that it was compiled from"


def test_a_damaged_library_is_not_loaded(copy: pathlib.Path) -> None:
    file = copy / "here.so"
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    assert reason(copy) == f"ValueError: {file} is damaged; install the wheel again"


def test_a_library_that_is_missing(copy: pathlib.Path) -> None:
    (copy / "here.so").unlink()
    assert reason(copy).startswith("FileNotFoundError: ")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"sources": 1}'])
def test_a_damaged_index_is_not_used(text: str, copy: pathlib.Path) -> None:
    (copy / prebuilt.INDEX).write_text(text)
    assert reason(copy)


def test_another_processor(copy: pathlib.Path) -> None:
    change_index(copy, features="avx2 a-feature-of-tomorrow")
    assert reason(copy) == "there is none for this processor among here"


def test_other_vectors(copy: pathlib.Path) -> None:
    """The code around kernels reckons with vectors as wide as theirs."""
    change_index(copy, processor=[4, 1, False, False])
    assert reason(copy) == "there is none for this processor among here"


def test_the_library_is_told_the_caches_of_this_machine(copy: pathlib.Path) -> None:
    with fitted_to(caches.Caches(second=384 << 10)):
        library = load(copy).library
        assert library is not None
        assert list((ctypes.c_int64 * caches.COUNT).in_dll(library, caches.NAME)) == list(caches.TABLE)


def test_the_first_level_that_suits_is_taken(copy: pathlib.Path) -> None:
    file = copy / prebuilt.INDEX
    index = json.loads(file.read_text())
    here = index["levels"]["here"]
    index["levels"] = {"better": {**here, "features": "a-feature-of-tomorrow"}, "here": here, "worse": here}
    file.write_text(json.dumps(index))
    assert load(copy).level == "here"


def test_settings_that_ask_for_other_code(copy: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba.config, "BOUNDSCHECK", 1)
    assert reason(copy) == "NUMBA_BOUNDSCHECK asks for other code"


def test_a_checkout_has_none(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert prebuilt.index_in(tmp_path) is None
    monkeypatch.setattr(prebuilt, "_INDEX", None)
    monkeypatch.delenv("FASTNN_PREBUILT", raising=False)
    assert prebuilt.prebuilt.__wrapped__().reason == "this package was installed without machine code"


def test_code_that_is_refused_is_spoken_of(
    copy: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(prebuilt, "_INDEX", "{}")
    monkeypatch.delenv("FASTNN_PREBUILT", raising=False)
    assert prebuilt.prebuilt.__wrapped__().library is None
    assert capsys.readouterr().err.startswith("fastnn: the wheel's machine code is not used: KeyError: 'sources'")


@pytest.mark.parametrize(("value", "said"), [("no", True), ("2", True), ("", False), ("1", False), ("0", False)])
def test_another_value_of_the_variable_is_spoken_of(
    value: str, said: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FASTNN_PREBUILT", value)
    found = prebuilt.prebuilt.__wrapped__()
    line = f"fastnn: FASTNN_PREBUILT: expected 0 or 1, got {value!r}; it is taken for 1\n"
    assert capsys.readouterr().err == line * said
    assert (found.reason == "FASTNN_PREBUILT=0") == (value == "0")


def test_code_that_names_others_is_not_linked(tmp_path: pathlib.Path) -> None:
    """Such as Numba's functions, which are not there when the wheel's library is loaded."""
    code = 'declare void @numba_do_raise()\ndefine void @"cfunc.f"() {\n call void @numba_do_raise()\n ret void\n}'
    library = SimpleNamespace(_final_module=binding.parse_assembly(code))
    with pytest.raises(RuntimeError, match="numba_do_raise"):
        prebuild.link({"f": library}, tmp_path / "library.so")
    assert not list(tmp_path.iterdir())


def test_every_kernel_has_a_name_of_its_own() -> None:
    prebuild.import_all()
    fastnns = [one for one in UNITS if one.function.__module__.startswith("fastnn.")]
    ours = [one for one in fastnns if all(map(is_told_by_files, one.made_of))]  # without users', from other tests
    names = [prebuilt.name_of("", one.function, one.made_of) for one in ours]
    names += [prebuilt.name_of("", one.around, one.made_of) for one in ENTRIES if isinstance(one, Door)]
    assert len(names) > 100
    assert len(set(names)) == len(names)
