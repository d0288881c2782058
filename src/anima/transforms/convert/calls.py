"""What converted code calls: user functions converted, built-in functions that look at traced values, changes noted.

Invariant: a function of a library is called as it is; functions of the user that it is given are converted first.
"""

from __future__ import annotations

import builtins
import functools
from collections import deque
from collections.abc import Callable, Iterable
from types import BuiltinFunctionType, BuiltinMethodType, FunctionType, MethodType
from typing import Any

import numpy as np

from anima.core.trace import aval_of
from anima.errors import ConversionError
from anima.lax.bitwise import bitwise_and, bitwise_or
from anima.lax.convert import convert_to
from anima.transforms.convert import iterables
from anima.transforms.convert.branches import if_else, truth
from anima.transforms.convert.places import Attribute, about_to_change, here, state, touch
from anima.transforms.convert.values import is_traced

_CHANGING = {
    list: {"append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort", "__setitem__", "__delitem__"},
    deque: {"append", "appendleft", "clear", "extend", "extendleft", "insert", "pop", "popleft", "remove", "reverse", "rotate"},
    dict: {"clear", "pop", "popitem", "setdefault", "update", "__setitem__", "__delitem__"},
    set: {"add", "clear", "difference_update", "discard", "intersection_update", "pop", "remove",
          "symmetric_difference_update", "update"},
    np.ndarray: {"fill", "itemset", "partition", "put", "resize", "setflags", "sort"},
    bytearray: {"append", "clear", "extend", "insert", "pop", "remove", "reverse"},
}  # fmt: skip
_LIBRARIES = ("anima.", "functools", "builtins", "_functools")


def function(fun: Any, convert: Callable[[FunctionType], Any]) -> Any:
    """What converted code calls in place of `fun`; `convert` gives a user function's conversion, or the function."""
    called = _replaced(fun, convert)
    if called is fun and state.regions:
        return functools.partial(_noting, fun)
    return called


def _noting(fun: Any, /, *args: Any, **kwargs: Any) -> Any:
    """`fun`, which is not converted, with the containers noted that it is given: it may change them."""
    for value in (*args, *kwargs.values()):
        if isinstance(value, tuple(_CHANGING)) and not isinstance(value, (np.ndarray, bytearray)):
            about_to_change(value, getattr(fun, "__name__", "a call"))
    return fun(*args, **kwargs)


def _replaced(fun: Any, convert: Callable[[FunctionType], Any]) -> Any:
    kind = type(fun)
    if kind is FunctionType:
        converted = convert(fun)
        if converted is not fun or not fun.__module__ or not fun.__module__.startswith("anima."):
            return converted
        return functools.partial(_with_functions, fun, convert)
    if kind is MethodType:
        if isinstance(fun.__func__, FunctionType):
            return MethodType(convert(fun.__func__), fun.__self__)
        return fun
    if kind is functools.partial:
        return functools.partial(function(fun.func, convert), *fun.args, **fun.keywords)
    if kind is BuiltinFunctionType or kind is BuiltinMethodType:
        return _builtin(fun, convert)
    if isinstance(fun, type):
        return _OVERLOADS.get(
            fun, functools.partial(_with_functions, fun, convert) if fun in (map, filter) else fun
        )
    own = type(fun).__dict__.get("__call__")
    if isinstance(own, FunctionType):
        return MethodType(convert(own), fun)
    if (getattr(fun, "__module__", None) or "").startswith("anima."):
        return functools.partial(_with_functions, fun, convert)
    return fun


def _builtin(fun: Any, convert: Any) -> Any:
    owner = fun.__self__
    for kind, changing in _CHANGING.items():
        if isinstance(owner, kind) and fun.__name__ in changing:
            about_to_change(owner, f"{fun.__name__}()")
            return fun
    known = _OVERLOADS.get(fun) if owner is builtins else None
    if known is not None:
        return known
    if (getattr(fun, "__module__", None) or "").startswith(_LIBRARIES):
        return functools.partial(_with_functions, fun, convert)
    return fun


def _with_functions(fun: Any, convert: Any, /, *args: Any, **kwargs: Any) -> Any:
    """`fun` of a library, given the conversions of the functions that it is called with."""

    def of(value: Any) -> Any:
        return (
            function(value, convert)
            if isinstance(value, (FunctionType, MethodType, functools.partial))
            else value
        )

    return fun(*map(of, args), **{name: of(value) for name, value in kwargs.items()})


# Built-in functions of traced values


def _number(kind: type) -> Callable[..., Any]:
    def convert(*args: Any, **kwargs: Any) -> Any:
        if len(args) == 1 and is_traced(args[0]):
            value = args[0]
            if value.size != 1:
                raise TypeError(f"{kind.__name__}(): only arrays of one element can be converted")
            return convert_to(value.reshape(()), kind, kind is not bool)
        return kind(*args, **kwargs)

    return convert


def _better(test: Any, first: Any, second: Any) -> Any:
    return if_else(test, lambda: first, lambda: second)


def _extreme(name: str, better: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    plain = getattr(builtins, name)

    def extreme(*args: Any, **kwargs: Any) -> Any:
        items = list(args if len(args) > 1 else args[0]) if args else []
        key = kwargs.get("key")
        keys = items if key is None else [key(item) for item in items]
        if not any(map(is_traced, keys)):
            return plain(items, **kwargs) if items or len(args) == 1 else plain(*args, **kwargs)
        best, best_key = items[0], keys[0]
        for item, own in zip(items[1:], keys[1:]):
            best, best_key = _better(better(own, best_key), (item, own), (best, best_key))
        return best

    return extreme


def _all(items: Iterable[Any]) -> Any:
    result: Any = True
    for item in items:
        pred = truth(item, "all")
        if pred is False:
            return False
        if pred is not True:
            result = pred if result is True else bitwise_and(result, pred)
    return result


def _any(items: Iterable[Any]) -> Any:
    result: Any = False
    for item in items:
        pred = truth(item, "any")
        if pred is True:
            return True
        if pred is not False:
            result = pred if result is False else bitwise_or(result, pred)
    return result


def _next(*args: Any) -> Any:
    if state.regions:
        raise ConversionError(
            f"{here()}: next() takes an item where whether it happens depends on a traced value",
            advice="Take the items before, or go over them with for.",
        )
    return next(*args)


def _setattr(owner: Any, name: str, value: Any) -> None:
    touch(Attribute(owner, name))
    setattr(owner, name, value)


def _round(number: Any, *digits: Any) -> Any:
    if is_traced(number) and not digits and aval_of(number).dtype.kind == "f":  # type: ignore[attr-defined]
        return convert_to(number.round(), int, True)
    return round(number, *digits)


_OVERLOADS: dict[Any, Any] = {
    range: iterables.range_, enumerate: iterables.enumerate_, zip: iterables.zip_,
    int: _number(int), float: _number(float), bool: _number(bool), complex: _number(complex),
    min: _extreme("min", lambda a, b: a < b), max: _extreme("max", lambda a, b: a > b),
    all: _all, any: _any, next: _next, setattr: _setattr, round: _round,
}  # fmt: skip
