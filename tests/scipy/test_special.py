"""`scipy.special`: values against SciPy, limits, dtypes, weak types, errors, transformations."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
import scipy.special

import anima
import anima.numpy as anp
from anima.scipy import special

U = np.array([0.05, 0.3, 0.5, 0.75, 0.99])
X = np.array([-3.5, -0.7, 0.2, 1.0, 2.5, 9.0])
POSITIVE = np.array([0.2, 0.7, 1.0, 2.5, 9.0, 30.0])
OTHER = POSITIVE[::-1].copy()

# Arguments where SciPy's function of the same name has values.
CASES: dict[str, tuple[Any, ...]] = {
    "beta": (POSITIVE, OTHER),
    "betainc": (POSITIVE, OTHER, np.array([0.1, 0.4, 0.2, 0.9, 0.5, 1.0])),
    "betaln": (POSITIVE, OTHER),
    "boxcox": (POSITIVE, X),
    "boxcox1p": (POSITIVE, X),
    "comb": (OTHER, POSITIVE),
    "digamma": (POSITIVE,),
    "entr": (X,),
    "erf": (X,),
    "erfc": (X,),
    "erfinv": (U,),
    "expit": (X,),
    "factorial": (POSITIVE,),
    "gamma": (X,),
    "gammainc": (POSITIVE, OTHER),
    "gammaincc": (POSITIVE, OTHER),
    "gammaln": (X,),
    "gammasgn": (X,),
    "i0": (X,),
    "i0e": (X,),
    "i1": (X,),
    "i1e": (X,),
    "kl_div": (POSITIVE, OTHER),
    "log_softmax": (X,),
    "logit": (U,),
    "loggamma": (POSITIVE,),
    "logsumexp": (X,),
    "ndtr": (X,),
    "ndtri": (U,),
    "poch": (POSITIVE, OTHER),
    "polygamma": (np.array([0, 1, 2, 1, 0, 3]), POSITIVE),
    "rel_entr": (POSITIVE, OTHER),
    "softmax": (X,),
    "spence": (POSITIVE,),
    "xlog1py": (X, POSITIVE),
    "xlogy": (X, POSITIVE),
    "zeta": (POSITIVE + 1, OTHER),
    "exp1": (POSITIVE,),
    "expi": (X,),
    "erfcx": (X,),
    "dawsn": (X,),
    "log_ndtr": (X,),
    "owens_t": (X, OTHER),
    "sici": (POSITIVE,),
    "fresnel": (X,),
    "wofz": (X + 0.3j,),
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_values_are_those_of_scipy(name: str) -> None:
    args = CASES[name]
    with anima.enable_x64(True), np.errstate(all="ignore"):
        got = getattr(special, name)(*args)
        want = getattr(scipy.special, name)(*args)
        for g, w in zip(*((v if isinstance(v, tuple) else (v,)) for v in (got, want))):
            np.testing.assert_allclose(g, w, rtol=2e-13, atol=1e-300)


def test_values_at_the_limits() -> None:
    inf, nan = np.inf, np.nan
    ends = np.array([-inf, -1.0, -0.0, 0.0, 1.0, inf, nan], np.float32)
    table = {
        "gamma": [nan, nan, -inf, inf, 1, inf, nan],
        "gammasgn": [nan, nan, -1, 1, 1, 1, nan],
        "entr": [-inf, -inf, 0, 0, 0, -inf, nan],
        "expi": [0, -0.21938393, -inf, -inf, 1.8951178, inf, nan],
        "exp1": [nan, nan, inf, inf, 0.21938393, 0, nan],
        "logit": [nan, nan, -inf, -inf, inf, nan, nan],
        "ndtri": [nan, nan, -inf, -inf, inf, nan, nan],
        "log_ndtr": [-inf, -1.8410216, -0.6931472, -0.6931472, -0.17275378, 0, nan],
        "erfcx": [inf, 5.00898, 1, 1, 0.42758358, 0, nan],
        "dawsn": [0, -0.53807951, 0, 0, 0.53807951, 0, nan],
        "spence": [nan, nan, np.pi**2 / 6, np.pi**2 / 6, 0, -inf, nan],
        "factorial": [0, 0, 1, 1, 1, inf, nan],
        "i0": [inf, 1.2660659, 1, 1, 1.2660659, inf, nan],
        "loggamma": [nan, nan, nan, nan, 0, inf, nan],
    }
    for name, want in table.items():
        np.testing.assert_allclose(getattr(special, name)(ends), want, rtol=1e-6, atol=1e-6, err_msg=name)
    sine, cosine = special.sici(ends)
    np.testing.assert_allclose(sine[np.array([0, 2, 5])], [-np.pi / 2, 0, np.pi / 2])
    assert cosine[3] == -inf and cosine[5] == 0
    np.testing.assert_allclose(np.stack(special.fresnel(ends))[:, [0, 5]], [[-0.5, 0.5]] * 2)


def test_products_with_logarithms_are_zero_where_a_factor_is() -> None:
    assert special.xlogy(0.0, 0.0) == 0 and special.xlog1py(0.0, -1.0) == 0
    assert np.isnan(special.xlogy(0.0, np.nan)) and np.isnan(special.xlog1py(0.0, np.nan))
    assert special.kl_div(0.0, 2.0) == 2 and special.rel_entr(0.0, 2.0) == 0
    assert np.isinf(special.kl_div(-1.0, 2.0)) and np.isinf(special.rel_entr(1.0, 0.0))
    assert anima.grad(special.xlogy, 1)(2.0, 4.0) == 0.5
    assert anima.grad(special.entr)(1.0) == -1


def test_derivatives_at_points_where_formulas_have_none() -> None:
    with anima.enable_x64(True):
        assert anima.grad(special.i0)(0.0) == 0 and anima.grad(special.i1)(0.0) == 0.5
        assert anima.grad(anima.grad(special.i0))(0.0) == 0.5
        assert anima.grad(special.spence)(1.0) == -1
        np.testing.assert_allclose(anima.grad(anima.grad(special.spence))(1.0), 0.5)
        np.testing.assert_allclose(anima.grad(special.boxcox, 1)(2.0, 0.0), np.log(2) ** 2 / 2)
        np.testing.assert_allclose(anima.grad(lambda x: special.sici(x)[0])(0.0), 1)
        np.testing.assert_allclose(anima.grad(special.logit)(0.5), 4)


def test_comb_and_factorial_count() -> None:
    n, k = np.arange(12), np.arange(12)[:, None]
    np.testing.assert_array_equal(special.comb(n, k), scipy.special.comb(n, k))
    np.testing.assert_array_equal(
        special.comb(n, k, repetition=True), scipy.special.comb(n, k, repetition=True)
    )
    np.testing.assert_array_equal(special.factorial(np.arange(10)), scipy.special.factorial(np.arange(10)))
    assert special.comb(-1, 0) == 0 and special.comb(2, 3) == 0
    slope = anima.grad(special.comb)(5.0, 2.0)
    np.testing.assert_allclose(
        slope, (scipy.special.comb(5.001, 2) - scipy.special.comb(4.999, 2)) / 0.002, rtol=1e-4
    )
    with pytest.raises(NotImplementedError, match=r"math\.factorial"):
        special.factorial(5, exact=True)


def test_bernoulli_numbers() -> None:
    want = [float(mpmath.bernoulli(n)) for n in range(41)]
    want[1] = -0.5
    with anima.enable_x64(True):
        np.testing.assert_allclose(special.bernoulli(40), want, rtol=1e-15)
    assert special.bernoulli(0).shape == (1,)
    with pytest.raises(ValueError, match="must not be negative"):
        special.bernoulli(-1)
    with pytest.raises(TypeError):
        special.bernoulli(2.5)


def test_riemann_zeta() -> None:
    with anima.enable_x64(True):
        s = np.array([-3.0, -2.0, -0.5, 0.0, 0.5, 1.5, 2.0, 4.0, 30.0, np.inf])
        np.testing.assert_allclose(special.zeta(s), scipy.special.zeta(s), rtol=1e-12, atol=1e-15)
        assert np.isinf(special.zeta(1.0))


def test_multigammaln() -> None:
    with anima.enable_x64(True):
        for d in (1, 2, 5):
            np.testing.assert_allclose(special.multigammaln(7.5, d), scipy.special.multigammaln(7.5, d))
    with pytest.raises(TypeError):
        anima.jit(special.multigammaln)(3.0, 2)


def test_bessel_jn() -> None:
    z = np.array([0.0, 0.3, 4.0, -2.5, 12.0])
    want = np.stack([scipy.special.jv(order, z) for order in range(4)])
    with anima.enable_x64(True):
        np.testing.assert_allclose(special.bessel_jn(z, v=3), want, rtol=1e-12, atol=1e-15)
        slope = anima.grad(lambda z: special.bessel_jn(z, v=0)[0])(2.0)
        np.testing.assert_allclose(slope, -scipy.special.j1(2.0), rtol=1e-12)
    assert special.bessel_jn(np.ones((2, 3)), v=1).shape == (2, 2, 3)
    with pytest.raises(TypeError):
        special.bessel_jn(1.0, v=1.5)


def test_spherical_harmonics() -> None:
    degree, order = np.array([(n, m) for n in range(9) for m in range(-n, n + 1)]).T
    theta, phi = np.linspace(0.1, 6.0, degree.size), np.linspace(-3.0, 6.0, degree.size)
    want = scipy.special.sph_harm_y(degree, order, theta, phi)
    with anima.enable_x64(True):
        got = special.sph_harm_y(degree, order, theta, phi)
        np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-13)
        jitted = anima.jit(special.sph_harm_y, static_argnames="n_max")(degree, order, theta, phi, n_max=10)
        np.testing.assert_allclose(jitted, want, rtol=1e-11, atol=1e-13)
    assert special.sph_harm_y(np.array([2]), np.array([3]), np.array([0.3]), np.array([0.4])) == 0
    with pytest.raises(TypeError, match="n must be of an integer dtype"):
        special.sph_harm_y(np.array([2.0]), np.array([1]), np.array([0.3]), np.array([0.4]))
    with pytest.raises(ValueError, match="n_max"):
        anima.jit(special.sph_harm_y)(np.array([2]), np.array([1]), np.array([0.3]), np.array([0.4]))


def test_dtypes_and_weak_types() -> None:
    assert special.gamma(1).weak_type is False and special.expit(1.0).weak_type
    assert special.i0e(np.float16(1)).dtype == np.float16
    assert special.xlogy(np.int8(1), anp.ones(2, "bfloat16")).dtype == anp.bfloat16
    assert special.owens_t(np.float16(1), np.float16(1)).dtype == np.float32
    assert special.wofz(np.float32(1)).dtype == np.complex64
    for name in ("ndtr", "ndtri", "log_ndtr", "spence"):
        with pytest.raises(TypeError, match="float32 and float64 only"):
            getattr(special, name)(np.float16(0.5))
    for name in ("entr", "expi", "exp1", "dawsn", "gammasgn", "sici", "fresnel"):
        with pytest.raises(ValueError, match="complex"):
            getattr(special, name)(1j)
    with pytest.raises(ValueError, match="n must be of an integer dtype"):
        special.polygamma(1.0, 1.0)
    with pytest.raises(ValueError, match="from 0 to 30"):
        special.log_ndtr(0.5, series_order=31)


def test_transformations_compose() -> None:
    x = np.linspace(0.2, 2.0, 6, dtype=np.float32).reshape(2, 3)
    mapped = anima.vmap(anima.vmap(special.expi))(x)
    np.testing.assert_allclose(mapped, scipy.special.expi(x), rtol=1e-5)
    pushed = anima.jvp(anima.grad(special.erfcx), (0.5,), (1.0,))[1]
    np.testing.assert_allclose(pushed, anima.hessian(special.erfcx)(0.5), rtol=1e-5)
    total = anima.lax.scan(lambda c, v: (c + special.gamma(v), None), 0.0, x[0])[0]
    np.testing.assert_allclose(total, scipy.special.gamma(x[0]).sum(), rtol=1e-5)
    assert special.gammainc(np.zeros((0,)), np.zeros((0,))).shape == (0,)


# --- numpy ------------------------------------------------------------------------------------


def test_kaiser_windows() -> None:
    for size in (0, 1, 2, 5, 8):
        np.testing.assert_allclose(anp.kaiser(size, 8.6), np.kaiser(size, 8.6), rtol=1e-5)
    slope = anima.grad(lambda beta: anp.kaiser(5, beta).sum())(3.0)
    np.testing.assert_allclose(slope, (np.kaiser(5, 3.001) - np.kaiser(5, 2.999)).sum() / 0.002, rtol=1e-3)
    assert np.isfinite(anp.kaiser(5, 1000.0)).all()
    with pytest.raises(ValueError, match="beta must be a real scalar"):
        anp.kaiser(5, np.ones(2))
    np.testing.assert_allclose(anp.i0(X.astype(np.float32)), np.i0(X), rtol=1e-6)
    with pytest.raises(ValueError, match="real"):
        anp.i0(1j)
