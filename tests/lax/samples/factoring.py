"""Factorisations and systems of equations.

The matrices are far from singular whatever is mapped: a multiple of the identity is added to small numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.linalg

from anima import lax
from anima.lax.linalg.qr import geqp3, geqrf
from anima.lax.linalg.solving import transposed_lu, transposed_lu_solve_p
from tests.lax.samples import I32, Sample, complexes, floats, integers

SMALL = floats((3, 3)) / 8
SMALL_C = complexes((3, 3)) / 8
TALL, WIDE, TALL_C = floats((4, 3)) / 8, floats((3, 4)) / 8, complexes((4, 3)) / 8
STACK = floats((2, 3, 3)) / 8
COLUMNS, COLUMNS_C, ROWS = floats((3, 2)), complexes((3, 2)), floats((2, 3))

# In units of the last place of numbers as large as those that enter.
BOUND = {"ulps": {"": 12.0, "complex64": 24.0, "complex128": 24.0}, "floor": 2.0}
# The dtypes whose numbers can be told from zero by elimination.
KNOWN = ("bfloat16", "float16", "float32", "float64", "complex64", "complex128")


def by_matrix(fun: Callable[..., Any]) -> Callable[..., Any]:
    """An oracle from a function of single matrices in a dtype that LAPACK has, for stacks of them."""

    def oracle(*xs: np.ndarray) -> Any:
        plain = [np.asarray(x, np.complex128 if np.iscomplexobj(x) else np.float64) for x in xs]
        if xs[0].ndim == 2:
            return fun(*plain)
        parts = [fun(*rows) for rows in zip(*plain)]
        return tuple(map(np.stack, zip(*parts))) if isinstance(parts[0], tuple) else np.stack(parts)

    return oracle


def regular(x: Any) -> Any:
    """Numbers added to the diagonal so that it dominates."""
    eye = np.eye(*x.shape[-2:]) * 2
    return x + (eye if isinstance(x, np.ndarray) else lax.convert_element_type(eye, x.dtype))


def hermitian(x: np.ndarray) -> np.ndarray:
    y = regular(x)
    return (y + np.conj(y).T) / 2


def cholesky_sample(x: np.ndarray) -> Sample:
    return Sample(
        primitive="cholesky",
        call=lambda x: lax.linalg.cholesky(regular(x)),
        args=(x,),
        oracle=by_matrix(lambda x: np.linalg.cholesky(hermitian(x))),
        **BOUND,
    )


def triangular_sample(a: np.ndarray, b: np.ndarray, **flags: bool) -> Sample:
    def oracle(a: np.ndarray, b: np.ndarray) -> Any:
        lower = flags.get("lower", False)
        a = np.tril(regular(a)) if lower else np.triu(regular(a))
        if flags.get("unit_diagonal"):
            a = a - np.diag(np.diag(a)) + np.eye(len(a))
        a = a.conj() if flags.get("conjugate_a") else a
        a = a.T if flags.get("transpose_a") else a
        return np.linalg.solve(a, b) if flags.get("left_side") else np.linalg.solve(a.T, b.T).T

    return Sample(
        primitive="triangular_solve",
        call=lambda a, b: lax.linalg.triangular_solve(regular(a), b, **flags),
        args=(a, b),
        oracle=by_matrix(oracle),
        only=KNOWN,
        **BOUND,
    )


def update_oracle(r: np.ndarray, w: np.ndarray) -> np.ndarray:
    upper = np.triu(regular(r))
    return np.linalg.cholesky(upper.T @ upper + np.outer(w, w)).T + np.tril(r, -1)


def lu_oracle(x: np.ndarray) -> Any:
    factors, pivots = scipy.linalg.lu_factor(x)
    return factors, pivots.astype(I32), permutation_oracle(pivots, len(x))


def permutation_oracle(pivots: np.ndarray, size: int) -> np.ndarray:
    order = np.arange(size, dtype=I32)
    for i, pivot in enumerate(pivots):
        order[[i, pivot]] = order[[pivot, i]]
    return order


def lu_sample(x: np.ndarray) -> Sample:
    """With the largest number of each column where no rounding makes another one larger."""
    shift = np.eye(*x.shape[-2:], k=-1) * 2

    return Sample(
        primitive="lu",
        call=lambda x: lax.linalg.lu(x + lax.convert_element_type(shift, x.dtype)),
        args=(x,),
        oracle=by_matrix(lambda x: lu_oracle(x + shift)),
        **BOUND,
    )


def reflectors_oracle(x: np.ndarray) -> Any:
    (packed, taus), _ = scipy.linalg.qr(regular(x), mode="raw")
    return packed, taus


def pivoted_oracle(x: np.ndarray) -> Any:
    (packed, taus), _, places = scipy.linalg.qr(scaled(x), mode="raw", pivoting=True)
    return packed, places.astype(I32), taus


def scaled(x: Any) -> Any:
    """Columns whose lengths differ for sure, the longest last."""
    columns = x.shape[-1]
    steps = np.asarray(2.0 ** np.arange(columns))
    return regular(x) * (steps if isinstance(x, np.ndarray) else lax.convert_element_type(steps, x.dtype))


def qr_sample(x: np.ndarray, full_matrices: bool, pivoting: bool = False) -> Sample:
    change = scaled if pivoting else regular

    def oracle(x: np.ndarray) -> Any:
        out = scipy.linalg.qr(change(x), mode="full" if full_matrices else "economic", pivoting=pivoting)
        return without_signs((*out[:2], out[2].astype(I32)) if pivoting else out)

    # Which zeros of q are negative depends on the order of operations. Compilers leave out the sum with a constant zero.
    without_signs = lambda out: (out[0] + out[0].real.sum() ** 2 * 0, *out[1:])
    return Sample(
        primitive="qr",
        call=lambda x: without_signs(
            lax.linalg.qr(change(x), full_matrices=full_matrices, pivoting=pivoting)
        ),
        args=(x,),
        oracle=by_matrix(oracle),
        **BOUND,
    )


def product_oracle(a: np.ndarray, taus: np.ndarray) -> np.ndarray:
    """The reflectors multiplied one by one."""
    rows, columns = a.shape
    q = np.eye(rows, dtype=a.dtype)
    for j, tau in enumerate(taus):
        v = np.concatenate([np.zeros(j), [1.0], a[j + 1 :, j]])
        q = q @ (np.eye(rows) - tau * np.outer(v, v.conj()))
    return q


def ormqr_sample(c: np.ndarray, a: np.ndarray, taus: np.ndarray, left: bool, transpose: bool) -> Sample:
    def oracle(a: np.ndarray, taus: np.ndarray, c: np.ndarray) -> np.ndarray:
        q = product_oracle(a, taus)
        q = q.conj().T if transpose else q
        return q @ c if left else c @ q

    return Sample(
        primitive="ormqr",
        call=lambda a, taus, c: lax.linalg.ormqr(a, taus, c, left=left, transpose=transpose),
        args=(a, taus, c),
        oracle=by_matrix(oracle),
        **BOUND,
    )


def tridiagonal_oracle(dl: np.ndarray, d: np.ndarray, du: np.ndarray, b: np.ndarray) -> np.ndarray:
    plain = np.complex128 if np.iscomplexobj(b) else np.float64
    dl, d, du, b = (np.asarray(x, plain) for x in (dl, d, du, b))
    if d.ndim == 2:
        return np.stack([tridiagonal_oracle(*rows) for rows in zip(dl, d, du, b)])
    return np.linalg.solve(np.diag(d + 4) + np.diag(dl[1:], -1) + np.diag(du[:-1], 1), b)


def solve_call(transpose_a: bool) -> Callable[..., Any]:
    def call(a: Any, b: Any) -> Any:
        factors, pivots = transposed_lu(regular(a))
        return transposed_lu_solve_p.bind(factors, pivots, b, transpose_a=transpose_a)

    return call


def transposed_oracle(x: np.ndarray) -> Any:
    factors, pivots, _ = lu_oracle(regular(x).T)
    return factors.T, pivots


SAMPLES = [
    *map(cholesky_sample, (SMALL, SMALL_C, STACK)),
    triangular_sample(SMALL, COLUMNS, left_side=True, lower=True),
    triangular_sample(SMALL, ROWS),
    triangular_sample(SMALL, COLUMNS, left_side=True, transpose_a=True, unit_diagonal=True),
    triangular_sample(SMALL_C, COLUMNS_C, left_side=True, lower=True, transpose_a=True, conjugate_a=True),
    triangular_sample(SMALL_C, COLUMNS_C[:, :1], left_side=True, conjugate_a=True),
    Sample(
        primitive="cholesky_update",
        call=lambda r, w: lax.linalg.cholesky_update(regular(r), w),
        args=(SMALL, floats((3,))),
        oracle=by_matrix(update_oracle),
        only=KNOWN,
        **BOUND,
    ),
    *map(lu_sample, (SMALL, TALL, WIDE, SMALL_C)),
    Sample(
        primitive="lu_pivots_to_permutation",
        call=lambda pivots: lax.linalg.lu_pivots_to_permutation(pivots, 4),
        args=(integers((3,), 1, 4),),
        oracle=lambda pivots: permutation_oracle(pivots, 4),
    ),
    Sample(
        primitive="geqrf",
        call=lambda x: geqrf(regular(x)),
        args=(TALL,),
        oracle=by_matrix(reflectors_oracle),
        **BOUND,
    ),
    Sample(
        primitive="geqp3",
        call=lambda x: geqp3(scaled(x)),
        args=(SMALL,),
        oracle=by_matrix(pivoted_oracle),
        **BOUND,
    ),
    qr_sample(TALL, False),
    qr_sample(TALL_C, True),
    qr_sample(WIDE, True),
    qr_sample(SMALL, True, pivoting=True),
    Sample(
        primitive="householder_product",
        call=lax.linalg.householder_product,
        args=(TALL, floats((3,), 0.5, 1.5)),
        oracle=by_matrix(lambda a, taus: product_oracle(a, taus)[:, : a.shape[1]]),
        **BOUND,
    ),
    ormqr_sample(floats((4, 2)), TALL, floats((2,), 0.5, 1.5), True, False),
    ormqr_sample(complexes((2, 4)), TALL_C, complexes((3,)), False, True),
    Sample(
        primitive="symmetric_product",
        call=lambda a, c: lax.linalg.symmetric_product(a, c, alpha=2.0, beta=0.5),
        args=(floats((2, 3)), floats((2, 2))),
        oracle=lambda a, c: 2 * a @ np.swapaxes(a, -1, -2) + c / 2,
        only=KNOWN,
        **BOUND,
    ),
    Sample(
        primitive="tridiagonal_solve",
        call=lambda dl, d, du, b: lax.linalg.tridiagonal_solve(dl, d + 4, du, b),
        args=(floats((3,), -1, 1), floats((3,), -1, 1), floats((3,), 0, 1), COLUMNS),
        oracle=tridiagonal_oracle,
        **BOUND,
    ),
    Sample(
        primitive="tridiagonal_solve",
        call=lambda dl, d, du, b: lax.linalg.tridiagonal_solve(dl, d + 4, du, b, perturb_singular=True),
        args=(complexes((3,), 1), complexes((3,), 1), complexes((3,), 1), COLUMNS_C),
        oracle=tridiagonal_oracle,
        **BOUND,
    ),
    Sample(
        primitive="transposed_lu",
        call=lambda x: transposed_lu(regular(x)),
        args=(SMALL,),
        oracle=by_matrix(transposed_oracle),
        differentiate=False,
        **BOUND,
    ),
    *[
        Sample(
            primitive="transposed_lu_solve",
            call=solve_call(transposed),
            args=args,
            oracle=by_matrix(lambda a, b, t=transposed: np.linalg.solve(regular(a).T if t else regular(a), b)),
            differentiate=False,
            **BOUND,
        )
        for transposed, args in ((False, (SMALL, COLUMNS)), (True, (SMALL_C, COLUMNS_C)))
    ],
]  # fmt: skip
