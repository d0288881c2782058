"""Eigenvalues of Hermitian matrices, and their reduction to tridiagonal form.

Invariant: eigenvalues are real and ascend. Derivatives treat a matrix as Hermitian: the part of a tangent that is not has no
effect. They take eigenvalues for distinct: derivatives of eigenvectors are not finite where some are equal.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from anima import dtypes
from anima.core.aval import ShapedArray
from anima.core.host import LIBRARY
from anima.core.primitive import Missing
from anima.core.trace import shaped
from anima.errors import ArgumentError
from anima.interpreters.zeros import instantiate
from anima.lax.arithmetic import add, div, mul, sub
from anima.lax.compare import eq
from anima.lax.complex_parts import real
from anima.lax.convert import convert_element_type
from anima.lax.create import broadcasted_iota, full_like
from anima.lax.declare import declare, lowered_by, operand as as_operand, widening
from anima.lax.joining import pad_p
from anima.lax.linalg.calls import NARROW, SPECTRAL, by_plugin, is_empty, nan_unless_zero, on_host, zeros
from anima.lax.linalg.cuda import call_status
from anima.lax.linalg.matrices import batch_first, check_matrix, ct, eye, matmul, with_mean
from anima.lax.reductions import reduce_sum
from anima.lax.selection import select
from anima.lax.shape import broadcast_in_dim, dtype_of, shape_of
from anima.lax.slicing import slice_in_dim
from anima.lowering.module import Context, Value

# --- parts of matrices ------------------------------------------------------------------------


def real_part(x: Any) -> Any:
    """The real part; a real array is its own."""
    return real(x) if dtypes.is_complex(dtype_of(x)) else x


def _on_diagonal(shape: Sequence[int], offset: int = 0) -> Any:
    """Whether an element of matrices lies on the diagonal of this offset."""
    rows = broadcasted_iota(np.int32, shape, len(shape) - 2)
    columns = broadcasted_iota(np.int32, shape, len(shape) - 1)
    return eq(add(rows, np.int32(offset)), columns)


def diagonal(x: Any) -> Any:
    """The diagonals of square matrices."""
    return beside(x, 0)


def beside(x: Any, offset: int) -> Any:
    """The diagonals of this offset of square matrices."""
    shape = shape_of(x)
    last = len(shape) - 1
    rows = reduce_sum(select(_on_diagonal(shape, offset), x, full_like(x, 0)), (last,))
    return slice_in_dim(rows, max(-offset, 0), shape[-1] - max(offset, 0), axis=last - 1)


def band(values: Any, offset: int) -> Any:
    """Square matrices with these vectors on the diagonal of an offset, and zeros."""
    shape = shape_of(values)
    rank, n = len(shape), shape[-1] + abs(offset)
    edges = (max(-offset, 0), max(offset, 0), 0)
    rows = pad_p.bind(values, dtype_of(values).type(0), padding_config=(*[(0, 0, 0)] * (rank - 1), edges))
    spread = broadcast_in_dim(rows, (*shape[:-1], n, n), tuple(range(rank)))
    return select(_on_diagonal(shape_of(spread), offset), spread, full_like(spread, 0))


def hermitian(x: Any) -> Any:
    """The Hermitian parts of square matrices."""
    return div(add(x, ct(x)), full_like(x, 2))


def differences(values: Any) -> Any:
    """For vectors `w`, the matrices of `w[j] - w[i]`."""
    shape = (*shape_of(values), shape_of(values)[-1])
    rank = len(shape)
    rows = broadcast_in_dim(values, shape, (*range(rank - 2), rank - 1))
    return sub(rows, broadcast_in_dim(values, shape, tuple(range(rank - 1))))


def off_diagonal_reciprocals(x: Any) -> Any:
    """One over each element of matrices with a diagonal of zeros, which stay."""
    unit = eye(x, *shape_of(x)[-2:])
    return sub(div(full_like(x, 1), add(x, unit)), unit)


def check_subset(name: str, subset: Any, size: int) -> tuple[int, int] | None:
    """The range of indices that `subset_by_index` names, or None for all.

    Raises:
      ValueError: it is no range within `size`. ArgumentError: it is no pair of integers.
    """
    if subset is None:
        return None
    try:
        start, end = (int(i.__index__()) for i in subset)
    except (TypeError, ValueError, AttributeError):
        raise ArgumentError(f"{name}: subset_by_index must be a pair (start, end), got {subset!r}") from None
    if not 0 <= start <= end <= size:
        raise ValueError(
            f"{name}: subset_by_index must be a range (start, end) of the {size} indices, got {(start, end)}"
        )
    return None if (start, end) == (0, size) else (start, end)


# --- eigh -------------------------------------------------------------------------------------


class EighImplementation(enum.Enum):
    """How eigenvalues of Hermitian matrices are computed."""

    QR = "qr"
    JACOBI = "jacobi"
    QDWH = "qdwh"


def _eigh_shape(
    x: ShapedArray, *, subset_by_index: tuple[int, int] | None, compute_eigenvectors: bool, **how: Any
) -> list[ShapedArray]:
    check_matrix("eigh", x, "x", SPECTRAL, square=True)
    start, end = subset_by_index or (0, x.shape[-1])
    values = ShapedArray((*x.shape[:-2], end - start), dtypes.to_real_dtype(x.dtype), x.weak_type)
    vectors = ShapedArray((*x.shape[:-1], end - start), x.dtype, x.weak_type)
    return [vectors, values] if compute_eigenvectors else [values]


def _eigh_lower(
    ctx: Context,
    x: Value,
    *,
    lower: bool,
    subset_by_index: tuple[int, int] | None,
    algorithm: EighImplementation | None,
    compute_eigenvectors: bool,
    **how: Any,
) -> list[Value]:
    outs = ctx.out_avals
    if is_empty(*outs):
        return zeros(ctx)
    platform = ctx.module.platform
    if platform == "cuda" and algorithm is not EighImplementation.QDWH:
        return _eigh_by_plugin(ctx, x, lower, subset_by_index, algorithm, compute_eigenvectors)
    if algorithm not in (None, EighImplementation.QR):
        raise NotImplementedError(
            f"eigh: there is no implementation {algorithm.name} for {platform} devices; leave out `implementation`"
        )
    first = 0 if subset_by_index is None else subset_by_index[0]
    return on_host(ctx, "anima_eigh", [x], outs, {"lower": lower, "first": first})


def _eigh_by_plugin(
    ctx: Context,
    x: Value,
    lower: bool,
    subset: tuple[int, int] | None,
    algorithm: EighImplementation | None,
    vectors: bool,
) -> list[Value]:
    code = {None: 0, EighImplementation.QR: 1, EighImplementation.JACOBI: 2}[algorithm]
    values = ShapedArray((*x.shape[:-2], x.shape[-1]), dtypes.to_real_dtype(x.dtype))
    outs = by_plugin(
        ctx,
        "cusolver_syevd_ffi",
        [x],
        [x.aval, values, call_status(x.aval)],
        ({0}, {0}),
        {"algorithm": np.uint8(code), "lower": lower},
        {0: 0},
    )
    v, w = nan_unless_zero(ctx, outs[2], outs[:2])
    kept = [v, w] if vectors else [w]
    if subset is None:
        return kept
    part: list[Value] = lowered_by(lambda *xs: [_sliced(x, subset) for x in xs])(ctx, *kept)
    return part


def _sliced(x: Any, subset: tuple[int, int] | None) -> Any:
    return x if subset is None else slice_in_dim(x, *subset, axis=len(shape_of(x)) - 1)


def _eigh_jvp(
    primals: Any,
    tangents: Any,
    *,
    subset_by_index: tuple[int, int] | None,
    compute_eigenvectors: bool,
    **how: Any,
) -> tuple[list[Any], list[Any]]:
    (x,), (tangent,) = primals, tangents
    # The change of an eigenvector has parts along all others.
    v, w = eigh_p.bind(x, subset_by_index=None, compute_eigenvectors=True, **how)
    vectors, values = _sliced(v, subset_by_index), _sliced(w, subset_by_index)
    change = matmul(ct(v), matmul(hermitian(instantiate(tangent)), vectors))
    if subset_by_index is None:
        own = change
    else:
        start, end = subset_by_index
        own = slice_in_dim(change, start, end, axis=len(shape_of(change)) - 2)
    new_values = real_part(diagonal(own))
    if not compute_eigenvectors:
        return [values], [new_values]
    weights = _sliced(off_diagonal_reciprocals(differences(w)), subset_by_index)
    new_vectors = matmul(v, mul(convert_element_type(weights, dtype_of(change)), change))
    return [vectors, values], [new_vectors, new_values]


def _eigh_dce(
    used: Sequence[bool], *, compute_eigenvectors: bool, **how: Any
) -> tuple[list[bool], list[bool], dict[str, Any]]:
    vectors = compute_eigenvectors and used[0]
    outputs = [vectors, True] if compute_eigenvectors else [True]
    return [True], outputs, {"compute_eigenvectors": vectors, **how}


eigh_p = declare(
    "eigh",
    shape=_eigh_shape,
    lower=widening(NARROW, _eigh_lower),
    jvp=_eigh_jvp,
    transpose=Missing("it is not linear"),
    batch=batch_first,
    dce=_eigh_dce,
    multiple_results=True,
    host=LIBRARY,
    dtypes=SPECTRAL,
)


def eigh(
    x: Any,
    *,
    lower: bool = True,
    symmetrize_input: bool = True,
    sort_eigenvalues: bool = True,
    subset_by_index: tuple[int, int] | None = None,
    implementation: EighImplementation | None = None,
) -> tuple[Any, Any]:
    """The eigenvectors and eigenvalues of Hermitian matrices.

    Args:
      x: a stack of real symmetric or complex Hermitian matrices, of shape `(..., n, n)`; the mean of integers is one of floats.
      lower: which triangle counts, if `symmetrize_input` is False.
      symmetrize_input: whether to take the mean of `x` and its conjugate transpose first.
      sort_eigenvalues: has no effect: they always ascend.
      subset_by_index: `(start, end)` for the eigenvalues of these indices alone, in ascending order.
      implementation: how; None for the platform's best.
    Returns:
      `(v, w)`: eigenvectors of length 1 as columns, of shape `(..., n, k)`, and eigenvalues, real, of shape `(..., k)`; NaN for
      matrices with a NaN or an infinity.
    Raises:
      TypeError: `x` has fewer than two dimensions, or a dtype without linear algebra.
      ValueError: matrices are not square, or `subset_by_index` is no range of indices.
      NotImplementedError: the platform has no such implementation.

    LAPACK's `syevd` and `heevd` compute them on CPU, `syevr` and `heevr` a subset, cuSOLVER on CUDA. Derivatives follow from
    first-order perturbation theory (Magnus, 1985).

    >>> import anima.numpy as np
    >>> from anima import lax
    >>> v, w = lax.linalg.eigh(np.array([[2.0, 1.0], [1.0, 2.0]]))
    >>> print(w)
    [1. 3.]
    """
    v, w = _bind_eigh(x, lower, symmetrize_input, sort_eigenvalues, subset_by_index, implementation, True)
    return v, w


def eigvalsh(x: Any, lower: bool = True, symmetrize_input: bool = True) -> Any:
    """The eigenvalues alone, which costs a fraction of `eigh`; arguments are as there."""
    return _bind_eigh(x, lower, symmetrize_input, True, None, None, False)[0]


def _bind_eigh(
    x: Any,
    lower: bool,
    symmetrize_input: bool,
    sort_eigenvalues: bool,
    subset_by_index: Any,
    implementation: EighImplementation | None,
    compute_eigenvectors: bool,
) -> list[Any]:
    x = with_mean(as_operand(x)) if symmetrize_input else as_operand(x)
    check_matrix("eigh", shaped(x), "x", SPECTRAL, square=True)
    outs: list[Any] = eigh_p.bind(
        hermitian(x) if symmetrize_input else x,
        lower=bool(lower),
        sort_eigenvalues=bool(sort_eigenvalues),
        subset_by_index=check_subset("eigh", subset_by_index, shape_of(x)[-1]),
        algorithm=implementation,
        compute_eigenvectors=compute_eigenvectors,
    )
    return outs


# --- tridiagonal ------------------------------------------------------------------------------


def _tridiagonal_shape(a: ShapedArray, *, lower: bool) -> list[ShapedArray]:
    check_matrix("tridiagonal", a, "a", SPECTRAL, square=True)
    stack, n = a.shape[:-2], a.shape[-1]
    if n == 0:
        raise ValueError(f"tridiagonal: matrices must have at least one row, got shape {a.shape}")
    real_type = dtypes.to_real_dtype(a.dtype)
    return [
        ShapedArray(a.shape, a.dtype, a.weak_type),
        ShapedArray((*stack, n), real_type, a.weak_type),
        ShapedArray((*stack, n - 1), real_type, a.weak_type),
        ShapedArray((*stack, n - 1), a.dtype, a.weak_type),
    ]


def _tridiagonal_lower(ctx: Context, a: Value, *, lower: bool) -> list[Value]:
    outs = list(ctx.out_avals)
    if is_empty(a.aval):
        return zeros(ctx)
    if ctx.module.platform != "cuda":
        return on_host(ctx, "anima_tridiagonal", [a], outs, {"lower": lower})
    results = [*outs, call_status(a.aval)]
    *found, info = by_plugin(ctx, "cusolver_sytrd_ffi", [a], results, ({0}, {0}), {"lower": lower}, {0: 0})
    return nan_unless_zero(ctx, info, found)


tridiagonal_p = declare(
    "tridiagonal",
    shape=_tridiagonal_shape,
    lower=widening(NARROW, _tridiagonal_lower),
    jvp=Missing("the reduction to tridiagonal form has no derivative known here"),
    transpose=Missing("it is not linear"),
    batch=batch_first,
    multiple_results=True,
    dtypes=SPECTRAL,
)


def tridiagonal(a: Any, *, lower: bool = True) -> tuple[Any, Any, Any, Any]:
    """The reduction of Hermitian matrices to real tridiagonal ones with the same eigenvalues, by reflections.

    Args:
      a: a stack of matrices, of shape `(..., n, n)`, of which one triangle counts.
      lower: which.
    Returns:
      `(a, d, e, taus)`: matrices with the tridiagonal form on the diagonal and the one beside it, and beyond it the vectors
      of the reflections; the diagonals, of shape `(..., n)`; the diagonals beside them, of shape `(..., n - 1)`; and the
      factors of the reflections. They are as LAPACK's `sytrd` and `hetrd` give them.
    Raises:
      TypeError: `a` has fewer than two dimensions, or a dtype without linear algebra.
      ValueError: matrices are not square, or empty.

    >>> import anima.numpy as np
    >>> from anima import lax
    >>> a, d, e, taus = lax.linalg.tridiagonal(np.array([[2.0, 1.0], [1.0, 3.0]]))
    >>> print(d, e)
    [2. 3.] [1.]
    """
    a, d, e, taus = tridiagonal_p.bind(as_operand(a), lower=bool(lower))
    return a, d, e, taus


# --- eigenvalues of tridiagonal matrices ------------------------------------------------------


def _bands_shape(d: ShapedArray, e: ShapedArray, *, compute_eigenvectors: bool) -> list[ShapedArray]:
    n = d.shape[-1]
    values = ShapedArray(d.shape, d.dtype)
    return [ShapedArray((*d.shape, n), d.dtype), values] if compute_eigenvectors else [values]


def _dense(d: Any, e: Any) -> Any:
    return add(band(d, 0), add(band(e, 1), band(e, -1)))


def _bands_lower(ctx: Context, d: Value, e: Value, *, compute_eigenvectors: bool) -> list[Value]:
    if is_empty(d.aval):
        return zeros(ctx)
    if ctx.module.platform == "cpu":
        return on_host(ctx, "anima_eigh_tridiagonal", [d, e], ctx.out_avals)

    def whole(d: Any, e: Any) -> Any:
        return eigh_p.bind(
            _dense(d, e),
            lower=True,
            sort_eigenvalues=True,
            subset_by_index=None,
            algorithm=None,
            compute_eigenvectors=compute_eigenvectors,
        )

    lower: Callable[..., list[Value]] = lowered_by(whole)
    return lower(ctx, d, e)


def _bands_jvp(primals: Any, tangents: Any, *, compute_eigenvectors: bool) -> tuple[list[Any], list[Any]]:
    v, w = eigh_tridiagonal_p.bind(*primals, compute_eigenvectors=True)
    d, e = (instantiate(t) for t in tangents)
    n = shape_of(v)[-1]
    rank = len(shape_of(v))

    def rows(start: int, end: int) -> Any:
        return slice_in_dim(v, start, end, axis=rank - 2)

    def weighted(x: Any, weights: Any) -> Any:
        return mul(x, broadcast_in_dim(weights, shape_of(x), tuple(range(rank - 1))))

    # The change of the matrix times the eigenvectors, band by band.
    places = [(0, 0, 0)] * (rank - 2)
    zero = dtype_of(v).type(0)
    above = pad_p.bind(weighted(rows(1, n), e), zero, padding_config=(*places, (0, 1, 0), (0, 0, 0)))
    below = pad_p.bind(weighted(rows(0, n - 1), e), zero, padding_config=(*places, (1, 0, 0), (0, 0, 0)))
    change = matmul(ct(v), add(weighted(v, d), add(above, below)))
    new_values = diagonal(change)
    if not compute_eigenvectors:
        return [w], [new_values]
    return [v, w], [matmul(v, mul(off_diagonal_reciprocals(differences(w)), change)), new_values]


eigh_tridiagonal_p = declare(
    "eigh_tridiagonal",
    shape=_bands_shape,
    lower=_bands_lower,
    jvp=_bands_jvp,
    transpose=Missing("it is not linear"),
    batch=batch_first,
    dce=_eigh_dce,
    multiple_results=True,
    dtypes=("float32", "float64"),
)


def eigh_tridiagonal(d: Any, e: Any, compute_eigenvectors: bool) -> list[Any]:
    """The eigenvectors (if asked for) and eigenvalues, ascending, of real symmetric tridiagonal matrices.

    Args:
      d: the diagonals, of shape `(..., n)` with `n` at least 1, in float32 or float64.
      e: the diagonals beside them, of shape `(..., n - 1)` and the same dtype.
    """
    out: list[Any] = eigh_tridiagonal_p.bind(d, e, compute_eigenvectors=compute_eigenvectors)
    return out
