"""Eigenvalues, singular values and triangular forms where the walk over samples does not come: failures, ties, settings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import anima
from anima import lax
from anima.errors import MissingRuleError
from anima.lax.linalg import EighImplementation, EigImplementation, SvdAlgorithm
from anima.lax.linalg.functions import sqrtm, sylvester

RNG = np.random.default_rng(3)
A = RNG.normal(size=(2, 4, 4))
Z = RNG.normal(size=(4, 4)) + 1j * RNG.normal(size=(4, 4))
SQUARE = [lax.linalg.eigh, lax.linalg.eig, lax.linalg.schur, lax.linalg.hessenberg, lax.linalg.tridiagonal]
F = "float32"


@pytest.fixture(autouse=True)
def _wide() -> Any:
    with anima.enable_x64(True):
        yield


def same(a: Any, b: Any) -> None:
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-9, atol=1e-9)


def ct(x: Any) -> Any:
    return np.conj(np.swapaxes(np.asarray(x), -1, -2))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_has_nan_for_a_result_and_leaves_others_alone(bad: float) -> None:
    x = A.copy()
    x[0, 1, 2] = x[0, 2, 1] = bad
    for fun in (lax.linalg.eigh, lax.linalg.eig, lax.linalg.svd, lax.linalg.schur):
        for got, want in zip(fun(x), fun(A)):
            assert np.isnan(np.asarray(got)[0]).all()
            same(got[1], want[1])
    assert np.isnan(np.asarray(sqrtm(x[0] + 0j))).all()
    assert np.isnan(np.asarray(sylvester(x[0], A[1], A[1]))).all()
    assert np.isnan(np.asarray(lax.linalg.eigh(x[0], subset_by_index=(0, 2))[0])).all()


@pytest.mark.parametrize("fun", SQUARE)
def test_shapes_and_dtypes_are_checked(fun: Any) -> None:
    with pytest.raises(ValueError, match="square"):
        fun(np.ones((2, 3), F))
    with pytest.raises(TypeError, match="2 dimensions"):
        fun(np.ones(3, F))
    with pytest.raises(TypeError, match="dtype"):
        fun(np.ones((2, 2), anima.numpy.float8_e5m2))
    with pytest.raises(TypeError):
        fun([[1.0, 2.0], [3.0, 4.0]])


def test_empty_and_tiny_matrices() -> None:
    for fun in (lax.linalg.hessenberg, lax.linalg.tridiagonal):
        with pytest.raises(ValueError, match="at least one row"):
            fun(np.ones((2, 0, 0), F))
        assert fun(np.ones((0, 3, 3), F))[0].shape == (0, 3, 3)
    u, s, vh = lax.linalg.svd(np.ones((2, 0, 3), F))
    assert (u.shape, s.shape) == ((2, 0, 0), (2, 0))
    same(vh, np.broadcast_to(np.eye(3), (2, 3, 3)))
    assert lax.linalg.eig(np.ones((0, 0), F))[0].shape == (0,)
    same(lax.linalg.eigh(np.full((1, 1), -2.0))[1], [-2.0])
    same(lax.linalg.schur(np.full((1, 1), -2.0))[0], [[-2.0]])


def test_triangles_and_subsets_of_eigh() -> None:
    for lower in (True, False):
        v, w = lax.linalg.eigh(Z, lower=lower, symmetrize_input=False)
        same(w, np.linalg.eigvalsh(Z, "L" if lower else "U"))
        v, w = lax.linalg.eigh(Z, lower=lower, symmetrize_input=False, subset_by_index=(1, 3))
        same(w, np.linalg.eigvalsh(Z, "L" if lower else "U")[1:3])
    h = (A + ct(A)) / 2
    v, w = lax.linalg.eigh(A, subset_by_index=(2, 4))
    assert v.shape == (2, 4, 2)
    same(h @ np.asarray(v), np.asarray(v) * np.asarray(w)[:, None, :])
    assert lax.linalg.eigh(A, subset_by_index=(2, 2))[0].shape == (2, 4, 0)
    for bad in ((2, 1), (-1, 2), (0, 5), 3):
        with pytest.raises(ValueError, match="subset_by_index"):
            lax.linalg.eigh(A, subset_by_index=bad)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="subset_by_index"):
            lax.linalg.svd(A, subset_by_index=bad, full_matrices=False)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="full_matrices"):
        lax.linalg.svd(A, subset_by_index=(0, 2))
    assert lax.linalg.eigh(np.array([[2, 0], [0, 1]], np.int32))[1].dtype == np.float32


def test_what_a_platform_lacks_is_said() -> None:
    with pytest.raises(NotImplementedError, match="JACOBI"):
        lax.linalg.eigh(A, implementation=EighImplementation.JACOBI)
    with pytest.raises(NotImplementedError, match="POLAR"):
        lax.linalg.svd(A, algorithm=SvdAlgorithm.POLAR)
    with pytest.raises(ValueError, match="LAPACK"):
        lax.linalg.eig(A, implementation=EigImplementation.MAGMA)
    with pytest.warns(DeprecationWarning, match="implementation"):
        same(lax.linalg.eig(A, use_magma=False)[0], lax.linalg.eig(A)[0])


def test_results_that_nobody_needs_are_not_computed() -> None:
    for fun in (
        lambda x: lax.linalg.eigh(x)[1],
        lambda x: lax.linalg.svd(x)[1],
        lambda x: lax.linalg.eig(x)[0],
        lambda x: lax.linalg.schur(x)[0],
    ):
        compiled = anima.jit(fun)
        same(compiled(A), fun(A))
        line = next(
            s for s in compiled.lower(A).as_text().splitlines() if "custom_call" in s and "anima_" in s
        )
        assert line.rstrip().split("->")[-1].count("tensor") == 1, line


def test_real_schur_forms_have_blocks_for_pairs_and_can_be_sorted() -> None:
    x = np.array([[0.0, -2.0, 1.0], [2.0, 0.0, 3.0], [0.0, 0.0, 5.0]])
    t, q = lax.linalg.schur(x)
    same(np.asarray(q) @ np.asarray(t) @ ct(q), x)
    assert np.asarray(t)[1, 0] != 0
    t, q = lax.linalg.schur(x, sort_eig_vals=True, select_callable=lambda w: lax.real(w) > 1)
    same(np.asarray(t)[0, 0], 5.0)
    same(np.asarray(q) @ np.asarray(t) @ ct(q), x)
    (only,) = lax.linalg.schur(
        x, compute_schur_vectors=False, sort_eig_vals=True, select_callable=lambda w: lax.real(w) > 1
    )
    same(only, t)
    seen = []

    def all_of(w: Any) -> Any:
        seen.append(np.sort_complex(np.asarray(w)))
        return lax.real(w) > -9

    lax.linalg.schur(x, sort_eig_vals=True, select_callable=all_of)
    same(seen[0], [-2j, 2j, 5])
    with pytest.raises(ValueError, match="select_callable"):
        lax.linalg.schur(x, sort_eig_vals=True)
    with pytest.raises(ValueError, match="shape"):
        lax.linalg.schur(x, sort_eig_vals=True, select_callable=lambda w: lax.real(w)[:1] > 0)


def test_ties_spoil_derivatives_of_vectors_only() -> None:
    eye, t = np.eye(3), RNG.normal(size=(3, 3))
    t = t + t.T
    _, (dv, dw) = anima.jvp(lax.linalg.eigh, (eye,), (t,))
    assert np.isnan(np.asarray(dv)).all()
    same(dw, np.diag(t))
    _, (du, ds, _) = anima.jvp(lax.linalg.svd, (eye,), (t,))
    assert np.isnan(np.asarray(du)).all()
    same(ds, np.diag(t))
    same(anima.grad(lambda x: lax.linalg.svd(x, compute_uv=False).sum())(eye), eye)
    values = lambda x: lax.linalg.eig(x, compute_left_eigenvectors=False, compute_right_eigenvectors=False)[0]
    same(anima.grad(lambda x: lax.real(values(x)).sum())(eye), eye)


def test_derivatives_that_do_not_exist_say_why() -> None:
    with pytest.raises(MissingRuleError, match="enable_eigvec_derivs"):
        anima.jvp(lax.linalg.eig, (A,), (A,))
    with pytest.raises(NotImplementedError, match="full_matrices=False"):
        anima.jvp(lax.linalg.svd, (A[0, :3],), (A[0, :3],))
    for fun in (lax.linalg.schur, lax.linalg.hessenberg, lax.linalg.tridiagonal):
        with pytest.raises(MissingRuleError, match="no derivative"):
            anima.jvp(fun, (A,), (A,))


def test_nested_transformations() -> None:
    def energy(x: Any) -> Any:
        return (lax.linalg.eigh(x)[1] ** 3).sum() + lax.linalg.svd(x, compute_uv=False).sum()

    whole = anima.hessian(energy)(A[0])
    same(anima.jit(anima.hessian(energy))(A[0]), whole)
    same(anima.vmap(anima.hessian(energy))(A)[0], whole)
    looped = anima.lax.map(anima.grad(energy), A)
    same(looped[1], anima.grad(energy)(A[1]))
    same(anima.vmap(anima.vmap(lambda x: lax.linalg.eigh(x)[1]))(A[None])[0], lax.linalg.eigh(A)[1])
    picked = anima.jit(lambda x, n: lax.cond(n > 0, lambda x: lax.linalg.eigh(x)[1], lambda x: x[0], x))
    same(picked(A[0], 1), lax.linalg.eigh(A[0])[1])


def test_partitioned_programs(run_python: Any) -> None:
    program = """
