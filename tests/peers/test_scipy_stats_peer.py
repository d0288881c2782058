"""`scipy.stats`, `sparse.linalg`, `ndimage`, `interpolate` and `cluster.vq` compared with JAX: signatures, dtypes, values."""

from __future__ import annotations

import importlib
import inspect
import warnings
from typing import Any

import jax
import numpy as np
import pytest

import anima
from anima.scipy import stats

pytestmark = pytest.mark.peers

# Those of several variables, and what describes samples, are compared in test_scipy_peer.py.
OTHERS = {"dirichlet", "gaussian_kde", "mode", "multinomial", "multivariate_normal", "rankdata", "sem"}
FUNCTIONS = [
    (name, fun)
    for name in sorted({*dir(stats)} - OTHERS)
    for fun in dir(importlib.import_module(f"jax.scipy.stats.{name}"))
    if fun[0] != "_"
]
MODULES = {
    "sparse.linalg": ("cg", "bicgstab", "gmres"),
    "ndimage": ("map_coordinates",),
    "interpolate": ("RegularGridInterpolator",),
    "integrate": ("trapezoid",),
    "cluster.vq": ("vq",),
}
# In these JAX refuses half precision, and integers for quantiles: see docs/differences.md.
SINGLE = {("norm", f) for f in ("cdf", "logcdf", "sf", "logsf", "ppf", "isf")} | {
    ("truncnorm", f) for f in ("logpdf", "pdf", "cdf", "logcdf", "sf", "logsf")
}


def pair(module: str, name: str) -> tuple[Any, Any]:
    return tuple(getattr(importlib.import_module(f"{lib}.scipy.{module}"), name) for lib in ("anima", "jax"))  # type: ignore[return-value]


def parameters(fun: Any) -> list[Any]:
    return [(p.name, p.kind, p.default) for p in inspect.signature(fun).parameters.values()]


def test_signatures() -> None:
    for name, fun in FUNCTIONS:
        got, want = map(parameters, pair(f"stats.{name}", fun))
        assert got == want, (name, fun)
    for module, names in MODULES.items():
        for name in names:
            got, want = map(parameters, pair(module, name))
            assert [p[:2] for p in got] == [p[:2] for p in want], (module, name)


def result(lib: Any, fun: Any, operands: list[Any]) -> Any:
    with warnings.catch_warnings(action="ignore"):
        try:
            out = lib.eval_shape(fun, *operands)
        except (TypeError, ValueError):
            return "refused"
    return str(out.dtype), out.weak_type, out.shape


@pytest.mark.parametrize(("name", "fun"), FUNCTIONS)
def test_dtypes_and_weak_types(name: str, fun: str) -> None:
    ours, theirs = pair(f"stats.{name}", fun)
    required = [p for p in inspect.signature(ours).parameters.values() if p.default is p.empty]
    for dtype in ("int32", "bfloat16", 1, 0.5):
        if (name, fun) in SINGLE and dtype in ("int32", "bfloat16", 1):
            continue
        values = [
            [lib.numpy.ones(2, dtype) if isinstance(dtype, str) else dtype] * len(required)
            for lib in (anima, jax)
        ]
        assert result(anima, ours, values[0]) == result(jax, theirs, values[1]), dtype


DOMAIN: dict[str, tuple[Any, ...]] = {
    "bernoulli": (0.3,),
    "beta": (2.0, 3.0),
    "betabinom": (5, 2.0, 1.5),
    "binom": (5, 0.3),
    "chi2": (3.0,),
    "gamma": (2.5,),
    "gennorm": (1.5,),
    "geom": (0.3,),
    "nbinom": (3, 0.4),
    "pareto": (2.5,),
    "poisson": (2.5,),
    "t": (3.5,),
    "truncnorm": (-1.0, 1.5),
    "vonmises": (1.5,),
    "wrapcauchy": (0.4,),
}


@pytest.mark.parametrize(("name", "fun"), FUNCTIONS)
def test_values(name: str, fun: str) -> None:
    ours, theirs = pair(f"stats.{name}", fun)
    rng = np.random.default_rng(1)
    if fun in ("ppf", "isf"):
        x = rng.uniform(0.05, 0.95, 20)
    elif hasattr(getattr(stats, name), "pmf"):
        x = rng.integers(-2, 7, 20)
    else:
        x = rng.normal(size=20) * 1.5
    args = () if fun == "entropy" else (x.astype(np.float32),)
    np.testing.assert_allclose(
        ours(*args, *DOMAIN.get(name, ())), theirs(*args, *DOMAIN.get(name, ())), rtol=2e-4, atol=1e-6
    )


def test_solvers_and_interpolation() -> None:
    rng = np.random.default_rng(2)
    matrix = (rng.normal(size=(8, 8)) + 5 * np.eye(8)).astype(np.float32)
    right = rng.normal(size=8).astype(np.float32)
    for name in MODULES["sparse.linalg"]:
        ours, theirs = pair("sparse.linalg", name)
        A = matrix @ matrix.T if name == "cg" else matrix
        got, want = ours(A, anima.numpy.asarray(right)), theirs(A, jax.numpy.asarray(right))
        np.testing.assert_allclose(got[0], want[0], rtol=1e-3, atol=1e-4)
        assert got[0].dtype == want[0].dtype and (got[1] is None) == (want[1] is None)
    image, places = rng.normal(size=(4, 5)).astype(np.float32), rng.uniform(-6, 9, (2, 30)).astype(np.float32)
    ours, theirs = pair("ndimage", "map_coordinates")
    for mode in ("constant", "nearest", "wrap", "mirror", "reflect"):
        for order in (0, 1):
            np.testing.assert_allclose(
                ours(image, list(places), order, mode), theirs(image, list(places), order, mode), atol=1e-5
            )
    ours, theirs = pair("cluster.vq", "vq")
    for got, want in zip(ours(places.T, places.T[:4]), theirs(places.T, places.T[:4])):
        np.testing.assert_allclose(got, want, atol=1e-5)
        assert got.dtype == want.dtype
    ours, theirs = pair("interpolate", "RegularGridInterpolator")
    grid = (np.arange(4, dtype=np.float32), np.arange(5, dtype=np.float32))
    for method in ("linear", "nearest"):
        got, want = ours(grid, image, method)(places.T), theirs(grid, image, method)(places.T)
        np.testing.assert_allclose(got, want, atol=1e-5)
        assert got.dtype == want.dtype
