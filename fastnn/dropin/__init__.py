"""A drop-in for the packages `common` and `dataset` of "Deep Learning from Scratch" (Saito, O'Reilly Japan).

Three ways in, all described in DROPIN.md beside this file: `python -m fastnn dropin SCRIPT`, `install()` at the top of
a notebook, or imports such as `from fastnn.dropin.common.gradient import numerical_gradient`.
"""

from fastnn.dropin.install import install, uninstall
from fastnn.dropin.record import table as report

__all__ = ["install", "report", "uninstall"]
