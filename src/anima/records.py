"""Small immutable values with named fields, for classes that every program declares when it starts.

Invariant: declaring a `Record` costs what declaring any class costs. The standard library's dataclasses compile source text
for each class: about half a millisecond a class, which the import of this library would pay for all of its programs.
"""

from __future__ import annotations

import inspect
from typing import Any, ClassVar, dataclass_transform


class _Signature:
    """The signature of a record's constructor, worked out when it is asked for."""

    def __get__(self, record: Any, kind: type[Record]) -> inspect.Signature:
        params = [
            inspect.Parameter(
                name,
                inspect.Parameter.POSITIONAL_OR_KEYWORD,
                default=getattr(kind, name, inspect.Parameter.empty),
                annotation=kind.__annotations__[name],
            )
            for name in kind._fields
        ]
        return inspect.Signature(params)


@dataclass_transform(frozen_default=True)
class Record:
    """The base of immutable values: annotated class attributes are the fields, their values the defaults.

    Records are equal if they are of one class and have equal fields; they hash alike, and print as their constructor's call.

    >>> class Point(Record):
    ...     x: int
    ...     y: int = 0
    >>> Point(1), Point(x=1) == Point(1, 0)
    (Point(x=1, y=0), True)
    """

    _fields: ClassVar[tuple[str, ...]] = ()
    __signature__ = _Signature()

    def __init_subclass__(cls) -> None:
        cls._fields = tuple(cls.__annotations__)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        fields = self._fields
        given = dict(zip(fields, args), **kwargs)
        if len(given) < len(args) + len(kwargs) or not given.keys() <= set(fields):
            raise TypeError(f"{type(self).__name__} takes {', '.join(fields)}, got {args} and {kwargs}")
        missing = [name for name in fields if name not in given and not hasattr(self, name)]
        if missing:
            raise TypeError(f"{type(self).__name__} is missing {', '.join(missing)}")
        self.__dict__.update(given)

    def _values(self) -> tuple[Any, ...]:
        return tuple([getattr(self, name) for name in self._fields])

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(
            f"{type(self).__name__} cannot be changed: make another instead of setting {name}"
        )

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} cannot be changed: {name} cannot be deleted")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._values() == other._values()

    def __hash__(self) -> int:
        return hash((type(self), self._values()))

    def __repr__(self) -> str:
        shown = ", ".join([f"{name}={value!r}" for name, value in zip(self._fields, self._values())])
        return f"{type(self).__name__}({shown})"
