"""The dtypes that there are, what is known of each, and how a user may name one.

Invariant: a dtype is a ``numpy.dtype`` or an ``ExtendedDType``; each one that an array of numbers may have is
declared once, in ``DECLARED``, with its runtime code, the name that jaxprs print, its kind and its bits.
"""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias

import ml_dtypes
import numpy as np

from anima import _native

finfo = ml_dtypes.finfo
iinfo = ml_dtypes.iinfo
bfloat16 = ml_dtypes.bfloat16

#: The tangent dtype of integers and booleans: it has no bits, for there is nothing to know of such a tangent.
float0: Final[np.dtype[Any]] = np.dtype([("float0", np.void, 0)])


class extended(np.generic):
    """The scalar type above all dtypes that are not NumPy's: for ``issubdtype``, never instantiated.

    >>> import anima
    >>> anima.dtypes.issubdtype(anima.dtypes.prng_key, anima.dtypes.extended)
    True
    """


class prng_key(extended):
    """The scalar type of typed random keys: for ``issubdtype``, never instantiated.

    >>> import anima
    >>> anima.dtypes.issubdtype("uint32", anima.dtypes.prng_key)
    False
    """


class ExtendedDType:
    """A dtype whose elements are small arrays of a NumPy dtype, such as the two words of a random key.

    Args:
      name: how it prints, such as ``"key<fry>"``.
      type: its scalar type, a subclass of ``extended``.
      physical_shape: the shape of what one element is stored as.
      physical_dtype: the dtype of what one element is stored as.

    Equal names and parts make equal dtypes. An array of shape ``s`` and this dtype is stored as one of shape
    ``s + physical_shape`` and dtype ``physical_dtype``.
    """

    __slots__ = ("_hash", "name", "physical_dtype", "physical_shape", "type")

    def __init__(
        self,
        name: str,
        type: type[extended],
        physical_shape: tuple[int, ...],
        physical_dtype: np.dtype[Any],
    ) -> None:
        self.name = name
        self.type = type
        self.physical_shape = physical_shape
        self.physical_dtype = physical_dtype
        self._hash = hash((name, type, physical_shape, physical_dtype))

    @property
    def physical_element(self) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Shape and dtype of what one element is stored as."""
        return self.physical_shape, self.physical_dtype

    @property
    def itemsize(self) -> int:
        """The bytes that one element takes."""
        return int(np.prod(self.physical_shape, dtype=np.int64)) * self.physical_dtype.itemsize

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, ExtendedDType)
            and self._hash == other._hash
            and (self.name, self.type, self.physical_shape, self.physical_dtype)
            == (other.name, other.type, other.physical_shape, other.physical_dtype)
        )

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[Any, ...]:  # hashes differ from process to process, so none is pickled
        return ExtendedDType, (self.name, self.type, self.physical_shape, self.physical_dtype)


DType: TypeAlias = np.dtype[Any] | ExtendedDType
Kind: TypeAlias = Literal["b", "i", "u", "f", "c"]

# Each dtype of an array: its name in NumPy or ml_dtypes, its PJRT_Buffer_Type, the name jaxprs print, its kind and
# its bits. A dtype that the installed ml_dtypes lacks is left out.
DECLARED: Final[tuple[tuple[str, int, str, Kind, int], ...]] = (
    ("bool", 1, "bool", "b", 8),
    ("int2", 24, "i2", "i", 2),
    ("int4", 21, "i4", "i", 4),
    ("int8", 2, "i8", "i", 8),
    ("int16", 3, "i16", "i", 16),
    ("int32", 4, "i32", "i", 32),
    ("int64", 5, "i64", "i", 64),
    ("uint2", 25, "u2", "u", 2),
    ("uint4", 22, "u4", "u", 4),
    ("uint8", 6, "u8", "u", 8),
    ("uint16", 7, "u16", "u", 16),
    ("uint32", 8, "u32", "u", 32),
    ("uint64", 9, "u64", "u", 64),
    ("float4_e2m1fn", 29, "f4_e2m1fn", "f", 4),
    ("float8_e3m4", 27, "f8_e3m4", "f", 8),
    ("float8_e4m3", 26, "f8_e4m3", "f", 8),
    ("float8_e4m3b11fnuz", 18, "f8_e4m3b11fnuz", "f", 8),
    ("float8_e4m3fn", 17, "f8_e4m3fn", "f", 8),
    ("float8_e4m3fnuz", 20, "f8_e4m3fnuz", "f", 8),
    ("float8_e5m2", 16, "f8_e5m2", "f", 8),
    ("float8_e5m2fnuz", 19, "f8_e5m2fnuz", "f", 8),
    ("float8_e8m0fnu", 28, "f8_e8m0fnu", "f", 8),
    ("float16", 10, "f16", "f", 16),
    ("bfloat16", 13, "bf16", "f", 16),
    ("float32", 11, "f32", "f", 32),
    ("float64", 12, "f64", "f", 64),
    ("complex64", 14, "c64", "c", 64),
    ("complex128", 15, "c128", "c", 128),
)

KIND: dict[object, Kind] = {}
_SHORT_NAME: dict[object, str] = {float0: "float0"}
BITS: dict[object, int] = {}
BY_NAME: dict[str, np.dtype[Any]] = {}


def _declare() -> None:
    for name, code, short, kind, bits in DECLARED:
        scalar = getattr(ml_dtypes, name, None) or getattr(np, "bool_" if name == "bool" else name, None)
        if scalar is None:
            continue
        dtype = np.dtype(scalar)
        _native.register_dtype(code, dtype)
        BY_NAME[name] = dtype
        KIND[dtype] = kind
        _SHORT_NAME[dtype] = short
        BITS[dtype] = bits


_declare()

bool_ = BY_NAME["bool"]
int32, int64 = BY_NAME["int32"], BY_NAME["int64"]
uint8, uint32, uint64 = BY_NAME["uint8"], BY_NAME["uint32"], BY_NAME["uint64"]
float16, float32, float64 = BY_NAME["float16"], BY_NAME["float32"], BY_NAME["float64"]
complex64, complex128 = BY_NAME["complex64"], BY_NAME["complex128"]


# Predicates of a dtype. They are dict look-ups, for rules ask them of every operand of every operation.


def kind_of(dtype: DType) -> Kind | None:
    """``"b"``, ``"i"``, ``"u"``, ``"f"`` or ``"c"``; None for ``float0``, keys and what no array may hold."""
    return KIND.get(dtype)


def is_bool(dtype: DType) -> bool:
    """Whether ``dtype`` is the boolean one."""
    return KIND.get(dtype) == "b"


def is_int(dtype: DType) -> bool:
    """Whether ``dtype`` is an integer one, signed or not."""
    kind = KIND.get(dtype)
    return kind == "i" or kind == "u"


def is_signed_int(dtype: DType) -> bool:
    """Whether ``dtype`` is a signed integer one."""
    return KIND.get(dtype) == "i"


def is_unsigned_int(dtype: DType) -> bool:
    """Whether ``dtype`` is an unsigned integer one."""
    return KIND.get(dtype) == "u"


def is_float(dtype: DType) -> bool:
    """Whether ``dtype`` is a real floating-point one, of whatever format."""
    return KIND.get(dtype) == "f"


def is_complex(dtype: DType) -> bool:
    """Whether ``dtype`` is a complex one."""
    return KIND.get(dtype) == "c"


def is_inexact(dtype: DType) -> bool:
    """Whether ``dtype`` is floating-point or complex: exactly then it has tangents of its own dtype."""
    kind = KIND.get(dtype)
    return kind == "f" or kind == "c"


def is_extended(dtype: DType) -> bool:
    """Whether ``dtype`` is one of ours rather than NumPy's, such as that of typed random keys."""
    return isinstance(dtype, ExtendedDType)


