"""Partition specs."""

from __future__ import annotations

import pickle

import pytest

from anima.sharding import P, PartitionSpec


def test_entries_are_normalised() -> None:
    assert P("x", ("y", "z")).partitions == ("x", ("y", "z"))
    assert P(("x",)) == P("x") == P(["x"])
    assert P((), None, []) == P(None, None, None)
    assert hash(P(("x",))) == hash(P("x"))
    assert P("x") != P("x", None)
    assert P("x") != ("x",)


def test_a_spec_is_a_sequence() -> None:
    spec = P("x", None, ("y", "z"))
    assert len(spec) == 3
    assert list(spec) == ["x", None, ("y", "z")]
    assert spec[0] == "x"
    assert spec[1:] == (None, ("y", "z"))
    assert spec.index(["y", "z"]) == 2
    assert spec.count(None) == 1
    assert P("x") + P("y") == P("x") + ("y",) == ("x",) + P("y") == P("x", "y")
    with pytest.raises(TypeError):
        P("x") + "y"  # type: ignore[operator]


def test_what_it_says() -> None:
    spec = P(P.UNCONSTRAINED, ("y", "z"), None, "x")
    assert spec.axes() == ["y", "z", "x"]
    assert spec.unconstrained_dims() == (0,)
    assert spec.padded(6) == (*spec, None, None)


def test_repr_and_pickle() -> None:
    spec = P("x", P.UNCONSTRAINED, ("y", "z"))
    assert repr(spec) == "P('x', UNCONSTRAINED, ('y', 'z'))"
    assert repr(P()) == "P()"
    copy = pickle.loads(pickle.dumps(spec))
    assert copy == spec
    assert copy[1] is PartitionSpec.UNCONSTRAINED


@pytest.mark.parametrize("entry", [("x", None), ("x", ("y",)), ("x", P.UNCONSTRAINED)])
def test_a_tuple_holds_names(entry: object) -> None:
    with pytest.raises(ValueError, match="tuple of axis names"):
        P(entry)
