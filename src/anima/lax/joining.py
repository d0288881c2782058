"""Making one array from parts and parts from one: concatenation, padding, splitting, stacking, repetition.

Invariant: as in `shape`, data is moved and nothing computed, so that each rule is exact for every dtype.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from anima.core import hooks
from anima.core.aval import ShapedArray
from anima.core.host import moving
from anima.core.primitive import Zero, primitives
from anima.core.trace import aval_of
from anima.interpreters.batch import Axis, to_axis
from anima.interpreters.key_reuse import moved
from anima.interpreters.zeros import instantiate
from anima.lax import on_host
from anima.lax.arguments import check_integers
from anima.lax.declare import (
    ANY,
    check_dtype,
    declare,
    is_linear,
    lowered_by,
    operand as as_operand,
    same_dtypes,
    structural,
    widening,
)
from anima.lax.shape import (
    broadcast_in_dim,
    broadcast_in_dim_p,
    check_axis,
    check_shape,
    dtype_of,
    inner_shape,
    reshape,
    reshape_p,
    shape_of,
)
from anima.lowering.module import Context, Value
from anima.lowering.types import i64_array

# --- concatenate ------------------------------------------------------------------------------


def _concatenate_shape(*avals: ShapedArray, dimension: int) -> ShapedArray:
    same_dtypes("concatenate", avals)
    first = avals[0]
    shapes = ", ".join(str(a.shape) for a in avals[:5]) + (", ..." if len(avals) > 5 else "")
    if any(a.ndim != first.ndim for a in avals):
        raise TypeError(f"concatenate: operands must have the same number of dimensions, got shapes {shapes}")
    if not 0 <= dimension < first.ndim:
        raise TypeError(f"concatenate: dimension {dimension} is out of bounds for shapes {shapes}")
    before, after = first.shape[:dimension], first.shape[dimension + 1 :]
    if any(a.shape[:dimension] != before or a.shape[dimension + 1 :] != after for a in avals):
        raise TypeError(f"concatenate: shapes may differ in dimension {dimension} only, got {shapes}")
    size = sum([a.shape[dimension] for a in avals])
    return ShapedArray((*before, size, *after), first.dtype, all([a.weak_type for a in avals]))


def _concatenate_lower(ctx: Context, *xs: Value, dimension: int) -> Value:
    return ctx.op("stablehlo.concatenate", xs, attrs=f"dimension = {dimension} : i64")


def _concatenate_jvp(primals: Any, tangents: Any, *, dimension: int) -> tuple[Any, Any]:
    ans = concatenate_p.bind(*primals, dimension=dimension)
    return ans, concatenate_p.bind(*map(instantiate, tangents), dimension=dimension)


def _concatenate_transpose(ct: Any, *xs: Any, dimension: int) -> list[Any]:
    shape = shape_of(ct)
    results: list[Any] = []
    end = 0
    for x in xs:
        start, end = end, end + (x.shape if is_linear(x) else shape_of(x))[dimension]
        lo = tuple(start if d == dimension else 0 for d in range(len(shape)))
        hi = tuple(end if d == dimension else size for d, size in enumerate(shape))
        part = {"start_indices": lo, "limit_indices": hi, "strides": None}
        results.append(primitives["slice"].bind(ct, **part) if is_linear(x) else None)
    return results


def _concatenate_batch(axis: Axis, args: Any, dims: Any, *, dimension: int) -> tuple[Any, int]:
    place = next(d for d in dims if d is not None)
    xs = [to_axis(x, d, place, axis.size) for x, d in zip(args, dims)]
    return concatenate_p.bind(*xs, dimension=dimension + (place <= dimension)), place


concatenate_p = declare(
    "concatenate",
    shape=_concatenate_shape,
    lower=widening(("int2", "uint2"), _concatenate_lower),  # they abort XLA's CPU compiler
    jvp=_concatenate_jvp,
    transpose=_concatenate_transpose,
    batch=_concatenate_batch,
    keys=moved,
    host=moving(lambda *xs, dimension: np.concatenate(xs, dimension)),
    dtypes=ANY,
    remembers=True,
)


def _arrays(name: str, operands: Any) -> list[Any]:
    """The operands of an operation on several arrays.

    Raises:
      TypeError: they are no sequence. ValueError: there are none.
    """
    if not hasattr(operands, "__iter__"):
        raise TypeError(f"{name}: operands must be a sequence of arrays, got {operands!r}")
    xs = [as_operand(x) for x in operands]
    if not xs:
        raise ValueError(f"{name}: operands must not be empty")
    return xs


def concatenate(operands: Any, dimension: int) -> Any:
    """The operands one after the other along `dimension`.

    Args:
      operands: arrays of one dtype, whose shapes differ in `dimension` only.
      dimension: not negative.
    Raises:
      ValueError: there are no operands. TypeError: their dtypes or shapes do not fit.

    >>> from anima import lax
    >>> print(lax.concatenate([lax.iota("int32", 2), lax.iota("int32", 3)], 0))
    [0 1 0 1 2]
    """
    xs = _arrays("concatenate", operands)
    (dimension,) = check_integers("concatenate", (dimension,), "dimension")
    if len(xs) == 1:
        _concatenate_shape(aval_of(xs[0]), dimension=dimension)  # type: ignore[arg-type]
        return hooks.as_array(xs[0])
    return concatenate_p.bind(*xs, dimension=dimension)


# --- pad --------------------------------------------------------------------------------------

PaddingConfig = tuple[tuple[int, int, int], ...]


def _pad_shape(x: ShapedArray, value: ShapedArray, *, padding_config: PaddingConfig) -> ShapedArray:
    check_dtype("pad", x, ANY, "operand")
    if value.shape:
        raise ValueError(f"pad: padding_value must be a scalar, got one of shape {value.shape}")
    if len(padding_config) != x.ndim:
        raise ValueError(
            f"pad: padding_config must have one entry for each of the {x.ndim} dimensions of operand, "
            f"got {padding_config}"
        )
    if any(interior < 0 for _, _, interior in padding_config):
        raise ValueError(f"pad: interior padding must not be negative, got padding_config {padding_config}")
    shape = tuple(lo + hi + n + max(n - 1, 0) * inner for n, (lo, hi, inner) in zip(x.shape, padding_config))
    if any(n < 0 for n in shape):
        d = next(d for d, n in enumerate(shape) if n < 0)
        raise ValueError(
            f"pad: padding_config {padding_config} takes more than there is: {padding_config[d]} of size {x.shape[d]} in "
            f"dimension {d} of shape {x.shape}"
        )
    if value.dtype != x.dtype:
        raise TypeError(
            f"pad: operand and padding_value must have the same dtype, got {x.dtype} and {value.dtype}"
        )
    return ShapedArray(shape, x.dtype, x.weak_type and value.weak_type)


def _pad_lower(ctx: Context, x: Value, value: Value, *, padding_config: PaddingConfig) -> Value:
    lo, hi, interior = zip(*padding_config) if padding_config else ((), (), ())
    attrs = (
        f"edge_padding_low = {i64_array(lo)}, edge_padding_high = {i64_array(hi)}, "
        f"interior_padding = {i64_array(interior)}"
    )
    return ctx.op("stablehlo.pad", (x, value), attrs=attrs)


def _pad_jvp(primals: Any, tangents: Any, *, padding_config: PaddingConfig) -> tuple[Any, Any]:
    ans = pad_p.bind(*primals, padding_config=padding_config)
    if all(type(t) is Zero for t in tangents):
        return ans, Zero(aval_of(ans).tangent_aval())
    return ans, pad_p.bind(*map(instantiate, tangents), padding_config=padding_config)


def _pad_transpose(ct: Any, x: Any, value: Any, *, padding_config: PaddingConfig) -> list[Any]:
    shape = x.shape if is_linear(x) else shape_of(x)
    ct_x = unpad(ct, shape, padding_config)
    if not is_linear(value):
        return [ct_x, None]
    total = primitives["reduce_sum"]
    inside = total.bind(ct_x, axes=tuple(range(len(shape))))
    ct_value = primitives["sub"].bind(total.bind(ct, axes=tuple(range(len(shape)))), inside)
    return [ct_x if is_linear(x) else None, ct_value]


def unpad(y: Any, shape: tuple[int, ...], padding_config: PaddingConfig) -> Any:
    """What `pad` would have put `y`'s elements from: shape `shape`, zero where they were cut away."""
    aval = aval_of(y)
    assert isinstance(aval, ShapedArray)
    if any(lo or hi for lo, hi, _ in padding_config):
        cut = tuple((-lo, -hi, 0) for lo, hi, _ in padding_config)
        y = pad_p.bind(y, aval.dtype.type(0), padding_config=cut)
    if all(interior == 0 for _, _, interior in padding_config):
        return y
    strides = tuple(interior + 1 for _, _, interior in padding_config)
    zeros = (0,) * len(shape)
    return primitives["slice"].bind(y, start_indices=zeros, limit_indices=shape_of(y), strides=strides)


