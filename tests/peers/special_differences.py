"""The rows of `docs/differences.md` about special functions."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.scipy.special
import numpy
import pytest

import anima
import anima.scipy.special


def special_derivatives(run_python, tmp_path) -> None:
    for index in (0, 1):
        with pytest.raises(ValueError, match="not supported"):
            jax.grad(jax.lax.betainc, index)(2.0, 3.0, 0.5)
        assert numpy.isfinite(anima.grad(anima.lax.betainc, index)(2.0, 3.0, 0.5))
        with pytest.raises(NotImplementedError):
            jax.grad(jax.lax.igamma_grad_a, index)(2.0, 3.0)
        assert numpy.isfinite(anima.grad(anima.lax.igamma_grad_a, index)(2.0, 3.0))


def special_limits(run_python, tmp_path) -> None:
    for lib, spence, boxcox, i0 in ((jax, 0.0, 0.0, 1.0), (anima, -1.0, numpy.log(2) ** 2 / 2, 0.0)):
        special = lib.scipy.special
        assert lib.grad(special.spence)(1.0) == spence
        numpy.testing.assert_allclose(lib.grad(special.boxcox, 1)(2.0, 0.0), boxcox, rtol=1e-6)
        assert abs(lib.grad(special.i0)(0.0) - i0) < 1e-6
        ends = [
            special.expi(numpy.inf),
            special.exp1(numpy.inf),
            special.spence(numpy.inf),
            special.bessel_jn(0.0, v=1)[0],
        ]
        assert numpy.isnan(ends).all() == (lib is jax)
        assert numpy.isnan(ends).any() == (lib is jax)


def special_accuracy(run_python, tmp_path) -> None:
    cases = [
        ("gammaincc", (1e-8, 0.5), 5.597736e-9),
        ("hyp2f1", (1.0, 2.0, 3.0, -5.0), 0.25665942461),
    ]
    for name, args, want in cases:
        wrong, right = (
            abs(float(getattr(lib.scipy.special, name)(*map(numpy.float32, args))) / want - 1)
            for lib in (jax, anima)
        )
        assert wrong > 1e-2 > 1e-5 > right
    assert abs(float(jax.scipy.special.bernoulli(4)[4]) * 30 + 1) > 1e-6
    assert abs(float(anima.scipy.special.bernoulli(4)[4]) * 30 + 1) < 1e-6


def special_domains(run_python, tmp_path) -> None:
    narrow = numpy.ones(1, anima.numpy.float8_e4m3fn)
    for lib in (jax, anima):
        special = lib.scipy.special
        calls = [
            lambda: special.zeta(2.0),
            lambda: special.gamma(lib.numpy.asarray(narrow)),
            lambda: special.softmax(numpy.ones(2, bool)),
        ]
        for call in calls:
            if lib is jax:
                with pytest.raises((NotImplementedError, TypeError)):
                    call()
            else:
                call()
    assert jax.scipy.special.owens_t(1j, 1.0).dtype == numpy.complex64
    with pytest.raises(ValueError, match="complex"):
        anima.scipy.special.owens_t(1j, 1.0)


SPECIAL_CHECKS: dict[str, Callable[..., None]] = {
    "special-derivatives": special_derivatives,
    "special-limits": special_limits,
    "special-accuracy": special_accuracy,
    "special-domains": special_domains,
}
