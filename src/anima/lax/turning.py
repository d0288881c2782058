"""Transposes by the kernel, for arrays that a transpose is worth one for.

Invariant: the kernel moves elements and knows nothing of them.
"""

from __future__ import annotations

import math

from anima import dtypes
from anima.lowering.module import Context, Value
from anima.runtime.kernels import call_kernel

# A transpose by the kernel gains from so many bytes on, and copies of blocks of so many bytes; shorter ones are as good as
# elements if they have the size of one.
_TRANSPOSE_BYTES, _LONG_BLOCK, _ELEMENTS = 1 << 16, 128, (1, 2, 4, 8, 16)


def turned_by_kernel(ctx: Context, x: Value, permutation: tuple[int, ...]) -> Value | None:
    """The transposed value, or None where XLA does it as well."""
    element = dtypes.itemsize_bits(x.dtype) // 8
    if math.prod(x.shape) * element < _TRANSPOSE_BYTES:
        return None
    kept = [d for d, n in enumerate(x.shape) if n != 1]
    order = [p for p in permutation if x.shape[p] != 1]
    moved = next((i for i in reversed(range(len(kept))) if kept[i] != order[i]), None)
    if moved is None:  # nothing moves
        return None
    block = math.prod(x.shape[d] for d in kept[moved + 1 :]) * element
    if block < _LONG_BLOCK and block not in _ELEMENTS:
        return None
    attributes = {f"from{i}": p for i, p in enumerate(permutation)}
    return call_kernel(ctx, "anima_transpose", (x,), ctx.out_avals, attributes)[0]
