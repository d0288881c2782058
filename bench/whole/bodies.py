"""Bodies that attract each other, moved by leapfrog in a loop."""

from __future__ import annotations

from typing import Any

import numpy

from bench.adapters import Adapter
from bench.whole.parts import Run, again, numbers, on

BODIES, STEPS, TIME = 64, 100, 1e-3


def build(lib: Adapter) -> Run:
    def pull(places: Any, masses: Any) -> Any:
        apart = places[None, :, :] - places[:, None, :]
        squares = (apart * apart).sum(-1) + 1e-2
        return (apart * (masses * squares**-1.5)[:, :, None]).sum(1)

    def simulate(places: Any, speeds: Any, masses: Any) -> Any:
        def step(_: Any, state: Any) -> Any:
            places, speeds = state
            speeds = speeds + 0.5 * TIME * pull(places, masses)
            places = places + TIME * speeds
            return places, speeds + 0.5 * TIME * pull(places, masses)

        return lib.lax.fori_loop(0, STEPS, step, (places, speeds))

    masses = numpy.linspace(0.5, 1.5, BODIES, dtype=numpy.float32)
    data = on(lib, (numbers(BODIES, 3, seed=1), numbers(BODIES, 3, seed=2, scale=0.1), masses))
    return Run(again(lib.jit(simulate), *data))
