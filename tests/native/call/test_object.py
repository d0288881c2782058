"""CompiledCall as a Python object: its attributes, its cache, its life, and threads."""

from __future__ import annotations

import collections
import functools
import gc
import sys
import threading
import weakref
from typing import Any

import numpy as np
import pytest

from anima import _native as nt
from tests.native.call.support import (
    ADD,
    DOUBLE_IN_PLACE,
    Maker,
    hits,
    not_traced,
    recorded,
    sharded,
)


def test_bad_calls_are_refused() -> None:
    for arguments, options in (
        ((), {}),
        ((None, 3, print), {}),
        ((None, print, 3), {}),
        ((None, print, print), {"static_argnums": (-1,)}),
        ((None, print, print), {"static_argnums": ("x",)}),
        ((None, print, print), {"static_argnames": "ab"}),
        ((None, print, print), {"static_argnames": (3,)}),
        ((None, print, print), {"cache_size": -1}),
        ((None, print, print), {"name": 3}),
        ((None, print, print), {"nothing": 3}),
    ):
        with pytest.raises((TypeError, ValueError)):
            nt.CompiledCall(*arguments, **options)


def test_looks_like_a_function(make: Maker) -> None:
    def original(x: Any) -> Any:
        """The documentation."""

    call = nt.CompiledCall(original, lambda *a: ("missed", None), not_traced, name="original", spec={"a": 1})
    functools.update_wrapper(call, original)
    assert (
        call.__name__ == "original" and call.__doc__ == "The documentation." and call.__wrapped__ is original
    )
    assert (call.fun, call.name, call.spec) == (original, "original", {"a": 1})
    call.spec = "other"
    assert call.spec == "other"
    assert repr(call) == "<CompiledCall original>"
    assert weakref.ref(call)() is call
    assert len({call, call}) == 1
    with pytest.raises(AttributeError):
        call.fun = 3


def test_binds_like_a_method() -> None:
    seen: list[Any] = []
    call = nt.CompiledCall(None, lambda c, args, kwargs: (seen.append((args, kwargs)), None), not_traced)

    class Owner:
        method = call
        __add__ = call
        __getitem__ = call

    owner = Owner()
    owner.method(1, k=2)
    bound = owner.method
    bound(3)
    owner + 4
    owner[5]
    Owner.method(6)
    assert seen == [((owner, 1), {"k": 2}), ((owner, 3), {}), ((owner, 4), {}), ((owner, 5), {}), ((6,), {})]
    assert Owner.method is call and bound.__self__ is owner


def test_attributes_of_the_type_can_be_set() -> None:
    nt.CompiledCall.lower_for_test = lambda self: self.name
    try:
        assert nt.CompiledCall(None, print, print, name="x").lower_for_test() == "x"
    finally:
        del nt.CompiledCall.lower_for_test


def test_cache_is_bounded_and_drops_the_oldest(make: Maker) -> None:
    call, miss = recorded(make, cache_size=3, static_argnums=(0,))
    for i in range(3):
        call(i, 1.0)
    assert hits(call, 0, 1.0)
    call(3, 1.0)  # drops 1, the one not used for longest
    assert call.cache_len() == 3
    assert [hits(call, i, 1.0) for i in (0, 2, 3)] == [True, True, True]
    assert not hits(call, 1, 1.0)
    assert len(miss.seen) == 5
    for i in range(100):
        call(i, 1.0)
    assert call.cache_len() == 3
    none, miss = recorded(make, cache_size=0)
    assert not hits(none, 1.0) and not hits(none, 1.0) and none.cache_len() == 0


def test_clearing(make: Maker) -> None:
    first, _ = recorded(make)
    second, _ = recorded(make)
    first(1.0), second(1.0), second(1)
    first.clear_cache()
    assert (first.cache_len(), second.cache_len()) == (0, 2)
    assert not hits(first, 1.0) and hits(second, 1.0)
    nt.clear_all_caches()
    assert (first.cache_len(), second.cache_len()) == (0, 0)
    assert not hits(second, 1.0) and hits(second, 1.0)


def test_clearing_while_python_runs(make: Maker) -> None:
    """From a miss, a hash, a comparison, a flattening function and a destructor."""

    class Clears:
        def __init__(self, value: int) -> None:
            self.value = value

        def __hash__(self) -> int:
            call.clear_cache()
            return hash(self.value)

        def __eq__(self, other: object) -> bool:
            nt.clear_all_caches()
            return isinstance(other, Clears) and self.value == other.value

        def __del__(self) -> None:
            call.clear_cache()

    call, miss = recorded(make, static_argnums=(0,))
    other, _ = recorded(make, static_argnums=(0,))
    kept = Clears(5)
    for i in range(50):
        call(Clears(i % 3), float(i))
        call(kept, 1.0)
        call(i % 4, 1.0)
        other(Clears(i % 2), 1.0)
    assert miss.seen

    def clearing_miss(c: Any, args: Any, kwargs: Any) -> Any:
        c.clear_cache()
        return "missed", plan

    plan = make.plan(None, 1, [()], forward=(0,))
    clearing = nt.CompiledCall(None, clearing_miss, not_traced)
    assert not hits(clearing, 1.0) and clearing.cache_len() == 0

    class Node:
        pass

    nt.register_node(Node, lambda n: (treed.clear_cache() or (1.0,), "aux"), lambda aux, children: Node())
    treed, _ = recorded(make)
    for _ in range(5):
        treed(Node())
        treed([Node(), 1.0])


