"""Why a peer is ahead of fastnn in rows of the published runs; kept by hand, joined to the rows by the report.

Only what was measured stands here. A row without a reason is printed as not explained; a reason without a row is named
when the report is written, so that it goes when its rows do.
"""

import fnmatch
from dataclasses import dataclass


@dataclass(frozen=True)
class Reason:
    """A reason for the rows whose case matches a pattern such as "product *"."""

    cases: str
    text: str
    threads: int | None = None  # of these rows alone
    peer: str = "*"  # a pattern of the implementation that is ahead
    processor: str = "*"  # a pattern of the kind of processor on which it was measured

    def explains(self, case: str, peer: str, threads: int, processor: str) -> bool:
        """Whether it is for a row in which this implementation is ahead on such a processor."""
        asked = ((case, self.cases), (peer, self.peer), (processor, self.processor))
        return all(fnmatch.fnmatchcase(*one) for one in asked) and self.threads in (None, threads)


_PRODUCTS = "nine tenths of it are products of matrices, in which MKL is ahead; see their rows"

REASONS: tuple[Reason, ...] = (
    Reason("affine_*", _PRODUCTS, peer="torch", processor="rocketlake"),
    Reason("step *", _PRODUCTS, peer="torch", processor="rocketlake"),
    Reason(
        "gradient of a plain f of 10",
        "a call takes 60 us to look at f and x before the first difference",
        processor="rocketlake",
    ),
)
