"""From what a user asks for to the dtype that the mode gives, and questions about where a dtype stands.

Invariant: in 32-bit mode no function here returns a 64-bit dtype (or complex128) that it was not given as an
operand's own.
"""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any, Final

import ml_dtypes
import numpy as np

from anima.config import enable_x64
from anima.dtypes.declared import (
    BITS,
    BY_NAME,
    DECLARED,
    KIND,
    DType,
    ExtendedDType,
    as_dtype,
    bool_,
    complex64,
    complex128,
    float0,
    float32,
    float64,
    int32,
    int64,
    is_complex,
    is_inexact,
    uint32,
    uint64,
)
from anima.errors import ArgumentError

TO_32_BIT: Final[dict[object, np.dtype[Any]]] = {
    int64: int32,
    uint64: uint32,
    float64: float32,
    complex128: complex64,
}
# bool is not weak: it has one width only.
PYTHON_SCALARS: Final[dict[object, np.dtype[Any]]] = {
    bool: bool_,
    int: int64,
    float: float64,
    complex: complex128,
}


def canonical(dtype: DType) -> DType:
    """``dtype``, or in 32-bit mode its 32-bit relative: ``canonicalize_dtype`` for what already is a dtype."""
    narrow = TO_32_BIT.get(dtype)
    return dtype if narrow is None or enable_x64.value else narrow


def canonicalize_dtype(dtype: Any, allow_extended_dtype: bool = False) -> Any:
    """The dtype that an array asked for with ``dtype`` has: a 64-bit one narrows unless 64-bit mode is on.

    Args:
      dtype: a dtype, its name or a scalar type, Python's among them.
      allow_extended_dtype: let dtypes such as those of random keys pass rather than raise.

    Returns:
      a ``numpy.dtype``.

    Raises:
      ValueError: ``dtype`` is an extended one, and those are not allowed.

    >>> import anima
    >>> anima.dtypes.canonicalize_dtype("float64")
    dtype('float32')
    """
    result = canonical(as_dtype(dtype))
    if isinstance(result, ExtendedDType) and not allow_extended_dtype:
        raise ValueError(f"canonicalize_dtype: the extended dtype {result} has no NumPy relative here")
    return result


def default_int_dtype() -> DType:
    """The dtype of a Python int: int64 in 64-bit mode, else int32."""
    return canonical(int64)


def default_uint_dtype() -> DType:
    """The widest unsigned dtype of the mode: uint64 in 64-bit mode, else uint32."""
    return canonical(uint64)


def default_float_dtype() -> DType:
    """The dtype of a Python float: float64 in 64-bit mode, else float32."""
    return canonical(float64)


def default_complex_dtype() -> DType:
    """The dtype of a Python complex: complex128 in 64-bit mode, else complex64."""
    return canonical(complex128)


def to_inexact_dtype(dtype: DType) -> DType:
    """The dtype in which functions such as ``sin`` work on ``dtype``: itself if inexact, else a real one."""
    if is_inexact(dtype):
        return dtype
    return canonical(float64 if BITS.get(dtype) == 64 else float32)


def to_complex_dtype(dtype: DType) -> DType:
    """The complex dtype whose parts hold ``dtype``."""
    if is_complex(dtype):
        return dtype
    return canonical(complex128 if BITS.get(dtype) == 64 else complex64)


def to_real_dtype(dtype: DType) -> DType:
    """The dtype of the real part of ``dtype``: itself unless it is complex."""
    if not is_complex(dtype):
        return dtype
    return float32 if dtype == complex64 else float64


# Abstract scalar types; NumPy takes some of them for one of their members.
_CLASSES_OF_DTYPES: Final = (
    np.generic,
    np.number,
    np.inexact,
    np.floating,
    np.complexfloating,
    np.integer,
    np.signedinteger,
    np.unsignedinteger,
)
_PACKAGE: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


