"""A fence for the compiler's optimiser, and a use of a value that keeps what computes it.

Invariant: values pass unchanged; only what is moved, merged or dropped is affected.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from anima import tree
from anima.core import variance
from anima.core.aval import AbstractValue
from anima.core.effects import Effect, Effects
from anima.core.primitive import Zero
from anima.core.trace import aval_of
from anima.interpreters.batch import Axis
from anima.interpreters.key_reuse import same
from anima.lax.declare import ANY, declare, operand as as_operand
from anima.lowering.module import Context, Value


def _barrier_lower(ctx: Context, *xs: Value) -> list[Value]:
    return ctx.ops("stablehlo.optimization_barrier", xs, list(ctx.out_avals)) if xs else []


def _through(values: Sequence[Any]) -> list[Any]:
    """(Co)tangents behind a fence of their own; symbolic zeros stay."""
    real = [v for v in values if type(v) is not Zero]
    passed = iter(optimization_barrier_p.bind(*real) if real else [])
    return [v if type(v) is Zero else next(passed) for v in values]


def _barrier_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    return optimization_barrier_p.bind(*primals), _through(tangents)


def _barrier_batch(axis: Axis, args: Sequence[Any], dims: Sequence[int | None]) -> tuple[Any, Any]:
    return optimization_barrier_p.bind(*args), list(dims)


def _barrier_shape(*avals: AbstractValue) -> list[AbstractValue]:
    return list(avals)


optimization_barrier_p = declare(
    "optimization_barrier",
    shape=_barrier_shape,
    lower=_barrier_lower,
    jvp=_barrier_jvp,
    transpose=lambda cts, *xs: _through(cts),
    batch=_barrier_batch,
    keys=same,
    varying=variance.as_given,
    multiple_results=True,
    dtypes=ANY,
)


def optimization_barrier(operand: Any, /) -> Any:
    """`operand`, an array or a pytree of them, of which all is computed before anything that uses the result.

    The compiler moves no operation across and merges none with what comes after.

    Raises:
      TypeError: a leaf is no array.

    >>> from anima import lax
    >>> print(lax.optimization_barrier(lax.iota("int32", 3)))
    [0 1 2]
    """
    leaves, structure = tree.flatten(operand)
    values = [as_operand(leaf) for leaf in leaves]
    for value in values:
        aval_of(value)
    return tree.unflatten(structure, optimization_barrier_p.bind(*values) if values else [])


# --- a use that computes nothing --------------------------------------------------------------


class SinkEffect(Effect):
    """A value is used: dead code stays, though nothing happens with what it computes."""

    under_masks = True


_used: Effects = frozenset([SinkEffect()])


def _sink_jvp(primals: Any, tangents: Any, **params: Any) -> tuple[list[Any], list[Any]]:
    dce_sink_p.bind(*primals, **params)
    return [], []


def _sink_batch(axis: Axis, args: Any, dims: Any, **params: Any) -> tuple[list[Any], list[Any]]:
    dce_sink_p.bind(*args, **params)
    return [], []


dce_sink_p = declare(
    "dce_sink",
    shape=lambda x, *, prevent_mlir_dce: [],
    lower=lambda ctx, x, *, prevent_mlir_dce: [],
    jvp=_sink_jvp,
    transpose=lambda cts, x, **params: [None],
    batch=_sink_batch,
    effects=lambda x, **params: _used,
    multiple_results=True,
    dtypes=ANY,
)


def dce_sink(val: Any, *, prevent_mlir_dce: bool = False) -> None:
    """Uses `val`, an array or a pytree of them, so that what computes it stays in programs while they are traced and changed.

    It stays in the text of programs; XLA drops it at the end.

    Args:
      val: the value.
      prevent_mlir_dce: changes nothing: nothing is dropped between programs and their texts.
    Raises:
      TypeError: a leaf is no array.

    >>> from anima import lax, make_jaxpr
    >>> len(make_jaxpr(lambda x: lax.dce_sink(lax.sin(x)))(1.0).eqns)
    2
    """
    for leaf in tree.flatten(val)[0]:
        value = as_operand(leaf)
        aval_of(value)
        dce_sink_p.bind(value, prevent_mlir_dce=bool(prevent_mlir_dce))
