"""The methods and operators of arrays and tracers, from one table.

Invariant: an array's method is the compiled form of a function of this package, a tracer's the plain one. This module
installs them when it is imported and is never called afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import numpy as np

from anima._native import ArrayImpl
from anima.core.trace import Tracer
from anima.errors import ImmutableArrayError
from anima.numpy import arithmetic, logic, reductions
from anima.numpy.calls import accepts, function, operator, refuse_container
from anima.numpy.indexing import getitem, iterate
from anima.runtime.arrays import Array

# --- operators --------------------------------------------------------------------------------


def _reflected(fun: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def swapped(x: Any, other: Any) -> Any:
        return fun(other, x)

    swapped.__name__ = fun.__name__
    return swapped


# Method: (symbol, function, whether Python also asks the right operand).
_BINARY: dict[str, tuple[str, Any, bool]] = {
    "add": ("+", arithmetic.add, True),
    "sub": ("-", arithmetic.subtract, True),
    "mul": ("*", arithmetic.multiply, True),
    "truediv": ("/", arithmetic.true_divide, True),
    "floordiv": ("//", arithmetic.floor_divide, True),
    "mod": ("%", arithmetic.remainder, True),
    "divmod": ("divmod()", arithmetic.divmod, True),
    "and": ("&", logic.bitwise_and, True),
    "or": ("|", logic.bitwise_or, True),
    "xor": ("^", logic.bitwise_xor, True),
    "lshift": ("<<", logic.left_shift, True),
    "rshift": (">>", logic.right_shift, True),
    "eq": ("==", logic.equal, False),
    "ne": ("!=", logic.not_equal, False),
    "lt": ("<", logic.less, False),
    "le": ("<=", logic.less_equal, False),
    "gt": (">", logic.greater, False),
    "ge": (">=", logic.greater_equal, False),
}

_UNARY = {
    "__neg__": arithmetic.negative,
    "__pos__": arithmetic.positive,
    "__abs__": arithmetic.abs,
    "__invert__": logic.invert,
}


def _install_operators() -> None:
    for name, (symbol, fun, reflects) in _BINARY.items():
        _set_pair(f"__{name}__", *operator(f"__{name}__", symbol, fun.fun))
        if reflects:
            _set_pair(f"__r{name}__", *operator(f"__r{name}__", symbol, _reflected(fun.fun)))
    for name, fun in _UNARY.items():
        _set_pair(name, fun, fun.fun)


def _set_pair(name: str, compiled: Any, plain: Any) -> None:
    setattr(ArrayImpl, name, compiled)
    setattr(Tracer, name, plain)


def _power(x: Any, other: Any, modulus: None = None) -> Any:
    """`x**other`, as `anima.numpy.power` computes it."""
    if modulus is not None:
        raise TypeError("pow() of arrays takes no third argument; write pow(x, y) % z")
    if not accepts(other):
        refuse_container("**", x, other)
        return NotImplemented
    return arithmetic.power(x, other)


def _reflected_power(x: Any, other: Any, modulus: None = None) -> Any:
    """`other**x`, as `anima.numpy.power` computes it."""
    if not accepts(other):
        refuse_container("**", other, x)
        return NotImplemented
    return arithmetic.power(other, x)


# --- text and protocols -----------------------------------------------------------------------


def _repr(x: Any) -> str:
    """The contents and the dtype, as `DeviceArray([0., 1.], dtype=float32)`."""
    if x.is_deleted():
        return f"DeviceArray(<deleted>, shape={x.shape}, dtype={x.dtype})"
    prefix = "DeviceArray("
    suffix = f"dtype={x.dtype.name})"
    if not isinstance(x.dtype, np.dtype):
        return f"{prefix}{x.shape}, {suffix}"
    width = np.get_printoptions()["linewidth"]
    if x.size == 0 and x.shape != (0,):
        body = f"[], shape={x.shape}"
    else:
        host = np.asarray(x)
        body = np.array2string(host, prefix=prefix, suffix=",", separator=", ", max_line_width=width)
    last = len(body) - body.rfind("\n") + 1 + (len(prefix) if "\n" not in body else 0)
    gap = "\n" + " " * len(prefix) if last + len(suffix) + 1 > width else " "
    return f"{prefix}{body},{gap}{suffix}"


def _str(x: Any) -> str:
    """The contents, as NumPy prints them."""
    return str(np.asarray(x))


def _format(x: Any, spec: str) -> str:
    """The contents under a format; one that is not empty needs a scalar."""
    return format(np.asarray(x)[()] if x.ndim == 0 else np.asarray(x), spec)


def _contains(x: Any, value: Any) -> bool:
    """Whether any element equals `value`."""
    return bool(reductions.any(x == value))


def _reversed(x: Any) -> Iterator[Any]:
    """The elements along the first axis from the last to the first."""
    return iter([*iterate(x)][::-1])


def _setitem(x: Any, index: Any, value: Any) -> NoReturn:
    raise ImmutableArrayError(type(x))


def _round(x: Any, ndigits: int | None = None) -> Any:
    """Rounded to a number of decimals; to integers if none is given."""
    from_zero = rounding.round(x, 0 if ndigits is None else ndigits)
    return from_zero.astype(int) if ndigits is None else from_zero


def _install() -> None:
    _install_operators()
    for name, fun in (("__pow__", _power), ("__rpow__", _reflected_power), ("__getitem__", getitem), ("__iter__", iterate),
                      ("__contains__", _contains), ("__reversed__", _reversed), ("__setitem__", _setitem)):
        _set_pair(name, fun, fun)
    for name in ("sum","prod","max","min","mean","var","std","all","any","argmax","argmin","ptp"):
        f=getattr(reductions,name)
        _set_pair(name, f, f.fun)
    for name, fun in (("__repr__", _repr), ("__str__", _str), ("__format__", _format)):
        setattr(ArrayImpl, name, fun)


_install()
