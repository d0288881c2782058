"""Forward differentiation: tracers that carry a tangent along.

Invariant: a `JvpTracer` exists only for a value whose tangent is not known to be zero; everything else stays
the plain value of the enclosing trace, so operations that do not touch the differentiated inputs
cost nothing extra.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from anima._native import get_trace, made_by_position, process_natively, set_jvp_classes, set_trace
from anima.config import check_tracer_leaks
from anima.core import variance
from anima.core.aval import AbstractValue
from anima.core.axes import axes_alone
from anima.core.evaluate import eval_jaxpr
from anima.core.jaxpr import ClosedJaxpr, Jaxpr
from anima.core.leaks import check_leaks
from anima.core.primitive import Primitive, Zero
from anima.core.trace import Trace, Tracer, ambient, aval_of, check_enclosing
from anima.interpreters.stage import StageTrace, enclosing_stage, stage
from anima.interpreters.zeros import instantiate, zero_of


class JvpTracer(Tracer):
    """A primal value with its tangent."""

    __slots__ = ("primal", "tangent")

    def __init__(self, trace: JvpTrace, primal: Any, tangent: Any) -> None:
        self._trace = trace
        self.primal = primal
        self.tangent = tangent

    @property
    def aval(self) -> AbstractValue:
        return aval_of(self.primal)

    def concrete(self) -> Any | None:
        return concrete_of(self.primal)

    def origin(self) -> str:
        return self.primal.origin() if isinstance(self.primal, Tracer) else ""

    def __repr__(self) -> str:
        return f"Traced<{self.aval!r}>with<JVPTrace> with primal = {self.primal!r} and tangent = {self.tangent!r}"


made_by_position(JvpTracer, "_trace", "primal", "tangent")

_TANGENT_VARIES = (
    "a derivative rule returned a tangent that may differ between devices along the axes {axes}, for a result that is the "
    "same along them; sum it with psum, or mark the result with lax.pcast(..., to='varying')"
)


def as_varying_as(primal: Any, tangent: Any) -> Any:
    """The tangent, varying along the manual axes along which its primal value does.

    Raises:
      ValueError: it varies along others.
    """
    return variance.made_to(tangent, aval_of(primal).varying, _TANGENT_VARIES)


def concrete_of(value: Any) -> Any | None:
    """The concrete value of a tracer or array, or None if it is abstract."""
    return value.concrete() if isinstance(value, Tracer) else value


class JvpTrace(Trace):
    """Applies each operation's `jvp` rule; equations that it makes get the user's operation's position."""

    __slots__ = ("staging",)

    def __init__(self, parent: Trace | None) -> None:
        self.parent = parent
        self.staging = enclosing_stage(parent)

    def process(self, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        return process_natively(self, primitive, args, params)

    def pair(self, primal: Any, tangent: Any) -> Any:
        """`primal` with its tangent; plain if that is a symbolic zero."""
        if type(tangent) is Zero:
            return primal
        if variance.seen:
            with ambient(self.parent):
                tangent = as_varying_as(primal, tangent)
        return JvpTracer(self, primal, tangent)

    def split(self, value: Any) -> tuple[Any, Any]:
        """The primal and tangent of a value of this or an enclosing trace."""
        if type(value) is JvpTracer and value._trace is self:
            return value.primal, value.tangent
        if isinstance(value, Tracer):
            check_enclosing(value, self)
        return value, zero_of(value)

    def describe(self) -> str:
        return "JVPTrace"


set_jvp_classes(JvpTrace, JvpTracer, Zero, zero_of)


def jvp_flat(
    fun: Callable[..., Sequence[Any]], primals: Sequence[Any], tangents: Sequence[Any]
) -> tuple[list[Any], list[Any]]:
    """Outputs of `fun` (flat to flat) and their tangents, of which some may be `Zero`."""
    parent = get_trace()
    trace = JvpTrace(parent)
    inputs = [trace.pair(p, t) for p, t in zip(primals, tangents)]
    set_trace(trace)
    try:
        outputs = fun(*inputs)
    finally:
        set_trace(parent)
    pairs = [trace.split(out) for out in outputs]
    if check_tracer_leaks.value:
        del inputs, outputs
        check_leaks(trace)
    return [p for p, _ in pairs], [t for _, t in pairs]


def jvp_jaxpr(
    closed: ClosedJaxpr, nonzeros: tuple[bool, ...], instantiate_outs: bool | tuple[bool, ...] = False
) -> tuple[ClosedJaxpr, tuple[bool, ...]]:
    """The program computing `closed` and the tangents of its outputs.

    Its arguments are the primals, then one tangent for each True of `nonzeros`. Its outputs are the
    primal outputs, then the tangents of those outputs for which the second result is True.
    """
    key = ("jvp", nonzeros, instantiate_outs)
    return closed.jaxpr.memoized(key, lambda: _jvp_jaxpr(closed, nonzeros, instantiate_outs))


def _jvp_jaxpr(
    closed: ClosedJaxpr, nonzeros: tuple[bool, ...], instantiate_outs: bool | tuple[bool, ...]
) -> tuple[ClosedJaxpr, tuple[bool, ...]]:
    jaxpr = closed.jaxpr
    in_avals = jaxpr.in_avals
    tangent_avals = [a.tangent_aval() for a, nz in zip(in_avals, nonzeros) if nz]
    out_nonzeros: tuple[bool, ...] = ()
    stages: list[StageTrace] = []

    def fun(*args: Any) -> list[Any]:
        nonlocal out_nonzeros
        primals, given = args[: len(in_avals)], iter(args[len(in_avals) :])
        tangents = [next(given) if nz else Zero(a.tangent_aval()) for a, nz in zip(in_avals, nonzeros)]
        run = lambda *xs: eval_derived(jaxpr, closed.consts, xs, stages[0])
        outs, out_tangents = jvp_flat(run, primals, tangents)
        wanted = _per_output(instantiate_outs, len(outs))
        out_nonzeros = tuple(w or type(t) is not Zero for w, t in zip(wanted, out_tangents))
        return [*outs, *(instantiate(t) for t, nz in zip(out_tangents, out_nonzeros) if nz)]

    result = stage_closed(fun, [*in_avals, *tangent_avals], jaxpr.name, stages.append)
    return result, out_nonzeros


def _per_output(flags: bool | tuple[bool, ...], count: int) -> tuple[bool, ...]:
    return (flags,) * count if isinstance(flags, bool) else flags


def stage_closed(
    fun: Callable[..., Sequence[Any]],
    avals: Sequence[AbstractValue],
    name: str,
    setup: Callable[[StageTrace], None] | None = None,
) -> ClosedJaxpr:
    """Stage a program derived from a jaxpr: outside every trace, as it depends on the jaxpr alone.

    Named axes stay bound, for the users' rules that deriving a program may call.
    """
    previous = set_trace(axes_alone())
    try:
        jaxpr, consts = stage(fun, avals, name, setup=setup)
    finally:
        set_trace(previous)
    return ClosedJaxpr(jaxpr, consts)


def eval_derived(jaxpr: Jaxpr, consts: Sequence[Any], args: Sequence[Any], trace: StageTrace) -> list[Any]:
    """`eval_jaxpr`, with equations staged on the way inheriting the forward equations' positions."""

    def at(position: Any) -> None:
        trace.source = position

    return eval_jaxpr(jaxpr, consts, *args, on_equation=at)
