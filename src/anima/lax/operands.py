"""Operands of n-ary operations: what fits together, and how it is made to.

Invariant: for arrays of equal dtype and shape this is two attribute reads each and no more. Arrays of different
dtypes are never converted here: `lax` is strict, `numpy` promotes. What comes out has one dtype and one shape, but
for constant scalars, which elementwise primitives take beside any shape.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from anima import dtypes
from anima.config import enable_x64
from anima.core import hooks, variance
from anima.core.aval import ShapedArray
from anima.core.primitive import primitives
from anima.core.trace import Tracer, aval_of
from anima.lax.convert import convert_element_type_p
from anima.lax.declare import operand, same_dtypes, same_shapes
from anima.lax.shape import broadcast_in_dim_p

_ORDER = {"b": 0, "i": 1, "u": 1, "f": 2, "c": 3}


def operands(name: str, *values: Any) -> tuple[Any, ...]:
    """The operands of a primitive that wants equal shapes and dtypes.

    Weakly typed ones take the dtype of the others, if it is of the same kind or a higher one. Sizes of 1 stretch.

    Raises:
      TypeError: dtypes differ otherwise; or shapes differ, and are neither scalars nor of equal rank.
      OverflowError: a Python integer does not fit into the others' dtype.
    """
    for value in values:
        if not isinstance(value, Tracer):
            values = tuple([operand(v) for v in values])
            break
    avals: list[Any] = [aval_of(v) for v in values]
    first = avals[0]
    for aval in avals:
        if aval is not first and aval.dtype != first.dtype:
            values = match_dtypes(name, values, avals)
            break
    for aval in avals:
        if aval is not first and aval.shape != first.shape:
            return match_shapes(name, values, avals)
    return values


def match_dtypes(name: str, values: tuple[Any, ...], avals: list[ShapedArray]) -> tuple[Any, ...]:
    """The values, weakly typed ones converted to the dtype of those that are not.

    Raises:
      TypeError: there is no such dtype, or it does not hold them. OverflowError: a Python integer is too large.
    """
    strong = [a for a in avals if not a.weak_type]
    dtype: Any = same_dtypes(name, strong) if strong else None
    kind = dtypes.kind_of(dtype) if strong else None
    if kind is None or any(
        [_ORDER[dtypes.kind_of(a.dtype) or "c"] > _ORDER[kind] for a in avals if a.weak_type]
    ):
        same_dtypes(name, avals)  # raises
    return tuple([v if a.dtype == dtype else _converted(v, a, dtype) for v, a in zip(values, avals)])


def _converted(value: Any, aval: ShapedArray, dtype: Any) -> Any:
    if isinstance(value, (int, float, complex)):
        if isinstance(value, int) and dtypes.is_int(dtype):
            info = dtypes.iinfo(dtype)
            if not info.min <= value <= info.max:
                raise OverflowError(f"Python integer {value} is out of bounds for {dtypes.dtype_name(dtype)}")
        return typed_scalar(value, dtype)
    return convert_element_type_p.bind(value, new_dtype=dtype, weak_type=False)


def match_shapes(name: str, values: tuple[Any, ...], avals: list[ShapedArray]) -> tuple[Any, ...]:
    """The values, sizes of 1 and scalars that are not constants stretched to the common shape.

    Raises:
      TypeError: there is none.
    """
    shape: tuple[int, ...] = ()
    for aval in avals:
        if aval.shape != shape and aval.shape:
            if shape:
                shape = _common_shape(name, avals)
                break
            shape = aval.shape
    if variance.seen:
        values = tuple(variance.together(values))
    return tuple(
        [
            v if a.shape == shape or not (a.shape or isinstance(v, Tracer)) else stretch(v, a.shape, shape)
            for v, a in zip(values, avals)
        ]
    )


def _common_shape(name: str, avals: list[ShapedArray]) -> tuple[int, ...]:
    shapes = {a.shape for a in avals if a.shape}
    if len({len(s) for s in shapes}) > 1:
        same_shapes(name, avals)  # raises
    result = tuple([max(sizes) if 0 not in sizes else 0 for sizes in zip(*shapes)])
    if any([size not in (1, full) for s in shapes for size, full in zip(s, result)]):
        same_shapes(name, avals)  # raises
    return result


def stretch(value: Any, old: tuple[int, ...], shape: tuple[int, ...]) -> Any:
    """A value of shape `old`, a scalar's or `shape` with some sizes of 1, broadcast to `shape`."""
    if old == shape:
        return value
    if not old:
        return broadcast_in_dim_p.bind(value, shape=shape, broadcast_dimensions=())
    kept = tuple([i for i, (size, full) in enumerate(zip(old, shape)) if size == full])
    if len(kept) < len(old):
        value = primitives["reshape"].bind(value, new_sizes=tuple([old[i] for i in kept]))
    return broadcast_in_dim_p.bind(value, shape=shape, broadcast_dimensions=kept)


def constant(value: Any, like: Any) -> Any:
    """A Python number as a constant scalar of the dtype of `like`, weak if it is."""
    aval = aval_of(like)
    assert isinstance(aval, ShapedArray)
    if aval.weak_type:
        weak = {"i": int, "f": float, "c": complex}.get(dtypes.kind_of(aval.dtype) or "")
        if weak is not None and dtypes.canonical(np.dtype(weak)) == aval.dtype:
            return weak(value)
    return typed_scalar(value, aval.dtype)


def typed_scalar(value: Any, dtype: Any) -> Any:
    """A number as a constant scalar of a dtype."""
    scalar = np.asarray(value).astype(dtype)[()]
    if dtypes.canonical(dtype) is dtype:
        return scalar
    # An array with 64 bits from a block in 64-bit mode: a NumPy scalar would lose them here.
    with enable_x64(True):
        return hooks.as_array(scalar)


def filled(value: Any, like: Any) -> Any:
    """`constant` in the shape of `like`, for operations that want equal shapes."""
    return stretch(constant(value, like), (), aval_of(like).shape)  # type: ignore[attr-defined]
