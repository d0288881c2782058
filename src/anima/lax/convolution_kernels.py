"""Convolutions by kernels of this library's own, on CPUs.

Invariant: a kernel is called only where the program may call kernels; it computes the sums of `convolution_lowering`, in the
dtype of the result. Padding and holes add zeros or nothing, which differs only where filters are not finite.

The kernels want features last. Of filters whose input features lie last, as they do for the derivative by images, each matrix
is turned on the way; reversed filters are read backwards.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from anima.core.aval import ShapedArray
from anima.lax.convolution_numbers import Geometry, placed
from anima.lax.declare import lowered_by
from anima.lax.shape import reshape, transpose
from anima.lowering.module import Context, Value
from anima.runtime.kernels import MULTIPLIED_AT_ONCE, call_kernel

_FARTHEST = 1 << 24  # strides, dilations and padding that kernels take
_FEW = 4  # output features: the kernel then wants input features last
_RANK = 2  # of the kernels' spatial dimensions


def has_kernel(ctx: Context, lhs: Value, rhs: Value, out: ShapedArray, g: Geometry) -> bool:
    """Whether a kernel computes this convolution of operands that are not empty."""
    dtypes = {lhs.dtype, rhs.dtype, out.dtype}
    if not ctx.module.kernels_allowed or len(dtypes) > 1 or out.dtype not in (np.float32, np.float64):
        return False
    lows = [lo for lo, _ in g.padding]
    far = max((*g.window_strides, *g.lhs_dilation, *g.rhs_dilation, *lows), default=0)
    if not 1 <= len(g.padding) <= _RANK or far > _FARTHEST:
        return False
    return g.groups == 1 or _is_depthwise(lhs, rhs, g) or _is_of_depthwise_filters(lhs, rhs, g)


def _is_depthwise(lhs: Value, rhs: Value, g: Geometry) -> bool:
    features, outs = lhs.shape[g.dimension_numbers.lhs_spec[1]], rhs.shape[g.dimension_numbers.rhs_spec[0]]
    return features == outs == g.feature_group_count


def _is_of_depthwise_filters(lhs: Value, rhs: Value, g: Geometry) -> bool:
    batch, outs = lhs.shape[g.dimension_numbers.lhs_spec[0]], rhs.shape[g.dimension_numbers.rhs_spec[0]]
    return batch == outs == g.batch_group_count and max(g.lhs_dilation) == 1


def by_kernel(ctx: Context, lhs: Value, rhs: Value, out: ShapedArray, g: Geometry) -> Value:
    """The convolution by one of the kernels: where windows are larger than the result, it is one of filters."""
    if g.groups > 1:
        return (_windows if g.feature_group_count > 1 else _filters)(ctx, lhs, rhs, out, g)
    windows = [rhs.shape[d] for d in g.dimension_numbers.rhs_spec[2:]]
    places = g.places(lhs.shape, rhs.shape)
    if math.prod(windows) > math.prod(places) and max(g.lhs_dilation) == 1:
        return _filters(ctx, lhs, rhs, out, g)
    return _windows(ctx, lhs, rhs, out, g)


def _windows(ctx: Context, lhs: Value, rhs: Value, out: ShapedArray, g: Geometry) -> Value:
    lhs_spec, rhs_spec, out_spec = g.dimension_numbers
    depthwise = g.groups > 1
    rhs, is_reversed = (rhs, False) if depthwise else _read_backwards(rhs, rhs_spec[2:])
    few = rhs.shape[rhs_spec[0]] <= _FEW < rhs.shape[rhs_spec[1]]
    turned = not depthwise and (rhs_spec[1] == rhs.ndim - 1 or few)
    ends = (rhs_spec[0], rhs_spec[1]) if turned else (rhs_spec[1], rhs_spec[0])
    x = _arranged(ctx, lhs, (lhs_spec[0], *lhs_spec[2:], lhs_spec[1]), 1)
    w = _arranged(ctx, rhs, (*rhs_spec[2:], *ends), 0)
    places = g.places(lhs.shape, rhs.shape)
    whole = (lhs.shape[lhs_spec[0]], *_missing(g), *places, rhs.shape[rhs_spec[0]])
    attributes = _attributes(g)
    if not depthwise:
        attributes |= {"turned": turned, "reversed": is_reversed}
    name = "anima_depthwise" if depthwise else "anima_convolution"
    work = math.prod(places) * whole[0] * math.prod(rhs.shape) // MULTIPLIED_AT_ONCE
    (y,) = call_kernel(ctx, name, (x, w), [ShapedArray(whole, out.dtype)], attributes, work=work)
    return _returned(ctx, y, (whole[0], *places, whole[-1]), (0, -1, *range(1, len(places) + 1)), out_spec)


def _filters(ctx: Context, lhs: Value, rhs: Value, out: ShapedArray, g: Geometry) -> Value:
    lhs_spec, rhs_spec, out_spec = g.dimension_numbers
    x = _arranged(ctx, lhs, (lhs_spec[1], *lhs_spec[2:], lhs_spec[0]), 1)
    w = _arranged(ctx, rhs, (rhs_spec[1], *rhs_spec[2:], rhs_spec[0]), 1)
    places = g.places(lhs.shape, rhs.shape)
    shape = (*places, lhs.shape[lhs_spec[0]] // g.groups, rhs.shape[rhs_spec[0]])
    whole = ShapedArray((*_missing(g), *shape), out.dtype)
    name = "anima_convolution_filters" if g.groups == 1 else "anima_depthwise_filters"
    work = math.prod(rhs.shape) * math.prod(shape[:-1]) // MULTIPLIED_AT_ONCE
    (y,) = call_kernel(ctx, name, (x, w), [whole], _attributes(g), work=work)
    return _returned(ctx, y, shape, (-2, -1, *range(len(places))), out_spec)


def _read_backwards(rhs: Value, spatial: Sequence[int]) -> tuple[Value, bool]:
    """What a kernel reads, and whether backwards along all spatial dimensions."""
    if rhs.reversal is None:
        return rhs, False
    source, dimensions = rhs.reversal
    turned = {d for d in dimensions if rhs.shape[d] > 1}
    fits = turned == {d for d in spatial if rhs.shape[d] > 1}
    return (source, True) if fits else (rhs, False)


def _missing(g: Geometry) -> tuple[int, ...]:
    """The sizes of spatial dimensions that the kernels have and the operands have not."""
    return (1,) * (_RANK - len(g.padding))


def _attributes(g: Geometry) -> dict[str, int | bool]:
    lows = [lo for lo, _ in g.padding]
    lies = [(1, 0, 1, 1) for _ in _missing(g)]
    lies += zip(g.window_strides, lows, g.lhs_dilation, g.rhs_dilation)
    names = "stride", "low", "base", "step"
    return {f"{name}{d}": value for d, lie in enumerate(lies) for name, value in zip(names, lie)}


def _arranged(ctx: Context, x: Value, order: Sequence[int], at: int) -> Value:
    """The operand with its dimensions in this order, and the missing ones where they belong."""
    sizes = [x.shape[d] for d in order]
    whole = (*sizes[:at], *(1,) * (_RANK + 2 - x.ndim), *sizes[at:])
    return lowered_by(lambda v: reshape(transpose(v, order), whole))(ctx, x)


def _returned(ctx: Context, y: Value, shape: Sequence[int], order: Sequence[int], out_spec: Any) -> Value:
    """The result without missing dimensions; `order` puts the batch and the features in front."""
    canonical = [d % len(shape) for d in order]
    return lowered_by(lambda v: transpose(reshape(v, shape), placed(canonical, out_spec)))(ctx, y)
