"""Factorisations and systems of equations, beside JAX: values, dtypes and derivatives."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.scipy.linalg
import numpy as np
import pytest

import anima
import anima.scipy.linalg

pytestmark = pytest.mark.peers

RNG = np.random.default_rng(0)


def random(*shape: int, dtype: str = "float32") -> np.ndarray:
    value = RNG.normal(size=shape)
    return (value + 1j * RNG.normal(size=shape) if dtype[0] == "c" else value).astype(dtype)


A, Z, STACK, TALL, WIDE = (
    random(4, 4),
    random(4, 4, dtype="complex64"),
    random(2, 3, 3),
    random(5, 3),
    random(3, 5),
)
SPD = A @ A.T + np.eye(4, dtype="float32")
B, TAUS = random(4, 2), random(3)
PERTURBED = [np.array(x, np.float32) for x in ([0, 3, 1], [3, 3, 0], [3, 0, 0])]
INTEGERS = np.array([[4, 1], [1, 3]])

CALLS: dict[str, Callable[[Any], Any]] = {
    "cholesky": lambda lib: lib.lax.linalg.cholesky(A @ A.T + Z @ Z.conj().T),
    "cholesky of one triangle": lambda lib: lib.lax.linalg.cholesky(SPD, symmetrize_input=False),
    "cholesky that does not exist": lambda lib: lib.lax.linalg.cholesky(-SPD),
    "cholesky_update": lambda lib: np.triu(lib.lax.linalg.cholesky_update(A, A[1])),
    "lu": lambda lib: [lib.lax.linalg.lu(x) for x in (A, Z, STACK, TALL, WIDE)],
    "permutation": lambda lib: lib.lax.linalg.lu_pivots_to_permutation(np.array([[2, 2], [1, 3]], "int32"), 4),
    "qr": lambda lib: [lib.lax.linalg.qr(x, full_matrices=f) for x in (A, Z, STACK, TALL, WIDE) for f in (0, 1)],
    "pivoted qr": lambda lib: [lib.lax.linalg.qr(x, pivoting=True) for x in (A, Z, TALL, WIDE)],
    "householder_product": lambda lib: lib.lax.linalg.householder_product(TALL, TAUS),
    "ormqr": lambda lib: [
        lib.lax.linalg.ormqr(TALL, TAUS, TALL if left else WIDE, left=left, transpose=t)
        for left in (True, False) for t in (True, False)
    ],
    "symmetric_product": lambda lib: [
        lib.lax.linalg.symmetric_product(A, Z.real, alpha=2.0, beta=0.5, symmetrize_output=s) for s in (True, False)
    ],
    "triangular_solve": lambda lib: [
        lib.lax.linalg.triangular_solve(Z, Z, left_side=a, lower=b, transpose_a=c, conjugate_a=d, unit_diagonal=e)
        for a, b, c, d, e in itertools.product((False, True), repeat=5)
    ],
    "triangular_solve of halves": lambda lib: lib.lax.linalg.triangular_solve(SPD.astype("float16"), A.astype("float16")),
    "tridiagonal_solve": lambda lib: lib.lax.linalg.tridiagonal_solve(TAUS, TAUS + 4, TAUS, TALL[:3]),
    "perturbed tridiagonal_solve": lambda lib: lib.lax.linalg.tridiagonal_solve(
        *PERTURBED, WIDE, perturb_singular=True
    ),
    "numpy: inverses": lambda lib: [lib.numpy.linalg.inv(x) for x in (A, Z, STACK, INTEGERS)],
    "numpy: solve": lambda lib: [
        lib.numpy.linalg.solve(a, b) for a, b in ((A, B), (A, B[:, 0]), (STACK, STACK[0]), (STACK[0], STACK), (STACK, STACK[0, 0]))
    ],
    "numpy: determinants": lambda lib: [lib.numpy.linalg.det(x) for x in (A, Z, STACK, INTEGERS, np.zeros((0, 0)))],
    "numpy: logarithms": lambda lib: [
        tuple(lib.numpy.linalg.slogdet(x, method=m)) for x in (A, STACK, np.zeros((2, 2))) for m in ("lu", "qr")
    ],
    "numpy: qr": lambda lib: [tuple(lib.numpy.linalg.qr(x, m)) for x in (TALL, WIDE, INTEGERS) for m in ("reduced", "complete", "raw")],
    "numpy: cholesky": lambda lib: [lib.numpy.linalg.cholesky(x, upper=u) for x in (SPD, INTEGERS) for u in (True, False)],
    "numpy: lstsq": lambda lib: [
        lib.numpy.linalg.lstsq(a, b[: len(a)], numpy_resid=r) for a in (TALL, WIDE, A, np.zeros((3, 0), "f"), INTEGERS.astype("f"))
        for b in (TALL, TALL[:, 0]) for r in (0, 1)
    ],
    "numpy: tensors": lambda lib: [
        lib.numpy.linalg.tensorinv(A.reshape(2, 2, 4)), lib.numpy.linalg.tensorsolve(A.reshape(2, 2, 2, 2), B[:2])
    ],
    "scipy: cholesky": lambda lib: [
        lib.scipy.linalg.cholesky(SPD), lib.scipy.linalg.cho_solve((A, True), B), lib.scipy.linalg.cho_solve((Z, False), B)
    ],
    "scipy: lu": lambda lib: [lib.scipy.linalg.lu(x, permute_l=p) for x in (A, Z, TALL, WIDE) for p in (True, False)],
    "scipy: lu_solve": lambda lib: [lib.scipy.linalg.lu_solve(lib.scipy.linalg.lu_factor(Z), B, t) for t in (0, 1, 2)],
    "scipy: qr": lambda lib: [lib.scipy.linalg.qr(TALL, mode=m, pivoting=p) for m in ("full", "economic", "r") for p in (0, 1)],
    "scipy: qr_multiply": lambda lib: [
        lib.scipy.linalg.qr_multiply(TALL, c, m, pivoting=p)
        for p in (False, True) for c, m in ((WIDE, "right"), (A[:3, :3], "left"), (WIDE[0], "right"))
    ],
    "scipy: solve": lambda lib: [lib.scipy.linalg.solve(SPD, B, assume_a=a) for a in ("gen", "sym", "her", "pos")],
    "scipy: solve_triangular": lambda lib: [lib.scipy.linalg.solve_triangular(Z, B, trans=t) for t in (0, "T", 2)],
    "scipy: matrices": lambda lib: [
        getattr(lib.scipy.linalg, name)(x)
        for name in ("toeplitz", "hankel", "circulant", "companion", "fiedler", "fiedler_companion", "block_diag")
        for x in (TAUS, TALL, np.arange(1, 5))
    ],
    "scipy: sizes": lambda lib: [
        getattr(lib.scipy.linalg, name)(n)
        for name in ("hilbert", "invhilbert", "pascal", "invpascal", "helmert", "dft", "hadamard") for n in (1, 4)
    ],
    "scipy: convolution": lambda lib: [lib.scipy.linalg.convolution_matrix(TALL, 4, m) for m in ("full", "valid", "same")],
    "scipy: leslie": lambda lib: lib.scipy.linalg.leslie(WIDE, WIDE[0, :4]),
}  # fmt: skip


def leaves(value: Any) -> list[np.ndarray]:
    return [np.asarray(x) for x in jax.tree.leaves(value)]


def agree(call: Callable[[Any], Any], tolerance: float) -> None:
    ours, theirs = leaves(call(anima)), leaves(call(jax))
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs):
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
        scale = max(1.0, float(np.abs(other[np.isfinite(other)]).max(initial=0)))
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance * scale)


@pytest.mark.parametrize("name", CALLS)
def test_results(name: str) -> None:
    agree(CALLS[name], 1e-2 if "halves" in name else 2e-5)


GRADIENTS: dict[str, tuple[Callable[[Any, Any], Any], np.ndarray]] = {
    "cholesky": (lambda lib, x: lib.lax.linalg.cholesky(x), SPD),
    "cholesky of one triangle": (lambda lib, x: lib.lax.linalg.cholesky(x, symmetrize_input=False), SPD),
    "lu": (lambda lib, x: lib.lax.linalg.lu(x)[0], A),
    "wide lu": (lambda lib, x: lib.lax.linalg.lu(x)[0], WIDE),
    "tall lu": (lambda lib, x: lib.lax.linalg.lu(x)[0], TALL),
    "q": (lambda lib, x: lib.lax.linalg.qr(x, full_matrices=False)[0], TALL),
    "q with all columns": (lambda lib, x: lib.lax.linalg.qr(x)[0][:, 2:] ** 3, TALL),
    "r": (lambda lib, x: lib.lax.linalg.qr(x)[1], A),
    "triangular_solve": (lambda lib, x: lib.lax.linalg.triangular_solve(x, B.T), A),
    "tridiagonal_solve": (lambda lib, x: lib.lax.linalg.tridiagonal_solve(x, x + 4, x, TALL[:3]), TAUS),
    "solve": (lambda lib, x: lib.numpy.linalg.solve(x, B), A),
    "inv": (lambda lib, x: lib.numpy.linalg.inv(x), A),
    "det": (lambda lib, x: lib.numpy.linalg.det(x), A),
    "slogdet": (lambda lib, x: lib.numpy.linalg.slogdet(x)[1], A),
    "solve with a Cholesky factor": (lambda lib, x: lib.scipy.linalg.solve(x, B, assume_a="pos"), SPD),
    "lu_solve": (lambda lib, x: lib.scipy.linalg.lu_solve(lib.scipy.linalg.lu_factor(x), B), A),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients(name: str) -> None:
    call, x = GRADIENTS[name]
    agree(lambda lib: lib.grad(lambda x: (call(lib, x) ** 2).sum())(x), 1e-3)
