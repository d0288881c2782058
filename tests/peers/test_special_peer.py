"""`scipy.special` and its operations in `lax` compared with JAX: signatures, dtypes and weak types, values, errors."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import jax
import jax.scipy.special as theirs
import numpy as np
import pytest

import anima
import anima.numpy as anp
import anima.scipy.special as ours

pytestmark = pytest.mark.peers

ARITY = {
    1: "dawsn digamma entr erf erfc erfcx erfinv exp1 expi expit factorial fresnel gamma gammaln gammasgn i0 i0e i1 i1e "
    "log_ndtr log_softmax loggamma logit logsumexp ndtr ndtri sici softmax spence wofz",
    2: "beta betaln boxcox boxcox1p comb expn gammainc gammaincc kl_div owens_t poch polygamma rel_entr xlog1py xlogy zeta",
    3: "betainc",
}
FUNCTIONS = [(name, arity) for arity, names in ARITY.items() for name in names.split()]


def names() -> list[str]:
    return sorted(
        n for n in dir(theirs) if n[0] != "_" and inspect.isfunction(inspect.unwrap(getattr(theirs, n)))
    )


def test_the_names_and_signatures_are_those_of_the_peer() -> None:
    for name in names():
        want, got = (inspect.signature(getattr(lib, name)).parameters for lib in (theirs, ours))
        assert [(p.name, p.kind, p.default) for p in got.values()] == [
            (p.name, p.kind, p.default) for p in want.values()
        ], name


def operand(lib: Any, dtype: Any) -> Any:
    return dtype if isinstance(dtype, (int, float)) else lib.numpy.asarray(np.array([1]), dtype=dtype)


def result(lib: Any, module: Any, name: str, operands: list[Any]) -> Any:
    """The dtypes and weak types of the results, or the class of the error."""
    try:
        with warnings.catch_warnings(action="ignore"):
            out = getattr(module, name)(*(operand(lib, d) for d in operands))
    except Exception as error:
        return type(error)
    leaves = out if isinstance(out, tuple) else (out,)
    return [(str(leaf.dtype), leaf.weak_type, leaf.shape) for leaf in leaves]


# The dtypes of each function that differ on purpose: see the rows of docs/differences.md.
WIDER = {("softmax", "bool"), ("log_softmax", "bool"), ("owens_t", "complex64")}
# A part of the dtypes: for each, every function of both libraries is compiled.
DTYPES = ["bool", "int32", "bfloat16", "complex64", 1, 0.5]


@pytest.mark.parametrize(("name", "arity"), FUNCTIONS)
def test_dtypes_and_weak_types(name: str, arity: int) -> None:
    for dtype in DTYPES:
        if (name, dtype) in WIDER:
            continue
        want = result(jax, theirs, name, [dtype] * arity)
        got = result(anima, ours, name, [dtype] * arity)
        if isinstance(want, type) and issubclass(want, NotImplementedError):
            continue
        assert got == want or (isinstance(want, type) and isinstance(got, type)), (name, dtype, got, want)


X = np.array([-3.3, -0.7, 0.2, 0.6, 1.7, 4.5], np.float32)
P = np.abs(X)
UNIT = np.array([0.01, 0.2, 0.4, 0.5, 0.8, 0.99], np.float32)


@pytest.mark.parametrize(("name", "arity"), FUNCTIONS)
def test_values(name: str, arity: int) -> None:
    args: tuple[Any, ...] = (X if arity == 1 else P, P[::-1].copy(), UNIT)[:arity]
    if name in ("erfinv", "ndtri", "logit"):
        args = (UNIT,)
    if name in ("polygamma", "expn"):
        args = (np.arange(6, dtype=np.int32), P)
    if name == "zeta":
        args = (P + 1, P)
    got, want = getattr(ours, name)(*args), getattr(theirs, name)(*args)
    for g, w in zip(*((v if isinstance(v, tuple) else (v,)) for v in (got, want))):
        np.testing.assert_allclose(g, w, rtol=2e-4, atol=1e-6, err_msg=name)


def test_operations_of_lax() -> None:
    a, b, x = P, P[::-1].copy(), UNIT
    for name, args in {
        "bessel_i0e": (X,),
        "bessel_i1e": (X,),
        "igamma": (a, b),
        "igammac": (a, b),
        "igamma_grad_a": (a, b),
        "random_gamma_grad": (a, b),
        "betainc": (a, b, x),
    }.items():
        got, want = getattr(anima.lax, name)(*args), getattr(jax.lax, name)(*map(jax.numpy.asarray, args))
        np.testing.assert_allclose(got, want, rtol=2e-4, err_msg=name)
        assert got.dtype == want.dtype
    for primitive in (
        "bessel_i0e_p",
        "igamma_p",
        "igammac_p",
        "igamma_grad_a_p",
        "regularized_incomplete_beta_p",
    ):
        assert getattr(anima.lax, primitive).name == getattr(jax.lax, primitive).name


def test_hypergeometric_functions_and_harmonics() -> None:
    np.testing.assert_allclose(ours.hyp1f1(P, P + 1, X), theirs.hyp1f1(P, P + 1, X), rtol=1e-4)
    np.testing.assert_allclose(ours.hyp2f1(P, P + 1, P + 2, UNIT / 2), theirs.hyp2f1(P, P + 1, P + 2, UNIT / 2), rtol=1e-4)  # fmt: skip
    n, m = np.array([0, 1, 2, 3, 3, 4]), np.array([0, -1, 2, 0, -3, 1])
    got = ours.sph_harm_y(n, m, P, X, n_max=5)
    want = theirs.sph_harm_y(*map(jax.numpy.asarray, (n, m, P, X)), n_max=5)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    z = np.float32(4.5)  # smaller numbers are NaN there
    np.testing.assert_allclose(ours.bessel_jn(z, v=2), theirs.bessel_jn(z, v=2), rtol=1e-4)
    np.testing.assert_allclose(ours.bernoulli(8), theirs.bernoulli(8), rtol=1e-3)
    np.testing.assert_allclose(ours.multigammaln(P + 2, 3), theirs.multigammaln(P + 2, 3), rtol=1e-5)


def test_numpy() -> None:
    for args in ((5, 8.6), (1, 2.0), (6, 0), (5, np.float32(3))):
        got, want = anp.kaiser(*args), jax.numpy.kaiser(*args)
        np.testing.assert_allclose(got, want, rtol=1e-5)
        assert (got.dtype, got.weak_type) == (want.dtype, want.weak_type)
    for value in (1, 1.0, np.int8(1), np.float16(1)):
        got, want = anp.i0(value), jax.numpy.i0(value)
        assert (got.dtype, got.weak_type) == (want.dtype, want.weak_type)
        np.testing.assert_allclose(got, want, rtol=1e-3)
