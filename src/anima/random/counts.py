"""Distributions over counts: Poisson, binomial and multinomial.

Invariant: small rates are counted out, large ones drawn by transformed rejection with squeeze (Hoermann, "The Transformed
Rejection Method for Generating Poisson Random Variables" and "The Generation of Binomial Random Variates", 1993). All
numbers of an array are drawn together, until the last one is accepted; keys and steps are JAX's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from anima import dtypes, lax
from anima.lax.shape import check_shape, refuse_out_sharding
from anima.numpy import broadcast_to, clip, cumsum, flip, isinf, isnan, moveaxis, where
from anima.random.arguments import (
    aval_of_parameter,
    check_key,
    common_shape,
    constant,
    float_dtype,
    function,
    int_dtype,
    real_parameter,
)
from anima.random.continuous import unit_uniform
from anima.random.domains import non_negative, probability, within
from anima.random.key_operations import random_split_p, split

Shape = tuple[int, ...]


def _until_accepted(
    key: Any, shape: Shape, dtype: Any, propose: Callable[[Any, Any], tuple[Any, Any]]
) -> Any:
    """The first accepted number for each element. `propose(u, v)` gives a number and whether it is accepted, from a number
    between -1/2 and 1/2 and one between 0 and 1.
    """

    def again(state: tuple[Any, ...]) -> tuple[Any, ...]:
        found, accepted, key = state
        key, u_key, v_key = split(key, 3)
        u = unit_uniform(u_key, shape, dtype) - 0.5
        number, accept = propose(u, unit_uniform(v_key, shape, dtype))
        return where(accept, number, found), accepted | accept, key

    start = (lax.full(shape, -1, dtype), lax.full(shape, False), key)
    return lax.while_loop(lambda state: ~state[1].all(), again, start)[0]


# --- Poisson ----------------------------------------------------------------------------------


def _poisson_by_counting(key: Any, rate: Any, shape: Shape, dtype: Any) -> Any:
    """How many waiting times fit into one unit of time (Knuth)."""

    def again(state: tuple[Any, ...]) -> tuple[Any, ...]:
        count, key, log_product = state
        key, subkey = split(key)
        count = where(log_product > -rate, count + 1, count)
        return count, key, log_product + lax.log(unit_uniform(subkey, shape, rate.dtype))

    start = (lax.full(shape, 0, dtype), key, lax.full(shape, 0, rate.dtype))
    return lax.while_loop(lambda state: (state[2] > -rate).any(), again, start)[0] - 1


def _poisson_by_rejection(key: Any, rate: Any, shape: Shape, dtype: Any) -> Any:
    log_rate = lax.log(rate)
    b = 0.931 + 2.53 * lax.sqrt(rate)
    a = -0.059 + 0.02483 * b
    inverse_alpha = 1.1239 + 1.1328 / (b - 3.4)
    quick = 0.9277 - 3.6224 / (b - 2)

    def propose(u: Any, v: Any) -> tuple[Any, Any]:
        left = 0.5 - lax.abs(u)
        k = lax.floor((2 * a / left + b) * u + rate + 0.43)
        s = lax.log(v * inverse_alpha / (a / (left * left) + b))
        limit = -rate + k * log_rate - lax.lgamma(k + 1)
        reject = (k < 0) | ((left < 0.013) & (v > left))
        return k, ((left >= 0.07) & (v <= quick)) | (~reject & (s <= limit))

    return lax.convert_element_type(_until_accepted(key, shape, rate.dtype, propose), dtype)


@within(non_negative("lam"))
@function
def poisson(key: Any, lam: Any, shape: Any = None, dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Counts of events that are independent of each other and happen at the rate `lam`.

    Args:
      key: a random key, of any generator.
      lam: the rate, a number from 0 on, or an array that broadcasts to `shape`; a negative number raises, and in
        arrays results in -1, as a NaN does.
      shape: the shape of the result; by default that of `lam`.
      dtype: an integer dtype; int32 by default, int64 in 64-bit mode.
      out_sharding: the result's sharding; needs a mesh with explicit axes.
    Raises:
      TypeError: `key` is no key, `shape` no shape, or `lam` not real.
      ValueError: the dtype is another, `lam` does not broadcast to `shape` or is out of its domain, or `key` is an array of keys.

    >>> from anima import random
    >>> random.poisson(random.PRNGKey(0), 3.0, (3,)).dtype
    dtype('int32')
    """
    key = check_key("poisson", key)
    refuse_out_sharding("poisson", out_sharding)
    kind = int_dtype("poisson", dtype)
    shape = common_shape("poisson", shape, lam=lam)
    rate = broadcast_to(real_parameter("poisson", "lam", lam, dtypes.float32, shape), shape)
    rate = lax.stop_gradient(rate)
    small = isnan(rate) | (rate < 10)
    counted = _poisson_by_counting(key, where(small, rate, 0.0), shape, kind)
    drawn = _poisson_by_rejection(key, where(small, 1e5, rate), shape, kind)
    return where(rate == 0, constant(0, kind), where(small, counted, drawn))


