"""The part of a program that each device performs on its own blocks of arrays, as `shard_map` has it.

Invariant: a region knows the mesh as a grid of partition numbers, and which of its axes have names; inside, values are
blocks, and operations over named axes say which partitions speak with each other. XLA's partitioner enters a region by the
custom call `SPMDFullToShardShape` and leaves it by `SPMDShardToFullShape`, and leaves alone what is between them. Along axes
without a name all devices compute the same: XLA could go on partitioning there, but ends the process where it meets a loop.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from anima.core.aval import AbstractValue, Axes, array_aval, physical_aval
from anima.lowering.types import dense
from anima.sharding.convert import from_spec
from anima.sharding.hlo import MANUAL, HloSharding
from anima.sharding.spec import PartitionSpec

if TYPE_CHECKING:
    from anima.lowering.module import Context, Value

Groups = Sequence[Sequence[int]]


class ManualRegion:
    """The mesh of a region.

    Args:
      names, sizes: the axes of the mesh.
      ids: the partition at each place of the mesh, in row-major order.
      manual: the axes that have names.
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

    def sharding(self, spec: PartitionSpec, ndim: int) -> HloSharding:
        """The tiling of an array of which the devices have the blocks that a spec says."""
        hlo = from_spec(self.names, self.sizes, spec, ndim)
        ids: list[int] = self.ids.ravel().tolist()
        return hlo if ids == sorted(ids) else hlo.renumbered(ids)


def replica_groups(rows: Sequence[Sequence[int]]) -> str:
    """The attribute of an operation between the partitions of each row; shorter rows are filled up."""
    width = max(map(len, rows))
    table = np.array([[*row, *[-1] * (width - len(row))] for row in rows], np.int64)
    return f"replica_groups = {dense(table)}"


def enter(ctx: Context, x: Value, spec: PartitionSpec, block: AbstractValue, region: ManualRegion) -> Value:
    """The device's own block, of the type `block`, of an array."""
    sharding = region.sharding(spec, physical_aval(array_aval(x.aval)).ndim)
    whole = mark(ctx, "Sharding", x, x.aval, sharding)
    return mark(ctx, "SPMDFullToShardShape", whole, block, MANUAL)


def leave(ctx: Context, x: Value, spec: PartitionSpec, whole: AbstractValue, region: ManualRegion) -> Value:
    """The array, of the type `whole`, of which the devices have the blocks `x`; the inverse of `enter`."""
    sharding = region.sharding(spec, physical_aval(array_aval(x.aval)).ndim)
    block = mark(ctx, "Sharding", x, x.aval, MANUAL)
    return mark(ctx, "SPMDShardToFullShape", block, whole, sharding)


def mark(ctx: Context, target: str, x: Value, out: AbstractValue, sharding: HloSharding) -> Value:
    """A custom call by which a program tells the partitioner how an array lies."""
    attrs = f'call_target_name = "{target}", mhlo.sharding = "{sharding}"'
    return ctx.op("stablehlo.custom_call", (x,), out, attrs)
