"""Windows on arrays, taken apart into slices: data movement and elementwise operations, which compilers fuse.

Invariant: dimensions are handled one after the other, the last one first, so the elements of a window combine in row-major
order, whatever its size. Padding and the holes of dilation hold a value that changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from anima.lax.gathering import GatherDimensionNumbers, gather
from anima.lax.joining import pad, stack
from anima.lax.shape import shape_of
from anima.lax.slicing import slice_in_dim
from anima.lax.window_shapes import Windows

# Up to this size, a window's dimension is that many slices. A larger one is gathered (which has a slower transpose), or
# combined from windows of half the size.
SLICES = 16


def spread(x: Any, fill: Any, windows: Windows) -> Any:
    """The array with its padding, and with the holes of its dilation; empty where padding takes away more than there is."""
    config = []
    for n, (lo, hi), step in zip(shape_of(x), windows.padding, windows.base_dilation):
        size = n + max(n - 1, 0) * (step - 1)
        config.append((lo, hi, step - 1) if lo + size + hi >= 0 else (-size, 0, step - 1))
    return pad(x, fill, config)


def windows_along(x: Any, axis: int, target: int, size: int, count: int, stride: int, step: int) -> Any:
    """The windows along one dimension, those places being `axis` then; the places in them are a new dimension `target`.

    Args:
      x: an array that has all windows inside.
      target: not behind `axis`.
      size, count, stride, step: of the windows: how large and how many they are, how far apart they and their elements.
    """
    shape = shape_of(x)
    if size <= SLICES or count == 0:
        length = (count - 1) * stride + 1 if count else 0
        starts = [k * step if count else 0 for k in range(size)]
        return stack([slice_in_dim(x, start, start + length, stride, axis) for start in starts], target)
    at = np.arange(size, dtype=np.int32)[:, None] * step + np.arange(count, dtype=np.int32) * stride
    others = tuple(d + (d >= target) for d in range(len(shape)) if d != axis)
    sizes = [1 if d == axis else n for d, n in enumerate(shape)]
    return gather(x, at[..., None], GatherDimensionNumbers(others, (axis,), (axis,)), sizes)


Arrays = Sequence[Any]


def fold_windows(
    arrays: Arrays, windows: Windows, combine: Callable[[Arrays, Arrays], Arrays], overlapping: bool
) -> Arrays:
    """The elements of each window combined, for arrays that have all windows inside.

    Args:
      arrays: of one shape, padded and with holes already.
      combine: an associative function of two such lists, elementwise.
      overlapping: whether combining an element twice changes nothing.
    """
    counts = windows.inside.counts(shape_of(arrays[0]))
    for d in reversed(range(len(counts))):
        size, stride, step = (
            windows.window_dimensions[d],
            windows.window_strides[d],
            windows.window_dilation[d],
        )
        if size != 1 or stride != 1:
            arrays = _fold_along(arrays, d, size, counts[d], stride, step, combine, overlapping)
    return arrays


def _fold_along(
    arrays: Arrays,
    axis: int,
    size: int,
    count: int,
    stride: int,
    step: int,
    combine: Callable[[Arrays, Arrays], Arrays],
    overlapping: bool,
) -> Arrays:
    length = (count - 1) * stride + 1 if count else 0

    def cut(place: int) -> Arrays:
        start = place * step if count else 0
        return [slice_in_dim(a, start, start + length, stride, axis) for a in arrays]

    if size <= SLICES or count == 0:
        parts = [cut(place) for place in range(size if count else 1)]
    else:
        # Windows of 1, 2, 4, ... elements at every place: two of the largest make up one of the wanted size if they may
        # overlap; else those of the binary digits of the size do.
        parts, done, width = [], 0, 1
        while width <= size:
            if 2 * width > size and overlapping:
                parts = [cut(0), cut(size - width)]
            elif size & width and not overlapping:
                parts.append(cut(done))
                done += width
            if 2 * width <= size:
                end = shape_of(arrays[0])[axis]
                near = [slice_in_dim(a, 0, end - width * step, axis=axis) for a in arrays]
                arrays = combine(near, [slice_in_dim(a, width * step, end, axis=axis) for a in arrays])
            width *= 2
    total = parts[0]
    for part in parts[1:]:
        total = combine(total, part)
    return total
