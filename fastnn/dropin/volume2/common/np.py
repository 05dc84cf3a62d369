"""NumPy under the name that all modules of the second volume import it by."""

import numpy as np

from fastnn.dropin.volume2.common.config import GPU

__all__ = ["GPU", "np"]
