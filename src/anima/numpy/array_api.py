"""What the array API standard (2024.12) asks a namespace about: its version, devices, dtypes and abilities.

Invariant: answers hold for the mode in force when they are asked for; 64-bit dtypes are named only where they exist.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from anima import dtypes
from anima.runtime.devices import devices as all_devices

__array_api_version__ = "2024.12"

_KINDS: dict[str, tuple[str, ...]] = {
    "bool": ("bool",),
    "signed integer": ("int8", "int16", "int32", "int64"),
    "unsigned integer": ("uint8", "uint16", "uint32", "uint64"),
    "real floating": ("float32", "float64"),
    "complex floating": ("complex64", "complex128"),
}
_KINDS["integral"] = _KINDS["signed integer"] + _KINDS["unsigned integer"]
_KINDS["numeric"] = _KINDS["integral"] + _KINDS["real floating"] + _KINDS["complex floating"]


class ArrayNamespaceInfo:
    """What `__array_namespace_info__()` returns.

    >>> import anima.numpy as np
    >>> np.__array_namespace_info__().default_dtypes()["real floating"]
    dtype('float32')
    """

    def capabilities(self) -> dict[str, Any]:
        """Whether shapes may depend on values everywhere, compiled functions included, and the most dimensions."""
        return {"boolean indexing": False, "data-dependent shapes": False, "max dimensions": 64}

    def default_device(self) -> None:
        """The device on which arrays are made if none is named: None, which `device=` takes for the default."""
        return None

    def devices(self) -> list[Any]:
        """What `device=` takes: None for the default, and each device."""
        return [None, *all_devices()]

    def default_dtypes(self, *, device: Any = None) -> dict[str, np.dtype[Any]]:
        """The dtypes that functions use if none is named, by kind; they are the same on all devices."""
        integer = dtypes.default_int_dtype()
        return {
            "real floating": dtypes.canonicalize_dtype(np.dtype("float64")),
            "complex floating": dtypes.canonicalize_dtype(np.dtype("complex128")),
            "integral": integer,
            "indexing": integer,
        }

    def dtypes(
        self, *, device: Any = None, kind: str | tuple[str, ...] | None = None
    ) -> dict[str, np.dtype[Any]]:
        """The dtypes of the standard that there are in this mode, by name; they are the same on all devices.

        Args:
          device: a device.
          kind: a kind or several, such as "bool", "integral" or "real floating"; by default all.
        Raises:
          KeyError: there is no such kind.

        >>> import anima.numpy as np
        >>> [*np.__array_namespace_info__().dtypes(kind="real floating")]
        ['float32']
        """
        kinds = ("bool", "numeric") if kind is None else (kind,) if isinstance(kind, str) else kind
        unknown = [k for k in kinds if k not in _KINDS]
        if unknown:
            raise KeyError(f"dtypes: kind {unknown[0]!r} is none of {', '.join(map(repr, _KINDS))}")
        found = {name: np.dtype(name) for k in kinds for name in _KINDS[k]}
        return {name: dtype for name, dtype in found.items() if dtypes.canonicalize_dtype(dtype) == dtype}


def __array_namespace_info__() -> ArrayNamespaceInfo:
    """What this namespace has, as the array API standard wants it told."""
    return ArrayNamespaceInfo()
