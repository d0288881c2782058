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
