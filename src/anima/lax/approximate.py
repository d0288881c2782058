"""The largest or smallest elements, approximately: `approx_max_k` and `approx_min_k`.

Invariant: what is returned is exact, by `top_k`, which is within any `recall_target`; the target decides only how many
candidates there are where they are not aggregated. Source of that number: Chern et al., "TPU-KNN: K Nearest Neighbor Search
at Peak FLOP/s" (2022), and XLA's rounding of it to rows of 128.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from anima import dtypes
from anima.core.aval import ShapedArray
from anima.core.primitive import Missing, Zero
from anima.core.trace import aval_of
from anima.interpreters.batch import Axis
from anima.lax.arguments import check_integers
from anima.lax.arithmetic import neg
from anima.lax.convert import convert_element_type
from anima.lax.declare import FLOAT, check_dtype, declare, lowered_by, operand as as_operand
from anima.lax.shape import check_axis, shape_of
from anima.lax.sorting import take_along, top_k_p

_ROW = 128  # elements that a TPU handles together


def _candidates(size: int, k: int, recall_target: float, override: int) -> int:
    """How many elements contain the `k` best with the wanted probability, if each is the best of its share."""
    if size <= _ROW or recall_target == 1.0:
        return size
    if k == 1:
        return _ROW
    whole = override if override >= 0 else size
    fewest = min(max(int((1 - k) / math.log(recall_target)), _ROW), whole)
    halvings = (whole // fewest).bit_length() - 1
    if halvings <= 0:
        return size
    rows = -(-size // _ROW)
    return min(-(-rows // (1 << halvings)) * _ROW, size)


def _shape(
    x: ShapedArray,
    *,
    k: int,
    reduction_dimension: int,
    recall_target: float,
    is_max_k: bool,
    reduction_input_size_override: int,
    aggregate_to_topk: bool,
) -> list[ShapedArray]:
    check_dtype("approx_top_k", x, FLOAT)
    size = x.shape[reduction_dimension]
    if k > size:
        raise ValueError(
            f"approx_top_k: k must be at most {size}, the size of dimension {reduction_dimension}, got {k}"
        )
    count = k if aggregate_to_topk else _candidates(size, k, recall_target, reduction_input_size_override)
    shape = (*x.shape[:reduction_dimension], count, *x.shape[reduction_dimension + 1 :])
    return [ShapedArray(shape, x.dtype), ShapedArray(shape, np.dtype(np.int32))]


def _by_top_k(x: Any, *, reduction_dimension: int, is_max_k: bool, **params: Any) -> list[Any]:
    aval = aval_of(x)
    assert isinstance(aval, ShapedArray)
    out, _ = _shape(aval, reduction_dimension=reduction_dimension, is_max_k=is_max_k, **params)
    count = out.shape[reduction_dimension]
    if is_max_k:
        return list(top_k_p.bind(x, k=count, axis=reduction_dimension))
    if dtypes.itemsize_bits(x.dtype) < 16:  # one of these has no negative numbers
        x = convert_element_type(x, dtypes.float32)
    values, places = top_k_p.bind(neg(x), k=count, axis=reduction_dimension)
    return [convert_element_type(neg(values), out.dtype), places]


def _jvp(primals: Any, tangents: Any, *, reduction_dimension: int, **params: Any) -> tuple[Any, Any]:
    values, places = approx_top_k_p.bind(*primals, reduction_dimension=reduction_dimension, **params)
    (t,) = tangents
    at_places = Zero(aval_of(places).tangent_aval())
    if type(t) is Zero:
        return [values, places], [Zero(aval_of(values).tangent_aval()), at_places]
    return [values, places], [take_along(t, places, reduction_dimension), at_places]


def _batch(axis: Axis, args: Any, dims: Any, *, reduction_dimension: int, **params: Any) -> tuple[Any, Any]:
    (d,) = dims
    moved = reduction_dimension + (reduction_dimension >= d)
    return approx_top_k_p.bind(args[0], reduction_dimension=moved, **params), [d, d]


approx_top_k_p = declare(
    "approx_top_k",
    shape=_shape,
    lower=lowered_by(_by_top_k),
    jvp=_jvp,
    transpose=Missing("it is not linear"),
    batch=_batch,
    multiple_results=True,
    dtypes=FLOAT,
)


def _approximate(
    name: str, operand: Any, k: int, dimension: int, recall_target: float, override: int, aggregate: bool
) -> list[Any]:
    x = as_operand(operand)
    if not shape_of(x):
        raise TypeError(f"{name}: operand must have at least 1 dimension, got a scalar")
    d = check_axis(name, dimension, len(shape_of(x)), "reduction_dimension")
    (count, override) = check_integers(name, (k, override), "k and reduction_input_size_override")
    if count <= 0:
        raise ValueError(f"{name}: k must be positive, got {k}")
    if not 0 < recall_target <= 1:
        raise ValueError(f"{name}: recall_target must be above 0 and at most 1, got {recall_target}")
    return list(
        approx_top_k_p.bind(
            x,
            k=count,
            reduction_dimension=d,
            recall_target=float(recall_target),
            is_max_k=name == "approx_max_k",
            reduction_input_size_override=override,
            aggregate_to_topk=bool(aggregate),
        )
    )


def approx_max_k(
    operand: Any,
    k: int,
    reduction_dimension: int = -1,
    recall_target: float = 0.95,
    reduction_input_size_override: int = -1,
    aggregate_to_topk: bool = True,
) -> list[Any]:
    """The `k` largest elements along one dimension, and their places: at least a `recall_target` of them, here all.

    Args:
      operand: an array of real floating-point dtype.
      k: how many.
      reduction_dimension: along which; negative ones count from the end.
      recall_target: which part of the largest elements must be found.
      reduction_input_size_override: the size that candidates are counted for, where `operand` is a part of a larger array.
      aggregate_to_topk: whether the candidates are reduced to `k` in descending order. Else there may be more of them.
    Returns:
      The values, and their indices as int32; their size along the dimension is `k`, or more without aggregation.
    Raises:
      ValueError: `k`, the dimension or the target is out of range. TypeError: there is no dimension, or `k` is no integer.
        ArgumentError: the dtype is another.

    >>> from anima import lax
    >>> values, places = lax.approx_max_k(lax.iota("float32", 5), 2)
    >>> print(values, places)
    [4. 3.] [4 3]
    """
    return _approximate(
        "approx_max_k",
        operand,
        k,
        reduction_dimension,
        recall_target,
        reduction_input_size_override,
        aggregate_to_topk,
    )


def approx_min_k(
    operand: Any,
    k: int,
    reduction_dimension: int = -1,
    recall_target: float = 0.95,
    reduction_input_size_override: int = -1,
    aggregate_to_topk: bool = True,
) -> list[Any]:
    """The `k` smallest elements along one dimension, in ascending order, and their places, as `approx_max_k` finds the largest.

    Args:
      operand, k, reduction_dimension, recall_target, reduction_input_size_override, aggregate_to_topk: as there.
    Returns:
      The values, and their indices as int32.
    Raises:
      ValueError: `k`, the dimension or the target is out of range. TypeError: there is no dimension, or `k` is no integer.
        ArgumentError: the dtype is another.

    >>> from anima import lax
    >>> values, places = lax.approx_min_k(lax.iota("float32", 5), 2)
    >>> print(values, places)
    [0. 1.] [0 1]
    """
    return _approximate(
        "approx_min_k",
        operand,
        k,
        reduction_dimension,
        recall_target,
        reduction_input_size_override,
        aggregate_to_topk,
    )
