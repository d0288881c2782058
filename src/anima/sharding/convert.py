"""Between partition specs, which name mesh axes, and the tilings of XLA, which number partitions.

Invariant: ``to_spec(from_spec(spec))`` puts the same parts in the same places as ``spec``.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from anima.sharding.hlo import GroupKind, HloSharding, digits_of, tiled
from anima.sharding.spec import Entry, PartitionSpec, entry_axes


@functools.lru_cache(maxsize=4096)
def from_spec(
    axis_names: tuple[Any, ...],
    axis_sizes: tuple[int, ...],
    spec: PartitionSpec,
    ndim: int,
    manual_axes: frozenset[Any] = frozenset(),
) -> HloSharding:
    """The tiling of a spec over a mesh; partition ``i`` is the ``i``-th device of the mesh in row-major order.

    Args:
      axis_names: the axes of the mesh.
      axis_sizes: their sizes.
      spec: over which of them each dimension is split.
      ndim: how many dimensions the array has.
      manual_axes: the axes over which the program itself splits; not in the spec.

    >>> print(from_spec(("x", "y"), (4, 2), PartitionSpec("y"), 2))
    {devices=[2,1,4]<=[4,2]T(1,0) last_tile_dim_replicate}
    """
    place = {name: i for i, name in enumerate(axis_names)}
    dims = [entry_axes(entry) for entry in spec.padded(ndim)]
    used = [axis for axes in dims for axis in axes]
    rest = [axis for axis in axis_names if axis not in used and axis not in manual_axes]
    manual = [axis for axis in axis_names if axis in manual_axes]
    order = (
        np.arange(math.prod(axis_sizes))
        .reshape(axis_sizes)
        .transpose([place[axis] for axis in (*used, *rest, *manual)])
        .ravel()
        .tolist()
    )

    def size(axes: Sequence[Any]) -> int:
        return math.prod([axis_sizes[place[axis]] for axis in axes])

    groups: list[tuple[GroupKind, int]] = [("replicated", size(rest)), ("manual", size(manual))]
    return tiled([size(axes) for axes in dims], order, groups)


def to_spec(
    axis_names: tuple[Any, ...], axis_sizes: tuple[int, ...], hlo: HloSharding
) -> PartitionSpec | None:
    """The spec over a mesh that says the same as a tiling, or None if there is none.

    Args:
      axis_names: the axes of the mesh.
      axis_sizes: their sizes; their product is the number of partitions.
      hlo: the tiling.

    >>> to_spec(("x", "y"), (4, 2), from_spec(("x", "y"), (4, 2), PartitionSpec(None, ("y", "x")), 2))
    P(None, ('y', 'x'))
    """
    if hlo.replicated:
        return PartitionSpec()
    if hlo.kind != "tiled" or any(kind != "replicated" for kind, _ in hlo.groups):
        return None
    by_stride = {}  # the distance between neighbours along an axis -> the axis
    stride = math.prod(axis_sizes)
    for name, size in zip(axis_names, axis_sizes):
        stride //= size
        if size > 1:
            by_stride[stride] = name, size
    grid = np.array(hlo.order).reshape((*hlo.tiles, -1))
    entries = [_entry(grid, axis, by_stride) for axis in range(len(hlo.tiles))]
    if any(entry is None for entry in entries):
        return None
    while entries and not entries[-1]:
        entries.pop()
    spec = PartitionSpec(*entries)
    count, ndim = math.prod(axis_sizes), len(hlo.tiles)
    try:
        same = from_spec(axis_names, axis_sizes, spec, ndim)
    except ValueError:  # an axis is used twice
        return None
    return spec if same.coordinates(ndim, count) == hlo.coordinates(ndim, count) else None


def _entry(grid: np.ndarray[Any, Any], dim: int, by_stride: dict[int, tuple[Any, int]]) -> Entry | None:
    """The axes that one dimension of a grid of partitions runs along, or None if they are not those of the mesh."""
    # In a grid over a mesh, the least partition of each slice is the one for which all other axes stand at 0.
    line = np.moveaxis(grid, dim, 0).reshape(grid.shape[dim], -1).min(axis=1)
    digits = digits_of((line - line[0]).tolist())
    if digits is None:
        return None
    axes: list[Any] = []
    for stride, size in digits:
        while size > 1:
            name, axis_size = by_stride.get(stride, (None, 0))
            if axis_size == 0 or size % axis_size:
                return None
            axes.append(name)
            stride, size = stride * axis_size, size // axis_size
    return tuple(reversed(axes))
