"""Source positions of equations: cheap to record, formatted only when shown.

Invariant: a position holds a code object, an offset in it and the names of the `named_scope`s around it; recording
one never formats or reads a file. Frames of this package do not count as the user's.
"""

from __future__ import annotations

import os
from types import CodeType

from anima._native import current_position, set_positions
from anima.records import NamedTuple

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_excluded: tuple[str, ...] = (_PACKAGE,)
_internal: dict[str, bool] = {}  # by file: a string knows its hash, a code object computes it each time


class Position(NamedTuple):
    """Where in the user's program an equation came from.

    With `caller` the equation belongs to the backward pass of the operation there, and the caller is where that pass was
    asked for (`NOWHERE` if it is not known). Only noted while results are looked at for NaNs.
    """

    code: CodeType
    offset: int
    names: tuple[str, ...] = ()
    caller: Position | None = None

    @property
    def file(self) -> str:
        return self.code.co_filename

    @property
    def function(self) -> str:
        return self.code.co_qualname

    @property
    def line(self) -> int:
        return self._place()[0]

    @property
    def column(self) -> int:
        return self._place()[1]

    def _place(self) -> tuple[int, int]:
        for index, (line, _, column, _) in enumerate(self.code.co_positions()):
            if index == self.offset // 2 and line is not None:
                return line, column or 0
        return self.code.co_firstlineno, 0

    @property
    def text(self) -> str:
        """The line itself; empty if its file cannot be read."""
        import linecache

        return linecache.getline(self.file, self.line).strip()

    def __str__(self) -> str:
        return f"{self.file}:{self.line} ({self.function})"


# Of equations that a rule of this package made by itself: no line of the user's says them.
NOWHERE = Position((lambda: None).__code__, 0)


def is_internal(code: CodeType) -> bool:
    """Whether `code` belongs to this package, or to a library that does not want to be seen."""
    file = code.co_filename
    known = _internal.get(file)
    if known is None:
        if len(_internal) > 20_000:  # names that notebooks make up must not pile up
            _internal.clear()
        known = _internal[file] = file.startswith(_excluded)
    return known


def exclude(path: str) -> None:
    """Count files whose path starts with `path` as this package's own."""
    global _excluded
    _excluded = (*_excluded, path)
    _internal.clear()


def current(names: tuple[str, ...] = ()) -> Position | None:
    """The position of the innermost frame outside this package, inside scopes of these names."""
    return current_position(names)


set_positions(Position, _internal, is_internal)
