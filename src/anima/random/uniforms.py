"""Uniform numbers: floating-point ones in an interval, and integers in a range.

Invariant: the results follow from the bits by exact steps alone, so they are equal on every machine and to JAX's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from anima import dtypes, lax
from anima.core.trace import aval_of
from anima.lax.shape import check_shape, refuse_out_sharding
from anima.random import threefry
from anima.random.arguments import (
    aval_of_parameter,
    begin,
    check_key,
    common_shape,
    constant,
    function,
    real_parameter,
)
from anima.random.domains import ordered, within
from anima.random.key_operations import bits, split

Shape = tuple[int, ...]


@within(ordered("minval", "maxval"))
@function
def uniform(
    key: Any,
    shape: Any = (),
    dtype: Any = None,
    minval: Any = 0.0,
    maxval: Any = 1.0,
    *,
    out_sharding: Any = None,
) -> Any:
    """Numbers of the half-open interval from `minval` to `maxval`, each part of it as probable as its length.

    Args:
      key: a random key.
      shape: the shape of the result.
      dtype: a floating-point dtype of 8 bits or more; float32 by default, float64 in 64-bit mode.
      minval, maxval: real numbers, or arrays that broadcast to `shape`.
      out_sharding: the result's sharding; needs a mesh with explicit axes.
    Raises:
      TypeError: `key` is no key, `shape` no shape, or a bound not real.
      ValueError: the dtype is another, a bound does not broadcast to `shape` or is out of its domain, or `key` is an array of keys.

    >>> from anima import random
    >>> print(random.uniform(random.PRNGKey(0), (3,), minval=1.0, maxval=3.0))
    [2.930... 1.629... 2.266...]
    """
    key, kind = begin("uniform", key, dtype, out_sharding)
    shape = common_shape("uniform", check_shape("uniform", shape), minval=minval, maxval=maxval)
    low = real_parameter("uniform", "minval", minval, kind, shape)
    high = real_parameter("uniform", "maxval", maxval, kind, shape)
    return uniform_between(key, shape, kind, low, high)


def uniform_between(key: Any, shape: Shape, dtype: Any, low: Any, high: Any) -> Any:
    """`uniform` for bounds of `dtype` that are scalars or have the rank of `shape`."""
    width, mantissa = dtypes.itemsize_bits(dtype), dtypes.finfo(dtype).nmant
    if width < 8:
        raise TypeError(f"uniform needs a dtype of 8, 16, 32 or 64 bits, got {dtypes.dtype_name(dtype)}")
    drawn = width if mantissa >= 8 else 8
    drawn_bits = bits(key, drawn, shape)
    word = threefry.UINT[width]
    if drawn != width:
        drawn_bits = lax.convert_element_type(drawn_bits, word)
    # The bits of the mantissa, below those of 1.0: numbers in [1, 2).
    one = np.ones((), dtype).view(word)[()]
    filled = lax.bitwise_or(lax.shift_right_logical(drawn_bits, constant(drawn - mantissa, word)), one)
    fraction = lax.sub(lax.bitcast_convert_type(filled, dtype), constant(1, dtype))
    # Rounding may give less than the lower bound.
    return lax.max(low, lax.add(lax.mul(fraction, lax.sub(high, low)), low))


@within(ordered("minval", "maxval"))
@function
def randint(
    key: Any, shape: Any, minval: Any, maxval: Any, dtype: Any = None, *, out_sharding: Any = None
) -> Any:
    """Integers from `minval` up to, but not including, `maxval`, each as probable as any other.

    Args:
      key: a random key.
      shape: the shape of the result.
      minval, maxval: integers, or arrays that broadcast to `shape`; floating-point ones are truncated. Where they
        are equal, or arrays in the wrong order, the result is `minval`. Bounds beyond the range of the dtype mean its ends.
      dtype: an integer dtype; int32 by default, int64 in 64-bit mode.
      out_sharding: the result's sharding; needs a mesh with explicit axes.
    Raises:
      TypeError: `key` is no key, `shape` no shape, or the dtype another.
      ValueError: a bound does not broadcast to `shape` or is out of its domain, or `key` is an array of keys.

    >>> from anima import random
    >>> print(random.randint(random.PRNGKey(0), (5,), 0, 10))
    [8 1 3 8 8]
    """
    key = check_key("randint", key)
    refuse_out_sharding("randint", out_sharding)
    kind = (
        dtypes.default_int_dtype() if dtype is None else dtypes.check_user_dtype_supported(dtype, "randint")
    )
    if not dtypes.is_int(kind):
        raise TypeError(f"randint only accepts integer dtypes, got {dtypes.dtype_name(kind)}")
    shape = common_shape("randint", check_shape("randint", shape), minval=minval, maxval=maxval)
    low = _integer_bound("minval", minval, len(shape))
    high = _integer_bound("maxval", maxval, len(shape))
    if dtypes.itemsize_bits(kind) >= 32:
        return _integers(key, shape, low, high, kind)
    # Few bits make an uneven choice: draw more of them, and narrow the result.
    info = dtypes.iinfo(kind)
    low = _clip(low, int(info.min), int(info.max), dtypes.int32)
    high = _clip(high, int(info.min), int(info.max) + 1, dtypes.int32)
    return lax.convert_element_type(_integers(key, shape, low, high, dtypes.int32), kind)


def _integers(key: Any, shape: Shape, low: Any, high: Any, dtype: Any) -> Any:
    """Twice as many bits as the dtype has, modulo the span: the unevenness is below what can be noticed."""
    info = dtypes.iinfo(dtype)
    too_high = _above(high, int(info.max))
    low, high = (_clip(x, int(info.min), int(info.max), dtype) for x in (low, high))
    width = dtypes.itemsize_bits(dtype)
    word = threefry.UINT[width]
    one = constant(1, word)
    empty = lax.le(high, low)
    span = lax.convert_element_type(lax.sub(high, low), word)
    span = _where(empty, one, span)
    if too_high is not None:
        # One more than the highest value: a span of all values becomes 0, and the remainders below have no effect.
        wider = lax.bitwise_and(too_high, lax.bitwise_not(empty))
        span = lax.add(span, lax.convert_element_type(wider, word))
    upper, lower = (bits(k, width, shape) for k in split(key))
    remainder = _remainder_by(span, word)
    half = remainder(constant(1 << (width // 2), word))
    upper = lax.mul(remainder(upper), remainder(lax.mul(half, half)))
    return lax.add(low, lax.convert_element_type(remainder(lax.add(upper, remainder(lower))), dtype))


def _remainder_by(span: Any, word: Any) -> Callable[[Any], Any]:
    """The function `x % span` of unsigned integers; `x` itself where the span is 0.

    Division would keep the whole loop, bits and all, from being vectorised (3 times slower for a million numbers). The
    product with the reciprocal, rounded down, gives the quotient or one less.
    """
    reciprocal = lax.div(constant(dtypes.iinfo(word).max, word), span)

    def remainder(x: Any) -> Any:
        rest = lax.sub(x, lax.mul(lax.mulhi(x, reciprocal), span))
        return lax.select(lax.ge(rest, span), lax.sub(rest, span), rest)

    return remainder


def _where(which: Any, yes: Any, no: Any) -> Any:
    return lax.select(which, lax.full_like(no, yes), no)


def _integer_bound(argument: str, value: Any, rank: int) -> Any:
    """A bound as an integer array, of the rank of the result unless it is a scalar."""
    aval = aval_of_parameter("randint", argument, value)
    if not dtypes.is_int(aval.dtype):
        if dtypes.is_complex(aval.dtype):
            raise TypeError(
                f"randint: argument {argument} must be an integer, got dtype {dtypes.dtype_name(aval.dtype)}"
            )
        value = lax.convert_element_type(value, dtypes.default_int_dtype())
    return lax.broadcast_to_rank(value, rank) if aval.shape else value


def _above(value: Any, limit: int) -> Any:
    """Whether `value` is above `limit`, or None where its dtype has no such values."""
    aval = aval_of(value)
    most = int(dtypes.iinfo(aval.dtype).max)  # type: ignore[attr-defined]
    return lax.gt(value, constant(limit, aval.dtype)) if most > limit else None  # type: ignore[attr-defined]


def _clip(value: Any, least: int, most: int, dtype: Any) -> Any:
    """An integer confined to a range, then converted to `dtype`, which holds the range."""
    aval = aval_of(value)
    info = dtypes.iinfo(aval.dtype)  # type: ignore[attr-defined]
    if least > int(info.min):
        value = lax.max(value, constant(least, aval.dtype))  # type: ignore[attr-defined]
    if most < int(info.max):
        value = lax.min(value, constant(most, aval.dtype))  # type: ignore[attr-defined]
    return lax.convert_element_type(value, dtype)