def _pad_batch(axis: Axis, args: Any, dims: Any, *, padding_config: PaddingConfig) -> tuple[Any, int]:
    x, value = args
    dim_x, dim_value = dims
    if dim_value is None:
        config = (*padding_config[:dim_x], (0, 0, 0), *padding_config[dim_x:])
        return pad_p.bind(x, value, padding_config=config), dim_x
    # A value for each example: pad with anything, and put the values where the padding is.
    x = to_axis(x, dim_x, 0, axis.size)
    config = ((0, 0, 0), *padding_config)
    padded = pad_p.bind(x, dtype_of(x).type(0), padding_config=config)
    inside = broadcast_in_dim(True, shape_of(x), ())
    mask = pad_p.bind(inside, False, padding_config=config)
    values = broadcast_in_dim(value, shape_of(padded), (0,))
    return primitives["select_n"].bind(mask, values, padded), 0


pad_p = declare(
    "pad",
    shape=_pad_shape,
    lower=_pad_lower,
    jvp=_pad_jvp,
    transpose=_pad_transpose,
    batch=_pad_batch,
    host=moving(
        on_host.pad,
        refuses=lambda x, value, *, padding_config: any(
            [low < 0 or high < 0 or inner for low, high, inner in padding_config]
        ),
    ),
    dtypes=ANY,
    remembers=True,
)


