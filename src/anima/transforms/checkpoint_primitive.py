"""The `checkpoint` primitive: a call of a program whose derivative computes values again instead of keeping them.

Invariant: before differentiation it is a plain call. Linearising it runs the program, which then also returns what the
policy keeps, and leaves a `checkpoint` of the linear part on the tape. That one is `differentiated`: its program
begins with the values that it needs, computed again from its operands. `prevent_cse` says for which operands (one
flag, or one for each) a fence stands before it, so that XLA neither merges this with the first computation nor begins
it before the cotangents are there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from anima import dtypes
from anima.core import variance
from anima.core.aval import ShapedArray, array_aval, physical_aval
from anima.core.effects import Effects, describe
from anima.core.jaxpr import Atom, ClosedJaxpr, Jaxpr, join_effects
from anima.core.primitive import Linear, Primitive, Zero
from anima.core.trace import get_trace
from anima.interpreters.batch import Axis, batch_jaxpr
from anima.interpreters.dce import dce_closed, without_dead
from anima.interpreters.jvp import jvp_jaxpr
from anima.interpreters.key_reuse import Walk
from anima.interpreters.linearize import linearize_jaxpr
from anima.interpreters.partial import (
    INPUT,
    Division,
    Halves,
    Offloadable,
    PartialJaxpr,
    Policy,
    Saveable,
    divided_call,
    nothing_saveable,
    split_jaxpr,
)
from anima.interpreters.stage import enclosing_stage
from anima.interpreters.taylor import Series, series_of_call
from anima.interpreters.transpose import transpose_jaxpr
from anima.lax.declare import comparison
from anima.lowering.module import Context, Value
from anima.lowering.types import i64_array
from anima.runtime.dispatch import eager_by_program

Flags = tuple[bool, ...]
Fences = bool | Flags
Params = dict[str, Any]


def _shape(*avals: Any, jaxpr: ClosedJaxpr, **how: Any) -> list[Any]:
    if len(avals) != len(jaxpr.in_avals):
        raise TypeError(f"checkpoint: {len(avals)} operands for a program of {len(jaxpr.in_avals)}")
    return jaxpr.out_avals


def _effects(*avals: Any, jaxpr: ClosedJaxpr, **how: Any) -> Effects:
    return jaxpr.effects


def _lower(
    ctx: Context,
    *operands: Value,
    jaxpr: ClosedJaxpr,
    differentiated: bool,
    prevent_cse: Fences,
    policy: Policy | None,
) -> list[Value]:
    name = f"checkpoint_{jaxpr.jaxpr.name}"
    flags = _each(prevent_cse, len(operands))
    fenced = [v for v, flag in zip(operands, flags) if flag]
    if not differentiated or not fenced:
        return ctx.call(jaxpr, operands, name)
    module = ctx.module
    if module.platform == "cpu" and module.partitions == 1 and not module.exported:
        index = _hidden_zero(ctx, fenced)
        if index is not None:
            return _lower_as_branch(ctx, index, operands, jaxpr, name)
    passed = iter(ctx.ops("stablehlo.optimization_barrier", fenced, [v.aval for v in fenced]))
    return ctx.call(jaxpr, [next(passed) if flag else v for v, flag in zip(operands, flags)], name)


def _lower_as_branch(
    ctx: Context, index: Value, operands: Sequence[Value], jaxpr: ClosedJaxpr, name: str
) -> list[Value]:
    """A fence for XLA's CPU compiler, which drops barriers first of all: it merges nothing into a branch."""
    outs = list(ctx.out_avals)

    def never(inner: Context) -> list[Value]:
        avals = [array_aval(a) for a in outs]
        return [Value(inner.full(0, physical_aval(a)).name, a) for a in avals]

    return ctx.case(index, outs, [lambda inner: inner.call(jaxpr, operands, name), never], jaxpr.effects)


