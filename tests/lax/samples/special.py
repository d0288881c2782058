"""Special functions: those with names in `lax`, and the operations that `scipy.special` is made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import scipy.special

from anima import lax
from anima.lax import gelu
from anima.lax.special import bessel, complex_functions, error_integrals, gamma, hypergeometric, integrals
from tests.lax.samples import F32, F64, Sample, complexes, floats
from tests.lax.samples.functions import mp

# The compiler takes long over these: the walk over dtypes is confined to a narrow one and the widest.
WIDTHS = ("bfloat16", "float64")


def bound(primitive: Any) -> Callable[..., Any]:
    """The function of an operation that has none in public."""
    return lambda *args: primitive.bind(*args)


def samples(
    name: str,
    call: Callable[..., Any],
    oracle: Callable[..., Any],
    smooth: tuple[np.ndarray, ...],
    *more: tuple[np.ndarray, ...],
    ulps: float = 8,
    floor: float = 0.0,
    differentiate: bool | tuple[int, ...] = True,
    only: tuple[str, ...] = WIDTHS,
) -> list[Sample]:
    """A sample at which derivatives are checked, with all else that is, and some of values only."""
    return [
        Sample(
            primitive=name,
            call=call,
            args=args,
            oracle=mp(oracle),
            ulps=ulps,
            floor=floor,
            differentiate=differentiate if i == 0 else False,
            mapped=i == 0,
            only=only,
        )
        for i, args in enumerate((smooth, *more))
    ]


def sized(low: float, high: float, dtype: Any = F64, signed: bool = False) -> np.ndarray:
    """Numbers of all sizes between two powers of ten."""
    powers = 10.0 ** floats((24,), low, high, F64)
    return np.concatenate([powers, -powers] if signed else [powers]).astype(dtype)


def dawson(x: Any) -> Any:
    return mpmath.sqrt(mpmath.pi) / 2 * mpmath.exp(-x * x) * mpmath.erfi(x)


def normal(x: Any) -> Any:
    return mpmath.erfc(-x / mpmath.sqrt(2)) / 2


def quantile(p: Any) -> Any:
    return mpmath.sqrt(2) * mpmath.erfinv(2 * p - 1)


def owen(h: Any, a: Any) -> Any:
    part = mpmath.quad(lambda t: mpmath.exp(-h * h * (1 + t * t) / 2) / (1 + t * t), [0, a])
    return part / (2 * mpmath.pi)


SMOOTH = floats((2, 3), 0.3, 2.5)

BESSEL = [
    *samples("bessel_i0e", lax.bessel_i0e, lambda x: mpmath.exp(-abs(x)) * mpmath.besseli(0, x), (SMOOTH,), (sized(-12, 3, signed=True),)),
    *samples("bessel_i1e", lax.bessel_i1e, lambda x: mpmath.exp(-abs(x)) * mpmath.besseli(1, x), (SMOOTH,), (sized(-12, 3, signed=True),)),
    *samples("bessel_i0", bound(bessel.bessel_i0_p), lambda x: mpmath.besseli(0, x), (SMOOTH,), (sized(-12, 2.8, signed=True),)),
    *samples("bessel_i1", bound(bessel.bessel_i1_p), lambda x: mpmath.besseli(1, x), (SMOOTH,), (sized(-12, 2.8, signed=True),)),
]  # fmt: skip

ERRORS = [
    *samples("erfcx", bound(error_integrals.erfcx_p), lambda x: mpmath.exp(x * x) * mpmath.erfc(x), (SMOOTH,), (floats((40,), -9, 9, F64),), (sized(-12, 2.5),)),
    *samples("dawsn", bound(error_integrals.dawsn_p), dawson, (SMOOTH,), (sized(-12, 1.5, signed=True),)),
    *samples("log_ndtr", bound(error_integrals.log_ndtr_p), lambda x: mpmath.log(normal(x)), (SMOOTH,), (floats((40,), -35, 5, F64),), ulps=64),
    *samples("ndtri", bound(error_integrals.ndtri_p), quantile, (floats((2, 3), 0.1, 0.9),), (floats((40,), 0, 1, F64),), (sized(-14, -1),)),
    *samples("gelu", gelu.gelu, lambda x: x * normal(x), (SMOOTH,), (floats((40,), -13, 9),), (floats((24,), -3, 3, F64),), only=(*WIDTHS, "float16", "float32")),
    *samples("gelu_slope", bound(gelu.gelu_slope_p), lambda x: normal(x) + x * mpmath.npdf(x), (SMOOTH,), (floats((40,), -13, 9),), (floats((24,), -3, 3, F64),), floor=0.1, only=(*WIDTHS, "float16", "float32")),
    *samples("owens_t", bound(error_integrals.owens_t_p), owen, (floats((2, 3), -1.5, 1.5), floats((2, 3), -2, 2) + F32(0.1)), (floats((12,), -4, 4, F64), floats((12,), 0.1, 8, F64)), ulps=32),
]  # fmt: skip

INTEGRALS = [
    *samples("exp1", bound(integrals.exp1_p), mpmath.e1, (SMOOTH,), (sized(-12, 2),)),
    *samples("expi", bound(integrals.expi_p), mpmath.ei, (SMOOTH,), (sized(-12, 2, signed=True),), ulps=12),
    *samples("sine_integral", bound(integrals.sine_integral_p), mpmath.si, (SMOOTH,), (sized(-12, 2, signed=True),)),
    *samples("cosine_integral", bound(integrals.cosine_integral_p), lambda x: mpmath.ci(abs(x)), (SMOOTH,), (sized(-12, 2, signed=True),), ulps=64),
    *samples("fresnel_sine", bound(integrals.fresnel_sine_p), mpmath.fresnels, (SMOOTH,), (sized(-5, 2, signed=True),)),
    *samples("fresnel_cosine", bound(integrals.fresnel_cosine_p), mpmath.fresnelc, (SMOOTH,), (sized(-5, 2, signed=True),)),
    *samples("spence", bound(integrals.spence_p), lambda x: mpmath.polylog(2, 1 - x).real, (SMOOTH,), (sized(-10, 10),)),
]  # fmt: skip

GAMMA = [
    *samples("gamma", bound(gamma.gamma_p), mpmath.gamma, (SMOOTH,), (floats((41,), -30.1, 30, F64),), (sized(-12, 2.2),)),
    *samples("beta", bound(gamma.beta_p), mpmath.beta, (SMOOTH, SMOOTH[::-1].copy()), (sized(-6, 2), sized(-3, 1.5)[::-1].copy()), ulps=64),
    *samples("log_beta", bound(gamma.log_beta_p), lambda a, b: mpmath.log(mpmath.beta(a, b)), (SMOOTH, SMOOTH[::-1].copy()), (sized(-6, 2), sized(-3, 1.5)[::-1].copy()), floor=1.0),
    *samples("igamma", lax.igamma, lambda a, x: mpmath.gammainc(a, 0, x, regularized=True), (SMOOTH, SMOOTH[::-1].copy()), (sized(-6, 3), sized(-6, 3) * 1.1), ulps=64, differentiate=(1,), only=("float64",)),
    *samples("igammac", lax.igammac, lambda a, x: mpmath.gammainc(a, x, regularized=True), (SMOOTH, SMOOTH[::-1].copy()), (sized(-6, 2), sized(-6, 2) * 1.1), ulps=64, differentiate=False, only=("bfloat16",)),
]  # fmt: skip

OTHERS = [
    *samples("hyp1f1", lambda a, b, x: hypergeometric.hyp1f1_p.bind(a, b, x, orders=(0, 0, 0)), mpmath.hyp1f1, (SMOOTH, SMOOTH + 1, SMOOTH[::-1].copy()), ulps=64, differentiate=False, only=("float64",)),
    Sample(primitive="wofz", call=bound(complex_functions.wofz_p), args=(complexes((5,), 1.5),), oracle=lambda z: scipy.special.wofz(z.astype(complex)), ulps=64),
    Sample(primitive="wofz", call=bound(complex_functions.wofz_p), args=(complexes((40,), 4.0),), oracle=lambda z: scipy.special.wofz(z.astype(complex)), ulps=64, differentiate=False),
]  # fmt: skip

SAMPLES = [*BESSEL, *ERRORS, *INTEGRALS, *GAMMA, *OTHERS]
