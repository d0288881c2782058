"""Blocks that change how what is inside is traced: names for its operations, and running it while tracing.

Invariant: what is computed does not depend on them; names are for readers, and stay out of the canonical program text.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from anima._native import get_trace, set_trace
from anima.core.primitive import Primitive
from anima.core.trace import Trace, Tracer, ambient
from anima.interpreters.stage import enclosing_stage
from anima.transforms.arguments import check_callable, name_of

F = TypeVar("F", bound=Callable[..., Any])


@contextmanager
def named_scope(name: str) -> Iterator[None]:
    """Name the operations that are traced in a block, or by a function that this decorates.

    The names of nested scopes, joined by slashes, stand in each equation's `source_info.name_stack` and in
    `lowered.as_text(debug_info=True)`.

    Args:
      name: a non-empty string.
    Raises:
      TypeError: `name` is no string. ValueError: it is empty.

    >>> import anima
    >>> def f(x):
    ...     with anima.named_scope("twice"):
    ...         return x * 2
    >>> [eqn] = anima.make_jaxpr(f)(1.0).eqns
    >>> print(eqn.source_info.name_stack)
    twice
    """
    if not isinstance(name, str):
        raise TypeError(f"named_scope: name must be a string, got {name!r:.80} of type {type(name).__name__}")
    if not name:
        raise ValueError("named_scope: name must not be empty")
    staging = enclosing_stage(get_trace())
    if staging is None:  # nothing is recorded
        yield
        return
    before = staging.names
    staging.names = (*before, name)
    try:
        yield
    finally:
        staging.names = before


def named_call(fun: F, *, name: str | None = None) -> F:
    """`fun`, with the operations that it does under a name: by default its own.

    Raises:
      TypeError: `fun` is no function, or `name` no string.

    >>> import anima
    >>> [eqn] = anima.make_jaxpr(anima.named_call(lambda x: x * 2, name="twice"))(1.0).eqns
    >>> print(eqn.source_info.name_stack)
    twice
    """
    check_callable(fun, "named_call")
    scope = named_scope(name_of(fun) if name is None else name)
    if name is not None and not isinstance(name, str):
        raise TypeError(f"named_call: name must be a string, got {name!r:.80} of type {type(name).__name__}")
    return functools.wraps(fun)(scope(fun))  # type: ignore[return-value]


class CompileTimeTrace(Trace):
    """Runs operations on known values at once; others go to the transformation that their tracers belong to."""

    __slots__ = ()

    def __init__(self, parent: Trace | None) -> None:
        self.parent = parent

    def process(self, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        set_trace(self.parent if any([isinstance(a, Tracer) for a in args]) else None)
        try:
            return primitive.bind(*args, **params)
        finally:
            set_trace(self)


@contextmanager
def ensure_compile_time_eval() -> Iterator[None]:
    """Run operations on known values at once in a block, even where everything is traced.

    Inside `jit`, an operation becomes part of the program even if its operands are known. In this block it runs now,
    so its result is known too and may decide a Python branch. Operations on traced values are traced as ever, and asking
    for the value of one raises as ever.

    >>> import anima, anima.numpy as np
    >>> @anima.jit
    ... def f(x):
    ...     with anima.ensure_compile_time_eval():
    ...         n = int(np.arange(4).sum())
    ...     return x * n
    >>> print(f(2.0))
    12.0
    """
    trace = get_trace()
    with ambient(None if trace is None else CompileTimeTrace(trace)):
        yield
