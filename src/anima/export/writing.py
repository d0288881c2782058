"""Exported functions become bytes.

The form, of version 1 (numbers are little-endian):

| bytes | what |
| --- | --- |
| 8 | `ANIMAEXP` |
| 4 | the version of the form |
| 8 | the length of the rest behind the checksum |
| 32 | the SHA-256 checksum of that rest |
| 8 | the length of the head |
| | the head: JSON, of names, structures and types; of the derivatives, each inside of the one before; of each module its platform, and the lengths of its text and of its compressed text |
| | the texts, compressed by zlib, in the order in which the head has them |

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
_LEVEL = 1  # zlib's: constants are hexadecimal digits, which any level halves


def to_bytes(exported: Any, vjp_order: int = 0) -> bytearray:
    """`Exported.serialize`."""
    order = operator.index(vjp_order)
    if order < 0:
        raise ValueError(f"serialize: vjp_order must be 0 or more, got {vjp_order}")
    texts: list[bytes] = []
    head = json.dumps(_described(exported, order, texts), sort_keys=True, allow_nan=True).encode()
    rest = b"".join([LENGTH.pack(len(head)), head, *texts])
    checksum = hashlib.sha256(rest).digest()
    return bytearray(HEAD.pack(MAGIC, VERSION, len(rest), checksum) + rest)


def _described(exported: Any, order: int, texts: list[bytes]) -> dict[str, Any]:
    modules = []
    for platform, text in exported._modules.items():
        raw = text.encode()
        texts.append(zlib.compress(raw, _LEVEL))
        modules.append([platform, len(raw), len(texts[-1])])
    return {
        "name": exported.fun_name,
        "in_tree": stored(exported.in_tree),
        "out_tree": stored(exported.out_tree),
        "in_avals": [_stored_aval(aval) for aval in exported.in_avals],
        "out_avals": [_stored_aval(aval) for aval in exported.out_avals],
        "modules": modules,
        "effect": bool(exported.unordered_effects),
        "checks": [str(check) for check in exported.disabled_safety_checks],
        "convention": exported.calling_convention_version,
        "vjp": _described(exported.vjp(), order - 1, texts) if order else None,
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
