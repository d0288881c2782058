"""QR factorisations, with and without pivoting of columns.

Invariant: factors are those of LAPACK: `q` is a product of Householder reflectors, and the diagonal of `r` is real. Derivatives hold
where the first columns of a matrix, as many as it has rows at most, are linearly independent.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from anima import dtypes
from anima.core.aval import ShapedArray
from anima.core.host import LIBRARY
from anima.core.primitive import Missing, Primitive, Zero
from anima.lax.arithmetic import add, div, mul, neg, sub
from anima.lax.compare import eq, ge, gt, lt
from anima.lax.complex_parts import complex, imag, real
from anima.lax.control.looping import fori_loop
from anima.lax.convert import convert_element_type
from anima.lax.create import broadcasted_iota, full, full_like
from anima.lax.declare import SharedRule, declare, lowered_by, operand, widening
from anima.lax.linalg.cuda import call_cuda, cuda_allowed
from anima.lax.linalg.householder import householder_product, householder_product_p, unit_lower
from anima.lax.linalg.matrices import (
    FACTORED,
    NARROW,
    above,
    batch_first,
    beside,
    block,
    check_matrix,
    conjugated,
    ct,
    diagonal,
    diagonal_part,
    exchanged,
    eye,
    matmul,
    permuted_columns,
    triangle,
    with_rows,
    zeros_like_outputs,
)
from anima.lax.linalg.triangular import triangular_solve
from anima.lax.powers import sqrt
from anima.lax.reductions import argmax, reduce_sum
from anima.lax.selection import select
from anima.lax.shape import broadcast_in_dim, dtype_of, expand_dims, shape_of
from anima.lax.slicing import dynamic_index_in_dim, dynamic_update_index_in_dim
from anima.lowering.module import Context, Value
from anima.runtime.lapack import call_lapack

_I32 = np.dtype(np.int32)

# --- packed factors ---------------------------------------------------------------------------


def _packed_shape(name: str, x: ShapedArray, pivoting: bool) -> list[ShapedArray]:
    check_matrix(name, x, "x", FACTORED)
    *stack, rows, columns = x.shape
    places = [ShapedArray((*stack, columns), _I32, x.weak_type)] if pivoting else []
    taus = ShapedArray((*stack, min(rows, columns)), x.dtype, x.weak_type)
    return [ShapedArray(x.shape, x.dtype, x.weak_type), *places, taus]


def _real(x: Any) -> Any:
    return real(x) if dtypes.is_complex(dtype_of(x)) else x


def _like(x: Any, like: Any) -> Any:
    """Real numbers in the dtype of others."""
    return complex(x, full_like(x, 0)) if dtypes.is_complex(dtype_of(like)) else x


def _squares(x: Any) -> Any:
    return add(mul(real(x), real(x)), mul(imag(x), imag(x))) if dtypes.is_complex(dtype_of(x)) else mul(x, x)


def _reflector(column: Any, i: Any) -> tuple[Any, Any, Any]:
    """The reflector that leaves one number at `i` of a vector and zeros behind it.

    Returns:
      Its vector, 0 before `i` and 1 there; its factor; the number.
    """
    shape = shape_of(column)
    axis = len(shape) - 1
    places = broadcasted_iota(np.int32, shape, axis)
    spread = lambda v: broadcast_in_dim(v, shape, range(axis))
    zeros = full_like(column, 0)
    behind = select(gt(places, i), column, zeros)
    first = dynamic_index_in_dim(column, i, axis, keepdims=False)
    rest = reduce_sum(_squares(behind), (axis,))
    length = sqrt(add(_squares(first), rest))
    # Nothing to do where there are only zeros behind a real number.
    other = add(rest, mul(imag(first), imag(first))) if dtypes.is_complex(dtype_of(column)) else rest
    idle = eq(other, full_like(other, 0))
    beta = _like(select(lt(_real(first), full_like(rest, 0)), length, neg(length)), column)
    safe_beta = select(idle, full_like(beta, 1), beta)
    tau = select(idle, full_like(beta, 0), div(sub(beta, first), safe_beta))
    scale = select(idle, full_like(beta, 1), sub(first, beta))
    vector = select(eq(places, i), full_like(column, 1), div(behind, spread(scale)))
    return vector, tau, select(idle, first, beta)


def _factored(x: Any, pivoting: bool) -> list[Any]:
    """The packed factors by one reflector after the other; with pivoting, for the longest column that is left."""
    shape = shape_of(x)
    *stack, rows, columns = shape
    rank, count = len(shape), min(rows, columns)
    row_of, column_of = (broadcasted_iota(np.int32, shape, d) for d in (rank - 2, rank - 1))
    zeros = full_like(x, 0)

    def step(i: Any, state: Any) -> Any:
        x, places, taus = state
        if pivoting:
            lengths = reduce_sum(_squares(select(ge(row_of, i), x, zeros)), (rank - 2,))
            left = ge(broadcasted_iota(np.int32, shape_of(lengths), rank - 2), i)
            pivot = argmax(select(left, lengths, full_like(lengths, -1)), rank - 2, np.int32)
            exchange = exchanged(broadcasted_iota(np.int32, shape_of(places), rank - 2), i, pivot)
            x, places = permuted_columns(x, exchange), exchanged(places, i, pivot)
        column = dynamic_index_in_dim(x, i, rank - 1, keepdims=False)
        vector, tau, number = _reflector(column, i)
        v = expand_dims(vector, (rank - 1,))
        product = matmul(ct(v), x)
        factor = broadcast_in_dim(conjugated(tau), shape_of(product), range(rank - 2))
        x = select(gt(column_of, i), sub(x, matmul(v, mul(factor, product))), x)
        stored = select(gt(broadcasted_iota(np.int32, shape_of(column), rank - 2), i), vector, column)
        stored = dynamic_update_index_in_dim(stored, number, i, rank - 2)
        x = dynamic_update_index_in_dim(x, stored, i, rank - 1)
        return x, places, dynamic_update_index_in_dim(taus, tau, i, rank - 2)

    places = broadcasted_iota(np.int32, (*stack, columns), rank - 2)
    taus = full((*stack, count), 0, dtype_of(x))
    x, places, taus = fori_loop(0, count, step, (x, places, taus))
    return [x, places, taus] if pivoting else [x, taus]


def _packed_lower(ctx: Context, x: Value, pivoting: bool) -> list[Value]:
    outs = list(ctx.out_avals)
    if x.aval.size == 0:  # type: ignore[attr-defined]
        return lowered_by(_nothing)(ctx, x, pivoting=pivoting)
    if ctx.module.kernels_allowed:
        return call_lapack(ctx, "anima_geqp3" if pivoting else "anima_geqrf", (x,), outs)
    if cuda_allowed(ctx) and not pivoting:
        return call_cuda(ctx, "cusolver_geqrf_ffi", (x,), outs, columns=({0}, {0}), in_place={0: 0})
    return lowered_by(_factored)(ctx, x, pivoting=pivoting)


def _packed_jvp(primitive: Primitive, primals: Any, tangents: Any) -> tuple[list[Any], list[Any]]:
    outs = primitive.bind(*primals)
    none: list[Any] = zeros_like_outputs(outs)
    if type(tangents[0]) is Zero:
        return outs, none
    change = permuted_columns(tangents[0], outs[1]) if len(outs) == 3 else tangents[0]
    d_packed, d_taus = _packed_slopes(outs[0], outs[-1], change)
    return outs, [d_packed, *none[1:-1], d_taus]


def _packed(name: str, pivoting: bool) -> Primitive:
    return declare(
        name,
        shape=lambda x: _packed_shape(name, x, pivoting),
        lower=widening(NARROW, lambda ctx, x: _packed_lower(ctx, x, pivoting)),
        jvp=SharedRule(_packed_jvp),
        transpose=Missing("it is not linear"),
        batch=batch_first,
        multiple_results=True,
        dtypes=FACTORED,
    )


def _nothing(x: Any, pivoting: bool) -> list[Any]:
    """The packed factors of matrices without elements."""
    *stack, rows, columns = shape_of(x)
    places = [broadcasted_iota(np.int32, (*stack, columns), len(stack))] if pivoting else []
    return [x, *places, full((*stack, min(rows, columns)), 0, dtype_of(x))]


def _skew(x: Any) -> Any:
    """The skew-Hermitian matrices with the same strictly lower triangles and imaginary parts of diagonals."""
    below = triangle(x, lower=True, offset=-1)
    skew = sub(below, ct(below))
    if dtypes.is_complex(dtype_of(x)):
        imaginary = imag(diagonal_part(x))
        skew = add(skew, complex(full_like(imaginary, 0), imaginary))
    return skew


def _slopes(q: Any, r: Any, change: Any) -> tuple[Any, Any]:
    """The changes of `q` and `r`, with as many columns of `q` as its matrices have rows or the changed ones columns.

    From `x = q r` follows `q^H dx r^-1 = q^H dq + dr r^-1` on the square block of `r` at the left, where `q^H dq` is
    skew-Hermitian and the other term upper triangular with a real diagonal.
    """
    k, columns = shape_of(r)[-2:]
    rows = shape_of(q)[-2]
    square = block(r, (0, k), (0, k))
    scaled = triangular_solve(square, block(change, (0, rows), (0, k)))
    inner = matmul(ct(q), scaled)
    skew = _skew(inner)
    rest = sub(inner, skew)
    d_q = add(matmul(q, sub(skew, inner)), scaled)
    d_r = triangle(matmul(rest, square), lower=False)
    if columns > k:
        right = matmul(ct(q), block(change, (0, rows), (k, columns)))
        d_r = beside(d_r, sub(right, matmul(skew, block(r, (0, k), (k, columns)))))
    return d_q, d_r


def _packed_slopes(packed: Any, taus: Any, change: Any) -> tuple[Any, Any]:
    """The changes of the packed factors and of the reflectors' factors.

    With the reflectors' vectors `v`, `q - 1 = -v t v^H` means that the first columns of `q - 1` are the product of the lower
    triangular `v` and an upper triangle `w`, whose diagonal is that of `-t`: an LU factorisation without pivoting.
    """
    rows, columns = shape_of(packed)[-2:]
    k = min(rows, columns)
    v = unit_lower(packed, k)
    q = householder_product(block(packed, (0, rows), (0, k)), taus)
    d_q, d_r = _slopes(q, triangle(block(packed, (0, k), (0, columns)), lower=False), change)
    left = {"left_side": True, "lower": True, "unit_diagonal": True}
    top = block(v, (0, k), (0, k))
    w = triangular_solve(top, block(sub(q, eye(q, rows, k)), (0, k), (0, k)), **left)
    # A reflector that does nothing, as the last one of a square real matrix, leaves a zero there, and any number serves.
    idle = convert_element_type(eq(taus, full_like(taus, 0)), dtype_of(taus))
    w = add(triangle(w, lower=False), with_rows(eye(w, k, k), idle))
    inner = triangular_solve(w, triangular_solve(top, block(d_q, (0, k), (0, k)), **left))
    d_top = matmul(top, triangle(inner, lower=True, offset=-1))
    d_w = matmul(triangle(inner, lower=False), w)
    parts = [d_top]
    if rows > k:
        below = sub(block(d_q, (k, rows), (0, k)), matmul(block(v, (k, rows), (0, k)), d_w))
        parts.append(triangular_solve(w, below))
    d_v = above(*parts)
    if columns > k:
        d_v = beside(d_v, full_like(block(packed, (0, rows), (k, columns)), 0))
    if rows > k:
        d_r = above(d_r, full_like(block(packed, (k, rows), (0, columns)), 0))
    return add(d_v, d_r), neg(diagonal(d_w))


geqrf_p = _packed("geqrf", False)
geqp3_p = _packed("geqp3", True)


def geqrf(x: Any) -> tuple[Any, Any]:
    """The packed QR factorisations of matrices: `r` on and above the diagonal with reflectors below it, and their factors."""
    packed, taus = geqrf_p.bind(operand(x))
    return packed, taus


def geqp3(x: Any) -> tuple[Any, Any, Any]:
    """As `geqrf`, with columns exchanged so that `r` has a falling diagonal; the second result is their permutation."""
    packed, places, taus = geqp3_p.bind(operand(x))
    return packed, places, taus


# --- qr ---------------------------------------------------------------------------------------


def _shape(
    x: ShapedArray, *, pivoting: bool, full_matrices: bool, use_magma: bool | None
) -> list[ShapedArray]:
    check_matrix("qr", x, "x", FACTORED)
    *stack, rows, columns = x.shape
    inner = rows if full_matrices else min(rows, columns)
    places = [ShapedArray((*stack, columns), _I32, x.weak_type)] if pivoting else []
    q, r = ((*stack, rows, inner), (*stack, inner, columns))
    return [ShapedArray(q, x.dtype, x.weak_type), ShapedArray(r, x.dtype, x.weak_type), *places]


def _unpacked(packed: Any, taus: Any, full_matrices: bool) -> tuple[Any, Any]:
    """The factors from their packed form."""
    rows, columns = shape_of(packed)[-2:]
    inner = rows if full_matrices else min(rows, columns)
    reflectors = block(packed, (0, rows), (0, min(inner, columns)))
    if inner > columns:
        nothing = full((*shape_of(packed)[:-1], inner - columns), 0, dtype_of(packed))
        reflectors = beside(reflectors, nothing)
    q = householder_product(reflectors, taus)
    return q, triangle(block(packed, (0, inner), (0, columns)), lower=False)


def _composed(x: Any, pivoting: bool, full_matrices: bool) -> list[Any]:
    packed, *places, taus = (geqp3_p if pivoting else geqrf_p).bind(x)
    return [*_unpacked(packed, taus, full_matrices), *places]


def _lower(
    ctx: Context, x: Value, *, pivoting: bool, full_matrices: bool, use_magma: bool | None
) -> list[Value]:
    if ctx.module.kernels_allowed and not pivoting and x.aval.size:  # type: ignore[attr-defined]
        return call_lapack(ctx, "anima_qr", (x,), list(ctx.out_avals))
    return lowered_by(_composed)(ctx, x, pivoting=pivoting, full_matrices=full_matrices)


def _jvp(
    primals: Any, tangents: Any, *, pivoting: bool, full_matrices: bool, use_magma: bool | None
) -> tuple[list[Any], list[Any]]:
    params = {"pivoting": pivoting, "full_matrices": full_matrices, "use_magma": use_magma}
    rows, columns = shape_of(primals[0])[-2:]
    change = tangents[0]
    if type(change) is Zero:
        outs = qr_p.bind(*primals, **params)
        return outs, list(zeros_like_outputs(outs))
    if full_matrices and rows > columns:
        # The last columns of q depend on the reflectors themselves.
        (packed, *places, taus), (d_packed, *none, d_taus) = (geqp3_p if pivoting else geqrf_p).jvp(
            primals, tangents
        )
        q, r = _unpacked(packed, taus, True)
        d_reflectors = block(d_packed, (0, rows), (0, columns))
        nothing = full((*shape_of(packed)[:-1], rows - columns), 0, dtype_of(packed))
        _, d_q = householder_product_p.jvp(
            (beside(packed, nothing), taus), (beside(d_reflectors, nothing), d_taus)
        )
        d_r = triangle(d_packed, lower=False)
        return [q, r, *places], [d_q, d_r, *none]
    outs = qr_p.bind(*primals, **params)
    if pivoting:
        change = permuted_columns(change, outs[2])
    return outs, [*_slopes(outs[0], outs[1], change), *zeros_like_outputs(outs[2:])]


qr_p = declare(
    "qr",
    shape=_shape,
    lower=widening(NARROW, _lower),
    jvp=_jvp,
    transpose=Missing("it is not linear"),
    batch=batch_first,
    multiple_results=True,
    host=LIBRARY,
    dtypes=FACTORED,
)


def qr(
    x: Any, *, pivoting: bool = False, full_matrices: bool = True, use_magma: bool | None = None
) -> tuple[Any, ...]:
    """The factorisations `x == q @ r` with orthonormal columns of `q` and upper triangular `r`.

    Args:
      x: matrices of m rows and n columns.
      pivoting: exchange columns, so that the diagonal of `r` falls in magnitude; then `x[:, places] == q @ r`.
      full_matrices: `q` is square. Otherwise `q` has, and `r` has rows, as many as the smaller of m and n.
      use_magma: whether to use the library MAGMA on GPUs, which is not used: an option of JAX's.
    Returns:
      `q`, `r`, and with `pivoting` the permutation of columns.
    Raises:
      TypeError: `x` is not inexact or has less than two dimensions.

    >>> import anima.numpy as np
    >>> from anima import lax
    >>> q, r = lax.linalg.qr(np.array([[3.0, 1.0], [4.0, 2.0]]))
    >>> print(r.round(1))
    [[-5.  -2.2]
     [ 0.   0.4]]
    """
    return tuple(
        qr_p.bind(operand(x), pivoting=bool(pivoting), full_matrices=bool(full_matrices), use_magma=use_magma)
    )
