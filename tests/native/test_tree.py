"""Pytrees in C++: the laws of flattening, equality and rebuilding, and that bad input raises instead of crashing."""

from __future__ import annotations

import collections
import contextlib
import copy
import dataclasses
import itertools
import pickle
import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from anima import _native as nt


class Point(NamedTuple):
    x: Any
    y: Any


class SubPoint(Point):
    """A named tuple by inheritance."""


class Box:
    """A custom node: `content` is the child, `label` the aux data."""

    def __init__(self, content: Any, label: Any) -> None:
        self.content, self.label = content, label

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Box) and (self.content, self.label) == (other.content, other.label)

    __hash__ = None  # type: ignore[assignment]


class KeyedBox(Box):
    """A custom node that names its child."""


@dataclasses.dataclass
class Layer:
    weight: Any
    bias: Any
    units: int = 3


@dataclasses.dataclass(frozen=True)
class Key:
    kind: str
    value: Any


nt.register_node(Box, lambda b: ((b.content,), b.label), lambda label, children: Box(children[0], label))
nt.register_node(
    KeyedBox,
    lambda b: ((b.content,), b.label),
    lambda label, children: KeyedBox(children[0], label),
    lambda b: ((("content", b.content),), b.label),
)
nt.register_dataclass(Layer, ("weight", "bias"), ["units"])


@pytest.fixture
def key_classes() -> Iterator[None]:
    def maker(kind: str) -> Callable[[Any], Key]:
        return lambda value: Key(kind, value)

    old = nt.set_key_classes(*map(maker, ["index", "key", "attr", "flat"]))
    yield
    if old is not None:
        nt.set_key_classes(*old)


def defaultdict_of(factory: Any, **items: Any) -> collections.defaultdict[str, Any]:
    return collections.defaultdict(factory, items)


TREES: list[tuple[Any, list[Any], str]] = [
    (1, [1], "*"),
    (None, [], "None"),
    ((), [], "()"),
    ((1,), [1], "(*,)"),
    ((1, 2), [1, 2], "(*, *)"),
    ([], [], "[]"),
    ([1, [2]], [1, 2], "[*, [*]]"),
    ({}, [], "{}"),
    ({"b": 1, "a": [2, None]}, [2, 1], "{'a': [*, None], 'b': *}"),
    ({1: 5, 0: 6}, [6, 5], "{0: *, 1: *}"),
    ({(1, 2): 5}, [5], "{(1, 2): *}"),
    (Point(1, [2]), [1, 2], "CustomNode(namedtuple[Point], [*, [*]])"),
    (SubPoint(1, 2), [1, 2], "CustomNode(namedtuple[SubPoint], [*, *])"),
    (collections.OrderedDict(b=1, a=2), [1, 2], "CustomNode(OrderedDict[('b', 'a')], [*, *])"),
    (defaultdict_of(int, b=1, a=2), [2, 1], "CustomNode(defaultdict[(<class 'int'>, ('a', 'b'))], [*, *])"),
    (defaultdict_of(None), [], "CustomNode(defaultdict[(None, ())], [])"),
    (Box(1, "q"), [1], "CustomNode(Box[q], [*])"),
    (Layer(1, [2]), [1, 2], "CustomNode(Layer[(3,)], [*, [*]])"),
    ((1, {"a": 2, "b": [3, None]}), [1, 2, 3], "(*, {'a': *, 'b': [*, None]})"),
]


@pytest.mark.parametrize(("tree", "leaves", "text"), TREES)
def test_round_trip_and_repr(tree: Any, leaves: list[Any], text: str) -> None:
    found, definition = nt.tree_flatten(tree)
    assert found == leaves == nt.tree_leaves(tree)
    assert repr(definition) == f"PyTreeDef({text})"
    assert definition.num_leaves == len(leaves)
    assert definition == nt.tree_structure(tree)
    assert hash(definition) == hash(nt.tree_structure(tree))
    rebuilt = nt.tree_unflatten(definition, iter(leaves))
    assert rebuilt == tree and type(rebuilt) is type(tree)
    assert nt.tree_structure(rebuilt) == definition
    assert definition.flatten_up_to(tree) == leaves
    assert nt.tree_map(lambda x: x, tree) == tree
    assert definition.is_leaf == (definition.node_data() is None)
    assert definition.num_nodes == 1 + sum(child.num_nodes for child in definition.children())


