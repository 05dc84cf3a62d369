"""The drawings of the documentation: they are what their programs draw, and readable."""

import re
import xml.etree.ElementTree as ElementTree

import pytest

from docs import drawings
from docs.drawings.canvas import COLORS, WIDTH


@pytest.mark.parametrize("name", drawings.DRAWINGS)
def test_files_are_what_the_programs_draw(name: str) -> None:
    file = drawings.FOLDER / f"{name}.svg"
    right = drawings.DRAWINGS[name]().svg()
    assert file.read_text(encoding="utf-8") == right, "run python -m docs.drawings"
    pages = [page.read_text(encoding="utf-8") for page in drawings.FOLDER.glob("*.md")]
    assert any(f"]({name}.svg)" in page for page in pages), "no page shows it"


def test_no_file_is_left_over() -> None:
    assert {file.stem for file in drawings.FOLDER.glob("*.svg")} == set(drawings.DRAWINGS)


@pytest.mark.parametrize("name", drawings.DRAWINGS)
def test_all_is_within_the_card_and_has_a_title(name: str) -> None:
    drawing = drawings.DRAWINGS[name]()
    root = ElementTree.fromstring(drawing.svg())
    assert root[0].tag.endswith("title") and (root[0].text or "").strip()
    for element in root.iter():
        x, y = float(element.get("x", "0")), float(element.get("y", "0"))
        width = float(element.get("width", "0")) if element.tag.endswith("rect") else 0.0
        if element.tag.endswith("text"):  # an estimate of its width: the font is the reader's
            width = 0.56 * float(element.get("font-size", "0")) * len(element.text or "")
            x -= {"start": 0.0, "middle": width / 2, "end": width}[element.get("text-anchor", "start")]
        assert x >= 0.0 and x + width <= WIDTH and 0.0 <= y <= drawing.height, ElementTree.tostring(element)


def luminance(color: str) -> float:
    """The relative luminance of WCAG 2.2."""
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("scheme", [0, 1])
def test_words_stand_out(scheme: int) -> None:
    """Contrast 4.5, the least that WCAG asks for; small words of a "dim" color stand on the card alone."""
    for words, backgrounds in (("ink", [*COLORS.keys() - {"ink", "dim"}]), ("dim", ["card"])):
        for background in backgrounds:
            bright, dark = sorted((luminance(COLORS[one][scheme]) + 0.05 for one in (words, background)), reverse=True)
            assert bright / dark >= 4.5, (words, background)


def test_pictures_follow_the_scheme() -> None:
    (style,) = re.findall(r"<style>(.*)</style>", next(iter(drawings.DRAWINGS.values()))().svg())
    light, dark = style.split("@media (prefers-color-scheme:dark)")
    assert all(f".{name}{{fill:{COLORS[name][0]}}}" in light for name in COLORS)
    assert all(f".{name}{{fill:{COLORS[name][1]}}}" in dark for name in COLORS)
