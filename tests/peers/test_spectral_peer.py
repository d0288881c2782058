"""Eigenvalues, singular values and functions of matrices beside JAX: signatures, values, dtypes, derivatives, and what is called
on GPUs."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

import anima

pytestmark = pytest.mark.peers

NAMES = {
    "lax.linalg": "eig eigh svd schur hessenberg tridiagonal qdwh",
    "numpy.linalg": "eig eigh eigvals eigvalsh svd svdvals pinv matrix_rank cond",
    "scipy.linalg": "eigh eigh_tridiagonal svd schur rsf2csf hessenberg expm expm_frechet sqrtm funm polar solve_sylvester",
}
RNG = np.random.default_rng(11)


def part(lib: Any, path: str) -> Any:
    return importlib.import_module(f"{lib.__name__}.{path}")


def check(path: str, name: str, *args: Any, apply: Callable[..., Any] | None = None, **kwargs: Any) -> None:
    """The same dtypes, shapes and values; factors up to signs and phases."""
    apply = apply or (lambda lib, fun: fun(*args, **kwargs))
    got, want = (
        lib.tree_util.tree_leaves(apply(lib, getattr(part(lib, path), name))) for lib in (anima, jax)
    )
    assert len(got) == len(want)
    for ours, theirs in zip(got, want):
        assert (ours.dtype, ours.shape, ours.weak_type) == (theirs.dtype, theirs.shape, theirs.weak_type)
        tol = 2e-4 if np.asarray(ours).real.dtype == np.float32 else 1e-8
        sizes = np.abs(np.asarray(ours)), np.abs(np.asarray(theirs))
        np.testing.assert_allclose(*sizes, rtol=tol, atol=tol, err_msg=name)


@pytest.fixture(autouse=True)
def _wide() -> Any:
    with anima.enable_x64(True), jax.enable_x64(True):
        yield


@pytest.mark.parametrize("path", NAMES)
def test_signatures(path: str) -> None:
    for name in NAMES[path].split():
        ours, theirs = (inspect.signature(getattr(part(lib, path), name)) for lib in (anima, jax))
        shown = [
            [(p.name, p.kind, p.default) for p in s.parameters.values()] for s in (ours, theirs)
        ]  # fmt: skip
        assert shown[0] == shown[1], name
    for name in ("EighImplementation", "EigImplementation", "SvdAlgorithm"):
        ours, theirs = (getattr(lib.lax.linalg, name) for lib in (anima, jax))
        assert [(m.name, m.value) for m in ours] == [(m.name, m.value) for m in theirs]


@pytest.mark.parametrize("dtype", ["float32", "complex128", "int32"])
@pytest.mark.parametrize("shape", [(3, 3), (2, 3, 3), (1, 1), (0, 0), (2, 4), (4, 2)])
def test_values(dtype: str, shape: tuple[int, ...]) -> None:
    x = RNG.normal(size=shape) * 3 + (1j if dtype[0] == "c" else 0) * RNG.normal(size=shape)
    x = x.astype(dtype)
    square = shape[-1] == shape[-2]
    for name in NAMES["numpy.linalg"].split():
        if (square or name in ("svd", "svdvals", "pinv", "cond", "matrix_rank")) and (
            x.size or name in ("svd", "eig")
        ):
            check("numpy.linalg", name, x)
    if square and dtype != "int32" and x.size:
        for name in ("eig", "eigh", "svd", "schur", "hessenberg", "tridiagonal"):
            check("lax.linalg", name, x)
        for name in ("eigh", "svd", "schur", "hessenberg", "expm", "polar"):
            check("scipy.linalg", name, x)
        check("scipy.linalg", "expm_frechet", x, x * 2)
        check("scipy.linalg", "solve_sylvester", x, x + x * x, x - 1)
        if len(shape) == 2:
            check("scipy.linalg", "sqrtm", x)
            check("scipy.linalg", "funm", apply=lambda lib, fun: fun(x, lib.numpy.sin, disp=False))


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_derivatives(dtype: str) -> None:
    imaginary = 1j if dtype[0] == "c" else 0
    x, t, tall = (
        (RNG.normal(size=s) + imaginary * RNG.normal(size=s)).astype(dtype) for s in ((3, 3), (3, 3), (5, 3))
    )
    forward = lambda lib, fun: lib.jvp(fun, (x,), (t,))
    for path, names in (
        ("numpy.linalg", "eigvals eigvalsh eigh svd svdvals pinv cond"),
        ("scipy.linalg", "expm"),
    ):
        for name in names.split():
            check(path, name, apply=forward)
    thin = lambda lib, fun: lib.jvp(lambda x: fun(x, full_matrices=False), (tall,), (tall * t[0, 0],))
    check("lax.linalg", "svd", apply=thin)
    vectors = lambda lib, fun: lib.jvp(lambda x: fun(x, enable_eigvec_derivs=True), (x,), (t,))
    check("lax.linalg", "eig", apply=vectors)
    tied = lambda lib, fun: lib.jvp(fun, (np.eye(3).astype(dtype),), (t + t.conj().T,))
    for name in ("eigh", "svd"):
        check("lax.linalg", name, apply=tied)


# --- what is called on GPUs -------------------------------------------------------------------

S = jax.ShapeDtypeStruct
SINGLE = lambda *shape: S(shape, np.dtype("float32"))
DOUBLE = lambda *shape: S(shape, np.dtype("complex128"))
ON_GPU: list[tuple[Callable[[Any, Any], Any], Any]] = [
    (lambda l, x: l.eigh(x, symmetrize_input=False), SINGLE(2, 4, 4)),
    (lambda l, x: l.eigh(x, symmetrize_input=False, lower=False), DOUBLE(4, 4)),
    (
        lambda l, x: l.eigh(x, symmetrize_input=False, implementation=l.EighImplementation.JACOBI),
        SINGLE(4, 4),
    ),
    (lambda l, x: l.svd(x), SINGLE(2, 5, 4)),
    (lambda l, x: l.svd(x, full_matrices=False), DOUBLE(2, 20, 30)),
    (lambda l, x: l.svd(x, full_matrices=False), SINGLE(40, 30)),
    (lambda l, x: l.svd(x, full_matrices=False), SINGLE(1100, 20)),
    (lambda l, x: l.svd(x), SINGLE(20, 1100)),
    (lambda l, x: l.svd(x, compute_uv=False, algorithm=l.SvdAlgorithm.QR), SINGLE(2, 20, 30)),
    (lambda l, x: l.svd(x, full_matrices=False, algorithm=l.SvdAlgorithm.POLAR), SINGLE(2, 20, 30)),
    (lambda l, x: l.eig(x), SINGLE(2, 4, 4)),
    (lambda l, x: l.eig(x, compute_left_eigenvectors=False), DOUBLE(4, 4)),
    (lambda l, x: l.tridiagonal(x), SINGLE(2, 4, 4)),
    (lambda l, x: l.tridiagonal(x, lower=False), DOUBLE(4, 4)),
]


def call_in(text: str) -> dict[str, Any]:
    """What a program's call of a solver consists of."""
    line = next(s for s in text.splitlines() if "custom_call" in s and ("cusolver" in s or "cuhybrid" in s))
    line = line.replace("dense<[0]>", "dense<0>")
    config = re.search(r"backend_config = \{([^}]*)\}", line)
    assert config is not None
    target = re.search(r"cu(solver|hybrid)_\w+", line)
    assert target is not None
    return {
        "target": target.group(),
        "config": sorted(config.group(1).split(", ")),
        "types": line.split(" : (")[-1],
        **{
            key: re.search(rf"{key} = \[(.*?)\](?=, \w|}})", line).group(1)
            for key in ("operand_layouts", "result_layouts")
        },  # type: ignore[union-attr]
        "aliases": re.findall(r"output_tuple_indices = \[\d*\], operand_index = \d+", line),
    }


@pytest.mark.parametrize("case", range(len(ON_GPU)))
def test_calls_on_gpus_are_those_of_jax(case: int, monkeypatch: pytest.MonkeyPatch) -> None:
    call, operand = ON_GPU[case]
    for module in ("calls", "cuda"):
        where = importlib.import_module(f"anima.lax.linalg.{module}")
        monkeypatch.setattr(where, "has_cuda_kernels", lambda: True)
    theirs = jax.jit(lambda x: call(jax.lax.linalg, x)).trace(operand).lower(lowering_platforms=("cuda",))
    given = anima.ShapeDtypeStruct(operand.shape, operand.dtype)
    ours = anima.jit(lambda x: call(anima.lax.linalg, x)).trace(given).lower(lowering_platforms=("cuda",))
    assert call_in(ours.as_text()) == call_in(theirs.as_text())
