"""Compiles all kernels for the processors of a wheel: `python -m fastnn.prebuild FOLDER`.

It writes a shared library for each level of processors, and their index. kernels/prebuilt.py loads them.
"""

import argparse
import hashlib
import importlib
import json
import os
import pathlib
import pkgutil
import platform
import shutil
import subprocess
import sys
import tempfile
from typing import Any

import numba
import numpy as np
from llvmlite import binding

from fastnn.kernels import prebuilt, processor
from fastnn.kernels.cache import sources_hash
from fastnn.kernels.compile import ENTRIES
from fastnn.kernels.doors import Door
from fastnn.kernels.units import UNITS, Unit, launcher, launcher_code
from fastnn.operations import LOSSES
from fastnn.operations.losses.base import LossUnits

ROOMS = "kernels", "operations", "engine", "functional", "gradients"  # where units and doors are made
DTYPES: tuple[Any, Any] = np.dtype(np.float32), np.dtype(np.float64)


def import_all() -> None:
    """Import the modules that make units and doors."""
    for room in ROOMS:
        package = importlib.import_module(f"fastnn.{room}")
        for module in pkgutil.walk_packages(package.__path__, f"fastnn.{room}."):
            importlib.import_module(module.name)


def called_in_float64() -> list[Unit]:
    """The units that are called in float64 alone, see LossUnits."""
    places = [vars(module) for name, module in sys.modules.items() if name.startswith("fastnn.operations.losses.")]
    values = [value for place in (*places, *map(vars, LOSSES.values())) for value in place.values()]
    units = {value for value in values if isinstance(value, LossUnits)}
    rows = [one.rows for one in units]
    return [unit for one in units for unit in one[1:] if unit is not None and unit not in rows]


def every_code() -> dict[str, Any]:
    """Compile the launcher and each unit and door for each dtype; return the libraries with their code, by name."""
    import_all()
    launcher()
    name, code = launcher_code()
    found, float64_units = {name: code}, called_in_float64()
    doors = [entry for entry in ENTRIES if isinstance(entry, Door)]
    for dtype in DTYPES:
        for unit in UNITS:
            if dtype == DTYPES[1] or unit not in float64_units:
                unit.address(dtype)
                found[prebuilt.name_of(str(dtype), unit.function, unit.made_of)] = unit.libraries[str(dtype)]
        for door in doors:
            door.made_for(dtype)
            found[prebuilt.name_of(str(dtype), door.around, door.made_of)] = door.libraries[str(dtype)]
    return found


def merged(libraries: dict[str, Any]) -> Any:
    """One module of LLVM with a function of each name, and nothing else to be seen from outside."""
    whole = None
    for name, library in sorted(libraries.items()):
        module = binding.parse_bitcode(library._final_module.as_bitcode())
        for one in [*module.functions, *module.global_variables]:
            if one.is_declaration:
                continue
            if one.name.startswith("cfunc."):
                one.name, one.linkage = name, "external"
            else:
                one.linkage = "internal"
        if whole is None:
            whole = module
        else:
            whole.link_in(module)
    return whole


def write_library(file: pathlib.Path) -> None:
    """Compile all for the processor that Numba is told to compile for, and link it as a shared library."""
    module = merged(every_code())
    config: Any = numba.config
    machine = binding.Target.from_triple(binding.get_process_triple()).create_target_machine(
        cpu=config.CPU_NAME, features=config.CPU_FEATURES, opt=3, reloc="pic", codemodel="small"
    )
    with tempfile.TemporaryDirectory() as folder:
        object_file = pathlib.Path(folder) / "kernels.o"
        object_file.write_bytes(machine.emit_object(module))
        # Without the C library, whose functions, such as sqrt and memset, are found in the process that loads it.
        linker = [_linker(), "-shared", "-nostdlib", "-s", "-Wl,-z,noexecstack", "-Wl,--build-id=none"]
        subprocess.run([*linker, "-o", str(file), str(object_file)], check=True)
    print(json.dumps(processor.described()))


def _linker() -> str:
    found = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if not found:
        raise FileNotFoundError("expected a C compiler, which links the kernels: cc, gcc or clang; or set CC")
    return found


def write_all(folder: pathlib.Path) -> None:
    """Write the libraries for all levels of this architecture, each compiled in a process of its own, and the index."""
    folder.mkdir(parents=True, exist_ok=True)
    levels = prebuilt.LEVELS.get(platform.machine().lower(), {})
    running = {}
    for level, features in levels.items():
        environment = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
        environment["NUMBA_CPU_NAME"] = level
        environment["NUMBA_CPU_FEATURES"] = ",".join(f"+{name}" for name in features.split())
        environment |= {"FASTNN_PREBUILT": "0", "FASTNN_CACHE": "0", "NUMBA_THREADING_LAYER": "omp"}
        command = [sys.executable, "-m", __spec__.name, str(folder / f"{level}.so"), "--library"]
        running[level] = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    index: dict[str, Any] = {"sources": sources_hash(), "levels": {}}
    for level, process in running.items():
        described = process.communicate()[0]
        if process.returncode != 0:
            raise RuntimeError(f"the kernels for {level} were not compiled; see above")
        file = folder / f"{level}.so"
        stored = {"file": file.name, "features": levels[level], "processor": json.loads(described)}
        index["levels"][level] = stored | {"sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    (folder / prebuilt.INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("place", type=pathlib.Path, metavar="FOLDER")
    parser.add_argument("--library", action="store_true", help=argparse.SUPPRESS)  # of one level, in a process for it
    given = parser.parse_args()
    (write_library if given.library else write_all)(given.place)
