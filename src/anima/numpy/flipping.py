"""Elements in another order: flipped, turned, rolled.

Invariant: these move elements and compute nothing.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from anima.lax import concatenate, dynamic_slice_in_dim, reshape_p, rev_p, slice_in_dim
from anima.lax.shape import check_axes, check_axis
from anima.numpy.calls import function
from anima.numpy.creation import asarray
from anima.numpy.promotion import array_like, shape_of
from anima.numpy.shapes import permuted


def _flipped(name: str, m: Any, axis: Any) -> Any:
    m = array_like(name, m)
    rank = len(shape_of(m))
    axes = range(rank) if axis is None else axis if isinstance(axis, (tuple, list)) else (axis,)
    dimensions = check_axes(name, axes, rank, "axis", negative=True)
    return rev_p.bind(m, dimensions=dimensions) if dimensions else asarray(m)


@function(static=("axis",))
def flip(m: Any, axis: Any = None) -> Any:
    """`m` with its elements in reverse order along some axes: by default all.

    >>> import anima.numpy as np
    >>> print(np.flip(np.array([1, 2, 3])))
    [3 2 1]
    """
    return _flipped("flip", m, axis)


@function
def fliplr(m: Any) -> Any:
    """`m` with its columns in reverse order.

    >>> import anima.numpy as np
    >>> print(np.fliplr(np.array([[1, 2], [3, 4]])))
    [[2 1]
     [4 3]]
    """
    return _flipped("fliplr", m, 1)


@function
def flipud(m: Any) -> Any:
    """`m` with its rows in reverse order.

    >>> import anima.numpy as np
    >>> print(np.flipud(np.array([[1, 2], [3, 4]])))
    [[3 4]
     [1 2]]
    """
    return _flipped("flipud", m, 0)


@function(static=("k", "axes"))
def rot90(m: Any, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Any:
    """`m` turned by `k` quarter turns from the first of two axes towards the second.

    Raises:
      ValueError: the axes are not two different ones.

    >>> import anima.numpy as np
    >>> print(np.rot90(np.array([[1, 2], [3, 4]])))
    [[2 4]
     [1 3]]
    """
    m = array_like("rot90", m)
    rank = len(shape_of(m))
    pair = check_axes("rot90", axes, rank, "axes", negative=True)
    if len(pair) != 2:
        raise ValueError(f"rot90: axes must be two, got {axes}")
    one, two = pair
    turns = k % 4
    order = list(range(rank))
    order[one], order[two] = two, one
    if turns == 0:
        return asarray(m)
    if turns == 2:
        return _flipped("rot90", m, pair)
    return (
        permuted(_flipped("rot90", m, two), order)
        if turns == 1
        else _flipped("rot90", permuted(m, order), two)
    )


def _rolled(a: Any, shift: Any, axis: int) -> Any:
    n = shape_of(a)[axis]
    if n == 0:
        return a
    if isinstance(shift, (int, np.integer)):
        cut = -int(shift) % n
        if cut == 0:
            return a
        return concatenate([slice_in_dim(a, cut, n, axis=axis), slice_in_dim(a, 0, cut, axis=axis)], axis)
    return dynamic_slice_in_dim(concatenate([a, a], axis), (n - shift % n) % n, n, axis)


@function(static=("axis",))
def roll(a: Any, shift: Any, axis: Any = None) -> Any:
    """`a` with its elements moved along some axes; those that leave at the end enter at the start.

    Args:
      a: an array.
      shift: by how many places; an integer or an array, or one for each axis. It may be traced.
      axis: an axis or a sequence of them; None rolls the flattened array.
    Raises:
      ValueError: an axis is out of range, or shifts and axes do not fit.

    >>> import anima.numpy as np
    >>> print(np.roll(np.array([1, 2, 3, 4]), 1))
    [4 1 2 3]
    """
    a = array_like("roll", a)
    sizes = shape_of(a)
    if axis is None:
        return reshape_p.bind(
            _roll_axes(reshape_p.bind(a, new_sizes=(math.prod(sizes),)), shift, (0,)), new_sizes=sizes
        )
    axes = axis if isinstance(axis, (tuple, list)) else (axis,)
    return _roll_axes(a, shift, tuple(check_axis("roll", i, len(sizes)) for i in axes))


def _roll_axes(a: Any, shift: Any, axes: tuple[int, ...]) -> Any:
    shifts = list(shift) if isinstance(shift, (tuple, list)) else None
    if shifts is None:
        dims = shape_of(array_like("roll", shift, "shift"))
        shifts = [shift] if not dims else [shift[i] for i in range(dims[0])]
    if len(shifts) == 1:
        shifts = shifts * len(axes)
    elif len(axes) == 1:
        axes = axes * len(shifts)
    if len(shifts) != len(axes):
        raise ValueError(f"roll: {len(shifts)} shifts do not fit {len(axes)} axes")
    for one, axis in zip(shifts, axes):
        a = _rolled(a, one, axis)
    return asarray(a)
