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

from anima.dtypes.declared import BY_NAME

WHOLE = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
REAL = ("bfloat16", "float16", "float32", "float64")
# Not the dtypes of a byte: the compiler moves some of them by way of wider ones, which is no exact copy.
MOVABLE = (*WHOLE, *REAL, "complex64", "complex128")

Refusal = Callable[..., bool]


class HostRule:
    """How NumPy computes an operation.

    Attributes:
      fun: of the operands as NumPy arrays, and the parameters; returns an array, or a list of them. None where only the
        native kernel gives the right bits.
      dtypes: the names of the dtypes that operands may have.
      care: what floating-point operands and results may not be: ``""`` anything, ``"moves"`` no NaNs of bfloat16, which
        the compiler moves by way of float32, ``"numbers"`` no subnormals, no least normal numbers and no NaNs,
        ``"zeros"`` no negative zeros, either.
      rounds: whether floating-point results are rounded. In a program, the compiler may round two such operations once.
      refuses: for which operands and parameters the rule does not hold, beside that.
      suits: for which operands' avals and parameters it holds at all; None is for all of those dtypes.
      variable: the operands, by position, that must depend on the arguments of the program: with constants there the
        compiler computes in another way.
      kernel: the name of the native kernel that computes the same, for those of the dtypes that it knows; "" is none.
        "move" is one for every operation that moves its operands' elements to places that do not depend on them.
      alone: whether the rule holds for floating-point numbers only where a program has no other operations.
    """

    __slots__ = ("alone", "care", "dtypes", "fun", "kernel", "refuses", "rounds", "suits", "variable")

    def __init__(
        self,
        fun: Callable[..., Any] | None,
        accepts: tuple[str, ...],
        care: str = "",
        *,
        rounds: bool = False,
        refuses: Refusal | None = None,
        variable: tuple[int, ...] = (),
        kernel: str = "",
        alone: bool = False,
        suits: Callable[..., bool] | None = None,
    ) -> None:
        self.fun = fun
        self.dtypes = accepts
        self.care = care
        self.rounds = rounds
        self.refuses = refuses
        self.variable = variable
        self.kernel = kernel
        self.alone = alone
        self.suits = suits


def moving(fun: Callable[..., Any], refuses: Refusal | None = None, *, kernel: str = "move") -> HostRule:
    """The rule of an operation that only moves elements of its operands; where to, may depend on them if `kernel` is ""."""
    return HostRule(fun, MOVABLE, "moves", refuses=refuses, kernel=kernel)


def _layout(bits: type[np.unsignedinteger[Any]], least: int, infinity: int) -> tuple[Any, ...]:
    sign = 1 << (8 * np.dtype(bits).itemsize - 1)
    return (bits, *map(bits, (1, least, infinity, sign, sign - 1)))


# Of a number's dtype that of its bits, and as bits: one, the least normal number, infinity, negative zero, all but the sign.
_LAYOUTS = {
    BY_NAME["bfloat16"]: _layout(np.uint16, 0x0080, 0x7F80),
    BY_NAME["float16"]: _layout(np.uint16, 0x0400, 0x7C00),
    BY_NAME["float32"]: _layout(np.uint32, 0x0080_0000, 0x7F80_0000),
    BY_NAME["float64"]: _layout(np.uint64, 0x0010_0000_0000_0000, 0x7FF0_0000_0000_0000),
}
_BFLOAT16 = BY_NAME["bfloat16"]


def is_delicate(x: np.ndarray[Any, Any], care: str) -> bool:
    """Whether an array has numbers that rules with this care leave to the compiler."""
    if care == "moves":
        return x.dtype == _BFLOAT16 and bool(np.count_nonzero(np.isnan(x)))
    layout = _LAYOUTS.get(x.dtype)
    if layout is None:
        return False
    unsigned, one, least, infinity, sign, others = layout
    bits = x.view(unsigned)
    if care == "zeros" and np.count_nonzero(bits == sign):
        return True
    magnitude = bits & others
    return bool(np.count_nonzero((magnitude - one < least) | (magnitude > infinity)))
