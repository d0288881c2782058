"""Names of mapped axes as arguments of operations: what they mean, groups of indices, and one's own index.

Invariant: a collective operation has the names of its axes, and their sizes if a rule needs them, among its parameters;
the public functions look them up. So no rule asks which axes are bound, and a program that was traced under named axes
means the same wherever it is transformed. The index along several axes counts the last one fastest.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from anima.core import variance
from anima.core.aval import Axes, ShapedArray
from anima.core.axes import axis_of_name, uses
from anima.core.primitive import Missing, Primitive
from anima.core.trace import aval_of
from anima.interpreters.batch import Axis
from anima.lax import across
from anima.lax.arithmetic import add, mul
from anima.lax.create import full, iota
from anima.lax.gathering import GatherDimensionNumbers, gather
from anima.lax.joining import stack
from anima.lax.shape import broadcast_in_dim, reshape, shape_of
from anima.lowering.module import Context, Value

Names = tuple[Hashable, ...]
Groups = tuple[tuple[int, ...], ...]


def as_names(name: str, axis_name: Any) -> Names:
    """The names in an argument that is one name or a tuple or list of them.

    Raises:
      ValueError: a name is repeated. TypeError: one cannot be hashed.
    """
    names = tuple(axis_name) if isinstance(axis_name, (tuple, list)) else (axis_name,)
    if len(set(names)) != len(names):
        raise ValueError(f"{name}: axis names must be unique, got {names}")
    return names


def sizes_of(names: Names) -> tuple[int, ...]:
    """The sizes of the axes that the names mean here.

    Raises:
      UnboundAxisNameError: one of them is not bound.
    """
    return tuple([axis_of_name(name).size for name in names])


def tracked(names: Names) -> Names:
    """Those of the names along which types say what varies: the axes of a `shard_map` that checks them."""
    return tuple([name for name in names if axis_of_name(name).tracked])


def varying(x: Any, names: Names) -> Any:
    """A value as one that may differ along all of the axes that are tracked, as operations expect which exchange it."""
    missing: Axes = frozenset(tracked(names)) - aval_of(x).varying
    return variance.vary(x, missing)


def check_groups(name: str, groups: Any, size: int, uneven: bool = False) -> Groups | None:
    """`axis_index_groups` as tuples of integers, or None.

    Raises:
      TypeError: it is no list of lists of integers. ValueError: it does not hold each index once, or groups differ in size
        and `uneven` is False.
    """
    if groups is None:
        return None
    try:
        found = tuple([tuple([operator.index(i) for i in group]) for group in groups])
    except TypeError:
        raise TypeError(
            f"{name}: axis_index_groups must be a list of lists of integers, got {groups!r}"
        ) from None
    if sorted([i for group in found for i in group]) != list(range(size)) or not all(found):
        raise ValueError(
            f"{name}: axis_index_groups must cover all indices exactly once: the axis has size {size}, the groups are "
            f"{groups!r}"
        )
    if not uneven and not is_even(found):
        raise ValueError(f"{name}: all axis_index_groups must have the same size, got {groups!r}")
    return found


def is_even(groups: Groups | None) -> bool:
    """Whether all groups have the same size."""
    return groups is None or len({len(group) for group in groups}) <= 1


def group_size(groups: Groups | None, sizes: Sequence[int]) -> int:
    """How many members speak with each other, along axes of these sizes and in even groups."""
    return math.prod(sizes) if groups is None else len(groups[0]) if groups else 0


# --- members of an axis as rows of an array ---------------------------------------------------


def take_rows(x: Any, rows: Sequence[int]) -> Any:
    """The given parts of an array along its first dimension."""
    shape = shape_of(x)
    if list(rows) == list(range(shape[0])):
        return x
    kept = tuple(range(1, len(shape)))
    numbers = GatherDimensionNumbers(kept, (0,), (0,))
    return gather(x, np.asarray(rows, np.int32).reshape(-1, 1), numbers, (min(1, shape[0]), *shape[1:]))


def by_group(x: Any, groups: Groups | None) -> Any:
    """An array whose first dimension runs over members, with two: one over even groups, one over those in a group."""
    shape = shape_of(x)
    if groups is None:
        return reshape(x, (1, *shape))
    x = take_rows(x, [i for group in groups for i in group])
    return reshape(x, (len(groups), group_size(groups, shape[:1]), *shape[1:]))


def by_member(x: Any, groups: Groups | None) -> Any:
    """The inverse of `by_group`."""
    shape = shape_of(x)
    x = reshape(x, (shape[0] * shape[1], *shape[2:]))
    if groups is None:
        return x
    order = [i for group in groups for i in group]
    return take_rows(x, [order.index(i) for i in range(len(order))])


def for_members(x: Any, groups: Groups) -> Any:
    """An array with a result for each group along its first dimension, with that of its own group for each member."""
    if is_even(groups):
        shape = shape_of(x)
        spread = (shape[0], group_size(groups, ()), *shape[1:])
        return by_member(broadcast_in_dim(x, spread, (0, *range(2, len(spread)))), groups)
    group_of = {i: number for number, group in enumerate(groups) for i in group}
    return take_rows(x, [group_of[i] for i in range(len(group_of))])


def reduced_groups(x: Any, groups: Groups, reduce: Any) -> Any:
    """For each member the reduction, by `reduce(array, axes)`, over the members of its group."""
    if is_even(groups):
        return for_members(reduce(by_group(x, groups), (1,)), groups)
    return for_members(stack([reduce(take_rows(x, group), (0,)) for group in groups], 0), groups)


# --- one's own index --------------------------------------------------------------------------


def _index_lower(ctx: Context, *, axis_name: Hashable, tracked: bool) -> Value:
    return across.index(ctx, axis_name)


def _index_batch(axis: Axis, args: Any, dims: Any, *, axis_name: Hashable, tracked: bool) -> tuple[Any, int]:
    # Without operands it comes here only where the mapped axis is the named one.
    return iota("int32", axis.size), 0


def _index_shape(*, axis_name: Hashable, tracked: bool) -> ShapedArray:
    return ShapedArray((), np.dtype(np.int32), varying=frozenset([axis_name] if tracked else []))


_NO_OPERAND = Missing("it has no operand")

axis_index_p = Primitive(
    "axis_index",
    shape=_index_shape,
    lower=_index_lower,
    jvp=_NO_OPERAND,
    transpose=_NO_OPERAND,
    batch=_index_batch,
    effects=lambda *, axis_name, tracked: uses((axis_name,)),
    varying=variance.as_given,
)


def index_along(names: Names, sizes: Sequence[int], tracked: Names = ()) -> Any:
    """The index of this member along several axes, as an int32 scalar. `tracked`: those along which types say what varies."""
    index: Any = None
    for name, size in zip(names, sizes):
        own = axis_index_p.bind(axis_name=name, tracked=name in tracked)
        index = own if index is None else add(mul(index, np.int32(size)), own)
    return full((), 0, np.int32) if index is None else index


def axis_index(axis_name: Any) -> Any:
    """The index of this example, or device, along a named axis.

    Args:
      axis_name: a name, or a tuple of them: then the index counts the last axis fastest.
    Returns:
      An int32 scalar.
    Raises:
      UnboundAxisNameError: no `vmap` or `shard_map` around binds the name.

    >>> import anima, anima.numpy as np
    >>> from anima import lax
    >>> print(anima.vmap(lambda x: x + lax.axis_index("i"), axis_name="i")(np.zeros(3)))
    [0. 1. 2.]
    """
    names = as_names("axis_index", axis_name)
    return index_along(names, sizes_of(names), tracked(names))


def axis_size(axis_name: Any) -> int:
    """The size of a named axis, as a Python integer.

    Args:
      axis_name: a name, or a tuple of them: then the product of their sizes.
    Raises:
      UnboundAxisNameError: no `vmap` or `shard_map` around binds the name.

    >>> import anima, anima.numpy as np
    >>> from anima import lax
    >>> print(anima.vmap(lambda x: x / lax.axis_size("i"), axis_name="i")(np.ones(4)))
    [0.25 0.25 0.25 0.25]
    """
    return math.prod(sizes_of(as_names("axis_size", axis_name)))
