"""Reductions over named axes: sums, means and extrema over all members, which each of them gets.

Invariant: a primitive reduces over named axes only; dimensions that are given beside them are reduced before. Under `vmap`
the members are rows of one array, and the result is one for all, unmapped. The cotangents of a sum are summed likewise:
under `vmap(grad(f))` each member's derivative is that of the sum of all members' results, as in JAX. Where types say what
varies, along the axes of `shard_map`, an `invariant` sum is one value for all: its transpose hands each member the cotangent.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from anima import dtypes, tree
from anima.core import hooks, variance
from anima.core.aval import Axes, ShapedArray
from anima.core.axes import uses
from anima.core.effects import Effects
from anima.core.primitive import Missing, Primitive, Zero
from anima.core.trace import Tracer, aval_of
from anima.interpreters.batch import Axis, to_axis
from anima.interpreters.key_reuse import same
from anima.lax import across
from anima.lax.arithmetic import div, mul
from anima.lax.axis_names import (
    Groups,
    Names,
    as_names,
    check_groups,
    group_size,
    index_along,
    is_even,
    reduced_groups,
    sizes_of,
    tracked,
    varying,
)
from anima.lax.compare import eq
from anima.lax.convert import convert_element_type
from anima.lax.declare import (
    ANY,
    BOOL,
    NUMERIC,
    SUBBYTE,
    batch_elementwise,
    check_dtype,
    declare,
    jvp_linear,
    lowered_by,
    operand,
    widening,
)
from anima.lax.exchanges import all_gather, all_gather_p
from anima.lax.keeping import computed_once
from anima.lax.operands import constant
from anima.lax.reductions import reduce_max, reduce_min, reduce_sum
from anima.lax.shape import check_axes, dtype_of, expand_dims, shape_of
from anima.lax.slicing import dynamic_index_in_dim
from anima.lowering.module import Context, Value

Reduce = Callable[[Any, tuple[int, ...]], Any]


def _collective(
    name: str,
    reduce: Reduce,
    accepts: tuple[str, ...],
    *,
    jvp: Any,
    transpose: Any,
    repeated: Callable[[Any, int], Any],
) -> Primitive:
    """A reduction over the named axes of the parameter `axes`; with `invariant`, its type says that it is one for all.

    Args:
      reduce: the same over dimensions.
      repeated: the reduction of so many equal values.
    """

    def shape(x: ShapedArray, *, axes: Names, invariant: bool, **groups: Any) -> ShapedArray:
        check_dtype(name, x, accepts)
        return x.update(varying=x.varying - frozenset(axes)) if invariant else x

    def axes_of_operand(x: ShapedArray, *, axes: Names, invariant: bool, **groups: Any) -> list[Axes]:
        return [x.varying | frozenset(axes) if invariant else x.varying]

    def batch(
        axis: Axis, args: Any, dims: Any, *, axes: Names, axis_index_groups: Groups | None, invariant: bool
    ) -> tuple[Any, int | None]:
        (x,), (d,) = args, dims
        if axis.name not in axes:
            how = {"axis_index_groups": axis_index_groups, "invariant": invariant}
            return primitive.bind(x, axes=axes, **how), d
        if axis_index_groups is not None:
            return reduced_groups(to_axis(x, d, 0, axis.size), axis_index_groups, reduce), 0
        out = repeated(x, axis.size) if d is None else reduce(x, (d,))
        rest = tuple([a for a in axes if a != axis.name])
        if rest:
            out = primitive.bind(out, axes=rest, axis_index_groups=None, invariant=False)
        return out, None

    def effects(*avals: Any, axes: Names, **how: Any) -> Effects:
        return uses(axes)

    def lower(
        ctx: Context, x: Value, *, axes: Names, axis_index_groups: Groups | None, invariant: bool
    ) -> Value:
        if name != "psum" and dtypes.is_complex(x.dtype):  # collectives of XLA do not order complex numbers
            return _of_all(ctx, x, reduce, axes, axis_index_groups)
        return across.all_reduce(ctx, x, name, axes, axis_index_groups)

    primitive = declare(
        name,
        shape=shape,
        lower=widening((*BOOL, *SUBBYTE), lower),
        jvp=jvp,
        transpose=transpose,
        batch=batch,
        effects=effects,
        dtypes=accepts,
        varying=axes_of_operand,
    )
    return primitive


def _of_all(ctx: Context, x: Value, reduce: Reduce, axes: Names, groups: Groups | None) -> Value:
    """The reduction by each device of what it gathers from all."""
    region = across.region_of(ctx, axes)
    sizes = [region.sizes[region.names.index(a)] for a in axes]

    def formula(x: Any) -> Any:
        rows = all_gather_p.bind(
            expand_dims(x, (0,)),
            axis_name=axes,
            axis_sizes=tuple(sizes),
            all_gather_dimension=0,
            axis_index_groups=None,
            invariant=False,
        )
        if groups is None:
            return reduce(rows, (0,))
        own = index_along(axes, sizes)
        found = reduced_groups(rows, groups, reduce)
        return dynamic_index_in_dim(found, own, 0, keepdims=False, allow_negative_indices=False)

    found: Value = lowered_by(formula)(ctx, x)
    return found


class _Axes:
    """The axes and groups of a call: `named` ones, and `positional` ones, which are dimensions."""

    __slots__ = ("groups", "name", "named", "positional", "sizes")

    def __init__(self, name: str, axis_name: Any, axis_index_groups: Any) -> None:
        given = as_names(name, axis_name)
        self.name = name
        self.named = tuple([a for a in given if not isinstance(a, int)])
        self.positional = tuple([a for a in given if isinstance(a, int)])
        self.sizes = sizes_of(self.named)
        if axis_index_groups is not None and (self.positional or not self.named):
            raise ValueError(f"{name}: axis_index_groups needs named axes alone, got {given}")
        uneven = len(self.named) == 1
        self.groups = check_groups(name, axis_index_groups, math.prod(self.sizes), uneven)

    def reduced(self, x: Any, primitive: Primitive, reduce: Reduce) -> Any:
        """The reduction of a pytree's leaf."""
        if self.positional:
            dims = check_axes(self.name, self.positional, len(shape_of(x)), "axis_name", negative=True)
            x = reduce(x, dims)
        if not self.named:
            return hooks.as_array(x)
        if self.groups is not None and len(self.named) > 1:
            return reduce(all_gather(x, self.named, axis_index_groups=self.groups), (0,))
        x, along = varying(x, self.named), tracked(self.named)
        if self.groups is not None or not along:
            return primitive.bind(x, axes=self.named, axis_index_groups=self.groups, invariant=False)
        x = primitive.bind(x, axes=along, axis_index_groups=None, invariant=True)
        rest = tuple([a for a in self.named if a not in along])
        return primitive.bind(x, axes=rest, axis_index_groups=None, invariant=False) if rest else x


