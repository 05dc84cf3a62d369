"""Numerical differentiation: gradients by difference quotients, their check, and descent along them."""

from fastnn.gradients.numerical import directional_derivative, numerical_diff, numerical_gradient

__all__ = ["directional_derivative", "numerical_diff", "numerical_gradient"]
