"""Profiles as XLA's tools keep them: the message `XSpace`, written and read.

Invariant: names and the keys of details are written once for each plane and referred to by number. Reading copies nothing until
an event is asked for; bytes that are no such message raise ValueError.

The fields are those of `xplane.proto` (openxla.org).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import Any

from anima.profiler.picture import Event, Picture
from anima.protobuf import (
    Value,
    fields,
    message,
    write_double,
    write_message,
    write_number,
    write_text,
    write_varint,
)

# Fields of XSpace, XPlane, XLine, XEvent, XStat and the entries of metadata.
_PLANES, _ERRORS, _WARNINGS, _HOSTNAMES = 1, 2, 3, 4
_PLANE_ID, _PLANE_NAME, _LINES, _EVENT_NAMES, _STAT_NAMES, _PLANE_STATS = 1, 2, 3, 4, 5, 6
_LINE_ID, _LINE_NAME, _LINE_START, _EVENTS = 1, 2, 3, 4
_EVENT_ID, _OFFSET, _DURATION, _EVENT_STATS = 1, 2, 3, 4
_STAT_ID, _DOUBLE, _UNSIGNED, _SIGNED, _TEXT, _BYTES, _REFERENCE = 1, 2, 3, 4, 5, 6, 7
_KEY, _VALUE, _ID, _NAME = 1, 2, 1, 2


class _Names:
    """Numbers for names, from 1 on."""

    def __init__(self, field: int) -> None:
        self._field = field
        self._numbers: dict[str, int] = {}

    def __getitem__(self, name: str) -> int:
        return self._numbers.setdefault(name, len(self._numbers) + 1)

    def encode(self) -> bytes:
        return b"".join(
            [
                write_message(
                    self._field,
                    write_number(_KEY, n)
                    + write_message(_VALUE, write_number(_ID, n) + write_text(_NAME, name)),
                )
                for name, n in self._numbers.items()
            ]
        )


def encode(picture: Picture) -> bytes:
    """The profile as a serialised XSpace."""
    planes = [_encode_plane(picture, number, plane) for number, plane in enumerate(picture.planes, 1)]
    times = {"profile_start_time": picture.began, "profile_stop_time": picture.ended}
    stats = _Names(_STAT_NAMES)
    about = b"".join([_encode_stat(stats, _PLANE_STATS, key, value) for key, value in times.items()])
    planes.append(
        write_message(_PLANES, write_text(_PLANE_NAME, "Task Environment") + about + stats.encode())
    )
    lost = write_text(_WARNINGS, f"{picture.lost} events were lost") if picture.lost else b""
    return b"".join(planes) + lost


def _encode_plane(picture: Picture, number: int, plane: str) -> bytes:
    events, stats = _Names(_EVENT_NAMES), _Names(_STAT_NAMES)
    lines = []
    for thread, happened in picture.planes[plane].items():
        encoded = b"".join([_encode_event(events, stats, event) for event in happened])
        head = write_number(_LINE_ID, thread) + write_text(_LINE_NAME, picture.name_of(plane, thread))
        lines.append(write_message(_LINES, head + encoded))
    head = write_number(_PLANE_ID, number) + write_text(_PLANE_NAME, plane)
    return write_message(_PLANES, head + b"".join(lines) + events.encode() + stats.encode())


def _encode_event(events: _Names, stats: _Names, event: Event) -> bytes:
    content = (
        write_number(_EVENT_ID, events[event.name])
        + write_number(_OFFSET, event.start * 1000)
        + write_number(_DURATION, event.duration * 1000)
    )
    details = {"kind": event.kind, **event.details}
    return write_message(
        _EVENTS,
        content + b"".join([_encode_stat(stats, _EVENT_STATS, k, v) for k, v in details.items()]),
    )


def _encode_stat(stats: _Names, field: int, key: str, value: Any) -> bytes:
    if isinstance(value, str):
        content = write_message(_TEXT, value.encode())
    elif isinstance(value, float):
        content = write_double(_DOUBLE, value)
    else:
        content = write_varint(_SIGNED << 3) + write_varint(int(value))
    return write_message(field, write_number(_STAT_ID, stats[key]) + content)


# --- reading ------------------------------------------------------------------------------------

Stats = Iterator[tuple[str | None, Any]]


class _Table:
    """The names in a plane, by number."""

    def __init__(self, plane: dict[int, list[Value]]) -> None:
        self.events = _read_names(plane.get(_EVENT_NAMES, ()))
        self.stats = _read_names(plane.get(_STAT_NAMES, ()))

    def read(self, values: list[Value]) -> Stats:
        """Names and values of stats; one whose number nothing says is called None."""
        for value in values:
            found = fields(message(value))
            name = self.stats.get(_last(found, _STAT_ID, 0))
            yield name, self._value(found)

    def _value(self, found: dict[int, list[Value]]) -> Any:
        if _DOUBLE in found:
            return struct.unpack("<d", message(found[_DOUBLE][-1]))[0]
        if _SIGNED in found:
            return _signed(_last(found, _SIGNED, 0))
        if _TEXT in found:
            return _text(found[_TEXT][-1])
        if _BYTES in found:
            return _text(found[_BYTES][-1])
        if _REFERENCE in found:
            return self.stats.get(_last(found, _REFERENCE, 0))
        return _last(found, _UNSIGNED, 0)


def _read_names(entries: Any) -> dict[int, str]:
    names: dict[int, str] = {}
    for entry in entries:
        found = fields(message(entry))
        for value in found.get(_VALUE, ()):
            inner = fields(message(value))
            names[_last(found, _KEY, 0)] = _text(inner[_NAME][-1]) if _NAME in inner else ""
    return names


def _last(found: dict[int, list[Value]], field: int, default: int) -> int:
    values = found.get(field)
    if not values:
        return default
    if not isinstance(values[-1], int):
        raise ValueError("a serialised profile has bytes where a number belongs")
    return values[-1]


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def _text(value: Value) -> str:
    return bytes(message(value)).decode("utf-8", "replace")


class ProfileEvent:
    """A span in a profile, in nanoseconds.

    Attributes:
      name. start_ns, end_ns: since the start of the profile. duration_ns. stats: pairs of a name and a value.
    """

    __slots__ = ("_found", "_line_start", "_table")

    def __init__(self, data: Value, line_start: int, table: _Table) -> None:
        self._found = fields(message(data))
        self._line_start = line_start
        self._table = table

    @property
    def name(self) -> str:
        return self._table.events.get(_signed(_last(self._found, _EVENT_ID, 0)), "")

    @property
    def start_ns(self) -> float:
        return float(self._line_start + _signed(_last(self._found, _OFFSET, 0)) // 1000)

    @property
    def duration_ns(self) -> float:
        return float(_signed(_last(self._found, _DURATION, 0)) // 1000)

    @property
    def end_ns(self) -> float:
        return self.start_ns + self.duration_ns

    @property
    def stats(self) -> Stats:
        return self._table.read(self._found.get(_EVENT_STATS, []))


class ProfileLine:
    """A thread, or what is shown as one.

    Attributes:
      name. events: in the order of the file.
    """

    __slots__ = ("_found", "_table")

    def __init__(self, data: Value, table: _Table) -> None:
        self._found = fields(message(data))
        self._table = table

    @property
    def name(self) -> str:
        return _text(self._found[_LINE_NAME][-1]) if _LINE_NAME in self._found else ""

    @property
    def events(self) -> Iterator[ProfileEvent]:
        start = _signed(_last(self._found, _LINE_START, 0))
        for event in self._found.get(_EVENTS, ()):
            yield ProfileEvent(event, start, self._table)


class ProfilePlane:
    """A process or a device.

    Attributes:
      name. lines. stats: pairs of a name and a value.
    """

    __slots__ = ("_found", "_table")

    def __init__(self, data: Value) -> None:
        self._found = fields(message(data))
        self._table = _Table(self._found)

    @property
    def name(self) -> str:
        return _text(self._found[_PLANE_NAME][-1]) if _PLANE_NAME in self._found else ""

    @property
    def lines(self) -> Iterator[ProfileLine]:
        for line in self._found.get(_LINES, ()):
            yield ProfileLine(line, self._table)

    @property
    def stats(self) -> Stats:
        return self._table.read(self._found.get(_PLANE_STATS, []))


class ProfileData:
    """A profile in a file that ends in `.xplane.pb`, or its bytes.

    Args:
      serialized_xspace: the bytes.
    Raises:
      ValueError: they are no profile.

    >>> import anima, glob, os, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with anima.profiler.trace(folder):
    ...         y = anima.jit(lambda x: x + 1)(2.0)
    ...     [file] = glob.glob(os.path.join(folder, "plugins/profile/*/*.xplane.pb"))
    ...     profile = anima.profiler.ProfileData.from_file(file)
    >>> host = profile.find_plane_with_name("/host:CPU")
    >>> [event.name for line in host.lines for event in line.events if event.name.startswith("trace")]
    ['trace <lambda>']
    """

    __slots__ = ("_planes",)

    def __init__(self, serialized_xspace: bytes, /) -> None:
        found = fields(memoryview(serialized_xspace))
        self._planes = [ProfilePlane(plane) for plane in found.get(_PLANES, ())]

    @staticmethod
    def from_file(proto_file_path: os.PathLike[str] | str) -> ProfileData:
        """The profile in a file.

        Raises:
          OSError: it cannot be read. ValueError: it is no profile.
        """
        with open(proto_file_path, "rb") as file:
            return ProfileData(file.read())

    @staticmethod
    def from_serialized_xspace(serialized_xspace: bytes) -> ProfileData:
        """The profile in these bytes.

        Raises:
          ValueError: they are no profile.
        """
        return ProfileData(serialized_xspace)

    @property
    def planes(self) -> Iterator[ProfilePlane]:
        """The processes and devices of the profile."""
        return iter(self._planes)

    def find_plane_with_name(self, name: str) -> ProfilePlane | None:
        """The plane of this name, or None."""
        return next((plane for plane in self._planes if plane.name == name), None)
