"""Where equations come from: positions in the user's source, and stacks of scope names.

Invariant: a position is recorded for every equation that is traced; what is here reads it, or says which one equations
get that are traced on behalf of others.

>>> import anima
>>> from anima.extend import source_info_util
>>> eqn = anima.make_jaxpr(lambda x: anima.lax.sin(x))(1.0).eqns[0]
>>> source_info_util.summarize(eqn.source_info)  # doctest: +ELLIPSIS
'...:1:... (<lambda>)'
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from anima._native import get_trace
from anima.core import source
from anima.core.source import Position
from anima.core.source_info import NameStack, SourceInfo
from anima.interpreters.stage import enclosing_stage

__all__ = [
    "NameStack",
    "SourceInfo",
    "current",
    "current_name_stack",
    "extend_name_stack",
    "new_name_stack",
    "new_source_info",
    "register_exclusion",
    "reset_name_stack",
    "set_name_stack",
    "summarize",
    "transform_name_stack",
    "user_context",
]


def current() -> SourceInfo:
    """The position of the caller, or of the operation on whose behalf equations are traced now."""
    staging = enclosing_stage(get_trace())
    given = None if staging is None else staging.source
    return SourceInfo(given or source.current(current_name_stack().stack))


def new_source_info() -> SourceInfo:
    """No position."""
    return SourceInfo()


def new_name_stack(name: str = "") -> NameStack:
    """A stack of one name, or of none."""
    return NameStack((name,) if name else ())


def summarize(source_info: SourceInfo, num_frames: int = 1) -> str:
    """A position as text: "file:line:column (function)". One frame is known; `num_frames` is taken as in JAX."""
    at = source_info.position
    return "unknown" if at is None else f"{at.file}:{at.line}:{at.column} ({at.function})"


def register_exclusion(path: str) -> None:
    """Count files whose path starts with `path` as a library's own: positions and tracebacks skip them."""
    source.exclude(path)


def current_name_stack() -> NameStack:
    """The scopes that are open around here."""
    staging = enclosing_stage(get_trace())
    return NameStack(() if staging is None else staging.names)


@contextmanager
def set_name_stack(name_stack: NameStack) -> Iterator[None]:
    """Trace a block inside exactly these scopes.

    >>> import anima
    >>> from anima.extend import source_info_util
    >>> def f(x):
    ...     with source_info_util.set_name_stack(source_info_util.new_name_stack("mine")):
    ...         return x * 2
    >>> print(anima.make_jaxpr(f)(1.0).eqns[0].source_info.name_stack)
    mine
    """
    staging = enclosing_stage(get_trace())
    if staging is None:  # nothing is recorded
        yield
        return
    before, staging.names = staging.names, name_stack.stack
    try:
        yield
    finally:
        staging.names = before


def extend_name_stack(name: str) -> AbstractContextManager[None]:
    """Trace a block inside one more scope."""
    return set_name_stack(current_name_stack().extend(name))


def transform_name_stack(name: str) -> AbstractContextManager[None]:
    """Trace a block as what the transformation `name` makes of the scopes that are open."""
    return set_name_stack(current_name_stack().transform(name))


def reset_name_stack() -> AbstractContextManager[None]:
    """Trace a block outside all scopes."""
    return set_name_stack(NameStack())


@contextmanager
def user_context(traceback: Position | None, *, name_stack: NameStack | None = None) -> Iterator[None]:
    """Give equations that are traced in the block the position of another one.

    Args:
      traceback: `eqn.source_info.traceback`; None changes nothing.
      name_stack: the scopes around them, instead of those of the position.
    """
    staging = enclosing_stage(get_trace())
    if staging is None or traceback is None:
        yield
        return
    outer = staging.source
    staging.source = traceback if name_stack is None else traceback._replace(names=name_stack.stack)
    try:
        yield
    finally:
        staging.source = outer