def test_structures_differ_pairwise() -> None:
    definitions = [nt.tree_structure(tree) for tree, _, _ in TREES]
    for i, a in enumerate(definitions):
        for j, b in enumerate(definitions):
            assert (a == b) == (i == j)
            assert (a != b) == (i != j)
    assert nt.tree_structure(1) != 1
    with pytest.raises(TypeError):
        nt.tree_structure(1) < nt.tree_structure(1)  # noqa: B015


def test_what_rebuilding_keeps() -> None:
    made = nt.tree_map(lambda x: x + 1, {"b": 1, "a": 2})
    assert list(made.items()) == [("a", 3), ("b", 2)]
    made = nt.tree_map(lambda x: x + 1, collections.OrderedDict(b=1, a=2))
    assert list(made.items()) == [("b", 2), ("a", 3)]
    assert nt.tree_map(lambda x: x, defaultdict_of(list, a=1)).default_factory is list
    assert nt.tree_map(lambda x: x + 1, Layer(1, 2, 7)) == Layer(2, 3, 7)


def test_subclasses_that_are_not_registered_are_leaves() -> None:
    class D(dict[str, int]):
        pass

    class L(list[int]):
        pass

    class T(tuple[int, ...]):
        pass

    objects = [D(a=1), L([1]), T((1,))]
    assert nt.tree_leaves(objects) == objects
    assert nt.all_leaves(objects)
    assert not nt.all_leaves([1, None])
    assert nt.all_leaves([1, None], is_leaf=lambda x: x is None)
    assert nt.all_leaves([])


