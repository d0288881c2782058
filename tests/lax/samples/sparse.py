"""Samples of the operation of `experimental.sparse`."""

import numpy as np

from anima.experimental import sparse
from tests.lax.samples import Sample

SAMPLES = [
    Sample(
        primitive="todense",
        call=sparse.todense,
        args=(np.arange(6.0, dtype=np.float32).reshape(2, 3) - 2,),
        oracle=lambda x: x,
    )
]