class _EagerPad:
    """The eager road of `pad`: an update of a constant array, so that another place needs no other program."""

    __slots__ = ("compiled",)

    def __init__(self) -> None:
        self.compiled: Any = None

    def __call__(self, x: Any, value: Any, *, padding_config: PaddingConfig) -> Any:
        x_aval, value_aval = aval_of(x), aval_of(value)
        assert isinstance(x_aval, ShapedArray) and isinstance(value_aval, ShapedArray)
        out = _pad_shape(x_aval, value_aval, padding_config=padding_config)
        if any([interior for _, _, interior in padding_config]) or out.weak_type or not padding_config:
            if self.compiled is None:
                self.compiled = hooks.make_eager(pad_p)
            return self.compiled(x, value, padding_config=padding_config)
        start = tuple([max(-lo, 0) for lo, _, _ in padding_config])
        limit = tuple([n - max(-hi, 0) for n, (_, hi, _) in zip(x_aval.shape, padding_config)])
        if any([a > b for a, b in zip(start, limit)]):  # more is cut than there is: only padding is left
            return broadcast_in_dim_p.bind(value, shape=out.shape, broadcast_dimensions=())
        x = primitives["slice"].bind(x, start_indices=start, limit_indices=limit, strides=None)
        if all([lo <= 0 and hi <= 0 for lo, hi, _ in padding_config]):
            return x
        whole = broadcast_in_dim_p.bind(value, shape=out.shape, broadcast_dimensions=())
        places = [np.int32(max(lo, 0)) for lo, _, _ in padding_config]
        return primitives["dynamic_update_slice"].bind(whole, x, *places)


