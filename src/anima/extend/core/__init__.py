"""The language of traced programs, as libraries read, make and change it.

Invariant: these are the classes that tracing itself uses, under the names of JAX's `extend.core`; nothing is converted.

>>> import anima
>>> from anima.extend.core import jaxpr_as_fun
>>> closed = anima.make_jaxpr(lambda x: 2 * x + 1)(3.0)
>>> [eqn.primitive.name for eqn in closed.eqns]
['mul', 'add']
>>> print(jaxpr_as_fun(closed)(5.0)[0])
11.0
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import ml_dtypes
import numpy as np

from anima import dtypes
from anima._native import get_trace
from anima.core.aval import AbstractToken, AbstractValue, ShapedArray, tangent_dtype
from anima.core.debug_info import DebugInfo
from anima.core.effects import Effect, Effects, no_effects
from anima.core.evaluate import eval_jaxpr as run_jaxpr
from anima.core.jaxpr import (
    Atom,
    ClosedJaxpr,
    DropVar,
    Eqn,
    Jaxpr,
    Literal,
    Var,
    subjaxprs as jaxprs_of_params,
)
from anima.core.primitive import Primitive as _HousePrimitive
from anima.core.source_info import SourceInfo
from anima.core.trace import Trace, Tracer, aval_of
from anima.core.validate import check_jaxpr
from anima.errors import ConcretizationTypeError, InconclusiveDimensionOperation, JaxprTypeError
from anima.extend.calls import CallPrimitive, call_p, closed_call_p
from anima.extend.core import primitives as primitives
from anima.extend.linear_util import WrappedFun
from anima.extend.primitive import Primitive
from anima.extend.traces import (
    EvalTrace,
    TraceTag,
    eval_context,
    eval_trace,
    find_top_trace,
    get_opaque_trace_state,
    nonempty_axis_env_DO_NOT_USE,
    set_current_trace,
    take_current_trace,
    unsafe_am_i_under_a_jit_DO_NOT_USE,
    unsafe_am_i_under_a_vmap_DO_NOT_USE,
    unsafe_get_axis_names_DO_NOT_USE,
)
from anima.interpreters.batch import with_axis, without_axis
from anima.interpreters.jvp import eval_derived
from anima.interpreters.stage import enclosing_stage
from anima.transforms.scopes import ensure_compile_time_eval

__all__ = [
    "AbstractToken",
    "AbstractValue",
    "Atom",
    "CallPrimitive",
    "ClosedJaxpr",
    "DebugInfo",
    "DropVar",
    "Effect",
    "Effects",
    "EvalTrace",
    "InconclusiveDimensionOperation",
    "Jaxpr",
    "JaxprEqn",
    "JaxprTypeError",
    "Literal",
    "ParamDict",
    "Primitive",
    "ShapedArray",
    "Token",
    "Trace",
    "TraceTag",
    "Tracer",
    "Value",
    "Var",
    "array_types",
    "call_impl",
    "call_p",
    "check_jaxpr",
    "closed_call_p",
    "concrete_or_error",
    "ensure_compile_time_eval",
    "eval_context",
    "eval_jaxpr",
    "eval_trace",
    "find_top_trace",
    "gensym",
    "get_aval",
    "get_opaque_trace_state",
    "jaxpr_as_fun",
    "jaxprs_in_params",
    "mapped_aval",
    "max_dim",
    "min_dim",
    "new_jaxpr_eqn",
    "no_effects",
    "nonempty_axis_env_DO_NOT_USE",
    "primal_dtype_to_tangent_dtype",
    "set_current_trace",
    "subjaxprs",
    "take_current_trace",
    "unmapped_aval",
    "unsafe_am_i_under_a_jit_DO_NOT_USE",
    "unsafe_am_i_under_a_vmap_DO_NOT_USE",
    "unsafe_get_axis_names_DO_NOT_USE",
    "valid_jaxtype",
]

ParamDict = dict[str, Any]
Value = Any

# The types of NumPy values that operations take.
array_types: set[type] = {
    np.ndarray,
    *[np.dtype(t).type for t in ("bool", *np.typecodes["AllInteger"], *"efdFD")],
} | {
    getattr(ml_dtypes, name)
    for name in ml_dtypes.__all__
    if isinstance(getattr(ml_dtypes, name), type) and issubclass(getattr(ml_dtypes, name), np.generic)
}


class _EquationType(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, Eqn)


class JaxprEqn(metaclass=_EquationType):
    """An equation: calling this makes one from its parts in JAX's order, and every equation is an instance.

    Args:
      invars, outvars: the operands and the variables that it binds.
      primitive: the operation.
      params: its parameters.
      effects: what it does besides.
      source_info: where it came from.
      ctx: taken as in JAX.
    """

    def __new__(  # type: ignore[misc]
        cls,
        invars: Sequence[Atom],
        outvars: Sequence[Var],
        primitive: _HousePrimitive,
        params: dict[str, Any],
        effects: Effects = no_effects,
        source_info: SourceInfo | None = None,
        ctx: Any = None,
    ) -> Eqn:
        return new_jaxpr_eqn(invars, outvars, primitive, params, effects, source_info)


def new_jaxpr_eqn(
    invars: Sequence[Atom],
    outvars: Sequence[Var],
    primitive: _HousePrimitive,
    params: dict[str, Any],
    effects: Effects = no_effects,
    source_info: SourceInfo | None = None,
    ctx: Any = None,
) -> Eqn:
    """An equation of these parts; `ctx` is taken as in JAX."""
    position = None if source_info is None else source_info.position
    return Eqn(primitive, list(invars), list(outvars), dict(params), frozenset(effects), position)


class Token:
    """A value that orders effects; it may stand for an array that is there once they have happened."""

    __slots__ = ("buf",)

    def __init__(self, buf: Any) -> None:
        self.buf = buf

    def block_until_ready(self) -> None:
        """Wait until the effects have happened."""
        if hasattr(self.buf, "block_until_ready"):
            self.buf.block_until_ready()


def eval_jaxpr(
    jaxpr: Jaxpr, consts: Sequence[Any], *args: Any, propagate_source_info: bool = True
) -> list[Any]:
    """The outputs of a program for the given constants and arguments.

    Args:
      jaxpr: the program.
      consts: the values of its constvars.
      args: the values of its invars.
      propagate_source_info: whether operations that are recorded on the way get the position of the program's equation,
        rather than the caller's.

    Raises:
      TypeError: the number of constants or arguments is wrong.

    >>> import anima
    >>> closed = anima.make_jaxpr(lambda x, y: x * y)(1.0, 2.0)
    >>> print(anima.core.eval_jaxpr(closed.jaxpr, closed.consts, 3.0, 4.0)[0])
    12.0
    """
    trace = enclosing_stage(get_trace()) if propagate_source_info else None
    return run_jaxpr(jaxpr, consts, *args) if trace is None else eval_derived(jaxpr, consts, args, trace)


def jaxpr_as_fun(closed_jaxpr: ClosedJaxpr) -> Callable[..., list[Any]]:
    """A program as a function from its arguments to a list of its outputs."""
    return functools.partial(_run_closed, closed_jaxpr)


def _run_closed(closed: ClosedJaxpr, *args: Any) -> list[Any]:
    return eval_jaxpr(closed.jaxpr, closed.consts, *args)


def jaxprs_in_params(params: dict[str, Any]) -> Iterator[Jaxpr]:
    """The programs among an equation's parameters, also inside tuples."""
    yield from jaxprs_of_params(params)


