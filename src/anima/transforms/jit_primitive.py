"""The `jit` primitive: a call of an inner program that is compiled as one.

Invariant: the inner program is closed, and constants that a trace may capture are passed as leading operands. Each
derived program (derivative, batched form, transpose) is made once for its jaxpr and is itself a `jit` call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from anima.core import variance
from anima.core.effects import Effects
from anima.core.jaxpr import ClosedJaxpr
from anima.core.primitive import Linear, Primitive, Zero
from anima.interpreters.batch import Axis, batch_jaxpr
from anima.interpreters.dce import dce_closed
from anima.interpreters.jvp import jvp_jaxpr
from anima.interpreters.linearize import linearize_jaxpr
from anima.interpreters.partial import Division, Flags, divided_call
from anima.interpreters.taylor import Series, series_of_call
from anima.interpreters.transpose import transpose_jaxpr
from anima.lowering.module import Context, Value
from anima.runtime.dispatch import eager_by_program


def _shape(*avals: Any, jaxpr: ClosedJaxpr, name: str) -> list[Any]:
    if len(avals) != len(jaxpr.in_avals):
        raise TypeError(f"jit of {name}: {len(avals)} operands for a program of {len(jaxpr.in_avals)}")
    return jaxpr.out_avals


def _effects(*avals: Any, jaxpr: ClosedJaxpr, name: str) -> Effects:
    return jaxpr.effects


def _lower(ctx: Context, *operands: Value, jaxpr: ClosedJaxpr, name: str) -> list[Value]:
    return ctx.call(jaxpr, operands, name)


def _with_zeros(values: Sequence[Any], nonzeros: Sequence[bool], avals: Sequence[Any]) -> list[Any]:
    given = iter(values)
    return [next(given) if nz else Zero(a.tangent_aval()) for nz, a in zip(nonzeros, avals)]


def _jvp(primals: Any, tangents: Any, *, jaxpr: ClosedJaxpr, name: str) -> tuple[list[Any], list[Any]]:
    nonzeros = tuple(type(t) is not Zero for t in tangents)
    derived, out_nonzeros = jvp_jaxpr(jaxpr, nonzeros)
    given = [t for t, nz in zip(tangents, nonzeros) if nz]
    outs = jit_p.bind(*primals, *given, jaxpr=derived, name=name)
    count = len(jaxpr.out_avals)
    return outs[:count], _with_zeros(outs[count:], out_nonzeros, jaxpr.out_avals)


def _linearize(primals: Any, tangents: Any, *, jaxpr: ClosedJaxpr, name: str) -> tuple[list[Any], list[Any]]:
    nonzeros = tuple(type(t) is not Zero for t in tangents)
    split = linearize_jaxpr(jaxpr, nonzeros)
    outs = jit_p.bind(*primals, jaxpr=split.primal, name=name)
    count = len(jaxpr.out_avals)
    if not any(split.out_nonzeros):
        return outs[:count], _with_zeros([], split.out_nonzeros, jaxpr.out_avals)
    residuals = [
        *outs[count:],
        *(outs[i] for i in split.residual_outputs),
        *(primals[i] for i in split.residual_inputs),
    ]
    given = [t for t, nz in zip(tangents, nonzeros) if nz]
    out_tangents = jit_p.bind(*residuals, *given, jaxpr=split.linear, name=name)
    return outs[:count], _with_zeros(out_tangents, split.out_nonzeros, jaxpr.out_avals)


def _transpose(cts: Any, *args: Any, jaxpr: ClosedJaxpr, name: str) -> list[Any]:
    linear = tuple(type(a) is Linear for a in args)
    derived, nonzeros = transpose_jaxpr(jaxpr, linear, tuple(type(ct) is not Zero for ct in cts))
    constants = [a for a, lin in zip(args, linear) if not lin]
    given = [ct for ct in cts if type(ct) is not Zero]
    results = iter(jit_p.bind(*constants, *given, jaxpr=derived, name=name))
    flags = iter(nonzeros)
    return [next(results) if lin and next(flags) else None for lin in linear]


def _batch(axis: Axis, args: Any, dims: Any, *, jaxpr: ClosedJaxpr, name: str) -> tuple[list[Any], Any]:
    derived, out_dims = batch_jaxpr(jaxpr, axis, tuple(dims))
    return jit_p.bind(*args, jaxpr=derived, name=name), out_dims


def _taylor(
    primals: Sequence[Any], series: Sequence[Series], order: int, *, jaxpr: ClosedJaxpr, name: str
) -> tuple[list[Any], list[Series]]:
    bind = lambda derived, terms: jit_p.bind(*primals, *terms, jaxpr=derived, name=name)
    return series_of_call(bind, jaxpr, primals, series, order)


def _dce(used: Flags, *, jaxpr: ClosedJaxpr, name: str) -> tuple[list[bool], Flags, dict[str, Any]]:
    reduced, inputs = dce_closed(jaxpr, used)
    return inputs, used, {"jaxpr": reduced, "name": name}


def _partial(unknown: Flags, *, jaxpr: ClosedJaxpr, name: str) -> Division:
    return divided_call(jaxpr, unknown, {"jaxpr": jaxpr, "name": name}, "jaxpr")


jit_p = Primitive(
    "jit",
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
    elementwise=lambda shape, other, params: params["jaxpr"],
    multiple_results=True,
    varying=variance.as_of("jaxpr"),
)
jit_p.eager = eager_by_program(jit_p, "jaxpr")
