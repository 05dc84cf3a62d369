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
_BY_PROCESS = (
    "fastnn's own time differs more than that from process to process, by 1.06 to 1.65 times in two to nine of them;"
    " for 784-256-10 by 1.1 with memory in pages of 2 MB, by 1.45 in those of 4 KB"
)

REASONS: tuple[Reason, ...] = (
    Reason("affine_*", _PRODUCTS, peer="torch", processor="rocketlake"),
    Reason("step *", _PRODUCTS, peer="torch", processor="rocketlake"),
    Reason(
        "gradient of a plain f of 10",
        "a call takes 60 us to look at f and x before the first difference",
        processor="rocketlake",
    ),
    Reason(
        "sgd_update 4,000,000",
        "its arrays fill the last-level cache: in three processes each fastnn took 226 to 339 us, PyTorch 302 to 392",
        processor="znver4",
    ),
    Reason(
        "gradient of a plain f of 1*00",
        "a call looks at f and x for 26 us, then each f(x) takes 0.2 us more; timed by turns in one process, the ratio"
        " is 0.93 for 100 and 0.97 for 1,000",
        processor="znver4",
    ),
    *(
        Reason(cases, _BY_PROCESS, processor="znver4")
        for cases in ("step 128, 784-256-10", "step 256, *", "step 512, *", "identity *", "mean_squared_error *")
    ),
)