# --- binomial ---------------------------------------------------------------------------------

# log(k!) - Stirling's formula for it, for k from 0 to 9; beyond, its series is exact.
_STIRLING_ERRORS = (
    0.0810614667953272, 0.0413406959554092, 0.0276779256849983, 0.0207906721037650, 0.0166446911898211,
    0.0138761288230707, 0.0118967099458917, 0.0104112652619720, 0.00925546218271273, 0.00833056343336287,
)  # fmt: skip


def _stirling_error(k: Any) -> Any:
    table = lax.convert_element_type(np.array(_STIRLING_ERRORS), k.dtype)
    next_one = k + 1
    square = next_one * next_one
    series = (1 / 12 - (1 / 360 - 1 / 1260 / square) / square) / next_one
    place = lax.convert_element_type(clip(k, 0, 9), dtypes.int32)
    return where(k <= 9, table[place], series)


def _binomial_by_counting(key: Any, n: Any, p: Any) -> Any:
    """How many geometric waiting times fit into `n` trials."""
    failure = -lax.abs(
        lax.log1p(-p)
    )  # of p = 0 this is -0.0 whatever sign XLA gives it, or no time would be enough

    def again(state: tuple[Any, ...]) -> tuple[Any, ...]:
        count, total, key = state
        subkey, key = split(key)
        count = where(total <= n, count + 1, count)
        u = unit_uniform(subkey, p.shape, p.dtype)
        return count, total + lax.ceil(lax.log(u) / failure), key

    start = (lax.full_like(p, 0), lax.full_like(p, 0), key)
    return lax.while_loop(lambda state: (state[1] <= n).any(), again, start)[0] - 1


def _binomial_by_rejection(key: Any, n: Any, p: Any, shape: Shape, dtype: Any) -> Any:
    deviation = lax.sqrt(n * p * (1 - p))
    b = 1.15 + 2.53 * deviation
    a = -0.0873 + 0.0248 * b + 0.01 * p
    c = n * p + 0.5
    quick = 0.92 - 4.2 / b
    odds = p / (1 - p)
    alpha = (2.83 + 5.1 / b) * deviation
    m = lax.floor((n + 1) * p)

    def propose(u: Any, v: Any) -> tuple[Any, Any]:
        left = 0.5 - lax.abs(u)
        k = lax.floor((2 * a / left + b) * u + c)
        accept = (left >= 0.07) & (v <= quick)
        reject = (k < 0) | (k > n)
        limit = (
            (m + 0.5) * lax.log((m + 1) / (odds * (n - m + 1)))
            + (n + 1) * lax.log((n - m + 1) / (n - k + 1))
            + (k + 0.5) * lax.log(odds * (n - k + 1) / (k + 1))
            + _stirling_error(m)
            + _stirling_error(n - m)
            - _stirling_error(k)
            - _stirling_error(n - k)
        )
        scaled = lax.log(v * alpha / (a / (left * left) + b))
        return k, accept | (~reject & (scaled <= limit))

    return _until_accepted(key, shape, dtype, propose)


def _binomial(key: Any, n: Any, p: Any, shape: Shape, dtype: Any) -> Any:
    """`binomial` for checked arguments: arrays of the shape and dtype of the result."""
    below = p < 0.5
    q = where(below, p, 1 - p)
    no_count, no_chance = isnan(n) | (n < 0), isnan(q) | (q < 0)
    safe = where(no_chance, 0.01, q)
    endless = isinf(n)
    small = no_count | (n * safe <= 10)  # an endless count ends in the quick part of rejection
    whole = lax.floor(n)
    counted = _binomial_by_counting(key, where(small, whole, 0.0), safe)
    drawn = _binomial_by_rejection(key, where(small, 1e4, whole), where(small, 0.5, safe), shape, dtype)
    found = where(small, counted, drawn)
    found = where(no_chance | no_count, np.nan, found)
    found = where(endless & ~no_chance & ~no_count, np.inf, found)
    return where(below | no_count | isnan(q) | endless, found, whole - found)


