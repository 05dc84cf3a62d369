"""Scripts in processes that begin with Numba and its registries loaded, which takes longer than most of the scripts."""

import json
import os
import pathlib
import select
import signal
import subprocess
import sys

SECONDS = 120.0  # for a script

# Each line of the input is a script with its environment and its folder. A forked child runs it and the process answers
# with the exit code. The child sees what a process of its own would see.
SERVER = """
import json, os, sys, traceback
from numba.core import config
from numba.core.registry import cpu_target
cpu_target.typing_context.refresh()
cpu_target.target_context.refresh()

def run(script, environment, folder):
    os.chdir(folder)
    for number, name in ((1, "output"), (2, "errors")):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.environ.clear()
    os.environ.update(environment)
    config.reload_config()
    sys.path[1:1] = environment["PYTHONPATH"].split(os.pathsep)
    code = 1
    try:
        exec(compile(script, "<script>", "exec"), {"__name__": "__main__"})
        code = 0
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)

for line in sys.stdin:
    child = os.fork()
    if child == 0:
        run(*json.loads(line))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Forks:
    """The process that forks, one child after the other. Where there is no fork, each script has a new process."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        if hasattr(os, "fork"):
            self.process = self._started()

    def _started(self) -> "subprocess.Popen[str]":
        """A new process, which leads a group with its children."""
        return subprocess.Popen(
            [sys.executable, "-B", "-W", "error", "-c", SERVER],
            env={**os.environ, "NUMBA_DISABLE_JIT": "0"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, script: str, environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
        """Run a script, and wait for it."""
        if not hasattr(os, "fork"):
            command = [sys.executable, "-B", "-W", "error", "-c", script]
            return subprocess.run(
                command, env=environment, cwd=self.folder, capture_output=True, text=True, check=False
            )
        assert self.process.stdin is not None and self.process.stdout is not None
        print(json.dumps([script, environment, str(self.folder)]), file=self.process.stdin, flush=True)
        answers = self.process.stdout
        if not select.select([answers], [], [], SECONDS)[0]:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.communicate()
            self.process = self._started()
            raise subprocess.TimeoutExpired(script, SECONDS)
        code = int(answers.readline())
        output, errors = ((self.folder / name).read_text() for name in ("output", "errors"))
        return subprocess.CompletedProcess(script, code, output, errors)

    def output(self, script: str, environment: dict[str, str]) -> str:
        """The output of a script that must succeed."""
        done = self.run(script, environment)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    def close(self) -> None:
        """End the process."""
        if hasattr(os, "fork"):
            self.process.communicate(timeout=60)
