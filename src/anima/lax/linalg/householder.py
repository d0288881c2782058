"""Householder reflectors: QR factorisations in their packed form, and products of reflectors.

Invariant: a product of `k` reflectors is `q = h_1 ... h_k` with `h_i = 1 - tau_i v_i v_i^H`. The vectors `v_i` are columns of a
matrix, with zeros above the diagonal and ones on it, of which only what is below the diagonal is stored. In one expression
`q = 1 - v t v^H` with an upper triangular `t` that follows from `v` and `tau`; derivatives come from that.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from anima.core.aval import ShapedArray
from anima.core.primitive import Missing, Zero
from anima.core.trace import aval_of
from anima.interpreters.zeros import add as add_tangents, instantiate
from anima.lax.arithmetic import add, neg, sub
from anima.lax.declare import declare, lowered_by, operand, same_dtypes, widening
from anima.lax.linalg.cuda import call_cuda, cuda_allowed
from anima.lax.linalg.matrices import (
    FACTORED,
    NARROW,
    batch_first,
    block,
    check_batch,
    check_matrix,
    check_vectors,
    conjugated,
    ct,
    eye,
    matmul,
    triangle,
    with_columns,
    with_rows,
)
from anima.lax.linalg.triangular import triangular_solve
from anima.lax.shape import shape_of
from anima.lowering.module import Context, Value
from anima.runtime.lapack import call_lapack

# --- the product in one expression ------------------------------------------------------------


def unit_lower(packed: Any, count: int) -> Any:
    """The vectors of the first `count` reflectors as columns."""
    rows = shape_of(packed)[-2]
    stored = block(packed, (0, rows), (0, count))
    return add(triangle(stored, lower=True, offset=-1), eye(stored, rows, count))


class _Compact(NamedTuple):
    """`q = 1 - v t v^H`, and what the derivative of `t` needs.

    With `s` the part of `v^H v` above the diagonal and `d` the diagonal matrix of the factors `tau`, `t = d m` where `m` is
    the inverse of `1 + s d`.
    """

    v: Any
    t: Any
    s: Any
    m: Any


def _compact(packed: Any, taus: Any) -> _Compact:
    count = shape_of(taus)[-1]
    v = unit_lower(packed, count)
    s = triangle(matmul(ct(v), v), lower=False, offset=1)
    identity = eye(v, count, count)
    m = triangular_solve(with_columns(s, taus), identity, left_side=True, unit_diagonal=True)
    return _Compact(v, with_rows(m, taus), s, m)


def _compact_slope(q: _Compact, d_packed: Any, d_taus: Any) -> tuple[Any, Any]:
    """The changes of `v` and of `t`."""
    count = shape_of(q.m)[-1]
    rows = shape_of(d_packed)[-2]
    d_v = triangle(block(d_packed, (0, rows), (0, count)), lower=True, offset=-1)
    d_s = triangle(add(matmul(ct(d_v), q.v), matmul(ct(q.v), d_v)), lower=False, offset=1)
    scaled = with_rows(q.m, d_taus)
    d_t = sub(sub(scaled, matmul(q.t, matmul(q.s, scaled))), matmul(q.t, matmul(d_s, q.t)))
    return d_v, d_t


# --- householder_product ----------------------------------------------------------------------


def _product_shape(a: ShapedArray, taus: ShapedArray) -> ShapedArray:
    name = "householder_product"
    same_dtypes(name, (a, taus))
    check_matrix(name, a, "a", FACTORED)
    check_vectors(name, taus, "taus", FACTORED)
    check_batch(name, a=(a, 2), taus=(taus, 1))
    rows, columns = a.shape[-2:]
    if rows < columns:
        raise ValueError(f"{name}: a must have at least as many rows as columns, got shape {a.shape}")
    if taus.shape[-1] > columns:
        raise ValueError(
            f"{name}: taus must not have more elements than a has columns, got shapes {taus.shape} and {a.shape}"
        )
    return ShapedArray(a.shape, a.dtype, a.weak_type and taus.weak_type)


def _product(packed: Any, taus: Any) -> Any:
    rows, columns = shape_of(packed)[-2:]
    q = _compact(packed, taus)
    first = block(q.v, (0, columns), (0, shape_of(taus)[-1]))
    return sub(eye(packed, rows, columns), matmul(q.v, matmul(q.t, ct(first))))


def _product_lower(ctx: Context, a: Value, taus: Value) -> Value:
    aval = ctx.out_avals[0]
    assert isinstance(aval, ShapedArray)
    if aval.size == 0:
        return ctx.full(0, aval)
    if ctx.module.kernels_allowed:
        return call_lapack(ctx, "anima_householder_product", (a, taus), [aval])[0]
    if cuda_allowed(ctx) and taus.shape[-1]:
        columns = ({0}, {0})
        return call_cuda(ctx, "cusolver_orgqr_ffi", (a, taus), [aval], columns=columns, in_place={0: 0})[0]
    return lowered_by(_product)(ctx, a, taus)


def _product_jvp(primals: Any, tangents: Any) -> tuple[Any, Any]:
    (a, taus), (ta, tt) = primals, map(instantiate, tangents)
    columns, count = shape_of(a)[-1], shape_of(taus)[-1]
    q = _compact(a, taus)
    d_v, d_t = _compact_slope(q, ta, tt)
    first, d_first = (block(x, (0, columns), (0, count)) for x in (q.v, d_v))
    inner = add(matmul(d_t, ct(first)), matmul(q.t, ct(d_first)))
    slope = add(matmul(d_v, matmul(q.t, ct(first))), matmul(q.v, inner))
    return householder_product_p.bind(a, taus), neg(slope)


householder_product_p = declare(
    "householder_product",
    shape=_product_shape,
    lower=widening(NARROW, _product_lower),
    jvp=_product_jvp,
    transpose=Missing("it is not linear"),
    batch=batch_first,
    dtypes=FACTORED,
)


def householder_product(a: Any, taus: Any) -> Any:
    """The first columns of products of Householder reflectors: orthogonal matrices from their packed form.

    Args:
      a: matrices with at least as many rows as columns: the reflectors' vectors below the diagonal, anything elsewhere.
      taus: vectors of the reflectors' factors, no more than `a` has columns.
    Returns:
      An array of the shape of `a`, whose matrices have orthonormal columns.
    Raises:
      TypeError: dtypes differ or are not inexact, or the stacks differ. ValueError: the sizes do not fit.

    >>> import anima.numpy as np
    >>> from anima import lax
    >>> print(lax.linalg.householder_product(np.array([[0.0], [1.0]]), np.array([1.0])))
    [[ 0.]
     [-1.]]
    """
    return householder_product_p.bind(operand(a), operand(taus))


# --- ormqr ------------------------------------------------------------------------------------


def _ormqr_shape(
    a: ShapedArray, taus: ShapedArray, c: ShapedArray, *, left: bool, transpose: bool
) -> ShapedArray:
    name = "ormqr"
    same_dtypes(name, (a, taus, c))
    check_matrix(name, a, "a", FACTORED)
    check_vectors(name, taus, "taus", FACTORED)
    check_matrix(name, c, "c", FACTORED)
    check_batch(name, a=(a, 2), taus=(taus, 1), c=(c, 2))
    if taus.shape[-1] > min(a.shape[-2:]):
        raise ValueError(
            f"{name}: taus must not have more elements than a has rows or columns, got shapes {taus.shape} and {a.shape}"
        )
    if c.shape[-2 if left else -1] != a.shape[-2]:
        what = "rows" if left else "columns"
        raise ValueError(
            f"{name} with left={left}: c must have as many {what} as a has rows, got shapes {a.shape} and {c.shape}"
        )
    return ShapedArray(c.shape, c.dtype, a.weak_type and taus.weak_type and c.weak_type)


def _around(left: Any, middle: Any, right: Any, c: Any, on_left: bool) -> Any:
    """The product of three factors, from the left or from the right, with `c`."""
    if on_left:
        return matmul(left, matmul(middle, matmul(right, c)))
    return matmul(matmul(matmul(c, left), middle), right)


def _multiplied(a: Any, taus: Any, c: Any, left: bool, transpose: bool) -> Any:
    q = _compact(a, taus)
    return sub(c, _around(q.v, ct(q.t) if transpose else q.t, ct(q.v), c, left))


def _ormqr_lower(ctx: Context, a: Value, taus: Value, c: Value, *, left: bool, transpose: bool) -> Value:
    aval = ctx.out_avals[0]
    assert isinstance(aval, ShapedArray)
    if aval.size == 0 or taus.shape[-1] == 0:
        return c
    flags = {"left": left, "transpose": transpose}
    if ctx.module.kernels_allowed:
        return call_lapack(ctx, "anima_ormqr", (a, taus, c), [aval], flags)[0]
    if cuda_allowed(ctx):
        columns = ({0, 2}, {0})
        return call_cuda(
            ctx, "cusolver_ormqr_ffi", (a, taus, c), [aval], flags, columns=columns, in_place={0: 2}
        )[0]
    return lowered_by(_multiplied)(ctx, a, taus, c, **flags)


def _ormqr_jvp(primals: Any, tangents: Any, *, left: bool, transpose: bool) -> tuple[Any, Any]:
    (a, taus, c), (ta, tt, tc) = primals, tangents
    flags = {"left": left, "transpose": transpose}
    out = ormqr_p.bind(a, taus, c, **flags)
    slope = tc if type(tc) is Zero else ormqr_p.bind(a, taus, tc, **flags)
    if type(ta) is not Zero or type(tt) is not Zero:
        q = _compact(a, taus)
        d_v, d_t = _compact_slope(q, instantiate(ta), instantiate(tt))
        t, d_t = (ct(x) if transpose else x for x in (q.t, d_t))
        parts = ((d_v, t, ct(q.v)), (q.v, d_t, ct(q.v)), (q.v, t, ct(d_v)))
        for part in parts:
            slope = add_tangents(slope, neg(_around(*part, c, left)))
    return out, Zero(aval_of(out).tangent_aval()) if type(slope) is Zero else slope


def _ormqr_transpose(ct: Any, a: Any, taus: Any, c: Any, *, left: bool, transpose: bool) -> list[Any]:
    """The transpose of multiplying by a matrix is multiplying by its transpose: its adjoint, between conjugates."""
    moved = ormqr_p.bind(a, taus, conjugated(ct), left=left, transpose=not transpose)
    return [None, None, conjugated(moved)]


ormqr_p = declare(
    "ormqr",
    shape=_ormqr_shape,
    lower=widening(NARROW, _ormqr_lower),
    jvp=_ormqr_jvp,
    transpose=_ormqr_transpose,
    batch=batch_first,
    dtypes=FACTORED,
)


def ormqr(a: Any, taus: Any, c: Any, *, left: bool = True, transpose: bool = False) -> Any:
    """The products of matrices with the square orthogonal matrices `q` that are products of Householder reflectors.

    Args:
      a: matrices: the reflectors' vectors below the diagonal, anything elsewhere.
      taus: vectors of the reflectors' factors, no more than `a` has rows or columns.
      c: the matrices to multiply.
      left: compute `q @ c`, not `c @ q`.
      transpose: multiply by the adjoint of `q`.
    Returns:
      An array of the shape of `c`.
    Raises:
      TypeError: dtypes differ or are not inexact, or the stacks differ. ValueError: the sizes do not fit.

    >>> import anima.numpy as np
    >>> from anima import lax
    >>> print(lax.linalg.ormqr(np.array([[0.0], [1.0]]), np.array([1.0]), np.array([[2.0], [3.0]])))
    [[-3.]
     [-2.]]
    """
    return ormqr_p.bind(operand(a), operand(taus), operand(c), left=bool(left), transpose=bool(transpose))
