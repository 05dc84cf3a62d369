"""Compiles all kernels for the processors of a wheel: `python -m fastnn.prebuild FOLDER`.

It writes a shared library for each level of processors, and their index. kernels/prebuilt.py loads them.
"""

import argparse
import ctypes
import hashlib
import importlib
import json
import os
import pathlib
import pkgutil
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from typing import Any

import numba
import numpy as np
from llvmlite import binding

from fastnn.engine.interpreters import perturbing
from fastnn.engine.plan import INDEXED, PERTURBING, SPARSE, TRAINING
from fastnn.kernels import caches, prebuilt, processor
from fastnn.kernels.cache import code_settings, sources_hash
from fastnn.kernels.clocks import note_clock
from fastnn.kernels.compile import ENTRIES
from fastnn.kernels.doors import Door, kinds_of
from fastnn.kernels.ground import OWN
from fastnn.kernels.units import UNITS, launcher_code
from fastnn.operations import LAYERS, LOSSES
from fastnn.operations.losses.base import LossUnits

FOLDERS = "kernels", "operations", "engine", "functional", "gradients"  # where units and doors are made
OUTSIDE = {"pow", "pthread_getcpuclockid", "pthread_self", "sqrt", "sqrtf"}  # LLVM adds memset, and makes roots itself
PERTURBS = "perturb_part", "prepare_part", "perturb", "prepare"
DTYPES: tuple[Any, Any] = np.dtype(np.float32), np.dtype(np.float64)


def import_all() -> None:
    """Import the modules that make units and doors."""
    for folder in FOLDERS:
        package = importlib.import_module(f"fastnn.{folder}")
        for module in pkgutil.walk_packages(package.__path__, f"fastnn.{folder}."):
            importlib.import_module(module.name)


def called_in_float64() -> list[Any]:
    """The units and doors that are called in float64 alone, such as numerical gradients' own."""
    places = [vars(module) for name, module in sys.modules.items() if name.startswith("fastnn.operations.losses.")]
    values = [value for place in (*places, *map(vars, LOSSES.values())) for value in place.values()]
    losses = {value for value in values if isinstance(value, LossUnits)}
    rows = [one.rows for one in losses]
    found: list[Any] = [unit for one in losses for unit in one.all() if unit not in rows]
    trained = [getattr(layer.units, role) for layer in LAYERS.values() for role in (*TRAINING, *SPARSE, *INDEXED)]
    perturbed = [getattr(layer.units, role) for layer in LAYERS.values() for role in PERTURBING]
    found += [unit for unit in perturbed if unit not in trained]
    found += [door for door in ENTRIES if isinstance(door, Door) and OWN not in kinds_of(door.py_func)]
    return [
        *found,
        perturbing.perturb_part,
        perturbing.prepare_part,
        perturbing.perturb,
        perturbing.prepare,
        note_clock,
    ]


def every_code() -> dict[str, Any]:
    """Compile the launcher and each unit and door for each dtype; return the libraries with their code, by name."""
    import_all()
    found, float64_only = dict([launcher_code()]), called_in_float64()
    doors = [entry for entry in ENTRIES if isinstance(entry, Door)]
    for dtype in DTYPES:
        others = float64_only if dtype == DTYPES[0] else []
        for unit in UNITS:
            if unit not in others:
                unit.address(dtype)
                found[prebuilt.name_of(str(dtype), unit.function, unit.made_of)] = unit.libraries[str(dtype)]
        for door in doors:
            if door not in others:
                door.made_for(dtype)
                found[prebuilt.name_of(str(dtype), door.around, door.made_of)] = door.libraries[str(dtype)]
    return found


def merged(libraries: dict[str, Any]) -> Any:
    """One module of LLVM with a function of each name, and nothing else to be seen from outside."""
    whole: Any = None
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
    whole.link_in(binding.parse_assembly(caches.definition()))
    outside = {one.name for one in [*whole.functions, *whole.global_variables] if one.is_declaration}
    strangers = {name for name in outside if not name.startswith("llvm.")} - OUTSIDE
    if strangers:
        raise RuntimeError(f"expected machine code that names {', '.join(sorted(OUTSIDE))} alone, got {strangers}")
    return whole


