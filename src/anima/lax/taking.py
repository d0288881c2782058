"""Taking parts of an array at index tuples.

Invariant: an index tuple picks one part; indices wrap around, so that every one of them is in bounds of a dimension
that is not empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from anima import dtypes
from anima.core.trace import shaped
from anima.errors import ArgumentError
from anima.lax.arguments import check_integers
from anima.lax.arithmetic import add, rem
from anima.lax.compare import lt
from anima.lax.convert import convert_element_type
from anima.lax.declare import BOOL, INTEGER, check_dtype, operand as as_operand
from anima.lax.gathering import GatherDimensionNumbers, check_dims, gather, index_array
from anima.lax.joining import concatenate
from anima.lax.selection import select
from anima.lax.shape import check_axis, dtype_of, expand_dims, shape_of


def index_take(src: Any, idxs: Sequence[Any], axes: Sequence[int]) -> Any:
    """The parts of `src` at several index tuples; indices wrap around.

    Args:
      src: an array.
      idxs: for each of `axes` a one-dimensional array of integers, all of one length.
      axes: dimensions of `src`.
    Returns:
      An array whose first dimension runs over the index tuples and whose others are the remaining ones of `src`.
    Raises:
      AxisError: an axis is out of range. TypeError: axes are repeated, or indices no integers. ArgumentError: there are not
        as many vectors of indices as axes, or of different lengths.

    >>> from anima import lax
    >>> print(lax.index_take(lax.iota("int32", 5), (lax.iota("int32", 2),), (0,)))
    [0 1]
    """
    x = as_operand(src)
    shape = shape_of(x)
    dims = check_integers("index_take", axes, "axes")
    for axis in dims:
        check_axis("index_take", axis, len(shape), "axes")
    check_dims("index_take", "axes", dims, len(shape), increasing=False)
    if not hasattr(idxs, "__iter__"):
        raise TypeError(f"index_take: idxs must be a sequence of vectors, got {idxs!r}")
    given = [as_operand(index) for index in idxs]
    if len(given) != len(dims) or len({shape_of(index) for index in given}) > 1 or shape_of(given[0])[1:]:
        shapes = [shape_of(index) for index in given]
        raise ArgumentError(
            f"index_take: idxs must be one vector for each of axes {dims}, equally long, got shapes {shapes}"
        )
    columns = []
    for index, d in zip(given, dims):
        check_dtype("index_take", shaped(index), (*BOOL, *INTEGER), "idxs")
        index = convert_element_type(index, np.int32) if dtypes.is_bool(dtype_of(index)) else index
        left = rem(index_array("index_take", index, "idxs"), shape[d])
        columns.append(expand_dims(select(lt(left, 0), add(left, shape[d]), left), (1,)))
    kept = len(shape) - len(dims)
    numbers = GatherDimensionNumbers(tuple(range(1, kept + 1)), tuple(sorted(dims)), dims)
    sizes = [1 if d in dims else n for d, n in enumerate(shape)]
    return gather(x, concatenate(columns, 1), numbers, sizes)
