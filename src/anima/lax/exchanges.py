"""Exchanges over named axes: every member of an axis sends parts of an array, and receives parts of the others'.

Invariant: the primitives keep the number of dimensions, as StableHLO's operations do: what is gathered is concatenated and
what is scattered is cut along an existing dimension; the public functions add or remove one where that is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from anima.core import hooks, variance
from anima.core.aval import array_aval
from anima.lax import across
from anima.lax.axis_names import (
    Groups,
    Names,
    as_names,
    by_group,
    by_member,
    check_groups,
    for_members,
    group_size,
    index_along,
    sizes_of,
    tracked,
)
from anima.lax.declare import (
    NUMERIC,
)
from anima.lax.exchange_rules import cut, exchange, joined, per_leaf, resized
from anima.lax.reductions import reduce_sum
from anima.lax.shape import check_axis, expand_dims, shape_of, squeeze
from anima.lax.slicing import dynamic_index_in_dim
from anima.lowering.module import Context, Value


def _check_divides(name: str, shape: tuple[int, ...], dim: int, parts: int, what: str) -> None:
    if parts == 0 or shape[dim] % parts:
        raise ValueError(
            f"{name}: the size of {what} {dim} of an operand of shape {shape} must be divisible by {parts}, the number of "
            "members of the axis or group"
        )


def _check_equals(name: str, shape: tuple[int, ...], dim: int, parts: int, what: str) -> None:
    if shape[dim] != parts:
        raise ValueError(
            f"{name}: the size of {what} {dim} of an operand of shape {shape} must be {parts}, the number of members of the "
            "axis or group; to exchange larger parts use tiled=True"
        )


# --- all_gather -------------------------------------------------------------------------------


def _gather_joint(
    x: Any, *, all_gather_dimension: int, axis_index_groups: Groups | None, **axes: Any
) -> tuple[Any, int | None]:
    rows = hooks.move_axis(by_group(x, axis_index_groups), 1, all_gather_dimension + 1)
    rows = joined(rows, all_gather_dimension + 1)
    if axis_index_groups is None:
        return squeeze(rows, (0,)), None
    return for_members(rows, axis_index_groups), 0


def _gather_lower(
    ctx: Context,
    x: Value,
    *,
    all_gather_dimension: int,
    axis_index_groups: Groups | None,
    axis_name: Names,
    **how: Any,
) -> Value:
    return across.all_gather(
        ctx, x, axis_name, all_gather_dimension, axis_index_groups, array_aval(ctx.out_avals[0])
    )


def _gather_transpose(
    ct: Any,
    x: Any,
    *,
    all_gather_dimension: int,
    axis_index_groups: Any,
    axis_name: Names,
    axis_sizes: Any,
    invariant: bool,
) -> list[Any]:
    if not invariant:
        return [_scatter(ct, axis_name, axis_sizes, all_gather_dimension, axis_index_groups)]
    # All members have one result with one cotangent, of which each has its own part.
    ct = variance.vary(ct, frozenset(axis_name))
    parts = cut(ct, all_gather_dimension, math.prod(axis_sizes))
    own = index_along(axis_name, axis_sizes, axis_name)
    return [
        dynamic_index_in_dim(parts, own, all_gather_dimension, keepdims=False, allow_negative_indices=False)
    ]


all_gather_p = exchange(
    "all_gather",
    shape=lambda shape, *, all_gather_dimension, axis_index_groups, axis_sizes, **_: resized(
        shape, all_gather_dimension, shape[all_gather_dimension] * group_size(axis_index_groups, axis_sizes)
    ),
    lower=_gather_lower,
    transpose=_gather_transpose,
    joint=_gather_joint,
    dims=("all_gather_dimension",),
)


def _gather(
    x: Any,
    names: Names,
    sizes: Sequence[int],
    dim: int,
    groups: Groups | None = None,
    invariant: bool = False,
) -> Any:
    return all_gather_p.bind(
        x,
        axis_name=names,
        axis_sizes=tuple(sizes),
        all_gather_dimension=dim,
        axis_index_groups=groups,
        invariant=invariant,
    )


_KINDS = ("varying", "reduced", "invarying")


def all_gather(
    x: Any,
    axis_name: Any,
    *,
    axis_index_groups: Any = None,
    axis: int = 0,
    tiled: bool = False,
    to: str = "varying",
) -> Any:
    """The values of all members of a named axis, for each of them.

    Args:
      x: an array or a pytree of them.
      axis_name: a name, or a tuple of them.
      axis_index_groups: lists of indices, each in one of them: who gathers from whom. All of one size.
      axis: the dimension of the result along which the values lie; negative ones count from the end.
      tiled: whether they are concatenated along that dimension of `x`, rather than stacked along a new one.
      to: "varying", or, along the axes of a `shard_map` that checks what varies, "invarying": then the result's type says
        that it is one for all, and its cotangent is, too.
    Raises:
      UnboundAxisNameError: no `vmap` or `shard_map` around binds the name. ValueError: the axis is out of range, groups do
        not fit the size of the named axis, or `to` is of a kind that it does not have.

    >>> import anima, anima.numpy as np
    >>> from anima import lax
    >>> weighed = lambda x: x * lax.all_gather(x, "i").sum()
    >>> print(anima.vmap(weighed, axis_name="i")(np.arange(3.0)))
    [0. 3. 6.]
    """
    names = as_names("all_gather", axis_name)
    sizes = sizes_of(names)
    if to not in _KINDS:
        raise ValueError(f"all_gather: to must be one of {', '.join(map(repr, _KINDS))}, got {to!r}")
    if to == "reduced":
        raise ValueError(
            "all_gather: to='reduced' should be used under shard_map with sums that the compiler puts off, which it does not "
            "here; use to='invarying'"
        )
    invariant = to == "invarying"
    if invariant and (tracked(names) != names or axis_index_groups is not None):
        raise ValueError(
            "all_gather: to='invarying' should be used under shard_map with check_vma=True, without axis_index_groups"
        )
    groups = check_groups("all_gather", axis_index_groups, math.prod(sizes))

    def leaf(value: Any) -> Any:
        dim = check_axis("all_gather", axis, len(shape_of(value)) + (not tiled))
        value = value if tiled else expand_dims(value, (dim,))
        return _gather(value, names, sizes, dim, groups, invariant)

    return per_leaf(x, names, leaf)


# --- psum_scatter -----------------------------------------------------------------------------


def _scatter_joint(
    x: Any, *, scatter_dimension: int, axis_index_groups: Groups | None, axis_sizes: Any, **axes: Any
) -> tuple[Any, int | None]:
    sums = reduce_sum(by_group(x, axis_index_groups), (1,))
    parts = cut(sums, scatter_dimension + 1, group_size(axis_index_groups, axis_sizes))
    return by_member(hooks.move_axis(parts, scatter_dimension + 1, 1), axis_index_groups), 0


def _scatter_lower(
    ctx: Context,
    x: Value,
    *,
    scatter_dimension: int,
    axis_index_groups: Groups | None,
    axis_name: Names,
    axis_sizes: Any,
) -> Value:
    out = array_aval(ctx.out_avals[0])
    return across.reduce_scatter(ctx, x, axis_name, scatter_dimension, axis_index_groups, out)


def _scatter_transpose(
    ct: Any, x: Any, *, scatter_dimension: int, axis_index_groups: Any, axis_name: Names, axis_sizes: Any
) -> list[Any]:
    return [_gather(ct, axis_name, axis_sizes, scatter_dimension, axis_index_groups)]


reduce_scatter_p = exchange(
    "reduce_scatter",
    shape=lambda shape, *, scatter_dimension, axis_index_groups, axis_sizes, **_: resized(
        shape, scatter_dimension, shape[scatter_dimension] // group_size(axis_index_groups, axis_sizes)
    ),
    lower=_scatter_lower,
    transpose=_scatter_transpose,
    joint=_scatter_joint,
    dims=("scatter_dimension",),
    accepts=NUMERIC,
)


def _scatter(x: Any, names: Names, sizes: Sequence[int], dim: int, groups: Groups | None) -> Any:
    return reduce_scatter_p.bind(
        x, axis_name=names, axis_sizes=tuple(sizes), scatter_dimension=dim, axis_index_groups=groups
    )


def psum_scatter(
    x: Any, axis_name: Any, *, scatter_dimension: int = 0, axis_index_groups: Any = None, tiled: bool = False
) -> Any:
    """The sum over the members of a named axis, of which each gets one part.

    Args:
      x: a numeric array or a pytree of them.
      axis_name: a name, or a tuple of them.
      scatter_dimension: the dimension that is cut into a part for each member; negative ones count from the end.
      axis_index_groups: lists of indices, each in one of them: who sums with whom. All of one size.
      tiled: whether the dimension stays, with the size of a part; otherwise parts have size 1 and it goes.
    Raises:
      UnboundAxisNameError: no `vmap` or `shard_map` around binds the name. ValueError: the dimension does not fit the number
        of members, or groups do not fit the size of the named axis.

    >>> import anima, anima.numpy as np
    >>> from anima import lax
    >>> print(anima.vmap(lambda x: lax.psum_scatter(x, "i"), axis_name="i")(np.arange(4.0).reshape(2, 2)))
    [2. 4.]
    """
    names = as_names("psum_scatter", axis_name)
    sizes = sizes_of(names)
    groups = check_groups("psum_scatter", axis_index_groups, math.prod(sizes))
    check = _check_divides if tiled else _check_equals

    def leaf(value: Any) -> Any:
        shape = shape_of(value)
        dim = check_axis("psum_scatter", scatter_dimension, len(shape), "scatter_dimension")
        check("psum_scatter", shape, dim, group_size(groups, sizes), "dimension")
        part = _scatter(value, names, sizes, dim, groups)
        return part if tiled else squeeze(part, (dim,))

    return per_leaf(x, names, leaf)


# --- all_to_all -------------------------------------------------------------------------------


def _to_all_joint(
    x: Any,
    *,
    split_axis: int,
    concat_axis: int,
    axis_index_groups: Groups | None,
    axis_sizes: Any,
    **axes: Any,
) -> tuple[Any, int | None]:
    # Dimensions: groups, senders, those of the operand.
    parts = cut(by_group(x, axis_index_groups), split_axis + 2, group_size(axis_index_groups, axis_sizes))
    # Groups, receivers, senders, those of a part.
    parts = hooks.move_axis(parts, split_axis + 2, 1)
    parts = joined(hooks.move_axis(parts, 2, concat_axis + 2), concat_axis + 2)
    return by_member(parts, axis_index_groups), 0


def _to_all_shape(
    shape: tuple[int, ...],
    *,
    split_axis: int,
    concat_axis: int,
    axis_index_groups: Any,
    axis_sizes: Any,
    **_: Any,
) -> tuple[int, ...]:
    parts = group_size(axis_index_groups, axis_sizes)
    shape = resized(shape, split_axis, shape[split_axis] // parts)
    return resized(shape, concat_axis, shape[concat_axis] * parts)


def _to_all_lower(
    ctx: Context,
    x: Value,
    *,
    split_axis: int,
    concat_axis: int,
    axis_index_groups: Groups | None,
    axis_name: Names,
    axis_sizes: Any,
) -> Value:
    out = array_aval(ctx.out_avals[0])
    return across.all_to_all(ctx, x, axis_name, split_axis, concat_axis, axis_index_groups, out)


def _to_all_transpose(ct: Any, x: Any, *, split_axis: int, concat_axis: int, **params: Any) -> list[Any]:
    return [all_to_all_p.bind(ct, split_axis=concat_axis, concat_axis=split_axis, **params)]


all_to_all_p = exchange(
    "all_to_all",
    shape=_to_all_shape,
    lower=_to_all_lower,
    transpose=_to_all_transpose,
    joint=_to_all_joint,
    dims=("split_axis", "concat_axis"),
)


def all_to_all(
    x: Any,
    axis_name: Any,
    split_axis: int,
    concat_axis: int,
    *,
    axis_index_groups: Any = None,
    tiled: bool = False,
) -> Any:
    """Each member of a named axis cuts its array into a part for each, and puts together what it gets from all.

    Untiled, the named axis and a dimension change places: the mapped axis becomes dimension `concat_axis`, and what was
    dimension `split_axis` is mapped.

    Args:
      x: an array or a pytree of them.
      axis_name: a name, or a tuple of them.
      split_axis: the dimension that is cut; it goes unless `tiled`. Negative ones count from the end.
      concat_axis: the dimension of the result along which the parts lie; a new one unless `tiled`.
      axis_index_groups: lists of indices, each in one of them: who speaks with whom. All of one size.
      tiled: whether no dimension is added or removed: parts are pieces of one dimension, and concatenated along another.
    Raises:
      UnboundAxisNameError: no `vmap` or `shard_map` around binds the name. ValueError: the dimension does not fit the number
        of members, or groups do not fit the size of the named axis.

    >>> import anima, anima.numpy as np
    >>> from anima import lax
    >>> print(anima.vmap(lambda x: lax.all_to_all(x, "i", 0, 0), axis_name="i")(np.arange(4).reshape(2, 2)))
    [[0 2]
     [1 3]]
    """
    return _all_to_all("all_to_all", x, axis_name, split_axis, concat_axis, axis_index_groups, tiled)


def _all_to_all(
    name: str, x: Any, axis_name: Any, split_axis: Any, concat_axis: Any, axis_index_groups: Any, tiled: bool
) -> Any:
    names = as_names(name, axis_name)
    sizes = sizes_of(names)
    groups = check_groups(name, axis_index_groups, math.prod(sizes))
    common = {"axis_name": names, "axis_sizes": sizes, "axis_index_groups": groups}

    def leaf(value: Any) -> Any:
        shape = shape_of(value)
        split = check_axis(name, split_axis, len(shape), "split_axis")
        concat = check_axis(name, concat_axis, len(shape), "concat_axis")
        if tiled:
            _check_divides(name, shape, split, group_size(groups, sizes), "split_axis")
            return all_to_all_p.bind(value, split_axis=split, concat_axis=concat, **common)
        _check_equals(name, shape, split, group_size(groups, sizes), "split_axis")
        # A dimension for the parts, put where it is at `concat` once the other has gone.
        new = concat + (concat > split)
        gone = split + (new <= split)
        wider = all_to_all_p.bind(expand_dims(value, (new,)), split_axis=gone, concat_axis=new, **common)
        return squeeze(wider, (gone,))

    return per_leaf(x, names, leaf)


def pswapaxes(x: Any, axis_name: Any, axis: int, *, axis_index_groups: Any = None) -> Any:
    """A named axis and a dimension of the same size change places.

    Args:
      x: an array or a pytree of them.
      axis_name: a name, or a tuple of them.
      axis: the dimension; negative ones count from the end.
      axis_index_groups: lists of indices, each in one of them: who speaks with whom. All of one size.
    Raises:
      UnboundAxisNameError: no `vmap` or `shard_map` around binds the name. ValueError: the sizes differ.

    >>> import anima, anima.numpy as np
    >>> from anima import lax
    >>> print(anima.vmap(lambda x: lax.pswapaxes(x, "i", 0), axis_name="i")(np.arange(4).reshape(2, 2)))
    [[0 2]
     [1 3]]
    """
    return _all_to_all("pswapaxes", x, axis_name, axis, axis, axis_index_groups, False)