def test_calls_from_within_miss(make: Maker) -> None:
    plan = make.plan(None, 1, [()], forward=(0,))

    def miss(call: Any, args: Any, kwargs: Any) -> Any:
        n = kwargs["n"]
        if n > 0:
            call(*args, n=n - 1)
            call(*args, n=n)  # the same signature again, which is being made
        return "missed", plan

    budget = iter(range(20))

    def bounded(call: Any, args: Any, kwargs: Any) -> Any:
        return miss(call, args, kwargs) if next(budget, None) is not None else ("missed", plan)

    call = nt.CompiledCall(None, bounded, not_traced, static_argnames=("n",))
    call(1.0, n=3)
    assert call.cache_len() == 4
    endless = nt.CompiledCall(None, lambda c, a, k: c(*a), not_traced)
    with pytest.raises(RecursionError):
        endless(1.0)


class Token:
    """Something with a weak reference."""


def test_cycles_are_collected(make: Maker) -> None:
    def through_function() -> Token:
        token = Token()

        def miss(call: Any, args: Any, kwargs: Any) -> Any:
            return token, make.plan(None, 1, [()], forward=(0,), keepalive=token)

        call = nt.CompiledCall(token, miss, not_traced, spec=token)
        call.itself = call
        token.call = call  # type: ignore[attr-defined]
        call(1.0)
        return token

    def through_static() -> Token:
        token = Token()
        call, _ = recorded(make, static_argnums=(0,))
        call(token, 1.0)
        token.call = call  # type: ignore[attr-defined]
        return token

    def through_aux() -> Token:
        class Node:
            aux: Any = None

        nt.register_node(Node, lambda n: ((1.0,), n.aux), lambda aux, children: None)
        node, token = Node(), Token()
        node.aux = token
        call, _ = recorded(make)
        call(node)
        assert call.cache_len() == 1
        token.call = call  # type: ignore[attr-defined]
        return token

    def through_sharding() -> Token:
        token = Token()
        x = sharded(make, "x", [[1.0], [2.0]])
        x.sharding.token = token
        call, _ = recorded(make)
        call(x)
        token.call = call  # type: ignore[attr-defined]
        return token

    for build in (through_function, through_static, through_aux, through_sharding):
        refs = [weakref.ref(build()) for _ in range(3)]
        gc.collect()
        assert [ref() for ref in refs] == [None] * 3, build.__name__


def test_nothing_leaks(make: Maker) -> None:
    plan = make.plan(ADD, 2, [(3,)], single=True)
    static, leaf = Token(), make.put([1, 2, 3])
    call = nt.CompiledCall(None, lambda c, args, k: (None, plan), not_traced, static_argnames=("s",))
    tree = {"a": leaf, "b": [leaf]}

    def work() -> None:
        for _ in range(3):
            call(tree, s=static)
            call(leaf, leaf, s=static)
            call(leaf, np.float32([1, 2, 3]), s=static)
        call.clear_cache()
        for bad in (lambda: plan.execute([leaf]), lambda: plan.execute([leaf, "x"])):
            with pytest.raises((TypeError, ValueError)):
                bad()

    work()
    gc.collect()
    counts = [sys.getrefcount(o) for o in (plan, static, leaf, call, tree)]
    for _ in range(30):
        work()
    gc.collect()
    assert [sys.getrefcount(o) for o in (plan, static, leaf, call, tree)] == counts


def test_plan_lives_as_long_as_its_entry(make: Maker) -> None:
    token = Token()
    ref = weakref.ref(token)
    call, _ = recorded(make, static_argnums=(0,))
    call(token, 1.0)
    del token
    gc.collect()
    assert ref() is None or len(_.seen) == 1  # the recorder keeps what it has seen
    _.seen.clear()
    gc.collect()
    assert ref() is not None
    call.clear_cache()
    gc.collect()
    assert ref() is None


def test_threads_hammering_one_call(make: Maker) -> None:
    plan = make.plan(ADD, 2, [(3,)], single=True)
    errors: list[BaseException] = []
    stop = threading.Event()

    def miss(call: Any, args: Any, kwargs: Any) -> Any:
        return plan.execute(args), plan

    call = nt.CompiledCall(None, miss, not_traced, static_argnames=("s",), cache_size=5)

    def work(seed: int) -> None:
        try:
            x, y = make.put([seed] * 3), make.put([1, 2, 3])
            for i in range(300):
                out = call(x, y, s=(seed * i) % 9)
                if i % 50 == 0:
                    assert np.asarray(out).tolist() == [seed + 1, seed + 2, seed + 3]
        except BaseException as e:
            errors.append(e)

    def clear() -> None:
        while not stop.wait(0.001):
            call.clear_cache()
            nt.clear_all_caches()
            gc.collect(0)

    cleaner = threading.Thread(target=clear)
    cleaner.start()
    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    cleaner.join()
    assert not errors
    assert call.cache_len() <= 5


def test_threads_donating_and_deleting_the_same_array(make: Maker) -> None:
    plan = make.plan(DOUBLE_IN_PLACE, 1, [(3,)], single=True, donate=(0,))
    call = nt.CompiledCall(None, lambda c, args, k: (plan.execute(args), plan), not_traced)
    call(make.put([1, 2, 3]))
    outcomes: collections.Counter[str] = collections.Counter()
    arrays = [make.put([i, 2, 3]) for i in range(200)]

    def work() -> None:
        for x in arrays:
            try:
                call(x)
                outcomes["ran"] += 1
            except RuntimeError as e:
                assert "deleted" in str(e).lower() or "donated" in str(e).lower()
                outcomes["refused"] += 1

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes["ran"] + outcomes["refused"] == 600
    assert outcomes["ran"] >= 200
    assert all(x.is_deleted() for x in arrays)
