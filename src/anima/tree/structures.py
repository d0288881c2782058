"""What one does with a structure alone: make one of parts, walk it. These are methods of ``PyTreeDef``.

Invariant: what walking a structure gives, and the same put together again, is an equal structure.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable
from typing import Any

from anima import _native
from anima._native import PyTreeDef
from anima.tree.registry import data_fields, is_named_tuple, is_tree_node

_KINDS: dict[type, str] = {
    type(None): "none",
    tuple: "tuple",
    list: "list",
    dict: "dict",
    collections.OrderedDict: "ordered_dict",
    collections.defaultdict: "default_dict",
}


def from_iterable_tree(self: PyTreeDef, xs: Any) -> Any:
    """The tree of this structure from nested iterables: whatever its nodes are, ``xs`` has iterables in their place.

    Raises:
      ValueError: the iterables are not as long as the nodes.

    >>> import anima
    >>> anima.tree.structure({"a": (0, 0)}).from_iterable_tree([[1, 2]])
    {'a': (1, 2)}
    """
    leaves: list[Any] = []

    def visit(node: PyTreeDef, part: Any) -> None:
        if node.is_leaf:
            leaves.append(part)
            return
        parts = () if part is None else tuple(part)
        children = node.children()
        if len(parts) != len(children):
            raise ValueError(
                f"from_iterable_tree: {len(parts)} parts for a node with {len(children)} children: {node}"
            )
        for child, below in zip(children, parts):
            visit(child, below)

    visit(self, xs)
    return self.unflatten(leaves)


def walk(
    self: PyTreeDef,
    f_node: Callable[[tuple[Any, ...], Any], Any],
    f_leaf: Callable[[Any], Any],
    leaves: Any,
    /,
) -> Any:
    """The result of calling functions at each leaf and node, from the leaves up.

    Args:
      f_node: takes what its children gave and the data beside them (keys, aux data).
      f_leaf: takes a leaf.
      leaves: the leaves.

    Raises:
      ValueError: there are too few or too many leaves.

    >>> import anima
    >>> structure = anima.tree.structure({"a": (0, 0), "b": 0})
    >>> structure.walk(lambda children, _: sum(children), lambda leaf: leaf, [1, 2, 3])
    6
    """
    given = list(leaves)
    if len(given) != self.num_leaves:
        raise ValueError(f"walk: {self} has {self.num_leaves} leaves, got {len(given)}")
    rest = iter(given)

    def visit(node: PyTreeDef) -> Any:
        data = node.node_data()
        if data is None:
            return f_leaf(next(rest))
        node_type, aux = data
        below = tuple([visit(child) for child in node.children()])
        return f_node(below, node_type if is_named_tuple(node_type) else aux)

    return visit(self)


def from_node_data_and_children(
    registry: Any, node_data: tuple[type, Any] | None, children: Iterable[PyTreeDef]
) -> PyTreeDef:
    """The structure whose top node has this data and these children, as ``node_data()`` and ``children()`` give them.

    Args:
      registry: ``tree_util.default_registry``.
      node_data: the type of the node, and the data beside its children; None for a leaf.
      children: the structures of its children.

    Raises:
      ValueError: the type is no node, or the data does not fit.

    >>> import anima
    >>> leaf = anima.tree.structure(0)
    >>> type(leaf).from_node_data_and_children(anima.tree_util.default_registry, (dict, ["a"]), [leaf])
    PyTreeDef({'a': *})
    """
    parts = list(children)
    if node_data is None:
        if parts:
            raise ValueError(f"from_node_data_and_children: a leaf has no children, got {len(parts)}")
        return _native.treedef_leaf()
    node_type, data = node_data
    if not is_tree_node(node_type):
        raise ValueError(f"from_node_data_and_children: {node_type!r} is not registered as a node of trees")
    below = [entry for part in parts for entry in part.__reduce__()[1][0]]
    return _native.treedef_from_state((_entry(node_type, data, len(parts)), *below))


def _entry(node_type: type, data: Any, count: int) -> tuple[Any, ...]:
    """The top node as the state of a structure has it."""
    kind = _KINDS.get(node_type)
    if kind in ("none", "tuple", "list"):
        return (kind, count, None)
    if kind == "default_dict":
        return (kind, count, None, (data[0], tuple(data[1])))
    if kind is not None:
        return (kind, count, None, tuple(data))
    if is_named_tuple(node_type):
        return ("named_tuple", count, None, node_type)
    return ("custom" if data_fields(node_type) is None else "dataclass", count, node_type, data)


for _method in (from_iterable_tree, walk):
    setattr(PyTreeDef, _method.__name__, _method)
setattr(PyTreeDef, from_node_data_and_children.__name__, staticmethod(from_node_data_and_children))
