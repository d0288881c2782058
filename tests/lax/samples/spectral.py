"""Eigenvalues, singular values, and triangular forms.

Factors are unique up to signs or phases only, so samples give what does not depend on those.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from anima import dtypes, lax
from anima.lax.linalg.eigen import eigh_tridiagonal
from anima.lax.linalg.functions import parlett, sqrtm, sylvester
from tests.lax.samples import C64, F32, Sample, complexes, floats

FAR = np.diag([-3.0, 0.5, 2.0, 4.0])  # eigenvalues far from each other
REAL = (FAR + floats((4, 4)) / 4).astype(F32)
COMPLEX = (FAR + complexes((4, 4)) / 4).astype(C64)
TURNING = np.array(
    [[1.0, 2.0, 0.0], [-2.0, 1.5, 0.5], [0.25, 0.5, -2.0]], F32
)  # a pair of complex eigenvalues
TALL = (np.eye(4, 3) * [5.0, 3.0, 1.5] + floats((4, 3)) / 4).astype(F32)


def known(x: np.ndarray) -> np.ndarray:
    """The array in a dtype that LAPACK has."""
    return np.asarray(x, np.complex128 if np.iscomplexobj(x) else np.float64)


def ct(x: Any) -> Any:
    return np.conj(np.swapaxes(x, -1, -2))


def on_arrays(fun: Callable[..., Any]) -> Callable[..., Any]:
    """An oracle from a function of arrays with dtypes that LAPACK has."""
    return lambda *xs: fun(*[known(x) for x in xs])


def _conj(x: Any) -> Any:
    return lax.conj(x) if dtypes.is_complex(x.dtype) else x


def _product(x: Any, y: Any) -> Any:
    return lax.batch_matmul(x, y, lax.Precision.HIGHEST)


def _ct(x: Any) -> Any:
    return _conj(lax.transpose(x, (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2)))


def _columns(x: Any, weights: Any) -> Any:
    spread = lax.broadcast_in_dim(weights, x.shape, (*range(x.ndim - 2), x.ndim - 1))
    return x * lax.convert_element_type(spread, x.dtype)


# --- eigh -------------------------------------------------------------------------------------


def eigh_parts(v: Any, w: Any) -> tuple[Any, ...]:
    """Eigenvalues, the sizes of the components of eigenvectors, and the sines of the matrices."""
    return w, v * _conj(v), _product(_columns(v, lax.sin(w)), _ct(v))


def eigh_oracle(x: np.ndarray) -> tuple[np.ndarray, ...]:
    w, v = np.linalg.eigh((x + ct(x)) / 2)
    return w, v * np.conj(v), (v * np.sin(w)[..., None, :]) @ ct(v)


def eigh_sample(x: np.ndarray, **more: Any) -> Sample:
    return Sample(
        primitive="eigh",
        call=lambda x: eigh_parts(*lax.linalg.eigh(x)),
        args=(x,),
        oracle=on_arrays(eigh_oracle),
        ulps=32,
        floor=1,
        **more,
    )


def some_of_eigh(x: Any) -> tuple[Any, Any]:
    v, w = lax.linalg.eigh(x, subset_by_index=(1, 3))
    return w, v * _conj(v)


def some_by_numpy(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    w, sizes, _ = eigh_oracle(x)
    return w[..., 1:3], sizes[..., 1:3]


# --- eig --------------------------------------------------------------------------------------


def _by_value(w: Any, *sizes: Any) -> tuple[Any, ...]:
    """Eigenvalues and what belongs to them, in the order of the real, then of the imaginary parts."""
    order = np.lexsort((np.imag(w).round(6), np.real(w).round(6)))
    return (w[order], *[s[:, order] for s in sizes])


def eig_oracle(x: np.ndarray) -> tuple[np.ndarray, ...]:
    w, v = np.linalg.eig(x)
    back, u = np.linalg.eig(ct(x))
    return _by_value(w, v)[:1] + _by_value(w, np.abs(v))[1:] + _by_value(np.conj(back), np.abs(u))[1:]


def eig_parts(x: Any) -> tuple[Any, ...]:
    w, u, v = lax.linalg.eig(x, enable_eigvec_derivs=True)
    order = lax.sort((lax.round(lax.real(w) * 64), lax.imag(w), lax.iota(np.int32, w.shape[0])), num_keys=2)[
        2
    ]

    def chosen(x: Any) -> Any:
        return lax.index_take(x, (order,), (x.ndim - 1,)) if x.ndim == 1 else lax.transpose(
            lax.index_take(lax.transpose(x, (1, 0)), (order,), (0,)), (1, 0)
        )  # fmt: skip

    return chosen(w), chosen(lax.abs(v)), chosen(lax.abs(u))


# --- svd --------------------------------------------------------------------------------------


def svd_parts(x: Any) -> tuple[Any, ...]:
    """Singular values, the sizes of the factors' components, and the sines of the singular values between the factors."""
    u, s, vh = lax.linalg.svd(x, full_matrices=False)
    return s, u * _conj(u), vh * _conj(vh), _product(_columns(u, lax.sin(s)), vh)


