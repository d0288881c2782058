"""Every public name of `scipy` is there, with the signature of JAX; several variables, samples and rotations give the same."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from typing import Any

import jax
import jax.scipy
import numpy as np
import pytest

import anima
import anima.scipy
from anima.config import threefry_partitionable
from tests.peers.outcomes import outcome, same, signature

pytestmark = pytest.mark.peers

MODULES = sorted(
    module.name.removeprefix("jax.scipy.")
    for module in pkgutil.walk_packages(jax.scipy.__path__, "jax.scipy.")
)


def pair(module: str) -> tuple[Any, Any]:
    return tuple(importlib.import_module(f"{lib}.scipy.{module}") for lib in ("anima", "jax"))  # type: ignore[return-value]


@pytest.mark.parametrize("module", MODULES)
def test_every_name_is_there_with_its_signature(module: str) -> None:
    ours, theirs = pair(module)
    for name in dir(theirs):
        want = getattr(theirs, name)
        if name.startswith("_"):
            continue
        got = getattr(ours, name)
        assert name in dir(ours), name
        if inspect.ismodule(want):
            continue
        if inspect.isclass(want):
            for method in dir(want):
                # a named tuple's own methods are those of Python
                public = not method.startswith("_") and callable(getattr(want, method))
                if public and method not in ("tree_flatten", "tree_unflatten", *dir(tuple)):
                    assert signature(getattr(got, method)) == signature(getattr(want, method)), (name, method)
            if not issubclass(want, tuple):
                assert names_of(got) == names_of(want), name
            continue
        assert signature(got) == signature(want), name


def names_of(fun: Any) -> list[str]:
    return list(inspect.signature(fun).parameters)


NAMES = ["stats", "R", "Slerp", "np", "a", "flawed", "x", "mean", "cov", "q", "kde", "kde2", "lib"]
CASES = """
stats.mode(a) | stats.mode(a, None) | stats.mode(a, 1, keepdims=True) | stats.mode(a.astype(int)) | stats.mode(a > 2, 1)
stats.mode(flawed, 1).count | stats.mode(np.zeros((0, 3))) | stats.mode(np.zeros((3, 0), int)) | stats.mode(3.0) | stats.mode(a * 1j)
stats.mode(a, 2) | stats.mode(a, (0, 1)) | stats.mode([1]) | stats.mode(a, nan_policy="x") | stats.mode(a, nan_policy="omit")
stats.rankdata(a) | stats.rankdata(a, "min", axis=0) | stats.rankdata(a, "max", axis=1) | stats.rankdata(a, "dense")
stats.rankdata(a, "ordinal", axis=-1) | stats.rankdata(flawed, axis=1) | stats.rankdata(3) | stats.rankdata(np.zeros((0, 3)), axis=1)
stats.rankdata(a, "x") | stats.rankdata(a, axis=2) | stats.rankdata(a, nan_policy="raise") | stats.rankdata(a.astype(np.float16))
stats.sem(a) | stats.sem(a, None) | stats.sem(a, 1, keepdims=True) | stats.sem(a.astype(int), 0, 0) | stats.sem(a.astype(np.bfloat16))
stats.sem(a * 1j) | stats.sem(flawed, 1) | stats.sem(flawed, 1, nan_policy="omit") | stats.sem(a, 0, 2) | stats.sem(a, nan_policy="raise")
stats.multivariate_normal.logpdf(x, mean, cov) | stats.multivariate_normal.pdf(x[0], mean, cov) | stats.multivariate_normal.logpdf(x, mean, 2)
stats.multivariate_normal.logpdf(1.0, 0.0, 2.0) | stats.multivariate_normal.logpdf(x, 0.0, 2.0) | stats.multivariate_normal.logpdf(x, np.ones(3), cov)
stats.multivariate_normal.logpdf(x, mean, cov, True) | stats.multivariate_normal.logpdf(x, mean, -cov) | stats.multivariate_normal.pdf(1, 0, 1)
stats.dirichlet.logpdf(np.array([0.2, 0.8]), mean + 1) | stats.dirichlet.pdf(np.array([0.2]), mean + 1) | stats.dirichlet.pdf(x.T, mean + 1)
stats.dirichlet.logpdf(np.ones((3, 2)), mean + 1) | stats.dirichlet.logpdf(mean, cov) | stats.dirichlet.logpdf(np.array([1, 0]), np.array([1, 2]))
stats.multinomial.logpmf(np.array([1, 2]), 3, np.array([0.3, 0.7])) | stats.multinomial.pmf(np.array([2, 2]), 3, np.array([0.3, 0.7]))
stats.multinomial.logpmf(mean, 3, np.array([0.3, 0.7])) | stats.multinomial.logpmf(np.array([1, 2]), 3, np.array([0.3, 0.8], np.bfloat16))
kde(1.5) | kde(a[0]) | kde.logpdf(a[0]) | kde2(a[:, 0]) | kde2(x.T) | kde2(a[0]) | kde(np.ones((1, 2, 3))) | kde.neff | kde2.covariance
kde2.inv_cov | kde.weights | kde.dataset | kde.integrate_box_1d(0, 2.0) | kde2.integrate_box_1d(0, 1) | kde.integrate_gaussian(0.0, 2.0)
kde2.integrate_gaussian(mean, cov) | kde2.integrate_kde(kde2) | kde.integrate_kde(kde2) | kde.integrate_box(0, 1) | kde.set_bandwidth(1)
kde.resample(lib.random.key(0)) | kde2.resample(lib.random.key(3), (4,)) | stats.gaussian_kde(a, "x") | stats.gaussian_kde(a, 0.3)(mean)
stats.gaussian_kde(a, "silverman").covariance | stats.gaussian_kde(a, lambda k: k.neff).covariance | stats.gaussian_kde(1.0)
R.from_quat(q).quat | R.from_quat(q).as_matrix() | R.from_quat(q).as_rotvec() | R.from_quat(q).as_mrp() | R.from_quat(q).as_quat(True, True)
R.from_quat(q[0]).as_euler("xyz") | R.from_quat(q[0]).as_euler("ZXZ", True) | R.from_quat(q).as_euler("xx") | R.from_quat(q).as_euler("xYz")
R.from_euler("xyz", np.ones(3)).quat | R.from_euler("ZY", np.ones((3, 2), int), True).quat | R.from_euler("x", 1).quat | R.from_euler("xyz", 1.0)
R.from_matrix(np.eye(3) * 2).quat | R.from_matrix(-np.eye(3)).quat | R.from_mrp(np.ones((2, 3))).quat | R.from_rotvec(np.ones(3), True).quat
R.from_quat(q).inv().quat | R.from_quat(q).magnitude() | R.from_quat(q).apply(np.ones(3)) | R.from_quat(q).apply(np.ones((3, 3)), True)
(R.from_quat(q) * R.from_quat(q[0])).quat | R.from_quat(q)[1].quat | R.from_quat(q[0])[1] | len(R.from_quat(q)) | len(R.from_quat(q[0]))
R.from_quat(q).single | R.identity().quat | R.identity(None, np.float16).quat | R.concatenate([R.from_quat(q)] * 2).quat
R.from_quat(q).mean().as_matrix() | R.from_quat(q).mean(np.arange(3.0)).as_matrix() | R.from_quat(q).mean(np.ones(2)) | R.from_quat(np.zeros(4)).quat
Slerp.init(np.arange(3.0), R.from_quat(q))(0.3).quat | Slerp.init(np.arange(3), R.from_quat(q))(np.array([0.5, 1.0, 1.5])).as_matrix()
Slerp.init(np.arange(2.0), R.from_quat(q)) | Slerp.init(np.arange(3.0), q) | Slerp.init(np.arange(3.0), R.from_quat(q)).rotvecs
"""


def names(lib: Any, module: str) -> dict[str, Any]:
    np_ = lib.numpy
    stats, transform = (
        importlib.import_module(f"{module}.scipy.{m}") for m in ("stats", "spatial.transform")
    )
    rng = np.random.default_rng(3)
    a = np_.array([[3.0, 1, 1, 4], [2, 2, 5, 0.5]])
    flawed = np_.array([[1.0, np.nan, 2.0], [3.0, 3.0, 1.0]])
    kde, kde2 = stats.gaussian_kde(a[0] + np_.arange(4)), stats.gaussian_kde(a, weights=np_.arange(1, 5))
    values = (
        *(stats, transform.Rotation, transform.Slerp, np_, a, flawed),
        np_.asarray(rng.dirichlet([1.0, 2.0], 5), dtype="float32"),
        np_.array([1.0, 0.5]),
        np_.array([[2.0, 0.5], [0.5, 1.0]]),
        np_.asarray(rng.normal(size=(3, 4)), dtype="float32"),
        *(kde, kde2, lib),
    )
    return dict(zip(NAMES, values, strict=True))


@pytest.mark.parametrize("line", CASES.strip().splitlines())
def test_results(line: str) -> None:
    with threefry_partitionable(True):
        ours, theirs = names(anima, "anima"), names(jax, "jax")
        for case in line.split(" | "):
            got, want = outcome(case, ours), outcome(case, theirs)
            assert same(got, want, 10), (case, got, want)
