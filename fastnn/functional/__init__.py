"""Operations on arrays: affine maps, activations, losses, updates."""

from fastnn.functional.layers import *
from fastnn.functional.losses import *
from fastnn.functional.updates import *