def svd_oracle(x: np.ndarray) -> tuple[np.ndarray, ...]:
    u, s, vh = np.linalg.svd(x, full_matrices=False)
    return s, u * np.conj(u), vh * np.conj(vh), (u * np.sin(s)) @ vh


def svd_sample(x: np.ndarray, **more: Any) -> Sample:
    return Sample(
        primitive="svd", call=svd_parts, args=(x,), oracle=on_arrays(svd_oracle), ulps=32, floor=1, **more
    )


def values_sample(x: np.ndarray, differentiate: bool = False, **how: Any) -> Sample:
    return Sample(
        primitive="svd",
        call=lambda x: lax.linalg.svd(x, compute_uv=False, **how),
        args=(x,),
        oracle=on_arrays(lambda x: np.linalg.svd(x, compute_uv=False)),
        ulps=32,
        floor=1,
        differentiate=differentiate,
    )


# --- triangular forms -------------------------------------------------------------------------


def schur_parts(x: Any) -> tuple[Any, Any]:
    t, q = lax.linalg.schur(x)
    return _product(_product(q, t), _ct(q)), _product(q, _ct(q))


def _positive(w: Any) -> Any:
    return lax.real(w) > 0


def ordered(t: Any, q: Any) -> tuple[Any, Any]:
    return t, q * _conj(q)


def hessenberg_oracle(x: np.ndarray) -> tuple[np.ndarray, ...]:
    h, taus = np.zeros_like(x), np.zeros((*x.shape[:-2], x.shape[-1] - 1), x.dtype)
    gehrd = _lapack("gehrd", x)
    for i in np.ndindex(x.shape[:-2]):
        h[i], taus[i], info = gehrd(x[i])
        assert info == 0
    return h, taus


def _lapack(name: str, x: np.ndarray) -> Any:
    from scipy.linalg import get_lapack_funcs

    return get_lapack_funcs(name, (x,))


def tridiagonal_oracle(x: np.ndarray) -> tuple[np.ndarray, ...]:
    outs = _lapack("hetrd" if np.iscomplexobj(x) else "sytrd", x)(x, lower=1)
    assert outs[-1] == 0
    return tuple(outs[:-1])


def eigh_bands(d: np.ndarray, e: np.ndarray) -> tuple[np.ndarray, ...]:
    n = d.shape[-1]
    a, i = np.zeros((n, n)), np.arange(n)
    a[i, i] = d
    a[i[1:], i[:-1]] = a[i[:-1], i[1:]] = e
    return eigh_oracle(a)