def subjaxprs(jaxpr: Jaxpr) -> Iterator[Jaxpr]:
    """The programs inside the equations of a program, not those inside these.

    >>> import anima
    >>> from anima.extend.core import subjaxprs
    >>> closed = anima.make_jaxpr(anima.jit(lambda x: x + 1))(1)
    >>> [inner.name for inner in subjaxprs(closed.jaxpr)]
    ['<lambda>']
    """
    for eqn in jaxpr.eqns:
        yield from jaxprs_in_params(eqn.params)


def gensym() -> Callable[[AbstractValue], Var]:
    """A function that makes a new variable of an aval."""
    return Var


def get_aval(x: Any) -> AbstractValue:
    """The aval of a value.

    Raises:
      TypeError: it is no array, NumPy value or Python scalar.
    """
    return aval_of(x)


def mapped_aval(size: int, axis: int | None, aval: AbstractValue) -> AbstractValue:
    """The aval of the examples in a batch: without the mapped axis.

    Raises:
      ValueError: the axis does not have this size.
    """
    if axis is None:
        return aval
    found = aval.shape[axis]  # type: ignore[attr-defined]
    if found != size:
        raise ValueError(f"mapped_aval: axis {axis} of {aval} has size {found}, not {size}")
    return without_axis(aval, axis)


def unmapped_aval(
    size: int, axis: int | None, aval: AbstractValue, explicit_mesh_axis: Any = None
) -> AbstractValue:
    """The aval of a batch of examples of an aval: with the mapped axis. `explicit_mesh_axis` is taken as in JAX."""
    return aval if axis is None else with_axis(aval, axis, size)


def concrete_or_error(force: Callable[[Any], Any] | None, val: Any, context: str = "") -> Any:
    """`force(val)`, for a value that must be known while tracing.

    Args:
      force: a conversion such as `int`; None: `val` as it is.
      val: the value.
      context: what it is needed for, for the message.

    Raises:
      ConcretizationTypeError: it is traced.
    """
    if isinstance(val, Tracer):
        known = val.concrete()
        if known is None:
            raise ConcretizationTypeError(val, advice=context)
        val = known
    return val if force is None else force(val)


def primal_dtype_to_tangent_dtype(primal_dtype: Any) -> Any:
    """The dtype of the tangents of values of this dtype: `float0` for integers and booleans."""
    return tangent_dtype(dtypes.as_dtype(primal_dtype))


def valid_jaxtype(x: Any) -> bool:
    """Whether a value may be an operand of an operation.

    >>> from anima.extend.core import valid_jaxtype
    >>> valid_jaxtype(1.5), valid_jaxtype("text"), valid_jaxtype([1.5])
    (True, False, False)
    """
    try:
        aval_of(x)
    except TypeError:
        return False
    return True


def call_impl(f: WrappedFun, *args: Any, **params: Any) -> Any:
    """What a call does when it is evaluated: call the function. Parameters do not matter to that."""
    return f.call_wrapped(*args)


def max_dim(d1: int, d2: int) -> int:
    """The larger of two dimensions."""
    return max(d1, d2)


def min_dim(d1: int, d2: int) -> int:
    """The smaller of two dimensions."""
    return min(d1, d2)
