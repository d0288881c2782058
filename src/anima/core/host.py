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
KernelCall = tuple[str, dict[str, int]]  # the name of a kernel in `native/kernels`, and its attributes


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
        "library" is a call of a library, by a program of its own; "move" is one for every operation that moves its operands' elements to places that do not depend on them; "call" runs
        the kernel that the operation's program calls.
      call: for "call": of the operands' avals and the parameters, the name and the attributes of that kernel's call; None where
        the program is another one.
      otherwise: the rule to ask where this one does not hold for the dtypes or sizes.
      alone: whether the rule holds for floating-point numbers only where a program has no other operations, or is one
        that `sequence` lets through.
      by_constant: the rule that holds in place of this one where an operand of `variable` is a number that the program
        knows: how the compiler computes it then.
      sequence: what the operation does in a program of several that round, for `runtime/host.py` to say whether the compiler
        keeps them apart: "sum", "product", "total" (a sum over dimensions), "root", or "" for none of these.
    """

    __slots__ = (
        "alone",
        "by_constant",
        "call",
        "care",
        "dtypes",
        "fun",
        "kernel",
        "otherwise",
        "refuses",
        "rounds",
        "sequence",
        "suits",
        "variable",
    )

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
        by_constant: HostRule | None = None,
        sequence: str = "",
        call: Callable[..., KernelCall | None] | None = None,
        otherwise: HostRule | None = None,
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
        self.by_constant = by_constant
        self.sequence = sequence
        self.call = call
        self.otherwise = otherwise


def moving(fun: Callable[..., Any], refuses: Refusal | None = None, *, kernel: str = "move") -> HostRule:
    """The rule of an operation that only moves elements of its operands; where to, may depend on them if `kernel` is ""."""
    return HostRule(fun, MOVABLE, "moves", refuses=refuses, kernel=kernel)


LARGEST = 4096  # bytes of an array that native kernels take


def is_small(aval: Any) -> bool:
    """Whether native kernels take an array."""
    return bool(aval.size * aval.dtype.itemsize <= LARGEST and aval.ndim <= 6)


def calling(
    call: Callable[..., KernelCall | None],
    accepts: tuple[str, ...],
    *,
    alone: bool = False,
    otherwise: HostRule | None = None,
) -> HostRule:
    """The rule of an operation whose program is a call of one of our kernels, for small operands of these dtypes.

    Args:
      call: see `HostRule`.
      accepts: the names of the dtypes.
      alone: whether it is such a call only where a program has no other operations.
      otherwise: the rule for other operands.
    """

    def suits(*avals: Any, **params: Any) -> bool:
        return all(map(is_small, avals)) and call(*avals, **params) is not None

    return HostRule(
        None, accepts, kernel="call", call=call, suits=suits, rounds=alone, alone=alone, otherwise=otherwise
    )


# The rule of an operation whose program is one call of a library: in programs of several, the host performs it by that.
LIBRARY = HostRule(
    None,
    ("int32", "float32", "float64"),
    kernel="library",
    suits=lambda *avals, **params: all([a.size for a in avals]),
)


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
