"""Products of scaled operands: `scaled_dot`.

Invariant: a scale belongs to a block of its operand, along contracting dimensions; operands are scaled in the dtype of the
result. It is the composite "xla.scaled_dot", which compilers for hardware with such products know.
"""

from __future__ import annotations

from typing import Any

from anima import dtypes
from anima.core.aval import dims as as_dims
from anima.lax.arithmetic import mul
from anima.lax.composite import composite
from anima.lax.contraction import DotDimensionNumbers, dot_general
from anima.lax.convert import convert_element_type
from anima.lax.create import full
from anima.lax.declare import operand as as_operand
from anima.lax.shape import broadcast_in_dim, reshape, shape_of


def _check_scale(
    side: str, shape: tuple[int, ...], scale: tuple[int, ...], contract: tuple[int, ...]
) -> None:
    for d, (size, count) in enumerate(zip(shape, scale)):
        if d not in contract:
            if count != size:
                raise TypeError(
                    f"scaled_dot: dimension {d} of {side}_scale must have size {size}, as in {side}, got {count}"
                )
        elif count == 0 or size % count:
            raise TypeError(
                f"scaled_dot: contracting dimension {d} of {side}, of size {size}, must be a multiple of its scale's size "
                f"{count}"
            )
        elif size // count < 2:
            raise TypeError(
                f"scaled_dot: contracting dimension {d} of {side}_scale must be at most half as large as that of {side}, "
                f"{size}, got {count}; multiply by such scales before"
            )


def _scaled(x: Any, scale: Any, dtype: Any) -> Any:
    """`x` times the scale of each element's block, which has a size of 1 where there is one for all."""
    shape, counts = shape_of(x), shape_of(scale)
    pairs = [part for size, count in zip(shape, counts) for part in (count, size // count if count else 1)]
    spread = broadcast_in_dim(scale, pairs, tuple(range(0, len(pairs), 2)))
    return mul(convert_element_type(x, dtype), convert_element_type(reshape(spread, shape), dtype))


def _decomposition(
    lhs: Any, rhs: Any, lhs_scale: Any, rhs_scale: Any, *, dimension_numbers: Any, preferred_element_type: Any
) -> Any:
    dtype = preferred_element_type
    return dot_general(_scaled(lhs, lhs_scale, dtype), _scaled(rhs, rhs_scale, dtype), dimension_numbers)


_scaled_dot = composite(_decomposition, "xla.scaled_dot")


def scaled_dot(
    lhs: Any,
    rhs: Any,
    *,
    lhs_scale: Any = None,
    rhs_scale: Any = None,
    dimension_numbers: DotDimensionNumbers | None = None,
    preferred_element_type: Any = None,
) -> Any:
    """The product of `lhs * lhs_scale` and `rhs * rhs_scale`, with scales for blocks of elements.

    Args:
      lhs, rhs: arrays of at least two dimensions, such as narrow floating-point ones.
      lhs_scale, rhs_scale: arrays with the sizes of their operands, but for contracting dimensions, whose size divides that
        of the operand and is at most half of it. None for no scale.
      dimension_numbers: as in `dot_general`; by default those of `numpy.matmul` for arrays of one rank.
      preferred_element_type: the dtype in which operands are scaled, and of the result: bfloat16 by default.
    Raises:
      TypeError: shapes do not fit.

    >>> import numpy as np
    >>> from anima import lax
    >>> x, scale = np.ones((1, 4), np.float32), np.array([[1.0, 10.0]], np.float32)
    >>> print(lax.scaled_dot(x, x.T, lhs_scale=scale))
    [[22]]
    """
    x, y = as_operand(lhs), as_operand(rhs)
    given = [None if s is None else as_operand(s) for s in (lhs_scale, rhs_scale)]
    ranks = [len(shape_of(v)) for v in (x, y, *given) if v is not None]
    if min(ranks) < 2 or len(set(ranks)) > 1:
        raise TypeError(
            f"scaled_dot: operands and scales must have one rank, at least 2, got ranks {', '.join(map(str, ranks))}"
        )
    if dimension_numbers is None:
        batch = tuple(range(ranks[0] - 2))
        dimension_numbers = (((ranks[0] - 1,), (ranks[0] - 2,)), (batch, batch))
    contracts, batches = (tuple(as_dims(dims) for dims in pair) for pair in dimension_numbers)
    scales = []
    for side, value, scale, contract in zip(("lhs", "rhs"), (x, y), given, contracts):
        if scale is None:
            scale = full((1,) * ranks[0], 1, dtypes.as_dtype("float8_e8m0fnu"))
        else:
            _check_scale(side, shape_of(value), shape_of(scale), contract)
        scales.append(scale)
    wanted = dtypes.as_dtype("bfloat16") if preferred_element_type is None else preferred_element_type
    return _scaled_dot(
        x,
        y,
        *scales,
        dimension_numbers=(contracts, batches),
        preferred_element_type=dtypes.check_user_dtype_supported(wanted, "scaled_dot"),
    )
