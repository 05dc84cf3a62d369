"""The drawings of docs/explanations/same-bits.md."""

from docs.drawings.canvas import Drawing


def shares() -> Drawing:
    """The usual way to share a gradient among threads, and fastnn's."""
    d = Drawing(
        402, "The usual way cuts a sum into as many parts as there are threads; fastnn cuts the rows of the weights"
    )
    d.text(16, 24, "dW = x^T dy, a sum over the samples, on two threads", size=14)
    d.text(16, 52, "The usual way: threads share the samples")
    d.box(24, 64, 130, 36, "blue", "thread 1: samples|1 to 50")
    d.box(24, 108, 130, 36, "green", "thread 2: samples|51 to 100")
    d.box(200, 64, 96, 36, "blue", "a sum for|all of dW")
    d.box(200, 108, 96, 36, "green", "a sum for|all of dW")
    d.arrow((156, 82), (198, 82))
    d.arrow((156, 126), (198, 126))
    d.line((298, 82), (322, 82))
    d.line((298, 126), (322, 126))
    d.line((322, 82), (322, 126))
    d.arrow((322, 104), (340, 104))
    d.box(342, 84, 82, 40, "red", "the sum|of the sums")
    d.text(24, 168, "Three threads cut the sum elsewhere: other bits.", color="dim", size=12)
    d.line((16, 186), (424, 186), is_dashed=True)
    d.text(16, 212, "fastnn: threads share the rows of dW")
    d.box(24, 226, 130, 80, "idle", "all samples,|1 to 100,|in this order")
    d.box(226, 226, 130, 36, "blue", "thread 1: rows|1 to 392 of dW")
    d.box(226, 270, 130, 36, "green", "thread 2: rows|393 to 784 of dW")
    d.arrow((156, 244), (224, 244))
    d.arrow((156, 288), (224, 288))
    d.text(24, 332, "Three threads cut the rows elsewhere. Each element's", color="dim", size=12)
    d.text(24, 348, "sum is what it was, whoever computes it: the same bits.", color="dim", size=12)
    d.text(24, 372, "There is no second copy of dW, no atomic addition,", color="dim", size=12)
    d.text(24, 388, "and the update follows while the row is in the cache.", color="dim", size=12)
    return d


def chains() -> Drawing:
    """The sum of one element of a product, 784 steps deep."""
    d = Drawing(196, "784 steps are a chain of 400 and one of 384, added at the end")
    d.text(16, 24, "One element of a product over 784 inputs", size=14)
    for x, width, color, words, start in ((24, 206, "blue", "400 steps", "b"), (234, 182, "green", "384 steps", "0")):
        d.box(x, 66, width, 26, color, words)
        d.text(x, 58, f"starts with {start}", color="dim", size=12)
        d.arrow((x + width / 2, 94), (x + width / 2, 124))
    d.box(80, 126, 94, 24, "blue", "one number")
    d.box(278, 126, 94, 24, "green", "one number")
    d.text(226, 143, "+", size=16, anchor="middle")
    d.text(16, 184, "each step: sum = fma(x[n, k], W[k, j], sum), one rounding", color="dim", size=12)
    return d


DRAWINGS = {"shares": shares, "chains": chains}
