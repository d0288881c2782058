"""BCOO from and to dense arrays, and its elements in other orders, without duplicates and in other layouts.

Invariant: what is padding stays padding; a number of stored elements that is not given must be countable now.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as onp

from anima import dtypes, errors, numpy as np
from anima.core.trace import Tracer
from anima.experimental.sparse.base import SparseEfficiencyError, SparseEfficiencyWarning
from anima.experimental.sparse.bcoo import (
    BCOO,
    bound_of,
    full_batches,
    inside,
    masked,
    over_batches,
    spread,
    total,
)
from anima.lax.sorting import sort
from anima.transforms.jit import jit


def _layout(name: str, ndim: int, n_batch: Any, n_dense: Any) -> int:
    """The number of sparse dimensions that is left."""
    if n_batch < 0 or n_dense < 0 or n_batch + n_dense > ndim:
        raise ValueError(
            f"{name}: n_batch={n_batch} and n_dense={n_dense} must not be negative, nor exceed the {ndim} dimensions together"
        )
    return int(ndim - n_batch - n_dense)


def count(number: Any, name: str) -> int:
    """The number of stored elements as a Python integer.

    Raises:
      ConcretizationTypeError: it is traced.
    """
    if isinstance(number, Tracer):
        raise errors.ConcretizationTypeError(
            number,
            f"the nse argument of {name}",
            advice="Give nse, the number of stored elements, where the function is traced.",
        )
    return int(number)


def bcoo_fromdense(
    mat: Any, *, nse: int | None = None, n_batch: int = 0, n_dense: int = 0, index_dtype: Any = onp.int32
) -> BCOO:
    """A dense array as BCOO.

    Args:
      mat: an array.
      nse: how many elements to store (of each batch); by default as many as are not zero. Padding fills what is more; elements
        beyond it are dropped. It must be given where `mat` is traced.
      n_batch: how many leading dimensions are batches.
      n_dense: how many trailing dimensions are dense blocks.
      index_dtype: dtype of the indices.
    Raises:
      ValueError: the layout does not fit the array. ConcretizationTypeError: `nse` is needed.

    >>> import anima.numpy as np
    >>> from anima.experimental import sparse
    >>> m = sparse.bcoo_fromdense(np.array([[0.0, 1.0], [2.0, 0.0]]))
    >>> print(m.data, m.indices.tolist())
    [1. 2.] [[0, 1], [1, 0]]
    """
    mat = np.asarray(mat)
    n_sparse = _layout("bcoo_fromdense", mat.ndim, n_batch, n_dense)
    if nse is None:
        # Jitted, but of concrete values: the number is known at once.
        nse = count(_most(mat, n_batch, n_dense), "bcoo_fromdense")
    data, indices = _stored(mat, int(nse), n_batch, n_sparse, onp.dtype(index_dtype).name)
    return BCOO((data, indices), shape=mat.shape, indices_sorted=True, unique_indices=True)


def _nonzero_blocks(mat: Any, n_dense: int) -> Any:
    mask = mat != 0
    return mask.any(tuple(range(mat.ndim - n_dense, mat.ndim))) if n_dense else mask


@partial(jit, static_argnums=(1, 2))
def _most(mat: Any, n_batch: int, n_dense: int) -> Any:
    mask = _nonzero_blocks(mat, n_dense)
    return mask.sum(tuple(range(n_batch, mask.ndim))).max(initial=0)


@partial(jit, static_argnums=(1, 2, 3, 4))
def _stored(mat: Any, nse: int, n_batch: int, n_sparse: int, index_dtype: str) -> Any:
    def one(block: Any) -> Any:
        mask = _nonzero_blocks(block, block.ndim - n_sparse)
        shape = block.shape[:n_sparse]
        if not n_sparse:
            empty = np.zeros((nse, 0), index_dtype)
            values = np.where(np.arange(nse).reshape(-1, *[1] * block.ndim) == 0, block[None], 0)
            return values.astype(block.dtype), empty
        found = np.nonzero(mask, size=nse, fill_value=shape)
        values = block.at[found].get(mode="fill", fill_value=0)
        return values, np.stack(found, -1).astype(index_dtype)

    return over_batches(one, n_batch, mat)


def bcoo_todense(mat: BCOO) -> Any:
    """The dense array; elements that are stored twice add up.

    >>> from anima.experimental import sparse
    >>> print(sparse.bcoo_todense(sparse.eye(2)))
    [[1. 0.]
     [0. 1.]]
    """
    return _dense(mat)


@jit
def _dense(mat: BCOO) -> Any:
    shape, dense, dtype = mat.sparse_shape, mat.dense_shape, mat.dtype

    def one(data: Any, indices: Any) -> Any:
        if not shape:
            return data.sum(0, dtype=dtype)
        at = tuple(indices[:, i] for i in range(len(shape)))
        return np.zeros(shape + dense, dtype).at[at].add(data, mode="drop")

    return over_batches(one, mat.n_batch, mat.data, mat.indices)


def bcoo_extract(sparr: BCOO, arr: Any, *, assume_unique: bool | None = None) -> BCOO:
    """The values of a dense array at the places of a sparse one.

    Args:
      sparr: whose places to take.
      arr: an array of the same shape.
      assume_unique: whether no place comes twice; if it may, a value goes to the first and the others get zero. By default as
        `sparr.unique_indices` says.
    Raises:
      TypeError: `sparr` is no BCOO. ValueError: shapes differ.

    >>> import anima.numpy as np
    >>> from anima.experimental import sparse
    >>> print(sparse.bcoo_extract(sparse.eye(2), np.arange(4.0).reshape(2, 2)).data)
    [0. 3.]
    """
    if not isinstance(sparr, BCOO):
        raise TypeError(f"bcoo_extract: first argument should be a BCOO array, got {type(sparr)}")
    arr = np.asarray(arr)
    if arr.shape != sparr.shape:
        raise ValueError(f"bcoo_extract: shape mismatch: {sparr.shape=} {arr.shape=}")
    unique = sparr.unique_indices if assume_unique is None else assume_unique
    data = _taken(sparr, arr)
    if not unique:
        first = _firsts(sparr)
        data = np.where(spread(first, data.ndim), data, np.zeros((), data.dtype))
    return BCOO(
        (data, sparr.indices),
        shape=sparr.shape,
        indices_sorted=sparr.indices_sorted,
        unique_indices=sparr.unique_indices,
    )


@jit
def _taken(mat: BCOO, dense: Any) -> Any:
    n = mat.n_sparse

    def one(block: Any, indices: Any) -> Any:
        if not n:
            first = np.arange(indices.shape[0]).reshape(-1, *[1] * block.ndim) == 0
            return np.where(first, block[None], np.zeros((), block.dtype))
        at = tuple(indices[:, i] for i in range(n))
        return block.at[at].get(mode="fill", fill_value=0)

    return over_batches(one, mat.n_batch, dense, mat.indices)


@jit
def _firsts(mat: BCOO) -> Any:
    bound = bound_of(mat)

    def one(indices: Any) -> Any:
        _, order, group = _groups(indices, bound)
        new = np.concatenate([group[:1] == 0, group[1:] != group[:-1]])
        return np.zeros(new.shape, bool).at[order].set(new)

    return over_batches(one, mat.n_batch, mat.indices)


def from_scipy_sparse(mat: Any, *, index_dtype: Any = None, n_dense: int = 0, n_batch: int = 0) -> BCOO:
    """A sparse array of SciPy as BCOO.

    Args:
      mat: a matrix or array of `scipy.sparse`, of any format.
      index_dtype: dtype of the indices; by default that of `mat`.
      n_dense, n_batch: only 0.
    """
    if n_dense or n_batch:
        raise NotImplementedError(
            "BCOO.from_scipy_sparse: n_batch and n_dense must be 0; use update_layout on the result"
        )
    mat = mat.tocoo()
    indices = onp.column_stack(mat.coords)
    wanted = dtypes.canonicalize_dtype(indices.dtype if index_dtype is None else index_dtype)
    return BCOO((mat.data, indices.astype(wanted)), shape=mat.shape)


def _ordered(indices: Any, values: Sequence[Any]) -> list[Any]:
    """The rows of `indices` in lexicographic order, and `values` with them."""
    n = indices.shape[1]
    where = np.arange(indices.shape[0], dtype=onp.int32)
    *columns, order = sort((*[indices[:, i] for i in range(n)], where), num_keys=n)
    return [np.stack(columns, -1), *(v[order] for v in values)]


@jit
def _sorted(mat: BCOO) -> Any:
    return over_batches(lambda data, indices: _ordered(indices, (data,)), mat.n_batch, mat.data, mat.indices)


def bcoo_sort_indices(mat: BCOO) -> BCOO:
    """The same array with its elements in lexicographic order of their indices.

    >>> from anima.experimental import sparse
    >>> sparse.bcoo_sort_indices(sparse.eye(3).T).indices_sorted
    True
    """
    data, indices = mat.data, mat.indices
    if mat.n_sparse:
        indices, data = _sorted(mat)
    return BCOO((data, indices), shape=mat.shape, indices_sorted=True, unique_indices=mat.unique_indices)


def bcoo_sum_duplicates(mat: BCOO, nse: int | None = None) -> BCOO:
    """The same array with each index once, in order.

    Args:
      mat: a BCOO array.
      nse: how many elements to store; by default as many as there are different indices.
    Raises:
      ValueError: `nse` is not given inside a transformation.

    >>> import anima.numpy as np
    >>> from anima.experimental import sparse
    >>> m = sparse.BCOO((np.array([1.0, 2.0]), np.array([[1], [1]])), shape=(3,))
    >>> print(sparse.bcoo_sum_duplicates(m).data)
    [3.]
    """
    if nse is None:
        number = _different(mat)
        if isinstance(number, Tracer):
            raise ValueError(
                "bcoo_sum_duplicates: nse must be specified where indices are traced, for how many differ is not "
                "known then"
            )
        nse = int(number)
    data, indices = _summed(mat, int(nse))
    return BCOO((data, indices), shape=mat.shape, indices_sorted=True, unique_indices=True)


def _groups(indices: Any, bound: Any) -> tuple[Any, Any, Any]:
    """Sorted indices with padding last, the order, and for each the number of different ones before it."""
    keep = (indices < bound).all(-1)
    indices = np.where(keep[:, None], indices, bound)
    where = np.arange(indices.shape[0], dtype=onp.int32)
    if indices.shape[1]:
        indices, order = _ordered(indices, (where,))
    else:
        order = where
    new = (indices[1:] != indices[:-1]).any(-1)
    group = np.concatenate([np.zeros(min(1, indices.shape[0]), onp.int32), np.cumsum(new.astype(onp.int32))])
    return indices, order, group


@jit
def _different(mat: BCOO) -> Any:
    bound = bound_of(mat)

    def one(indices: Any) -> Any:
        ordered, _, group = _groups(indices, bound)
        return np.where((ordered < bound).all(-1), group + 1, 0).max(initial=0)

    return over_batches(one, mat.n_batch, mat.indices).max(initial=0)


@partial(jit, static_argnums=1)
def _summed(mat: BCOO, nse: int) -> Any:
    bound = bound_of(mat)

    def one(data: Any, indices: Any) -> Any:
        ordered, order, group = _groups(indices, bound)
        group = np.where((ordered < bound).all(-1), group, nse)
        values = np.zeros((nse, *data.shape[1:]), data.dtype).at[group].add(data[order], mode="drop")
        places = np.broadcast_to(bound, (nse, bound.size)).at[group].set(ordered, mode="drop")
        return values, places

    return over_batches(one, mat.n_batch, mat.data, mat.indices)


def without_zeros(mat: BCOO) -> BCOO:
    """The same array, with stored zeros made padding."""
    zero = ~_nonzero_blocks(mat.data, mat.n_dense)
    batch = onp.broadcast_shapes(zero.shape[:-1], mat.indices.shape[:-2])
    zero = np.broadcast_to(zero, (*batch, mat.nse))
    indices = np.where(zero[..., None], bound_of(mat), mat.indices)
    return BCOO((mat.data, indices), shape=mat.shape, unique_indices=False)


def sum_duplicates(mat: BCOO, nse: int | None = None, remove_zeros: bool = True) -> BCOO:
    """The same array with each index once, in order.

    Args:
      nse: how many elements to store; needed inside transformations.
      remove_zeros: whether stored zeros are left out.
    """
    return bcoo_sum_duplicates(without_zeros(mat) if remove_zeros else mat, nse)


# --- layouts ----------------------------------------------------------------------------------


def bcoo_update_layout(
    mat: BCOO, *, n_batch: int | None = None, n_dense: int | None = None, on_inefficient: str | None = "error"
) -> BCOO:
    """The same array with other numbers of batch and dense dimensions.

    Args:
      mat: a BCOO array.
      n_batch, n_dense: the new numbers; by default as they are.
      on_inefficient: what to do where much more is stored afterwards: "error", "warn" or None.
    Raises:
      SparseEfficiencyError: a number increases, and `on_inefficient` is "error". ValueError: the layout is not possible.

    >>> from anima.experimental import sparse
    >>> sparse.bcoo_update_layout(sparse.eye(3, n_batch=1), n_batch=0)
    BCOO(float32[3, 3], nse=3)
    """
    batch = mat.n_batch if n_batch is None else int(n_batch)
    dense = mat.n_dense if n_dense is None else int(n_dense)
    if on_inefficient not in ("error", "warn", None):
        raise ValueError(f"bcoo_update_layout: {on_inefficient=}; expected one of ['error', 'warn', None]")
    if batch < 0 or dense < 0:
        raise ValueError(f"bcoo_update_layout: n_batch={batch} and n_dense={dense} must not be negative")
    if batch + dense > mat.ndim:
        raise ValueError(
            f"bcoo_update_layout: sum of n_batch={batch} and n_dense={dense} cannot be larger than mat.ndim={mat.ndim}."
        )
    for name, old, new in (("n_batch", mat.n_batch, batch), ("n_dense", mat.n_dense, dense)):
        if new > old:
            _inefficient(mat.shape, name, old, new, on_inefficient)
    while mat.n_dense > dense:
        mat = _dense_to_sparse(mat)
    while mat.n_batch > batch:
        mat = _batch_to_sparse(mat)
    while mat.n_dense < dense:
        mat = _sparse_to_dense(mat)
    while mat.n_batch < batch:
        mat = _sparse_to_batch(mat)
    return mat


def _inefficient(shape: Any, name: str, old: int, new: int, action: str | None) -> None:
    message = (
        f"For matrix of shape {shape}, increasing {name} from {old} to {new} results in inefficient storage. To disable this "
        f"{'error' if action == 'error' else 'warning'}, set the on_inefficient argument of bcoo_update_layout to "
    )
    if action == "error":
        raise SparseEfficiencyError(message + "'warn' or None.")
    if action == "warn":
        warnings.warn(message + "None.", SparseEfficiencyWarning, stacklevel=3)


def _dense_to_sparse(mat: BCOO) -> BCOO:
    n, size = mat.n_batch, mat.dense_shape[0]
    data = mat.data.reshape(*mat.data.shape[:n], mat.nse * size, *mat.dense_shape[1:])
    old = np.repeat(mat.indices, size, axis=n)
    new = np.broadcast_to(np.tile(np.arange(size, dtype=old.dtype), mat.nse)[:, None], (*old.shape[:-1], 1))
    return BCOO((data, np.concatenate([old, new], -1)), shape=mat.shape)


def _batch_to_sparse(mat: BCOO) -> BCOO:
    """The last batch dimension made the first sparse one."""
    n, nse = mat.n_batch - 1, mat.nse
    data, indices = full_batches(mat)
    size = mat.shape[n]
    new = np.arange(size, dtype=indices.dtype).reshape(size, 1, 1)
    new = np.broadcast_to(new, (*indices.shape[:-1], 1))
    new = np.where(inside(mat)[..., None], new, size) if mat.n_sparse else new
    indices = np.concatenate([new, indices], -1).reshape(*mat.shape[:n], size * nse, mat.n_sparse + 1)
    return BCOO((data.reshape(*mat.shape[:n], size * nse, *mat.dense_shape), indices), shape=mat.shape)


def _sparse_to_dense(mat: BCOO) -> BCOO:
    """The last sparse dimension made the first dense one."""
    size = mat.sparse_shape[-1]
    here = mat.indices[..., -1:] == np.arange(size, dtype=mat.indices.dtype)
    n = mat.n_batch
    data = np.expand_dims(masked(mat), n + 1)
    here = spread(here, data.ndim)
    return BCOO((np.where(here, data, np.zeros((), mat.dtype)), mat.indices[..., :-1]), shape=mat.shape)


def _sparse_to_batch(mat: BCOO) -> BCOO:
    """The first sparse dimension made the last batch one."""
    n, size = mat.n_batch, mat.sparse_shape[0]
    row = np.expand_dims(mat.indices[..., 0], n)
    here = row == np.arange(size, dtype=row.dtype)[:, None]
    data = np.expand_dims(masked(mat), n)
    data = np.where(spread(here, data.ndim), data, np.zeros((), mat.dtype))
    rest = np.expand_dims(mat.indices[..., 1:], n)
    rest = np.broadcast_to(rest, (*rest.shape[:n], size, *rest.shape[n + 1 :]))
    return BCOO((data, rest), shape=mat.shape)


def limited(mat: BCOO) -> BCOO:
    """The same array, with no more stored elements than there are places."""
    places = total(mat.sparse_shape)
    return bcoo_sum_duplicates(mat, nse=places) if mat.nse > places else mat
