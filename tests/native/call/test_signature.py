"""Which calls share a program, and which are Python's affair."""

from __future__ import annotations

import collections
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from anima import _native as nt
from tests.native.call.support import (
    Maker,
    Recorder,
    hits,
    not_traced,
    recorded,
    sharded,
)


def test_same_avals_share(make: Maker) -> None:
    call, miss = recorded(make)
    x, y = make.put([1, 2, 3]), make.put([4, 5, 6])
    assert not hits(call, x)
    assert hits(call, x) and hits(call, y) and hits(call, np.float32([7, 8, 9]))
    assert call(y)[0] is y
    assert len(miss.seen) == 1 and call.cache_len() == 1
    assert not hits(call, make.put([1, 2]))
    assert not hits(call, np.int32([1, 2, 3]))
    assert not hits(call, 1.0)
    assert not hits(call, 1)
    assert not hits(call, True)
    assert not hits(call, 1j)
    assert not hits(call, np.float32(1))
    assert not hits(call)
    assert not hits(call, x, y)
    assert call.cache_len() == len(miss.seen) == 10
    for again in ((x,), (1.5,), (2,), (False,), (2j,), (np.float32(2),), (), (y, x), (make.put([0, 1]),)):
        assert hits(call, *again)
    assert len(miss.seen) == 10


def test_weak_types_are_distinguished(make: Maker) -> None:
    call, _ = recorded(make)
    x = make.put(1.0)
    weak = nt.array_with(x, weak_type=True)
    assert not hits(call, x)
    assert not hits(call, weak)
    assert hits(call, 2.0)  # a Python number is weakly typed
    assert hits(call, x) and hits(call, weak)


def test_structure_is_part_of_the_signature(make: Maker) -> None:
    call, miss = recorded(make)
    x = make.put([1])
    point = collections.namedtuple("point", "x y")
    trees: list[Any] = [
        x, (x,), [x], [[x]], {"a": x}, {"b": x}, {"a": x, "b": x}, (x, None), (None, x), (x, ()),
        collections.OrderedDict(a=x, b=x), collections.OrderedDict(b=x, a=x),
        collections.defaultdict(int, a=x), collections.defaultdict(list, a=x), point(x, x), point(x, None),
    ]  # fmt: skip
    assert not any([hits(call, tree) for tree in trees])
    assert all([hits(call, tree) for tree in trees])
    assert all([hits(call, tree) for tree in reversed(trees)])
    assert hits(call, {"b": x, "a": x})
    assert len(miss.seen) == call.cache_len() == len(trees)


def test_random_calls_hit_exactly_when_their_signature_was_seen(make: Maker) -> None:
    draw = random.Random(0)
    leaves: list[Callable[[], Any]] = [
        lambda: make.put([1.0]), lambda: make.put(1.0), lambda: np.float32([2.0]), lambda: np.float32(2.0),
        lambda: make.put(1.0, committed=True), lambda: draw.random(), lambda: draw.randrange(9), lambda: True,
        lambda: nt.array_with(make.put(1.0), weak_type=True),
    ]  # fmt: skip
    described = [
        "f32[1]",
        "f32",
        "f32[1]",
        "f32",
        "f32 committed",
        "f32 weak",
        "i32 weak",
        "bool weak",
        "f32 weak",
    ]

    def tree(depth: int) -> tuple[Any, str]:
        kind = draw.randrange(5) if depth else 0
        if kind == 0:
            i = draw.randrange(len(leaves))
            return leaves[i](), described[i]
        parts = [tree(depth - 1) for _ in range(draw.randrange(3))]
        values, texts = [p[0] for p in parts], [p[1] for p in parts]
        if kind == 1:
            return tuple(values), f"({texts})"
        if kind == 2:
            return values, f"[{texts}]"
        if kind == 3:
            return None, "None"
        keys = draw.sample("abc", len(parts))
        return dict(zip(keys, values)), f"dict {sorted(zip(keys, texts))}"

    call, _ = recorded(make, static_argnums=(1,))
    seen: set[Any] = set()
    for _ in range(2000):
        parts = [tree(2) for _ in range(draw.randrange(1, 3))]
        args = [p[0] for p in parts]
        texts = [p[1] for p in parts]
        if len(args) > 1:
            args[1] = draw.choice([0, 0.0, False, "0"])
            texts[1] = repr(args[1])
        keywords = {k: tree(1) for k in draw.sample("xyz", draw.randrange(3))}
        signature = (tuple(texts), tuple(sorted((k, t[1]) for k, t in keywords.items())))
        assert hits(call, *args, **{k: t[0] for k, t in keywords.items()}) == (signature in seen), signature
        seen.add(signature)
    assert call.cache_len() == len(seen)


