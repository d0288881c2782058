"""Distributions with a density, made from uniform numbers by a formula.

Invariant: the formulas, and so the numbers, are JAX's, up to what XLA's own functions leave open in the last place.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from anima import dtypes, lax
from anima.config import high_dynamic_range_gumbel
from anima.lax.rng import normal_quantile
from anima.lax.shape import check_shape
from anima.random.arguments import (
    begin,
    check_key,
    common_shape,
    constant,
    float_dtype,
    function,
    real_parameter,
)
from anima.random.domains import non_negative, ordered, positive, within
from anima.random.key_operations import split
from anima.random.uniforms import uniform_between

Shape = tuple[int, ...]


# --- normal and its relatives -----------------------------------------------------------------


@function
def normal(key: Any, shape: Any = (), dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Numbers of the standard normal distribution, of density `exp(-x**2 / 2) / sqrt(2 * pi)`.

    Args:
      key: a random key.
      shape: the shape of the result.
      dtype: a floating-point dtype, float32 by default, float64 in 64-bit mode; or a complex one, for numbers whose
        real and imaginary parts have a variance of 1/2.
      out_sharding: the result's sharding; needs a mesh with explicit axes.
    Raises:
      TypeError: `key` is no key, or `shape` no shape. ValueError: the dtype is another, or `key` is an array of keys.

    >>> from anima import random
    >>> print(random.normal(random.PRNGKey(0), (3,)))
    [ 1.816...  -0.482...  0.339...]
    """
    key, kind = begin("normal", key, dtype, out_sharding, complex_too=True)
    return standard_normal(key, check_shape("normal", shape), kind)


def standard_normal(key: Any, shape: Shape, dtype: Any) -> Any:
    """`normal` for checked arguments."""
    if dtypes.is_complex(dtype):
        part = dtypes.to_real_dtype(dtype)
        real, imag = (standard_normal(k, shape, part) for k in split(key))
        return lax.div(lax.complex(real, imag), constant(math.sqrt(2), dtype))
    u = uniform_between(key, shape, dtype, _above_minus_one(dtype), constant(1, dtype))
    return lax.mul(constant(math.sqrt(2), dtype), normal_quantile(u))


def _above_minus_one(dtype: Any) -> Any:
    """The lowest number above -1: -1 itself would give an infinite result."""
    return np.nextafter(np.asarray(-1.0, dtype), np.asarray(0.0, dtype))


@within(ordered("lower", "upper"))
@function
def truncated_normal(
    key: Any, lower: Any, upper: Any, shape: Any = None, dtype: Any = None, *, out_sharding: Any = None
) -> Any:
    """Numbers of the standard normal distribution, given that they lie between `lower` and `upper`.

    Args:
      key: a random key.
      lower, upper: real numbers, or arrays that broadcast together; the results lie strictly between them.
      shape: the shape of the result, to which the bounds broadcast; by default their common shape.
      dtype: a floating-point dtype; float32 by default, float64 in 64-bit mode.
      out_sharding: the result's sharding; needs a mesh with explicit axes.
    Raises:
      TypeError: `key` is no key, `shape` no shape, or a bound not real.
      ValueError: the dtype is another, a bound does not broadcast to `shape` or is out of its domain, or `key` is an array of keys.

    >>> from anima import random
    >>> print(random.truncated_normal(random.PRNGKey(0), -2.0, 2.0, (3,)))
    [ 1.590...  -0.459...  0.323...]
    """
    key, kind = begin("truncated_normal", key, dtype, out_sharding)
    shape = common_shape("truncated_normal", shape, lower=lower, upper=upper)
    low = real_parameter("truncated_normal", "lower", lower, kind, shape)
    high = real_parameter("truncated_normal", "upper", upper, kind, shape)
    root = constant(math.sqrt(2), kind)
    u = uniform_between(key, shape, kind, lax.erf(lax.div(low, root)), lax.erf(lax.div(high, root)))
    x = lax.mul(root, normal_quantile(u))
    # Rounding may give a bound itself, or a number beyond it.
    info = dtypes.finfo(kind)
    least = lax.nextafter(lax.stop_gradient(low), constant(float(info.max), kind))
    most = lax.nextafter(lax.stop_gradient(high), constant(float(info.min), kind))
    return lax.min(lax.max(x, least), most)


