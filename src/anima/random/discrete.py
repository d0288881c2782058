"""Distributions over booleans and integers.

Invariant: the results follow from uniform numbers by comparisons, so they are JAX's, but for the rare number that
rounding puts on the other side of a bound.
"""

from __future__ import annotations

from typing import Any

from anima import dtypes, lax
from anima.lax.shape import check_shape, refuse_out_sharding
from anima.random.arguments import (
    aval_of_parameter,
    check_key,
    common_shape,
    constant,
    function,
    int_dtype,
    real_parameter,
)
from anima.random.continuous import unit_uniform
from anima.random.domains import probability, within

Shape = tuple[int, ...]


@within(probability("p"))
@function(static=("shape", "mode"))
def bernoulli(
    key: Any, p: Any = 0.5, shape: Any = None, mode: str = "low", *, out_sharding: Any = None
) -> Any:
    """Booleans that are True with probability `p`.

    Args:
      key: a random key.
      p: a floating-point number from 0 to 1, or an array that broadcasts to `shape`.
      shape: the shape of the result; by default that of `p`.
      mode: "high" draws twice the bits, so that small probabilities are exact; "low" does not.
      out_sharding: the result's sharding; needs a mesh with explicit axes.
    Returns:
      a bool array.
    Raises:
      TypeError: `key` is no key, `shape` no shape, or `p` not of floating-point dtype.
      ValueError: `p` does not broadcast to `shape` or is out of its domain, the mode is another, or `key` is an array of keys.

    >>> from anima import random
    >>> print(random.bernoulli(random.PRNGKey(0), 0.4, (5,)))
    [False  True  True False False]
    """
    key = check_key("bernoulli", key)
    refuse_out_sharding("bernoulli", out_sharding)
    aval = aval_of_parameter("bernoulli", "p", p)
    if not dtypes.is_float(aval.dtype):
        raise TypeError(
            f"bernoulli: probability p must have a floating-point dtype, got {dtypes.dtype_name(aval.dtype)}"
        )
    if mode not in ("low", "high"):
        raise ValueError(f"bernoulli: mode must be 'high' or 'low', got {mode!r}")
    shape = common_shape("bernoulli", shape, p=p)
    return trials(
        key, real_parameter("bernoulli", "p", p, aval.dtype, shape), shape, aval.dtype, mode == "high"
    )


def trials(key: Any, p: Any, shape: Shape, dtype: Any, high: bool = False) -> Any:
    """`bernoulli` for checked arguments: `p` is of `dtype`."""
    if not high:
        return lax.lt(unit_uniform(key, shape, dtype), p)
    both = unit_uniform(key, (2, *shape), dtype)
    upper, lower = (lax.index_in_dim(both, i, keepdims=False) for i in range(2))
    # upper + eps * lower < p, without the rounding of that sum
    return lax.lt(lax.mul(lower, constant(float(dtypes.finfo(dtype).eps), dtype)), lax.sub(p, upper))


@function
def rademacher(key: Any, shape: Any = (), dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Numbers that are 1 or -1, each with probability 1/2.

    Args:
      key: a random key.
      shape: the shape of the result.
      dtype: an integer, floating-point or complex dtype; int32 by default, int64 in 64-bit mode.
      out_sharding: the result's sharding; needs a mesh with explicit axes.
    Raises:
      TypeError: `key` is no key, or `shape` no shape. ValueError: the dtype is boolean, or `key` is an array of keys.

    >>> from anima import random
    >>> print(random.rademacher(random.PRNGKey(0), (5,)))
    [-1  1  1 -1 -1]
    """
    key = check_key("rademacher", key)
    refuse_out_sharding("rademacher", out_sharding)
    kind = (
        dtypes.default_int_dtype()
        if dtype is None
        else dtypes.check_user_dtype_supported(dtype, "rademacher")
    )
    if dtypes.is_bool(kind):
        raise ValueError("rademacher: dtype must be numeric, for -1 is not a boolean; got bool")
    heads = trials(key, constant(0.5, _default_float()), check_shape("rademacher", shape), _default_float())
    doubled = lax.mul(constant(2, kind), lax.convert_element_type(heads, kind))
    return lax.sub(doubled, constant(1, kind))


@within(probability("p"))
@function
def geometric(key: Any, p: Any, shape: Any = None, dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """The number of independent trials, each with probability `p`, up to and including the first success.

    Args:
      key: a random key.
      p: a number above 0 and up to 1, or an array that broadcasts to `shape`.
      shape: the shape of the result; by default that of `p`.
      dtype: an integer dtype; int32 by default, int64 in 64-bit mode.
      out_sharding: the result's sharding; needs a mesh with explicit axes.
    Raises:
      TypeError: `key` is no key, `shape` no shape, or `p` not real.
      ValueError: the dtype is another, `p` does not broadcast to `shape` or is out of its domain, or `key` is an array of keys.

    >>> from anima import random
    >>> print(random.geometric(random.PRNGKey(0), 0.25, (5,)))
    [2 9 4 1 2]
    """
    key = check_key("geometric", key)
    refuse_out_sharding("geometric", out_sharding)
    kind = int_dtype("geometric", dtype)
    shape = common_shape("geometric", shape, p=p)
    aval = aval_of_parameter("geometric", "p", p)
    real = aval.dtype if dtypes.is_float(aval.dtype) else _default_float()
    failure = lax.log1p(lax.neg(real_parameter("geometric", "p", p, real, shape)))
    u = unit_uniform(key, shape, real)
    one = constant(1, real)
    u = lax.select(lax.eq(u, constant(0, real)), lax.full_like(u, one), u)
    return lax.convert_element_type(lax.add(lax.floor(lax.div(lax.log(u), failure)), one), kind)


def _default_float() -> Any:
    return dtypes.default_float_dtype()