@within(non_negative("n"), probability("p"))
@function
def binomial(key: Any, n: Any, p: Any, shape: Any = None, dtype: Any = None) -> Any:
    """The number of successes in `n` independent trials, each with the probability `p`.

    Args:
      key: a random key.
      n: the number of trials, or an array that broadcasts to `shape`; fractions are dropped.
      p: the probability of success, from 0 to 1, or an array that broadcasts to `shape`. Where an array is out of
        its range the result is a NaN.
      shape: the shape of the result; by default that of `n` and `p` together.
      dtype: a floating-point dtype; float32 by default, float64 in 64-bit mode.
    Raises:
      TypeError: `key` is no key, `shape` no shape, or a parameter not real.
      ValueError: the dtype is another, a parameter does not broadcast to `shape` or is out of its domain, or `key` is an array of keys.

    >>> from anima import random
    >>> print(random.binomial(random.PRNGKey(0), 5, 1.0, (3,)))
    [5. 5. 5.]
    """
    key = check_key("binomial", key)
    kind = float_dtype("binomial", dtype)
    shape = common_shape("binomial", shape, n=n, p=p)
    count, chance = (
        lax.stop_gradient(broadcast_to(real_parameter("binomial", a, v, kind, shape), shape))
        for a, v in (("n", n), ("p", p))
    )
    return _binomial(key, count, chance, shape, kind)


@within(non_negative("n"), non_negative("p"))
@function(static=("shape", "dtype", "unroll"))
def multinomial(
    key: Any, n: Any, p: Any, *, shape: Any = None, dtype: Any = None, unroll: int | bool = 1
) -> Any:
    """How often each of several outcomes happens in `n` independent trials.

    Args:
      key: a random key.
      n: the number of trials, or an array that broadcasts to `shape` without its last axis.
      p: the probabilities of the outcomes, along the last axis; they need not add up to 1.
      shape: the shape of the result, to which `p` broadcasts; by default that of `p`, its leading part broadcast with `n`.
      dtype: the dtype of the result; by default that of the parameters, promoted to floating-point.
      unroll: how many outcomes each step of the loop over them takes, as for `lax.scan`.
    Returns:
      counts along the last axis, which add up to `n`.
    Raises:
      TypeError: `key` is no key, `shape` no shape, or a parameter not real.
      ValueError: a parameter does not broadcast, `p` is a scalar, or `key` is an array of keys.

    >>> import anima.numpy as np
    >>> from anima import random
    >>> counts = random.multinomial(random.PRNGKey(0), 10, np.array([0.2, 0.3, 0.5]))
    >>> print(counts.sum())
    10.0
    """
    key = check_key("multinomial", key)
    chances, trials = (aval_of_parameter("multinomial", a, v) for a, v in (("p", p), ("n", n)))
    if not chances.shape:
        raise ValueError("multinomial: p must have one dimension or more, the last one over the outcomes")
    batch = lax.broadcast_shapes(trials.shape, chances.shape[:-1])
    dims = (*batch, chances.shape[-1]) if shape is None else check_shape("multinomial", shape)
    dims = common_shape("multinomial", dims, p=p)
    common_shape("multinomial", dims[:-1], n=n)
    kind = dtypes.to_inexact_dtype(dtypes.lattice_result_type(dtypes.pair_of(n), dtypes.pair_of(p))[0])
    wanted = kind if dtype is None else dtypes.check_user_dtype_supported(dtype, "multinomial")
    probabilities = moveaxis(broadcast_to(real_parameter("multinomial", "p", p, kind, dims), dims), -1, 0)
    count = broadcast_to(real_parameter("multinomial", "n", n, kind, dims[:-1]), dims[:-1])
    # The chance of each outcome, given that it is none of those before it.
    rest = flip(cumsum(flip(probabilities, 0), axis=0), 0)
    ratios = where(rest == 0, constant(0, kind), probabilities / where(rest == 0, constant(1, kind), rest))

    def step(left: Any, item: Any) -> tuple[Any, Any]:
        ratio, key = item
        drawn = _binomial(key, left, clip(ratio, 0, 1), dims[:-1], kind)
        return left - drawn, drawn

    keys = random_split_p.bind(key, shape=(dims[-1],))
    _, counts = lax.scan(step, lax.stop_gradient(count), (lax.stop_gradient(ratios), keys), unroll=unroll)
    return lax.convert_element_type(moveaxis(counts, 0, -1), wanted)
