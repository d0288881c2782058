"""An ensemble of solutions of Lorenz's equations, by the method of Runge and Kutta, each by itself under `vmap`."""

from __future__ import annotations

from typing import Any

from bench.adapters import Adapter
from bench.whole.parts import Run, again, numbers, on

MEMBERS, STEPS, TIME = 1_000, 200, 0.005


def build(lib: Adapter) -> Run:
    np = lib.np
    assert lib.vmap is not None

    def change(at: Any) -> Any:
        x, y, z = at
        return np.stack([10.0 * (y - x), x * (28.0 - z) - y, x * y - 8.0 / 3.0 * z])

    def solve(start: Any) -> Any:
        def step(at: Any, _: Any) -> Any:
            first = change(at)
            second = change(at + 0.5 * TIME * first)
            third = change(at + 0.5 * TIME * second)
            fourth = change(at + TIME * third)
            at = at + TIME / 6.0 * (first + 2.0 * second + 2.0 * third + fourth)
            return at, at

        return lib.lax.scan(step, start, None, length=STEPS)[1]

    return Run(again(lib.jit(lib.vmap(solve)), on(lib, 1.0 + numbers(MEMBERS, 3, seed=1))))
