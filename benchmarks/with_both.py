"""NumPy's products and fastnn's steps in turn, in one process: the threads of the two get in each other's way."""

from typing import Any

from benchmarks import with_fastnn, with_numpy
from benchmarks.cases import Case
from benchmarks.data import Data
from benchmarks.peers import Target


def contention(case: Case, data: Data, threads: int) -> Target:
    """One product, then one step."""
    multiply, product = with_numpy.square(case, data)
    step = with_fastnn.contention_step(case, data)

    def call() -> Any:
        multiply()
        return step.call()

    return Target(call, lambda losses: [product, *step.outputs(losses)], compared=step.compared)


FACTORIES = {"both": {"contention": contention}}
