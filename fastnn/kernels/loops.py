"""Functions in LLVM IR in the making: their variables, and their loops."""

import contextlib
from collections.abc import Iterator
from typing import Any

from llvmlite import ir
from numba.core import cgutils

INDEX = ir.IntType(64)


class Builder:
    """A function in the making, of vectors of one type."""

    def __init__(self, function: Any, vector: Any) -> None:
        self.builder, self.vector = ir.IRBuilder(function.append_basic_block("entry")), vector
        self.size = 4 if isinstance(vector.element, ir.FloatType) else 8

    def variable(self, value: Any) -> Any:
        """Build a variable with a first value."""
        return cgutils.alloca_once_value(self.builder, value)

    def number(self, value: int) -> Any:
        """A constant integer."""
        return ir.Constant(INDEX, value)

    def least(self, a: Any, b: Any) -> Any:
        """Build the smaller of two integers."""
        return self.builder.select(self.builder.icmp_signed("<", a, b), a, b)

    def add_to(self, variable: Any, step: Any) -> None:
        """Build variable += step."""
        self.builder.store(self.builder.add(self.builder.load(variable), step), variable)

    @contextlib.contextmanager
    def while_below(self, bound: Any, variable: Any) -> Iterator[None]:
        """Build a loop around the body of the `with`, which runs while the variable is below the bound.

        The number of steps must be one that LLVM cannot tell: it would unroll the loop, and compile half as long again.
        """
        builder = self.builder
        head, body, end = (builder.append_basic_block(name) for name in ("head", "body", "end"))
        builder.branch(head)
        builder.position_at_end(head)
        builder.cbranch(builder.icmp_signed("<", builder.load(variable), bound), body, end)
        builder.position_at_end(body)
        yield
        builder.branch(head)
        builder.position_at_end(end)


def internal_function(module: Any, name: str, arguments: list[Any]) -> Any:
    """A new function of a module, for its other functions alone."""
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), arguments), name)
    function.linkage = "internal"
    function.attributes.add("nounwind")
    function.attributes.add("optsize")  # it compiles in 0.05 s instead of 0.1, and runs as fast
    return function
