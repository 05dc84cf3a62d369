"""Learning rules that change the weights after each sample."""

from fastnn.kernels.doors import Indices, RealMatrix, Reals, door
from fastnn.kernels.matmul import multiply
from fastnn.kernels.outer import descend_by_one_sample
from fastnn.kernels.views import part
from fastnn.operations.updates.sgd import descend


@door
def perceptron_samples(
    x: RealMatrix,
    t: Reals,
    order: Indices,
    first: int,
    last: int,
    lr: float,
    scratch: Reals,
    y: RealMatrix,
    W: RealMatrix,
    b: Reals,
) -> int:
    """W += lr (t - y) x and b += lr (t - y) for the samples order[first:last], one by one; returns how many were wrong.

    y = 1 where x W + b > 0, else 0, by the product of `affine_forward`, so that learning and prediction agree even on
    the boundary. x (N, D), t (N,) of 0 and 1, order (any,), all float64 but order, which is intp; scratch:
    matmul.scratch_size(D, 1); y (1, 1), overwritten; W (D, 1) and b (1,), read and written. All distinct. Source:
    Rosenblatt, Psychological Review 65 (1958), 386-408.
    """
    mistakes, none = 0, part(b, 0, 0)
    for i in range(first, last):
        n = order[i]
        multiply(x[n : n + 1], W, b, scratch, y)
        error = (1.0 if y[0, 0] > 0.0 else 0.0) - t[n]
        if error != 0.0:
            y[0, 0] = error
            descend_by_one_sample(W, x[n], y[0], lr, none, b, b)
            descend(b, y[0], lr)
            mistakes += 1
    return mistakes
