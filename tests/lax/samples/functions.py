"""Powers, exponentials, trigonometric and hyperbolic functions, error and gamma functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import mpmath
import numpy as np

from anima import lax
from tests.lax.samples import F32, F64, I32, Sample, complexes, corners, floats, normal_pairs, numeric

C128 = np.complex128


def wide_range(dtype: Any, low: float, high: float, sizes: tuple[float, float] | None) -> np.ndarray:
    """Numbers spread over an interval, and of all sizes between two powers of ten with both signs, if inside it."""
    even = floats((40,), low, high, dtype)
    if sizes is None:
        return even
    powers = 10.0 ** floats((30,), *sizes, F64)
    signed = np.concatenate([powers, -powers])
    return np.concatenate([even, signed[(signed >= low) & (signed <= high)].astype(dtype)])


def function(
    name: str,
    oracle: Callable[..., Any],
    ulps: float,
    *,
    low: float = -6.0,
    high: float = 6.0,
    sizes: tuple[float, float] | None = (-12, 2),
    smooth: tuple[float, float] = (0.1, 0.9),
    on_complex: float | None = None,
    double: float | None = None,
    floor: float = 0.0,
    edges: bool = True,
    smallest: float = 0.0,
) -> list[Sample]:
    """Samples of a function of one number.

    Args:
      ulps, double, on_complex: the bounds for float32, float64 (the same by default) and complex numbers (None: not
        accepted).
      low, high: where float32 and float64 are sampled; sizes: powers of ten to sample within that.
      smooth: where derivatives are checked.
      edges: whether the oracle is right at infinities, NaN and the ends of the range.
    """
    bounds: Mapping[str, float] = {
        "": ulps,
        "float64": ulps if double is None else double,
        "complex64": on_complex or 0,
        "complex128": on_complex or 0,
    }
    arrays: list[Any] = [
        floats((2, 3), *smooth),
        wide_range(F32, low, high, sizes),
        wide_range(F64, low, high, sizes),
        np.float32((smooth[0] + smooth[1]) / 2),
        np.zeros((0, 2), F32),
    ]
    if edges:
        arrays += [corners(F32), corners(F64)]
    if on_complex is not None:
        arrays += [
            complexes((5,), 1.5),
            complexes((64,), 3.0, C128),
            complexes((32,), 1e-3),
            complexes((32,), 30.0),
        ]
    return [
        Sample(
            primitive=name,
            call=getattr(lax, name),
            args=(array,),
            oracle=oracle,
            ulps=bounds,
            floor=floor,
            differentiate=i == 0 or np.shape(array) == (5,),
        )
        for i, array in enumerate(arrays)
    ]


def mp(fun: Callable[..., Any]) -> Callable[..., np.ndarray]:
    """An oracle from a function of mpmath; NaN where it has a pole."""

    def one(*values: Any) -> Any:
        if not all(np.isfinite(v) for v in values):
            return np.nan
        try:
            with mpmath.workdps(30):
                result = fun(*map(_to_mp, values))
                if isinstance(result, mpmath.mpc):
                    if result.imag:
                        return np.nan if not isinstance(values[0], np.complexfloating) else complex(result)
                    result = result.real
                return np.longdouble(mpmath.nstr(result, 25))
        except (ValueError, ZeroDivisionError):
            return np.nan

    def oracle(*arrays: np.ndarray) -> np.ndarray:
        whole = np.broadcast_arrays(*arrays)
        flat = [one(*values) for values in zip(*(a.ravel() for a in whole))]
        return np.array(flat, arrays[0].dtype).reshape(whole[0].shape)

    return oracle


def _to_mp(value: Any) -> Any:
    """Exactly the number that a NumPy scalar is."""
    high = float(value)
    return mpmath.mpf(high) + mpmath.mpf(float(value - np.longdouble(high)))


def reciprocal_root(x: np.ndarray) -> np.ndarray:
    root = np.sqrt(x)
    return np.where(x == 0, np.copysign(np.inf, x), 1 / root) if x.dtype.kind != "c" else 1 / root


def power(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.power(x, y.astype(x.dtype))


def positive_pairs(dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.meshgrid(np.exp(floats((12,), -20, 20, dtype)), floats((12,), -3, 3, dtype))
    return x.ravel(), y.ravel()


def angle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return -1j * np.log((y + 1j * x) / np.sqrt(x * x + y * y)) if x.dtype.kind == "c" else np.arctan2(x, y)


def logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


POWERS = [
    *function("sqrt", np.sqrt, 0.5, low=0, sizes=(-30, 30), on_complex=3),
    *function("rsqrt", reciprocal_root, 2, low=0, sizes=(-30, 30), on_complex=4),
    *function("cbrt", np.cbrt, 1.5, low=-1e30, high=1e30, sizes=(-30, 30)),
    *(
        Sample(
            primitive="integer_pow",
            call=lambda x, y=y: lax.integer_pow(x, y),
            args=(x,),
            oracle=numeric(lambda x, y=y: x**y, lambda x, y=y: x ** abs(y)),
            ulps={"": 4, "complex64": 12, "complex128": 12},
            differentiate=np.asarray(x).size < 9,
        )
        for y in (3, 2, 7, 0, 1, -1, -2)
        for x in (
            floats((2, 3), 0.5, 1.5),
            floats((20,), -3, 3),
            floats((20,), -3, 3, F64),
            complexes((5,), 1.5),
            *((np.arange(-5, 6, dtype=I32), np.arange(200, 250, dtype=np.uint8)) if y >= 0 else ()),
            np.float32(1.5),
        )
    ),
    *(
        Sample(
            primitive="pow",
            call=lax.pow,
            args=args,
            oracle=power,
            ulps={"": 1, "complex64": 64, "complex128": 64},
            differentiate=i < 2,
        )
        for i, args in enumerate(
            (
                (floats((2, 3), 0.3, 1.7), floats((2, 3), -1.5, 2.5)),
                (complexes((5,), 1.5), complexes((5,), 1.2)[::-1].copy()),
                positive_pairs(F32),
                positive_pairs(F64),
                normal_pairs(F32),
                normal_pairs(F64),
                (floats((9,), -2, 2), np.arange(-4, 5, dtype=I32)),
                (floats((5,), 0.1, 2), np.arange(5, dtype=np.uint8)),
                (np.float32(2), np.float32(3)),
                (np.zeros((0,), F32), np.zeros((0,), F32)),
            )
        )
    ),
    Sample(
        primitive="pow",
        call=lambda x, y: lax.pow(x, y),
        args=(floats((4,), 0.5, 1.5), np.array([3, -2, 0, 1], I32)),
        oracle=power,
        ulps=1,
        typed=(0,),
    ),
]

EXPONENTIALS = [
    *function("exp", np.exp, 2, low=-80, high=80, on_complex=4),
    *function("exp2", np.exp2, 2, low=-120, high=120, on_complex=64),
    *function("expm1", np.expm1, 6, low=-80, high=80, on_complex=6),
    *function("log", np.log, 1.5, low=0, high=1e30, sizes=(-30, 30), on_complex=64),
    *function("log1p", np.log1p, 3, low=-0.999, high=1e30, sizes=(-30, 30), on_complex=64),
    *function("logistic", logistic, 4, low=-80, high=80, on_complex=8),
]

TRIGONOMETRY = [
    *function("sin", np.sin, 1, low=-30, high=30, on_complex=4),
    *function("cos", np.cos, 1, low=-30, high=30, on_complex=4),
    *function("tan", np.tan, 2, low=-30, high=30, on_complex=6),
    *function("asin", np.arcsin, 3, low=-1, high=1, on_complex=4),
    *function("acos", np.arccos, 3, low=-1, high=1, on_complex=4),
    *function("atan", np.arctan, 1.5, on_complex=4),
    *(
        Sample(
            primitive="atan2",
            call=lax.atan2,
            args=args,
            oracle=angle,
            ulps={"": 2, "complex64": 32, "complex128": 32},
            differentiate=i == 0,
        )
        for i, args in enumerate(
            (
                (floats((2, 3), 0.3, 1.7), floats((2, 3), -1.5, 2.5)),
                positive_pairs(F32),
                positive_pairs(F64),
                normal_pairs(F32),
                normal_pairs(F64),
                (np.float32(1), np.float32(-2)),
                (np.zeros((0,), F32), np.zeros((0,), F32)),
            )
        )
    ),
]

HYPERBOLIC = [
    *function("sinh", np.sinh, 4, low=-80, high=80, on_complex=6),
    *function("cosh", np.cosh, 4, low=-80, high=80, on_complex=6),
    *function("tanh", np.tanh, 7, low=-80, high=80, on_complex=6),
    *function("asinh", np.arcsinh, 3, low=-1e30, high=1e30, sizes=(-30, 30), on_complex=4),
    *function("acosh", np.arccosh, 4, low=1, high=1e30, sizes=(0, 30), smooth=(1.3, 2.5), on_complex=4),
    *function("atanh", np.arctanh, 3, low=-0.999, high=0.999, on_complex=4),
]

ERROR_FUNCTIONS = [
    *function("erf", mp(mpmath.erf), 4, edges=False),
    *function("erfc", mp(mpmath.erfc), 8, high=9, edges=False),
    *function("erf_inv", mp(mpmath.erfinv), 4, low=-0.999, high=0.999, edges=False),
    *function("lgamma", mp(lambda x: mpmath.log(abs(mpmath.gamma(x)))), 32, low=-5.45, high=20, sizes=(-6, 1), smooth=(0.5, 3.5), floor=1.0, edges=False),
    *function("digamma", mp(mpmath.digamma), 16, low=-5.45, high=20, sizes=(-6, 1), smooth=(0.5, 3.5), floor=1.0, edges=False),
    *(
        Sample(primitive=name, call=call, args=args, oracle=mp(oracle), ulps=64, floor=1.0, differentiate=(1,) if i == 0 else False)
        for name, call, oracle, low in (
            ("polygamma", lax.polygamma, lambda m, x: mpmath.polygamma(int(m), x), 0),
            ("zeta", lax.zeta, mpmath.zeta, 2),
        )
        for i, args in enumerate(
            (
                (np.array([[1, 2, 3]] * 2, F32) + low, floats((2, 3), 0.8, 2.5)),
                (np.arange(12, dtype=F32) % 4 + low, floats((12,), 0.2, 12)),
                (np.arange(12, dtype=F64) % 4 + low, floats((12,), 0.2, 12, F64)),
                (np.float32(low + 1), np.float32(1.5)),
                (np.zeros((0,), F32), np.zeros((0,), F32)),
            )
        )
    ),
]  # fmt: skip

SAMPLES = [*POWERS, *EXPONENTIALS, *TRIGONOMETRY, *HYPERBOLIC, *ERROR_FUNCTIONS]
