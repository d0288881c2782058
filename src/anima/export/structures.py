"""The structures of arguments and results, as what JSON holds.

Invariant: a structure is stored by what it consists of, never pickled: tuples, lists, dicts and None are known, and classes of users by
the names under which they are registered.
"""

from __future__ import annotations

import collections
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from anima._native import PyTreeDef, tree_structure, treedef_leaf
from anima.records import Record
from anima.tree.registry import is_named_tuple, is_tree_node
from anima.tree_util import default_registry

T = TypeVar("T")


class _Form(Record):
    """How nodes of a class are stored."""

    name: str
    nodetype: type
    to_bytes: Callable[[Any], bytes | bytearray]
    from_bytes: Callable[[bytes], Any]
    from_children: Callable[[Any, Sequence[Any]], Any] | None


_lock = threading.Lock()
_by_type: dict[type, _Form] = {}
_by_name: dict[str, _Form] = {}


def register_pytree_node_serialization(
    nodetype: type[T],
    *,
    serialized_name: str,
    serialize_auxdata: Callable[[Any], bytes | bytearray],
    deserialize_auxdata: Callable[[bytes], Any],
    from_children: Callable[[Any, Sequence[Any]], Any] | None = None,
) -> type[T]:
    """Let exported functions whose arguments or results have nodes of a class be stored.

    Args:
      nodetype: the class, which is registered as a node of trees.
      serialized_name: what stands for it in files; the same wherever they are loaded.
      serialize_auxdata: from the data that a node has beside its children to bytes.
      deserialize_auxdata: the other way.
      from_children: from that data and children to a node; by default what was registered with the class.
    Returns:
      The class, so this can decorate one.
    Raises:
      TypeError: an argument is of another kind. ValueError: the class is no node of trees, or the class or the name is registered.

    >>> import anima
    >>> from anima.export import register_pytree_node_serialization
    >>> class Pair:
    ...     def __init__(self, a, b):
    ...         self.a, self.b = a, b
    >>> anima.tree_util.register_pytree_node(Pair, lambda p: ((p.a, p.b), None), lambda _, ab: Pair(*ab))
    >>> register_pytree_node_serialization(
    ...     Pair,
    ...     serialized_name="docs.Pair",
    ...     serialize_auxdata=lambda _: b"",
    ...     deserialize_auxdata=lambda _: None,
    ... ).__name__
    'Pair'
    """
    what = "register_pytree_node_serialization"
    given: Any = nodetype
    if not isinstance(given, type) or not is_tree_node(given):
        raise ValueError(
            f"{what}: nodetype must be a class that is registered with tree_util.register_pytree_node, got {nodetype!r:.80}"
        )
    for name, function in (
        ("serialize_auxdata", serialize_auxdata),
        ("deserialize_auxdata", deserialize_auxdata),
    ):
        if not callable(function):
            raise TypeError(f"{what}: {name} must be a function, got {function!r:.80}")
    _register(what, _Form(serialized_name, nodetype, serialize_auxdata, deserialize_auxdata, from_children))
    return nodetype


def register_namedtuple_serialization(nodetype: type[T], *, serialized_name: str) -> type[T]:
    """Let exported functions whose arguments or results have nodes of a named tuple's class be stored.

    Args:
      nodetype: a class made by `collections.namedtuple` or `typing.NamedTuple`.
      serialized_name: what stands for it in files; the same wherever they are loaded.
    Returns:
      The class.
    Raises:
      ValueError: it is no such class, or the class or the name is registered. TypeError: the name is no string.

    >>> import collections
    >>> from anima.export import register_namedtuple_serialization
    >>> Point = collections.namedtuple("Point", "x y")
    >>> register_namedtuple_serialization(Point, serialized_name="docs.Point").__name__
    'Point'
    """
    what = "register_namedtuple_serialization"
    make: Any = nodetype
    if not isinstance(make, type) or not is_named_tuple(make):
        raise ValueError(f"{what}: nodetype must be a class of named tuples, got {nodetype!r:.80}")
    make = nodetype
    fields = ",".join(make._fields).encode()  # so that a class that has changed is noticed

    def checked(stored: bytes) -> None:
        if stored != fields:
            raise ValueError(
                f"{nodetype.__name__} has the fields {fields.decode()!r}, the stored one {stored.decode()!r}"
            )

    _register(
        what, _Form(serialized_name, nodetype, lambda _: fields, checked, lambda _, children: make(*children))
    )
    return nodetype


