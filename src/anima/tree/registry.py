"""Making a class a node of pytrees.

Invariant: a class is registered once and for good. What flattening it gives, and nothing else, is what
transformations see of its objects: children are traced, the rest (aux data) is compared with ``==`` and hashed.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, Final, TypeVar

from anima import _native
from anima.tree.keys import KeyEntry

C = TypeVar("C", bound=type)
T = TypeVar("T")

_BUILTIN: Final = (tuple, list, dict, type(None), collections.OrderedDict, collections.defaultdict)
# Of each registered class, the attributes that are its children; None if functions take it apart.
_registered: dict[type, tuple[str, ...] | None] = {}


def is_tree_node(typ: type) -> bool:
    """Whether objects of exactly this type are inner nodes of trees rather than leaves.

    >>> import anima
    >>> anima.tree_util.is_tree_node(dict), anima.tree_util.is_tree_node(float)
    (True, False)
    """
    return typ in _BUILTIN or typ in _registered or is_named_tuple(typ)


def is_named_tuple(typ: type) -> bool:
    """Whether objects of exactly this type are taken apart as named tuples: it is one, and not registered."""
    return (
        typ not in _registered and issubclass(typ, tuple) and isinstance(getattr(typ, "_fields", None), tuple)
    )


def data_fields(typ: type) -> tuple[str, ...] | None:
    """The attributes that are the children of a class registered by its fields, else None."""
    return _registered.get(typ)


def register_pytree_node(
    nodetype: type[T],
    flatten_func: Callable[[T], tuple[Iterable[Any], Hashable]],
    unflatten_func: Callable[[Any, Any], T],
    flatten_with_keys_func: Callable[[T], tuple[Iterable[tuple[KeyEntry, Any]], Hashable]] | None = None,
) -> None:
    """Makes the objects of a class nodes of trees.

    Args:
      nodetype: the class. Its subclasses are not affected.
      flatten_func: object -> (children, aux data). The aux data must be hashable and comparable.
      unflatten_func: (aux data, children) -> object. The children may be anything: do not check or convert them.
      flatten_with_keys_func: object -> (pairs of key and child, aux data), for key paths.

    Raises:
      ValueError: the class is a node already.

    >>> import anima
    >>> class Box:
    ...     def __init__(self, content, label):
    ...         self.content, self.label = content, label
    >>> anima.tree_util.register_pytree_node(
    ...     Box, lambda box: ((box.content,), box.label), lambda label, children: Box(*children, label)
    ... )
    >>> anima.tree.map(lambda x: 10 * x, Box(3, "a")).content
    30
    """
    _native.register_node(nodetype, flatten_func, unflatten_func, flatten_with_keys_func)
    _registered[nodetype] = None


def register_pytree_with_keys(
    nodetype: type[T],
    flatten_with_keys: Callable[[T], tuple[Iterable[tuple[KeyEntry, Any]], Hashable]],
    unflatten_func: Callable[[Any, Any], T],
    flatten_func: Callable[[T], tuple[Iterable[Any], Hashable]] | None = None,
) -> None:
    """Makes the objects of a class nodes of trees, with names for their children.

    Args:
      nodetype: the class.
      flatten_with_keys: object -> (pairs of key and child, aux data). Keys are such as ``GetAttrKey("x")``.
      unflatten_func: (aux data, children) -> object.
      flatten_func: object -> (children, aux data), where that is faster than dropping the keys.

    Raises:
      ValueError: the class is a node already.

    >>> import anima
    >>> from anima.tree_util import GetAttrKey, keystr, register_pytree_with_keys
    >>> class Point:
    ...     def __init__(self, x, y):
    ...         self.x, self.y = x, y
    >>> register_pytree_with_keys(
    ...     Point,
    ...     lambda p: (((GetAttrKey("x"), p.x), (GetAttrKey("y"), p.y)), None),
    ...     lambda aux, children: Point(*children),
    ... )
    >>> [keystr(path) for path, _ in anima.tree.leaves_with_path([Point(1, 2)])]
    ['[0].x', '[0].y']
    """

    def flatten_without_keys(node: T) -> tuple[Iterable[Any], Hashable]:
        pairs, aux = flatten_with_keys(node)
        return [child for _, child in pairs], aux

    register_pytree_node(nodetype, flatten_func or flatten_without_keys, unflatten_func, flatten_with_keys)


def register_pytree_node_class(cls: C) -> C:
    """Class decorator: ``tree_flatten()`` gives (children, aux data), ``tree_unflatten(aux, children)`` rebuilds.

    Raises:
      ValueError: the class is a node already.

    >>> import anima
    >>> @anima.tree_util.register_pytree_node_class
    ... class Box:
    ...     def __init__(self, content):
    ...         self.content = content
    ...
    ...     def tree_flatten(self):
    ...         return (self.content,), None
    ...
    ...     @classmethod
    ...     def tree_unflatten(cls, aux, children):
    ...         return cls(*children)
    >>> anima.tree.leaves(Box([1, 2]))
    [1, 2]
    """
    register_pytree_node(cls, cls.tree_flatten, cls.tree_unflatten)  # type: ignore[attr-defined]
    return cls


def register_pytree_with_keys_class(cls: C) -> C:
    """Class decorator: as ``register_pytree_node_class``, with ``tree_flatten_with_keys()`` for named children.

    Raises:
      ValueError: the class is a node already.

    >>> import anima
    >>> from anima.tree_util import GetAttrKey, keystr, register_pytree_with_keys_class
    >>> @register_pytree_with_keys_class
    ... class Box:
    ...     def __init__(self, content):
    ...         self.content = content
    ...
    ...     def tree_flatten_with_keys(self):
    ...         return ((GetAttrKey("content"), self.content),), None
    ...
    ...     @classmethod
    ...     def tree_unflatten(cls, aux, children):
    ...         return cls(*children)
    >>> keystr(anima.tree.leaves_with_path(Box(1))[0][0])
    '.content'
    """
    register_pytree_with_keys(
        cls,
        cls.tree_flatten_with_keys,  # type: ignore[attr-defined]
        cls.tree_unflatten,  # type: ignore[attr-defined]
        getattr(cls, "tree_flatten", None),
    )
    return cls


def register_dataclass(
    nodetype: C,
    data_fields: Sequence[str] | None = None,
    meta_fields: Sequence[str] | None = None,
    drop_fields: Sequence[str] = (),
) -> C:
    """Makes the objects of a class nodes of trees by naming their fields. Works as a class decorator.

    Args:
      nodetype: a dataclass, or a class whose constructor takes the fields by name.
      data_fields: the fields that are children. Of a dataclass, by default all fields of ``__init__`` that are
        not declared with ``dataclasses.field(metadata=dict(static=True))`` (or ``tree.static()``).
      meta_fields: the fields that are aux data: hashable and comparable. By default the static ones.
      drop_fields: fields of a dataclass that flattening may lose, for they have defaults.

    Returns:
      ``nodetype``.

    Raises:
      TypeError: the fields are needed and not given.
      ValueError: the fields are not those of the class, or the class is a node already.

    >>> import anima, dataclasses
    >>> @anima.tree_util.register_dataclass
    ... @dataclasses.dataclass
    ... class Layer:
    ...     weight: float
    ...     activation: str = dataclasses.field(metadata=dict(static=True))
    >>> anima.tree.map(lambda x: 2 * x, Layer(1.5, "relu"))
    Layer(weight=3.0, activation='relu')
    """
    if (data_fields is None) != (meta_fields is None):
        raise TypeError(
            "register_dataclass: give both data_fields and meta_fields or neither; "
            f"got {data_fields=} and {meta_fields=}"
        )
    if data_fields is None or meta_fields is None:
        data_fields, meta_fields = _declared_fields(nodetype, drop_fields)
    data, meta = tuple(data_fields), tuple(meta_fields)
    _check_fields(nodetype, data, meta, drop_fields)
    _native.register_dataclass(nodetype, data, meta)
    _registered[nodetype] = data
    return nodetype


def _declared_fields(nodetype: type, drop_fields: Sequence[str]) -> tuple[list[str], list[str]]:
    if not dataclasses.is_dataclass(nodetype):
        raise TypeError(
            f"register_dataclass: {nodetype!r} is not a dataclass, so data_fields and meta_fields are needed"
        )
    fields = [field for field in dataclasses.fields(nodetype) if field.init and field.name not in drop_fields]
    return (
        [field.name for field in fields if not field.metadata.get("static")],
        [field.name for field in fields if field.metadata.get("static")],
    )


def _check_fields(nodetype: type, data: tuple[str, ...], meta: tuple[str, ...], drop: Sequence[str]) -> None:
    if both := sorted({*data} & {*meta}):
        raise ValueError(f"register_dataclass: fields are both in data_fields and in meta_fields: {both}")
    if not dataclasses.is_dataclass(nodetype):
        return
    known = {field.name for field in dataclasses.fields(nodetype) if field.init}
    if unknown := sorted({*data, *meta} - (known - {*drop})):
        raise ValueError(
            f"register_dataclass: {nodetype.__name__}.__init__ has no fields {unknown}, or they are in "
            "drop_fields; name its fields only"
        )
    if missing := sorted(known - {*data, *meta, *drop}):
        raise ValueError(
            f"register_dataclass: the fields {missing} of {nodetype.__name__} are neither in data_fields nor in "
            "meta_fields; add them to one, or to drop_fields if flattening may lose them"
        )


def static(**kwargs: Any) -> Any:
    """A dataclass field that ``register_dataclass`` takes for aux data: ``dataclasses.field`` with a mark.

    Args:
      **kwargs: those of ``dataclasses.field``.

    >>> import anima, dataclasses
    >>> @anima.tree_util.register_dataclass
    ... @dataclasses.dataclass
    ... class Scale:
    ...     factor: float
    ...     name: str = anima.tree.static(default="")
    >>> anima.tree.leaves(Scale(2.0))
    [2.0]
    """
    metadata = {**(kwargs.pop("metadata", None) or {}), "static": True}
    return dataclasses.field(**kwargs, metadata=metadata)


def register_static(cls: C) -> C:
    """Makes the objects of a class nodes without children: they are aux data, compared and hashed whole.

    Works as a class decorator. Such objects may be passed to transformed functions as they are.

    Raises:
      ValueError: the class is a node already.

    >>> import anima
    >>> @anima.tree_util.register_static
    ... class Mode(str):
    ...     pass
    >>> anima.tree.leaves([Mode("fast"), 1])
    [1]
    """
    register_pytree_node(cls, _flatten_static, _unflatten_static)
    return cls


def _flatten_static(node: Any) -> tuple[tuple[()], Any]:
    return (), node


def _unflatten_static(node: Any, _: Any) -> Any:
    return node


class _Whole:
    """A partial as a plain function: ``functools.partial`` would take the one that it is given apart."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Whole) and self.function == other.function

    def __hash__(self) -> int:
        return hash(self.function)

    def __repr__(self) -> str:
        return repr(self.function)


class Partial(functools.partial[Any]):
    """``functools.partial`` as a tree: its arguments are children, its function is aux data.

    So a function with arrays bound to it may be passed to and returned from transformed functions. A partial
    that is given as the function stays whole: its own arguments are no children.

    >>> import anima
    >>> scale = anima.tree_util.Partial(lambda a, x: a * x, 3.0)
    >>> anima.tree.leaves(scale)
    [3.0]
    >>> anima.tree.map(lambda a: a + 1, scale)(10)
    40.0
    """

    def __new__(cls, func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Partial:
        if isinstance(func, functools.partial):
            func = _Whole(func)
        return super().__new__(cls, func, *args, **kwargs)


register_pytree_node(
    Partial,
    lambda partial: ((partial.args, partial.keywords), partial.func),
    lambda func, children: Partial(func, *children[0], **children[1]),
)
