"""The drawings of docs/explanations/products.md."""

from docs.drawings.canvas import Drawing

TIMES = "\N{MULTIPLICATION SIGN}"


def tile() -> Drawing:
    """One step of a register tile: a column of the left operand times two vectors of the right one."""
    d = Drawing(328, "One step of a tile of 12 rows by 2 vectors: 24 fused multiply-adds for 14 loads")
    d.text(16, 24, "One step in depth, k, with AVX-512", size=14)
    d.text(69, 72, "a", anchor="middle")
    d.cells(24, 96, ["..b..."] * 12)
    d.text(62, 90, "k", color="dim", size=12, anchor="middle")
    d.text(270, 50, "b, row k: two vectors of 16", anchor="middle")
    d.box(150, 58, 118, 20, "blue", "16 lanes")
    d.box(272, 58, 118, 20, "blue", "16 lanes")
    for r in range(12):
        for v in range(2):
            d.box(150 + 122 * v, 96 + 15 * r, 118, 15, "orange")
    d.text(209, 294, "12 accumulators", anchor="middle")
    d.text(331, 294, "12 accumulators", anchor="middle")
    d.arrow((116, 186), (146, 186))
    d.arrow((209, 79), (209, 95))
    d.arrow((331, 79), (331, 95))
    d.text(16, 319, "blue is read from the cache, orange is in 24 registers", color="dim", size=12)
    return d


def panels() -> Drawing:
    """The order in which a product is computed: panels of columns, tiles of rows, chains in depth."""
    d = Drawing(268, "A product panel by panel; each panel is copied once and read by all tiles of rows")
    d.text(16, 24, "Panel by panel, tile by tile", size=14)
    d.box(24, 62, 120, 132, "idle")
    d.box(24, 62, 120, 40, "blue", "rows of a tile")
    d.text(84, 54, "a (M, K)", anchor="middle")
    d.text(156, 132, TIMES, anchor="middle")
    d.box(170, 62, 100, 132, "idle")
    d.box(186, 62, 30, 132, "green")
    d.text(220, 54, "b (K, N)", anchor="middle")
    d.text(283, 132, "=", anchor="middle")
    d.box(298, 62, 100, 132, "idle")
    d.box(314, 62, 30, 40, "orange", "tile")
    d.text(348, 54, "c (M, N)", anchor="middle")
    d.arrow((201, 196), (201, 216))
    d.box(120, 218, 162, 22, "green", "copied side by side")
    d.text(16, 260, "green: a panel as wide as a tile, read for each tile", color="dim", size=12)
    return d


def zeros() -> Drawing:
    """The elements that a row lists, and the steps of a sum that remain."""
    d = Drawing(182, "Each row lists its elements that are not 0, and its sums take these steps alone")
    d.text(16, 24, "Rows that are mostly 0, as pixels are", size=14)
    pattern = ["1001000010010000", "0001000010000000", "1001000000010000"]
    d.cells(24, 54, [row.replace("1", "b").replace("0", ".") for row in pattern], pattern)
    for r, numbers in enumerate(("0, 3, 8, 11", "3, 8", "0, 3, 11")):
        d.text(280, 66 + 15 * r, numbers, size=12)
    d.text(24, 126, "list of the first row: 0, 3, 8, 11, and values")
    d.text(24, 146, "its sums add four rows of W, each times a value")
    d.text(16, 172, "each sum keeps its order, without terms that add 0", color="dim", size=12)
    return d


DRAWINGS = {"tile": tile, "panels": panels, "zeros": zeros}
