"""Systems of equations, and LU factors in the form that serves for them.

Invariant: what LAPACK sees of a row-major matrix is its transpose, so `transposed_lu_p` factors the transpose of each matrix and
keeps the factors transposed: on CPU devices nothing is moved. Its results have no derivatives; `solve` has them from the
equation itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from anima.core.aval import ShapedArray
from anima.core.host import LIBRARY
from anima.core.primitive import Missing
from anima.interpreters.batch import Axis, to_axis
from anima.lax.control.linear_solve import custom_linear_solve
from anima.lax.create import broadcasted_iota
from anima.lax.declare import declare, lowered_by, same_dtypes, widening
from anima.lax.identity import stop_gradient
from anima.lax.linalg.lu import lu, lu_pivots_to_permutation
from anima.lax.linalg.matrices import (
    FACTORED,
    NARROW,
    batch_first,
    check_batch,
    check_matrix,
    check_vectors,
    matmul,
    mt,
    permuted_rows,
)
from anima.lax.linalg.triangular import triangular_solve
from anima.lax.shape import reshape, shape_of
from anima.lax.sorting import sort_key_val
from anima.lowering.module import Context, Value
from anima.runtime.lapack import call_lapack

_I32 = np.dtype(np.int32)
_NO_DERIVATIVE = Missing("lax.linalg.solving.solve is differentiated instead, by the equation that it solves")

# --- factors ----------------------------------------------------------------------------------


def _shape(a: ShapedArray) -> list[ShapedArray]:
    check_matrix("transposed_lu", a, "a", FACTORED, square=True)
    return [ShapedArray(a.shape, a.dtype, a.weak_type), ShapedArray(a.shape[:-1], _I32)]


def _factored(a: Any) -> list[Any]:
    factors, pivots, _ = lu(mt(a))
    return [mt(factors), pivots]


def _lower(ctx: Context, a: Value) -> list[Value]:
    if ctx.module.kernels_allowed and a.aval.size:  # type: ignore[attr-defined]
        return call_lapack(ctx, "anima_transposed_lu", (a,), list(ctx.out_avals))
    return lowered_by(_factored)(ctx, a)


transposed_lu_p = declare(
    "transposed_lu",
    shape=_shape,
    lower=widening(NARROW, _lower),
    jvp=_NO_DERIVATIVE,
    transpose=_NO_DERIVATIVE,
    batch=batch_first,
    multiple_results=True,
    host=LIBRARY,
    dtypes=FACTORED,
)


def transposed_lu(a: Any) -> tuple[Any, Any]:
    """Factors and pivots of the transposes of square matrices, `a^T[permutation] == l @ u`; as constants, without derivatives.

    Returns:
      The transposes of `l` and `u` in one array: that of `u` on and below the diagonal, that of `l`, whose diagonal is of
      ones, above it; and the exchanges of rows, counted from 0.
    """
    factors, pivots = transposed_lu_p.bind(stop_gradient(a))
    return factors, pivots


# --- equations --------------------------------------------------------------------------------


def _solve_shape(
    factors: ShapedArray, pivots: ShapedArray, b: ShapedArray, *, transpose_a: bool
) -> ShapedArray:
    name = "transposed_lu_solve"
    same_dtypes(name, (factors, b))
    check_matrix(name, factors, "factors", FACTORED, square=True)
    check_vectors(name, pivots, "pivots", ("int32",))
    check_matrix(name, b, "b", FACTORED)
    check_batch(name, factors=(factors, 2), pivots=(pivots, 1), b=(b, 2))
    if b.shape[-2] != factors.shape[-1]:
        raise ValueError(f"{name}: b must have as many rows as a, got shapes {factors.shape} and {b.shape}")
    return ShapedArray(b.shape, b.dtype)


def _solved(factors: Any, pivots: Any, b: Any, transpose_a: bool) -> Any:
    """With `p a^T = l u`: from `a = u^T l^T p`, or from `a^T = p^T l u`."""
    order = lu_pivots_to_permutation(pivots, shape_of(pivots)[-1])
    if transpose_a:
        b = permuted_rows(b, order)
        b = triangular_solve(factors, b, left_side=True, transpose_a=True, unit_diagonal=True)
        return triangular_solve(factors, b, left_side=True, lower=True, transpose_a=True)
    b = triangular_solve(factors, b, left_side=True, lower=True)
    b = triangular_solve(factors, b, left_side=True, unit_diagonal=True)
    shape = shape_of(order)
    _, places = sort_key_val(order, broadcasted_iota(np.int32, shape, len(shape) - 1))
    return permuted_rows(b, places)


def _solve_lower(ctx: Context, factors: Value, pivots: Value, b: Value, *, transpose_a: bool) -> Value:
    aval = ctx.out_avals[0]
    assert isinstance(aval, ShapedArray)
    if aval.size == 0:
        return ctx.full(0, aval)
    flags = {"transpose_a": transpose_a}
    if ctx.module.kernels_allowed:
        return call_lapack(ctx, "anima_transposed_lu_solve", (factors, pivots, b), [aval], flags)[0]
    return lowered_by(_solved)(ctx, factors, pivots, b, transpose_a=transpose_a)


def _solve_batch(axis: Axis, args: Any, dims: Any, *, transpose_a: bool) -> tuple[Any, int]:
    factors, pivots, b = args
    if dims[0] is not None or dims[1] is not None:
        moved = [to_axis(x, d, 0, axis.size) for x, d in zip(args, dims)]
        return transposed_lu_solve_p.bind(*moved, transpose_a=transpose_a), 0
    # One matrix for all: their right-hand sides stand side by side.
    place = len(shape_of(b)) - 2
    b = to_axis(b, dims[2], place, axis.size)
    shape = shape_of(b)
    merged = reshape(b, (*shape[:place], shape[place] * shape[place + 1]))
    x = transposed_lu_solve_p.bind(factors, pivots, merged, transpose_a=transpose_a)
    return reshape(x, shape), place


transposed_lu_solve_p = declare(
    "transposed_lu_solve",
    shape=_solve_shape,
    lower=widening(NARROW, _solve_lower),
    jvp=_NO_DERIVATIVE,
    transpose=_NO_DERIVATIVE,
    batch=_solve_batch,
    host=LIBRARY,
    dtypes=FACTORED,
)


def solve(a: Any, b: Any, factored: tuple[Any, Any] | None = None) -> Any:
    """The solutions `x` of `a @ x == b` for stacks of square matrices of one shape and matrices `b`.

    `factored`: what `transposed_lu` gives for `a`, where that is known.
    """
    factors, pivots = transposed_lu(a) if factored is None else factored

    def solver(transpose_a: bool) -> Any:
        return lambda _, b: transposed_lu_solve_p.bind(factors, pivots, b, transpose_a=transpose_a)

    return custom_linear_solve(lambda x: matmul(a, x), b, solve=solver(False), transpose_solve=solver(True))
