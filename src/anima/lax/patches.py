"""The windows of a convolution as features, and convolutions whose kernel differs from place to place.

Invariant: extracting patches moves data and computes nothing, so it is exact for every dtype, infinities and NaNs too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from anima import dtypes
from anima.core.trace import shaped
from anima.lax.contraction import dot_general
from anima.lax.convert import convert_element_type
from anima.lax.convolution import geometry_of
from anima.lax.convolution_numbers import (
    ConvDimensionNumbers,
    ConvGeneralDilatedDimensionNumbers,
    conv_dimension_numbers,
    placed,
)
from anima.lax.convolution_rules import check_preferred
from anima.lax.create import full
from anima.lax.declare import ANY, check_dtype, operand as as_operand
from anima.lax.joining import pad
from anima.lax.precision import PrecisionLike, canonical_precision
from anima.lax.shape import dtype_of, reshape, shape_of, transpose
from anima.lax.window_shapes import integers
from anima.lax.window_slices import windows_along


def conv_general_dilated_patches(
    lhs: Any,
    filter_shape: Sequence[int],
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: ConvGeneralDilatedDimensionNumbers = None,
    precision: PrecisionLike = None,
    preferred_element_type: Any = None,
) -> Any:
    """The windows that a convolution sees, each as the features of one place.

    Args:
      lhs: an array with a batch, a feature and n spatial dimensions, of any dtype.
      filter_shape: the n sizes of a window, in the order in which `dimension_numbers` name them for the kernel.
      window_strides, padding, lhs_dilation, rhs_dilation, dimension_numbers: as in `conv_general_dilated`.
      precision: accepted for the sake of the signature; patches are exact.
      preferred_element_type: the dtype to return.
    Returns:
      An array whose feature dimension holds, for each feature of `lhs`, the elements of the window in row-major order.
    Raises:
      TypeError, ValueError, RuntimeError: as in `conv_general_dilated`.

    >>> from anima import lax
    >>> x = lax.reshape(lax.iota("int32", 4), (1, 1, 4))
    >>> print(lax.conv_general_dilated_patches(x, (2,), (1,), "VALID"))
    [[[0 1 2]
      [1 2 3]]]
    """
    name = "conv_general_dilated_patches"
    canonical_precision(precision)
    x = as_operand(lhs)
    asked = (filter_shape, window_strides, padding, lhs_dilation, rhs_dilation, dimension_numbers)
    patches, numbers = _patches(name, x, *asked)
    patches = transpose(patches, placed(range(len(shape_of(x))), numbers.out_spec))
    if preferred_element_type is None:
        return patches
    preferred = dtypes.check_user_dtype_supported(preferred_element_type, name)
    check_preferred(dtype_of(x), preferred)
    return convert_element_type(patches, preferred)


def _patches(
    name: str,
    x: Any,
    filter_shape: Any,
    window_strides: Any,
    padding: Any,
    lhs_dilation: Any,
    rhs_dilation: Any,
    dimension_numbers: Any,
) -> tuple[Any, ConvDimensionNumbers]:
    """The patches in the order (batch, feature, spatial ...), and the dimension numbers."""
    shape = shape_of(x)
    if len(shape) < 2:
        raise TypeError(f"{name}: lhs must have a batch and a feature dimension, got shape {shape}")
    check_dtype(name, shaped(x), ANY, "lhs")
    windows = integers(name, "filter_shape", filter_shape, max(len(shape) - 2, 0))
    numbers = conv_dimension_numbers(shape, shape, dimension_numbers)
    kernel = placed((1, 1, *windows), numbers.rhs_spec)
    g = geometry_of(name, shape, kernel, window_strides, padding, lhs_dilation, rhs_dilation, numbers)
    places = g.places(shape, kernel)
    if 0 in places:  # a window larger than the array may be of any size
        n, features = (shape[d] for d in numbers.lhs_spec[:2])
        return full((n, features * math.prod(windows), *places), 0, dtype_of(x)), numbers
    edges = [(lo, hi, step - 1) for (lo, hi), step in zip(g.padding, g.lhs_dilation)]
    x = pad(transpose(x, numbers.lhs_spec), dtype_of(x).type(0), [(0, 0, 0), (0, 0, 0), *edges])
    for i, lie in enumerate(zip(windows, places, g.window_strides, g.rhs_dilation)):
        # Its dimensions are batch, feature, the places in the window so far, those of windows so far, the others.
        x = windows_along(x, 2 + 2 * i, 2 + i, *lie)
    n, features = shape_of(x)[:2]
    return reshape(x, (n, features * math.prod(windows), *places)), numbers


def conv_general_dilated_local(
    lhs: Any,
    rhs: Any,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    filter_shape: Sequence[int],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: ConvGeneralDilatedDimensionNumbers = None,
    precision: PrecisionLike = None,
) -> Any:
    """A convolution with a kernel of its own for each place of the result.

    Args:
      lhs: an array with a batch, a feature and n spatial dimensions.
      rhs: the kernels: their spatial dimensions are those of the result; their input feature dimension holds, for each
        feature of `lhs`, the elements of the window in row-major order.
      filter_shape: the n sizes of a window, in the order in which `dimension_numbers` name them for the kernel.
      window_strides, padding, lhs_dilation, rhs_dilation, dimension_numbers, precision: as in `conv_general_dilated`.
    Returns:
      An array of the shape that `conv_general_dilated` gives.
    Raises:
      TypeError, ValueError, RuntimeError: as in `conv_general_dilated`.

    >>> from anima import lax
    >>> x = lax.full((1, 3, 8), 1.0)
    >>> lax.conv_general_dilated_local(x, lax.full((5, 6, 7), 1.0), (1,), "VALID", (2,)).shape
    (1, 5, 7)
    """
    name = "conv_general_dilated_local"
    x, kernel = as_operand(lhs), as_operand(rhs)
    conv_dimension_numbers(shape_of(x), shape_of(kernel), dimension_numbers)
    asked = (filter_shape, window_strides, padding, lhs_dilation, rhs_dilation, dimension_numbers)
    patches, numbers = _patches(name, x, *asked)
    _, summed, *spatial = numbers.rhs_spec
    given = tuple(shape_of(kernel)[d] for d in (summed, *spatial))
    if given != shape_of(patches)[1:]:
        raise TypeError(
            f"{name}: rhs must have the input feature dimension and the spatial dimensions {shape_of(patches)[1:]}, got "
            f"{given} for its shape {shape_of(kernel)} and {numbers}"
        )
    rank = len(spatial)
    batch = tuple(range(2, rank + 2)), tuple(spatial)
    product = dot_general(patches, kernel, (((1,), (summed,)), batch), precision)
    return transpose(product, placed((rank, rank + 1, *range(rank)), numbers.out_spec))
