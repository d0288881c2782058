"""Arrays from and to files, buffers, other libraries and text.

Invariant: reading and printing happen on the host, with NumPy's own functions and formats.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy import (
    get_printoptions as get_printoptions,
    printoptions as printoptions,
    save as save,
    savez as savez,
    set_printoptions as set_printoptions,
)

from anima import _native, dtypes
from anima.core.trace import Tracer
from anima.numpy.creation import asarray, put_on
from anima.numpy.promotion import array_like
from anima.runtime.layout import stored


def load(file: Any, *args: Any, **kwargs: Any) -> Any:
    """The array that `save` wrote to a file; what `savez` wrote is a mapping of NumPy arrays.

    Args:
      file: a path or an open file.
      *args, **kwargs: passed on to `numpy.load`.

    >>> import io
    >>> import anima.numpy as np
    >>> file = io.BytesIO()
    >>> np.save(file, np.arange(3))
    >>> _ = file.seek(0)
    >>> print(np.load(file))
    [0 1 2]
    """
    found = np.load(file, *args, **kwargs)
    if not isinstance(found, np.ndarray):
        return found
    if found.dtype == np.dtype("V2"):  # how NumPy writes bfloat16, which it does not know
        found = found.view(dtypes.bfloat16)
    return asarray(found)


def from_dlpack(x: Any, /, *, device: Any = None, copy: bool | None = None) -> Any:
    """An array that shares the memory of another library's.

    Args:
      x: an object with `__dlpack__`.
      device: a device or sharding to place the result on.
      copy: True: copy always; False: share memory or raise; None: copy only where needed.
    Raises:
      TypeError: `x` has no `__dlpack__`, or a dtype that arrays do not have.

    >>> import numpy
    >>> import anima.numpy as np
    >>> print(np.from_dlpack(numpy.arange(3.0, dtype="float32")))
    [0. 1. 2.]
    """
    if not hasattr(x, "__dlpack__"):
        raise TypeError(f"from_dlpack needs an object with __dlpack__, got {type(x).__name__}; use asarray")
    return put_on(_native.from_dlpack_capsule(x.__dlpack__(), copy=copy), device)


def frombuffer(buffer: Any, dtype: Any = float, count: int = -1, offset: int = 0) -> Any:
    """The numbers in the bytes of a buffer.

    Args:
      buffer: bytes, or an object with the buffer protocol; it is copied.
      dtype: what the bytes hold.
      count: how many numbers; -1 is all.
      offset: how many bytes to skip first.

    >>> import anima.numpy as np
    >>> print(np.frombuffer(b"abc", dtype=np.uint8))
    [97 98 99]
    """
    return asarray(np.frombuffer(buffer, dtypes.as_dtype(dtype), count, offset))  # type: ignore[arg-type]


def fromfile(file: Any, dtype: Any = float, count: int = -1, sep: str = "", offset: int = 0) -> Any:
    """The numbers in a file: binary, or text with a separator.

    Args:
      file: a path or an open file.
      dtype: what it holds.
      count: how many numbers; -1 is all.
      sep: what separates them in text; empty for binary.
      offset: how many bytes to skip first.

    >>> import tempfile
    >>> import anima.numpy as np
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     _ = file.write(b"1 2 3")
    ...     file.flush()
    ...     print(np.fromfile(file.name, dtype=int, sep=" "))
    [1 2 3]
    """
    return asarray(np.fromfile(file, dtypes.as_dtype(dtype), count, sep, offset=offset))  # type: ignore[arg-type]


def fromiter(iter: Iterable[Any], dtype: Any, count: int = -1) -> Any:
    """The numbers that an iterable yields.

    Args:
      iter: an iterable of numbers.
      dtype: the result's dtype.
      count: how many numbers; -1 is all.

    >>> import anima.numpy as np
    >>> print(np.fromiter((i * i for i in range(4)), dtype=int))
    [0 1 4 9]
    """
    return asarray(np.fromiter(iter, dtypes.as_dtype(dtype), count))  # type: ignore[arg-type]


def fromstring(string: str, dtype: Any = float, count: int = -1, *, sep: str) -> Any:
    """The numbers in a text.

    Args:
      string: the text.
      dtype: the result's dtype.
      count: how many numbers; -1 is all.
      sep: what separates them.

    >>> import anima.numpy as np
    >>> print(np.fromstring("1 2 3", dtype=int, sep=" "))
    [1 2 3]
    """
    return asarray(np.fromstring(string, dtypes.as_dtype(dtype), count, sep=sep))  # type: ignore[arg-type]


def array_repr(
    arr: Any,
    max_line_width: int | None = None,
    precision: int | None = None,
    suppress_small: bool | None = None,
) -> str:
    """The text that `repr` gives of an array, with a choice of the format; the arguments are those of NumPy's.

    >>> import anima.numpy as np
    >>> print(np.array_repr(np.array([0.12345]), precision=2))
    DeviceArray([0.12], dtype=float32)
    """
    arr = asarray(array_like("array_repr", arr))
    prefix, suffix = "DeviceArray(", f"dtype={dtypes.dtype_name(arr.dtype)})"
    if not isinstance(arr.dtype, np.dtype):
        return f"{prefix}{arr.shape}, {suffix}{_stored(arr)}"
    width = np.get_printoptions()["linewidth"] if max_line_width is None else max_line_width
    if arr.size == 0 and arr.shape != (0,):
        text = f"{prefix}[], shape={arr.shape},"
    else:
        body = np.array2string(
            np.asarray(arr), width, precision, suppress_small, separator=", ", prefix=prefix, suffix=","
        )
        text = f"{prefix}{body},"
    last = len(text) - (text.rfind("\n") + 1)
    gap = "\n" + " " * len(prefix) if last + len(suffix) + 1 > width else " "
    return f"{text}{gap}{suffix}"


def _stored(arr: Any) -> str:
    """What an array of a dtype that is not NumPy's consists of; where it takes a transfer to say, nothing."""
    if isinstance(arr, Tracer) or len(arr.devices()) > 1:
        return ""
    return f" overlaying:\n{stored(arr)}"


def array_str(
    a: Any,
    max_line_width: int | None = None,
    precision: int | None = None,
    suppress_small: bool | None = None,
) -> str:
    """The text that `str` gives of an array, with a choice of the format; the arguments are those of NumPy's.

    >>> import anima.numpy as np
    >>> print(np.array_str(np.array([0.12345]), precision=2))
    [0.12]
    """
    return np.array_str(np.asarray(array_like("array_str", a)), max_line_width, precision, suppress_small)
