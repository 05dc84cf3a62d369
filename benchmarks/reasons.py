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
    "fastnn's own time differs more than that from process to process, by 1.06 to 1.65 times in two to nine of them"
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
        "SimpleConvNet predict 1",
        "one image has one thread of fastnn, but two of ONNX Runtime, which takes 50 us on one and 36 on two; half of"
        " fastnn's time on one, 58 us, reads the 1.7 MB of the weights after the pool",
        peer="onnxruntime",
        processor="znver4",
    ),
    Reason(
        "gradient of a plain f of 1*00",
        "a call looks at f and x for 26 us, then each f(x) takes 0.2 us more; timed by turns in one process, the ratio"
        " is 0.93 for 100 and 0.97 for 1,000",
        processor="znver4",
    ),
    Reason("identity *", _BY_PROCESS, processor="znver4"),
)
