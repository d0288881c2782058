"""Complex numbers: their parts, and making them.

Invariant: each is linear over the reals. Cotangents follow the convention that the gradient of a real function of
`x + iy` is its derivative by `x` minus `i` times that by `y`, so that holomorphic functions need no conjugation.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from anima import dtypes
from anima.core.aval import ShapedArray
from anima.core.primitive import Primitive, primitives
from anima.lax.declare import COMPLEX, binary, is_linear, operand, unary
from anima.lax.operands import filled, operands
from anima.lowering.module import Context, Value

_PARTS = ("float32", "float64")


def _to_complex(dtype: Any) -> np.dtype[Any]:
    return np.dtype(np.complex64 if dtype == np.float32 else np.complex128)


real_p: Primitive = unary(
    "real",
    "stablehlo.real",
    COMPLEX,
    lambda t, ans, x: real_p.bind(t),
    transpose=lambda ct, x: [complex_p.bind(ct, filled(0, ct))],
    out_dtype=dtypes.to_real_dtype,
)


def real(x: Any) -> Any:
    """The real part of each element.

    Args:
      x: an array of complex dtype.
    Raises:
      TypeError: `x` is of another dtype.

    >>> from anima import lax
    >>> print(lax.real(1 + 2j))
    1.0
    """
    return real_p.bind(operand(x))


imag_p: Primitive = unary(
    "imag",
    "stablehlo.imag",
    COMPLEX,
    lambda t, ans, x: imag_p.bind(t),
    transpose=lambda ct, x: [complex_p.bind(filled(0, ct), primitives["neg"].bind(ct))],
    out_dtype=dtypes.to_real_dtype,
)


def imag(x: Any) -> Any:
    """The imaginary part of each element.

    Args:
      x: an array of complex dtype.
    Raises:
      TypeError: `x` is of another dtype.

    >>> from anima import lax
    >>> print(lax.imag(1 + 2j))
    2.0
    """
    return imag_p.bind(operand(x))


def _complex_derivative(position: int) -> Any:
    def derivative(t: Any, ans: Any, x: Any, y: Any) -> Any:
        zero = filled(0, t)
        return complex_p.bind(*((t, zero) if position == 0 else (zero, t)))

    return derivative


def _complex_transpose(ct: Any, x: Any, y: Any) -> list[Any]:
    return [
        real_p.bind(ct) if is_linear(x) else None,
        primitives["neg"].bind(imag_p.bind(ct)) if is_linear(y) else None,
    ]


complex_p: Primitive = binary(
    "complex",
    "stablehlo.complex",
    _PARTS,
    (_complex_derivative(0), _complex_derivative(1)),
    transpose=_complex_transpose,
    out_dtype=_to_complex,
)


def complex(x: Any, y: Any) -> Any:
    """Complex numbers with real parts `x` and imaginary parts `y`.

    Args:
      x, y: arrays of dtype float32 or float64, of one dtype and shape, or scalars.
    Raises:
      TypeError: dtypes or shapes differ, or the dtype is another.

    >>> from anima import lax
    >>> print(lax.complex(1.0, 2.0))
    (1+2j)
    """
    return complex_p.bind(*operands("complex", x, y))


def _conj_lower(ctx: Context, x: Value) -> Value:
    if x.dtype.kind != "c":
        return ctx.op("stablehlo.complex", (x, ctx.full(0, x.aval)))  # type: ignore[arg-type]
    part = ShapedArray(x.shape, dtypes.to_real_dtype(x.dtype))
    re, im = (ctx.op(f"stablehlo.{name}", (x,), part) for name in ("real", "imag"))
    return ctx.op("stablehlo.complex", (re, ctx.op("stablehlo.negate", (im,), part)))


def _conj_transpose(ct: Any, x: Any) -> list[Any]:
    return [conj_p.bind(ct) if dtypes.is_complex(x.dtype) else real_p.bind(ct)]


conj_p: Primitive = unary(
    "conj",
    _conj_lower,
    (*_PARTS, *COMPLEX),
    lambda t, ans, x: conj_p.bind(t),
    transpose=_conj_transpose,
    out_dtype=lambda dtype: dtype if dtypes.is_complex(dtype) else _to_complex(dtype),
)


def conj(x: Any) -> Any:
    """The complex conjugate of each element; complex also for real `x`.

    Args:
      x: an array of dtype float32 or float64, or complex.
    Raises:
      TypeError: `x` is of another dtype.

    >>> from anima import lax
    >>> print(lax.conj(1 + 2j))
    (1-2j)
    """
    return conj_p.bind(operand(x))
