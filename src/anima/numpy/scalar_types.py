"""Scalar types: `float32` and the like name a dtype, and make an array of it when called.

Invariant: each is a class whose `dtype` attribute is the NumPy dtype that it names, so NumPy and everything here takes it
where a dtype is wanted; none is ever instantiated.
"""

from __future__ import annotations

import builtins
from typing import Any

import ml_dtypes
import numpy as np

from anima import dtypes
from anima.dtypes.declared import BY_NAME
from anima.numpy.creation import asarray
from anima.runtime.arrays import Array


class ScalarMeta(type):
    """The type of scalar types: compares them by dtype, and makes calling one a conversion."""

    dtype: np.dtype[Any]

    def __hash__(cls) -> int:
        return hash(cls.dtype.type)

    def __eq__(cls, other: object) -> builtins.bool:
        if cls is other:
            return True
        if isinstance(other, ScalarMeta):
            return cls.dtype == other.dtype
        return isinstance(other, (type, np.dtype)) and other in (cls.dtype, cls.dtype.type)

    def __ne__(cls, other: object) -> builtins.bool:
        return not cls == other

    def __call__(cls, x: Any = 0) -> Any:
        """`x` as an array of this dtype."""
        return asarray(x, dtype=cls.dtype)

    def __instancecheck__(cls, instance: object) -> builtins.bool:
        return isinstance(instance, (Array, cls.dtype.type)) and getattr(instance, "dtype", None) == cls.dtype

    def __repr__(cls) -> str:
        return f"<class 'anima.numpy.{cls.__name__}'>"


def _scalar_type(name: str, dtype: np.dtype[Any]) -> ScalarMeta:
    doc = f"The dtype {name}; called, it makes an array of that dtype of its argument."
    return ScalarMeta(
        name, (), {"dtype": dtype, "__doc__": doc, "__module__": "anima.numpy", "__slots__": ()}
    )


SCALAR_TYPES = {name: _scalar_type(name, dtype) for name, dtype in BY_NAME.items()}

# XLA has no arrays of these on any platform; they name the dtypes of NumPy arrays, and of `finfo` and `iinfo`.
_HOST_ONLY = ("int1", "uint1", "float6_e2m3fn", "float6_e3m2fn")
int1, uint1, float6_e2m3fn, float6_e3m2fn = [
    _scalar_type(name, np.dtype(getattr(ml_dtypes, name))) for name in _HOST_ONLY
]

bool_ = bool = SCALAR_TYPES["bool"]
int2, int4 = SCALAR_TYPES["int2"], SCALAR_TYPES["int4"]
int8, int16 = SCALAR_TYPES["int8"], SCALAR_TYPES["int16"]
int32, int64 = SCALAR_TYPES["int32"], SCALAR_TYPES["int64"]
uint2, uint4 = SCALAR_TYPES["uint2"], SCALAR_TYPES["uint4"]
uint8, uint16 = SCALAR_TYPES["uint8"], SCALAR_TYPES["uint16"]
uint32, uint64 = SCALAR_TYPES["uint32"], SCALAR_TYPES["uint64"]
float4_e2m1fn, float8_e3m4 = SCALAR_TYPES["float4_e2m1fn"], SCALAR_TYPES["float8_e3m4"]
float8_e4m3, float8_e4m3b11fnuz = SCALAR_TYPES["float8_e4m3"], SCALAR_TYPES["float8_e4m3b11fnuz"]
float8_e4m3fn, float8_e4m3fnuz = SCALAR_TYPES["float8_e4m3fn"], SCALAR_TYPES["float8_e4m3fnuz"]
float8_e5m2, float8_e5m2fnuz = SCALAR_TYPES["float8_e5m2"], SCALAR_TYPES["float8_e5m2fnuz"]
float8_e8m0fnu = SCALAR_TYPES["float8_e8m0fnu"]
float16, bfloat16 = SCALAR_TYPES["float16"], SCALAR_TYPES["bfloat16"]
float32, float64 = SCALAR_TYPES["float32"], SCALAR_TYPES["float64"]
complex64, complex128 = SCALAR_TYPES["complex64"], SCALAR_TYPES["complex128"]

single = float32
csingle = complex64
# As in NumPy these name the widest kind, which the mode may narrow.
double = float_ = float64
cdouble = complex_ = complex128
int_ = int64
uint = uint64

# Classes of dtypes, for `issubdtype`.
generic = np.generic
number = np.number
inexact = np.inexact
floating = np.floating
complexfloating = np.complexfloating
integer = np.integer
signedinteger = np.signedinteger
unsignedinteger = np.unsignedinteger
character = np.character
flexible = np.flexible
object_ = np.object_

dtype = np.dtype
ndarray = Array
ComplexWarning = np.exceptions.ComplexWarning


def finfo(dtype: Any) -> Any:
    """The limits of a floating-point dtype: `eps`, `max`, `min`, `tiny`, `bits`, `nmant`, ...

    >>> import anima.numpy as np
    >>> print(np.finfo(np.bfloat16).max)
    3.38953e+38
    """
    return dtypes.finfo(dtypes.as_dtype(dtype))


def iinfo(int_type: Any) -> Any:
    """The limits of an integer dtype: `min`, `max`, `bits`.

    >>> import anima.numpy as np
    >>> np.iinfo(np.int8).max
    127
    """
    return dtypes.iinfo(dtypes.as_dtype(int_type))


def result_type(*args: Any) -> Any:
    """The dtype of the result of an operation on arrays, scalars, or what names a dtype.

    Raises:
      ValueError: there are no arguments. TypePromotionError: they have no common dtype under the rules in force.

    >>> import anima.numpy as np
    >>> np.result_type("int8", 3), np.result_type("int8", np.float16)
    (dtype('int8'), dtype('float16'))
    """
    return dtypes.result_type(*args)


def can_cast(from_: Any, to: Any, casting: str = "safe") -> builtins.bool:
    """Whether values of dtype `from_` convert to `to` under NumPy's rule `casting`.

    >>> import anima.numpy as np
    >>> np.can_cast("int32", "float32"), np.can_cast("int8", "int32")
    (False, True)
    """
    source, target = dtypes.as_dtype(from_), dtypes.as_dtype(to)
    return builtins.bool(np.can_cast(source, target, casting=casting))  # type: ignore[arg-type]


def iscomplexobj(x: Any) -> builtins.bool:
    """Whether the elements of `x` are of a complex dtype.

    >>> import anima.numpy as np
    >>> np.iscomplexobj(1j), np.iscomplexobj(np.zeros(2))
    (True, False)
    """
    if x is None:
        return False
    try:
        found = x.dtype
    except AttributeError:
        return builtins.bool(np.iscomplexobj(x))
    return dtypes.is_complex(found)


def isrealobj(x: Any) -> builtins.bool:
    """Whether the elements of `x` are of another dtype than a complex one.

    >>> import anima.numpy as np
    >>> np.isrealobj(1j), np.isrealobj(np.zeros(2))
    (False, True)
    """
    return not iscomplexobj(x)
