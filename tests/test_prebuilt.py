"""Machine code that comes with the package: a library of a few kernels is loaded, or refused with its reason."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
from typing import Any

import pytest

import fastnn
from fastnn import prebuild
from fastnn.kernels import prebuilt
from fastnn.kernels.compile import ENTRIES, JIT_DISABLED
from fastnn.kernels.doors import Door
from fastnn.kernels.units import UNITS
from fastnn.operations import ACTIVATIONS

PARENT = str(pathlib.Path(fastnn.__file__).parents[1])
pytestmark = [
    pytest.mark.skipif(JIT_DISABLED, reason="about compiled code"),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="wheels with machine code are for Linux"),
    pytest.mark.skipif(not shutil.which(os.environ.get("CC", "cc")), reason="no linker"),
]

BUILD = """
import pathlib, sys
import numpy as np
import fastnn
from fastnn import prebuild
from fastnn.engine.interpreters import on_arrays
from fastnn.kernels import prebuilt
from fastnn.operations import ACTIVATIONS

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
from fastnn.kernels import prebuilt
prebuilt.FOLDER = pathlib.Path(sys.argv[1])
import fastnn
from fastnn.engine.interpreters import on_arrays
from fastnn.kernels.compile import ENTRIES
from fastnn.kernels.units import UNITS
x = np.random.default_rng(0).standard_normal((37, 23)).astype(np.float32)
y = fastnn.activation_forward("sigmoid", x)
made = [one for one in [*ENTRIES, *UNITS] if getattr(one, "libraries", None)]
compiled = [getattr(one, "function", one).__name__ for one in made]
print(json.dumps([hashlib.sha256(y).hexdigest(), sorted(compiled), prebuilt.prebuilt().reason]))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A library of the three functions that sigmoid of a float32 array needs, and its index."""
    made = tmp_path_factory.mktemp("machine_code")
    run(BUILD, made, FASTNN_CACHE="0")
    return made


@pytest.fixture
def copy(folder: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A copy of it, where this process looks."""
    place = shutil.copytree(folder, tmp_path / "copy")
    monkeypatch.setattr(prebuilt, "FOLDER", place)
    for name in ("FASTNN_PREBUILT", *prebuilt.SETTINGS):
        monkeypatch.delenv(name, raising=False)
    return place


def run(code: str, folder: pathlib.Path, **variables: str) -> str:
    """The output of a new process that runs the code."""
    environment = {**os.environ, "PYTHONPATH": PARENT, "FASTNN_PREBUILT": "1", **variables}
    command = [sys.executable, "-c", code, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def change_index(folder: pathlib.Path, **changes: Any) -> None:
    """Change entries of the index, or of its only level."""
    file = folder / prebuilt.INDEX
    index = json.loads(file.read_text())
    for name, value in changes.items():
        (index if name in index else index["levels"]["here"])[name] = value
    file.write_text(json.dumps(index))


def reason() -> str:
    """Why no library is loaded from the folder."""
    found = prebuilt.prebuilt.__wrapped__()
    assert found.library is None
    return str(found.reason)


def test_same_bits_and_nothing_compiled(folder: pathlib.Path) -> None:
    with_library, compiled_then, level = json.loads(run(USE, folder))
    without, compiled, why = json.loads(run(USE, folder, FASTNN_PREBUILT="0"))
    assert (compiled_then, level, why) == ([], "here", "FASTNN_PREBUILT=0")
    assert compiled == ["activation_forward", "forward", "rows_part"]
    assert with_library == without


def test_a_kernel_that_is_not_there_is_compiled(copy: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = prebuilt.prebuilt.__wrapped__()
    monkeypatch.setattr(prebuilt, "prebuilt", lambda: loaded)
    forward = ACTIVATIONS["sigmoid"].units.forward
    assert prebuilt.address("float32", forward.function, forward.made_of)
    assert not prebuilt.address("float64", forward.function, forward.made_of)


def test_a_function_of_a_user_is_compiled(copy: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even one that calls itself what a formula of fastnn is called."""

    def own(x: Any) -> Any:
        return x

    loaded = prebuilt.prebuilt.__wrapped__()
    monkeypatch.setattr(prebuilt, "prebuilt", lambda: loaded)
    unit = ACTIVATIONS["sigmoid"].units.forward
    formula = unit.made_of[0].py_func
    own.__module__, own.__qualname__ = formula.__module__, formula.__qualname__
    own_with_cell = (lambda one: lambda x: one(x))(own)
    own_with_cell.__module__, own_with_cell.__qualname__ = formula.__module__, formula.__qualname__
    assert not prebuilt.address("float32", unit.function, (own_with_cell,))


def test_sources_that_differ_are_compiled(copy: pathlib.Path) -> None:
    change_index(copy, sources="0" * 32)
    assert reason() == "the kernels' sources have changed since the wheel was built"


def test_a_damaged_library_is_not_loaded(copy: pathlib.Path) -> None:
    file = copy / "here.so"
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    assert reason() == f"{file} is damaged; install the wheel again"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"sources": 1}'])
def test_a_damaged_index_is_not_used(text: str, copy: pathlib.Path) -> None:
    (copy / prebuilt.INDEX).write_text(text)
    assert reason()


def test_another_processor(copy: pathlib.Path) -> None:
    change_index(copy, features="avx2 a-feature-of-tomorrow")
    assert reason() == "none for this processor among here"


def test_other_vectors(copy: pathlib.Path) -> None:
    """The code around kernels reckons with vectors as wide as theirs."""
    change_index(copy, processor=[4, 1, False, False])
    assert reason() == "none for this processor among here"


@pytest.mark.parametrize("name", prebuilt.SETTINGS)
def test_settings_that_ask_for_other_code(name: str, copy: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "1")
    assert reason() == f"{name}=1 asks for other code"


def test_a_checkout_has_none(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prebuilt, "FOLDER", tmp_path)
    monkeypatch.setenv("FASTNN_PREBUILT", "1")
    assert reason() == "installed without; a wheel has them"


def test_every_kernel_has_a_name_of_its_own() -> None:
    prebuild.import_all()
    names = [
        prebuilt.name_of("", one.function, one.made_of) for one in UNITS if one.function.__module__[:6] == "fastnn"
    ]
    names += [prebuilt.name_of("", one.around, one.made_of) for one in ENTRIES if isinstance(one, Door)]
    assert len(names) > 100
    assert len(set(names)) == len(names)
