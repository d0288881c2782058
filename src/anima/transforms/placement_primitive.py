"""The primitives `device_put` and `sharding_constraint`: where a value lies, as operations that transformations see.

Invariant: they change no number. Eagerly they move; in a program over several devices a sharding becomes a constraint
on the partitioner, and the program runs on the devices of its mesh; in a program for one device they are nothing. Under `vmap`
the mapped axis is split over the map's `spmd_axis_name`; without one the partitioner chooses, and eagerly it is not split.
"""

from __future__ import annotations

from typing import Any

from anima.core.aval import AbstractValue, physical_aval
from anima.core.axes import MeshEffect
from anima.core.effects import Effects, no_effects
from anima.core.primitive import Primitive
from anima.errors import ShardingError
from anima.interpreters.batch import Axis
from anima.interpreters.key_reuse import same
from anima.lax.declare import jvp_linear
from anima.lowering.module import Context, Value
from anima.runtime.devices import resolve_device
from anima.runtime.layout import put_on_device, put_sharded
from anima.sharding import Mesh, NamedSharding, PartitionSpec, Sharding


def put(value: Any, where: Any) -> Any:
    """A concrete value moved to a device or laid out as a sharding says."""
    return (
        put_sharded(value, where)
        if isinstance(where, Sharding)
        else put_on_device(value, resolve_device(where))
    )


def _shape(x: AbstractValue, *, where: Any) -> AbstractValue:
    if not isinstance(where, Sharding):
        resolve_device(where)  # raises for what is no device: nobody looks at it once it is part of a program
    return x


def _eager(value: Any, *, where: Any) -> Any:
    if isinstance(where, NamedSharding) and where.spec.unconstrained_dims():
        chosen = [None if entry is PartitionSpec.UNCONSTRAINED else entry for entry in where.spec]
        where = where.update(spec=PartitionSpec(*chosen))
    return put(value, where)


def _effects(x: Any, *, where: Any) -> Effects:
    """A program in which something lies over a mesh runs on that mesh, wherever its arguments are."""
    if isinstance(where, NamedSharding) and isinstance(where.mesh, Mesh):
        return frozenset([MeshEffect(where.mesh)])
    return no_effects


def _lower(ctx: Context, x: Value, *, where: Any) -> Value:
    if ctx.module.partitions == 1 or ctx.module.manual is not None or not isinstance(where, Sharding):
        return x
    if len(where.device_set) == 1:
        return x
    hlo = where.hlo(physical_aval(x.aval).ndim)  # type: ignore[arg-type]
    free = where.spec.unconstrained_dims() if isinstance(where, NamedSharding) else ()
    config = f"unspecified_dims=[{','.join(map(str, free))}]" if free else ""
    attrs = f'call_target_name = "Sharding", mhlo.sharding = "{hlo}", backend_config = "{config}"'
    return ctx.op("stablehlo.custom_call", (x,), attrs=attrs)


def _over_examples(axis: Axis, d: int, sharding: NamedSharding) -> NamedSharding:
    """The sharding of an array with a mapped axis at `d`, each example of which has `sharding`."""
    entries = list(sharding.spec)
    entries += [None] * max(0, d - len(entries))
    entries.insert(d, PartitionSpec.UNCONSTRAINED if axis.spmd_name is None else axis.spmd_name)
    return NamedSharding(sharding.mesh, PartitionSpec(*entries))


def _batch(axis: Axis, args: Any, dims: Any, *, where: Any) -> tuple[Any, int]:
    (x,), (d,) = args, dims
    if isinstance(where, NamedSharding):
        where = _over_examples(axis, d, where)
    return device_put_p.bind(x, where=where), d


device_put_p: Primitive = Primitive(
    "device_put",
    shape=_shape,
    effects=_effects,
    lower=_lower,
    jvp=lambda primals, tangents, **params: jvp_linear(device_put_p, primals, tangents, **params),
    transpose=lambda ct, x, *, where: [ct],
    batch=_batch,
    keys=same,
)
device_put_p.eager = _eager


# --- the constraint ---------------------------------------------------------------------------


def _constraint_batch(axis: Axis, args: Any, dims: Any, *, sharding: Sharding) -> tuple[Any, int]:
    (x,), (d,) = args, dims
    if isinstance(sharding, NamedSharding):
        sharding = _over_examples(axis, d, sharding)
    elif not sharding.is_fully_replicated:
        raise ShardingError(
            f"with_sharding_constraint: under vmap {sharding} does not say how the mapped axis is split; give a "
            "NamedSharding"
        )
    return sharding_constraint_p.bind(x, sharding=sharding), d


def _constraint_transpose(ct: Any, x: Any, *, sharding: Sharding) -> list[Any]:
    return [sharding_constraint_p.bind(ct, sharding=sharding)]


sharding_constraint_p: Primitive = Primitive(
    "sharding_constraint",
    shape=lambda x, *, sharding: x,
    effects=lambda x, *, sharding: _effects(x, where=sharding),
    lower=lambda ctx, x, *, sharding: _lower(ctx, x, where=sharding),
    jvp=lambda primals, tangents, **params: jvp_linear(sharding_constraint_p, primals, tangents, **params),
    transpose=_constraint_transpose,
    batch=_constraint_batch,
    keys=same,
)
sharding_constraint_p.eager = lambda value, *, sharding: _eager(value, where=sharding)
