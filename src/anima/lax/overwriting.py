"""Updates of numbers that XLA's CPU compiler does not compute with: bfloat16, and floats of 8 bits.

Invariant: what is written is what XLA's operations would write. XLA converts the whole of such an array to float32 for an
update of a part, and back; the kernel copies the part into the array's own memory, if nobody uses the array any more.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from anima.core.aval import ShapedArray
from anima.dtypes import is_inexact
from anima.lowering.module import Context, Value
from anima.runtime.kernels import call_kernel


def overwrites(ctx: Context, x: Value, starts: Sequence[Value]) -> bool:
    """Whether `overwritten` is for this array and these starts of windows."""
    return (
        ctx.module.kernels_allowed
        and isinstance(x.dtype, np.dtype)
        and (x.dtype.name == "bfloat16" or (x.dtype.itemsize == 1 and is_inexact(x.dtype)))
        and x.dtype.name != "float4_e2m1fn"  # two of them share a byte
        and 0 not in x.shape
        and all(0 not in start.shape and start.dtype != np.uint64 for start in starts)
        and len(starts) > 0
    )


def overwritten(ctx: Context, x: Value, starts: Value, updates: Value, clamp: bool) -> Value:
    """The array with windows written over.

    Args:
      ctx: where; `overwrites` has to hold.
      x: the array.
      starts: the first places of n windows in the leading dimensions of `x`, of shape (n, k).
      updates: what is written, of shape (n, ...), with as many dimensions more as `x` has.
      clamp: whether a window that does not fit is moved to where it does; else it is left out.
    """
    dtype = np.dtype(np.int32 if starts.dtype.itemsize < 4 or starts.dtype == np.int32 else np.int64)
    if starts.dtype != dtype:
        starts = ctx.op("stablehlo.convert", (starts,), ShapedArray(starts.shape, dtype))
    operands = (x, starts, updates)
    return call_kernel(ctx, "anima_update", operands, [x.aval], {"clamp": clamp}, in_place={0: 0})[0]


def put_window(ctx: Context, x: Value, window: Value, starts: Sequence[Value]) -> Value:
    """The array with one window replaced, moved to where it fits.

    Args:
      ctx: where.
      x: the array; its dtype is NumPy's.
      window: of the rank of `x`.
      starts: scalars of one integer dtype: where the window begins in the leading dimensions of `x`; it begins at zero in
        the others.
    """
    if not overwrites(ctx, x, starts):
        zeros = [ctx.constant(starts[0].dtype.type(0))] * (len(x.shape) - len(starts)) if starts else []
        return ctx.op("stablehlo.dynamic_update_slice", (x, window, *starts, *zeros), x.aval)
    vector = ShapedArray((1, 1), starts[0].dtype)
    columns = [ctx.op("stablehlo.reshape", (start,), vector) for start in starts]
    if len(columns) > 1:
        vector = ShapedArray((1, len(starts)), starts[0].dtype)
        columns = [ctx.op("stablehlo.concatenate", columns, vector, "dimension = 1 : i64")]
    window = ctx.op("stablehlo.reshape", (window,), ShapedArray((1, *window.shape), window.dtype))
    return overwritten(ctx, x, columns[0], window, clamp=True)
