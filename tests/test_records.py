"""Small values with named fields: they behave as those of the standard library."""

from __future__ import annotations

import copy
import inspect
import pickle
import typing
from typing import Any

import pytest

from anima.records import NamedTuple, Record
from anima.tree import flatten, unflatten


class Ours(NamedTuple):
    """Three fields."""

    x: int
    y: Any = 2
    z: tuple[int, ...] = ()

    @property
    def total(self) -> int:
        return self.x + int(self.y)


class Theirs(typing.NamedTuple):
    x: int
    y: Any = 2
    z: tuple[int, ...] = ()


def test_named_tuples_are_those_of_the_standard_library() -> None:
    for make in (Ours, Theirs):
        value = make(1, z=(3,))
        assert value == (1, 2, (3,)) and hash(value) == hash((1, 2, (3,)))
        assert isinstance(value, tuple) and (value.x, value.y, value.z) == tuple(value)
        assert value._fields == make.__match_args__ == ("x", "y", "z")
        assert make._field_defaults == {"y": 2, "z": ()}
        assert value._asdict() == {"x": 1, "y": 2, "z": (3,)}
        assert value._replace(y=5) == (1, 5, (3,)) and type(value._replace(y=5)) is make
        assert make._make([1, 2, 3]) == (1, 2, 3)
        assert repr(value) == f"{make.__name__}(x=1, y=2, z=(3,))"
        parameters = inspect.signature(make).parameters.values()
        assert [(p.name, p.default) for p in parameters] == [
            ("x", inspect.Parameter.empty),
            ("y", 2),
            ("z", ()),
        ]
        for again in (pickle.loads(pickle.dumps(value)), copy.copy(value), copy.deepcopy(value)):
            assert again == value and type(again) is make
        for wrong in ({}, {"x": 1, "w": 2}):
            with pytest.raises(TypeError):
                make(**wrong)
        with pytest.raises(TypeError):
            make(1, 2, 3, 4)
        with pytest.raises(TypeError):
            make(1, x=1)
        with pytest.raises(ValueError):
            value._replace(w=1)
        with pytest.raises(AttributeError):
            value.x = 2  # type: ignore[misc]
        with pytest.raises(AttributeError):
            value.w = 2  # type: ignore[union-attr]
        leaves, tree = flatten(value)
        assert leaves == [1, 2, 3] and unflatten(tree, leaves) == value
        match value:
            case make(x, _, (z,)):
                assert (x, z) == (1, 3)
            case _:
                raise AssertionError


def test_properties_and_docstrings_stay() -> None:
    assert Ours(1).total == 3
    assert Ours.__doc__ == "Three fields."


def test_defaults_come_last() -> None:
    with pytest.raises(TypeError, match="without a default follows"):

        class Wrong(NamedTuple):
            x: int = 1
            y: int  # type: ignore[misc]


def test_records_tell_their_signature() -> None:
    class Point(Record):
        x: int
        y: int = 0

    assert str(inspect.signature(Point)) == "(x: 'int', y: 'int' = 0)"
    assert Point(1) == Point(x=1, y=0) and Point(1) != Point(2)
