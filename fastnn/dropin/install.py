"""Puts the replaced modules where scripts import them from. Imports importlib, and each module when it is installed."""

import importlib
import pathlib
import sys
from collections.abc import Iterator
from typing import Any

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

_replaced: dict[str, Any] = {}  # the __path__ of each of our packages before, None of modules


class FallThrough:
    """The __path__ of a replaced package: its own folder, then those of that name on sys.path, as it is at the moment.

    So a module that fastnn does not replace is the script's own.
    """

    def __init__(self, name: str, own: str) -> None:
        self.name, self.own = name, own

    def __iter__(self) -> Iterator[str]:
        yield self.own
        for folder in sys.path:
            other = pathlib.Path(folder or ".") / self.name
            if other.is_dir():
                yield str(other)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __getitem__(self, i: int) -> str:
        return list(self)[i]


def install(volume: int = 1) -> None:
    """Replace the modules `common` and `dataset` of a volume for all imports that follow in this process.

    Parameters
    ----------
    volume : int
        1 or 2. The second has no `dataset`: the script's own is used.

    Raises
    ------
    ValueError
        For another volume.
    RuntimeError
        If one of the modules has been imported already, from elsewhere, or the other volume is installed: names taken
        from it would stay the old ones.
    """
    if volume not in VOLUMES:
        raise ValueError(f"volume: expected 1 or 2, got {volume!r}; pass the number of the book")
    names = VOLUMES[volume]
    if _replaced and _replaced.keys() != names.keys():
        came = f"volume {volume} after another one"
        raise RuntimeError(f"install: expected one volume, got {came}; call fastnn.dropin.uninstall() in between")
    for name, ours in names.items():
        module = sys.modules.get(name)
        if module is not None and module.__name__ != ours and name not in _replaced:
            origin = getattr(module, "__file__", None) or list(getattr(module, "__path__", []))
            raise RuntimeError(
                f"install: expected to come before {name} is imported, got it from {origin}; "
                "call fastnn.dropin.install() first, after restarting the notebook's kernel"
            )
    uninstall()
    for name, ours in names.items():
        package: Any = importlib.import_module(ours)
        _replaced[name] = None if "." in name else package.__path__
        sys.modules[name] = package
        if "." not in name:
            package.__path__ = FallThrough(name, str(pathlib.Path(package.__file__).parent))


def uninstall() -> None:
    """Take the replacements back; what has been imported from them stays with its importers."""
    for name in list(_replaced):
        module, path = sys.modules.pop(name, None), _replaced.pop(name)
        if module is not None and path is not None:
            module.__path__ = path
