"""Factorisations and systems of equations, beyond the walk over samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.linalg

import anima
from anima import lax
from anima.lax.linalg.cholesky import _rotated
from anima.lax.linalg.householder import _multiplied, _product
from anima.lax.linalg.lu import _factored as lu_by_operations, _permutation
from anima.lax.linalg.qr import _factored as qr_by_operations, geqp3, geqrf
from anima.lax.linalg.solving import _factored, _solved, transposed_lu, transposed_lu_solve_p
from anima.lax.linalg.tridiagonal_solve import _eliminated
from anima.lowering.module import lower_module
from anima.runtime import plugins

linalg = lax.linalg
RNG = np.random.default_rng(0)


def random(*shape: int, complex: bool = False) -> np.ndarray:
    real = RNG.normal(size=shape)
    return real + 1j * RNG.normal(size=shape) if complex else real


def close(found: Any, wanted: Any, tolerance: float = 1e-12) -> None:
    for one, other in zip(found, wanted) if isinstance(wanted, (tuple, list)) else [(found, wanted)]:
        np.testing.assert_allclose(np.asarray(one), np.asarray(other), rtol=tolerance, atol=tolerance)


@pytest.fixture(autouse=True)
def wide():
    with anima.enable_x64(True):
        yield


# --- LAPACK and the formulation in operations agree -------------------------------------------

both_kinds = pytest.mark.parametrize("complex", [False, True], ids=["real", "complex"])


@both_kinds
@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (3, 5), (70, 66)])
def test_factors_by_operations(shape: tuple[int, int], complex: bool) -> None:
    x = random(2, *shape, complex=complex)
    close(anima.jit(lu_by_operations)(x), linalg.lu(x), 1e-10)
    close(anima.jit(lambda x: qr_by_operations(x, False))(x), geqrf(x), 1e-10)
    packed, places, taus = geqp3(x)
    close(anima.jit(lambda x: qr_by_operations(x, True))(x), (packed, places, taus), 1e-10)
    k = min(shape)
    close(anima.jit(_product)(packed[..., :k], taus), linalg.householder_product(packed[..., :k], taus))
    c = random(2, shape[0], 2, complex=complex)
    for transpose in (False, True):
        expected = linalg.ormqr(packed, taus, c, transpose=transpose)
        close(_multiplied(packed, taus, c, True, transpose), expected, 1e-10)


@both_kinds
def test_equations_by_operations(complex: bool) -> None:
    a, b = random(2, 5, 5, complex=complex), random(2, 5, 3, complex=complex)
    close(_factored(a), transposed_lu(a), 1e-10)
    factors = transposed_lu(a)
    for transpose_a in (False, True):
        x = transposed_lu_solve_p.bind(*factors, b, transpose_a=transpose_a)
        close(_solved(*factors, b, transpose_a), x, 1e-10)
        close((np.swapaxes(a, -1, -2) if transpose_a else a) @ np.asarray(x), b, 1e-10)
    pivots = np.asarray(linalg.lu(a)[1])
    close(_permutation(pivots, 7), linalg.lu_pivots_to_permutation(pivots, 7))
    diagonals = [random(2, 5, complex=complex) for _ in range(3)]
    for perturb in (False, True):
        x = linalg.tridiagonal_solve(*diagonals, b, perturb_singular=perturb)
        close(_eliminated(*diagonals, b, perturb), x, 1e-9)
    if not complex:
        r, w = np.triu(a), b[..., 0]
        close(_rotated(r, w), linalg.cholesky_update(r, w))


def text_of(fun: Callable[..., Any], *args: Any, **where: Any) -> str:
    return lower_module(anima.make_jaxpr(fun)(*args), name="f", **where).text


CALLS: list[tuple[Callable[..., Any], tuple[Any, ...], str | None, str]] = [
    (linalg.cholesky, (np.eye(3),), None, "stablehlo.cholesky"),
    (linalg.triangular_solve, (np.eye(3), np.eye(3)), None, "stablehlo.triangular_solve"),
    (linalg.lu, (np.ones((2, 5, 3)),), "cusolver_getrf_ffi", "stablehlo.while"),
    (linalg.qr, (np.ones((2, 5, 3)),), "cusolver_geqrf_ffi", "stablehlo.while"),
    (linalg.householder_product, (np.ones((5, 3)), np.ones(3)), "cusolver_orgqr_ffi", "stablehlo.dot_general"),
    (linalg.ormqr, (np.ones((5, 3)), np.ones(3), np.ones((5, 2))), "cusolver_ormqr_ffi", "stablehlo.dot_general"),
    (linalg.tridiagonal_solve, (*[np.ones(3)] * 3, np.ones((3, 1))), "cusparse_gtsv2_ffi", "stablehlo.while"),
    (linalg.cholesky_update, (np.eye(3), np.ones(3)), None, "stablehlo.while"),
    (lambda p: linalg.lu_pivots_to_permutation(p, 3), (np.zeros(2, np.int32),), "cu_lu_pivots_to_permutation", "stablehlo.while"),
]  # fmt: skip


@pytest.mark.parametrize("fun, args, target, operation", CALLS)
def test_where_kernels_are_called(
    fun: Any, args: Any, target: str | None, operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ours on CPU devices, the plugin's on GPUs where it is installed, and none in what may run elsewhere."""
    monkeypatch.setattr("anima.lax.linalg.cuda.has_cuda_kernels", lambda: True)
    for where in (
        {"platform": "cpu", "exported": True},
        {"platform": "cpu", "partitions": 2},
        {"platform": "tpu"},
    ):
        text = text_of(fun, *args, **where)
        assert operation in text and "custom_call" not in text
    if target is not None:
        assert f'"{target}"' in text_of(fun, *args, platform="cuda")
        assert "custom_call" not in text_of(fun, *args, platform="cuda", exported=True)
        monkeypatch.setattr("anima.lax.linalg.cuda.has_cuda_kernels", lambda: False)
        assert "custom_call" not in text_of(fun, *args, platform="cuda")


