"""Pytrees under stress: reference cycles, leaks, threads, deep nesting, containers that change."""

from __future__ import annotations

import collections
import gc
import pickle
import sys
import threading
import weakref
from typing import Any, NamedTuple

import pytest

from anima import _native as nt


class Point(NamedTuple):
    x: Any
    y: Any


class Box:
    """A custom node: `content` is the child, `label` the aux data."""

    def __init__(self, content: Any, label: Any) -> None:
        self.content, self.label = content, label

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Box) and (self.content, self.label) == (other.content, other.label)

    __hash__ = None  # type: ignore[assignment]


nt.register_node(Box, lambda b: ((b.content,), b.label), lambda label, children: Box(children[0], label))


def defaultdict_of(factory: Any, **items: Any) -> collections.defaultdict[str, Any]:
    return collections.defaultdict(factory, items)


def test_cycles_through_aux_data_are_collected() -> None:
    class Aux:
        pass

    def make() -> weakref.ref[Aux]:
        aux = Aux()
        aux.definition = nt.tree_structure([Box(1, aux)])  # type: ignore[attr-defined]
        aux.child = aux.definition.children()[0]  # type: ignore[attr-defined]
        return weakref.ref(aux)

    gc.collect()
    dead = [make() for _ in range(10)]
    gc.collect()
    assert all(ref() is None for ref in dead)
    assert gc.is_tracked(nt.tree_structure([1]))


def test_nothing_leaks() -> None:
    leaf, aux = object(), object()
    tree = {"a": [leaf, Box(leaf, aux)], "b": Point(leaf, leaf), "c": defaultdict_of(list, z=leaf)}

    def work() -> None:
        leaves, definition = nt.tree_flatten(tree)
        definition.unflatten(leaves)
        definition.flatten_up_to(tree)
        definition.compose(definition)
        pickle.loads(pickle.dumps(nt.tree_structure([1])))
        nt.tree_map(lambda x, y: x, tree, tree)
        hash(definition), repr(definition), definition.children(), definition.node_data()
        for bad in (lambda: definition.unflatten(leaves[1:]), lambda: definition.flatten_up_to([leaf])):
            with pytest.raises(ValueError, match=r"leaves|differ"):
                bad()

    work()
    gc.collect()
    before = sys.getrefcount(leaf), sys.getrefcount(aux), sys.getrefcount(list)
    for _ in range(20):
        work()
    gc.collect()
    assert (sys.getrefcount(leaf), sys.getrefcount(aux), sys.getrefcount(list)) == before


def test_weak_references_to_structures() -> None:
    definition = nt.tree_structure([1])
    ref = weakref.ref(definition)
    assert ref() is definition
    del definition
    gc.collect()
    assert ref() is None


def test_threads_registering_and_flattening() -> None:
    errors: list[BaseException] = []

    def work(_: int) -> None:
        try:
            for _ in range(100):
                cls = type("C", (), {})
                nt.register_node(cls, lambda x: ((1, [2]), 0), lambda aux, children, cls=cls: cls())
                leaves, definition = nt.tree_flatten({"a": cls(), "b": [cls()]})
                assert leaves == [1, 2, 1, 2]
                definition.unflatten(leaves)
        except BaseException as e:
            errors.append(e)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


def test_containers_that_change_while_they_are_flattened() -> None:
    target: list[Any] = [1, 2, 3, 4]
    with pytest.raises(RuntimeError, match="changed its length"):
        nt.tree_flatten(target, is_leaf=lambda x: x == 2 and target.clear())
    mapping: dict[str, Any] = {"a": 1, "b": 2, "c": 3}
    with pytest.raises(RuntimeError, match="lost its key"):
        nt.tree_flatten(mapping, is_leaf=lambda x: x == 1 and mapping.clear())


def test_deep_trees_raise_instead_of_crashing() -> None:
    tree: Any = 1
    for _ in range(200_000):
        tree = [tree]
    for use in (nt.tree_flatten, nt.tree_leaves, nt.tree_structure):
        with pytest.raises(RecursionError):
            use(tree)
    definition = nt.tree_structure([1])
    for _ in range(16):
        definition = definition.compose(definition)
    assert definition.num_nodes == 65537
    with pytest.raises(RecursionError):
        repr(definition)
    with pytest.raises(RecursionError):
        definition.unflatten([1])
    with pytest.raises(RecursionError):
        definition.flatten_up_to(tree)
    cyclic: list[Any] = []
    cyclic.append(cyclic)
    with pytest.raises(RecursionError):
        nt.tree_flatten(cyclic)
