"""Whole numbers: common divisors and multiples, packing of bits.

Invariant: divisors and multiples are not negative. Bits are those of uint8 bytes, the highest first unless `bitorder` says otherwise.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from anima import dtypes
from anima.lax import while_loop
from anima.lax.shape import check_axis
from anima.numpy import shapes
from anima.numpy.arithmetic import absolute, floor_divide, remainder
from anima.numpy.calls import function
from anima.numpy.creation import asarray, zeros
from anima.numpy.joining import concatenate
from anima.numpy.promotion import (
    array_like,
    broadcast_together,
    dtype_of,
    is_weak,
    promote_dtypes,
    retyped,
    shape_of,
    stretch,
)
from anima.numpy.selection import where


def _bit_values(name: str, bitorder: str) -> Any:
    if bitorder not in ("big", "little"):
        raise ValueError(f"{name}: bitorder must be 'big' or 'little', got {bitorder!r}")
    values = np.uint8(1) << np.arange(8, dtype=np.uint8)
    return asarray(values[::-1] if bitorder == "big" else values)


@function(static=("axis", "bitorder"))
def packbits(a: Any, axis: int | None = None, bitorder: str = "big") -> Any:
    """Truth values packed into bytes, eight each; what is missing at the end counts as 0.

    Args:
      a: an array of integers or booleans.
      axis: along which to pack; None for the flattened array.
      bitorder: "big" if the first of eight is the highest bit, "little" if it is the lowest.
    Raises:
      TypeError: `a` is not of integers or booleans.

    >>> import anima.numpy as np
    >>> print(np.packbits(np.array([1, 0, 1])))
    [160]
    """
    a = asarray(array_like("packbits", a))
    if not (dtypes.is_int(a.dtype) or dtypes.is_bool(a.dtype)):
        raise TypeError(f"packbits requires integers or booleans, got dtype {a.dtype}")
    values = _bit_values("packbits", bitorder)
    if axis is None:
        a, axis = shapes.ravel(a), 0
    along = check_axis("packbits", axis, a.ndim)
    bits = shapes.moveaxis((a != 0).astype(np.uint8), along, -1)
    missing = -bits.shape[-1] % 8
    bits = concatenate([bits, zeros((*bits.shape[:-1], missing), np.uint8)], axis=-1)
    groups = bits.reshape((*bits.shape[:-1], bits.shape[-1] // 8, 8))
    return shapes.moveaxis((groups * values).sum(axis=-1, dtype=np.uint8), -1, along)


@function(static=("axis", "count", "bitorder"))
def unpackbits(a: Any, axis: int | None = None, count: int | None = None, bitorder: str = "big") -> Any:
    """The bits of bytes, eight of each.

    Args:
      a: an array of uint8.
      axis: along which to unpack; None for the flattened array.
      count: how many bits: more are filled up with 0, a negative number cuts off; None for all.
      bitorder: as for `packbits`.
    Raises:
      TypeError: `a` is not of uint8.

    >>> import anima.numpy as np
    >>> print(np.unpackbits(np.array([5], dtype=np.uint8)))
    [0 0 0 0 0 1 0 1]
    """
    a = asarray(array_like("unpackbits", a))
    if a.dtype != np.uint8:
        raise TypeError(f"unpackbits requires uint8, got dtype {a.dtype}")
    values = _bit_values("unpackbits", bitorder)
    if axis is None:
        a, axis = shapes.ravel(a), 0
    along = check_axis("unpackbits", axis, a.ndim)
    last = shapes.moveaxis(a, along, -1)
    bits = ((last[..., None] & values) != 0).astype(np.uint8).reshape((*last.shape[:-1], -1 if a.size else 0))
    if count is not None:
        number = operator.index(count)
        missing = number - bits.shape[-1]
        if missing > 0:
            bits = concatenate([bits, zeros((*bits.shape[:-1], missing), np.uint8)], axis=-1)
        else:
            bits = bits[..., :number]
    return shapes.moveaxis(bits, -1, along)


def _whole_operands(name: str, x1: Any, x2: Any) -> tuple[Any, Any]:
    """Absolute values of integer operands in their common shape."""
    x1, x2 = promote_dtypes(name, x1, x2)
    try:
        x1, x2 = broadcast_together(name, x1, x2)
    except TypeError as error:
        raise ValueError(str(error)) from None  # as JAX and NumPy
    if not dtypes.is_int(dtype_of(x1)):
        raise ValueError(f"{name} requires integers, got dtype {dtype_of(x1)}")
    shape = shape_of(x1) or shape_of(x2)
    return stretch(absolute(x1), shape_of(x1), shape), stretch(absolute(x2), shape_of(x2), shape)


def _divisor(x1: Any, x2: Any) -> Any:
    """Euclid's algorithm on all elements at once."""

    def step(pair: tuple[Any, Any]) -> tuple[Any, Any]:
        a, b = pair
        done = b == 0
        return where(done, a, b), where(done, 0, remainder(a, where(done, 1, b)))

    return while_loop(lambda pair: (pair[1] != 0).any(), step, (x1, x2))[0]


@function
def gcd(x1: Any, x2: Any) -> Any:
    """The greatest common divisor of each two integers; with zero, the absolute value of the other.

    Raises:
      ValueError: the operands are no integers, or their shapes do not broadcast.

    >>> import anima.numpy as np
    >>> print(np.gcd(np.array([12, 7, 0]), 18))
    [ 6  1 18]
    """
    weak = is_weak("gcd", x1, x2)
    return retyped(_divisor(*_whole_operands("gcd", x1, x2)), weak)


@function
def lcm(x1: Any, x2: Any) -> Any:
    """The least common multiple of each two integers; with zero, zero.

    Raises:
      ValueError: the operands are no integers, or their shapes do not broadcast.

    >>> import anima.numpy as np
    >>> print(np.lcm(np.array([4, 7, 0]), 6))
    [12 42  0]
    """
    weak = is_weak("lcm", x1, x2)
    x1, x2 = _whole_operands("lcm", x1, x2)
    divisor = _divisor(x1, x2)
    return retyped(where(divisor == 0, 0, x1 * floor_divide(x2, where(divisor == 0, 1, divisor))), weak)
