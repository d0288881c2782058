"""How functions of arrays are called: one compiled program when eager, plain Python when traced.

Invariant: a function here depends on its arguments alone. Its plain form is `__wrapped__`; methods of tracers are that
form, methods of arrays the compiled one, so neither pays for the other.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, overload

import numpy as np

from anima._native import ArrayImpl, CompiledCall, Recalled, tree_flatten
from anima.core.trace import Tracer, is_value
from anima.transforms.eager import compiled
from anima.transforms.jit import jit_miss

F = TypeVar("F", bound=Callable[..., Any])

_SCALARS = (bool, int, float, complex)


def miss(call: CompiledCall, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
    """Checks that operands are operands, with the words of a NumPy function, before anything is traced."""
    spec = call.spec
    settings = [args[i] for i in spec.static_argnums if i < len(args)]
    settings += [kwargs[name] for name in spec.static_argnames if name in kwargs]
    if any([isinstance(value, _UNHASHABLE) or type(value) is tuple for value in settings]):
        fixed = [_setting(a) if i in spec.static_argnums else a for i, a in enumerate(args)]
        named = {name: _setting(a) if name in spec.static_argnames else a for name, a in kwargs.items()}
        if any([new is not old for new, old in zip([*fixed, *named.values()], [*args, *kwargs.values()])]):
            return call(*fixed, **named), None
    for index, arg in enumerate(args):
        if index not in spec.static_argnums:
            _check_leaves(call.name, arg, f"position {index}")
    for name, arg in kwargs.items():
        if name not in spec.static_argnames:
            _check_leaves(call.name, arg, f"argument {name}")
    return jit_miss(call, args, kwargs)


_UNHASHABLE = (list, np.ndarray, ArrayImpl)


def _setting(value: Any) -> Any:
    """A setting in a form that can be compared with earlier ones: tuples for lists, numbers for arrays."""
    if isinstance(value, (np.ndarray, ArrayImpl)):
        return _setting(value.tolist())
    if isinstance(value, list):
        return tuple([_setting(v) for v in value])
    if type(value) is tuple:
        new = tuple([_setting(v) for v in value])
        return value if all([a is b for a, b in zip(new, value)]) else new
    return value


def _check_leaves(name: str, arg: Any, where: str) -> None:
    for leaf in tree_flatten(arg)[0]:
        if not is_value(leaf) and not hasattr(leaf, "__jax_array__"):
            raise TypeError(
                f"{name} requires ndarray or scalar arguments, got {type(leaf).__name__} at {where}"
            )


@overload
def function(fun: F) -> F: ...
@overload
def function(
    *, static: tuple[str, ...] = (), name: str = "", miss: Callable[..., tuple[Any, Any]] = miss
) -> Callable[[F], F]: ...
def function(fun: Any = None, *, static: tuple[str, ...] = (), name: str = "", miss: Any = miss) -> Any:
    """Decorator for a public function, or for the part of one that computes.

    Args:
      static: names of its arguments that are settings rather than operands.
      name: the public function that it is a part of, for messages.
      miss: what to do on a new signature.
    """
    if fun is None:
        return lambda fun: function(fun, static=static, name=name, miss=miss)  # type: ignore[call-overload]
    if name:
        fun.__name__ = name
    return compiled(fun, static=static, miss=miss)


def recalled(*, like: bool = False, values: bool = False) -> Callable[[F], F]:
    """Decorator for a public function that makes arrays: small ones of the same plain arguments are made natively.

    Args:
      like: of an array that comes first, the function asks for the shape and dtype only.
      values: the function makes an array of what comes first; nothing is remembered.
    """

    def decorate(fun: F) -> F:
        native: Any = functools.update_wrapper(Recalled(fun, like=like, values=values), fun)
        return native

    return decorate


def plain(function: Any) -> Any:
    """The function itself, not compiled: what tracers call, and functions that are parts of others."""
    return function.fun


# Python tries the other operand's method where an operator answers NotImplemented; for containers that would end in
# "can only concatenate list", so these are refused here.
_REFUSED = (list, tuple, set, dict)


def accepts(other: Any) -> bool:
    """Whether an operator takes `other` as its second operand."""
    kind = type(other)
    return (
        kind is ArrayImpl
        or isinstance(other, (Tracer, *_SCALARS))
        or is_value(other)
        or hasattr(other, "__jax_array__")
    )


def refuse_container(symbol: str, x: Any, other: Any) -> None:
    """Raise TypeError if `other` is a Python container."""
    if type(other) in _REFUSED:
        raise TypeError(
            f"unsupported operand type(s) for {symbol}: '{type(x).__name__}' and '{type(other).__name__}'; "
            "convert it with numpy.asarray"
        )


def operator(
    name: str, symbol: str, fun: Callable[[Any, Any], Any]
) -> tuple[CompiledCall, Callable[..., Any]]:
    """The method of an operator for arrays and for tracers, from a plain function of both operands."""

    def method(x: Any, other: Any) -> Any:
        if not accepts(other):
            refuse_container(symbol, x, other)
            return NotImplemented
        return fun(x, other)

    def miss(call: CompiledCall, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
        if len(args) == 2 and not accepts(args[1]):
            refuse_container(symbol, *args)
            return NotImplemented, None
        return jit_miss(call, args, kwargs)

    method.__name__ = name
    method.__qualname__ = f"Array.{name}"
    method.__doc__ = f"Elementwise `{symbol}`, as `anima.numpy.{fun.__name__}` computes it."
    return compiled(method, miss=miss), method
