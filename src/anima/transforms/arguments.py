"""What every transformation does with a user's function and its arguments: checks, choice of arguments, the public face.

Invariant: messages name arguments as the user's function does.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from anima._native import Boundary, tree_flatten, tree_unflatten
from anima.core.trace import Tracer
from anima.errors import RefError
from anima.interpreters.flat import (
    FlatFunction as FlatFunction,
    argument_name as argument_name,
    check_callable as check_callable,
    check_outputs as check_outputs,
    flatten_for_program as flatten_for_program,
    is_float0 as is_float0,
    leaf_names as leaf_names,
    name_of as name_of,
    parameters_of as parameters_of,
    signature_of as signature_of,
)
from anima.runtime.arrays import as_array
from anima.state.refs import Place, Ref


def check_inputs(
    leaves: list[Any],
    fun: Any,
    what: str,
    args: Sequence[Any],
    kwargs: dict[str, Any],
    first: int = 0,
    refs: bool = False,
) -> list[Any]:
    """The leaves of the arguments, which start at position `first`, as arrays or tracers, or with `refs` references.

    Raises:
      TypeError: a leaf is no array or number; the message names the argument. RefError: a reference is not taken.
    """
    for index, leaf in enumerate(leaves):
        if isinstance(leaf, Tracer) or is_float0(leaf) or (refs and type(leaf) is Ref):
            continue
        try:
            leaves[index] = as_array(leaf)
        except TypeError as error:
            name = leaf_names(fun, args, kwargs, first)[index]
            if isinstance(leaf, Place):
                raise RefError(
                    f"argument {name} of {name_of(fun)}, passed to {what}, is a reference, which {what} does not take here; pass "
                    "its value ref[...], or close over it"
                ) from None
            raise TypeError(
                f"argument {name} of {name_of(fun)}, passed to {what}, has type {type(leaf).__name__}, which is "
                f"not an array, a number or a pytree of them: {error}"
            ) from None
    return leaves


def normalize_argnums(argnums: Any, what: str) -> tuple[int, ...]:
    """`argnums` as a tuple of integers.

    Raises:
      TypeError: it is neither an integer nor a sequence of them.
    """
    items = (argnums,) if not isinstance(argnums, (tuple, list, set, frozenset)) else tuple(argnums)
    if any(isinstance(i, bool) or not hasattr(i, "__index__") for i in items):
        raise TypeError(f"{what} must be an integer or a tuple of integers, got {argnums!r}")
    return tuple(int(i) for i in items)


def select_args(
    fun: Any, args: tuple[Any, ...], argnums: tuple[int, ...], what: str
) -> tuple[tuple[int, ...], Callable[..., Any]]:
    """The positions `argnums` counted from the front, and `fun` as a function of those arguments alone.

    Raises:
      ValueError: a position is out of range or given twice. For `grad`, TypeError if there are fewer arguments.
    """
    positions = []
    for number in argnums:
        if not -len(args) <= number < len(args):
            error = TypeError if what == "grad" and number >= 0 else ValueError  # an argument is missing
            raise error(
                f"{what}: argnums {number} is out of range for {name_of(fun)} called with {len(args)} positional arguments"
            )
        positions.append(number % len(args))
    if len(set(positions)) != len(positions):
        raise ValueError(f"{what}: argnums {argnums} name an argument twice")

    def partial(*chosen: Any, **kwargs: Any) -> Any:
        full = list(args)
        for position, value in zip(positions, chosen):
            full[position] = value
        return fun(*full, **kwargs)

    partial.__name__ = name_of(fun)  # what messages call it
    return tuple(positions), partial


class LazyNames:
    """Names of the argument leaves, worked out when a message asks for one; `positions` are the arguments' own."""

    __slots__ = ("_fun", "_kwarg_trees", "_positions", "_trees")

    def __init__(self, fun: Any, positions: Sequence[int], args: Any, kwargs: Any) -> None:
        self._fun = fun
        self._positions = positions
        self._trees = [tree_flatten(a)[1] for a in args]
        self._kwarg_trees = {k: tree_flatten(v)[1] for k, v in kwargs.items()}

    def __call__(self) -> list[str]:
        names: list[str] = []
        for position, tree in zip(self._positions, self._trees):
            names += leaf_names(self._fun, [tree_unflatten(tree, [0] * tree.num_leaves)], {}, position)
        keywords = {k: tree_unflatten(t, [0] * t.num_leaves) for k, t in self._kwarg_trees.items()}
        return names + leaf_names(self._fun, (), keywords)


def public(transformed: Callable[..., Any], fun: Any, prefix: str) -> Callable[..., Any]:
    """`transformed` as users get it: named and documented after `fun`, its errors ending in their own lines."""
    boundary = Boundary(transformed)
    functools.update_wrapper(boundary, fun, assigned=("__module__", "__doc__", "__annotations__"))
    name = f"{prefix}({name_of(fun)})"
    vars(boundary).update(__name__=name, __qualname__=name)
    return boundary
