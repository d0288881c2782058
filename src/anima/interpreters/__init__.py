"""What turns traces and jaxprs into others: staging, forward and reverse derivatives, batching, dead code.

`ad`, `batching`, `mlir`, `partial_eval`, `pxla` and `xla` are what users see of them, most to add operations; they are loaded
on demand.
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from anima.on_demand import on_demand as _on_demand

if _TYPE_CHECKING:
    from anima.interpreters import (
        ad as ad,
        batching as batching,
        mlir as mlir,
        partial_eval as partial_eval,
        pxla as pxla,
        xla as xla,
    )

# Each module with the names that it gives, loaded when one of them is first asked for.
_ON_DEMAND = {
    "anima.interpreters.ad": "ad",
    "anima.interpreters.batching": "batching",
    "anima.interpreters.mlir": "mlir",
    "anima.interpreters.partial_eval": "partial_eval",
    "anima.interpreters.pxla": "pxla",
    "anima.interpreters.xla": "xla",
}

__getattr__, __dir__ = _on_demand(__name__, _ON_DEMAND)
