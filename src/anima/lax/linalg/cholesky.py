"""Cholesky factors, and their rank-one updates.

Invariant: the matrices are taken for Hermitian: unless they are made so first, their lower triangle is read, and the derivative
holds for changes that keep them Hermitian. A matrix that has no factor gets NaN in the factor's triangle.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from anima.core.aval import ShapedArray
from anima.core.host import LIBRARY
from anima.core.primitive import Missing, Zero
from anima.core.trace import aval_of
from anima.interpreters.zeros import instantiate
from anima.lax.arithmetic import add, div, mul, sub
from anima.lax.compare import eq, ge, gt
from anima.lax.control.looping import fori_loop
from anima.lax.create import broadcasted_iota, full_like
from anima.lax.declare import FLOAT, declare, lowered_by, operand, same_dtypes, widening
from anima.lax.linalg.matrices import (
    FACTORED,
    NARROW,
    batch_first,
    check_batch,
    check_matrix,
    check_vectors,
    ct,
    diagonal_part,
    matmul,
    mt,
    triangle,
    with_mean,
)
from anima.lax.linalg.triangular import triangular_solve
from anima.lax.operands import typed_scalar
from anima.lax.powers import sqrt
from anima.lax.selection import select
from anima.lax.shape import broadcast_in_dim, dtype_of, expand_dims, shape_of
from anima.lax.slicing import dynamic_index_in_dim, dynamic_update_index_in_dim
from anima.lowering.module import Context, Value
from anima.runtime.kernels import call_kernel
from anima.runtime.lapack import call_lapack

# --- factors ----------------------------------------------------------------------------------


def _shape(a: ShapedArray, *, symmetrize_input: bool) -> ShapedArray:
    check_matrix("cholesky", a, "x", FACTORED, square=True)
    return ShapedArray(a.shape, a.dtype, a.weak_type)


def _mean(x: Any) -> Any:
    """The mean of matrices and their adjoints."""
    return mul(add(x, ct(x)), typed_scalar(0.5, dtype_of(x)))


def _lower(ctx: Context, a: Value, *, symmetrize_input: bool) -> Value:
    aval = ctx.out_avals[0]
    assert isinstance(aval, ShapedArray)
    if aval.size == 0:
        return ctx.full(0, aval)
    if ctx.module.kernels_allowed:
        return call_lapack(ctx, "anima_cholesky", (a,), [aval], {"symmetrize": symmetrize_input})[0]
    if symmetrize_input:
        a = lowered_by(_mean)(ctx, a)
    factor = ctx.op("stablehlo.cholesky", (a,), aval, "lower = true")
    return lowered_by(lambda x: triangle(x, lower=True))(ctx, factor)


def half_triangle(x: Any) -> Any:
    """The lower triangle `l` of which `l + l^H` is the Hermitian `x`."""
    return sub(triangle(x, lower=True), mul(diagonal_part(x), typed_scalar(0.5, dtype_of(x))))


def _jvp(primals: Any, tangents: Any, *, symmetrize_input: bool) -> tuple[Any, Any]:
    """From `a = l l^H` follows `l^-1 da l^-H = l^-1 dl + (l^-1 dl)^H`: a triangle and its adjoint."""
    factor = cholesky_p.bind(*primals, symmetrize_input=symmetrize_input)
    (ta,) = tangents
    if type(ta) is Zero:
        return factor, Zero(aval_of(factor).tangent_aval())
    change = _mean(ta) if symmetrize_input else ta
    inner = triangular_solve(factor, change, lower=True, transpose_a=True, conjugate_a=True)
    inner = triangular_solve(factor, inner, left_side=True, lower=True)
    return factor, matmul(factor, half_triangle(inner))


cholesky_p = declare(
    "cholesky",
    shape=_shape,
    lower=widening(NARROW, _lower),
    jvp=_jvp,
    transpose=Missing("it is not linear"),
    batch=batch_first,
    host=LIBRARY,
    dtypes=FACTORED,
)


def cholesky(x: Any, *, symmetrize_input: bool = True) -> Any:
    """The lower triangular matrices `l` with `l @ l^H == x`, for Hermitian positive definite `x`.

    Args:
      x: square matrices.
      symmetrize_input: factor the mean of `x` and its adjoint, which is one of floats if `x` has integers. Otherwise the
        upper triangle is not read, and the derivative takes for granted that `x` is and stays Hermitian.
    Returns:
      An array of the shape of `x`, with zeros above the diagonal, and NaN elsewhere where a matrix is not positive definite.
    Raises:
      TypeError: `x` has less than two dimensions, or is not inexact and no mean is taken. ValueError: the matrices are not square.

    >>> import anima.numpy as np
    >>> from anima import lax
    >>> print(lax.linalg.cholesky(np.array([[4.0, 2.0], [2.0, 5.0]])))
    [[2. 0.]
     [1. 2.]]
    """
    x = with_mean(operand(x)) if symmetrize_input else operand(x)
    return cholesky_p.bind(x, symmetrize_input=bool(symmetrize_input))


# --- updates ----------------------------------------------------------------------------------


def _update_shape(r: ShapedArray, w: ShapedArray) -> ShapedArray:
    name = "cholesky_update"
    same_dtypes(name, (r, w))
    check_matrix(name, r, "r_matrix", FLOAT, square=True)
    check_vectors(name, w, "w_vector", FLOAT)
    check_batch(name, r_matrix=(r, 2), w_vector=(w, 1))
    if w.shape[-1] != r.shape[-1]:
        raise ValueError(
            f"{name}: w_vector must have as many elements as r_matrix has rows, got shapes {r.shape} and {w.shape}"
        )
    return ShapedArray(r.shape, r.dtype, r.weak_type and w.weak_type)


def _rotated(r: Any, w: Any) -> Any:
    """The update by one rotation for each row, which turns the vector's element into the diagonal's."""
    shape = shape_of(r)
    rank, n = len(shape), shape[-1]
    places = broadcasted_iota(np.int32, (*shape[:-2], n), rank - 2)

    def step(i: Any, state: Any) -> Any:
        r, w = state
        row = dynamic_index_in_dim(r, i, rank - 2, keepdims=False)
        d = dynamic_index_in_dim(row, i, rank - 2)
        first = dynamic_index_in_dim(w, i, rank - 2)
        length = sqrt(add(mul(d, d), mul(first, first)))
        idle = eq(first, full_like(first, 0))
        scale = select(idle, full_like(d, 1), length)
        c = broadcast_in_dim(select(idle, full_like(d, 1), div(d, scale)), shape_of(row), range(rank - 1))
        s = broadcast_in_dim(div(first, scale), shape_of(row), range(rank - 1))
        turned = add(mul(c, row), mul(s, w))
        rest = sub(mul(c, w), mul(s, row))
        row = select(ge(places, i), turned, row)
        return dynamic_update_index_in_dim(r, row, i, rank - 2), select(gt(places, i), rest, w)

    return fori_loop(0, n, step, (r, w))[0]


def _update_lower(ctx: Context, r: Value, w: Value) -> Value:
    aval = ctx.out_avals[0]
    assert isinstance(aval, ShapedArray)
    if aval.size == 0:
        return ctx.full(0, aval)
    if ctx.module.kernels_allowed:
        return call_kernel(ctx, "anima_cholesky_update", (r, w), [aval])[0]
    return lowered_by(_rotated)(ctx, r, w)


def _update_jvp(primals: Any, tangents: Any) -> tuple[Any, Any]:
    """As for a factor, of `r^T r + w w^T`. Below the diagonal nothing happens."""
    (r, w), (tr, tw) = primals, map(instantiate, tangents)
    out = cholesky_update_p.bind(r, w)
    rank = len(shape_of(r))
    old, change = triangle(r, lower=False), triangle(tr, lower=False)
    once = matmul(mt(change), old)
    columns, rows = expand_dims(tw, (rank - 1,)), expand_dims(w, (rank - 2,))
    once = add(once, matmul(columns, rows))
    inner = triangular_solve(out, add(once, mt(once)))
    inner = triangular_solve(out, inner, left_side=True, transpose_a=True)
    slope = matmul(mt(half_triangle(inner)), triangle(out, lower=False))
    return out, add(slope, triangle(tr, lower=True, offset=-1))


cholesky_update_p = declare(
    "cholesky_update",
    shape=_update_shape,
    lower=widening(NARROW, _update_lower),
    jvp=_update_jvp,
    transpose=Missing("it is not linear"),
    batch=batch_first,
    dtypes=FLOAT,
)


def cholesky_update(r_matrix: Any, w_vector: Any) -> Any:
    """The Cholesky factors of `r^T r + w w^T`, from upper triangular factors `r` and vectors `w`.

    Args:
      r_matrix: square matrices of real numbers; what is below their diagonals is returned as it is.
      w_vector: vectors.
    Raises:
      TypeError: dtypes differ or are not real, or the stacks differ. ValueError: the sizes do not fit.

    >>> import anima.numpy as np
    >>> from anima import lax
    >>> r = np.array([[3.0, 1.0], [0.0, 2.0]])
    >>> print(lax.linalg.cholesky_update(r, np.array([4.0, 0.0])).round(1))
    [[5.  0.6]
     [0.  2.2]]
    """
    return cholesky_update_p.bind(operand(r_matrix), operand(w_vector))
