"""BCSR, batched compressed rows: two sparse dimensions, of which the rows are told by pointers to their first elements.

Invariant: `data` has shape `(*batch, nse, *dense)`, `indices` `(*batch, nse)` and `indptr` `(*batch, rows + 1)`; elements after the
last row's end are padding, and do not count. Operations go by way of BCOO.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as onp

from anima import numpy as np
from anima.experimental.sparse.base import JAXSparse, dtype_of
from anima.experimental.sparse.bcoo import BCOO, SparseInfo, full_batches, over_batches
from anima.experimental.sparse.bcoo_convert import (
    bcoo_extract,
    bcoo_fromdense,
    bcoo_sort_indices,
    bcoo_sum_duplicates,
    bcoo_todense,
    from_scipy_sparse,
    sum_duplicates,
)
from anima.experimental.sparse.bcoo_products import bcoo_dot_general
from anima.experimental.sparse.bcoo_shape import bcoo_broadcast_in_dim, bcoo_concatenate
from anima.runtime.arrays import as_array
from anima.tree_util import register_pytree_node_class


def rows_of(indptr: Any, nse: int) -> Any:
    """The row of each element; for those after the last row, the number of rows."""
    return (np.searchsorted(indptr, np.arange(nse, dtype=indptr.dtype), side="right") - 1).astype(
        indptr.dtype
    )


def pointers(rows: Any, size: int) -> Any:
    """Where each row begins and ends, for sorted rows."""
    return np.searchsorted(rows, np.arange(size + 1, dtype=rows.dtype), side="left").astype(rows.dtype)


@register_pytree_node_class
class BCSR(JAXSparse):
    """A sparse array in compressed rows, in batches, with dense blocks as values if wished.

    Args:
      args: `(data, indices, indptr)`: values, columns, and where rows begin.
      shape: batch dimensions, rows and columns, dense dimensions.
      indices_sorted, unique_indices: promises about the columns of each row.
    Raises:
      ValueError: shapes do not fit together.

    >>> import anima.numpy as np
    >>> from anima.experimental import sparse
    >>> m = sparse.BCSR.fromdense(np.array([[0.0, 1.0], [2.0, 0.0]]))
    >>> print(m, m.indices, m.indptr)
    BCSR(float32[2, 2], nse=2) [1 0] [0 1 2]
    """

    def __init__(
        self,
        args: tuple[Any, Any, Any],
        *,
        shape: Sequence[int],
        indices_sorted: bool = False,
        unique_indices: bool = False,
    ) -> None:
        self.data, self.indices, self.indptr = map(as_array, args)
        self.indices_sorted, self.unique_indices = bool(indices_sorted), bool(unique_indices)
        dims = tuple(operator.index(d) for d in shape)
        n = self.n_batch
        self._inner = dims[n:]
        if n < 0 or len(self._inner) < 2 or self.data.shape[n:] != (self.indices.shape[-1], *self._inner[2:]):
            raise ValueError(
                f"BCSR: Invalid data.shape={self.data.shape}, indices.shape={self.indices.shape} for shape={dims}"
            )
        if self.indptr.shape[n:] != (dims[n] + 1,):
            raise ValueError("BCSR: indptr shape must match the matrix shape plus 1.")
        if self.shape != dims:
            raise ValueError(f"BCSR: batch dimensions of the buffers give shape {self.shape}, not {dims}")

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        n = self.n_batch
        return (
            tuple(onp.broadcast_shapes(*(b.shape[:n] for b in (self.data, self.indices, self.indptr))))
            + self._inner
        )

    dtype = property(lambda self: dtype_of(self.data))
    nse = property(lambda self: self.indices.shape[-1])
    n_batch = property(lambda self: self.indices.ndim - 1)
    n_sparse = property(lambda self: 2)
    n_dense = property(lambda self: self.data.ndim - self.indices.ndim)

    @property
    def _info(self) -> SparseInfo:
        return SparseInfo(self.shape, self.indices_sorted, self.unique_indices)

    def layout(self) -> dict[str, int]:
        return {"n_batch": self.n_batch, "n_dense": self.n_dense}

    def tree_flatten(self) -> Any:
        return (self.data, self.indices, self.indptr), SparseInfo(
            self._inner, self.indices_sorted, self.unique_indices
        )

    @classmethod
    def tree_unflatten(cls, aux_data: SparseInfo, children: Any) -> BCSR:
        array = object.__new__(cls)
        array.data, array.indices, array.indptr = children
        array._inner, array.indices_sorted, array.unique_indices = aux_data
        return array

    @classmethod
    def fromdense(
        cls,
        mat: Any,
        *,
        nse: int | None = None,
        index_dtype: Any = onp.int32,
        n_dense: int = 0,
        n_batch: int = 0,
    ) -> BCSR:
        """A dense array as BCSR, see `bcsr_fromdense`."""
        return bcsr_fromdense(mat, nse=nse, index_dtype=index_dtype, n_dense=n_dense, n_batch=n_batch)

    @classmethod
    def from_bcoo(cls, arr: BCOO) -> BCSR:
        """A BCOO array with two sparse dimensions as BCSR."""
        if arr.n_sparse != 2:
            raise NotImplementedError(
                f"BCSR.from_bcoo: the array must have 2 sparse dimensions, got {arr.n_sparse}; use update_layout"
            )
        if not arr.indices_sorted:
            arr = bcoo_sort_indices(arr)
        size = arr.sparse_shape[0]
        data, indices = full_batches(arr)
        indptr = over_batches(lambda at: pointers(at[:, 0], size), arr.n_batch, indices)
        return cls(
            (data, indices[..., 1], indptr),
            shape=arr.shape,
            indices_sorted=arr.indices_sorted,
            unique_indices=arr.unique_indices,
        )

    @classmethod
    def from_scipy_sparse(
        cls, mat: Any, *, index_dtype: Any = None, n_dense: int = 0, n_batch: int = 0
    ) -> BCSR:
        """A sparse matrix of SciPy as BCSR."""
        made = from_scipy_sparse(mat.tocsr(), index_dtype=index_dtype, n_dense=n_dense, n_batch=n_batch)
        return cls.from_bcoo(made)

    def to_bcoo(self) -> BCOO:
        """The same array as BCOO."""
        nse, (rows, columns) = self.nse, self._inner[:2]

        def one(indices: Any, indptr: Any) -> Any:
            at = np.stack([rows_of(indptr, nse).astype(indices.dtype), indices], -1)
            return np.where(at[:, :1] < rows, at, onp.array([rows, columns], indices.dtype))

        at = over_batches(one, self.n_batch, self.indices, self.indptr)
        return BCOO(
            (self.data, at),
            shape=self.shape,
            indices_sorted=self.indices_sorted,
            unique_indices=self.unique_indices,
        )

    def todense(self) -> Any:
        """The dense array."""
        return bcsr_todense(self)

    def sum_duplicates(self, nse: int | None = None, remove_zeros: bool = True) -> BCSR:
        """The same array with each index once, in order."""
        return BCSR.from_bcoo(sum_duplicates(self.to_bcoo(), nse, remove_zeros))


def _two(name: str, ndim: int, n_batch: int, n_dense: int) -> None:
    if ndim - n_batch - n_dense != 2:
        raise ValueError(f"{name}: must have 2 sparse dimensions.")


def bcsr_fromdense(
    mat: Any, *, nse: int | None = None, n_batch: int = 0, n_dense: int = 0, index_dtype: Any = onp.int32
) -> BCSR:
    """A dense array as BCSR, with arguments as of `bcoo_fromdense`.

    Raises:
      ValueError: there are not two sparse dimensions.

    >>> from anima.experimental import sparse
    >>> sparse.bcsr_fromdense([[0, 1], [2, 0]])
    BCSR(int32[2, 2], nse=2)
    """
    mat = np.asarray(mat)
    _two("bcsr_fromdense", mat.ndim, n_batch, n_dense)
    made = bcoo_fromdense(mat, nse=nse, n_batch=n_batch, n_dense=n_dense, index_dtype=index_dtype)
    return BCSR.from_bcoo(made)


def bcsr_todense(mat: BCSR) -> Any:
    """The dense array.

    >>> from anima.experimental import sparse
    >>> print(sparse.bcsr_todense(sparse.bcsr_fromdense([[0, 1], [2, 0]])))
    [[0 1]
     [2 0]]
    """
    return bcoo_todense(mat.to_bcoo())


def bcsr_extract(indices: Any, indptr: Any, mat: Any) -> Any:
    """The values of a dense array at the places of compressed rows.

    >>> import anima.numpy as np
    >>> from anima.experimental import sparse
    >>> m = sparse.bcsr_fromdense(np.array([[0, 1], [2, 0]]))
    >>> print(sparse.bcsr_extract(m.indices, m.indptr, np.array([[5, 6], [7, 8]])))
    [6 7]
    """
    mat, indices = np.asarray(mat), np.asarray(indices)
    n = indices.ndim - 1
    blank = np.zeros((*indices.shape, *mat.shape[n + 2 :]), mat.dtype)
    return bcoo_extract(
        BCSR((blank, indices, indptr), shape=mat.shape).to_bcoo(), mat, assume_unique=True
    ).data


def bcsr_sum_duplicates(mat: BCSR, nse: int | None = None) -> BCSR:
    """The same array with each index once, in order; `nse` as of `bcoo_sum_duplicates`."""
    return BCSR.from_bcoo(bcoo_sum_duplicates(mat.to_bcoo(), nse))


def bcsr_dot_general(
    lhs: Any,
    rhs: Any,
    *,
    dimension_numbers: Any,
    precision: Any = None,
    preferred_element_type: Any = None,
    out_sharding: Any = None,
) -> Any:
    """A contraction, as `lax.dot_general`, of which either side may be a sparse array; see `bcoo_dot_general`."""
    lhs, rhs = (x.to_bcoo() if isinstance(x, BCSR) else x for x in (lhs, rhs))
    return bcoo_dot_general(
        lhs,
        rhs,
        dimension_numbers=dimension_numbers,
        precision=precision,
        preferred_element_type=preferred_element_type,
        out_sharding=out_sharding,
    )


def bcsr_broadcast_in_dim(
    mat: BCSR, *, shape: Sequence[int], broadcast_dimensions: Sequence[int], sharding: Any = None
) -> BCSR:
    """The array repeated along new dimensions; see `bcoo_broadcast_in_dim`."""
    made = bcoo_broadcast_in_dim(
        mat.to_bcoo(), shape=shape, broadcast_dimensions=broadcast_dimensions, sharding=sharding
    )
    return BCSR.from_bcoo(made)


def bcsr_concatenate(operands: Sequence[BCSR], *, dimension: int) -> BCSR:
    """Arrays one after the other along a dimension; see `bcoo_concatenate`."""
    return BCSR.from_bcoo(bcoo_concatenate([m.to_bcoo() for m in operands], dimension=dimension))
