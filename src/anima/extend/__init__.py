"""For libraries that extend Anima: the language of traced programs, and ways to add to it.

Invariant: nothing of the package itself imports this, so it costs nothing until a user asks for it.
"""

from __future__ import annotations

import importlib as _importlib
from typing import Any as _Any

_ON_DEMAND = ("backend", "core", "linear_util", "random", "source_info_util")


def __getattr__(name: str) -> _Any:
    if name in _ON_DEMAND:
        return _importlib.import_module(f"anima.extend.{name}")
    raise AttributeError(f"module 'anima.extend' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(_ON_DEMAND)
