"""Eigenvalues and triangular forms of general square matrices.

Invariant: eigenvectors have length 1 and a largest component that is real, as LAPACK makes them; derivatives of eigenvectors are
along that normalisation. Eigenvalues come in LAPACK's order, which is none.
"""

from __future__ import annotations

import enum
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from anima import dtypes
from anima.core.aval import ShapedArray
from anima.core.primitive import Missing
from anima.dtypes.requests import user_stack_level
from anima.errors import MissingRuleError
from anima.interpreters.zeros import instantiate
from anima.lax.arithmetic import abs, add, div, max, mul, neg, sub
from anima.lax.compare import eq
from anima.lax.complex_parts import complex, conj, imag, real
from anima.lax.convert import convert_element_type
from anima.lax.create import broadcasted_iota, full_like
from anima.lax.declare import declare, lowered_by, operand as as_operand, widening
from anima.lax.joining import pad_p
from anima.lax.linalg.calls import NARROW, SPECTRAL, by_plugin, is_empty, nan_unless_zero, on_host, zeros
from anima.lax.linalg.cuda import call_status
from anima.lax.linalg.eigen import beside, diagonal, differences, off_diagonal_reciprocals
from anima.lax.linalg.matrices import batch_first, check_matrix, ct, matmul, with_columns
from anima.lax.linalg.solving import solve
from anima.lax.powers import sqrt
from anima.lax.reductions import argmax, reduce_sum
from anima.lax.selection import select
from anima.lax.shape import broadcast_in_dim, dtype_of, shape_of
from anima.lowering.module import Context, Value


class EigImplementation(enum.Enum):
    """What computes eigenvalues of general matrices."""

    CUSOLVER = "cusolver"
    MAGMA = "magma"
    LAPACK = "lapack"


# --- eig --------------------------------------------------------------------------------------


def _eig_shape(
    x: ShapedArray, *, compute_left_eigenvectors: bool, compute_right_eigenvectors: bool, **how: Any
) -> list[ShapedArray]:
    check_matrix("eig", x, "x", SPECTRAL, square=True)
    dtype = dtypes.to_complex_dtype(x.dtype)
    vectors = ShapedArray(x.shape, dtype, x.weak_type)
    return [
        ShapedArray(x.shape[:-1], dtype, x.weak_type), *[vectors] * (compute_left_eigenvectors + compute_right_eigenvectors)
    ]  # fmt: skip


def _eig_lower(
    ctx: Context,
    x: Value,
    *,
    compute_left_eigenvectors: bool,
    compute_right_eigenvectors: bool,
    implementation: EigImplementation | None,
    **how: Any,
) -> list[Value]:
    outs = ctx.out_avals
    if is_empty(x.aval):
        return zeros(ctx)
    sides = {"left": compute_left_eigenvectors, "right": compute_right_eigenvectors}
    platform = ctx.module.platform
    if platform == "cuda":
        return _eig_by_plugin(ctx, x, sides, implementation)
    if implementation not in (None, EigImplementation.LAPACK):
        raise ValueError(
            f"eig: only the LAPACK implementation exists for {platform} devices, not {implementation.name}"
        )
    return on_host(ctx, "anima_eig", [x], outs, sides)


def _eig_by_plugin(
    ctx: Context, x: Value, sides: dict[str, bool], implementation: EigImplementation | None
) -> list[Value]:
    if implementation is EigImplementation.CUSOLVER:
        raise NotImplementedError(
            "eig: the implementation by cuSOLVER is not available; use LAPACK, which runs on the host, or MAGMA"
        )
    magma = {None: "auto", EigImplementation.LAPACK: "off", EigImplementation.MAGMA: "on"}[implementation]
    is_complex = dtypes.is_complex(x.dtype)
    vectors = ShapedArray(x.shape, dtypes.to_complex_dtype(x.dtype))
    values = [ShapedArray(x.shape[:-1], x.dtype)] * (1 if is_complex else 2)
    *parts, vl, vr, info = by_plugin(
        ctx,
        "cuhybrid_eig_comp" if is_complex else "cuhybrid_eig_real",
        [x],
        [*values, vectors, vectors, call_status(x.aval)],
        ({0}, {len(values), len(values) + 1}),
        {"magma": magma, **sides},
    )
    w = parts[0] if is_complex else lowered_by(complex)(ctx, *parts)
    kept = [w, *[v for v, wanted in zip((vl, vr), sides.values()) if wanted]]
    return nan_unless_zero(ctx, info, kept)


