"""Singular values.

Invariant: singular values descend and are not negative. Derivatives take them for distinct and nonzero where they matter:
those of the factors are not finite where some are equal, those of the values are.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any

from anima import dtypes
from anima.core.aval import ShapedArray
from anima.core.host import LIBRARY
from anima.core.primitive import Missing
from anima.interpreters.zeros import instantiate
from anima.lax.arithmetic import add, div, mul, sub
from anima.lax.compare import eq
from anima.lax.convert import convert_element_type
from anima.lax.create import full_like
from anima.lax.declare import declare, lowered_by, operand as as_operand, widening
from anima.lax.linalg.calls import NARROW, SPECTRAL, by_plugin, is_empty, nan_unless_zero, on_host
from anima.lax.linalg.cuda import call_status
from anima.lax.linalg.eigen import (
    check_subset,
    diagonal,
    differences,
    off_diagonal_reciprocals,
    real_part,
)
from anima.lax.linalg.matrices import batch_first, check_matrix, ct, eye, matmul, with_columns
from anima.lax.selection import select
from anima.lax.shape import broadcast_in_dim, dtype_of, shape_of
from anima.lax.slicing import slice_in_dim
from anima.lowering.module import Context, Value


class SvdAlgorithm(enum.Enum):
    """How singular values are computed."""

    DEFAULT = "default"
    QR = "QR"
    JACOBI = "Jacobi"
    POLAR = "polar"
    DIVIDE_AND_CONQUER = "divide_and_conquer"


# --- shapes -----------------------------------------------------------------------------------


def _svd_shape(
    x: ShapedArray,
    *,
    full_matrices: bool,
    compute_uv: bool,
    subset_by_index: tuple[int, int] | None,
    algorithm: SvdAlgorithm | None,
) -> list[ShapedArray]:
    check_matrix("svd", x, "x", SPECTRAL)
    *stack, m, n = x.shape
    start, end = subset_by_index or (0, min(m, n))
    values = ShapedArray((*stack, end - start), dtypes.to_real_dtype(x.dtype), x.weak_type)
    if not compute_uv:
        return [values]
    u = ShapedArray((*stack, m, m if full_matrices else end - start), x.dtype, x.weak_type)
    v = ShapedArray((*stack, n if full_matrices else end - start, n), x.dtype, x.weak_type)
    return [values, u, v]


def _parts(outs: Sequence[Any], subset: tuple[int, int] | None) -> list[Any]:
    """Singular values and factors, restricted to a range of indices."""
    if subset is None:
        return list(outs)
    start, end = subset
    rank = len(shape_of(outs[0])) + 1
    axes = (rank - 2, rank - 1, rank - 2)
    return [slice_in_dim(x, start, end, axis=axis) for x, axis in zip(outs, axes)]


# --- lowering ---------------------------------------------------------------------------------


def _svd_lower(
    ctx: Context,
    x: Value,
    *,
    full_matrices: bool,
    compute_uv: bool,
    subset_by_index: tuple[int, int] | None,
    algorithm: SvdAlgorithm | None,
) -> list[Value]:
    how = {"full_matrices": full_matrices, "compute_uv": compute_uv}
    if subset_by_index is not None:

        def part(x: Any) -> list[Any]:
            return _parts(svd_p.bind(x, subset_by_index=None, algorithm=algorithm, **how), subset_by_index)

        parts: list[Value] = lowered_by(part)(ctx, x)
        return parts
    if is_empty(x.aval):
        return _of_nothing(ctx)
    platform = ctx.module.platform
    if platform == "cuda" and algorithm is not SvdAlgorithm.DIVIDE_AND_CONQUER:
        return _svd_by_plugin(ctx, x, full_matrices, compute_uv, algorithm or SvdAlgorithm.DEFAULT)
    if algorithm in (SvdAlgorithm.JACOBI, SvdAlgorithm.POLAR) or platform == "cuda":
        assert algorithm is not None
        raise NotImplementedError(
            f"svd: there is no algorithm {algorithm.name} for {platform} devices; leave out `algorithm`"
        )
    attributes = {"full": full_matrices, "divide": algorithm is not SvdAlgorithm.QR}
    return on_host(ctx, "anima_svd", [x], ctx.out_avals, attributes)


def _of_nothing(ctx: Context) -> list[Value]:
    """The results for matrices without elements: their square factors are identities."""

    def make() -> list[Any]:
        outs: list[Any] = []
        for aval in ctx.out_avals:
            assert isinstance(aval, ShapedArray)
            shape = aval.shape
            square = len(outs) > 0 and shape[-1] == shape[-2]
            zeros = full_like(aval, 0)
            outs.append(eye(zeros, *shape[-2:]) if square else zeros)
        return outs

    outs: list[Value] = lowered_by(make)(ctx)
    return outs


_SMALL = 32  # up to this size, cuSOLVER's Jacobi iteration may do many matrices at a time, with square factors only
_JACOBI = 1024  # up to this size, its Jacobi iteration is quicker


def _svd_by_plugin(ctx: Context, x: Value, full: bool, factors: bool, algorithm: SvdAlgorithm) -> list[Value]:
    m, n = x.shape[-2:]
    if algorithm is SvdAlgorithm.DEFAULT:
        algorithm = SvdAlgorithm.JACOBI if max(m, n) <= _JACOBI else SvdAlgorithm.QR
    by = _by_iteration if algorithm is SvdAlgorithm.QR else _by_rotations
    info, *found = by(ctx, x, full, factors, algorithm)
    return nan_unless_zero(ctx, info, found)


def _sides(x: Value, full: bool) -> tuple[ShapedArray, ShapedArray, ShapedArray]:
    """The avals of the singular values, of the left factors and of the adjoints of the right ones."""
    *stack, m, n = x.shape
    least = min(m, n)
    return (
        ShapedArray((*stack, least), dtypes.to_real_dtype(x.dtype)),
        ShapedArray((*stack, m, m if full else least), x.dtype),
        ShapedArray((*stack, n if full else least, n), x.dtype),
    )


def _by_iteration(ctx: Context, x: Value, full: bool, factors: bool, algorithm: SvdAlgorithm) -> list[Value]:
    """The status of each matrix, singular values, and factors if wanted, by the implicit QR iteration."""
    values, *sides = _sides(x, full)
    # The solver takes tall matrices. A wide one stored by rows is a tall one, its transpose, stored by columns.
    wide = x.shape[-2] < x.shape[-1]
    places = {0, 2, 3} if factors else {0}
    outs = by_plugin(
        ctx,
        "cusolver_gesvd_ffi",
        [x],
        [
            x.aval,
            values,
            *((sides[::-1] if wide else sides) if factors else [ShapedArray((), x.dtype)] * 2),
            call_status(x.aval),
        ],
        (set(), set()) if wide else ({0}, places),
        {"compute_uv": factors, "full_matrices": full, "transposed": wide},
        {0: 0},
    )
    u, v = (outs[3], outs[2]) if wide else (outs[2], outs[3])
    return [outs[4], outs[1], *([u, v] if factors else [])]


def _by_rotations(ctx: Context, x: Value, full: bool, factors: bool, algorithm: SvdAlgorithm) -> list[Value]:
    """The same by Jacobi rotations or the polar decomposition: these solvers give the right factors, not their adjoints."""
    *stack, m, n = x.shape
    jacobi = algorithm is SvdAlgorithm.JACOBI
    square = full or (jacobi and min(m, n) <= _SMALL)
    values, u_aval, v_aval = _sides(x, square)
    right = ShapedArray((*stack, *v_aval.shape[:-3:-1]), x.dtype)
    outs = by_plugin(
        ctx,
        "cusolver_gesvdj_ffi" if jacobi else "cusolver_gesvdp_ffi",
        [x],
        [x.aval, values, u_aval, right, call_status(x.aval)],
        ({0}, {0, 2, 3}),
        {"compute_uv": factors, "full_matrices": square},
        {0: 0},
    )
    if not factors:
        return [outs[4], outs[1]]

    def finish(u: Any, v: Any) -> list[Any]:
        vh = ct(v)
        if full or not square:
            return [u, vh]
        rank, least = len(shape_of(u)), min(m, n)
        return [slice_in_dim(u, 0, least, axis=rank - 1), slice_in_dim(vh, 0, least, axis=rank - 2)]

    sides: list[Value] = lowered_by(finish)(ctx, outs[2], outs[3])
    return [outs[4], outs[1], *sides]


# --- derivatives ------------------------------------------------------------------------------


def _svd_jvp(
    primals: Any,
    tangents: Any,
    *,
    full_matrices: bool,
    compute_uv: bool,
    subset_by_index: tuple[int, int] | None,
    algorithm: SvdAlgorithm | None,
) -> tuple[list[Any], list[Any]]:
    (x,), (tangent,) = primals, tangents
    m, n = shape_of(x)[-2:]
    if compute_uv and full_matrices and m != n:
        raise NotImplementedError(
            f"svd: the square factors of matrices of {m} rows and {n} columns have no derivative, for some of their columns "
            "are arbitrary; pass full_matrices=False"
        )
    s, u, vh = svd_p.bind(x, full_matrices=False, compute_uv=True, subset_by_index=None, algorithm=algorithm)
    dx = instantiate(tangent)
    change = matmul(matmul(ct(u), dx), ct(vh))
    ds = real_part(diagonal(change))
    if not compute_uv:
        return _parts([s], subset_by_index), _parts([ds], subset_by_index)
    du, dvh = _factor_tangents(s, u, vh, dx, change)
    return _parts([s, u, vh], subset_by_index), _parts([ds, du, dvh], subset_by_index)


def _factor_tangents(s: Any, u: Any, vh: Any, dx: Any, change: Any) -> tuple[Any, Any]:
    """The tangents of both factors (Townsend, Differentiating the singular value decomposition, 2016)."""
    m, n = shape_of(dx)[-2:]
    dtype = dtype_of(dx)
    sums = differences(s)  # s[j] - s[i], and below s[j] + s[i]
    shape = shape_of(sums)
    rank = len(shape)
    twice = broadcast_in_dim(s, shape, tuple(range(rank - 1)))
    weights = convert_element_type(off_diagonal_reciprocals(mul(sums, add(sums, add(twice, twice)))), dtype)
    by_columns = with_columns(change, convert_element_type(s, dtype))
    by_rows = ct(with_columns(ct(change), convert_element_type(s, dtype)))
    left = mul(weights, add(by_columns, ct(by_columns)))
    right = mul(weights, add(by_rows, ct(by_rows)))
    nothing = eq(s, full_like(s, 0))
    inverses = convert_element_type(
        select(nothing, full_like(s, 0), div(full_like(s, 1), select(nothing, full_like(s, 1), s))), dtype
    )
    if dtypes.is_complex(dtype):
        # The phases of a pair of singular vectors: all of the change is given to the left one.
        skew = select(
            eq(eye(change, *shape[-2:]), full_like(change, 1)), sub(change, ct(change)), full_like(change, 0)
        )
        left = add(left, with_columns(skew, mul(inverses, full_like(inverses, 0.5))))
    du, dv = matmul(u, left), matmul(ct(vh), right)
    if m > n:
        rest = with_columns(matmul(dx, ct(vh)), inverses)
        du = add(du, sub(rest, matmul(u, matmul(ct(u), rest))))
    if n > m:
        rest = with_columns(matmul(ct(dx), u), inverses)
        dv = add(dv, sub(rest, matmul(ct(vh), matmul(vh, rest))))
    return du, ct(dv)


def _svd_dce(
    used: Sequence[bool], *, compute_uv: bool, **how: Any
) -> tuple[list[bool], list[bool], dict[str, Any]]:
    factors = compute_uv and (used[1] or used[2])
    outputs = [True, factors, factors] if compute_uv else [True]
    return [True], outputs, {"compute_uv": factors, **how}


svd_p = declare(
    "svd",
    shape=_svd_shape,
    lower=widening(NARROW, _svd_lower),
    jvp=_svd_jvp,
    transpose=Missing("it is not linear"),
    batch=batch_first,
    dce=_svd_dce,
    multiple_results=True,
    host=LIBRARY,
    dtypes=SPECTRAL,
)


def svd(
    x: Any,
    *,
    full_matrices: bool = True,
    compute_uv: bool = True,
    subset_by_index: tuple[int, int] | None = None,
    algorithm: SvdAlgorithm | None = None,
) -> Any:
    """The singular value decomposition `x = u * s @ vh`.

    Args:
      x: a stack of matrices, of shape `(..., m, n)`.
      full_matrices: whether `u` and `vh` are square; else they have `k = min(m, n)` columns and rows.
      compute_uv: whether to return `u` and `vh`.
      subset_by_index: `(start, end)` for the singular values of these indices alone, in descending order.
      algorithm: how; None for the platform's best.
    Returns:
      `(u, s, vh)`: orthonormal columns, singular values, real and descending, of shape `(..., k)`, and orthonormal rows; or
      `s`. NaN for matrices with a NaN or an infinity.
    Raises:
      TypeError: `x` has fewer than two dimensions, or a dtype without linear algebra.
      ValueError: `subset_by_index` is no range of indices, or not all of them while `full_matrices` is True.
      NotImplementedError: the platform has no such algorithm.

    LAPACK's `gesdd` computes it on CPU (`gesvd` for `SvdAlgorithm.QR`), cuSOLVER on CUDA.

    >>> import anima.numpy as np
    >>> from anima import lax
    >>> print(lax.linalg.svd(np.array([[0.0, 2.0], [3.0, 0.0]]), compute_uv=False))
    [3. 2.]
    """
    x = as_operand(x)
    shape = shape_of(x)
    subset = check_subset("svd", subset_by_index, min(shape[-2:])) if len(shape) > 1 else None
    if subset is not None and full_matrices and compute_uv:
        raise ValueError(
            "svd: square factors have all columns; pass full_matrices=False with subset_by_index"
        )
    outs = svd_p.bind(
        x,
        full_matrices=bool(full_matrices),
        compute_uv=bool(compute_uv),
        subset_by_index=subset,
        algorithm=algorithm,
    )
    if not compute_uv:
        return outs[0]
    s, u, vh = outs
    return u, s, vh
