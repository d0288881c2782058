"""Products of float32 and float64 arrays by the kernel that is blocked for the caches.

Invariant: the kernel reads matrices by strides, so an operand is taken as it lies, before a transpose of it, and nothing is
moved; where several dimensions cannot be walked along with one stride, XLA computes the product.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

from anima.core.aval import ShapedArray
from anima.core.host import KernelCall
from anima.lowering.module import Context, Value
from anima.runtime.kernels import MULTIPLIED_AT_ONCE, call_kernel

_Dimensions = list[tuple[int, ...]]  # of each its size, and its stride in one operand or in both

_MOST_BATCHES = 8  # dimensions of a stack that the kernel knows

# Times in us of products of float32 (2 cores of a Zen 4), by the kernel and by XLA. What is summed over is in the middle; of a
# turned operand it is the other dimension than in memory. Small ones: XLA's are plain code, and in a short loop one function
# with all else. One column is a sum for each row, one row a sum of rows, one term an outer product, all of which XLA computes
# as it fuses them; it unrolls products of 3 by 3. Few columns of long sums are a matter of the memory.
#
#   8, 8, 8   16, 16, 16   32, 32, 32   256, 256, 256    1000 of 4, 4, 4   10000 of 3, 3, 3   4, 65536, 4   64 of 64, 64, 1
#   2.8, 5.2   3.2, 3.9     3.8, 11       190, 206           100, 550           715, 260        304, 194        119, 95
_ENOUGH, _SMALLEST = 1 << 15, 64  # multiplications, of all matrices and of one
_FEW_ROWS, _FEW_COLUMNS, _FEW_TERMS = 2, 4, 2
_LONG_SUM, _FEW_COLUMNS_OF_LONG = 1 << 13, 16
# Elements of the arrays of a product that is a program of its own: XLA compiles such a product of a matrix and a vector in
# 25 ms, a call of the kernel in 4, and on the host that needs no program.
_LONE = 1024
_KERNEL = "anima_matrix_product"


def product_by_kernel(ctx: Context, lhs: Value, rhs: Value, numbers: Any, out: ShapedArray) -> Value | None:
    """The product, or None where XLA computes it."""
    if not ctx.module.kernels_allowed or lhs.dtype.name not in ("float32", "float64"):
        return None
    if rhs.dtype != lhs.dtype or out.dtype != lhs.dtype:
        return None
    (left, left_strides), (right, right_strides) = _lying(lhs), _lying(rhs)
    attributes = _attributes((lhs.shape, left_strides), (rhs.shape, right_strides), *_pairs(numbers))
    if attributes is None or not _worth(attributes, math.prod(out.shape)):
        return None
    work = math.prod(out.shape) * attributes["depth"] // MULTIPLIED_AT_ONCE
    return call_kernel(ctx, _KERNEL, (left, right), [out], attributes, work=work)[0]


def lone_call(
    x: Any, y: Any, *, dimension_numbers: Any, precision: Any, preferred_element_type: Any
) -> KernelCall | None:
    """The kernel's call for a small product that is all of a program, where it has one.

    Args:
      x, y: the avals of the operands, which lie in row-major order.
      dimension_numbers, precision, preferred_element_type: those of the product.
    """
    if x.dtype != y.dtype or x.dtype.name not in ("float32", "float64") or precision is not None:
        return None
    if preferred_element_type not in (None, x.dtype) or not min(x.size, y.size) > 0:
        return None
    (lhs_contract, _), (lhs_batch, _) = dimension_numbers
    shared = math.prod([x.shape[i] for i in (*lhs_contract, *lhs_batch)])
    stack = math.prod([x.shape[i] for i in lhs_batch])
    if max(x.size, y.size, x.size // shared * (y.size // shared) * stack) > _LONE:
        return None
    attributes = _attributes(
        (x.shape, _strides(x.shape)), (y.shape, _strides(y.shape)), *_pairs(dimension_numbers)
    )
    return None if attributes is None else (_KERNEL, attributes)


_Side = tuple[tuple[int, ...], tuple[int, ...]]  # an operand's shape and its strides
_Pair = tuple[tuple[int, ...], tuple[int, ...]]  # dimensions of the left and the right operand


def _pairs(numbers: Any) -> list[_Pair]:
    """The dimensions that are summed over and those of the stack, as keys of a cache."""
    return [(tuple(left), tuple(right)) for left, right in numbers]


@functools.lru_cache(1024)  # the layers of a model have the same products
def _attributes(lhs: _Side, rhs: _Side, contract: _Pair, batch: _Pair) -> dict[str, int] | None:
    """What the kernel is told of a product, or None where some dimensions cannot be walked along with one stride."""
    (left_shape, left_strides), (_, right_strides) = lhs, rhs
    pairs = [(left_shape[i], left_strides[i], right_strides[j]) for i, j in zip(*contract)]
    depth = _merged(sorted(pairs, key=lambda pair: -pair[1]))
    stack = _merged([(left_shape[i], left_strides[i], right_strides[j]) for i, j in zip(*batch)])
    rows = _merged(_free(lhs, contract[0], batch[0]))
    columns = _merged(_free(rhs, contract[1], batch[1]))
    if max(len(depth), len(rows), len(columns)) > 1 or len(stack) > _MOST_BATCHES:
        return None
    [(summed, left_column, right_row)] = depth or [(1, 1, 1)]
    [(height, left_row)] = rows or [(1, summed)]
    [(width, right_column)] = columns or [(1, 1)]
    if 1 not in (left_row, left_column) or 1 not in (right_row, right_column):
        return None
    attributes = {
        "rows": height,
        "columns": width,
        "depth": summed,
        "left_row": left_row,
        "left_column": left_column,
        "right_row": right_row,
        "right_column": right_column,
        "batches": len(stack),
    }
    for i, (size, left_stride, right_stride) in enumerate(stack):
        attributes |= {f"size{i}": size, f"left{i}": left_stride, f"right{i}": right_stride}
    return attributes


def _worth(attributes: dict[str, int], size: int) -> bool:
    """Whether the kernel is quicker than XLA for matrices of these sizes, with results of `size` elements in all."""
    rows, columns, summed = attributes["rows"], attributes["columns"], attributes["depth"]
    if rows < _FEW_ROWS or columns < _FEW_COLUMNS or summed < _FEW_TERMS:
        return False
    if summed >= _LONG_SUM and columns < _FEW_COLUMNS_OF_LONG:
        return False
    return rows * columns * summed >= _SMALLEST and size * summed >= _ENOUGH


def _lying(x: Value) -> tuple[Value, tuple[int, ...]]:
    """The value of which this one is a transpose, or itself, and the strides of its dimensions there."""
    base, permutation = x.transposed or (x, tuple(range(len(x.shape))))
    strides = _strides(base.shape)
    return base, tuple([strides[p] for p in permutation])


@functools.lru_cache(1024)
def _strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple([math.prod(shape[d + 1 :]) for d in range(len(shape))])


def _free(side: _Side, contract: Sequence[int], batch: Sequence[int]) -> _Dimensions:
    shape, strides = side
    return [(n, strides[d]) for d, n in enumerate(shape) if d not in contract and d not in batch]


def _merged(dims: _Dimensions) -> _Dimensions:
    """The dimensions without those of size 1, and as one where they are walked along with one stride."""
    found: _Dimensions = []
    for size, *strides in dims:
        if size == 1:
            continue
        if found and all(outer == size * inner for outer, inner in zip(found[-1][1:], strides)):
            found[-1] = (found[-1][0] * size, *strides)
        else:
            found.append((size, *strides))
    return found
