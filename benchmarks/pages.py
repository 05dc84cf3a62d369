"""Pages into which programs write: their text stands between two comments, `<!-- name -->` and `<!-- /name -->`."""

import pathlib

from benchmarks import peers

README = peers.ROOT / "README.md"
PAGE = peers.ROOT / "docs" / "benchmarks.md"
PICTURES = peers.ROOT / "docs" / "pictures"


def split(page: pathlib.Path, name: str) -> tuple[str, str, str]:
    """The text of a page up to the first comment, the section, and the text from the second comment on.

    Raises
    ------
    ValueError
        If the comments do not occur exactly once.
    """
    text, begin, end = page.read_text(encoding="utf-8"), f"<!-- {name} -->", f"<!-- /{name} -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"{page.name}: expected one {begin} and one {end}, got others; put them where the text goes")
    before, _, rest = text.partition(begin)
    section, _, after = rest.partition(end)
    return before + begin, section.strip("\n"), end + after


def write(page: pathlib.Path, name: str, section: str) -> None:
    """Put a section in the place of the one that the page has."""
    before, _, after = split(page, name)
    page.write_text(f"{before}\n\n{section}\n\n{after}", encoding="utf-8")
