"""Names that functions about processes had before; each says so when it is called.

Invariant: these are the functions of `runtime.devices`, under other names.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from anima.runtime.devices import process_count, process_index, process_indices


def _renamed(old: str, new: Callable[..., Any]) -> Callable[..., Any]:
    def call(backend: str | None = None) -> Any:
        warnings.warn(
            f"{old} has been renamed to {new.__name__}; the old name will be removed",
            UserWarning,
            stacklevel=2,
        )
        return new(backend)

    call.__name__ = call.__qualname__ = old
    call.__doc__ = f"`{new.__name__}` under its old name."
    return call


host_count = _renamed("host_count", process_count)
host_id = _renamed("host_id", process_index)
host_ids = _renamed("host_ids", process_indices)
