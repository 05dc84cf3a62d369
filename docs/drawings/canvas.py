"""An SVG file made of boxes, lines and words, on a card of its own that follows the reader's light or dark scheme.

A picture is at most WIDTH wide, so that its words stay readable on a telephone.
"""

from collections.abc import Iterable, Sequence
from xml.sax.saxutils import escape

WIDTH = 440
CELL = 15
# Fills and words by class: in the light scheme, in the dark one.
COLORS = {
    "card": ("#ffffff", "#20242c"),
    "ink": ("#24292f", "#f0f2f4"),
    "dim": ("#5b6470", "#a4adb8"),
    "idle": ("#eceff3", "#343a45"),
    "blue": ("#a9d0f5", "#1f5f9e"),
    "orange": ("#ffc38a", "#944408"),
    "green": ("#a8e0c2", "#1d7a50"),
    "red": ("#f4b6b6", "#8f3437"),
}
LINE = ("#6e7781", "#9aa3ae")
HIGHLIGHT = ("#c2410c", "#ffb27a")


def _style() -> str:
    """The classes in both schemes."""
    sheets = []
    for scheme in (0, 1):
        rules = [f".{name}{{fill:{colors[scheme]}}}" for name, colors in COLORS.items()]
        rules += [f".line{{stroke:{LINE[scheme]};fill:none}}", f".edge{{stroke:{LINE[scheme]};stroke-width:.6}}"]
        rules += [f".strong{{stroke:{HIGHLIGHT[scheme]};fill:none;stroke-width:2}}"]
        rules += [f".tip{{fill:{LINE[scheme]}}}"]
        sheets.append("".join(rules))
    return f"{sheets[0]}@media (prefers-color-scheme:dark){{{sheets[1]}}}"


class Drawing:
    """A picture in the making; lengths are pixels, from the upper left corner."""

    def __init__(self, height: int, title: str) -> None:
        self.height, self.title = height, title
        self.parts: list[str] = []

    def text(
        self, x: float, y: float, words: str, *, color: str = "ink", size: int = 13, anchor: str = "start"
    ) -> None:
        """Words whose baseline begins, has its middle or ends at a point; anchor: start, middle or end."""
        place = f'x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}"'
        self.parts.append(f'<text class="{color}" {place}>{escape(words)}</text>')

    def box(self, x: float, y: float, width: float, height: float, color: str = "idle", words: str = "") -> None:
        """A rectangle, with words in its middle; a new line of words begins after each |."""
        self.parts.append(
            f'<rect class="{color} edge" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="2"/>'
        )
        lines = words.split("|") if words else []
        for i, line in enumerate(lines):
            middle = y + height / 2 + 4.5 + 16 * (i - (len(lines) - 1) / 2)
            self.text(x + width / 2, middle, line, anchor="middle")

    def frame(self, x: float, y: float, width: float, height: float) -> None:
        """An outline that stands out."""
        self.parts.append(f'<rect class="strong" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="2"/>')

    def line(self, *points: tuple[float, float], is_dashed: bool = False) -> None:
        """Lines from point to point."""
        path = "M" + "L".join(f"{x:g} {y:g}" for x, y in points)
        dashes = ' stroke-dasharray="4 3"' if is_dashed else ""
        self.parts.append(f'<path class="line" d="{path}"{dashes}/>')

    def arrow(self, *points: tuple[float, float], is_dashed: bool = False) -> None:
        """Lines from point to point, with a tip at the last one; the last line is level or upright."""
        (x0, y0), (x, y) = points[-2:]
        dx, dy = ((x > x0) - (x < x0)) * 7, ((y > y0) - (y < y0)) * 7
        self.line(*points[:-1], (x - dx, y - dy), is_dashed=is_dashed)
        side = (4, 0) if dx == 0 else (0, 4)
        corners = [(x, y), (x - dx - side[0], y - dy - side[1]), (x - dx + side[0], y - dy + side[1])]
        self.parts.append(f'<path class="tip" d="M{"L".join(f"{a:g} {b:g}" for a, b in corners)}Z"/>')

    def cells(self, x: float, y: float, colors: Sequence[str], words: Iterable[str] = (), cell: int = CELL) -> None:
        """A matrix: a row of letters for each of its rows, such as ".ob." for idle, orange, blue, idle."""
        names = {".": "idle", "o": "orange", "b": "blue", "g": "green", "r": "red", " ": "card"}
        for i, row in enumerate(colors):
            for j, letter in enumerate(row):
                self.parts.append(
                    f'<rect class="{names[letter]} edge" x="{x + j * cell:g}" y="{y + i * cell:g}" '
                    f'width="{cell}" height="{cell}"/>'
                )
        for i, row in enumerate(words):
            for j, letter in enumerate(row):
                if letter != " ":
                    self.text(x + (j + 0.5) * cell, y + (i + 0.5) * cell + 4, letter, size=11, anchor="middle")

    def svg(self) -> str:
        """The file."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self.height}" width="{WIDTH}" '
            f'height="{self.height}" font-family="system-ui, sans-serif" role="img">'
        )
        card = f'<rect class="card" width="{WIDTH}" height="{self.height}" rx="8"/>'
        lines = [
            head,
            f"<title>{escape(self.title)}</title>",
            f"<style>{_style()}</style>",
            card,
            *self.parts,
            "</svg>",
        ]
        return "\n".join(lines) + "\n"
