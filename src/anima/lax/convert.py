"""Conversions between dtypes.

Invariant: a conversion to the dtype that a value already has makes no operation.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from anima import dtypes
from anima.core.aval import ShapedArray, has_tangent
from anima.core.primitive import Zero
from anima.core.trace import aval_of
from anima.lax.declare import ANY, batch_elementwise, declare, operand
from anima.lowering.module import Context, Value


def _convert_shape(x: ShapedArray, *, new_dtype: Any, weak_type: bool) -> ShapedArray:
    return ShapedArray(x.shape, new_dtype, weak_type, x.sharding)


def _convert_lower(ctx: Context, x: Value, *, new_dtype: Any, weak_type: bool) -> Value:
    if x.dtype == new_dtype:
        return Value(x.name, ctx.out_avals[0])
    if x.dtype.kind == "c" and new_dtype.kind != "c":
        real = ctx.op("stablehlo.real", (x,), ShapedArray(x.shape, np.dtype(f"float{x.dtype.itemsize * 4}")))
        return real if real.dtype == new_dtype else ctx.op("stablehlo.convert", (real,))
    if new_dtype == np.dtype(bool):
        # XLA's convert to i1 truncates; NumPy's meaning is "not zero".
        zero = ctx.full(0, ShapedArray(x.shape, x.dtype))
        direction = "comparison_direction = #stablehlo<comparison_direction NE>"
        return ctx.op("stablehlo.compare", (x, zero), attrs=direction)
    return ctx.op("stablehlo.convert", (x,))


def _convert_jvp(primals: Any, tangents: Any, *, new_dtype: Any, weak_type: bool) -> tuple[Any, Any]:
    params = {"new_dtype": new_dtype, "weak_type": weak_type}
    ans = convert_element_type_p.bind(*primals, **params)
    (t,) = tangents
    if type(t) is Zero or not has_tangent(aval_of(ans)):
        return ans, Zero(aval_of(ans).tangent_aval())
    return ans, convert_element_type_p.bind(t, **params)


def _convert_transpose(ct: Any, x: Any, *, new_dtype: Any, weak_type: bool) -> list[Any]:
    return [convert_element_type_p.bind(ct, new_dtype=x.dtype, weak_type=x.aval.weak_type)]


convert_element_type_p = declare(
    "convert_element_type",
    shape=_convert_shape,
    lower=_convert_lower,
    jvp=_convert_jvp,
    transpose=_convert_transpose,
    batch=batch_elementwise,
    dtypes=ANY,
)


def convert_element_type(operand_: Any, new_dtype: Any, weak_type: bool = False) -> Any:
    """`operand` with its elements converted to `new_dtype`.

    Complex to real keeps the real part; anything to bool is "not zero"; floating point to integer truncates
    towards zero and saturates.

    Args:
      new_dtype: a dtype, or the Python type `bool`, `int`, `float` or `complex`, which gives a weak type.
      weak_type: whether the result yields to other dtypes in promotion.
    Raises:
      TypeError: `new_dtype` is not a dtype of arrays.

    >>> from anima import lax
    >>> print(lax.convert_element_type(2.7, "int32"))
    2
    """
    value = operand(operand_)
    aval = aval_of(value)
    assert isinstance(aval, ShapedArray)
    weak = weak_type or new_dtype in (int, float, complex)
    dtype = dtypes.canonicalize_dtype(dtypes.as_dtype(new_dtype), allow_extended_dtype=True)
    if aval.dtype == dtype and aval.weak_type == weak and not isinstance(value, (bool, int, float, complex, np.generic, np.ndarray)):  # fmt: skip
        return value
    return convert_element_type_p.bind(value, new_dtype=dtype, weak_type=weak)
