"""Small immutable values with named fields, for classes that every program declares when it starts.

Invariant: declaring a `Record` or a `NamedTuple` costs what declaring any class costs. The standard library's dataclasses
compile source text for each class, about half a millisecond, and its named tuples a fifth of that; the import of this library
would pay for all of them, in all programs.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, dataclass_transform


class _Signature:
    """The signature of a record's constructor, worked out when it is asked for."""

    def __get__(self, record: Any, kind: type[Record]) -> inspect.Signature:
        params = [
            inspect.Parameter(
                name,
                inspect.Parameter.POSITIONAL_OR_KEYWORD,
                default=kind._defaults().get(name, inspect.Parameter.empty),
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

    @classmethod
    def _defaults(cls) -> dict[str, Any]:
        return {name: getattr(cls, name) for name in cls._fields if hasattr(cls, name)}

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


if TYPE_CHECKING:
    from typing import NamedTuple as NamedTuple
else:
    from _collections import _tuplegetter

    class _NamedTupleMeta(type):
        def __new__(meta, name: str, bases: tuple[type, ...], members: dict[str, Any]) -> type:
            kind = super().__new__(meta, name, bases, {"__slots__": (), **members})
            if bases == (tuple,):
                return kind
            fields = tuple(kind.__annotations__)
            defaults = {field: members[field] for field in fields if field in members}
            if tuple(defaults) != fields[len(fields) - len(defaults) :]:
                raise TypeError(f"{name}: a field without a default follows one with a default")
            for place, field in enumerate(fields):
                setattr(kind, field, _tuplegetter(place, f"Alias for field number {place}"))
            kind._fields = kind.__match_args__ = fields
            kind._field_defaults = defaults
            return kind

    class NamedTuple(tuple, metaclass=_NamedTupleMeta):
        """The base of tuples whose places have names, as `typing.NamedTuple` is.

        >>> class Point(NamedTuple):
        ...     x: int
        ...     y: int = 0
        >>> Point(1), Point(x=1)._replace(y=2).y, Point(1) == (1, 0)
        (Point(x=1, y=0), 2, True)
        """

        _fields: ClassVar[tuple[str, ...]] = ()
        _field_defaults: ClassVar[dict[str, Any]] = {}
        __signature__ = _Signature()

        def __new__(cls, *args: Any, **kwargs: Any) -> Any:
            if kwargs or len(args) != len(cls._fields):
                args = cls._completed(args, kwargs)
            return tuple.__new__(cls, args)

        @classmethod
        def _completed(cls, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Sequence[Any]:
            lacking = len(cls._fields) - len(args)
            if not kwargs and 0 < lacking <= len(cls._field_defaults):
                return (*args, *tuple(cls._field_defaults.values())[-lacking:])
            given = dict(zip(cls._fields, args), **kwargs)
            if len(given) < len(args) + len(kwargs) or not given.keys() <= set(cls._fields):
                raise TypeError(f"{cls.__name__} takes {', '.join(cls._fields)}, got {args} and {kwargs}")
            missing = [f for f in cls._fields if f not in given and f not in cls._field_defaults]
            if missing:
                raise TypeError(f"{cls.__name__} is missing {', '.join(missing)}")
            return [given[f] if f in given else cls._field_defaults[f] for f in cls._fields]

        @classmethod
        def _defaults(cls) -> dict[str, Any]:
            return cls._field_defaults

        @classmethod
        def _make(cls, values: Any) -> Any:
            return cls(*values)

        def _replace(self, /, **changes: Any) -> Any:
            unknown = changes.keys() - set(self._fields)
            if unknown:
                raise ValueError(f"{type(self).__name__} has no fields {sorted(unknown)}")
            return type(self)(**{**self._asdict(), **changes})

        def _asdict(self) -> dict[str, Any]:
            return dict(zip(self._fields, self))

        def __getnewargs__(self) -> tuple[Any, ...]:
            return tuple(self)

        def __repr__(self) -> str:
            shown = ", ".join([f"{name}={value!r}" for name, value in zip(self._fields, self)])
            return f"{type(self).__name__}({shown})"
