"""Slices of a fixed size whose start may be computed: `ds`.

Invariant: the size and the stride are known while tracing, so the shape of the result is.
"""

from __future__ import annotations

import operator
from typing import Any

from anima.core.trace import is_value
from anima.tree_util import register_pytree_node


class Slice:
    """`size` elements from `start` on, `stride` apart; an index like a `slice`, made by `ds`."""

    __slots__ = ("size", "start", "stride")
    __hash__ = None  # type: ignore[assignment]  # the start may be an array

    def __init__(self, start: Any, size: int, stride: int = 1) -> None:
        self.start = start
        self.size = size
        self.stride = stride

    @property
    def is_dynamic_start(self) -> bool:
        """Whether the start is an array."""
        return not isinstance(self.start, int)

    def __eq__(self, other: object) -> Any:
        if not isinstance(other, Slice):
            return NotImplemented
        return (self.size, self.stride) == (other.size, other.stride) and self.start == other.start

    def __repr__(self) -> str:
        return f"Slice(start={self.start!r}, size={self.size}, stride={self.stride})"


register_pytree_node(
    Slice,
    lambda s: ((s.start,), (s.size, s.stride)) if s.is_dynamic_start else ((), (s.size, s.stride, s.start)),
    lambda data, children: Slice(children[0] if children else data[2], *data[:2]),
)


def ds(start: Any, size: Any = None, stride: Any = None) -> slice | Slice:
    """A slice of a fixed size whose start may be computed: `x[ds(i, n)]` is `x[i : i + n]` for a traced `i`.

    A negative start counts from the end. A slice that would reach out of the array is moved into it, in reading and in
    updating, as in `lax.dynamic_slice`.

    Args:
      start: the first element, an integer or a scalar array of integers. Alone it is the size, and the slice begins at 0;
        `ds(None)` is `slice(None)`.
      size: how many elements.
      stride: the distance between them; None: 1.
    Raises:
      TypeError: the size or the stride is no integer (an array, say), or the start is no scalar integer. ValueError: the size
        is negative, or the stride is not positive.

    >>> import anima, anima.numpy as np
    >>> from anima import ds
    >>> x = np.arange(10)
    >>> print(anima.jit(lambda i: x[ds(i, 3)])(4), x.at[ds(1, 2)].set(0)[:4])
    [4 5 6] [0 0 0 3]
    """
    if start is None:
        return slice(None)
    if size is None:
        start, size = 0, start
    count = _whole("size", size)
    step = 1 if stride is None else _whole("stride", stride)
    if count < 0 or step < 1:
        raise ValueError(f"ds: size must not be negative and stride must be positive, got {count} and {step}")
    if isinstance(start, bool) or not hasattr(start, "__index__"):
        raise TypeError(f"ds: start must be an integer or a scalar array of integers, got {start!r}")
    return Slice(start if is_value(start) and hasattr(start, "aval") else operator.index(start), count, step)


def _whole(name: str, value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"ds: {name} must be an integer that is known while tracing, got {value!r}") from None
