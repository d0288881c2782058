"""Products of bfloat16 arrays by the kernel, for processors with instructions for them.

Invariant: the kernel multiplies stacks of matrices `(batch, rows, depth)` and `(batch, depth, columns)`, either of them with its
last two dimensions turned. An operand that is a transpose is taken from before it; what then lies otherwise is transposed, as
XLA's own products do it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np

from anima import _native
from anima.core.aval import ShapedArray
from anima.core.primitive import primitives
from anima.lowering.module import Context, Value
from anima.runtime.kernels import MULTIPLIED_AT_ONCE, call_kernel

_BFLOAT16 = np.dtype(ml_dtypes.bfloat16)

# From so many products on the kernel takes half of XLA's time or less, calls included; a sum for one element twice as much.
_ENOUGH, _FEW = 1 << 13, 4


def product_by_kernel(ctx: Context, lhs: Value, rhs: Value, numbers: Any, out: ShapedArray) -> Value | None:
    """The product, or None where XLA computes it as well."""
    if not ctx.module.kernels_allowed or not _native.has_bfloat16_products():
        return None
    if lhs.dtype != _BFLOAT16 or rhs.dtype != _BFLOAT16 or out.dtype not in (_BFLOAT16, np.float32):
        return None
    (lhs_contract, rhs_contract), (lhs_batch, rhs_batch) = numbers
    depth = math.prod(lhs.shape[d] for d in lhs_contract)
    if math.prod(out.shape) * depth < _ENOUGH or math.prod(out.shape[len(lhs_batch) :]) < _FEW:
        return None
    left, left_turned = _stacked(ctx, lhs, lhs_batch, lhs_contract, depth, False)
    right, right_turned = _stacked(ctx, rhs, rhs_batch, rhs_contract, depth, True)
    batch, rows, columns = left.shape[0], left.shape[1 + left_turned], right.shape[2 - right_turned]
    flags = {"left_turned": left_turned, "right_turned": right_turned}
    shape = ShapedArray((batch, rows, columns), out.dtype)
    work = math.prod(shape.shape) * depth // MULTIPLIED_AT_ONCE
    stack = call_kernel(ctx, "anima_product", (left, right), [shape], flags, work=work)[0]
    return _reshaped(ctx, stack, out.shape)


def _stacked(
    ctx: Context, x: Value, batch: Sequence[int], contract: Sequence[int], depth: int, first: bool
) -> tuple[Value, bool]:
    """The operand as a stack of matrices, and whether they lie turned; `first`: the dimension summed over is their first."""
    free: Sequence[int] = [d for d in range(len(x.shape)) if d not in batch and d not in contract]
    if x.transposed is not None:
        x, permutation = x.transposed
        batch, contract, free = ([permutation[d] for d in dims] for dims in (batch, contract, free))
    turned, straight = (*batch, *free, *contract), (*batch, *contract, *free)
    if not first:
        turned, straight = straight, turned
    order = turned if turned == tuple(range(len(turned))) else straight
    if order != tuple(range(len(order))):
        ctx.out_avals = [ShapedArray(tuple(x.shape[d] for d in order), x.dtype)]
        x = primitives["transpose"].lower(ctx, x, permutation=order)
    count = math.prod(x.shape[: len(batch)])
    size = math.prod(x.shape) // (count * depth)
    is_turned = order != straight
    shape = (count, depth, size) if first != is_turned else (count, size, depth)
    return _reshaped(ctx, x, shape), is_turned


def _reshaped(ctx: Context, x: Value, shape: tuple[int, ...]) -> Value:
    return x if x.shape == shape else ctx.op("stablehlo.reshape", (x,), ShapedArray(shape, x.dtype))
