"""The CPU plugin's path, and compile options in bytes, for tests of the native module alone."""

from __future__ import annotations

import importlib.util
import os


def plugin_path() -> str:
    """The library of the CPU plugin."""
    spec = importlib.util.find_spec("xla_plugins.xla_cpu_pjrt")
    assert spec is not None and spec.origin is not None
    return os.path.join(os.path.dirname(spec.origin), "xla_cpu_pjrt.so")


def _varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def _message(number: int, body: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(body)) + body


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def encode_options(partitions: int = 1, devices: tuple[int, ...] = ()) -> bytes:
    """A serialised CompileOptionsProto for SPMD over `partitions` devices, by default the first ones."""
    build = _number(4, 1) + _number(5, partitions)
    if partitions > 1:
        build += _number(6, 1)
    if devices:
        columns = b"".join(_message(3, _number(1, d)) for d in devices)
        build += _message(9, _number(1, 1) + _number(2, len(devices)) + columns)
    return _message(3, build)
