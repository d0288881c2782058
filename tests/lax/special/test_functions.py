"""The operations of several arguments that `scipy.special` is made of, and the complex ones, against mpmath."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import mpmath
import numpy as np
import pytest

import anima
from anima.scipy import special
from tests.lax.agreement import assert_close
from tests.lax.derivatives import check_derivatives
from tests.lax.samples import F64, complexes, floats


@pytest.fixture(autouse=True)
def _wide() -> Iterator[None]:
    with anima.enable_x64(True), mpmath.workdps(40):
        yield


def by_element(fun: Callable[..., Any], *args: np.ndarray) -> np.ndarray:
    values = [fun(*map(mpmath.mpf, map(float, row))) for row in zip(*args)]
    return np.array([np.longdouble(mpmath.nstr(v, 25)) for v in values])


def test_expn() -> None:
    n = np.array([0.0, 1, 2, 5, 30, 3, 7, 1, 100])
    x = np.array([0.5, 0.9, 1e-3, 1.0, 0.4, 1.1, 40.0, 5.0, 3.0])
    assert_close(special.expn(n, x), by_element(lambda n, x: mpmath.expint(int(n), x), n, x), 64, "expn")
    slopes = anima.vmap(anima.grad(special.expn, 1))(n, x)
    want = by_element(lambda n, x: -mpmath.expint(int(n) - 1, x), n, x)
    assert_close(slopes, want, 64, "by x")
    np.testing.assert_array_equal(special.expn(np.array([0.0, 1, 3, -1, 2.5, 2, 2]), np.array([0.0, 0, 0, 1, 1, -1, np.inf])), [np.inf, np.inf, 0.5, np.nan, np.nan, np.nan, 0])  # fmt: skip


def test_poch() -> None:
    z = np.array([0.5, 3.0, 1e-3, 150.0, 2.5, -2.5, -3.0, -3.0, 4.0])
    m = np.array([2.0, 4.5, 0.1, 30.0, -1.2, 1.2, 2.0, 5.0, 0.0])
    assert_close(special.poch(z, m), by_element(mpmath.rf, z, m), 256, "poch")
    for index, orders in enumerate([(1, 0), (0, 1)]):
        want = float(mpmath.diff(mpmath.rf, (2.5, 1.3), orders))
        np.testing.assert_allclose(anima.grad(special.poch, index)(2.5, 1.3), want, rtol=1e-13)


HYPER = [
    np.array([1.0, 2.5, -2.0, 0.3, 1.2, 3.0, -1.7, 0.5]),
    np.array([2.0, 0.7, 1.3, 4.0, 2.2, 1.5, 0.8, 3.3]),
]


def test_hyp1f1() -> None:
    x = np.array([0.5, -3.0, 7.0, -25.0, 90.0, -200.0, 4.0, 0.0])
    assert_close(special.hyp1f1(*HYPER, x), by_element(mpmath.hyp1f1, *HYPER, x), 128, "hyp1f1")
    point = (-2.0, 1.3, 0.6)  # a polynomial, whose derivative by `a` is none
    for index in range(3):
        orders = tuple(int(i == index) for i in range(3))
        want = float(mpmath.diff(mpmath.hyp1f1, point, orders))
        np.testing.assert_allclose(anima.grad(special.hyp1f1, index)(*point), want, rtol=1e-12)
    mixed = anima.grad(anima.grad(special.hyp1f1), 2)(0.7, 1.3, 0.6)
    np.testing.assert_allclose(
        mixed, float(mpmath.diff(mpmath.hyp1f1, (0.7, 1.3, 0.6), (1, 0, 1))), rtol=1e-9
    )


def test_hyp2f1() -> None:
    c = np.array([3.0, 1.1, 2.4, 0.9, 4.1, 2.6, 1.9, 2.2])
    x = np.array([0.5, -3.0, 7.0, -25.0, 0.93, 0.8, -0.4, 1.0])
    c[-1] = 9.0
    assert_close(special.hyp2f1(*HYPER, c, x), by_element(mpmath.hyp2f1, *HYPER, c, x), 256, "hyp2f1")
    point = (0.7, 1.3, 2.1, 0.6)
    for index in (0, 2):
        orders = tuple(int(i == index) for i in range(4))
        want = float(mpmath.diff(mpmath.hyp2f1, point, orders))
        np.testing.assert_allclose(anima.grad(special.hyp2f1, index)(*point), want, rtol=1e-12)
    assert np.isinf(special.hyp2f1(1.0, 2.0, 3.0, 1.0)) and np.isinf(special.hyp2f1(1.0, 1.0, -1.0, 0.5))


def spread() -> np.ndarray:
    """Complex numbers near and far in every quadrant."""
    near, far = complexes((24,), 4.0, np.complex128), complexes((24,), 40.0, np.complex128)
    return np.concatenate([near, far, [0, 1, -1, 3j, 5e3 + 1j, 6.0 + 1e-9j, 1e-9 + 6.0j]])


def faddeeva(z: Any) -> Any:
    return mpmath.exp(-z * z) * mpmath.erfc(-1j * z)


def check_complex(call: Any, oracle: Any, z: np.ndarray, bound: float) -> None:
    with mpmath.workdps(60):
        want = np.array([complex(oracle(mpmath.mpc(v))) for v in z])
    good = np.isfinite(want) & (np.abs(want) < 1e300)
    got = np.asarray(call(z))
    assert np.all(np.abs(got - want)[good] <= bound * np.maximum(np.abs(want[good]), 1e-3))


def test_wofz() -> None:
    with mpmath.workdps(60):
        z = spread()
        z = z[np.abs((z * z).real) < 600]
    check_complex(special.wofz, faddeeva, z, 1e-12)
    check_derivatives(special.wofz, [complexes((4,), 1.5, np.complex128)], (0,), order=1)
    np.testing.assert_allclose(special.erfcx(floats((5,), -2, 2, F64) + 0j), special.erfcx(floats((5,), -2, 2, F64)), rtol=1e-13)  # fmt: skip


def test_log_gamma() -> None:
    z = spread()[:-7]
    check_complex(special.loggamma, mpmath.loggamma, z, 1e-12)
    check_complex(special.gamma, mpmath.gamma, z[:24], 1e-12)
    check_derivatives(special.loggamma, [complexes((4,), 1.5, np.complex128) + 0.3], (0,), order=1)
    assert np.isnan(special.loggamma(np.array([0j, -1 + 0j]))).all()
    single = np.asarray(special.loggamma(z.astype(np.complex64)))
    assert single.dtype == np.complex64
    np.testing.assert_allclose(single, special.loggamma(z), rtol=3e-5, atol=3e-5)
