"""The programs that benchmarks.turns times have the same results natively and under the drop-in."""

import pytest

from benchmarks import turns
from fastnn.kernels.compile import JIT_DISABLED


@pytest.mark.skipif(JIT_DISABLED, reason="takes minutes with NUMBA_DISABLE_JIT=1")
@pytest.mark.parametrize(("program", "argument", "volume"), turns.PROGRAMS)
def test_programs_find_the_same_both_ways(program: str, argument: str, volume: str) -> None:
    native, dropin = turns.both_ways(program, "3", volume)
    assert all(seconds > 0 for figures in (native, dropin) for seconds in figures[1:])
