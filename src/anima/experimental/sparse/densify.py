"""`todense`, for functions that may be given sparse arrays or dense ones, and the operation that it is in programs.

Invariant: the operation returns its operand; what it says is that a sparse array in its place is to be made dense.
"""

from __future__ import annotations

from typing import Any

from anima.experimental.sparse.base import JAXSparse
from anima.lax.declare import ANY, batch_elementwise, declare, jvp_linear, operand
from anima.runtime.arrays import as_array

todense_p = declare(
    "todense",
    shape=lambda x: x,
    lower=lambda ctx, x: x,
    jvp=jvp_linear,
    transpose=lambda ct, x: [ct],
    batch=batch_elementwise,
    dtypes=ANY,
)


def dense_of(mat: JAXSparse) -> Any:
    """The dense form of a sparse array."""
    return mat.todense()


def todense(arr: Any) -> Any:
    """The dense form of an array, which may be sparse or dense, also inside `sparsify`.

    Args:
      arr: a sparse array, or an array.

    >>> from anima.experimental import sparse
    >>> print(sparse.todense(sparse.eye(2)))
    [[1. 0.]
     [0. 1.]]
    """
    return dense_of(arr) if isinstance(arr, JAXSparse) else todense_p.bind(as_array(operand(arr)))
