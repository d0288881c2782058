"""The convolution: one operation with every layout, stride, padding, dilation and grouping.

Invariant: parameters are canonical when the operation is bound; the shape rule says whether they fit the operands. Sizes of
zero are right everywhere, for an empty sum is zero. Negative padding takes elements away, also those that dilation put in.

In each spatial dimension `result[m] = sum over k of operand[(m * stride + k * kernel_dilation - low) / dilation] * kernel[k]`,
where the operand is zero at places that are no integers or outside. So the cotangents of both are convolutions again, in which
the stride and one of the dilations change places.
"""

from __future__ import annotations

import math
from typing import Any

from anima import dtypes
from anima.core import hooks
from anima.core.aval import ShapedArray, array_aval
from anima.core.primitive import Zero
from anima.core.trace import aval_of
from anima.interpreters.batch import Axis, without_axis
from anima.interpreters.zeros import add as add_zeros
from anima.lax.convert import convert_element_type
from anima.lax.convolution_lowering import lower_convolution
from anima.lax.convolution_numbers import ConvDimensionNumbers, Geometry, placed
from anima.lax.declare import ANY, FLOAT8, SUBBYTE, check_dtype, declare, is_linear, widening
from anima.lax.shape import dtype_of, reshape, rev, shape_of
from anima.lax.window_shapes import dilated

_NAME = "conv_general_dilated"

# --- shapes and dtypes ------------------------------------------------------------------------


def _conv_shape(
    lhs: ShapedArray, rhs: ShapedArray, *, precision: Any, preferred_element_type: Any, **geometry: Any
) -> ShapedArray:
    check_dtype(_NAME, lhs, ANY, "lhs")
    if lhs.dtype != rhs.dtype:
        raise TypeError(
            f"{_NAME}: lhs and rhs must have the same dtype, got {dtypes.dtype_name(lhs.dtype)} and "
            f"{dtypes.dtype_name(rhs.dtype)}; convert one of them with lax.convert_element_type"
        )
    g = Geometry(**geometry)
    _check_groups(lhs.shape, rhs.shape, g)
    if any(rhs.shape[d] == 0 for d in g.dimension_numbers.rhs_spec[2:]):
        raise ValueError(f"{_NAME}: the spatial dimensions of rhs must not be empty, got shape {rhs.shape}")
    batch = lhs.shape[g.dimension_numbers.lhs_spec[0]] // g.batch_group_count
    features = rhs.shape[g.dimension_numbers.rhs_spec[0]]
    shape = placed((batch, features, *g.places(lhs.shape, rhs.shape)), g.dimension_numbers.out_spec)
    if preferred_element_type is None:
        return ShapedArray(shape, lhs.dtype, lhs.weak_type and rhs.weak_type)
    check_preferred(lhs.dtype, preferred_element_type)
    return ShapedArray(shape, preferred_element_type)


def _check_groups(lhs_shape: tuple[int, ...], rhs_shape: tuple[int, ...], g: Geometry) -> None:
    batch, features = (lhs_shape[d] for d in g.dimension_numbers.lhs_spec[:2])
    out_features, summed = (rhs_shape[d] for d in g.dimension_numbers.rhs_spec[:2])
    for name, count, what, size in (
        ("feature_group_count", g.feature_group_count, "feature", features),
        ("batch_group_count", g.batch_group_count, "batch", batch),
    ):
        if count < 1:
            raise ValueError(f"{_NAME}: {name} must be positive, got {count}")
        if size % count:
            raise ValueError(
                f"{_NAME}: {name} {count} must divide the {what} dimension of lhs, which is {size} in shape {lhs_shape}"
            )
        if out_features % count:
            raise ValueError(
                f"{_NAME}: {name} {count} must divide the output feature dimension of rhs, which is {out_features} "
                f"in shape {rhs_shape}"
            )
    if g.feature_group_count > 1 and g.batch_group_count > 1:
        raise ValueError(
            f"{_NAME}: feature_group_count {g.feature_group_count} and batch_group_count {g.batch_group_count} must not "
            "both be more than 1"
        )
    if features // g.feature_group_count != summed:
        raise ValueError(
            f"{_NAME}: the input feature dimension of rhs must be that of lhs divided by feature_group_count, "
            f"{features} // {g.feature_group_count}, got {summed} for shapes {lhs_shape} and {rhs_shape} and "
            f"{g.dimension_numbers}"
        )


