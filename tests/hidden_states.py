"""Ways in which a loss may read a number that changes: the factors of hidden units as a function, and the change."""

import enum
import os
import sys
import types
import weakref
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

H = 20  # hidden units
UNIT = 3  # the one that changes
PACKAGE = "package_of_a_test"


def gates(value: Any) -> Any:
    """The factors of all hidden units, of which one may be changed."""
    result = np.ones(H)
    result[UNIT] = value
    return result


class Holder:
    gate = 1.0


class Number(float):
    gate = 1.0


class Kind(enum.Enum):
    ONE = 1


class Slots:
    __slots__ = ("gate",)

    def __init__(self) -> None:
        self.gate = 1.0


class ListOfOne(list[float]):
    gate = 1.0


class Meta(type):
    gate = 1.0


class OfMeta(metaclass=Meta):
    pass


class Called:
    def __init__(self) -> None:
        self.gate = 1.0

    def __call__(self) -> float:
        return self.gate


HIDDEN = Called()


class OfDunder:
    __gate__ = HIDDEN


os_like, system, numbers = os, sys, {"gate": 1.0}


def made(name: str) -> Any:
    module = types.ModuleType(name)
    vars(module).update(GATE=1.0, OPTIONS={"gate": 1.0}, GATES=gates(1.0))
    return module


