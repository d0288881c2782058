"""How exact products of matrices and convolutions must be, on hardware that has faster and coarser ones.

Invariant: a request becomes None, a pair of `Precision`, a `DotAlgorithmPreset` or a `DotAlgorithm` before it enters a
program. Whether a platform honours a request is its compiler's matter; CPUs compute with all bits whatever is asked.
"""

from __future__ import annotations

import enum
from typing import Any

import ml_dtypes
import numpy as np

from anima import dtypes
from anima.lowering.types import element_type
from anima.records import NamedTuple


class Precision(enum.Enum):
    """How exact a product of float32 operands is: `DEFAULT` is fastest, `HIGHEST` uses all their bits.

    >>> from anima import lax
    >>> lax.Precision("float32")
    Precision.HIGHEST
    """

    DEFAULT = 0
    HIGH = 1
    HIGHEST = 2

    @classmethod
    def _missing_(cls, value: object) -> Precision | None:
        return _PRECISION_NAMES.get(value) if value is None or isinstance(value, str) else None

    def __repr__(self) -> str:
        return f"Precision.{self.name}"

    __str__ = __repr__


_PRECISION_NAMES: dict[object, Precision] = {
    None: Precision.DEFAULT,
    "default": Precision.DEFAULT,
    "fastest": Precision.DEFAULT,
    "bfloat16": Precision.DEFAULT,
    "high": Precision.HIGH,
    "bfloat16_3x": Precision.HIGH,
    "tensorfloat32": Precision.HIGH,
    "highest": Precision.HIGHEST,
    "float32": Precision.HIGHEST,
}


class DotAlgorithm(NamedTuple):
    """How a product is computed: the dtypes that operands are rounded to, their parts, and the dtype of the sums.

    Attributes:
      lhs_precision_type, rhs_precision_type: what the operands are rounded to; dtypes, or "tf32".
      accumulation_type: what is summed in.
      lhs_component_count, rhs_component_count: how many parts of that dtype an operand is split into.
      num_primitive_operations: how many products of parts are computed.
      allow_imprecise_accumulation: whether a faster, coarser accumulation may be used.
    """

    lhs_precision_type: Any
    rhs_precision_type: Any
    accumulation_type: Any
    lhs_component_count: int = 1
    rhs_component_count: int = 1
    num_primitive_operations: int = 1
    allow_imprecise_accumulation: bool = False


_F8 = ("float8_e4m3fn", "float8_e5m2", "float8_e5m2fnuz", "float8_e4m3fnuz", "float8_e4m3b11fnuz")


class DotAlgorithmPreset(enum.Enum):
    """Named algorithms for products: operand dtypes, then the dtype of the sums, then how many products they take.

    >>> from anima import lax
    >>> lax.DotAlgorithmPreset["BF16_BF16_F32_X3"].accumulation_type
    <class 'numpy.float32'>
    """

    DEFAULT = 1
    ANY_F8_ANY_F8_F32 = 2
    ANY_F8_ANY_F8_F32_FAST_ACCUM = 3
    ANY_F8_ANY_F8_ANY = 4
    ANY_F8_ANY_F8_ANY_FAST_ACCUM = 5
    F16_F16_F16 = 6
    F16_F16_F32 = 7
    BF16_BF16_BF16 = 8
    BF16_BF16_F32 = 9
    BF16_BF16_F32_X3 = 10
    BF16_BF16_F32_X6 = 11
    BF16_BF16_F32_X9 = 12
    TF32_TF32_F32 = 13
    TF32_TF32_F32_X3 = 14
    F32_F32_F32 = 15
    F64_F64_F64 = 16

    @property
    def supported_lhs_types(self) -> tuple[type, ...] | None:
        """The dtypes that the left operand may have; None: any."""
        return _PRESETS[self.name].operands

    @property
    def supported_rhs_types(self) -> tuple[type, ...] | None:
        """The dtypes that the right operand may have; None: any."""
        return _PRESETS[self.name].operands

    @property
    def accumulation_type(self) -> type | None:
        """The dtype of the sums; None: the compiler's choice."""
        return _PRESETS[self.name].accumulation

    def supported_output_types(self, lhs_dtype: Any, rhs_dtype: Any) -> tuple[type, ...] | None:
        """The dtypes that the result may have, for operands of these dtypes; None: any."""
        row = _PRESETS[self.name]
        if row.accumulation is None:
            return None
        if self.name.startswith("ANY"):
            return (np.float32, np.float16, ml_dtypes.bfloat16, *(getattr(ml_dtypes, name) for name in _F8))
        given = np.dtype(lhs_dtype)
        keeps = row.products == 1 and given == np.dtype(rhs_dtype) and given.type is row.rounded
        return (
            (row.accumulation, given.type)
            if keeps and given.type is not row.accumulation
            else (row.accumulation,)
        )

    def operand_dtype(self, dtype: Any) -> Any:
        """The dtype in which operands of `dtype` enter the product."""
        allowed = self.supported_lhs_types
        return dtype if allowed is None or dtype.type in allowed else np.dtype(allowed[-1])

    def result_dtype(self, dtype: Any) -> Any:
        """The dtype in which the product comes back, if `dtype` is wanted."""
        accumulation = self.accumulation_type
        return dtype if accumulation is None else np.dtype(accumulation)

    def __repr__(self) -> str:
        return f"DotAlgorithmPreset.{self.name}"

    def __str__(self) -> str:
        return self.name