def test_leaves_come_in_sorted_key_order(make: Maker) -> None:
    call = nt.CompiledCall(None, lambda *_: (None, plan), not_traced)
    plan = make.plan(None, 3, [(), (), ()], forward=(0, 1, 2))
    call({"c": 1.0, "a": 2.0, "b": 3.0})
    for tree in ({"a": 2.0, "b": 3.0, "c": 1.0}, {"b": 3.0, "c": 1.0, "a": 2.0}):
        assert [float(v) for v in call(tree)] == [2.0, 3.0, 1.0]
        tree["".join(["", "a"])] = 5.0
        assert [float(v) for v in call(tree)] == [5.0, 3.0, 1.0]


def test_keywords(make: Maker) -> None:
    call, miss = recorded(make)
    assert not hits(call, 1.0, b=2.0, a=3.0)
    assert hits(call, 1.0, a=3.0, b=2.0)
    assert hits(call, 1.0, **{"b": 3.0, "".join(["", "a"]): 2.0})
    assert not hits(call, 1.0, a=3.0, c=2.0)
    assert not hits(call, a=3.0, b=2.0)
    assert not hits(call, 1.0, 2.0, 3.0)
    assert [list(kwargs) for _, kwargs in miss.seen] == [["a", "b"], ["a", "c"], ["a", "b"], []]
    plan = make.plan(None, 3, [(), (), ()], forward=(0, 1, 2))
    ordered = nt.CompiledCall(None, lambda *_: (None, plan), not_traced)
    ordered(1.0, b=2.0, a=3.0)
    assert [float(v) for v in ordered(1.0, b=2.0, a=3.0)] == [1.0, 3.0, 2.0]
    many = {f"k{i}": float(i) for i in range(30)}
    assert not hits(call, **many)
    assert hits(call, **dict(reversed(many.items())))


def test_options_are_part_of_the_signature(make: Maker) -> None:
    call, miss = recorded(make)
    assert not hits(call, 1.0)
    old = nt.swap_thread_options_key(12345)
    try:
        assert not hits(call, 1.0)
        assert hits(call, 1.0)
    finally:
        nt.swap_thread_options_key(old)
    assert hits(call, 1.0)
    assert len(miss.seen) == 2


def test_placement_is_part_of_the_signature(make: Maker) -> None:
    call, miss = recorded(make)
    free, fixed, other = make.put(1.0), make.put(1.0, committed=True), make.put(1.0, 1, committed=True)
    assert not hits(call, free) and not hits(call, fixed) and not hits(call, other)
    assert hits(call, free) and hits(call, fixed) and hits(call, other)
    assert hits(call, make.put(1.0, 1))  # not committed: it goes where the program is
    assert len(miss.seen) == 3


def test_shardings_are_compared_by_value(make: Maker) -> None:
    call, miss = recorded(make)
    assert not hits(call, sharded(make, "x", [[1.0], [2.0]]))
    assert not hits(call, sharded(make, "y", [[1.0], [2.0]]))
    assert not hits(call, make.put([1.0, 2.0]))
    assert len(miss.seen) == 3
    assert call.cache_len() == 3
    miss.seen.clear()
    call(sharded(make, "x", [[1.0], [2.0]])), call(sharded(make, "y", [[1.0], [2.0]]))
    assert not miss.seen


def test_static_values_of_different_types_differ(make: Maker) -> None:
    call, miss = recorded(make, static_argnums=(0,))
    values: list[Any] = [
        1,
        1.0,
        True,
        1j,
        "1",
        (1,),
        (1.0,),
        (True,),
        ((1,), 2),
        ((1.0,), 2),
        0.0,
        -0.0,
        None,
        b"1",
    ]
    assert not any([hits(call, value, 2.0) for value in values])
    assert all([hits(call, value, 2.0) for value in values])
    assert len(miss.seen) == len(values)
    assert not hits(call, float("nan"), 2.0)
    assert hits(call, float("nan"), 2.0)
    assert not hits(call, 1)