def _hidden_zero(ctx: Context, values: Sequence[Value]) -> Value | None:
    """The index 0, computed from a bit of the last cotangent so that XLA does not know it; None if there is no such bit."""
    for value in reversed(values):
        aval = value.aval
        if isinstance(aval, ShapedArray) and aval.size and str(aval.dtype) in _BITS:
            break
    else:
        return None
    x, dtype = value, aval.dtype
    if aval.shape:
        zeros, ones = i64_array([0] * aval.ndim), i64_array([1] * aval.ndim)
        cut = f"start_indices = {zeros}, limit_indices = {ones}, strides = {ones}"
        x = ctx.op("stablehlo.slice", (x,), ShapedArray((1,) * aval.ndim, dtype), cut)
        x = ctx.op("stablehlo.reshape", (x,), ShapedArray((), dtype))
    if dtypes.is_complex(dtype):
        dtype = dtypes.to_real_dtype(dtype)
        x = ctx.op("stablehlo.real", (x,), ShapedArray((), dtype))
    bits = np.dtype(_BITS[str(dtype)])
    one = ctx.constant(bits.type(1))
    x = ctx.op("stablehlo.bitcast_convert", (x,), one.aval)
    x = ctx.op("stablehlo.and", (x, one), one.aval)
    x = ctx.op("stablehlo.compare", (x, one), ShapedArray((), np.dtype(bool)), comparison("GT", bits))
    return ctx.op("stablehlo.convert", (x,), ShapedArray((), np.dtype(np.int32)))


# The unsigned integers as wide as a (real) number.
_BITS = {
    "bfloat16": "uint16", "float16": "uint16", "float32": "uint32", "float64": "uint64", "complex64": "uint32",
    "complex128": "uint64",
}  # fmt: skip


# --- fences, one an operand -------------------------------------------------------------------


def _each(fences: Fences, count: int) -> Flags:
    return (fences,) * count if isinstance(fences, bool) else fences


def _fences(flags: Sequence[bool]) -> Fences:
    """The short form of a flag for each operand."""
    if all(flags):
        return True
    return tuple(flags) if any(flags) else False


def _followed_by(fences: Fences, count: int, more: int) -> Fences:
    """Those of `count` operands, then those of `more` (co)tangents."""
    return fences if isinstance(fences, bool) else _fences([*_each(fences, count), *[True] * more])


# --- derivatives ------------------------------------------------------------------------------


def _spread(values: Sequence[Any], nonzeros: Sequence[bool], avals: Sequence[Any]) -> list[Any]:
    given = iter(values)
    return [next(given) if nz else Zero(a.tangent_aval()) for nz, a in zip(nonzeros, avals)]


def _jvp(primals: Any, tangents: Any, *, jaxpr: ClosedJaxpr, **how: Any) -> tuple[list[Any], list[Any]]:
    nonzeros = tuple(type(t) is not Zero for t in tangents)
    derived, out_nonzeros = jvp_jaxpr(jaxpr, nonzeros)
    given = [t for t, nz in zip(tangents, nonzeros) if nz]
    how["prevent_cse"] = _followed_by(how["prevent_cse"], len(primals), len(given))
    outs = checkpoint_p.bind(*primals, *given, jaxpr=derived, **how)
    count = len(jaxpr.out_avals)
    return outs[:count], _spread(outs[count:], out_nonzeros, jaxpr.out_avals)


def _taylor(
    primals: Any, series: Any, order: int, *, jaxpr: ClosedJaxpr, prevent_cse: Fences, **how: Any
) -> tuple[list[Any], list[Series]]:
    def bind(derived: ClosedJaxpr, terms: list[Any]) -> list[Any]:
        fences = _followed_by(prevent_cse, len(primals), len(terms))
        outs: list[Any] = checkpoint_p.bind(*primals, *terms, jaxpr=derived, prevent_cse=fences, **how)
        return outs

    return series_of_call(bind, jaxpr, primals, series, order)


