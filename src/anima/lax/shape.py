"""Shapes: broadcasting, reshaping, transposing, squeezing, reversing.

Invariant: these move data and compute nothing; each is linear, and its transpose undoes it. They take arrays of
every dtype; an extended one brings inner dimensions, which lowering rules leave where they are: last.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.exceptions import AxisError

from anima import dtypes
from anima.core import hooks
from anima.core.aval import ShapedArray, physical_aval
from anima.core.host import moving
from anima.core.primitive import Primitive, primitives
from anima.core.trace import aval_of
from anima.errors import ArgumentError
from anima.interpreters.batch import Axis
from anima.lax import on_host
from anima.lax.arguments import check_integers, check_shape
from anima.lax.declare import SUBBYTE, operand as as_operand, structural, widening
from anima.lax.turning import turned_by_kernel
from anima.lowering.module import Context, Value
from anima.lowering.types import i64_array
from anima.sharding.requests import is_request, says_nothing


def check_axis(name: str, axis: Any, ndim: int, argument: str = "axis") -> int:
    """`axis` counted from the front.

    Raises:
      TypeError: it is no integer. AxisError: it is out of range; to be caught as ValueError or as IndexError.
    """
    if not hasattr(axis, "__index__"):
        raise TypeError(f"{name}: {argument} must be an integer, got {axis!r}")
    index = int(axis.__index__())
    if not -ndim <= index < ndim:
        raise AxisError(f"{name}: {argument} {index} is out of bounds for an array of dimension {ndim}")
    return index + ndim if index < 0 else index


def check_axes(
    name: str, axes: Any, ndim: int, argument: str = "axes", negative: bool = False
) -> tuple[int, ...]:
    """`axes` as a tuple of distinct dimensions; `negative` ones count from the end, where that is allowed.

    Raises:
      TypeError: one is no integer. ValueError: one is repeated or out of range.
    """
    if not hasattr(axes, "__iter__"):
        raise TypeError(f"{name}: {argument} must be a sequence of integers, got {axes!r}")
    given = tuple(axes)
    result = tuple(check_axis(name, axis, ndim, argument) for axis in given)
    if not negative and any(axis < 0 for axis in given):
        raise ValueError(f"{name}: {argument} must not be negative, got {given}")
    if len(set(result)) != len(result):
        raise ValueError(f"{name}: {argument} must be unique, got {given}")
    return result


def shape_of(x: Any) -> tuple[int, ...]:
    """The shape of an operand."""
    aval = aval_of(x)
    assert isinstance(aval, ShapedArray)
    return aval.shape


def dtype(x: Any) -> Any:
    """The dtype of a value as an operand, or the one that a dtype, its name or a Python type stands for.

    Raises:
      TypeError: `x` is none of these, or of a dtype that no array has. ValueError: it is None.

    >>> from anima import lax
    >>> lax.dtype(1), lax.dtype("bfloat16")
    (dtype('int32'), dtype(bfloat16))
    """
    if x is None:
        raise ValueError("dtype: x must be given, got None")
    found = dtypes.pair_of(x)[0]
    if dtypes.kind_of(found) is None and not dtypes.is_extended(found) and found != dtypes.float0:
        raise TypeError(f"dtype: arrays hold numbers and booleans only, got {x!r:.80} of dtype {found}")
    return found


def inner_shape(x: Value) -> tuple[int, ...]:
    """The dimensions that the stored form of a value has beyond its own: none but for extended dtypes."""
    aval = x.aval
    assert isinstance(aval, ShapedArray)
    return physical_aval(aval).shape[aval.ndim :]


def dtype_of(x: Any) -> Any:
    """The dtype of an operand."""
    aval = aval_of(x)
    assert isinstance(aval, ShapedArray)
    return aval.dtype


def shape_as_value(shape: Sequence[int]) -> Any:
    """A shape as an array.

    Args:
      shape: a sequence of integers.
    Returns:
      An int32 array of one dimension.
    Raises:
      TypeError: it holds something else.

    >>> from anima import lax
    >>> print(lax.shape_as_value((2, 3)))
    [2 3]
    """
    sizes = [operator.index(size) for size in shape]
    return hooks.as_array(np.array(sizes, np.int32))


def refuse_out_sharding(name: str, out_sharding: Any) -> None:
    """Raise ValueError if `out_sharding` says anything: it needs a mesh whose axes are part of types, and none is set.

    Raises:
      TypeError: it is not even a sharding.
    """
    if out_sharding is not None and not says_nothing(out_sharding):
        if not is_request(out_sharding):
            raise TypeError(
                f"{name}: out_sharding must be None, a sharding or a PartitionSpec, got {out_sharding!r}"
            )
        raise ValueError(
            f"{name}: out_sharding={out_sharding!r} needs a mesh with explicit axes, and none is set; inside jit "
            "use lax.with_sharding_constraint, outside use device_put"
        )


# --- broadcast_in_dim -------------------------------------------------------------------------


def _broadcast_shape(
    x: ShapedArray, *, shape: tuple[int, ...], broadcast_dimensions: tuple[int, ...]
) -> ShapedArray:
    mapped = broadcast_dimensions
    if len(mapped) != x.ndim:
        raise TypeError(
            f"broadcast_in_dim: broadcast_dimensions {mapped} must have one entry for each of the "
            f"operand's {x.ndim} dimensions"
        )
    if len(set(mapped)) != len(mapped) or any(not 0 <= d < len(shape) for d in mapped):
        raise TypeError(
            f"broadcast_in_dim: broadcast_dimensions {mapped} must be distinct and lie within shape {shape}"
        )
    for d, (size, target) in enumerate(zip(x.shape, mapped)):
        if size not in (1, shape[target]):
            raise TypeError(
                f"broadcast_in_dim: dimension {d} of operand must have size 1 or {shape[target]}, that of dimension "
                f"{target} of shape {shape}, got {size} in shape {x.shape}"
            )
    return ShapedArray(shape, x.dtype, x.weak_type)


def _broadcast_lower(ctx: Context, x: Value, *, shape: Any, broadcast_dimensions: Any) -> Value:
    inner = range(len(shape), len(shape) + len(inner_shape(x)))
    attrs = f"broadcast_dimensions = {i64_array((*broadcast_dimensions, *inner))}"
    return ctx.op("stablehlo.broadcast_in_dim", (x,), attrs=attrs)


def _broadcast_transpose(ct: Any, x: Any, *, shape: Any, broadcast_dimensions: Any) -> list[Any]:
    kept = [d for size, d in zip(x.shape, broadcast_dimensions) if size != 1 or shape[d] == 1]
    gone = tuple(d for d in range(len(shape)) if d not in kept)
    summed = primitives["reduce_sum"].bind(ct, axes=gone) if gone else ct
    order = _inverse(_inverse(kept))  # the rank of each kept dimension among them
    return [reshape(transpose(summed, order), x.shape)]


def _broadcast_batch(
    axis: Axis, args: Any, dims: Any, *, shape: Any, broadcast_dimensions: Any
) -> tuple[Any, int]:
    x, d = args[0], dims[0]
    inner = [n for i, n in enumerate(shape_of(x)) if i != d]
    sizes = [shape[i] for i in sorted(broadcast_dimensions)]
    rising = list(broadcast_dimensions) == sorted(broadcast_dimensions)
    if (
        rising
        and inner == sizes
        and all(n == 1 for i, n in enumerate(shape) if i not in broadcast_dimensions)
    ):
        # New dimensions of size 1. The axis stays with the dimension behind it: as the last one it stays the last, so
        # that examples lie side by side in what is stacked of them.
        place = broadcast_dimensions[d] if d < len(broadcast_dimensions) else len(shape)
        before, behind = broadcast_dimensions[:d], broadcast_dimensions[d:]
    else:
        x = hooks.move_axis(x, d, 0)
        place, before, behind = 0, (), broadcast_dimensions
    mapped = (*before, place, *(i + 1 for i in behind))
    shape = (*shape[:place], axis.size, *shape[place:])
    return broadcast_in_dim_p.bind(x, shape=shape, broadcast_dimensions=mapped), place


def _broadcast_of_number(shape: Any, other: Any, params: dict[str, Any]) -> dict[str, Any] | None:
    number = not params["broadcast_dimensions"] and params["shape"] in (shape, ())
    return {"shape": other if params["shape"] else (), "broadcast_dimensions": ()} if number else None


broadcast_in_dim_p = structural(
    "broadcast_in_dim",
    shape=_broadcast_shape,
    lower=widening(SUBBYTE, _broadcast_lower),
    transpose=_broadcast_transpose,
    batch=_broadcast_batch,
    host=moving(on_host.broadcast),
    elementwise=_broadcast_of_number,
)


def broadcast_in_dim(
    operand: Any, shape: Any, broadcast_dimensions: Sequence[int], *, out_sharding: Any = None
) -> Any:
    """`operand` stretched to `shape`, its dimension `i` becoming dimension `broadcast_dimensions[i]`.

    Args:
      operand: an array.
      shape: the result's shape.
      broadcast_dimensions: distinct; one for each dimension of the operand, whose size is 1 or the result's.
      out_sharding: the result's sharding; needs a mesh with explicit axes.
    Raises:
      TypeError: they do not fit.

    >>> from anima import lax
    >>> lax.broadcast_in_dim(1.0, (2, 3), ()).shape
    (2, 3)
    """
    x = as_operand(operand)
    refuse_out_sharding("broadcast_in_dim", out_sharding)
    target = check_shape("broadcast_in_dim", shape)
    mapped = check_integers("broadcast_in_dim", broadcast_dimensions, "broadcast_dimensions")
    if shape_of(x) == target and mapped == tuple(range(len(target))):
        return hooks.as_array(x)
    return broadcast_in_dim_p.bind(x, shape=target, broadcast_dimensions=mapped)


def broadcast(operand: Any, sizes: Any, *, out_sharding: Any = None) -> Any:
    """`operand` with new leading dimensions of the given sizes.

    Args:
      operand: an array.
      sizes: the new dimensions.
      out_sharding: the result's sharding; needs a mesh with explicit axes.

    >>> from anima import lax
    >>> lax.broadcast(1.0, (2,)).shape
    (2,)
    """
    x = as_operand(operand)
    shape = shape_of(x)
    lead = check_shape("broadcast", sizes, "sizes")
    mapped = range(len(lead), len(lead) + len(shape))
    return broadcast_in_dim(x, (*lead, *shape), mapped, out_sharding=out_sharding)


def broadcast_like(arr: Any, like_arr: Any) -> Any:
    """`arr` broadcast to the shape of another array, dimensions matched from the last.

    Args:
      arr: an array.
      like_arr: an array.
    Raises:
      ValueError: the shapes do not fit.

    >>> from anima import lax
    >>> lax.broadcast_like(lax.iota("int32", 3), lax.full((2, 3), 0)).shape
    (2, 3)
    """
    x = as_operand(arr)
    target = shape_of(as_operand(like_arr))
    lead = len(target) - len(shape_of(x))
    if lead < 0 or any(n not in (1, wanted) for n, wanted in zip(shape_of(x), target[lead:])):
        raise ValueError(
            f"broadcast_like: arr of shape {shape_of(x)} does not broadcast to {target}, the shape of like_arr: its sizes must "
            "be 1 or those of the last dimensions there"
        )
    return broadcast_in_dim(x, target, range(lead, len(target)))


def broadcast_to_rank(x: Any, rank: int) -> Any:
    """`x` with leading dimensions of size 1 up to `rank` dimensions.

    >>> from anima import lax
    >>> lax.broadcast_to_rank(lax.broadcast(1.0, (2,)), 3).shape
    (1, 1, 2)
    """
    value = as_operand(x)
    (wanted,) = check_integers("broadcast_to_rank", (rank,), "rank")
    missing = wanted - len(shape_of(value))
    return expand_dims(value, range(missing)) if missing > 0 else hooks.as_array(value)


def broadcast_shapes(*shapes: Sequence[int]) -> tuple[int, ...]:
    """The shape that arrays of these shapes have together under NumPy's broadcasting.

    Raises:
      ArgumentError: there is none. TypeError: one is no shape.

    >>> from anima import lax
    >>> lax.broadcast_shapes((2, 1), (3,))
    (2, 3)
    """
    given = [check_shape("broadcast_shapes", shape, "each shape") for shape in shapes]
    rank = max(map(len, given), default=0)
    padded = [(1,) * (rank - len(shape)) + shape for shape in given]
    result = tuple(next((d for d in column if d != 1), 1) for column in zip(*padded))
    if any(d not in (1, r) for shape in padded for d, r in zip(shape, result)):
        raise ArgumentError(f"Incompatible shapes for broadcasting: {', '.join(map(str, shapes))}")
    return result


# --- reshape ----------------------------------------------------------------------------------


def _reshape_shape(x: ShapedArray, *, new_sizes: tuple[int, ...]) -> ShapedArray:
    if math.prod(new_sizes) != x.size:
        raise TypeError(
            f"reshape: cannot reshape array of shape {x.shape} (size {x.size}) into shape {new_sizes}"
        )
    return ShapedArray(new_sizes, x.dtype, x.weak_type)


def _same_elements(ctx: Context, x: Value) -> Value:
    out = ctx.op("stablehlo.reshape", (x,))
    out.stored = x.stored
    return out


def _reshape_batch(axis: Axis, args: Any, dims: Any, *, new_sizes: tuple[int, ...]) -> tuple[Any, int]:
    x = hooks.move_axis(args[0], dims[0], 0)
    return reshape_p.bind(x, new_sizes=(axis.size, *new_sizes)), 0


reshape_p: Primitive = structural(
    "reshape",
    shape=_reshape_shape,
    lower=lambda ctx, x, *, new_sizes: _same_elements(ctx, x),
    transpose=lambda ct, x, *, new_sizes: [reshape_p.bind(ct, new_sizes=x.shape)],
    batch=_reshape_batch,
    host=moving(lambda x, *, new_sizes: x.reshape(new_sizes)),
)


def reshape(
    operand: Any, new_sizes: Any, dimensions: Sequence[int] | None = None, *, out_sharding: Any = None
) -> Any:
    """`operand` with the same elements in row-major order and another shape.

    Args:
      operand: an array.
      new_sizes: the result's shape; its product is the operand's size.
      dimensions: an order in which to read the operand's dimensions (default: as they stand).
      out_sharding: the result's sharding; needs a mesh with explicit axes.
    Raises:
      TypeError: the sizes do not fit.

    >>> from anima import lax
    >>> lax.reshape(lax.broadcast(1.0, (6,)), (2, 3)).shape
    (2, 3)
    """
    x = as_operand(operand)
    refuse_out_sharding("reshape", out_sharding)
    sizes = check_shape("reshape", new_sizes, "new_sizes")
    if dimensions is not None:
        x = transpose(x, dimensions)
    return hooks.as_array(x) if shape_of(x) == sizes else reshape_p.bind(x, new_sizes=sizes)


def collapse(operand: Any, start_dimension: int, stop_dimension: int | None = None) -> Any:
    """`operand` with the dimensions from `start_dimension` up to `stop_dimension` merged into one.

    Args:
      operand: an array.
      start_dimension: the first dimension that is merged.
      stop_dimension: the first that is not (default: none); negative ones count from the end.
    Raises:
      ValueError: the first one stands behind the last.

    >>> from anima import lax
    >>> lax.collapse(lax.broadcast(1.0, (2, 3, 4)), 1).shape
    (2, 12)
    """
    x = as_operand(operand)
    shape = shape_of(x)
    (first,) = check_integers("collapse", (start_dimension,), "start_dimension")
    last = (
        None if stop_dimension is None else check_integers("collapse", (stop_dimension,), "stop_dimension")[0]
    )
    start, stop, _ = slice(first, last).indices(len(shape))
    if stop < start:
        raise ValueError(
            f"collapse: start_dimension {start_dimension} stands behind stop_dimension {stop_dimension} in shape {shape}"
        )
    return reshape(x, (*shape[:start], math.prod(shape[start:stop]), *shape[stop:]))


# --- transpose --------------------------------------------------------------------------------


def _transpose_shape(x: ShapedArray, *, permutation: tuple[int, ...]) -> ShapedArray:
    if sorted(permutation) != list(range(x.ndim)):
        raise TypeError(f"transpose: permutation {permutation} is not a permutation of range({x.ndim})")
    return ShapedArray(tuple(x.shape[p] for p in permutation), x.dtype, x.weak_type)


def _inverse(permutation: Sequence[int]) -> tuple[int, ...]:
    return tuple(sorted(range(len(permutation)), key=permutation.__getitem__))


def _transpose_batch(axis: Axis, args: Any, dims: Any, *, permutation: tuple[int, ...]) -> tuple[Any, int]:
    d = dims[0]
    order = (d, *(p + (p >= d) for p in permutation))
    return transpose_p.bind(args[0], permutation=order), 0


def _transpose_lower(ctx: Context, x: Value, *, permutation: tuple[int, ...]) -> Value:
    if ctx.module.kernels_allowed and ctx.module.is_apart(ctx.eqn) and not inner_shape(x):
        turned = turned_by_kernel(ctx, x, permutation)
        if turned is not None:
            return turned
    inner = range(len(permutation), len(permutation) + len(inner_shape(x)))
    out = ctx.op("stablehlo.transpose", (x,), attrs=f"permutation = {i64_array((*permutation, *inner))}")
    out.transposed = x, permutation
    return out


transpose_p: Primitive = structural(
    "transpose",
    shape=_transpose_shape,
    lower=widening(SUBBYTE, _transpose_lower),  # XLA's CPU compiler fails on them
    transpose=lambda ct, x, *, permutation: [transpose_p.bind(ct, permutation=_inverse(permutation))],
    batch=_transpose_batch,
    host=moving(lambda x, *, permutation: x.transpose(permutation)),
)


def transpose(operand: Any, permutation: Sequence[int]) -> Any:
    """`operand` with its dimensions in another order: dimension `i` of the result is `permutation[i]`.

    Args:
      operand: an array.
      permutation: each of the operand's dimensions once.
    Raises:
      TypeError: `permutation` is not a permutation of the operand's dimensions.

    >>> from anima import lax
    >>> lax.transpose(lax.broadcast(1.0, (2, 3)), (1, 0)).shape
    (3, 2)
    """
    x = as_operand(operand)
    order = check_integers("transpose", permutation, "permutation")
    if order == tuple(range(len(shape_of(x)))):
        return hooks.as_array(x)
    return transpose_p.bind(x, permutation=order)


# --- squeeze and expand_dims ------------------------------------------------------------------


def _squeeze_shape(x: ShapedArray, *, dimensions: tuple[int, ...]) -> ShapedArray:
    if any(x.shape[d] != 1 for d in dimensions):
        raise ValueError(f"squeeze: dimensions {dimensions} of shape {x.shape} must all have size 1")
    return ShapedArray(_without(x.shape, dimensions), x.dtype, x.weak_type)


def _without(shape: tuple[int, ...], dimensions: Sequence[int]) -> tuple[int, ...]:
    return tuple(size for d, size in enumerate(shape) if d not in dimensions)


def _squeeze_batch(axis: Axis, args: Any, dims: Any, *, dimensions: tuple[int, ...]) -> tuple[Any, int]:
    (d,) = dims
    moved = tuple(s + (s >= d) for s in dimensions)
    return squeeze_p.bind(args[0], dimensions=moved), d - sum(s < d for s in moved)


squeeze_p = structural(
    "squeeze",
    shape=_squeeze_shape,
    lower=lambda ctx, x, *, dimensions: _same_elements(ctx, x),
    transpose=lambda ct, x, *, dimensions: [reshape_p.bind(ct, new_sizes=x.shape)],
    batch=_squeeze_batch,
    host=moving(lambda x, *, dimensions: x.squeeze(dimensions)),
)


def squeeze(array: Any, dimensions: Sequence[int]) -> Any:
    """`array` without the given dimensions, which have size 1.

    Args:
      array: an array.
      dimensions: which to remove; negative ones count from the end.
    Raises:
      ValueError: one is out of range, repeated, or not of size 1.

    >>> from anima import lax
    >>> lax.squeeze(lax.broadcast(1.0, (1, 3)), (0,)).shape
    (3,)
    """
    x = as_operand(array)
    gone = tuple(sorted(check_axes("squeeze", dimensions, len(shape_of(x)), "dimensions", negative=True)))
    return squeeze_p.bind(x, dimensions=gone) if gone else hooks.as_array(x)


def expand_dims(array: Any, dimensions: Sequence[int]) -> Any:
    """`array` with new dimensions of size 1, which are `dimensions` of the result.

    Args:
      array: an array.
      dimensions: where they are; negative ones count from the end.
    Raises:
      ValueError: one is out of range or repeated.

    >>> from anima import lax
    >>> lax.expand_dims(lax.broadcast(1.0, (3,)), (0, -1)).shape
    (1, 3, 1)
    """
    x = as_operand(array)
    shape, given = shape_of(x), check_integers("expand_dims", dimensions, "dimensions")
    rank = len(shape) + len(given)
    new = check_axes("expand_dims", given, rank, "dimensions", negative=True)
    old = [d for d in range(rank) if d not in new]
    sizes = dict(zip(old, shape))
    return broadcast_in_dim(x, [sizes.get(d, 1) for d in range(rank)], old)


# --- rev --------------------------------------------------------------------------------------


def _rev_shape(x: ShapedArray, *, dimensions: tuple[int, ...]) -> ShapedArray:
    if len(set(dimensions)) != len(dimensions) or any(not 0 <= d < x.ndim for d in dimensions):
        raise TypeError(
            f"rev: dimensions {dimensions} must be distinct and within the {x.ndim} dimensions of the operand"
        )
    return x


def _lower_rev(ctx: Context, x: Value, *, dimensions: tuple[int, ...]) -> Value:
    result = ctx.op("stablehlo.reverse", (x,), attrs=f"dimensions = {i64_array(dimensions)}")
    result.reversal = x, dimensions
    return result


rev_p: Primitive = structural(
    "rev",
    shape=_rev_shape,
    lower=_lower_rev,
    transpose=lambda ct, x, *, dimensions: [rev_p.bind(ct, dimensions=dimensions)],
    batch=lambda axis, args, dims, *, dimensions: (
        rev_p.bind(args[0], dimensions=tuple(d + (d >= dims[0]) for d in dimensions)),
        dims[0],
    ),
    host=moving(lambda x, *, dimensions: np.flip(x, dimensions)),
)


def rev(operand: Any, dimensions: Sequence[int]) -> Any:
    """`operand` with its elements in reverse order along the given dimensions.

    Args:
      operand: an array.
      dimensions: distinct and not negative.
    Raises:
      TypeError: a dimension is repeated or out of range.

    >>> from anima import lax
    >>> print(lax.rev(lax.iota("int32", 3), (0,)))
    [2 1 0]
    """
    return rev_p.bind(as_operand(operand), dimensions=check_integers("rev", dimensions, "dimensions"))


# --- what batching and differentiation need ---------------------------------------------------


def _move_axis(x: Any, source: int, target: int) -> Any:
    if source == target:
        return x
    order = [d for d in range(len(shape_of(x))) if d != source]
    order.insert(target, source)
    return transpose_p.bind(x, permutation=tuple(order))


def _broadcast_batch_axis(x: Any, size: int, target: int) -> Any:
    shape = shape_of(x)
    new = (*shape[:target], size, *shape[target:])
    kept = tuple(d for d in range(len(new)) if d != target)
    return broadcast_in_dim_p.bind(x, shape=new, broadcast_dimensions=kept)


hooks.move_axis = _move_axis
hooks.broadcast_batch = _broadcast_batch_axis
