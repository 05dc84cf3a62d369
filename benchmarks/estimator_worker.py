"""`python -m benchmarks.estimator_worker LIBRARY CASE DTYPE THREADS [FOLDER]`: one fit, in a process of its own.

It prints a row as JSON. Only the standard library is imported before the environment is set.
"""

import json
import sys

from benchmarks import peers


def main(library: str, case: str, dtype: str, threads: str, folder: str | None = None) -> None:
    """Measure one case."""
    peers.set_environment(library, int(threads))
    from benchmarks import estimator_cases  # NumPy starts its threads here

    print(json.dumps(estimator_cases.measure(estimator_cases.BY_NAME[case], library, dtype, folder)))


if __name__ == "__main__":
    main(*sys.argv[1:])
