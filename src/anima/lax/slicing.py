"""Slices: at fixed places, and at places computed at run time.

Invariant: `dynamic_slice` and `dynamic_update_slice` take start indices as operands, all of one integer dtype of at least
32 bits, and XLA clamps them so that the slice fits. Called eagerly, a slice at a fixed place runs as one at a
computed place, so that another place needs no other program.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from anima import dtypes
from anima.core import hooks
from anima.core.aval import ShapedArray
from anima.core.host import moving
from anima.core.primitive import Zero, primitives
from anima.core.trace import aval_of
from anima.interpreters.batch import Axis, to_axis
from anima.interpreters.key_reuse import moved
from anima.interpreters.zeros import instantiate
from anima.lax import on_host
from anima.lax.arguments import check_each, check_inside, check_integers
from anima.lax.arithmetic import add
from anima.lax.compare import lt
from anima.lax.convert import convert_element_type
from anima.lax.declare import ANY, declare, is_linear, operand as as_operand, same_dtypes, structural
from anima.lax.gathering import (
    GatherDimensionNumbers,
    GatherScatterMode,
    ScatterDimensionNumbers,
)
from anima.lax.joining import concatenate
from anima.lax.overwriting import put_window
from anima.lax.scattering import scatter_p
from anima.lax.selection import select
from anima.lax.shape import (
    broadcast_in_dim,
    check_axis,
    check_shape,
    dtype_of,
    expand_dims,
    inner_shape,
    shape_of,
    squeeze,
)
from anima.lowering.module import Context, Value
from anima.lowering.types import i64_array

# --- slice ------------------------------------------------------------------------------------


def _slice_shape(x: ShapedArray, *, start_indices: Any, limit_indices: Any, strides: Any) -> ShapedArray:
    for name, values in (
        ("start_indices", start_indices),
        ("limit_indices", limit_indices),
        ("strides", strides),
    ):
        if values is not None:
            check_each("slice", f"{name} {values}", values, x.shape)
    for d, (lo, hi, n) in enumerate(zip(start_indices, limit_indices, x.shape)):
        if not 0 <= lo <= hi <= n:
            raise TypeError(
                f"slice: start_indices and limit_indices must satisfy 0 <= start <= limit <= size, got {lo} and {hi} in "
                f"dimension {d} of size {n} (start_indices {start_indices}, limit_indices {limit_indices}, shape {x.shape})"
            )
    steps = (1,) * x.ndim if strides is None else strides
    if any(step <= 0 for step in steps):
        raise TypeError(f"slice: strides {strides} must be positive")
    sizes = tuple(-((lo - hi) // step) for lo, hi, step in zip(start_indices, limit_indices, steps))
    return ShapedArray(sizes, x.dtype, x.weak_type)


def _slice_lower(ctx: Context, x: Value, *, start_indices: Any, limit_indices: Any, strides: Any) -> Value:
    inner = inner_shape(x)
    steps = (1,) * x.ndim if strides is None else strides
    attrs = (
        f"start_indices = {i64_array((*start_indices, *[0] * len(inner)))}, "
        f"limit_indices = {i64_array((*limit_indices, *inner))}, "
        f"strides = {i64_array((*steps, *[1] * len(inner)))}"
    )
    return ctx.op("stablehlo.slice", (x,), attrs=attrs)


def _slice_transpose(ct: Any, x: Any, *, start_indices: Any, limit_indices: Any, strides: Any) -> list[Any]:
    steps = (1,) * x.ndim if strides is None else strides
    config = []
    for size, n, lo, step in zip(shape_of(ct), x.shape, start_indices, steps):
        covered = lo + size + max(size - 1, 0) * (step - 1)
        config.append((lo, n - covered, step - 1))
    zero = dtype_of(ct).type(0)
    return [primitives["pad"].bind(ct, zero, padding_config=tuple(config))]


def _slice_batch(
    axis: Axis, args: Any, dims: Any, *, start_indices: Any, limit_indices: Any, strides: Any
) -> tuple[Any, int]:
    (d,) = dims
    insert = lambda values, value: (*values[:d], value, *values[d:])
    steps = None if strides is None else insert(strides, 1)
    lo, hi = insert(start_indices, 0), insert(limit_indices, axis.size)
    return slice_p.bind(args[0], start_indices=lo, limit_indices=hi, strides=steps), d


slice_p = structural(
    "slice",
    shape=_slice_shape,
    lower=_slice_lower,
    transpose=_slice_transpose,
    batch=_slice_batch,
    host=moving(on_host.slice),
)


class _EagerSlice:
    """The eager road of `slice`: a dynamic slice, then the strides, which do not depend on the place."""

    __slots__ = ("compiled",)

    def __init__(self) -> None:
        self.compiled: Any = None

    def __call__(self, x: Any, *, start_indices: Any, limit_indices: Any, strides: Any) -> Any:
        aval = aval_of(x)
        assert isinstance(aval, ShapedArray)
        _slice_shape(aval, start_indices=start_indices, limit_indices=limit_indices, strides=strides)
        sizes = tuple([hi - lo for lo, hi in zip(start_indices, limit_indices)])
        if sizes != aval.shape:
            x = dynamic_slice_p.bind(x, *map(_static_index, start_indices), slice_sizes=sizes)
        if strides is None and sizes != aval.shape:
            return x
        if self.compiled is None:
            self.compiled = hooks.make_eager(slice_p)
        zeros = (0,) * len(sizes)
        return self.compiled(x, start_indices=zeros, limit_indices=sizes, strides=strides)


slice_p.eager = _EagerSlice()


def slice(
    operand: Any,
    start_indices: Sequence[int],
    limit_indices: Sequence[int],
    strides: Sequence[int] | None = None,
) -> Any:
    """The part of `operand` between two corners.

    Args:
      operand: an array.
      start_indices, limit_indices: for each dimension the first index and the one after the last.
      strides: for each dimension the positive step (default: 1).
    Raises:
      TypeError: the indices do not lie within the operand, or there are too few.

    >>> from anima import lax
    >>> print(lax.slice(lax.iota("int32", 8), (1,), (6,), (2,)))
    [1 3 5]
    """
    x = as_operand(operand)
    steps = None if strides is None else check_integers("slice", strides, "strides")
    if steps is not None:
        check_each("slice", f"strides {steps}", steps, shape_of(x))
        steps = None if all([step == 1 for step in steps]) else steps
    lo = check_integers("slice", start_indices, "start_indices")
    hi = check_integers("slice", limit_indices, "limit_indices")
    return slice_p.bind(x, start_indices=lo, limit_indices=hi, strides=steps)


def slice_in_dim(
    operand: Any, start_index: int | None, limit_index: int | None, stride: int = 1, axis: int = 0
) -> Any:
    """The part of `operand` between two indices along one dimension.

    Args:
      operand: an array.
      start_index, limit_index: the first index and the one after the last; negative ones count from the end, None
        is the end of the dimension.
      stride: the positive step.
      axis: the dimension; negative ones count from the end.
    Raises:
      TypeError: the indices do not lie within the operand. ValueError: the axis is out of range.

    >>> from anima import lax
    >>> print(lax.slice_in_dim(lax.iota("int32", 5), 1, -1))
    [1 2 3]
    """
    x = as_operand(operand)
    shape = shape_of(x)
    d = check_axis("slice_in_dim", axis, len(shape))
    size = shape[d]
    if not hasattr(stride, "__index__"):
        raise TypeError(f"slice_in_dim: stride must be an integer, got {stride!r}")
    ends = ((start_index, 0, "start_index"), (limit_index, size, "limit_index"))
    start, limit = (
        none if i is None else _from_front("slice_in_dim", i, size, name) for i, none, name in ends
    )
    lo = [start if i == d else 0 for i in range(len(shape))]
    hi = [limit if i == d else n for i, n in enumerate(shape)]
    return slice(x, lo, hi, [stride if i == d else 1 for i in range(len(shape))])


def _from_front(name: str, index: Any, size: int, argument: str) -> int:
    """An index of a dimension, negative ones counted from the end."""
    if not hasattr(index, "__index__"):
        raise TypeError(f"{name}: {argument} must be an integer, got {index!r}")
    place = int(index.__index__())
    return place + size if place < 0 else place


def index_in_dim(operand: Any, index: int, axis: int = 0, keepdims: bool = True) -> Any:
    """The part of `operand` at one index of a dimension.

    Args:
      operand: an array.
      index: negative ones count from the end.
      axis: the dimension; negative ones count from the end.
      keepdims: keep the dimension, with size 1.
    Raises:
      IndexError: the index is out of bounds. ValueError: the axis is out of range.

    >>> from anima import lax
    >>> print(lax.index_in_dim(lax.iota("int32", 5), -1, keepdims=False))
    4
    """
    x = as_operand(operand)
    d = check_axis("index_in_dim", axis, len(shape_of(x)))
    size = shape_of(x)[d]
    start = _from_front("index_in_dim", index, size, "index")
    if not 0 <= start < size:
        raise IndexError(f"index_in_dim: index {index} is out of bounds for axis {d} with size {size}")
    part = slice_in_dim(x, start, start + 1, 1, d)
    return part if keepdims else squeeze(part, (d,))


# --- dynamic_slice ----------------------------------------------------------------------------


def _check_starts(name: str, x: ShapedArray, starts: Sequence[ShapedArray]) -> None:
    if len(starts) != x.ndim:
        raise TypeError(
            f"{name}: start_indices must have one entry for each of the {x.ndim} dimensions, got {len(starts)}"
        )
    if any(s.shape or not dtypes.is_int(s.dtype) or s.dtype != starts[0].dtype for s in starts):
        raise TypeError(
            f"{name}: start_indices must be integer scalars of one dtype, got {', '.join(map(str, starts))}"
        )


def _dynamic_slice_shape(x: ShapedArray, *starts: ShapedArray, slice_sizes: tuple[int, ...]) -> ShapedArray:
    _check_starts("dynamic_slice", x, starts)
    check_inside("dynamic_slice", f"slice_sizes {slice_sizes}", slice_sizes, x.shape)
    return ShapedArray(slice_sizes, x.dtype, x.weak_type)


def _inner_starts(ctx: Context, starts: Sequence[Value], inner: Sequence[int]) -> list[Value]:
    """Start indices 0 for the dimensions that stand behind an extended dtype."""
    dtype = starts[0].dtype if starts else np.dtype(np.int32)
    return [ctx.constant(np.zeros((), dtype), ShapedArray((), dtype)) for _ in inner]


def _dynamic_slice_lower(ctx: Context, x: Value, *starts: Value, slice_sizes: tuple[int, ...]) -> Value:
    inner = inner_shape(x)
    operands = (x, *starts, *_inner_starts(ctx, starts, inner))
    return ctx.op(
        "stablehlo.dynamic_slice",
        operands,
        ctx.out_avals[0],
        f"slice_sizes = {i64_array((*slice_sizes, *inner))}",
    )


def _dynamic_slice_transpose(ct: Any, x: Any, *starts: Any, slice_sizes: tuple[int, ...]) -> list[Any]:
    return [dynamic_update_slice_p.bind(hooks.zeros(x.aval), ct, *starts), *[None] * len(starts)]


def _dynamic_slice_batch(
    axis: Axis, args: Any, dims: Any, *, slice_sizes: tuple[int, ...]
) -> tuple[Any, int]:
    x, *starts = args
    d, *start_dims = dims
    if all(dim is None for dim in start_dims):
        zero = dtype_of(starts[0]).type(0) if starts else np.int32(0)
        sizes = (*slice_sizes[:d], axis.size, *slice_sizes[d:])
        return dynamic_slice_p.bind(x, *starts[:d], zero, *starts[d:], slice_sizes=sizes), d
    rank = len(slice_sizes)
    numbers = GatherDimensionNumbers(tuple(range(rank)), (), tuple(range(rank)))
    params = {
        "dimension_numbers": numbers, "slice_sizes": slice_sizes, "unique_indices": True, "indices_are_sorted": True,
        "mode": GatherScatterMode.CLIP, "fill_value": None,
    }  # fmt: skip
    return primitives["gather"].batch(axis, [x, _index_vectors(axis, starts, start_dims)], [d, 0], **params)


def _index_vectors(axis: Axis, starts: Sequence[Any], dims: Sequence[int | None]) -> Any:
    """Mapped start indices as one array: an index vector for each example."""
    columns = [to_axis(s, d, 0, axis.size) for s, d in zip(starts, dims)]
    return concatenate([broadcast_in_dim(c, (axis.size, 1), (0,)) for c in columns], 1)


dynamic_slice_p = structural(
    "dynamic_slice",
    shape=_dynamic_slice_shape,
    lower=_dynamic_slice_lower,
    transpose=_dynamic_slice_transpose,
    batch=_dynamic_slice_batch,
    host=moving(
        lambda x, *starts, slice_sizes: x[on_host.window(x, starts, slice_sizes)], kernel="dynamic_slice"
    ),
)


def _static_index(value: int) -> np.integer[Any]:
    return np.int32(value) if -(2**31) <= value < 2**31 else np.int64(value)


def _starts(
    name: str, start_indices: Any, shape: tuple[int, ...], allow_negative: bool | Sequence[bool]
) -> list[Any]:
    """Start indices as operands: scalars of one dtype, negative ones counted from the end where that is allowed."""
    if hasattr(start_indices, "ndim") and hasattr(start_indices, "shape"):
        if start_indices.ndim != 1:
            raise TypeError(f"{name}: start_indices must be one-dimensional, got shape {start_indices.shape}")
        given = _elements(start_indices)
    elif not hasattr(start_indices, "__iter__"):
        raise TypeError(
            f"{name}: start_indices must be a sequence or an array of integers, got {start_indices!r}"
        )
    else:
        given = list(start_indices)
    if len(given) != len(shape):
        raise ValueError(
            f"{name}: start_indices must have one entry for each dimension of {shape}, got {len(given)}"
        )
    whole = isinstance(allow_negative, (bool, np.bool_))
    allowed = [bool(allow_negative)] * len(shape) if whole else [*allow_negative]  # type: ignore[misc]
    if len(allowed) != len(shape):
        raise ValueError(
            f"{name}: allow_negative_indices must have one entry for each dimension of {shape}, got {len(allowed)}"
        )
    computed: list[Any] = []
    for index in given:
        if not _is_static(index):
            dtype = aval_of(as_operand(index)).dtype  # type: ignore[attr-defined]
            if not dtypes.is_int(dtype):
                raise TypeError(
                    f"{name}: start_indices must be integers, got dtype {dtypes.dtype_name(dtype)}"
                )
            computed.append(dtype if dtype.itemsize >= 4 else np.dtype(np.int32))
    if len(set(computed)) > 1:
        raise TypeError(
            f"{name}: start_indices must have one integer dtype, got {', '.join(map(str, computed))}"
        )
    dtype = computed[0] if computed else _static_index(max(shape, default=0)).dtype
    return [_start(name, i, n, ok, dtype) for i, n, ok in zip(given, shape, allowed)]


def _is_static(index: Any) -> bool:
    return isinstance(index, (int, np.integer)) and not isinstance(index, bool)


def _start(name: str, index: Any, size: int, allow_negative: bool, dtype: Any) -> Any:
    if _is_static(index):
        if index < 0 and not allow_negative:
            raise ValueError(
                f"{name}: index {index} is out of bounds for size {size} if allow_negative_indices=False"
            )
        place = int(index) + (size if index < 0 else 0)
        info = np.iinfo(dtype)
        return dtype.type(min(max(place, int(info.min)), int(info.max)))
    value = convert_element_type(as_operand(index), dtype)
    if not allow_negative or not dtypes.is_signed_int(dtype):
        return value
    return select(lt(value, 0), add(value, size), value)


def _elements(vector: Any) -> list[Any]:
    if isinstance(vector, np.ndarray):
        return list(vector)
    return [index_in_dim(vector, i, keepdims=False) for i in range(vector.shape[0])]


def dynamic_slice(
    operand: Any,
    start_indices: Any,
    slice_sizes: Any,
    *,
    allow_negative_indices: bool | Sequence[bool] = True,
) -> Any:
    """A slice of fixed size at a computed place.

    Args:
      operand: an array.
      start_indices: for each dimension an integer scalar; or an array of them. Moved to where the slice fits.
      slice_sizes: for each dimension the size of the slice.
      allow_negative_indices: whether negative indices count from the end, for all or for each dimension.
    Raises:
      TypeError: the slice does not fit, or an index is no integer. ValueError: their number is wrong.

    >>> from anima import lax
    >>> print(lax.dynamic_slice(lax.iota("int32", 6), (2,), (3,)))
    [2 3 4]
    """
    x = as_operand(operand)
    starts = _starts("dynamic_slice", start_indices, shape_of(x), allow_negative_indices)
    return dynamic_slice_p.bind(
        x, *starts, slice_sizes=check_shape("dynamic_slice", slice_sizes, "slice_sizes")
    )


def dynamic_slice_in_dim(
    operand: Any, start_index: Any, slice_size: int, axis: int = 0, *, allow_negative_indices: bool = True
) -> Any:
    """A slice of fixed size at a computed place along one dimension.

    Args:
      operand: an array.
      start_index: an integer scalar. Moved to where the slice fits.
      slice_size: the size of the slice.
      axis: the dimension; negative ones count from the end.
      allow_negative_indices: whether a negative index counts from the end.
    Raises:
      TypeError: the slice does not fit, or the index is no integer. ValueError: the axis is out of range.

    >>> from anima import lax
    >>> print(lax.dynamic_slice_in_dim(lax.iota("int32", 6), 4, 3))
    [3 4 5]
    """
    x = as_operand(operand)
    shape = shape_of(x)
    d = check_axis("dynamic_slice_in_dim", axis, len(shape))
    starts = [start_index if i == d else 0 for i in range(len(shape))]
    sizes = [slice_size if i == d else n for i, n in enumerate(shape)]
    return dynamic_slice(x, starts, sizes, allow_negative_indices=bool(allow_negative_indices))


def dynamic_index_in_dim(
    operand: Any, index: Any, axis: int = 0, keepdims: bool = True, *, allow_negative_indices: bool = True
) -> Any:
    """The part of `operand` at a computed index of a dimension.

    Args:
      operand: an array.
      index: an integer scalar. Moved into bounds.
      axis: the dimension; negative ones count from the end.
      keepdims: keep the dimension, with size 1.
      allow_negative_indices: whether a negative index counts from the end.
    Raises:
      TypeError: the index is no integer. ValueError: the axis is out of range.

    >>> from anima import lax
    >>> print(lax.dynamic_index_in_dim(lax.iota("int32", 6), 4, keepdims=False))
    4
    """
    place = (
        np.asarray(index) if _is_static(index) else index
    )  # of a number too far to the left that is the first
    part = dynamic_slice_in_dim(operand, place, 1, axis, allow_negative_indices=allow_negative_indices)
    return part if keepdims else squeeze(part, (axis,))


# --- dynamic_update_slice ---------------------------------------------------------------------


def _update_shape(x: ShapedArray, update: ShapedArray, *starts: ShapedArray) -> ShapedArray:
    _check_starts("dynamic_update_slice", x, starts)
    same_dtypes("dynamic_update_slice", (x, update))
    check_inside("dynamic_update_slice", f"update of shape {update.shape}", update.shape, x.shape)
    return ShapedArray(x.shape, x.dtype, all([a.weak_type for a in (x, update, *starts)]))


def _update_lower(ctx: Context, x: Value, update: Value, *starts: Value) -> Value:
    inner = _inner_starts(ctx, starts, inner_shape(x))
    if inner:  # elements that are arrays
        return ctx.op("stablehlo.dynamic_update_slice", (x, update, *starts, *inner), ctx.out_avals[0])
    return Value(put_window(ctx, x, update, starts).name, ctx.out_avals[0])


def _update_jvp(primals: Any, tangents: Any) -> tuple[Any, Any]:
    ans = dynamic_update_slice_p.bind(*primals)
    if type(tangents[0]) is Zero and type(tangents[1]) is Zero:
        return ans, Zero(aval_of(ans).tangent_aval())
    return ans, dynamic_update_slice_p.bind(instantiate(tangents[0]), instantiate(tangents[1]), *primals[2:])


def _update_transpose(ct: Any, x: Any, update: Any, *starts: Any) -> list[Any]:
    ct_x = ct_update = None
    aval: Any = update.aval if is_linear(update) else aval_of(update)
    if is_linear(x):
        ct_x = dynamic_update_slice_p.bind(ct, hooks.zeros(aval), *starts)
    if is_linear(update):
        ct_update = dynamic_slice_p.bind(ct, *starts, slice_sizes=aval.shape)
    return [ct_x, ct_update, *[None] * len(starts)]


def _update_batch(axis: Axis, args: Any, dims: Any) -> tuple[Any, int]:
    x, update, *starts = args
    x, update = to_axis(x, dims[0], 0, axis.size), to_axis(update, dims[1], 0, axis.size)
    start_dims = dims[2:]
    if all(dim is None for dim in start_dims):
        zero = dtype_of(starts[0]).type(0) if starts else np.int32(0)
        return dynamic_update_slice_p.bind(x, update, zero, *starts), 0
    every = tuple(range(len(starts)))
    return scatter_p.batch(
        axis,
        [x, _index_vectors(axis, starts, start_dims), update],
        [0, 0, 0],
        dimension_numbers=ScatterDimensionNumbers(every, (), every),
        indices_are_sorted=True,
        unique_indices=True,
        mode=GatherScatterMode.CLIP,
    )


dynamic_update_slice_p = declare(
    "dynamic_update_slice",
    shape=_update_shape,
    lower=_update_lower,
    jvp=_update_jvp,
    transpose=_update_transpose,
    batch=_update_batch,
    keys=moved,
    host=moving(on_host.update, kernel=""),
    dtypes=ANY,
)


def dynamic_update_slice(
    operand: Any, update: Any, start_indices: Any, *, allow_negative_indices: bool | Sequence[bool] = True
) -> Any:
    """`operand` with `update` written over it at a computed place.

    Args:
      operand: an array.
      update: an array of the same dtype and rank, no larger in any dimension.
      start_indices: for each dimension an integer scalar; or an array of them. Moved to where the update fits.
      allow_negative_indices: whether negative indices count from the end, for all or for each dimension.
    Raises:
      TypeError: the update does not fit, or an index is no integer. ValueError: their number is wrong.

    >>> from anima import lax
    >>> print(lax.dynamic_update_slice(lax.iota("int32", 6), lax.full((2,), 9), (1,)))
    [0 9 9 3 4 5]
    """
    x, new = as_operand(operand), as_operand(update)
    starts = _starts("dynamic_update_slice", start_indices, shape_of(x), allow_negative_indices)
    return dynamic_update_slice_p.bind(x, new, *starts)


def dynamic_update_slice_in_dim(
    operand: Any, update: Any, start_index: Any, axis: int, *, allow_negative_indices: bool = True
) -> Any:
    """`operand` with `update` written over it at a computed place along one dimension.

    Args:
      operand: an array.
      update: an array of the same dtype and rank, no larger in any dimension.
      start_index: an integer scalar. Moved to where the update fits.
      axis: the dimension; negative ones count from the end.
      allow_negative_indices: whether a negative index counts from the end.
    Raises:
      TypeError: the update does not fit, or the index is no integer. ValueError: the axis is out of range.

    >>> from anima import lax
    >>> print(lax.dynamic_update_slice_in_dim(lax.iota("int32", 4), lax.full((1,), 9), 1, 0))
    [0 9 2 3]
    """
    x = as_operand(operand)
    rank = len(shape_of(x))
    d = check_axis("dynamic_update_slice_in_dim", axis, rank)
    starts = [start_index if i == d else 0 for i in range(rank)]
    return dynamic_update_slice(x, update, starts, allow_negative_indices=bool(allow_negative_indices))


def dynamic_update_index_in_dim(
    operand: Any, update: Any, index: Any, axis: int, *, allow_negative_indices: bool = True
) -> Any:
    """`operand` with `update` written over the part at a computed index of a dimension.

    Args:
      operand: an array.
      update: an array of the same dtype, with that dimension of size 1 or without it.
      index: an integer scalar. Moved into bounds.
      axis: the dimension; negative ones count from the end.
      allow_negative_indices: whether a negative index counts from the end.
    Raises:
      TypeError: the update does not fit, or the index is no integer. ValueError: the axis is out of range.

    >>> from anima import lax
    >>> print(lax.dynamic_update_index_in_dim(lax.iota("int32", 4), 9, 1, 0))
    [0 9 2 3]
    """
    x, new = as_operand(operand), as_operand(update)
    d = check_axis("dynamic_update_index_in_dim", axis, len(shape_of(x)))
    if len(shape_of(new)) == len(shape_of(x)) - 1:
        new = expand_dims(new, (d,))
    place = np.asarray(index) if _is_static(index) else index
    return dynamic_update_slice_in_dim(x, new, place, d, allow_negative_indices=allow_negative_indices)
