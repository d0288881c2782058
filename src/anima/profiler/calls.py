"""A span for each call of a Python function, for profiles that ask for it.

Invariant: only calls that begin and end while it is on are told. It takes the place of the thread's profile function
(`sys.setprofile`), and gives it back.
"""

from __future__ import annotations

import sys
import threading
import time
from types import FrameType
from typing import Any

from anima.core.spans import Span

_MOST = 1 << 20  # spans; more are left out


class CallTracer:
    """Records calls in the thread that starts it, and in threads that are made meanwhile."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self._on = False
        self._open = threading.local()
        self._before: Any = None

    def start(self) -> None:
        self._before = sys.getprofile()
        self._on = True
        threading.setprofile(self._hear)
        sys.setprofile(self._hear)

    def stop(self) -> None:
        self._on = False
        threading.setprofile(None)
        sys.setprofile(self._before)

    def _hear(self, frame: FrameType, event: str, argument: Any) -> None:
        if not self._on:
            sys.setprofile(None)  # a thread that lives on
            return
        if event not in ("call", "return"):
            return
        calls: list[tuple[FrameType, int]] = self._open.__dict__.setdefault("calls", [])
        now = time.perf_counter_ns()
        if event == "call":
            calls.append((frame, now))
        elif calls and calls[-1][0] is frame and len(self.spans) < _MOST:
            _, start = calls.pop()
            code = frame.f_code
            file = code.co_filename.rpartition("/")[2]
            name = f"${file}:{code.co_firstlineno} {code.co_name}"
            thread = threading.current_thread()
            self.spans.append(Span("python", name, start, now, threading.get_native_id(), thread.name, {}))
