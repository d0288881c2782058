"""Exponentials that are summed: the functions of `nn`, along all axes by default.

Invariant: the largest element is subtracted before anything is exponentiated.
"""

from __future__ import annotations

from typing import Any

from anima.nn.normalization import log_softmax as _log_softmax, logsumexp as logsumexp, softmax as _softmax
from anima.numpy.calls import function, plain


@function(static=("axis",))
def softmax(x: Any, /, *, axis: Any = None) -> Any:
    """Exponentials scaled to sum to 1 along `axis`.

    Args:
      axis: an axis, a tuple of them, or None for all.

    >>> import anima.numpy as np
    >>> from anima.scipy import special
    >>> print(special.softmax(np.zeros(4)))
    [0.25 0.25 0.25 0.25]
    """
    return plain(_softmax)(x, axis)


@function(static=("axis",))
def log_softmax(x: Any, /, *, axis: Any = None) -> Any:
    """The logarithm of `softmax`, without underflow.

    Args:
      axis: an axis, a tuple of them, or None for all.

    >>> import anima.numpy as np
    >>> from anima.scipy import special
    >>> print(special.log_softmax(np.zeros(2)).round(4))
    [-0.6931 -0.6931]
    """
    return plain(_log_softmax)(x, axis)