def _normalised(v: Any, change: Any) -> Any:
    """A change of eigenvectors, with as much of themselves as keeps their length, and their largest components real."""
    shape = shape_of(v)
    rows, columns = len(shape) - 2, len(shape) - 1
    places = argmax(abs(v), rows, np.int32)
    chosen = eq(
        broadcasted_iota(np.int32, shape, rows), broadcast_in_dim(places, shape, (*range(rows), columns))
    )
    zeros = full_like(v, 0)
    largest = real(reduce_sum(select(chosen, v, zeros), (rows,)))
    moved = imag(reduce_sum(select(chosen, change, zeros), (rows,)))
    along = real(reduce_sum(mul(conj(v), change), (rows,)))
    return add(change, with_columns(v, complex(neg(along), neg(div(moved, largest)))))


def _vectors_change(v: Any, w: Any, rotation: Any) -> Any:
    """The change of eigenvectors, whose matrix changes by `v @ rotation @ inv(v)`."""
    return _normalised(v, matmul(v, mul(off_diagonal_reciprocals(differences(w)), rotation)))


def _eig_jvp(
    primals: Any,
    tangents: Any,
    *,
    compute_left_eigenvectors: bool,
    compute_right_eigenvectors: bool,
    enable_eigvec_derivs: bool,
    implementation: EigImplementation | None,
) -> tuple[list[Any], list[Any]]:
    (x,), (tangent,) = primals, tangents
    vectors = compute_left_eigenvectors or compute_right_eigenvectors
    if vectors and not enable_eigvec_derivs:
        raise MissingRuleError(
            "eig: derivatives of eigenvectors exist only where all eigenvalues are distinct and no eigenvector has two "
            "largest components, which is not checked; pass enable_eigvec_derivs=True to lax.linalg.eig to have them"
        )
    # Values do not depend on how vectors are normalised, so their derivatives of any order exist.
    w, *sides = eig_p.bind(
        x,
        compute_left_eigenvectors=compute_left_eigenvectors,
        compute_right_eigenvectors=True,
        enable_eigvec_derivs=True,
        implementation=implementation,
    )
    v = sides[-1]
    dx = convert_element_type(instantiate(tangent), dtype_of(v))
    rotation = solve(v, matmul(dx, v))
    outs, changes = [w], [diagonal(rotation)]
    if compute_left_eigenvectors:
        u = sides[0]
        outs.append(u)
        changes.append(_vectors_change(u, conj(w), solve(u, matmul(ct(dx), u))))
    if compute_right_eigenvectors:
        outs.append(v)
        changes.append(_vectors_change(v, w, rotation))
    return outs, changes


def _eig_dce(
    used: Sequence[bool], *, compute_left_eigenvectors: bool, compute_right_eigenvectors: bool, **how: Any
) -> tuple[list[bool], list[bool], dict[str, Any]]:
    _, *vectors = used
    left = compute_left_eigenvectors and vectors[0]
    right = compute_right_eigenvectors and vectors[-1]
    outputs = [True, *[left] * compute_left_eigenvectors, *[right] * compute_right_eigenvectors]
    params = {"compute_left_eigenvectors": left, "compute_right_eigenvectors": right, **how}
    return [True], outputs, params


eig_p = declare(
    "eig",
    shape=_eig_shape,
    lower=widening(NARROW, _eig_lower),
    jvp=_eig_jvp,
    transpose=Missing("it is not linear"),
    batch=batch_first,
    dce=_eig_dce,
    multiple_results=True,
    dtypes=SPECTRAL,
)


