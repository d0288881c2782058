"""How arrays lie in memory, as programs report it.

Invariant: what this package compiles takes and returns dense arrays whose last dimension is contiguous.
"""

from __future__ import annotations

from anima.records import Record
from anima.sharding.shardings import Sharding


class Layout(Record):
    """The order of an array's dimensions in memory, the slowest first, and how elements are grouped.

    >>> Layout((0, 1))
    Layout(major_to_minor=(0, 1), tiling=(), sub_byte_element_size_in_bits=0)
    """

    major_to_minor: tuple[int, ...]
    tiling: tuple[tuple[int, ...], ...] = ()
    sub_byte_element_size_in_bits: int = 0


class Format(Record):
    """A layout and a sharding."""

    layout: Layout | None = None
    sharding: Sharding | None = None