import numpy as np, anima
from anima import lax
from anima.sharding import Mesh, NamedSharding, PartitionSpec as P
mesh = Mesh(np.array(anima.devices()), ("x",))
x = np.random.default_rng(0).normal(size=(4, 3, 3)).astype("float32")
for spec in (P("x"), P()):
    placed = anima.device_put(x, NamedSharding(mesh, spec))
    w = anima.jit(lambda x: lax.linalg.eigh(x)[1] * 2)(placed)
    s = anima.jit(lambda x: lax.linalg.svd(x)[1] * 2, out_shardings=NamedSharding(mesh, P("x")))(placed)
    np.testing.assert_allclose(w, 2 * np.linalg.eigvalsh((x + x.swapaxes(1, 2)) / 2), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(s, 2 * np.linalg.svd(x)[1], rtol=1e-4, atol=1e-4)
print(len(anima.devices()))
"""
    assert "4" in str(run_python(program, env={"JAX_NUM_CPU_DEVICES": "4"}))


def test_qdwh() -> None:
    for shape, dtype in (((5, 3), "float64"), ((4, 4), "complex128"), ((6, 2), F)):
        x = (RNG.normal(size=shape) + (1j if dtype[0] == "c" else 0) * RNG.normal(size=shape)).astype(dtype)
        u, h, count, converged = lax.linalg.qdwh(x)
        atol = 1e-5 if dtype == F else 1e-12
        np.testing.assert_allclose(np.asarray(u) @ np.asarray(h), x, atol=atol)
        np.testing.assert_allclose(ct(u) @ np.asarray(u), np.eye(shape[1]), atol=atol)
        assert np.linalg.eigvalsh(np.asarray(h)).min() > 0
        assert bool(converged) and 2 <= int(count) <= 10
    x = np.diag([1.0, 1e-8, 1e-14])
    u, _, _, converged = lax.linalg.qdwh(x)
    assert bool(converged)
    same(u, np.eye(3))
    _, _, count, converged = lax.linalg.qdwh(x, max_iterations=1)
    assert int(count) == 1 and not bool(converged)
    small = RNG.normal(size=(3, 2))
    padded = np.full((4, 3), 7.0)
    padded[:3, :2] = small
    u, h, _, _ = anima.jit(lambda x, m, n: lax.linalg.qdwh(x, dynamic_shape=(m, n)))(padded, 3, 2)
    same(np.asarray(u)[:3, :2], lax.linalg.qdwh(small)[0])
    same(np.asarray(h)[2], 0)
    with pytest.raises(ValueError, match="as many rows as columns"):
        lax.linalg.qdwh(np.ones((2, 3)))


def test_roots_and_sylvester_at_their_edges() -> None:
    same(sqrtm(np.zeros((2, 2)) + 0j), np.zeros((2, 2)))
    assert np.isnan(np.asarray(sqrtm(np.array([[0, 1], [0, 0]]) + 0j))).any()
    rotated = np.linalg.qr(RNG.normal(size=(3, 3)))[0]
    x = rotated @ np.diag([-4.0, 1.0, 9.0]) @ rotated.T  # rounding must not choose the branch of the root
    same(sqrtm(x + 0j), rotated @ np.diag([2j, 1, 3]) @ rotated.T)
    assert np.isnan(np.asarray(sylvester(np.eye(2), -np.eye(2), np.ones((2, 2))))).all()
    with pytest.raises(ValueError, match="rows of a"):
        sylvester(np.eye(2), np.eye(3), np.ones((3, 2)))
