"""What a reference holds, and which transformations stand between it and who reads or writes.

Invariant: a cell belongs to the trace that was ambient when it was made, and its value is a value of that trace. Between the
ambient trace and the owner there may be others. One that records a program takes the cell's value as an argument (`Use`), and
what is written stays in there until the program is bound: nothing goes further out. Any other lets values of its parents
through, and must not let its own tracers out: a mapped value, or one that carries a tangent, is refused.
"""

from __future__ import annotations

from typing import Any

from anima._native import get_trace
from anima.core import variance
from anima.core.aval import ShapedArray
from anima.core.trace import Trace, Tracer, ambient, aval_of, encloses, leak_error
from anima.errors import RefError, UnexpectedTracerError
from anima.interpreters.batch import BatchTrace
from anima.interpreters.stage import StagedTracer, StageTrace


class Cell:
    """A place for the values of one array.

    Attributes (of use to this package alone):
      _argument: whether it stands for a reference that was passed to the function whose trace is the owner.
      _owner: the trace that it belongs to; None outside of all.
      _value: the value in that trace.
      _shared: whether somebody else may hold the same array, so that its memory must not be used again.
      _ended: why it must not be used any more, or None.
      _lent: the trace of a function that has it as an argument, while that is traced: until then only the argument counts.
    """

    __slots__ = ("__weakref__", "_argument", "_array_aval", "_ended", "_lent", "_owner", "_shared", "_value")

    def __init__(self, value: Any, array_aval: ShapedArray, owner: Trace | None, shared: bool = True) -> None:
        self._value = value
        self._array_aval = array_aval
        self._owner = owner
        self._shared = shared
        self._argument = False
        self._ended: str | None = None
        self._lent: Trace | None = None

    def _read(self) -> Any:
        """The value here."""
        trace = get_trace()
        if self._ended is not None or self._lent is not None:
            self._check_usable(trace)
        if trace is self._owner:
            return self._value
        use = self._use_in(trace, None)
        return self._value if use is None else use.value

    def _write(self, value: Any, shared: bool = True) -> None:
        """Make `value`, of the cell's own type, the value from here on."""
        trace = get_trace()
        if self._ended is not None or self._lent is not None:
            self._check_usable(trace)
        use = None if trace is self._owner else self._use_in(trace, value)
        if use is None:
            self._value, self._shared = value, shared
        else:
            use.value, use.written = value, True

    def _use_in(self, trace: Trace | None, written: Any) -> Use | None:
        """The use of this cell in the innermost program that is recorded inside of its owner's trace, or None.

        `written`: what is to be written, or None.
        Raises:
          UnexpectedTracerError: the trace of the owner has ended. RefError: what is written must not leave a trace between.
        """
        owner = self._owner
        while trace is not owner:
            if trace is None:
                raise self._leaked()
            if isinstance(trace, StageTrace):
                return self._captured_by(trace)
            if trace.continues(owner):  # type: ignore[arg-type]  # an owner that is None ends the loop
                return None
            if written is not None:
                self._check_leaves(trace, written)
            trace = trace.parent
        return None

    def _captured_by(self, trace: StageTrace) -> Use:
        if trace.captures is None:
            raise RefError(
                f"a reference of type {self._described()} from outside is used in {trace.describe()}, a program that "
                "takes none. References can be used in functions given to jit, vmap, scan, map, fori_loop, while_loop, cond, "
                "switch and checkpoint; here, pass in its value ref[...], return what it is to be, and write that outside"
            )
        found: Use | None = trace.captures.get(self)
        if found is None:
            if self._owner is not None and not encloses(self._owner, trace):
                raise self._leaked()
            found = trace.captures[self] = Use(trace.new_input(self._aval_outside(trace)))
        return found

    def _aval_outside(self, trace: StageTrace) -> ShapedArray:
        """The type of the value around a program that is recorded: it may vary along manual axes."""
        if not variance.seen or self._argument:
            return self._array_aval
        with ambient(trace.parent):
            return self._array_aval.update(varying=aval_of(self._read()).varying)

    def _check_leaves(self, trace: Trace, value: Any) -> None:
        """Raise RefError unless a value may leave a trace for this cell, which is further out."""
        if isinstance(trace, BatchTrace):
            raise RefError(
                f"a function under vmap writes to a reference of type {self._described()} that it closes over, or for which "
                "in_axes is None: its examples would all write to the same array. Make the reference an argument of the "
                "function that is mapped, with an axis for the examples"
            )
        if isinstance(value, Tracer) and value._trace is trace:
            raise RefError(
                f"a differentiated function writes a differentiated value to a reference of type {self._described()} from "
                "outside, which takes no tangents. Write lax.stop_gradient(value), or make the reference in the function"
            )

    def _check_usable(self, trace: Trace | None) -> None:
        if self._ended is not None:
            raise RefError(
                f"a reference of type {self._described()} is used after {self._ended}, which ended it; make a new one with "
                "new_ref"
            )
        if self._lent is not None and encloses(self._lent, trace):
            raise RefError(
                f"a reference of type {self._described()} is an argument of {self._lent.describe()}, and is closed over by the "
                "function as well: it would have two names. Use the argument"
            )

    def _end(self, how: str) -> Any:
        """The last value; the cell must not be used from here on.

        Raises:
          RefError: the function that would end it did not make it.
        """
        trace = get_trace()
        self._check_usable(trace)
        if trace is not self._owner or self._argument:
            if self._owner is not None and not encloses(self._owner, trace):
                raise self._leaked()
            raise RefError(
                f"{how}: a reference of type {self._described()} can only be ended in the function that made it; read its "
                "value with ref[...]"
            )
        value, self._value, self._ended = self._value, None, how
        return value

    def _leaked(self) -> UnexpectedTracerError:
        if isinstance(self._value, Tracer):
            return leak_error(self._value)
        assert self._owner is not None
        return UnexpectedTracerError(
            f"a reference of type {self._described()} that was made under {self._owner.describe()} was used outside the "
            "transformation: it has finished, or belongs to another thread. Return ref[...] from the transformed function."
        )

    def _described(self) -> str:
        return f"Ref{{{self._array_aval.str_short(short_dtypes=False)}}}"


class Use:
    """A cell from outside in a program that is recorded: its value so far, and whether the program changes it."""

    __slots__ = ("value", "written")

    def __init__(self, value: StagedTracer) -> None:
        self.value: Any = value
        self.written = False
