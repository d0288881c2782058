"""Triangular systems of equations.

Invariant: only the triangle that `lower` names is read, and with `unit_diagonal` not its diagonal; derivatives with respect to the
rest are zero.
"""

from __future__ import annotations

from typing import Any

from anima import dtypes
from anima.core.aval import ShapedArray
from anima.core.host import LIBRARY
from anima.core.primitive import Zero
from anima.core.trace import aval_of
from anima.errors import ArgumentError
from anima.interpreters.batch import Axis, to_axis
from anima.interpreters.zeros import add as add_tangents
from anima.lax.arithmetic import neg
from anima.lax.declare import INEXACT, declare, lowered_by, operand, same_dtypes, widening
from anima.lax.linalg.matrices import NARROW, check_matrix, conjugated, matmul, mt, triangle
from anima.lax.shape import dtype_of, expand_dims, reshape, shape_of, squeeze
from anima.lowering.module import Context, Value
from anima.runtime.lapack import call_lapack

_NAME = "triangular_solve"


def _shape(a: ShapedArray, b: ShapedArray, *, left_side: bool, **params: bool) -> ShapedArray:
    same_dtypes(_NAME, (a, b))
    check_matrix(_NAME, a, "a", square=True)
    check_matrix(_NAME, b, "b")
    if b.shape[:-2] != a.shape[:-2]:
        raise ArgumentError(
            f"{_NAME}: a and b must be stacks of one shape, got shapes {a.shape} and {b.shape}; broadcast them first"
        )
    if b.shape[-2 if left_side else -1] != a.shape[-1]:
        side, what = ("left", "rows") if left_side else ("right", "columns")
        raise ValueError(
            f"{_NAME}: with a on the {side}, b must have as many {what} as a, got shapes {a.shape} and {b.shape}"
        )
    return ShapedArray(b.shape, b.dtype, a.weak_type and b.weak_type)


def _lower(
    ctx: Context,
    a: Value,
    b: Value,
    *,
    left_side: bool,
    lower: bool,
    transpose_a: bool,
    conjugate_a: bool,
    unit_diagonal: bool,
) -> Value:
    aval = ctx.out_avals[0]
    assert isinstance(aval, ShapedArray)
    if aval.size == 0:
        return ctx.full(0, aval)
    if ctx.module.kernels_allowed:
        flags = {
            "left_side": left_side,
            "lower": lower,
            "transpose_a": transpose_a,
            "conjugate_a": conjugate_a,
            "unit_diagonal": unit_diagonal,
        }
        return call_lapack(ctx, "anima_triangular_solve", (a, b), [aval], flags)[0]
    if conjugate_a and not transpose_a:
        a = lowered_by(conjugated)(ctx, a)
    how = "NO_TRANSPOSE" if not transpose_a else "ADJOINT" if conjugate_a else "TRANSPOSE"
    attrs = (
        f"left_side = {str(left_side).lower()}, lower = {str(lower).lower()}, "
        f"unit_diagonal = {str(unit_diagonal).lower()}, transpose_a = #stablehlo<transpose {how}>"
    )
    return ctx.op("stablehlo.triangular_solve", (a, b), aval, attrs)


def _applied(
    a: Any, x: Any, *, left_side: bool, lower: bool, unit_diagonal: bool, transpose_a: bool, conjugate_a: bool
) -> Any:
    """The product that the equation sets equal to `b`, with what is read of `a`, but without its diagonal of ones."""
    offset = 1 if unit_diagonal else 0
    a = triangle(a, lower=lower, offset=-offset if lower else offset)
    a = conjugated(a) if conjugate_a else a
    a = mt(a) if transpose_a else a
    return matmul(a, x) if left_side else matmul(x, a)


def _jvp(primals: Any, tangents: Any, **params: bool) -> tuple[Any, Any]:
    """From `a x == b` follows `a dx == db - da x`."""
    (a, b), (ta, tb) = primals, tangents
    x = triangular_solve_p.bind(a, b, **params)
    right = tb
    if type(ta) is not Zero:
        right = add_tangents(right, neg(_applied(ta, x, **params)))
    if type(right) is Zero:
        return x, Zero(aval_of(x).tangent_aval())
    return x, triangular_solve_p.bind(a, right, **params)


def _transpose(ct: Any, a: Any, b: Any, *, transpose_a: bool, **params: bool) -> list[Any]:
    return [None, triangular_solve_p.bind(a, ct, transpose_a=not transpose_a, **params)]


def _batch(axis: Axis, args: Any, dims: Any, *, left_side: bool, **params: bool) -> tuple[Any, int]:
    (a, b), (da, db) = args, dims
    if da is not None:
        a, b = to_axis(a, da, 0, axis.size), to_axis(b, db, 0, axis.size)
        return triangular_solve_p.bind(a, b, left_side=left_side, **params), 0
    # One matrix for all: their right-hand sides stand side by side.
    place = len(shape_of(b)) - (2 if left_side else 3)
    b = to_axis(b, db, place, axis.size)
    shape = shape_of(b)
    merged = reshape(b, (*shape[:place], shape[place] * shape[place + 1], *shape[place + 2 :]))
    x = triangular_solve_p.bind(a, merged, left_side=left_side, **params)
    return reshape(x, shape), place


triangular_solve_p = declare(
    _NAME,
    shape=_shape,
    lower=widening(NARROW, _lower),
    jvp=_jvp,
    transpose=_transpose,
    batch=_batch,
    host=LIBRARY,
    dtypes=INEXACT,
)


def triangular_solve(
    a: Any,
    b: Any,
    *,
    left_side: bool = False,
    lower: bool = False,
    transpose_a: bool = False,
    conjugate_a: bool = False,
    unit_diagonal: bool = False,
) -> Any:
    """The solutions `x` of `x @ a == b`, or `a @ x == b`, for triangular matrices `a`.

    Args:
      a: square matrices, of which one triangle is read.
      b: the right-hand sides: matrices, or vectors (one dimension less than `a`).
      left_side: the equation is `a @ x == b`.
      lower: the lower triangle is read, not the upper one.
      transpose_a, conjugate_a: the equation holds for the transpose of `a`, its complex conjugate, or both.
      unit_diagonal: the diagonal is taken for ones.
    Returns:
      An array of the shape of `b`. Where a diagonal has zeros, some elements are infinite or NaN.
    Raises:
      TypeError: dtypes differ or are not inexact, or the stacks differ. ValueError: the matrices do not fit.

    >>> import anima.numpy as np
    >>> from anima import lax
    >>> a = np.array([[2.0, 0.0], [1.0, 4.0]])
    >>> print(lax.linalg.triangular_solve(a, np.array([2.0, 9.0]), left_side=True, lower=True))
    [1. 2.]
    """
    a, b = operand(a), operand(b)
    rank, b_rank = len(shape_of(a)), len(shape_of(b))
    vector = b_rank == rank - 1 and b_rank > 0
    if vector:
        b = expand_dims(b, (b_rank if left_side else b_rank - 1,))
    x = triangular_solve_p.bind(
        a,
        b,
        left_side=bool(left_side),
        lower=bool(lower),
        transpose_a=bool(transpose_a),
        conjugate_a=bool(conjugate_a) and dtypes.is_complex(dtype_of(a)),
        unit_diagonal=bool(unit_diagonal),
    )
    return squeeze(x, (b_rank if left_side else b_rank - 1,)) if vector else x
