"""The hook that decides whether a wheel gets machine code."""

import importlib.util
import pathlib
import sys
from typing import Any

import pytest

ROOT = pathlib.Path(__file__).parents[1]
HOOK = ROOT / ".ci" / "wheel.py"
pytestmark = [
    pytest.mark.skipif(not HOOK.exists(), reason="the tests are not in a checkout"),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="wheels with machine code are for Linux"),
]


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The hook's module, outside of pip, on a machine that it knows, with a compiler."""
    pytest.importorskip("hatchling")
    spec = importlib.util.spec_from_file_location("wheel_hook", HOOK)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in ("FASTNN_COMPILE_WHEEL", "PIP_BUILD_TRACKER", "CC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(module.platform, "libc_ver", lambda: ("glibc", "2.36"))
    monkeypatch.setattr(module.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(module.shutil, "which", lambda name: f"/usr/bin/{name}")
    return module


def test_build_compiles(hook: Any) -> None:
    assert hook.is_asked_for()


def test_pip_does_not_wait(hook: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_BUILD_TRACKER", "/tmp/tracker")
    assert not hook.is_asked_for()
    monkeypatch.setenv("FASTNN_COMPILE_WHEEL", "1")
    assert hook.is_asked_for()


def test_nobody_waits_who_says_so(hook: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTNN_COMPILE_WHEEL", "0")
    assert not hook.is_asked_for()


@pytest.mark.parametrize(("name", "value"), [("libc_ver", ("", "")), ("machine", "ppc64le")])
def test_other_systems_have_a_wheel_without(name: str, value: Any, hook: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hook.platform, name, lambda: value)
    monkeypatch.setenv("FASTNN_COMPILE_WHEEL", "1")
    assert not hook.is_asked_for()


def test_without_a_compiler_the_wheel_has_none(
    hook: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(hook.shutil, "which", lambda name: None)
    assert not hook.is_asked_for()
    assert capsys.readouterr().err == "fastnn: no C compiler, so the wheel gets no machine code\n"


def test_an_editable_install_has_none(hook: Any, tmp_path: pathlib.Path) -> None:
    data: dict[str, Any] = {"force_include": {}}
    made = hook.MachineCode(str(ROOT), {}, None, None, str(tmp_path), "wheel")
    made.initialize("editable", data)
    made.finalize("editable", data, "")
    assert data == {"force_include": {}}
    assert not list(tmp_path.iterdir())
