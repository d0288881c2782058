"""Reductions over segments, and updates at an index in the form of functions.

Invariant: everything here is `x.at[...]` in other words, so derivatives, batching, lowering and the rules for indices out
of bounds are those of `x.at`.

>>> import anima.numpy as np
>>> from anima.ops import index, index_add, segment_sum
>>> print(index_add(np.zeros(4), index[1:3], 2.0))
[0. 2. 2. 0.]
>>> print(segment_sum(np.array([1.0, 2.0, 4.0]), np.array([0, 0, 2])))
[3. 0. 4.]
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from anima.on_demand import on_demand as _on_demand

if _TYPE_CHECKING:
    from anima.ops.segments import (
        segment_max as segment_max,
        segment_min as segment_min,
        segment_prod as segment_prod,
        segment_sum as segment_sum,
    )
    from anima.ops.updates import (
        index as index,
        index_add as index_add,
        index_max as index_max,
        index_min as index_min,
        index_mul as index_mul,
        index_update as index_update,
    )

_ON_DEMAND = {
    "anima.ops.segments": "segment_max segment_min segment_prod segment_sum",
    "anima.ops.updates": "index index_add index_max index_min index_mul index_update",
}
__getattr__, __dir__ = _on_demand(__name__, _ON_DEMAND)
