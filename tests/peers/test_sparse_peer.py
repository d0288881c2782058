"""Sparse arrays compared with JAX: signatures, values, dtypes, numbers of stored elements and flags."""

from __future__ import annotations

import inspect

import jax
import numpy as np
import pytest
from jax.experimental import sparse as theirs

from anima.experimental import sparse

pytestmark = pytest.mark.peers

X = np.array([[0, 1, 0, 2], [3, 0, 0, 0], [0, 0, 0, 4]], "float32")
FUNCTIONS = sorted(
    name
    for name in dir(sparse)
    if not name.startswith("_") and inspect.isfunction(getattr(sparse, name)) and hasattr(theirs, name)
)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_signatures(name: str) -> None:
    ours, reference = (
        [(p.name, p.kind) for p in inspect.signature(getattr(lib, name)).parameters.values()]
        for lib in (sparse, theirs)
    )
    assert ours == reference


CASES = {
    "fromdense": lambda lib, m: m,
    "padded": lambda lib, m: lib.BCOO.fromdense(X, nse=6),
    "batched": lambda lib, m: lib.BCOO.fromdense(X, n_batch=1),
    "blocks": lambda lib, m: lib.BCOO.fromdense(X, n_dense=1),
    "transposed": lambda lib, m: m.T,
    "sum": lambda lib, m: m.sum(0),
    "sum of all": lambda lib, m: lib.bcoo_reduce_sum(m, axes=(0, 1)),
    "product": lambda lib, m: (m @ m.T).sum_duplicates(),
    "vector": lambda lib, m: m @ np.ones(4, "float32"),
    "scaled": lambda lib, m: m * 2,
    "difference": lambda lib, m: m - m.T.T,
    "row": lambda lib, m: m[0],
    "element": lambda lib, m: m[0, 1],
    "part": lambda lib, m: m[1:],
    "column": lambda lib, m: m[..., 0],
    "new axis": lambda lib, m: m[None],
    "rows": lambda lib, m: m[np.array([0, 1])],
    "reversed": lambda lib, m: m[::-1],
    "reshaped": lambda lib, m: m.reshape(4, 3),
    "fortran": lambda lib, m: m.reshape(4, 3, order="F"),
    "converted": lambda lib, m: m.astype("int32"),
    "joined": lambda lib, m: lib.bcoo_concatenate([m, m], dimension=1),
    "slice": lambda lib, m: lib.bcoo_slice(m, start_indices=(0, 0), limit_indices=(3, 4), strides=(2, 1)),
    "broadcast": lambda lib, m: lib.bcoo_broadcast_in_dim(m, shape=(2, 3, 4), broadcast_dimensions=(1, 2)),
    "summed": lambda lib, m: m.T.sum_duplicates(),
    "sorted": lambda lib, m: m.T.sort_indices(),
    "batches": lambda lib, m: m.update_layout(n_batch=1, on_inefficient=None),
    "dense": lambda lib, m: m.update_layout(n_dense=1, on_inefficient=None),
    "eye": lambda lib, m: lib.eye(3, 4, 1, n_batch=1),
    "empty": lambda lib, m: lib.empty((3, 4), "int32", n_batch=1, nse=2),
    "gradient": lambda lib, m: lib.grad(lambda m: (m.todense() ** 2).sum())(m),
    "jacobian": lambda lib, m: lib.jacrev(lambda m: m @ np.ones(4, "float32"))(m),
}


@pytest.mark.parametrize("case", CASES)
def test_results(case: str) -> None:
    ours, reference = (CASES[case](lib, lib.BCOO.fromdense(X)) for lib in (sparse, theirs))
    assert (ours.shape, ours.dtype) == (reference.shape, reference.dtype)
    if isinstance(reference, jax.Array):
        np.testing.assert_array_equal(ours, reference)
        return
    for name in ("nse", "n_batch", "n_dense"):
        assert getattr(ours, name) == getattr(reference, name), name
    for name in ("indices_sorted", "unique_indices"):  # more may be known here
        assert getattr(ours, name) >= getattr(reference, name), name
    assert ours.indices.dtype == reference.indices.dtype
    np.testing.assert_array_equal(ours.data, reference.data)
    np.testing.assert_array_equal(ours.indices, reference.indices)
