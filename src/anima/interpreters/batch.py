"""Batching: tracers that carry a batch axis through each operation.

Invariant: a `BatchTracer` holds a value whose axis `dim` is the mapped one; values without the axis stay plain.
Operations that touch no mapped value go straight to the enclosing trace, unless their effects say that they use the axis
by its name, or they perform users' functions, themselves or in their programs, whose rules may: then their `batch` rule is
applied though every dim is None.
An `Axis` is one transformation's: a trace of the same axis, made where a user's function runs later or under another
parent, takes its tracers for its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from anima._native import get_trace, set_trace
from anima.config import check_tracer_leaks
from anima.core import hooks
from anima.core.aval import AbstractValue, array_aval
from anima.core.axes import NamedAxes, NamedAxis, NamedAxisEffect
from anima.core.jaxpr import ClosedJaxpr, Eqn, Jaxpr, subjaxprs
from anima.core.leaks import check_leaks
from anima.core.primitive import Primitive
from anima.core.trace import Trace, Tracer, aval_of, check_enclosing
from anima.interpreters.flat import is_float0
from anima.interpreters.jvp import eval_derived, stage_closed
from anima.interpreters.stage import StageTrace


class Axis:
    """The mapped axis: its size, and the name by which collectives know it (or None)."""

    __slots__ = ("effect", "name", "size", "spmd_name")

    def __init__(self, size: int, name: Any = None, spmd_name: Any = None) -> None:
        self.size = size
        self.name = name
        self.spmd_name = spmd_name
        self.effect = None if name is None else NamedAxisEffect(name)

    @property
    def key(self) -> tuple[Any, ...]:
        """What programs derived for this axis depend on."""
        return (self.size, self.name, self.spmd_name)


class BatchTracer(Tracer):
    """A value with a mapped axis that the function does not see."""

    __slots__ = ("_aval", "dim", "val")

    def __init__(self, trace: BatchTrace, val: Any, dim: int) -> None:
        self._trace = trace
        self.val = val
        self.dim = dim
        self._aval: AbstractValue | None = None

    @property
    def aval(self) -> AbstractValue:
        if self._aval is None:
            self._aval = without_axis(aval_of(self.val), self.dim)
        return self._aval

    def origin(self) -> str:
        return self.val.origin() if isinstance(self.val, Tracer) else "it has a vmapped axis"

    def __repr__(self) -> str:
        return f"Traced<{self.aval!r}>with<BatchTrace> with val = {self.val!r} batch_dim = {self.dim}"


class BatchTrace(Trace):
    """Applies each operation's `batch` rule."""

    __slots__ = ("axis",)

    def __init__(self, parent: Trace | None, axis: Axis) -> None:
        self.parent = parent
        self.axis = axis

    def process(self, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        axis = self.axis
        vals: list[Any] = []
        dims: list[int | None] = []
        mapped = primitive.stage is not None  # users' functions may have captured mapped values
        for arg in args:
            if type(arg) is BatchTracer and arg._trace.axis is axis:  # type: ignore[attr-defined]
                vals.append(arg.val)
                dims.append(arg.dim)
                mapped = True
            else:
                vals.append(arg)
                dims.append(None)
        set_trace(self.parent)
        try:
            if not mapped and not self._is_named(primitive, args, params):
                return primitive.bind(*args, **params)
            outs, out_dims = primitive.batch(axis, vals, dims, **params)
        finally:
            set_trace(self)
        if primitive.multiple_results:
            return [self.wrap(out, dim) for out, dim in zip(outs, out_dims)]
        return self.wrap(outs, out_dims)

    def _is_named(self, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> bool:
        """Whether the operation uses the mapped axis by its name, or the rules of functions in it may."""
        if self.axis.name is None:
            return False
        effects = primitive.effects
        if effects is not None and self.axis.effect in effects(*[aval_of(a) for a in args], **params):
            return True
        return any([_holds_functions(inner) for inner in subjaxprs(params)])

    @property
    def bound_axes(self) -> NamedAxes:
        axis = self.axis
        return () if axis.name is None else (NamedAxis(axis.name, axis.size),)

    def wrap(self, val: Any, dim: int | None) -> Any:
        """`val` with its mapped axis, plain if it has none."""
        return val if dim is None else BatchTracer(self, val, dim)

    def split(self, value: Any) -> tuple[Any, int | None]:
        """The value and mapped axis of a value of this or an enclosing trace."""
        if type(value) is BatchTracer and value._trace.axis is self.axis:  # type: ignore[attr-defined]
            return value.val, value.dim
        if isinstance(value, Tracer):
            check_enclosing(value, self)
        return value, None

    def continues(self, other: Trace) -> bool:
        return type(other) is BatchTrace and other.axis is self.axis

    def describe(self) -> str:
        return "BatchTrace"


def _holds_functions(jaxpr: Jaxpr) -> bool:
    """Whether equations of the program, or of those inside, perform users' functions, whose rules run later."""
    return jaxpr.memoized("holds_functions", lambda: any([_performs(eqn) for eqn in jaxpr.eqns]))


def _performs(eqn: Eqn) -> bool:
    return eqn.primitive.stage is not None or any([_holds_functions(j) for j in subjaxprs(eqn.params)])


def without_axis(aval: AbstractValue, dim: int) -> AbstractValue:
    """The aval seen under the map."""
    array = array_aval(aval)
    return array.update(shape=array.shape[:dim] + array.shape[dim + 1 :])


def with_axis(aval: AbstractValue, dim: int, size: int) -> AbstractValue:
    """The aval with the mapped axis in place."""
    array = array_aval(aval)
    return array.update(shape=(*array.shape[:dim], size, *array.shape[dim:]))


def batch_flat(
    fun: Callable[..., Sequence[Any]], axis: Axis, vals: Sequence[Any], dims: Sequence[int | None]
) -> tuple[list[Any], list[int | None]]:
    """Outputs of `fun` (flat to flat) mapped over `axis`, and where the axis is in each (None: nowhere)."""
    parent = get_trace()
    trace = BatchTrace(parent, axis)
    inputs = [trace.wrap(v, d) for v, d in zip(vals, dims)]
    set_trace(trace)
    try:
        outputs = fun(*inputs)
    finally:
        set_trace(parent)
    pairs = [trace.split(out) for out in outputs]
    if check_tracer_leaks.value:
        del inputs, outputs
        check_leaks(trace)
    return [v for v, _ in pairs], [d for _, d in pairs]


def to_axis(value: Any, source: int | None, target: int, size: int) -> Any:
    """`value` with its mapped axis at `target`, broadcast along it if it has none."""
    if source is None:
        if is_float0(value):
            return np.zeros((*value.shape[:target], size, *value.shape[target:]), value.dtype)
        return hooks.broadcast_batch(value, size, target)
    return value if source == target else hooks.move_axis(value, source, target)


def batch_jaxpr(
    closed: ClosedJaxpr, axis: Axis, dims: tuple[int | None, ...], force: bool | tuple[bool, ...] = False
) -> tuple[ClosedJaxpr, tuple[int | None, ...]]:
    """The program mapping `closed` over `axis`, and where the axis is in each output.

    Outputs for which `force` is True have it at 0 even if they do not depend on a mapped input.
    """
    forced = (force,) * len(closed.jaxpr.outvars) if isinstance(force, bool) else force
    return batch_jaxpr_to(closed, axis, dims, tuple([0 if f else None for f in forced]))


def batch_jaxpr_to(
    closed: ClosedJaxpr, axis: Axis, dims: tuple[int | None, ...], places: tuple[int | None, ...]
) -> tuple[ClosedJaxpr, tuple[int | None, ...]]:
    """The program mapping `closed` over `axis`, which each output has in its place, or wherever it happens to be (None)."""
    key = ("batch", axis.key, dims, places)
    return closed.jaxpr.memoized(key, lambda: _batch_jaxpr(closed, axis, dims, places))


def _batch_jaxpr(
    closed: ClosedJaxpr, axis: Axis, dims: tuple[int | None, ...], places: tuple[int | None, ...]
) -> tuple[ClosedJaxpr, tuple[int | None, ...]]:
    jaxpr = closed.jaxpr
    avals = [a if d is None else with_axis(a, d, axis.size) for a, d in zip(jaxpr.in_avals, dims)]
    out_dims: tuple[int | None, ...] = ()
    stages: list[StageTrace] = []

    def fun(*vals: Any) -> list[Any]:
        nonlocal out_dims
        run = lambda *xs: eval_derived(jaxpr, closed.consts, xs, stages[0])
        outs, found = batch_flat(run, axis, vals, dims)
        out_dims = tuple([d if p is None else p for p, d in zip(places, found)])
        return [o if p is None else to_axis(o, d, p, axis.size) for o, d, p in zip(outs, found, places)]

    return stage_closed(fun, avals, jaxpr.name, stages.append), out_dims
