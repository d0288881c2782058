"""Trees whose nodes misbehave, and structures unpickled from nonsense.

Invariant: nodes of the classes below do what chance says when they are taken apart, compared or put together.
"""

from __future__ import annotations

import collections
import random
from typing import Any

from tests.native.fuzz.pool import Pool, nt

Point = collections.namedtuple("Point", "x y")


class Node:
    """A custom node."""

    def __init__(self, pool: Pool, children: Any, aux: Any) -> None:
        self.pool, self.children, self.aux = pool, children, aux


class Record:
    """A dataclass-like node whose attributes are computed."""

    def __init__(self, pool: Pool) -> None:
        self.__dict__["pool"] = pool

    def __getattr__(self, name: str) -> Any:
        pool = self.__dict__.get("pool")
        if pool is None or name.startswith("__"):
            raise AttributeError(name)
        pool.act()
        return pool.rng.choice([1, [2], pool.any()])


def _apart(node: Node) -> Any:
    node.pool.act()
    spoil = node.pool.rng.random()
    if spoil < 0.1:
        raise ValueError("no")
    if spoil < 0.2:
        return node.pool.any()
    return node.pool.rng.choice([node.children, list(node.children), iter(node.children)]), node.aux


def _apart_keyed(node: Node) -> Any:
    children, aux = _apart(node)
    keys = [("key", child) if node.pool.rng.random() < 0.9 else node.pool.any() for child in children]
    return keys, aux


def _together(aux: Any, children: Any) -> Any:
    if isinstance(aux, tuple) and isinstance(aux[0], Pool):
        aux[0].act()
        if aux[0].rng.random() < 0.2:
            raise ValueError("no")
    return children


nt.register_node(Node, _apart, _together, _apart_keyed)
nt.register_dataclass(Record, ("a", "b"), ("m",))


def make_tree(pool: Pool, depth: int) -> Any:
    """A tree of every kind of node."""
    rng = pool.rng
    kind = rng.randrange(11) if depth else 0
    if kind <= 1:
        return rng.choice([1, 2.0, None, "leaf", pool.any()])
    children = [make_tree(pool, depth - 1) for _ in range(rng.randrange(4))]
    keys = rng.choice(
        [["a", "b", "c", "d"], [1, 2, 3, 4], [(1,), "a", None, 2.5], [pool.hostile(), "a", 3, "b"]]
    )
    try:
        items = dict(zip(keys, children, strict=False))
    except Exception:
        items = {}
    made: Any = {
        2: lambda: children, 3: lambda: tuple(children), 4: lambda: items, 5: lambda: collections.OrderedDict(items),
        6: lambda: collections.defaultdict(rng.choice([None, list, pool.any]), items),
        7: lambda: Point(*(children + [1, 2])[:2]), 8: lambda: Record(pool),
        9: lambda: Node(pool, children, rng.choice([None, (pool,), pool.any()])), 10: lambda: [children, children],
    }[kind]()  # fmt: skip
    pool.containers += [v for v in (made, children) if isinstance(v, (list, dict))]
    return made


def deep_tree(rng: random.Random) -> Any:
    """More levels than can be followed, a list within itself, or a great many leaves."""
    kind = rng.randrange(4)
    if kind == 0:
        tree: Any = 1
        for _ in range(20_000):
            tree = rng.choice([[tree], (tree,)])
        return tree
    if kind == 1:
        tree = []
        tree.append({"again": tree})
        return tree
    return [0] * 50_000 if kind == 2 else {str(i): (i, [i]) for i in range(5_000)}


def odd_tree(pool: Pool) -> None:
    """Take a tree apart and put it together, in one of the ways that there are."""
    rng = pool.rng
    tree = deep_tree(rng) if rng.random() < 0.005 else make_tree(pool, 3)
    is_leaf = rng.choice([None, None, lambda x: rng.random() < 0.1, pool.hostile()])
    leaves, definition = nt.tree_flatten(tree, is_leaf)
    other = make_tree(pool, 2)
    ways: list[Any] = [
        lambda: nt.tree_unflatten(definition, leaves), lambda: definition.unflatten(iter(leaves)),
        lambda: definition.unflatten(leaves[:-1]), lambda: nt.tree_flatten_with_path(tree, is_leaf),
        lambda: nt.tree_flatten_with_path(tree, lambda path, x: rng.random() < 0.1, True),
        lambda: definition.flatten_up_to(tree), lambda: definition.flatten_up_to(other), lambda: repr(definition),
        lambda: hash(definition), lambda: definition == nt.tree_structure(tree), lambda: definition.children(),
        lambda: definition.compose(nt.tree_structure(other)), lambda: definition.node_data(),
        lambda: nt.tree_map(lambda *a: pool.act(), tree, tree), lambda: nt.tree_map(pool.hostile(), tree, other),
        lambda: nt.treedef_tuple([definition] * 3), lambda: nt.all_leaves([tree, other], is_leaf),
        lambda: nt.treedef_from_state(definition.__reduce__()[1][0]).unflatten(leaves),
        lambda: pool.call()(tree),
    ]  # fmt: skip
    for way in rng.sample(ways, 4):
        try:
            way()
        except SystemError:
            raise
        except Exception:
            pass


def odd_state(pool: Pool) -> None:
    """A pickled structure with changes."""
    rng = pool.rng
    state = list(nt.tree_structure(make_tree(pool, 3)).__reduce__()[1][0])
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(state))
        entry = list(state[at])
        change = rng.randrange(6)
        if change == 0:
            entry[rng.randrange(len(entry))] = pool.any()
        elif change == 1:
            entry[0] = rng.choice(["leaf", "none", "tuple", "list", "dict", "named_tuple", "ordered_dict",
                                   "default_dict", "custom", "dataclass", "\ud800"])  # fmt: skip
        elif change == 2:
            entry[1] = rng.choice([0, 1, -1, 3, 2**62, 2**64, True])
        elif change == 3:
            entry[2:] = [
                rng.choice([None, Node, Record, Point, int]),
                rng.choice([None, (), ("a",), (None, ("a",)), Point]),
            ]
        elif change == 4:
            state.insert(at, state[rng.randrange(len(state))])
        else:
            entry.append(pool.any())
        state[at] = tuple(entry)
    made = nt.treedef_from_state(tuple(state))
    repr(made), hash(made), made.children(), made.node_data()
    made.flatten_up_to(made.unflatten(range(made.num_leaves)))
