"""Tridiagonal systems of equations.

Invariant: the three diagonals are vectors of one length; the first element of the lower one and the last of the upper one are not
read. Rows are exchanged with their neighbours for the larger pivot.
"""

from __future__ import annotations

from typing import Any

from anima import dtypes
from anima.core.aval import ShapedArray
from anima.core.primitive import Zero
from anima.core.trace import aval_of
from anima.interpreters.zeros import add as add_tangents, instantiate
from anima.lax.arithmetic import abs as abs_of, add, div, max, mul, neg, sub
from anima.lax.bitwise import bitwise_not
from anima.lax.compare import eq, gt, lt
from anima.lax.complex_parts import complex, imag, real
from anima.lax.control.scanning import scan
from anima.lax.create import full_like
from anima.lax.declare import declare, lowered_by, operand, same_dtypes, widening
from anima.lax.joining import concatenate, pad
from anima.lax.linalg.cuda import call_cuda, cuda_allowed
from anima.lax.linalg.matrices import (
    FACTORED,
    NARROW,
    batch_first,
    check_batch,
    check_matrix,
    check_vectors,
    where_succeeded,
)
from anima.lax.reductions import reduce_max, reduce_or
from anima.lax.selection import select
from anima.lax.shape import broadcast_in_dim, dtype_of, expand_dims, shape_of, transpose
from anima.lax.slicing import index_in_dim, slice_in_dim
from anima.lowering.module import Context, Value
from anima.runtime.kernels import call_kernel

_NAME = "tridiagonal_solve"


def _shape(
    dl: ShapedArray, d: ShapedArray, du: ShapedArray, b: ShapedArray, *, perturb_singular: bool
) -> ShapedArray:
    same_dtypes(_NAME, (dl, d, du, b))
    for aval, which in ((dl, "dl"), (d, "d"), (du, "du")):
        check_vectors(_NAME, aval, which, FACTORED)
    check_matrix(_NAME, b, "b", FACTORED)
    check_batch(_NAME, dl=(dl, 1), d=(d, 1), du=(du, 1), b=(b, 2))
    for aval, which in ((dl, "dl"), (du, "du")):
        if aval.shape != d.shape:
            raise TypeError(
                f"{_NAME}: {which} must have the length of d (dl[0] and du[-1] are not read), got shapes {aval.shape} and {d.shape}"
            )
    if b.shape[-2] != d.shape[-1]:
        raise TypeError(
            f"{_NAME}: b must have as many rows as d has elements, got shapes {b.shape} and {d.shape}"
        )
    return ShapedArray(b.shape, b.dtype, all([a.weak_type for a in (dl, d, du, b)]))


def _shifted(x: Any, by: int, axis: int) -> Any:
    """`x` moved by one place towards the end (1) or the start (-1), with a zero in the place left."""
    config = [(0, 0, 0)] * len(shape_of(x))
    config[axis] = (by, -by, 0)
    return pad(x, dtype_of(x).type(0), config)


def _applied(dl: Any, d: Any, du: Any, x: Any) -> Any:
    """The product of the matrix with `x`."""
    rank = len(shape_of(x))
    rows = lambda v: broadcast_in_dim(v, shape_of(x), range(rank - 1))
    total = mul(rows(d), x)
    total = add(total, mul(rows(dl), _shifted(x, 1, rank - 2)))
    return add(total, mul(rows(du), _shifted(x, -1, rank - 2)))


# --- by elimination, one row after the other ---------------------------------------------------


def _size(x: Any) -> Any:
    return add(abs_of(real(x)), abs_of(imag(x))) if dtypes.is_complex(dtype_of(x)) else abs_of(x)


def _smallest_pivot(*diagonals: Any) -> Any:
    """What pivots are raised to: as large as rounding errors."""
    axis = len(shape_of(diagonals[0])) - 1
    largest = [reduce_max(abs_of(x), (axis,)) for x in diagonals]
    info = dtypes.finfo(dtype_of(largest[0]))
    bound = mul(max(max(largest[0], largest[1]), largest[2]), full_like(largest[0], info.eps))
    return max(bound, full_like(bound, info.tiny))


def _raised(pivot: Any, smallest: Any) -> Any:
    size = abs_of(pivot)
    if dtypes.is_complex(dtype_of(pivot)):
        to_complex = lambda x: complex(x, full_like(x, 0))
        is_zero = eq(size, full_like(size, 0))
        scale = div(smallest, select(is_zero, full_like(size, 1), size))
        raised = select(is_zero, to_complex(smallest), mul(pivot, to_complex(scale)))
    else:
        negative = lt(div(full_like(pivot, 1), pivot), full_like(pivot, 0))  # of zero, too
        raised = select(negative, neg(smallest), smallest)
    return select(lt(size, smallest), raised, pivot)