def _register(what: str, form: _Form) -> None:
    name: Any = form.name
    if not isinstance(name, str) or not name:
        raise TypeError(f"{what}: serialized_name must be a string with characters, got {name!r:.80}")
    with _lock:
        for known in (_by_type.get(form.nodetype), _by_name.get(name)):
            if known is not None:
                raise ValueError(f"{what}: {known.nodetype!r} is registered already, as {known.name!r}")
        _by_type[form.nodetype] = _by_name[name] = form


def stored(tree: PyTreeDef) -> Any:
    """A structure as JSON.

    Raises:
      ValueError: it has a node of a class that is not registered, or a dict with other keys than strings and numbers.
    """
    node = tree.node_data()
    if node is None:
        return "leaf"
    nodetype, data = node
    children = [stored(child) for child in tree.children()]
    form = _by_type.get(nodetype)
    if form is not None:
        return ["class", form.name, bytes(form.to_bytes(data)).hex(), children]
    if nodetype is type(None):
        return "none"
    if nodetype in (tuple, list):
        return [nodetype.__name__, children]
    if nodetype in (dict, collections.OrderedDict):
        return ["dict" if nodetype is dict else "ordered", [_key(key) for key in data], children]
    register = (
        "register_namedtuple_serialization"
        if is_named_tuple(nodetype)
        else "register_pytree_node_serialization"
    )
    raise ValueError(
        f"serialize: nodes of {nodetype!r} cannot be stored; register the class with export.{register}"
    )


def _key(key: Any) -> Any:
    if type(key) in (str, int, float, bool):
        return [type(key).__name__, key]
    raise ValueError(f"serialize: the key {key!r:.80} of a dict cannot be stored; use strings or numbers")


_KEYS: dict[str, type] = {t.__name__: t for t in (str, int, float, bool)}


def loaded(form: Any) -> PyTreeDef:
    """The structure that `stored` gave.

    Raises:
      ValueError, TypeError: it gave none, or there is a class that is not registered here.
    """
    if form == "leaf":
        return treedef_leaf()
    if form == "none":
        return tree_structure(None)
    kind, *parts = form
    children = [loaded(child) for child in parts[-1]]
    if kind == "class":
        return _loaded_class(parts[0], bytes.fromhex(parts[1]), children)
    if kind in ("dict", "ordered"):
        keys = [_loaded_key(*key) for key in parts[0]]
        known: Any = (dict, keys) if kind == "dict" else (collections.OrderedDict, tuple(keys))
        return PyTreeDef.from_node_data_and_children(default_registry, known, children)  # type: ignore[attr-defined, no-any-return]
    plain = {"tuple": tuple, "list": list}[kind]
    return PyTreeDef.from_node_data_and_children(default_registry, (plain, None), children)  # type: ignore[attr-defined, no-any-return]


def _loaded_key(kind: str, key: Any) -> Any:
    if type(key) is not _KEYS[kind]:
        raise ValueError(f"a key that is no {kind}: {key!r:.80}")
    return key


def _loaded_class(name: str, data: bytes, children: list[PyTreeDef]) -> PyTreeDef:
    form = _by_name.get(name)
    if form is None:
        raise ValueError(
            f"nodes of a class that is stored as {name!r}, but no class is registered under that name; register it as where it was stored"
        )
    auxdata = form.from_bytes(data)
    if form.from_children is None:
        return PyTreeDef.from_node_data_and_children(default_registry, (form.nodetype, auxdata), children)  # type: ignore[attr-defined, no-any-return]
    # `from_children` makes a node, of which the structure is taken: each child as one leaf, then what the child is.
    node = form.from_children(auxdata, list(range(len(children))))
    top = tree_structure(node)
    if top.num_leaves != len(children):
        raise ValueError(f"from_children of {name!r} made a node with other children than it was given")
    return PyTreeDef.from_node_data_and_children(default_registry, top.node_data(), children)  # type: ignore[attr-defined, no-any-return]
