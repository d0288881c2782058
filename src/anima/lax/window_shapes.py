"""Where windows lie on an array: dilations, paddings, and the number of places.

Invariant: sizes are plain integers and never negative; a window that fits nowhere has no place. Everything that says
how windows lie is checked here, by the public functions, before it becomes a parameter of an operation.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

from anima.core.trace import Tracer
from anima.errors import ArgumentError, ShapeConcretizationError

Pads = tuple[tuple[int, int], ...]


def pads_attribute(pads: Pads) -> str:
    """The pairs as StableHLO spells them."""
    text = ", ".join(f"[{lo}, {hi}]" for lo, hi in pads)
    return f"dense<{f'[{text}]' if text else ''}> : tensor<{len(pads)}x2xi64>"


def dilated(size: int, step: int) -> int:
    """The size with `step - 1` holes between neighbours."""
    return (size - 1) * step + 1 if size else 0


class Windows(NamedTuple):
    """How windows lie along every dimension: one entry each.

    Attributes:
      window_dimensions: their sizes, without dilation.
      window_strides: the distances between neighbours.
      padding: how much is put before and after the (dilated) array; negative: taken away.
      base_dilation: the distances that the elements of the array are moved apart to.
      window_dilation: the distances between the elements of a window.
    """

    window_dimensions: tuple[int, ...]
    window_strides: tuple[int, ...]
    padding: Pads
    base_dilation: tuple[int, ...]
    window_dilation: tuple[int, ...]

    def counts(self, shape: Sequence[int]) -> tuple[int, ...]:
        """How many windows there are along each dimension of an array of this shape."""
        return tuple(
            max((lo + dilated(n, base) + hi - dilated(size, step)) // stride + 1, 0)
            for n, size, stride, (lo, hi), base, step in zip(shape, *self)
        )

    def with_axis(self, dim: int) -> Windows:
        """The same windows on arrays with one more dimension, of which each window has one place."""
        plain = (1, 1, (0, 0), 1, 1)
        return Windows(*((*field[:dim], one, *field[dim:]) for field, one in zip(self, plain)))  # type: ignore[arg-type]

    def along(self, dim: int) -> Windows:
        """How they lie along one dimension."""
        return Windows(*((field[dim],) for field in self))  # type: ignore[arg-type]

    def only(self, chosen: Sequence[bool]) -> Windows:
        """The same windows along the chosen dimensions, and of one place along the others."""
        plain = (1, 1, (0, 0), 1, 1)
        return Windows(
            *(tuple(v if c else one for v, c in zip(field, chosen)) for field, one in zip(self, plain))  # type: ignore[arg-type]
        )

    @property
    def inside(self) -> Windows:
        """The same windows on the array that has its padding and holes already."""
        rank = len(self.padding)
        return self._replace(padding=((0, 0),) * rank, base_dilation=(1,) * rank)

    @property
    def are_elements(self) -> bool:
        """Whether there is one window for each element, which has nothing else."""
        return all(lie == (1, 1, (0, 0), 1, 1) for lie in zip(*self))


def integers(
    name: str, argument: str, values: Any, count: int = -1, least: int = 1, ones: bool = False
) -> tuple[int, ...]:
    """`values` as a tuple of `count` integers, or of any number, each at least `least`; None for as many `ones` where it may be.

    Raises:
      ShapeConcretizationError: one is a traced value. TypeError: they are no integers. ArgumentError: they are too small, or too
        many or few.
    """
    if values is None and ones:
        return (1,) * count
    if not hasattr(values, "__iter__"):
        raise TypeError(f"{name}: {argument} must be a sequence of integers, got {values!r}")
    items = tuple(values)
    for item in items:
        if isinstance(item, Tracer):
            raise ShapeConcretizationError(name, item)
        if not hasattr(item, "__index__"):
            raise TypeError(f"{name}: {argument} must be integers, got {item!r} in {values!r}")
    result = tuple(operator.index(item) for item in items)
    if count >= 0 and len(result) != count:
        raise ArgumentError(
            f"{name}: {argument} must have {count} entries, one for each dimension, got {result}"
        )
    if any(v < least for v in result):
        word = {1: "positive", 0: "not negative"}.get(least, f"{least} or more")
        raise ArgumentError(f"{name}: every entry of {argument} must be {word}, got {result}")
    return result


def explicit_pads(name: str, padding: Any, count: int) -> Pads:
    """`padding` as pairs of integers, one for each of `count` dimensions.

    Raises:
      ArgumentError: it does not consist of pairs. TypeError: there are too many or few, or they are no integers.
    """
    pairs = tuple(padding) if hasattr(padding, "__iter__") else None
    if pairs is None or any(isinstance(p, str) or not hasattr(p, "__len__") or len(p) != 2 for p in pairs):
        raise ArgumentError(
            f"{name}: padding must be 'SAME', 'SAME_LOWER', 'VALID', or a sequence of (low, high) pairs, got {padding!r}"
        )
    if len(pairs) != count:
        raise TypeError(f"{name}: padding must have {count} pairs, one for each dimension, got {len(pairs)}")
    low = integers(name, "padding", [p[0] for p in pairs], least=-(2**62))
    return tuple(zip(low, integers(name, "padding", [p[1] for p in pairs], least=-(2**62))))


def named_pads(
    sizes: Sequence[int], windows: Sequence[int], strides: Sequence[int], padding: str, name: str
) -> Pads:
    """The pairs that a padding's name stands for, for these sizes (after dilation) and strides.

    Raises:
      RuntimeError: it stands for none.
    """
    mode = padding.upper()
    if mode == "VALID":
        return ((0, 0),) * len(tuple(sizes))
    if mode not in ("SAME", "SAME_LOWER"):
        raise RuntimeError(
            f"{name}: padding must be 'SAME', 'SAME_LOWER', 'VALID', or a sequence of (low, high) pairs, got {padding!r}"
        )
    pads = []
    for size, window, stride in zip(sizes, windows, strides):
        total = max((-(-size // stride) - 1) * stride + window - size, 0)
        less, more = total // 2, total - total // 2
        pads.append((more, less) if mode == "SAME_LOWER" else (less, more))
    return tuple(pads)


def padtype_to_pads(
    in_shape: Sequence[int], window_shape: Sequence[int], window_strides: Sequence[int], padding: str
) -> list[tuple[int, int]]:
    """The `(low, high)` pairs that a padding's name stands for.

    'VALID' is no padding. 'SAME' gives one window for each `stride` elements of the array, with the odd element of
    padding at the end; 'SAME_LOWER' has it at the beginning. Case does not matter.

    Args:
      in_shape: the sizes of the array, of its spatial dimensions only.
      window_shape: the sizes of the window.
      window_strides: the distances between neighbouring windows.
      padding: 'SAME', 'SAME_LOWER' or 'VALID'.
    Raises:
      RuntimeError: the name is none of these. TypeError: it is no name.

    >>> from anima import lax
    >>> lax.padtype_to_pads((5, 6), (3, 3), (2, 2), "SAME")
    [(1, 1), (0, 1)]
    """
    name = "padtype_to_pads"
    if not isinstance(padding, str):
        raise TypeError(f"{name}: padding must be a string, got {padding!r}")
    sizes = integers(name, "in_shape", in_shape, least=0)
    windows = integers(name, "window_shape", window_shape, len(sizes))
    strides = integers(name, "window_strides", window_strides, len(sizes))
    return list(named_pads(sizes, windows, strides, padding, name))


def windows_on(
    name: str,
    shape: Sequence[int],
    window_dimensions: Any,
    window_strides: Any,
    padding: Any,
    base_dilation: Any,
    window_dilation: Any,
) -> Windows:
    """What a user says about windows on an array of a shape, checked and complete.

    Raises:
      ArgumentError: a number of entries is wrong, or an entry too small, or the padding is malformed. TypeError: an entry is no
        integer. RuntimeError: the padding has a name that is none.
    """
    rank = len(shape)
    sizes = integers(name, "window_dimensions", window_dimensions, rank)
    strides = integers(name, "window_strides", window_strides, rank, ones=True)
    base = integers(name, "base_dilation", base_dilation, rank, ones=True)
    steps = integers(name, "window_dilation", window_dilation, rank, ones=True)
    if isinstance(padding, str):
        spread = [dilated(n, d) for n, d in zip(shape, base)]
        pads = named_pads(spread, [dilated(n, d) for n, d in zip(sizes, steps)], strides, padding, name)
    else:
        pads = explicit_pads(name, padding, rank)
    return Windows(sizes, strides, pads, base, steps)
