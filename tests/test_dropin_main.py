"""A script under `fastnn dropin` and under `python`: it sees and prints the same, and ends in the same way."""

import os
import pathlib
import subprocess
import sys
from typing import Any

import pytest

from fastnn.kernels.compile import JIT_DISABLED

pytestmark = pytest.mark.skipif(JIT_DISABLED, reason="slow with NUMBA_DISABLE_JIT=1, which scripts do not see")
ROOT = pathlib.Path(__file__).parents[1]
NATIVE, DROPIN = (), ("-m", "fastnn", "dropin")

WORLD = """
import __main__, inspect, io, multiprocessing, pickle, sys, os
number: int = 3

class Net:
    def __init__(self, width=3):
        self.width = width
    def double(self):
        return 2 * self.width

def doubled(net):
    return net.double(), __file__, __name__

if __name__ == "__main__":
    print(__name__, __file__, sys.argv, sys.path[0], os.getcwd(), __package__, __spec__, __cached__, __doc__)
    print(type(__builtins__), type(__loader__), sorted(name for name in vars(__main__)))
    print(__main__ is sys.modules["__main__"], __main__.Net is Net, Net.__module__)
    print(open(os.path.join(os.path.dirname(__file__), "beside.txt")).read())
    print(pickle.loads(pickle.dumps(Net(4))).double(), pickle.dumps(Net(4)))
    print(inspect.getsource(Net.double))
    for method in ("fork", "spawn"):
        with multiprocessing.get_context(method).Pool(1) as pool:
            print(method, pool.map(doubled, [Net(5)]))
    print(sorted(os.listdir(os.path.dirname(__file__))))
"""

ENDINGS = {
    "exit with a number": "sys.exit(3)",
    "exit with a large number": "sys.exit(515)",
    "exit with a text": "print(1); sys.exit('no more')",
    "exit with an object": "sys.exit([1, 2])",
    "exit with nothing": "raise SystemExit",
    "exit in a function": "def f():\n    sys.exit(True)\nf()",
    "an error": "def f():\n    1 / 0\nf()",
    "an error in an error": "try:\n    {}['a']\nexcept KeyError:\n    raise ValueError('b')",
    "an error from an error": "try:\n    {}['a']\nexcept KeyError as error:\n    raise ValueError('b') from error",
    "an error of the files": "open('none')",
    "Ctrl-C": "raise KeyboardInterrupt",
    "Ctrl-C from outside": "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(10)",
    "no Python": "x = (",
    "an end of its own": "import atexit\natexit.register(print, 'at exit')\n1 / 0",
    "an excepthook": "sys.excepthook = lambda kind, error, frames: print(kind, error, frames.tb_lineno)\n1 / 0",
    "stdout closed": "sys.stdout.close()",
    "a warning": "import warnings\nwarnings.warn('old', DeprecationWarning)",
    "a thread": "import threading, time\nthreading.Thread(target=lambda: (time.sleep(0.1), print(__name__))).start()",
}


def run(how: tuple[str, ...], folder: pathlib.Path, *arguments: str) -> Any:
    """The output and exit code of a run; the child is in a group of its own, where Ctrl-C is not ignored."""
    command = ["env", "--default-signal=INT", sys.executable, *how, *arguments]
    settings = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=settings, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout, done.stderr


def test_what_a_script_sees(tmp_path: pathlib.Path) -> None:
    (tmp_path / "chapter").mkdir()
    (tmp_path / "chapter" / "script.py").write_text(WORLD)
    (tmp_path / "chapter" / "beside.txt").write_text("found")
    (tmp_path / "link").symlink_to("chapter")
    (tmp_path / "other.py").symlink_to("chapter/script.py")
    (tmp_path / "beside.txt").write_text("the link's")
    for arguments in (("link/../link/script.py", "--", "--volume", "7"), ("other.py", "-h", "x", "--", "y")):
        native = run(NATIVE, tmp_path, *arguments)
        assert native[0] == 0 and "spawn" in native[1], native[2]
        assert run(DROPIN, tmp_path, *arguments) == native


# One process for all imports fastnn and forks, as importing it takes most of a second.
FORKS = """
import os, sys
from fastnn.command.cli import main
for folder in sys.argv[1:]:
    if os.fork() == 0:
        os.chdir(folder)
        for number, name in enumerate(("out", "err"), start=1):
            os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT), number)
        sys.exit(main(["dropin", "script.py"]))
    print(os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
"""


def test_how_scripts_end(tmp_path: pathlib.Path) -> None:
    folders = [tmp_path / name for name in ENDINGS]
    for folder in folders:
        folder.mkdir()
        (folder / "script.py").write_text(f"import sys\n{ENDINGS[folder.name]}\n")
    code, out, errors = run(("-c", FORKS), tmp_path, *ENDINGS)
    assert code == 0, errors
    for folder, line in zip(folders, out.splitlines(), strict=True):
        native = run(NATIVE, folder, "script.py")
        assert native != (0, "", "") or folder.name in {"exit with nothing", "stdout closed"}
        assert (int(line), (folder / "out").read_text(), (folder / "err").read_text()) == native, folder.name


def test_the_report_of_a_script_that_fails(tmp_path: pathlib.Path) -> None:
    (tmp_path / "script.py").write_text("1 / 0")
    code, out, errors = run(DROPIN, tmp_path, "--report", "script.py")
    assert (code, out) == (1, "\nfastnn: no numerical gradient was asked for\n")
    assert errors == run(NATIVE, tmp_path, "script.py")[2]
