"""Shardings as XLA writes them: an array cut into a grid of tiles, and which partition has which tile.

Invariant: an ``HloSharding`` knows no devices and no axis names, only the numbers of partitions. Equal ones print
the same text, which is what ``mhlo.sharding`` attributes hold.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np

from anima.records import Record

Kind: TypeAlias = Literal["replicated", "maximal", "manual", "tiled"]
GroupKind: TypeAlias = Literal["replicated", "manual"]


class HloSharding(Record):
    """How one array lies over partitions.

    Attributes:
      kind: ``"replicated"`` (all of it everywhere), ``"maximal"`` (all of it on one partition), ``"manual"`` (the
        program says what is where), or ``"tiled"``.
      tiles: into how many tiles each dimension is cut. For ``"tiled"`` only.
      groups: behind those, how the partitions that share a tile are divided: (what they do with it, how many).
      order: the partitions in the row-major order of tiles and groups; for ``"maximal"``, the one partition.
    """

    kind: Kind
    tiles: tuple[int, ...] = ()
    groups: tuple[tuple[GroupKind, int], ...] = ()
    order: tuple[int, ...] = ()

    @property
    def replicated(self) -> bool:
        """Whether every partition has all of the array."""
        return self.kind == "replicated"

    def tiles_of(self, ndim: int) -> tuple[int, ...]:
        """Into how many tiles each dimension of an array of ``ndim`` dimensions is cut.

        Raises:
          ValueError: the sharding is for another number of dimensions.
        """
        if self.kind != "tiled":
            return (1,) * ndim
        if len(self.tiles) != ndim:
            raise ValueError(f"the sharding {self} is for {len(self.tiles)} dimensions, the array has {ndim}")
        return self.tiles

    def coordinates(self, ndim: int, partitions: int) -> list[tuple[int, ...]]:
        """The position in the grid of tiles that each partition has."""
        tiles = self.tiles_of(ndim)
        if self.kind != "tiled":
            return [(0,) * ndim] * partitions
        shape = (*tiles, *[size for _, size in self.groups])
        places = np.unravel_index(np.argsort(self.order), shape)[:ndim]
        return list(zip(*[place.tolist() for place in places])) if ndim else [()] * partitions

    def renumbered(self, numbers: Sequence[int]) -> HloSharding:
        """The same with partition ``i`` called ``numbers[i]``."""
        return HloSharding(self.kind, self.tiles, self.groups, tuple([numbers[i] for i in self.order]))

    def __str__(self) -> str:
        if self.kind == "maximal":
            return f"{{maximal device={self.order[0]}}}"
        if self.kind != "tiled":
            return f"{{{self.kind}}}"
        shape = (*self.tiles, *[size for _, size in self.groups])
        iota = iota_form(self.order)
        if iota is None:
            devices = _joined(self.order)
        else:
            reshape, transpose = iota
            devices = f"<=[{_joined(reshape)}]"
            if transpose != tuple(range(len(transpose))):
                devices += f"T({_joined(transpose)})"
        kinds = [kind for kind, _ in self.groups]
        ending = ""
        if kinds == ["replicated"]:
            ending = " last_tile_dim_replicate"
        elif kinds:
            ending = f" last_tile_dims={{{', '.join(kinds)}}}"
        return f"{{devices=[{_joined(shape)}]{devices}{ending}}}"


REPLICATED = HloSharding("replicated")
MANUAL = HloSharding("manual")


def maximal(partition: int) -> HloSharding:
    """All of the array on one partition."""
    return HloSharding("maximal", order=(partition,))


def tiled(
    tiles: Sequence[int], order: Sequence[int], groups: Sequence[tuple[GroupKind, int]] = ()
) -> HloSharding:
    """An array cut into tiles, in the simplest form.

    Args:
      tiles: into how many tiles each dimension is cut.
      order: the partitions in the row-major order of tiles and groups.
      groups: how the partitions that share a tile are divided.

    Raises:
      ValueError: there are more or fewer partitions than tiles times groups.

    >>> print(tiled([2, 1], [0, 2, 1, 3], [("replicated", 2)]))
    {devices=[2,1,2]<=[2,2]T(1,0) last_tile_dim_replicate}
    """
    groups = tuple([(kind, int(size)) for kind, size in groups if size != 1])
    count = math.prod(tiles) * math.prod([size for _, size in groups])
    if sorted(order) != list(range(count)):
        raise ValueError(
            f"a grid of {list(tiles)} tiles with the groups {list(groups)} needs each of the {count} partitions "
            f"once, got {list(order)}"
        )
    if math.prod(tiles) == 1:
        if all(kind == "replicated" for kind, _ in groups):
            return REPLICATED
        if all(kind == "manual" for kind, _ in groups):
            return MANUAL
    return HloSharding("tiled", tuple(map(int, tiles)), groups, tuple(map(int, order)))


def _joined(numbers: Sequence[int]) -> str:
    return ",".join(map(str, numbers))


def iota_form(order: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """``(shape, axes)`` with ``arange(n).reshape(shape).transpose(axes).ravel() == order``, or None.

    The shape is the shortest one, so equal orders have equal forms.

    >>> iota_form([0, 2, 4, 1, 3, 5])
    ((3, 2), (1, 0))
    """
    if not order or order[0] != 0:
        return None
    digits = _digits(order)
    if digits is None:
        return None
    by_stride = sorted(digits, reverse=True)
    shape = tuple([size for _, size in by_stride])
    axes = tuple([by_stride.index(digit) for digit in reversed(digits)])
    built = np.arange(len(order)).reshape(shape).transpose(axes).ravel()
    return (shape, axes) if np.array_equal(built, order) else None


def _digits(values: Sequence[int]) -> list[tuple[int, int]] | None:
    """(stride, size) of each digit, minor first, of a number system that counts through ``values``; from 0.

    None if it does not divide their number. Neighbours that are one longer digit come as that one.
    """
    digits, covered = [], 1
    while covered < len(values):
        stride, size = values[covered], 2
        while covered * size < len(values) and values[covered * size] == stride * size:
            size += 1
        if len(values) % (covered * size):
            return None
        digits.append((stride, size))
        covered *= size
    return digits


def digits_of(values: Sequence[int]) -> list[tuple[int, int]] | None:
    """The strides and sizes, minor first, of loops that count through ``values`` from 0, or None.

    >>> digits_of([0, 4, 1, 5])
    [(4, 2), (1, 2)]
    """
    digits = _digits(values) if len(values) and values[0] == 0 else None
    if digits is None:
        return None
    counted = np.zeros(1, dtype=np.int64)
    for stride, size in digits:
        counted = (np.arange(size)[:, None] * stride + counted).ravel()
    return digits if np.array_equal(counted, values) else None
