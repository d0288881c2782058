"""Window functions for signals.

Invariant: a window that depends on its size alone is computed on the host, in double precision. Kaiser's has a parameter with
a derivative.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from anima import dtypes, lax
from anima.core.trace import Tracer
from anima.errors import ShapeConcretizationError
from anima.lax import broadcast_in_dim, exp
from anima.numpy.calls import function
from anima.numpy.creation import asarray


def _window(name: str, M: Any, shape: Callable[[int], Any]) -> Any:
    if isinstance(M, Tracer):
        raise ShapeConcretizationError(name, M)
    return asarray(shape(operator.index(M)), dtype=dtypes.default_float_dtype())


def bartlett(M: int) -> Any:
    """The Bartlett window of size `M`: a triangle.

    >>> import anima.numpy as np
    >>> print(np.bartlett(5))
    [0.  0.5 1.  0.5 0. ]
    """
    return _window("bartlett", M, np.bartlett)


def blackman(M: int) -> Any:
    """The Blackman window of size `M`: a sum of three cosines.

    >>> import anima.numpy as np
    >>> print(np.blackman(3).round(2))
    [-0.  1. -0.]
    """
    return _window("blackman", M, np.blackman)


def hamming(M: int) -> Any:
    """The Hamming window of size `M`: a raised cosine.

    >>> import anima.numpy as np
    >>> print(np.hamming(3))
    [0.08 1.   0.08]
    """
    return _window("hamming", M, np.hamming)


def hanning(M: int) -> Any:
    """The Hann window of size `M`: a cosine that reaches zero.

    >>> import anima.numpy as np
    >>> print(np.hanning(3))
    [0. 1. 0.]
    """
    return _window("hanning", M, np.hanning)


def kaiser(M: int, beta: Any) -> Any:
    """The Kaiser window of size `M`: a Bessel function of an ellipse.

    Args:
      M: the size, known while tracing.
      beta: the shape, a real number: 0 for a rectangle; it has a derivative.
    Raises:
      TypeError: `M` is no integer. ValueError: `beta` is no scalar, or complex.

    >>> import anima.numpy as np
    >>> print(np.kaiser(3, 2.0).round(3))
    [0.439 1.    0.439]
    """
    if isinstance(M, Tracer):
        raise ShapeConcretizationError("kaiser", M)
    return _kaiser(operator.index(M), beta)


@function(static=("M",), name="kaiser")
def _kaiser(M: int, beta: Any) -> Any:
    default = dtypes.default_float_dtype()
    beta = asarray(beta)
    if beta.ndim or dtypes.is_complex(beta.dtype):
        raise ValueError(f"kaiser: beta must be a real scalar, got {beta.aval}")
    size = abs(asarray(beta, dtype=default))
    # From -1 to 1; the roots of 1 - r**2 on the host, without cancellation.
    places = np.arange(max(M, 0)) / max(M - 1, 1)
    heights = 2 * np.sqrt(places * (1 - places)) if M > 1 else np.ones(max(M, 0))
    heights = asarray(heights, dtype=default)
    spread = broadcast_in_dim(size, heights.shape, ())
    return exp(spread * (heights - 1)) * lax.bessel_i0e(spread * heights) / lax.bessel_i0e(spread)
