"""Small elementwise programs that arrays of all shapes share, until a shape is met often enough for a program of its own.

Invariant: the results have the bits that the shape's own program gives, but for which NaN a NaN is: operations whose code
rounds otherwise in vectors than in single numbers, or in arrays of several dimensions, have no rule `elementwise`.

Compiling an operation takes 7 ms, a function of several 20 to 40, and that for each shape. Here it is compiled for a few lengths:
arrays are laid out in one dimension and filled up with zeros. A call takes 20 to 45 us then, against 2 for a program of the shape's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from anima import _native, dtypes
from anima._native import CallPlan
from anima.config import eager_host_calls
from anima.core.aval import ShapedArray, array_aval, physical_aval
from anima.core.host import REAL, WHOLE
from anima.core.jaxpr import ClosedJaxpr, Eqn, Jaxpr, Literal, Var, subjaxprs
from anima.interpreters.jvp import stage_closed
from anima.interpreters.stage import unplaced
from anima.records import NamedTuple
from anima.runtime.compile_options import TINY_ELEMENTS
from anima.runtime.host import await_pending, on_host

# The compiler has other options beyond `TINY_ELEMENTS`. At the last, most operations take a few microseconds.
_LENGTHS = (64, TINY_ELEMENTS, 4096)
# Of programs that take no arrays: random numbers. A million normal ones take 2 ms.
_LONGER = (1 << 14, 1 << 16, 1 << 18, 1 << 20)
_WORK = 1 << 23  # elements that all calls for a shape compute
_MAX_NUMBERS = 8
_NUMBER = ShapedArray((), np.dtype(np.uint32))
# Operations whose floating-point results are rounded once, if at all. Of others, which are made of several, the rest of a loop that is
# no whole vector is rounded in another way: where the compiler makes vectors, beyond `TINY_ELEMENTS`, results depend on the shape.
# fmt: off
_ONCE = frozenset((
    "abs", "add", "add_any", "bitcast_convert_type", "broadcast_in_dim", "ceil", "clamp", "concatenate", "convert_element_type",
    "copy", "div", "floor", "iota", "max", "min", "mul", "neg", "nextafter", "real", "reduce_precision", "rem", "reshape",
    "round", "select_n", "sign", "slice", "sqrt", "square", "squeeze", "stop_gradient", "sub", "transpose",
))
# fmt: on
# Complex numbers are rounded otherwise in vectors.
_DTYPES = (*WHOLE, *REAL)


class Lengthened(NamedTuple):
    """A program of arrays of `length` elements in place of those of `shape`.

    Attributes:
      numbers: its operands beyond those of the other program, integers of 32 bits.
      long: which of the other operands are of that length.
    """

    closed: ClosedJaxpr
    shape: tuple[int, ...]
    length: int
    numbers: list[int]
    long: list[bool]


def suits(closed: ClosedJaxpr) -> bool:
    """Whether a program may be elementwise, at a glance."""
    if closed.effects:
        return False
    primitives = [eqn.primitive for eqn in closed.eqns]
    return all([p.elementwise is not None for p in primitives]) or any(
        [p.counted is not None for p in primitives]
    )


class _Refused(Exception):
    """The program is not elementwise."""


def lengthened(closed: ClosedJaxpr, largest: int | None = None) -> Lengthened | None:
    """The same for arrays of more elements in one dimension; None if the program is not elementwise, or has large arrays.

    Args:
      largest: the greatest number of elements that its options allow.
    """
    shape = _shape_of(closed)
    if shape is None:
        return None
    long = [_is_long(v, shape, closed.jaxpr) for v in closed.jaxpr.invars]
    size = int(np.prod(shape))
    lengths: tuple[int, ...] = _LENGTHS if any(long) else (*_LENGTHS, *_LONGER)
    if largest is not None:
        lengths = (*[n for n in lengths if n < largest], largest)
    length = next((n for n in lengths if size <= n), 0) if size else 0
    if not length or not all(map(_is_plain, [*closed.in_avals, *closed.out_avals])):
        return None
    if any([of and dtypes.is_extended(array_aval(a).dtype) for a, of in zip(closed.in_avals, long)]):
        return None  # arrays of keys have no form in one dimension
    given: list[Any] = closed.in_avals
    avals = [ShapedArray((length,), a.dtype, a.weak_type) if of else a for a, of in zip(given, long)]
    staging = _Staging(shape, length)
    try:
        staged = stage_closed(
            lambda *xs: staging.perform(closed, xs[: len(long)], long, xs[len(long) :]),
            [*avals, *[_NUMBER] * _MAX_NUMBERS],
            closed.jaxpr.name,
            unplaced,
        )
    except _Refused:
        return None
    if length > TINY_ELEMENTS and not _rounded_once(staged.jaxpr):
        return None
    jaxpr, count = staged.jaxpr, len(long) + len(staging.numbers)
    used = Jaxpr(jaxpr.constvars, jaxpr.invars[:count], jaxpr.outvars, jaxpr.eqns, jaxpr.effects, jaxpr.name)
    return Lengthened(ClosedJaxpr(used, staged.consts), shape, length, staging.numbers, long)


def _is_inexact(aval: Any) -> bool:
    return bool(dtypes.issubdtype(physical_aval(aval).dtype, np.inexact))


def _rounded_once(jaxpr: Jaxpr) -> bool:
    """Whether that holds for each operation, also of the programs inside."""

    def holds(eqn: Eqn) -> bool:
        inner = subjaxprs(eqn.params)
        if inner:
            return all(map(_rounded_once, inner))
        return eqn.primitive.name in _ONCE or not any([_is_inexact(v.aval) for v in eqn.outvars])

    return all(map(holds, jaxpr.eqns))


def _shape_of(closed: ClosedJaxpr) -> tuple[int, ...] | None:
    """The shape of all arrays of a program that may be elementwise; None if they have several, or none."""
    counted = [eqn.params["shape"] for eqn in closed.eqns if eqn.primitive.counted is not None]
    outs = [a.shape if isinstance(a, ShapedArray) else None for a in closed.out_avals]
    if counted:
        shape = counted[-1]  # those before divide keys
        return shape if shape and all([s in ((), (*shape, *(s or ())[len(shape) :])) for s in outs]) else None
    shapes = {*outs, *[a.shape if isinstance(a, ShapedArray) else None for a in closed.in_avals]} - {()}
    return shapes.pop() if len(shapes) == 1 else None


def _is_long(var: Var, shape: tuple[int, ...], jaxpr: Jaxpr) -> bool:
    """Whether an argument of a program is one of its arrays, not a key or what a key is made of."""
    aval = array_aval(var.aval)
    return aval.shape == shape != () and not any(
        [var in eqn.invars and eqn.primitive.elementwise is None for eqn in jaxpr.eqns]
    )


def _is_plain(aval: Any) -> bool:
    dtype = physical_aval(aval).dtype
    return isinstance(dtype, np.dtype) and dtype.name in _DTYPES and aval.given_sharding is None


class _Staging:
    """Stages the equations of a program for arrays of another length.

    Attributes:
      numbers: what was made operands.
    """

    def __init__(self, shape: tuple[int, ...], length: int) -> None:
        self.shape = shape
        self.length = length
        self.numbers: list[int] = []

    def perform(
        self, closed: ClosedJaxpr, args: Sequence[Any], long: Sequence[bool], operands: Sequence[Any]
    ) -> list[Any]:
        """The results of the program.

        Args:
          args, long: its arguments, and which of them are of the other length.
          operands: for numbers that depend on the shape.
        """
        jaxpr = closed.jaxpr
        if any([array_aval(v.aval).shape for v in jaxpr.constvars]):
            raise _Refused
        values: dict[Var, Any] = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*closed.consts, *args]))
        lengthened = {v for v, of in zip(jaxpr.invars, long) if of}
        returned = _returned(jaxpr)

        def value(atom: Any) -> Any:
            return atom.val if isinstance(atom, Literal) else values[atom]

        def number(n: int) -> Any:
            if len(self.numbers) == len(operands):
                raise _Refused
            self.numbers.append(n)
            return operands[len(self.numbers) - 1]

        for eqn in jaxpr.eqns:
            given = [value(a) for a in eqn.invars]
            of = [not isinstance(a, Literal) and a in lengthened for a in eqn.invars]
            counted = eqn.primitive.counted
            # Keys that are not returned are what programs divide a key into, for themselves.
            at_once = (
                not dtypes.is_extended(array_aval(eqn.outvars[0].aval).dtype) or eqn.outvars[0] in returned
            )
            if counted is not None and eqn.params["shape"] == self.shape and at_once:
                made = counted(self.length, number, *given, **eqn.params)
                if made is None or any(of):
                    raise _Refused
                outs, is_long = [made], True
            else:
                outs, is_long = self._apply(eqn, given, of, operands)
            values.update(zip(eqn.outvars, outs))
            if is_long:
                lengthened.update(eqn.outvars)
        if any([array_aval(v.aval).shape and v not in lengthened for v in jaxpr.outvars]):
            raise _Refused
        return [value(a) for a in jaxpr.outvars]

    def _apply(
        self, eqn: Eqn, given: list[Any], of: list[bool], operands: Sequence[Any]
    ) -> tuple[list[Any], bool]:
        """The results of an equation, and whether they are of the other length."""
        rule = eqn.primitive.elementwise
        atoms = (*eqn.invars, *eqn.outvars)
        has_arrays = any([array_aval(a.aval).shape for a in atoms])
        makes_long = array_aval(eqn.outvars[0].aval).shape == self.shape
        is_fixed = rule is None or (has_arrays and not makes_long)
        if is_fixed and not any(of) and all(map(_is_exact, atoms)):
            instead: Any = eqn.params  # what is done to keys
        elif rule is None or not all(
            [is_long or not array_aval(a.aval).shape for a, is_long in zip(eqn.invars, of)]
        ):
            raise _Refused
        else:
            instead = rule(self.shape, (self.length,), eqn.params)
        if isinstance(instead, ClosedJaxpr):
            return self.perform(instead, given, of, operands), any(
                [array_aval(v.aval).shape for v in eqn.outvars]
            )
        if instead is None:
            raise _Refused
        if any(of) and any([array_aval(v.aval).shape[: len(self.shape)] != self.shape for v in eqn.outvars]):
            raise _Refused
        found = eqn.primitive.bind(*given, **instead)
        made = makes_long and instead is not eqn.params
        return found if eqn.primitive.multiple_results else [found], any(of) or made


def _is_exact(atom: Any) -> bool:
    """Whether operations on such a value have the same results however they are compiled."""
    dtype = array_aval(atom.aval).dtype
    return dtypes.is_extended(dtype) or dtype.kind in "biu"


def _returned(jaxpr: Jaxpr) -> set[Any]:
    """The variables that are results of a program, or of which only what is elementwise is a result."""
    found: set[Any] = set(jaxpr.outvars)
    for eqn in reversed(jaxpr.eqns):
        if eqn.primitive.elementwise is not None and found.intersection(eqn.outvars):
            found.update([v for v in eqn.invars if not isinstance(v, Literal)])
    return found


class SharedPlan:
    """How arrays of one shape go through the plan of a program of more elements, and how often they have."""

    __slots__ = ("_in_avals", "_of", "_out_avals", "_plan", "calls")

    def __init__(self, closed: ClosedJaxpr, of: Lengthened, plan: CallPlan) -> None:
        self.calls = 0
        self._of = of
        self._plan = plan  # that returns a list
        self._in_avals: list[Any] = closed.in_avals
        self._out_avals: list[Any] = closed.out_avals

    def answer(self, operands: Sequence[Any], device: _native.Device, committed: bool) -> list[Any] | None:
        """The results for these operands, or None where they are still being computed, or were asked for often enough."""
        # As much time at most as a program of the shape's own would take to compile.
        if self.calls >= min(eager_host_calls.value, max(1, _WORK // self._of.length)):
            return None
        await_pending(operands, device)
        given = []
        for x, aval, long in zip(operands, self._in_avals, self._of.long):
            if not long:
                given.append(x)
                continue
            array = on_host(x, aval)
            if array is None:
                return None
            given.append(self._filled(array, device))
        self.calls += 1
        outs = self._plan.execute([*given, *map(np.uint32, self._of.numbers)])
        return [self._cut(x, aval, device, committed) for x, aval in zip(outs, self._out_avals)]

    def _filled(self, x: np.ndarray[Any, Any], device: _native.Device) -> Any:
        filled = np.zeros(self._of.length, x.dtype)
        filled[: x.size] = x.reshape(-1)
        # Of the program's dtype whatever the options: arrays of 64 bits outlive 64-bit mode.
        return _native.array_from_host(filled, device, dtype=x.dtype)

    def _cut(self, x: Any, aval: Any, device: _native.Device, committed: bool) -> Any:
        if not aval.shape:
            return x
        physical = physical_aval(aval)
        words = x if physical is aval else _native.array_with(x, dtype=physical.dtype)
        rows = int(np.prod(self._of.shape))
        part = np.array(np.asarray(words)[:rows].reshape(physical.shape))
        return _native.array_from_host(
            part, device, dtype=aval.dtype, weak_type=aval.weak_type, committed=committed
        )