def _eliminated(dl: Any, d: Any, du: Any, b: Any, perturb_singular: bool) -> Any:
    """The solution, by a loop over rows that eliminates and one that substitutes back."""
    axis = len(shape_of(d)) - 1
    du = _without_last(du, axis)
    dl = _shifted(_shifted(dl, -1, axis), 1, axis)
    smallest = _smallest_pivot(dl, d, du) if perturb_singular else None
    columns = lambda v: broadcast_in_dim(v, (*shape_of(v), shape_of(b)[-1]), range(axis))
    first = lambda x: transpose(x, (axis, *range(axis), *range(axis + 1, len(shape_of(x)))))
    rows = [first(x) for x in (dl, d, du, b)]

    def pivot_of(x: Any) -> Any:
        return x if smallest is None else _raised(x, smallest)

    def eliminate(row: Any, below: Any) -> Any:
        (d, u, b), (next_l, next_d, next_u, next_b) = row, below
        exchange = gt(_size(next_l), _size(d))
        zero = full_like(d, 0)
        choose = lambda x, y: select(columns(exchange) if len(shape_of(x)) > axis else exchange, x, y)
        pivot, left = pivot_of(choose(next_l, d)), choose(d, next_l)
        u1, u2, top = choose(next_d, u), choose(next_u, zero), choose(next_b, b)
        rest_d, rest_u, rest_b = choose(u, next_d), choose(zero, next_u), choose(b, next_b)
        factor = div(left, pivot)
        rest_b = sub(rest_b, mul(columns(factor), top))
        left_over = (sub(rest_d, mul(factor, u1)), sub(rest_u, mul(factor, u2)), rest_b)
        return left_over, (pivot, u1, u2, top)

    start = tuple([index_in_dim(x, 0, 0, keepdims=False) for x in rows[1:]])
    (d, u, b_row), done = scan(eliminate, start, tuple([slice_in_dim(x, 1, None, axis=0) for x in rows]))
    last = (pivot_of(d), full_like(u, 0), full_like(u, 0), b_row)
    done = [concatenate([x, expand_dims(y, (0,))], 0) for x, y in zip(done, last)]

    def substitute(later: Any, row: Any) -> Any:
        x1, x2 = later
        pivot, u1, u2, b = row
        x = div(sub(sub(b, mul(columns(u1), x1)), mul(columns(u2), x2)), columns(pivot))
        return (x, x1), x

    none = full_like(b_row, 0)
    _, x = scan(substitute, (none, none), tuple(done), reverse=True)
    singular = reduce_or(eq(done[0], full_like(done[0], 0)), (0,))
    x = transpose(x, (*range(1, axis + 1), 0, axis + 1))
    return where_succeeded(bitwise_not(singular), x)


def _without_last(x: Any, axis: int) -> Any:
    """`x` with a zero as its last element."""
    return _shifted(_shifted(x, 1, axis), -1, axis)


def _lower(ctx: Context, dl: Value, d: Value, du: Value, b: Value, *, perturb_singular: bool) -> Value:
    aval = ctx.out_avals[0]
    assert isinstance(aval, ShapedArray)
    if aval.size == 0:
        return ctx.full(0, aval)
    operands = (dl, d, du, b)
    if ctx.module.kernels_allowed:
        attributes = {"perturb_singular": perturb_singular}
        return call_kernel(ctx, "anima_tridiagonal_solve", operands, [aval], attributes)[0]
    if cuda_allowed(ctx) and (perturb_singular or d.shape[-1] > 2):  # the other routine needs three rows
        target = "cu_tridiagonal_solve_perturbed" if perturb_singular else "cusparse_gtsv2_ffi"
        in_place = {} if perturb_singular else {0: 3}
        return call_cuda(ctx, target, operands, [aval], columns=({3}, {0}), in_place=in_place)[0]
    return lowered_by(_eliminated)(ctx, *operands, perturb_singular=perturb_singular)


# --- the operation ----------------------------------------------------------------------------


def _jvp(primals: Any, tangents: Any, *, perturb_singular: bool) -> tuple[Any, Any]:
    """From `a x == b` follows `a dx == db - da x`."""
    diagonals = primals[:3]
    *changes, right = tangents
    x = tridiagonal_solve_p.bind(*primals, perturb_singular=perturb_singular)
    if any([type(t) is not Zero for t in changes]):
        dl, d, du = map(instantiate, changes)
        right = add_tangents(right, neg(_applied(dl, d, du, x)))
    if type(right) is Zero:
        return x, Zero(aval_of(x).tangent_aval())
    return x, tridiagonal_solve_p.bind(*diagonals, right, perturb_singular=perturb_singular)


def _transpose(ct: Any, dl: Any, d: Any, du: Any, b: Any, *, perturb_singular: bool) -> list[Any]:
    axis = len(shape_of(d)) - 1
    below, above = _shifted(du, 1, axis), _shifted(dl, -1, axis)
    return [
        None,
        None,
        None,
        tridiagonal_solve_p.bind(below, d, above, ct, perturb_singular=perturb_singular),
    ]


tridiagonal_solve_p = declare(
    _NAME,
    shape=_shape,
    lower=widening(NARROW, _lower),
    jvp=_jvp,
    transpose=_transpose,
    batch=batch_first,
    dtypes=FACTORED,
)


def tridiagonal_solve(dl: Any, d: Any, du: Any, b: Any, *, perturb_singular: bool = False) -> Any:
    """The solutions `x` of `a @ x == b` for matrices `a` that have nonzeros on three diagonals only.

    Args:
      dl: the lower diagonals, with one more element at the start, which is not read.
      d: the diagonals.
      du: the upper diagonals, with one more element at the end, which is not read.
      b: the right-hand sides, matrices of as many rows as `d` has elements.
      perturb_singular: replace pivots that are no larger than rounding errors by numbers of that size. Otherwise the
        solution is NaN where a pivot is zero.
    Returns:
      An array of the shape of `b`.
    Raises:
      TypeError: dtypes differ or are not inexact, or shapes do not fit.

    >>> import anima.numpy as np
    >>> from anima import lax
    >>> ones = np.ones(3)
    >>> print(lax.linalg.tridiagonal_solve(ones, 2 * ones, ones, np.ones((3, 1)))[:, 0])
    [0.5 0.  0.5]
    """
    values = [operand(v) for v in (dl, d, du, b)]
    return tridiagonal_solve_p.bind(*values, perturb_singular=bool(perturb_singular))