@pytest.mark.cpu
@pytest.mark.parametrize("fun, args, target, operation", CALLS)
def test_kernels_on_cpus(fun: Any, args: Any, target: str | None, operation: str) -> None:
    assert '"anima_' in text_of(fun, *args, platform="cpu")


def test_calls_of_the_plugin_of_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Matrices go by columns, everything else row-major."""
    monkeypatch.setattr("anima.lax.linalg.cuda.has_cuda_kernels", lambda: True)
    text = text_of(linalg.lu, np.ones((2, 5, 3)), platform="cuda")
    (line,) = [line for line in text.splitlines() if "cusolver_getrf_ffi" in line]
    assert "operand_layouts = [dense<[1, 2, 0]> : tensor<3xindex>]" in line
    assert (
        "result_layouts = [dense<[1, 2, 0]> : tensor<3xindex>, dense<[1, 0]> : tensor<2xindex>, "
        "dense<[0]> : tensor<1xindex>]"
    ) in line
    assert "output_tuple_indices = [0], operand_index = 0" in line
    text = text_of(lambda *xs: linalg.ormqr(*xs, transpose=True), *CALLS[5][1], platform="cuda")
    assert "backend_config = {left = true, transpose = true}" in text
    assert "output_tuple_indices = [], operand_index = 2" in text


def test_whether_kernels_for_gpus_are_installed() -> None:
    assert plugins.has_cuda_kernels() == (plugins._cuda_kernels_folder() is not None)


# --- corners ----------------------------------------------------------------------------------


def test_matrices_without_factors() -> None:
    indefinite = np.array([[1.0, 5.0], [5.0, 1.0]])
    good = np.eye(2)
    found = np.asarray(linalg.cholesky(np.stack([indefinite, good])))
    assert np.isnan(found[0][np.tril_indices(2)]).all() and found[0, 0, 1] == 0
    np.testing.assert_array_equal(found[1], good)
    assert np.isnan(np.asarray(linalg.cholesky(indefinite + 0j))[1, 0])


def test_singular_matrices() -> None:
    factors, pivots, order = linalg.lu(np.zeros((2, 2)))
    assert not np.any(factors) and list(pivots) == list(order) == [0, 1]
    x = np.asarray(linalg.triangular_solve(np.zeros((2, 2)), np.ones((2, 2)), left_side=True))
    assert not np.isfinite(x).any()
    zero = np.zeros(2)
    assert np.isnan(np.asarray(linalg.tridiagonal_solve(zero, zero, zero, np.ones((2, 1))))).all()
    assert np.isnan(np.asarray(_eliminated(zero, zero, zero, np.ones((2, 1)), False))).all()
    q, r = linalg.qr(np.zeros((3, 2)))
    close((q, r), (np.eye(3), np.zeros((3, 2))))


def test_numbers_that_are_not_finite() -> None:
    nan = np.full((2, 2), np.nan)
    for found in (
        linalg.lu(nan)[0],
        linalg.qr(nan)[0],
        linalg.triangular_solve(nan, nan),
        linalg.cholesky(nan)[1:],
    ):
        assert np.isnan(np.asarray(found)).all()


@pytest.mark.parametrize(
    "dl, d, du, smallest",
    [([0.0, 3.0], [3.0, 3.0], [3.0, 0.0], 3 * 2.0**-52), ([0.0], [0.0], [0.0], 2.0**-1022)],
)
def test_perturbed_pivots(dl: Any, d: Any, du: Any, smallest: float) -> None:
    """A last pivot that is zero is taken for a rounding error of the largest number."""
    rhs = np.arange(1.0, len(d) + 1)[:, None]
    args = (np.array(dl), np.array(d), np.array(du), rhs)
    x = np.asarray(linalg.tridiagonal_solve(*args, perturb_singular=True))
    assert x[-1, 0] == 1 / smallest
    close(_eliminated(*args, True), x)


@pytest.mark.parametrize("shape", [(0, 0), (2, 3, 0), (2, 0, 3), (0, 3, 3)])
def test_no_elements(shape: tuple[int, ...]) -> None:
    *stack, m, n = shape
    x = np.ones(shape)
    factors, pivots, order = linalg.lu(x)
    assert (factors.shape, pivots.shape, order.shape) == (shape, (*stack, min(m, n)), (*stack, m))
    np.testing.assert_array_equal(np.asarray(order), np.broadcast_to(np.arange(m), order.shape))
    q, r, places = linalg.qr(x, pivoting=True)
    assert (q.shape, r.shape, places.shape) == ((*stack, m, m), shape, (*stack, n))
    np.testing.assert_array_equal(np.asarray(q), np.broadcast_to(np.eye(m), q.shape))
    if m == n:
        assert linalg.cholesky(x).shape == shape
        assert linalg.triangular_solve(x, x).shape == shape
        assert linalg.cholesky_update(x, x[..., 0, :] if m else np.ones(shape[:-1])).shape == shape
    assert linalg.ormqr(np.ones((*stack, m, 0)), np.ones((*stack, 0)), x).shape == shape


@pytest.mark.parametrize(
    "shape", [(1, 1), (16, 50), (40, 17), (97, 97), (200, 96), (113, 112), (130, 260), (260, 130)]
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_reflectors_of_panels(shape: tuple[int, int], dtype: Any) -> None:
    """Reflectors as LAPACK makes them, also beyond one panel, and matrices of the products of some of them."""
    # With a diagonal that keeps leading blocks away from singular ones, of which reflectors are not determined so well.
    x = (random(*shape) + 4 * np.sqrt(min(shape)) * np.eye(*shape)).astype(dtype)
    tolerance = 40 * float(np.finfo(dtype).eps)
    packed, taus = (np.asarray(v) for v in geqrf(x))
    (raw, wanted_taus), _ = scipy.linalg.qr(x, mode="raw")
    assert packed.dtype == taus.dtype == dtype
    close(taus, wanted_taus, tolerance)
    close(packed / np.abs(raw).max(), raw / np.abs(raw).max(), tolerance)
    for complete in (False, True):
        q, r = (np.asarray(v) for v in lax.linalg.qr(x, full_matrices=complete))
        wanted_q, wanted_r = np.linalg.qr(x, "complete" if complete else "reduced")
        close(q, wanted_q, tolerance * 4)
        close(r / np.abs(r).max(), wanted_r / np.abs(r).max(), tolerance)
    count = min(shape) // 2
    if count:
        a = packed[:, : min(shape)]
        some = np.asarray(lax.linalg.householder_product(a, taus[:count]))
        whole = np.eye(shape[0])
        for i, tau in enumerate(taus[:count].astype(np.float64)):
            v = np.where(np.arange(shape[0]) < i, 0, a[:, i].astype(np.float64))
            v[i] = 1
            whole = whole - tau * np.outer(whole @ v, v)
        close(some, whole[:, : a.shape[1]], tolerance)


@pytest.mark.parametrize(
    ("dtype", "scale"),
    [(np.float32, 1e30), (np.float32, 1e-30), (np.float64, 1e290), (np.float64, 1e-300)],
)
def test_reflectors_of_extreme_numbers(dtype: Any, scale: float) -> None:
    x = random(50, 20)
    scaled = (x * scale).astype(dtype)
    q, r = (np.asarray(v).astype(np.float64) for v in lax.linalg.qr(scaled, full_matrices=False))
    assert np.all(np.isfinite(q)) and np.all(np.isfinite(r))
    close(q.T @ q, np.eye(20), 1e-5)
    close(q @ (r / scale), scaled.astype(np.float64) / scale, 1e-4)


def test_reflectors_of_zeros_and_of_numbers_that_are_not_finite() -> None:
    x = np.zeros((30, 20))
    q, r = lax.linalg.qr(x, full_matrices=False)
    assert np.array_equal(q, np.eye(30, 20)) and not np.any(r)
    x = random(30, 20)
    x[:, 3] = x[:, 2] = 0
    q, r = (np.asarray(v) for v in lax.linalg.qr(x, full_matrices=False))
    close(q @ r, x)
    close(q.T @ q, np.eye(20))
    x = random(150, 120)  # beyond one panel
    x[:, 97:100] = x[:, 40:60] = x[:, :5] = 0
    q, r = (np.asarray(v) for v in lax.linalg.qr(x, full_matrices=False))
    close(q @ r, x)
    close(q.T @ q, np.eye(120))
    for odd in (np.nan, np.inf):
        x = random(30, 20)
        x[5, 4] = odd
        q, r = (np.asarray(v) for v in lax.linalg.qr(x, full_matrices=False))
        assert np.all(np.isnan(q[:, 5:])) and np.all(np.isfinite(r[:3, :3]))


def test_vectors_as_right_hand_sides() -> None:
    a, b = np.triu(random(2, 3, 3)) + 3 * np.eye(3), random(2, 3)
    close(linalg.triangular_solve(a, b, left_side=True), np.linalg.solve(a, b[..., None])[..., 0])
    close(linalg.triangular_solve(a, b), np.linalg.solve(np.swapaxes(a, -1, -2), b[..., None])[..., 0])


def test_half_precision_is_computed_as_float32() -> None:
    x = np.array([[4.0, 2.0], [2.0, 5.0]], np.float16)
    factor = linalg.cholesky(x)
    assert factor.dtype == np.float16
    np.testing.assert_array_equal(np.asarray(factor), np.array([[2, 0], [1, 2]], np.float16))


def test_weak_types_stay_weak() -> None:
    weak = lax.full((2, 2), 2.0)
    assert weak.weak_type and linalg.lu(weak)[0].weak_type and linalg.qr(weak)[1].weak_type
    assert not linalg.cholesky(np.eye(2)).weak_type


# --- derivatives ------------------------------------------------------------------------------


def test_the_transpose_of_conjugate_equations() -> None:
    a, b, c = (random(3, 3, complex=True) for _ in range(3))
    for flags in ({"transpose_a": True, "conjugate_a": True}, {"conjugate_a": True}):
        solve = lambda b, flags=flags: linalg.triangular_solve(a, b, left_side=True, **flags)
        (pulled,) = anima.vjp(solve, b)[1](c)
        direction = random(3, 3, complex=True)
        close(np.sum(np.asarray(pulled) * direction), np.sum(c * np.asarray(solve(direction))), 1e-9)


def test_derivatives_of_square_qr_where_the_last_reflector_does_nothing() -> None:
    x = random(3, 3)
    gradient = anima.grad(lambda x: geqrf(x)[0].sum())(x)
    assert np.isfinite(np.asarray(gradient)).all()


def test_derivatives_inside_loops_and_branches() -> None:
    spd = np.eye(3) * 2 + 0.1

    def f(x: Any) -> Any:
        step = lambda c, _: (lax.cond(c[0, 0] > 0, linalg.cholesky, lambda c: -c, c @ c.T + spd), None)
        return lax.scan(step, x, None, length=2)[0].sum()

    gradient = anima.jit(anima.vmap(anima.grad(f)))(np.stack([spd, 2 * spd]))
    for x, found in zip((spd, 2 * spd), gradient):
        t, h = random(3, 3), 1e-6
        close(np.sum(np.asarray(found) * t), (float(f(x + h * t)) - float(f(x - h * t))) / (2 * h), 1e-6)


# --- errors -----------------------------------------------------------------------------------

F32 = np.float32


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: linalg.cholesky(np.ones((3, 4))), ValueError, r"cholesky: x must be a stack of square matrices, got shape \(3, 4\)"),
        (lambda: linalg.cholesky(np.ones(3)), TypeError, r"cholesky: x must have at least 2 dimensions"),
        (lambda: linalg.cholesky(np.eye(2, dtype=int), symmetrize_input=False), TypeError, "cholesky does not accept dtype int64"),
        (lambda: linalg.lu(np.ones(3)), TypeError, "lu: x must have at least 2 dimensions"),
        (lambda: linalg.lu(np.ones((2, 2), bool)), TypeError, "lu does not accept dtype bool for argument x"),
        (lambda: linalg.qr(1.0), TypeError, "qr: x must have at least 2 dimensions"),
        (lambda: linalg.triangular_solve(np.eye(3), np.ones((4, 4)), left_side=True), ValueError, "b must have as many rows as a"),
        (lambda: linalg.triangular_solve(np.eye(3), np.ones((4, 4))), ValueError, "b must have as many columns as a"),
        (lambda: linalg.triangular_solve(np.ones((3, 4)), np.ones((4, 4))), ValueError, "a must be a stack of square"),
        (lambda: linalg.triangular_solve(np.ones((3, 3)), np.ones((2, 3, 3))), TypeError, "stacks of one shape"),
        (lambda: linalg.triangular_solve(np.eye(3, dtype=F32), np.eye(3)), TypeError, "same dtypes"),
        (lambda: linalg.lu_pivots_to_permutation(np.zeros(3, np.int32), 2), ValueError, "permutation_size must not be less"),
        (lambda: linalg.lu_pivots_to_permutation(np.zeros(3, np.int64), 4), TypeError, "does not accept dtype int64"),
        (lambda: linalg.lu_pivots_to_permutation(np.int32(1), 4), TypeError, "pivots must have at least 1 dimension"),
        (lambda: linalg.householder_product(np.ones((3, 5)), np.ones(3)), ValueError, "as many rows as columns"),
        (lambda: linalg.householder_product(np.ones((5, 3)), np.ones(4)), ValueError, "taus must not have more elements"),
        (lambda: linalg.householder_product(np.ones((2, 5, 3)), np.ones(3)), TypeError, "broadcast taus"),
        (lambda: linalg.ormqr(np.ones((5, 3)), np.ones(3), np.ones((4, 4))), ValueError, "left=True: c must have as many rows"),
        (lambda: linalg.ormqr(np.ones((5, 3)), np.ones(3), np.ones((4, 4)), left=False), ValueError, "left=False: c must have as many columns"),
        (lambda: linalg.cholesky_update(np.eye(3), np.ones(2)), ValueError, "w_vector must have as many elements"),
        (lambda: linalg.cholesky_update(np.eye(3) + 0j, np.ones(3) + 0j), TypeError, "does not accept dtype complex128"),
        (lambda: linalg.symmetric_product(np.ones((3, 4)), np.ones((4, 4))), ValueError, "c_matrix must be square"),
        (lambda: linalg.tridiagonal_solve(np.ones(2), np.ones(3), np.ones(3), np.ones((3, 1))), TypeError, "dl must have the length of d"),
        (lambda: linalg.tridiagonal_solve(*[np.ones(3)] * 3, np.ones((4, 1))), TypeError, "b must have as many rows"),
    ],
)  # fmt: skip
def test_errors(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


@pytest.mark.cpu
def test_programs_written_by_hand_cannot_break_kernels() -> None:
    """A pivot out of bounds is an error of the call."""
    bad = np.array([9, 0], np.int32)
    with pytest.raises(anima.errors.XlaRuntimeError, match="a pivot is out of bounds"):
        np.asarray(linalg.lu_pivots_to_permutation(bad, 2))
    with pytest.raises(anima.errors.XlaRuntimeError, match="a pivot is out of bounds"):
        np.asarray(transposed_lu_solve_p.bind(np.eye(2), bad, np.ones((2, 1)), transpose_a=False))


WEAK = {
    "cholesky": 1, "eig": 3, "eigh": 2, "hessenberg": 2, "lu": 3, "qr": 2, "schur": 2, "svd": 3, "tridiagonal": 4,
}  # fmt: skip


@pytest.mark.parametrize("name", WEAK)
def test_factors_of_weakly_typed_matrices_are_weakly_typed(name: str) -> None:
    outs = anima.tree.leaves(
        anima.eval_shape(lambda: getattr(lax.linalg, name)(lax.broadcast(lax.full_like(0.5, 0.5), (2, 2))))
    )
    assert [out.weak_type for out in outs] == [True] * WEAK[name]


def test_cholesky_takes_the_mean_of_integers_in_floats() -> None:
    a = np.array([[4, 2], [2, 5]], np.int32)
    factor = lax.linalg.cholesky(a)
    assert factor.dtype == np.float32
    np.testing.assert_allclose(factor, np.linalg.cholesky(a), rtol=1e-6)
    with pytest.raises(TypeError, match="cholesky does not accept dtype int32"):
        lax.linalg.cholesky(a, symmetrize_input=False)
    assert lax.linalg.eigh(a)[1].dtype == np.float32
    with pytest.raises(TypeError, match="eigh does not accept dtype int32"):
        lax.linalg.eigh(a, symmetrize_input=False)


@pytest.mark.parametrize("shape", [(2, 2), (2, 0)])
@pytest.mark.parametrize("steps", [None, 1])
def test_what_qdwh_says_of_its_steps_are_arrays(shape: tuple[int, int], steps: int | None) -> None:
    *_, count, converged = lax.linalg.qdwh(np.eye(*shape, dtype="f"), max_iterations=steps)
    assert isinstance(count, anima.Array) and isinstance(converged, anima.Array)
    assert count.weak_type and not converged.weak_type


@pytest.mark.parametrize("factor", [lax.linalg.cholesky, lax.linalg.eigh], ids=["cholesky", "eigh"])
def test_factors_of_weakly_typed_integers_are_weakly_typed(factor: Any) -> None:
    for value, weak in ((np.full((2, 2), 2, np.int32), False), (lax.broadcast(2, (2, 2)), True)):
        found = anima.eval_shape(factor, value)
        assert {x.weak_type for x in anima.tree.leaves(found)} == {weak}
