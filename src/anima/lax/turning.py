"""Transposes by the kernel, for arrays that a transpose is worth one for.

Invariant: the kernel moves elements and knows nothing of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from anima import dtypes
from anima.lowering.module import Context, Value
from anima.runtime.kernels import call_kernel

# A transpose by the kernel gains from so many bytes on, for matrices of so many elements, and for copies of blocks of so many
# bytes; shorter ones are as good as elements if they have the size of one. Of 20,000 matrices of 8 by 8 it takes 0.5 ms, XLA
# 0.14; of 8 of 3136 by 64 it takes 0.29 and XLA 0.54.
_TRANSPOSE_BYTES, _MATRIX, _LONG_BLOCK, _ELEMENTS = 1 << 16, 1024, 128, (1, 2, 4, 8, 16)


def turned_by_kernel(ctx: Context, x: Value, permutation: tuple[int, ...]) -> Value | None:
    """The transposed value, or None where XLA does it as well."""
    element = dtypes.itemsize_bits(x.dtype) // 8
    if math.prod(x.shape) * element < _TRANSPOSE_BYTES:
        return None
    kept = [d for d, n in enumerate(x.shape) if n != 1]
    order = [kept.index(p) for p in permutation if x.shape[p] != 1]
    sizes = [x.shape[d] for d in kept]
    end = 1 + next((i for i in reversed(range(len(order))) if order[i] != i), -1)
    if not end:  # nothing moves
        return None
    block = math.prod(sizes[end:]) * element
    if block < _LONG_BLOCK and (block not in _ELEMENTS or _matrix(sizes[:end], order[:end]) < _MATRIX):
        return None
    attributes = {f"from{i}": p for i, p in enumerate(permutation)}
    return call_kernel(ctx, "anima_transpose", (x,), ctx.out_avals, attributes)[0]


def _matrix(sizes: Sequence[int], order: Sequence[int]) -> int:
    """The elements of the matrices that are transposed: of what lies together before, and what does after."""

    def together(i: int) -> int:
        """The size of the dimensions that stay beside number `i` of the result, and in their order."""
        first = last = i
        while first > 0 and order[first - 1] + 1 == order[first]:
            first -= 1
        while last + 1 < len(order) and order[last] + 1 == order[last + 1]:
            last += 1
        return math.prod(sizes[p] for p in order[first : last + 1])

    return together(len(order) - 1) * together(order.index(len(order) - 1))
