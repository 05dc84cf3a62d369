"""The drawings of docs/explanations/units.md and small-calls.md."""

from docs.drawings.canvas import Drawing


def plan() -> Drawing:
    """A network as a table with the addresses of units, and the interpreter that calls them."""
    d = Drawing(300, "A network is a table of addresses; one interpreter calls the units that it names")
    d.text(16, 24, "A network is a table; units are C functions", size=14)
    d.text(24, 52, "plan of 784-50-10", color="dim", size=12)
    rows = ("Affine", "Sigmoid", "Affine")
    for i, name in enumerate(rows):
        d.box(24, 60 + 30 * i, 70, 30, "idle", name)
        d.box(94, 60 + 30 * i, 100, 30, "blue", "addresses")
    d.text(276, 52, "units, compiled alone", color="dim", size=12)
    for i, name in enumerate(("products of Affine", "sigmoid", "derivative of sigmoid")):
        d.box(276, 60 + 34 * i, 144, 28, "green", name)
    d.arrow((196, 75), (274, 75))
    d.arrow((196, 105), (274, 105))
    d.line((196, 135), (236, 135), (236, 82))
    d.arrow((236, 82), (274, 82))
    d.box(24, 190, 190, 64, "orange", "interpreter: for each row,|fill a frame, call|the unit at the address")
    d.arrow((109, 152), (109, 188))
    d.box(276, 190, 144, 64, "idle", "frame: addresses of|rows, parameters|and scratch")
    d.arrow((216, 222), (274, 222))
    d.arrow((348, 188), (348, 160))
    d.text(16, 288, "a new architecture is a new table, and compiles nothing", color="dim", size=12)
    return d


def where() -> Drawing:
    """Where the code of a unit comes from when its address is first asked for."""
    d = Drawing(380, "A unit's code comes from the wheel's library, else from the cache, else from the compiler")
    d.text(16, 24, "The first time that a unit's address is asked for", size=14)
    d.box(
        24,
        44,
        210,
        84,
        "blue",
        "The wheel has a library,|same kernel sources,|the processor suits,|its checksum is right",
    )
    d.arrow((236, 86), (300, 86))
    d.text(268, 80, "yes", color="dim", size=12, anchor="middle")
    d.box(302, 66, 118, 40, "green", "load it:|no compiler")
    d.arrow((129, 130), (129, 158))
    d.text(138, 149, "no", color="dim", size=12)
    d.box(24, 160, 210, 68, "blue", "The cache folder is yours|alone, its file has the|right checksum")
    d.arrow((236, 194), (300, 194))
    d.text(268, 188, "yes", color="dim", size=12, anchor="middle")
    d.box(302, 174, 118, 40, "green", "load that file")
    d.arrow((129, 230), (129, 258))
    d.text(138, 249, "no", color="dim", size=12)
    d.box(24, 260, 210, 52, "orange", "Numba compiles this|unit alone")
    d.arrow((236, 286), (300, 286))
    d.box(302, 266, 118, 40, "idle", "kept in a file|of its own")
    d.text(16, 340, "A failed check is no error: the next way is taken, and a line", color="dim", size=12)
    d.text(16, 356, "on standard error says so.", color="dim", size=12)
    return d


def ways() -> Drawing:
    """The short way and the long way of a call."""
    d = Drawing(300, "A call tries one compiled function first; only if that answers ASK or LARGE, Python looks")
    d.text(16, 24, "fastnn.affine_forward(x, W, b)", size=14)
    d.box(24, 44, 392, 26, "idle", "Python hands the objects over as they came")
    d.arrow((220, 72), (220, 92))
    d.box(24, 94, 392, 62, "green", "door: reads type, dtype, shape and memory,|makes the result, checks, computes")
    d.arrow((120, 158), (120, 182))
    d.text(130, 175, "a result", color="dim", size=12)
    d.box(24, 184, 180, 26, "green", "the short way ends")
    d.arrow((320, 158), (320, 182))
    d.text(330, 175, "ASK, LARGE", color="dim", size=12)
    d.box(224, 184, 192, 26, "orange", "the long way in Python")
    d.text(224, 230, "ASK: a list, another dtype, a", color="dim", size=12)
    d.text(224, 246, "view with gaps, a wrong shape", color="dim", size=12)
    d.text(224, 262, "LARGE: threads would pay", color="dim", size=12)
    d.text(24, 230, "one compiled call", color="dim", size=12)
    d.text(24, 246, "in all", color="dim", size=12)
    d.text(16, 290, "both ways call the same units: the same bits", color="dim", size=12)
    return d


DRAWINGS = {"plan": plan, "where": where, "ways": ways}
