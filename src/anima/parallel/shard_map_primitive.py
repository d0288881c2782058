"""The `shard_map` primitive: a program that each device of a mesh performs on its own blocks of the operands.

Invariant: the inner program is closed, takes and returns blocks, and binds the manual axes by name. `in_specs` and
`out_specs` have one spec for each operand and result. With `check` types say along which axes values vary, and a result
varies exactly along the axes of its spec; then a cotangent of what is the same on all devices is one for all of them.
Without it such a cotangent is divided among the devices, and what they find for a common operand is summed.

Values that a derivative keeps leave the region as arrays with one more dimension, along which each device has its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from anima.core import variance
from anima.core.aval import Axes, ShapedArray, array_aval, no_axes
from anima.core.axes import AxisTrace, MeshEffect, NamedAxis, NamedAxisEffect
from anima.core.effects import Effects, has_ordered
from anima.core.jaxpr import ClosedJaxpr
from anima.core.primitive import Linear, Primitive, Zero
from anima.core.trace import ambient, aval_of, get_trace
from anima.interpreters.batch import Axis, batch_jaxpr
from anima.interpreters.dce import dce_closed
from anima.interpreters.jvp import eval_derived, jvp_jaxpr, stage_closed
from anima.interpreters.linearize import linearize_jaxpr
from anima.interpreters.partial import (
    INPUT,
    OUTPUT,
    RESIDUAL,
    Division,
    Flags,
    Halves,
    Policy,
    split_jaxpr,
    unknown_outputs,
)
from anima.interpreters.stage import StageTrace
from anima.interpreters.taylor import Series, changing, series_of_call, taylor_jaxpr
from anima.interpreters.transpose import transpose_jaxpr
from anima.lax import across
from anima.lax.arithmetic import div, mul
from anima.lax.axis_names import index_along
from anima.lax.collectives import psum_p
from anima.lax.declare import lowered_by
from anima.lax.exchanges import all_gather_p
from anima.lax.operands import constant
from anima.lax.shape import expand_dims, shape_of, squeeze
from anima.lax.slicing import dynamic_slice_in_dim
from anima.lowering.checks import CODE
from anima.lowering.manual import ManualRegion, enter, leave
from anima.lowering.module import TOKEN, Context, Value
from anima.runtime.dispatch import eager_by_program
from anima.sharding import AbstractMesh, Mesh, PartitionSpec
from anima.sharding.spec import entry_axes

Specs = tuple[PartitionSpec, ...]
Params = dict[str, Any]


# --- types ------------------------------------------------------------------------------------


def _factor(mesh: Any, entry: Any) -> int:
    return math.prod([mesh.shape[axis] for axis in entry_axes(entry)])


def block_aval(aval: Any, spec: PartitionSpec, mesh: Any, check: bool) -> ShapedArray:
    """The type of a device's block of an array."""
    array = array_aval(aval)
    sizes = zip(array.shape, spec.padded(array.ndim))
    axes: Axes = frozenset(spec.axes()) if check else no_axes
    return array.update(
        shape=tuple([size // _factor(mesh, entry) for size, entry in sizes]), varying=array.varying | axes
    )


def whole_aval(aval: Any, spec: PartitionSpec, mesh: Any, manual: Axes) -> ShapedArray:
    """The type of the array of which the devices have blocks."""
    array = array_aval(aval)
    sizes = zip(array.shape, spec.padded(array.ndim))
    return array.update(
        shape=tuple([size * _factor(mesh, entry) for size, entry in sizes]), varying=array.varying - manual
    )


def _shape(
    *avals: Any, jaxpr: ClosedJaxpr, mesh: Any, manual: Axes, in_specs: Specs, out_specs: Specs, **how: Any
) -> list[Any]:
    if not len(avals) == len(in_specs) == len(jaxpr.in_avals):
        raise TypeError(f"shard_map: {len(avals)} operands for a program of {len(jaxpr.in_avals)}")
    return [whole_aval(a, spec, mesh, manual) for a, spec in zip(jaxpr.out_avals, out_specs)]


def _varying(*avals: Any, jaxpr: ClosedJaxpr, manual: Axes, **how: Any) -> list[Axes]:
    return [a.varying - manual for a in jaxpr.in_avals]


def _effects(*avals: Any, jaxpr: ClosedJaxpr, mesh: Any, manual: Axes, **how: Any) -> Effects:
    own = frozenset([NamedAxisEffect(axis) for axis in manual])
    return jaxpr.effects - own | frozenset([MeshEffect(mesh)])


def inside(mesh: Any, manual: Axes, check: bool) -> AbstractContextManager[None]:
    """Binds the manual axes: what the program inside is traced, and derived, under."""
    sizes = [(name, size) for name, size in mesh.shape_tuple if name in manual]
    axes = tuple([NamedAxis(name, size, check) for name, size in sizes])
    return ambient(AxisTrace(get_trace(), axes))


# --- lowering ---------------------------------------------------------------------------------


def _region(ctx: Context, mesh: Mesh | AbstractMesh, manual: Axes) -> ManualRegion:
    """The region of a mesh, inside the one around.

    Raises:
      ValueError: the program does not run on the devices of the mesh.
    """
    devices = list(ctx.module.devices)
    own = list(mesh.flat_devices) if isinstance(mesh, Mesh) else devices
    if mesh.size != max(len(devices), 1) or not {*devices} <= {*own}:
        raise ValueError(
            f"shard_map: the program runs on {devices or 'one device'}, but the mesh is {mesh}"
            + (f" over {own}" if own else "")
            + "; place the arguments on the devices of the mesh"
        )
    ids = [devices.index(device) for device in own] if devices else [0]
    region = ManualRegion(mesh.axis_names, mesh.axis_sizes, ids, manual)
    around = ctx.module.manual
    if around is None:
        return region
    if not around.same_mesh(region):
        raise ValueError("shard_map: a shard_map inside another must be over the same mesh")
    return ManualRegion(mesh.axis_names, mesh.axis_sizes, ids, manual | around.manual)


def _lower(
    ctx: Context,
    *operands: Value,
    jaxpr: ClosedJaxpr,
    mesh: Mesh | AbstractMesh,
    manual: Axes,
    in_specs: Specs,
    out_specs: Specs,
    check: bool,
) -> list[Value]:
    outs = list(ctx.out_avals)
    region, around = _region(ctx, mesh, manual), ctx.module.manual
    name = f"shard_map_{jaxpr.jaxpr.name}"
    ctx.module.manual = region
    try:
        if ctx.module.partitions == 1:
            return ctx.call(jaxpr, operands, name)
        if around is not None:
            blocks = [
                _changed(ctx, x, a, _cut, s, mesh) for x, s, a in zip(operands, in_specs, jaxpr.in_avals)
            ]
            results = ctx.call(jaxpr, blocks, name)
            return [_changed(ctx, x, a, _joined, s, mesh) for x, s, a in zip(results, out_specs, outs)]
        ordered = has_ordered(jaxpr.effects)
        if ordered:
            ctx.token = enter(ctx, ctx.latest_token(), PartitionSpec(), TOKEN, region)
        blocks = [enter(ctx, x, s, a, region) for x, s, a in zip(operands, in_specs, jaxpr.in_avals)]
        results = ctx.call(jaxpr, blocks, name)
        if ordered:
            met = across.met(ctx, ctx.latest_token(), region)
            ctx.token = leave(ctx, met, PartitionSpec(), TOKEN, region)
        if ctx.origin is not None:
            met = across.met(ctx, ctx.origin, region)
            ctx.origin = leave(ctx, met, PartitionSpec(), CODE, region)
        return [leave(ctx, x, s, a, region) for x, s, a in zip(results, out_specs, outs)]
    finally:
        ctx.module.manual = around


def _changed(ctx: Context, x: Value, aval: Any, how: Any, spec: PartitionSpec, mesh: Any) -> Value:
    """A value on its way into a region inside another, or out of it."""
    if not spec.axes():
        return Value(x.name, aval)
    ctx.out_avals = [aval]
    changed: Value = lowered_by(lambda y: how(y, spec, mesh))(ctx, x)
    return changed


def _cut(x: Any, spec: PartitionSpec, mesh: Any) -> Any:
    """The device's own block of what the devices along the axes of a spec share."""
    for dim, entry in enumerate(spec):
        if axes := entry_axes(entry):
            size = shape_of(x)[dim] // _factor(mesh, entry)
            own = index_along(axes, [mesh.shape[a] for a in axes])
            x = dynamic_slice_in_dim(x, mul(own, np.int32(size)), size, dim)
    return x


def _joined(x: Any, spec: PartitionSpec, mesh: Any) -> Any:
    """The inverse of `_cut`."""
    for dim, entry in enumerate(spec):
        if axes := entry_axes(entry):
            x = all_gather_p.bind(
                x,
                axis_name=axes,
                axis_sizes=tuple([mesh.shape[a] for a in axes]),
                all_gather_dimension=dim,
                axis_index_groups=None,
                invariant=False,
            )
    return x


# --- derivatives ------------------------------------------------------------------------------


def _within(how: Params) -> AbstractContextManager[None]:
    return inside(how["mesh"], how["manual"], how["check"])


def _spread(values: Sequence[Any], nonzeros: Sequence[bool], avals: Sequence[Any]) -> list[Any]:
    given = iter(values)
    return [next(given) if nz else Zero(a.tangent_aval()) for nz, a in zip(nonzeros, avals)]


def _chosen(values: Sequence[Any], flags: Sequence[bool]) -> tuple[Any, ...]:
    return tuple([v for v, flag in zip(values, flags) if flag])


def _jvp(
    primals: Any, tangents: Any, *, jaxpr: ClosedJaxpr, in_specs: Specs, out_specs: Specs, **how: Any
) -> tuple[list[Any], list[Any]]:
    nonzeros = tuple([type(t) is not Zero for t in tangents])
    with _within(how):
        derived, out_nonzeros = jvp_jaxpr(jaxpr, nonzeros)
    outs = shard_map_p.bind(
        *primals,
        *_chosen(tangents, nonzeros),
        jaxpr=derived,
        in_specs=in_specs + _chosen(in_specs, nonzeros),
        out_specs=out_specs + _chosen(out_specs, out_nonzeros),
        **how,
    )
    count = len(jaxpr.out_avals)
    return outs[:count], _spread(outs[count:], out_nonzeros, [aval_of(x) for x in outs[:count]])


def _kept_axes(aval: Any, mesh: Any, manual: Axes, check: bool) -> tuple[Hashable, ...]:
    """The axes along which the devices keep values of their own."""
    axes = aval.varying & manual if check else manual
    return tuple([axis for axis in mesh.axis_names if axis in axes])


class _Kept:
    """The values that leave a region to come back: each device's own, along one more dimension in front."""

    def __init__(self, avals: Sequence[Any], mesh: Any, manual: Axes, check: bool) -> None:
        self.avals = avals
        self.specs = tuple([PartitionSpec(_kept_axes(a, mesh, manual, check)) for a in avals])

    def returning(self, program: ClosedJaxpr) -> ClosedJaxpr:
        """The program, whose last results they are, with the dimension added."""
        first = len(program.out_avals) - len(self.avals)
        return _wrapped(
            program,
            program.in_avals,
            lambda args: args,
            lambda outs: [*outs[:first], *[expand_dims(x, (0,)) for x in outs[first:]]],
            "kept",
        )

    def taking(self, program: ClosedJaxpr) -> ClosedJaxpr:
        """The program, whose first arguments they are, with the dimension taken away."""
        count = len(self.avals)
        wider = [a.update(shape=(1, *a.shape)) for a in self.avals]
        return _wrapped(
            program,
            [*wider, *program.in_avals[count:]],
            lambda args: [*[squeeze(x, (0,)) for x in args[:count]], *args[count:]],
            lambda outs: outs,
            "given back",
        )


def _wrapped(
    closed: ClosedJaxpr,
    in_avals: Sequence[Any],
    before: Callable[[Sequence[Any]], Sequence[Any]],
    after: Callable[[Sequence[Any]], Sequence[Any]],
    key: Hashable,
) -> ClosedJaxpr:
    """The program with something done to its arguments and results; made once for a key."""

    def build() -> ClosedJaxpr:
        stages: list[StageTrace] = []

        def run(*args: Any) -> Sequence[Any]:
            return after(eval_derived(closed.jaxpr, closed.consts, before(args), stages[0]))

        return stage_closed(run, in_avals, closed.jaxpr.name, stages.append)

    return closed.jaxpr.memoized(("shard_map", key, tuple(in_avals)), build)


def _linearize(
    primals: Any, tangents: Any, *, jaxpr: ClosedJaxpr, in_specs: Specs, out_specs: Specs, **how: Any
) -> tuple[list[Any], list[Any]]:
    nonzeros = tuple([type(t) is not Zero for t in tangents])
    with _within(how):
        split = linearize_jaxpr(jaxpr, nonzeros)
    count = len(jaxpr.out_avals)
    kept = _Kept(split.primal.out_avals[count:], how["mesh"], how["manual"], how["check"])
    outs = shard_map_p.bind(
        *primals,
        jaxpr=kept.returning(split.primal),
        in_specs=in_specs,
        out_specs=out_specs + kept.specs,
        **how,
    )
    avals = [aval_of(x) for x in outs[:count]]
    if not any(split.out_nonzeros):
        return outs[:count], _spread([], split.out_nonzeros, avals)
    out_tangents = shard_map_p.bind(
        *outs[count:],
        *[outs[i] for i in split.residual_outputs],
        *[primals[i] for i in split.residual_inputs],
        *_chosen(tangents, nonzeros),
        jaxpr=kept.taking(split.linear),
        in_specs=(
            *kept.specs,
            *[out_specs[i] for i in split.residual_outputs],
            *[in_specs[i] for i in split.residual_inputs],
            *_chosen(in_specs, nonzeros),
        ),
        out_specs=_chosen(out_specs, split.out_nonzeros),
        **how,
    )
    return outs[:count], _spread(out_tangents, split.out_nonzeros, avals)


def _transpose(
    cts: Any, *args: Any, jaxpr: ClosedJaxpr, in_specs: Specs, out_specs: Specs, **how: Any
) -> list[Any]:
    linear = tuple([type(a) is Linear for a in args])
    ct_nonzeros = tuple([type(ct) is not Zero for ct in cts])
    fixed = tuple([not flag for flag in linear])
    with _within(how):
        derived, nonzeros = transpose_jaxpr(jaxpr, linear, ct_nonzeros)
    ct_specs = _chosen(out_specs, ct_nonzeros)
    results_specs = _chosen(_chosen(in_specs, linear), nonzeros)
    if not how["check"]:
        derived = _shared(derived, ct_specs, results_specs, how["mesh"], how["manual"])
    results = iter(
        shard_map_p.bind(
            *_chosen(args, fixed),
            *_chosen(cts, ct_nonzeros),
            jaxpr=derived,
            in_specs=_chosen(in_specs, fixed) + ct_specs,
            out_specs=results_specs,
            **how,
        )
    )
    flags = iter(nonzeros)
    return [next(results) if lin and next(flags) else None for lin in linear]


def _shared(
    derived: ClosedJaxpr, ct_specs: Specs, results_specs: Specs, mesh: Any, manual: Axes
) -> ClosedJaxpr:
    """A transposed program in which nothing says what varies: cotangents divided among devices, and results summed."""
    first = len(derived.in_avals) - len(ct_specs)

    def rest(spec: PartitionSpec) -> tuple[Hashable, ...]:
        return tuple([a for a in mesh.axis_names if a in manual and a not in spec.axes()])

    def before(args: Sequence[Any]) -> Sequence[Any]:
        shares = []
        for ct, spec in zip(args[first:], ct_specs):
            count = math.prod([mesh.shape[a] for a in rest(spec)])
            shares.append(ct if count == 1 else div(ct, constant(count, ct)))
        return [*args[:first], *shares]

    def after(outs: Sequence[Any]) -> Sequence[Any]:
        return [
            psum_p.bind(x, axes=rest(spec), axis_index_groups=None, invariant=False) if rest(spec) else x
            for x, spec in zip(outs, results_specs)
        ]

    return _wrapped(
        derived, derived.in_avals, before, after, ("shared", ct_specs, results_specs, mesh, manual)
    )


# --- batching, partial evaluation, dead code ----------------------------------------------------


def _with_entry(spec: PartitionSpec, dim: int, entry: Any) -> PartitionSpec:
    entries = [*spec.padded(max(dim, len(spec)))]
    entries.insert(dim, entry)
    return PartitionSpec(*entries)


def _batch(
    axis: Axis,
    args: Any,
    dims: Any,
    *,
    jaxpr: ClosedJaxpr,
    mesh: Any,
    manual: Axes,
    in_specs: Specs,
    out_specs: Specs,
    check: bool,
) -> tuple[list[Any], Any]:
    along = [a for a in entry_axes(axis.spmd_name) if a in manual]
    if along:
        jaxpr, axis = _split_map(axis, along, dims, jaxpr, mesh, in_specs, out_specs, check)
    entry = tuple(along) or None
    with inside(mesh, manual, check):
        derived, out_dims = batch_jaxpr(jaxpr, axis, tuple(dims), bool(along))
    outs = shard_map_p.bind(
        *args,
        jaxpr=derived,
        mesh=mesh,
        manual=manual,
        in_specs=tuple([s if d is None else _with_entry(s, d, entry) for s, d in zip(in_specs, dims)]),
        out_specs=tuple([s if d is None else _with_entry(s, d, entry) for s, d in zip(out_specs, out_dims)]),
        check=check,
    )
    return outs, out_dims


def _split_map(
    axis: Axis,
    along: Sequence[Hashable],
    dims: Any,
    jaxpr: ClosedJaxpr,
    mesh: Any,
    in_specs: Specs,
    out_specs: Specs,
    check: bool,
) -> tuple[ClosedJaxpr, Axis]:
    """The program for a mapped axis that is split over mesh axes, and what of it one device has.

    Raises:
      ValueError: the specs use those axes, or they do not divide the examples.
    """
    used = {a for spec in (*in_specs, *out_specs) for a in spec.axes()}
    if used.intersection(along):
        raise ValueError(
            f"shard_map: vmap's spmd_axis_name {axis.spmd_name!r} is in in_specs or out_specs already"
        )
    count = math.prod([mesh.shape[a] for a in along])
    if axis.size % count:
        raise ValueError(
            f"shard_map: vmap's spmd_axis_name {axis.spmd_name!r} of size {count} does not divide the {axis.size} examples"
        )
    more = frozenset(along) if check else no_axes
    types = [
        a if d is None else array_aval(a).update(varying=a.varying | more)
        for a, d in zip(jaxpr.in_avals, dims)
    ]

    def after(outs: Sequence[Any]) -> Sequence[Any]:
        return [variance.vary(x, more - aval_of(x).varying) for x in outs]

    wider = _wrapped(jaxpr, types, lambda args: args, after, "split map")
    return wider, Axis(axis.size // count, axis.name, None)


def _partial(
    unknown: Flags, *, jaxpr: ClosedJaxpr, in_specs: Specs, out_specs: Specs, **how: Any
) -> Division:
    mesh, manual, check = how["mesh"], how["manual"], how["check"]

    def places(flags: Sequence[bool], wanted: bool) -> list[int]:
        return [i for i, flag in enumerate(flags) if flag is wanted]

    def divide(needed: Flags, policy: Policy) -> Halves:
        part = split_jaxpr(jaxpr, unknown, outputs=needed, policy=policy)
        kept = _Kept(part.computed, mesh, manual, check)
        known = kept.returning(part.known)
        first = len(known.out_avals) - len(kept.avals)
        inputs, outputs = places(unknown, False), places(part.out_unknowns, False)
        later = places(needed, True)
        operands = [
            *[(RESIDUAL, k) for k in range(len(kept.avals))],
            *[(OUTPUT, i) for i in part.residual_outputs],
            *[(INPUT, i) for i in (*part.residual_inputs, *places(unknown, True))],
        ]
        specs = {RESIDUAL: kept.specs, OUTPUT: out_specs, INPUT: in_specs}
        return Halves(
            known={
                "jaxpr": known,
                "in_specs": tuple([in_specs[i] for i in inputs]),
                "out_specs": (*[out_specs[i] for i in outputs], *kept.specs),
                **how,
            },
            known_inputs=inputs,
            known_outputs=outputs,
            residuals=[whole_aval(a, s, mesh, manual) for a, s in zip(known.out_avals[first:], kept.specs)],
            unknown={
                "jaxpr": kept.taking(part.unknown),
                "in_specs": tuple([specs[kind][i] for kind, i in operands]),
                "out_specs": tuple([out_specs[i] for i in later]),
                **how,
            },
            operands=operands,
            unknown_outputs=later,
        )

    return Division(unknown_outputs(jaxpr, unknown), divide)


def _dce(
    used: Flags, *, jaxpr: ClosedJaxpr, in_specs: Specs, out_specs: Specs, **how: Any
) -> tuple[list[bool], Flags, Params]:
    reduced, inputs = dce_closed(jaxpr, used)
    params = {
        "jaxpr": reduced,
        "in_specs": _chosen(in_specs, inputs),
        "out_specs": _chosen(out_specs, used),
        **how,
    }
    return inputs, used, params


def _taylor(
    primals: Sequence[Any],
    series: Sequence[Series],
    order: int,
    *,
    jaxpr: ClosedJaxpr,
    in_specs: Specs,
    out_specs: Specs,
    **how: Any,
) -> tuple[list[Any], list[Series]]:
    flags = changing(series)
    terms_specs = tuple([s for s, flag in zip(in_specs, flags) if flag for _ in range(order)])

    def bind(derived: ClosedJaxpr, terms: list[Any]) -> list[Any]:
        changed = unknown_outputs(jaxpr, flags)
        more = tuple([s for s, flag in zip(out_specs, changed) if flag for _ in range(order)])
        outs: list[Any] = shard_map_p.bind(
            *primals,
            *terms,
            jaxpr=derived,
            in_specs=in_specs + terms_specs,
            out_specs=out_specs + more,
            **how,
        )
        return outs

    with _within(how):
        taylor_jaxpr(jaxpr, flags, order)  # the rules of users may name the axes
    return series_of_call(bind, jaxpr, primals, series, order)


shard_map_p = Primitive(
    "shard_map",
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
    varying=_varying,
    multiple_results=True,
)

shard_map_p.eager = eager_by_program(shard_map_p, "jaxpr")
