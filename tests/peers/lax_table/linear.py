"""Factorisations and systems of equations of `lax.linalg`.

Invariant: of results that a library may choose among, only what all choices have in common is compared.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import anima
from anima.dtypes import is_inexact
from anima.lax.declare import FLOAT8
from tests.peers.lax_table.entry import Arguments, entry
from tests.peers.lax_table.source import Call, Lax, Shape, Source

USUAL = ("float32", "float64", "complex64", "complex128")
INDICES = ("int32", "int64", "uint32", "int8")
Arrays = list[np.ndarray]
Matrices = Any  # an array, or a weakly typed one that each library makes


def plain(a: Matrices) -> np.ndarray:
    """The matrices of a call."""
    return np.asarray(a.make(anima.lax)) if isinstance(a, Lax) else a


def unknown(call: Call, ours: Any, theirs: Any) -> bool:
    """The row `late-dtypes`: JAX takes narrow floats while it traces, and no integers of two bits."""
    names = {a.dtype.name for a in call.args if isinstance(a, np.ndarray)}
    if isinstance(ours, TypeError):
        return bool(names & {*FLOAT8, "float4_e2m1fn"})
    return bool(names & {"int2", "uint2"}) and isinstance(theirs, TypeError)


def inexact_only(call: Call, ours: Any, theirs: Any) -> bool:
    """The rows `late-dtypes` and `first-mistake`: JAX looks at the dtype last."""
    late = isinstance(ours, TypeError) and isinstance(theirs, ValueError)
    return unknown(call, ours, theirs) or (late and not is_inexact(call.args[0].dtype))


def batched(s: Source, *shape: int) -> Shape:
    """The shape of a stack of matrices, or of one; perhaps one that does not fit."""
    return s.near((*s.shape(0, 1), *shape))


def square(s: Source) -> Matrices:
    """Square matrices."""
    n = s.size()
    return s.tensor(batched(s, n, n), values="small")


def raised(a: np.ndarray, more: float) -> np.ndarray:
    if a.ndim < 2 or not is_inexact(a.dtype) or not more:
        return a
    return (a.astype(complex if a.dtype.kind == "c" else float) + more * np.eye(*a.shape[-2:])).astype(
        a.dtype
    )


def definite(s: Source) -> Matrices:
    """Hermitian matrices with positive eigenvalues, if their dtype has such."""
    a = square(s)
    if isinstance(a, Lax) or a.ndim < 2 or not is_inexact(a.dtype) or a.shape[-1] != a.shape[-2]:
        return a
    wide = a.astype(complex if a.dtype.kind == "c" else float)
    return (wide @ adjoint(wide) + np.eye(a.shape[-1])).astype(a.dtype)


def adjoint(a: np.ndarray) -> np.ndarray:
    return np.conj(np.swapaxes(a, -1, -2))


def tall(s: Source) -> tuple[np.ndarray, np.ndarray]:
    """Reflectors below the diagonals of matrices, and their factors."""
    m, n = s.size(), s.size()
    if n > m:
        m, n = n, m
    k = s.pick(n, min(n, 1), wrong=(n + 1,))
    batch = s.shape(0, 1)
    return (
        s.numbers(s.near((*batch, m, n)), values="small"),
        s.numbers((*batch, k), s.other(), values="small"),
    )


def flags(s: Source, *names: str) -> dict[str, Any]:
    """Some of a function's switches."""
    return {name: s.pick(True, False) for name in names if s.pick(False, True)}


def switched(call: Call, name: str, default: bool = True) -> bool:
    return bool(call.kwargs.get(name, default))


@entry("linalg.cholesky", usual=USUAL, different=unknown, ulps=512, floor=8.0)
def cholesky(s: Source) -> Any:
    return (definite(s),), flags(s, "symmetrize_input")


@entry(
    "linalg.cholesky_update", usual=("float32", "float64"), ulps=512, floor=8.0,
    determined=lambda call, out: [np.triu(out[0])],
)  # fmt: skip
def cholesky_update(s: Source) -> Arguments:
    n = s.size()
    upper = raised(s.numbers(s.near((n, n)), values="small"), 6.0)
    return (np.triu(upper) if upper.ndim > 1 else upper), s.numbers(s.near((n,)), s.other(), values="small")


