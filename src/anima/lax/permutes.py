"""Single messages over named axes: each member gets what one other has, or nothing.

Invariant: what nobody sends to is zeros; derivatives go the opposite way.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from anima.lax import across
from anima.lax.axis_names import (
    Names,
    as_names,
    index_along,
    sizes_of,
    take_rows,
)
from anima.lax.compare import eq
from anima.lax.create import full_like
from anima.lax.declare import (
    lowered_by,
)
from anima.lax.exchange_rules import exchange, per_leaf
from anima.lax.exchanges import all_gather_p
from anima.lax.reductions import reduce_sum
from anima.lax.selection import select
from anima.lax.shape import broadcast_in_dim, expand_dims, shape_of, squeeze
from anima.lowering.module import Context, Value

# --- ppermute ---------------------------------------------------------------------------------

Pairs = tuple[tuple[int, int], ...]


def _permute_joint(x: Any, *, perm: Pairs, axis_sizes: Any, **axes: Any) -> tuple[Any, int]:
    count = math.prod(axis_sizes)
    source = {receiver: sender for sender, receiver in perm}
    moved = take_rows(x, [source.get(i, 0) for i in range(count)])
    if len(source) == count:
        return moved, 0
    received = np.asarray([i in source for i in range(count)])
    return select(broadcast_in_dim(received, shape_of(moved), (0,)), moved, full_like(moved, 0)), 0


def _permute_transpose(ct: Any, x: Any, *, perm: Pairs, **params: Any) -> list[Any]:
    return [ppermute_p.bind(ct, perm=tuple([(b, a) for a, b in perm]), **params)]


def _permute_lower(ctx: Context, x: Value, *, perm: Pairs, axis_name: Names, axis_sizes: Any) -> Value:
    return across.permute(ctx, x, axis_name, perm)


ppermute_p = exchange(
    "ppermute",
    shape=lambda shape, **_: shape,
    lower=_permute_lower,
    transpose=_permute_transpose,
    joint=_permute_joint,
)


def _check_perm(name: str, perm: Any, size: int) -> Pairs:
    try:
        pairs = tuple([(operator.index(a), operator.index(b)) for a, b in perm])
    except TypeError:
        raise TypeError(
            f"{name}: perm must be a list of pairs (source, destination) of integers, got {perm!r}"
        ) from None
    senders, receivers = [a for a, _ in pairs], [b for _, b in pairs]
    if len(set(senders)) != len(pairs) or len(set(receivers)) != len(pairs):
        raise ValueError(
            f"{name}: no two pairs of perm may have the same source or the same destination, got {perm!r}"
        )
    if any(not 0 <= i < size for i in (*senders, *receivers)):
        raise ValueError(
            f"{name}: the indices of perm must be at least 0 and less than {size}, the size of the axis, got {perm!r}"
        )
    return pairs


def ppermute(x: Any, axis_name: Any, perm: Any) -> Any:
    """The value of another member of a named axis, or zeros from nobody.

    Args:
      x: an array or a pytree of them.
      axis_name: a name, or a tuple of them.
      perm: pairs of integers (source, destination). No two may have the same source or the same destination; indices that
        are no destination get zeros.
    Raises:
      UnboundAxisNameError: no `vmap` or `shard_map` around binds the name. ValueError: pairs repeat an index, or one is out
        of range.

    >>> import anima, anima.numpy as np
    >>> from anima import lax
    >>> shift = lambda x: lax.ppermute(x, "i", [(0, 1), (1, 2)])
    >>> print(anima.vmap(shift, axis_name="i")(np.array([1.0, 2.0, 3.0])))
    [0. 1. 2.]
    """
    names = as_names("ppermute", axis_name)
    sizes = sizes_of(names)
    pairs = _check_perm("ppermute", perm, math.prod(sizes))
    return per_leaf(x, names, lambda v: ppermute_p.bind(v, axis_name=names, axis_sizes=sizes, perm=pairs))


def pshuffle(x: Any, axis_name: Any, perm: Any) -> Any:
    """The values of the members of a named axis in another order.

    Args:
      x: an array or a pytree of them.
      axis_name: a name, or a tuple of them.
      perm: a permutation of the axis' indices: the member with index `i` gets the value of the one with index `perm[i]`.
    Raises:
      UnboundAxisNameError: no `vmap` or `shard_map` around binds the name. ValueError: `perm` is no permutation.

    >>> import anima, anima.numpy as np
    >>> from anima import lax
    >>> print(anima.vmap(lambda x: lax.pshuffle(x, "i", [2, 0, 1]), axis_name="i")(np.arange(3)))
    [2 0 1]
    """
    size = math.prod(sizes_of(as_names("pshuffle", axis_name)))
    order = list(perm)
    if sorted(order) != list(range(size)):
        raise ValueError(
            f"pshuffle: perm must be a permutation of the indices below {size}, the size of the axis, got {perm!r}"
        )
    return ppermute(x, axis_name, list(zip(order, range(size))))


# --- pbroadcast -------------------------------------------------------------------------------


def _broadcast_joint(x: Any, *, source: int, **axes: Any) -> tuple[Any, None]:
    return squeeze(take_rows(x, [source]), (0,)), None


def _gathered(x: Any, names: Names, sizes: tuple[int, ...]) -> Any:
    """The values of all members along a new first dimension."""
    return all_gather_p.bind(
        expand_dims(x, (0,)),
        axis_name=names,
        axis_sizes=sizes,
        all_gather_dimension=0,
        axis_index_groups=None,
        invariant=False,
    )


def _broadcast_transpose(ct: Any, x: Any, *, source: int, axis_name: Names, axis_sizes: Any) -> list[Any]:
    # All results are the value of one member, which so gets the sum of their cotangents, and the others get none.
    parts = _gathered(ct, axis_name, axis_sizes)
    total = reduce_sum(parts, (0,))
    own = eq(index_along(axis_name, axis_sizes), np.int32(source))
    return [select(broadcast_in_dim(own, shape_of(total), ()), total, full_like(total, 0))]


def _broadcast_lower(ctx: Context, x: Value, *, source: int, axis_name: Names, axis_sizes: Any) -> Value:
    def formula(x: Any) -> Any:
        rows = _gathered(x, axis_name, axis_sizes)
        return squeeze(take_rows(rows, [source]), (0,))

    found: Value = lowered_by(formula)(ctx, x)
    return found


pbroadcast_p = exchange(
    "pbroadcast",
    shape=lambda shape, **_: shape,
    lower=_broadcast_lower,
    transpose=_broadcast_transpose,
    joint=_broadcast_joint,
)


def pbroadcast(x: Any, axis_name: Any, source: int) -> Any:
    """The value of one member of a named axis, for all of them.

    Args:
      x: an array or a pytree of them.
      axis_name: a name, or a tuple of them.
      source: the index of the member.
    Raises:
      UnboundAxisNameError: no `vmap` or `shard_map` around binds the name. ValueError: the index is out of range.

    >>> import anima, anima.numpy as np
    >>> from anima import lax
    >>> print(anima.vmap(lambda x: lax.pbroadcast(x, "i", 1), axis_name="i")(np.array([1.0, 2.0, 3.0])))
    [2. 2. 2.]
    """
    names = as_names("pbroadcast", axis_name)
    sizes = sizes_of(names)
    try:
        index = operator.index(source)
    except TypeError:
        raise TypeError(f"pbroadcast: source must be an integer, got {source!r}") from None
    if not 0 <= index < math.prod(sizes):
        raise ValueError(
            f"pbroadcast: source {source} is out of range for an axis of size {math.prod(sizes)}"
        )
    return per_leaf(x, names, lambda v: pbroadcast_p.bind(v, axis_name=names, axis_sizes=sizes, source=index))