def eig(
    x: Any,
    *,
    compute_left_eigenvectors: bool = True,
    compute_right_eigenvectors: bool = True,
    enable_eigvec_derivs: bool = False,
    implementation: EigImplementation | None = None,
    use_magma: bool | None = None,
) -> list[Any]:
    """The eigenvalues and eigenvectors of general square matrices.

    Args:
      x: a stack of matrices, of shape `(..., n, n)`.
      compute_left_eigenvectors: whether to return `vl`, whose columns `u` satisfy `u.conj() @ x == w * u.conj()`.
      compute_right_eigenvectors: whether to return `vr`, whose columns `v` satisfy `x @ v == w * v`.
      enable_eigvec_derivs: whether eigenvectors have derivatives. They are right where all eigenvalues are distinct and no
        eigenvector has two largest components, which is not checked. Eigenvalues have derivatives anyway.
      implementation: what computes them; None for the platform's best.
      use_magma: as the implementation MAGMA; deprecated.
    Returns:
      `[w, vl, vr]` or fewer: eigenvalues, complex, of shape `(..., n)`, and eigenvectors as columns, complex, of length 1 and
      with a real largest component; NaN for matrices with a NaN or an infinity.
    Raises:
      TypeError: `x` has fewer than two dimensions, or a dtype without linear algebra.
      ValueError: matrices are not square, or the platform has no such implementation.

    LAPACK's `geev` computes them, also for CUDA devices, on the host.

    >>> import anima.numpy as np
    >>> from anima import lax
    >>> w, vl, vr = lax.linalg.eig(np.array([[0.0, 1.0], [-1.0, 0.0]]))
    >>> print(w)
    [0.+1.j 0.-1.j]
    """
    if use_magma is not None:
        warnings.warn(
            "eig: use_magma is deprecated; pass implementation=EigImplementation.MAGMA",
            DeprecationWarning,
            stacklevel=user_stack_level(),
        )
        implementation = EigImplementation.MAGMA if use_magma else EigImplementation.LAPACK
    out: list[Any] = eig_p.bind(
        as_operand(x),
        compute_left_eigenvectors=bool(compute_left_eigenvectors),
        compute_right_eigenvectors=bool(compute_right_eigenvectors),
        enable_eigvec_derivs=bool(enable_eigvec_derivs),
        implementation=implementation,
    )
    return out


# --- schur ------------------------------------------------------------------------------------


def _schur_shape(x: ShapedArray, *, compute_schur_vectors: bool) -> list[ShapedArray]:
    check_matrix("schur", x, "x", SPECTRAL, square=True)
    return [ShapedArray(x.shape, x.dtype, x.weak_type)] * (1 + compute_schur_vectors)


def _on_host_or_nothing(kernel: str) -> Callable[..., list[Value]]:
    def lower(ctx: Context, *operands: Value, **params: Any) -> list[Value]:
        if is_empty(operands[0].aval):
            return zeros(ctx)
        return on_host(ctx, kernel, operands, ctx.out_avals)

    return lower


def _schur_dce(
    used: Sequence[bool], *, compute_schur_vectors: bool
) -> tuple[list[bool], list[bool], dict[str, Any]]:
    vectors = compute_schur_vectors and used[1]
    return [True], [True, vectors][: len(used)], {"compute_schur_vectors": vectors}


schur_p = declare(
    "schur",
    shape=_schur_shape,
    lower=widening(NARROW, _on_host_or_nothing("anima_schur")),
    jvp=Missing("the Schur form has no derivative known here"),
    transpose=Missing("it is not linear"),
    batch=batch_first,
    dce=_schur_dce,
    multiple_results=True,
    dtypes=SPECTRAL,
)


def _reorder_shape(*avals: ShapedArray) -> list[ShapedArray]:
    return [ShapedArray(a.shape, a.dtype) for a in avals[:-1]]


schur_reorder_p = declare(
    "schur_reorder",
    shape=_reorder_shape,
    lower=widening(NARROW, _on_host_or_nothing("anima_schur_reorder")),
    jvp=Missing("the Schur form has no derivative known here"),
    transpose=Missing("it is not linear"),
    batch=batch_first,
    multiple_results=True,
    dtypes=SPECTRAL,
)


def _eigenvalues_of(t: Any) -> Any:
    """The eigenvalues of matrices in Schur form, complex, in the order of the diagonal."""
    values = diagonal(t)
    if dtypes.is_complex(dtype_of(t)):
        return values
    if shape_of(t)[-1] < 2:
        return complex(values, full_like(values, 0))
    # A block of two rows has one number twice on its diagonal, and a product b * c < 0 beside it: its eigenvalues are
    # a + i sqrt(-b c) and a - i sqrt(-b c).
    product = mul(beside(t, 1), beside(t, -1))
    size = sqrt(max(neg(product), full_like(product, 0)))
    config = [(0, 0, 0)] * (len(shape_of(size)) - 1)
    zero = dtype_of(size).type(0)
    first = pad_p.bind(size, zero, padding_config=(*config, (0, 1, 0)))
    second = pad_p.bind(size, zero, padding_config=(*config, (1, 0, 0)))
    return complex(values, sub(first, second))


