"""The hook of hatchling that puts machine code into a wheel; fastnn itself does not import it.

`python -m build` compiles all kernels (prebuild.py), which takes two minutes on two processors. `pip install` of a
folder or an sdist does not, as nobody should wait for that while installing: its kernels are compiled when they are
first needed. FASTNN_PREBUILT=1 and 0 decide otherwise.
"""

import os
import pathlib
import platform
import subprocess
import sys
import tempfile
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PLACE = "fastnn/kernels/machine_code"


def is_asked_for() -> bool:
    """Whether a wheel that is built now gets machine code; PIP_BUILD_TRACKER says that pip builds it to install it."""
    asked = os.environ.get("FASTNN_PREBUILT", "0" if "PIP_BUILD_TRACKER" in os.environ else "1")
    return sys.platform.startswith("linux") and asked == "1"


class MachineCode(BuildHookInterface):  # type: ignore[misc]
    """Adds the folder that prebuild.py writes, and the platform to the wheel's name."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """The environment that builds the wheel needs what fastnn needs."""
        return list(self.metadata.core.dependencies) if is_asked_for() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and say what belongs into the wheel."""
        if version != "standard" or not is_asked_for():  # "editable" otherwise
            return
        self._folder = tempfile.TemporaryDirectory()
        command = [sys.executable, "-m", "fastnn.prebuild", self._folder.name]
        subprocess.run(command, cwd=self.root, check=True)
        for file in pathlib.Path(self._folder.name).iterdir():
            build_data["force_include"][str(file)] = f"{PLACE}/{file.name}"
        build_data["pure_python"] = False
        # The machine code needs nothing of the C library that glibc 2.17 does not have.
        build_data["tag"] = f"py3-none-manylinux_2_17_{platform.machine()}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the folder."""
        if hasattr(self, "_folder"):
            self._folder.cleanup()
