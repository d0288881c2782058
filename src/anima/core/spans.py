"""Stretches of the library's own work: counted always, told to listeners and to the profile where there are any.

Invariant: a span stands around work that takes at least a tenth of a millisecond, never on the road of a call that has been
compiled. Times in `recording` are nanoseconds of the monotonic clock, on which the native timeline is, too.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from anima import monitoring
from anima.records import NamedTuple


class Span(NamedTuple):
    """Work that a profile shows.

    Attributes:
      kind: "trace", "lower", "compile", "load" or "annotation".
      name: the user's function, or what the user calls it.
      thread: the system's number of the thread. thread_name: what the program calls it.
    """

    kind: str
    name: str
    start: int
    end: int
    thread: int
    thread_name: str
    details: dict[str, Any]


class Tally:
    """How often work of one kind ended, and the seconds that it took, inner work of the same kind included once."""

    __slots__ = ("count", "seconds")

    def __init__(self) -> None:
        self.count = 0
        self.seconds = 0.0


# What is recorded while a profile is taken, else None.
recording: list[Span] | None = None

tallies: dict[str, Tally] = {kind: Tally() for kind in ("trace", "lower", "compile", "load")}

_EVENTS = {
    "trace": "/jax/core/compile/jaxpr_trace_duration",
    "lower": "/jax/core/compile/jaxpr_to_mlir_module_duration",
    "executable": "/jax/core/compile/backend_compile_duration",
}
_lock = threading.Lock()
_open = threading.local()  # the kinds of the spans that are open in a thread, for `Tally.seconds`


class span:
    """A `with` block that is work of one kind on one function."""

    __slots__ = ("_began", "_event", "_outermost", "kind", "name", "start")

    def __init__(self, kind: str, name: str) -> None:
        self.kind = kind
        self.name = name

    def __enter__(self) -> None:
        kinds: list[str] = _open.__dict__.setdefault("kinds", [])
        self._outermost = self.kind not in kinds
        kinds.append(self.kind)
        self._event = _EVENTS.get(self.kind) if monitoring.listening() else None
        if self._event is not None:
            self._began = time.time()
            try:
                monitoring.record_scalar(self._event, self._began, fun_name=self.name)
            except BaseException:
                kinds.pop()
                raise
        self.start = time.perf_counter_ns()

    def __exit__(self, *failure: Any) -> None:
        end = time.perf_counter_ns()
        _open.kinds.pop()
        tally = tallies.get(self.kind)
        seconds = (end - self.start) / 1e9
        if tally is not None and failure[0] is None:
            with _lock:
                tally.count += 1
                if self._outermost:
                    tally.seconds += seconds
        if recording is not None and self.kind != "executable":
            record(self.kind, self.name, self.start, end, {})
        if self._event is not None:
            monitoring.record_event_duration_secs(self._event, seconds, fun_name=self.name)
            monitoring.record_event_time_span(
                self._event, self._began, self._began + seconds, fun_name=self.name
            )


def program_name(module: str) -> str:
    """What spans call a program: "jit(f)" for the module "jit_f"."""
    if module == "jit__lambda":  # a module's name has letters, digits and underscores only
        return "jit(<lambda>)"
    return f"jit({module[4:]})" if module.startswith("jit_") else module


def record(kind: str, name: str, start: int, end: int, details: dict[str, Any]) -> None:
    """Add a span to the profile that is being taken, if there is one."""
    spans = recording
    if spans is not None:
        thread = threading.current_thread()
        spans.append(Span(kind, name, start, end, threading.get_native_id(), thread.name, details))
