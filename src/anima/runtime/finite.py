"""`jax_debug_nans` and `jax_debug_infs`: errors where a NaN or an infinity was made.

Invariant: nothing here runs unless one of the options is on; then no call plan is kept, so every call comes by.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from anima import dtypes
from anima._native import ArrayImpl, tree_flatten
from anima.config import debug_infs, debug_nans
from anima.core.evaluate import eval_jaxpr
from anima.core.jaxpr import ClosedJaxpr
from anima.core.source import Position
from anima.errors import NonFiniteError


def wanted() -> bool:
    """Whether results are to be looked at."""
    return debug_nans.value or debug_infs.value


def found(values: Any) -> str:
    """What is wrong with the arrays in `values`: "nan", "inf", or "" for nothing."""
    for value in tree_flatten(values)[0]:
        if not isinstance(value, ArrayImpl) or value.is_deleted() or not dtypes.is_inexact(value.dtype):
            continue
        host = np.asarray(value)
        if host.dtype.kind == "V":  # a small float that NumPy itself does not know
            host = host.astype(np.float32)
        if debug_nans.value and np.isnan(host).any():
            return "nan"
        if debug_infs.value and np.isinf(host).any():
            return "inf"
    return ""


def check(values: Any, name: str) -> None:
    """Raise if the results of the operation `name` are not finite.

    Raises:
      NonFiniteError: an option asks for this and a value is a NaN or an infinity.
    """
    bad = found(values)
    if bad:
        raise NonFiniteError(f"invalid value ({bad}) encountered in {name}")


def locate(program: ClosedJaxpr, args: Sequence[Any], values: Any, name: str) -> None:
    """Raise if the results of a program are not finite, naming the operation that made them so.

    The program runs again, one operation at a time, unless its arguments were donated.

    Raises:
      NonFiniteError: as in `check`.
    """
    bad = found(values)
    if not bad:
        return
    at: list[Position | None] = [None]

    def remember(position: Position | None) -> None:
        at[0] = position

    if not any(isinstance(a, ArrayImpl) and a.is_deleted() for a in args):
        try:
            eval_jaxpr(program.jaxpr, program.consts, *args, on_equation=remember)
        except NonFiniteError as error:
            error.add_note(f"in {name}, at {at[0]}")
            raise
    raise NonFiniteError(f"invalid value ({bad}) encountered in the result of {name}")