pad_p.eager = _EagerPad()


def pad(operand: Any, padding_value: Any, padding_config: Sequence[tuple[int, int, int]]) -> Any:
    """`operand` with padding before, after and between its elements.

    Args:
      operand: an array.
      padding_value: a scalar of the same dtype.
      padding_config: for each dimension how many elements to add before the first (`low`), after the last
        (`high`) and between neighbours (`interior`). Negative `low` and `high` cut elements away.
    Raises:
      TypeError: dtypes differ.
      ValueError: the configuration does not fit.

    >>> from anima import lax
    >>> print(lax.pad(lax.iota("int32", 3), -1, [(1, 0, 1)]))
    [-1 0 -1 1 -1 2]
    """
    x, value = as_operand(operand), as_operand(padding_value)
    if not isinstance(padding_config, Iterable):
        raise TypeError(
            f"pad: padding_config must be a sequence of (low, high, interior), got {padding_config!r}"
        )
    entries = tuple(padding_config)
    if len(entries) != len(shape_of(x)):
        raise ValueError(
            f"pad: padding_config must have one entry for each of the {len(shape_of(x))} dimensions, got {entries}"
        )
    config = tuple(check_integers("pad", entry, "each entry of padding_config") for entry in entries)
    if any(len(entry) != 3 for entry in config):
        raise ValueError(f"pad: each entry of padding_config must be (low, high, interior), got {config}")
    return pad_p.bind(x, value, padding_config=config)


# --- split ------------------------------------------------------------------------------------


def _split_shape(x: ShapedArray, *, sizes: tuple[int, ...], axis: int) -> list[ShapedArray]:
    if sum(sizes) != x.shape[axis]:
        raise ValueError(
            f"split: sizes {sizes} must add up to {x.shape[axis]}, dimension {axis} of {x.shape}"
        )
    return [
        ShapedArray((*x.shape[:axis], size, *x.shape[axis + 1 :]), x.dtype, x.weak_type) for size in sizes
    ]


def _split_lower(ctx: Context, x: Value, *, sizes: tuple[int, ...], axis: int) -> list[Value]:
    outs: list[Value] = []
    end = 0
    shape = (*x.shape, *inner_shape(x))
    for size, aval in zip(sizes, ctx.out_avals):
        start, end = end, end + size
        lo = [start if d == axis else 0 for d in range(len(shape))]
        hi = [end if d == axis else n for d, n in enumerate(shape)]
        attrs = (
            f"start_indices = {i64_array(lo)}, limit_indices = {i64_array(hi)}, "
            f"strides = {i64_array([1] * len(shape))}"
        )
        outs.append(ctx.op("stablehlo.slice", (x,), aval, attrs))
    return outs


def _split_jvp(primals: Any, tangents: Any, *, sizes: tuple[int, ...], axis: int) -> tuple[Any, Any]:
    return split_p.bind(*primals, sizes=sizes, axis=axis), split_p.bind(*tangents, sizes=sizes, axis=axis)


def _split_batch(axis_: Axis, args: Any, dims: Any, *, sizes: tuple[int, ...], axis: int) -> tuple[Any, Any]:
    (d,) = dims
    outs = split_p.bind(args[0], sizes=sizes, axis=axis + (axis >= d))
    return outs, [d] * len(outs)


split_p = declare(
    "split",
    shape=_split_shape,
    lower=_split_lower,
    jvp=_split_jvp,
    transpose=lambda cts, x, *, sizes, axis: [concatenate_p.bind(*map(instantiate, cts), dimension=axis)],
    batch=_split_batch,
    keys=moved,
    host=moving(lambda x, *, sizes, axis: np.split(x, np.cumsum(sizes)[:-1], axis)),
    multiple_results=True,
    dtypes=ANY,
)


