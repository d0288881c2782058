"""What SciPy has for linear maps that are not written down as matrices; a part is loaded when first asked for."""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from anima.on_demand import on_demand as _on_demand

if _TYPE_CHECKING:
    from anima.scipy.sparse import (
        linalg as linalg,
    )

# Each module with the names that it gives, loaded when one of them is first asked for.
_ON_DEMAND = {
    "anima.scipy.sparse.linalg": "linalg",
}

__getattr__, __dir__ = _on_demand(__name__, _ON_DEMAND)