def schur(
    x: Any,
    *,
    compute_schur_vectors: bool = True,
    sort_eig_vals: bool = False,
    select_callable: Callable[..., Any] | None = None,
) -> list[Any]:
    """The Schur form `x = q @ t @ q.conj().T` of square matrices: `t` is triangular, `q` unitary.

    For real matrices `t` is real: it has a block of two rows on its diagonal for each pair of complex eigenvalues.

    Args:
      x: a stack of matrices, of shape `(..., n, n)`.
      compute_schur_vectors: whether to return `q`.
      sort_eig_vals: whether the eigenvalues that `select_callable` chooses come first on the diagonal.
      select_callable: a function of an array of eigenvalues, complex and of shape `(..., n)`, that returns truth values of
        that shape. Of a pair of complex eigenvalues of a real matrix both are chosen if one is.
    Returns:
      `[t, q]`, or `[t]`; NaN for matrices with a NaN or an infinity.
    Raises:
      TypeError: `x` has fewer than two dimensions, or a dtype without linear algebra.
      ValueError: matrices are not square, or there is nothing to sort by.
      NotImplementedError: the program is not for CPU devices.

    LAPACK's `gees` computes it, and `trsen` sorts it.

    >>> import anima.numpy as np
    >>> from anima import lax
    >>> t, q = lax.linalg.schur(np.array([[1.0, 2.0], [0.0, 3.0]]))
    >>> print(t)
    [[1. 2.]
     [0. 3.]]
    >>> t, q = lax.linalg.schur(t, sort_eig_vals=True, select_callable=lambda w: w.real > 2)
    >>> print(np.diagonal(t))
    [3. 1.]
    """
    if sort_eig_vals and select_callable is None:
        raise ValueError("schur: sort_eig_vals=True needs a select_callable that chooses eigenvalues")
    outs: list[Any] = schur_p.bind(as_operand(x), compute_schur_vectors=bool(compute_schur_vectors))
    if not sort_eig_vals:
        return outs
    assert select_callable is not None
    values = _eigenvalues_of(outs[0])
    chosen = convert_element_type(as_operand(select_callable(values)), np.int32)
    if shape_of(chosen) != shape_of(values):
        raise ValueError(
            f"schur: select_callable must return an array of shape {shape_of(values)}, one truth value for each "
            f"eigenvalue, got shape {shape_of(chosen)}"
        )
    ordered: list[Any] = schur_reorder_p.bind(*outs, chosen)
    return ordered


# --- hessenberg -------------------------------------------------------------------------------


def _hessenberg_shape(a: ShapedArray) -> list[ShapedArray]:
    check_matrix("hessenberg", a, "a", SPECTRAL, square=True)
    if a.shape[-1] == 0:
        raise ValueError(f"hessenberg: matrices must have at least one row, got shape {a.shape}")
    taus = ShapedArray((*a.shape[:-2], a.shape[-1] - 1), a.dtype, a.weak_type)
    return [ShapedArray(a.shape, a.dtype, a.weak_type), taus]


hessenberg_p = declare(
    "hessenberg",
    shape=_hessenberg_shape,
    lower=widening(NARROW, _on_host_or_nothing("anima_hessenberg")),
    jvp=Missing("the reduction to Hessenberg form has no derivative known here"),
    transpose=Missing("it is not linear"),
    batch=batch_first,
    multiple_results=True,
    dtypes=SPECTRAL,
)


def hessenberg(a: Any) -> tuple[Any, Any]:
    """The reduction of square matrices to Hessenberg form, with zeros left of the diagonal beside the main one.

    Args:
      a: a stack of matrices, of shape `(..., n, n)`.
    Returns:
      `(a, taus)`: matrices with the Hessenberg form, and in place of its zeros the vectors of the reflections that lead to
      it; and the factors of the reflections, of shape `(..., n - 1)`. They are as LAPACK's `gehrd` gives them.
    Raises:
      TypeError: `a` has fewer than two dimensions, or a dtype without linear algebra.
      ValueError: matrices are not square, or empty.
      NotImplementedError: the program is not for CPU devices.

    >>> import anima.numpy as np
    >>> from anima import lax
    >>> h, taus = lax.linalg.hessenberg(np.array([[1.0, 2.0], [3.0, 4.0]]))
    >>> print(h, taus)
    [[1. 2.]
     [3. 4.]] [0.]
    """
    h, taus = hessenberg_p.bind(as_operand(a))
    return h, taus
