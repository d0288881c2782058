"""A residual network of eighteen layers learns to classify small images: one step of gradient descent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy

from bench.adapters import Adapter
from bench.whole.parts import Run, going_on, integers, numbers, on

WIDTHS, BLOCKS, CLASSES = (16, 32, 64, 128), 2, 10
BATCH, SIZE = 8, 32


def build(lib: Adapter) -> Run:
    nn, lax = lib.nn, lib.lax
    grad = lib.grad
    assert grad is not None

    def convolve(x: Any, w: Any, stride: int = 1) -> Any:
        layout = ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(x, w, (stride, stride), "SAME", dimension_numbers=layout)

    def normalised(x: Any, scale: Any, shift: Any) -> Any:
        mean = x.mean((0, 1, 2))
        variance = ((x - mean) ** 2).mean((0, 1, 2))
        return (x - mean) * lax.rsqrt(variance + 1e-5) * scale + shift

    def block(x: Any, w: Any, stride: int) -> Any:
        y = nn.relu(normalised(convolve(x, w["first"], stride), *w["norm1"]))
        y = normalised(convolve(y, w["second"]), *w["norm2"])
        return nn.relu(y + (convolve(x, w["skip"], stride) if "skip" in w else x))

    def loss(weights: Any, x: Any, targets: Any) -> Any:
        x = nn.relu(normalised(convolve(x, weights["stem"]), *weights["norm"]))
        for number, w in enumerate(weights["blocks"]):
            x = block(x, w, 2 if number and number % BLOCKS == 0 else 1)
        logits = x.mean((1, 2)) @ weights["head"]
        return -(targets * nn.log_softmax(logits, -1)).sum(-1).mean()

    def update(weights: Any, x: Any, targets: Any) -> Any:
        slopes = grad(loss)(weights, x, targets)
        return (lib.tree.map(lambda p, g: p - 0.05 * g, weights, slopes),)

    targets = numpy.eye(CLASSES, dtype=numpy.float32)[integers(BATCH, below=CLASSES, seed=1)]
    data = on(lib, (numbers(BATCH, SIZE, SIZE, 3, seed=2), targets))
    return Run(going_on(lib.jit(update), (on(lib, parameters()),), *data))


def parameters() -> dict[str, Any]:
    """The weights of the network."""

    def filters(size: int, features: int, out: int, seed: int) -> Any:
        return numbers(size, size, features, out, seed=seed, scale=(2 / (size * size * features)) ** 0.5)

    def norm(features: int) -> tuple[Any, Any]:
        return numpy.ones(features, numpy.float32), numpy.zeros(features, numpy.float32)

    def blocks() -> Iterator[dict[str, Any]]:
        before = WIDTHS[0]
        for number in range(BLOCKS * len(WIDTHS)):
            width = WIDTHS[number // BLOCKS]
            seed = 10 * number + 10
            made = {"first": filters(3, before, width, seed), "second": filters(3, width, width, seed + 1)}
            skip = {"skip": filters(1, before, width, seed + 2)} if width != before else {}
            yield {**made, **skip, "norm1": norm(width), "norm2": norm(width)}
            before = width

    stem = {"stem": filters(3, 3, WIDTHS[0], 3), "norm": norm(WIDTHS[0])}
    return {**stem, "blocks": list(blocks()), "head": numbers(WIDTHS[-1], CLASSES, seed=4, scale=0.1)}
