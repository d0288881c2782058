"""For each row of a segment the product of the others: the slope of a product by its factors.

Invariant: nothing is divided, so the products are right where factors are zero, and so are their own derivatives.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from anima.lax import associative_scan
from anima.numpy.creation import ones
from anima.numpy.joining import concatenate
from anima.numpy.logic import not_equal
from anima.numpy.selection import where
from anima.numpy.shapes import expand_dims, reshape
from anima.numpy.sorting import argsort


def products_of_others(data: Any, ids: Any) -> Any:
    """For each row the product, elementwise, of the other rows with the same number.

    Rows are sorted by their number; then the product of the others is that of those before a row and of those after it,
    two running products that start again where a segment does.

    Args:
      data: array of shape `ids.shape + rest`.
      ids: integers.

    >>> import anima.numpy as np
    >>> print(products_of_others(np.array([2.0, 3.0, 4.0, 5.0]), np.array([7, 1, 7, 7])))
    [20.  1. 10.  8.]
    """
    if data.size == 0:
        return data
    rows = reshape(data, (ids.size, -1))
    numbers = ids.reshape(-1)
    order = argsort(numbers)
    rows, numbers = rows[order], numbers[order]
    differs = not_equal(numbers[1:], numbers[:-1])
    before = _running(rows, differs)
    after = _running(rows[::-1], differs[::-1])[::-1]
    return reshape((before * after)[argsort(order)], data.shape)


def _running(rows: Any, differs: Any) -> Any:
    """For each row the product of those before it, back to the last place where `differs` says that a segment starts."""
    border = ones((1,), np.bool_)
    starts = expand_dims(concatenate([border, differs]), 1)
    factors = where(starts, 1, concatenate([ones((1, rows.shape[1]), rows.dtype), rows[:-1]]))
    return associative_scan(_joined, (starts, factors))[1]


def _joined(first: Any, second: Any) -> Any:
    """The product of two neighbouring stretches, which starts again if the second does."""
    return first[0] | second[0], where(second[0], second[1], first[1] * second[1])
