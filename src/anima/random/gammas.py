"""The gamma distribution, and those that are made from gamma numbers.

Invariant: each gamma number comes from a key of its own, split from the caller's, by rejection (Marsaglia, Tsang, "A Simple
Method for Generating Gamma Variables", 2000); keys and steps are JAX's, and so are the numbers, up to what XLA's functions
leave open. Derivatives by the shape parameter follow the number at its constant quantile (Figurnov, Mohamed, Mnih, "Implicit
Reparameterization Gradients", 2018).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from anima import dtypes, lax
from anima.core.aval import ShapedArray
from anima.core.primitive import Missing, Zero
from anima.core.trace import aval_of
from anima.interpreters.batch import Axis, to_axis
from anima.lax.declare import FLOAT, check_dtype, declare, lowered_by
from anima.lax.shape import check_shape
from anima.lowering.module import Context, Value
from anima.numpy import broadcast_to, expand_dims, power
from anima.random.arguments import (
    aval_of_parameter,
    begin,
    common_shape,
    constant,
    function,
    real_parameter,
)
from anima.random.continuous import standard_exponential, standard_normal, unit_uniform
from anima.random.discrete import trials
from anima.random.domains import non_negative, positive, within
from anima.random.key_operations import impl_of, random_split_p, split
from anima.transforms.vmap import vmap

Shape = tuple[int, ...]

# Not those without infinities, zeros or mantissa.
_DRAWN = tuple(name for name in FLOAT if name not in ("float4_e2m1fn", "float8_e8m0fnu"))


# --- one number -------------------------------------------------------------------------------


def _cubes(key: Any, d: Any, dtype: Any) -> Any:
    """The accepted `v**3`, so that `d * v**3` has the gamma distribution of shape `d + 1/3`."""
    c = constant(1 / 3, dtype) / lax.sqrt(d)

    def refused(state: tuple[Any, ...]) -> Any:
        _, square, cube, u = state
        quick = u >= 1 - 0.0331 * (square * square)
        exact = lax.log(u) >= square * 0.5 + d * ((1 - cube) + lax.log(cube))
        return quick & exact

    def positive(key: Any) -> tuple[Any, Any]:
        def again(state: tuple[Any, ...]) -> tuple[Any, ...]:
            key, normal_key = split(state[0])
            x = standard_normal(normal_key, (), dtype)
            return key, x, 1 + x * c

        start = (key, constant(0, dtype), constant(-1, dtype))
        return lax.while_loop(lambda state: state[2] <= 0, again, start)[1:]

    def again(state: tuple[Any, ...]) -> tuple[Any, ...]:
        key, normal_key, uniform_key = split(state[0], 3)
        x, v = positive(normal_key)
        return key, x * x, (v * v) * v, unit_uniform(uniform_key, (), dtype)

    start = (key, constant(0, dtype), constant(1, dtype), constant(2, dtype))  # which is refused
    return lax.while_loop(refused, again, start)[2]


def _one(key: Any, shape: Any, *, log_space: bool) -> Any:
    """A gamma number, or its logarithm, of a scalar shape parameter. Below 1 it is one of a parameter larger by 1, boosted."""
    dtype = aval_of(shape).dtype  # type: ignore[attr-defined]
    large = shape >= 1
    d = lax.select(large, shape, shape + 1) - constant(1 / 3, dtype)
    key, boost_key = split(key)
    cube = _cubes(key, d, dtype)
    u = unit_uniform(boost_key, (), dtype)
    zero, one = constant(0, dtype), constant(1, dtype)
    if log_space:
        logarithm = lax.log1p(-u)
        boost = lax.select(large | (logarithm == 0), zero, logarithm * (1 / shape))
        return lax.log(d) + lax.log(cube) + boost
    return d * cube * lax.select(large, one, lax.pow(1 - u, 1 / shape))


# --- the operation ----------------------------------------------------------------------------


def _shape(keys: ShapedArray, a: ShapedArray, *, log_space: bool) -> ShapedArray:
    impl_of("random_gamma", keys)
    check_dtype("random_gamma", a, _DRAWN, "a")
    if a.shape[: keys.ndim] != keys.shape:
        raise TypeError(
            f"random_gamma needs keys for the leading dimensions of a, got shapes {keys.shape} and {a.shape}"
        )
    return ShapedArray(a.shape, a.dtype)


def _drawn(apply: Callable[..., Any]) -> Callable[..., Any]:
    def drawn(keys: Any, a: Any, *, log_space: bool) -> Any:
        shape, leading = aval_of(a).shape, aval_of(keys).shape  # type: ignore[attr-defined]
        each = random_split_p.bind(keys, shape=(math.prod(shape[len(leading) :]),))
        size = math.prod(shape)
        flat = apply(partial(_one, log_space=log_space), lax.reshape(each, (size,)), lax.reshape(a, (size,)))
        return lax.reshape(flat, shape)

    return lowered_by(drawn)


# On a CPU one number after another: all together wait for the one that is refused most often, which takes 5 times as long.
_in_turn = _drawn(lambda one, keys, a: lax.map(lambda pair: one(*pair), (keys, a)))
_together = _drawn(lambda one, keys, a: vmap(one)(keys, a))


def _lower(ctx: Context, *operands: Value, **params: Any) -> Any:
    return (_in_turn if ctx.module.platform == "cpu" else _together)(ctx, *operands, **params)


def _jvp(primals: Any, tangents: Any, *, log_space: bool) -> tuple[Any, Any]:
    keys, a = primals
    sample = random_gamma_p.bind(keys, a, log_space=log_space)
    tangent = tangents[1]
    if type(tangent) is Zero:
        return sample, Zero(aval_of(sample).tangent_aval())
    if not log_space:
        return sample, lax.mul(tangent, lax.random_gamma_grad(a, sample))
    # A number that is 0 or almost so would make a quotient of zeros.
    tiny = constant(float(dtypes.finfo(aval_of(a).dtype).tiny), aval_of(a).dtype)  # type: ignore[attr-defined]
    number = lax.exp(sample)
    safe = lax.select(lax.eq(number, lax.full_like(number, 0)), lax.full_like(number, tiny), number)
    return sample, lax.div(lax.mul(tangent, lax.random_gamma_grad(a, safe)), safe)


def _batch(axis: Axis, args: Any, dims: Any, **params: Any) -> tuple[Any, int]:
    return random_gamma_p.bind(*[to_axis(x, d, 0, axis.size) for x, d in zip(args, dims)], **params), 0


random_gamma_p = declare(
    "random_gamma",
    shape=_shape,
    lower=_lower,
    jvp=_jvp,
    transpose=Missing("it is not linear"),
    batch=_batch,
    keys=lambda walk, keys, a, **params: walk.use(keys, once=True),  # a mapped one is repeated
)


def standard_gamma(key: Any, a: Any, shape: Shape, *, log_space: bool = False) -> Any:
    """`gamma` or `loggamma` for checked arguments: `a` is of the dtype of the result."""
    return random_gamma_p.bind(key, broadcast_to(a, shape), log_space=log_space)


# --- public functions -------------------------------------------------------------------------


def _gamma_of(name: str, key: Any, a: Any, shape: Any, dtype: Any, out_sharding: Any, log_space: bool) -> Any:
    key, kind = begin(name, key, dtype, out_sharding)
    shape = common_shape(name, shape, a=a)
    return standard_gamma(key, real_parameter(name, "a", a, kind, shape), shape, log_space=log_space)


@within(non_negative("a"))
@function
def gamma(key: Any, a: Any, shape: Any = None, dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Numbers of the gamma distribution, of density proportional to `x**(a - 1) * exp(-x)` for `x >= 0`.

    They have derivatives by `a`. For small `a` many are 0, and so are their derivatives; `loggamma` tells them apart.

    Args:
      key: a random key.
      a: a positive number, or an array that broadcasts to `shape`.
      shape: the shape of the result; by default that of `a`.
      dtype: a floating-point dtype; float32 by default, float64 in 64-bit mode.
      out_sharding: the result's sharding; needs a mesh with explicit axes.
    Raises:
      TypeError: `key` is no key, `shape` no shape, or `a` not real.
      ValueError: the dtype is another, `a` does not broadcast to `shape` or is out of its domain, or `key` is an array of keys.

    >>> from anima import random
    >>> print(random.gamma(random.PRNGKey(0), 2.0, (3,)))
    [...]
    """
    return _gamma_of("gamma", key, a, shape, dtype, out_sharding, False)


