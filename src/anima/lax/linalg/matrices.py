"""Stacks of matrices: what the operations of this package and their derivatives have in common.

Invariant: matrices are the last two dimensions; all dimensions before them are equal among operands. Products here are as exact
as the dtype allows, since factorisations lose accuracy to coarse ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from anima import dtypes
from anima.core.aval import ShapedArray
from anima.core.primitive import Primitive, Zero
from anima.core.trace import aval_of, shaped
from anima.errors import ArgumentError
from anima.interpreters.batch import Axis, to_axis
from anima.lax.arithmetic import add, mul
from anima.lax.compare import eq, ge
from anima.lax.complex_parts import conj
from anima.lax.contraction import batch_matmul
from anima.lax.convert import convert_element_type, convert_to
from anima.lax.create import broadcasted_iota, full_like
from anima.lax.declare import FLOAT8, INEXACT, SharedRule, check_dtype
from anima.lax.gathering import GatherDimensionNumbers, gather
from anima.lax.joining import concatenate
from anima.lax.precision import Precision
from anima.lax.reductions import reduce_sum
from anima.lax.selection import select
from anima.lax.shape import broadcast_in_dim, dtype_of, expand_dims, shape_of, squeeze, transpose
from anima.lax.slicing import dynamic_index_in_dim, dynamic_update_index_in_dim, slice

# Floats that neither LAPACK nor XLA's factorisations know: they are computed as float32.
NARROW = (*FLOAT8, "bfloat16", "float16")
# The dtypes of factorisations; those with fewer bits hold no useful ones.
FACTORED = ("bfloat16", "float16", "float32", "float64", "complex64", "complex128")

# --- checks -----------------------------------------------------------------------------------


def check_matrix(
    name: str, aval: ShapedArray, which: str, accepted: tuple[str, ...] = INEXACT, square: bool = False
) -> None:
    """Raise unless `aval`, the argument `which` of the function `name`, is that of a stack of matrices.

    Raises:
      ArgumentError: it has another dtype or too few dimensions, or the matrices should be square and are not.
    """
    check_dtype(name, aval, accepted, which)
    if aval.ndim < 2:
        raise ArgumentError(f"{name}: {which} must have at least 2 dimensions, got shape {aval.shape}")
    if square and aval.shape[-1] != aval.shape[-2]:
        raise ArgumentError(f"{name}: {which} must be a stack of square matrices, got shape {aval.shape}")


def check_vectors(name: str, aval: ShapedArray, which: str, accepted: tuple[str, ...] = INEXACT) -> None:
    """Raise ArgumentError unless `aval`, the argument `which` of the function `name`, is that of a stack of vectors."""
    check_dtype(name, aval, accepted, which)
    if aval.ndim < 1:
        raise ArgumentError(f"{name}: {which} must have at least 1 dimension, got a scalar")


def check_batch(name: str, **avals: tuple[ShapedArray, int]) -> tuple[int, ...]:
    """The common shape of the stacks: all dimensions but the last ones, whose number is given with each aval.

    Raises:
      ArgumentError: they differ in number or size.
    """
    stacks = {which: aval.shape[: aval.ndim - last] for which, (aval, last) in avals.items()}
    first = next(iter(stacks.values()))
    for which, stack in stacks.items():
        if stack != first:
            shapes = ", ".join(f"{w}: {aval.shape}" for w, (aval, _) in avals.items())
            raise ArgumentError(
                f"{name}: arguments must be stacks of one shape, got {shapes}; broadcast {which} to the others"
            )
    return first


# --- parts and products -----------------------------------------------------------------------


def mt(x: Any) -> Any:
    """The transposes."""
    rank = len(shape_of(x))
    return transpose(x, (*range(rank - 2), rank - 1, rank - 2))


def conjugated(x: Any) -> Any:
    """The complex conjugate; a real array is its own."""
    return conj(x) if dtypes.is_complex(dtype_of(x)) else x


def with_mean(x: Any) -> Any:
    """`x` in the dtype of the mean of its matrices: integers as floats; booleans as weakly typed ones, as division has it."""
    dtype = dtype_of(x)
    if dtypes.is_bool(dtype):
        return convert_to(x, float, True)
    return convert_to(x, dtypes.to_inexact_dtype(dtype), shaped(x).weak_type) if dtypes.is_int(dtype) else x


def ct(x: Any) -> Any:
    """The conjugate transposes."""
    return mt(conjugated(x))


def matmul(x: Any, y: Any) -> Any:
    """The products."""
    return batch_matmul(x, y, Precision.HIGHEST)


def matvec(x: Any, y: Any) -> Any:
    """The products with vectors."""
    rank = len(shape_of(y))
    return squeeze(matmul(x, expand_dims(y, (rank,))), (rank,))


def with_columns(x: Any, columns: Any) -> Any:
    """The matrices with their columns multiplied by the elements of vectors."""
    rank = len(shape_of(x))
    return mul(x, broadcast_in_dim(columns, shape_of(x), (*range(rank - 2), rank - 1)))


def with_rows(x: Any, rows: Any) -> Any:
    """The matrices with their rows multiplied by the elements of vectors."""
    return mul(x, broadcast_in_dim(rows, shape_of(x), range(len(shape_of(x)) - 1)))


def _on_diagonal(shape: Sequence[int]) -> Any:
    rank = len(shape)
    return eq(broadcasted_iota(np.int32, shape, rank - 2), broadcasted_iota(np.int32, shape, rank - 1))


def diagonal_part(x: Any) -> Any:
    """The elements on the diagonal, and zeros."""
    return select(_on_diagonal(shape_of(x)), x, full_like(x, 0))


def diagonal(x: Any) -> Any:
    """The diagonals of square matrices, as vectors."""
    return reduce_sum(diagonal_part(x), (len(shape_of(x)) - 1,))


def eye(like: Any, rows: int, columns: int) -> Any:
    """Identity matrices, or their first rows or columns, in a stack of the shape and dtype of that of `like`."""
    return convert_element_type(_on_diagonal((*shape_of(like)[:-2], rows, columns)), dtype_of(like))


def _below(shape: Sequence[int], offset: int) -> Any:
    """Whether an element lies on the diagonal of this offset or below it."""
    rows = broadcasted_iota(np.int32, shape, len(shape) - 2)
    columns = broadcasted_iota(np.int32, shape, len(shape) - 1)
    return ge(add(rows, np.int32(offset)), columns)


def triangle(x: Any, *, lower: bool, offset: int = 0) -> Any:
    """The elements on the diagonal of this offset and below it, or above it if not `lower`, and zeros."""
    on = _below(shape_of(x), offset if lower else offset - 1)
    zeros = full_like(x, 0)
    return select(on, x, zeros) if lower else select(on, zeros, x)


def block(x: Any, rows: tuple[int, int], columns: tuple[int, int]) -> Any:
    """The parts of the matrices from a first row and column up to, but not including, a last one."""
    shape = shape_of(x)
    if rows == (0, shape[-2]) and columns == (0, shape[-1]):
        return x
    stack = [0] * (len(shape) - 2)
    return slice(x, (*stack, rows[0], columns[0]), (*shape[:-2], rows[1], columns[1]))


def beside(*parts: Any) -> Any:
    """The matrices next to each other."""
    return parts[0] if len(parts) == 1 else concatenate(parts, len(shape_of(parts[0])) - 1)


def above(*parts: Any) -> Any:
    """The matrices one below the other."""
    return parts[0] if len(parts) == 1 else concatenate(parts, len(shape_of(parts[0])) - 2)


def permuted_rows(x: Any, places: Any) -> Any:
    """The matrices with row `i` taken from row `places[i]`; the indices are a stack of vectors, and in bounds."""
    shape = shape_of(x)
    rank = len(shape)
    batch = tuple(range(rank - 2))
    numbers = GatherDimensionNumbers((rank - 1,), (rank - 2,), (rank - 2,), batch, batch)
    indices = expand_dims(places, (rank - 1,))
    sizes = (*[1] * (rank - 1), shape[-1])
    return gather(x, indices, numbers, sizes, mode="promise_in_bounds")


def where_succeeded(succeeded: Any, x: Any) -> Any:
    """The matrices, filled with NaN where the boolean of the stack is false."""
    rank = len(shape_of(x))
    on = broadcast_in_dim(succeeded, shape_of(x), range(rank - 2))
    return select(on, x, full_like(x, np.nan))


def permuted_columns(x: Any, places: Any) -> Any:
    """The matrices with column `i` taken from column `places[i]`."""
    return mt(permuted_rows(mt(x), places))


def exchanged(order: Any, i: Any, pivot: Any) -> Any:
    """Stacks of numbers with those at `i` and at `pivot`, which is one for each of the stack, exchanged."""
    shape = shape_of(order)
    axis = len(shape) - 1
    at_pivot = eq(broadcasted_iota(np.int32, shape, axis), broadcast_in_dim(pivot, shape, range(axis)))
    other = reduce_sum(select(at_pivot, order, full_like(order, 0)), (axis,))
    first = dynamic_index_in_dim(order, i, axis, keepdims=False)
    order = select(at_pivot, broadcast_in_dim(first, shape, range(axis)), order)
    return dynamic_update_index_in_dim(order, other, i, axis)


# --- rules ------------------------------------------------------------------------------------


def _batch_first(
    primitive: Primitive, axis: Axis, args: Sequence[Any], dims: Sequence[int | None], **params: Any
) -> tuple[Any, Any]:
    outs = primitive.bind(*[to_axis(x, d, 0, axis.size) for x, d in zip(args, dims)], **params)
    return outs, [0] * len(outs) if primitive.multiple_results else 0


# The `batch` rule of an operation on stacks: the mapped axis is one more dimension of them.
batch_first = SharedRule(_batch_first)


def zeros_like_outputs(outs: Sequence[Any]) -> list[Zero]:
    """The tangents of results that do not depend on anything smoothly."""
    return [Zero(aval_of(out).tangent_aval()) for out in outs]
