"""What is known of an index before it is applied."""

from __future__ import annotations

from typing import Any

import numpy as np

from anima.core.trace import is_value, shaped
from anima.errors import RefError


def takes_all(index: Any) -> bool:
    """Whether an index obviously takes the whole array as it is."""
    return index is ... or (type(index) is tuple and (not index or (len(index) == 1 and index[0] is ...)))


def check_bounds(what: str, shape: tuple[int, ...], index: Any) -> None:
    """Raise RefError if an integer of an index, known without looking at a device, is out of bounds.

    What else is wrong with an index the array says.
    """
    items = list(index) if type(index) is tuple else [index]
    dims = [_dims_taken(item) for item in items]
    if None in dims:  # `...` takes what is left
        dims[dims.index(None)] = len(shape) - sum([n for n in dims if n is not None])
    place = 0
    for item, taken in zip(items, dims):
        known = isinstance(item, (int, np.integer)) and not isinstance(item, bool) and 0 <= place < len(shape)
        if known and not -shape[place] <= item < shape[place]:
            raise RefError(
                f"{what}: the index {item} is out of bounds for dimension {place} of a reference of shape {shape}"
            )
        place += taken or 0


def _dims_taken(item: Any) -> int | None:
    """How many dimensions an entry of an index takes; None for `...`."""
    if item is ...:
        return None
    if item is None:
        return 0
    if is_value(item) and not isinstance(item, (int, np.integer)):
        aval = shaped(item)
        return len(aval.shape) if aval.dtype == np.bool_ else 1
    return 0 if isinstance(item, (bool, np.bool_)) else 1