@within(non_negative("a"))
@function
def loggamma(key: Any, a: Any, shape: Any = None, dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Logarithms of the numbers that `gamma` has in mind; exact also where those are too small to be told from 0.

    Args:
      key, a, shape, dtype, out_sharding: as for `gamma`.
    Raises:
      TypeError, ValueError: as for `gamma`.

    >>> from anima import random
    >>> print(random.loggamma(random.PRNGKey(0), 1e-3, (3,)))
    [...]
    """
    return _gamma_of("loggamma", key, a, shape, dtype, out_sharding, True)


@within(non_negative("a"), non_negative("b"))
@function
def beta(key: Any, a: Any, b: Any, shape: Any = None, dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Numbers of the beta distribution, of density proportional to `x**(a - 1) * (1 - x)**(b - 1)` between 0 and 1.

    Args:
      key: a random key.
      a, b: positive numbers, or arrays that broadcast to `shape`.
      shape: the shape of the result; by default that of `a` and `b` together.
      dtype: a floating-point dtype; float32 by default, float64 in 64-bit mode.
      out_sharding: the result's sharding; needs a mesh with explicit axes.
    Raises:
      TypeError, ValueError: as for `gamma`.

    >>> from anima import random
    >>> print(random.beta(random.PRNGKey(0), 2.0, 3.0, (3,)))
    [...]
    """
    key, kind = begin("beta", key, dtype, out_sharding)
    shape = common_shape("beta", shape, a=a, b=b)
    parameters = (real_parameter("beta", n, v, kind, shape) for n, v in (("a", a), ("b", b)))
    # The larger one becomes 1: both may be too small for numbers.
    logs = [standard_gamma(k, x, shape, log_space=True) for k, x in zip(split(key), parameters)]
    most = lax.max(*logs)
    x, y = (lax.exp(lax.sub(value, most)) for value in logs)
    return lax.div(x, lax.add(x, y))


@within(non_negative("alpha"))
@function
def dirichlet(key: Any, alpha: Any, shape: Any = None, dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Probabilities of the Dirichlet distribution: positive numbers along the last axis whose sum is 1.

    Args:
      key: a random key.
      alpha: positive numbers, an array of shape `(..., n)`.
      shape: the shape of the result without its last axis, to which the leading one of `alpha` broadcasts; by default
        that.
      dtype: a floating-point dtype; float32 by default, float64 in 64-bit mode.
      out_sharding: the result's sharding; needs a mesh with explicit axes.
    Returns:
      an array of shape `(*shape, n)`.
    Raises:
      TypeError, ValueError: as for `gamma`; or `alpha` is a scalar.

    >>> import anima.numpy as np
    >>> from anima import random
    >>> p = random.dirichlet(random.PRNGKey(0), np.array([1.0, 2.0, 3.0]), (4,))
    >>> p.shape, bool(np.allclose(p.sum(-1), 1))
    ((4, 3), True)
    """
    key, kind = begin("dirichlet", key, dtype, out_sharding)
    given = aval_of_parameter("dirichlet", "alpha", alpha).shape
    if not given:
        raise ValueError("dirichlet requires alpha.ndim >= 1, got a scalar")
    batch = given[:-1] if shape is None else check_shape("dirichlet", shape)
    dims = common_shape("dirichlet", (*batch, given[-1]), alpha=alpha)
    logs = standard_gamma(key, real_parameter("dirichlet", "alpha", alpha, kind, dims), dims, log_space=True)
    most = expand_dims(lax.reduce_max(lax.stop_gradient(logs), (len(dims) - 1,)), -1)
    parts = lax.exp(lax.sub(logs, most))
    return lax.div(parts, expand_dims(lax.reduce_sum(parts, (len(dims) - 1,)), -1))


def _chisquare(key: Any, df: Any, shape: Shape, dtype: Any) -> Any:
    logs = standard_gamma(key, lax.div(df, constant(2, dtype)), shape, log_space=True)
    return lax.mul(lax.exp(logs), constant(2, dtype))


@within(non_negative("df"))
@function
def chisquare(key: Any, df: Any, shape: Any = None, dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Numbers of the chi-square distribution: sums of the squares of `df` normal numbers.

    Args:
      key: a random key.
      df: the degrees of freedom, a positive number, or an array that broadcasts to `shape`.
      shape: the shape of the result; by default that of `df`.
      dtype: a floating-point dtype; float32 by default, float64 in 64-bit mode.
      out_sharding: the result's sharding; needs a mesh with explicit axes.
    Raises:
      TypeError, ValueError: as for `gamma`.

    >>> from anima import random
    >>> print(random.chisquare(random.PRNGKey(0), 3.0, (3,)))
    [...]
    """
    key, kind = begin("chisquare", key, dtype, out_sharding)
    shape = common_shape("chisquare", shape, df=df)
    return _chisquare(key, real_parameter("chisquare", "df", df, kind, shape), shape, kind)


@within(positive("dfnum"), positive("dfden"))
@function
def f(
    key: Any, dfnum: Any, dfden: Any, shape: Any = None, dtype: Any = None, *, out_sharding: Any = None
) -> Any:
    """Numbers of the F distribution: quotients of two chi-square numbers, each divided by its degrees of freedom.

    Args:
      key: a random key.
      dfnum, dfden: the degrees of freedom above and below, positive numbers, or arrays that broadcast to `shape`.
      shape: the shape of the result; by default that of the parameters together.
      dtype: a floating-point dtype; float32 by default, float64 in 64-bit mode.
      out_sharding: the result's sharding; needs a mesh with explicit axes.
    Raises:
      TypeError, ValueError: as for `gamma`.

    >>> from anima import random
    >>> print(random.f(random.PRNGKey(0), 3.0, 5.0, (3,)))
    [...]
    """
    key, kind = begin("f", key, dtype, out_sharding)
    shape = common_shape("f", shape, dfnum=dfnum, dfden=dfden)
    above = real_parameter("f", "dfnum", dfnum, kind, shape)
    below = real_parameter("f", "dfden", dfden, kind, shape)
    below_key, above_key = split(key)
    numerator = lax.div(_chisquare(above_key, above, shape, kind), above)
    return lax.div(numerator, lax.div(_chisquare(below_key, below, shape, kind), below))


@within(positive("df"))
@function
def t(key: Any, df: Any, shape: Any = None, dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Numbers of Student's t distribution: those of the normal one, but with heavier tails the smaller `df` is.

    Args:
      key: a random key.
      df: the degrees of freedom, a positive number, or an array that broadcasts to `shape`.
      shape: the shape of the result; by default that of `df`.
      dtype: a floating-point dtype; float32 by default, float64 in 64-bit mode.
      out_sharding: the result's sharding; needs a mesh with explicit axes.
    Raises:
      TypeError, ValueError: as for `gamma`.

    >>> from anima import random
    >>> print(random.t(random.PRNGKey(0), 3.0, (3,)))
    [...]
    """
    key, kind = begin("t", key, dtype, out_sharding)
    shape = common_shape("t", shape, df=df)
    half = lax.div(real_parameter("t", "df", df, kind, shape), constant(2, kind))
    normal_key, gamma_key = split(key)
    z = standard_normal(normal_key, shape, kind)
    return lax.mul(z, lax.sqrt(lax.div(half, standard_gamma(gamma_key, half, shape))))


def _generalized_normal(key: Any, p: Any, shape: Shape, dtype: Any) -> Any:
    gamma_key, sign_key = split(key)
    size = standard_gamma(gamma_key, lax.div(constant(1, dtype), p), shape)
    default = dtypes.default_float_dtype()
    heads = lax.convert_element_type(trials(sign_key, constant(0.5, default), shape, default), dtype)
    return (2 * heads - 1) * power(size, lax.div(constant(1, dtype), p))


@within(non_negative("p"))
@function
def generalized_normal(
    key: Any, p: Any, shape: Any = (), dtype: Any = None, *, out_sharding: Any = None
) -> Any:
    """Numbers of density proportional to `exp(-abs(x)**p)`.

    Args:
      key: a random key.
      p: a positive number, or an array that broadcasts to `shape`.
      shape: the shape of the result.
      dtype: a floating-point dtype; float32 by default, float64 in 64-bit mode.
      out_sharding: the result's sharding; needs a mesh with explicit axes.
    Raises:
      TypeError, ValueError: as for `gamma`.

    >>> from anima import random
    >>> print(random.generalized_normal(random.PRNGKey(0), 4.0, (3,)))
    [...]
    """
    key, kind = begin("generalized_normal", key, dtype, out_sharding)
    shape = common_shape("generalized_normal", check_shape("generalized_normal", shape), p=p)
    return _generalized_normal(key, real_parameter("generalized_normal", "p", p, kind, shape), shape, kind)


@within(positive("p"))
@function(static=("d", "shape", "dtype"))
def ball(
    key: Any, d: int, p: Any = 2, shape: Any = (), dtype: Any = None, *, out_sharding: Any = None
) -> Any:
    """Points of the unit ball: vectors of `d` components that have a `p`-norm up to 1, each part as probable as its volume.

    Source: Barthe, Guedon, Mendelson, Naor, "A Probabilistic Approach to the Geometry of the Lp Ball" (2005).

    Args:
      key: a random key.
      d: the dimension of the ball.
      p: the norm, a positive number.
      shape: the shape of the result without its last axis.
      dtype: a floating-point dtype; float32 by default, float64 in 64-bit mode.
      out_sharding: the result's sharding; needs a mesh with explicit axes.
    Returns:
      an array of shape `(*shape, d)`.
    Raises:
      TypeError, ValueError: as for `gamma`; or `d` is no integer.

    >>> import anima.numpy as np
    >>> from anima import random
    >>> points = random.ball(random.PRNGKey(0), 3, shape=(4,))
    >>> points.shape, bool(np.all(np.sum(points**2, -1) <= 1))
    ((4, 3), True)
    """
    key, kind = begin("ball", key, dtype, out_sharding)
    shape = check_shape("ball", shape)
    (size,) = check_shape("ball", (d,), "d")
    norm = real_parameter("ball", "p", p, kind, ())
    direction_key, length_key = split(key)
    g = _generalized_normal(direction_key, norm, (*shape, size), kind)
    e = standard_exponential(length_key, shape, kind)
    total = lax.reduce_sum(power(lax.abs(g), norm), (len(shape),)) + e
    return g / expand_dims(power(total, 1 / norm), -1)
