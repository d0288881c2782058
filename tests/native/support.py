"""The CPU plugin's path, and compile options in bytes, for tests of the native module alone."""

from __future__ import annotations

import importlib.util
import os


def plugin_path() -> str:
    """The library of the CPU plugin."""
    spec = importlib.util.find_spec("xla_plugins.xla_cpu_pjrt")
    assert spec is not None and spec.origin is not None
    return os.path.join(os.path.dirname(spec.origin), "xla_cpu_pjrt.so")


def varint(value: int) -> bytes:
    """A number as protocol buffers write it."""
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def message(field: int, body: bytes) -> bytes:
    """A field that is a message or a string."""
    return varint(field << 3 | 2) + varint(len(body)) + body


def number(field: int, value: int) -> bytes:
    """A field that is a number."""
    return varint(field << 3) + varint(value)


def encode_options(partitions: int = 1, devices: tuple[int, ...] = (), extra: bytes = b"") -> bytes:
    """A serialised CompileOptionsProto for SPMD over `partitions` devices, by default the first ones.

    `extra` goes into its ExecutableBuildOptionsProto as it is.
    """
    build = number(4, 1) + number(5, partitions) + extra
    if partitions > 1:
        build += number(6, 1)
    if devices:
        columns = b"".join(message(3, number(1, d)) for d in devices)
        build += message(9, number(1, 1) + number(2, len(devices)) + columns)
    return message(3, build)
