"""Pytrees compared with JAX: structures, leaves, paths, printed forms, registration, errors.

Invariant: each case is run with both libraries and must give equal results, or the same kind of error. Differences that are
meant are in `MEANT`, with their reason, and must really differ.
"""

from __future__ import annotations

import collections
import copy
import dataclasses
import enum
import functools
import inspect
import json
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.flatten_util
import numpy as np
import pytest

import anima
import anima.flatten_util

pytestmark = pytest.mark.peers

Point = collections.namedtuple("Point", "x y")


class SubPoint(Point):
    pass


class SubDict(dict):  # type: ignore[type-arg]
    pass


class Color(enum.Enum):
    RED = 1


@dataclasses.dataclass
class Layer:
    w: Any
    b: Any = 2
    name: str = dataclasses.field(default="n", metadata=dict(static=True))


@dataclasses.dataclass
class Dropping:
    a: Any
    b: Any = 7
    c: Any = 8


class Plain:
    def __init__(self, *children: Any, tag: Any = None) -> None:
        self.children, self.tag = children, tag

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.children}, {self.tag})"


class Keyed(Plain):
    pass


class Mode(str):
    pass


class Slotted:
    __slots__ = ("a", "b")

    def __init__(self, a: Any, b: Any) -> None:
        self.a, self.b = a, b

    def __repr__(self) -> str:
        return f"Slotted({self.a}, {self.b})"


def register(lib: Any) -> None:
    util = lib.tree_util
    util.register_dataclass(Layer)
    util.register_dataclass(Dropping, data_fields=["a"], meta_fields=["b"], drop_fields=["c"])
    util.register_dataclass(Slotted, data_fields=["a"], meta_fields=["b"])
    util.register_pytree_node(Plain, lambda p: (list(p.children), p.tag), lambda tag, c: Plain(*c, tag=tag))
    util.register_pytree_with_keys(
        Keyed,
        lambda p: ([(util.GetAttrKey(f"k{i}"), c) for i, c in enumerate(p.children)], p.tag),
        lambda tag, c: Keyed(*c, tag=tag),
    )
    util.register_static(Mode)


register(jax)
register(anima)

TREES: list[Any] = [
    1, None, (), [], {}, (1,), [1, 2], {"b": 1, "a": 2}, {2: 1, 1: 2}, Point(1, (2,)), SubPoint(1, 2),
    collections.OrderedDict([("b", 1), ("a", 2)]), collections.defaultdict(list, {"b": 1, "a": [2]}), Layer(1, [2]),
    Plain(1, (2, None), tag="t"), Keyed(1, 2), Mode("m"), [Mode("m"), 1], Dropping(1, 2, 3), Slotted(1, 2), SubDict(a=1),
    collections.deque([1, 2]), Color.RED, "abc", frozenset({1}), {"a": {"c": {"d": None}, "b": (1, [2, {"z": 0, "y": 1}])}},
    {("t", 1): 2, ("s", 3): 1}, {True: 1, 2: 3}, {1.5: 1, 1: 2}, np.arange(3), {"a": None, "b": None},
]  # fmt: skip


def shown(value: Any) -> Any:
    """A result in a form that compares across the libraries."""
    if type(value).__name__ in ("SequenceKey", "DictKey", "GetAttrKey", "FlattenedIndexKey"):
        return (repr(value), str(value))
    if isinstance(value, collections.OrderedDict | collections.defaultdict | dict):
        extra = (getattr(value, "default_factory", None),)
        return (type(value).__name__, extra, [(k, shown(v)) for k, v in value.items()])
    if isinstance(value, (list, tuple)):
        return (type(value).__name__, [shown(v) for v in value])
    return repr(value)


