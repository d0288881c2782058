"""What JAX keeps under the name `experimental`.

Invariant: its modules are loaded when first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING as _TYPE_CHECKING

from anima.on_demand import on_demand as _on_demand
from anima.transforms.callbacks import io_callback as io_callback

if _TYPE_CHECKING:
    from anima.experimental import (
        checkify as checkify,
        jet as jet,
        layout as layout,
        mesh_utils as mesh_utils,
        multihost_utils as multihost_utils,
        ode as ode,
        pjit as pjit,
        shard_map as shard_map,
        sparse as sparse,
    )

# Each module with the names that it gives, loaded when one of them is first asked for.
_ON_DEMAND = {
    "anima.experimental.checkify": "checkify",
    "anima.experimental.jet": "jet",
    "anima.experimental.layout": "layout",
    "anima.experimental.mesh_utils": "mesh_utils",
    "anima.experimental.multihost_utils": "multihost_utils",
    "anima.experimental.ode": "ode",
    "anima.experimental.pjit": "pjit",
    "anima.experimental.shard_map": "shard_map",
    "anima.experimental.sparse": "sparse",
}

__getattr__, __dir__ = _on_demand(__name__, _ON_DEMAND)