class _Split:
    """A program split at its linearisation: `part.unknown` computes tangents, from as little as the policy keeps.

    Attributes:
      part: the two programs.
      out_nonzeros: which outputs have tangents.
      repeats: whether the second program computes anything again.
    """

    __slots__ = ("out_nonzeros", "part", "repeats")

    def __init__(self, jaxpr: ClosedJaxpr, nonzeros: Flags, policy: Policy) -> None:
        split = linearize_jaxpr(jaxpr, nonzeros)
        primal, linear = split.primal.jaxpr, split.linear.jaxpr
        count = len(jaxpr.out_avals)
        residuals = [
            *primal.outvars[count:],
            *[primal.outvars[i] for i in split.residual_outputs],
            *[primal.invars[i] for i in split.residual_inputs],
        ]
        tangents = linear.invars[len(residuals) :]
        names: dict[Atom, Atom] = dict(zip(linear.invars, residuals))
        eqns = [*primal.eqns, *[e.replace(invars=[names.get(a, a) for a in e.invars]) for e in linear.eqns]]
        joint = Jaxpr(
            primal.constvars,
            [*primal.invars, *tangents],
            [*primal.outvars[:count], *[names.get(a, a) for a in linear.outvars]],
            eqns,
            join_effects(eqns),
            jaxpr.jaxpr.name,
        )
        self.out_nonzeros = split.out_nonzeros
        self.part: PartialJaxpr = split_jaxpr(
            ClosedJaxpr(joint, split.primal.consts),
            (False,) * len(primal.invars) + (True,) * len(tangents),
            out_unknowns=(False,) * count + (True,) * len(linear.outvars),
            policy=policy,
        )
        later = self.part.unknown.jaxpr
        found: set[Atom] = set(later.invars[len(later.invars) - len(tangents) :])
        self.repeats = False
        for eqn in later.eqns:
            if any([a in found for a in eqn.invars]):
                found.update(eqn.outvars)
            else:
                self.repeats = True


class _WithoutTransfers:
    """A policy that keeps values where they are, though another says that they may wait in another memory."""

    __slots__ = ("policy",)

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    def __call__(self, *args: Any, **params: Any) -> Any:
        answer = self.policy(*args, **params)
        return Saveable if isinstance(answer, Offloadable) else answer

    def __repr__(self) -> str:
        return repr(self.policy)


def split_of(jaxpr: ClosedJaxpr, nonzeros: Flags, policy: Policy | None, staged: bool) -> _Split:
    """How a checkpointed program is split for differentiation by the arguments where `nonzeros` is True.

    `staged`: whether both parts become part of one compiled program. Elsewhere values are kept where they are.

    Raises:
      ValueError: it has effects that must not happen again.
    """

    def build() -> _Split:
        refused = frozenset(e for e in jaxpr.effects if not e.under_checkpoint)
        if refused:
            raise ValueError(
                f"checkpoint: {jaxpr.jaxpr.name or 'the function'} cannot be differentiated, because its derivative would "
                f"run it a second time, but it has effects that must happen exactly once: {describe(refused)}. Move them "
                "out of the checkpointed function."
            )
        given = nothing_saveable if policy is None else policy if staged else _WithoutTransfers(policy)
        return _Split(jaxpr, nonzeros, given)

    return jaxpr.jaxpr.memoized(("checkpoint", nonzeros, policy, staged or policy is None), build)


def _linearize(
    primals: Any,
    tangents: Any,
    *,
    jaxpr: ClosedJaxpr,
    differentiated: bool,
    prevent_cse: Fences,
    policy: Policy | None,
) -> tuple[list[Any], list[Any]]:
    nonzeros = tuple(type(t) is not Zero for t in tangents)
    staged = enclosing_stage(get_trace()) is not None
    split = split_of(jaxpr, nonzeros, policy, staged)
    part, count = split.part, len(jaxpr.out_avals)
    # Again a checkpoint, so that a second derivative keeps as little.
    outs = checkpoint_p.bind(
        *primals,
        jaxpr=part.known,
        differentiated=differentiated,
        prevent_cse=prevent_cse,
        policy=policy,
    )
    if not any(split.out_nonzeros):
        return outs[:count], _spread([], split.out_nonzeros, jaxpr.out_avals)
    residuals = [*outs[count:], *[outs[i] for i in part.residual_outputs]]
    inputs = [primals[i] for i in part.residual_inputs]
    given = [t for t, nz in zip(tangents, nonzeros) if nz]
    each = _each(prevent_cse, len(primals))
    fences = [
        *[prevent_cse is not False] * len(residuals),
        *[each[i] for i in part.residual_inputs],
        *[prevent_cse is not False] * len(given),
    ]
    out_tangents = checkpoint_p.bind(
        *residuals,
        *inputs,
        *given,
        jaxpr=part.unknown,
        differentiated=True,
        # A program of its own has nothing to merge with.
        prevent_cse=staged and split.repeats and _fences(fences),
        policy=policy,
    )
    return outs[:count], _spread(out_tangents, split.out_nonzeros, jaxpr.out_avals)


