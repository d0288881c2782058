"""Linearisation in one pass: primal values are computed as the function runs, the linear part is taped.

Invariant: while an operation's derivative rule runs, the ambient trace is the `TapeTrace`. Operations on primal
values alone go straight to the enclosing trace (so they are concrete when the caller's are); operations
that touch a tangent are linear in it and are recorded, with primal operands kept as values; of one with
programs inside that has primal results too, only the half that is linear. The tape is therefore the
linear map itself, its constants are the residuals, and no primal equation is ever on it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from anima._native import (
    ArrayImpl,
    get_trace,
    made_by_position,
    process_natively,
    record_on_tape,
    set_linearize_classes,
    set_tape_classes,
    set_trace,
)
from anima.config import check_tracer_leaks, debug_infs, debug_nans
from anima.core import source, variance
from anima.core.aval import AbstractValue
from anima.core.effects import no_effects
from anima.core.jaxpr import ClosedJaxpr, Eqn, Jaxpr, Literal, Var, join_effects
from anima.core.leaks import check_leaks
from anima.core.primitive import Primitive, Zero
from anima.core.trace import Trace, Tracer, ambient, aval_of, check_enclosing
from anima.interpreters.jvp import as_varying_as, concrete_of, eval_derived, stage_closed
from anima.interpreters.partial import Division, in_halves
from anima.interpreters.residuals import repeat_cheap
from anima.interpreters.stage import StageTrace, enclosing_stage, is_inline_scalar
from anima.interpreters.zeros import zero_of


class TapeTracer(Tracer):
    """A tangent: a value that depends linearly on the inputs of the tape."""

    __slots__ = ("aval",)

    aval: AbstractValue
    __hash__ = object.__hash__  # type: ignore[assignment]  # tapes are keyed by identity

    def __init__(self, trace: TapeTrace, aval: AbstractValue) -> None:
        self._trace = trace
        self.aval = aval

    def __repr__(self) -> str:
        return f"Tangent<{self.aval!r}>"


made_by_position(TapeTracer, "_trace", "aval")


class TapeEqn:
    """A linear operation: `args` mixes tape tracers and values."""

    __slots__ = ("args", "outs", "params", "primitive", "source")

    def __init__(
        self,
        primitive: Primitive,
        args: tuple[Any, ...],
        outs: list[TapeTracer],
        params: dict[str, Any],
        position: source.Position | None,
    ) -> None:
        self.primitive = primitive
        self.args = args
        self.outs = outs
        self.params = params
        self.source = position


class _Place:
    """What knows the position of the user's operation where no jaxpr is being recorded."""

    __slots__ = ("names", "source")

    def __init__(self) -> None:
        self.names: tuple[str, ...] = ()
        self.source: source.Position | None = None


