"""Comparisons, and what kind of number a number is.

Invariant: results are boolean and have no tangents. The ordinary comparisons follow IEEE 754: a NaN equals nothing
and is neither less nor greater, and zeros are equal. Those of the total order tell apart what has different bits:
-NaN < -inf < ... < -0.0 < 0.0 < ... < inf < NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from anima import dtypes
from anima.core.aval import ShapedArray
from anima.core.host import REAL, WHOLE, HostRule
from anima.core.primitive import Primitive
from anima.lax.declare import (
    ANY,
    BOOL,
    FLOAT,
    INTEGER,
    binary,
    comparison,
    operand,
    same_dtypes,
    same_shapes,
    unary,
)
from anima.lax.operands import operands
from anima.lowering.module import Context, Value
from anima.lowering.types import i64_array

_ORDERED = BOOL + INTEGER + FLOAT
_BOOL = np.dtype(bool)


_ON_HOST = {"EQ": np.equal, "NE": np.not_equal, "LT": np.less, "LE": np.less_equal, "GT": np.greater, "GE": np.greater_equal}  # fmt: skip


def _comparison(name: str, direction: str, accepts: tuple[str, ...], total: bool = False) -> Primitive:
    def lower(ctx: Context, x: Value, y: Value) -> Value:
        return ctx.op("stablehlo.compare", (x, y), attrs=comparison(direction, x.dtype, total))

    host = None if total else HostRule(_ON_HOST[direction], WHOLE + REAL, "numbers", kernel=direction.lower())
    return binary(name, lower, accepts, None, out_dtype=lambda _: _BOOL, host=host)


def _equality(name: str, direction: str, connective: str) -> Primitive:
    """`eq` or `ne`, which also take random keys: those are equal if all their words are."""
    plain = _comparison(name, direction, ANY)
    plain_shape, plain_lower = plain.shape, plain.lower

    def shape(x: ShapedArray, y: ShapedArray) -> ShapedArray:
        if not dtypes.is_extended(x.dtype):
            return plain_shape(x, y)
        same_dtypes(name, (x, y))
        return ShapedArray(same_shapes(name, (x, y)), _BOOL)

    def lower(ctx: Context, x: Value, y: Value) -> Value:
        if not dtypes.is_extended(x.dtype):
            return plain_lower(ctx, x, y)
        words = ShapedArray((*x.shape, *x.dtype.physical_shape), _BOOL)
        each = ctx.op("stablehlo.compare", (x, y), words, comparison(direction, x.dtype.physical_dtype))
        scalar = ShapedArray((), _BOOL)
        init = ctx.constant(np.asarray(connective == "and"), scalar)
        body = ctx.region([scalar, scalar], lambda c, ab: [c.op(f"stablehlo.{connective}", ab, scalar)])
        axes = i64_array(range(x.ndim, len(words.shape)))
        return ctx.op("stablehlo.reduce", (each, init), attrs=f"dimensions = {axes}", regions=[body])

    plain.shape, plain.lower = shape, lower
    return plain


eq_p = _equality("eq", "EQ", "and")


def eq(x: Any, y: Any) -> Any:
    """Elementwise `x == y`; False where either is NaN.

    Args:
      x, y: arrays of one dtype and shape, or scalars.
    Raises:
      TypeError: dtypes or shapes differ.

    >>> from anima import lax
    >>> print(lax.eq(1.0, 2.0))
    False
    """
    return eq_p.bind(*operands("eq", x, y))


ne_p = _equality("ne", "NE", "or")


def ne(x: Any, y: Any) -> Any:
    """Elementwise `x != y`; True where either is NaN.

    Args:
      x, y: arrays of one dtype and shape, or scalars.
    Raises:
      TypeError: dtypes or shapes differ.

    >>> from anima import lax
    >>> print(lax.ne(1.0, 2.0))
    True
    """
    return ne_p.bind(*operands("ne", x, y))


lt_p = _comparison("lt", "LT", _ORDERED)


def lt(x: Any, y: Any) -> Any:
    """Elementwise `x < y`; False where either is NaN.

    Args:
      x, y: arrays of one dtype that is not complex, and one shape, or scalars.
    Raises:
      TypeError: dtypes or shapes differ, or they are complex.

    >>> from anima import lax
    >>> print(lax.lt(1.0, 2.0))
    True
    """
    return lt_p.bind(*operands("lt", x, y))


le_p = _comparison("le", "LE", _ORDERED)


def le(x: Any, y: Any) -> Any:
    """Elementwise `x <= y`; False where either is NaN.

    Args:
      x, y: arrays of one dtype that is not complex, and one shape, or scalars.
    Raises:
      TypeError: dtypes or shapes differ, or they are complex.

    >>> from anima import lax
    >>> print(lax.le(2.0, 2.0))
    True
    """
    return le_p.bind(*operands("le", x, y))


gt_p = _comparison("gt", "GT", _ORDERED)


def gt(x: Any, y: Any) -> Any:
    """Elementwise `x > y`; False where either is NaN.

    Args:
      x, y: arrays of one dtype that is not complex, and one shape, or scalars.
    Raises:
      TypeError: dtypes or shapes differ, or they are complex.

    >>> from anima import lax
    >>> print(lax.gt(1.0, 2.0))
    False
    """
    return gt_p.bind(*operands("gt", x, y))


ge_p = _comparison("ge", "GE", _ORDERED)


def ge(x: Any, y: Any) -> Any:
    """Elementwise `x >= y`; False where either is NaN.

    Args:
      x, y: arrays of one dtype that is not complex, and one shape, or scalars.
    Raises:
      TypeError: dtypes or shapes differ, or they are complex.

    >>> from anima import lax
    >>> print(lax.ge(1.0, 2.0))
    False
    """
    return ge_p.bind(*operands("ge", x, y))


# --- the total order --------------------------------------------------------------------------

eq_to_p = _comparison("eq_to", "EQ", _ORDERED, total=True)
le_to_p = _comparison("le_to", "LE", _ORDERED, total=True)
lt_to_p = _comparison("lt_to", "LT", _ORDERED, total=True)


def eq_to(x: Any, y: Any) -> Any:
    """Elementwise equality in the total order: a NaN equals itself, and -0.0 is not 0.0.

    Args:
      x, y: arrays of one dtype that is not complex, and one shape, or scalars.
    Raises:
      TypeError: dtypes or shapes differ, or they are complex.

    >>> from anima.lax import compare
    >>> print(compare.eq_to(-0.0, 0.0))
    False
    """
    return eq_to_p.bind(*operands("eq_to", x, y))


def le_to(x: Any, y: Any) -> Any:
    """Elementwise "less or equal" in the total order.

    Args:
      x, y: arrays of one dtype that is not complex, and one shape, or scalars.
    Raises:
      TypeError: dtypes or shapes differ, or they are complex.

    >>> from anima.lax import compare
    >>> print(compare.le_to(0.0, -0.0))
    False
    """
    return le_to_p.bind(*operands("le_to", x, y))


def lt_to(x: Any, y: Any) -> Any:
    """Elementwise "less" in the total order.

    Args:
      x, y: arrays of one dtype that is not complex, and one shape, or scalars.
    Raises:
      TypeError: dtypes or shapes differ, or they are complex.

    >>> from anima.lax import compare
    >>> print(compare.lt_to(-0.0, 0.0))
    True
    """
    return lt_to_p.bind(*operands("lt_to", x, y))


# --- finiteness -------------------------------------------------------------------------------

is_finite_p = unary(
    "is_finite",
    "stablehlo.is_finite",
    FLOAT,
    None,
    out_dtype=lambda _: _BOOL,
    host=HostRule(np.isfinite, WHOLE + REAL),
)


def is_finite(x: Any) -> Any:
    """Whether each element is neither infinite nor NaN.

    Args:
      x: an array of real floating-point dtype.
    Raises:
      TypeError: `x` is of another dtype.

    >>> from anima import lax
    >>> print(lax.is_finite(float("inf")))
    False
    """
    return is_finite_p.bind(operand(x))
