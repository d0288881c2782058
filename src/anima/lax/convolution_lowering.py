"""How convolutions become StableHLO: by kernels on CPUs, else as one operation where that is good, or by products of slices.

Invariant: all ways compute the same sums, in the dtype of the result or a wider one. Which one is chosen depends on shapes,
dtypes and the platform alone, and on whether the program may call kernels.

Without kernels, XLA's convolutions on CPUs are fast for float32 without groups, and for what is computed in it. Others are
scalar loops: measured on two cores of a Zen 4, 3x3 windows on (4, 64, 28, 28), depthwise takes 10 ms where a sum of nine
fused products takes 0.2, the kernel's derivative in 4 groups 130 ms, float64 four times as long as products of matrices. On
GPUs there are none of integers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from anima import dtypes
from anima.core.aval import ShapedArray
from anima.core.effects import no_effects
from anima.lax.arithmetic import add, div, mul, rem, sub
from anima.lax.barrier import optimization_barrier
from anima.lax.compare import ne
from anima.lax.complex_parts import complex, imag, real
from anima.lax.contraction import dot_general
from anima.lax.convert import convert_element_type
from anima.lax.convolution_kernels import by_kernel, has_kernel
from anima.lax.convolution_numbers import Geometry, placed
from anima.lax.declare import comparison, lowered_by
from anima.lax.joining import concatenate, pad
from anima.lax.precision import (
    CanonicalPrecision,
    DotAlgorithm,
    DotAlgorithmPreset,
    Precision,
    precision_attributes,
)
from anima.lax.reductions import reduce_sum
from anima.lax.shape import broadcast_in_dim, dtype_of, reshape, shape_of, transpose
from anima.lax.slicing import dynamic_slice, dynamic_update_slice, index_in_dim, slice
from anima.lax.window_shapes import pads_attribute
from anima.lowering.module import Context, Value
from anima.lowering.types import bool_array, i64_array

_UNROLLED = 64  # places of a window that a depthwise convolution is written out for
_MANY_GROUPS = 8  # from here on products are faster than one operation


def lower_convolution(
    ctx: Context,
    lhs: Value,
    rhs: Value,
    *,
    precision: CanonicalPrecision,
    preferred_element_type: Any,
    **geometry: Any,
) -> Value:
    """The lowering rule."""
    out = ctx.out_avals[0]
    assert isinstance(out, ShapedArray)
    lhs, g = _without_negative_padding(ctx, lhs, Geometry(**geometry))
    if out.size == 0 or math.prod(lhs.shape) == 0 or math.prod(rhs.shape) == 0:
        return ctx.full(0, out)
    entering, returned = _computed_in(lhs.dtype, out.dtype, ctx.module.platform)
    lhs, rhs = _cast(ctx, lhs, entering), _cast(ctx, rhs, entering)
    pair = _plain_precision(precision)
    result = _of_numbers(ctx, lhs, rhs, ShapedArray(out.shape, returned), g, pair)
    if dtypes.is_bool(out.dtype):
        return lowered_by(lambda v: ne(v, returned.type(0)))(ctx, result)
    return _cast(ctx, result, out.dtype)


def _without_negative_padding(ctx: Context, lhs: Value, g: Geometry) -> tuple[Value, Geometry]:
    """The same convolution of what negative padding leaves: XLA's convolution for CPUs gets it wrong."""
    if all(lo >= 0 and hi >= 0 for lo, hi in g.padding):
        return lhs, g
    starts, limits = [0] * lhs.ndim, list(lhs.shape)
    pads = []
    for d, (lo, hi), step in zip(g.dimension_numbers.lhs_spec[2:], g.padding, g.lhs_dilation):
        # So many elements go; the holes behind the last of them stay, as padding.
        front, back = (max(step - 1 - edge, 0) // step for edge in (lo, hi))
        starts[d] = min(front, lhs.shape[d])
        limits[d] = max(lhs.shape[d] - back, starts[d])
        pads.append((lo + front * step, hi + back * step))
    return lowered_by(lambda x: slice(x, starts, limits))(ctx, lhs), g._replace(padding=tuple(pads))


def _computed_in(given: Any, out: Any, platform: str) -> tuple[Any, Any]:
    """The dtypes in which operands enter, and in which products are summed."""
    if dtypes.is_bool(out):  # whether any pair is True: sums of zeros and ones cannot cancel
        return np.dtype(np.float32), np.dtype(np.float32)
    if dtypes.is_int(out):
        bits = dtypes.itemsize_bits(out)
        wide = np.dtype(np.int64 if bits == 64 else np.int32)  # they wrap as the narrower ones do
        # XLA's products of int8 are fast on CPUs; on GPUs, added up in a loop, they came out doubled.
        narrow = dtypes.is_signed_int(given) and given.itemsize == 1 and bits <= 32 and platform == "cpu"
        return np.dtype(np.int8) if narrow else wide, wide
    if dtypes.is_float(out):
        entering = given if dtypes.is_float(given) else out
        # On CPUs the compiler makes float32 of narrow ones too, but rounds in between.
        mixed = entering != out and dtypes.itemsize_bits(entering) == dtypes.itemsize_bits(out)
        if mixed or (platform == "cpu" and dtypes.itemsize_bits(entering) < 32):
            entering = np.dtype(np.float32)
        return entering, out if dtypes.itemsize_bits(out) >= dtypes.itemsize_bits(entering) else entering
    return out, out


def _plain_precision(precision: CanonicalPrecision) -> CanonicalPrecision:
    """What is nearest to a product's algorithm, for convolutions have none."""
    if isinstance(precision, DotAlgorithm):
        exact = precision.lhs_precision_type in (np.float32, np.float64)
        return (Precision.HIGHEST,) * 2 if exact else None
    if isinstance(precision, DotAlgorithmPreset):
        if precision.name.startswith(("F32", "F64")):
            return (Precision.HIGHEST,) * 2
        return (Precision.HIGH,) * 2 if precision.name.startswith("TF32") or "_X" in precision.name else None
    return precision


def _cast(ctx: Context, x: Value, dtype: Any) -> Value:
    return x if x.dtype == dtype else lowered_by(lambda v: convert_element_type(v, dtype))(ctx, x)


def _of_numbers(
    ctx: Context, lhs: Value, rhs: Value, out: ShapedArray, g: Geometry, precision: CanonicalPrecision
) -> Value:
    """The convolution of operands that are not empty; the dtypes fit."""
    if dtypes.is_complex(out.dtype):
        return _of_complex(ctx, lhs, rhs, out, g, precision)
    batch, features = (lhs.shape[d] for d in g.dimension_numbers.lhs_spec[:2])
    windows = math.prod([rhs.shape[d] for d in g.dimension_numbers.rhs_spec[2:]])
    if has_kernel(ctx, lhs, rhs, out, g):
        return by_kernel(ctx, lhs, rhs, out, g)
    if ctx.module.platform != "cpu":
        native = not dtypes.is_int(out.dtype)
    elif _is_product(lhs.shape, rhs.shape, g):
        params = {"precision": precision, "preferred_element_type": out.dtype}
        return lowered_by(lambda x, w: _as_product(x, w, g, **params))(ctx, lhs, rhs)
    elif 1 < features == g.feature_group_count and windows <= _UNROLLED:
        return lowered_by(lambda x, w: _depthwise(x, w, out.dtype, g))(ctx, lhs, rhs)
    elif 1 < batch == g.batch_group_count and math.prod(g.places(lhs.shape, rhs.shape)) <= _UNROLLED:
        return lowered_by(lambda x, w: _depthwise_filters(x, w, out.dtype, g))(ctx, lhs, rhs)
    else:
        few = g.batch_group_count == 1 and (
            g.groups == 1
            or (g.groups < _MANY_GROUPS and windows <= math.prod(g.places(lhs.shape, rhs.shape)))
        )
        native = out.dtype == np.float32 and (few or 1 < batch == g.batch_group_count)
    native = native and not _is_misread(lhs.shape, rhs.shape, g)
    return (_native if native else _by_products)(ctx, lhs, rhs, out, g, precision)


def _is_misread(lhs_shape: tuple[int, ...], rhs_shape: tuple[int, ...], g: Geometry) -> bool:
    """Whether XLA's simplifier may abort the process: it exchanges operand and kernel where the kernel is larger, but keeps
    a dimension that looks as if it stood for groups, which is wrong unless both have the same size there."""
    lhs_spec, rhs_spec, _ = g.dimension_numbers
    sizes = [(lhs_shape[d], rhs_shape[k]) for d, k in zip(lhs_spec[2:], rhs_spec[2:])]
    like_groups = [
        base == window == stride + 1 and pads == (0, 0) and step == 1 and size != window
        for (size, window), stride, pads, base, step in zip(sizes, *g[:4])
    ]
    return any(like_groups) and any(window > size for size, window in sizes)


def _of_complex(
    ctx: Context, lhs: Value, rhs: Value, out: ShapedArray, g: Geometry, precision: CanonicalPrecision
) -> Value:
    """Four real convolutions: three would lose accuracy and turn infinities into NaNs."""
    parts = lowered_by(lambda *xs: [part(x) for x in xs for part in (real, imag)])
    a, b, c, d = parts(ctx, lhs, rhs)
    aval = ShapedArray(out.shape, a.dtype)
    products = [_of_numbers(ctx, x, y, aval, g, precision) for x, y in ((a, c), (b, d), (a, d), (b, c))]
    return lowered_by(lambda ac, bd, ad, bc: complex(sub(ac, bd), add(ad, bc)))(ctx, *products)


# --- one operation ----------------------------------------------------------------------------


def _native(
    ctx: Context, lhs: Value, rhs: Value, out: ShapedArray, g: Geometry, precision: CanonicalPrecision
) -> Value:
    lhs_spec, rhs_spec, out_spec = g.dimension_numbers
    rank = len(g.padding)
    numbers = f"{_dims(lhs_spec, 'b', 'f')}x{_dims(rhs_spec, 'o', 'i')}->{_dims(out_spec, 'b', 'f')}"
    attrs = (
        f"window_strides = {i64_array(g.window_strides)}, padding = {pads_attribute(g.padding)}, "
        f"lhs_dilation = {i64_array(g.lhs_dilation)}, rhs_dilation = {i64_array(g.rhs_dilation)}, "
        f"window_reversal = {bool_array([False] * rank)}, dimension_numbers = #stablehlo.conv<{numbers}>, "
        f"feature_group_count = {g.feature_group_count} : i64, batch_group_count = {g.batch_group_count} : i64"
        f"{precision_attributes(precision)}"
    )
    return ctx.op("stablehlo.convolution", (lhs, rhs), out, attrs)


def _dims(spec: Sequence[int], first: str, second: str) -> str:
    return "[" + ", ".join(placed((first, second, *map(str, range(len(spec) - 2))), spec)) + "]"


# --- by products of slices --------------------------------------------------------------------


def _spread(x: Any, g: Geometry, spatial: Sequence[int]) -> Any:
    """The operand with its padding, and zeros in the holes of its dilation; `spatial`: its spatial dimensions."""
    config = [(0, 0, 0)] * len(shape_of(x))
    for d, (lo, hi), step in zip(spatial, g.padding, g.lhs_dilation):
        config[d] = (lo, hi, step - 1)
    return pad(x, dtype_of(x).type(0), config)


def _depthwise(x: Any, w: Any, dtype: Any, g: Geometry) -> Any:
    """A convolution in which each input feature has kernels of its own: shifted products, which the compiler fuses."""
    lhs_spec, rhs_spec, out_spec = g.dimension_numbers
    feature, spatial = lhs_spec[1], lhs_spec[2:]
    windows = tuple(shape_of(w)[d] for d in rhs_spec[2:])
    places = g.places(shape_of(x), shape_of(w))
    count, each = shape_of(x)[feature], shape_of(w)[rhs_spec[0]] // shape_of(x)[feature]
    w = transpose(convert_element_type(w, dtype), (*rhs_spec[2:], rhs_spec[1], rhs_spec[0]))
    w = reshape(w, (math.prod(windows), count, each))
    x = _spread(convert_element_type(x, dtype), g, spatial)
    starts, limits, strides = [0] * len(lhs_spec), list(shape_of(x)), [1] * len(lhs_spec)
    total: Any = None
    for index, place in enumerate(np.ndindex(*windows)):
        for d, at, n, stride, step in zip(spatial, place, places, g.window_strides, g.rhs_dilation):
            starts[d], limits[d], strides[d] = at * step, at * step + (n - 1) * stride + 1, stride
        part = slice(x, starts, limits, strides)
        shape = shape_of(part)
        whole = (*shape[: feature + 1], each, *shape[feature + 1 :])
        part = broadcast_in_dim(part, whole, [d + (d > feature) for d in range(len(shape))])
        factor = broadcast_in_dim(index_in_dim(w, index, keepdims=False), whole, (feature, feature + 1))
        total = mul(part, factor) if total is None else add(total, mul(part, factor))
    shape = shape_of(total)
    total = reshape(total, (*shape[:feature], count * each, *shape[feature + 2 :]))
    return transpose(total, placed(lhs_spec, out_spec))


def _is_product(lhs_shape: tuple[int, ...], rhs_shape: tuple[int, ...], g: Geometry) -> bool:
    """Whether the one window is the whole operand: so it is for the derivative of a convolution with windows of one place."""
    sizes = [
        (lhs_shape[d], rhs_shape[k])
        for d, k in zip(g.dimension_numbers.lhs_spec[2:], g.dimension_numbers.rhs_spec[2:])
    ]
    return g.groups == 1 and all(
        size == window and pads == (0, 0) and max(base, step) == 1
        for (size, window), pads, base, step in zip(sizes, *g[1:4])
    )


def _as_product(x: Any, w: Any, g: Geometry, **params: Any) -> Any:
    """One product, that of the operand with fewer rows by the other: 0.65 of the time of the other order."""
    lhs_spec, rhs_spec, out_spec = g.dimension_numbers
    summed = lhs_spec[1:], rhs_spec[1:]
    if shape_of(x)[lhs_spec[0]] <= shape_of(w)[rhs_spec[0]]:
        product = dot_general(x, w, (summed, ((), ())), **params)
    else:
        # Without a fence the compiler exchanges them again.
        product = transpose(
            optimization_barrier(dot_general(w, x, (summed[::-1], ((), ())), **params)), (1, 0)
        )
    canonical = reshape(product, (*shape_of(product), *(1,) * (len(lhs_spec) - 2)))
    return transpose(canonical, placed(range(len(lhs_spec)), out_spec))


def _depthwise_filters(x: Any, w: Any, dtype: Any, g: Geometry) -> Any:
    """A convolution in which each element of the batch has kernels of its own, about as large as itself: the derivative of
    a depthwise one by its filters. Each place of the result is a sum of products, which the compiler fuses."""
    lhs_spec, rhs_spec, out_spec = g.dimension_numbers
    batch, spatial = lhs_spec[0], lhs_spec[2:]
    windows = tuple(shape_of(w)[d] for d in rhs_spec[2:])
    places = g.places(shape_of(x), shape_of(w))
    count, each = shape_of(x)[batch], shape_of(w)[rhs_spec[0]] // shape_of(x)[batch]
    x = _spread(convert_element_type(x, dtype), g, spatial)
    w = transpose(convert_element_type(w, dtype), placed(rhs_spec, lhs_spec))
    rank = len(lhs_spec)
    w = reshape(w, (*shape_of(w)[:batch], count, each, *shape_of(w)[batch + 1 :]))
    starts, limits, strides = [0] * rank, list(shape_of(x)), [1] * rank
    kept = [d + (d > batch) for d in range(rank)]
    summed = [kept[d] for d in (lhs_spec[1], *spatial)]
    found = []
    for place in np.ndindex(*places):
        for d, at, n, stride, step in zip(spatial, place, windows, g.window_strides, g.rhs_dilation):
            starts[d], limits[d], strides[d] = at * stride, at * stride + (n - 1) * step + 1, step
        part = broadcast_in_dim(slice(x, starts, limits, strides), shape_of(w), kept)
        found.append(reshape(reduce_sum(mul(part, w), summed), (1, count * each)))
    total = reshape(concatenate(found, 0), (1, *places, count * each))
    return transpose(total, placed((0, rank - 1, *range(1, rank - 1)), out_spec))


def _by_products(
    ctx: Context, lhs: Value, rhs: Value, out: ShapedArray, g: Geometry, precision: CanonicalPrecision
) -> Value:
    """A product for each place of the window or, if they are fewer, of the result."""
    windows = tuple(rhs.shape[d] for d in g.dimension_numbers.rhs_spec[2:])
    places = g.places(lhs.shape, rhs.shape)
    rank = len(windows)
    by_window = math.prod(windows) <= math.prod(places)
    x = lowered_by(lambda v: _grouped_operand(v, g, by_window))(ctx, lhs)
    w = lowered_by(lambda v: _grouped_kernel(v, g, by_window))(ctx, rhs)
    ends = (g.groups, x.shape[1 if by_window else -1], w.shape[-1])
    params = {"precision": precision, "preferred_element_type": out.dtype}
    summed = tuple(range(1, rank + 2))  # by places of the result: the features and the places of the window

    def of_window(index: Any, total: Any, x: Any, w: Any) -> Any:
        part = _window(x, _place(index, windows), g.rhs_dilation, places, g.window_strides)
        ones = (1,) * rank
        kernel = _window(w, _place(index, windows), ones, ones, ones, first=1)
        kernel = reshape(kernel, (ends[0], *shape_of(w)[-2:]))
        return add(total, dot_general(part, kernel, (((rank + 2,), (1,)), ((0,), (0,))), **params))

    def of_result(index: Any, total: Any, x: Any, w: Any) -> Any:
        part = _window(x, _place(index, places), g.window_strides, windows, g.rhs_dilation)
        product = dot_general(part, w, ((summed, summed), ((0,), (0,))), **params)
        return dynamic_update_slice(total, reshape(product, (1, *ends)), (index, *[np.int32(0)] * 3))

    if by_window:
        state = ShapedArray((*ends[:2], *places, ends[2]), out.dtype)
        total = _loop(ctx, math.prod(windows), state, of_window, x, w)
        order = (1, *range(2, rank + 2), 0, rank + 2)
    else:
        state = ShapedArray((math.prod(places), *ends), out.dtype)
        total = _loop(ctx, math.prod(places), state, of_result, x, w)
        order = (rank + 1, *range(rank), rank, rank + 2)

    def finish(total: Any) -> Any:
        if not by_window:
            total = reshape(total, (*places, *ends))
        total = reshape(transpose(total, order), (ends[1], *places, ends[0] * ends[2]))
        return transpose(total, placed((0, rank + 1, *range(1, rank + 1)), g.dimension_numbers.out_spec))

    return lowered_by(finish)(ctx, total)


def _grouped_operand(x: Any, g: Geometry, by_window: bool) -> Any:
    """The operand in the order (group, batch, spatial ..., feature), or with what is summed in front: batch last."""
    batch, feature, *spatial = g.dimension_numbers.lhs_spec
    first, last = (batch, feature) if by_window else (feature, batch)
    x = _spread(transpose(x, (first, *spatial, last)), g, range(1, len(spatial) + 1))
    divided = feature if g.feature_group_count > 1 else batch
    return _groups_first(x, 0 if divided == first else len(spatial) + 1, g.groups)


def _grouped_kernel(w: Any, g: Geometry, by_window: bool) -> Any:
    """The kernel in the order (group, spatial ..., input feature, output feature), or input features in front."""
    feature, summed, *spatial = g.dimension_numbers.rhs_spec
    order = (*spatial, summed, feature) if by_window else (summed, *spatial, feature)
    return _groups_first(transpose(w, order), len(order) - 1, g.groups)


def _groups_first(x: Any, dim: int, groups: int) -> Any:
    """`x` with the groups that a dimension consists of as a new dimension in front."""
    shape = shape_of(x)
    x = reshape(x, (*shape[:dim], groups, shape[dim] // groups, *shape[dim + 1 :]))
    return transpose(x, (dim, *(d for d in range(len(shape) + 1) if d != dim)))


def _place(index: Any, sizes: Sequence[int]) -> list[Any]:
    """The place of this number in a grid, in row-major order."""
    found: list[Any] = []
    for n in reversed(sizes):
        found.append(rem(index, np.int32(n)))
        index = div(index, np.int32(n))
    return found[::-1]


def _window(
    x: Any,
    place: Sequence[Any],
    steps: Sequence[int],
    sizes: Sequence[int],
    strides: Sequence[int],
    first: int = 2,
) -> Any:
    """The elements at `place[d] * steps[d] + i * strides[d]` for `i < sizes[d]`, in the dimensions from `first` on."""
    shape = shape_of(x)
    starts = [np.int32(0)] * len(shape)
    whole, jumps = list(shape), [1] * len(shape)
    for d, (at, step, n, stride) in enumerate(zip(place, steps, sizes, strides), first):
        starts[d] = mul(at, np.int32(step))
        whole[d], jumps[d] = (n - 1) * stride + 1, stride
    return slice(dynamic_slice(x, starts, whole), [0] * len(shape), whole, jumps)


def _loop(ctx: Context, count: int, state: ShapedArray, step: Callable[..., Any], *operands: Value) -> Value:
    """The state, zeros at first, after `step(index, state, *operands)` for each index below `count`."""
    number = ShapedArray((), np.dtype(np.int32))
    run = lowered_by(step)
    start = [ctx.constant(np.int32(0), number), ctx.full(0, state)]
    if count == 1:
        return run(ctx, *start, *operands)

    def condition(c: Context, values: list[Value]) -> Value:
        end = c.constant(np.int32(count), number)
        return c.op(
            "stablehlo.compare",
            (values[0], end),
            ShapedArray((), np.dtype(bool)),
            comparison("LT", number.dtype),
        )

    def body(c: Context, values: list[Value]) -> list[Value]:
        following = c.op("stablehlo.add", (values[0], c.constant(np.int32(1), number)), number)
        return [following, run(c, *values, *operands)]

    return ctx.loop(start, condition, body, no_effects)[1]
