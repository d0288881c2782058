"""A finished profile: events by process and thread, whatever file it becomes.

Invariant: times are nanoseconds since the start of the profile; events of one thread are nested or apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple


class Event(NamedTuple):
    """A span to draw."""

    name: str
    kind: str
    start: int
    duration: int
    details: dict[str, Any]


class Picture:
    """The events of each thread of each process or device.

    Attributes:
      began, ended: nanoseconds since 1970. lost: how many events there was no room for.
    """

    def __init__(self, began: int, ended: int) -> None:
        self.began = began
        self.ended = ended
        self.lost = 0
        self.planes: dict[str, dict[int, list[Event]]] = {}
        self._names: dict[tuple[str, int], str] = {}

    def add(self, plane: str, thread: int, event: Event) -> None:
        self.planes.setdefault(plane, {}).setdefault(thread, []).append(event)

    def name(self, plane: str, thread: int, name: str) -> None:
        """Call a thread by a name."""
        self._names[plane, thread] = name

    def name_of(self, plane: str, thread: int) -> str:
        return self._names.get((plane, thread), f"thread {thread}")


def lanes(events: Iterable[Event]) -> list[list[Event]]:
    """Events apart, as few lists as that takes: programs wait for each other on a device, so their times overlap.

    >>> from anima.profiler.picture import Event, lanes
    >>> a, b, c = (Event(n, "run", s, 10, {}) for n, s in (("a", 0), ("b", 5), ("c", 12)))
    >>> [[e.name for e in lane] for lane in lanes([a, b, c])]
    [['a', 'c'], ['b']]
    """
    found: list[list[Event]] = []
    for event in sorted(events, key=lambda e: e.start):
        for lane in found:
            if lane[-1].start + lane[-1].duration <= event.start:
                lane.append(event)
                break
        else:
            found.append([event])
    return found
