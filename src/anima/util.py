"""Small functions on sequences that libraries of transformations share.

Invariant: nothing here knows of arrays or traces.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, TypeVar

T = TypeVar("T")
U = TypeVar("U")

__all__ = [
    "HashableFunction",
    "as_hashable_function",
    "safe_map",
    "safe_zip",
    "split_list",
    "unzip2",
    "wrap_name",
]


def safe_map(f: Callable[..., T], *sequences: Iterable[Any]) -> list[T]:
    """`list(map(f, *sequences))` for sequences of equal length.

    Raises:
      ValueError: they have different lengths.

    >>> from anima.util import safe_map
    >>> safe_map(lambda x, y: x + y, [1, 2], [10, 20])
    [11, 22]
    """
    return [f(*items) for items in safe_zip(*sequences)]


def safe_zip(*sequences: Iterable[Any]) -> list[tuple[Any, ...]]:
    """`list(zip(*sequences))` for sequences of equal length.

    Raises:
      ValueError: they have different lengths.

    >>> from anima.util import safe_zip
    >>> safe_zip([1, 2], "ab")
    [(1, 'a'), (2, 'b')]
    """
    lists = [list(items) for items in sequences]
    if len({len(items) for items in lists}) > 1:
        raise ValueError(f"safe_zip: the sequences have different lengths: {[len(items) for items in lists]}")
    return list(zip(*lists))


def unzip2(pairs: Iterable[tuple[T, U]]) -> tuple[tuple[T, ...], tuple[U, ...]]:
    """The first and the second items of pairs.

    >>> from anima.util import unzip2
    >>> unzip2([(1, "a"), (2, "b")])
    ((1, 2), ('a', 'b'))
    """
    found = list(pairs)
    return tuple([a for a, _ in found]), tuple([b for _, b in found])


def split_list(items: Sequence[T], counts: Sequence[int]) -> list[list[T]]:
    """A sequence cut into parts of the given lengths, and the rest.

    Raises:
      ValueError: it is shorter than they are together.

    >>> from anima.util import split_list
    >>> split_list([1, 2, 3, 4], [1, 2])
    [[1], [2, 3], [4]]
    """
    if any(count < 0 for count in counts) or sum(counts) > len(items):
        raise ValueError(
            f"split_list: a sequence of length {len(items)} has no parts of lengths {list(counts)}"
        )
    parts: list[list[T]] = []
    start = 0
    for count in counts:
        parts.append(list(items[start : start + count]))
        start += count
    return [*parts, list(items[start:])]


def wrap_name(name: str, transformation: str) -> str:
    """The name of a transformed function.

    >>> from anima.util import wrap_name
    >>> wrap_name("f", "jvp")
    'jvp(f)'
    """
    return f"{transformation}({name})"


class HashableFunction:
    """A function that equals those with the same code-independent key: `closure` says what it depends on.

    Args:
      f: the function.
      closure: a hashable value; two functions made from the same place with equal closures compute the same.

    >>> from anima.util import HashableFunction
    >>> def adder(n):
    ...     return HashableFunction(lambda x: x + n, closure=("adder", n))
    >>> adder(1) == adder(1), adder(1) == adder(2), adder(1)(5)
    (True, False, 6)
    """

    __slots__ = ("closure", "f")

    def __init__(self, f: Callable[..., Any], closure: Hashable) -> None:
        self.f = f
        self.closure = closure

    def __eq__(self, other: object) -> bool:
        return (
            type(other) is HashableFunction
            and getattr(self.f, "__code__", self.f) == getattr(other.f, "__code__", other.f)
            and self.closure == other.closure
        )

    def __hash__(self) -> int:
        return hash((getattr(self.f, "__code__", self.f), self.closure))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.f(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<hashable {getattr(self.f, '__name__', self.f)} with closure={self.closure}>"


def as_hashable_function(closure: Hashable) -> Callable[[Callable[..., Any]], HashableFunction]:
    """Decorator: the function as a `HashableFunction` with this closure.

    >>> from anima.util import as_hashable_function
    >>> def scaler(factor):
    ...     @as_hashable_function(closure=factor)
    ...     def scale(x):
    ...         return factor * x
    ...
    ...     return scale
    >>> scaler(2) == scaler(2), scaler(2)(4)
    (True, 8)
    """
    return lambda f: HashableFunction(f, closure)
