"""Heat spreads over a square whose edges meet: a five-point stencil, 100 times."""

from __future__ import annotations

from typing import Any

from bench.adapters import Adapter
from bench.whole.parts import Run, again, numbers, on

SIZE, STEPS = 256, 100


def build(lib: Adapter) -> Run:
    roll = lib.np.roll

    def spread(heat: Any) -> Any:
        def step(_: Any, u: Any) -> Any:
            around = roll(u, 1, 0) + roll(u, -1, 0) + roll(u, 1, 1) + roll(u, -1, 1)
            return u + 0.2 * (around - 4.0 * u)

        return lib.lax.fori_loop(0, STEPS, step, heat)

    return Run(again(lib.jit(spread), on(lib, numbers(SIZE, SIZE, seed=1))))