def link(libraries: dict[str, Any], file: pathlib.Path) -> dict[str, Any]:
    """Write a shared library with the code of `every_code`; return what the index says of it."""
    config: Any = numba.config
    machine = binding.Target.from_triple(binding.get_process_triple()).create_target_machine(
        cpu=config.CPU_NAME or binding.get_host_cpu_name(),
        features=binding.get_host_cpu_features().flatten() if config.CPU_FEATURES is None else config.CPU_FEATURES,
        opt=3, reloc="pic", codemodel="small",
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        object_file = pathlib.Path(folder) / "kernels.o"
        object_file.write_bytes(machine.emit_object(merged(libraries)))
        # Without the C library, whose functions, such as memset, are found in the process that loads it.
        command = [*linker(), "-shared", "-nostdlib", "-s", "-Wl,-z,noexecstack", "-Wl,--build-id=none"]
        subprocess.run([*command, "-o", str(file), str(object_file)], check=True)
    opened = ctypes.CDLL(str(file))  # which runs nothing of it
    for name in libraries:
        opened[name]  # AttributeError if it is not there
    checksum = hashlib.sha256(file.read_bytes()).hexdigest()
    return {"file": file.name, "sha256": checksum, "features": "", "processor": processor.described()}


def linker() -> list[str]:
    """The command that links a shared library: the C compiler; FileNotFoundError if there is none."""
    command = shlex.split(os.environ.get("CC", ""))
    found = command or [one for one in map(shutil.which, ("cc", "gcc", "clang")) if one][:1]
    if not found:
        raise FileNotFoundError("expected a C compiler, which links the kernels: install gcc or clang, or set CC")
    return found


def write_index(folder: pathlib.Path, levels: dict[str, Any]) -> None:
    """Write what kernels/prebuilt.py reads first: the libraries of all levels, the best first."""
    settings = code_settings()
    del settings["USING_SVML"]  # OUTSIDE has nothing of Intel's library, which a user may have
    text = json.dumps({"sources": sources_hash(), "settings": settings, "levels": levels}, indent=1)
    (folder / prebuilt.INDEX).write_text(text + "\n", encoding="utf-8")


def write_all(folder: pathlib.Path) -> None:
    """Write the libraries for all levels of this architecture, each compiled in a process of its own, and the index."""
    linker()
    folder.mkdir(parents=True, exist_ok=True)
    levels = prebuilt.LEVELS.get(platform.machine().lower(), {})
    running = {}
    for level, features in levels.items():
        ours = "FASTNN_", "NUMBA_", "PYTHONSAFEPATH"  # which would change the code, or what is imported
        environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        environment["PYTHONPATH"] = str(pathlib.Path(__file__).parents[1])
        environment["NUMBA_CPU_NAME"] = level
        environment["NUMBA_CPU_FEATURES"] = ",".join(f"+{name}" for name in features.split())
        environment |= {"FASTNN_PREBUILT": "0", "FASTNN_CACHE": "0"}
        command = [sys.executable, "-m", "fastnn.prebuild", str(folder / f"{level}.so"), "--library"]
        running[level] = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    found = {level: process.communicate()[0] for level, process in running.items()}
    for level, process in running.items():
        if process.returncode != 0:
            raise RuntimeError(f"the kernels for {level} were not compiled; see above")
    write_index(folder, {level: json.loads(found[level]) | {"features": levels[level]} for level in levels})


def main() -> None:
    """Write all libraries into a folder, or the one of a level, which Numba is told to compile for, into a file."""
    parser = argparse.ArgumentParser(prog="python -m fastnn.prebuild", description=__doc__)
    parser.add_argument("place", type=pathlib.Path, metavar="FOLDER")
    parser.add_argument("--library", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.library:
        print(json.dumps(link(every_code(), given.place)))
    else:
        write_all(given.place)


if __name__ == "__main__":
    main()
