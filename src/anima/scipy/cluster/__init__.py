"""Clustering; a part is loaded when first asked for."""

import importlib as _importlib
from typing import Any as _Any


def __getattr__(name: str) -> _Any:
    if name == "vq":
        return _importlib.import_module("anima.scipy.cluster.vq")
    raise AttributeError(f"module 'anima.scipy.cluster' has no attribute {name!r}")


def __dir__() -> list[str]:
    return ["vq"]
