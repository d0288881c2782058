"""Arrays shared with other libraries through DLPack.

Invariant: `is_supported_dtype` says of which dtypes arrays can be given out by `Array.__dlpack__`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from anima import dtypes
from anima.numpy.files import from_dlpack as _from_dlpack


def from_dlpack(external_array: Any, device: Any = None, copy: bool | None = None) -> Any:
    """An array that shares the memory of another library's; that memory must not be written to while it lives.

    Args:
      external_array: an object with `__dlpack__`.
      device: a device or sharding to place the result on.
      copy: True: copy always; False: share memory or raise; None: copy only where needed.
    Raises:
      TypeError: `external_array` has no `__dlpack__`, or a dtype that arrays do not have.

    >>> import numpy
    >>> from anima import dlpack
    >>> print(dlpack.from_dlpack(numpy.arange(3.0, dtype="float32")))
    [0. 1. 2.]
    """
    return _from_dlpack(external_array, device=device, copy=copy)


def is_supported_dtype(dtype: Any) -> bool:
    """Whether arrays of a dtype can be shared: booleans, and numbers of 8 bits or more.

    Args:
      dtype: a dtype, its name or a scalar type.
    Raises:
      TypeError: there is no such dtype.

    >>> from anima import dlpack
    >>> dlpack.is_supported_dtype("bfloat16"), dlpack.is_supported_dtype("int4")
    (True, False)
    """
    found = np.dtype(dtype)
    number = dtypes.is_int(found) or dtypes.is_inexact(found)
    return dtypes.is_bool(found) or (number and dtypes.itemsize_bits(found) >= 8)
