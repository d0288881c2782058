"""New sparse arrays: empty ones, identities, random ones.

Invariant: BCOO is made first, and other formats from it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as onp

from anima import dtypes, numpy as np, random
from anima.experimental.sparse.base import JAXSparse
from anima.experimental.sparse.bcoo import BCOO, over_batches, total
from anima.experimental.sparse.bcoo_convert import bcoo_fromdense, bcoo_sort_indices
from anima.experimental.sparse.bcsr import BCSR
from anima.experimental.sparse.matrices import CSC, CSR, coo_of

_FORMATS = {"bcsr": BCSR.from_bcoo, "bcoo": lambda m: m, "coo": coo_of, "csr": CSR.of, "csc": CSC.of}


def _in_format(mat: BCOO, sparse_format: str) -> Any:
    make: Any = _FORMATS.get(sparse_format)
    if make is None:
        raise ValueError(f"sparse_format must be one of {list(_FORMATS)}, got {sparse_format!r}")
    return make(mat)


def empty(
    shape: Sequence[int],
    dtype: Any = None,
    index_dtype: Any = "int32",
    sparse_format: str = "bcoo",
    **kwds: Any,
) -> JAXSparse:
    """A sparse array of zeros.

    Args:
      shape: the shape.
      dtype, index_dtype: dtypes of values and indices.
      sparse_format: "bcoo", "bcsr", "coo", "csr" or "csc".
      kwds: for BCOO and BCSR, `n_batch`, `n_dense` and `nse`, how many elements to store, as padding.
    Raises:
      ValueError: the format is not known, or the layout does not fit.

    >>> from anima.experimental import sparse
    >>> sparse.empty((2, 3))
    BCOO(float32[2, 3], nse=0)
    """
    made: JAXSparse = _in_format(_empty(tuple(shape), dtype, index_dtype, **kwds), sparse_format)
    return made


def _empty(
    shape: tuple[int, ...], dtype: Any, index_dtype: Any, *, n_batch: int = 0, n_dense: int = 0, nse: int = 0
) -> BCOO:
    n_sparse = len(shape) - n_batch - n_dense
    if n_sparse < 0 or min(n_batch, n_dense, nse) < 0:
        raise ValueError(f"sparse.empty: {shape=}, {n_batch=}, {n_dense=}, {nse=} do not fit together")
    batch, places, dense = shape[:n_batch], shape[n_batch : n_batch + n_sparse], shape[n_batch + n_sparse :]
    indices = np.broadcast_to(onp.array(places, onp.dtype(index_dtype)), (*batch, nse, n_sparse))
    data = np.zeros((*batch, nse, *dense), dtype)
    return BCOO((data, indices), shape=shape, indices_sorted=True, unique_indices=True)


def eye(
    N: int,
    M: int | None = None,
    k: int = 0,
    dtype: Any = None,
    index_dtype: Any = "int32",
    sparse_format: str = "bcoo",
    **kwds: Any,
) -> JAXSparse:
    """A sparse matrix with ones on a diagonal.

    Args:
      N, M: rows and columns; as many columns as rows by default.
      k: which diagonal: 0 is the main one, and positive ones are above.
      dtype, index_dtype: dtypes of values and indices.
      sparse_format: "bcoo", "bcsr", "coo", "csr" or "csc".
      kwds: for BCOO, `n_batch` and `n_dense`.

    >>> from anima.experimental import sparse
    >>> print(sparse.eye(2, 3, k=1).todense())
    [[0. 1. 0.]
     [0. 0. 1.]]
    """
    N, k = operator.index(N), operator.index(k)
    M = N if M is None else operator.index(M)
    made: JAXSparse = _in_format(_eye(N, M, k, dtype, index_dtype, **kwds), sparse_format)
    return made


def _eye(N: int, M: int, k: int, dtype: Any, index_dtype: Any, *, n_batch: int = 0, n_dense: int = 0) -> BCOO:
    first = max(0, -k)
    rows = onp.arange(first, max(min(N, M - k), first), dtype=onp.dtype(index_dtype))
    if not n_batch and not n_dense:
        indices = onp.stack([rows, rows + onp.asarray(k, rows.dtype)], -1)
        return BCOO(
            (np.ones(rows.size, dtype), indices), shape=(N, M), indices_sorted=True, unique_indices=True
        )
    if n_batch < 0 or n_dense < 0 or n_batch + n_dense > 2:
        raise ValueError(f"sparse.eye: {n_batch=} and {n_dense=} must not be negative, nor exceed 2 together")
    ones = onp.zeros((N, M), bool)
    ones[rows, rows + k] = True
    made = bcoo_fromdense(
        ones,
        nse=None if n_batch + n_dense < 2 else 1,
        n_batch=n_batch,
        n_dense=n_dense,
        index_dtype=index_dtype,
    )
    return BCOO(
        (made.data.astype(np.zeros(0, dtype).dtype), made.indices),
        shape=(N, M),
        indices_sorted=True,
        unique_indices=True,
    )


def random_bcoo(
    key: Any,
    shape: Sequence[int],
    *,
    dtype: Any = float,
    indices_dtype: Any = None,
    nse: int | float = 0.2,
    n_batch: int = 0,
    n_dense: int = 0,
    unique_indices: bool = True,
    sorted_indices: bool = False,
    generator: Callable[..., Any] = random.uniform,
    **kwds: Any,
) -> BCOO:
    """A BCOO array with random values at random places.

    Args:
      key: a random key.
      shape: the shape.
      dtype, indices_dtype: dtypes of values and indices.
      nse: how many elements to store in each batch, or, below 1, which part of the places.
      n_batch, n_dense: the layout.
      unique_indices: whether no place comes twice.
      sorted_indices: whether they are in order.
      generator, kwds: draws the values: `generator(key, shape=..., dtype=..., **kwds)`.
    Raises:
      ValueError: `nse` or the layout does not fit.

    >>> import anima
    >>> from anima.experimental import sparse
    >>> sparse.random_bcoo(anima.random.key(0), (3, 4), nse=5)
    BCOO(float32[3, 4], nse=5)
    """
    shape = tuple(map(operator.index, shape))
    n_sparse = len(shape) - n_batch - n_dense
    if n_sparse < 0 or n_batch < 0 or n_dense < 0:
        raise ValueError(f"random_bcoo: got {n_batch=}, {n_dense=} for {len(shape)} dimensions")
    batch, places, dense = shape[:n_batch], shape[n_batch : n_batch + n_sparse], shape[n_batch + n_sparse :]
    number = int(-(-nse * total(places) // 1)) if 0 < nse < 1 else int(nse)
    if not 0 <= number <= total(places) and unique_indices:
        raise ValueError(f"random_bcoo: got nse={nse}, expected to be between 0 and {total(places)}")
    key_values, key_places = random.split(key)
    kind = dtypes.canonicalize_dtype(onp.int32 if indices_dtype is None else indices_dtype)
    keys = random.split(key_places, total(batch)).reshape(*batch, *np.shape(key))

    def one(key: Any) -> Any:
        if not n_sparse:
            return np.zeros((number, 0), kind)
        flat = random.choice(key, total(places), shape=(number,), replace=not unique_indices)
        return np.stack(np.unravel_index(flat, places), -1).astype(kind)

    indices = over_batches(one, n_batch, keys) if n_batch else one(key_places)
    wanted = dtypes.canonicalize_dtype(dtype)
    data = generator(key_values, shape=(*batch, number, *dense), dtype=wanted, **kwds)
    mat = BCOO((data, indices.astype(kind)), shape=shape, unique_indices=unique_indices)
    return bcoo_sort_indices(mat) if sorted_indices else mat
