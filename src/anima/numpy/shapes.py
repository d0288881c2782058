"""Shapes: reshaping, reordering, adding and removing dimensions, broadcasting, flipping and rolling.

Invariant: these move elements and compute nothing.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from anima import dtypes
from anima.core.trace import Tracer
from anima.errors import ShapeConcretizationError
from anima.lax import (
    broadcast_in_dim_p,
    convert_element_type,
    expand_dims as lax_expand_dims,
    reshape_p,
    squeeze_p,
    transpose_p,
)
from anima.lax.shape import check_axes, check_axis, check_shape, refuse_out_sharding
from anima.numpy.calls import function
from anima.numpy.creation import asarray, put_on
from anima.numpy.promotion import array_like, aval, shape_of

# --- what an array is like --------------------------------------------------------------------


def shape(a: Any) -> tuple[int, ...]:
    """The sizes of the dimensions of `a`.

    >>> import anima.numpy as np
    >>> np.shape(np.zeros((2, 3)))
    (2, 3)
    """
    return aval("shape", a)[1].shape


def ndim(a: Any) -> int:
    """The number of dimensions of `a`.

    >>> import anima.numpy as np
    >>> np.ndim(np.zeros((2, 3)))
    2
    """
    return len(aval("ndim", a)[1].shape)


def size(a: Any, axis: Any = None) -> int:
    """The number of elements of `a`, altogether or along some axes.

    >>> import anima.numpy as np
    >>> np.size(np.zeros((2, 3))), np.size(np.zeros((2, 3)), axis=1)
    (6, 3)
    """
    sizes = aval("size", a)[1].shape
    if axis is None:
        return math.prod(sizes)
    axes = axis if isinstance(axis, (tuple, list)) else (axis,)
    return math.prod([sizes[i] for i in check_axes("size", axes, len(sizes), "axis", negative=True)])


def isscalar(element: Any) -> bool:
    """Whether `element` is a number, or an array without dimensions.

    >>> import anima.numpy as np
    >>> np.isscalar(1.0), np.isscalar(np.array(1.0)), np.isscalar(np.zeros(1))
    (True, True, False)
    """
    if hasattr(element, "__jax_array__"):
        element = element.__jax_array__()
    found = getattr(element, "ndim", None)
    return found == 0 if found is not None else bool(np.isscalar(element))


def iterable(y: Any) -> bool:
    """Whether `y` can be iterated over.

    >>> import anima.numpy as np
    >>> np.iterable(np.zeros(3)), np.iterable(1.0)
    (True, False)
    """
    try:
        iter(y)
    except TypeError:
        return False
    return True


def astype(x: Any, dtype: Any, /, *, copy: bool = False, device: Any = None) -> Any:
    """`x` with its elements converted to `dtype`.

    Args:
      x: an array.
      dtype: a dtype; None stands for floating-point.
      copy: whether an array of that dtype is copied rather than returned as it is.
      device: a device or sharding to place the result on.
    Raises:
      TypeError: `x` is no array, or `dtype` no dtype.

    >>> import anima.numpy as np
    >>> np.astype(np.array([1.7, -1.7]), int)
    DeviceArray([ 1, -1], dtype=int32)
    """
    x = array_like("astype", x)
    wanted = dtypes.check_user_dtype_supported(float if dtype is None else dtype, "astype")
    return put_on(_converted(x, wanted), device)


@function(static=("dtype",), name="astype")
def _converted(x: Any, dtype: Any) -> Any:
    x, known = aval("astype", x)
    if dtypes.is_complex(known.dtype) and not dtypes.is_complex(dtype) and not dtypes.is_bool(dtype):
        from_complex = x.real  # as NumPy has it, but without its warning
        return convert_element_type(from_complex, dtype)
    return convert_element_type(x, dtype)


# --- reshaping --------------------------------------------------------------------------------


def _full_shape(name: str, a: Any, given: Any) -> tuple[int, ...]:
    """The shape that is asked for, with its -1 worked out."""
    if isinstance(given, Tracer):
        raise ShapeConcretizationError(name, given)
    items = tuple(given) if np.iterable(given) else (given,)
    for item in items:
        if isinstance(item, Tracer):
            raise ShapeConcretizationError(name, item)
        if not hasattr(item, "__index__"):
            raise TypeError(f"{name}: shape must be integers, got {item!r} in {given!r}")
    sizes = [operator.index(item) for item in items]
    old = shape_of(a)
    total = math.prod(old)
    unknown = [i for i, s in enumerate(sizes) if s == -1]
    if len(unknown) > 1:
        raise TypeError(f"{name}: only one size may be -1, got shape {given}")
    if unknown:
        rest = math.prod([s for s in sizes if s != -1])
        if rest == 0 or total % rest:
            raise TypeError(
                f"{name}: cannot reshape array of shape {old} (size {total}) into shape {tuple(sizes)}"
            )
        sizes[unknown[0]] = total // rest
    if any(s < 0 for s in sizes) or math.prod(sizes) != total:
        raise TypeError(
            f"{name}: cannot reshape array of shape {old} (size {total}) into shape {tuple(sizes)} (size {math.prod(sizes)})"
        )
    return tuple(sizes)


def _reshaped(name: str, a: Any, given: Any, order: str) -> Any:
    a = array_like(name, a)
    sizes = _full_shape(name, a, given)
    if order == "F":
        reversed_ = reshape_p.bind(permuted(a, range(len(shape_of(a)))[::-1]), new_sizes=sizes[::-1])
        return permuted(reversed_, range(len(sizes))[::-1])
    if order not in ("C", "A", "K"):
        raise ValueError(f"{name}: order must be 'C' or 'F', got {order!r}")
    return asarray(a) if shape_of(a) == sizes else reshape_p.bind(a, new_sizes=sizes)


@function(static=("shape", "order", "copy", "out_sharding"))
def reshape(
    a: Any, shape: Any, order: str = "C", *, copy: bool | None = None, out_sharding: Any = None
) -> Any:
    """`a` with the same elements in another shape.

    Args:
      a: an array.
      shape: an integer or a sequence of them, of which one may be -1: it is what is left.
      order: "C" to take and place elements with the last index changing fastest, "F" with the first.
      copy: whether a copy is made; False is not supported where one is needed.
      out_sharding: the result's sharding; needs a mesh with explicit axes.
    Raises:
      TypeError: the shape does not fit, or is no shape. ShapeConcretizationError: it is traced.

    >>> import anima.numpy as np
    >>> print(np.reshape(np.arange(6), (2, -1)))
    [[0 1 2]
     [3 4 5]]
    """
    refuse_out_sharding("reshape", out_sharding)
    return _reshaped("reshape", a, shape, order)


@function(static=("order", "out_sharding"))
def ravel(a: Any, order: str = "C", *, out_sharding: Any = None) -> Any:
    """The elements of `a` in one dimension.

    >>> import anima.numpy as np
    >>> print(np.ravel(np.array([[1, 2], [3, 4]])))
    [1 2 3 4]
    """
    refuse_out_sharding("ravel", out_sharding)
    return _reshaped("ravel", a, (math.prod(shape_of(array_like("ravel", a))),), order)


def permuted(a: Any, axes: Sequence[int]) -> Any:
    """`a` with its dimensions in another order."""
    axes = tuple(axes)
    return asarray(a) if axes == tuple(range(len(axes))) else transpose_p.bind(a, permutation=axes)


def _transposed(name: str, a: Any, axes: Any) -> Any:
    a = array_like(name, a)
    rank = len(shape_of(a))
    if axes is None:
        return permuted(a, range(rank)[::-1])
    try:
        order = check_axes(name, axes, rank, "axes", negative=True)
    except IndexError:  # an axis that is out of bounds
        raise
    except ValueError as error:
        raise TypeError(str(error)) from None  # as JAX
    if len(order) != rank:
        raise TypeError(f"{name}: axes {tuple(axes)} must name each of the {rank} dimensions once")
    return permuted(a, order)


@function(static=("axes",))
def transpose(a: Any, axes: Any = None) -> Any:
    """`a` with its dimensions in another order: by default reversed.

    Args:
      a: an array.
      axes: for each dimension of the result the one of `a` that it is.
    Raises:
      TypeError: the axes are not all dimensions of `a`. AxisError: one is out of bounds.

    >>> import anima.numpy as np
    >>> np.transpose(np.zeros((2, 3, 4)), (1, 0, 2)).shape
    (3, 2, 4)
    """
    return _transposed("transpose", a, axes)


@function(static=("axes",))
def permute_dims(a: Any, /, axes: Any) -> Any:
    """`a` with its dimensions in another order, as `transpose`.

    >>> import anima.numpy as np
    >>> np.permute_dims(np.zeros((2, 3)), (1, 0)).shape
    (3, 2)
    """
    return _transposed("permute_dims", a, axes)


@function
def matrix_transpose(x: Any, /) -> Any:
    """`x` with its last two dimensions exchanged.

    Raises:
      ValueError: it has fewer.

    >>> import anima.numpy as np
    >>> np.matrix_transpose(np.zeros((2, 3, 4))).shape
    (2, 4, 3)
    """
    x = array_like("matrix_transpose", x)
    rank = len(shape_of(x))
    if rank < 2:
        raise ValueError(f"matrix_transpose needs at least 2 dimensions, got shape {shape_of(x)}")
    return permuted(x, (*range(rank - 2), rank - 1, rank - 2))


@function(static=("axis1", "axis2"))
def swapaxes(a: Any, axis1: int, axis2: int) -> Any:
    """`a` with two dimensions exchanged.

    >>> import anima.numpy as np
    >>> np.swapaxes(np.zeros((2, 3, 4)), 0, 2).shape
    (4, 3, 2)
    """
    a = array_like("swapaxes", a)
    rank = len(shape_of(a))
    one, two = check_axis("swapaxes", axis1, rank, "axis1"), check_axis("swapaxes", axis2, rank, "axis2")
    order = list(range(rank))
    order[one], order[two] = two, one
    return permuted(a, order)


@function(static=("source", "destination"))
def moveaxis(a: Any, source: Any, destination: Any) -> Any:
    """`a` with some dimensions moved to other places, the rest in their order.

    Args:
      a: an array.
      source: a dimension or a sequence of them.
      destination: where each goes.
    Raises:
      ValueError: there are not as many of one as of the other, or one is out of range or repeated.

    >>> import anima.numpy as np
    >>> np.moveaxis(np.zeros((2, 3, 4)), 0, -1).shape
    (3, 4, 2)
    """
    a = array_like("moveaxis", a)
    rank = len(shape_of(a))
    origins = check_axes("moveaxis", np.atleast_1d(source).tolist(), rank, "source", negative=True)
    targets = check_axes("moveaxis", np.atleast_1d(destination).tolist(), rank, "destination", negative=True)
    if len(origins) != len(targets):
        raise ValueError(f"moveaxis: source and destination must be as many, got {source} and {destination}")
    order = [i for i in range(rank) if i not in origins]
    for target, origin in sorted(zip(targets, origins)):
        order.insert(target, origin)
    return permuted(a, order)


@function(static=("axis", "start"))
def rollaxis(a: Any, axis: int, start: int = 0) -> Any:
    """`a` with one dimension moved to before dimension `start`.

    >>> import anima.numpy as np
    >>> np.rollaxis(np.zeros((2, 3, 4)), 2).shape
    (4, 2, 3)
    """
    a = array_like("rollaxis", a)
    rank = len(shape_of(a))
    origin = check_axis("rollaxis", axis, rank)
    given = operator.index(start)
    # A negative start counts from the end of `a`: -1 is before the last dimension, and `rank` behind it.
    target = (
        check_axis("rollaxis", given, rank, "start")
        if given < 0
        else check_axis("rollaxis", given, rank + 1, "start")
    )
    order = [i for i in range(rank) if i != origin]
    order.insert(target - (origin < target), origin)
    return permuted(a, order)


@function(static=("axis",))
def expand_dims(a: Any, axis: Any) -> Any:
    """`a` with new dimensions of size 1.

    Args:
      a: an array.
      axis: where they stand in the result.
    Raises:
      ValueError: an axis is out of range or repeated.

    >>> import anima.numpy as np
    >>> np.expand_dims(np.zeros((2, 3)), (0, -1)).shape
    (1, 2, 3, 1)
    """
    a = array_like("expand_dims", a)
    axes = axis if isinstance(axis, (tuple, list)) else (axis,)
    rank = len(shape_of(a)) + len(axes)
    return lax_expand_dims(a, check_axes("expand_dims", axes, rank, "axis", negative=True))


@function(static=("axis",))
def squeeze(a: Any, axis: Any = None) -> Any:
    """`a` without its dimensions of size 1, or without some of them.

    Raises:
      ValueError: a dimension to remove is of another size, or out of range.

    >>> import anima.numpy as np
    >>> np.squeeze(np.zeros((1, 2, 1))).shape
    (2,)
    """
    a = array_like("squeeze", a)
    sizes = shape_of(a)
    if axis is None:
        gone = tuple([i for i, d in enumerate(sizes) if d == 1])
    else:
        axes = axis if isinstance(axis, (tuple, list)) else (axis,)
        gone = check_axes("squeeze", axes, len(sizes), "axis", negative=True)
    if any(sizes[i] != 1 for i in gone):
        raise ValueError(
            f"squeeze: only dimensions of size 1 can be removed, got axis {axis} of shape {sizes}"
        )
    return squeeze_p.bind(a, dimensions=tuple(sorted(gone))) if gone else asarray(a)


def _at_least(name: str, arys: tuple[Any, ...], pad: Any) -> Any:
    results = [pad(array_like(name, a, i)) for i, a in enumerate(arys)]
    return results[0] if len(results) == 1 else results


@function
def atleast_1d(*arys: Any) -> Any:
    """Each array with at least one dimension.

    >>> import anima.numpy as np
    >>> np.atleast_1d(1.0).shape
    (1,)
    """
    return _at_least("atleast_1d", arys, lambda a: _front(a, 1))


@function
def atleast_2d(*arys: Any) -> Any:
    """Each array with at least two dimensions; new ones are in front.

    >>> import anima.numpy as np
    >>> np.atleast_2d(np.zeros(3)).shape
    (1, 3)
    """
    return _at_least("atleast_2d", arys, lambda a: _front(a, 2))


@function
def atleast_3d(*arys: Any) -> Any:
    """Each array with at least three dimensions; a vector becomes the middle one, a matrix the first two.

    >>> import anima.numpy as np
    >>> np.atleast_3d(np.zeros((2, 3))).shape
    (2, 3, 1)
    """

    def pad(a: Any) -> Any:
        rank = len(shape_of(a))
        return (
            lax_expand_dims(a, (2,))
            if rank == 2
            else lax_expand_dims(a, (0, 2))
            if rank == 1
            else _front(a, 3)
        )

    return _at_least("atleast_3d", arys, pad)


def _front(a: Any, rank: int) -> Any:
    missing = rank - len(shape_of(a))
    return lax_expand_dims(a, range(missing)) if missing > 0 else asarray(a)


# --- broadcasting -----------------------------------------------------------------------------


def broadcast_shapes(*shapes: Any) -> tuple[int, ...]:
    """The shape that arrays of these shapes have together.

    Raises:
      ValueError: they do not broadcast.

    >>> import anima.numpy as np
    >>> np.broadcast_shapes((2, 1), (3,))
    (2, 3)
    """
    sizes = [check_shape("broadcast_shapes", s) for s in shapes]
    try:
        return tuple(np.broadcast_shapes(*sizes))
    except ValueError:
        raise ValueError(
            f"broadcast_shapes got incompatible shapes for broadcasting: {', '.join(map(str, sizes))}"
        ) from None


def _broadcast_to(name: str, a: Any, shape: Any) -> Any:
    a = array_like(name, a)
    target, old = check_shape(name, shape), shape_of(a)
    offset = len(target) - len(old)
    if offset < 0 or any(d not in (1, t) for d, t in zip(old, target[offset:])):
        raise ValueError(f"{name}: shape {old} does not broadcast to {target}")
    if old == target:
        return asarray(a)
    return broadcast_in_dim_p.bind(a, shape=target, broadcast_dimensions=tuple(range(offset, len(target))))


@function(static=("shape", "out_sharding"))
def broadcast_to(array: Any, shape: Any, *, out_sharding: Any = None) -> Any:
    """`array` repeated to a shape.

    Raises:
      ValueError: it does not broadcast to the shape. ShapeConcretizationError: the shape is traced.

    >>> import anima.numpy as np
    >>> print(np.broadcast_to(np.array([1, 2]), (2, 2)))
    [[1 2]
     [1 2]]
    """
    refuse_out_sharding("broadcast_to", out_sharding)
    return _broadcast_to("broadcast_to", array, shape)


@function
def broadcast_arrays(*args: Any) -> list[Any]:
    """The arrays, all with the shape that they have together.

    Raises:
      ValueError: they do not broadcast.

    >>> import anima.numpy as np
    >>> [a.shape for a in np.broadcast_arrays(np.zeros((2, 1)), np.zeros(3))]
    [(2, 3), (2, 3)]
    """
    target = broadcast_shapes(*[shape_of(array_like("broadcast_arrays", a, i)) for i, a in enumerate(args)])
    return [_broadcast_to("broadcast_arrays", a, target) for a in args]
