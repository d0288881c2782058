"""Bytes become exported functions.

Invariant: the form is that of `writing`; what is not exactly such bytes raises `ValueError`, and nothing in them is executed.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from typing import Any

import numpy as np

from anima import dtypes
from anima.core.aval import ShapedArray
from anima.export.exported import (
    DisabledSafetyCheck,
    Exported,
    Module,
    maximum_supported_calling_convention_version,
    minimum_supported_calling_convention_version,
)
from anima.export.structures import loaded
from anima.export.writing import HEAD, LENGTH, MAGIC, VERSION
from anima.lowering.types import element_type
from anima.random.implementations import KeyDType, registered


def deserialize(blob: bytes | bytearray | memoryview) -> Exported:
    """The exported function that `Exported.serialize` gave as bytes.

    Args:
      blob: the bytes.
    Raises:
      TypeError: these are no bytes. ValueError: they are damaged, of something else or of a later version, or a class among the nodes
        of the arguments or the result is not registered here.

    >>> import anima, anima.numpy as np
    >>> stored = anima.export.export(anima.jit(np.sin))(np.ones(3)).serialize(vjp_order=1)
    >>> exported = anima.export.deserialize(stored)
    >>> print(anima.grad(lambda x: exported.call(x).sum())(np.zeros(3)))
    [1. 1. 1.]
    """
    given: Any = blob
    if not isinstance(given, (bytes, bytearray, memoryview)):
        raise TypeError(f"deserialize: blob must be bytes, got {given!r:.80} of type {type(given).__name__}")
    head, parts = _opened(bytes(given))
    try:
        texts, arrays = _divided(head, parts)
        return _exported(head["function"], texts, arrays)
    except (KeyError, IndexError, AttributeError, OverflowError, RecursionError, zlib.error) as error:
        raise ValueError(f"deserialize: the head does not describe a function: {error!r:.200}") from error
    except (TypeError, ValueError) as error:
        raise ValueError(f"deserialize: {error}") from error


def _opened(blob: bytes) -> tuple[dict[str, Any], bytes]:
    """The head and the texts, checked."""
    if not blob.startswith(MAGIC):
        raise ValueError(
            "deserialize: these bytes are not of an exported function: they do not begin with ANIMAEXP"
        )
    if len(blob) < HEAD.size + LENGTH.size:
        raise ValueError("deserialize: the bytes are cut off")
    _, version, length, checksum = HEAD.unpack_from(blob)
    if version != VERSION:
        raise ValueError(
            f"deserialize: the bytes have the form of version {version}, but this library reads version {VERSION}; export the function "
            "with this version of it, or update it"
        )
    rest = blob[HEAD.size :]
    if len(rest) != length or hashlib.sha256(rest).digest() != checksum:
        raise ValueError("deserialize: the bytes are damaged: their checksum is another")
    (size,) = LENGTH.unpack_from(rest)
    texts = rest[LENGTH.size + size :]
    try:
        head = json.loads(rest[LENGTH.size : LENGTH.size + size])
    except (ValueError, RecursionError) as error:
        raise ValueError(f"deserialize: the head is no JSON: {error}") from error
    if not isinstance(head, dict):
        raise ValueError("deserialize: the head is no description")
    return head, texts


def _divided(head: dict[str, Any], parts: bytes) -> tuple[list[str], list[np.ndarray[Any, Any]]]:
    """The texts and the arrays."""
    at = 0
    texts, arrays = [], []
    for size, packed in head["texts"]:
        unpacker = zlib.decompressobj()
        raw = unpacker.decompress(parts[at : at + packed], size)
        if len(raw) != size or not unpacker.eof or size < 1:
            raise ValueError("a text has another length than the head says")
        texts.append(raw.decode())
        at += packed
    for form in head["arrays"]:
        aval = _loaded_aval(form)
        element_type(aval.dtype)
        raw = parts[at : at + aval.nbytes]
        arrays.append(np.frombuffer(raw, aval.dtype).reshape(aval.shape))
        if aval.dtype == np.bool_ and np.frombuffer(raw, np.uint8).max(initial=0) > 1:
            raise ValueError("an array of booleans has others")
        at += aval.nbytes
    if at != len(parts):
        raise ValueError("there is more than the head says")
    return texts, arrays


def _exported(head: dict[str, Any], texts: list[str], arrays: list[np.ndarray[Any, Any]]) -> Exported:
    convention = head["convention"]
    if (
        not minimum_supported_calling_convention_version
        <= convention
        <= maximum_supported_calling_convention_version
    ):
        raise ValueError(
            f"the calling convention is {convention}, but this library knows {maximum_supported_calling_convention_version}"
        )
    modules = {
        str(platform): Module(texts[text], tuple([arrays[i] for i in constants]))
        for platform, text, constants in head["modules"]
    }
    if not modules or not isinstance(head["name"], str):
        raise ValueError("there is no program, or it has no name")
    trees = loaded(head["in_tree"]), loaded(head["out_tree"])
    avals = [_loaded_aval(a) for a in head["in_avals"]], [_loaded_aval(a) for a in head["out_avals"]]
    if [t.num_leaves for t in trees] != [len(side) for side in avals]:
        raise ValueError("the structures have other numbers of leaves than there are types")
    derivative = None if head["vjp"] is None else _exported(head["vjp"], texts, arrays)
    return Exported(
        head["name"],
        trees,
        avals,
        modules,
        effect=bool(head["effect"]),
        disabled_safety_checks=[DisabledSafetyCheck(check) for check in head["checks"]],
        get_vjp=None if derivative is None else lambda: derivative,
    )


def _loaded_aval(form: list[Any]) -> ShapedArray:
    name, *shape = form
    if not all([type(d) is int and d >= 0 for d in shape]):
        raise ValueError(f"{shape} is no shape")
    kind, _, implementation = name.partition(":")
    if kind == "key" and implementation:
        if implementation not in registered:
            raise ValueError(f"random keys of the generator {implementation!r}, which is not registered here")
        return ShapedArray(tuple(shape), KeyDType(registered[implementation]))
    return ShapedArray(tuple(shape), dtypes.float0 if name == "float0" else dtypes.as_dtype(name))
