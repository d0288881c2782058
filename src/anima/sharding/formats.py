"""How arrays lie in memory: the order of their dimensions, together with their sharding.

Invariant: what this package compiles takes and returns dense arrays whose last dimension is contiguous. A format that asks for
another order is refused, never taken for a hint.
"""

from __future__ import annotations

from collections.abc import Sequence

from anima.records import Record
from anima.sharding.shardings import Sharding


class _Automatic:
    """The wish that the compiler chooses the order."""

    def __repr__(self) -> str:
        return "AUTO"


class Layout(Record):
    """The order of an array's dimensions in memory, the slowest first, and how elements are grouped.

    `Layout.AUTO` stands in a `Format` for the order that the compiler chooses.

    Args:
      major_to_minor: the dimensions, from the one with the largest steps to that with the smallest.
      tiling: shapes of the groups of elements that lie together; None says nothing about them.
      sub_byte_element_size_in_bits: the size of elements of less than a byte, 0 for others.

    >>> from anima.experimental.layout import Layout
    >>> Layout((0, 1))
    Layout(major_to_minor=(0, 1), tiling=None, sub_byte_element_size_in_bits=0)
    """

    major_to_minor: tuple[int, ...]
    tiling: tuple[tuple[int, ...], ...] | None = None
    sub_byte_element_size_in_bits: int = 0

    AUTO = _Automatic()

    def __init__(
        self,
        major_to_minor: Sequence[int],
        tiling: Sequence[Sequence[int]] | None = None,
        sub_byte_element_size_in_bits: int = 0,
    ) -> None:
        groups = None if tiling is None else tuple([tuple(group) for group in tiling])
        super().__init__(tuple(major_to_minor), groups, sub_byte_element_size_in_bits)


class Format(Record):
    """A layout and a sharding.

    Args:
      layout: a `Layout`, `Layout.AUTO`, or None for the usual order.
      sharding: a sharding, or None to leave it to the program; a `Layout` needs one.
    Raises:
      ValueError: a `Layout` stands without a sharding. TypeError: one of them is something else.

    >>> import anima
    >>> from anima.experimental.layout import Format, Layout
    >>> x = anima.numpy.zeros((2, 3))
    >>> x.format.layout.major_to_minor
    (0, 1)
    >>> print(anima.jit(lambda x: x.sum(), in_shardings=Format(Layout.AUTO))(x))
    0.0
    """

    layout: Layout | _Automatic | None = None
    sharding: Sharding | None = None

    def __init__(self, layout: Layout | _Automatic | None = None, sharding: Sharding | None = None) -> None:
        if not isinstance(layout, (Layout, _Automatic, type(None))):
            raise TypeError(f"Format: layout must be a Layout, Layout.AUTO or None, got {layout!r:.80}")
        if not isinstance(sharding, (Sharding, type(None))):
            raise TypeError(f"Format: sharding must be a Sharding or None, got {sharding!r:.80}")
        if isinstance(layout, Layout) and sharding is None:
            raise ValueError(
                f"Format: {layout} needs a sharding, since devices differ in how arrays lie on them; give a NamedSharding or a "
                "SingleDeviceSharding, or Layout.AUTO"
            )
        super().__init__(layout, sharding)


def usual_format(ndim: int, sharding: Sharding) -> Format:
    """The format of every array here that has `ndim` dimensions."""
    return Format(Layout(tuple(range(ndim)), ()), sharding)
