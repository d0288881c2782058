"""Hamiltonian Monte Carlo of a logistic regression's weights: a chain of 100 proposals of ten leapfrog steps each."""

from __future__ import annotations

from typing import Any

import numpy

from bench.adapters import Adapter
from bench.whole.parts import Run, again, numbers, on

ROWS, FEATURES = 500, 16
PROPOSALS, STEPS, TIME = 100, 10, 0.02


def build(lib: Adapter) -> Run:
    np, lax, random = lib.np, lib.lax, lib.random
    assert lib.value_and_grad is not None
    value_and_grad = lib.value_and_grad

    def chain(key: Any, start: Any, rows: Any, labels: Any) -> Any:
        def energy(w: Any) -> Any:
            scores = rows @ w
            return np.logaddexp(0.0, scores).sum() - labels @ scores + 0.5 * (w @ w)

        slope = value_and_grad(energy)

        def leap(_: Any, state: Any) -> Any:
            w, speed, force = state[:3]
            speed = speed - 0.5 * TIME * force
            w = w + TIME * speed
            value, force = slope(w)
            return w, speed - 0.5 * TIME * force, force, value

        def propose(state: Any, key: Any) -> Any:
            w, force, value = state
            for_speed, for_choice = random.split(key)
            speed = random.normal(for_speed, (FEATURES,))
            moved = lax.fori_loop(0, STEPS, leap, (w, speed, force, value))
            change = moved[3] - value + 0.5 * (moved[1] @ moved[1] - speed @ speed)
            taken = np.log(random.uniform(for_choice)) < -change
            state = tuple(np.where(taken, new, old) for new, old in zip((moved[0], *moved[2:]), state))
            return state, (state[0], taken)

        value, force = slope(start)
        return lax.scan(propose, (start, force, value), random.split(key, PROPOSALS))[1]

    rows = numbers(ROWS, FEATURES, seed=1)
    labels = (rows @ numbers(FEATURES, seed=2) + numbers(ROWS, seed=3) > 0).astype(numpy.float32)
    data = on(lib, (numpy.zeros(FEATURES, numpy.float32), rows, labels))
    return Run(again(lib.jit(chain), random.PRNGKey(0), *data))
