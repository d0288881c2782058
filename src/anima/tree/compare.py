"""Comparing structures: prefixes of trees, and where and why two structures differ.

Invariant: only structures are looked at, never values, so objects that refuse to be rebuilt with odd children are
safe here.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from anima import _native
from anima.records import NamedTuple
from anima.tree.keys import DictKey, FlattenedIndexKey, GetAttrKey, KeyEntry, KeyPath, SequenceKey, keystr
from anima.tree.registry import data_fields

PyTreeDef: TypeAlias = _native.PyTreeDef
IsLeaf: TypeAlias = Callable[[Any], bool] | None


class Difference(NamedTuple):
    """One place where two structures differ.

    ``path`` leads to it; ``first`` and ``second`` describe what stands there ("a tuple of length 2", "a leaf");
    ``reason`` says what about them differs.
    """

    path: KeyPath
    first: str
    second: str
    reason: str

    def message(self, first_name: str, second_name: str) -> str:
        """The difference as a sentence.

        Args:
          first_name: what the first tree is called; the path is put behind it.
          second_name: what the second one is called.
        """
        place = first_name + keystr(self.path)
        return f"at {place} there is {self.first}, but in {second_name} there is {self.second}: {self.reason}"


def equality_errors(tree1: Any, tree2: Any, is_leaf: IsLeaf = None) -> Iterator[Difference]:
    """Where and why the structures of two trees differ; nothing if they are equal.

    >>> from anima.tree.compare import equality_errors
    >>> [difference] = equality_errors({"a": [1, 2]}, {"a": [1, 2, 3]})
    >>> difference.message("the carry", "the input")
    "at the carry['a'] there is a list of length 2, but in the input there is a list of length 3: ..."
    """
    return treedef_differences(_native.tree_structure(tree1, is_leaf), _native.tree_structure(tree2, is_leaf))


def treedef_differences(first: PyTreeDef, second: PyTreeDef, prefix: bool = False) -> Iterator[Difference]:
    """Where and why two structures differ; nothing if they are equal.

    Args:
      first: a structure.
      second: another.
      prefix: whether the first may have leaves where the second has subtrees.
    """
    yield from _differences(first, second, (), prefix)


def _differences(first: PyTreeDef, second: PyTreeDef, path: KeyPath, prefix: bool) -> Iterator[Difference]:
    first_node, second_node = first.node_data(), second.node_data()
    if first_node is None and (prefix or second_node is None):
        return
    here = path, _described(first), _described(second)
    if first_node is None or second_node is None:
        yield Difference(*here, "only one of them has children")
        return
    (first_type, first_aux), (second_type, second_aux) = first_node, second_node
    first_children, second_children = first.children(), second.children()
    if first_type is not second_type:
        yield Difference(*here, "their types differ")
    elif len(first_children) != len(second_children):
        yield Difference(*here, "the numbers of their children differ")
    elif first_aux != second_aux:
        reason = "their keys differ" if _is_dict(first_type) else "the data beside their children differs"
        yield Difference(*here, reason)
    else:
        keys = _child_keys(first_type, first_aux, len(first_children))
        for key, a, b in zip(keys, first_children, second_children):
            yield from _differences(a, b, (*path, key), prefix)


def _is_dict(node_type: type) -> bool:
    return node_type in (dict, collections.OrderedDict, collections.defaultdict)


def _dict_keys(node_type: type, aux: Any) -> list[Any]:
    return list(aux[1] if node_type is collections.defaultdict else aux)  # (factory, keys), or keys


def _child_keys(node_type: type, aux: Any, count: int) -> list[KeyEntry]:
    if _is_dict(node_type):
        return [DictKey(key) for key in _dict_keys(node_type, aux)]
    if node_type in (tuple, list):
        return [SequenceKey(i) for i in range(count)]
    names = data_fields(node_type) or getattr(node_type, "_fields", None)
    if names is not None and len(names) == count:
        return [GetAttrKey(name) for name in names]
    return [FlattenedIndexKey(i) for i in range(count)]


def _described(treedef: PyTreeDef) -> str:
    node = treedef.node_data()
    if node is None:
        return "a leaf"
    node_type, aux = node
    if node_type is type(None):
        return "None"
    if _is_dict(node_type):
        return f"a {node_type.__name__} with the keys {_dict_keys(node_type, aux)}"
    count = len(treedef.children())
    if node_type in (tuple, list):
        return f"a {node_type.__name__} of length {count}"
    data = "" if aux is None or aux is node_type or aux == () else f" and {aux!r} beside them"
    return f"a {node_type.__name__} with {count} children{data}"


def prefix_errors(prefix_tree: Any, full_tree: Any, is_leaf: IsLeaf = None) -> list[Difference]:
    """Where and why a tree is not a prefix of another one.

    A prefix has leaves where the other one may have whole subtrees.

    >>> from anima.tree.compare import prefix_errors
    >>> prefix_errors([1, 2], [(3, 4), {"a": 5}])
    []
    >>> prefix_errors({"a": [1, 2]}, {"a": (3, 4)})[0].reason
    'their types differ'
    """
    prefix = _native.tree_structure(prefix_tree, is_leaf)
    return list(_differences(prefix, _native.tree_structure(full_tree), (), True))


def broadcast_leaves(prefix: PyTreeDef, leaves: list[Any], full: PyTreeDef) -> list[Any]:
    """Each leaf of a prefix, as often as the subtree in its place has leaves.

    Args:
      prefix: the structure of a prefix of ``full``; that it is one is not checked.
      leaves: its leaves.
      full: the structure of the whole tree.
    """
    if prefix.is_leaf:
        return leaves * int(full.num_leaves)
    result: list[Any] = []
    used = 0
    for a, b in zip(prefix.children(), full.children()):
        result += broadcast_leaves(a, leaves[used : used + a.num_leaves], b)
        used += a.num_leaves
    return result


def _is_none(x: Any) -> bool:
    return x is None


def flatten_axes(
    name: str, treedef: PyTreeDef, axis_tree: Any, *, of: str = "the value", is_leaf: IsLeaf = _is_none
) -> list[Any]:
    """The axis of each leaf, where axes may be given for whole subtrees: ``in_axes``, ``out_axes``, shardings.

    Args:
      name: what the axes are called in messages, such as ``"vmap in_axes"``.
      treedef: the structure of the value that they are for.
      axis_tree: a prefix of it whose leaves are axes; None is a leaf, too.
      of: what the value is called in messages.
      is_leaf: which objects of ``axis_tree`` are leaves, besides those that are anyway.

    Returns:
      one axis for each leaf of ``treedef``.

    Raises:
      ValueError: ``axis_tree`` is not a prefix; the message says where.

    >>> import anima
    >>> from anima.tree.compare import flatten_axes
    >>> flatten_axes("in_axes", anima.tree.structure(({"a": 1, "b": 2}, 3)), (0, None))
    [0, 0, None]
    """
    leaves, prefix = _native.tree_flatten(axis_tree, is_leaf)
    if prefix.is_leaf:
        return list(leaves) * int(treedef.num_leaves)
    differences = list(_differences(prefix, treedef, (), True))
    if differences:
        places = "; ".join([difference.message(name, of) for difference in differences])
        raise ValueError(
            f"{name} must be a tree prefix of {of}, that is, the same tree cut off at some of its nodes: {places}. "
            f"{name} is {axis_tree!r}, and the structure of {of} is {treedef}."
        )
    return broadcast_leaves(prefix, leaves, treedef)
