"""Programs over several devices: shardings of arguments and results become one partitioned executable.

Invariant: all shardings of one call are over the same set of devices, in an order fixed by the first of them: where
another sharding has them in another order, the program has an equal one in its own. Arguments that are not laid out as the program wants are moved before it runs, unless they are committed
to other devices, which is an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from anima import _native
from anima._native import ArrayImpl, CallPlan, tree_unflatten
from anima.core.aval import AbstractValue, array_aval, physical_aval
from anima.core.axes import MeshEffect
from anima.core.effects import Effects, reaches_host
from anima.core.jaxpr import ClosedJaxpr
from anima.core.spans import program_name, span
from anima.core.trace import Tracer
from anima.errors import ShardingError
from anima.lowering.checks import CODE, Checks
from anima.lowering.module import TOKEN, LoweredModule, lower_module
from anima.runtime import compiler, finite
from anima.runtime.compile_options import options_for
from anima.runtime.devices import devices, resolve_device
from anima.runtime.effects import kept_by_caller
from anima.runtime.layout import put_sharded
from anima.sharding import GSPMDSharding, Mesh, NamedSharding, PartitionSpec, Sharding, SingleDeviceSharding
from anima.sharding.protos import output_shardings
from anima.sharding.requests import is_request, sharding_of
from anima.tree.compare import flatten_axes


class _Unspecified:
    """The default of `in_shardings` and `out_shardings`: follow the arguments, let XLA choose for results."""

    def __repr__(self) -> str:
        return "UnspecifiedValue"


UNSPECIFIED: _Unspecified = _Unspecified()


def wanted(in_shardings: Any, out_shardings: Any, leaves: Sequence[Any], effects: Effects) -> bool:
    """Whether a call with these shardings and arguments of a program with these effects needs a partitioned program."""
    if effects and mesh_of(effects) is not None:
        return True
    if in_shardings is not UNSPECIFIED or out_shardings is not UNSPECIFIED:
        return True
    for leaf in leaves:
        own = own_sharding(leaf)
        if own is not None and len(own.device_set) > 1:
            return True
    return False


def mesh_of(effects: Effects) -> Any:
    """The mesh that a program with these effects runs on; None if it says nothing of it.

    Raises:
      ShardingError: it has meshes over different devices.
    """
    meshes = [e.mesh for e in effects if type(e) is MeshEffect and isinstance(e.mesh, Mesh)]
    if not meshes:
        return None
    by_devices = {frozenset(mesh.device_ids.ravel().tolist()): mesh for mesh in meshes}
    if len(by_devices) > 1:
        raise ShardingError(
            f"a program runs on one set of devices, but shardings inside are over {sorted(map(sorted, by_devices))}; use meshes "
            "over the same devices, or compile the parts apart"
        )
    return min(meshes, key=lambda mesh: mesh.device_ids.ravel().tolist())


def on_device(device: Any, backend: str | None, in_shardings: Any) -> Any:
    """The sharding that `jit(device=...)` or `jit(backend=...)` stands for.

    Raises:
      ValueError: shardings, or both, are given too.
    """
    if in_shardings is not UNSPECIFIED or (device is not None and backend is not None):
        raise ValueError("jit: give one of device, backend and in_shardings")
    target = resolve_device(device) if device is not None else devices(backend)[0]
    return SingleDeviceSharding(target)


def _is_sharding_leaf(x: Any) -> bool:
    return x is None or x is UNSPECIFIED or is_request(x)


def flatten_shardings(
    what: str, tree: Any, given: Any, avals: Sequence[AbstractValue]
) -> list[Sharding | None]:
    """One sharding, or None for unspecified, for each leaf of `tree` from a prefix of it.

    Args:
      what: the argument that is called so in messages.
      tree: the structure that shardings are for.
      given: a sharding, a spec for the current mesh, a format or None, or a prefix of the structure with those.
      avals: what the leaves are.
    Raises:
      TypeError: something else stands there. ValueError: it is no prefix, or a format has a layout that arrays never have.
      RuntimeError: a spec is given, and there is no current mesh.
    """
    if given is UNSPECIFIED:
        return [None] * int(tree.num_leaves)
    found = flatten_axes(what, tree, given, is_leaf=_is_sharding_leaf)
    for item in found:
        if not _is_sharding_leaf(item):
            raise TypeError(f"{what} must be shardings or None, got {item!r}")
    return [
        None if item is UNSPECIFIED else sharding_of(what, item, physical_aval(array_aval(aval)).ndim)
        for item, aval in zip(found, avals)
    ]


def own_sharding(leaf: Any) -> Sharding | None:
    """The sharding that an argument insists on: its own, if it is committed or over several devices.

    A `ShapeDtypeStruct`, to lower a program for, may have one too.
    """
    if type(leaf) is ArrayImpl:
        return leaf.sharding if leaf.committed or len(leaf.devices()) > 1 else None
    if isinstance(leaf, Tracer):
        return None
    sharding = getattr(leaf, "sharding", None)
    return sharding if isinstance(sharding, Sharding) else None


class ShardedProgram:
    """A jaxpr lowered for several devices."""

    __slots__ = (
        "_checks",
        "asked",
        "closed",
        "devices",
        "donate",
        "in_shardings",
        "lowered",
        "name",
        "out_shardings",
    )

    def __init__(
        self,
        closed: ClosedJaxpr,
        name: str,
        leaves: Sequence[Any],
        *,
        wished: Sequence[Sharding | None] | None = None,
        results: Sequence[Sharding | None] | None = None,
        donate: Sequence[int] = (),
        checks: Checks | None = None,
    ) -> None:
        """Lower `closed` for arguments `leaves`, with the shardings asked for arguments and results."""
        self._checks = checks
        self.closed = closed
        self.name = name
        self.donate = tuple(donate) if checks is None else ()
        wished = wished or [None] * len(leaves)
        outs = results or [None] * len(closed.out_avals)
        own = [own_sharding(x) for x in leaves]
        self.devices = _common_devices([*wished, *outs], own, mesh_of(closed.effects))
        replicated = _replicated(self.devices)
        self.in_shardings = [
            _resolve(w, o, replicated, self.devices, i) for i, (w, o) in enumerate(zip(wished, own))
        ]
        self.asked = self.out_shardings = list(outs)
        self._check_shapes()
        self.in_shardings = [self._ordered(s, a) for s, a in zip(self.in_shardings, closed.in_avals)]
        self.out_shardings = [s and self._ordered(s, a) for s, a in zip(outs, closed.out_avals)]
        self.lowered = self.lower()

    def lower(self, debug_info: bool = False) -> LoweredModule:
        """The program's text; with `debug_info` one to read."""
        closed = self.closed
        arg_attrs = [self._attribute(s, a) for s, a in zip(self.in_shardings, closed.in_avals)]
        for index in self.donate:
            arg_attrs[index] = ", ".join(filter(None, [arg_attrs[index], "jax.buffer_donor = true"]))
        further = [CODE] * (self._checks is not None) + [TOKEN] * reaches_host(closed.effects)
        with span("lower", program_name(self.name)):
            return lower_module(
                closed,
                name=self.name,
                platform=self.devices[0].platform,
                partitions=len(self.devices),
                devices=self.devices,
                arg_attrs=arg_attrs,
                constant_attrs=lambda aval: self._attribute(_replicated(self.devices), aval),
                result_attrs=[
                    *[self._attribute(s, a) for s, a in zip(self.out_shardings, closed.out_avals)],
                    *[self._attribute(_replicated(self.devices), aval) for aval in further],
                ],
                debug_info=debug_info,
                looking_for=self._checks and self._checks.renewed(),
            )

    def _ordered(self, sharding: Sharding, aval: Any) -> Sharding:
        """The sharding that cuts an array in the same way, with its devices in the order of the program's."""
        if sharding.device_assignment == self.devices:
            return sharding
        return GSPMDSharding(self.devices, sharding.hlo_over(array_aval(aval).ndim, self.devices))

    def _check_shapes(self) -> None:
        for kind, shardings, avals in (
            ("argument", self.in_shardings, self.closed.in_avals),
            ("result", self.out_shardings, self.closed.out_avals),
        ):
            for index, (sharding, aval) in enumerate(zip(shardings, avals)):
                if sharding is not None:
                    try:
                        sharding.shard_shape(array_aval(aval).shape)
                    except ShardingError as error:
                        raise ShardingError(f"{kind} leaf {index} of {self.name}: {error}") from None

    def _attribute(self, sharding: Sharding | None, aval: Any) -> str:
        if sharding is None or len(self.devices) == 1:
            return ""
        hlo = sharding.hlo_over(physical_aval(aval).ndim, self.devices)
        return f'mhlo.sharding = "{hlo}"'

    def compile(self, compiler_options: dict[str, Any] | None = None) -> Any:
        """The partitioned executable, from a cache if it is there."""
        options = options_for(
            "program",
            platform=self.devices[0].platform,
            text=self.lowered.text,
            num_partitions=len(self.devices),
            device_ids=[d.id for d in self.devices],
            propagate_to_output=[*[s is None for s in self.out_shardings], *[False] * self._further],
            compiler_options=compiler_options,
        )
        return compiler.compile_program(
            self.lowered.text, client=self.devices[0].client, options=options, name=self.name
        )

    def plan(
        self, executable: Any, *, out_tree: Any = None, committed: bool = True, single: bool = False
    ) -> Any:
        """The plan that runs `executable` on arguments laid out as `in_shardings` says."""
        return finite.make_plan(
            self.lowered,
            executable,
            name=self.name,
            num_leaves=len(self.in_shardings),
            kept=tuple(range(len(self.in_shardings))),
            consts=tuple(put_sharded(c, _replicated(self.devices)) for c, _ in self.lowered.constants),
            out_avals=tuple((a.shape, a.dtype, a.weak_type) for a in map(array_aval, self.closed.out_avals)),
            out_tree=out_tree,
            single=single,
            committed=True,
            donate=self.donate,
            out_shardings=self._results(executable),
            device=list(self.devices),
            keepalive=self.lowered.held or None,
        )

    @property
    def _further(self) -> int:
        """How many results the program has beside its own: the code of its checks, the signal."""
        return (self.lowered.checks is not None) + self.lowered.signals

    def _results(self, executable: Any) -> tuple[Any, ...] | None:
        if len(self.devices) == 1:
            return None
        further = (_replicated(self.devices),) * self._further
        if all(s is not None for s in self.out_shardings):
            return (*self.out_shardings, *further)
        count = len(self.out_shardings)
        chosen = output_shardings(executable.optimized_program(), count + len(further))
        mesh = mesh_of(self.closed.effects)
        if mesh is None:
            mesh = next((s.mesh for s in self.in_shardings if isinstance(s, NamedSharding)), None)
        found = [
            own if own is not None else _named(GSPMDSharding(self.devices, hlo), mesh, array_aval(a).ndim)
            for own, hlo, a in zip(self.out_shardings, chosen, self.closed.out_avals)
        ]
        return (*found, *further)

    def result_shardings(self, executable: Any) -> list[Sharding]:
        """The shardings of the results, as the caller of the program gets them."""
        chosen = self._results(executable) or [_replicated(self.devices)] * len(self.asked)
        return [c if asked is None else asked for c, asked in zip(chosen, self.asked)]

    def place(self, leaves: Sequence[Any]) -> list[ArrayImpl]:
        """The arguments, laid out as the program wants them."""
        return [put_sharded(leaf, s) for leaf, s in zip(leaves, self.in_shardings)]

    @property
    def reorders(self) -> bool:
        """Whether `as_asked` has something to do."""
        return any(s is not None and s.device_assignment != self.devices for s in self.asked)

    def as_asked(self, outs: Sequence[ArrayImpl]) -> list[ArrayImpl]:
        """The results with the shardings that were asked for, where those have the devices in another order."""
        return [
            x if s is None or s.device_assignment == self.devices else _reordered(x, s)
            for x, s in zip(outs, self.asked)
        ]


