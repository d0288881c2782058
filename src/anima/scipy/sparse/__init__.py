"""What SciPy has for linear maps that are not written down as matrices; a part is loaded when first asked for."""

import importlib as _importlib
from typing import Any as _Any


def __getattr__(name: str) -> _Any:
    if name == "linalg":
        return _importlib.import_module("anima.scipy.sparse.linalg")
    raise AttributeError(f"module 'anima.scipy.sparse' has no attribute {name!r}")


def __dir__() -> list[str]:
    return ["linalg"]