class _Preset(NamedTuple):
    operands: tuple[type, ...] | None
    rounded: Any  # a scalar type, or "tf32"
    accumulation: type | None
    products: int = 1


_BF16_OR_F32 = (ml_dtypes.bfloat16, np.float32)
_PRESETS = {
    "DEFAULT": _Preset(None, None, None),
    "ANY_F8_ANY_F8_F32": _Preset(None, None, np.float32),
    "ANY_F8_ANY_F8_F32_FAST_ACCUM": _Preset(None, None, np.float32),
    "ANY_F8_ANY_F8_ANY": _Preset(None, None, None),
    "ANY_F8_ANY_F8_ANY_FAST_ACCUM": _Preset(None, None, None),
    "F16_F16_F16": _Preset((np.float16,), np.float16, np.float16),
    "F16_F16_F32": _Preset((np.float16,), np.float16, np.float32),
    "BF16_BF16_BF16": _Preset(_BF16_OR_F32, ml_dtypes.bfloat16, ml_dtypes.bfloat16),
    "BF16_BF16_F32": _Preset(_BF16_OR_F32, ml_dtypes.bfloat16, np.float32),
    "BF16_BF16_F32_X3": _Preset((np.float32,), ml_dtypes.bfloat16, np.float32, 3),
    "BF16_BF16_F32_X6": _Preset((np.float32,), ml_dtypes.bfloat16, np.float32, 6),
    "BF16_BF16_F32_X9": _Preset((np.float32,), ml_dtypes.bfloat16, np.float32, 9),
    "TF32_TF32_F32": _Preset((np.float32,), "tf32", np.float32),
    "TF32_TF32_F32_X3": _Preset((np.float32,), "tf32", np.float32, 3),
    "F32_F32_F32": _Preset((np.float32,), np.float32, np.float32),
    "F64_F64_F64": _Preset((np.float64,), np.float64, np.float64),
}

PrecisionLike = (
    None | str | Precision | tuple[str, str] | tuple[Precision, Precision] | DotAlgorithm | DotAlgorithmPreset
)
CanonicalPrecision = None | tuple[Precision, Precision] | DotAlgorithm | DotAlgorithmPreset


def canonical_precision(precision: PrecisionLike) -> CanonicalPrecision:
    """The precision that a user's word stands for.

    Raises:
      ValueError: it stands for none.
    """
    if precision is None or isinstance(precision, (DotAlgorithm, DotAlgorithmPreset)):
        return precision
    if isinstance(precision, str) and precision in DotAlgorithmPreset.__members__:
        return DotAlgorithmPreset[precision]
    pair: tuple[Any, ...] = (
        tuple(precision) if isinstance(precision, (tuple, list)) else (precision, precision)
    )
    known = [
        isinstance(p, Precision) or (isinstance(p, (str, type(None))) and p in _PRECISION_NAMES) for p in pair
    ]
    if len(pair) == 2 and all(known):
        return Precision(pair[0]), Precision(pair[1])
    names = ", ".join(repr(name) for name in _PRECISION_NAMES if name)
    raise ValueError(
        f"precision {precision!r} is none of: None, {names}, a lax.Precision, a pair of those, a lax.DotAlgorithmPreset "
        f"or its name ({', '.join(DotAlgorithmPreset.__members__)})"
    )


def swapped(precision: CanonicalPrecision) -> CanonicalPrecision:
    """The precision of a product with the operands exchanged."""
    if isinstance(precision, DotAlgorithm):
        return precision._replace(
            lhs_precision_type=precision.rhs_precision_type,
            rhs_precision_type=precision.lhs_precision_type,
            lhs_component_count=precision.rhs_component_count,
            rhs_component_count=precision.lhs_component_count,
        )
    return (precision[1], precision[0]) if isinstance(precision, tuple) else precision


def algorithm_of(precision: CanonicalPrecision) -> DotAlgorithmPreset | None:
    """The named algorithm that a precision is, if it is one that fixes dtypes."""
    return precision if isinstance(precision, DotAlgorithmPreset) and precision.accumulation_type else None


def precision_attributes(precision: CanonicalPrecision) -> str:
    """The attributes of a StableHLO product, with a leading comma; nothing where nothing is asked."""
    if isinstance(precision, DotAlgorithm):
        return _algorithm(*precision)
    if isinstance(precision, DotAlgorithmPreset):
        row = _PRESETS[precision.name]
        # The names with ANY stand for whatever the operands are; they ask for no rounding of their own.
        return (
            ""
            if row.rounded is None
            else _algorithm(row.rounded, row.rounded, row.accumulation, 1, 1, row.products)
        )
    if precision is None or precision == (Precision.DEFAULT, Precision.DEFAULT):
        return ""
    return f", precision_config = [{', '.join(f'#stablehlo<precision {p.name}>' for p in precision)}]"


def _algorithm(
    lhs: Any,
    rhs: Any,
    accumulation: Any,
    lhs_parts: int,
    rhs_parts: int,
    products: int,
    imprecise: bool = False,
) -> str:
    names = ["tf32" if t == "tf32" else element_type(dtypes.as_dtype(t)) for t in (lhs, rhs, accumulation)]
    return (
        f", algorithm = #stablehlo.dot_algorithm<lhs_precision_type = {names[0]}, rhs_precision_type = {names[1]}, "
        f"accumulation_type = {names[2]}, lhs_component_count = {lhs_parts}, rhs_component_count = {rhs_parts}, "
        f"num_primitive_operations = {products}, allow_imprecise_accumulation = {str(imprecise).lower()}>"
    )