def sylvester_oracle(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    m, n = c.shape
    whole = np.kron(a, np.eye(n)) + np.kron(np.eye(m), b.T)
    return np.linalg.solve(whole, c.reshape(-1)).reshape(m, n)


def sqrtm_oracle(x: np.ndarray) -> np.ndarray:
    w, v = np.linalg.eig(x)
    return (v * np.sqrt(w)) @ np.linalg.inv(v)


def cubes_oracle(t: np.ndarray) -> np.ndarray:
    upper = np.triu(t)
    return upper @ upper @ upper


def cubes(t: Any) -> Any:
    zeros = lax.full_like(t, 0)
    rows, columns = (lax.broadcasted_iota(np.int32, t.shape, t.ndim - d) for d in (2, 1))
    upper = lax.select(lax.le(rows, columns), t, zeros)
    values = lax.reduce_sum(lax.select(lax.eq(rows, columns), t, zeros), (t.ndim - 1,))
    return parlett(upper, values * values * values)[0]


def reduced(x: np.ndarray) -> np.ndarray:
    """A matrix that leaves nothing of a reduction to chance: reflections are determined."""
    return np.asarray(x + np.tri(4), F32)


SAMPLES = [
    eigh_sample(REAL, differentiate=False),
    eigh_sample(COMPLEX),
    eigh_sample(np.zeros((0, 0), F32), differentiate=False),
    eigh_sample(np.full((1, 1), 3.0, F32), differentiate=False),
    Sample(
        primitive="eigh",
        call=some_of_eigh,
        args=(REAL,),
        oracle=on_arrays(some_by_numpy),
        ulps=32,
        floor=1,
    ),
    Sample(
        primitive="eig",
        call=eig_parts,
        args=(TURNING,),
        oracle=on_arrays(eig_oracle),
        ulps=64,
        floor=1,
        mapped=False,
        only=("float32", "float64", "complex64", "complex128"),
    ),
    Sample(
        primitive="eig",
        call=eig_parts,
        args=(COMPLEX,),
        oracle=on_arrays(eig_oracle),
        ulps=64,
        floor=1,
        mapped=False,
        differentiate=False,
    ),
    Sample(
        primitive="eig",
        call=lambda x: lax.linalg.eig(x, compute_left_eigenvectors=False, compute_right_eigenvectors=False)[
            0
        ],
        args=(np.stack([TURNING, TURNING.T * 2]),),
        oracle=on_arrays(np.linalg.eigvals),
        ulps=64,
        floor=1,
    ),
    svd_sample(TALL),
    svd_sample((TALL.T + 0.5j * floats((3, 4))).astype(C64)),
    svd_sample(np.zeros((0, 3), F32), differentiate=False),
    values_sample(REAL, differentiate=True),
    values_sample(COMPLEX, algorithm=lax.linalg.SvdAlgorithm.QR),
    values_sample(TALL, subset_by_index=(0, 3)),
    Sample(
        primitive="svd",
        call=lambda x: lax.linalg.svd(x, full_matrices=False, subset_by_index=(1, 3))[1],
        args=(TALL,),
        oracle=on_arrays(lambda x: np.linalg.svd(x)[1][1:3]),
        ulps=32,
        floor=1,
        differentiate=False,
    ),
    Sample(
        primitive="schur",
        call=schur_parts,
        args=(REAL,),
        oracle=lambda x: (x, np.eye(4)),
        ulps=32,
        floor=4,
        differentiate=False,
    ),
    Sample(
        primitive="schur_reorder",
        call=lambda x: ordered(*lax.linalg.schur(x, sort_eig_vals=True, select_callable=_positive)),
        args=(np.diag(np.arange(-2.0, 2.0)).astype(F32),),
        oracle=lambda x: (x[[3, 0, 1, 2]][:, [3, 0, 1, 2]], np.eye(4)[:, [3, 0, 1, 2]]),
        ulps=32,
        floor=4,
        differentiate=False,
        mapped=False,
        only=("float32", "float64", "complex64", "complex128"),
    ),
    Sample(
        primitive="hessenberg",
        call=lambda x: lax.linalg.hessenberg(x),
        args=(REAL,),
        oracle=on_arrays(hessenberg_oracle),
        ulps=32,
        floor=4,
        differentiate=False,
    ),
    Sample(
        primitive="tridiagonal",
        call=lambda x: lax.linalg.tridiagonal(x),
        args=(reduced(REAL),),
        oracle=on_arrays(tridiagonal_oracle),
        ulps=32,
        floor=4,
        differentiate=False,
    ),
    Sample(
        primitive="eigh_tridiagonal",
        call=lambda d, e: eigh_parts(*eigh_tridiagonal(d, e, True)),
        args=(np.array([1.0, -2.0, 3.0, 5.0], F32), floats((3,))),
        oracle=on_arrays(eigh_bands),
        ulps=32,
        floor=1,
    ),
    Sample(
        primitive="eigh_tridiagonal",
        call=lambda d, e: eigh_tridiagonal(d, e, False)[0],
        args=(np.array([1.0, -2.0, 3.0, 5.0], F32), floats((3,))),
        oracle=on_arrays(lambda d, e: eigh_bands(d, e)[0]),
        ulps=32,
        floor=1,
        differentiate=False,
    ),
    Sample(
        primitive="sylvester",
        call=sylvester,
        args=(REAL, TURNING + np.eye(3, dtype=F32) * 8, floats((4, 3))),
        oracle=on_arrays(sylvester_oracle),
        ulps=64,
        floor=1,
    ),
    Sample(
        primitive="sylvester",
        call=sylvester,
        args=(COMPLEX, np.asarray(TURNING + 8j * np.eye(3), C64), complexes((4, 3))),
        oracle=on_arrays(sylvester_oracle),
        ulps=64,
        floor=1,
        differentiate=False,
    ),
    Sample(
        primitive="sqrtm",
        call=sqrtm,
        args=(COMPLEX + 6 * np.eye(4, dtype=C64),),
        oracle=on_arrays(sqrtm_oracle),
        ulps=64,
        floor=1,
    ),
    Sample(
        primitive="parlett",
        call=cubes,
        args=(COMPLEX,),
        oracle=on_arrays(cubes_oracle),
        ulps=256,
        floor=16,
        differentiate=False,
    ),
]
