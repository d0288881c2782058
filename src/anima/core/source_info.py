"""Positions as users of jaxprs see them: `eqn.source_info`, its traceback and its stack of names.

Invariant: nothing here is made while tracing; it is a view of the positions that equations hold.
"""

from __future__ import annotations

from anima.core.source import Position
from anima.records import NamedTuple


class NameStack(NamedTuple):
    """The names of the `named_scope`s around an operation, the outermost first.

    >>> from anima.core.source_info import NameStack
    >>> str(NameStack(("layer",)).extend("attention"))
    'layer/attention'
    """

    stack: tuple[str, ...] = ()

    def extend(self, name: str) -> NameStack:
        """The stack inside one more scope."""
        return NameStack((*self.stack, name))

    def transform(self, name: str) -> NameStack:
        """The stack of what the transformation `name` made of operations here."""
        return NameStack((f"{name}({'/'.join(self.stack)})",))

    def __str__(self) -> str:
        return "/".join(self.stack)


class SourceInfo:
    """Where an equation came from.

    Attributes:
      position: the place in the user's program, or None if it is not known.
      traceback: the same, under JAX's name; printed, it is "file:line (function)".
      name_stack: the scopes around it.
    """

    __slots__ = ("position",)

    def __init__(self, position: Position | None = None) -> None:
        self.position = position

    @property
    def traceback(self) -> Position | None:
        return self.position

    @property
    def name_stack(self) -> NameStack:
        return NameStack() if self.position is None else NameStack(self.position.names)

    def replace(
        self, *, traceback: Position | None = None, name_stack: NameStack | None = None
    ) -> SourceInfo:
        """A copy with another position or other scopes."""
        position = self.position if traceback is None else traceback
        if position is not None and name_stack is not None:
            position = position._replace(names=name_stack.stack)
        return SourceInfo(position)

    def __eq__(self, other: object) -> bool:
        return type(other) is SourceInfo and self.position == other.position

    def __hash__(self) -> int:
        return hash(self.position)

    def __repr__(self) -> str:
        return f"SourceInfo({self.position})"
