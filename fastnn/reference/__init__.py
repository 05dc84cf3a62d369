"""Every public operation in plain NumPy: the oracle of the tests and the baseline of the benchmarks.

The files of this package import numpy and, by relative names, each other, nothing else of fastnn: loaded from its
place under another name, the package works without fastnn and its compiler. Names, parameters and defaults are
fastnn's. Any float dtype goes in and comes out: in float64 the operations are the oracle, in float32 the code of a
competent NumPy user (BLAS products, `out=`, no loop over samples). Nothing is validated: shapes that do not fit fail as
in NumPy. NaN and infinities follow arithmetic, without warnings.

Shape letters: N batch, D inputs and H outputs of a layer, K classes. `out` receives the result and is
returned; it may be any of the inputs of an activation, and the first input of softmax and the losses.

Examples
--------
>>> x, t = np.array([[1.0, 2.0, 0.5]], np.float32), np.array([1])
>>> loss, dx = fastnn.softmax_cross_entropy(x, t)
>>> expected_loss, expected_dx = fastnn.reference.softmax_cross_entropy(x, t)
>>> np.allclose(loss, expected_loss), np.allclose(dx, expected_dx)
(True, True)
"""

from .activations import ACTIVATIONS as ACTIVATIONS
from .activations import activation_backward as activation_backward
from .activations import activation_forward as activation_forward
from .activations import softmax as softmax
from .losses import LOSSES as LOSSES
from .networks import accuracy as accuracy
from .networks import affine_backward as affine_backward
from .networks import affine_forward as affine_forward
from .networks import line_fit_losses as line_fit_losses
from .networks import network_forward as network_forward
from .networks import network_gradient as network_gradient
from .networks import network_step as network_step
from .networks import numerical_gradient as numerical_gradient
from .networks import zero_one_loss as zero_one_loss
from .units import UNITS as UNITS

# isort: split
# <generated: python -m docs.generate>
from .images import avg_pool2d_backward as avg_pool2d_backward
from .images import avg_pool2d_forward as avg_pool2d_forward
from .images import conv2d_backward as conv2d_backward
from .images import conv2d_forward as conv2d_forward
from .images import max_pool2d_backward as max_pool2d_backward
from .images import max_pool2d_forward as max_pool2d_forward
from .losses import absolute_error as absolute_error
from .losses import cross_entropy as cross_entropy
from .losses import exponential as exponential
from .losses import hinge as hinge
from .losses import huber as huber
from .losses import kl_divergence as kl_divergence
from .losses import log_loss as log_loss
from .losses import mean_squared_error as mean_squared_error
from .losses import poisson as poisson
from .losses import sigmoid_cross_entropy as sigmoid_cross_entropy
from .losses import softmax_cross_entropy as softmax_cross_entropy
from .units import batch_norm_backward as batch_norm_backward
from .units import batch_norm_forward as batch_norm_forward
from .units import flatten_backward as flatten_backward
from .units import flatten_forward as flatten_forward
from .units import prelu_backward as prelu_backward
from .units import prelu_forward as prelu_forward
from .updates import adagrad_update as adagrad_update
from .updates import adam_update as adam_update
from .updates import momentum_update as momentum_update
from .updates import nesterov_update as nesterov_update
from .updates import rmsprop_update as rmsprop_update
from .updates import sgd_update as sgd_update

# </generated>
