"""The first error of a program, while the program is walked through.

Invariant: `code` is a strong `int32` scalar, and each value has the dtype and shape of its site; so both can be carried by loops.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from anima import numpy as anp
from anima.core.trace import shaped
from anima.experimental.checkify.error import Site
from anima.lax.convert import convert_element_type
from anima.lax.create import full
from anima.lax.selection import select


class State:
    """What has failed so far. The sites, and the shapes of their values, are known while tracing."""

    __slots__ = ("code", "sites", "values")

    def __init__(self) -> None:
        self.code: Any = np.int32(0)
        self.sites: list[Site] = []
        self.values: list[Any] = []

    def merge(self, code: Any, values: Sequence[Any], sites: Sequence[Site]) -> None:
        """Note the error of a part of the program; it counts if there was none before.

        `code` may have dimensions, which the values then have in front: of several failures the first counts.
        """
        if not sites:
            return
        code, values = first_of(code, values)
        offset = np.int32(len(self.sites))
        failed = code != np.int32(0)
        mine = code + offset if offset else code
        if self.sites:
            self.code = select(self.code != np.int32(0), self.code, select(failed, mine, np.int32(0)))
        else:
            self.code = mine
        self.sites += sites
        self.values += [convert_element_type(v, shaped(v).dtype) for v in values]

    def fail_if(self, failed: Any, site: Site, values: Sequence[Any]) -> None:
        """Note an error at a site if `failed`, a boolean array, is true anywhere; values have its dimensions in front."""
        self.merge(convert_element_type(failed, np.int32), values, [site])

    def leaves(self) -> list[Any]:
        """The code and the values, as a program returns them."""
        return [convert_element_type(self.code, np.int32), *self.values]


def first_of(code: Any, values: Sequence[Any]) -> tuple[Any, list[Any]]:
    """The first code that is not 0 of an array of codes, and its values."""
    shape = shaped(code).shape
    if shape == ():
        return code, list(values)
    count = int(np.prod(shape, dtype=np.int64))
    if count == 0:
        rest = [shaped(v) for v in values]
        return np.int32(0), [full(v.shape[len(shape) :], 0, v.dtype) for v in rest]
    flat = anp.reshape(code, (count,))
    first = anp.argmax(flat != np.int32(0))
    rows = [anp.reshape(v, (count, *shaped(v).shape[len(shape) :])) for v in values]
    return flat[first], [row[first] for row in rows]


def blank(avals: Sequence[Any]) -> list[Any]:
    """Values for sites that did not fail."""
    return [full(a.shape, 0, a.dtype) for a in avals]


def later(before: Sequence[Any], after: Sequence[Any]) -> list[Any]:
    """Of two errors of the same sites, as `State.leaves` gives them, the first unless there is none."""
    failed = before[0] != np.int32(0)
    return [select(failed, b, a) for b, a in zip(before, after)]
