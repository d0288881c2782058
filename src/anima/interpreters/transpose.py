"""Reverse differentiation: running a tape backwards.

Invariant: cotangents flow in reverse order of the tape, each operation's `transpose` rule runs under
the trace that is ambient when the backward pass is called, and operations that received no cotangent are
skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from anima._native import get_trace, set_trace
from anima.config import debug_infs, debug_nans
from anima.core import source, variance
from anima.core.aval import AbstractValue
from anima.core.jaxpr import ClosedJaxpr
from anima.core.primitive import Linear, Zero
from anima.core.source import NOWHERE, Position
from anima.core.trace import aval_of, register_value_type
from anima.errors import NonFiniteError, NonlinearError
from anima.interpreters.jvp import eval_derived, stage_closed
from anima.interpreters.linearize import Tape, TapeEqn, TapeTrace, TapeTracer
from anima.interpreters.stage import StageTrace, enclosing_stage
from anima.interpreters.zeros import add, instantiate


def backward(tape: Tape, cotangents: Sequence[Any]) -> list[Any]:
    """Cotangents of the tape's inputs (symbolic `Zero` where none flows) for those of its outputs."""
    flowing: dict[TapeTracer, Any] = {}

    def give(target: Any, ct: Any) -> None:
        if ct is not None and type(ct) is not Zero and type(target) is TapeTracer:
            if variance.seen:
                ct = variance.made_to(ct, target.aval.varying, _COTANGENT_VARIES)
            known = flowing.get(target)
            flowing[target] = ct if known is None else add(known, ct)

    for out, ct in zip(tape.outputs, cotangents):
        give(out, ct)
    links = tape.threads and {
        after: before for _, values in tape.threads for before, after in pairwise(values)
    }
    staging = enclosing_stage(get_trace())
    outer_source = staging.source if staging is not None else None
    # In a program derived from another, whoever asked is not on the stack.
    caller = (
        (source.current() if outer_source is None else NOWHERE)
        if debug_nans.value or debug_infs.value
        else None
    )
    for eqn in reversed(tape.eqns):
        outs = eqn.outs
        if len(outs) == 1:
            if outs[0] not in flowing:
                continue
            cts = [flowing.pop(outs[0])]
        else:
            cts = [flowing.pop(out, None) for out in outs]
            if all([ct is None for ct in cts]):
                continue
        if links and all([ct is None or out in links for out, ct in zip(outs, cts)]):
            for out, ct in zip(outs, cts):
                give(links.get(out), ct)
            continue
        if staging is not None:
            staging.source = eqn.source if caller is None else _asked_for_at(caller, eqn.source)
        for arg, ct in zip(eqn.args, _transposed(eqn, cts)):
            give(arg, ct)
    if staging is not None:
        staging.source = outer_source
    return [flowing.get(t, Zero(t.aval)) for t in tape.inputs]


_COTANGENT_VARIES = (
    "a cotangent may differ between devices along the axes {axes}, but the value that it belongs to is the same along them. "
    "In a rule of custom_vjp, sum it over the devices: lax.psum(cotangent, ({axes},))"
)


def _asked_for_at(caller: Position, forward: Position | None) -> Position | None:
    """The position of the backward pass of an operation at `forward`."""
    return forward._replace(caller=caller) if forward is not None and forward is not NOWHERE else forward


def _transposed(eqn: TapeEqn, cts: list[Any]) -> Sequence[Any]:
    args = [Linear(a.aval) if type(a) is TapeTracer else a for a in eqn.args]
    if eqn.primitive.multiple_results:
        full = [Zero(out.aval) if ct is None else ct for ct, out in zip(cts, eqn.outs)]
        given: Any = full
    else:
        given = cts[0]
    try:
        found: Sequence[Any] = eqn.primitive.transpose(given, *args, **eqn.params)
    except NonlinearError as error:
        error.add_note(
            f"The operation is '{eqn.primitive.name}'" + (f" at {eqn.source}." if eqn.source else ".")
        )
        raise
    except NonFiniteError as error:  # raised by an operation of the rule, which ran eagerly
        if eqn.source is not None:
            error.in_backward_pass_of(str(eqn.source))
            if eqn.source.text:
                error.add_note(f"{eqn.source.file}:{eqn.source.line}: {eqn.source.text}")
        raise
    return found


def _not_linear(value: Linear) -> AbstractValue:
    # A transpose rule uses an operand as a value that it was told to transpose with respect to.
    raise NonlinearError


register_value_type(Linear, _not_linear)


def tape_of(fun: Callable[..., Sequence[Any]], avals: Sequence[AbstractValue]) -> Tape:
    """The tape of a function that is linear in all its (flat) arguments."""
    parent = get_trace()
    trace = TapeTrace(parent)
    inputs = [TapeTracer(trace, aval) for aval in avals]
    set_trace(trace)
    try:
        outputs = list(fun(*inputs))
    finally:
        set_trace(parent)
    outputs = [o if type(o) is TapeTracer and o._trace is trace else Zero(aval_of(o)) for o in outputs]
    return Tape(inputs, outputs, trace.eqns)


def transpose_jaxpr(
    closed: ClosedJaxpr, linear: tuple[bool, ...], ct_nonzeros: tuple[bool, ...]
) -> tuple[ClosedJaxpr, tuple[bool, ...]]:
    """The transpose of `closed` with respect to the arguments where `linear` is True.

    The result takes the other arguments, then a cotangent for each output where `ct_nonzeros` is True. It
    returns the cotangents of those linear arguments for which the second result is True.
    """
    key = ("transpose", linear, ct_nonzeros)
    return closed.jaxpr.memoized(key, lambda: _transpose_jaxpr(closed, linear, ct_nonzeros))


def _transpose_jaxpr(
    closed: ClosedJaxpr, linear: tuple[bool, ...], ct_nonzeros: tuple[bool, ...]
) -> tuple[ClosedJaxpr, tuple[bool, ...]]:
    jaxpr = closed.jaxpr
    constant_avals = [a for a, lin in zip(jaxpr.in_avals, linear) if not lin]
    linear_avals = [a for a, lin in zip(jaxpr.in_avals, linear) if lin]
    ct_avals = [a.tangent_aval() for a, nz in zip(jaxpr.out_avals, ct_nonzeros) if nz]
    nonzero: tuple[bool, ...] = ()
    stages: list[StageTrace] = []

    def fun(*args: Any) -> list[Any]:
        nonlocal nonzero
        constants = args[: len(constant_avals)]

        def run(*tangents: Any) -> list[Any]:
            given, fixed = iter(tangents), iter(constants)
            values = [next(given) if lin else next(fixed) for lin in linear]
            return eval_derived(jaxpr, closed.consts, values, stages[0])

        tape = tape_of(run, linear_avals)
        given = iter(args[len(constant_avals) :])
        cts = [next(given) if nz else None for nz in ct_nonzeros]
        results = backward(tape, cts)
        nonzero = tuple(type(ct) is not Zero for ct in results)
        return [instantiate(ct) for ct in results if type(ct) is not Zero]

    result = stage_closed(fun, [*constant_avals, *ct_avals], jaxpr.name, stages.append)
    return result, nonzero
