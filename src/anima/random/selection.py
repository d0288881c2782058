"""Random choices: permutations, samples with and without replacement, categories.

Invariant: what is chosen without replacement is the beginning of a shuffle.
"""

from __future__ import annotations

import math
import operator
from typing import Any

from anima import dtypes, lax
from anima.core.trace import Tracer, aval_of
from anima.errors import ConcretizationTypeError
from anima.lax.shape import check_axis, check_shape, refuse_out_sharding
from anima.numpy import cumsum, moveaxis, searchsorted, take
from anima.random.arguments import aval_of_parameter, check_key, constant, function, key_aval
from anima.random.continuous import check_mode, standard_gumbel, unit_uniform
from anima.random.domains import non_negative, weights, within
from anima.random.shuffling import first_of_shuffled, permute, shuffled_numbers
from anima.random.uniforms import randint

Shape = tuple[int, ...]

_INT32_MAX = 2**31 - 1
# A sample of at most one in so many is selected rather than sorted: beyond, that is hardly quicker.
_FEW = 8

_COUNT = non_negative("x")


def permutation(
    key: Any, x: Any, axis: int = 0, independent: bool = False, *, out_sharding: Any = None
) -> Any:
    """The numbers below `x`, or the slices of an array `x`, in a random order.

    Args:
      key: a random key.
      x: an integer, which must be known while tracing; or an array of one dimension or more.
      axis: the dimension along which to permute.
      independent: whether each line along the axis gets an order of its own; else all have the same.
      out_sharding: the result's sharding; needs a mesh with explicit axes.
    Raises:
      TypeError: `key` is no key, or `x` neither an integer nor an array of one dimension or more.
      ValueError: `x` is negative, the axis out of range, or `key` an array of keys.

    >>> from anima import random
    >>> print(random.permutation(random.PRNGKey(0), 5))
    [1 0 4 3 2]
    """
    key_aval("permutation", key)
    refuse_out_sharding("permutation", out_sharding)
    aval = aval_of_parameter("permutation", "x", x)
    if aval.shape:
        return _permuted(key, x, check_axis("permutation", axis, aval.ndim), bool(independent))
    check_axis("permutation", axis, 1)
    count = _count("permutation", "x", x)
    _COUNT.check("permutation", count)
    return _permuted_count(key, count)


def _count(name: str, argument: str, value: Any) -> int:
    """A scalar that must be a known integer."""
    dtype = aval_of(value).dtype  # type: ignore[attr-defined]
    if not dtypes.is_int(dtype):
        raise TypeError(
            f"{name}: {argument} must be an integer or an array of one dimension or more, got a scalar of dtype "
            f"{dtypes.dtype_name(dtype)}"
        )
    if isinstance(value, Tracer) and value.concrete() is None:
        raise ConcretizationTypeError(value, f"{argument} of {name}")
    return operator.index(value)


@function(static=("count",))
def _permuted_count(key: Any, count: int) -> Any:
    return shuffled_numbers(check_key("permutation", key), count)


@function(static=("axis", "independent"))
def _permuted(key: Any, x: Any, axis: int, independent: bool) -> Any:
    return permute(check_key("permutation", key), x, axis, independent)


@within(weights("p"))
def choice(
    key: Any,
    a: Any,
    shape: Any = (),
    replace: bool = True,
    p: Any = None,
    axis: int = 0,
    mode: str | None = None,
) -> Any:
    """A random sample of the numbers below `a`, or of the slices of an array `a`.

    Args:
      key: a random key.
      a: an integer, which must be known while tracing; or an array of one dimension or more.
      shape: how many to draw, as a shape; it stands in the place of `axis` in the result.
      replace: whether the same may be drawn more than once.
      p: the probability of each, an array of one dimension, not negative; they need not add up to 1. By default all
        are as probable.
      axis: the dimension of `a` to draw from.
      mode: with `p` and without replacement, as for `gumbel`.
    Raises:
      TypeError: `key` is no key, `shape` no shape, or `a` neither an integer nor an array.
      ValueError: there is nothing to draw from, or not enough; `p` does not fit; the axis is out of range.

    >>> from anima import random
    >>> print(random.choice(random.PRNGKey(0), 10, (4,), replace=False))
    [2 7 9 6]
    """
    key_aval("choice", key)
    dims = check_shape("choice", shape)
    aval = aval_of_parameter("choice", "a", a)
    if aval.shape:
        axis = check_axis("choice", axis, aval.ndim)
        array, size = a, aval.shape[axis]
    else:
        array, size = None, _count("choice", "a", a)
    draws = math.prod(dims)
    if size < 1 and draws:
        raise ValueError(
            f"choice: a must be greater than 0 unless no samples are taken, got {size} to draw from"
        )
    if not replace and draws > size:
        raise ValueError(
            f"choice cannot take a larger sample (size {draws}) than population (size {size}) with replace=False"
        )
    if p is not None:
        given = aval_of_parameter("choice", "p", p).shape
        if given != (size,):
            raise ValueError(
                f"choice: p must have one dimension, with one probability for each of the {size} to draw from; "
                f"got shape {given}"
            )
    if array is None and p is None and replace and size <= _INT32_MAX:
        return _chosen_numbers(key, max(size, 1), dims)
    return _chosen(key, array, size, dims, bool(replace), p, axis, mode)


@function(static=("shape",))
def _chosen_numbers(key: Any, size: Any, shape: Shape) -> Any:
    # The size is no setting: one program for all.
    return randint(check_key("choice", key), shape, 0, size)


