"""Source positions of equations: cheap to record, formatted only when shown.

Invariant: a position is a `(code, offset, outer name stack)` triple; recording one never formats or
reads a file. Frames of this package do not count as the user's.
"""

from __future__ import annotations

import os
import sys
from types import CodeType, FrameType
from typing import NamedTuple

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_internal: dict[CodeType, bool] = {}


class Position(NamedTuple):
    """Where in the user's program an equation came from."""

    code: CodeType
    offset: int

    @property
    def file(self) -> str:
        return self.code.co_filename

    @property
    def function(self) -> str:
        return self.code.co_qualname

    @property
    def line(self) -> int:
        for index, (start, *_) in enumerate(self.code.co_positions()):
            if index == self.offset // 2 and start is not None:
                return start
        return self.code.co_firstlineno

    def __str__(self) -> str:
        return f"{self.file}:{self.line} ({self.function})"


def is_internal(code: CodeType) -> bool:
    """Whether `code` belongs to this package."""
    known = _internal.get(code)
    if known is None:
        if len(_internal) > 20_000:  # code objects of discarded closures must not pile up
            _internal.clear()
        known = _internal[code] = code.co_filename.startswith(_PACKAGE)
    return known


def current() -> Position | None:
    """The position of the innermost frame outside this package."""
    frame: FrameType | None = sys._getframe(2)
    get = _internal.get
    while frame is not None:
        code = frame.f_code
        known = get(code)
        if known is None:
            known = is_internal(code)
        if not known:
            return Position(code, frame.f_lasti)
        frame = frame.f_back
    return None
