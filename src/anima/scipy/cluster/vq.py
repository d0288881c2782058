"""Vector quantisation.

Invariant: distances are sums of squared differences, not differences of squares, so those of close points keep their digits.
"""

from __future__ import annotations

from typing import Any

import anima.numpy as np
from anima.numpy.calls import function
from anima.numpy.promotion import promote_dtypes_inexact, shape_of


@function(static=("check_finite",))
def vq(obs: Any, code_book: Any, check_finite: bool = True) -> tuple[Any, Any]:
    """The nearest of some points for each observation.

    Args:
      obs: observations, the rows of a matrix; of a vector, its elements.
      code_book: the points, built in the same way.
      check_finite: has no effect: a NaN leads to a NaN.
    Returns:
      for each observation the index of the nearest point, the first of equals, and the distance to it.
    Raises:
      ValueError: the two differ in rank, or are no vectors or matrices. TypeError: rows differ in length.

    >>> import anima.numpy as np
    >>> from anima.scipy.cluster import vq
    >>> codes, distances = vq.vq(np.array([[0.0, 1.0], [5.0, 5.0]]), np.array([[0.0, 0.0], [5.0, 4.0]]))
    >>> print(codes, distances)
    [0 1] [1. 1.]
    """
    obs, code_book = promote_dtypes_inexact("vq", obs, code_book)
    rank = len(shape_of(obs))
    if rank != len(shape_of(code_book)):
        raise ValueError(
            f"vq: obs and code_book must have one rank, got shapes {shape_of(obs)} and {shape_of(code_book)}"
        )
    if rank not in (1, 2):
        raise ValueError(f"vq: obs and code_book must be vectors or matrices, got shape {shape_of(obs)}")
    if rank == 1:
        obs, code_book = obs[:, None], code_book[:, None]
    if shape_of(obs)[1] != shape_of(code_book)[1]:
        raise TypeError(
            f"vq: rows must be of one length, got shapes {shape_of(obs)} and {shape_of(code_book)}"
        )
    distances = np.linalg.norm(obs[:, None, :] - code_book[None, :, :], axis=-1)
    return np.argmin(distances, -1), np.min(distances, -1)
