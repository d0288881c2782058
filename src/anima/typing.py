"""Types for annotations of functions that take arrays.

Invariant: `isinstance(value, ArrayLike)` is true exactly for what the functions of `anima.numpy` take as an array.

>>> import anima.numpy as np
>>> from anima.typing import ArrayLike, DTypeLike
>>> def scaled(x: ArrayLike, dtype: DTypeLike = "float32"):
...     return 2 * np.asarray(x, dtype)
>>> isinstance(1.5, ArrayLike), isinstance([1.5], ArrayLike)
(True, False)
"""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

import numpy as np

from anima.runtime.arrays import Array

__all__ = ["ArrayLike", "DTypeLike"]


class _HasDType(Protocol):
    @property
    def dtype(self) -> Any:
        """A NumPy dtype."""


# What stands for an array: arrays, tracers, NumPy arrays and scalars, Python scalars. No lists and no tuples.
ArrayLike: TypeAlias = Array | np.ndarray | np.bool_ | np.number | bool | int | float | complex

# What names the type of an array's elements: "float32", `anima.numpy.float32`, a NumPy dtype, `float`.
DTypeLike: TypeAlias = str | type[Any] | np.dtype | _HasDType
