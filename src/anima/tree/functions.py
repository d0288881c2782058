"""What one does with trees: take them apart, put them together, map, reduce, transpose.

Invariant: a tree is a leaf or a node: a tuple, a list, a dict, None, a named tuple, an ``OrderedDict``, a
``defaultdict``, or an object of a registered class. Leaves come in a fixed order, dicts by sorted key.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from anima import _native
from anima.tree.compare import (
    IsLeaf,
    PyTreeDef,
    broadcast_leaves,
    treedef_differences,
)
from anima.tree.keys import KeyEntry, KeyPath
from anima.tree.registry import is_named_tuple, is_tree_node, register_dataclass, register_pytree_node

T = TypeVar("T")

_UNSET: Any = object()


def tree_flatten(tree: Any, is_leaf: IsLeaf = None) -> tuple[list[Any], PyTreeDef]:
    """The leaves of a tree, and its structure.

    Args:
      tree: any object.
      is_leaf: says of each node before it is taken apart whether it is to be a leaf.

    Returns:
      (leaves, structure); the structure compares, hashes, pickles, and rebuilds trees.

    >>> import anima
    >>> anima.tree.flatten({"b": [1, 2], "a": 3})
    ([3, 1, 2], PyTreeDef({'a': *, 'b': [*, *]}))
    """
    return _native.tree_flatten(tree, is_leaf)


def tree_unflatten(treedef: PyTreeDef, leaves: Iterable[Any]) -> Any:
    """The tree of a structure and leaves.

    Args:
      treedef: the structure.
      leaves: the leaves, in the order in which ``flatten`` gives them.

    Raises:
      ValueError: there are too few or too many leaves.

    >>> import anima
    >>> anima.tree.unflatten(anima.tree.structure((0, [0])), "ab")
    ('a', ['b'])
    """
    return _native.tree_unflatten(treedef, leaves)


def tree_leaves(tree: Any, is_leaf: IsLeaf = None) -> list[Any]:
    """The leaves of a tree.

    Args:
      tree: any object.
      is_leaf: says of each node whether it is to be a leaf.

    >>> import anima
    >>> anima.tree.leaves((1, None, {"a": 2}))
    [1, 2]
    """
    return _native.tree_leaves(tree, is_leaf)


def tree_structure(tree: Any, is_leaf: IsLeaf = None) -> PyTreeDef:
    """The structure of a tree.

    Args:
      tree: any object.
      is_leaf: says of each node whether it is to be a leaf.

    >>> import anima
    >>> anima.tree.structure((1, None, {"a": 2}))
    PyTreeDef((*, None, {'a': *}))
    """
    return _native.tree_structure(tree, is_leaf)


def tree_map(f: Callable[..., Any], tree: Any, *rest: Any, is_leaf: IsLeaf = None) -> Any:
    """The tree of a function's results for each leaf.

    Args:
      f: takes a leaf of ``tree`` and what each of ``rest`` has in its place.
      tree: the tree whose structure decides.
      *rest: trees that have at least that structure.
      is_leaf: says of each node of ``tree`` whether it is to be a leaf.

    Raises:
      ValueError: one of ``rest`` has another structure; the message says where.

    >>> import anima
    >>> anima.tree.map(lambda x, y: x + y, {"a": 1, "b": (2, 3)}, {"a": 10, "b": (20, 30)})
    {'a': 11, 'b': (22, 33)}
    """
    return _native.tree_map(f, tree, *rest, is_leaf=is_leaf)


def tree_flatten_with_path(
    tree: Any, is_leaf: Callable[..., bool] | None = None, is_leaf_takes_path: bool = False
) -> tuple[list[tuple[KeyPath, Any]], PyTreeDef]:
    """The leaves of a tree with the paths that lead to them, and its structure.

    Args:
      tree: any object.
      is_leaf: says of each node whether it is to be a leaf.
      is_leaf_takes_path: call ``is_leaf(path, node)`` rather than ``is_leaf(node)``.

    >>> import anima
    >>> anima.tree.flatten_with_path({"a": [5]})
    ([((DictKey(key='a'), SequenceKey(idx=0)), 5)], PyTreeDef({'a': [*]}))
    """
    return _native.tree_flatten_with_path(tree, is_leaf, is_leaf_takes_path)


def tree_leaves_with_path(
    tree: Any, is_leaf: Callable[..., bool] | None = None, is_leaf_takes_path: bool = False
) -> list[tuple[KeyPath, Any]]:
    """The leaves of a tree with the paths that lead to them.

    Args:
      tree: any object.
      is_leaf: says of each node whether it is to be a leaf.
      is_leaf_takes_path: call ``is_leaf(path, node)`` rather than ``is_leaf(node)``.

    >>> import anima
    >>> [(anima.tree_util.keystr(path), leaf) for path, leaf in anima.tree.leaves_with_path({"a": [5, 6]})]
    [("['a'][0]", 5), ("['a'][1]", 6)]
    """
    return tree_flatten_with_path(tree, is_leaf, is_leaf_takes_path)[0]


def tree_map_with_path(
    f: Callable[..., Any],
    tree: Any,
    *rest: Any,
    is_leaf: Callable[..., bool] | None = None,
    is_leaf_takes_path: bool = False,
) -> Any:
    """The tree of a function's results for each leaf and the path that leads to it.

    Args:
      f: takes the path, a leaf of ``tree`` and what each of ``rest`` has in its place.
      tree: the tree whose structure decides.
      *rest: trees that have at least that structure.
      is_leaf: says of each node of ``tree`` whether it is to be a leaf.
      is_leaf_takes_path: call ``is_leaf(path, node)`` rather than ``is_leaf(node)``.

    Raises:
      ValueError: one of ``rest`` has another structure; the message says where.

    >>> import anima
    >>> anima.tree.map_with_path(lambda path, x: (path[0].key, x), {"a": 1, "b": 2})
    {'a': ('a', 1), 'b': ('b', 2)}
    """
    pairs, treedef = tree_flatten_with_path(tree, is_leaf, is_leaf_takes_path)
    columns = [treedef.flatten_up_to(other) for other in rest]
    results = [f(path, leaf, *others) for (path, leaf), *others in zip(pairs, *columns)]
    return treedef.unflatten(results)


def tree_reduce(
    function: Callable[[T, Any], T], tree: Any, initializer: T = _UNSET, is_leaf: IsLeaf = None
) -> T:
    """The leaves combined from left to right, as ``functools.reduce`` does.

    Args:
      function: (value so far, leaf) -> value.
      tree: any object.
      initializer: the first value; by default the first leaf.
      is_leaf: says of each node whether it is to be a leaf.

    Raises:
      TypeError: there are neither leaves nor an initializer.

    >>> import anima
    >>> anima.tree.reduce(lambda total, x: total + x, [1, (2, 3)])
    6
    """
    leaves = tree_leaves(tree, is_leaf)
    if initializer is _UNSET:
        return functools.reduce(function, leaves)  # type: ignore[no-any-return]
    return functools.reduce(function, leaves, initializer)


def tree_reduce_associative(
    operation: Callable[[T, T], T], tree: Any, *, identity: T = _UNSET, is_leaf: IsLeaf = None
) -> T:
    """The leaves combined by an associative operation, in a balanced way: fewer steps depend on one another.

    Args:
      operation: (value, value) -> value.
      tree: any object.
      identity: the result for a tree without leaves.
      is_leaf: says of each node whether it is to be a leaf.

    Raises:
      TypeError: there are neither leaves nor an identity.

    >>> import anima
    >>> anima.tree.reduce_associative(lambda a, b: f"({a}+{b})", list("abcd"))
    '((a+b)+(c+d))'
    """
    leaves = tree_leaves(tree, is_leaf)
    if not leaves:
        if identity is _UNSET:
            raise TypeError("reduce_associative: the tree has no leaves, so `identity` is needed")
        return identity

    def combine(values: list[T]) -> T:
        half = len(values) // 2
        return operation(combine(values[:half]), combine(values[half:])) if half else values[0]

    return combine(leaves)


def tree_all(tree: Any, *, is_leaf: IsLeaf = None) -> bool:
    """Whether all leaves are true.

    Args:
      tree: any object.
      is_leaf: says of each node whether it is to be a leaf.

    >>> import anima
    >>> anima.tree.all([True, {"a": False}])
    False
    """
    return all(tree_leaves(tree, is_leaf))


def tree_transpose(
    outer_treedef: PyTreeDef, inner_treedef: PyTreeDef | None, pytree_to_transpose: Any
) -> Any:
    """A tree of trees with the two levels exchanged.

    Args:
      outer_treedef: the structure of the upper level.
      inner_treedef: the structure of each tree below; None: that of the first one.
      pytree_to_transpose: the tree.

    Returns:
      a tree of structure ``inner_treedef`` of trees of structure ``outer_treedef``.

    Raises:
      TypeError: the tree does not have as many leaves as such a tree. Only their number is compared: a list may stand
        where the structures have a tuple.

    >>> import anima
    >>> anima.tree.transpose(anima.tree.structure([0, 0]), None, [(1, "a"), (2, "b")])
    ([1, 2], ['a', 'b'])
    """
    leaves, treedef = tree_flatten(pytree_to_transpose)
    if inner_treedef is None:
        subtrees = outer_treedef.flatten_up_to(pytree_to_transpose)
        if not subtrees:
            raise TypeError("transpose: the outer structure has no leaves, so inner_treedef is needed")
        inner_treedef = tree_structure(subtrees[0])
    expected = outer_treedef.compose(inner_treedef)
    if treedef.num_leaves != expected.num_leaves:
        places = "; ".join([d.message("the tree", "that") for d in treedef_differences(treedef, expected)])
        raise TypeError(
            f"transpose: the tree is not one of structure {outer_treedef} of trees of structure {inner_treedef}: "
            f"{places}"
        )
    width = inner_treedef.num_leaves
    return inner_treedef.unflatten([outer_treedef.unflatten(leaves[i::width]) for i in range(width)])


def tree_broadcast(prefix_tree: Any, full_tree: Any, is_leaf: IsLeaf = None) -> Any:
    """A tree of the structure of ``full_tree`` with the leaves of a prefix of it, each as often as needed.

    Args:
      prefix_tree: a tree that is ``full_tree`` cut off at some of its nodes, as to structure.
      full_tree: the tree whose structure decides.
      is_leaf: says of each node of ``prefix_tree`` whether it is to be a leaf.

    Raises:
      ValueError: it is not a prefix; the message says where.

    >>> import anima
    >>> anima.tree.broadcast([1, 2], [10, {"a": 20, "b": 30}])
    [1, {'a': 2, 'b': 2}]
    """
    return tree_structure(full_tree).unflatten(broadcast_prefix(prefix_tree, full_tree, is_leaf))


def broadcast_prefix(prefix_tree: Any, full_tree: Any, is_leaf: IsLeaf = None) -> list[Any]:
    """The leaves of ``tree_broadcast(prefix_tree, full_tree, is_leaf)``."""
    leaves, prefix = tree_flatten(prefix_tree, is_leaf)
    full = tree_structure(full_tree)
    differences = list(treedef_differences(prefix, full, prefix=True))
    if differences:
        places = "; ".join([difference.message("prefix_tree", "full_tree") for difference in differences])
        raise ValueError(f"broadcast: prefix_tree is not a prefix of full_tree: {places}")
    return broadcast_leaves(prefix, leaves, full)


def all_leaves(iterable: Iterable[Any], is_leaf: IsLeaf = None) -> bool:
    """Whether no item of an iterable is an inner node.

    Args:
      iterable: the items.
      is_leaf: says of a node whether it is to be a leaf.

    >>> import anima
    >>> anima.tree_util.all_leaves([1, "a"]), anima.tree_util.all_leaves([1, ()])
    (True, False)
    """
    return _native.all_leaves(iterable, is_leaf)


def _not(tree: Any) -> Callable[[Any], bool]:
    return lambda node: node is not tree


def flatten_one_level(tree: Any) -> tuple[Sequence[Any], Any]:
    """The children of a node, and its aux data: the keys of a dict, the class of a named tuple.

    Args:
      tree: a node.

    Raises:
      ValueError: it is a leaf.

    >>> import anima
    >>> anima.tree_util.flatten_one_level({"b": [1], "a": 2})
    ((2, [1]), ('a', 'b'))
    """
    children, treedef = tree_flatten(tree, _not(tree))
    aux = _aux_data(treedef, tree)
    return (tuple(children) if type(tree) in (type(None), tuple, dict) else children), aux


def flatten_one_level_with_keys(tree: Any) -> tuple[Sequence[tuple[KeyEntry, Any]], Any]:
    """The children of a node with the keys that lead to them, and its aux data.

    Args:
      tree: a node.

    Raises:
      ValueError: it is a leaf.

    >>> import anima
    >>> anima.tree_util.flatten_one_level_with_keys({"a": 2})
    (((DictKey(key='a'), 2),), ('a',))
    """
    pairs, treedef = tree_flatten_with_path(tree, _not(tree))
    aux = _aux_data(treedef, tree)
    children = [(path[0], child) for path, child in pairs if path]
    return (tuple(children) if type(tree) in (type(None), tuple, list, dict) else children), aux


def _aux_data(treedef: PyTreeDef, tree: Any) -> Any:
    node = treedef.node_data()
    if node is None:
        raise ValueError(
            f"a {type(tree).__name__} is a leaf; only the nodes of trees have children: {tree!r}"
        )
    node_type, aux = node
    if node_type is dict:
        return tuple(aux)
    return node_type if is_named_tuple(node_type) else aux


def treedef_children(treedef: PyTreeDef) -> list[PyTreeDef]:
    """The structures of the children of the top node.

    >>> import anima
    >>> anima.tree_util.treedef_children(anima.tree.structure((1, [2])))
    [PyTreeDef(*), PyTreeDef([*])]
    """
    return treedef.children()


def treedef_is_leaf(treedef: PyTreeDef) -> bool:
    """Whether a structure has no inner nodes with children: that of a leaf, of None, of an empty container.

    The property ``treedef.is_leaf`` holds for a leaf alone.

    >>> import anima
    >>> anima.tree_util.treedef_is_leaf(anima.tree.structure(1.5))
    True
    >>> anima.tree_util.treedef_is_leaf(anima.tree.structure([1.5]))
    False
    """
    return treedef.num_nodes == 1


def treedef_tuple(treedefs: Iterable[PyTreeDef]) -> PyTreeDef:
    """The structure of a tuple of trees with these structures.

    >>> import anima
    >>> anima.tree_util.treedef_tuple([anima.tree.structure(1), anima.tree.structure([2])])
    PyTreeDef((*, [*]))
    """
    return _native.treedef_tuple(treedefs)


class PyTreeRegistry:
    """The classes that are nodes of trees, as an object; there is one, ``default_registry``.

    >>> import anima
    >>> anima.tree_util.default_registry.flatten_one_level([1, (2,)])
    ([1, (2,)], None)
    """

    flatten = staticmethod(tree_flatten)
    flatten_with_path = staticmethod(tree_flatten_with_path)
    is_node = staticmethod(is_tree_node)
    register_node = staticmethod(register_pytree_node)
    register_dataclass_node = staticmethod(register_dataclass)

    def flatten_one_level(self, tree: Any) -> tuple[Sequence[Any], Any] | None:
        """The children and aux data of a node, or None for a leaf."""
        return flatten_one_level(tree) if is_tree_node(type(tree)) else None

    def flatten_one_level_with_keys(self, tree: Any) -> tuple[Sequence[tuple[KeyEntry, Any]], Any] | None:
        """The children with their keys and the aux data of a node, or None for a leaf."""
        return flatten_one_level_with_keys(tree) if is_tree_node(type(tree)) else None


default_registry = PyTreeRegistry()
