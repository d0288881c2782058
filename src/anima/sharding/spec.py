"""Partition specs: which mesh axes each dimension of an array is split over.

Invariant: a spec is immutable, and equal specs have equal entries: a lone axis is never a tuple, and no axes at all
are None. It names axes only; whether a mesh has them is for ``NamedSharding`` to check.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, TypeAlias, overload


class _Unconstrained:
    """The entry of a dimension whose split the compiler chooses."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "UNCONSTRAINED"

    def __reduce__(self) -> str:
        return "UNCONSTRAINED"  # a pickle holds the name of the one instance


UNCONSTRAINED: Final = _Unconstrained()

# None, an axis name (a string, as a rule), a tuple of names from major to minor, or UNCONSTRAINED.
Entry: TypeAlias = Any


def _normal(entry: Entry) -> Entry:
    if not isinstance(entry, (tuple, list)):
        return entry
    if any(axis is None or axis is UNCONSTRAINED or isinstance(axis, (tuple, list)) for axis in entry):
        raise ValueError(f"PartitionSpec: an entry is a tuple of axis names, got {entry!r}")
    return None if not entry else entry[0] if len(entry) == 1 else tuple(entry)


class PartitionSpec:
    """How the dimensions of an array are split over the axes of a mesh. ``P`` is short for it.

    Args:
      *partitions: for each dimension, from the first: None (not split), the name of a mesh axis, a tuple of names
        (split over all of them, the first being the major one), or ``P.UNCONSTRAINED`` (the compiler chooses).
        Dimensions that are left out are not split.

    Raises:
      ValueError: a tuple holds something else than names.

    >>> import anima
    >>> P = anima.sharding.PartitionSpec
    >>> P("x", None, ("y", "z"))
    P('x', None, ('y', 'z'))
    >>> P(("x",)) == P("x")
    True
    """

    __slots__ = ("_hash", "partitions")

    UNCONSTRAINED: Final = UNCONSTRAINED

    partitions: tuple[Entry, ...]

    def __init__(self, *partitions: Entry) -> None:
        self.partitions = tuple([_normal(entry) for entry in partitions])
        self._hash = hash(self.partitions)

    def padded(self, ndim: int) -> tuple[Entry, ...]:
        """The entries of all dimensions of an array of ``ndim`` dimensions."""
        return self.partitions + (None,) * (ndim - len(self.partitions))

    def axes(self) -> list[Any]:
        """The names of all axes that the array is split over, in the order of the dimensions."""
        return [axis for entry in self.partitions for axis in entry_axes(entry)]

    def unconstrained_dims(self) -> tuple[int, ...]:
        """The dimensions whose split the compiler chooses."""
        return tuple([i for i, entry in enumerate(self.partitions) if entry is UNCONSTRAINED])

    def index(self, entry: Entry) -> int:
        """The first dimension with this entry; raises ValueError if there is none."""
        return self.partitions.index(_normal(entry))

    def count(self, entry: Entry) -> int:
        """How many dimensions have this entry."""
        return self.partitions.count(_normal(entry))

    def __len__(self) -> int:
        return len(self.partitions)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.partitions)

    @overload
    def __getitem__(self, index: int) -> Entry: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Entry, ...]: ...
    def __getitem__(self, index: int | slice) -> Entry:
        return self.partitions[index]

    def __add__(self, other: object) -> PartitionSpec:
        if not isinstance(other, (PartitionSpec, tuple)):
            return NotImplemented
        return PartitionSpec(*self, *other)

    def __radd__(self, other: object) -> PartitionSpec:
        return PartitionSpec(*other, *self) if isinstance(other, tuple) else NotImplemented

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, PartitionSpec) and self.partitions == other.partitions)

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"P{self.partitions!r}"

    def __reduce__(self) -> tuple[Any, ...]:
        return PartitionSpec, self.partitions


P = PartitionSpec


def entry_axes(entry: Entry) -> tuple[Any, ...]:
    """The axes that an entry of a spec names, the major one first."""
    if entry is None or entry is UNCONSTRAINED:
        return ()
    return entry if isinstance(entry, tuple) else (entry,)
