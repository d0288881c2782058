"""For `chex`, which asks whether there are devices yet."""

from __future__ import annotations

from anima.extend.backend import backends
from anima.runtime.devices import has_started


def __getattr__(name: str) -> object:
    if name == "_backends":
        return dict(backends()) if has_started() else {}
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
