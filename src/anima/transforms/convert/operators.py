"""The operators that converted code calls, in one namespace.

Invariant: each means what its Python construct means; `rewrite` names them.
"""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import Callable
from types import FunctionType
from typing import Any

from anima.errors import ConversionError
from anima.lax.bitwise import bitwise_not
from anima.transforms.convert import branches, calls, checks, loops, places
from anima.transforms.convert.places import Attribute, Poison, about_to_change, here, state
from anima.transforms.convert.values import is_traced

_IN_PLACE: dict[str, Callable[[Any, Any], Any]] = {
    "Add": operator.iadd, "Sub": operator.isub, "Mult": operator.imul, "Div": operator.itruediv,
    "FloorDiv": operator.ifloordiv, "Mod": operator.imod, "Pow": operator.ipow, "MatMult": operator.imatmul,
    "LShift": operator.ilshift, "RShift": operator.irshift, "BitAnd": operator.iand, "BitOr": operator.ior,
    "BitXor": operator.ixor,
}  # fmt: skip


class Operators:
    """What the name of the operators stands for in the code of one module."""

    if_ = staticmethod(branches.if_)
    if_else = staticmethod(branches.if_else)
    and_ = staticmethod(branches.and_)
    or_ = staticmethod(branches.or_)
    not_ = staticmethod(branches.not_)
    compare = staticmethod(branches.compare)
    none_of = staticmethod(branches.none_of)
    for_ = staticmethod(loops.for_)
    while_ = staticmethod(loops.while_)
    guarded = staticmethod(checks.guarded)
    raising = staticmethod(checks.raising)
    slice = slice

    def __init__(self, convert: Callable[[FunctionType], Any]) -> None:
        self._convert = convert

    def function(self, fun: Any) -> Any:
        """What to call in place of `fun`."""
        return calls.function(fun, self._convert)

    @staticmethod
    def value(value: Any) -> Any:
        """The value of a variable, which must have one."""
        if type(value) is Poison:
            raise ConversionError(
                f"{here()}: a variable is used that may have no value: {value.reason}",
                advice="Give it a value of one structure and shape on every way to this line.",
            )
        return value

    result = value

    @staticmethod
    def keeps(test: Any) -> Any:
        """The condition of a comprehension, which must be known."""
        if is_traced(test):
            raise ConversionError(
                f"{here()}: a comprehension whose length depends on a traced value cannot be converted",
                advice="Keep all items and choose by numpy.where, or sum with where=.",
            )
        return test

    @staticmethod
    def assert_(test: Any, message: Callable[[], Any] | None) -> None:
        """`assert test, message()`."""
        pred = branches.truth(test, "assert")
        if pred is True:
            return
        error = checks.assertion(message)
        if pred is False:
            raise checks.raising(error)
        checks.check(bitwise_not(pred), error)

    @staticmethod
    def touch(variable: FunctionType) -> None:
        """Note that the variable which `lambda: variable` reads is about to be written."""
        if state.regions:
            places.touch(places.shared(variable))

    @staticmethod
    def set_attr(value: Any, owner: Any, name: str) -> None:
        """`owner.name = value`."""
        places.touch(Attribute(owner, name))
        setattr(owner, name, value)

    @staticmethod
    def del_attr(owner: Any, name: str) -> None:
        """`del owner.name`."""
        places.touch(Attribute(owner, name))
        delattr(owner, name)

    def set_item(self, value: Any, owner: Any, index: Any) -> None:
        """`owner[index] = value`."""
        own = getattr(type(owner), "__setitem__", None)
        if isinstance(own, FunctionType):
            self._convert(own)(owner, index, value)
            return
        if own is not None:
            about_to_change(owner, "item assignment")
        owner[index] = value

    def del_item(self, owner: Any, index: Any) -> None:
        """`del owner[index]`."""
        about_to_change(owner, "del")
        del owner[index]

    def in_place(self, operation: str, old: Any, value: Any) -> Any:
        """What `old += value` and its like give."""
        if (state.regions and not is_traced(old) and isinstance(old, (list, dict, set, deque))) or (
            state.regions and type(old).__name__ in ("ndarray", "bytearray")
        ):
            about_to_change(old, "an assignment in place")
        return _IN_PLACE[operation](old, value)

    def in_place_attr(self, operation: str, owner: Any, name: str, value: Callable[[], Any]) -> None:
        """`owner.name += value()` and its like."""
        old = self.value(getattr(owner, name))
        self.set_attr(self.in_place(operation, old, value()), owner, name)

    def in_place_item(self, operation: str, owner: Any, index: Any, value: Callable[[], Any]) -> None:
        """`owner[index] += value()` and its like."""
        old = owner[index]
        self.set_item(self.in_place(operation, old, value()), owner, index)