def check_preferred(given: Any, preferred: Any) -> None:
    """Raise TypeError unless sums of products of dtype `given` may be returned as `preferred`."""
    if dtypes.is_bool(given):
        return
    kinds = [
        "integer"
        if dtypes.is_int(d)
        else "float"
        if dtypes.is_float(d)
        else "complex"
        if dtypes.is_complex(d)
        else "bool"
        for d in (given, preferred)
    ]
    names = dtypes.dtype_name(preferred), dtypes.dtype_name(given)
    word = f"{_NAME}: preferred_element_type {names[0]}"
    if kinds[0] != kinds[1] and kinds != ["integer", "float"]:
        raise TypeError(f"{word} does not hold sums of {names[1]}; give a dtype of the same kind")
    if (
        kinds == ["integer", "integer"]
        and dtypes.is_signed_int(given)
        and not dtypes.is_signed_int(preferred)
    ):
        raise TypeError(f"{word} must be signed, as {names[1]} is")
    if preferred.itemsize < given.itemsize:
        raise TypeError(f"{word} must not be narrower than {names[1]}")


# --- derivatives ------------------------------------------------------------------------------


def _conv_jvp(primals: Any, tangents: Any, **params: Any) -> tuple[Any, Any]:
    (lhs, rhs), (t_lhs, t_rhs) = primals, tangents
    ans = conv_general_dilated_p.bind(lhs, rhs, **params)
    total: Any = Zero(aval_of(ans).tangent_aval())
    if type(t_lhs) is not Zero:
        total = conv_general_dilated_p.bind(t_lhs, rhs, **params)
    if type(t_rhs) is not Zero:
        total = add_zeros(total, conv_general_dilated_p.bind(lhs, t_rhs, **params))
    return ans, total


def _conv_transpose(
    ct: Any, lhs: Any, rhs: Any, *, precision: Any, preferred_element_type: Any, **geometry: Any
) -> list[Any]:
    g = Geometry(**geometry)
    of_lhs = is_linear(lhs)
    x, other = (lhs, rhs) if of_lhs else (rhs, lhs)
    if not math.prod(shape_of(ct)) or not math.prod(shape_of(other)):
        found = hooks.zeros(x.aval)
    else:
        # Where results are wider than operands, so are cotangents.
        other = convert_element_type(other, dtype_of(ct)) if dtype_of(other) != dtype_of(ct) else other
        rule = _lhs_cotangent if of_lhs else _rhs_cotangent
        found = rule(ct, x.shape, other, g, precision)
        found = convert_element_type(found, x.dtype) if dtype_of(found) != x.dtype else found
    return [found, None] if of_lhs else [None, found]


def _convolved(lhs: Any, rhs: Any, g: Geometry, precision: Any) -> Any:
    return conv_general_dilated_p.bind(
        lhs, rhs, precision=precision, preferred_element_type=None, **g._asdict()
    )


def _lhs_cotangent(ct: Any, shape: tuple[int, ...], rhs: Any, g: Geometry, precision: Any) -> Any:
    """`ct` moved apart by the stride, convolved with the reversed kernel whose features have changed places."""
    lhs_spec, rhs_spec, out_spec = g.dimension_numbers
    out_features, summed, *spatial = rhs_spec
    windows = g.window(shape_of(rhs))
    kernel = rev(rhs, spatial)
    # With groups, the output features of a group are what is summed over in that group.
    kernel = _moved_groups(kernel, g.groups, out_features, summed)
    low = [w - 1 - lo for w, (lo, _) in zip(windows, g.padding)]
    spread = [dilated(shape_of(ct)[d], stride) for d, stride in zip(out_spec[2:], g.window_strides)]
    high = [n + w - 1 - lo - m for n, w, lo, m in zip(g.base(shape), windows, low, spread)]
    inner = Geometry(
        g.lhs_dilation,
        tuple(zip(low, high)),
        g.window_strides,
        g.rhs_dilation,
        ConvDimensionNumbers(out_spec, (summed, out_features, *spatial), lhs_spec),
        g.groups,
        1,
    )
    found = _convolved(ct, kernel, inner, precision)
    # With batch groups, the groups are part of the features now.
    return _moved_groups(found, g.batch_group_count, lhs_spec[1], lhs_spec[0])


