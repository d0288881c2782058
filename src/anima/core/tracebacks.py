"""Tracebacks without this package's own frames, so that they end in the user's line.

Invariant: only the traceback is shortened; the exception, its cause and its notes stay. `jax_traceback_filtering=off`
shows everything.
"""

from __future__ import annotations

from types import TracebackType

from anima import _native
from anima.config import traceback_filtering
from anima.core.source import is_internal


def users_part(traceback: TracebackType) -> TracebackType | None:
    """The entries of `traceback` that are not in this package."""
    if traceback_filtering.value == "off":
        return traceback
    kept = []
    entry: TracebackType | None = traceback
    while entry is not None:
        if not is_internal(entry.tb_frame.f_code):
            kept.append(entry)
        entry = entry.tb_next
    result = None
    for entry in reversed(kept):
        result = TracebackType(result, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    return result


_native.set_traceback_filter(users_part)
