"""The Python face of pytrees: functions, registration, key paths, prefixes and the messages about them."""

from __future__ import annotations

import collections
import dataclasses
import functools
import pickle
from typing import Any

import pytest

import anima
import anima.numpy as np
from anima import tree, tree_util
from anima.tree.compare import equality_errors, flatten_axes, prefix_errors, treedef_differences
from anima.tree_util import DictKey, FlattenedIndexKey, GetAttrKey, SequenceKey, keystr

Pair = collections.namedtuple("Pair", ["x", "y"])


@tree_util.register_dataclass
@dataclasses.dataclass
class Layer:
    weight: Any
    bias: Any
    name: str = tree.static(default="layer")


@tree_util.register_pytree_node_class
class Plain:
    """Children without names, and aux data."""

    def __init__(self, *children: Any, tag: str = "") -> None:
        self.children, self.tag = children, tag

    def tree_flatten(self) -> Any:
        return self.children, self.tag

    @classmethod
    def tree_unflatten(cls, tag: str, children: Any) -> Plain:
        return cls(*children, tag=tag)


TREES: list[Any] = [
    1,
    None,
    (),
    [],
    {},
    (1, [2, {"b": 3, "a": None}]),
    Pair(1, (2,)),
    collections.OrderedDict(b=1, a=2),
    collections.defaultdict(list, b=[1], a=[2]),
    Layer(1, [2], "l"),
    {"z": {"y": [{"x": 1}]}},
    tree_util.Partial(max, 1, key=2),
]


@pytest.mark.parametrize("value", TREES, ids=repr)
def test_round_trips(value: Any) -> None:
    leaves, structure = tree.flatten(value)
    assert tree.leaves(value) == leaves
    assert tree.structure(value) == structure
    assert [leaf for _, leaf in tree.leaves_with_path(value)] == leaves
    assert tree.flatten_with_path(value)[1] == structure
    rebuilt = tree.unflatten(structure, leaves)
    assert tree.flatten(rebuilt) == (leaves, structure)
    assert type(rebuilt) is type(value)
    assert pickle.loads(pickle.dumps(structure)) == structure
    assert hash(tree.structure(rebuilt)) == hash(structure)
    assert tree.map(lambda x: x, value) == value or isinstance(value, tree_util.Partial)


def test_map_takes_what_stands_in_the_place_of_each_leaf() -> None:
    assert tree.map(lambda x, y: (x, y), {"a": 1, "b": None}, {"a": (1, 2), "b": None}) == {
        "a": (1, (1, 2)),
        "b": None,
    }
    assert tree.map(lambda x: x is None, [1, None], is_leaf=lambda x: x is None) == [False, True]
    with pytest.raises(ValueError, match=r"differ at tree\['a'\]"):
        tree.map(lambda x, y: x, {"a": (1, 2)}, {"a": 3})


def test_map_with_path() -> None:
    found = tree.map_with_path(lambda path, x, y: (keystr(path), x, y), {"a": [1]}, {"a": [(2, 3)]})
    assert found == {"a": [("['a'][0]", 1, (2, 3))]}
    found = tree.map_with_path(
        lambda path, x: len(path),
        [[1], [[2]]],
        is_leaf=lambda path, _: len(path) == 2,
        is_leaf_takes_path=True,
    )
    assert found == [[2], [2]]
    with pytest.raises(ValueError, match="differ"):
        tree.map_with_path(lambda path, x, y: x, [1], [1, 2])


def test_reduce() -> None:
    assert tree.reduce(lambda total, x: total - x, [10, (2, 3)]) == 5
    assert tree.reduce(lambda total, x: total + x, [], 7) == 7
    assert tree.reduce(lambda total, x: total + [x], [None], [], is_leaf=lambda x: x is None) == [None]
    assert tree.reduce(lambda total, x: (total, x), [1], None) == (None, 1)
    with pytest.raises(TypeError, match="empty"):
        tree.reduce(lambda total, x: total, [])


