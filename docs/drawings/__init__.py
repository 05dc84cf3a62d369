"""The drawings of docs/explanations: run `python -m docs.drawings` after changing one."""

import pathlib

from docs.drawings import bits, perturbation, products, units

FOLDER = pathlib.Path(__file__).parents[1] / "explanations"
DRAWINGS = {**perturbation.DRAWINGS, **products.DRAWINGS, **bits.DRAWINGS, **units.DRAWINGS}


def texts() -> dict[pathlib.Path, str]:
    """Each SVG file with its right text."""
    return {FOLDER / f"{name}.svg": draw().svg() for name, draw in DRAWINGS.items()}
