"""A multilayer perceptron learns to classify: one step of gradient descent with momentum."""

from __future__ import annotations

import itertools
from typing import Any

import numpy

from bench.adapters import Adapter
from bench.whole.parts import Run, going_on, integers, numbers, on

SIZES, BATCH = (784, 512, 256, 10), 128


def build(lib: Adapter) -> Run:
    nn, tree_map = lib.nn, lib.tree.map
    assert lib.grad is not None

    def loss(layers: Any, x: Any, targets: Any) -> Any:
        for w, b in layers[:-1]:
            x = nn.relu(x @ w + b)
        w, b = layers[-1]
        return -(targets * nn.log_softmax(x @ w + b, -1)).sum(-1).mean()

    slopes = lib.grad(loss)

    def update(layers: Any, speeds: Any, x: Any, targets: Any) -> Any:
        speeds = tree_map(lambda v, g: 0.9 * v + g, speeds, slopes(layers, x, targets))
        return tree_map(lambda p, v: p - 0.01 * v, layers, speeds), speeds

    pairs = itertools.pairwise(SIZES)
    weights = [numbers(n, m, seed=i, scale=(2 / n) ** 0.5) for i, (n, m) in enumerate(pairs)]
    layers = [(w, numpy.zeros(w.shape[1], numpy.float32)) for w in weights]
    speeds = [(0 * w, 0 * b) for w, b in layers]
    targets = numpy.eye(SIZES[-1], dtype=numpy.float32)[integers(BATCH, below=SIZES[-1], seed=8)]
    data = on(lib, (numbers(BATCH, SIZES[0], seed=9), targets))
    return Run(going_on(lib.jit(update), on(lib, (layers, speeds)), *data))