def outcome(run: Callable[[Any], Any], lib: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return shown(run(lib))
        except Exception as error:  # the kind of error is what is compared
            return ("error", next(c.__name__ for c in type(error).__mro__ if c.__module__ == "builtins"))


OF_A_TREE: dict[str, Callable[[Any, Any], Any]] = {
    "flatten": lambda lib, t: lib.tree.flatten(t),
    "flatten_with_path": lambda lib, t: lib.tree.flatten_with_path(t),
    "keystr": lambda lib, t: [
        [lib.tree_util.keystr(path, simple=s, separator=sep) for s in (False, True) for sep in ("", "/")]
        for path, _ in lib.tree.leaves_with_path(t)
    ],
    "round trip": lambda lib, t: lib.tree.unflatten(lib.tree.structure(t), lib.tree.leaves(t)),
    "map": lambda lib, t: lib.tree.map(lambda x, y: (x, y), t, t),
    "map to None": lambda lib, t: lib.tree.map(lambda x, y: (x, y), t, None),
    "map to a tuple": lambda lib, t: lib.tree.map(lambda x, y: x, t, (1, 2, 3, 4, 5)),
    "map_with_path": lambda lib, t: lib.tree.map_with_path(lambda p, x: (lib.tree_util.keystr(p), x), t),
    "is_leaf": lambda lib, t: lib.tree.flatten(t, is_leaf=lambda x: isinstance(x, (tuple, type(None)))),
    "structure": lambda lib, t: (lambda s: (s.num_leaves, s.num_nodes, s.node_data(), s.children()))(lib.tree.structure(t)),
    "one level": lambda lib, t: lib.tree_util.flatten_one_level(t),
    "one level with keys": lambda lib, t: lib.tree_util.flatten_one_level_with_keys(t),
    "is_tree_node": lambda lib, t: lib.tree_util.is_tree_node(type(t)),
    "treedef_is_leaf": lambda lib, t: lib.tree_util.treedef_is_leaf(lib.tree.structure(t)),
    "all_leaves": lambda lib, t: lib.tree_util.all_leaves([t]),
    "broadcast": lambda lib, t: (lib.tree.broadcast(5, t), lib.tree.broadcast(t, t)),
    "reduce": lambda lib, t: lib.tree.reduce(lambda a, b: (a, b), t, "i"),
    "reduce_associative": lambda lib, t: lib.tree.reduce_associative(lambda a, b: (a, b), t, identity="i"),
    "all": lambda lib, t: lib.tree.all(t) if not isinstance(t, np.ndarray) else None,
    "flatten_up_to": lambda lib, t: lib.tree.structure((1, [2])).flatten_up_to(t),
    "compose": lambda lib, t: (lib.tree.structure((1, [2])).compose(lib.tree.structure(t)),
                               lib.tree.structure(t).compose(lib.tree.structure((1, 2)))),
    "treedef_tuple": lambda lib, t: lib.tree_util.treedef_tuple([lib.tree.structure(t)] * 2),
    "walk": lambda lib, t: lib.tree.structure(t).walk(lambda c, n: (c, n), lambda x: x, lib.tree.leaves(t)),
    "made again": lambda lib, t: (lambda s: type(s).from_node_data_and_children(
        lib.tree_util.default_registry, s.node_data(), s.children()) == s)(lib.tree.structure(t)),
    "pickled": lambda lib, t: pickle.loads(pickle.dumps(lib.tree.structure(t))) == lib.tree.structure(t),
    "copied": lambda lib, t: copy.deepcopy(lib.tree.structure(t)) == lib.tree.structure(t),
}  # fmt: skip

# (case, tree or None): why the results differ on purpose.
MEANT: dict[tuple[str, str], str] = {
    ("one level with keys", "Point"): "JAX gives every child of a named tuple the first one's key",
    ("one level with keys", "SubPoint"): "the same",
    ("transpose of nothing", ""): "JAX fails with an internal message",
    ("transpose of nothing into None", ""): "a TypeError says what is missing",
    ("drop_fields alone", ""): "the fields that are not dropped are known",
    ("field that is no argument", ""): "such fields cannot be children, so they are left to __init__",
    ("not a class", ""): "it raises at once",
    ("aux data that does not compare", ""): "the user's error comes through",
}


@pytest.mark.parametrize("case", OF_A_TREE)
@pytest.mark.parametrize("value", TREES, ids=lambda t: f"{type(t).__name__}-{t!r:.30}")
def test_of_a_tree(case: str, value: Any) -> None:
    theirs, ours = (
        outcome(lambda lib: OF_A_TREE[case](lib, value), jax),
        outcome(lambda lib: OF_A_TREE[case](lib, value), anima),
    )
    if (case, type(value).__name__) in MEANT:
        assert theirs != ours
    else:
        assert theirs == ours


def registered(lib: Any, fields: str = "a: int; b: int = 3", **options: Any) -> Any:
    """A new dataclass with these fields, registered."""
    space: dict[str, Any] = {"dataclasses": dataclasses, "tree": lib.tree}
    body = "\n".join("    " + line for line in fields.split("; "))
    exec(f"@dataclasses.dataclass\nclass C:\n{body}\n", space)
    lib.tree_util.register_dataclass(space["C"], **options)
    return space["C"]


class BadAux:
    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no comparison")

    __hash__ = None  # type: ignore[assignment]


def with_aux(lib: Any, aux: Callable[[], Any]) -> Any:
    class Node:
        pass

    lib.tree_util.register_pytree_node(Node, lambda n: ((1,), aux()), lambda a, c: Node())
    return lib.tree.structure(Node()) == lib.tree.structure(Node())


CASES: dict[str, Callable[[Any], Any]] = {
    "unsortable keys": lambda lib: lib.tree.flatten({"a": 1, 2: 3}),
    "unsortable keys with paths": lambda lib: lib.tree.flatten_with_path({"a": 1, None: 3}),
    "unsortable keys of an OrderedDict": lambda lib: lib.tree.flatten(collections.OrderedDict([("a", 1), (2, 3)])),
    "too few leaves": lambda lib: lib.tree.unflatten(lib.tree.structure((1, 2)), [1]),
    "too many leaves": lambda lib: lib.tree.unflatten(lib.tree.structure((1, 2)), [1, 2, 3]),
    "leaves from a generator": lambda lib: lib.tree.unflatten(lib.tree.structure((1, 2)), (i for i in range(2))),
    "map without a tree": lambda lib: lib.tree.map(lambda x: x),
    "map: list and tuple": lambda lib: lib.tree.map(lambda x, y: x, [1], (1,)),
    "map: other keys": lambda lib: lib.tree.map(lambda x, y: x, {"a": 1}, {"b": 1}),
    "map: dict and OrderedDict": lambda lib: lib.tree.map(lambda x, y: (x, y), {"a": 1}, collections.OrderedDict(a=2)),
    "map: other order": lambda lib: lib.tree.map(
        lambda x, y: (x, y), collections.OrderedDict(a=2, b=3), collections.OrderedDict(b=2, a=3)),
    "map: dict and defaultdict": lambda lib: lib.tree.map(lambda x, y: (x, y), {"a": 1}, collections.defaultdict(int, a=2)),
    "map: named tuple and tuple": lambda lib: lib.tree.map(lambda x, y: (x, y), Point(1, 2), (3, 4)),
    "map: tuple and named tuple": lambda lib: lib.tree.map(lambda x, y: (x, y), (3, 4), Point(1, 2)),
    "map: subclass of dict": lambda lib: lib.tree.map(lambda x, y: (x, y), {"a": 1}, SubDict(a=1)),
    "map: other static node": lambda lib: lib.tree.map(lambda x, y: (x, y), [Mode("a"), 2], [Mode("b"), 3]),
    "map: other meta field": lambda lib: lib.tree.map(lambda x, y: (x, y), Layer(1, 2, "a"), Layer(1, 2, "b")),
    "map: other length": lambda lib: lib.tree.map(lambda x, y: x, [1, 2], [1, 2, 3]),
    "map: leaf for a node": lambda lib: lib.tree.map(lambda x, y: x, [1, (2,)], [1, 2]),
    "map: None as a leaf": lambda lib: lib.tree.map(lambda x, y: (x, y), [1, None], [1, 2], is_leaf=lambda x: x is None),
    "map: subtrees": lambda lib: lib.tree.map(lambda x, y: (x, y), [1, 2], [(1, 2), {"a": 3}]),
    "reduce nothing": lambda lib: lib.tree.reduce(lambda a, b: a, []),
    "reduce from None": lambda lib: lib.tree.reduce(lambda a, b: (a, b), [1], None),
    "reduce_associative nothing": lambda lib: lib.tree.reduce_associative(lambda a, b: a, []),
    **{f"reduce_associative {n}": lambda lib, n=n: lib.tree.reduce_associative(  # type: ignore[misc]
        lambda a, b: f"({a}{b})", list("abcdefgh")[:n]) for n in range(1, 9)},
    "transpose": lambda lib: lib.tree.transpose(lib.tree.structure([0, 0]), lib.tree.structure({"a": 0}), [{"a": 1}, {"a": 2}]),
    "transpose into None": lambda lib: lib.tree.transpose(lib.tree.structure([0, 0]), None, [(1, [2]), (3, [4])]),
    "transpose: other keys": lambda lib: lib.tree.transpose(
        lib.tree.structure([0, 0]), lib.tree.structure({"a": 0}), [{"a": 1}, {"b": 2}]),
    "transpose: other nodes": lambda lib: lib.tree.transpose(
        lib.tree.structure([0, 0]), lib.tree.structure((0, 0)), [(1, [2]), (3, [4])]),
    "transpose: too many leaves": lambda lib: lib.tree.transpose(
        lib.tree.structure([0, 0]), lib.tree.structure((0, 0)), [(1, [2]), (3, [4, 5])]),
    "transpose of nothing": lambda lib: lib.tree.transpose(lib.tree.structure([]), lib.tree.structure({"a": 0}), []),
    "transpose of nothing into None": lambda lib: lib.tree.transpose(lib.tree.structure([]), None, []),
    "transpose of a leaf": lambda lib: lib.tree.transpose(lib.tree.structure(0), lib.tree.structure((0, 0)), (1, 2)),
    "broadcast: no prefix": lambda lib: lib.tree.broadcast([1, 2], [1, 2, 3]),
    "broadcast: None": lambda lib: lib.tree.broadcast([None, 1], [(1, 2), 3]),
    "broadcast: None as a leaf": lambda lib: lib.tree.broadcast([None, 1], [(1, 2), 3], is_leaf=lambda x: x is None),
    "is_leaf with path": lambda lib: lib.tree.flatten_with_path(
        {"a": [1, (2,)]}, is_leaf=lambda p, x: len(p) == 1, is_leaf_takes_path=True),
    "registered twice": lambda lib: lib.tree_util.register_dataclass(Layer),
    "data_fields alone": lambda lib: registered(lib, data_fields=["a"]),
    "a field missing": lambda lib: registered(lib, data_fields=["a"], meta_fields=[]),
    "a field unknown": lambda lib: registered(lib, data_fields=["a", "b", "c"], meta_fields=[]),
    "a field twice": lambda lib: registered(lib, data_fields=["a", "b"], meta_fields=["a"]),
    "no dataclass": lambda lib: lib.tree_util.register_dataclass(type("Other", (), {})),
    "drop_fields alone": lambda lib: lib.tree.flatten(registered(lib, drop_fields=["b"])(1, 2))[0],
    "field that is no argument": lambda lib: lib.tree.leaves(registered(lib, "a: int; b: int = dataclasses.field(init=False, default=3)")(1)),
    "static field": lambda lib: lib.tree.leaves(registered(lib, "a: int; b: int = tree.static(default=3)")(1)),
    "keyword fields": lambda lib: lib.tree.leaves(registered(lib, "_: dataclasses.KW_ONLY; a: int")(a=1)),
    "subclass of a registered class": lambda lib: lib.tree.leaves(dataclasses.make_dataclass("Sub", [], bases=(Layer,))(1)),
    "metadata of static": lambda lib: sorted(lib.tree.static(default=3, metadata={"x": 1}).metadata.items()),
    "a builtin class": lambda lib: lib.tree_util.register_pytree_node(dict, lambda d: (d.values(), None), lambda a, c: 1),
    "not a class": lambda lib: lib.tree_util.register_pytree_node(3, lambda d: ((), None), lambda a, c: 1),
    "aux data that does not compare": lambda lib: with_aux(lib, BadAux),
    "aux data that is an array": lambda lib: with_aux(lib, lambda: np.arange(3)),
    "keys compare": lambda lib: [
        lib.tree_util.DictKey(1) == lib.tree_util.DictKey(1), lib.tree_util.DictKey(1) == lib.tree_util.SequenceKey(1),
        hash(lib.tree_util.GetAttrKey("a")) == hash(lib.tree_util.GetAttrKey("a"))],
    "keys by name": lambda lib: [
        lib.tree_util.DictKey(key=1), lib.tree_util.SequenceKey(idx=1), lib.tree_util.GetAttrKey(name="a"),
        lib.tree_util.FlattenedIndexKey(key=1), pickle.loads(pickle.dumps(lib.tree_util.DictKey("a")))],
    "keys do not change": lambda lib: setattr(lib.tree_util.DictKey("b"), "key", 3),
    "keystr of anything": lambda lib: lib.tree_util.keystr(("a", 3), simple=True, separator="."),
    "Partial": lambda lib: (lib.tree.flatten(lib.tree_util.Partial(max, 1, key=2)), lib.tree_util.Partial(max, 1)(3)),
    "Partial of a partial": lambda lib: lib.tree.leaves(lib.tree_util.Partial(functools.partial(max, 1), 2)),
    "Partial of a Partial": lambda lib: lib.tree.leaves(lib.tree_util.Partial(lib.tree_util.Partial(max, 1), 2)),
    "Partials compare": lambda lib: [
        lib.tree.structure(lib.tree_util.Partial(max, 1)) == lib.tree.structure(lib.tree_util.Partial(f, 2)) for f in (max, min)],
    "paths of a Partial": lambda lib: [
        lib.tree_util.keystr(p) for p, _ in lib.tree.leaves_with_path(lib.tree_util.Partial(max, 1, key=2))],
    "vmap in_axes": lambda lib: lib.vmap(lambda x: x["a"], in_axes=({"b": 0},))({"a": np.ones(3)}),
    "vmap in_axes list": lambda lib: lib.vmap(lambda x: x[0], in_axes=([0],))((np.ones(3),)),
    "vmap out_axes": lambda lib: lib.vmap(lambda x: {"a": x}, out_axes={"b": 0})(np.ones(3)),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_cases(case: str) -> None:
    theirs, ours = outcome(CASES[case], jax), outcome(CASES[case], anima)
    if (case, "") in MEANT:
        assert theirs != ours
    else:
        assert theirs == ours


VECTORS: list[Any] = [
    {"a": 1, "b": 2.0}, [np.int32(1), np.float32(2)], [np.arange(3, dtype=np.int8), np.ones(2, np.float16)], [], None, {}, 3, 3.0,
    True, [True, 1], [1j, 2.0], [np.zeros((0, 3), np.float32), np.ones(2, np.float32)], [np.float64(1.0)], [np.arange(3)],
    np.ones((2,), bool), ["x"], [np.array(["a"])],
]  # fmt: skip


def typed(x: Any) -> Any:
    return (np.asarray(x).tolist(), str(x.dtype), x.shape, bool(getattr(x, "weak_type", False)))


@pytest.mark.parametrize("value", VECTORS, ids=repr)
def test_ravel_pytree(value: Any) -> None:
    def run(lib: Any) -> Any:
        vector, unravel = lib.flatten_util.ravel_pytree(value)
        back = unravel(vector)
        return typed(vector), lib.tree.structure(back).num_leaves, [typed(x) for x in lib.tree.leaves(back)]

    assert outcome(run, anima) == outcome(run, jax)


def test_what_unravel_takes() -> None:
    def run(lib: Any, value: Any, vector: Any) -> Any:
        return [typed(x) for x in lib.tree.leaves(lib.flatten_util.ravel_pytree(value)[1](vector))]

    mixed, plain = [np.int32(1), np.float32(2)], [np.float32(1), np.float32(2)]
    for value in (mixed, plain):
        for vector in (
            np.ones(2, np.float32),
            np.ones(3, np.float32),
            np.ones(2, np.int32),
            np.ones(2, np.complex64),
        ):
            assert outcome(lambda lib: run(lib, value, vector), anima) == outcome(
                lambda lib: run(lib, value, vector), jax
            )


def test_signatures() -> None:
    inventory = json.dumps(sorted(n for n in dir(jax.tree) if n[0] != "_"))
    assert set(json.loads(inventory)) <= {*dir(anima.tree), "static"}
    for module in ("tree", "tree_util"):
        theirs, ours = getattr(jax, module), getattr(anima, module)
        for name in dir(theirs):
            value = getattr(theirs, name)
            if name[0] == "_" or not inspect.isfunction(value):
                continue
            parameters = [
                [(p.name, p.kind, p.default is p.empty) for p in inspect.signature(f).parameters.values()]
                for f in (value, getattr(ours, name))
            ]
            assert parameters[0] == parameters[1], name
