"""What SciPy has for geometry; a part is loaded when first asked for."""

import importlib as _importlib
from typing import Any as _Any


def __getattr__(name: str) -> _Any:
    if name == "transform":
        return _importlib.import_module("anima.scipy.spatial.transform")
    raise AttributeError(f"module 'anima.scipy.spatial' has no attribute {name!r}")


def __dir__() -> list[str]:
    return ["transform"]
