"""The methods and operators of arrays and tracers, from one table.

Invariant: an array's method is the compiled form of a function of this package, a tracer's the plain one. This module
installs them when it is imported and is never called afterwards.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import numpy as np

from anima import dtypes
from anima._native import ArrayImpl
from anima.core.trace import Tracer
from anima.errors import immutable_array
from anima.lax import bitcast_convert_type, convert_element_type
from anima.numpy import (
    arithmetic,
    arranging,
    creation,
    files,
    linear,
    logic,
    ranges,
    reductions,
    rounding,
    scans,
    selection,
    shapes,
    sorting,
    taking,
)
from anima.numpy.at import updates_at
from anima.numpy.calls import accepts, function, operator, plain, refuse_container
from anima.numpy.indexing import getitem, iterate
from anima.runtime import shards
from anima.runtime.arrays import Array
from anima.transforms.placement import device_put

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
    "matmul": ("@", linear.matmul, True),
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
        _set_pair(f"__{name}__", *operator(f"__{name}__", symbol, plain(fun)))
        if reflects:
            _set_pair(f"__r{name}__", *operator(f"__r{name}__", symbol, _reflected(plain(fun))))
    for name, fun in _UNARY.items():
        _set_pair(name, fun, plain(fun))


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
        return f"DeviceArray(<deleted>, shape={x.shape}, dtype={dtypes.dtype_name(x.dtype)})"
    return files.array_repr(x)


def _str(x: Any) -> str:
    """The contents, as NumPy prints them."""
    return str(np.asarray(x)) if isinstance(x.dtype, np.dtype) else _repr(x)


def _format(x: Any, spec: str) -> str:
    """The contents under a format; one that is not empty needs a scalar."""
    if dtypes.is_extended(x.dtype):
        return format(_str(x), spec)
    return format(np.asarray(x)[()] if x.ndim == 0 else np.asarray(x), spec)


def _contains(x: Any, value: Any) -> bool:
    """Whether any element equals `value`."""
    return bool(reductions.any(x == value))


def _reversed(x: Any) -> Iterator[Any]:
    """The elements along the first axis from the last to the first."""
    return iter([*iterate(x)][::-1])


def _setitem(x: Any, index: Any, value: Any) -> NoReturn:
    raise immutable_array(Array)


def _round(x: Any, ndigits: int | None = None) -> Any:
    """Rounded to a number of decimals; to integers if none is given."""
    rounded = rounding.round(x, 0 if ndigits is None else ndigits)
    return _astype(rounded, int) if ndigits is None else rounded


# --- methods that are called otherwise than their functions -----------------------------------


def _shape_argument(args: tuple[Any, ...]) -> Any:
    """The sizes of `x.reshape(2, 3)` or `x.reshape((2, 3))`."""
    return args[0] if len(args) == 1 else args


def _reshape(x: Any, *args: Any, order: str = "C", copy: bool | None = None, out_sharding: Any = None) -> Any:
    """The same elements in another shape, as `anima.numpy.reshape`; the sizes may be separate arguments."""
    return shapes.reshape(x, _shape_argument(args), order, copy=copy, out_sharding=out_sharding)


def _transpose(x: Any, *args: Any) -> Any:
    """The dimensions in another order, as `anima.numpy.transpose`; the axes may be separate arguments."""
    axes = args[0] if len(args) == 1 and not hasattr(args[0], "__index__") else args
    return shapes.transpose(x, axes or None)


def _flatten(x: Any, order: str = "C", *, out_sharding: Any = None) -> Any:
    """The elements in one dimension, as `anima.numpy.ravel`."""
    return shapes.ravel(x, order, out_sharding=out_sharding)


def _astype(x: Any, dtype: Any, copy: bool = False, device: Any = None) -> Any:
    """The elements converted to a dtype, as `anima.numpy.astype`."""
    return shapes.astype(x, dtype, copy=copy, device=device)


def _copy(x: Any) -> Any:
    """A copy in memory of its own."""
    return creation.array(x, copy=True)


def _compress(x: Any, condition: Any, axis: int | None = None, **options: Any) -> Any:
    """The parts along an axis where a condition holds, as `anima.numpy.compress`."""
    return selection.compress(condition, x, axis, **options)


def _view(x: Any, dtype: Any = None, type: None = None) -> Any:
    """The bits of the elements read as another dtype; the last axis shrinks or grows with its width."""
    if type is not None:
        raise ValueError("view: type is not supported")
    if dtype is None:
        return x
    wanted = dtypes.check_user_dtype_supported(dtype, "view")
    if wanted == x.dtype:
        return x
    if dtypes.is_extended(wanted) or dtypes.is_extended(x.dtype):
        raise TypeError(
            f"view: arrays of {x.dtype} cannot be viewed as {wanted}: see random.key_data and random.wrap_key_data"
        )
    if dtypes.is_complex(wanted) or dtypes.is_complex(x.dtype):
        raise TypeError(
            f"view: arrays of {x.dtype} cannot be viewed as {wanted}: use .real and .imag, or add the real part and 1j "
            "times the imaginary part"
        )
    return _viewed(x, wanted)


@function(static=("dtype",), name="view")
def _viewed(x: Any, dtype: Any) -> Any:
    old, new = dtypes.itemsize_bits(x.dtype), dtypes.itemsize_bits(dtype)
    if x.ndim == 0 and old != new:
        raise ValueError("view: the last axis changes its size, and a scalar has none")
    if old < new and x.shape[-1] * old % new:
        raise ValueError(
            f"view: the last axis, of {x.shape[-1]} elements of {old} bits, does not hold elements of {new} bits"
        )
    x = convert_element_type(x, np.uint8) if dtypes.is_bool(x.dtype) else x  # bitcasts know no booleans
    if old < new:
        x = shapes.reshape(x, (*x.shape[:-1], x.shape[-1] * old // new, new // old))
    words = bitcast_convert_type(x, np.uint8 if dtypes.is_bool(dtype) else dtype)
    if old > new:
        words = shapes.reshape(words, (*words.shape[:-2], -1))
    return words != 0 if dtypes.is_bool(dtype) else words


def _to_device(x: Any, device: Any, *, stream: Any = None) -> Any:
    """The array on another device or with another sharding, as `anima.device_put`."""
    if stream is not None:
        raise ValueError("to_device: stream must be None: transfers need no stream")
    return device_put(x, device)


def _namespace(x: Any, *, api_version: str | None = None) -> Any:
    """The module of functions for these arrays, `anima.numpy`."""
    if api_version not in (None, "2021.12", "2022.12", "2023.12", "2024.12"):
        raise ValueError(f"__array_namespace__: version {api_version!r} of the array API is not known")
    return sys.modules["anima.numpy"]


def _tobytes(x: Any, order: str = "C") -> bytes:
    """The bytes of the elements."""
    return np.asarray(x).tobytes(order)  # type: ignore[arg-type]


# Functions that are methods as they stand.
_SAME = {
    arithmetic: ("conj", "conjugate"),
    reductions: ("all", "any", "argmax", "argmin", "max", "mean", "min", "prod", "ptp", "std", "sum", "var"),
    linear: ("dot",),
    ranges: ("diagonal", "trace"),
    scans: ("cumprod", "cumsum"),
    rounding: ("round",),
    selection: ("choose", "clip", "nonzero"),
    shapes: ("ravel", "squeeze", "swapaxes"),
    sorting: ("argpartition", "argsort", "searchsorted", "sort"),
    taking: ("take",),
}

_SPECIAL: dict[str, Any] = {
    "__contains__": _contains,
    "__getitem__": getitem,
    "__iter__": iterate,
    "__pow__": _power,
    "__reversed__": _reversed,
    "__round__": _round,
    "__rpow__": _reflected_power,
    "__setitem__": _setitem,
    "__array_namespace__": _namespace,
    "astype": _astype,
    "compress": _compress,
    "copy": _copy,
    "flatten": _flatten,
    "repeat": arranging.repeat,
    "reshape": _reshape,
    "to_device": _to_device,
    "transpose": _transpose,
    "view": _view,
}

_ON_HOST = {"__format__": _format, "__repr__": _repr, "__str__": _str, "tobytes": _tobytes}

# Of arrays alone: a tracer stands for values that are nowhere yet.
_OF_SHARDS = {
    "addressable_data": shards.addressable_data,
    "addressable_shards": property(shards.addressable_shards, doc=shards.addressable_shards.__doc__),
    "format": property(shards.format_of, doc=shards.format_of.__doc__),
    "global_shards": property(shards.global_shards, doc=shards.global_shards.__doc__),
    "is_fully_replicated": property(shards.is_fully_replicated, doc=shards.is_fully_replicated.__doc__),
}

_PROPERTIES: dict[str, Any] = {
    "T": shapes.transpose,
    "mT": shapes.matrix_transpose,
    "imag": arithmetic.imag,
    "real": arithmetic.real,
}


def install_methods() -> None:
    """Give arrays and tracers the methods of this table."""
    _install_operators()
    for module, names in _SAME.items():
        for name in names:
            fun = getattr(module, name)
            _set_pair(name, fun, getattr(fun, "fun", fun))  # a few are not compiled as a whole
    for name, fun in _SPECIAL.items():
        _set_pair(name, fun, fun)
    for name, fun in (*_ON_HOST.items(), *_OF_SHARDS.items()):
        setattr(ArrayImpl, name, fun)
    for name, fun in _PROPERTIES.items():
        _set_pair(name, property(fun, doc=fun.__doc__), property(plain(fun), doc=fun.__doc__))
    _set_pair("at", property(updates_at), property(updates_at))
    setattr(ArrayImpl, "__array_priority__", 100)  # noqa: B010 - NumPy's operators leave the work to ours