def test_reduce_associative() -> None:
    def join(a: str, b: str) -> str:
        return f"({a}{b})"

    assert tree.reduce_associative(join, list("abcde")) == "((ab)(c(de)))"
    assert tree.reduce_associative(join, ["a"], identity="!") == "a"
    assert tree.reduce_associative(join, [], identity="!") == "!"
    with pytest.raises(TypeError, match="`identity` is needed"):
        tree.reduce_associative(join, ())


def test_all() -> None:
    assert tree.all([])
    assert tree.all([None, 1])
    assert not tree.all([None, 1], is_leaf=lambda x: x is None)


def test_transpose() -> None:
    outer, inner = tree.structure([0, 0]), tree.structure({"a": 0, "b": (0,)})
    value = [{"a": 1, "b": (2,)}, {"a": 3, "b": (4,)}]
    assert tree.transpose(outer, inner, value) == {"a": [1, 3], "b": ([2, 4],)}
    assert tree.transpose(outer, None, value) == {"a": [1, 3], "b": ([2, 4],)}
    assert tree.transpose(tree.structure(0), inner, value[0]) == value[0]
    with pytest.raises(
        TypeError, match=r"at the tree\[1\] there is a leaf, but in that there is a dict with the keys"
    ):
        tree.transpose(outer, None, [{"a": 1, "b": (2,)}, 3])
    with pytest.raises(TypeError, match="inner_treedef is needed"):
        tree.transpose(tree.structure([]), None, [])


def test_transpose_compares_numbers_of_leaves_only() -> None:
    outer = tree.structure([0, 0])
    assert tree.transpose(outer, tree.structure((0, 0)), ((1, [2]), (3, [4]))) == ([1, 3], [2, 4])


def test_broadcast() -> None:
    assert tree.broadcast(1, [1, {"a": (2, None)}]) == [1, {"a": (1, None)}]
    assert tree.broadcast([None, 2], [(1, 2), 3], is_leaf=lambda x: x is None) == [(None, None), 2]
    assert tree.broadcast({"a": 1, "b": None}, {"a": (1, 2), "b": None}) == {"a": (1, 1), "b": None}
    with pytest.raises(ValueError, match=r"at prefix_tree\['a'\] there is a list of length 2.*length 3"):
        tree.broadcast({"a": [1, 2]}, {"a": [1, 2, 3]})


def test_key_paths() -> None:
    value = {"a": [1], "b": Pair(2, 3), "c": Layer(4, 5), "d": Plain(6)}
    paths = [path for path, _ in tree.leaves_with_path(value)]
    assert [keystr(path) for path in paths] == [
        "['a'][0]",
        "['b'].x",
        "['b'].y",
        "['c'].weight",
        "['c'].bias",
        "['d'][<flat index 0>]",
    ]
    assert keystr(paths[3], simple=True, separator=".") == "c.weight"
    assert paths[0] == (DictKey("a"), SequenceKey(0))
    assert keystr(()) == ""


def test_keys() -> None:
    keys = [SequenceKey(1), DictKey(1), GetAttrKey("1"), FlattenedIndexKey(1), DictKey("1")]
    assert len({*keys}) == len(keys)
    assert [repr(key) for key in keys[:2]] == ["SequenceKey(idx=1)", "DictKey(key=1)"]
    assert pickle.loads(pickle.dumps(keys)) == keys
    assert keystr(["own", DictKey(1.5)], simple=True, separator="/") == "own/1.5"


def test_dataclasses() -> None:
    layer = Layer(1, [2], "l")
    assert tree.map(lambda x: x + 1, layer) == Layer(2, [3], "l")
    assert tree.structure(layer) != tree.structure(Layer(1, [2], "m"))
    assert tree.structure(Layer(1, [2])).node_data() == (Layer, ("layer",))


def make_dataclass() -> type:
    return dataclasses.make_dataclass(
        "Made", ["x", ("y", int, 0), ("z", int, dataclasses.field(init=False, default=9))]
    )


