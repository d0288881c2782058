"""Functions with batched forms of your own: `custom_vmap` and `sequential_vmap`.

Invariant: names only; what they stand for is in `anima.transforms`.
"""

from __future__ import annotations

from anima.transforms.custom_vmap import (
    custom_vmap as custom_vmap,
    sequential_vmap as sequential_vmap,
)
