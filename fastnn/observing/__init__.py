"""Numerical gradients of plain NumPy functions: watch one call, recognize the network, evaluate it by the engine."""
