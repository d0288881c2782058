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

from anima import _native
from anima._native import CallPlan
from anima.config import eager_host_calls
from anima.core.aval import ShapedArray, array_aval
from anima.core.host import REAL, WHOLE
from anima.core.jaxpr import ClosedJaxpr, Literal, Var
from anima.interpreters.jvp import stage_closed
from anima.interpreters.stage import unplaced
from anima.records import NamedTuple
from anima.runtime.compile_options import TINY_ELEMENTS
from anima.runtime.host import await_pending, on_host

# The compiler has other options beyond `TINY_ELEMENTS`. At the last, most operations take a few microseconds.
_LENGTHS = (64, TINY_ELEMENTS, 4096)
# Complex numbers are rounded otherwise in vectors.
_DTYPES = (*WHOLE, *REAL)


class Lengthened(NamedTuple):
    """A program of arrays of `length` elements in place of those of `shape`."""

    closed: ClosedJaxpr
    shape: tuple[int, ...]
    length: int


def suits(closed: ClosedJaxpr) -> bool:
    """Whether a program may be elementwise, at a glance."""
    return not closed.effects and all([eqn.primitive.elementwise is not None for eqn in closed.eqns])


class _Refused(Exception):
    """The program is not elementwise."""


def lengthened(closed: ClosedJaxpr) -> Lengthened | None:
    """The same for arrays of more elements in one dimension; None if the program is not elementwise, or has large arrays."""
    avals = [*closed.in_avals, *closed.out_avals]
    shapes = {a.shape if isinstance(a, ShapedArray) else None for a in avals} - {()}
    shape = shapes.pop() if len(shapes) == 1 else None
    if shape is None:
        return None
    size = int(np.prod(shape))
    length = next((n for n in _LENGTHS if size <= n), 0) if size else 0
    if not length or not all(map(_is_plain, avals)):
        return None
    new = [ShapedArray((length,), a.dtype, a.weak_type) if a.shape else a for a in closed.in_avals]  # type: ignore[attr-defined]
    try:
        return Lengthened(
            stage_closed(lambda *xs: _perform(closed, xs, shape, length), new, closed.jaxpr.name, unplaced),
            shape,
            length,
        )
    except _Refused:
        return None


def _is_plain(aval: Any) -> bool:
    return isinstance(aval.dtype, np.dtype) and aval.dtype.name in _DTYPES and aval.given_sharding is None


def _perform(closed: ClosedJaxpr, args: Sequence[Any], shape: tuple[int, ...], length: int) -> list[Any]:
    """Stage the equations of a program for arrays of another length."""
    jaxpr = closed.jaxpr
    if any([array_aval(v.aval).shape for v in jaxpr.constvars]):
        raise _Refused
    values: dict[Var, Any] = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*closed.consts, *args]))

    def value(atom: Any) -> Any:
        return atom.val if isinstance(atom, Literal) else values[atom]

    for eqn in jaxpr.eqns:
        rule = eqn.primitive.elementwise
        atoms = (*eqn.invars, *eqn.outvars)
        if rule is None or any([array_aval(v.aval).shape not in ((), shape) for v in atoms]):
            raise _Refused
        operands = [value(a) for a in eqn.invars]
        instead = rule(shape, (length,), eqn.params)
        if isinstance(instead, ClosedJaxpr):
            outs = _perform(instead, operands, shape, length)
        elif instead is None:
            raise _Refused
        else:
            found = eqn.primitive.bind(*operands, **instead)
            outs = found if eqn.primitive.multiple_results else [found]
        values.update(zip(eqn.outvars, outs))
    return [value(a) for a in jaxpr.outvars]


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
        if self.calls >= eager_host_calls.value:
            return None
        await_pending(operands, device)
        given = []
        for x, aval in zip(operands, self._in_avals):
            if not aval.shape:
                given.append(x)
                continue
            array = on_host(x, aval)
            if array is None:
                return None
            given.append(self._filled(array, device))
        self.calls += 1
        outs = self._plan.execute(given)
        return [self._cut(x, aval, device, committed) for x, aval in zip(outs, self._out_avals)]

    def _filled(self, x: np.ndarray[Any, Any], device: _native.Device) -> Any:
        filled = np.zeros(self._of.length, x.dtype)
        filled[: x.size] = x.reshape(-1)
        # Of the program's dtype whatever the options: arrays of 64 bits outlive 64-bit mode.
        return _native.array_from_host(filled, device, dtype=x.dtype)

    def _cut(self, x: Any, aval: Any, device: _native.Device, committed: bool) -> Any:
        if not aval.shape:
            return x
        size = int(np.prod(aval.shape))
        part = np.array(np.asarray(x)[:size].reshape(aval.shape))
        return _native.array_from_host(
            part, device, dtype=aval.dtype, weak_type=aval.weak_type, committed=committed
        )
