"""Transposes by the kernel, for arrays that a transpose is worth one for.

Invariant: the kernel moves elements and knows nothing of them; it turns `(outer, a, b, inner)` into `(outer, b, a, inner)`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from anima import dtypes
from anima.lowering.module import Context, Value
from anima.runtime.kernels import call_kernel


def _swapped_groups(shape: Sequence[int], permutation: Sequence[int]) -> tuple[int, int, int, int] | None:
    """The sizes `(outer, a, b, inner)` of an array that the permutation takes to `(outer, b, a, inner)`, if it does so."""
    kept = [d for d, n in enumerate(shape) if n != 1]
    order = [kept.index(p) for p in permutation if shape[p] != 1]
    sizes = [shape[d] for d in kept]
    start = next((i for i, p in enumerate(order) if p != i), None)
    if start is None:
        return None
    middle = order[start]  # where the second group begins, and is as long as the first can be
    end = next(i for i in reversed(range(len(order))) if order[i] != i) + 1
    if order[start:end] != [*range(middle, end), *range(start, middle)]:
        return None
    groups = (sizes[:start], sizes[start:middle], sizes[middle:end], sizes[end:])
    outer, a, b, inner = (math.prod(group) for group in groups)
    return outer, a, b, inner


# A transpose by the kernel gains from so many bytes on, where rows lie a multiple of so many bytes apart: these share places
# in the caches, and loops over columns drive them from there.
_TRANSPOSE_BYTES, _TRANSPOSE_APART = 1 << 16, 512


def turned_by_kernel(ctx: Context, x: Value, permutation: tuple[int, ...]) -> Value | None:
    """The transposed value, or None where XLA does it as well."""
    groups = _swapped_groups(x.shape, permutation)
    if groups is None or not math.prod(groups):
        return None
    outer, a, b, inner = groups
    block = inner * (dtypes.itemsize_bits(x.dtype) // 8)
    if outer * a * b * block < _TRANSPOSE_BYTES or (inner > 1 and block < 128):
        return None
    if a * block % _TRANSPOSE_APART and b * block % _TRANSPOSE_APART:
        return None
    attributes = {"outer": outer, "a": a, "b": b, "inner": inner}
    return call_kernel(ctx, "anima_transpose", (x,), ctx.out_avals, attributes)[0]
