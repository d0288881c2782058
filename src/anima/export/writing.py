"""Exported functions become bytes.

The form, of version 1 (numbers are little-endian):

| bytes | what |
| --- | --- |
| 8 | `ANIMAEXP` |
| 4 | the version of the form |
| 8 | the length of the rest behind the checksum |
| 32 | the SHA-256 checksum of that rest |
| 8 | the length of the head |
| | the head: JSON, of the function, with its derivatives each inside of the one before; of each text its length and that of its compressed form; of each array its dtype and its shape |
| | the texts, compressed by zlib |
| | the arrays: large constants, each once, in row-major order |

Invariant: nothing in a file is executed or unpickled by loading it, and what is not exactly such a file raises `ValueError`.
"""

from __future__ import annotations

import hashlib
import json
import operator
import struct
import zlib
from typing import Any

import numpy as np

from anima import dtypes
from anima.core.aval import ShapedArray
from anima.export.structures import stored
from anima.random.implementations import KeyDType, registered

MAGIC, VERSION = b"ANIMAEXP", 1
HEAD = struct.Struct("<8sIQ32s")
LENGTH = struct.Struct("<Q")


class _Parts:
    """The texts and the arrays of a file."""

    def __init__(self) -> None:
        self.texts: list[tuple[int, bytes]] = []
        self.arrays: list[np.ndarray[Any, Any]] = []
        self._places: dict[Any, int] = {}

    def text(self, text: str) -> int:
        """The number of a text."""
        raw = text.encode()
        self.texts.append((len(raw), zlib.compress(raw)))
        return len(self.texts) - 1

    def array(self, array: np.ndarray[Any, Any]) -> int:
        """The number of an array; derivatives have those of their function."""
        key = (array.dtype, array.shape, hashlib.sha256(_bytes_of(array)).digest())
        if key not in self._places:
            self._places[key] = len(self.arrays)
            self.arrays.append(array)
        return self._places[key]


def _bytes_of(array: np.ndarray[Any, Any]) -> bytes:
    ordered = array.astype(array.dtype.newbyteorder("<")) if array.dtype.byteorder == ">" else array
    return ordered.tobytes()


def to_bytes(exported: Any, vjp_order: int = 0) -> bytearray:
    """`Exported.serialize`."""
    order = operator.index(vjp_order)
    if order < 0:
        raise ValueError(f"serialize: vjp_order must be 0 or more, got {vjp_order}")
    parts = _Parts()
    described = {
        "function": _described(exported, order, parts),
        "texts": [[size, len(packed)] for size, packed in parts.texts],
        "arrays": [[dtypes.dtype_name(array.dtype), *array.shape] for array in parts.arrays],
    }
    head = json.dumps(described, sort_keys=True).encode()
    texts, arrays = [packed for _, packed in parts.texts], [_bytes_of(array) for array in parts.arrays]
    rest = b"".join([LENGTH.pack(len(head)), head, *texts, *arrays])
    return bytearray(HEAD.pack(MAGIC, VERSION, len(rest), hashlib.sha256(rest).digest()) + rest)


def _described(exported: Any, order: int, parts: _Parts) -> dict[str, Any]:
    return {
        "name": exported.fun_name,
        "in_tree": stored(exported.in_tree),
        "out_tree": stored(exported.out_tree),
        "in_avals": [_stored_aval(aval) for aval in exported.in_avals],
        "out_avals": [_stored_aval(aval) for aval in exported.out_avals],
        "modules": [
            [platform, parts.text(module.text), [parts.array(array) for array in module.constants]]
            for platform, module in exported._modules.items()
        ],
        "effect": bool(exported.unordered_effects),
        "checks": [str(check) for check in exported.disabled_safety_checks],
        "convention": exported.calling_convention_version,
        "vjp": _described(exported.vjp(), order - 1, parts) if order else None,
    }


def _stored_aval(aval: ShapedArray) -> list[Any]:
    dtype = aval.dtype
    if isinstance(dtype, KeyDType):
        if registered.get(dtype.impl.name) != dtype.impl:
            raise ValueError(
                f"serialize: random keys of {dtype} cannot be stored: their generator is not registered"
            )
        return [f"key:{dtype.impl.name}", *aval.shape]
    if not isinstance(dtype, np.dtype):
        raise ValueError(f"serialize: values of dtype {dtype} cannot be stored")
    return [dtypes.dtype_name(dtype), *aval.shape]
