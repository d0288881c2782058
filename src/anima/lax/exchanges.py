"""Exchanges over named axes: every member of an axis sends parts of an array, and receives parts of the others'.

Invariant: the primitives keep the number of dimensions, as StableHLO's operations do: what is gathered is concatenated and
what is scattered is cut along an existing dimension; the public functions add or remove one where that is asked for.
Under `vmap` the members are rows of one array, so an exchange only moves data.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from anima import tree
from anima.core import hooks, variance
from anima.core.aval import Axes, ShapedArray, array_aval
from anima.core.axes import uses
from anima.core.effects import Effects
from anima.core.primitive import Primitive
from anima.interpreters.batch import Axis, to_axis
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
    take_rows,
    tracked,
    varying,
)
from anima.lax.compare import eq
from anima.lax.create import full_like
from anima.lax.declare import (
    ANY,
    BOOL,
    NUMERIC,
    SUBBYTE,
    check_dtype,
    declare,
    jvp_linear,
    lowered_by,
    operand,
    widening,
)
from anima.lax.reductions import reduce_sum
from anima.lax.selection import select
from anima.lax.shape import broadcast_in_dim, check_axis, expand_dims, reshape, shape_of, squeeze
from anima.lax.slicing import dynamic_index_in_dim
from anima.lowering.module import Context, Value

# The rule of an exchange: of an array with all members along its first dimension, and parameters, to the result and
# whether it has the members there (0) or is the same for all (None).
Joint = Callable[..., tuple[Any, int | None]]


def _exchange(
    name: str,
    *,
    shape: Any,
    lower: Any,
    transpose: Any,
    joint: Joint,
    dims: tuple[str, ...] = (),
    accepts: Any = ANY,
) -> Primitive:
    """An exchange over the axes of the parameters `axis_name` and `axis_sizes`.

    A parameter `invariant` says that the result is typed as the same for all members.

    Args:
      shape: of the operand's shape and the parameters.
      lower: the rule between devices.
      joint: what it does, on all members at once.
      dims: the parameters that are dimensions.
    """

    def shape_rule(x: ShapedArray, **params: Any) -> ShapedArray:
        if accepts is not ANY:
            check_dtype(name, x, accepts)
        axes = frozenset(params["axis_name"] if params.get("invariant") else ())
        return x.update(shape=shape(x.shape, **params), varying=x.varying - axes)

    def axes_of_operand(x: ShapedArray, **params: Any) -> list[Axes]:
        return [x.varying.union(params["axis_name"] if params.get("invariant") else ())]

    def batch(axis: Axis, args: Any, places: Any, **params: Any) -> tuple[Any, int | None]:
        (x,), (d,) = args, places
        if axis.name not in params["axis_name"]:
            return primitive.bind(x, **params | {key: params[key] + (params[key] >= d) for key in dims}), d
        x = to_axis(x, d, 0, axis.size)
        rule = partial(joint, **params)
        if len(params["axis_name"]) == 1:
            return rule(x)
        return _with_other_axes(axis, x, params["axis_name"], params["axis_sizes"], rule)

    def effects(*avals: Any, axis_name: Names, **params: Any) -> Effects:
        return uses(axis_name)

    primitive = declare(
        name,
        shape=shape_rule,
        lower=widening((*BOOL, *SUBBYTE), lower),
        jvp=jvp_linear,
        transpose=transpose,
        batch=batch,
        effects=effects,
        dtypes=accepts,
        varying=axes_of_operand,
    )
    return primitive


def _with_other_axes(
    axis: Axis, x: Any, names: Names, sizes: tuple[int, ...], rule: Callable[[Any], tuple[Any, int | None]]
) -> tuple[Any, int | None]:
    """The result for the members of one of several axes: those along the others are gathered, and then each takes its own."""
    place = names.index(axis.name)
    others, other_sizes = names[:place] + names[place + 1 :], sizes[:place] + sizes[place + 1 :]
    shape = shape_of(x)[1:]
    rows = _gather(expand_dims(x, (0,)), others, other_sizes, 0)
    rows = hooks.move_axis(reshape(rows, (*other_sizes, axis.size, *shape)), len(others), place)
    out, d = rule(reshape(rows, (math.prod(sizes), *shape)))
    if d is None:
        return out, None
    rest = shape_of(out)[1:]
    out = hooks.move_axis(reshape(out, (*sizes, *rest)), place, 0)
    out = reshape(out, (axis.size, math.prod(other_sizes), *rest))
    own = index_along(others, other_sizes)
    return dynamic_index_in_dim(out, own, 1, keepdims=False, allow_negative_indices=False), 0


def _per_leaf(x: Any, names: Names, fun: Callable[[Any], Any]) -> Any:
    """`fun` of each leaf of a pytree, as an operand that may vary along the axes."""
    leaves, structure = tree.flatten(x)
    return tree.unflatten(structure, [fun(varying(operand(leaf), names)) for leaf in leaves])


def _resized(shape: tuple[int, ...], dim: int, size: int) -> tuple[int, ...]:
    return (*shape[:dim], size, *shape[dim + 1 :])


def _cut(x: Any, dim: int, parts: int) -> Any:
    """The dimension cut into equal parts, over which a new dimension before it runs."""
    shape = shape_of(x)
    return reshape(x, (*shape[:dim], parts, shape[dim] // parts, *shape[dim + 1 :]))


def _joined(x: Any, dim: int) -> Any:
    """The dimension made one with the next."""
    shape = shape_of(x)
    return reshape(x, (*shape[:dim], shape[dim] * shape[dim + 1], *shape[dim + 2 :]))


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
    rows = _joined(rows, all_gather_dimension + 1)
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
    parts = _cut(ct, all_gather_dimension, math.prod(axis_sizes))
    own = index_along(axis_name, axis_sizes, axis_name)
    return [
        dynamic_index_in_dim(parts, own, all_gather_dimension, keepdims=False, allow_negative_indices=False)
    ]


all_gather_p = _exchange(
    "all_gather",
    shape=lambda shape, *, all_gather_dimension, axis_index_groups, axis_sizes, **_: _resized(
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

    return _per_leaf(x, names, leaf)


# --- psum_scatter -----------------------------------------------------------------------------


def _scatter_joint(
    x: Any, *, scatter_dimension: int, axis_index_groups: Groups | None, axis_sizes: Any, **axes: Any
) -> tuple[Any, int | None]:
    sums = reduce_sum(by_group(x, axis_index_groups), (1,))
    parts = _cut(sums, scatter_dimension + 1, group_size(axis_index_groups, axis_sizes))
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


reduce_scatter_p = _exchange(
    "reduce_scatter",
    shape=lambda shape, *, scatter_dimension, axis_index_groups, axis_sizes, **_: _resized(
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

    return _per_leaf(x, names, leaf)


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
    parts = _cut(by_group(x, axis_index_groups), split_axis + 2, group_size(axis_index_groups, axis_sizes))
    # Groups, receivers, senders, those of a part.
    parts = hooks.move_axis(parts, split_axis + 2, 1)
    parts = _joined(hooks.move_axis(parts, 2, concat_axis + 2), concat_axis + 2)
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
    shape = _resized(shape, split_axis, shape[split_axis] // parts)
    return _resized(shape, concat_axis, shape[concat_axis] * parts)


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


all_to_all_p = _exchange(
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

    return _per_leaf(x, names, leaf)


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


ppermute_p = _exchange(
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
    return _per_leaf(x, names, lambda v: ppermute_p.bind(v, axis_name=names, axis_sizes=sizes, perm=pairs))


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


def _broadcast_transpose(ct: Any, x: Any, *, source: int, axis_name: Names, axis_sizes: Any) -> list[Any]:
    # All results are the value of one member, which so gets the sum of their cotangents, and the others get none.
    parts = _gather(expand_dims(ct, (0,)), axis_name, axis_sizes, 0)
    total = reduce_sum(parts, (0,))
    own = eq(index_along(axis_name, axis_sizes), np.int32(source))
    return [select(broadcast_in_dim(own, shape_of(total), ()), total, full_like(total, 0))]


def _broadcast_lower(ctx: Context, x: Value, *, source: int, axis_name: Names, axis_sizes: Any) -> Value:
    def formula(x: Any) -> Any:
        rows = _gather(expand_dims(x, (0,)), axis_name, axis_sizes, 0)
        return squeeze(take_rows(rows, [source]), (0,))

    found: Value = lowered_by(formula)(ctx, x)
    return found


pbroadcast_p = _exchange(
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
    return _per_leaf(x, names, lambda v: pbroadcast_p.bind(v, axis_name=names, axis_sizes=sizes, source=index))
