"""What turns traces and jaxprs into others: staging, forward and reverse derivatives, batching, dead code.

`ad`, `batching`, `mlir`, `partial_eval` and `xla` are what users see of them, to add operations; they are loaded on demand.
"""

from __future__ import annotations

import importlib as _importlib
from typing import Any as _Any

_ON_DEMAND = ("ad", "batching", "mlir", "partial_eval", "xla")


def __getattr__(name: str) -> _Any:
    if name in _ON_DEMAND:
        return _importlib.import_module(f"anima.interpreters.{name}")
    raise AttributeError(f"module 'anima.interpreters' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_ON_DEMAND})