@within(non_negative("sigma"))
@function
def lognormal(
    key: Any, sigma: Any = 1.0, shape: Any = None, dtype: Any = None, *, out_sharding: Any = None
) -> Any:
    """Numbers whose logarithm is normally distributed, with mean 0 and standard deviation `sigma`.

    Args:
      key: a random key.
      sigma: a real number, or an array that broadcasts to `shape`.
      shape: the shape of the result; by default that of `sigma`.
      dtype: a floating-point dtype; float32 by default, float64 in 64-bit mode.
      out_sharding: the result's sharding; needs a mesh with explicit axes.
    Raises:
      TypeError, ValueError: as for `normal`; or `sigma` does not broadcast to `shape` or is out of its domain.

    >>> from anima import random
    >>> print(random.lognormal(random.PRNGKey(0), 0.5, (3,)))
    [2.479... 0.785... 1.185...]
    """
    key, kind = begin("lognormal", key, dtype, out_sharding)
    shape = common_shape("lognormal", shape, sigma=sigma)
    scale = real_parameter("lognormal", "sigma", sigma, kind, shape)
    return lax.exp(lax.mul(standard_normal(key, shape, kind), scale))


@function
def maxwell(key: Any, shape: Any = (), dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Numbers of the Maxwell distribution: lengths of vectors of three normal numbers.

    Args:
      key: a random key.
      shape: the shape of the result.
      dtype: a floating-point dtype; float32 by default, float64 in 64-bit mode.
      out_sharding: the result's sharding; needs a mesh with explicit axes.
    Raises:
      TypeError, ValueError: as for `normal`.

    >>> from anima import random
    >>> print(random.maxwell(random.PRNGKey(0), (3,)))
    [0.491... 0.876...  1.155...]
    """
    key, kind = begin("maxwell", key, dtype, out_sharding)
    return standard_maxwell(key, check_shape("maxwell", shape), kind)


def standard_maxwell(key: Any, shape: Shape, dtype: Any) -> Any:
    """`maxwell` for checked arguments."""
    x = standard_normal(key, (*shape, 3), dtype)
    return lax.sqrt(lax.reduce_sum(lax.mul(x, x), (len(shape),)))


@within(non_negative("scale"))
@function
def double_sided_maxwell(key: Any, loc: Any, scale: Any, shape: Any = (), dtype: Any = None) -> Any:
    """Numbers of the Maxwell distribution with a random sign, times `scale`, plus `loc`.

    Args:
      key: a random key.
      loc, scale: real numbers, or arrays that broadcast together.
      shape: what stands before the parameters' common shape in the shape of the result.
      dtype: a floating-point dtype; float32 by default, float64 in 64-bit mode.
    Raises:
      TypeError, ValueError: as for `normal`.

    >>> from anima import random
    >>> print(random.double_sided_maxwell(random.PRNGKey(0), 0.0, 2.0, (3,)))
    [-5.655...  4.771...  1.213...]
    """
    key = check_key("double_sided_maxwell", key)
    kind = float_dtype("double_sided_maxwell", dtype)
    own = common_shape("double_sided_maxwell", None, loc=loc, scale=scale)
    dims = (*check_shape("double_sided_maxwell", shape), *own)
    size = real_parameter("double_sided_maxwell", "scale", scale, kind, dims)
    middle = real_parameter("double_sided_maxwell", "loc", loc, kind, dims)
    length_key, sign_key = split(key)
    default = dtypes.default_float_dtype()
    heads = lax.lt(unit_uniform(sign_key, dims, default), constant(0.5, default))
    signs = lax.sub(lax.mul(constant(2, kind), lax.convert_element_type(heads, kind)), constant(1, kind))
    return lax.add(lax.mul(lax.mul(signs, standard_maxwell(length_key, dims, kind)), size), middle)


@within(positive("mean"))
@function
def wald(key: Any, mean: Any, shape: Any = None, dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Numbers of the Wald distribution (inverse Gaussian of scale 1), by Michael, Schucany and Haas (1976).

    Args:
      key: a random key.
      mean: a positive number, or an array that broadcasts to `shape`.
      shape: the shape of the result; by default that of `mean`.
      dtype: a floating-point dtype; float32 by default, float64 in 64-bit mode.
      out_sharding: the result's sharding; needs a mesh with explicit axes.
    Raises:
      TypeError, ValueError: as for `normal`; or `mean` does not broadcast to `shape` or is out of its domain.

    >>> from anima import random
    >>> print(random.wald(random.PRNGKey(0), 2.0, (3,)))
    [2.433... 0.987... 0.959...]
    """
    key, kind = begin("wald", key, dtype, out_sharding)
    shape = common_shape("wald", shape, mean=mean)
    m = real_parameter("wald", "mean", mean, kind, shape)
    normal_key, uniform_key = split(key)
    y = lax.square(standard_normal(normal_key, shape, kind))
    u = unit_uniform(uniform_key, shape, kind)
    two, square = constant(2, kind), lax.square(m)
    root = lax.sqrt(lax.add(lax.mul(lax.mul(constant(4, kind), m), y), lax.mul(square, lax.square(y))))
    x = lax.sub(lax.add(m, lax.div(lax.mul(square, y), two)), lax.mul(lax.div(m, two), root))
    return lax.select(lax.le(u, lax.div(m, lax.add(m, x))), x, lax.div(square, x))


# --- exponential and its relatives ------------------------------------------------------------


@function
def exponential(key: Any, shape: Any = (), dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Numbers of the exponential distribution, of density `exp(-x)` for `x >= 0`.

    Args:
      key: a random key.
      shape: the shape of the result.
      dtype: a floating-point dtype; float32 by default, float64 in 64-bit mode.
      out_sharding: the result's sharding; needs a mesh with explicit axes.
    Raises:
      TypeError, ValueError: as for `normal`.

    >>> from anima import random
    >>> print(random.exponential(random.PRNGKey(0), (3,)))
    [3.361...  0.377... 1.002...]
    """
    key, kind = begin("exponential", key, dtype, out_sharding)
    return standard_exponential(key, check_shape("exponential", shape), kind)


def unit_uniform(key: Any, shape: Shape, dtype: Any) -> Any:
    """Uniform numbers in [0, 1), for checked arguments."""
    return uniform_between(key, shape, dtype, constant(0, dtype), constant(1, dtype))


def standard_exponential(key: Any, shape: Shape, dtype: Any) -> Any:
    """`exponential` for checked arguments."""
    return lax.neg(lax.log1p(lax.neg(unit_uniform(key, shape, dtype))))


@within(non_negative("b"))
@function
def pareto(key: Any, b: Any, shape: Any = None, dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Numbers of the Pareto distribution, of density `b / x**(b + 1)` for `x >= 1`.

    Args:
      key: a random key.
      b: a positive number, or an array that broadcasts to `shape`.
      shape: the shape of the result; by default that of `b`.
      dtype: a floating-point dtype; float32 by default, float64 in 64-bit mode.
      out_sharding: the result's sharding; needs a mesh with explicit axes.
    Raises:
      TypeError, ValueError: as for `normal`; or `b` does not broadcast to `shape` or is out of its domain.

    >>> from anima import random
    >>> print(random.pareto(random.PRNGKey(0), 2.0, (3,)))
    [5.369...  1.207... 1.650...]
    """
    key, kind = begin("pareto", key, dtype, out_sharding)
    shape = common_shape("pareto", shape, b=b)
    exponent = real_parameter("pareto", "b", b, kind, shape)
    return lax.exp(lax.div(standard_exponential(key, shape, kind), exponent))


@within(non_negative("scale"))
@function
def rayleigh(key: Any, scale: Any, shape: Any = None, dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Numbers of the Rayleigh distribution, of density `x / scale**2 * exp(-x**2 / (2 * scale**2))` for `x >= 0`.

    Args:
      key: a random key.
      scale: a positive number, or an array that broadcasts to `shape`.
      shape: the shape of the result; by default that of `scale`.
      dtype: a floating-point dtype; float32 by default, float64 in 64-bit mode.
      out_sharding: the result's sharding; needs a mesh with explicit axes.
    Raises:
      TypeError, ValueError: as for `normal`; or `scale` does not broadcast to `shape` or is out of its domain.

    >>> from anima import random
    >>> print(random.rayleigh(random.PRNGKey(0), 2.0, (3,)))
    [0.531... 3.041... 1.912...]
    """
    key, kind = begin("rayleigh", key, dtype, out_sharding)
    shape = common_shape("rayleigh", shape, scale=scale)
    size = real_parameter("rayleigh", "scale", scale, kind, shape)
    log_u = lax.log(unit_uniform(key, shape, kind))
    return lax.mul(size, lax.sqrt(lax.mul(log_u, constant(-2, kind))))


@within(non_negative("scale"), non_negative("concentration"))
@function
def weibull_min(key: Any, scale: Any, concentration: Any, shape: Any = (), dtype: Any = None) -> Any:
    """Numbers of the Weibull distribution: `scale` times an exponential number to the power of `1 / concentration`.

    Args:
      key: a random key.
      scale, concentration: positive numbers, or arrays that broadcast to `shape`.
      shape: the shape of the result.
      dtype: a floating-point dtype; float32 by default, float64 in 64-bit mode.
    Raises:
      TypeError, ValueError: as for `normal`; or a parameter does not broadcast to `shape` or is out of its domain.

    >>> from anima import random
    >>> print(random.weibull_min(random.PRNGKey(0), 1.0, 2.0, (3,)))
    [1.833... 0.614... 1.001...]
    """
    key = check_key("weibull_min", key)
    kind = float_dtype("weibull_min", dtype)
    shape = common_shape("weibull_min", shape, scale=scale, concentration=concentration)
    size = real_parameter("weibull_min", "scale", scale, kind, shape)
    power = lax.div(
        constant(1, kind), real_parameter("weibull_min", "concentration", concentration, kind, shape)
    )
    return lax.mul(lax.pow(standard_exponential(key, shape, kind), power), size)


# --- others -----------------------------------------------------------------------------------


@function(static=("shape", "dtype", "mode"))
def gumbel(
    key: Any, shape: Any = (), dtype: Any = None, mode: str | None = None, *, out_sharding: Any = None
) -> Any:
    """Numbers of the Gumbel distribution, of density `exp(-x - exp(-x))`.

    Args:
      key: a random key.
      shape: the shape of the result.
      dtype: a floating-point dtype; float32 by default, float64 in 64-bit mode.
      mode: "high" draws twice the bits, for a longer upper tail; "low" does not. The option
        `high_dynamic_range_gumbel` says which is the default: "low", unless it is set.
      out_sharding: the result's sharding; needs a mesh with explicit axes.
    Raises:
      TypeError, ValueError: as for `normal`; or the mode is another.

    >>> from anima import random
    >>> print(random.gumbel(random.PRNGKey(0), (3,)))
    [ 3.344...   -0.145...  0.782...]
    """
    key, kind = begin("gumbel", key, dtype, out_sharding)
    return standard_gumbel(key, check_shape("gumbel", shape), kind, check_mode("gumbel", mode))


def check_mode(name: str, mode: str | None) -> bool:
    """Whether a tail is to be drawn from twice the bits."""
    if mode is None:
        return bool(high_dynamic_range_gumbel.value)
    if mode not in ("low", "high"):
        raise ValueError(f"{name}: mode must be 'high' or 'low', got {mode!r}")
    return mode == "high"


def standard_gumbel(key: Any, shape: Shape, dtype: Any, high: bool) -> Any:
    """`gumbel` for checked arguments."""
    info = dtypes.finfo(dtype)
    tiny = constant(float(info.tiny), dtype)
    if not high:
        u = uniform_between(key, shape, dtype, tiny, constant(1, dtype))
        return lax.neg(lax.log(lax.neg(lax.log(u))))
    both = unit_uniform(key, (2, *shape), dtype)
    upper, lower = (lax.index_in_dim(both, i, keepdims=False) for i in range(2))
    finer = lax.add(lax.add(upper, lax.mul(constant(float(info.eps), dtype), lower)), tiny)
    x = lax.select(lax.ge(upper, constant(0.5, dtype)), upper, finer)
    return lax.neg(lax.log(lax.neg(lax.log1p(lax.neg(x)))))


@function
def laplace(key: Any, shape: Any = (), dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Numbers of the Laplace distribution, of density `exp(-abs(x)) / 2`.

    Args:
      key: a random key.
      shape: the shape of the result.
      dtype: a floating-point dtype; float32 by default, float64 in 64-bit mode.
      out_sharding: the result's sharding; needs a mesh with explicit axes.
    Raises:
      TypeError, ValueError: as for `normal`.

    >>> from anima import random
    >>> print(random.laplace(random.PRNGKey(0), (3,)))
    [-2.668...   0.463... -0.309...]
    """
    key, kind = begin("laplace", key, dtype, out_sharding)
    u = uniform_between(key, check_shape("laplace", shape), kind, _above_minus_one(kind), constant(1, kind))
    return lax.mul(lax.sign(u), lax.log1p(lax.neg(lax.abs(u))))


@function
def logistic(key: Any, shape: Any = (), dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Numbers of the logistic distribution, of density `exp(-x) / (1 + exp(-x))**2`.

    Args:
      key: a random key.
      shape: the shape of the result.
      dtype: a floating-point dtype; float32 by default, float64 in 64-bit mode.
      out_sharding: the result's sharding; needs a mesh with explicit axes.
    Raises:
      TypeError, ValueError: as for `normal`.

    >>> from anima import random
    >>> print(random.logistic(random.PRNGKey(0), (3,)))
    [ 3.326...  -0.778...  0.545...]
    """
    key, kind = begin("logistic", key, dtype, out_sharding)
    tiny = constant(float(dtypes.finfo(kind).tiny), kind)
    u = uniform_between(key, check_shape("logistic", shape), kind, tiny, constant(1, kind))
    return lax.sub(lax.log(u), lax.log1p(lax.neg(u)))


@function
def cauchy(key: Any, shape: Any = (), dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Numbers of the Cauchy distribution, of density `1 / (pi * (1 + x**2))`.

    Args:
      key: a random key.
      shape: the shape of the result.
      dtype: a floating-point dtype; float32 by default, float64 in 64-bit mode.
      out_sharding: the result's sharding; needs a mesh with explicit axes.
    Raises:
      TypeError, ValueError: as for `normal`.

    >>> from anima import random
    >>> print(random.cauchy(random.PRNGKey(0), (3,)))
    [ 9.142...   -0.658...  0.444...]
    """
    key, kind = begin("cauchy", key, dtype, out_sharding)
    eps = constant(float(dtypes.finfo(kind).eps), kind)
    u = uniform_between(key, check_shape("cauchy", shape), kind, eps, constant(1, kind))
    return lax.tan(lax.mul(constant(math.pi, kind), lax.sub(u, constant(0.5, kind))))


@within(ordered("left", "mode"), ordered("mode", "right"), ordered("left", "right"))
@function
def triangular(
    key: Any,
    left: Any,
    mode: Any,
    right: Any,
    shape: Any = None,
    dtype: Any = None,
    *,
    out_sharding: Any = None,
) -> Any:
    """Numbers between `left` and `right` whose density is a triangle with its top at `mode`.

    Args:
      key: a random key.
      left, mode, right: real numbers, or arrays that broadcast together, with `left <= mode <= right`.
      shape: the shape of the result, to which the parameters broadcast; by default their common shape.
      dtype: a floating-point dtype; float32 by default, float64 in 64-bit mode.
      out_sharding: the result's sharding; needs a mesh with explicit axes.
    Raises:
      TypeError, ValueError: as for `normal`; or a parameter does not broadcast to `shape` or is out of its domain.

    >>> from anima import random
    >>> print(random.triangular(random.PRNGKey(0), 0.0, 1.0, 4.0, (3,)))
    [3.354... 1.132... 1.901...]
    """
    key, kind = begin("triangular", key, dtype, out_sharding)
    shape = common_shape("triangular", shape, left=left, mode=mode, right=right)
    a = real_parameter("triangular", "left", left, kind, shape)
    top = real_parameter("triangular", "mode", mode, kind, shape)
    b = real_parameter("triangular", "right", right, kind, shape)
    u = unit_uniform(key, shape, kind)
    rising = lax.add(a, lax.sqrt(lax.mul(lax.mul(u, lax.sub(b, a)), lax.sub(top, a))))
    rest = lax.sub(constant(1, kind), u)
    falling = lax.sub(b, lax.sqrt(lax.mul(lax.mul(rest, lax.sub(b, a)), lax.sub(b, top))))
    split_at = lax.div(lax.sub(top, a), lax.sub(b, a))
    return lax.select(lax.lt(u, split_at), rising, falling)