# --- sum --------------------------------------------------------------------------------------


def _sum_transpose(ct: Any, x: Any, *, axes: Names, invariant: bool, **groups: Any) -> list[Any]:
    if invariant:
        return [variance.vary(ct, frozenset(axes))]
    return [psum_p.bind(ct, axes=axes, invariant=False, **groups)]


psum_p = _collective(
    "psum",
    reduce_sum,
    NUMERIC,
    jvp=jvp_linear,
    transpose=_sum_transpose,
    repeated=lambda x, size: mul(x, constant(size, x)),
)


def psum(x: Any, axis_name: Any, *, axis_index_groups: Any = None) -> Any:
    """The sum over all members of named axes, for each of them.

    Args:
      x: a numeric or boolean array, or a pytree of them; booleans are counted. A number or NumPy array, which is the same
        for all members, is multiplied by their number at once: `psum(1, name)` is the axis' size, as a Python integer.
      axis_name: a name, or a tuple of them; integers in it are dimensions to sum over, too.
      axis_index_groups: lists of indices, each in one of them: who sums with whom.
    Raises:
      UnboundAxisNameError: no `vmap` or `shard_map` around binds the name. ValueError: groups do not fit the size of the
        named axis.

    >>> import anima, anima.numpy as np
    >>> from anima import lax
    >>> print(anima.vmap(lambda x: x / lax.psum(x, "i"), axis_name="i")(np.array([1.0, 3.0])))
    [0.25 0.75]
    """
    axes = _Axes("psum", axis_name, axis_index_groups)
    leaves, structure = tree.flatten(x)
    return tree.unflatten(structure, [_sum(axes, leaf) for leaf in leaves])


