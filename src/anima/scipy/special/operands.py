"""What special functions do with their operands first: numbers become floating-point, complex ones are refused.

Invariant: the dtype is that of `numpy`'s promotion; results are weakly typed only where JAX's are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from anima import dtypes
from anima.lax.operands import stretch
from anima.numpy.promotion import (
    aval,
    convert,
    dtype_of,
    inexact,
    promote_inexact,
    shape_of,
    strong_inexact,
)


def refuse_complex(name: str, x: Any) -> None:
    """Raise ValueError if `x` is complex."""
    if dtypes.is_complex(dtype_of(x)):
        raise ValueError(
            f"{name} does not support complex-valued inputs, got {dtypes.dtype_name(dtype_of(x))}"
        )


def real(name: str, x: Any, *, strong: bool = False) -> Any:
    """The operand in floating point.

    Raises:
      TypeError: it is no array or scalar. ValueError: it is complex.
    """
    x = strong_inexact(name, x) if strong else inexact(name, x)
    refuse_complex(name, x)
    return x


def reals(name: str, *args: Any, strong: bool = False) -> Sequence[Any]:
    """The operands in one floating-point dtype, broadcast together.

    Raises:
      TypeError: one is no array or scalar, or they do not broadcast. ValueError: one is complex.
    """
    values = promote_inexact(name, *args)
    refuse_complex(name, values[0])
    return whole(name, values, strong)


def whole(name: str, values: Sequence[Any], strong: bool = False) -> Sequence[Any]:
    """The operands, scalars among them stretched to the shape of the others."""
    if strong:
        values = [strong_inexact(name, v) for v in values]
    shape = max([shape_of(v) for v in values], key=len)
    return [stretch(v, shape_of(v), shape) for v in values]


def single_or_double(name: str, x: Any) -> Any:
    """The operand, which must be of float32 or float64 already.

    Raises:
      TypeError: it is of another dtype, or no array or scalar.
    """
    x, known = aval(name, x)
    dtype = dtypes.canonical(known.dtype)
    if dtypes.dtype_name(dtype) not in ("float32", "float64"):
        raise TypeError(
            f"{name} takes float32 and float64 only, got {dtypes.dtype_name(known.dtype)}; convert it with astype"
        )
    return convert(x, known, dtype, False)
