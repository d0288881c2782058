"""Values that decide the shape of a result, and so must be known before a program is made.

Invariant: a traced value without a concrete one behind it raises here, with advice.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from anima import _native
from anima._native import ArrayImpl
from anima.core.trace import Tracer
from anima.errors import ConcretizationTypeError
from anima.numpy.creation import asarray
from anima.transforms.placement import device_put


def concrete(name: str, value: Any, advice: str) -> Any:
    """`value`, or the concrete array behind a tracer.

    Args:
      name: the function that needs it, for the message.
      advice: what to do in a transformed function instead.
    Raises:
      ConcretizationTypeError: the value is traced.
    """
    if not isinstance(value, Tracer):
        return value
    known = value.concrete()
    if known is None:
        raise ConcretizationTypeError(
            value, name, advice=f"The shape of the result depends on values; {advice}."
        )
    return known


def contents(name: str, value: Any, advice: str) -> np.ndarray[Any, Any]:
    """The contents of `value` on the host; arguments as for `concrete`."""
    return np.asarray(concrete(name, value, advice))


def from_host(host: np.ndarray[Any, Any], *likes: Any, weak_type: bool = False) -> Any:
    """An array of the given contents, on the device to which one of `likes` is committed, if one is."""
    result = asarray(host)
    if weak_type:
        result = _native.array_with(result, weak_type=True)
    for like in likes:
        if type(like) is ArrayImpl and like.committed and len(like.devices()) == 1:
            return device_put(result, like.sharding)
    return result
