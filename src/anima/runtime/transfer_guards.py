"""Guards of transfers between host and devices, and between devices: what the options `transfer_guard*` ask for.

Invariant: a value that a program gives is announced before it moves: by the native code where a compiled function is called or an
array read, else by who moves it. What the library moves for itself (constants of programs, contents of `zeros`) is not, nor is
what the host reads in a device's memory where it lies, as on CPUs. `device_put` and `device_get` are explicit transfers, all
others implicit ones.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from anima import _native, dtypes
from anima._native import transfers_guarded
from anima.config import (
    transfer_guard_device_to_device,
    transfer_guard_device_to_host,
    transfer_guard_host_to_device,
)
from anima.core.trace import shaped
from anima.errors import XlaRuntimeError
from anima.runtime import logs

_GUARDS = {
    "host_to_device": transfer_guard_host_to_device,
    "device_to_device": transfer_guard_device_to_device,
    "device_to_host": transfer_guard_device_to_host,
}
_INVALID_ARGUMENT = 3


class _Here(threading.local):
    explicit = False


_here = _Here()


def _on_transfer(direction: str, dtype: Any, shape: tuple[int, ...], device: Any) -> None:
    """Raises, logs or does nothing, as the guard of the direction says."""
    guard = _GUARDS[direction]
    level = guard.value
    if level in (None, "allow") or (_here.explicit and level in ("log", "disallow")):
        return
    what = f"{direction.replace('_', '-')} transfer: {dtypes.dtype_name(dtype)}{list(shape)} to {device or 'the host'}"
    if level.startswith("log"):
        logs.warn("%s", what)
        return
    error = XlaRuntimeError(f"Disallowed {what}", _INVALID_ARGUMENT)
    if _here.explicit:
        error.add_note(f"{guard.name} is {level!r}, which no transfer is exempt from.")
    else:
        means = "device_get" if direction == "device_to_host" else "device_put"
        error.add_note(
            f"{guard.name} is {level!r}. Where the transfer is meant, write it as {means}(x)"
            + (
                f", or allow it: with {guard.name}('allow'): ..."
                if "explicit" not in level
                else " and say 'disallow'."
            )
        )
    raise error


def announce(direction: str, value: Any, device: Any) -> None:
    """Asks the guards, if there are any in this thread, before `value` is moved to `device`, a device or a sharding.

    Raises:
      JaxRuntimeError: a guard forbids it.
    """
    if transfers_guarded():
        aval: Any = shaped(value)
        _on_transfer(direction, aval.dtype, aval.shape, device)


@contextmanager
def explicit() -> Iterator[None]:
    """A block whose transfers are those that the user asked for by name."""
    before = _here.explicit
    _here.explicit = True
    try:
        yield
    finally:
        _here.explicit = before


_native.set_array_hooks(on_transfer=_on_transfer)
