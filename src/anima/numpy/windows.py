"""Window functions for signals.

Invariant: a window depends on its size alone, so it is computed on the host, in double precision.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from anima import dtypes
from anima.core.trace import Tracer
from anima.errors import ShapeConcretizationError
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
