"""Convolutions as functions of arrays.

Invariant: paddings' names and defaults are resolved here, so that operations hold numbers only. A convolution does not turn
its kernel around: it is what mathematics calls a cross-correlation.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from anima import dtypes
from anima.config import default_matmul_precision
from anima.lax.convolution_numbers import (
    ConvDimensionNumbers,
    ConvGeneralDilatedDimensionNumbers,
    Geometry,
    conv_dimension_numbers,
    convolution_pads,
    transposed_pads,
)
from anima.lax.convolution_rules import conv_general_dilated_p
from anima.lax.declare import operand as as_operand
from anima.lax.precision import PrecisionLike, canonical_precision
from anima.lax.shape import refuse_out_sharding, rev, shape_of
from anima.lax.window_shapes import dilated, integers


def conv_general_dilated(
    lhs: Any,
    rhs: Any,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: ConvGeneralDilatedDimensionNumbers = None,
    feature_group_count: int = 1,
    batch_group_count: int = 1,
    precision: PrecisionLike = None,
    preferred_element_type: Any = None,
    out_sharding: Any = None,
) -> Any:
    """The convolution of an array with a kernel, in any number of spatial dimensions.

    Strides, paddings and dilations have one entry for each spatial dimension, in the order in which `dimension_numbers`
    name them for the kernel.

    Args:
      lhs: an array with a batch, a feature and n spatial dimensions, of any dtype.
      rhs: the kernel, of the same dtype: an output feature, an input feature and n spatial dimensions.
      window_strides: the distances between neighbouring windows.
      padding: 'SAME' (one window for each stride, the odd padding at the end), 'SAME_LOWER' (at the beginning), 'VALID'
        (none), or `(low, high)` pairs; negative ones take elements away.
      lhs_dilation: the distances that elements of `lhs` are moved apart to, with zeros between; the convolution is called
        transposed then. Needs explicit padding.
      rhs_dilation: the same for the kernel; the convolution is called dilated then.
      dimension_numbers: which dimension is which, as in `conv_dimension_numbers`; None: `('NCHW', 'OIHW', 'NCHW')`.
      feature_group_count: into how many groups the features of `lhs` are divided. Each is convolved with its part of the
        output features of `rhs`.
      batch_group_count: the same with the batch of `lhs`, which is divided by this number.
      precision: as in `dot_general`.
      preferred_element_type: the dtype to sum and return.
      out_sharding: the result's sharding; needs a mesh with explicit axes.
    Returns:
      An array with a batch, an output feature and n spatial dimensions. Integers wrap around; of booleans, whether any
      pair is True.
    Raises:
      TypeError: dtypes, dimension numbers or numbers of entries do not fit. ValueError: sizes, group counts, padding or
        precision do not. RuntimeError: the padding's name is unknown.

    >>> from anima import lax
    >>> x = lax.reshape(lax.iota("float32", 5), (1, 1, 5))
    >>> print(lax.conv_general_dilated(x, lax.full((1, 1, 2), 1.0), (2,), "VALID"))
    [[[1. 5.]]]
    """
    refuse_out_sharding("conv_general_dilated", out_sharding)
    x, kernel = as_operand(lhs), as_operand(rhs)
    g = geometry_of(
        "conv_general_dilated",
        shape_of(x),
        shape_of(kernel),
        window_strides,
        padding,
        lhs_dilation,
        rhs_dilation,
        dimension_numbers,
        operator.index(feature_group_count),
        operator.index(batch_group_count),
    )
    preferred = None
    if preferred_element_type is not None:
        preferred = dtypes.check_user_dtype_supported(preferred_element_type, "conv_general_dilated")
    return conv_general_dilated_p.bind(
        x,
        kernel,
        **g._asdict(),
        precision=canonical_precision(default_matmul_precision.value if precision is None else precision),
        preferred_element_type=preferred,
    )


def geometry_of(
    name: str,
    lhs_shape: tuple[int, ...],
    rhs_shape: tuple[int, ...],
    window_strides: Any,
    padding: Any,
    lhs_dilation: Any,
    rhs_dilation: Any,
    dimension_numbers: Any,
    feature_group_count: int = 1,
    batch_group_count: int = 1,
) -> Geometry:
    """What the user of the function `name` says about a convolution, checked and complete.

    Raises:
      TypeError, ValueError, RuntimeError: it does not fit the shapes.
    """
    numbers = conv_dimension_numbers(lhs_shape, rhs_shape, dimension_numbers)
    rank = len(lhs_shape) - 2
    if rank < 0:
        raise TypeError(
            f"{name}: lhs and rhs must have at least two dimensions, for batch and features, got shapes {lhs_shape} "
            f"and {rhs_shape}"
        )
    strides = integers(name, "window_strides", window_strides, rank)
    spread = integers(name, "lhs_dilation", lhs_dilation, rank, ones=True)
    steps = integers(name, "rhs_dilation", rhs_dilation, rank, ones=True)
    if isinstance(padding, str) and any(d != 1 for d in spread):
        raise ValueError(
            f"{name}: padding {padding!r} is not defined with lhs_dilation {spread}; give (low, high) pairs, or use "
            "conv_transpose"
        )
    sizes = [lhs_shape[d] for d in numbers.lhs_spec[2:]]
    windows = [dilated(rhs_shape[d], step) for d, step in zip(numbers.rhs_spec[2:], steps)]
    pads = convolution_pads(name, sizes, windows, strides, padding)
    return Geometry(strides, pads, spread, steps, numbers, feature_group_count, batch_group_count)


def conv(
    lhs: Any,
    rhs: Any,
    window_strides: Sequence[int],
    padding: str,
    precision: PrecisionLike = None,
    preferred_element_type: Any = None,
) -> Any:
    """The convolution of arrays in the order (N, C, spatial ...) and (O, I, spatial ...).

    Args:
      lhs, rhs, window_strides, padding, precision, preferred_element_type: as in `conv_general_dilated`.

    >>> from anima import lax
    >>> lax.conv(lax.full((1, 3, 8, 8), 1.0), lax.full((5, 3, 3, 3), 1.0), (2, 2), "SAME").shape
    (1, 5, 4, 4)
    """
    return conv_general_dilated(
        lhs, rhs, window_strides, padding, precision=precision, preferred_element_type=preferred_element_type
    )


def conv_with_general_padding(
    lhs: Any,
    rhs: Any,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int] | None,
    rhs_dilation: Sequence[int] | None,
    precision: PrecisionLike = None,
    preferred_element_type: Any = None,
) -> Any:
    """The convolution of arrays in the order (N, C, spatial ...) and (O, I, spatial ...), with paddings and dilations.

    Args:
      lhs, rhs, window_strides, padding, lhs_dilation, rhs_dilation, precision, preferred_element_type: as in
        `conv_general_dilated`.

    >>> from anima import lax
    >>> x, kernel = lax.full((1, 3, 8, 8), 1.0), lax.full((5, 3, 3, 3), 1.0)
    >>> lax.conv_with_general_padding(x, kernel, (1, 1), ((2, 2), (2, 2)), (1, 1), (1, 1)).shape
    (1, 5, 10, 10)
    """
    return conv_general_dilated(
        lhs,
        rhs,
        window_strides,
        padding,
        lhs_dilation,
        rhs_dilation,
        precision=precision,
        preferred_element_type=preferred_element_type,
    )


_CHANNELS_LAST = {
    2: ("NC", "IO", "NC"),
    3: ("NHC", "HIO", "NHC"),
    4: ("NHWC", "HWIO", "NHWC"),
    5: ("NHWDC", "HWDIO", "NHWDC"),
}


def conv_transpose(
    lhs: Any,
    rhs: Any,
    strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: ConvGeneralDilatedDimensionNumbers = None,
    transpose_kernel: bool = False,
    precision: PrecisionLike = None,
    preferred_element_type: Any = None,
    use_consistent_padding: bool = False,
) -> Any:
    """The transposed convolution: one with a stride of less than 1, which makes arrays larger.

    Args:
      lhs: an array with a batch, a feature and n spatial dimensions.
      rhs: the kernel; it is not turned around, unless `transpose_kernel`.
      strides: how many elements of the result there are for each one of `lhs`.
      padding: 'SAME' (the result is `strides` times as large) or 'VALID' (all that the kernel reaches), or `(low, high)`
        pairs for `lhs` after the elements are moved apart.
      rhs_dilation: the distances that the kernel's elements are moved apart to.
      dimension_numbers: as in `conv_dimension_numbers`; None: `('NHWC', 'HWIO', 'NHWC')` in up to 3 spatial dimensions.
      transpose_kernel: turn the kernel around and exchange its features, so that the result is the cotangent of the
        operand of a convolution with this kernel.
      precision, preferred_element_type: as in `conv_general_dilated`.
      use_consistent_padding: whether pairs are the forward convolution's padding, as names are.
    Raises:
      TypeError, ValueError, RuntimeError: as in `conv_general_dilated`.

    >>> from anima import lax
    >>> x, kernel = lax.full((1, 4, 2), 1.0), lax.full((3, 2, 5), 1.0)
    >>> (
    ...     lax.conv_transpose(x, kernel, (2,), "SAME").shape,
    ...     lax.conv_transpose(x, kernel, (2,), "VALID").shape,
    ... )
    ((1, 8, 5), (1, 9, 5))
    """
    name = "conv_transpose"
    x, kernel = as_operand(lhs), as_operand(rhs)
    rank = len(shape_of(x))
    if dimension_numbers is None:
        if rank not in _CHANNELS_LAST:
            raise ValueError(
                f"{name}: give dimension_numbers for arrays of {rank} dimensions; there are defaults for 2 to 5"
            )
        dimension_numbers = _CHANNELS_LAST[rank]
    numbers = conv_dimension_numbers(shape_of(x), shape_of(kernel), dimension_numbers)
    steps = integers(name, "strides", strides, rank - 2)
    dilation = integers(name, "rhs_dilation", rhs_dilation, rank - 2, ones=True)
    out_features, in_features, *spatial = numbers.rhs_spec
    windows = [dilated(shape_of(kernel)[d], step) for d, step in zip(spatial, dilation)]
    pads = transposed_pads(name, windows, steps, padding, use_consistent_padding)
    if transpose_kernel:
        kernel = rev(kernel, spatial)
        numbers = ConvDimensionNumbers(
            numbers.lhs_spec, (in_features, out_features, *spatial), numbers.out_spec
        )
    return conv_general_dilated(
        x,
        kernel,
        (1,) * (rank - 2),
        pads,
        steps,
        dilation,
        numbers,
        precision=precision,
        preferred_element_type=preferred_element_type,
    )
