"""What JAX keeps under the name `experimental`.

Invariant: its modules are loaded when first asked for.
"""

from __future__ import annotations

import importlib as _importlib
from typing import Any as _Any

from anima.transforms.callbacks import io_callback as io_callback

_ON_DEMAND = ("checkify", "jet", "mesh_utils", "ode", "shard_map")


def __getattr__(name: str) -> _Any:
    if name in _ON_DEMAND:
        return _importlib.import_module(f"anima.experimental.{name}")
    raise AttributeError(f"module 'anima.experimental' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*(n for n in globals() if not n.startswith("_")), *_ON_DEMAND})
