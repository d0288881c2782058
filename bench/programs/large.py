"""Programs that do nothing but move memory, on arrays that no cache holds.

Invariant: every call makes a result of its own, which is dropped before the next call, as in a loop over steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.adapters import Adapter
from bench.case import Program

program = Program("Large arrays")

PEERS = ("jax", "torch", "numpy")
WANTED = {"jax": 0.35}
MEGABYTE = 1 << 18  # elements


def _row(name: str, megabytes: int, function: Callable[[Any, Any], Any], compiled: bool = True) -> None:
    @program.timed(f"{name}, {megabytes} MB", peers=PEERS, limits=WANTED, slow=megabytes > 100)
    def build(lib: Adapter) -> Callable[[], Any]:
        x = lib.np.ones(megabytes * MEGABYTE) + 0
        f = lib.jit(function) if compiled else function
        return lambda: f(x, x)


for _size in (4, 32, 256, 1024):
    _row("jit: x + 1", _size, lambda x, y: x + 1)
_row("jit: 2 x + y", 64, lambda x, y: 2 * x + y)
_row("x + y", 64, lambda x, y: x + y, compiled=False)
