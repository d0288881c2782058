"""Taking a profile: from `start_trace` to the files that `stop_trace` writes.

Invariant: one profile at a time. What is recorded on the way is spans of Python (`core/spans.py`) and happenings of the native
timeline, both on the monotonic clock; it is put together and written only at the end.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

from anima import _native
from anima.core import spans
from anima.core.spans import Span, program_name
from anima.profiler import chrome, xspace
from anima.profiler.calls import CallTracer
from anima.profiler.options import ProfileOptions
from anima.profiler.picture import Event, Picture, lanes

_PATIENCE = 10.0  # seconds for programs that are running to end
_HOST = "/host:CPU"


class _Session:
    """A profile that is being taken."""

    def __init__(self, folder: str, link: bool, perfetto: bool, options: ProfileOptions) -> None:
        self.folder = folder
        self.link = link
        self.perfetto = perfetto or link
        self.options = options
        self.calls = CallTracer() if options.python_tracer_level > 0 else None
        self.began = time.time_ns()
        self.start = time.perf_counter_ns()


_lock = threading.Lock()
_session: _Session | None = None


def start_trace(
    log_dir: os.PathLike[str] | str,
    create_perfetto_link: bool = False,
    create_perfetto_trace: bool = False,
    profiler_options: ProfileOptions | None = None,
) -> None:
    """Begin to record what this process does: until `stop_trace`, which writes it below a folder.

    A profile shows when functions were traced, lowered, compiled and loaded, under their names; when programs were launched,
    and when they ran on the devices, from their launch until their results were there; transfers with their bytes; and the
    program's own `TraceAnnotation`s.

    Args:
      log_dir: the folder. The files are `plugins/profile/DATE_TIME/HOST.trace.json.gz`, which https://ui.perfetto.dev and
        chrome://tracing open, and `HOST.xplane.pb`, for TensorBoard and `ProfileData`.
      create_perfetto_link: `stop_trace` prints a link to ui.perfetto.dev with the trace, and waits until it was opened.
      create_perfetto_trace: write `perfetto_trace.json.gz` as well.
      profiler_options: what to record.
    Raises:
      RuntimeError: a profile is being taken already. TypeError: `log_dir` is no path.

    >>> import anima, os, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     anima.profiler.start_trace(folder)
    ...     y = anima.jit(lambda x: x + 1)(2.0)
    ...     anima.profiler.stop_trace()
    ...     os.listdir(folder)
    ['plugins']
    """
    global _session
    folder = os.fspath(log_dir)
    options = ProfileOptions() if profiler_options is None else profiler_options
    if not isinstance(options, ProfileOptions):
        raise TypeError(f"start_trace: profiler_options must be a ProfileOptions, got {options!r}")
    with _lock:
        if _session is not None:
            raise RuntimeError(
                "start_trace: a profile is being taken already, and only one can be at a time; end it with stop_trace"
            )
        _session = _Session(folder, create_perfetto_link, create_perfetto_trace, options)
        spans.recording = []
        _native.start_timeline()
        if _session.calls is not None:
            _session.calls.start()


def stop_trace() -> None:
    """End the profile that `start_trace` began, and write it.

    Programs that are running are waited for, ten seconds at most.

    Raises:
      RuntimeError: no profile is being taken. OSError: the files cannot be written.
    """
    global _session
    with _lock:
        session, _session = _session, None
        if session is None:
            raise RuntimeError("stop_trace: no profile is being taken; begin one with start_trace")
        if session.calls is not None:
            session.calls.stop()
        happenings, lost = _native.stop_timeline(_PATIENCE)
        recorded, spans.recording = spans.recording or [], None
    picture = _picture(session, recorded, happenings)
    picture.lost = lost
    name = session.options.session_id or time.strftime(
        "%Y_%m_%d_%H_%M_%S", time.localtime(session.began / 1e9)
    )
    folder = os.path.join(session.folder, "plugins", "profile", name)
    os.makedirs(folder, exist_ok=True)
    host = os.path.join(folder, socket.gethostname())
    chrome.write(picture, f"{host}.trace.json.gz")
    with open(f"{host}.xplane.pb", "wb") as file:
        file.write(xspace.encode(picture))
    if session.perfetto:
        path = os.path.join(folder, "perfetto_trace.json.gz")
        chrome.write(picture, path)
        if session.link:
            chrome.serve(path)


@contextlib.contextmanager
def trace(
    log_dir: os.PathLike[str] | str,
    create_perfetto_link: bool = False,
    create_perfetto_trace: bool = False,
    profiler_options: ProfileOptions | None = None,
) -> Iterator[None]:
    """A `with` block whose work is recorded: `start_trace` before it, `stop_trace` after it, also after an exception.

    The arguments and exceptions are those of `start_trace`.

    >>> import anima, tempfile
    >>> with tempfile.TemporaryDirectory() as folder, anima.profiler.trace(folder):
    ...     y = anima.jit(lambda x: x + 1)(2.0)
    """
    start_trace(log_dir, create_perfetto_link, create_perfetto_trace, profiler_options)
    try:
        yield
    finally:
        stop_trace()


_Happening = tuple[str, str, str, int, int, int, int]


def _picture(session: _Session, recorded: list[Span], happenings: list[_Happening]) -> Picture:
    """What was recorded, by process and thread."""
    options = session.options
    level = options.host_tracer_level
    earliest = session.start + max(0, options.start_timestamp_ns - session.began)
    latest = session.start + options.duration_ms * 1_000_000 if options.duration_ms else None

    def shown(start: int) -> bool:
        return start >= earliest and (latest is None or start <= latest)

    picture = Picture(session.began, time.time_ns())
    names: dict[int, str] = {}
    if session.calls is not None:
        recorded = [*recorded, *session.calls.spans]
    for span in recorded:
        names.setdefault(span.thread, span.thread_name)
        wanted = level >= 1 if span.kind == "annotation" else level >= 2 or span.kind == "python"
        if wanted and shown(span.start):
            picture.add(_HOST, span.thread, _event(session, span))
    runs: dict[str, list[Event]] = {}
    for what, program, device, start, end, thread, size in happenings:
        if not shown(start):
            continue
        begin, length = start - session.start, end - start
        if what == "run":
            runs.setdefault(device, []).append(Event(program_name(program), "run", begin, length, {}))
        elif level >= 2:
            name = (
                f"execute {program_name(program)}" if what == "launch" else f"transfer {_WAYS[what]} {device}"
            )
            details: dict[str, Any] = {"device": device} if what == "launch" else {"bytes": size}
            kind = "execute" if what == "launch" else "transfer"
            picture.add(_HOST, thread, Event(name, kind, begin, length, details))
    for thread, name in names.items():
        picture.name(_HOST, thread, name)
    for device, events in runs.items():
        for lane, together in enumerate(lanes(events)):
            for event in together:
                picture.add(f"/device:{device}", lane, event)
            picture.name(f"/device:{device}", lane, "programs" if lane == 0 else f"programs ({lane + 1})")
    return picture


_WAYS = {"to_device": "to", "to_host": "from", "between": "between devices to"}


def _event(session: _Session, span: Span) -> Event:
    plain = span.kind in ("annotation", "python")
    name = span.name if plain else f"{span.kind} {span.name}"
    details: dict[str, Any] = {} if plain else {"function": span.name}
    details |= {k: v if isinstance(v, (str, int, float)) else str(v) for k, v in span.details.items()}
    return Event(name, span.kind, span.start - session.start, span.end - span.start, details)
