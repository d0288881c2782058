"""Eigenvalues, singular values, pseudo-inverses, ranks and conditions."""

from __future__ import annotations

from typing import Any

import numpy
import pytest

import anima
import anima.numpy as np
from anima.errors import MissingRuleError
from tests.numpy.support import check

RNG = numpy.random.default_rng(1)
A = RNG.normal(size=(2, 3, 3)).astype("float32")
Z = (RNG.normal(size=(3, 3)) + 1j * RNG.normal(size=(3, 3))).astype("complex64")
S = A + A.swapaxes(1, 2)
WIDE = RNG.normal(size=(3, 5)).astype("float32")
FLAT = numpy.outer(WIDE[0], WIDE[1])  # of rank 1


def same(got: Any, want: Any, tol: float = 1e-4) -> None:
    numpy.testing.assert_allclose(numpy.asarray(got), want, rtol=tol, atol=tol)


@pytest.mark.parametrize("x", [A, S, Z, WIDE, FLAT])
def test_singular_values_and_pseudo_inverses(x: Any) -> None:
    check(lambda np: np.linalg.svdvals(x), 1e-5)
    check(lambda np: np.linalg.svd(x, compute_uv=False), 1e-5)
    same(np.linalg.pinv(x), numpy.linalg.pinv(x, rcond=1e-5), 1e-3)  # NumPy's default is for float64
    check(lambda np: np.linalg.pinv(x, 0.3), 1e-3, traced=False)
    check(lambda np: np.linalg.matrix_rank(x), traced=False)
    for p in (None, 2, -2):
        check(lambda np: np.linalg.cond(x, p) if p == -2 else 1 / np.linalg.cond(x, p), 1e-5, traced=False)
    u, s, vh = np.linalg.svd(x, full_matrices=False)
    same((numpy.asarray(u) * numpy.asarray(s)[..., None, :]) @ numpy.asarray(vh), x)


@pytest.mark.parametrize("ord", ["nuc", 2, -2])
def test_norms_by_singular_values(ord: Any) -> None:
    check(lambda np: np.linalg.norm(Z, ord), 1e-5, traced=False)
    check(lambda np: np.linalg.norm(A, ord, axis=(0, 2), keepdims=True), 1e-5)
    check(lambda np: np.linalg.matrix_norm(WIDE, ord=ord), 1e-5, traced=False)


def test_hermitian_matrices() -> None:
    for x in (S, Z + Z.conj().T):
        want = numpy.linalg.svd(x, compute_uv=False)
        u, s, vh = np.linalg.svd(x, hermitian=True)
        same(s, want)
        same((numpy.asarray(u) * numpy.asarray(s)[..., None, :]) @ numpy.asarray(vh), x)
        same(np.linalg.svd(x, compute_uv=False, hermitian=True), want)
        same(np.linalg.pinv(x, hermitian=True), numpy.linalg.pinv(x), 1e-3)
        assert (numpy.asarray(np.linalg.matrix_rank(x, hermitian=True)) == 3).all()
        w, v = np.linalg.eigh(x)
        same(w, numpy.linalg.eigvalsh(x))
        same(x @ numpy.asarray(v), numpy.asarray(v) * numpy.asarray(w)[..., None, :])
    # A singular one has orthonormal factors nevertheless.
    u, s, vh = np.linalg.svd(numpy.diag([0.0, -2.0, 1.0]).astype("float32"), hermitian=True)
    same(numpy.asarray(vh) @ numpy.asarray(vh).T, numpy.eye(3))
    with pytest.raises(ValueError, match="subset_by_index"):
        np.linalg.svd(S, hermitian=True, subset_by_index=(0, 1))


@pytest.mark.parametrize("x", [A, Z])
def test_general_eigenvalues(x: Any) -> None:
    same(np.linalg.eigvals(x), numpy.linalg.eigvals(x))
    result = np.linalg.eig(x)
    assert result.eigenvalues.dtype == numpy.complex64
    v, w = numpy.asarray(result.eigenvectors), numpy.asarray(result.eigenvalues)
    same(x @ v, v * w[..., None, :])


def test_triangles() -> None:
    for triangle in ("L", "U"):
        want = numpy.linalg.eigvalsh(A, triangle)
        same(np.linalg.eigvalsh(A, triangle, symmetrize_input=False), want)
        same(np.linalg.eigh(A, triangle, symmetrize_input=False)[0], want)
    same(np.linalg.eigvalsh(A), numpy.linalg.eigvalsh(S / 2))
    for fun in (np.linalg.eigh, np.linalg.eigvalsh):
        with pytest.raises(ValueError, match="UPLO"):
            fun(A, "X")


