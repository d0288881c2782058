"""A recurrent network with long short-term memory learns from sequences of 512 steps: one step of gradient descent."""

from __future__ import annotations

from typing import Any

import numpy

from bench.adapters import Adapter
from bench.whole.parts import Run, going_on, numbers, on

LENGTH, BATCH, FEATURES, HIDDEN = 512, 8, 16, 64


def build(lib: Adapter) -> Run:
    np, lax, nn = lib.np, lib.lax, lib.nn
    grad = lib.grad
    assert grad is not None

    def loss(weights: Any, rows: Any, targets: Any) -> Any:
        def step(carry: Any, row: Any) -> Any:
            hidden, cell = carry
            gates = row @ weights["in"] + hidden @ weights["back"] + weights["bias"]
            into, forget, new, out = np.split(gates, 4, axis=-1)
            cell = nn.sigmoid(forget) * cell + nn.sigmoid(into) * np.tanh(new)
            hidden = nn.sigmoid(out) * np.tanh(cell)
            return (hidden, cell), hidden

        zeros = np.zeros((BATCH, HIDDEN))
        _, hidden = lax.scan(step, (zeros, zeros), rows)
        return ((hidden @ weights["out"] - targets) ** 2).mean()

    def update(weights: Any, rows: Any, targets: Any) -> Any:
        slopes = grad(loss)(weights, rows, targets)
        return (lib.tree.map(lambda p, g: p - 0.1 * g, weights, slopes),)

    weights = {
        "in": numbers(FEATURES, 4 * HIDDEN, seed=1, scale=FEATURES**-0.5),
        "back": numbers(HIDDEN, 4 * HIDDEN, seed=2, scale=HIDDEN**-0.5),
        "bias": numpy.zeros(4 * HIDDEN, numpy.float32),
        "out": numbers(HIDDEN, 1, seed=3, scale=HIDDEN**-0.5),
    }
    rows, targets = numbers(LENGTH, BATCH, FEATURES, seed=4), numbers(LENGTH, BATCH, 1, seed=5)
    return Run(going_on(lib.jit(update), (on(lib, weights),), *on(lib, (rows, targets))))
