"""`index_update` and its relatives: updates at an index as functions.

Invariant: each is one method of `x.at[idx]`. In a compiled program, and where the argument of one is donated, the update
happens in place.
"""

from __future__ import annotations

from typing import Any

from anima.numpy.at import IndexUpdate
from anima.numpy.promotion import array_like


class _Index:
    """What `index[...]` is taken from: it gives back what stands between the brackets."""

    __slots__ = ()

    def __getitem__(self, item: Any) -> Any:
        return item

    def __repr__(self) -> str:
        return "index"


index = _Index()
"""Writes an index: `index[::2, 3:]` is the tuple of slices that `x[::2, 3:]` would select by.

>>> index[1, ::2, ...]
(1, slice(None, None, 2), Ellipsis)
"""


def _place(name: str, x: Any, idx: Any) -> IndexUpdate:
    return IndexUpdate(array_like(name, x, "x"), idx)


def index_update(
    x: Any, idx: Any, y: Any, indices_are_sorted: bool = False, unique_indices: bool = False, mode: Any = None
) -> Any:
    """A copy of `x` with `x[idx] = y`, that is `x.at[idx].set(y)`. Of several values for one element, one wins.

    Args:
      x: array; under `jit` it is updated in place if it is not used afterwards.
      idx: integers, slices, `None`, `...`, index arrays and masks, as in `x[idx]`; `index[...]` writes one.
      y: values that broadcast to what `idx` selects; they are cast to the dtype of `x`.
      indices_are_sorted, unique_indices: promises that make updates by index arrays quicker.
      mode: what happens to computed indices out of bounds, as in `x.at[idx].set`; by default they are dropped.
    Returns:
      An array of the shape and dtype of `x`.
    Raises:
      IndexError: a Python integer is out of bounds. ValueError: `y` does not broadcast. TypeError: `x` or `y` is no array.

    >>> import anima.numpy as np
    >>> print(index_update(np.zeros((2, 3)), index[1, :], 1.0))
    [[0. 0. 0.]
     [1. 1. 1.]]
    """
    return _place("index_update", x, idx).set(
        y, indices_are_sorted=indices_are_sorted, unique_indices=unique_indices, mode=mode
    )


def index_add(
    x: Any, idx: Any, y: Any, indices_are_sorted: bool = False, unique_indices: bool = False, mode: Any = None
) -> Any:
    """A copy of `x` with `x[idx] += y`, that is `x.at[idx].add(y)`; of an element selected repeatedly, all are added.

    Arguments, result and errors are those of `index_update`.

    >>> import anima.numpy as np
    >>> print(index_add(np.ones(4), np.array([0, 2, 2]), 7.0))
    [ 8.  1. 15.  1.]
    """
    return _place("index_add", x, idx).add(
        y, indices_are_sorted=indices_are_sorted, unique_indices=unique_indices, mode=mode
    )


def index_mul(
    x: Any, idx: Any, y: Any, indices_are_sorted: bool = False, unique_indices: bool = False, mode: Any = None
) -> Any:
    """A copy of `x` with `x[idx] *= y`, that is `x.at[idx].multiply(y)`; an element selected repeatedly takes all factors.

    Arguments, result and errors are those of `index_update`.

    >>> import anima.numpy as np
    >>> print(index_mul(np.ones(3), index[1:], 5.0))
    [1. 5. 5.]
    """
    return _place("index_mul", x, idx).multiply(
        y, indices_are_sorted=indices_are_sorted, unique_indices=unique_indices, mode=mode
    )


def index_min(
    x: Any, idx: Any, y: Any, indices_are_sorted: bool = False, unique_indices: bool = False, mode: Any = None
) -> Any:
    """A copy of `x` with `x[idx] = minimum(x[idx], y)`, that is `x.at[idx].min(y)`.

    Arguments, result and errors are those of `index_update`.

    >>> import anima.numpy as np
    >>> print(index_min(np.array([1.0, 5.0, 9.0]), index[:2], 3.0))
    [1. 3. 9.]
    """
    return _place("index_min", x, idx).min(
        y, indices_are_sorted=indices_are_sorted, unique_indices=unique_indices, mode=mode
    )


def index_max(
    x: Any, idx: Any, y: Any, indices_are_sorted: bool = False, unique_indices: bool = False, mode: Any = None
) -> Any:
    """A copy of `x` with `x[idx] = maximum(x[idx], y)`, that is `x.at[idx].max(y)`.

    Arguments, result and errors are those of `index_update`.

    >>> import anima.numpy as np
    >>> print(index_max(np.array([1.0, 5.0, 9.0]), index[:2], 3.0))
    [3. 5. 9.]
    """
    return _place("index_max", x, idx).max(
        y, indices_are_sorted=indices_are_sorted, unique_indices=unique_indices, mode=mode
    )
