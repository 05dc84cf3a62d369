"""A drop-in for the packages `common` and `dataset` of "Deep Learning from Scratch" (Saito, O'Reilly Japan).

Three ways in, all described in DROPIN.md beside this file: `python -m fastnn dropin SCRIPT`, `install()` at the top of
a notebook, or imports such as `from fastnn.dropin.common.gradient import numerical_gradient`.

Examples
--------
>>> fastnn.dropin.install()
>>> from common.functions import softmax  # as the book's scripts do
>>> softmax(np.array([0.0, 0.0]))
array([0.5, 0.5])
>>> fastnn.dropin.uninstall()
"""

from fastnn.dropin.install import install, uninstall
from fastnn.dropin.record import table as report

__all__ = ["install", "report", "uninstall"]
