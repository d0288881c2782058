"""A tree of arrays as one vector, and back: what optimisers and solvers of vectors want.

Invariant: the vector holds every element of every leaf, in the order of the leaves and of the rows in each; its dtype is
the one to which the leaves promote together.

>>> import anima.numpy as np
>>> from anima.flatten_util import ravel_pytree
>>> vector, unravel = ravel_pytree({"w": np.ones((2, 2)), "b": 3.0})
>>> print(vector)
[3. 1. 1. 1. 1.]
>>> print(unravel(2 * vector)["w"])
[[2. 2.]
 [2. 2.]]
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from math import prod
from typing import Any

from anima import dtypes, lax, numpy as np
from anima._native import PyTreeDef
from anima.core.trace import shaped
from anima.tree_util import keystr, tree_flatten, tree_leaves_with_path, tree_unflatten

__all__ = ["ravel_pytree"]


def ravel_pytree(pytree: Any) -> tuple[Any, Callable[[Any], Any]]:
    """The leaves of a tree in one vector, and the function that makes such a vector a tree again.

    Args:
      pytree: a pytree of arrays and numbers. Leaves of different dtypes are promoted to their common one.

    Returns:
      (vector, unravel): an array of one dimension, float32 and empty for a tree without leaves; and a function
      of such a vector. It gives each leaf its shape and dtype back; but where all leaves had one dtype, it keeps the
      dtype of the vector, so that it serves for tangents and for other precisions. Functions for trees of the same
      structure, shapes and dtypes are equal and hash equally, so they may be static arguments.

    Raises:
      TypeError: a leaf is no array or number. `unravel` raises it for a vector of another dtype (if leaves were
        promoted), and ValueError for one of another shape.

    >>> import anima.numpy as np
    >>> from anima.flatten_util import ravel_pytree
    >>> vector, unravel = ravel_pytree([np.arange(3), (np.ones((1, 2)),)])
    >>> print(vector)
    [0. 1. 2. 1. 1.]
    >>> print(unravel(vector)[0])
    [0 1 2]
    """
    leaves, treedef = tree_flatten(pytree)
    for path, leaf in tree_leaves_with_path(pytree):
        _check_leaf(path, leaf)
    arrays = [np.asarray(leaf) for leaf in leaves]
    avals = [shaped(a) for a in arrays]
    found = tuple([a.dtype for a in avals])
    unravel = _Unravel(treedef, tuple([a.shape for a in avals]), found)
    if not arrays:
        return np.zeros((0,), dtypes.float32), unravel
    if not unravel.promotes:
        # Without promotion weak types stay weak.
        return lax.concatenate([np.ravel(a) for a in arrays], 0), unravel
    common = unravel.dtype
    return lax.concatenate([np.ravel(lax.convert_element_type(a, common)) for a in arrays], 0), unravel


def _check_leaf(path: Any, leaf: Any) -> None:
    try:
        dtype = shaped(leaf).dtype
    except TypeError:
        if hasattr(leaf, "__jax_array__"):
            return
        raise TypeError(
            f"ravel_pytree: the leaf {keystr(path) or 'of the tree'} has type {type(leaf).__name__}, which is not an array or a "
            f"number: {leaf!r:.60}"
        ) from None
    if dtype == dtypes.float0 or hasattr(dtype, "physical_element"):
        raise TypeError(
            f"ravel_pytree: the leaf {keystr(path) or 'of the tree'} has dtype {dtypes.dtype_name(dtype)}, whose elements are no "
            "numbers and cannot stand in a vector; leave it out of the tree"
        )


class _Unravel:
    """The way back from a vector. Equal for equal structures, shapes and dtypes."""

    __slots__ = ("_dtypes", "_shapes", "_treedef", "dtype", "promotes")

    def __init__(
        self, treedef: PyTreeDef, shapes: tuple[tuple[int, ...], ...], found: tuple[Any, ...]
    ) -> None:
        self._treedef = treedef
        self._shapes = shapes
        self._dtypes = found
        self.promotes = len(set(found)) > 1
        self.dtype = np.result_type(*found) if self.promotes else found[0] if found else dtypes.float32

    def __eq__(self, other: object) -> bool:
        return (
            type(other) is _Unravel
            and self._treedef == other._treedef
            and self._shapes == other._shapes
            and self._dtypes == other._dtypes
        )

    def __hash__(self) -> int:
        return hash((self._treedef, self._shapes, self._dtypes))

    def __repr__(self) -> str:
        return f"unravel({self._treedef})"

    def __call__(self, vector: Any) -> Any:
        sizes = [prod(shape) for shape in self._shapes]
        vector = np.asarray(vector)
        aval = shaped(vector)
        if aval.shape != (sum(sizes),):
            raise ValueError(
                f"unravel: the vector must have shape {(sum(sizes),)}, the elements of {self._treedef}, got {aval.shape}"
            )
        if self.promotes and aval.dtype != self.dtype:
            raise TypeError(
                f"unravel: the vector must have dtype {dtypes.dtype_name(self.dtype)}, to which the leaves were promoted, got "
                f"{dtypes.dtype_name(aval.dtype)}"
            )
        ends = list(accumulate(sizes))
        parts = [
            lax.reshape(lax.slice(vector, (end - size,), (end,)), shape)
            for end, size, shape in zip(ends, sizes, self._shapes)
        ]
        if self.promotes:
            parts = [_narrowed(part, dtype) for part, dtype in zip(parts, self._dtypes)]
        return tree_unflatten(self._treedef, parts)


def _narrowed(part: Any, dtype: Any) -> Any:
    """A part in the leaf's dtype; real leaves take the real part, as they have no other."""
    if dtypes.is_complex(shaped(part).dtype) and not dtypes.is_complex(dtype):
        part = lax.real(part)
    return lax.convert_element_type(part, dtype)
