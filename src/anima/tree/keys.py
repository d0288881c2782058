"""Key paths: the way from the top of a tree to one of its nodes, and how it prints.

Invariant: a key path is a tuple of keys; ``str`` of a key is the Python code that takes the step it stands for.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any, TypeAlias

from anima import _native


@dataclasses.dataclass(frozen=True, slots=True)
class SequenceKey:
    """The step into a list or a tuple.

    >>> str(SequenceKey(2))
    '[2]'
    """

    idx: int

    def __str__(self) -> str:
        return f"[{self.idx!r}]"


@dataclasses.dataclass(frozen=True, slots=True)
class DictKey:
    """The step into a dict.

    >>> str(DictKey("weights"))
    "['weights']"
    """

    key: Any

    def __str__(self) -> str:
        return f"[{self.key!r}]"


@dataclasses.dataclass(frozen=True, slots=True)
class GetAttrKey:
    """The step to an attribute: of a named tuple, a dataclass, a class that names its children so.

    >>> str(GetAttrKey("bias"))
    '.bias'
    """

    name: str

    def __str__(self) -> str:
        return f".{self.name}"


@dataclasses.dataclass(frozen=True, slots=True)
class FlattenedIndexKey:
    """The step to the n-th child of a class that was registered without names for its children.

    >>> str(FlattenedIndexKey(0))
    '[<flat index 0>]'
    """

    key: int

    def __str__(self) -> str:
        return f"[<flat index {self.key}>]"


# Classes that name their children may use keys of their own: any hashable object with a `str`.
KeyEntry: TypeAlias = Any
KeyPath: TypeAlias = tuple[KeyEntry, ...]

_native.set_key_classes(SequenceKey, DictKey, GetAttrKey, FlattenedIndexKey)


def _bare(key: KeyEntry) -> str:
    match key:
        case SequenceKey(value) | DictKey(value) | GetAttrKey(value) | FlattenedIndexKey(value):
            return str(value)
        case _:
            return str(key)


def keystr(keys: Iterable[KeyEntry], *, simple: bool = False, separator: str = "") -> str:
    """A key path as text.

    Args:
      keys: the path.
      simple: print the bare indices and names rather than code.
      separator: what to put between the keys.

    >>> import anima
    >>> path, leaf = anima.tree.leaves_with_path({"layers": [1.0]})[0]
    >>> anima.tree_util.keystr(path)
    "['layers'][0]"
    >>> anima.tree_util.keystr(path, simple=True, separator="/")
    'layers/0'
    """
    return separator.join([_bare(key) if simple else str(key) for key in keys])
