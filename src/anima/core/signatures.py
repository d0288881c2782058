"""The signatures of transformed functions, which are objects of native types: those of the functions that they stand for.

Invariant: one is made when it is asked for, or set by whoever knows better, as on a function.
"""

from __future__ import annotations

import inspect
from typing import Any

from anima import _native

_NAME = "__signature__"


class OwnSignature:
    """The attribute of the objects; their types have none, so that `inspect` goes on to look for theirs."""

    def __get__(self, function: Any, owner: type) -> Any:
        if function is None:
            raise AttributeError(_NAME)
        held = vars(function)
        found = held[_NAME] if _NAME in held else self.made(function)
        if found is None:
            raise AttributeError(_NAME)
        return found

    def made(self, function: Any) -> inspect.Signature | None:
        """That of the function that the object stands for, or None if that has none."""
        try:
            return inspect.signature(vars(function)["__wrapped__"])
        except (KeyError, TypeError, ValueError):
            return None

    def __set__(self, function: Any, signature: Any) -> None:
        vars(function)[_NAME] = signature

    def __delete__(self, function: Any) -> None:
        if vars(function).pop(_NAME, None) is None:
            raise AttributeError(_NAME)


for _type in (_native.Boundary, _native.CompiledCall, _native.Recalled):
    setattr(_type, _NAME, OwnSignature())
