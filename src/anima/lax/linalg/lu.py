"""LU factors with partial pivoting.

Invariant: `lu_p` gives both factors in one array, the exchanges of rows one after the other, and the permutation that they amount
to, `x[permutation] == l @ u`. The permutation counts as constant in derivatives.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from anima import dtypes
from anima.core.aval import ShapedArray
from anima.core.primitive import Missing, Zero
from anima.lax.arguments import check_integers
from anima.lax.arithmetic import abs as abs_of, add, div, mul, sub
from anima.lax.bitwise import bitwise_and
from anima.lax.compare import eq, ge, gt
from anima.lax.complex_parts import imag, real
from anima.lax.control.looping import fori_loop
from anima.lax.create import broadcasted_iota, full, full_like
from anima.lax.declare import check_dtype, declare, lowered_by, no_tangent, operand, widening
from anima.lax.joining import concatenate
from anima.lax.linalg.cuda import call_cuda, call_status, cuda_allowed
from anima.lax.linalg.matrices import (
    FACTORED,
    NARROW,
    above,
    batch_first,
    beside,
    block,
    check_matrix,
    exchanged,
    eye,
    matmul,
    permuted_rows,
    triangle,
    where_succeeded,
    zeros_like_outputs,
)
from anima.lax.linalg.triangular import triangular_solve
from anima.lax.reductions import argmax
from anima.lax.selection import select
from anima.lax.shape import broadcast_in_dim, dtype_of, expand_dims, reshape, shape_of
from anima.lax.slicing import dynamic_index_in_dim, dynamic_update_index_in_dim, slice_in_dim
from anima.lowering.module import Context, Value
from anima.runtime.kernels import call_kernel
from anima.runtime.lapack import call_lapack

_I32 = np.dtype(np.int32)

# --- pivots -----------------------------------------------------------------------------------


def _permutation_shape(pivots: ShapedArray, *, permutation_size: int) -> ShapedArray:
    name = "lu_pivots_to_permutation"
    check_dtype(name, pivots, ("int32",), "pivots")
    if pivots.ndim < 1:
        raise TypeError(f"{name}: pivots must have at least 1 dimension, got a scalar")
    if permutation_size < pivots.shape[-1]:
        raise ValueError(
            f"{name}: permutation_size must not be less than the number of pivots, got {permutation_size} for pivots of "
            f"shape {pivots.shape}"
        )
    return ShapedArray((*pivots.shape[:-1], permutation_size), _I32)


def _permutation(pivots: Any, permutation_size: int) -> Any:
    *stack, count = shape_of(pivots)
    axis = len(stack)
    start = broadcasted_iota(np.int32, (*stack, permutation_size), axis)
    step = lambda i, order: exchanged(order, i, dynamic_index_in_dim(pivots, i, axis, keepdims=False))
    return fori_loop(0, count, step, start)


def _permutation_lower(ctx: Context, pivots: Value, *, permutation_size: int) -> Value:
    aval = ctx.out_avals[0]
    if ctx.module.kernels_allowed:
        return call_kernel(ctx, "anima_pivots_to_permutation", (pivots,), [aval])[0]
    if cuda_allowed(ctx) and pivots.aval.size:  # type: ignore[attr-defined]
        return call_cuda(ctx, "cu_lu_pivots_to_permutation", (pivots,), [aval])[0]
    return lowered_by(_permutation)(ctx, pivots, permutation_size=permutation_size)


lu_pivots_to_permutation_p = declare(
    "lu_pivots_to_permutation",
    shape=_permutation_shape,
    lower=_permutation_lower,
    jvp=no_tangent,
    transpose=Missing("it is not linear"),
    batch=batch_first,
    dtypes=("int32",),
)


def lu_pivots_to_permutation(pivots: Any, permutation_size: int) -> Any:
    """The permutation that exchanges of rows amount to.

    Args:
      pivots: vectors of int32; the `i`-th exchange is that of row `i` with row `pivots[i]`, counted from 0 and in bounds.
      permutation_size: the number of rows, at least that of pivots.
    Returns:
      Vectors of int32: for each place the number of the row that comes to it.
    Raises:
      TypeError: `pivots` has another dtype, or is a scalar; the number is no integer. ValueError: there are more pivots than rows.

    >>> import anima.numpy as np
    >>> from anima import lax
    >>> print(lax.linalg.lu_pivots_to_permutation(np.array([2, 2], "int32"), 3))
    [2 0 1]
    """
    (size,) = check_integers("lu_pivots_to_permutation", (permutation_size,), "permutation_size")
    return lu_pivots_to_permutation_p.bind(operand(pivots), permutation_size=size)


# --- factors ----------------------------------------------------------------------------------

_BLOCK = 64  # columns factored before the others are brought up to date with them


def _shape(x: ShapedArray) -> list[ShapedArray]:
    check_matrix("lu", x, "x", FACTORED)
    *stack, rows, columns = x.shape
    return [
        ShapedArray(x.shape, x.dtype, x.weak_type),
        ShapedArray((*stack, min(rows, columns)), _I32, x.weak_type),
        ShapedArray((*stack, rows), _I32, x.weak_type),
    ]


def _magnitude(x: Any) -> Any:
    """What pivots are compared by, as LAPACK does it."""
    if dtypes.is_complex(dtype_of(x)):
        return add(abs_of(real(x)), abs_of(imag(x)))
    return abs_of(x)


def _panel(x: Any) -> tuple[Any, Any, Any]:
    """Factors, pivots and permutation, by one column after the other."""
    shape = shape_of(x)
    *stack, rows, columns = shape
    rank, count = len(shape), min(rows, columns)
    row_of, column_of = (broadcasted_iota(np.int32, shape, d) for d in (rank - 2, rank - 1))
    vector_rows = broadcasted_iota(np.int32, (*stack, rows), rank - 2)

    def step(i: Any, state: Any) -> Any:
        x, pivots, order = state
        size = _magnitude(dynamic_index_in_dim(x, i, rank - 1, keepdims=False))
        pivot = argmax(select(ge(vector_rows, i), size, full_like(size, -1)), rank - 2, np.int32)
        x = permuted_rows(x, exchanged(vector_rows, i, pivot))
        row, column = dynamic_index_in_dim(x, i, rank - 2), dynamic_index_in_dim(x, i, rank - 1)
        diagonal = broadcast_in_dim(dynamic_index_in_dim(row, i, rank - 1), shape_of(column), range(rank))
        column = select(eq(diagonal, full_like(diagonal, 0)), column, div(column, diagonal))
        zeros = full_like(x, 0)
        below = gt(row_of, i)
        factors = select(below, broadcast_in_dim(column, shape, range(rank)), zeros)
        right = select(gt(column_of, i), broadcast_in_dim(row, shape, range(rank)), zeros)
        x = sub(x, mul(factors, right))
        x = select(bitwise_and(below, eq(column_of, i)), factors, x)
        return x, dynamic_update_index_in_dim(pivots, pivot, i, rank - 2), exchanged(order, i, pivot)

    return fori_loop(0, count, step, (x, full((*stack, count), 0, np.int32), vector_rows))


def _factored(x: Any) -> list[Any]:
    """Factors, pivots and permutation, by blocks of columns from the left to the right."""
    *stack, rows, columns = shape_of(x)
    axis, count = len(stack), min(rows, columns)
    pivots, order = [], broadcasted_iota(np.int32, (*stack, rows), axis)
    for start in range(0, count, _BLOCK):
        end = min(start + _BLOCK, count)
        panel, exchanges, places = _panel(block(x, (start, rows), (start, end)))
        pivots.append(add(exchanges, np.int32(start)))
        done = slice_in_dim(order, 0, start, axis=axis)
        rest = expand_dims(slice_in_dim(order, start, rows, axis=axis), (axis + 1,))
        moved = permuted_rows(rest, places)
        order = concatenate([done, reshape(moved, shape_of(moved)[:-1])], axis)
        parts = [permuted_rows(block(x, (start, rows), (0, start)), places), panel]
        if end < columns:
            right = permuted_rows(block(x, (start, rows), (end, columns)), places)
            size = end - start
            first = triangular_solve(
                block(panel, (0, size), (0, size)),
                block(right, (0, size), (0, columns - end)),
                left_side=True,
                lower=True,
                unit_diagonal=True,
            )
            below = block(panel, (size, rows - start), (0, size))
            others = block(right, (size, rows - start), (0, columns - end))
            parts.append(above(first, sub(others, matmul(below, first))))
        x = above(block(x, (0, start), (0, columns)), beside(*parts))
    return [x, concatenate(pivots, axis), order]


def _lower(ctx: Context, x: Value) -> list[Value]:
    outs = list(ctx.out_avals)
    if x.aval.size == 0:  # type: ignore[attr-defined]
        order = outs[2]
        assert isinstance(order, ShapedArray)
        places = lowered_by(lambda: broadcasted_iota(np.int32, order.shape, order.ndim - 1))(ctx)
        return [*(ctx.full(0, a) for a in outs[:2]), places]  # type: ignore[arg-type]
    if ctx.module.kernels_allowed:
        return call_lapack(ctx, "anima_lu", (x,), outs)
    if not cuda_allowed(ctx):
        return lowered_by(_factored)(ctx, x)
    factors, pivots, status = call_cuda(
        ctx, "cusolver_getrf_ffi", (x,), [*outs[:2], call_status(x.aval)], columns=({0}, {0}), in_place={0: 0}
    )
    pivots, factors = lowered_by(_from_lapack)(ctx, pivots, factors, status)
    ctx.out_avals = outs[2:]
    return [factors, pivots, _permutation_lower(ctx, pivots, permutation_size=x.shape[-2])]


def _from_lapack(pivots: Any, factors: Any, status: Any) -> list[Any]:
    """Pivots counted from 0, and NaN where the call failed."""
    return [sub(pivots, np.int32(1)), where_succeeded(ge(status, np.int32(0)), factors)]


def _jvp(primals: Any, tangents: Any) -> tuple[list[Any], list[Any]]:
    """From `p x = l u` follows `l^-1 p dx u^-1 = l^-1 dl + du u^-1`: a strictly lower and an upper triangle.

    So it is for the square block at the top left; rows below it, or columns to its right, follow from the product rule.
    """
    outs = lu_p.bind(*primals)
    tangents_out: list[Any] = zeros_like_outputs(outs)
    if type(tangents[0]) is Zero:
        return outs, tangents_out
    packed, _, order = outs
    change = permuted_rows(tangents[0], order)
    rows, columns = shape_of(packed)[-2:]
    k = min(rows, columns)
    square = block(packed, (0, k), (0, k))
    left = {"left_side": True, "lower": True, "unit_diagonal": True}
    inner = triangular_solve(square, triangular_solve(square, block(change, (0, k), (0, k))), **left)
    unit = add(triangle(square, lower=True, offset=-1), eye(square, k, k))
    d_l = matmul(unit, triangle(inner, lower=True, offset=-1))
    d_u = matmul(triangle(inner, lower=False), triangle(square, lower=False))
    total = add(d_l, d_u)
    if rows > k:
        below = sub(block(change, (k, rows), (0, k)), matmul(block(packed, (k, rows), (0, k)), d_u))
        total = above(total, triangular_solve(square, below))
    if columns > k:
        right = sub(block(change, (0, k), (k, columns)), matmul(d_l, block(packed, (0, k), (k, columns))))
        total = beside(total, triangular_solve(square, right, **left))
    return outs, [total, *tangents_out[1:]]


lu_p = declare(
    "lu",
    shape=_shape,
    lower=widening(NARROW, _lower),
    jvp=_jvp,
    transpose=Missing("it is not linear"),
    batch=batch_first,
    multiple_results=True,
    dtypes=FACTORED,
)


def lu(x: Any) -> tuple[Any, Any, Any]:
    """The factors `l` and `u` with `x[permutation] == l @ u`, the rows being exchanged for the largest pivots.

    Args:
      x: matrices, square or not.
    Returns:
      Both factors in an array of the shape of `x`: the upper one on and above the diagonal, and the lower one, whose diagonal is
      of ones, below it; the row that each row was exchanged with, one after the other; the permutation of rows.
    Raises:
      TypeError: `x` is not inexact or has less than two dimensions.

    >>> import anima.numpy as np
    >>> from anima import lax
    >>> factors, pivots, permutation = lax.linalg.lu(np.array([[1.0, 2.0], [2.0, 6.0]]))
    >>> print(factors, pivots, permutation)
    [[ 2.   6. ]
     [ 0.5 -1. ]] [1 1] [1 0]
    """
    factors, pivots, permutation = lu_p.bind(operand(x))
    return factors, pivots, permutation
