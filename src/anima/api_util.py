"""What libraries of transformations do with a user's function and its arguments.

Invariant: between a user's function and a transformation of flat lists stands one of these.

>>> from anima import tree
>>> from anima.api_util import flatten_fun
>>> from anima.extend import linear_util as lu
>>> flat, out_tree = flatten_fun(
...     lu.wrap_init(lambda x, y: {"sum": x + y}), tree.structure(((0,), {"y": 0}))
... )
>>> flat.call_wrapped(1, 2), out_tree()
([3], PyTreeDef({'sum': *}))
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from anima._native import PyTreeDef, tree_flatten, tree_unflatten
from anima.core.aval import AbstractValue
from anima.core.debug_info import DebugInfo
from anima.extend.linear_util import Store, WrappedFun, source_of, transformation_with_aux2
from anima.interpreters.flat import signature_of
from anima.transforms.shapes import abstract_leaf
from anima.tree.compare import flatten_axes as leaf_axes
from anima.tree_util import keystr, tree_leaves_with_path
from anima.util import safe_map

__all__ = [
    "argnums_partial",
    "debug_info",
    "flatten_axes",
    "flatten_fun",
    "flatten_fun_nokwargs",
    "safe_map",
    "shaped_abstractify",
]


def _flat_call(f: Callable[..., Any], store: Store, args: Any, kwargs: Any) -> list[Any]:
    leaves, out_tree = tree_flatten(f(*args, **kwargs))
    store.store(out_tree)
    return leaves


@transformation_with_aux2
def flatten_fun(f: Callable[..., Any], store: Store, in_tree: PyTreeDef, *leaves: Any) -> list[Any]:
    """`flatten_fun(wrapped, in_tree)`: a function on flat arguments, and one that gives the structure of its result.

    `in_tree` is the structure of the pair (args, kwargs).
    """
    args, kwargs = tree_unflatten(in_tree, leaves)
    return _flat_call(f, store, args, kwargs)


@transformation_with_aux2
def flatten_fun_nokwargs(f: Callable[..., Any], store: Store, in_tree: PyTreeDef, *leaves: Any) -> list[Any]:
    """As `flatten_fun`, with `in_tree` the structure of the tuple of positional arguments."""
    return _flat_call(f, store, tree_unflatten(in_tree, leaves), {})


def flatten_axes(
    name: str, treedef: PyTreeDef, axis_tree: Any, *, kws: bool = False, tupled_args: bool = False
) -> list[Any]:
    """The axis of each leaf of a structure, where axes may be given for whole subtrees.

    Args:
      name: what the axes are called in messages.
      treedef: the structure.
      axis_tree: a prefix of it with axes as leaves; None is a leaf.
      kws: whether `treedef` is that of (args, kwargs) and `axis_tree` for `args` alone.
      tupled_args: taken as in JAX: messages name the place either way.

    Raises:
      ValueError: `axis_tree` is no prefix; the message says where.

    >>> from anima import tree
    >>> from anima.api_util import flatten_axes
    >>> flatten_axes("in_axes", tree.structure(({"a": 1, "b": 2}, 3)), (0, None))
    [0, 0, None]
    """
    return leaf_axes(name, treedef, (axis_tree, 0) if kws else axis_tree)


def shaped_abstractify(x: Any) -> AbstractValue:
    """The aval of an array, a number, or anything with a shape and a dtype."""
    return abstract_leaf(x)


def argnums_partial(
    f: WrappedFun,
    dyn_argnums: int | Sequence[int],
    args: Sequence[Any],
    require_static_args_hashable: bool = True,
) -> tuple[WrappedFun, tuple[Any, ...]]:
    """A function of some of its arguments, and these; the others are fixed.

    Args:
      f: the function.
      dyn_argnums: the positions that stay arguments.
      args: all arguments.
      require_static_args_hashable: raise if another one is not hashable.

    Raises:
      ValueError: a fixed argument is not hashable.
    """
    numbers = (dyn_argnums,) if isinstance(dyn_argnums, int) else tuple(dyn_argnums)
    positions = [n % len(args) for n in numbers]
    fixed = [None if i in positions else _Fixed(a, require_static_args_hashable) for i, a in enumerate(args)]
    fun = f.wrap(_with_fixed, (tuple(positions), tuple(fixed)), None)
    return fun, tuple([args[i] for i in positions])


class _Fixed:
    """A fixed argument: equal to one with an equal value, if values are hashable, else to itself."""

    __slots__ = ("hashable", "value")

    def __init__(self, value: Any, hashable: bool) -> None:
        self.value = value
        self.hashable = hashable
        if hashable:
            try:
                hash(value)
            except TypeError:
                raise ValueError(
                    f"argnums_partial: a fixed argument of type {type(value).__name__} is not hashable: {value!r:.80}"
                ) from None

    def __eq__(self, other: object) -> bool:
        if not self.hashable or not isinstance(other, _Fixed):
            return self is other
        return type(self.value) is type(other.value) and bool(self.value == other.value)

    def __hash__(self) -> int:
        return hash(self.value) if self.hashable else id(self)


def _with_fixed(
    f: Any, positions: tuple[int, ...], fixed: tuple[Any, ...], *dynamic: Any, **kwargs: Any
) -> Any:
    args = [None if x is None else x.value for x in fixed]
    for position, value in zip(positions, dynamic):
        args[position] = value
    return f(*args, **kwargs)


def debug_info(
    traced_for: str,
    fun: Callable[..., Any],
    args: Sequence[Any],
    kwargs: dict[str, Any],
    *,
    static_argnums: Sequence[int] = (),
    static_argnames: Sequence[str] = (),
    result_paths: tuple[str, ...] | None = None,
) -> DebugInfo:
    """What a function and the leaves of its arguments are called.

    Args:
      traced_for: the transformation.
      fun: the function.
      args, kwargs: its arguments.
      static_argnums, static_argnames: arguments that have no leaves.
      result_paths: what the leaves of its result are called.

    >>> from anima.api_util import debug_info
    >>> debug_info("mine", lambda x, y: x, ({"a": 1},), {"y": 2}).arg_names
    ("x['a']", 'y')
    """
    names: list[str] = []
    for index, arg in enumerate(args):
        if index not in static_argnums:
            base = _positional_name(fun, index)
            names += [base + keystr(path) for path, _ in tree_leaves_with_path(arg)]
    for key in sorted(kwargs):
        if key not in static_argnames:
            names += [key + keystr(path) for path, _ in tree_leaves_with_path(kwargs[key])]
    return DebugInfo(traced_for, source_of(fun), tuple(names), result_paths)


def _positional_name(fun: Callable[..., Any], index: int) -> str:
    signature = signature_of(fun)
    if signature is None:
        return f"args[{index}]"
    names = [
        p.name
        for p in signature.parameters.values()
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    if index < len(names):
        return names[index]
    variadic = [p.name for p in signature.parameters.values() if p.kind is p.VAR_POSITIONAL]
    return f"{variadic[0] if variadic else 'args'}[{index - len(names)}]"
