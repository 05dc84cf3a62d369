"""Run with the Python that has the wheel installed, outside the checkout: `python check_wheel.py WHEEL README.md`.

Checks what the wheel holds, that fastnn is imported from it, and that the README's script runs as printed.
"""

import pathlib
import re
import subprocess
import sys
import zipfile

WANTED = {"fastnn/py.typed", "fastnn/datasets/digits.npz", "fastnn/datasets/DIGITS.md", "fastnn/kernels/simd.py"}


def main(wheel: str, readme: str) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert names >= WANTED, f"missing from the wheel: {WANTED - names}"
    strangers = {name for name in names if not name.startswith(("fastnn/", "fastnn_kernels-"))}
    assert not strangers, f"not to be in the wheel: {strangers}"
    assert any(name.endswith("licenses/LICENSE") for name in names), "no license in the wheel"

    import fastnn

    assert pathlib.Path(fastnn.__file__).is_relative_to(sys.prefix), f"imported from {fastnn.__file__}"
    script = re.search(r"```python\n(.*?)```", pathlib.Path(readme).read_text(encoding="utf-8"), re.DOTALL)
    assert script, "no script in the README"
    subprocess.run([sys.executable, "-W", "error", "-c", script.group(1)], check=True)
    subprocess.run([sys.executable, "-m", "fastnn", "info", "--json"], check=True)
    print(f"the wheel holds {len(names)} files, and the README's script runs from it")


if __name__ == "__main__":
    main(*sys.argv[1:])
