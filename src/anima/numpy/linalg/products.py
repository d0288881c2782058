"""Linear algebra that needs no factorisation: norms, products and powers of matrices.

Invariant: matrices are the last two dimensions of an array, whose other dimensions are a stack of them.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Sequence
from typing import Any

from anima import dtypes
from anima.errors import ArgumentError
from anima.lax.linalg.singular import svd
from anima.lax.shape import check_axis
from anima.numpy import ranges, reductions, shapes
from anima.numpy.arithmetic import abs as np_abs, power_of, real
from anima.numpy.calls import function
from anima.numpy.creation import asarray
from anima.numpy.elementary import sqrt
from anima.numpy.linalg.solving import inverse
from anima.numpy.linear import (
    matmul as _matmul,
    outer as _outer,
    tensordot as _tensordot,
    vecdot as vecdot,
)
from anima.numpy.promotion import array_like, inexact
from anima.numpy.shapes import matrix_transpose as matrix_transpose
from anima.numpy.signals import cross as _cross

# --- norms ------------------------------------------------------------------------------------


def _lengths(x: Any, axis: Any, keepdims: bool) -> Any:
    squares = real(x * x.conj()) if dtypes.is_complex(x.dtype) else x * x
    return sqrt(reductions.sum(squares, axis=axis, keepdims=keepdims))


def _vector_norm(name: str, x: Any, axis: Any, keepdims: bool, ord: Any) -> Any:
    if ord is None or ord == 2:
        return _lengths(x, axis, keepdims)
    size = np_abs(x)
    if ord == math.inf:
        return reductions.max(size, axis=axis, keepdims=keepdims, initial=0)
    if ord == -math.inf:
        return reductions.min(size, axis=axis, keepdims=keepdims)
    if ord == 0:
        return reductions.sum((x != 0).astype(size.dtype), axis=axis, keepdims=keepdims)
    if ord == 1:
        return reductions.sum(size, axis=axis, keepdims=keepdims)
    if isinstance(ord, str):
        raise ValueError(f"{name}: ord of vectors must be a number, got {ord!r}")
    total = reductions.sum(power_of(size, ord), axis=axis, keepdims=keepdims)
    return power_of(total, 1.0 / ord)


def _matrix_norm(name: str, x: Any, rows: int, columns: int, keepdims: bool, ord: Any) -> Any:
    if ord is None or ord in ("fro", "f"):
        return _lengths(x, (rows, columns), keepdims)
    if ord in (2, -2, "nuc"):
        return _by_singular_values(x, rows, columns, keepdims, ord)
    along = {1: (rows, columns), -1: (rows, columns), math.inf: (columns, rows), -math.inf: (columns, rows)}
    if isinstance(ord, str) or ord not in along:
        raise ValueError(
            f"{name}: ord of matrices must be 'fro', 'nuc', 1, -1, 2, -2, inf or -inf, got {ord!r}"
        )
    summed, compared = along[ord]
    sums = reductions.sum(np_abs(x), axis=summed, keepdims=True)
    result = (
        reductions.max(sums, axis=compared, keepdims=True, initial=0)
        if ord > 0
        else reductions.min(sums, axis=compared, keepdims=True)
    )
    return result if keepdims else shapes.squeeze(result, (rows, columns))


def _by_singular_values(x: Any, rows: int, columns: int, keepdims: bool, ord: Any) -> Any:
    s = svd(shapes.moveaxis(x, (rows, columns), (-2, -1)), compute_uv=False)
    if ord == 2:
        result = reductions.max(s, axis=-1, initial=0)
    else:
        result = (reductions.sum if ord == "nuc" else reductions.min)(s, axis=-1)
    return shapes.expand_dims(result, (rows, columns)) if keepdims else result


@function(static=("ord", "axis", "keepdims"))
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """The norm of vectors or matrices.

    Args:
      x: an array.
      ord: which norm: of vectors a number `p` for the p-norm (default 2), inf and -inf for the largest and smallest
        magnitude, 0 for how many are nonzero; of matrices "fro" (default), 2 and -2 for
        the largest and smallest singular value, "nuc" for their sum, 1 and -1 for the largest and smallest sum
        of a column's magnitudes, inf and -inf for those of rows.
      axis: an integer for vectors along it, a pair for matrices; None for the whole array, flattened if there is no `ord`.
      keepdims: whether the axes stay, with size 1.
    Raises:
      ValueError: there is no such norm, or the axes do not fit.

    >>> import anima.numpy as np
    >>> print(np.linalg.norm(np.array([3.0, 4.0])))
    5.0
    """
    x = asarray(inexact("norm", x))
    if axis is None:
        if ord is None:
            flat = _lengths(x.ravel(), None, False)
            return flat.reshape((1,) * x.ndim) if keepdims else flat
        axis = tuple(range(x.ndim))
    axes = tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)
    places = [check_axis("norm", a, x.ndim) for a in axes]
    if len(places) == 1:
        return _vector_norm("norm", x, places[0], keepdims, ord)
    if len(places) == 2:
        if places[0] == places[1]:
            raise ValueError(f"norm: axes must be different, got {axis}")
        return _matrix_norm("norm", x, places[0], places[1], keepdims, ord)
    raise ValueError(f"norm: axis must be one or two dimensions, got {axis} for an array of shape {x.shape}")


@function(static=("keepdims", "ord"))
def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    """The norm of a stack of matrices; `ord` as for `norm`.

    >>> import anima.numpy as np
    >>> print(np.linalg.matrix_norm(np.ones((2, 2))))
    2.0
    """
    x = asarray(inexact("matrix_norm", x))
    if x.ndim < 2:
        raise ValueError(f"matrix_norm: x must have at least 2 dimensions, got shape {x.shape}")
    return _matrix_norm("matrix_norm", x, x.ndim - 2, x.ndim - 1, keepdims, ord)


@function(static=("axis", "keepdims", "ord"))
def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    """The norm of vectors along some axes, by default of the flattened array; `ord` as for `norm`.

    >>> import anima.numpy as np
    >>> print(np.linalg.vector_norm(np.array([[3.0, 4.0]]), ord=1))
    7.0
    """
    x = asarray(inexact("vector_norm", x))
    axes = reductions.axes_of("vector_norm", axis, x.ndim)
    return _vector_norm("vector_norm", x, axes, keepdims, ord)


# --- products ---------------------------------------------------------------------------------


def outer(x1: Any, x2: Any, /) -> Any:
    """The products of each element of one vector with each of another.

    Raises:
      ValueError: an operand is no vector.

    >>> import anima.numpy as np
    >>> print(np.linalg.outer(np.array([1, 2]), np.array([3, 4])))
    [[3 4]
     [6 8]]
    """
    for x, which in ((x1, "x1"), (x2, "x2")):
        if shapes.ndim(x) != 1:
            raise ValueError(f"outer: {which} must be a vector, got shape {shapes.shape(x)}")
    return _outer(x1, x2)


def matmul(x1: Any, x2: Any, /, *, precision: Any = None, preferred_element_type: Any = None) -> Any:
    """The product of matrices, as `numpy.matmul`.

    Raises:
      TypeError, ValueError: the shapes do not fit.

    >>> import anima.numpy as np
    >>> print(np.linalg.matmul(np.array([[1, 2], [3, 4]]), np.array([1, 1])))
    [3 7]
    """
    return _matmul(x1, x2, precision=precision, preferred_element_type=preferred_element_type)


def tensordot(
    x1: Any, x2: Any, /, *, axes: Any = 2, precision: Any = None, preferred_element_type: Any = None,
    out_sharding: Any = None,
) -> Any:  # fmt: skip
    """The product summed over chosen dimensions of both operands, as `numpy.tensordot`.

    Args:
      axes: how many dimensions: the last of `x1` with the first of `x2`; or a pair of (sequences of) dimensions.
    Raises:
      TypeError, ValueError: they do not fit.

    >>> import anima.numpy as np
    >>> np.linalg.tensordot(np.ones((2, 3, 4)), np.ones((3, 4, 5))).shape
    (2, 5)
    """
    return _tensordot(
        x1,
        x2,
        axes,
        precision=precision,
        preferred_element_type=preferred_element_type,
        out_sharding=out_sharding,
    )


def cross(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """The cross product of vectors with three components along one axis.

    Raises:
      ValueError: vectors have another number of components, or shapes do not broadcast.

    >>> import anima.numpy as np
    >>> print(np.linalg.cross(np.array([1, 0, 0]), np.array([0, 1, 0])))
    [0 0 1]
    """
    for x, which in ((x1, "x1"), (x2, "x2")):
        size = shapes.shape(x)[axis]
        if size != 3:
            raise ValueError(
                f"cross: {which} must be of vectors with three components, got {size} along axis {axis}"
            )
    return _cross(x1, x2, axis=axis)


def diagonal(x: Any, /, *, offset: int = 0) -> Any:
    """A diagonal of a stack of matrices.

    >>> import anima.numpy as np
    >>> print(np.linalg.diagonal(np.array([[1, 2], [3, 4]])))
    [1 4]
    """
    return ranges.diagonal(x, offset=offset, axis1=-2, axis2=-1)


def trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    """The sum of a diagonal of a stack of matrices.

    >>> import anima.numpy as np
    >>> print(np.linalg.trace(np.array([[1, 2], [3, 4]])))
    5
    """
    return ranges.trace(x, offset=offset, axis1=-2, axis2=-1, dtype=dtype)


@function(static=("n",))
def matrix_power(a: Any, n: int) -> Any:
    """The n-th power of a stack of square matrices; for negative `n` that of their inverses.

    Raises:
      ValueError: the matrices are not square. TypeError: `n` is no integer.

    >>> import anima.numpy as np
    >>> print(np.linalg.matrix_power(np.array([[1, 1], [0, 1]]), 5))
    [[1 5]
     [0 1]]
    """
    a = asarray(array_like("matrix_power", a))
    exponent = operator.index(n)
    if a.ndim < 2 or a.shape[-1] != a.shape[-2]:
        raise ArgumentError(f"matrix_power: a must be a stack of square matrices, got shape {a.shape}")
    if exponent < 0:
        a, exponent = inverse("matrix_power", a), -exponent
    if exponent == 0:
        return shapes.broadcast_to(ranges.eye(a.shape[-1], dtype=a.dtype), a.shape)
    result: Any = None
    while exponent:
        if exponent & 1:
            result = a if result is None else _matmul(result, a)
        exponent >>= 1
        if exponent:
            a = _matmul(a, a)
    return result


@function(static=("precision",))
def multi_dot(arrays: Sequence[Any], *, precision: Any = None) -> Any:
    """The product of several matrices, in the order that takes the fewest multiplications.

    Args:
      arrays: at least two; the first and the last may be vectors.
      precision: how exact products must be on hardware with coarser ones, as `lax.dot_general` takes it.
    Raises:
      ValueError: there are fewer than two, one in the middle is no matrix, or the sizes do not fit.

    >>> import anima.numpy as np
    >>> np.linalg.multi_dot([np.ones((2, 9)), np.ones((9, 3)), np.ones(3)]).shape
    (2,)
    """
    items = [asarray(array_like("multi_dot", a, i)) for i, a in enumerate(arrays)]
    if len(items) < 2:
        raise ValueError(f"multi_dot needs at least two arrays, got {len(items)}")
    for i, a in enumerate(items):
        ends = (1, 2) if i in (0, len(items) - 1) else (2,)
        if a.ndim not in ends:
            raise ValueError(
                f"multi_dot: array {i} must have {' or '.join(map(str, ends))} dimensions, got {a.shape}"
            )
    for i, (a, b) in enumerate(itertools.pairwise(items)):
        if a.shape[-1] != b.shape[0]:
            raise ValueError(
                f"multi_dot: arrays {i} and {i + 1}, of shapes {a.shape} and {b.shape}, do not fit"
            )
    sizes = [*(a.shape[0] if a.ndim == 2 else (1 if i == 0 else a.shape[0]) for i, a in enumerate(items))]
    sizes.append(items[-1].shape[1] if items[-1].ndim == 2 else 1)
    return _chain(items, _splits(sizes), 0, len(items) - 1, precision)


def _splits(sizes: Sequence[int]) -> dict[tuple[int, int], int]:
    """For each run of matrices where its last product is, by dynamic programming over the lengths of runs."""
    count = len(sizes) - 1
    cost: dict[tuple[int, int], int] = {(i, i): 0 for i in range(count)}
    split: dict[tuple[int, int], int] = {}
    for length in range(1, count):
        for i in range(count - length):
            j = i + length
            options = {
                k: cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1] for k in range(i, j)
            }
            split[i, j] = min(options, key=options.__getitem__)
            cost[i, j] = options[split[i, j]]
    return split


def _chain(items: Sequence[Any], split: dict[tuple[int, int], int], i: int, j: int, precision: Any) -> Any:
    if i == j:
        return items[i]
    k = split[i, j]
    left, right = _chain(items, split, i, k, precision), _chain(items, split, k + 1, j, precision)
    return _matmul(left, right, precision=precision)