def _sum(axes: _Axes, value: Any) -> Any:
    if (
        isinstance(value, (int, float, complex, np.ndarray, np.generic))
        and not axes.positional
        and is_even(axes.groups)
    ):
        return _times(value, group_size(axes.groups, axes.sizes))
    value = operand(value)
    if dtypes.is_bool(dtype_of(value)):
        value = convert_element_type(value, dtypes.canonicalize_dtype(int))
    return axes.reduced(value, psum_p, reduce_sum)


def _times(value: Any, count: int) -> Any:
    """The sum of so many times a value that is known while tracing; integers wrap around."""
    if isinstance(value, (int, float, complex)) and not isinstance(value, np.generic):
        return value * count
    array = np.asarray(value)
    if array.dtype == np.bool_:
        array = array.astype(dtypes.canonicalize_dtype(int))
    with np.errstate(over="ignore"):
        return array * np.asarray(count, array.dtype)


def pmean(x: Any, axis_name: Any, *, axis_index_groups: Any = None) -> Any:
    """The mean over all members of named axes, for each of them.

    Args:
      x: a numeric or boolean array, or a pytree of them; the means of integers are floating-point numbers.
      axis_name: a name, or a tuple of them; integers in it are dimensions to average over, too.
      axis_index_groups: lists of indices, each in one of them: who averages with whom.
    Raises:
      UnboundAxisNameError: no `vmap` or `shard_map` around binds the name. ValueError: groups do not fit the size of the
        named axis.

    >>> import anima, anima.numpy as np
    >>> from anima import lax
    >>> print(anima.vmap(lambda x: x - lax.pmean(x, "i"), axis_name="i")(np.array([1.0, 3.0])))
    [-1.  1.]
    """
    axes = _Axes("pmean", axis_name, axis_index_groups)
    leaves, structure = tree.flatten(x)
    return tree.unflatten(structure, [_mean(axes, leaf) for leaf in leaves])


def _mean(axes: _Axes, value: Any) -> Any:
    total = operand(_sum(axes, value))
    if not dtypes.is_inexact(dtype_of(total)):
        total = convert_element_type(total, dtypes.to_inexact_dtype(dtype_of(total)))
    count = math.prod([shape_of(value)[d] for d in axes.positional])
    if is_even(axes.groups):
        return div(total, constant(count * group_size(axes.groups, axes.sizes), total))
    ones = varying(np.ones((), np.int32), axes.named)
    members = psum_p.bind(ones, axes=axes.named, axis_index_groups=axes.groups, invariant=False)
    return div(total, convert_element_type(members, dtype_of(total)))


# --- extrema ----------------------------------------------------------------------------------


def _extremum(name: str, reduce: Reduce) -> Primitive:
    def jvp(primals: Any, tangents: Any, **params: Any) -> tuple[Any, Any]:
        (x,), (t,) = primals, tangents
        if type(t) is Zero:
            ans = primitive.bind(x, **params)
            return ans, Zero(aval_of(ans).tangent_aval())
        x = computed_once(x)
        ans = primitive.bind(x, **params)
        # All members that have the extremum share its tangent evenly.
        wins = convert_element_type(eq(x, ans), dtype_of(x))
        return ans, div(psum_p.bind(mul(t, wins), **params), psum_p.bind(wins, **params))

    primitive = _collective(
        name, reduce, ANY, jvp=jvp, transpose=Missing("it is not linear"), repeated=lambda x, size: x
    )
    return primitive


pmax_p = _extremum("pmax", reduce_max)


def pmax(x: Any, axis_name: Any, *, axis_index_groups: Any = None) -> Any:
    """The maximum over all members of named axes, for each of them. Members that tie share the derivative.

    Args:
      x: an array, or a pytree of them.
      axis_name: a name, or a tuple of them; integers in it are dimensions to look along, too.
      axis_index_groups: lists of indices, each in one of them: who compares with whom.
    Raises:
      UnboundAxisNameError: no `vmap` or `shard_map` around binds the name. ValueError: groups do not fit the size of the
        named axis.

    >>> import anima, anima.numpy as np
    >>> from anima import lax
    >>> print(anima.vmap(lambda x: x / lax.pmax(x, "i"), axis_name="i")(np.array([1.0, 4.0])))
    [0.25 1.  ]
    """
    return _extreme("pmax", pmax_p, reduce_max, x, axis_name, axis_index_groups)


pmin_p = _extremum("pmin", reduce_min)