def _reordered(value: ArrayImpl, sharding: Sharding) -> ArrayImpl:
    """The same array and shards, under an equal sharding that has the devices in another order."""
    shards = dict(zip(value.sharding.device_assignment, value.addressable_shards_data))
    own = [shards[device] for device in sharding.device_assignment]
    return _native.array_from_shards(value.shape, value.dtype, value.weak_type, sharding, own)


def _named(sharding: GSPMDSharding, mesh: Any, ndim: int) -> Sharding:
    named = sharding.to_named(mesh) if mesh is not None else None
    return sharding if named is None else named


def _replicated(over: Sequence[Any]) -> Sharding:
    return SingleDeviceSharding(over[0]) if len(over) == 1 else GSPMDSharding.replicated(over)


def _common_devices(
    wished: Sequence[Sharding | None], own: Sequence[Sharding | None], mesh: Any
) -> tuple[Any, ...]:
    """The devices of the program: those of its mesh, or of the shardings that were asked for, else of the arguments' own."""
    inner = [] if mesh is None else [NamedSharding(mesh, PartitionSpec())]
    for sharding in (*inner, *wished, *own):
        if sharding is not None:
            chosen = sharding.device_assignment
            break
    else:
        return (devices()[0],)
    for sharding in wished:
        if sharding is not None and sharding.device_set != frozenset(chosen):
            raise ShardingError(
                f"jit got shardings over different devices: {list(chosen)} and {list(sharding.device_assignment)}"
            )
    return chosen