def split(operand: Any, sizes: Sequence[int], axis: int = 0) -> list[Any]:
    """`operand` cut along `axis` into pieces of the given sizes.

    Args:
      operand: an array.
      sizes: they add up to the size of that dimension.
      axis: a dimension; negative ones count from the end.
    Returns:
      a list of arrays.
    Raises:
      ValueError: the sizes do not add up, or the axis is out of range.

    >>> from anima import lax
    >>> [part.shape for part in lax.split(lax.iota("int32", 5), (2, 3))]
    [(2,), (3,)]
    """
    x = as_operand(operand)
    dimension = check_axis("split", axis, len(shape_of(x)))
    pieces = check_integers("split", sizes, "sizes")
    if any(size < 0 for size in pieces):
        raise ValueError(f"split: sizes must not be negative, got {pieces}")
    return list(split_p.bind(x, sizes=pieces, axis=dimension))


# --- stack and unstack ------------------------------------------------------------------------


def _stack_shape(*avals: ShapedArray, axis: int) -> ShapedArray:
    first = avals[0]
    if any(a.shape != first.shape for a in avals):
        shapes = ", ".join(str(a.shape) for a in avals)
        raise ValueError(f"stack: operands must have equal shapes, got {shapes}")
    same_dtypes("stack", avals)
    shape = (*first.shape[:axis], len(avals), *first.shape[axis:])
    return ShapedArray(shape, first.dtype, all([a.weak_type for a in avals]))


@lowered_by
def _stack_lower(*xs: Any, axis: int) -> Any:
    parts = [reshape_p.bind(x, new_sizes=_with_one(x.shape, axis)) for x in xs]
    return concatenate_p.bind(*parts, dimension=axis)


