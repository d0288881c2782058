"""What exchanges over named axes have in common: every member sends parts of an array, and receives parts of the others'.

Invariant: the primitives keep the number of dimensions, as StableHLO's operations do. Under `vmap` the members are rows of one
array, so an exchange only moves data.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from anima import tree
from anima.core import hooks
from anima.core.aval import Axes, ShapedArray
from anima.core.axes import uses
from anima.core.effects import Effects
from anima.core.primitive import Primitive, primitives
from anima.interpreters.batch import Axis, to_axis
from anima.lax.axis_names import (
    Names,
    index_along,
    varying,
)
from anima.lax.declare import (
    ANY,
    BOOL,
    SUBBYTE,
    check_dtype,
    declare,
    jvp_linear,
    operand,
    widening,
)
from anima.lax.shape import expand_dims, reshape, shape_of
from anima.lax.slicing import dynamic_index_in_dim

# The rule of an exchange: of an array with all members along its first dimension, and parameters, to the result and
# whether it has the members there (0) or is the same for all (None).
Joint = Callable[..., tuple[Any, int | None]]


def exchange(
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
    rows = primitives["all_gather"].bind(
        expand_dims(x, (0,)),
        axis_name=others,
        axis_sizes=other_sizes,
        all_gather_dimension=0,
        axis_index_groups=None,
        invariant=False,
    )
    rows = hooks.move_axis(reshape(rows, (*other_sizes, axis.size, *shape)), len(others), place)
    out, d = rule(reshape(rows, (math.prod(sizes), *shape)))
    if d is None:
        return out, None
    rest = shape_of(out)[1:]
    out = hooks.move_axis(reshape(out, (*sizes, *rest)), place, 0)
    out = reshape(out, (axis.size, math.prod(other_sizes), *rest))
    own = index_along(others, other_sizes)
    return dynamic_index_in_dim(out, own, 1, keepdims=False, allow_negative_indices=False), 0


def per_leaf(x: Any, names: Names, fun: Callable[[Any], Any]) -> Any:
    """`fun` of each leaf of a pytree, as an operand that may vary along the axes."""
    leaves, structure = tree.flatten(x)
    return tree.unflatten(structure, [fun(varying(operand(leaf), names)) for leaf in leaves])


def resized(shape: tuple[int, ...], dim: int, size: int) -> tuple[int, ...]:
    """A shape with another size of one dimension."""
    return (*shape[:dim], size, *shape[dim + 1 :])


def cut(x: Any, dim: int, parts: int) -> Any:
    """The dimension cut into equal parts, over which a new dimension before it runs."""
    shape = shape_of(x)
    return reshape(x, (*shape[:dim], parts, shape[dim] // parts, *shape[dim + 1 :]))


def joined(x: Any, dim: int) -> Any:
    """The dimension made one with the next."""
    shape = shape_of(x)
    return reshape(x, (*shape[:dim], shape[dim] * shape[dim + 1], *shape[dim + 2 :]))
