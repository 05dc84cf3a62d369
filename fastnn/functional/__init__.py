"""Operations on arrays: affine maps, activations, losses, updates."""

from fastnn.functional.images import conv2d_backward as conv2d_backward
from fastnn.functional.images import conv2d_forward as conv2d_forward
from fastnn.functional.layers import activation_backward as activation_backward
from fastnn.functional.layers import activation_forward as activation_forward
from fastnn.functional.layers import affine_backward as affine_backward
from fastnn.functional.layers import affine_forward as affine_forward
from fastnn.functional.layers import softmax as softmax
from fastnn.functional.losses import zero_one_loss as zero_one_loss
from fastnn.functional.surfaces import line_fit_losses as line_fit_losses

# isort: split
# <generated: python -m docs.generate>
from fastnn.functional.activations import elu as elu
from fastnn.functional.activations import gelu as gelu
from fastnn.functional.activations import identity as identity
from fastnn.functional.activations import leaky_relu as leaky_relu
from fastnn.functional.activations import relu as relu
from fastnn.functional.activations import sigmoid as sigmoid
from fastnn.functional.activations import silu as silu
from fastnn.functional.activations import softplus as softplus
from fastnn.functional.activations import step as step
from fastnn.functional.activations import tanh as tanh
from fastnn.functional.losses import absolute_error as absolute_error
from fastnn.functional.losses import cross_entropy as cross_entropy
from fastnn.functional.losses import exponential as exponential
from fastnn.functional.losses import hinge as hinge
from fastnn.functional.losses import huber as huber
from fastnn.functional.losses import kl_divergence as kl_divergence
from fastnn.functional.losses import log_loss as log_loss
from fastnn.functional.losses import mean_squared_error as mean_squared_error
from fastnn.functional.losses import poisson as poisson
from fastnn.functional.losses import sigmoid_cross_entropy as sigmoid_cross_entropy
from fastnn.functional.losses import softmax_cross_entropy as softmax_cross_entropy
from fastnn.functional.updates import adagrad_update as adagrad_update
from fastnn.functional.updates import adam_update as adam_update
from fastnn.functional.updates import momentum_update as momentum_update
from fastnn.functional.updates import nesterov_update as nesterov_update
from fastnn.functional.updates import rmsprop_update as rmsprop_update
from fastnn.functional.updates import sgd_update as sgd_update

# </generated>
