"""COO, CSR and CSC: sparse matrices, without batches.

Invariant: each is a way to write the indices of a BCOO matrix, and its products are those of BCOO.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as onp

from anima import numpy as np
from anima.experimental.sparse.base import JAXSparse, dtype_of
from anima.experimental.sparse.bcoo import BCOO
from anima.experimental.sparse.bcoo_convert import bcoo_fromdense, bcoo_sort_indices, bcoo_todense
from anima.experimental.sparse.bcoo_products import bcoo_dot_general
from anima.experimental.sparse.bcoo_shape import bcoo_transpose
from anima.experimental.sparse.bcsr import pointers, rows_of
from anima.runtime.arrays import as_array
from anima.tree_util import register_pytree_node_class


class COOInfo(NamedTuple):
    """The static part of a matrix in coordinates."""

    shape: tuple[int, ...]
    rows_sorted: bool = False
    cols_sorted: bool = False


class Matrix(JAXSparse):
    """What the three formats share."""

    def __init__(self, args: tuple[Any, ...], *, shape: Sequence[int]) -> None:
        super().__init__(args, shape=shape)
        if len(self.shape) != 2:
            raise ValueError(f"{type(self).__name__}: shape must have 2 dimensions, got {self.shape}")

    dtype = property(lambda self: dtype_of(self.data))
    nse = property(lambda self: self.data.size)

    def to_bcoo(self) -> BCOO:
        """The same matrix as BCOO."""
        raise NotImplementedError(f"{type(self).__name__}.to_bcoo")

    def todense(self) -> Any:
        """The dense matrix."""
        return bcoo_todense(self.to_bcoo())

    def _no_axes(self, axes: Any) -> None:
        if axes is not None and tuple(axes) != (1, 0):
            raise NotImplementedError(
                f"{type(self).__name__}.transpose: axes must be None or (1, 0), got {axes}"
            )

    def __matmul__(self, other: Any) -> Any:
        if isinstance(other, JAXSparse):
            raise NotImplementedError(
                f"{type(self).__name__}: a product with another sparse matrix needs BCOO for both"
            )
        other = np.asarray(other)
        if other.ndim not in (1, 2):
            raise NotImplementedError(
                f"{type(self).__name__}: the other factor of a product must have 1 or 2 dimensions, got shape {other.shape}"
            )
        dtype = np.promote_types(self.dtype, other.dtype)
        return product(self, other.astype(dtype), dtype, False)


def product(mat: Matrix, dense: Any, dtype: Any, transpose: bool) -> Any:
    """The matrix, or its transpose, times a vector or matrix."""
    sparse = mat.to_bcoo()
    if sparse.dtype != dtype:
        sparse = BCOO((sparse.data.astype(dtype), sparse.indices), shape=sparse.shape)
    return bcoo_dot_general(sparse, dense, dimension_numbers=(((0 if transpose else 1,), (0,)), ((), ())))


@register_pytree_node_class
class COO(Matrix):
    """A sparse matrix as rows, columns and values of its elements.

    Args:
      args: `(data, row, col)`.
      shape: the shape of the matrix.
      rows_sorted, cols_sorted: promises about the order of elements.

    >>> from anima.experimental import sparse
    >>> sparse.COO.fromdense([[0, 1], [2, 0]])
    COO(int32[2, 2], nse=2)
    """

    def __init__(
        self, args: tuple[Any, Any, Any], *, shape: Any, rows_sorted: bool = False, cols_sorted: bool = False
    ) -> None:
        super().__init__(args, shape=shape)
        self.data, self.row, self.col = map(as_array, args)
        self.rows_sorted, self.cols_sorted = bool(rows_sorted), bool(cols_sorted)

    @property
    def _info(self) -> COOInfo:
        return COOInfo(self.shape, self.rows_sorted, self.cols_sorted)

    def tree_flatten(self) -> Any:
        return (self.data, self.row, self.col), self._info

    @classmethod
    def tree_unflatten(cls, aux_data: COOInfo, children: Any) -> COO:
        array = object.__new__(cls)
        array.data, array.row, array.col = children
        array.shape, array.rows_sorted, array.cols_sorted = aux_data
        return array

    @classmethod
    def fromdense(cls, mat: Any, *, nse: int | None = None, index_dtype: Any = onp.int32) -> COO:
        """A dense matrix as COO; see `coo_fromdense`."""
        return coo_fromdense(mat, nse=nse, index_dtype=index_dtype)

    def to_bcoo(self) -> BCOO:
        return BCOO((self.data, np.stack([self.row, self.col], -1)), shape=self.shape)

    def transpose(self, axes: tuple[int, ...] | None = None) -> COO:
        """The transposed matrix; the buffers are the same."""
        self._no_axes(axes)
        return COO(
            (self.data, self.col, self.row),
            shape=self.shape[::-1],
            rows_sorted=self.cols_sorted,
            cols_sorted=self.rows_sorted,
        )

    def _sort_indices(self) -> COO:
        return coo_of(bcoo_sort_indices(self.to_bcoo()))


def coo_of(mat: BCOO) -> COO:
    """A sorted BCOO matrix as COO."""
    return COO((mat.data, mat.indices[:, 0], mat.indices[:, 1]), shape=mat.shape, rows_sorted=True)


class _Compressed(Matrix):
    """A matrix whose rows, or columns, are told by pointers to their first elements."""

    axis: int  # the dimension that is compressed

    def __init__(self, args: tuple[Any, Any, Any], *, shape: Any) -> None:
        super().__init__(args, shape=shape)
        self.data, self.indices, self.indptr = map(as_array, args)

    def tree_flatten(self) -> Any:
        return (self.data, self.indices, self.indptr), self.shape

    @classmethod
    def tree_unflatten(cls, aux_data: Any, children: Any) -> Any:
        array = object.__new__(cls)
        array.data, array.indices, array.indptr = children
        array.shape = aux_data
        return array

    @classmethod
    def of(cls, mat: BCOO) -> Any:
        """A BCOO matrix in this format."""
        turned = mat if cls.axis == 0 else bcoo_sort_indices(bcoo_transpose(mat, permutation=(1, 0)))
        lines = turned.indices[:, 0]
        return cls((turned.data, turned.indices[:, 1], pointers(lines, mat.shape[cls.axis])), shape=mat.shape)

    @classmethod
    def fromdense(cls, mat: Any, *, nse: int | None = None, index_dtype: Any = onp.int32) -> Any:
        """A dense matrix in this format, with arguments as of `csr_fromdense`."""
        return cls.of(_matrix(f"{cls.__name__}.fromdense", mat, nse, index_dtype))

    def to_bcoo(self) -> BCOO:
        lines = rows_of(self.indptr, self.nse).astype(self.indices.dtype)
        pair = (lines, self.indices) if self.axis == 0 else (self.indices, lines)
        return BCOO((self.data, np.stack(pair, -1)), shape=self.shape)


@register_pytree_node_class
class CSR(_Compressed):
    """A sparse matrix in compressed rows.

    Args:
      args: `(data, indices, indptr)`: values, columns, and where rows begin.
      shape: the shape of the matrix.

    >>> from anima.experimental import sparse
    >>> print(sparse.CSR.fromdense([[0, 1], [2, 0]]).indptr)
    [0 1 2]
    """

    axis = 0

    def transpose(self, axes: Any = None) -> CSC:
        """The transposed matrix, in compressed columns; the buffers are the same."""
        self._no_axes(axes)
        return CSC((self.data, self.indices, self.indptr), shape=self.shape[::-1])


@register_pytree_node_class
class CSC(_Compressed):
    """A sparse matrix in compressed columns.

    Args:
      args: `(data, indices, indptr)`: values, rows, and where columns begin.
      shape: the shape of the matrix.

    >>> from anima.experimental import sparse
    >>> print(sparse.CSC.fromdense([[0, 1], [2, 0]]).data)
    [2 1]
    """

    axis = 1

    def transpose(self, axes: Any = None) -> CSR:
        """The transposed matrix, in compressed rows; the buffers are the same."""
        self._no_axes(axes)
        return CSR((self.data, self.indices, self.indptr), shape=self.shape[::-1])


def _matrix(name: str, mat: Any, nse: int | None, index_dtype: Any) -> BCOO:
    mat = np.asarray(mat)
    if mat.ndim != 2:
        raise ValueError(f"{name}: the array must have 2 dimensions, got shape {mat.shape}")
    return bcoo_fromdense(mat, nse=nse, index_dtype=index_dtype)


def coo_fromdense(mat: Any, *, nse: int | None = None, index_dtype: Any = onp.int32) -> COO:
    """A dense matrix as COO; `nse` and `index_dtype` as of `bcoo_fromdense`."""
    return coo_of(_matrix("coo_fromdense", mat, nse, index_dtype))


def csr_fromdense(mat: Any, *, nse: int | None = None, index_dtype: Any = onp.int32) -> CSR:
    """A dense matrix as CSR; `nse` and `index_dtype` as of `bcoo_fromdense`."""
    made: CSR = CSR.of(_matrix("csr_fromdense", mat, nse, index_dtype))
    return made


def coo_todense(mat: COO) -> Any:
    """The dense matrix."""
    return mat.todense()


def csr_todense(mat: CSR) -> Any:
    """The dense matrix."""
    return mat.todense()


def _checked(name: str, mat: Matrix, dense: Any, ndim: int, transpose: bool) -> Any:
    dense = np.asarray(dense)
    size = mat.shape[0 if transpose else 1]
    if dense.ndim != ndim or dense.shape[0] != size:
        raise ValueError(
            f"{name}: the operand must have {ndim} dimensions and size {size} in the first, got {dense.shape}"
        )
    if dense.dtype != mat.dtype:
        raise TypeError(f"{name}: dtypes must be equal, got {mat.dtype} and {dense.dtype}")
    return product(mat, dense, mat.dtype, transpose)


def coo_matvec(mat: COO, v: Any, transpose: bool = False) -> Any:
    """The matrix, or its transpose, times a vector of the same dtype."""
    return _checked("coo_matvec", mat, v, 1, transpose)


def coo_matmat(mat: COO, B: Any, *, transpose: bool = False) -> Any:
    """The matrix, or its transpose, times a dense matrix of the same dtype."""
    return _checked("coo_matmat", mat, B, 2, transpose)


def csr_matvec(mat: CSR, v: Any, transpose: bool = False) -> Any:
    """The matrix, or its transpose, times a vector of the same dtype."""
    return _checked("csr_matvec", mat, v, 1, transpose)


def csr_matmat(mat: CSR, B: Any, *, transpose: bool = False) -> Any:
    """The matrix, or its transpose, times a dense matrix of the same dtype."""
    return _checked("csr_matmat", mat, B, 2, transpose)
