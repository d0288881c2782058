"""For `equinox` and `flax`."""

from anima.dtypes import (
    DType as DType,
    ExtendedDType as ExtendedDType,
    TypePromotionError as TypePromotionError,
    extended as extended,
    finfo as finfo,
    supports_inf as supports_inf,
)
