"""What a reference holds during a backward pass, where that is made of programs.

Invariant: the backward rules of `custom_vjp` may write to references, in an order that is the reverse of the forward one. Programs
that are derived later know no references, so the forward program carries a thread along with each reference that such a function
takes: a value of zeros that every call takes and returns. What the reference holds in the backward pass is the thread's
cotangent: it enters at the thread's end as what the reference holds when the pass begins, each backward rule takes it and
hands it on, and what comes out at the thread's start is written to the reference. Derivatives of loops, branches and
compiled functions do the rest.
"""

from __future__ import annotations

from typing import Any

from anima import dtypes
from anima._native import get_trace
from anima.core import hooks
from anima.core.aval import ShapedArray
from anima.core.trace import Trace, ambient
from anima.errors import RefError
from anima.interpreters.batch import BatchTrace
from anima.interpreters.linearize import LinearizeTrace, LinearizeTracer, TapeTracer
from anima.interpreters.stage import StageTrace
from anima.state.cells import Cell, Use
from anima.state.refs import Ref


class Thread(Cell):
    """The thread of a reference; made once for each."""

    __slots__ = ("_ref",)

    def __init__(self, ref: Ref) -> None:
        super().__init__(None, ref._array_aval.strip_weak_type(), ref._owner)
        self._ref = ref

    def _read(self) -> Any:
        use = self._use()
        return hooks.zeros(self._array_aval) if use is None else use.value

    def _write(self, value: Any, shared: bool = True) -> None:
        use = self._use()
        if isinstance(use, Use):
            use.value, use.written = value, True
        elif use is not None:
            use.goes_on(value)

    def _use(self) -> Use | _OnTape | None:
        """Where the thread is now: in a program that is recorded, on a tape, or nowhere.

        Raises:
          RefError: a transformation is in between that cannot hand it on.
        """
        trace, owner = get_trace(), self._owner
        while True:
            if isinstance(trace, StageTrace) and (trace is not owner or self._ref._argument):
                return self._captured_by(trace)
            if trace is owner and not self._ref._argument:
                return None
            if trace is None:
                raise self._leaked()
            if type(trace) is LinearizeTrace and trace is not owner:
                return self._on_tape(trace)
            if isinstance(trace, BatchTrace) or trace is owner:
                raise RefError(
                    f"a custom_vjp function with a reference of type {self._described()} among its arguments is called in "
                    f"{trace.describe()}, whose derivative could not hand on what the backward rule writes; take the gradient "
                    "inside of the function that is mapped or differentiated"
                )
            trace = trace.parent

    def _aval_outside(self, trace: StageTrace) -> ShapedArray:
        """As for any cell; but around the program whose argument the reference is there is no thread to be read."""
        of_argument = self._ref._argument and trace is self._owner
        return self._array_aval if of_argument else super()._aval_outside(trace)

    def _on_tape(self, trace: LinearizeTrace) -> _OnTape:
        if trace.tape.threads is None:
            trace.tape.threads = {}
        values = trace.tape.threads.get(self)
        if values is None:
            with ambient(trace.parent):
                zeros = hooks.zeros(self._array_aval)
            start = LinearizeTracer(trace, zeros, TapeTracer(trace.tape, self._array_aval))
            values = trace.tape.threads[self] = [start]
        return _OnTape(values)


class _OnTape:
    """A thread in a function that is linearised: all that it has been."""

    __slots__ = ("_values",)

    def __init__(self, values: list[Any]) -> None:
        self._values = values

    @property
    def value(self) -> Any:
        return self._values[-1]

    def goes_on(self, value: Any) -> None:
        """Note what the thread is from here on."""
        self._values.append(value)


def thread_of(ref: Ref) -> Thread:
    """The thread of a reference.

    Raises:
      RefError: it holds no floating point numbers, so it has no cotangents.
    """
    if ref._thread is None:
        if not dtypes.is_inexact(ref.dtype):
            raise RefError(
                f"a reference of type {ref.aval} is an argument of a custom_vjp function in a program: only references to floating "
                "point numbers can be"
            )
        ref._thread = Thread(ref)
    thread: Thread = ref._thread
    return thread


def differentiated_by(trace: Trace | None, values: Any) -> bool:
    """Whether any of the values carries a tangent of the ambient linearisation, if that is one; True if it is not."""
    return type(trace) is not LinearizeTrace or any(
        [type(x) is LinearizeTracer and x._trace is trace for x in values]
    )