def test_is_leaf() -> None:
    assert nt.tree_leaves([1, None, (2, 3)], is_leaf=lambda x: x is None or isinstance(x, tuple)) == [
        1,
        None,
        (2, 3),
    ]
    assert nt.tree_structure([1], is_leaf=lambda x: True) == nt.treedef_leaf()
    assert nt.tree_map(lambda x: 0, [1, None], is_leaf=lambda x: x is None) == [0, 0]
    assert nt.tree_map(lambda x: 0, [1, None], is_leaf=None) == [0, None]
    with pytest.raises(ZeroDivisionError):
        nt.tree_flatten([1], is_leaf=lambda x: 1 // 0)


def test_making_structures_from_structures() -> None:
    star = nt.treedef_leaf()
    pair = nt.treedef_tuple([star, nt.tree_structure([1, None])])
    assert pair == nt.tree_structure((1, [2, None]))
    assert nt.treedef_tuple([]) == nt.tree_structure(())
    assert pair.children() == [star, nt.tree_structure([1, None])]
    assert pair.compose(nt.tree_structure({"a": 1})) == nt.tree_structure(({"a": 1}, [{"a": 1}, None]))
    assert pair.compose(nt.tree_structure(None)).num_leaves == 0
    assert pair.compose(star) == pair
    with pytest.raises(TypeError, match="PyTreeDef"):
        nt.treedef_tuple([1])
    with pytest.raises(TypeError, match="PyTreeDef"):
        pair.compose(3)
    with pytest.raises(TypeError):
        nt.PyTreeDef()


def test_node_data() -> None:
    def data(tree: Any) -> Any:
        return nt.tree_structure(tree).node_data()

    assert data(1) is None
    assert data(None) == (type(None), None)
    assert data([1]) == (list, None)
    assert data({"b": 1, "a": 2}) == (dict, ["a", "b"])
    assert data(Point(1, 2)) == (Point, None)
    assert data(Box(1, "q")) == (Box, "q")
    assert data(Layer(1, 2)) == (Layer, (3,))
    assert data(defaultdict_of(int, a=1)) == (collections.defaultdict, (int, ("a",)))


@pytest.mark.usefixtures("key_classes")
def test_key_paths() -> None:
    tree = (1, {"a": Point(2, Box(3, "q"))}, Layer(4, None), KeyedBox(5, "q"))
    paths, definition = nt.tree_flatten_with_path(tree)
    index, key, attr, flat = (lambda v, k=k: Key(k, v) for k in ("index", "key", "attr", "flat"))
    assert paths == [
        ((index(0),), 1),
        ((index(1), key("a"), attr("x")), 2),
        ((index(1), key("a"), attr("y"), flat(0)), 3),
        ((index(2), attr("weight")), 4),
        ((index(3), "content"), 5),
    ]
    assert definition == nt.tree_structure(tree)
    assert nt.tree_flatten_with_path(3) == ([((), 3)], nt.treedef_leaf())
    paths, _ = nt.tree_flatten_with_path([[1], [2]], is_leaf=lambda x: x == [2])
    assert paths == [((index(0), index(0)), 1), ((index(1),), [2])]
    paths, _ = nt.tree_flatten_with_path(
        [[1], [2]], lambda path, x: path == (index(0),), is_leaf_takes_path=True
    )
    assert paths == [((index(0),), [1]), ((index(1), index(0)), 2)]


MISMATCHES = [
    (
        [1, {"a": 2}],
        [1, {"b": 2}],
        r"tree\[1\]: expected a dict with the keys \['a'\], got one with the keys \['b'\]",
    ),
    ([1, 2], (1, 2), r"at tree: expected a list, got \(1, 2\)"),
    ({"k": [1, 2]}, {"k": [1]}, r"tree\['k'\]: expected 2 children, got 1: \[1\]"),
    (None, 1, "expected None, got 1"),
    (Point(1, 2), (1, 2), r"expected a Point, got \(1, 2\)"),
    (Point(1, [2]), Point(1, 2), r"tree\[1\]: expected a list, got 2"),
    (Box(1, 2), Box(1, 3), "expected 2, got 3"),
    (Box([1], 2), Box(1, 2), r"tree\[child 0\]: expected a list"),
    (Box(1, 2), 3, "expected the custom node Box, got 3"),
    (Layer([1], 2), Layer(1, 2), r"tree\.weight: expected a list"),
    (Layer(1, 2), Layer(1, 2, 4), r"expected \(3,\), got \(4,\)"),
    (collections.OrderedDict(b=1, a=2), collections.OrderedDict(a=1, b=2), "keys"),
    (defaultdict_of(int, a=1), defaultdict_of(list, a=1), "default factory <class 'int'>"),
    (defaultdict_of(int, a=1), {"a": 1}, "expected a defaultdict"),
]


@pytest.mark.parametrize(("prefix", "tree", "message"), MISMATCHES)
def test_flatten_up_to_says_where(prefix: Any, tree: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nt.tree_structure(prefix).flatten_up_to(tree)
    with pytest.raises(ValueError, match=message):
        nt.tree_map(lambda x, y: x, prefix, tree)


def test_flatten_up_to_keeps_subtrees() -> None:
    assert nt.tree_structure([1, 2]).flatten_up_to([(1, 2), None]) == [(1, 2), None]
    assert nt.tree_map(lambda x, y: (x, y), {"a": 1}, {"a": [2, 3]}) == {"a": (1, [2, 3])}
    assert nt.tree_map(lambda *xs: sum(xs), [1, 2], [3, 4], [5, 6]) == [9, 12]


def test_wrong_number_of_leaves() -> None:
    definition = nt.tree_structure([1, 2])
    with pytest.raises(ValueError, match=r"too few leaves.*expected 2, got 1"):
        definition.unflatten([1])
    with pytest.raises(ValueError, match=r"too many leaves.*expected 2, got 3"):
        nt.tree_unflatten(definition, [1, 2, 3])
    with pytest.raises(TypeError, match="not iterable"):
        definition.unflatten(3)


def test_keys_that_do_not_compare() -> None:
    with pytest.raises(ValueError, match="'<' not supported between instances of 'int' and 'str'") as caught:
        nt.tree_flatten({"a": 1, 2: 3})
    assert isinstance(caught.value.__cause__, TypeError)
    assert nt.tree_leaves(collections.OrderedDict([("a", 1), (2, 3)])) == [1, 3]


def test_registering() -> None:
    class Fresh:
        pass

    nt.register_node(Fresh, lambda x: ((), None), lambda aux, children: Fresh())
    for type_ in (
        Fresh,
        Box,
        Layer,
        list,
        dict,
        type(None),
        collections.OrderedDict,
        collections.defaultdict,
    ):
        with pytest.raises(ValueError, match="already"):
            nt.register_node(type_, lambda x: ((), None), lambda aux, children: None)
        with pytest.raises(ValueError, match="already"):
            nt.register_dataclass(type_, [], [])
    with pytest.raises(TypeError, match="class"):
        nt.register_node(3, lambda x: x, lambda x: x)
    with pytest.raises(TypeError, match="to_iterable"):
        nt.register_node(int, 3, lambda x: x)
    with pytest.raises(TypeError, match="data_fields"):
        nt.register_dataclass(int, "ab", [])
    with pytest.raises(TypeError, match="meta_fields"):
        nt.register_dataclass(int, [], [3])
    with pytest.raises(TypeError, match="needs the argument 'from_iterable'"):
        nt.register_node(int, lambda x: x)


@pytest.mark.parametrize("answer", [3, (3, 4), (), ((1,), 2, 3), None, [(1,), 2], "ab"])
def test_to_iterable_that_returns_garbage(answer: Any) -> None:
    cls = type("Garbage", (), {})
    nt.register_node(cls, lambda x: answer, lambda aux, children: None)
    with pytest.raises(ValueError, match=r"to_iterable function .* must return \(children, aux data\)"):
        nt.tree_flatten(cls())


@pytest.mark.usefixtures("key_classes")
@pytest.mark.parametrize("answer", [3, (3, 4), ([1], 2), ([(1, 2, 3)], 2)])
def test_to_iterable_with_keys_that_returns_garbage(answer: Any) -> None:
    cls = type("Garbage", (), {})
    nt.register_node(cls, lambda x: ((), None), lambda aux, children: None, lambda x: answer)
    with pytest.raises((TypeError, ValueError), match="to_iterable_with_keys"):
        nt.tree_flatten_with_path(cls())


def test_errors_of_user_code_come_through() -> None:
    class Raises:
        pass

    def fail(*_: Any) -> Any:
        raise ZeroDivisionError

    nt.register_node(Raises, fail, fail)
    with pytest.raises(ZeroDivisionError):
        nt.tree_flatten([1, Raises()])

    class RaisesLater:
        pass

    def children() -> Iterator[int]:
        yield 1
        raise ZeroDivisionError

    nt.register_node(RaisesLater, lambda x: (children(), None), fail)
    with pytest.raises(ZeroDivisionError):
        nt.tree_flatten(RaisesLater())
    with pytest.raises(ZeroDivisionError):
        nt.tree_map(fail, [1])
    broken = Layer(1, 2)
    del broken.weight
    with pytest.raises(AttributeError):
        nt.tree_flatten(broken)


def test_compose_refuses_what_cannot_fit() -> None:
    definition = nt.tree_structure([0] * 4096)
    big = definition.compose(nt.tree_structure([0] * 16))
    assert big.num_leaves == 65536
    assert big.num_nodes == 1 + 4096 * 17


@pytest.mark.parametrize("tree", [tree for tree, _, _ in TREES])
def test_pickle_and_copy(tree: Any) -> None:
    definition = nt.tree_structure(tree)
    assert pickle.loads(pickle.dumps(definition)) == definition
    assert copy.deepcopy(definition) == definition
    assert copy.copy(definition) == definition


BAD_STATES: list[Any] = [
    (),
    3,
    (3,),
    (("leaf", 0, None), ("leaf", 0, None)),
    (("tuple", 1, None),),
    (("tuple", 2, None), ("leaf", 0, None)),
    (("leaf", 1, None), ("leaf", 0, None)),
    (("leaf", 0, None, "data"),),
    (("tuple", -1, None),),
    (("tuple", "x", None),),
    (("tuple", 0, None, ()),),
    (("dict", 1, None, ()), ("leaf", 0, None)),
    (("dict", 1, None), ("leaf", 0, None)),
    (("default_dict", 0, None, ()),),
    (("default_dict", 1, None, (int, ())), ("leaf", 0, None)),
    (("named_tuple", 0, None, int),),
    (("named_tuple", 0, None),),
    (("custom", 0, int, None),),
    (("custom", 0, None, None),),
    (("custom", 0, Layer, None),),
    (("custom", 0, Box),),
    (("dataclass", 2, Layer, (1, 2)), ("leaf", 0, None), ("leaf", 0, None)),
    (("dataclass", 1, Layer, (1,)), ("leaf", 0, None)),
    (("nothing", 0, None),),
]


@pytest.mark.parametrize("state", BAD_STATES)
def test_bad_states_are_refused(state: Any) -> None:
    with pytest.raises(ValueError, match=r"PyTreeDef|registered"):
        nt.treedef_from_state(state)
    with pytest.raises((OverflowError, ValueError)):
        nt.treedef_from_state((("tuple", 2**70, None),))


def test_random_states_never_crash() -> None:
    draw = random.Random(0)
    kinds = [
        "leaf",
        "none",
        "tuple",
        "list",
        "dict",
        "named_tuple",
        "ordered_dict",
        "default_dict",
        "custom",
        "dataclass",
    ]
    data = [None, (), ("a",), ("a", "b"), (int, ("a",)), Point, (1,), 5]
    for _ in range(3000):
        nodes = []
        for _ in range(draw.randrange(1, 5)):
            node: tuple[Any, ...] = (draw.choice(kinds), draw.randrange(3), draw.choice([None, Box, Layer]))
            nodes.append((*node, draw.choice(data)) if draw.random() < 0.5 else node)
        try:
            definition = nt.treedef_from_state(tuple(nodes))
        except ValueError:
            continue
        repr(definition), hash(definition), definition.children(), definition.node_data()
        with contextlib.suppress(TypeError, IndexError):  # a named tuple or a Box of another length
            definition.unflatten([1] * definition.num_leaves)


def test_random_trees() -> None:
    draw = random.Random(1)

    def make(depth: int) -> Any:
        kind = draw.randrange(9) if depth > 0 else 0
        items = [make(depth - 1) for _ in range(draw.randrange(4))] if kind > 1 else []
        keys = draw.sample(["a", "b", "c", "d", "e"], len(items))
        pair = (items + [1, 2])[:2]
        return [
            lambda: draw.random(),
            lambda: None,
            lambda: tuple(items),
            lambda: items,
            lambda: dict(zip(keys, items, strict=True)),
            lambda: collections.OrderedDict(zip(keys, items, strict=True)),
            lambda: collections.defaultdict(list, zip(keys, items, strict=True)),
            lambda: Point(*pair),
            lambda: Layer(*pair, draw.randrange(3)),
        ][kind]()

    trees = [make(4) for _ in range(300)]
    for tree in trees:
        leaves, definition = nt.tree_flatten(tree)
        assert definition.unflatten(leaves) == tree
        assert definition.flatten_up_to(tree) == leaves
        assert pickle.loads(pickle.dumps(definition)) == definition
        children = definition.children()
        assert sum(child.num_leaves for child in children) == len(leaves) or definition.is_leaf
    for a, b in itertools.pairwise(trees):
        composed = nt.tree_structure(a).compose(nt.tree_structure(b))
        assert composed == nt.tree_structure(nt.tree_map(lambda _, b=b: b, a))


def test_unhashable_and_odd_aux_data() -> None:
    a, b = nt.tree_structure(Box(1, [1])), nt.tree_structure(Box(1, [1]))
    assert a == b and hash(a) == hash(b)
    assert repr(nt.tree_structure(Box(1, "\udc80"))) == "PyTreeDef(CustomNode(Box[\udc80], [*]))"

    class Unequal:
        def __eq__(self, other: object) -> bool:
            raise ZeroDivisionError

        def __hash__(self) -> int:
            raise ZeroDivisionError

        def __str__(self) -> str:
            raise ZeroDivisionError

    left, right = nt.tree_structure(Box(1, Unequal())), nt.tree_structure(Box(1, Unequal()))
    for use in (lambda: left == right, lambda: hash(left), lambda: repr(left)):
        with pytest.raises(ZeroDivisionError):
            use()


def test_arguments_are_checked() -> None:
    with pytest.raises(TypeError, match=r"tree_flatten.*at most 2"):
        nt.tree_flatten(1, None, 2)
    with pytest.raises(TypeError, match="no parameter 'leaf'"):
        nt.tree_flatten(1, leaf=2)
    with pytest.raises(TypeError, match="'tree' twice"):
        nt.tree_flatten(1, tree=2)
    with pytest.raises(TypeError, match=r"'treedef'|PyTreeDef"):
        nt.tree_unflatten(3, [])
    with pytest.raises(TypeError, match="at least one tree"):
        nt.tree_map(lambda x: x)
    with pytest.raises(TypeError, match="no keyword argument 'leaf'"):
        nt.tree_map(lambda x: x, 1, leaf=2)
