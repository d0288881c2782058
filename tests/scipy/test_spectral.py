"""Eigenvalues, triangular forms and functions of matrices, beside SciPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.linalg

import anima
from anima import scipy as ours

RNG = np.random.default_rng(7)
A = RNG.normal(size=(4, 4))
Z = A + 1j * RNG.normal(size=(4, 4))
B = A @ A.T + np.eye(4)
STACK = RNG.normal(size=(2, 3, 3))
L = ours.linalg


@pytest.fixture(autouse=True)
def _wide() -> Any:
    with anima.enable_x64(True):
        yield


def same(got: Any, want: Any, tol: float = 1e-9) -> None:
    np.testing.assert_allclose(np.asarray(got), np.asarray(want), rtol=tol, atol=tol)


def ct(x: Any) -> Any:
    return np.conj(np.swapaxes(np.asarray(x), -1, -2))


# --- eigenvalues ------------------------------------------------------------------------------


@pytest.mark.parametrize("type", [1, 2, 3])
@pytest.mark.parametrize("a", [A + A.T, Z + Z.conj().T])
def test_generalised_problems(a: Any, type: int) -> None:
    want, vectors = scipy.linalg.eigh(a, B, type=type)
    w, v = L.eigh(a, B, type=type)
    same(w, want)
    same(np.abs(v), np.abs(vectors))
    same(L.eigh(a, B, type=type, eigvals_only=True), want)
    value = lambda b: L.eigh(a, b, type=type, eigvals_only=True)[0]
    step = 1e-6 * np.eye(4)[[1, 0, 2, 3]][:2].T @ np.eye(4)[:2]
    step = step + step.T
    slope = anima.jvp(value, (B,), (step * 1e6,))[1]
    lowest = lambda b: scipy.linalg.eigvalsh(a, b, type=type)[0]
    same(slope, (lowest(B + step) - lowest(B - step)) / 2e-6, 1e-6)


def test_eigh_alone() -> None:
    h = STACK + STACK.swapaxes(1, 2)
    w, v = L.eigh(h)
    same(h @ np.asarray(v), np.asarray(v) * np.asarray(w)[:, None])
    same(L.eigh([[2, 1], [1, 2]], eigvals_only=True), [1, 3])
    for bad, error in (
        (lambda: L.eigh(A, eigvals=(0, 1)), NotImplementedError),
        (lambda: L.eigh(A, type=4), ValueError),
        (lambda: L.eigh(A[:2]), ValueError),
    ):
        with pytest.raises(error, match="eigh"):
            bad()


def test_tridiagonal_matrices() -> None:
    d, e = np.array([1.0, -2.0, 3.0, 0.5]), np.array([0.5, 2.0, -1.0])
    want, vectors = scipy.linalg.eigh_tridiagonal(d, e)
    w, v = L.eigh_tridiagonal(d, e)
    same(w, want)
    same(np.abs(v), np.abs(vectors))
    same(L.eigh_tridiagonal(d, e, eigvals_only=True, select="i", select_range=(1, 2)), want[1:3])
    assert L.eigh_tridiagonal(d, e, select="i", select_range=(1, 2))[1].shape == (4, 2)
    turned = e * np.exp([0.3j, 1j, -2j])
    w, v = L.eigh_tridiagonal(d + 0j, turned)
    dense = np.diag(d) + np.diag(turned, 1) + np.diag(turned.conj(), -1)
    same(w, want)
    same(dense @ np.asarray(v), np.asarray(v) * np.asarray(w))
    same(L.eigh_tridiagonal(d[:1], e[:0])[1], [[1]])
    assert L.eigh_tridiagonal(d[:0], e[:0])[1].shape == (0, 0)
    same(anima.vmap(lambda d: L.eigh_tridiagonal(d, e, eigvals_only=True))(np.stack([d, d]))[1], want)
    for bad, error in (
        (lambda: L.eigh_tridiagonal(d, d), TypeError),
        (lambda: L.eigh_tridiagonal(d, e + 0j), TypeError),
        (lambda: L.eigh_tridiagonal(d, e, select="x"), ValueError),
        (lambda: L.eigh_tridiagonal(d, e, select="i"), ValueError),
        (lambda: L.eigh_tridiagonal(d, e, select="i", select_range=(2, 9)), ValueError),
        (lambda: L.eigh_tridiagonal(d, e, select="v", select_range=(0, 1)), NotImplementedError),
    ):
        with pytest.raises(error, match="eigh_tridiagonal"):
            bad()


def test_svd_and_polar() -> None:
    for driver in ("gesdd", "gesvd"):
        u, s, vh = L.svd(Z, lapack_driver=driver)
        same(s, scipy.linalg.svdvals(Z))
        same(np.asarray(u) * np.asarray(s) @ np.asarray(vh), Z)
    with pytest.raises(ValueError, match="lapack_driver"):
        L.svd(A, lapack_driver="x")
    for x in (A, Z, A[:, :2], A[:2], STACK):
        for side in ("right", "left"):
            for method in ("qdwh", "svd"):
                u, p = L.polar(x, side, method=method)
                for i in np.ndindex(x.shape[:-2]):
                    want = scipy.linalg.polar(x[i], side)
                    same(u[i], want[0])
                    same(p[i], want[1])
    slope = anima.grad(lambda x: (L.polar(x)[0] * B).sum())(A)
    same(slope, anima.grad(lambda x: (L.polar(x, method="svd")[0] * B).sum())(A))
    for bad in (lambda: L.polar(A, "x"), lambda: L.polar(A, method="x"), lambda: L.polar(A[0])):
        with pytest.raises(ValueError, match="polar"):
            bad()


# --- triangular forms -------------------------------------------------------------------------


@pytest.mark.parametrize("x", [A, Z, STACK])
def test_schur_and_hessenberg(x: Any) -> None:
    for output in ("real", "complex"):
        t, z = L.schur(x, output)
        same(np.asarray(z) @ np.asarray(t) @ ct(z), x)
        assert np.iscomplexobj(t) == (output == "complex" or np.iscomplexobj(x))
    t, z = L.rsf2csf(*L.schur(x))
    same(np.asarray(z) @ np.asarray(t) @ ct(z), x)
    same(np.tril(np.asarray(t), -1), 0)
    h, q = L.hessenberg(x, calc_q=True)
    same(np.asarray(q) @ np.asarray(h) @ ct(q), x)
    same(np.asarray(q) @ ct(q), np.broadcast_to(np.eye(x.shape[-1]), x.shape))
    same(L.hessenberg(x), h)


def test_triangular_forms_at_their_edges() -> None:
    same(L.hessenberg([[3]], calc_q=True)[1], [[1]])
    assert L.hessenberg(np.ones((0, 0))).shape == (0, 0)
    t, z = scipy.linalg.schur(A)
    same(L.rsf2csf(t, z)[0], scipy.linalg.rsf2csf(t, z)[0])
    slope = anima.jvp(lambda t: L.rsf2csf(t, z)[0].sum(), (t,), (t,))[1]
    same(slope, L.rsf2csf(t, z)[0].sum())  # it is homogeneous
    with pytest.raises(ValueError, match="one shape"):
        L.rsf2csf(t, z[:3, :3])
    with pytest.raises(ValueError, match="output"):
        L.schur(A, "x")


# --- functions of matrices --------------------------------------------------------------------


@pytest.mark.parametrize("scale", [0.0, 1e-3, 1.0, 30.0])
def test_exponentials(scale: float) -> None:
    for x in (A * scale, Z * scale, STACK * scale):
        want = scipy.linalg.expm(x)
        same(np.asarray(L.expm(x)) / np.abs(want).max(), want / np.abs(want).max(), 1e-11)
    upper = np.triu(A * scale)
    same(L.expm(upper, upper_triangular=True), scipy.linalg.expm(upper))
    narrow = (A * min(scale, 1.0)).astype("float32")
    same(L.expm(narrow), scipy.linalg.expm(narrow), 1e-5)


def test_exponentials_at_their_edges() -> None:
    assert np.isnan(np.asarray(L.expm(A * 1e3, max_squarings=2))).all()
    assert np.isnan(np.asarray(L.expm(A * np.nan))).all()
    same(L.expm(np.stack([A * 0.1, A * 9]), max_squarings=1)[0], scipy.linalg.expm(A * 0.1))
    assert L.expm([[0, 0], [0, 0]]).dtype == np.float64
    for bad in (lambda: L.expm(A[:2]), lambda: L.expm_frechet(A, A[:2, :2]), lambda: L.expm(A[0])):
        with pytest.raises(ValueError, match="expm"):
            bad()
    with pytest.raises(TypeError, match="float32"):
        L.expm(A.astype("float16"))


def test_derivatives_of_exponentials() -> None:
    value, slope = L.expm_frechet(A, B)
    want = scipy.linalg.expm_frechet(A, B)
    same(value, want[0])
    same(slope, want[1])
    same(L.expm_frechet(A, B, compute_expm=False), want[1])
    same(anima.jit(anima.grad(lambda x: L.expm(x).sum()))(A), L.expm_frechet(A.T, np.ones((4, 4)))[1])
    twice = anima.jvp(lambda x: L.expm_frechet(x, B)[1], (A,), (B,))[1]
    block = np.kron(np.eye(3), A) + np.kron(
        np.eye(3, k=1), B
    )  # its exponential has half the second derivative
    same(np.asarray(twice) / 2, scipy.linalg.expm(block)[:4, 8:], 1e-8)


@pytest.mark.parametrize("x", [B, A @ A + 5 * np.eye(4), Z])
def test_square_roots(x: Any) -> None:
    root = L.sqrtm(x)
    assert np.iscomplexobj(root)
    same(root, scipy.linalg.sqrtm(x), 1e-8)
    h = 1e-6
    want = (scipy.linalg.sqrtm(x + h * A) - scipy.linalg.sqrtm(x - h * A)) / (2 * h)
    same(anima.jvp(L.sqrtm, (x,), (A.astype(x.dtype),))[1], want, 1e-6)
    same(np.asarray(L.sqrtm(STACK))[1] @ np.asarray(L.sqrtm(STACK))[1], STACK[1])


def test_other_functions() -> None:
    f = anima.numpy.sin
    got, error = L.funm(A, f, disp=False)
    same(got, scipy.linalg.funm(A, np.sin))
    assert 0 < float(error) < 1e-10
    got, error = L.funm(np.array([[1.0, 1.0], [0.0, 1.0]]), anima.numpy.exp, disp=False)
    assert float(error) == 1.0  # equal eigenvalues: the recurrence has no answer, and says so
    same(L.funm(np.eye(2), anima.numpy.exp), np.eye(2) * np.e)
    assert L.funm(np.ones((0, 0)), f).shape == (0, 0)
    with pytest.raises(ValueError, match="one square matrix"):
        L.funm(STACK, f)


def test_sylvester() -> None:
    for method in ("schur", "eigen"):
        for a, b in ((A, STACK[0]), (Z, STACK[0]), (A, STACK[0] + 1j)):
            c = RNG.normal(size=(4, 3))
            x = np.asarray(L.solve_sylvester(a, b, c, method=method))
            same(a @ x + x @ b, c)
        assert np.isnan(np.asarray(L.solve_sylvester(A, -A, A, method=method))).all()
        x = np.asarray(L.solve_sylvester(STACK, STACK + 1, STACK, method=method))
        same(STACK @ x + x @ (STACK + 1), STACK)
    slope = anima.grad(lambda a: L.solve_sylvester(a, B, A).sum())(A)
    h = 1e-6 * np.eye(4)[[2, 3, 0, 1]]
    ends = [scipy.linalg.solve_sylvester(A + s * h, B, A).sum() for s in (1, -1)]
    same((np.asarray(slope) * h).sum(), (ends[0] - ends[1]) / 2, 1e-8)
    for bad in (
        lambda: L.solve_sylvester(A, A, A, method="x"),
        lambda: L.solve_sylvester(A, STACK[0], A),
        lambda: L.solve_sylvester(A, STACK, A),
    ):
        with pytest.raises(ValueError, match="solve_sylvester"):
            bad()
