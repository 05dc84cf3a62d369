"""Draws the pictures of docs/gallery.md by the code above each: run `python -m docs.gallery` after changing one.

A block of the page that is followed by a picture leaves the Axes to save in `ax`, or several in `axes`.
"""

import io
import pathlib
import re
import sys
from collections.abc import Iterator
from typing import Any

PAGE = pathlib.Path(__file__).with_name("gallery.md")
PART = re.compile(r"```python\n(?P<code>.*?)```|!\[[^\]]*\]\((?P<picture>[^)]+)\)", re.DOTALL)
DOTS_PER_INCH, COLORS = 100, 256  # so that a picture has 10 to 50 kB


def parts() -> Iterator[tuple[str, pathlib.Path | None]]:
    """Each block of code, with the picture behind it if there is one."""
    code = ""
    for part in PART.finditer(PAGE.read_text(encoding="utf-8")):
        if part["picture"]:
            yield code, PAGE.parent / part["picture"]
            code = ""
        else:
            if code:
                yield code, None
            code = part["code"]


def drawn() -> Iterator[tuple[pathlib.Path, bytes]]:
    """Each picture as it should be, as a PNG file of few colors."""
    import numpy as np
    from PIL import Image

    names: dict[str, Any] = {}
    for code, picture in parts():
        names.pop("ax", None)
        names.pop("axes", None)
        exec(compile(code, str(PAGE), "exec"), names)
        if picture is None:
            continue
        figure = np.ravel(np.array(names.get("axes", names.get("ax")), dtype=object))[0].figure
        buffer = io.BytesIO()
        figure.savefig(buffer, dpi=DOTS_PER_INCH)
        whole = Image.open(buffer).convert("RGB")
        few = whole.quantize(COLORS, Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE)
        buffer = io.BytesIO()
        few.save(buffer, "PNG", optimize=True)
        yield picture, buffer.getvalue()


def main() -> int:
    """Write all pictures."""
    for file, content in drawn():
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(content)
        print(f"wrote {file.name}: {len(content) / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
