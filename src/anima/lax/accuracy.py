"""How exact a function's approximation must be: the `accuracy` argument of exponentials, roots and trigonometry.

Invariant: no request makes no parameter, so programs that ask for nothing are the same as if the argument did not exist.
A compiler is free to be more exact than asked; the CPU's has one implementation of each function.
"""

from __future__ import annotations

import enum
from typing import Any

from anima.lowering.module import Context, Value
from anima.records import Record


class AccuracyMode(enum.Enum):
    """A named accuracy: `DEFAULT` is the compiler's choice, `HIGHEST` the best that it has."""

    HIGHEST = 1
    DEFAULT = 2


class Tolerance(Record):
    """A bound on the error: absolute, relative, or in units in the last place; zero means no bound of that kind.

    Raises:
      ValueError: a bound is negative, or `rtol` and `ulps` are both given.

    >>> from anima import lax
    >>> print(lax.exp(0.0, accuracy=lax.Tolerance(atol=1e-3, ulps=4)))
    1.0
    """

    atol: float = 0.0
    rtol: float = 0.0
    ulps: int = 0

    def __init__(self, atol: float = 0.0, rtol: float = 0.0, ulps: int = 0) -> None:
        super().__init__(atol, rtol, ulps)
        if self.atol < 0 or self.rtol < 0 or self.ulps < 0:
            raise ValueError(f"Tolerance: bounds must not be negative, got {self}")
        if self.rtol and self.ulps:
            raise ValueError("Tolerance: give rtol or ulps, not both")


def checked_accuracy(name: str, accuracy: Any) -> AccuracyMode | Tolerance:
    """`accuracy`, as a user gave it to the function `name`.

    Raises:
      TypeError: it is neither an `AccuracyMode` nor a `Tolerance`.
    """
    if not isinstance(accuracy, (AccuracyMode, Tolerance)):
        raise TypeError(
            f"lax.{name}: accuracy must be an AccuracyMode, a Tolerance or None, got {accuracy!r}"
        )
    return accuracy


def _attribute(accuracy: AccuracyMode | Tolerance | None) -> str:
    if accuracy is None:
        return ""
    if isinstance(accuracy, AccuracyMode):
        inner = f"mode = #stablehlo.result_accuracy_mode<{accuracy.name}>"
    else:
        inner = (
            f"atol = {accuracy.atol:e}, rtol = {accuracy.rtol:e}, ulps = {accuracy.ulps}, "
            "mode = #stablehlo.result_accuracy_mode<TOLERANCE>"
        )
    return f"result_accuracy = #stablehlo.result_accuracy<{inner}>"


def accurate(hlo: str) -> Any:
    """The lowering rule of the StableHLO operation `hlo` that can be asked for an accuracy."""

    def lower(ctx: Context, x: Value, *, accuracy: AccuracyMode | Tolerance | None = None) -> Value:
        return ctx.op(hlo, (x,), attrs=_attribute(accuracy))

    return lower
