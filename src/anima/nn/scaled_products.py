"""Products of operands in narrow floating-point numbers, with a scale for each block of them.

Invariant: a block lies along the contracted dimension. Products are computed in float32 by XLA's ordinary operations, so
they mean the same on every platform.

Source: Open Compute Project, "OCP Microscaling Formats (MX) Specification" 1.0 (2023).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy

import anima.numpy as np
from anima import dtypes, lax
from anima.custom_derivatives import custom_vjp
from anima.numpy.promotion import dtype_of, shape_of


@dataclasses.dataclass
class BlockScaleConfig:
    """How `scaled_dot_general` rounds an operand.

    `global_scale` is a divisor of the whole operand, of shape `(1,)`, or None; with `infer_only` the product has no
    derivatives.
    """

    mode: str
    block_size: int
    data_type: Any
    scale_type: Any
    global_scale: Any
    infer_only: bool


def get_scaled_dot_general_config(mode: str, global_scale: Any = None) -> BlockScaleConfig:
    """The settings of `scaled_dot_general` for a format.

    Args:
      mode: "mxfp8", 8-bit numbers in blocks of 32 with powers of two as scales; or "nvfp4", 4-bit numbers in blocks of 16
        with scales of 8 bits.
      global_scale: for "nvfp4", a divisor of the whole operand, an array of shape `(1,)`; by default 1.
    Raises:
      ValueError: the mode is another.

    >>> from anima import nn
    >>> nn.get_scaled_dot_general_config("mxfp8").block_size
    32
    """
    if mode == "mxfp8":
        return BlockScaleConfig(mode, 32, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e8m0fnu, None, False)
    if mode == "nvfp4":
        scale = np.ones((1,), dtypes.float32) if global_scale is None else global_scale
        return BlockScaleConfig(mode, 16, ml_dtypes.float4_e2m1fn, ml_dtypes.float8_e4m3fn, scale, False)
    raise ValueError(f"get_scaled_dot_general_config: mode must be 'mxfp8' or 'nvfp4', got {mode!r}")


def scaled_matmul(
    lhs: Any, rhs: Any, lhs_scales: Any, rhs_scales: Any, preferred_element_type: Any = numpy.float32
) -> Any:
    """`einsum("bmk,bnk->bmn")` of operands times the scales of their blocks.

    Args:
      lhs, rhs: arrays of shapes `(B, M, K)` and `(B, N, K)`.
      lhs_scales, rhs_scales: arrays of shapes `(B, M, C)` and `(B, N, C)`, where C divides K.
      preferred_element_type: the dtype of the result; it is computed in float32.
    Returns:
      an array of shape `(B, M, N)`.
    Raises:
      ValueError: shapes do not fit.

    >>> import anima.numpy as np
    >>> from anima import nn
    >>> a, b = np.array([[[1, 2, 3]]]), np.array([[[4, 5, 6]]])
    >>> half = np.full((1, 1, 1), 0.5)
    >>> print(nn.scaled_matmul(a, b, half, half))
    [[[8.]]]
    """
    lhs, rhs, lhs_scales, rhs_scales = operands = [np.asarray(x) for x in (lhs, rhs, lhs_scales, rhs_scales)]
    one, other, one_scale, other_scale = shapes = [shape_of(x) for x in operands]
    if any(len(shape) != 3 for shape in shapes):
        raise ValueError(f"scaled_matmul: all operands must have three dimensions, got shapes {shapes}")
    if one[::2] != other[::2]:
        raise ValueError(
            f"scaled_matmul: lhs and rhs must agree in their first and last dimension, got {one} and {other}"
        )
    if one_scale[:2] != one[:2] or other_scale[:2] != other[:2] or one_scale[2] != other_scale[2]:
        raise ValueError(
            f"scaled_matmul: scales must have shapes (*{one[:2]}, C) and (*{other[:2]}, C) with one number C of blocks, got "
            f"{one_scale} and {other_scale}"
        )
    if not one_scale[2] or one[2] % one_scale[2]:
        raise ValueError(
            f"scaled_matmul: the number of blocks, {one_scale[2]}, must divide the last dimension, {one[2]}"
        )
    product = np.einsum("bmk,bnk->bmn", _spread(lhs, lhs_scales), _spread(rhs, rhs_scales))
    return product.astype(preferred_element_type)


def _spread(x: Any, scales: Any) -> Any:
    """`x` times the scale of each element's block, in float32."""
    count, size = scales.shape[-1], x.shape[-1]
    blocks = x.astype(dtypes.float32).reshape(*x.shape[:-1], count, size // count)
    return (blocks * scales.astype(dtypes.float32)[..., None]).reshape(x.shape)


def _power_of_two_above(x: Any) -> Any:
    """The least power of two that is not less than `x`, positive numbers, within the range of `float8_e8m0fnu`."""
    mantissa, exponent = np.frexp(x)
    exponent = np.clip(np.where(mantissa == 0.5, exponent - 1, exponent), -126, 127)
    return np.where(x > 0, np.ldexp(np.ones_like(x), exponent), 2.0**-126)


def _quantized(x: Any, config: BlockScaleConfig) -> tuple[Any, Any]:
    """`x` of shape `(B, M, K)` in the narrow dtype, and the scales of its blocks."""
    size = config.block_size
    blocks = x.astype(dtypes.float32).reshape(*x.shape[:-1], x.shape[-1] // size, size)
    if config.global_scale is not None:
        blocks = blocks / np.asarray(config.global_scale, dtypes.float32)
    largest = float(dtypes.finfo(config.data_type).max)
    wanted = np.max(np.abs(blocks), axis=-1, initial=0.0) / largest
    if config.mode == "mxfp8":
        scales = _power_of_two_above(wanted).astype(config.scale_type)
    else:
        highest = float(dtypes.finfo(config.scale_type).max)
        scales = lax.optimization_barrier(np.clip(wanted, 0.0, highest).astype(config.scale_type))
    divisor = scales.astype(dtypes.float32)[..., None]
    ratio = np.where(divisor == 0, 0.0, blocks / np.where(divisor == 0, 1.0, divisor))
    narrow = np.clip(ratio, -largest, largest).astype(config.data_type)
    return narrow.reshape(x.shape), scales


def _product(lhs: Any, rhs: Any, kind: Any, one: BlockScaleConfig, other: BlockScaleConfig) -> Any:
    (a, a_scales), (b, b_scales) = _quantized(lhs, one), _quantized(rhs, other)
    result = scaled_matmul(a, b, a_scales, b_scales, dtypes.float32)
    for config in (one, other):
        if config.global_scale is not None:
            result = result * np.asarray(config.global_scale, dtypes.float32)
    return result.astype(kind)


def _differentiable(kind: Any, configs: Sequence[BlockScaleConfig]) -> Any:
    """The product of stacks of matrices whose derivatives are products of rounded operands, too."""
    one, other, slope = configs

    @custom_vjp
    def product(lhs: Any, rhs: Any) -> Any:
        return _product(lhs, rhs, kind, one, other)

    def forward(lhs: Any, rhs: Any) -> Any:
        return product(lhs, rhs), (lhs, rhs)

    def backward(operands: Any, cotangent: Any) -> Any:
        lhs, rhs = operands
        turned = [np.swapaxes(x, 1, 2) for x in (cotangent, lhs, rhs)]
        to_lhs = _product(cotangent, turned[2], dtype_of(lhs), slope, other)
        return to_lhs, _product(turned[0], turned[1], dtype_of(rhs), slope, one)

    product.defvjp(forward, backward)
    return product


_RESULTS = ("float32", "bfloat16", "float16")


def scaled_dot_general(
    lhs: Any,
    rhs: Any,
    dimension_numbers: Any,
    preferred_element_type: Any = numpy.float32,
    configs: Sequence[BlockScaleConfig] | None = None,
    implementation: str | None = None,
) -> Any:
    """`lax.dot_general` of operands that are rounded to narrow numbers with a scale for each block.

    Derivatives are products of the same kind, as if rounding were the identity.

    Args:
      lhs, rhs: arrays.
      dimension_numbers: as for `lax.dot_general`.
      preferred_element_type: the dtype of the result: float32, bfloat16 or float16.
      configs: three values of `get_scaled_dot_general_config`, for `lhs`, `rhs` and cotangents; None multiplies without
        rounding.
      implementation: has no effect.
    Raises:
      TypeError: the dtype of the result is another.
      ValueError: there are not three configurations, or the number of contracted elements (in derivatives: of rows) is
        no multiple of a block's size.

    >>> import anima.numpy as np
    >>> from anima import nn
    >>> x = np.ones((2, 64))
    >>> configs = [nn.get_scaled_dot_general_config("mxfp8")] * 3
    >>> print(nn.scaled_dot_general(x, x, (([1], [1]), ([], [])), configs=configs))
    [[64. 64.]
     [64. 64.]]
    """
    lhs, rhs = np.asarray(lhs), np.asarray(rhs)
    if configs is None:
        return lax.dot_general(lhs, rhs, dimension_numbers, preferred_element_type=preferred_element_type)
    kind = dtypes.as_dtype(preferred_element_type)
    if dtypes.dtype_name(kind) not in _RESULTS:
        raise TypeError(
            f"scaled_dot_general: preferred_element_type must be one of {', '.join(_RESULTS)}, got {preferred_element_type}"
        )
    if len(configs) != 3:
        raise ValueError(f"scaled_dot_general: configs must be three, got {len(configs)}")
    (contract, batch) = dimension_numbers
    stacks, free = zip(*(_stack(x, c, b) for x, c, b in zip((lhs, rhs), contract, batch)))
    size = stacks[0].shape[-1]
    for config in configs[:2]:
        if size % config.block_size:
            raise ValueError(
                f"scaled_dot_general: the number of contracted elements, {size}, must be a multiple of the block size "
                f"{config.block_size}"
            )
    if any(config.infer_only for config in configs):
        result = _product(stacks[0], stacks[1], kind, configs[0], configs[1])
    else:
        result = _differentiable(kind, configs)(*stacks)
    return result.reshape(*(lhs.shape[d] for d in batch[0]), *free[0], *free[1])


def _stack(x: Any, contract: Sequence[int], batch: Sequence[int]) -> tuple[Any, tuple[int, ...]]:
    """An operand of shape `(batch, free, contracted)`, and the sizes of its free dimensions."""
    free = [d for d in range(x.ndim) if d not in (*contract, *batch)]
    sizes = [[x.shape[d] for d in part] for part in (batch, free, contract)]
    turned = np.transpose(x, (*batch, *free, *contract))
    return turned.reshape([math.prod(part) for part in sizes]), tuple(sizes[1])
