"""Which transformations are in progress, for those who write some.

Invariant: whoever makes a trace ambient here puts the previous one back. Where no transformation is in progress,
`eval_trace` stands for that; it is never ambient itself.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import ref

from anima._native import get_trace, set_trace
from anima.core.axes import axis_names
from anima.core.primitive import Primitive
from anima.core.trace import Trace
from anima.interpreters.batch import BatchTrace
from anima.interpreters.stage import StageTrace, enclosing_stage


class EvalTrace(Trace):
    """Operations are performed at once."""

    __slots__ = ()

    def __init__(self) -> None:
        self.parent = None

    def process_primitive(self, primitive: Primitive, tracers: Any, params: dict[str, Any], /) -> Any:
        return primitive.impl(*tracers, **params)

    def process(self, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        return primitive.impl(*args, **params)

    def describe(self) -> str:
        return "EvalTrace"


eval_trace = EvalTrace()


class TraceTag:
    """Marks the traces of one run of a transformation, so that its tracers are told from those of another run."""

    __slots__ = ("__weakref__",)


@contextmanager
def take_current_trace() -> Iterator[Trace]:
    """The ambient trace, set aside for a block: in it, operations run eagerly unless another trace is made ambient.

    >>> from anima.extend.core import take_current_trace
    >>> with take_current_trace() as trace:
    ...     print(trace.describe())
    EvalTrace
    """
    previous = set_trace(None)
    try:
        yield previous or eval_trace
    finally:
        set_trace(previous)


@contextmanager
def set_current_trace(trace: Trace | None, check_leaks: bool = False) -> Iterator[None]:
    """Make a trace ambient for a block.

    Args:
      trace: a trace of a transformation in progress, or a new one, whose `parent` should be the one around it. One
        without gets the value of its attribute `parent_trace`, or else the trace that is ambient now.
      check_leaks: taken as in JAX: a tracer used too late is found when it is used.
    """
    if trace is eval_trace:
        trace = None
    if trace is not None and not hasattr(trace, "parent"):
        outer = getattr(trace, "parent_trace", get_trace())
        trace.parent = None if outer is eval_trace else outer
    previous = set_trace(trace)
    try:
        yield
    finally:
        set_trace(previous)


@contextmanager
def eval_context() -> Iterator[None]:
    """Run operations eagerly in a block, whatever transformations are in progress.

    >>> import anima, anima.numpy as np
    >>> @anima.jit
    ... def f(x):
    ...     with anima.core.eval_context():
    ...         rows = int(np.arange(4).sum())
    ...     return x * rows
    >>> print(f(2.0))
    12.0
    """
    previous = set_trace(None)
    try:
        yield
    finally:
        set_trace(previous)


def find_top_trace(xs: Any = ()) -> Trace:
    """The trace that would handle an operation on these values: the ambient one."""
    return get_trace() or eval_trace


class OpaqueTraceState:
    """What transformations are in progress somewhere; equal to another exactly if they are the same."""

    __slots__ = ("_trace", "convention")

    def __init__(self, trace: Trace | None, convention: Any) -> None:
        # The trace is not kept: a state may be stored in objects that live long.
        self._trace = None if trace is None else ref(trace)
        self.convention = convention

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, OpaqueTraceState):
            return NotImplemented
        if self._trace is None or other._trace is None:
            return self._trace is other._trace
        return self._trace == other._trace

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        trace = None if self._trace is None else self._trace()
        return f"OpaqueTraceState({'eager' if self._trace is None else trace and trace.describe()})"


def get_opaque_trace_state(convention: Any = None) -> OpaqueTraceState:
    """What transformations are in progress here, to be compared later.

    >>> import anima
    >>> from anima.extend.core import get_opaque_trace_state
    >>> outside = get_opaque_trace_state()
    >>> outside == get_opaque_trace_state()
    True
    >>> anima.eval_shape(lambda x: x if outside == get_opaque_trace_state() else x[None], 1.0).shape
    (1,)
    """
    return OpaqueTraceState(get_trace(), convention)


def unsafe_am_i_under_a_jit_DO_NOT_USE() -> bool:
    """Whether a program is being recorded around here. A function that asks has one more argument than it says."""
    return isinstance(enclosing_stage(get_trace()), StageTrace)


def unsafe_am_i_under_a_vmap_DO_NOT_USE() -> bool:
    """Whether a `vmap` is in progress around here. A function that asks has one more argument than it says."""
    trace = get_trace()
    while trace is not None:
        if isinstance(trace, BatchTrace):
            return True
        trace = trace.parent
    return False


def unsafe_get_axis_names_DO_NOT_USE() -> list[Hashable]:
    """The names of the axes that are mapped around here. A function that asks has one more argument than it says."""
    return axis_names()


def nonempty_axis_env_DO_NOT_USE() -> bool:
    """Whether a named axis is mapped around here."""
    return bool(axis_names())