def of_eig(call: Call, out: Arrays) -> Arrays:
    """Eigenvalues in one order, and how well the vectors of each side fit to them."""
    a, (w, *vectors) = plain(*call.args), out
    order = np.argsort(np.round(w.real, 3) + 1e-2 * np.round(w.imag, 3), axis=-1)
    found = [np.take_along_axis(w, order, -1)]
    sides = [n for n in ("left", "right") if switched(call, f"compute_{n}_eigenvectors")]
    for side, v in zip(sides, vectors):
        fits = (
            adjoint(v) @ a - w[..., :, None] * adjoint(v) if side == "left" else a @ v - v * w[..., None, :]
        )
        found += [fits.astype(v.dtype), np.linalg.norm(v, axis=-2)]
    return found


@entry("linalg.eig", usual=USUAL, different=unknown, ulps=4096, floor=16.0, determined=of_eig)
def eig(s: Source) -> Any:
    return (square(s),), flags(s, "compute_left_eigenvectors", "compute_right_eigenvectors")


def of_eigh(call: Call, out: Arrays) -> Arrays:
    """Eigenvalues, how well the vectors fit to them, and that these are orthonormal."""
    a, (v, w) = plain(*call.args), out
    if switched(call, "symmetrize_input"):
        a = (a + adjoint(a)) / 2
    else:
        half = np.tril(a, -1) if switched(call, "lower") else adjoint(np.triu(a, 1))
        a = half + adjoint(half) + np.eye(a.shape[-1]) * np.einsum("...ii->...i", a).real[..., None, :]
    fits = (a @ v - v * w[..., None, :]).astype(v.dtype)
    return [np.sort(w, axis=-1), fits, adjoint(v) @ v]


@entry("linalg.eigh", usual=USUAL, different=unknown, ulps=1024, floor=16.0, determined=of_eigh)
def eigh(s: Source) -> Any:
    a = square(s)
    subset = {
        "subset_by_index": s.pick(None, (0, a.shape[-1] if a.shape else 0), wrong=((0, 9), (1, 1), (-1, 1)))
    }
    return (a,), {**flags(s, "lower", "symmetrize_input", "sort_eigenvalues"), **s.pick({}, subset)}


@entry("linalg.hessenberg", usual=USUAL, different=unknown, ulps=1024, floor=16.0)
def hessenberg(s: Source) -> Arguments:
    return (square(s),)


@entry("linalg.schur", usual=USUAL, different=unknown, ulps=4096, floor=16.0)
def schur(s: Source) -> Any:
    return (square(s),), flags(s, "compute_schur_vectors")


@entry("linalg.tridiagonal", usual=USUAL, different=inexact_only, ulps=1024, floor=16.0)
def tridiagonal(s: Source) -> Any:
    return (definite(s),), flags(s, "lower")


@entry("linalg.householder_product", usual=USUAL, different=unknown, ulps=2048, floor=64.0)
def householder_product(s: Source) -> Arguments:
    return tall(s)


def surplus(call: Call, ours: Any, theirs: Any) -> bool:
    """The rows `late-dtypes` and `surplus-taus`."""
    return unknown(call, ours, theirs) or "taus must not have more elements" in str(ours)


@entry("linalg.ormqr", usual=USUAL, different=surplus, ulps=2048, floor=512.0)
def ormqr(s: Source) -> Any:
    a, taus = tall(s)
    more = flags(s, "left", "transpose")
    m = a.shape[-2] if a.ndim > 1 else 1
    sides = (m, s.size()) if more.get("left", True) else (s.size(), m)
    c = s.numbers(s.near((*a.shape[:-2], *sides)), s.other(), values="small")
    return (a, taus, c), more


@entry("linalg.lu", usual=USUAL, different=unknown, ulps=1024, floor=16.0)
def lu(s: Source) -> Arguments:
    return (s.tensor(batched(s, s.size(), s.size()), values="small"),)


