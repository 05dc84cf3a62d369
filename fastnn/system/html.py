"""Tables for notebooks."""

from collections.abc import Sequence
from html import escape

CELL = "text-align: right; padding: 2px 10px"
CAPTION = "text-align: left; padding: 2px 10px"  # where a table is wider than the page, its beginning is seen


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "") -> str:
    """An HTML table; all texts are escaped. The first column is aligned to the left, the others to the right."""
    parts = [f'<caption style="{CAPTION}">{escape(caption)}</caption>'] if caption else []
    parts.append(f"<thead>{_row('th', headings)}</thead>")
    parts.append(f"<tbody>{''.join(_row('td', row) for row in rows)}</tbody>")
    return f"<table>{''.join(parts)}</table>"


def _row(tag: str, cells: Sequence[str]) -> str:
    styles = [CELL.replace("right", "left"), *[CELL] * len(cells)]
    texts = (f'<{tag} style="{style}">{escape(cell)}</{tag}>' for style, cell in zip(styles, cells, strict=False))
    return f"<tr>{''.join(texts)}</tr>"