def test_dtypes_and_vectors() -> None:
    ints = numpy.array([[2, 1], [1, 2]], "int32")
    assert np.linalg.eigvalsh(ints).dtype == numpy.float32
    assert np.linalg.eig(ints)[0].dtype == numpy.complex64
    assert np.linalg.svdvals(ints > 1).dtype == numpy.float32
    assert np.linalg.eigvalsh(ints.astype(np.bfloat16)).dtype == np.bfloat16
    assert int(np.linalg.matrix_rank(numpy.zeros(3, "float32"))) == 0
    assert int(np.linalg.matrix_rank(3.0)) == 1
    assert np.linalg.pinv(numpy.ones((0, 3), "float32")).shape == (3, 0)
    same(
        np.linalg.pinv(S, numpy.array([0.1, 0.5], "float32")),
        numpy.linalg.pinv(S, numpy.array([0.1, 0.5])),
        1e-3,
    )
    # As in NumPy: relative to the largest singular value.
    diagonal = numpy.diag([10.0, 2.0, 0.1]).astype("float32")
    assert [int(np.linalg.matrix_rank(diagonal, t)) for t in (0.1, 0.5)] == [2, 1]
    assert [int(np.linalg.matrix_rank(diagonal, tol=t)) for t in (0.5, 3.0)] == [2, 1]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: np.linalg.pinv(A, 0.1, rcond=0.1), "rtol and rcond"),
        (lambda: np.linalg.pinv(A[0, 0]), "2 dimensions"),
        (lambda: np.linalg.matrix_rank(A, 0.1, tol=0.1), "rtol and tol"),
        (lambda: np.linalg.matrix_rank(numpy.ones((0, 3), "float32")), "elements"),
        (lambda: np.linalg.cond(A[0, 0]), "2 dimensions"),
        (lambda: np.linalg.cond(numpy.ones((0, 0), "float32")), "elements"),
        (lambda: np.linalg.cond(WIDE, 1), "square"),
        (lambda: np.linalg.cond(A, 3), "ord"),
        (lambda: np.linalg.eigvals(WIDE), "square"),
    ],
)
def test_what_is_refused(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("shape", [(3, 3), (4, 2), (2, 4)])
def test_derivatives_of_pseudo_inverses(shape: tuple[int, int]) -> None:
    with anima.enable_x64(True):
        rng = numpy.random.default_rng(5)
        x, t, w = rng.normal(size=shape), rng.normal(size=shape), rng.normal(size=shape[::-1])
        h = 1e-6
        want = (numpy.linalg.pinv(x + h * t) - numpy.linalg.pinv(x - h * t)) / (2 * h)
        same(anima.jvp(np.linalg.pinv, (x,), (t,))[1], want, 1e-7)
        pulled = anima.grad(lambda x: (np.linalg.pinv(x) * w).sum())(x)
        same((numpy.asarray(pulled) * t).sum(), (want * w).sum(), 1e-7)
        flat = numpy.outer(x[:, 0], x[0])  # within the matrices of rank 1
        moved = lambda s: numpy.outer(x[:, 0] + s * t[:, 0], x[0])
        want = (numpy.linalg.pinv(moved(h)) - numpy.linalg.pinv(moved(-h))) / (2 * h)
        same(anima.jvp(np.linalg.pinv, (flat,), (numpy.outer(t[:, 0], x[0]),))[1], want, 1e-6)


def test_eigenvalues_have_second_derivatives_and_eigenvectors_need_leave() -> None:
    with anima.enable_x64(True):
        x, t = (RNG.normal(size=(3, 3)) for _ in range(2))
        square = lambda x: (np.linalg.eigvals(x) ** 2).sum().real  # the trace of x @ x
        same(anima.grad(square)(x), 2 * x.T, 1e-9)
        second = anima.jvp(anima.grad(square), (x,), (t,))[1]
        same(second, 2 * t.T, 1e-8)
        with pytest.raises(MissingRuleError, match="enable_eigvec_derivs"):
            anima.jvp(np.linalg.eig, (x,), (t,))


def test_traced_and_mapped() -> None:
    for fun in (np.linalg.eigvalsh, np.linalg.svdvals, np.linalg.pinv, np.linalg.cond, np.linalg.matrix_rank):
        want = fun(A)
        same(anima.jit(fun)(A), numpy.asarray(want))
        same(anima.vmap(fun)(A), numpy.asarray(want))
