"""Element types: which there are, what a user's words for them mean, and how those of operands combine.

Invariant: nothing here depends on arrays or traces; the hot functions are look-ups in dictionaries.
"""

from anima.dtypes.declared import (
    DType as DType,
    ExtendedDType as ExtendedDType,
    as_dtype as as_dtype,
    bfloat16,
    bool_ as bool_,
    complex64 as complex64,
    complex128 as complex128,
    dtype_name as dtype_name,
    extended,
    finfo,
    float0,
    float16 as float16,
    float32 as float32,
    float64 as float64,
    iinfo,
    int32 as int32,
    int64 as int64,
    is_bool as is_bool,
    is_complex as is_complex,
    is_extended as is_extended,
    is_float as is_float,
    is_inexact as is_inexact,
    is_int as is_int,
    is_signed_int as is_signed_int,
    is_unsigned_int as is_unsigned_int,
    itemsize_bits,
    kind_of as kind_of,
    prng_key,
    short_name as short_name,
    supports_inf as supports_inf,
    uint8 as uint8,
    uint32 as uint32,
    uint64 as uint64,
)
from anima.dtypes.promotion import (
    dtype_of as dtype_of,
    is_weakly_typed as is_weakly_typed,
    lattice_result_type as lattice_result_type,
    pair_of as pair_of,
    promote_types as promote_types,
    result_type,
    scalar_type_of,
)
from anima.dtypes.requests import (
    canonical as canonical,
    canonicalize_dtype,
    check_user_dtype_supported as check_user_dtype_supported,
    default_complex_dtype as default_complex_dtype,
    default_float_dtype as default_float_dtype,
    default_int_dtype as default_int_dtype,
    default_uint_dtype as default_uint_dtype,
    isdtype as isdtype,
    issubdtype,
    to_complex_dtype as to_complex_dtype,
    to_inexact_dtype as to_inexact_dtype,
    to_real_dtype as to_real_dtype,
)
from anima.errors import TypePromotionError

# What users see; the layers above import more than that.
__all__ = [
    "TypePromotionError",
    "bfloat16",
    "canonicalize_dtype",
    "extended",
    "finfo",
    "float0",
    "iinfo",
    "issubdtype",
    "itemsize_bits",
    "prng_key",
    "result_type",
    "scalar_type_of",
]
