"""What NumPy may compute in the compiler's place: operations whose result it gives bit for bit.

Invariant: a rule is exact. For the dtypes that it names, and for operands that it does not refuse, NumPy's result has the
bits that the operation's own compiled program gives. Numbers on which the two disagree or might, are refused: the compiler's
programs take subnormal numbers for zeros, also results that only rounding makes the least normal number, and keep other bits
of NaNs, and may return either of two zeros.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

WHOLE = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
REAL = ("bfloat16", "float16", "float32", "float64")
# Any dtype whose elements are whole bytes.
MOVABLE = (
    *WHOLE, *REAL, "complex64", "complex128", "float8_e3m4", "float8_e4m3", "float8_e4m3b11fnuz", "float8_e4m3fn",
    "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu",
)  # fmt: skip

Refusal = Callable[..., bool]


class HostRule:
    """How NumPy computes an operation.

    Attributes:
      fun: of the operands as NumPy arrays, and the parameters; returns an array, or a list of them.
      dtypes: the names of the dtypes that operands may have.
      care: what floating-point operands and results may not be: ``""`` anything, ``"numbers"`` no subnormals, no
        least normal numbers and no NaNs,
        ``"zeros"`` no negative zeros, either.
      rounds: whether floating-point results are rounded. In a program, the compiler may round two such operations once.
      refuses: for which operands and parameters the rule does not hold, beside that.
    """

    __slots__ = ("care", "dtypes", "fun", "refuses", "rounds")

    def __init__(
        self,
        fun: Callable[..., Any],
        accepts: tuple[str, ...],
        care: str = "",
        *,
        rounds: bool = False,
        refuses: Refusal | None = None,
    ) -> None:
        self.fun = fun
        self.dtypes = accepts
        self.care = care
        self.rounds = rounds
        self.refuses = refuses


def moving(fun: Callable[..., Any], refuses: Refusal | None = None) -> HostRule:
    """The rule of an operation that only moves elements of its operands."""
    return HostRule(fun, MOVABLE, refuses=refuses)


# The dtype of a number's bits, and as bits the least normal number, infinity, and negative zero.
_LAYOUTS: dict[str, tuple[type[np.unsignedinteger[Any]], int, int, int]] = {
    "bfloat16": (np.uint16, 0x0080, 0x7F80, 0x8000),
    "float16": (np.uint16, 0x0400, 0x7C00, 0x8000),
    "float32": (np.uint32, 0x0080_0000, 0x7F80_0000, 0x8000_0000),
    "float64": (np.uint64, 0x0010_0000_0000_0000, 0x7FF0_0000_0000_0000, 0x8000_0000_0000_0000),
}


def is_delicate(x: np.ndarray[Any, Any], care: str) -> bool:
    """Whether an array has numbers that rules with this care leave to the compiler."""
    layout = _LAYOUTS.get(x.dtype.name)
    if layout is None:
        return False
    unsigned, least, most, sign = layout
    bits = x.view(unsigned)
    if care == "zeros" and (bits == unsigned(sign)).any():
        return True
    magnitude = bits & unsigned(sign - 1)
    return bool(((magnitude - unsigned(1) < unsigned(least)) | (magnitude > unsigned(most))).any())
