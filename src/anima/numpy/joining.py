"""Joining and cutting: concatenate, stack, split, tile, repeat, pad is apart.

Invariant: what is joined is promoted to one dtype first.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from anima import dtypes
from anima.core.trace import Tracer
from anima.lax import concatenate_p, convert_element_type, expand_dims, split_p, squeeze_p, tile as lax_tile
from anima.lax.shape import check_axis
from anima.numpy.calls import function
from anima.numpy.creation import asarray
from anima.numpy.promotion import array_like, promote_dtypes, shape_of
from anima.numpy.shapes import atleast_1d, atleast_2d, atleast_3d

# XLA compiles a join of very many operands slowly: they are joined in a tree of this width.
_WIDTH = 32


def _operands(name: str, arrays: Any, dtype: Any) -> list[Any]:
    """The arrays of a sequence, or along the first axis of an array, in one dtype."""
    if not isinstance(arrays, (list, tuple)) and hasattr(arrays, "ndim"):
        if arrays.ndim == 0:
            raise TypeError(f"{name}: arrays must be a sequence of arrays, got a scalar")
        arrays = list(arrays)
    items = [array_like(name, a, i) for i, a in enumerate(arrays)]
    if not items:
        raise ValueError(f"{name}: need at least one array")
    if dtype is not None:
        wanted = dtypes.check_user_dtype_supported(dtype, name)
        return [convert_element_type(a, wanted) for a in items]
    return list(promote_dtypes(name, *items))


def _check_joint(name: str, items: Sequence[Any], axis: int) -> None:
    shapes = [shape_of(a) for a in items]
    first = shapes[0]
    if any(len(s) != len(first) for s in shapes):
        raise TypeError(
            f"{name}: arrays must have the same number of dimensions, got shapes {', '.join(map(str, shapes))}"
        )
    if any(s[:axis] != first[:axis] or s[axis + 1 :] != first[axis + 1 :] for s in shapes):
        raise TypeError(
            f"{name}: arrays may differ in size along axis {axis} only, got shapes {', '.join(map(str, shapes))}"
        )


def join(name: str, items: list[Any], axis: int) -> Any:
    """Arrays of one dtype joined along an axis."""
    _check_joint(name, items, axis)
    while len(items) > 1:
        items = [
            concatenate_p.bind(*items[i : i + _WIDTH], dimension=axis)
            if len(items[i : i + _WIDTH]) > 1
            else items[i]
            for i in range(0, len(items), _WIDTH)
        ]
    return asarray(items[0])


def _concatenated(name: str, arrays: Any, axis: Any, dtype: Any) -> Any:
    items = _operands(name, arrays, dtype)
    if axis is None:
        return join(
            name, [a.reshape((-1,)) if hasattr(a, "reshape") else expand_dims(a, (0,)) for a in items], 0
        )
    if not shape_of(items[0]):
        raise ValueError(f"{name}: zero-dimensional arrays cannot be concatenated; use stack")
    return join(name, items, check_axis(name, axis, len(shape_of(items[0]))))


@function(static=("axis", "dtype"))
def concatenate(arrays: Any, axis: int | None = 0, dtype: Any = None) -> Any:
    """The arrays joined along an axis that they have.

    Args:
      arrays: a sequence of arrays whose shapes differ along `axis` only; or an array, taken apart along its first axis.
      axis: the axis, or None to join the flattened arrays.
      dtype: the result's dtype; by default that to which the arrays promote.
    Raises:
      ValueError: there are no arrays, or the axis is out of range. TypeError: the shapes do not fit.

    >>> import anima.numpy as np
    >>> print(np.concatenate([np.array([1, 2]), np.array([3.5])]))
    [1.  2.  3.5]
    """
    return _concatenated("concatenate", arrays, axis, dtype)


@function(static=("axis",))
def concat(arrays: Any, /, *, axis: int | None = 0) -> Any:
    """The arrays joined along an axis that they have, as `concatenate`.

    >>> import anima.numpy as np
    >>> print(np.concat([np.array([1, 2]), np.array([3])]))
    [1 2 3]
    """
    return _concatenated("concat", arrays, axis, None)


@function(static=("axis", "out", "dtype"))
def stack(arrays: Any, axis: int = 0, out: None = None, dtype: Any = None) -> Any:
    """The arrays joined along a new axis.

    Args:
      arrays: a sequence of arrays of one shape; or an array, taken apart along its first axis.
      axis: where the new axis stands in the result.
      out: not supported; must be None.
      dtype: the result's dtype; by default that to which the arrays promote.
    Raises:
      ValueError: the shapes differ, there are no arrays, or the axis is out of range.

    >>> import anima.numpy as np
    >>> print(np.stack([np.array([1, 2]), np.array([3, 4])], axis=1))
    [[1 3]
     [2 4]]
    """
    if out is not None:
        raise ValueError("stack: out is not supported: arrays are immutable; use the result")
    items = _operands("stack", arrays, dtype)
    shapes = {shape_of(a) for a in items}
    if len(shapes) > 1:
        raise ValueError(
            f"stack: all arrays must have the same shape, got {', '.join(map(str, sorted(shapes)))}"
        )
    place = check_axis("stack", axis, len(shapes.pop()) + 1)
    return join("stack", [expand_dims(a, (place,)) for a in items], place)


def _listed(arys: Any) -> list[Any]:
    return arys if isinstance(arys, list) else [arys]


@function(static=("dtype",))
def hstack(tup: Any, dtype: Any = None) -> Any:
    """The arrays joined along their second axis; vectors along their only one.

    >>> import anima.numpy as np
    >>> print(np.hstack([np.array([1, 2]), np.array([3])]))
    [1 2 3]
    """
    items = [atleast_1d(a) for a in _operands("hstack", tup, dtype)]
    return join("hstack", items, 0 if len(shape_of(items[0])) == 1 else 1)


@function(static=("dtype",))
def vstack(tup: Any, dtype: Any = None) -> Any:
    """The arrays joined along their first axis; vectors become rows.

    >>> import anima.numpy as np
    >>> print(np.vstack([np.array([1, 2]), np.array([3, 4])]))
    [[1 2]
     [3 4]]
    """
    return join("vstack", [atleast_2d(a) for a in _operands("vstack", tup, dtype)], 0)


@function(static=("dtype",))
def dstack(tup: Any, dtype: Any = None) -> Any:
    """The arrays joined along their third axis.

    >>> import anima.numpy as np
    >>> np.dstack([np.zeros((2, 3)), np.zeros((2, 3))]).shape
    (2, 3, 2)
    """
    return join("dstack", [atleast_3d(a) for a in _operands("dstack", tup, dtype)], 2)


@function
def column_stack(tup: Any) -> Any:
    """The arrays joined as columns: vectors become columns first.

    >>> import anima.numpy as np
    >>> print(np.column_stack([np.array([1, 2]), np.array([3, 4])]))
    [[1 3]
     [2 4]]
    """
    items = _operands("column_stack", tup, None)
    return join("column_stack", [atleast_2d(a).T if len(shape_of(a)) < 2 else a for a in items], 1)


@function(static=("axis",))
def append(arr: Any, values: Any, axis: int | None = None) -> Any:
    """`values` joined to `arr` along an axis; both flattened if it is None.

    >>> import anima.numpy as np
    >>> print(np.append(np.array([1, 2]), np.array([3])))
    [1 2 3]
    """
    return _concatenated("append", [arr, values], axis, None)


@function(name="block")
def _block(arrays: Any) -> Any:
    return _blocks(arrays)[0]


def _depth(arrays: Any) -> int:
    return 1 + max((_depth(a) for a in arrays), default=0) if isinstance(arrays, list) else 0


def _blocks(arrays: Any) -> tuple[Any, int]:
    """The array that nested lists make, and their depth."""
    if not isinstance(arrays, list):
        return array_like("block", arrays), 0
    if not arrays:
        raise ValueError("block: lists must not be empty")
    parts = [_blocks(a) for a in arrays]
    depth = parts[0][1] + 1
    if any(d + 1 != depth for _, d in parts):
        raise ValueError("block: lists must be nested to the same depth everywhere")
    items = list(promote_dtypes("block", *[p for p, _ in parts]))
    rank = max(depth, *[len(shape_of(a)) for a in items])
    items = [expand_dims(a, range(rank - len(shape_of(a)))) for a in items]
    return join("block", items, rank - depth), depth


def block(arrays: Any) -> Any:
    """An array made of nested lists of blocks: the innermost lists are joined along the last axis.

    Raises:
      ValueError: the lists are not nested to one depth, or one is empty. TypeError: the shapes do not fit.

    >>> import anima.numpy as np
    >>> print(np.block([[np.ones((1, 1)), np.zeros((1, 2))], [np.zeros((1, 1)), np.ones((1, 2))]]))
    [[1. 0. 0.]
     [0. 1. 1.]]
    """
    if not isinstance(arrays, list):
        return asarray(array_like("block", arrays))
    depth = _depth(arrays)
    result = _block(arrays)
    missing = depth - result.ndim
    return expand_dims(result, range(missing)) if missing > 0 else result


# --- cutting ----------------------------------------------------------------------------------


def _sections(name: str, n: int, given: Any, uneven: bool) -> list[int]:
    """The sizes of the pieces of an axis of size `n`."""
    if isinstance(given, Tracer) or (
        isinstance(given, (list, tuple)) and any(isinstance(g, Tracer) for g in given)
    ):
        raise TypeError(
            f"{name}: indices_or_sections must not be traced: it decides the shapes of the results"
        )
    if np.ndim(given) == 0:
        count = operator.index(given)
        if count <= 0:
            raise ValueError(f"{name}: the number of sections must be positive, got {count}")
        part, more = divmod(n, count)
        if more and not uneven:
            raise ValueError(
                f"{name}: an axis of size {n} does not divide into {count} equal sections; use array_split"
            )
        return [part + 1] * more + [part] * (count - more)
    cuts = [slice(None, operator.index(c)).indices(n)[1] for c in np.asarray(given).tolist()]
    bounds = [0, *cuts, n]
    return [max(hi - lo, 0) for lo, hi in itertools.pairwise(bounds)]


def _split(name: str, ary: Any, given: Any, axis: Any, uneven: bool = False) -> list[Any]:
    ary = array_like(name, ary)
    along = check_axis(name, axis, len(shape_of(ary)))
    n = shape_of(ary)[along]
    sizes = _sections(name, n, given, uneven)
    if sum(sizes) != n:  # cuts that go back: the pieces overlap
        bounds = [0, *np.asarray(given).tolist(), n]
        picks = [(slice(None),) * along + (slice(lo, hi),) for lo, hi in itertools.pairwise(bounds)]
        return [ary[pick] for pick in picks]
    return list(split_p.bind(ary, sizes=tuple(sizes), axis=along))


@function(static=("indices_or_sections", "axis"))
def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """`ary` cut along an axis.

    Args:
      ary: an array.
      indices_or_sections: the number of equal pieces, or where to cut.
      axis: the axis.
    Raises:
      ValueError: the pieces would not be equal, or the axis is out of range.

    >>> import anima.numpy as np
    >>> np.split(np.array([1, 2, 3, 4]), 2)
    [DeviceArray([1, 2], dtype=int32), DeviceArray([3, 4], dtype=int32)]
    """
    return _split("split", ary, indices_or_sections, axis)


@function(static=("indices_or_sections", "axis"))
def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """`ary` cut along an axis into pieces that may differ in size by one; arguments as for `split`.

    >>> import anima.numpy as np
    >>> [part.shape for part in np.array_split(np.zeros(5), 2)]
    [(3,), (2,)]
    """
    return _split("array_split", ary, indices_or_sections, axis, uneven=True)


@function(static=("indices_or_sections",))
def vsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    """`ary` cut along its first axis; arguments as for `split`.

    >>> import anima.numpy as np
    >>> [part.shape for part in np.vsplit(np.zeros((4, 2)), 2)]
    [(2, 2), (2, 2)]
    """
    return _split("vsplit", ary, indices_or_sections, 0)


@function(static=("indices_or_sections",))
def hsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    """`ary` cut along its second axis, a vector along its only one; arguments as for `split`.

    >>> import anima.numpy as np
    >>> [part.shape for part in np.hsplit(np.zeros((2, 4)), 2)]
    [(2, 2), (2, 2)]
    """
    return _split(
        "hsplit", ary, indices_or_sections, 0 if len(shape_of(array_like("hsplit", ary))) == 1 else 1
    )


@function(static=("indices_or_sections",))
def dsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    """`ary` cut along its third axis; arguments as for `split`.

    >>> import anima.numpy as np
    >>> [part.shape for part in np.dsplit(np.zeros((1, 2, 4)), 2)]
    [(1, 2, 2), (1, 2, 2)]
    """
    return _split("dsplit", ary, indices_or_sections, 2)


@function(static=("axis",))
def unstack(x: Any, /, *, axis: int = 0) -> tuple[Any, ...]:
    """The parts of `x` along an axis, which they lose.

    >>> import anima.numpy as np
    >>> np.unstack(np.array([1, 2]))
    (DeviceArray(1, dtype=int32), DeviceArray(2, dtype=int32))
    """
    x = array_like("unstack", x)
    if not shape_of(x):
        raise ValueError("unstack needs an array with at least one dimension, got a scalar")
    along = check_axis("unstack", axis, len(shape_of(x)))
    n = shape_of(x)[along]
    parts = split_p.bind(x, sizes=(1,) * n, axis=along) if n else []
    return tuple([squeeze_p.bind(p, dimensions=(along,)) for p in parts])


# --- repeating --------------------------------------------------------------------------------


@function(static=("reps",))
def tile(A: Any, reps: Any) -> Any:
    """`A` repeated as a whole along each axis.

    Args:
      A: an array.
      reps: how often, for each axis; an integer is for the last axis.

    >>> import anima.numpy as np
    >>> print(np.tile(np.array([1, 2]), (2, 2)))
    [[1 2 1 2]
     [1 2 1 2]]
    """
    A = array_like("tile", A)
    times = tuple(operator.index(r) for r in (reps if np.iterable(reps) else (reps,)))
    rank = max(len(times), len(shape_of(A)))
    A = expand_dims(A, range(rank - len(shape_of(A))))
    return lax_tile(A, (1,) * (rank - len(times)) + times)
