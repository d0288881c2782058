"""What a staged `for` loop goes over: traced arrays, ranges with traced bounds, and `enumerate` and `zip` of them.

Invariant: a staged iterable gives the item at a traced position; where its length is known it also gives its rows to
`scan`, and its items to a Python loop.
"""

from __future__ import annotations

import abc
from collections.abc import Iterator, Sequence
from typing import Any

from anima.core import hooks
from anima.core.aval import ShapedArray, array_aval
from anima.core.trace import aval_of
from anima.errors import ConversionError
from anima.lax.arithmetic import sign
from anima.lax.convert import convert_to
from anima.lax.create import iota
from anima.lax.slicing import dynamic_index_in_dim
from anima.transforms.convert.checks import check
from anima.transforms.convert.places import here
from anima.transforms.convert.values import is_array, is_traced


class Staged(abc.ABC):
    """Items for a staged loop, as many as may be known only when the program runs."""

    @abc.abstractmethod
    def count(self) -> Any:
        """How many items there are."""

    @abc.abstractmethod
    def at(self, index: Any) -> Any:
        """The item at a position."""

    def zero(self) -> Any:
        """The first position."""
        return hooks.as_array(0)

    def __iter__(self) -> Iterator[Any]:
        raise ConversionError(
            f"{here()}: the number of items depends on a traced value, and this place needs all of them",
            advice="Only a for statement can go over them: write one, or make the number a static argument.",
        )


class Known(Staged):
    """Items whose number, `length`, is known."""

    length: int

    def count(self) -> int:
        return self.length

    @abc.abstractmethod
    def rows(self) -> list[Any]:
        """The arrays to scan over."""

    @abc.abstractmethod
    def item(self, row: Sequence[Any]) -> Any:
        """An item from its rows."""

    @abc.abstractmethod
    def __iter__(self) -> Iterator[Any]: ...

    def row_avals(self) -> list[Any]:
        avals = [array_aval(aval_of(rows)) for rows in self.rows()]
        return [ShapedArray(a.shape[1:], a.dtype, a.weak_type, varying=a.varying) for a in avals]


class Rows(Known):
    """The rows of one array, or of several side by side as tuples."""

    def __init__(self, arrays: Sequence[Any], together: bool = False) -> None:
        self._arrays = [hooks.as_array(a) for a in arrays]
        self._together = together
        self.length = min(array_aval(aval_of(a)).shape[0] for a in self._arrays)

    @classmethod
    def of_range(cls, numbers: range) -> Rows:
        """The numbers of a range, as an array."""
        return cls([list_of(numbers)])

    def rows(self) -> list[Any]:
        return [a[: self.length] for a in self._arrays]

    def item(self, row: Sequence[Any]) -> Any:
        return tuple(row) if self._together else row[0]

    def at(self, index: Any) -> Any:
        return self.item([dynamic_index_in_dim(a, index, 0, keepdims=False) for a in self._arrays])

    def __iter__(self) -> Iterator[Any]:
        return (self.item([a[i] for a in self._arrays]) for i in range(self.length))


def list_of(numbers: range) -> Any:
    """The numbers as a weakly typed array, which is what each of them is."""
    first, step = numbers.start, numbers.step
    return iota_of(len(numbers)) * step + first


def iota_of(length: int) -> Any:
    """The numbers below `length`, weakly typed."""
    return convert_to(iota(int, length), int, True)


class Enumerated(Staged):
    """`enumerate(inner, start)`."""

    def __init__(self, inner: Staged, start: Any) -> None:
        self._inner, self._start = inner, start

    def count(self) -> Any:
        return self._inner.count()

    def at(self, index: Any) -> Any:
        return index + self._start, self._inner.at(index)


class EnumeratedRows(Known):
    """`enumerate(inner, start)` of items whose number is known."""

    def __init__(self, inner: Known, start: Any) -> None:
        self._inner, self._start = inner, start
        self.length = inner.length

    def rows(self) -> list[Any]:
        return [iota_of(self.length) + self._start, *self._inner.rows()]

    def item(self, row: Sequence[Any]) -> Any:
        return row[0], self._inner.item(row[1:])

    def at(self, index: Any) -> Any:
        return index + self._start, self._inner.at(index)

    def __iter__(self) -> Iterator[Any]:
        return enumerate(self._inner, self._start)


class TracedRange(Staged):
    """`range` with a traced bound or step."""

    def __init__(self, *bounds: Any) -> None:
        if not all(_is_integer(b) for b in bounds):
            raise TypeError("range: its arguments must be integers")
        self._start, self._stop, self._step = (
            (0, bounds[0], 1) if len(bounds) == 1 else bounds if len(bounds) == 3 else (*bounds, 1)
        )
        if not is_traced(self._step):
            self._step = self._step.__index__()
            if self._step == 0:
                raise ValueError("range() arg 3 must not be zero")
        else:
            check(self._step == 0, ValueError("range() arg 3 must not be zero"))

    def count(self) -> Any:
        distance, step = self._stop - self._start, self._step
        if not is_traced(step):
            up = (distance + step - 1) // step if step > 0 else (-distance - step - 1) // -step
            return _at_least_zero(up)
        size = abs(step) + (step == 0)
        return _at_least_zero((distance * sign(step) + size - 1) // size)

    def zero(self) -> Any:
        return (self._stop - self._start) * 0

    def at(self, index: Any) -> Any:
        return self._start + index * self._step


def _at_least_zero(count: Any) -> Any:
    return count * (count > 0)


def _is_integer(bound: Any) -> bool:
    return hasattr(bound, "__index__") and (
        not is_array(bound) or array_aval(aval_of(bound)).dtype.kind in "iub"
    )


def staged_iterable(value: Any) -> Staged | None:
    """`value` as items of a staged loop; None if a Python loop can go over it as it is."""
    if isinstance(value, Staged):
        return value
    if is_traced(value):
        if value.ndim == 0:
            raise TypeError(f"{here()}: iteration over a traced scalar")
        return Rows([value])
    return None


def range_(*bounds: Any) -> Any:
    """`range`."""
    return TracedRange(*bounds) if any(map(is_traced, bounds)) else range(*bounds)


def enumerate_(iterable: Any, start: Any = 0) -> Any:
    """`enumerate`."""
    staged = staged_iterable(iterable)
    if staged is None:
        return enumerate(iterable, start)
    return EnumeratedRows(staged, start) if isinstance(staged, Known) else Enumerated(staged, start)


def zip_(*iterables: Any, **options: Any) -> Any:
    """`zip`; staged if every operand is an array and one of them traced."""
    if not any(map(is_traced, iterables)) or not all(is_array(x) and x.ndim for x in iterables):
        return zip(*iterables, **options)
    lengths = {len(x) for x in iterables}
    if options.get("strict") and len(lengths) > 1:
        raise ValueError(f"zip() arguments have different lengths: {sorted(lengths)}")
    return Rows(iterables, together=True)