def test_dataclass_registration_by_names() -> None:
    both = tree_util.register_dataclass(make_dataclass())
    assert tree.leaves(both(1, 2)) == [1, 2]
    one = tree_util.register_dataclass(make_dataclass(), ["x"], ["y"])
    assert tree.flatten(one(1, 2)) == ([1], tree.structure(one(0, 2)))
    dropped = tree_util.register_dataclass(make_dataclass(), ["x"], [], drop_fields=["y"])
    assert tree.map(lambda x: x, dropped(1, 2)) == dropped(1, 0)

    class Ordinary:
        def __init__(self, x: Any, y: Any) -> None:
            self.x, self.y = x, y

    tree_util.register_dataclass(Ordinary, ["x"], ["y"])
    assert vars(tree.map(lambda x: 10 * x, Ordinary(1, 2))) == {"x": 10, "y": 2}


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((["x"],), TypeError, "both data_fields and meta_fields or neither"),
        ((["x"], []), ValueError, r"\['y'\] of Made are neither in data_fields nor in meta_fields"),
        ((["x"], ["y", "q"]), ValueError, r"no fields \['q'\]"),
        ((["x"], ["y", "z"]), ValueError, r"no fields \['z'\]"),
        ((["x"], ["x", "y"]), ValueError, r"both in data_fields and in meta_fields: \['x'\]"),
        ((["x"], ["y"], ["y"]), ValueError, r"\['y'\], or they are in drop_fields"),
    ],
)
def test_wrong_fields(arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        tree_util.register_dataclass(make_dataclass(), *arguments)


def test_a_class_is_registered_once() -> None:
    for known in (list, Plain, Layer):
        with pytest.raises(ValueError, match="already"):
            tree_util.register_static(known)
    with pytest.raises(TypeError, match="is not a dataclass"):
        tree_util.register_dataclass(object)


def test_static_nodes() -> None:
    @tree_util.register_static
    @dataclasses.dataclass(frozen=True)
    class Setting:
        value: int

    assert tree.flatten(Setting(1)) == ([], tree.structure(Setting(1)))
    assert tree.structure(Setting(1)) != tree.structure(Setting(2))
    assert tree.map(lambda x: x, [Setting(1), 2]) == [Setting(1), 2]


def test_registration_with_keys() -> None:
    @tree_util.register_pytree_with_keys_class
    class Keyed:
        def __init__(self, *children: Any) -> None:
            self.children = children

        def tree_flatten_with_keys(self) -> Any:
            return [(DictKey(i), child) for i, child in enumerate(self.children)], None

        @classmethod
        def tree_unflatten(cls, aux: Any, children: Any) -> Any:
            return cls(*children)

    assert [keystr(path) for path, _ in tree.leaves_with_path(Keyed(1, (2,)))] == ["[0]", "[1][0]"]
    assert tree.leaves(tree.map(lambda x: -x, Keyed(1, (2,)))) == [-1, -2]


def test_partials() -> None:
    partial = tree_util.Partial(divmod, 17)
    assert partial(5) == (3, 2)
    assert tree.map(lambda x: x + 4, partial)(5) == (4, 1)
    inner = tree_util.Partial(functools.partial(divmod, 17), 5)
    assert inner() == (3, 2)
    assert tree.leaves(inner) == [5]
    assert tree.structure(inner) == tree.structure(tree.map(lambda x: x, inner))
    assert hash(tree.structure(tree_util.Partial(inner, 1))) == hash(
        tree.structure(tree_util.Partial(inner, 2))
    )
    with pytest.raises(TypeError, match="callable"):
        tree_util.Partial(3)


def test_nodes_and_leaves() -> None:
    nodes = (
        tuple,
        list,
        dict,
        type(None),
        collections.OrderedDict,
        collections.defaultdict,
        Pair,
        Layer,
        Plain,
    )
    assert all(tree_util.is_tree_node(node) for node in (*nodes, tree_util.Partial))
    assert not any(tree_util.is_tree_node(leaf) for leaf in (int, str, set, collections.Counter))
    for node in (tuple, list, dict, collections.Counter, set):
        assert tree_util.is_tree_node(node) != tree_util.all_leaves([node()])
    assert tree_util.all_leaves([(), 1], is_leaf=lambda x: x == ())


def test_one_level() -> None:
    assert tree_util.flatten_one_level(Plain(1, (2,), tag="t")) == ([1, (2,)], "t")
    assert tree_util.flatten_one_level(None) == ((), None)
    assert tree_util.flatten_one_level((1, [2])) == ((1, [2]), None)
    assert tree_util.flatten_one_level([1, (2,)]) == ([1, (2,)], None)
    assert tree_util.flatten_one_level(Pair(1, 2)) == ([1, 2], Pair)
    assert tree_util.flatten_one_level(collections.OrderedDict(b=1, a=2)) == ([1, 2], ("b", "a"))
    assert tree_util.flatten_one_level_with_keys(Pair(1, [2])) == (
        [(GetAttrKey("x"), 1), (GetAttrKey("y"), [2])],
        Pair,
    )
    assert tree_util.flatten_one_level_with_keys(()) == ((), None)
    with pytest.raises(ValueError, match="a int is a leaf"):
        tree_util.flatten_one_level(3)
    assert tree_util.default_registry.flatten_one_level(3) is None
    assert tree_util.default_registry.flatten_one_level_with_keys([3]) == (((SequenceKey(0), 3),), None)
    assert tree_util.default_registry.flatten_one_level_with_keys(3) is None


def test_structures() -> None:
    structure = tree.structure({"a": (1, 2), "b": None})
    assert tree_util.treedef_children(structure) == [tree.structure((1, 2)), tree.structure(None)]
    assert tree_util.treedef_is_leaf(tree.structure(1)) and tree.structure(1).is_leaf
    # As in JAX, what has no children counts as a leaf for the function; the property is strict.
    assert tree_util.treedef_is_leaf(tree.structure(())) and not tree.structure(()).is_leaf
    assert not tree_util.treedef_is_leaf(tree.structure((1,)))
    assert tree_util.treedef_tuple([structure, tree.structure(1)]) == tree.structure(
        ({"a": (1, 2), "b": None}, 0)
    )


def test_trees_from_nested_iterables() -> None:
    structure = tree.structure({"a": (1, 2), "b": None})
    assert structure.from_iterable_tree([iter([3, [4]]), None]) == {"a": (3, [4]), "b": None}
    with pytest.raises(ValueError, match="1 parts for a node with 2 children"):
        structure.from_iterable_tree([[3], None])


@pytest.mark.parametrize("value", TREES, ids=repr)
def test_structures_taken_apart_and_made_again(value: Any) -> None:
    structure = tree.structure(value)
    make = type(structure).from_node_data_and_children
    again = make(tree_util.default_registry, structure.node_data(), structure.children())
    assert again == structure and hash(again) == hash(structure)
    assert tree.leaves(again.unflatten(tree.leaves(value))) == tree.leaves(value)


def test_structures_that_cannot_be_made() -> None:
    leaf = tree.structure(0)
    make = type(leaf).from_node_data_and_children
    registry = tree_util.default_registry
    with pytest.raises(ValueError, match="a leaf has no children, got 1"):
        make(registry, None, [leaf])
    with pytest.raises(ValueError, match="not registered as a node"):
        make(registry, (set, None), [leaf])
    with pytest.raises(ValueError):
        make(registry, (dict, ["a", "b"]), [leaf])


def test_walking_a_structure() -> None:
    structure = tree.structure({"b": (0, [0]), "a": Pair(0, None)})
    seen = structure.walk(lambda children, data: (children, data), lambda leaf: -leaf, [1, 2, 3])
    assert seen == (((((-1, ((), None)), Pair)), ((-2, ((-3,), None)), None)), ["a", "b"])
    with pytest.raises(ValueError, match="has 3 leaves, got 2"):
        structure.walk(lambda children, data: children, lambda leaf: leaf, [1, 2])


DIFFERENT: list[tuple[Any, Any, str]] = [
    ({"a": [1, 2]}, {"a": [1, 2, 3]}, "at A['a'] there is a list of length 2, but in B there is a list of length 3: "
     "the numbers of their children differ"),
    ((1, [2]), (1, (2,)), "at A[1] there is a list of length 1, but in B there is a tuple of length 1: their types differ"),
    ([1], [None], "at A[0] there is a leaf, but in B there is None: only one of them has children"),
    ({"a": 1}, {"b": 1}, "at A there is a dict with the keys ['a'], but in B there is a dict with the keys ['b']: "
     "their keys differ"),
    (Layer(1, (2,)), Layer(1, 2), "at A.bias there is a tuple of length 1, but in B there is a leaf: "
     "only one of them has children"),
    (Plain((1,)), Plain([1]), "at A[<flat index 0>] there is a tuple of length 1, but in B there is a list of length 1: "
     "their types differ"),
    (Plain(1, tag="t"), Plain(1, tag="u"), "at A there is a Plain with 1 children and 't' beside them, but in B there is a "
     "Plain with 1 children and 'u' beside them: the data beside their children differs"),
    (collections.defaultdict(list, a=1), collections.defaultdict(int, a=1), "at A there is a defaultdict with the keys "
     "['a'], but in B there is a defaultdict with the keys ['a']: their keys differ"),
]  # fmt: skip


@pytest.mark.parametrize(("first", "second", "message"), DIFFERENT, ids=range(len(DIFFERENT)))
def test_differences_say_where_and_what(first: Any, second: Any, message: str) -> None:
    [difference] = equality_errors(first, second)
    assert difference.message("A", "B") == message
    assert list(equality_errors(first, first)) == []
    assert list(treedef_differences(tree.structure(first), tree.structure(first))) == []


def test_all_differences_are_found() -> None:
    first, second = {"a": 1, "b": [2], "c": (3,)}, {"a": [1], "b": [2], "c": 3}
    assert [keystr(d.path) for d in equality_errors(first, second)] == ["['a']", "['c']"]
    assert [keystr(d.path) for d in prefix_errors(first, second)] == ["['c']"]


def test_flatten_axes() -> None:
    structure = tree.structure(({"a": 1, "b": (2, 3)}, None, 4))
    assert flatten_axes("in_axes", structure, 0) == [0, 0, 0, 0]
    assert flatten_axes("in_axes", structure, None) == [None] * 4
    assert flatten_axes("in_axes", structure, ({"a": 0, "b": None}, None, 1)) == [0, None, None, 1]
    assert flatten_axes("in_axes", structure, ({"a": 0, "b": (1, None)}, 5, 2)) == [0, 1, None, 2]
    message = (
        r"vmap in_axes must be a tree prefix of the arguments, .*: at vmap in_axes\[0\]\['b'\] there is a list of "
        r"length 2, but in the arguments there is a tuple of length 2"
    )
    with pytest.raises(ValueError, match=message):
        flatten_axes("vmap in_axes", structure, ({"a": 0, "b": [1, 1]}, None, 0), of="the arguments")


def test_flatten_axes_does_not_rebuild_objects() -> None:
    class Strict:
        def __init__(self, x: Any) -> None:
            self.x = x

    def rebuild(aux: Any, children: Any) -> Strict:
        raise AssertionError("rebuilt")

    tree_util.register_pytree_node(Strict, lambda node: ((node.x,), None), rebuild)
    structure = tree.structure([Strict(1), Strict((2, 3))])
    assert flatten_axes("in_axes", structure, [Strict(0), None]) == [0, None, None]


def test_prefixes_that_do_not_fit_name_the_place() -> None:
    device = anima.devices()[0]
    sharding = anima.sharding.SingleDeviceSharding(device)
    value = {"a": [1.0]}
    identity = lambda x: x
    for use, words in (
        (lambda: anima.jit(identity, in_shardings=({"b": sharding},))(value), r"at jit in_shardings\[0\] there is a dict"),
        (lambda: anima.jit(identity, out_shardings={"a": (sharding,)})(value), r"at jit out_shardings\['a'\] there is a tuple"),
        (lambda: anima.vmap(identity, ({"a": (0,)},))({"a": [[1.0]]}), r"at vmap in_axes\[0\]\['a'\] there is a tuple"),
        (lambda: anima.vmap(identity, out_axes={"a": (0,)})({"a": [np.ones(1)]}), r"at vmap out_axes\['a'\] there is a tuple"),
        (lambda: anima.device_put(value, {"b": device}), r"at device_put device there is a dict with the keys \['b'\]"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            use()
    total = anima.jit(lambda x, y: x["a"] + y, in_shardings=({"a": sharding},))
    assert total({"a": 1.0}, y=2.0) == 3.0
