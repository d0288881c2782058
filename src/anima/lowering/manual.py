"""The part of a program that each device performs on its own blocks of arrays, as `shard_map` has it.

Invariant: a region knows the mesh as a grid of partition numbers, and which of its axes are manual; inside, values are
blocks, and operations over named axes say which partitions speak with each other. XLA's partitioner enters a region by the
custom call `SPMDFullToShardShape` and leaves it by `SPMDShardToFullShape`; along axes that are not manual it goes on
partitioning what is inside.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from anima.core.aval import AbstractValue, Axes, array_aval, no_axes, physical_aval
from anima.lowering.types import dense
from anima.sharding.convert import from_spec
from anima.sharding.hlo import HloSharding
from anima.sharding.spec import PartitionSpec

if TYPE_CHECKING:
    from anima.lowering.module import Context, Value

Groups = Sequence[Sequence[int]]


class ManualRegion:
    """The mesh of a region.

    Args:
      names, sizes: the axes of the mesh.
      ids: the partition at each place of the mesh, in row-major order.
      manual: the axes along which the program inside is for one device.
    """

    __slots__ = ("ids", "manual", "names", "sizes")

    def __init__(
        self, names: tuple[Hashable, ...], sizes: tuple[int, ...], ids: Sequence[int], manual: Axes
    ) -> None:
        self.names, self.sizes, self.manual = names, sizes, manual
        self.ids = np.asarray(ids, np.int64).reshape(sizes)

    @property
    def key(self) -> tuple[Any, ...]:
        """What the text of a program inside depends on."""
        return self.names, self.sizes, tuple(self.ids.ravel().tolist()), self.manual

    def same_mesh(self, other: ManualRegion) -> bool:
        """Whether another region is over the same devices with the same axes."""
        return self.key[:3] == other.key[:3]

    def rows(self, axes: Sequence[Hashable], groups: Groups | None = None) -> list[list[int]]:
        """The partitions that speak with each other along axes: those of a row, in the order of their indices.

        Args:
          groups: indices along the axes; then only those in one of them do.
        """
        others = [i for i, name in enumerate(self.names) if name not in axes]
        along = [self.names.index(name) for name in axes]
        count = int(np.prod([self.sizes[i] for i in along]))
        rows: list[list[int]] = self.ids.transpose([*others, *along]).reshape(-1, count).tolist()
        if groups is None:
            return rows
        return [[row[i] for i in group] for row in rows for group in groups]

    def sharding(self, spec: PartitionSpec, ndim: int, manual: Axes) -> HloSharding:
        """The tiling of an array of which the program inside is given blocks along the axes of `manual`."""
        hlo = from_spec(self.names, self.sizes, spec, ndim, manual)
        ids: list[int] = self.ids.ravel().tolist()
        return hlo if ids == sorted(ids) else hlo.renumbered(ids)


def replica_groups(rows: Sequence[Sequence[int]]) -> str:
    """The attribute of an operation between the partitions of each row; shorter rows are filled up."""
    width = max(map(len, rows))
    table = np.array([[*row, *[-1] * (width - len(row))] for row in rows], np.int64)
    return f"replica_groups = {dense(table)}"


def enter(ctx: Context, x: Value, spec: PartitionSpec, block: AbstractValue, region: ManualRegion) -> Value:
    """The device's own block of an array. `region`: the one that is entered; the one around is the module's."""
    around = ctx.module.manual.manual if ctx.module.manual else no_axes
    return cut(ctx, x, spec, block, region, around)


def cut(
    ctx: Context,
    x: Value,
    spec: PartitionSpec,
    block: AbstractValue,
    region: ManualRegion,
    around: Axes = no_axes,
) -> Value:
    """The device's own block of an array that all devices have, or have a block of along the axes of `around`."""
    ndim = physical_aval(array_aval(x.aval)).ndim
    free = _free(region, ndim)
    whole = _call(ctx, "Sharding", x, x.aval, region.sharding(spec, ndim, around), free)
    own = region.sharding(PartitionSpec(), ndim, region.manual)
    return _call(ctx, "SPMDFullToShardShape", whole, block, own, free)


def leave(ctx: Context, x: Value, spec: PartitionSpec, whole: AbstractValue, region: ManualRegion) -> Value:
    """The array of which the devices have the blocks `x`; the inverse of `enter`."""
    around = ctx.module.manual.manual if ctx.module.manual else no_axes
    ndim = physical_aval(array_aval(x.aval)).ndim
    free = _free(region, ndim)
    own = region.sharding(PartitionSpec(), ndim, region.manual)
    block = _call(ctx, "Sharding", x, x.aval, own, free)
    return _call(ctx, "SPMDShardToFullShape", block, whole, region.sharding(spec, ndim, around), free)


def _free(region: ManualRegion, ndim: int) -> str:
    """The dimensions that XLA may split further: all, along the axes that it still partitions."""
    if len(region.manual) == len(region.names):
        return ""
    return f"unspecified_dims=[{','.join(map(str, range(ndim)))}]" if ndim else ""


def _call(ctx: Context, target: str, x: Value, out: AbstractValue, sharding: HloSharding, free: str) -> Value:
    attrs = f'call_target_name = "{target}", mhlo.sharding = "{sharding}"'
    if free:
        attrs += f', backend_config = "{free}"'
    return ctx.op("stablehlo.custom_call", (x,), out, attrs)
