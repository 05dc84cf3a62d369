"""Objects of Python and NumPy as compiled code reads them where they lie in memory, and calls Python's functions.

The machine code names nothing outside: it finds all that in the ground (ground.py), whose address it reads from the
object with which a C function is called.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastnn.kernels import ground
from fastnn.kernels.ground import DATA, DONE, PLACES, Kind, kinds_in

_WORD, _HALF = ir.IntType(64), ir.IntType(32)
_EMPTY = 9  # words of an array's object up to its flags, and more than an array of few axes has lengths


class _Builder:
    """What is built of a door in LLVM: reading objects, and calling Python's functions."""

    def __init__(self, builder: Any, me: Any) -> None:
        self.builder = builder
        self.ground = self.read(builder.ptrtoint(me, _WORD), DATA)

    def read(self, address: Any, offset: int, size: Any = _WORD) -> Any:
        """The integer at an address and an offset."""
        place = self.builder.add(address, ir.Constant(_WORD, offset))
        return self.builder.load(self.builder.inttoptr(place, size.as_pointer()))

    def known(self, what: Any) -> Any:
        """The address of an object or a function of the ground."""
        return self.read(self.ground, 8 * PLACES[what])

    def call(self, name: str, *arguments: Any, result: Any = _WORD) -> Any:
        """Call a function of Python's."""
        function = ir.FunctionType(result, [argument.type for argument in arguments]).as_pointer()
        return self.builder.call(self.builder.inttoptr(self.known(name), function), arguments)

    def reference(self, what: Any) -> Any:
        """A new reference to an object of the ground."""
        found = self.known(what)
        self.call("Py_IncRef", found, result=ir.VoidType())
        return found

    def equal(self, a: Any, b: Any) -> Any:
        return self.builder.icmp_unsigned("==", a, b)

    def bound(self) -> Any:
        """How many first arguments are bound."""
        return self.read(self.ground, 8 * ground.BOUND)

    def argument(self, arguments: Any, place: int) -> Any:
        """The address of an argument, bound or given."""
        builder, bound = self.builder, self.bound()
        mine = builder.add(self.ground, ir.Constant(_WORD, 8 * (ground.BOUND + 1 + place)))
        given = builder.sub(ir.Constant(_WORD, place), bound)
        given = builder.add(arguments, builder.mul(given, ir.Constant(_WORD, 8)))
        is_mine = builder.icmp_signed(">", bound, ir.Constant(_WORD, place))
        return self.read(builder.select(is_mine, mine, given), 0)

    def conditions(self, argument: Any, kind: Kind, own: Any) -> Iterator[Any]:
        """What must be true of an argument; each is built where those before it are true."""
        given = self.read(argument, ground.TYPE)
        if kind.dtype == "float":
            yield self.equal(given, self.known(float))
        elif kind.is_number:
            yield self.builder.or_(self.equal(given, self.known(int)), self.equal(given, self.known(bool)))
            yield self.fits(argument)
        else:
            yield self.equal(given, self.known(np.ndarray))
            yield self.equal(self.read(argument, ground.DTYPE), self.known(np.dtype(str(kind.type(own).dtype))))
            comparison, axes = (">=", 1) if kind.axes in (ground.FLAT, ground.ROWS) else ("==", kind.axes)
            yield self.builder.icmp_signed(
                comparison, self.read(argument, ground.AXES, _HALF), ir.Constant(_HALF, axes)
            )
            flags = self.builder.and_(self.read(argument, ground.FLAGS, _HALF), ir.Constant(_HALF, ground.PLAIN_MASK))
            yield self.equal(flags, ir.Constant(_HALF, ground.PLAIN))

    def is_shaped(self, argument: Any, shape: tuple[Any, Any]) -> Any:
        """Whether an array has this shape: the number of axes, and the address of their lengths."""
        builder, (axes, lengths) = self.builder, shape
        answer = cgutils.alloca_once_value(builder, self.equal(self.read(argument, ground.AXES, _HALF), axes))
        with builder.if_then(builder.load(answer)):
            mine = self.read(argument, ground.SHAPE)
            with cgutils.for_range(builder, builder.sext(axes, _WORD)) as loop:
                offset = builder.mul(loop.index, ir.Constant(_WORD, 8))
                one, other = (self.read(builder.add(at, offset), 0) for at in (mine, lengths))
                builder.store(builder.and_(builder.load(answer), self.equal(one, other)), answer)
        return builder.load(answer)

    def wanted_shape(self, row: Any, kind: Kind) -> tuple[Any, Any]:
        """The shape that an array of a kind has: the number of axes, and the address of their lengths."""
        if isinstance(kind.shape, int):
            like = self.read(row, 8 * kind.shape)
            return self.read(like, ground.AXES, _HALF), self.read(like, ground.SHAPE)
        pairs: Any = kind.shape
        lengths = cgutils.alloca_once(self.builder, ir.ArrayType(_WORD, len(pairs)))
        for i, (place, axis) in enumerate(pairs):
            other = self.read(row, 8 * place)
            length = self.integer(other) if axis < 0 else self.read(self.read(other, ground.SHAPE), 8 * axis)
            self.builder.store(length, cgutils.gep_inbounds(self.builder, lengths, 0, i))
        return ir.Constant(_HALF, len(pairs)), self.builder.ptrtoint(lengths, _WORD)

    def new_array(self, kind: Kind, own: Any, shape: tuple[Any, Any]) -> Any:
        """A new array of a kind; 0 with Python's exception set if memory does not suffice."""
        none, number = ir.Constant(_WORD, 0), ground.NUMBERS_OF_TYPES[str(kind.type(own).dtype)]
        some = [ir.Constant(_HALF, number), none, none, ir.Constant(_HALF, 0), ir.Constant(_HALF, 0), none]
        return self.call(ground.NEW_ARRAY, self.known(np.ndarray), *shape, *some)

    def integer(self, argument: Any) -> Any:
        return self.call("PyLong_AsSsize_t", argument)

    def fits(self, argument: Any) -> Any:
        """Whether an integer has at most 64 bits; Python's exception is set if it has more."""
        builder, value = self.builder, self.integer(argument)
        answer = cgutils.alloca_once_value(builder, ir.Constant(ir.IntType(1), 1))
        with builder.if_then(self.equal(value, ir.Constant(_WORD, -1)), likely=False):
            builder.store(self.equal(self.call("PyErr_Occurred"), ir.Constant(_WORD, 0)), answer)
        return builder.load(answer)

    def value(self, context: Any, argument: Any, kind: Kind, own: Any) -> Any:
        """An argument as compiled code takes it."""
        if kind.dtype == "float":
            return self.call("PyFloat_AsDouble", argument, result=ir.DoubleType())
        if kind.dtype == "int":
            return self.integer(argument)
        if kind.dtype == "bool":
            return self.builder.icmp_signed("!=", self.integer(argument), ir.Constant(_WORD, 0))
        array = kind.type(own)
        shape = self.shape(argument, kind.axes)
        item = ir.Constant(_WORD, array.dtype.bitwidth // 8)
        strides = [item]
        for length in shape[:0:-1]:
            strides.insert(0, self.builder.mul(strides[0], length))
        data = self.builder.inttoptr(self.read(argument, DATA), context.get_data_type(array.dtype).as_pointer())
        made = context.make_array(array)(context, self.builder)
        context.populate_array(made, data=data, shape=shape, strides=strides, itemsize=item, meminfo=None)
        return made._getvalue()

    def shape(self, argument: Any, axes: int) -> list[Any]:
        """The lengths of an array's axes, as the kind takes them."""
        lengths = self.read(argument, ground.SHAPE)
        if axes not in (ground.FLAT, ground.ROWS):
            return [self.read(lengths, 8 * axis) for axis in range(axes)]
        builder = self.builder
        last = builder.sub(builder.sext(self.read(argument, ground.AXES, _HALF), _WORD), ir.Constant(_WORD, 1))
        size = cgutils.alloca_once_value(builder, ir.Constant(_WORD, 1))
        with cgutils.for_range(builder, last) as loop:
            place = builder.gep(builder.inttoptr(lengths, _WORD.as_pointer()), [loop.index])
            builder.store(builder.mul(builder.load(size), builder.load(place)), size)
        rows = builder.load(size)
        width = builder.load(builder.gep(builder.inttoptr(lengths, _WORD.as_pointer()), [last]))
        return [rows, width] if axes == ground.ROWS else [builder.mul(rows, width)]

    def object(self, value: Any, kind: Any) -> Any:
        """A result as an object of Python's."""
        if isinstance(kind, types.NoneType):
            return self.reference(None)
        if isinstance(kind, types.Float):
            return self.call("PyFloat_FromDouble", value)
        if isinstance(kind, types.Boolean):
            return self.call("PyLong_FromSsize_t", self.builder.zext(value, _WORD))
        if isinstance(kind, types.Integer):
            return self.call("PyLong_FromSsize_t", value)
        return self.tuple([self.object(self.builder.extract_value(value, i), one) for i, one in enumerate(kind)])

    def tuple(self, items: list[Any]) -> Any:
        """A tuple of objects, whose references it takes; 0 if memory does not suffice for it or for one of them."""
        builder, none = self.builder, ir.Constant(_WORD, 0)
        made = self.call("PyTuple_New", ir.Constant(_WORD, len(items)))
        answer, lacks = cgutils.alloca_once_value(builder, made), self.equal(made, none)
        for item in items:
            lacks = builder.or_(lacks, self.equal(item, none))
        with builder.if_else(lacks, likely=False) as (incomplete, complete):
            with incomplete:
                for item in (*items, made):
                    self.call("Py_DecRef", item, result=ir.VoidType())  # which passes over 0
                builder.store(none, answer)
            with complete:
                for i, item in enumerate(items):
                    self.call("PyTuple_SetItem", made, ir.Constant(_WORD, i), item)
        return builder.load(answer)


class _Row(_Builder):
    """The row of a door's arguments: their addresses, in memory of the door's, which is 0 where they do not suit."""

    def __init__(self, builder: Any, me: Any, kinds: list[Kind], own: Any) -> None:
        super().__init__(builder, me)
        self.kinds, self.own = kinds, own
        memory = cgutils.alloca_once(builder, ir.ArrayType(_WORD, max(1, len(kinds))))
        self.row = builder.ptrtoint(memory, _WORD)
        self.end, self.answers = builder.append_basic_block("end"), list[Any]()

    def put(self, place: int, address: Any) -> None:
        at = self.builder.add(self.row, ir.Constant(_WORD, 8 * place))
        self.builder.store(address, self.builder.inttoptr(at, _WORD.as_pointer()))

    def need(self, condition: Any) -> None:
        """Go to the end unless the condition is true."""
        self.answers.append(self.builder.block)
        following = self.builder.append_basic_block("following")
        self.builder.cbranch(condition, following, self.end)
        self.builder.position_at_end(following)

    def need_unless(self, is_left_out: Any, conditions: Iterable[Any]) -> None:
        """Need conditions where something is not left out."""
        given, done = (self.builder.append_basic_block(name) for name in ("given", "done"))
        self.builder.cbranch(is_left_out, done, given)
        self.builder.position_at_end(given)
        for condition in conditions:
            self.need(condition)
        self.builder.branch(done)
        self.builder.position_at_end(done)

    def leave_out_unless(self, conditions: Iterable[Any], place: int) -> None:
        """Put an empty array in the place of an argument unless all conditions are true; refuse it in a long call.

        There the gate has made each of them: one that does not suit would be lost, and read where it is not.
        """
        builder = self.builder
        other, done = (builder.append_basic_block(name) for name in ("other", "done"))
        for condition in conditions:
            following = builder.append_basic_block("following")
            builder.cbranch(condition, following, other)
            builder.position_at_end(following)
        builder.branch(done)
        builder.position_at_end(other)
        self.need(builder.icmp_signed(">", self.bound(), ir.Constant(_WORD, 0)))
        self.put(place, self.empty())
        builder.branch(done)
        builder.position_at_end(done)

    def empty(self) -> Any:
        """The address of what reads like an array without elements, in memory of the door's."""
        word, zero = self.builder, ir.Constant(_WORD, 0)
        memory = cgutils.alloca_once(word, ir.ArrayType(_WORD, 2 * _EMPTY))
        for i in range(2 * _EMPTY):
            word.store(zero, cgutils.gep_inbounds(word, memory, 0, i))
        address = word.ptrtoint(memory, _WORD)
        lengths = word.add(address, ir.Constant(_WORD, 8 * _EMPTY))
        word.store(lengths, cgutils.gep_inbounds(word, memory, 0, ground.SHAPE // 8))
        return address

    def fill(self, arguments: Any, count: Any) -> None:
        """Look at all arguments."""
        self.need(self.equal(self.builder.add(count, self.bound()), ir.Constant(_WORD, len(self.kinds))))
        for i, kind in enumerate(self.kinds):
            argument = self.argument(arguments, i)
            conditions = self.conditions(argument, kind, self.own)
            self.put(i, argument)
            if kind.is_optional:
                self.leave_out_unless(conditions, i)
            else:
                self.need_unless(self.is_left_out(argument, kind), conditions)
        for i, kind in enumerate(self.kinds):
            if kind.shape is not None:
                argument = self.read(self.row, 8 * i)
                wanted = self.wanted_shape(self.row, kind)
                self.need_unless(self.is_left_out(argument, kind), (self.is_shaped(argument, wanted) for _ in range(1)))

    def is_left_out(self, argument: Any, kind: Kind) -> Any:
        """Whether a result is to be made, or an optional array is not there."""
        if kind.is_optional:
            return self.equal(self.read(argument, DATA), ir.Constant(_WORD, 0))
        return self.equal(argument, self.known(None)) if kind.is_result else ir.Constant(ir.IntType(1), 0)

    def make_results(self) -> None:
        """Make the results that are left out; the door has a reference to each, given or made."""
        builder, all_made = self.builder, cgutils.alloca_once_value(self.builder, ir.Constant(ir.IntType(1), 1))
        for i, kind in enumerate(self.kinds):
            if kind.is_result:
                given = self.read(self.row, 8 * i)
                with builder.if_else(self.equal(given, self.known(None))) as (is_left_out, is_given):
                    with is_left_out:
                        made = self.new_array(kind, self.own, self.wanted_shape(self.row, kind))
                        self.put(i, made)
                        is_made = builder.icmp_unsigned("!=", made, ir.Constant(_WORD, 0))
                        builder.store(builder.and_(builder.load(all_made), is_made), all_made)
                    with is_given:
                        self.call("Py_IncRef", given, result=ir.VoidType())
        with builder.if_then(builder.not_(builder.load(all_made)), likely=False):
            _drop_results(self, self.row, self.kinds)
        self.need(builder.load(all_made))

    def found(self) -> Any:
        """The row's address, or 0."""
        last = self.builder.block
        self.builder.branch(self.end)
        self.builder.position_at_end(self.end)
        result = self.builder.phi(_WORD)
        for block in self.answers:
            result.add_incoming(ir.Constant(_WORD, 0), block)
        result.add_incoming(self.row, last)
        return result


def _drop_results(build: _Builder, row: Any, kinds: list[Kind]) -> None:
    """Give up the references to results."""
    for i, kind in enumerate(kinds):
        if kind.is_result:
            build.call("Py_DecRef", build.read(row, 8 * i), result=ir.VoidType())


def _lower_row(context: Any, me: Any, arguments: Any, count: Any, kinds: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        row = _Row(builder, args[0], kinds_in(kinds.literal_value), me.dtype)
        row.fill(args[1], args[2])
        row.make_results()
        return row.found()

    return types.intp(me, types.intp, types.intp, kinds), codegen


def _lower_take(context: Any, me: Any, row: Any, kinds: Any) -> Any:
    wanted = kinds_in(kinds.literal_value)
    result = types.Tuple([kind.type(me.dtype) for kind in wanted])

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        build = _Builder(builder, args[0])
        values = [build.value(context, build.read(args[1], 8 * i), kind, me.dtype) for i, kind in enumerate(wanted)]
        return context.make_tuple(builder, result, values)

    return result(me, types.intp, kinds), codegen


def _lower_give(context: Any, me: Any, row: Any, value: Any, kinds: Any) -> Any:
    places = [i for i, kind in enumerate(kinds_in(kinds.literal_value)) if kind.is_result]

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        build, none = _Builder(builder, args[0]), ir.Constant(_WORD, 0)
        if not places:
            return build.object(args[2], value)
        rest = list(enumerate(value))[1:] if isinstance(value, types.BaseTuple) else []
        outcome = builder.extract_value(args[2], 0) if rest else args[2]
        is_bound, answer = builder.icmp_signed(">", build.bound(), none), cgutils.alloca_once(builder, _WORD)
        with builder.if_else(builder.and_(is_bound, build.equal(outcome, ir.Constant(_WORD, DONE)))) as (done, other):
            with done:
                items = [build.object(builder.extract_value(args[2], i), kind) for i, kind in rest]
                items += [build.read(args[1], 8 * i) for i in places]
                builder.store(items[0] if len(items) == 1 else build.tuple(items), answer)
            with other:
                _drop_results(build, args[1], kinds_in(kinds.literal_value))
                with builder.if_else(is_bound) as (bound, unbound):
                    with bound:
                        builder.store(build.object(outcome, types.intp), answer)
                    with unbound:
                        builder.store(build.object(args[2], value), answer)
        return builder.load(answer)

    return types.intp(me, row, value, kinds), codegen


def _lower_refuse(context: Any, me: Any, arguments: Any, count: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        build, none, answer = _Builder(builder, args[0]), ir.Constant(_WORD, 0), cgutils.alloca_once(builder, _WORD)
        builder.store(none, answer)
        # The caller of a bound door asks the gate next, which says what is wrong, such as a shape too large for memory.
        with builder.if_then(builder.icmp_signed(">", build.bound(), none)):
            build.call("PyErr_Clear", result=ir.VoidType())
        with builder.if_then(build.equal(build.call("PyErr_Occurred"), none)):
            following, its_own = (build.read(build.ground, 8 * (ground.NEXT + i)) for i in range(2))
            with builder.if_else(build.equal(following, none)) as (last, another):
                with last:
                    builder.store(build.reference(NotImplemented), answer)
                with another:
                    door = ir.FunctionType(_WORD, [_WORD] * 3).as_pointer()
                    asked = builder.call(builder.inttoptr(following, door), [its_own, args[1], args[2]])
                    builder.store(asked, answer)
        return builder.load(answer)

    return types.intp(me, arguments, count), codegen


def _lower_pause(context: Any, me: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        build, state = _Builder(builder, args[0]), cgutils.alloca_once_value(builder, ir.Constant(_WORD, 0))
        with builder.if_then(build.equal(build.bound(), ir.Constant(_WORD, 0))):
            builder.store(build.call("PyEval_SaveThread"), state)
        return builder.load(state)

    return types.intp(me), codegen


def _lower_resume(context: Any, me: Any, state: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        with builder.if_then(builder.icmp_unsigned("!=", args[1], ir.Constant(_WORD, 0))):
            _Builder(builder, args[0]).call("PyEval_RestoreThread", args[1], result=ir.VoidType())
        return context.get_dummy_value()

    return types.void(me, state), codegen


row, take, give = (intrinsic(prefer_literal=True)(one) for one in (_lower_row, _lower_take, _lower_give))
refuse, pause, resume = (intrinsic(one) for one in (_lower_refuse, _lower_pause, _lower_resume))
