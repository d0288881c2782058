"""Hypergeometric functions.

Invariant: real numbers only; derivatives exist by all arguments.
"""

from __future__ import annotations

from typing import Any

import anima.numpy as np
from anima.lax.special.hypergeometric import hyp1f1_p, hyp2f1_p
from anima.numpy.calls import function
from anima.scipy.special.operands import reals


@function
def hyp1f1(a: Any, b: Any, x: Any) -> Any:
    """Kummer's confluent hypergeometric function.

    Raises:
      ValueError: an operand is complex.

    >>> from anima.scipy import special
    >>> print(special.hyp1f1(1.0, 1.0, 0.0))
    1.0
    """
    values = reals("hyp1f1", *map(np.asarray, (a, b, x)), strong=True)
    return hyp1f1_p.bind(*values, orders=(0, 0, 0))


@function
def hyp2f1(a: Any, b: Any, c: Any, x: Any) -> Any:
    """Gauss's hypergeometric function, for `x <= 1`; beyond, it is infinite unless a polynomial.

    Raises:
      ValueError: an operand is complex.

    >>> from anima.scipy import special
    >>> print(special.hyp2f1(1.0, 1.0, 2.0, 0.5).round(4))
    1.3863
    """
    values = reals("hyp2f1", *map(np.asarray, (a, b, c, x)), strong=True)
    return hyp2f1_p.bind(*values, orders=(0, 0, 0, 0))
