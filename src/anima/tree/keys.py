"""Key paths: the way from the top of a tree to one of its nodes, and how it prints.

Invariant: a key path is a tuple of keys; ``str`` of a key is the Python code that takes the step it stands for.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

from anima import _native


class _Step:
    """A step that one value says. Immutable; equal to another of its class with an equal value."""

    # By hand and not by `dataclasses`, which takes 2 ms of the import for the four classes.
    __slots__ = ("_value",)
    _value: Any

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable: {name} cannot be set")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable: {name} cannot be deleted")

    def __eq__(self, other: object) -> bool:
        return self._value == other._value if type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        return hash((type(self), self._value))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._value,)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.__match_args__[0]}={self._value!r})"

    __match_args__: tuple[str, ...] = ("_value",)


_keep = object.__setattr__
_stored: Any = vars(_Step)["_value"]  # the same slot, under the name that each class has for it


class SequenceKey(_Step):
    """The step into a list or a tuple.

    >>> str(SequenceKey(2))
    '[2]'
    """

    __slots__ = ()
    __match_args__ = ("idx",)
    idx: int = _stored

    def __init__(self, idx: int) -> None:
        _keep(self, "_value", idx)

    def __str__(self) -> str:
        return f"[{self._value!r}]"


class DictKey(_Step):
    """The step into a dict.

    >>> str(DictKey("weights"))
    "['weights']"
    """

    __slots__ = ()
    __match_args__ = ("key",)
    key: Any = _stored

    def __init__(self, key: Any) -> None:
        _keep(self, "_value", key)

    def __str__(self) -> str:
        return f"[{self._value!r}]"


class GetAttrKey(_Step):
    """The step to an attribute: of a named tuple, a dataclass, a class that names its children so.

    >>> str(GetAttrKey("bias"))
    '.bias'
    """

    __slots__ = ()
    __match_args__ = ("name",)
    name: str = _stored

    def __init__(self, name: str) -> None:
        _keep(self, "_value", name)

    def __str__(self) -> str:
        return f".{self._value}"


class FlattenedIndexKey(_Step):
    """The step to the n-th child of a class that was registered without names for its children.

    >>> str(FlattenedIndexKey(0))
    '[<flat index 0>]'
    """

    __slots__ = ()
    __match_args__ = ("key",)
    key: int = _stored

    def __init__(self, key: int) -> None:
        _keep(self, "_value", key)

    def __str__(self) -> str:
        return f"[<flat index {self._value}>]"


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
