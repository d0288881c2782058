"""Movements of data as NumPy performs them, for operations whose rule for the host is more than one call.

Invariant: parameters are those of the operation, which its shape rule has checked.
"""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

Numbers: TypeAlias = np.ndarray[Any, Any]


def broadcast(x: Numbers, *, shape: tuple[int, ...], broadcast_dimensions: tuple[int, ...]) -> Numbers:
    """`x` with its dimensions at the given places of a shape."""
    places = dict(zip(broadcast_dimensions, x.shape))
    ordered = x.transpose(np.argsort(broadcast_dimensions)) if x.ndim else x
    return np.broadcast_to(ordered.reshape([places.get(d, 1) for d in range(len(shape))]), shape)


def slice(x: Numbers, *, start_indices: Any, limit_indices: Any, strides: Any) -> Numbers:
    """A part of `x`, given by its bounds."""
    return x[tuple(map(builtins.slice, start_indices, limit_indices, strides or [None] * x.ndim))]


def window(x: Numbers, starts: Sequence[Any], sizes: Sequence[int]) -> tuple[Any, ...]:
    """The part of an array that begins at `starts`, moved inside."""
    begins = [min(max(int(s), 0), n - size) for s, size, n in zip(starts, sizes, x.shape)]
    return tuple([builtins.slice(b, b + size) for b, size in zip(begins, sizes)])


def update(x: Numbers, update: Numbers, *starts: Any) -> Numbers:
    """A copy of `x` with `update` written at `starts`."""
    result = x.copy()
    result[window(x, starts, update.shape)] = update
    return result


def not_indexing(x: Numbers, starts: Numbers, *, dimension_numbers: Any, slice_sizes: Any, **_: Any) -> bool:
    """Whether a gather is more than `x[indices]` with an array of indices for some dimensions, all of them inside."""
    places, numbers = dimension_numbers.start_index_map, dimension_numbers
    if sorted(places) != sorted(numbers.collapsed_slice_dims):
        return True
    single = (*places, *numbers.operand_batching_dims)
    if any([size != (1 if d in single else x.shape[d]) for d, size in enumerate(slice_sizes)]):
        return True
    return not bool(((starts >= 0) & (starts < np.array([x.shape[d] for d in places]))).all())


def gather(x: Numbers, starts: Numbers, *, dimension_numbers: Any, **_: Any) -> Numbers:
    """`x[indices]`, with the dimensions that are not indexed where the result has them."""
    offsets, along = dimension_numbers.offset_dims, dimension_numbers.start_indices_batching_dims
    places = (*dimension_numbers.start_index_map, *dimension_numbers.operand_batching_dims)
    kept = [d for d in range(x.ndim) if d not in places]
    counted = np.indices(starts.shape[:-1], sparse=True)
    indices = (*np.moveaxis(starts.astype(np.intp), -1, 0), *[counted[d] for d in along])
    found = x.transpose([*places, *kept])[indices]
    return np.moveaxis(found, range(starts.ndim - 1, found.ndim), offsets)


def pad(x: Numbers, value: Numbers, *, padding_config: Any) -> Numbers:
    """`x` between constants; no padding is negative or interior."""
    result = np.full([low + n + high for n, (low, high, _) in zip(x.shape, padding_config)], value, x.dtype)
    result[tuple([builtins.slice(low, low + n) for n, (low, _, _) in zip(x.shape, padding_config)])] = x
    return result


def iota(*, dtype: Any, shape: tuple[int, ...], dimension: int) -> Numbers:
    """The index along one dimension, everywhere."""
    counted = np.arange(shape[dimension], dtype=dtype)
    return np.broadcast_to(counted.reshape([-1] + [1] * (len(shape) - dimension - 1)), shape)


def sort(*xs: Numbers, dimension: int, is_stable: bool, num_keys: int) -> list[Numbers]:
    """Arrays sorted together by the first one."""
    if len(xs) == 1:
        return [np.sort(xs[0], dimension, kind="stable")]
    order = np.argsort(xs[0], dimension, kind="stable")
    return [np.take_along_axis(x, order, dimension) for x in xs]
