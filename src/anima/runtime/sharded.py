"""Programs over several devices: shardings of arguments and results become one partitioned executable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from anima._native import ArrayImpl


class _Unspecified:
    """The default of `in_shardings` and `out_shardings`: follow the arguments, let XLA choose for results."""

    def __repr__(self) -> str:
        return "UnspecifiedValue"


UNSPECIFIED = _Unspecified()


def wanted(in_shardings: Any, out_shardings: Any, leaves: Sequence[Any]) -> bool:
    """Whether a call with these shardings and arguments needs a partitioned program."""
    if in_shardings is not UNSPECIFIED or out_shardings is not UNSPECIFIED:
        return True
    return any(type(x) is ArrayImpl and len(x.devices()) > 1 for x in leaves)
