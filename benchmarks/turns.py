"""Times programs that use NumPy's products and the drop-in's kernels in turn, and the same programs in NumPy alone.

    python -m benchmarks.turns

Each run is a process of its own, natively and under the drop-in by turns; figures are medians. A program prints a
result, which must agree, and the seconds of its loop, in which the drop-in loads its kernels. The programs are in the
style of the books (benchmarks/programs).
"""

import os
import pathlib
import statistics
import subprocess
import sys
import time

FOLDER = pathlib.Path(__file__).parent / "programs"
# The program, its argument (iterations), and the volume whose `common` it imports.
PROGRAMS = (("predictions", "10000", "1"), ("classifier", "500", "2"), ("language_model", "1000", "2"))
RUNS = 3
TOLERANCE = 1e-5  # of 1,000 steps of training; the effect of rounding on the weights grows with them

Figures = tuple[float, float, float]


def run(command: list[str]) -> Figures:
    """The result that a program prints, the seconds of its loop, and those of the whole process."""
    environment = {**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parents[1])}
    start = time.perf_counter()
    printed = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    whole = time.perf_counter() - start
    result, seconds = printed.split()[-2:]
    return float(result), float(seconds), whole


def both_ways(program: str, argument: str, volume: str) -> tuple[Figures, Figures]:
    """One run natively and one under the drop-in, whose results must agree."""
    script = [str(FOLDER / f"{program}.py"), argument]
    native = run([sys.executable, *script])
    dropin = run([sys.executable, "-m", "fastnn", "dropin", "--volume", volume, *script])
    assert abs(native[0] - dropin[0]) <= TOLERANCE * abs(native[0]), f"{program}: {native[0]} and {dropin[0]}"
    return native, dropin


def measure(program: str, argument: str, volume: str) -> str:
    """One row of the table."""
    pairs = [both_ways(program, argument, volume) for _ in range(RUNS)]
    medians = [statistics.median(pair[side][figure] for pair in pairs) for figure in (1, 2) for side in (0, 1)]
    figures = [*medians[:2], medians[0] / medians[1], *medians[2:], medians[2] / medians[3]]
    return f"| {program} | {' | '.join(f'{figure:.3g}' for figure in figures)} |"


def main() -> None:
    """Measure all, after a run that compiles, and print the table."""
    print("| program | its loop, natively (s) | drop-in (s) | ratio | whole, natively (s) | drop-in (s) | ratio |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for program, argument, volume in PROGRAMS:
        both_ways(program, argument, volume)
        print(measure(program, argument, volume), flush=True)


if __name__ == "__main__":
    main()