def _rhs_cotangent(ct: Any, shape: tuple[int, ...], lhs: Any, g: Geometry, precision: Any) -> Any:
    """The operand convolved with `ct` as its kernel: the batch is what is summed over."""
    lhs_spec, rhs_spec, out_spec = g.dimension_numbers
    spread = [dilated(shape_of(ct)[d], stride) for d, stride in zip(out_spec[2:], g.window_strides)]
    low = [lo for lo, _ in g.padding]
    sizes = zip(g.window(shape), spread, low, g.base(shape_of(lhs)))
    high = [w + m - 1 - lo - n for w, m, lo, n in sizes]
    inner = Geometry(
        g.rhs_dilation,
        tuple(zip(low, high)),
        g.lhs_dilation,
        g.window_strides,
        ConvDimensionNumbers(
            (lhs_spec[1], lhs_spec[0], *lhs_spec[2:]),
            (out_spec[1], out_spec[0], *out_spec[2:]),
            (rhs_spec[1], rhs_spec[0], *rhs_spec[2:]),
        ),
        g.batch_group_count,
        g.feature_group_count,
    )
    return _convolved(lhs, ct, inner, precision)


def _moved_groups(x: Any, groups: int, source: int, target: int) -> Any:
    """`x` with the groups that dimension `source` consists of made part of dimension `target`, in front."""
    if groups == 1:
        return x
    shape = list(shape_of(x))
    split = reshape(x, (*shape[:source], groups, shape[source] // groups, *shape[source + 1 :]))
    moved = hooks.move_axis(split, source, target)
    shape[source] //= groups
    shape[target] *= groups
    return reshape(moved, shape)


# --- batching ---------------------------------------------------------------------------------


def _conv_batch(
    axis: Axis, args: Any, dims: Any, *, precision: Any, preferred_element_type: Any, **geometry: Any
) -> tuple[Any, int]:
    g = Geometry(**geometry)
    lhs_spec, rhs_spec, out_spec = g.dimension_numbers
    more = {"precision": precision, "preferred_element_type": preferred_element_type}
    lhs, rhs = args
    lhs_dim, rhs_dim = dims
    size = axis.size
    if size == 0:
        given = [aval_of(x) for x in args]
        avals = [array_aval(a if d is None else without_axis(a, d)) for a, d in zip(given, dims)]
        one = _conv_shape(*avals, **geometry | more)
        return hooks.zeros(one.update(shape=(0, *one.shape))), 0
    if lhs_dim is not None and rhs_dim is not None:  # further groups
        batched = g.batch_group_count > 1
        lhs = _merged(lhs, lhs_dim, lhs_spec[0 if batched else 1], 1)
        rhs = _merged(rhs, rhs_dim, rhs_spec[0], 1)
        name = "batch_group_count" if batched else "feature_group_count"
        more |= {name: getattr(g, name) * size}
        place, groups = out_spec[1], 1
    elif lhs_dim is not None:  # a larger batch
        lhs = _merged(lhs, lhs_dim, lhs_spec[0], g.batch_group_count)
        place, groups = out_spec[0], 1
    else:  # more output features
        rhs = _merged(rhs, rhs_dim, rhs_spec[0], g.groups)
        place, groups = out_spec[1], g.groups
    out = conv_general_dilated_p.bind(lhs, rhs, **geometry | more)
    return _unmerged(out, size, place, groups)


def _merged(x: Any, dim: int, target: int, groups: int) -> Any:
    """`x` with its mapped axis made part of dimension `target`, behind the groups that it consists of."""
    shape = (*shape_of(x)[:dim], *shape_of(x)[dim + 1 :])
    whole = shape_of(x)[dim] * shape[target]
    x = hooks.move_axis(x, dim, target)
    if groups > 1:
        n = shape[target] // groups
        x = reshape(x, (*shape[:target], shape_of(x)[target], groups, n, *shape[target + 1 :]))
        x = hooks.move_axis(x, target, target + 1)
    return reshape(x, (*shape[:target], whole, *shape[target + 1 :]))


def _unmerged(x: Any, size: int, place: int, groups: int) -> tuple[Any, int]:
    """The inverse of `_merged`, and where the mapped axis is."""
    shape = shape_of(x)
    inner = shape[place] // (size * groups)
    if groups == 1:
        return reshape(x, (*shape[:place], size, inner, *shape[place + 1 :])), place
    x = reshape(x, (*shape[:place], groups, size, inner, *shape[place + 1 :]))
    x = hooks.move_axis(x, place + 1, place)
    return reshape(x, (*shape[:place], size, groups * inner, *shape[place + 1 :])), place


conv_general_dilated_p = declare(
    "conv_general_dilated",
    shape=_conv_shape,
    lower=widening((*SUBBYTE, *FLOAT8), lower_convolution),
    jvp=_conv_jvp,
    transpose=_conv_transpose,
    batch=_conv_batch,
    dtypes=ANY,
)
