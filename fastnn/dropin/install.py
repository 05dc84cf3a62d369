"""A finder, before all others, that gives scripts the replaced modules.

A module of fastnn's takes the place of one that a script does not have or that cannot be imported. A module that it has
is executed as always, and those of its names that agree with ours become ours.
"""

import importlib
import importlib.abc
import importlib.machinery
import pathlib
import sys
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

from fastnn.dropin import agreement
from fastnn.system import messages

HERE = "fastnn.dropin"
VOLUME_1 = {
    "common": f"{HERE}.common",
    **{
        f"common.{name}": f"{HERE}.common.{name}"
        for name in [
            "functions",
            "gradient",
            "layers",
            "multi_layer_net",
            "multi_layer_net_extend",
            "optimizer",
            "trainer",
            "util",
        ]
    },
    "dataset": f"{HERE}.dataset",
    "dataset.mnist": f"{HERE}.dataset.mnist",
}
VOLUME_2 = {
    "common": f"{HERE}.volume2.common",
    **{
        f"common.{name}": f"{HERE}.volume2.common.{name}"
        for name in ["base_model", "config", "functions", "layers", "np", "optimizer", "trainer", "util"]
    },
}
VOLUMES = {1: VOLUME_1, 2: VOLUME_2}
ALWAYS_OURS = "dataset"  # it reads the same files and can download them; the books' address has gone


class FallThrough:
    """The __path__ of a replaced package: the folders of that name on the present sys.path.

    Scripts extend sys.path before they import, sometimes late. Modules that fastnn does not replace are found there.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __iter__(self) -> Iterator[str]:
        for folder in sys.path:
            other = pathlib.Path(folder or ".") / self.name
            if other.is_dir():
                yield str(other)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __getitem__(self, i: int) -> str:
        return list(self)[i]


class Loader(importlib.abc.Loader):
    """Executes the script's own module, if any, and puts our names into it; otherwise ours takes its place."""

    def __init__(self, ours: str, own: Any) -> None:
        self.ours, self.own = ours, own

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        """The own loader's module, which for a file is None."""
        module: ModuleType | None = self.own.create_module(spec) if self.own else None
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Execute the own module once, as without fastnn."""
        name = module.__name__
        if self.own is None:
            self._take_place(name)
            return
        module.__loader__ = self.own
        if module.__spec__ is not None:
            module.__spec__.loader = self.own
        try:
            self.own.exec_module(module)
        except Exception as error:
            messages.tell(
                f"fastnn: {name} cannot be imported ({type(error).__name__}: {error}); fastnn's takes its place"
            )
            self._take_place(name)
            return
        if "." not in name:
            return
        reasons = agreement.unlike(module, importlib.import_module(self.ours))
        if reasons:
            kept = ", ".join(f"{name} ({reason})" for name, reason in reasons.items())
            messages.tell(f"fastnn: {name} keeps the script's own {kept}; --force or install(force=True) replaces them")

    def _take_place(self, name: str) -> None:
        if "." in name:  # a package holds nothing but its path
            sys.modules[name] = importlib.import_module(self.ours)


class Finder(importlib.abc.MetaPathFinder):
    """Finds the modules of a volume."""

    def __init__(self, names: dict[str, str], force: bool) -> None:
        self.names, self.force = names, force

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The spec of a module of the volume, with the script's own file if it has one; None for other names."""
        ours = self.names.get(name)
        if ours is None:
            return None
        package, _, submodule = name.partition(".")
        spec = None
        if not self.force and package != ALWAYS_OURS:
            spec = importlib.machinery.PathFinder.find_spec(name, list(FallThrough(package)) if submodule else None)
        own = None if spec is None else spec.loader
        if spec is None or own is None:
            spec = importlib.machinery.ModuleSpec(name, None, is_package=not submodule)
        spec.loader = Loader(ours, own)
        if not submodule:
            folders: Any = FallThrough(package)
            spec.submodule_search_locations = folders
        return spec


_installed: list[Finder] = []  # one, or none


def install(volume: int = 1, *, force: bool = False) -> None:
    """Replace the modules `common` and `dataset` of a volume for all imports that follow in this process.

    If the script has such a module itself, it is imported, and its functions and classes are compared with ours by
    their arguments and by the results of small examples. The ones that agree are replaced; a line on stderr names the
    others.

    Parameters
    ----------
    volume : int
        1 or 2. The second volume has no `dataset`: the script's own is used.
    force : bool
        Replace the modules whole, whatever the script's own contain.

    Raises
    ------
    ValueError
        For another volume.
    RuntimeError
        If one of the modules has already been imported from elsewhere, or the other volume is installed: names taken
        from it would stay.

    Examples
    --------
    >>> fastnn.dropin.install()
    >>> from common.layers import Affine
    >>> Affine.__module__
    'fastnn.dropin.common.layers'
    >>> fastnn.dropin.uninstall()
    """
    if volume not in VOLUMES:
        raise ValueError(f"volume: expected 1 or 2, got {volume!r}; pass the number of the book")
    names = VOLUMES[volume]
    if _installed and _installed[0].names is not names:
        came = f"volume {volume} after another one"
        raise RuntimeError(f"install: expected one volume, got {came}; call fastnn.dropin.uninstall() in between")
    if _installed and _installed[0].force == force:
        return
    for name in names:
        module = sys.modules.get(name)
        if module is not None and not _installed:
            origin = getattr(module, "__file__", None) or list(getattr(module, "__path__", []))
            raise RuntimeError(
                f"install: expected to come before {name} is imported, got it from {origin}; "
                "call fastnn.dropin.install() first, after restarting the notebook's kernel"
            )
    uninstall()
    _installed.append(Finder(names, force))
    sys.meta_path.insert(0, _installed[0])


def uninstall() -> None:
    """Take the replacements back; modules that imported from them keep the names.

    Examples
    --------
    >>> fastnn.dropin.install()
    >>> fastnn.dropin.uninstall()
    >>> import sys
    >>> "common" in sys.modules
    False
    """
    for finder in _installed:
        sys.meta_path.remove(finder)
        for name in finder.names:
            sys.modules.pop(name, None)
    _installed.clear()
