"""An optimiser written by hand, a loop of 1,000 steps in Python: Adam with clipped slopes, 200 arrays of parameters."""

from __future__ import annotations

from typing import Any

import numpy

from bench.adapters import Adapter
from bench.whole.parts import Run, going_on, numbers, on

LEAVES, STEPS = 200, 1_000


def build(lib: Adapter) -> Run:
    np, tree_map, leaves = lib.np, lib.tree.map, lib.tree.leaves
    assert lib.grad is not None

    def loss(params: Any, goals: Any) -> Any:
        return sum(((p - g) ** 2).mean() for p, g in zip(leaves(params), leaves(goals)))

    slopes_of = lib.grad(loss)

    def update(params: Any, means: Any, squares: Any, count: Any, goals: Any) -> Any:
        slopes = slopes_of(params, goals)
        norm = np.sqrt(sum((g**2).sum() for g in leaves(slopes)))
        slopes = tree_map(lambda g: g * np.minimum(1.0, 1.0 / (norm + 1e-6)), slopes)
        count = count + 1
        means = tree_map(lambda m, g: 0.9 * m + 0.1 * g, means, slopes)
        squares = tree_map(lambda s, g: 0.999 * s + 0.001 * g**2, squares, slopes)
        rate = 1e-3 * np.sqrt(1 - 0.999**count) / (1 - 0.9**count)
        return (
            tree_map(lambda p, m, s: p - rate * m / (np.sqrt(s) + 1e-4), params, means, squares),
            means,
            squares,
            count,
        )

    shapes = [(16, 16), (16,), (4, 8), (32,)]
    goals = {f"layer{i}": numbers(*shapes[i % 4], seed=i) for i in range(LEAVES)}
    zeros = {name: numpy.zeros_like(value) for name, value in goals.items()}
    start = on(lib, (zeros, zeros, zeros, numpy.float32(0)))
    return Run(going_on(lib.jit(update), start, on(lib, goals)), first=STEPS)
