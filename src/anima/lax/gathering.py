"""Gathering slices from computed places.

Invariant: index arrays hold vectors along their last dimension. XLA clamps every start index so that its
slice lies inside the operand; the mode `FILL_OR_DROP` masks what was clamped, the others leave it.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any

import numpy as np

from anima import dtypes
from anima.core import hooks
from anima.core.aval import ShapedArray, physical_aval
from anima.core.host import moving
from anima.core.primitive import Zero, primitives
from anima.core.trace import aval_of
from anima.errors import ArgumentError
from anima.interpreters.batch import Axis
from anima.interpreters.key_reuse import moved
from anima.lax import on_host
from anima.lax.arguments import check_inside, check_integers
from anima.lax.bitwise import bitwise_and
from anima.lax.compare import ge, le
from anima.lax.convert import convert_element_type
from anima.lax.declare import ANY, declare, lowered_by, operand as as_operand
from anima.lax.shape import broadcast_in_dim, check_shape, dtype_of, inner_shape, shape_of
from anima.lowering.module import Context, Value
from anima.lowering.types import i64_array, i64_list
from anima.records import NamedTuple


class GatherDimensionNumbers(NamedTuple):
    """How the dimensions of a gather's operand, indices and result belong together.

    Attributes:
      offset_dims: the dimensions of the result that run inside the slices.
      collapsed_slice_dims: the operand's dimensions that have slice size 1 and are left out of the result.
      start_index_map: for each component of an index vector the operand's dimension that it indexes.
      operand_batching_dims: the operand's dimensions that go along with `start_indices_batching_dims`.
      start_indices_batching_dims: the indices' dimensions that go along with `operand_batching_dims`.
    """

    offset_dims: tuple[int, ...]
    collapsed_slice_dims: tuple[int, ...]
    start_index_map: tuple[int, ...]
    operand_batching_dims: tuple[int, ...] = ()
    start_indices_batching_dims: tuple[int, ...] = ()


class ScatterDimensionNumbers(NamedTuple):
    """How the dimensions of a scatter's operand, indices and updates belong together.

    A scatter with these numbers writes to the places that a gather with the same numbers, in the same order, reads from.

    Attributes:
      update_window_dims: the dimensions of the updates that run inside the windows.
      inserted_window_dims: the operand's dimensions that have window size 1 and are left out of the updates.
      scatter_dims_to_operand_dims: for each component of an index vector the operand's dimension that it indexes.
      operand_batching_dims: the operand's dimensions that go along with `scatter_indices_batching_dims`.
      scatter_indices_batching_dims: the indices' dimensions that go along with `operand_batching_dims`.
    """

    update_window_dims: Sequence[int]
    inserted_window_dims: Sequence[int]
    scatter_dims_to_operand_dims: Sequence[int]
    operand_batching_dims: Sequence[int] = ()
    scatter_indices_batching_dims: Sequence[int] = ()


class GatherScatterMode(enum.Enum):
    """What happens to indices out of bounds.

    `CLIP` moves them to the nearest place where the slice fits. `FILL_OR_DROP` makes a gather return the fill value,
    and a scatter ignore the update. `PROMISE_IN_BOUNDS` says that there are none: what happens is unspecified.
    """

    CLIP = 1
    FILL_OR_DROP = 2
    PROMISE_IN_BOUNDS = 3

    @staticmethod
    def from_any(s: Any) -> GatherScatterMode:
        """The mode that a user's word stands for; None is `FILL_OR_DROP`.

        Raises:
          ValueError: it stands for none.

        >>> from anima import lax
        >>> lax.GatherScatterMode.from_any("clip")
        <GatherScatterMode.CLIP: 1>
        """
        if isinstance(s, GatherScatterMode):
            return s
        if s not in _MODES:
            names = ", ".join(repr(name) for name in _MODES if name)
            raise ValueError(f"Unknown gather or scatter mode {s!r}; the modes are {names}")
        return _MODES[s]


_MODES: dict[str | None, GatherScatterMode] = {
    None: GatherScatterMode.FILL_OR_DROP,
    "clip": GatherScatterMode.CLIP,
    "fill": GatherScatterMode.FILL_OR_DROP,
    "drop": GatherScatterMode.FILL_OR_DROP,
    "promise_in_bounds": GatherScatterMode.PROMISE_IN_BOUNDS,
}


def index_array(name: str, indices: Any, argument: str) -> Any:
    """Index vectors as an operand: integers of at least 32 bits, so that bounds are representable.

    Raises:
      ArgumentError: they are no integers.
    """
    value = as_operand(indices)
    dtype = dtype_of(value)
    if not dtypes.is_int(dtype):
        raise ArgumentError(f"{name}: {argument} must be integers, got dtype {dtypes.dtype_name(dtype)}")
    return value if dtype.itemsize >= 4 else convert_element_type(value, np.int32)


def dimensions(name: str, kind: type, numbers: Any) -> list[tuple[int, ...]]:
    """The fields of dimension numbers, which are a named tuple of sequences of integers.

    Raises:
      TypeError: they are something else.
    """
    if not isinstance(numbers, kind):
        raise TypeError(f"{name}: dimension_numbers must be a lax.{kind.__name__}, got {numbers!r}")
    return [check_integers(name, dims, field) for field, dims in zip(kind._fields, numbers)]  # type: ignore[attr-defined, call-overload]


def check_dims(name: str, argument: str, dims: Sequence[int], rank: int, increasing: bool = True) -> None:
    """Raise TypeError unless `dims` are distinct, within `rank`, and increase if they must."""
    if any(not 0 <= d < rank for d in dims) or len(set(dims)) != len(dims):
        raise TypeError(f"{name}: {argument} {tuple(dims)} must be distinct and lie within {rank} dimensions")
    if increasing and list(dims) != sorted(dims):
        raise TypeError(f"{name}: {argument} {tuple(dims)} must increase")


# --- the primitive ----------------------------------------------------------------------------


def _gather_shape(
    x: ShapedArray,
    indices: ShapedArray,
    *,
    dimension_numbers: GatherDimensionNumbers,
    slice_sizes: Any,
    **_: Any,
) -> ShapedArray:
    offset_dims, collapsed, index_map, x_batch, index_batch = dimension_numbers
    check_indices("gather", x, indices, index_map, x_batch, index_batch)
    if len(slice_sizes) != x.ndim:
        raise TypeError(
            f"gather: slice_sizes {slice_sizes} must have one entry for each of the {x.ndim} dimensions"
        )
    empty = 0 in indices.shape[:-1]  # slices that nobody takes may have any size
    if not empty:
        check_inside("gather", f"slice_sizes {slice_sizes}", slice_sizes, x.shape)
    check_dims("gather", "collapsed_slice_dims", collapsed, x.ndim)
    gone = {*collapsed, *x_batch}
    fits = all(slice_sizes[d] == 1 for d in collapsed) and all(slice_sizes[d] in (0, 1) for d in x_batch)
    if len(gone) != len(collapsed) + len(x_batch) or not fits:
        raise TypeError(
            f"gather: slice_sizes {slice_sizes} must be 1 in collapsed_slice_dims {collapsed} and 0 or 1 in "
            f"operand_batching_dims {x_batch}, which must not overlap"
        )
    window = [size for d, size in enumerate(slice_sizes) if d not in gone]
    batch = list(indices.shape[:-1])
    rank = len(window) + len(batch)
    check_dims("gather", "offset_dims", offset_dims, rank)
    if len(offset_dims) != len(window):
        raise TypeError(
            f"gather: offset_dims {offset_dims} must have one entry for each slice dimension that is neither collapsed "
            f"nor batched: {len(window)}"
        )
    shape = tuple(window.pop(0) if d in offset_dims else batch.pop(0) for d in range(rank))
    return ShapedArray(shape, x.dtype, x.weak_type)


def check_indices(
    name: str, x: ShapedArray, indices: ShapedArray, index_map: Any, x_batch: Any, index_batch: Any
) -> None:
    """Check what gather and scatter have in common: the index vectors and the batching dimensions."""
    if not dtypes.is_int(indices.dtype):
        raise TypeError(f"{name}: indices must be integers, got {indices}")
    if indices.ndim == 0 or indices.shape[-1] != len(index_map):
        raise TypeError(
            f"{name}: the last dimension of the indices, of shape {indices.shape}, must hold one component for each of "
            f"the {len(index_map)} dimensions that are indexed, {tuple(index_map)}"
        )
    check_dims(name, "the map from indices to dimensions of the operand", index_map, x.ndim, increasing=False)
    check_dims(name, "operand_batching_dims", x_batch, x.ndim)
    check_dims(
        name, "the batching dimensions of the indices", index_batch, indices.ndim - 1, increasing=False
    )
    sizes = [x.shape[d] for d in x_batch], [indices.shape[d] for d in index_batch]
    if sizes[0] != sizes[1]:
        raise TypeError(f"{name}: batching dimensions of operand and indices must agree, got sizes {sizes}")
    if set(x_batch) & set(index_map):
        raise TypeError(f"{name}: operand_batching_dims {x_batch} must not be indexed by {tuple(index_map)}")


def _gather_lower(ctx: Context, x: Value, indices: Value, **params: Any) -> Value:
    if params["mode"] is GatherScatterMode.FILL_OR_DROP:
        return _filled(ctx, x, indices, **params)
    if 0 in indices.shape[:-1]:
        return Value(ctx.full(0, physical_aval(ctx.out_avals[0])).name, ctx.out_avals[0])  # type: ignore[arg-type]
    offset_dims, collapsed, index_map, x_batch, index_batch = params["dimension_numbers"]
    inner = inner_shape(x)
    batch = indices.ndim - 1
    rank = batch + len(offset_dims) + len(inner)
    fields = {
        "offset_dims": range(batch, rank),
        "collapsed_slice_dims": collapsed,
        "operand_batching_dims": x_batch,
        "start_indices_batching_dims": index_batch,
        "start_index_map": index_map,
    }
    numbers = structured(fields, f"index_vector_dim = {batch}")
    attrs = (
        f"dimension_numbers = #stablehlo.gather<{numbers}>, "
        f"slice_sizes = {i64_array((*params['slice_sizes'], *inner))}, "
        f"indices_are_sorted = {str(params['indices_are_sorted']).lower()}"
    )
    # The slices' dimensions come last, as XLA's own expansion has them, and are then put in place. Given constants and
    # slice dimensions elsewhere, the CPU plugin folds operations on the result to a wrong order of elements.
    places = [*(d for d in range(rank) if d not in offset_dims and d < rank - len(inner)), *offset_dims]
    places += range(rank - len(inner), rank)
    out = physical_aval(ctx.out_avals[0])  # type: ignore[arg-type]
    if places == list(range(rank)):
        return ctx.op("stablehlo.gather", (x, indices), attrs=attrs)
    ordered = ShapedArray(tuple(out.shape[d] for d in places), out.dtype)
    found = ctx.op("stablehlo.gather", (x, indices), ordered, attrs)
    permutation = sorted(range(rank), key=places.__getitem__)
    return ctx.op("stablehlo.transpose", (found,), attrs=f"permutation = {i64_array(permutation)}")


def structured(fields: dict[str, Sequence[int]], last: str) -> str:
    """The inside of a structured attribute; empty lists are left out, as its grammar wants."""
    return ", ".join([f"{name} = {i64_list(dims)}" for name, dims in fields.items() if dims] + [last])


def _filled(ctx: Context, x: Value, indices: Value, *, fill_value: Any, **params: Any) -> Value:
    """The gather, with the fill value where the slice does not lie inside the operand."""
    out = ctx.out_avals[0]
    assert isinstance(out, ShapedArray)
    numbers: GatherDimensionNumbers = params["dimension_numbers"]
    found = _gather_lower(ctx, x, indices, fill_value=None, **params | {"mode": GatherScatterMode.CLIP})
    limits = [x.shape[d] - params["slice_sizes"][d] for d in numbers.start_index_map]
    batch = [d for d in range(len(out.shape)) if d not in numbers.offset_dims]
    inside = lowered_by(lambda i: broadcast_in_dim(within(i, limits), out.shape, batch))(ctx, indices)
    value = default_fill(out.dtype) if fill_value is None else fill_value
    fill = Value(ctx.full(value, physical_aval(out)).name, out)
    ctx.out_avals = [out]
    return primitives["select_n"].lower(ctx, inside, fill, found)


def within(indices: Any, limits: Sequence[int]) -> Any:
    """For each index vector, whether every component lies between 0 and its limit."""
    dtype, shape = indices.dtype, shape_of(indices)
    top = int(dtypes.iinfo(dtype).max)
    upper = np.array([min(limit, top) for limit in limits], dtype)
    last = (len(shape) - 1,)
    inside = bitwise_and(ge(indices, 0), le(indices, broadcast_in_dim(upper, shape, last)))
    return primitives["reduce_and"].bind(inside, axes=last)


def default_fill(dtype: Any) -> Any:
    """What a gather returns for places out of bounds: NaN, or the extreme integer; for random keys all bits set."""
    if dtypes.is_extended(dtype):
        return int(dtypes.iinfo(dtype.physical_dtype).max)
    if dtypes.is_inexact(dtype):
        return float("nan")
    if dtypes.is_bool(dtype):
        return True
    info = dtypes.iinfo(dtype)
    return int(info.min if dtypes.is_signed_int(dtype) else info.max)


def _gather_jvp(primals: Any, tangents: Any, *, fill_value: Any, **params: Any) -> tuple[Any, Any]:
    ans = gather_p.bind(*primals, fill_value=fill_value, **params)
    if type(tangents[0]) is Zero:
        return ans, Zero(aval_of(ans).tangent_aval())
    return ans, gather_p.bind(tangents[0], primals[1], fill_value=0, **params)


def _gather_transpose(
    ct: Any, x: Any, indices: Any, *, dimension_numbers: Any, slice_sizes: Any, fill_value: Any, **params: Any
) -> list[Any]:
    numbers = ScatterDimensionNumbers(*dimension_numbers)
    zeros = hooks.zeros(x.aval)
    return [primitives["scatter-add"].bind(zeros, indices, ct, dimension_numbers=numbers, **params), None]


def _gather_batch(
    axis: Axis, args: Any, dims: Any, *, dimension_numbers: Any, slice_sizes: Any, **params: Any
) -> tuple[Any, int]:
    x, indices = (a if d is None else hooks.move_axis(a, d, 0) for a, d in zip(args, dims))
    x_dim, index_dim = dims
    offset_dims, collapsed, index_map, x_batch, index_batch = dimension_numbers
    offset_dims = _later(offset_dims)
    if x_dim is not None:
        collapsed, index_map, x_batch = _later(collapsed), _later(index_map), _later(x_batch)
        slice_sizes = (axis.size if index_dim is None else min(1, axis.size), *slice_sizes)
    if index_dim is not None:
        index_batch = _later(index_batch)
    if index_dim is None:
        offset_dims = (0, *offset_dims)
    elif x_dim is not None:
        x_batch, index_batch = (0, *x_batch), (0, *index_batch)
    else:  # the same places may now be visited for several examples, and in any order
        params |= {"unique_indices": False, "indices_are_sorted": False}
    numbers = GatherDimensionNumbers(offset_dims, collapsed, index_map, x_batch, index_batch)
    return gather_p.bind(x, indices, dimension_numbers=numbers, slice_sizes=slice_sizes, **params), 0


def _later(dims: Sequence[int]) -> tuple[int, ...]:
    return tuple(d + 1 for d in dims)


gather_p = declare(
    "gather",
    shape=_gather_shape,
    lower=_gather_lower,
    jvp=_gather_jvp,
    transpose=_gather_transpose,
    batch=_gather_batch,
    keys=moved,
    host=moving(on_host.gather, on_host.not_indexing, kernel=""),
    dtypes=ANY,
)


def gather(
    operand: Any,
    start_indices: Any,
    dimension_numbers: GatherDimensionNumbers,
    slice_sizes: Any,
    *,
    unique_indices: bool = False,
    indices_are_sorted: bool = False,
    mode: str | GatherScatterMode | None = None,
    fill_value: Any = None,
) -> Any:
    """Slices of one size from several places of `operand`.

    Args:
      operand: an array.
      start_indices: integers; index vectors along the last dimension, each the place of one slice.
      dimension_numbers: which dimensions of operand, indices and result belong together.
      slice_sizes: one for each dimension of the operand.
      unique_indices: a promise that no two places are equal, which may save time in derivatives.
      indices_are_sorted: a promise that the index vectors are in lexical order.
      mode: what happens out of bounds: "clip", "fill" or "promise_in_bounds" (the default).
      fill_value: what "fill" returns there; by default NaN, the smallest integer (the largest, if unsigned), or True.
    Raises:
      TypeError: shapes and dimension numbers do not fit. ValueError: the indices are no integers, or there is no such mode.

    >>> from anima import lax
    >>> numbers = lax.GatherDimensionNumbers(
    ...     offset_dims=(), collapsed_slice_dims=(0,), start_index_map=(0,)
    ... )
    >>> places = lax.expand_dims(lax.iota("int32", 3), (1,))
    >>> print(lax.gather(lax.iota("float32", 2), places, numbers, (1,), mode="fill", fill_value=-1))
    [ 0.  1. -1.]
    """
    parsed = GatherScatterMode.PROMISE_IN_BOUNDS if mode is None else GatherScatterMode.from_any(mode)
    return gather_p.bind(
        as_operand(operand),
        index_array("gather", start_indices, "start_indices"),
        dimension_numbers=GatherDimensionNumbers(
            *dimensions("gather", GatherDimensionNumbers, dimension_numbers)
        ),
        slice_sizes=check_shape("gather", slice_sizes, "slice_sizes"),
        unique_indices=bool(unique_indices),
        indices_are_sorted=bool(indices_are_sorted),
        mode=parsed,
        fill_value=_static_fill(fill_value) if parsed is GatherScatterMode.FILL_OR_DROP else None,
    )


def _static_fill(value: Any) -> Any:
    """The fill value as a Python scalar; None, the default, also for NaN, which as a key would not equal itself."""
    if value is None:
        return None
    scalar = np.asarray(value)
    if scalar.shape:
        raise TypeError(f"gather: fill_value must be a scalar, got one of shape {scalar.shape}")
    item = scalar.item()
    return None if item != item else item
