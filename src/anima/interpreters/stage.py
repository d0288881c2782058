"""Staging: running a function on tracers that record a jaxpr.

Invariant: while a `StageTrace` is ambient every operation is recorded, also those on constants. Concrete
scalars become literals; other constants become constvars, one for each distinct object. Tracers of
enclosing transformations are constants like any other; tracers of anything else raise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from anima import dtypes
from anima._native import made_by_position, process_natively, set_stage_classes, set_trace
from anima.config import check_tracer_leaks, debug_infs, debug_nans, enable_checks
from anima.core import source, trace as core_trace, validate
from anima.core.aval import AbstractValue, ShapedArray, array_aval
from anima.core.collector import collect_seldom
from anima.core.effects import no_effects
from anima.core.jaxpr import Atom, DropVar, Eqn, Jaxpr, Literal, Var, join_effects
from anima.core.leaks import check_leaks
from anima.core.primitive import Primitive
from anima.core.trace import Trace, Tracer

_PYTHON_SCALARS = (bool, int, float, complex)

# What the user calls the inputs of a jaxpr; asked only when a message needs it.
InputNames = Callable[[], Sequence[str]]


class StagedTracer(Tracer):
    """A value that will exist when the jaxpr runs."""

    __slots__ = ("atom", "aval")

    aval: AbstractValue

    def __init__(self, trace: StageTrace, atom: Atom, aval: AbstractValue) -> None:
        self._trace = trace
        self.atom = atom
        self.aval = aval

    def origin(self) -> str:
        trace = self._trace
        assert isinstance(trace, StageTrace)
        return trace.origin_of(self.atom)

    def __repr__(self) -> str:
        """As the Sharp Bits show it: `level=-n/m` is the n-th jaxpr being recorded, the m-th of all traces at work."""
        jaxprs = traces = 0
        trace: Trace | None = self._trace
        while trace is not None:
            jaxprs += isinstance(trace, StageTrace)
            traces += 1
            trace = trace.parent
        return f"Traced<{self.aval!r}:JaxprTrace(level=-{jaxprs}/{traces})>"


made_by_position(StagedTracer, "_trace", "atom", "aval")


class StageTrace(Trace):
    """Records equations, natively. `source`, if set, is given to new equations instead of the caller's position."""

    __slots__ = (
        "_const_vars", "at_end", "captures", "consts", "constvars", "eqns", "fun_name", "in_names", "invars", "names", "source",
    )  # fmt: skip

    def __init__(self, parent: Trace | None, fun_name: str, in_names: InputNames | None = None) -> None:
        self.parent = parent
        self.fun_name = fun_name
        self.in_names = in_names
        self.eqns: list[Eqn] = []
        self.invars: list[Var] = []
        self.constvars: list[Var] = []
        self.consts: list[Any] = []
        self._const_vars: dict[int, Atom] = {}
        self.source: source.Position | None = None
        self.names: tuple[str, ...] = ()  # of the scopes that are open
        self.at_end: tuple[Callable[[], None], ...] = ()  # looks at what the function has left behind
        self.captures: dict[Any, Any] | None = (
            None  # references from outside (`anima.state`), where the program may use any
        )

    def new_input(self, aval: AbstractValue) -> StagedTracer:
        """A tracer for a new argument of the jaxpr."""
        var = Var(aval)
        self.invars.append(var)
        return StagedTracer(self, var, aval)

    def atom(self, value: Any) -> Atom:
        """The atom that stands for `value` in this jaxpr."""
        if type(value) is StagedTracer and value._trace is self:
            return value.atom
        known = self._const_vars.get(id(value))
        if known is not None:
            return known
        if isinstance(value, Tracer):
            core_trace.check_enclosing(value, self)
        aval = core_trace.aval_of(value)
        if isinstance(value, _PYTHON_SCALARS):
            if type(value) is int and not -(2**31) <= value < 2**31:
                _check_fits(value, aval)
            return Literal(value, aval)
        if is_inline_scalar(value, aval):
            atom: Atom = Literal(value, aval)
        else:
            atom = Var(aval)
            self.constvars.append(atom)
        # The list keeps the value alive, so that its id stays its own.
        self.consts.append(value)
        self._const_vars[id(value)] = atom
        return atom

    def process(self, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        return process_natively(self, primitive, args, params)

    def finish(self, outputs: Sequence[Any]) -> tuple[Jaxpr, list[Any]]:
        """The recorded jaxpr with these outputs, and the values of its constvars."""
        outvars = [self.atom(value) for value in outputs]
        # `consts` also holds the literals' values; keep only those that have a constvar.
        consts = [c for c in self.consts if type(self._const_vars[id(c)]) is Var]
        jaxpr = Jaxpr(self.constvars, self.invars, outvars, self.eqns, join_effects(self.eqns), self.fun_name)
        if enable_checks.value:
            validate.check_jaxpr(jaxpr)
        return jaxpr, consts

    def describe(self) -> str:
        return f"JaxprTrace({self.fun_name})" if self.fun_name else "JaxprTrace"

    def origin_of(self, var: Atom) -> str:
        """Which argument, or which operation at which line, `var` came from."""
        for index, invar in enumerate(self.invars):
            if invar is var:
                names = self.in_names() if self.in_names is not None else ()
                name = names[index] if index < len(names) else f"number {index}"
                return f"it is argument {name} of {self.fun_name or 'the traced function'}"
        for eqn in self.eqns:
            if any(out is var for out in eqn.outvars):
                return f"it was computed by '{eqn.primitive.name}' at {eqn.source}"
        return f"it is a constant of {self.fun_name or 'the traced function'}"


set_stage_classes(StageTrace, StagedTracer, Var, Eqn, no_effects)


def _check_fits(value: int, aval: AbstractValue) -> None:
    """Raise OverflowError, as operations outside of `jit` do, unless the dtype of Python integers holds the value."""
    dtype = array_aval(aval).dtype
    bits = dtypes.itemsize_bits(dtype)
    if not -(2 ** (bits - 1)) <= value < 2 ** (bits - 1):
        advice = "pass a float" if bits == 64 else "enable 64-bit mode or pass a float"
        raise OverflowError(f"Python int {value} is too large for {dtypes.dtype_name(dtype)}: {advice}")


def is_inline_scalar(value: Any, aval: AbstractValue) -> bool:
    """Whether `value` is a concrete scalar, to be written into the equation as a literal."""
    return isinstance(value, _PYTHON_SCALARS) or (
        not isinstance(value, Tracer)
        and type(aval) is ShapedArray
        and aval.shape == ()
        and getattr(aval.dtype, "kind", "") in "bifucV"
        and not hasattr(aval.dtype, "physical_element")
    )


def unplaced(trace: StageTrace) -> None:
    """For `stage(setup=...)`: the equations have no position in the user's source."""
    trace.source = source.NOWHERE


@contextmanager
def own_lines() -> Iterator[None]:
    """Within the block, in which a user's rule runs, equations have positions in the rule, not that of the operation.

    Only while results are looked at for NaNs. In a backward pass the operation stays known as what they belong to.
    """
    staging = enclosing_stage(core_trace.get_trace()) if debug_nans.value or debug_infs.value else None
    around = None if staging is None else staging.source
    if staging is None or around is None:
        yield
        return
    start, staging.source = len(staging.eqns), None
    try:
        yield
    finally:
        staging.source = around
    if around.caller is not None:
        for eqn in staging.eqns[start:]:
            if eqn.source is not None and eqn.source.caller is None:
                eqn.source = around._replace(caller=eqn.source)


def enclosing_stage(trace: Trace | None) -> StageTrace | None:
    """The innermost jaxpr being recorded at `trace` or around it."""
    while trace is not None and not isinstance(trace, StageTrace):
        trace = trace.parent
    return trace


def stage(
    fun: Callable[..., Sequence[Any]],
    avals: Sequence[AbstractValue],
    name: str = "",
    in_names: InputNames | None = None,
    setup: Callable[[StageTrace], None] | None = None,
) -> tuple[Jaxpr, list[Any]]:
    """Trace `fun`, which takes and returns flat lists of values, on inputs of the given avals.

    Returns the jaxpr and the constants for its constvars. `setup` is given the trace before `fun` runs.
    """
    parent = core_trace.get_trace()
    trace = StageTrace(parent, name, in_names)
    inputs = [trace.new_input(aval) for aval in avals]
    if setup is not None:
        setup(trace)
    set_trace(trace)
    try:
        with collect_seldom():
            outputs = fun(*inputs)
            for check in trace.at_end:
                check()
            result = trace.finish(outputs)
    finally:
        set_trace(parent)
    if check_tracer_leaks.value:
        del inputs, outputs
        check_leaks(trace)
    return result


def hoist_consts(jaxpr: Jaxpr) -> Jaxpr:
    """The same program with its constvars as leading arguments."""
    if not jaxpr.constvars:
        return jaxpr
    return Jaxpr([], [*jaxpr.constvars, *jaxpr.invars], jaxpr.outvars, jaxpr.eqns, jaxpr.effects, jaxpr.name)


def mark_dropped(jaxpr: Jaxpr) -> Jaxpr:
    """The same program with outputs that nobody reads shown as `_`."""
    used: set[Atom] = {a for a in jaxpr.outvars if isinstance(a, Var)}
    for eqn in jaxpr.eqns:
        used.update(a for a in eqn.invars if isinstance(a, Var))
    eqns = [
        e if all(v in used for v in e.outvars)
        else e.replace(outvars=[v if v in used else DropVar(v.aval) for v in e.outvars])
        for e in jaxpr.eqns
    ]  # fmt: skip
    return Jaxpr(jaxpr.constvars, jaxpr.invars, jaxpr.outvars, eqns, jaxpr.effects, jaxpr.name)
