"""`scipy.linalg` without eigenvalues, beside SciPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy
import pytest
import scipy.linalg

import anima
import anima.numpy as np
from anima import scipy as ours
from tests.numpy.support import assert_same

RNG = numpy.random.default_rng(0)


def random(*shape: int, dtype: str = "float32") -> numpy.ndarray:
    value = RNG.normal(size=shape)
    return (value + 1j * RNG.normal(size=shape) if dtype[0] == "c" else value).astype(dtype)


A, B, Z = random(4, 4), random(4, 2), random(4, 4, dtype="complex64")
TALL, WIDE, TALL_Z = random(4, 3), random(3, 4), random(4, 3, dtype="complex64")
SPD, HPD = A @ A.T + numpy.eye(4, dtype="float32"), (Z @ Z.conj().T + numpy.eye(4)).astype("complex64")
VECTOR, OTHER = numpy.array([1, 2, 4]), numpy.array([3, 5, 6, 7])


def check(call: Callable[[Any], Any], tolerance: float = 1e-4) -> None:
    """The same by SciPy and by us, eagerly and traced."""
    expected = call(scipy.linalg)
    assert_same(call(ours.linalg), expected, tolerance)
    assert_same(anima.jit(lambda: call(ours.linalg))(), expected, tolerance)


FACTORS: list[Callable[[Any], Any]] = [
    lambda s: s.cholesky(SPD),
    lambda s: s.cholesky(HPD, lower=True),
    lambda s: s.cholesky(numpy.triu(HPD)),
    lambda s: s.cho_solve(s.cho_factor(SPD), B),
    lambda s: s.cho_solve(s.cho_factor(HPD, lower=True), Z[0]),
    lambda s: s.cho_solve(s.cho_factor(HPD), B),
    lambda s: s.lu_factor(TALL)[0],
    *[lambda s, t=t: s.lu_solve(s.lu_factor(Z), B, trans=t) for t in (0, 1, 2)],
    lambda s: s.lu_solve(s.lu_factor(A), B[:, 0]),
    *[lambda s, x=x: s.lu(x)[1:] for x in (A, Z, TALL, WIDE)],
    *[lambda s, x=x: s.lu(x, permute_l=True) for x in (A, TALL, WIDE)],
    *[
        lambda s, x=x, m=m, p=p: tuple(s.qr(x, mode=m, pivoting=p)[: 1 if m == "r" else 2])
        for x in (A, TALL, WIDE, TALL_Z)
        for m in ("full", "economic", "r")
        for p in (False, True)
    ],
    *[
        lambda s, x=x, c=c, m=m, j=j: s.qr_multiply(x, c, m, conjugate=j)
        for j in (False, True)
        for x, c, m in (
            (TALL, B.T.copy(), "right"),
            (TALL, TALL.T.copy(), "left"),
            (TALL_Z, Z[0], "right"),
            (TALL_Z, Z[0, :3], "left"),
            (WIDE, TALL.T[:, :3].copy(), "right"),
        )
    ],
    lambda s: s.qr_multiply(TALL, B.T.copy(), pivoting=True)[:2],
    *[lambda s, a=a: s.solve(SPD, B, assume_a=a) for a in ("gen", "sym", "her", "pos")],
    lambda s: s.solve(HPD, B[:, 0], assume_a="pos"),
    lambda s: s.solve(Z, B),
    lambda s: s.inv(Z),
    lambda s: s.det(A) * numpy.float32(1),
    *[lambda s, t=t, lo=lo: s.solve_triangular(Z, B, trans=t, lower=lo) for t in (0, "T", "C") for lo in (False, True)],
    lambda s: s.solve_triangular(A, B[:, 0], unit_diagonal=True),
]  # fmt: skip


@pytest.mark.parametrize("call", FACTORS)
def test_factors_and_equations(call: Callable[[Any], Any]) -> None:
    check(call)


SPECIAL: list[Callable[[Any], Any]] = [
    lambda s: s.toeplitz(VECTOR, OTHER),
    lambda s: s.toeplitz(Z[0]),
    lambda s: s.toeplitz(VECTOR, VECTOR[:0]),
    lambda s: s.hankel(VECTOR),
    lambda s: s.hankel(VECTOR, OTHER),
    lambda s: s.circulant(OTHER),
    lambda s: s.companion(A[0]),
    lambda s: s.fiedler(VECTOR),
    *[lambda s, n=n: s.fiedler_companion(random_row(n)) for n in (2, 3, 4, 7, 8)],
    lambda s: s.leslie(OTHER, VECTOR),
    *[lambda s, m=m, n=n: s.convolution_matrix(VECTOR, n, m) for m in ("full", "valid", "same") for n in (1, 2, 3, 6)],
    lambda s: s.block_diag(VECTOR, numpy.array([[1], [2]]), 3),
    *[lambda s, n=n: s.hilbert(n) for n in (1, 5)],
    *[lambda s, n=n: s.helmert(n) for n in (2, 5)],
    lambda s: s.helmert(3, full=True),
    lambda s: s.hadamard(8, dtype="float32"),
    *[lambda s, f=f: s.dft(6, f) for f in (None, "sqrtn", "n")],
    *[lambda s, k=k: s.pascal(6, kind=k).astype("float32") for k in ("symmetric", "lower", "upper")],
    *[lambda s, k=k: s.invpascal(6, kind=k).astype("float32") for k in ("symmetric", "lower", "upper")],
    lambda s: s.invhilbert(6),
]  # fmt: skip


def random_row(n: int) -> numpy.ndarray:
    return numpy.arange(1.0, n + 1, dtype="float32")


@pytest.mark.parametrize("call", SPECIAL)
def test_matrices_of_special_structure(call: Callable[[Any], Any]) -> None:
    check(call, 1e-6)


def test_stacks() -> None:
    rows = numpy.arange(1, 7).reshape(2, 3)
    for name in ("toeplitz", "hankel", "circulant", "fiedler"):
        make = getattr(ours.linalg, name)
        numpy.testing.assert_array_equal(
            make(rows), numpy.stack([getattr(scipy.linalg, name)(r) for r in rows])
        )
    assert ours.linalg.companion(rows).shape == (2, 2, 2)
    assert ours.linalg.leslie(rows, rows[0, :2]).shape == (2, 3, 3)
    assert ours.linalg.convolution_matrix(rows, 4).shape == (2, 6, 4)
    p, lower, upper = ours.linalg.lu(numpy.stack([TALL, TALL[::-1]]))
    numpy.testing.assert_allclose((p @ lower @ upper)[1], TALL[::-1], rtol=1e-4, atol=1e-5)
    assert p.dtype == np.float32
    vectors = ours.linalg.solve_triangular(numpy.stack([A, A]), B.T)
    numpy.testing.assert_allclose(vectors[1], scipy.linalg.solve_triangular(A, B[:, 1]), rtol=1e-4, atol=1e-4)


def test_no_elements() -> None:
    assert ours.linalg.block_diag().shape == (1, 0)
    assert ours.linalg.toeplitz(np.zeros(0)).shape == ours.linalg.hilbert(0).shape == (0, 0)
    assert (
        ours.linalg.dft(0).shape == ours.linalg.pascal(0).shape == ours.linalg.invhilbert(0).shape == (0, 0)
    )
    assert ours.linalg.helmert(1).shape == (0, 1)
    assert ours.linalg.fiedler_companion(np.ones(1)).shape == (0, 0)


def test_derivatives_of_positive_definite_solutions() -> None:
    """They follow from the equation, also where the matrix is complex."""
    with anima.enable_x64(True):
        b = random(3, dtype="complex128")
        root = random(3, 3, dtype="complex128")
        hpd = root @ root.conj().T + numpy.eye(3)
        t = root + root.conj().T
        solve = lambda a: ours.linalg.solve(a, b, assume_a="pos")
        along = lambda h: solve(hpd + h * t)
        slope = anima.jvp(along, (0.0,), (1.0,))[1]
        numpy.testing.assert_allclose(slope, (along(1e-6) - along(-1e-6)) / 2e-6, rtol=1e-6)
        pulled = anima.vjp(solve, hpd + 0j)[1](b)[0]
        numpy.testing.assert_allclose((pulled * t).sum(), (b * slope).sum(), rtol=1e-8)
        factored = lambda a: ours.linalg.lu_solve(ours.linalg.lu_factor(a), b)
        gradient = anima.vjp(factored, hpd)[1](b)[0]
        numpy.testing.assert_allclose(gradient, pulled, rtol=1e-8)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda s: s.solve(TALL, B), "solve: a must be a stack of square"),
        (lambda s: s.solve(A, B, assume_a="x"), "assume_a must be 'gen', 'sym', 'her' or 'pos'"),
        (lambda s: s.solve_triangular(A, B, trans=3), "trans must be 0, 1, 2, 'N', 'T' or 'C'"),
        (lambda s: s.lu_solve(s.lu_factor(A), B, trans="T"), "trans must be 0, 1 or 2"),
        (lambda s: s.lu_solve(s.lu_factor(TALL), B), "lu_solve: the factors must be a stack of square"),
        (lambda s: s.cho_solve((A, True), B[:3]), "cho_solve: b must have as many rows"),
        (lambda s: s.cholesky(TALL), "cholesky: a must be a stack of square"),
        (lambda s: s.cholesky(TALL[0]), "cholesky: a must have at least 2 dimensions"),
        (lambda s: s.qr(A, mode="reduced"), "qr: mode must be 'full', 'economic' or 'r'"),
        (lambda s: s.qr_multiply(A, B, mode="x"), "mode must be 'right' or 'left'"),
        (lambda s: s.qr_multiply(TALL, B), "c must have 4 columns for a of shape"),
        (lambda s: s.hankel(1.0), "hankel: c must have at least 1 dimension"),
        (lambda s: s.companion(np.ones(1)), "companion: a must have at least 2 elements"),
        (lambda s: s.fiedler_companion(np.ones(0)), "fiedler_companion: a must have at least 1 elements"),
        (lambda s: s.leslie(VECTOR, VECTOR), "leslie: s must have one element less than f"),
        (lambda s: s.convolution_matrix(VECTOR, 0), "n must be positive"),
        (lambda s: s.convolution_matrix(VECTOR, 2, "x"), "mode must be 'full', 'valid' or 'same'"),
        (lambda s: s.block_diag(np.ones((1, 1, 1))), "block_diag: arrays must have at most 2 dimensions"),
        (lambda s: s.helmert(0), "helmert: n must be at least 1"),
        (lambda s: s.hadamard(3), "hadamard: n must be a power of two"),
        (lambda s: s.pascal(3, "x"), "pascal: kind must be"),
        (lambda s: s.dft(3, "x"), "dft: scale must be"),
        (lambda s: s.dft(3, dtype="float32"), "dft: dtype must be complex"),
    ],
)
def test_errors(call: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(ours.linalg)