def pmin(x: Any, axis_name: Any, *, axis_index_groups: Any = None) -> Any:
    """The minimum over all members of named axes, for each of them. Members that tie share the derivative.

    Args:
      x: an array, or a pytree of them.
      axis_name: a name, or a tuple of them; integers in it are dimensions to look along, too.
      axis_index_groups: lists of indices, each in one of them: who compares with whom.
    Raises:
      UnboundAxisNameError: no `vmap` or `shard_map` around binds the name. ValueError: groups do not fit the size of the
        named axis.

    >>> import anima, anima.numpy as np
    >>> from anima import lax
    >>> print(anima.vmap(lambda x: x - lax.pmin(x, "i"), axis_name="i")(np.array([1.0, 4.0])))
    [0. 3.]
    """
    return _extreme("pmin", pmin_p, reduce_min, x, axis_name, axis_index_groups)


def _extreme(
    name: str, primitive: Primitive, reduce: Reduce, x: Any, axis_name: Any, axis_index_groups: Any
) -> Any:
    axes = _Axes(name, axis_name, axis_index_groups)
    leaves, structure = tree.flatten(x)
    found = [
        axes.reduced(v if isinstance(v, Tracer) else hooks.as_array(v), primitive, reduce) for v in leaves
    ]
    return tree.unflatten(structure, found)


# --- kinds of values over manual axes ---------------------------------------------------------


def _vary_jvp(primals: Any, tangents: Any, *, axes: Names) -> tuple[Any, Any]:
    (x,), (t,) = primals, tangents
    ans = pvary_p.bind(x, axes=axes)
    if type(t) is Zero:
        return ans, Zero(aval_of(ans).tangent_aval())
    # In a program that is used for an operand which varies already nothing is to be summed.
    return ans, variance.vary(t, frozenset(axes) - aval_of(t).varying)


def _vary_transpose(ct: Any, x: Any, *, axes: Names) -> list[Any]:
    return [psum_p.bind(ct, axes=axes, axis_index_groups=None, invariant=True)]


pvary_p = declare(
    "pvary",
    shape=lambda x, *, axes: x.update(varying=x.varying | frozenset(axes)),
    lower=lambda ctx, x, *, axes: x,
    jvp=_vary_jvp,
    transpose=_vary_transpose,
    batch=batch_elementwise,
    keys=same,
    effects=lambda x, *, axes: uses(axes),
    varying=variance.as_given,
    dtypes=ANY,
)


def _vary(value: Any, axes: Axes) -> Any:
    return pvary_p.bind(value, axes=tuple(sorted(axes, key=str)))


hooks.vary = _vary


def pcast(x: Any, axis_name: Any, *, to: str) -> Any:
    """A value as one that may differ between the members of a named axis.

    Under `vmap`, and in a `shard_map` that does not check what varies, every value may, so this changes nothing. In one
    that does, it marks what is the same on all devices as varying: the transpose is a sum over the devices.

    Args:
      x: an array or a pytree of them; along an axis of `shard_map` it must not vary yet.
      axis_name: a name, or a tuple of them.
      to: "varying"; the other kinds, "reduced" and "unreduced", say how the compiler may put off a sum, and are not here.
    Raises:
      UnboundAxisNameError: no `vmap` or `shard_map` around binds the name. ValueError: `to` is of another kind, or `x`
        varies already.

    >>> import anima, anima.numpy as np
    >>> from anima import lax
    >>> print(anima.vmap(lambda x: x + lax.pcast(1.0, "i", to="varying"), axis_name="i")(np.zeros(2)))
    [1. 1.]
    """
    names = as_names("pcast", axis_name)
    sizes_of(names)
    kinds = ("varying", "reduced", "unreduced")
    if to not in kinds:
        raise ValueError(f"pcast: to must be one of {', '.join(map(repr, kinds))}, got {to!r}")
    if to != "varying":
        raise ValueError(
            f"pcast: to={to!r} should be used under shard_map with sums that the compiler puts off, which it does not here; "
            "use psum"
        )
    axes = frozenset(tracked(names))
    leaves, structure = tree.flatten(x)
    values = [hooks.as_array(operand(leaf)) for leaf in leaves]
    for value in values:
        if already := axes & aval_of(value).varying:
            raise ValueError(
                f"pcast: the value of type {aval_of(value)} varies along {variance.names(already)} already"
            )
    return tree.unflatten(structure, [variance.vary(v, axes) for v in values])
