"""The gallery of the documentation: each picture is there, small, and what the code above it draws."""

import io

import numpy as np
import pytest

from docs import gallery
from fastnn import demos, plots

pytest.importorskip("matplotlib")
MOST_BYTES = 60_000  # of a picture


def test_pictures_are_there_and_small() -> None:
    pictures = [picture for _, picture in gallery.parts() if picture is not None]
    assert len(pictures) == len(set(pictures)) > 15
    assert sorted(pictures) == sorted((gallery.PAGE.parent / "gallery").iterdir())
    sizes = [picture.stat().st_size for picture in pictures]
    assert max(sizes) < MOST_BYTES and sum(sizes) < 1_000_000


def test_every_function_and_every_demo_with_pictures_is_shown() -> None:
    code = "\n".join(code for code, _ in gallery.parts())
    assert [name for name in plots.__all__ if f"plots.{name}(" not in code] == []
    assert [name for name in demos.DEMOS if f"{name.replace('-', '_')}.pictures()" not in code] == []


@pytest.mark.exhaustive
def test_pictures_are_what_the_code_draws() -> None:
    """The mean distance of the pixels is small: another version of matplotlib sets letters a little elsewhere."""
    from PIL import Image

    for file, content in gallery.drawn():
        now, before = (Image.open(source).convert("RGB") for source in (io.BytesIO(content), file))
        assert now.size == before.size, f"{file.name}: run python -m docs.gallery"
        distance = np.abs(np.asarray(now, np.float64) - np.asarray(before, np.float64)).mean()
        assert distance < 3.0, f"{file.name}: run python -m docs.gallery"
