"""Operands of n-ary operations: Python scalars take the others' dtype, scalars the others' shape.

Invariant: for arrays of equal dtype and shape this is two attribute reads each and no more. Arrays of different
dtypes are never converted here: `lax` is strict, `numpy` promotes.
"""

from __future__ import annotations

from typing import Any

from anima import dtypes
from anima.core.aval import ShapedArray
from anima.core.trace import aval_of
from anima.lax.convert import convert_element_type
from anima.lax.declare import operand, same_dtypes
from anima.lax.shape import broadcast


def operands(name: str, *values: Any) -> tuple[Any, ...]:
    """The operands of a primitive that wants equal shapes and dtypes.

    Raises:
      TypeError: dtypes differ and are not those of Python scalars, or shapes differ and are not scalars.
    """
    given = tuple(map(operand, values))
    avals: list[Any] = [aval_of(v) for v in given]
    first = avals[0]
    for aval in avals[1:]:
        if aval.shape != first.shape or aval.dtype != first.dtype:
            return _match(name, given, avals)
    return given


def _match(name: str, values: tuple[Any, ...], avals: list[ShapedArray]) -> tuple[Any, ...]:
    strong = [a for a in avals if not a.weak_type]
    if len(strong) < len(avals):
        dtype, _ = dtypes.lattice_result_type(*[(a.dtype, a.weak_type) for a in avals])
        if strong and dtype != strong[0].dtype:
            same_dtypes(name, avals)  # a scalar that would change the arrays' dtype: refuse, by name
        weak = not strong
        values = tuple(
            v if a.dtype == dtype else convert_element_type(v, dtype, weak) for v, a in zip(values, avals)
        )
    else:
        same_dtypes(name, avals)
    shape = next((a.shape for a in avals if a.shape), ())
    return tuple(broadcast(v, shape) if a.shape == () and shape else v for v, a in zip(values, avals))
