"""Arrays from nothing: constant fill, counting, and the zeros of differentiation.

Invariant: the fill value is a run-time operand, so one program serves every value.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from anima import _native, dtypes
from anima.config import enable_x64
from anima.core import hooks, variance
from anima.core.aval import ShapedArray, no_axes
from anima.core.host import HostRule
from anima.core.primitive import Missing, primitives
from anima.core.trace import aval_of
from anima.lax import on_host
from anima.lax.arguments import check_integers
from anima.lax.convert import convert_element_type, convert_element_type_p, convert_to
from anima.lax.declare import COMPLEX, FLOAT, INTEGER, check_dtype, declare, no_tangent, operand as as_operand
from anima.lax.shape import broadcast_in_dim_p, check_shape, refuse_out_sharding, shape_of
from anima.lowering.module import Context, Value
from anima.sharding.requests import is_request

# --- iota -------------------------------------------------------------------------------------

_COUNTING = INTEGER + FLOAT + COMPLEX


def _iota_shape(*, dtype: Any, shape: tuple[int, ...], dimension: int) -> ShapedArray:
    aval = ShapedArray(shape, dtype)
    check_dtype("iota", aval, _COUNTING)
    if not 0 <= dimension < len(shape):
        raise ValueError(f"iota: dimension {dimension} is out of bounds for shape {shape}")
    return aval


def _iota_lower(ctx: Context, *, dtype: Any, shape: tuple[int, ...], dimension: int) -> Value:
    return ctx.op("stablehlo.iota", (), attrs=f"iota_dimension = {dimension} : i64")


_WIDE = (
    "int32",
    "int64",
    "uint32",
    "uint64",
    "float32",
    "float64",
)  # they hold the indices of any small array

iota_p = declare(
    "iota",
    shape=_iota_shape,
    lower=_iota_lower,
    jvp=no_tangent,
    transpose=Missing("it has no operands"),
    batch=Missing("it has no operands"),
    host=HostRule(on_host.iota, _WIDE),
    dtypes=_COUNTING,
    remembers=True,
)


def broadcasted_iota(dtype: Any, shape: Any, dimension: int, *, out_sharding: Any = None) -> Any:
    """An array whose elements are their own index along `dimension`.

    Args:
      dtype: an integer, floating point or complex dtype.
      shape: the result's shape.
      dimension: not negative.
      out_sharding: the result's sharding; needs a mesh with explicit axes.
    Raises:
      TypeError: `dtype` is boolean, or the shape is no shape.
      ValueError: `dtype` is None, or the dimension is out of range.

    >>> from anima import lax
    >>> print(lax.broadcasted_iota("int32", (2, 3), 1))
    [[0 1 2]
     [0 1 2]]
    """
    refuse_out_sharding("broadcasted_iota", out_sharding)
    if dtype is None:
        raise ValueError("iota: dtype must be given, got None")
    sizes = check_shape("iota", shape)
    kind = dtypes.check_user_dtype_supported(dtype, "iota")
    (axis,) = check_integers("iota", (dimension,), "dimension")
    return iota_p.bind(dtype=kind, shape=sizes, dimension=axis)


def iota(dtype: Any, size: int) -> Any:
    """The numbers `0, 1, ..., size - 1`.

    Args:
      dtype: an integer, floating point or complex dtype.
      size: how many.
    Raises:
      TypeError: `dtype` is boolean, or the size is no size. ValueError: `dtype` is None.

    >>> from anima import lax
    >>> print(lax.iota("float32", 3))
    [0. 1. 2.]
    """
    return broadcasted_iota(dtype, (size,), 0)


# --- constant fill ----------------------------------------------------------------------------


def full(shape: Any, fill_value: Any, dtype: Any = None, *, sharding: Any = None) -> Any:
    """An array of one repeated value.

    Args:
      shape: the result's shape.
      fill_value: a scalar.
      dtype: the result's dtype; by default the fill value's, weak if that is.
      sharding: where the result lives: a device or a sharding.
    Raises:
      TypeError: `fill_value` is not a scalar, or does not convert; the shape is no shape.

    >>> from anima import lax
    >>> print(lax.full((2, 2), 7))
    [[7 7]
     [7 7]]
    """
    kind = None if dtype is None else dtypes.check_user_dtype_supported(dtype, "full")
    return _fill("full", check_shape("full", shape), fill_value, kind, False, sharding)


def full_like(x: Any, fill_value: Any, dtype: Any = None, shape: Any = None, sharding: Any = None) -> Any:
    """An array of one repeated value, with the shape and dtype of `x` where none are given.

    Args:
      x: an array, or anything with `shape` and `dtype`.
      fill_value: a scalar.
      dtype: the result's dtype; by default that of `x`, weak if that is.
      shape: the result's shape; by default that of `x`.
      sharding: where the result lives: a device or a sharding.
    Raises:
      TypeError: `fill_value` is not a scalar.

    >>> from anima import lax
    >>> print(lax.full_like(lax.iota("int32", 3), 5))
    [5 5 5]
    """
    like_shape, kind, weak = _described(x)
    if dtype is not None:
        kind, weak = dtypes.check_user_dtype_supported(dtype, "full_like"), False
    sizes = like_shape if shape is None else check_shape("full_like", shape)
    return _fill("full_like", sizes, fill_value, kind, weak, sharding)


def _described(x: Any) -> tuple[tuple[int, ...], Any, bool]:
    """Shape, dtype and weak type of an array, or of something that only has the first two."""
    if isinstance(x, (np.ndarray, np.generic)) or not hasattr(x, "shape") or not hasattr(x, "dtype"):
        x = aval_of(as_operand(x))
        if dtypes.kind_of(x.dtype) is None and not dtypes.is_extended(x.dtype) and x.dtype != dtypes.float0:
            raise TypeError(f"full_like: x must be an array of numbers or booleans, got dtype {x.dtype}")
    return tuple(x.shape), x.dtype, bool(getattr(x, "weak_type", False))


def _fill(name: str, shape: tuple[int, ...], value: Any, dtype: Any, weak: bool, sharding: Any) -> Any:
    value = as_operand(value)
    if isinstance(value, (list, tuple)) or shape_of(value):
        raise TypeError(f"{name}: fill_value must be a scalar, got {value!r:.80}")
    if dtype is not None:
        value = scalar_of_dtype(name, value, dtype)
        value = convert_to(value, dtype, True) if weak else value
    filled = broadcast_in_dim_p.bind(value, shape=shape, broadcast_dimensions=())
    return filled if sharding is None else primitives["device_put"].bind(filled, where=sharding)


def _extended_zero(dtype: Any) -> Any:
    """The scalar of an extended dtype that is stored as zeros."""
    shape, stored = dtype.physical_element
    return _native.array_with(hooks.as_array(np.zeros(shape, stored)), dtype=dtype)


def scalar_of_dtype(name: str, value: Any, dtype: Any) -> Any:
    """A scalar converted to `dtype`, on the host if it is there: that costs no operation."""
    if dtypes.is_extended(dtype) and isinstance(value, (bool, int)) and value == 0:
        return _extended_zero(dtype)
    if not isinstance(value, (bool, int, float, complex, np.ndarray, np.generic)) or dtypes.is_extended(
        dtype
    ):
        return convert_element_type(value, dtype)
    if np.iscomplexobj(value) and not dtypes.is_complex(dtype):
        raise TypeError(f"{name}: the complex value {value!r} does not convert to {dtype}")
    with np.errstate(all="ignore"):  # out of range: what NumPy makes of it, without its warning
        return np.asarray(value).astype(dtype)[()]


def empty(shape: Any, dtype: Any, *, out_sharding: Any = None) -> Any:
    """An array of unspecified contents; here they are zeros.

    Args:
      shape: the result's shape.
      dtype: the result's dtype.
      out_sharding: where the result lives: a sharding.
    Raises:
      TypeError: the shape, the dtype or the sharding is none.

    >>> from anima import lax
    >>> lax.empty((2,), "float32").shape
    (2,)
    """
    if out_sharding is not None and not is_request(out_sharding):
        raise TypeError(
            f"empty: out_sharding must be None, a sharding or a PartitionSpec, got {out_sharding!r}"
        )
    return full(shape, 0, dtype, sharding=out_sharding)


# --- what differentiation needs ---------------------------------------------------------------

_zero_scalars: dict[Any, Any] = {}


def zeros(aval: ShapedArray) -> Any:
    """An array of zeros of the given aval; `float0` ones are NumPy arrays, having no contents."""
    dtype: Any = aval.dtype
    if dtype == dtypes.float0:
        return np.zeros(aval.shape, dtype)
    if aval.varying:
        return variance.vary(zeros(aval.update(varying=no_axes)), aval.varying)
    if dtypes.canonical(dtype) != dtype:
        # It has 64 bits, outside 64-bit mode: a NumPy scalar would lose them.
        with enable_x64(True):
            return zeros(aval)
    zero = _zero_scalars.get(dtype)
    if zero is None:
        zero = _extended_zero(dtype) if dtypes.is_extended(dtype) else np.zeros((), dtype)[()]
        _zero_scalars[dtype] = zero
    if aval.weak_type:
        zero = convert_element_type_p.bind(zero, new_dtype=dtype, weak_type=True)
    if aval.shape:
        return broadcast_in_dim_p.bind(zero, shape=aval.shape, broadcast_dimensions=())
    return hooks.as_array(zero)


hooks.zeros = zeros
