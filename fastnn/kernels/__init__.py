"""Compiled code, and the contract that all of it keeps.

- Free functions named `<operation>_<direction>`; inputs first, outputs last. They return nothing, a number or a tuple
  of numbers.
- They never allocate, raise, print or convert arrays, which come from the gate or a network: checked, C-contiguous and
writable.
- Outputs are overwritten unread and distinct from the inputs unless the docstring says otherwise, except parameters and
optimizer state in `updates`.
- One scalar function for each formula, shared by the forward pass, the backward pass and any other use.
- No fastmath; sums run in a fixed order; a parallel region writes disjoint rows: the same bits on any number of
  threads.
- Indices are intp; arrays are float32 or float64, and float64 where losses and sums are collected.

`compile` is the only module that names numba.njit; `simd`, `tiles`, `addresses`, `objects`, `openmp` and others write
LLVM code. A function is a `kernel` (called by compiled code), a `formula` (a scalar function, inlined), a `unit`
(called by its address) or a `door` (called from Python).

Shape letters: N batch, D inputs, H outputs of a layer, K classes, P parameters; M, K, N the dimensions of a matrix
product.
"""