def install(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module `settings` in a package, whose function reads a global of its own."""
    package, module = made(PACKAGE), made(f"{PACKAGE}.settings")
    package.settings = module
    exec("def gate():\n    return GATE\n", vars(module))
    monkeypatch.setitem(sys.modules, PACKAGE, package)
    monkeypatch.setitem(sys.modules, f"{PACKAGE}.settings", module)
    monkeypatch.setitem(globals(), "package", package)
    monkeypatch.setitem(globals(), "gate_of_module", 1.0)
    return module


def by_import(settings: Any) -> Any:
    def factors() -> Any:
        from package_of_a_test import settings as found  # type: ignore[import-not-found]

        return gates(found.GATE)

    return factors, lambda: setattr(settings, "GATE", 3.0)


def by_attribute(settings: Any) -> Any:
    holder = types.SimpleNamespace(settings=settings)
    return lambda: gates(holder.settings.GATE), lambda: setattr(settings, "GATE", 3.0)


def by_dictionary(settings: Any) -> Any:
    held = {"settings": settings}
    return lambda: gates(held["settings"].GATE), lambda: setattr(settings, "GATE", 3.0)


def by_closure(settings: Any) -> Any:
    return lambda: gates(settings.GATE), lambda: setattr(settings, "GATE", 3.0)


def by_default(settings: Any) -> Any:
    def factors(given: Any = settings) -> Any:
        return gates(given.GATE)

    return factors, lambda: setattr(settings, "GATE", 3.0)


def by_package(settings: Any) -> Any:
    return lambda: gates(package.settings.OPTIONS["gate"]), lambda: settings.OPTIONS.update(gate=3.0)  # type: ignore[name-defined]  # noqa: F821


def by_package_in_place(settings: Any) -> Any:
    return lambda: package.settings.GATES, lambda: settings.GATES.__setitem__(UNIT, 3.0)  # type: ignore[name-defined]  # noqa: F821


def by_function_of_module(settings: Any) -> Any:
    return lambda: gates(package.settings.gate()), lambda: setattr(settings, "GATE", 3.0)  # type: ignore[name-defined]  # noqa: F821


def by_globals(settings: Any) -> Any:
    return lambda: gates(globals()["gate_of_module"]), lambda: globals().update(gate_of_module=3.0)


def by_getattr(settings: Any) -> Any:
    name = "GATE"
    return lambda: gates(getattr(settings, name)), lambda: setattr(settings, "GATE", 3.0)


def by_modules(settings: Any) -> Any:
    return (lambda: gates(system.modules["package_of_a_test.settings"].GATE), lambda: setattr(settings, "GATE", 3.0))


def by_environment(settings: Any) -> Any:
    os.environ["GATE_OF_A_TEST"] = "1"
    return (lambda: gates(float(os_like.environ["GATE_OF_A_TEST"])), lambda: os.environ.update(GATE_OF_A_TEST="3"))


def by_load(settings: Any, tmp_path: Path) -> Any:
    path = str(tmp_path / "gates.npy")
    np.save(path, gates(1.0))
    return lambda: np.load(path), lambda: np.save(path, gates(3.0))


def by_open(settings: Any, tmp_path: Path) -> Any:
    path = str(tmp_path / "gate.txt")
    Path(path).write_text("1")

    def factors() -> Any:
        with open(path) as file:
            return gates(float(file.read()))

    return factors, lambda: Path(path).write_text("3")


def by_record(settings: Any) -> Any:
    record = np.ones(1, [("gate", float)])[0].copy()
    return lambda: gates(record["gate"]), lambda: record.__setitem__("gate", 3.0)


def by_number(settings: Any) -> Any:
    number = Number(1.0)
    return lambda: gates(number.gate), lambda: setattr(number, "gate", 3.0)


def by_enum(settings: Any) -> Any:
    vars(Kind.ONE)["gate"] = 1.0
    return lambda: gates(Kind.ONE.gate), lambda: vars(Kind.ONE).update(gate=3.0)  # type: ignore[attr-defined]


def by_dunder(settings: Any) -> Any:
    HIDDEN.gate = 1.0
    return lambda: gates(OfDunder.__gate__()), lambda: setattr(HIDDEN, "gate", 3.0)


def by_slots(settings: Any) -> Any:
    held = Slots()
    return lambda: gates(held.gate), lambda: setattr(held, "gate", 3.0)


def by_memoryview(settings: Any) -> Any:
    values = memoryview(bytearray(b"\x01"))
    return lambda: gates(values[0]), lambda: values.__setitem__(0, 3)


def by_list_subclass(settings: Any) -> Any:
    held = ListOfOne([1.0])
    return lambda: gates(held[0]), lambda: held.__setitem__(0, 3.0)


def by_metaclass(settings: Any) -> Any:
    Meta.gate = 1.0
    return lambda: gates(OfMeta.gate), lambda: setattr(Meta, "gate", 3.0)


def by_weak_reference(settings: Any) -> Any:
    holder = Holder()
    reference = weakref.ref(holder)
    return lambda: gates(reference().gate), lambda: setattr(holder, "gate", 3.0)  # type: ignore[union-attr]


def by_base_of_view(settings: Any) -> Any:
    whole = np.ones(2)
    view = whole[:1]
    return lambda: gates(view.base[1]), lambda: whole.__setitem__(1, 3.0)  # type: ignore[index]


def by_objects(settings: Any) -> Any:
    values = np.array([1.0, [1.0]], object)
    return lambda: gates(values[1][0]), lambda: values[1].__setitem__(0, 3.0)


def by_format(settings: Any) -> Any:
    return lambda: gates(float("{.GATE}".format(settings))), lambda: setattr(settings, "GATE", 3.0)  # noqa: UP032


def by_pattern(settings: Any) -> Any:
    def factors() -> Any:
        match settings:
            case types.ModuleType(GATE=value):
                return gates(value)

    return factors, lambda: setattr(settings, "GATE", 3.0)


def by_ordered_attribute(settings: Any) -> Any:
    held: Any = OrderedDict()
    held.gate = 1.0
    return lambda: gates(held.gate), lambda: setattr(held, "gate", 3.0)


def by_zero(settings: Any) -> Any:
    """1/0.0 and 1/-0.0 differ though the two numbers are equal."""
    held = [0.0]
    return lambda: gates(2.0 + np.copysign(1.0, held[0])), lambda: held.__setitem__(0, -0.0)


WAYS = [value for name, value in list(globals().items()) if name.startswith("by_")]