def _transpose(cts: Any, *args: Any, jaxpr: ClosedJaxpr, **how: Any) -> list[Any]:
    linear = tuple(type(a) is Linear for a in args)
    ct_nonzeros = tuple(type(ct) is not Zero for ct in cts)

    def build() -> tuple[ClosedJaxpr, Flags]:
        derived, nonzeros = transpose_jaxpr(jaxpr, linear, ct_nonzeros)
        return without_dead(derived), nonzeros

    derived, nonzeros = jaxpr.jaxpr.memoized(("checkpoint transpose", linear, ct_nonzeros), build)
    constants = [a for a, lin in zip(args, linear) if not lin]
    given = [ct for ct in cts if type(ct) is not Zero]
    fences = how["prevent_cse"]
    if not isinstance(fences, bool):
        of_constants = [f for f, lin in zip(fences, linear) if not lin]
        how["prevent_cse"] = _fences([*of_constants, *[True] * len(given)])
    results = iter(checkpoint_p.bind(*constants, *given, jaxpr=derived, **how))
    flags = iter(nonzeros)
    return [next(results) if lin and next(flags) else None for lin in linear]


# --- batching, partial evaluation, dead code --------------------------------------------------


def _batch(axis: Axis, args: Any, dims: Any, *, jaxpr: ClosedJaxpr, **how: Any) -> tuple[list[Any], Any]:
    derived, out_dims = batch_jaxpr(jaxpr, axis, tuple(dims))
    return checkpoint_p.bind(*args, jaxpr=derived, **how), out_dims


def _partial(unknown: Flags, *, jaxpr: ClosedJaxpr, **how: Any) -> Division | None:
    if how["differentiated"] and any(unknown):
        return None  # what it computes again is to be computed late
    whole = divided_call(jaxpr, unknown, {"jaxpr": jaxpr, **how}, "jaxpr")
    fences = how["prevent_cse"]
    if isinstance(fences, bool):
        return whole

    def divide(needed: Flags, policy: Policy) -> Halves:
        halves = whole.divide(needed, policy)
        halves.known["prevent_cse"] = _fences([fences[i] for i in halves.known_inputs])
        halves.unknown["prevent_cse"] = _fences([kind != INPUT or fences[i] for kind, i in halves.operands])
        return halves

    return Division(whole.out_unknowns, divide)


def _dce(used: Flags, *, jaxpr: ClosedJaxpr, **how: Any) -> tuple[list[bool], Flags, Params]:
    reduced, inputs = dce_closed(jaxpr, used)
    fences = how["prevent_cse"]
    if not isinstance(fences, bool):
        how["prevent_cse"] = _fences([f for f, flag in zip(fences, inputs) if flag])
    return inputs, used, {"jaxpr": reduced, **how}


def _keys(walk: Walk, *values: Any, jaxpr: ClosedJaxpr, differentiated: bool, **how: Any) -> list[Any]:
    return (walk.again if differentiated else walk.program)(jaxpr, values)


checkpoint_p = Primitive(
    "checkpoint",
    shape=_shape,
    lower=_lower,
    jvp=_jvp,
    linearize=_linearize,
    transpose=_transpose,
    batch=_batch,
    effects=_effects,
    dce=_dce,
    partial=_partial,
    taylor=_taylor,
    keys=_keys,
    multiple_results=True,
    varying=variance.as_of("jaxpr"),
)
checkpoint_p.eager = eager_by_program(checkpoint_p, "jaxpr")