@entry("linalg.lu_pivots_to_permutation", usual=INDICES)
def permutation(s: Source) -> Arguments:
    k = s.size()
    size = s.pick(k, k + 2, wrong=(k - 1, -1))
    rng = np.random.default_rng(s.seed())
    pivots = (
        rng.integers(np.arange(k), max(int(size), k), (*s.shape(0, 1), k))
        if k
        else np.zeros((*s.shape(0, 1), 0))
    )
    return s.pick(pivots, wrong=(pivots.sum(),)).astype(s.numbers(()).dtype), size


def of_qr(call: Call, out: Arrays) -> Arrays:
    """Sizes of the triangle's numbers, the product, and that the columns are orthonormal; the permutation."""
    q, r, *rest = out
    return [np.abs(r), q @ r, adjoint(q) @ q, *rest]


@entry("linalg.qr", usual=USUAL, different=unknown, ulps=1024, floor=16.0, determined=of_qr)
def qr(s: Source) -> Any:
    return (s.tensor(batched(s, s.size(), s.size()), values="small"),), flags(s, "pivoting", "full_matrices")


def of_svd(call: Call, out: Arrays) -> Arrays:
    """Singular values, the product, and that the vectors of each side are orthonormal."""
    if not switched(call, "compute_uv"):
        return out
    u, sizes, v = out
    k = sizes.shape[-1]
    return [sizes, (u[..., :k] * sizes[..., None, :]) @ v[..., :k, :], adjoint(u) @ u, v @ adjoint(v)]


@entry("linalg.svd", usual=USUAL, different=unknown, ulps=1024, floor=16.0, determined=of_svd)
def svd(s: Source) -> Any:
    m, n = s.size(), s.size()
    subset = {"subset_by_index": s.pick(None, (0, min(m, n)), wrong=((0, 9), (1, 1), (-1, 1)))}
    more = {**flags(s, "full_matrices", "compute_uv"), **s.pick({}, subset)}
    return (s.tensor(batched(s, m, n), values="small"),), more


@entry(
    "linalg.qdwh",
    usual=USUAL,
    different=inexact_only,
    ulps=4096,
    floor=16.0,
    determined=lambda call, out: [*out[:2], out[3]],
)
def qdwh(s: Source) -> Any:
    m, n = s.pick(2, 3, 1, 4), s.pick(2, 1, 3)
    a = s.numbers(s.near((max(m, n), n)), values="small")
    return (raised(a, 6.0),), s.pick({}, {"max_iterations": 9})


@entry("linalg.symmetric_product", usual=USUAL, different=unknown, ulps=512, floor=32.0)
def symmetric_product(s: Source) -> Any:
    n, batch = s.size(), s.shape(0, 1)
    c = s.numbers(s.near((*batch, n, n)), s.other(), values="small")
    c = c + np.swapaxes(c, -1, -2) if c.ndim > 1 and c.shape[-1] == c.shape[-2] else c
    more = {"alpha": s.pick(1.0, 0.5, 2), "beta": s.pick(0.0, 1.0, -0.5)}
    a = s.numbers((*batch, n, s.size()), values="small")
    return (a, c), {**more, **flags(s, "symmetrize_output")}


@entry("linalg.triangular_solve", usual=(*USUAL, "float16", "bfloat16"), ulps=512, floor=8.0)
def triangular_solve(s: Source) -> Any:
    more = flags(s, "left_side", "lower", "transpose_a", "conjugate_a")
    n, batch = s.size(), s.shape(0, 1)
    sides = (n, s.size()) if more.get("left_side") else (s.size(), n)
    a = raised(s.numbers(s.near((*batch, n, n)), values="small"), 9.0)
    return (a, s.numbers(s.near((*batch, *sides)), s.other(), values="small")), more


@entry("linalg.tridiagonal_solve", usual=USUAL, different=unknown, ulps=512, floor=8.0)
def tridiagonal_solve(s: Source) -> Any:
    n, batch = s.pick(3, 2, 1, 4), s.shape(0, 1)
    low, middle, high = (s.numbers(s.near((*batch, n)), s.other(), values="small") for _ in range(3))
    if is_inexact(middle.dtype):
        middle = (middle + 20).astype(middle.dtype)
    b = s.numbers(s.near((*batch, n, s.size())), s.other(), values="small")
    return (low, middle, high, b), flags(s, "perturb_singular")
