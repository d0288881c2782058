"""Values of variables taken apart into arrays and the rest, and what two of them have in common.

Invariant: leaves that are arrays or numbers may become traced; any other leaf must be the same on all ways to a line.
Types are joined as operations promote them, so joining again changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from anima import dtypes
from anima._native import tree_flatten, tree_unflatten
from anima.core.aval import ShapedArray
from anima.core.trace import Tracer, aval_of, is_value
from anima.errors import TypePromotionError
from anima.interpreters.jvp import concrete_of
from anima.lax.control.carries import type_text
from anima.lax.convert import convert_to
from anima.transforms.convert.places import Held

_PYTHON = (bool, int, float, complex)


class Leaves(list[Any]):
    """A list of this package's own: what only such a list holds is nobody else's (`places.outlives`)."""


class Parts:
    """A value as leaves and a structure; `tree` is None for the contents of a container."""

    __slots__ = ("keys", "leaves", "tree")

    def __init__(self, value: Any) -> None:
        self.keys: Any = None
        if isinstance(value, Held):
            self.keys = value.keys
            self.leaves, self.tree = tree_flatten(value.values)
        else:
            self.leaves, self.tree = tree_flatten(value)
        self.leaves = Leaves(self.leaves)

    def like(self, other: Parts) -> bool:
        return bool(self.tree == other.tree and self.keys == other.keys)

    def rebuilt(self, leaves: Sequence[Any]) -> Any:
        value = tree_unflatten(self.tree, leaves)
        return Held(self.keys, value) if self.keys is not None else value

    def __str__(self) -> str:
        if self.keys is not None:
            shown = (
                f"{self.keys} items" if isinstance(self.keys, int) else f"the items {list(self.keys)!r:.60}"
            )
            return f"{shown}, {self.tree}".replace("PyTreeDef", "")
        if len(self.leaves) == 1 and self.tree.is_leaf:
            return text_of(self.leaves[0])
        return f"a {self.tree}".replace("PyTreeDef", "structure ")


def is_traced(value: Any) -> bool:
    """Whether `value` is known only when the program runs."""
    return isinstance(value, Tracer) and concrete_of(value) is None


def is_array(leaf: Any) -> bool:
    """Whether a leaf may become traced."""
    if isinstance(leaf, np.ndarray) and leaf.dtype.kind in "OSUM":
        return False
    return is_value(leaf)


def text_of(leaf: Any) -> str:
    """What a message calls a leaf."""
    if isinstance(leaf, _PYTHON) or not is_array(leaf):
        return f"{leaf!r:.60}"
    return type_text(aval_of(leaf))


def same(first: Any, second: Any) -> bool:
    """Whether two leaves are one value that Python knows."""
    if first is second:
        return True
    if type(first) is not type(second) or (is_array(first) and not isinstance(first, _PYTHON)):
        return False
    if isinstance(first, (float, complex)):
        return repr(first) == repr(second)
    try:
        return bool(first == second)
    except Exception:
        return False


def joined(first: Any, second: Any) -> Any:
    """The aval of what may be a value of either aval; None if there is none."""
    if first == second:
        return first
    if (
        not isinstance(first, ShapedArray)
        or not isinstance(second, ShapedArray)
        or first.shape != second.shape
    ):
        return None
    try:
        dtype = dtypes.result_type(first, second)
    except (TypePromotionError, TypeError):
        return None
    weak = first.weak_type and second.weak_type
    return ShapedArray(first.shape, dtype, weak, first.sharding, first.varying | second.varying)


def as_type(value: Any, aval: Any) -> Any:
    """`value` with the dtype of `aval`."""
    own = aval_of(value)
    if not isinstance(aval, ShapedArray) or (own.dtype == aval.dtype and own.weak_type == aval.weak_type):  # type: ignore[attr-defined]
        return value
    return convert_to(value, aval.dtype, aval.weak_type)