def supports_inf(dtype: DType) -> bool:
    """Whether a floating-point ``dtype`` has infinities; where it has none, its largest finite value serves."""
    return KIND.get(dtype) == "f" and bool(np.isinf(np.array(np.inf, np.float32).astype(numpy_dtype(dtype))))


def numpy_dtype(dtype: DType) -> np.dtype[Any]:
    """``dtype`` itself, where only NumPy's will do.

    Raises:
      TypeError: it is an extended one.
    """
    if isinstance(dtype, ExtendedDType):
        raise TypeError(f"{dtype} is not a NumPy dtype; use its physical_dtype for what it is stored as")
    return dtype


def short_name(dtype: DType) -> str:
    """The name of ``dtype`` in a printed jaxpr: ``f32``, ``i8``, ``bool``, ``bf16``, ``key<fry>``."""
    return _SHORT_NAME.get(dtype) or dtype.name


def dtype_name(dtype: DType) -> str:
    """The full name of ``dtype``: ``float32``, ``float0``, ``key<fry>``."""
    return "float0" if dtype == float0 else dtype.name


def itemsize_bits(dtype: Any) -> int:
    """The bits that an element of ``dtype`` has; narrow ones may take a whole byte of memory.

    Args:
      dtype: a dtype, its name or its scalar type.

    Raises:
      ValueError: ``dtype`` is not one of an array of numbers.

    >>> import anima
    >>> anima.dtypes.itemsize_bits("float32"), anima.dtypes.itemsize_bits("int4")
    (32, 4)
    """
    bits = BITS.get(as_dtype(dtype))
    if bits is None:
        raise ValueError(f"itemsize_bits needs the dtype of an array of numbers, got {dtype}")
    return bits


def as_dtype(spec: Any) -> DType:
    """The dtype that ``spec`` names, exactly as written: a dtype, its name, a scalar type, anything with ``.dtype``.

    Raises:
      TypeError: ``spec`` names no dtype.
    """
    if isinstance(spec, (np.dtype, ExtendedDType)):
        return spec
    if isinstance(spec, str) and spec in BY_NAME:
        return BY_NAME[spec]
    dtype = getattr(spec, "dtype", None)
    if isinstance(dtype, (np.dtype, ExtendedDType)):
        return dtype
    return np.dtype(spec)  # type: ignore[no-any-return]