def test_static_positions_and_names(make: Maker) -> None:
    call, miss = recorded(make, static_argnums=(2, 0, 7), static_argnames=("mode", "axis"))
    assert not hits(call, "a", 1.0, "b", mode="m")
    assert hits(call, "a", 2.0, "b", mode="m")
    assert not hits(call, "a", 1.0, "c", mode="m")
    assert not hits(call, "a", 1.0, "b", mode="n")
    assert not hits(call, "a", 1.0, "b", axis="m")
    assert not hits(call, "a", 1.0, "b", axis="m", x=1.0)
    assert not hits(call, "a", 1.0)
    assert hits(call, "a", 3.0, "b", x=2.0, axis="m")
    assert len(miss.seen) == 6


def test_flat_calls(make: Maker) -> None:
    call, miss = recorded(make, flat=True)
    miss_plan = make.plan(None, 2, [()], forward=(0,), single=True)
    miss.__class__ = type(
        "Fixed", (Recorder,), {"__call__": lambda self, *a: (self.seen.append(a), ("missed", miss_plan))[1]}
    )
    assert not hits(call, 1.0, 2.0, axis=0)
    assert hits(call, 3.0, 2.0, axis=0)
    assert not hits(call, 1.0, 2.0, axis=0.0)
    assert not hits(call, 1.0, 2.0, axis=(0, 1))
    assert hits(call, 1.0, 2.0, axis=(0, 1))
    assert call.cache_len() == 3
    assert not hits(call, [1.0], 2.0, axis=0)  # a container is no leaf: every time Python's affair
    assert not hits(call, [1.0], 2.0, axis=0)
    assert call.cache_len() == 3


def test_values_that_cannot_be_hashed_go_to_python(make: Maker) -> None:
    def miss(call: Any, args: Any, kwargs: Any) -> Any:
        raise ValueError("static arguments must be hashable")

    call = nt.CompiledCall(None, miss, not_traced, static_argnums=(0,))
    for value in ([1], {}, np.ones(3), (1, [2]), make.put(1.0)):
        with pytest.raises(ValueError, match="hashable"):
            call(value, 1.0)
    assert call.cache_len() == 0


def test_leaves_of_foreign_types_go_to_python(make: Maker) -> None:
    call, miss = recorded(make)
    for _ in range(2):
        for value in (object(), "text", b"bytes", [1.0, "x"], np.array(["x"]), np.array([object()]), {1}):
            assert not hits(call, value)
    assert call.cache_len() == 0
    assert len(miss.seen) == 14


def test_errors_of_user_code_come_through(make: Maker) -> None:
    class Static:
        def __init__(self, fail: str) -> None:
            self.fail = fail

        def __hash__(self) -> int:
            if self.fail == "hash":
                raise ZeroDivisionError
            return 1

        def __eq__(self, other: object) -> bool:
            raise ZeroDivisionError

    call, _ = recorded(make, static_argnums=(0,))
    with pytest.raises(ZeroDivisionError):
        call(Static("hash"), 1.0)
    assert not hits(call, Static("eq"), 1.0)
    with pytest.raises(ZeroDivisionError):
        call(Static("eq"), 1.0)

    def fails(call: Any, args: Any, kwargs: Any) -> Any:
        raise KeyError("from miss")

    with pytest.raises(KeyError, match="from miss"):
        nt.CompiledCall(None, fails, not_traced)(1.0)


@pytest.mark.parametrize("answer", [None, 3, (1,), (1, 2), (1, None, None), [1, None]])
def test_miss_that_returns_garbage(answer: Any) -> None:
    call = nt.CompiledCall(None, lambda *_: answer, not_traced)
    with pytest.raises(TypeError, match="miss function"):
        call(1.0)


def test_plan_for_another_number_of_leaves(make: Maker) -> None:
    plan = make.plan(None, 3, [()], forward=(2,))
    call = nt.CompiledCall(None, lambda *_: (None, plan), not_traced)
    with pytest.raises(ValueError, match="3 leaves, the call has 1"):
        call(1.0)
    assert call.cache_len() == 0


def test_miss_without_a_plan_is_asked_every_time() -> None:
    calls: list[Any] = []
    call = nt.CompiledCall(None, lambda *a: (calls.append(a), None), not_traced)
    call(1.0), call(1.0)
    assert len(calls) == 2 and call.cache_len() == 0


def test_ambient_trace() -> None:
    seen: list[Any] = []
    call = nt.CompiledCall(None, not_traced, lambda *a: seen.append(a) or "traced", static_argnums=(0,))
    nt.set_trace("trace")
    try:
        assert call([1], 2, k=3) == "traced"
    finally:
        nt.set_trace(None)
    assert seen == [(call, ([1], 2), {"k": 3})]
