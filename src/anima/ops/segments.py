"""Reductions of the rows of an array that share a number: sums, products and extrema over segments.

Invariant: a segment without rows has the operation's neutral value: 0, 1, the smallest or the largest of the dtype. Rows
whose number is no segment, negative ones too, are left out, unless a `mode` says otherwise.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from anima import dtypes
from anima.custom_derivatives import custom_jvp
from anima.lax import GatherScatterMode, full
from anima.lax.reductions import identity
from anima.lax.shape import refuse_out_sharding
from anima.numpy import reductions
from anima.numpy.at import IndexUpdate
from anima.numpy.concrete import contents
from anima.numpy.creation import asarray
from anima.numpy.promotion import array_like
from anima.numpy.selection import clip
from anima.numpy.shapes import broadcast_to
from anima.ops.products import products_of_others
from anima.records import NamedTuple

# For each reduction: its name in `lax.reductions`, the method of `x.at[...]`, and what joins buckets, along axis 0.
_OPERATIONS: dict[str, tuple[str, str, Callable[[Any], Any]]] = {
    "sum": ("add", "add", lambda x: reductions.sum(x, axis=0, dtype=x.dtype)),
    "prod": ("mul", "multiply", lambda x: reductions.prod(x, axis=0, dtype=x.dtype)),
    "max": ("max", "max", lambda x: reductions.max(x, axis=0)),
    "min": ("min", "min", lambda x: reductions.min(x, axis=0)),
}


def _count(name: str, num_segments: Any, ids: Any) -> int:
    """How many segments there are, checked; by default those up to the largest number."""
    if num_segments is None:
        known = contents(name, ids, "give the number of segments: num_segments=n")
        if known.size == 0:
            raise ValueError(f"{name}: without rows num_segments cannot be found out; give it")
        return int(known.max()) + 1
    try:
        count = operator.index(num_segments)
    except TypeError as error:
        if hasattr(num_segments, "aval"):
            raise  # a tracer says more
        raise TypeError(f"{name}: num_segments must be an integer, got {num_segments!r}") from error
    if count < 0:
        raise ValueError(f"{name}: num_segments must not be negative, got {count}")
    return count


def _buckets(name: str, bucket_size: Any, ids: Any) -> Any:
    """The bucket of each row, or None if all rows are combined at once."""
    if bucket_size is None:
        return None
    size = operator.index(bucket_size)
    if size < 1:
        raise ValueError(f"{name}: bucket_size must be positive, got {size}")
    if ids.ndim != 1:
        raise ValueError(f"{name}: with a bucket_size segment_ids must be a vector, got shape {ids.shape}")
    return np.arange(ids.shape[0], dtype=np.int32) // np.int32(min(size, 2**31 - 1))


def _reduced(
    kind: str, data: Any, segment_ids: Any, num_segments: Any, indices_are_sorted: bool, unique_indices: bool,
    bucket_size: Any, mode: Any, out_sharding: Any,
) -> Any:  # fmt: skip
    name = f"segment_{kind}"
    refuse_out_sharding(name, out_sharding)
    data = asarray(array_like(name, data, "data"))
    ids = asarray(array_like(name, segment_ids, "segment_ids"))
    if not dtypes.issubdtype(ids.dtype, np.integer):
        raise TypeError(f"{name}: segment_ids must be integers, got {dtypes.dtype_name(ids.dtype)}")
    if kind in ("sum", "prod") and dtypes.is_bool(data.dtype):
        raise TypeError(
            f"{name}: data must be numbers, got bool; convert it with astype(int) to count, or take "
            f"segment_{'max' if kind == 'sum' else 'min'} for '{'any' if kind == 'sum' else 'all'}'"
        )
    count = _count(name, num_segments, ids)
    buckets = _buckets(name, bucket_size, ids)
    shape: tuple[int, ...] = (count, *data.shape[1:])
    if buckets is not None:
        shape = (1 + int(buckets[-1]) if buckets.size else 1, *shape)
    flags = _Flags(indices_are_sorted, unique_indices, GatherScatterMode.from_any(mode))
    if kind != "prod" or not dtypes.issubdtype(data.dtype, np.inexact):
        return _combined(kind, data, ids, buckets, shape, flags)
    rows = broadcast_to(data, ids.shape + data.shape[1:])
    return _product(rows, ids, buckets, shape, flags)


class _Flags(NamedTuple):
    """What is known about indices, and what becomes of those out of bounds."""

    indices_are_sorted: bool
    unique_indices: bool
    mode: Any


def _combined(kind: str, data: Any, ids: Any, buckets: Any, shape: tuple[int, ...], flags: _Flags) -> Any:
    """`data` reduced into segments, where `shape` is that of the result, behind the number of buckets if there are any."""
    neutral, method, reduce = _OPERATIONS[kind]
    start = full(shape, identity(neutral, data.dtype), data.dtype)
    place = IndexUpdate(start, ids if buckets is None else (buckets, ids))
    result = getattr(place, method)(data, **flags._asdict(), wrap_negative_indices=False)
    return result if buckets is None else reduce(result)


@functools.partial(custom_jvp, nondiff_argnums=(2, 3, 4))
def _product(data: Any, ids: Any, buckets: Any, shape: tuple[int, ...], flags: _Flags) -> Any:
    """Products with a derivative that zeros among the factors do not spoil, as division by each factor would."""
    return _combined("prod", data, ids, buckets, shape, flags)


@_product.defjvp
def _product_jvp(
    buckets: Any, shape: tuple[int, ...], flags: _Flags, primals: Any, tangents: Any
) -> tuple[Any, Any]:
    data, ids = primals
    known = (
        clip(ids, 0, shape[0 if buckets is None else 1] - 1) if flags.mode is GatherScatterMode.CLIP else ids
    )
    slopes = tangents[0] * products_of_others(data, known)
    return _product(data, ids, buckets, shape, flags), _combined("sum", slopes, ids, buckets, shape, flags)


def segment_sum(
    data: Any, segment_ids: Any, num_segments: Any = None, indices_are_sorted: bool = False, unique_indices: bool = False,
    bucket_size: int | None = None, mode: Any = None, out_sharding: Any = None,
) -> Any:  # fmt: skip
    """Sums of the rows of each segment.

    Args:
      data: array of numbers; its first axis counts the rows.
      segment_ids: integers, the segment of each row, of shape `(rows,)`; they need not be sorted, and may repeat.
      num_segments: how many segments the result has, an integer that is known while tracing; by default one more than the
        largest of `segment_ids`, whose values must be known then.
      indices_are_sorted, unique_indices: promises about `segment_ids` that make it quicker.
      bucket_size: so many rows are reduced at a time, and then what came out of them, which loses less to rounding.
      mode: what becomes of rows whose number is no segment, negative ones too: "drop" or "fill", the default, leave them
        out, "clip" takes the nearest segment, "promise_in_bounds" says that there are none.
      out_sharding: must be None.
    Returns:
      An array of shape `(num_segments, ...)`, with the dtype of `data`; 0 for segments without rows.
    Raises:
      TypeError: `data` is of booleans, or `segment_ids` not of integers. ValueError: `num_segments` is negative, or not given
      where there are no rows, or shapes do not fit. ConcretizationTypeError: it is not given and `segment_ids` is traced.

    >>> import anima.numpy as np
    >>> print(segment_sum(np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), np.array([0, 2, 0])))
    [[6. 8.]
     [0. 0.]
     [3. 4.]]
    """
    return _reduced(
        "sum",
        data,
        segment_ids,
        num_segments,
        indices_are_sorted,
        unique_indices,
        bucket_size,
        mode,
        out_sharding,
    )


def segment_prod(
    data: Any, segment_ids: Any, num_segments: Any = None, indices_are_sorted: bool = False, unique_indices: bool = False,
    bucket_size: int | None = None, mode: Any = None, out_sharding: Any = None,
) -> Any:  # fmt: skip
    """Products of the rows of each segment; 1 for segments without rows. Arguments and errors are those of `segment_sum`.

    >>> import anima.numpy as np
    >>> print(segment_prod(np.array([2.0, 3.0, 4.0]), np.array([0, 0, 2])))
    [6. 1. 4.]
    """
    return _reduced(
        "prod",
        data,
        segment_ids,
        num_segments,
        indices_are_sorted,
        unique_indices,
        bucket_size,
        mode,
        out_sharding,
    )


def segment_max(
    data: Any, segment_ids: Any, num_segments: Any = None, indices_are_sorted: bool = False, unique_indices: bool = False,
    bucket_size: int | None = None, mode: Any = None, out_sharding: Any = None,
) -> Any:  # fmt: skip
    """The largest elements of the rows of each segment; NaN if one is. Booleans are allowed.

    Segments without rows have the smallest value of the dtype: -inf where there is one. Arguments and errors are those of
    `segment_sum`.

    >>> import anima.numpy as np
    >>> print(segment_max(np.array([2.0, 3.0, 4.0]), np.array([0, 0, 2])))
    [  3. -inf   4.]
    """
    return _reduced(
        "max",
        data,
        segment_ids,
        num_segments,
        indices_are_sorted,
        unique_indices,
        bucket_size,
        mode,
        out_sharding,
    )


def segment_min(
    data: Any, segment_ids: Any, num_segments: Any = None, indices_are_sorted: bool = False, unique_indices: bool = False,
    bucket_size: int | None = None, mode: Any = None, out_sharding: Any = None,
) -> Any:  # fmt: skip
    """The smallest elements of the rows of each segment; NaN if one is. Booleans are allowed.

    Segments without rows have the largest value of the dtype: inf where there is one. Arguments and errors are those of
    `segment_sum`.

    >>> import anima.numpy as np
    >>> print(segment_min(np.array([2.0, 3.0, 4.0]), np.array([0, 0, 2])))
    [ 2. inf  4.]
    """
    return _reduced(
        "min",
        data,
        segment_ids,
        num_segments,
        indices_are_sorted,
        unique_indices,
        bucket_size,
        mode,
        out_sharding,
    )