def _resolve(
    wish: Sharding | None, own: Sharding | None, replicated: Sharding, over: tuple[Any, ...], index: int
) -> Sharding:
    if wish is not None:
        return wish
    if own is None:
        return replicated
    if own.device_set == frozenset(over):
        return own
    raise ShardingError(
        f"argument leaf {index} is committed to {sorted(d.id for d in own.device_set)} of its devices, but the program "
        f"runs on {[d.id for d in over]}; move it with device_put, or give in_shardings"
    )


def run(
    program: ShardedProgram,
    leaves: Sequence[Any],
    compiler_options: Any = None,
    *,
    out_tree: Any = None,
    single: bool = False,
) -> tuple[Any, CallPlan | None]:
    """Compile and run a partitioned program: its result, and the plan for later calls of the same signature.

    There is no plan where an argument over several devices had to be laid out anew (a call must not take its
    shards as they are), nor where a result's shards must be put into another order.
    """
    executable = program.compile(compiler_options)
    placed = program.place(leaves)
    if program.reorders:
        outs = program.as_asked(program.plan(executable).execute(placed))
        if out_tree is not None:
            return tree_unflatten(out_tree, outs), None
        return (outs[0] if single else outs), None
    plan = program.plan(executable, out_tree=out_tree, single=single)
    moved = any(type(x) is ArrayImpl and len(x.devices()) > 1 and p is not x for x, p in zip(leaves, placed))
    return plan.execute(placed), None if moved else kept_by_caller(plan)
