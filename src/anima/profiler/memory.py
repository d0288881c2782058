"""A picture of the memory that arrays and compiled programs take, in the format of `pprof`.

Invariant: each live array counts once on each device that holds a part of it.

The fields are those of `profile.proto` (github.com/google/pprof).
"""

from __future__ import annotations

import gzip
import os
import time
from collections import Counter
from typing import Any

from anima import _native
from anima.protobuf import write_message, write_number, write_varint
from anima.runtime.devices import default_device, devices

# Fields of Profile.
_SAMPLE_TYPE, _SAMPLE, _LOCATION, _FUNCTION, _STRING, _TIME, _DEFAULT_TYPE = 1, 2, 4, 5, 6, 9, 14


class _Strings:
    """The table of strings: a profile refers to them by number, and the first is empty."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {"": 0}

    def __getitem__(self, text: str) -> int:
        return self.numbers.setdefault(text, len(self.numbers))

    def encode(self) -> bytes:
        return b"".join([write_message(_STRING, text.encode()) for text in self.numbers])


def device_memory_profile(backend: str | None = None) -> bytes:
    """What the live arrays of a platform take, for `pprof`: `pprof -top FILE`, `pprof -web FILE`.

    Args:
      backend: the platform, "cpu" say; by default that of the default device.
    Returns:
      A compressed profile: for each dtype and shape the number of arrays, or of their parts, on each device and their bytes.
    Raises:
      RuntimeError: there is no such platform.

    >>> import anima, gzip
    >>> x = anima.numpy.ones((7, 11))
    >>> b"float32[7,11]" in gzip.decompress(anima.profiler.device_memory_profile())
    True
    """
    over = set(devices(backend) if backend is not None else default_device().client.devices)
    found: Counter[tuple[str, str]] = Counter()
    sizes: Counter[tuple[str, str]] = Counter()
    for array in _native.live_arrays():
        if array.is_deleted():
            continue
        for part in array.addressable_shards_data:
            if part.devices() <= over:
                place = (_type_of(part), str(part.device))
                found[place] += 1
                sizes[place] += part.nbytes
    return gzip.compress(_encode(found, sizes))


def save_device_memory_profile(filename: os.PathLike[str] | str, backend: str | None = None) -> None:
    """Write `device_memory_profile(backend)` to a file.

    Raises:
      RuntimeError: there is no such platform. OSError: the file cannot be written.

    >>> import anima, os, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     anima.profiler.save_device_memory_profile(os.path.join(folder, "memory.prof"))
    """
    profile = device_memory_profile(backend)
    with open(filename, "wb") as file:
        file.write(profile)


def _type_of(array: Any) -> str:
    return f"{array.dtype}[{','.join(map(str, array.shape))}]"


def _encode(found: Counter[tuple[str, str]], sizes: Counter[tuple[str, str]]) -> bytes:
    strings = _Strings()
    allocations = write_number(1, strings["allocations"]) + write_number(2, strings["count"])
    space = write_number(1, strings["space"]) + write_number(2, strings["bytes"])
    parts = [write_message(_SAMPLE_TYPE, allocations), write_message(_SAMPLE_TYPE, space)]
    frames: dict[str, int] = {}
    for kind, device in found:
        # The leaf comes first: a type on a device.
        stack = b"".join(
            [write_varint(frames.setdefault(frame, len(frames) + 1)) for frame in (kind, device)]
        )
        values = write_varint(found[kind, device]) + write_varint(sizes[kind, device])
        labels = [("kind", "buffer"), ("device", device)]
        sample = [write_message(1, stack), write_message(2, values)] + [
            write_message(3, write_number(1, strings[key]) + write_number(2, strings[value]))
            for key, value in labels
        ]
        parts.append(write_message(_SAMPLE, b"".join(sample)))
    for frame, number in frames.items():
        line = write_message(4, write_number(1, number))
        parts.append(write_message(_LOCATION, write_number(1, number) + line))
        function = write_number(1, number) + write_number(2, strings[frame])
        parts.append(write_message(_FUNCTION, function))
    parts += [write_number(_TIME, time.time_ns()), write_number(_DEFAULT_TYPE, strings["space"])]
    return b"".join([*parts, strings.encode()])
