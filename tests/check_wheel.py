"""Run with the Python that has the wheel installed, outside the checkout: `python check_wheel.py WHEEL README.md`.

Checks what the wheel holds, that fastnn is imported from it, that the README's script runs as printed, and that the
machine code in it computes the same bits as kernels that are compiled now.
"""

import json
import os
import pathlib
import platform
import re
import subprocess
import sys
import zipfile
from typing import Any

WANTED = {
    "fastnn/py.typed", "fastnn/datasets/digits.npz", "fastnn/datasets/DIGITS.md", "fastnn/kernels/simd.py",
    *(f"fastnn/playground/page/{name}" for name in ("page.html", "page.css", "page.js", "drawing.js", "state.js")),
}  # fmt: skip


MOST_BYTES = 6_000_000
# Kernels that tests/every_kernel.py does not ask for: a place holder, and what only recognized functions need.
NOT_ASKED = {
    "fastnn.kernels.doors._door_of+fastnn.engine.interpreters.on_arrays.rows",
    "fastnn.operations.losses.base.no_labels_rows",
    "fastnn.operations.losses.softmax_changes.offset_change",
    "fastnn.operations.losses.softmax_changes.offset_change_along",
    "fastnn.operations.losses.softmax_changes.offset_change_of_one",
}


def every_kernel(**variables: str) -> dict[str, Any]:
    """What tests/every_kernel.py prints."""
    command, environment = [sys.executable, "-W", "error", "-m", "tests.every_kernel"], {**os.environ, **variables}
    found: dict[str, Any] = json.loads(subprocess.run(command, env=environment, stdout=-1, check=True).stdout)
    return found


def check_machine_code() -> None:
    """The machine code is used for every kernel, and gives the bits of kernels that are compiled now, at each level."""
    from fastnn import prebuild
    from fastnn.kernels import prebuilt, processor
    from fastnn.kernels.compile import ENTRIES
    from fastnn.kernels.doors import Door
    from fastnn.kernels.units import UNITS

    found = prebuilt.prebuilt()
    assert found.library is not None, found.reason
    prebuild.import_all()
    in_float64_alone = prebuild.called_in_float64()
    doors = [one for one in ENTRIES if isinstance(one, Door)]
    assert [one.__name__ for one in ENTRIES if one not in doors] == ["evaluate"], "what Numba must compile"
    levels = prebuilt.LEVELS[platform.machine()]
    assert {file.name for file in prebuilt.FOLDER.iterdir()} == {prebuilt.INDEX, *(f"{one}.so" for one in levels)}
    wanted = [(one, one.function, one.made_of) for one in UNITS] + [(one, one.around, one.made_of) for one in doors]
    with_code = every_kernel()
    for one, function, made_of in wanted:
        for dtype in ("float32", "float64"):
            name, has_code = prebuilt.name_of(dtype, function, made_of), prebuilt.address(dtype, function, made_of) != 0
            assert has_code != (dtype == "float32" and one in in_float64_alone), name
            is_seldom = name.rpartition("+")[0] in NOT_ASKED
            assert not has_code or is_seldom or name in with_code["asked"], name
    assert all(with_code["asked"].values())
    without = every_kernel(FASTNN_PREBUILT="0")
    assert not any(without["asked"].values())
    assert with_code["hashes"] == without["hashes"]
    for level, features in levels.items():
        if set(features.split()) <= processor.FEATURES:
            variables = {"NUMBA_CPU_NAME": level, "NUMBA_CPU_FEATURES": ",".join(f"+{one}" for one in features.split())}
            for_level = every_kernel(**variables)
            assert all(for_level["asked"].values()), level
            assert for_level["hashes"] == with_code["hashes"], level
    print(f"{len(with_code['asked'])} kernels for {found.level} give the bits of kernels that are compiled now")


def main(wheel: str, readme: str) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert names >= WANTED, f"missing from the wheel: {WANTED - names}"
    strangers = {name for name in names if not name.startswith(("fastnn/", "fastnn_kernels-"))}
    assert not strangers, f"not to be in the wheel: {strangers}"
    has_code = "py3-none-manylinux" in wheel
    assert has_code or not sys.platform.startswith("linux"), "a wheel for Linux has machine code"
    assert pathlib.Path(wheel).stat().st_size < MOST_BYTES
    assert any(name.endswith("licenses/LICENSE") for name in names), "no license in the wheel"

    import fastnn

    assert pathlib.Path(fastnn.__file__).is_relative_to(sys.prefix), f"imported from {fastnn.__file__}"
    script = re.search(r"```python\n(.*?)```", pathlib.Path(readme).read_text(encoding="utf-8"), re.DOTALL)
    assert script, "no script in the README"
    subprocess.run([sys.executable, "-W", "error", "-c", script.group(1)], check=True)
    subprocess.run([sys.executable, "-m", "fastnn", "info", "--json"], check=True)
    if has_code:
        check_machine_code()
    print(f"the wheel holds {len(names)} files, and the README's script runs from it")


if __name__ == "__main__":
    main(*sys.argv[1:])