class TapeTrace(Trace):
    """Records linear operations; everything else it hands to its parent.

    Outside of jaxprs positions are noted only while results are looked at for NaNs. `rules` are the users' rules that run now,
    one inside the other, on tangents of this tape.
    """

    __slots__ = ("eqns", "rules", "staging", "threads")

    def __init__(self, parent: Trace | None) -> None:
        self.parent = parent
        self.eqns: list[TapeEqn] = []
        self.rules: tuple[Any, ...] = ()
        # Further inputs, and what becomes of each, by what it belongs to (`state.threads`).
        self.threads: dict[Any, list[Any]] | None = None
        self.staging: StageTrace | _Place | None = enclosing_stage(parent)
        if self.staging is None and (debug_nans.value or debug_infs.value):
            self.staging = _Place()

    def process(self, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        return process_natively(self, primitive, args, params)

    def process_divided(self, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        """Put an operation with programs inside on the tape, but for the part that no tangent enters."""
        if division := self._division(primitive, args, params):
            return in_halves(primitive, args, division, self.outside, self.record)
        return self.record(primitive, args, params)

    def outside(self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        """What an operation gives that touches no tangent."""
        set_trace(self.parent)
        try:
            return primitive.bind(*args, **params)
        finally:
            set_trace(self)

    def _division(self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Division | None:
        """How an operation divides that has results which do not depend on tangents: those are not linear in anything."""
        assert primitive.partial is not None
        on_tape = tuple([type(arg) is TapeTracer and arg._trace is self for arg in args])
        division: Division | None = None if all(on_tape) else primitive.partial(on_tape, **params)
        return None if division is None or all(division.out_unknowns) else division

    def record(self, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        """Put an operation on the tape; its results are tangents."""
        return record_on_tape(self, primitive, args, params)

    def describe(self) -> str:
        return "LinearTrace"


def _outer_aval(value: Any, tape: TapeTrace) -> AbstractValue:
    """The aval of what an operation on the tape uses beside tangents."""
    if isinstance(value, Tracer):
        check_enclosing(value, tape)
    return aval_of(value)


set_tape_classes(TapeTrace, TapeTracer, TapeEqn, _outer_aval)


def record_whole(primitive: Primitive, *args: Any, **params: Any) -> Any:
    """The results of an operation of a `linearize` rule that goes on the tape as it is, though parts of it are not linear."""
    trace = get_trace()
    if isinstance(trace, TapeTrace) and any(type(a) is TapeTracer and a._trace is trace for a in args):
        return trace.record(primitive, args, params)
    return primitive.bind(*args, **params)


class LinearizeTracer(Tracer):
    """A primal value with its tangent on the tape."""

    __slots__ = ("primal", "tangent")

    def __init__(self, trace: LinearizeTrace, primal: Any, tangent: TapeTracer) -> None:
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
        return f"Traced<{self.aval!r}>with<LinearizeTrace> with primal = {self.primal!r}"


made_by_position(LinearizeTracer, "_trace", "primal", "tangent")


class LinearizeTrace(Trace):
    """Applies each operation's `linearize` rule, or its `jvp` rule with tangents on the tape.

    Where a jaxpr is being recorded around it, the position of the user's operation is looked up once and
    given to every equation that its rules make, on the tape and in the jaxpr.
    """

    __slots__ = ("staging", "tape")

    def __init__(self, parent: Trace | None, tape: TapeTrace) -> None:
        self.parent = parent
        self.tape = tape
        self.staging = tape.staging

    def process(self, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        return process_natively(self, primitive, args, params)

    def pair(self, primal: Any, tangent: Any) -> Any:
        """`primal` with its tangent; plain if that is a symbolic zero or not linear in the inputs."""
        if type(tangent) is TapeTracer:
            if variance.seen:
                with ambient(self.tape):
                    tangent = as_varying_as(primal, tangent)
            return LinearizeTracer(self, primal, tangent)
        if type(tangent) is Zero:
            return primal
        raise TypeError(
            "a derivative rule returned a tangent that does not depend on its input tangents: "
            f"{tangent!r}; tangents must be linear in them (a constant zero is fine as symbolic zero)"
        )

    def split(self, value: Any) -> tuple[Any, Any]:
        """The primal and tangent of a value of this or an enclosing trace."""
        if type(value) is LinearizeTracer and value._trace is self:
            return value.primal, value.tangent
        if isinstance(value, Tracer):
            check_enclosing(value, self)
        return value, zero_of(value)

    def describe(self) -> str:
        return "LinearizeTrace"


set_linearize_classes(LinearizeTrace, LinearizeTracer)


class Tape:
    """A linear map from `inputs` to `outputs`; outputs that are `Zero` do not depend on them.

    `threads`: what becomes of further inputs, the last of each being an output, with what it belongs to. Operations that nothing but
    cotangents of threads reach are not transposed: these go along the thread.
    """

    __slots__ = ("eqns", "inputs", "outputs", "threads")

    def __init__(
        self,
        inputs: list[TapeTracer],
        outputs: list[Any],
        eqns: list[TapeEqn],
        threads: Sequence[tuple[Any, list[TapeTracer]]] = (),
    ) -> None:
        self.threads = threads
        self.inputs = inputs
        self.outputs = outputs
        self.eqns = eqns

    def apply(self, tangents: Sequence[Any]) -> list[Any]:
        """The output tangents (or `Zero`) for the given input tangents."""
        env: dict[TapeTracer, Any] = dict(zip(self.inputs, tangents))
        for eqn in self.eqns:
            args = [env[a] if type(a) is TapeTracer and a in env else a for a in eqn.args]
            outs = eqn.primitive.bind(*args, **eqn.params)
            env.update(zip(eqn.outs, outs if eqn.primitive.multiple_results else [outs]))
        return [out if type(out) is Zero else env[out] for out in self.outputs]

    def of_inputs(self, wanted: Sequence[bool]) -> Tape:
        """The same map without what depends on no input that is wanted: those get symbolic zeros as cotangents."""
        if all(wanted):
            return self
        alive = {t for t, flag in zip(self.inputs, wanted) if flag}
        kept = []
        for eqn in self.eqns:
            if any([type(a) is TapeTracer and a in alive for a in eqn.args]):
                alive.update(eqn.outs)
                kept.append(eqn)
        outputs = [o if type(o) is Zero or o in alive else Zero(o.aval) for o in self.outputs]
        inputs = [t if flag else TapeTracer(t._trace, t.aval) for t, flag in zip(self.inputs, wanted)]  # type: ignore[arg-type]
        return Tape(inputs, outputs, kept, self.threads)


def linearize_onto(
    tape: TapeTrace, fun: Callable[..., Sequence[Any]], primals: Sequence[Any], tangents: Sequence[Any]
) -> tuple[list[Any], list[Any]]:
    """Outputs of `fun` (flat to flat) and their tangents, for tangents of a tape, which is ambient: what a function does inside
    a `linearize` rule, it does as if it were called outside."""
    trace = LinearizeTrace(tape.parent, tape)
    set_trace(trace)
    try:
        outputs = fun(*[trace.pair(p, t) for p, t in zip(primals, tangents)])
    finally:
        set_trace(tape)
    pairs = [trace.split(out) for out in outputs]
    return [p for p, _ in pairs], [t for _, t in pairs]


def linearize_flat(
    fun: Callable[..., Sequence[Any]], primals: Sequence[Any], nonzeros: Sequence[bool] | None = None
) -> tuple[list[Any], Tape]:
    """Outputs of `fun` (flat to flat) at `primals`, and its derivative there as a tape.

    The tape's inputs are the tangents of the primals for which `nonzeros` is True (default: all).
    """
    parent = get_trace()
    tape = TapeTrace(parent)
    trace = LinearizeTrace(parent, tape)
    inputs: list[TapeTracer] = []
    args = []
    for i, primal in enumerate(primals):
        if nonzeros is None or nonzeros[i]:
            inputs.append(TapeTracer(tape, aval_of(primal).tangent_aval()))
            args.append(LinearizeTracer(trace, primal, inputs[-1]))
        else:
            args.append(primal)
    set_trace(trace)
    try:
        outputs = fun(*args)
    finally:
        set_trace(parent)
    pairs = [trace.split(out) for out in outputs]
    threads: Sequence[Any] = ()
    if tape.threads is not None:
        threads = [(of, [trace.split(x)[1] for x in values]) for of, values in tape.threads.items()]
    if check_tracer_leaks.value:
        del args, outputs
        tape.threads = None
        check_leaks(trace)
    return [p for p, _ in pairs], Tape(inputs, [t for _, t in pairs], tape.eqns, threads)


def tape_jaxpr(tape: Tape, keep_arrays: bool = False) -> tuple[Jaxpr, list[Any]]:
    """The tape as a jaxpr of `(*residuals, *input tangents)`, with the residuals; outputs are the non-zero ones.

    Scalars are part of the jaxpr; with `keep_arrays`, arrays of one number are residuals like all others.
    """
    env: dict[Any, Any] = {t: Var(t.aval) for t in tape.inputs}
    residuals: list[Any] = []
    residual_vars: dict[int, Var] = {}

    def atom(value: Any) -> Any:
        if type(value) is TapeTracer and value in env:
            return env[value]
        aval = aval_of(value)
        if is_inline_scalar(value, aval) and not (keep_arrays and type(value) is ArrayImpl):
            return Literal(value, aval)
        var = residual_vars.get(id(value))
        if var is None:
            var = residual_vars[id(value)] = Var(aval)
            residuals.append(value)
        return var

    eqns = []
    for eqn in tape.eqns:
        inputs = [atom(a) for a in eqn.args]
        outs = [env.setdefault(out, Var(out.aval)) for out in eqn.outs]
        avals = [a.aval for a in inputs]
        effects = no_effects if eqn.primitive.effects is None else eqn.primitive.effects(*avals, **eqn.params)
        eqns.append(Eqn(eqn.primitive, inputs, outs, eqn.params, effects, eqn.source))
    outputs = [env[out] for out in tape.outputs if type(out) is not Zero]
    invars = [*residual_vars.values(), *(env[t] for t in tape.inputs)]
    return Jaxpr([], invars, outputs, eqns, join_effects(eqns)), residuals


class LinearizedJaxpr:
    """A jaxpr split into its primal part with residuals, and its linear part.

    `primal`: arguments -> outputs, then the residuals that are neither outputs nor arguments.
    `residual_outputs`, `residual_inputs`: outputs and arguments that are residuals too, by index.
    `linear`: (residuals, residual outputs, residual inputs, non-zero input tangents) -> non-zero output tangents.
    """

    __slots__ = ("linear", "out_nonzeros", "primal", "residual_inputs", "residual_outputs")

    def __init__(
        self,
        primal: ClosedJaxpr,
        linear: ClosedJaxpr,
        residual_outputs: tuple[int, ...],
        residual_inputs: tuple[int, ...],
        out_nonzeros: tuple[bool, ...],
    ) -> None:
        self.primal = primal
        self.linear = linear
        self.residual_outputs = residual_outputs
        self.residual_inputs = residual_inputs
        self.out_nonzeros = out_nonzeros


def linearize_jaxpr(closed: ClosedJaxpr, nonzeros: tuple[bool, ...]) -> LinearizedJaxpr:
    """Split `closed` for differentiation with respect to the arguments where `nonzeros` is True."""
    return closed.jaxpr.memoized(("linearize", nonzeros), lambda: _linearize_jaxpr(closed, nonzeros))


def _linearize_jaxpr(closed: ClosedJaxpr, nonzeros: tuple[bool, ...]) -> LinearizedJaxpr:
    jaxpr = closed.jaxpr
    linear: Jaxpr | None = None
    out_nonzeros: tuple[bool, ...] = ()
    residual_inputs: tuple[int, ...] = ()
    residual_outputs: tuple[int, ...] = ()
    stages: list[StageTrace] = []

    def fun(*primals: Any) -> list[Any]:
        nonlocal linear, out_nonzeros, residual_inputs, residual_outputs
        run = lambda *xs: eval_derived(jaxpr, closed.consts, xs, stages[0])
        outs, tape = linearize_flat(run, primals, nonzeros)
        out_nonzeros = tuple(type(t) is not Zero for t in tape.outputs)
        linear, residuals = tape_jaxpr(tape)
        residuals = repeat_cheap(linear, residuals, stages[0], [*primals, *outs])
        inputs = {id(p): i for i, p in enumerate(primals)}
        outputs = {id(o): i for i, o in enumerate(outs) if id(o) not in inputs}
        from_outputs = [i for i, r in enumerate(residuals) if id(r) in outputs]
        from_inputs = [i for i, r in enumerate(residuals) if id(r) in inputs]
        computed = [i for i, r in enumerate(residuals) if id(r) not in inputs and id(r) not in outputs]
        residual_outputs = tuple(outputs[id(residuals[i])] for i in from_outputs)
        residual_inputs = tuple(inputs[id(residuals[i])] for i in from_inputs)
        rest = linear.invars[len(residuals) :]
        linear.invars = [*(linear.invars[i] for i in (*computed, *from_outputs, *from_inputs)), *rest]
        return [*outs, *(residuals[i] for i in computed)]

    primal = stage_closed(fun, jaxpr.in_avals, jaxpr.name, stages.append)
    assert linear is not None
    linear.name = jaxpr.name
    return LinearizedJaxpr(primal, ClosedJaxpr(linear, []), residual_outputs, residual_inputs, out_nonzeros)