def user_stack_level() -> int:
    """The ``stacklevel`` with which a warning of the calling function points at the user's line."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        level, frame = level + 1, frame.f_back
    return level


def check_user_dtype_supported(dtype: Any, fun_name: str | None = None) -> DType:
    """The dtype that the ``dtype=`` argument of a public function stands for.

    In 32-bit mode a 64-bit request is narrowed with a warning; Python's own ``float``, ``int`` and ``complex``
    say no width and are narrowed without one.

    Args:
      dtype: what the user wrote: a dtype, its name or a scalar type.
      fun_name: the public function's name, for messages.

    Raises:
      TypeError: it is not a dtype, or not one that an array can have. ArgumentError: it is an array.
    """
    if isinstance(dtype, type) and dtype in PYTHON_SCALARS:
        return canonical(PYTHON_SCALARS[dtype])
    where = f" in {fun_name}" if fun_name else ""
    if hasattr(dtype, "aval"):
        raise ArgumentError(f"dtype requested{where} is an array: write dtype=x.dtype in place of dtype=x")
    if isinstance(dtype, type) and dtype in _CLASSES_OF_DTYPES:
        raise TypeError(f"{dtype} requested{where} is a class of dtypes. Name one, such as float32.")
    try:
        requested = as_dtype(dtype)
    except TypeError as error:
        raise TypeError(
            f"dtype {dtype!r} requested{where} is not a dtype: {error}. "
            "Write a dtype or its name, such as float32 or 'float32'; if it was meant as part of a shape, "
            "give the shape as one tuple."
        ) from None
    if requested not in KIND and requested != float0 and not isinstance(requested, ExtendedDType):
        raise TypeError(
            f"dtype {dtype!r} requested{where} is not supported: arrays hold numbers and booleans only, in the "
            "machine's byte order. Keep other values in a NumPy array or a Python list, or encode them as "
            "integers."
        )
    result = canonical(requested)
    if result is not requested:
        warnings.warn(
            f"Explicitly requested dtype {requested}{where} is not available, and will be truncated to dtype "
            f'{result}. To enable more dtypes, write config.update("jax_enable_x64", True), set the environment '
            "variable JAX_ENABLE_X64=True, or use a block: with enable_x64().",
            UserWarning,
            stacklevel=user_stack_level(),
        )
    return result


def _scalar_class(spec: Any) -> type[Any]:
    if isinstance(spec, type) and issubclass(spec, np.generic):
        return spec
    return as_dtype(spec).type


# The scalar types of ml_dtypes derive from numpy.generic alone: their place among NumPy's abstract types.
_ABSTRACT_PARENT: Final = {"i": np.signedinteger, "u": np.unsignedinteger, "f": np.floating}
_PARENT_OF: Final[dict[type[Any], type[Any]]] = {
    dtype.type: _ABSTRACT_PARENT[kind]
    for dtype, kind in ((BY_NAME[d[0]], d[3]) for d in DECLARED if d[0] in BY_NAME)
    if kind in _ABSTRACT_PARENT and hasattr(ml_dtypes, dtype.name)
}


def issubdtype(arg1: Any, arg2: Any) -> bool:
    """Whether dtype ``arg1`` is ``arg2`` or lies below it in NumPy's hierarchy, extended for our dtypes.

    Args:
      arg1: a dtype, its name or a scalar type.
      arg2: the same, or an abstract scalar type such as ``numpy.floating`` or ``prng_key``.

    Raises:
      TypeError: one of them names no dtype.

    >>> import anima
    >>> import anima.numpy as jnp
    >>> anima.dtypes.issubdtype(jnp.bfloat16, jnp.floating), anima.dtypes.issubdtype("int4", "int8")
    (True, False)
    """
    if isinstance(arg1, ExtendedDType) and isinstance(arg2, ExtendedDType):
        return arg1 == arg2
    if isinstance(arg2, ExtendedDType):
        return False
    below, above = _scalar_class(arg1), _scalar_class(arg2)
    return issubclass(below, above) or issubclass(_PARENT_OF.get(below, below), above)


_KIND_NAMES: Final[dict[str, str]] = {
    "bool": "b",
    "signed integer": "i",
    "unsigned integer": "u",
    "integral": "iu",
    "real floating": "f",
    "complex floating": "c",
    "numeric": "iufc",
}


def isdtype(dtype: Any, kind: Any) -> bool:
    """Whether ``dtype`` is of a kind, as in the array API standard.

    Args:
      dtype: a dtype, its name or a scalar type.
      kind: ``"bool"``, ``"signed integer"``, ``"unsigned integer"``, ``"integral"``, ``"real floating"``,
        ``"complex floating"`` or ``"numeric"``; or a dtype; or a tuple of these, any of which suffices.

    Raises:
      ValueError: a kind is a string of neither sort.
      TypeError: a kind is a class of dtypes, or nothing that names one.

    >>> import anima.numpy as np
    >>> np.isdtype("bfloat16", "real floating"), np.isdtype("int8", ("bool", "unsigned integer"))
    (True, False)
    """
    if isinstance(kind, tuple):
        return any(isdtype(dtype, one) for one in kind)
    the_dtype = as_dtype(dtype)
    if isinstance(kind, str) and kind in _KIND_NAMES:
        return (KIND.get(the_dtype) or " ") in _KIND_NAMES[kind]
    if isinstance(kind, type) and kind in _CLASSES_OF_DTYPES:
        raise TypeError(f"isdtype: kind {kind} is a class of dtypes; write its name, such as 'integral'")
    try:
        return the_dtype == as_dtype(kind)
    except TypeError:
        if not isinstance(kind, str):
            raise
        raise ValueError(
            f"isdtype: kind {kind!r} is neither a dtype nor one of {', '.join(map(repr, _KIND_NAMES))}"
        ) from None
