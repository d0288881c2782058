"""The signatures of transformed functions, which are objects of native types: those of the functions that they stand for.

Invariant: one is made when it is asked for, or set by whoever knows better, as on a function.
"""

from __future__ import annotations

import inspect
from typing import Any

from anima import _native

_NAME = "__signature__"


class _Signature:
    """The attribute of the objects; their types have none, so that `inspect` goes on to look for theirs."""

    def __get__(self, function: Any, owner: type) -> Any:
        if function is None:
            raise AttributeError(_NAME)
        held = vars(function)
        if _NAME in held:
            return held[_NAME]
        if "__wrapped__" in held:
            try:
                return inspect.signature(held["__wrapped__"])
            except (TypeError, ValueError):
                pass  # the function has none
        raise AttributeError(_NAME)

    def __set__(self, function: Any, signature: Any) -> None:
        vars(function)[_NAME] = signature

    def __delete__(self, function: Any) -> None:
        if vars(function).pop(_NAME, None) is None:
            raise AttributeError(_NAME)


for _type in (_native.Boundary, _native.CompiledCall, _native.Recalled):
    setattr(_type, _NAME, _Signature())