@function(static=("size", "shape", "replace", "axis", "mode"))
def _chosen(
    key: Any, array: Any, size: int, shape: Shape, replace: bool, p: Any, axis: int, mode: str | None
) -> Any:
    key = check_key("choice", key)
    dims = (size,) if array is None else aval_of(array).shape  # type: ignore[attr-defined]
    if p is None and not replace:
        drawn = _without_replacement(key, array, size, math.prod(shape), axis)
        return lax.reshape(drawn, (*dims[:axis], *shape, *dims[axis + 1 :]))
    if p is None:
        places = randint(key, shape, 0, max(size, 1))
    else:
        places = _weighted(key, size, shape, replace, p, mode)
    if array is None:
        return places
    if not size:
        return lax.reshape(array, (*dims[:axis], *shape, *dims[axis + 1 :]))
    return take(array, places, axis=axis)


def _without_replacement(key: Any, array: Any, size: int, count: int, axis: int) -> Any:
    """The first `count` slices along `axis` of the permuted array, or of the permuted numbers below `size`."""
    if 0 < count * _FEW <= size:
        order = first_of_shuffled(key, size, count)
    else:
        order = lax.slice_in_dim(shuffled_numbers(key, size), 0, count)
    return order if array is None else take(array, order, axis=axis, unique_indices=True)


def _weighted(key: Any, size: int, shape: Shape, replace: bool, p: Any, mode: str | None) -> Any:
    """Places drawn with the probabilities `p`."""
    dtype = aval_of(p).dtype  # type: ignore[attr-defined]
    kind = dtypes.to_inexact_dtype(dtype)
    p = lax.convert_element_type(p, kind)
    index = dtypes.default_int_dtype()
    if not math.prod(shape):
        return lax.full(shape, 0, index)
    if not replace:
        # The largest of log(p) plus Gumbel noise are such a sample (Gumbel, 1954; Vieira, 2014).
        noisy = lax.add(standard_gumbel(key, (size,), kind, check_mode("choice", mode)), lax.log(p))
        return lax.reshape(lax.convert_element_type(lax.top_k(noisy, math.prod(shape))[1], index), shape)
    sums = cumsum(p)
    u = lax.sub(constant(1, kind), unit_uniform(key, shape, kind))
    total = lax.index_in_dim(sums, size - 1, keepdims=False)
    return lax.convert_element_type(searchsorted(sums, lax.mul(total, u)), index)


@function(static=("axis", "shape", "replace", "mode"))
def categorical(
    key: Any,
    logits: Any,
    axis: int = -1,
    shape: Any = None,
    replace: bool = True,
    mode: str | None = None,
    *,
    out_sharding: Any = None,
) -> Any:
    """Random categories: the index along `axis`, with probability proportional to `exp(logits)`.

    Args:
      key: a random key.
      logits: logarithms of the probabilities, up to a constant; of floating-point dtype.
      axis: the dimension whose indices are the categories.
      shape: the shape of the result; by default that of `logits` without `axis`, and otherwise it ends with a shape to
        which that broadcasts.
      replace: whether the draws along the leading dimensions of `shape` may give the same category again.
      mode: as for `gumbel`.
      out_sharding: the result's sharding; needs a mesh with explicit axes.
    Raises:
      TypeError: `key` is no key, `shape` no shape, or `logits` no array.
      ValueError: a dtype or shape does not fit; there are fewer categories than draws without replacement.

    >>> import anima.numpy as np
    >>> from anima import random
    >>> print(random.categorical(random.PRNGKey(0), np.log(np.array([0.1, 0.2, 0.7])), shape=(5,)))
    [1 0 2 2 2]
    """
    key = check_key("categorical", key)
    refuse_out_sharding("categorical", out_sharding)
    aval = aval_of_parameter("categorical", "logits", logits)
    if not dtypes.is_float(aval.dtype):
        raise ValueError(
            f"categorical: logits must have a floating-point dtype, got {dtypes.dtype_name(aval.dtype)}"
        )
    axis = check_axis("categorical", axis, aval.ndim)
    batch = aval.shape[:axis] + aval.shape[axis + 1 :]
    dims = batch if shape is None else check_shape("categorical", shape)
    count = len(dims) - len(batch)
    if count < 0 or any(own not in (1, wanted) for own, wanted in zip(batch, dims[count:])):
        raise ValueError(
            f"categorical: shape must end with one to which the shape of logits without axis {axis} broadcasts, "
            f"{batch}, got {dims}"
        )
    high = check_mode("categorical", mode)
    if not replace:
        return _categories_without_replacement(key, logits, axis, dims, count, high)
    noise_shape = (*dims[: count + axis], aval.shape[axis], *dims[count + axis :])
    noise = standard_gumbel(key, noise_shape, aval.dtype, high)
    scores = lax.add(noise, lax.broadcast_to_rank(logits, len(noise_shape)))
    return lax.argmax(scores, count + axis, dtypes.default_int_dtype())


def _categories_without_replacement(
    key: Any, logits: Any, axis: int, dims: Shape, count: int, high: bool
) -> Any:
    aval = aval_of_parameter("categorical", "logits", logits)
    draws, categories = math.prod(dims[:count]), aval.shape[axis]
    if draws > categories:
        raise ValueError(
            f"categorical: number of samples without replacement ({draws}) cannot exceed number of categories "
            f"({categories})"
        )
    shape = (*dims[count : count + axis], categories, *dims[count + axis :])
    scores = lax.add(standard_gumbel(key, shape, aval.dtype, high), logits)
    places = lax.top_k(moveaxis(scores, axis, -1), draws)[1]
    return lax.reshape(moveaxis(places, -1, 0), dims)
