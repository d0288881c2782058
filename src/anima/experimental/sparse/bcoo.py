"""BCOO, batched coordinates: the data structure, and what is done with each of its batches.

Invariant: `data` has shape `(*batch, nse, *dense)` and `indices` `(*batch, nse, n_sparse)`, where a batch dimension of size 1 in
one of them stands for any size. The shape is that of the batches, which the buffers tell, followed by the sparse and the dense
dimensions, which are static: so `vmap` over the batches needs nothing special. An element with an index out of bounds is
padding, and does not count.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as onp

from anima import dtypes, numpy as np
from anima.experimental.sparse.base import JAXSparse, dtype_of
from anima.runtime.arrays import as_array
from anima.transforms.vmap import vmap
from anima.tree_util import register_pytree_node_class


class SparseInfo(NamedTuple):
    """The static part of an array in coordinates."""

    shape: tuple[int, ...]
    indices_sorted: bool = False
    unique_indices: bool = False


@register_pytree_node_class
class BCOO(JAXSparse):
    """A sparse array as the coordinates and values of its elements, in batches, with dense blocks as values if wished.

    Args:
      args: `(data, indices)`: values of shape `(*batch, nse, *dense)`, and integers of shape `(*batch, nse, n_sparse)`.
      shape: batch, sparse and dense dimensions.
      indices_sorted: promise that indices are in lexicographic order.
      unique_indices: promise that no index comes twice.
    Raises:
      ValueError, TypeError: shapes or dtypes do not fit together.

    >>> import anima.numpy as np
    >>> from anima.experimental import sparse
    >>> m = sparse.BCOO((np.array([1.0, 2.0]), np.array([[0, 1], [1, 0]])), shape=(2, 2))
    >>> m
    BCOO(float32[2, 2], nse=2)
    >>> print(m.todense())
    [[0. 1.]
     [2. 0.]]
    """

    indices: Any
    indices_sorted: bool
    unique_indices: bool

    def __init__(
        self,
        args: tuple[Any, Any],
        *,
        shape: Sequence[int],
        indices_sorted: bool = False,
        unique_indices: bool = False,
    ) -> None:
        data, indices = args
        self.data, self.indices = as_array(data), as_array(indices)
        dims = tuple(operator.index(d) for d in shape)
        self.indices_sorted, self.unique_indices = bool(indices_sorted), bool(unique_indices)
        _check(self.data, self.indices, dims)
        n_batch = self.indices.ndim - 2
        self._inner = dims[n_batch:]
        if dims != self.shape:  # both buffers have 1 where the shape has more: one must tell
            self.indices = np.broadcast_to(self.indices, (*dims[:n_batch], *self.indices.shape[n_batch:]))

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        n = self.n_batch
        pairs = zip(self.data.shape[:n], self.indices.shape[:n])
        return tuple(b if a == 1 else a for a, b in pairs) + self._inner

    dtype = property(lambda self: dtype_of(self.data))
    nse = property(lambda self: self.indices.shape[-2])
    n_sparse = property(lambda self: self.indices.shape[-1])
    n_dense = property(lambda self: self.data.ndim - 1 - self.n_batch)

    @property
    def n_batch(self) -> int:
        n: int = self.indices.ndim - 2
        if n < 0:
            raise ValueError(
                "Cannot map an axis of a BCOO array with n_batch=0: in_axes for batched BCOO operations must correspond to a "
                "batch dimension; make one with update_layout(n_batch=1)"
            )
        return n

    @property
    def _info(self) -> SparseInfo:
        return SparseInfo(self.shape, self.indices_sorted, self.unique_indices)

    @property
    def sparse_shape(self) -> tuple[int, ...]:
        """The sparse dimensions."""
        return self._inner[: self.n_sparse]

    @property
    def dense_shape(self) -> tuple[int, ...]:
        """The dense dimensions."""
        return self._inner[self.n_sparse :]

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """The batch dimensions."""
        return self.shape[: self.n_batch]

    def layout(self) -> dict[str, int]:
        return {"n_batch": self.n_batch, "n_dense": self.n_dense}

    def tree_flatten(self) -> Any:
        return (self.data, self.indices), SparseInfo(self._inner, self.indices_sorted, self.unique_indices)

    @classmethod
    def tree_unflatten(cls, aux_data: SparseInfo, children: Any) -> BCOO:
        array = object.__new__(cls)
        array.data, array.indices = children
        array._inner, array.indices_sorted, array.unique_indices = aux_data
        return array


def _check(data: Any, indices: Any, shape: tuple[int, ...]) -> None:
    if indices.ndim < 2:
        raise ValueError(
            f"BCOO: indices must have at least 2 dimensions, (nse, n_sparse), got {indices.shape}"
        )
    if not dtypes.is_int(indices.dtype):
        raise TypeError(f"BCOO: indices must be integers, got dtype {dtypes.dtype_name(indices.dtype)}")
    n_batch, (nse, n_sparse) = indices.ndim - 2, indices.shape[-2:]
    n_dense = len(shape) - n_batch - n_sparse
    dense = shape[n_batch + n_sparse :]
    if n_dense < 0:
        raise ValueError(f"BCOO: indices of shape {indices.shape} have too many dimensions for {shape=}")
    if data.shape[n_batch:] != (nse, *dense):
        raise ValueError(
            f"BCOO: Invalid data.shape={data.shape} for nse={nse}, n_batch={n_batch}, n_dense={n_dense}"
        )
    for name, buffer in (("data", data), ("indices", indices)):
        if any(b not in (1, d) for b, d in zip(buffer.shape[:n_batch], shape)):
            raise ValueError(
                f"BCOO: {name} batch dimensions not compatible for {name}.shape={buffer.shape}, {shape=}"
            )


def over_batches(fun: Callable[..., Any], n_batch: int, *args: Any) -> Any:
    """`fun` of each batch: its arguments have `n_batch` leading dimensions, of which those of size 1 stand for any size."""
    if n_batch == 0:
        return fun(*args)
    sizes = {a.shape[0] for a in args}
    size = next((s for s in sizes if s != 1), 1)
    axes = tuple(0 if a.shape[0] == size else None for a in args)
    given = [a if axis == 0 else a.reshape(a.shape[1:]) for a, axis in zip(args, axes)]
    return vmap(lambda *xs: over_batches(fun, n_batch - 1, *xs), in_axes=axes)(*given)


def full_batches(mat: BCOO) -> tuple[Any, Any]:
    """The buffers with batch dimensions of full size."""
    batch, n = mat.batch_shape, mat.n_batch
    return (
        np.broadcast_to(mat.data, (*batch, *mat.data.shape[n:])),
        np.broadcast_to(mat.indices, (*batch, *mat.indices.shape[n:])),
    )


def bound_of(mat: BCOO) -> Any:
    """The sparse shape as an array, the index of padding."""
    return onp.array(mat.sparse_shape, mat.indices.dtype)


def inside(mat: BCOO) -> Any:
    """Which stored elements count: those with all indices in bounds."""
    return (mat.indices < bound_of(mat)).all(-1)


def spread(flags: Any, ndim: int) -> Any:
    """`flags` with dimensions of size 1 at the end, so that it has `ndim`."""
    return flags.reshape(*flags.shape, *[1] * (ndim - flags.ndim))


def masked(mat: BCOO) -> Any:
    """The values, those of padding set to zero."""
    if not mat.n_sparse:
        return mat.data
    keep = spread(inside(mat), mat.data.ndim)
    return np.where(keep, mat.data, np.zeros((), mat.dtype))


def axes_of(name: str, axes: Sequence[int], ndim: int) -> tuple[int, ...]:
    """Distinct axes, none negative.

    Raises:
      ValueError: they are not.
    """
    found = tuple(operator.index(a) for a in axes)
    if len(set(found)) != len(found) or any(not 0 <= a < ndim for a in found):
        raise ValueError(f"{name}: axes {found} must be distinct and between 0 and {ndim - 1}")
    return found


def split_axes(mat: BCOO, axes: Sequence[int]) -> tuple[list[int], list[int], list[int]]:
    """The axes among the batch, the sparse and the dense dimensions, each counted from the first of its kind."""
    first, last = mat.n_batch, mat.n_batch + mat.n_sparse
    return (
        [a for a in axes if a < first],
        [a - first for a in axes if first <= a < last],
        [a - last for a in axes if a >= last],
    )


def total(shape: Sequence[int]) -> int:
    """The number of elements of an array of this shape."""
    return math.prod(shape)
