"""Shuffling: where elements are after sorts by random keys.

Invariant: a shuffle is a stable sort by random words of 32 bits, repeated until ties cannot be noticed. Only places are
sorted; whatever is shuffled is gathered from them once. On CPU devices a kernel of our own does all the sorts
(`native/kernels/shuffle.cc`).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from anima import dtypes, lax
from anima.core.aval import ShapedArray
from anima.core.host import HostRule
from anima.core.primitive import Missing
from anima.core.trace import aval_of
from anima.interpreters.batch import Axis, to_axis
from anima.lax.create import iota_p
from anima.lax.declare import declare, lowered_by, no_tangent
from anima.lax.sorting import take_along
from anima.lowering.module import Context, Value
from anima.numpy import moveaxis, take
from anima.random.key_operations import bits, split
from anima.runtime.kernels import call_kernel

Shape = tuple[int, ...]

# A longer row has places that are no int32.
_LONG = 1 << 31


def _shape(*words: ShapedArray) -> ShapedArray:
    first = words[0]
    for aval in words:
        if aval.dtype != dtypes.uint32 or aval.shape != first.shape or not aval.ndim:
            given = ", ".join(str(w) for w in words)
            raise TypeError(f"shuffled_places needs uint32 arrays of one shape, not (), got {given}")
    return ShapedArray(first.shape, np.dtype(np.int32 if first.shape[-1] < _LONG else np.int64))


def _by_sorts(*words: Any) -> Any:
    aval = _shape(*map(aval_of, words))  # type: ignore[arg-type]
    last = aval.ndim - 1
    places = iota_p.bind(dtype=aval.dtype, shape=aval.shape, dimension=last)
    for keys in words:
        _, places = lax.sort_key_val(keys, places, last)
    return places


_lower_by_sorts = lowered_by(_by_sorts)


def _lower(ctx: Context, *words: Value) -> Any:
    if ctx.module.kernels_allowed and words[0].shape[-1] < _LONG:
        # The second result is room: XLA keeps such memory, which would be cleared if the kernel asked for it.
        spare = ShapedArray(words[0].shape, dtypes.uint64)
        work = math.prod(spare.shape) * spare.shape[-1].bit_length()
        return call_kernel(ctx, "anima_shuffle", words, [*ctx.out_avals, spare], work=work)[0]
    return _lower_by_sorts(ctx, *words)


def _sorted_on_host(*words: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    places = np.broadcast_to(np.arange(words[0].shape[-1], dtype=np.int32), words[0].shape)
    for keys in words:
        places = np.take_along_axis(places, np.argsort(keys, axis=-1, kind="stable"), -1)
    return places


def _batch(axis: Axis, args: Any, dims: Any) -> tuple[Any, int]:
    return shuffled_places_p.bind(*[to_axis(x, d, 0, axis.size) for x, d in zip(args, dims)]), 0


# Of uint32 arrays `(..., n)`, one for each sort: which element is at each place, along the last dimension, when all of
# them are done. Each array has the words for the places, not for the elements.
shuffled_places_p = declare(
    "shuffled_places",
    shape=_shape,
    lower=_lower,
    jvp=no_tangent,
    transpose=Missing("it is not linear"),
    batch=_batch,
    host=HostRule(_sorted_on_host, ("uint32", "int32")),
)


def _sort_keys(key: Any, size: int) -> list[Any]:
    """A key for each sort of a shuffle of `size` elements."""
    # With equal words elements keep their order. So many sorts leave less than 1 / n**2 of that.
    keys = []
    for _ in range(math.ceil(3 * math.log(max(1, size)) / math.log(0xFFFFFFFF))):
        key, subkey = split(key)
        keys.append(subkey)
    return keys


def _places(keys: list[Any], shape: Shape, axis: int = 0) -> Any:
    """Which element is at each place along an axis of an array of this shape; the axis is the last one of the result."""
    if not keys:
        dims = (*shape[:axis], *shape[axis + 1 :], shape[axis])
        return lax.broadcasted_iota(np.int32, dims, len(dims) - 1)
    return shuffled_places_p.bind(*[moveaxis(bits(key, 32, shape), axis, -1) for key in keys])


def shuffled_numbers(key: Any, count: int) -> Any:
    """The numbers below `count` in a random order."""
    return lax.convert_element_type(_places(_sort_keys(key, count), (count,)), dtypes.default_int_dtype())


def first_of_shuffled(key: Any, size: int, count: int) -> Any:
    """The first `count` of `shuffled_numbers(key, size)`: the last sort is but a selection."""
    *earlier, last = _sort_keys(key, size)
    # The smallest words, and of equal ones the first: of the complements the largest.
    at = lax.top_k(lax.bitwise_not(bits(last, 32, (size,))), count)[1]
    found = take_along(_places(earlier, (size,)), at, 0)
    return lax.convert_element_type(found, dtypes.default_int_dtype())


def permute(key: Any, x: Any, axis: int, independent: bool = False) -> Any:
    """An array with its slices along an axis in a random order; each line in an order of its own if `independent`."""
    shape = aval_of(x).shape  # type: ignore[attr-defined]
    if not math.prod(shape):
        return x
    if independent and len(shape) > 1:
        order = moveaxis(_places(_sort_keys(key, math.prod(shape)), shape, axis), -1, axis)
        return take_along(x, order, axis)
    return take(x, shuffled_numbers(key, shape[axis]), axis=axis, unique_indices=True)
