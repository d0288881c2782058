"""What SciPy has, for arrays on any device; a part is loaded when first asked for."""

import importlib as _importlib
from typing import Any as _Any

_ON_DEMAND = (
    "cluster",
    "fft",
    "integrate",
    "interpolate",
    "linalg",
    "ndimage",
    "optimize",
    "signal",
    "sparse",
    "spatial",
    "special",
    "stats",
)


def __getattr__(name: str) -> _Any:
    if name in _ON_DEMAND:
        return _importlib.import_module(f"anima.scipy.{name}")
    raise AttributeError(f"module 'anima.scipy' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(_ON_DEMAND)
