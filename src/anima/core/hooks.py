"""The places where a lower layer calls a higher one.

Invariant: each hook is a module attribute that exactly one higher layer sets, once, at import. A
hook read before it is set raises `HookError`, so a missing import shows as itself.

| hook | set by | used for |
| --- | --- | --- |
| `make_eager` | `runtime.dispatch` | turn a primitive into its eager callable |
| `perform` | `runtime.dispatch` | the results of one equation of a program that the host performs, which has no rule for it |
| `as_array` | `runtime.arrays` | a Python or NumPy value as a concrete array |
| `add_tangents` | `lax` | sum of two (co)tangents |
| `scale` | `lax` | a value times a number |
| `zeros` | `lax` | an array of zeros of an aval, for a symbolic zero made concrete |
| `broadcast_batch` | `lax` | give an unbatched value a batch axis |
| `move_axis` | `lax` | move a batch axis |
| `vary` | `lax` | a value as one that may differ along manual axes |
| `unsharded` | `sharding` | the sharding of an array of so many dimensions whose type has none |

Two more places are set from above: the native module's hooks (`_native.set_array_hooks`, set by `runtime.arrays`) and
`sharding.set_default_devices` (set there too).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class HookError(RuntimeError):
    """A hook was used before the layer that sets it was imported."""


def _unset(name: str) -> Callable[..., Any]:
    def missing(*args: Any, **kwargs: Any) -> Any:
        raise HookError(f"core.hooks.{name} is not set: import anima, not one of its inner modules alone")

    return missing


make_eager: Callable[..., Any] = _unset("make_eager")
perform: Callable[..., Any] = _unset("perform")
as_array: Callable[..., Any] = _unset("as_array")
add_tangents: Callable[..., Any] = _unset("add_tangents")
scale: Callable[..., Any] = _unset("scale")
zeros: Callable[..., Any] = _unset("zeros")
broadcast_batch: Callable[..., Any] = _unset("broadcast_batch")
move_axis: Callable[..., Any] = _unset("move_axis")
vary: Callable[..., Any] = _unset("vary")
unsharded: Callable[..., Any] = _unset("unsharded")