def _with_one(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return (*shape[:axis], 1, *shape[axis:])


def _stack_jvp(primals: Any, tangents: Any, *, axis: int) -> tuple[Any, Any]:
    return stack_p.bind(*primals, axis=axis), stack_p.bind(*map(instantiate, tangents), axis=axis)


def _stack_transpose(ct: Any, *xs: Any, axis: int) -> list[Any]:
    parts = unstack_p.bind(ct, axis=axis)
    return [part if is_linear(x) else None for part, x in zip(parts, xs)]


def _stack_batch(axis_: Axis, args: Any, dims: Any, *, axis: int) -> tuple[Any, int]:
    return stack_p.bind(*[to_axis(x, d, 0, axis_.size) for x, d in zip(args, dims)], axis=axis + 1), 0


stack_p = declare(
    "stack",
    shape=_stack_shape,
    lower=_stack_lower,
    jvp=_stack_jvp,
    transpose=_stack_transpose,
    batch=_stack_batch,
    keys=moved,
    host=moving(lambda *xs, axis: np.stack(xs, axis)),
    dtypes=ANY,
)


def stack(operands: Sequence[Any], axis: int = 0) -> Any:
    """The operands side by side along a new dimension.

    Args:
      operands: arrays of one dtype and shape.
      axis: where the new dimension stands in the result; negative ones count from the end.
    Raises:
      ValueError: there are no operands, their shapes differ, or the axis is out of range. TypeError: dtypes differ.

    >>> from anima import lax
    >>> print(lax.stack([lax.iota("int32", 2), lax.iota("int32", 2)], axis=1))
    [[0 0]
     [1 1]]
    """
    xs = _arrays("stack", operands)
    return stack_p.bind(*xs, axis=check_axis("stack", axis, len(shape_of(xs[0])) + 1))


def _unstack_shape(x: ShapedArray, *, axis: int) -> list[ShapedArray]:
    part = ShapedArray((*x.shape[:axis], *x.shape[axis + 1 :]), x.dtype, x.weak_type)
    return [part] * x.shape[axis]


@lowered_by
def _unstack_lower(x: Any, *, axis: int) -> Any:
    shape = (*x.shape[:axis], *x.shape[axis + 1 :])
    parts = split_p.bind(x, sizes=(1,) * x.shape[axis], axis=axis)
    return [reshape_p.bind(part, new_sizes=shape) for part in parts]


def _unstack_jvp(primals: Any, tangents: Any, *, axis: int) -> tuple[Any, Any]:
    return unstack_p.bind(*primals, axis=axis), unstack_p.bind(*tangents, axis=axis)


def _unstack_batch(axis_: Axis, args: Any, dims: Any, *, axis: int) -> tuple[Any, Any]:
    (d,) = dims
    outs = unstack_p.bind(args[0], axis=axis + (axis >= d))
    return outs, [d - (axis < d)] * len(outs)


unstack_p = declare(
    "unstack",
    shape=_unstack_shape,
    lower=_unstack_lower,
    jvp=_unstack_jvp,
    transpose=lambda cts, x, *, axis: [stack_p.bind(*map(instantiate, cts), axis=axis)],
    batch=_unstack_batch,
    keys=moved,
    host=moving(lambda x, *, axis: list(np.moveaxis(x, axis, 0))),
    multiple_results=True,
    dtypes=ANY,
)


def unstack(x: Any, axis: int = 0) -> tuple[Any, ...]:
    """The parts of `x` at each index of one dimension, without that dimension.

    Args:
      x: an array.
      axis: a dimension; negative ones count from the end.
    Raises:
      ValueError: the axis is out of range.

    >>> from anima import lax
    >>> print(*lax.unstack(lax.iota("int32", 3)))
    0 1 2
    """
    value = as_operand(x)
    return tuple(unstack_p.bind(value, axis=check_axis("unstack", axis, len(shape_of(value)))))


# --- tile -------------------------------------------------------------------------------------


def _tile_shape(x: ShapedArray, *, reps: tuple[int, ...]) -> ShapedArray:
    if len(reps) != x.ndim:
        raise TypeError(
            f"tile: reps {reps} must have one entry for each of the {x.ndim} dimensions of operand"
        )
    return ShapedArray(tuple(r * n for r, n in zip(reps, x.shape)), x.dtype, x.weak_type)


@lowered_by
def _tile_lower(x: Any, *, reps: tuple[int, ...]) -> Any:
    pairs = [n for pair in zip(reps, x.shape) for n in pair]
    spread = broadcast_in_dim(x, pairs, range(1, len(pairs), 2))
    return reshape(spread, [r * n for r, n in zip(reps, x.shape)])


def _tile_transpose(ct: Any, x: Any, *, reps: tuple[int, ...]) -> list[Any]:
    pairs = tuple(n for pair in zip(reps, x.shape) for n in pair)
    apart = reshape_p.bind(ct, new_sizes=pairs)
    return [primitives["reduce_sum"].bind(apart, axes=tuple(range(0, len(pairs), 2)))]


def _tile_batch(axis: Axis, args: Any, dims: Any, *, reps: tuple[int, ...]) -> tuple[Any, int]:
    (d,) = dims
    return tile_p.bind(args[0], reps=(*reps[:d], 1, *reps[d:])), d


tile_p = structural(
    "tile",
    shape=_tile_shape,
    lower=_tile_lower,
    transpose=_tile_transpose,
    batch=_tile_batch,
    host=moving(lambda x, *, reps: np.tile(x, reps)),
)


def tile(operand: Any, reps: Sequence[int]) -> Any:
    """`operand` repeated `reps[i]` times along each dimension `i`.

    Args:
      operand: an array.
      reps: one number for each of its dimensions.
    Raises:
      TypeError: their number does not fit.

    >>> from anima import lax
    >>> print(lax.tile(lax.iota("int32", 2), (3,)))
    [0 1 0 1 0 1]
    """
    return tile_p.bind(as_operand(operand), reps=check_shape("tile", reps, "reps"))
