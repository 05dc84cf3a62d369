"""Puts the replaced modules where scripts import them from. Imports importlib, and each module when it is installed."""

import importlib
import pathlib
import sys
from collections.abc import Iterator
from types import ModuleType

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

_replaced: dict[str, ModuleType | None] = {}


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
        If one of the modules has been imported already, from elsewhere: names taken from it would stay the old ones.
    """
    if volume not in VOLUMES:
        raise ValueError(f"volume: expected 1 or 2, got {volume!r}; pass the number of the book")
    names = VOLUMES[volume]
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
        module = importlib.import_module(ours)
        _replaced[name] = sys.modules.get(name)
        sys.modules[name] = module
        if "." not in name:
            own = str(pathlib.Path(str(module.__file__)).parent)
            module.__path__ = FallThrough(name, own)  # type: ignore[assignment]


def uninstall() -> None:
    """Take the replacements back; what has been imported from them stays with its importers."""
    for name in list(_replaced):
        sys.modules.pop(name, None)
        _replaced.pop(name)
